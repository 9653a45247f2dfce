//! What a column of cells usually looks like, and how far cells are from it.
//!
//! ```text
//! block ─▶ column sums ─┐
//! blocks before it ─────┴▶ mean per column ─▶ smoothed across columns ─▶ distance of each cell
//! ```
//!
//! The reference of a block is a function of a finite window of rows: the block's own and
//! those of the blocks before it, newest first, until the window is full. It never depends on
//! timing or on how many workers there are. A column in which a flaw runs keeps the reference
//! that it had before, however long the flaw; where nothing was before, [`window`] says what it is
//! held against. What is not usual is left out of what later
//! blocks see, so a running flaw does not become usual. A column without a single row to go by
//! is held against the mean of all good cloth, which is zero in whitened features.
//!
//! Memory is the window's: one row of sums per block.

mod window;

use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::features::{Block, Patch, Rim};
use crate::smoothing::{Beyond, half_kernel, smooth_into};

pub(crate) use self::window::Window;

/// Rows beyond a joined rim whose distance is computed too, for the smoothing.
pub(crate) const RIM_ROWS: usize = 3;
/// Columns beside a selvedge whose pattern is not the taught one: the cloth's edge wanders.
const RIM_COLUMNS: usize = 8;
/// Share of the good cloth in which a column must have been seen to be known from it.
const KNOWN_SHARE: f32 = 0.75;

/// A cell that is not like its column's reference, and so not learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnusualCell {
    /// Row of the block.
    pub(crate) row: usize,
    /// Column of the block.
    pub(crate) col: usize,
    /// Whether it is above the threshold, and not merely near it.
    pub(crate) is_flagged: bool,
}

/// Sums over rows, per feature and column.
#[derive(Clone)]
struct Sums {
    /// `[k, cols]`.
    values: Array2<f32>,
    /// Rows that were added, per column.
    counts: Vec<f32>,
    /// Rows of the block they come from.
    rows: usize,
}

/// A block's reference, with what is needed to remember the block afterwards.
pub(crate) struct Reference {
    /// `[k, cols]`.
    values: Array2<f32>,
    own: Sums,
    /// Which columns are known by their past, so that a line in them can be told from a yarn.
    pub(crate) is_known: Vec<bool>,
    /// How often the start threshold columns without a past are from what they should look like,
    /// where it is more than once; else zero.
    pub(crate) far: Vec<f32>,
}

impl Sums {
    /// Mean of each column, zero where it has no rows.
    fn means(&self) -> Array2<f32> {
        let mut means = self.values.clone();
        for mut row in means.rows_mut() {
            for (sum, count) in row.iter_mut().zip(&self.counts) {
                *sum /= count.max(1.0);
            }
        }
        means
    }

    /// Squared distance of a column's mean from `other`.
    fn distance(&self, col: usize, other: ArrayView1<'_, f32>) -> f32 {
        let count = self.counts[col].max(1.0);
        let sums = self.values.column(col);
        let differences = sums
            .iter()
            .zip(other)
            .map(|(sum, other)| sum / count - other);
        differences.map(|difference| difference * difference).sum()
    }

    /// Forgets the columns that are marked.
    fn forget(&mut self, is_out: &[bool]) {
        for (col, _) in is_out.iter().enumerate().filter(|(_, is_out)| **is_out) {
            self.values.column_mut(col).fill(0.0);
            self.counts[col] = 0.0;
        }
    }
}

/// Sums of all blocks of a lane, of whatever rows.
#[derive(Clone, Default)]
pub(crate) struct ColumnSums {
    total: Option<Sums>,
    n_rows: usize,
}

impl ColumnSums {
    fn add(&mut self, own: &Sums, judged: &Range<usize>) {
        let mut own = own.clone();
        let inner = without_rims(judged);
        let is_rim: Vec<bool> = (0..own.counts.len())
            .map(|col| !inner.contains(&col))
            .collect();
        own.forget(&is_rim);
        self.n_rows += own.rows;
        match &mut self.total {
            Some(total) if total.values.dim() == own.values.dim() => {
                total.values += &own.values;
                let counts = total.counts.iter_mut().zip(&own.counts);
                counts.for_each(|(count, more)| *count += more);
            }
            Some(_) => {}
            None => self.total = Some(own),
        }
    }

    /// Sums `[k, cols]` and rows added per column, for keeping; `None` when no block was added.
    pub(crate) fn sums(&self) -> Option<(&Array2<f32>, &[f32])> {
        let total = self.total.as_ref()?;
        Some((&total.values, &total.counts))
    }

    /// Rows of all blocks.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// What was kept of one; there is one count for each column.
    pub(crate) fn of_parts(sums: Option<(Array2<f32>, Vec<f32>)>, n_rows: usize) -> Self {
        let total = sums.map(|(values, counts)| Sums {
            values,
            counts,
            rows: n_rows,
        });
        Self { total, n_rows }
    }

    /// Mean of each column, and which columns most of the cloth was seen in.
    pub(crate) fn means(&self) -> Option<(Array2<f32>, Vec<bool>)> {
        let total = self.total.as_ref()?;
        let least = KNOWN_SHARE * self.n_rows as f32;
        let is_known = total.counts.iter().map(|count| *count >= least).collect();
        Some((total.means(), is_known))
    }
}

impl Reference {
    /// Mean squared difference of each judged cell from its column's reference, over a block
    /// grown by [`RIM_ROWS`] rows at each joined rim; zero outside the judged columns.
    pub(crate) fn distances(&self, block: &Block) -> Grown {
        let mut grown = Grown::new(block);
        let k_all = self.values.nrows() as f32;
        for patch in &block.patches {
            let (in_patch, in_block) = patch.columns(&block.judged);
            if in_patch.is_empty() {
                continue;
            }
            let (rows, first) = grown.rows_of(block, patch);
            let width = patch.features.shape()[2];
            let mut k = 0;
            while k < self.values.nrows() {
                let n_planes = (self.values.nrows() - k).min(PLANES_AT_ONCE);
                for (offset, row) in rows.clone().enumerate() {
                    let to = grown.row_mut(first + offset, &in_block);
                    let lane = |i: usize| Lane {
                        values: &patch.features.plane(k + i)[row * width..][in_patch.clone()],
                        usual: &self.row(k + i)[in_block.clone()],
                    };
                    if n_planes == PLANES_AT_ONCE {
                        add_squares(to, &[lane(0), lane(1), lane(2), lane(3)]);
                    } else {
                        (0..n_planes).for_each(|i| add_squares(to, &[lane(i)]));
                    }
                }
                k += n_planes;
            }
        }
        grown.values.mapv_inplace(|sum| sum / k_all);
        grown
    }

    /// Adds the block's own sums to those of its lane.
    pub(crate) fn add_to(&self, sums: &mut ColumnSums, judged: &Range<usize>) {
        sums.add(&self.own, judged);
    }

    /// Mean features of each of the block's columns, `[k, cols]`, and its rows of cells.
    pub(crate) fn own_means(&self) -> (Array2<f32>, usize) {
        (self.own.means(), self.own.rows)
    }

    /// The reference of one kind of feature, over all columns.
    fn row(&self, k: usize) -> &[f32] {
        let cols = self.values.ncols();
        let values = self
            .values
            .as_slice()
            .expect("an owned array in standard layout");
        &values[k * cols..(k + 1) * cols]
    }

    /// Features of a patch's kept and judged cells relative to the reference, `[k, cells]`.
    pub(crate) fn relative(&self, block: &Block, patch: &Patch) -> Array2<f32> {
        let (in_patch, in_block) = patch.columns(&block.judged);
        let width = patch.features.shape()[2];
        let k_all = self.values.nrows();
        let n_cells = patch.kept.rows.len() * in_patch.len();
        let mut relative = Vec::with_capacity(k_all * n_cells);
        for k in 0..k_all {
            let plane = patch.features.plane(k);
            let usual = self.values.row(k);
            for row in patch.kept.rows.clone() {
                let from = &plane[row * width..][in_patch.clone()];
                relative.extend(
                    from.iter()
                        .zip(usual.iter().skip(in_block.start))
                        .map(|(value, usual)| value - usual),
                );
            }
        }
        Array2::from_shape_vec((k_all, n_cells), relative)
            .expect("every feature pushed one value per cell")
    }
}

/// Kinds of features that are taken in one go over a row of the map: the map's row would
/// otherwise be fetched and stored once per kind.
const PLANES_AT_ONCE: usize = 4;

/// One kind of feature along a row, and its reference.
#[derive(Clone, Copy)]
struct Lane<'a> {
    values: &'a [f32],
    usual: &'a [f32],
}

/// Adds squared differences to `to`, in the order of `lanes`, so that the sum does not depend on
/// how many are taken at once.
fn add_squares<const N: usize>(to: &mut [f32], lanes: &[Lane<'_>; N]) {
    let n = to.len();
    let lanes = lanes.map(|lane| (&lane.values[..n], &lane.usual[..n]));
    for (i, to) in to.iter_mut().enumerate() {
        let mut sum = *to;
        for (values, usual) in lanes {
            let difference = values[i] - usual[i];
            sum += difference * difference;
        }
        *to = sum;
    }
}

/// A map of a block's cells with a few more rows at its joined rims.
#[derive(Clone)]
pub(crate) struct Grown {
    /// `[above + rows + below, cols]`.
    pub(crate) values: Array2<f32>,
    /// Extra rows at the top.
    pub(crate) above: usize,
    /// Rows of the block itself.
    pub(crate) rows: usize,
}

impl Grown {
    fn new(block: &Block) -> Self {
        let extra = |rim| if rim == Rim::Joined { RIM_ROWS } else { 0 };
        let (above, below) = (extra(block.above), extra(block.below));
        Self {
            values: Array2::zeros((above + block.rows + below, block.cols)),
            above,
            rows: block.rows,
        }
    }

    /// The rows of `patch` that this map wants, and where the first of them goes.
    fn rows_of(&self, block: &Block, patch: &Patch) -> (Range<usize>, usize) {
        let mut rows = patch.kept.rows.clone();
        let mut first = self.above + patch.row;
        if patch.row == 0 {
            rows.start -= self.above;
            first = 0;
        }
        if patch.row + patch.kept.rows.len() == block.rows {
            rows.end += self.values.nrows() - self.above - self.rows;
        }
        (rows, first)
    }

    /// The judged cells that no patch of `block` gave a value; `None` when there are none.
    pub(crate) fn missing(&self, block: &Block) -> Option<Array2<bool>> {
        if block.n_covered() == block.n_judged() {
            return None;
        }
        let mut missing = Array2::from_elem(self.values.dim(), false);
        let cols = block.judged.clone();
        missing.slice_mut(ndarray::s![.., cols]).fill(true);
        for patch in &block.patches {
            let (_, cols) = patch.columns(&block.judged);
            let (rows, first) = self.rows_of(block, patch);
            missing
                .slice_mut(ndarray::s![first..first + rows.len(), cols])
                .fill(false);
        }
        Some(missing)
    }

    /// The rows of a map shaped like this one that are the block's own.
    pub(crate) fn own_rows(&self) -> Range<usize> {
        self.above..self.above + self.rows
    }

    fn row_mut(&mut self, row: usize, cols: &Range<usize>) -> &mut [f32] {
        let width = self.values.ncols();
        let values = self
            .values
            .as_slice_mut()
            .expect("an owned array in standard layout");
        &mut values[row * width..][cols.clone()]
    }

    /// The block's own cells.
    pub(crate) fn block(&self) -> ArrayView2<'_, f32> {
        self.values.slice(ndarray::s![self.own_rows(), ..])
    }
}

/// The judged columns that no selvedge or picture's end touches.
pub(crate) fn without_rims(judged: &Range<usize>) -> Range<usize> {
    let start = (judged.start + RIM_COLUMNS).min(judged.end);
    start..judged.end.saturating_sub(RIM_COLUMNS).max(start)
}

fn sums(block: &Block) -> Sums {
    let n_features = block
        .patches
        .first()
        .map_or(0, |patch| patch.features.shape()[0]);
    let mut values = Array2::<f32>::zeros((n_features, block.cols));
    let mut counts = vec![0.0; block.cols];
    for patch in &block.patches {
        let (in_patch, in_block) = patch.columns(&block.judged);
        for count in &mut counts[in_block.clone()] {
            *count += patch.kept.rows.len() as f32;
        }
        let shift = patch.kept.cols.start;
        let kept = patch.sums.slice(ndarray::s![
            ..,
            in_patch.start - shift..in_patch.end - shift
        ]);
        let mut sums = values.slice_mut(ndarray::s![.., in_block]);
        sums += &kept;
    }
    Sums {
        values,
        counts,
        rows: block.rows,
    }
}

/// Takes those of `cells` that `patch` keeps off the sums, but for the columns that are `out` as
/// a whole.
fn leave_out(
    patch: &Patch,
    judged: &Range<usize>,
    own: &mut Sums,
    (cells, out): (&[UnusualCell], &[bool]),
) {
    let (in_patch, in_block) = patch.columns(judged);
    let width = patch.features.shape()[2];
    let in_rows = patch.row..patch.row + patch.kept.rows.len();
    let is_kept = |cell: &&UnusualCell| {
        in_rows.contains(&cell.row) && in_block.contains(&cell.col) && !out[cell.col]
    };
    for cell in cells.iter().filter(is_kept) {
        let row = cell.row - patch.row + patch.kept.rows.start;
        let from = row * width + cell.col - in_block.start + in_patch.start;
        own.counts[cell.col] -= 1.0;
        for (k, mut sums) in own.values.outer_iter_mut().enumerate() {
            sums[cell.col] -= patch.features.plane(k)[from];
        }
    }
}

fn smoothed_mean(total: &Sums, judged: &Range<usize>, smooth_cells: f32) -> Array2<f32> {
    let kernel = half_kernel(smooth_cells);
    let n = judged.len();
    let (mut counts, mut smooth, mut padded) = (vec![0.0; n], vec![0.0; n], Vec::new());
    let mut smooth_judged = |to: &mut [f32], from: &[f32]| {
        smooth_into(
            to,
            &from[judged.clone()],
            &kernel,
            Beyond::Nothing,
            &mut padded,
        );
    };
    smooth_judged(&mut counts, &total.counts);
    let mut mean = Array2::zeros(total.values.dim());
    for (sums, mut means) in total.values.outer_iter().zip(mean.outer_iter_mut()) {
        let sums = sums
            .to_slice()
            .expect("rows of an owned array are contiguous");
        smooth_judged(&mut smooth, sums);
        for ((mean, sum), count) in means
            .iter_mut()
            .skip(judged.start)
            .zip(&smooth)
            .zip(&counts)
        {
            *mean = if *count > 0.5 { sum / count } else { 0.0 };
        }
    }
    mean
}
