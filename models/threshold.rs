//! The threshold that a rate of false alarms stands for, from good cloth alone.
//!
//! Of every block of good cloth, judged by a model that did not see it, the highest score is
//! taken. Highest values of many cells follow an extreme value distribution; a Gumbel
//! distribution is fitted to their logarithms (which makes it a Fréchet distribution of the
//! scores themselves: scores are squared distances and have a heavy tail). L-moments are used
//! because they are the least disturbed by few samples (Hosking, "L-Moments", J. R. Statist.
//! Soc. B 52, 1990, section 4: scale = L2 / ln 2, location = L1 − γ · scale).
//!
//! Few blocks cannot vouch for rare events. The share of blocks that may be flagged is never
//! set below half a block in all that was seen, and never above 5 %, unless more was asked
//! for; what was asked, what was set and what is missing are all in [`Evidence`].

use crate::passport::Evidence;

/// Euler's constant.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// Largest share of blocks of good cloth that thin evidence may let through as flagged.
const THIN_SHARE: f64 = 0.05;

/// Expected number of flagged blocks, in all that was seen, that evidence can vouch for.
const VOUCHED_BLOCKS: f64 = 0.5;

/// Shares of blocks beyond which numbers mean nothing: one in more cloth than will ever be
/// woven, and all but one in as much. Within them everything in [`Evidence`] is finite.
const SHARES: (f64, f64) = (1e-15, 1.0 - 1e-15);

/// Areas of a block, in m², within which everything in [`Evidence`] is finite.
const BLOCK_AREAS: (f64, f64) = (1e-9, 1e9);

/// Scores that have a finite logarithm.
const LOGARITHMS_OF: (f64, f64) = (f32::MIN_POSITIVE as f64, f32::MAX as f64);

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FalseAlarms {
    /// False alarms per 100 m² of good cloth; what is no number or below zero counts as zero.
    pub per_100_m2: f64,
}

/// The threshold for `asked`, from each block's highest score (at least two, all positive)
/// and the blocks' mean area in square metres. The threshold is positive, and it and the
/// evidence are finite, whatever was asked for.
pub fn fit_threshold(highest: &[f32], block_m2: f64, asked: FalseAlarms) -> (f32, Evidence) {
    let asked_per_100_m2 = within(asked.per_100_m2, (0.0, f64::MAX));
    let block_m2 = within(block_m2, BLOCK_AREAS);
    let (location, scale) = gumbel(highest);
    let n = highest.len() as f64;
    let asked_share = share_of_blocks(asked_per_100_m2, block_m2);
    let vouched_share = (VOUCHED_BLOCKS / n).min(THIN_SHARE);
    let share = asked_share.max(vouched_share);
    let quantile = location - scale * alarms_per_block(share).ln();
    let needed_blocks = VOUCHED_BLOCKS / asked_share;
    let evidence = Evidence {
        asked_per_100_m2,
        set_per_100_m2: alarms_per_block(share) * 100.0 / block_m2,
        block_share: share,
        n_blocks: highest.len(),
        block_m2,
        location,
        scale,
        more_m2: if asked_share >= vouched_share {
            0.0
        } else {
            (needed_blocks - n).max(0.0) * block_m2
        },
    };
    let threshold = (quantile.exp() as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
    (threshold, evidence)
}

/// Share of blocks with at least one alarm, when alarms fall independently of each other.
fn share_of_blocks(per_100_m2: f64, block_m2: f64) -> f64 {
    within(-(-per_100_m2 * block_m2 / 100.0).exp_m1(), SHARES)
}

/// The inverse of [`share_of_blocks`], for one block.
fn alarms_per_block(share: f64) -> f64 {
    -(-share).ln_1p()
}

/// `value` brought into `limits`; the lower one when it is no number.
fn within(value: f64, limits: (f64, f64)) -> f64 {
    value.max(limits.0).min(limits.1)
}

/// Location and scale of the Gumbel distribution of the logarithms, by L-moments.
fn gumbel(highest: &[f32]) -> (f64, f64) {
    let mut logs: Vec<f64> = highest
        .iter()
        .map(|score| within(f64::from(*score), LOGARITHMS_OF).ln())
        .collect();
    logs.sort_by(f64::total_cmp);
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    let weighted = logs
        .iter()
        .enumerate()
        .map(|(rank, log)| rank as f64 * log)
        .sum::<f64>()
        / (n * (n - 1.0).max(1.0));
    let l2 = (2.0 * weighted - mean).max(1e-6);
    let scale = l2 / std::f64::consts::LN_2;
    (mean - EULER_GAMMA * scale, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of a Fréchet distribution at evenly spread probabilities.
    fn sample(n: usize, location: f64, scale: f64) -> Vec<f32> {
        (0..n)
            .map(|i| {
                let p = (i as f64 + 0.5) / n as f64;
                (location - scale * (-p.ln()).ln()).exp() as f32
            })
            .collect()
    }

    #[test]
    fn finds_the_distribution_it_was_given() {
        let (location, scale) = gumbel(&sample(2000, 0.7, 0.2));
        assert!((location - 0.7).abs() < 0.01, "{location}");
        assert!((scale - 0.2).abs() < 0.01, "{scale}");
    }

    #[test]
    fn thin_evidence_sets_five_percent_and_says_how_much_is_missing() {
        let (threshold, evidence) =
            fit_threshold(&sample(12, 0.7, 0.2), 0.03, FalseAlarms { per_100_m2: 2.0 });
        assert!((evidence.block_share - 0.5 / 12.0).abs() < 1e-9);
        assert!(evidence.set_per_100_m2 > 100.0);
        assert!(evidence.more_m2 > 20.0, "{}", evidence.more_m2);
        assert!(threshold > 2.0 && threshold < 6.0, "{threshold}");
    }

    #[test]
    fn ample_evidence_sets_what_was_asked_for() {
        let (_, evidence) = fit_threshold(
            &sample(5000, 0.7, 0.2),
            0.03,
            FalseAlarms { per_100_m2: 2.0 },
        );
        assert_eq!(evidence.more_m2, 0.0);
        assert!((evidence.set_per_100_m2 - 2.0).abs() < 1e-6);
    }

    #[test]
    fn fewer_false_alarms_need_a_higher_threshold() {
        let sample = sample(20_000, 0.7, 0.2);
        let at = |per_100_m2| fit_threshold(&sample, 0.03, FalseAlarms { per_100_m2 }).0;
        assert!(at(1.0) > at(2.0));
        assert!(at(2.0) > at(20.0));
    }

    #[test]
    fn whatever_is_asked_for_the_evidence_can_be_written_and_read_back() {
        let rates = [
            0.0,
            1e-310,
            1e-300,
            1e-18,
            1e300,
            f64::INFINITY,
            f64::NAN,
            -1.0,
        ];
        for per_100_m2 in rates {
            for block_m2 in [0.0, 0.03, f64::NAN] {
                let asked = FalseAlarms { per_100_m2 };
                let (threshold, evidence) = fit_threshold(&sample(12, 0.7, 0.2), block_m2, asked);
                let text = serde_json::to_string(&evidence).unwrap();
                let read: Evidence = serde_json::from_str(&text).unwrap();
                assert_eq!(read.n_blocks, 12, "{text}");
                assert!(threshold.is_finite() && threshold > 0.0, "{text}");
            }
        }
    }

    #[test]
    fn a_tiny_rate_needs_cloth_in_proportion() {
        let more = |per_100_m2| {
            let asked = FalseAlarms { per_100_m2 };
            fit_threshold(&sample(12, 0.7, 0.2), 0.03, asked).1.more_m2
        };
        // Half an alarm in 50 m² at one per 100 m².
        assert!((more(1e-6) / 50e6 - 1.0).abs() < 1e-6, "{}", more(1e-6));
        assert!((more(1e-9) / 50e9 - 1.0).abs() < 1e-6, "{}", more(1e-9));
    }
}
