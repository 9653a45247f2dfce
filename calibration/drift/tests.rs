//! Drift: each change of the station is told as itself, and none where there is none.

use proptest::prelude::*;

use super::*;
use crate::cloth_edge::find_cloth;
use crate::picture::{picture, table, weave};

/// How a station looks at cloth.
#[derive(Clone, Copy)]
struct Station {
    light: f32,
    /// How much darker the right side is.
    slope: f32,
    blur: u32,
    left: u32,
    right: u32,
}

const FRESH: Station = Station {
    light: 1.0,
    slope: 0.0,
    blur: 0,
    left: 160,
    right: 864,
};

/// What it sees of the article at another place of the roll.
fn sight(station: Station, place: u32) -> Sight {
    let mut watched = Watched::default();
    for nth in 0..6 {
        let frame = picture(1024, 160, |row, column| {
            if !(station.left..station.right).contains(&column) {
                return table(12.0, row, column);
            }
            let around = column - station.blur..=column + station.blur;
            let n = around.clone().count() as f32;
            let cloth = around
                .map(|column| weave(place + nth, row, column))
                .sum::<f32>()
                / n;
            cloth * station.light * (1.0 - station.slope * column as f32 / 1024.0)
        });
        watched.add(&frame, find_cloth(&frame).unwrap()).unwrap();
    }
    watched.sight().unwrap()
}

/// What differs from a fresh station, on other cloth of the article.
fn drifted(station: Station) -> Vec<Drift> {
    drifts(&sight(FRESH, 1), &sight(station, 40), &DRIFT_LIMITS)
}

#[test]
fn an_unchanged_station_does_not_drift_on_other_cloth_of_the_article() {
    assert_eq!(drifted(FRESH), []);
}

#[test]
fn a_lamp_that_ages_is_told_with_how_much() {
    let [Drift::Darker(percent)] = drifted(Station {
        light: 0.75,
        ..FRESH
    })[..] else {
        panic!(
            "{:?}",
            drifted(Station {
                light: 0.75,
                ..FRESH
            })
        );
    };
    assert!((23.0..27.0).contains(&percent), "{percent}");
    let found = drifted(Station {
        light: 1.3,
        ..FRESH
    });
    assert!(matches!(found[..], [Drift::Brighter(_)]), "{found:?}");
}

#[test]
fn a_lamp_that_fades_at_one_side_is_uneven_there() {
    let found = drifted(Station {
        slope: 0.3,
        light: 1.15,
        ..FRESH
    });
    let [Drift::Uneven { percent, bin }] = found[..] else {
        panic!("{found:?}");
    };
    assert!(
        bin >= 24 && percent < -8.0 || bin <= 7 && percent > 8.0,
        "{found:?}"
    );
}

#[test]
fn a_blurred_lens_is_told_and_light_does_not_hide_it() {
    let found = drifted(Station {
        blur: 1,
        light: 1.1,
        ..FRESH
    });
    let [Drift::Blurred(percent)] = found[..] else {
        panic!("{found:?}");
    };
    assert!(percent > 20.0, "{percent}");
}

#[test]
fn a_camera_that_moved_or_came_nearer_is_told() {
    let moved = Station {
        left: 290,
        right: 994,
        ..FRESH
    };
    let found = drifted(moved);
    let [Drift::Moved(px)] = found[..] else {
        panic!("{found:?}");
    };
    assert!((px - 130.0).abs() < 20.0, "{px}");
    let nearer = Station {
        left: 110,
        right: 914,
        ..FRESH
    };
    let found = drifted(nearer);
    assert!(
        matches!(found[..], [Drift::Scaled(wider)] if (10.0..18.0).contains(&wider)),
        "{found:?}"
    );
}

#[test]
fn too_few_frames_make_no_sight() {
    let mut watched = Watched::default();
    for _ in 1..FEWEST_FRAMES {
        let frame = picture(64, 8, |row, column| weave(1, row, column));
        watched.add(&frame, ClothSpan::whole(64).unwrap()).unwrap();
        assert_eq!(watched.sight(), None);
    }
}

proptest! {
    #[test]
    fn what_stays_within_the_limits_is_no_drift_and_what_leaves_them_is(
        level in 0.5f64..1.5,
        focus in 0.5f64..1.5,
        moved in -300.0f64..300.0,
    ) {
        let then = sight_of(100.0, 0.5, 0.0);
        let now = sight_of(100.0 * level, 0.5 * focus, moved);
        let found = drifts(&then, &now, &DRIFT_LIMITS);
        let has = |is: fn(&Drift) -> bool| found.iter().any(is);
        prop_assert_eq!(has(|drift| matches!(drift, Drift::Darker(_))), level < 0.85);
        prop_assert_eq!(has(|drift| matches!(drift, Drift::Brighter(_))), level > 1.15);
        prop_assert_eq!(has(|drift| matches!(drift, Drift::Blurred(_))), focus < 0.85);
        prop_assert_eq!(has(|drift| matches!(drift, Drift::Moved(_))), moved.abs() > 100.0);
        let is_else = has(|drift| matches!(drift, Drift::Scaled(_) | Drift::Uneven { .. }));
        prop_assert!(!is_else, "{:?}", found);
    }
}

fn sight_of(mean_level: f64, focus: f64, moved: f64) -> Sight {
    Sight {
        mean_level,
        focus,
        shape: vec![Some(1.0); N_BINS],
        left_px: Some(400.0 + moved),
        right_px: Some(1600.0 + moved),
        n_frames: 9,
    }
}
