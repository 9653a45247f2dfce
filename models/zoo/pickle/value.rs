//! What a pickle can make here, and why one is refused.
//!
//! Plain data without behaviour. It is freed by recursion, so the machine in `mod.rs` bounds
//! how deep it may nest; nothing here checks that again.

use std::rc::Rc;

/// What a pickle can make here. Texts and tuples may be shared, and are then
/// counted; lists and dictionaries have one owner, so they may change in place.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Long(Rc<[u8]>),
    Text(Rc<str>),
    Bytes(Rc<[u8]>),
    Tuple {
        items: Rc<[Value]>,
        depth: usize,
    },
    List {
        items: Vec<Value>,
        depth: usize,
    },
    Dict {
        entries: Vec<(Rc<str>, Value)>,
        depth: usize,
    },
    Function(Function),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
    /// Stands in the memo for a list or dictionary, which cannot be fetched again.
    Owned,
}

/// The names that a pickle may call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    OrderedDict,
    RebuildTensor,
    LoadFromBytes,
    Elements(Element),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Element {
    Float,
    Long,
}

#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) key: Rc<str>,
    pub(crate) element: Element,
    pub(crate) n_elements: u64,
    /// Its bytes, where they came with it and not behind the pickles.
    pub(crate) data: Option<Rc<[u8]>>,
}

#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) storage: Rc<Storage>,
    /// First element within the storage.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    /// Steps in elements along each dimension; weights from TensorFlow are transposed views.
    pub(crate) strides: Vec<usize>,
}

impl Element {
    pub(crate) fn n_bytes(self) -> usize {
        match self {
            Element::Float => 4,
            Element::Long => 8,
        }
    }
}

impl Tensor {
    /// Number of elements, if every one of them lies among the `n_stored` of the storage and
    /// they are not more than these.
    pub(crate) fn n_elements_within(&self, n_stored: usize) -> Option<usize> {
        let mut n_elements = 1usize;
        let mut last = self.offset;
        for (length, stride) in self.shape.iter().zip(&self.strides) {
            n_elements = n_elements.checked_mul(*length)?;
            last = last.checked_add(length.saturating_sub(1).checked_mul(*stride)?)?;
        }
        let empty = n_elements == 0;
        (empty || (last < n_stored && n_elements <= n_stored)).then_some(n_elements)
    }
}

impl Value {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a truth value",
            Value::Int(_) => "an integer",
            Value::Long(_) => "a long integer",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Tuple { .. } => "a tuple",
            Value::List { .. } => "a list",
            Value::Dict { .. } => "a dictionary",
            Value::Function(_) => "a function",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
            Value::Owned => "a list or dictionary fetched a second time",
        }
    }

    pub(super) fn depth(&self) -> usize {
        match self {
            Value::Tuple { depth, .. } | Value::List { depth, .. } | Value::Dict { depth, .. } => {
                *depth
            }
            Value::None
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Long(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Function(_)
            | Value::Storage(_)
            | Value::Tensor(_)
            | Value::Owned => 0,
        }
    }
}

/// Why a file is not an acceptable set of weights.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum PickleError {
    /// The file ends early.
    #[error("weights are cut off: {needed} bytes needed at byte {offset}")]
    Cut { offset: usize, needed: usize },
    /// Something is larger than weights need.
    #[error("weights have too many or too large {what} at byte {offset}, the limit is {limit}")]
    Limit {
        offset: usize,
        what: &'static str,
        limit: usize,
    },
    /// An instruction outside the small set that weights need.
    #[error("weights hold the instruction 0x{opcode:02x} at byte {offset}, which is not accepted")]
    Opcode { offset: usize, opcode: u8 },
    /// The file asks for a function that has nothing to do with tensors.
    #[error("weights call {name:?} at byte {offset}, which is refused")]
    Call { offset: usize, name: String },
    /// An instruction met a value that it cannot work with.
    #[error("instruction 0x{opcode:02x} at byte {offset} found {found}, expected {expected}")]
    Unexpected {
        offset: usize,
        opcode: u8,
        found: &'static str,
        expected: &'static str,
    },
    /// The pickles are sound but do not describe tensors as they should.
    #[error("weights before byte {offset} have {found}, expected {expected}")]
    Layout {
        offset: usize,
        found: String,
        expected: &'static str,
    },
}

pub(crate) type Result<T> = std::result::Result<T, PickleError>;
