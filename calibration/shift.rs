//! By how many rows the cloth moved between two successive pictures of it.
//!
//! ```text
//! Frame ──▶ Texture (light and camera columns taken off, rows whitened)
//! two of them ──▶ correlation over all shifts ──▶ one peak, or none ──▶ Shift
//! ```
//!
//! A weave repeats, so its correlation has a peak at every repeat; what tells them apart is what
//! is uneven in the yarns. The spectrum of both directions is therefore flattened first, so that
//! neither the repeat nor a yarn that looks the same all across weighs more than the rest, and a
//! shift is believed only where its peak stands clear of the noise and of every
//! other peak. What a camera shows at a standstill (its own dirt) peaks at no shift; that peak
//! yields to a clear one elsewhere.
//!
//! It remembers nothing, knows no tick and no millimetre, and sees no movement across. A shift
//! of more than six tenths of a picture is not seen: too little is in both.

#[cfg(test)]
mod tests;

use std::f32::consts::PI;
use std::f64::consts::TAU;
use std::ops::RangeInclusive;

use camera::Frame;
use opencv::core::{self, DFT_COMPLEX_OUTPUT, DFT_INVERSE, DFT_REAL_OUTPUT, DFT_SCALE, Mat};
use opencv::prelude::*;

use crate::CalibrationError;

/// What is fine in one picture, ready to be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Texture {
    n_rows: usize,
    n_columns: usize,
    /// Column after column, `n_rows` each; every column without its mean and its slow parts.
    columns: Vec<f32>,
}

/// What two pictures say of the movement between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shift {
    /// The cloth moved.
    Moved {
        /// Rows by which everything lies further down in the later picture; negative is up. At
        /// a standstill within [`STANDSTILL_ROWS`] of 0.
        rows: f64,
        /// How sure: 0 as good as the second best shift or as noise, 1 beyond doubt.
        confidence: f32,
    },
    /// It cannot be told.
    Unknown(Doubt),
}

/// Why a shift cannot be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// Nothing in the pictures stands clear of their noise.
    NoTexture,
    /// Two shifts explain the pictures nearly as well: a texture that repeats.
    Ambiguous {
        /// Rows of the best one.
        best: f64,
        /// Rows of the other.
        other: f64,
    },
    /// The two pictures have not the same size.
    OtherSize,
}

/// Rows within which cloth is taken to stand still.
pub const STANDSTILL_ROWS: f64 = 0.3;
/// Share of a picture that must be in both.
const LEAST_OVERLAP: f64 = 0.4;
/// Columns that are compared; neighbours are averaged where there are more.
const MOST_COLUMNS: usize = 384;
/// Rows of a picture that can be compared at all.
const LEAST_ROWS: usize = 16;
/// Light is what varies over more rows than this share of a picture.
const LIGHT_SHARE: f64 = 1.0 / 8.0;
/// Frequencies weigh the same above this share of the mean power and less below it, where there
/// is little but the camera's noise.
const FLOOR: f64 = 1.0;
/// Share of a picture that fades out at each end.
const FADED_SHARE: f32 = 1.0 / 16.0;
/// And over fewer than this many cycles of it.
const LIGHT_CYCLES: f64 = 6.0;
/// Samples farther from their column's mean than this many deviations are flaws, glare or dirt.
const MOST_DEVIATIONS: f32 = 4.0;
/// How clear of the noise of all other shifts a peak must stand, in deviations.
const LEAST_PEAK: f64 = 5.0;
/// Peaks above this share of the best one are rivals.
const RIVAL_SHARE: f64 = 0.75;
/// Rows around a peak that belong to it.
const PEAK_ROWS: f64 = 2.5;
/// Steps of the fine search.
const FINE_STEP: f64 = 1.0 / 16.0;

impl Texture {
    /// The texture of `frame`, of any depth; colour as grey.
    ///
    /// # Errors
    /// Only what OpenCV refuses.
    pub fn of(frame: &Frame) -> Result<Self, CalibrationError> {
        let (width, n_rows) = (frame.width() as usize, frame.height() as usize);
        let bin = width.div_ceil(MOST_COLUMNS).max(1);
        let n_columns = width / bin;
        let mut columns = vec![0.0; n_rows * n_columns];
        let mut grey = vec![0.0; width];
        for row in 0..n_rows {
            frame.grey_row_into(row as u32, &mut grey);
            for (column, bins) in grey.chunks_exact(bin).enumerate() {
                columns[column * n_rows + row] = bins.iter().sum::<f32>() / bin as f32;
            }
        }
        let reach = ((n_rows as f64 * LIGHT_SHARE) as usize).max(4);
        for column in columns.chunks_exact_mut(n_rows.max(1)) {
            take_off_light(column, reach);
        }
        Ok(Self {
            n_rows,
            n_columns,
            columns,
        })
    }
}

/// By how many rows the cloth moved from `before` to `after`. Only shifts within `search` are
/// looked at, if it is given: an ambiguity beyond it is then none.
///
/// # Errors
/// Only what OpenCV refuses.
pub fn shift(
    before: &Texture,
    after: &Texture,
    search: Option<RangeInclusive<f64>>,
) -> Result<Shift, CalibrationError> {
    if (before.n_rows, before.n_columns) != (after.n_rows, after.n_columns) {
        return Ok(Shift::Unknown(Doubt::OtherSize));
    }
    if before.n_rows < LEAST_ROWS || before.n_columns == 0 {
        return Ok(Shift::Unknown(Doubt::NoTexture));
    }
    let spectrum = CrossSpectrum::of(before, after, true)?;
    let farthest = (before.n_rows as f64 * (1.0 - LEAST_OVERLAP)).floor() as i64;
    let curve = spectrum.correlation(farthest)?;
    let search = search.as_ref();
    let mut found = curve.judge(&spectrum, search);
    if matches!(found, Shift::Unknown(_)) && search.is_none() {
        return Ok(found);
    }
    let likeness = Likeness::of(before, after)?;
    if let (Shift::Unknown(_), Some(range)) = (found, search)
        && let Some(likely) = likeness.best_within(range, farthest)
    {
        found = likely;
    }
    let Shift::Moved { rows, .. } = found else {
        return Ok(found);
    };
    Ok(match likeness.rival_of(rows, farthest, search) {
        None => found,
        Some(other) => Shift::Unknown(Doubt::Ambiguous { best: rows, other }),
    })
}

/// What both pictures share at each frequency along the cloth, summed over those across.
struct CrossSpectrum {
    /// Real and imaginary part, from frequency 0 on; the upper half mirrors the lower one.
    shared: Vec<[f64; 2]>,
}

/// Correlation at every whole shift from `-farthest` to `farthest`.
struct Curve {
    values: Vec<f64>,
    farthest: i64,
    noise: f64,
}

impl CrossSpectrum {
    fn of(before: &Texture, after: &Texture, is_flattened: bool) -> Result<Self, CalibrationError> {
        let length = core::get_optimal_dft_size(2 * before.n_rows as i32)? as usize;
        let a = spectra(before, length, is_flattened)?;
        let b = spectra(after, length, is_flattened)?;
        let (a, b) = (
            a.data_typed::<core::Vec2f>()?,
            b.data_typed::<core::Vec2f>()?,
        );
        let power = |(a, b): (&core::Vec2f, &core::Vec2f)| {
            let size = |z: &core::Vec2f| f64::from(z[0] * z[0] + z[1] * z[1]).sqrt();
            size(a) * size(b)
        };
        let pairs = || a.iter().zip(b);
        let floor = FLOOR * pairs().map(power).sum::<f64>() / a.len() as f64;
        // What varies slowly along is light, and light stands still.
        let slow = (LIGHT_CYCLES * length as f64 / before.n_rows as f64) as usize;
        let mut shared = vec![[0.0_f64; 2]; length];
        for (idx, (a, b)) in pairs().enumerate() {
            let f = idx % length;
            if is_flattened && f.min(length - f) <= slow {
                continue;
            }
            let weight = if is_flattened {
                1.0 / (power((a, b)) + floor + f64::MIN_POSITIVE)
            } else {
                1.0
            };
            let ([ar, ai], [br, bi]) = ([a[0], a[1]].map(f64::from), [b[0], b[1]].map(f64::from));
            shared[f][0] += (ar * br + ai * bi) * weight;
            shared[f][1] += (ar * bi - ai * br) * weight;
        }
        Ok(Self { shared })
    }

    fn correlation(&self, farthest: i64) -> Result<Curve, CalibrationError> {
        let n = self.shared.len();
        let shared: Vec<core::Vec2d> = (self.shared.iter())
            .map(|&[re, im]| core::Vec2d::from([re, im]))
            .collect();
        let shared = Mat::from_slice(&shared)?;
        let mut curve = Mat::default();
        core::dft(
            &shared,
            &mut curve,
            DFT_INVERSE | DFT_SCALE | DFT_REAL_OUTPUT,
            0,
        )?;
        let curve = curve.data_typed::<f64>()?;
        let values = (-farthest..=farthest)
            .map(|rows| curve[rows.rem_euclid(n as i64) as usize])
            .collect();
        Ok(Curve::new(values, farthest))
    }

    /// The correlation at any shift.
    fn at(&self, rows: f64) -> f64 {
        let n = self.shared.len();
        let turn = TAU * rows / n as f64;
        let half = self.shared[1..n / 2].iter().enumerate();
        half.map(|(f, [re, im])| {
            let (sin, cos) = (turn * (f + 1) as f64).sin_cos();
            re * cos - im * sin
        })
        .sum()
    }

    /// Where the peak at the whole shift `rows` really is.
    fn peak_near(&self, rows: i64) -> f64 {
        let steps = (1.0 / FINE_STEP) as i64;
        let place = |step: i64| rows as f64 + step as f64 * FINE_STEP;
        let values: Vec<f64> = (-steps..=steps).map(|step| self.at(place(step))).collect();
        let best = (1..values.len() - 1).max_by(|&a, &b| values[a].total_cmp(&values[b]));
        let best = best.unwrap_or(steps as usize);
        let (left, top, right) = (values[best - 1], values[best], values[best + 1]);
        let bend = left - 2.0 * top + right;
        let part = if bend < 0.0 {
            (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
        } else {
            0.0
        };
        place(best as i64 - steps) + part * FINE_STEP
    }
}

impl Curve {
    fn new(values: Vec<f64>, farthest: i64) -> Self {
        let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
        let middle = sizes.len() / 2;
        let (_, median, _) = sizes.select_nth_unstable_by(middle, f64::total_cmp);
        // Of a normal distribution the median of the sizes is 0.6745 deviations.
        let noise = *median / 0.6745;
        Self {
            values,
            farthest,
            noise,
        }
    }

    fn get(&self, rows: i64) -> f64 {
        let idx = usize::try_from(rows + self.farthest).ok();
        idx.and_then(|idx| self.values.get(idx))
            .copied()
            .unwrap_or(f64::MIN)
    }

    /// The highest value within `search` that lies in none of the peaks `besides`.
    fn highest(&self, search: Option<&RangeInclusive<f64>>, besides: &[i64]) -> Option<i64> {
        let is_free = |rows: i64| {
            besides
                .iter()
                .all(|peak| (rows - peak).abs() as f64 > PEAK_ROWS)
        };
        let is_wanted = |rows: i64| search.is_none_or(|range| range.contains(&(rows as f64)));
        (-self.farthest..=self.farthest)
            .filter(|&rows| is_wanted(rows) && is_free(rows))
            .max_by(|&a, &b| self.get(a).total_cmp(&self.get(b)))
    }

    fn judge(&self, spectrum: &CrossSpectrum, search: Option<&RangeInclusive<f64>>) -> Shift {
        let clear = LEAST_PEAK * self.noise;
        let is_clear = |rows: i64| self.get(rows) > clear.max(f64::MIN_POSITIVE);
        let Some(mut best) = self.highest(search, &[]).filter(|&rows| is_clear(rows)) else {
            return Shift::Unknown(Doubt::NoTexture);
        };
        let at_rest = 0;
        if best.abs() <= 1
            && let Some(moved) = self.highest(search, &[best])
            && is_clear(moved)
            && self.get(moved) > OWN_PATTERN_SHARE * self.get(best)
        {
            best = moved;
        }
        let besides = if best.abs() <= 1 {
            vec![best]
        } else {
            vec![best, at_rest]
        };
        let rival = self.highest(search, &besides);
        let height =
            |rows: i64| spectrum.at(spectrum.peak_near(rows)) * 2.0 / spectrum.shared.len() as f64;
        let (top, level) = (height(best), rival.map_or(0.0, height).max(0.5 * clear));
        // The slope of a peak that lies outside the range is no peak.
        let is_top = self.get(best) >= self.get(best - 1).max(self.get(best + 1));
        if !is_top || level > RIVAL_SHARE * top {
            return Shift::Unknown(Doubt::Ambiguous {
                best: best as f64,
                other: rival.unwrap_or(best) as f64,
            });
        }
        Shift::Moved {
            rows: spectrum.peak_near(best),
            confidence: (1.0 - level / top) as f32,
        }
    }
}

/// How alike the pictures themselves are at a shift, nothing flattened: flattening favours the
/// least of several shifts that explain a texture which repeats exactly.
struct Likeness {
    spectrum: CrossSpectrum,
    /// Power of all rows before each row.
    before: Vec<f64>,
    after: Vec<f64>,
    n_columns: usize,
}

impl Likeness {
    fn of(before: &Texture, after: &Texture) -> Result<Self, CalibrationError> {
        Ok(Self {
            spectrum: CrossSpectrum::of(before, after, false)?,
            before: power_before(before),
            after: power_before(after),
            n_columns: before.n_columns,
        })
    }

    /// What differs at this shift, as a share of what both show there: 0 for the same picture.
    fn difference(&self, rows: f64) -> f64 {
        let n_rows = self.before.len() - 1;
        let whole = (rows.round().abs() as usize).min(n_rows);
        let upper = |power: &[f64]| power[n_rows - whole];
        let lower = |power: &[f64]| power[n_rows] - power[whole];
        let (before, after) = if rows > 0.0 {
            (upper(&self.before), lower(&self.after))
        } else {
            (lower(&self.before), upper(&self.after))
        };
        let n_samples = (self.spectrum.shared.len() * self.n_columns) as f64;
        let both = 2.0 * self.spectrum.at(rows) / n_samples;
        1.0 - both / ((before * after).sqrt() + f64::MIN_POSITIVE)
    }

    /// The shift within a range that leaves the least difference, if it lies well inside.
    fn best_within(&self, range: &RangeInclusive<f64>, farthest: i64) -> Option<Shift> {
        let first = (range.start().ceil() as i64).max(-farthest);
        let last = (range.end().floor() as i64).min(farthest);
        let best = (first..=last).min_by(|&a, &b| {
            self.difference(a as f64)
                .total_cmp(&self.difference(b as f64))
        })?;
        let is_inside = first < best && best < last;
        let rows = self.spectrum.peak_near(best);
        let difference = self.difference(rows);
        (is_inside && difference < MOST_DIFFERENCE).then_some(Shift::Moved {
            rows,
            confidence: (1.0 - difference).clamp(0.0, 1.0) as f32,
        })
    }

    /// Another shift at which the pictures are as alike as at `best`, as far as can be told.
    fn rival_of(
        &self,
        best: f64,
        farthest: i64,
        search: Option<&RangeInclusive<f64>>,
    ) -> Option<f64> {
        let all: Vec<f64> = (-farthest..=farthest)
            .map(|rows| self.difference(rows as f64))
            .collect();
        let mut valleys: Vec<(i64, f64)> = (1..all.len().saturating_sub(1))
            .filter(|&idx| all[idx] <= all[idx - 1] && all[idx] <= all[idx + 1])
            .map(|idx| (idx as i64 - farthest, all[idx]))
            .filter(|&(rows, _)| {
                let is_own = (rows as f64 - best).abs() <= PEAK_ROWS;
                let is_at_rest = (rows as f64).abs() <= PEAK_ROWS && best.abs() > PEAK_ROWS;
                let is_wanted = search.is_none_or(|range| range.contains(&(rows as f64)));
                !is_own && !is_at_rest && is_wanted
            })
            .collect();
        valleys.sort_by(|a, b| a.1.total_cmp(&b.1));
        let n_rows = self.before.len() as f64 - 1.0;
        let n_compared = (n_rows - best.abs()).max(1.0) * self.n_columns as f64;
        let chance = LEAST_DIFFERENCE + 6.0 * (2.0 / n_compared).sqrt();
        let fine = |rows: i64| {
            let rows = self.spectrum.peak_near(rows);
            (rows, self.difference(rows))
        };
        let own = fine(best.round() as i64).1.min(self.difference(best));
        valleys
            .iter()
            .take(RIVALS_TRIED)
            .map(|&(rows, _)| fine(rows))
            .find(|&(_, other)| other < own * (1.0 + chance))
            .map(|(rows, _)| rows)
    }
}

/// By how much more pictures must differ at every other shift, besides chance.
const LEAST_DIFFERENCE: f64 = 0.02;
/// Pictures that differ by more have nothing in common.
const MOST_DIFFERENCE: f64 = 0.7;
/// Valleys of the difference that are looked at closely, deepest first.
const RIVALS_TRIED: usize = 6;

fn power_before(texture: &Texture) -> Vec<f64> {
    let mut sums = vec![0.0; texture.n_rows + 1];
    for column in texture.columns.chunks_exact(texture.n_rows) {
        for (sum, &value) in sums[1..].iter_mut().zip(column) {
            *sum += f64::from(value * value);
        }
    }
    for row in 1..sums.len() {
        sums[row] += sums[row - 1];
    }
    sums
}

/// Share of the peak at no shift above which a peak elsewhere is the cloth's, and the one at no
/// shift the camera's.
const OWN_PATTERN_SHARE: f64 = 0.2;

/// The spectrum along and across, padded with nothing along so that the ends never meet. What
/// the end of a column does stands still, so where that matters the ends are faded out.
fn spectra(texture: &Texture, length: usize, is_faded: bool) -> Result<Mat, CalibrationError> {
    let n_rows = texture.n_rows;
    let reach = FADED_SHARE * n_rows as f32;
    let fade: Vec<f32> = (0..n_rows)
        .map(
            |row| match (row.min(n_rows - 1 - row) as f32 + 0.5) / reach {
                from_end if is_faded && from_end < 1.0 => 0.5 - 0.5 * (PI * from_end).cos(),
                _ => 1.0,
            },
        )
        .collect();
    let mut padded = vec![0.0_f32; texture.n_columns * length];
    let columns = texture.columns.chunks_exact(n_rows);
    for (to, from) in padded.chunks_exact_mut(length).zip(columns) {
        for ((to, value), fade) in to.iter_mut().zip(from).zip(&fade) {
            *to = value * fade;
        }
    }
    let rows = texture.n_columns as i32;
    let padded = Mat::new_rows_cols_with_data(rows, length as i32, &padded)?;
    let mut spectra = Mat::default();
    core::dft(&padded, &mut spectra, DFT_COMPLEX_OUTPUT, 0)?;
    Ok(spectra)
}

/// Takes off a column the mean of what lies within `reach` rows, and cuts what sticks out.
fn take_off_light(column: &mut [f32], reach: usize) {
    let mut sums = Vec::with_capacity(column.len() + 1);
    sums.push(0.0_f64);
    for &value in column.iter() {
        sums.push(sums[sums.len() - 1] + f64::from(value));
    }
    let n = column.len();
    for (row, value) in column.iter_mut().enumerate() {
        let (from, to) = (row.saturating_sub(reach), (row + reach + 1).min(n));
        *value -= ((sums[to] - sums[from]) / (to - from) as f64) as f32;
    }
    let power = column.iter().map(|value| value * value).sum::<f32>() / n.max(1) as f32;
    let most = MOST_DEVIATIONS * power.sqrt();
    for value in column {
        *value = value.clamp(-most, most);
    }
}
