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
//! A picture of nothing but a grey table, whose noise is as coarse as a fine cloth's texture, is
//! taken for cloth: it is then judged, and not lost in silence.
//!
//! It is a function of this frame alone and remembers nothing. It gives two columns, not a
//! contour: cloth that runs askew by more than a few columns shows a wedge of table.

use std::ops::Range;

use camera::{Channels, Frame};

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

/// The columns of cloth in `frame`, or `None` where it shows no cloth at all: table, a lens cap
/// or glare.
///
/// Rows are sub-sampled, so the cost hardly grows with the frame's height.
pub fn find_cloth(frame: &Frame) -> Option<ClothSpan> {
    let width = frame.width();
    let mut bands = measure(frame);
    let left = outer_edge(&bands)?;
    bands.iter_mut().for_each(Band::reverse);
    let right = width - outer_edge(&bands)?;
    ClothSpan::new(left, right, width).ok()
}

/// Columns of a bin: a few yarns of the coarsest cloth, so that a bin's texture is steady.
const BIN: usize = 16;
/// Bands of a frame. The third outermost decides: two may be led astray by a thread on the
/// table, and a hole in up to five of them does not move the edge.
const N_BANDS: usize = 8;
/// Pairs of neighbouring rows looked at in a frame; more change no edge and cost time.
const N_PAIRS: usize = 64;
/// Fewer pairs make a band's texture too noisy.
const MIN_PAIRS_PER_BAND: usize = 4;

/// Bins in which the walk outwards begins, fewer in a narrow frame: a median that a flaw under
/// 190 px does not tip.
const START_BINS: usize = 24;
/// Where the walk may begin, in eighths of the width, the first that shows cloth.
const STARTS: [usize; 5] = [4, 3, 5, 2, 6];
/// Accepted bins that the next one is compared with: follows a lamp's slope, outlives a flaw.
const REFERENCE_BINS: usize = 12;
/// A bin is unlike the cloth when its level differs by 25 % or a texture by 80 %.
const UNLIKE_CLOTH: [f32; 3] = [0.223, 0.588, 0.588];
/// Cloth has ended when this many bins, wider than any flaw known, are nearly all unlike it.
const SUSTAINED_BINS: usize = 16;
/// A bin is unlike the table when it differs by 15 % in level or 40 % in texture: a table is
/// evener than cloth.
const UNLIKE_TABLE: [f32; 3] = [0.140, 0.336, 0.336];
/// ... or by this share of its contrast to the cloth, whichever is more: cloth lights the table
/// beside it.
const STRAY_LIGHT: f32 = 0.25;
/// Bins of table that a bin is compared with: the nearest that are farther out than any
/// selvedge.
const TABLE_BINS: usize = 24;
/// A selvedge of another weave is narrower than this many bins.
const SELVEDGE_BINS: usize = 14;

/// Of 255. Whiter is saturated, whatever it is.
const WHITE_LEVEL: f32 = 250.0;
/// Of 255. A saturated table ends where a bin's mean falls below this.
const OFF_WHITE_LEVEL: f32 = 240.0;
/// Of 255. Darker is a lens cap or a dead lamp.
const BLACK_LEVEL: f32 = 4.0;
/// Of 255. Mean step from pixel to pixel below which there is no weave, but sensor noise.
const FLATTEST_WEAVE: f32 = 1.5;
/// Added before taking logarithms, so that noise on black does not look like texture.
const LEVEL_FLOOR: f32 = 8.0;
const TEXTURE_FLOOR: f32 = 1.0;

/// Columns averaged on each side of a step: a yarn, so that yarns make no steps.
const STEP_PX: usize = 4;
/// The edge is looked for from this far outside of the bin where the table ends ...
const ZONE_OUT_PX: usize = 12;
/// ... or where the weave ends, when no table like the rest of it was found ...
const ZONE_OUT_UNSURE_PX: usize = 40;
/// ... to this far inside.
const ZONE_IN_PX: usize = 24;
/// How far a band's edge may lie inside the outer ones and still be the edge: cloth that runs
/// askew. Deeper is a hole in the selvedge.
const ASKEW_PX: usize = 64;

/// What a band of rows shows, per column.
struct Band {
    level: Vec<f32>,
    along: Vec<f32>,
    across: Vec<f32>,
}

/// Level and texture along and across of one bin.
#[derive(Clone, Copy)]
struct Bin {
    level: f32,
    texture: [f32; 2],
    /// Logarithms of the three: lamps multiply.
    look: [f32; 3],
}

impl Band {
    fn empty(width: usize) -> Self {
        Self {
            level: vec![0.0; width],
            along: vec![0.0; width],
            across: vec![0.0; width],
        }
    }

    /// The mean over neighbouring rows.
    fn over(pairs: impl ExactSizeIterator<Item = [Vec<f32>; 2]>, width: usize) -> Self {
        let mut band = Self::empty(width);
        let share = 1.0 / pairs.len() as f32;
        for [first, second] in pairs {
            for (((level, along), a), b) in (band.level.iter_mut())
                .zip(&mut band.along)
                .zip(&first)
                .zip(&second)
            {
                *level += 0.5 * (a + b);
                *along += (b - a).abs();
            }
            for (across, step) in band.across.iter_mut().zip(first.windows(2)) {
                *across += (step[1] - step[0]).abs();
            }
        }
        let columns = [&mut band.level, &mut band.along, &mut band.across];
        columns.into_iter().flatten().for_each(|sum| *sum *= share);
        band
    }

    /// The same of 8 bit rows, in integers: four times as fast, and no less exact.
    fn over_bytes<'a>(pairs: impl ExactSizeIterator<Item = [&'a [u8]; 2]>, width: usize) -> Self {
        // A band has so few pairs that no sum comes near the end of 16 bit.
        let [mut level, mut along, mut across] = [(); 3].map(|()| vec![0_u16; width]);
        let share = 1.0 / pairs.len() as f32;
        for [first, second] in pairs {
            for (((level, along), &a), &b) in
                (level.iter_mut()).zip(&mut along).zip(first).zip(second)
            {
                *level += u16::from(a) + u16::from(b);
                *along += u16::from(a.abs_diff(b));
            }
            for ((across, &a), &b) in across.iter_mut().zip(first).zip(&first[1..]) {
                *across += u16::from(a.abs_diff(b));
            }
        }
        let mean = |sums: Vec<u16>, share: f32| -> Vec<f32> {
            sums.into_iter().map(|sum| f32::from(sum) * share).collect()
        };
        Self {
            level: mean(level, 0.5 * share),
            along: mean(along, share),
            across: mean(across, share),
        }
    }

    fn reverse(&mut self) {
        self.level.reverse();
        self.along.reverse();
        self.across.reverse();
    }

    /// Bins from the first column on; columns left over at the end belong to the last one.
    fn bins(&self) -> Vec<Bin> {
        let width = self.level.len();
        let n = (width / BIN).max(1);
        let bin = |i: usize| {
            let columns = i * BIN..if i + 1 == n { width } else { (i + 1) * BIN };
            let mean = |values: &[f32]| sum(&values[columns.clone()]) / columns.len() as f32;
            let level = mean(&self.level);
            let texture = [mean(&self.along), mean(&self.across)];
            let look = [
                (level + LEVEL_FLOOR).ln(),
                (texture[0] + TEXTURE_FLOOR).ln(),
                (texture[1] + TEXTURE_FLOOR).ln(),
            ];
            Bin {
                level,
                texture,
                look,
            }
        };
        (0..n).map(bin).collect()
    }
}

/// Looks at pairs of rows spread evenly over `frame`; no band for a frame without pixels.
fn measure(frame: &Frame) -> Vec<Band> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    if width == 0 || height == 0 {
        return Vec::new();
    }
    let n_pairs = (height / 2).clamp(1, N_PAIRS);
    let n_bands = (n_pairs / MIN_PAIRS_PER_BAND).clamp(1, N_BANDS);
    let band = |band_idx: usize| {
        let pairs = band_idx * n_pairs / n_bands..(band_idx + 1) * n_pairs / n_bands;
        let rows = pairs.map(|pair| {
            let row = pair * height / n_pairs;
            [row as u32, (row + 1).min(height - 1) as u32]
        });
        match frame.shape().channels {
            Channels::Grey if frame.row_u8(0).is_some() => {
                let bytes = |row| frame.row_u8(row).unwrap_or_default();
                Band::over_bytes(rows.map(|pair| pair.map(bytes)), width)
            }
            Channels::Grey | Channels::Rgb => {
                let grey = |row| {
                    let mut grey = vec![0.0; width];
                    frame.grey_row_into(row, &mut grey);
                    grey
                };
                Band::over(rows.map(|pair| pair.map(grey)), width)
            }
        }
    };
    (0..n_bands).map(band).collect()
}

/// The column where cloth begins, coming from column 0; `None` where there is no cloth.
fn outer_edge(bands: &[Band]) -> Option<u32> {
    let binned: Vec<Vec<Bin>> = bands.iter().map(Band::bins).collect();
    let start = cloth_start(&binned)?;
    let mut edges: Vec<usize> = (bands.iter().zip(&binned))
        .filter_map(|(band, bins)| band_edge(&band.level, bins, start.clone()))
        .collect();
    if 2 * edges.len() <= bands.len() {
        return Some(0);
    }
    edges.sort_unstable();
    let outermost = edges[edges.len() / 4];
    edges.retain(|&edge| edge <= outermost + ASKEW_PX);
    Some(edges[edges.len() / 2] as u32)
}

/// Bins to walk outwards from: the first place that mostly shows cloth.
fn cloth_start(binned: &[Vec<Bin>]) -> Option<Range<usize>> {
    let n_bins = binned.first()?.len();
    let n = (n_bins / 4).clamp(1, START_BINS);
    STARTS.iter().find_map(|eighth| {
        let start = (n_bins * eighth / 8).saturating_sub(n / 2).min(n_bins - n);
        let here = || binned.iter().flat_map(|bins| &bins[start..start + n]);
        let level = median(here().map(|bin| bin.level));
        let along = median(here().map(|bin| bin.texture[0]));
        let across = median(here().map(|bin| bin.texture[1]));
        let lit = (BLACK_LEVEL..WHITE_LEVEL).contains(&level);
        (lit && along.max(across) >= FLATTEST_WEAVE).then_some(start..start + n)
    })
}

/// Where cloth begins in one band, coming from column 0; `None` where it runs to column 0.
fn band_edge(level: &[f32], bins: &[Bin], start: Range<usize>) -> Option<usize> {
    let (weave_end, cloth) = weave_end(bins, start)?;
    let (from, slack) = match table_end(bins, weave_end, &cloth) {
        Some(table_end) => (table_end, ZONE_OUT_PX),
        None => (weave_end + 1, ZONE_OUT_UNSURE_PX),
    };
    let zone = (from * BIN).saturating_sub(slack)..from * BIN + ZONE_IN_PX;
    outermost_step(level, zone)
}

/// The first bin, walking outwards from the middle of `start`, from which on all looks unlike
/// the cloth, and what the cloth looks like before it.
fn weave_end(bins: &[Bin], start: Range<usize>) -> Option<(usize, [f32; 3])> {
    let window: Vec<[f32; 3]> = bins[start.clone()].iter().map(|bin| bin.look).collect();
    let mut recent = Recent::of(median_look(&window));
    // Cloth is most of the window and table only at one end of it: its middle is cloth.
    for i in (0..start.start.midpoint(start.end)).rev() {
        let usual = recent.median();
        let is_cloth =
            |bin: &Bin| bin.level <= WHITE_LEVEL && is_like(&bin.look, &usual, &UNLIKE_CLOTH);
        if is_cloth(&bins[i]) {
            recent.push(bins[i].look);
            continue;
        }
        let beyond = &bins[(i + 1).saturating_sub(SUSTAINED_BINS)..=i];
        let n_unlike = beyond.iter().filter(|bin| !is_cloth(bin)).count();
        if n_unlike >= 2 && 5 * n_unlike >= 4 * beyond.len() {
            return Some((i, usual));
        }
    }
    None
}

/// The last accepted looks, and each of their figures in ascending order: a median for every
/// bin would cost more than looking at the pixels did.
struct Recent {
    looks: [[f32; 3]; REFERENCE_BINS],
    oldest: usize,
    sorted: [[f32; REFERENCE_BINS]; 3],
}

impl Recent {
    fn of(look: [f32; 3]) -> Self {
        Self {
            looks: [look; REFERENCE_BINS],
            oldest: 0,
            sorted: look.map(|value| [value; REFERENCE_BINS]),
        }
    }

    /// Takes a look in the place of the oldest one.
    fn push(&mut self, look: [f32; 3]) {
        let old = std::mem::replace(&mut self.looks[self.oldest], look);
        self.oldest = (self.oldest + 1) % REFERENCE_BINS;
        for ((sorted, old), new) in self.sorted.iter_mut().zip(old).zip(look) {
            let mut at = sorted.partition_point(|value| value.total_cmp(&old).is_lt());
            sorted[at] = new;
            while at > 0 && sorted[at] < sorted[at - 1] {
                sorted.swap(at, at - 1);
                at -= 1;
            }
            while at + 1 < REFERENCE_BINS && sorted[at] > sorted[at + 1] {
                sorted.swap(at, at + 1);
                at += 1;
            }
        }
    }

    /// The upper median of each figure.
    fn median(&self) -> [f32; 3] {
        self.sorted.map(|values| values[REFERENCE_BINS / 2])
    }
}

/// The bin, walking outwards from where the weave ends, beyond which all is table; `None` where
/// no table is found within a selvedge's width.
fn table_end(bins: &[Bin], weave_end: usize, cloth: &[f32; 3]) -> Option<usize> {
    if bins[0].level > WHITE_LEVEL {
        let is_white = |bin: &&Bin| bin.level > OFF_WHITE_LEVEL;
        let white = bins[..=weave_end].iter().take_while(is_white).count();
        return (white + SELVEDGE_BINS > weave_end).then_some(white);
    }
    let sure = weave_end
        .saturating_sub(SELVEDGE_BINS)
        .max(weave_end.div_ceil(2))
        .max(1);
    let table: Vec<[f32; 3]> = bins[..sure].iter().map(|bin| bin.look).collect();
    let usual = median_look(&table[table.len().saturating_sub(TABLE_BINS)..]);
    let limits = [0, 1, 2].map(|i| {
        let contrast = (cloth[i] - usual[i]).abs();
        UNLIKE_TABLE[i].max(STRAY_LIGHT * contrast)
    });
    let is_table = |i: usize| is_like(&bins[i].look, &usual, &limits);
    (weave_end.saturating_sub(SELVEDGE_BINS)..=weave_end)
        .rev()
        .find(|&i| is_table(i) && is_table(i.saturating_sub(1)))
        .map(|i| i + 1)
}

/// The outermost strong step of `level` in `zone`, to the column.
fn outermost_step(level: &[f32], zone: Range<usize>) -> Option<usize> {
    let zone = zone.start.max(STEP_PX)..zone.end.min(level.len().saturating_sub(STEP_PX));
    let step_at = |x: usize| {
        let sum = |columns: Range<usize>| level[columns].iter().sum::<f32>();
        (sum(x..x + STEP_PX) - sum(x - STEP_PX..x)).abs()
    };
    let steps: Vec<f32> = zone.clone().map(step_at).collect();
    let largest = steps.iter().copied().fold(0.0, f32::max);
    let first = steps.iter().position(|&step| 2.0 * step >= largest)?;
    let near = &steps[first..(first + STEP_PX + 1).min(steps.len())];
    let best = (near.iter().enumerate())
        .max_by(|a, b| a.1.total_cmp(b.1))?
        .0;
    Some(zone.start + first + best)
}

fn is_like(look: &[f32; 3], usual: &[f32; 3], limits: &[f32; 3]) -> bool {
    (look.iter().zip(usual).zip(limits)).all(|((a, b), limit)| (a - b).abs() <= *limit)
}

fn median_look(looks: &[[f32; 3]]) -> [f32; 3] {
    [0, 1, 2].map(|i| median(looks.iter().map(|look| look[i])))
}

/// The sum, added in eight lanes so that it is not one long chain.
fn sum(values: &[f32]) -> f32 {
    let groups = values.chunks_exact(8);
    let rest: f32 = groups.remainder().iter().sum();
    let mut lanes = [0.0; 8];
    for group in groups {
        for (lane, value) in lanes.iter_mut().zip(group) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The upper median; 0 of nothing.
fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests;
