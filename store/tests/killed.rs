//! Processes killed at random moments: what they announced is in the store, once, and whole.
//!
//! ```text
//! child: open ─▶ resume or begin ─▶ append, announce, append, announce … ─▶ end ─▶ begin …
//!                                          │
//! log beside the store ◀───────────────────┘      parent: waits ─▶ kill -9 ─▶ log against store
//! ```
//!
//! The moment is uniform over a child's life: opening, migrating, every part of a commit, the end
//! of a run. Each kill is followed by the comparison, and the next child goes on with the run that
//! the kill cut off. `SELVEDGE_TEST_SEED` draws the same moments again.
//!
//! A killed process shows that nothing announced was still in it. That it survives a power cut
//! rests on SQLite's `synchronous=FULL`, which is checked where the connection is made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use store::{Batch, FlawId, RunId, RunState, Store, StoreError};

use crate::cloth::{crop, done, hole, inspected, mm, name, rect};
use crate::moments::Moments;
use crate::servers::{Server, empty_store, shared_server};

/// Name the store that the child writes, and the log of what it announced.
const STORE_OF_CHILD: &str = "SELVEDGE_TEST_KILLED_STORE";
const LOG_OF_CHILD: &str = "SELVEDGE_TEST_KILLED_LOG";
const BEGINS: &str = "begins";

const N_KILLS_SQLITE: usize = 200;
const N_KILLS_POSTGRES: usize = 50;
const N_CRASHES: usize = 10;
/// Kills before the next store: each new one is migrated under fire.
const N_KILLS_A_STORE: usize = 8;
/// Flaws of one run, 10 mm apart.
const N_FLAWS: i64 = 6;

#[test]
fn two_hundred_kills_lose_no_flaw_and_double_none() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = |nth: usize| {
        let path = folder.path().join(format!("selvedge{nth}.db"));
        path.to_str().unwrap().to_owned()
    };
    kill_writers(N_KILLS_SQLITE, folder.path(), fresh, |url| {
        let file = rusqlite::Connection::open(url).unwrap();
        let said = file.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
        assert_eq!(said.unwrap(), "ok");
    });
}

#[test]
fn fifty_kills_of_a_server_s_client_lose_no_flaw_and_double_none() {
    let Some(server) = shared_server() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let fresh = |_| empty_store(&server);
    kill_writers(N_KILLS_POSTGRES, folder.path(), fresh, |_| {});
}

#[test]
fn ten_crashes_of_the_server_lose_no_flaw_and_double_none() {
    let Some(server) = Server::start_fresh() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut moments = Moments::drawn();
    let log = Log::at(folder.path().join("log"));
    let mut life = life_of_a_writer(&server.url(), &Log::at(folder.path().join("first")));
    let url = empty_store(&server.url());
    for nth in 0..N_CRASHES {
        let mut child = writer(&url, &log);
        std::thread::sleep(moments.within(life));
        if nth % 2 == 0 {
            server.crash();
        } else {
            server.kill();
        }
        // The writer hears of it and ends by itself.
        assert!(child.wait().unwrap().success(), "crash {nth}");
        server.start();
        check(&url, &log, nth + 1);
        if log.n_flaws() < 2 * nth {
            life = life.mul_f64(1.5);
        }
    }
    assert!(
        log.n_flaws() > N_CRASHES / 2,
        "the writers announced too little"
    );
}

/// Kills writers at random moments and compares after each kill what they announced with what is
/// in the store; `at_last` looks at every store once more.
fn kill_writers(
    n_kills: usize,
    folder: &Path,
    fresh: impl Fn(usize) -> String,
    at_last: impl Fn(&str),
) {
    let mut moments = Moments::drawn();
    let mut life = life_of_a_writer(&fresh(n_kills), &Log::at(folder.join("first")));
    let (mut n_announced, mut n_cut_off) = (0, 0);
    for first in (0..n_kills).step_by(N_KILLS_A_STORE) {
        let url = fresh(first);
        let log = Log::at(folder.join(format!("log{first}")));
        for nth in first..n_kills.min(first + N_KILLS_A_STORE) {
            let mut child = writer(&url, &log);
            // Not to wait for anything: the length of this sleep is what is tried out.
            std::thread::sleep(moments.within(life));
            child.kill().unwrap();
            assert!(!child.wait().unwrap().success(), "kill {nth} came too late");
            n_cut_off += check(&url, &log, nth + 1 - first);
        }
        n_announced += log.n_flaws();
        at_last(&url);
        // The machine has become busier since a life was measured.
        if log.n_flaws() < 2 * N_KILLS_A_STORE {
            life = life.mul_f64(1.5);
        }
    }
    assert!(
        n_announced > n_kills / 2 && n_cut_off > n_kills / 40,
        "{n_announced} flaws announced, {n_cut_off} runs cut off: the kills were no test"
    );
}

/// How long a writer takes from its first step to the end of its first run.
fn life_of_a_writer(url: &str, log: &Log) -> Duration {
    let mut child = writer(url, log);
    let since = Instant::now();
    while !log.read().iter().any(|line| line.starts_with("ended")) {
        assert!(child.try_wait().unwrap().is_none(), "the writer ended");
        std::thread::yield_now();
    }
    let life = since.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    life
}

/// A writer at its first step.
fn writer(url: &str, log: &Log) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "killed::the_child_writes_until_it_is_killed",
            "--nocapture",
        ])
        .env(STORE_OF_CHILD, url)
        .env(LOG_OF_CHILD, &log.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(BEGINS)));
    child
}

#[test]
fn the_child_writes_until_it_is_killed() {
    let Ok(url) = std::env::var(STORE_OF_CHILD) else {
        return;
    };
    let log = Log::at(std::env::var_os(LOG_OF_CHILD).unwrap().into());
    writeln!(stdout(), "{BEGINS}").unwrap();
    match write(&url, &log) {
        // The server died; the store did not. Nobody listens to what the harness would say.
        Err(StoreError::ConnectionLost { .. } | StoreError::CannotOpen { .. }) => {
            std::process::exit(0)
        }
        other => panic!("{other:?}"),
    }
}

fn write(url: &str, log: &Log) -> Result<(), StoreError> {
    let mut announce = log.open();
    let mut store = Store::open(url)?;
    loop {
        let cut_off = store.resumable(&name("killed"))?;
        let (run, first) = match cut_off {
            Some(run) => match store.resume_run(run.id) {
                Ok(resumed) => (run.id, resumed.covered_um.map_or(0, |at| at.end / mm(10))),
                // A server has not noticed yet that the last client is dead.
                Err(StoreError::RunHeld { .. }) => continue,
                Err(error) => return Err(error),
            },
            None => (begin(&mut store)?, 0),
        };
        announce(format!("writes {run}"));
        for step in first..N_FLAWS {
            let batch = Batch {
                coverage: vec![inspected(rect(step * 10, step * 10 + 10, 0, 1500))],
                flaws: vec![hole(step * 10, 5)],
                ..Batch::default()
            };
            let ids = store.append(run, &batch)?;
            announce(format!("flaw {run} {step} {}", ids[0]));
        }
        announce(format!("ends {run}"));
        store.finish_run(run, &done(N_FLAWS * 10, 1500))?;
        announce(format!("ended {run}"));
    }
}

fn begin(store: &mut Store) -> Result<RunId, StoreError> {
    store.register_model(&crate::cloth::model("twill", 'a'))?;
    store.begin_run(&crate::cloth::new_run("twill", "killed"))
}

/// Compares a log with its store after so many kills; how many runs are cut off now.
fn check(url: &str, log: &Log, n_kills: usize) -> usize {
    let mut announced: BTreeMap<RunId, BTreeMap<usize, FlawId>> = BTreeMap::new();
    let (mut ending, mut ended) = (BTreeSet::new(), BTreeSet::new());
    for line in log.read() {
        let words: Vec<&str> = line.split(' ').collect();
        let run: RunId = words[1].parse().unwrap();
        let flaws = announced.entry(run).or_default();
        match words[0] {
            "writes" => {}
            "flaw" => {
                let before = flaws.insert(words[2].parse().unwrap(), words[3].parse().unwrap());
                assert_eq!(before, None, "the same cloth was written twice: {line}");
            }
            "ends" => drop(ending.insert(run)),
            "ended" => drop(ended.insert(run)),
            _ => panic!("{line:?} is no line of the log"),
        }
    }
    // Looking comes first after a power cut: the log of the last kill is still there.
    let looked = Store::open_existing(url);
    let store = match looked {
        Err(StoreError::NotFound { .. } | StoreError::NotAStore { .. }) if announced.is_empty() => {
            Store::open(url).unwrap()
        }
        looked => looked.unwrap(),
    };
    let runs = store.runs_of(&name("killed")).unwrap();
    for run in announced.keys() {
        assert!(runs.iter().any(|kept| kept.id == *run), "{run} is lost");
    }
    let (mut n_unannounced, mut n_cut_off) = (0, 0);
    for run in &runs {
        let none = BTreeMap::new();
        let told = announced.get(&run.id).unwrap_or(&none);
        let flaws = store.flaws(run.id).unwrap();
        for (step, flaw) in flaws.iter().enumerate() {
            let along_mm = step as i64 * 10;
            // Each place once, none left out: neither doubled nor lost.
            assert_eq!(flaw.rect, hole(along_mm, 5).rect, "{flaws:?}");
            assert_eq!(store.crop(flaw.id).unwrap(), Some(crop(along_mm)));
        }
        for (step, id) in told {
            assert_eq!(flaws.get(*step).map(|flaw| flaw.id), Some(*id), "lost");
        }
        n_unannounced += flaws.len() - told.len();
        // No cloth is called inspected whose flaw is missing, nor the other way round.
        let length_mm = flaws.len() as i64 * 10;
        let cloth = (length_mm > 0).then(|| inspected(rect(0, length_mm, 0, 1500)));
        let ledger = store.coverage(run.id).unwrap();
        assert_eq!(ledger, cloth.into_iter().collect::<Vec<_>>());
        match run.state {
            RunState::Running => {
                assert!(!ended.contains(&run.id), "an end was taken back");
                n_cut_off += 1;
            }
            RunState::Done => {
                assert!(ending.contains(&run.id), "a kill is no end");
                assert_eq!(flaws.len() as i64, N_FLAWS);
            }
            RunState::Aborted => panic!("nobody aborted {run:?}"),
        }
    }
    assert!(n_cut_off <= 1, "the next writer did not go on");
    assert!(
        n_unannounced <= n_kills,
        "more than one unannounced flaw a kill"
    );
    n_cut_off
}

/// What writers announced, outside of any store: lines, each written by one call of the system,
/// which a kill cannot take back.
struct Log(PathBuf);

impl Log {
    fn at(path: PathBuf) -> Log {
        Log(path)
    }

    fn open(&self) -> impl FnMut(String) + use<> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.0)
            .unwrap();
        move |line| {
            let written = file.write(format!("{line}\n").as_bytes()).unwrap();
            assert_eq!(written, line.len() + 1);
        }
    }

    fn read(&self) -> Vec<String> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(_) => Vec::new(),
        }
    }

    fn n_flaws(&self) -> usize {
        let lines = self.read();
        lines.iter().filter(|line| line.starts_with("flaw")).count()
    }
}
