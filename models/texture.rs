//! A classical scorer that needs no network: brightness, contrast and edges at three scales.
//!
//! Baseline for what the network is worth, and the tests' scorer where ONNX Runtime is not
//! wanted. Like the network it gives features per cell, to be whitened: untaught it gives them
//! raw, with [`Texture::whitened`] it gives what a taught model gives. It sees no colour.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, s};

use crate::teach::Whitener;
use crate::{CELL_PX, Features, ModelError, Scorer, TILE_STEP_PX};

/// Half sides of the boxes over which a cell's surroundings are averaged, in pixels.
const REACHES: [usize; 3] = [2, 4, 8];
/// Brightness, spread, edge energy along and across.
const N_KINDS: usize = 4;

/// The classical scorer.
#[derive(Clone, Debug, Default)]
pub struct Texture {
    whitener: Option<Whitener>,
}

impl Texture {
    /// Raw features, for teaching.
    pub fn raw() -> Self {
        Self::default()
    }

    /// Whitened features, for judging.
    pub fn whitened(whitener: Whitener) -> Self {
        Self {
            whitener: Some(whitener),
        }
    }
}

impl Scorer for Texture {
    fn n_planes(&self) -> usize {
        1
    }

    fn n_features(&self) -> usize {
        N_KINDS * REACHES.len()
    }

    fn features(&mut self, tile: ArrayView3<'_, f32>) -> Result<Features, ModelError> {
        let (planes, height, width) = tile.dim();
        let fits = |side: usize| side > 0 && side.is_multiple_of(TILE_STEP_PX);
        if planes != 1 || !fits(height) || !fits(width) {
            return Err(ModelError::WrongTile {
                found: tile.shape().to_vec(),
                expected: format!("[1, h, w] with h and w multiples of {TILE_STEP_PX}"),
            });
        }
        let pixels = tile.index_axis(ndarray::Axis(0), 0);
        let along = absolute_steps(pixels, 1, 0);
        let across = absolute_steps(pixels, 0, 1);
        let sums = [
            Integral::of(pixels),
            Integral::of(pixels.mapv(|value| value * value).view()),
            Integral::of(along.view()),
            Integral::of(across.view()),
        ];
        let (rows, cols) = (height / CELL_PX, width / CELL_PX);
        let mut features = Array3::zeros((self.n_features(), rows, cols));
        for (scale, reach) in REACHES.into_iter().enumerate() {
            for row in 0..rows {
                for col in 0..cols {
                    let [mean, square, along, across] = sums
                        .each_ref()
                        .map(|sums| sums.mean_around(row, col, reach));
                    let spread = (square - mean * mean).max(0.0).sqrt();
                    let kinds = [mean, spread, along, across];
                    for (kind, value) in kinds.into_iter().enumerate() {
                        features[[scale * N_KINDS + kind, row, col]] = value as f32;
                    }
                }
            }
        }
        Ok(Features::from_array(match &self.whitener {
            None => features,
            Some(whitener) => whitener.apply(&features),
        }))
    }
}

/// Absolute difference of each pixel to its neighbour `down` rows and `right` columns on.
fn absolute_steps(pixels: ArrayView2<'_, f32>, down: usize, right: usize) -> Array2<f32> {
    let (height, width) = pixels.dim();
    let mut steps = Array2::zeros((height, width));
    let from = pixels.slice(s![..height - down, ..width - right]);
    let to = pixels.slice(s![down.., right..]);
    ndarray::Zip::from(steps.slice_mut(s![..height - down, ..width - right]))
        .and(from)
        .and(to)
        .for_each(|step, from, to| *step = (to - from).abs());
    steps
}

/// Sums over all rectangles from the top left corner.
struct Integral(Array2<f64>);

impl Integral {
    fn of(values: ArrayView2<'_, f32>) -> Self {
        let (height, width) = values.dim();
        let mut sums = Array2::zeros((height + 1, width + 1));
        for row in 0..height {
            let mut in_row = 0.0;
            for col in 0..width {
                in_row += f64::from(values[[row, col]]);
                sums[[row + 1, col + 1]] = sums[[row, col + 1]] + in_row;
            }
        }
        Self(sums)
    }

    /// Mean over a cell grown by `reach` pixels, as far as there are pixels.
    fn mean_around(&self, row: usize, col: usize, reach: usize) -> f64 {
        let (height, width) = (self.0.nrows() - 1, self.0.ncols() - 1);
        let top = (row * CELL_PX).saturating_sub(reach);
        let left = (col * CELL_PX).saturating_sub(reach);
        let bottom = ((row + 1) * CELL_PX + reach).min(height);
        let right = ((col + 1) * CELL_PX + reach).min(width);
        let sum = self.0[[bottom, right]] - self.0[[top, right]] - self.0[[bottom, left]]
            + self.0[[top, left]];
        sum / ((bottom - top) * (right - left)) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_tile_has_brightness_and_nothing_else() {
        let tile = Array3::from_elem((1, 16, 24), 1.5);
        let features = Texture::raw().features(tile.view()).unwrap();
        assert_eq!(features.shape(), [12, 4, 6]);
        for (kind, plane) in features.view().outer_iter().enumerate() {
            let expected = if kind % N_KINDS == 0 { 1.5 } else { 0.0 };
            assert!(plane.iter().all(|value| (value - expected).abs() < 1e-6));
        }
    }

    #[test]
    fn a_tile_of_odd_size_is_refused_with_both_sizes() {
        let error = Texture::raw()
            .features(Array3::zeros((1, 15, 24)).view())
            .err()
            .unwrap();
        assert!(error.to_string().contains("[1, 15, 24]"), "{error}");
    }
}
