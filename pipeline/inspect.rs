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
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use calibration::LaneGeometry;
use camera::{CaptureCounts, Depth, Ending, Source};
use image::{ExtendedColorType, ImageEncoder};
use models::{Article, CELL_PX, Judge, ScoreMap, Scorer, UNUSUAL};
use store::{
    EndState, EventSeverity, FlawId, LengthKnown, Name, NewFlaw, NewRun, RollChoice, RunEnd, RunId,
    Store,
};

use crate::channel::Tx;
use crate::config::Station;
use crate::fitting::{camera_channels, check_scale, correction_for};
use crate::flaws::{Region, regions};
use crate::judging::{Ordered, SeenFrame};
use crate::line::{self, Line};
use crate::record::{Event, Page};
use crate::roll::{Cover, CoverState, Ledger};
use crate::stitch::{Cutout, Flaw, FramePlace, Stitch};
use crate::tiles::{GapReason, Joints, TilePlace, Tiler};

/// Candidates kept of those that end with one frame, strongest first: places near the
/// threshold, so that a roll can be graded under other rules without being looked at again.
const MOST_CANDIDATES: usize = 50;
/// Flaws of one frame, and share of its cloth flagged, from which it is no longer looked at flaw
/// by flaw. Fifty in a frame are a thousand in a square metre and more.
const MOST_FLAWS: usize = 50;
const MOST_FLAGGED: f64 = 0.5;
/// Pixels around a flaw in its crop.
const CROP_MARGIN_PX: u32 = 48;
/// Largest side of a crop, in pixels.
const CROP_MOST_PX: u32 = 512;

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

/// Inspects one roll. `announce` hears of every flaw that is in the store, on the recorder's
/// thread; `progress` is called for every frame that has been dealt with.
///
/// # Errors
/// What ended the line before the roll's end; the run is in the store as aborted then.
pub fn inspect(
    inspection: Inspection<'_>,
    source: Box<dyn Source>,
    mut store: Store,
    announce: &mut (dyn FnMut(FlawId, &NewFlaw) + Send),
    progress: &mut dyn FnMut(),
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
    let wanted = camera_channels(model.passport().channels);
    ensure!(
        wanted == camera::Channels::Grey || description.shape.channels == wanted,
        "{} gives grey frames, expected colour: article {:?} was taught on colour",
        description.name,
        article.as_str()
    );
    let taught_width = model.passport().taught.frame_width;
    if taught_width != description.shape.width {
        tracing::warn!(
            found = description.shape.width,
            taught = taught_width,
            "frames are not as wide as taught: what single columns usually show is not known"
        );
    }
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
        station.lane.mm_per_cell_row(),
    );
    let mut roll = Roll {
        judge,
        stitch: Stitch::default(),
        ledger: Ledger::new(geometry),
        geometry,
        held: Vec::new(),
        n_frames: 0,
        n_loose: 0,
    };
    let line = Line {
        source,
        tiler: Tiler::new(correction),
        scorers,
        stop,
    };
    let recorded = line::recorded(&mut store, run, announce, |pages| {
        let ran = line::run(line, &mut |ordered| {
            send(pages, roll.page(ordered)?)?;
            progress();
            Ok(())
        });
        let mut last = roll.last_page();
        last.events.extend(roll.joints_event());
        send(pages, last)?;
        // A line that failed half way leaves a true, short roll behind.
        Ok(ran)
    });
    end_run(&mut store, run, &roll.ledger, recorded)?;
    Ok((store, run))
}

/// Ends a run in the store, whatever became of it.
fn end_run(
    store: &mut Store,
    run: RunId,
    ledger: &Ledger,
    recorded: anyhow::Result<anyhow::Result<CaptureCounts>>,
) -> anyhow::Result<()> {
    let (length_um, ran) = match recorded {
        Ok(ran) => (ledger.length()?.get(), ran),
        // What the ledger holds and the store does not was not inspected.
        Err(error) => (written_length(store, run), Err(error)),
    };
    let ending = ran.and_then(|counts| ledger.check().map(|()| counts.ending));
    let (state, message) = match &ending {
        Ok(Ending::EndOfSource) => (EndState::Done, None),
        Ok(Ending::Stopped | Ending::Refused) => (
            EndState::Aborted,
            Some("stopped before the end of the source".to_owned()),
        ),
        Err(error) => (EndState::Aborted, Some(format!("{error:#}"))),
    };
    let finished = store.finish_run(
        run,
        &RunEnd {
            length_um,
            width_um: ledger.width().get(),
            state,
            message,
        },
    );
    // What went wrong first is what a person must hear of.
    ending?;
    finished.context("the run's end could not be written; it stays in the store as not ended")
}

/// Length of the web as far as its coverage is in the store, in µm; 0 when that cannot be read.
fn written_length(store: &Store, run: RunId) -> i64 {
    let coverage = store.coverage(run).unwrap_or_default();
    let start = coverage.iter().map(|cell| cell.rect.along().start).min();
    let end = coverage.iter().map(|cell| cell.rect.along().end).max();
    end.zip(start).map_or(0, |(end, start)| end - start)
}

fn send(pages: &Tx<Page>, page: Page) -> anyhow::Result<()> {
    pages
        .send(page)
        .map_err(|_| anyhow::anyhow!("the recorder is gone"))
}

/// What is known of the roll so far.
struct Roll {
    judge: Judge,
    stitch: Stitch,
    ledger: Ledger,
    geometry: LaneGeometry,
    /// Coverage since the beginning of a flaw that is still running. It is written with the
    /// flaw: a store that a power cut leaves behind must not call cloth inspected whose flaw it
    /// does not have.
    held: Vec<Cover>,
    n_frames: u64,
    /// Frames that do not continue the one before.
    n_loose: u64,
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
                page.coverage.extend(self.ledger.missed(&missed)?);
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
        self.n_frames += 1;
        self.n_loose += u64::from(!seen.head.continues);
        let map = self.judge.judge(&seen.block);
        let found = regions(&map, UNUSUAL);
        let flood = flood(&map, &found);
        let state = match flood {
            Some(_) => CoverState::Gap(GapReason::TooManyFlaws),
            None => CoverState::Inspected,
        };
        self.held.extend(self.ledger.frame(seen, state)?);
        let mut page = Page {
            events: seen
                .failed
                .iter()
                .map(|(place, problem)| failed_event(seen, place, problem))
                .collect(),
            ..Page::default()
        };
        let frame = &seen.head.frame;
        if let Some(message) = flood {
            let ended = self.stitch.finish();
            self.enter(ended, &mut page);
            page.events.push(Event {
                kind: GapReason::TooManyFlaws.as_str(),
                severity: EventSeverity::Warning,
                message: format!("frame {}: {message}", frame.sequence),
            });
            return Ok(page);
        }
        let place = FramePlace {
            geometry: &self.geometry,
            ticks: frame.ticks.clone(),
            height: frame.height() as usize,
            joins_above: seen.head.above == models::Rim::Joined,
        };
        let ended = self.stitch.push(&place, &found, |region| {
            (region.highest > 1.0).then(|| cut(seen, region)).flatten()
        })?;
        self.enter(ended, &mut page);
        Ok(page)
    }

    /// How many frames do not continue the one before, if any.
    fn joints_event(&self) -> Option<Event> {
        (self.n_loose > 0).then(|| Event {
            kind: "loose_joints",
            severity: EventSeverity::Info,
            message: format!(
                "{} of {} frames do not continue the one before; nothing is stitched across there",
                self.n_loose, self.n_frames
            ),
        })
    }

    /// What is still open where the cloth ends.
    fn last_page(&mut self) -> Page {
        let mut page = Page::default();
        let ended = self.stitch.finish();
        self.enter(ended, &mut page);
        page
    }

    /// What has ended is a flaw when it came above the threshold anywhere, else a candidate.
    /// Coverage goes with it as soon as no flaw is running.
    fn enter(&mut self, ended: Vec<Flaw>, page: &mut Page) {
        let (flaws, mut near): (Vec<Flaw>, Vec<Flaw>) =
            ended.into_iter().partition(|flaw| flaw.score > 1.0);
        near.sort_by(|a, b| b.score.total_cmp(&a.score));
        near.truncate(MOST_CANDIDATES);
        let width = self.ledger.width();
        page.flaws = flaws.into_iter().map(|flaw| (flaw, width)).collect();
        page.candidates = near.iter().map(|near| (near.rect, near.score)).collect();
        if !self.stitch.is_flaw_running() {
            page.coverage = std::mem::take(&mut self.held);
        }
    }
}

/// Why a frame's flaws are too many to be told one by one, if they are.
fn flood(map: &ScoreMap, found: &[Region]) -> Option<String> {
    let n_flaws = found.iter().filter(|region| region.highest > 1.0).count();
    let scores = map.judged_scores();
    let n_flagged = scores.iter().filter(|score| **score > 1.0).count();
    let share = n_flagged as f64 / scores.len().max(1) as f64;
    (n_flaws > MOST_FLAWS || share > MOST_FLAGGED).then(|| {
        format!(
            "found {n_flaws} flaws and {:.0} % of the cloth flagged, expected at most {MOST_FLAWS} flaws and {:.0} %: is it this article, and is the light right?",
            share * 100.0,
            MOST_FLAGGED * 100.0
        )
    })
}

fn failed_event(seen: &SeenFrame, place: &TilePlace, problem: &str) -> Event {
    let (row, column) = (place.row * CELL_PX, place.col * CELL_PX);
    let frame = seen.head.frame.sequence;
    tracing::error!(frame, row, column, problem, "a tile could not be scored");
    Event {
        kind: GapReason::WorkerFailed.as_str(),
        severity: EventSeverity::Error,
        message: format!("frame {frame}, tile at row {row}, column {column}: {problem}"),
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
