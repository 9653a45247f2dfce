//! Read tensors out of a PyTorch weights file, of two old kinds.
//!
//! ```text
//! legacy                                                             plain
//!
//! pickle  the magic number 0x1950a86a20f9469cfc6c                    pickle  OrderedDict:
//! pickle  the protocol, 1001                                           name -> _rebuild_tensor_v2(
//! pickle  a dictionary about the writer's machine (byte order)           bytes of a file of the
//! pickle  OrderedDict: name -> _rebuild_tensor_v2(                        legacy kind that holds
//!           storage, offset, shape, strides, …)                           one storage,
//! pickle  list of the storages' keys, in the order of their data         offset, shape, strides, …)
//! for each key:  u64 number of elements, then the elements
//! ```
//!
//! All numbers are little-endian. In the legacy kind the data comes last so that the writer could
//! stream it; the plain kind is what `pickle.dump` makes of a state dictionary. Any bytes give
//! weights or an error, never a panic; what a pickle may do is `pickle`'s matter.
//! PyTorch's `torch/serialization.py` (`_legacy_save`) is the source of the layout.
//! Integer tensors (batch counters) are checked and passed over.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use ndarray::{ArrayD, ArrayViewD, IxDyn, ShapeBuilder};

use crate::pickle::{self, Element, PickleError, Reader, Result, Tensor, Value};

/// Largest weights file, in bytes.
const MAX_FILE_BYTES: usize = 256 << 20;
/// How a plain pickle begins; a legacy file's first one is of protocol 2.
const PLAIN: [u8; 2] = [0x80, 4];

/// Reads every float tensor of a legacy weights file, by name.
pub(crate) fn read_weights(bytes: &[u8]) -> Result<BTreeMap<String, ArrayD<f32>>> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(PickleError::Limit {
            offset: 0,
            what: "bytes",
            limit: MAX_FILE_BYTES,
        });
    }
    let mut reader = Reader::new(bytes);
    let (tensors, storages) = if bytes.starts_with(&PLAIN) {
        let tensors = dictionary(&mut reader)?;
        reader.end("the end of the file")?;
        (tensors, HashMap::new())
    } else {
        pickle::head(&mut reader)?;
        let tensors = dictionary(&mut reader)?;
        let Value::List { items: keys, .. } = pickle::run(&mut reader)? else {
            return Err(reader.layout("no list", "a list of storage keys"));
        };
        let storages = storages(&mut reader, &tensors, &keys)?;
        (tensors, storages)
    };
    let mut weights = BTreeMap::new();
    for (name, value) in &tensors {
        let Value::Tensor(tensor) = value else {
            return Err(reader.layout(format!("{} under {name:?}", value.kind()), "a tensor"));
        };
        let behind = storages.get(&tensor.storage.key).copied();
        let data = tensor.storage.data.as_deref().or(behind);
        let data = data.unwrap_or_default();
        let n_stored = data.len() / tensor.storage.element.n_bytes();
        let outside = || {
            let found = format!("a view outside its storage under {name:?}");
            reader.layout(found, "a view within it")
        };
        tensor.n_elements_within(n_stored).ok_or_else(outside)?;
        match tensor.storage.element {
            Element::Float => {
                weights.insert(name.to_string(), floats(tensor, data).ok_or_else(outside)?);
            }
            Element::Long => {}
        }
    }
    Ok(weights)
}

/// Tensors by name.
fn dictionary(reader: &mut Reader<'_>) -> Result<Vec<(Rc<str>, Value)>> {
    let found = pickle::run(reader)?;
    let Value::Dict { entries, .. } = found else {
        return Err(reader.layout(found.kind(), "a dictionary of tensors"));
    };
    Ok(entries)
}

/// The tensor in row-major order, from its storage's bytes.
fn floats(tensor: &Tensor, data: &[u8]) -> Option<ArrayD<f32>> {
    let stored: Vec<f32> = data
        .as_chunks()
        .0
        .iter()
        .map(|item| f32::from_le_bytes(*item))
        .collect();
    let shape = IxDyn(&tensor.shape).strides(IxDyn(&tensor.strides));
    let view = ArrayViewD::from_shape(shape, stored.get(tensor.offset..)?).ok()?;
    Some(view.as_standard_layout().into_owned())
}

/// Finds the data of every storage behind the pickles; nothing may follow them.
fn storages<'a>(
    reader: &mut Reader<'a>,
    tensors: &[(Rc<str>, Value)],
    keys: &[Value],
) -> Result<HashMap<Rc<str>, &'a [u8]>> {
    let mut declared = HashMap::new();
    for (_, value) in tensors {
        if let Value::Tensor(tensor) = value {
            let storage = Rc::clone(&tensor.storage);
            if declared.insert(Rc::clone(&storage.key), storage).is_some() {
                return Err(reader.layout("two tensors in one storage", "a storage for each"));
            }
        }
    }
    let mut found = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else {
            return Err(reader.layout(key.kind(), "a storage key"));
        };
        let Some(storage) = declared.get(key) else {
            return Err(reader.layout(
                format!("data for {key:?}"),
                "only storages that a tensor uses",
            ));
        };
        let n_elements = reader.u64()?;
        if n_elements != storage.n_elements {
            return Err(reader.layout(
                format!("{n_elements} elements for {key:?}"),
                "as many as declared",
            ));
        }
        let data = reader.take(pickle::n_bytes(storage))?;
        found.insert(Rc::clone(key), data);
    }
    reader.end("the end of the file")?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// A weights file with one float tensor `w` of shape `[2, 3]` and one counter, written by hand.
    fn small() -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(b"\x80\x02\x8a\x0a");
        file.extend(pickle::MAGIC);
        file.extend(b".");
        file.extend(b"\x80\x02M\xe9\x03.");
        file.extend(b"\x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionM\xe9\x03");
        file.extend(b"X\x0d\x00\x00\x00little_endian\x88u.");
        file.extend(b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(");
        file.extend(b"X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\nq\x02");
        file.extend(b"((X\x07\x00\x00\x00storageq\x03ctorch\nFloatStorage\nX\x01\x00\x00\x00aX\x03\x00\x00\x00cpu");
        file.extend(b"K\x06NtQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89h\x00)RtR");
        file.extend(b"X\x01\x00\x00\x00nh\x02((h\x03ctorch\nLongStorage\nX\x01\x00\x00\x00bX\x03\x00\x00\x00cpu");
        file.extend(b"K\x01NtQK\x00))\x89h\x00)RtRu}X\x01\x00\x00\x00_K\x01sb.");
        file.extend(b"\x80\x02]q\x00(X\x01\x00\x00\x00aX\x01\x00\x00\x00be.");
        file.extend(6u64.to_le_bytes());
        for number in [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.5] {
            file.extend(number.to_le_bytes());
        }
        file.extend(1u64.to_le_bytes());
        file.extend(7i64.to_le_bytes());
        file
    }

    /// The storage of `w` as a file of its own.
    fn inner() -> Vec<u8> {
        let mut inner = Vec::new();
        inner.extend(b"\x80\x02\x8a\x0a");
        inner.extend(pickle::MAGIC);
        inner.extend(b".\x80\x02M\xe9\x03.");
        inner.extend(b"\x80\x02}q\x00(X\x0d\x00\x00\x00little_endian\x88u.");
        inner.extend(b"\x80\x02(X\x07\x00\x00\x00storageq\x00ctorch\nFloatStorage\nq\x01");
        inner.extend(b"X\x01\x00\x00\x00aq\x02X\x03\x00\x00\x00cpuq\x03K\x06Ntq\x04Q.");
        inner.extend(b"\x80\x02]q\x00X\x01\x00\x00\x00aq\x01a.");
        inner.extend(6u64.to_le_bytes());
        for number in [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.5] {
            inner.extend(number.to_le_bytes());
        }
        inner
    }

    /// The same tensor `w` as a plain pickle around the file of its storage.
    fn plain() -> Vec<u8> {
        plain_around(&inner())
    }

    fn plain_around(inner: &[u8]) -> Vec<u8> {
        let mut file = b"\x80\x04\x95\0\0\0\0\0\0\0\0".to_vec();
        file.extend(b"\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93)R(");
        file.extend(b"\x8c\x01w\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93(");
        file.extend(b"\x8c\x0dtorch.storage\x8c\x10_load_from_bytes\x93B");
        file.extend((inner.len() as u32).to_le_bytes());
        file.extend(inner);
        file.extend(b"\x85RK\x00K\x02K\x03\x86K\x03K\x01\x86\x89)tRu.");
        file
    }

    /// The same file with the first `from` in it replaced by `to`.
    fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
        let file = small();
        let at = file
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        [&file[..at], to, &file[at + from.len()..]].concat()
    }

    #[test]
    fn float_tensors_are_read_by_name_and_counters_passed_over() {
        let weights = read_weights(&small()).unwrap();
        assert_eq!(weights.len(), 1);
        let expected = ndarray::array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]];
        assert_eq!(weights["w"], expected.into_dyn());
    }

    #[test]
    fn a_plain_pickle_gives_the_same_tensors() {
        assert_eq!(
            read_weights(&plain()).unwrap(),
            read_weights(&small()).unwrap()
        );
    }

    #[test]
    fn every_truncation_is_refused() {
        for file in [small(), plain()] {
            for end in 0..file.len() {
                assert!(
                    read_weights(&file[..end]).is_err(),
                    "{end} of {} bytes",
                    file.len()
                );
            }
        }
    }

    #[test]
    fn a_file_within_a_file_within_a_file_is_refused() {
        let inner = inner();
        let storage = inner
            .windows(3)
            .position(|part| part == b"\x80\x02(")
            .unwrap();
        let again = b"\x80\x04\x8c\x0dtorch.storage\x8c\x10_load_from_bytes\x93C\x00\x85R.";
        let nested = plain_around(&[&inner[..storage], again].concat());
        let refused = read_weights(&nested).unwrap_err();
        assert!(
            matches!(
                refused,
                PickleError::Unexpected {
                    opcode: b'R',
                    found: "other arguments",
                    ..
                }
            ),
            "{refused}"
        );
    }

    #[test]
    fn a_foreign_function_is_refused_in_a_plain_pickle_too() {
        let file = plain();
        let name = b"\x8c\x0dtorch.storage\x8c\x10_load_from_bytes";
        let at = file
            .windows(name.len())
            .position(|window| window == name)
            .unwrap();
        let foreign = [
            &file[..at],
            b"\x8c\x02os\x8c\x06system",
            &file[at + name.len()..],
        ];
        let refused = read_weights(&foreign.concat()).unwrap_err();
        assert!(
            matches!(&refused, PickleError::Call { name, .. } if name == "os.system"),
            "{refused}"
        );
    }

    #[test]
    fn a_foreign_function_is_refused_by_name() {
        let refused =
            read_weights(&replaced(b"collections\nOrderedDict", b"os\nsystem")).unwrap_err();
        assert!(
            matches!(&refused, PickleError::Call { name, .. } if name == "os.system"),
            "{refused}"
        );
    }

    #[test]
    fn an_instruction_that_weights_do_not_need_is_refused() {
        // NEWOBJ in place of REDUCE.
        let refused = read_weights(&replaced(b")Rq\x01", b")\x81q\x01")).unwrap_err();
        assert!(
            matches!(refused, PickleError::Opcode { opcode: 0x81, .. }),
            "{refused}"
        );
    }

    #[test]
    fn a_tensor_outside_its_storage_is_refused() {
        let refused = read_weights(&replaced(b"K\x02K\x03\x86", b"K\x03K\x03\x86")).unwrap_err();
        assert!(matches!(refused, PickleError::Layout { .. }), "{refused}");
    }

    #[test]
    fn a_transposed_tensor_is_put_in_order() {
        let file = replaced(b"K\x03K\x01\x86\x89", b"K\x01K\x02\x86\x89");
        let expected = ndarray::array![[1.0, 3.0, 5.0], [2.0, 4.0, 6.5]];
        assert_eq!(read_weights(&file).unwrap()["w"], expected.into_dyn());
    }

    #[test]
    fn a_small_storage_cannot_be_blown_up_by_strides() {
        let big = b"J\xff\xff\xff\x7fK\x03\x86K\x00K\x00\x86\x89";
        let refused =
            read_weights(&replaced(b"K\x02K\x03\x86K\x03K\x01\x86\x89", big)).unwrap_err();
        assert!(matches!(refused, PickleError::Layout { .. }), "{refused}");
    }

    #[test]
    fn two_tensors_may_not_share_a_storage() {
        let shared = replaced(b"X\x01\x00\x00\x00bX", b"X\x01\x00\x00\x00aX");
        let refused = read_weights(&shared).unwrap_err();
        assert!(
            refused.to_string().contains("two tensors in one storage"),
            "{refused}"
        );
    }

    #[test]
    fn bytes_behind_the_data_are_refused() {
        let mut file = small();
        file.push(0);
        assert!(matches!(
            read_weights(&file),
            Err(PickleError::Layout { .. })
        ));
    }

    #[test]
    fn deep_nesting_is_refused_before_it_can_exhaust_the_stack() {
        let mut file = b"\x80\x02)".to_vec();
        file.extend(std::iter::repeat_n(0x85, 500_000));
        file.push(b'.');
        let refused = read_weights(&file).unwrap_err();
        assert!(
            matches!(
                refused,
                PickleError::Limit {
                    what: "levels of nesting",
                    ..
                }
            ),
            "{refused}"
        );
    }

    #[test]
    fn a_list_cannot_be_fetched_twice() {
        // A list that holds itself would never be freed.
        let refused = read_weights(b"\x80\x02]q\x00(h\x00e(h\x00e.").unwrap_err();
        assert!(
            matches!(
                refused,
                PickleError::Layout { .. } | PickleError::Unexpected { .. }
            ),
            "{refused}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn no_damage_makes_reading_panic(
            hits in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..8),
            cut in any::<Index>(),
            whole in any::<bool>(),
            is_plain in any::<bool>(),
        ) {
            let mut file = if is_plain { plain() } else { small() };
            for (at, value) in hits {
                let at = at.index(file.len());
                file[at] = value;
            }
            if !whole {
                file.truncate(cut.index(file.len()));
            }
            drop(read_weights(&file));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(read_weights(&bytes));
        }

        #[test]
        fn no_order_of_known_instructions_makes_reading_panic(
            instructions in proptest::collection::vec(
                proptest::sample::select(
                    b"\x80.(N\x88\x89JKM\x8aXqrhj)]}\x85\x86tesucQRb\x00\x01\x02\x04\x93\x94\x95\x8cBCa".as_slice(),
                ),
                0..120,
            ),
        ) {
            drop(read_weights(&instructions));
        }
    }
}
