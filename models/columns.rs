//! What belongs to the columns of one camera, and to no other camera of the same article.
//!
//! ```text
//! passport ─▶ lanes[0], lanes[1], … ─▶ one LaneColumns each ─▶ that lane's correction and Judge
//! ```
//!
//! Several cameras side by side see one web. Spread, threshold and rims are the cloth's and
//! common to all; a lamp's slope, a dead column, a frame's width are one camera's. Lanes stand
//! in the order of the station file. A lane that was not taught has none of this.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::CELL_PX;
use crate::level::Level;
use crate::passport::all_between;
use crate::quantile::quantile;

/// Widest frame that a passport may speak of, in pixels.
const MAX_WIDTH: u32 = 65_536;
/// Most lanes that a passport may speak of.
const MAX_LANES: usize = 64;

/// Most parts of a lane whose sharpness a passport may speak of.
const MAX_FOCUS_PARTS: usize = 64;

/// The columns of one lane, as they were taught.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneColumns {
    /// Width of a frame, in pixels.
    pub frame_width: u32,
    /// Fixed pattern of the camera, if the good cloth showed one; its layout is the caller's.
    pub flat_field: Option<serde_json::Value>,
    /// Usual distance of each column of cells, taken off before the threshold; empty when it is
    /// not known.
    pub usual: Vec<f32>,
    /// Whether columns were made equally bright by a calibration before anything was taught: frames
    /// that were not would show its columns as flaws, or the other way round.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evened: bool,
    /// How sharp and how rich in contrast good cloth looked at least in each part of the columns, from the
    /// left, without a unit; what that is, and how many parts there are, is the caller's. Empty when it was not
    /// taught.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub focus: Vec<Option<[f32; 2]>>,
}

impl LaneColumns {
    /// Columns of cells of a frame.
    pub fn n_cells(&self) -> usize {
        (self.frame_width as usize).div_ceil(CELL_PX)
    }

    fn check(&self, name: &str) -> Result<(), String> {
        if !(1..=MAX_WIDTH).contains(&self.frame_width) {
            return Err(format!(
                "found {name}.frame_width = {}, expected 1 to {MAX_WIDTH}",
                self.frame_width
            ));
        }
        let n_cells = self.n_cells();
        if !self.usual.is_empty() && self.usual.len() != n_cells {
            return Err(format!(
                "found {} numbers in {name}.usual, expected none or {n_cells}",
                self.usual.len()
            ));
        }
        all_between(&format!("{name}.usual"), &self.usual, n_cells, 0.0)?;
        let focus: Vec<f32> = self.focus.iter().flatten().flatten().copied().collect();
        all_between(&format!("{name}.focus"), &focus, 2 * MAX_FOCUS_PARTS, 0.0)
    }
}

/// Says what cannot be right of a passport's lanes, if anything.
pub(crate) fn check_lanes(lanes: &[LaneColumns]) -> Result<(), String> {
    if !(1..=MAX_LANES).contains(&lanes.len()) {
        return Err(format!(
            "found {} lanes, expected 1 to {MAX_LANES}",
            lanes.len()
        ));
    }
    lanes
        .iter()
        .enumerate()
        .try_for_each(|(index, lane)| lane.check(&format!("lanes[{index}]")))
}

/// Usual distances by which one lane is judged.
#[derive(Clone, Debug)]
pub(crate) struct Usual {
    /// Of each column of cells; empty when none is known.
    pub(crate) columns: Vec<f32>,
    /// Of a column that was not taught.
    pub(crate) elsewhere: f32,
}

impl Usual {
    /// What column `col` of `cols` usually shows. Columns mean something only in frames as wide
    /// as taught.
    pub(crate) fn of(&self, cols: usize, col: usize) -> f32 {
        if self.columns.len() == cols {
            self.columns[col]
        } else {
            self.elsewhere
        }
    }

    /// The same in a block of `cols` columns whose distances have this `median` over those that are
    /// `judged`.
    pub(crate) fn at(&self, median: f32, cols: usize, judged: &Range<usize>) -> UsualHere<'_> {
        // Lanes differ; a lane's level is of what it showed itself.
        let usual = if self.columns.len() == cols {
            quantile(&mut self.columns[judged.clone()].to_vec(), 0.5)
        } else {
            self.elsewhere
        };
        UsualHere {
            taught: self,
            level: Level::of(median, usual),
        }
    }
}

/// Usual distances in one block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsualHere<'a> {
    taught: &'a Usual,
    /// Of this block.
    pub(crate) level: Level,
}

impl UsualHere<'_> {
    /// What column `col` of `cols` usually shows here.
    pub(crate) fn of(&self, cols: usize, col: usize) -> f32 {
        self.level.of_taught(self.taught.of(cols, col))
    }
}
