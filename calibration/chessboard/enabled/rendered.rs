//! Chessboards drawn for tests: any camera that can say which place of the board a pixel shows.

use camera::Frame;

use crate::board::Board;
use crate::picture::{noise, picture};

/// Points of a pixel that are looked at; no two share a column or a line of it, so that an upright
/// edge is drawn to a sixteenth of a pixel.
const N_POINTS: u32 = 16;
/// Lines from one point to the next; it shares no factor with their number.
const STEP: u32 = 7;

/// A frame in which the pixel place `(column, line)` shows the board's place that `on_board` gives,
/// mm from its first inner corner, with noise of `noise_level` of 255.
pub(super) fn rendered(
    board: &Board,
    (width, height): (u32, u32),
    seed: u32,
    noise_level: f32,
    on_board: impl Fn(f64, f64) -> [f64; 2],
) -> Frame {
    let share = |nth: u32| (f64::from(nth % N_POINTS) + 0.5) / f64::from(N_POINTS);
    picture(width, height, |row, column| {
        let mut sum = 0.0;
        for nth in 0..N_POINTS {
            let x = f64::from(column) + share(nth);
            let y = f64::from(row) + share(nth * STEP);
            sum += level(board, on_board(x, y));
        }
        let mean = sum / N_POINTS as f32;
        mean + noise_level * noise(seed, row, column) + 0.5
    })
}

/// Black and white squares, one around the inner corners, on white.
fn level(board: &Board, [x, y]: [f64; 2]) -> f32 {
    let (n_columns, n_rows) = board.n_corners();
    let square = |mm: f64| (mm / board.square_mm()).floor() as i64;
    let (column, row) = (square(x), square(y));
    let is_on = (-1..n_columns as i64).contains(&column) && (-1..n_rows as i64).contains(&row);
    if is_on && (column + row).rem_euclid(2) == 0 {
        40.0
    } else {
        200.0
    }
}
