//! Sewn seams: folded cloth from selvedge to selvedge, raised at both sides of a furrow.
//!
//! ```text
//! frame ─▶ RowLight ─▶ each chunk against its own last 200 mm ─▶ excursions ─▶ bands ─▶ Seam
//! ```
//!
//! An **excursion** is a stretch of a chunk that lies beyond `FAR_SHARE` of its usual level and beyond
//! `FAR_SPREADS` of its spread, short returns included. It looks like a seam when it is `LEAST_MM` to
//! `MOST_MM` long and has two bright ridges with a furrow between them. Excursions that touch beside each
//! other are one **band**. A band is a seam when nearly every chunk of the cloth has such an excursion in it,
//! and it is no longer than a seam that is askew. Anything else is none, and is judged as ever: a pick is too
//! thin, a bar or a start mark too weak and of one piece, a crack or a stain only dark, a hole mostly dark, a crease
//! or a slub one ridge; a lamp that flickers does the same to every chunk. In doubt it is a flaw. Of cloth that
//! is lit from behind no seam is known: it is only dark there.
//!
//! Rows are taken one by one: what is found does not depend on where frames begin. A watch knows neither
//! clock nor web, only rows; it counts them from the first on. Cloth that does not continue is learned anew
//! ([`SeamWatch::forget`]): over the first `WARM_UP_MM` of it no seam is known.

mod row_light;

use std::ops::Range;

use calibration::Um;

pub use self::row_light::RowLight;

/// Share of its usual level beyond which a chunk is far from it. Simulated seams have ridges of 0.35 to 0.75
/// there; what a lamp or a bar does seldom comes so far.
const FAR_SHARE: f32 = 0.2;
/// The same in spreads (standard deviations) of its level along.
const FAR_SPREADS: f32 = 3.0;
/// Share of its usual level below which brightness is a furrow's and no ridge's.
const FURROW_SHARE: f32 = 0.15;
/// Length over which a chunk's level is averaged: less than a ridge, more than a yarn's own roundness.
const SMOOTH_MM: f64 = 0.6;
/// Length over which it is known what is usual.
const USUAL_MM: f64 = 200.0;
/// Least length after which it is.
const WARM_UP_MM: f64 = 25.0;
/// Least and most length of an excursion.
const LEAST_MM: f64 = 3.0;
const MOST_MM: f64 = 30.0;
/// Least length of a ridge.
const LEAST_RIDGE_MM: f64 = 0.6;
/// Least share of an excursion that is bright, and most that is dark.
const LEAST_BRIGHT: f32 = 0.25;
const MOST_DARK: f32 = 0.4;
/// Longest return to the usual inside of an excursion.
const RETURN_MM: f64 = 3.0;
/// How far a seam may be askew, as a share of the cloth's width, and in any case.
const ASKEW_SHARE: f64 = 0.02;
const LEAST_ASKEW_MM: f64 = 10.0;
/// Share of the cloth's chunks that a seam runs through.
const FULL_PERCENT: u32 = 95;
/// Part of the cloth's chunks from which a band may become a seam: a single chunk of lively cloth is far from its
/// usual level now and then, and must not keep its lane waiting.
const OPEN_PARTS: u32 = 8;
/// Cloth of fewer chunks is too narrow in its frame to tell a seam from a flaw.
const FEWEST_CHUNKS: u32 = 8;
/// Chunks over which excursions still touch.
const TOUCHING: usize = 2;
/// Light alone changes every chunk by the same share; folded cloth does not. Least spread between chunks of
/// how bright their ridges are, as a share of it.
const LEAST_UNEVEN: f32 = 0.025;
/// Seams that are remembered as such.
const MOST_KNOWN: usize = 64;

/// What the lanes of a web see of one seam lies no farther apart than this, and its being askew: cameras do not
/// stand in one line to the centimetre.
pub const APART: Um = Um(150_000);

/// How far a seam may be askew on cloth of this width, mm both.
pub fn askew_mm(width_mm: f64) -> f64 {
    (ASKEW_SHARE * width_mm).max(LEAST_ASKEW_MM)
}

/// A seam that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seam {
    /// Its rows, as the watch counts them.
    pub rows: Range<u64>,
}

/// Looks for seams in one lane.
#[derive(Debug)]
pub struct SeamWatch {
    mm_per_px: f64,
    limits: Rows,
    n_seen: u64,
    /// Width of a chunk, in mm.
    chunk_mm: f64,
    chunks: Vec<Chunk>,
    bands: Vec<Band>,
    next_id: u64,
    /// Bands that were seams: the last ones.
    known: Vec<u64>,
}

/// Lengths in rows.
#[derive(Debug)]
struct Rows {
    mm_per_row: f64,
    smooth: usize,
    usual: u32,
    warm_up: u32,
    least: u64,
    most: u64,
    ridge: u32,
    returns: u64,
}

/// What is known of one chunk.
#[derive(Clone, Debug, Default)]
struct Chunk {
    /// The last levels, a ring, and how many there are.
    last: Vec<f32>,
    n_last: usize,
    /// Rows that were learned from since it is learned anew.
    n: u32,
    mean: f32,
    variance: f32,
    excursion: Option<Excursion>,
}

/// A stretch that goes on.
#[derive(Clone, Debug)]
struct Excursion {
    /// Its band's first id.
    band: u64,
    from: u64,
    /// The last row that was far.
    last: u64,
    /// Rows that were far brighter and far darker than usual.
    n_bright: u32,
    n_dark: u32,
    /// Change of the bright rows, as a share of the usual level, summed.
    brighter: f32,
    n_ridges: u32,
    /// Bright rows in a row.
    ridge: u32,
    /// Whether a furrow, or the cloth before it all, lies behind the last ridge.
    is_low: bool,
}

/// Excursions that touch.
#[derive(Debug)]
struct Band {
    /// Its own, and those of the bands that it was joined with.
    ids: Vec<u64>,
    from: u64,
    /// Chunks that showed cloth all the while, whose excursion goes on, and that had one like a seam's.
    cloth: u32,
    running: u32,
    seamed: u32,
    /// Rows of those, and how bright their ridges were.
    rows: Option<Range<u64>>,
    brighter: Vec<f32>,
}

impl SeamWatch {
    /// A watch at the start of a lane of this scale, in mm per pixel across and per row.
    pub fn new(mm_per_px: f64, mm_per_row: f64) -> Self {
        let rows = |mm: f64| (mm / mm_per_row).round().max(1.0);
        Self {
            mm_per_px,
            limits: Rows {
                mm_per_row,
                smooth: rows(SMOOTH_MM) as usize,
                usual: rows(USUAL_MM) as u32,
                warm_up: rows(WARM_UP_MM) as u32,
                least: rows(LEAST_MM) as u64,
                most: rows(MOST_MM) as u64,
                ridge: rows(LEAST_RIDGE_MM) as u32,
                returns: rows(RETURN_MM) as u64,
            },
            n_seen: 0,
            chunk_mm: 0.0,
            chunks: Vec::new(),
            bands: Vec::new(),
            next_id: 0,
            known: Vec::new(),
        }
    }

    /// Rows that have been seen since the watch began.
    pub fn n_seen(&self) -> u64 {
        self.n_seen
    }

    /// Looks at the next rows, and gives the seams that are known to have ended.
    pub fn see(&mut self, row_light: &RowLight) -> Vec<Seam> {
        if self.chunks.len() != row_light.n_chunks() {
            self.forget();
            self.chunks = vec![Chunk::default(); row_light.n_chunks()];
        }
        self.chunk_mm = row_light.chunk_px() * self.mm_per_px;
        let cloth = row_light.cloth();
        for band in &mut self.bands {
            band.cloth &= cloth;
        }
        let mut found = Vec::new();
        for levels in row_light.rows() {
            for (nth, level) in levels.iter().enumerate() {
                if cloth & (1 << nth) == 0 {
                    self.end(nth, false);
                    self.chunks[nth].n_last = 0;
                } else {
                    self.look(nth, *level, cloth);
                }
            }
            self.n_seen += 1;
            if !self.bands.is_empty() {
                found.extend(self.close());
            }
        }
        found
    }

    /// Cloth that does not continue what was seen follows: what is usual is learned anew. Gives the seams
    /// that had just ended; what goes on where the cloth breaks off is none.
    pub fn forget(&mut self) -> Vec<Seam> {
        let end = self.n_seen.saturating_sub(self.limits.smooth as u64);
        for nth in 0..self.chunks.len() {
            let goes_on = self.chunks[nth].excursion.as_ref();
            let has_ended = goes_on.is_some_and(|excursion| excursion.last < end);
            self.end(nth, has_ended);
        }
        let found = self.close();
        self.chunks.fill(Chunk::default());
        found
    }

    /// What may still become a seam: its number, and its first row.
    pub fn open(&self) -> impl Iterator<Item = (u64, u64)> {
        let open = self.bands.iter().filter(|band| self.may_be_seam(band));
        open.map(|band| (band.ids[0], band.from))
    }

    /// Whether what had this number may still become a seam.
    pub fn is_open(&self, id: u64) -> bool {
        let mut bands = self.bands.iter();
        bands.any(|band| band.ids.contains(&id) && self.may_be_seam(band))
    }

    /// Whether what had this number was a seam.
    pub fn is_seam(&self, id: u64) -> bool {
        self.known.contains(&id)
    }

    /// Looks at the next row of a chunk.
    fn look(&mut self, nth: usize, level: f32, cloth: u32) {
        let Rows {
            smooth,
            usual,
            warm_up,
            most,
            ridge,
            returns,
            ..
        } = self.limits;
        let chunk = &mut self.chunks[nth];
        let Some(smoothed) = chunk.smoothed(level, smooth) else {
            return;
        };
        // The row in the middle of those that are averaged.
        let row = self.n_seen - (smooth / 2) as u64;
        let is_known = chunk.n >= warm_up;
        let share = smoothed / chunk.mean - 1.0;
        let far = FAR_SHARE.max(FAR_SPREADS * chunk.variance.sqrt() / chunk.mean);
        let is_far = is_known && share.abs() > far;
        if chunk.excursion.is_none() {
            if !is_far {
                chunk.learn(smoothed, usual);
                return;
            }
            self.begin(nth, row, cloth);
        }
        let Some(excursion) = &mut self.chunks[nth].excursion else {
            return;
        };
        excursion.add(row, share, is_far, ridge);
        if row + 1 - excursion.from > most + returns {
            self.end(nth, false);
            // What is so long is usual here from now on.
            self.chunks[nth].n = 0;
        } else if row - excursion.last > returns {
            self.end(nth, true);
        }
    }

    /// An excursion of a chunk begins; it joins those that go on beside it.
    fn begin(&mut self, nth: usize, row: u64, cloth: u32) {
        let beside = nth.saturating_sub(TOUCHING)..(nth + TOUCHING + 1).min(self.chunks.len());
        let excursions = self.chunks[beside].iter();
        let touched = excursions.filter_map(|chunk| Some(chunk.excursion.as_ref()?.band));
        let mut touched: Vec<u64> = touched.collect();
        touched.sort_unstable();
        touched.dedup();
        let id = self.next_id;
        let mut band = Band {
            ids: Vec::new(),
            from: row,
            cloth,
            running: 1 << nth,
            seamed: 0,
            rows: None,
            brighter: Vec::new(),
        };
        if touched.is_empty() {
            self.next_id += 1;
            band.ids.push(id);
        }
        for other in touched {
            let place = self.bands.iter().position(|band| band.ids[0] == other);
            if let Some(place) = place {
                band.join(self.bands.swap_remove(place));
            }
        }
        let number = band.ids[0];
        for chunk in &mut self.chunks {
            if let Some(excursion) = &mut chunk.excursion
                && band.ids.contains(&excursion.band)
            {
                excursion.band = number;
            }
        }
        self.bands.push(band);
        self.chunks[nth].excursion = Some(Excursion {
            band: number,
            from: row,
            last: row,
            n_bright: 0,
            n_dark: 0,
            brighter: 0.0,
            n_ridges: 0,
            ridge: 0,
            is_low: true,
        });
    }

    /// The excursion of a chunk is over, if there is one; it counts if it `has_ended` by itself.
    fn end(&mut self, nth: usize, has_ended: bool) {
        let Some(over) = self.chunks[nth].excursion.take() else {
            return;
        };
        let mut bands = self.bands.iter_mut();
        let Some(band) = bands.find(|band| band.ids[0] == over.band) else {
            return;
        };
        band.running &= !(1 << nth);
        let rows = over.from..over.last + 1;
        let length = rows.end - rows.start;
        let is_long = (self.limits.least..=self.limits.most).contains(&length);
        if has_ended && is_long && over.is_like_seam() {
            band.seamed |= 1 << nth;
            band.rows = Some(hull(band.rows.take(), rows));
            band.brighter.push(over.brighter / over.n_bright as f32);
        }
    }

    /// Ends the bands in which nothing goes on; gives those that are seams.
    fn close(&mut self) -> Vec<Seam> {
        let bands = std::mem::take(&mut self.bands).into_iter();
        let (over, going_on): (Vec<Band>, Vec<Band>) = bands.partition(|band| band.running == 0);
        self.bands = going_on;
        let mut found = Vec::new();
        for band in over {
            if let Some(rows) = self.seam_of(&band) {
                self.known.extend(band.ids);
                found.push(Seam { rows });
            }
        }
        let n_old = self.known.len().saturating_sub(MOST_KNOWN);
        self.known.drain(..n_old);
        found
    }

    /// The rows of a band that is over, if it is a seam.
    fn seam_of(&self, band: &Band) -> Option<Range<u64>> {
        let n_cloth = band.cloth.count_ones();
        let n_seamed = (band.seamed & band.cloth).count_ones();
        let rows = band.rows.clone()?;
        let is_full = n_cloth >= FEWEST_CHUNKS && n_seamed * 100 >= n_cloth * FULL_PERCENT;
        let is_short = rows.end - rows.start <= self.most_rows(band);
        (is_full && is_short && spread_share(&band.brighter) >= LEAST_UNEVEN).then_some(rows)
    }

    /// Whether a band that goes on may become a seam.
    fn may_be_seam(&self, band: &Band) -> bool {
        let late = self.limits.returns + self.limits.smooth as u64;
        let n_cloth = band.cloth.count_ones();
        let n_here = ((band.running | band.seamed) & band.cloth).count_ones();
        n_cloth >= FEWEST_CHUNKS
            && n_here * OPEN_PARTS >= n_cloth
            && self.n_seen <= band.from + self.most_rows(band) + late
    }

    /// Rows that a seam may have on the cloth of this band.
    fn most_rows(&self, band: &Band) -> u64 {
        let width_mm = f64::from(band.cloth.count_ones()) * self.chunk_mm;
        ((MOST_MM + askew_mm(width_mm)) / self.limits.mm_per_row).round() as u64
    }
}

impl Chunk {
    /// The mean of the last levels, once there are enough.
    fn smoothed(&mut self, level: f32, n: usize) -> Option<f32> {
        if self.last.len() != n {
            self.last.clear();
            self.last.resize(n, 0.0);
        }
        self.last[self.n_last % n] = level;
        self.n_last += 1;
        if self.n_last >= 2 * n {
            self.n_last -= n;
        }
        let is_full = self.n_last >= n;
        is_full.then(|| self.last.iter().sum::<f32>() / n as f32)
    }

    /// Learns what is usual; the last `usual` rows count most.
    fn learn(&mut self, smoothed: f32, usual: u32) {
        if self.n == 0 {
            (self.mean, self.variance) = (smoothed, 0.0);
        }
        self.n = self.n.saturating_add(1);
        let share = 1.0 / self.n.min(usual) as f32;
        let change = smoothed - self.mean;
        self.mean += share * change;
        self.variance = (1.0 - share) * (self.variance + share * change * change);
    }
}

impl Excursion {
    /// The next row, whose level differs by so much from the usual one.
    fn add(&mut self, row: u64, share: f32, is_far: bool, least_ridge: u32) {
        if is_far {
            self.last = row;
        }
        if is_far && share > 0.0 {
            self.n_bright += 1;
            self.brighter += share;
            self.ridge += 1;
            if self.is_low && self.ridge >= least_ridge {
                self.n_ridges += 1;
                self.is_low = false;
            }
            return;
        }
        self.ridge = 0;
        self.n_dark += u32::from(is_far);
        self.is_low |= share < FURROW_SHARE;
    }

    /// Whether it has a seam's ridges.
    fn is_like_seam(&self) -> bool {
        let length = (self.last + 1 - self.from) as f32;
        self.n_ridges >= 2
            && self.n_bright as f32 >= LEAST_BRIGHT * length
            && self.n_dark as f32 <= MOST_DARK * length
    }
}

impl Band {
    /// Takes another one in.
    fn join(&mut self, other: Self) {
        self.ids.extend(other.ids);
        self.from = self.from.min(other.from);
        self.cloth &= other.cloth;
        self.running |= other.running;
        self.seamed |= other.seamed;
        if let Some(rows) = other.rows {
            self.rows = Some(hull(self.rows.take(), rows));
        }
        self.brighter.extend(other.brighter);
    }
}

fn hull(one: Option<Range<u64>>, other: Range<u64>) -> Range<u64> {
    match one {
        Some(one) => one.start.min(other.start)..one.end.max(other.end),
        None => other,
    }
}

/// Standard deviation, as a share of the mean.
fn spread_share(values: &[f32]) -> f32 {
    let n = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / n;
    let squares = values.iter().map(|value| (value - mean).powi(2));
    (squares.sum::<f32>() / n).sqrt() / mean.max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests;
