//! What people do: verdicts, taking them back, accounts, tokens, signatures; what is refused.

use std::path::Path;

use store::{
    Batch, By, Chain, ChainKey, Decision, EntriesFilter, EntryKind, FlawId, Keep, NOTE_MAX_CHARS,
    Name, NewEntry, NewSignature, NewVerdict, RetentionRules, Role, RunId, Store, StoreError,
    Whose, now_us,
};

use crate::cloth::{begun, digest, done, gap, hole, inspected, name, rect};
use crate::servers::on_both;

/// The chain of a place whose key lies in `folder`.
pub(crate) fn chain(folder: &Path, place: &str) -> Chain {
    let key = ChainKey::open(&folder.join("selvedge.key")).unwrap();
    Chain::new(name(place), key)
}

/// Who does something on `chain`.
pub(crate) fn by<'a>(chain: &'a Chain, account: &'a Name, role: Role) -> By<'a> {
    By {
        chain,
        account,
        role,
    }
}

/// A verdict without a note.
pub(crate) fn verdict(decision: Decision) -> NewVerdict {
    NewVerdict {
        decision,
        note: None,
    }
}

/// A run that has ended, with so many holes and a gap.
pub(crate) fn roll(store: &mut Store, number: &str, n_flaws: i64) -> (RunId, Vec<FlawId>) {
    let run = begun(store, number);
    let batch = Batch {
        coverage: vec![
            inspected(rect(0, 10 * n_flaws, 0, 100)),
            gap(rect(10 * n_flaws, 10 * n_flaws + 10, 0, 100), "frame_lost"),
        ],
        flaws: (0..n_flaws).map(|nth| hole(nth * 10, 5)).collect(),
        ..Batch::default()
    };
    let flaws = store.append(run, &batch).unwrap();
    store
        .finish_run(run, &done(10 * n_flaws + 10, 100))
        .unwrap();
    (run, flaws)
}

fn standing(store: &Store, flaw: FlawId) -> Option<Decision> {
    store.judged_flaw(flaw).unwrap().1.decision
}

fn assert_whole(store: &Store, chain: &Chain) {
    let verified = store.verify_chains(chain.key(), None, None).unwrap();
    assert!(verified.is_whole(), "{verified:?}");
}

#[test]
fn what_counts_is_the_latest_verdict_that_was_not_taken_back() {
    on_both(|url| {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(url).unwrap();
        let (run, flaws) = roll(&mut store, "R-1", 2);
        let chain = chain(folder.path(), "table 1");
        let (anna, ben) = (name("anna"), name("ben"));
        let anna = by(&chain, &anna, Role::Reviewer);
        let ben = by(&chain, &ben, Role::Supervisor);
        let flaw = flaws[0];
        assert_eq!(standing(&store, flaw), None);

        let stain = Decision::Reclassified(name("stain"));
        let noted = NewVerdict {
            decision: Decision::Confirmed,
            note: Some("  seen \"twice\"\nby lamp \u{1F526} ".to_owned()),
        };
        let first = store.give_verdicts(&anna, &[flaw], &noted).unwrap();
        store
            .give_verdicts(&ben, &[flaw], &verdict(stain.clone()))
            .unwrap();
        assert_eq!(standing(&store, flaw), Some(stain.clone()));
        let (of, judged) = store.judged_flaw(flaw).unwrap();
        assert_eq!(
            (of, judged.class(), judged.flaw.class.as_str()),
            (run, "stain", "hole")
        );

        // One's own is taken back; the other's, given later, still counts.
        store.undo_verdict(&anna, flaw, Whose::Own).unwrap();
        assert_eq!(standing(&store, flaw), Some(stain));
        let refused = store.undo_verdict(&anna, flaw, Whose::Own).unwrap_err();
        assert!(matches!(refused, StoreError::Unknown { .. }), "{refused}");
        store
            .give_verdicts(&anna, &[flaw], &verdict(Decision::Rejected))
            .unwrap();
        assert_eq!(standing(&store, flaw), Some(Decision::Rejected));
        // Anybody's: the latest first, and then the one before it stands again.
        store.undo_verdict(&ben, flaw, Whose::Anybody).unwrap();
        assert_eq!(standing(&store, flaw).unwrap().as_str(), "reclassified");
        store.undo_verdict(&ben, flaw, Whose::Anybody).unwrap();
        assert_eq!(standing(&store, flaw), None);
        store
            .give_verdicts(&anna, &[flaw], &verdict(Decision::Confirmed))
            .unwrap();

        let history = store.verdicts(flaw).unwrap();
        let told: Vec<(i64, &str, &str, Option<&str>, bool)> = (history.iter())
            .map(|verdict| {
                let undone = verdict
                    .undone
                    .as_ref()
                    .map(|undone| undone.account.as_str());
                let decision = verdict.decision.as_str();
                (
                    verdict.nth,
                    verdict.account.as_str(),
                    decision,
                    undone,
                    verdict.is_standing,
                )
            })
            .collect();
        let expected = [
            (1, "anna", "confirmed", Some("anna"), false),
            (2, "ben", "reclassified", Some("ben"), false),
            (3, "anna", "rejected", Some("ben"), false),
            (4, "anna", "confirmed", None, true),
        ];
        assert_eq!(told, expected);
        assert_eq!(
            history[0].note.as_deref(),
            Some("seen \"twice\"\nby lamp \u{1F526}")
        );
        assert_eq!((history[0].number, history[1].number), (1, 2));

        // Nothing was overwritten: every step is an entry on the flaw, by its number.
        let filter = EntriesFilter {
            subject: Some(name(&flaw.to_string())),
            ..EntriesFilter::default()
        };
        let entries = store.entries(&filter, None, 100).unwrap().rows;
        let numbers: Vec<i64> = entries.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(entries[6].hash, first[0].hash);
        assert!(entries.iter().all(|entry| entry.run == Some(run)));
        assert_eq!(standing(&store, flaws[1]), None, "another flaw");
        assert_whole(&store, &chain);
    });
}

#[test]
fn flaws_that_look_alike_are_judged_together_or_not_at_all() {
    on_both(|url| {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(url).unwrap();
        let (_, mut flaws) = roll(&mut store, "R-1", 200);
        let chain = chain(folder.path(), "table 1");
        let anna = name("anna");
        let anna = by(&chain, &anna, Role::Reviewer);

        let stranger: FlawId = "01890000-0000-7000-8000-000000000000".parse().unwrap();
        let with_stranger = [&flaws[..], &[stranger]].concat();
        let rejected = verdict(Decision::Rejected);
        let refused = store
            .give_verdicts(&anna, &with_stranger, &rejected)
            .unwrap_err();
        assert!(matches!(refused, StoreError::Unknown { .. }), "{refused}");
        assert!(
            refused.to_string().contains(&stranger.to_string()),
            "{refused}"
        );
        let mixed = verdict(Decision::Reclassified(name("hole")));
        let refused = store.give_verdicts(&anna, &flaws, &mixed).unwrap_err();
        assert!(refused.to_string().contains("was found"), "{refused}");
        assert_eq!(
            store
                .entries(&EntriesFilter::default(), None, 9)
                .unwrap()
                .rows,
            []
        );

        flaws.push(flaws[0]);
        let since = std::time::Instant::now();
        let entries = store.give_verdicts(&anna, &flaws, &rejected).unwrap();
        let took = since.elapsed();
        crate::measured(&format!("200 verdicts at once: {took:?} ({})", &url[..8]));
        assert_eq!(entries.len(), 200, "named twice, judged once");
        assert!(
            entries
                .iter()
                .zip(1..)
                .all(|(entry, nth)| entry.number == nth)
        );
        assert!(
            flaws
                .iter()
                .all(|flaw| standing(&store, *flaw) == Some(Decision::Rejected))
        );
        // One of many is taken back alone.
        store.undo_verdict(&anna, flaws[7], Whose::Own).unwrap();
        assert_eq!(standing(&store, flaws[7]), None);
        assert_eq!(standing(&store, flaws[8]), Some(Decision::Rejected));
        assert_whole(&store, &chain);
    });
}

#[test]
fn what_nobody_may_write_is_refused_and_leaves_no_entry() {
    on_both(|url| {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(url).unwrap();
        let (run, flaws) = roll(&mut store, "R-1", 1);
        let chain = chain(folder.path(), "table 1");
        let anna = name("anna");
        let anna = by(&chain, &anna, Role::Admin);
        let huge = "x".repeat(NOTE_MAX_CHARS + 1);
        for note in [
            huge.as_str(),
            "a\0b",
            "a\u{202E}b",
            "a\x1b[2Jb",
            "\u{200B}",
            "a\tb",
        ] {
            let bad = NewVerdict {
                decision: Decision::Confirmed,
                note: Some(note.to_owned()),
            };
            let refused = store.give_verdicts(&anna, &flaws, &bad).unwrap_err();
            assert!(
                matches!(refused, StoreError::Invalid { what: "note", .. }),
                "{refused}"
            );
            assert!(refused.to_string().len() < 300, "{refused}");
        }
        let confirmed = verdict(Decision::Confirmed);
        let many: Vec<FlawId> = (0..1001)
            .map(|nth| {
                format!("01890000-0000-7000-8000-{nth:012}")
                    .parse()
                    .unwrap()
            })
            .collect();
        for flaws in [&[][..], &many] {
            let refused = store.give_verdicts(&anna, flaws, &confirmed).unwrap_err();
            assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
        }
        let refused = store
            .undo_verdict(&anna, flaws[0], Whose::Anybody)
            .unwrap_err();
        assert!(
            refused.to_string().contains("verdict to take back"),
            "{refused}"
        );
        let entry = |kind, body: &str| NewEntry {
            kind,
            subject: name("false_alarms"),
            run: None,
            body_json: body.to_owned(),
        };
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(store::BODY_MAX_BYTES));
        for bad in [
            entry(EntryKind::Verdict, "{}"),
            entry(EntryKind::Account, "{}"),
            entry(EntryKind::Setting, ""),
            entry(EntryKind::Setting, "[1]"),
            entry(EntryKind::Setting, "{\"a\":"),
            entry(EntryKind::Setting, &long),
        ] {
            let refused = store.record(&anna, &bad).unwrap_err();
            assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
        }
        let stranger: RunId = "01890000-0000-7000-8000-000000000000".parse().unwrap();
        let of_no_run = NewEntry {
            run: Some(stranger),
            ..entry(EntryKind::Alarm, "{}")
        };
        assert!(matches!(
            store.record(&anna, &of_no_run),
            Err(StoreError::Unknown { .. })
        ));
        for not_hashed in [
            "",
            "secret password",
            "$argon2id$ with blank",
            &"$".repeat(501),
        ] {
            let refused = store
                .add_account(&anna, &name("x"), Role::Viewer, not_hashed)
                .unwrap_err();
            let said = refused.to_string();
            assert!(
                not_hashed.is_empty() || !said.contains(not_hashed),
                "{said}"
            );
        }
        let unsigned = NewSignature {
            run,
            rules: name("four-point"),
            rules_digest: digest('f'),
            why: " \n ".to_owned(),
        };
        let refused = store.sign_first_quality(&anna, &unsigned).unwrap_err();
        assert!(refused.to_string().contains("no reason"), "{refused}");
        assert_eq!(
            store
                .entries(&EntriesFilter::default(), None, 9)
                .unwrap()
                .rows,
            []
        );
        store
            .record(
                &anna,
                &entry(EntryKind::Setting, "{\"before\":1,\"after\":2}"),
            )
            .unwrap();
        assert_whole(&store, &chain);
    });
}

#[test]
fn accounts_and_tokens_change_only_with_an_entry() {
    on_both(|url| {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(url).unwrap();
        let chain = chain(folder.path(), "office");
        let admin = name("local:mill");
        let admin = by(&chain, &admin, Role::Admin);
        let anna = name("Anna");
        store
            .add_account(&admin, &anna, Role::Reviewer, "$argon2id$one")
            .unwrap();
        for same in ["Anna", "ANNA"] {
            let taken = store.add_account(&admin, &name(same), Role::Admin, "$argon2id$x");
            assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
        }
        store
            .set_account_role(&admin, &anna, Role::Supervisor)
            .unwrap();
        store
            .set_account_password(&admin, &anna, "$argon2id$two")
            .unwrap();
        store.set_account_disabled(&admin, &anna, true).unwrap();
        let account = store.account(&anna).unwrap().unwrap();
        assert_eq!(
            (account.role, account.password.as_str(), account.is_disabled),
            (Role::Supervisor, "$argon2id$two", true)
        );
        assert!(!format!("{account:?}").contains("argon2"), "{account:?}");
        assert_eq!(
            store.account(&name("anna")).unwrap(),
            None,
            "in its own case"
        );
        let unknown = store.set_account_role(&admin, &name("zoe"), Role::Admin);
        assert!(
            matches!(unknown, Err(StoreError::Unknown { .. })),
            "{unknown:?}"
        );

        store
            .add_token(&admin, &name("erp"), Role::Viewer, &[7; 32])
            .unwrap();
        for (same, secret) in [("erp", [8; 32]), ("other", [7; 32])] {
            let taken = store.add_token(&admin, &name(same), Role::Viewer, &secret);
            assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
        }
        assert_eq!(store.token_of(&[7; 32]).unwrap().unwrap().name, name("erp"));
        store.revoke_token(&admin, &name("erp")).unwrap();
        assert_eq!(store.token_of(&[7; 32]).unwrap(), None);
        let again = store.revoke_token(&admin, &name("erp"));
        assert!(
            matches!(again, Err(StoreError::Unknown { .. })),
            "{again:?}"
        );
        assert!(store.tokens().unwrap()[0].revoked_at_us.is_some());

        let entries = store
            .entries(&EntriesFilter::default(), None, 100)
            .unwrap()
            .rows;
        let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(
            kinds,
            ["token", "token", "account", "account", "account", "account"]
        );
        let body = &entries[4].body_json;
        assert!(
            body.contains("\"reviewer\"") && body.contains("\"supervisor\""),
            "{body}"
        );
        assert!(
            entries
                .iter()
                .all(|entry| !entry.body_json.contains("argon2"))
        );
        assert_whole(&store, &chain);
    });
}

#[test]
fn a_signature_is_of_one_run_and_one_text_of_rules() {
    on_both(|url| {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(url).unwrap();
        let (run, _) = roll(&mut store, "R-1", 1);
        let running = begun(&mut store, "R-2");
        let chain = chain(folder.path(), "office");
        let (eve, rules) = (name("eve"), digest('f'));
        let eve = by(&chain, &eve, Role::Supervisor);
        let new = |run| NewSignature {
            run,
            rules: name("four-point"),
            rules_digest: rules.clone(),
            why: "looked at by hand".to_owned(),
        };
        let refused = store.sign_first_quality(&eve, &new(running)).unwrap_err();
        assert!(refused.to_string().contains("has not ended"), "{refused}");
        assert_eq!(store.signature(run, &rules).unwrap(), None);
        store.sign_first_quality(&eve, &new(run)).unwrap();
        let signed = store.signature(run, &rules).unwrap().unwrap();
        assert_eq!(
            (
                signed.account.as_str(),
                signed.rules.as_str(),
                signed.why.as_str()
            ),
            ("eve", "four-point", "looked at by hand")
        );
        assert_eq!(
            store.signature(run, &digest('e')).unwrap(),
            None,
            "other rules"
        );
        assert_eq!(
            store.signature(running, &rules).unwrap(),
            None,
            "another run"
        );
        store
            .withdraw_signature(&eve, run, &rules, "the customer said no")
            .unwrap();
        assert_eq!(store.signature(run, &rules).unwrap(), None);
        let again = store.withdraw_signature(&eve, run, &rules, "twice");
        assert!(
            matches!(again, Err(StoreError::Unknown { .. })),
            "{again:?}"
        );
        store.sign_first_quality(&eve, &new(run)).unwrap();
        assert!(store.signature(run, &rules).unwrap().is_some());
        assert_whole(&store, &chain);
    });
}

#[test]
fn retention_takes_nothing_of_what_people_did() {
    on_both(|url| {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(url).unwrap();
        let (_, flaws) = roll(&mut store, "R-1", 3);
        let chain = chain(folder.path(), "table 1");
        let anna = name("anna");
        let anna = by(&chain, &anna, Role::Reviewer);
        store
            .give_verdicts(&anna, &flaws, &verdict(Decision::Confirmed))
            .unwrap();
        let none = Keep {
            days: Some(0),
            bytes: Some(0),
        };
        let rules = RetentionRules {
            candidates: none,
            crops: none,
            events: none,
            mildest_first: Vec::new(),
        };
        let in_a_year = now_us() + 365 * 86_400_000_000;
        let plan = store
            .retention_plan(&rules, in_a_year, &mut |_| true)
            .unwrap();
        let mut plan = plan.unwrap();
        let mut n_gone = 0;
        while let Some(removed) = store.retention_step(&mut plan).unwrap() {
            n_gone += removed.amount.n;
        }
        assert_eq!(n_gone, 3, "the pictures");
        assert!(
            flaws
                .iter()
                .all(|flaw| standing(&store, *flaw) == Some(Decision::Confirmed))
        );
        assert_eq!(
            store
                .entries(&EntriesFilter::default(), None, 9)
                .unwrap()
                .rows
                .len(),
            3
        );
        assert_whole(&store, &chain);
    });
}
