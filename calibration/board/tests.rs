//! Boards without pictures: the order of corners, and what is refused.

use super::*;

fn board() -> Board {
    Board::new(4, 3, 10.0).unwrap()
}

/// Corners 50 px apart, from column 100 and line 40 on.
fn upright() -> Vec<[f64; 2]> {
    let places = board();
    let corners = places
        .places()
        .map(|[x, y]| [100.0 + 5.0 * x, 40.0 + 5.0 * y]);
    corners.collect()
}

#[test]
fn corners_are_put_from_the_upper_left_however_they_were_found() {
    let mut from_below = upright();
    from_below.reverse();
    let mut by_rows_from_the_right = upright();
    by_rows_from_the_right
        .chunks_exact_mut(4)
        .for_each(<[_]>::reverse);
    for corners in [upright(), from_below, by_rows_from_the_right] {
        let view = board().view(corners, (400, 200)).unwrap();
        assert_eq!(view.corners, upright());
    }
}

#[test]
fn corners_that_are_missing_or_run_along_are_refused() {
    let mut short = upright();
    short.pop();
    let error = board().view(short, (400, 200)).unwrap_err().to_string();
    assert!(error.contains("is 11, expected 12"), "{error}");
    assert!(board().view(Vec::new(), (400, 200)).is_err());
    let along = upright().into_iter().map(|[x, y]| [y, x]).collect();
    let error = board().view(along, (400, 200)).unwrap_err().to_string();
    assert!(error.contains("turn the board"), "{error}");
}

#[test]
fn a_board_that_cannot_be_told_from_its_picture_is_refused() {
    for (n_columns, n_rows, square) in [(5, 5, 10.0), (2, 5, 10.0), (9, 6, 0.0), (9, 6, f64::NAN)] {
        assert!(Board::new(n_columns, n_rows, square).is_err());
    }
}

#[test]
fn a_camera_askew_is_refused_with_its_angle() {
    let askew = upright()
        .into_iter()
        .map(|[x, y]| [x, y + 0.03 * x])
        .collect();
    let view = board().view(askew, (400, 200)).unwrap();
    let error = measure_scale(&board(), &[view], None, &BOARD_LIMITS).unwrap_err();
    assert!(error.to_string().contains("1.72 degrees"), "{error}");
}

#[test]
fn one_corner_out_of_place_is_refused_with_how_far() {
    let mut corners = upright();
    corners[5][0] += 10.0;
    let view = board().view(corners, (400, 200)).unwrap();
    let error = measure_scale(&board(), &[view], None, &BOARD_LIMITS).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("mm at most, expected 0.1 mm rms"),
        "{error}"
    );
    let none = measure_scale(&board(), &[], None, &BOARD_LIMITS).unwrap_err();
    assert!(
        none.to_string().contains("is 0, expected at least 1"),
        "{none}"
    );
}
