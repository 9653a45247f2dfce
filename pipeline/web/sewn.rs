//! A lane's seams, frame by frame as they come to be judged.
//!
//! ```text
//! FrameHead: light of its rows, and of the next one's ─▶ SeamWatch ─▶ Sewn: lines of seams, lines that may be
//! ```
//!
//! The watch sees a frame ahead, so that most seams are known when their frame is judged, and lines
//! that lie before one are too. What is open then is judged with and without, and told when it is known.

use std::ops::Range;

use models::{CELL_PX, Rim};

use crate::seams::{RowLight, SeamWatch};
use crate::tiles::FrameHead;

/// How far before and behind a seam cells may still look strange: what the network sees, and what is
/// smoothed behind it. Six cells were too few for simulated seams in low frames.
const MARGIN: u64 = (10 * CELL_PX) as u64;

/// The seams of one lane.
pub(super) struct LaneSeams {
    watch: SeamWatch,
    /// Rows before the next frame, as the watch counts them.
    n_before: u64,
    /// Rows of seams, with their margin, that may reach into the next frame.
    found: Vec<Range<u64>>,
}

/// What seams do to a frame.
#[derive(Debug, Default)]
pub(super) struct Sewn {
    /// Its lines that are a seam's.
    pub(super) lines: Vec<Range<usize>>,
    /// Its lines that may be one's, and the numbers of what may become one.
    pub(super) open: Option<Range<usize>>,
    pub(super) may_be: Vec<u64>,
}

impl LaneSeams {
    /// At the start of a lane of this scale, in mm.
    pub(super) fn new(mm_per_px: f64, mm_per_line: f64) -> Self {
        Self {
            watch: SeamWatch::new(mm_per_px, mm_per_line),
            n_before: 0,
            found: Vec::new(),
        }
    }

    /// Looks at the next frame. In one that is `soft` no seam is looked for.
    pub(super) fn see(&mut self, head: &FrameHead, soft: bool) -> Sewn {
        if head.above != Rim::Joined {
            self.watch.forget();
            // A margin does not reach over cloth that nobody saw.
            self.found.clear();
        }
        let first = self.n_before;
        let end = first + head.row_light.n_rows() as u64;
        self.n_before = end;
        if self.watch.n_seen() < end {
            self.look(&head.row_light);
        }
        if soft {
            self.watch.forget();
            self.found.clear();
        }
        match &head.ahead {
            Some(ahead) => self.look(ahead),
            None => {
                let ended = self.watch.forget();
                self.found
                    .extend(ended.into_iter().map(|seam| around(&seam.rows)));
            }
        }
        if soft {
            return Sewn::default();
        }
        let lines = |rows: &Range<u64>| {
            let within = rows.start.clamp(first, end)..rows.end.clamp(first, end);
            let lines = (within.start - first) as usize..(within.end - first) as usize;
            Some(lines).filter(|lines| !lines.is_empty())
        };
        let open = self.watch.open().filter_map(|(id, from)| {
            let lines = lines(&(from.saturating_sub(MARGIN)..end))?;
            Some((id, lines.start))
        });
        let open: Vec<(u64, usize)> = open.collect();
        let from = open.iter().map(|(_, from)| *from).min();
        let sewn = Sewn {
            lines: self.found.iter().filter_map(lines).collect(),
            open: from.map(|from| from..(end - first) as usize),
            may_be: open.into_iter().map(|(id, _)| id).collect(),
        };
        self.found.retain(|rows| rows.end > end);
        sewn
    }

    /// Whether any of these may still become a seam.
    pub(super) fn is_any_open(&self, may_be: &[u64]) -> bool {
        may_be.iter().any(|id| self.watch.is_open(*id))
    }

    /// Whether any of these was a seam.
    pub(super) fn is_any_seam(&self, may_be: &[u64]) -> bool {
        may_be.iter().any(|id| self.watch.is_seam(*id))
    }

    /// Ends the lane: what goes on is no seam.
    pub(super) fn finish(&mut self) {
        self.watch.forget();
    }

    fn look(&mut self, row_light: &RowLight) {
        let seams = self.watch.see(row_light).into_iter();
        self.found.extend(seams.map(|seam| around(&seam.rows)));
    }
}

/// Rows with the margin around them.
fn around(rows: &Range<u64>) -> Range<u64> {
    rows.start.saturating_sub(MARGIN)..rows.end + MARGIN
}
