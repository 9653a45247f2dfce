//! Chessboards by OpenCV's `calib3d`.

use camera::Frame;
use opencv::calib3d;
use opencv::core::{
    Mat, Point2d, Point2f, Point3f, Size, TermCriteria, ToInputArray, Vector, no_array,
};
use opencv::imgproc;
use opencv::prelude::*;

use super::{CameraLimits, CameraMeasured};
use crate::CalibrationError;
use crate::board::{Board, View};
use crate::lens::{Lens, Marked, check_spread};

/// The whole of `board` in `frame`; `None` where the frame does not show it.
///
/// # Errors
/// `OutOfRange` where the board's columns do not run across, or what OpenCV says.
pub fn find_board(board: &Board, frame: &Frame) -> Result<Option<View>, CalibrationError> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let mut row = vec![0.0; width];
    let mut grey = vec![0u8; width * height];
    for (row_idx, bytes) in grey.chunks_exact_mut(width.max(1)).enumerate() {
        frame.grey_row_into(row_idx as u32, &mut row);
        for (byte, level) in bytes.iter_mut().zip(&row) {
            *byte = level.round() as u8;
        }
    }
    let picture = Mat::from_slice(&grey)?;
    let picture = picture.reshape(1, height as i32)?;
    let (n_columns, n_rows) = board.n_corners();
    let size = Size::new(n_columns as i32, n_rows as i32);
    // Looking for a board takes ten times as long in a picture twice as wide, so a small copy comes
    // first; where its squares are too small, the picture itself is looked at.
    let shrunk_by = f64::from(frame.width().max(frame.height())) / SMALL_PX;
    let mut corners = Vector::<Point2f>::new();
    let is_seen = shrunk_by > 1.0 && is_seen_small(&picture, shrunk_by, size, &mut corners)?;
    if !is_seen && !calib3d::find_chessboard_corners(&picture, size, &mut corners, HOW)? {
        return Ok(None);
    }
    let reach = (nearest_step(&corners, n_columns) * SUB_PIXEL_REACH) as i32;
    let reach = reach.clamp(LEAST_REACH_PX, MOST_REACH_PX);
    imgproc::corner_sub_pix(
        &picture,
        &mut corners,
        Size::new(reach, reach),
        Size::new(-1, -1),
        TermCriteria::new(COUNT_AND_EPS, 100, 1e-4)?,
    )?;
    let corners = corners
        .iter()
        .map(|corner| [f64::from(corner.x) + 0.5, f64::from(corner.y) + 0.5])
        .collect();
    board
        .view(corners, (frame.width(), frame.height()))
        .map(Some)
}

/// An area camera's lens from views of a board that was held at various tilts, as the middle row
/// shows it.
///
/// # Errors
/// `OutOfRange` where the views are too few or fit no camera, `OtherWidth` where they are not of
/// one size, or what OpenCV says.
pub fn measure_camera(
    board: &Board,
    views: &[View],
    limits: &CameraLimits,
) -> Result<(Lens, CameraMeasured), CalibrationError> {
    let n_views = views.len() as u32;
    let (width_px, height_px) = match views {
        [first, ..] if n_views >= limits.fewest_views => (first.width_px, first.height_px),
        _ => {
            return Err(CalibrationError::OutOfRange {
                what: "pictures that show the whole board",
                found: n_views.to_string(),
                expected: format!("at least {}, at various tilts", limits.fewest_views),
            });
        }
    };
    let size_of = |view: &&View| (view.width_px, view.height_px) != (width_px, height_px);
    if let Some(other) = views.iter().find(size_of) {
        return Err(CalibrationError::OtherWidth {
            found: other.width_px,
            expected: width_px,
        });
    }
    let mut on_board = Vector::<Vector<Point3f>>::new();
    let mut seen = Vector::<Vector<Point2f>>::new();
    for view in views {
        let places = board.places();
        on_board.push(
            places
                .map(|[x, y]| Point3f::new(x as f32, y as f32, 0.0))
                .collect(),
        );
        let corners = view.corners.iter();
        seen.push(
            corners
                .map(|[x, y]| Point2f::new(*x as f32, *y as f32))
                .collect(),
        );
    }
    let (mut matrix, mut distortion) = (Mat::default(), Mat::default());
    let (mut turns, mut moves) = (Vector::<Mat>::new(), Vector::<Mat>::new());
    let columns = views.iter().flat_map(|view| &view.corners);
    check_spread(width_px, columns.map(|corner| corner[0]).collect())?;
    let reprojection_px = calib3d::calibrate_camera(
        &on_board,
        &seen,
        Size::new(width_px as i32, height_px as i32),
        &mut matrix,
        &mut distortion,
        &mut turns,
        &mut moves,
        // The sixth power is for lenses that see far to the side; on others it fits noise.
        calib3d::CALIB_FIX_K3,
        TermCriteria::new(COUNT_AND_EPS, 60, 1e-10)?,
    )?;
    if reprojection_px.is_nan() || reprojection_px > limits.most_reprojection_px {
        return Err(CalibrationError::OutOfRange {
            what: "the reprojection error",
            found: format!("{reprojection_px:.2} px rms"),
            expected: format!(
                "at most {}: keep the board flat and still",
                limits.most_reprojection_px
            ),
        });
    }
    let middle = f64::from(height_px) / 2.0;
    let columns: Vec<f64> = (0..=N_COLUMNS)
        .map(|nth| f64::from(width_px) * f64::from(nth) / f64::from(N_COLUMNS))
        .collect();
    let straight = undistorted(&columns, middle, &matrix, &distortion)?;
    let places = columns
        .iter()
        .copied()
        .zip(straight.iter().copied())
        .collect();
    let (lens, px_per_px) = Lens::fit(width_px, &[Marked { places }])?;
    let start = straight[0];
    let ours = columns
        .iter()
        .map(|column| start + lens.straight(*column) * px_per_px);
    let columns_off_px = farthest(ours, &straight);
    let mut rows_off_px = 0.0f64;
    for row in [0.0, f64::from(height_px)] {
        let there = undistorted(&columns, row, &matrix, &distortion)?;
        rows_off_px = rows_off_px.max(farthest(there.into_iter(), &straight));
    }
    let matrix = matrix.data_typed::<f64>()?;
    let terms = distortion.data_typed::<f64>()?;
    let measured = CameraMeasured {
        focal_px: [matrix[0], matrix[4]],
        centre_px: [matrix[2], matrix[5]],
        distortion: std::array::from_fn(|term| terms.get(term).copied().unwrap_or(0.0)),
        reprojection_px,
        columns_off_px,
        rows_off_px,
        n_views,
    };
    Ok((lens, measured))
}

/// Longest side of a picture in which a board is looked for at once.
const SMALL_PX: f64 = 1600.0;
/// The quick look first: a picture that shows no board takes a minute otherwise.
const HOW: i32 = calib3d::CALIB_CB_ADAPTIVE_THRESH
    | calib3d::CALIB_CB_NORMALIZE_IMAGE
    | calib3d::CALIB_CB_FAST_CHECK;
/// Share of the distance between two corners within which a corner is looked for exactly.
const SUB_PIXEL_REACH: f64 = 0.35;
/// Nearer to a corner there is too little of it.
const LEAST_REACH_PX: i32 = 2;
/// Farther away there is only noise and distortion.
const MOST_REACH_PX: i32 = 15;
/// Stop after so many steps, or when they are so small.
const COUNT_AND_EPS: i32 = 3;
/// Columns at which a camera's lens is looked at.
const N_COLUMNS: u32 = 64;

/// Whether a copy of `picture` that is `shrunk_by` smaller shows the board; `corners` are where the
/// picture itself does then, roughly.
fn is_seen_small(
    picture: &impl ToInputArray,
    shrunk_by: f64,
    size: Size,
    corners: &mut Vector<Point2f>,
) -> Result<bool, CalibrationError> {
    let share = 1.0 / shrunk_by;
    let mut small = Mat::default();
    let by_area = imgproc::INTER_AREA;
    imgproc::resize(picture, &mut small, Size::default(), share, share, by_area)?;
    if !calib3d::find_chessboard_corners(&small, size, corners, HOW)? {
        return Ok(false);
    }
    // Middles of pixels are whole numbers to OpenCV.
    let large = |at: f32| ((f64::from(at) + 0.5) * shrunk_by - 0.5) as f32;
    *corners = corners
        .iter()
        .map(|corner| Point2f::new(large(corner.x), large(corner.y)))
        .collect();
    Ok(true)
}

/// The smallest distance between neighbouring corners.
fn nearest_step(corners: &Vector<Point2f>, n_columns: usize) -> f64 {
    let corners: Vec<Point2f> = corners.to_vec();
    let beside = corners.chunks(n_columns).flat_map(|row| row.windows(2));
    let beside = beside.map(|two| (two[0], two[1]));
    let below = corners
        .iter()
        .copied()
        .zip(corners.iter().copied().skip(n_columns));
    let steps = beside.chain(below).map(|(one, next)| {
        let step = next - one;
        f64::from(step.x).hypot(f64::from(step.y))
    });
    steps.fold(f64::INFINITY, f64::min)
}

/// Where columns of `row` would lie without distortion, pixels across.
fn undistorted(
    columns: &[f64],
    row: f64,
    matrix: &Mat,
    distortion: &Mat,
) -> Result<Vec<f64>, CalibrationError> {
    let points: Vector<Point2d> = columns
        .iter()
        .map(|column| Point2d::new(*column, row))
        .collect();
    let mut straight = Vector::<Point2d>::new();
    calib3d::undistort_points(
        &points,
        &mut straight,
        matrix,
        distortion,
        &no_array(),
        matrix,
    )?;
    Ok(straight.iter().map(|point| point.x).collect())
}

/// The largest difference.
fn farthest(found: impl Iterator<Item = f64>, expected: &[f64]) -> f64 {
    let both = found.zip(expected);
    both.map(|(found, expected)| (found - expected).abs())
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod rendered;

#[cfg(test)]
mod tests;
