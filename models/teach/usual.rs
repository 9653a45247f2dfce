//! The usual distance of each column, from a few maps of however much cloth.
//!
//! ```text
//! map of a block ─▶ median per column ─▶ every so many blocks ─▶ median of medians ─▶ smoothed
//! ```
//!
//! Memory is flat: when [`MOST_KEPT`] blocks are kept, every second is let go, and from then on
//! every second, every fourth ... is taken, so that they cover the cloth evenly.

use std::ops::Range;

use ndarray::ArrayView2;

use crate::quantile::quantile;
use crate::smoothing::{Beyond, half_kernel, smooth_into};

/// Blocks of a lane that are kept at most.
pub(super) const MOST_KEPT: usize = 64;
/// Standard deviation of the smoothing of the usual distance across columns, in cells.
const SMOOTH_USUAL_CELLS: f32 = 8.0;

/// An even choice of what comes, of whatever length.
#[derive(Clone, Debug)]
pub(super) struct Chosen<T> {
    pub(super) kept: Vec<T>,
    pub(super) n_seen: usize,
    stride: usize,
}

impl<T> Default for Chosen<T> {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            n_seen: 0,
            stride: 1,
        }
    }
}

impl<T> Chosen<T> {
    /// Takes the next one if it is its turn.
    pub(super) fn offer(&mut self, make: impl FnOnce() -> T) {
        if self.n_seen.is_multiple_of(self.stride) {
            self.kept.push(make());
        }
        self.n_seen += 1;
        if self.kept.len() > MOST_KEPT {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride *= 2;
        }
    }

    /// Whether everything that came is there.
    pub(super) fn is_whole(&self) -> bool {
        self.stride == 1
    }
}

/// Median distance per column of one block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Medians {
    /// Columns of the block.
    pub(super) cols: usize,
    /// First judged column.
    pub(super) start: usize,
    /// One per judged column.
    pub(super) values: Vec<f32>,
}

impl Medians {
    /// Those of `judged` columns of `distances`.
    pub(super) fn of(distances: ArrayView2<'_, f32>, judged: &Range<usize>) -> Self {
        let mut column = Vec::new();
        let values = judged.clone().map(|col| {
            column.clear();
            column.extend(distances.column(col));
            quantile(&mut column, 0.5)
        });
        Self {
            values: values.collect(),
            cols: distances.ncols(),
            start: judged.start,
        }
    }
}

/// The usual distance per column of each lane's most common block width, and over all columns.
pub(super) fn usual_distances(lanes: &[Vec<&Medians>]) -> (Vec<Vec<f32>>, f32) {
    let all = lanes.iter().flatten();
    let mut all: Vec<f32> = all.flat_map(|medians| medians.values.clone()).collect();
    let elsewhere = quantile(&mut all, 0.5);
    let kernel = half_kernel(SMOOTH_USUAL_CELLS);
    let of_lane = |blocks: &Vec<&Medians>| {
        let cols = most_common(blocks.iter().map(|medians| medians.cols));
        let usual: Vec<f32> = (0..cols)
            .map(|col| {
                let alike = blocks.iter().filter(|medians| medians.cols == cols);
                let mut of_col: Vec<f32> = alike
                    .filter_map(|medians| medians.values.get(col.checked_sub(medians.start)?))
                    .copied()
                    .collect();
                if of_col.is_empty() {
                    elsewhere
                } else {
                    quantile(&mut of_col, 0.5)
                }
            })
            .collect();
        let mut smooth = vec![0.0; usual.len()];
        smooth_into(
            &mut smooth,
            &usual,
            &kernel,
            Beyond::Nearest,
            &mut Vec::new(),
        );
        smooth
    };
    (lanes.iter().map(of_lane).collect(), elsewhere)
}

fn most_common(values: impl Iterator<Item = usize>) -> usize {
    let mut counts = std::collections::BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0_usize) += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or(0, |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn few_blocks_are_all_kept_and_many_evenly() {
        let mut chosen = Chosen::default();
        (0..MOST_KEPT).for_each(|i| chosen.offer(|| i));
        assert!(chosen.is_whole());
        assert_eq!(chosen.kept, (0..MOST_KEPT).collect::<Vec<_>>());
        (MOST_KEPT..10_000).for_each(|i| chosen.offer(|| i));
        assert!(!chosen.is_whole());
        let steps: Vec<usize> = chosen.kept.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(steps.iter().all(|step| *step == steps[0]), "{steps:?}");
        let n = chosen.kept.len();
        assert!((MOST_KEPT / 2..=MOST_KEPT).contains(&n), "{n}");
    }

    #[test]
    fn a_column_that_is_always_far_is_usual_and_one_block_is_not() {
        let block = |strange: Option<usize>| {
            let distances = Array2::from_shape_fn((9, 200), |(_, col)| {
                if (100..140).contains(&col) || Some(col / 10) == strange {
                    5.0
                } else {
                    1.0
                }
            });
            Medians::of(distances.view(), &(20..180))
        };
        let blocks = [block(None), block(Some(5)), block(None)];
        let (usual, elsewhere) = usual_distances(&[blocks.iter().collect()]);
        assert_eq!(elsewhere, 1.0);
        assert!((usual[0][120] - 5.0).abs() < 0.1, "{:?}", usual[0]);
        assert!((usual[0][55] - 1.0).abs() < 0.1, "{:?}", usual[0]);
        assert_eq!(usual[0].len(), 200);
    }
}
