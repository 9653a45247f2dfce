//! A board of known squares: what its corners say of scale, lens and place.
//!
//! ```text
//! picture ─▶ chessboard ─▶ View (corners in px) ─▶ measure_scale ─▶ mm per pixel and per line
//!                                               ─▶ measure_lens  ─▶ Lens of a line-scan camera
//!                                  two lanes' Views ─▶ measure_place ─▶ offset of the right one
//! ```
//!
//! A board may lie turned by some degrees: scales come from how fast a corner's column and line
//! grow over the board, whose length no turn changes. What is left over after the board is moved
//! and turned rigidly is the residual, in mm on the web. Nothing here looks at a picture.

use serde::{Deserialize, Serialize};

use crate::CalibrationError;
use crate::lens::{Lens, Marked};

/// A chessboard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Board {
    n_columns: usize,
    n_rows: usize,
    square_mm: f64,
}

/// The inner corners of a board in one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Column and line of each, row by row from the upper left.
    pub corners: Vec<[f64; 2]>,
    /// Pixels across of the picture.
    pub width_px: u32,
    /// Lines of the picture.
    pub height_px: u32,
}

/// Scale as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleMeasured {
    /// Across.
    pub mm_per_px: f64,
    /// Along.
    pub mm_per_line: f64,
    /// Angle between lines and columns, off a right one, degrees.
    pub skew_degrees: f64,
    /// How far corners lie from where they should.
    pub residual: Residual,
    /// Pictures that showed the board.
    pub n_views: u32,
}

/// Distances between where something is and where it should be, mm on the web.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Root of the mean square.
    pub rms_mm: f64,
    /// The largest.
    pub max_mm: f64,
}

/// Place of a lane, from what it and its left neighbour saw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceMeasured {
    /// Where the lane's first column lies, from the station's datum.
    pub offset_mm: f64,
    /// How far the corners' places in the two lanes differ.
    pub residual: Residual,
    /// Pictures that showed the board in both lanes.
    pub n_views: u32,
}

/// Where a lane's columns lie, as far as a board can tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneScale {
    /// Across.
    pub mm_per_px: f64,
    /// Its lens, where it is known.
    pub lens: Option<Lens>,
}

/// What a measurement must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoardLimits {
    /// Largest root mean square of the residual, mm.
    pub most_rms_mm: f64,
    /// Largest residual of a corner, mm.
    pub most_mm: f64,
    /// Largest angle off a right one between lines and columns, degrees.
    pub most_skew_degrees: f64,
}

/// What serves where nothing else is asked for: less than a yarn of fine cloth, and a line that
/// lies 17 mm farther along at one side of a web of 2 m than at the other.
pub const BOARD_LIMITS: BoardLimits = BoardLimits {
    most_rms_mm: 0.1,
    most_mm: 0.4,
    most_skew_degrees: 0.5,
};

/// Inner corners that a board can have in a direction.
const CORNERS: std::ops::RangeInclusive<usize> = 3..=100;
/// Sides of squares, mm.
const SQUARES_MM: std::ops::RangeInclusive<f64> = 0.1..=1000.0;
/// Passes of fitting a lens and turning boards by what it shows; each leaves a hundredth of the
/// one before.
const N_PASSES: usize = 4;

impl Board {
    /// A board of `n_columns` by `n_rows` inner corners, `square_mm` apart.
    ///
    /// # Errors
    /// `OutOfRange` for a board that cannot be told from its picture: as many columns as rows, too
    /// few or too many, or a square without a size.
    pub fn new(n_columns: usize, n_rows: usize, square_mm: f64) -> Result<Self, CalibrationError> {
        let is_known = CORNERS.contains(&n_columns) && CORNERS.contains(&n_rows);
        if !is_known || n_columns == n_rows {
            return Err(CalibrationError::OutOfRange {
                what: "board",
                found: format!("{n_columns}x{n_rows} inner corners"),
                expected: format!("two different numbers, {CORNERS:?}"),
            });
        }
        if !SQUARES_MM.contains(&square_mm) {
            return Err(CalibrationError::OutOfRange {
                what: "square_mm",
                found: square_mm.to_string(),
                expected: format!("{SQUARES_MM:?}"),
            });
        }
        Ok(Self {
            n_columns,
            n_rows,
            square_mm,
        })
    }

    /// Inner corners across and along.
    pub fn n_corners(&self) -> (usize, usize) {
        (self.n_columns, self.n_rows)
    }

    /// Side of a square.
    pub fn square_mm(&self) -> f64 {
        self.square_mm
    }

    /// Places of the corners on the board, in the order of a view's.
    pub fn places(&self) -> impl Iterator<Item = [f64; 2]> + Clone + '_ {
        let side = self.square_mm;
        (0..self.n_rows).flat_map(move |row| {
            (0..self.n_columns).map(move |column| [column as f64 * side, row as f64 * side])
        })
    }

    /// Puts `corners`, in the order in which they were found, into a view's order.
    ///
    /// # Errors
    /// `OutOfRange` where the board's columns do not run across the picture.
    pub fn view(
        &self,
        mut corners: Vec<[f64; 2]>,
        (width_px, height_px): (u32, u32),
    ) -> Result<View, CalibrationError> {
        let expected = self.n_columns * self.n_rows;
        let too_few = || CalibrationError::OutOfRange {
            what: "corners of the board",
            found: corners.len().to_string(),
            expected: expected.to_string(),
        };
        let (Some(first), Some(beside)) = (corners.first(), corners.get(self.n_columns - 1)) else {
            return Err(too_few());
        };
        if corners.len() != expected {
            return Err(too_few());
        }
        let (across, along) = (beside[0] - first[0], beside[1] - first[1]);
        if across.abs() <= along.abs() {
            return Err(CalibrationError::OutOfRange {
                what: "direction of the board's columns",
                found: format!("{along:.0} lines along and {across:.0} px across"),
                expected: "rather across: turn the board, or give its corners the other way round"
                    .to_owned(),
            });
        }
        if across < 0.0 {
            corners
                .chunks_exact_mut(self.n_columns)
                .for_each(<[_]>::reverse);
        }
        let (top, bottom) = (corners[0][1], corners[expected - self.n_columns][1]);
        if top > bottom {
            let rows = corners.chunks_exact(self.n_columns).rev();
            corners = rows.flatten().copied().collect();
        }
        Ok(View {
            corners,
            width_px,
            height_px,
        })
    }
}

/// The scale that views of a board that lay flat on the web show, `lens` known or not.
///
/// # Errors
/// `OutOfRange` without a view, or where the residual is larger than `limits` allow.
pub fn measure_scale(
    board: &Board,
    views: &[View],
    lens: Option<&Lens>,
    limits: &BoardLimits,
) -> Result<ScaleMeasured, CalibrationError> {
    let straight = straightened(views, lens)?;
    let steps: Vec<_> = straight.iter().map(|view| Steps::of(board, view)).collect();
    if steps.is_empty() {
        return Err(no_view());
    }
    let n = steps.len() as f64;
    let mean = |of: fn(&Steps) -> f64| steps.iter().map(of).sum::<f64>() / n;
    let (mm_per_px, mm_per_line) = (mean(|steps| steps.mm_per_px()), mean(Steps::mm_per_line));
    let mut distances = Vec::new();
    for view in &straight {
        distances.extend(rigid_distances(board, view, [mm_per_px, mm_per_line]));
    }
    let scale = ScaleMeasured {
        mm_per_px,
        mm_per_line,
        skew_degrees: mean(Steps::skew_degrees),
        residual: Residual::of(&distances),
        n_views: steps.len() as u32,
    };
    let skew = scale.skew_degrees.abs();
    if skew.is_nan() || skew > limits.most_skew_degrees {
        return Err(CalibrationError::OutOfRange {
            what: "the angle between lines and columns",
            found: format!("{skew:.2} degrees off a right one"),
            expected: format!(
                "at most {}: turn the camera square to the web, lay the board flat",
                limits.most_skew_degrees
            ),
        });
    }
    scale.residual.check(limits)?;
    Ok(scale)
}

/// The lens of a line-scan camera and its mean scale across, from boards that lay flat and
/// together cover the width. What is left over is across.
///
/// # Errors
/// As for [`Lens::fit`], or where the residual is larger than `limits` allow.
pub fn measure_lens(
    board: &Board,
    views: &[View],
    limits: &BoardLimits,
) -> Result<(Lens, f64, Residual), CalibrationError> {
    let width_px = views.first().ok_or_else(no_view)?.width_px;
    let mut fitted: Option<(Lens, f64)> = None;
    let mut marked = Vec::new();
    for _ in 0..N_PASSES {
        let lens = fitted.as_ref().map(|(lens, _)| lens);
        let straight = straightened(views, lens)?;
        marked.clear();
        for (view, straight) in views.iter().zip(&straight) {
            let across = Steps::of(board, straight).places_across(board);
            let columns = view.corners.iter().map(|corner| corner[0]);
            marked.push(Marked {
                places: columns.zip(across).collect(),
            });
        }
        fitted = Some(Lens::fit(width_px, &marked)?);
    }
    let (lens, mm_per_px) = fitted.ok_or_else(no_view)?;
    let mut distances = Vec::new();
    for frame in &marked {
        let offs = frame
            .places
            .iter()
            .map(|(column, mm)| lens.straight(*column) * mm_per_px - mm);
        distances.extend(centred(offs));
    }
    let residual = Residual::of(&distances);
    residual.check(limits)?;
    Ok((lens, mm_per_px, residual))
}

/// Where the right one of two neighbouring lanes lies, from pictures in which both saw the same
/// board in the same place: `(left, right)` views, and the left one's offset.
///
/// # Errors
/// `OutOfRange` without a pair, or where the residual is larger than `limits` allow.
pub fn measure_place(
    pairs: &[(View, View)],
    (left, left_offset_mm): (&LaneScale, f64),
    right: &LaneScale,
    limits: &BoardLimits,
) -> Result<PlaceMeasured, CalibrationError> {
    let mut offsets = Vec::new();
    for (of_left, of_right) in pairs {
        let both = left
            .places(of_left)?
            .into_iter()
            .zip(right.places(of_right)?);
        offsets.extend(both.map(|(of_left, of_right)| left_offset_mm + of_left - of_right));
    }
    if offsets.is_empty() {
        return Err(no_view());
    }
    let offset_mm = offsets.iter().sum::<f64>() / offsets.len() as f64;
    let place = PlaceMeasured {
        offset_mm,
        residual: Residual::of(&centred(offsets.into_iter())),
        n_views: pairs.len() as u32,
    };
    place.residual.check(limits)?;
    Ok(place)
}

impl LaneScale {
    /// Places of a view's corners across, mm from the lane's first column.
    fn places(&self, view: &View) -> Result<Vec<f64>, CalibrationError> {
        let straight = straightened(std::slice::from_ref(view), self.lens.as_ref())?;
        let corners = straight.into_iter().flat_map(|view| view.corners);
        Ok(corners.map(|corner| corner[0] * self.mm_per_px).collect())
    }
}

impl Residual {
    fn of(distances: &[f64]) -> Self {
        let squares = distances.iter().map(|distance| distance * distance);
        Self {
            rms_mm: (squares.sum::<f64>() / distances.len().max(1) as f64).sqrt(),
            max_mm: distances
                .iter()
                .map(|distance| distance.abs())
                .fold(0.0, f64::max),
        }
    }

    fn check(&self, limits: &BoardLimits) -> Result<(), CalibrationError> {
        let is_small = self.rms_mm <= limits.most_rms_mm && self.max_mm <= limits.most_mm;
        if is_small {
            return Ok(());
        }
        Err(CalibrationError::OutOfRange {
            what: "the residual of the board's corners",
            found: format!("{:.3} mm rms, {:.3} mm at most", self.rms_mm, self.max_mm),
            expected: format!(
                "{} mm rms, {} mm at most",
                limits.most_rms_mm, limits.most_mm
            ),
        })
    }
}

/// How a view's columns and lines grow over the board.
struct Steps {
    /// Pixels across for a mm of the board across and along.
    px: [f64; 2],
    /// Lines for the same.
    lines: [f64; 2],
}

impl Steps {
    /// By least squares over all corners.
    fn of(board: &Board, view: &View) -> Self {
        let (columns, rows) = (board.n_columns as f64, board.n_rows as f64);
        let middle = [
            (columns - 1.0) / 2.0 * board.square_mm,
            (rows - 1.0) / 2.0 * board.square_mm,
        ];
        let (mut px, mut lines, mut squares) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        for (corner, place) in view.corners.iter().zip(board.places()) {
            for side in 0..2 {
                // The corners lie evenly, so the two directions do not mix.
                let off = place[side] - middle[side];
                px[side] += off * corner[0];
                lines[side] += off * corner[1];
                squares[side] += off * off;
            }
        }
        for side in 0..2 {
            px[side] /= squares[side];
            lines[side] /= squares[side];
        }
        Self { px, lines }
    }

    fn mm_per_px(&self) -> f64 {
        1.0 / self.px[0].hypot(self.px[1])
    }

    fn mm_per_line(&self) -> f64 {
        1.0 / self.lines[0].hypot(self.lines[1])
    }

    fn skew_degrees(&self) -> f64 {
        let dot = self.px[0] * self.lines[0] + self.px[1] * self.lines[1];
        (dot * self.mm_per_px() * self.mm_per_line())
            .asin()
            .to_degrees()
    }

    /// Places of the board's corners across the web, mm from the first one.
    fn places_across(&self, board: &Board) -> Vec<f64> {
        let (x, y) = (self.px[0] * self.mm_per_px(), self.px[1] * self.mm_per_px());
        board
            .places()
            .map(|place| place[0] * x + place[1] * y)
            .collect()
    }
}

/// How far a view's corners lie from a board that was moved and turned to fit them, mm.
fn rigid_distances(board: &Board, view: &View, scale: [f64; 2]) -> Vec<f64> {
    let n = view.corners.len().max(1) as f64;
    let scaled = |corner: &[f64; 2]| [corner[0] * scale[0], corner[1] * scale[1]];
    let middle_of = |places: &mut dyn Iterator<Item = [f64; 2]>| {
        let sum = places.fold([0.0; 2], |sum, place| {
            [sum[0] + place[0], sum[1] + place[1]]
        });
        [sum[0] / n, sum[1] / n]
    };
    let seen_middle = middle_of(&mut view.corners.iter().map(scaled));
    let board_middle = middle_of(&mut board.places());
    let pairs = || {
        let seen = view.corners.iter().map(move |corner| {
            let seen = scaled(corner);
            [seen[0] - seen_middle[0], seen[1] - seen_middle[1]]
        });
        let places = board.places();
        seen.zip(places.map(move |place| [place[0] - board_middle[0], place[1] - board_middle[1]]))
    };
    let (mut dot, mut cross) = (0.0, 0.0);
    for (seen, place) in pairs() {
        dot += place[0] * seen[0] + place[1] * seen[1];
        cross += place[0] * seen[1] - place[1] * seen[0];
    }
    let (sin, cos) = cross.atan2(dot).sin_cos();
    pairs()
        .map(|(seen, place)| {
            let turned = [
                place[0] * cos - place[1] * sin,
                place[0] * sin + place[1] * cos,
            ];
            (seen[0] - turned[0]).hypot(seen[1] - turned[1])
        })
        .collect()
}

/// The views with their columns straightened; all must be as wide as the first, or the lens.
fn straightened(views: &[View], lens: Option<&Lens>) -> Result<Vec<View>, CalibrationError> {
    let first = views.first().map_or(0, |view| view.width_px);
    let expected = lens.map_or(first, Lens::width_px);
    let mut straight = views.to_vec();
    for view in &mut straight {
        if view.width_px != expected {
            return Err(CalibrationError::OtherWidth {
                found: view.width_px,
                expected,
            });
        }
        if let Some(lens) = lens {
            for corner in &mut view.corners {
                corner[0] = lens.straight(corner[0]);
            }
        }
    }
    Ok(straight)
}

/// Values less their mean.
fn centred(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    values.iter().map(|value| value - mean).collect()
}

fn no_view() -> CalibrationError {
    CalibrationError::OutOfRange {
        what: "pictures that show the whole board",
        found: "0".to_owned(),
        expected: "at least 1".to_owned(),
    }
}

#[cfg(test)]
mod tests;
