//! How many frames a live camera has a second, and which of them did not come.
//!
//! Told from the pictures' own clock, if there is one, as far as ours bears it out: a clock that
//! runs on by hours at once, or is set back, loses no frame. Until a rate is named or was
//! measured nothing is taken to be missing.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Frames a second, as far as known.
#[derive(Debug)]
pub(crate) struct Rate {
    /// By the caller.
    named: Option<f64>,
    /// By the camera, which may be wrong.
    claimed: Option<f64>,
    /// By the pictures of this connection.
    count: Option<Count>,
    /// By those of an earlier one.
    counted: Option<f64>,
}

/// Pictures since a first one.
#[derive(Clone, Copy, Debug)]
struct Count {
    began: Instant,
    ended: Instant,
    /// The same by the stream's own clock, milliseconds; it stands still where there is none.
    first_clock: f64,
    last_clock: f64,
    n: u32,
    /// Exposures that passed by our clock and not by the stream's; it may be ahead by
    /// [`MOST_AHEAD`] only.
    owed: f64,
}

/// Pictures after which their rate is taken as measured.
const N_COUNTED: u32 = 8;
/// Frame rates that a camera can have; FFmpeg gives others where it knows none.
pub(crate) const RATES: RangeInclusive<f64> = 0.01..=1000.0;
/// Most exposures that one loss stands for; a clock that jumps farther was set anew.
const MOST_SKIPPED: f64 = 1e4;
/// By how much a stream's clock may run ahead of ours: what a server sends at once on connecting.
const MOST_AHEAD: Duration = Duration::from_secs(2);

impl Rate {
    /// What was named and what the camera claims; nothing was counted yet.
    pub(crate) fn new(named: Option<f64>, claimed: Option<f64>) -> Self {
        Self {
            named,
            claimed,
            count: None,
            counted: None,
        }
    }

    pub(crate) fn best(&self) -> Option<f64> {
        self.steady().or(self.claimed)
    }

    /// What may be relied on to say that a frame is missing.
    fn steady(&self) -> Option<f64> {
        let counted = self.count.and_then(Count::rate);
        self.named.or(counted).or(self.counted)
    }

    /// Counts a picture at `clock`, and gives the frames that the stream's clock jumped over
    /// before it. Of a jump that our clock had no time for, so many are believed as it had; the
    /// rest is a clock that was set anew.
    pub(crate) fn pass(&mut self, clock: f64, now: Instant) -> u32 {
        let (Some(rate), Some(count)) = (self.steady(), self.count) else {
            self.count(clock, now, 1);
            return 0;
        };
        let n = ((clock - count.last_clock) * rate / 1e3).round() - 1.0;
        let ahead = MOST_AHEAD.as_secs_f64() * rate;
        let passed = now.duration_since(count.ended).as_secs_f64() * rate;
        let due = (count.owed + passed).clamp(-ahead, MOST_SKIPPED);
        let most = (due + ahead - 1.0).floor().max(0.0);
        let n_skipped = if n < MOST_SKIPPED {
            n.clamp(0.0, most)
        } else {
            0.0
        };
        if n > n_skipped {
            self.begin_anew();
        }
        self.count(clock, now, n_skipped as u32 + 1);
        if let Some(count) = &mut self.count {
            count.owed = (due - n_skipped - 1.0).max(-ahead);
        }
        n_skipped as u32
    }

    /// A picture at `clock`, the last of `n` exposures.
    pub(crate) fn count(&mut self, clock: f64, now: Instant, n: u32) {
        match &mut self.count {
            None => {
                self.count = Some(Count {
                    began: now,
                    ended: now,
                    first_clock: clock,
                    last_clock: clock,
                    n: 0,
                    owed: 0.0,
                });
            }
            Some(count) => {
                (count.ended, count.last_clock) = (now, clock);
                count.n = count.n.saturating_add(n);
            }
        }
    }

    /// A new connection has a new clock.
    pub(crate) fn begin_anew(&mut self) {
        self.counted = self.count.and_then(Count::rate).or(self.counted);
        self.count = None;
    }
}

impl Count {
    /// By the stream's clock, else by ours.
    fn rate(self) -> Option<f64> {
        let by_clock = (self.last_clock - self.first_clock) / 1e3;
        let seconds = if by_clock > 0.0 {
            by_clock
        } else {
            self.ended.duration_since(self.began).as_secs_f64()
        };
        let rate = f64::from(self.n) / seconds;
        (self.n >= N_COUNTED && RATES.contains(&rate)).then_some(rate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.best().unwrap_or(0.0);
        let how = match (self.named, self.steady()) {
            (Some(_), _) => "as set",
            (None, Some(_)) => "as measured",
            (None, None) => "as the camera claims",
        };
        write!(f, "{rate:.1} frames/s {how}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 10.0;

    /// What is told missing when pictures come at these seconds: of our clock, of the stream's.
    fn skipped(pictures: &[(f64, f64)]) -> Vec<u32> {
        let mut rate = Rate::new(Some(RATE), None);
        let begun = Instant::now();
        let at = |seconds: f64| begun + Duration::from_secs_f64(seconds);
        let pass = |&(ours, stream): &(f64, f64)| rate.pass(stream * 1e3, at(ours));
        pictures.iter().map(pass).collect()
    }

    #[test]
    fn frames_that_our_clock_had_time_for_are_missing() {
        assert_eq!(
            skipped(&[(0.0, 0.0), (0.1, 0.1), (30.1, 30.1)]),
            [0, 0, 299]
        );
        // Held up on their way, then sent at once, with some missing in between.
        let held_up = [(0.0, 0.0), (20.0, 0.1), (20.0, 10.0), (20.0, 20.0)];
        assert_eq!(skipped(&held_up), [0, 0, 98, 99]);
    }

    #[test]
    fn a_jump_of_the_streams_clock_invents_no_exposures() {
        let most = (MOST_AHEAD.as_secs_f64() * RATE) as u32;
        let mut pictures = vec![(0.0, 0.0)];
        // Every picture is 500 s on by the stream's clock.
        pictures.extend((1..100).map(|n| (f64::from(n) / RATE, f64::from(n) * 500.0)));
        let n: u32 = skipped(&pictures).iter().sum();
        assert!(n <= most, "{n}");
        // A clock that is set back, and goes on from there.
        assert_eq!(skipped(&[(0.0, 9e3), (0.1, 0.0), (0.2, 0.1)]), [0, 0, 0]);
    }

    #[test]
    fn a_clock_that_drifts_for_hours_still_tells_what_is_missing() {
        // A second a minute fast.
        let drift = |n: u32| (f64::from(n) / RATE, f64::from(n) / RATE * 61.0 / 60.0);
        let mut pictures: Vec<_> = (0..20_000).map(drift).collect();
        let (ours, stream) = drift(20_000);
        pictures.push((ours + 1.0, stream + 1.0));
        let last = skipped(&pictures).pop().unwrap();
        assert!((9..=11).contains(&last), "{last}");
    }
}
