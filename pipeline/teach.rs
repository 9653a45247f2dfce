//! Good cloth in, one `.onnx` article model out.
//!
//! ```text
//! pass 0: the camera's fixed pattern   pass 1: spread of features   pass 2: scores of held-out
//!         (frames only)                        (Teacher)                     cloth (Rehearsal)
//! ```
//!
//! Each pass opens the source anew, so a folder of any length needs no memory for its frames.
//! Passes 1 and 2 run through the same line as inspection. Frames that cannot be used are
//! counted and told, never learned from.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use calibration::{Evener, FlatField, FlatFieldEstimator, find_cloth};
use camera::{Captured, Pool};
use models::onnx::Runtime;
use models::teach::{REFERENCE, Rehearsal, Teacher};
use models::{
    Article, BackboneFile, Channels, FalseAlarms, PASSPORT_FORMAT, Passport, Scorer, Taught,
    write_article,
};
use ndarray::Array3;

use crate::config::Station;
use crate::fitting::{camera_channels, model_channels};
use crate::judging::{Ordered, SeenFrame};
use crate::line::{self, Feed, Line};
use crate::source::SourceSpec;
use crate::tiles::{Correction, Joints, Tiler};

/// Golden tiles of a model: from the first, the middle and the last frame.
const N_GOLDEN: u64 = 3;

/// What to teach.
pub struct Teaching<'a> {
    /// Name of the article.
    pub article: &'a str,
    /// Good cloth.
    pub source: &'a SourceSpec,
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
}

/// What teaching gave.
pub struct TaughtArticle {
    /// The model, read back from its file.
    pub article: Article,
    /// Frames that could not be used, and why.
    pub left_out: Vec<String>,
    /// Highest score of each frame that was learned from, 1.0 = threshold, judged without
    /// itself.
    pub highest: Vec<f32>,
}

/// Teaches an article and writes its model into `folder`. `progress` is called for every frame
/// of every pass with the number of frames, where it is known.
///
/// # Errors
/// When the source cannot be read, shows too little cloth or none with texture, or the model
/// cannot be written.
pub fn teach(
    teaching: &Teaching<'_>,
    folder: &Path,
    progress: &mut dyn FnMut(Pass, Option<u64>),
) -> anyhow::Result<TaughtArticle> {
    let first = teaching.source.open()?;
    let description = first.description().clone();
    drop(first);
    let channels = model_channels(description.shape.channels);
    let flat_field = find_flat_field(teaching, progress)?;
    let correction = Correction {
        channels: camera_channels(channels),
        flat_field,
        light: teaching.station.light,
        joints: Joints::Measured,
    };
    let mm_per_row = teaching.station.lanes[0].mm_per_cell_row();
    let n_features = teaching.backbone.describe(channels)?.n_features;

    let mut teacher = Teacher::new(n_features, REFERENCE, mm_per_row);
    let mut seen = Seen::default();
    pass(
        teaching,
        &correction,
        channels,
        Pass::Learn,
        progress,
        &mut |ordered| {
            match ordered {
                Ordered::Frame(frame) => {
                    seen.note(&frame, teaching.station);
                    teacher.learn(&frame.block);
                }
                Ordered::Missed(missed) => {
                    let name = missed.origin.as_deref().unwrap_or("a frame");
                    let why = format!("{name}: {}: {}", missed.reason, missed.detail);
                    seen.left_out.push(why);
                }
                Ordered::Ended => {}
            }
            Ok(())
        },
    )?;
    let whitening = teacher.whitening()?;

    let mut rehearsal = Rehearsal::new(whitening, mm_per_row);
    let mut golden = Golden::new(&correction, seen.n_frames);
    pass(
        teaching,
        &correction,
        channels,
        Pass::Rehearse,
        progress,
        &mut |ordered| {
            if let Ordered::Frame(frame) = ordered {
                rehearsal.rehearse(&frame.block);
                golden.see(&frame)?;
            }
            Ok(())
        },
    )?;
    let block_m2 = seen.cloth_m2 / seen.n_frames as f64;
    let lesson = rehearsal.finish(block_m2, teaching.asked);

    let passport = Passport {
        format: PASSPORT_FORMAT,
        article: teaching.article.to_owned(),
        taught: Taught {
            at: now(),
            source: teaching.source.to_string(),
            n_frames: seen.n_frames,
            n_left_out: seen.left_out.len() as u64,
            frame_width: description.shape.width,
            cloth_m2: seen.cloth_m2,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            runtime: teaching.runtime.version().to_owned(),
            device: teaching.runtime.device().to_owned(),
        },
        backbone: teaching.backbone.describe(channels)?,
        channels,
        mm_per_px: teaching.station.lanes[0].mm_per_px,
        mm_per_line: teaching.station.lanes[0].mm_per_line,
        flat_field: correction
            .flat_field
            .as_ref()
            .map(serde_json::to_value)
            .transpose()?,
        reference: REFERENCE,
        judgement: lesson.judgement,
        evidence: lesson.evidence,
    };
    let article = write_article(
        folder,
        teaching.backbone,
        &lesson.whitener,
        &passport,
        &golden.tiles,
        teaching.runtime,
    )?;
    Ok(TaughtArticle {
        article,
        left_out: seen.left_out,
        highest: lesson.highest,
    })
}

/// What the first pass through the line saw.
#[derive(Default)]
struct Seen {
    n_frames: u64,
    cloth_m2: f64,
    left_out: Vec<String>,
}

impl Seen {
    fn note(&mut self, frame: &SeenFrame, station: &Station) {
        let pixels = &frame.head.frame;
        self.n_frames += 1;
        let across_m = f64::from(frame.head.cloth.n_columns()) * station.lanes[0].mm_per_px / 1e3;
        let along_m = f64::from(pixels.height()) * station.lanes[0].mm_per_line / 1e3;
        self.cloth_m2 += across_m * along_m;
    }
}

/// One pass of the whole source through the line.
fn pass(
    teaching: &Teaching<'_>,
    correction: &Correction,
    channels: Channels,
    which: Pass,
    progress: &mut dyn FnMut(Pass, Option<u64>),
    each: &mut dyn FnMut(Ordered) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let source = teaching.source.open()?;
    let n_frames = source.description().n_frames;
    let scorers = (0..teaching.n_workers)
        .map(|_| {
            let scorer = teaching.backbone.raw_scorer(teaching.runtime, channels)?;
            Ok(Box::new(scorer) as Box<dyn Scorer>)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let line = Line {
        feeds: vec![Feed {
            source,
            tiler: Tiler::new(0, correction.clone()),
        }],
        scorers,
        stop: teaching.stop,
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
        each(ordered)?;
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
    Ok(())
}

/// The camera's fixed pattern, where the good cloth shows one; `None` where there is too little
/// cloth to tell, or it contradicts itself.
fn find_flat_field(
    teaching: &Teaching<'_>,
    progress: &mut dyn FnMut(Pass, Option<u64>),
) -> anyhow::Result<Option<FlatField>> {
    let mut source = teaching.source.open()?;
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
        if teaching.stop.load(Ordering::Relaxed) {
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

/// Collects the golden tiles.
struct Golden<'a> {
    correction: &'a Correction,
    evener: Evener,
    wanted: Vec<u64>,
    n_seen: u64,
    tiles: Vec<Array3<f32>>,
}

impl<'a> Golden<'a> {
    fn new(correction: &'a Correction, n_frames: u64) -> Self {
        let last = n_frames.saturating_sub(1);
        let mut wanted: Vec<u64> = (0..N_GOLDEN).map(|i| i * last / (N_GOLDEN - 1)).collect();
        wanted.dedup();
        Self {
            correction,
            evener: Evener::new(),
            wanted,
            n_seen: 0,
            tiles: Vec::new(),
        }
    }

    fn see(&mut self, seen: &SeenFrame) -> anyhow::Result<()> {
        let index = self.n_seen;
        self.n_seen += 1;
        let (frame, cloth) = (&seen.head.frame, seen.head.cloth);
        if !self.wanted.contains(&index) {
            return Ok(());
        }
        let even = self
            .evener
            .even(
                frame,
                cloth,
                self.correction.flat_field_for(frame),
                self.correction.channels,
            )
            .context("a golden tile could not be cut")?;
        self.tiles.push(even.planes);
        Ok(())
    }
}

fn now() -> String {
    time::OffsetDateTime::now_utc()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_else(|_| "unknown".to_owned())
}
