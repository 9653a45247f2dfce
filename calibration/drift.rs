//! Whether a station still sees as it did: the lamp, the lens, the camera's stand.
//!
//! ```text
//! frames of an article, freshly calibrated ─▶ Watched ─▶ Sight (the baseline, in the profile)
//! frames of the same article today         ─▶ Watched ─▶ Sight ─▶ drifts ─▶ Drift …
//! ```
//!
//! How bright and how sharp cloth looks depends on the cloth, so sights are only compared of one
//! article. Sharpness is the energy of steps to the next column over that of steps four columns
//! wide: neither light nor contrast changes it, blur does. The lamp's shape is told by bins of columns.
//! A web wanders by some millimetres, so it has moved only when it lies farther away than that. It
//! is a function of two sights, and remembers nothing.

use std::fmt;

use camera::Frame;
use serde::{Deserialize, Serialize};

use crate::CalibrationError;
use crate::cloth_edge::ClothSpan;

/// What cloth of an article looks like in a lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Sight {
    /// Mean level of the cloth, of 255.
    pub mean_level: f64,
    /// Sharpness, without a unit.
    pub focus: f64,
    /// Level of each of the frame's bins over the mean; `None` beside the cloth.
    pub shape: Vec<Option<f64>>,
    /// First column of cloth, where the selvedge is seen.
    pub left_px: Option<f64>,
    /// One past the last column of cloth, where the selvedge is seen.
    pub right_px: Option<f64>,
    /// Frames looked at.
    pub n_frames: u32,
}

/// Sums over the frames that make a sight.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    n_frames: u32,
    level: f64,
    n_pixels: f64,
    fine: f64,
    coarse: f64,
    bins: Vec<(f64, f64)>,
    left: Side,
    right: Side,
    row: Vec<f32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Side {
    sum: f64,
    n: u32,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drift {
    /// Cloth is darker, by so many %: the lamp ages, or dust lies on it.
    Darker(f64),
    /// Cloth is brighter, by so many %: exposure or lamp was changed.
    Brighter(f64),
    /// The lamp's shape differs by so many % in a bin of columns, counted from 0.
    Uneven {
        /// How far, %.
        percent: f64,
        /// Where, in bins.
        bin: usize,
    },
    /// Cloth is less sharp, by so many %: the lens is dirty or out of focus.
    Blurred(f64),
    /// Cloth lies so many pixels farther right (left where below 0): the camera has moved, or the web.
    Moved(f64),
    /// Cloth is wider by so many % (narrower where below 0): the camera's distance has changed.
    Scaled(f64),
}

/// What is no drift yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftLimits {
    /// Change of the mean level, %.
    pub level_percent: f64,
    /// Change of the lamp's shape in a bin, %.
    pub shape_percent: f64,
    /// Loss of sharpness, %.
    pub focus_percent: f64,
    /// Movement of the cloth's edges, pixels.
    pub moved_px: f64,
    /// Change of the cloth's width, %.
    pub width_percent: f64,
}

/// What serves where nothing else is asked for. The level is left to what lots of an article
/// differ by in dye and yarn; sharpness to what other tension does.
pub const DRIFT_LIMITS: DriftLimits = DriftLimits {
    level_percent: 15.0,
    shape_percent: 8.0,
    focus_percent: 15.0,
    moved_px: 100.0,
    width_percent: 3.0,
};

/// Frames that a sight takes at least; fewer say more of the place than of the station.
pub const FEWEST_FRAMES: u32 = 4;

impl Watched {
    /// Adds a frame and its cloth. Rows are sub-sampled, so the cost hardly grows with its height.
    ///
    /// # Errors
    /// `ClothOutsideFrame` where `cloth` is not of this frame.
    pub fn add(&mut self, frame: &Frame, cloth: ClothSpan) -> Result<(), CalibrationError> {
        let width = frame.width();
        ClothSpan::new(cloth.left(), cloth.right(), width)?;
        self.n_frames = self.n_frames.saturating_add(1);
        self.bins.resize(N_BINS, (0.0, 0.0));
        self.row.resize(width as usize, 0.0);
        for nth in 0..N_ROWS.min(frame.height()) {
            let row_idx =
                u64::from(nth) * u64::from(frame.height()) / u64::from(N_ROWS.min(frame.height()));
            frame.grey_row_into(row_idx as u32, &mut self.row);
            let inside = &self.row[cloth.columns()];
            self.level += inside.iter().map(|&level| f64::from(level)).sum::<f64>();
            self.n_pixels += inside.len() as f64;
            self.fine += steps(inside, 1);
            self.coarse += steps(inside, COARSE_STEP);
            for bin in 0..N_BINS {
                let columns = bin_columns(bin, width);
                // A bin with an edge in it shows table too.
                if cloth.left() as usize <= columns.start && columns.end <= cloth.right() as usize {
                    let levels = &self.row[columns];
                    self.bins[bin].0 += levels.iter().map(|&level| f64::from(level)).sum::<f64>();
                    self.bins[bin].1 += levels.len() as f64;
                }
            }
        }
        if cloth.left() > 0 {
            self.left.add(cloth.left());
        }
        if cloth.right() < width {
            self.right.add(cloth.right());
        }
        Ok(())
    }

    /// Frames added.
    pub fn n_frames(&self) -> u32 {
        self.n_frames
    }

    /// What they show; `None` where they are too few or show nothing.
    pub fn sight(&self) -> Option<Sight> {
        if self.n_frames < FEWEST_FRAMES || self.coarse <= 0.0 || self.level <= 0.0 {
            return None;
        }
        let mean_level = self.level / self.n_pixels;
        let shape = self
            .bins
            .iter()
            .map(|(sum, n)| (*n > 0.0).then(|| sum / n / mean_level));
        Some(Sight {
            mean_level,
            focus: self.fine / self.coarse,
            shape: shape.collect(),
            left_px: self.left.mean(self.n_frames),
            right_px: self.right.mean(self.n_frames),
            n_frames: self.n_frames,
        })
    }
}

/// What has drifted from `baseline` to `today`, both of one article in one lane.
pub fn drifts(baseline: &Sight, today: &Sight, limits: &DriftLimits) -> Vec<Drift> {
    let percent = |now: f64, then: f64| (now / then - 1.0) * 100.0;
    let mut found = Vec::new();
    let level = percent(today.mean_level, baseline.mean_level);
    if level < -limits.level_percent {
        found.push(Drift::Darker(-level));
    } else if level > limits.level_percent {
        found.push(Drift::Brighter(level));
    }
    let bins = baseline.shape.iter().zip(&today.shape).enumerate();
    let both = bins.filter_map(|(bin, (then, now))| Some((bin, percent((*now)?, (*then)?))));
    let worst = both.max_by(|one, other| one.1.abs().total_cmp(&other.1.abs()));
    if let Some((bin, percent)) = worst.filter(|worst| worst.1.abs() > limits.shape_percent) {
        found.push(Drift::Uneven { percent, bin });
    }
    let focus = percent(today.focus, baseline.focus);
    if focus < -limits.focus_percent {
        found.push(Drift::Blurred(-focus));
    }
    let moved = |then: Option<f64>, now: Option<f64>| Some(now? - then?);
    let left = moved(baseline.left_px, today.left_px);
    let right = moved(baseline.right_px, today.right_px);
    if let Some((left, right)) = left.zip(right)
        && let Some((first, end)) = baseline.left_px.zip(baseline.right_px)
    {
        let wider = (right - left) / (end - first) * 100.0;
        if wider.abs() > limits.width_percent {
            found.push(Drift::Scaled(wider));
        }
    }
    // Two edges that move apart have not moved as one.
    let by = match (left, right) {
        (Some(left), Some(right)) => Some(f64::midpoint(left, right)),
        (one, other) => one.or(other),
    };
    if let Some(by) = by.filter(|by| by.abs() > limits.moved_px) {
        found.push(Drift::Moved(by));
    }
    found
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Drift::Darker(percent) => write!(
                f,
                "cloth is {percent:.0} % darker than when the station was calibrated: clean the lamp, or expose longer; lamps age"
            ),
            Drift::Brighter(percent) => write!(
                f,
                "cloth is {percent:.0} % brighter than when the station was calibrated: was lamp or exposure changed?"
            ),
            Drift::Uneven { percent, bin } => write!(
                f,
                "the lamp's shape has changed by {percent:+.0} % at {:.0} % of the width: clean it, look for dead parts",
                (bin as f64 + 0.5) / N_BINS as f64 * 100.0
            ),
            Drift::Blurred(percent) => write!(
                f,
                "cloth is {percent:.0} % less sharp than when the station was calibrated: clean the lens, look at its focus"
            ),
            Drift::Moved(px) => write!(
                f,
                "cloth lies {:.0} px farther {} than when the station was calibrated: has the camera or the web moved?",
                px.abs(),
                if px > 0.0 { "right" } else { "left" }
            ),
            Drift::Scaled(percent) => write!(
                f,
                "cloth is {percent:+.1} % wider in pixels than when the station was calibrated: has the camera's distance changed?"
            ),
        }
    }
}

impl Drift {
    /// True where both are changes of one kind, however large.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Side {
    fn add(&mut self, column: u32) {
        self.sum += f64::from(column);
        self.n += 1;
    }

    /// `None` where a frame did not show it.
    fn mean(&self, n_frames: u32) -> Option<f64> {
        (self.n == n_frames && self.n > 0).then(|| self.sum / f64::from(self.n))
    }
}

/// Bins of a frame's columns.
const N_BINS: usize = 32;
/// Rows looked at in a frame.
const N_ROWS: u32 = 16;
/// A step this wide outlives a blur that a step of one does not.
const COARSE_STEP: usize = 4;

fn bin_columns(bin: usize, width: u32) -> std::ops::Range<usize> {
    let at = |bin: usize| bin * width as usize / N_BINS;
    at(bin)..at(bin + 1)
}

/// Sum of the squares of steps over `distance` columns.
fn steps(levels: &[f32], distance: usize) -> f64 {
    let pairs = levels.iter().zip(levels.iter().skip(distance));
    pairs
        .map(|(one, other)| f64::from((other - one).powi(2)))
        .sum()
}

/// The same before it is checked: what a file holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    mean_level: f64,
    focus: f64,
    shape: Vec<Option<f64>>,
    left_px: Option<f64>,
    right_px: Option<f64>,
    n_frames: u32,
}

impl TryFrom<Unchecked> for Sight {
    type Error = CalibrationError;
    fn try_from(raw: Unchecked) -> Result<Self, CalibrationError> {
        let is_share = |value: &f64| value.is_finite() && *value > 0.0;
        let edges = raw.left_px.iter().chain(&raw.right_px);
        let is_sound = (0.0..=255.0).contains(&raw.mean_level)
            && is_share(&raw.mean_level)
            && is_share(&raw.focus)
            && raw.shape.len() == N_BINS
            && raw.shape.iter().flatten().all(is_share)
            && edges
                .into_iter()
                .all(|edge| edge.is_finite() && *edge >= 0.0);
        if !is_sound {
            return Err(CalibrationError::OutOfRange {
                what: "a baseline",
                found: format!(
                    "level {}, focus {}, {} bins",
                    raw.mean_level,
                    raw.focus,
                    raw.shape.len()
                ),
                expected: format!("numbers above 0, {N_BINS} bins"),
            });
        }
        Ok(Self {
            mean_level: raw.mean_level,
            focus: raw.focus,
            shape: raw.shape,
            left_px: raw.left_px,
            right_px: raw.right_px,
            n_frames: raw.n_frames,
        })
    }
}

#[cfg(test)]
mod tests;
