//! Numbers in, scores out: what good cloth looks like, learned and applied, without
//! knowing what cloth is.
//!
//! ```text
//! tile [c, h, w] ──▶ Scorer ──▶ features [k, h/4, w/4] ──▶ Judge ──▶ score map, 1.0 = threshold
//!                                   │
//!                                   └──▶ Teacher, Rehearsal ──▶ Lesson ──▶ one .onnx file
//! ```
//!
//! A [`Scorer`] is the heavy part and runs anywhere in parallel; a [`Judge`] is the
//! cheap part and runs in order. Lengths here are cells and pixels, never millimetres.
//! Without feature `onnx` everything but running an ONNX file remains.

pub mod onnx;

mod article;
mod backbone;
mod columns;
mod features;
mod file;
mod golden;
mod judge;
mod level;
mod likeness;
mod limits;
mod mode;
mod passport;
mod pattern;
mod quantile;
mod reference;
mod smoothing;
mod spots;
pub mod teach;
mod texture;
mod threshold;

use std::path::PathBuf;

use ndarray::ArrayView3;

pub use article::{Article, ArticleScorer, write_article};
pub use backbone::BackboneFile;
pub use columns::LaneColumns;
pub use features::{Block, Features, Kept, Patch, Rim};
pub use file::digest_of;
pub use judge::{Judge, ScoreMap, UNUSUAL};
pub use likeness::{Character, Likeness};
pub use limits::{DetectionLimit, Limits};
pub use mode::Mode;
pub use passport::{
    Backbone, Channels, Evidence, Judgement, Method, PASSPORT_FORMAT, Passport, ReferenceSettings,
    Spot, StartThreshold, Taught,
};
pub use pattern::{Pattern, stored_patterns};
pub use texture::Texture;
pub use threshold::{FalseAlarms, Peak, Peaks, fit_threshold};

/// Side of one score cell, in pixels.
pub const CELL_PX: usize = 4;

/// A tile's sides and offsets are multiples of this many pixels, so that every layer of the
/// network samples the same pixels wherever a tile is cut.
pub const TILE_STEP_PX: usize = 8;

/// Most pixels around a tile's kept part that a model may ask for; how many it does is in its
/// passport.
pub const MAX_HALO_PX: usize = 64;

/// Turns the pixels of a tile into features.
pub trait Scorer: Send {
    /// Planes of a tile: 1 grey, 3 RGB.
    fn n_planes(&self) -> usize;

    /// Features of each cell.
    fn n_features(&self) -> usize;

    /// Features of one tile. `tile` is `[planes, height, width]`, evened so that 1.0 is the
    /// cloth's usual brightness; both sides are multiples of [`TILE_STEP_PX`]. The result is
    /// `[features, height / 4, width / 4]`.
    ///
    /// # Errors
    /// [`ModelError::Inference`] when the tile could not be scored,
    /// [`ModelError::WrongTile`] when it is not of the expected shape.
    fn features(&mut self, tile: ArrayView3<'_, f32>) -> Result<Features, ModelError>;
}

/// Why a model could not be taught, loaded or put to work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file could not be read or written.
    #[error("model file {path:?} cannot be accessed")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no ONNX network that we can use.
    #[error("model file {path:?} is not a usable ONNX file")]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// What is wrong with its bytes.
        source: onnx::read::GraphError,
    },
    /// An ONNX file that was not written by `teach`.
    #[error("model file {path:?} has no passport: it was not made by `selvedge teach`")]
    NoPassport {
        /// The file.
        path: PathBuf,
    },
    /// The passport cannot be understood.
    #[error("model file {path:?} has a passport that cannot be read: {reason}")]
    BadPassport {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
    },
    /// The file on disk is not the one that its name, or the store, vouches for.
    #[error(
        "model file {path:?} has digest {found}, expected {expected}: it was changed or damaged; teach again or restore it"
    )]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// SHA-256 of its bytes.
        found: String,
        /// SHA-256 it was taught under.
        expected: String,
    },
    /// The golden tiles do not give the scores that they gave when the model was taught.
    #[error(
        "golden tile {tile} scores {found:.6} at cell {cell}, expected {expected:.6} (tolerance {tolerance}): this runtime does not compute what was taught"
    )]
    GoldenDrift {
        /// Which golden tile.
        tile: usize,
        /// Which of its cells, row by row.
        cell: usize,
        /// Score now, against the taught reference alone; 1.0 = the judgement's threshold.
        found: f32,
        /// Score when taught, likewise.
        expected: f32,
        /// Largest difference that is allowed, likewise.
        tolerance: f32,
    },
    /// What teaching is to be continued from cannot be used.
    #[error("memory of teaching {path:?} cannot be used: {reason}")]
    BadMemory {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
    },
    /// ONNX Runtime is not where it should be.
    #[error(
        "ONNX Runtime is not installed: looked for {looked_for:?}; run `make setup`, or set SELVEDGE_HOME to the folder that holds lib/ and zoo/"
    )]
    NoRuntime {
        /// Every place that was looked at.
        looked_for: Vec<PathBuf>,
    },
    /// ONNX Runtime refused.
    #[error("ONNX Runtime {doing}: {reason}")]
    Inference {
        /// What was being done.
        doing: &'static str,
        /// Its message.
        reason: String,
    },
    /// The program was built without ONNX Runtime.
    #[error("this program was built without feature `onnx` and cannot run {what}")]
    WithoutOnnx {
        /// What was asked for.
        what: &'static str,
    },
    /// A tile has the wrong shape for this model.
    #[error("a tile of shape {found:?} was given, expected {expected}")]
    WrongTile {
        /// Its shape.
        found: Vec<usize>,
        /// What fits.
        expected: String,
    },
    /// The backbone of a mode was not installed.
    #[error(
        "mode {mode} needs a network that is not installed: found no {path:?}; run `{command}`"
    )]
    NoBackbone {
        /// The mode that was asked for.
        mode: Mode,
        /// Where its network should lie.
        path: PathBuf,
        /// The command that installs it.
        command: &'static str,
    },
    /// The backbone lacks what `teach` builds upon.
    #[error("backbone {path:?} cannot be used: {reason}")]
    BadBackbone {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
    },
    /// Too little good cloth.
    #[error("{found} pictures of good cloth are too few, expected at least {expected}")]
    TooLittleCloth {
        /// How many could be used.
        found: usize,
        /// How many are needed.
        expected: usize,
    },
    /// Too much of what was said to be good cloth is not like the rest.
    #[error(
        "{found} of {n_blocks} pictures of good cloth are not like the others: this is not good cloth, or it is of several kinds"
    )]
    NotGoodCloth {
        /// How many are strange.
        found: usize,
        /// How many there are.
        n_blocks: usize,
    },
    /// The good cloth has no texture at all, so nothing can be learned from it.
    #[error(
        "the good cloth shows no texture (feature variance {variance:e}): is the lens covered or the picture empty?"
    )]
    NoTexture {
        /// Mean feature variance found.
        variance: f64,
    },
}
