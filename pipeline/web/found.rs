//! What a frame came to, with and without the cloth in it that may turn out not to be judged.
//!
//! ```text
//! score map ─▶ Found                                  when nothing of the frame is in doubt
//!          └─▶ Found, and Found without what is Veiled   when some is: which counts is known later
//! ```
//!
//! Whether cloth is out of focus, or the beginning of a seam, is known a little after its frame has gone
//! home. So both are made while it is at hand. What is veiled has no scores: a flaw that runs into it ends
//! there, and what is true beside it stays. A seam that is known by then is veiled in both.

use std::ops::Range;

use calibration::{LaneGeometry, Um, WebRect};
use models::{CELL_PX, ScoreMap, UNUSUAL};

use super::{LaneSoFar, may_be_flaw};
use crate::classes::{Looks, measure};
use crate::crops::cut;
use crate::flaws::{CellBox, Region, regions};
use crate::focus::Soft;
use crate::judging::SeenFrame;
use crate::stitch::Looked;
use crate::tiles::{FrameHead, GapReason};

/// Regions of a frame.
#[derive(Default)]
pub(super) struct Found {
    pub(super) regions: Vec<Region>,
    /// What was seen of each region; empty where they are too many to be told.
    pub(super) looked: Vec<Looked>,
    /// Why its flaws are too many to be told, if they are.
    pub(super) flood: Option<String>,
}

/// Where on the web cloth is not judged, and why.
pub(super) type Unjudged = Vec<(WebRect, GapReason)>;

/// A part of a frame that is not judged, or may turn out not to be.
#[derive(Clone, Debug)]
pub(super) struct Veiled {
    /// Lines of the frame.
    pub(super) lines: Range<usize>,
    /// Columns of the frame.
    pub(super) columns: Range<u32>,
    pub(super) reason: GapReason,
}

impl Veiled {
    /// What looks soft in a frame.
    pub(super) fn of(head: &FrameHead, soft: Soft) -> Vec<Self> {
        let (width, height) = (head.frame.width(), head.frame.height() as usize);
        let soft = soft.columns(width).map(|columns| Self {
            lines: 0..height,
            columns,
            reason: GapReason::OutOfFocus,
        });
        soft.collect()
    }

    /// These lines from selvedge to selvedge, which are a seam's.
    pub(super) fn seam(head: &FrameHead, lines: Range<usize>) -> Self {
        Self {
            lines,
            columns: head.cloth.left()..head.cloth.right(),
            reason: GapReason::Seam,
        }
    }

    /// Where these lie on the web.
    pub(super) fn places(
        veiled: &[Self],
        head: &FrameHead,
        geometry: &LaneGeometry,
    ) -> anyhow::Result<Unjudged> {
        let places = veiled.iter().map(|veiled| veiled.place(head, geometry));
        places.collect()
    }

    /// Where it lies on the web, and why it may not be judged.
    fn place(
        &self,
        head: &FrameHead,
        geometry: &LaneGeometry,
    ) -> anyhow::Result<(WebRect, GapReason)> {
        let ticks = head.tick_of_line(self.lines.start)..head.tick_of_line(self.lines.end);
        let along = geometry.span_from_ticks(ticks)?;
        let across = geometry.span_from_columns(self.columns.clone());
        Ok((WebRect { along, across }, self.reason))
    }

    /// The cells that it touches, as far as they are judged.
    fn cells(&self) -> CellBox {
        CellBox {
            rows: self.lines.start / CELL_PX..self.lines.end.div_ceil(CELL_PX),
            cols: self.columns.start as usize / CELL_PX
                ..(self.columns.end as usize).div_ceil(CELL_PX),
        }
    }
}

impl Found {
    /// What `map` shows of a frame of `lane`, whose cloth is `length` long and `m2` large; the lane's
    /// flood counts it.
    pub(super) fn of(
        of_lane: &mut LaneSoFar,
        lane: usize,
        seen: &SeenFrame,
        map: &ScoreMap,
        (length, m2): (Um, f64),
    ) -> Self {
        let regions = regions(map, UNUSUAL, &of_lane.sides);
        let flood = of_lane.flood.check(map, &regions, length, m2);
        let frame = &seen.head.frame;
        let pixels = of_lane.place.pixels(frame, &of_lane.sides);
        let look = |region: &Region| Looked {
            crop: (region.highest > 1.0).then(|| cut(lane, seen, region)),
            looks: if may_be_flaw(region) {
                measure(frame, seen.head.cloth, map, region, &pixels)
            } else {
                Looks::default()
            },
        };
        // A flood is told as one, whatever it looks like.
        let looked = match flood {
            Some(_) => Vec::new(),
            None => regions.iter().map(look).collect(),
        };
        Self {
            regions,
            looked,
            flood,
        }
    }

    /// What was seen of each region, in their order.
    pub(super) fn next_look(&mut self) -> impl FnMut(&Region) -> Looked + use<> {
        let mut looked = std::mem::take(&mut self.looked).into_iter();
        move |_| looked.next().unwrap_or_default()
    }
}

/// `map` without the scores of what is veiled.
pub(super) fn without(map: &ScoreMap, veiled: &[Veiled]) -> ScoreMap {
    let mut map = map.clone();
    let (n_rows, n_cols) = map.scores.dim();
    for veiled in veiled {
        let CellBox { rows, cols } = veiled.cells();
        let (rows, cols) = (
            rows.start..rows.end.min(n_rows),
            cols.start..cols.end.min(n_cols),
        );
        if !rows.is_empty() && !cols.is_empty() {
            map.scores.slice_mut(ndarray::s![rows, cols]).fill(0.0);
        }
    }
    map
}
