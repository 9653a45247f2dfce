//! An article measured on labelled images, each judged by itself.
//!
//! The images go through the same line as a roll, as loose frames: every image is its own
//! window, so their order changes nothing. A score is the highest smoothed cell score over the
//! image's cloth, 1.0 = threshold; pixel figures leave out what is not cloth and images whose
//! mask shows no defect.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::ensure;
use calibration::{Span, WebRect, um_from_mm};
use camera::Ending;
use models::{Article, CELL_PX, Judge, ScoreMap, Scorer, UNUSUAL};
use serde::Serialize;

use crate::channel::Depths;
use crate::classes::{Descriptor, Head, Kind, PixelPlace, measure};
use crate::config::{Lane, Station};
use crate::fitting::correction_for;
use crate::flaws::{Region, Sides, regions};
use crate::judging::{Ordered, SeenFrame};
use crate::labels::{Mask, MaskFolder};
use crate::line::{self, Feed, Line};
use crate::ranking::{PixelRanking, auroc};
use crate::source::{LooseImages, evened};
use crate::tiles::{Joints, Tiler};

/// The lane that images which stand alone are taken for.
pub(crate) const LANE: usize = 0;

/// What to measure on.
pub struct Evaluation<'a> {
    /// The model.
    pub model: &'a Article,
    /// Scale and light.
    pub station: &'a Station,
    /// Images of good cloth.
    pub good: &'a Path,
    /// Images with defects.
    pub defective: &'a Path,
    /// Their masks, if there are any.
    pub masks: Option<&'a Path>,
    /// What was taught of the article's classes, if anything was.
    pub head: Option<&'a Head>,
    /// Device the scorers run on.
    pub device: &'a str,
    /// Ends the evaluation when set.
    pub stop: &'a AtomicBool,
}

/// What `evaluate --json` prints. These keys are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The article.
    pub article: String,
    /// Every image that could be judged.
    pub images: Vec<ImageReport>,
    /// Files that could not be judged, and why.
    pub unreadable: Vec<String>,
    /// AUROC of the images' scores.
    pub image_auroc: Option<f64>,
    /// AUROC of pixels; `None` without masks.
    pub pixel_auroc: Option<f64>,
    /// Area under the per-region overlap; `None` without masks.
    pub au_pro: Option<f64>,
    /// Distance that scores 1.0.
    pub threshold: f64,
    /// Share of good images that are flagged.
    pub good_flagged: Option<f64>,
    /// Share of defective images that are flagged.
    pub defective_found: Option<f64>,
    /// What was flagged in defective images whose mask shows a defect; `None` without masks.
    pub flagged: Option<Flagged>,
    /// Pixels per second from file to score, in millions.
    pub mpx_per_second: f64,
    /// Device the network ran on.
    pub device: String,
}

/// Whether what is flagged is what the masks show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flagged {
    /// Defective images that are flagged and have a mask with a defect.
    pub images: usize,
    /// Those of them in which a flaw's box touches a mask.
    pub on_their_flaw: usize,
    /// Flaws in them whose box touches none.
    pub places_elsewhere: usize,
}

impl Flagged {
    /// Counts a defective image with these flaws.
    fn add(&mut self, flaws: &[ImageFlaw], mask: &Mask) {
        let is_on_mask = |flaw: &&ImageFlaw| mask.touches(flaw.x_px, flaw.y_px);
        let n_on_mask = flaws.iter().filter(is_on_mask).count();
        self.images += usize::from(!flaws.is_empty());
        self.on_their_flaw += usize::from(n_on_mask > 0);
        self.places_elsewhere += flaws.len() - n_on_mask;
    }
}

/// One image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// The file, as its folder was named.
    pub file: String,
    /// What it was said to be.
    pub label: Label,
    /// Highest score, 1.0 = threshold.
    pub score: f64,
    /// Whether that is above the threshold.
    pub flagged: bool,
    /// Flaws found in it.
    pub flaws: Vec<ImageFlaw>,
}

/// What an image was said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Without defect.
    Good,
    /// With at least one.
    Defective,
}

/// A flaw in an image, in pixels.
#[derive(Clone, Debug, Serialize)]
pub struct ImageFlaw {
    /// Columns, half-open.
    pub x_px: [usize; 2],
    /// Rows, half-open.
    pub y_px: [usize; 2],
    /// Highest score, 1.0 = threshold.
    pub score: f64,
    /// Its class.
    pub class: &'static str,
    /// Its severity.
    pub severity: &'static str,
    /// The figures that its class is told by.
    #[serde(skip)]
    pub descriptor: Descriptor,
}

/// Measures a model. `scorers` gives one scorer per worker, anew for each folder; `progress` is
/// called after every image with the number of images in its folder.
///
/// # Errors
/// When a folder or a mask cannot be read, or the line fails.
pub fn evaluate(
    evaluation: &Evaluation<'_>,
    scorers: &dyn Fn() -> anyhow::Result<Vec<Box<dyn Scorer>>>,
    progress: &mut dyn FnMut(Label, u64),
) -> anyhow::Result<Report> {
    let started = Instant::now();
    let mut so_far = SoFar {
        masks: evaluation.masks.map(MaskFolder::open).transpose()?,
        ..SoFar::default()
    };
    for (label, folder) in [
        (Label::Good, evaluation.good),
        (Label::Defective, evaluation.defective),
    ] {
        judge_folder(evaluation, scorers()?, label, folder, &mut so_far, progress)?;
    }
    ensure!(
        so_far.masks.is_none() || so_far.n_masks > 0,
        "found no mask for any defective image, expected NAME_mask*.png or NAME.png in {:?}",
        evaluation.masks.unwrap_or(Path::new(""))
    );
    let seconds = started.elapsed().as_secs_f64();
    let of = |label| {
        so_far
            .images
            .iter()
            .filter(move |image| image.label == label)
    };
    let share = |label| {
        let n = of(label).count();
        let flagged = of(label).filter(|image| image.flagged).count();
        (n > 0).then(|| flagged as f64 / n as f64)
    };
    let has_masks = evaluation.masks.is_some();
    Ok(Report {
        article: evaluation.model.passport().article.clone(),
        image_auroc: auroc(so_far.images.iter().map(|image| {
            let defective = f64::from(u8::from(image.label == Label::Defective));
            (image.score as f32, 1.0 - defective, defective)
        })),
        pixel_auroc: has_masks.then(|| so_far.pixels.auroc()).flatten(),
        au_pro: has_masks.then(|| so_far.pixels.au_pro()).flatten(),
        threshold: f64::from(evaluation.model.passport().judgement.threshold),
        good_flagged: share(Label::Good),
        defective_found: share(Label::Defective),
        flagged: has_masks.then_some(so_far.flagged),
        mpx_per_second: so_far.n_pixels as f64 / 1e6 / seconds.max(1e-9),
        device: evaluation.device.to_owned(),
        unreadable: so_far.unreadable,
        images: so_far.images,
    })
}

#[derive(Default)]
struct SoFar {
    masks: Option<MaskFolder>,
    n_masks: usize,
    images: Vec<ImageReport>,
    unreadable: Vec<String>,
    pixels: PixelRanking,
    flagged: Flagged,
    n_pixels: u64,
}

fn judge_folder(
    evaluation: &Evaluation<'_>,
    scorers: Vec<Box<dyn Scorer>>,
    label: Label,
    folder: &Path,
    so_far: &mut SoFar,
    progress: &mut dyn FnMut(Label, u64),
) -> anyhow::Result<()> {
    let Evaluation {
        model,
        station,
        stop,
        ..
    } = *evaluation;
    let lane = &station.lanes[LANE];
    let mut judge = model.judge_alone(LANE, lane.mm_per_cell_row());
    look_at_images(
        model,
        station,
        folder,
        scorers,
        stop,
        &mut |image, n_files| {
            match image {
                Looked::Seen(file, seen) => {
                    so_far.judged(label, file, seen, &mut judge, (lane, evaluation.head))?;
                }
                Looked::Missed(problem) => so_far.unreadable.push(problem),
            }
            progress(label, n_files);
            Ok(())
        },
    )
}

/// What the line made of one image.
pub(crate) enum Looked<'a> {
    /// The file, and its features.
    Seen(&'a Path, &'a SeenFrame),
    /// The file, and why it could not be looked at.
    Missed(String),
}

/// Sends the images of a folder through the line, each by itself, and hands them to `see` in the
/// order of their names, with the number of files.
///
/// # Errors
/// When the folder cannot be read, the line fails or is stopped, or `see` fails.
pub(crate) fn look_at_images(
    model: &Article,
    station: &Station,
    folder: &Path,
    scorers: Vec<Box<dyn Scorer>>,
    stop: &AtomicBool,
    see: &mut dyn FnMut(Looked<'_>, u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let source = LooseImages::open(folder, 0)?;
    let files = source.files().to_vec();
    let n_files = files.len() as u64;
    let source = evened(Box::new(source), station, LANE)?;
    let correction = correction_for(model, station, LANE, Joints::Loose)?;
    let line = Line {
        feeds: vec![Feed::of(source, Tiler::new(LANE, correction))],
        scorers,
        stop,
        depths: Depths::default(),
    };
    let endings = line::run(line, &mut |_, ordered| match ordered {
        Ordered::Frame(seen) => {
            let file = &files[seen.head.frame.sequence as usize];
            see(Looked::Seen(file, &seen), n_files)
        }
        Ordered::Missed(missed) => {
            let file = files[missed.sequence as usize].display();
            let problem = format!("{file}: {}: {}", missed.reason, missed.detail);
            see(Looked::Missed(problem), n_files)
        }
        Ordered::Ended => Ok(()),
    })?;
    for ending in endings {
        ensure!(
            ending?.ending != Ending::Stopped,
            "stopped before all images were judged; nothing was measured"
        );
    }
    Ok(())
}

impl SoFar {
    fn judged(
        &mut self,
        label: Label,
        file: &Path,
        seen: &SeenFrame,
        judge: &mut Judge,
        (lane, head): (&Lane, Option<&Head>),
    ) -> anyhow::Result<()> {
        let frame = &seen.head.frame;
        let name = file.display().to_string();
        if let Some((_, problem)) = seen.failed.first() {
            self.unreadable
                .push(format!("{name}: worker_failed: {problem}"));
            return Ok(());
        }
        self.n_pixels += u64::from(frame.width()) * u64::from(frame.height());
        let map = judge.judge(&seen.block);
        let score = f64::from(map.highest());
        let flaws = image_flaws(seen, &map, lane, head)?;
        if let Some(masks) = &self.masks {
            let mask = match label {
                Label::Good => Some(Mask::good(frame.width(), frame.height())),
                // A defective image without a visible defect in its mask says nothing of pixels.
                Label::Defective => {
                    let mask = masks.find(file, frame.width(), frame.height())?;
                    self.n_masks += usize::from(mask.is_some());
                    mask.filter(|mask| mask.n_defects() > 0)
                }
            };
            if let Some(mask) = mask {
                let cloth = seen.head.cloth.columns();
                mask.rank(&map, cloth, &mut self.pixels);
                if label == Label::Defective {
                    self.flagged.add(&flaws, &mask);
                }
            }
        }
        self.images.push(ImageReport {
            file: name,
            label,
            score,
            flagged: score > 1.0,
            flaws,
        });
        Ok(())
    }
}

/// The flaws of an image that stands alone.
///
/// # Errors
/// When a place is beyond what `i64` micrometres can count.
pub(crate) fn image_flaws(
    seen: &SeenFrame,
    map: &ScoreMap,
    lane: &Lane,
    head: Option<&Head>,
) -> anyhow::Result<Vec<ImageFlaw>> {
    regions(map, UNUSUAL, &Sides::ALONE)
        .iter()
        .filter(|region| region.highest > 1.0)
        .map(|region| image_flaw(seen, map, region, lane, head))
        .collect()
}

fn image_flaw(
    seen: &SeenFrame,
    map: &ScoreMap,
    region: &Region,
    lane: &Lane,
    head: Option<&Head>,
) -> anyhow::Result<ImageFlaw> {
    let frame = &seen.head.frame;
    let px = |cells: &std::ops::Range<usize>, most: u32| {
        [
            cells.start * CELL_PX,
            (cells.end * CELL_PX).min(most as usize),
        ]
    };
    let x_px = px(&region.cols, frame.width());
    let y_px = px(&region.rows, frame.height());
    let span = |[start, end]: [usize; 2], mm: f64| {
        Span::new(um_from_mm(start as f64 * mm), um_from_mm(end as f64 * mm))
    };
    let rect = WebRect {
        along: span(y_px, lane.mm_per_line)?,
        across: span(x_px, lane.mm_per_px)?,
    };
    let cell_um2 = lane.mm_per_line * lane.mm_per_px * (CELL_PX * CELL_PX) as f64 * 1e6;
    let place = PixelPlace {
        x_mm: 0.0,
        y_mm: 0.0,
        mm_per_px: lane.mm_per_px,
        lens: lane
            .lens
            .filter(|lens| lens.width_px() == seen.head.frame.width()),
        mm_per_line: lane.mm_per_line,
        owned: 0..usize::MAX,
    };
    let descriptor = Descriptor::of(
        &rect,
        (region.n_cells as f64 * cell_um2).round() as i64,
        region.highest,
        &measure(frame, seen.head.cloth, map, region, &place),
        um_from_mm(f64::from(seen.head.cloth.n_columns()) * lane.mm_per_px),
    );
    let kind = Kind::of(&descriptor, head);
    Ok(ImageFlaw {
        x_px,
        y_px,
        score: f64::from(region.highest),
        class: kind.class.as_str(),
        severity: kind.severity.as_str(),
        descriptor,
    })
}
