//! The detection-limit card: how small a flaw a finished model finds in its own good cloth.
//!
//! ```text
//! good cloth ─▶ Planted ─▶ the line ─▶ Judge ─▶ found or missed ─▶ fit ─▶ Limits
//!                  └───────── Plan: which flaw lies where ───┘
//! ```
//!
//! Flaws of graded size and contrast are drawn into frames as the camera gave them, and these run
//! through the same line and the same judge as a roll. A planted flaw is found when a cell above
//! the threshold touches it. The good cloth is the one that was taught, so what is found here is
//! found in cloth whose texture is known; the reference that cells are held against is still
//! the planted frame's own. Ends when enough was planted or after a few passes. It changes
//! nothing of the model.

mod draw;
mod fit;
mod planting;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use camera::Source;
use models::{Article, CELL_PX, DetectionLimit, Limits, ScoreMap, Scorer};

use self::draw::{KINDS, Mark, Scale};
use self::fit::{Trial, fit};
use self::planting::{Plan, Planted};
use crate::channel::Depths;
use crate::config::Lane;
use crate::judging::{Ordered, SeenFrame};
use crate::line::{self, Feed, Line};
use crate::tiles::{Correction, Tiler};

/// Flaws of each kind and contrast: the size is known to about a sixth then.
const N_EACH: usize = 96;
/// Passes over the good cloth at most: a few strips hold a few hundred flaws.
const MOST_PASSES: usize = 3;
/// The same cloth gets the same flaws.
const SEED: u64 = 0x5e1_ed6e;
/// Cells around a flaw that count as touching it.
const TOUCHES_CELLS: usize = 2;

/// What to measure.
pub struct Measuring<'a> {
    /// The model.
    pub article: &'a Article,
    /// The lanes of the station.
    pub lanes: &'a [Lane],
    /// How the frames of each lane are corrected.
    pub corrections: Vec<Correction>,
    /// Good cloth of a lane, from its beginning.
    pub open: &'a dyn Fn(usize) -> anyhow::Result<Box<dyn Source>>,
    /// One scorer per worker.
    pub scorers: &'a dyn Fn() -> anyhow::Result<Vec<Box<dyn Scorer>>>,
    /// Ends it when set.
    pub stop: &'a AtomicBool,
}

/// Measures how small a flaw is found. `progress` is called for every frame.
///
/// # Errors
/// When good cloth cannot be read or scored, or it was stopped.
pub fn measure(measuring: &Measuring<'_>, progress: &mut dyn FnMut()) -> anyhow::Result<Limits> {
    let n_lanes = measuring.lanes.len();
    let mut tried = Tried {
        trials: vec![Vec::new(); KINDS.len()],
        cloth_m2: 0.0,
    };
    for (lane, at) in measuring.lanes.iter().enumerate() {
        let n_each = N_EACH.div_ceil(n_lanes);
        let halo_px = measuring.article.passport().backbone.halo_px;
        let plan = Plan::new(n_each, halo_px, SEED + lane as u64);
        let plan = Arc::new(Mutex::new(plan));
        for _ in 0..MOST_PASSES {
            if plan
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_done()
            {
                break;
            }
            pass(measuring, lane, &plan, &mut tried, progress)?;
        }
        ensure!(
            !measuring.stop.load(Ordering::Relaxed),
            "stopped before the detection limits of lane {} at {} mm per pixel were measured",
            lane + 1,
            at.mm_per_px
        );
    }
    let scale = scale_of(&measuring.lanes[0]);
    let kinds = KINDS.iter().zip(&tried.trials);
    Ok(Limits {
        cloth_m2: tried.cloth_m2,
        kinds: kinds
            .filter(|(_, trials)| !trials.is_empty())
            .map(|(kind, trials)| limit_of(kind, trials, scale))
            .collect(),
    })
}

/// What was planted and what became of it.
struct Tried {
    /// One list per kind.
    trials: Vec<Vec<Trial>>,
    cloth_m2: f64,
}

/// One pass over the good cloth of a lane.
fn pass(
    measuring: &Measuring<'_>,
    lane: usize,
    plan: &Arc<Mutex<Plan>>,
    tried: &mut Tried,
    progress: &mut dyn FnMut(),
) -> anyhow::Result<()> {
    let at = &measuring.lanes[lane];
    let good = (measuring.open)(lane)?;
    let source = Planted::new(good, scale_of(at), Arc::clone(plan));
    let mut judge = measuring.article.judge(lane, at.mm_per_cell_row());
    let tiler = Tiler::new(0, measuring.corrections[lane].clone());
    let line = Line {
        feeds: vec![Feed::of(Box::new(source), tiler)],
        scorers: (measuring.scorers)()?,
        stop: measuring.stop,
        depths: Depths::default(),
    };
    let endings = line::run(line, &mut |_, ordered| {
        if let Ordered::Frame(seen) = ordered {
            let sequence = seen.head.frame.sequence;
            let marks = plan
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(sequence);
            if let Some((_, problem)) = seen.failed.first() {
                anyhow::bail!("planted cloth could not be scored: {problem}");
            }
            let map = judge.judge(&seen.block);
            for (nth, mark) in marks {
                tried.trials[nth].push(Trial {
                    size: mark.size_mm,
                    is_found: is_found(&map, &mark),
                });
            }
            tried.cloth_m2 += cloth_m2(&seen, at);
            progress();
        }
        Ok(())
    })?;
    for ending in endings {
        ending?;
    }
    Ok(())
}

/// Whether a cell above the threshold touches the flaw.
fn is_found(map: &ScoreMap, mark: &Mark) -> bool {
    let (n_rows, n_cols) = map.scores.dim();
    let cells = |px: &std::ops::Range<usize>, n: usize| {
        let first = (px.start / CELL_PX).saturating_sub(TOUCHES_CELLS);
        first..(px.end.div_ceil(CELL_PX) + TOUCHES_CELLS).min(n)
    };
    let (rows, cols) = (
        cells(&mark.place.rows, n_rows),
        cells(&mark.place.cols, n_cols),
    );
    let scores = map.scores.slice(ndarray::s![rows, cols]);
    scores.iter().any(|score| *score > 1.0)
}

fn limit_of(kind: &draw::Kind, trials: &[Trial], scale: Scale) -> DetectionLimit {
    let fitted = fit(trials);
    let (from_mm, to_mm) = kind.sizes_mm(scale);
    let sizes = trials.iter().map(|trial| trial.size);
    let within = |size: f64| size.clamp(from_mm, to_mm);
    DetectionLimit {
        kind: kind.name.to_owned(),
        contrast: kind.contrast.map(|contrast| f64::from(contrast.abs())),
        size_is: kind.size_is().to_owned(),
        n_planted: trials.len() as u64,
        n_found: trials.iter().filter(|trial| trial.is_found).count() as u64,
        from_mm,
        // Frames may be too low for the largest.
        to_mm: within(sizes.fold(from_mm, f64::max)),
        size_mm: fitted.size.map(within),
        bound_mm: fitted.bound.map(within),
    }
}

fn scale_of(lane: &Lane) -> Scale {
    Scale {
        across: lane.mm_per_px,
        along: lane.mm_per_line,
    }
}

fn cloth_m2(seen: &SeenFrame, lane: &Lane) -> f64 {
    let across_m = f64::from(seen.head.cloth.n_columns()) * lane.mm_per_px / 1e3;
    across_m * f64::from(seen.head.frame.height()) * lane.mm_per_line / 1e3
}
