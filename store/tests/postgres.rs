//! What a PostgreSQL server has of its own: it can go away, forbid, and fill a disk that is not
//! the station's.

use std::path::Path;

use store::{Batch, Crop, FlawId, NewCrop, RunId, Store, StoreError};

use crate::cloth::{begun, covers, crop, hole, inspected, rect};
use crate::disks::{MOUNT_OF_CHILD, in_child_on_a_mount};
use crate::servers::{Server, on_postgres, psql};

/// What is left on the small disk, and of what size pictures are then written to it.
const LEFT_BYTES: u64 = 1 << 20;
const PICTURE_BYTES: usize = 40_000;

#[test]
fn a_server_that_crashes_under_a_writer_is_told_and_loses_nothing() {
    let Some(server) = Server::start_fresh() else {
        return;
    };
    let mut store = Store::open(&server.url()).unwrap();
    let run = begun(&mut store, "R-1");
    let mut announced = append(&mut store, run, 0..3);
    server.crash();
    // The first call hears of it, and so does every later one.
    for _ in 0..2 {
        let refused = store.append(run, &flaw(3)).err();
        assert!(
            matches!(refused, Some(StoreError::ConnectionLost { .. })),
            "{refused:?}"
        );
        assert!(
            refused.unwrap().to_string().contains(&server.place()),
            "which server?"
        );
    }
    server.start();
    let mut again = Store::open(&server.url()).unwrap();
    again.resume_run(run).unwrap();
    announced.extend(append(&mut again, run, 3..5));
    check(&again, run, &announced);
}

#[test]
fn a_connection_that_is_thrown_out_is_lost_and_its_run_is_free() {
    let Some(url) = on_postgres() else {
        return;
    };
    let mut store = Store::open(&url).unwrap();
    let run = begun(&mut store, "R-1");
    let announced = append(&mut store, run, 0..2);
    // The one connection that holds this run's lock.
    let half: [u8; 8] = run.as_bytes()[8..].try_into().unwrap();
    let number = i64::from_le_bytes(half);
    let thrown_out = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 \
         AND (CAST(classid AS BIGINT) << 32 | CAST(objid AS BIGINT)) = {number}"
    );
    assert_eq!(psql(&url, &thrown_out), "t");
    let refused = store.append(run, &flaw(2)).err();
    assert!(
        matches!(refused, Some(StoreError::ConnectionLost { .. })),
        "{refused:?}"
    );
    let mut again = Store::open(&url).unwrap();
    again.resume_run(run).unwrap();
    check(&again, run, &announced);
}

#[test]
fn a_user_who_may_only_read_is_told_so() {
    let Some(server) = Server::start_fresh() else {
        return;
    };
    let mut store = Store::open(&server.url()).unwrap();
    let run = begun(&mut store, "R-1");
    let announced = append(&mut store, run, 0..2);
    drop(store);
    psql(
        &server.url(),
        "CREATE USER auditor; GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor",
    );
    let auditor = server.url().replace("mill@", "auditor@");
    check(&Store::open_existing(&auditor).unwrap(), run, &announced);
    // Opened for writing, it is the writing that is refused.
    let mut store = Store::open(&auditor).unwrap();
    let refused = store.append(run, &flaw(2)).err();
    assert!(
        matches!(refused, Some(StoreError::ReadOnly { .. })),
        "{refused:?}"
    );
    check(&store, run, &announced);
}

#[test]
fn a_server_whose_disk_is_full_says_so_and_goes_on_when_there_is_room() {
    if cfg!(feature = "postgres") {
        in_child_on_a_mount("postgres::child_with_a_server_on_a_small_disk", "size=64m");
    } else {
        crate::not_run("PostgreSQL is not built in; add --features postgres");
    }
}

#[test]
fn child_with_a_server_on_a_small_disk() {
    let Ok(disk) = std::env::var(MOUNT_OF_CHILD) else {
        return;
    };
    let Some(server) = Server::start_in(tempfile::tempdir_in(&disk).unwrap()) else {
        return;
    };
    let mut store = Store::open(&server.url()).unwrap();
    assert_eq!(
        store.free_bytes().unwrap(),
        None,
        "a server's disk is its own"
    );
    let run = begun(&mut store, "R-1");
    let mut announced = append(&mut store, run, 0..3);
    let filler = Path::new(&disk).join("filler");
    fill_up_to(&disk, &filler, LEFT_BYTES);
    let refused = loop {
        let along_mm = announced.len() as i64;
        let mut batch = flaw(along_mm);
        // Noise, because the server compresses what it can.
        let mut state = 88_172_645_463_325_252_u64 + along_mm as u64;
        let noise = (0..PICTURE_BYTES).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        });
        batch.flaws[0].crop = Some(NewCrop::Kept(Crop {
            png: noise.collect(),
            ..crop(0)
        }));
        match store.append(run, &batch) {
            Ok(ids) => announced.push(ids[0]),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, StoreError::DiskFull { .. }),
        "{refused:?}"
    );
    assert!(
        announced.len() > 10,
        "the disk was full from the beginning: {announced:?}"
    );
    check(&store, run, &announced);
    // The same store goes on, without being opened again.
    std::fs::remove_file(filler).unwrap();
    let next = announced.len() as i64;
    announced.extend(append(&mut store, run, next..next + 2));
    check(&store, run, &announced);
}

/// Writes `filler` until the file system has only this much left.
fn fill_up_to(disk: &str, filler: &Path, left_bytes: u64) {
    let space = rustix::fs::statvfs(disk).unwrap();
    let free_bytes = space.f_bavail * space.f_frsize;
    std::fs::write(filler, vec![1; (free_bytes - left_bytes) as usize]).unwrap();
}

/// One metre of cloth with a hole in it.
fn flaw(along_mm: i64) -> Batch {
    Batch {
        flaws: vec![hole(along_mm, 0)],
        ..covers(vec![inspected(rect(along_mm, along_mm + 1, 0, 10))])
    }
}

fn append(store: &mut Store, run: RunId, along_mm: std::ops::Range<i64>) -> Vec<FlawId> {
    along_mm
        .map(|along_mm| store.append(run, &flaw(along_mm)).unwrap()[0])
        .collect()
}

/// The flaws that were announced are there, no others, and no cloth is called inspected besides.
fn check(store: &Store, run: RunId, announced: &[FlawId]) {
    let flaws: Vec<FlawId> = store
        .flaws(run)
        .unwrap()
        .iter()
        .map(|flaw| flaw.id)
        .collect();
    assert_eq!(flaws, announced);
    let length = announced.len() as i64;
    assert_eq!(
        store.coverage(run).unwrap(),
        [inspected(rect(0, length, 0, 10))]
    );
}
