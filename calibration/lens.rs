//! How a lens bends a lane's columns.
//!
//! ```text
//! straight(column) = column + (1 − u²)·(b0 + b1·u + b2·u² + b3·u³)      u = 2·column/width − 1
//! ```
//!
//! A polynomial that is zero at both sides of the frame: the lane's scale is its width over its
//! columns, and the lens only says where in between a column lies. Radial distortion is in b1 and
//! b3, a tilted camera in b0. Positions are corrected and pixels are never resampled, so a flaw is
//! looked at as the camera saw it. It bends columns alone: of an area camera the middle row is
//! meant.

use opencv::core::{self, Mat};
use opencv::prelude::*;
use serde::{Deserialize, Serialize};

use crate::CalibrationError;

/// Where the columns of a frame would lie without distortion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Lens {
    width_px: u32,
    bend_px: [f64; TERMS],
}

/// Places across that were measured in one frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marked {
    /// Column and place of each in mm, from a datum of the frame's own.
    pub places: Vec<(f64, f64)>,
}

/// Terms of the polynomial.
const TERMS: usize = 4;
/// No camera line is wider, in pixels.
const WIDEST_PX: u32 = 1 << 16;
/// Widths of a column, in mean columns; a lens beyond it is no lens for measuring.
const COLUMN_WIDTHS: std::ops::RangeInclusive<f64> = 0.5..=2.0;
/// Different columns that a fit of the polynomial and a scale asks for.
const FEWEST_COLUMNS: usize = 8;
/// Share of the width over which they must be spread: a polynomial says nothing beyond its places.
const LEAST_SPREAD: f64 = 0.8;

impl Lens {
    /// A lens before frames of `width_px` columns, with `b0` to `b3` in pixels.
    ///
    /// # Errors
    /// `OutOfRange` where a column would be narrower than half or wider than twice the mean one.
    pub fn new(width_px: u32, bend_px: [f64; TERMS]) -> Result<Self, CalibrationError> {
        let refused = |what, found: String, expected: String| {
            Err(CalibrationError::OutOfRange {
                what,
                found,
                expected,
            })
        };
        if !(1..=WIDEST_PX).contains(&width_px) {
            return refused(
                "the lens' width_px",
                width_px.to_string(),
                format!("1 to {WIDEST_PX}"),
            );
        }
        let lens = Self { width_px, bend_px };
        for column in 0..width_px {
            let column = f64::from(column);
            let width = lens.straight(column + 1.0) - lens.straight(column);
            if !COLUMN_WIDTHS.contains(&width) {
                return refused(
                    "a column's width behind the lens",
                    format!("{width:.3} mean columns at column {column}"),
                    format!("{COLUMN_WIDTHS:?}"),
                );
            }
        }
        Ok(lens)
    }

    /// The lens and the mean scale, in mm per pixel, that fit what was measured in several frames.
    ///
    /// # Errors
    /// `OutOfRange` where the places are too few, too near each other, or fit no lens.
    pub fn fit(width_px: u32, frames: &[Marked]) -> Result<(Self, f64), CalibrationError> {
        let places = frames.iter().flat_map(|frame| &frame.places);
        check_spread(width_px, places.map(|place| place.0).collect())?;
        let half = f64::from(width_px) / 2.0;
        let n_places: usize = frames.iter().map(|frame| frame.places.len()).sum();
        let n_unknown = 1 + TERMS + frames.len();
        let mut rows = Vec::with_capacity(n_places * n_unknown);
        let mut places = Vec::with_capacity(n_places);
        for (nth, frame) in frames.iter().enumerate() {
            for &(column, mm) in &frame.places {
                let u = column / half - 1.0;
                rows.push(u);
                rows.extend(terms(u));
                rows.extend((0..frames.len()).map(|other| f64::from(u8::from(other == nth))));
                places.push(mm);
            }
        }
        let a = Mat::from_slice(&rows)?;
        let a = a.reshape(1, n_places as i32)?;
        let b = Mat::from_slice(&places)?;
        let b = b.reshape(1, n_places as i32)?;
        let mut x = Mat::default();
        core::solve(&a, &b, &mut x, core::DECOMP_SVD)?;
        let x = x.data_typed::<f64>()?;
        let mm_per_px = x[0] / half;
        if !(mm_per_px.is_finite() && mm_per_px > 0.0) {
            return Err(CalibrationError::OutOfRange {
                what: "the scale that fits the places",
                found: format!("{mm_per_px} mm per pixel"),
                expected: "above 0: places that grow with the columns".to_owned(),
            });
        }
        let bend_px = std::array::from_fn(|term| x[1 + term] / mm_per_px);
        Ok((Self::new(width_px, bend_px)?, mm_per_px))
    }

    /// Columns of the frames it stands before.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// The farthest that a column is moved, in pixels.
    pub fn largest_bend_px(&self) -> f64 {
        let columns = (0..=self.width_px).map(f64::from);
        columns
            .map(|column| self.bend(column).abs())
            .fold(0.0, f64::max)
    }

    /// Where `column` would lie without distortion; outside the frame it stays where it is.
    pub fn straight(&self, column: f64) -> f64 {
        column + self.bend(column)
    }

    /// The column that lies at `straight`: the inverse, to a millionth of a column.
    pub fn column(&self, straight: f64) -> f64 {
        let width = f64::from(self.width_px);
        if !(0.0..=width).contains(&straight) {
            return straight;
        }
        let (mut low, mut high) = (0.0, width);
        // Columns never turn back, so halving finds the only one there is.
        while high - low > 1e-6 {
            let middle = f64::midpoint(low, high);
            if self.straight(middle) <= straight {
                low = middle;
            } else {
                high = middle;
            }
        }
        f64::midpoint(low, high)
    }

    fn bend(&self, column: f64) -> f64 {
        let u = 2.0 * column / f64::from(self.width_px) - 1.0;
        if !(-1.0..=1.0).contains(&u) {
            return 0.0;
        }
        let parts = terms(u).into_iter().zip(self.bend_px);
        parts.map(|(term, bend)| term * bend).sum()
    }
}

fn terms(u: f64) -> [f64; TERMS] {
    let side = 1.0 - u * u;
    [side, side * u, side * u * u, side * u * u * u]
}

/// Refuses columns over a part of the width that says too little of the rest.
///
/// # Errors
/// `OutOfRange` with how much they cover.
pub(crate) fn check_spread(width_px: u32, mut columns: Vec<f64>) -> Result<(), CalibrationError> {
    columns.sort_unstable_by(f64::total_cmp);
    columns.dedup_by(|a, b| (*a - *b).abs() < 1.0);
    let (first, last) = (columns.first(), columns.last());
    let (first, last) = (first.copied().unwrap_or(0.0), last.copied().unwrap_or(0.0));
    let spread = (last - first) / f64::from(width_px.max(1));
    if columns.len() < FEWEST_COLUMNS || spread < LEAST_SPREAD {
        return Err(CalibrationError::OutOfRange {
            what: "the part of the width that the board covers",
            found: format!(
                "{:.0} % ({} columns from {first:.0} to {last:.0} of {width_px})",
                spread * 100.0,
                columns.len()
            ),
            expected: format!(
                "at least {:.0} % in {FEWEST_COLUMNS} columns: what lies outside is not known",
                LEAST_SPREAD * 100.0
            ),
        });
    }
    Ok(())
}

/// The same before it is checked: what a file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    width_px: u32,
    bend_px: [f64; TERMS],
}

impl TryFrom<Unchecked> for Lens {
    type Error = CalibrationError;
    fn try_from(raw: Unchecked) -> Result<Self, CalibrationError> {
        Self::new(raw.width_px, raw.bend_px)
    }
}

impl From<Lens> for Unchecked {
    fn from(lens: Lens) -> Self {
        Self {
            width_px: lens.width_px,
            bend_px: lens.bend_px,
        }
    }
}

#[cfg(test)]
mod tests;
