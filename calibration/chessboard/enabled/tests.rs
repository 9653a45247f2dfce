//! Boards as cameras of known scale, lens and noise show them, and what is measured of them.

use super::rendered::rendered;
use super::*;
use crate::board::{
    BOARD_LIMITS, Board, LaneScale, View, measure_lens, measure_place, measure_scale,
};
use crate::chessboard::CAMERA_LIMITS;
use crate::lens::Lens;

fn found(board: &Board, frame: &camera::Frame) -> View {
    find_board(board, frame)
        .unwrap()
        .expect("the board is whole")
}

/// A line-scan camera's view: `mm_per_px` across behind a lens, `mm_per_line` along, the board
/// turned by `turn` degrees with its first corner at `start` mm.
struct Scan {
    size: (u32, u32),
    scale: [f64; 2],
    lens: Option<Lens>,
    noise: f32,
}

impl Scan {
    fn view(&self, board: &Board, seed: u32, start: [f64; 2], turn: f64) -> View {
        let (sin, cos) = turn.to_radians().sin_cos();
        let frame = rendered(board, self.size, seed, self.noise, |x, y| {
            let x = self.lens.map_or(x, |lens| lens.straight(x));
            let (x, y) = (x * self.scale[0] - start[0], y * self.scale[1] - start[1]);
            [x * cos + y * sin, y * cos - x * sin]
        });
        found(board, &frame)
    }
}

#[test]
fn a_scale_is_found_to_a_thousandth_behind_noise_and_a_turn() {
    let board = Board::new(9, 6, 10.0).unwrap();
    let scan = Scan {
        size: (900, 640),
        scale: [0.1537, 0.1411],
        lens: None,
        noise: 12.0,
    };
    for (seed, turn) in [(1, 0.0), (2, 1.5), (3, -4.0)] {
        let view = scan.view(&board, seed, [22.0, 21.0], turn);
        let scale = measure_scale(&board, &[view], None, &BOARD_LIMITS).unwrap();
        assert!(
            (scale.mm_per_px / 0.1537 - 1.0).abs() < 5e-4,
            "{turn}: {scale:?}"
        );
        assert!(
            (scale.mm_per_line / 0.1411 - 1.0).abs() < 5e-4,
            "{turn}: {scale:?}"
        );
        assert!(scale.residual.max_mm < 0.04, "{turn}: {scale:?}");
        assert!(scale.skew_degrees.abs() < 0.05, "{turn}: {scale:?}");
    }
}

#[test]
fn a_board_in_a_wide_picture_is_found_as_exactly_as_in_a_small_one() {
    let board = Board::new(17, 4, 20.0).unwrap();
    let scan = Scan {
        size: (4200, 1100),
        scale: [0.1012, 0.0987],
        lens: None,
        noise: 8.0,
    };
    let view = scan.view(&board, 1, [40.0, 24.0], 0.6);
    let scale = measure_scale(&board, &[view], None, &BOARD_LIMITS).unwrap();
    let (across, along) = (scale.mm_per_px / 0.1012, scale.mm_per_line / 0.0987);
    assert!((across - 1.0).abs() < 1e-4, "{scale:?}");
    assert!((along - 1.0).abs() < 5e-4, "{scale:?}");
    assert!(scale.residual.max_mm < 0.03, "{scale:?}");
}

#[test]
fn a_line_scan_lens_is_found_to_a_tenth_of_a_pixel_and_the_scale_with_it() {
    let board = Board::new(17, 4, 10.0).unwrap();
    let lens = Lens::new(1200, [1.5, -9.0, 0.0, 1.0]).unwrap();
    let scan = Scan {
        size: (1200, 330),
        scale: [0.16, 0.16],
        lens: Some(lens),
        noise: 6.0,
    };
    let views = [
        scan.view(&board, 1, [14.0, 10.0], 0.4),
        scan.view(&board, 2, [18.0, 12.0], -0.3),
    ];
    let (found, mm_per_px, residual) = measure_lens(&board, &views, &BOARD_LIMITS).unwrap();
    assert!((mm_per_px / 0.16 - 1.0).abs() < 5e-4, "{mm_per_px}");
    assert!(residual.rms_mm < 0.02, "{residual:?}");
    let off = (0..1200).map(|column| {
        let column = f64::from(column);
        (found.straight(column) - lens.straight(column)).abs()
    });
    let off = off.fold(0.0, f64::max);
    assert!(off < 0.15, "{off} px: {found:?}");
    // The same board without the lens is no board of that scale.
    let error = measure_scale(&board, &views, None, &BOARD_LIMITS).unwrap_err();
    assert!(error.to_string().contains("residual"), "{error}");
    let scale = measure_scale(&board, &views, Some(&found), &BOARD_LIMITS).unwrap();
    assert!((scale.mm_per_line / 0.16 - 1.0).abs() < 1e-3, "{scale:?}");
}

#[test]
fn a_board_in_the_overlap_of_two_lanes_places_the_right_one() {
    let board = Board::new(6, 5, 5.0).unwrap();
    let scan = |scale: f64| Scan {
        size: (500, 420),
        scale: [scale, 0.1],
        lens: None,
        noise: 8.0,
    };
    // The left lane begins at 100 mm, the right one at 137.3 mm; the board at 142 mm.
    let (left, right) = (scan(0.15), scan(0.14));
    let pairs = [0.0, 2.0].map(|turn| {
        let of_left = left.view(&board, 1, [42.0, 9.0], turn);
        (of_left, right.view(&board, 2, [42.0 - 37.3, 12.0], turn))
    });
    let scale = |mm_per_px| LaneScale {
        mm_per_px,
        lens: None,
    };
    let (of_left, of_right) = (scale(0.15), scale(0.14));
    let place = measure_place(&pairs, (&of_left, 100.0), &of_right, &BOARD_LIMITS).unwrap();
    assert!((place.offset_mm - 137.3).abs() < 0.01, "{place:?}");
    assert!(place.residual.max_mm < 0.05, "{place:?}");
    let wrong = measure_place(&pairs, (&of_left, 100.0), &scale(0.2), &BOARD_LIMITS);
    assert!(wrong.unwrap_err().to_string().contains("residual"));
}

/// What an area camera with radial distortion shows of a board that is turned by `tilt` degrees
/// about both axes, its middle `middle` mm to the right and `distance` mm away.
fn tilted(board: &Board, seed: u32, tilt: [f64; 2], middle: f64, distance: f64) -> View {
    let (sx, cx) = tilt[0].to_radians().sin_cos();
    let (sy, cy) = tilt[1].to_radians().sin_cos();
    // Board axes in the camera's space.
    let (e1, e2) = ([cy, 0.0, -sy], [sx * sy, cx, sx * cy]);
    let normal = [cx * sy, -sx, cx * cy];
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let frame = rendered(board, (640, 480), seed, 5.0, |x, y| {
        let (x, y) = undistorted(x, y);
        let far = dot([middle, 0.0, distance], normal) / dot([x, y, 1.0], normal);
        let place = [x * far - middle, y * far, far - distance];
        [dot(place, e1) + 45.0, dot(place, e2) + 30.0]
    });
    found(board, &frame)
}

/// The direction that a pixel looks in.
fn undistorted(x: f64, y: f64) -> (f64, f64) {
    let seen = ((x - CENTRE[0]) / FOCAL, (y - CENTRE[1]) / FOCAL);
    let mut straight = seen;
    for _ in 0..10 {
        let radial = 1.0 + K1 * (straight.0 * straight.0 + straight.1 * straight.1);
        straight = (seen.0 / radial, seen.1 / radial);
    }
    straight
}

const FOCAL: f64 = 900.0;
const CENTRE: [f64; 2] = [325.0, 236.0];
const K1: f64 = -0.25;

#[test]
fn an_area_camera_s_lens_is_found_from_tilted_boards() {
    let board = Board::new(10, 7, 10.0).unwrap();
    let held = [
        ([0.0, 0.0], -9.0, 165.0),
        ([0.0, 0.0], 9.0, 165.0),
        ([25.0, 0.0], 0.0, 200.0),
        ([-25.0, 5.0], 4.0, 200.0),
        ([0.0, 28.0], -6.0, 210.0),
        ([5.0, -28.0], 6.0, 210.0),
        ([18.0, 18.0], 0.0, 200.0),
    ];
    let views: Vec<View> = (0..)
        .zip(held)
        .map(|(seed, (tilt, middle, distance))| tilted(&board, seed, tilt, middle, distance))
        .collect();
    let (lens, camera) = measure_camera(&board, &views, &CAMERA_LIMITS).unwrap();
    assert!(camera.reprojection_px < 0.1, "{camera:?}");
    assert!(
        (camera.focal_px[0] / FOCAL - 1.0).abs() < 0.02,
        "{camera:?}"
    );
    assert!((camera.distortion[0] / K1 - 1.0).abs() < 0.2, "{camera:?}");
    assert!(camera.columns_off_px < 0.1, "{camera:?}");
    assert!((1.0..20.0).contains(&camera.rows_off_px), "{camera:?}");
    // The true columns of the middle row, scaled to the frame's width.
    let truth = |column: f64| undistorted(column, 240.0).0 * FOCAL;
    let (start, end) = (truth(0.0), truth(640.0));
    for column in (0..=640).step_by(32).map(f64::from) {
        let expected = (truth(column) - start) / (end - start) * 640.0;
        let off = (lens.straight(column) - expected).abs();
        assert!(off < 0.5, "{off} px at {column}: {camera:?}");
    }
    let refused = |views: &[View]| {
        let error = measure_camera(&board, views, &CAMERA_LIMITS).unwrap_err();
        error.to_string()
    };
    let error = refused(&views[..3]);
    assert!(error.contains("is 3, expected at least 5"), "{error}");
    let error = refused(&views[2..]);
    assert!(error.contains("the part of the width"), "{error}");
}

#[test]
fn a_picture_without_the_whole_board_shows_none_and_a_turned_one_is_refused() {
    let board = Board::new(9, 6, 10.0).unwrap();
    let at = |x: f64, y: f64| [x * 0.45 + 40.0, y * 0.45 - 20.0];
    let half = rendered(&board, (300, 210), 1, 4.0, at);
    assert_eq!(find_board(&board, &half).unwrap(), None);
    let plain = rendered(&board, (300, 200), 1, 20.0, |_, _| [-500.0, 0.0]);
    assert_eq!(find_board(&board, &plain).unwrap(), None);
    let turned = rendered(&board, (640, 900), 1, 4.0, |x, y| {
        [y * 0.15 - 20.0, x * 0.15 - 20.0]
    });
    let error = find_board(&board, &turned).unwrap_err().to_string();
    assert!(error.contains("turn the board"), "{error}");
}
