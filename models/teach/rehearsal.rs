//! The second pass: what scores good cloth gets from a model that did not see it.
//!
//! ```text
//! block ─▶ distances by the other folds ─▶ some are kept ─▶ usual distances, rims   (settled)
//!                                       └▶ map, once these are known ─▶ peaks ─▶ thresholds
//! ```
//!
//! As long as all blocks are kept, one pass does it. Of more cloth an even choice is kept, from
//! which usual distances and rims are found; peaks are then taken from all of it, in another
//! pass. Memory is flat but for a few numbers per block.

use ndarray::{Array1, Array2, ArrayView2};

use super::FEWEST_BLOCKS;
use super::kinds::two_kinds;
use super::memory::{Memory, Rehearsed, Spots};
use super::outliers::{Outlier, Summary, outliers, too_many};
use super::spread::{Whitener, Whitening, windows};
use super::usual::{Chosen, Medians, usual_distances};
use crate::ModelError;
use crate::columns::Usual;
use crate::features::Block;
use crate::judge::{along_lines, even, relate_to_rims, spot_map, spot_score};
use crate::level;
use crate::likeness::{Character, Likeness};
use crate::passport::{Evidence, Judgement, Spot, StartThreshold};
use crate::pattern::{Against, Pattern};
use crate::quantile::quantile;
use crate::reference::{Grown, Reference, Window, without_rims};
use crate::spots::SIGMAS_PX;
use crate::threshold::{Allowance, FalseAlarms, Peak, Peaks, Tail};

/// Standard deviation of the score's smoothing, in cells. Wide enough for faint areas: what is
/// small is found as a spot.
const SMOOTH_SCORE_CELLS: f32 = 1.5;
/// Quantile of scores by which rims are compared with the rest.
const RIM_QUANTILE: f64 = 0.98;
/// The same for spots, whose squares have a longer tail than distances.
const SPOT_RIM_QUANTILE: f64 = 0.995;
/// Quantile of distances from the taught reference alone that the file's output calls 1.0.
const TAUGHT_QUANTILE: f64 = 0.999;
/// Quantile of a block's scores by which it is told from blocks of other cloth.
const USUAL_QUANTILE: f64 = 0.9;
/// Part of the false alarms that may be faint lines.
const LINE_PART: f64 = 0.3;
/// Part of the false alarms that may be each kind of spot; the rest may be places.
const SPOT_PART: f64 = 0.2;
/// Share of the alarms of a block that a roll's start may give: what is taken for a running flaw
/// there stays one for long.
const START_PART: f64 = 0.1;
/// Alarms per block of the threshold at which places are cut off for lines before the real one is
/// known.
const FOR_LINES: f64 = 0.05;

/// By how many columns a lane's pattern is moved to stand for other warps under the same camera.
/// Only one warp is taught, and it would look better known than the next one is. Primes, so that
/// no repeat of yarns against cells comes back.
const OTHER_WARPS: [isize; 6] = [-41, -19, -7, 7, 19, 41];

/// The second pass over good cloth.
pub struct Rehearsal {
    whitening: Whitening,
    mm_per_row: f64,
    /// One per lane.
    windows: Vec<Window>,
    /// Blocks that came in this pass.
    n_heard: usize,
    /// Per lane, those of the first pass that are kept.
    kept: Vec<Chosen<Heard>>,
    /// What was rehearsed before, and what is added to it.
    rehearsed: Rehearsed,
    /// Lanes and blocks of this teaching that the last of its characters are of.
    looked_at: Vec<(usize, usize)>,
    settled: Option<Settled>,
}

/// One block's distances, before anything is usual.
struct Heard {
    /// Its number, the blocks that were taught before counted.
    number: usize,
    lane: usize,
    /// The block, without its features.
    block: Block,
    distances: Grown,
    /// Median distance.
    median: f32,
    /// How much each kind of spot stands out, by the filters of the other folds.
    spots: Vec<Array2<f32>>,
    /// Whether its columns were known by their past.
    is_known: bool,
}

/// What is known once a choice of blocks was heard.
struct Settled {
    /// One per lane.
    usual: Vec<Usual>,
    /// Complete but for thresholds.
    judgement: Judgement,
    /// Score at which places are cut off for lines.
    cut_off: f32,
    /// In the order in which they were measured.
    measured: Vec<Measured>,
}

/// A block's scores, before the thresholds.
struct Measured {
    summary: Summary,
    /// The same for each kind of spot.
    spots: Vec<Summary>,
    /// Highest score as a line, where its columns were known.
    line: Option<f32>,
}

/// What was learned from good cloth.
pub struct Lesson {
    /// Goes into the network.
    pub whitener: Whitener,
    /// Goes beside the passport: what tells the columns of each lane apart.
    pub patterns: Vec<Pattern>,
    /// Go into the network: what finds spots, `[side, side]` each.
    pub filters: Vec<Array2<f32>>,
    /// Goes into the passport: per lane, the usual distance of each column of cells.
    pub usual: Vec<Vec<f32>>,
    /// Goes into the passport.
    pub judgement: Judgement,
    /// Goes into the passport.
    pub evidence: Evidence,
    /// Goes into the passport: what tells this cloth from other cloth.
    pub likeness: Option<Likeness>,
    /// Highest score of each block, 1.0 = threshold, judged without itself; in order.
    pub highest: Vec<f32>,
    /// What teaching can be continued from.
    pub memory: Memory,
}

impl Rehearsal {
    /// Starts the second pass; `mm_per_row` as for [`crate::Judge`].
    pub fn new(mut whitening: Whitening, mm_per_row: f64) -> Self {
        let n_lanes = whitening.patterns.len();
        let mut rehearsed = whitening.past.take().unwrap_or_default();
        rehearsed.medians.resize_with(n_lanes, Vec::new);
        let n_spots = whitening.filters.len();
        rehearsed.spots.resize_with(n_spots, Spots::default);
        Self {
            windows: windows(&whitening.settings, mm_per_row, n_lanes),
            whitening,
            mm_per_row,
            n_heard: 0,
            kept: (0..n_lanes).map(|_| Chosen::default()).collect(),
            rehearsed,
            looked_at: Vec::new(),
            settled: None,
        }
    }

    /// Judges the raw features of the next block of `lane` by the cloth of the other folds. The
    /// blocks must be those of the first pass, in the same order; once more when
    /// [`Rehearsal::wants_again`].
    pub fn rehearse(&mut self, lane: usize, block: &Block) {
        let Some(window) = self.windows.get_mut(lane) else {
            return;
        };
        let settings = &self.whitening.settings;
        let reference = window.reference(block, settings.smooth_cells);
        let heard = self.hear(lane, block, &reference);
        self.windows[lane].remember(block, reference, &[]);
        self.n_heard += 1;
        match &mut self.settled {
            None => self.kept[lane].offer(|| heard),
            Some(settled) => {
                self.kept.clear();
                settled.measure(&heard, &mut self.rehearsed);
            }
        }
    }

    /// Ends a pass: whether [`Rehearsal::rehearse`] wants to see all blocks once more, because not
    /// all could be kept. Without that, what follows rests on an even choice of them.
    pub fn wants_again(&mut self) -> bool {
        if self.settled.is_some() {
            return false;
        }
        let is_whole = self.kept.iter().all(Chosen::is_whole);
        self.settle();
        if !is_whole {
            self.n_heard = 0;
            let settings = &self.whitening.settings;
            self.windows = windows(settings, self.mm_per_row, self.windows.len());
        }
        !is_whole
    }

    /// Blocks of two kinds of cloth that are another article's to each other, in one lane and a quarter
    /// of its blocks at least of each, counted as by [`Outlier::block`]; `None` where the cloth of each
    /// lane is of one kind. Lanes are not held against each other: cameras differ.
    pub fn two_kinds(&self) -> Option<[Vec<usize>; 2]> {
        let characters = &self.rehearsed.characters;
        let first = characters.len() - self.looked_at.len();
        let looked_at = self.looked_at.iter().zip(&characters[first..]);
        (0..self.windows.len()).find_map(|lane| {
            let of_lane = looked_at.clone().filter(|((of, _), _)| *of == lane);
            let (blocks, characters): (Vec<usize>, Vec<Character>) = of_lane
                .map(|((_, block), character)| (*block, character.clone()))
                .unzip();
            let kinds = two_kinds(&characters)?;
            Some(kinds.map(|kind| kind.into_iter().map(|at| blocks[at]).collect()))
        })
    }

    /// Blocks that are not like the others, and had better not be learned from.
    ///
    /// # Errors
    /// [`ModelError::NotGoodCloth`] when they are too many.
    pub fn outliers(&mut self) -> Result<Vec<Outlier>, ModelError> {
        let first = self.first();
        let settled = self.measured();
        let n_spots = settled.judgement.spots.len();
        let summaries = |of: &dyn Fn(&Measured) -> Summary| -> Vec<Summary> {
            settled.measured.iter().map(of).collect()
        };
        let of_places = summaries(&|measured| measured.summary);
        let of_spots: Vec<_> = (0..n_spots)
            .map(|n| summaries(&|measured| measured.spots[n]))
            .collect();
        let mut found = outliers(&of_places, first, &self.rehearsed.places)?;
        for (summaries, spots) in of_spots.iter().zip(&self.rehearsed.spots) {
            found.extend(outliers(summaries, first, &spots.peaks)?);
        }
        found.sort_by(|a, b| a.block.cmp(&b.block).then(b.times.total_cmp(&a.times)));
        found.dedup_by_key(|outlier| outlier.block);
        too_many(found.len(), of_places.len())?;
        found.iter_mut().for_each(|outlier| outlier.block -= first);
        Ok(found)
    }

    /// Ends the second pass. `block_m2` is the mean area of good cloth in a block, in m².
    pub fn finish(mut self, block_m2: f64, asked: FalseAlarms) -> Lesson {
        self.measured();
        let Some(settled) = self.settled.take() else {
            unreachable!("measuring settles first")
        };
        let mut rehearsed = self.rehearsed;
        let n_blocks = rehearsed.n_blocks;
        let mut judgement = settled.judgement;
        let allowance = Allowance::of(asked, n_blocks, block_m2);
        let has_lines = rehearsed.n_known >= FEWEST_BLOCKS;
        let for_lines = if has_lines { LINE_PART } else { 0.0 } * allowance.per_block();
        let tail = Tail::fit(&rehearsed.places, n_blocks);
        let n_spots = judgement.spots.len() as f64;
        let for_spot = SPOT_PART * allowance.per_block();
        let for_places = allowance.per_block() - for_lines - n_spots * for_spot;
        let places = Allowance::limit(&tail, for_places);
        judgement.threshold = places.threshold;
        let mut limits = vec![places];
        if has_lines {
            let tail = Tail::fit(&rehearsed.lines, rehearsed.n_known);
            limits.push(Allowance::limit(&tail, for_lines));
        }
        // Lines are told as a share of the threshold for places.
        let line_threshold = limits.get(1).map(|limit| limit.threshold);
        judgement.line_threshold =
            line_threshold.map(|threshold| (threshold / places.threshold).max(f32::MIN_POSITIVE));
        for (spot, spots) in judgement.spots.iter_mut().zip(&rehearsed.spots) {
            let limit = Allowance::limit(&Tail::fit(&spots.peaks, n_blocks), for_spot);
            spot.threshold = limit.threshold;
            limits.push(limit);
        }
        judgement.start = (rehearsed.n_starts >= FEWEST_BLOCKS).then(|| {
            let per_block = rehearsed.n_starts as f64 / n_blocks as f64;
            let per_block = START_PART * allowance.per_block() * per_block;
            let tail = Tail::fit(&rehearsed.starts, n_blocks);
            StartThreshold {
                threshold: Allowance::limit(&tail, per_block).threshold,
                rows: rehearsed.least_rows,
            }
        });
        let share = |score: f32, threshold: Option<f32>| threshold.map_or(0.0, |t| score / t);
        let highest = settled.measured.iter().map(|measured| {
            let line = measured
                .line
                .map_or(0.0, |line| share(line, line_threshold));
            let spots = measured.spots.iter().zip(&judgement.spots);
            let spots = spots.map(|(found, spot)| spot_score(found.highest, spot.threshold));
            line.max(share(measured.summary.highest, Some(places.threshold)))
                .max(spots.fold(0.0, f32::max))
        });
        let highest: Vec<f32> = highest.collect();
        let likeness = Likeness::learn(&rehearsed.characters);
        rehearsed.thin();
        Lesson {
            whitener: self.whitening.all,
            patterns: self.whitening.patterns,
            filters: self.whitening.filters,
            highest,
            usual: settled
                .usual
                .into_iter()
                .map(|usual| usual.columns)
                .collect(),
            judgement,
            evidence: allowance.evidence(&tail, &limits),
            likeness,
            memory: Memory {
                learned: self.whitening.learned,
                rehearsed,
            },
        }
    }

    /// Maps and medians that are held, as a number of blocks.
    #[cfg(test)]
    pub(super) fn n_held(&self) -> usize {
        let kept: usize = self.kept.iter().map(|kept| kept.kept.len()).sum();
        kept + self.rehearsed.medians.iter().map(Vec::len).sum::<usize>()
    }

    /// Number of the first block that is rehearsed.
    fn first(&self) -> usize {
        self.whitening.learned.n_before
    }

    /// Distances of a block by the other folds. Counts it when it is heard for the first time.
    fn hear(&mut self, lane: usize, block: &Block, reference: &Reference) -> Heard {
        let number = self.first() + self.n_heard;
        let is_known = reference.is_known.contains(&true);
        if self.settled.is_none() {
            self.count(lane, block, number, reference);
        }
        let fold = number % self.whitening.without.len();
        let whitener = &self.whitening.without[fold];
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
            if self.settled.is_some() {
                continue;
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
        if self.settled.is_none() {
            let far = quantile(&mut taught, TAUGHT_QUANTILE);
            self.rehearsed.taught.push(far);
        }
        let rows = block.rows;
        let distances = Grown {
            values: distances,
            above: 0,
            rows,
        };
        let n_spots = self.whitening.filters.len();
        let of_fold = fold * n_spots..(fold + 1) * n_spots;
        Heard {
            median: level::median(block, &distances),
            spots: of_fold.map(|n| spot_map(block, n)).collect(),
            number,
            lane,
            block: Block {
                patches: Vec::new(),
                judged: block.judged.clone(),
                ..*block
            },
            distances,
            is_known,
        }
    }

    /// Counts a block, and how far its columns are at most from the pattern of other columns.
    fn count(&mut self, lane: usize, block: &Block, number: usize, reference: &Reference) {
        let rehearsed = &mut self.rehearsed;
        if let Some(character) = self.whitening.all.character(block) {
            rehearsed.characters.push(character);
            self.looked_at.push((lane, self.n_heard));
        }
        let (means, rows) = reference.own_means();
        rehearsed.n_blocks += 1;
        rehearsed.n_known += usize::from(reference.is_known.contains(&true));
        rehearsed.least_rows = rehearsed.least_rows.min(rows);
        let pattern = &self.whitening.patterns[lane];
        let means = self.whitening.all.apply_to_means(&means);
        for (warp, by) in OTHER_WARPS.iter().enumerate() {
            let moved = pattern.moved(*by);
            if !moved.fits(means.dim()) {
                continue;
            }
            let highest = |against: Against| against.distances.into_iter().fold(0.0, f32::max);
            let score = highest(moved.against(&means, &without_rims(&block.judged), block.ended()));
            if score > 0.0 {
                rehearsed.n_starts += 1;
                rehearsed.starts.add(Peak {
                    score,
                    block: number,
                    row: warp,
                    col: 0,
                });
            }
        }
    }

    /// Finds usual distances and rims from the blocks that are kept.
    fn settle(&mut self) {
        let rehearsed = &mut self.rehearsed;
        for (medians, kept) in rehearsed.medians.iter_mut().zip(&self.kept) {
            let of = |heard: &Heard| Medians::of(heard.distances.block(), &heard.block.judged);
            medians.extend(kept.kept.iter().map(of));
        }
        let lanes: Vec<Vec<&Medians>> = rehearsed
            .medians
            .iter()
            .map(|of_lane| of_lane.iter().collect())
            .collect();
        let (columns, usual_elsewhere) = usual_distances(&lanes);
        let mut settled = Settled {
            usual: columns
                .into_iter()
                .map(|columns| Usual {
                    columns,
                    elsewhere: usual_elsewhere,
                })
                .collect(),
            judgement: Judgement {
                threshold: 1.0,
                line_threshold: None,
                start: None,
                smooth_cells: SMOOTH_SCORE_CELLS,
                usual_elsewhere,
                left: Vec::new(),
                right: Vec::new(),
                mirror: Vec::new(),
                taught_scale: quantile(&mut rehearsed.taught.clone(), 0.5),
                spots: Vec::new(),
            },
            cut_off: f32::MAX,
            measured: Vec::new(),
        };
        let kept = || self.kept.iter().flat_map(|kept| &kept.kept);
        for heard in kept() {
            rehearsed.rims.add(&heard.block, &settled.even(heard));
        }
        let [left, right, mirror] = rehearsed.rims.profiles(RIM_QUANTILE);
        settled.judgement.left = left;
        settled.judgement.right = right;
        settled.judgement.mirror = mirror;
        for (n, (spots, sigma_px)) in rehearsed.spots.iter_mut().zip(SIGMAS_PX).enumerate() {
            for heard in kept() {
                spots.rims.add(&heard.block, &heard.spots[n]);
            }
            let [left, right, mirror] = spots.rims.profiles(SPOT_RIM_QUANTILE);
            settled.judgement.spots.push(Spot {
                sigma_px,
                threshold: 1.0,
                left,
                right,
                mirror,
            });
        }
        let mut peaks = rehearsed.places.clone();
        for heard in kept() {
            peaks.add_map(heard.number, settled.map(heard).view());
        }
        let n_blocks = rehearsed.n_blocks;
        settled.cut_off = Allowance::limit(&Tail::fit(&peaks, n_blocks), FOR_LINES).threshold;
        self.settled = Some(settled);
    }

    /// What is settled, with peaks from the kept blocks if nothing else was measured.
    fn measured(&mut self) -> &Settled {
        if self.settled.is_none() {
            self.settle();
        }
        let settled = self.settled.as_mut().expect("it was just settled");
        if settled.measured.is_empty() {
            let kept: Vec<Chosen<Heard>> = self.kept.drain(..).collect();
            let n_seen: usize = kept.iter().map(|kept| kept.n_seen).sum();
            let mut heard: Vec<Heard> = kept.into_iter().flat_map(|kept| kept.kept).collect();
            heard.sort_by_key(|heard| heard.number);
            for heard in &heard {
                settled.measure(heard, &mut self.rehearsed);
            }
            let rehearsed = &mut self.rehearsed;
            rehearsed.n_blocks -= n_seen - heard.len();
            rehearsed.n_known = rehearsed.n_known.min(rehearsed.n_blocks);
        }
        settled
    }
}

impl Settled {
    /// Distances with what is usual taken off, smoothed.
    fn even(&self, heard: &Heard) -> Array2<f32> {
        let usual = &self.usual[heard.lane];
        let usual = usual.at(heard.median, heard.block.cols, &heard.block.judged);
        even(&heard.distances, &heard.block, SMOOTH_SCORE_CELLS, &usual)
    }

    /// The score map of a block, before the thresholds.
    fn map(&self, heard: &Heard) -> Array2<f32> {
        let mut map = self.even(heard);
        relate_to_rims(&mut map, &heard.block, self.judgement.rims());
        map
    }

    /// Takes the peaks of a block.
    fn measure(&mut self, heard: &Heard, rehearsed: &mut Rehearsed) {
        let mut map = self.map(heard);
        let summary = summary_of(heard, &map, &mut rehearsed.places);
        let spots = self.judgement.spots.iter().zip(&mut rehearsed.spots);
        let spots = spots.zip(&heard.spots).map(|((spot, spots), found)| {
            let mut map = found.clone();
            relate_to_rims(&mut map, &heard.block, spot.rims());
            summary_of(heard, &map, &mut spots.peaks)
        });
        let spots = spots.collect();
        let line = heard.is_known.then(|| {
            map.mapv_inplace(|score| score / self.cut_off);
            let lines = along_lines(&map).mapv(|line| line * self.cut_off);
            let peak = rehearsed.lines.add_map(heard.number, lines.view());
            peak.map_or(0.0, |peak| peak.score)
        });
        self.measured.push(Measured {
            summary,
            spots,
            line,
        });
    }
}

/// What is known of a block by one of its maps, whose places are added to `peaks`.
fn summary_of(heard: &Heard, map: &Array2<f32>, peaks: &mut Peaks) -> Summary {
    let peak = peaks.add_map(heard.number, map.view());
    let judged = heard.block.judged.clone();
    let judged = map.slice(ndarray::s![.., judged.start..judged.end]);
    let mut scores: Vec<f32> = judged.iter().copied().collect();
    Summary {
        highest: peak.map_or(0.0, |peak| peak.score),
        row: peak.map_or(0, |peak| peak.row),
        col: peak.map_or(0, |peak| peak.col),
        usual: quantile(&mut scores, USUAL_QUANTILE),
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
