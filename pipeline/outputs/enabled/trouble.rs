//! A receiver that does not answer: said once, tried again ever more rarely, said when it is back.

use std::time::{Duration, Instant};

/// The first pause before another try, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Trouble {
    name: &'static str,
    since: Option<Instant>,
    pause: Duration,
}

impl Trouble {
    pub(super) fn none(name: &'static str) -> Self {
        Self {
            name,
            since: None,
            pause: FIRST_PAUSE,
        }
    }

    /// It failed; how long to wait before it is tried again.
    pub(super) fn failed(&mut self, error: &anyhow::Error) -> Duration {
        if self.since.is_none() {
            tracing::error!(
                receiver = self.name,
                "the receiver of alarms does not answer: {error:#}"
            );
            self.since = Some(Instant::now());
        }
        let pause = self.pause;
        self.pause = (2 * pause).min(LONGEST_PAUSE);
        pause
    }

    /// It took something.
    pub(super) fn is_over(&mut self) {
        if let Some(since) = self.since.take() {
            let away_s = since.elapsed().as_secs();
            tracing::warn!(
                receiver = self.name,
                away_s,
                "the receiver of alarms is back"
            );
        }
        self.pause = FIRST_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_end_and_begin_anew() {
        let mut trouble = Trouble::none("mqtt");
        let error = anyhow::anyhow!("refused");
        let pauses: Vec<u128> = (0..8).map(|_| trouble.failed(&error).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        trouble.is_over();
        assert_eq!(trouble.failed(&error), FIRST_PAUSE);
    }
}
