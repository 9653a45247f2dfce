//! How features of good cloth spread around their column's reference.
//!
//! Per fold: the number of cells, the sum of features (their mean is the taught reference) and
//! the sum of outer products of the differences from the column's reference. Sums of folds add
//! up, so leaving one out is a subtraction. A whitening `W` is the inverse of the Cholesky
//! factor of the covariance: `|W d|²` is then the squared Mahalanobis distance of `d`.

use ndarray::{Array1, Array2, Array3, Axis};

use super::grain::Grain;
use super::memory::{Memory, Rehearsed};
use super::{FEWEST_BLOCKS, N_FOLDS};
use crate::ModelError;
use crate::features::{Block, Features, Patch};
use crate::judge::window_rows;
use crate::likeness::Character;
use crate::passport::ReferenceSettings;
use crate::pattern::Pattern;
use crate::reference::{ColumnSums, Window};

/// Share of the mean variance that is added to each, so that directions in which good cloth
/// hardly varies do not make noise into flaws. 1e-2 lost 0.015 of strip AUROC on three plain
/// weaves, 1e-3 and 1e-4 were alike.
const RIDGE: f64 = 1e-4;

/// Sums over the cells of one fold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moments {
    pub(super) n_cells: f64,
    pub(super) sum: Array1<f64>,
    pub(super) outer: Array2<f64>,
}

/// All sums of the first pass; those of more cloth are added to them.
#[derive(Clone)]
pub(super) struct Learned {
    /// One per fold.
    pub(super) folds: Vec<Moments>,
    /// One per fold.
    pub(super) grains: Vec<Grain>,
    /// One per lane.
    pub(super) columns: Vec<ColumnSums>,
    /// What taught frames are known again by, as the caller says.
    pub(super) frames: Vec<u64>,
    /// Blocks in them.
    pub(super) n_blocks: usize,
    /// How many of these were taught before.
    pub(super) n_before: usize,
}

/// The first pass over good cloth.
pub struct Teacher {
    settings: ReferenceSettings,
    /// One per lane.
    windows: Vec<Window>,
    learned: Learned,
    past: Option<Rehearsed>,
}

/// What the first pass found.
pub struct Whitening {
    /// Reference settings that it belongs to.
    pub(super) settings: ReferenceSettings,
    /// What tells the columns of each lane apart.
    pub(super) patterns: Vec<Pattern>,
    /// From all cloth.
    pub(super) all: Whitener,
    /// Per fold, from all other folds.
    pub(super) without: Vec<Whitener>,
    /// Filters for spots, from all cloth; none where its texels are not known.
    pub(super) filters: Vec<Array2<f32>>,
    /// The same per fold, from all other folds.
    filters_without: Vec<Vec<Array2<f32>>>,
    /// The sums that it comes from.
    pub(super) learned: Learned,
    /// What was rehearsed of earlier cloth.
    pub(super) past: Option<Rehearsed>,
}

/// Makes features uncorrelated and of unit variance on good cloth.
#[derive(Clone, Debug)]
pub struct Whitener {
    /// `[k, k]`, applied from the left to features less their mean.
    pub matrix: Array2<f32>,
    /// The taught reference: mean of all features.
    pub mean: Array1<f32>,
}

impl Teacher {
    /// A teacher of features of `n_features` kinds from `n_lanes` lanes; `mm_per_row` as for
    /// [`crate::Judge`].
    pub fn new(
        n_features: usize,
        settings: ReferenceSettings,
        mm_per_row: f64,
        n_lanes: usize,
    ) -> Self {
        Self {
            settings,
            windows: windows(&settings, mm_per_row, n_lanes),
            learned: Learned {
                folds: vec![Moments::of(n_features); N_FOLDS],
                grains: vec![Grain::new(); N_FOLDS],
                columns: vec![ColumnSums::default(); n_lanes],
                frames: Vec::new(),
                n_blocks: 0,
                n_before: 0,
            },
            past: None,
        }
    }

    /// A teacher who goes on from what was taught before, with the same settings.
    pub fn continuing(memory: Memory, settings: ReferenceSettings, mm_per_row: f64) -> Self {
        let Memory {
            mut learned,
            rehearsed,
        } = memory;
        learned.n_before = learned.n_blocks;
        Self {
            settings,
            windows: windows(&settings, mm_per_row, learned.columns.len()),
            learned,
            past: Some(rehearsed),
        }
    }

    /// Learns from the raw features of the next block of `lane`, counted from 0; blocks of another
    /// lane than there are say nothing.
    pub fn learn(&mut self, lane: usize, block: &Block) {
        let Some(window) = self.windows.get_mut(lane) else {
            return;
        };
        let reference = window.reference(block, self.settings.smooth_cells);
        let learned = &mut self.learned;
        reference.add_to(&mut learned.columns[lane], &block.judged);
        let fold = learned.n_blocks % N_FOLDS;
        learned.grains[fold].add(block);
        let fold = &mut learned.folds[fold];
        for patch in &block.patches {
            let relative = reference.relative(block, patch);
            if relative.ncols() == 0 {
                continue;
            }
            fold.n_cells += relative.ncols() as f64;
            fold.outer += &relative.dot(&relative.t()).mapv(f64::from);
            let (in_patch, _) = patch.columns(&block.judged);
            let features = patch.features.view();
            let kept = features.slice(ndarray::s![
                ..,
                patch.kept.rows.clone(),
                in_patch.start..in_patch.end
            ]);
            for (sum, plane) in fold.sum.iter_mut().zip(kept.outer_iter()) {
                *sum += f64::from(plane.sum());
            }
        }
        window.remember(block, reference, &[]);
        self.learned.n_blocks += 1;
    }

    /// Ends the first pass.
    ///
    /// # Errors
    /// [`ModelError::TooLittleCloth`] with fewer than [`FEWEST_BLOCKS`] blocks,
    /// [`ModelError::NoTexture`] when all cells looked alike.
    pub fn whitening(self) -> Result<Whitening, ModelError> {
        let Learned {
            folds,
            grains,
            columns,
            n_blocks,
            ..
        } = &self.learned;
        if *n_blocks < FEWEST_BLOCKS {
            return Err(ModelError::TooLittleCloth {
                found: *n_blocks,
                expected: FEWEST_BLOCKS,
            });
        }
        let n_folds = (*n_blocks).min(N_FOLDS);
        let total = self.learned.total();
        let all = total.whitener()?;
        let patterns = columns.iter().map(|columns| all.pattern(columns)).collect();
        let without = folds[..n_folds]
            .iter()
            .map(|fold| total.plus(fold, -1.0).whitener())
            .collect::<Result<_, _>>()?;
        let grain = grains[1..]
            .iter()
            .fold(grains[0].clone(), |total, fold| total.plus(fold, 1.0));
        let filters_without: Option<Vec<_>> = grains[..n_folds]
            .iter()
            .map(|fold| grain.plus(fold, -1.0).filters())
            .collect();
        // Either all are known or none is of use.
        let filters = filters_without.as_ref().and_then(|_| grain.filters());
        Ok(Whitening {
            filters: filters.unwrap_or_default(),
            filters_without: filters_without.unwrap_or_default(),
            settings: self.settings,
            patterns,
            all,
            without,
            learned: self.learned,
            past: self.past,
        })
    }
}

impl Learned {
    /// The whitening from all folds.
    pub(super) fn whitener(&self) -> Result<Whitener, ModelError> {
        self.total().whitener()
    }

    fn total(&self) -> Moments {
        let (first, others) = self.folds.split_first().expect("there are folds always");
        let sum = |total: Moments, fold| total.plus(fold, 1.0);
        others.iter().fold(first.clone(), sum)
    }
}

/// A fresh window for each lane.
pub(super) fn windows(
    settings: &ReferenceSettings,
    mm_per_row: f64,
    n_lanes: usize,
) -> Vec<Window> {
    let rows = window_rows(settings, mm_per_row);
    (0..n_lanes).map(|_| Window::new(rows)).collect()
}

impl Whitening {
    /// The whitening from all good cloth.
    pub fn all(&self) -> &Whitener {
        &self.all
    }

    /// The filters for spots that the second pass needs, each fold's in turn; none where nothing
    /// is known of the cloth's grain.
    pub fn held_out_filters(&self) -> Vec<Array2<f32>> {
        self.filters_without.concat()
    }
}

impl Whitener {
    /// Whitened `features`, `[k, rows, cols]`.
    pub fn apply(&self, features: &Array3<f32>) -> Array3<f32> {
        let (k, rows, cols) = features.dim();
        let centred = features - &self.mean.view().insert_axis(Axis(1)).insert_axis(Axis(2));
        let flat = centred
            .into_shape_with_order((k, rows * cols))
            .expect("the same number of values");
        self.matrix
            .dot(&flat)
            .into_shape_with_order((k, rows, cols))
            .expect("the same number of values")
    }
}

impl Whitener {
    /// What a block of raw features looks like; `None` as by [`Character::of`].
    pub fn character(&self, block: &Block) -> Option<Character> {
        Character::of(&self.apply_to_block(block))
    }

    /// A block of raw features as the taught model's network gives it.
    fn apply_to_block(&self, block: &Block) -> Block {
        let whitened = |patch: &Patch| {
            let features = self.apply(&patch.features.view().to_owned());
            let features = Features::from_array(features);
            Patch::new(features, patch.kept.clone(), patch.row, patch.col)
        };
        Block {
            judged: block.judged.clone(),
            patches: block.patches.iter().map(whitened).collect(),
            ..*block
        }
    }

    /// Whitened column means `[k, cols]`.
    pub(super) fn apply_to_means(&self, means: &Array2<f32>) -> Array2<f32> {
        self.matrix
            .dot(&(means - &self.mean.view().insert_axis(Axis(1))))
    }

    fn pattern(&self, columns: &ColumnSums) -> Pattern {
        match columns.means() {
            Some((means, is_known)) => Pattern::of(&self.apply_to_means(&means), is_known),
            None => Pattern::of(&Array2::zeros((self.mean.len(), 0)), Vec::new()),
        }
    }
}

impl Moments {
    /// Sums of nothing.
    pub(super) fn of(n_features: usize) -> Self {
        Self {
            n_cells: 0.0,
            sum: Array1::zeros(n_features),
            outer: Array2::zeros((n_features, n_features)),
        }
    }

    fn plus(&self, other: &Self, sign: f64) -> Self {
        Self {
            n_cells: self.n_cells + sign * other.n_cells,
            sum: &self.sum + &(&other.sum * sign),
            outer: &self.outer + &(&other.outer * sign),
        }
    }

    fn whitener(&self) -> Result<Whitener, ModelError> {
        let n_cells = self.n_cells.max(1.0);
        let mut covariance = &self.outer / n_cells;
        let variance = covariance.diag().mean().unwrap_or(0.0);
        if variance.is_nan() || variance <= 1e-12 {
            return Err(ModelError::NoTexture { variance });
        }
        covariance
            .diag_mut()
            .mapv_inplace(|value| value + RIDGE * variance);
        let matrix = inverse_cholesky(&covariance).ok_or(ModelError::NoTexture { variance })?;
        Ok(Whitener {
            matrix: matrix.mapv(|value| value as f32),
            mean: (&self.sum / n_cells).mapv(|value| value as f32),
        })
    }
}

/// `L⁻¹` of a symmetric positive definite `A = L Lᵀ`; `None` when it is not one.
pub(super) fn inverse_cholesky(a: &Array2<f64>) -> Option<Array2<f64>> {
    let n = a.nrows();
    let mut lower = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| lower[[i, k]] * lower[[j, k]]).sum();
            let rest = a[[i, j]] - dot;
            lower[[i, j]] = if i == j {
                if rest.is_nan() || rest <= 0.0 {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / lower[[j, j]]
            };
        }
    }
    let mut inverse = Array2::<f64>::zeros((n, n));
    for col in 0..n {
        for row in col..n {
            let unit = if row == col { 1.0 } else { 0.0 };
            let dot: f64 = (col..row)
                .map(|k| lower[[row, k]] * inverse[[k, col]])
                .sum();
            inverse[[row, col]] = (unit - dot) / lower[[row, row]];
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn whitening_makes_the_covariance_the_identity() {
        let a = array![[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]];
        let w = inverse_cholesky(&a).unwrap();
        let identity = w.dot(&a).dot(&w.t());
        for ((row, col), value) in identity.indexed_iter() {
            let expected = if row == col { 1.0 } else { 0.0 };
            assert!((value - expected).abs() < 1e-12, "{identity}");
        }
    }

    #[test]
    fn a_matrix_that_is_no_covariance_is_refused() {
        assert!(inverse_cholesky(&array![[1.0, 2.0], [2.0, 1.0]]).is_none());
    }

    #[test]
    fn one_picture_is_too_little_to_teach() {
        let error = Teacher::new(3, super::super::REFERENCE, 0.8, 1)
            .whitening()
            .err()
            .unwrap();
        assert!(error.to_string().contains("expected at least 2"), "{error}");
    }
}
