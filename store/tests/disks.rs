//! Disks that refuse: read-only, full, not writable for this user, damaged.
//!
//! Root is refused by no file permission, so these use what refuses root too: an attribute file of
//! the kernel, a read-only mount, a full file system. Mounts are made in a mount namespace of a
//! child process, where that is allowed.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use store::{Batch, Store, StoreError};

use crate::cloth::{begun, covers, crop, gap, hole, inspected, name, rect};
use crate::not_run;
use crate::servers::on_both;

/// Names the mounted folder that the child works in.
pub(crate) const MOUNT_OF_CHILD: &str = "SELVEDGE_TEST_MOUNT";

#[test]
fn a_look_only_store_refuses_every_writer() {
    on_both(check_a_look_only_store);
}

fn check_a_look_only_store(url: &str) {
    let mut writer = Store::open(url).unwrap();
    let run = begun(&mut writer, "R-1");
    let mut store = Store::open_existing(url).unwrap();
    let event = store::NewEvent {
        at_us: 0,
        kind: "x".to_owned(),
        severity: store::EventSeverity::Info,
        message: "x".to_owned(),
    };
    let refusals = [
        store.ensure_article(&name("twill")).err(),
        store
            .register_model(&crate::cloth::model("twill", 'b'))
            .err(),
        store
            .activate_model(&name("twill"), &crate::cloth::digest('a'))
            .err(),
        store
            .begin_run(&crate::cloth::new_run("twill", "R-2"))
            .err(),
        store
            .append(run, &covers(vec![inspected(rect(0, 1, 0, 1))]))
            .err(),
        store.record_event(&event).err(),
        store.finish_run(run, &crate::cloth::done(1, 1)).err(),
    ];
    for (nth, refused) in refusals.iter().enumerate() {
        assert!(
            matches!(refused, Some(StoreError::ReadOnly { .. })),
            "call {nth}: {refused:?}"
        );
    }
}

#[test]
fn a_file_that_refuses_to_be_written_is_read_only() {
    // Readable, and refused for writing by the kernel itself, whoever asks.
    let Some(path) = ["/sys/kernel/notes", "/sys/kernel/fscaps"]
        .iter()
        .find(|path| Path::new(path).exists())
    else {
        not_run("found no read-only kernel file under /sys");
        return;
    };
    let refused = Store::open(path).err();
    assert!(
        matches!(refused, Some(StoreError::ReadOnly { .. })),
        "{refused:?}"
    );
    assert!(refused.unwrap().to_string().contains(path));
}

#[test]
fn a_read_only_mount_is_looked_at_and_not_written() {
    in_child_on_a_mount("disks::child_on_a_read_only_mount", "size=4m");
}

#[test]
fn child_on_a_read_only_mount() {
    let Ok(folder) = std::env::var(MOUNT_OF_CHILD) else {
        return;
    };
    let url = format!("{folder}/a?b#c%d.db");
    let mut store = Store::open(&url).unwrap();
    let run = begun(&mut store, "R-1");
    store
        .append(
            run,
            &Batch {
                flaws: vec![hole(1, 1)],
                ..Batch::default()
            },
        )
        .unwrap();
    drop(store);
    assert!(
        Command::new("mount")
            .args(["-o", "remount,ro", &folder])
            .status()
            .unwrap()
            .success()
    );

    let refused = Store::open(&url).err();
    assert!(
        matches!(refused, Some(StoreError::ReadOnly { .. })),
        "{refused:?}"
    );
    let refused = Store::open(&format!("{folder}/new.db")).err();
    assert!(
        matches!(refused, Some(StoreError::CannotOpen { .. })),
        "{refused:?}"
    );
    let store = Store::open_existing(&url).unwrap();
    assert_eq!(store.flaws(run).unwrap().len(), 1);
}

#[test]
fn a_full_disk_is_named_and_takes_nothing_back() {
    in_child_on_a_mount("disks::child_on_a_small_disk", "size=1m");
}

#[test]
fn child_on_a_small_disk() {
    let Ok(folder) = std::env::var(MOUNT_OF_CHILD) else {
        return;
    };
    let url = format!("{folder}/selvedge.db");
    let mut store = Store::open(&url).unwrap();
    let run = begun(&mut store, "R-1");
    let mut announced = 0;
    let refused = loop {
        let batch = Batch {
            coverage: vec![gap(rect(announced, announced + 1, 0, 1), "overload")],
            flaws: vec![hole(announced, 0)],
            ..Batch::default()
        };
        match store.append(run, &batch) {
            Ok(_) => announced += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, StoreError::DiskFull { .. }),
        "{refused:?}"
    );
    assert!(announced > 10);
    let check = |store: &Store| {
        assert_eq!(
            store.coverage(run).unwrap(),
            [gap(rect(0, announced, 0, 1), "overload")]
        );
        let flaws = store.flaws(run).unwrap();
        assert_eq!(flaws.len() as i64, announced);
        for (flaw, seed) in flaws.iter().zip(0..) {
            assert_eq!(store.crop(flaw.id).unwrap(), Some(crop(seed)));
        }
    };
    check(&store);
    drop(store);
    check(&Store::open_existing(&url).unwrap());
}

#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.db");
    let mut store = Store::open(whole.to_str().unwrap()).unwrap();
    let run = begun(&mut store, "R-1");
    for step in 0..20 {
        store
            .append(
                run,
                &Batch {
                    flaws: vec![hole(step, 0)],
                    ..Batch::default()
                },
            )
            .unwrap();
    }
    drop(store);
    let bytes = std::fs::read(&whole).unwrap();
    let n_pages = bytes.len() / 4096;
    let mut n_refused = 0;
    for page in 0..n_pages {
        let damaged = folder.path().join(format!("damaged{page}.db"));
        let mut file = std::fs::File::create(&damaged).unwrap();
        file.write_all(&bytes[..page * 4096]).unwrap();
        file.write_all(&[0xA5; 4096]).unwrap();
        file.write_all(&bytes[page * 4096 + 4096..]).unwrap();
        drop(file);
        let look = || -> Result<(), StoreError> {
            let store = Store::open_existing(damaged.to_str().unwrap())?;
            store.rolls()?;
            store.runs_of(&name("R-1"))?;
            for flaw in store.flaws(run)? {
                store.crop(flaw.id)?;
            }
            store.models(&name("twill")).map(drop)
        };
        match look() {
            Ok(()) => {}
            Err(StoreError::Corrupt { .. } | StoreError::NotAStore { .. }) => n_refused += 1,
            Err(other) => panic!("page {page}: {other:?}"),
        }
    }
    assert!(
        n_refused > 10,
        "only {n_refused} of {n_pages} damaged pages were noticed"
    );
}

/// Runs one test of this program in a child that has a small file system of its own.
pub(crate) fn in_child_on_a_mount(test: &str, options: &str) {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        not_run("this process may not mount a disk of its own; run as root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // A server that may not run as root must find its way to the disk too.
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let script = r#"mount -t tmpfs -o "$1" none "$2" || exit 77; shift 2; exec "$@""#;
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh", options])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MOUNT_OF_CHILD, folder.path())
        .output()
        .unwrap();
    if child.status.code() == Some(77) {
        not_run("this process may not mount a tmpfs");
        return;
    }
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed"), "no test {test:?} ran: {said}");
}
