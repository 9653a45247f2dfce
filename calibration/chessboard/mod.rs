//! Chessboards in pictures, and what a camera's own lens does to them.
//!
//! ```text
//! Frame ─▶ find_board ─▶ View          several Views, board tilted ─▶ measure_camera ─▶ Lens
//! ```
//!
//! OpenCV finds the corners, to a small part of a pixel. Without the feature `chessboard` the same
//! names exist and say that they are not built in. Positions are in pixels from the upper left side
//! of the first pixel, as everywhere here, not from its middle.

#[cfg(feature = "chessboard")]
mod enabled;
#[cfg(feature = "chessboard")]
pub use enabled::{find_board, measure_camera};

#[cfg(not(feature = "chessboard"))]
mod disabled;
#[cfg(not(feature = "chessboard"))]
pub use disabled::{find_board, measure_camera};

use serde::{Deserialize, Serialize};

/// An area camera and its lens, as tilted boards show them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraMeasured {
    /// Focal lengths across and along, pixels.
    pub focal_px: [f64; 2],
    /// Where the optical axis meets the sensor, pixels.
    pub centre_px: [f64; 2],
    /// Distortion as OpenCV counts it: k1, k2, p1, p2, k3.
    pub distortion: [f64; 5],
    /// Root mean square of the distances between corners as seen and as projected, pixels.
    pub reprojection_px: f64,
    /// Most that the columns' polynomial differs from this in the middle row, pixels.
    pub columns_off_px: f64,
    /// Most that a column's shift elsewhere differs from the middle row's, pixels.
    pub rows_off_px: f64,
    /// Pictures that showed the board.
    pub n_views: u32,
}

/// What a camera's calibration must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraLimits {
    /// Fewest pictures of the board.
    pub fewest_views: u32,
    /// Largest reprojection error, pixels.
    pub most_reprojection_px: f64,
}

/// What serves where nothing else is asked for: views enough to tell focal length from distance,
/// and half a pixel, beyond which the board was bent or a corner mistaken.
pub const CAMERA_LIMITS: CameraLimits = CameraLimits {
    fewest_views: 5,
    most_reprojection_px: 0.5,
};
