//! Golden tiles: a few pictures of the good cloth with the scores they must give.
//!
//! They lie in the ONNX file's metadata under [`GOLDEN_KEY`] and are scored anew whenever
//! the model is loaded, on the device that will be used. Pixels are kept as 8 bit, in hex;
//! the scores were computed from those same 8 bits. They are scores against the taught
//! reference alone, kept in its unit (1.0 = taught scale); differences are judged in the unit
//! that matters, the judgement's threshold.
//!
//! ```text
//! tile ─▶ middle, mirrored where it is too small ─▶ 8 bit ─▶ scores ─▶ compared at each loading
//! ```

use ndarray::{Array3, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::passport::Judgement;
use crate::{CELL_PX, ModelError};

/// Metadata key of the golden tiles.
pub(crate) const GOLDEN_KEY: &str = "selvedge.golden";

/// Side of a golden tile, in pixels.
pub(crate) const GOLDEN_PX: usize = 128;

/// Rows, and columns, of a golden tile's cells.
pub(crate) const GOLDEN_CELLS: usize = GOLDEN_PX / CELL_PX;

/// Largest difference between a golden score now and then, as a share of the judgement's
/// threshold.
pub(crate) const GOLDEN_TOLERANCE: f32 = 1e-3;

/// The 8-bit value that stands for the cloth's usual brightness.
const USUAL_LEVEL: f32 = 120.0;

/// One golden tile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoldenTile {
    planes: usize,
    /// `planes × GOLDEN_PX × GOLDEN_PX` bytes in hex.
    pixels: String,
    /// Scores from the file's own output, row by row; 1.0 = taught scale.
    pub(crate) scores: Vec<f32>,
}

impl GoldenTile {
    /// The middle of `tile` (evened, `[planes, h, w]`), without scores yet. A side that is too
    /// short is mirrored to full length. `None` when the tile is empty.
    pub(crate) fn cut(tile: &Array3<f32>) -> Option<Self> {
        let (planes, height, width) = tile.dim();
        if tile.is_empty() {
            return None;
        }
        let mut pixels = String::with_capacity(planes * GOLDEN_PX * GOLDEN_PX * 2);
        for plane in tile.outer_iter() {
            for row in 0..GOLDEN_PX {
                for col in 0..GOLDEN_PX {
                    let value = plane[[middle(row, height), middle(col, width)]];
                    let level = (value * USUAL_LEVEL).round().clamp(0.0, 255.0) as u8;
                    pixels.extend([level >> 4, level & 15].map(hex_digit));
                }
            }
        }
        Some(Self {
            planes,
            pixels,
            scores: Vec::new(),
        })
    }

    /// Says what cannot be right of a tile for a network of `planes`, if anything.
    pub(crate) fn check(&self, planes: usize) -> Result<(), String> {
        if self.planes != planes {
            return Err(format!("found {} planes, expected {planes}", self.planes));
        }
        let n_digits = 2 * planes * GOLDEN_PX * GOLDEN_PX;
        if self.pixels.len() != n_digits || !self.pixels.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(format!(
                "found {} characters of pixels, expected {n_digits} hex digits",
                self.pixels.len()
            ));
        }
        let n_cells = GOLDEN_CELLS * GOLDEN_CELLS;
        if self.scores.len() != n_cells {
            return Err(format!(
                "found {} scores, expected {n_cells}",
                self.scores.len()
            ));
        }
        if self.scores.iter().any(|score| !score.is_finite()) {
            return Err("found a score that is no number".to_owned());
        }
        Ok(())
    }

    /// The pixels as the network wants them; `None` when the text is not what it should be.
    pub(crate) fn tile(&self) -> Option<Array3<f32>> {
        let bytes = self.pixels.as_bytes();
        if !bytes.is_ascii() {
            return None;
        }
        let values: Option<Vec<f32>> = bytes
            .chunks(2)
            .map(|pair| {
                let text = std::str::from_utf8(pair).ok()?;
                let level = u8::from_str_radix(text, 16).ok()?;
                Some(f32::from(level) / USUAL_LEVEL)
            })
            .collect();
        Array3::from_shape_vec((self.planes, GOLDEN_PX, GOLDEN_PX), values?).ok()
    }

    /// Compares `scores` (1.0 = taught scale) with those of teaching, in units of the
    /// judgement's threshold.
    pub(crate) fn compare(
        &self,
        tile: usize,
        scores: ArrayView2<'_, f32>,
        judgement: &Judgement,
    ) -> Result<(), ModelError> {
        let thresholds_in_one = judgement.taught_scale / judgement.threshold;
        for (cell, (found, expected)) in scores.iter().zip(&self.scores).enumerate() {
            let difference = (found - expected).abs() * thresholds_in_one;
            if difference.is_nan() || difference > GOLDEN_TOLERANCE {
                return Err(ModelError::GoldenDrift {
                    tile,
                    cell,
                    found: found * thresholds_in_one,
                    expected: expected * thresholds_in_one,
                    tolerance: GOLDEN_TOLERANCE,
                });
            }
        }
        Ok(())
    }
}

/// Where pixel `at` of a golden tile's side comes from on a side of `n` pixels.
fn middle(at: usize, n: usize) -> usize {
    if n >= GOLDEN_PX {
        return (n - GOLDEN_PX) / 2 + at;
    }
    let at = at % (2 * n);
    at.min(2 * n - 1 - at)
}

fn hex_digit(value: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(value)])
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// A tile whose pixels say where they are.
    fn tile(height: usize, width: usize) -> Array3<f32> {
        Array3::from_shape_fn((1, height, width), |(_, row, col)| {
            ((row * 7 + col * 3) % 200) as f32 / USUAL_LEVEL
        })
    }

    fn scored(scores: Vec<f32>) -> GoldenTile {
        GoldenTile {
            scores,
            ..GoldenTile::cut(&tile(GOLDEN_PX, GOLDEN_PX)).unwrap()
        }
    }

    const SHAPE: (usize, usize) = (GOLDEN_CELLS, GOLDEN_CELLS);

    #[test]
    fn a_large_tile_gives_its_middle() {
        let large = tile(GOLDEN_PX + 10, GOLDEN_PX + 6);
        let golden = GoldenTile::cut(&large).unwrap().tile().unwrap();
        let expected = large.slice(ndarray::s![.., 5..5 + GOLDEN_PX, 3..3 + GOLDEN_PX]);
        assert_eq!(golden, expected);
    }

    #[test]
    fn a_tile_of_96_lines_is_mirrored_at_its_last() {
        let low = tile(96, 300);
        let golden = GoldenTile::cut(&low).unwrap().tile().unwrap();
        assert_eq!(golden.dim(), (1, GOLDEN_PX, GOLDEN_PX));
        for row in 0..GOLDEN_PX {
            let from = if row < 96 { row } else { 191 - row };
            assert_eq!(golden[[0, row, 0]], low[[0, from, 86]], "row {row}");
        }
    }

    #[test]
    fn any_tile_but_an_empty_one_can_be_golden() {
        assert!(GoldenTile::cut(&tile(1, 1)).unwrap().tile().is_some());
        assert!(GoldenTile::cut(&tile(0, 200)).is_none());
    }

    #[test]
    fn a_tile_that_does_not_fit_the_network_is_refused() {
        let sound = scored(vec![0.5; GOLDEN_CELLS * GOLDEN_CELLS]);
        assert_eq!(sound.check(1), Ok(()));
        let refused = |tile: &GoldenTile, planes| tile.check(planes).unwrap_err();
        assert!(refused(&sound, 3).contains("found 1 planes, expected 3"));
        let few = scored(vec![0.5; 1023]);
        assert!(refused(&few, 1).contains("found 1023 scores, expected 1024"));
        assert!(refused(&scored(Vec::new()), 1).contains("found 0 scores"));
        let mut damaged = sound.clone();
        damaged.scores[3] = f32::INFINITY;
        assert!(refused(&damaged, 1).contains("no number"));
        for pixels in [String::new(), "+1".repeat(GOLDEN_PX * GOLDEN_PX)] {
            let damaged = GoldenTile {
                pixels,
                ..sound.clone()
            };
            assert!(refused(&damaged, 1).contains("expected 32768 hex digits"));
        }
    }

    #[test]
    fn drift_is_measured_in_the_judgements_threshold() {
        let golden = scored(vec![2.0; GOLDEN_CELLS * GOLDEN_CELLS]);
        let mut now = Array2::from_elem(SHAPE, 2.0);
        now[[1, 2]] = 2.0005;
        // One taught scale is one threshold: 0.0005 of it.
        let compared = golden.compare(0, now.view(), &Judgement::bare(1.5, 1.5));
        assert!(compared.is_ok(), "{compared:?}");
        // One taught scale is four thresholds: 0.002 of one.
        let error = golden
            .compare(7, now.view(), &Judgement::bare(1.5, 6.0))
            .unwrap_err();
        let ModelError::GoldenDrift {
            tile,
            cell,
            found,
            expected,
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((tile, cell), (7, GOLDEN_CELLS + 2));
        assert_eq!(expected, 8.0);
        assert!((found - 8.002).abs() < 1e-5, "{found}");
    }

    #[test]
    fn a_score_that_is_no_number_is_drift() {
        let golden = scored(vec![2.0; GOLDEN_CELLS * GOLDEN_CELLS]);
        let now = Array2::from_elem(SHAPE, f32::NAN);
        assert!(
            golden
                .compare(0, now.view(), &Judgement::bare(1.0, 1.0))
                .is_err()
        );
    }
}
