//! What a model file says of itself.
//!
//! The passport is JSON in the ONNX file's metadata under [`PASSPORT_KEY`]; the golden tiles
//! lie beside it under their own key. It holds everything that turns the network's features
//! into a verdict, so that a file alone is enough. It does not hold the network.
//!
//! ```text
//! JSON ─▶ format ─▶ Passport ─▶ check of each part ─▶ to be relied on
//! ```
//!
//! A passport may come from anywhere: what is checked here is checked nowhere else, and one
//! that passes makes no judge fail, whatever it is worth.

use serde::{Deserialize, Serialize};

use crate::columns::{LaneColumns, check_lanes};
use crate::likeness::Likeness;
use crate::limits::Limits;
use crate::mode::Mode;
use crate::{MAX_HALO_PX, TILE_STEP_PX};

/// Metadata key of the passport.
pub(crate) const PASSPORT_KEY: &str = "selvedge.passport";

/// Version of the passport's layout that this program writes and reads.
pub const PASSPORT_FORMAT: u32 = 4;

/// Limits of what a passport may say, beyond anything that `teach` writes: a window of ten
/// metres, a smoothing over sixteen cells, rims of 64 cells.
const LONGEST_WINDOW: f64 = 10_000.0;
/// Kinds of spots that a model may look for.
const MAX_SPOTS: usize = 16;
const MAX_SMOOTH_CELLS: f64 = 16.0;
const MAX_RIM_CELLS: usize = 64;
const MAX_START_ROWS: usize = 65_536 / crate::CELL_PX;
const MAX_FEATURES: usize = 4096;

/// What `selvedge model show` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passport {
    /// Version of this layout.
    pub format: u32,
    /// The article that was taught.
    pub article: String,
    /// What it was taught on, and by what.
    pub taught: Taught,
    /// The network underneath.
    pub backbone: Backbone,
    /// Planes of a tile.
    pub channels: Channels,
    /// Scale of the good cloth across the lane, in mm per pixel; a model fits only cloth seen at this scale.
    pub mm_per_px: f64,
    /// The same along the lane, in mm per line; differs where an encoder sets the pace.
    pub mm_per_line: f64,
    /// What belongs to the columns of each camera, in the order of the station's lanes.
    pub lanes: Vec<LaneColumns>,
    /// How the reference is formed.
    pub reference: ReferenceSettings,
    /// How a distance becomes a score.
    pub judgement: Judgement,
    /// What the threshold rests on.
    pub evidence: Evidence,
    /// What tells the article's cloth from other cloth; `None` when it was not taught.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likeness: Option<Likeness>,
    /// How small a flaw is found; `None` when it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

impl Passport {
    /// The passport that `json` holds, checked; else what was found and expected.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        check_format(json.as_bytes(), "passport format", PASSPORT_FORMAT)?;
        let passport: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        passport.check()?;
        Ok(passport)
    }

    /// Says what cannot be right, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.article.trim().is_empty() {
            return Err("found an article without a name, expected one".to_owned());
        }
        positive("mm_per_px", self.mm_per_px)?;
        positive("mm_per_line", self.mm_per_line)?;
        self.taught.check()?;
        self.backbone.check()?;
        check_lanes(&self.lanes)?;
        self.reference.check()?;
        self.judgement.check()?;
        self.evidence.check()?;
        if let Some(likeness) = &self.likeness {
            likeness.check(self.backbone.n_features)?;
        }
        self.limits.as_ref().map_or(Ok(()), Limits::check)
    }
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taught {
    /// RFC 3339 time.
    pub at: String,
    /// The source as it was named.
    pub source: String,
    /// Frames that were learned from.
    pub n_frames: u64,
    /// Frames that could not be used.
    pub n_left_out: u64,
    /// Good cloth that was seen, in square metres.
    pub cloth_m2: f64,
    /// Version of Selvedge.
    pub engine: String,
    /// Version of ONNX Runtime.
    pub runtime: String,
    /// Device it was taught on.
    pub device: String,
}

impl Taught {
    fn check(&self) -> Result<(), String> {
        between("taught.cloth_m2", self.cloth_m2, 0.0, f64::MAX)
    }
}

/// The network under an article model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backbone {
    /// How thoroughly it looks at cloth.
    pub mode: Mode,
    /// Its name in the zoo.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// The values whose features are used.
    pub layers: Vec<String>,
    /// Features per cell.
    pub n_features: usize,
    /// Pixels that a tile needs around its kept part: as many as the network sees beyond a cell, and
    /// about as many more as the judgement's smoothing takes in.
    pub halo_px: usize,
}

impl Backbone {
    fn check(&self) -> Result<(), String> {
        if !(1..=MAX_FEATURES).contains(&self.n_features) {
            return Err(format!(
                "found backbone.n_features = {}, expected 1 to {MAX_FEATURES}",
                self.n_features
            ));
        }
        if self.halo_px > MAX_HALO_PX || !self.halo_px.is_multiple_of(TILE_STEP_PX) {
            return Err(format!(
                "found backbone.halo_px = {}, expected a multiple of {TILE_STEP_PX} up to {MAX_HALO_PX}",
                self.halo_px
            ));
        }
        Ok(())
    }
}

/// The planes that a model looks at. A stain may be invisible in grey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// One plane.
    Grey,
    /// Red, green, blue.
    Rgb,
}

impl Channels {
    /// Planes of a tile.
    pub fn n_planes(self) -> usize {
        match self {
            Channels::Grey => 1,
            Channels::Rgb => 3,
        }
    }
}

/// How a column's reference is formed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceSettings {
    /// Cloth before the block that also counts, in mm.
    pub window_mm: f64,
    /// Standard deviation of the smoothing across columns, in cells.
    pub smooth_cells: f32,
}

impl ReferenceSettings {
    fn check(&self) -> Result<(), String> {
        let smooth_cells = f64::from(self.smooth_cells);
        between("reference.window_mm", self.window_mm, 0.0, LONGEST_WINDOW)?;
        between(
            "reference.smooth_cells",
            smooth_cells,
            0.0,
            MAX_SMOOTH_CELLS,
        )
    }
}

/// How a distance from the reference becomes a score with 1.0 at the threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// Distance at which a single place is flagged, after everything below.
    pub threshold: f32,
    /// Mean distance along the lane at which a faint line is flagged, as a share of `threshold`.
    /// Only used where a column is known by its past; `None` when no good cloth was.
    pub line_threshold: Option<f32>,
    /// From when on a column without a past is taken to hold a running flaw; `None` when no good
    /// cloth could tell.
    pub start: Option<StartThreshold>,
    /// Standard deviation of the score's smoothing, in cells.
    pub smooth_cells: f32,
    /// Usual distance of a column that was not taught; taken off.
    pub usual_elsewhere: f32,
    /// How much larger distances usually are near a left selvedge, from the edge inwards.
    pub left: Vec<f32>,
    /// The same near a right selvedge.
    pub right: Vec<f32>,
    /// The same where the picture ends and the network saw a mirror image.
    pub mirror: Vec<f32>,
    /// Mean distance from the taught reference alone that the file's own output calls 1.0.
    pub taught_scale: f32,
    /// The spots that are looked for beside, in the order of the output `fine`.
    pub spots: Vec<Spot>,
}

/// How much a kind of spot may stand out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spot {
    /// Standard deviation of the spot, in pixels.
    pub sigma_px: f32,
    /// Squared response at which a cell is flagged, in variances of good cloth.
    pub threshold: f32,
    /// How much larger responses usually are near a left selvedge, from the edge inwards.
    pub left: Vec<f32>,
    /// The same near a right selvedge.
    pub right: Vec<f32>,
    /// The same where the picture ends and the network saw a mirror image.
    pub mirror: Vec<f32>,
}

impl Spot {
    fn check(&self) -> Result<(), String> {
        positive("judgement.spots.sigma_px", f64::from(self.sigma_px))?;
        positive("judgement.spots.threshold", f64::from(self.threshold))?;
        all_between("judgement.spots.left", &self.left, MAX_RIM_CELLS, 1.0)?;
        all_between("judgement.spots.right", &self.right, MAX_RIM_CELLS, 1.0)?;
        all_between("judgement.spots.mirror", &self.mirror, MAX_RIM_CELLS, 1.0)
    }
}

/// How far a column may be from its taught pattern where it has no past.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartThreshold {
    /// Mean squared difference of a column's mean over a block from what it should be.
    pub threshold: f32,
    /// Rows of cells of the blocks that this was found on: means of fewer rows vary more.
    pub rows: usize,
}

impl StartThreshold {
    /// The threshold for a block of `rows` rows of cells.
    pub(crate) fn for_rows(&self, rows: usize) -> f32 {
        self.threshold * (self.rows as f32 / rows.max(1) as f32).max(1.0)
    }

    fn check(&self) -> Result<(), String> {
        positive("judgement.start.threshold", f64::from(self.threshold))?;
        if (1..=MAX_START_ROWS).contains(&self.rows) {
            return Ok(());
        }
        Err(format!(
            "found judgement.start.rows = {}, expected 1 to {MAX_START_ROWS}",
            self.rows
        ))
    }
}

impl Spot {
    /// How much more stands out near the rims: left, right, mirrored.
    pub(crate) fn rims(&self) -> [&[f32]; 3] {
        [&self.left, &self.right, &self.mirror]
    }
}

impl Judgement {
    /// How much larger scores are near the rims: left, right, mirrored.
    pub(crate) fn rims(&self) -> [&[f32]; 3] {
        [&self.left, &self.right, &self.mirror]
    }

    /// One that knows neither lines nor spots nor rims, for tests.
    #[cfg(test)]
    pub(crate) fn bare(threshold: f32, taught_scale: f32) -> Self {
        Self {
            threshold,
            line_threshold: None,
            start: None,
            smooth_cells: 1.0,
            usual_elsewhere: 0.0,
            left: Vec::new(),
            right: Vec::new(),
            mirror: Vec::new(),
            taught_scale,
            spots: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), String> {
        positive("judgement.threshold", f64::from(self.threshold))?;
        if let Some(threshold) = self.line_threshold {
            positive("judgement.line_threshold", f64::from(threshold))?;
        }
        self.start.as_ref().map_or(Ok(()), StartThreshold::check)?;
        let smooth_cells = f64::from(self.smooth_cells);
        between(
            "judgement.smooth_cells",
            smooth_cells,
            0.0,
            MAX_SMOOTH_CELLS,
        )?;
        let usual_elsewhere = f64::from(self.usual_elsewhere);
        finite("judgement.usual_elsewhere", usual_elsewhere)?;
        between("judgement.usual_elsewhere", usual_elsewhere, 0.0, f64::MAX)?;
        all_between("judgement.left", &self.left, MAX_RIM_CELLS, 1.0)?;
        all_between("judgement.right", &self.right, MAX_RIM_CELLS, 1.0)?;
        all_between("judgement.mirror", &self.mirror, MAX_RIM_CELLS, 1.0)?;
        positive("judgement.taught_scale", f64::from(self.taught_scale))?;
        if self.spots.len() > MAX_SPOTS {
            return Err(format!(
                "found {} kinds of judgement.spots, expected at most {MAX_SPOTS}",
                self.spots.len()
            ));
        }
        self.spots.iter().try_for_each(Spot::check)
    }
}

/// What the threshold rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How the threshold was found.
    pub method: Method,
    /// False alarms per 100 m² that were asked for.
    pub asked_per_100_m2: f64,
    /// False alarms per 100 m² that the threshold stands for: the middle of what the good cloth
    /// allows to believe.
    pub set_per_100_m2: f64,
    /// The same, from the lower to the upper end of a 90 % interval.
    pub interval_per_100_m2: [f64; 2],
    /// Share of blocks of good cloth that the threshold is expected to flag.
    pub block_share: f64,
    /// Blocks of good cloth whose highest places were taken, each judged without itself.
    pub n_blocks: usize,
    /// Mean area of such a block, in square metres.
    pub block_m2: f64,
    /// The highest places, to which a tail was fitted.
    pub n_peaks: usize,
    /// Score above which they lie, in the unit of `judgement.threshold`.
    pub from: f64,
    /// Shape of the generalised Pareto distribution of their heights above that.
    pub shape: f64,
    /// Its scale, in the unit of `judgement.threshold`.
    pub scale: f64,
    /// How many times more the number of peaks differs between blocks than chance allows; 1 when
    /// blocks are alike.
    pub spread: f64,
    /// Further good cloth that would allow what was asked for, in square metres; 0 when it
    /// is already allowed.
    pub more_m2: f64,
}

/// How a threshold was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A generalised Pareto distribution of peaks of held-out score maps.
    PeaksOverThreshold,
}

impl Evidence {
    fn check(&self) -> Result<(), String> {
        finite("evidence.asked_per_100_m2", self.asked_per_100_m2)?;
        finite("evidence.set_per_100_m2", self.set_per_100_m2)?;
        for limit in self.interval_per_100_m2 {
            between("evidence.interval_per_100_m2", limit, 0.0, f64::MAX)?;
        }
        between("evidence.block_share", self.block_share, 0.0, 1.0)?;
        finite("evidence.block_m2", self.block_m2)?;
        finite("evidence.from", self.from)?;
        finite("evidence.shape", self.shape)?;
        finite("evidence.scale", self.scale)?;
        finite("evidence.spread", self.spread)?;
        finite("evidence.more_m2", self.more_m2)
    }
}

fn finite(name: &str, value: f64) -> Result<(), String> {
    between(name, value, f64::MIN, f64::MAX)
}

/// Refuses JSON that says another `format` than the expected one, whatever else it holds; `what` is
/// that format's name.
pub(crate) fn check_format(json: &[u8], what: &str, expected: u32) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let found: Format = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if found.format == expected {
        return Ok(());
    }
    Err(format!(
        "found {what} {}, expected {expected}: it is of another version of Selvedge",
        found.format
    ))
}

pub(crate) fn positive(name: &str, value: f64) -> Result<(), String> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(format!(
        "found {name} = {value}, expected a positive number"
    ))
}

pub(crate) fn between(name: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let expected = if least == f64::MIN {
        "a finite number".to_owned()
    } else if most == f64::MAX {
        format!("a finite number of at least {least}")
    } else {
        format!("{least} to {most}")
    };
    Err(format!("found {name} = {value}, expected {expected}"))
}

/// At most `most` numbers, all finite and at least `least`.
pub(crate) fn all_between(
    name: &str,
    values: &[f32],
    most: usize,
    least: f64,
) -> Result<(), String> {
    if values.len() > most {
        return Err(format!(
            "found {} numbers in {name}, expected at most {most}",
            values.len()
        ));
    }
    values.iter().enumerate().try_for_each(|(index, value)| {
        between(
            &format!("{name}[{index}]"),
            f64::from(*value),
            least,
            f64::MAX,
        )
    })
}

#[cfg(test)]
mod tests;
