//! Chessboards where they are not built in: everything is refused by name.

use camera::Frame;

use super::{CameraLimits, CameraMeasured};
use crate::CalibrationError;
use crate::board::{Board, View};
use crate::lens::Lens;

/// Refuses.
///
/// # Errors
/// Always `NotBuiltIn`.
pub fn find_board(_board: &Board, _frame: &Frame) -> Result<Option<View>, CalibrationError> {
    Err(NOT_BUILT_IN)
}

/// Refuses.
///
/// # Errors
/// Always `NotBuiltIn`.
pub fn measure_camera(
    _board: &Board,
    _views: &[View],
    _limits: &CameraLimits,
) -> Result<(Lens, CameraMeasured), CalibrationError> {
    Err(NOT_BUILT_IN)
}

const NOT_BUILT_IN: CalibrationError = CalibrationError::NotBuiltIn {
    feature: "chessboard",
};
