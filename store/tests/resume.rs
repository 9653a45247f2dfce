//! A run has one writer; when that one is dead, another goes on where the ledger ends.

use std::io::{BufRead, BufReader, Write, stdout};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use store::{EndState, EventSeverity, NewRun, RESUMED, RunEnd, RunState, Store, StoreError};

use crate::cloth::{begun, covers, done, gap, inspected, mm, name, new_run, rect};
use crate::servers::on_both;

/// Names the store whose run the child holds.
const STORE_OF_CHILD: &str = "SELVEDGE_TEST_RESUME_STORE";
const HOLDS: &str = "holds";

#[test]
fn a_station_s_latest_run_is_told_while_it_has_not_come_to_its_end() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        let (here, other) = (name("loom 7"), name("loom 8"));
        let first = begun(&mut store, "R-1");
        let nowhere = NewRun {
            station: None,
            ..new_run("twill", "R-2")
        };
        let loose = store.begin_run(&nowhere).unwrap();
        let cut_off = |store: &Store, station| {
            let run = store.cut_off_at(station).unwrap();
            run.map(|run| run.id)
        };
        assert_eq!(cut_off(&store, Some(&here)), Some(first));
        assert_eq!(cut_off(&store, None), Some(loose));
        assert_eq!(cut_off(&store, Some(&other)), None);
        // An earlier one is not gone on with once a later one is done.
        let second = begun(&mut store, "R-3");
        assert_eq!(cut_off(&store, Some(&here)), Some(second));
        store.finish_run(second, &done(1, 1)).unwrap();
        assert_eq!(cut_off(&store, Some(&here)), None);
    });
}

#[test]
fn an_aborted_run_goes_on_where_its_ledger_ends() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        let run = begun(&mut store, "R-1");
        let cells = vec![
            inspected(rect(5, 100, 0, 10)),
            gap(rect(100, 120, 0, 10), "overload"),
        ];
        store.append(run, &covers(cells)).unwrap();
        let end = RunEnd {
            state: EndState::Aborted,
            message: Some("lamp off".to_owned()),
            ..done(120, 10)
        };
        store.finish_run(run, &end).unwrap();
        let left = store.run(run).unwrap();

        assert_eq!(store.resumable(&name("R-1")).unwrap(), Some(left.clone()));
        let resumed = store.resume_run(run).unwrap();
        assert_eq!(resumed.run, left);
        assert_eq!(resumed.covered_um, Some(mm(5)..mm(120)));
        let now = store.run(run).unwrap();
        assert_eq!(
            (now.state, now.ended_at_us, now.length_um, now.message),
            (RunState::Running, None, None, None)
        );
        let events = store.events(run).unwrap();
        assert_eq!(
            (events[0].kind.as_str(), events[0].severity),
            (RESUMED, EventSeverity::Warning)
        );
        assert!(events[0].message.contains("lamp off"), "{events:?}");

        store
            .append(run, &covers(vec![inspected(rect(120, 200, 0, 10))]))
            .unwrap();
        store.finish_run(run, &done(195, 10)).unwrap();
        assert_eq!(store.resumable(&name("R-1")).unwrap(), None);
        let refused = store.resume_run(run).err();
        assert!(
            matches!(
                refused,
                Some(StoreError::RunEnded {
                    state: RunState::Done,
                    ..
                })
            ),
            "{refused:?}"
        );
    });
}

#[test]
fn a_run_without_a_row_has_covered_nothing_and_an_unknown_one_is_named() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        assert_eq!(store.resumable(&name("R-1")).unwrap(), None);
        let run = begun(&mut store, "R-1");
        drop(store);
        let mut store = Store::open(url).unwrap();
        assert_eq!(store.resume_run(run).unwrap().covered_um, None);
        let nobody = "01890000-0000-7000-8000-000000000000".parse().unwrap();
        let refused = store.resume_run(nobody).err();
        assert!(
            matches!(refused, Some(StoreError::Unknown { what: "run", .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn a_run_is_written_by_one_store_at_a_time() {
    on_both(|url| {
        let mut first = Store::open(url).unwrap();
        let run = begun(&mut first, "R-1");
        let mut second = Store::open(url).unwrap();
        let cloth = covers(vec![inspected(rect(0, 1, 0, 1))]);
        for refused in [
            second.resume_run(run).map(drop),
            second.append(run, &cloth).map(drop),
            second.finish_run(run, &done(1, 1)),
        ] {
            assert!(
                matches!(refused, Err(StoreError::RunHeld { .. })),
                "{refused:?}"
            );
        }
        // Another run of the same roll is nobody's business.
        second.begin_run(&new_run("twill", "R-1")).unwrap();
        first.append(run, &cloth).unwrap();
        // The first one is gone without an end, like a process that was killed.
        drop(first);
        assert_eq!(
            second.resume_run(run).unwrap().covered_um,
            Some(mm(0)..mm(1))
        );
        let mut third = Store::open(url).unwrap();
        let refused = third.resume_run(run).err();
        assert!(
            matches!(refused, Some(StoreError::RunHeld { .. })),
            "{refused:?}"
        );
        second.finish_run(run, &done(1, 1)).unwrap();
        let mut looking = Store::open_existing(url).unwrap();
        let refused = looking.resume_run(run).err();
        assert!(
            matches!(refused, Some(StoreError::RunEnded { .. })),
            "{refused:?}"
        );
    });
}

#[test]
fn looking_resumes_nothing() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        let run = begun(&mut store, "R-1");
        drop(store);
        let mut looking = Store::open_existing(url).unwrap();
        let refused = looking.resume_run(run).err();
        assert!(
            matches!(refused, Some(StoreError::ReadOnly { .. })),
            "{refused:?}"
        );
        assert!(Store::open(url).unwrap().resume_run(run).is_ok());
    });
}

#[test]
fn a_killed_writer_is_told_from_one_that_lives() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        let mut child = holder(url);
        let run = store.resumable(&name("held")).unwrap().unwrap().id;
        let refused = store.resume_run(run).err();
        assert!(
            matches!(refused, Some(StoreError::RunHeld { .. })),
            "{refused:?}"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        store.resume_run(run).unwrap();
        store.finish_run(run, &done(0, 0)).unwrap();
    });
}

#[test]
fn no_lock_file_stays_when_a_run_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.db");
    let n_locks = || {
        let entries = folder.path().read_dir().unwrap();
        entries
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_str().unwrap().ends_with(".lock")
            })
            .count()
    };
    let mut store = Store::open(path.to_str().unwrap()).unwrap();
    let run = begun(&mut store, "R-1");
    assert_eq!(n_locks(), 1);
    store.finish_run(run, &done(1, 1)).unwrap();
    let mut unknown_model = new_run("twill", "R-2");
    unknown_model.model = crate::cloth::digest('f');
    store.begin_run(&unknown_model).unwrap_err();
    assert_eq!(n_locks(), 0);
}

#[test]
fn a_run_has_one_writer_whatever_path_leads_to_its_store() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir(at("data")).unwrap();
    std::fs::create_dir(at("links")).unwrap();
    symlink(at("data"), at("folder")).unwrap();
    symlink("../data/selvedge.db", at("links/file.db")).unwrap();
    symlink("file.db", at("links/again.db")).unwrap();
    let url = |path: &str| at(path).to_str().unwrap().to_owned();
    // A link may lead to a store before there is one.
    let mut first = Store::open(&url("links/file.db")).unwrap();
    let run = begun(&mut first, "R-1");
    let paths = [
        "data/selvedge.db",
        "folder/selvedge.db",
        "links/again.db",
        "data/../folder/selvedge.db",
    ];
    for path in paths {
        let refused = Store::open(&url(path)).unwrap().resume_run(run).err();
        assert!(
            matches!(refused, Some(StoreError::RunHeld { .. })),
            "{path}: {refused:?}"
        );
    }
    drop(first);
    let mut second = Store::open(&url("folder/selvedge.db")).unwrap();
    second.resume_run(run).unwrap();
    let mut first = Store::open(&url("links/file.db")).unwrap();
    assert!(first.resume_run(run).is_err());
    second.finish_run(run, &done(0, 0)).unwrap();
    let locks = ["data", "links"].map(|inner| {
        let mut names = at(inner).read_dir().unwrap().map(|entry| {
            let name = entry.unwrap().file_name();
            name.into_string().unwrap()
        });
        names.find(|name| name.ends_with(".lock"))
    });
    assert_eq!(locks, [None, None]);
}

/// A child that has begun a run and holds it until it is killed.
fn holder(url: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "resume::the_child_holds_a_run_until_it_is_killed",
            "--nocapture",
        ])
        .env(STORE_OF_CHILD, url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(HOLDS)));
    child
}

#[test]
fn the_child_holds_a_run_until_it_is_killed() {
    let Ok(url) = std::env::var(STORE_OF_CHILD) else {
        return;
    };
    let mut store = Store::open(&url).unwrap();
    begun(&mut store, "held");
    writeln!(stdout(), "{HOLDS}").unwrap();
    // The parent keeps the other end open until it has killed this process.
    std::io::stdin().lines().for_each(drop);
}
