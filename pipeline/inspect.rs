//! One roll through the line into the store.
//!
//! ```text
//! sources ─▶ line ─▶ Ordered ─▶ Web ─▶ Page ─▶ recorder
//! ```
//!
//! Begins a run in the store, ends it whatever happens: `done` when the ledger adds up,
//! `aborted` with the reason when the line failed or was stopped. What was found until then
//! stays. Nothing here depends on how many workers there are.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use calibration::LaneGeometry;
use camera::{Ending, Source};
use models::{Article, Scorer};
use store::{EndState, EventSeverity, LengthKnown, Name, NewRun, RollChoice, RunEnd, RunId, Store};

use crate::channel::Tx;
use crate::config::{Lane, Station};
use crate::fitting::{camera_channels, check_scale, correction_for, tell_unknown_columns};
use crate::judging::Ordered;
use crate::line::{self, Endings, Feed, Line};
use crate::new_cloth::LengthFacts;
use crate::record::{Event, Page, Written};
use crate::resume::{Begin, Start, cut_off_run};
use crate::roll::{LanePlace, Ledger};
use crate::source::LaneSource;
use crate::tiles::{Joints, Tiler};
use crate::web::{LaneStart, Web};

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
    /// Where frames come from: one source per lane of the station, from the left.
    pub sources: Vec<LaneSource>,
    /// One per worker.
    pub scorers: Vec<Box<dyn Scorer>>,
    /// Version of ONNX Runtime, for the run's record.
    pub runtime_version: String,
    /// Device the scorers run on, for the run's record.
    pub device: String,
    /// Whether to begin a run or to go on with one.
    pub begin: Begin,
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
    mut store: Store,
    announce: &mut (dyn FnMut(Written<'_>) + Send),
    progress: &mut dyn FnMut(),
) -> anyhow::Result<(Store, RunId)> {
    check(&inspection)?;
    let places = places(&inspection)?;
    let Inspection {
        model,
        station,
        stop,
        ..
    } = inspection;
    let starts = places.iter().zip(&station.lanes).enumerate();
    let mut web = Web::new(
        starts
            .map(|(nth, (place, lane))| LaneStart {
                place: *place,
                mm_per_line: lane.mm_per_line,
                judge: model.judge(nth, lane.mm_per_cell_row()),
            })
            .collect(),
    );
    let corrections = (inspection.sources.iter().enumerate())
        .map(|(lane, opened)| {
            let joints = Joints::of(opened.source.description());
            correction_for(model, station, lane, joints)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let new = new_run(&inspection)?;
    let opened = inspection.sources.into_iter();
    let (sources, lengths): (Vec<_>, Vec<_>) =
        opened.map(|lane| (lane.source, lane.length)).unzip();
    let (run, started) = match inspection.begin {
        Begin::New => (store.begin_run(&new)?, Ok(Start::of_new(sources))),
        Begin::Resume { passed } => {
            let run = cut_off_run(&store, &new, &sources, passed)?;
            // From here on the run is ours, and nobody adds to what is read of it.
            store.resume_run(run)?;
            let window_mm = model.passport().reference.window_mm;
            let resumed = Start::of_rest(&store, run, sources, &mut web, window_mm, passed);
            (run, resumed)
        }
    };
    let Start {
        sources,
        first_page: mut first,
    } = match started {
        Ok(start) => start,
        Err(error) => return Err(abort(&mut store, run, web.ledger(), error)),
    };
    let lanes = sources
        .into_iter()
        .zip(corrections)
        .zip(&places)
        .enumerate();
    let feeds = lanes.map(|(lane, (((source, from_tick), correction), place))| Feed {
        source,
        from_tick,
        um_per_tick: place.geometry.um_per_tick(),
        tiler: Tiler::new(lane, correction),
    });
    let line = Line {
        feeds: feeds.collect(),
        scorers: inspection.scorers,
        stop,
    };
    let recorded = line::recorded(&mut store, run, announce, |pages| {
        send(pages, std::mem::take(&mut first))?;
        let ran = line::run(line, &mut |lane, ordered| {
            let is_end = matches!(ordered, Ordered::Ended);
            send(pages, web.page(lane, ordered)?)?;
            if !is_end {
                progress();
            }
            Ok(())
        });
        let has_failed = |lane: usize| {
            let endings = ran.as_ref().ok();
            endings.is_some_and(|endings| endings.get(lane).is_some_and(Result::is_err))
        };
        // A line that failed half way leaves a true, short roll behind.
        let mut last = web.last_page(has_failed)?;
        last.events.extend(lengths_event(&lengths));
        send(pages, last)?;
        Ok(ran)
    });
    end_run(&mut store, run, web.ledger(), recorded)?;
    Ok((store, run))
}

/// Refuses what cannot be inspected, before a run is begun.
fn check(inspection: &Inspection<'_>) -> anyhow::Result<()> {
    let passport = inspection.model.passport();
    check_scale(inspection.model, inspection.station)?;
    let (found, expected) = (inspection.sources.len(), inspection.station.lanes.len());
    ensure!(
        found == expected,
        "found {found} sources for {expected} lanes, expected one for each lane of the station, from the left"
    );
    let wanted = camera_channels(passport.channels);
    for (lane, opened) in inspection.sources.iter().enumerate() {
        let description = opened.source.description();
        ensure!(
            wanted == camera::Channels::Grey || description.shape.channels == wanted,
            "{} gives grey frames, expected colour: article {:?} was taught on colour",
            description.name,
            inspection.article.as_str()
        );
        tell_unknown_columns(inspection.model, lane, description.shape.width);
    }
    Ok(())
}

/// Where the lanes lie on the web.
fn places(inspection: &Inspection<'_>) -> anyhow::Result<Vec<LanePlace>> {
    let lanes = inspection.station.lanes.iter().zip(&inspection.sources);
    let geometries = lanes
        .map(|(lane, opened)| {
            let description = opened.source.description();
            Ok(LaneGeometry::new(
                lane.mm_per_px,
                lane.mm_per_line * 1e3 / description.ticks_per_line as f64,
                lane.offset,
                description.shape.width,
            )?)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    LanePlace::of_lanes(&geometries)
}

/// Everything that a result depends on, for the run's record.
fn new_run(inspection: &Inspection<'_>) -> anyhow::Result<NewRun> {
    let Inspection { model, station, .. } = inspection;
    let lane = |lane: &Lane| {
        serde_json::json!({
            "mm_per_px": lane.mm_per_px,
            "mm_per_line": lane.mm_per_line,
            "offset_um": lane.offset.get(),
            "overlapping": lane.overlapping.map(|settings| format!("{:?}, length by {:?}", settings.motion, settings.length)),
        })
    };
    let columns = model.passport().lanes.iter();
    let flat_fields: Vec<_> = columns.map(|columns| &columns.flat_field).collect();
    Ok(NewRun {
        roll: inspection.roll.clone(),
        roll_choice: RollChoice::LatestOrNew,
        article: inspection.article.clone(),
        model: store::Digest::new(model.digest())?,
        calibration_json: serde_json::json!({
            "lanes": station.lanes.iter().map(lane).collect::<Vec<_>>(),
            "light": station.light,
            "flat_fields": flat_fields,
        })
        .to_string(),
        engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_version: inspection.runtime_version.clone(),
        device: inspection.device.clone(),
        batch_shape: format!("1 x {}", model.passport().channels.n_planes()),
        mm_per_px: station.lanes[0].mm_per_px,
        station: station.name.as_deref().map(Name::new).transpose()?,
        length_known: length_known(&inspection.sources),
    })
}

/// How the web's length will be known: by the lane that knows it least.
fn length_known(sources: &[LaneSource]) -> LengthKnown {
    let known = sources.iter().map(|lane| match &lane.length {
        Some(facts) => facts.length_known(),
        None => LengthKnown::Nominal,
    });
    known
        .min_by_key(|known| match known {
            LengthKnown::Nominal => 0,
            LengthKnown::Measured => 1,
            LengthKnown::Encoder => 2,
        })
        .unwrap_or(LengthKnown::Nominal)
}

/// How much of the length turned out not to be measured, if any.
fn lengths_event(lengths: &[Option<Arc<LengthFacts>>]) -> Option<Event> {
    let facts = || lengths.iter().flatten();
    let n_nominal: u64 = facts().map(|facts| facts.n_nominal()).sum();
    let n_measured: u64 = facts().map(|facts| facts.n_measured()).sum();
    (n_nominal > 0).then(|| Event {
        kind: "nominal_length",
        severity: EventSeverity::Warning,
        message: format!(
            "{n_nominal} of {} movements of the cloth could not be measured and stand at their nominal length",
            n_nominal + n_measured
        ),
    })
}

/// Ends a run that could not be gone on with, and gives back why.
fn abort(store: &mut Store, run: RunId, ledger: &Ledger, error: anyhow::Error) -> anyhow::Error {
    match end_run(store, run, ledger, Err(error)) {
        Err(error) => error,
        Ok(()) => anyhow::anyhow!("the run was ended as aborted"),
    }
}

/// Ends a run in the store, whatever became of it.
fn end_run(
    store: &mut Store,
    run: RunId,
    ledger: &Ledger,
    recorded: anyhow::Result<anyhow::Result<Endings>>,
) -> anyhow::Result<()> {
    let (length_um, ran) = match recorded {
        Ok(ran) => (ledger.length().get(), ran),
        // What the ledger holds and the store does not was not inspected.
        Err(error) => (written_length(store, run), Err(error)),
    };
    let ending = ran.and_then(Ended::of);
    let ending = ending.and_then(|ended| ledger.check().map(|()| ended));
    let (state, message) = match &ending {
        Ok(Ended::AtItsEnd) => (EndState::Done, None),
        Ok(Ended::WithoutLanes(failed)) => (EndState::Done, Some(failed.clone())),
        Ok(Ended::Stopped(failed)) => {
            let stopped = "stopped before the end of the source";
            let told = failed.iter().map(|failed| format!("; {failed}"));
            let message = std::iter::once(stopped.to_owned()).chain(told).collect();
            (EndState::Aborted, Some(message))
        }
        Err(error) => (EndState::Aborted, Some(format!("{error:#}"))),
    };
    let finished = store.finish_run(
        run,
        &RunEnd {
            length_um,
            width_um: ledger.width().get(),
            length_known: None,
            state,
            message,
        },
    );
    // What went wrong first is what a person must hear of.
    ending?;
    finished.context("the run's end could not be written; it stays in the store as not ended")
}

/// How all lanes together ended.
enum Ended {
    AtItsEnd,
    /// Some lanes lost their camera before the others ended, and why.
    WithoutLanes(String),
    /// And which lanes had failed before, if any.
    Stopped(Option<String>),
}

impl Ended {
    /// An error when no lane's camera lasted.
    fn of(endings: Endings) -> anyhow::Result<Self> {
        let n_lanes = endings.len();
        let (mut failed, mut is_stopped) = (Vec::new(), false);
        for (lane, ending) in endings.into_iter().enumerate() {
            match ending {
                Ok(counts) => is_stopped |= counts.ending != Ending::EndOfSource,
                Err(error) => failed.push((lane, error)),
            }
        }
        if n_lanes == 1
            && let Some((_, error)) = failed.pop()
        {
            return Err(error);
        }
        let told = failed
            .iter()
            .map(|(lane, error)| format!("lane {}: {error:#}", lane + 1));
        let told = told.collect::<Vec<_>>().join("; ");
        ensure!(failed.len() < n_lanes, "every lane failed: {told}");
        Ok(match (is_stopped, failed.is_empty()) {
            (true, true) => Ended::Stopped(None),
            (true, false) => Ended::Stopped(Some(told)),
            (false, true) => Ended::AtItsEnd,
            (false, false) => Ended::WithoutLanes(told),
        })
    }
}

/// Length of the web as far as its coverage is in the store, in µm; 0 when that cannot be read,
/// which is told.
fn written_length(store: &Store, run: RunId) -> i64 {
    let coverage = store.coverage(run).unwrap_or_else(|error| {
        tracing::error!(%error, "how far the roll was written cannot be read; it ends with length 0");
        Vec::new()
    });
    let start = coverage.iter().map(|cell| cell.rect.along().start).min();
    let end = coverage.iter().map(|cell| cell.rect.along().end).max();
    end.zip(start).map_or(0, |(end, start)| end - start)
}

fn send(pages: &Tx<Page>, page: Page) -> anyhow::Result<()> {
    pages
        .send(page)
        .map_err(|_| anyhow::anyhow!("the recorder is gone"))
}
