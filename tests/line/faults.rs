//! Whatever goes wrong, and in whatever order: the right gap at the right place, and the ledger
//! adds up to the micrometre.
//!
//! The expected ledger is reckoned from the plan of faults alone, line by line.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use camera::{
    Captured, Fault, Faulty, Frame, ImageFolder, Loom, LoomSettings, LostReason, Pool, Source,
    capture,
};
use models::{Features, ModelError, Scorer};
use ndarray::ArrayView3;
use proptest::prelude::*;
use store::RunState;

use super::Between;
use crate::texture::{TextureArticle, good_cloth, loom, station};
use crate::told::{Told, inspected, inspected_into, inspected_until_it_fails, store_at};

/// Frames of a roll, their lines, and micrometres of a line.
const N_FRAMES: u64 = 8;
const LINES: u32 = 128;
const UM_PER_LINE: i64 = 200;
/// Width of the web.
const WIDTH_UM: i64 = 640 * 200;

type Plan = BTreeMap<u64, Fault>;

fn cloth(seed: u64) -> LoomSettings {
    LoomSettings {
        n_frames: Some(N_FRAMES),
        ..good_cloth(seed)
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Lost),
        Just(Fault::Late),
        // Lower than this and what came may not be enough to tell cloth from table.
        (32..=LINES).prop_map(|n_lines| Fault::Torn { n_lines }),
        Just(Fault::Torn { n_lines: 0 }),
        (1..4_u64).prop_map(|n_frames| Fault::Gone { n_frames }),
        (1..4_u64).prop_map(|n_frames| Fault::Silent { n_frames }),
        Just(Fault::Dark),
        Just(Fault::Glare),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    proptest::collection::btree_map(0..N_FRAMES, fault(), 0..6)
}

/// A roll with faults, as a camera hands it out.
fn faulty(seed: u64, plan: &Plan) -> Faulty<Loom> {
    Faulty::new(Loom::new(cloth(seed)).unwrap(), plan.clone())
}

/// What must become of each line, from the first to the last that anything was told of; `None` is
/// inspected. Reckoned from what is handed out alone: lines that nothing accounts for were lost.
fn expected(mut source: Faulty<Loom>) -> Vec<Option<String>> {
    let n_buffers = N_FRAMES as usize + 2;
    let pool = Pool::new(n_buffers, source.description().shape.n_bytes());
    let mut lines: BTreeMap<i64, Option<String>> = BTreeMap::new();
    capture(&mut source, &pool, &AtomicBool::new(false), |captured| {
        let state = match &captured {
            Captured::Frame(frame) => light_of(frame),
            Captured::Lost(lost) => Some(match lost.reason {
                LostReason::FrameLost => "frame_lost",
                LostReason::CameraLost => "camera_lost",
                LostReason::Unreadable | LostReason::Overload | LostReason::UnknownLength => {
                    panic!("{lost:?}")
                }
            }),
        };
        for line in captured.ticks() {
            lines.entry(line).or_insert(state.map(str::to_owned));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    let (Some(first), Some(last)) = (lines.keys().next(), lines.keys().next_back()) else {
        return Vec::new();
    };
    let lost = Some("frame_lost".to_owned());
    (*first..=*last)
        .map(|line| lines.get(&line).cloned().unwrap_or(lost.clone()))
        .collect()
}

/// What is wrong with a frame's light.
fn light_of(frame: &Frame) -> Option<&'static str> {
    let bytes = frame.bytes();
    let n_white = bytes.iter().filter(|byte| **byte == 255).count();
    let mean = bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>() / bytes.len() as u64;
    match (n_white > bytes.len() * 3 / 4, mean) {
        (true, _) => Some("saturated"),
        // A table that saturates is a tenth of the width.
        (false, ..=30) => Some("too_dark"),
        (false, _) => None,
    }
}

/// What the ledger says of each line; a line of more than one state is told in words.
fn told_lines(told: &Told) -> Vec<Option<String>> {
    let start = told
        .coverage
        .iter()
        .map(|cell| cell.rect.along().start)
        .min();
    let n_lines = told.length_um / UM_PER_LINE;
    (0..n_lines)
        .map(|line| {
            let um = start.unwrap_or(0) + line * UM_PER_LINE;
            let gaps = told.gaps();
            let here: Vec<_> = gaps
                .iter()
                .filter(|(along, _, _)| along[0] <= um && um < along[1])
                .collect();
            match here[..] {
                [] => None,
                [(_, across, reason)] if across[1] - across[0] == WIDTH_UM => {
                    Some((*reason).to_owned())
                }
                _ => Some(format!("{here:?}")),
            }
        })
        .collect()
}

/// The same, shorter: each stretch of lines with its state.
fn in_words(lines: &[Option<String>]) -> Vec<String> {
    let mut words = Vec::new();
    for stretch in lines.chunk_by(|a, b| a == b) {
        let state = stretch[0].as_deref().unwrap_or("inspected");
        words.push(format!("{} lines {state}", stretch.len()));
    }
    words
}

/// Fails on a share of the tiles, told by their pixels, so that it is the same whichever worker
/// gets them.
pub(super) struct Unreliable(pub(super) Box<dyn Scorer>);

impl Scorer for Unreliable {
    fn n_planes(&self) -> usize {
        self.0.n_planes()
    }

    fn n_features(&self) -> usize {
        self.0.n_features()
    }

    fn features(&mut self, tile: ArrayView3<'_, f32>) -> Result<Features, ModelError> {
        let bits = tile.iter().map(|value| value.to_bits());
        match bits.fold(7_u32, |sum, bits| sum.rotate_left(5) ^ bits) % 8 {
            0 => panic!("as it was told to"),
            1 => Err(ModelError::Inference {
                doing: "could not run the model",
                reason: "as it was told to".to_owned(),
            }),
            _ => self.0.features(tile),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_fault_is_the_right_gap_at_the_right_place(
        seed in 0..1000_u64,
        plan in plan(),
        n_workers in 1..4_usize,
    ) {
        let taught = TextureArticle::taught();
        let source = Box::new(faulty(seed, &plan));
        let stop = AtomicBool::new(false);
        let told = inspected(&taught.article, &station(), taught.scorers(n_workers), source, &stop);
        told.assert_adds_up();
        let (found, expected) = (told_lines(&told), expected(faulty(seed, &plan)));
        prop_assert_eq!(in_words(&found), in_words(&expected));
    }

    #[test]
    fn workers_that_err_and_panic_lose_their_tiles_and_nothing_else(
        seed in 0..1000_u64,
        plan in plan(),
        n_workers in 1..4_usize,
    ) {
        let taught = TextureArticle::taught();
        let unreliable = |scorer| Box::new(Unreliable(scorer)) as Box<dyn Scorer>;
        let scorers = taught.scorers(n_workers).into_iter().map(unreliable).collect();
        let source = Box::new(faulty(seed, &plan));
        let stop = AtomicBool::new(false);
        let told = inspected(&taught.article, &station(), scorers, source, &stop);
        told.assert_adds_up();
        let is_of_worker = |line: &Option<String>| line.as_ref().is_some_and(|said| said.contains("worker_failed"));
        for (line, (found, expected)) in told_lines(&told).iter().zip(expected(faulty(seed, &plan))).enumerate() {
            prop_assert!(
                *found == expected || expected.is_none() && is_of_worker(found),
                "line {}: found {:?}, expected {:?}", line, found, expected
            );
        }
    }
}

#[test]
fn a_camera_that_dies_ends_its_roll_and_what_was_seen_stays() {
    let taught = TextureArticle::taught();
    let plan = BTreeMap::from([(1, Fault::Lost), (5, Fault::Dead)]);
    let stop = AtomicBool::new(false);
    let (told, error) = inspected_until_it_fails(taught, Box::new(faulty(3, &plan)), &stop);
    assert!(error.contains("the source failed"), "{error}");
    assert_eq!(told.state, RunState::Aborted);
    assert_eq!(told.length_um, 5 * i64::from(LINES) * UM_PER_LINE);
    told.assert_adds_up();
    assert_eq!(told.gaps().len(), 1, "{:?}", told.gaps());
    let kinds: Vec<&str> = told
        .events
        .iter()
        .map(|(kind, _, _)| kind.as_str())
        .collect();
    assert_eq!(kinds, ["frame_lost", "camera_lost"]);
}

#[test]
fn a_stalled_store_costs_a_live_camera_frames_and_the_ledger_says_which() {
    const N_BLOCKS: u64 = 700;
    let taught = TextureArticle::taught();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.db");
    let store = store_at(path.to_str().unwrap(), &taught.article);
    let settings = LoomSettings {
        n_frames: Some(N_BLOCKS),
        frame_height: 32,
        ..good_cloth(3)
    };
    // Somebody else writes from the tenth block to the last but one.
    let other = rusqlite::Connection::open(&path).unwrap();
    let mut source = Between::new(loom(settings), move |captured| {
        if captured.sequence() == 10 {
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
        }
        if captured.sequence() == N_BLOCKS - 1 {
            other.execute_batch("ROLLBACK").unwrap();
        }
    });
    source.description.live = true;
    let (store, run) = inspected_into(
        store,
        &taught.article,
        &station(),
        taught.scorers(2),
        source.boxed(),
        &AtomicBool::new(false),
    );
    let told = Told::of(&store, run);
    told.assert_adds_up();
    assert_eq!(told.state, RunState::Done);
    assert_eq!(told.length_um, N_BLOCKS as i64 * 32 * UM_PER_LINE);
    let gaps = told.gaps();
    assert!(!gaps.is_empty() && gaps.iter().all(|(_, _, reason)| *reason == "overload"));
    assert!(told.has_inspected());
}

#[test]
fn a_picture_without_cloth_is_a_gap_of_its_own_kind() {
    let taught = TextureArticle::taught();
    let folder = tempfile::tempdir().unwrap();
    let mut source = loom(cloth(3));
    let pool = Pool::new(1, source.description().shape.n_bytes());
    while let Some(Captured::Frame(frame)) = source.next(&pool).unwrap() {
        let bytes = match frame.sequence {
            // A table, and nothing on it.
            2 => vec![120; frame.bytes().len()],
            _ => frame.bytes().to_vec(),
        };
        let picture = image::GrayImage::from_raw(frame.width(), frame.height(), bytes);
        let path = folder.path().join(format!("{}.png", frame.sequence));
        picture.unwrap().save(path).unwrap();
    }
    let source = Box::new(ImageFolder::open(folder.path(), 0).unwrap());
    let stop = AtomicBool::new(false);
    let scorers = taught.scorers(2);
    let told = inspected(&taught.article, &station(), scorers, source, &stop);
    told.assert_adds_up();
    let um = |frame: i64| frame * i64::from(LINES) * UM_PER_LINE;
    assert_eq!(told.gaps(), [([um(2), um(3)], [0, WIDTH_UM], "no_cloth")]);
}
