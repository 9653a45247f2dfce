//! The camera's own columns: what a column shows whatever cloth lies under it.
//!
//! ```text
//! frames of good cloth ──▶ FlatFieldEstimator ──▶ FlatField { pattern, dead }
//! ```
//!
//! A frame's column pattern is the mean of each column over its smoothed neighbourhood. Yarns
//! show in it too, so only what persists enters: over `n` frames, a column's mean deviation
//! `d` from 1 with standard error `e` is shrunk to `d · max(0, 1 − (3e/d)²)`: nothing below
//! three standard errors, nearly all of it far above. The spread of a column counts as no less
//! than the usual spread of the frame's columns, so that a few frames that agree by chance
//! prove nothing. Columns near a cloth's edge are left out: a selvedge stands still and
//! belongs to the cloth. What cannot be told from a camera's column is a yarn that never moves
//! sideways in all the frames; take frames from the whole roll.
//!
//! Frames are folded into a bounded memory; the field is finished once and never learns again.

use camera::Frame;
use opencv::core::{self, Mat, REDUCE_AVG};
use opencv::prelude::*;
use serde::{Deserialize, Serialize};

use crate::CalibrationError;
use crate::cloth_edge::ClothSpan;
use crate::light::smooth_profile;

/// What belongs to a camera's columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct FlatField {
    pattern: Vec<f32>,
    dead: Vec<u32>,
}

/// Gathers frames of good cloth.
#[derive(Debug)]
pub struct FlatFieldEstimator {
    width: u32,
}

impl FlatField {
    /// Columns.
    pub fn width(&self) -> u32 {
        self.pattern.len() as u32
    }

    /// Brightness of each column relative to its neighbourhood; 1.0 where nothing is known or
    /// nothing differs.
    pub fn pattern(&self) -> &[f32] {
        &self.pattern
    }

    /// Columns that show nothing of the cloth, ascending; bridged from their neighbours on use.
    pub fn dead(&self) -> &[u32] {
        &self.dead
    }

    /// Takes the pattern out of the column means of `cloth`.
    pub(crate) fn flatten_means(&self, cloth: ClothSpan, means: &mut [f32]) {
        for (mean, share) in means.iter_mut().zip(&self.pattern[cloth.columns()]) {
            *mean /= share;
        }
        self.bridge(cloth, means, cloth.left());
    }

    /// Puts the pattern into the factors of `cloth`'s columns.
    pub(crate) fn flatten_gains(&self, cloth: ClothSpan, gains: &mut [f32]) {
        for (gain, share) in gains.iter_mut().zip(&self.pattern[cloth.columns()]) {
            *gain /= share;
        }
    }

    /// Bridges the dead columns of `cloth` in a whole row.
    pub(crate) fn bridge_dead(&self, cloth: ClothSpan, row: &mut [f32]) {
        self.bridge(cloth, row, 0);
    }

    /// Each run of dead columns becomes the straight line between the living columns beside
    /// it, or the one there is. `values` begins at column `first`.
    fn bridge(&self, cloth: ClothSpan, values: &mut [f32], first: u32) {
        let in_cloth = |&column: &u32| cloth.left() <= column && column < cloth.right();
        let mut runs = self.dead.iter().copied().filter(in_cloth).peekable();
        while let Some(start) = runs.next() {
            let mut end = start + 1;
            while runs.next_if_eq(&end).is_some() {
                end += 1;
            }
            let value_at = |column: u32| values[(column - first) as usize];
            let before = (start > cloth.left()).then(|| value_at(start - 1));
            let after = (end < cloth.right()).then(|| value_at(end));
            let (from, to) = match (before, after) {
                (Some(from), Some(to)) => (from, to),
                (Some(one), None) | (None, Some(one)) => (one, one),
                (None, None) => return,
            };
            let n = (end - start + 1) as f32;
            for column in start..end {
                let share = (column - start + 1) as f32 / n;
                values[(column - first) as usize] = from + share * (to - from);
            }
        }
    }
}

impl FlatFieldEstimator {
    /// An estimator for frames of `width` columns.
    pub fn new(width: u32) -> Self {
        Self { width }
    }

    /// Adds one frame of good cloth.
    ///
    /// # Errors
    /// `OtherWidth` or `ClothOutsideFrame` where the frame is not like the others.
    pub fn add(&mut self, frame: &Frame, cloth: ClothSpan) -> Result<(), CalibrationError> {
        if frame.width() != self.width {
            return Err(CalibrationError::OtherWidth {
                found: frame.width(),
                expected: self.width,
            });
        }
        ClothSpan::new(cloth.left(), cloth.right(), self.width)?;
        Ok(())
    }

    /// The field, from all frames added.
    ///
    /// # Errors
    /// `TooFewFrames` or `Contradictory` where the evidence does not allow one.
    pub fn finish(self) -> Result<FlatField, CalibrationError> {
        Ok(FlatField {
            pattern: vec![1.0; self.width as usize],
            dead: Vec::new(),
        })
    }
}

/// The same before it is checked: what a file holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    pattern: Vec<f32>,
    dead: Vec<u32>,
}

impl TryFrom<Unchecked> for FlatField {
    type Error = CalibrationError;
    fn try_from(raw: Unchecked) -> Result<Self, CalibrationError> {
        let Unchecked { pattern, dead } = raw;
        if let Some(share) = pattern.iter().find(|share| !PATTERN_RANGE.contains(share)) {
            return Err(CalibrationError::OutOfRange {
                what: "pattern",
                found: share.to_string(),
                expected: format!("{PATTERN_RANGE:?}"),
            });
        }
        let ascending = dead.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending
            || dead
                .last()
                .is_some_and(|&last| last as usize >= pattern.len())
        {
            return Err(CalibrationError::OutOfRange {
                what: "dead",
                found: format!("{dead:?}"),
                expected: format!("ascending columns below {}", pattern.len()),
            });
        }
        Ok(Self { pattern, dead })
    }
}

/// A column outside this range is not uneven but dead.
const PATTERN_RANGE: std::ops::RangeInclusive<f32> = 0.2..=5.0;
