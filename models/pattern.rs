//! What tells a camera's columns from those around them, learned from good cloth.
//!
//! ```text
//! mean of each column, whitened ─▶ − mean of the columns around ─▶ Pattern ─▶ 8 bit, in hex
//! own means of a roll's first blocks ─▶ − Pattern ─▶ median around = today's level
//!                                         └─▶ Pattern + level = what a column should look like
//! ```
//!
//! At a roll's start no column has a past. A warp line that is there from the first millimetre
//! would be its own reference; against this pattern it stands out. Light and cloth of today
//! enter as a level that is smooth across columns, so that a lamp that drifted or a darker lot
//! does not flag everything. The pattern lies in the ONNX file's metadata under [`PATTERN_KEY`],
//! one byte per feature and column: its steps are below a twentieth of what good cloth varies.

use std::ops::Range;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::passport::Passport;
use crate::quantile::quantile;

/// Metadata key of the patterns, one per lane.
pub(crate) const PATTERN_KEY: &str = "selvedge.columns";

/// Columns to each side that count as being around one. A flaw of up to as many cells, 25 mm at
/// 0.2 mm per pixel, does not become today's level.
const AROUND: usize = 32;
/// Columns from one place where the level is found to the next; between them it is straight.
const LEVEL_STEP: usize = 32;
/// Fewest columns from which a level can be told.
const FEWEST_AROUND: usize = 8;
/// Columns to each side that a feature sees well.
const SEEN_BESIDE: usize = 2;
/// Columns beyond the rim in which what stands out belongs to the cloth's edge, which wanders: with
/// the rim 32 mm at 0.2 mm per pixel.
const EDGE_COLUMNS: usize = 32;
/// Columns by which a cloth's edge may lie elsewhere than it was taught.
const WANDER: usize = 8;
/// Largest level of a byte.
const MOST: f32 = 127.0;

/// What each column of cells shows beyond what the columns around it show.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// `[k, cols]`.
    values: Array2<f32>,
    is_known: Vec<bool>,
}

/// A block's columns held against a pattern.
pub(crate) struct Against {
    /// What they should look like, `[k, cols]`.
    pub(crate) expected: Array2<f32>,
    /// Mean squared difference of each column's mean from that; zero where nothing is known.
    pub(crate) distances: Vec<f32>,
}

impl Pattern {
    /// The pattern of whitened column means `[k, cols]`, where they are known.
    pub(crate) fn of(means: &Array2<f32>, is_known: Vec<bool>) -> Self {
        let mut values = Array2::zeros(means.dim());
        let is_in = |col: &usize| is_known[*col];
        for (from, mut to) in means.rows().into_iter().zip(values.rows_mut()) {
            for col in (0..from.len()).filter(is_in) {
                let around = around(col, from.len()).filter(is_in);
                let (sum, n) = around.fold((0.0, 0.0), |(sum, n), col| (sum + from[col], n + 1.0));
                to[col] = from[col] - sum / n;
            }
        }
        Self { values, is_known }
    }

    /// Whether it speaks of blocks of `k` features and `cols` columns.
    pub(crate) fn fits(&self, (k, cols): (usize, usize)) -> bool {
        self.values.dim() == (k, cols)
    }

    /// Holds whitened column means against the pattern. Only columns in `judged` are looked at.
    /// Where the cloth has `ended`, left and right, what stands out near that end is no column's.
    pub(crate) fn against(
        &self,
        means: &Array2<f32>,
        judged: &Range<usize>,
        ended: [bool; 2],
    ) -> Against {
        let beyond = means - &self.values;
        let mut expected = self.values.clone();
        let is_in = |col: &usize| judged.contains(col) && self.is_known[*col];
        let knots: Vec<(usize, Vec<usize>)> = judged
            .clone()
            .step_by(LEVEL_STEP)
            .chain(judged.clone().last())
            .map(|at| (at, around(at, means.ncols()).filter(is_in).collect()))
            .filter(|(_, around): &(usize, Vec<usize>)| around.len() >= FEWEST_AROUND)
            .collect();
        let mut distances = vec![0.0; means.ncols()];
        if knots.is_empty() {
            return Against {
                expected,
                distances,
            };
        }
        let mut sample = Vec::with_capacity(2 * AROUND + 1);
        for (k, from) in beyond.rows().into_iter().enumerate() {
            let levels: Vec<f32> = knots
                .iter()
                .map(|(_, around)| {
                    sample.clear();
                    sample.extend(around.iter().map(|col| from[*col]));
                    let middle = sample.len() / 2;
                    *sample.select_nth_unstable_by(middle, f32::total_cmp).1
                })
                .collect();
            let mut next = 0;
            for col in judged.clone() {
                while next < knots.len() && knots[next].0 < col {
                    next += 1;
                }
                let level = match (next.checked_sub(1), knots.get(next)) {
                    (Some(before), Some((at, _))) => {
                        let from = knots[before].0;
                        let part = (col - from) as f32 / (at - from) as f32;
                        levels[before] + (levels[next] - levels[before]) * part
                    }
                    (None, _) => levels[0],
                    (Some(before), None) => levels[before],
                };
                expected[[k, col]] += level;
                let difference = means[[k, col]] - expected[[k, col]];
                distances[col] += difference * difference;
            }
        }
        let n_features = means.nrows() as f32;
        let edge = EDGE_COLUMNS.min(judged.len() / 2);
        let [left, right] = ended.map(|ended| if ended { edge } else { 0 });
        let inner = judged.start + left..judged.end - right;
        let strange = self.strange();
        let is_edge = |col: usize| {
            let wander = col.saturating_sub(WANDER)..(col + WANDER + 1).min(strange.len());
            !inner.contains(&col) && strange[wander].contains(&true)
        };
        for (col, distance) in distances.iter_mut().enumerate() {
            *distance = if is_in(&col) && !is_edge(col) {
                *distance / n_features
            } else {
                0.0
            };
        }
        Against {
            expected,
            distances,
        }
    }

    /// The pattern `by` columns further left, as if another warp lay under the camera. Columns
    /// that stand out from the others are not known there, nor are those that one comes to.
    pub(crate) fn moved(&self, by: isize) -> Self {
        let cols = self.values.ncols();
        let strange = self.strange();
        let from = |col: usize| {
            let from = col.checked_add_signed(by).filter(|from| *from < cols)?;
            (self.is_known[from] && !strange[from] && !strange[col]).then_some(from)
        };
        Self {
            values: Array2::from_shape_fn(self.values.dim(), |(k, col)| {
                from(col).map_or(0.0, |from| self.values[[k, from]])
            }),
            is_known: (0..cols).map(|col| from(col).is_some()).collect(),
        }
    }

    /// Columns whose own pattern is far beyond that of most, the camera's and not the cloth's, and
    /// those that the network sees together with one.
    fn strange(&self) -> Vec<bool> {
        let squares: Vec<f32> = self
            .values
            .columns()
            .into_iter()
            .map(|column| column.iter().map(|value| value * value).sum())
            .collect();
        let known: Vec<f32> = squares
            .iter()
            .zip(&self.is_known)
            .filter_map(|(square, is_known)| is_known.then_some(*square))
            .collect();
        // Narrow cloth may be a tenth selvedges.
        let edge = EDGE_COLUMNS.min(known.len() / 3);
        let mut inner = known[edge..known.len() - edge].to_vec();
        if inner.is_empty() {
            return vec![false; squares.len()];
        }
        let limit = 3.0 * quantile(&mut inner, 0.9);
        let sees = |col: usize| col.saturating_sub(SEEN_BESIDE)..=col + SEEN_BESIDE;
        let is_over = |col: usize| squares.get(col).is_some_and(|square| *square > limit);
        (0..squares.len())
            .map(|col| sees(col).any(is_over))
            .collect()
    }
}

/// Columns around `col` of `cols`, itself among them.
fn around(col: usize, cols: usize) -> Range<usize> {
    col.saturating_sub(AROUND)..(col + AROUND + 1).min(cols)
}

/// A pattern as it lies in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPattern {
    /// Ranges of columns that are known, half-open, in order.
    known: Vec<[usize; 2]>,
    /// What one level of each feature stands for.
    steps: Vec<f32>,
    /// One signed byte per feature and column, feature by feature, in hex.
    levels: String,
}

impl StoredPattern {
    fn of(pattern: &Pattern) -> Self {
        let (mut steps, mut levels) = (Vec::new(), String::new());
        for row in pattern.values.rows() {
            let most = row
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()));
            let step = most / MOST;
            for value in row {
                let level = if step > 0.0 { value / step } else { 0.0 };
                let byte = (level.round() as i8).to_ne_bytes()[0];
                levels.extend([byte >> 4, byte & 15].map(hex_digit));
            }
            steps.push(step);
        }
        let mut known: Vec<[usize; 2]> = Vec::new();
        for (col, _) in pattern.is_known.iter().enumerate().filter(|(_, is)| **is) {
            match known.last_mut() {
                Some(last) if last[1] == col => last[1] += 1,
                _ => known.push([col, col + 1]),
            }
        }
        Self {
            known,
            steps,
            levels,
        }
    }

    /// The pattern, for `k` features and `cols` columns; else what was found and expected.
    fn read(&self, k: usize, cols: usize) -> Result<Pattern, String> {
        if self.steps.len() != k {
            return Err(format!("found {} steps, expected {k}", self.steps.len()));
        }
        let is_step = |step: &f32| step.is_finite() && *step >= 0.0 && (step * MOST).is_finite();
        if let Some(step) = self.steps.iter().find(|step| !is_step(step)) {
            return Err(format!("found a step of {step}, expected 0 or more"));
        }
        // A lane that gave no cloth has no columns.
        let is_empty = self.levels.is_empty() && self.known.is_empty();
        let cols = if is_empty { 0 } else { cols };
        let n_digits = 2 * k * cols;
        if self.levels.len() != n_digits || !self.levels.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(format!(
                "found {} characters of levels, expected {n_digits} hex digits",
                self.levels.len()
            ));
        }
        let mut is_known = vec![false; cols];
        let mut end = 0;
        for [from, to] in &self.known {
            if *from < end || to <= from || *to > cols {
                return Err(format!(
                    "found known columns {from}..{to}, expected some of {cols}, in order"
                ));
            }
            is_known[*from..*to].fill(true);
            end = *to;
        }
        let digit = |c: u8| char::from(c).to_digit(16).unwrap_or(0) as u8;
        let bytes = self.levels.as_bytes().chunks_exact(2);
        let values = bytes.enumerate().map(|(at, pair)| {
            let level = i8::from_ne_bytes([digit(pair[0]) << 4 | digit(pair[1])]);
            f32::from(level) * self.steps[at / cols.max(1)]
        });
        let values = Array2::from_shape_vec((k, cols), values.collect())
            .map_err(|error| error.to_string())?;
        Ok(Pattern { values, is_known })
    }
}

/// What an article file holds of its lanes' columns as JSON, to be kept under `selvedge.columns`.
///
/// # Errors
/// None that can be foreseen: numbers and hex digits have a JSON form.
pub fn stored_patterns(patterns: &[Pattern]) -> serde_json::Result<String> {
    let stored: Vec<StoredPattern> = patterns.iter().map(StoredPattern::of).collect();
    serde_json::to_string(&stored)
}

/// The patterns of the passport's lanes, as many as there are; else what was found and expected.
pub(crate) fn read_patterns(json: &str, passport: &Passport) -> Result<Vec<Pattern>, String> {
    let stored: Vec<StoredPattern> =
        serde_json::from_str(json).map_err(|error| error.to_string())?;
    if stored.len() > passport.lanes.len() {
        return Err(format!(
            "found {} of them, expected at most {}, one per lane",
            stored.len(),
            passport.lanes.len()
        ));
    }
    stored
        .iter()
        .zip(&passport.lanes)
        .enumerate()
        .map(|(lane, (stored, columns))| {
            let pattern = stored.read(passport.backbone.n_features, columns.n_cells());
            pattern.map_err(|reason| format!("lane {lane}: {reason}"))
        })
        .collect()
}

fn hex_digit(value: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Means of 4 features that differ from column to column, on a slope.
    fn means(cols: usize) -> Array2<f32> {
        Array2::from_shape_fn((4, cols), |(k, col)| {
            ((col * 7 + k * 3) % 5) as f32 * 0.2 + col as f32 * 0.01
        })
    }

    #[test]
    fn a_selvedge_that_wandered_is_not_far_and_a_column_within_is() {
        // A dense selvedge of 20 columns beside cloth of which no column differs.
        let cloth = |edge: usize| {
            Array2::from_shape_fn((4, 200), |(k, col)| {
                let texture = ((col * 7 + k * 3) % 5) as f32 * 0.02;
                if (edge..edge + 20).contains(&col) {
                    texture + 3.0
                } else {
                    texture
                }
            })
        };
        let pattern = Pattern::of(&cloth(0), vec![true; 200]);
        let mut today = cloth(3);
        let highest = |today: &Array2<f32>| {
            let distances = pattern.against(today, &(3..200), [true; 2]).distances;
            let at = (0..200)
                .max_by(|a, b| distances[*a].total_cmp(&distances[*b]))
                .unwrap();
            (at, distances[at])
        };
        assert!(highest(&today).1 < 0.5, "{:?}", highest(&today));
        for col in [90, 195] {
            today.column_mut(col).mapv_inplace(|value| value + 3.0);
            assert_eq!(highest(&today).0, col);
            assert!(highest(&today).1 > 5.0, "{:?}", highest(&today));
            today.column_mut(col).mapv_inplace(|value| value - 3.0);
        }
    }

    #[test]
    fn a_pattern_is_read_back_to_half_a_step_and_its_known_columns_exactly() {
        let is_known: Vec<bool> = (0..100).map(|col| col % 10 != 3).collect();
        let pattern = Pattern::of(&means(100), is_known.clone());
        let read = StoredPattern::of(&pattern).read(4, 100).unwrap();
        assert_eq!(read.is_known, is_known);
        let most = pattern
            .values
            .iter()
            .fold(0.0_f32, |most, v| most.max(v.abs()));
        for (found, expected) in read.values.iter().zip(&pattern.values) {
            assert!(
                (found - expected).abs() <= 0.51 * most / MOST,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn another_lamp_and_a_darker_lot_are_no_distance() {
        let pattern = Pattern::of(&means(200), vec![true; 200]);
        let mut today = means(200);
        for ((_, col), value) in today.indexed_iter_mut() {
            *value += 3.0 - 0.02 * col as f32;
        }
        today.column_mut(90).mapv_inplace(|value| value + 2.0);
        let against = pattern.against(&today, &(0..200), [false; 2]);
        for (col, distance) in against.distances.iter().enumerate() {
            assert_eq!(*distance > 1.0, col == 90, "column {col}: {distance}");
        }
    }

    #[test]
    fn what_a_file_claims_of_columns_is_checked() {
        let stored = || StoredPattern::of(&Pattern::of(&means(20), vec![true; 20]));
        assert!(stored().read(4, 20).is_ok());
        let refused = |change: fn(&mut StoredPattern)| {
            let mut stored = stored();
            change(&mut stored);
            stored.read(4, 20).unwrap_err()
        };
        assert!(stored().read(5, 20).unwrap_err().contains("expected 5"));
        assert!(stored().read(4, 21).unwrap_err().contains("168 hex digits"));
        assert!(refused(|s| s.steps[1] = f32::INFINITY).contains("a step of inf"));
        assert!(refused(|s| s.steps[1] = f32::MAX).contains("a step of"));
        assert!(refused(|s| s.steps[1] = -1.0).contains("a step of -1"));
        assert!(refused(|s| s.levels.replace_range(0..1, "g")).contains("hex digits"));
        assert!(refused(|s| s.known = vec![[0, 21]]).contains("0..21"));
        assert!(refused(|s| s.known = vec![[5, 5]]).contains("5..5"));
        assert!(refused(|s| s.known = vec![[4, 8], [7, 9]]).contains("7..9"));
    }

    #[test]
    fn a_lane_without_cloth_has_a_pattern_that_fits_nothing() {
        let none = Pattern::of(&Array2::zeros((4, 0)), Vec::new());
        assert!(!none.fits((4, 20)));
        assert_eq!(StoredPattern::of(&none).read(4, 20), Ok(none));
        let moved = Pattern::of(&means(20), vec![false; 20]).moved(7);
        let against = moved.against(&means(20), &(0..20), [false; 2]);
        assert!(against.distances.iter().all(|distance| *distance == 0.0));
    }
}
