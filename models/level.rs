//! How far cells usually are from their reference, here and not where they were taught.
//!
//! ```text
//! distances of a block ─▶ median ─▶ ÷ what was taught = level
//! distance ─▶ − usual × level ─▶ ÷ √level
//! ```
//!
//! Lots differ: what makes the same texture livelier than it was taught brings all of it nearer to
//! the threshold. What is usual is so by the block's level: with the taught one taken off, all of a
//! lively lot would rank above a quiet lot's faint flaws (on three plain weaves the pixels' AUROC
//! rose from 0.963 to 0.972 and AU-PRO from 0.933 to 0.961, better on each of them; as many strips
//! were flagged on their flaw, 66 of 76, and an eighth fewer places away from one). What is left
//! is divided by the root of the level only: the level itself would make a quiet lot's noise into
//! flaws (the strips' AUROC fell from 0.94 to 0.91 by it). A flaw that fills less than half of a
//! block does not move its median. Blocks before this one have no say, so a lane that is gone on
//! with after a break is judged as if there had been none.

use crate::features::Block;
use crate::quantile::quantile;
use crate::reference::Grown;

/// At least every so many cells count; a median needs no more.
const CELL_STEP: usize = 7;
/// Levels beyond which it is not merely another lot.
const LEVELS: (f32, f32) = (0.25, 4.0);

/// The level of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level(f32);

impl Level {
    /// What the `median` distance of a block is of the `usual` one.
    pub(crate) fn of(median: f32, usual: f32) -> Self {
        let level = median / usual.max(f32::MIN_POSITIVE);
        Self(level.clamp(LEVELS.0, LEVELS.1))
    }

    /// What a distance that was `taught` as usual is here.
    pub(crate) fn of_taught(self, taught: f32) -> f32 {
        taught * self.0
    }

    /// What a distance beyond the usual one is multiplied by.
    pub(crate) fn share(self) -> f32 {
        self.0.sqrt().recip()
    }
}

/// The median of a block's judged distances; 0 where there are none. A cell that no patch keeps has
/// no distance.
pub(crate) fn median(block: &Block, distances: &Grown) -> f32 {
    let own = distances.block();
    let judged = block.judged.len();
    let mut sample: Vec<f32> = (0..block.rows * judged)
        .step_by(cell_step(judged))
        .map(|at| own[[at / judged, block.judged.start + at % judged]])
        .filter(|distance| *distance > 0.0)
        .collect();
    quantile(&mut sample, 0.5)
}

/// The first step from [`CELL_STEP`] on that shares no factor with the judged width, so that each
/// row's cells are of other columns than the last one's: lamps and selvedges differ by column.
fn cell_step(judged: usize) -> usize {
    let mut step = CELL_STEP;
    while greatest_common_divisor(judged.max(1), step) > 1 {
        step += 1;
    }
    step
}

fn greatest_common_divisor(mut one: usize, mut other: usize) -> usize {
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Rim;
    use ndarray::Array2;

    fn block(rows: usize, cols: usize) -> Block {
        Block {
            rows,
            cols,
            judged: 0..cols,
            above: Rim::Mirrored,
            below: Rim::Mirrored,
            left: Rim::Mirrored,
            right: Rim::Mirrored,
            continues: true,
            patches: Vec::new(),
        }
    }

    fn grown(values: Array2<f32>) -> Grown {
        Grown {
            above: 0,
            rows: values.nrows(),
            values,
        }
    }

    #[test]
    fn a_flaw_that_fills_a_third_does_not_move_the_median() {
        let (rows, cols) = (10, 30);
        let block = block(rows, cols);
        let mut values = Array2::from_elem((rows, cols), 2.0);
        values.slice_mut(ndarray::s![.., ..10]).fill(100.0);
        assert_eq!(median(&block, &grown(values)), 2.0);
    }

    #[test]
    fn cells_that_no_patch_keeps_do_not_move_the_median() {
        let (rows, cols) = (10, 30);
        let block = block(rows, cols);
        let mut values = Array2::zeros((rows, cols));
        values.slice_mut(ndarray::s![.., ..10]).fill(2.0);
        assert_eq!(median(&block, &grown(values)), 2.0);
    }

    #[test]
    fn every_column_counts_alike_whatever_the_width() {
        for cols in [1, 7, 12, 14, 28, 30, 210, 240, 1001, 2310] {
            let step = cell_step(cols);
            assert!((CELL_STEP..2 * CELL_STEP).contains(&step), "{cols}: {step}");
            // As many rows as the step is long hold each column once.
            let mut n_of_column = vec![0; cols];
            for at in (0..step * cols).step_by(step) {
                n_of_column[at % cols] += 1;
            }
            assert!(n_of_column.iter().all(|n| *n == 1), "{cols}: {step}");
        }
    }

    #[test]
    fn single_columns_do_not_make_the_median_of_a_width_that_the_step_divides() {
        let (rows, cols) = (20, 4 * CELL_STEP);
        let block = block(rows, cols);
        let values =
            Array2::from_shape_fn(
                (rows, cols),
                |(_, col)| {
                    if col % CELL_STEP == 0 { 100.0 } else { 2.0 }
                },
            );
        assert_eq!(median(&block, &grown(values)), 2.0);
    }

    #[test]
    fn a_block_of_which_nothing_is_judged_has_no_median() {
        let block = block(10, 0);
        assert_eq!(median(&block, &grown(Array2::zeros((10, 0)))), 0.0);
    }

    #[test]
    fn a_lively_lot_is_usual_by_itself_and_its_noise_brought_half_way_back() {
        let level = Level::of(8.0, 2.0);
        assert_eq!(level.of_taught(2.0), 8.0);
        assert_eq!(level.of_taught(3.0), 12.0);
        assert_eq!(level.share(), 0.5);
    }

    #[test]
    fn what_is_far_beyond_other_lots_is_not_usual() {
        assert!(Level::of(100.0, 2.0).of_taught(2.0) < 10.0);
    }
}
