//! When the marker must mark: where the cloth is now, and which flaws are still on their way.
//!
//! Positions come by the encoder, as often as frames do; in between they are carried on at the
//! speed of the last two, for as long as lay between them, so that a mark does not wait for the
//! next frame and cloth that stops is not marked as if it ran on.
//! A mark that cannot be set within [`MOST_LATE`] of its place is missed and counted: a mark in
//! the wrong place is worse than none.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use calibration::Um;

/// How far behind its place a mark may be set.
pub(super) const MOST_LATE: Um = Um(50_000);
/// Flaws on their way to the marker at once; beyond, the cloth is lost anyway.
const MOST_MARKS: usize = 1024;
/// How long a position is carried on at most.
const MOST_CARRIED: Duration = Duration::from_secs(1);
/// Twenty metres a second: what is faster is no cloth but a jump of the encoder.
const MOST_UM_PER_S: f64 = 20e6;
/// Positions closer to each other in time tell no speed.
const LEAST_STEP: Duration = Duration::from_millis(1);

/// Flaws on their way from the camera to the marker.
#[derive(Debug)]
pub(super) struct Marks {
    distance: Um,
    /// Positions at which the marker must mark.
    due: BTreeSet<Um>,
    n_missed: u64,
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    position: Um,
    at: Instant,
    um_per_s: f64,
    carried: Duration,
}

impl Marks {
    /// None yet; the marker stands `distance` behind the camera.
    pub(super) fn new(distance: Um) -> Self {
        Self {
            distance,
            due: BTreeSet::new(),
            n_missed: 0,
            place: None,
        }
    }

    /// The cloth has come to `position`. Where positions begin anew, nothing that was on its way
    /// can be found again.
    pub(super) fn reached(&mut self, position: Um, now: Instant) {
        let (um_per_s, carried) = match self.place {
            Some(before) if position >= before.position => {
                let step = now.saturating_duration_since(before.at);
                if step < LEAST_STEP {
                    (before.um_per_s, before.carried)
                } else {
                    let way = (position - before.position).get() as f64;
                    let um_per_s = way / step.as_secs_f64();
                    let is_jump = um_per_s > MOST_UM_PER_S;
                    (if is_jump { 0.0 } else { um_per_s }, step.min(MOST_CARRIED))
                }
            }
            Some(_) => {
                self.n_missed += self.due.len() as u64;
                self.due.clear();
                (0.0, Duration::ZERO)
            }
            None => (0.0, Duration::ZERO),
        };
        self.place = Some(Place {
            position,
            at: now,
            um_per_s,
            carried,
        });
    }

    /// A flaw begins at `along`.
    pub(super) fn add(&mut self, along: Um, now: Instant) {
        let due = along + self.distance;
        let is_past = self
            .position(now)
            .is_some_and(|position| position - due > MOST_LATE);
        if is_past || self.due.len() >= MOST_MARKS {
            self.n_missed += 1;
        } else {
            self.due.insert(due);
        }
    }

    /// Takes the marks that are due at `now`; true when there is one to set.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let Some(position) = self.position(now) else {
            return false;
        };
        let coming = self.due.split_off(&(position + Um(1)));
        let due = std::mem::replace(&mut self.due, coming);
        let n_late = due
            .iter()
            .filter(|due| position - **due > MOST_LATE)
            .count();
        self.n_missed += n_late as u64;
        n_late < due.len()
    }

    /// A mark that was taken could not be set.
    pub(super) fn miss(&mut self) {
        self.n_missed += 1;
    }

    /// When the next mark is due, as far as speed tells.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let (due, place) = (self.due.first()?, self.place?);
        let way = (*due - place.position).get().max(0) as f64;
        if way == 0.0 {
            return Some(place.at);
        }
        let seconds = way / place.um_per_s;
        (seconds <= place.carried.as_secs_f64())
            .then(|| place.at + Duration::from_secs_f64(seconds))
    }

    /// Marks that were missed so far.
    pub(super) fn n_missed(&self) -> u64 {
        self.n_missed
    }

    /// Marks that are still to come.
    pub(super) fn n_waiting(&self) -> u64 {
        self.due.len() as u64
    }

    fn position(&self, now: Instant) -> Option<Um> {
        let place = self.place?;
        let since = now.saturating_duration_since(place.at).min(place.carried);
        let way = (place.um_per_s * since.as_secs_f64()).round() as i64;
        Some(place.position + Um(way))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A marker 850 mm behind the camera and cloth at 1 m/s, told of every 100 ms up to `until`.
    fn running(start: Instant, until_ms: u64) -> Marks {
        let mut marks = Marks::new(Um(850_000));
        run_on(&mut marks, start, 0..=until_ms);
        marks
    }

    fn run_on(marks: &mut Marks, start: Instant, ms: std::ops::RangeInclusive<u64>) {
        for ms in ms.step_by(100) {
            marks.reached(Um(ms as i64 * 1000), start + Duration::from_millis(ms));
        }
    }

    #[test]
    fn a_flaw_is_marked_when_it_has_come_to_the_marker_and_once() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut marks = running(start, 100);
        marks.add(Um(100_000), ms(100));
        assert!(!marks.take(ms(200)));
        run_on(&mut marks, start, 200..=900);
        assert!(!marks.take(ms(949)));
        let due = marks.next_due().unwrap();
        assert!(due > ms(949) && due < ms(951), "{:?}", due - start);
        assert!(marks.take(ms(951)) && !marks.take(ms(952)));
        assert_eq!((marks.n_missed(), marks.n_waiting()), (0, 0));
    }

    #[test]
    fn cloth_that_stands_is_not_marked_before_it_goes_on() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut marks = running(start, 800);
        marks.add(Um(60_000), ms(800));
        // The last position was at 800 mm, and nothing has come since.
        assert_eq!(marks.next_due(), None);
        assert!(!marks.take(ms(60_000)));
        marks.reached(Um(910_000), ms(60_010));
        assert_eq!(marks.next_due(), Some(ms(60_010)));
        assert!(marks.take(ms(60_010)));
    }

    #[test]
    fn a_mark_that_comes_too_late_is_missed_and_counted() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut marks = running(start, 900);
        // Told when it was past the marker.
        marks.add(Um(-10_000), ms(900));
        // Due at 0.9 m, but nobody could mark until 0.96 m.
        marks.add(Um(50_000), ms(900));
        assert!(!marks.take(ms(960)));
        assert_eq!(marks.n_missed(), 2);
        // On its way when positions begin anew.
        marks.add(Um(500_000), ms(960));
        marks.reached(Um(0), ms(1000));
        assert_eq!((marks.n_missed(), marks.n_waiting()), (3, 0));
    }
}
