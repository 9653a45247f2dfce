//! A storage with its data, saved as a file of its own inside a pickle's bytes.
//!
//! ```text
//! pickle  the magic number 0x1950a86a20f9469cfc6c
//! pickle  the protocol, 1001
//! pickle  a dictionary about the writer's machine (byte order)
//! pickle  the storage
//! pickle  list of its one key
//! u64 number of elements, then the elements, all little-endian
//! ```
//!
//! That is PyTorch's legacy format for a single storage. The first three are those of a whole
//! weights file, so they are checked here for both. Offsets in errors count from the start of the
//! inner file.

use std::rc::Rc;

use super::{Reader, Result, Storage, Value, run_inner};

/// The bytes of the magic number as `LONG1` carries it, little-endian.
pub(crate) const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The only version of the legacy format.
const PROTOCOL: i64 = 1001;

/// The storage that the inner file `bytes` holds, with its data.
pub(super) fn storage(bytes: &[u8]) -> Result<Storage> {
    let mut reader = Reader::new(bytes);
    head(&mut reader)?;
    let Value::Storage(storage) = run_inner(&mut reader)? else {
        return Err(reader.layout("no storage", "a storage"));
    };
    let keys = run_inner(&mut reader)?;
    if !matches!(&keys, Value::List { items, .. }
        if matches!(&**items, [Value::Text(key)] if *key == storage.key))
    {
        return Err(reader.layout(keys.kind(), "a list of the storage's key"));
    }
    let n_elements = reader.u64()?;
    if n_elements != storage.n_elements {
        return Err(reader.layout(format!("{n_elements} elements"), "as many as declared"));
    }
    let data = reader.take(n_bytes(&storage))?;
    reader.end("the end of the inner file")?;
    Ok(Storage {
        key: Rc::clone(&storage.key),
        element: storage.element,
        n_elements,
        data: Some(data.into()),
    })
}

/// Passes over what every legacy file begins with.
pub(crate) fn head(reader: &mut Reader<'_>) -> Result<()> {
    let magic = run_inner(reader)?;
    if !matches!(&magic, Value::Long(digits) if **digits == MAGIC) {
        return Err(reader.layout(magic.kind(), "the magic number of a legacy PyTorch file"));
    }
    let protocol = run_inner(reader)?;
    if !matches!(protocol, Value::Int(PROTOCOL)) {
        return Err(reader.layout(protocol.kind(), "protocol 1001"));
    }
    let Value::Dict {
        entries: machine, ..
    } = run_inner(reader)?
    else {
        return Err(reader.layout("no dictionary", "a dictionary about the writer's machine"));
    };
    let is_little = machine
        .iter()
        .any(|(key, value)| &**key == "little_endian" && matches!(value, Value::Bool(true)));
    if !is_little {
        return Err(reader.layout("another byte order", "little_endian = True"));
    }
    Ok(())
}

/// Bytes that a storage's data takes; more than there can be where that overflows.
pub(crate) fn n_bytes(storage: &Storage) -> usize {
    usize::try_from(storage.n_elements)
        .ok()
        .and_then(|n| n.checked_mul(storage.element.n_bytes()))
        .unwrap_or(usize::MAX)
}
