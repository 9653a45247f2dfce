//! Turn the pinned backbone weights into ONNX; run by `setup/install.sh` only.
//!
//! ```text
//! zoo convert WEIGHTS.pth OUT.onnx [RUNTIME.so]
//!
//! weights ─▶ digest ─▶ pickle ─▶ lite0 ─▶ OUT.onnx.new ─▶ verify ─▶ OUT.onnx
//! ```
//!
//! `OUT.onnx` appears whole and verified or not at all. Without `RUNTIME.so`, the
//! absolute path of ONNX Runtime's library, it is written unverified, and that is
//! said. Exit code 0 is done, 2 is not done. Nothing of this is part of a station.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's own output"
)]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use models::onnx::proto::ModelProto;
use sha2::{Digest, Sha256};

mod lite0;
mod pickle;
mod verify;
mod weights;

use verify::{Reference, Runtime, TOLERANCE};

/// Digest of `efficientnet-lite0-57934424.pth`; `setup/pins.txt` has it too.
const WEIGHTS_SHA256: &str = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db";

const USAGE: &str = "usage: zoo convert WEIGHTS.pth OUT.onnx [RUNTIME.so]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["convert", weights, out] => convert(Path::new(weights), Path::new(out), None),
        ["convert", weights, out, runtime] => {
            convert(Path::new(weights), Path::new(out), Some(Path::new(runtime)))
        }
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zoo: {}", chain(error.as_ref()));
            ExitCode::from(2)
        }
    }
}

fn convert(weights: &Path, out: &Path, runtime: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let bytes = std::fs::read(weights).map_err(|error| format!("{weights:?}: {error}"))?;
    let model = from_weights(&bytes)?.to_bytes();
    put_checked(out, &model, |new| match runtime {
        Some(runtime) => Runtime::load(runtime)
            .map_err(Into::into)
            .and_then(|runtime| verified(new, &runtime)),
        None => {
            println!("zoo: not verified, no ONNX Runtime was named");
            Ok(())
        }
    })?;
    println!("zoo: {} has {} bytes", out.display(), model.len());
    Ok(())
}

/// Writes `bytes` to `out` if `check` accepts the written file; otherwise leaves nothing behind.
fn put_checked(
    out: &Path,
    bytes: &[u8],
    check: impl FnOnce(&Path) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    // Written beside the target, because only within one file system is renaming whole or nothing.
    let mut new = out.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    if let Err(error) = write_synced(&new, bytes).and_then(|()| check(&new)) {
        return match std::fs::remove_file(&new) {
            Ok(()) => Err(error),
            Err(left) => Err(format!(
                "{}; {new:?} could not be removed: {left}",
                chain(error.as_ref())
            )
            .into()),
        };
    }
    std::fs::rename(&new, out)?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

/// The network from the bytes of the pinned weights file, and from no others.
fn from_weights(bytes: &[u8]) -> Result<ModelProto, Box<dyn Error>> {
    let found: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found != WEIGHTS_SHA256 {
        return Err(format!("weights have digest {found}, expected {WEIGHTS_SHA256}").into());
    }
    let mut model = lite0::network(&weights::read_weights(bytes)?)?;
    model.set_metadata("selvedge.backbone", "efficientnet_lite0");
    model.set_metadata("selvedge.backbone.weights_sha256", WEIGHTS_SHA256);
    model.set_metadata(
        "selvedge.backbone.input",
        "RGB, (value - 127) / 128, height and width multiples of 16",
    );
    model.set_metadata("selvedge.backbone.licence", "Apache-2.0");
    Ok(model)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut file = File::create(path).map_err(|error| format!("{path:?}: {error}"))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

/// Runs the file as it lies on disk and compares it with the reference.
fn verified(path: &Path, runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let reference = Reference::lite0()?;
    let outputs = runtime.run(
        &std::fs::read(path)?,
        reference.input()?,
        &reference.outputs(),
    )?;
    let largest = reference.compare(&outputs)?;
    println!(
        "zoo: agrees with PyTorch, largest deviation {largest:.1e} of a channel's standard deviation \
         (accepted {TOLERANCE:.0e})"
    );
    Ok(())
}

/// An error with all its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../setup");

    /// A path under `setup/installed`, if set-up has put the file there.
    fn installed(place: &str) -> Option<PathBuf> {
        let path = Path::new(SETUP).join("installed").join(place);
        if path.exists() {
            return path.canonicalize().ok();
        }
        eprintln!(
            "SKIPPED: {} is not installed; run `make setup`",
            path.display()
        );
        None
    }

    #[test]
    fn the_installed_backbone_does_what_pytorch_did() {
        let (Some(backbone), Some(library)) = (
            installed("zoo/efficientnet_lite0.onnx"),
            installed("lib/libonnxruntime.so.1.28.0"),
        ) else {
            return;
        };
        let runtime = match Runtime::load(&library) {
            Err(error) if cfg!(not(feature = "onnx")) => {
                eprintln!("SKIPPED: {error}");
                return;
            }
            loaded => loaded.unwrap(),
        };
        verified(&backbone, &runtime).unwrap();

        // Any multiple of 16 comes out exactly divided, in batches too.
        let model = std::fs::read(&backbone).unwrap();
        let names = Reference::lite0().unwrap().outputs();
        let outputs = runtime
            .run(&model, ndarray::Array4::zeros((2, 3, 48, 80)), &names)
            .unwrap();
        for (name, channels, stride) in [
            ("stride2", 16, 2),
            ("stride4", 24, 4),
            ("stride8", 40, 8),
            ("stride16", 112, 16),
        ] {
            assert_eq!(
                outputs[name].shape(),
                [2, channels, 48 / stride, 80 / stride],
                "{name}"
            );
        }
    }

    #[test]
    fn the_backbone_is_made_from_the_weights_that_setup_fetches() {
        let pins = std::fs::read_to_string(Path::new(SETUP).join("pins.txt")).unwrap();
        assert!(pins.contains(WEIGHTS_SHA256));
    }

    #[test]
    fn other_weights_are_refused_by_their_digest() {
        let refused = from_weights(b"other weights").unwrap_err().to_string();
        assert!(refused.contains(WEIGHTS_SHA256), "{refused}");
    }

    #[test]
    fn a_refused_network_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("network.onnx");

        let refused = put_checked(&out, b"network", |new| {
            assert_eq!(std::fs::read(new).unwrap(), b"network");
            Err("it differs".into())
        });

        assert_eq!(refused.unwrap_err().to_string(), "it differs");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_accepted_network_replaces_the_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("network.onnx");
        for bytes in [b"first", b"again"] {
            put_checked(&out, bytes, |_| Ok(())).unwrap();
            assert_eq!(std::fs::read(&out).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
