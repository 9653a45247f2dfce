//! A disk that fails under SQLite: every write, sync and cut of a commit cycle, one after another.
//!
//! ```text
//! child: append ─▶ SQLite ─▶ pwrite, fsync … ─▶ faults.c: the nth call fails ─▶ disk
//! ```
//!
//! `faults/faults.c` is compiled here and loaded into a child before the C library. For each kind
//! of failure and each n the child appends until it is refused, checks what the store then holds,
//! repairs the disk, opens the store again and goes on. Only for SQLite: the disk of a server is
//! not in this process.

use std::path::{Path, PathBuf};
use std::process::Command;

use store::{Batch, FlawId, RunId, Store, StoreError};

use crate::cloth::{begun, crop, hole, inspected, rect};
use crate::not_run;

const FOLDER_OF_CHILD: &str = "SELVEDGE_TEST_FAULTS_FOLDER";
const FAULT_FILE: &str = "FAULT_FILE";
/// A commit cycle here is the appends until the log is written back into the file.
const N_APPENDS: i64 = 4;
/// More calls than a cycle has; the test says when it is too few.
const MOST_CALLS: u32 = 200;

#[test]
fn a_disk_that_fails_once_is_told_and_loses_nothing_announced() {
    in_child("faults::child_with_a_disk_that_fails");
}

#[test]
fn child_with_a_disk_that_fails() {
    let Ok(folder) = std::env::var(FOLDER_OF_CHILD) else {
        return;
    };
    let folder = Path::new(&folder);
    for (kind, is_full) in [
        ("eio", false),
        ("enospc", true),
        ("enospc sticky", true),
        ("short sticky", true),
    ] {
        let (mut n_refused, mut n_full, mut nth) = (0, 0, 1);
        loop {
            match fail_at(folder, kind, nth) {
                Failed::Nowhere => break,
                Failed::Told { was_full } => {
                    n_refused += 1;
                    n_full += u32::from(was_full);
                }
                // What failed was repaired by SQLite, or was the write-back of a log that stays.
                Failed::Untold => {}
            }
            nth += 1;
            assert!(nth < MOST_CALLS, "the cycle has more calls than expected");
        }
        assert!(
            n_refused >= 4,
            "{kind}: only {n_refused} of {nth} were told"
        );
        // A sync that fails for want of room is a disk that fails, to SQLite.
        assert_eq!(
            n_full > 0,
            is_full,
            "{kind}: {n_full} of {n_refused} were a full disk"
        );
    }
}

/// What a failing call led to.
enum Failed {
    /// There are fewer calls than that.
    Nowhere,
    /// The store said so.
    Told { was_full: bool },
    /// Every append and the write-back succeeded all the same.
    Untold,
}

/// One store, one failing call, and what must hold whatever it was.
fn fail_at(folder: &Path, kind: &str, nth: u32) -> Failed {
    let kept = tempfile::tempdir_in(folder).unwrap();
    let url = kept.path().join("selvedge.db");
    let url = url.to_str().unwrap();
    let mut store = Store::open(url).unwrap();
    let run = begun(&mut store, "R-1");
    let mut ids = vec![store.append(run, &batch(0)).unwrap()[0]];

    let words: Vec<&str> = kind.split(' ').collect();
    let line = [words[0], &nth.to_string(), words.get(1).unwrap_or(&"")].join(" ");
    arm(&line);
    let mut told: Option<StoreError> = None;
    let mut was_reached = false;
    for step in 1..=N_APPENDS {
        match store.append(run, &batch(step)) {
            Ok(new) => ids.push(new[0]),
            Err(error) => {
                told = Some(error);
                break;
            }
        }
    }
    // The log is written back when the last one closes the store.
    if told.is_none() {
        drop(store);
        store = Store::open(url).unwrap_or_else(|error| {
            told = Some(error);
            was_reached |= disarm();
            Store::open(url).unwrap()
        });
    }
    was_reached |= disarm();
    if let Some(error) = &told {
        let said = error.to_string();
        assert!(said.contains(url), "{kind} {nth}: which file? {said}");
        assert!(
            said.contains("make room")
                || said.contains("look at the disk")
                || said.contains("folder"),
            "{kind} {nth}: what is to be done? {said}"
        );
    }
    let last = check(&store, run, &ids, kind, nth);
    drop(store);

    // The disk is well again: the store opens, holds the same, and goes on.
    let mut store = Store::open(url).unwrap();
    let again = check(&store, run, &ids, kind, nth);
    assert!(again >= last, "{kind} {nth}: what was there is gone");
    store.resume_run(run).unwrap();
    let next = again as i64;
    ids.push(store.append(run, &batch(next)).unwrap()[0]);
    check(&store, run, &ids, kind, nth);
    drop(store);
    let file = rusqlite::Connection::open(url).unwrap();
    let integrity = file.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(integrity.unwrap(), "ok", "{kind} {nth}");
    match told {
        Some(error) => Failed::Told {
            was_full: matches!(error, StoreError::DiskFull { .. }),
        },
        None if was_reached => Failed::Untold,
        None => Failed::Nowhere,
    }
}

/// Everything announced is there once; at most the one whose append was refused besides; no cloth
/// is called inspected without its flaw. How many flaws there are.
fn check(store: &Store, run: RunId, announced: &[FlawId], kind: &str, nth: u32) -> usize {
    let flaws = store.flaws(run).unwrap();
    let n_refused = flaws.len() - announced.len();
    assert!(n_refused <= 1, "{kind} {nth}: {n_refused} flaws too many");
    for id in announced {
        assert!(flaws.iter().any(|flaw| flaw.id == *id), "{kind} {nth}");
    }
    for (step, flaw) in flaws.iter().enumerate() {
        assert_eq!(flaw.rect, hole(step as i64 * 10, 5).rect, "{kind} {nth}");
        assert_eq!(store.crop(flaw.id).unwrap(), Some(crop(step as i64 * 10)));
    }
    let length = flaws.len() as i64 * 10;
    let ledger = store.coverage(run).unwrap();
    assert_eq!(ledger, [inspected(rect(0, length, 0, 100))], "{kind} {nth}");
    flaws.len()
}

fn batch(step: i64) -> Batch {
    Batch {
        coverage: vec![inspected(rect(step * 10, step * 10 + 10, 0, 100))],
        flaws: vec![hole(step * 10, 5)],
        ..Batch::default()
    }
}

/// Tells the shim what is to fail from now on.
fn arm(line: &str) {
    let file = std::env::var_os(FAULT_FILE).unwrap();
    std::fs::write(&file, line).unwrap();
    std::fs::File::open(&file).unwrap();
}

/// Repairs the disk; whether anything had failed since it was armed.
fn disarm() -> bool {
    arm("none 0");
    let mut hit = std::env::var_os(FAULT_FILE).unwrap();
    hit.push(".hit");
    std::fs::remove_file(hit).is_ok()
}

/// Runs one test of this program in a child whose disk fails when it is told to.
fn in_child(test: &str) {
    // Where a sync costs nothing: hundreds of stores are made, and it is the shim that fails.
    let in_memory = Path::new("/dev/shm");
    let folder = if in_memory.is_dir() {
        tempfile::tempdir_in(in_memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let Some(shim) = compiled(folder.path()) else {
        return;
    };
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("LD_PRELOAD", shim)
        .env("FAULT_PATH", "selvedge.db")
        .env(FAULT_FILE, folder.path().join("fault"))
        .env(FOLDER_OF_CHILD, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed"), "no test {test:?} ran: {said}");
}

/// The shim, made with this machine's C compiler.
fn compiled(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/faults.c");
    let shim = folder.join("faults.so");
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o"]);
    match cc.arg(&shim).arg(source).arg("-ldl").output() {
        Ok(made) => {
            assert!(made.status.success(), "{made:?}");
            Some(shim)
        }
        Err(error) => {
            not_run(&format!("no C compiler for the failing disk: {error}"));
            None
        }
    }
}
