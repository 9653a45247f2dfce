//! The light of a station, column by column, from a dark and a white reference.
//!
//! ```text
//! dark frames  ─▶ Reference ─┐
//!                            ├─▶ measure_light ─▶ ColumnLight { offset, gain, dead }
//! white frames ─▶ Reference ─┘
//! corrected = (sample − offset) · gain       per column, before anything else looks at the frame
//! ```
//!
//! The median column keeps its brightness. Even rows of the references measure and odd rows check,
//! so the unevenness that is told for afterwards is not the fit's own. It is per column for area
//! cameras too: what differs from row to row of a fixed picture is not corrected. Samples that were
//! white stay white and no other becomes so: whether light is too bright is still the camera's word.
//! What a reference does not allow is refused with the reason, and nothing is half corrected.

use camera::Frame;
use serde::{Deserialize, Serialize};

use crate::CalibrationError;

/// What each column adds and how bright it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct ColumnLight {
    /// Levels of 255 that a column shows in the dark.
    offset: Vec<f32>,
    /// Factor that makes a column as bright as the median one.
    gain: Vec<f32>,
    /// Columns that follow no light, ascending; bridged from their neighbours.
    dead: Vec<u32>,
}

/// A light as it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LightMeasured {
    /// What is applied.
    pub columns: ColumnLight,
    /// Mean level in the dark, of 255.
    pub dark_level: f32,
    /// Mean level of the white reference, of 255.
    pub white_level: f32,
    /// How uneven the white reference was.
    pub before: Unevenness,
    /// How uneven rows are that were not measured, corrected.
    pub after: Unevenness,
}

/// How far column means lie from their mean, in % of it; dead columns do not count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unevenness {
    /// Root of the mean square.
    pub rms_percent: f32,
    /// The farthest one.
    pub most_percent: f32,
}

/// What a reference must be like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceLimits {
    /// Highest mean level in the dark, of 255; above it the cap is off.
    pub most_dark_level: f32,
    /// Least mean level of white above dark, of 255; below it the cap is on or the lamp off.
    pub least_contrast: f32,
    /// Largest share of white samples at 254 of 255 or above, 0..=1.
    pub most_saturated_share: f32,
    /// Largest share of columns that may be dead, 0..=1.
    pub most_dead_share: f32,
    /// Largest unevenness that may remain, rms in %.
    pub most_left_percent: f32,
}

/// Column sums of the frames of one reference.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// Of even rows, and of odd ones.
    halves: [Half; 2],
    n_saturated: u64,
    row: Vec<f32>,
}

#[derive(Clone, Debug, Default)]
struct Half {
    sums: Vec<f64>,
    n_rows: u64,
}

/// What serves where nothing else is asked for: an eighth of the scale in the dark, contrast for
/// gains to half a percent, a few specks of glare and dead columns, and a lamp that the eye calls
/// even.
pub const REFERENCE_LIMITS: ReferenceLimits = ReferenceLimits {
    most_dark_level: 32.0,
    least_contrast: 40.0,
    most_saturated_share: 0.001,
    most_dead_share: 0.01,
    most_left_percent: 1.0,
};

impl Reference {
    /// Adds a frame.
    ///
    /// # Errors
    /// `OtherWidth` where it is not as wide as those before.
    pub fn add(&mut self, frame: &Frame) -> Result<(), CalibrationError> {
        let width = frame.width() as usize;
        if self.row.is_empty() {
            self.row = vec![0.0; width];
            self.halves
                .iter_mut()
                .for_each(|half| half.sums = vec![0.0; width]);
        }
        if self.row.len() != width {
            return Err(CalibrationError::OtherWidth {
                found: frame.width(),
                expected: self.row.len() as u32,
            });
        }
        for row_idx in 0..frame.height() {
            frame.grey_row_into(row_idx, &mut self.row);
            let half = &mut self.halves[(row_idx % 2) as usize];
            half.n_rows += 1;
            for (sum, &level) in half.sums.iter_mut().zip(&self.row) {
                *sum += f64::from(level);
                self.n_saturated += u64::from(level >= SATURATED_LEVEL);
            }
        }
        Ok(())
    }

    fn means(&self, half: usize) -> Vec<f32> {
        let half = &self.halves[half];
        let n = half.n_rows.max(1) as f64;
        half.sums.iter().map(|sum| (sum / n) as f32).collect()
    }

    fn saturated_share(&self) -> f32 {
        let n_rows: u64 = self.halves.iter().map(|half| half.n_rows).sum();
        self.n_saturated as f32 / (n_rows * self.row.len() as u64).max(1) as f32
    }
}

/// The light from a dark and a white reference.
///
/// # Errors
/// `OtherWidth` where the references differ, `OutOfRange` naming what they do not allow.
pub fn measure_light(
    dark: &Reference,
    white: &Reference,
    limits: &ReferenceLimits,
) -> Result<LightMeasured, CalibrationError> {
    if dark.row.len() != white.row.len() {
        return Err(CalibrationError::OtherWidth {
            found: white.row.len() as u32,
            expected: dark.row.len() as u32,
        });
    }
    for (what, reference) in [("dark rows", dark), ("white rows", white)] {
        let n_rows = reference.halves[1].n_rows * 2;
        let expected = || format!("at least {FEWEST_ROWS}, so that noise averages out");
        refuse_if(n_rows < FEWEST_ROWS, what, || n_rows.to_string(), expected)?;
    }
    let (dark_means, white_means) = (dark.means(0), white.means(0));
    let (dark_level, white_level) = (mean(&dark_means), mean(&white_means));
    refuse_if(
        dark_level > limits.most_dark_level,
        "the dark reference's mean level",
        || format!("{dark_level:.1} of 255"),
        || {
            format!(
                "at most {}: is the cap on the lens?",
                limits.most_dark_level
            )
        },
    )?;
    let share = white.saturated_share();
    refuse_if(
        share > limits.most_saturated_share,
        "the saturated part of the white reference",
        || format!("{:.2} %", share * 100.0),
        || {
            format!(
                "at most {:.2} %: expose less",
                limits.most_saturated_share * 100.0
            )
        },
    )?;
    refuse_if(
        white_level - dark_level < limits.least_contrast,
        "the white reference's mean level above the dark one's",
        || format!("{:.1} of 255", white_level - dark_level),
        || {
            format!(
                "at least {}: is the cap on the lens, or the lamp off?",
                limits.least_contrast
            )
        },
    )?;
    let contrast: Vec<f32> = (white_means.iter().zip(&dark_means))
        .map(|(white, dark)| white - dark)
        .collect();
    let is_dead = dead_columns(&contrast);
    let dead: Vec<u32> = (0..)
        .zip(&is_dead)
        .filter(|(_, dead)| **dead)
        .map(|(at, _)| at)
        .collect();
    refuse_if(
        dead.len() as f32 > limits.most_dead_share * contrast.len() as f32,
        "dead columns",
        || {
            format!(
                "{} of {}: {:?}",
                dead.len(),
                contrast.len(),
                &dead[..dead.len().min(10)]
            )
        },
        || format!("at most {} %", limits.most_dead_share * 100.0),
    )?;
    let usual = median(alive(&contrast, &is_dead));
    let gains = contrast.iter().zip(&is_dead);
    let gain: Vec<f32> = gains
        .map(|(at, &dead)| if dead { 1.0 } else { usual / at })
        .collect();
    let worst = gain.iter().copied().find(|gain| !GAINS.contains(gain));
    refuse_if(
        worst.is_some(),
        "a column's brightness against the median one's",
        || format!("{:.2}", 1.0 / worst.unwrap_or(1.0)),
        || {
            format!(
                "{} to {}: mend the lamp first",
                1.0 / GAINS.end(),
                1.0 / GAINS.start()
            )
        },
    )?;
    let columns = ColumnLight {
        offset: dark_means,
        gain,
        dead,
    };
    let unseen = white.means(1);
    let corrected: Vec<f32> = (0..unseen.len())
        .map(|at| (unseen[at] - columns.offset[at]) * columns.gain[at])
        .collect();
    let measured = LightMeasured {
        before: Unevenness::of(alive(&unseen, &is_dead)),
        after: Unevenness::of(alive(&corrected, &is_dead)),
        columns,
        dark_level,
        white_level,
    };
    refuse_if(
        measured.after.rms_percent > limits.most_left_percent,
        "the unevenness that remains",
        || format!("{:.2} %", measured.after.rms_percent),
        || {
            format!(
                "at most {} %: keep lamp and exposure steady, take more rows",
                limits.most_left_percent
            )
        },
    )?;
    Ok(measured)
}

impl ColumnLight {
    /// Columns.
    pub fn width(&self) -> u32 {
        self.gain.len() as u32
    }

    /// Columns that follow no light.
    pub fn dead(&self) -> &[u32] {
        &self.dead
    }

    /// Corrects `frame` in its place.
    ///
    /// # Errors
    /// `OtherWidth` where the frame is not as wide as the references.
    pub fn correct(&self, frame: &mut Frame) -> Result<(), CalibrationError> {
        if frame.width() != self.width() {
            return Err(CalibrationError::OtherWidth {
                found: frame.width(),
                expected: self.width(),
            });
        }
        let n_channels = frame.shape().channels.count();
        let runs = self.dead_runs();
        frame.rewrite_rows(
            |row| self.correct_row(row, n_channels, &runs),
            |row| self.correct_row(row, n_channels, &runs),
        );
        Ok(())
    }

    fn correct_row<S: Sample>(&self, row: &mut [S], n_channels: usize, runs: &[(usize, usize)]) {
        let columns = self.offset.iter().zip(&self.gain);
        if n_channels == 1 {
            // Without an inner loop, which keeps this one in vectors.
            for (sample, (&offset, &gain)) in row.iter_mut().zip(columns) {
                *sample = corrected(*sample, offset, gain);
            }
        } else {
            for (pixel, (&offset, &gain)) in row.chunks_exact_mut(n_channels).zip(columns) {
                for sample in pixel {
                    *sample = corrected(*sample, offset, gain);
                }
            }
        }
        for &(start, end) in runs {
            for channel in 0..n_channels {
                let at = |column: usize| column * n_channels + channel;
                let before: Option<f32> = (start > 0).then(|| row[at(start - 1)].into());
                let after: Option<f32> = row.get(at(end)).map(|&sample| sample.into());
                let (Some(from), Some(to)) = (before.or(after), after.or(before)) else {
                    continue;
                };
                let n = (end - start + 1) as f32;
                for column in start..end {
                    let share = (column - start + 1) as f32 / n;
                    row[at(column)] = S::of((from + share * (to - from)).round());
                }
            }
        }
    }

    /// Runs of dead columns, `[start, end)`.
    fn dead_runs(&self) -> Vec<(usize, usize)> {
        let runs = self.dead.chunk_by(|one, next| one + 1 == *next);
        runs.filter_map(|run| Some((*run.first()? as usize, *run.last()? as usize + 1)))
            .collect()
    }
}

impl Unevenness {
    fn of(means: impl Iterator<Item = f32> + Clone) -> Self {
        let n = means.clone().count().max(1) as f32;
        let mean = means.clone().sum::<f32>() / n;
        let off = means.map(|level| (level / mean - 1.0) * 100.0);
        Self {
            rms_percent: (off.clone().map(|off| off * off).sum::<f32>() / n).sqrt(),
            most_percent: off.map(f32::abs).fold(0.0, f32::max),
        }
    }
}

fn corrected<S: Sample>(sample: S, offset: f32, gain: f32) -> S {
    let white = SATURATED_LEVEL * S::PER_LEVEL;
    let level: f32 = sample.into();
    let even = ((level - offset * S::PER_LEVEL) * gain + 0.5).clamp(0.0, white - 1.0);
    S::of(if level >= white {
        255.0 * S::PER_LEVEL
    } else {
        even
    })
}

/// A sample of a frame.
trait Sample: Copy + Into<f32> {
    /// Its size for one level of 255.
    const PER_LEVEL: f32;
    /// The sample of a whole, non-negative value.
    fn of(value: f32) -> Self;
}

impl Sample for u8 {
    const PER_LEVEL: f32 = 1.0;
    fn of(value: f32) -> Self {
        value as Self
    }
}

impl Sample for u16 {
    const PER_LEVEL: f32 = 257.0;
    fn of(value: f32) -> Self {
        value as Self
    }
}

/// Fewer rows leave noise in the gains.
const FEWEST_ROWS: u64 = 64;
/// Of 255. One below the top: some cameras never give their last code.
const SATURATED_LEVEL: f32 = 254.0;
/// Beyond these the lamp is to be mended, not multiplied.
const GAINS: std::ops::RangeInclusive<f32> = 0.25..=4.0;
/// Of 255; offsets that a file may hold.
const OFFSETS: std::ops::RangeInclusive<f32> = 0.0..=255.0;
/// A living column's contrast over the median of its neighbours'.
const ALIVE: std::ops::RangeInclusive<f32> = 0.5..=2.0;
/// Columns on each side that a column is compared with.
const NEIGHBOURS: usize = 8;

/// Columns whose contrast is unlike their neighbours'.
fn dead_columns(contrast: &[f32]) -> Vec<bool> {
    let n = contrast.len();
    (0..n)
        .map(|at| {
            let beside = at.saturating_sub(NEIGHBOURS)..(at + NEIGHBOURS + 1).min(n);
            let level = median(contrast[beside].iter().copied());
            level <= 0.0 || !ALIVE.contains(&(contrast[at] / level))
        })
        .collect()
}

fn alive<'a>(values: &'a [f32], is_dead: &'a [bool]) -> impl Iterator<Item = f32> + Clone + 'a {
    let both = values.iter().zip(is_dead);
    both.filter(|(_, dead)| !**dead).map(|(value, _)| *value)
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

/// The upper median; 0 of nothing.
fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_unstable_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn refuse_if(
    is_wrong: bool,
    what: &'static str,
    found: impl FnOnce() -> String,
    expected: impl FnOnce() -> String,
) -> Result<(), CalibrationError> {
    if !is_wrong {
        return Ok(());
    }
    Err(CalibrationError::OutOfRange {
        what,
        found: found(),
        expected: expected(),
    })
}

/// The same before it is checked: what a file holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    offset: Vec<f32>,
    gain: Vec<f32>,
    dead: Vec<u32>,
}

impl TryFrom<Unchecked> for ColumnLight {
    type Error = CalibrationError;
    fn try_from(raw: Unchecked) -> Result<Self, CalibrationError> {
        let Unchecked { offset, gain, dead } = raw;
        let found = || format!("{} offsets and {} gains", offset.len(), gain.len());
        let is_wrong = gain.is_empty() || offset.len() != gain.len();
        refuse_if(is_wrong, "a light", found, || {
            "one of each for every column".to_owned()
        })?;
        for (what, values, range) in [("an offset", &offset, OFFSETS), ("a gain", &gain, GAINS)] {
            let wrong = values.iter().find(|value| !range.contains(value));
            let found = || format!("{wrong:?}");
            refuse_if(wrong.is_some(), what, found, || format!("{range:?}"))?;
        }
        let is_ascending = dead.windows(2).all(|two| two[0] < two[1]);
        let is_inside = dead.last().is_none_or(|&last| (last as usize) < gain.len());
        let expected = || format!("ascending columns below {}", gain.len());
        refuse_if(
            !(is_ascending && is_inside),
            "dead",
            || format!("{dead:?}"),
            expected,
        )?;
        Ok(Self { offset, gain, dead })
    }
}

#[cfg(test)]
mod tests;
