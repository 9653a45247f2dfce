//! What is forgotten by rule, and that nothing else is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::{
    Amount, Batch, Crop, EventSeverity, Keep, NewCandidate, NewCrop, NewEvent, NewFlaw, Removed,
    RetentionKind, RetentionPlan, RetentionRules, RunId, Store, is_removal, now_us,
};

use crate::cloth::{begun, crop, done, hole, inspected, rect};
use crate::servers::on_both;

const DAY_US: i64 = 86_400_000_000;
/// Longest time that removing may make a writer wait, usually.
const HELD_MOST: Duration = Duration::from_millis(50);
const PICTURE_BYTES: usize = 20_000;

fn rules() -> RetentionRules {
    let words = ["minor", "moderate", "major", "severe"];
    RetentionRules {
        mildest_first: words.map(str::to_owned).to_vec(),
        ..RetentionRules::default()
    }
}

fn days(days: u32) -> Keep {
    Keep {
        days: Some(days),
        bytes: None,
    }
}

fn up_to(bytes: u64) -> Keep {
    Keep {
        days: None,
        bytes: Some(bytes),
    }
}

fn planned(store: &Store, rules: &RetentionRules, at_us: i64) -> RetentionPlan {
    let plan = store.retention_plan(rules, at_us, &mut |_| true).unwrap();
    plan.unwrap()
}

fn now_of(plan: &RetentionPlan, kind: RetentionKind) -> Amount {
    plan.kinds
        .iter()
        .find(|plan| plan.kind == kind)
        .unwrap()
        .now
}

fn carried_out(store: &mut Store, plan: &mut RetentionPlan) -> Vec<Removed> {
    std::iter::from_fn(|| store.retention_step(plan).unwrap()).collect()
}

fn flaw(along_mm: i64, severity: &str, n_bytes: usize) -> NewFlaw {
    NewFlaw {
        severity: severity.to_owned(),
        crop: Some(NewCrop::Kept(Crop {
            png: vec![along_mm as u8; n_bytes],
            ..crop(along_mm)
        })),
        ..hole(along_mm, 1)
    }
}

/// A run with these flaws, a candidate and an event each millimetre, all inspected.
fn run_of(store: &mut Store, roll: &str, flaws: Vec<NewFlaw>) -> RunId {
    let run = begun(store, roll);
    let n = flaws.len() as i64 + 1;
    let candidate = |nth: i64| NewCandidate {
        rect: rect(nth, nth + 1, 50, 52),
        score: 0.5,
    };
    let event = |nth: i64| NewEvent {
        at_us: now_us(),
        kind: "drift".to_owned(),
        severity: EventSeverity::Info,
        message: format!("event {nth}"),
    };
    let batch = Batch {
        coverage: vec![inspected(rect(0, n, 0, 100))],
        flaws,
        candidates: (0..n).map(candidate).collect(),
        events: (0..n).map(event).collect(),
    };
    store.append(run, &batch).unwrap();
    store.finish_run(run, &done(n, 100)).unwrap();
    run
}

/// How many of a run's flaws of a severity have a picture; each flaw has one or a mark.
fn n_pictures(store: &Store, run: RunId, severity: &str) -> usize {
    let marks = store.crops_not_there(run).unwrap();
    let flaws = store.flaws(run).unwrap();
    for flaw in &flaws {
        let mark = marks.iter().find(|(id, _)| *id == flaw.id);
        assert_ne!(flaw.has_crop, mark.is_some(), "{flaw:?}: {mark:?}");
        assert_eq!(store.crop(flaw.id).unwrap().is_some(), flaw.has_crop);
        assert!(mark.is_none_or(|(_, why)| is_removal(why)), "{mark:?}");
    }
    let wanted = flaws.iter().filter(|flaw| flaw.severity == severity);
    wanted.filter(|flaw| flaw.has_crop).count()
}

#[test]
fn what_is_older_than_its_rule_goes_and_pictures_leave_a_mark() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        let flaws = (0..20).map(|nth| flaw(nth, "severe", 100)).collect();
        let run = run_of(&mut store, "R-1", flaws);
        let (kept, covered) = (store.flaws(run).unwrap(), store.coverage(run).unwrap());
        let every = RetentionRules {
            candidates: days(90),
            crops: days(365),
            events: days(730),
            ..rules()
        };
        // Nothing is due today; the pictures are in a year, the candidates long before.
        assert!(planned(&store, &every, now_us()).is_empty());
        let plan = planned(&store, &every, now_us() + 85 * DAY_US);
        let candidates = plan.kinds[0];
        assert_eq!((candidates.now.n, candidates.within_day.n), (0, 0));
        assert_eq!((candidates.all.n, candidates.within_week.n), (21, 21));

        let at = now_us() + 400 * DAY_US;
        let mut plan = planned(&store, &every, at);
        let all = Amount { n: 20, bytes: 2000 };
        assert_eq!(now_of(&plan, RetentionKind::Crops), all);
        assert_eq!(now_of(&plan, RetentionKind::Events).n, 0);
        let removed = carried_out(&mut store, &mut plan);
        let kinds: Vec<RetentionKind> = removed.iter().map(|step| step.kind).collect();
        assert!(kinds.is_sorted(), "candidates first: {kinds:?}");
        assert!(plan.is_empty());

        assert_eq!(n_pictures(&store, run, "severe"), 0);
        assert_eq!(store.candidates(run).unwrap(), []);
        assert_eq!(store.events(run).unwrap().len(), 21);
        let mark = store.crop_left_out(kept[3].id).unwrap().unwrap();
        assert_eq!(mark.place, crop(3).place);
        let said = "by retention: pictures are kept for 365 days";
        assert!(mark.why.starts_with("removed on 20"), "{mark:?}");
        assert!(mark.why.ends_with(said), "{mark:?}");
        assert_eq!(store.crops_left_out(run).unwrap(), 0, "no disk was full");
        let stay: Vec<_> = store.flaws(run).unwrap();
        assert_eq!(stay.len(), kept.len());
        assert!(stay.iter().zip(&kept).all(|(now, then)| now.id == then.id));
        assert_eq!(store.coverage(run).unwrap(), covered);
        assert_eq!(store.rolls().unwrap()[0].n_flaws, 20);
        assert!(planned(&store, &every, at).is_empty(), "nothing goes twice");
        let mut plan = planned(&store, &every, at + 400 * DAY_US);
        carried_out(&mut store, &mut plan);
        assert_eq!(store.events(run).unwrap(), []);
    });
}

#[test]
fn beyond_its_size_the_oldest_run_loses_its_mildest_pictures_first() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        let flaws = || {
            let severities = ["severe", "minor", "major", "odd", "minor"];
            let flaws = severities.iter().zip(0..);
            flaws
                .map(|(severity, nth)| flaw(nth, severity, 100))
                .collect()
        };
        let runs = ["R-1", "R-2"].map(|roll| run_of(&mut store, roll, flaws()));
        let counts = |store: &Store| {
            runs.map(|run| {
                let count = |severity| n_pictures(store, run, severity);
                ["minor", "major", "severe", "odd"].map(count)
            })
        };
        for (most, expected) in [
            (1000, [[2, 1, 1, 1], [2, 1, 1, 1]]),
            (900, [[1, 1, 1, 1], [2, 1, 1, 1]]),
            // A picture is kept or not: rather a little less than too much.
            (710, [[0, 0, 1, 1], [2, 1, 1, 1]]),
            (600, [[0, 0, 0, 1], [2, 1, 1, 1]]),
            (400, [[0, 0, 0, 0], [1, 1, 1, 1]]),
        ] {
            let sized = RetentionRules {
                crops: up_to(most),
                ..rules()
            };
            let mut plan = planned(&store, &sized, now_us());
            carried_out(&mut store, &mut plan);
            assert_eq!(counts(&store), expected, "up to {most} bytes");
            assert!(planned(&store, &sized, now_us()).is_empty());
        }
        let marks = store.crops_not_there(runs[0]).unwrap();
        assert!(
            marks[0].1.ends_with("pictures are kept up to 0 GiB"),
            "{marks:?}"
        );
    });
}

#[test]
fn candidates_and_events_go_by_size_from_the_oldest_on() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        let runs = ["R-1", "R-2"].map(|roll| run_of(&mut store, roll, Vec::new()));
        let more = Batch {
            candidates: vec![
                NewCandidate {
                    rect: rect(0, 1, 0, 1),
                    score: 0.9
                };
                2000
            ],
            ..Batch::default()
        };
        let third = begun(&mut store, "R-3");
        store.append(third, &more).unwrap();
        let all = planned(&store, &rules(), now_us()).kinds[0].all;
        assert_eq!(all.n, 2002);
        let sized = RetentionRules {
            candidates: up_to(all.bytes / 2),
            events: up_to(1),
            ..rules()
        };
        let mut plan = planned(&store, &sized, now_us());
        carried_out(&mut store, &mut plan);
        let n_left = |run| store.candidates(run).unwrap().len();
        assert_eq!(
            (n_left(runs[0]), n_left(runs[1]), n_left(third)),
            (0, 0, 1001)
        );
        assert_eq!(store.events(runs[1]).unwrap(), []);
    });
}

/// What a plan did not come to do, because its process ended, the next one does; two at a time do no harm.
#[test]
fn a_plan_that_was_left_is_gone_on_with_by_the_next_beside_another() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        let flaws = (0..600).map(|nth| flaw(nth, "minor", 3000)).collect();
        let run = run_of(&mut store, "R-1", flaws);
        let aged = RetentionRules {
            crops: days(30),
            ..rules()
        };
        let at = now_us() + 60 * DAY_US;
        let mut plan = planned(&store, &aged, at);
        let mut beside = planned(&store, &aged, at);
        let first = store.retention_step(&mut plan).unwrap().unwrap();
        assert!(first.amount.n > 0);
        assert_eq!(
            n_pictures(&store, run, "minor") as u64,
            600 - first.amount.n
        );
        // The other one has read what is not there any more.
        let mut other = Store::open(url).unwrap();
        let n_beside: u64 = carried_out(&mut other, &mut beside)
            .iter()
            .map(|step| step.amount.n)
            .sum();
        assert_eq!(first.amount.n + n_beside, 600);
        let rest = carried_out(&mut store, &mut plan);
        assert_eq!(rest.iter().map(|step| step.amount.n).sum::<u64>(), 0);
        assert_eq!(n_pictures(&store, run, "minor"), 0);
    });
}

/// From one page of a line to the next, at two hundred frames a second.
const LINE_PAUSE: Duration = Duration::from_millis(5);

/// A line that writes while much is removed waits no longer than it says, and loses nothing.
#[test]
fn removing_makes_no_writer_wait() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        for roll in 0..4 {
            let flaws = (0..500).map(|nth| flaw(nth, "minor", PICTURE_BYTES));
            run_of(&mut store, &format!("R-{roll}"), flaws.collect());
        }
        let aged = RetentionRules {
            candidates: days(30),
            crops: days(30),
            ..rules()
        };
        let run = begun(&mut store, "now");
        let ended = AtomicBool::new(false);
        let (mut steps, mut waits) = (Vec::new(), Vec::new());
        std::thread::scope(|scope| {
            let removing = scope.spawn(|| {
                let mut own = Store::open(url).unwrap();
                let mut plan = planned(&own, &aged, now_us() + 60 * DAY_US);
                let steps = carried_out(&mut own, &mut plan);
                ended.store(true, Ordering::SeqCst);
                steps
            });
            // No picture of the run that is on is old; its flaws have none.
            for nth in 0.. {
                let since = Instant::now();
                let batch = Batch {
                    coverage: vec![inspected(rect(nth, nth + 1, 0, 100))],
                    flaws: vec![NewFlaw {
                        crop: None,
                        ..hole(nth, 1)
                    }],
                    ..Batch::default()
                };
                store.append(run, &batch).unwrap();
                waits.push(since.elapsed());
                // A line that wrote without a break would leave no turn to anybody: SQLite's lock has no
                // queue.
                std::thread::sleep(LINE_PAUSE);
                if ended.load(Ordering::SeqCst) {
                    break;
                }
            }
            steps = removing.join().unwrap();
        });
        assert_eq!(store.flaws(run).unwrap().len(), waits.len());
        let bytes: u64 = steps.iter().map(|step| step.amount.bytes).sum();
        assert!(bytes >= (4 * 500 * PICTURE_BYTES) as u64, "{bytes}");
        let mut held: Vec<Duration> = steps.iter().map(|step| step.held).collect();
        held.sort();
        waits.sort();
        let of = |times: &[Duration], share: usize| times[(times.len() - 1) * share / 100];
        crate::measured(&format!(
            "removed {} MiB in {} steps; a writer was held up for {:?} in the middle, {:?} in 95 of 100, {:?} at most; {} appends took {:?}, {:?}, {:?}",
            bytes >> 20,
            held.len(),
            of(&held, 50),
            of(&held, 95),
            of(&held, 100),
            waits.len(),
            of(&waits, 50),
            of(&waits, 95),
            of(&waits, 100)
        ));
        // A machine that does other things may stop a thread for longer, once in a while.
        assert!(of(&held, 90) <= HELD_MOST, "{held:?}");
    });
}

#[test]
fn what_was_freed_in_a_file_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.db");
    let mut store = Store::open(path.to_str().unwrap()).unwrap();
    let pictures = || {
        (0..500)
            .map(|nth| flaw(nth, "minor", PICTURE_BYTES))
            .collect()
    };
    run_of(&mut store, "R-1", pictures());
    let full = store.file_bytes().unwrap().unwrap();
    assert!(full.reusable < full.all / 50, "{full:?}");
    let aged = RetentionRules {
        crops: days(30),
        ..rules()
    };
    let mut plan = planned(&store, &aged, now_us() + 60 * DAY_US);
    carried_out(&mut store, &mut plan);
    let freed = store.file_bytes().unwrap().unwrap();
    assert_eq!(freed.all, full.all, "the file does not shrink");
    assert!(
        freed.reusable as usize > 500 * PICTURE_BYTES * 9 / 10,
        "{freed:?}"
    );
    run_of(&mut store, "R-2", pictures());
    let again = store.file_bytes().unwrap().unwrap();
    assert!(
        again.all < full.all * 103 / 100,
        "{full:?} {freed:?} {again:?}"
    );
    assert_eq!(Store::open(":memory:").unwrap().file_bytes().unwrap(), None);
}

#[test]
fn what_rows_take_is_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.db");
    let mut store = Store::open(path.to_str().unwrap()).unwrap();
    let run = begun(&mut store, "R-1");
    let grown = |store: &mut Store, batch: &dyn Fn(i64) -> Batch| {
        let before = store.file_bytes().unwrap().unwrap().all;
        for nth in 0..200 {
            store.append(run, &batch(nth)).unwrap();
        }
        store.file_bytes().unwrap().unwrap().all - before
    };
    let candidates = |nth: i64| Batch {
        candidates: (0..50)
            .map(|more| NewCandidate {
                rect: rect(nth, nth + 1, more, more + 2),
                score: 0.5,
            })
            .collect(),
        ..Batch::default()
    };
    let events = |nth: i64| Batch {
        events: (0..50)
            .map(|more| NewEvent {
                at_us: now_us(),
                kind: "drift".to_owned(),
                severity: EventSeverity::Info,
                message: format!("the lamp is {more} % darker than it was, {nth}"),
            })
            .collect(),
        ..Batch::default()
    };
    for (kind, took) in [
        (RetentionKind::Candidates, grown(&mut store, &candidates)),
        (RetentionKind::Events, grown(&mut store, &events)),
    ] {
        let plan = planned(&store, &rules(), now_us());
        let said = plan
            .kinds
            .iter()
            .find(|plan| plan.kind == kind)
            .unwrap()
            .all;
        assert_eq!(said.n, 10_000);
        let share = said.bytes as f64 / took as f64;
        assert!(
            (0.85..1.15).contains(&share),
            "{kind:?}: {said:?}, the file grew by {took}"
        );
    }
}
