//! Read an `.onnx` file that may be hostile, and take constants out of it.
//!
//! ```text
//! bytes ─▶ size ─▶ walk the wire format, counting ─▶ decode ─▶ ModelProto ─▶ initializer
//! ```
//!
//! The walk comes first because decoding multiplies: two bytes on disk become a
//! structure of some hundred bytes in memory, so a file of a few megabytes could
//! otherwise exhaust a station. Nothing here judges whether the network makes
//! sense; that is ONNX Runtime's part. Tensors outside the file are refused:
//! their bytes are not under the file's digest.

use ndarray::{ArrayD, IxDyn};
use prost::Message;

use super::proto::{DataType, ModelProto, TensorProto};

/// No model that Selvedge makes or accepts is larger, in bytes.
pub const MAX_MODEL_BYTES: usize = 512 << 20;
/// Most fields in all messages of a file; a network of 1,000 nodes has about 50,000.
const MAX_FIELDS: usize = 1_000_000;
/// Most bytes of variable-length integers in one packed list; each becomes 8 bytes.
const MAX_PACKED_BYTES: usize = 1 << 20;

/// Why bytes are not a model, or a model does not hold what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The file is larger than any model should be.
    #[error("model has {found} bytes, at most {limit} are accepted")]
    TooLarge {
        /// Size of the file in bytes.
        found: usize,
        /// Largest size in bytes.
        limit: usize,
    },
    /// The file has more fields than a network needs.
    #[error("model is not plausible at byte {offset}: more {what} than the limit of {limit}")]
    TooMany {
        /// Where the limit was passed, from the start of the file.
        offset: usize,
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The bytes break the wire format.
    #[error("model is cut off or damaged at byte {offset}")]
    Damaged {
        /// Where reading stopped, from the start of the file.
        offset: usize,
    },
    /// The wire format is sound but the contents are not ONNX.
    #[error("not an ONNX model")]
    NotOnnx(#[from] prost::DecodeError),
    /// The file holds no network.
    #[error("model has no graph")]
    NoGraph,
    /// There is no constant of that name.
    #[error("model has no constant {name:?}")]
    NoSuchConstant {
        /// The name asked for.
        name: String,
    },
    /// A constant has an element type or a place that is not supported.
    #[error("constant {name:?} is {found}, expected {expected}")]
    WrongKind {
        /// The constant.
        name: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A constant's shape and its data disagree.
    #[error("constant {name:?} of shape {shape:?} has {found} bytes of data")]
    WrongLength {
        /// The constant.
        name: String,
        /// Its shape as written in the file.
        shape: Vec<i64>,
        /// Bytes of data found.
        found: usize,
    },
    /// Two values or constants share a name.
    #[error("two values are called {name:?}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A node or an output refers to a value that nothing before it makes.
    #[error("{user:?} needs {name:?}, which nothing before it makes")]
    Undefined {
        /// The node, or the graph output.
        user: String,
        /// The missing value.
        name: String,
    },
}

/// Decodes an `.onnx` file. Any bytes give a model or an error, never a panic.
///
/// # Errors
/// [`GraphError::TooLarge`], [`GraphError::TooMany`], [`GraphError::Damaged`] or
/// [`GraphError::NotOnnx`] for bytes that are no acceptable model,
/// [`GraphError::NoGraph`] for a model without a network.
pub fn read_model(bytes: &[u8]) -> Result<ModelProto, GraphError> {
    if bytes.len() > MAX_MODEL_BYTES {
        return Err(GraphError::TooLarge {
            found: bytes.len(),
            limit: MAX_MODEL_BYTES,
        });
    }
    Walk { bytes, n_fields: 0 }.message(0, bytes.len(), Kind::Model)?;
    let model = ModelProto::decode(bytes)?;
    if model.graph.is_none() {
        return Err(GraphError::NoGraph);
    }
    Ok(model)
}

/// The float constant `name` of a model, in its own shape.
///
/// # Errors
/// [`GraphError::NoSuchConstant`], [`GraphError::WrongKind`] when it is not a
/// float tensor inside the file, [`GraphError::WrongLength`] when its data does
/// not fill its shape.
pub fn initializer(model: &ModelProto, name: &str) -> Result<ArrayD<f32>, GraphError> {
    constant(model, name)
}

/// The integer constant `name` of a model, in its own shape.
///
/// # Errors
/// As for [`initializer`], with 64-bit integers in place of floats.
pub fn initializer_i64(model: &ModelProto, name: &str) -> Result<ArrayD<i64>, GraphError> {
    constant(model, name)
}

/// A type of number that constants are read as.
trait Element: Clone + Sized {
    /// How ONNX calls it.
    const KIND: DataType;
    /// What an error says was expected.
    const EXPECTED: &'static str;

    /// The numbers of `tensor` that are not in its raw bytes.
    fn typed(tensor: &TensorProto) -> &[Self];

    /// The numbers in `raw`, little-endian.
    fn from_raw(raw: &[u8]) -> Vec<Self>;
}

impl Element for f32 {
    const KIND: DataType = DataType::Float;
    const EXPECTED: &'static str = "a float tensor";

    fn typed(tensor: &TensorProto) -> &[Self] {
        &tensor.float_data
    }

    fn from_raw(raw: &[u8]) -> Vec<Self> {
        let items = raw.as_chunks().0.iter();
        items.map(|item| Self::from_le_bytes(*item)).collect()
    }
}

impl Element for i64 {
    const KIND: DataType = DataType::Int64;
    const EXPECTED: &'static str = "an Int64 tensor";

    fn typed(tensor: &TensorProto) -> &[Self] {
        &tensor.int64_data
    }

    fn from_raw(raw: &[u8]) -> Vec<Self> {
        let items = raw.as_chunks().0.iter();
        items.map(|item| Self::from_le_bytes(*item)).collect()
    }
}

fn constant<T: Element>(model: &ModelProto, name: &str) -> Result<ArrayD<T>, GraphError> {
    let tensor = find(model, name)?;
    let shape = checked::<T>(tensor, name)?;
    let items = match &tensor.raw_data {
        Some(raw) => T::from_raw(raw),
        None => T::typed(tensor).to_vec(),
    };
    let found = items.len() * size_of::<T>();
    ArrayD::from_shape_vec(IxDyn(&shape), items).map_err(|_| wrong_length(tensor, name, found))
}

fn find<'a>(model: &'a ModelProto, name: &str) -> Result<&'a TensorProto, GraphError> {
    model
        .graph
        .as_ref()
        .ok_or(GraphError::NoGraph)?
        .initializer
        .iter()
        .find(|tensor| tensor.name.as_deref() == Some(name))
        .ok_or_else(|| GraphError::NoSuchConstant {
            name: name.to_owned(),
        })
}

/// The shape of a tensor whose type, place and length are right.
fn checked<T: Element>(tensor: &TensorProto, name: &str) -> Result<Vec<usize>, GraphError> {
    let wrong = |found: String, expected| GraphError::WrongKind {
        name: name.to_owned(),
        found,
        expected,
    };
    if tensor.data_location.unwrap_or(0) != 0 || !tensor.external_data.is_empty() {
        return Err(wrong("in another file".to_owned(), "inside the model file"));
    }
    if tensor.data_type != Some(T::KIND as i32) {
        let found = match tensor.data_type.map(DataType::try_from) {
            Some(Ok(kind)) => format!("{kind:?}"),
            Some(Err(_)) | None => format!("type number {:?}", tensor.data_type),
        };
        return Err(wrong(found, T::EXPECTED));
    }
    let found = tensor
        .raw_data
        .as_ref()
        .map_or(size_of_val(T::typed(tensor)), Vec::len);
    let shape: Vec<usize> = tensor
        .dims
        .iter()
        .map(|dim| usize::try_from(*dim).map_err(|_| wrong_length(tensor, name, found)))
        .collect::<Result<_, _>>()?;
    let needed = shape
        .iter()
        .try_fold(size_of::<T>(), |product, dim| product.checked_mul(*dim));
    if needed != Some(found) {
        return Err(wrong_length(tensor, name, found));
    }
    Ok(shape)
}

fn wrong_length(tensor: &TensorProto, name: &str, found: usize) -> GraphError {
    GraphError::WrongLength {
        name: name.to_owned(),
        shape: tensor.dims.clone(),
        found,
    }
}

/// Messages of the format, as far as the walk needs to tell them apart.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Shape,
    /// Holds only numbers and text.
    Flat,
}

/// What a length-delimited field of a message is.
enum Inside {
    Message(Kind),
    Integers,
    Text,
}

impl Kind {
    fn inside(self, field: u64) -> Inside {
        use Inside::{Integers, Message, Text};
        match (self, field) {
            (Kind::Model, 7) => Message(Kind::Graph),
            (Kind::Model, 8 | 14) | (Kind::Tensor, 13) | (Kind::Shape, 1) => Message(Kind::Flat),
            (Kind::Graph, 1) => Message(Kind::Node),
            (Kind::Graph, 5) | (Kind::Attribute, 5) => Message(Kind::Tensor),
            (Kind::Graph, 11..=13) => Message(Kind::Value),
            (Kind::Node, 5) => Message(Kind::Attribute),
            (Kind::Value, 2) => Message(Kind::Type),
            (Kind::Type, 1) => Message(Kind::TensorType),
            (Kind::TensorType, 2) => Message(Kind::Shape),
            (Kind::Attribute, 8) | (Kind::Tensor, 1 | 5 | 7 | 11) => Integers,
            _ => Text,
        }
    }
}

/// A pass over the wire format that counts fields and allocates nothing.
struct Walk<'a> {
    bytes: &'a [u8],
    n_fields: usize,
}

impl Walk<'_> {
    /// Walks one message in `at..end`. The nesting is bounded by [`Kind`], which has no cycle.
    fn message(&mut self, mut at: usize, end: usize, kind: Kind) -> Result<(), GraphError> {
        while at < end {
            self.n_fields += 1;
            if self.n_fields > MAX_FIELDS {
                return Err(GraphError::TooMany {
                    offset: at,
                    what: "fields",
                    limit: MAX_FIELDS,
                });
            }
            let start = at;
            let damaged = || GraphError::Damaged { offset: start };
            let key = self.varint(&mut at, end)?;
            match key & 7 {
                0 => {
                    self.varint(&mut at, end)?;
                }
                1 => at = skipped(at, 8, end).ok_or_else(damaged)?,
                5 => at = skipped(at, 4, end).ok_or_else(damaged)?,
                2 => {
                    let length =
                        usize::try_from(self.varint(&mut at, end)?).map_err(|_| damaged())?;
                    let after = skipped(at, length, end).ok_or_else(damaged)?;
                    match kind.inside(key >> 3) {
                        Inside::Message(inner) => self.message(at, after, inner)?,
                        Inside::Integers if length > MAX_PACKED_BYTES => {
                            return Err(GraphError::TooMany {
                                offset: at,
                                what: "bytes of packed integers",
                                limit: MAX_PACKED_BYTES,
                            });
                        }
                        Inside::Integers | Inside::Text => {}
                    }
                    at = after;
                }
                // Groups (3, 4) do not occur in ONNX; 6 and 7 mean nothing.
                _ => return Err(damaged()),
            }
        }
        Ok(())
    }

    fn varint(&self, at: &mut usize, end: usize) -> Result<u64, GraphError> {
        let start = *at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes[..end]
                .get(*at)
                .ok_or(GraphError::Damaged { offset: start })?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(GraphError::Damaged { offset: start })
    }
}

fn skipped(at: usize, length: usize, end: usize) -> Option<usize> {
    at.checked_add(length).filter(|after| *after <= end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::graph::{Dim, Graph};
    use super::*;

    fn sound() -> ModelProto {
        let mut graph = Graph::new("sound");
        let input = graph.input("input", &[Dim::Named("n"), Dim::Fixed(2)]);
        graph.constant("offset", ndarray::arr1(&[1.0, 2.0]).view());
        let sum = graph.add("sum", &input, "offset");
        graph.output(&sum, &[Dim::Named("n"), Dim::Fixed(2)]);
        graph.into_model().unwrap()
    }

    fn offset_of(model: &mut ModelProto) -> &mut TensorProto {
        &mut model.graph.as_mut().unwrap().initializer[0]
    }

    #[test]
    fn a_file_of_empty_messages_is_refused_before_it_fills_memory() {
        // Field 7 (graph) around empty nodes, two bytes each.
        let n_nodes = MAX_FIELDS;
        let mut bytes = vec![0x3a];
        prost::encoding::encode_varint(2 * n_nodes as u64, &mut bytes);
        bytes.extend(std::iter::repeat_n([0x0a, 0x00], n_nodes).flatten());

        let refused = read_model(&bytes).unwrap_err();

        assert!(
            matches!(refused, GraphError::TooMany { what: "fields", .. }),
            "{refused}"
        );
    }

    #[test]
    fn a_truncated_file_says_where_it_ends() {
        let bytes = sound().to_bytes();
        let refused = read_model(&bytes[..bytes.len() - 3]).unwrap_err();
        assert!(matches!(refused, GraphError::Damaged { .. }), "{refused}");
    }

    #[test]
    fn nothing_is_not_a_model() {
        assert!(matches!(read_model(&[]), Err(GraphError::NoGraph)));
    }

    #[test]
    fn typed_data_reads_like_raw_data() {
        let mut model = sound();
        let offset = offset_of(&mut model);
        offset.raw_data = None;
        offset.float_data = vec![1.0, 2.0];
        assert_eq!(
            initializer(&model, "offset").unwrap().as_slice(),
            Some(&[1.0, 2.0][..])
        );
    }

    #[test]
    fn a_shape_that_its_data_does_not_fill_is_refused() {
        for dims in [vec![3], vec![-2], vec![i64::MAX, i64::MAX], vec![]] {
            let mut model = sound();
            offset_of(&mut model).dims = dims;
            assert!(matches!(
                initializer(&model, "offset"),
                Err(GraphError::WrongLength { .. })
            ));
        }
    }

    #[test]
    fn data_in_another_file_is_refused() {
        let mut model = sound();
        offset_of(&mut model).data_location = Some(1);
        assert!(matches!(
            initializer(&model, "offset"),
            Err(GraphError::WrongKind { .. })
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(read_model(&bytes));
        }

        #[test]
        fn no_damage_makes_reading_panic(
            hits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
            end in any::<proptest::sample::Index>(),
        ) {
            let mut bytes = sound().to_bytes();
            for (at, value) in hits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(end.index(bytes.len()) + 1);
            if let Ok(model) = read_model(&bytes) {
                drop(initializer(&model, "offset"));
                drop(Graph::of(model).map(Graph::into_model));
            }
        }
    }
}
