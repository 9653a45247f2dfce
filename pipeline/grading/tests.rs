//! Tests of grading: worked examples, counted by hand, and what holds for every roll and rule.
//!
//! Cloth is described in metres and mm from the roll's start, and runs from 0 to its width across.

use std::time::Instant;

use store::CoverState;

use super::*;

/// A flaw by where it begins and how long it is, in mm, along and across.
pub(super) fn flaw(
    class: Class,
    severity: Severity,
    along: (f64, f64),
    across: (f64, f64),
) -> GradedFlaw {
    let um = |(from, long): (f64, f64)| {
        let from = (from * 1e3).round() as i64;
        from..from + (long * 1e3).round() as i64
    };
    GradedFlaw {
        rect: Rect::new(um(along), um(across)).unwrap(),
        class,
        severity,
        id: String::new(),
    }
}

/// A slub that begins `at` mm along and is so long along and across.
fn slub(at: f64, along: f64, across: f64) -> GradedFlaw {
    flaw(Class::Slub, Severity::Minor, (at, along), (300.0, across))
}

/// A roll without gaps, by its length in m and its width in mm.
pub(super) fn roll(length_m: f64, width_mm: f64, flaws: &[GradedFlaw]) -> InspectedRoll {
    let (length, width) = (
        (length_m * 1e6).round() as i64,
        (width_mm * 1e3).round() as i64,
    );
    let cell = CoverageCell {
        rect: Rect::new(0..length, 0..width).unwrap(),
        state: CoverState::Inspected,
    };
    InspectedRoll::new(length, &[cell], flaws.to_vec(), Missing::default()).unwrap()
}

fn built_in(name: &str) -> Rules {
    Rules::find(name).unwrap()
}

/// The metric four-point rules, with one text in place of another.
fn changed(from: &str, to: &str) -> Rules {
    let text = include_str!("../../rules/four-point.toml");
    assert!(text.contains(from), "{from:?}");
    Rules::parse(&text.replace(from, to)).unwrap()
}

fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 0.005,
        "{found} is not {expected}"
    );
}

/// Points of one flaw, on 10 m of 1500 mm.
fn points_of(rules: &Rules, flaw: GradedFlaw) -> u64 {
    grade(&roll(10.0, 1500.0, &[flaw]), rules).points
}

#[test]
fn four_point_steps_in_mm_and_in_inches() {
    let (metric, inch) = (built_in("four-point"), built_in("four-point-yd"));
    for (mm, points) in [
        (1.0, 1),
        (75.0, 1),
        (75.001, 2),
        (150.0, 2),
        (150.001, 3),
        (230.0, 3),
        (230.001, 4),
        (1000.0, 4),
    ] {
        assert_eq!(
            points_of(&metric, slub(100.0, mm, 1.0)),
            points,
            "{mm} mm along"
        );
        assert_eq!(
            points_of(&metric, slub(100.0, 1.0, mm)),
            points,
            "{mm} mm across"
        );
    }
    for (inches, points) in [
        (3.0, 1),
        (3.001, 2),
        (6.0, 2),
        (6.001, 3),
        (9.0, 3),
        (9.001, 4),
        (36.0, 4),
    ] {
        assert_eq!(
            points_of(&inch, slub(100.0, inches * 25.4, 1.0)),
            points,
            "{inches} in along"
        );
        assert_eq!(
            points_of(&inch, slub(100.0, 1.0, inches * 25.4)),
            points,
            "{inches} in across"
        );
    }
    // Between 75 mm and 3 in the two differ.
    assert_eq!(points_of(&metric, slub(0.0, 76.0, 1.0)), 2);
    assert_eq!(points_of(&inch, slub(0.0, 76.0, 1.0)), 1);
}

#[test]
fn ten_point_steps_differ_by_direction_and_width() {
    let rules = built_in("ten-point");
    let of = |along_in: f64, across_in: f64| {
        // 40 inches wide, so half of the width is 20 inches.
        let flaw = slub(100.0, along_in * 25.4, across_in * 25.4);
        grade(&roll(9.144, 1016.0, &[flaw]), &rules).points
    };
    let warp = [
        (1.0, 1),
        (1.001, 3),
        (5.0, 3),
        (5.001, 5),
        (10.0, 5),
        (10.001, 10),
        (36.0, 10),
    ];
    for (inches, points) in warp {
        assert_eq!(of(inches, 0.1), points, "warp, {inches} in");
    }
    let weft = [
        (1.0, 1),
        (1.001, 3),
        (5.0, 3),
        (5.001, 5),
        (20.0, 5),
        (20.001, 10),
        (40.0, 10),
    ];
    for (inches, points) in weft {
        assert_eq!(of(0.1, inches), points, "weft, {inches} in");
    }
    assert_eq!(of(37.0, 0.1), 20, "a second yard has begun");
}

#[test]
fn a_roll_in_yards_by_hand() {
    // 120 yd of 48 in. 2 in: 1, 4 in: 2, 8 in: 3, 12 in: 4, a small hole: 2, a large one: 4, and an end
    // out over 2.5 yd, three yards begun: 12. Together 28, each in yards of its own.
    let yd = |yards: f64| yards * 914.4;
    let hole = |at: f64, mm: f64| flaw(Class::Hole, Severity::Severe, (at, mm), (500.0, mm));
    let flaws = [
        slub(yd(1.5), 50.8, 2.0),
        slub(yd(10.5), 2.0, 101.6),
        slub(yd(20.5), 203.2, 2.0),
        slub(yd(30.5), 2.0, 304.8),
        hole(yd(40.5), 25.4),
        hole(yd(50.5), 25.5),
        flaw(
            Class::EndOut,
            Severity::Severe,
            (yd(60.25), yd(2.5)),
            (700.0, 1.0),
        ),
    ];
    let grade = grade(
        &roll(120.0 * 0.9144, 48.0 * 25.4, &flaws),
        &built_in("four-point-yd"),
    );
    assert_eq!(grade.points, 28);
    let points: Vec<u64> = grade.flaws.iter().map(|flaw| flaw.points).collect();
    assert_eq!(points, [1, 2, 3, 4, 2, 4, 12]);
    // 3600 x 28 / (48 x 120) and 100 x 28 / 120.
    near(grade.rate(Rate::Per100Yd2), 17.5);
    near(grade.rate(Rate::Per100Yd), 23.333);
    // 28 / (1.2192 m x 109.728 m) x 100.
    near(grade.rate(Rate::Per100M2), 20.930);
    assert_eq!(grade.quality(), Some("A"));
    assert_eq!(
        grade.why,
        ["A: 17.50 points per 100 yd², up to 25 are taken"]
    );
}

#[test]
fn a_roll_in_metres_by_hand() {
    // 50 m of 1600 mm: 76 mm: 2, 150 mm: 2, 231 mm: 4, a hole of 2 mm: 4, a pick from edge to edge: 4.
    let mut flaws = vec![
        slub(500.0, 76.0, 1.0),
        slub(1500.0, 1.0, 150.0),
        slub(2500.0, 231.0, 1.0),
        flaw(Class::Hole, Severity::Severe, (3500.0, 2.0), (9.0, 2.0)),
        flaw(
            Class::Mispick,
            Severity::Severe,
            (4500.0, 1.0),
            (0.0, 1600.0),
        ),
    ];
    let rules = built_in("four-point");
    let first = grade(&roll(50.0, 1600.0, &flaws), &rules);
    assert_eq!(first.points, 16);
    // 100000 x 16 / (1600 x 50).
    near(first.rate(Rate::Per100M2), 20.0);
    near(first.rate(Rate::Per100M), 32.0);
    near(first.rate(Rate::Per100Yd2), 16.722);
    assert!(first.is_first());
    // Three points more are 23.75, a fourth is 25.
    flaws.extend((0..3).map(|nth| slub(10_500.0 + 1000.0 * f64::from(nth), 10.0, 1.0)));
    assert!(grade(&roll(50.0, 1600.0, &flaws), &rules).is_first());
    flaws.push(slub(20_500.0, 10.0, 1.0));
    let second = grade(&roll(50.0, 1600.0, &flaws), &rules);
    assert_eq!((second.points, second.quality()), (20, Some("second")));
    assert_eq!(
        second.why,
        ["not first: 25.00 points per 100 m², at most 24 are taken"]
    );
}

#[test]
fn a_limit_is_kept_to_the_last_thousandth() {
    // 24 points on exactly 100 m² are kept; on a micrometre less of length they are not.
    let flaws: Vec<_> = (0..24)
        .map(|nth| slub(500.0 + 1000.0 * f64::from(nth), 10.0, 1.0))
        .collect();
    let rules = built_in("four-point");
    assert!(grade(&roll(62.5, 1600.0, &flaws), &rules).is_first());
    assert!(!grade(&roll(62.499_999, 1600.0, &flaws), &rules).is_first());
    // Ten-point: as many points as yards.
    let ten = built_in("ten-point");
    assert!(grade(&roll(24.0 * 0.9144, 1600.0, &flaws), &ten).is_first());
    assert!(!grade(&roll(23.9 * 0.9144, 1600.0, &flaws), &ten).is_first());
}

#[test]
fn a_metre_has_no_more_than_its_cap_and_the_worst_are_told() {
    let flaws: Vec<_> = (0..6)
        .map(|nth| slub(3100.0 + 100.0 * f64::from(nth), 80.0, 1.0))
        .chain([slub(8000.0, 10.0, 1.0), slub(999.0, 300.0, 1.0)])
        .collect();
    let grade = grade(&roll(10.0, 1500.0, &flaws), &built_in("four-point"));
    // Metre 4 would have 12, metre 1 has the 4 of what begins in it, metre 9 one.
    assert_eq!(grade.points, 4 + 4 + 1);
    let worst: Vec<_> = (grade.worst.iter())
        .map(|metre| (metre.along.start / METRE_UM, metre.points, metre.uncapped))
        .collect();
    assert_eq!(worst, [(3, 4, 12), (0, 4, 4), (8, 1, 1)]);
}

#[test]
fn a_flaw_that_runs_costs_four_for_each_metre_begun() {
    let rules = built_in("four-point");
    for (at, mm, points) in [
        (500.0, 1000.0, 4),
        (500.0, 1000.001, 8),
        (500.0, 2000.0, 8),
        (0.0, 9999.0, 40),
        (9500.0, 1000.0, 4),
    ] {
        assert_eq!(
            points_of(&rules, slub(at, mm, 1.0)),
            points,
            "{mm} mm from {at} mm on"
        );
    }
    // Two beside each other are capped together.
    let two = [slub(0.0, 3000.0, 1.0), slub(500.0, 2000.0, 1.0)];
    assert_eq!(grade(&roll(10.0, 1500.0, &two), &rules).points, 12);
}

#[test]
fn what_varies_by_buyer_is_data() {
    let hole = |mm| flaw(Class::Hole, Severity::Severe, (500.0, mm), (500.0, mm));
    let by_size = "hole = [{ up_to = \"25 mm\", points = 2 }, { points = 4 }]";
    assert_eq!(points_of(&changed("hole = 4", by_size), hole(25.0)), 2);
    assert_eq!(points_of(&changed("hole = 4", by_size), hole(25.1)), 4);
    let pinhole = "hole = [{ up_to = \"2 mm\", points = 1 }, { points = 4 }]";
    assert_eq!(points_of(&changed("hole = 4", pinhole), hole(1.0)), 1);

    // Wider cloth may have more in a metre, in proportion: 4 x 2475 / 1650 = 6.
    let grown = changed(
        "width = \"actual\"",
        "width = \"actual\"\nmost_points_grow_from = \"1650 mm\"",
    );
    let many: Vec<_> = (0..9)
        .map(|nth| slub(100.0 * f64::from(nth), 10.0, 1.0))
        .collect();
    for (width, points) in [(1650.0, 4), (2000.0, 4), (2475.0, 6)] {
        assert_eq!(
            grade(&roll(10.0, width, &many), &grown).points,
            points,
            "{width} mm"
        );
    }

    // Areas by the width that was ordered: 100000 x 4 / (1000 x 10).
    let ordered = changed("width = \"actual\"", "width = \"1000 mm\"");
    let four = grade(&roll(10.0, 1500.0, &many), &ordered);
    near(four.rate(Rate::Per100M2), 40.0);
    near(
        grade(&roll(10.0, 1500.0, &many), &built_in("four-point")).rate(Rate::Per100M2),
        26.667,
    );

    let margins = changed(
        "width = \"actual\"",
        "width = \"actual\"\nedge_margin = \"25 mm\"\nend_margin = \"50 mm\"",
    );
    let at = |along, across| flaw(Class::Slub, Severity::Minor, (along, 10.0), (across, 10.0));
    for (along, across, points) in [
        (500.0, 15.0, 0),
        (500.0, 15.1, 1),
        (500.0, 1475.0, 0),
        (500.0, 1474.9, 1),
        (40.0, 700.0, 0),
        (40.1, 700.0, 1),
        (9950.0, 700.0, 0),
        (9949.9, 700.0, 1),
    ] {
        assert_eq!(
            points_of(&margins, at(along, across)),
            points,
            "{along} mm, {across} mm"
        );
    }
    let told = grade(
        &roll(10.0, 1500.0, &[at(500.0, 0.0), at(0.0, 700.0)]),
        &margins,
    )
    .why;
    assert!(
        told.contains(&"not counted: 1 flaw within 25 mm of a selvedge".to_owned()),
        "{told:?}"
    );
    assert!(told.contains(&"not counted: 1 flaw within 50 mm of an end of the roll".to_owned()));
}

#[test]
fn metres_that_are_too_narrow_cost_points() {
    let cell = |along: Range<i64>, across, state| CoverageCell {
        rect: Rect::new(along, across).unwrap(),
        state,
    };
    let ledger = [
        cell(0..3_000_000, 0..1_500_000, CoverState::Inspected),
        cell(3_000_000..5_000_000, 0..1_490_000, CoverState::Inspected),
        cell(
            3_000_000..5_000_000,
            1_490_000..1_500_000,
            CoverState::Beside,
        ),
    ];
    let roll = InspectedRoll::new(5_000_000, &ledger, vec![], Missing::default()).unwrap();
    let rules = |mm| {
        let narrow = format!("running = 4\nnarrow = {{ under = \"{mm} mm\", points = 4 }}");
        changed("running = 4", &narrow)
    };
    assert_eq!(grade(&roll, &rules(1490)).points, 0);
    let narrow = grade(&roll, &rules(1495));
    assert_eq!(narrow.points, 8);
    assert!(
        narrow
            .why
            .contains(&"2 metres are narrower than 1495 mm".to_owned()),
        "{narrow:?}"
    );
}

#[test]
fn a_flaw_that_runs_or_repeats_too_far_rejects_the_roll() {
    let rules = built_in("house-example");
    let runs = |m: f64| [slub(1000.0, m * 1e3, 1.0)];
    let far = grade(&roll(500.0, 1500.0, &runs(10.001)), &rules);
    assert_eq!(far.quality(), Some("rejected"));
    let why = "rejected: slub runs 10.00 m from 1.00 m on, more than 10 m";
    assert!(far.why.contains(&why.to_owned()), "{far:?}");
    assert!(
        !grade(&roll(500.0, 1500.0, &runs(10.0)), &rules)
            .by_points
            .contains("rejected")
    );

    let every = |mm: f64, n: i32| -> Vec<_> {
        (0..n)
            .map(|nth| slub(1000.0 + mm * f64::from(nth), 4.0, 4.0))
            .collect()
    };
    let repeats = grade(&roll(500.0, 1500.0, &every(628.0, 18)), &rules);
    assert_eq!(repeats.quality(), Some("rejected"), "{repeats:?}");
    assert!(
        repeats.why.iter().any(|why| why.contains("every 628.0 mm")),
        "{repeats:?}"
    );
    assert!(grade(&roll(500.0, 1500.0, &every(628.0, 16)), &rules).is_first());
}

#[test]
fn a_house_counts_by_class_and_severity() {
    let rules = built_in("house-example");
    let of = |class, severity| points_of(&rules, flaw(class, severity, (500.0, 9.0), (300.0, 9.0)));
    assert_eq!(of(Class::Slub, Severity::Minor), 1);
    assert_eq!(of(Class::Slub, Severity::Severe), 8);
    assert_eq!(of(Class::Stain, Severity::Moderate), 4);
    assert_eq!(of(Class::Hole, Severity::Minor), 10);
    assert_eq!(of(Class::Nep, Severity::Minor), 0);
}

#[test]
fn a_roll_with_gaps_is_no_first_quality_by_itself() {
    let with = |missing: Missing| {
        let mut roll = roll(10.0, 1500.0, &[]);
        roll.missing = missing;
        grade(&roll, &built_in("four-point"))
    };
    let gaps = with(Missing {
        n_gaps: 2,
        gap_um2: 21_000_000_000,
        ended_early: None,
    });
    let said = "first quality is withheld: 2 gaps, 0.0210 m² not inspected";
    assert_eq!(gaps.withheld.as_deref(), Some(said));
    assert_eq!((gaps.quality(), gaps.is_first()), (None, false));
    assert_eq!(gaps.by_points, "first");
    let cut = with(Missing {
        ended_early: Some("aborted".to_owned()),
        ..Missing::default()
    });
    assert_eq!(
        cut.withheld.as_deref(),
        Some("first quality is withheld: aborted")
    );
    assert!(with(Missing::default()).is_first());
    // What is not first by its points is what it is.
    let mut bad = roll(1.0, 1500.0, &[slub(0.0, 300.0, 1.0)]);
    bad.missing.n_gaps = 1;
    let bad = grade(&bad, &built_in("four-point"));
    assert_eq!((bad.quality(), &bad.withheld), (Some("second"), &None));
}

#[test]
fn what_cannot_be_graded_is_refused() {
    let cell = |state, to| CoverageCell {
        rect: Rect::new(0..to, 0..10).unwrap(),
        state,
    };
    let refused = |length, cells: &[CoverageCell]| {
        let roll = InspectedRoll::new(length, cells, vec![], Missing::default());
        format!("{:#}", roll.unwrap_err())
    };
    assert!(refused(0, &[]).contains("found a roll of 0 m"));
    assert!(refused(i64::MAX, &[]).contains("at most 100 km"));
    let dark = [cell(CoverState::Gap("too_dark".to_owned()), 10)];
    assert!(refused(10, &dark).contains("nothing was inspected"));
    assert!(refused(10, &[cell(CoverState::Inspected, i64::MAX / 10)]).contains("of the datum"));
}

#[test]
fn a_thousand_flaws_are_graded_again_in_no_time() {
    // 200 m whose edges wander from frame to frame, as the line writes them.
    let cell = |nth: i64, across, state| CoverageCell {
        rect: Rect::new(nth * 50_000..(nth + 1) * 50_000, across).unwrap(),
        state,
    };
    let ledger: Vec<CoverageCell> = (0..4000)
        .flat_map(|nth| {
            let left = 20_000 + 200 * (nth % 7);
            [
                cell(nth, 0..left, CoverState::Beside),
                cell(nth, left..1_500_000, CoverState::Inspected),
                cell(nth, 1_500_000..1_520_000, CoverState::Beside),
            ]
        })
        .collect();
    let flaws: Vec<GradedFlaw> = (0..1000)
        .map(|nth| {
            let (at, long) = (f64::from(nth) * 199.0, f64::from(nth % 50) * 40.0 + 1.0);
            flaw(
                Class::ALL[nth as usize % 24],
                Severity::Minor,
                (at, long),
                (f64::from(nth % 7) * 200.0, 9.0),
            )
        })
        .collect();
    let all = Rules::built_in();
    let start = Instant::now();
    let roll = InspectedRoll::new(200_000_000, &ledger, flaws, Missing::default()).unwrap();
    for rules in &all {
        assert_eq!(grade(&roll, rules).flaws.len(), 1000);
    }
    let took = start.elapsed();
    assert!(took.as_secs_f64() < 5.0, "four rules took {took:?}");
    println!("1000 flaws on 200 m under {} rules: {took:?}", all.len());
}

#[test]
fn every_built_in_rule_is_whole_and_found_by_its_name() {
    let all = Rules::built_in();
    assert_eq!(all.len(), 4);
    for rules in &all {
        assert_eq!(&built_in(&rules.name), rules);
        assert_eq!(rules.digest.len(), 64);
    }
}

#[test]
fn a_seam_costs_what_a_flaw_from_edge_to_edge_costs_and_the_roll_is_withheld() {
    let cell = |along: Range<i64>, across: Range<i64>, state| CoverageCell {
        rect: Rect::new(along, across).unwrap(),
        state,
    };
    let seam = || CoverState::Gap("seam".to_owned());
    let (first, second) = (0..800_000, 800_000..1_500_000);
    // Two lanes that see it 20 mm apart, in pieces, and another one in the next metre.
    let ledger = [
        cell(0..10_000_000, 1_500_000..1_510_000, CoverState::Inspected),
        cell(2_100_000..2_112_000, first.clone(), seam()),
        cell(2_112_000..2_120_000, first.clone(), seam()),
        cell(2_130_000..2_150_000, second.clone(), seam()),
        cell(3_100_000..3_120_000, first, seam()),
        cell(3_100_000..3_120_000, second, seam()),
        cell(0..2_100_000, 0..1_500_000, CoverState::Inspected),
        cell(
            4_000_000..4_100_000,
            0..1_500_000,
            CoverState::Gap("overload".to_owned()),
        ),
    ];
    let missing = Missing {
        n_gaps: 3,
        ..Missing::default()
    };
    let roll = InspectedRoll::new(10_000_000, &ledger, vec![], missing).unwrap();
    let four = grade(&roll, &built_in("four-point"));
    assert_eq!(four.flaws.len(), 2, "{:?}", four.flaws);
    for flaw in &four.flaws {
        assert_eq!((flaw.flaw.class, flaw.points), (Class::Seam, 4), "{flaw:?}");
        assert_eq!(flaw.flaw.rect.across(), 0..1_500_000);
    }
    assert_eq!(four.points, 8);
    assert!(four.quality().is_none() || !four.is_first());
    // By rules that name no seam it is as dear as whatever goes from edge to edge.
    let unnamed = grade(&roll, &changed("seam = 4\n", ""));
    assert_eq!(unnamed.points, 8);
    let ten = grade(&roll, &built_in("ten-point"));
    assert_eq!(ten.points, 20, "{:?}", ten.flaws);
}
