//! Read a pickle as data, without executing anything.
//!
//! ```text
//! bytes ─▶ Reader ─▶ one instruction at a time ─▶ stack and memo ─▶ Value
//! ```
//!
//! A pickle is a program. This reader knows only the 36 instructions that weights
//! use, and of the names that a pickle may call only the five that describe
//! tensors; it builds plain data in their place. Everything else, and any size
//! beyond the limits below, is an error that names the byte and the instruction.
//! Python's `pickletools.py` says what the instructions mean.
//!
//! A pickle may hold whole files as bytes, each with one storage; `nested` reads those,
//! and they may hold no further ones.

mod nested;
mod reader;
mod value;

use std::collections::HashMap;
use std::rc::Rc;

#[cfg(test)]
pub(crate) use nested::MAGIC;
pub(crate) use nested::{head, n_bytes};
pub(crate) use reader::Reader;
use value::Function;
pub(crate) use value::{Element, PickleError, Result, Storage, Tensor, Value};

/// Most instructions in one pickle.
const MAX_INSTRUCTIONS: usize = 1_000_000;
/// Most values remembered in one pickle.
const MAX_MEMO: usize = 100_000;
/// Deepest nesting of values; bounds the recursion when they are dropped.
const MAX_DEPTH: usize = 16;
/// Most dimensions of a tensor.
const MAX_DIMS: usize = 8;

/// Runs the pickle at the reader's place to its end and gives its value.
pub(crate) fn run(reader: &mut Reader<'_>) -> Result<Value> {
    run_on(Machine::default(), reader)
}

/// The same for a pickle inside another one's bytes.
fn run_inner(reader: &mut Reader<'_>) -> Result<Value> {
    let machine = Machine {
        is_inner: true,
        ..Machine::default()
    };
    run_on(machine, reader)
}

fn run_on(mut machine: Machine, reader: &mut Reader<'_>) -> Result<Value> {
    for _ in 0..MAX_INSTRUCTIONS {
        machine.offset = reader.offset();
        machine.opcode = reader.u8()?;
        if let Some(value) = machine.step(reader)? {
            return Ok(value);
        }
    }
    Err(PickleError::Limit {
        offset: reader.offset(),
        what: "instructions",
        limit: MAX_INSTRUCTIONS,
    })
}

/// The state of one pickle while it runs.
#[derive(Default)]
struct Machine {
    /// Start of the running instruction, in bytes from the file's start.
    offset: usize,
    opcode: u8,
    /// Whether the pickle lies in another one's bytes.
    is_inner: bool,
    /// Values that `MEMOIZE` has put away.
    n_memoized: usize,
    stack: Vec<Value>,
    /// Heights of the stack where a `MARK` was put.
    marks: Vec<usize>,
    memo: HashMap<usize, Value>,
}

impl Machine {
    /// Runs the instruction `self.opcode`; gives the result at `STOP`.
    fn step(&mut self, reader: &mut Reader<'_>) -> Result<Option<Value>> {
        match self.opcode {
            // PROTO
            0x80 => {
                if ![2, 4].contains(&reader.u8()?) {
                    return Err(self.unexpected("another pickle protocol", "protocol 2 or 4"));
                }
            }
            // FRAME: a hint for reading ahead.
            0x95 => {
                reader.u64()?;
            }
            // STOP
            b'.' => return self.pop("a result").map(Some),
            // MARK
            b'(' => self.marks.push(self.stack.len()),
            // NONE, NEWTRUE, NEWFALSE
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            // BININT, BININT1, BININT2, LONG1
            b'J' => self
                .stack
                .push(Value::Int(i32::from_le_bytes(reader.array()?).into())),
            b'K' => self.stack.push(Value::Int(reader.u8()?.into())),
            b'M' => self
                .stack
                .push(Value::Int(u16::from_le_bytes(reader.array()?).into())),
            0x8a => {
                let length = reader.u8()?.into();
                self.stack.push(Value::Long(reader.take(length)?.into()));
            }
            // BINUNICODE
            b'X' => {
                let length = reader.index()?;
                self.stack.push(Value::Text(reader.text(length)?.into()));
            }
            // SHORT_BINUNICODE
            0x8c => {
                let length = reader.u8()?.into();
                self.stack.push(Value::Text(reader.text(length)?.into()));
            }
            // SHORT_BINBYTES, BINBYTES
            b'C' => {
                let length = reader.u8()?.into();
                self.stack.push(Value::Bytes(reader.take(length)?.into()));
            }
            b'B' => {
                let length = reader.index()?;
                self.stack.push(Value::Bytes(reader.take(length)?.into()));
            }
            // MEMOIZE
            0x94 => {
                let index = self.n_memoized;
                self.n_memoized += 1;
                self.remember(index)?;
            }
            // BINPUT, LONG_BINPUT
            b'q' => {
                let index = reader.u8()?.into();
                self.remember(index)?;
            }
            b'r' => {
                let index = reader.index()?;
                self.remember(index)?;
            }
            // BINGET, LONG_BINGET
            b'h' => {
                let index = reader.u8()?.into();
                self.recall(index)?;
            }
            b'j' => {
                let index = reader.index()?;
                self.recall(index)?;
            }
            // EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT
            b')' => self.tuple(Vec::new())?,
            b']' => self.stack.push(Value::List {
                items: Vec::new(),
                depth: 1,
            }),
            b'}' => self.stack.push(Value::Dict {
                entries: Vec::new(),
                depth: 1,
            }),
            // TUPLE1, TUPLE2, TUPLE
            0x85 => {
                let items = vec![self.pop("an item")?];
                self.tuple(items)?;
            }
            0x86 => {
                let second = self.pop("an item")?;
                let first = self.pop("an item")?;
                self.tuple(vec![first, second])?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.tuple(items)?;
            }
            // APPEND, APPENDS
            b'a' => {
                let item = self.pop("an item")?;
                self.append(vec![item])?;
            }
            b'e' => {
                let more = self.pop_to_mark()?;
                self.append(more)?;
            }
            // SETITEM, SETITEMS
            b's' => {
                let value = self.pop("a value")?;
                let key = self.pop("a key")?;
                self.set_items(vec![key, value])?;
            }
            b'u' => {
                let pairs = self.pop_to_mark()?;
                self.set_items(pairs)?;
            }
            // GLOBAL
            b'c' => {
                let name = format!("{}.{}", reader.line()?, reader.line()?);
                self.stack.push(Value::Function(self.function(name)?));
            }
            // STACK_GLOBAL
            0x93 => {
                let (name, module) = (self.pop("a name")?, self.pop("a module")?);
                let (Value::Text(module), Value::Text(name)) = (&module, &name) else {
                    return Err(self.unexpected("something else", "the texts of a name"));
                };
                let name = format!("{module}.{name}");
                self.stack.push(Value::Function(self.function(name)?));
            }
            // BINPERSID
            b'Q' => self.storage()?,
            // REDUCE
            b'R' => self.call()?,
            // BUILD: attributes of the OrderedDict below, such as version counters; not needed.
            b'b' => {
                self.pop("attributes")?;
                let object = self.pop("an object")?;
                self.stack.push(object);
            }
            opcode => {
                return Err(PickleError::Opcode {
                    offset: self.offset,
                    opcode,
                });
            }
        }
        Ok(None)
    }

    fn unexpected(&self, found: &'static str, expected: &'static str) -> PickleError {
        PickleError::Unexpected {
            offset: self.offset,
            opcode: self.opcode,
            found,
            expected,
        }
    }

    fn limit(&self, what: &'static str, limit: usize) -> PickleError {
        PickleError::Limit {
            offset: self.offset,
            what,
            limit,
        }
    }

    /// Takes the top of the stack, but nothing from below a mark.
    fn pop(&mut self, expected: &'static str) -> Result<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.unexpected("nothing", expected));
        }
        self.stack
            .pop()
            .ok_or_else(|| self.unexpected("nothing", expected))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| self.unexpected("no mark", "a mark"))?;
        // `pop` never goes below a mark, so the mark lies within the stack.
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn remember(&mut self, index: usize) -> Result<()> {
        if index >= MAX_MEMO {
            return Err(self.limit("remembered values", MAX_MEMO));
        }
        let value = match self.stack.last() {
            None => return Err(self.unexpected("nothing", "a value to remember")),
            Some(Value::List { .. } | Value::Dict { .. }) => Value::Owned,
            Some(value) => value.clone(),
        };
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<()> {
        let value = self.memo.get(&index).cloned();
        self.stack
            .push(value.ok_or_else(|| self.unexpected("an empty place", "a remembered value"))?);
        Ok(())
    }

    /// One more than the deepest of `items`.
    fn depth_over<'v>(&self, items: impl Iterator<Item = &'v Value>) -> Result<usize> {
        let depth = 1 + items.map(Value::depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            Err(self.limit("levels of nesting", MAX_DEPTH))
        } else {
            Ok(depth)
        }
    }

    fn tuple(&mut self, items: Vec<Value>) -> Result<()> {
        let depth = self.depth_over(items.iter())?;
        self.stack.push(Value::Tuple {
            items: items.into(),
            depth,
        });
        Ok(())
    }

    fn append(&mut self, more: Vec<Value>) -> Result<()> {
        let over = self.depth_over(more.iter())?;
        let Value::List { mut items, depth } = self.pop("a list")? else {
            return Err(self.unexpected("something else", "a list"));
        };
        items.extend(more);
        self.stack.push(Value::List {
            items,
            depth: depth.max(over),
        });
        Ok(())
    }

    fn set_items(&mut self, pairs: Vec<Value>) -> Result<()> {
        let over = self.depth_over(pairs.iter())?;
        let Value::Dict { mut entries, depth } = self.pop("a dictionary")? else {
            return Err(self.unexpected("something else", "a dictionary"));
        };
        let mut pairs = pairs.into_iter();
        while let Some(key) = pairs.next() {
            let (Value::Text(key), Some(value)) = (key, pairs.next()) else {
                return Err(self.unexpected("other items", "pairs of a text and a value"));
            };
            entries.push((key, value));
        }
        self.stack.push(Value::Dict {
            entries,
            depth: depth.max(over),
        });
        Ok(())
    }

    fn function(&self, name: String) -> Result<Function> {
        match name.as_str() {
            "collections.OrderedDict" => Ok(Function::OrderedDict),
            "torch._utils._rebuild_tensor_v2" => Ok(Function::RebuildTensor),
            "torch.storage._load_from_bytes" => Ok(Function::LoadFromBytes),
            "torch.FloatStorage" => Ok(Function::Elements(Element::Float)),
            "torch.LongStorage" => Ok(Function::Elements(Element::Long)),
            _ => Err(PickleError::Call {
                offset: self.offset,
                name,
            }),
        }
    }

    /// `("storage", kind, key, device, number of elements, view)` becomes a storage.
    fn storage(&mut self) -> Result<()> {
        let expected = "a storage's description";
        let Value::Tuple { items, .. } = self.pop(expected)? else {
            return Err(self.unexpected("something else", expected));
        };
        let [
            Value::Text(tag),
            Value::Function(Function::Elements(element)),
            Value::Text(key),
            _,
            n,
            Value::None,
        ] = &*items
        else {
            return Err(self.unexpected("another tuple", expected));
        };
        let (Some(n_elements), "storage") = (number(n), &**tag) else {
            return Err(self.unexpected("another tuple", expected));
        };
        let storage = Storage {
            key: Rc::clone(key),
            element: *element,
            n_elements: n_elements as u64,
            data: None,
        };
        self.stack.push(Value::Storage(Rc::new(storage)));
        Ok(())
    }

    /// Builds what a permitted function would have made from its arguments.
    fn call(&mut self) -> Result<()> {
        let Value::Tuple { items, .. } = self.pop("arguments")? else {
            return Err(self.unexpected("something else", "arguments"));
        };
        let Value::Function(function) = self.pop("a function")? else {
            return Err(self.unexpected("something else", "a function"));
        };
        let made = match (function, &*items) {
            (Function::OrderedDict, []) => Value::Dict {
                entries: Vec::new(),
                depth: 1,
            },
            (Function::RebuildTensor, [Value::Storage(storage), offset, shape, strides, _, _]) => {
                let tensor = tensor(storage, offset, shape, strides);
                Value::Tensor(Rc::new(tensor.ok_or_else(|| {
                    self.unexpected("other arguments", "a storage, offset, shape and strides")
                })?))
            }
            (Function::LoadFromBytes, [Value::Bytes(bytes)]) if !self.is_inner => {
                Value::Storage(Rc::new(nested::storage(bytes)?))
            }
            (
                Function::OrderedDict
                | Function::RebuildTensor
                | Function::LoadFromBytes
                | Function::Elements(_),
                _,
            ) => {
                return Err(self.unexpected(
                    "other arguments",
                    "those of an empty dictionary, a storage's bytes or a tensor",
                ));
            }
        };
        self.stack.push(made);
        Ok(())
    }
}

fn tensor(storage: &Rc<Storage>, offset: &Value, shape: &Value, strides: &Value) -> Option<Tensor> {
    let offset = number(offset)?;
    let shape = numbers(shape)?;
    let strides = numbers(strides)?;
    (shape.len() == strides.len()).then(|| Tensor {
        storage: Rc::clone(storage),
        offset,
        shape,
        strides,
    })
}

fn number(value: &Value) -> Option<usize> {
    if let Value::Int(number) = value {
        usize::try_from(*number).ok()
    } else {
        None
    }
}

fn numbers(value: &Value) -> Option<Vec<usize>> {
    let Value::Tuple { items, .. } = value else {
        return None;
    };
    if items.len() <= MAX_DIMS {
        items.iter().map(number).collect()
    } else {
        None
    }
}
