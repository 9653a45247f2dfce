//! Random moments at which a process is killed, for the store's tests and for the line's.
//!
//! `SELVEDGE_TEST_SEED` draws the same moments again.

use std::io::{Write, stderr};
use std::time::Duration;

const SEED: &str = "SELVEDGE_TEST_SEED";

/// Random moments; says how to draw them again when the test fails.
pub(crate) struct Moments {
    seed: u64,
    state: u64,
}

impl Moments {
    /// From the given seed, else from the clock.
    pub(crate) fn drawn() -> Moments {
        let given = std::env::var(SEED).ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| store::now_us() as u64).max(1);
        Moments { seed, state: seed }
    }

    /// Uniform from nothing to `all`.
    pub(crate) fn within(&mut self, all: Duration) -> Duration {
        // An xorshift generator: any will do.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        all.mul_f64((self.state >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

impl Drop for Moments {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut out = stderr();
            writeln!(out, "the moments were drawn with {SEED}={}", self.seed).unwrap();
        }
    }
}
