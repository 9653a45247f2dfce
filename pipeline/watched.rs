//! What a station does, for whoever looks from outside: page, monitor, watchdog, PLC.
//!
//! ```text
//! camera threads, recorder ─▶ Watched ◀── page, orders, the thread `watch`
//!                               ├─▶ Outputs: alarms, marks, signs of life
//!                               └─▶ events of the store, by the thread `watch`
//! ```
//!
//! Whoever tells it something waits for nobody: what must be written waits here for the watch, which has
//! a connection of its own to the store.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use calibration::Um;
use camera::TicksFrom;
use store::{EventSeverity, NewEvent, Store, StoreError};

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

/// How often the watch looks.
const LOOK: Duration = Duration::from_millis(250);
/// How often it asks the disk how full it is.
const ASK_DISK: Duration = Duration::from_secs(5);
/// Events that may wait for the store; a station that cannot write tells the log too.
const MOST_EVENTS: usize = 1000;
/// How long frames may wait, or the station's loop may not turn, before the line counts as hung; models
/// are loaded in that time when a roll begins.
const HUNG: Duration = Duration::from_secs(10);
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
    /// How far the cloth has come since the station stands, micrometres.
    reached: AtomicI64,
    outputs: Outputs,
    /// Whether the roll that is on has a run in the store.
    has_begun: AtomicBool,
    counts: Counts,
    ribbon: Mutex<Ribbon>,
    /// What became of the last roll, in words.
    last_roll: Mutex<Option<String>>,
    unwritten: Mutex<VecDeque<NewEvent>>,
    free_bytes: AtomicU64,
    /// When the station's loop last turned.
    turned: Mutex<Instant>,
    /// Whether a camera's thread has panicked.
    has_lost_thread: AtomicBool,
}

#[derive(Default)]
struct Counts {
    n_rolls: AtomicU64,
    n_failed: AtomicU64,
    n_flaws: AtomicU64,
    n_dealt: AtomicU64,
}

/// How a station is, by what its cameras do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every camera exposes.
    Good,
    /// Some do not, and which, in words.
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
            reached: AtomicI64::new(i64::MIN),
            outputs,
            has_begun: AtomicBool::new(false),
            counts: Counts::default(),
            ribbon: Mutex::default(),
            last_roll: Mutex::default(),
            unwritten: Mutex::default(),
            free_bytes: AtomicU64::new(UNKNOWN),
            turned: Mutex::new(Instant::now()),
            has_lost_thread: AtomicBool::new(false),
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
        self.outputs.standing().alarms
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
            Said::Begin(roll, article) => self.desk.begin(roll, article.as_deref()),
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
        let bad: Vec<String> = bad.chain(hung).collect();
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
        // One encoder serves all; the camera that is farthest says where the cloth is.
        if self.reached.fetch_max(position.get(), Ordering::Relaxed) < position.get() {
            self.outputs.reached(position);
        }
    }

    /// Where a camera's tick lies on the station's own scale: the encoder's, else that of the first
    /// camera's lines. Frames that show cloth again have no place on it.
    fn position(&self, lane: usize, tick: i64) -> Option<Um> {
        let counts = |facts: &Arc<Facts>| {
            let known = facts.description();
            known.is_some_and(|camera| camera.ticks == TicksFrom::Encoder)
        };
        let facts = &self.cameras[lane];
        let is_first = lane == 0 && !self.cameras.iter().any(counts);
        let settings = &self.lanes[lane];
        if settings.overlapping.is_some() || !(counts(facts) || is_first) {
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
            Written::Began(run) => {
                *lock(&self.ribbon) = Ribbon::default();
                self.has_begun.store(true, Ordering::Relaxed);
                self.outputs.tell(&Event::RollBegan(RollAbout {
                    roll: order.roll.to_string(),
                    article: order.article.to_string(),
                    run: run.to_string(),
                    origin: self.origin(at),
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

    /// Keeps what became of alarms for the store, and tells the log.
    fn note(&self, changes: &[Change]) {
        for change in changes {
            let (kind, severity, at_us, message) = match change {
                Change::Raised(alarm) => {
                    tracing::warn!(
                        alarm = alarm.id,
                        cause = alarm.cause.as_str(),
                        "{}",
                        alarm.message
                    );
                    let stop = if alarm.stops {
                        ", the machine is asked to stop"
                    } else {
                        ""
                    };
                    let message = format!("alarm {}{stop}: {}", alarm.id, alarm.message);
                    (
                        "alarm_raised",
                        EventSeverity::Error,
                        alarm.raised_at_us,
                        message,
                    )
                }
                Change::Acknowledged { alarm, by, at_us } => {
                    tracing::info!(alarm = alarm.id, by, "the alarm is acknowledged");
                    let message = format!(
                        "alarm {} is acknowledged by {by}; called for {} times: {}",
                        alarm.id, alarm.n_times, alarm.message
                    );
                    ("alarm_acknowledged", EventSeverity::Info, *at_us, message)
                }
                Change::Again(_) => continue,
            };
            let on = self.desk.on().map(|on| format!("roll {}: ", on.roll));
            let mut unwritten = lock(&self.unwritten);
            if unwritten.len() >= MOST_EVENTS {
                tracing::error!(
                    kind,
                    message,
                    "an event found no room and is only in the log"
                );
                continue;
            }
            unwritten.push_back(NewEvent {
                at_us,
                kind: kind.to_owned(),
                severity,
                message: format!("{}{message}", on.unwrap_or_default()),
            });
        }
    }

    /// Looks after the station until `stop` is set: signs of life, events, the disk.
    pub(crate) fn watch(&self, store: &str, stop: &AtomicBool) -> anyhow::Result<()> {
        let mut store = Store::open(store)?;
        let mut asked: Option<Instant> = None;
        let mut lived = true;
        loop {
            let is_over = stop.load(Ordering::Relaxed);
            let now = Instant::now();
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
            self.write_events(&mut store);
            if asked.is_none_or(|asked| now.duration_since(asked) >= ASK_DISK) {
                asked = Some(now);
                let free = store.free_bytes().ok().flatten();
                self.free_bytes
                    .store(free.unwrap_or(UNKNOWN), Ordering::Relaxed);
            }
            if is_over {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
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

    fn write_events(&self, store: &mut Store) {
        loop {
            let Some(event) = lock(&self.unwritten).front().cloned() else {
                return;
            };
            match store.record_event(&event) {
                Ok(()) => {}
                // Somebody else writes; there is time.
                Err(StoreError::Busy { .. }) => return,
                Err(error) => {
                    tracing::error!(%error, message = event.message, "an event is only in the log");
                }
            }
            lock(&self.unwritten).pop_front();
        }
    }
}

/// Nothing is left half done under these locks.
fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
