//! Numbers beside flaws, none upon another.
//!
//! A number goes to the first free place around its flaw; where there is none near, a little
//! further with a line to the flaw; where it is too crowded, nowhere, and the caller counts it.

use super::canvas::{Canvas, PxRect, WHITE};
use super::styles::Severity;
use super::text::{self, Face};

/// Side of a square of the occupancy grid, pixels.
const GRID_PX: i64 = 3;
const CHIP_HEIGHT_PX: i64 = 18;
const CHIP_PAD_PX: i64 = 4;
/// How far a number may stand from its flaw, pixels; beyond the first it gets a line.
const DISTANCES_PX: [i64; 3] = [3, 20, 38];
/// More failures than these mean that the map is full.
const N_FAILED_MOST: usize = 1000;

/// What already stands on the map.
pub(super) struct Labels {
    area: PxRect,
    n_columns: i64,
    /// 0 free, 1 a flaw's box, 2 text.
    taken: Vec<u8>,
    n_failed: usize,
}

impl Labels {
    pub(super) fn new(area: PxRect) -> Labels {
        let n_columns = area.width / GRID_PX + 1;
        let n_lines = area.height / GRID_PX + 1;
        Labels {
            area,
            n_columns,
            taken: vec![0; (n_columns * n_lines) as usize],
            n_failed: 0,
        }
    }

    /// No number on `rect`.
    pub(super) fn block(&mut self, rect: PxRect) {
        self.take(rect, 2);
    }

    /// No number on `rect` as long as there is another place.
    pub(super) fn avoid_if_possible(&mut self, rect: PxRect) {
        self.take(rect, 1);
    }

    /// Draws `number` near `flaw`; false when there is no room.
    pub(super) fn place(
        &mut self,
        canvas: &mut Canvas,
        flaw: PxRect,
        number: usize,
        severity: Severity,
    ) -> bool {
        if self.n_failed > N_FAILED_MOST {
            return false;
        }
        let text = number.to_string();
        let width = text::width_px(&text, Face::SmallBold) + 2 * CHIP_PAD_PX;
        for most_taken in [0, 1] {
            for distance_px in DISTANCES_PX {
                let places = places(flaw, width, distance_px);
                let Some(chip) = places
                    .into_iter()
                    .find(|chip| self.is_free(*chip, most_taken))
                else {
                    continue;
                };
                if distance_px > DISTANCES_PX[0] {
                    canvas.line(nearest(flaw, chip), nearest(chip, flaw), severity.color());
                }
                draw_chip(canvas, chip, &text, severity);
                self.block(chip.grown(1));
                return true;
            }
        }
        self.n_failed += 1;
        false
    }

    fn take(&mut self, rect: PxRect, by: u8) {
        for line in self.lines(rect) {
            for taken in &mut self.taken[line] {
                *taken = (*taken).max(by);
            }
        }
    }

    fn is_free(&self, rect: PxRect, most_taken: u8) -> bool {
        let area = self.area;
        let is_inside = rect.x >= area.x
            && rect.y >= area.y
            && rect.right() <= area.right()
            && rect.bottom() <= area.bottom();
        let is_free = |line: std::ops::Range<usize>| {
            self.taken[line].iter().all(|taken| *taken <= most_taken)
        };
        is_inside && self.lines(rect).into_iter().all(is_free)
    }

    /// The squares under `rect`, line by line.
    fn lines(&self, rect: PxRect) -> Vec<std::ops::Range<usize>> {
        let area = self.area;
        let square = |px: i64, most: i64| (px / GRID_PX).clamp(0, most / GRID_PX);
        let x0 = square(rect.x - area.x, area.width);
        let x1 = square(rect.right() - 1 - area.x, area.width);
        let y0 = square(rect.y - area.y, area.height);
        let y1 = square(rect.bottom() - 1 - area.y, area.height);
        let line = |y: i64| {
            let start = y * self.n_columns;
            (start + x0) as usize..(start + x1 + 1) as usize
        };
        (y0..=y1).map(line).collect()
    }
}

/// Where a number may stand, the best first.
fn places(flaw: PxRect, width: i64, distance_px: i64) -> [PxRect; 8] {
    let height = CHIP_HEIGHT_PX;
    let above = flaw.y - distance_px - height;
    let below = flaw.bottom() + distance_px;
    let left = flaw.x - distance_px - width;
    let right = flaw.right() + distance_px;
    let centre_x = flaw.x + (flaw.width - width) / 2;
    let centre_y = flaw.y + (flaw.height - height) / 2;
    [
        (centre_x, above),
        (right, centre_y),
        (centre_x, below),
        (left, centre_y),
        (right, above),
        (left, above),
        (right, below),
        (left, below),
    ]
    .map(|(x, y)| PxRect::new(x, y, width, height))
}

/// The point of `rect` that is nearest to the middle of `other`.
fn nearest(rect: PxRect, other: PxRect) -> (i64, i64) {
    (
        (other.x + other.width / 2).clamp(rect.x, rect.right() - 1),
        (other.y + other.height / 2).clamp(rect.y, rect.bottom() - 1),
    )
}

/// Draws a number on its coloured ground.
pub(super) fn draw_chip(canvas: &mut Canvas, chip: PxRect, text: &str, severity: Severity) {
    canvas.rounded(chip.grown(1), 5, WHITE);
    canvas.rounded(chip, 4, severity.color());
    let top = chip.y + (chip.height - Face::SmallBold.height_px()) / 2;
    text::draw(
        canvas,
        chip.x + CHIP_PAD_PX,
        top,
        text,
        Face::SmallBold,
        WHITE,
    );
}

/// The chip of `number` with its corner at `x`, `y`.
pub(super) fn chip_at(x: i64, y: i64, number: usize) -> (PxRect, String) {
    let text = number.to_string();
    let width = text::width_px(&text, Face::SmallBold) + 2 * CHIP_PAD_PX;
    (PxRect::new(x, y, width, CHIP_HEIGHT_PX), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_never_stand_on_each_other() {
        let mut canvas = Canvas::new(200, 100);
        let mut labels = Labels::new(PxRect::new(0, 0, 200, 100));
        let flaw = PxRect::new(95, 45, 9, 9);
        let n_placed = (1..200)
            .filter(|number| labels.place(&mut canvas, flaw, *number, Severity::Minor))
            .count();
        // Around one flaw there is room for some, not for all.
        assert!((4..40).contains(&n_placed), "{n_placed} were placed");
    }

    #[test]
    fn a_number_stays_on_the_map() {
        let mut canvas = Canvas::new(60, 30);
        let mut labels = Labels::new(PxRect::new(0, 0, 10, 10));
        assert!(!labels.place(&mut canvas, PxRect::new(0, 0, 9, 9), 1, Severity::Severe));
    }
}
