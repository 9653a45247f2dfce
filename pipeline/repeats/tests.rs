//! Planted repeats are found with their period, and chance alone is not believed.

use proptest::prelude::*;

use super::*;

/// Numbers that are the same on every machine (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.next()
    }
}

fn spot(along_mm: f64, across_mm: f64) -> Spot {
    Spot {
        along: um_from_mm(along_mm),
        across: um_from_mm(across_mm),
        length: Um(4000),
        class: "stain".to_owned(),
    }
}

/// Marks of a roller from 1 m on, at 410 mm across, some missing but never three in a row, each a
/// little off its place.
fn roller(chance: &mut Chance, period: f64, n: u32, jitter: f64, missing: f64) -> Vec<Spot> {
    let (mut marks, mut n_missing) = (Vec::new(), 0);
    for turn in 0..n {
        let along = 1000.0 + f64::from(turn) * period + chance.between(-jitter, jitter);
        let across = 410.0 + chance.between(-2.0, 2.0);
        if chance.next() < missing && n_missing < 2 {
            n_missing += 1;
        } else {
            n_missing = 0;
            marks.push(spot(along, across));
        }
    }
    marks
}

/// `n` flaws anywhere on `length_mm` of a web that is `across` wide.
fn at_random(chance: &mut Chance, n: u32, length_mm: f64, across: (f64, f64)) -> Vec<Spot> {
    let each = (0..n).map(|_| {
        let along = chance.between(0.0, length_mm);
        spot(along, chance.between(across.0, across.1))
    });
    each.collect()
}

/// What is found of flaws that come in cloth order.
fn found(mut spots: Vec<Spot>) -> Vec<Repeat> {
    spots.sort_by_key(|spot| spot.along);
    let mut repeats = Repeats::default();
    for spot in &spots {
        repeats.see(spot);
    }
    repeats.found()
}

fn periods_mm(found: &[Repeat]) -> Vec<f64> {
    let period = |repeat: &Repeat| match repeat.cause {
        RepeatCause::Period(period) => Some(mm_from_um(period)),
        RepeatCause::FixedAcross => None,
    };
    found.iter().filter_map(period).collect()
}

#[test]
fn a_roller_is_told_by_its_diameter_from_its_fifth_mark_on() {
    let mut repeats = Repeats::default();
    let marks: Vec<Spot> = (0..6_u32)
        .map(|turn| spot(500.0 + 628.0 * f64::from(turn), 300.0))
        .collect();
    let told: Vec<_> = marks.iter().map(|mark| repeats.see(mark)).collect();
    assert!(told[..4].iter().all(Option::is_none), "{told:?}");
    let fifth = told[4].as_ref().unwrap();
    assert_eq!(fifth.count, 5);
    assert_eq!(
        fifth.says(),
        "every 628.0 mm: a roller of 200 mm diameter, 5 times from 0.50 to 3.01 m, 300 mm across, stain"
    );
    let sixth = told[5].as_ref().unwrap();
    assert_eq!((sixth.id, sixth.count), (fifth.id, 6));
    assert_eq!(repeats.found().len(), 1);
}

#[test]
fn a_flaw_that_comes_late_still_takes_its_place() {
    let mut order: Vec<u32> = (0..8).collect();
    order.swap(2, 3);
    order.swap(5, 6);
    let mut repeats = Repeats::default();
    for turn in order {
        repeats.see(&spot(628.0 * f64::from(turn), 300.0));
    }
    let found = repeats.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((periods_mm(&found)[0] - 628.0).abs() < 1.0, "{found:?}");
}

#[test]
fn two_marks_of_one_roller_are_two_series_of_its_period() {
    let turns = (0..12_u32).map(|turn| 628.0 * f64::from(turn));
    let marks = turns.flat_map(|along| [spot(along, 300.0), spot(along + 190.0, 300.0)]);
    let found = found(marks.collect());
    let periods = periods_mm(&found);
    assert_eq!(periods.len(), 2, "{found:?}");
    assert!(periods.iter().all(|period| (period - 628.0).abs() < 1.0));
}

#[test]
fn an_end_that_flaws_at_no_fixed_distance_is_a_fixed_place_across() {
    let mut chance = Chance(7);
    let mut spots = at_random(&mut chance, 60, 40_000.0, (0.0, 1600.0));
    let end = (0..15).map(|_| spot(chance.between(0.0, 40_000.0), chance.between(799.0, 801.0)));
    spots.extend(end);
    let found = found(spots);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].cause, RepeatCause::FixedAcross);
    assert!(
        (mm_from_um(found[0].across) - 800.0).abs() < 8.0,
        "{found:?}"
    );
}

#[test]
fn a_torn_place_is_no_fixed_place() {
    let mut spots = at_random(&mut Chance(3), 60, 40_000.0, (0.0, 1600.0));
    spots.extend((0..40_u32).map(|nth| spot(5000.0 + f64::from(nth), 800.0)));
    assert_eq!(found(spots), []);
}

#[test]
fn memory_is_bounded_however_many_flaws_come() {
    let mut chance = Chance(1);
    let mut repeats = Repeats::default();
    for nth in 0..20_000_u32 {
        repeats.see(&spot(f64::from(nth) * 5.0, chance.between(0.0, 30_000.0)));
    }
    assert!(repeats.recent.len() <= MOST_RECENT);
    assert!(repeats.series.len() <= MOST_SERIES);
    assert!(repeats.columns.found().count() <= MOST_RECENT);
}

/// Rolls of 100 m with 100 flaws anywhere on 1.8 m of width, and with 100 flaws that all lie at
/// one place across, which is the hardest that chance can offer.
#[test]
fn random_flaws_are_called_a_roller_once_in_a_thousand_rolls_at_most() {
    for (across, n_rolls, most) in [((0.0, 1800.0), 3000, 0), ((405.0, 415.0), 3000, 3)] {
        let mut n_called = 0;
        for roll in 0..n_rolls {
            let spots = at_random(&mut Chance(roll * 1_000_003), 100, 100_000.0, across);
            n_called += u32::from(!periods_mm(&found(spots)).is_empty());
        }
        assert!(
            n_called <= most,
            "{n_called} of {n_rolls} rolls across {across:?}, expected {most} at most"
        );
    }
}

#[test]
fn random_flaws_lie_at_no_fixed_place_in_a_thousand_rolls() {
    let called = (0..1000_u64).filter(|roll| {
        let spots = at_random(&mut Chance(roll * 7919), 300, 100_000.0, (0.0, 1800.0));
        !found(spots).is_empty()
    });
    assert_eq!(called.count(), 0);
}

proptest! {
    #[test]
    fn a_planted_roller_is_found_with_its_period(
        seed in any::<u64>(),
        period in 150.0..1900.0_f64,
        n in 16..60_u32,
        jitter in 0.0..1.2_f64,
        missing in 0.0..0.2_f64,
    ) {
        let mut chance = Chance(seed);
        let mut spots = roller(&mut chance, period, n, jitter, missing);
        let length = period * f64::from(n);
        // Two flaws in a metre, anywhere on 1.8 m.
        let n_others = (length / 500.0) as u32;
        spots.extend(at_random(&mut chance, n_others, length, (0.0, 1800.0)));
        let n_planted = spots.len() - n_others as usize;
        let found = found(spots);
        let near = |repeat: &&Repeat| {
            matches!(repeat.cause, RepeatCause::Period(found)
                if (mm_from_um(found) / period - 1.0).abs() < 0.01)
        };
        let roller = found.iter().filter(near).max_by_key(|repeat| repeat.count);
        prop_assert!(roller.is_some(), "planted {period} x {n_planted}: {found:?}");
    }
}
