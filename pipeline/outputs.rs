//! The way out for alarms: a PLC, a broker, a web server.
//!
//! ```text
//! the line ─▶ Outputs::tell ─▶ Alarms ─┬▶ Outbox ─▶ thread `out-modbus`  ─▶ coils, registers
//!         ─▶ Outputs::pulse            ├▶ Outbox ─▶ thread `out-mqtt`    ─▶ JSON or Sparkplug B
//!         ─▶ Outputs::reached          └▶ Outbox ─▶ thread `out-webhook` ─▶ POST
//! ```
//!
//! Each receiver has its own bounded outbox and thread, so one that is slow or dead costs the
//! line nothing and the others nothing. Two kinds of word go out. The *state*, what is latched
//! now, is superseded by a newer one, never lost, and told anew whenever a receiver comes back.
//! *Events* wait in order; when too many wait the oldest are dropped, counted, and the count is
//! told. The heartbeat of the PLC goes on only while [`Outputs::pulse`] comes, so a line that
//! hangs, a box that dies and a cut cable all look the same to the PLC, which stops the machine.
//!
//! Without the Cargo feature `outputs` alarms are kept all the same, and a station file that
//! names a receiver is refused. It decides nothing of its own: what raises an alarm stands in
//! `alarms`.

#[cfg(feature = "outputs")]
mod enabled;
#[cfg(feature = "outputs")]
pub use self::enabled::ARE_BUILT_IN;
#[cfg(feature = "outputs")]
use self::enabled::Receivers;

#[cfg(not(feature = "outputs"))]
mod disabled;
#[cfg(not(feature = "outputs"))]
pub use self::disabled::ARE_BUILT_IN;
#[cfg(not(feature = "outputs"))]
use self::disabled::Receivers;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use calibration::{Span, Um, WebRect};
use store::{FlawId, NewFlaw, now_us};

use crate::alarms::{Alarms, Change, FoundFlaw, Latched};
use crate::config::{AlarmSettings, Station};
use crate::repeats::Repeat;
use crate::running::Running;

/// What the line tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A roll has begun.
    RollBegan(RollAbout),
    /// It has ended, as `done` or `aborted`.
    RollEnded {
        /// The word for it.
        state: String,
    },
    /// A flaw is in the store.
    Flaw(FoundFlaw),
    /// A flaw runs, or has run.
    Running(Running),
}

/// Which cloth runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollAbout {
    /// The roll's number.
    pub roll: String,
    /// Its article.
    pub article: String,
    /// The run's id.
    pub run: String,
    /// Where it begins, on the scale of [`Outputs::reached`].
    pub origin: Um,
}

/// What a receiver did not get, told when the outputs end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The receiver: `modbus`, `mqtt` or `webhook`.
    pub receiver: &'static str,
    /// Events that were dropped, refused or still waited.
    pub n_events: u64,
    /// Flaws that passed the marker unmarked.
    pub n_marks: u64,
    /// Whether it does not know the last state.
    pub is_behind: bool,
}

/// Alarms and all that hear of them. Its threads end when it is dropped; [`Outputs::finish`] says
/// what was lost.
pub struct Outputs {
    told: Mutex<Told>,
    receivers: Receivers,
}

struct Told {
    alarms: Alarms,
    roll: Option<RollAbout>,
    n_words: u64,
}

/// What is so until it changes.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    latched: Latched,
    roll: Option<RollAbout>,
}

/// Something that happened, as receivers are told of it.
pub struct Word<'a> {
    /// Its number, from 1, since the outputs were started.
    pub seq: u64,
    /// When it was told, microseconds since 1970 UTC.
    pub at_us: i64,
    /// What happened.
    pub about: About<'a>,
}

/// What a word is about.
pub enum About<'a> {
    /// The line told it.
    Event(&'a Event),
    /// An alarm came of it, or was acknowledged.
    Change(&'a Change),
}

impl Outputs {
    /// Starts a thread for each receiver of the station; none needs to be there yet.
    ///
    /// # Errors
    /// When this build has no outputs and the station names one, when a password is not in its
    /// environment variable, or when a thread cannot be started.
    pub fn start(station: &Station) -> anyhow::Result<Self> {
        let name = station.name.as_deref().unwrap_or("selvedge");
        Ok(Self {
            told: Mutex::new(Told {
                alarms: Alarms::new(station.alarms.clone()),
                roll: None,
                n_words: 0,
            }),
            receivers: Receivers::start(&station.outputs, name)?,
        })
    }

    /// Takes what the line tells, passes it on without waiting, and gives what became of alarms.
    pub fn tell(&self, event: &Event) -> Vec<Change> {
        let mut told = self.lock();
        let now = now_us();
        let changes = match event {
            Event::RollBegan(about) => {
                told.roll = Some(about.clone());
                told.alarms.begin_roll();
                Vec::new()
            }
            Event::RollEnded { .. } => {
                told.roll = None;
                Vec::new()
            }
            Event::Flaw(flaw) => told.alarms.flaw(flaw, now),
            Event::Running(running) => told.alarms.running(running, now),
        };
        if let Some(along) = told.mark_for(event) {
            self.receivers.mark(along, Instant::now());
        }
        let changed = changes.iter().map(About::Change);
        let abouts = std::iter::once(About::Event(event)).chain(changed);
        self.pass(&mut told, abouts, now);
        changes
    }

    /// A person has seen alarm `id`.
    ///
    /// # Errors
    /// When no such alarm waits, or nobody is named.
    pub fn acknowledge(&self, id: u64, by: &str) -> anyhow::Result<Change> {
        let mut told = self.lock();
        let now = now_us();
        let change = told.alarms.acknowledge(id, by, now)?;
        self.pass(&mut told, std::iter::once(About::Change(&change)), now);
        Ok(change)
    }

    /// Takes over what raises alarms from now on; what is latched stays.
    pub fn take_settings(&self, settings: &AlarmSettings) {
        self.lock().alarms.take_settings(settings);
    }

    /// The line is alive. To be called at least every second, also while the cloth stands.
    pub fn pulse(&self) {
        self.receivers.pulse(Instant::now());
    }

    /// The cloth has come to `position` at the camera's line, on a scale that does not begin anew with
    /// each roll.
    pub fn reached(&self, position: Um) {
        self.receivers.reached(position, Instant::now());
    }

    /// What is latched now.
    pub fn latched(&self) -> Latched {
        self.lock().alarms.latched()
    }

    /// What repeats on this roll so far.
    pub fn repeats(&self) -> Vec<Repeat> {
        self.lock().alarms.repeats()
    }

    /// Gives receivers two seconds for what waits, ends their threads, and says what was lost.
    /// What is told later is not delivered.
    pub fn finish(&self) -> Vec<Undelivered> {
        self.receivers.finish()
    }

    fn pass<'a>(&self, told: &mut Told, abouts: impl Iterator<Item = About<'a>>, at_us: i64) {
        let words: Vec<Word<'_>> = abouts
            .map(|about| {
                told.n_words += 1;
                Word {
                    seq: told.n_words,
                    at_us,
                    about,
                }
            })
            .collect();
        let state = State {
            latched: told.alarms.latched(),
            roll: told.roll.clone(),
        };
        self.receivers.tell(state, &words);
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        // Whoever panicked while telling left alarms that are still worth latching.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Where along the cloth is marked for an event: where a flaw begins. One that runs is longer
    /// than the way to the marker when it is whole, so it is marked every time that it is told of.
    fn mark_for(&self, event: &Event) -> Option<Um> {
        let along = match event {
            Event::Flaw(flaw) => {
                let was_told = self.alarms.is_told_running(flaw.rect.along.length());
                (!was_told).then(|| flaw.rect.along.start())
            }
            Event::Running(running) => Some(running.along.end()),
            Event::RollBegan(_) | Event::RollEnded { .. } => None,
        };
        let origin = self.roll.as_ref().map_or(Um::ZERO, |roll| roll.origin);
        along.map(|along| origin + along)
    }
}

impl FoundFlaw {
    /// A flaw that has just been written.
    ///
    /// # Errors
    /// When its box is reversed, which the store does not write.
    pub fn written(id: FlawId, flaw: &NewFlaw) -> anyhow::Result<Self> {
        let span = |range: std::ops::Range<i64>| Span::new(Um(range.start), Um(range.end));
        Ok(Self {
            id: id.to_string(),
            class: flaw.class.clone(),
            severity: flaw.severity.clone(),
            rect: WebRect {
                along: span(flaw.rect.along())?,
                across: span(flaw.rect.across())?,
            },
            score: flaw.score,
        })
    }
}
