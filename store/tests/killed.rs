//! A process killed while it appends: what it announced is in the store, whole.
//!
//! ```text
//! child: append ──▶ returns ──▶ announces on stdout        parent: reads ──▶ kill -9 ──▶ looks
//! ```
//!
//! This shows that nothing announced was still in the process. That it survives a power cut rests
//! on SQLite's `synchronous=FULL`, which is checked where the connection is made.

use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Command, Stdio};

use store::{Batch, FlawId, RunState, Store};

use crate::cloth::{begun, crop, hole, inspected, mm, name, rect};

/// Names the store that the child appends to.
const STORE_OF_CHILD: &str = "SELVEDGE_TEST_KILLED_STORE";
const N_KILLS: usize = 24;
const ANNOUNCED: &str = "announced ";

#[test]
fn a_killed_process_loses_no_flaw_it_announced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.db");
    let url = path.to_str().unwrap();
    // Made beforehand, so that a child is killed while it appends and not while it migrates.
    Store::open(url).unwrap();

    let mut announced: Vec<FlawId> = Vec::new();
    for nth in 0..N_KILLS {
        let before = announced.len();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "killed::the_child_appends_until_it_is_killed",
                "--nocapture",
            ])
            .env(STORE_OF_CHILD, url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            if let Some((_, id)) = line.split_once(ANNOUNCED) {
                announced.push(id.trim().parse().unwrap());
                if announced.len() - before == 1 + nth % 7 {
                    // SIGKILL, at whatever the child is doing now; lines it still wrote are read on.
                    child.kill().unwrap();
                }
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!(announced.len() > before, "the child announced nothing");
    }

    // Looking comes first after a power cut: the log of the last kill is still there.
    let store = Store::open_existing(url).unwrap();
    let runs = store.runs_of(&name("killed")).unwrap();
    assert_eq!(runs.len(), N_KILLS);
    let mut kept = Vec::new();
    for run in runs {
        assert_eq!(
            (run.state, run.ended_at_us),
            (RunState::Running, None),
            "a kill is no end"
        );
        let flaws = store.flaws(run.id).unwrap();
        for flaw in &flaws {
            let along_mm = flaw.rect.along().start / mm(1);
            assert_eq!(
                store.crop(flaw.id).unwrap(),
                Some(crop(along_mm)),
                "a flaw without its crop"
            );
        }
        // Coverage and flaws are of the same transactions.
        let covered = store.coverage(run.id).unwrap();
        assert_eq!(
            covered,
            [inspected(rect(
                0,
                10 * i64::try_from(flaws.len()).unwrap(),
                0,
                1500
            ))]
        );
        kept.extend(flaws.into_iter().map(|flaw| flaw.id));
    }
    for id in &announced {
        assert!(kept.contains(id), "{id} was announced and is lost");
    }
    assert!(
        kept.len() - announced.len() <= N_KILLS,
        "more than one unannounced append a kill"
    );
}

#[test]
fn the_child_appends_until_it_is_killed() {
    let Ok(url) = std::env::var(STORE_OF_CHILD) else {
        return;
    };
    let mut store = Store::open(&url).unwrap();
    let run = begun(&mut store, "killed");
    for step in 0.. {
        let batch = Batch {
            coverage: vec![inspected(rect(step * 10, step * 10 + 10, 0, 1500))],
            flaws: vec![hole(step * 10, 5)],
            ..Batch::default()
        };
        let ids = store.append(run, &batch).unwrap();
        let mut out = stdout().lock();
        writeln!(out, "{ANNOUNCED}{}", ids[0]).unwrap();
        out.flush().unwrap();
    }
}
