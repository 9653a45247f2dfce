//! Teaching as a whole, on features that are drawn and not seen.

use std::ops::Range;

use ndarray::Array3;

use super::*;
use crate::features::{Block, Features, Kept, Patch, Rim};
use crate::quantile::quantile;
use crate::threshold::FalseAlarms;

const COLS: usize = 48;
const ROWS: usize = 16;
const N_FEATURES: usize = 3;
const ASKED: FalseAlarms = FalseAlarms { per_100_m2: 2.0 };
const BLOCK_M2: f64 = 0.01;

/// Features of block `number`: noise about a pattern of columns, the same in every run.
fn block(number: usize) -> Block {
    let mut state = number as u64 + 1;
    let mut noise = || {
        // Twelve uniform draws less six are nearly normal.
        (0..12)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 24) as f32
            })
            .sum::<f32>()
            - 6.0
    };
    let features = Array3::from_shape_fn((N_FEATURES, ROWS, COLS), |(k, _, col)| {
        (col * (k + 2) % 5) as f32 * 0.1 + noise() * (1.0 + k as f32)
    });
    of_features(features)
}

fn of_features(features: Array3<f32>) -> Block {
    let kept = Kept {
        rows: 0..ROWS,
        cols: 0..COLS,
    };
    Block {
        rows: ROWS,
        cols: COLS,
        judged: 0..COLS,
        above: Rim::Mirrored,
        below: Rim::Mirrored,
        left: Rim::Mirrored,
        right: Rim::Mirrored,
        continues: true,
        patches: vec![Patch::new(Features::from_array(features), kept, 0, 0)],
    }
}

/// Block `number` with a place that is far from all others.
fn flawed(number: usize) -> Block {
    let good = block(number);
    let mut features = good.patches[0].features.view().to_owned();
    features
        .slice_mut(ndarray::s![.., 6..8, 21..23])
        .mapv_inplace(|value| value + 20.0);
    of_features(features)
}

fn rehearsed(teacher: Teacher, blocks: &[Block]) -> Rehearsal {
    let mut teacher = teacher;
    blocks.iter().for_each(|block| teacher.learn(0, block));
    let mut rehearsal = Rehearsal::new(teacher.whitening().unwrap(), 0.8);
    blocks.iter().for_each(|block| rehearsal.rehearse(0, block));
    if rehearsal.wants_again() {
        blocks.iter().for_each(|block| rehearsal.rehearse(0, block));
    }
    rehearsal
}

fn fresh() -> Teacher {
    Teacher::new(N_FEATURES, REFERENCE, 0.8, 1)
}

fn blocks(numbers: Range<usize>) -> Vec<Block> {
    numbers.map(block).collect()
}

fn assert_near(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let off = (found - expected).abs();
        assert!(
            off <= tolerance * expected.abs().max(1.0),
            "{what}: {found} {expected}"
        );
    }
}

#[test]
fn continued_teaching_is_teaching_with_all_cloth_at_once() {
    let all = rehearsed(fresh(), &blocks(0..30)).finish(BLOCK_M2, ASKED);
    let first = rehearsed(fresh(), &blocks(0..14)).finish(BLOCK_M2, ASKED);
    let bytes = first
        .memory
        .to_bytes(serde_json::json!({"article": "denim"}))
        .unwrap();
    let (memory, owner) = Memory::from_bytes(&bytes).unwrap();
    assert_eq!(owner["article"], "denim");
    let teacher = Teacher::continuing(memory, REFERENCE, 0.8);
    let more = rehearsed(teacher, &blocks(14..30)).finish(BLOCK_M2, ASKED);

    let matrix = |lesson: &Lesson| lesson.whitener.matrix.iter().copied().collect::<Vec<_>>();
    assert_near(&matrix(&more), &matrix(&all), 1e-3, "whitening");
    assert_near(
        &more.whitener.mean.to_vec(),
        &all.whitener.mean.to_vec(),
        1e-4,
        "mean",
    );
    assert_near(&more.usual[0], &all.usual[0], 0.05, "usual distances");
    assert_eq!(more.evidence.n_blocks, 30);
    assert_eq!(more.highest.len(), 16);
    let near = |more: f32, all: f32| assert!((more / all - 1.0).abs() < 0.1, "{more} {all}");
    near(more.judgement.threshold, all.judgement.threshold);
    let start = |lesson: &Lesson| lesson.judgement.start.unwrap().threshold;
    near(start(&more), start(&all));
    let narrower = |lesson: &Lesson| {
        let [low, high] = lesson.evidence.interval_per_100_m2;
        high / low
    };
    assert!(narrower(&more) < narrower(&first));
}

#[test]
fn a_memory_with_any_byte_changed_is_refused() {
    let lesson = rehearsed(fresh(), &blocks(0..4)).finish(BLOCK_M2, ASKED);
    let bytes = lesson.memory.to_bytes(serde_json::Value::Null).unwrap();
    assert!(Memory::from_bytes(&bytes).is_ok());
    for at in (0..bytes.len()).step_by(211).chain([bytes.len() - 1]) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Memory::from_bytes(&changed).is_err(), "byte {at}");
        assert!(Memory::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn what_is_held_of_cloth_does_not_grow_with_it() {
    let held = [40, 130, 400].map(|n| {
        let mut teacher = fresh();
        (0..n).for_each(|number| teacher.learn(0, &block(number % 7)));
        let mut rehearsal = Rehearsal::new(teacher.whitening().unwrap(), 0.8);
        let mut most = 0;
        for number in 0..n {
            rehearsal.rehearse(0, &block(number % 7));
            most = most.max(rehearsal.n_held());
        }
        let again = rehearsal.wants_again();
        assert_eq!(again, n > 64, "{n} blocks");
        most = most.max(rehearsal.n_held());
        if again {
            rehearsal.rehearse(0, &block(0));
        }
        most
    });
    assert!(held.iter().all(|held| *held <= 2 * 64), "{held:?}");
}

#[test]
fn much_cloth_in_two_passes_is_judged_as_in_one() {
    let blocks = blocks(0..150);
    let lesson = rehearsed(fresh(), &blocks).finish(BLOCK_M2, ASKED);
    assert_eq!(lesson.evidence.n_blocks, 150);
    assert_eq!(lesson.highest.len(), 150);
    let flagged = lesson
        .highest
        .iter()
        .filter(|highest| **highest > 1.0)
        .count();
    assert!(flagged <= 5, "{flagged} of 150 blocks");
    // A block that was not judged like the others would stand apart.
    let mut highest = lesson.highest;
    let (least, middle) = (quantile(&mut highest, 0.0), quantile(&mut highest, 0.5));
    assert!(3.0 * least > middle, "{least} of {middle}");
}

#[test]
fn a_flaw_in_good_cloth_is_told_with_its_block_and_place() {
    let mut cloth = blocks(0..12);
    cloth[7] = flawed(7);
    let found = rehearsed(fresh(), &cloth).outliers().unwrap();
    let [outlier] = found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((outlier.block, outlier.strange), (7, Strange::Place));
    assert!(
        (5..9).contains(&outlier.row) && (20..24).contains(&outlier.col),
        "{outlier:?}"
    );
    assert!(
        rehearsed(fresh(), &blocks(0..12))
            .outliers()
            .unwrap()
            .is_empty()
    );
    for number in [1, 3, 9] {
        cloth[number] = flawed(number);
    }
    let refused = rehearsed(fresh(), &cloth).outliers().unwrap_err();
    assert!(refused.to_string().contains("4 of 12"), "{refused}");
}

#[test]
fn two_blocks_are_enough_to_teach_and_say_how_little_they_prove() {
    let lesson = rehearsed(fresh(), &blocks(0..2)).finish(BLOCK_M2, ASKED);
    let [low, high] = lesson.evidence.interval_per_100_m2;
    assert!(lesson.evidence.more_m2 > 20.0, "{:?}", lesson.evidence);
    assert!(high / low.max(1e-9) > 30.0, "{:?}", lesson.evidence);
}

#[test]
fn frames_are_known_again_and_only_the_last_of_very_many() {
    let mut memory = rehearsed(fresh(), &blocks(0..6))
        .finish(BLOCK_M2, ASKED)
        .memory;
    assert_eq!((memory.frames().len(), memory.n_forgotten()), (0, 6));
    // Any 64 bits, those that are no number too.
    let frames = [0, 1, u64::MAX, 0x7ff8_0000_0000_0001, 5, 6];
    memory.add_frames(frames);
    let bytes = memory.to_bytes(serde_json::Value::Null).unwrap();
    let (read, _) = Memory::from_bytes(&bytes).unwrap();
    assert_eq!(read.frames(), frames);
    assert_eq!(read.n_forgotten(), 0);

    let teacher = Teacher::continuing(read, REFERENCE, 0.8);
    let mut more = rehearsed(teacher, &blocks(6..12))
        .finish(BLOCK_M2, ASKED)
        .memory;
    assert_eq!(more.frames(), frames, "they stay");
    more.add_frames(0..MOST_FRAMES as u64);
    assert_eq!(more.frames().len(), MOST_FRAMES);
    assert_eq!(more.frames()[MOST_FRAMES - 1], MOST_FRAMES as u64 - 1);
}

#[test]
fn what_was_taught_is_seen_by_the_memory_as_by_its_model() {
    let lesson = rehearsed(fresh(), &blocks(0..6)).finish(BLOCK_M2, ASKED);
    let whitener = lesson.memory.whitener().unwrap();
    assert_eq!(whitener.matrix, lesson.whitener.matrix);
    assert_eq!(whitener.mean, lesson.whitener.mean);
}

#[test]
fn two_cameras_that_see_differently_are_no_two_kinds_of_cloth() {
    let of_other_light = |number: usize| {
        let features = block(number).patches[0].features.view().to_owned();
        of_features(features.mapv(|value| 3.0 * value + 20.0))
    };
    let kinds = |lane_of_other: usize| {
        let mut teacher = Teacher::new(N_FEATURES, REFERENCE, 0.8, 2);
        let pass = |see: &mut dyn FnMut(usize, &Block)| {
            for number in 0..12 {
                see(0, &block(number));
                see(lane_of_other, &of_other_light(number + 12));
            }
        };
        pass(&mut |lane, block| teacher.learn(lane, block));
        let mut rehearsal = Rehearsal::new(teacher.whitening().unwrap(), 0.8);
        pass(&mut |lane, block| rehearsal.rehearse(lane, block));
        rehearsal.two_kinds()
    };
    assert_eq!(kinds(1), None);
    let [one, other] = kinds(0).expect("within one lane they are two");
    assert_eq!(one, (0..24).step_by(2).collect::<Vec<_>>());
    assert_eq!(other, (1..24).step_by(2).collect::<Vec<_>>());
}
