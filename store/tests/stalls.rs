//! Another program that holds the store for seconds: the writer waits, loses nothing, and says so
//! when it becomes too long.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use store::{Batch, Store, StoreError};

use crate::cloth::{begun, done, hole, inspected, rect};
use crate::servers::on_postgres;

/// Shorter than the store's patience, and longer.
const A_WHILE: Duration = Duration::from_millis(1500);
const TOO_LONG: Duration = Duration::from_millis(5000);

#[test]
fn a_lock_held_for_a_while_delays_and_loses_nothing_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.db");
    let url = path.to_str().unwrap();
    check_a_stall(url, |work| {
        let other = rusqlite::Connection::open(url).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        work(&mut || other.execute_batch("ROLLBACK").unwrap());
    });
}

#[test]
fn a_lock_held_for_a_while_delays_and_loses_nothing_on_postgresql() {
    let Some(url) = on_postgres() else {
        return;
    };
    check_a_stall(&url, |work| {
        let mut other = Command::new("psql")
            .args(["-X", "-q", "-A", "-t"])
            .arg(&url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut say = other.stdin.take().unwrap();
        let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
        let lock = "BEGIN; LOCK TABLE flaws IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n";
        say.write_all(lock.as_bytes()).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "locked");
        work(&mut || say.write_all(b"ROLLBACK;\n").unwrap());
        drop(say);
        assert!(other.wait().unwrap().success());
    });
}

/// `hold` locks the store, does what it is given, with a way to let go, and unlocks the store.
fn check_a_stall(url: &str, hold: impl Fn(&mut dyn FnMut(&mut dyn FnMut()))) {
    let mut store = Store::open(url).unwrap();
    let run = begun(&mut store, "R-1");
    let mut ids = store.append(run, &batch(0)).unwrap();

    // Too long: told, and none of the batch is there.
    hold(&mut |let_go| {
        let since = Instant::now();
        let refused = store.append(run, &batch(1)).err();
        assert!(since.elapsed() >= TOO_LONG, "{:?}", since.elapsed());
        assert!(
            matches!(refused, Some(StoreError::Busy { .. })),
            "{refused:?}"
        );
        let_go();
    });
    // A while: late, and done.
    hold(&mut |let_go| {
        let (store, since) = (&mut store, Instant::now());
        std::thread::scope(|scope| {
            let appended = scope.spawn(|| {
                let ids = store.append(run, &batch(1)).unwrap();
                (ids, since.elapsed())
            });
            // The other program is slow; that is what is tried out.
            std::thread::sleep(A_WHILE);
            let_go();
            let (more, took) = appended.join().unwrap();
            assert!(took >= A_WHILE / 2, "it did not have to wait: {took:?}");
            ids.extend(more);
        });
    });
    let kept: Vec<_> = store.flaws(run).unwrap().iter().map(|f| f.id).collect();
    assert_eq!(kept, ids);
    assert_eq!(
        store.coverage(run).unwrap(),
        [inspected(rect(0, 20, 0, 100))]
    );
    store.finish_run(run, &done(20, 100)).unwrap();
}

fn batch(nth: i64) -> Batch {
    Batch {
        coverage: vec![inspected(rect(nth * 10, nth * 10 + 10, 0, 100))],
        flaws: vec![hole(nth * 10, 5)],
        ..Batch::default()
    }
}
