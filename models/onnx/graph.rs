//! Write an ONNX network in Rust, node by node.
//!
//! ```text
//! Graph::new ─▶ input ─▶ conv, clip, add, node … ─▶ output ─▶ into_model ─▶ bytes
//! Graph::of(model) ─┘         (extends a network that was read)
//! ```
//!
//! Every node makes one value per output, and the helpers give the value the
//! node's own name, so `block2.depthwise` is both. Nodes must be added in the
//! order in which they can run; [`Graph::into_model`] checks that, and that no
//! name is used twice. Shapes and operator semantics are not checked: ONNX
//! Runtime does that on loading.

use std::collections::HashSet;

use ndarray::{ArrayView, ArrayView1, ArrayView4, Dimension};
use prost::Message;

use super::proto::{
    AttributeProto, AttributeType, DataType, DimensionProto, GraphProto, IR_VERSION, ModelProto,
    NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};
use super::read::GraphError;

/// The operator set that [`Graph::conv`] and its like are written for.
pub const OPSET: i64 = 17;

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim<'a> {
    /// Always this long.
    Fixed(i64),
    /// Any length; the same name is the same length wherever it is used.
    Named(&'a str),
}

/// How a convolution moves over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Step in pixels, along both axes.
    pub stride: i64,
    /// Zeros added around the input: `[top, left, bottom, right]`.
    pub pads: [i64; 4],
    /// Number of groups; the channel count makes it depthwise.
    pub group: i64,
}

/// A network under construction.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    graph: GraphProto,
}

impl Graph {
    /// An empty network.
    pub fn new(name: &str) -> Self {
        Self {
            graph: GraphProto {
                name: Some(name.to_owned()),
                ..GraphProto::default()
            },
        }
    }

    /// Goes on building where `model` ended. Its metadata and operator sets are not
    /// taken over: the model must be written for [`OPSET`].
    ///
    /// # Errors
    /// [`GraphError::NoGraph`] when the model holds no network.
    pub fn of(model: ModelProto) -> Result<Self, GraphError> {
        Ok(Self {
            graph: model.graph.ok_or(GraphError::NoGraph)?,
        })
    }

    /// Declares a float input and gives its name back.
    pub fn input(&mut self, name: &str, dims: &[Dim<'_>]) -> String {
        self.graph.input.push(value(name, DataType::Float, dims));
        name.to_owned()
    }

    /// Declares the float value `name`, made by some node, as an output.
    pub fn output(&mut self, name: &str, dims: &[Dim<'_>]) {
        self.graph.output.push(value(name, DataType::Float, dims));
    }

    /// Adds float constants in the array's own shape and gives their name back.
    pub fn constant<D: Dimension>(&mut self, name: &str, values: ArrayView<'_, f32, D>) -> String {
        let raw = values.iter().flat_map(|item| item.to_le_bytes()).collect();
        self.graph
            .initializer
            .push(tensor(name, DataType::Float, values.shape(), raw));
        name.to_owned()
    }

    /// Adds a list of integers, such as axes or a shape, and gives its name back.
    pub fn constant_i64(&mut self, name: &str, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|item| item.to_le_bytes()).collect();
        self.graph
            .initializer
            .push(tensor(name, DataType::Int64, &[values.len()], raw));
        name.to_owned()
    }

    /// Adds any operator of the standard domain.
    pub fn node(
        &mut self,
        name: &str,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: outputs.iter().map(|output| (*output).to_owned()).collect(),
            name: Some(name.to_owned()),
            op_type: Some(op.to_owned()),
            attribute: attributes,
            doc_string: None,
            domain: None,
        });
    }

    /// Adds a 2-D convolution. `weights` are `[out, in / group, height, width]`, `bias` is
    /// `[out]`; they are stored as `<name>.weight` and `<name>.bias`. Gives the result's name.
    pub fn conv(
        &mut self,
        name: &str,
        input: &str,
        weights: ArrayView4<'_, f32>,
        bias: ArrayView1<'_, f32>,
        window: Window,
    ) -> String {
        let (_, _, height, width) = weights.dim();
        let weight = self.constant(&format!("{name}.weight"), weights);
        let bias = self.constant(&format!("{name}.bias"), bias);
        let attributes = vec![
            ints("kernel_shape", &[height as i64, width as i64]),
            ints("strides", &[window.stride, window.stride]),
            ints("pads", &window.pads),
            int("group", window.group),
        ];
        self.node(name, "Conv", &[input, &weight, &bias], &[name], attributes);
        name.to_owned()
    }

    /// Limits every element to `low..=high` (ReLU6 is `0..=6`). Gives the result's name.
    pub fn clip(&mut self, name: &str, input: &str, low: f32, high: f32) -> String {
        let low = self.scalar(&format!("{name}.low"), low);
        let high = self.scalar(&format!("{name}.high"), high);
        self.node(name, "Clip", &[input, &low, &high], &[name], Vec::new());
        name.to_owned()
    }

    /// Adds two tensors element by element, with broadcasting. Gives the result's name.
    pub fn add(&mut self, name: &str, left: &str, right: &str) -> String {
        self.node(name, "Add", &[left, right], &[name], Vec::new());
        name.to_owned()
    }

    /// Adds one float constant without dimensions and gives its name back.
    pub fn scalar(&mut self, name: &str, number: f32) -> String {
        self.constant(name, ndarray::arr0(number).view())
    }

    /// Gives the value `from` the name `to`, wherever a node makes or uses it. The node keeps
    /// its own name.
    pub fn rename(&mut self, from: &str, to: &str) {
        for node in &mut self.graph.node {
            for name in node.input.iter_mut().chain(&mut node.output) {
                if name == from {
                    to.clone_into(name);
                }
            }
        }
    }

    /// Withdraws all outputs, so that others can be declared.
    pub fn clear_outputs(&mut self) {
        self.graph.output.clear();
    }

    /// Drops every node and constant that no output needs.
    pub fn prune(&mut self) {
        let mut needed: HashSet<String> = self
            .graph
            .output
            .iter()
            .filter_map(|output| output.name.clone())
            .collect();
        let mut kept = Vec::new();
        for node in std::mem::take(&mut self.graph.node).into_iter().rev() {
            if node.output.iter().any(|output| needed.contains(output)) {
                needed.extend(node.input.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.graph.node = kept;
        self.graph
            .initializer
            .retain(|constant| needed.contains(name_of(&constant.name)));
        self.graph
            .value_info
            .retain(|value| needed.contains(name_of(&value.name)));
    }

    /// Finishes the network as a model for [`OPSET`], without metadata.
    ///
    /// # Errors
    /// [`GraphError::DuplicateName`] when two values share a name,
    /// [`GraphError::Undefined`] when a node or an output needs a value that no
    /// input, constant or earlier node makes.
    pub fn into_model(self) -> Result<ModelProto, GraphError> {
        let graph = self.graph;
        check(&graph)?;
        Ok(ModelProto {
            ir_version: Some(IR_VERSION),
            opset_import: vec![OperatorSetIdProto {
                domain: Some(String::new()),
                version: Some(OPSET),
            }],
            producer_name: Some("selvedge".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            domain: None,
            model_version: None,
            doc_string: None,
            graph: Some(graph),
            metadata_props: Vec::new(),
        })
    }
}

impl ModelProto {
    /// The value under `key` in the model's metadata, if it is there.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let entry = self
            .metadata_props
            .iter()
            .find(|entry| entry.key.as_deref() == Some(key))?;
        entry.value.as_deref()
    }

    /// Puts `value` under `key` in the model's metadata, replacing an earlier value.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        self.metadata_props
            .retain(|entry| entry.key.as_deref() != Some(key));
        self.metadata_props.push(StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        });
    }

    /// The bytes of the `.onnx` file. The same model always gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// An integer setting of a node.
pub fn int(name: &str, number: i64) -> AttributeProto {
    AttributeProto {
        i: Some(number),
        ..attribute(name, AttributeType::Int)
    }
}

/// A list of integers as a setting of a node.
pub fn ints(name: &str, numbers: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: numbers.to_vec(),
        ..attribute(name, AttributeType::Ints)
    }
}

/// A number as a setting of a node.
pub fn float(name: &str, number: f32) -> AttributeProto {
    AttributeProto {
        f: Some(number),
        ..attribute(name, AttributeType::Float)
    }
}

/// A list of numbers as a setting of a node.
pub fn floats(name: &str, numbers: &[f32]) -> AttributeProto {
    AttributeProto {
        floats: numbers.to_vec(),
        ..attribute(name, AttributeType::Floats)
    }
}

/// A text as a setting of a node.
pub fn text(name: &str, content: &str) -> AttributeProto {
    AttributeProto {
        s: Some(content.as_bytes().to_vec()),
        ..attribute(name, AttributeType::String)
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind as i32),
        ..AttributeProto::default()
    }
}

fn tensor(name: &str, kind: DataType, shape: &[usize], raw: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|length| *length as i64).collect(),
        data_type: Some(kind as i32),
        name: Some(name.to_owned()),
        raw_data: Some(raw),
        ..TensorProto::default()
    }
}

fn value(name: &str, kind: DataType, dims: &[Dim<'_>]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(length) => DimensionProto {
                dim_value: Some(*length),
                dim_param: None,
            },
            Dim::Named(name) => DimensionProto {
                dim_value: None,
                dim_param: Some((*name).to_owned()),
            },
        })
        .collect();
    let tensor_type = TensorTypeProto {
        elem_type: Some(kind as i32),
        shape: Some(TensorShapeProto { dim }),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            tensor_type: Some(tensor_type),
        }),
        doc_string: None,
    }
}

fn name_of(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or_default()
}

/// Every value has one maker, and is made before it is used.
fn check(graph: &GraphProto) -> Result<(), GraphError> {
    let mut made = HashSet::new();
    let given = graph.input.iter().map(|input| name_of(&input.name));
    let constants = graph
        .initializer
        .iter()
        .map(|constant| name_of(&constant.name));
    for name in given.chain(constants) {
        define(&mut made, name)?;
    }
    for node in &graph.node {
        // An empty name leaves an optional input out.
        if let Some(name) = node
            .input
            .iter()
            .find(|name| !name.is_empty() && !made.contains(name.as_str()))
        {
            return Err(GraphError::Undefined {
                user: name_of(&node.name).to_owned(),
                name: name.clone(),
            });
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            define(&mut made, name)?;
        }
    }
    for name in graph.output.iter().map(|output| name_of(&output.name)) {
        if !made.contains(name) {
            return Err(GraphError::Undefined {
                user: "output".to_owned(),
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

fn define<'a>(made: &mut HashSet<&'a str>, name: &'a str) -> Result<(), GraphError> {
    if made.insert(name) {
        Ok(())
    } else {
        Err(GraphError::DuplicateName {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array4, array};

    use super::super::read::{initializer, initializer_i64, read_model};
    use super::*;

    fn small() -> Graph {
        let mut graph = Graph::new("small");
        let rows_and_columns = [
            Dim::Named("n"),
            Dim::Fixed(3),
            Dim::Named("h"),
            Dim::Named("w"),
        ];
        let input = graph.input("input", &rows_and_columns);
        let weights = Array4::from_shape_fn((2, 3, 3, 3), |(o, i, y, x)| {
            (o * 27 + i * 9 + y * 3 + x) as f32
        });
        let bias = Array1::from(vec![0.5, -0.5]);
        let window = Window {
            stride: 2,
            pads: [0, 0, 1, 1],
            group: 1,
        };
        let stem = graph.conv("stem", &input, weights.view(), bias.view(), window);
        let stem = graph.clip("stem.relu6", &stem, 0.0, 6.0);
        let sum = graph.add("sum", &stem, &stem);
        graph.output(
            &sum,
            &[
                Dim::Named("n"),
                Dim::Fixed(2),
                Dim::Named("h2"),
                Dim::Named("w2"),
            ],
        );
        graph
    }

    #[test]
    fn what_is_written_is_read_back_unchanged() {
        let mut model = small().into_model().unwrap();
        model.set_metadata("passport", "first");
        model.set_metadata("passport", "second");

        let back = read_model(&model.to_bytes()).unwrap();

        assert_eq!(back, model);
        assert_eq!(back.metadata("passport"), Some("second"));
        assert_eq!(back.metadata_props.len(), 1);
    }

    #[test]
    fn constants_keep_their_shape_and_value() {
        let mut graph = small();
        graph.constant_i64("axes", &[1, -1, i64::MAX]);
        let model = graph.into_model().unwrap();

        let weights = initializer(&model, "stem.weight").unwrap();

        assert_eq!(weights.shape(), [2, 3, 3, 3]);
        assert_eq!(weights[[1, 2, 0, 1]], 46.0);
        assert_eq!(
            initializer(&model, "stem.relu6.high").unwrap().shape(),
            [0usize; 0]
        );
        assert_eq!(
            initializer_i64(&model, "axes").unwrap(),
            array![1, -1, i64::MAX].into_dyn()
        );
        assert!(matches!(
            initializer(&model, "axes"),
            Err(GraphError::WrongKind { .. })
        ));
        assert!(matches!(
            initializer(&model, "none"),
            Err(GraphError::NoSuchConstant { .. })
        ));
    }

    #[test]
    fn pruning_keeps_exactly_what_the_outputs_need() {
        let mut graph = small();
        graph.clear_outputs();
        graph.output("stem", &[]);

        graph.prune();

        let model = graph.into_model().unwrap();
        let kept = model.graph.unwrap();
        assert_eq!(kept.node.len(), 1);
        assert_eq!(kept.initializer.len(), 2);
    }

    #[test]
    fn a_renamed_value_is_still_made_before_it_is_used() {
        let mut graph = small();
        graph.rename("stem.relu6", "stride2");

        let model = graph.into_model().unwrap();

        let nodes = model.graph.unwrap().node;
        assert_eq!(nodes[1].name.as_deref(), Some("stem.relu6"));
        assert_eq!(nodes[1].output, ["stride2"]);
        assert_eq!(nodes[2].input, ["stride2", "stride2"]);
    }

    #[test]
    fn a_name_may_be_made_only_once() {
        let mut graph = small();
        graph.add("stem", "input", "input");
        let refused = graph.into_model().unwrap_err();
        assert!(matches!(refused, GraphError::DuplicateName { name } if name == "stem"));
    }

    #[test]
    fn a_node_may_use_only_what_is_there_already() {
        let mut graph = small();
        graph.add("late", "input", "later");
        graph.add("later", "input", "input");
        let refused = graph.into_model().unwrap_err();
        assert_eq!(
            refused.to_string(),
            r#""late" needs "later", which nothing before it makes"#
        );
    }
}
