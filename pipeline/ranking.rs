//! How well scores rank: AUROC of images and pixels, AU-PRO of regions.
//!
//! AUROC is the probability that a defective item scores above a good one, ties counting half.
//! AU-PRO (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021, section 4.3) is
//! the mean share of each defect that is found, integrated over the false positive rate of
//! pixels up to 0.3 and divided by 0.3.

/// Upper end of the false positive rate for AU-PRO.
const PRO_LIMIT: f64 = 0.3;

/// AUROC of weighted items: score, weight among the good, weight among the defective. `None`
/// when one side has no weight.
pub fn auroc(items: impl IntoIterator<Item = (f32, f64, f64)>) -> Option<f64> {
    let mut items: Vec<(f32, f64, f64)> = items.into_iter().collect();
    items.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut good, mut defective, mut won) = (0.0, 0.0, 0.0);
    for ties in items.chunk_by(|a, b| a.0 == b.0) {
        let tied_good: f64 = ties.iter().map(|item| item.1).sum();
        let tied_defective: f64 = ties.iter().map(|item| item.2).sum();
        won += tied_defective * (good + tied_good / 2.0);
        good += tied_good;
        defective += tied_defective;
    }
    (good > 0.0 && defective > 0.0).then(|| won / (good * defective))
}

/// Pixels of any number of images, counted by their scores.
///
/// Scores are told apart to about 0.05 %; closer ones are ties. That makes the memory that of
/// three tables, 24 MB, however many images there are.
pub struct PixelRanking {
    /// Good pixels per score, lowest first.
    n_good: Vec<u64>,
    /// Defective pixels per score.
    n_defective: Vec<u64>,
    /// Shares of defects per score; all of them sum up to `n_defects`.
    found: Vec<f64>,
    n_defects: usize,
}

/// Bits of a score that are told apart: sign, exponent and eleven of the mantissa.
const SCORE_BITS: u32 = 20;

impl Default for PixelRanking {
    fn default() -> Self {
        Self {
            n_good: vec![0; 1 << SCORE_BITS],
            n_defective: vec![0; 1 << SCORE_BITS],
            found: vec![0.0; 1 << SCORE_BITS],
            n_defects: 0,
        }
    }
}

impl PixelRanking {
    /// Counts `n` good pixels of one score.
    pub fn add_good(&mut self, score: f32, n: u32) {
        self.n_good[rank_of(score)] += u64::from(n);
    }

    /// Counts one whole defect, given the score of each of its pixels.
    pub fn add_defect(&mut self, scores: &[f32]) {
        let share = 1.0 / scores.len().max(1) as f64;
        self.n_defects += usize::from(!scores.is_empty());
        for score in scores {
            let rank = rank_of(*score);
            self.n_defective[rank] += 1;
            self.found[rank] += share;
        }
    }

    /// AUROC of pixels; `None` when one side is empty.
    pub fn auroc(&self) -> Option<f64> {
        let counts = self.n_good.iter().zip(&self.n_defective).enumerate();
        let counts = counts.filter(|(_, (good, defective))| **good + **defective > 0);
        auroc(
            counts.map(|(rank, (good, defective))| (rank as f32, *good as f64, *defective as f64)),
        )
    }

    /// AU-PRO; `None` without a defect or without good pixels.
    pub fn au_pro(&self) -> Option<f64> {
        let n_good = self.n_good.iter().sum::<u64>() as f64;
        if self.n_defects == 0 || n_good == 0.0 {
            return None;
        }
        let n_defects = self.n_defects as f64;
        let (mut rate, mut overlap, mut area) = (0.0, 0.0, 0.0);
        for (n, found) in self.n_good.iter().zip(&self.found).rev() {
            let found = found / n_defects;
            if *n == 0 && found == 0.0 {
                continue;
            }
            let next_rate = rate + *n as f64 / n_good;
            let next_overlap = overlap + found;
            if next_rate >= PRO_LIMIT {
                let share = (PRO_LIMIT - rate) / (next_rate - rate);
                let at_limit = overlap + share * (next_overlap - overlap);
                area += (PRO_LIMIT - rate) * (overlap + at_limit) / 2.0;
                return Some(area / PRO_LIMIT);
            }
            area += (next_rate - rate) * (overlap + next_overlap) / 2.0;
            (rate, overlap) = (next_rate, next_overlap);
        }
        Some((area + (PRO_LIMIT - rate) * overlap) / PRO_LIMIT)
    }
}

/// Place of a score among all scores, without its last bits.
fn rank_of(score: f32) -> usize {
    let bits = score.to_bits();
    // Flips the order of negative numbers and puts them below the positive ones.
    let ordered = if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    (ordered >> (32 - SCORE_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Good pixels and defects, each of one score.
    fn ranking(good: &[(f32, u32)], defects: &[(f32, usize)]) -> PixelRanking {
        let mut ranking = PixelRanking::default();
        for (score, n) in good {
            ranking.add_good(*score, *n);
        }
        for (score, n) in defects {
            ranking.add_defect(&vec![*score; *n]);
        }
        ranking
    }

    #[test]
    fn auroc_of_known_rankings() {
        let of = |scores: &[(f32, bool)]| {
            auroc(scores.iter().map(|(score, defective)| {
                let defective = f64::from(u8::from(*defective));
                (*score, 1.0 - defective, defective)
            }))
        };
        assert_eq!(of(&[(0.1, false), (0.9, true)]), Some(1.0));
        assert_eq!(of(&[(0.9, false), (0.1, true)]), Some(0.0));
        assert_eq!(of(&[(0.5, false), (0.5, true)]), Some(0.5));
        assert_eq!(
            of(&[(0.1, false), (0.4, true), (0.3, false), (0.2, true)]),
            Some(0.75)
        );
        assert_eq!(of(&[(0.5, true)]), None);
    }

    #[test]
    fn au_pro_of_a_perfect_map_is_one_and_of_a_reversed_one_zero() {
        let perfect = ranking(&[(1.0, 90)], &[(2.0, 10)]);
        assert!((perfect.au_pro().unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(perfect.auroc(), Some(1.0));
        let reversed = ranking(&[(2.0, 90)], &[(1.0, 10)]);
        assert!(reversed.au_pro().unwrap() < 1e-12);
        assert_eq!(reversed.auroc(), Some(0.0));
        assert_eq!(ranking(&[(1.0, 5)], &[]).au_pro(), None);
    }

    #[test]
    fn au_pro_counts_defects_not_pixels() {
        // The large defect is found before any good pixel, the small one never.
        let ranking = ranking(&[(2.0, 100)], &[(3.0, 1000), (1.0, 1)]);
        assert!((ranking.au_pro().unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn scores_keep_their_order() {
        let scores = [-5.0, -0.1, 0.0, 1e-6, 0.5, 1.0, 1.001, 40.0];
        let ranks: Vec<usize> = scores.into_iter().map(rank_of).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    }
}
