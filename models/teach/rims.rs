//! How much larger scores of good cloth are near rims.
//!
//! ```text
//! map of a block ─▶ histogram per kind of rim and distance ─▶ quantile ÷ that of the inner cloth
//! ```
//!
//! Memory is flat: histograms on a logarithmic scale, whose steps are a fiftieth.

use ndarray::Array2;

use crate::features::{Block, Rim};

/// Cells from the picture's end that have statistics of their own. A wider zone
/// hides flaws beside it (10 cells lost 0.03 of strip AUROC on three plain weaves).
pub(super) const RIM_CELLS: usize = 5;
/// The same where what is judged ended, beside which cords and bands may run far from the edge.
pub(super) const ENDED_CELLS: usize = 32;
/// Beyond [`RIM_CELLS`] scores must be so many times those of the inner cloth to be the edge's own:
/// less is chance, and would hide flaws.
const OWN_TIMES: f64 = 1.5;
/// Share of the judged columns at each side that may be an edge's.
const ENDED_SHARE: usize = 6;
/// Natural logarithms of scores from the first step to one past the last.
const LOGARITHMS: (f64, f64) = (-9.0, 11.0);
/// Steps between them.
const N_STEPS: usize = 1000;

/// Scores by how far from which rim they are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rims {
    pub(super) inner: Histogram,
    pub(super) left: [Histogram; ENDED_CELLS],
    pub(super) right: [Histogram; ENDED_CELLS],
    pub(super) mirror: [Histogram; RIM_CELLS],
}

impl Default for Rims {
    fn default() -> Self {
        let none = || std::array::from_fn(|_| Histogram::default());
        Self {
            inner: Histogram::default(),
            left: none(),
            right: none(),
            mirror: std::array::from_fn(|_| Histogram::default()),
        }
    }
}

impl Rims {
    /// Adds the scores of a block.
    pub(super) fn add(&mut self, block: &Block, map: &Array2<f32>) {
        let reach = |rim| {
            let share = block.judged.len() / ENDED_SHARE;
            if rim == Rim::Ended {
                ENDED_CELLS.min(share).max(RIM_CELLS)
            } else {
                RIM_CELLS
            }
        };
        let (left, right) = (reach(block.left), reach(block.right));
        for ((row, col), score) in map.indexed_iter() {
            if !block.judged.contains(&col) {
                continue;
            }
            let from_left = col - block.judged.start;
            let from_right = block.judged.end - 1 - col;
            let from_ends = row.min(block.rows - 1 - row);
            let is_inner_col = from_left >= left && from_right >= right;
            match (is_inner_col, from_ends >= RIM_CELLS) {
                (true, true) => self.inner.add(*score),
                (true, false) => {
                    let rim = if row == from_ends {
                        block.above
                    } else {
                        block.below
                    };
                    if rim == Rim::Mirrored {
                        self.mirror[from_ends].add(*score);
                    }
                }
                (false, true) => {
                    let (rim, side, distance) = if from_left < left {
                        (block.left, &mut self.left, from_left)
                    } else {
                        (block.right, &mut self.right, from_right)
                    };
                    match rim {
                        Rim::Joined => {}
                        Rim::Mirrored => self.mirror[distance].add(*score),
                        Rim::Ended => side[distance].add(*score),
                    }
                }
                (false, false) => {}
            }
        }
    }

    /// How much larger the `q`-quantile of scores is near rims, from the rim inwards: left, right,
    /// mirrored. Nothing where no cloth shows such a rim, or none shows anything else.
    pub(super) fn profiles(&self, q: f64) -> [Vec<f32>; 3] {
        let base = self.inner.quantile(q);
        let profile = |rim: &[Histogram]| {
            let times = |at: &Histogram| Some((at.quantile(q)? / base?).max(1.0));
            let times: Vec<f64> = rim.iter().map_while(times).collect();
            if times.len() < RIM_CELLS {
                return Vec::new();
            }
            // The edge wanders by a cell or so within what it is taken to be.
            let widest = |at: usize| {
                let around = at.saturating_sub(1)..(at + 2).min(times.len());
                let most = times[around].iter().copied().fold(1.0, f64::max);
                if at < RIM_CELLS {
                    times[at] as f32
                } else if most >= OWN_TIMES {
                    most as f32
                } else {
                    1.0
                }
            };
            let mut profile: Vec<f32> = (0..times.len()).map(widest).collect();
            while profile.len() > RIM_CELLS && profile.last() == Some(&1.0) {
                profile.pop();
            }
            profile
        };
        [
            profile(&self.left),
            profile(&self.right),
            profile(&self.mirror),
        ]
    }

    /// All histograms, in the order in which they are kept.
    pub(super) fn histograms(&self) -> Vec<&Histogram> {
        let rims = self.left.iter().chain(&self.right).chain(&self.mirror);
        std::iter::once(&self.inner).chain(rims).collect()
    }

    /// The same, to be filled.
    pub(super) fn histograms_mut(&mut self) -> Vec<&mut Histogram> {
        let rims = self.left.iter_mut().chain(&mut self.right);
        let rims = rims.chain(&mut self.mirror);
        std::iter::once(&mut self.inner).chain(rims).collect()
    }
}

/// How many scores lie in which step of a logarithmic scale.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    /// Empty, or one number per step.
    pub(super) counts: Vec<f64>,
}

impl Histogram {
    fn add(&mut self, score: f32) {
        if self.counts.is_empty() {
            self.counts = vec![0.0; N_STEPS];
        }
        let (least, most) = LOGARITHMS;
        // Scores that are not above zero have no logarithm; they are below all others.
        let share = (f64::from(score.max(f32::MIN_POSITIVE)).ln() - least) / (most - least);
        let step = (share * N_STEPS as f64).clamp(0.0, (N_STEPS - 1) as f64);
        self.counts[step as usize] += 1.0;
    }

    /// The score that a share `q` of all lie below; `None` without any.
    fn quantile(&self, q: f64) -> Option<f64> {
        let wanted = q * self.counts.iter().sum::<f64>();
        let mut below = 0.0;
        for (step, count) in self.counts.iter().enumerate() {
            if *count > 0.0 && below + count >= wanted {
                let at = (step as f64 + (wanted - below) / count) / N_STEPS as f64;
                return Some((LOGARITHMS.0 + at * (LOGARITHMS.1 - LOGARITHMS.0)).exp());
            }
            below += count;
        }
        None
    }

    /// Whether it can be what it says it is.
    pub(super) fn is_sound(&self) -> bool {
        let is_count = |count: &f64| count.is_finite() && *count >= 0.0;
        (self.counts.is_empty() || self.counts.len() == N_STEPS) && self.counts.iter().all(is_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(rows: usize) -> Block {
        Block {
            rows,
            cols: 40,
            judged: 0..40,
            above: Rim::Mirrored,
            below: Rim::Mirrored,
            left: Rim::Ended,
            right: Rim::Ended,
            continues: true,
            patches: Vec::new(),
        }
    }

    #[test]
    fn pictures_that_are_all_rim_are_compared_with_nothing() {
        let mut rims = Rims::default();
        rims.add(
            &block(2 * RIM_CELLS),
            &Array2::from_elem((2 * RIM_CELLS, 40), 1.0),
        );
        assert!(rims.profiles(0.98).iter().all(Vec::is_empty));
    }

    #[test]
    fn a_rim_that_scores_three_times_as_much_is_said_to() {
        let map = |rows| {
            Array2::from_shape_fn((rows, 40), |(row, col)| {
                let usual = 0.5 + ((row * 37 + col * 11) % 100) as f32 * 0.01;
                if col < 1 { 3.0 * usual } else { usual }
            })
        };
        let mut rims = Rims::default();
        (0..20).for_each(|_| rims.add(&block(64), &map(64)));
        let [left, right, _] = rims.profiles(0.98);
        assert!((left[0] - 3.0).abs() < 0.1, "{left:?}");
        let others = left[1..].iter().chain(&right);
        assert!(others.clone().all(|at| *at < 1.1), "{left:?} {right:?}");
    }

    /// The left and right profiles of cloth 240 cells wide whose columns 12 to 15 score `times` as
    /// much as the rest.
    fn beside_a_band(times: f32) -> [Vec<f32>; 2] {
        let wide = Block {
            cols: 240,
            judged: 0..240,
            ..block(64)
        };
        let map = Array2::from_shape_fn((64, 240), |(row, col)| {
            let usual = 0.5 + ((row * 37 + col * 11) % 100) as f32 * 0.01;
            let is_band = (12..16).contains(&col);
            if is_band { times * usual } else { usual }
        });
        let mut rims = Rims::default();
        (0..20).for_each(|_| rims.add(&wide, &map));
        let [left, right, _] = rims.profiles(0.98);
        [left, right]
    }

    #[test]
    fn a_band_beside_a_selvedge_is_its_own_and_a_cell_to_each_side() {
        let [left, right] = beside_a_band(3.0);
        assert_eq!(left.len(), 17, "{left:?}");
        for (col, times) in left.iter().enumerate() {
            match col {
                0..RIM_CELLS => assert!((1.0..1.1).contains(times), "{left:?}"),
                RIM_CELLS..11 => assert_eq!(*times, 1.0, "{left:?}"),
                _ => assert!((times - 3.0).abs() < 0.15, "{left:?}"),
            }
        }
        assert_eq!(right.len(), RIM_CELLS, "{right:?}");
        assert!(right.iter().all(|times| *times < 1.1), "{right:?}");
    }

    #[test]
    fn a_band_that_scores_little_more_is_taken_for_chance() {
        for profile in beside_a_band(1.2) {
            assert_eq!(profile.len(), RIM_CELLS, "{profile:?}");
            assert!(profile.iter().all(|times| *times < 1.1), "{profile:?}");
        }
    }

    #[test]
    fn a_quantile_is_right_to_a_step_of_the_scale() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=10_000).for_each(|i| histogram.add(i as f32 * 1e-3));
        for q in [0.1, 0.5, 0.98] {
            let found = histogram.quantile(q).unwrap();
            assert!((found / (10.0 * q) - 1.0).abs() < 0.021, "{q}: {found}");
        }
        histogram.add(-1.0);
        histogram.add(f32::NAN);
        assert!(histogram.is_sound());
    }
}
