//! Claims about even light and about what is judged too dark or too bright.
//!
//! Frames are computed; nothing here depends on an image file.

use ndarray::s;

use super::*;
use crate::picture::{frame, noise, picture, table, weave};

fn span(left: u32, right: u32, width: u32) -> ClothSpan {
    ClothSpan::new(left, right, width).unwrap()
}

fn even_grey(frame: &Frame, cloth: ClothSpan) -> EvenFrame {
    Evener::new()
        .even(frame, cloth, None, Channels::Grey)
        .unwrap()
}

/// Mean of evened values over all rows and 64 columns from `column` on.
fn mean_at(even: &EvenFrame, column: usize) -> f32 {
    even.planes
        .slice(s![0, .., column..column + 64])
        .mean()
        .unwrap()
}

#[test]
fn a_lamps_slope_is_evened_within_one_percent() {
    let lit = picture(2048, 128, |row, column| {
        (100.0 + 20.0 * noise(1, row, column)) * (0.6 + 0.8 * column as f32 / 2048.0)
    });
    let even = even_grey(&lit, span(0, 2048, 2048));
    for column in (0..2048).step_by(64) {
        let mean = mean_at(&even, column);
        assert!((mean - 1.0).abs() < 0.01, "{mean} at column {column}");
    }
}

#[test]
fn light_of_any_strength_gives_the_same_values() {
    let bright = picture(512, 64, |row, column| {
        2.0 * (weave(1, row, column) * 0.5).round()
    });
    let dim = picture(512, 64, |row, column| (weave(1, row, column) * 0.5).round());
    let [bright, dim] = [bright, dim].map(|lit| even_grey(&lit, span(0, 512, 512)));
    let worst = (bright.planes - dim.planes)
        .mapv(f32::abs)
        .fold(0.0, |a, b| b.max(a));
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn table_never_reaches_a_value_of_the_cloth_or_beside_it() {
    let cloth = span(100, 400, 512);
    let [white, black] = [255.0, 0.0].map(|level| {
        let lit = picture(512, 64, |row, column| match column {
            100..400 => weave(1, row, column),
            _ => table(level, row, column),
        });
        even_grey(&lit, cloth)
    });
    assert_eq!(white.planes, black.planes);
    assert_eq!(white.facts, black.facts);
}

#[test]
fn beside_the_cloth_it_is_mirrored_again_and_again() {
    let lit = picture(20, 4, |row, column| 100.0 + 10.0 * noise(1, row, column));
    let even = even_grey(&lit, span(8, 11, 20));
    let row: Vec<f32> = even.planes.slice(s![0, 2, ..]).to_vec();
    let [a, b, c] = [row[8], row[9], row[10]];
    assert_eq!(row[..8], [b, c, c, b, a, a, b, c, c, b, a][3..]);
    assert_eq!(row[11..], [c, b, a, a, b, c, c, b, a]);
}

#[test]
fn one_column_of_cloth_is_enough() {
    let lit = picture(1, 16, |row, _| 100.0 + f32::from(row % 2 == 0));
    let even = even_grey(&lit, span(0, 1, 1));
    assert!((even.planes.mean().unwrap() - 1.0).abs() < 1e-4);
}

#[test]
fn glare_is_cut_and_darkness_is_zero() {
    let lit = picture(512, 64, |row, column| match (row, column) {
        (7, 100..104) => 255.0,
        _ => 40.0,
    });
    let even = even_grey(&lit, span(0, 512, 512));
    assert_eq!(even.planes[[0, 7, 101]], BRIGHTEST);
    let dark = even_grey(&picture(64, 8, |_, _| 0.0), span(0, 64, 64));
    assert!(dark.planes.iter().all(|&value| value == 0.0));
}

#[test]
fn a_tint_stays_a_tint() {
    let samples: Vec<u8> = [120u8, 60, 30].repeat(256 * 16);
    let lit = frame(256, 16, Channels::Rgb, &samples);
    let cloth = span(0, 256, 256);
    let even = Evener::new()
        .even(&lit, cloth, None, Channels::Rgb)
        .unwrap();
    let value = |channel| even.planes[[channel, 3, 77]];
    assert!((value(0) / value(1) - 2.0).abs() < 1e-5 && (value(1) / value(2) - 2.0).abs() < 1e-5);
    let luma = 0.299 * value(0) + 0.587 * value(1) + 0.114 * value(2);
    assert!((luma - 1.0).abs() < 1e-4);
}

#[test]
fn grey_gives_three_equal_planes_when_colour_is_wanted() {
    let lit = picture(128, 16, |row, column| weave(1, row, column));
    let cloth = span(10, 128, 128);
    let even = Evener::new()
        .even(&lit, cloth, None, Channels::Rgb)
        .unwrap();
    assert_eq!(
        even.planes.slice(s![0, .., ..]),
        even.planes.slice(s![2, .., ..])
    );
    let grey = even_grey(&lit, cloth);
    assert_eq!(
        grey.planes.slice(s![0, .., ..]),
        even.planes.slice(s![1, .., ..])
    );
}

#[test]
fn memory_is_used_again_and_holds_nothing_over() {
    let first = picture(512, 64, |row, column| weave(1, row, column));
    let second = picture(512, 64, |row, column| weave(2, row, column));
    let cloth = span(50, 500, 512);
    let mut evener = Evener::new();
    let mut out = EvenFrame::empty();
    evener
        .even_into(&first, cloth, None, Channels::Grey, &mut out)
        .unwrap();
    let memory = out.planes.as_ptr();
    evener
        .even_into(&second, cloth, None, Channels::Grey, &mut out)
        .unwrap();
    assert_eq!(out.planes.as_ptr(), memory);
    assert_eq!(out.planes, even_grey(&second, cloth).planes);
}

#[test]
fn cloth_of_another_frame_is_refused() {
    let lit = picture(64, 8, |row, column| weave(1, row, column));
    let even = Evener::new().even(&lit, span(0, 65, 65), None, Channels::Grey);
    assert!(matches!(
        even,
        Err(CalibrationError::ClothOutsideFrame { .. })
    ));
}

#[test]
fn light_is_counted_on_cloth_alone() {
    let lit = picture(100, 10, |_, column| match column {
        0..20 => 255.0,
        20..40 => 254.0,
        40..50 => 1.0,
        _ => 100.0,
    });
    let facts = even_grey(&lit, span(20, 100, 100)).facts;
    assert_eq!(facts.saturated_share, 0.25);
    assert_eq!(facts.dark_share, 0.125);
    assert_eq!(
        facts.mean_level,
        (20.0 * 254.0 + 10.0 + 50.0 * 100.0) / 80.0
    );
    assert_eq!(LightFacts::of(&lit, span(20, 100, 100)).unwrap(), facts);
}

#[test]
fn glare_and_darkness_are_judged_at_their_limits() {
    let limits = LightLimits {
        max_saturated_share: 0.5,
        min_mean_level: 8.0,
    };
    let judge = |mean_level, saturated_share| {
        limits.judge(&LightFacts {
            mean_level,
            saturated_share,
            dark_share: 0.0,
        })
    };
    assert_eq!(judge(120.0, 0.5), None);
    assert_eq!(judge(240.0, 0.51), Some(LightFault::Saturated));
    assert_eq!(judge(8.0, 0.0), None);
    assert_eq!(judge(7.9, 0.0), Some(LightFault::TooDark));
    assert_eq!(judge(0.0, 0.0), Some(LightFault::TooDark));
}

#[test]
fn bytes_are_evened_as_sixteen_bits_are() {
    // Higher than what bytes are counted in at once, black and white beyond any count of bytes.
    let (width, height) = (200, 600);
    let level = |row: u32, column: u32| match column {
        20 => 255,
        21 => 0,
        _ => weave(1, row, column) as u8,
    };
    let bytes = picture(width, height, |row, column| f32::from(level(row, column)));
    let shape = camera::FrameShape {
        width,
        height,
        channels: Channels::Grey,
        depth: camera::Depth::Sixteen,
    };
    let mut samples = camera::Buffer::alone(shape.n_bytes());
    let places = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
    for (sample, (row, column)) in samples.bytes_mut().chunks_exact_mut(2).zip(places) {
        sample.fill(level(row, column));
    }
    let deep = Frame::new(0, 0, 0..600, shape, samples).unwrap();
    let cloth = span(7, 190, width);
    let [bytes, deep] = [&bytes, &deep].map(|frame| even_grey(frame, cloth));
    let worst = (&bytes.planes - &deep.planes).fold(0.0_f32, |a, b| a.max(b.abs()));
    assert!(worst < 1e-5, "{worst}");
    assert_eq!(bytes.facts.saturated_share, 1.0 / 183.0);
    assert_eq!(bytes.facts.saturated_share, deep.facts.saturated_share);
    assert_eq!(bytes.facts.dark_share, deep.facts.dark_share);
    assert!((bytes.facts.mean_level - deep.facts.mean_level).abs() < 1e-3);
}
