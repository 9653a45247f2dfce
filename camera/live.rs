//! What live cameras have in common: where the next exposure belongs, time that passes unseen,
//! and trying again.
//!
//! ```text
//! silence ──▶ Unseen: seconds × rate ──▶ whole exposures ──▶ Place::lost ──▶ Lost
//! broken  ──▶ BackOff ──▶ try again, ever more slowly
//! ```
//!
//! Nothing here reads from a camera or knows when one is gone: that is for its source to say.

mod rate;

use std::fmt::Display;
use std::ops::Range;
use std::time::{Duration, Instant};

pub(crate) use rate::{RATES, Rate};

use crate::{Captured, Lost, LostReason};

/// How long a picture waits for a buffer before it is dropped.
pub(crate) const BUFFER_WAIT: Duration = Duration::from_millis(100);
/// Sleeps are cut into pieces of this, so that a closed pool or a stop is noticed.
pub(crate) const NAP: Duration = Duration::from_millis(50);

/// Waits between attempts to reach a camera: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Half an exposure more or less is the jitter of waiting, not cloth.
const ROUNDING: f64 = 0.5;

/// Where the next exposure belongs.
#[derive(Debug)]
pub(crate) struct Place {
    /// Index of the camera in its station.
    pub(crate) camera: u16,
    pub(crate) next_sequence: u64,
    pub(crate) next_tick: i64,
    /// Ticks of a whole exposure.
    pub(crate) ticks_per_frame: i64,
}

impl Place {
    pub(crate) fn first(camera: u16, ticks_per_frame: i64) -> Self {
        Self {
            camera,
            next_sequence: 0,
            next_tick: 0,
            ticks_per_frame,
        }
    }

    /// The place of a frame over `n_ticks`, which is then behind.
    pub(crate) fn take(&mut self, n_ticks: i64) -> (u64, Range<i64>) {
        let place = (self.next_sequence, self.next_tick..self.next_tick + n_ticks);
        self.next_sequence += 1;
        self.next_tick = place.1.end;
        place
    }

    /// `n` exposures without pixels, from the camera called `name`.
    pub(crate) fn lost(
        &mut self,
        n: u64,
        reason: LostReason,
        name: &impl Display,
        detail: &str,
    ) -> Captured {
        let ticks = self.ticks_per_frame.saturating_mul(n as i64);
        let ticks = self.next_tick..self.next_tick.saturating_add(ticks);
        let sequence = self.next_sequence;
        self.next_sequence += n;
        self.next_tick = ticks.end;
        Captured::Lost(Lost {
            camera: self.camera,
            sequence,
            ticks,
            reason,
            detail: format!("{name}: {detail}"),
            origin: None,
        })
    }
}

/// Time in which nothing was seen, counted out as whole exposures.
#[derive(Debug)]
pub(crate) struct Unseen {
    /// All time before this has been handed out, as frames or as lost.
    accounted_until: Instant,
    /// The part of an exposure that is too little to be lost yet.
    carried: f64,
}

impl Unseen {
    pub(crate) fn from_now() -> Self {
        Self {
            accounted_until: Instant::now(),
            carried: 0.0,
        }
    }

    pub(crate) fn accounted_until(&self) -> Instant {
        self.accounted_until
    }

    /// A picture came at `now`.
    pub(crate) fn saw(&mut self, now: Instant) {
        self.accounted_until = now;
    }

    /// How many exposures passed since all was accounted for, but for the last `n_seen`, and in
    /// how many seconds. Time is then accounted for; what is left of an exposure is carried on.
    pub(crate) fn take(&mut self, rate: f64, n_seen: f64) -> (u64, f64) {
        let now = Instant::now();
        let seconds = now.duration_since(self.accounted_until).as_secs_f64();
        let exposures = self.carried + seconds * rate;
        let n = (exposures - n_seen + ROUNDING).floor().max(0.0);
        self.accounted_until = now;
        self.carried = exposures - n;
        (n as u64, seconds)
    }
}

/// When a camera that is gone is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackOff {
    try_at: Instant,
    wait: Duration,
}

impl BackOff {
    /// At once, then ever more slowly.
    pub(crate) fn from_now() -> Self {
        Self {
            try_at: Instant::now(),
            wait: FIRST_WAIT,
        }
    }

    pub(crate) fn try_at(self) -> Instant {
        self.try_at
    }

    /// An attempt was in vain.
    pub(crate) fn failed(&mut self) {
        self.wait = (2 * self.wait).min(LONGEST_WAIT);
        self.try_at = Instant::now() + self.wait;
    }
}

/// Sleeps until `end`, or until it is over.
pub(crate) fn nap_until(end: Instant, is_over: impl Fn() -> bool) {
    while !is_over() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(NAP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_time_is_counted_out_and_no_part_of_an_exposure_is_lost() {
        let mut unseen = Unseen::from_now();
        unseen.accounted_until -= Duration::from_secs(10);
        let rate = 0.26;
        // 2.6 exposures: three, of which the third has a part to come.
        assert_eq!(unseen.take(rate, 0.0).0, 3);
        unseen.accounted_until -= Duration::from_secs(10);
        assert_eq!(unseen.take(rate, 0.0).0, 2);
        unseen.accounted_until -= Duration::from_secs(10);
        // 2.8, and the last of them is the picture that came.
        assert_eq!(unseen.take(rate, 1.0).0, 2);
    }

    #[test]
    fn lost_exposures_keep_their_place() {
        let mut place = Place::first(3, 100);
        assert_eq!(place.take(60), (0, 0..60));
        let lost = place.lost(2, LostReason::CameraLost, &"one", "why");
        assert_eq!((lost.sequence(), lost.ticks()), (1, 60..260));
        assert_eq!(place.take(100), (3, 260..360));
    }
}
