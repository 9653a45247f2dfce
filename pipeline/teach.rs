//! Good cloth in, one `.onnx` article model out.
//!
//! ```text
//! pass 0: the camera's fixed pattern   pass 1: spread of features   pass 2: scores of held-out
//!         (frames only)                        (Teacher)                     cloth (Rehearsal)
//!                                              ▲                             │
//!                                              └── without what is strange ──┘
//! ```
//!
//! Each pass opens the sources anew, so a folder of any length needs no memory for its frames. Of
//! much cloth the scores are taken in a pass of their own. Frames that are not like the others are
//! left out, and the rest is learned again; what teaching can be continued from lies beside the model.
//! More cloth is first held against what was taught before: frames of another article and those that
//! were given already are left out.
//! There is one source per lane of the station; a pass takes them one after the other. Fixed
//! pattern and columns are learned per lane, everything else from all lanes together. Passes 1
//! and 2 run through the same line as inspection. Frames that cannot be used are counted and
//! told, never learned from.

mod admission;
mod earlier;
mod golden;
mod least_sharpness;
mod strange;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use calibration::{FlatField, FlatFieldEstimator, find_cloth, sharpness};
use camera::{Captured, Pool, Source};
use models::onnx::Runtime;
use models::teach::{REFERENCE, Rehearsal, Teacher};
use models::{
    Article, Backbone, BackboneFile, Channels, FalseAlarms, LaneColumns, PASSPORT_FORMAT, Passport,
    Scorer, Taught, write_article,
};
use ndarray::Array2;

use crate::channel::Depths;
use crate::config::{Lane, Station};
use crate::fitting::{check_light, model_channels, scales_agree, scorers_of};
use crate::judging::{Ordered, SeenFrame};
use crate::limits::{Measuring, measure};
use crate::line::{self, Feed, Line};
use crate::source::{SourceSpec, open_lane};
use crate::tiles::{Correction, Joints, Tiler};

pub use self::strange::StrangeFrame;

use self::admission::Admission;
use self::earlier::{Earlier, keep};
use self::golden::Golden;
pub use self::least_sharpness::LeastSharpness;
use self::least_sharpness::least_of;
use self::strange::{Learned, LeftOut, of_two_kinds};

/// What to teach.
pub struct Teaching<'a> {
    /// Name of the article.
    pub article: &'a str,
    /// Good cloth, one source per lane of the station, in its order.
    pub sources: &'a [SourceSpec],
    /// Scale and light.
    pub station: &'a Station,
    /// What the threshold is to stand for.
    pub asked: FalseAlarms,
    /// The network underneath.
    pub backbone: &'a BackboneFile,
    /// ONNX Runtime.
    pub runtime: &'a Runtime,
    /// Inference workers.
    pub n_workers: usize,
    /// Whether to measure how small a flaw the model finds.
    pub with_limits: bool,
    /// Ends teaching without a model when set.
    pub stop: &'a AtomicBool,
}

/// A step that a person can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The camera's fixed pattern.
    Light,
    /// How features spread.
    Learn,
    /// What good cloth scores.
    Rehearse,
    /// The same once more, of cloth that is too much to be kept.
    Measure,
    /// How small a flaw is found.
    Limits,
}

/// What teaching gave.
pub struct TaughtArticle {
    /// The model, read back from its file.
    pub article: Article,
    /// Frames that could not be used, and why.
    pub left_out: Vec<String>,
    /// Frames that were left out because they are not like the others, or not the cloth that was
    /// taught before.
    pub strange: Vec<StrangeFrame>,
    /// Frames that were left out because they were taught before.
    pub n_known: usize,
    /// Frames of earlier cloth that can no longer be known again.
    pub n_forgotten: usize,
    /// Highest score of each frame that was learned from, 1.0 = threshold, judged without
    /// itself.
    pub highest: Vec<f32>,
}

/// Teaches an article and writes its model into `folder`. `progress` is called for every frame
/// of every pass with the number of frames, where it is known.
///
/// # Errors
/// When there is not one source per lane, one cannot be read or gives other planes than the
/// first, they show too little cloth or none with texture, or the model cannot be written.
pub fn teach(
    teaching: &Teaching<'_>,
    folder: &Path,
    progress: &mut dyn FnMut(Pass, Option<u64>),
) -> anyhow::Result<TaughtArticle> {
    teach_after(teaching, None, folder, progress)
}

/// Teaches `article` on with more good cloth, and writes a new model into `folder`. What was learned
/// adds up as if all cloth had been taught at once; the camera's fixed pattern stays as it was, and
/// so do the scores that earlier cloth had.
///
/// # Errors
/// As [`teach`]; when the memory beside the earlier model is missing or damaged, or network,
/// planes, scale or lanes are not as they were; and when the cloth is not the article's, or none of
/// it is new.
pub fn teach_more(
    teaching: &Teaching<'_>,
    article: &Article,
    folder: &Path,
    progress: &mut dyn FnMut(Pass, Option<u64>),
) -> anyhow::Result<TaughtArticle> {
    teach_after(teaching, Some(article), folder, progress)
}

fn teach_after(
    teaching: &Teaching<'_>,
    earlier: Option<&Article>,
    folder: &Path,
    progress: &mut dyn FnMut(Pass, Option<u64>),
) -> anyhow::Result<TaughtArticle> {
    let (lanes, backbone, earlier) = begin(teaching, earlier, progress)?;
    let channels = lanes.channels;
    let first = &teaching.station.lanes[0];
    let mm_per_row = first.mm_per_cell_row();

    let mut left_out = LeftOut::default();
    let mut admission = Some(Admission::after(earlier.as_ref())?);
    let (rehearsal, seen, golden) = loop {
        let mut teacher = match &earlier {
            Some(earlier) => Teacher::continuing(earlier.memory.clone(), REFERENCE, mm_per_row),
            None => Teacher::new(backbone.n_features, REFERENCE, mm_per_row, lanes.each.len()),
        };
        let mut seen = Seen::default();
        let mut learn = |lane, ordered| {
            match ordered {
                Ordered::Frame(frame) => {
                    if left_out.has(lane, &frame)? {
                        return Ok(());
                    }
                    let learned = Learned::of(lane, &frame);
                    if let Some(admission) = &mut admission
                        && let Some(refusal) = admission.refusal(&learned, &frame)
                    {
                        return left_out.refuse(&learned, &frame, refusal);
                    }
                    seen.note(learned, &frame, &teaching.station.lanes[lane])?;
                    teacher.learn(lane, &frame.block);
                }
                Ordered::Missed(missed) => {
                    let name = missed.origin.as_deref().unwrap_or("a frame");
                    let why = format!("{name}: {}: {}", missed.reason, missed.detail);
                    seen.left_out.push(why);
                }
                Ordered::Ended => {}
            }
            Ok(())
        };
        pass(teaching, &lanes, (Pass::Learn, &[]), progress, &mut learn)?;
        if admission.take().is_some() && earlier.is_some() {
            left_out.check_admitted(teaching.article, seen.learned.len())?;
        }

        let whitening = teacher.whitening()?;
        let filters = whitening.held_out_filters();
        let mut rehearsal = Rehearsal::new(whitening, mm_per_row);
        let mut golden = Golden::new(seen.learned.len() as u64);
        let mut rehearse = |lane, ordered| {
            if let Ordered::Frame(frame) = ordered
                && !left_out.has(lane, &frame)?
            {
                rehearsal.rehearse(lane, &frame.block);
                golden.see(&frame, &lanes.each[lane].correction)?;
            }
            Ok(())
        };
        let which = (Pass::Rehearse, filters.as_slice());
        pass(teaching, &lanes, which, progress, &mut rehearse)?;
        if rehearsal.wants_again() {
            let mut measure = |lane, ordered| {
                if let Ordered::Frame(frame) = ordered
                    && !left_out.has(lane, &frame)?
                {
                    rehearsal.rehearse(lane, &frame.block);
                }
                Ok(())
            };
            let which = (Pass::Measure, filters.as_slice());
            pass(teaching, &lanes, which, progress, &mut measure)?;
        }
        // More cloth was admitted frame by frame.
        if earlier.is_none()
            && let Some(kinds) = rehearsal.two_kinds()
        {
            anyhow::bail!(of_two_kinds(kinds, &seen.learned));
        }
        if !left_out.add(&rehearsal.outliers()?, &seen.learned)? {
            break (rehearsal, seen, golden);
        }
    };
    let earlier_focus = earlier.as_ref().map_or(Vec::new(), |earlier| {
        let lanes = earlier.passport.lanes.iter();
        lanes.map(|lane| lane.focus.clone()).collect()
    });
    let before = earlier.map(|earlier| earlier.passport.taught);
    let n_before = before.as_ref().map_or(0, |before| before.n_frames);
    let n_frames = seen.learned.len() as u64 + n_before;
    let cloth_m2 = seen.cloth_m2 + before.as_ref().map_or(0.0, |before| before.cloth_m2);
    let mut lesson = rehearsal.finish(cloth_m2 / n_frames as f64, teaching.asked);
    let frames = seen.learned.iter().map(|learned| learned.digest);
    lesson.memory.add_frames(frames);
    let n_forgotten = lesson.memory.n_forgotten();

    let mut names: Vec<String> = teaching.sources.iter().map(ToString::to_string).collect();
    names.splice(0..0, before.iter().map(|before| before.source.clone()));
    let n_left_out = seen.left_out.len() + left_out.n();
    let passport = Passport {
        format: PASSPORT_FORMAT,
        article: teaching.article.to_owned(),
        taught: Taught {
            at: now(),
            source: names.join(", "),
            n_frames,
            n_left_out: n_left_out as u64 + before.as_ref().map_or(0, |before| before.n_left_out),
            cloth_m2,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            runtime: teaching.runtime.version().to_owned(),
            device: teaching.runtime.device().to_owned(),
        },
        backbone,
        channels,
        mm_per_px: first.mm_per_px,
        mm_per_line: first.mm_per_line,
        lanes: lanes.columns(lesson.usual, &seen.focus, earlier_focus)?,
        reference: REFERENCE,
        judgement: lesson.judgement,
        evidence: lesson.evidence,
        likeness: lesson.likeness,
        limits: None,
    };
    let article = write_article(
        folder,
        teaching.backbone,
        (&lesson.whitener, &lesson.filters),
        &passport,
        &lesson.patterns,
        &golden.tiles,
        teaching.runtime,
    )?;
    let article = if teaching.with_limits {
        with_limits(teaching, &lanes, article, progress)?
    } else {
        article
    };
    keep(&article, &lesson.memory)?;
    Ok(TaughtArticle {
        article,
        left_out: seen.left_out,
        n_known: left_out.n_known(),
        n_forgotten,
        strange: left_out.into_frames(),
        highest: lesson.highest,
    })
}

/// The finished model with its detection limits in the passport. The one without is gone then,
/// whatever becomes of this.
fn with_limits(
    teaching: &Teaching<'_>,
    lanes: &Lanes,
    article: Article,
    progress: &mut dyn FnMut(Pass, Option<u64>),
) -> anyhow::Result<Article> {
    let measuring = Measuring {
        article: &article,
        lanes: &teaching.station.lanes,
        corrections: lanes
            .each
            .iter()
            .map(|lane| lane.correction.clone())
            .collect(),
        open: &|lane| open(teaching, lane),
        scorers: &|| scorers_of(&article, teaching.runtime, teaching.n_workers),
        stop: teaching.stop,
    };
    let measured = measure(&measuring, &mut || progress(Pass::Limits, None))
        .context("detection limits could not be measured; --no-limits teaches without them")
        .and_then(|limits| Ok(article.with_limits(limits)?));
    std::fs::remove_file(article.path())
        .with_context(|| format!("model {:?} cannot be removed", article.path()))?;
    measured
}

/// What the first pass through the line saw.
#[derive(Default)]
struct Seen {
    learned: Vec<Learned>,
    cloth_m2: f64,
    left_out: Vec<String>,
    /// How sharp each lane's cloth looks.
    focus: BTreeMap<usize, LeastSharpness>,
}

impl Seen {
    fn note(&mut self, learned: Learned, frame: &SeenFrame, lane: &Lane) -> anyhow::Result<()> {
        let pixels = &frame.head.frame;
        let focus = self.focus.entry(learned.lane).or_default();
        focus.add(&sharpness(pixels, frame.head.cloth)?);
        self.learned.push(learned);
        let across_m = f64::from(frame.head.cloth.n_columns()) * lane.mm_per_px / 1e3;
        let along_m = f64::from(pixels.height()) * lane.mm_per_line / 1e3;
        self.cloth_m2 += across_m * along_m;
        Ok(())
    }
}

/// What each lane's frames are, and how they are corrected.
struct Lanes {
    channels: Channels,
    each: Vec<TaughtLane>,
}

/// One of them.
struct TaughtLane {
    frame_width: u32,
    is_evened: bool,
    correction: Correction,
}

impl Lanes {
    /// What goes into the passport, with the usual distances that were learned, how sharp each lane's
    /// cloth looked, and how sharp it did `earlier`.
    fn columns(
        &self,
        usual: Vec<Vec<f32>>,
        focus: &BTreeMap<usize, LeastSharpness>,
        earlier: Vec<Vec<Option<[f32; 2]>>>,
    ) -> anyhow::Result<Vec<LaneColumns>> {
        let earlier = earlier.into_iter().map(Some).chain(std::iter::repeat(None));
        self.each
            .iter()
            .zip(usual)
            .zip(earlier)
            .enumerate()
            .map(|(index, ((lane, usual), earlier))| {
                let focus = focus.get(&index).map(LeastSharpness::found);
                let flat_field = lane.correction.flat_field.as_ref();
                Ok(LaneColumns {
                    frame_width: lane.frame_width,
                    flat_field: flat_field.map(serde_json::to_value).transpose()?,
                    usual,
                    evened: lane.is_evened,
                    focus: least_of(focus.unwrap_or_default(), earlier),
                })
            })
            .collect()
    }
}

/// Lanes and network, and what is continued, if it fits both.
fn begin(
    teaching: &Teaching<'_>,
    article: Option<&Article>,
    progress: &mut dyn FnMut(Pass, Option<u64>),
) -> anyhow::Result<(Lanes, Backbone, Option<Earlier>)> {
    let backbone = teaching.backbone.describe()?;
    let Some(article) = article else {
        let lanes = lanes_of(teaching, backbone.halo_px, None, progress)?;
        return Ok((lanes, backbone, None));
    };
    let passport = article.passport();
    let earlier = Earlier::of(article, teaching, &backbone)?;
    let lanes = lanes_of(teaching, backbone.halo_px, Some(&earlier), progress)?;
    ensure!(
        lanes.channels == passport.channels,
        "found {:?} frames, expected {:?} as it was taught before",
        lanes.channels,
        passport.channels
    );
    for (lane, taught) in lanes.each.iter().zip(&passport.lanes) {
        ensure!(
            lane.frame_width == taught.frame_width,
            "found frames of {} px, expected {} as it was taught before",
            lane.frame_width,
            taught.frame_width
        );
    }
    for index in 0..lanes.each.len() {
        check_light(article, teaching.station, index)?;
    }
    Ok((lanes, backbone, Some(earlier)))
}

/// The lanes as their sources describe them, each with its camera's fixed pattern, which stays
/// that of `earlier` cloth.
fn lanes_of(
    teaching: &Teaching<'_>,
    halo_px: usize,
    earlier: Option<&Earlier>,
    progress: &mut dyn FnMut(Pass, Option<u64>),
) -> anyhow::Result<Lanes> {
    let n_lanes = teaching.station.lanes.len();
    let first = &teaching.station.lanes[0];
    for (index, lane) in teaching.station.lanes.iter().enumerate() {
        ensure!(
            scales_agree(
                [first.mm_per_px, first.mm_per_line],
                [lane.mm_per_px, lane.mm_per_line]
            ),
            "found lane {} at {} x {} mm per pixel and lane 1 at {} x {}, expected one scale for all: a model is taught at one",
            index + 1,
            lane.mm_per_px,
            lane.mm_per_line,
            first.mm_per_px,
            first.mm_per_line
        );
    }
    let mut channels = None;
    let mut each = Vec::new();
    for index in 0..n_lanes {
        let opened = open(teaching, index)?;
        let shape = opened.description().shape;
        let found = model_channels(shape.channels);
        let expected = *channels.get_or_insert(found);
        ensure!(
            found == expected,
            "found {found:?} frames in {}, expected {expected:?} as in the first lane",
            opened.description().name
        );
        each.push(TaughtLane {
            frame_width: shape.width,
            is_evened: teaching.station.light_of(index).is_some(),
            correction: Correction {
                channels: shape.channels,
                joints: Joints::of(opened.description()),
                flat_field: match earlier {
                    Some(earlier) => earlier.flat_fields[index].clone(),
                    None => find_flat_field(opened, teaching.stop, progress)?,
                },
                light: teaching.station.light,
                halo_px,
            },
        });
    }
    Ok(Lanes {
        channels: channels.context("found no source of good cloth, expected one")?,
        each,
    })
}

/// The good cloth of one lane, from its beginning. A live source cannot be seen three times.
fn open(teaching: &Teaching<'_>, lane: usize) -> anyhow::Result<Box<dyn Source>> {
    // A source that ends by itself needs nobody to stop it.
    let opened = open_lane(teaching.sources, teaching.station, lane, &Arc::default())?;
    let description = opened.source.description();
    ensure!(
        !description.live,
        "found a live source, {}, expected good cloth that can be seen again: record it as images or a video first",
        description.name
    );
    Ok(opened.source)
}

/// One pass of all lanes through the line, one after the other.
fn pass(
    teaching: &Teaching<'_>,
    lanes: &Lanes,
    (which, filters): (Pass, &[Array2<f32>]),
    progress: &mut dyn FnMut(Pass, Option<u64>),
    each: &mut dyn FnMut(usize, Ordered) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (index, lane) in lanes.each.iter().enumerate() {
        let source = open(teaching, index)?;
        let n_frames = source.description().n_frames;
        let scorers = (0..teaching.n_workers)
            .map(|_| {
                let scorer =
                    teaching
                        .backbone
                        .raw_scorer(teaching.runtime, lanes.channels, filters)?;
                Ok(Box::new(scorer) as Box<dyn Scorer>)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let line = Line {
            // The only lane of this line, whichever of the station's it is.
            feeds: vec![Feed::of(source, Tiler::new(0, lane.correction.clone()))],
            scorers,
            stop: teaching.stop,
            depths: Depths::default(),
        };
        let endings = line::run(line, &mut |_, ordered| {
            if matches!(ordered, Ordered::Ended) {
                return Ok(());
            }
            if let Ordered::Frame(frame) = &ordered
                && let Some((_, problem)) = frame.failed.first()
            {
                anyhow::bail!("good cloth could not be scored: {problem}");
            }
            each(index, ordered)?;
            progress(which, n_frames);
            Ok(())
        })?;
        for ending in endings {
            ending?;
        }
        ensure!(
            !teaching.stop.load(Ordering::Relaxed),
            "stopped before teaching was done; no model was made"
        );
    }
    Ok(())
}

/// The camera's fixed pattern, where the good cloth shows one; `None` where there is too little
/// cloth to tell, or it contradicts itself.
fn find_flat_field(
    mut source: Box<dyn Source>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Pass, Option<u64>),
) -> anyhow::Result<Option<FlatField>> {
    let shape = source.description().shape;
    let n_frames = source.description().n_frames;
    let pool = Pool::new(2, shape.n_bytes());
    let mut estimator = FlatFieldEstimator::new(shape.width);
    while let Some(captured) = source.next(&pool)? {
        if let Captured::Frame(frame) = captured
            && let Some(cloth) = find_cloth(&frame)
        {
            estimator.add(&frame, cloth)?;
        }
        progress(Pass::Light, n_frames);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    match estimator.finish() {
        Ok(field) => Ok(Some(field)),
        Err(error) => {
            tracing::warn!(%error, "the camera's fixed pattern is not known; none is taken off");
            Ok(None)
        }
    }
}

/// The time, for records: RFC 3339.
pub(crate) fn now() -> String {
    time::OffsetDateTime::now_utc()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_else(|_| "unknown".to_owned())
}
