//! Where one roll's part of a camera could end behind a seam.
//!
//! ```text
//! what the part takes ─▶ Finder ─▶ Cut: seam and 5 mm of cloth behind it ─▶ Ends: do all lanes see it?
//! ```
//!
//! The line works behind the camera, too late to end a roll where its seam is. So what a part takes is looked
//! at before it is handed out, in the same way as the line does. Only frames in which something goes across
//! have their light looked at: what is too dark or glares is no cloth.

use std::collections::VecDeque;
use std::time::Instant;

use calibration::{LightFacts, LightLimits, find_cloth};
use camera::Captured;

use crate::seams::{RowLight, SeamWatch};

/// Cloth behind a seam that still belongs to the roll that ends there: what is strange because of the seam.
const BEHIND_MM: f64 = 5.0;

/// What a lane must know to look for seams.
#[derive(Clone, Debug)]
pub struct Looks {
    /// Scale across.
    pub mm_per_px: f64,
    /// Scale along.
    pub mm_per_line: f64,
    /// µm of the web to a tick.
    pub um_per_tick: f64,
    /// How far apart lanes may see one seam, in µm.
    pub within_um: i64,
    /// Light by which cloth is cloth.
    pub light: LightLimits,
}

/// Where a part could end.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) tick: i64,
    /// Since when the other lanes are waited for.
    pub(super) asked: Option<Instant>,
}

/// Looks for seams in what a part takes.
pub(super) struct Finder {
    looks: Looks,
    watch: SeamWatch,
    /// The number of the next frame and its first tick, if it goes on.
    next: Option<(u64, i64)>,
    pub(super) shows_cloth: bool,
    pub(super) cuts: VecDeque<Cut>,
}

impl Finder {
    pub(super) fn new(looks: Looks) -> Self {
        Self {
            watch: SeamWatch::new(looks.mm_per_px, looks.mm_per_line),
            looks,
            next: None,
            shows_cloth: true,
            cuts: VecDeque::new(),
        }
    }

    /// Where the part is to hand out nothing more until the other lanes have answered.
    pub(super) fn cut(&self) -> i64 {
        self.cuts.front().map_or(i64::MAX, |cut| cut.tick)
    }

    /// Looks at what is taken next, unless it was looked at before.
    pub(super) fn see(&mut self, captured: &Captured) {
        let ticks = captured.ticks();
        let is_seen = self.next.is_some_and(|(_, tick)| ticks.end <= tick);
        if is_seen && !ticks.is_empty() {
            return;
        }
        let goes_on = self.next == Some((captured.sequence(), ticks.start));
        self.next = Some((captured.sequence() + 1, ticks.end));
        let Captured::Frame(frame) = captured else {
            self.watch.forget();
            return;
        };
        if !goes_on {
            self.watch.forget();
        }
        let Some(cloth) = find_cloth(frame) else {
            self.shows_cloth = false;
            self.watch.forget();
            return;
        };
        self.shows_cloth = true;
        let first = self.watch.n_seen();
        let found = self.watch.see(&RowLight::of(frame, cloth));
        if found.is_empty() && self.watch.open().next().is_none() {
            return;
        }
        let facts = LightFacts::of(frame, cloth);
        if facts.is_ok_and(|facts| self.looks.light.judge(&facts).is_some()) {
            self.watch.forget();
            return;
        }
        let behind = (BEHIND_MM / self.looks.mm_per_line).round() as u64;
        let ticks = &frame.ticks;
        let length = i128::from(ticks.end) - i128::from(ticks.start);
        for seam in found {
            // It lies in this frame, or behind it as if the next one went on as this.
            let row = (seam.rows.end + behind).saturating_sub(first);
            let along = length * i128::from(row) / i128::from(frame.height());
            let tick = ticks.start + along as i64;
            self.cuts.push_back(Cut { tick, asked: None });
        }
    }
}
