//! A roll that was cut off is gone on with: nothing twice, nothing lost, and what passed unseen is
//! a gap of a length that is known or said to be unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use calibration::Um;
use camera::{FlawKind, LoomSettings, Source};
use selvedge::inspect::inspect;
use selvedge::resume::Begin;
use store::{Name, RunState, Store};

use super::Between;
use crate::texture::{TextureArticle, clean_cloth, loom, station};
use crate::told::{Told, inspection, store_at, store_with};

fn cloth() -> LoomSettings {
    clean_cloth(7)
        .with_flaw(FlawKind::Hole, 60..100, 200..240, 3.0)
        .with_flaw(FlawKind::Stain, 180..640, 380..400, 4.0)
        .with_flaw(FlawKind::Hole, 900..940, 500..540, 3.0)
}

/// Inspects into `store`, stopped when `until` frames have been exposed.
fn run(store: Store, source: Box<dyn Source>, begin: Begin, until: u64) -> (Store, Told) {
    let taught = TextureArticle::clean();
    let stop = Arc::new(AtomicBool::new(false));
    let signal = Arc::clone(&stop);
    let source = Between::new(source, move |captured| {
        signal.store(captured.sequence() + 1 == until, Ordering::Relaxed);
    });
    let (sources, station) = (vec![source.boxed()], station());
    let mut inspection = inspection(&taught.article, &station, taught.scorers(2), sources, &stop);
    inspection.begin = begin;
    let (store, run) = inspect(inspection, store, &mut |_| {}, &mut || {}).unwrap();
    let told = Told::of(&store, run);
    (store, told)
}

/// The same cloth as a source that shows whatever passes now.
fn live(settings: LoomSettings) -> Box<dyn Source> {
    let mut source = Between::new(loom(settings), |_| {});
    source.description.live = true;
    source.boxed()
}

/// What was found where, without scores: the last frame before a stop does not see the next one.
fn places(told: &Told) -> Vec<String> {
    let flaws = told.flaws.iter().map(|flaw| format!("{:?}", flaw.rect));
    let cover = told.coverage.iter().map(|cell| format!("{cell:?}"));
    flaws.chain(cover).collect()
}

#[test]
fn the_rest_of_a_folder_is_looked_at_as_if_nothing_had_happened() {
    let taught = TextureArticle::clean();
    let (_, whole) = run(
        store_with(&taught.article),
        loom(cloth()),
        Begin::New,
        u64::MAX,
    );
    for until in [1, 6] {
        let store = store_with(&taught.article);
        let (store, cut) = run(store, loom(cloth()), Begin::New, until);
        assert_eq!(cut.state, RunState::Aborted);
        let begin = Begin::Resume { passed: None };
        let (store, told) = run(store, loom(cloth()), begin, u64::MAX);
        assert_eq!(told.state, RunState::Done);
        told.assert_adds_up();
        assert_eq!(told.gaps(), []);
        assert_eq!(places(&told), places(&whole), "cut off after {until}");
        assert!(told.events.iter().any(|(kind, _, _)| kind == "resumed"));
        assert_eq!(store.rolls().unwrap().len(), 1, "one roll, one run");
    }
}

#[test]
fn a_flaw_that_ran_when_the_roll_was_stopped_stays_and_the_rest_of_it_is_told_too() {
    let taught = TextureArticle::clean();
    let store = store_with(&taught.article);
    let (store, _) = run(store, loom(cloth()), Begin::New, 3);
    let begin = Begin::Resume { passed: None };
    let (_, told) = run(store, loom(cloth()), begin, u64::MAX);
    told.assert_adds_up();
    let streak = |rect: &store::Rect| rect.across().start < 78_000 && 76_000 < rect.across().end;
    let parts: Vec<_> = told
        .flaws
        .iter()
        .map(|flaw| flaw.rect)
        .filter(streak)
        .collect();
    assert_eq!(parts.len(), 2, "{parts:?}");
    assert_eq!(parts[0].along().end, 3 * 128 * 200);
    assert_eq!(parts[1].along().start, 3 * 128 * 200);
}

#[test]
fn cloth_that_passed_a_live_source_meanwhile_is_a_gap_of_the_length_that_was_measured() {
    let taught = TextureArticle::clean();
    let store = store_with(&taught.article);
    let (store, before) = run(store, live(cloth()), Begin::New, 3);
    let passed = Some(Um(3_000_000));
    let (_, told) = run(
        store,
        live(clean_cloth(9)),
        Begin::Resume { passed },
        u64::MAX,
    );
    told.assert_adds_up();
    let (from, until) = (before.length_um, before.length_um + 3_000_000);
    assert!(
        told.gaps()
            .contains(&([from, until], [0, 128_000], "power_cut")),
        "{:?}",
        told.gaps()
    );
    assert!(told.length_um > until);
    let said = told.events.iter().find(|(kind, _, _)| kind == "power_cut");
    assert!(said.is_some_and(|(_, _, said)| said.contains("3000 mm of cloth passed unseen")));
}

#[test]
fn a_length_that_nobody_measured_is_said_to_be_unknown() {
    let taught = TextureArticle::clean();
    let store = store_with(&taught.article);
    let (store, before) = run(store, live(cloth()), Begin::New, 3);
    let (_, told) = run(
        store,
        live(clean_cloth(9)),
        Begin::Resume { passed: None },
        u64::MAX,
    );
    told.assert_adds_up();
    let from = before.length_um;
    assert!(
        told.gaps()
            .contains(&([from, from + 200], [0, 128_000], "unknown_length")),
        "{:?}",
        told.gaps()
    );
    let said = told.events.iter().find(|(kind, _, _)| kind == "power_cut");
    assert!(said.is_some_and(|(_, _, said)| said.contains("no measure of how much")));
}

#[test]
fn what_is_not_the_run_that_was_cut_off_is_refused_in_words() {
    let taught = TextureArticle::clean();
    let stop = AtomicBool::new(false);
    let refused = |store, scale: f64| {
        let mut station = station();
        station.lanes[0].mm_per_line = scale;
        let sources = vec![loom(cloth())];
        let mut inspection =
            inspection(&taught.article, &station, taught.scorers(1), sources, &stop);
        inspection.begin = Begin::Resume { passed: None };
        let refused = inspect(inspection, store, &mut |_| {}, &mut || {});
        refused.map(|_| ()).unwrap_err().to_string()
    };
    let nothing = refused(store_with(&taught.article), 0.2);
    assert!(
        nothing.contains("no run of roll \"4711\" that was cut off"),
        "{nothing}"
    );
    let (store, _) = run(
        store_with(&taught.article),
        loom(cloth()),
        Begin::New,
        u64::MAX,
    );
    assert!(
        refused(store, 0.2).contains("no run of roll"),
        "a run that is done is done"
    );
    let (store, _) = run(store_with(&taught.article), loom(cloth()), Begin::New, 2);
    let other = refused(store, 0.201);
    assert!(
        other.contains("found calibration") && other.contains("new run"),
        "{other}"
    );
}

#[test]
fn a_live_roll_goes_on_behind_flaws_whose_coverage_was_held_back() {
    let taught = TextureArticle::clean();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.db");
    let url = path.to_str().unwrap();
    let store = store_at(url, &taught.article);
    let (store, before) = run(store, live(cloth()), Begin::New, 3);
    let cut_off = store
        .latest_run(&Name::new("4711").unwrap())
        .unwrap()
        .unwrap();
    drop(store);
    // As a killed process leaves it: a flaw beside a running one, 60 mm behind the last coverage.
    let end = before.length_um;
    let mut store = Store::open(url).unwrap();
    store.resume_run(cut_off.id).unwrap();
    let rect = store::Rect::new(end + 50_000..end + 60_000, 40_000..50_000).unwrap();
    let flaw = store::NewFlaw {
        class: "unknown".to_owned(),
        rect,
        length_um: 10_000,
        area_um2: 100_000_000,
        score: 2.0,
        severity: "minor".to_owned(),
        found_at_us: 0,
        crop: None,
    };
    let batch = store::Batch {
        flaws: vec![flaw],
        ..store::Batch::default()
    };
    store.append(cut_off.id, &batch).unwrap();
    drop(store);

    let passed = Some(Um(1_000_000));
    let begin = Begin::Resume { passed };
    let (_, told) = run(
        Store::open(url).unwrap(),
        live(clean_cloth(9)),
        begin,
        u64::MAX,
    );
    told.assert_adds_up();
    let gap = ([end, end + 1_060_000], [0, 128_000], "power_cut");
    assert!(told.gaps().contains(&gap), "{:?}", told.gaps());
    assert_eq!(
        told.flaws.iter().filter(|flaw| flaw.rect == rect).count(),
        1
    );
}
