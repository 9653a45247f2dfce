//! One store from its first article to the list of rolls; the same check for every server.

use store::{
    Batch, ClothWidth, CoverageTotals, EndState, EventSeverity, LengthKnown, NewCandidate,
    NewEvent, NewRun, RollChoice, RunEnd, RunState, Store, StoreError,
};

use crate::cloth::{
    begun, beside, covers, crop, digest, done, gap, hole, inspected, mm, model, name, new_run, rect,
};
use crate::servers::on_both;

#[test]
fn a_whole_life_on_either_server() {
    on_both(check_a_whole_life);
}

/// Everything that the store promises, on an empty database.
fn check_a_whole_life(url: &str) {
    let mut store = Store::open(url).unwrap();
    check_models(&mut store);
    check_hostile_names(&mut store);
    check_a_roll(&mut store);
    check_refusals(&mut store);
    check_rolls_of_one_number(&mut store);
    // What was written is there for another connection, which cannot write.
    drop(store);
    let mut looking = Store::open_existing(url).unwrap();
    assert_eq!(
        looking
            .flaws(looking.latest_run(&name("R-1")).unwrap().unwrap().id)
            .unwrap()
            .len(),
        3
    );
    let refused = looking.ensure_article(&name("new"));
    assert!(
        matches!(refused, Err(StoreError::ReadOnly { .. })),
        "{refused:?}"
    );
    drop(looking);
    assert!(
        !Store::open(url).unwrap().rolls().unwrap().is_empty(),
        "opening again lost something"
    );
}

fn check_models(store: &mut Store) {
    let twill = name("twill");
    assert_eq!(store.article(&twill).unwrap(), None);
    assert_eq!(store.active_model(&twill).unwrap(), None);

    let kept = store.register_model(&model("twill", 'a')).unwrap();
    assert_eq!(store.register_model(&model("twill", 'a')).unwrap(), kept);
    store.register_model(&model("twill", 'b')).unwrap();
    store.register_model(&model("plain", 'c')).unwrap();
    assert_eq!(
        store.ensure_article(&twill).unwrap(),
        store.article(&twill).unwrap().unwrap()
    );
    assert_eq!(store.articles().unwrap().len(), 2);
    let digests: Vec<_> = store
        .models(&twill)
        .unwrap()
        .into_iter()
        .map(|m| m.digest)
        .collect();
    assert_eq!(digests, [digest('b'), digest('a')]);

    // A digest stands for one content, for ever.
    let mut other = model("twill", 'a');
    other.passport_json = "{}".to_owned();
    let refused = store.register_model(&other);
    assert!(
        matches!(
            refused,
            Err(StoreError::ModelDiffers {
                what: "passport",
                ..
            })
        ),
        "{refused:?}"
    );
    other = model("twill", 'a');
    other.article = name("plain");
    let refused = store.register_model(&other);
    assert!(
        matches!(
            refused,
            Err(StoreError::ModelDiffers {
                what: "article",
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(store.model(&digest('a')).unwrap().unwrap(), kept);

    // The latest choice holds; going back is another choice.
    for digit in ['a', 'b', 'a', 'b', 'a'] {
        store.activate_model(&twill, &digest(digit)).unwrap();
        assert_eq!(
            store.active_model(&twill).unwrap().unwrap().digest,
            digest(digit)
        );
    }
    assert_eq!(store.active_model(&name("plain")).unwrap(), None);
    for (article, digit) in [("plain", 'a'), ("twill", 'f')] {
        let refused = store.activate_model(&name(article), &digest(digit));
        assert!(
            matches!(refused, Err(StoreError::Unknown { .. })),
            "{refused:?}"
        );
    }
}

fn check_hostile_names(store: &mut Store) {
    for hostile in [
        "'; DROP TABLE runs; --",
        "\" OR \"\"=\"",
        "$1 ? :name @x %s {}",
        "Ω≈ç√ 染織 🧵",
        "NULL",
    ] {
        let article = store.ensure_article(&name(hostile)).unwrap();
        assert_eq!(article.name, name(hostile));
        assert_eq!(store.article(&name(hostile)).unwrap(), Some(article));
        let run = begun(store, hostile);
        assert_eq!(store.latest_run(&name(hostile)).unwrap().unwrap().id, run);
        assert_eq!(store.runs_of(&name(hostile)).unwrap().len(), 1);
    }
    let refused = store.ensure_article(&name("../escape"));
    assert!(
        matches!(refused, Err(StoreError::Invalid { .. })),
        "{refused:?}"
    );
}

fn check_a_roll(store: &mut Store) {
    let run = begun(store, "R-1");
    let kept = store.run(run).unwrap();
    assert_eq!(
        (kept.state, kept.ended_at_us, kept.length_um),
        (RunState::Running, None, None)
    );
    assert_eq!(
        (kept.mm_per_px, kept.station),
        (0.1 + 0.2, Some(name("loom 7")))
    );

    // A thousand metres in steps of a metre are as many rows as there were changes.
    for metre in 0..1000 {
        let (from, to) = (metre * 1000, metre * 1000 + 1000);
        let middle = rect(from, to, 10, 1500);
        let cloth = match metre {
            400..410 => gap(middle, "overload"),
            410 => gap(middle, "too dark"),
            _ => inspected(middle),
        };
        store
            .append(run, &covers(vec![beside(rect(from, to, 0, 10)), cloth]))
            .unwrap();
    }
    let ledger = store.coverage(run).unwrap();
    assert_eq!(
        ledger,
        [
            beside(rect(0, 1_000_000, 0, 10)),
            inspected(rect(0, 400_000, 10, 1500)),
            gap(rect(400_000, 410_000, 10, 1500), "overload"),
            gap(rect(410_000, 411_000, 10, 1500), "too dark"),
            inspected(rect(411_000, 1_000_000, 10, 1500)),
        ]
    );
    let totals = store.coverage_totals(run).unwrap();
    assert_eq!(totals.sum_um2().unwrap(), mm(1_000_000) * mm(1500));
    assert_eq!(totals.gap_um2().unwrap(), mm(11_000) * mm(1490));
    assert_eq!(totals.gaps_um2["overload"], mm(10_000) * mm(1490));
    assert_eq!(totals, CoverageTotals::of(&ledger).unwrap());

    let plain = Batch {
        flaws: vec![hole(9000, 5), hole(100, 900), hole(100, 30)],
        candidates: vec![NewCandidate {
            rect: rect(1, 2, 3, 4),
            score: 0.75,
        }],
        events: vec![NewEvent {
            at_us: 5,
            kind: "lamp".to_owned(),
            severity: EventSeverity::Warning,
            message: "it is 3 % darker\nthan yesterday".to_owned(),
        }],
        ..Batch::default()
    };
    let ids = store.append(run, &plain).unwrap();
    let flaws = store.flaws(run).unwrap();
    let in_cloth_order: Vec<_> = flaws.iter().map(|flaw| flaw.id).collect();
    assert_eq!(in_cloth_order, [ids[2], ids[1], ids[0]]);
    assert_eq!(
        (flaws[0].rect, flaws[0].score, flaws[0].has_crop),
        (rect(100, 104, 30, 34), 1.5, true)
    );
    assert_eq!(store.crop(ids[0]).unwrap(), Some(crop(9000)));
    assert_eq!(store.candidates(run).unwrap()[0].score, 0.75);
    assert_eq!(
        store.events(run).unwrap()[0].message,
        plain.events[0].message
    );

    store.record_event(&plain.events[0]).unwrap();
    assert_eq!(store.loose_events(10).unwrap().len(), 1);
    assert_eq!(store.events(run).unwrap().len(), 1);

    store.finish_run(run, &done(1_000_000, 1500)).unwrap();
    let summary = &store.rolls().unwrap()[0];
    assert_eq!(
        (summary.number.as_str(), summary.article.as_str()),
        ("R-1", "twill")
    );
    assert_eq!(
        (summary.latest_run, summary.state, summary.n_runs),
        (run, RunState::Done, 1)
    );
    assert_eq!(
        (summary.n_flaws, summary.gap_um2),
        (3, mm(11_000) * mm(1490))
    );
    assert_eq!(summary.length_um, Some(mm(1_000_000)));
    let ended = store.run(run).unwrap();
    assert!(ended.started_at_us <= ended.written_at_us);
    assert!(ended.ended_at_us.unwrap() >= ended.written_at_us);
}

fn check_refusals(store: &mut Store) {
    let ended = store.latest_run(&name("R-1")).unwrap().unwrap().id;
    let refused = store.append(ended, &Batch::default());
    assert!(
        matches!(
            refused,
            Err(StoreError::RunEnded {
                state: RunState::Done,
                ..
            })
        ),
        "{refused:?}"
    );
    let refused = store.finish_run(ended, &done(1, 1));
    assert!(
        matches!(refused, Err(StoreError::RunEnded { .. })),
        "{refused:?}"
    );

    let nobody = "01890000-0000-7000-8000-000000000000".parse().unwrap();
    let refused = store.append(nobody, &Batch::default());
    assert!(
        matches!(refused, Err(StoreError::Unknown { what: "run", .. })),
        "{refused:?}"
    );
    let mut unknown_model = new_run("twill", "R-0");
    unknown_model.model = digest('f');
    let refused = store.begin_run(&unknown_model);
    assert!(
        matches!(refused, Err(StoreError::Unknown { what: "model", .. })),
        "{refused:?}"
    );
    let refused = store.begin_run(&new_run("plain", "R-0"));
    assert!(
        matches!(refused, Err(StoreError::Invalid { what: "model", .. })),
        "{refused:?}"
    );
    assert!(store.runs_of(&name("R-0")).unwrap().is_empty());

    // The last flaw of a batch is refused: nothing of the batch is there.
    let run = begun(store, "R-2");
    let mut bad = hole(2, 2);
    bad.score = f64::NAN;
    let batch = Batch {
        coverage: vec![inspected(rect(0, 1, 0, 1))],
        flaws: vec![hole(1, 1), bad],
        ..Batch::default()
    };
    let refused = store.append(run, &batch);
    assert!(
        matches!(refused, Err(StoreError::Invalid { what: "score", .. })),
        "{refused:?}"
    );
    assert_eq!(
        (store.flaws(run).unwrap(), store.coverage(run).unwrap()),
        (vec![], vec![])
    );
    let refused = store.append(run, &covers(vec![gap(rect(0, 1, 0, 1), "")]));
    assert!(
        matches!(refused, Err(StoreError::Invalid { what: "gap", .. })),
        "{refused:?}"
    );
    let end = RunEnd {
        state: EndState::Aborted,
        message: Some("lamp off".to_owned()),
        ..done(5, 5)
    };
    store.finish_run(run, &end).unwrap();
    let aborted = store.run(run).unwrap();
    assert_eq!(
        (aborted.state, aborted.message),
        (RunState::Aborted, Some("lamp off".to_owned()))
    );
}

#[test]
fn a_run_s_end_says_how_its_length_was_known() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        for (at_end, kept) in [
            (None, LengthKnown::Encoder),
            (Some(LengthKnown::Measured), LengthKnown::Measured),
            (Some(LengthKnown::Nominal), LengthKnown::Nominal),
        ] {
            let run = begun(&mut store, "R-1");
            assert_eq!(store.run(run).unwrap().length_known, LengthKnown::Encoder);
            let end = RunEnd {
                length_known: at_end,
                ..done(5, 5)
            };
            store.finish_run(run, &end).unwrap();
            assert_eq!(store.run(run).unwrap().length_known, kept);
        }
    });
}

#[test]
fn a_run_keeps_its_order_and_how_wide_its_cloth_was() {
    on_both(|url| {
        let mut store = Store::open(url).unwrap();
        store.register_model(&model("twill", 'a')).unwrap();
        let ordered = NewRun {
            order: Some(name("4500/17 Köper")),
            ..new_run("twill", "R-1")
        };
        let run = store.begin_run(&ordered).unwrap();
        let width = ClothWidth {
            min_um: 1_498_000,
            mean_um: 1_500_250,
            max_um: 1_503_100,
        };
        let upside_down = ClothWidth {
            min_um: width.max_um,
            ..width
        };
        let end = |cloth_width| RunEnd {
            cloth_width,
            ..done(5, 1600)
        };
        let refused = store.finish_run(run, &end(Some(upside_down)));
        assert!(matches!(refused, Err(StoreError::Invalid { .. })));
        store.finish_run(run, &end(Some(width))).unwrap();
        let kept = store.run(run).unwrap();
        assert_eq!((kept.order, kept.cloth_width), (ordered.order, Some(width)));

        let run = store.begin_run(&new_run("twill", "R-1")).unwrap();
        store.finish_run(run, &end(None)).unwrap();
        let kept = store.run(run).unwrap();
        assert_eq!((kept.order, kept.cloth_width), (None, None));
    });
}

fn check_rolls_of_one_number(store: &mut Store) {
    let first = begun(store, "R-3");
    let again = begun(store, "R-3");
    let mut another_piece = new_run("twill", "R-3");
    another_piece.roll_choice = RollChoice::New;
    let other = store.begin_run(&another_piece).unwrap();
    let roll_of = |run| store.run(run).unwrap().roll;
    assert_eq!(roll_of(first), roll_of(again));
    assert_ne!(roll_of(first), roll_of(other));
    let runs: Vec<_> = store
        .runs_of(&name("R-3"))
        .unwrap()
        .iter()
        .map(|run| run.id)
        .collect();
    assert_eq!(runs, [other, again, first]);
    let rolls = store.rolls().unwrap();
    let n_runs: Vec<_> = rolls
        .iter()
        .filter(|r| r.number == name("R-3"))
        .map(|r| r.n_runs)
        .collect();
    assert_eq!(n_runs, [1, 2]);
}

#[test]
fn cells_are_joined_only_where_nothing_changed() {
    check_joined_cells(":memory:");
    on_both(check_joined_cells);
}

fn check_joined_cells(url: &str) {
    let mut store = Store::open(url).unwrap();
    let run = begun(&mut store, "joined");
    let cells = vec![
        inspected(rect(0, 10, 0, 5)),
        inspected(rect(0, 10, 5, 9)),
        inspected(rect(10, 20, 0, 5)),
        // A hole in the ledger is not closed by joining.
        inspected(rect(21, 30, 0, 5)),
        // The same width, another state, then the first state again.
        gap(rect(30, 31, 0, 5), "frame lost"),
        inspected(rect(31, 40, 0, 5)),
        inspected(rect(10, 20, 5, 9)),
        // Another width.
        inspected(rect(20, 30, 5, 8)),
    ];
    let expected = [
        inspected(rect(0, 20, 0, 5)),
        inspected(rect(0, 20, 5, 9)),
        inspected(rect(20, 30, 5, 8)),
        inspected(rect(21, 30, 0, 5)),
        gap(rect(30, 31, 0, 5), "frame lost"),
        inspected(rect(31, 40, 0, 5)),
    ];
    store.append(run, &covers(cells.clone())).unwrap();
    assert_eq!(store.coverage(run).unwrap(), expected);

    // One batch or many: the same ledger.
    let run = begun(&mut store, "one by one");
    for cell in cells {
        store.append(run, &covers(vec![cell])).unwrap();
    }
    assert_eq!(store.coverage(run).unwrap(), expected);
}
