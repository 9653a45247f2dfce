//! What a judge must hold to, on made-up features: noise, a lamp that differs per column, flaws.

use ndarray::Array3;

use super::*;
use crate::features::{Features, Kept, Patch};
use crate::passport::Spot;
use crate::teach::{REFERENCE, Rehearsal, Teacher};
use crate::threshold::FalseAlarms;

const N_FEATURES: usize = 4;
const ROWS: usize = 32;
const COLS: usize = 80;
/// One row of cells of 4 px at 0.2 mm.
const MM_PER_ROW: f64 = 0.8;

/// Features of one block: noise that depends on cell and block, an offset per column, and
/// `add(row, col)` on top.
fn features(block: usize, add: impl Fn(usize, usize) -> f32) -> Array3<f32> {
    Array3::from_shape_fn((N_FEATURES, ROWS, COLS), |(k, row, col)| {
        let lamp = 3.0 * (col as f32 * 0.05 + k as f32).sin();
        let noise = hashed((block * ROWS + row) * COLS + col, k);
        lamp + noise + add(row, col)
    })
}

/// Roughly normal noise.
fn hashed(cell: usize, k: usize) -> f32 {
    let mut sum = 0.0;
    let mut state = (cell * 31 + k) as u64;
    for _ in 0..4 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut mixed = state ^ (state >> 33);
        mixed = mixed.wrapping_mul(0xff51_afd7_ed55_8ccd);
        sum += ((mixed >> 40) as f32) / ((1_u64 << 24) as f32) - 0.5;
    }
    sum * 1.7
}

/// A block cut into patches at `cuts`.
fn block(features: &Array3<f32>, cuts: &[usize], continues: bool) -> Block {
    let mut edges = vec![0];
    edges.extend(cuts);
    edges.push(COLS);
    Block {
        rows: ROWS,
        cols: COLS,
        judged: 4..COLS,
        above: Rim::Mirrored,
        below: Rim::Mirrored,
        left: Rim::Ended,
        right: Rim::Mirrored,
        continues,
        patches: edges
            .windows(2)
            .map(|edge| {
                let kept = Kept {
                    rows: 0..ROWS,
                    cols: edge[0]..edge[1],
                };
                Patch::new(Features::from_array(features.clone()), kept, 0, edge[0])
            })
            .collect(),
    }
}

/// A judge taught on good blocks, with the whitening it needs.
fn taught() -> (Judge, crate::teach::Whitener) {
    let good: Vec<Block> = (0..24)
        .map(|i| block(&features(1000 + i, |_, _| 0.0), &[], true))
        .collect();
    let mut teacher = Teacher::new(N_FEATURES, REFERENCE, MM_PER_ROW, 1);
    good.iter().for_each(|block| teacher.learn(0, block));
    let mut rehearsal = Rehearsal::new(teacher.whitening().unwrap(), MM_PER_ROW);
    good.iter().for_each(|block| rehearsal.rehearse(0, block));
    let mut lesson = rehearsal.finish(0.001, FalseAlarms { per_100_m2: 2.0 });
    let usual = lesson.usual.remove(0);
    (
        Judge::new(lesson.judgement, usual, REFERENCE, MM_PER_ROW),
        lesson.whitener,
    )
}

/// Columns of a roll's blocks in which something is flagged, per block.
fn flagged(n_blocks: usize, add: impl Fn(usize, usize, usize) -> f32) -> Vec<Vec<usize>> {
    let (mut judge, whitener) = taught();
    (0..n_blocks)
        .map(|i| {
            let raw = features(i, |row, col| add(i, row, col));
            let map = judge.judge(&block(&whitener.apply(&raw), &[], true));
            (0..COLS)
                .filter(|col| map.scores.column(*col).iter().any(|score| *score > 1.0))
                .collect()
        })
        .collect()
}

#[test]
fn good_cloth_is_not_flagged_whatever_its_lamp() {
    let n_flagged: usize = flagged(40, |_, _, _| 0.0).iter().map(Vec::len).sum();
    assert!(n_flagged <= 2, "{n_flagged} columns of 40 blocks");
}

#[test]
fn a_single_cell_is_flagged_where_it_is() {
    let found = flagged(3, |block, row, col| {
        if (block, row, col) == (1, 15, 30) {
            9.0
        } else {
            0.0
        }
    });
    assert!(found[1].contains(&30), "{found:?}");
    assert!(
        found[1].iter().all(|col| col.abs_diff(30) <= 4),
        "{found:?}"
    );
    assert!(found[0].is_empty() && found[2].is_empty(), "{found:?}");
}

#[test]
fn a_flaw_that_runs_longer_than_the_window_stays_flagged() {
    let window_blocks = (REFERENCE.window_mm / MM_PER_ROW) as usize / ROWS + 1;
    let found = flagged(4 * window_blocks, |block, _, col| {
        if block >= window_blocks && col == 50 {
            4.0
        } else {
            0.0
        }
    });
    for (block, columns) in found.iter().enumerate() {
        assert_eq!(
            columns.contains(&50),
            block >= window_blocks,
            "block {block}: {columns:?}"
        );
    }
}

#[test]
fn what_changes_everywhere_at_once_is_seen_and_not_learned_from_a_flaw() {
    let found = flagged(30, |block, _, col| {
        // A flaw that ends: afterwards its column is as good as any other.
        if (10..14).contains(&block) && col == 20 {
            6.0
        } else {
            0.0
        }
    });
    for (block, columns) in found.iter().enumerate() {
        assert_eq!(columns.contains(&20), (10..14).contains(&block), "{block}");
    }
}

#[test]
fn scores_do_not_depend_on_where_tiles_are_cut() {
    let (mut one, whitener) = taught();
    let (mut other, _) = taught();
    for i in 0..6 {
        let features = whitener.apply(&features(i, |_, _| 0.0));
        let whole = one.judge(&block(&features, &[], true));
        let cut = other.judge(&block(&features, &[8, 40, 41], true));
        assert_eq!(whole.scores, cut.scores);
    }
}

#[test]
fn a_picture_that_stands_alone_forgets_what_was_before() {
    let (mut judge, whitener) = taught();
    let (mut fresh, _) = taught();
    let alone = whitener.apply(&features(7, |_, _| 0.0));
    for i in 0..5 {
        let before = whitener.apply(&features(i, |_, col| if col > 40 { 2.0 } else { 0.0 }));
        judge.judge(&block(&before, &[], true));
    }
    let after = judge.judge(&block(&alone, &[], false));
    let first = fresh.judge(&block(&alone, &[], false));
    assert_eq!(after.scores, first.scores);
}

#[test]
fn nothing_is_scored_outside_the_judged_columns() {
    let (mut judge, whitener) = taught();
    let raw = features(0, |_, col| if col < 4 { 50.0 } else { 0.0 });
    let map = judge.judge(&block(&whitener.apply(&raw), &[], true));
    assert!(
        map.scores
            .columns()
            .into_iter()
            .take(4)
            .all(|col| col.sum() == 0.0)
    );
    assert!(map.highest() < 1.0, "{}", map.highest());
}

/// A block of which the patch at columns 40 to 60 failed.
fn holed(features: &Array3<f32>) -> Block {
    let mut holed = block(features, &[40, 60], true);
    holed.patches.remove(1);
    holed
}

#[test]
fn a_block_whose_every_tile_failed_scores_nothing_and_is_forgotten() {
    let (mut judge, whitener) = taught();
    let (mut other, _) = taught();
    for i in 0..20 {
        let features = whitener.apply(&features(i, |_, _| 0.0));
        let expected = other.judge(&block(&features, &[], true));
        let mut empty = block(&features, &[], true);
        empty.patches.clear();
        let nothing = judge.judge(&empty);
        assert_eq!(nothing.scores, Array2::<f32>::zeros((ROWS, COLS)));
        let found = judge.judge(&block(&features, &[], true));
        assert_eq!(found.scores, expected.scores, "block {i}");
    }
}

#[test]
fn a_failed_picture_that_stands_alone_still_parts_what_is_before_from_what_follows() {
    let (mut judge, whitener) = taught();
    let (mut fresh, _) = taught();
    let good = whitener.apply(&features(7, |_, _| 0.0));
    judge.judge(&block(&good, &[], true));
    let mut empty = block(&good, &[], false);
    empty.patches.clear();
    judge.judge(&empty);
    let after = judge.judge(&block(&good, &[], true));
    let first = fresh.judge(&block(&good, &[], true));
    assert_eq!(after.scores, first.scores);
}

#[test]
fn a_failed_tile_has_no_score_and_hides_no_flaw_beside_it() {
    let flaw = |row: usize, col: usize| if (row, col) == (15, 39) { 9.0 } else { 0.0 };
    let (mut judge, whitener) = taught();
    let map = judge.judge(&holed(&whitener.apply(&features(0, flaw))));
    let hole = map.scores.slice(ndarray::s![.., 40..60]);
    assert!(hole.iter().all(|score| *score == 0.0));
    assert!(map.scores[[15, 39]] > 1.0, "{}", map.scores[[15, 39]]);
}

#[test]
fn cells_beside_a_failed_tile_score_no_less_than_elsewhere() {
    let (mut judge, whitener) = taught();
    let (mut beside, mut elsewhere) = (0.0, 0.0);
    let n_blocks = 20;
    for i in 0..n_blocks {
        let map = judge.judge(&holed(&whitener.apply(&features(i, |_, _| 0.0))));
        beside += map.scores.column(39).sum();
        elsewhere += map.scores.column(25).sum();
    }
    let n_cells = (n_blocks * ROWS) as f32;
    let difference = (beside - elsewhere) / n_cells;
    // Cells taken for zero bled in as 0.3 below.
    assert!(difference.abs() < 0.1, "{difference}");
}

#[test]
fn a_failed_tile_at_a_joined_rim_is_as_neutral_as_within() {
    let (mut judge, whitener) = taught();
    let tall = whitener.apply(&features(0, |_, _| 0.0));
    let mut joined = holed(&tall);
    // Three rows above and below are the neighbouring frames'.
    joined.rows = ROWS - 2 * crate::reference::RIM_ROWS;
    joined.above = Rim::Joined;
    joined.below = Rim::Joined;
    for patch in &mut joined.patches {
        patch.kept.rows = crate::reference::RIM_ROWS..ROWS - crate::reference::RIM_ROWS;
    }
    let map = judge.judge(&joined);
    assert!(map.scores.iter().all(|score| score.is_finite()));
    assert!(map.highest() < 1.0, "{}", map.highest());
    let hole = map.scores.slice(ndarray::s![.., 40..60]);
    assert!(hole.iter().all(|score| *score == 0.0));
}

#[test]
fn each_lane_has_usual_columns_of_its_own() {
    // The second camera's columns from 50 on are three times as noisy.
    let good = |lane: usize, i: usize| {
        let noise = features(2000 + i, |_, _| 0.0) - features(3000 + i, |_, _| 0.0);
        let mut of_lane = features(1000 + 100 * lane + i, |_, _| 0.0);
        let mut noisy = of_lane.slice_mut(ndarray::s![.., .., 50..]);
        noisy.scaled_add(2.0 * lane as f32, &noise.slice(ndarray::s![.., .., 50..]));
        block(&of_lane, &[], true)
    };
    let mut teacher = Teacher::new(N_FEATURES, REFERENCE, MM_PER_ROW, 2);
    let each = |learn: &mut dyn FnMut(usize, &Block)| {
        (0..2).for_each(|lane| (0..12).for_each(|i| learn(lane, &good(lane, i))));
    };
    each(&mut |lane, block| teacher.learn(lane, block));
    let mut rehearsal = Rehearsal::new(teacher.whitening().unwrap(), MM_PER_ROW);
    each(&mut |lane, block| rehearsal.rehearse(lane, block));
    let lesson = rehearsal.finish(0.001, FalseAlarms { per_100_m2: 2.0 });
    let [first, second] = &lesson.usual[..] else {
        panic!("found {} lanes, expected 2", lesson.usual.len());
    };
    assert_eq!((first.len(), second.len()), (COLS, COLS));
    assert!((first[70] / first[20] - 1.0).abs() < 0.3, "{first:?}");
    assert!(second[70] > 4.0 * second[20], "{second:?}");
    assert_eq!(lesson.highest.len(), 24);
}

/// A judge that knows the taught columns, at `mm_per_row`, and the whitening it needs.
fn taught_to_start(mm_per_row: f64) -> (Judge, crate::teach::Whitener) {
    let good: Vec<Block> = (0..24)
        .map(|i| block(&features(1000 + i, |_, _| 0.0), &[], true))
        .collect();
    let mut teacher = Teacher::new(N_FEATURES, REFERENCE, mm_per_row, 1);
    good.iter().for_each(|block| teacher.learn(0, block));
    let mut rehearsal = Rehearsal::new(teacher.whitening().unwrap(), mm_per_row);
    good.iter().for_each(|block| rehearsal.rehearse(0, block));
    let mut lesson = rehearsal.finish(0.001, FalseAlarms { per_100_m2: 2.0 });
    let (usual, pattern) = (lesson.usual.remove(0), lesson.patterns.remove(0));
    let judge = Judge::new(lesson.judgement, usual, REFERENCE, mm_per_row);
    (judge.starting_from(pattern), lesson.whitener)
}

/// A lamp that gets brighter on the left and darker on the right over some 40 m.
fn drift(block: usize, col: usize) -> f32 {
    4.0 * (block as f32 / 1600.0) * (0.5 - col as f32 / COLS as f32)
}

/// Blocks of 40 m.
const FORTY_METRES: usize = (40_000.0 / (MM_PER_ROW * ROWS as f64)) as usize;

/// Flagged share of each block's column 50, and columns flagged elsewhere, over a roll.
fn column_over(
    (mut judge, whitener): (Judge, crate::teach::Whitener),
    n_blocks: usize,
    continues: impl Fn(usize) -> bool,
    add: impl Fn(usize, usize) -> f32,
) -> (Vec<f32>, usize) {
    let mut elsewhere = 0;
    let shares = (0..n_blocks).map(|i| {
        let raw = features(i, |_, col| add(i, col));
        let map = judge.judge(&block(&whitener.apply(&raw), &[], continues(i)));
        let share = |col: usize| {
            let flagged = map.scores.column(col).iter().filter(|s| **s > 1.0).count();
            flagged as f32 / ROWS as f32
        };
        elsewhere += (0..COLS)
            .filter(|col| col.abs_diff(50) > 3 && share(*col) > 0.3)
            .count();
        share(50)
    });
    (shares.collect(), elsewhere)
}

#[test]
fn a_line_from_the_first_row_is_flagged_for_forty_metres_while_the_lamp_drifts() {
    let flaw = |i, col| drift(i, col) + if col == 50 { 2.5 } else { 0.0 };
    let (shares, elsewhere) =
        column_over(taught_to_start(MM_PER_ROW), FORTY_METRES, |_| true, flaw);
    let least = shares.iter().copied().fold(1.0, f32::min);
    assert!(least > 0.5, "{least}: {shares:?}");
    // Of 110,000 columns of blocks; more false alarms than that were asked for.
    assert!(elsewhere <= 3, "{elsewhere}");
}

#[test]
fn a_lamp_that_drifts_over_forty_metres_flags_no_line() {
    let (shares, elsewhere) =
        column_over(taught_to_start(MM_PER_ROW), FORTY_METRES, |_| true, drift);
    assert!(shares.iter().all(|share| *share < 0.3), "{shares:?}");
    assert!(elsewhere <= 3, "{elsewhere}");
}

#[test]
fn a_line_from_the_first_row_ends_where_it_ends() {
    let flaw = |i, col| if col == 50 && i < 40 { 2.5 } else { 0.0 };
    let (shares, _) = column_over(taught_to_start(MM_PER_ROW), 80, |_| true, flaw);
    for (i, share) in shares.iter().enumerate() {
        assert_eq!(*share > 0.5, i < 40, "block {i}: {shares:?}");
        assert!(i < 40 || *share < 0.2, "block {i}: {shares:?}");
    }
}

#[test]
fn a_line_goes_on_behind_a_break() {
    let flaw = |_, col| if col == 50 { 2.5 } else { 0.0 };
    let (shares, _) = column_over(taught_to_start(MM_PER_ROW), 30, |i| i % 10 != 0, flaw);
    assert!(shares.iter().all(|share| *share > 0.5), "{shares:?}");
}

#[test]
fn a_line_is_flagged_in_frames_taller_than_the_window() {
    // 256 mm a block.
    let taught = || taught_to_start(10.0 * MM_PER_ROW);
    let flaw = |i, col| if col == 50 && i >= 5 { 2.5 } else { 0.0 };
    let (shares, elsewhere) = column_over(taught(), 40, |_| true, flaw);
    for (i, share) in shares.iter().enumerate() {
        assert_eq!(*share > 0.5, i >= 5, "block {i}: {shares:?}");
    }
    assert_eq!(elsewhere, 0);
    let from_start = |_, col| if col == 50 { 2.5 } else { 0.0 };
    let (shares, _) = column_over(taught(), 40, |_| true, from_start);
    assert!(shares.iter().all(|share| *share > 0.5), "{shares:?}");
}

#[test]
fn what_a_judge_remembers_does_not_grow_with_the_roll() {
    let (mut judge, whitener) = taught_to_start(MM_PER_ROW);
    let window_blocks = (REFERENCE.window_mm / MM_PER_ROW) as usize / ROWS + 1;
    for i in 0..4 * window_blocks {
        let raw = features(i, |_, col| if col == 50 { 2.5 } else { 0.0 });
        judge.judge(&block(&whitener.apply(&raw), &[], true));
        assert!(judge.window.n_blocks() <= window_blocks, "block {i}");
    }
}

/// A judgement that looks for spots of two kinds, whose responses near a left selvedge are usually
/// four times as large in the outermost column and twice in the next.
fn looking_for_spots() -> Judgement {
    let spot = |threshold| Spot {
        sigma_px: 2.0,
        threshold,
        left: vec![4.0, 2.0],
        right: Vec::new(),
        mirror: Vec::new(),
    };
    Judgement {
        spots: vec![spot(10.0), spot(30.0)],
        ..Judgement::bare(1.0, 1.0)
    }
}

/// Scores that spots raise from nothing in a block of two patches, each seeing a cell more around
/// what it keeps: 1 everywhere in both kinds, but `found` at the block's `cell` in the kind `n`.
fn raised(n: usize, cell: [usize; 2], found: f32) -> Array2<f32> {
    let mut block = block(&Array3::zeros((1, ROWS, COLS)), &[], true);
    let patch = |cols: Range<usize>| {
        let shape = (ROWS + 2, cols.len() + 2);
        let fine = Array3::from_shape_fn((2, shape.0, shape.1), |(kind, row, col)| {
            // Beyond what a patch keeps it tells nothing that counts.
            if row == 0 || row == ROWS + 1 || col == 0 || col == cols.len() + 1 {
                1e6
            } else if (kind, [row - 1, cols.start + col - 1]) == (n, cell) {
                found
            } else {
                1.0
            }
        });
        let features = Features::from_array(Array3::zeros((1, shape.0, shape.1)));
        let features = features.with_fine(Features::from_array(fine)).unwrap();
        let kept = Kept {
            rows: 1..1 + ROWS,
            cols: 1..1 + cols.len(),
        };
        Patch::new(features, kept, 0, cols.start)
    };
    block.patches = vec![patch(0..40), patch(40..COLS)];
    let mut scores = Array2::zeros((ROWS, COLS));
    raise_spots(&mut scores, &block, &looking_for_spots());
    scores
}

/// Cells that score above 1.
fn flagged_cells(scores: &Array2<f32>) -> Vec<[usize; 2]> {
    let cells = scores.indexed_iter().filter(|(_, score)| **score > 1.0);
    cells.map(|((row, col), _)| [row, col]).collect()
}

#[test]
fn a_spot_is_flagged_in_its_own_cell_and_nowhere_else() {
    // In either patch, at their cut, and in the picture's corner.
    for cell in [[15, 30], [15, 39], [15, 40], [31, 79]] {
        let scores = raised(0, cell, 20.0);
        assert_eq!(flagged_cells(&scores), [cell]);
        assert!((scores[cell] - 4.0).abs() < 1e-5, "{}", scores[cell]);
    }
}

#[test]
fn each_kind_of_spot_has_a_threshold_of_its_own() {
    for (n, threshold) in [(0, 10.0), (1, 30.0)] {
        let below = raised(n, [15, 30], 0.95 * threshold);
        assert_eq!(flagged_cells(&below), [[0; 2]; 0], "kind {n}");
        let above = raised(n, [15, 30], 1.05 * threshold);
        assert_eq!(flagged_cells(&above), [[15, 30]], "kind {n}");
    }
}

#[test]
fn a_spot_near_a_selvedge_weighs_as_much_less_as_is_usual_there() {
    // The judged columns begin at 4; half the response is a quarter of the score.
    for (col, share) in [(4, 1.0 / 16.0), (5, 1.0 / 4.0), (6, 1.0), (79, 1.0)] {
        let scores = raised(0, [15, col], 15.0);
        let expected = 2.25 * share;
        let found = scores[[15, col]];
        assert!((found - expected).abs() < 1e-5, "column {col}: {found}");
        assert_eq!(flagged_cells(&scores).len(), usize::from(expected > 1.0));
    }
}

#[test]
fn a_spot_raises_a_score_and_never_lowers_one() {
    let mut block = block(&Array3::zeros((1, ROWS, COLS)), &[], true);
    for patch in &mut block.patches {
        let features = Features::from_array(Array3::zeros((1, ROWS, COLS)));
        let fine = Features::from_array(Array3::from_elem((2, ROWS, COLS), 10.0));
        patch.features = features.with_fine(fine).unwrap();
    }
    let mut scores = Array2::from_elem((ROWS, COLS), 0.5);
    scores[[15, 30]] = 3.0;
    raise_spots(&mut scores, &block, &looking_for_spots());
    assert_eq!(scores[[15, 30]], 3.0);
    assert_eq!(scores[[15, 31]], 1.0);
    // Outside the judged columns nothing is found.
    assert_eq!(scores[[15, 3]], 0.5);
}
