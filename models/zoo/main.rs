//! Turn the pinned backbone weights into ONNX; run by `setup/install.sh` only.
//!
//! ```text
//! zoo convert NETWORK WEIGHTS OUT.onnx [RUNTIME.so]
//!
//! weights ─▶ digest ─▶ pickle ─▶ network ─▶ OUT.onnx.new ─▶ verify ─▶ OUT.onnx
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

mod pickle;
mod weights;

mod convolution;
mod lite0;
mod resnet18;

mod network;
mod verify;

use network::{NETWORKS, Network};
use verify::{Reference, Runtime, TOLERANCE};

const USAGE: &str = "usage: zoo convert NETWORK WEIGHTS OUT.onnx [RUNTIME.so]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["convert", name, weights, out] => convert(name, weights, out, None),
        ["convert", name, weights, out, runtime] => {
            convert(name, weights, out, Some(Path::new(runtime)))
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

fn convert(
    name: &str,
    weights: &str,
    out: &str,
    runtime: Option<&Path>,
) -> Result<(), Box<dyn Error>> {
    let known = NETWORKS.map(|network| network.name);
    let network =
        Network::named(name).ok_or_else(|| format!("found {name:?}, expected one of {known:?}"))?;
    let out = Path::new(out);
    let bytes = std::fs::read(weights).map_err(|error| format!("{weights:?}: {error}"))?;
    let model = network.made_from(&bytes)?.to_bytes();
    put_checked(out, &model, |new| match runtime {
        Some(runtime) => Runtime::load(runtime)
            .map_err(Into::into)
            .and_then(|runtime| verified(network, new, &runtime)),
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

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut file = File::create(path).map_err(|error| format!("{path:?}: {error}"))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

/// Runs the file as it lies on disk and compares it with the reference.
fn verified(network: &Network, path: &Path, runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let reference = Reference::parse(network.reference)?;
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
            "NOT RUN: {} is not installed; `make setup` or `make quality` does that",
            path.display()
        );
        None
    }

    /// ONNX Runtime, where set-up put it and this was built for it.
    fn runtime() -> Option<Runtime> {
        match Runtime::load(&installed("lib/libonnxruntime.so.1.28.0")?) {
            Err(error) if cfg!(not(feature = "onnx")) => {
                eprintln!("NOT RUN: {error}");
                None
            }
            loaded => Some(loaded.unwrap()),
        }
    }

    #[test]
    fn the_installed_backbones_do_what_pytorch_did() {
        let Some(runtime) = runtime() else { return };
        for network in &NETWORKS {
            let Some(backbone) = installed(&format!("zoo/{}.onnx", network.name)) else {
                continue;
            };
            verified(network, &backbone, &runtime).unwrap();

            // Any multiple of 16 comes out exactly divided, in batches too.
            let model = std::fs::read(&backbone).unwrap();
            let names = ["stride2", "stride4", "stride8"].map(str::to_owned);
            let outputs = runtime
                .run(&model, ndarray::Array4::zeros((2, 3, 48, 80)), &names)
                .unwrap();
            for (name, stride) in names.iter().zip([2, 4, 8]) {
                let [batch, _, height, width] = outputs[name].shape()[..] else {
                    panic!("{name} of {} is no picture", network.name);
                };
                assert_eq!(
                    [batch, height, width],
                    [2, 48 / stride, 80 / stride],
                    "{name} of {}",
                    network.name
                );
            }
        }
    }

    #[test]
    fn backbones_are_made_from_the_weights_that_setup_fetches() {
        let pins = std::fs::read_to_string(Path::new(SETUP).join("pins.txt")).unwrap();
        let quality = std::fs::read_to_string(Path::new(SETUP).join("quality-pins.txt")).unwrap();
        for (network, pins) in NETWORKS.iter().zip([pins, quality]) {
            assert!(pins.contains(network.weights_sha256), "{}", network.name);
        }
    }

    #[test]
    fn other_weights_are_refused_by_their_digest() {
        for network in &NETWORKS {
            let refused = network.made_from(b"other weights").unwrap_err().to_string();
            assert!(refused.contains(network.weights_sha256), "{refused}");
        }
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
