//! One roll through the line into the store.
//!
//! ```text
//! Ordered ─▶ Judge ─▶ regions ─▶ Stitch ─▶ Ledger ─▶ Page ─▶ recorder
//! ```
//!
//! Begins a run in the store, ends it whatever happens: `done` when the ledger adds up,
//! `aborted` with the reason when the line failed or was stopped. What was found until then
//! stays. Nothing here depends on how many workers there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use calibration::{FlatField, LaneGeometry};
use camera::{Depth, FrameShape, Source};
use image::{ExtendedColorType, ImageEncoder};
use models::onnx::Runtime;
use models::{Article, CELL_PX, Judge, Scorer, UNUSUAL};
use store::{
    EndState, EventSeverity, FlawId, LengthKnown, Name, NewFlaw, NewRun, RollChoice, RunEnd, RunId,
    Store,
};

use crate::channel::Tx;
use crate::config::Station;
use crate::flaws::{Region, regions};
use crate::judging::{Ordered, SeenFrame};
use crate::line::{self, Line};
use crate::record::{Event, Page};
use crate::roll::{Ledger, ticks_per_line};
use crate::stitch::{Cutout, Flaw, FramePlace, Stitch};
use crate::tiles::{Correction, Joints, Tiler};

/// Candidates kept of those that end with one frame, strongest first: places near the
/// threshold, so that a roll can be graded under other rules without being looked at again.
const MOST_CANDIDATES: usize = 50;
/// Pixels around a flaw in its crop.
const CROP_MARGIN_PX: u32 = 48;
/// Largest side of a crop, in pixels.
const CROP_MOST_PX: u32 = 512;
/// Difference between taught and given scale that a model bears.
const SCALE_TOLERANCE: f64 = 0.02;

/// What to inspect, and how.
pub struct Inspection<'a> {
    /// The roll's number.
    pub roll: Name,
    /// The article, as the store knows it.
    pub article: Name,
    /// Its model.
    pub model: &'a Article,
    /// Scale, place and light.
    pub station: &'a Station,
    /// One per worker.
    pub scorers: Vec<Box<dyn Scorer>>,
    /// Version of ONNX Runtime, for the run's record.
    pub runtime_version: String,
    /// Device the scorers run on, for the run's record.
    pub device: String,
    /// Ends the roll when set.
    pub stop: &'a AtomicBool,
}

/// How an inspection went on, for whoever watches.
pub trait Watch: Send {
    /// A flaw is in the store.
    fn flaw(&mut self, id: FlawId, flaw: &NewFlaw);
}

/// One session per worker on `model`, each checked against the golden tiles.
///
/// # Errors
/// What the model or the runtime says.
pub fn scorers_of(
    model: &Article,
    runtime: &Runtime,
    n_workers: usize,
) -> anyhow::Result<Vec<Box<dyn Scorer>>> {
    (0..n_workers)
        .map(|_| Ok(Box::new(model.scorer(runtime)?) as Box<dyn Scorer>))
        .collect()
}

/// How frames are corrected for a model.
///
/// # Errors
/// When the passport's flat field is damaged.
pub fn correction_for(
    model: &Article,
    station: &Station,
    joints: Joints,
) -> anyhow::Result<Correction> {
    let passport = model.passport();
    let flat_field: Option<FlatField> = passport
        .flat_field
        .clone()
        .map(serde_json::from_value)
        .transpose()
        .context("the passport's flat field cannot be read")?;
    Ok(Correction {
        channels: channels_of(passport.channels),
        flat_field,
        light: station.light,
        joints,
    })
}

/// The camera's word for a passport's channels.
pub fn channels_of(channels: models::Channels) -> camera::Channels {
    match channels {
        models::Channels::Grey => camera::Channels::Grey,
        models::Channels::Rgb => camera::Channels::Rgb,
    }
}

/// Refuses a scale that is not the taught one.
///
/// # Errors
/// With both scales.
pub fn check_scale(model: &Article, station: &Station) -> anyhow::Result<()> {
    let (taught, given) = (model.passport().mm_per_px, station.lane.mm_per_px);
    ensure!(
        (given / taught - 1.0).abs() <= SCALE_TOLERANCE,
        "the model of article {:?} was taught at {taught} mm per pixel, found {given}: teach the article at this scale, or set the camera to the taught one",
        model.passport().article
    );
    Ok(())
}

/// Inspects one roll. `progress` is called for every frame that has been dealt with.
///
/// # Errors
/// What ended the line before the roll's end; the run is in the store as aborted then.
pub fn inspect(
    inspection: Inspection<'_>,
    source: Box<dyn Source>,
    mut store: Store,
    watch: &mut dyn Watch,
    progress: &mut dyn FnMut(&FrameShape),
) -> anyhow::Result<(Store, RunId)> {
    let Inspection {
        roll,
        article,
        model,
        station,
        scorers,
        runtime_version,
        device,
        stop,
    } = inspection;
    check_scale(model, station)?;
    let description = source.description().clone();
    let wanted = channels_of(model.passport().channels);
    ensure!(
        wanted == camera::Channels::Grey || description.shape.channels == wanted,
        "{} gives grey frames, expected colour: article {:?} was taught on colour",
        description.name,
        article.as_str()
    );
    let um_per_tick = station.lane.mm_per_line * 1e3 / description.ticks_per_line as f64;
    let geometry = LaneGeometry::new(
        station.lane.mm_per_px,
        um_per_tick,
        station.lane.offset,
        description.shape.width,
    )?;
    let correction = correction_for(model, station, Joints::Measured)?;
    let run = store.begin_run(&NewRun {
        roll,
        roll_choice: RollChoice::LatestOrNew,
        article,
        model: store::Digest::new(model.digest())?,
        calibration_json: serde_json::json!({
            "mm_per_px": station.lane.mm_per_px,
            "mm_per_line": station.lane.mm_per_line,
            "offset_um": station.lane.offset.get(),
            "light": station.light,
            "flat_field": model.passport().flat_field,
        })
        .to_string(),
        engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_version,
        device,
        batch_shape: format!("1 x {}", model.passport().channels.n_planes()),
        mm_per_px: station.lane.mm_per_px,
        station: station.name.as_deref().map(Name::new).transpose()?,
        length_known: LengthKnown::Nominal,
    })?;

    let judge = Judge::new(
        model.passport().judgement.clone(),
        model.passport().reference,
        station.lane.mm_per_line * CELL_PX as f64,
    );
    let mut roll = Roll {
        judge,
        stitch: Stitch::default(),
        ledger: Ledger::new(geometry),
        geometry,
    };
    let line = Line {
        source,
        tiler: Tiler::new(correction),
        scorers,
        stop,
    };
    let mut announce = |id: FlawId, flaw: &NewFlaw| watch.flaw(id, flaw);
    let recorded = line::recorded(store, run, &mut announce, |pages| {
        let ran = line::run(line, &mut |ordered| {
            let shape = shape_of(&ordered);
            send(pages, roll.page(ordered)?)?;
            if let Some(shape) = shape {
                progress(&shape);
            }
            Ok(())
        });
        send(pages, roll.last_page())?;
        // A line that failed half way leaves a true, short roll behind.
        Ok(ran.err())
    });
    let (mut store, failure) = match recorded {
        Ok(done) => done,
        Err(error) => {
            return Err(error.context(
                "the run could not be written to its end; it stays in the store as not ended",
            ));
        }
    };
    let checked = roll.ledger.check();
    let failure = failure.or(checked.err());
    let stopped = stop.load(Ordering::Relaxed);
    store.finish_run(
        run,
        &RunEnd {
            length_um: roll.ledger.length()?.get(),
            width_um: roll.ledger.width().get(),
            state: if failure.is_none() && !stopped {
                EndState::Done
            } else {
                EndState::Aborted
            },
            message: match &failure {
                Some(error) => Some(format!("{error:#}")),
                None => stopped.then(|| "stopped before the end of the source".to_owned()),
            },
        },
    )?;
    match failure {
        Some(error) => Err(error),
        None => Ok((store, run)),
    }
}

fn send(pages: &Tx<Page>, page: Page) -> anyhow::Result<()> {
    pages
        .send(page)
        .map_err(|_| anyhow::anyhow!("the recorder is gone"))
}

fn shape_of(ordered: &Ordered) -> Option<FrameShape> {
    match ordered {
        Ordered::Frame(seen) => Some(seen.head.frame.shape()),
        Ordered::Missed(_) => None,
    }
}

/// What is known of the roll so far.
struct Roll {
    judge: Judge,
    stitch: Stitch,
    ledger: Ledger,
    geometry: LaneGeometry,
}

impl Roll {
    fn page(&mut self, ordered: Ordered) -> anyhow::Result<Page> {
        match ordered {
            Ordered::Missed(missed) => {
                let place = missed
                    .origin
                    .as_deref()
                    .map_or_else(|| format!("frame {}", missed.sequence), str::to_owned);
                tracing::warn!(reason = %missed.reason, place, "cloth was not looked at");
                let mut page = self.last_page();
                page.coverage = self.ledger.missed(&missed)?;
                page.events = vec![Event {
                    kind: missed.reason.as_str(),
                    severity: EventSeverity::Warning,
                    message: format!("{place}: {}", missed.detail),
                }];
                Ok(page)
            }
            Ordered::Frame(seen) => self.seen(&seen),
        }
    }

    fn seen(&mut self, seen: &SeenFrame) -> anyhow::Result<Page> {
        let mut page = Page {
            coverage: self.ledger.frame(seen)?,
            events: seen
                .failed
                .iter()
                .map(|(place, problem)| Event {
                    kind: "worker_failed",
                    severity: EventSeverity::Error,
                    message: format!(
                        "frame {}, tile at row {}, column {}: {problem}",
                        seen.head.frame.sequence,
                        place.row * CELL_PX,
                        place.col * CELL_PX
                    ),
                })
                .collect(),
            ..Page::default()
        };
        let map = self.judge.judge(&seen.block);
        let frame = &seen.head.frame;
        let place = FramePlace {
            geometry: &self.geometry,
            first_tick: frame.ticks.start,
            ticks_per_line: ticks_per_line(&frame.ticks, frame.height()),
            height: frame.height() as usize,
            joins_above: seen.head.above == models::Rim::Joined,
        };
        let ended = self
            .stitch
            .push(&place, &regions(&map, UNUSUAL), |region| {
                (region.highest > 1.0).then(|| cut(seen, region)).flatten()
            })?;
        self.enter(ended, &mut page);
        Ok(page)
    }

    /// What is still open where the cloth ends.
    fn last_page(&mut self) -> Page {
        let mut page = Page::default();
        let ended = self.stitch.finish();
        self.enter(ended, &mut page);
        page
    }

    /// What has ended is a flaw when it came above the threshold anywhere, else a candidate.
    fn enter(&self, ended: Vec<Flaw>, page: &mut Page) {
        let (flaws, mut near): (Vec<Flaw>, Vec<Flaw>) =
            ended.into_iter().partition(|flaw| flaw.score > 1.0);
        near.sort_by(|a, b| b.score.total_cmp(&a.score));
        near.truncate(MOST_CANDIDATES);
        let width = self.ledger.width();
        page.flaws = flaws.into_iter().map(|flaw| (flaw, width)).collect();
        page.candidates = near.iter().map(|near| (near.rect, near.score)).collect();
    }
}

/// The picture of a region, as the camera gave it.
fn cut(seen: &SeenFrame, region: &Region) -> Option<Arc<Cutout>> {
    let frame = &seen.head.frame;
    let side = |cells: &std::ops::Range<usize>, peak: usize, most: u32| {
        let start = (cells.start * CELL_PX) as u32;
        let end = ((cells.end * CELL_PX) as u32).min(most);
        let start = start.saturating_sub(CROP_MARGIN_PX);
        let end = (end + CROP_MARGIN_PX).min(most);
        if end - start <= CROP_MOST_PX {
            return start..end;
        }
        let centre = (peak * CELL_PX) as u32;
        let from = centre
            .saturating_sub(CROP_MOST_PX / 2)
            .clamp(start, end - CROP_MOST_PX);
        from..from + CROP_MOST_PX
    };
    let x = side(&region.cols, region.peak.1, frame.width());
    let y = side(&region.rows, region.peak.0, frame.height());
    let shape = frame.shape();
    let sample = shape.channels.count() * shape.depth.n_bytes();
    let stride = frame.width() as usize * sample;
    let mut bytes = Vec::with_capacity(x.len() * y.len() * sample);
    for row in y.clone() {
        let line = &frame.bytes()[row as usize * stride..][..stride];
        bytes.extend_from_slice(&line[x.start as usize * sample..x.end as usize * sample]);
    }
    let kind = match (shape.channels, shape.depth) {
        (camera::Channels::Grey, Depth::Eight) => ExtendedColorType::L8,
        (camera::Channels::Grey, Depth::Sixteen) => ExtendedColorType::L16,
        (camera::Channels::Rgb, Depth::Eight) => ExtendedColorType::Rgb8,
        (camera::Channels::Rgb, Depth::Sixteen) => ExtendedColorType::Rgb16,
    };
    let mut png = Vec::new();
    let (width, height) = (x.len() as u32, y.len() as u32);
    let encoded =
        image::codecs::png::PngEncoder::new(&mut png).write_image(&bytes, width, height, kind);
    if let Err(error) = encoded {
        tracing::error!(%error, "a flaw's picture could not be encoded; the flaw is kept without it");
        return None;
    }
    Some(Arc::new(Cutout {
        png,
        lane: frame.camera,
        frame: frame.sequence,
        x: x.start,
        y: y.start,
        width,
        height,
        margin: CROP_MARGIN_PX,
    }))
}
