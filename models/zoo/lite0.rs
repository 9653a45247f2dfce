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

use models::onnx::graph::{Dim, Graph};
use models::onnx::proto::ModelProto;

use crate::convolution::{Convolution, NetworkError, Weights};

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
    Block { kernel: 3, stride: 2, expansion: 6, channels: 24,  output: Some("stride4_early") },
    Block { kernel: 3, stride: 1, expansion: 6, channels: 24,  output: Some("stride4") },
    Block { kernel: 5, stride: 2, expansion: 6, channels: 40,  output: Some("stride8_early") },
    Block { kernel: 5, stride: 1, expansion: 6, channels: 40,  output: Some("stride8") },
    Block { kernel: 3, stride: 2, expansion: 6, channels: 80,  output: None },
    Block { kernel: 3, stride: 1, expansion: 6, channels: 80,  output: None },
    Block { kernel: 3, stride: 1, expansion: 6, channels: 80,  output: None },
    Block { kernel: 5, stride: 1, expansion: 6, channels: 112, output: None },
    Block { kernel: 5, stride: 1, expansion: 6, channels: 112, output: None },
    Block { kernel: 5, stride: 1, expansion: 6, channels: 112, output: Some("stride16") },
];

/// The network up to stride 16: input `input` `[n, 3, h, w]`, outputs `stride2`
/// `[n, 16, h/2, w/2]`, `stride4` (24 channels), `stride8` (40), `stride16` (112), and the first
/// block of a stride as `stride4_early`, `stride8_early`.
pub(crate) fn network(weights: &Weights) -> Result<ModelProto, NetworkError> {
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
        group: 1,
        kernel: 3,
        epsilon: EPSILON,
    };
    value = put(&stem, &mut graph, weights, "stem", &value, 2)?;
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
) -> Result<String, NetworkError> {
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
            group: 1,
            kernel: 1,
            epsilon: EPSILON,
        };
        value = put(&expand, graph, weights, &at("expand"), &value, 1)?;
        value = graph.clip(&at("expand.relu6"), &value, 0.0, 6.0);
    }
    let depthwise = Convolution {
        source: &source("_depthwise_conv"),
        norm: &source("_bn1"),
        outs: middle,
        ins: 1,
        group: middle,
        kernel,
        epsilon: EPSILON,
    };
    value = put(&depthwise, graph, weights, &at("depthwise"), &value, stride)?;
    value = graph.clip(&at("depthwise.relu6"), &value, 0.0, 6.0);
    let project = Convolution {
        source: &source("_project_conv"),
        norm: &source("_bn2"),
        outs: channels,
        ins: middle,
        group: 1,
        kernel: 1,
        epsilon: EPSILON,
    };
    value = put(&project, graph, weights, &at("project"), &value, 1)?;
    if stride == 1 && ins == channels {
        value = graph.add(&at("add"), &value, input);
    }
    let result = output.map_or_else(|| format!("block{index}"), str::to_owned);
    graph.rename(&value, &result);
    Ok(result)
}

/// Adds a convolution with TensorFlow's padding and gives its result's name.
fn put(
    convolution: &Convolution<'_>,
    graph: &mut Graph,
    weights: &Weights,
    name: &str,
    input: &str,
    stride: usize,
) -> Result<String, NetworkError> {
    // What SAME adds in all on sizes that the stride divides.
    let padding = convolution.kernel - stride.min(convolution.kernel);
    let before = padding / 2;
    convolution.put(
        graph,
        weights,
        name,
        input,
        stride,
        [before, padding - before],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_tensor_is_named() {
        let refused = network(&Weights::new()).unwrap_err().to_string();
        assert_eq!(refused, r#"weights have no tensor "_conv_stem.weight""#);
    }
}
