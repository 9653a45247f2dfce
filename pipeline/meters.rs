//! Figures that grow while the line runs, for whoever looks from outside.
//!
//! Counted without a lock, by whoever does the work; read at any moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of a histogram's bins, in milliseconds; what is longer lies in one more bin.
pub const BIN_ENDS_MS: [u64; 10] = [25, 50, 100, 150, 250, 500, 1000, 2500, 5000, 10_000];

/// How often times of which length came.
#[derive(Debug, Default)]
pub struct Times {
    bins: [AtomicU64; BIN_ENDS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Times {
    /// Counts one.
    pub fn add(&self, time: Duration) {
        let bin = BIN_ENDS_MS.partition_point(|end| Duration::from_millis(*end) < time);
        self.bins[bin].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many came of each bin, the unbounded one last.
    pub fn counts(&self) -> [u64; BIN_ENDS_MS.len() + 1] {
        std::array::from_fn(|bin| self.bins[bin].load(Ordering::Relaxed))
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_the_first_bin_that_is_long_enough() {
        let times = Times::default();
        for ms in [0, 25, 26, 150, 20_000] {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!(times.counts(), [2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(times.sum(), Duration::from_millis(20_201));
    }
}
