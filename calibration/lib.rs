//! Calibration: pixels become even light and an address in millimetres.
//!
//! ```text
//! Frame ──▶ find_cloth ──▶ Evener ──▶ EvenFrame (1.0 = as bright as usual here)
//!   ticks ──▶ LaneGeometry ──▶ WebRect        ▲
//!   good cloth ──▶ FlatFieldEstimator ──▶ FlatField
//!
//! references, boards, marks ──▶ measure_… ──▶ Profile ──▶ ColumnLight, Lens, scale, place
//! ```
//!
//! Everything is a plain function of one frame and of what was calibrated before; a station is
//! measured once and told apart from what drifts ([`drifts`]), and the only
//! thing that learns is the flat field, and it learns from good cloth alone. This crate knows
//! no model, no flaw and no thread, and it loses no cloth: what cannot be judged is said to be
//! so ([`LightFault`], `None` from [`find_cloth`]) and becomes a gap elsewhere.

pub mod units;

pub mod lens;

pub mod geometry;

pub mod lanes;

pub mod cloth_edge;

pub mod flat_field;

pub mod light;

pub mod column_light;

pub mod joint;

pub mod shift;

pub mod board;

pub mod chessboard;

pub mod marks;

pub mod focus;

pub mod drift;

pub mod profile;

#[cfg(test)]
mod picture;

#[cfg(test)]
mod on_cloth;

pub use board::{
    BOARD_LIMITS, Board, BoardLimits, LaneScale, PlaceMeasured, Residual, ScaleMeasured, View,
    measure_lens, measure_place, measure_scale,
};
pub use chessboard::{CAMERA_LIMITS, CameraLimits, CameraMeasured, find_board, measure_camera};
pub use cloth_edge::{ClothSpan, find_cloth};
pub use column_light::{
    ColumnLight, LightMeasured, REFERENCE_LIMITS, Reference, ReferenceLimits, Unevenness,
    measure_light,
};
pub use drift::{DRIFT_LIMITS, Drift, DriftLimits, Sight, Watched, drifts};
pub use flat_field::{FlatField, FlatFieldEstimator};
pub use focus::{Focus, N_FOCUS_PARTS, Sharpness, focus_columns, sharpness};
pub use geometry::LaneGeometry;
pub use joint::{JointRows, continues, joint_step};
pub use lanes::owned_spans;
pub use lens::{Lens, Marked};
pub use light::{EvenFrame, Evener, LightFacts, LightFault, LightLimits};
pub use marks::{ENCODER_LIMITS, EncoderLimits, EncoderMeasured, LineLevels, measure_encoder};
pub use profile::{Dated, KeptProfile, LaneProfile, LensMeasured, Profile};
pub use shift::{Doubt, STANDSTILL_ROWS, Shift, Texture, shift};
pub use units::{Span, Um, WebRect, m_from_um, mm_from_um, um_from_m, um_from_mm};

use std::path::PathBuf;

/// Why something cannot be calibrated or measured.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// A scale, an offset or a limit is no number that can be meant.
    #[error("{what} is {found}, expected {expected}")]
    OutOfRange {
        /// Name of the setting, as it stands in a configuration.
        what: &'static str,
        /// The value given.
        found: String,
        /// The range allowed.
        expected: String,
    },
    /// A span ends before it begins, or is longer than can be counted.
    #[error("a span from {start} um to {end} um; expected an end that is not before its start")]
    ReversedSpan {
        /// Where it begins, micrometres.
        start: i64,
        /// Where it ends, micrometres.
        end: i64,
    },
    /// The cloth is not a part of the frame.
    #[error(
        "cloth in columns {left}..{right} of a frame {width} px wide; expected columns within the frame and at least one"
    )]
    ClothOutsideFrame {
        /// First column of cloth.
        left: u32,
        /// One past the last column of cloth.
        right: u32,
        /// Columns of the frame.
        width: u32,
    },
    /// A frame is not as wide as the frames that were calibrated.
    #[error("a frame {found} px wide, expected {expected} px as calibrated")]
    OtherWidth {
        /// Columns of the frame.
        found: u32,
        /// Columns of the calibration.
        expected: u32,
    },
    /// Too few frames of good cloth to know what belongs to the camera.
    #[error(
        "{found} frames of good cloth, expected at least {expected} to tell the camera's columns from yarn"
    )]
    TooFewFrames {
        /// Frames that could be used.
        found: u32,
        /// Frames needed.
        expected: u32,
    },
    /// All frames show the very same columns: one frame many times, or cloth that stands.
    #[error(
        "{n_frames} frames of good cloth that all show the same place; expected different places of a roll"
    )]
    SamePlace {
        /// Frames that could be used.
        n_frames: u32,
    },
    /// The first and the second half of the frames show different column patterns.
    #[error(
        "the camera's columns changed while it was calibrated: {n_columns} columns disagree, column {column} shows {first:.3} in the first half of the frames and {second:.3} in the second; expected one lamp, one lens and one exposure throughout"
    )]
    Contradictory {
        /// Columns that disagree.
        n_columns: u32,
        /// The column that disagrees most.
        column: u32,
        /// Its brightness relative to its neighbourhood in the first half.
        first: f32,
        /// The same in the second half.
        second: f32,
    },
    /// A profile that cannot be read or written.
    #[error("the station's profile {path:?} cannot be used: {detail}")]
    Profile {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
    /// The program was built without what this needs.
    #[error("this build has no {feature}; expected one with the feature {feature:?}")]
    NotBuiltIn {
        /// Name of the feature.
        feature: &'static str,
    },
    /// OpenCV refused an operation.
    #[error("opencv: {0}")]
    OpenCv(#[from] opencv::Error),
}
