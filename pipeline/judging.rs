//! Ordered results gathered into frames.
//!
//! ```text
//! Scored::Patch, Failed … Frame ─▶ Gather ─▶ Ordered::Frame (features of a whole frame)
//! Scored::Missed, Ended ─────────────────▶ Ordered::Missed, Ended
//! ```
//!
//! Runs behind `reorder`, in cloth order. A frame's features are not copied: its block borrows
//! the patches as they came. Judging itself is [`models::Judge`]; teaching takes the same
//! blocks.

use models::{Block, Patch, Rim};

use crate::inference::Scored;
use crate::tiles::{FrameHead, Missed, TilePlace};

/// What leaves the line, in cloth order.
pub enum Ordered {
    /// A frame with its features.
    Frame(SeenFrame),
    /// Nothing could be looked at.
    Missed(Missed),
    /// The lane has ended.
    Ended,
}

/// A frame with its features.
pub struct SeenFrame {
    /// The frame.
    pub head: FrameHead,
    /// Its features.
    pub block: Block,
    /// Tiles that could not be scored, and why.
    pub failed: Vec<(TilePlace, String)>,
}

impl SeenFrame {
    /// Judged cells that the tile at `place` was to give.
    pub fn n_judged(&self, place: &TilePlace) -> usize {
        let judged = &self.block.judged;
        let from = place.col.max(judged.start);
        let to = (place.col + place.kept.cols.len()).min(judged.end);
        place.kept.rows.len() * to.saturating_sub(from)
    }
}

/// Gathers what belongs to one frame.
#[derive(Default)]
pub struct Gather {
    patches: Vec<Patch>,
    failed: Vec<(TilePlace, String)>,
}

impl Gather {
    /// Takes the next result in order; gives what is now complete.
    pub fn push(&mut self, scored: Scored) -> Option<Ordered> {
        match scored {
            Scored::Patch(patch) => {
                self.patches.push(patch);
                None
            }
            Scored::Failed(place, problem) => {
                self.failed.push((place, problem));
                None
            }
            Scored::Missed(missed) => Some(Ordered::Missed(missed)),
            Scored::Ended => Some(Ordered::Ended),
            Scored::Frame(head) => {
                let patches = std::mem::take(&mut self.patches);
                let failed = std::mem::take(&mut self.failed);
                Some(Ordered::Frame(SeenFrame {
                    block: block_of(&head, patches),
                    head,
                    failed,
                }))
            }
        }
    }
}

fn block_of(head: &FrameHead, patches: Vec<Patch>) -> Block {
    let cloth = head.cloth;
    let (rows, cols) = head.cells();
    let rim = |is_edge| if is_edge { Rim::Ended } else { Rim::Mirrored };
    Block {
        rows,
        cols,
        judged: head.judged(),
        above: head.above,
        below: head.below,
        left: rim(cloth.left() > 0),
        right: rim(cloth.right() < head.frame.width()),
        continues: head.continues,
        patches,
    }
}
