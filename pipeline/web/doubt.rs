//! What a lane has seen while it is in doubt whether the cloth is the article's.
//!
//! ```text
//! judged frames, lost ones ─▶ Doubt ─▶ the same, in order, once the cloth is known right or wrong
//! ```
//!
//! Frames themselves go home to their pool: what waits is what was found in them and how it
//! looked, for a quarter of a metre of cloth at most. The ledger has entered them as inspected
//! by then; nothing of it is written before they are told.

use std::ops::Range;

use calibration::Um;

use crate::flaws::Region;
use crate::roll::Cover;
use crate::stitch::Looked;

/// What waits, in cloth order.
#[derive(Default)]
pub(super) struct Doubt {
    waiting: Vec<Waiting>,
}

/// One thing that waits.
pub(super) enum Waiting {
    Frame(JudgedFrame),
    Lost(LostCloth),
}

/// What a frame came to, without the frame.
pub(super) struct JudgedFrame {
    pub(super) sequence: u64,
    pub(super) ticks: Range<i64>,
    /// Lines.
    pub(super) height: usize,
    pub(super) joins_above: bool,
    pub(super) covers: Vec<Cover>,
    pub(super) found: Vec<Region>,
    /// What was seen of each region; empty where they are too many to be told.
    pub(super) looked: Vec<Looked>,
    /// Why its flaws are too many to be told, if they are.
    pub(super) flood: Option<String>,
}

/// Cloth that was not looked at.
pub(super) struct LostCloth {
    pub(super) covers: Vec<Cover>,
    pub(super) end: Um,
    /// Whether it parts the cloth around it.
    pub(super) interrupts: bool,
}

impl Doubt {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All that waits.
    pub(super) fn take(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.waiting)
    }
}

impl JudgedFrame {
    /// What was seen of each region, in their order.
    pub(super) fn next_look(&mut self) -> impl FnMut(&Region) -> Looked + use<> {
        let mut looked = std::mem::take(&mut self.looked).into_iter();
        move |_| looked.next().unwrap_or_default()
    }
}
