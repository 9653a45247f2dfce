//! A station: its cameras stand, roll after roll is inspected, until it is told to stop.
//!
//! ```text
//! camera 0 ─▶ queue ─▶ Standing ┐            desk ◀── barcode lines (standard input)
//! camera 1 ─▶ queue ─▶ Standing ┴─▶ inspect ◀──┘ ◀── HTTP (thread "page")
//! (a thread each, for as long as the station stands)
//! ```
//!
//! Threads and queues that outlive a roll are made here; those of a roll's line in
//! [`mod@crate::line`]. A queue holds what comes while a roll is being begun, and no more: what it
//! has no room for is a gap of the roll that is on. A roll that fails is told and stays in the store as
//! aborted; the station goes on. It ends when `stop` is set, or when every camera has come to its end
//! and nothing waits; a roll that is on is then cut off, and can be gone on with.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use anyhow::Context;
use camera::{Captured, Pool, Source, TicksFrom};
use models::onnx::Runtime;
use store::{Name, Store};

use crate::channel::{Policy, channel};
use crate::config::Station;
use crate::delivery::Delivery;
use crate::desk::{Begun, Desk, Order};
use crate::fitting::{check_channels, check_scale, scorers_of};
use crate::inspect::{Inspection, inspect};
use crate::record::Written;
use crate::resume::Begin;
use crate::shelf::Shelf;
use crate::source::new_of;
use crate::standing::{Doing, End, Facts, RollPart, Standing, now, stand};

/// Frames of a camera that wait while a roll is being begun.
const QUEUE: usize = 32;
/// Buffers of a camera beyond those: what the line of a roll holds.
const HELD: usize = 24;
/// Longest wait between two looks at desk and cameras while no roll is on.
const LOOK: Duration = Duration::from_millis(50);

/// What a station is made of.
pub struct Standings<'a> {
    /// Scale, place and light.
    pub station: &'a Station,
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

/// What a station does, for whoever looks from outside.
pub struct Watched {
    /// Takes orders.
    pub desk: Desk,
    /// One per lane, from the left.
    pub cameras: Vec<Arc<Facts>>,
    /// Since when it stands.
    pub since: Instant,
    counts: Counts,
    /// What became of the last roll, in words.
    last_roll: Mutex<Option<String>>,
}

#[derive(Default)]
struct Counts {
    n_rolls: AtomicU64,
    n_failed: AtomicU64,
    n_flaws: AtomicU64,
    n_frames: AtomicU64,
}

impl Watched {
    /// Rolls that came to their end.
    pub fn n_rolls(&self) -> u64 {
        self.counts.n_rolls.load(Ordering::Relaxed)
    }

    /// Rolls that failed or were cut off.
    pub fn n_failed(&self) -> u64 {
        self.counts.n_failed.load(Ordering::Relaxed)
    }

    /// Flaws that were written, over all rolls.
    pub fn n_flaws(&self) -> u64 {
        self.counts.n_flaws.load(Ordering::Relaxed)
    }

    /// Frames that were dealt with, over all rolls; lost ones too.
    pub fn n_frames(&self) -> u64 {
        self.counts.n_frames.load(Ordering::Relaxed)
    }

    /// What became of the last roll, in words.
    pub fn last_roll(&self) -> Option<String> {
        let last = self.last_roll.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, told: String) {
        let mut last = self
            .last_roll
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(told);
    }
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
/// When a camera cannot be opened at first, or a thread not be started. What fails later is told and
/// mended, or told by `/health`.
pub fn run(standings: &Standings<'_>, beside: Vec<Beside<'_>>) -> anyhow::Result<()> {
    let n_lanes = standings.station.lanes.len();
    let opened = (0..n_lanes)
        .map(|lane| (standings.open)(lane).with_context(|| format!("lane {}", lane + 1)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let watched = Arc::new(watched(standings, &opened)?);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let mut pools = Vec::new();
        let mut cameras = Vec::new();
        for (lane, source) in opened.into_iter().enumerate() {
            let description = source.description().clone();
            let (frames, frames_rx) = channel("camera", QUEUE, Policy::DropAndMark);
            let pool = Pool::new(QUEUE + HELD, description.shape.n_bytes());
            pools.push(pool.clone());
            let facts = Arc::clone(&watched.cameras[lane]);
            let can_cut = standings.station.lanes[lane].overlapping.is_none();
            cameras.push(Arc::new(Mutex::new(Standing::new(
                description,
                Arc::clone(&facts),
                frames_rx,
                can_cut,
            ))));
            let (open, stop) = (standings.open, &**standings.stop);
            let body = move || {
                let mut delivery = Delivery::new(frames);
                let mut reopen = || open(lane);
                let deliver =
                    |captured: Captured| -> ControlFlow<()> { delivery.deliver(captured) };
                let camera = lane as u16;
                stand(camera, source, &mut reopen, (&pool, stop), &facts, deliver);
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
        for (name, body) in beside {
            let watched = Arc::clone(&watched);
            let named = Builder::new().name(name.to_owned());
            let body = move || {
                let ended = body(&watched).with_context(|| format!("{name} failed"));
                if let Err(error) = &ended {
                    // The station goes on without it, and whoever looks must know.
                    tracing::error!(
                        error = format!("{error:#}"),
                        "a part of the station is gone"
                    );
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
        // Whoever waits for a camera or for a buffer ends now.
        standings.stop.store(true, Ordering::Relaxed);
        drop(cameras);
        pools.iter().for_each(Pool::close);
        let mut ended = stood;
        for thread in threads {
            let joined = thread.join();
            let joined = joined.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")));
            ended = ended.and(joined);
        }
        ended
    })
}

fn watched(standings: &Standings<'_>, opened: &[Box<dyn Source>]) -> anyhow::Result<Watched> {
    let cameras: Vec<Arc<Facts>> = opened.iter().map(|_| Arc::default()).collect();
    let ticks = opened.iter().map(|source| source.description().ticks);
    let by_ticks: Vec<(TicksFrom, Arc<Facts>)> = ticks.zip(cameras.iter().cloned()).collect();
    let (store, shelf, station) = (
        standings.store.to_owned(),
        standings.shelf.clone(),
        standings.station.clone(),
    );
    let descriptions: Vec<_> = (opened.iter())
        .map(|source| source.description().clone())
        .collect();
    // A mistyped address is told before any cloth passes.
    drop(Store::open(&store)?);
    let check = move |order: &Order| {
        let model = shelf.active(&Store::open_existing(&store)?, &order.article)?;
        check_scale(&model, &station)?;
        let mut cameras = descriptions.iter();
        cameras.try_for_each(|camera| check_channels(&model, camera))
    };
    Ok(Watched {
        desk: Desk::new(
            standings.usual_article.clone(),
            Box::new(check),
            Box::new(move || now(&by_ticks)),
        ),
        cameras,
        since: Instant::now(),
        counts: Counts::default(),
        last_roll: Mutex::default(),
    })
}

/// Inspects what is ordered, until the station is to end.
fn roll_after_roll(
    standings: &Standings<'_>,
    watched: &Watched,
    cameras: &[Arc<Mutex<Standing>>],
) -> anyhow::Result<()> {
    while !standings.stop.load(Ordering::Relaxed) {
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
        let roll = begun.order.roll.clone();
        let told = match inspect_roll(standings, watched, cameras, begun, ends) {
            Ok(()) => {
                watched.counts.n_rolls.fetch_add(1, Ordering::Relaxed);
                tracing::info!(%roll, "the roll is done");
                format!("roll {roll}: done")
            }
            Err(error) => {
                watched.counts.n_failed.fetch_add(1, Ordering::Relaxed);
                let error = format!("{error:#}");
                tracing::error!(%roll, error, "the roll was cut off");
                format!("roll {roll}: {error}")
            }
        };
        watched.note(told);
        watched.desk.over();
    }
    Ok(())
}

fn inspect_roll(
    standings: &Standings<'_>,
    watched: &Watched,
    cameras: &[Arc<Mutex<Standing>>],
    begun: Begun,
    ends: Vec<Arc<End>>,
) -> anyhow::Result<()> {
    let Begun {
        order: Order {
            roll,
            article,
            order_number,
        },
        at,
    } = begun;
    tracing::info!(%roll, %article, "the roll begins");
    let store = Store::open(standings.store)?;
    let model = standings.shelf.active(&store, &article)?;
    let classes = standings.shelf.head(&article)?;
    let lanes = cameras.iter().zip(&at).zip(ends);
    let sources = lanes.zip(&standings.station.lanes);
    let sources = sources.map(|(((camera, begin), end), lane)| {
        let stop = Arc::clone(standings.stop);
        let part: Box<dyn Source> = Box::new(RollPart::new(Arc::clone(camera), *begin, end, stop));
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
        station: standings.station,
        sources,
        classes,
        scorers: scorers_of(&model, standings.runtime, standings.n_workers)?,
        runtime_version: standings.runtime.version().to_owned(),
        device: standings.runtime.device().to_owned(),
        begin: Begin::New,
        stop: standings.stop,
    };
    let counts = &watched.counts;
    let mut announce = |written: Written<'_>| {
        if matches!(written, Written::Flaw(..)) {
            counts.n_flaws.fetch_add(1, Ordering::Relaxed);
        }
        written.log();
    };
    let mut progress = || {
        counts.n_frames.fetch_add(1, Ordering::Relaxed);
    };
    inspect(inspection, store, &mut announce, &mut progress)?;
    Ok(())
}

/// How a station is, by what its cameras do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every camera exposes.
    Good,
    /// Some do not, and which, in words.
    Bad(Vec<String>),
}

/// Longest silence of a camera that is well.
pub const SILENCE: Duration = Duration::from_secs(1);

impl Watched {
    /// How the station is. A camera that only waits for the web to move is silent too: then this says
    /// so.
    pub fn health(&self) -> Health {
        let cameras = self.cameras.iter().zip(1..);
        let bad = cameras.filter_map(|(facts, nth)| match facts.doing() {
            Doing::Exposing(since) if since <= SILENCE => None,
            Doing::Exposing(since) => Some(format!(
                "camera {nth}: silent for {:.1} s",
                since.as_secs_f64()
            )),
            Doing::Waiting => Some(format!("camera {nth}: nothing has come yet")),
            Doing::Gone(why) => Some(format!("camera {nth}: gone: {why}")),
            Doing::Ended => Some(format!("camera {nth}: came to its end")),
        });
        let bad: Vec<String> = bad.collect();
        if bad.is_empty() {
            Health::Good
        } else {
            Health::Bad(bad)
        }
    }
}
