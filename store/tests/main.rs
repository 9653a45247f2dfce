//! The store seen from outside: a whole life on either server, opening, resuming, kills, stalls,
//! full, failing and read-only disks.
//!
//! What must hold anywhere runs on SQLite and on PostgreSQL (`servers::on_both`). Only on SQLite:
//! `disks` and `faults`, because a server's disk is not the station's; file names, file bytes and
//! committed schemas in `opening`, because a server has no file of ours; `:memory:`. Only on
//! PostgreSQL: `postgres`, a server that goes away.
//!
//! A child process is this same program started again with an environment variable that names its
//! task; the test that is its entry does nothing otherwise.

#![allow(clippy::unwrap_used, reason = "tests may unwrap, their helpers too")]

mod chains;
mod cloth;
mod disks;
mod faults;
mod killed;
mod life;
mod moments;
mod opening;
mod pages;
mod people;
mod postgres;
mod readers;
mod resume;
mod retention;
mod servers;
mod stalls;
mod writers;

use std::io::{Write, stderr};

/// Says what a test measured.
pub(crate) fn measured(what: &str) {
    let mut out = stderr();
    writeln!(out, "MEASURED: {what}").unwrap();
}

/// Says that a test could not run here; not with `eprintln`, whose words the harness keeps.
pub(crate) fn not_run(why: &str) {
    let mut out = stderr();
    writeln!(out, "NOT RUN: {why}").unwrap();
}
