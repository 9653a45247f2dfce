//! How far cells usually are from their reference, here and not where they were taught.
//!
//! ```text
//! distances of a block ─▶ median ─▶ ÷ what was taught ─▶ √
//! ```
//!
//! Lots differ: what makes the same texture livelier than it was taught would bring all of it nearer to
//! the threshold. Distances are divided by the root of the level: the level
//! itself would make a quiet lot's noise into flaws (on three plain weaves the pixels' AUROC rose
//! from 0.960 to 0.967 by the root, and the strips' fell from 0.94 to 0.91 by the level itself). A
//! flaw that fills less than half of a block does not move its median. Blocks before this one have
//! no say, so a lane that is gone on with after a break is judged as if there had been none.

use crate::features::Block;
use crate::quantile::quantile;
use crate::reference::Grown;

/// Every so many cells count; a median needs no more.
const CELL_STEP: usize = 7;
/// Levels beyond which it is not merely another lot.
const LEVELS: (f32, f32) = (0.25, 4.0);

/// Divides distances by the root of their level: of what their `median` is of the `usual` one.
pub(crate) fn take_off(distances: &mut Grown, median: f32, usual: f32) {
    let level = median / usual.max(f32::MIN_POSITIVE);
    let share = level.clamp(LEVELS.0, LEVELS.1).sqrt().recip();
    distances.values.mapv_inplace(|distance| distance * share);
}

/// The median of a block's judged distances; 0 where there are none.
pub(crate) fn median(block: &Block, distances: &Grown) -> f32 {
    let own = distances.block();
    let judged = block.judged.len();
    let mut sample: Vec<f32> = (0..block.rows * judged)
        .step_by(CELL_STEP)
        .map(|at| own[[at / judged, block.judged.start + at % judged]])
        .collect();
    quantile(&mut sample, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Rim;
    use ndarray::Array2;

    #[test]
    fn a_flaw_that_fills_a_third_does_not_move_the_median() {
        let (rows, cols) = (10, 30);
        let block = Block {
            rows,
            cols,
            judged: 0..cols,
            above: Rim::Mirrored,
            below: Rim::Mirrored,
            left: Rim::Mirrored,
            right: Rim::Mirrored,
            continues: true,
            patches: Vec::new(),
        };
        let mut values = Array2::from_elem((rows, cols), 2.0);
        values.slice_mut(ndarray::s![.., ..10]).fill(100.0);
        let distances = Grown {
            values,
            above: 0,
            rows,
        };
        assert_eq!(median(&block, &distances), 2.0);
    }

    #[test]
    fn a_lively_lot_is_brought_half_way_back() {
        let mut distances = Grown {
            values: Array2::from_elem((1, 1), 8.0),
            above: 0,
            rows: 1,
        };
        take_off(&mut distances, 8.0, 2.0);
        assert_eq!(distances.values[[0, 0]], 4.0);
    }
}
