//! Flaws that run: told while they do, again every further so many metres, and when they end.
//!
//! ```text
//! open pieces of a lane ─▶ passed the next M metres? ─▶ Running
//! pieces that ended, of which that was told ──────────▶ Running, ended
//! ```
//!
//! It stays one flaw: it is whole, and in the store, only when it has ended; this is word of it
//! before. Each lane tells of the pieces that are its own, so that what is told is the same whichever
//! lane comes first: a line in the overlap of two lanes is told by the one that owns it. Two lanes
//! tell of a flaw that is wide, or that lies on their very border, where none must not.

use std::fmt;

use calibration::{Span, Um, mm_from_um};

use crate::stitch::{Piece, Stitch};

/// Share of a piece that must be its lane's own: less than half, because two lanes never flag quite
/// the same cells of a line on their border.
const LEAST_OWN_PERCENT: i64 = 40;

/// Word of a flaw that runs, or has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// The lane that sees it.
    pub lane: usize,
    /// From where to where along, so far.
    pub along: Span,
    /// From where to where across, so far.
    pub across: Span,
    /// Length that it has passed: a multiple of what is asked for, or all of it when it has ended.
    pub length: Um,
    /// Whether it has ended.
    pub has_ended: bool,
}

/// What the open flaws of `lane` have newly passed, every `every` of length.
pub(crate) fn passed(lane: usize, stitch: &mut Stitch, every: Um) -> Vec<Running> {
    let mut told = Vec::new();
    for piece in stitch.open_mut() {
        let length = piece.flaw.rect.along.length();
        let n_passed = length.get() / every.get();
        if is_told_here(piece) && n_passed > piece.n_passed {
            piece.n_passed = n_passed;
            told.push(Running {
                length: Um(n_passed * every.get()),
                ..Running::of(lane, piece)
            });
        }
    }
    told
}

/// The ends of those among `ended` that were told of while they ran.
pub(crate) fn ends(lane: usize, ended: &[Piece]) -> impl Iterator<Item = Running> {
    let told = ended.iter().filter(|piece| piece.n_passed > 0);
    told.map(move |piece| Running {
        has_ended: true,
        ..Running::of(lane, piece)
    })
}

/// Whether a piece's lane tells of it: it is a flaw, and enough of it is the lane's own.
fn is_told_here(piece: &Piece) -> bool {
    let is_own = 100 * piece.owned_um2 >= LEAST_OWN_PERCENT * piece.flaw.area_um2;
    piece.flaw.score > 1.0 && is_own
}

impl Running {
    fn of(lane: usize, piece: &Piece) -> Self {
        let rect = piece.flaw.rect;
        Self {
            lane,
            along: rect.along,
            across: rect.across,
            length: rect.along.length(),
            has_ended: false,
        }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metres = |um: Um| mm_from_um(um) / 1e3;
        let word = if self.has_ended {
            "ran for"
        } else {
            "has run for"
        };
        write!(
            f,
            "a flaw {word} {:.2} m from {:.2} m on, {:.0} to {:.0} mm across",
            metres(self.length),
            metres(self.along.start()),
            mm_from_um(self.across.start()),
            mm_from_um(self.across.end())
        )
    }
}
