//! Where a roll ends: told by whoever orders it, or by a seam that all lanes have seen.
//!
//! ```text
//! desk ────────────────────────────────▶ Ends: a tick in each lane ◀── each lane, before it hands out
//! RollPart of each lane: seam, passed, gone ─▶ ┘
//! ```
//!
//! To ask where a lane ends, to say what it hands out next, and to say where all of them end exclude each
//! other: one lock for all lanes. So no lane ends before a line that has been handed out.
//!
//! A seam ends a roll when every lane that shows cloth has reported one, no farther from each other than
//! cameras may stand apart. One that has passed the place without any means that it is none, and so does one
//! that does not answer in time ([`Ends::withdraw`]).

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where a roll ends: a tick in each lane, once that is known.
#[derive(Debug, Default)]
pub struct Ends(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: Option<Vec<i64>>,
    is_seam: bool,
    /// Lanes that look for seams, from the left; none where seams end nothing.
    lanes: Vec<Looking>,
    /// How far apart lanes may see one seam, in µm.
    within_um: i64,
}

/// A lane that looks for seams.
#[derive(Clone, Debug)]
pub(super) struct Looking {
    /// Where the roll begins in it, and µm of a tick.
    pub(super) begin: i64,
    pub(super) um_per_tick: f64,
    /// Whether its ticks are one encoder's for all such lanes.
    pub(super) counts_encoder: bool,
    /// One past the last tick that it may have handed out.
    pub(super) reached: i64,
    /// The same of what showed cloth.
    pub(super) seen: i64,
    /// Whether it shows cloth, and its camera is there.
    pub(super) counts: bool,
    /// Where it could end behind a seam.
    pub(super) seam: Option<i64>,
}

/// What became of a seam that a lane has reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Other lanes have not answered yet.
    Waits,
    /// It ends nothing.
    Nothing,
    /// It ends the roll.
    Ends,
}

impl Ends {
    /// Ends the roll where `here` says, a tick for each lane, unless that is known already; gives back
    /// where it ends. Nothing is handed out meanwhile.
    ///
    /// # Errors
    /// What `here` returns.
    pub fn set(&self, here: impl FnOnce() -> anyhow::Result<Vec<i64>>) -> anyhow::Result<Vec<i64>> {
        let mut state = self.state();
        if let Some(known) = &state.known {
            return Ok(known.clone());
        }
        Ok(state.known.insert(here()?).clone())
    }

    /// Where the lanes end, once that is known.
    pub fn known(&self) -> Option<Vec<i64>> {
        self.state().known.clone()
    }

    /// Whether the roll ends at a seam.
    pub fn is_seam(&self) -> bool {
        self.state().is_seam
    }

    /// A seam ends the roll here.
    #[cfg(test)]
    pub(crate) fn end_at_seam(&self, ticks: Vec<i64>) {
        let mut state = self.state();
        state.known = Some(ticks);
        state.is_seam = true;
    }

    /// Where a lane ends; [`i64::MAX`] until that is known.
    pub fn of(&self, lane: usize) -> i64 {
        self.state().end_of(lane)
    }

    /// The lanes look for seams from now on.
    pub(super) fn look(&self, lane: usize, looking: Looking, within_um: i64) {
        let mut state = self.state();
        let n_lanes = state.lanes.len().max(lane + 1);
        state.lanes.resize(n_lanes, looking.clone());
        state.lanes[lane] = looking;
        state.within_um = within_um;
    }

    /// Where a lane ends; while that is not known the lane may hand out all up to `tick`, and `counts`
    /// or not when the others have a seam.
    pub(super) fn hand_out(&self, lane: usize, tick: i64, counts: bool) -> i64 {
        let mut state = self.state();
        if state.known.is_none()
            && let Some(looking) = state.lanes.get_mut(lane)
        {
            looking.reached = looking.reached.max(tick);
            looking.counts = counts;
            if counts {
                looking.seen = looking.reached;
            }
            state.decide();
        }
        state.end_of(lane)
    }

    /// Nothing comes of a lane whose camera is gone: it is not waited for.
    pub(super) fn is_gone(&self, lane: usize) {
        let mut state = self.state();
        if let Some(looking) = state.lanes.get_mut(lane) {
            looking.counts = false;
            state.decide();
        }
    }

    /// A lane has seen a seam behind which it could end at `tick`; it hands out nothing beyond that until
    /// there is a verdict.
    pub(super) fn report(&self, lane: usize, tick: i64) {
        let mut state = self.state();
        if let Some(looking) = state.lanes.get_mut(lane) {
            looking.seam = Some(tick);
            state.decide();
        }
    }

    /// What became of the seam that a lane has reported.
    pub(super) fn verdict(&self, lane: usize) -> Verdict {
        let state = self.state();
        match state.lanes.get(lane).and_then(|looking| looking.seam) {
            _ if state.known.is_some() => Verdict::Ends,
            Some(_) => Verdict::Waits,
            None => Verdict::Nothing,
        }
    }

    /// A lane waits no longer for the others: its seam ends nothing.
    pub(super) fn withdraw(&self, lane: usize) {
        if let Some(looking) = self.state().lanes.get_mut(lane) {
            looking.seam = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end_of(&self, lane: usize) -> i64 {
        let tick = self.known.as_ref().and_then(|ticks| ticks.get(lane));
        tick.copied().unwrap_or(i64::MAX)
    }

    /// Ends the roll at a seam, or forgets one, as soon as either is due.
    fn decide(&mut self) {
        if self.known.is_some() {
            return;
        }
        let within = self.within_um;
        let farthest = |looking: &Looking| looking.um_of(looking.seam.unwrap_or(looking.seen));
        let most = self.lanes.iter().map(farthest).max().unwrap_or(i64::MIN);
        for looking in &mut self.lanes {
            let seam = looking.seam.map(|tick| looking.um_of(tick));
            if seam.is_some_and(|seam| seam.saturating_add(within) < most) {
                // A lane that has none, or another one, is past it.
                looking.seam = None;
            }
        }
        let mut counted = self.lanes.iter().filter(|looking| looking.counts);
        let is_full = self.lanes.iter().any(|looking| looking.counts)
            && counted.all(|looking| looking.seam.is_some());
        if !is_full {
            return;
        }
        let by_encoder = self.lanes.iter().filter(|looking| looking.counts_encoder);
        let encoder = by_encoder.map(|looking| looking.seam.unwrap_or(looking.reached));
        let encoder = encoder.max().unwrap_or(i64::MIN);
        let seams = self.lanes.iter().filter(|looking| looking.counts);
        let um = seams.map(farthest).max().unwrap_or(0);
        let end = |looking: &Looking| match looking.seam {
            _ if looking.counts_encoder => encoder,
            Some(tick) => tick,
            None => looking.reached.max(looking.tick_at(um)),
        };
        self.known = Some(self.lanes.iter().map(end).collect());
        self.is_seam = true;
    }
}

impl Looking {
    /// Where a tick lies on the roll.
    fn um_of(&self, tick: i64) -> i64 {
        ((tick.saturating_sub(self.begin)) as f64 * self.um_per_tick).round() as i64
    }

    fn tick_at(&self, um: i64) -> i64 {
        self.begin + (um as f64 / self.um_per_tick).round() as i64
    }
}
