//! The highest places of score maps, of however much cloth.
//!
//! ```text
//! map of a block ─▶ local maxima, one per place ─▶ the highest of all blocks
//! ```
//!
//! A place is flagged once, not cell by cell: cells near a higher one are a part of it. Memory is
//! flat: only the highest [`MOST_PEAKS`] of all blocks stay, and of these none is missing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ndarray::ArrayView2;

/// Peaks that are kept. A tail is fitted to fewer.
pub(crate) const MOST_PEAKS: usize = 4096;
/// Peaks that one block may give; one with more is no good cloth.
const MOST_OF_BLOCK: usize = 64;
/// Cells to each side within which a lower peak is a part of a higher one.
const PLACE_CELLS: usize = 8;

/// A place that stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Its score.
    pub score: f32,
    /// Number of its block.
    pub block: usize,
    /// Row of cells in its block.
    pub row: usize,
    /// Column of cells in its block.
    pub col: usize,
}

impl Eq for Peak {}

impl PartialOrd for Peak {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Peak {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let place = |peak: &Self| Reverse((peak.block, peak.row, peak.col));
        let by_score = self.score.total_cmp(&other.score);
        by_score.then_with(|| place(self).cmp(&place(other)))
    }
}

/// The highest places of good cloth.
#[derive(Clone, Debug, Default)]
pub struct Peaks {
    /// The lowest on top.
    highest: BinaryHeap<Reverse<Peak>>,
}

impl Peaks {
    /// Adds a peak. One that is not above zero says nothing.
    pub fn add(&mut self, peak: Peak) {
        if peak.score > self.least() && peak.score.is_finite() {
            self.highest.push(Reverse(peak));
            if self.highest.len() > MOST_PEAKS {
                self.highest.pop();
            }
        }
    }

    /// Adds the places of a block's map and gives the highest of them, if one is above zero.
    pub fn add_map(&mut self, block: usize, map: ArrayView2<'_, f32>) -> Option<Peak> {
        let mut tops = tops(block, map, self.least());
        tops.sort_unstable_by(|a, b| b.cmp(a));
        let mut places: Vec<Peak> = Vec::new();
        for top in tops {
            let is_near = |place: &Peak| {
                place.row.abs_diff(top.row) <= PLACE_CELLS
                    && place.col.abs_diff(top.col) <= PLACE_CELLS
            };
            if !places.iter().any(is_near) {
                places.push(top);
                self.add(top);
            }
            if places.len() == MOST_OF_BLOCK {
                break;
            }
        }
        highest_of(block, map)
    }

    /// All peaks, the highest first.
    pub fn sorted(&self) -> Vec<Peak> {
        let mut peaks: Vec<Peak> = self.highest.iter().map(|Reverse(peak)| *peak).collect();
        peaks.sort_unstable_by(|a, b| b.cmp(a));
        peaks
    }

    /// What a peak must exceed to be kept.
    fn least(&self) -> f32 {
        match self.highest.peek() {
            Some(Reverse(least)) if self.highest.len() >= MOST_PEAKS => least.score,
            _ => 0.0,
        }
    }
}

/// The cells above `least` that none beside them exceeds.
fn tops(block: usize, map: ArrayView2<'_, f32>, least: f32) -> Vec<Peak> {
    let (rows, cols) = map.dim();
    let mut tops = Vec::new();
    for ((row, col), score) in map.indexed_iter().filter(|(_, score)| **score > least) {
        let beside = ndarray::s![
            row.saturating_sub(1)..(row + 2).min(rows),
            col.saturating_sub(1)..(col + 2).min(cols)
        ];
        if map.slice(beside).iter().all(|other| other <= score) {
            tops.push(Peak {
                score: *score,
                block,
                row,
                col,
            });
        }
    }
    tops
}

/// The highest cell above zero.
fn highest_of(block: usize, map: ArrayView2<'_, f32>) -> Option<Peak> {
    map.indexed_iter()
        .filter(|(_, score)| **score > 0.0)
        .map(|((row, col), score)| Peak {
            score: *score,
            block,
            row,
            col,
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn a_place_is_one_peak_and_its_flank_is_none() {
        let mut map = Array2::from_elem((40, 60), 0.0);
        // A broad hill, a lower one on its flank, and one far away.
        for ((row, col), cell) in map.indexed_iter_mut() {
            let hill = |r: f32, c: f32, h: f32| {
                h - 0.1 * ((row as f32 - r).powi(2) + (col as f32 - c).powi(2)).sqrt()
            };
            let hills = [
                hill(10.0, 10.0, 2.0),
                hill(10.0, 15.0, 1.7),
                hill(30.0, 45.0, 1.5),
            ];
            *cell = hills.into_iter().fold(0.0, f32::max);
        }
        let mut peaks = Peaks::default();
        let highest = peaks.add_map(7, map.view()).unwrap();
        let expected = |score, row, col| Peak {
            score,
            block: 7,
            row,
            col,
        };
        assert_eq!(highest, expected(2.0, 10, 10));
        assert_eq!(
            peaks.sorted(),
            [expected(2.0, 10, 10), expected(1.5, 30, 45)]
        );
    }

    #[test]
    fn however_much_cloth_the_highest_stay_and_no_more_than_fit() {
        let mut peaks = Peaks::default();
        for block in 0..10_000 {
            for i in 0..4 {
                peaks.add(Peak {
                    score: 1.0 + ((block * 7919 + i * 104_729) % 40_009) as f32,
                    block,
                    row: i,
                    col: 0,
                });
            }
        }
        let sorted = peaks.sorted();
        assert_eq!(sorted.len(), MOST_PEAKS);
        let mut all: Vec<f32> = (0..10_000)
            .flat_map(|block| {
                (0..4).map(move |i| 1.0 + ((block * 7919 + i * 104_729) % 40_009) as f32)
            })
            .collect();
        all.sort_unstable_by(|a, b| b.total_cmp(a));
        let scores: Vec<f32> = sorted.iter().map(|peak| peak.score).collect();
        assert_eq!(scores, all[..MOST_PEAKS]);
    }

    #[test]
    fn flat_cloth_gives_no_peak_but_is_no_error() {
        let mut peaks = Peaks::default();
        assert_eq!(peaks.add_map(0, Array2::zeros((9, 9)).view()), None);
        assert!(peaks.sorted().is_empty());
    }
}
