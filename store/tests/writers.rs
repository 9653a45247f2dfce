//! Processes that append to chains at the same time: nothing is lost, no number is given twice.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use store::{ChainKey, Decision, EntriesFilter, EntryKind, FlawId, NewEntry, Role, Store};

use crate::cloth::name;
use crate::people::{by, chain, roll, verdict};
use crate::servers::on_both;

const STORE_OF_CHILD: &str = "SELVEDGE_TEST_CHAINS_STORE";
const FOLDER_OF_CHILD: &str = "SELVEDGE_TEST_CHAINS_FOLDER";
const CHAIN_OF_CHILD: &str = "SELVEDGE_TEST_CHAINS_CHAIN";
const N_WRITERS: usize = 4;
const N_ENTRIES: i64 = 40;

/// The task of a child: so many entries, a third of them verdicts on the same flaws as everybody's.
#[test]
fn the_child_appends_to_a_chain() {
    let Ok(url) = std::env::var(STORE_OF_CHILD) else {
        return;
    };
    let folder = std::env::var(FOLDER_OF_CHILD).unwrap();
    let chain = chain(Path::new(&folder), &std::env::var(CHAIN_OF_CHILD).unwrap());
    // All at once: when the parent closes the pipe.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let mut store = Store::open(&url).unwrap();
    let run = store.latest_run(&name("R-1")).unwrap().unwrap().id;
    let flaws: Vec<FlawId> = store
        .flaws(run)
        .unwrap()
        .iter()
        .map(|flaw| flaw.id)
        .collect();
    let account = name(&format!("child {}", std::process::id()));
    let who = by(&chain, &account, Role::Reviewer);
    let mut n = 0;
    while n < N_ENTRIES {
        let done = if n % 4 == 0 {
            let given = verdict(Decision::Confirmed);
            n += flaws.len() as i64;
            store.give_verdicts(&who, &flaws, &given).map(drop)
        } else {
            n += 1;
            let setting = NewEntry {
                kind: EntryKind::Setting,
                subject: account.clone(),
                run: None,
                body_json: format!("{{\"n\":{n}}}"),
            };
            store.record(&who, &setting).map(drop)
        };
        done.unwrap();
    }
}

#[test]
fn processes_that_write_one_chain_or_many_lose_nothing() {
    on_both(|url| {
        for one_chain in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let mut store = Store::open(url).unwrap();
            if store.latest_run(&name("R-1")).unwrap().is_none() {
                roll(&mut store, "R-1", 3);
            }
            let before = count(&store);
            let place = |nth: usize| match one_chain {
                true => format!("one of {}", folder.path().display()),
                false => format!("{nth} of {}", folder.path().display()),
            };
            let children: Vec<_> = (0..N_WRITERS)
                .map(|nth| {
                    let mut child = Command::new(std::env::current_exe().unwrap());
                    child
                        .args(["--exact", "writers::the_child_appends_to_a_chain"])
                        .env(STORE_OF_CHILD, url)
                        .env(FOLDER_OF_CHILD, folder.path())
                        .env(CHAIN_OF_CHILD, place(nth))
                        .stdin(Stdio::piped())
                        .stdout(Stdio::null());
                    child.spawn().unwrap()
                })
                .collect();
            for mut child in children {
                drop(child.stdin.take());
                assert!(child.wait().unwrap().success());
            }
            let n = count(&store) - before;
            // A child ends behind its last entry, wherever that falls.
            assert!(n >= N_WRITERS as i64 * N_ENTRIES, "{n}");
            let key = ChainKey::read(&folder.path().join("selvedge.key")).unwrap();
            let mut n_verified = 0;
            for nth in 0..if one_chain { 1 } else { N_WRITERS } {
                let verified = store
                    .verify_chains(&key, Some(&name(&place(nth))), None)
                    .unwrap();
                assert!(verified.is_whole(), "{verified:?}");
                assert_eq!(verified.chains[0].n_behind_head, 0, "{verified:?}");
                n_verified += verified.chains[0].n_entries;
            }
            assert_eq!(n_verified, n, "an entry is lost or in no chain");
        }
    });
}

fn count(store: &Store) -> i64 {
    let mut n = 0;
    let mut after = None;
    loop {
        let page = store
            .entries(&EntriesFilter::default(), after.as_ref(), 100)
            .unwrap();
        n += page.rows.len() as i64;
        let Some(next) = page.next else {
            return n;
        };
        after = Some(next.to_string().parse().unwrap());
    }
}
