//! The grain of good cloth: how its texels vary together, and the filters that know it.
//!
//! ```text
//! blocks ─▶ texels ─▶ products at every distance, summed per fold ─▶ covariance ─▶ C⁻¹ t
//! ```
//!
//! Grain is taken to be the same everywhere, so the covariance of two texels depends on their
//! distance alone. Sums of folds add up: leaving one out is a subtraction. Memory is that of the
//! distances, however much cloth.

use ndarray::{Array1, Array2, ArrayView2};

use super::spread::inverse_cholesky;
use crate::features::Block;
use crate::spots::{IN_CELL, N_PHASES, SIDE, SIGMAS_PX, TEXEL_PX};

/// Share of the variance that is added to each texel's own: no filter may live on what the grain
/// hardly ever does. 1e-3 and 1e-2 were alike on three plain weaves.
const RIDGE: f64 = 1e-2;

/// Distances along the lane.
const N_DOWN: usize = SIDE;
/// Distances across it, to both sides.
const N_RIGHT: usize = 2 * SIDE - 1;

/// Sums of products of two texels, by how far the second is from the first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grain {
    /// `[down, right + SIDE − 1]`.
    sums: Array2<f64>,
    /// Pairs that were added, alike.
    n_pairs: Array2<f64>,
}

impl Grain {
    pub(super) fn new() -> Self {
        Self {
            sums: Array2::zeros((N_DOWN, N_RIGHT)),
            n_pairs: Array2::zeros((N_DOWN, N_RIGHT)),
        }
    }

    /// Adds the judged texels of a block whose patches have them.
    pub(super) fn add(&mut self, block: &Block) {
        for patch in &block.patches {
            if patch.features.n_fine() != N_PHASES {
                continue;
            }
            let (cols, _) = patch.columns(&block.judged);
            let rows = patch.kept.rows.clone();
            let side = IN_CELL;
            let mut texels = Array2::zeros((side * rows.len(), side * cols.len()));
            for phase in 0..N_PHASES {
                let plane = patch.features.fine(phase);
                for (row, from) in rows.clone().enumerate() {
                    for (col, from_col) in cols.clone().enumerate() {
                        texels[[side * row + phase / side, side * col + phase % side]] =
                            plane[[from, from_col]];
                    }
                }
            }
            self.add_texels(texels.view());
        }
    }

    fn add_texels(&mut self, texels: ArrayView2<'_, f32>) {
        let (height, width) = texels.dim();
        for down in 0..N_DOWN.min(height) {
            for right in 0..N_RIGHT {
                let by = right as isize - (SIDE as isize - 1);
                let n = width.saturating_sub(by.unsigned_abs());
                if n == 0 {
                    continue;
                }
                let (first, second) = if by < 0 {
                    (by.unsigned_abs(), 0)
                } else {
                    (0, by.unsigned_abs())
                };
                let mut sum = 0.0;
                for row in 0..height - down {
                    let one = texels.row(row).to_slice();
                    let other = texels.row(row + down).to_slice();
                    let (Some(one), Some(other)) = (one, other) else {
                        continue;
                    };
                    sum += f64::from(dot(&one[first..][..n], &other[second..][..n]));
                }
                self.sums[[down, right]] += sum;
                self.n_pairs[[down, right]] += (n * (height - down)) as f64;
            }
        }
    }

    /// All sums, for keeping.
    pub(super) fn numbers(&self) -> impl Iterator<Item = &f64> {
        self.sums.iter().chain(&self.n_pairs)
    }

    /// How many there are.
    pub(super) const N_NUMBERS: usize = 2 * N_DOWN * N_RIGHT;

    /// What [`Grain::numbers`] gave; `None` when there are not as many.
    pub(super) fn of_numbers(mut numbers: Vec<f64>) -> Option<Self> {
        let n_pairs = numbers.split_off(numbers.len().min(N_DOWN * N_RIGHT));
        let shaped = |values| Array2::from_shape_vec((N_DOWN, N_RIGHT), values).ok();
        Some(Self {
            sums: shaped(numbers)?,
            n_pairs: shaped(n_pairs)?,
        })
    }

    pub(super) fn plus(&self, other: &Self, sign: f64) -> Self {
        Self {
            sums: &self.sums + &(&other.sums * sign),
            n_pairs: &self.n_pairs + &(&other.n_pairs * sign),
        }
    }

    /// The filters for all spots, `[SIDE, SIDE]` each; `None` where no texels were seen or they
    /// are all alike.
    pub(super) fn filters(&self) -> Option<Vec<Array2<f32>>> {
        let covariance = self.covariance()?;
        let mut ridged = covariance.clone();
        let ridge = RIDGE * covariance[[0, 0]];
        ridged.diag_mut().mapv_inplace(|own| own + ridge);
        let factor = inverse_cholesky(&ridged)?;
        let solve = |values: &Array1<f64>| factor.t().dot(&factor.dot(values));
        let ones = Array1::from_elem(SIDE * SIDE, 1.0);
        let of_ones = solve(&ones);
        let filters = SIGMAS_PX.iter().map(|sigma_px| {
            let of_spot = solve(&spot(f64::from(*sigma_px) / TEXEL_PX as f64));
            // The part that answers to brightness alone is taken off.
            let share = of_spot.sum() / of_ones.sum();
            let filter = of_spot - &of_ones * share;
            // The estimate need not be positive where it is weakest.
            let variance = filter.dot(&covariance.dot(&filter));
            if variance.is_nan() || variance <= 0.0 {
                return None;
            }
            let unit = filter.mapv(|weight| (weight / variance.sqrt()) as f32);
            unit.into_shape_with_order((SIDE, SIDE)).ok()
        });
        filters.collect()
    }

    /// Covariance of the texels under a filter, `[SIDE², SIDE²]`.
    fn covariance(&self) -> Option<Array2<f64>> {
        let variance = self.sums[[0, SIDE - 1]] / self.n_pairs[[0, SIDE - 1]];
        if !variance.is_finite() || variance <= 1e-12 {
            return None;
        }
        let n = SIDE * SIDE;
        Some(Array2::from_shape_fn((n, n), |(one, other)| {
            let (first, second) = (one.min(other), one.max(other));
            let down = second / SIDE - first / SIDE;
            let right = second % SIDE + SIDE - 1 - first % SIDE;
            self.sums[[down, right]] / self.n_pairs[[down, right]].max(1.0)
        }))
    }
}

/// A round spot in the middle of a filter, row by row; `sigma` in texels.
fn spot(sigma: f64) -> Array1<f64> {
    let from_middle = |n: usize| n as f64 - (SIDE / 2) as f64;
    Array1::from_shape_fn(SIDE * SIDE, |at| {
        let (down, right) = (from_middle(at / SIDE), from_middle(at % SIDE));
        (-0.5 * (down * down + right * right) / (sigma * sigma)).exp()
    })
}

/// Sum of products, eight at a time.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    const AT_ONCE: usize = 8;
    let mut sums = [0.0_f32; AT_ONCE];
    let (ones, others) = (one.chunks_exact(AT_ONCE), other.chunks_exact(AT_ONCE));
    let rest: f32 = (ones.remainder().iter())
        .zip(others.remainder())
        .map(|(one, other)| one * other)
        .sum();
    for (one, other) in ones.zip(others) {
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            *sum += one * other;
        }
    }
    rest + sums.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise, the same each time, around zero with variance one third.
    fn noise(rows: usize, cols: usize) -> Array2<f32> {
        let mut state = 7_u64;
        Array2::from_shape_simple_fn((rows, cols), || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
    }

    fn response(filter: &Array2<f32>, texels: &Array2<f32>, row: usize, col: usize) -> f32 {
        let reach = SIDE / 2;
        let window = texels.slice(ndarray::s![
            row - reach..=row + reach,
            col - reach..=col + reach
        ]);
        (&window * filter).sum()
    }

    /// A weave four times as strong as its noise.
    fn weave() -> Array2<f32> {
        let mut texels = noise(120, 300) * 0.05;
        for ((row, col), texel) in texels.indexed_iter_mut() {
            *texel += 0.2 * ((row + 2 * col) as f32 * 1.3).sin();
        }
        texels
    }

    #[test]
    fn a_filter_is_blind_to_brightness_and_gives_good_cloth_a_variance_of_one() {
        let texels = weave();
        let mut grain = Grain::new();
        grain.add_texels(texels.view());
        for filter in grain.filters().unwrap() {
            assert!(filter.sum().abs() < 1e-3 * filter.mapv(f32::abs).sum());
            let mut squares = Vec::new();
            for row in SIDE..100 {
                for col in SIDE..280 {
                    squares.push(response(&filter, &texels, row, col).powi(2));
                }
            }
            let variance = squares.iter().sum::<f32>() / squares.len() as f32;
            assert!((0.8..1.1).contains(&variance), "{variance}");
        }
    }

    #[test]
    fn a_spot_fainter_than_the_weave_stands_out_of_it() {
        let good = weave();
        let mut grain = Grain::new();
        grain.add_texels(good.view());
        let filter = &grain.filters().unwrap()[0];
        let mut flawed = good.clone();
        for ((row, col), texel) in flawed.indexed_iter_mut() {
            let (down, right) = (row as f32 - 60.0, col as f32 - 150.0);
            *texel -= 0.15 * (-0.5 * (down * down + right * right)).exp();
        }
        let usual = (SIDE..100)
            .flat_map(|row| (SIDE..280).map(move |col| (row, col)))
            .map(|(row, col)| response(filter, &good, row, col).abs())
            .fold(0.0, f32::max);
        let spot = response(filter, &flawed, 60, 150).abs();
        assert!(spot > 1.5 * usual, "spot {spot}, good cloth up to {usual}");
    }

    #[test]
    fn what_one_fold_added_can_be_taken_off_again() {
        let (mut one, mut other) = (Grain::new(), Grain::new());
        one.add_texels(noise(40, 50).view());
        other.add_texels(weave().view());
        let back = one.plus(&other, 1.0).plus(&other, -1.0);
        let largest = (&back.sums - &one.sums).mapv(f64::abs);
        assert!(largest.iter().all(|away| *away < 1e-9));
    }

    #[test]
    fn cloth_without_grain_has_no_filters() {
        let mut grain = Grain::new();
        assert!(grain.filters().is_none());
        grain.add_texels(Array2::zeros((30, 30)).view());
        assert!(grain.filters().is_none());
    }
}
