//! Where the web lies on the map: micrometres become rows and pixels.
//!
//! A long roll is wrapped into rows of a round length, read like lines of text. Proportions are
//! true unless a row would become a thread; then the width is stretched, and [`Scale::stretch`]
//! says by how much. Positions are `f64` here: a picture resolves far less, and no length
//! overflows. It draws nothing.

use store::Rect;

use super::RollPicture;
use super::canvas::PxRect;
use super::units;

/// Most rows of a map.
const N_ROWS_MOST: i64 = 12;
/// A row should be as high as this before it is wrapped less, pixels.
const ROW_WANTED_PX: f64 = 110.0;
/// A row is never lower, pixels: flaws beside each other can be told apart.
const ROW_LEAST_PX: f64 = 64.0;
/// A row is never higher, pixels.
const ROW_MOST_PX: f64 = 520.0;
/// A map is never shorter, pixels.
const LENGTH_LEAST_PX: f64 = 240.0;
/// Left of the rows, for the axis across.
pub(super) const AXIS_PX: i64 = 92;
/// Above each row, for numbers of flaws at its edge.
const ABOVE_ROW_PX: i64 = 22;
/// Below each row, for the axis along.
const BELOW_ROW_PX: i64 = 36;

/// Where the web lies on the map.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    pub(super) along0_um: f64,
    pub(super) across0_um: f64,
    pub(super) length_um: f64,
    pub(super) width_um: f64,
    row_um: f64,
    pub(super) n_rows: i64,
    pub(super) px_per_um_along: f64,
    pub(super) px_per_um_across: f64,
}

impl Scale {
    /// Fits a web into `room_px`. Length and width are not zero.
    pub(super) fn new(picture: &RollPicture, room_px: i64) -> Scale {
        let (length_um, width_um) = (picture.length_um as f64, picture.width_um as f64);
        let room_px = room_px as f64;
        let height_px = |n_rows: i64| room_px * n_rows as f64 / length_um * width_um;
        let n_wanted = (1..N_ROWS_MOST).find(|n| height_px(*n) >= ROW_WANTED_PX);
        let row_um = match n_wanted.unwrap_or(N_ROWS_MOST) {
            1 => length_um,
            n_rows => units::round_row(length_um / n_rows as f64).min(length_um),
        };
        let true_px_per_um = (room_px / row_um).min(ROW_MOST_PX / width_um);
        let starts = |of: fn(&Rect) -> i64| {
            picture
                .coverage
                .iter()
                .map(|cell| of(&cell.rect))
                .min()
                .unwrap_or(0) as f64
        };
        Scale {
            along0_um: starts(|rect| rect.along().start),
            across0_um: starts(|rect| rect.across().start),
            length_um,
            width_um,
            row_um,
            n_rows: ((length_um / row_um).ceil() as i64).clamp(1, N_ROWS_MOST),
            px_per_um_along: true_px_per_um
                .max(LENGTH_LEAST_PX / row_um)
                .min(room_px / row_um),
            px_per_um_across: true_px_per_um.max(ROW_LEAST_PX / width_um),
        }
    }

    /// Width of a whole row and height of any, pixels.
    pub(super) fn row_px(&self) -> (i64, i64) {
        let px = |um: f64, px_per_um: f64| (um * px_per_um).round() as i64;
        (
            px(self.row_um, self.px_per_um_along),
            px(self.width_um, self.px_per_um_across),
        )
    }

    /// Cloth on `row`, micrometres from the roll's start; the last row may be shorter.
    pub(super) fn row_along(&self, row: i64) -> (f64, f64) {
        let from = row as f64 * self.row_um;
        (from, (from + self.row_um).min(self.length_um))
    }

    pub(super) fn row_width_px(&self, row: i64) -> i64 {
        let (from, to) = self.row_along(row);
        (((to - from) * self.px_per_um_along).round() as i64).clamp(1, self.row_px().0)
    }

    /// The pixels of `rect`, row by row, from each row's top left corner; at least `least_px` on
    /// each side. What lies outside the roll is moved to its edge.
    pub(super) fn parts(&self, rect: &Rect, least_px: i64) -> Vec<(i64, PxRect)> {
        let on_roll = |um: i64, start: f64, size: f64| (um as f64 - start).clamp(0.0, size);
        let along = |um: i64| on_roll(um, self.along0_um, self.length_um);
        let across = |um: i64| on_roll(um, self.across0_um, self.width_um);
        let (from, to) = (along(rect.along().start), along(rect.along().end));
        let side = |from: f64, to: f64, px_per_um: f64, room_px: i64| {
            let start = (from * px_per_um).round() as i64;
            let size = (to * px_per_um).round() as i64 - start;
            let grown = size.max(least_px).min(room_px);
            (
                (start - (grown - size) / 2).clamp(0, room_px - grown),
                grown,
            )
        };
        let (y, height) = side(
            across(rect.across().start),
            across(rect.across().end),
            self.px_per_um_across,
            self.row_px().1,
        );
        let first = ((from / self.row_um).floor() as i64).clamp(0, self.n_rows - 1);
        let last = ((to / self.row_um).ceil() as i64 - 1).clamp(first, self.n_rows - 1);
        (first..=last)
            .map(|row| {
                let (row_from, row_to) = self.row_along(row);
                let within = |um: f64| um.clamp(row_from, row_to) - row_from;
                let (x, width) = side(
                    within(from),
                    within(to),
                    self.px_per_um_along,
                    self.row_width_px(row),
                );
                (row, PxRect::new(x, y, width, height))
            })
            .collect()
    }

    /// From one row to the next, pixels.
    pub(super) fn row_pitch_px(&self) -> i64 {
        ABOVE_ROW_PX + self.row_px().1 + BELOW_ROW_PX
    }

    /// Where row `row` begins when the map's corner is at `x`, `y`.
    pub(super) fn row_corner(&self, x: i64, y: i64, row: i64) -> (i64, i64) {
        (x + AXIS_PX, y + row * self.row_pitch_px() + ABOVE_ROW_PX)
    }

    /// How many times too wide the web is drawn; 1 is true.
    pub(super) fn stretch(&self) -> f64 {
        self.px_per_um_across / self.px_per_um_along
    }
}
