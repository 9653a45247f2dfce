//! A station: its cameras stand, roll after roll is inspected, until it is told to stop.
//!
//! ```text
//! camera 0 ─▶ queue ─▶ Standing ┐            desk ◀── barcode lines (standard input)
//! camera 1 ─▶ queue ─▶ Standing ┴─▶ inspect ◀──┘ ◀── HTTP (thread "page")
//! (a thread each, for as long as the station stands)
//! ```
//!
//! Each camera is opened on its own thread, at first and after each failure. Threads and queues that outlive a roll are made here; those of a roll's line in
//! [`mod@crate::line`]. A queue holds what comes while a roll is being begun, and no more: what it
//! has no room for is a gap of the roll that is on. A roll that fails is told and stays in the store as
//! aborted; the station goes on. It ends when `stop` is set, or when every camera has come to its end
//! and nothing waits; a roll that is on is then cut off. Ordered again within [`GO_ON_WITHIN_US`], it goes on
//! behind a gap, whether the station was told to stop or lost its power.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use anyhow::Context;
use calibration::{mm_from_um, um_from_mm};
use camera::{Captured, Description, Pool, Source};
use models::onnx::Runtime;
use store::{Name, Store, now_us};

use crate::channel::{Policy, channel};
use crate::config::{Lane, Reread, Station};
use crate::delivery::Delivery;
use crate::desk::{Begun, Desk, Order};
use crate::fitting::{check_channels, check_scale, scorers_of, um_per_tick};
use crate::inspect::{Inspection, inspect};
use crate::outputs::Outputs;
use crate::record::Written;
use crate::resume::Begin;
use crate::seams::{APART, askew_mm};
use crate::shelf::Shelf;
use crate::source::new_of;
use crate::standing::{
    Ends, Facts, Looks, RollPart, Standing, elsewhere, first_opened, now, stand,
};
use crate::watched::Watched;

/// Frames of a camera that wait while a roll is being begun.
const QUEUE: usize = 32;
/// Buffers of a camera beyond those: what the line of a roll holds.
const HELD: usize = 24;
/// For how long a roll that was cut off is gone on with when it is ordered again: a shift, and a lunch.
pub const GO_ON_WITHIN_US: i64 = 12 * 3600 * 1_000_000;
/// Longest wait between two looks at desk and cameras while no roll is on.
const LOOK: Duration = Duration::from_millis(50);

/// What a station is made of.
pub struct Standings<'a> {
    /// What stays as long as it stands: lanes, cameras, whom alarms go to.
    pub station: &'a Station,
    /// The same, with what each roll takes as it is when the roll begins: light limits, alarms.
    pub settings: &'a Reread,
    /// Opens the camera of a lane, at first and after each failure.
    pub open: &'a (dyn Fn(usize) -> anyhow::Result<Box<dyn Source>> + Sync),
    /// The store's address.
    pub store: &'a str,
    /// Where models lie.
    pub shelf: Shelf,
    /// ONNX Runtime.
    pub runtime: &'a Runtime,
    /// Inference workers.
    pub n_workers: usize,
    /// Article of rolls for which none is said.
    pub usual_article: Option<Name>,
    /// Ends the station when set.
    pub stop: &'a Arc<AtomicBool>,
}

/// What else runs while the station stands, each on a thread of its own with this name; each ends soon
/// after the station's `stop` is set.
pub type Beside<'a> = (
    &'static str,
    Box<dyn FnOnce(&Arc<Watched>) -> anyhow::Result<()> + Send + 'a>,
);

/// Lets a station stand, and ends with it.
///
/// # Errors
/// When the store cannot be opened, or a thread not be started. A camera that does not open, at first or
/// later, is tried again, and told by `/health`.
pub fn run(standings: &Standings<'_>, beside: Vec<Beside<'_>>) -> anyhow::Result<()> {
    let watched = Arc::new(watched(standings)?);
    let lanes = standings.station.lanes.iter();
    let pools: Vec<OnceLock<Pool>> = lanes.map(|_| OnceLock::new()).collect();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let mut cameras = Vec::new();
        for (lane, made) in pools.iter().enumerate() {
            let (mut frames, frames_rx) = channel("camera", QUEUE, Policy::DropAndMark);
            watched
                .depths
                .show(format!("camera {}", lane + 1), &mut frames);
            let facts = Arc::clone(&watched.cameras[lane]);
            let can_cut = standings.station.lanes[lane].overlapping.is_none();
            let standing = Standing::new(Arc::clone(&facts), frames_rx, can_cut);
            cameras.push(Arc::new(Mutex::new(standing)));
            let (open, stop) = (standings.open, &**standings.stop);
            let watched = Arc::clone(&watched);
            let body = move || {
                let _guard = PanicGuard(&watched, format!("camera {}", lane + 1));
                let mut delivery = Delivery::new(frames);
                let mut reopen = || open(lane);
                let camera = lane as u16;
                let Some(source) = first_opened(camera, &mut reopen, stop, &facts) else {
                    return Ok(());
                };
                let pool = Pool::new(QUEUE + HELD, source.description().shape.n_bytes());
                let pool = made.get_or_init(|| pool);
                let deliver = |captured: Captured| -> ControlFlow<()> {
                    watched.reached(lane, captured.ticks().end);
                    delivery.deliver(captured)
                };
                let cloth = || elsewhere(&watched.cameras, lane);
                stand(
                    camera,
                    source,
                    &mut reopen,
                    (pool, stop),
                    &facts,
                    &cloth,
                    deliver,
                );
                delivery.finish(lane, None);
                Ok(())
            };
            let named = Builder::new().name(format!("camera {lane}"));
            threads.push(
                named
                    .spawn_scoped(scope, body)
                    .context("a thread cannot start")?,
            );
        }
        let own: [Beside<'_>; 2] = [
            (
                "pulse",
                Box::new(|watched| {
                    watched.give_pulse();
                    Ok(())
                }),
            ),
            (
                "events",
                Box::new(|watched| {
                    watched.write_events(standings.store);
                    Ok(())
                }),
            ),
        ];
        for (name, body) in beside.into_iter().chain(own) {
            let watched = Arc::clone(&watched);
            let named = Builder::new().name(name.to_owned());
            let body = move || {
                let _guard = PanicGuard(&watched, name.to_owned());
                let ended = body(&watched).with_context(|| format!("{name} failed"));
                if let Err(error) = &ended {
                    // The station goes on without it, and whoever looks must know.
                    watched.has_lost(format!("{error:#}"));
                }
                ended
            };
            threads.push(
                named
                    .spawn_scoped(scope, body)
                    .context("a thread cannot start")?,
            );
        }
        let stood = roll_after_roll(standings, &watched, &cameras);
        // What the last roll told is written before its writers end.
        watched.is_over();
        // Whoever waits for a camera or for a buffer ends now.
        standings.stop.store(true, Ordering::Relaxed);
        drop(cameras);
        // A camera that opens only now sees the signal before it waits for a buffer.
        pools.iter().filter_map(OnceLock::get).for_each(Pool::close);
        let mut ended = stood;
        for thread in threads {
            let joined = thread.join();
            let joined = joined.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")));
            ended = ended.and(joined);
        }
        watched.finish();
        ended
    })
}

fn watched(standings: &Standings<'_>) -> anyhow::Result<Watched> {
    let lanes = standings.station.lanes.iter();
    let cameras: Vec<Arc<Facts>> = lanes.map(|_| Arc::default()).collect();
    for camera in &cameras {
        camera.is_gone("it is being opened for the first time".to_owned());
    }
    let (known, marked) = (cameras.clone(), cameras.clone());
    let (store, shelf, station) = (
        standings.store.to_owned(),
        standings.shelf.clone(),
        standings.station.clone(),
    );
    // A mistyped address is told before any cloth passes.
    drop(Store::open(&store)?);
    let check = move |order: &Order| {
        let model = shelf.active(&Store::open_existing(&store)?, &order.article)?;
        check_scale(&model, &station)?;
        let mut cameras = known.iter().filter_map(|camera| camera.description());
        cameras.try_for_each(|camera| check_channels(&model, camera))
    };
    let desk = Desk::new(
        standings.usual_article.clone(),
        Box::new(check),
        Box::new(move || now(&marked)),
    )
    .ending_at_seams(standings.station.standing.seam_ends);
    let outputs = Outputs::start(standings.station)?;
    let lanes = standings.station.lanes.clone();
    Ok(Watched::new(desk, cameras, lanes, outputs))
}

/// Inspects what is ordered, until the station is to end.
fn roll_after_roll(
    standings: &Standings<'_>,
    watched: &Watched,
    cameras: &[Arc<Mutex<Standing>>],
) -> anyhow::Result<()> {
    while !standings.stop.load(Ordering::Relaxed) {
        watched.has_turned();
        let Some((begun, ends)) = watched.desk.take(LOOK) else {
            let still = cameras.iter().filter(|camera| {
                let mut camera = camera.lock().unwrap_or_else(PoisonError::into_inner);
                camera.drop_waiting()
            });
            if still.count() == 0 {
                tracing::info!("every camera has come to its end");
                return Ok(());
            }
            continue;
        };
        let order = begun.order.clone();
        let ended = inspect_roll(standings, watched, cameras, begun, ends);
        watched.ended(&order, &ended);
        watched.has_turned();
        if let Some(told) = watched.desk.over() {
            watched.tell(told);
        }
    }
    Ok(())
}

fn inspect_roll(
    standings: &Standings<'_>,
    watched: &Watched,
    cameras: &[Arc<Mutex<Standing>>],
    begun: Begun,
    ends: Arc<Ends>,
) -> anyhow::Result<()> {
    let Begun { order, at, .. } = begun;
    let Order {
        roll,
        article,
        order_number,
    } = order.clone();
    tracing::info!(%roll, %article, "the roll begins");
    // What was read anew since the last roll takes effect here.
    let station = standings.settings.now();
    watched.take_alarms(&station.alarms);
    let store = Store::open(standings.store)?;
    let model = standings.shelf.active(&store, &article)?;
    let classes = standings.shelf.head(&article)?;
    let lanes = cameras.iter().zip(&at).zip(&station.lanes).enumerate();
    let sources = lanes.map(|(nth, ((camera, begin), lane))| {
        let stop = Arc::clone(standings.stop);
        let ends = (Arc::clone(&ends), nth);
        let mut part = RollPart::new(Arc::clone(camera), *begin, ends, stop)?;
        if station.standing.seam_ends {
            let looks = looks(&station, lane, part.description())?;
            part = part.ending_at_seams(looks);
        }
        let part: Box<dyn Source> = Box::new(part);
        let mut source = new_of(part.into(), lane, standings.stop)?;
        source.has_queue = true;
        Ok(source)
    });
    let sources = sources.collect::<anyhow::Result<_>>()?;
    let inspection = Inspection {
        roll,
        article,
        order: order_number,
        model: &model,
        station: &station,
        sources,
        classes,
        scorers: scorers_of(&model, standings.runtime, standings.n_workers)?,
        runtime_version: standings.runtime.version().to_owned(),
        device: standings.runtime.device().to_owned(),
        begin: Begin::GoOn {
            since_us: now_us() - GO_ON_WITHIN_US,
        },
        stop: standings.stop,
        depths: watched.depths.clone(),
    };
    let mut announce = |written: Written<'_>| {
        watched.hear(&order, &at, &written);
        written.log();
    };
    let mut progress = || watched.dealt();
    inspect(inspection, store, &mut announce, &mut progress)?;
    Ok(())
}

/// How a lane of `station` looks for seams that end its roll.
fn looks(station: &Station, lane: &Lane, camera: &Description) -> anyhow::Result<Looks> {
    let width_mm = f64::from(camera.shape.width) * lane.mm_per_px;
    let offsets = station.lanes.iter().map(|lane| mm_from_um(lane.offset));
    // The last lane is about as wide as this one.
    let web_mm =
        offsets.clone().fold(f64::MIN, f64::max) - offsets.fold(f64::MAX, f64::min) + width_mm;
    Ok(Looks {
        mm_per_px: lane.mm_per_px,
        mm_per_line: lane.mm_per_line,
        um_per_tick: um_per_tick(lane, camera)?,
        within_um: (APART + um_from_mm(askew_mm(web_mm))).get(),
        light: station.light,
    })
}

/// Does `work` on this thread and gives back what it gives; sets `stop` as soon as that takes longer
/// than `most`, or `stopped` is set.
///
/// # Errors
/// When a thread cannot be started.
pub fn within<T>(
    most: Duration,
    stopped: &AtomicBool,
    stop: &AtomicBool,
    work: impl FnOnce() -> T,
) -> anyhow::Result<T> {
    let (since, is_done) = (Instant::now(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let timer = Builder::new().name("timer".to_owned());
        let body = || {
            while !is_done.load(Ordering::Relaxed) {
                if since.elapsed() >= most || stopped.load(Ordering::Relaxed) {
                    stop.store(true, Ordering::Relaxed);
                    return;
                }
                std::thread::sleep(LOOK);
            }
        };
        let timer = timer
            .spawn_scoped(scope, body)
            .context("a thread cannot start")?;
        let done = work();
        is_done.store(true, Ordering::Relaxed);
        let joined = timer.join();
        joined.map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        Ok(done)
    })
}

/// Tells that a part of the station has panicked, when its thread ends so.
struct PanicGuard<'a>(&'a Watched, String);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(watched, part) = self;
            watched.has_lost_thread();
            watched.has_lost(format!("{part}: its thread panicked"));
        }
    }
}
