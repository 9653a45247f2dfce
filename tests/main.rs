//! Selvedge seen from outside: the line, the program, bad input, old stores, the tree itself.
//!
//! One binary. Cloth comes from the simulated loom; where real cloth, ONNX Runtime or the right
//! to mount a disk is missing, a test says `NOT RUN` aloud and the others still run.
//! `SELVEDGE_REFRESH=1` writes anew what is committed beside the tests.

#![allow(clippy::unwrap_used, reason = "tests may unwrap, their helpers too")]

mod texture;

mod told;

mod program;

mod browser;

mod pictures;

mod line;

mod limits;

mod kills;

mod commands;

mod teaching;

mod audit;

mod calibrate;

mod bad;

mod compat;

mod classes;

mod cloth;

mod genicam;

mod golden;

mod grading;

mod modes;

mod operations;

mod outputs;

mod repeats;

mod parity;

mod power_cut;

mod retention;

mod review;

mod tidy;

mod video;

mod station;

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

/// Says that a test could not run here; not with `eprintln`, whose words the harness keeps.
fn not_run(why: &str) {
    let mut out = stderr();
    writeln!(out, "NOT RUN: {why}").unwrap();
}

/// A folder or file of this repository.
fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether committed expectations are to be written anew.
fn is_refreshing() -> bool {
    std::env::var_os("SELVEDGE_REFRESH").is_some()
}
