//! Model files on disk: named by what they hold, written whole.
//!
//! ```text
//! bytes ─▶ partial file ─▶ synced ─▶ renamed to <SHA-256>.onnx ─▶ kind and size ─▶ bytes
//! ```
//!
//! Reading asks what a file is before it opens it, so that neither a pipe nor a disk image
//! given by mistake can hold up or fill a station. What the bytes mean is not judged here.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::ModelError;
use crate::onnx::read::{GraphError, MAX_MODEL_BYTES};

/// The bytes of a model file.
///
/// # Errors
/// [`ModelError::File`] when it is no regular file or cannot be read, [`ModelError::NotOnnx`]
/// when it is larger than [`MAX_MODEL_BYTES`].
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    let inaccessible = |source| ModelError::File {
        path: path.to_owned(),
        source,
    };
    let too_large = |found: u64| ModelError::NotOnnx {
        path: path.to_owned(),
        source: GraphError::TooLarge {
            found: usize::try_from(found).unwrap_or(usize::MAX),
            limit: MAX_MODEL_BYTES,
        },
    };
    let metadata = std::fs::metadata(path).map_err(inaccessible)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() {
            "a folder"
        } else {
            "a pipe or a device"
        };
        let reason = format!("found {found}, expected a file");
        return Err(inaccessible(Error::new(ErrorKind::InvalidInput, reason)));
    }
    let limit = MAX_MODEL_BYTES as u64;
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    // A file may grow while it is read.
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(inaccessible)?;
    if bytes.len() > MAX_MODEL_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// SHA-256 of `bytes`, in hex.
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether a file's name promises a digest.
pub(crate) fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Write, sync, rename: a file under its final name is whole.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.onnx");
        // Sparse: it has a length and no blocks.
        let huge = File::create(&path).unwrap();
        huge.set_len(MAX_MODEL_BYTES as u64 + 1).unwrap();
        let refused = read_file(&path).unwrap_err();
        assert!(
            matches!(
                refused,
                ModelError::NotOnnx {
                    source: GraphError::TooLarge { .. },
                    ..
                }
            ),
            "{refused}"
        );
    }

    #[test]
    fn what_is_no_file_is_refused_and_called_by_its_name() {
        for (path, found) in [("/dev/zero", "a device"), ("/", "a folder")] {
            let refused = read_file(Path::new(path)).unwrap_err();
            let source = std::error::Error::source(&refused).unwrap().to_string();
            assert!(source.contains(found), "{source}");
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("articles").join("some.onnx");
        write_durably(&path, b"bytes").unwrap();
        assert_eq!(read_file(&path).unwrap(), b"bytes");
        let n_files = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(n_files, 1);
    }

    #[test]
    fn only_sixty_four_hex_digits_are_a_digest() {
        assert!(is_digest(&digest_of(b"")));
        assert!(!is_digest("denim"));
        assert!(!is_digest(&"g".repeat(64)));
    }
}
