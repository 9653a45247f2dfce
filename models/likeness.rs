//! Whether a block looks like what was taught at all.
//!
//! ```text
//! patch ─▶ per band of columns: mean, energy of each feature ─▶ median over the block ─▶ Character
//! taught blocks ─▶ their mean, and how far each is from the others ─▶ Likeness (in the passport)
//! Character, Likeness ─▶ strangeness: above 1, it is something else
//! ```
//!
//! The judge takes every column relative to its own past, so that something else looks partly
//! usual to it. Here nothing is relative to the roll: what whitened features are on average, and
//! how much they vary around their column's mean, is held against the same of the taught blocks.
//! Medians over bands of columns keep flaws out. Light and lens move one of the two, another
//! texture moves both: what is far in one alone is not strange. Where there is little good cloth to
//! go by the limits are wide.

use serde::{Deserialize, Serialize};

use crate::features::{BAND, Block, FEWEST_ROWS};
use crate::passport::{all_between, positive};
use crate::quantile::quantile;
use crate::reference::without_rims;

/// Differences that no taught cloth needs to have shown: mean square of the differences of means,
/// in units of the features' own variance, and of logarithmic energies.
const FREE_MEANS: f32 = 0.75;
const FREE_ENERGIES: f32 = 0.07;
/// How often the largest difference between taught blocks is borne, however many there are, and
/// for each block that there is not.
const BORNE: f32 = 2.0;
const BORNE_FOR_FEW: f32 = 36.0;

/// How often the limits, as the geometric mean of both, are strange. Strips of one twill from
/// other lots, drawn out along by up to a third, came to 2.4; satin held against plain weave of the
/// same yarns to 3.2; two plain weaves of nearly the same count to 1.5, and are not told apart.
const FAR: f32 = 2.8;

/// Energies have a finite logarithm.
const LEAST_ENERGY: f32 = 1e-6;

/// What a block, or several, look like as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Character {
    /// Of each feature, over the columns.
    means: Vec<f32>,
    /// Of each feature, logarithmic.
    energies: Vec<f32>,
    /// Rows of cells.
    rows: usize,
}

impl Character {
    /// What a block of whitened features looks like; `None` where it is too low or too narrow to
    /// tell.
    pub fn of(block: &Block) -> Option<Self> {
        let inner = without_rims(&block.judged);
        let first = block.patches.first()?;
        let n_features = first.features.shape()[0];
        let (mut means, mut energies) =
            (vec![Vec::new(); n_features], vec![Vec::new(); n_features]);
        for patch in &block.patches {
            let n_rows = patch.kept.rows.len();
            if n_rows < FEWEST_ROWS {
                continue;
            }
            for band in 0..patch.energies.ncols() {
                let cols = band * BAND..(band + 1) * BAND;
                let in_block = patch.col + cols.start..patch.col + cols.end;
                if in_block.start < inner.start || in_block.end > inner.end {
                    continue;
                }
                let n_cells = (n_rows * BAND) as f32;
                for k in 0..n_features {
                    let sum: f32 = patch.sums.row(k).iter().skip(cols.start).take(BAND).sum();
                    means[k].push(sum / n_cells);
                    energies[k].push(patch.energies[[k, band]].max(LEAST_ENERGY).ln());
                }
            }
        }
        if means.first().is_none_or(Vec::is_empty) {
            return None;
        }
        let median = |values: &mut Vec<f32>| quantile(values, 0.5);
        Some(Self {
            means: means.iter_mut().map(median).collect(),
            energies: energies.iter_mut().map(median).collect(),
            rows: block.rows,
        })
    }

    /// All that it is, to be kept.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f32> {
        let values = self.means.iter().chain(&self.energies).copied();
        std::iter::once(self.rows as f32).chain(values)
    }

    /// What [`Character::numbers`] gave.
    pub(crate) fn of_numbers(numbers: &[f32]) -> Self {
        let (rows, values) = numbers.split_first().unwrap_or((&1.0, &[]));
        let (means, energies) = values.split_at(values.len() / 2);
        Self {
            means: means.to_vec(),
            energies: energies.to_vec(),
            rows: rows.max(1.0) as usize,
        }
    }

    /// Rows of cells that it tells of.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What this and `other` look like together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let rows = self.rows + other.rows;
        let share = other.rows as f32 / rows.max(1) as f32;
        let mix = |one: &[f32], other: &[f32]| -> Vec<f32> {
            let both = one.iter().zip(other);
            both.map(|(one, other)| one + (other - one) * share)
                .collect()
        };
        Self {
            means: mix(&self.means, &other.means),
            energies: mix(&self.energies, &other.energies),
            rows,
        }
    }

    /// How far this is from `other`, in units of what may differ in cloth of one kind.
    pub(crate) fn away_from(&self, other: &Self) -> f32 {
        let [means, energies] = self.differences(&other.means, &other.energies);
        means / FREE_MEANS + energies / FREE_ENERGIES
    }

    /// Mean squares of the differences of means and of energies.
    fn differences(&self, means: &[f32], energies: &[f32]) -> [f32; 2] {
        [
            mean_square(&self.means, means),
            mean_square(&self.energies, energies),
        ]
    }
}

/// What the taught blocks look like, and how far from that is something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likeness {
    /// Usual mean of each whitened feature.
    means: Vec<f32>,
    /// Usual energy of each, logarithmic.
    energies: Vec<f32>,
    /// Mean square of the differences of means that taught cloth may show.
    means_limit: f32,
    /// The same of the energies.
    energies_limit: f32,
    /// Rows of cells of the taught blocks: fewer tell less.
    rows: usize,
}

impl Likeness {
    /// What taught blocks have in common; `None` from fewer than two. Each is held against the
    /// others, so that the limits rest on how much good cloth differs from itself.
    pub(crate) fn learn(taught: &[Character]) -> Option<Self> {
        let few = taught.len() as f32;
        Self::bearing(BORNE + BORNE_FOR_FEW / few, taught)
    }

    /// The same, bearing `times` the largest difference between taught blocks.
    pub(crate) fn bearing(times: f32, taught: &[Character]) -> Option<Self> {
        let n = taught.len();
        if n < 2 {
            return None;
        }
        let rows = taught.iter().map(Character::rows).min()?;
        let mean = |of: fn(&Character) -> &[f32]| -> Vec<f32> {
            let n_features = of(&taught[0]).len();
            (0..n_features)
                .map(|k| taught.iter().map(|one| of(one)[k]).sum::<f32>() / n as f32)
                .collect()
        };
        let (means, energies) = (mean(|one| &one.means), mean(|one| &one.energies));
        // The mean of the others is as much further away as one block weighs in that of all.
        let without = (n as f32 / (n - 1) as f32).powi(2);
        let largest = taught
            .iter()
            .map(|one| one.differences(&means, &energies))
            .fold([0.0_f32; 2], |most, one| {
                [most[0].max(one[0]), most[1].max(one[1])]
            });
        let borne = without * times;
        Some(Self {
            means,
            energies,
            means_limit: FREE_MEANS + borne * largest[0],
            energies_limit: FREE_ENERGIES + borne * largest[1],
            rows,
        })
    }

    /// Rows of cells that a verdict should rest on: those of the taught blocks.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How far something is from what was taught: above 1, it is something else.
    pub fn strangeness(&self, found: &Character) -> f32 {
        let [means, energies] = found.differences(&self.means, &self.energies);
        (means / self.means_limit * energies / self.energies_limit).sqrt() / FAR
    }

    /// Says what cannot be right, if anything.
    pub(crate) fn check(&self, n_features: usize) -> Result<(), String> {
        for (name, values) in [
            ("likeness.means", &self.means),
            ("likeness.energies", &self.energies),
        ] {
            if values.len() != n_features {
                return Err(format!(
                    "found {} numbers in {name}, expected {n_features}, one per feature",
                    values.len()
                ));
            }
            all_between(name, values, n_features, f64::from(f32::MIN))?;
        }
        positive("likeness.means_limit", f64::from(self.means_limit))?;
        positive("likeness.energies_limit", f64::from(self.energies_limit))?;
        if self.rows == 0 {
            return Err("found likeness.rows = 0, expected at least 1".to_owned());
        }
        Ok(())
    }
}

fn mean_square(one: &[f32], other: &[f32]) -> f32 {
    let squares = one
        .iter()
        .zip(other)
        .map(|(one, other)| (one - other).powi(2));
    squares.sum::<f32>() / one.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{Features, Kept, Patch, Rim};
    use ndarray::Array3;

    /// Numbers around zero, the same each time.
    fn noise(seed: u64, at: (usize, usize, usize)) -> f32 {
        let mut mixed = seed ^ ((at.0 * 7919 + at.1 * 104_729 + at.2) as u64);
        for _ in 0..3 {
            mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        }
        ((mixed >> 40) as f32 / (1_u64 << 24) as f32 - 0.5) * 12.0_f32.sqrt()
    }

    /// A block of 32 × 200 cells of 6 features around `mean`, `spread` wide.
    fn block(seed: u64, mean: f32, spread: f32) -> Block {
        block_with(seed, mean, spread, |_| 0.0)
    }

    fn block_with(seed: u64, mean: f32, spread: f32, more: impl Fn(usize) -> f32) -> Block {
        let features = Array3::from_shape_fn((6, 32, 200), |at| {
            mean + spread * noise(seed, at) + more(at.2)
        });
        let kept = Kept {
            rows: 0..32,
            cols: 0..200,
        };
        Block {
            rows: 32,
            cols: 200,
            judged: 0..200,
            above: Rim::Joined,
            below: Rim::Joined,
            left: Rim::Ended,
            right: Rim::Ended,
            continues: true,
            patches: vec![Patch::new(Features::from_array(features), kept, 0, 0)],
        }
    }

    /// Taught on `n` blocks whose means differ by 0.2 from one to the next.
    fn taught(n: u64) -> Likeness {
        let blocks: Vec<Character> = (0..n)
            .map(|seed| Character::of(&block(seed, 0.2 * (seed % 2) as f32, 1.0)).unwrap())
            .collect();
        Likeness::learn(&blocks).unwrap()
    }

    fn strangeness(block: &Block) -> f32 {
        taught(12).strangeness(&Character::of(block).unwrap())
    }

    #[test]
    fn the_same_again_is_not_strange_and_another_texture_is() {
        assert!(strangeness(&block(99, 0.1, 1.0)) < 0.1);
        assert!(strangeness(&block(99, 2.0, 2.0)) > 1.0);
    }

    #[test]
    fn more_light_alone_or_less_focus_alone_is_not_strange() {
        assert!(strangeness(&block(99, 3.0, 1.0)) < 0.5);
        assert!(strangeness(&block(99, 0.1, 0.4)) < 0.5);
    }

    #[test]
    fn a_flaw_in_a_third_of_the_width_changes_nothing() {
        let flawed = |col: usize| {
            if col < 66 {
                (col % 5) as f32 * 9.0
            } else {
                0.0
            }
        };
        assert!(strangeness(&block_with(99, 0.1, 1.0, flawed)) < 0.1);
    }

    #[test]
    fn thin_evidence_bears_more() {
        let off = Character::of(&block(99, 1.5, 1.6)).unwrap();
        assert!(taught(2).strangeness(&off) < taught(50).strangeness(&off));
        let one = Character::of(&block(1, 0.1, 1.0)).unwrap();
        assert_eq!(Likeness::learn(&[one]), None);
    }

    #[test]
    fn low_blocks_add_up_to_what_a_high_one_is() {
        let one = Character::of(&block(5, 0.1, 1.0)).unwrap();
        let both = one.with(&Character::of(&block(6, 0.3, 1.0)).unwrap());
        assert_eq!(both.rows(), 64);
        assert!((both.means[0] - 0.2).abs() < 0.05, "{}", both.means[0]);
    }

    #[test]
    fn what_is_too_narrow_says_nothing() {
        let narrow = Block {
            judged: 0..20,
            ..block(1, 0.0, 1.0)
        };
        assert_eq!(Character::of(&narrow), None);
    }
}
