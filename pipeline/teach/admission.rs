//! Which frames are learned from: each once, and of more cloth those of the article.
//!
//! ```text
//! frame ─▶ as strange as another article? ─▶ known by its pixels? ─▶ learned
//! ```
//!
//! Cloth is held against what was taught before by the network and the whitening of the earlier model;
//! frame by frame, because pictures in a folder need not follow each other. A model that was taught
//! without a likeness admits all cloth.

use std::collections::HashSet;

use models::Likeness;
use models::teach::Whitener;

use super::earlier::Earlier;
use super::strange::{Learned, Refusal};
use crate::judging::SeenFrame;
use crate::wrong_article::STRANGE;

/// Holds frames against what was taught before, and against each other.
pub(super) struct Admission {
    known: HashSet<u64>,
    /// What the article's cloth looks like, where that is known.
    taught: Option<(Whitener, Likeness)>,
}

impl Admission {
    /// To more of what `earlier` was taught, if anything was.
    pub(super) fn after(earlier: Option<&Earlier>) -> anyhow::Result<Self> {
        let Some(earlier) = earlier else {
            return Ok(Self {
                known: HashSet::new(),
                taught: None,
            });
        };
        let taught = match earlier.passport.likeness.clone() {
            Some(likeness) => Some((earlier.memory.whitener()?, likeness)),
            None => {
                tracing::warn!(
                    "the earlier model does not know what its cloth looks like as a whole; another article's would not be noticed"
                );
                None
            }
        };
        Ok(Self {
            known: earlier.memory.frames().iter().copied().collect(),
            taught,
        })
    }

    /// Why a frame is not learned from, if it is not.
    pub(super) fn refusal(&mut self, frame: &Learned, seen: &SeenFrame) -> Option<Refusal> {
        if self.known.contains(&frame.digest) {
            return Some(Refusal::Known);
        }
        if let Some((whitener, likeness)) = &self.taught
            && let Some(character) = whitener.character(&seen.block)
        {
            let strangeness = likeness.strangeness(&character);
            if strangeness > STRANGE {
                return Some(Refusal::Other(strangeness));
            }
        }
        self.known.insert(frame.digest);
        None
    }
}
