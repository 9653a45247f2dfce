//! Column light: what a sloping lamp and uneven columns leave, and what is refused.

use camera::Channels;

use super::*;
use crate::picture::{frame, noise, picture};

const WIDTH: u32 = 512;
/// A column that shows nothing.
const DEAD: u32 = 200;

/// How bright a column is: a lamp that falls off to the sides, columns that differ by 3 %.
fn sensitivity(column: u32) -> f32 {
    if column == DEAD {
        return 0.0;
    }
    let side = (column as f32 / WIDTH as f32 - 0.5) * 2.0;
    (1.0 - 0.4 * side * side) * (1.0 + 0.03 * noise(3, 0, column))
}

fn dark_level(column: u32) -> f32 {
    6.0 + 3.0 * noise(5, 0, column)
}

/// What the camera shows of an even target of this level.
fn shown(level: f32, seed: u32) -> Frame {
    picture(WIDTH, 256, |row, column| {
        let light = dark_level(column) + level * sensitivity(column);
        light + 2.0 * noise(seed, row, column) + 0.5
    })
}

fn reference(level: f32) -> Reference {
    let mut reference = Reference::default();
    for seed in 0..4 {
        reference.add(&shown(level, seed)).unwrap();
    }
    reference
}

fn measured() -> LightMeasured {
    measure_light(&reference(0.0), &reference(180.0), &REFERENCE_LIMITS).unwrap()
}

/// Mean level of every column.
fn column_means(frame: &Frame) -> Vec<f32> {
    let mut both = Reference::default();
    both.add(frame).unwrap();
    let halves = both.means(0).into_iter().zip(both.means(1));
    halves.map(|(even, odd)| (even + odd) / 2.0).collect()
}

#[test]
fn a_sloping_lamp_and_uneven_columns_become_even_also_at_another_level() {
    let light = measured();
    assert_eq!(light.columns.dead(), [DEAD]);
    assert!(light.before.rms_percent > 10.0, "{:?}", light.before);
    assert!(light.after.rms_percent < 0.15, "{:?}", light.after);
    for level in [60.0, 120.0] {
        let mut frame = shown(level, 9);
        light.columns.correct(&mut frame).unwrap();
        let means = column_means(&frame);
        let off = Unevenness::of(means.iter().copied());
        assert!(off.rms_percent < 0.5, "{level}: {off:?}");
        assert!(off.most_percent < 1.5, "{level}: {off:?}");
    }
}

#[test]
fn both_depths_and_colour_are_corrected_alike() {
    let columns = ColumnLight {
        offset: vec![10.0, 0.0, 0.0],
        gain: vec![2.0, 0.5, 1.0],
        dead: vec![2],
    };
    let mut colour = frame(3, 1, Channels::Rgb, &[60, 5, 110, 80, 255, 253, 9, 9, 9]);
    columns.correct(&mut colour).unwrap();
    // Black stays black, white stays white, and what was dead repeats its neighbour.
    assert_eq!(colour.bytes(), [100, 0, 200, 40, 255, 127, 40, 255, 127]);
    let mut bright = frame(3, 1, Channels::Grey, &[250, 254, 0]);
    columns.correct(&mut bright).unwrap();
    assert_eq!(
        bright.bytes(),
        [253, 255, 255],
        "what was not white became so"
    );
    let shape = camera::FrameShape {
        width: 3,
        height: 1,
        channels: Channels::Grey,
        depth: camera::Depth::Sixteen,
    };
    let mut pixels = camera::Buffer::alone(6);
    let samples = [60 * 257u16, 80 * 257, 0].map(u16::to_ne_bytes).concat();
    pixels.bytes_mut().copy_from_slice(&samples);
    let mut sixteen = Frame::new(0, 0, 0..1, shape, pixels).unwrap();
    columns.correct(&mut sixteen).unwrap();
    assert_eq!(sixteen.row_u16(0).unwrap(), [100 * 257, 40 * 257, 40 * 257]);
}

#[test]
fn references_that_allow_no_light_are_refused_with_the_reason() {
    let refused = |dark: &Reference, white: &Reference| {
        let error = measure_light(dark, white, &REFERENCE_LIMITS).unwrap_err();
        error.to_string()
    };
    let (dark, white) = (reference(0.0), reference(180.0));
    for (error, said) in [
        (refused(&white, &white), "is the cap on the lens?"),
        (refused(&dark, &dark), "or the lamp off?"),
        (refused(&dark, &reference(900.0)), "expose less"),
        (refused(&dark, &Reference::default()), "px wide"),
    ] {
        assert!(error.contains(said), "{error}");
    }
    let mut short = Reference::default();
    short.add(&picture(WIDTH, 20, |_, _| 100.0)).unwrap();
    let error = refused(&dark, &short);
    assert!(
        error.contains("white rows is 20, expected at least 64"),
        "{error}"
    );
    let mut shredded = Reference::default();
    shredded
        .add(&picture(WIDTH, 128, |_, column| {
            if column % 9 == 4 { 3.0 } else { 150.0 }
        }))
        .unwrap();
    let error = refused(&dark, &shredded);
    assert!(
        error.contains("dead columns is 57 of 512: [4, 13"),
        "{error}"
    );
}

#[test]
fn a_lamp_that_changes_between_rows_is_refused() {
    let mut white = Reference::default();
    let flicker = |row, column| {
        100.0
            + if row % 2 == 0 {
                20.0
            } else {
                20.0 * noise(1, 0, column)
            }
    };
    white.add(&picture(WIDTH, 256, flicker)).unwrap();
    let error = measure_light(&reference(0.0), &white, &REFERENCE_LIMITS).unwrap_err();
    assert!(
        error.to_string().contains("unevenness that remains"),
        "{error}"
    );
}

#[test]
fn a_light_that_cannot_be_meant_is_not_read() {
    for text in [
        r#"{"offset":[],"gain":[],"dead":[]}"#,
        r#"{"offset":[0],"gain":[1,1],"dead":[]}"#,
        r#"{"offset":[0],"gain":[9],"dead":[]}"#,
        r#"{"offset":[-1],"gain":[1],"dead":[]}"#,
        r#"{"offset":[0],"gain":[1],"dead":[1]}"#,
    ] {
        assert!(serde_json::from_str::<ColumnLight>(text).is_err(), "{text}");
    }
    let light = measured().columns;
    let text = serde_json::to_string(&light).unwrap();
    assert_eq!(serde_json::from_str::<ColumnLight>(&text).unwrap(), light);
}
