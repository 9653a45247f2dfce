//! Where a lane's pixels and columns of cells lie on the web.

use calibration::{Um, mm_from_um};
use camera::Frame;
use models::CELL_PX;

use crate::classes::PixelPlace;
use crate::flaws::Sides;
use crate::roll::LanePlace;

impl LanePlace {
    /// Where the pixels of `frame` lie.
    pub(super) fn pixels(&self, frame: &Frame, sides: &Sides) -> PixelPlace {
        let (first, end) = (frame.ticks.start, frame.ticks.end);
        let n_lines = f64::from(frame.height().max(1));
        PixelPlace {
            x_mm: mm_from_um(self.geometry.offset()),
            y_mm: mm_from_um(self.geometry.um_from_tick(first)),
            mm_per_px: self.geometry.mm_per_px(),
            lens: self.geometry.lens(),
            mm_per_line: self.geometry.um_per_tick() * (end - first) as f64 / n_lines / 1e3,
            owned: sides.owned.clone(),
        }
    }

    /// Which columns of cells are shared, where lanes lie to the left or right; parts up to
    /// `reach` µm from the border belong to the shared ones.
    pub(super) fn sides(&self, has_left: bool, has_right: bool, reach: f64) -> Sides {
        let cell = self.geometry.mm_per_px() * 1e3 * CELL_PX as f64;
        let cells_to = |um: i64| self.geometry.column_from_um(Um(um)) / CELL_PX as f64;
        let (start, end) = (self.owned.start().get(), self.owned.end().get());
        // A cell is owned where its middle lies; negative places become 0.
        let (first, last) = ((cells_to(start) - 0.5).ceil(), (cells_to(end) - 0.5).ceil());
        Sides {
            left: if has_left {
                (cells_to(start) + reach / cell).ceil() as usize
            } else {
                0
            },
            right: if has_right {
                (cells_to(end) - reach / cell).floor() as usize
            } else {
                usize::MAX
            },
            owned: if has_left { first as usize } else { 0 }..if has_right {
                last as usize
            } else {
                usize::MAX
            },
        }
    }
}
