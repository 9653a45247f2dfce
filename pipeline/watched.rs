//! What a station does, for whoever looks from outside: page, monitor, watchdog, PLC.
//!
//! ```text
//! camera threads, recorder ─▶ Watched ◀── page, orders, service manager
//!                               ├─▶ Outputs: alarms, marks; signs of life by thread `pulse`
//!                               └─▶ events of the store, by thread `events`
//! ```
//!
//! Whoever tells it something waits for nobody: what must be written waits here for a thread that has a
//! connection of its own to the store.

mod events;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use calibration::Um;
use store::{EventSeverity, NewEvent, Store, StoreError, now_us};

use self::events::{Unwritten, event_of};

use crate::alarms::{Alarm, Change, FoundFlaw};
use crate::channel::Depths;
use crate::config::{AlarmSettings, Lane};
use crate::desk::{Desk, Order, Said};
use crate::fitting::um_per_tick;
use crate::meters::Times;
use crate::outputs::{Event, Outputs, RollAbout};
use crate::record::Written;
use crate::ribbon::Ribbon;
use crate::standing::{Doing, Facts};

/// How often its threads look.
const LOOK: Duration = Duration::from_millis(250);
/// How often it asks the disk how full it is.
const ASK_DISK: Duration = Duration::from_secs(5);
/// How long frames may wait, or the station's loop may not turn, before the line counts as hung; models
/// are loaded in that time when a roll begins.
const HUNG: Duration = Duration::from_secs(20);
/// Longest silence of a camera that is well.
pub const SILENCE: Duration = Duration::from_secs(1);

/// What a station does.
pub struct Watched {
    /// Takes orders.
    pub desk: Desk,
    /// One per lane, from the left.
    pub cameras: Vec<Arc<Facts>>,
    /// Since when it stands.
    pub since: Instant,
    /// How full its channels are.
    pub depths: Depths,
    /// From a frame's exposure until all of it is in the store.
    pub latency: Times,
    lanes: Vec<Lane>,
    /// How far the cloth has come since the station stands.
    reached: Mutex<Option<Um>>,
    outputs: Outputs,
    /// Whether the roll that is on has a run in the store.
    has_begun: AtomicBool,
    counts: Counts,
    ribbon: Mutex<Ribbon>,
    /// What became of the last roll, in words.
    last_roll: Mutex<Option<String>>,
    unwritten: Unwritten,
    free_bytes: AtomicU64,
    /// When the station's loop last turned.
    turned: Mutex<Instant>,
    /// Whether a camera's thread has panicked.
    has_lost_thread: AtomicBool,
    /// Parts of the station that have failed, and why.
    lost: Mutex<Vec<String>>,
    /// Whether the last roll has told everything.
    is_over: AtomicBool,
}

#[derive(Default)]
struct Counts {
    n_rolls: AtomicU64,
    n_failed: AtomicU64,
    n_flaws: AtomicU64,
    n_dealt: AtomicU64,
}

/// How a station is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every camera exposes, the line deals with what comes, and no part has failed.
    Good,
    /// What is wrong, in words.
    Bad(Vec<String>),
}

/// Where the disk does not say how full it is.
const UNKNOWN: u64 = u64::MAX;

impl Watched {
    /// Of a station at whose desk nothing is on; cameras and lanes from the left.
    pub(crate) fn new(
        desk: Desk,
        cameras: Vec<Arc<Facts>>,
        lanes: Vec<Lane>,
        outputs: Outputs,
    ) -> Self {
        Self {
            desk,
            cameras,
            since: Instant::now(),
            depths: Depths::default(),
            latency: Times::default(),
            lanes,
            reached: Mutex::default(),
            outputs,
            has_begun: AtomicBool::new(false),
            counts: Counts::default(),
            ribbon: Mutex::default(),
            last_roll: Mutex::default(),
            unwritten: Unwritten::default(),
            free_bytes: AtomicU64::new(UNKNOWN),
            turned: Mutex::new(Instant::now()),
            has_lost_thread: AtomicBool::new(false),
            lost: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

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
        self.counts.n_dealt.load(Ordering::Relaxed)
    }

    /// What became of the last roll, in words.
    pub fn last_roll(&self) -> Option<String> {
        lock(&self.last_roll).clone()
    }

    /// Flaws and gaps of the roll that is on, or of the last one.
    pub fn ribbon(&self) -> Ribbon {
        lock(&self.ribbon).clone()
    }

    /// Bytes that are free for the store; `None` where nobody can tell.
    pub fn free_bytes(&self) -> Option<u64> {
        Some(self.free_bytes.load(Ordering::Relaxed)).filter(|free| *free != UNKNOWN)
    }

    /// Whether the line turns: what cameras show has been taken within `most`, in whatever state the
    /// roll is, and every camera has its thread. Where nothing comes there is nothing to take.
    pub fn is_alive(&self, most: Duration) -> bool {
        let waits = |facts: &Arc<Facts>| facts.waits().is_some_and(|since| since > most);
        let is_taken = |facts: &Arc<Facts>| facts.taken().is_some_and(|since| since <= most);
        let is_stuck = self.cameras.iter().any(waits) && !self.cameras.iter().any(is_taken);
        let is_idle = self.desk.on().is_none() && lock(&self.turned).elapsed() > most;
        !(is_stuck || is_idle || self.has_lost_thread.load(Ordering::Relaxed))
    }

    /// Whether the line turns, by what heartbeats go by.
    pub fn lives(&self) -> bool {
        self.is_alive(HUNG)
    }

    /// Alarms that wait for a person.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.outputs.latched().alarms
    }

    /// A person has seen alarm `id`.
    ///
    /// # Errors
    /// When no such alarm waits, or nobody is named.
    pub fn acknowledge(&self, id: u64, by: &str) -> anyhow::Result<String> {
        let change = self.outputs.acknowledge(id, by)?;
        self.note(&[change]);
        Ok(format!("alarm {id} is acknowledged"))
    }

    /// Does what was said, and answers.
    ///
    /// # Errors
    /// As [`Desk::begin`], [`Desk::end`] and [`Watched::acknowledge`].
    pub fn said(&self, said: &Said) -> anyhow::Result<String> {
        match said {
            Said::End => self.desk.end(),
            Said::Begin(wish) => self.desk.begin(wish),
            Said::Seen(id, by) => self.acknowledge(*id, by),
        }
    }

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
        let hung = (!self.lives()).then(|| "the line does not deal with what comes".to_owned());
        let lost = lock(&self.lost).clone();
        let bad: Vec<String> = bad.chain(hung).chain(lost).collect();
        if bad.is_empty() {
            Health::Good
        } else {
            Health::Bad(bad)
        }
    }

    /// The station's own loop has turned.
    pub(crate) fn has_turned(&self) {
        *lock(&self.turned) = Instant::now();
    }

    /// A part of the station has failed; it goes on without.
    pub(crate) fn has_lost(&self, why: String) {
        tracing::error!(why, "a part of the station is gone");
        lock(&self.lost).push(why);
    }

    /// The last roll has told everything.
    pub(crate) fn is_over(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// A camera's thread has panicked.
    pub(crate) fn has_lost_thread(&self) {
        self.has_lost_thread.store(true, Ordering::Relaxed);
    }

    /// Takes over what raises alarms; what is latched stays.
    pub(crate) fn take_alarms(&self, settings: &AlarmSettings) {
        self.outputs.take_settings(settings);
    }

    /// An exposure has been dealt with.
    pub(crate) fn dealt(&self) {
        self.counts.n_dealt.fetch_add(1, Ordering::Relaxed);
    }

    /// A roll has ended.
    pub(crate) fn ended(&self, order: &Order, ended: &anyhow::Result<()>) {
        let has_begun = self.has_begun.swap(false, Ordering::Relaxed);
        let roll = &order.roll;
        let (count, state, told) = match ended {
            Ok(()) => {
                tracing::info!(%roll, "the roll is done");
                let told = format!("roll {roll}: done");
                (&self.counts.n_rolls, "done", told)
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(%roll, error, "the roll was cut off");
                let told = format!("roll {roll}: {error}");
                (&self.counts.n_failed, "aborted", told)
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_roll) = Some(told);
        if has_begun {
            let state = state.to_owned();
            self.outputs.tell(&Event::RollEnded { state });
        }
    }

    /// The camera of `lane` has come to `tick`.
    pub(crate) fn reached(&self, lane: usize, tick: i64) {
        let Some(position) = self.position(lane, tick) else {
            return;
        };
        // One encoder serves all; the camera that is farthest says where the cloth is. Told under the
        // lock, so that no other one tells an earlier place after it.
        let mut reached = lock(&self.reached);
        if reached.is_none_or(|reached| reached < position) {
            *reached = Some(position);
            self.outputs.reached(position);
        }
    }

    /// Where a camera's tick lies on the station's own scale: the encoder's, else that of the first
    /// camera's lines. Frames that show cloth again have no place on it.
    fn position(&self, lane: usize, tick: i64) -> Option<Um> {
        let facts = &self.cameras[lane];
        // Before all are known, one that counts may still come.
        let are_known = self
            .cameras
            .iter()
            .all(|facts| facts.description().is_some());
        let is_first =
            lane == 0 && are_known && !self.cameras.iter().any(|facts| facts.counts_encoder());
        let settings = &self.lanes[lane];
        if settings.overlapping.is_some() || !(facts.counts_encoder() || is_first) {
            return None;
        }
        // Scales that contradict each other are told when a roll begins.
        let um_per_tick = um_per_tick(settings, facts.description()?).ok()?;
        Some(Um((tick as f64 * um_per_tick).round() as i64))
    }

    /// Where a roll that begins at these ticks begins on the station's own scale.
    fn origin(&self, at: &[i64]) -> Um {
        let lanes = at.iter().enumerate();
        let mut places = lanes.filter_map(|(lane, tick)| self.position(lane, *tick));
        places.next().unwrap_or(Um::ZERO)
    }

    /// Hears what is in the store of the roll that was begun as `order` at the ticks `at`.
    pub(crate) fn hear(&self, order: &Order, at: &[i64], written: &Written<'_>) {
        let changes = match written {
            Written::Began(run, from) => {
                *lock(&self.ribbon) = Ribbon::behind(*from);
                self.has_begun.store(true, Ordering::Relaxed);
                self.outputs.tell(&Event::RollBegan(RollAbout {
                    roll: order.roll.to_string(),
                    article: order.article.to_string(),
                    run: run.to_string(),
                    origin: self.origin(at) - *from,
                }))
            }
            Written::Flaw(id, flaw) => {
                self.counts.n_flaws.fetch_add(1, Ordering::Relaxed);
                lock(&self.ribbon).mark(flaw);
                match FoundFlaw::written(*id, flaw) {
                    Ok(found) => self.outputs.tell(&Event::Flaw(found)),
                    Err(error) => {
                        tracing::error!(%error, %id, "a flaw cannot be told to the outputs");
                        Vec::new()
                    }
                }
            }
            Written::Running(running) => self.outputs.tell(&Event::Running(*running)),
            Written::Page {
                exposed_at,
                coverage,
                is_empty,
            } => {
                lock(&self.ribbon).cover(coverage);
                let since = exposed_at.and_then(|at| SystemTime::now().duration_since(at).ok());
                if let Some(latency) = since.filter(|_| !is_empty) {
                    self.latency.add(latency);
                }
                Vec::new()
            }
        };
        self.note(&changes);
    }

    /// Tells log and store what a person should know of the rolls.
    pub(crate) fn tell(&self, message: String) {
        tracing::warn!("{message}");
        self.unwritten.push(NewEvent {
            at_us: now_us(),
            kind: "roll_by_seam".to_owned(),
            severity: EventSeverity::Warning,
            message,
        });
    }

    /// Keeps what became of alarms for the store, and tells the log.
    fn note(&self, changes: &[Change]) {
        let on = self.desk.on();
        let roll = on.as_ref().map(|on| on.roll.as_str());
        let events = changes.iter().filter_map(|change| event_of(change, roll));
        events.for_each(|event| self.unwritten.push(event));
    }

    /// The body of thread `pulse`: gives the outputs signs of life for as long as the line gives some. It
    /// touches no disk, so that none can hold it up.
    pub(crate) fn give_pulse(&self) {
        let mut lived = true;
        while !self.is_over.load(Ordering::Relaxed) {
            let lives = self.lives();
            if lives {
                self.outputs.pulse();
            }
            if std::mem::replace(&mut lived, lives) != lives {
                let told = if lives {
                    "the line goes on"
                } else {
                    "the line hangs"
                };
                tracing::error!(lives, "{told}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The body of thread `events`: writes what waits for the store, over a connection of its own that is
    /// opened again when it fails, and asks the disk.
    pub(crate) fn write_events(&self, url: &str) {
        let (mut store, mut is_told) = (None, false);
        let mut asked: Option<Instant> = None;
        loop {
            let is_over = self.is_over.load(Ordering::Relaxed);
            match self.write_once(url, &mut store) {
                Ok(()) => is_told = false,
                // Somebody else writes; there is time.
                Err(StoreError::Busy { .. }) => {}
                Err(error) => {
                    store = None;
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::error!(%error, "events wait for the store");
                    }
                }
            }
            if asked.is_none_or(|asked| asked.elapsed() >= ASK_DISK) {
                asked = Some(Instant::now());
                let free = store.as_ref().and_then(|store| store.free_bytes().ok()?);
                let free = free.unwrap_or(UNKNOWN);
                self.free_bytes.store(free, Ordering::Relaxed);
            }
            if is_over {
                return self.unwritten.give_up();
            }
            std::thread::sleep(LOOK);
        }
    }

    fn write_once(&self, url: &str, store: &mut Option<Store>) -> Result<(), StoreError> {
        let opened = match store {
            Some(opened) => opened,
            None => store.insert(Store::open(url)?),
        };
        self.unwritten.write(opened)
    }

    /// Ends the outputs and says what they could not deliver.
    pub(crate) fn finish(&self) {
        for lost in self.outputs.finish() {
            tracing::error!(
                receiver = lost.receiver,
                events = lost.n_events,
                marks = lost.n_marks,
                behind = lost.is_behind,
                "a receiver did not get everything"
            );
        }
    }
}

/// Nothing is left half done under these locks.
fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
