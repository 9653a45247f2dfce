//! Blocks of "good" cloth that are not like the others.
//!
//! ```text
//! highest score, usual height of each block ─▶ held against the blocks that score less ─▶ outliers
//! ```
//!
//! Two things make a block an outlier: a place beyond what the tail of the other blocks explains
//! (a flaw), and high scores everywhere (another cloth, no focus, no light). Blocks are taken in
//! from the lowest on, and the first that does not fit ends it: several flaws then do not hide each
//! other. Few blocks cannot tell which of them is strange.

use crate::ModelError;
use crate::quantile::quantile;
use crate::threshold::{Peaks, Tail};

/// Fewest blocks among which one can be strange.
const FEWEST: usize = 6;
/// Share of blocks that may be left out of what was said to be good cloth.
pub const MOST_LEFT_OUT: f64 = 0.2;
/// Share of blocks that are taken in unasked: with more, flaws could vouch for each other.
const SURE: f64 = 0.67;
/// Blocks with such a place to be expected in all of the cloth, at the most, below which one is
/// an outlier.
const EXPECTED: f64 = 0.02;
/// A block whose usual height is beyond the middle by so many robust standard deviations, and
/// at least so many times it, is another cloth.
const STRANGE_DEVIATIONS: f64 = 6.0;
const STRANGE_TIMES: f64 = 1.5;

/// What is known of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    /// Highest score, before the threshold.
    pub(super) highest: f32,
    /// Row of cells where it is.
    pub(super) row: usize,
    /// Column of cells where it is.
    pub(super) col: usize,
    /// The score that most of its cells are below.
    pub(super) usual: f32,
}

/// Why a block is not learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strange {
    /// One place stands out.
    Place,
    /// It scores high everywhere.
    Whole,
    /// It does not look like what was taught before.
    Other,
}

/// A block that is not like the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlier {
    /// Which block, counted from 0 in the order in which they were rehearsed.
    pub block: usize,
    /// Row of cells of its highest score.
    pub row: usize,
    /// Column of cells of its highest score.
    pub col: usize,
    /// What is strange.
    pub strange: Strange,
    /// How often that of the other blocks it scores: of their highest place, or in the middle.
    pub times: f64,
}

/// The blocks of `blocks`, numbered from `first`, that are not like the others; `peaks` are those
/// of all, by the same numbers.
///
/// # Errors
/// [`ModelError::NotGoodCloth`] when they are more than [`MOST_LEFT_OUT`] of all.
pub(super) fn outliers(
    blocks: &[Summary],
    first: usize,
    peaks: &Peaks,
) -> Result<Vec<Outlier>, ModelError> {
    if blocks.len() < FEWEST {
        return Ok(Vec::new());
    }
    let mut found = strange_wholes(blocks);
    let is_whole: Vec<bool> = (0..blocks.len())
        .map(|index| found.iter().any(|outlier| outlier.block == index))
        .collect();
    let mut rising: Vec<usize> = (0..blocks.len())
        .filter(|index| !is_whole[*index])
        .collect();
    rising.sort_by(|a, b| blocks[*a].highest.total_cmp(&blocks[*b].highest));
    let sure = (SURE * rising.len() as f64).floor() as usize;
    for n in sure.max(1)..rising.len() {
        let mut lower = Peaks::default();
        let below = &rising[..n];
        for peak in peaks.sorted() {
            let index = peak.block.checked_sub(first);
            if index.is_some_and(|index| below.contains(&index)) {
                lower.add(peak);
            }
        }
        let summary = &blocks[rising[n]];
        let [_, _, rate] = Tail::fit(&lower, n).rates_above(f64::from(summary.highest));
        if rate * (blocks.len() as f64) < EXPECTED {
            let most = blocks[rising[n - 1]].highest;
            found.extend(rising[n..].iter().map(|index| Outlier {
                times: f64::from(blocks[*index].highest / most.max(f32::MIN_POSITIVE)),
                ..outlier(blocks, *index, Strange::Place)
            }));
            break;
        }
    }
    found.sort_by_key(|outlier| outlier.block);
    too_many(found.len(), blocks.len())?;
    Ok(found
        .into_iter()
        .map(|outlier| Outlier {
            block: outlier.block + first,
            ..outlier
        })
        .collect())
}

/// Refuses cloth of which more than [`MOST_LEFT_OUT`] would be left out.
pub(super) fn too_many(found: usize, n_blocks: usize) -> Result<(), ModelError> {
    if found as f64 > MOST_LEFT_OUT * n_blocks as f64 {
        return Err(ModelError::NotGoodCloth { found, n_blocks });
    }
    Ok(())
}

/// Blocks that score high everywhere.
fn strange_wholes(blocks: &[Summary]) -> Vec<Outlier> {
    let log = |summary: &Summary| summary.usual.max(f32::MIN_POSITIVE).ln();
    let mut logs: Vec<f32> = blocks.iter().map(log).collect();
    let middle = quantile(&mut logs, 0.5);
    let mut away: Vec<f32> = logs.iter().map(|value| (value - middle).abs()).collect();
    // 1.4826 median absolute deviations are a standard deviation where there are no outliers.
    let deviation = 1.4826 * f64::from(quantile(&mut away, 0.5));
    let least = (STRANGE_DEVIATIONS * deviation).max(STRANGE_TIMES.ln());
    let of = |(index, summary): (usize, &Summary)| {
        let above = f64::from(log(summary) - middle);
        (above > least).then(|| Outlier {
            times: above.exp(),
            ..outlier(blocks, index, Strange::Whole)
        })
    };
    blocks.iter().enumerate().filter_map(of).collect()
}

fn outlier(blocks: &[Summary], index: usize, strange: Strange) -> Outlier {
    Outlier {
        block: index,
        row: blocks[index].row,
        col: blocks[index].col,
        strange,
        times: 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threshold::Peak;

    /// Good cloth: `n` blocks with a few peaks each, and what makes `strange` ones so.
    fn cloth(n: usize, strange: &[(usize, f32, f32)]) -> (Vec<Summary>, Peaks) {
        let mut peaks = Peaks::default();
        let mut blocks = Vec::new();
        for block in 0..n {
            let mut highest = 0.0_f32;
            for i in 0..20 {
                let draw = ((block * 20 + i) * 7919 % 2003) as f32 / 2003.0;
                let score = 1.0 - 0.3 * (1.0 - draw).max(1e-3).ln();
                highest = highest.max(score);
                peaks.add(Peak {
                    score,
                    block: block + 100,
                    row: i,
                    col: 0,
                });
            }
            blocks.push(Summary {
                highest,
                row: 1,
                col: 2,
                usual: 0.5 + 0.02 * (block % 5) as f32,
            });
        }
        for (block, highest, usual) in strange {
            let summary = &mut blocks[*block];
            summary.highest = summary.highest.max(*highest);
            summary.usual *= usual;
            peaks.add(Peak {
                score: *highest,
                block: block + 100,
                row: 30,
                col: 30,
            });
        }
        (blocks, peaks)
    }

    fn found(n: usize, strange: &[(usize, f32, f32)]) -> Result<Vec<usize>, ModelError> {
        let (blocks, peaks) = cloth(n, strange);
        let found = outliers(&blocks, 100, &peaks)?;
        Ok(found.iter().map(|outlier| outlier.block - 100).collect())
    }

    #[test]
    fn good_cloth_has_none() {
        for n in [2, 6, 12, 40, 100] {
            assert!(found(n, &[]).unwrap().is_empty(), "{n} blocks");
        }
    }

    #[test]
    fn flaws_are_found_and_two_do_not_hide_each_other() {
        assert_eq!(found(12, &[(3, 30.0, 1.0)]).unwrap(), [3]);
        assert_eq!(
            found(12, &[(3, 40.0, 1.0), (9, 41.0, 1.0)]).unwrap(),
            [3, 9]
        );
    }

    #[test]
    fn a_block_of_other_cloth_is_found_by_its_usual_score() {
        let (blocks, peaks) = cloth(12, &[(7, 0.5, 4.0)]);
        let found = outliers(&blocks, 100, &peaks).unwrap();
        assert_eq!((found[0].block, found[0].strange), (107, Strange::Whole));
        assert!(found[0].times > 3.0 && found.len() == 1, "{found:?}");
    }

    #[test]
    fn three_of_twelve_are_too_many_to_be_left_out() {
        let strange = [(1, 40.0, 1.0), (5, 3.0, 5.0), (9, 50.0, 1.0)];
        let refused = found(12, &strange).unwrap_err().to_string();
        assert!(refused.contains("3 of 12"), "{refused}");
    }

    #[test]
    fn among_five_blocks_nobody_can_tell() {
        assert!(found(5, &[(3, 30.0, 1.0)]).unwrap().is_empty());
    }
}
