//! The size that is found in nine cases of ten, from what was found and what was missed.
//!
//! The chance that a flaw is found grows with the logarithm of its size as a logistic curve. The
//! curve is held by the size itself, `t`, at which it reaches 0.9, and by its slope. `t` is where the
//! likelihood is largest; its upper bound is where the likelihood, at the best slope for each `t`, has
//! fallen by what is exceeded in 5 % of cases (a profile bound, which needs no normal
//! approximation and stays true where all or nothing was found). Both are looked for on a grid:
//! there are few flaws, and a grid always ends.

/// A planted flaw: its size, and whether it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    /// In any unit, positive.
    pub(super) size: f64,
    pub(super) is_found: bool,
}

/// Sizes in the unit of the trials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fitted {
    /// Found in nine cases of ten; `None` beyond the largest trial.
    pub(super) size: Option<f64>,
    /// That is so with 95 % confidence; `None` beyond the largest trial.
    pub(super) bound: Option<f64>,
}

/// Log-odds of nine in ten.
const LOG_ODDS: f64 = 2.197_224_577_336_219_6;
/// By how much the log-likelihood falls at a one-sided 95 % bound: half of the 90 % quantile of
/// chi-squared with one degree of freedom.
const FALL: f64 = 2.705_543_454_095_404 / 2.0;
/// Slopes of the curve, in log-odds per unit of the size's logarithm: from one that takes a factor
/// of nine from one half to nine tenths, to one that takes a tenth of the size.
const SLOPES: (f64, f64) = (1.0, 23.0);
const N_SLOPES: usize = 40;
/// How far beyond the trials `t` is looked for, and in which steps, in the size's logarithm.
const BEYOND: f64 = 3.0;
const STEP: f64 = 0.02;

/// The size found in nine cases of ten. Nothing is known from no trials.
pub(super) fn fit(trials: &[Trial]) -> Fitted {
    let sizes = trials.iter().map(|trial| trial.size);
    let (smallest, largest) = sizes.fold((f64::INFINITY, 0.0_f64), |(low, high), size| {
        (low.min(size), high.max(size))
    });
    if trials.is_empty() {
        return Fitted {
            size: None,
            bound: None,
        };
    }
    let (low, high) = (smallest.ln() - BEYOND, largest.ln() + BEYOND);
    let n_steps = ((high - low) / STEP).ceil() as usize;
    let profile: Vec<(f64, f64)> = (0..=n_steps)
        .map(|step| {
            let at = low + (high - low) * step as f64 / n_steps as f64;
            (at, likelihood(trials, at))
        })
        .collect();
    // Where all was found, every small size is as likely: the largest of them is what is known.
    let best = profile
        .iter()
        .map(|(_, log)| *log)
        .fold(f64::NEG_INFINITY, f64::max);
    let last = |fall: f64| {
        let mut within = profile.iter().rev();
        let last = within.find(|(_, log)| best - log <= fall);
        last.map_or(high, |(at, _)| *at)
    };
    let known = |at: f64| (at <= largest.ln()).then(|| at.exp().clamp(smallest, largest));
    Fitted {
        size: known(last(1e-9)),
        bound: known(last(FALL)),
    }
}

/// Log-likelihood of the trials when nine in ten of size `exp(at)` are found, at the best slope.
fn likelihood(trials: &[Trial], at: f64) -> f64 {
    let step = (SLOPES.1 / SLOPES.0).ln() / (N_SLOPES - 1) as f64;
    let of_slope = |nth: usize| {
        let slope = SLOPES.0 * (step * nth as f64).exp();
        let of_trial = |trial: &Trial| {
            let log_odds = LOG_ODDS + slope * (trial.size.ln() - at);
            let seen = if trial.is_found { -log_odds } else { log_odds };
            // −ln(1 + e^x), without overflow.
            -(seen.max(0.0) + (-seen.abs()).exp().ln_1p())
        };
        trials.iter().map(of_trial).sum::<f64>()
    };
    (0..N_SLOPES)
        .map(of_slope)
        .fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in [0, 1), the same each time.
    fn uniform(seed: &mut u64) -> f64 {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `n` trials from 0.5 to 8 of a curve that reaches 0.9 at `size`.
    fn trials(n: usize, size: f64, slope: f64, seed: u64) -> Vec<Trial> {
        let mut seed = seed;
        (0..n)
            .map(|nth| {
                let tried = 0.5 * 16.0_f64.powf((nth as f64 + 0.5) / n as f64);
                let log_odds = LOG_ODDS + slope * (tried / size).ln();
                let chance = 1.0 / (1.0 + (-log_odds).exp());
                Trial {
                    size: tried,
                    is_found: uniform(&mut seed) < chance,
                }
            })
            .collect()
    }

    #[test]
    fn the_size_is_found_and_the_bound_holds_nineteen_times_in_twenty() {
        let (mut sum, mut n_held, n) = (0.0, 0, 200);
        for seed in 0..n {
            let fitted = fit(&trials(90, 2.0, 4.0, seed * 7919 + 1));
            sum += fitted.size.unwrap_or(8.0).ln();
            n_held += u64::from(fitted.bound.is_none_or(|bound| bound >= 2.0));
        }
        let mean = (sum / n as f64).exp();
        assert!((1.8..2.2).contains(&mean), "{mean}");
        assert!((183..=198).contains(&n_held), "{n_held} of {n}");
    }

    #[test]
    fn what_is_never_found_is_not_reached() {
        let mut none = trials(60, 2.0, 4.0, 1);
        none.iter_mut().for_each(|trial| trial.is_found = false);
        let fitted = fit(&none);
        assert_eq!((fitted.size, fitted.bound), (None, None));
        assert_eq!(fit(&[]).size, None);
    }

    #[test]
    fn what_is_always_found_is_the_smallest_that_was_tried() {
        let mut all = trials(60, 2.0, 4.0, 1);
        all.iter_mut().for_each(|trial| trial.is_found = true);
        let fitted = fit(&all);
        assert_eq!(fitted.size, Some(all[0].size));
        assert!(fitted.bound.unwrap() < 2.0, "{fitted:?}");
    }

    #[test]
    fn few_trials_give_a_wide_bound() {
        let width = |n| {
            let of_seed = |seed| {
                let fitted = fit(&trials(n, 2.0, 4.0, seed));
                let size = fitted.size.unwrap_or(8.0);
                (fitted.bound.unwrap_or(8.0) / size).ln()
            };
            (1..=20).map(of_seed).sum::<f64>() / 20.0
        };
        assert!(width(12) > 2.0 * width(400), "{} {}", width(12), width(400));
        assert!(width(400) < 0.2, "{}", width(400));
    }
}
