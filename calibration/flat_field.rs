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
use opencv::core::{self, Mat};
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
    doubtful: Vec<u32>,
}

/// Gathers frames of good cloth. Its memory is bounded: when it holds [`MOST_FRAMES`] frames it
/// lets go of every second one and from then on takes every second, then every fourth ...
#[derive(Debug)]
pub struct FlatFieldEstimator {
    width: u32,
    n_added: u32,
    stride: u32,
    shown: Vec<Shown>,
    plane: Vec<f32>,
}

/// Frames kept; they cover a roll evenly, however long it is.
pub const MOST_FRAMES: usize = 64;

/// What one frame shows per column; not a number where it shows no cloth, or its edge.
#[derive(Debug)]
struct Shown {
    /// Mean over the smoothed neighbourhood, of which what looks dead is no part.
    share: Vec<f32>,
    /// True where it looks dead.
    looks_dead: Vec<bool>,
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

    /// Columns that changed while the frames were taken, ascending; nothing is taken off them.
    pub fn doubtful(&self) -> &[u32] {
        &self.doubtful
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
        Self {
            width,
            n_added: 0,
            stride: 1,
            shown: Vec::new(),
            plane: Vec::new(),
        }
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
        let is_kept = self.n_added.is_multiple_of(self.stride);
        self.n_added += 1;
        if !is_kept || frame.height() == 0 {
            return Ok(());
        }
        let shown = self.look(frame, cloth)?;
        self.shown.push(shown);
        if self.shown.len() >= MOST_FRAMES {
            let mut idx = 0;
            self.shown.retain(|_| {
                idx += 1;
                idx % 2 == 1
            });
            self.stride = self.stride.saturating_mul(2);
        }
        Ok(())
    }

    /// The field, from all frames added.
    ///
    /// # Errors
    /// `TooFewFrames`, `SamePlace` or `Contradictory` where the evidence does not allow one.
    pub fn finish(self) -> Result<FlatField, CalibrationError> {
        let n_frames = self.shown.len() as u32;
        if n_frames < MIN_FRAMES {
            return Err(CalibrationError::TooFewFrames {
                found: n_frames,
                expected: MIN_FRAMES,
            });
        }
        let independent = independent_share(&self.shown)?;
        let columns: Vec<Option<Column>> = (0..self.width as usize)
            .map(|column| Column::over(&self.shown, column))
            .collect();
        refuse_contradiction(&columns)?;
        let usual_spread = median(columns.iter().flatten().map(|column| column.spread));
        let share = |column: &Option<Column>| match column {
            Some(column) if !column.is_dead && !column.is_contradictory() => {
                let spread = column.spread.max(usual_spread);
                let error = spread / (column.n as f32 * independent).sqrt();
                let share = 1.0 + shrunk(column.mean - 1.0, error);
                share.clamp(*PATTERN_RANGE.start(), *PATTERN_RANGE.end())
            }
            _ => 1.0,
        };
        Ok(FlatField {
            pattern: columns.iter().map(share).collect(),
            dead: columns_that(&columns, |column| column.is_dead),
            doubtful: columns_that(&columns, Column::is_contradictory),
        })
    }

    fn look(&mut self, frame: &Frame, cloth: ClothSpan) -> Result<Shown, CalibrationError> {
        let (width, height) = (self.width as usize, frame.height() as usize);
        self.plane.resize(width * height, 0.0);
        for (row, values) in self.plane.chunks_exact_mut(width).enumerate() {
            frame.grey_row_into(row as u32, values);
        }
        let plane = Mat::from_slice(&self.plane)?;
        let plane = plane.reshape(1, height as i32)?;
        let mut means = Mat::default();
        core::reduce(&plane, &mut means, 0, core::REDUCE_AVG, core::CV_32F)?;
        let means = &means.data_typed::<f32>()?[cloth.columns()];
        let steps = &mean_steps_along(&self.plane, width)[cloth.columns()];

        let n = means.len();
        let mut alive = means.to_vec();
        let mut looks_dead = vec![false; n];
        for i in 0..n {
            let beside = neighbours(i, n);
            let level = median(beside.clone().map(|j| means[j])) + LEAST_STEP;
            let step = median(beside.map(|j| steps[j])) + LEAST_STEP;
            let is_far = !ALIVE_LEVEL.contains(&((means[i] + LEAST_STEP) / level));
            let is_still = (steps[i] + LEAST_STEP) / step < STILL_SHARE;
            looks_dead[i] = is_far || is_still;
            if looks_dead[i] {
                alive[i] = level - LEAST_STEP;
            }
        }
        let smooth = smooth_profile(&alive)?;

        let mut shown = Shown {
            share: vec![f32::NAN; width],
            looks_dead: vec![false; width],
        };
        let margin = |is_border: bool| if is_border { 0 } else { EDGE_PX };
        let first = margin(cloth.left() == 0);
        let end = n.saturating_sub(margin(cloth.right() == self.width));
        for i in first..end {
            let column = cloth.left() as usize + i;
            shown.looks_dead[column] = looks_dead[i];
            if smooth[i] > 0.0 {
                shown.share[column] = means[i] / smooth[i];
            }
        }
        Ok(shown)
    }
}

/// The same before it is checked: what a file holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    pattern: Vec<f32>,
    dead: Vec<u32>,
    doubtful: Vec<u32>,
}

impl TryFrom<Unchecked> for FlatField {
    type Error = CalibrationError;
    fn try_from(raw: Unchecked) -> Result<Self, CalibrationError> {
        let Unchecked {
            pattern,
            dead,
            doubtful,
        } = raw;
        if let Some(share) = pattern.iter().find(|share| !PATTERN_RANGE.contains(share)) {
            return Err(CalibrationError::OutOfRange {
                what: "pattern",
                found: share.to_string(),
                expected: format!("{PATTERN_RANGE:?}"),
            });
        }
        for (what, columns) in [("dead", &dead), ("doubtful", &doubtful)] {
            let is_ascending = columns.windows(2).all(|pair| pair[0] < pair[1]);
            let is_inside = columns
                .last()
                .is_none_or(|&last| (last as usize) < pattern.len());
            if !is_ascending || !is_inside {
                return Err(CalibrationError::OutOfRange {
                    what,
                    found: format!("{columns:?}"),
                    expected: format!("ascending columns below {}", pattern.len()),
                });
            }
        }
        Ok(Self {
            pattern,
            dead,
            doubtful,
        })
    }
}

/// A column outside this range is not uneven but dead.
const PATTERN_RANGE: std::ops::RangeInclusive<f32> = 0.2..=5.0;

/// Below this, yarns that happen to agree look like the camera.
const MIN_FRAMES: u32 = 8;
/// A selvedge (up to 80 px seen) and the reach of the smoothing.
const EDGE_PX: usize = 144;
/// Deviations below this many standard errors are nothing but yarn.
const SHRUNK_ERRORS: f32 = 3.0;
/// Columns on each side that a column is compared with.
const NEIGHBOURS: usize = 4;
/// A living column's mean over its neighbours'; no yarn alone reaches beyond.
const ALIVE_LEVEL: std::ops::RangeInclusive<f32> = 0.6..=1.6;
/// A column whose steps along are below this share of its neighbours' shows no cloth.
const STILL_SHARE: f32 = 0.3;
/// Of 255; steps this small are rounding.
const LEAST_STEP: f32 = 0.5;
/// A column is dead when it looks dead in at least this share of the frames.
const DEAD_FRAMES: f32 = 0.9;
/// Frames whose columns agree better than this are one frame.
const SAME_PLACE: f32 = 0.998;
/// Halves of the frames contradict each other in a column when their means differ by this ...
const CONTRADICTION: f32 = 0.15;
/// ... and by this many times the spread within the halves.
const CONTRADICTION_SPREADS: f32 = 4.0;
/// A joint of two sensors may change between two days and is then left as it is; when more than
/// this share of all columns changes, it was another lens, lamp or camera.
const MOST_DOUBTFUL: f32 = 0.01;

/// One column over the frames.
struct Column {
    n: usize,
    mean: f32,
    /// Standard deviation from frame to frame.
    spread: f32,
    /// Mean of the first and of the second half of the frames, and the spread within.
    halves: [f32; 2],
    spread_within: f32,
    is_dead: bool,
}

impl Column {
    /// `None` where too few frames show the column.
    fn over(shown: &[Shown], column: usize) -> Option<Self> {
        let seen = shown.iter().filter(|frame| frame.share[column].is_finite());
        let shares: Vec<f32> = seen.clone().map(|frame| frame.share[column]).collect();
        let n = shares.len();
        if n < MIN_FRAMES as usize {
            return None;
        }
        let n_dead = seen.filter(|frame| frame.looks_dead[column]).count();
        let (first, second) = shares.split_at(n / 2);
        let halves = [mean(first), mean(second)];
        let within = (squares(first, halves[0]) + squares(second, halves[1])) / (n - 2) as f32;
        let mean = mean(&shares);
        Some(Self {
            n,
            mean,
            spread: (squares(&shares, mean) / (n - 1) as f32).sqrt(),
            halves,
            spread_within: within.sqrt(),
            is_dead: n_dead as f32 >= DEAD_FRAMES * n as f32,
        })
    }

    fn gap(&self) -> f32 {
        (self.halves[1] - self.halves[0]).abs()
    }

    fn is_contradictory(&self) -> bool {
        let allowed = CONTRADICTION.max(CONTRADICTION_SPREADS * self.spread_within);
        !self.is_dead && self.gap() > allowed
    }
}

/// `deviation` without what its standard error `error` explains.
fn shrunk(deviation: f32, error: f32) -> f32 {
    let noise = SHRUNK_ERRORS * error;
    if deviation.abs() <= noise {
        return 0.0;
    }
    deviation * (1.0 - (noise / deviation).powi(2))
}

fn columns_that(columns: &[Option<Column>], is_so: impl Fn(&Column) -> bool) -> Vec<u32> {
    (0..)
        .zip(columns)
        .filter(|(_, column)| column.as_ref().is_some_and(&is_so))
        .map(|(idx, _)| idx)
        .collect()
}

fn refuse_contradiction(columns: &[Option<Column>]) -> Result<(), CalibrationError> {
    let against = || {
        let seen = (0u32..).zip(columns);
        seen.filter_map(|(idx, column)| column.as_ref().map(|column| (idx, column)))
            .filter(|(_, column)| column.is_contradictory())
    };
    let n_columns = against().count();
    match against().max_by(|a, b| a.1.gap().total_cmp(&b.1.gap())) {
        Some((idx, worst)) if n_columns as f32 > MOST_DOUBTFUL * columns.len() as f32 => {
            Err(CalibrationError::Contradictory {
                n_columns: n_columns as u32,
                column: idx,
                first: worst.halves[0],
                second: worst.halves[1],
            })
        }
        _ => Ok(()),
    }
}

/// How many of the frames count as independent, as a share: frames that show the same yarns at
/// the same columns are one piece of evidence.
///
/// Every pair of frames has a correlation over the columns. What all pairs have in common, the
/// lower quartile, is the camera; what a pair has beyond it is shared yarn. `n` frames of mean
/// excess `x` are worth `n / (1 + (n − 1) x)`.
fn independent_share(shown: &[Shown]) -> Result<f32, CalibrationError> {
    let n = shown.len();
    let mut pairs: Vec<f32> = (0..n)
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| correlation(&shown[i], &shown[j]))
        .collect();
    pairs.sort_unstable_by(f32::total_cmp);
    let common = pairs[pairs.len() / 4].max(0.0);
    if common > SAME_PLACE {
        return Err(CalibrationError::SamePlace { n_frames: n as u32 });
    }
    let excess = pairs
        .iter()
        .map(|r| ((r - common) / (1.0 - common)).max(0.0));
    let mean_excess = excess.sum::<f32>() / pairs.len() as f32;
    Ok(1.0 / (1.0 + (n - 1) as f32 * mean_excess))
}

/// Of deviations from 1, over the columns that both show alive; 0 where nothing varies.
fn correlation(a: &Shown, b: &Shown) -> f32 {
    let dead = a.looks_dead.iter().zip(&b.looks_dead).map(|(a, b)| a | b);
    let both = a.share.iter().zip(&b.share).zip(dead);
    let both = both.filter(|((a, b), is_dead)| a.is_finite() && b.is_finite() && !is_dead);
    let sums = both.fold([0.0f32; 3], |[ab, aa, bb], ((a, b), _)| {
        let (a, b) = (a - 1.0, b - 1.0);
        [ab + a * b, aa + a * a, bb + b * b]
    });
    let [ab, aa, bb] = sums;
    if aa * bb > 0.0 {
        ab / (aa * bb).sqrt()
    } else {
        0.0
    }
}

/// Mean absolute step from row to row of each column.
fn mean_steps_along(plane: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0f32; width];
    let rows = || plane.chunks_exact(width);
    for (row, next) in rows().zip(rows().skip(1)) {
        for ((sum, a), b) in sums.iter_mut().zip(row).zip(next) {
            *sum += (b - a).abs();
        }
    }
    let n = (plane.len() / width).saturating_sub(1).max(1);
    sums.iter_mut().for_each(|sum| *sum /= n as f32);
    sums
}

/// Up to [`NEIGHBOURS`] columns on each side of `i`, without it.
fn neighbours(i: usize, n: usize) -> impl Iterator<Item = usize> + Clone {
    (i.saturating_sub(NEIGHBOURS)..(i + NEIGHBOURS + 1).min(n)).filter(move |&j| j != i)
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

fn squares(values: &[f32], mean: f32) -> f32 {
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// The upper median; 0 of nothing.
fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_unstable_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
