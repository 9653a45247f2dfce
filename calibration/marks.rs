//! Marks across the web, a known length apart: how far an encoder's tick goes.
//!
//! ```text
//! frames ─▶ LineLevels ─▶ marks (ticks of their middles) ─▶ measure_encoder ─▶ mm per tick
//! ```
//!
//! A mark is a bar across the middle half of the picture, darker or brighter than the cloth: tape,
//! or chalk. Its middle is taken weighted by contrast, so it is known to a part of a line. Each
//! distance between neighbouring marks is one pass over the known length, and what the passes
//! differ by is the residual. It does not know what counts the ticks.

use camera::Frame;
use serde::{Deserialize, Serialize};

use crate::CalibrationError;

/// Mean level of every line of a source.
#[derive(Clone, Debug, Default)]
pub struct LineLevels {
    lines: Vec<Line>,
    row: Vec<f32>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    tick: f64,
    level: f32,
}

/// An encoder as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderMeasured {
    /// Cloth per tick.
    pub mm_per_tick: f64,
    /// The known length.
    pub length_mm: f64,
    /// Root mean square of what passes give for it, less it.
    pub rms_mm: f64,
    /// The largest of these.
    pub max_mm: f64,
    /// Passes over the length.
    pub n_passes: u32,
}

/// What an encoder's measurement must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncoderLimits {
    /// Fewest passes over the length.
    pub fewest_passes: u32,
    /// The most that a pass may differ from the length, in % of it.
    pub most_percent: f64,
}

/// What serves where nothing else is asked for: three passes, so that one slip shows, which agree
/// to half of a percent: half a metre on a roll of a hundred.
pub const ENCODER_LIMITS: EncoderLimits = EncoderLimits {
    fewest_passes: 3,
    most_percent: 0.5,
};

impl LineLevels {
    /// Adds a frame, behind those before it.
    ///
    /// # Errors
    /// `OutOfRange` where more lines come than are kept.
    pub fn add(&mut self, frame: &Frame) -> Result<(), CalibrationError> {
        let (width, height) = (frame.width() as usize, frame.height());
        if self.lines.len() + height as usize > MOST_LINES {
            return Err(CalibrationError::OutOfRange {
                what: "lines between the first and the last mark",
                found: format!("more than {MOST_LINES}"),
                expected: format!("at most {MOST_LINES}: record a shorter piece"),
            });
        }
        self.row.resize(width, 0.0);
        let middle = width / 4..(width - width / 4).max(1).min(width);
        let n_ticks = (frame.ticks.end - frame.ticks.start) as f64;
        for row in 0..height {
            frame.grey_row_into(row, &mut self.row);
            let levels = &self.row[middle.clone()];
            self.lines.push(Line {
                tick: frame.ticks.start as f64
                    + n_ticks * (f64::from(row) + 0.5) / f64::from(height),
                level: levels.iter().sum::<f32>() / levels.len().max(1) as f32,
            });
        }
        Ok(())
    }

    /// Ticks of the middles of all marks, ascending.
    pub fn marks(&self) -> Vec<f64> {
        let usual = median(self.lines.iter().map(|line| line.level));
        let spread = median(self.lines.iter().map(|line| (line.level - usual).abs()));
        let least = LEAST_CONTRAST.max(CONTRAST_SPREADS * spread);
        let contrast = |line: &Line| line.level - usual;
        let mut marks = Vec::new();
        let runs = self.lines.chunk_by(|one, next| {
            let is_mark = |line| contrast(line).abs() >= least;
            is_mark(one) == is_mark(next)
                && (!is_mark(one) || contrast(one).signum() == contrast(next).signum())
        });
        for run in runs {
            if run.len() < FEWEST_LINES || contrast(&run[0]).abs() < least {
                continue;
            }
            let (mut sum, mut weight) = (0.0, 0.0);
            for line in run {
                sum += line.tick * f64::from(contrast(line).abs());
                weight += f64::from(contrast(line).abs());
            }
            marks.push(sum / weight);
        }
        marks
    }
}

/// How far a tick goes, from sources in which neighbouring marks are `length_mm` apart.
///
/// # Errors
/// `OutOfRange` where the passes are too few or differ by more than `limits` allow.
pub fn measure_encoder(
    sources: &[Vec<f64>],
    length_mm: f64,
    limits: &EncoderLimits,
) -> Result<EncoderMeasured, CalibrationError> {
    if !LENGTHS_MM.contains(&length_mm) {
        return Err(CalibrationError::OutOfRange {
            what: "length_mm",
            found: length_mm.to_string(),
            expected: format!("{LENGTHS_MM:?}"),
        });
    }
    let passes = sources.iter().flat_map(|marks| marks.windows(2));
    let passes: Vec<f64> = passes.map(|two| two[1] - two[0]).collect();
    let n_passes = passes.len() as u32;
    if n_passes < limits.fewest_passes {
        let n_marks: Vec<usize> = sources.iter().map(Vec::len).collect();
        return Err(CalibrationError::OutOfRange {
            what: "passes between neighbouring marks",
            found: format!("{n_passes} (marks found: {n_marks:?})"),
            expected: format!("at least {}", limits.fewest_passes),
        });
    }
    let n_ticks = passes.iter().sum::<f64>() / passes.len() as f64;
    let mm_per_tick = length_mm / n_ticks;
    let off = passes.iter().map(|ticks| ticks * mm_per_tick - length_mm);
    let squares: f64 = off.clone().map(|off| off * off).sum();
    let measured = EncoderMeasured {
        mm_per_tick,
        length_mm,
        rms_mm: (squares / passes.len() as f64).sqrt(),
        max_mm: off.map(f64::abs).fold(0.0, f64::max),
        n_passes,
    };
    let percent = measured.max_mm / length_mm * 100.0;
    if !percent.is_finite() || percent > limits.most_percent {
        return Err(CalibrationError::OutOfRange {
            what: "the most that a pass differs from the length",
            found: format!("{percent:.2} % ({:.2} mm)", measured.max_mm),
            expected: format!(
                "at most {} %: does the wheel slip, or is a mark missing?",
                limits.most_percent
            ),
        });
    }
    Ok(measured)
}

/// Lines kept; 800 m at 0.2 mm.
const MOST_LINES: usize = 4_000_000;
/// Of 255; a mark differs from cloth by more.
const LEAST_CONTRAST: f32 = 20.0;
/// ... and by this many median deviations of the lines.
const CONTRAST_SPREADS: f32 = 8.0;
/// A bar of fewer lines is a weft flaw.
const FEWEST_LINES: usize = 4;
/// Known lengths.
const LENGTHS_MM: std::ops::RangeInclusive<f64> = 1.0..=1e6;

/// The upper median; 0 of nothing.
fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_unstable_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::{picture, weave};

    /// Cloth with bars of 15 lines whose middles lie at these lines.
    fn levels(middles: &[f32], n_lines: u32) -> LineLevels {
        let mut levels = LineLevels::default();
        for first in (0..n_lines).step_by(200) {
            let mut frame = picture(200, 200, |row, column| {
                let line = (first + row) as f32 + 0.5;
                let is_on = middles.iter().any(|middle| (line - middle).abs() <= 7.5);
                if is_on {
                    20.0
                } else {
                    weave(3, first + row, column)
                }
            });
            frame.ticks = i64::from(first) * 3..i64::from(first + 200) * 3;
            levels.add(&frame).unwrap();
        }
        levels
    }

    #[test]
    fn a_tick_is_known_to_a_thousandth_from_bars_over_frame_borders() {
        // Every 500 mm; 0.1 mm a line, three ticks to a line... the second bar lies over a border.
        let marks = levels(&[200.0, 1700.5, 3200.0, 4699.5], 5000).marks();
        assert_eq!(marks.len(), 4, "{marks:?}");
        let encoder = measure_encoder(&[marks], 150.0, &ENCODER_LIMITS).unwrap();
        assert!(
            (encoder.mm_per_tick / (0.1 / 3.0) - 1.0).abs() < 1e-3,
            "{encoder:?}"
        );
        assert!(
            encoder.max_mm < 0.15 && encoder.n_passes == 3,
            "{encoder:?}"
        );
    }

    #[test]
    fn bare_cloth_too_few_passes_and_a_missing_mark_are_refused() {
        assert_eq!(levels(&[], 2000).marks(), Vec::<f64>::new());
        let refused = |marks: &[f64]| {
            let error = measure_encoder(&[marks.to_vec()], 150.0, &ENCODER_LIMITS);
            error.unwrap_err().to_string()
        };
        let error = refused(&[0.0, 100.0, 200.0]);
        assert!(
            error.contains("is 2 (marks found: [3]), expected at least 3"),
            "{error}"
        );
        let error = refused(&[0.0, 100.0, 200.0, 400.0]);
        assert!(error.contains("does the wheel slip"), "{error}");
        assert!(measure_encoder(&[], f64::NAN, &ENCODER_LIMITS).is_err());
    }
}
