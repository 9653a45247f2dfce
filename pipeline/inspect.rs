//! One roll through the line into the store.
//!
//! ```text
//! sources ─▶ line ─▶ Ordered ─▶ Web ─▶ Page ─▶ recorder
//! ```
//!
//! Begins a run in the store, ends it whatever happens: `done` when the ledger adds up,
//! `aborted` with the reason when the line failed or was stopped. What was found until then
//! stays. Nothing here depends on how many workers there are.

use std::sync::atomic::AtomicBool;

use anyhow::ensure;
use calibration::{LaneGeometry, Span, Um};
use camera::{Description, Source};
use models::{Article, Scorer};
use store::{Name, NewRun, RollChoice, RunId, Store};

use crate::channel::{Depths, Policy, Tx};
use crate::classes::KeptHead;
use crate::config::{Lane, Station};
use crate::drift::DriftWatch;
use crate::ending::{abort, end_run};
use crate::fitting::{
    check_channels, check_scale, correction_for, tell_unknown_columns, um_per_tick,
};
use crate::focus::FocusLimits;
use crate::judging::Ordered;
use crate::lengths::Lengths;
use crate::line::{self, Feed, Line};
use crate::record::{Page, Written};
use crate::resume::{Begin, Start, cut_off_run, go_on};
use crate::roll::LanePlace;
use crate::source::LaneSource;
use crate::tiles::{Joints, Tiler};
use crate::web::{LaneStart, Web};
use crate::wrong_article::Watch;

/// What to inspect, and how.
pub struct Inspection<'a> {
    /// The roll's number.
    pub roll: Name,
    /// The article, as the store knows it.
    pub article: Name,
    /// The order that it is inspected for, where one was said.
    pub order: Option<Name>,
    /// Its model.
    pub model: &'a Article,
    /// Scale, place and light.
    pub station: &'a Station,
    /// Where frames come from: one source per lane of the station, from the left.
    pub sources: Vec<LaneSource>,
    /// What was taught of the article's classes, if anything was.
    pub classes: Option<KeptHead>,
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
    /// Shows how full the line's channels are.
    pub depths: Depths,
}

/// Inspects one roll. `announce` hears of the run when it is in the store, then of every flaw, on the
/// recorder's thread; `progress` is called for every frame that has been dealt with.
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
        ref depths,
        ..
    } = inspection;
    let depths = depths.clone();
    let starts = places.iter().zip(&station.lanes).enumerate();
    let mut web = Web::new(
        starts
            .map(|(nth, (place, lane))| LaneStart {
                place: *place,
                mm_per_line: lane.mm_per_line,
                judge: model.judge(nth, lane.mm_per_cell_row()),
                watch: Watch::new(model.passport().likeness.clone()),
                focus: focus_limits(model, nth),
            })
            .collect(),
    )
    .with_head(inspection.classes.as_ref().map(|kept| kept.head.clone()))
    .telling_of_running(station.alarms.running);
    let corrections = (inspection.sources.iter().enumerate())
        .map(|(lane, opened)| {
            let joints = Joints::of(opened.source.description());
            correction_for(model, station, lane, joints)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let new = new_run(&inspection)?;
    let lengths = Lengths::of(&inspection.sources);
    let have_queue: Vec<bool> = (inspection.sources.iter())
        .map(|lane| lane.has_queue)
        .collect();
    let mut drift = DriftWatch::new(station, inspection.article.as_str());
    let opened = inspection.sources.into_iter();
    let sources: Vec<_> = opened.map(|lane| lane.source).collect();
    // From here on the run is ours, and nobody adds to what is read of it.
    let cut_off = match inspection.begin {
        Begin::New => None,
        Begin::Resume { passed } => {
            let run = cut_off_run(&store, &new, &sources, passed)?;
            store.resume_run(run)?;
            Some((run, passed))
        }
        Begin::GoOn { since_us } => go_on(&mut store, &new, since_us)?.map(|run| (run, None)),
    };
    let (run, started) = match cut_off {
        None => (store.begin_run(&new)?, Ok(Start::of_new(sources))),
        Some((run, passed)) => {
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
        Err(error) => return Err(abort(&mut store, run, web.ledger(), &lengths, error)),
    };
    let lanes = sources
        .into_iter()
        .zip(corrections)
        .zip(&places)
        .enumerate();
    let feeds = lanes.map(|(lane, (((source, from_tick), correction), place))| Feed {
        policy: if have_queue[lane] {
            Policy::Block
        } else {
            line::policy_of(&*source)
        },
        source,
        from_tick,
        um_per_tick: place.geometry.um_per_tick(),
        tiler: Tiler::new(lane, correction),
    });
    let line = Line {
        feeds: feeds.collect(),
        scorers: inspection.scorers,
        stop,
        depths: depths.clone(),
    };
    let unknown_focus = web.focus_unknown_event();
    let from = web.ledger().along().map_or(Um::ZERO, Span::end);
    announce(Written::Began(run, from));
    let recorded = line::recorded((&mut store, run), &depths, announce, |pages| {
        send(pages, std::mem::take(&mut first))?;
        let ran = line::run(line, &mut |lane, ordered| {
            let is_end = matches!(ordered, Ordered::Ended);
            let drifted = drift.see(lane, &ordered)?;
            let mut page = web.page(lane, ordered)?;
            page.events.extend(drifted);
            send(pages, page)?;
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
        last.events.extend(lengths.event());
        last.events.extend(unknown_focus);
        send(pages, last)?;
        Ok(ran)
    });
    end_run(&mut store, run, web.ledger(), &lengths, recorded)?;
    Ok((store, run))
}

/// Refuses what cannot be inspected, before a run is begun.
fn check(inspection: &Inspection<'_>) -> anyhow::Result<()> {
    check_scale(inspection.model, inspection.station)?;
    let (found, expected) = (inspection.sources.len(), inspection.station.lanes.len());
    ensure!(
        found == expected,
        "found {found} sources for {expected} lanes, expected one for each lane of the station, from the left"
    );
    for (lane, opened) in inspection.sources.iter().enumerate() {
        let description = opened.source.description();
        check_channels(inspection.model, description)?;
        tell_unknown_columns(inspection.model, lane, description.shape.width);
    }
    Ok(())
}

/// Where the lanes lie on the web.
fn places(inspection: &Inspection<'_>) -> anyhow::Result<Vec<LanePlace>> {
    let sources = inspection.sources.iter();
    let descriptions: Vec<_> = sources.map(|lane| lane.source.description()).collect();
    places_of(inspection.station, &descriptions)
}

/// Where the lanes of a station lie on the web, whose cameras from the left are such.
///
/// # Errors
/// When a lane's scales contradict each other, or no lane sees a strip between two.
pub fn places_of(station: &Station, cameras: &[&Description]) -> anyhow::Result<Vec<LanePlace>> {
    let geometries = (station.lanes.iter().zip(cameras))
        .map(|(lane, description)| {
            Ok(LaneGeometry::new(
                lane.mm_per_px,
                um_per_tick(lane, description)?,
                lane.offset,
                description.shape.width,
            )?
            .with_lens(lane.lens)?)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    LanePlace::of_lanes(&geometries)
}

/// How sharp the cloth of a lane should look, where the model knows it.
fn focus_limits(model: &Article, lane: usize) -> FocusLimits {
    let taught = model.passport().lanes.get(lane);
    FocusLimits::of(taught.map_or(&[], |columns| &columns.focus))
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
    let mut calibration = serde_json::json!({
        "lanes": station.lanes.iter().map(lane).collect::<Vec<_>>(),
        "light": station.light,
        "flat_fields": flat_fields,
    });
    // Cloth of a camera is never gone on with as cloth of files, or the other way round.
    if inspection
        .sources
        .iter()
        .any(|lane| lane.source.description().live)
    {
        calibration["live"] = true.into();
    }
    if let Some(kept) = &station.profile {
        calibration["profile"] = kept.digest.clone().into();
    }
    if let Some(kept) = &inspection.classes {
        calibration["classes"] = kept.digest.clone().into();
    }
    Ok(NewRun {
        roll: inspection.roll.clone(),
        roll_choice: RollChoice::LatestOrNew,
        article: inspection.article.clone(),
        order: inspection.order.clone(),
        model: store::Digest::new(model.digest())?,
        calibration_json: calibration.to_string(),
        engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_version: inspection.runtime_version.clone(),
        device: inspection.device.clone(),
        batch_shape: format!("1 x {}", model.passport().channels.n_planes()),
        mm_per_px: station.lanes[0].mm_per_px,
        station: station.name.as_deref().map(Name::new).transpose()?,
        length_known: Lengths::of(&inspection.sources).known(),
    })
}

fn send(pages: &Tx<Page>, page: Page) -> anyhow::Result<()> {
    pages
        .send(page)
        .map_err(|_| anyhow::anyhow!("the recorder is gone"))
}
