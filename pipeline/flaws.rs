//! Connected regions of a score map.
//!
//! A region is a set of cells at or above a level, connected over gaps of at most
//! [`BRIDGED_CELLS`] cells, so that a torn yarn is one region and not its fibres. Where a
//! region comes near the first or last row it keeps its columns there, for `stitch` to go on
//! with. Coordinates are cells of one frame; nothing here knows a millimetre.

use std::ops::Range;

use models::ScoreMap;

/// Cells without a score that a region may bridge, in any direction.
pub const BRIDGED_CELLS: usize = 2;

/// A connected set of cells of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Rows, half-open.
    pub rows: Range<usize>,
    /// Columns, half-open.
    pub cols: Range<usize>,
    /// Cells at or above the level.
    pub n_cells: usize,
    /// Those of them that are this lane's own.
    pub n_owned: usize,
    /// Highest score, 1.0 = threshold.
    pub highest: f32,
    /// Where it is: row, column.
    pub peak: (usize, usize),
    /// Columns and distance from the frame's first row, of cells that may be connected to the
    /// frame before.
    pub top: Vec<RimCell>,
    /// The same from the last row, for the frame behind.
    pub bottom: Vec<RimCell>,
    /// The part that the lane on the left may see too.
    pub left: Option<CellBox>,
    /// The part that the lane on the right may see too.
    pub right: Option<CellBox>,
}

/// Rows and columns of cells, half-open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellBox {
    /// Rows.
    pub rows: Range<usize>,
    /// Columns.
    pub cols: Range<usize>,
}

/// Which columns of cells a lane shares with the lanes beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Columns before this one may belong to a flaw that the lane on the left sees.
    pub left: usize,
    /// Columns from this one on may belong to a flaw that the lane on the right sees.
    pub right: usize,
    /// Columns that are this lane's own.
    pub owned: Range<usize>,
}

impl Sides {
    /// A lane with nothing beside it.
    pub const ALONE: Sides = Sides {
        left: 0,
        right: usize::MAX,
        owned: 0..usize::MAX,
    };
}

/// A cell near a frame's first or last row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RimCell {
    /// Its column.
    pub col: usize,
    /// Rows between it and the rim.
    pub depth: usize,
}

/// The regions of `map` at `level`, in order of their first cell, for a lane with these `sides`.
pub fn regions(map: &ScoreMap, level: f32, sides: &Sides) -> Vec<Region> {
    let (n_rows, n_cols) = map.scores.dim();
    let mut cells: Vec<(usize, usize)> = Vec::new();
    // Index of a row's first cell in `cells`.
    let mut starts = vec![0; n_rows + 1];
    for (row, scores) in map.scores.outer_iter().enumerate() {
        for col in map.judged.clone() {
            if scores[col] >= level {
                cells.push((row, col));
            }
        }
        starts[row + 1] = cells.len();
    }
    let mut groups = Groups::new(cells.len());
    let reach = BRIDGED_CELLS + 1;
    for (index, &(row, col)) in cells.iter().enumerate() {
        let first_row = row.saturating_sub(reach);
        for above in first_row..=row {
            let candidates = &cells[starts[above]..starts[above + 1]];
            let from = candidates.partition_point(|cell| cell.1 + reach < col);
            for (offset, cell) in candidates[from..].iter().enumerate() {
                let other = starts[above] + from + offset;
                if cell.1 > col + reach || other >= index {
                    break;
                }
                groups.join(index, other);
            }
        }
    }
    let mut found: Vec<Region> = Vec::new();
    let mut region_of_root = vec![usize::MAX; cells.len()];
    for (index, &(row, col)) in cells.iter().enumerate() {
        let root = groups.root(index);
        if region_of_root[root] == usize::MAX {
            region_of_root[root] = found.len();
            found.push(Region::at(row, col));
        }
        let region = &mut found[region_of_root[root]];
        region.add(row, col, map.scores[[row, col]], n_rows);
        region.note_sides(row, col, sides);
    }
    debug_assert!(found.iter().all(|region| region.cols.end <= n_cols));
    found
}

impl Region {
    /// A region without cells yet, where its first one is.
    fn at(row: usize, col: usize) -> Self {
        Self {
            rows: row..row,
            cols: col..col,
            n_cells: 0,
            n_owned: 0,
            highest: f32::NEG_INFINITY,
            peak: (0, 0),
            top: Vec::new(),
            bottom: Vec::new(),
            left: None,
            right: None,
        }
    }

    fn note_sides(&mut self, row: usize, col: usize, sides: &Sides) {
        self.n_owned += usize::from(sides.owned.contains(&col));
        for (is_shared, part) in [
            (col < sides.left, &mut self.left),
            (col >= sides.right, &mut self.right),
        ] {
            if is_shared {
                let part = part.get_or_insert(CellBox {
                    rows: row..row,
                    cols: col..col,
                });
                part.rows.end = row + 1;
                part.cols = part.cols.start.min(col)..part.cols.end.max(col + 1);
            }
        }
    }

    fn add(&mut self, row: usize, col: usize, score: f32, n_rows: usize) {
        self.rows = self.rows.start.min(row)..self.rows.end.max(row + 1);
        self.cols = self.cols.start.min(col)..self.cols.end.max(col + 1);
        self.n_cells += 1;
        if score > self.highest {
            self.highest = score;
            self.peak = (row, col);
        }
        if row <= BRIDGED_CELLS {
            self.top.push(RimCell { col, depth: row });
        }
        let depth = n_rows - 1 - row;
        if depth <= BRIDGED_CELLS {
            self.bottom.push(RimCell { col, depth });
        }
    }
}

/// Disjoint sets of things numbered from 0.
pub(crate) struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    /// `n` things, each alone.
    pub(crate) fn new(n: usize) -> Self {
        Self {
            parent: (0..n).collect(),
        }
    }

    /// The number that stands for the set of `at`.
    pub(crate) fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    /// Makes the sets of `a` and `b` one.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// A map from a drawing: `#` is flagged.
    fn map(drawing: &[&str]) -> ScoreMap {
        let cols = drawing[0].len();
        let mut scores = Array2::zeros((drawing.len(), cols));
        for (row, line) in drawing.iter().enumerate() {
            for (col, mark) in line.chars().enumerate() {
                if mark == '#' {
                    scores[[row, col]] = 2.0;
                }
            }
        }
        ScoreMap {
            scores,
            judged: 0..cols,
        }
    }

    fn boxes(drawing: &[&str]) -> Vec<(Range<usize>, Range<usize>, usize)> {
        regions(&map(drawing), 1.0, &Sides::ALONE)
            .into_iter()
            .map(|region| (region.rows, region.cols, region.n_cells))
            .collect()
    }

    #[test]
    fn gaps_up_to_two_cells_are_bridged_and_no_more() {
        assert_eq!(boxes(&["#..#......"]), [(0..1, 0..4, 2)]);
        assert_eq!(boxes(&["#...#....."]), [(0..1, 0..1, 1), (0..1, 4..5, 1)]);
        assert_eq!(
            boxes(&["#.....", "......", "......", "...#.."]),
            [(0..4, 0..4, 2)]
        );
    }

    #[test]
    fn a_crooked_line_is_one_region() {
        assert_eq!(
            boxes(&["#.......", ".#......", "..####..", "......#.", ".......#"]),
            [(0..5, 0..8, 8)]
        );
    }

    #[test]
    fn two_arms_that_meet_below_are_one_region() {
        assert_eq!(
            boxes(&["#......#", "#......#", "########"]),
            [(0..3, 0..8, 12)]
        );
    }

    #[test]
    fn cells_near_the_rims_are_kept_for_stitching() {
        let region = &regions(
            &map(&["....", ".#..", "....", "....", "..#."]),
            1.0,
            &Sides::ALONE,
        )[0];
        assert_eq!(region.top, [RimCell { col: 1, depth: 1 }]);
        assert_eq!(region.bottom, [RimCell { col: 2, depth: 0 }]);
    }

    #[test]
    fn what_is_not_judged_makes_no_region() {
        let mut map = map(&["####"]);
        map.judged = 3..4;
        let found = regions(&map, 1.0, &Sides::ALONE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].cols, 3..4);
    }

    #[test]
    fn what_the_lanes_beside_may_see_is_told() {
        let sides = Sides {
            left: 2,
            right: 6,
            owned: 1..7,
        };
        let found = regions(&map(&["##......", "..#...##", "......#."]), 1.0, &sides);
        let part = |rows: Range<usize>, cols: Range<usize>| Some(CellBox { rows, cols });
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].n_cells, found[0].n_owned), (3, 2));
        assert_eq!(
            (&found[0].left, &found[0].right),
            (&part(0..1, 0..2), &None)
        );
        assert_eq!((found[1].n_cells, found[1].n_owned), (3, 2));
        assert_eq!(
            (&found[1].left, &found[1].right),
            (&None, &part(1..3, 6..8))
        );
    }
}
