//! What a lane has seen while it is in doubt whether the cloth is the article's, in focus, or a seam.
//!
//! ```text
//! judged frames, lost ones ─▶ Doubt ─▶ the same, in order, once that is known
//! ```
//!
//! Frames themselves go home to their pool: what waits is what was found in them and how it
//! looked, for half a metre of cloth at most: what is not known by then, one doubt after the other, is told as
//! it is. The ledger has entered them as inspected
//! by then; nothing of it is written before they are told.

use std::ops::Range;

use calibration::Um;

use super::found::{Found, Unjudged};
use super::sewn::LaneSeams;
use crate::focus::Soft;
use crate::roll::Cover;

/// What waits, in cloth order.
#[derive(Default)]
pub(super) struct Doubt {
    waiting: Vec<Waiting>,
    /// Length of its frames.
    length: Um,
}

/// Cloth that may wait.
const LONGEST: Um = Um(500_000);

/// One thing that waits.
pub(super) enum Waiting {
    Frame(Box<JudgedFrame>),
    Lost(LostCloth),
}

/// What a frame came to, without the frame.
pub(super) struct JudgedFrame {
    pub(super) sequence: u64,
    pub(super) ticks: Range<i64>,
    /// Lines.
    pub(super) height: usize,
    /// Cloth along.
    pub(super) length: Um,
    pub(super) joins_above: bool,
    pub(super) covers: Vec<Cover>,
    pub(super) found: Found,
    /// What is not judged.
    pub(super) unjudged: Unjudged,
    /// What may turn out not to be judged, and what was found beside it.
    pub(super) veiled: Option<(Unjudged, Found)>,
    /// What looked soft.
    pub(super) soft: Soft,
    /// Numbers of what may become a seam in it.
    pub(super) may_be_seams: Vec<u64>,
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
        if let Waiting::Frame(frame) = &waiting {
            self.length += frame.length;
        }
        self.waiting.push(waiting);
    }

    /// Whether no more cloth may wait.
    pub(super) fn is_full(&self) -> bool {
        self.length >= LONGEST
    }

    /// Whether something of it may still become a seam.
    pub(super) fn may_be_seam(&self, seams: &LaneSeams) -> bool {
        self.waiting.iter().any(|waiting| match waiting {
            Waiting::Frame(frame) => seams.is_any_open(&frame.may_be_seams),
            Waiting::Lost(_) => false,
        })
    }

    /// Whether something of it was a seam.
    pub(super) fn is_seam(&self, seams: &LaneSeams) -> bool {
        self.waiting.iter().any(|waiting| match waiting {
            Waiting::Frame(frame) => seams.is_any_seam(&frame.may_be_seams),
            Waiting::Lost(_) => false,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All that waits.
    pub(super) fn take(&mut self) -> Vec<Waiting> {
        self.length = Um::ZERO;
        std::mem::take(&mut self.waiting)
    }
}
