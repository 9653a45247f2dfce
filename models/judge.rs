//! From features to a score map, in order.
//!
//! ```text
//! block ─▶ distance from the column's reference ─▶ − usual here ─▶ smoothed ─▶ ÷ usual near rims
//!                     ▲      ─▶ ÷ threshold ─▶ the larger of place and line ─▶ ScoreMap
//!                     └── the window of blocks before it, without what was flagged
//! ```
//!
//! One judge serves one lane and must be given its blocks in cloth order. The result depends
//! on the blocks alone, never on timing.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use crate::columns::{Usual, UsualHere};
use crate::features::{Block, Rim};
use crate::level;
use crate::passport::{Judgement, ReferenceSettings};
use crate::pattern::Pattern;
use crate::reference::{Grown, Reference, UnusualCell, Window};
use crate::smoothing::{Beyond, add_pairs, half_kernel, smooth_into};

/// Score from which a cell is not usual cloth, though it need not be a flaw by itself: it is
/// not learned from, and belongs to a flaw that it is connected with.
pub const UNUSUAL: f32 = 0.7;

/// One score per cell of a block.
#[derive(Clone, Debug)]
pub struct ScoreMap {
    /// `[rows, cols]`; 1.0 is the threshold. Zero outside `judged` and where no patch was.
    pub scores: Array2<f32>,
    /// Columns that were judged.
    pub judged: Range<usize>,
}

impl ScoreMap {
    /// The largest score of the judged cells; 0 when there are none.
    pub fn highest(&self) -> f32 {
        self.judged_scores().iter().copied().fold(0.0, f32::max)
    }

    /// The judged cells.
    pub fn judged_scores(&self) -> ArrayView2<'_, f32> {
        self.scores
            .slice(ndarray::s![.., self.judged.start..self.judged.end])
    }
}

/// Judges the blocks of one lane, in order.
pub struct Judge {
    judgement: Judgement,
    usual: Usual,
    settings: ReferenceSettings,
    window: Window,
}

impl Judge {
    /// A judge at the start of a roll. `usual` is the usual distance of each of the lane's columns
    /// of cells, as [`crate::LaneColumns`] has it; where it is of another width, none is known.
    /// `mm_per_row` is the length of a row of cells along the lane, which turns the passport's
    /// window into rows.
    pub fn new(
        judgement: Judgement,
        usual: Vec<f32>,
        settings: ReferenceSettings,
        mm_per_row: f64,
    ) -> Self {
        Self {
            usual: Usual {
                columns: usual,
                elsewhere: judgement.usual_elsewhere,
            },
            judgement,
            settings,
            window: Window::new(window_rows(&settings, mm_per_row)),
        }
    }

    /// The same for a lane whose columns were taught: at the roll's start, and after each break,
    /// a column that is far from `pattern` is held against it and not against itself.
    #[must_use]
    pub fn starting_from(mut self, pattern: Pattern) -> Self {
        if let Some(threshold) = self.judgement.start {
            self.window.start_from(pattern, threshold);
        }
        self
    }

    /// Forgets all cloth until here, as at a roll's start.
    pub fn forget(&mut self) {
        self.window.clear();
    }

    /// Scores the next block. A cell that no patch keeps was not looked at: it scores 0, changes
    /// nothing beside it and is not learned from.
    pub fn judge(&mut self, block: &Block) -> ScoreMap {
        if block.patches.is_empty() {
            if !block.continues {
                self.window.clear();
            }
            return ScoreMap {
                scores: Array2::zeros((block.rows, block.cols)),
                judged: block.judged.clone(),
            };
        }
        let reference = self.window.reference(block, self.settings.smooth_cells);
        let mut distances = reference.distances(block);
        let missing = distances.missing(block);
        let median = level::median(block, &distances);
        let usual = self.usual.at(median, block.cols, &block.judged);
        if let Some(missing) = &missing {
            make_usual(&mut distances, missing, block, &usual);
        }
        let mut scores = even(&distances, block, self.judgement.smooth_cells, &usual);
        relate_to_rims(&mut scores, block, self.judgement.rims());
        scores.mapv_inplace(|score| score / self.judgement.threshold);
        if reference.is_known.contains(&true) {
            raise_lines(&mut scores, &reference, self.judgement.line_threshold);
        }
        raise_spots(&mut scores, block, &self.judgement);
        if let Some(missing) = missing {
            let missing = missing.slice(ndarray::s![distances.own_rows(), ..]);
            scores.zip_mut_with(&missing, |score, is_missing| {
                if *is_missing {
                    *score = 0.0;
                }
            });
        }
        self.window
            .remember(block, reference, &unusual_cells(&scores));
        ScoreMap {
            scores,
            judged: block.judged.clone(),
        }
    }
}

/// The cells of a map that are not usual, row by row.
fn unusual_cells(scores: &Array2<f32>) -> Vec<UnusualCell> {
    let mut cells = Vec::new();
    for (row, scores) in scores.outer_iter().enumerate() {
        // Most rows have none, and counting takes many cells at once.
        let n = scores.iter().filter(|score| **score >= UNUSUAL).count();
        if n == 0 {
            continue;
        }
        let of_row = scores.iter().enumerate();
        cells.extend(
            of_row
                .filter(|(_, score)| **score >= UNUSUAL)
                .map(|(col, score)| UnusualCell {
                    row,
                    col,
                    is_flagged: *score > 1.0,
                }),
        );
    }
    cells
}

/// A column that is far from what it should look like is so in each row that stands out at least
/// by half of what it does on average.
const STANDS_OUT: f32 = 2.0;

/// Raises the scores of columns that are known to what they are as lines. A column that is far
/// from what it should look like is a line by that alone, wherever it stands out: means of
/// features tell more than means of distances, which are never below zero.
fn raise_lines(scores: &mut Array2<f32>, reference: &Reference, threshold: Option<f32>) {
    let lines = along_lines(scores);
    let by_threshold = threshold.map_or(0.0, |threshold| 1.0 / threshold);
    // What is not known is no line.
    let most: Vec<f32> = reference
        .is_known
        .iter()
        .map(|is_known| {
            if *is_known {
                f32::INFINITY
            } else {
                f32::NEG_INFINITY
            }
        })
        .collect();
    for (mut scores, lines) in scores.outer_iter_mut().zip(lines.outer_iter()) {
        for ((score, line), most) in scores.iter_mut().zip(lines).zip(&most) {
            *score = score.max((line * by_threshold).max(0.0).min(*most));
        }
    }
    for (col, far) in reference.far.iter().enumerate() {
        if *far <= 0.0 || !reference.is_known[col] {
            continue;
        }
        let lines = lines.column(col);
        let usual = lines.mean().filter(|usual| *usual > 0.0);
        let by_far = usual.map_or(0.0, |usual| STANDS_OUT * far / usual);
        scores.column_mut(col).zip_mut_with(&lines, |score, line| {
            *score = score.max((line * by_far).min(*far));
        });
    }
}

/// How steeply the score of a spot rises to its threshold. Squares of a filter's responses are spread
/// more evenly than distances of features, which have what is usual taken off; below the threshold
/// they would cover these (on three plain weaves the pixels' AUROC was 0.945 with 1, 0.961 with 2 and
/// 3).
const SPOT_POWER: i32 = 2;

/// Raises the scores of cells in which a spot stands out.
fn raise_spots(scores: &mut Array2<f32>, block: &Block, judgement: &Judgement) {
    for (n, spot) in judgement.spots.iter().enumerate() {
        let mut found = spot_map(block, n);
        relate_to_rims(&mut found, block, spot.rims());
        scores.zip_mut_with(&found, |score, found| {
            *score = score.max(spot_score(*found, spot.threshold));
        });
    }
}

/// The score of a spot that is found; 1.0 is the threshold.
pub(crate) fn spot_score(found: f32, threshold: f32) -> f32 {
    (found / threshold).powi(SPOT_POWER)
}

/// How much the `n`th of what is finer than features stands out, for each judged cell that a patch
/// keeps; zero elsewhere, and where patches do not tell.
pub(crate) fn spot_map(block: &Block, n: usize) -> Array2<f32> {
    let mut map = Array2::zeros((block.rows, block.cols));
    for patch in block
        .patches
        .iter()
        .filter(|patch| n < patch.features.n_fine())
    {
        let (in_patch, in_block) = patch.columns(&block.judged);
        let rows = patch.row..patch.row + patch.kept.rows.len();
        let fine = patch.features.fine(n);
        let kept = fine.slice(ndarray::s![patch.kept.rows.clone(), in_patch]);
        map.slice_mut(ndarray::s![rows, in_block]).assign(&kept);
    }
    map
}

/// The window of `settings` in rows of cells.
pub(crate) fn window_rows(settings: &ReferenceSettings, mm_per_row: f64) -> usize {
    (settings.window_mm / mm_per_row).round().max(0.0) as usize
}

/// Gives the cells that are `missing` their column's usual distance, so that they weigh nothing
/// when those beside them are smoothed.
fn make_usual(distances: &mut Grown, missing: &Array2<bool>, block: &Block, usual: &UsualHere<'_>) {
    for (((_, col), distance), is_missing) in distances.values.indexed_iter_mut().zip(missing) {
        if *is_missing {
            *distance = usual.of(block.cols, col);
        }
    }
}

/// Distances with each column's usual one taken off, by the block's level, smoothed; the block's
/// own rows.
pub(crate) fn even(
    distances: &Grown,
    block: &Block,
    smooth_cells: f32,
    usual: &UsualHere<'_>,
) -> Array2<f32> {
    let judged = block.judged.clone();
    let n = judged.len();
    let kernel = half_kernel(smooth_cells);
    let share = usual.level.share();
    let usual: Vec<f32> = judged
        .clone()
        .map(|col| usual.of(block.cols, col))
        .collect();
    let n_rows = distances.values.nrows();
    let mut across = vec![0.0; n_rows * n];
    let (mut taken_off, mut padded) = (vec![0.0; n], Vec::new());
    for (row, distances) in distances.values.outer_iter().enumerate() {
        let distances = distances.into_iter().skip(judged.start);
        for ((to, distance), usual) in taken_off.iter_mut().zip(distances).zip(&usual) {
            *to = (distance - usual) * share;
        }
        let to = &mut across[row * n..][..n];
        smooth_into(to, &taken_off, &kernel, Beyond::Nearest, &mut padded);
    }
    let last = n_rows.saturating_sub(1);
    let mut out = Array2::zeros((block.rows, block.cols));
    for (row, mut to) in out.outer_iter_mut().enumerate() {
        let to = &mut to
            .as_slice_mut()
            .expect("rows of an owned array are contiguous")[judged.clone()];
        let centre = row + distances.above;
        let line = |row: usize| &across[row * n..][..n];
        add_pairs(to, &kernel, |distance| {
            let before = line(centre.saturating_sub(distance));
            (before, line((centre + distance).min(last)))
        });
    }
    out
}

/// Standard deviations along the lane of what makes a line, in cells: long enough to lift a
/// single missing yarn out of the texture, and short enough to say where it ends.
const LINE_CELLS: [f32; 2] = [8.0, 2.0];

/// How much a column of cells stands out for a stretch, where it stands out itself: the smaller
/// of a long and a short mean along the lane. Single places count up to the threshold, so that
/// one strong place is no line.
pub(crate) fn along_lines(scores: &Array2<f32>) -> Array2<f32> {
    let capped = scores.mapv(|score| score.min(1.0));
    let [long, short] = LINE_CELLS.map(|sigma| smoothed_along(&capped, &half_kernel(sigma)));
    let mut lines = long;
    lines.zip_mut_with(&short, |long, short| *long = long.min(*short));
    lines
}

/// Columns under a kernel; at the map's ends it is cut off and made whole again.
fn smoothed_along(values: &Array2<f32>, half: &[f32]) -> Array2<f32> {
    let (n_rows, n) = values.dim();
    let mut out = Array2::zeros((n_rows, n));
    let nothing = vec![0.0; n];
    let values = values
        .as_slice()
        .expect("an owned array in standard layout");
    let line = |row: Option<usize>| match row {
        Some(row) if row < n_rows => &values[row * n..][..n],
        _ => &nothing[..],
    };
    for (row, mut to) in out.outer_iter_mut().enumerate() {
        let to = to
            .as_slice_mut()
            .expect("rows of an owned array are contiguous");
        add_pairs(to, half, |distance| {
            (line(row.checked_sub(distance)), line(Some(row + distance)))
        });
        let within = |beyond: usize| half.iter().take(beyond).sum::<f32>();
        let whole = within(row + 1) + within(n_rows - row) - half[0];
        to.iter_mut().for_each(|sum| *sum /= whole);
    }
    out
}

/// Divides scores near rims by how much larger they usually are there.
pub(crate) fn relate_to_rims(
    scores: &mut Array2<f32>,
    block: &Block,
    [left, right, mirror]: [&[f32]; 3],
) {
    let (rows, judged) = (block.rows, &block.judged);
    let left = side_profile(block.left, left, mirror);
    let right = side_profile(block.right, right, mirror);
    let above = side_profile(block.above, &[], mirror);
    let below = side_profile(block.below, &[], mirror);
    let at = |profile: &[f32], distance: usize| profile.get(distance).copied().unwrap_or(1.0);
    let reach = left.len().max(right.len()).min(judged.len());
    for row in 0..rows {
        let along = at(above, row).max(at(below, rows - 1 - row));
        let (near_left, near_right) = if along <= 1.0 {
            let right = (judged.end - reach).max(judged.start + reach);
            (judged.start..judged.start + reach, right..judged.end)
        } else {
            (judged.clone(), judged.end..judged.end)
        };
        for col in near_left.chain(near_right) {
            let usual = along
                .max(at(left, col - judged.start))
                .max(at(right, judged.end - 1 - col));
            scores[[row, col]] /= usual;
        }
    }
}

fn side_profile<'a>(rim: Rim, ended: &'a [f32], mirror: &'a [f32]) -> &'a [f32] {
    match rim {
        Rim::Joined => &[],
        Rim::Mirrored => mirror,
        Rim::Ended => {
            if ended.is_empty() {
                mirror
            } else {
                ended
            }
        }
    }
}

#[cfg(test)]
mod tests;
