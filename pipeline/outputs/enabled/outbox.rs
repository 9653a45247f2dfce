//! What waits for one receiver: the latest state, a bounded row of events, marks, signs of life.
//!
//! Whoever puts something in holds the lock for as long as it takes to push a pointer; the
//! receiver's thread never holds it while it talks to the network. State have a number, so that
//! a receiver that lost its connection asks for them again. An event leaves the row only when
//! the receiver has it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use calibration::Um;

use super::super::State;
use super::marks::Marks;
use super::words::Parcel;

/// Events that wait for a receiver; at ten flaws a metre that is a hundred metres.
const MOST_PARCELS: usize = 1000;

/// What a receiver can do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// State, then events in order.
    Events,
    /// State, signs of life, and marks at a marker so far behind the camera.
    Signals(Option<Um>),
}

pub(super) struct Outbox {
    takes: Takes,
    held: Mutex<Held>,
    changed: Condvar,
}

struct Held {
    state: Arc<State>,
    /// Number of this state; 0 before anything was told.
    version: u64,
    /// Number of the state that the receiver has, if it is known to have any.
    version_there: Option<u64>,
    parcels: VecDeque<(u64, Arc<Parcel>)>,
    next: u64,
    /// Dropped because too many waited, and not told of yet.
    n_dropped: u64,
    /// All that the receiver will never get.
    n_lost: u64,
    marks: Option<Marks>,
    line_seen_at: Option<Instant>,
    closes_at: Option<Instant>,
    /// Changes so far, so that none is slept through.
    n_changes: u64,
}

/// What a receiver is to be told next.
#[derive(Debug)]
pub(super) enum Next {
    /// State that it does not have.
    State(u64, Arc<State>),
    /// The event that waits longest, and how many were dropped before it.
    Parcel(u64, Arc<Parcel>, u64),
    /// Nothing came.
    Nothing,
    /// Nothing will.
    Closed,
}

/// What signals are made from.
pub(super) struct View {
    pub(super) state: Arc<State>,
    pub(super) version: u64,
    /// What to ask for the next view with.
    pub(super) n_changes: u64,
    pub(super) line_seen_at: Option<Instant>,
    /// Whether a mark is to be set now.
    pub(super) is_mark_due: bool,
    /// When the next one is, as far as known.
    pub(super) next_mark: Option<Instant>,
    pub(super) n_missed: u64,
    pub(super) is_closed: bool,
}

impl Outbox {
    pub(super) fn new(takes: Takes) -> Self {
        let marks = match takes {
            Takes::Signals(distance) => distance.map(Marks::new),
            Takes::Events => None,
        };
        Self {
            takes,
            held: Mutex::new(Held {
                state: Arc::new(State::default()),
                version: 0,
                version_there: None,
                parcels: VecDeque::new(),
                next: 0,
                n_dropped: 0,
                n_lost: 0,
                marks,
                line_seen_at: None,
                closes_at: None,
                n_changes: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Supersedes the state and appends events; never waits for the receiver.
    pub(super) fn put(&self, state: &Arc<State>, parcels: &[Arc<Parcel>]) {
        let mut held = self.lock();
        if *held.state != **state {
            held.state = Arc::clone(state);
            held.version += 1;
        }
        if self.takes == Takes::Events {
            for parcel in parcels {
                if held.parcels.len() >= MOST_PARCELS {
                    held.parcels.pop_front();
                    held.n_dropped += 1;
                    held.n_lost += 1;
                }
                let number = held.next;
                held.next += 1;
                held.parcels.push_back((number, Arc::clone(parcel)));
            }
        }
        self.wake(held);
    }

    pub(super) fn pulse(&self, now: Instant) {
        if matches!(self.takes, Takes::Signals(_)) {
            let mut held = self.lock();
            held.line_seen_at = Some(now);
            self.wake(held);
        }
    }

    pub(super) fn reached(&self, position: Um, now: Instant) {
        self.with_marks(|marks| marks.reached(position, now));
    }

    /// A flaw begins at `along`.
    pub(super) fn mark(&self, along: Um, now: Instant) {
        self.with_marks(|marks| marks.add(along, now));
    }

    fn with_marks(&self, act: impl FnOnce(&mut Marks)) {
        if let Takes::Signals(Some(_)) = self.takes {
            let mut held = self.lock();
            if let Some(marks) = &mut held.marks {
                act(marks);
            }
            self.wake(held);
        }
    }

    /// What the receiver is to be told next, as soon as there is something, but at most after
    /// `patience`.
    pub(super) fn next(&self, patience: Duration) -> Next {
        let until = Instant::now() + patience;
        let mut held = self.lock();
        loop {
            let now = Instant::now();
            if held.closes_at.is_some_and(|closes_at| closes_at <= now) {
                return Next::Closed;
            }
            if held.version_there != Some(held.version) {
                return Next::State(held.version, Arc::clone(&held.state));
            }
            if let Some((number, parcel)) = held.parcels.front() {
                return Next::Parcel(*number, Arc::clone(parcel), held.n_dropped);
            }
            if held.closes_at.is_some() {
                return Next::Closed;
            }
            if until <= now {
                return Next::Nothing;
            }
            held = self.wait(held, until - now);
        }
    }

    /// The receiver has this state.
    pub(super) fn has_state(&self, version: u64) {
        self.lock().version_there = Some(version);
    }

    /// The receiver is gone, and what it knows with it.
    pub(super) fn is_gone(&self) {
        self.lock().version_there = None;
    }

    /// The receiver has an event, and knows that `n_dropped` were dropped before it.
    pub(super) fn has_parcel(&self, number: u64, n_dropped: u64) {
        let mut held = self.lock();
        held.n_dropped -= n_dropped;
        let is_front = held
            .parcels
            .front()
            .is_some_and(|(front, _)| *front == number);
        if is_front {
            held.parcels.pop_front();
        }
    }

    /// The receiver will not take an event.
    pub(super) fn refused_parcel(&self, number: u64) {
        let mut held = self.lock();
        if held
            .parcels
            .front()
            .is_some_and(|(front, _)| *front == number)
        {
            held.parcels.pop_front();
            held.n_dropped += 1;
            held.n_lost += 1;
        }
    }

    /// Waits before the receiver is tried again; false when there is no time left for that.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut held = self.lock();
        loop {
            let now = Instant::now();
            // Once it is closed, one more try is made, and none after that.
            if held.closes_at.is_some() {
                return false;
            }
            if until <= now {
                return true;
            }
            held = self.wait(held, until - now);
        }
    }

    /// A mark that was taken could not be set.
    pub(super) fn missed_mark(&self) {
        if let Some(marks) = &mut self.lock().marks {
            marks.miss();
        }
    }

    /// What signals are made from, as soon as anything changes after the first `n_changes`, but at
    /// `until` at the latest. Takes the marks that are due, which only a receiver that `is_there`
    /// may.
    pub(super) fn view(&self, n_changes: u64, until: Instant, is_there: bool) -> View {
        let mut held = self.lock();
        while held.n_changes == n_changes {
            let now = Instant::now();
            if until <= now {
                break;
            }
            held = self.wait(held, until - now);
        }
        let now = Instant::now();
        let marks = held.marks.as_mut();
        let (is_mark_due, next_mark, n_missed) = marks.map_or((false, None, 0), |marks| {
            let is_due = is_there && marks.take(now);
            (is_due, marks.next_due(), marks.n_missed())
        });
        View {
            state: Arc::clone(&held.state),
            version: held.version,
            n_changes: held.n_changes,
            line_seen_at: held.line_seen_at,
            is_mark_due,
            next_mark,
            n_missed,
            is_closed: held.closes_at.is_some(),
        }
    }

    /// Nothing more comes; what waits may be told until `until`.
    pub(super) fn close(&self, until: Instant) {
        let mut held = self.lock();
        held.closes_at.get_or_insert(until);
        self.wake(held);
    }

    /// Events and marks that the receiver never got, and whether it lacks the last state.
    pub(super) fn undelivered(&self) -> (u64, u64, bool) {
        let held = self.lock();
        let marks = held.marks.as_ref();
        let n_marks = marks.map_or(0, |marks| marks.n_missed() + marks.n_waiting());
        let n_events = held.n_lost + held.parcels.len() as u64;
        (n_events, n_marks, held.version_there != Some(held.version))
    }

    fn wake(&self, mut held: MutexGuard<'_, Held>) {
        held.n_changes += 1;
        drop(held);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing is left half done under this lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, held: MutexGuard<'a, Held>, most: Duration) -> MutexGuard<'a, Held> {
        let (held, _) = self
            .changed
            .wait_timeout(held, most)
            .unwrap_or_else(PoisonError::into_inner);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarms::Latched;
    use serde_json::json;

    fn parcel(number: u64) -> Arc<Parcel> {
        Arc::new(Parcel {
            kind: "flaw",
            body: json!({ "seq": number }),
        })
    }

    fn state(n_raised: u64) -> Arc<State> {
        Arc::new(State {
            latched: Latched {
                n_raised,
                ..Latched::default()
            },
            roll: None,
        })
    }

    fn next(outbox: &Outbox) -> Next {
        outbox.next(Duration::ZERO)
    }

    fn outbox() -> Outbox {
        let outbox = Outbox::new(Takes::Events);
        outbox.has_state(0);
        outbox
    }

    #[test]
    fn a_newer_state_supersedes_older_ones_and_goes_first() {
        let outbox = outbox();
        for n in 1..=3 {
            outbox.put(&state(n), &[parcel(n)]);
        }
        let Next::State(version, told) = next(&outbox) else {
            panic!("expected the state");
        };
        assert_eq!((version, told.latched.n_raised), (3, 3));
        outbox.has_state(version);
        let Next::Parcel(number, first, 0) = next(&outbox) else {
            panic!("expected an event");
        };
        assert_eq!((number, &first.body), (0, &json!({"seq": 1})));
        // It stays until the receiver has it.
        assert!(matches!(next(&outbox), Next::Parcel(0, _, 0)));
        outbox.has_parcel(0, 0);
        assert!(matches!(next(&outbox), Next::Parcel(1, _, 0)));
        outbox.is_gone();
        assert!(matches!(next(&outbox), Next::State(3, _)));
    }

    #[test]
    fn the_oldest_events_are_dropped_and_the_count_is_told() {
        let outbox = outbox();
        let n = MOST_PARCELS as u64;
        for number in 0..n + 7 {
            outbox.put(&state(0), &[parcel(number)]);
        }
        let Next::Parcel(7, _, 7) = next(&outbox) else {
            panic!("expected the eighth event");
        };
        // More are dropped while it is on its way.
        outbox.put(&state(0), &[parcel(0), parcel(0)]);
        outbox.has_parcel(7, 7);
        assert!(matches!(next(&outbox), Next::Parcel(9, _, 2)));
        assert_eq!(outbox.undelivered(), (9 + n, 0, false));
    }

    #[test]
    fn a_closed_outbox_gives_what_waits_and_then_ends() {
        let outbox = outbox();
        outbox.put(&state(0), &[parcel(1)]);
        outbox.close(Instant::now() + Duration::from_secs(60));
        assert!(matches!(next(&outbox), Next::Parcel(0, _, 0)));
        assert!(!outbox.pause(Duration::from_secs(60)));
        outbox.has_parcel(0, 0);
        assert!(matches!(next(&outbox), Next::Closed));

        let late = super::Outbox::new(Takes::Events);
        late.close(Instant::now());
        assert!(matches!(next(&late), Next::Closed));
        assert!(late.undelivered().2);
    }
}
