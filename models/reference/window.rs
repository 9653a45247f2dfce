//! A lane's past: what a column is held against, and what of a block is remembered.
//!
//! ```text
//! own sums ─▶ known by its past? ─▶ the past and the block itself
//!                └─▶ not: what it was before ─ the columns beside it ─ what was taught
//! block, scores ─▶ without what is not usual ─▶ the past of the blocks that follow
//! ```
//!
//! At a roll's start, and after a break, columns are held against the block itself, smoothed, but
//! for those that are far from what was taught. Memory is the window's: one row of sums per
//! block, and one row for what columns were.

use std::collections::VecDeque;

use ndarray::{Array2, ArrayView1};

use super::{Reference, Sums, UnusualCell, leave_out, smoothed_mean, sums, without_rims};
use crate::features::Block;
use crate::passport::StartThreshold;
use crate::pattern::Pattern;

/// A column is known by its own past where that is so many times as long as the block: what
/// begins in the block then hardly changes its own reference. Where a flaw has been running for
/// longer than the window, the column is held against what it was before; where it never was
/// known, against the columns beside it.
const KNOWN_BY_PAST: usize = 2;

/// Smoothing across columns that are known by their past, in cells: yarns wander a little.
const SMOOTH_KNOWN_CELLS: f32 = 0.7;

/// Share of the start threshold above which a flaw that is running goes on.
const GOES_ON_SHARE: f32 = 0.6;

/// A running flaw is gone where its column is as near to the columns beside it as this share of
/// the start threshold.
const GONE_SHARE: f32 = 0.4;

/// Columns to each side whose movement a column follows that cannot be learned from.
const FOLLOWED: usize = 32;

/// Share of unusual rows from which a flaw is taken to run through a column: its fainter rows
/// would teach it to the reference bit by bit.
const RUNNING_SHARE: f32 = 0.2;

/// The window of a lane's past.
pub(crate) struct Window {
    rows: usize,
    past: VecDeque<Sums>,
    /// What columns looked like when they were last known.
    last_known: Option<LastKnown>,
    /// What columns without a past are held against, and from when on.
    start: Option<(Pattern, StartThreshold)>,
    /// Columns that were far in the block before.
    was_far: Vec<bool>,
}

/// The reference of each column from before a flaw began to run in it.
struct LastKnown {
    /// `[k, cols]`.
    values: Array2<f32>,
    /// Columns that were ever known.
    has: Vec<bool>,
}

impl Window {
    /// A window that reaches `rows` rows of cells back beyond the block.
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            rows,
            past: VecDeque::new(),
            last_known: None,
            start: None,
            was_far: Vec::new(),
        }
    }

    /// Holds columns without a past against `pattern` where they are further from it than
    /// `threshold`.
    pub(crate) fn start_from(&mut self, pattern: Pattern, threshold: StartThreshold) {
        self.start = Some((pattern, threshold));
    }

    /// Blocks that are remembered.
    #[cfg(test)]
    pub(crate) fn n_blocks(&self) -> usize {
        self.past.len()
    }

    /// Forgets everything: another roll, or cloth that has nothing to do with what was seen.
    pub(crate) fn clear(&mut self) {
        self.past.clear();
        self.last_known = None;
        self.was_far.clear();
    }

    /// The reference of `block`, from itself and the window before it.
    pub(crate) fn reference(&self, block: &Block, smooth_cells: f32) -> Reference {
        let own = sums(block);
        let mut total = own.clone();
        let mut past_rows = 0;
        if block.continues {
            for past in &self.past {
                if past.values.dim() == total.values.dim() {
                    past_rows += past.rows;
                    total.values += &past.values;
                    for (count, more) in total.counts.iter_mut().zip(&past.counts) {
                        *count += more;
                    }
                }
            }
        }
        let is_known = past_rows >= KNOWN_BY_PAST * block.rows;
        let judged = &block.judged;
        if !is_known {
            let mut values = smoothed_mean(&total, judged, smooth_cells);
            let far = self.begin(&own, block, &mut values);
            return Reference {
                values,
                own,
                is_known: far.iter().map(|far| *far > 0.0).collect(),
                far,
            };
        }
        let is_new: Vec<bool> = total
            .counts
            .iter()
            .zip(&own.counts)
            .map(|(all, own)| *all < (1 + KNOWN_BY_PAST) as f32 * own)
            .collect();
        total.forget(&is_new);
        let mut values = smoothed_mean(&total, judged, SMOOTH_KNOWN_CELLS);
        let mut is_known: Vec<bool> = is_new.iter().map(|is_new| !is_new).collect();
        let mut far = vec![0.0; block.cols];
        if is_new.contains(&true) {
            let inner = without_rims(judged);
            let neighbours = smoothed_mean(&total, judged, smooth_cells);
            for (col, _) in is_new.iter().enumerate().filter(|(_, is_new)| **is_new) {
                let last = self.last_known.as_ref();
                let last = last.filter(|last| last.fits(&values, col));
                let from_beside = self.starts_away(&own, col, &neighbours);
                let from_last = last.map(|last| self.starts_away(&own, col, &last.values));
                if inner.contains(&col) && from_beside > GONE_SHARE {
                    let away = from_last.unwrap_or(from_beside);
                    far[col] = if away > 1.0 { away } else { 0.0 };
                }
                // Cloth wanders: what a column was long ago may be further from what it is now,
                // the flaw gone, than the columns beside it are.
                let last = last.filter(|last| {
                    own.distance(col, last.values.column(col))
                        <= own.distance(col, neighbours.column(col))
                });
                let from = last.map_or(&neighbours, |last| &last.values);
                is_known[col] = last.is_some() || far[col] > 0.0;
                values.column_mut(col).assign(&from.column(col));
            }
        }
        Reference {
            values,
            own,
            is_known,
            far,
        }
    }

    /// Gives the columns of a block without a past that are far from the pattern the reference
    /// that they should have; tells which they are.
    fn begin(&self, own: &Sums, block: &Block, values: &mut Array2<f32>) -> Vec<f32> {
        let mut far = vec![0.0; own.counts.len()];
        let start = self.start.as_ref();
        let Some((pattern, threshold)) = start.filter(|(pattern, _)| pattern.fits(values.dim()))
        else {
            return far;
        };
        let against = pattern.against(&own.means(), &without_rims(&block.judged), block.ended());
        let threshold = threshold.for_rows(own.rows);
        for (col, distance) in against.distances.iter().enumerate() {
            let away = self.away(col, *distance, threshold);
            if away > 1.0 {
                far[col] = away;
                values.column_mut(col).assign(&against.expected.column(col));
            }
        }
        far
    }

    /// How often `threshold` a distance is; what goes on needs less of it than what begins.
    fn away(&self, col: usize, distance: f32, threshold: f32) -> f32 {
        let is_going_on = self.was_far.get(col).is_some_and(|was_far| *was_far);
        let share = if is_going_on { GOES_ON_SHARE } else { 1.0 };
        distance / (share * threshold)
    }

    /// How often the start threshold a column is from `reference`; zero where there is none.
    fn starts_away(&self, own: &Sums, col: usize, reference: &Array2<f32>) -> f32 {
        let Some((_, threshold)) = &self.start else {
            return 0.0;
        };
        let distance = own.distance(col, reference.column(col)) / reference.nrows() as f32;
        self.away(col, distance, threshold.for_rows(own.rows))
    }

    /// Remembers a block for those that follow, without its `unusual` cells; a column in which
    /// they run on is left out whole. Of a block without patches there is nothing to remember.
    pub(crate) fn remember(
        &mut self,
        block: &Block,
        reference: Reference,
        unusual: &[UnusualCell],
    ) {
        if !block.continues {
            self.clear();
        }
        if block.patches.is_empty() {
            return;
        }
        self.keep_known(&reference);
        self.was_far = reference.far.iter().map(|far| *far > 0.0).collect();
        let mut own = reference.own;
        if !unusual.is_empty() {
            let mut n_running = vec![0_usize; block.cols];
            let mut has_flag = vec![false; block.cols];
            // A column that is not known yet and merely odd, such as a dying sensor's, must get
            // to be known; one that is flagged must not.
            let runs = |cell: &&UnusualCell| cell.is_flagged || reference.is_known[cell.col];
            for cell in unusual.iter().filter(runs) {
                n_running[cell.col] += 1;
                has_flag[cell.col] |= cell.is_flagged;
            }
            // What is merely odd and nowhere a flaw is cloth that is learned anew; else it would
            // be held against what it was for ever.
            let is_running: Vec<bool> = n_running
                .iter()
                .zip(&has_flag)
                .map(|(n, has_flag)| *has_flag && *n as f32 > RUNNING_SHARE * block.rows as f32)
                .collect();
            for patch in &block.patches {
                leave_out(patch, &block.judged, &mut own, (unusual, &is_running));
            }
            own.forget(&is_running);
        }
        self.past.push_front(own);
        let (mut rows, mut n) = (0, 0);
        let within = self
            .past
            .iter()
            .take_while(|past| {
                let starts_within = rows < self.rows;
                rows += past.rows;
                n += 1;
                starts_within || n <= KNOWN_BY_PAST
            })
            .count();
        self.past.truncate(within);
    }
}

impl Window {
    fn keep_known(&mut self, reference: &Reference) {
        if !reference.is_known.contains(&true) {
            return;
        }
        let fits = |last: &LastKnown| last.values.dim() == reference.values.dim();
        let last = match self.last_known.take().filter(fits) {
            Some(mut last) => {
                last.follow(reference);
                last.take_over(reference);
                last
            }
            None => LastKnown {
                values: reference.values.clone(),
                has: reference.is_known.clone(),
            },
        };
        self.last_known = Some(last);
    }
}

impl LastKnown {
    fn fits(&self, values: &Array2<f32>, col: usize) -> bool {
        self.values.dim() == values.dim() && self.has[col]
    }
}

impl LastKnown {
    /// Takes over the columns that are known.
    fn take_over(&mut self, reference: &Reference) {
        let rows = self.values.outer_iter_mut();
        for (mut last, now) in rows.zip(reference.values.outer_iter()) {
            for ((last, now), is_known) in last.iter_mut().zip(now).zip(&reference.is_known) {
                *last = if *is_known { *now } else { *last };
            }
        }
        for (has, is_known) in self.has.iter_mut().zip(&reference.is_known) {
            *has |= is_known;
        }
    }

    /// Moves what columns were when they were last known by as much as those around them moved
    /// since the block before: lamps drift and cloth wanders while a flaw runs.
    fn follow(&mut self, reference: &Reference) {
        let cols = self.has.len();
        let is_beside = |col: &usize| self.has[*col] && reference.is_known[*col];
        let frozen = (0..cols).filter(|col| self.has[*col] && !reference.is_known[*col]);
        let moves: Vec<(usize, Vec<f32>)> = frozen
            .filter_map(|col| {
                let around = col.saturating_sub(FOLLOWED)..(col + FOLLOWED + 1).min(cols);
                let around: Vec<usize> = around.filter(is_beside).collect();
                let rows = reference.values.rows().into_iter().zip(self.values.rows());
                let moved = rows.map(|(now, before)| {
                    let sum: f32 = around.iter().map(|col| now[*col] - before[*col]).sum();
                    sum / around.len() as f32
                });
                (!around.is_empty()).then(|| (col, moved.collect()))
            })
            .collect();
        for (col, moved) in moves {
            let mut column = self.values.column_mut(col);
            column.zip_mut_with(&ArrayView1::from(&moved), |value, by| *value += by);
        }
    }
}
