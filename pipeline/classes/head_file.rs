//! A head as a file.
//!
//! ```text
//! {"format":1,"sha256":"<of the head's text>","head":{…}}
//! ```
//!
//! The checksum is of the head's text as it stands in the file, so a reader needs no rule of how
//! numbers are written. Format and checksum come first, to be looked at first. A file is
//! replaced by write, sync and rename. Reading returns an error on any bytes, and what it
//! returns can be used: as many weights as figures, classes that are known.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use super::head::{Head, names};
use super::{Class, FEWEST_SAMPLES};

/// Version of the file's layout that this program writes and reads.
const FORMAT: u32 = 1;
/// No head is larger: 24 classes of 26 weights are 20 kB.
const MOST_BYTES: u64 = 1 << 20;

/// A head, and the checksum that a run's record keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptHead {
    /// The head.
    pub head: Head,
    /// SHA-256 of its text, in hex.
    pub digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    sha256: String,
    head: Box<RawValue>,
}

/// Writes a head, in place of the one that was there.
///
/// # Errors
/// What the disk says.
pub fn write_head(path: &Path, head: &Head) -> anyhow::Result<KeptHead> {
    let raw = to_raw_value(head)?;
    let digest = digest(&raw);
    let text = serde_json::to_string(&File {
        format: FORMAT,
        sha256: digest.clone(),
        head: raw,
    })?;
    let cannot = || format!("{path:?} cannot be written");
    let beside = PathBuf::from(format!("{}.new", path.display()));
    std::fs::write(&beside, text).with_context(cannot)?;
    let file = std::fs::OpenOptions::new().write(true).open(&beside);
    file.and_then(|file| file.sync_all()).with_context(cannot)?;
    std::fs::rename(&beside, path).with_context(cannot)?;
    if let Some(folder) = path.parent().filter(|folder| folder.is_dir()) {
        let folder = std::fs::File::open(folder);
        folder
            .and_then(|folder| folder.sync_all())
            .with_context(cannot)?;
    }
    Ok(KeptHead {
        head: head.clone(),
        digest,
    })
}

/// Reads a head; `None` where there is no such file.
///
/// # Errors
/// When it cannot be read, is damaged, of another version, or of other figures than this program
/// measures.
pub fn read_head(path: &Path) -> anyhow::Result<Option<KeptHead>> {
    let size = match std::fs::metadata(path) {
        Ok(facts) => facts.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{path:?} cannot be read")),
    };
    let read = || {
        ensure!(
            size <= MOST_BYTES,
            "found {size} bytes, expected at most {MOST_BYTES}"
        );
        head_of(&std::fs::read_to_string(path)?)
    };
    let head =
        read().with_context(|| format!("what was taught of classes, {path:?}, cannot be used"))?;
    Ok(Some(head))
}

fn head_of(text: &str) -> anyhow::Result<KeptHead> {
    let file: File = serde_json::from_str(text)?;
    ensure!(
        file.format == FORMAT,
        "found format {}, expected {FORMAT}",
        file.format
    );
    let digest = digest(&file.head);
    ensure!(
        digest == file.sha256,
        "found checksum {digest}, expected {} as the file says: it is damaged",
        file.sha256
    );
    let head: Head = serde_json::from_str(file.head.get())?;
    check(&head)?;
    Ok(KeptHead { head, digest })
}

fn check(head: &Head) -> anyhow::Result<()> {
    let expected = names();
    ensure!(
        head.figures == expected,
        "found figures {:?}, expected {expected:?}: teach the classes again",
        head.figures
    );
    let n = expected.len();
    let is_whole = |values: &[f64], n: usize| {
        values.len() == n && values.iter().all(|value| value.is_finite())
    };
    ensure!(
        is_whole(&head.means, n) && is_whole(&head.spreads, n),
        "found means or spreads that are not {n} numbers"
    );
    ensure!(
        head.spreads.iter().all(|spread| *spread > 0.0),
        "found a spread of nothing, expected spreads above 0"
    );
    ensure!(
        head.classes.len() >= 2,
        "found {} classes, expected at least 2",
        head.classes.len()
    );
    let taught = head.classes.iter().map(|taught| &taught.told);
    for told in taught.chain(&head.rules) {
        if Class::from_word(&told.class).is_none() {
            bail!(
                "found class {:?}, expected one of {:?}",
                told.class,
                Class::ALL
            );
        }
        ensure!(
            told.n_right <= told.n,
            "found {} right of {} told",
            told.n_right,
            told.n
        );
    }
    for class in &head.classes {
        ensure!(
            is_whole(&class.weights, n + 1) && class.n_samples >= FEWEST_SAMPLES,
            "found class {:?} without {} weights or {FEWEST_SAMPLES} samples",
            class.told.class,
            n + 1
        );
    }
    Ok(())
}

fn digest(raw: &RawValue) -> String {
    let sum = Sha256::digest(raw.get().as_bytes());
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::head::tests::samples;
    use proptest::prelude::*;

    fn text() -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("classes.json");
        write_head(&path, &Head::taught("a", &samples(20)).unwrap()).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn what_was_written_is_read_and_what_was_there_before_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("classes.json");
        assert_eq!(read_head(&path).unwrap(), None);
        for n in [10, 20] {
            let head = Head::taught("a", &samples(n)).unwrap();
            let kept = write_head(&path, &head).unwrap();
            let read = read_head(&path).unwrap().unwrap();
            assert_eq!(read.digest, kept.digest);
            assert_eq!(read.head.classes().len(), head.classes().len());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_with_any_bit_turned_or_any_end_missing_is_refused() {
        let whole = text();
        assert!(head_of(&whole).is_ok());
        for at in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1;
            let turned = String::from_utf8(bytes).unwrap();
            assert!(head_of(&turned).is_err(), "byte {at} of {}", whole.len());
            assert!(
                head_of(&whole[..at]).is_err(),
                "{at} of {} bytes",
                whole.len()
            );
        }
    }

    #[test]
    fn a_file_of_a_later_version_is_refused_with_both_named() {
        let later = text().replacen("\"format\":1", "\"format\":2", 1);
        let error = head_of(&later).unwrap_err().to_string();
        assert_eq!(error, "found format 2, expected 1");
    }

    #[test]
    fn a_head_that_is_whole_but_cannot_be_used_is_refused() {
        let changed = |change: fn(&mut Head)| {
            let mut head = Head::taught("a", &samples(20)).unwrap();
            change(&mut head);
            check(&head)
        };
        assert!(changed(|_| ()).is_ok());
        assert!(changed(|head| head.means.truncate(3)).is_err());
        assert!(changed(|head| head.spreads[0] = 0.0).is_err());
        assert!(changed(|head| head.classes.truncate(1)).is_err());
        assert!(changed(|head| head.classes[0].weights.truncate(2)).is_err());
        assert!(changed(|head| head.classes[0].told.class = "whatever".to_owned()).is_err());
        assert!(changed(|head| head.figures[0] = "along".to_owned()).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in ".{0,200}") {
            prop_assert!(head_of(&text).is_err());
        }
    }
}
