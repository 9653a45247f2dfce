//! Chains of entries: whoever changes them behind the store's back is found.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rusqlite::Connection;
use store::{
    Break, Chain, ChainKey, Decision, EntryHash, EntryKind, FlawId, NewEntry, Role, Store,
    StoreError, Verified, Whose,
};

use crate::cloth::name;
use crate::people::{by, chain, roll, verdict};
use crate::servers::{on_postgres, psql};

/// A store with an account, a token and verdicts on ten flaws: entries 1 to 12 of chain "table 1", and 13, which takes
/// the verdict on the last flaw back.
struct Kept {
    folder: tempfile::TempDir,
    flaws: Vec<FlawId>,
}

impl Kept {
    fn new() -> Kept {
        let folder = tempfile::tempdir().unwrap();
        let chain = chain(folder.path(), "table 1");
        let mut store = Store::open(folder.path().join("selvedge.db").to_str().unwrap()).unwrap();
        let (_, flaws) = roll(&mut store, "R-1", 10);
        let anna = name("anna");
        let anna = by(&chain, &anna, Role::Admin);
        store
            .add_account(&anna, &name("ben"), Role::Viewer, "$argon2id$one")
            .unwrap();
        store
            .add_token(&anna, &name("erp"), Role::Viewer, &[7; 32])
            .unwrap();
        for flaw in &flaws {
            store
                .give_verdicts(&anna, &[*flaw], &verdict(Decision::Confirmed))
                .unwrap();
        }
        store.undo_verdict(&anna, flaws[9], Whose::Own).unwrap();
        let kept = Kept { folder, flaws };
        assert_eq!(kept.breaks(), [] as [String; 0]);
        kept
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn chain(&self) -> Chain {
        chain(self.folder.path(), "table 1")
    }

    fn store(&self) -> Store {
        Store::open(self.path("selvedge.db").to_str().unwrap()).unwrap()
    }

    /// Does something to the database that no store would do.
    fn behind_its_back(self, sql: &str) -> Kept {
        let file = Connection::open(self.path("selvedge.db")).unwrap();
        file.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
            .unwrap();
        file.execute_batch(sql).unwrap();
        self
    }

    fn verified(&self) -> Verified {
        let key = self.chain();
        self.store().verify_chains(key.key(), None, None).unwrap()
    }

    /// Everything that is not whole, in words.
    fn breaks(&self) -> Vec<String> {
        let verified = self.verified();
        let chains = verified.chains.iter().flat_map(|chain| &chain.breaks);
        chains
            .chain(&verified.breaks)
            .map(ToString::to_string)
            .collect()
    }

    fn is_told(&self, said: &[&str]) {
        let breaks = self.breaks();
        assert_eq!(breaks.len(), said.len(), "{breaks:?} against {said:?}");
        for (found, said) in breaks.iter().zip(said) {
            assert!(found.contains(said), "{found:?} against {said:?}");
        }
    }
}

fn sql_id(flaw: FlawId) -> String {
    let digits = flaw.as_bytes().iter().map(|byte| format!("{byte:02x}"));
    format!("x'{}'", digits.collect::<String>())
}

#[test]
fn an_edited_entry_is_found_whatever_column_it_was() {
    for edit in [
        "body = replace(body, 'confirmed', 'rejected')",
        "account = 'ben'",
        "role = 'viewer'",
        "at = at + 1",
        "subject = 'x'",
        "run = NULL",
        "body = body || ' '",
        "account = account || ' '",
    ] {
        let sql = format!("UPDATE entries SET {edit} WHERE number = 5");
        Kept::new()
            .behind_its_back(&sql)
            .is_told(&["entry 5 was edited"]);
    }
    let sql = "UPDATE entries SET kind = 'alarm' WHERE number = 5";
    let said = ["entry 5 was edited", "no entry for verdict 1 on flaw"];
    Kept::new().behind_its_back(sql).is_told(&said);
    // With its hash the next one does not follow any more.
    let sql = "UPDATE entries SET body = '{}', hash = zeroblob(32) WHERE number = 5";
    let said = ["entry 5 was edited", "entry 6 does not follow entry 5"];
    Kept::new().behind_its_back(sql).is_told(&said);
    let sql = "UPDATE entries SET hash = x'00' WHERE number = 5";
    Kept::new()
        .behind_its_back(sql)
        .is_told(&["entry 5 was edited"]);
    // The last one, whose hash nothing in the database holds.
    let sql = "UPDATE entries SET body = '{}', hash = zeroblob(32) WHERE number = 13";
    let said = [
        "entry 13 was edited",
        "entry 13 has another hash than the head file keeps",
    ];
    Kept::new().behind_its_back(sql).is_told(&said);
}

#[test]
fn entries_that_are_gone_or_stand_elsewhere_are_found() {
    let gone = "DELETE FROM verdicts WHERE number = 5; DELETE FROM entries WHERE number = 5";
    Kept::new()
        .behind_its_back(gone)
        .is_told(&["entry 5 is missing"]);
    let gone = "DELETE FROM verdicts WHERE number < 6; DELETE FROM accounts; DELETE FROM tokens; \
                DELETE FROM entries WHERE number < 6";
    Kept::new()
        .behind_its_back(gone)
        .is_told(&["entries 1 to 5 are missing"]);

    let swapped = "UPDATE entries SET number = 100 WHERE number = 4; \
                   UPDATE entries SET number = 4 WHERE number = 5; \
                   UPDATE entries SET number = 5 WHERE number = 100";
    let said = [
        "entry 4 is out of order: it was written as entry 5",
        "entry 5 is out of order: it was written as entry 4",
    ];
    Kept::new().behind_its_back(swapped).is_told(&said);

    // The tail: what is left is a whole chain, and only the head file knows of more.
    for (cut, last) in [("> 11", 11), ("= 13", 12), ("> 0", 0)] {
        let gone = format!(
            "UPDATE verdicts SET undone_chain = NULL, undone_number = NULL, \
             standing = 1 WHERE undone_number {cut}; \
             DELETE FROM verdicts WHERE number {cut}; DELETE FROM accounts WHERE number {cut}; \
             DELETE FROM tokens WHERE number {cut}; DELETE FROM entries WHERE number {cut}"
        );
        let kept = Kept::new().behind_its_back(&gone);
        kept.is_told(&[&format!(
            "the tail is cut: the last entry is {last}, and entry 13 was written"
        )]);
        // It takes no more entries, so that nobody writes over the hole; another chain does.
        let (mut store, anna) = (kept.store(), name("anna"));
        let chain = kept.chain();
        let setting = NewEntry {
            kind: EntryKind::Setting,
            subject: name("x"),
            run: None,
            body_json: "{}".to_owned(),
        };
        let refused = store
            .record(&by(&chain, &anna, Role::Admin), &setting)
            .unwrap_err();
        assert!(matches!(refused, StoreError::Chain { .. }), "{refused}");
        assert!(
            refused
                .to_string()
                .contains("13, which its head file tells"),
            "{refused}"
        );
        let other = Chain::new(name("table 1b"), chain.key().clone());
        store
            .record(&by(&other, &anna, Role::Admin), &setting)
            .unwrap();
    }
}

#[test]
fn a_table_that_disagrees_with_the_entries_is_found() {
    let kept = Kept::new();
    let (first, last) = (sql_id(kept.flaws[0]), sql_id(kept.flaws[9]));
    drop(kept);
    assert_ne!(first, last);
    for (edit, said) in [
        (
            "UPDATE verdicts SET decision = 'rejected' WHERE number = 5",
            "the verdict of entry 5 says \"rejected\"",
        ),
        (
            "UPDATE verdicts SET found_class = 'stain' WHERE number = 5",
            "the verdict of entry 5 says",
        ),
        (
            "UPDATE verdicts SET decision = 'reclassified', class = 'knot' WHERE number = 5",
            "\"knot\"",
        ),
        (
            "DELETE FROM verdicts WHERE number = 5",
            "entry 5 gave a verdict that is not there",
        ),
        (
            "UPDATE verdicts SET standing = 0 WHERE number = 5",
            "another verdict stands on flaw",
        ),
        (
            "UPDATE verdicts SET standing = 1 WHERE number = 12",
            "a verdict stands on flaw",
        ),
        (
            "UPDATE accounts SET role = 'admin'",
            "\"ben\" is another than its last entry says",
        ),
        (
            "UPDATE accounts SET password = '$argon2id$two'",
            "\"ben\" is another than",
        ),
        (
            "UPDATE accounts SET disabled = 1",
            "\"ben\" is another than",
        ),
        ("UPDATE accounts SET name = 'eve'", "no entry made \"eve\""),
        (
            "DELETE FROM accounts",
            "\"ben\" is in the entries and not in the table",
        ),
        (
            "UPDATE tokens SET secret = zeroblob(32)",
            "\"erp\" is another than",
        ),
        (
            "UPDATE tokens SET role = 'admin'",
            "\"erp\" is another than",
        ),
        (
            "INSERT INTO accounts VALUES ('eve', 'admin', '$argon2id$x', 0, 1, 1, 'table 1', 99)",
            "no entry made \"eve\"",
        ),
        (
            "INSERT INTO tokens VALUES ('eve', 'admin', randomblob(32), 1, NULL, 1, 'table 1', 2)",
            "no entry made \"eve\"",
        ),
    ] {
        let breaks = Kept::new().behind_its_back(edit).breaks();
        assert!(
            breaks.iter().any(|found| found.contains(said)),
            "{edit}: {breaks:?}"
        );
        assert!(
            breaks.iter().all(|found| found.starts_with("table ")),
            "{edit}: {breaks:?}"
        );
    }
    // A verdict that was never given, one that was never taken back, one that was.
    let forged = "INSERT INTO verdicts SELECT flaw, 2, run, found_class, 'rejected', NULL, 'x', 1, NULL, NULL, 0 \
                  FROM verdicts WHERE number = 5";
    let breaks = Kept::new().behind_its_back(forged).breaks();
    assert!(
        breaks
            .iter()
            .any(|found| found.contains("no entry for verdict 2")),
        "{breaks:?}"
    );
    let taken = "UPDATE verdicts SET standing = 0, undone_chain = 'table 1', undone_number = 6 WHERE number = 5";
    let breaks = Kept::new().behind_its_back(taken).breaks();
    assert!(
        breaks
            .iter()
            .any(|found| found.contains("being taken back")),
        "{breaks:?}"
    );
    let given_again = "UPDATE verdicts SET standing = 1, undone_chain = NULL, undone_number = NULL WHERE number = 12";
    let breaks = Kept::new().behind_its_back(given_again).breaks();
    assert!(
        breaks
            .iter()
            .any(|found| found.contains("entry 13 took back verdict 1")),
        "{breaks:?}"
    );
}

#[test]
fn an_edit_is_found_on_postgresql_too() {
    let Some(url) = on_postgres() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let chain = chain(folder.path(), "table 1");
    let mut store = Store::open(&url).unwrap();
    let (_, flaws) = roll(&mut store, "R-1", 3);
    let anna = name("anna");
    let anna = by(&chain, &anna, Role::Admin);
    store
        .give_verdicts(&anna, &flaws, &verdict(Decision::Confirmed))
        .unwrap();
    store
        .add_account(&anna, &name("ben"), Role::Viewer, "$argon2id$one")
        .unwrap();
    psql(
        &url,
        "UPDATE entries SET body = body || ' ' WHERE number = 2",
    );
    psql(
        &url,
        "UPDATE verdicts SET decision = 'rejected' WHERE number = 1",
    );
    psql(&url, "UPDATE accounts SET role = 'admin'");
    let verified = store.verify_chains(chain.key(), None, None).unwrap();
    let breaks = &verified.chains[0].breaks;
    assert_eq!(breaks[0], Break::Edited { number: 2 });
    assert!(
        breaks[1]
            .to_string()
            .contains("the verdict of entry 1 says"),
        "{breaks:?}"
    );
    assert!(
        verified.breaks[0]
            .to_string()
            .contains("\"ben\" is another"),
        "{verified:?}"
    );
    psql(
        &url,
        "DELETE FROM accounts; DELETE FROM entries WHERE number = 4",
    );
    let verified = store.verify_chains(chain.key(), None, None).unwrap();
    let cut = Break::CutTail { last: 3, kept: 4 };
    assert!(verified.chains[0].breaks.contains(&cut), "{verified:?}");
}

#[test]
fn a_chain_under_another_key_and_a_head_file_that_was_touched_are_found() {
    let kept = Kept::new();
    let other = tempfile::tempdir().unwrap();
    let key = ChainKey::open(&other.path().join("selvedge.key")).unwrap();
    let verified = kept.store().verify_chains(&key, None, None).unwrap();
    assert_eq!(
        verified.chains[0].breaks,
        [Break::OtherKey { n_entries: 13 }]
    );
    // Somebody writes under a key of their own where the chain goes on.
    let anna = name("anna");
    let forger = Chain::new(name("table 1"), key);
    let mut store = kept.store();
    let given = verdict(Decision::Rejected);
    let refused = store.give_verdicts(&by(&forger, &anna, Role::Admin), &kept.flaws, &given);
    assert!(
        matches!(refused, Err(StoreError::Chain { .. })),
        "{refused:?}"
    );

    let head = kept.path("selvedge.head");
    let good = std::fs::read_to_string(&head).unwrap();
    let moved = good.replace("\n13 ", "\n12 ");
    assert_ne!(moved, good);
    for (bad, said) in [
        (
            moved.as_str(),
            "one that was changed or belongs to another key",
        ),
        ("", "another beginning"),
        ("selvedge head 2\nx\n", "another beginning"),
        ("\u{FFFD}\0", "another beginning"),
        (&good[..good.len() - 4], "one that was changed"),
    ] {
        std::fs::write(&head, bad).unwrap();
        kept.is_told(&[said]);
    }
    std::fs::write(&head, [0xFF, 0xFE, 0x00]).unwrap();
    kept.is_told(&["another beginning"]);
    std::fs::remove_file(&head).unwrap();
    kept.is_told(&["the head file: found no file"]);
    let mine = kept.chain();
    let refused = store.give_verdicts(&by(&mine, &anna, Role::Admin), &kept.flaws, &given);
    assert!(
        matches!(refused, Err(StoreError::Chain { .. })),
        "{refused:?}"
    );
    std::fs::write(&head, &good).unwrap();
    kept.is_told(&[]);
}

#[test]
fn an_older_copy_of_everything_is_found_by_a_head_that_was_noted() {
    let kept = Kept::new();
    let chain = kept.chain();
    let copy = |from: &str, to: &str| {
        std::fs::copy(kept.path(from), kept.path(to)).unwrap();
    };
    // Whole in one file, so that a copy is a copy.
    let fold = |file: &str| {
        let file = Connection::open(kept.path(file)).unwrap();
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
    };
    fold("selvedge.db");
    copy("selvedge.db", "old.db");
    copy("selvedge.head", "old.head");
    let anna = name("anna");
    let given = verdict(Decision::Rejected);
    let mut store = kept.store();
    store
        .give_verdicts(&by(&chain, &anna, Role::Admin), &kept.flaws[..1], &given)
        .unwrap();
    let noted = store.last_entry(&name("table 1")).unwrap().unwrap();
    assert_eq!(noted.number, 14);
    let noted = (noted.number, noted.hash);
    let only = name("table 1");
    let whole = store
        .verify_chains(chain.key(), Some(&only), Some(noted))
        .unwrap();
    assert!(whole.is_whole(), "{whole:?}");
    drop(store);
    fold("selvedge.db");
    copy("old.db", "selvedge.db");
    copy("old.head", "selvedge.head");
    kept.is_told(&[]);
    let store = kept.store();
    let verified = store
        .verify_chains(chain.key(), Some(&only), Some(noted))
        .unwrap();
    let cut = Break::CutTail { last: 13, kept: 14 };
    assert_eq!(verified.chains[0].breaks, [cut]);
    // A hash that was never this chain's; a chain that nobody knows; a note without its chain.
    let other: EntryHash = "0".repeat(64).parse().unwrap();
    let verified = store
        .verify_chains(chain.key(), Some(&only), Some((3, other)))
        .unwrap();
    let kept = "was noted";
    assert_eq!(
        verified.chains[0].breaks,
        [Break::OtherHash { number: 3, kept }]
    );
    let unknown = store.verify_chains(chain.key(), Some(&name("x")), None);
    assert!(
        matches!(unknown, Err(StoreError::Unknown { .. })),
        "{unknown:?}"
    );
    let without = store.verify_chains(chain.key(), None, Some(noted));
    assert!(
        matches!(without, Err(StoreError::Invalid { .. })),
        "{without:?}"
    );
}

#[test]
fn a_head_that_lags_behind_is_no_break_and_heals_with_the_next_entry() {
    let kept = Kept::new();
    let head = kept.path("selvedge.head");
    let before = std::fs::read(&head).unwrap();
    let (chain, anna) = (kept.chain(), name("anna"));
    let anna = by(&chain, &anna, Role::Admin);
    let mut store = kept.store();
    let given = verdict(Decision::Rejected);
    // The power goes when the entries are on the disk and the head is not.
    store
        .give_verdicts(&anna, &kept.flaws[..3], &given)
        .unwrap();
    std::fs::write(&head, &before).unwrap();
    let verified = kept.verified();
    assert!(verified.is_whole(), "{verified:?}");
    assert_eq!(verified.chains[0].n_behind_head, 3);
    store
        .give_verdicts(&anna, &kept.flaws[3..4], &given)
        .unwrap();
    let verified = kept.verified();
    assert!(verified.is_whole(), "{verified:?}");
    assert_eq!(verified.chains[0].n_behind_head, 0);

    // What lies behind the head is not taken on trust.
    std::fs::write(&head, &before).unwrap();
    let kept = kept.behind_its_back("UPDATE entries SET account = 'ben' WHERE number = 15");
    let refused = store
        .give_verdicts(&anna, &kept.flaws[4..5], &given)
        .unwrap_err();
    assert!(
        refused.to_string().contains("an entry 15 that was changed"),
        "{refused}"
    );
    kept.is_told(&["entry 15 was edited"]);
}

#[test]
fn a_key_is_its_owner_s_alone_and_is_never_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.key");
    let missing = ChainKey::read(&path).unwrap_err();
    assert!(matches!(missing, StoreError::Key { .. }), "{missing}");
    let key = ChainKey::open(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert!(!format!("{key:?}").contains(text.trim()));
    assert!(key.head_path().exists(), "made with it");
    assert_eq!(
        folder.path().read_dir().unwrap().count(),
        2,
        "nothing else is left"
    );
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let refused = ChainKey::open(&path).unwrap_err().to_string();
    assert!(
        refused.contains("mode 0640") && refused.contains("0600"),
        "{refused}"
    );
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    for bad in [
        "",
        "ab",
        &text[1..],
        &"g".repeat(64),
        &format!("{text}x"),
        &"1".repeat(5000),
    ] {
        std::fs::write(&path, bad).unwrap();
        let refused = ChainKey::open(&path).unwrap_err().to_string();
        assert!(refused.contains("64 hexadecimal digits"), "{refused}");
        assert!(bad.is_empty() || !refused.contains(bad), "{refused}");
    }
    let nowhere = ChainKey::open(&folder.path().join("none/selvedge.key")).unwrap_err();
    assert!(matches!(nowhere, StoreError::Key { .. }), "{nowhere}");
}
