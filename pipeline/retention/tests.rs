//! Rules are announced before they remove anything, and hold from then on.

use store::{Keep, Name, NewModel};

use super::*;

const DAY_US: i64 = NOTICE_US;

/// A store with events of no run, written now.
fn store_with(n_events: usize, folder: &std::path::Path) -> (Store, String) {
    let url = folder.join("selvedge.db").to_str().unwrap().to_owned();
    let mut store = Store::open(&url).unwrap();
    let model = NewModel {
        digest: store::Digest::new(&"a".repeat(64)).unwrap(),
        article: Name::new("twill").unwrap(),
        passport_json: "{}".to_owned(),
        file_name: "a.onnx".to_owned(),
        taught_at_us: 1,
    };
    store.register_model(&model).unwrap();
    for nth in 0..n_events {
        let told = event("drift", EventSeverity::Info, format!("event {nth}"));
        store.record_event(&told).unwrap();
    }
    (store, url)
}

fn rules(days: u32) -> RetentionRules {
    rules_of(&RetentionSettings {
        events: Keep {
            days: Some(days),
            bytes: None,
        },
        ..RetentionSettings::default()
    })
}

#[test]
fn a_rule_removes_nothing_before_it_was_announced_for_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = store_with(5, folder.path());
    let pass = |days, at_us| keep_once(&url, &rules(days), at_us, &mut |_| true).unwrap();
    let kinds = || -> Vec<String> {
        let events = store.loose_events(100).unwrap();
        events.into_iter().map(|event| event.kind).collect()
    };
    let n_of = |kind: &str| kinds().iter().filter(|found| *found == kind).count();

    // Nothing to come within a day: no word.
    let start = now_us();
    assert_eq!(pass(30, start + 28 * DAY_US), []);
    assert_eq!(n_of(ANNOUNCED), 0);
    // A day ahead, once; until then nothing goes, though it becomes due.
    let told = start + 29 * DAY_US + DAY_US / 2;
    for hours in [0, 1, 23] {
        assert_eq!(pass(30, told + hours * DAY_US / 24), []);
        assert_eq!(n_of(ANNOUNCED), 1);
    }
    // Another rule is announced for itself.
    assert_eq!(pass(31, told + 2 * DAY_US), []);
    assert_eq!((n_of("drift"), n_of(ANNOUNCED)), (5, 2));

    let gone = pass(30, told + DAY_US);
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(gone[0].0, RetentionKind::Events);
    assert_eq!((n_of("drift"), n_of(REMOVED)), (0, 1));
}

#[test]
fn a_pass_rests_after_each_step_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = store_with(600, folder.path());
    let later = now_us() + 60 * DAY_US;
    keep_once(&url, &rules(30), later, &mut |_| true).unwrap();
    let mut n_rests = 0;
    // Three queries count; then a step.
    let gone = keep_once(&url, &rules(30), later + DAY_US, &mut |_| {
        n_rests += 1;
        n_rests < 4
    });
    let gone = gone.unwrap();
    assert!((1..600).contains(&gone[0].1.n), "{gone:?} after {n_rests}");
    assert!(store.loose_events(1000).unwrap().len() > 1);

    let stop = AtomicBool::new(true);
    let since = Instant::now();
    keep(&url, &RetentionSettings::default(), &stop);
    assert!(since.elapsed() < EVERY / 60, "it did not end");
}

#[test]
fn bytes_and_days_are_told_for_people() {
    assert_eq!(bytes(0), "0.0 KiB");
    assert_eq!(bytes(3 << 20), "3.0 MiB");
    assert_eq!(bytes(50 << 30), "50.00 GiB");
    assert_eq!(day(1_796_000_000_000_000), "2026-11-30");
}
