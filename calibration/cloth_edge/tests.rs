//! Claims about where cloth is found, on computed pictures and on simulated cloth.

use super::*;
use crate::picture::{picture, table, weave};

const BLACK: f32 = 12.0;
const GREY: f32 = 160.0;
const WHITE: f32 = 260.0;

/// Cloth from `left` to `right` of 1024 columns on a table of `level`.
fn on_table(level: f32, left: u32, right: u32) -> Frame {
    picture(1024, 128, |row, column| {
        match (left..right).contains(&column) {
            true => weave(1, row, column),
            false => table(level, row, column),
        }
    })
}

fn check(frame: &Frame, left: u32, right: u32) {
    let cloth = find_cloth(frame).unwrap();
    let found = [cloth.left(), cloth.right()];
    let is_near = found[0].abs_diff(left) <= 3 && found[1].abs_diff(right) <= 3;
    assert!(is_near, "found {found:?}, expected {left}..{right}");
}

#[test]
fn white_grey_and_black_tables_are_left_out_on_both_sides() {
    for level in [WHITE, GREY, BLACK] {
        check(&on_table(level, 333, 1024), 333, 1024);
        check(&on_table(level, 0, 777), 0, 777);
        check(&on_table(level, 101, 940), 101, 940);
    }
}

#[test]
fn cloth_that_runs_out_of_the_picture_has_no_edge() {
    check(&on_table(WHITE, 0, 1024), 0, 1024);
}

#[test]
fn a_flat_selvedge_outside_the_weave_is_cloth() {
    for level in [WHITE, BLACK] {
        let frame = picture(1024, 128, |row, column| match column {
            0..200 => table(level, row, column),
            200..264 => 120.0 + 0.1 * weave(2, row, column),
            _ => weave(1, row, column),
        });
        check(&frame, 200, 1024);
    }
}

#[test]
fn a_notch_in_the_selvedge_does_not_move_the_edge() {
    for (rows, depth) in [(20..60, 90), (0..64, 200), (40..118, 120)] {
        let frame = picture(1024, 128, |row, column| {
            let is_cut = rows.contains(&row) && column < 300 + depth;
            if column < 300 || is_cut {
                return table(WHITE, row, column);
            }
            weave(1, row, column)
        });
        check(&frame, 300, 1024);
    }
}

#[test]
fn a_large_stain_in_the_middle_does_not_move_the_edge() {
    let frame = picture(2048, 128, |row, column| match column {
        0..150 => table(WHITE, row, column),
        900..1020 if row > 30 => 0.4 * weave(1, row, column),
        _ => weave(1, row, column),
    });
    check(&frame, 150, 2048);
}

#[test]
fn a_lamp_that_fades_towards_the_border_is_not_table() {
    let frame = picture(1024, 128, |row, column| {
        weave(1, row, column) * (1.0 - 0.6 * column as f32 / 1024.0)
    });
    check(&frame, 0, 1024);
}

#[test]
fn a_frame_without_cloth_has_none() {
    for level in [WHITE, GREY, BLACK, 0.0] {
        let bare = picture(1024, 64, |row, column| {
            level + 0.3 * weave(7, row, column) * 0.03
        });
        assert_eq!(find_cloth(&bare), None, "table of {level}");
    }
}

#[test]
fn the_narrowest_frames_are_all_cloth_or_none() {
    let narrow = picture(1, 64, |row, column| weave(1, row, column));
    assert_eq!(find_cloth(&narrow), ClothSpan::new(0, 1, 1).ok());
    assert_eq!(find_cloth(&picture(1, 64, |_, _| 255.0)), None);
    assert_eq!(find_cloth(&picture(1, 1, |_, _| 100.0)), None);
    assert_eq!(find_cloth(&picture(0, 0, |_, _| 0.0)), None);
    assert_eq!(
        find_cloth(&picture(40, 2, |row, column| weave(1, row, column))),
        ClothSpan::whole(40).ok()
    );
}

#[test]
fn a_span_outside_its_frame_cannot_be_made() {
    assert!(ClothSpan::new(3, 3, 10).is_err());
    assert!(ClothSpan::new(4, 3, 10).is_err());
    assert!(ClothSpan::new(0, 11, 10).is_err());
    assert!(ClothSpan::whole(0).is_err());
    assert_eq!(ClothSpan::new(2, 10, 10).unwrap().n_columns(), 8);
}

#[test]
fn the_edges_of_simulated_cloth_are_found() {
    use camera::{Beside, Captured, Loom, LoomSettings, Pool, Source};
    let tables = [
        (Beside::WhiteTable(120), Beside::DarkTable(60), 120, 1988),
        (Beside::DarkTable(300), Beside::Cloth, 300, 2048),
        (Beside::Cloth, Beside::WhiteTable(77), 0, 1971),
    ];
    for (left, right, first, end) in tables {
        let settings = LoomSettings {
            left,
            right,
            n_frames: Some(1),
            ..LoomSettings::new(3)
        };
        let mut loom = Loom::new(settings).unwrap();
        let pool = Pool::new(1, loom.description().shape.n_bytes());
        let Some(Captured::Frame(frame)) = loom.next(&pool).unwrap() else {
            panic!("no frame");
        };
        check(&frame, first, end);
    }
}
