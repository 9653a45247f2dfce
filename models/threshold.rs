//! The threshold that a rate of false alarms stands for, from good cloth alone.
//!
//! ```text
//! held-out score maps ─▶ Peaks ─▶ Tail ─┬▶ threshold: the score that is passed as often as allowed
//! what was asked ─▶ Allowance ──────────┴▶ Evidence: how often that is, and between what limits
//! ```
//!
//! [`peaks`] gathers the highest places of good cloth, each block judged by a model that did not
//! see it; [`tail`] fits how fast they get rarer with height. Here what the user asks for meets
//! what the cloth can vouch for.
//!
//! Few blocks cannot vouch for rare events. The share of blocks that may be flagged is never
//! set below 0.6 of a block in all that was seen, and never above 5 %, unless more was asked
//! for; what was asked, what was set, its limits and what is missing are all in [`Evidence`].
//! Nothing here knows what a score is made of.

mod peaks;
mod tail;

pub use self::peaks::{Peak, Peaks};
pub(crate) use self::tail::Tail;

use crate::passport::{Evidence, Method};

/// Largest share of blocks of good cloth that thin evidence may let through as flagged.
const THIN_SHARE: f64 = 0.05;

/// Expected number of flagged blocks, in all that was seen, that evidence can vouch for: twelve
/// strips, as usually taught, vouch for [`THIN_SHARE`].
const VOUCHED_BLOCKS: f64 = 0.6;

/// Shares of blocks beyond which numbers mean nothing: one in more cloth than will ever be
/// woven, and all but one in as much. Within them everything in [`Evidence`] is finite.
const SHARES: (f64, f64) = (1e-15, 1.0 - 1e-15);

/// Areas of a block, in m², within which everything in [`Evidence`] is finite.
const BLOCK_AREAS: (f64, f64) = (1e-9, 1e9);

/// Alarms per 100 m² of which evidence speaks: beyond lies one on every square millimetre.
const MOST_PER_100_M2: f64 = 1e8;

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FalseAlarms {
    /// False alarms per 100 m² of good cloth; what is no number or below zero counts as zero.
    pub per_100_m2: f64,
}

/// What may be flagged of the cloth that was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    asked_per_100_m2: f64,
    n_blocks: usize,
    block_m2: f64,
    asked_share: f64,
    vouched_share: f64,
}

/// A threshold and how often good cloth passes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// The score.
    pub(crate) threshold: f32,
    /// Alarms per block: the middle of what the evidence allows.
    pub(crate) rate: f64,
    /// The same, 5 % and 95 %.
    pub(crate) rates: [f64; 2],
}

impl Allowance {
    /// What `asked` comes to for `n_blocks` blocks of `block_m2` m² each.
    pub(crate) fn of(asked: FalseAlarms, n_blocks: usize, block_m2: f64) -> Self {
        let asked_per_100_m2 = within(asked.per_100_m2, (0.0, f64::MAX));
        let block_m2 = within(block_m2, BLOCK_AREAS);
        Self {
            asked_per_100_m2,
            n_blocks,
            block_m2,
            asked_share: share_of_blocks(asked_per_100_m2, block_m2),
            vouched_share: (VOUCHED_BLOCKS / n_blocks.max(1) as f64).min(THIN_SHARE),
        }
    }

    /// Alarms per block that may be.
    pub(crate) fn per_block(&self) -> f64 {
        alarms_per_block(self.asked_share.max(self.vouched_share))
    }

    /// Where `tail` is passed `per_block` times per block, as far as it reaches.
    pub(crate) fn limit(tail: &Tail, per_block: f64) -> Limit {
        let threshold = within(
            tail.score_at(per_block),
            (f32::MIN_POSITIVE.into(), f32::MAX.into()),
        );
        let [low, rate, high] = tail.rates_above(threshold);
        Limit {
            threshold: threshold as f32,
            rate,
            rates: [low, high],
        }
    }

    /// What stands in the passport for thresholds that were found together: alarms of either are
    /// alarms. `tail` is that of the first.
    pub(crate) fn evidence(&self, tail: &Tail, limits: &[Limit]) -> Evidence {
        let sum = |of: fn(&Limit) -> f64| limits.iter().map(of).sum::<f64>();
        let per_100_m2 = |per_block: f64| {
            let rate = per_block * 100.0 / self.block_m2;
            within(rate, (0.0, MOST_PER_100_M2.max(self.asked_per_100_m2)))
        };
        let rate = sum(|limit| limit.rate);
        let needed_blocks = VOUCHED_BLOCKS / self.asked_share;
        Evidence {
            method: Method::PeaksOverThreshold,
            asked_per_100_m2: self.asked_per_100_m2,
            set_per_100_m2: per_100_m2(rate),
            interval_per_100_m2: [
                per_100_m2(sum(|limit| limit.rates[0])),
                per_100_m2(sum(|limit| limit.rates[1])),
            ],
            block_share: -(-rate).exp_m1(),
            n_blocks: self.n_blocks,
            block_m2: self.block_m2,
            n_peaks: tail.n_peaks(),
            from: tail.from(),
            shape: tail.shape(),
            scale: tail.scale(),
            spread: tail.spread(),
            more_m2: if self.asked_share >= self.vouched_share {
                0.0
            } else {
                (needed_blocks - self.n_blocks as f64).max(0.0) * self.block_m2
            },
        }
    }
}

/// The threshold for `asked`, from the `peaks` of `n_blocks` blocks of good cloth of `block_m2` m²
/// each. It is positive, and it and the evidence are finite, whatever was asked for.
pub fn fit_threshold(
    peaks: &Peaks,
    n_blocks: usize,
    block_m2: f64,
    asked: FalseAlarms,
) -> (f32, Evidence) {
    let allowance = Allowance::of(asked, n_blocks, block_m2);
    let tail = Tail::fit(peaks, n_blocks);
    let limit = Allowance::limit(&tail, allowance.per_block());
    (limit.threshold, allowance.evidence(&tail, &[limit]))
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

#[cfg(test)]
mod tests;
