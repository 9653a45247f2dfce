//! The second pass: what scores good cloth gets from a model that did not see it.

use ndarray::{Array1, Array2, ArrayView2};

use super::FEWEST_BLOCKS;
use super::spread::{Whitener, Whitening, windows};
use crate::columns::Usual;
use crate::features::{Block, Rim};
use crate::judge::{along_lines, even, relate_to_rims};
use crate::passport::{Evidence, Judgement, StartThreshold};
use crate::pattern::{Against, Pattern};
use crate::reference::{Grown, Window, without_rims};
use crate::smoothing::{Beyond, half_kernel, smooth_into};
use crate::threshold::{Allowance, FalseAlarms, Peak, Peaks, Tail};

/// Standard deviation of the score's smoothing, in cells. A flaw of 4 to 8 px spreads over
/// about that.
const SMOOTH_SCORE_CELLS: f32 = 1.0;
/// Standard deviation of the smoothing of the usual distance across columns, in cells.
const SMOOTH_USUAL_CELLS: f32 = 8.0;
/// Cells from a selvedge or the picture's end that have statistics of their own. A wider zone
/// hides flaws beside it (10 cells lost 0.03 of strip AUROC on three plain weaves).
const RIM_CELLS: usize = 5;
/// Quantile of scores by which rims are compared with the rest.
const RIM_QUANTILE: f64 = 0.98;
/// Most inner scores that rims are compared with; a quantile needs no more, and a copy of every
/// score would double the memory of teaching.
const MAX_INNER_SCORES: usize = 2_000_000;
/// Quantile of distances from the taught reference alone that the file's output calls 1.0.
const TAUGHT_QUANTILE: f64 = 0.999;

/// By how many columns a lane's pattern is moved to stand for other warps under the same camera.
/// Only one warp is taught, and it would look better known than the next one is. Primes, so that
/// no repeat of yarns against cells comes back.
const OTHER_WARPS: [isize; 6] = [-41, -19, -7, 7, 19, 41];

/// Part of the false alarms that may be faint lines; the rest may be places.
const LINE_PART: f64 = 0.2;

/// The second pass over good cloth.
pub struct Rehearsal {
    whitening: Whitening,
    /// One per lane.
    windows: Vec<Window>,
    heard: Vec<Heard>,
    taught_distances: Vec<f32>,
    /// How far each block's columns are at most from the pattern of other columns.
    starts: Vec<f32>,
    /// Fewest rows of a block.
    least_rows: usize,
}

/// One block's distances, before anything is usual.
struct Heard {
    lane: usize,
    /// The block, without its features.
    block: Block,
    distances: Grown,
    /// Whether its columns were known by their past.
    is_known: bool,
}

/// What was learned from good cloth.
pub struct Lesson {
    /// Goes into the network.
    pub whitener: Whitener,
    /// Goes beside the passport: what tells the columns of each lane apart.
    pub patterns: Vec<Pattern>,
    /// Goes into the passport: per lane, the usual distance of each column of cells.
    pub usual: Vec<Vec<f32>>,
    /// Goes into the passport.
    pub judgement: Judgement,
    /// Goes into the passport.
    pub evidence: Evidence,
    /// Highest score of each block, 1.0 = threshold, judged without itself; in order.
    pub highest: Vec<f32>,
}

impl Rehearsal {
    /// Starts the second pass; `mm_per_row` as for [`crate::Judge`].
    pub fn new(whitening: Whitening, mm_per_row: f64) -> Self {
        Self {
            windows: windows(&whitening.settings, mm_per_row, whitening.patterns.len()),
            whitening,
            heard: Vec::new(),
            taught_distances: Vec::new(),
            starts: Vec::new(),
            least_rows: usize::MAX,
        }
    }

    /// Judges the raw features of the next block of `lane` by the cloth of the other folds. The
    /// blocks must be those of the first pass, in the same order.
    pub fn rehearse(&mut self, lane: usize, block: &Block) {
        let Some(window) = self.windows.get_mut(lane) else {
            return;
        };
        let n_folds = self.whitening.without.len();
        let whitener = &self.whitening.without[self.heard.len() % n_folds];
        let reference = window.reference(block, self.whitening.settings.smooth_cells);
        let (means, rows) = reference.own_means();
        self.least_rows = self.least_rows.min(rows);
        let pattern = &self.whitening.patterns[lane];
        let means = self.whitening.all.apply_to_means(&means);
        let starts = OTHER_WARPS.iter().filter_map(|by| {
            let moved = pattern.moved(*by);
            let fits = moved.fits(means.dim());
            let highest = |against: Against| against.distances.into_iter().fold(0.0, f32::max);
            let highest =
                fits.then(|| highest(moved.against(&means, &without_rims(&block.judged))))?;
            (highest > 0.0).then_some(highest)
        });
        self.starts.extend(starts);
        let mut distances = Array2::zeros((block.rows, block.cols));
        let mut taught = Vec::new();
        for patch in &block.patches {
            let (in_patch, in_block) = patch.columns(&block.judged);
            if in_patch.is_empty() {
                continue;
            }
            let relative = whitener.mean_squares(&reference.relative(block, patch));
            let width = in_block.len();
            for (offset, row) in relative.chunks_exact(width).enumerate() {
                for (col, distance) in in_block.clone().zip(row) {
                    distances[[patch.row + offset, col]] = *distance;
                }
            }
            let features = patch.features.view();
            let kept = features.slice(ndarray::s![
                ..,
                patch.kept.rows.clone(),
                in_patch.start..in_patch.end
            ]);
            let flat: Vec<f32> = kept
                .outer_iter()
                .zip(&whitener.mean)
                .flat_map(|(plane, mean)| plane.mapv(|value| value - mean).into_iter())
                .collect();
            let absolute = ArrayView2::from_shape((features.dim().0, relative.len()), &flat)
                .expect("one value per feature and cell");
            taught.extend(whitener.mean_squares(&absolute));
        }
        self.taught_distances
            .push(quantile(&mut taught, TAUGHT_QUANTILE));
        let is_known = reference.is_known.contains(&true);
        window.remember(block, reference, &[]);
        let rows = block.rows;
        self.heard.push(Heard {
            lane,
            block: Block {
                patches: Vec::new(),
                judged: block.judged.clone(),
                ..*block
            },
            distances: Grown {
                values: distances,
                above: 0,
                rows,
            },
            is_known,
        });
    }

    /// Ends the second pass. `block_m2` is the mean area of good cloth in a block, in m².
    pub fn finish(mut self, block_m2: f64, asked: FalseAlarms) -> Lesson {
        let (columns, usual_elsewhere) = usual_distances(&self.heard, self.windows.len());
        let usual: Vec<Usual> = columns
            .into_iter()
            .map(|columns| Usual {
                columns,
                elsewhere: usual_elsewhere,
            })
            .collect();
        let mut judgement = Judgement {
            threshold: 1.0,
            line_threshold: None,
            start: None,
            smooth_cells: SMOOTH_SCORE_CELLS,
            usual_elsewhere,
            left: Vec::new(),
            right: Vec::new(),
            mirror: Vec::new(),
            taught_scale: quantile(&mut self.taught_distances, 0.5),
        };
        let is_known: Vec<bool> = self.heard.iter().map(|heard| heard.is_known).collect();
        let mut maps: Vec<(Block, Array2<f32>)> = self
            .heard
            .into_iter()
            .map(|heard| {
                let usual = &usual[heard.lane];
                let map = even(&heard.distances, &heard.block, SMOOTH_SCORE_CELLS, usual);
                (heard.block, map)
            })
            .collect();
        let rims = Rims::of(&maps);
        judgement.left = rims.left;
        judgement.right = rims.right;
        judgement.mirror = rims.mirror;
        let highest_of = |map: &Array2<f32>| map.iter().copied().fold(0.0, f32::max);
        let n_blocks = maps.len();
        let n_known = is_known.iter().filter(|is_known| **is_known).count();
        let allowance = Allowance::of(asked, n_blocks, block_m2);
        let has_lines = n_known >= FEWEST_BLOCKS;
        let for_lines = if has_lines {
            LINE_PART * allowance.per_block()
        } else {
            0.0
        };
        let mut peaks = Peaks::default();
        let of_places: Vec<f32> = maps
            .iter_mut()
            .enumerate()
            .map(|(index, (block, map))| {
                relate_to_rims(map, block, &judgement);
                peaks.add_map(index, map.view());
                highest_of(map)
            })
            .collect();
        let places = Tail::fit(&peaks, n_blocks);
        let limit = Allowance::limit(&places, allowance.per_block() - for_lines);
        let threshold = limit.threshold;
        let mut limits = vec![limit];
        judgement.threshold = threshold;
        let mut line_peaks = Peaks::default();
        let lines: Vec<Option<f32>> = maps
            .iter()
            .zip(&is_known)
            .enumerate()
            .map(|(index, ((_, map), is_known))| {
                let lines = is_known.then(|| along_lines(&map.mapv(|place| place / threshold)))?;
                line_peaks.add_map(index, lines.view());
                Some(highest_of(&lines))
            })
            .collect();
        if has_lines {
            limits.push(Allowance::limit(
                &Tail::fit(&line_peaks, n_known),
                for_lines,
            ));
        }
        let line_threshold = limits.get(1).map(|limit| limit.threshold);
        judgement.line_threshold = line_threshold;
        judgement.start = (self.starts.len() >= FEWEST_BLOCKS).then(|| {
            let mut peaks = Peaks::default();
            for (index, score) in self.starts.iter().enumerate() {
                peaks.add(Peak {
                    score: *score,
                    block: index / OTHER_WARPS.len(),
                    row: index,
                    col: 0,
                });
            }
            let per_block = self.starts.len() as f64 / n_blocks as f64;
            let limit = Allowance::limit(
                &Tail::fit(&peaks, n_blocks),
                per_block * allowance.per_block(),
            );
            StartThreshold {
                threshold: limit.threshold,
                rows: self.least_rows,
            }
        });
        let evidence = allowance.evidence(&places, &limits);
        Lesson {
            whitener: self.whitening.all,
            patterns: self.whitening.patterns,
            highest: of_places
                .iter()
                .zip(lines)
                .map(|(place, line)| {
                    let line = line
                        .zip(line_threshold)
                        .map_or(0.0, |(line, most)| line / most);
                    (place / threshold).max(line)
                })
                .collect(),
            usual: usual.into_iter().map(|usual| usual.columns).collect(),
            judgement,
            evidence,
        }
    }
}

impl Whitener {
    /// Mean over features of the squares of whitened `features` `[k, cells]`, per cell.
    fn mean_squares<S>(&self, features: &ndarray::ArrayBase<S, ndarray::Ix2>) -> Vec<f32>
    where
        S: ndarray::Data<Elem = f32>,
    {
        let whitened = self.matrix.dot(features);
        let k = whitened.nrows() as f32;
        let mut sums = Array1::<f32>::zeros(whitened.ncols());
        for row in whitened.rows() {
            sums.zip_mut_with(&row, |sum, value| *sum += value * value);
        }
        sums.mapv(|sum| sum / k).to_vec()
    }
}

/// The usual distance per column of each lane's most common block width, and over all columns.
fn usual_distances(heard: &[Heard], n_lanes: usize) -> (Vec<Vec<f32>>, f32) {
    let mut medians: Vec<Vec<Vec<f32>>> = (0..n_lanes)
        .map(|lane| {
            let of_lane = heard.iter().filter(|heard| heard.lane == lane);
            vec![Vec::new(); most_common(of_lane.map(|heard| heard.block.cols))]
        })
        .collect();
    let mut all = Vec::new();
    for Heard {
        lane,
        block,
        distances,
        ..
    } in heard
    {
        let distances = distances.block();
        let of_lane = &mut medians[*lane];
        for col in block.judged.clone() {
            let mut column: Vec<f32> = distances.column(col).to_vec();
            let median = quantile(&mut column, 0.5);
            all.push(median);
            if block.cols == of_lane.len() {
                of_lane[col].push(median);
            }
        }
    }
    let elsewhere = quantile(&mut all, 0.5);
    let kernel = half_kernel(SMOOTH_USUAL_CELLS);
    let usual = medians.into_iter().map(|of_lane| {
        let usual: Vec<f32> = of_lane
            .into_iter()
            .map(|mut medians| {
                if medians.is_empty() {
                    elsewhere
                } else {
                    quantile(&mut medians, 0.5)
                }
            })
            .collect();
        let mut smooth = vec![0.0; usual.len()];
        smooth_into(
            &mut smooth,
            &usual,
            &kernel,
            Beyond::Nearest,
            &mut Vec::new(),
        );
        smooth
    });
    (usual.collect(), elsewhere)
}

/// How much larger scores are near rims, by distance from them.
struct Rims {
    left: Vec<f32>,
    right: Vec<f32>,
    mirror: Vec<f32>,
}

impl Rims {
    fn of(maps: &[(Block, Array2<f32>)]) -> Self {
        let mut inner = Sample::of(maps.iter().map(|(block, _)| n_inner(block)).sum());
        let mut left = vec![Vec::new(); RIM_CELLS];
        let mut right = vec![Vec::new(); RIM_CELLS];
        let mut mirror = vec![Vec::new(); RIM_CELLS];
        for (block, map) in maps {
            for ((row, col), score) in map.indexed_iter() {
                if !block.judged.contains(&col) {
                    continue;
                }
                let from_left = col - block.judged.start;
                let from_right = block.judged.end - 1 - col;
                let from_ends = row.min(block.rows - 1 - row);
                let is_inner_col = from_left.min(from_right) >= RIM_CELLS;
                match (is_inner_col, from_ends >= RIM_CELLS) {
                    (true, true) => inner.push(*score),
                    (true, false) => {
                        let rim = if row == from_ends {
                            block.above
                        } else {
                            block.below
                        };
                        if rim == Rim::Mirrored {
                            mirror[from_ends].push(*score);
                        }
                    }
                    (false, true) => {
                        let (rim, side, distance) = if from_left < RIM_CELLS {
                            (block.left, &mut left, from_left)
                        } else {
                            (block.right, &mut right, from_right)
                        };
                        match rim {
                            Rim::Joined => {}
                            Rim::Mirrored => mirror[distance].push(*score),
                            Rim::Ended => side[distance].push(*score),
                        }
                    }
                    (false, false) => {}
                }
            }
        }
        if inner.values.is_empty() {
            // Nothing to compare with: the pictures are all rim.
            return Self {
                left: Vec::new(),
                right: Vec::new(),
                mirror: Vec::new(),
            };
        }
        let base = quantile(&mut inner.values, RIM_QUANTILE).max(1e-6);
        let relative = |mut samples: Vec<Vec<f32>>| -> Vec<f32> {
            if samples.iter().any(Vec::is_empty) {
                return Vec::new();
            }
            samples
                .iter_mut()
                .map(|samples| (quantile(samples, RIM_QUANTILE) / base).max(1.0))
                .collect()
        };
        Self {
            left: relative(left),
            right: relative(right),
            mirror: relative(mirror),
        }
    }
}

/// Judged cells of a block that no rim touches.
fn n_inner(block: &Block) -> usize {
    let without_rims = |n: usize| n.saturating_sub(2 * RIM_CELLS);
    without_rims(block.rows) * without_rims(block.judged.len())
}

/// An even share of more values than are wanted, the same each time.
struct Sample {
    n_seen: u64,
    /// Values whose turn is below this are kept.
    share: u64,
    values: Vec<f32>,
}

impl Sample {
    /// A sample of `n_expected` values: all, or about [`MAX_INNER_SCORES`] of them.
    fn of(n_expected: usize) -> Self {
        Self {
            n_seen: 0,
            share: u64::MAX / n_expected.div_ceil(MAX_INNER_SCORES).max(1) as u64,
            values: Vec::with_capacity(n_expected.min(MAX_INNER_SCORES)),
        }
    }

    fn push(&mut self, value: f32) {
        // Multiples of the golden ratio, modulo one, are even over any stretch. Every n-th value
        // instead would be of the same columns where n divides the width.
        const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
        if self.n_seen.wrapping_mul(GOLDEN_RATIO) <= self.share {
            self.values.push(value);
        }
        self.n_seen += 1;
    }
}

fn most_common(values: impl Iterator<Item = usize>) -> usize {
    let mut counts = std::collections::BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0_usize) += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or(0, |(value, _)| value)
}

/// The `q`-quantile (0 to 1) of `values`, which are reordered; 0 when there are none.
fn quantile(values: &mut [f32], q: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let at = ((values.len() - 1) as f64 * q).round() as usize;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_scores_are_all_kept() {
        let mut sample = Sample::of(1000);
        (0..1000).for_each(|i| sample.push(i as f32));
        let all: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        assert_eq!(sample.values, all);
    }

    #[test]
    fn many_scores_are_thinned_evenly_over_columns() {
        let (rows, cols) = (20_000, 500);
        let mut per_column = vec![0_usize; cols];
        let mut sample = Sample::of(rows * cols);
        for _ in 0..rows {
            (0..cols).for_each(|col| sample.push(col as f32));
        }
        assert!(sample.values.len() <= MAX_INNER_SCORES + 100);
        assert!(sample.values.len() >= MAX_INNER_SCORES - 100);
        sample
            .values
            .iter()
            .for_each(|col| per_column[*col as usize] += 1);
        let expected = MAX_INNER_SCORES / cols;
        for (col, n) in per_column.iter().enumerate() {
            assert!(n.abs_diff(expected) < expected / 20, "column {col}: {n}");
        }
    }

    #[test]
    fn pictures_that_are_all_rim_are_compared_with_nothing() {
        let block = Block {
            rows: 2 * RIM_CELLS,
            cols: 40,
            judged: 0..40,
            above: Rim::Mirrored,
            below: Rim::Mirrored,
            left: Rim::Ended,
            right: Rim::Ended,
            continues: true,
            patches: Vec::new(),
        };
        let map = Array2::from_elem((block.rows, block.cols), 1.0);
        let rims = Rims::of(&[(block, map)]);
        assert!(rims.mirror.is_empty() && rims.left.is_empty() && rims.right.is_empty());
    }
}
