//! Shifts of drawn cloth, of the simulated loom and of what must not be believed.

use super::*;
use crate::picture::{noise, picture, weave};
use camera::{Beside, Captured, Loom, LoomSettings, Pool, Source, Weave};
use proptest::prelude::*;

const WIDTH: u32 = 256;
const HEIGHT: u32 = 160;

/// Cloth between the rows of the picture is had by straight lines between whole rows.
fn cloth(place: u32, top: f64, seed: u32) -> Texture {
    Texture::of(&picture(WIDTH, HEIGHT, |row, column| {
        let y = top + f64::from(row);
        let (whole, part) = (y.floor(), y.fract() as f32);
        let at = |row: f64| weave(place, row as u32, column);
        let light = 0.7 + 0.3 * (row as f32 / HEIGHT as f32);
        let seen = at(whole) * (1.0 - part) + at(whole + 1.0) * part;
        seen * light + 2.0 * noise(seed, row, column)
    }))
    .unwrap()
}

fn rows(shift: Shift) -> f64 {
    match shift {
        Shift::Moved { rows, confidence } => {
            assert!((0.0..=1.0).contains(&confidence), "{confidence}");
            rows
        }
        Shift::Unknown(doubt) => panic!("{doubt:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_shift_is_found_to_a_third_of_a_row(place in 0_u32..50, tenths in -700_i32..700) {
        let moved = f64::from(tenths) / 10.0;
        let found = shift(&cloth(place, 300.0, 1), &cloth(place, 300.0 - moved, 2), None).unwrap();
        prop_assert!((rows(found) - moved).abs() <= 0.3, "{found:?} for {moved}");
    }
}

#[test]
fn cloth_that_stands_is_seen_to_stand() {
    let found = shift(&cloth(3, 300.0, 1), &cloth(3, 300.0, 2), None).unwrap();
    assert!(rows(found).abs() < 0.05, "{found:?}");
}

#[test]
fn different_cloth_has_no_shift() {
    for place in 0..20 {
        let found = shift(&cloth(place, 300.0, 1), &cloth(place + 100, 300.0, 2), None).unwrap();
        assert!(matches!(found, Shift::Unknown(_)), "{place}: {found:?}");
    }
}

#[test]
fn an_even_picture_has_no_shift() {
    let even = |seed| {
        Texture::of(&picture(WIDTH, HEIGHT, |row, column| {
            100.0 + 3.0 * noise(seed, row, column)
        }))
        .unwrap()
    };
    let found = shift(&even(1), &even(2), None).unwrap();
    assert_eq!(found, Shift::Unknown(Doubt::NoTexture));
    let blank = Texture::of(&picture(WIDTH, HEIGHT, |_, _| 100.0)).unwrap();
    assert_eq!(
        shift(&blank, &blank, None).unwrap(),
        Shift::Unknown(Doubt::NoTexture)
    );
}

/// A texture that repeats exactly, with the camera's noise.
fn repeating(period: f64, top: f64, seed: u32) -> Texture {
    Texture::of(&picture(WIDTH, HEIGHT, |row, column| {
        let y = (top + f64::from(row)).rem_euclid(period) * TAU / period;
        let level = y.sin() + 0.5 * (2.0 * y + 1.0).sin() + 0.3 * (3.0 * y).cos();
        100.0 + 20.0 * level as f32 + 2.0 * noise(seed, row, column)
    }))
    .unwrap()
}

#[test]
fn a_texture_that_repeats_is_ambiguous_unless_the_range_leaves_one_shift() {
    for (period, moved) in [(8.0, 21.0), (12.0, 40.0), (31.0, 50.0), (8.0, 0.0)] {
        let (before, after) = (
            repeating(period, 300.0, 1),
            repeating(period, 300.0 - moved, 2),
        );
        let found = shift(&before, &after, None).unwrap();
        assert!(
            matches!(found, Shift::Unknown(_)),
            "{period} {moved}: {found:?}"
        );
        let near = moved - 0.4 * period..=moved + 0.4 * period;
        let found = shift(&before, &after, Some(near)).unwrap();
        assert!(
            (rows(found) - moved).abs() < 0.3,
            "{period} {moved}: {found:?}"
        );
    }
}

#[test]
fn dirt_on_the_lens_does_not_hold_the_cloth() {
    let dirty = |top: f64, seed| {
        Texture::of(&picture(WIDTH, HEIGHT, |row, column| {
            let cloth = weave(4, top as u32 + row, column);
            let dirt = 3.0 * noise(99, row, column);
            cloth + dirt + noise(seed, row, column)
        }))
        .unwrap()
    };
    let found = shift(&dirty(300.0, 1), &dirty(263.0, 2), None).unwrap();
    assert!((rows(found) - 37.0).abs() < 0.3, "{found:?}");
}

#[test]
fn pictures_of_other_sizes_are_not_compared() {
    let low = Texture::of(&picture(WIDTH, 80, |row, column| weave(1, row, column))).unwrap();
    let found = shift(&cloth(1, 0.0, 1), &low, None).unwrap();
    assert_eq!(found, Shift::Unknown(Doubt::OtherSize));
}

/// Lines of a loom's web, as one frame of `height` from line `first`.
fn woven(settings: &LoomSettings, first: u32, height: u32) -> Texture {
    let mut settings = settings.clone();
    (settings.frame_height, settings.n_frames) = (first + height, Some(1));
    let mut loom = Loom::new(settings).unwrap();
    let pool = Pool::new(1, loom.description().shape.n_bytes());
    let Some(Captured::Frame(frame)) = loom.next(&pool).unwrap() else {
        panic!("the loom weaves");
    };
    Texture::of(&frame.cut(first..first + height, 0..1)).unwrap()
}

#[test]
fn a_shift_of_any_weave_is_found_or_doubted_never_wrong() {
    let (mut n, mut n_found) = (0, 0);
    for weave in [Weave::Plain, Weave::Twill21, Weave::Twill31] {
        for (seed, moved) in [(1, 0), (2, 3), (3, 17), (4, 42), (5, 63), (6, 84), (7, 110)] {
            let mut settings = LoomSettings::new(seed);
            (settings.width, settings.weave) = (640, weave);
            settings.left = Beside::DarkTable(40);
            let before = woven(&settings, 130, 256);
            let after = woven(&settings, 130 - moved, 256);
            n += 1;
            match shift(&before, &after, None).unwrap() {
                Shift::Moved { rows, confidence } => {
                    println!("{weave:?} {moved}: {rows:.3} {confidence:.2}");
                    assert!(
                        (rows - f64::from(moved)).abs() <= 0.3,
                        "{weave:?}: {rows} for {moved}"
                    );
                    n_found += 1;
                }
                Shift::Unknown(doubt) => println!("{weave:?} {moved}: {doubt:?}"),
            }
        }
    }
    assert!(n_found * 10 >= n * 9, "{n_found} of {n}");
}
