//! Features of a block of cells, as the tiles of one frame gave them.
//!
//! A [`Block`] is what a frame became: a grid of cells, covered by patches, one per
//! tile. Each patch keeps the whole tile's features, borders included; [`Kept`] says which
//! of its cells count, so nothing is copied between the network and the judgement.
//!
//! A patch sums its columns when it is made: the judgement needs the sums before anything else,
//! and whoever ran the network still has the features in its core's cache, where reading them
//! costs a third of what it costs later. For the same reason it notes how much bands of its columns
//! vary, by which other cloth is told.

use std::ops::Range;

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut1};

/// Columns of a band: wide enough for a steady energy, narrow enough that a flaw fills few.
pub(crate) const BAND: usize = 16;
/// Rows in a patch below which columns have no mean to vary around.
pub(crate) const FEWEST_ROWS: usize = 4;
/// Every so many rows count for the energy; neighbouring rows tell the same.
const ROW_STEP: usize = 8;

/// Features of one tile, `[k, rows, cols]`, in whatever memory they were computed.
pub struct Features {
    shape: [usize; 3],
    values: Box<dyn AsRef<[f32]> + Send>,
    fine: Option<Box<Features>>,
}

impl Features {
    /// Takes features over from a buffer in standard layout. Gives `None` when the buffer
    /// does not hold exactly `shape`.
    pub fn new(shape: [usize; 3], values: Box<dyn AsRef<[f32]> + Send>) -> Option<Self> {
        let expected = shape.iter().product::<usize>();
        ((*values).as_ref().len() == expected).then_some(Self {
            shape,
            values,
            fine: None,
        })
    }

    /// The same with what a tile shows that is finer than features: at teaching the texels of each
    /// cell, later how much each kind of spot stands out. Gives `None` when `fine` has other cells.
    pub fn with_fine(self, fine: Features) -> Option<Self> {
        (fine.shape[1..] == self.shape[1..]).then_some(Self {
            fine: Some(Box::new(fine)),
            ..self
        })
    }

    /// Takes features over from an array.
    pub fn from_array(values: Array3<f32>) -> Self {
        let (k, rows, cols) = values.dim();
        let values = values.as_standard_layout().into_owned();
        let (values, offset) = values.into_raw_vec_and_offset();
        debug_assert_eq!(
            offset.unwrap_or(0),
            0,
            "an owned standard array starts at 0"
        );
        Self {
            shape: [k, rows, cols],
            values: Box::new(values),
            fine: None,
        }
    }

    /// The features, `[k, rows, cols]`.
    pub fn view(&self) -> ArrayView3<'_, f32> {
        ArrayView3::from_shape(self.shape, (*self.values).as_ref())
            .expect("the length was checked when the features were made")
    }

    /// All features of one kind, row by row.
    pub(crate) fn plane(&self, k: usize) -> &[f32] {
        let size = self.shape[1] * self.shape[2];
        &(*self.values).as_ref()[k * size..(k + 1) * size]
    }

    /// Kinds of what is finer than features.
    pub fn n_fine(&self) -> usize {
        self.fine.as_ref().map_or(0, |fine| fine.shape[0])
    }

    /// One of them, `[rows, cols]`.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn fine(&self, n: usize) -> ArrayView2<'_, f32> {
        let fine = self
            .fine
            .as_ref()
            .expect("the caller asks for what there is");
        ArrayView2::from_shape((fine.shape[1], fine.shape[2]), fine.plane(n))
            .expect("a plane has as many values as cells")
    }

    /// `[k, rows, cols]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }
}

/// Which cells of a patch count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Rows of the patch.
    pub rows: Range<usize>,
    /// Columns of the patch.
    pub cols: Range<usize>,
}

/// The features of one tile, and where they belong.
pub struct Patch {
    /// All of the tile's features.
    pub features: Features,
    /// Those that count.
    pub kept: Kept,
    /// Row of the block where the first kept row goes.
    pub row: usize,
    /// Column of the block where the first kept column goes.
    pub col: usize,
    /// Sums over the kept rows, `[k, kept columns]`.
    pub(crate) sums: Array2<f32>,
    /// How much bands of the kept columns vary, `[k, bands]`.
    pub(crate) energies: Array2<f32>,
}

/// What lies beyond a side of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rim {
    /// More of the same, known: the neighbouring frame, seen by the network too.
    Joined,
    /// The picture ended; the network saw its mirror image.
    Mirrored,
    /// What is judged ended (at a selvedge); the network saw its mirror image.
    Ended,
}

/// The features of one frame.
pub struct Block {
    /// Rows of cells.
    pub rows: usize,
    /// Columns of cells.
    pub cols: usize,
    /// Columns that are judged and learned from.
    pub judged: Range<usize>,
    /// What lies above the first row.
    pub above: Rim,
    /// What lies below the last row.
    pub below: Rim,
    /// What lies left of `judged`.
    pub left: Rim,
    /// What lies right of `judged`.
    pub right: Rim,
    /// Whether the blocks before this one may say what is usual here.
    pub continues: bool,
    /// One per tile; together they keep every cell of the judged columns once.
    pub patches: Vec<Patch>,
}

impl Block {
    /// Whether what is judged ends left and right, at the cloth's edges.
    pub(crate) fn ended(&self) -> [bool; 2] {
        [self.left, self.right].map(|rim| rim == Rim::Ended)
    }

    /// Cells that are judged.
    pub fn n_judged(&self) -> usize {
        self.rows * self.judged.len()
    }

    /// Judged cells that the patches keep, each as often as it is kept. Where every cell is kept
    /// once, or else belongs to a tile that failed, this and the failed tiles' judged cells add
    /// up to [`Block::n_judged`].
    pub fn n_covered(&self) -> usize {
        self.patches
            .iter()
            .map(|patch| patch.kept.rows.len() * patch.columns(&self.judged).1.len())
            .sum()
    }
}

impl Patch {
    /// The features of a tile of which `kept` goes to `row`, `col` of its block.
    ///
    /// # Panics
    /// When `kept` reaches beyond the features.
    pub fn new(features: Features, kept: Kept, row: usize, col: usize) -> Self {
        let [n_features, _, width] = features.shape();
        let mut sums = Array2::zeros((n_features, kept.cols.len()));
        let mut energies = Array2::zeros((n_features, kept.cols.len() / BAND));
        let sums_and_energies = sums.outer_iter_mut().zip(energies.outer_iter_mut());
        for (k, (mut sums, energies)) in sums_and_energies.enumerate() {
            let plane = features.plane(k);
            let sums = sums
                .as_slice_mut()
                .expect("rows of an owned array are contiguous");
            for row in kept.rows.clone() {
                let from = &plane[row * width..][kept.cols.clone()];
                for (sum, value) in sums.iter_mut().zip(from) {
                    *sum += value;
                }
            }
            // Now, while the plane is at hand.
            band_energies(energies, plane, width, &kept, sums);
        }
        Self {
            features,
            kept,
            row,
            col,
            sums,
            energies,
        }
    }

    /// The part of the kept columns that lies within `judged`, in the patch and in the block.
    pub(crate) fn columns(&self, judged: &Range<usize>) -> (Range<usize>, Range<usize>) {
        let from = judged
            .start
            .clamp(self.col, self.col + self.kept.cols.len());
        let to = judged.end.clamp(from, self.col + self.kept.cols.len());
        let shift = self.kept.cols.start;
        (from - self.col + shift..to - self.col + shift, from..to)
    }
}

/// Per band of [`BAND`] kept columns of a plane, the mean square of what is left of a cell when its
/// column's mean is taken off; zero where there are too few rows.
fn band_energies(
    energies: ArrayViewMut1<'_, f32>,
    plane: &[f32],
    width: usize,
    kept: &Kept,
    sums: &[f32],
) {
    let n_rows = kept.rows.len();
    if n_rows < FEWEST_ROWS {
        return;
    }
    let sampled = || {
        let rows = kept.rows.clone().skip(n_rows.min(ROW_STEP) / 2);
        rows.step_by(ROW_STEP)
    };
    // A mean of few rows follows them.
    let whole = n_rows as f32 / (n_rows - 1) as f32 / (BAND * sampled().count()) as f32;
    let bands = sums.chunks_exact(BAND).enumerate();
    for (energy, (band, sums)) in energies.into_iter().zip(bands) {
        let mut means = [0.0; BAND];
        for (mean, sum) in means.iter_mut().zip(sums) {
            *mean = sum / n_rows as f32;
        }
        // Summed side by side, so that many cells are taken at once.
        let mut squares = [0.0_f32; BAND];
        for row in sampled() {
            let cells = &plane[row * width + kept.cols.start + band * BAND..][..BAND];
            for ((sum, cell), mean) in squares.iter_mut().zip(cells).zip(&means) {
                *sum += (cell - mean) * (cell - mean);
            }
        }
        *energy = whole * squares.iter().sum::<f32>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A patch of one feature that keeps `rows` × `cols`, at `row`, `col` of its block.
    fn patch(rows: usize, cols: usize, row: usize, col: usize) -> Patch {
        let features = Features::from_array(Array3::zeros((1, rows + 2, cols + 2)));
        let kept = Kept {
            rows: 1..1 + rows,
            cols: 1..1 + cols,
        };
        Patch::new(features, kept, row, col)
    }

    fn block(patches: Vec<Patch>) -> Block {
        Block {
            rows: 8,
            cols: 20,
            judged: 3..17,
            above: Rim::Mirrored,
            below: Rim::Mirrored,
            left: Rim::Ended,
            right: Rim::Ended,
            continues: true,
            patches,
        }
    }

    #[test]
    fn patches_that_tile_the_block_cover_every_judged_cell() {
        let whole = block(vec![
            patch(8, 10, 0, 0),
            patch(5, 10, 0, 10),
            patch(3, 10, 5, 10),
        ]);
        assert_eq!(whole.n_judged(), 8 * 14);
        assert_eq!(whole.n_covered(), whole.n_judged());
    }

    #[test]
    fn a_failed_tile_is_missing_from_what_is_covered() {
        let holed = block(vec![patch(8, 10, 0, 0), patch(3, 10, 5, 10)]);
        assert_eq!(holed.n_covered() + 5 * 7, holed.n_judged());
        assert_eq!(block(Vec::new()).n_covered(), 0);
    }

    #[test]
    fn a_patch_sums_its_kept_cells_column_by_column() {
        let features =
            Array3::from_shape_fn((2, 4, 5), |(k, row, col)| (100 * k + 10 * row + col) as f32);
        let kept = Kept {
            rows: 1..3,
            cols: 2..5,
        };
        let patch = Patch::new(Features::from_array(features), kept, 0, 0);
        let expected = ndarray::array![[34.0, 36.0, 38.0], [234.0, 236.0, 238.0]];
        assert_eq!(patch.sums, expected);
    }

    #[test]
    fn a_patch_beside_the_judged_columns_covers_nothing() {
        let beside = block(vec![patch(8, 3, 0, 0), patch(8, 3, 0, 17)]);
        assert_eq!(beside.n_covered(), 0);
    }

    #[test]
    fn a_band_s_energy_is_what_varies_along_its_columns() {
        let features = Array3::from_shape_fn((1, 64, 40), |(_, row, col)| {
            let sign = if row.count_ones() % 2 == 0 { 1.0 } else { -1.0 };
            100.0 * col as f32 + if col < 16 { 2.0 * sign } else { 0.0 }
        });
        let kept = Kept {
            rows: 0..64,
            cols: 0..40,
        };
        let patch = Patch::new(Features::from_array(features), kept, 0, 0);
        assert_eq!(patch.energies.dim(), (1, 2));
        let [varied, steady] = [0, 1].map(|band| patch.energies[[0, band]]);
        assert!((varied - 4.0).abs() < 0.1, "{varied}");
        assert!(steady < 1e-3, "{steady}");
    }
}
