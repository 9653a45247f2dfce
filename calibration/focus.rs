//! How sharp cloth looks, in each quarter of a camera's sight.
//!
//! ```text
//! frame, its cloth ─▶ steps of one pixel, and of eight, across and along ─▶ sharpness per quarter
//! ```
//!
//! Sharpness is the energy of steps of one pixel over that of steps of eight, as the geometric mean of
//! both directions: neither light nor contrast changes it, blur does. Good strips of one cloth (six
//! simulated weaves, three of AITEX, two mills' area cameras) lay within 0.78 to 1.19 of their median;
//! blurred by a Gaussian of 2 px all lay below 0.36, by 1.5 px all below 0.48 but for one plain weave of
//! coarse yarn (0.51 to 0.75), by 1 px some stay above 0.8. Steps across alone, or against those of four
//! columns, do not tell twills and coarse yarns apart from their blurred selves.
//!
//! A hole, or another weave of longer floats, has less of small steps against large ones too, but more of large
//! ones; blur has less of both. So the contrast of large steps is told beside: good strips of one cloth lay
//! at 0.4 to 2.5 of their median, blurred by 2 px below 0.4, most of them below 0.2.
//!
//! It depends on the cloth, so it is only compared with what the same article showed. A lens is less
//! sharp at its sides than in its middle, and a camera that hangs askew has one side in focus and the
//! other out of it, so each quarter of the columns is told of alone. It is a function of one frame;
//! one of fewer than 24 lines tells nothing.

use std::ops::Range;

use camera::Frame;

use crate::CalibrationError;
use crate::cloth_edge::ClothSpan;

/// Parts of a camera's columns that are told of alone.
pub const N_FOCUS_PARTS: usize = 4;

/// How a part of the columns looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focus {
    /// Energy of steps of one pixel over that of steps of eight.
    pub sharpness: f64,
    /// Energy of steps of eight pixels, as a share of the light's.
    pub contrast: f64,
}

/// How each part of the columns looks, from the left; `None` where it shows too little cloth to tell, or
/// nothing but one level.
pub type Sharpness = [Option<Focus>; N_FOCUS_PARTS];

/// Places along that are looked at in a frame.
const N_PLACES: u32 = 32;
/// A step this long outlives a blur that a step of one does not.
const COARSE_STEP: usize = 8;
/// Lines of a frame that tells something.
const FEWEST_LINES: u32 = 24;
/// Columns beside an edge of the cloth that are left out: a selvedge is another weave, and table
/// may show where cloth runs askew.
const EDGE_PX: u32 = 48;
/// A part tells something when it shows at least this share of its columns, and so many.
const LEAST_SHARE: u32 = 3;
const LEAST_COLUMNS: u32 = 48;

/// Columns of a part of a frame `width` px wide.
pub fn focus_columns(part: usize, width: u32) -> Range<u32> {
    let at = |part: usize| (u64::from(width) * part as u64 / N_FOCUS_PARTS as u64) as u32;
    at(part)..at(part + 1)
}

/// How sharp the cloth of a frame looks. Rows are sub-sampled, so the cost hardly grows with the
/// frame's height.
///
/// # Errors
/// `ClothOutsideFrame` where `cloth` is not of this frame.
pub fn sharpness(frame: &Frame, cloth: ClothSpan) -> Result<Sharpness, CalibrationError> {
    let width = frame.width();
    ClothSpan::new(cloth.left(), cloth.right(), width)?;
    let left = if cloth.left() > 0 {
        cloth.left() + EDGE_PX
    } else {
        0
    };
    let right = if cloth.right() < width {
        cloth.right().saturating_sub(EDGE_PX)
    } else {
        width
    };
    let parts: [Option<Range<usize>>; N_FOCUS_PARTS] = std::array::from_fn(|part| {
        let columns = focus_columns(part, width);
        let least = (columns.len() as u32 / LEAST_SHARE).max(LEAST_COLUMNS);
        let (from, to) = (columns.start.max(left), columns.end.min(right));
        (to >= from + least).then_some(from as usize..to as usize)
    });
    let mut energies = [Energies::default(); N_FOCUS_PARTS];
    if frame.height() >= FEWEST_LINES {
        let n_places = N_PLACES.min(frame.height() - COARSE_STEP as u32);
        let mut rows = [(); 3].map(|()| vec![0.0; width as usize]);
        for nth in 0..n_places {
            let places = u64::from(frame.height() - COARSE_STEP as u32);
            let first = (u64::from(nth) * places / u64::from(n_places)) as u32;
            for (row, step) in rows.iter_mut().zip([0, 1, COARSE_STEP as u32]) {
                frame.grey_row_into(first + step, row);
            }
            for (columns, energies) in parts.iter().zip(&mut energies) {
                if let Some(columns) = columns {
                    let [here, next, far] = rows.each_ref().map(|row| &row[columns.clone()]);
                    energies.add(here, next, far);
                }
            }
        }
    }
    Ok(energies.map(|energies| energies.focus()))
}

/// Sums of squared steps: of one pixel and of eight, each across and along.
#[derive(Clone, Copy, Default)]
struct Energies {
    fine: [f64; 2],
    coarse: [f64; 2],
    level: f64,
    n_places: f64,
}

impl Energies {
    fn add(&mut self, here: &[f32], next: &[f32], far: &[f32]) {
        let square = |one: &f32, other: &f32| f64::from((other - one).powi(2));
        let sum = |one: &[f32], other: &[f32]| -> f64 {
            one.iter()
                .zip(other)
                .map(|(one, other)| square(one, other))
                .sum()
        };
        let per_column = here.len() as f64;
        let across = |step: usize| sum(here, &here[step..]) / (per_column - step as f64);
        self.level += here.iter().map(|level| f64::from(*level)).sum::<f64>() / per_column;
        self.n_places += 1.0;
        self.fine[0] += across(1);
        self.coarse[0] += across(COARSE_STEP);
        self.fine[1] += sum(here, next) / per_column;
        self.coarse[1] += sum(here, far) / per_column;
    }

    fn focus(&self) -> Option<Focus> {
        let fine = (self.fine[0] * self.fine[1]).sqrt();
        let coarse = (self.coarse[0] * self.coarse[1]).sqrt();
        (coarse > 0.0 && self.level > 0.0).then(|| Focus {
            sharpness: fine / coarse,
            // Both are sums over places.
            contrast: coarse * self.n_places / self.level.powi(2),
        })
    }
}

#[cfg(test)]
mod tests;
