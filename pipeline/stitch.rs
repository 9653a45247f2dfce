//! Regions of frames become flaws of a lane.
//!
//! ```text
//! regions of a frame ─▶ joined with open flaws above ─▶ open while they reach the last rows
//!                                                        └─▶ Piece, once, when they end
//! ```
//!
//! A flaw is whole across tile and frame borders: it stays open while its cells come within the
//! bridged distance of the frame's last row, and closes when the next frame does not go on with
//! it, or when no next frame joins. Closed ones leave in cloth order of their first cell, as
//! far as frames allow; what reaches a lane border is for `borders` to make whole. Lengths are µm
//! on the web.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use calibration::{LaneGeometry, Um, WebRect};
use camera::{Channels, Depth};
use models::CELL_PX;

use crate::classes::Descriptor;
use crate::classes::Looks;
use crate::flaws::{BRIDGED_CELLS, CellBox, Groups, Region, RimCell};
use crate::tiles::tick_of_line;

/// One connected place of the web that is not usual; a defect when its score is above 1.0.
#[derive(Clone, Debug, PartialEq)]
pub struct Flaw {
    /// Its box.
    pub rect: WebRect,
    /// Area of its cells, in µm².
    pub area_um2: i64,
    /// Highest score, 1.0 = threshold.
    pub score: f32,
    /// The picture around its highest score.
    pub crop: Option<Arc<Cutout>>,
    /// What it looks like.
    pub looks: Looks,
}

/// A flaw as one lane saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// What this lane saw of it.
    pub flaw: Flaw,
    /// Area of its cells that are the lane's own, in µm².
    pub owned_um2: i64,
    /// Boxes of what the lane on the left may see of it too.
    pub left: Vec<WebRect>,
    /// The same on the right.
    pub right: Vec<WebRect>,
    /// How many times the length at which a running flaw is told of it has passed, as far as told.
    pub n_passed: i64,
}

/// A piece of a frame as the camera gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cutout {
    /// Its samples, row by row, as in the frame.
    pub samples: Vec<u8>,
    /// What a sample is.
    pub samples_of: (Channels, Depth),
    /// The lane.
    pub lane: u16,
    /// Number of the frame.
    pub frame: u64,
    /// Left edge in the frame, in pixels.
    pub x: u32,
    /// Top edge in the frame, in pixels.
    pub y: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pixels that were added around the flaw, at most.
    pub margin: u32,
}

impl Flaw {
    /// Takes over another part of the same flaw.
    pub(crate) fn absorb(&mut self, other: Flaw) {
        self.rect = self.rect.hull(&other.rect);
        self.area_um2 += other.area_um2;
        if other.score > self.score {
            self.score = other.score;
            self.crop = other.crop;
        }
        self.looks.absorb(&other.looks);
    }

    /// The figures that its class is told by.
    pub fn descriptor(&self, web_width: Um) -> Descriptor {
        Descriptor::of(
            &self.rect,
            self.area_um2,
            self.score,
            &self.looks,
            web_width,
        )
    }

    /// The longer side of its box.
    pub fn length(&self) -> Um {
        self.rect.along.length().max(self.rect.across.length())
    }
}

/// What was seen of a region while its frame was at hand.
#[derive(Debug, Default)]
pub struct Looked {
    /// Its picture.
    pub crop: Option<Arc<Cutout>>,
    /// What it looks like.
    pub looks: Looks,
}

/// Where a frame lies, for the conversion of its cells.
pub struct FramePlace<'a> {
    /// The lane.
    pub geometry: &'a LaneGeometry,
    /// Encoder positions, first line to one past the last.
    pub ticks: Range<i64>,
    /// Lines of the frame.
    pub height: usize,
    /// Whether it goes on where the frame before ended.
    pub joins_above: bool,
}

/// Flaws that may go on.
#[derive(Default)]
pub struct Stitch {
    open: Vec<Open>,
}

struct Open {
    piece: Piece,
    bottom: Vec<RimCell>,
}

impl Stitch {
    /// Takes the regions of the next frame of the lane, each with a way to look at it, and gives
    /// those that have ended.
    ///
    /// # Errors
    /// When a place is beyond what `i64` micrometres can count.
    pub fn push(
        &mut self,
        place: &FramePlace<'_>,
        regions: &[Region],
        mut look: impl FnMut(&Region) -> Looked,
    ) -> anyhow::Result<Vec<Piece>> {
        let mut ended = Vec::new();
        if !place.joins_above {
            ended.extend(self.finish());
        }
        let above = std::mem::take(&mut self.open);
        let n_above = above.len();
        let mut groups = Groups::new(n_above + regions.len());
        for (index, open) in above.iter().enumerate() {
            for (offset, region) in regions.iter().enumerate() {
                if touches(&open.bottom, &region.top) {
                    groups.join(index, n_above + offset);
                }
            }
        }
        let mut wholes: BTreeMap<usize, Open> = BTreeMap::new();
        for (index, open) in above.into_iter().enumerate() {
            let ended_above = Open {
                bottom: Vec::new(),
                ..open
            };
            gather(&mut wholes, groups.root(index), ended_above);
        }
        for (offset, region) in regions.iter().enumerate() {
            let open = Open {
                piece: place.piece(region, look(region))?,
                bottom: region.bottom.clone(),
            };
            gather(&mut wholes, groups.root(n_above + offset), open);
        }
        for open in wholes.into_values() {
            if open.bottom.is_empty() {
                ended.push(open.piece);
            } else {
                self.open.push(open);
            }
        }
        ended.sort_by_key(Piece::in_cloth_order);
        Ok(ended)
    }

    /// Whether a flaw, not only a candidate, reaches the end of what was seen.
    pub fn is_flaw_running(&self) -> bool {
        self.open.iter().any(|open| open.piece.flaw.score > 1.0)
    }

    /// What may still go on.
    pub(crate) fn open_mut(&mut self) -> impl Iterator<Item = &mut Piece> {
        self.open.iter_mut().map(|open| &mut open.piece)
    }

    /// Where the first of what may still grow along a lane border begins.
    pub fn first_open_at_border(&self) -> Option<Um> {
        let shared = |open: &Open| {
            let parts = open.piece.left.iter().chain(&open.piece.right);
            parts.map(|part| part.along.start()).min()
        };
        self.open.iter().filter_map(shared).min()
    }

    /// Ends all open flaws: the roll, or the cloth that can be seen, has ended.
    pub fn finish(&mut self) -> Vec<Piece> {
        let mut ended: Vec<Piece> = self.open.drain(..).map(|open| open.piece).collect();
        ended.sort_by_key(Piece::in_cloth_order);
        ended
    }
}

impl Piece {
    fn in_cloth_order(&self) -> (Um, Um) {
        (self.flaw.rect.along.start(), self.flaw.rect.across.start())
    }

    /// Takes over what goes on below.
    fn absorb(&mut self, other: Piece) {
        self.flaw.absorb(other.flaw);
        self.owned_um2 += other.owned_um2;
        add_boxes(&mut self.left, other.left);
        add_boxes(&mut self.right, other.right);
        self.n_passed = self.n_passed.max(other.n_passed);
    }
}

/// Adds boxes of the same flaw; those that follow each other along become one, so that a flaw
/// that runs along a border for metres stays small.
fn add_boxes(boxes: &mut Vec<WebRect>, more: Vec<WebRect>) {
    for next in more {
        match boxes.last_mut() {
            Some(last) if last.along.end() == next.along.start() => *last = last.hull(&next),
            Some(_) | None => boxes.push(next),
        }
    }
}

fn gather(wholes: &mut BTreeMap<usize, Open>, group: usize, open: Open) {
    match wholes.entry(group) {
        Entry::Vacant(entry) => {
            entry.insert(open);
        }
        Entry::Occupied(mut entry) => {
            let whole = entry.get_mut();
            whole.piece.absorb(open.piece);
            whole.bottom.extend(open.bottom);
        }
    }
}

/// Whether cells near the end of one frame and near the beginning of the next are connected.
fn touches(bottom: &[RimCell], top: &[RimCell]) -> bool {
    bottom.iter().any(|above| {
        top.iter().any(|below| {
            above.depth + below.depth <= BRIDGED_CELLS
                && above.col.abs_diff(below.col) <= BRIDGED_CELLS + 1
        })
    })
}

impl FramePlace<'_> {
    /// A region as the first or only piece of a flaw.
    fn piece(&self, region: &Region, looked: Looked) -> anyhow::Result<Piece> {
        let boxes = |part: &Option<CellBox>| {
            let part = part.iter().map(|part| self.rect(&part.rows, &part.cols));
            part.collect::<anyhow::Result<Vec<_>>>()
        };
        Ok(Piece {
            flaw: Flaw {
                rect: self.rect(&region.rows, &region.cols)?,
                area_um2: self.area_um2(region.n_cells),
                score: region.highest,
                crop: looked.crop,
                looks: looked.looks,
            },
            owned_um2: self.area_um2(region.n_owned),
            left: boxes(&region.left)?,
            right: boxes(&region.right)?,
            n_passed: 0,
        })
    }

    /// A box of cells on the web.
    fn rect(&self, rows: &Range<usize>, cols: &Range<usize>) -> anyhow::Result<WebRect> {
        let tick = |row: usize| tick_of_line(&self.ticks, self.height, row * CELL_PX);
        let column = |col: usize| ((col * CELL_PX) as u32).min(self.geometry.width_px());
        Ok(self.geometry.rect(
            tick(rows.start)..tick(rows.end),
            column(cols.start)..column(cols.end),
        )?)
    }

    fn area_um2(&self, n_cells: usize) -> i64 {
        let n_ticks = (self.ticks.end - self.ticks.start) as f64;
        let ticks_per_cell = n_ticks * CELL_PX as f64 / self.height.max(1) as f64;
        let along = self.geometry.um_per_tick() * ticks_per_cell;
        let across = self.geometry.mm_per_px() * 1e3 * CELL_PX as f64;
        (n_cells as f64 * along * across).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::ScoreMap;
    use ndarray::Array2;

    /// Flaws, as "along mm, across mm", of frames drawn one below the other; each cell is 4 mm.
    fn check(frames: &[&[&str]], joined: bool, expected: &[&str]) {
        let width = frames[0][0].len() * CELL_PX;
        let geometry = LaneGeometry::new(1.0, 1000.0, Um::ZERO, width as u32).unwrap();
        let mut stitch = Stitch::default();
        let mut flaws = Vec::new();
        let mut first_tick = 0;
        for drawing in frames {
            let cols = drawing[0].len();
            let scores = Array2::from_shape_fn((drawing.len(), cols), |(row, col)| {
                f32::from(u8::from(drawing[row].as_bytes()[col] == b'#')) * 2.0
            });
            let map = ScoreMap {
                scores,
                judged: 0..cols,
            };
            let height = drawing.len() * CELL_PX;
            let place = FramePlace {
                geometry: &geometry,
                ticks: first_tick..first_tick + height as i64,
                height,
                joins_above: joined && first_tick > 0,
            };
            let regions = crate::flaws::regions(&map, 1.0, &crate::flaws::Sides::ALONE);
            flaws.extend(
                stitch
                    .push(&place, &regions, |_| Looked::default())
                    .unwrap(),
            );
            first_tick += height as i64;
        }
        flaws.extend(stitch.finish());
        let found: Vec<String> = flaws
            .iter()
            .map(|Piece { flaw, .. }| {
                let mm = |um: Um| um.get() / 1000;
                let (along, across) = (flaw.rect.along, flaw.rect.across);
                format!(
                    "{}..{}, {}..{}, {} cells",
                    mm(along.start()),
                    mm(along.end()),
                    mm(across.start()),
                    mm(across.end()),
                    flaw.area_um2 / 16_000_000
                )
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_warp_line_over_three_frames_is_one_flaw_with_its_length() {
        let frame: &[&str] = &[".#...", ".#...", ".#..."];
        check(&[frame, frame, frame], true, &["0..36, 4..8, 9 cells"]);
    }

    #[test]
    fn frames_that_do_not_join_do_not_share_a_flaw() {
        let frame: &[&str] = &["#....", "#...."];
        check(
            &[frame, frame],
            false,
            &["0..8, 0..4, 2 cells", "8..16, 0..4, 2 cells"],
        );
    }

    #[test]
    fn two_arms_above_that_meet_below_are_one_flaw() {
        check(
            &[&["#.......#"], &["#########"]],
            true,
            &["0..8, 0..36, 11 cells"],
        );
    }

    #[test]
    fn one_flaw_above_joins_two_below() {
        check(
            &[&["#########"], &["#.......#"], &["#.......#"]],
            true,
            &["0..12, 0..36, 13 cells"],
        );
    }

    #[test]
    fn a_gap_over_the_border_is_bridged_like_any_other() {
        check(&[&["#", "."], &[".", "#"]], true, &["0..16, 0..4, 2 cells"]);
        check(
            &[&["#", ".", "."], &[".", "#"]],
            true,
            &["0..4, 0..4, 1 cells", "16..20, 0..4, 1 cells"],
        );
    }
}
