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
use calibration::{LaneGeometry, Span, Um};
use camera::{Ending, Source};
use models::{Article, Scorer};
use store::{
    EndState, EventSeverity, LengthKnown, Name, NewRun, RollChoice, Run, RunEnd, RunId, Store,
};

use crate::channel::Tx;
use crate::config::{Lane, Station};
use crate::fitting::{camera_channels, check_scale, correction_for, tell_unknown_columns};
use crate::judging::Ordered;
use crate::line::{self, Endings, Feed, Line};
use crate::new_cloth::LengthFacts;
use crate::record::{Event, Page, Written};
use crate::resume::{Begin, behind, check_same, covers, first_tick_behind, from_end, web_rect};
use crate::roll::{LanePlace, Ledger};
use crate::source::LaneSource;
use crate::tiles::{GapReason, Joints, Tiler};
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
    let (sources, run, mut first) = match inspection.begin {
        Begin::New => (sources, store.begin_run(&new)?, Page::default()),
        Begin::Resume { passed } => {
            let cut_off = cut_off_run(&store, &new)?;
            let flaws = store.flaws(cut_off.id)?;
            let flaws = flaws.iter().map(|flaw| web_rect(&flaw.rect));
            web.resume(
                &covers(&store.coverage(cut_off.id)?)?,
                &flaws.collect::<anyhow::Result<Vec<_>>>()?,
            )?;
            store.resume_run(cut_off.id)?;
            let window_mm = model.passport().reference.window_mm;
            let (sources, page) = go_on(sources, &places, &mut web, window_mm, passed)?;
            (sources, cut_off.id, page)
        }
    };
    let lanes = sources.into_iter().zip(corrections).enumerate();
    let feeds = lanes.map(|(lane, (source, correction))| Feed {
        source,
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

/// The roll's last run, if it is one to go on with.
fn cut_off_run(store: &Store, new: &NewRun) -> anyhow::Result<Run> {
    let found = store.resumable(&new.roll)?;
    let run = found.with_context(|| {
        format!(
            "found no run of roll {:?} that was cut off, expected one to go on with; inspect it as a new run",
            new.roll.as_str()
        )
    })?;
    check_same(&run, new)?;
    Ok(run)
}

/// Sources that go on where the ledger ends, and what that adds to the roll by itself.
fn go_on(
    sources: Vec<Box<dyn Source>>,
    places: &[LanePlace],
    web: &mut Web,
    window_mm: f64,
    passed: Option<Um>,
) -> anyhow::Result<(Vec<Box<dyn Source>>, Page)> {
    let Some(known) = web.ledger().along() else {
        // Nothing was written: the roll begins with the first cloth that comes.
        return Ok((sources, Page::default()));
    };
    let mut page = Page::default();
    if sources.iter().any(|source| source.description().live) {
        let tick = |place: &LanePlace| first_tick_behind(&place.geometry, known.end(), passed);
        let until = (places.iter())
            .map(|place| place.geometry.um_from_tick(tick(place)))
            .max();
        let reason = passed.map_or(GapReason::UnknownLength, |_| GapReason::PowerCut);
        page = web.interrupted(until.unwrap_or(known.end()), reason)?;
    } else {
        ensure!(
            passed.is_none(),
            "found a length that passed meanwhile, expected none: {} still holds all of its cloth",
            sources
                .first()
                .map_or("the source", |source| &source.description().name)
        );
    }
    let lanes = sources.into_iter().zip(places).enumerate();
    let sources = lanes.map(|(lane, (source, place))| {
        let end = web.ledger().known(lane).map_or(known.start(), Span::end);
        if source.description().live {
            behind(
                source,
                first_tick_behind(&place.geometry, known.end(), passed),
            )
        } else {
            from_end(source, &place.geometry, end, window_mm)
        }
    });
    Ok((sources.collect(), page))
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
        Ok(Ended::Stopped) => (
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
    Stopped,
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
        if failed.len() == n_lanes
            && let Some((_, error)) = failed.pop()
        {
            return Err(error);
        }
        if is_stopped {
            return Ok(Ended::Stopped);
        }
        if failed.is_empty() {
            return Ok(Ended::AtItsEnd);
        }
        let told = failed
            .iter()
            .map(|(lane, error)| format!("lane {}: {error:#}", lane + 1));
        Ok(Ended::WithoutLanes(told.collect::<Vec<_>>().join("; ")))
    }
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
