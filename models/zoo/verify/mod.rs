//! Compare a converted network with the outputs that PyTorch gave once.
//!
//! ```text
//! formula ─▶ input ─▶ ONNX Runtime ─▶ outputs ─┬─▶ compare ─▶ largest deviation
//! reference/*.json (make_*.py) ────────────────┘
//! ```
//!
//! The reference is a sample of every output and every channel. A deviation is
//! measured against the standard deviation of its channel, because channels
//! differ in scale and a weak one would otherwise hide a fault.

use std::collections::BTreeMap;

use ndarray::{Array4, ArrayD};

#[cfg(not(feature = "onnx"))]
mod disabled;
#[cfg(feature = "onnx")]
mod enabled;

#[cfg(not(feature = "onnx"))]
pub(crate) use disabled::Runtime;
#[cfg(feature = "onnx")]
pub(crate) use enabled::Runtime;

/// Largest accepted deviation, in standard deviations of the channel. Single
/// precision through 33 layers gives about 1e-5; another padding or epsilon
/// gives more than 1e-1.
pub(crate) const TOLERANCE: f64 = 1e-3;

/// A channel that varies less than so much of the output's liveliest one is dead: what it varies by
/// is rounding, and nothing is measured against that.
const DEAD: f64 = 1e-6;

/// Why a network is not the one that the reference came from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerifyError {
    /// The committed reference cannot be read.
    #[error("the reference is damaged")]
    Reference(#[from] serde_json::Error),
    /// The input that the formula gives is not the one that PyTorch got.
    #[error("the input sums to {found}, the reference was made with {expected}")]
    Input { found: f64, expected: f64 },
    /// An output is absent or has another shape.
    #[error("output {name:?} has shape {found:?}, expected {expected:?}")]
    Output {
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    /// The numbers differ.
    #[error(
        "output {name:?} is {found} at [channel, row, column] {place:?}, PyTorch gave {expected}: \
         {deviation:.1e} of the channel's standard deviation, at most {TOLERANCE:.0e} is accepted"
    )]
    Differs {
        name: String,
        place: [usize; 3],
        found: f32,
        expected: f64,
        deviation: f64,
    },
    /// ONNX Runtime refused the library or the network.
    #[cfg(feature = "onnx")]
    #[error("ONNX Runtime could not run the network")]
    Runtime(#[from] ort::Error),
    /// ONNX Runtime's library could not be loaded.
    #[cfg(feature = "onnx")]
    #[error("ONNX Runtime could not be loaded from {path:?}")]
    Library {
        path: std::path::PathBuf,
        source: ort::LoadDynamicError,
    },
    /// This program was built without ONNX Runtime.
    #[cfg(not(feature = "onnx"))]
    #[error("built without the feature `onnx`, so the network cannot be run")]
    NoRuntime,
}

/// The reference file, as `make_reference.py` writes it.
#[derive(serde::Deserialize)]
pub(crate) struct Reference {
    height: usize,
    width: usize,
    input_sum: f64,
    outputs: BTreeMap<String, Sample>,
}

/// Evenly spaced elements of one output.
#[derive(serde::Deserialize)]
struct Sample {
    shape: [usize; 3],
    values: Vec<f64>,
    channel_std: Vec<f64>,
}

impl Reference {
    /// The reference that a committed file holds.
    pub(crate) fn parse(json: &str) -> Result<Self, VerifyError> {
        Ok(serde_json::from_str(json)?)
    }

    /// The input that the reference was made with, `[1, 3, height, width]`.
    pub(crate) fn input(&self) -> Result<Array4<f32>, VerifyError> {
        let input = Array4::from_shape_fn((1, 3, self.height, self.width), |(_, c, y, x)| {
            let mixed = 7919 * c + 104_729 * y + 1_299_709 * x + 15_485_863 * (y * x);
            ((mixed % 256) as f32 - 127.0) / 128.0
        });
        let found: f64 = input.iter().copied().map(f64::from).sum();
        if found != self.input_sum {
            return Err(VerifyError::Input {
                found,
                expected: self.input_sum,
            });
        }
        Ok(input)
    }

    /// Names of the outputs that it has samples of.
    pub(crate) fn outputs(&self) -> Vec<String> {
        self.outputs.keys().cloned().collect()
    }

    /// Compares outputs `[1, channels, rows, columns]` with the reference; gives the
    /// largest deviation, in standard deviations of its channel.
    pub(crate) fn compare(
        &self,
        outputs: &BTreeMap<String, ArrayD<f32>>,
    ) -> Result<f64, VerifyError> {
        let mut largest = 0.0f64;
        for (name, sample) in &self.outputs {
            let [channels, rows, columns] = sample.shape;
            let expected = vec![1, channels, rows, columns];
            let found = outputs
                .get(name)
                .map(|output| output.shape().to_vec())
                .unwrap_or_default();
            let Some(output) = outputs.get(name).filter(|_| found == expected) else {
                return Err(VerifyError::Output {
                    name: name.clone(),
                    found,
                    expected,
                });
            };
            let n_elements = channels * rows * columns;
            let least_std = sample.channel_std.iter().copied().fold(0.0, f64::max) * DEAD;
            for (index, expected) in sample.values.iter().enumerate() {
                let flat = index * (n_elements - 1) / (sample.values.len() - 1);
                let place = [
                    flat / (rows * columns),
                    flat / columns % rows,
                    flat % columns,
                ];
                let found = output[[0, place[0], place[1], place[2]]];
                let std = sample.channel_std[place[0]].max(least_std);
                let deviation = (f64::from(found) - expected).abs() / std;
                if deviation.is_nan() || deviation > TOLERANCE {
                    let (name, expected) = (name.clone(), *expected);
                    return Err(VerifyError::Differs {
                        name,
                        place,
                        found,
                        expected,
                        deviation,
                    });
                }
                largest = largest.max(deviation);
            }
        }
        Ok(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NETWORKS;

    fn lite0() -> Reference {
        Reference::parse(NETWORKS[0].reference).unwrap()
    }

    fn exact(reference: &Reference) -> BTreeMap<String, ArrayD<f32>> {
        let mut outputs = BTreeMap::new();
        for (name, sample) in &reference.outputs {
            let [channels, rows, columns] = sample.shape;
            let n_elements = channels * rows * columns;
            let mut flat = vec![0.0; n_elements];
            for (index, value) in sample.values.iter().enumerate() {
                flat[index * (n_elements - 1) / (sample.values.len() - 1)] = *value as f32;
            }
            let output = ArrayD::from_shape_vec(vec![1, channels, rows, columns], flat).unwrap();
            outputs.insert(name.clone(), output);
        }
        outputs
    }

    #[test]
    fn each_reference_samples_every_channel_of_every_stride_that_is_used() {
        for network in &NETWORKS {
            let reference = Reference::parse(network.reference).unwrap();
            for stride in ["stride2", "stride4", "stride8"] {
                assert!(
                    reference.outputs.contains_key(stride),
                    "{}: {stride}",
                    network.name
                );
            }
            for sample in reference.outputs.values() {
                let [channels, _, _] = sample.shape;
                assert_eq!(sample.channel_std.len(), channels);
                assert!(sample.values.len() >= channels);
            }
        }
    }

    #[test]
    fn the_formula_gives_the_input_that_the_reference_was_made_with() {
        assert_eq!(lite0().input().unwrap().shape(), [1, 3, 64, 96]);
    }

    #[test]
    fn the_reference_agrees_with_itself() {
        let reference = lite0();
        assert!(reference.compare(&exact(&reference)).unwrap() < 1e-6);
    }

    #[test]
    fn one_wrong_number_is_found() {
        let reference = lite0();
        for wrong in [1e-2, f32::NAN] {
            let mut outputs = exact(&reference);
            let corner = &mut outputs.get_mut("stride8").unwrap()[[0, 39, 7, 11]];
            *corner += 10.0 * wrong;
            let refused = reference.compare(&outputs).unwrap_err();
            assert!(
                matches!(
                    refused,
                    VerifyError::Differs {
                        place: [39, 7, 11],
                        ..
                    }
                ),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_missing_output_is_found() {
        let reference = lite0();
        let mut outputs = exact(&reference);
        outputs.remove("stride4");
        assert!(matches!(
            reference.compare(&outputs),
            Err(VerifyError::Output { .. })
        ));
    }
}
