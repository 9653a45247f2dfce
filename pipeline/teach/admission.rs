//! Which frames of more cloth are learned from: those of the article, and each once.
//!
//! ```text
//! frame ─▶ known again by its pixels? ─▶ as strange as another article? ─▶ learned
//! ```
//!
//! Cloth is held against what was taught before, as it is in a roll, by the network and the whitening
//! of the earlier model; but frame by frame, because pictures in a folder need not follow each other.
//! A model that was taught without a likeness admits all cloth.

use std::collections::HashSet;

use models::teach::Whitener;

use super::earlier::Earlier;
use super::strange::{Learned, Refusal};
use crate::judging::SeenFrame;
use crate::wrong_article::{Acquainted, STRANGE};

/// Holds new frames against what was taught before.
pub(super) struct Admission {
    known: HashSet<u64>,
    whitener: Whitener,
    /// One per lane; none where the earlier model has no likeness.
    acquainted: Vec<Acquainted>,
}

impl Admission {
    /// To more of what `earlier` was taught.
    pub(super) fn after(earlier: &Earlier) -> anyhow::Result<Self> {
        let likeness = &earlier.passport.likeness;
        if likeness.is_none() {
            tracing::warn!(
                "the earlier model does not know what its cloth looks like as a whole; another article's would not be noticed"
            );
        }
        let lanes = earlier.passport.lanes.iter();
        Ok(Self {
            known: earlier.memory.frames().iter().copied().collect(),
            whitener: earlier.memory.whitener()?,
            acquainted: lanes
                .filter_map(|_| likeness.clone().map(Acquainted::with))
                .collect(),
        })
    }

    /// Why a frame is not learned from, if it is not.
    pub(super) fn refusal(&mut self, frame: &Learned, seen: &SeenFrame) -> Option<Refusal> {
        if self.known.contains(&frame.digest) {
            return Some(Refusal::Known);
        }
        let acquainted = self.acquainted.get_mut(frame.lane)?;
        let character = self.whitener.character(&seen.block)?;
        let strangeness = acquainted.strangeness(character);
        (strangeness > STRANGE).then_some(Refusal::Other(strangeness))
    }
}
