//! What teaching can be continued from.
//!
//! ```text
//! "SLVGMEM1" │ u64 length of facts │ facts, JSON │ f64 numbers … │ u64 frames … │ SHA-256 of all before
//! ```
//!
//! All integers and numbers are little-endian. Facts come first, because they say how many numbers
//! of what kind follow: sums per fold, sums per column, medians, histograms, peaks, characters. Frames
//! are what the caller knows each taught frame again by; not being numbers, they stand apart. The
//! digest comes last, so that the file is written in one go. Whose cloth it was is for the caller to
//! say, in facts of its own.
//!
//! Sums add up: features and columns continued from here are, within rounding, those of all cloth
//! taught at once. Scores do not: those of earlier blocks come from the model that was made then,
//! and stay. They are a little higher than they would be against more cloth.

use std::path::Path;

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::N_FOLDS;
use super::grain::Grain;
use super::rims::{Histogram, Rims};
use super::spread::{Learned, Moments, Whitener};
use super::usual::{MOST_KEPT, Medians};
use crate::ModelError;
use crate::file::{read_file, write_durably};
use crate::likeness::Character;
use crate::passport::check_format;
use crate::reference::ColumnSums;
use crate::threshold::{Peak, Peaks};

/// First bytes of a memory.
const MAGIC: &[u8; 8] = b"SLVGMEM1";
/// Version of what follows them.
const FORMAT: u32 = 3;
/// Bytes of the digest at the end.
const DIGEST_BYTES: usize = 32;
/// Most of anything that a memory may speak of, beyond anything that `teach` writes.
const MOST: usize = 1 << 16;
/// Distances from the taught reference that are kept.
const MOST_TAUGHT: usize = 4096;
/// Taught frames that can be known again; of more, the last.
pub const MOST_FRAMES: usize = 100_000;
/// Blocks of which it is kept what they look like.
const MOST_CHARACTERS: usize = 256;

/// The sums of both passes over good cloth.
#[derive(Clone)]
pub struct Memory {
    pub(super) learned: Learned,
    pub(super) rehearsed: Rehearsed,
}

/// What the second pass adds up.
#[derive(Clone)]
pub(super) struct Rehearsed {
    /// Blocks that were rehearsed.
    pub(super) n_blocks: usize,
    /// Those whose columns were known by their past.
    pub(super) n_known: usize,
    /// Fewest rows of a block.
    pub(super) least_rows: usize,
    /// Per lane, an even choice of blocks.
    pub(super) medians: Vec<Vec<Medians>>,
    pub(super) rims: Rims,
    /// One per kind of spot.
    pub(super) spots: Vec<Spots>,
    /// How far single places are.
    pub(super) places: Peaks,
    /// How far lines are.
    pub(super) lines: Peaks,
    /// How far columns are from the pattern of other columns.
    pub(super) starts: Peaks,
    /// How often that was looked at.
    pub(super) n_starts: usize,
    /// How far blocks are from the taught reference alone.
    pub(super) taught: Vec<f32>,
    /// What blocks look like, as the model that was made with them sees them.
    pub(super) characters: Vec<Character>,
}

/// How much a kind of spot stands out of good cloth.
#[derive(Clone, Default)]
pub(super) struct Spots {
    pub(super) rims: Rims,
    pub(super) peaks: Peaks,
}

impl Default for Rehearsed {
    fn default() -> Self {
        Self {
            n_blocks: 0,
            n_known: 0,
            least_rows: usize::MAX,
            medians: Vec::new(),
            rims: Rims::default(),
            spots: Vec::new(),
            places: Peaks::default(),
            lines: Peaks::default(),
            starts: Peaks::default(),
            n_starts: 0,
            taught: Vec::new(),
            characters: Vec::new(),
        }
    }
}

impl Rehearsed {
    /// Lets go of what is more than an even choice.
    pub(super) fn thin(&mut self) {
        for medians in &mut self.medians {
            thin(medians, MOST_KEPT);
        }
        thin(&mut self.taught, MOST_TAUGHT);
        thin(&mut self.characters, MOST_CHARACTERS);
    }
}

fn thin<T>(values: &mut Vec<T>, most: usize) {
    let stride = values.len().div_ceil(most).max(1);
    let mut index = 0;
    values.retain(|_| {
        index += 1;
        (index - 1) % stride == 0
    });
}

/// What the numbers are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    format: u32,
    /// What the caller wants to find again.
    owner: serde_json::Value,
    n_features: usize,
    n_folds: usize,
    n_blocks: usize,
    n_rehearsed: usize,
    n_known: usize,
    least_rows: usize,
    n_starts: usize,
    /// Per lane: columns that have sums, and rows that were added.
    columns: Vec<(usize, usize)>,
    /// Per lane and block: columns, first judged one, judged ones.
    medians: Vec<Vec<(usize, usize, usize)>>,
    /// Steps of each histogram.
    rims: Vec<usize>,
    n_places: usize,
    n_lines: usize,
    n_start_peaks: usize,
    /// One per kind of spot.
    n_spot_peaks: Vec<usize>,
    n_taught: usize,
    /// Blocks of which it is known what they look like.
    n_characters: usize,
    /// Frames that are known again.
    n_frames: usize,
}

impl Memory {
    /// Features of a cell that it speaks of.
    pub fn n_features(&self) -> usize {
        self.learned.folds.first().map_or(0, |fold| fold.sum.len())
    }

    /// Lanes that it speaks of.
    pub fn n_lanes(&self) -> usize {
        self.learned.columns.len()
    }

    /// Blocks that were learned.
    pub fn n_blocks(&self) -> usize {
        self.learned.n_blocks
    }

    /// What its model sees of raw features.
    ///
    /// # Errors
    /// [`ModelError::NoTexture`] when its sums are none of cloth.
    pub fn whitener(&self) -> Result<Whitener, ModelError> {
        self.learned.whitener()
    }

    /// What the taught frames are known again by, in the order in which they were added.
    pub fn frames(&self) -> &[u64] {
        &self.learned.frames
    }

    /// Taught frames that can no longer be known again.
    pub fn n_forgotten(&self) -> usize {
        self.learned
            .n_blocks
            .saturating_sub(self.learned.frames.len())
    }

    /// Notes what the frames of the blocks that were learned last are known again by; beyond
    /// [`MOST_FRAMES`] the first are forgotten.
    pub fn add_frames(&mut self, frames: impl IntoIterator<Item = u64>) {
        let known = &mut self.learned.frames;
        known.extend(frames);
        known.drain(..known.len().saturating_sub(MOST_FRAMES));
    }

    /// Writes it into a file, with the facts of an `owner`; whole, or not at all.
    ///
    /// # Errors
    /// [`ModelError::File`] when the disk refuses, [`ModelError::BadMemory`] when the owner's facts
    /// have no JSON form.
    pub fn write(&self, path: &Path, owner: serde_json::Value) -> Result<(), ModelError> {
        let bytes = self
            .to_bytes(owner)
            .map_err(|error| ModelError::BadMemory {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
        write_durably(path, &bytes).map_err(|source| ModelError::File {
            path: path.to_owned(),
            source,
        })
    }

    /// What was written, and its owner's facts.
    ///
    /// # Errors
    /// [`ModelError::File`] when it cannot be read, [`ModelError::BadMemory`] when it is damaged,
    /// of another version, or something else.
    pub fn read(path: &Path) -> Result<(Self, serde_json::Value), ModelError> {
        let bytes = read_file(path)?;
        Self::from_bytes(&bytes).map_err(|reason| ModelError::BadMemory {
            path: path.to_owned(),
            reason,
        })
    }

    /// The bytes of a file, with the facts of an `owner`.
    ///
    /// # Errors
    /// When the owner's facts have no JSON form.
    pub fn to_bytes(&self, owner: serde_json::Value) -> serde_json::Result<Vec<u8>> {
        let (learned, rehearsed) = (&self.learned, &self.rehearsed);
        let mut numbers: Vec<f64> = Vec::new();
        for fold in &learned.folds {
            numbers.push(fold.n_cells);
            numbers.extend(&fold.sum);
            numbers.extend(&fold.outer);
        }
        numbers.extend(learned.grains.iter().flat_map(Grain::numbers));
        let mut columns = Vec::new();
        for lane in &learned.columns {
            let (sums, n_rows) = (lane.sums(), lane.n_rows());
            columns.push((sums.map_or(0, |(_, counts)| counts.len()), n_rows));
            if let Some((values, counts)) = sums {
                numbers.extend(values.iter().chain(counts).map(|value| f64::from(*value)));
            }
        }
        let mut medians = Vec::new();
        for of_lane in &rehearsed.medians {
            let shape = |medians: &Medians| (medians.cols, medians.start, medians.values.len());
            medians.push(of_lane.iter().map(shape).collect());
            let values = of_lane.iter().flat_map(|medians| &medians.values);
            numbers.extend(values.map(|value| f64::from(*value)));
        }
        let of_spots = rehearsed.spots.iter();
        let mut histograms = rehearsed.rims.histograms();
        histograms.extend(of_spots.clone().flat_map(|spots| spots.rims.histograms()));
        let rims = histograms.iter().map(|rim| rim.counts.len()).collect();
        numbers.extend(histograms.iter().flat_map(|rim| &rim.counts));
        let mut peaks = [&rehearsed.places, &rehearsed.lines, &rehearsed.starts]
            .map(Peaks::sorted)
            .to_vec();
        peaks.extend(of_spots.map(|spots| spots.peaks.sorted()));
        for peak in peaks.iter().flatten() {
            let place = [peak.block, peak.row, peak.col].map(|value| value as f64);
            numbers.push(f64::from(peak.score));
            numbers.extend(place);
        }
        numbers.extend(rehearsed.taught.iter().map(|value| f64::from(*value)));
        for character in &rehearsed.characters {
            numbers.extend(character.numbers().map(f64::from));
        }
        let facts = serde_json::to_vec(&Facts {
            format: FORMAT,
            owner,
            n_features: self.n_features(),
            n_folds: learned.folds.len(),
            n_blocks: learned.n_blocks,
            n_rehearsed: rehearsed.n_blocks,
            n_known: rehearsed.n_known,
            least_rows: rehearsed.least_rows,
            n_starts: rehearsed.n_starts,
            columns,
            medians,
            rims,
            n_places: peaks[0].len(),
            n_lines: peaks[1].len(),
            n_start_peaks: peaks[2].len(),
            n_spot_peaks: peaks[3..].iter().map(Vec::len).collect(),
            n_taught: rehearsed.taught.len(),
            n_characters: rehearsed.characters.len(),
            n_frames: learned.frames.len(),
        })?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((facts.len() as u64).to_le_bytes());
        bytes.extend(facts);
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(learned.frames.iter().flat_map(|frame| frame.to_le_bytes()));
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        Ok(bytes)
    }

    /// What [`Memory::to_bytes`] wrote, and its owner's facts.
    ///
    /// # Errors
    /// What was found and expected, whatever the bytes are.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, serde_json::Value), String> {
        let n = bytes.len().saturating_sub(DIGEST_BYTES);
        let (body, digest) = bytes.split_at(n);
        let rest = body
            .strip_prefix(MAGIC)
            .ok_or("found other first bytes, expected a memory of teaching")?;
        if Sha256::digest(body).as_slice() != digest {
            return Err("found another digest than its bytes have, expected them whole".to_owned());
        }
        let (length, rest) = rest
            .split_first_chunk::<8>()
            .ok_or("found its end, expected the length of its facts")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (facts, numbers) = rest
            .split_at_checked(length)
            .ok_or_else(|| format!("found {} bytes, expected {length} of facts", rest.len()))?;
        check_format(facts, "format", FORMAT)?;
        let facts: Facts = serde_json::from_slice(facts).map_err(|error| error.to_string())?;
        facts.check()?;
        let mut numbers = Numbers { bytes: numbers };
        let memory = facts.read(&mut numbers)?;
        if !numbers.bytes.is_empty() {
            return Err(format!("found {} bytes too many", numbers.bytes.len()));
        }
        Ok((memory, facts.owner))
    }
}

impl Facts {
    fn check(&self) -> Result<(), String> {
        let cols = self.columns.iter().map(|(cols, _)| *cols);
        let medians = self.medians.iter().flatten();
        let sizes = [
            self.n_features,
            self.columns.len(),
            self.n_places,
            self.n_lines,
            self.n_start_peaks,
            self.n_taught,
            self.n_characters,
        ];
        let largest = sizes
            .into_iter()
            .chain([self.n_spot_peaks.len()])
            .chain(self.n_spot_peaks.iter().copied())
            .chain(cols)
            .chain(medians.map(|(cols, start, n)| (*cols).max(start.saturating_add(*n))))
            .max();
        if self.n_features == 0 || largest > Some(MOST) || self.medians.len() > self.columns.len() {
            return Err(format!(
                "found counts up to {}, expected 1 to {MOST}",
                largest.unwrap_or(0)
            ));
        }
        if self.n_frames > self.n_blocks.min(MOST_FRAMES) {
            return Err(format!(
                "found {} frames, expected at most {} of {} blocks",
                self.n_frames, MOST_FRAMES, self.n_blocks
            ));
        }
        if self.n_folds != N_FOLDS {
            return Err(format!("found {} folds, expected {N_FOLDS}", self.n_folds));
        }
        Ok(())
    }

    fn read(&self, numbers: &mut Numbers<'_>) -> Result<Memory, String> {
        let k = self.n_features;
        let mut folds = Vec::new();
        for _ in 0..self.n_folds {
            folds.push(Moments {
                n_cells: numbers.take(1)?[0],
                sum: Array1::from(numbers.take(k)?),
                outer: matrix((k, k), numbers.take(k * k)?)?,
            });
        }
        let mut grains = Vec::new();
        for _ in 0..self.n_folds {
            let grain = Grain::of_numbers(numbers.take(Grain::N_NUMBERS)?);
            grains.push(grain.ok_or("found a grain of too few numbers")?);
        }
        let mut columns = Vec::new();
        for (cols, n_rows) in &self.columns {
            let sums = if *cols == 0 {
                None
            } else {
                let values = numbers.take_f32(k * cols)?;
                Some((matrix((k, *cols), values)?, numbers.take_f32(*cols)?))
            };
            columns.push(ColumnSums::of_parts(sums, *n_rows));
        }
        let mut medians = Vec::new();
        for of_lane in &self.medians {
            let mut read = Vec::new();
            for (cols, start, n) in of_lane {
                read.push(Medians {
                    cols: *cols,
                    start: *start,
                    values: numbers.take_f32(*n)?,
                });
            }
            medians.push(read);
        }
        let mut rims = Rims::default();
        let mut spots = vec![Spots::default(); self.n_spot_peaks.len()];
        let mut histograms = rims.histograms_mut();
        histograms.extend(
            spots
                .iter_mut()
                .flat_map(|spots| spots.rims.histograms_mut()),
        );
        let expected = histograms.len();
        if self.rims.len() != expected {
            let found = self.rims.len();
            return Err(format!("found {found} histograms, expected {expected}"));
        }
        for (rim, n) in histograms.into_iter().zip(&self.rims) {
            *rim = Histogram {
                counts: numbers.take(*n)?,
            };
            if !rim.is_sound() {
                return Err(format!("found a histogram of {n} steps that cannot be one"));
            }
        }
        let places = numbers.take_peaks(self.n_places)?;
        let lines = numbers.take_peaks(self.n_lines)?;
        let starts = numbers.take_peaks(self.n_start_peaks)?;
        for (spots, n) in spots.iter_mut().zip(&self.n_spot_peaks) {
            spots.peaks = numbers.take_peaks(*n)?;
        }
        let rehearsed = Rehearsed {
            n_blocks: self.n_rehearsed,
            n_known: self.n_known,
            least_rows: self.least_rows,
            medians,
            rims,
            spots,
            places,
            lines,
            starts,
            n_starts: self.n_starts,
            taught: numbers.take_f32(self.n_taught)?,
            characters: (0..self.n_characters)
                .map(|_| Ok(Character::of_numbers(&numbers.take_f32(2 * k + 1)?)))
                .collect::<Result<_, String>>()?,
        };
        Ok(Memory {
            learned: Learned {
                folds,
                grains,
                columns,
                frames: numbers.take_frames(self.n_frames)?,
                n_blocks: self.n_blocks,
                n_before: 0,
            },
            rehearsed,
        })
    }
}

/// Numbers that are still to be read.
struct Numbers<'a> {
    bytes: &'a [u8],
}

impl Numbers<'_> {
    /// The next `n`, all finite.
    fn take(&mut self, n: usize) -> Result<Vec<f64>, String> {
        let numbers: Vec<f64> = self
            .take_words(n)?
            .iter()
            .map(|bytes| f64::from_le_bytes(*bytes))
            .collect();
        if numbers.iter().all(|number| number.is_finite()) {
            Ok(numbers)
        } else {
            Err("found a number that is not finite".to_owned())
        }
    }

    /// What `n` frames are known again by.
    fn take_frames(&mut self, n: usize) -> Result<Vec<u64>, String> {
        let words = self.take_words(n)?.iter();
        Ok(words.map(|bytes| u64::from_le_bytes(*bytes)).collect())
    }

    /// The next `n`, whatever they are.
    fn take_words(&mut self, n: usize) -> Result<&[[u8; 8]], String> {
        let wanted = n.saturating_mul(8);
        let (taken, rest) = self.bytes.split_at_checked(wanted).ok_or_else(|| {
            let found = self.bytes.len();
            format!("found {found} bytes of numbers, expected {wanted}")
        })?;
        self.bytes = rest;
        Ok(taken.as_chunks().0)
    }

    fn take_f32(&mut self, n: usize) -> Result<Vec<f32>, String> {
        Ok(self
            .take(n)?
            .into_iter()
            .map(|number| number as f32)
            .collect())
    }

    fn take_peaks(&mut self, n: usize) -> Result<Peaks, String> {
        let mut peaks = Peaks::default();
        let numbers = self.take(n.saturating_mul(4))?;
        for [score, place @ ..] in numbers.as_chunks::<4>().0 {
            // A number below zero or too large becomes the nearest one that can be.
            let [block, row, col] = place.map(|value| value as usize);
            peaks.add(Peak {
                score: *score as f32,
                block,
                row,
                col,
            });
        }
        Ok(peaks)
    }
}

fn matrix<T>(shape: (usize, usize), values: Vec<T>) -> Result<Array2<T>, String> {
    Array2::from_shape_vec(shape, values).map_err(|error| error.to_string())
}
