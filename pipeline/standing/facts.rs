//! What a camera does, for whoever looks from outside.
//!
//! Told by the camera's thread, read by desk and page; nobody waits for anybody but for a moment's
//! copying.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use calibration::drift::FEWEST_FRAMES;
use calibration::{Sight, Watched, find_cloth};
use camera::{Captured, Description, Frame, TicksFrom};

/// A camera's last picture is kept once in this time, for people.
const PICTURE_EVERY: Duration = Duration::from_millis(500);
/// Columns of such a picture, at most.
const PICTURE_WIDTH: u32 = 960;

/// What a camera does, told while it does it.
#[derive(Debug)]
pub struct Facts {
    n_frames: AtomicU64,
    n_lost: AtomicU64,
    n_failures: AtomicU64,
    /// One past the last tick that was seen or is known to be lost; [`i64::MIN`] before the first.
    pub(super) next_tick: AtomicI64,
    /// What its frames are like; not known before it has been opened for the first time.
    description: OnceLock<Description>,
    /// Whether it has been opened, or refused to be.
    was_tried: AtomicBool,
    /// When its first frame came.
    first_seen: OnceLock<Instant>,
    last: Mutex<Last>,
}

/// Light and sharpness of what a camera shows.
#[derive(Debug, Default)]
struct Sighting {
    watched: Watched,
    sight: Option<Sight>,
}

#[derive(Debug, Default)]
struct Last {
    /// When the last frame came.
    seen: Option<Instant>,
    /// Since when something waits to be taken.
    waiting: Option<Instant>,
    /// When something was taken last.
    taken: Option<Instant>,
    picture: Option<Picture>,
    sighting: Sighting,
    /// Why it is gone, while it is.
    failure: Option<String>,
    has_ended: bool,
}

/// A camera's last frame, made small.
#[derive(Clone, Debug)]
pub struct Picture {
    /// When it was exposed.
    pub taken_at: SystemTime,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Grey levels, row by row.
    pub levels: Vec<u8>,
    kept: Instant,
}

/// What a camera is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It has been opened and nothing has come yet.
    Waiting,
    /// Frames come; the last one so long ago.
    Exposing(Duration),
    /// It failed, and is being opened again.
    Gone(String),
    /// Its source came to an end.
    Ended,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            n_frames: AtomicU64::new(0),
            n_lost: AtomicU64::new(0),
            n_failures: AtomicU64::new(0),
            next_tick: AtomicI64::new(i64::MIN),
            description: OnceLock::new(),
            was_tried: AtomicBool::new(false),
            first_seen: OnceLock::new(),
            last: Mutex::default(),
        }
    }
}

impl Facts {
    /// Frames that came.
    pub fn n_frames(&self) -> u64 {
        self.n_frames.load(Ordering::Relaxed)
    }

    /// Exposures that are known to be lost.
    pub fn n_lost(&self) -> u64 {
        self.n_lost.load(Ordering::Relaxed)
    }

    /// How often the camera failed.
    pub fn n_failures(&self) -> u64 {
        self.n_failures.load(Ordering::Relaxed)
    }

    /// What its frames are like; `None` before it has been opened for the first time.
    pub fn description(&self) -> Option<&Description> {
        self.description.get()
    }

    /// Whether its ticks are known to be an encoder's.
    pub fn counts_encoder(&self) -> bool {
        let known = self.description();
        known.is_some_and(|camera| camera.ticks == TicksFrom::Encoder)
    }

    /// Whether it has been opened, or refused to be.
    pub fn was_tried(&self) -> bool {
        self.was_tried.load(Ordering::Relaxed)
    }

    /// How long something that it showed has waited without anything being taken.
    pub fn waits(&self) -> Option<Duration> {
        self.last().waiting.map(|since| since.elapsed())
    }

    /// How long ago something was taken of what it showed.
    pub fn taken(&self) -> Option<Duration> {
        self.last().taken.map(|at| at.elapsed())
    }

    /// What it is doing.
    pub fn doing(&self) -> Doing {
        let last = self.last();
        match (&last.failure, last.seen) {
            _ if last.has_ended => Doing::Ended,
            (Some(failure), _) => Doing::Gone(failure.clone()),
            (None, Some(seen)) => Doing::Exposing(seen.elapsed()),
            (None, None) => Doing::Waiting,
        }
    }

    /// The last picture, unless the camera is gone or has been silent for longer than `most`: a stale
    /// picture is never shown as live.
    pub fn picture(&self, most: Duration) -> Option<Picture> {
        let last = self.last();
        let is_live = last.failure.is_none() && last.seen.is_some_and(|seen| seen.elapsed() < most);
        last.picture.clone().filter(|_| is_live)
    }

    /// What the cloth looked like lately; `None` while too little has come, or the camera is gone.
    pub fn sight(&self) -> Option<Sight> {
        let last = self.last();
        last.sighting
            .sight
            .clone()
            .filter(|_| last.failure.is_none())
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The camera has been opened for the first time.
    pub(super) fn is_open(&self, description: &Description) {
        // It stays what it was: a camera that comes back is held against this.
        self.description.get_or_init(|| description.clone());
        self.last().failure = None;
        self.was_tried.store(true, Ordering::Relaxed);
    }

    /// Something of what it showed was taken.
    pub(super) fn is_taken(&self) {
        let mut last = self.last();
        last.waiting = None;
        last.taken = Some(Instant::now());
    }

    /// The camera failed.
    pub(super) fn has_failed(&self, why: String) {
        self.n_failures.fetch_add(1, Ordering::Relaxed);
        self.is_gone(why);
    }

    /// The camera is not back yet, and why.
    pub(crate) fn is_gone(&self, why: String) {
        self.last().failure = Some(why);
    }

    /// It does not answer yet, and why.
    pub(super) fn was_refused(&self, why: String) {
        self.is_gone(why);
        self.was_tried.store(true, Ordering::Relaxed);
    }

    /// The camera is back.
    pub(super) fn is_back(&self) {
        self.last().failure = None;
    }

    /// The camera came to its end.
    pub(super) fn has_ended(&self) {
        self.last().has_ended = true;
    }

    /// Counts what came of an exposure.
    pub(super) fn note(&self, captured: &Captured) {
        self.next_tick
            .fetch_max(captured.ticks().end, Ordering::Relaxed);
        self.last().waiting.get_or_insert_with(Instant::now);
        match captured {
            Captured::Lost(_) => {
                self.n_lost.fetch_add(1, Ordering::Relaxed);
            }
            Captured::Frame(frame) => {
                self.n_frames.fetch_add(1, Ordering::Relaxed);
                self.first_seen.get_or_init(Instant::now);
                let mut last = self.last();
                last.seen = Some(Instant::now());
                let is_due = |picture: &Picture| picture.kept.elapsed() >= PICTURE_EVERY;
                if last.picture.as_ref().is_none_or(is_due) {
                    let mut sighting = std::mem::take(&mut last.sighting);
                    // Nobody waits while it is made.
                    drop(last);
                    let picture = Picture::of(frame);
                    sighting.add(frame);
                    let mut last = self.last();
                    last.picture = Some(picture);
                    last.sighting = sighting;
                }
            }
        }
    }
}

impl Sighting {
    /// Adds a frame; a few of them together are a sight.
    fn add(&mut self, frame: &Frame) {
        let Some(cloth) = find_cloth(frame) else {
            return;
        };
        // The cloth was found in this frame.
        if self.watched.add(frame, cloth).is_ok() && self.watched.n_frames() >= FEWEST_FRAMES {
            self.sight = std::mem::take(&mut self.watched).sight();
        }
    }
}

impl Picture {
    fn of(frame: &Frame) -> Self {
        let step = frame.width().div_ceil(PICTURE_WIDTH).max(1);
        let mut line = vec![0.0; frame.width() as usize];
        let mut levels = Vec::new();
        for row in (0..frame.height()).step_by(step as usize) {
            frame.grey_row_into(row, &mut line);
            let kept = line.iter().step_by(step as usize);
            levels.extend(kept.map(|level| level.round() as u8));
        }
        Self {
            taken_at: frame.taken_at,
            width: frame.width().div_ceil(step),
            height: frame.height().div_ceil(step),
            levels,
            kept: Instant::now(),
        }
    }
}

/// How much longer than a camera others must have exposed for it to have come late; those that are opened
/// together begin within this of each other.
const TOGETHER: Duration = Duration::from_secs(2);

/// Where the cloth is by cameras other than that of `lane` that count an encoder and have exposed for
/// some time; `None` where there are none, or this one counts none.
pub fn elsewhere(cameras: &[Arc<Facts>], lane: usize) -> Option<i64> {
    if !cameras[lane].counts_encoder() {
        return None;
    }
    let others = cameras.iter().enumerate().filter(|(nth, facts)| {
        let for_long = facts
            .first_seen
            .get()
            .is_some_and(|at| at.elapsed() > TOGETHER);
        let exposes = matches!(facts.doing(), Doing::Exposing(since) if since < TOGETHER);
        *nth != lane && for_long && exposes && facts.counts_encoder()
    });
    others
        .map(|(_, facts)| facts.next_tick.load(Ordering::Relaxed))
        .max()
}

/// Where the cameras are now: a tick for each, at which a roll can end and the next one begin; `None`
/// until each has shown something.
pub fn now(cameras: &[Arc<Facts>]) -> Option<Vec<i64>> {
    let reached: Option<Vec<i64>> = cameras
        .iter()
        .map(|facts| Some(facts.next_tick.load(Ordering::Relaxed)).filter(|at| *at > i64::MIN))
        .collect();
    let mut reached = reached?;
    // An encoder is one for all; the camera that is farthest says where it stands.
    let by_encoder = || cameras.iter().map(|facts| facts.counts_encoder());
    let at_encoder = reached.iter().zip(by_encoder()).filter(|(_, is)| *is);
    if let Some(encoder) = at_encoder.map(|(at, _)| *at).max() {
        let ours = reached.iter_mut().zip(by_encoder());
        ours.filter(|(_, is)| *is).for_each(|(at, _)| *at = encoder);
    }
    Some(reached)
}
