//! A flaw that is still running, and what the store says meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use calibration::Um;
use camera::{CameraError, Captured, Description, FlawKind, LoomSettings, Pool, Source};
use selvedge::config::Lane;
use selvedge::inspect::inspect;
use selvedge::record::Written;
use selvedge::running::Running;
use store::{CoverState, Store};

use crate::program::onnx_runtime;
use crate::texture::{TextureArticle, good_cloth, loom, narrow_cloth, station};
use crate::told::{
    Told, inspected, inspected_into, inspected_lanes_into, inspection, store_at, store_with,
};

/// Where the flaw begins and ends, in lines; at 0.2 mm each it runs 1.28 m, five times the
/// window of the reference.
const FLAW: std::ops::Range<i64> = 768..7168;

/// A loom that looks into the store before each frame, as a reader after a power cut would.
struct Onlooker {
    loom: Box<dyn Source>,
    store: PathBuf,
    n_looks_at_coverage: Arc<AtomicUsize>,
}

impl Source for Onlooker {
    fn description(&self) -> &Description {
        self.loom.description()
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let store = Store::open_existing(self.store.to_str().unwrap()).unwrap();
        let run = store.rolls().unwrap()[0].latest_run;
        let flaw_um = FLAW.start * 200;
        let has_flaw = store
            .flaws(run)
            .unwrap()
            .iter()
            .any(|flaw| flaw.length_um > 1_000_000);
        for cell in store.coverage(run).unwrap() {
            self.n_looks_at_coverage.fetch_add(1, Ordering::Relaxed);
            // A frame that the flaw had not yet reached, and nothing behind it.
            let is_before = cell.rect.along().end <= flaw_um;
            assert!(
                is_before || has_flaw || cell.state != CoverState::Inspected,
                "{cell:?} is inspected, and its flaw is not in the store"
            );
        }
        self.loom.next(pool)
    }
}

#[test]
fn a_running_flaw_is_one_flaw_and_no_cloth_under_it_is_called_inspected_before() {
    let taught = TextureArticle::taught();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("qc.db");
    let store = store_at(file.to_str().unwrap(), &taught.article);
    let settings = LoomSettings {
        n_frames: Some(64),
        ..good_cloth(6)
    };
    let n_looks_at_coverage = Arc::new(AtomicUsize::new(0));
    let source = Onlooker {
        loom: loom(settings.with_flaw(FlawKind::Stain, FLAW, 200..220, 4.0)),
        store: file,
        n_looks_at_coverage: Arc::clone(&n_looks_at_coverage),
    };
    let (store, run) = inspected_into(
        store,
        &taught.article,
        &station(),
        taught.scorers(2),
        Box::new(source),
        &AtomicBool::new(false),
    );
    let told = Told::of(&store, run);
    told.assert_adds_up();
    assert!(n_looks_at_coverage.load(Ordering::Relaxed) > 50);
    // The stain is an ellipse, so its ends are too thin to be seen.
    let planted_um = [FLAW.start, FLAW.end].map(|line| line * 200);
    let column_um = 42_000;
    let long: Vec<_> = told
        .flaws
        .iter()
        .filter(|flaw| flaw.length_um > 200_000 && flaw.rect.across().contains(&column_um))
        .collect();
    let [flaw] = long[..] else {
        panic!("expected one long flaw, found {:?}", told.boxes());
    };
    let (start, end) = (flaw.rect.along().start, flaw.rect.along().end);
    assert!(
        planted_um[0] <= start && end <= planted_um[1] && end - start > 900_000,
        "planted {planted_um:?}, found {:?}",
        told.boxes()
    );
}

/// Frames in 40 m of narrow cloth, and their lines.
const LONG: u64 = 196;
const FORTY_METRES: i64 = LONG as i64 * 1024;

/// A roll of narrow cloth as it was told.
fn narrow_roll(cloth: LoomSettings) -> Told {
    let taught = TextureArticle::narrow();
    let told = inspected(
        &taught.article,
        &station(),
        taught.scorers(2),
        loom(cloth),
        &AtomicBool::new(false),
    );
    told.assert_adds_up();
    told
}

#[test]
fn an_end_that_is_out_from_the_first_millimetre_for_forty_metres_is_one_flaw() {
    let cloth = narrow_cloth(4, LONG).with_flaw(FlawKind::EndOut, 0..FORTY_METRES, 120..124, 1.5);
    let told = narrow_roll(cloth);
    let column_um = 24_400;
    let of_end: Vec<_> = told
        .flaws
        .iter()
        .filter(|flaw| flaw.rect.across().contains(&column_um))
        .collect();
    let [flaw] = of_end[..] else {
        panic!("expected one flaw there, found {:?}", told.boxes());
    };
    let planted_um = FORTY_METRES * 200;
    let off = (flaw.length_um - planted_um).abs() as f64 / planted_um as f64;
    assert!(off < 0.01, "planted {planted_um}, found {:?}", told.boxes());
}

/// What is told of running flaws, every metre, with so many workers; and the length in µm of the
/// longest flaw that is then in the store.
fn told_while_running(cloth: LoomSettings, n_workers: usize) -> (Vec<Running>, i64) {
    let taught = TextureArticle::narrow();
    let mut station = station();
    station.alarms.running = Some(Um(1_000_000));
    let stop = AtomicBool::new(false);
    let inspection = inspection(
        &taught.article,
        &station,
        taught.scorers(n_workers),
        vec![loom(cloth)],
        &stop,
    );
    let mut told = Vec::new();
    let mut announce = |written: Written<'_>| {
        if let Written::Running(running) = written {
            told.push(running);
        }
    };
    let store = store_with(&taught.article);
    let (store, run) = inspect(inspection, store, &mut announce, &mut || {}).unwrap();
    let flaws = store.flaws(run).unwrap();
    let longest = flaws.iter().map(|flaw| flaw.length_um).max();
    (told, longest.unwrap())
}

#[test]
fn a_running_flaw_is_told_every_metre_and_when_it_ends() {
    let lines = 2048..2048 + 17_000;
    let cloth = narrow_cloth(4, 24).with_flaw(FlawKind::EndOut, lines, 120..124, 3.0);
    let (told, length_um) = told_while_running(cloth.clone(), 1);
    let said: Vec<String> = told.iter().map(ToString::to_string).collect();
    let n_metres = (length_um / 1_000_000) as usize;
    assert!(n_metres >= 2, "{said:?}");
    assert_eq!(told.len(), n_metres + 1, "{said:?}");
    for (nth, running) in told[..n_metres].iter().enumerate() {
        assert!(
            !running.has_ended && running.across.contains(Um(24_400)),
            "{said:?}"
        );
        assert_eq!(running.length, Um(1_000_000 * (nth as i64 + 1)), "{said:?}");
        // Told by the frame in which it passed: no frame is longer than 205 mm.
        let late = running.along.length() - running.length;
        assert!(late < Um(205_000), "{said:?}");
    }
    let end = told[n_metres];
    assert!(
        end.has_ended && end.length == Um(length_um),
        "{said:?}, {length_um}"
    );
    assert_eq!(told_while_running(cloth, 3).0, told);
}

#[test]
fn the_next_rolls_of_good_cloth_show_no_line_at_their_start() {
    for seed in 20..26 {
        let told = narrow_roll(narrow_cloth(seed, 4));
        let long = told.flaws.iter().any(|flaw| flaw.length_um > 50_000);
        assert!(!long, "seed {seed}: {:?}", told.boxes());
    }
}

#[test]
fn each_lane_of_a_taught_network_knows_its_columns_and_sees_an_end_from_the_start() {
    let Some(runtime) = onnx_runtime() else {
        return;
    };
    let backbone = models::BackboneFile::installed(&runtime, models::Mode::Standard).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut station = station();
    station.lanes.push(Lane {
        offset: calibration::um_from_mm(400.0),
        ..station.lanes[0].clone()
    });
    let stop = AtomicBool::new(false);
    let teaching = selvedge::teach::Teaching {
        article: "plain",
        sources: &["loom:1".parse().unwrap(), "loom:2".parse().unwrap()],
        station: &station,
        asked: models::FalseAlarms { per_100_m2: 2.0 },
        backbone: &backbone,
        runtime: &runtime,
        n_workers: 2,
        with_limits: false,
        stop: &stop,
    };
    let taught = selvedge::teach::teach(&teaching, folder.path(), &mut |_, _| {}).unwrap();
    let passport = taught.article.passport();
    assert_eq!(passport.taught.source, "loom:1, loom:2");
    assert_eq!(passport.lanes.len(), 2);
    let sources = [7, 8].map(|seed| {
        let cloth = LoomSettings::new(seed);
        loom(if seed == 8 {
            cloth.with_flaw(FlawKind::EndOut, 0..4096, 900..906, 1.5)
        } else {
            cloth
        })
    });
    let (store, run) = inspected_lanes_into(
        store_at(":memory:", &taught.article),
        &taught.article,
        &station,
        selvedge::fitting::scorers_of(&taught.article, &runtime, 2).unwrap(),
        sources.into(),
        &stop,
    );
    let told = Told::of(&store, run);
    told.assert_adds_up();
    let long: Vec<_> = told
        .flaws
        .iter()
        .filter(|flaw| flaw.length_um > 50_000)
        .collect();
    let [flaw] = long[..] else {
        panic!("expected one long flaw, found {:?}", told.boxes());
    };
    assert_eq!(flaw.rect.along(), 0..4096 * 200, "{:?}", told.boxes());
    assert!(flaw.rect.across().contains(&(400_000 + 903 * 200)));
}

/// Good narrow cloth as pictures in `folder`, for what teaches from a source by name.
fn write_narrow_cloth(folder: &std::path::Path, n_frames: u64) {
    let mut source = loom(narrow_cloth(1, n_frames));
    let shape = source.description().shape;
    let pool = Pool::new(1, shape.n_bytes());
    while let Some(Captured::Frame(frame)) = source.next(&pool).unwrap() {
        let pixels = image::GrayImage::from_raw(shape.width, shape.height, frame.bytes().to_vec());
        let path = folder.join(format!("{:03}.png", frame.sequence));
        pixels.unwrap().save(path).unwrap();
    }
}

#[test]
fn an_end_that_goes_out_in_mid_roll_for_forty_metres_is_one_flaw_with_its_length() {
    let Some(runtime) = onnx_runtime() else {
        return;
    };
    let backbone = models::BackboneFile::installed(&runtime, models::Mode::Standard).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_narrow_cloth(folder.path(), 24);
    let (station, stop) = (station(), AtomicBool::new(false));
    let teaching = selvedge::teach::Teaching {
        article: "narrow",
        sources: &[folder.path().to_str().unwrap().parse().unwrap()],
        station: &station,
        asked: models::FalseAlarms { per_100_m2: 2.0 },
        backbone: &backbone,
        runtime: &runtime,
        n_workers: 2,
        with_limits: false,
        stop: &stop,
    };
    let taught = selvedge::teach::teach(&teaching, folder.path(), &mut |_, _| {}).unwrap();
    let lines = 7_000..7_000 + 200_000;
    let cloth = narrow_cloth(4, 204).with_flaw(FlawKind::EndOut, lines.clone(), 120..124, 1.5);
    let told = inspected(
        &taught.article,
        &station,
        selvedge::fitting::scorers_of(&taught.article, &runtime, 2).unwrap(),
        loom(cloth),
        &stop,
    );
    told.assert_adds_up();
    let of_end: Vec<_> = told
        .flaws
        .iter()
        .filter(|flaw| flaw.rect.across().contains(&24_400))
        .collect();
    let [flaw] = of_end[..] else {
        panic!("expected one flaw there, found {:?}", told.boxes());
    };
    let (found, planted) = (flaw.rect.along(), [lines.start * 200, lines.end * 200]);
    let off = (found.start - planted[0])
        .abs()
        .max((found.end - planted[1]).abs());
    assert!(
        off < 100_000,
        "planted {planted:?}, found {:?}",
        told.boxes()
    );
}
