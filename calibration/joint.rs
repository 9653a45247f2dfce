//! Whether two successive frames continue each other as one web.
//!
//! ```text
//! last rows of a frame │ first rows of the next ──▶ does the cloth go on?
//! ```
//!
//! Blocks of a line-scan camera do; pictures that were taken at different places do not, and
//! what runs to the border of one then has nothing to do with the other. A row of cloth can be
//! told from the two rows before it and the two behind it, by weights that are found in the
//! frames themselves. Where cloth goes on, rows at the joint are told as well as any; where it
//! does not, yarns break off. The light may jump (each frame is evened by itself), so only what
//! varies within 32 columns is compared.
//!
//! It remembers nothing and decides nothing about flaws. Cloth so fine that its rows are
//! noise to the camera looks the same everywhere: then the answer is yes.

use ndarray::{ArrayView2, s};

use crate::cloth_edge::ClothSpan;
use crate::light::EvenFrame;

/// A few evened rows from the end or the beginning of a frame.
#[derive(Clone, Copy, Debug)]
pub struct JointRows<'a> {
    /// `[row, column]`, all columns of the frame.
    rows: ArrayView2<'a, f32>,
    cloth: ClothSpan,
}

impl<'a> JointRows<'a> {
    /// The first rows of `frame`; of a colour frame the green ones, which carry most light.
    pub fn first_of(frame: &'a EvenFrame) -> Self {
        Self::of(frame, 0)
    }

    /// The last rows of `frame`.
    pub fn last_of(frame: &'a EvenFrame) -> Self {
        Self::of(frame, frame.height().saturating_sub(N_ROWS))
    }

    fn of(frame: &'a EvenFrame, first: usize) -> Self {
        let end = (first + N_ROWS).min(frame.height());
        let plane = frame.planes.dim().0 / 2;
        Self {
            rows: frame.planes.slice(s![plane, first..end, ..]),
            cloth: frame.cloth,
        }
    }
}

/// True where the frame that begins with `next` goes on where the frame that ends with
/// `previous` ended.
pub fn continues(previous: &JointRows<'_>, next: &JointRows<'_>) -> bool {
    joint_step(previous, next).is_some_and(|step| step < LARGEST_STEP)
}

/// How much worse rows at the joint can be told from their neighbours than rows inside the
/// frames: about 1 where cloth goes on. `None` where the two cannot be parts of one web: other
/// widths, another place of the cloth, or fewer than 5 rows.
pub fn joint_step(previous: &JointRows<'_>, next: &JointRows<'_>) -> Option<f32> {
    let (before, after) = (previous.cloth, next.cloth);
    let jump = |a: u32, b: u32| a.abs_diff(b) > LARGEST_JUMP_PX;
    let left = before.left().max(after.left()) as usize;
    let right = before.right().min(after.right()) as usize;
    if previous.rows.ncols() != next.rows.ncols()
        || previous.rows.nrows().min(next.rows.nrows()) <= 2 * REACH
        || jump(before.left(), after.left())
        || jump(before.right(), after.right())
        || left >= right
    {
        return None;
    }
    let rows: Vec<Vec<f32>> = (previous.rows.rows().into_iter())
        .chain(next.rows.rows())
        .map(|row| fine_texture(&row.slice(s![left..right]).to_vec()))
        .collect();
    let joint = previous.rows.nrows();
    let at_joint = joint - REACH..joint + REACH;
    let inside = || (REACH..joint - REACH).chain(joint + REACH..rows.len() - REACH);
    let weights = weights(&rows, inside());
    let mean = |places: &mut dyn Iterator<Item = usize>| {
        let (mut sum, mut n) = (0.0, 0);
        for at in places {
            sum += miss(&rows, at, weights);
            n += 1;
        }
        sum / n.max(1) as f32
    };
    let (found, usual) = (mean(&mut at_joint.clone()), mean(&mut inside()));
    Some((found + LEAST_MISS) / (usual + LEAST_MISS))
}

/// Rows taken from each side: enough for every phase of a weave.
const N_ROWS: usize = 16;
/// Rows on each side from which a row is told.
const REACH: usize = 2;
/// Columns within which the light does not vary, but for a constant.
const BLOCK: usize = 32;
/// Blocks looked at, spread over the cloth; more do not tell better.
const MOST_BLOCKS: usize = 48;
/// 724 cuts through 640 columns of AITEX strips and of area frames of a mill gave 0.78 to 1.20, 99 %
/// of them below 1.11. 520 pairs of strips from different places gave 1.16 to 5.2, 99 % of them
/// above 1.27. Cloth of a mill whose picks are hardly seen lies between: different places of it
/// are often taken for one web.
pub(crate) const LARGEST_STEP: f32 = 1.2;
/// A selvedge that jumps farther from frame to frame is another piece of cloth.
const LARGEST_JUMP_PX: u32 = 64;
/// Misses below this, of 1.0, are the rounding of an 8 bit camera, not cloth.
const LEAST_MISS: f32 = 5e-4;
/// Share of the texture's energy that is taken for noise, so that weights never run wild.
const RIDGE: f32 = 1e-3;
/// Two AVX registers, or four of SSE.
const LANES: usize = 16;

/// What varies within blocks of columns, for blocks spread over a row of cloth; of cloth
/// narrower than a block, all of it.
fn fine_texture(cloth: &[f32]) -> Vec<f32> {
    let block = BLOCK.min(cloth.len());
    let n_blocks = cloth.len() / block;
    let n_seen = n_blocks.min(MOST_BLOCKS);
    let mut fine = Vec::with_capacity(n_seen * block);
    for seen in 0..n_seen {
        let values = &cloth[seen * n_blocks / n_seen * block..][..block];
        let mean = values.iter().sum::<f32>() / block as f32;
        fine.extend(values.iter().map(|value| value - mean));
    }
    fine
}

/// The weights of the nearest and of the next rows by which rows at `places` are told best. Cloth
/// looks alike upwards and downwards, so both sides weigh the same.
fn weights(rows: &[Vec<f32>], places: impl Iterator<Item = usize>) -> [f32; REACH] {
    let [mut aa, mut ab, mut bb, mut ay, mut by] = [0.0; 5];
    for at in places {
        let mut lanes = [[0.0; LANES]; 5];
        for_columns(rows, at, |lane, y, a, b| {
            lanes[0][lane] += a * a;
            lanes[1][lane] += a * b;
            lanes[2][lane] += b * b;
            lanes[3][lane] += a * y;
            lanes[4][lane] += b * y;
        });
        let sums = lanes.map(|lane| lane.iter().sum::<f32>());
        for (total, sum) in [&mut aa, &mut ab, &mut bb, &mut ay, &mut by]
            .into_iter()
            .zip(sums)
        {
            *total += sum;
        }
    }
    let noise = RIDGE * (aa + bb);
    let (aa, bb) = (aa + noise, bb + noise);
    let det = aa * bb - ab * ab;
    if det <= 0.0 {
        return [0.0; REACH];
    }
    [(ay * bb - by * ab) / det, (by * aa - ay * ab) / det]
}

/// How far the row at `at` lies from what its neighbours tell, on average.
fn miss(rows: &[Vec<f32>], at: usize, [near, far]: [f32; REACH]) -> f32 {
    let mut lanes = [0.0; LANES];
    for_columns(rows, at, |lane, y, a, b| {
        lanes[lane] += (y - near * a - far * b).abs();
    });
    lanes.iter().sum::<f32>() / rows[at].len().max(1) as f32
}

/// Calls `look(lane, value, sum of the nearest rows, sum of the next rows)` for every column of
/// the row at `at`; a lane is a column's place in its group of [`LANES`].
fn for_columns(rows: &[Vec<f32>], at: usize, mut look: impl FnMut(usize, f32, f32, f32)) {
    let groups = |row: usize| rows[row].chunks(LANES);
    for ((((y, above), below), far_above), far_below) in groups(at)
        .zip(groups(at - 1))
        .zip(groups(at + 1))
        .zip(groups(at - 2))
        .zip(groups(at + 2))
    {
        for lane in 0..y.len().min(LANES) {
            look(
                lane,
                y[lane],
                above[lane] + below[lane],
                far_above[lane] + far_below[lane],
            );
        }
    }
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
        continues(&JointRows::last_of(above), &JointRows::first_of(below))
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
