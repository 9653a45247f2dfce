//! Cameras that go on exposing between rolls, and one roll's part of what they show.
//!
//! ```text
//! Source ─▶ stand ─▶ frames ─▶ Standing ─┬─▶ RollPart of roll 1 ─▶ line
//!            (a thread that outlives rolls) ├─▶ dropped, between rolls
//!                                           └─▶ RollPart of roll 2 ─▶ line
//! ```
//!
//! A roll ends at a tick and the next one begins there: the frame that reaches over it is cut in two
//! and no line of it is lost or seen twice. Each roll counts its ticks from its own beginning. Lanes
//! whose ticks come from an encoder end at the same tick; others each at the line that their camera
//! has reached. A camera that is silent at the end of its roll is waited for [`PATIENCE`] long; what it
//! did not show until then is lost.
//!
//! Where a seam ends a roll, a part that sees one hands out up to a little behind it and holds the rest until
//! the other lanes have answered, or [`PATIENCE`] is over.
//!
//! A camera that fails is opened again, sooner at first and later less often, for as long as the
//! station stands; its lane's cloth meanwhile is a gap, and no other lane waits. One that does not
//! answer when the station begins to stand is tried in the same way; what its frames are like is not
//! known until then, and no roll can begin without it. [`Facts`] say what a
//! camera does. No thread and no channel is made here.

mod at_seam;
mod ends;
mod facts;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use camera::{
    Buffer, CameraError, Captured, Description, Frame, Lost, LostReason, Pool, Source, TicksFrom,
    capture,
};
use crossbeam::channel::{Receiver, RecvTimeoutError};

use self::at_seam::Finder;
pub use self::at_seam::Looks;
pub use self::ends::Ends;
use self::ends::{Looking, Verdict};
pub use self::facts::{Doing, Facts, Picture, elsewhere, now};

/// Longest wait between two looks at the signals.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait between two looks at what other lanes say of a seam.
const LOOK_AT_LANES: Duration = Duration::from_millis(5);
/// How long the last frames of a roll are waited for.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// First and longest wait before a camera is opened again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Opens a camera, at first and after each failure.
pub type Open<'a> = dyn FnMut() -> anyhow::Result<Box<dyn Source>> + Send + 'a;

/// The camera, opened for the first time; `None` when `stop` was set before it answered.
pub fn first_opened(
    camera: u16,
    open: &mut Open<'_>,
    stop: &AtomicBool,
    facts: &Facts,
) -> Option<Box<dyn Source>> {
    let source = match open() {
        Ok(source) => source,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(camera, error, "the camera does not open and is tried again");
            facts.was_refused(error);
            let source = reopened(open, None, stop, facts)?;
            tracing::warn!(camera, "the camera is there");
            source
        }
    };
    facts.is_open(source.description());
    Some(source)
}

/// The rest of a camera's thread: hands over everything that the camera exposes, and opens it again
/// when it fails, until it ends by itself, nobody listens or `stop` is set.
///
/// A camera counts its encoder from its own first frame on. `elsewhere` says where the cloth is by
/// cameras that have counted all the while, so that one that comes late, or comes back, goes on from
/// there: to within a frame, for they say it frame by frame.
pub fn stand(
    camera: u16,
    mut source: Box<dyn Source>,
    open: &mut Open<'_>,
    (pool, stop): (&Pool, &AtomicBool),
    facts: &Facts,
    elsewhere: &dyn Fn() -> Option<i64>,
    mut deliver: impl FnMut(Captured) -> ControlFlow<()>,
) {
    let expected = source.description().clone();
    let mut after: Option<After> = None;
    loop {
        let mut place = Place::behind(after, elsewhere);
        let ended = capture(&mut *source, pool, stop, |captured| {
            for captured in place.put(captured) {
                facts.note(&captured);
                if deliver(captured).is_break() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        let error = match ended {
            Ok(_) => {
                facts.has_ended();
                return;
            }
            Err(error) => error,
        };
        after = Some(place.after());
        tracing::error!(camera, %error, "the camera failed and is opened again");
        facts.has_failed(error.to_string());
        match reopened(open, Some(&expected), stop, facts) {
            Some(opened) => source = opened,
            None => return,
        }
        tracing::warn!(camera, "the camera is back");
        facts.is_back();
    }
}

/// The camera, opened again, with frames as `expected` where that is known; `None` when `stop` was set
/// before it answered.
fn reopened(
    open: &mut Open<'_>,
    expected: Option<&Description>,
    stop: &AtomicBool,
    facts: &Facts,
) -> Option<Box<dyn Source>> {
    let mut wait = BACK_OFF.0;
    loop {
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            std::thread::sleep(LOOK.min(wait));
        }
        wait = (wait * 2).min(BACK_OFF.1);
        match open() {
            Ok(source) => {
                let found = source.description().shape;
                match expected.map(|expected| expected.shape) {
                    Some(expected) if found != expected => facts.is_gone(format!(
                        "it came back with frames of {found:?}, expected {expected:?}"
                    )),
                    Some(_) | None => return Some(source),
                }
            }
            Err(error) => facts.is_gone(format!("{error:#}")),
        }
    }
}

/// What a camera had shown when it failed.
#[derive(Clone, Copy, Debug)]
struct After {
    sequence: u64,
    tick: i64,
    camera: u16,
}

/// Brings what a camera shows after a failure behind what it showed before.
struct Place<'a> {
    after: Option<After>,
    elsewhere: &'a dyn Fn() -> Option<i64>,
    /// What is added to sequence numbers and ticks, once the first exposure is there.
    shift: Option<(u64, i64)>,
    end: After,
}

impl<'a> Place<'a> {
    fn behind(after: Option<After>, elsewhere: &'a dyn Fn() -> Option<i64>) -> Self {
        let nothing = After {
            sequence: 0,
            tick: 0,
            camera: 0,
        };
        Self {
            after,
            elsewhere,
            shift: None,
            end: after.unwrap_or(nothing),
        }
    }

    /// The exposure in its place; before the first one after a failure, what was lost in between.
    /// An encoder that ran on, its own or another camera's, says how much that was; else it is not known,
    /// and one tick marks the place.
    fn put(&mut self, mut captured: Captured) -> impl Iterator<Item = Captured> {
        let mut gap = None;
        let (sequence, ticks) = match self.shift {
            Some(shift) => shift,
            None => {
                let start = captured.ticks().start;
                let cloth_at = (self.elsewhere)().unwrap_or(i64::MIN);
                let shift = match self.after {
                    // The first of all goes on from where the cloth is.
                    None => (0, cloth_at.saturating_sub(start).max(0)),
                    Some(After {
                        sequence,
                        tick,
                        camera,
                    }) => {
                        let own = Some(start).filter(|start| *start > tick);
                        let known = own.or(Some(cloth_at).filter(|cloth| *cloth > tick));
                        let (reason, to) = match known {
                            Some(known) => (LostReason::CameraLost, known),
                            None => (LostReason::UnknownLength, tick + 1),
                        };
                        gap = Some(Captured::Lost(Lost {
                            camera,
                            sequence,
                            ticks: tick..to,
                            reason,
                            detail: "the camera was gone and came back".to_owned(),
                            origin: None,
                        }));
                        (sequence + 1, to - start)
                    }
                };
                *self.shift.insert(shift)
            }
        };
        match &mut captured {
            Captured::Frame(frame) => {
                frame.sequence += sequence;
                frame.ticks = frame.ticks.start + ticks..frame.ticks.end + ticks;
            }
            Captured::Lost(lost) => {
                lost.sequence += sequence;
                lost.ticks = lost.ticks.start + ticks..lost.ticks.end + ticks;
            }
        }
        self.end = After {
            sequence: captured.sequence() + 1,
            tick: captured.ticks().end,
            camera: captured.camera(),
        };
        gap.into_iter().chain([captured])
    }

    fn after(&self) -> After {
        self.end
    }
}

/// The receiving end of a camera that stands.
pub struct Standing {
    /// What it does.
    pub facts: Arc<Facts>,
    /// Whether a frame that reaches over a roll's end may be cut there.
    can_cut: bool,
    frames: Receiver<Captured>,
    /// What reached over the end of the last roll.
    rest: Option<Captured>,
}

impl Standing {
    /// Of a camera whose thread sends `frames`. Frames that show cloth again are not cut: what is new
    /// in them is only known later.
    pub fn new(facts: Arc<Facts>, frames: Receiver<Captured>, can_cut: bool) -> Self {
        Self {
            facts,
            can_cut,
            frames,
            rest: None,
        }
    }

    /// Whether so much waits to be taken that some may soon be lost.
    fn is_half_full(&self) -> bool {
        let room = self.frames.capacity().unwrap_or(usize::MAX);
        self.frames.len() * 2 > room
    }

    /// Lets go of what came while no roll was on, and says whether more can come.
    pub fn drop_waiting(&mut self) -> bool {
        self.rest = None;
        loop {
            match self.frames.try_recv() {
                Ok(_) => self.facts.is_taken(),
                Err(crossbeam::channel::TryRecvError::Empty) => return true,
                Err(crossbeam::channel::TryRecvError::Disconnected) => return false,
            }
        }
    }
}

/// What one roll shows of one camera.
pub struct RollPart {
    camera: Arc<Mutex<Standing>>,
    description: Description,
    /// Where the roll begins, in the camera's ticks.
    begin: i64,
    ends: Arc<Ends>,
    /// Its place among those.
    lane: usize,
    stop: Arc<AtomicBool>,
    index: u16,
    first_sequence: Option<u64>,
    next_sequence: u64,
    /// One past the last tick that was handed out.
    reached: i64,
    /// Since when the end is known and nothing came.
    waiting_since: Option<Instant>,
    /// Looks for seams, where one ends the roll.
    finder: Option<Finder>,
}

impl RollPart {
    /// The roll that begins at tick `begin` of `camera` and ends where `ends` says of `lane`, or when
    /// `stop` is set.
    ///
    /// # Errors
    /// When the camera has never been opened.
    pub fn new(
        camera: Arc<Mutex<Standing>>,
        begin: i64,
        (ends, lane): (Arc<Ends>, usize),
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let description = lock(&camera).facts.description().cloned();
        let description = description.context("found a camera that never answered")?;
        Ok(Self {
            description: Description {
                live: true,
                n_frames: None,
                ..description
            },
            camera,
            begin,
            ends,
            lane,
            stop,
            index: 0,
            first_sequence: None,
            next_sequence: 0,
            reached: begin,
            waiting_since: None,
            finder: None,
        })
    }

    /// The same, where a seam ends the roll. The frames of its camera can be cut.
    #[must_use]
    pub fn ending_at_seams(mut self, looks: Looks) -> Self {
        let looking = Looking {
            begin: self.begin,
            um_per_tick: looks.um_per_tick,
            counts_encoder: self.description.ticks == TicksFrom::Encoder,
            reached: self.begin,
            seen: self.begin,
            counts: true,
            seam: None,
        };
        self.ends.look(self.lane, looking, looks.within_um);
        self.finder = Some(Finder::new(looks));
        self
    }

    /// Whether the part is to wait: what it has handed out ends behind a seam, and other lanes have not
    /// answered yet.
    fn waits_at_seam(&mut self) -> bool {
        let Some(finder) = &mut self.finder else {
            return false;
        };
        let reached = self.reached;
        let Some(cut) = finder.cuts.front_mut().filter(|cut| cut.tick <= reached) else {
            return false;
        };
        let since = match cut.asked {
            Some(since) => since,
            None => {
                self.ends.report(self.lane, cut.tick);
                *cut.asked.insert(Instant::now())
            }
        };
        // What waits meanwhile must not be lost.
        let is_late = since.elapsed() >= PATIENCE || lock(&self.camera).is_half_full();
        match self.ends.verdict(self.lane) {
            Verdict::Waits if is_late => self.ends.withdraw(self.lane),
            Verdict::Waits => {
                std::thread::sleep(LOOK_AT_LANES);
                return true;
            }
            Verdict::Nothing | Verdict::Ends => {}
        }
        finder.cuts.pop_front();
        false
    }

    /// In the roll's own sequence numbers and ticks.
    fn hand_out(&mut self, mut captured: Captured) -> Captured {
        let sequence = captured.sequence();
        let first = *self.first_sequence.get_or_insert(sequence);
        self.reached = self.reached.max(captured.ticks().end);
        self.waiting_since = None;
        self.index = captured.camera();
        match &mut captured {
            Captured::Frame(frame) => {
                frame.sequence -= first.min(sequence);
                frame.ticks = frame.ticks.start - self.begin..frame.ticks.end - self.begin;
            }
            Captured::Lost(lost) => {
                lost.sequence -= first.min(sequence);
                lost.ticks = lost.ticks.start - self.begin..lost.ticks.end - self.begin;
            }
        }
        self.next_sequence = captured.sequence() + 1;
        captured
    }

    /// What did not come before the roll's end, if anything is missing.
    fn missing(&mut self, end: i64, reason: LostReason, detail: &str) -> Option<Captured> {
        let ticks = self.reached - self.begin..end - self.begin;
        self.reached = end;
        (!ticks.is_empty()).then(|| {
            Captured::Lost(Lost {
                camera: self.index,
                sequence: self.next_sequence,
                ticks,
                reason,
                detail: detail.to_owned(),
                origin: None,
            })
        })
    }
}

impl Source for RollPart {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        loop {
            let end = self.ends.of(self.lane);
            if self.reached >= end || pool.is_closed() || self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if self.waits_at_seam() {
                continue;
            }
            let camera = Arc::clone(&self.camera);
            let mut camera = lock(&camera);
            let can_cut = camera.can_cut;
            let next = match camera.rest.take() {
                Some(rest) => Ok(rest),
                None => camera.frames.recv_timeout(LOOK),
            };
            let captured = match next {
                Ok(captured) => {
                    camera.facts.is_taken();
                    captured
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.ends.is_gone(self.lane);
                    return Ok(None);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if matches!(camera.facts.doing(), Doing::Gone(_) | Doing::Ended) {
                        self.ends.is_gone(self.lane);
                    }
                    let is_over = end < i64::MAX && {
                        let since = *self.waiting_since.get_or_insert_with(Instant::now);
                        since.elapsed() >= PATIENCE
                    };
                    if is_over {
                        let detail = "the camera was silent at the end of its roll";
                        return Ok(self.missing(end, LostReason::CameraLost, detail));
                    }
                    continue;
                }
            };
            // What lies before the roll is nobody's.
            let Some(captured) = split(captured, self.begin, can_cut).1 else {
                continue;
            };
            let (mut cut, mut counts) = (i64::MAX, true);
            if let Some(finder) = &mut self.finder {
                finder.see(&captured);
                (cut, counts) = (finder.cut(), finder.shows_cloth);
            }
            // The end may have been told while this waited. When it was not, all that this camera showed until
            // now is the roll's, or up to where it may end at a seam, and it will end behind it.
            let until = captured.ticks().end.min(cut);
            let end = self.ends.hand_out(self.lane, until, counts);
            let (own, rest) = match end.min(cut) {
                i64::MAX => (Some(captured), None),
                tick => split(captured, tick, can_cut),
            };
            camera.rest = rest;
            drop(camera);
            return Ok(match own {
                Some(own) => Some(self.hand_out(own)),
                None => self.missing(
                    end.min(cut),
                    LostReason::FrameLost,
                    "nothing came of the end of the roll",
                ),
            });
        }
    }
}

fn lock(camera: &Mutex<Standing>) -> MutexGuard<'_, Standing> {
    // A roll that panicked leaves a camera that is as good as before.
    camera.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What lies before `tick` and what lies behind it. What must not be cut belongs to where it begins.
fn split(captured: Captured, tick: i64, can_cut: bool) -> (Option<Captured>, Option<Captured>) {
    let ticks = captured.ticks();
    if ticks.end <= tick && ticks.start < tick {
        return (Some(captured), None);
    }
    if ticks.start >= tick {
        return (None, Some(captured));
    }
    match captured {
        Captured::Lost(lost) => {
            let part = |ticks| {
                Captured::Lost(Lost {
                    ticks,
                    ..lost.clone()
                })
            };
            (Some(part(ticks.start..tick)), Some(part(tick..ticks.end)))
        }
        Captured::Frame(frame) if !can_cut => (Some(Captured::Frame(frame)), None),
        Captured::Frame(frame) => match behind(&frame, tick) {
            // Nothing is a whole line behind the tick.
            None => (Some(Captured::Frame(frame)), None),
            Some((row, rest)) => {
                let before = frame.cut(0..row, ticks.start..tick);
                (Some(Captured::Frame(before)), Some(Captured::Frame(rest)))
            }
        },
    }
}

/// The rows of `frame` from `tick` on, in memory of their own, and the first of them.
fn behind(frame: &Frame, tick: i64) -> Option<(u32, Frame)> {
    let ticks = frame.ticks.clone();
    let share = (tick - ticks.start) as f64 / (ticks.end - ticks.start) as f64;
    let row = (share * f64::from(frame.height())).round() as u32;
    if row == 0 || row >= frame.height() {
        return None;
    }
    let line = frame.bytes().len() / frame.height() as usize;
    let bytes = &frame.bytes()[row as usize * line..];
    let mut shape = frame.shape();
    shape.height -= row;
    let mut buffer = Buffer::alone(bytes.len());
    buffer.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    let mut rest = Frame::new(frame.camera, frame.sequence, tick..ticks.end, shape, buffer).ok()?;
    rest.taken_at = frame.taken_at;
    rest.origin.clone_from(&frame.origin);
    Some((row, rest))
}

#[cfg(test)]
mod tests;
