//! A convolution and the batch normalisation behind it, as one node.
//!
//! ```text
//! weights by name ─▶ checked shapes ─▶ kernels and bias that do both in turn ─▶ Graph
//! ```
//!
//! What every network of the zoo is made of. In use the normalisation is a factor and an offset per
//! channel, so it costs nothing once it is in the convolution; it is folded in double precision.

use std::collections::BTreeMap;

use models::onnx::graph::{Graph, Window};
use models::onnx::read::GraphError;
use ndarray::{Array1, Array4, ArrayD, Ix1, Ix4};

/// Weights by name, as their file holds them.
pub(crate) type Weights = BTreeMap<String, ArrayD<f32>>;

/// Why weights do not make a network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// A tensor is absent.
    #[error("weights have no tensor {name:?}")]
    Missing { name: String },
    /// A tensor has another shape than the network's.
    #[error("weights {name:?} have shape {found:?}, expected {expected:?}")]
    Shape {
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    /// The graph was built wrongly.
    #[error("the network is not consistent")]
    Graph(#[from] GraphError),
}

/// A convolution with the batch normalisation behind it, in the weights' own names.
pub(crate) struct Convolution<'a> {
    pub(crate) source: &'a str,
    pub(crate) norm: &'a str,
    pub(crate) outs: usize,
    /// Channels that one group takes in.
    pub(crate) ins: usize,
    pub(crate) group: usize,
    /// Side, in pixels.
    pub(crate) kernel: usize,
    /// The normalisation's guard against division by zero.
    pub(crate) epsilon: f64,
}

impl Convolution<'_> {
    /// Adds it to the graph, both parts as one node, with `before` and `behind` zeros along both
    /// axes, and gives its result's name.
    pub(crate) fn put(
        &self,
        graph: &mut Graph,
        weights: &Weights,
        name: &str,
        input: &str,
        stride: usize,
        [before, behind]: [usize; 2],
    ) -> Result<String, NetworkError> {
        let (kernels, bias) = self.folded(weights)?;
        let [before, behind] = [before as i64, behind as i64];
        let window = Window {
            stride: stride as i64,
            pads: [before, before, behind, behind],
            group: self.group as i64,
        };
        Ok(graph.conv(name, input, kernels.view(), bias.view(), window))
    }

    /// Kernels and bias that do what convolution and normalisation do in turn.
    fn folded(&self, weights: &Weights) -> Result<(Array4<f32>, Array1<f32>), NetworkError> {
        let name = format!("{}.weight", self.source);
        let shape = [self.outs, self.ins, self.kernel, self.kernel];
        let mut kernels = shaped(weights, &name, &shape)?
            .into_dimensionality::<Ix4>()
            .map_err(|_| NetworkError::Missing { name })?;
        let norm = |part: &str| {
            let name = format!("{}.{part}", self.norm);
            let numbers = shaped(weights, &name, &[self.outs])?;
            numbers
                .into_dimensionality::<Ix1>()
                .map_err(|_| NetworkError::Missing { name })
        };
        let gamma = norm("weight")?;
        let beta = norm("bias")?;
        let mean = norm("running_mean")?;
        let variance = norm("running_var")?;
        let mut bias = Array1::zeros(self.outs);
        for (out, mut kernel) in kernels.outer_iter_mut().enumerate() {
            let scale = f64::from(gamma[out]) / (f64::from(variance[out]) + self.epsilon).sqrt();
            kernel.mapv_inplace(|weight| (f64::from(weight) * scale) as f32);
            bias[out] = (f64::from(beta[out]) - f64::from(mean[out]) * scale) as f32;
        }
        Ok((kernels, bias))
    }
}

/// The tensor `name`, if it has the expected shape.
fn shaped(weights: &Weights, name: &str, expected: &[usize]) -> Result<ArrayD<f32>, NetworkError> {
    let tensor = weights.get(name).ok_or_else(|| NetworkError::Missing {
        name: name.to_owned(),
    })?;
    if tensor.shape() != expected {
        return Err(NetworkError::Shape {
            name: name.to_owned(),
            found: tensor.shape().to_vec(),
            expected: expected.to_vec(),
        });
    }
    Ok(tensor.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 1x1 convolution of two channels with its normalisation.
    fn two_channels() -> Weights {
        let vector = |numbers: [f32; 2]| Array1::from(numbers.to_vec()).into_dyn();
        let kernels = Array4::from_shape_vec((2, 1, 1, 1), vec![2.0, -4.0]).unwrap();
        Weights::from([
            ("conv.weight".to_owned(), kernels.into_dyn()),
            ("bn.weight".to_owned(), vector([3.0, 0.5])),
            ("bn.bias".to_owned(), vector([0.25, -1.0])),
            ("bn.running_mean".to_owned(), vector([10.0, -2.0])),
            ("bn.running_var".to_owned(), vector([4.0, 0.0])),
        ])
    }

    const CONVOLUTION: Convolution<'_> = Convolution {
        source: "conv",
        norm: "bn",
        outs: 2,
        ins: 1,
        group: 1,
        kernel: 1,
        epsilon: 1e-3,
    };

    #[test]
    fn a_folded_convolution_gives_what_both_steps_give() {
        let (kernels, bias) = CONVOLUTION.folded(&two_channels()).unwrap();
        for input in [-1.5, 0.0, 8.0] {
            let first = (2.0 * input - 10.0) / (4.0f32 + 1e-3).sqrt() * 3.0 + 0.25;
            let second = (-4.0 * input + 2.0) / 1e-3f32.sqrt() * 0.5 - 1.0;
            assert!((kernels[[0, 0, 0, 0]] * input + bias[0] - first).abs() < 1e-4);
            assert!((kernels[[1, 0, 0, 0]] * input + bias[1] - second).abs() < 1e-3);
        }
    }

    #[test]
    fn a_tensor_of_another_shape_is_refused() {
        let mut weights = two_channels();
        weights.insert("bn.bias".to_owned(), Array1::zeros(3).into_dyn());
        let refused = CONVOLUTION.folded(&weights).unwrap_err();
        assert!(matches!(refused, NetworkError::Shape { .. }), "{refused}");
    }
}
