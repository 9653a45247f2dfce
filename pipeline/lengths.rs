//! How long a roll is, and how that is known.
//!
//! A run says at its end whether its length came from an encoder, from the movement that pictures
//! showed, or from the nominal length of a line; over several lanes the weakest counts.

use std::sync::Arc;

use camera::TicksFrom;
use store::{EventSeverity, LengthKnown};

use crate::new_cloth::LengthFacts;
use crate::record::Event;
use crate::source::LaneSource;

/// How the lengths of a run's lanes were known; grows while it runs.
pub struct Lengths(Vec<LaneLength>);

/// What tells the length of one lane.
enum LaneLength {
    /// Its source's ticks.
    Ticks(TicksFrom),
    /// The movement between frames that overlap.
    Movement(Arc<LengthFacts>),
}

impl Lengths {
    /// Of all lanes.
    pub fn of(lanes: &[LaneSource]) -> Self {
        let length = |lane: &LaneSource| match &lane.length {
            Some(facts) => LaneLength::Movement(Arc::clone(facts)),
            None => LaneLength::Ticks(lane.source.description().ticks),
        };
        Self(lanes.iter().map(length).collect())
    }

    /// How the web's length is known so far: by the lane that knows it least.
    pub fn known(&self) -> LengthKnown {
        let known = self.0.iter().map(|lane| match lane {
            LaneLength::Movement(facts) => facts.length_known(),
            LaneLength::Ticks(TicksFrom::Encoder) => LengthKnown::Encoder,
            LaneLength::Ticks(TicksFrom::Nominal) => LengthKnown::Nominal,
        });
        known
            .min_by_key(|known| match known {
                LengthKnown::Nominal => 0,
                LengthKnown::Measured => 1,
                LengthKnown::Encoder => 2,
            })
            .unwrap_or(LengthKnown::Nominal)
    }

    /// How much of the length turned out not to be measured, if any.
    pub fn event(&self) -> Option<Event> {
        let facts = || {
            self.0.iter().filter_map(|lane| match lane {
                LaneLength::Movement(facts) => Some(facts),
                LaneLength::Ticks(_) => None,
            })
        };
        let n_nominal: u64 = facts().map(|facts| facts.n_nominal()).sum();
        let n_measured: u64 = facts().map(|facts| facts.n_measured()).sum();
        (n_nominal > 0).then(|| Event {
            kind: "nominal_length",
            severity: EventSeverity::Warning,
            message: format!(
                "{n_nominal} of {} movements of the cloth could not be measured and stand at their nominal length",
                n_nominal + n_measured
            ),
        })
    }
}
