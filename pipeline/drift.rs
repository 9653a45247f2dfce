//! Whether the station still sees an article as it did when it was calibrated.
//!
//! Every [`WINDOW`] frames of a lane, what they show is held against the baseline that the
//! station's profile keeps of this article in this lane; what has drifted is told once for the roll. Without
//! such a baseline nothing is said: what is sharp and bright differs between articles. It changes
//! no verdict.

use calibration::{DRIFT_LIMITS, Drift, Sight, Watched, drifts};
use store::EventSeverity;

use crate::config::Station;
use crate::judging::Ordered;
use crate::record::Event;

/// Frames that are looked at together: more than one place of the roll, less than a roll.
pub const WINDOW: u32 = 16;

/// Watches the lanes of a roll.
pub struct DriftWatch(Vec<LaneWatch>);

struct LaneWatch {
    baseline: Option<Sight>,
    watched: Watched,
    told: Vec<Drift>,
}

impl DriftWatch {
    /// For cloth of `article` on this station.
    pub fn new(station: &Station, article: &str) -> Self {
        let profile = station.profile.as_ref().map(|kept| &kept.profile);
        let baseline = |lane| {
            let lane = profile.and_then(|profile| profile.lane(lane))?;
            let baseline = lane.baselines.get(article)?;
            Some(baseline.found.clone())
        };
        let lanes = (0..station.lanes.len()).map(|lane| LaneWatch {
            baseline: baseline(lane),
            watched: Watched::default(),
            told: Vec::new(),
        });
        Self(lanes.collect())
    }

    /// Sees what comes of a lane and gives what is to be told of it.
    ///
    /// # Errors
    /// When a frame's cloth is not a part of it.
    pub fn see(&mut self, lane: usize, ordered: &Ordered) -> anyhow::Result<Vec<Event>> {
        let watch = &mut self.0[lane];
        if watch.baseline.is_none() {
            return Ok(Vec::new());
        }
        match ordered {
            Ordered::Frame(seen) => watch.watched.add(&seen.head.frame, seen.head.cloth)?,
            Ordered::Missed(_) => {}
            Ordered::Ended => return Ok(watch.compare(lane)),
        }
        if watch.watched.n_frames() < WINDOW {
            return Ok(Vec::new());
        }
        Ok(watch.compare(lane))
    }
}

impl LaneWatch {
    /// What has drifted in the frames since the last time and was not told yet.
    fn compare(&mut self, lane: usize) -> Vec<Event> {
        let watched = std::mem::take(&mut self.watched);
        let (Some(baseline), Some(today)) = (&self.baseline, watched.sight()) else {
            return Vec::new();
        };
        let mut events = Vec::new();
        for drift in drifts(baseline, &today, &DRIFT_LIMITS) {
            if self.told.iter().any(|told| told.is_like(&drift)) {
                continue;
            }
            tracing::warn!(lane, %drift, "the station has drifted");
            events.push(Event {
                kind: "drift",
                severity: EventSeverity::Warning,
                message: format!("lane {}: {drift}", lane + 1),
            });
            self.told.push(drift);
        }
        events
    }
}
