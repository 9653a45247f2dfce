//! Good cloth in, a lesson out.
//!
//! ```text
//! blocks ─▶ Teacher ─▶ Whitening ─▶ the same blocks again ─▶ Rehearsal ─▶ Lesson
//!            (spread of features)     (each judged by folds that did not see it)
//! ```
//!
//! Features are raw here: whitening is what is being found. The first pass gathers, per fold,
//! how features spread around their column's reference, and how texels vary together; the second
//! judges every block by the spread of the other folds, because a block that was fitted looks better than it is. Memory
//! does not grow with the cloth but for a few numbers per block: the first pass holds a few
//! matrices, the second at most so many maps; see [`Rehearsal::wants_again`].

mod grain;
mod kinds;
mod memory;
mod outliers;
mod rehearsal;
mod rims;
mod spread;
mod usual;

pub use memory::{MOST_FRAMES, Memory};
pub use outliers::{MOST_LEFT_OUT, Outlier, Strange};
pub use rehearsal::{Lesson, Rehearsal};
pub use spread::{Teacher, Whitener, Whitening};

use crate::passport::ReferenceSettings;

/// Groups into which good cloth is dealt in turn; each is judged by the others. With as many as
/// strips are usually taught, a strip is judged by all others, as a new one will be.
const N_FOLDS: usize = 12;

/// Pictures below which nothing can be held out.
pub const FEWEST_BLOCKS: usize = 2;

/// The reference's settings that every article is taught with.
///
/// 250 mm of past cloth are some thousand weft threads; lamps and sensors drift more slowly.
/// Smoothing over two cells lets a column with a broken end be held against its neighbours
/// (measured on three plain weaves: two cells, strip AUROC 0.93; none, 0.85).
pub const REFERENCE: ReferenceSettings = ReferenceSettings {
    window_mm: 250.0,
    smooth_cells: 2.0,
};

#[cfg(test)]
mod tests;
