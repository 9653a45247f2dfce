//! Thresholds for cloth whose tail is known.

use super::*;

/// Share of trials in which the true rate must lie within the interval.
const COVERED: f64 = 0.9;

/// Numbers that look drawn, the same in every run.
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + 1e-17
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.uniform(), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

/// How high a place of good cloth scores.
#[derive(Clone, Copy, Debug)]
enum Cloth {
    /// An exponential tail.
    Plain,
    /// A tail that falls like a power.
    Heavy,
    /// A mean of many squares, as a distance is.
    Squares,
    /// A tail that is heavier than it looks.
    LogNormal,
}

impl Cloth {
    fn place(self, dice: &mut Dice) -> f64 {
        match self {
            Cloth::Plain => -dice.uniform().ln(),
            Cloth::Heavy => (dice.uniform().powf(-0.2) - 1.0) / 0.2,
            Cloth::Squares => (0..8).map(|_| -dice.uniform().ln()).sum::<f64>() / 8.0,
            Cloth::LogNormal => (0.4 * dice.normal()).exp(),
        }
    }

    /// Share of places above `score`.
    fn share_above(self, score: f64) -> f64 {
        match self {
            Cloth::Plain => (-score).exp(),
            Cloth::Heavy => (1.0 + 0.2 * score).powi(-5),
            Cloth::Squares => {
                let x = 8.0 * score;
                let terms = (0..8).scan(1.0, |term, i| {
                    let now = *term;
                    *term *= x / f64::from(i + 1);
                    Some(now)
                });
                (-x).exp() * terms.sum::<f64>()
            }
            Cloth::LogNormal => normal_above(score.ln() / 0.4),
        }
    }
}

/// Share of a standard normal distribution above `x`, for positive `x`, by its continued fraction.
fn normal_above(x: f64) -> f64 {
    let fraction = (1..60).rev().fold(x, |rest, i| x + f64::from(i) / rest);
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt() / fraction
}

const PLACES_PER_BLOCK: usize = 100;
const BLOCK_M2: f64 = 0.04;

/// Peaks of `n_blocks` blocks, each taller than the next by chance, `unlike` as a logarithm.
fn woven(cloth: Cloth, n_blocks: usize, unlike: f64, dice: &mut Dice) -> Peaks {
    let mut peaks = Peaks::default();
    for block in 0..n_blocks {
        let taller = (unlike * dice.normal()).exp();
        for row in 0..PLACES_PER_BLOCK {
            peaks.add(Peak {
                score: (taller * cloth.place(dice)) as f32,
                block,
                row,
                col: 0,
            });
        }
    }
    peaks
}

/// False alarms per 100 m² that cloth like this really gives at `threshold`.
fn true_rate(cloth: Cloth, unlike: f64, threshold: f32) -> f64 {
    let mut dice = Dice(99);
    let n = if unlike > 0.0 { 400 } else { 1 };
    let share: f64 = (0..n)
        .map(|_| cloth.share_above(f64::from(threshold) / (unlike * dice.normal()).exp()))
        .sum();
    share / f64::from(n) * PLACES_PER_BLOCK as f64 * 100.0 / BLOCK_M2
}

/// Shares of trials in which the true rate lies below, within and above the stated interval, and
/// the median of how often the stated rate the true one is.
fn trials(cloth: Cloth, n_blocks: usize, unlike: f64, n_trials: usize) -> ([f64; 3], f64) {
    let mut dice = Dice(n_blocks as u64 * 1000 + 7);
    let mut counts = [0.0; 3];
    let mut ratios = Vec::new();
    for _ in 0..n_trials {
        let peaks = woven(cloth, n_blocks, unlike, &mut dice);
        let asked = FalseAlarms { per_100_m2: 20.0 };
        let (threshold, evidence) = fit_threshold(&peaks, n_blocks, BLOCK_M2, asked);
        let rate = true_rate(cloth, unlike, threshold);
        let [low, high] = evidence.interval_per_100_m2;
        counts[usize::from(rate >= low) + usize::from(rate > high)] += 1.0;
        ratios.push(rate / evidence.set_per_100_m2);
    }
    ratios.sort_by(f64::total_cmp);
    (counts.map(|n| n / n_trials as f64), ratios[n_trials / 2])
}

#[test]
fn the_true_rate_lies_in_the_stated_interval_in_nine_of_ten_trials() {
    let mut lines = Vec::new();
    let mut within = Vec::new();
    for n_blocks in [2, 6, 12, 50] {
        for unlike in [0.0, 0.1, 0.2] {
            for cloth in [Cloth::Plain, Cloth::Heavy, Cloth::Squares, Cloth::LogNormal] {
                let (shares, ratio) = trials(cloth, n_blocks, unlike, 60);
                within.push(shares[1]);
                lines.push(format!(
                    "{n_blocks} blocks, unlike {unlike}, {cloth:?}: below {:.2}, within {:.2}, above {:.2}; median true / stated {ratio:.2}",
                    shares[0], shares[1], shares[2]
                ));
            }
        }
    }
    println!("{}", lines.join("\n"));
    let mean = within.iter().sum::<f64>() / within.len() as f64;
    assert!(
        mean >= COVERED,
        "{mean:.3} of all trials:\n{}",
        lines.join("\n")
    );
    let least = within.iter().copied().fold(1.0, f64::min);
    assert!(least >= 0.8, "{}", lines.join("\n"));
}

/// Peaks of even cloth.
fn even(n_blocks: usize) -> Peaks {
    woven(Cloth::Squares, n_blocks, 0.0, &mut Dice(n_blocks as u64))
}

#[test]
fn thin_evidence_sets_what_it_can_vouch_for_and_says_how_much_is_missing() {
    let asked = FalseAlarms { per_100_m2: 2.0 };
    let (threshold, evidence) = fit_threshold(&even(12), 12, 0.04, asked);
    assert!(
        (evidence.block_share - 0.6 / 12.0).abs() < 1e-3,
        "{evidence:?}"
    );
    assert!(evidence.set_per_100_m2 > 90.0, "{evidence:?}");
    assert!((evidence.more_m2 - 29.5).abs() < 0.1, "{evidence:?}");
    let highest = even(12).sorted()[0].score;
    assert!(
        threshold > 0.8 * highest && threshold < 1.5 * highest,
        "{threshold} {highest}"
    );
}

#[test]
fn ample_evidence_sets_what_was_asked_for() {
    let asked = FalseAlarms { per_100_m2: 2.0 };
    let (_, evidence) = fit_threshold(&even(1000), 1000, 0.04, asked);
    assert_eq!(evidence.more_m2, 0.0);
    assert!((evidence.set_per_100_m2 - 2.0).abs() < 0.02, "{evidence:?}");
    let [low, high] = evidence.interval_per_100_m2;
    assert!(low > 0.3 && high < 12.0, "{evidence:?}");
}

#[test]
fn more_cloth_narrows_the_interval() {
    let asked = FalseAlarms { per_100_m2: 200.0 };
    let widths = [3, 12, 100, 1000].map(|n| {
        let [low, high] = fit_threshold(&even(n), n, 0.04, asked)
            .1
            .interval_per_100_m2;
        high / low
    });
    assert!(
        widths.is_sorted_by(|wide, narrow| wide > narrow),
        "{widths:?}"
    );
}

#[test]
fn fewer_false_alarms_need_a_higher_threshold() {
    let peaks = even(5000);
    let at = |per_100_m2| fit_threshold(&peaks, 5000, 0.04, FalseAlarms { per_100_m2 }).0;
    assert!(at(1.0) > at(2.0));
    assert!(at(2.0) > at(20.0));
}

#[test]
fn whatever_is_asked_for_the_evidence_can_be_written_and_read_back() {
    let rates = [0.0, 1e-310, 1e-18, 1e300, f64::INFINITY, f64::NAN, -1.0];
    let mut alike = Peaks::default();
    for block in 0..12 {
        alike.add(Peak {
            score: 0.5,
            block,
            row: 0,
            col: 0,
        });
    }
    let mut single = Peaks::default();
    single.add(alike.sorted()[0]);
    for peaks in [even(12), alike, single, Peaks::default()] {
        for per_100_m2 in rates {
            for block_m2 in [0.0, 0.03, f64::NAN] {
                let asked = FalseAlarms { per_100_m2 };
                let (threshold, evidence) = fit_threshold(&peaks, 12, block_m2, asked);
                let text = serde_json::to_string(&evidence).unwrap();
                let read: Evidence = serde_json::from_str(&text).unwrap();
                assert_eq!(read.n_blocks, 12, "{text}");
                assert!(threshold.is_finite() && threshold > 0.0, "{text}");
            }
        }
    }
}

#[test]
fn a_tiny_rate_needs_cloth_in_proportion() {
    let more = |per_100_m2| {
        let asked = FalseAlarms { per_100_m2 };
        fit_threshold(&even(12), 12, 0.03, asked).1.more_m2
    };
    // 0.6 of an alarm in 60 m² at one per 100 m².
    assert!((more(1e-6) / 60e6 - 1.0).abs() < 1e-6, "{}", more(1e-6));
    assert!((more(1e-9) / 60e9 - 1.0).abs() < 1e-6, "{}", more(1e-9));
}
