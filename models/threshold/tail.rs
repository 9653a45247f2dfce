//! How fast the peaks of good cloth get rarer with height.
//!
//! Heights above a high level follow a generalised Pareto distribution, whatever the cloth
//! (Pickands, Ann. Statist. 3, 1975); how many there are is a Poisson number. Both are judged as
//! Bayes did, on a grid of shapes and scales: a grid has no optimiser that fails on five peaks, and
//! it gives limits as well as a middle. The shape, which nothing but much cloth can tell, is held
//! near that of a slightly heavy tail by its prior (the same means as in Martins and Stedinger,
//! Water Resour. Res. 36, 2000, for floods).
//!
//! Peaks of one block are alike: one strip is tighter than another. How much the numbers and
//! the heights of peaks differ more between blocks than chance allows is measured, and the
//! evidence counts as so many times fewer peaks (a composite likelihood, brought to its true
//! weight: Ribatet, Cooley and Davison, Statist. Sinica 22, 2012).

use super::peaks::Peaks;

/// Peaks per block that a tail is fitted to; more come from places that are no rarity.
const PEAKS_PER_BLOCK: usize = 3;
/// Fewest peaks that a tail is fitted to, where there are as many.
const LEAST_PEAKS: usize = 20;
/// Middle and spread of what a shape is taken to be before any cloth is seen.
const USUAL_SHAPE: (f64, f64) = (0.05, 0.15);
/// Shapes that are tried: from a tail that ends to one that hardly falls.
const SHAPES: (f64, f64) = (-0.24, 0.6);
const N_SHAPES: usize = 22;
const N_SCALES: usize = 41;
/// Scales that are tried reach this many standard errors to each side, as a logarithm.
const SCALES_REACH: f64 = 4.5;
/// Standard normal deviates of equal shares, by their middles.
const DEVIATES: [f64; 9] = [
    -1.593, -0.967, -0.589, -0.282, 0.0, 0.282, 0.589, 0.967, 1.593,
];
/// By how much less heights of one block are worth than of very many, times the number of blocks:
/// how unlike blocks are cannot be told from a few of them. With 0, limits from 2 and 6 blocks that
/// differ by 20 % held in 75 % of trials instead of 90 %.
const FEW_BLOCKS: f64 = 3.0;
/// Weight below which a pair of shape and scale is not worth its time.
const LEAST_WEIGHT: f64 = 1e-6;
/// Least scale, as a share of the level, so that peaks that are all alike have one.
const LEAST_SCALE: f64 = 1e-3;

/// What is believed of a tail.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// Level above which heights were fitted.
    from: f64,
    n_peaks: usize,
    spread: f64,
    beliefs: Vec<Belief>,
    /// Peaks above the level per block, in equal shares.
    numbers: [f64; DEVIATES.len()],
}

/// One tail, and how likely it is; likelihoods add up to 1.
#[derive(Clone, Copy, Debug)]
struct Belief {
    shape: f64,
    scale: f64,
    weight: f64,
}

impl Tail {
    /// The tail of the peaks of `n_blocks` blocks.
    pub(crate) fn fit(peaks: &Peaks, n_blocks: usize) -> Self {
        let n_blocks = n_blocks.max(1);
        let peaks = peaks.sorted();
        let wanted = (PEAKS_PER_BLOCK * n_blocks).max(LEAST_PEAKS);
        let n = wanted.min(peaks.len());
        let level = peaks.get(n).or(peaks.last());
        let from = level.map_or(0.0, |peak| f64::from(peak.score));
        let heights: Vec<(usize, f64)> = peaks[..n]
            .iter()
            .map(|peak| (peak.block, f64::from(peak.score) - from))
            .collect();
        let mean = heights.iter().map(|(_, height)| height).sum::<f64>() / n.max(1) as f64;
        let mean = mean
            .max(LEAST_SCALE * from)
            .max(f64::from(f32::MIN_POSITIVE));
        let (of_numbers, of_heights) = spreads(&heights, mean, n_blocks);
        let worth = n as f64 / of_numbers;
        let number = |deviate: f64| n as f64 / n_blocks as f64 * gamma_quantile(worth, deviate);
        Self {
            from,
            n_peaks: n,
            spread: of_numbers,
            beliefs: beliefs(&heights, mean, of_heights),
            numbers: DEVIATES.map(number),
        }
    }

    /// The score that is passed `per_block` times per block; never below the level that was fitted.
    pub(crate) fn score_at(&self, per_block: f64) -> f64 {
        let scores = self.each(|belief, number| belief.height_at(per_block / number));
        self.from + quantiles(scores, [0.5])[0].max(0.0)
    }

    /// How often per block `score` is passed: 5 %, 50 % and 95 % of what is believed.
    pub(crate) fn rates_above(&self, score: f64) -> [f64; 3] {
        let height = score - self.from;
        let rates = self.each(|belief, number| number * belief.share_above(height));
        quantiles(rates, [0.05, 0.5, 0.95])
    }

    /// Level above which heights were fitted.
    pub(crate) fn from(&self) -> f64 {
        self.from
    }

    /// Peaks that were fitted.
    pub(crate) fn n_peaks(&self) -> usize {
        self.n_peaks
    }

    /// How many times more the number of peaks differs between blocks than chance allows.
    pub(crate) fn spread(&self) -> f64 {
        self.spread
    }

    /// Mean shape.
    pub(crate) fn shape(&self) -> f64 {
        self.beliefs.iter().map(|b| b.weight * b.shape).sum()
    }

    /// Mean scale.
    pub(crate) fn scale(&self) -> f64 {
        self.beliefs.iter().map(|b| b.weight * b.scale).sum()
    }

    /// Something of each tail with each number, and its weight.
    fn each(&self, of: impl Fn(&Belief, f64) -> f64) -> Vec<(f64, f64)> {
        let pairs = self
            .beliefs
            .iter()
            .flat_map(|belief| self.numbers.iter().map(move |number| (belief, *number)));
        pairs
            .map(|(belief, number)| (of(belief, number), belief.weight))
            .collect()
    }
}

impl Belief {
    /// Share of heights above `height`.
    fn share_above(&self, height: f64) -> f64 {
        if self.shape.abs() < 1e-9 {
            return (-height / self.scale).exp();
        }
        let base = (1.0 + self.shape * height / self.scale).max(0.0);
        base.powf(-1.0 / self.shape)
    }

    /// The height that `share` of all are above.
    fn height_at(&self, share: f64) -> f64 {
        if self.shape.abs() < 1e-9 {
            return -self.scale * share.ln();
        }
        self.scale / self.shape * (share.powf(-self.shape) - 1.0)
    }

    /// Logarithm of how likely `heights` are.
    fn likelihood(&self, heights: &[(usize, f64)]) -> f64 {
        let n = heights.len() as f64;
        if self.shape.abs() < 1e-9 {
            let sum: f64 = heights.iter().map(|(_, height)| height).sum();
            return -sum / self.scale - n * self.scale.ln();
        }
        let factor = self.shape / self.scale;
        let logs: f64 = heights
            .iter()
            .map(|(_, height)| (1.0 + factor * height).max(0.0).ln())
            .sum();
        -(1.0 + 1.0 / self.shape) * logs - n * self.scale.ln()
    }
}

/// Tails on a grid around the mean height, weighted by prior and likelihood; the latter counts as
/// `spread` times fewer heights.
fn beliefs(heights: &[(usize, f64)], mean: f64, spread: f64) -> Vec<Belief> {
    let error = (spread / heights.len().max(1) as f64).sqrt();
    let reach = (SCALES_REACH * error).clamp(0.2, 2.0);
    let on = |i: usize, n: usize, (low, high): (f64, f64)| {
        low + (high - low) * i as f64 / (n - 1) as f64
    };
    let mut beliefs = Vec::with_capacity(N_SHAPES * N_SCALES);
    for i in 0..N_SHAPES {
        let shape = on(i, N_SHAPES, SHAPES);
        let from_usual = (shape - USUAL_SHAPE.0) / USUAL_SHAPE.1;
        for j in 0..N_SCALES {
            // The mean of heights is scale / (1 - shape), so that the middle moves with the shape.
            let scale = mean * (1.0 - shape) * on(j, N_SCALES, (-reach, reach)).exp();
            let mut belief = Belief {
                shape,
                scale,
                weight: 0.0,
            };
            belief.weight = belief.likelihood(heights) / spread - 0.5 * from_usual * from_usual;
            beliefs.push(belief);
        }
    }
    let best = beliefs.iter().map(|b| b.weight).fold(f64::MIN, f64::max);
    for belief in &mut beliefs {
        belief.weight = (belief.weight - best).exp();
    }
    beliefs.retain(|belief| belief.weight > LEAST_WEIGHT);
    let sum: f64 = beliefs.iter().map(|b| b.weight).sum();
    beliefs.iter_mut().for_each(|b| b.weight /= sum);
    beliefs
}

/// How many times more numbers of peaks, and sums of heights, differ between blocks than if
/// peaks fell independently; at least once, and somewhat more where few blocks can tell.
fn spreads(heights: &[(usize, f64)], mean: f64, n_blocks: usize) -> (f64, f64) {
    let n = heights.len() as f64;
    let per_block = n / n_blocks as f64;
    let mut blocks = std::collections::BTreeMap::<usize, (f64, f64)>::new();
    let mut squares = 0.0;
    for (block, height) in heights {
        let off = height / mean - 1.0;
        squares += off * off;
        let of_block = blocks.entry(*block).or_default();
        of_block.0 += 1.0;
        of_block.1 += off;
    }
    let without = (n_blocks.saturating_sub(blocks.len())) as f64;
    let of_numbers = blocks.values().map(|(n, _)| (n - per_block).powi(2));
    let chi = (of_numbers.sum::<f64>() + without * per_block * per_block) / per_block.max(1e-9);
    // Two more, so that two blocks that agree by chance prove little.
    let numbers = (chi + 2.0) / n_blocks.saturating_sub(1).max(1) as f64;
    let sums: f64 = blocks.values().map(|(_, sum)| sum * sum).sum();
    let alike = if squares > 0.0 { sums / squares } else { 1.0 };
    let alike = alike.max(1.0) * (1.0 + FEW_BLOCKS / n_blocks as f64);
    (numbers.clamp(1.0, n.max(1.0)), alike.min(n.max(1.0)))
}

/// A standard gamma deviate of `shape`, divided by its mean, where a normal one is `deviate`
/// (Wilson and Hilferty, Proc. Nat. Acad. Sci. 17, 1931).
fn gamma_quantile(shape: f64, deviate: f64) -> f64 {
    let shape = shape.max(0.5);
    let root = 1.0 - 1.0 / (9.0 * shape) + deviate / (3.0 * shape.sqrt());
    root.max(0.05).powi(3)
}

/// The values that shares of all weight lie below.
fn quantiles<const N: usize>(mut values: Vec<(f64, f64)>, shares: [f64; N]) -> [f64; N] {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    shares.map(|share| {
        let mut below = 0.0;
        let at = values.iter().find(|(_, weight)| {
            below += weight;
            below >= share * total
        });
        at.or(values.last()).map_or(0.0, |(value, _)| *value)
    })
}

#[cfg(test)]
mod tests {
    use super::super::peaks::Peak;
    use super::*;

    /// Peaks of `n_blocks` blocks at even shares of a Pareto tail above 1.
    fn peaks(n_blocks: usize, per_block: usize, shape: f64, scale: f64) -> Peaks {
        let mut peaks = Peaks::default();
        let n = n_blocks * per_block;
        for i in 0..n {
            let share = (i as f64 + 0.5) / n as f64;
            let height = Belief {
                shape,
                scale,
                weight: 1.0,
            }
            .height_at(share);
            peaks.add(Peak {
                score: (1.0 + height) as f32,
                block: i % n_blocks,
                row: 0,
                col: 0,
            });
        }
        peaks
    }

    #[test]
    fn much_cloth_gives_back_the_tail_it_came_from() {
        for shape in [0.0, 0.2] {
            let tail = Tail::fit(&peaks(1000, 3, shape, 0.5), 1000);
            assert!((tail.shape() - shape).abs() < 0.06, "{}", tail.shape());
            assert!((tail.scale() - 0.5).abs() < 0.04, "{}", tail.scale());
            let [low, rate, high] = tail.rates_above(tail.score_at(0.01));
            assert!((rate - 0.01).abs() < 1e-4, "{rate}");
            assert!(
                low < 0.01 && high > 0.01 && high / low < 4.0,
                "{low} {high}"
            );
        }
    }

    #[test]
    fn blocks_that_differ_are_worth_fewer_peaks() {
        let even = Tail::fit(&peaks(12, 6, 0.1, 0.5), 12);
        let mut uneven = Peaks::default();
        for peak in peaks(12, 6, 0.1, 0.5).sorted() {
            let block = if peak.score > 1.3 { 0 } else { peak.block };
            uneven.add(Peak { block, ..peak });
        }
        let uneven = Tail::fit(&uneven, 12);
        assert_eq!(even.spread(), 1.0);
        assert!(uneven.spread() > 5.0, "{}", uneven.spread());
        let width = |tail: &Tail| {
            let [low, _, high] = tail.rates_above(tail.score_at(0.05));
            high / low
        };
        assert!(width(&uneven) > 3.0 * width(&even));
    }

    #[test]
    fn shares_and_heights_are_each_others_inverse() {
        for shape in [-0.2, 0.0, 0.3] {
            let belief = Belief {
                shape,
                scale: 0.7,
                weight: 1.0,
            };
            for share in [0.5, 0.01, 1e-6] {
                let back = belief.share_above(belief.height_at(share));
                assert!((back / share - 1.0).abs() < 1e-9, "{shape} {share} {back}");
            }
        }
    }

    #[test]
    fn a_gamma_deviate_has_its_mean_and_spread() {
        for shape in [3.0, 30.0] {
            let values = DEVIATES.map(|deviate| gamma_quantile(shape, deviate));
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let spread = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 9.0;
            assert!((mean - 1.0).abs() < 0.02, "{mean}");
            assert!((spread * shape - 0.9).abs() < 0.1, "{spread}");
        }
    }
}
