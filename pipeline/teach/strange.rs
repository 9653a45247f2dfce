//! Frames of "good" cloth that are left out: unlike the others, of another article, or known already.
//!
//! ```text
//! outliers of a round ─▶ frames to leave out ─▶ the next round passes over them, with a picture
//! what was not admitted ──────────┘
//! ```
//!
//! Whether such a frame shows a flaw or cloth that only was not taught often enough is for a person
//! to say. Nothing here learns.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use camera::Frame;
use models::CELL_PX;
use models::teach::{MOST_LEFT_OUT, Outlier, Strange};
use sha2::{Digest, Sha256};

use crate::crops;
use crate::flaws::Region;
use crate::judging::SeenFrame;

/// Share of more cloth that may be another article's.
const MOST_OTHER_CLOTH: f64 = 0.25;
/// Frames that a refusal names.
const N_NAMED: usize = 5;

/// A frame that was left out because it is not like the others.
#[derive(Clone, Debug)]
pub struct StrangeFrame {
    /// Its lane, counted from 0.
    pub lane: usize,
    /// Its number in its source.
    pub sequence: u64,
    /// File name, or its number.
    pub frame: String,
    /// Where it stands out most: x and y in the frame, in pixels; 0 where it is other cloth.
    pub place_px: [usize; 2],
    /// What is strange.
    pub strange: Strange,
    /// How often that of the other frames it scores; of other cloth, how often as strange as good
    /// cloth may be.
    pub times: f64,
    /// What the camera saw there, as a PNG file; empty until it was seen again.
    pub picture: Vec<u8>,
}

impl std::fmt::Display for StrangeFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [x, y] = self.place_px;
        let what = match self.strange {
            Strange::Place => "the highest place of the other frames",
            Strange::Whole => "the other frames nearly everywhere",
            Strange::Other => {
                return write!(
                    f,
                    "{}: it is not the cloth that was taught, {:.1} times as strange as good cloth may be",
                    self.frame, self.times
                );
            }
        };
        write!(
            f,
            "{}: at x {x}, y {y} it scores {:.1} times {what}",
            self.frame, self.times
        )
    }
}

/// The frames that are left out, by lane and number.
#[derive(Default)]
pub(super) struct LeftOut {
    frames: BTreeMap<(usize, u64), StrangeFrame>,
    /// Frames that were taught before.
    known: BTreeSet<(usize, u64)>,
}

/// Why a frame of more cloth is not learned from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refusal {
    /// It was taught before.
    Known,
    /// It is so many times as strange as good cloth may be.
    Other(f32),
}

/// Which frame a block was.
#[derive(Clone)]
pub(super) struct Learned {
    pub(super) lane: usize,
    sequence: u64,
    frame: String,
    /// What its pixels are known again by.
    pub(super) digest: u64,
}

impl Learned {
    pub(super) fn of(lane: usize, seen: &SeenFrame) -> Self {
        let frame = &seen.head.frame;
        let name = frame.origin.as_deref().map(str::to_owned);
        Self {
            lane,
            sequence: frame.sequence,
            frame: name.unwrap_or_else(|| format!("frame {}", frame.sequence)),
            digest: digest_of(frame),
        }
    }
}

impl LeftOut {
    /// Whether a frame is left out; its picture is kept, the first time.
    pub(super) fn has(&mut self, lane: usize, seen: &SeenFrame) -> anyhow::Result<bool> {
        let at = (lane, seen.head.frame.sequence);
        let Some(strange) = self.frames.get_mut(&at) else {
            return Ok(self.known.contains(&at));
        };
        if strange.picture.is_empty() {
            strange.picture = picture(strange, seen)?;
        }
        Ok(true)
    }

    /// Leaves out a frame of more cloth that was not admitted.
    pub(super) fn refuse(
        &mut self,
        refused: &Learned,
        seen: &SeenFrame,
        why: Refusal,
    ) -> anyhow::Result<()> {
        let at = (refused.lane, refused.sequence);
        match why {
            Refusal::Known => {
                self.known.insert(at);
            }
            Refusal::Other(times) => {
                let mut strange = StrangeFrame {
                    lane: refused.lane,
                    sequence: refused.sequence,
                    frame: refused.frame.clone(),
                    place_px: [0, 0],
                    strange: Strange::Other,
                    times: f64::from(times),
                    picture: Vec::new(),
                };
                strange.picture = picture(&strange, seen)?;
                self.frames.insert(at, strange);
            }
        }
        Ok(())
    }

    /// Refuses more cloth for `article` of which too little can be learned from: `n_admitted`
    /// frames were admitted.
    pub(super) fn check_admitted(&self, article: &str, n_admitted: usize) -> anyhow::Result<()> {
        let is_other = |strange: &&StrangeFrame| strange.strange == Strange::Other;
        let n_known = self.known.len();
        let n_other = self.frames.values().filter(is_other).count();
        let n_new = n_other + n_admitted;
        ensure!(
            n_new > 0,
            "found {n_known} frames that were taught before and no other that can be used, expected cloth that is new to article {article:?}; nothing was learned, and its model stays as it is"
        );
        let named: Vec<&str> = self
            .frames
            .values()
            .take(N_NAMED)
            .map(|strange| strange.frame.as_str())
            .collect();
        let strangest = self.frames.values().map(|strange| strange.times);
        ensure!(
            n_other as f64 <= MOST_OTHER_CLOTH * n_new as f64,
            "{n_other} of {n_new} new frames are not the cloth that was taught for article {article:?} (up to {:.1} times as strange as good cloth may be; the first are {}), expected at most {:.0} %; nothing was learned, and its model stays as it is: teach another article under its own name, and this one anew, without --more, if its cloth has changed",
            strangest.fold(0.0, f64::max),
            named.join(", "),
            MOST_OTHER_CLOTH * 100.0
        );
        Ok(())
    }

    /// Leaves out what is strange of the frames that were `learned`; whether there is any.
    pub(super) fn add(&mut self, found: &[Outlier], learned: &[Learned]) -> anyhow::Result<bool> {
        for outlier in found {
            let Some(learned) = learned.get(outlier.block) else {
                continue;
            };
            let strange = StrangeFrame {
                lane: learned.lane,
                sequence: learned.sequence,
                frame: learned.frame.clone(),
                place_px: [outlier.col * CELL_PX, outlier.row * CELL_PX],
                strange: outlier.strange,
                times: outlier.times,
                picture: Vec::new(),
            };
            self.frames
                .insert((learned.lane, learned.sequence), strange);
        }
        let is_outlier = |strange: &&StrangeFrame| strange.strange != Strange::Other;
        let outliers = self.frames.values().filter(is_outlier);
        let n_outliers = outliers.clone().count();
        let n_all = n_outliers + learned.len() - found.len();
        ensure!(
            n_outliers as f64 <= MOST_LEFT_OUT * n_all as f64,
            "{n_outliers} of {n_all} frames are not like the others, expected at most {:.0} %: this is not good cloth, or it is of several kinds; the first is {}",
            MOST_LEFT_OUT * 100.0,
            outliers
                .clone()
                .next()
                .map_or_else(String::new, ToString::to_string)
        );
        Ok(!found.is_empty())
    }

    /// How many there are, but for those that were taught before.
    pub(super) fn n(&self) -> usize {
        self.frames.len()
    }

    /// How many were taught before.
    pub(super) fn n_known(&self) -> usize {
        self.known.len()
    }

    /// All of them, by lane and number.
    pub(super) fn into_frames(self) -> Vec<StrangeFrame> {
        self.frames.into_values().collect()
    }
}

/// What the camera saw where a frame is strange, as a PNG file.
fn picture(strange: &StrangeFrame, seen: &SeenFrame) -> anyhow::Result<Vec<u8>> {
    let [x, y] = strange.place_px;
    let (row, col) = (y / CELL_PX, x / CELL_PX);
    let (rows, cols) = match strange.strange {
        Strange::Place => (row..row + 1, col..col + 1),
        Strange::Whole | Strange::Other => (0..seen.block.rows, seen.block.judged.clone()),
    };
    let region = Region {
        rows,
        cols,
        n_cells: 1,
        n_owned: 1,
        highest: 0.0,
        peak: (row, col),
        top: Vec::new(),
        bottom: Vec::new(),
        left: None,
        right: None,
    };
    Ok(crops::png(&crops::cut(strange.lane, seen, &region))?)
}

/// What the pixels of a frame are known again by, whatever its name: the first 64 bits of their SHA-256.
fn digest_of(frame: &Frame) -> u64 {
    let shape = frame.shape();
    let samples = [shape.channels.count(), shape.depth.n_bytes()];
    let sides = [frame.width(), frame.height()].map(u32::to_le_bytes);
    let mut sha = Sha256::new();
    sha.update(sides.as_flattened());
    sha.update(samples.map(|n| n as u8));
    sha.update(frame.bytes());
    let digest = sha.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Says that the frames that were `learned` are of two kinds of cloth.
pub(super) fn of_two_kinds(kinds: [Vec<usize>; 2], learned: &[Learned]) -> String {
    let [one, other] = kinds.map(|blocks| {
        let frames = blocks.iter().filter_map(|block| learned.get(*block));
        let named: Vec<&str> = frames.take(N_NAMED).map(|of| of.frame.as_str()).collect();
        let more = if blocks.len() > named.len() {
            ", …"
        } else {
            ""
        };
        format!("{} frames ({}{more})", blocks.len(), named.join(", "))
    });
    format!(
        "found two kinds of cloth, each another article to the other: {one} and {other}, expected one; teach each under its own name"
    )
}
