//! Frames of "good" cloth that are not like the others: left out, and shown to the person.
//!
//! ```text
//! outliers of a round ─▶ frames to leave out ─▶ the next round passes over them, with a picture
//! ```
//!
//! Whether such a frame shows a flaw or cloth that only was not taught often enough is for a person
//! to say. Nothing here learns.

use std::collections::BTreeMap;

use anyhow::ensure;
use models::CELL_PX;
use models::teach::{MOST_LEFT_OUT, Outlier, Strange};

use crate::crops;
use crate::flaws::Region;
use crate::judging::SeenFrame;

/// A frame that was left out because it is not like the others.
#[derive(Clone, Debug)]
pub struct StrangeFrame {
    /// Its lane, counted from 0.
    pub lane: usize,
    /// Its number in its source.
    pub sequence: u64,
    /// File name, or its number.
    pub frame: String,
    /// Where it stands out most: x and y in the frame, in pixels.
    pub place_px: [usize; 2],
    /// What is strange.
    pub strange: Strange,
    /// How often that of the other frames it scores.
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
}

/// Which frame a block was.
#[derive(Clone)]
pub(super) struct Learned {
    lane: usize,
    sequence: u64,
    frame: String,
}

impl Learned {
    pub(super) fn of(lane: usize, seen: &SeenFrame) -> Self {
        let frame = &seen.head.frame;
        let name = frame.origin.as_deref().map(str::to_owned);
        Self {
            lane,
            sequence: frame.sequence,
            frame: name.unwrap_or_else(|| format!("frame {}", frame.sequence)),
        }
    }
}

impl LeftOut {
    /// Whether a frame is left out; its picture is kept, the first time.
    pub(super) fn has(&mut self, lane: usize, seen: &SeenFrame) -> anyhow::Result<bool> {
        let Some(strange) = self.frames.get_mut(&(lane, seen.head.frame.sequence)) else {
            return Ok(false);
        };
        if strange.picture.is_empty() {
            let [x, y] = strange.place_px;
            let (row, col) = (y / CELL_PX, x / CELL_PX);
            let (rows, cols) = match strange.strange {
                Strange::Place => (row..row + 1, col..col + 1),
                Strange::Whole => (0..seen.block.rows, seen.block.judged.clone()),
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
            strange.picture = crops::png(&crops::cut(lane, seen, &region))?;
        }
        Ok(true)
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
        let n_all = self.frames.len() + learned.len() - found.len();
        ensure!(
            self.frames.len() as f64 <= MOST_LEFT_OUT * n_all as f64,
            "{} of {n_all} frames are not like the others, expected at most {:.0} %: this is not good cloth, or it is of several kinds; the first is {}",
            self.frames.len(),
            MOST_LEFT_OUT * 100.0,
            self.frames
                .values()
                .next()
                .map_or_else(String::new, ToString::to_string)
        );
        Ok(!found.is_empty())
    }

    /// How many there are.
    pub(super) fn n(&self) -> usize {
        self.frames.len()
    }

    /// All of them, by lane and number.
    pub(super) fn into_frames(self) -> Vec<StrangeFrame> {
        self.frames.into_values().collect()
    }
}
