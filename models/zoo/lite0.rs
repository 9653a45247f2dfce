//! EfficientNet-Lite0 as data, and its ONNX network made from PyTorch weights.
//!
//! ```text
//! weights by name ─▶ fold batch norm into each convolution ─▶ Graph ─▶ ModelProto
//! ```
//!
//! The network is that of Tan and Le's EfficientNet in its Lite form: ReLU6
//! everywhere, no squeeze-excite. It ends at stride 16: nothing behind is used
//! for judging cloth. Its weights were trained with TensorFlow's `SAME` padding,
//! which at stride 2 on even sizes adds one zero less before than behind the
//! image; that is written into the graph, so **height and width must be multiples
//! of 16** for every output to be exactly the input's size divided by its stride.
//! Trained on RGB as `(value - 127) / 128`; the graph does not do that itself.
//!
//! Names: `stem`, then per block `block2.expand`, `block2.depthwise` (each with
//! `.relu6` behind it), `block2.project`, `block2.add` where there is a shortcut.
//! A block's result is the value `block2`, or `stride4` where it is an output.

use std::collections::BTreeMap;

use models::onnx::graph::{Dim, Graph, Window};
use models::onnx::proto::ModelProto;
use models::onnx::read::GraphError;
use ndarray::{Array1, Array4, ArrayD, Ix1, Ix4};

/// Weights by name, as the `.pth` file holds them.
pub(crate) type Weights = BTreeMap<String, ArrayD<f32>>;

/// One inverted bottleneck.
struct Block {
    /// Side of the depthwise kernel, in pixels.
    kernel: usize,
    /// Step of the depthwise convolution, in pixels.
    stride: usize,
    /// Channels in the middle per channel that comes in.
    expansion: usize,
    /// Channels that go out.
    channels: usize,
    /// Name of the network's output that this block's result is, if it is one.
    output: Option<&'static str>,
}

const STEM_CHANNELS: usize = 32;
/// `BatchNorm`'s guard against division by zero; TensorFlow's value, not PyTorch's.
const EPSILON: f64 = 1e-3;

#[rustfmt::skip]
const BLOCKS: [Block; 11] = [
    Block { kernel: 3, stride: 1, expansion: 1, channels: 16,  output: Some("stride2") },
    Block { kernel: 3, stride: 2, expansion: 6, channels: 24,  output: None },
    Block { kernel: 3, stride: 1, expansion: 6, channels: 24,  output: Some("stride4") },
    Block { kernel: 5, stride: 2, expansion: 6, channels: 40,  output: None },
    Block { kernel: 5, stride: 1, expansion: 6, channels: 40,  output: Some("stride8") },
    Block { kernel: 3, stride: 2, expansion: 6, channels: 80,  output: None },
    Block { kernel: 3, stride: 1, expansion: 6, channels: 80,  output: None },
    Block { kernel: 3, stride: 1, expansion: 6, channels: 80,  output: None },
    Block { kernel: 5, stride: 1, expansion: 6, channels: 112, output: None },
    Block { kernel: 5, stride: 1, expansion: 6, channels: 112, output: None },
    Block { kernel: 5, stride: 1, expansion: 6, channels: 112, output: Some("stride16") },
];

/// Why weights do not make an EfficientNet-Lite0.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lite0Error {
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

/// The network up to stride 16: input `input` `[n, 3, h, w]`, outputs `stride2`
/// `[n, 16, h/2, w/2]`, `stride4` (24 channels), `stride8` (40), `stride16` (112).
pub(crate) fn network(weights: &Weights) -> Result<ModelProto, Lite0Error> {
    let mut graph = Graph::new("efficientnet_lite0");
    let mut value = graph.input(
        "input",
        &[
            Dim::Named("n"),
            Dim::Fixed(3),
            Dim::Named("h"),
            Dim::Named("w"),
        ],
    );
    let stem = Convolution {
        source: "_conv_stem",
        norm: "_bn0",
        outs: STEM_CHANNELS,
        ins: 3,
        kernel: 3,
    };
    value = stem.put(&mut graph, weights, "stem", &value, 2, 1)?;
    value = graph.clip("stem.relu6", &value, 0.0, 6.0);
    let mut channels = STEM_CHANNELS;
    let mut stride = 2;
    for (index, block) in BLOCKS.iter().enumerate() {
        value = bottleneck(&mut graph, weights, index, block, &value, channels)?;
        channels = block.channels;
        stride *= block.stride;
        if block.output.is_some() {
            let (height, width) = (format!("h/{stride}"), format!("w/{stride}"));
            let dims = [
                Dim::Named("n"),
                Dim::Fixed(channels as i64),
                Dim::Named(&height),
                Dim::Named(&width),
            ];
            graph.output(&value, &dims);
        }
    }
    Ok(graph.into_model()?)
}

/// Adds one block behind `input`, which has `ins` channels, and gives its result's name.
fn bottleneck(
    graph: &mut Graph,
    weights: &Weights,
    index: usize,
    block: &Block,
    input: &str,
    ins: usize,
) -> Result<String, Lite0Error> {
    let Block {
        kernel,
        stride,
        expansion,
        channels,
        output,
    } = *block;
    let at = |part: &str| format!("block{index}.{part}");
    let source = |part: &str| format!("_blocks.{index}.{part}");
    let middle = ins * expansion;
    let mut value = input.to_owned();
    if expansion != 1 {
        let expand = Convolution {
            source: &source("_expand_conv"),
            norm: &source("_bn0"),
            outs: middle,
            ins,
            kernel: 1,
        };
        value = expand.put(graph, weights, &at("expand"), &value, 1, 1)?;
        value = graph.clip(&at("expand.relu6"), &value, 0.0, 6.0);
    }
    let depthwise = Convolution {
        source: &source("_depthwise_conv"),
        norm: &source("_bn1"),
        outs: middle,
        ins: 1,
        kernel,
    };
    value = depthwise.put(graph, weights, &at("depthwise"), &value, stride, middle)?;
    value = graph.clip(&at("depthwise.relu6"), &value, 0.0, 6.0);
    let project = Convolution {
        source: &source("_project_conv"),
        norm: &source("_bn2"),
        outs: channels,
        ins: middle,
        kernel: 1,
    };
    value = project.put(graph, weights, &at("project"), &value, 1, 1)?;
    if stride == 1 && ins == channels {
        value = graph.add(&at("add"), &value, input);
    }
    let result = output.map_or_else(|| format!("block{index}"), str::to_owned);
    graph.rename(&value, &result);
    Ok(result)
}

/// A convolution with the batch normalisation behind it, in the weights' own names.
struct Convolution<'a> {
    source: &'a str,
    norm: &'a str,
    outs: usize,
    ins: usize,
    kernel: usize,
}

impl Convolution<'_> {
    /// Adds it to the graph, both parts as one node, and gives its result's name.
    fn put(
        &self,
        graph: &mut Graph,
        weights: &Weights,
        name: &str,
        input: &str,
        stride: usize,
        group: usize,
    ) -> Result<String, Lite0Error> {
        let (kernels, bias) = self.folded(weights)?;
        // What SAME adds in all on sizes that the stride divides.
        let padding = (self.kernel - stride.min(self.kernel)) as i64;
        let (before, behind) = (padding / 2, padding - padding / 2);
        let pads = [before, before, behind, behind];
        let window = Window {
            stride: stride as i64,
            pads,
            group: group as i64,
        };
        Ok(graph.conv(name, input, kernels.view(), bias.view(), window))
    }

    /// Kernels and bias that do what convolution and normalisation do in turn.
    fn folded(&self, weights: &Weights) -> Result<(Array4<f32>, Array1<f32>), Lite0Error> {
        let name = format!("{}.weight", self.source);
        let shape = [self.outs, self.ins, self.kernel, self.kernel];
        let mut kernels = shaped(weights, &name, &shape)?
            .into_dimensionality::<Ix4>()
            .map_err(|_| Lite0Error::Missing { name })?;
        let norm = |part: &str| {
            let name = format!("{}.{part}", self.norm);
            let numbers = shaped(weights, &name, &[self.outs])?;
            numbers
                .into_dimensionality::<Ix1>()
                .map_err(|_| Lite0Error::Missing { name })
        };
        let gamma = norm("weight")?;
        let beta = norm("bias")?;
        let mean = norm("running_mean")?;
        let variance = norm("running_var")?;
        let mut bias = Array1::zeros(self.outs);
        for (out, mut kernel) in kernels.outer_iter_mut().enumerate() {
            let scale = f64::from(gamma[out]) / (f64::from(variance[out]) + EPSILON).sqrt();
            kernel.mapv_inplace(|weight| (f64::from(weight) * scale) as f32);
            bias[out] = (f64::from(beta[out]) - f64::from(mean[out]) * scale) as f32;
        }
        Ok((kernels, bias))
    }
}

/// The tensor `name`, if it has the expected shape.
fn shaped(weights: &Weights, name: &str, expected: &[usize]) -> Result<ArrayD<f32>, Lite0Error> {
    let tensor = weights.get(name).ok_or_else(|| Lite0Error::Missing {
        name: name.to_owned(),
    })?;
    if tensor.shape() != expected {
        return Err(Lite0Error::Shape {
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
        kernel: 1,
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
    fn an_absent_tensor_is_named() {
        let refused = network(&Weights::new()).unwrap_err().to_string();
        assert_eq!(refused, r#"weights have no tensor "_conv_stem.weight""#);
    }

    #[test]
    fn a_tensor_of_another_shape_is_refused() {
        let mut weights = two_channels();
        weights.insert("bn.bias".to_owned(), Array1::zeros(3).into_dyn());
        let refused = CONVOLUTION.folded(&weights).unwrap_err();
        assert!(matches!(refused, Lite0Error::Shape { .. }), "{refused}");
    }
}
