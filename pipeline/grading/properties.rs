//! What holds for every roll under every rule.

use proptest::prelude::*;

use super::tests::{flaw, roll};
use super::*;

/// Any flaw on 20 m of 1500 mm.
fn any_flaw() -> impl Strategy<Value = GradedFlaw> {
    let class = proptest::sample::select(Class::ALL.to_vec());
    let severity = proptest::sample::select(Severity::ALL.to_vec());
    let long = prop_oneof![1.0..400.0, 400.0..12_000.0_f64];
    (
        class,
        severity,
        0.0..19_990.0_f64,
        long,
        0.0..1490.0_f64,
        1.0..1500.0_f64,
    )
        .prop_map(
            |(class, severity, at, long, left, wide): (_, _, f64, f64, f64, f64)| {
                flaw(
                    class,
                    severity,
                    (at, long.min(20_000.0 - at)),
                    (left, wide.min(1500.0 - left)),
                )
            },
        )
}

fn any_rules() -> impl Strategy<Value = Rules> {
    proptest::sample::select(Rules::built_in())
}

proptest! {
    #[test]
    fn one_more_flaw_never_makes_points_fewer(
        rules in any_rules(), flaws in proptest::collection::vec(any_flaw(), 1..40)
    ) {
        let of = |n: usize| grade(&roll(20.0, 1500.0, &flaws[..n]), &rules).points;
        let points: Vec<u64> = (0..=flaws.len()).map(of).collect();
        prop_assert!(points.is_sorted(), "{points:?}");
    }

    #[test]
    fn a_longer_flaw_never_costs_less(rules in any_rules(), flaw in any_flaw(), more in 1..5_000_000i64) {
        let mut longer = flaw.clone();
        let along = flaw.rect.along();
        longer.rect = Rect::new(along.start..along.end + more, flaw.rect.across()).unwrap();
        let of = |flaw: GradedFlaw| grade(&roll(60.0, 1500.0, &[flaw]), &rules).flaws[0].points;
        // What only grows out of a margin is counted too.
        prop_assert!(of(longer) >= of(flaw));
    }

    #[test]
    fn no_metre_has_more_than_its_cap_and_metres_add_up(
        rules in any_rules(), flaws in proptest::collection::vec(any_flaw(), 0..60)
    ) {
        let grade = grade(&roll(20.0, 1500.0, &flaws), &rules);
        let cap = u64::from(rules.most_points.unwrap());
        for stretch in &grade.worst {
            prop_assert_eq!(stretch.points, stretch.uncapped.min(cap));
        }
        let n_units = 20 * METRE_UM as u64 / rules.per.um() as u64 + 1;
        prop_assert!(grade.points <= n_units * cap);
        prop_assert!(grade.points <= grade.flaws.iter().map(|flaw| flaw.points).sum::<u64>());
    }

    #[test]
    fn the_order_of_flaws_changes_nothing(
        rules in any_rules(),
        (flaws, shuffled) in proptest::collection::vec(any_flaw(), 0..40)
            .prop_flat_map(|flaws| (Just(flaws.clone()), Just(flaws).prop_shuffle()))
    ) {
        let of = |flaws: &[GradedFlaw]| grade(&roll(20.0, 1500.0, flaws), &rules);
        prop_assert_eq!(of(&flaws), of(&shuffled));
    }
}
