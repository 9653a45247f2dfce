//! The store seen from outside: a whole life on every server, opening, kills, full and read-only
//! disks.
//!
//! A child process is this same program started again with an environment variable that names its
//! task; the test that is its entry does nothing otherwise.

#![allow(clippy::unwrap_used, reason = "tests may unwrap, their helpers too")]

mod cloth;
mod disks;
mod killed;
mod life;
mod opening;
mod postgres;
mod readers;
mod resume;
mod servers;

use std::io::{Write, stderr};

/// Says that a test could not run here; not with `eprintln`, whose words the harness keeps.
pub(crate) fn not_run(why: &str) {
    let mut out = stderr();
    writeln!(out, "NOT RUN: {why}").unwrap();
}
