//! The line: the same store whatever the workers do, and every millimetre accounted for.

mod faults;
mod floods;
mod focus;
mod lanes;
mod ledger;
mod recording;
mod resumed;
mod running;
mod seams;
mod width;
mod wrong_article;

pub(crate) use self::wrong_article::write;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use camera::{Beside, CameraError, Captured, Description, FlawKind, LoomSettings, Pool, Source};
use models::{Features, ModelError, Scorer};
use ndarray::ArrayView3;
use store::RunState;

use crate::program::onnx_runtime;
use crate::texture::{TextureArticle, good_cloth, loom, station};
use crate::told::inspected;

/// Cloth with a hole, a streak over four frames and a stain, and two lost frames.
fn flawed_cloth(seed: u64) -> LoomSettings {
    let mut settings = good_cloth(seed);
    settings.n_frames = Some(10);
    settings.lost = [6, 7].into();
    settings
        .with_flaw(FlawKind::Hole, 60..100, 200..240, 3.0)
        .with_flaw(FlawKind::Stain, 180..640, 380..400, 4.0)
        .with_flaw(FlawKind::Stain, 1080..1140, 500..560, 3.0)
}

/// Waits, without sleeping, for a while that only its seed knows.
struct Dawdler {
    inner: Box<dyn Scorer>,
    state: u64,
}

impl Dawdler {
    fn dawdle(&mut self) {
        // An xorshift generator: any will do, as long as each worker has its own.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        for _ in 0..self.state % 300 {
            std::thread::yield_now();
        }
        for _ in 0..self.state % 20_011 {
            std::hint::spin_loop();
        }
    }
}

impl Scorer for Dawdler {
    fn n_planes(&self) -> usize {
        self.inner.n_planes()
    }

    fn n_features(&self) -> usize {
        self.inner.n_features()
    }

    fn features(&mut self, tile: ArrayView3<'_, f32>) -> Result<Features, ModelError> {
        self.dawdle();
        let features = self.inner.features(tile);
        self.dawdle();
        features
    }
}

fn dawdling(scorers: Vec<Box<dyn Scorer>>, seed: u64) -> Vec<Box<dyn Scorer>> {
    let seeds = seed * 1000 + 1..;
    scorers
        .into_iter()
        .zip(seeds)
        .map(|(inner, state)| Box::new(Dawdler { inner, state }) as Box<dyn Scorer>)
        .collect()
}

#[test]
fn one_worker_and_eight_that_dawdle_leave_the_same_store() {
    let taught = TextureArticle::taught();
    let run = |n_workers, seed| {
        let scorers = dawdling(taught.scorers(n_workers), seed);
        let source = loom(flawed_cloth(7));
        inspected(
            &taught.article,
            &station(),
            scorers,
            source,
            &AtomicBool::new(false),
        )
    };
    let alone = run(1, 1);
    alone.assert_adds_up();
    assert!(alone.flaws.len() >= 3, "{:?}", alone.boxes());
    assert!(alone.flaws.iter().any(|flaw| flaw.class == "end_out"));
    assert_eq!(alone.gaps().len(), 1, "two lost frames are one stretch");
    for seed in 2..6 {
        assert_eq!(run(8, seed), alone, "delays of seed {seed}");
    }
}

#[test]
fn one_onnx_session_and_eight_that_dawdle_leave_the_same_store() {
    let Some(runtime) = onnx_runtime() else {
        return;
    };
    let backbone = models::BackboneFile::installed(&runtime, models::Mode::Standard).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let teaching = selvedge::teach::Teaching {
        article: "plain",
        sources: &["loom:1".parse().unwrap()],
        station: &station(),
        asked: models::FalseAlarms { per_100_m2: 2.0 },
        backbone: &backbone,
        runtime: &runtime,
        n_workers: 2,
        with_limits: false,
        stop: &AtomicBool::new(false),
    };
    let taught = selvedge::teach::teach(&teaching, folder.path(), &mut |_, _| {}).unwrap();
    let run = |n_workers, seed| {
        let scorers = selvedge::fitting::scorers_of(&taught.article, &runtime, n_workers).unwrap();
        let mut settings = LoomSettings::new(5)
            .with_flaw(FlawKind::Hole, 100..140, 700..740, 3.0)
            .with_flaw(FlawKind::Stain, 200..700, 1300..1320, 4.0);
        settings.n_frames = Some(4);
        let source = loom(settings);
        let scorers = dawdling(scorers, seed);
        inspected(
            &taught.article,
            &station(),
            scorers,
            source,
            &AtomicBool::new(false),
        )
    };
    let alone = run(1, 1);
    alone.assert_adds_up();
    assert!(alone.flaws.len() >= 2, "{:?}", alone.boxes());
    assert_eq!(run(8, 2), alone);
}

/// What a chosen tile does to its worker.
#[derive(Clone, Copy)]
enum Failure {
    Error,
    Panic,
}

/// Fails on chosen tiles, told by their pixels: which worker gets a tile is chance.
struct Flaky {
    inner: Box<dyn Scorer>,
    fails: HashMap<u64, Failure>,
    seen: Arc<Mutex<Vec<u64>>>,
}

impl Scorer for Flaky {
    fn n_planes(&self) -> usize {
        self.inner.n_planes()
    }

    fn n_features(&self) -> usize {
        self.inner.n_features()
    }

    fn features(&mut self, tile: ArrayView3<'_, f32>) -> Result<Features, ModelError> {
        let mut hasher = DefaultHasher::new();
        tile.iter()
            .for_each(|value| value.to_bits().hash(&mut hasher));
        let looks = hasher.finish();
        self.seen.lock().unwrap().push(looks);
        match self.fails.get(&looks) {
            Some(Failure::Error) => Err(ModelError::Inference {
                doing: "could not run the model",
                reason: "as it was told to".to_owned(),
            }),
            Some(Failure::Panic) => panic!("as it was told to"),
            None => self.inner.features(tile),
        }
    }
}

/// Frames of two tiles each, side by side, all of it cloth.
fn two_tiles_a_frame() -> LoomSettings {
    LoomSettings {
        width: 768,
        frame_height: 64,
        n_frames: Some(4),
        left: Beside::Cloth,
        right: Beside::Cloth,
        ..LoomSettings::new(9)
    }
}

#[test]
fn a_worker_that_fails_leaves_a_gap_where_its_tile_was_and_nowhere_else() {
    let taught = TextureArticle::taught();
    let run = |n_workers: usize, fails: &HashMap<u64, Failure>| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let scorers = (0..n_workers)
            .map(|_| {
                let (fails, seen) = (fails.clone(), Arc::clone(&seen));
                let inner = taught.scorer();
                Box::new(Flaky { inner, fails, seen }) as Box<dyn Scorer>
            })
            .collect();
        let source = loom(two_tiles_a_frame());
        let stop = AtomicBool::new(false);
        let told = inspected(&taught.article, &station(), scorers, source, &stop);
        (told, Arc::into_inner(seen).unwrap().into_inner().unwrap())
    };
    let (whole, seen) = run(1, &HashMap::new());
    assert_eq!((whole.gaps().len(), seen.len()), (0, 8));

    // The right half of the second frame, and the left half of the third.
    let fails = HashMap::from([(seen[3], Failure::Error), (seen[4], Failure::Panic)]);
    let (told, _) = run(1, &fails);
    told.assert_adds_up();
    let mm = |from: i64, to: i64| [from * 200, to * 200];
    assert_eq!(
        told.gaps(),
        [
            (mm(64, 128), mm(384, 768), "worker_failed"),
            (mm(128, 192), mm(0, 384), "worker_failed"),
        ]
    );
    let messages: Vec<&str> = told
        .events
        .iter()
        .map(|(_, _, said)| said.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "frame 1, tile at row 0, column 384: ONNX Runtime could not run the model: as it was told to",
            "frame 2, tile at row 0, column 0: the worker panicked: as it was told to",
        ]
    );
    assert_eq!(told.state, RunState::Done, "the line goes on where it can");
    assert_eq!(run(8, &fails).0, told);
}

/// Passes a source's exposures on, after `each` has seen and perhaps changed them.
struct Between<F> {
    inner: Box<dyn Source>,
    description: Description,
    each: F,
}

impl<F: FnMut(&mut Captured) + Send + 'static> Between<F> {
    fn new(inner: Box<dyn Source>, each: F) -> Self {
        Self {
            description: inner.description().clone(),
            inner,
            each,
        }
    }

    fn boxed(self) -> Box<dyn Source> {
        Box::new(self)
    }
}

impl<F: FnMut(&mut Captured) + Send> Source for Between<F> {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let mut next = self.inner.next(pool)?;
        if let Some(captured) = &mut next {
            (self.each)(captured);
        }
        Ok(next)
    }
}

#[test]
fn a_stop_half_way_leaves_a_true_short_roll() {
    let taught = TextureArticle::taught();
    let stop = Arc::new(AtomicBool::new(false));
    let signal = Arc::clone(&stop);
    let source = Between::new(loom(good_cloth(3)), move |captured| {
        if captured.sequence() == 3 {
            signal.store(true, Ordering::Relaxed);
        }
    });
    let told = inspected(
        &taught.article,
        &station(),
        taught.scorers(2),
        source.boxed(),
        &stop,
    );
    assert_eq!(told.state, RunState::Aborted);
    assert_eq!(
        told.length_um,
        4 * 128 * 200,
        "frames that were exposed are inspected"
    );
    assert!(
        told.message
            .as_deref()
            .is_some_and(|said| said.contains("stopped"))
    );
    assert_eq!(told.gaps(), []);
    told.assert_adds_up();
}

#[test]
fn ticks_that_no_frame_accounts_for_are_a_gap() {
    let taught = TextureArticle::taught();
    let source = Between::new(loom(good_cloth(3)), |captured| {
        if let Captured::Frame(frame) = captured
            && frame.sequence >= 5
        {
            frame.ticks = frame.ticks.start + 77..frame.ticks.end + 77;
        }
    });
    let stop = AtomicBool::new(false);
    let told = inspected(
        &taught.article,
        &station(),
        taught.scorers(2),
        source.boxed(),
        &stop,
    );
    told.assert_adds_up();
    assert_eq!(
        told.gaps(),
        [([640 * 200, 717 * 200], [0, 640 * 200], "frame_lost")]
    );
    assert_eq!(told.length_um, (8 * 128 + 77) * 200);
}

/// Opens once, for everybody.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let mut is_open = self.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.opened.wait(is_open).unwrap();
        }
    }
}

/// Scores nothing before the gate opens.
struct Stalled {
    inner: Box<dyn Scorer>,
    gate: Arc<Gate>,
}

impl Scorer for Stalled {
    fn n_planes(&self) -> usize {
        self.inner.n_planes()
    }

    fn n_features(&self) -> usize {
        self.inner.n_features()
    }

    fn features(&mut self, tile: ArrayView3<'_, f32>) -> Result<Features, ModelError> {
        self.gate.wait();
        self.inner.features(tile)
    }
}

#[test]
fn a_live_camera_that_is_too_fast_loses_frames_and_the_ledger_says_which() {
    const N_FRAMES: u64 = 40;
    let taught = TextureArticle::taught();
    let gate = Arc::new(Gate::default());
    let opener = Arc::clone(&gate);
    let n_seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&n_seen);
    let mut settings = good_cloth(3);
    settings.n_frames = Some(N_FRAMES);
    let mut source = Between::new(loom(settings), move |captured| {
        counter.fetch_add(1, Ordering::Relaxed);
        if captured.sequence() == N_FRAMES - 1 {
            opener.open();
        }
    });
    source.description.live = true;
    let scorer = Stalled {
        inner: taught.scorer(),
        gate,
    };
    let stop = AtomicBool::new(false);
    let told = inspected(
        &taught.article,
        &station(),
        vec![Box::new(scorer)],
        source.boxed(),
        &stop,
    );
    assert_eq!(n_seen.load(Ordering::Relaxed) as u64, N_FRAMES);
    told.assert_adds_up();
    assert_eq!(told.length_um, N_FRAMES as i64 * 128 * 200);
    let gaps = told.gaps();
    assert!(!gaps.is_empty() && gaps.iter().all(|(_, _, reason)| *reason == "overload"));
    assert!(told.has_inspected());
}
