//! Even light: each pixel relative to what its column usually shows in this frame.
//!
//! ```text
//! value = pixel / profile(column)      1.0 = as bright as usual here
//! ```
//!
//! The profile is the mean of each column of cloth, smoothed over 128 columns: wide enough to
//! keep yarns and flaws, narrow enough to follow a lamp and the joint of two sensors. It is
//! reflected at the cloth's edges, so no table enters, and columns beside the cloth are filled
//! with the cloth mirrored, so no table leaves. Colour is divided by the profile of its luma:
//! a tint stays a tint. A grey 8 bit frame is looked at in bytes, for its profile, and leaves them
//! once, evened. Everything is a function of the frame, its cloth and the flat field; buffers
//! are used again and hold nothing over. Whether the light is good enough is judged
//! here ([`LightLimits`]), what follows from it is not.

use std::ops::Range;

use camera::{Channels, Frame};
use ndarray::{Array3, Axis};
use opencv::core::{BORDER_REFLECT, Mat, Size};
use opencv::imgproc;
use opencv::prelude::*;
use serde::{Deserialize, Serialize};

use crate::CalibrationError;
use crate::cloth_edge::ClothSpan;
use crate::flat_field::FlatField;

/// A frame in even light. Rows are the frame's rows, columns its columns.
#[derive(Clone, Debug)]
pub struct EvenFrame {
    /// `[channel, row, column]`, one plane (grey) or three (red, green, blue), each value in
    /// 0..=[`BRIGHTEST`]; 1.0 is as bright as usual in that column. Beside the cloth it holds
    /// the cloth mirrored at its edge.
    pub planes: Array3<f32>,
    /// Columns of cloth.
    pub cloth: ClothSpan,
    /// What the light was like.
    pub facts: LightFacts,
}

/// Evens frames; keeps only memory between them.
#[derive(Debug, Default)]
pub struct Evener {
    column_means: Vec<f32>,
    gains: Vec<f32>,
    luma: Vec<f32>,
    byte_sums: ByteSums,
    counts: Counts,
}

/// What the light on the cloth of one frame was like, before evening.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LightFacts {
    /// Mean grey level of the cloth, 0..=255.
    pub mean_level: f32,
    /// Share of the cloth's pixels at 254 of 255 or above, 0..=1.
    pub saturated_share: f32,
    /// Share of the cloth's pixels at 1 of 255 or below, 0..=1.
    pub dark_share: f32,
}

/// When light is too bad to judge cloth by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LightLimits {
    /// A frame is saturated when more than this share of its cloth is, 0..=1.
    pub max_saturated_share: f32,
    /// A frame is too dark when its cloth's mean level is below this, 0..=255.
    pub min_mean_level: f32,
}

/// Why a frame's light does not allow a judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LightFault {
    /// Too little light, or none.
    TooDark,
    /// Too much light: the texture is lost in white.
    Saturated,
}

/// The largest value of evened light. Above it there is only glare; the bound lets 0..=2.125
/// be kept as bytes of 1/120.
pub const BRIGHTEST: f32 = 2.125;

impl EvenFrame {
    /// An empty frame, as a place for [`Evener::even_into`].
    pub fn empty() -> Self {
        Self {
            planes: Array3::zeros((1, 0, 0)),
            cloth: ClothSpan::new(0, 1, 1).expect("one column of one is a span"),
            facts: LightFacts {
                mean_level: 0.0,
                saturated_share: 0.0,
                dark_share: 0.0,
            },
        }
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.planes.len_of(Axis(1))
    }

    /// Columns, those beside the cloth included.
    pub fn width(&self) -> usize {
        self.planes.len_of(Axis(2))
    }
}

impl Evener {
    /// An evener without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `frame` in even light, in new memory; see [`Self::even_into`].
    ///
    /// # Errors
    /// As for [`Self::even_into`].
    pub fn even(
        &mut self,
        frame: &Frame,
        cloth: ClothSpan,
        flat_field: Option<&FlatField>,
        channels: Channels,
    ) -> Result<EvenFrame, CalibrationError> {
        let mut out = EvenFrame::empty();
        self.even_into(frame, cloth, flat_field, channels, &mut out)?;
        Ok(out)
    }

    /// Evens `frame` into `out`, whose memory is used again where it fits.
    ///
    /// `channels` is what is wanted: a colour frame gives grey when asked, a grey frame gives
    /// three equal planes. A column without any light gives 0.
    ///
    /// # Errors
    /// `ClothOutsideFrame` where `cloth` is not of this frame, `OtherWidth` where the flat
    /// field is not.
    pub fn even_into(
        &mut self,
        frame: &Frame,
        cloth: ClothSpan,
        flat_field: Option<&FlatField>,
        channels: Channels,
        out: &mut EvenFrame,
    ) -> Result<(), CalibrationError> {
        let width = frame.width();
        ClothSpan::new(cloth.left(), cloth.right(), width)?;
        if let Some(field) = flat_field
            && field.width() != width
        {
            return Err(CalibrationError::OtherWidth {
                found: width,
                expected: field.width(),
            });
        }
        let shape = (channels.count(), frame.height() as usize, width as usize);
        if out.planes.dim() != shape {
            out.planes = Array3::zeros(shape);
        }
        out.cloth = cloth;
        let planes = out
            .planes
            .as_slice_mut()
            .expect("planes are made in standard layout");
        let in_bytes = channels == Channels::Grey
            && frame.shape().channels == Channels::Grey
            && frame.row_u8(0).is_some();
        if in_bytes {
            self.look_at_bytes(frame, cloth);
        } else {
            self.load(frame, cloth, channels, planes);
        }
        out.facts = self.counts.facts(frame.height(), cloth);
        self.find_gains(cloth, flat_field)?;
        for (row_idx, row) in planes.chunks_exact_mut(shape.2).enumerate() {
            let inside = &mut row[cloth.columns()];
            let bytes = in_bytes.then(|| frame.row_u8(row_idx as u32)).flatten();
            match bytes {
                Some(bytes) => even_bytes(&bytes[cloth.columns()], &self.gains, inside),
                None => even_levels(&self.gains, inside),
            }
            if let Some(field) = flat_field {
                field.bridge_dead(cloth, row);
            }
            mirror_beside(cloth, row);
        }
        Ok(())
    }

    /// Takes the mean of each column and the counts of the cloth, and unpacks nothing.
    fn look_at_bytes(&mut self, frame: &Frame, cloth: ClothSpan) {
        let width = frame.width() as usize;
        let n_columns = cloth.n_columns() as usize;
        self.column_means.clear();
        self.column_means.resize(width, 0.0);
        self.counts = Counts::default();
        let means = &mut self.column_means[cloth.columns()];
        let sums = &mut self.byte_sums;
        for first in (0..frame.height()).step_by(ROWS_IN_BYTES) {
            sums.start(n_columns);
            let end = frame.height().min(first + ROWS_IN_BYTES as u32);
            for bytes in (first..end).filter_map(|row| frame.row_u8(row)) {
                sums.add(&bytes[cloth.columns()]);
            }
            for (mean, &sum) in means.iter_mut().zip(&sums.level) {
                *mean += f32::from(sum);
            }
            let total = |counts: &[u8]| counts.iter().map(|&n| u64::from(n)).sum::<u64>();
            let level: u64 = sums.level.iter().map(|&sum| u64::from(sum)).sum();
            self.counts.level += level as f64;
            self.counts.n_saturated += total(&sums.saturated);
            self.counts.n_dark += total(&sums.dark);
        }
        let share = 1.0 / frame.height().max(1) as f32;
        for mean in means {
            *mean *= share;
        }
    }

    /// Unpacks `frame` into `planes` and takes the mean of each column's luma and the counts
    /// of the cloth on the way, while a row is in the cache.
    fn load(&mut self, frame: &Frame, cloth: ClothSpan, channels: Channels, planes: &mut [f32]) {
        let (width, height) = (frame.width() as usize, frame.height());
        let plane_len = width * height as usize;
        self.column_means.clear();
        self.column_means.resize(width, 0.0);
        self.luma.resize(width, 0.0);
        self.counts = Counts::default();
        for row in 0..height {
            let at = row as usize * width;
            let luma = match channels {
                Channels::Grey => {
                    let grey = &mut planes[at..at + width];
                    frame.grey_row_into(row, grey);
                    &*grey
                }
                Channels::Rgb => {
                    let (red, rest) = planes.split_at_mut(plane_len);
                    let (green, blue) = rest.split_at_mut(plane_len);
                    frame.rgb_row_into(
                        row,
                        &mut red[at..at + width],
                        &mut green[at..at + width],
                        &mut blue[at..at + width],
                    );
                    frame.grey_row_into(row, &mut self.luma);
                    &self.luma
                }
            };
            for (sum, &level) in self.column_means.iter_mut().zip(luma) {
                *sum += level;
            }
            self.counts.add(&luma[cloth.columns()]);
        }
        let share = 1.0 / height.max(1) as f32;
        for mean in &mut self.column_means {
            *mean *= share;
        }
    }

    /// One factor per column of cloth: 1 over profile and column pattern.
    fn find_gains(
        &mut self,
        cloth: ClothSpan,
        flat_field: Option<&FlatField>,
    ) -> Result<(), CalibrationError> {
        let means = &mut self.column_means[cloth.columns()];
        if let Some(field) = flat_field {
            field.flatten_means(cloth, means);
        }
        let profile = smooth_profile(means)?;
        self.gains.clear();
        self.gains.extend(profile.iter().map(|&level| {
            if level > DARKEST_PROFILE {
                1.0 / level
            } else {
                0.0
            }
        }));
        if let Some(field) = flat_field {
            field.flatten_gains(cloth, &mut self.gains);
        }
        Ok(())
    }
}

impl LightFacts {
    /// What the light on the columns `cloth` of `frame` is like, without evening it: for frames
    /// in which no cloth was found, which may be the light's fault.
    ///
    /// # Errors
    /// `ClothOutsideFrame` where `cloth` is not of this frame.
    pub fn of(frame: &Frame, cloth: ClothSpan) -> Result<Self, CalibrationError> {
        ClothSpan::new(cloth.left(), cloth.right(), frame.width())?;
        let mut counts = Counts::default();
        let mut row = vec![0.0; frame.width() as usize];
        for row_idx in 0..frame.height() {
            frame.grey_row_into(row_idx, &mut row);
            counts.add(&row[cloth.columns()]);
        }
        Ok(counts.facts(frame.height(), cloth))
    }
}

impl LightLimits {
    /// What is wrong with the light, if anything. Saturation comes first: a frame cannot be
    /// both but for limits that contradict each other.
    pub fn judge(&self, facts: &LightFacts) -> Option<LightFault> {
        if facts.saturated_share > self.max_saturated_share {
            Some(LightFault::Saturated)
        } else if facts.mean_level < self.min_mean_level {
            Some(LightFault::TooDark)
        } else {
            None
        }
    }
}

/// Smooths one value per column over 128 columns, reflected at both ends.
pub(crate) fn smooth_profile(means: &[f32]) -> Result<Vec<f32>, CalibrationError> {
    let row = Mat::from_slice(means)?;
    let mut smooth = Mat::default();
    imgproc::gaussian_blur(
        &row,
        &mut smooth,
        Size::new(PROFILE_TAPS, 1),
        PROFILE_SIGMA_PX,
        0.0,
        BORDER_REFLECT,
    )?;
    Ok(smooth.data_typed::<f32>()?.to_vec())
}

/// Sums over the cloth of a frame.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    level: f64,
    n_saturated: u64,
    n_dark: u64,
}

impl Counts {
    /// Adds one row of cloth. Counted in chunks, in `f32`, which keeps the loop in vectors and
    /// is exact: no chunk comes near 2²⁴.
    fn add(&mut self, luma: &[f32]) {
        let mut lanes = [[0.0f32; LANES]; 3];
        let [levels, saturated, dark] = &mut lanes;
        let chunks = luma.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for i in 0..LANES {
                levels[i] += chunk[i];
                saturated[i] += f32::from(u8::from(chunk[i] >= SATURATED_LEVEL));
                dark[i] += f32::from(u8::from(chunk[i] <= DARK_LEVEL));
            }
        }
        for (i, &level) in rest.iter().enumerate() {
            levels[i] += level;
            saturated[i] += f32::from(u8::from(level >= SATURATED_LEVEL));
            dark[i] += f32::from(u8::from(level <= DARK_LEVEL));
        }
        self.level += f64::from(levels.iter().sum::<f32>());
        self.n_saturated += saturated.iter().sum::<f32>() as u64;
        self.n_dark += dark.iter().sum::<f32>() as u64;
    }

    fn facts(&self, height: u32, cloth: ClothSpan) -> LightFacts {
        let n = (f64::from(height) * f64::from(cloth.n_columns())).max(1.0);
        LightFacts {
            mean_level: (self.level / n) as f32,
            saturated_share: (self.n_saturated as f64 / n) as f32,
            dark_share: (self.n_dark as f64 / n) as f32,
        }
    }
}

/// What some rows of bytes show, per column of cloth. Narrow integers keep the loop in vectors
/// and its memory in the first cache.
#[derive(Clone, Debug, Default)]
struct ByteSums {
    level: Vec<u16>,
    saturated: Vec<u8>,
    dark: Vec<u8>,
}

/// Rows after which a count of bytes would overflow; a sum of them would after two more.
const ROWS_IN_BYTES: usize = 255;

impl ByteSums {
    fn start(&mut self, n_columns: usize) {
        self.level.clear();
        self.level.resize(n_columns, 0);
        for counts in [&mut self.saturated, &mut self.dark] {
            counts.clear();
            counts.resize(n_columns, 0);
        }
    }

    /// Adds one row of cloth.
    fn add(&mut self, bytes: &[u8]) {
        for (sum, &byte) in self.level.iter_mut().zip(bytes) {
            *sum += u16::from(byte);
        }
        for ((saturated, dark), &byte) in (self.saturated.iter_mut()).zip(&mut self.dark).zip(bytes)
        {
            *saturated += u8::from(byte >= SATURATED_LEVEL as u8);
            *dark += u8::from(byte <= DARK_LEVEL as u8);
        }
    }
}

/// Bytes of a row of cloth, evened.
fn even_bytes(bytes: &[u8], gains: &[f32], out: &mut [f32]) {
    for ((value, &byte), gain) in out.iter_mut().zip(bytes).zip(gains) {
        *value = (f32::from(byte) * gain).min(BRIGHTEST);
    }
}

/// Levels of a row of cloth, evened in their place.
fn even_levels(gains: &[f32], levels: &mut [f32]) {
    for (value, gain) in levels.iter_mut().zip(gains) {
        *value = (*value * gain).min(BRIGHTEST);
    }
}

/// Width of the profile's Gaussian: a lamp and a sensor joint are followed, yarns and flaws
/// are not.
const PROFILE_SIGMA_PX: f64 = 32.0;
/// Two sigma to each side: 128 columns and the one in the middle.
const PROFILE_TAPS: i32 = 129;
/// A column darker than this shows no cloth to divide by.
const DARKEST_PROFILE: f32 = 0.25;
/// Of 255. One below the top: some cameras never give their last code.
const SATURATED_LEVEL: f32 = 254.0;
/// Of 255: black, or its first step.
const DARK_LEVEL: f32 = 1.0;
/// Two AVX2 registers.
const LANES: usize = 16;

/// Fills the columns beside the cloth with the cloth mirrored at its edge, again and again
/// where the cloth is narrower than what lies beside it.
fn mirror_beside(cloth: ClothSpan, row: &mut [f32]) {
    let Range { start, end } = cloth.columns();
    let (left, rest) = row.split_at_mut(start);
    let (inside, right) = rest.split_at_mut(end - start);
    for (i, part) in left.rchunks_mut(inside.len()).enumerate() {
        let part = part.iter_mut().rev();
        if i % 2 == 0 {
            part.zip(inside.iter()).for_each(|(to, from)| *to = *from);
        } else {
            part.zip(inside.iter().rev())
                .for_each(|(to, from)| *to = *from);
        }
    }
    for (i, part) in right.chunks_mut(inside.len()).enumerate() {
        let part = part.iter_mut();
        if i % 2 == 0 {
            part.zip(inside.iter().rev())
                .for_each(|(to, from)| *to = *from);
        } else {
            part.zip(inside.iter()).for_each(|(to, from)| *to = *from);
        }
    }
}

#[cfg(test)]
mod tests;
