//! What a camera's columns leave behind: claims about the flat field.
//!
//! Frames are computed, each of another place of the same cloth, seen through columns of known
//! gain.

use super::*;
use camera::Channels;

use crate::Evener;
use crate::picture::{picture, weave};

const WIDTH: u32 = 1024;

/// Frame `place` of good cloth, seen through columns of these gains.
fn seen(place: u32, gain: impl Fn(u32) -> f32) -> Frame {
    picture(WIDTH, 64, |row, column| {
        weave(place, row, column) * gain(column)
    })
}

fn whole() -> ClothSpan {
    ClothSpan::whole(WIDTH).unwrap()
}

fn field(n_frames: u32, gain: impl Fn(u32, u32) -> f32) -> Result<FlatField, CalibrationError> {
    let mut estimator = FlatFieldEstimator::new(WIDTH);
    for place in 0..n_frames {
        estimator.add(&seen(place, |column| gain(place, column)), whole())?;
    }
    estimator.finish()
}

#[test]
fn a_dead_column_is_found_and_only_that() {
    for dead_gain in [0.0, 2.4] {
        let gain = |_, column| if column == 500 { dead_gain } else { 1.0 };
        let field = field(12, gain).unwrap();
        assert_eq!(field.dead(), [500]);
        assert_eq!(field.doubtful(), [0u32; 0]);
        assert!(
            field
                .pattern()
                .iter()
                .all(|share| (share - 1.0).abs() < 0.02)
        );
    }
}

#[test]
fn a_stuck_column_as_bright_as_the_cloth_is_dead_too() {
    let mut estimator = FlatFieldEstimator::new(WIDTH);
    for place in 0..12 {
        let frame = picture(WIDTH, 64, |row, column| match column {
            300 => 100.0,
            _ => weave(place, row, column),
        });
        estimator.add(&frame, whole()).unwrap();
    }
    assert_eq!(estimator.finish().unwrap().dead(), [300]);
}

#[test]
fn a_column_that_looks_dead_at_times_is_bridged_or_evened_but_never_left() {
    for of_light in [0.54, 0.57, 0.6, 0.63, 0.66] {
        // What lies under it makes it look dead in one frame and alive in the next.
        let gain = |place, column| match (column, place % 2) {
            (500, 0) => of_light * 1.04,
            (500, _) => of_light * 0.96,
            _ => 1.0,
        };
        let field = field(12, gain).unwrap();
        let is_evened = (field.pattern()[500] - of_light).abs() < 0.04;
        assert!(
            is_evened || field.dead() == [500],
            "{of_light}: {}",
            field.pattern()[500]
        );
    }
}

#[test]
fn a_column_that_persists_is_found_and_taken_off() {
    let gain = |column| {
        if (400..402).contains(&column) {
            1.2
        } else {
            1.0
        }
    };
    let field = field(24, |_, column| gain(column)).unwrap();
    let share = field.pattern()[400];
    assert!((share - 1.2).abs() < 0.04, "{share}");
    let frame = seen(99, gain);
    let level = |field| {
        let even = Evener::new()
            .even(&frame, whole(), field, Channels::Grey)
            .unwrap();
        even.planes.slice(ndarray::s![0, .., 400]).mean().unwrap()
    };
    let even = Evener::new()
        .even(&seen(99, |_| 1.0), whole(), None, Channels::Grey)
        .unwrap();
    let expected = even.planes.slice(ndarray::s![0, .., 400]).mean().unwrap();
    assert!((level(None) / expected - 1.2).abs() < 0.02);
    assert!((level(Some(&field)) / expected - 1.0).abs() < 0.03);
}

#[test]
fn yarns_alone_leave_no_pattern() {
    let field = field(12, |_, _| 1.0).unwrap();
    let off = field
        .pattern()
        .iter()
        .filter(|&&share| (share - 1.0).abs() > 0.01);
    assert!(off.count() <= 2);
}

#[test]
fn a_dead_column_is_bridged_on_use() {
    let field = field(12, |_, column| f32::from(column != 500)).unwrap();
    let frame = seen(99, |column| f32::from(column != 500));
    let even = Evener::new()
        .even(&frame, whole(), Some(&field), Channels::Grey)
        .unwrap();
    for row in even.planes.index_axis(ndarray::Axis(0), 0).rows() {
        let bridge = 0.5 * (row[499] + row[501]);
        assert!((row[500] - bridge).abs() < 1e-5);
    }
}

#[test]
fn a_dead_column_at_the_cloths_edge_takes_its_only_neighbour() {
    let field = FlatField {
        pattern: vec![1.0; 6],
        dead: vec![0, 1, 4],
        doubtful: vec![],
    };
    let mut row = [9.0, 9.0, 2.0, 4.0, 9.0, 6.0];
    field.bridge_dead(ClothSpan::whole(6).unwrap(), &mut row);
    assert_eq!(row, [2.0, 2.0, 2.0, 4.0, 5.0, 6.0]);
    let mut row = [9.0, 8.0, 7.0, 4.0, 9.0, 6.0];
    field.bridge_dead(ClothSpan::new(0, 2, 6).unwrap(), &mut row);
    assert_eq!(row, [9.0, 8.0, 7.0, 4.0, 9.0, 6.0]);
}

#[test]
fn too_few_frames_are_refused() {
    let error = field(MIN_FRAMES - 1, |_, _| 1.0).unwrap_err();
    assert!(matches!(
        error,
        CalibrationError::TooFewFrames {
            found: 7,
            expected: 8
        }
    ));
}

#[test]
fn one_frame_many_times_is_refused() {
    let mut estimator = FlatFieldEstimator::new(WIDTH);
    for _ in 0..12 {
        estimator.add(&seen(1, |_| 1.0), whole()).unwrap();
    }
    let error = estimator.finish().unwrap_err();
    assert!(matches!(
        error,
        CalibrationError::SamePlace { n_frames: 12 }
    ));
}

#[test]
fn a_camera_that_changed_is_refused_and_a_changed_joint_is_left_alone() {
    let error = field(16, |place, column| {
        if place >= 8 && column % 20 == 10 {
            1.4
        } else {
            1.0
        }
    });
    assert!(matches!(error, Err(CalibrationError::Contradictory { .. })));
    let joint = field(16, |place, column| {
        if place >= 8 && column == 512 {
            1.4
        } else {
            1.0
        }
    });
    let joint = joint.unwrap();
    assert_eq!(joint.doubtful(), [512]);
    assert_eq!(joint.pattern()[512], 1.0);
}

#[test]
fn columns_beside_the_cloth_and_at_its_edge_stay_untouched() {
    let mut estimator = FlatFieldEstimator::new(WIDTH);
    let cloth = ClothSpan::new(200, WIDTH, WIDTH).unwrap();
    for place in 0..12 {
        let frame = seen(place, |column| if column < 260 { 1.5 } else { 1.0 });
        estimator.add(&frame, cloth).unwrap();
    }
    let field = estimator.finish().unwrap();
    assert!(field.pattern()[..344].iter().all(|&share| share == 1.0));
}

#[test]
fn memory_is_bounded_however_many_frames_come() {
    let mut estimator = FlatFieldEstimator::new(64);
    let cloth = ClothSpan::whole(64).unwrap();
    for place in 0..1000 {
        let frame = picture(64, 8, |row, column| weave(place, row, column));
        estimator.add(&frame, cloth).unwrap();
    }
    assert!(estimator.shown.len() < MOST_FRAMES);
    assert!(estimator.finish().is_ok());
}

#[test]
fn other_frames_are_refused() {
    let mut estimator = FlatFieldEstimator::new(WIDTH);
    let narrow = picture(64, 8, |row, column| weave(1, row, column));
    let added = estimator.add(&narrow, ClothSpan::whole(64).unwrap());
    assert!(matches!(added, Err(CalibrationError::OtherWidth { .. })));
    let field = field(12, |_, _| 1.0).unwrap();
    let cloth = ClothSpan::whole(64).unwrap();
    let even = Evener::new().even(&narrow, cloth, Some(&field), Channels::Grey);
    assert!(matches!(even, Err(CalibrationError::OtherWidth { .. })));
}

#[test]
fn it_survives_a_file_and_a_bad_file_is_refused() {
    let field = field(12, |_, column| f32::from(column != 500)).unwrap();
    let text = serde_json::to_string(&field).unwrap();
    assert_eq!(serde_json::from_str::<FlatField>(&text).unwrap(), field);
    for bad in [
        r#"{"pattern":[1.0,0.0],"dead":[],"doubtful":[]}"#,
        r#"{"pattern":[1.0],"dead":[1],"doubtful":[]}"#,
        r#"{"pattern":[1.0,1.0],"dead":[1,0],"doubtful":[]}"#,
        r#"{"pattern":[1.0],"dead":[],"doubtful":[3]}"#,
    ] {
        assert!(serde_json::from_str::<FlatField>(bad).is_err(), "{bad}");
    }
}
