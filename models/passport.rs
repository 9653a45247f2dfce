//! What a model file says of itself.
//!
//! The passport is JSON in the ONNX file's metadata under [`PASSPORT_KEY`]; the golden tiles
//! lie beside it under their own key. It holds everything that turns the network's features
//! into a verdict, so that a file alone is enough. It does not hold the network.

use serde::{Deserialize, Serialize};

/// Metadata key of the passport.
pub(crate) const PASSPORT_KEY: &str = "selvedge.passport";

/// Version of the passport's layout that this program writes and reads.
pub const PASSPORT_FORMAT: u32 = 1;

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
    /// Scale of the good cloth, in mm per pixel; a model fits only cloth seen at this scale.
    pub mm_per_px: f64,
    /// Fixed pattern of the camera, if the good cloth showed one; its layout is the caller's.
    pub flat_field: Option<serde_json::Value>,
    /// How the reference is formed.
    pub reference: ReferenceSettings,
    /// How a distance becomes a score.
    pub judgement: Judgement,
    /// What the threshold rests on.
    pub evidence: Evidence,
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
    /// Width of a frame, in pixels.
    pub frame_width: u32,
    /// Good cloth that was seen, in square metres.
    pub cloth_m2: f64,
    /// Version of Selvedge.
    pub engine: String,
    /// Version of ONNX Runtime.
    pub runtime: String,
    /// Device it was taught on.
    pub device: String,
}

/// The network under an article model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backbone {
    /// Its name in the zoo.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// The values whose features are used.
    pub layers: Vec<String>,
    /// Features per cell.
    pub n_features: usize,
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

/// How a distance from the reference becomes a score with 1.0 at the threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// Distance at which a single place is flagged, after everything below.
    pub threshold: f32,
    /// Mean distance along the lane at which a faint line is flagged, as a share of `threshold`.
    /// Only used where a column is known by its past; `None` when no good cloth was.
    pub line_threshold: Option<f32>,
    /// Standard deviation of the score's smoothing, in cells.
    pub smooth_cells: f32,
    /// Usual distance of each column of cells; taken off.
    pub usual: Vec<f32>,
    /// Usual distance of a column that was not taught.
    pub usual_elsewhere: f32,
    /// How much larger distances usually are near a left selvedge, from the edge inwards.
    pub left: Vec<f32>,
    /// The same near a right selvedge.
    pub right: Vec<f32>,
    /// The same where the picture ends and the network saw a mirror image.
    pub mirror: Vec<f32>,
    /// Mean distance from the taught reference alone that the file's own output calls 1.0.
    pub taught_scale: f32,
}

/// What the threshold rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// False alarms per 100 m² that were asked for.
    pub asked_per_100_m2: f64,
    /// False alarms per 100 m² that the threshold stands for.
    pub set_per_100_m2: f64,
    /// Share of blocks of good cloth that the threshold is expected to flag.
    pub block_share: f64,
    /// Blocks of good cloth whose highest score was taken, each judged without itself.
    pub n_blocks: usize,
    /// Mean area of such a block, in square metres.
    pub block_m2: f64,
    /// Location of the Gumbel distribution of the blocks' logarithmic highest scores.
    pub location: f64,
    /// Its scale.
    pub scale: f64,
    /// Further good cloth that would allow what was asked for, in square metres; 0 when it
    /// is already allowed.
    pub more_m2: f64,
}
