//! Whether the line lives: what heartbeats and watchdogs are told.
//!
//! The evidence is cloth, not a timer: frames that came must have been dealt with. Cloth that stands
//! brings none, and the line lives all the same; between rolls it is the station's own loop that
//! must turn. A pure function of counts and times.

use std::time::{Duration, Instant};

/// How long frames may wait before the line counts as hung; several times what a busy line takes.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The same while a roll is being begun or ended: models are loaded then, and the store is written.
pub const PATIENCE_BETWEEN: Duration = Duration::from_secs(20);

/// What is known at one moment; every count only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// Turns of the station's loop between rolls.
    pub n_turns: u64,
    /// Exposures that came from cameras.
    pub n_came: u64,
    /// Exposures that a roll has dealt with.
    pub n_dealt: u64,
    /// Whether a roll's line runs: begun, and not yet at its end.
    pub is_running: bool,
}

/// Watches the signs.
#[derive(Debug)]
pub struct Pulse {
    last: Signs,
    /// Since when something waits that has not been dealt with.
    waits_since: Option<Instant>,
}

impl Pulse {
    /// Of a station that has just begun to stand.
    pub fn new(signs: Signs) -> Self {
        Self {
            last: signs,
            waits_since: None,
        }
    }

    /// Whether the line lives at `now`.
    pub fn lives(&mut self, signs: Signs, now: Instant) -> bool {
        let last = std::mem::replace(&mut self.last, signs);
        let has_moved = signs.n_dealt != last.n_dealt
            || signs.n_turns != last.n_turns
            || signs.is_running != last.is_running;
        if has_moved {
            self.waits_since = None;
        }
        // Without a running line the loop owes its turns; with one, frames owe their end.
        let owes = !signs.is_running || signs.n_came != last.n_came;
        if !has_moved && owes {
            self.waits_since.get_or_insert(now);
        }
        let patience = if signs.is_running {
            PATIENCE
        } else {
            PATIENCE_BETWEEN
        };
        self.waits_since
            .is_none_or(|since| now.duration_since(since) < patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNS: Signs = Signs {
        n_turns: 0,
        n_came: 0,
        n_dealt: 0,
        is_running: true,
    };

    /// Whether the line lives at each second, given its signs then.
    fn lived(signs: impl Fn(u64) -> Signs, seconds: u64) -> Vec<bool> {
        let start = Instant::now();
        let mut pulse = Pulse::new(signs(0));
        (1..=seconds)
            .map(|s| pulse.lives(signs(s), start + Duration::from_secs(s)))
            .collect()
    }

    #[test]
    fn frames_that_nobody_deals_with_end_the_pulse() {
        let hung = lived(
            |s| Signs {
                n_came: s,
                n_dealt: s.min(3),
                ..SIGNS
            },
            12,
        );
        assert!(hung[..8].iter().all(|lives| *lives), "{hung:?}");
        assert!(hung[9..].iter().all(|lives| !lives), "{hung:?}");
        let worked_on = |s: u64| Signs {
            n_came: s,
            n_dealt: s.saturating_sub(3),
            ..SIGNS
        };
        assert!(lived(worked_on, 60).iter().all(|lives| *lives));
    }

    #[test]
    fn cloth_that_stands_is_no_hang() {
        assert!(lived(|_| SIGNS, 3600).iter().all(|lives| *lives));
    }

    #[test]
    fn a_loop_that_does_not_turn_between_rolls_ends_the_pulse() {
        let between = Signs {
            is_running: false,
            ..SIGNS
        };
        let hung = lived(|_| between, 30);
        assert!(hung[10] && !hung[29], "{hung:?}");
        let turns = |s| Signs {
            n_turns: s,
            ..between
        };
        assert!(lived(turns, 60).iter().all(|lives| *lives));
    }
}
