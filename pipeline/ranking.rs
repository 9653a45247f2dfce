//! How well scores rank: AUROC of images and pixels, AU-PRO of regions.
//!
//! AUROC is the probability that a defective item scores above a good one, ties counting half.
//! AU-PRO (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021, section 4.3) is
//! the mean share of each defect that is found, integrated over the false positive rate of
//! pixels up to 0.3 and divided by 0.3.

use std::collections::BTreeMap;

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

/// One cell of a score map against the truth.
#[derive(Clone, Debug)]
pub struct CellTruth {
    /// Its score.
    pub score: f32,
    /// Good pixels under it.
    pub n_good: u32,
    /// Pixels under it of each defect, which are numbered over all images.
    pub defects: Vec<(usize, u32)>,
}

/// AU-PRO over all cells of all images. `None` without a defect or without good pixels.
pub fn au_pro(cells: &[CellTruth]) -> Option<f64> {
    let mut sizes: BTreeMap<usize, f64> = BTreeMap::new();
    let mut n_good = 0.0;
    for cell in cells {
        n_good += f64::from(cell.n_good);
        for (defect, n) in &cell.defects {
            *sizes.entry(*defect).or_insert(0.0) += f64::from(*n);
        }
    }
    if sizes.is_empty() || n_good == 0.0 {
        return None;
    }
    let mut order: Vec<&CellTruth> = cells.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let n_defects = sizes.len() as f64;
    let (mut rate, mut overlap, mut area) = (0.0, 0.0, 0.0);
    for ties in order.chunk_by(|a, b| a.score == b.score) {
        let (mut next_rate, mut next_overlap): (f64, f64) = (rate, overlap);
        for cell in ties {
            next_rate += f64::from(cell.n_good) / n_good;
            for (defect, n) in &cell.defects {
                next_overlap += f64::from(*n) / sizes[defect] / n_defects;
            }
        }
        if next_rate >= PRO_LIMIT {
            let share = (PRO_LIMIT - rate) / (next_rate - rate).max(f64::MIN_POSITIVE);
            let at_limit = overlap + share * (next_overlap - overlap);
            area += (PRO_LIMIT - rate) * (overlap + at_limit) / 2.0;
            return Some(area / PRO_LIMIT);
        }
        area += (next_rate - rate) * (overlap + next_overlap) / 2.0;
        (rate, overlap) = (next_rate, next_overlap);
    }
    Some((area + (PRO_LIMIT - rate) * overlap) / PRO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(score: f32, n_good: u32, defects: &[(usize, u32)]) -> CellTruth {
        CellTruth {
            score,
            n_good,
            defects: defects.to_vec(),
        }
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
        let perfect = [cell(2.0, 0, &[(0, 10)]), cell(1.0, 90, &[])];
        assert!((au_pro(&perfect).unwrap() - 1.0).abs() < 1e-12);
        let reversed = [cell(1.0, 0, &[(0, 10)]), cell(2.0, 90, &[])];
        assert!(au_pro(&reversed).unwrap() < 1e-12);
        assert_eq!(au_pro(&[cell(1.0, 5, &[])]), None);
    }

    #[test]
    fn au_pro_counts_defects_not_pixels() {
        // The large defect is found before any good pixel, the small one never.
        let cells = [
            cell(3.0, 0, &[(0, 1000)]),
            cell(2.0, 100, &[]),
            cell(1.0, 0, &[(1, 1)]),
        ];
        assert!((au_pro(&cells).unwrap() - 0.5).abs() < 1e-9);
    }
}
