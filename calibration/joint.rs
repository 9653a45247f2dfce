//! Whether two successive frames continue each other as one web.
//!
//! ```text
//! last rows of a frame │ first rows of the next ──▶ does the cloth go on?
//! ```
//!
//! Blocks of a line-scan camera do; pictures that were taken at different places do not, and
//! what runs to the border of one then has nothing to do with the other. Where cloth goes on,
//! a row lies as well between its neighbours across the joint as it does inside either frame;
//! where it does not, yarns break off. The light may jump (each frame is evened by itself), so
//! only what is finer than 16 columns is compared.
//!
//! It remembers nothing and decides nothing about flaws. Cloth so fine that its rows are
//! noise to the camera looks the same everywhere: then the answer is yes.

use ndarray::{Array2, s};
use opencv::core::{BORDER_REFLECT, Mat, Size};
use opencv::imgproc;
use opencv::prelude::*;

use crate::CalibrationError;
use crate::cloth_edge::ClothSpan;
use crate::light::EvenFrame;

/// A few evened rows from the end or the beginning of a frame.
#[derive(Clone, Debug)]
pub struct JointRows {
    /// `[row, column]`, all columns of the frame.
    rows: Array2<f32>,
    cloth: ClothSpan,
}

impl JointRows {
    /// The first rows of `frame`; of a colour frame the green ones, which carry most light.
    pub fn first_of(frame: &EvenFrame) -> Self {
        Self::of(frame, 0)
    }

    /// The last rows of `frame`.
    pub fn last_of(frame: &EvenFrame) -> Self {
        Self::of(frame, frame.height().saturating_sub(N_ROWS))
    }

    fn of(frame: &EvenFrame, first: usize) -> Self {
        let end = (first + N_ROWS).min(frame.height());
        let plane = frame.planes.dim().0 / 2;
        Self {
            rows: frame.planes.slice(s![plane, first..end, ..]).to_owned(),
            cloth: frame.cloth,
        }
    }
}

/// True where the frame that begins with `next` goes on where the frame that ends with
/// `previous` ended.
///
/// # Errors
/// Only what OpenCV refuses.
pub fn continues(previous: &JointRows, next: &JointRows) -> Result<bool, CalibrationError> {
    Ok(joint_step(previous, next)?.is_some_and(|step| step < LARGEST_STEP))
}

/// How much worse rows at the joint lie between their neighbours than rows inside the frames
/// do: about 1 where cloth goes on. `None` where the two cannot be parts of one web: other
/// widths, another place of the cloth, or fewer than 3 rows.
///
/// # Errors
/// Only what OpenCV refuses.
pub fn joint_step(previous: &JointRows, next: &JointRows) -> Result<Option<f32>, CalibrationError> {
    let (before, after) = (previous.cloth, next.cloth);
    let jump = |a: u32, b: u32| a.abs_diff(b) > LARGEST_JUMP_PX;
    let left = before.left().max(after.left()) as usize;
    let right = before.right().min(after.right()) as usize;
    if previous.rows.ncols() != next.rows.ncols()
        || previous.rows.nrows().min(next.rows.nrows()) < 3
        || jump(before.left(), after.left())
        || jump(before.right(), after.right())
        || left >= right
    {
        return Ok(None);
    }
    let above = fine_texture(previous.rows.slice(s![.., left..right]).to_owned())?;
    let below = fine_texture(next.rows.slice(s![.., left..right]).to_owned())?;
    let row = |rows: &Array2<f32>, i: usize| rows.row(i).to_vec();
    let inside = |rows: &Array2<f32>| -> f32 {
        let n = rows.nrows() - 2;
        let bends = (0..n).map(|i| bend(&row(rows, i), &row(rows, i + 1), &row(rows, i + 2)));
        bends.sum::<f32>() / n as f32
    };
    let n = above.nrows();
    let at_joint = 0.5
        * (bend(&row(&above, n - 2), &row(&above, n - 1), &row(&below, 0))
            + bend(&row(&above, n - 1), &row(&below, 0), &row(&below, 1)));
    let usual = 0.5 * (inside(&above) + inside(&below));
    Ok(Some((at_joint + LEAST_BEND) / (usual + LEAST_BEND)))
}

/// Rows taken from each side.
const N_ROWS: usize = 8;
/// Frames that continue each other gave 0.78 to 1.23 (all but 1 of 905 cuts through AITEX strips
/// and area frames of a mill, and the strips that do follow each other on disk). Strips from
/// different places of one fabric gave 1.22 and more, half of them above 2.2; 99.5 % of 415 pairs
/// lie above this. The step from row to row alone does not part the two: a tenth of the strange
/// pairs have no larger one than cloth that goes on.
const LARGEST_STEP: f32 = 1.25;
/// A selvedge that jumps farther from frame to frame is another piece of cloth.
const LARGEST_JUMP_PX: u32 = 64;
/// Light is what varies over more columns than this, texture what varies over fewer.
const TEXTURE_SIGMA_PX: f64 = 16.0;
/// Two sigma to each side.
const TEXTURE_TAPS: i32 = 65;
/// Bends below this, of 1.0, are the rounding of an 8 bit camera, not cloth.
const LEAST_BEND: f32 = 1e-3;

/// Takes off each row what varies slowly across.
fn fine_texture(mut rows: Array2<f32>) -> Result<Array2<f32>, CalibrationError> {
    for mut row in rows.rows_mut() {
        let values = row.to_vec();
        let mut slow = Mat::default();
        imgproc::gaussian_blur(
            &Mat::from_slice(&values)?,
            &mut slow,
            Size::new(TEXTURE_TAPS, 1),
            TEXTURE_SIGMA_PX,
            0.0,
            BORDER_REFLECT,
        )?;
        for (value, slow) in row.iter_mut().zip(slow.data_typed::<f32>()?) {
            *value -= slow;
        }
    }
    Ok(rows)
}

/// How far the middle row lies from the mean of the outer two, twice.
fn bend(first: &[f32], middle: &[f32], last: &[f32]) -> f32 {
    let bends = (first.iter().zip(middle).zip(last)).map(|((a, b), c)| (a - 2.0 * b + c).abs());
    bends.sum::<f32>() / middle.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use camera::{Channels, Frame};

    use crate::Evener;
    use crate::picture::{picture, weave};

    fn even(frame: &Frame, left: u32) -> EvenFrame {
        let cloth = ClothSpan::new(left, frame.width(), frame.width()).unwrap();
        Evener::new()
            .even(frame, cloth, None, Channels::Grey)
            .unwrap()
    }

    fn rows_of(place: u32, first: u32, light: f32) -> EvenFrame {
        even(
            &picture(512, 64, |row, column| {
                light * weave(place, row + first, column)
            }),
            0,
        )
    }

    fn goes_on(above: &EvenFrame, below: &EvenFrame) -> bool {
        continues(&JointRows::last_of(above), &JointRows::first_of(below)).unwrap()
    }

    #[test]
    fn cloth_goes_on_whatever_the_light() {
        assert!(goes_on(&rows_of(1, 0, 1.0), &rows_of(1, 64, 1.0)));
        assert!(goes_on(&rows_of(1, 0, 1.0), &rows_of(1, 64, 0.6)));
    }

    #[test]
    fn a_lost_frame_or_another_roll_is_no_continuation() {
        assert!(!goes_on(&rows_of(1, 0, 1.0), &rows_of(1, 130, 1.0)));
        assert!(!goes_on(&rows_of(1, 0, 1.0), &rows_of(2, 64, 1.0)));
    }

    #[test]
    fn a_selvedge_that_jumps_is_other_cloth() {
        let [above, below] = [(0, 0), (64, 80)].map(|(first, left)| {
            even(
                &picture(512, 64, |row, column| weave(1, row + first, column)),
                left,
            )
        });
        assert!(!goes_on(&above, &below));
    }

    #[test]
    fn other_widths_and_too_few_rows_do_not_continue() {
        let narrow = even(&picture(256, 64, |row, column| weave(1, row, column)), 0);
        assert!(!goes_on(&rows_of(1, 0, 1.0), &narrow));
        let low = even(
            &picture(512, 2, |row, column| weave(1, row + 64, column)),
            0,
        );
        assert!(!goes_on(&rows_of(1, 0, 1.0), &low));
        assert!(!goes_on(&EvenFrame::empty(), &EvenFrame::empty()));
    }
}
