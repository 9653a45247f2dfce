//! Golden tiles: a few pictures of the good cloth with the scores they must give.
//!
//! They lie in the ONNX file's metadata under [`GOLDEN_KEY`] and are scored anew whenever
//! the model is loaded, on the device that will be used. Pixels are kept as 8 bit, in hex;
//! the scores were computed from those same 8 bits.

use ndarray::{Array3, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Metadata key of the golden tiles.
pub(crate) const GOLDEN_KEY: &str = "selvedge.golden";

/// Side of a golden tile, in pixels.
pub(crate) const GOLDEN_PX: usize = 128;

/// Largest difference between a golden score now and then, where 1.0 is the threshold.
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
    /// The middle of `tile` (evened, `[planes, h, w]`), without scores yet; `None` when the
    /// tile is too small.
    pub(crate) fn cut(tile: &Array3<f32>) -> Option<Self> {
        let (planes, height, width) = tile.dim();
        if height < GOLDEN_PX || width < GOLDEN_PX {
            return None;
        }
        let (top, left) = ((height - GOLDEN_PX) / 2, (width - GOLDEN_PX) / 2);
        let middle = tile.slice(ndarray::s![
            ..,
            top..top + GOLDEN_PX,
            left..left + GOLDEN_PX
        ]);
        let pixels = middle
            .iter()
            .map(|value| {
                format!(
                    "{:02x}",
                    (value * USUAL_LEVEL).round().clamp(0.0, 255.0) as u8
                )
            })
            .collect();
        Some(Self {
            planes,
            pixels,
            scores: Vec::new(),
        })
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

    /// Compares `scores` with those of teaching.
    pub(crate) fn compare(
        &self,
        tile: usize,
        scores: ArrayView2<'_, f32>,
    ) -> Result<(), ModelError> {
        for (cell, expected) in self.scores.iter().enumerate() {
            let found = scores.iter().nth(cell).copied().unwrap_or(f32::NAN);
            let difference = (found - expected).abs();
            if difference.is_nan() || difference > GOLDEN_TOLERANCE {
                return Err(ModelError::GoldenDrift {
                    tile,
                    cell,
                    found,
                    expected: *expected,
                    tolerance: GOLDEN_TOLERANCE,
                });
            }
        }
        Ok(())
    }
}
