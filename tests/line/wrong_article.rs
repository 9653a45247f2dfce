//! Cloth that is not what was taught: a gap from its first frame on, told once.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use camera::{Captured, Channels, Dyes, Loom, LoomSettings, Pool, Source, Weave};
use models::onnx::Runtime;
use models::{Article, BackboneFile, FalseAlarms, Mode};
use selvedge::teach::TaughtArticle;

use super::floods::Spliced;
use crate::program::{files_in, onnx_runtime};
use crate::texture::{TextureArticle, clean_cloth, loom, station};
use crate::told::{Told, inspected};

/// Length of a frame, µm.
const FRAME_UM: i64 = 25_600;

/// Twelve frames, 0.3 m.
fn cloth(weave: Weave, seed: u64) -> LoomSettings {
    LoomSettings {
        weave,
        n_frames: Some(12),
        ..clean_cloth(seed)
    }
}

fn inspect(taught: &TextureArticle, source: Box<dyn Source>) -> Told {
    let stop = AtomicBool::new(false);
    let scorers = taught.scorers(2);
    let told = inspected(&taught.article, &station(), scorers, source, &stop);
    told.assert_adds_up();
    told
}

/// Ranges along the web that were called another article's, µm, joined where they meet.
fn wrong(told: &Told) -> Vec<[i64; 2]> {
    let mut ranges: Vec<[i64; 2]> = told
        .gaps()
        .into_iter()
        .filter(|(_, _, reason)| *reason == "wrong_article")
        .map(|(along, _, _)| along)
        .collect();
    ranges.sort_unstable();
    ranges.dedup();
    let mut joined: Vec<[i64; 2]> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range[0] <= last[1] => last[1] = last[1].max(range[1]),
            Some(_) | None => joined.push(range),
        }
    }
    joined
}

fn n_events(told: &Told) -> usize {
    let is_of_article =
        |event: &&(String, store::EventSeverity, String)| event.0 == "wrong_article";
    told.events.iter().filter(is_of_article).count()
}

/// Pairs of a weave and another that need not be told apart: two twills of the same yarns.
const ALIKE: [(Weave, Weave); 2] = [
    (Weave::Twill21, Weave::Twill31),
    (Weave::Twill31, Weave::Twill21),
];

/// A weave, and another that has less of fine and of coarse steps than it, as if it were out of focus: it is
/// not inspected either, for that reason.
const AS_IF_BLURRED: [(Weave, Weave); 1] = [(Weave::Mesh, Weave::Satin5)];

/// Wider and higher frames than those of the tests without a network, 205 mm by 51 mm: what a
/// cloth is told by needs some of it.
fn wide_cloth(weave: Weave, seed: u64, n_frames: u64) -> LoomSettings {
    LoomSettings {
        width: 1024,
        frame_height: 256,
        n_frames: Some(n_frames),
        ..cloth(weave, seed)
    }
}

#[test]
fn every_weave_is_wrong_where_another_was_taught() {
    let Some(runtime) = onnx_runtime() else {
        return;
    };
    let mut missed = Vec::new();
    for weave in Weave::ALL {
        let (article, _folder) = taught_by_network(&runtime, &wide_cloth(weave, 1, 12));
        for other in Weave::ALL {
            let told = inspect_by_network(&runtime, &article, wide_cloth(other, 2, 6));
            let wrong = wrong(&told);
            if weave == other {
                assert_eq!((wrong, n_events(&told)), (vec![], 0), "{weave:?}");
            } else if wrong == [[0, 12 * FRAME_UM]] {
                let boxes = told.boxes();
                assert!(boxes.is_empty(), "{weave:?}, {other:?}: {boxes:?}");
                assert_eq!(n_events(&told), 1);
            } else if AS_IF_BLURRED.contains(&(weave, other)) {
                let gaps = told.gaps();
                assert!(gaps.iter().all(|gap| gap.2 == "out_of_focus"), "{gaps:?}");
                assert!(!told.has_inspected() && told.boxes().is_empty());
            } else {
                missed.push((weave, other));
            }
        }
    }
    missed.retain(|pair| !ALIKE.contains(pair));
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn two_kinds_of_cloth_half_and_half_are_refused_with_frames_of_both() {
    let Some(runtime) = onnx_runtime() else {
        return;
    };
    for pair in Weave::ALL.windows(2) {
        let (weave, other) = (pair[0], pair[1]);
        if ALIKE.contains(&(weave, other)) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        for (part, weave, seed) in [("a", weave, 1), ("b", other, 2)] {
            let cloth = wide_cloth(weave, seed, 6);
            let half = tempfile::tempdir().unwrap();
            write(&cloth, half.path());
            for file in files_in(half.path()) {
                let name = file.file_name().unwrap().to_str().unwrap();
                std::fs::copy(&file, folder.path().join(format!("{part}{name}"))).unwrap();
            }
        }
        let (taught, _models) = taught_on(&runtime, folder.path());
        let said = format!("{:#}", taught.err().unwrap());
        for frames in [
            "6 frames (a000.png, a001.png",
            "6 frames (b000.png, b001.png",
        ] {
            assert!(said.contains(frames), "{weave:?}, {other:?}: {said}");
        }
    }
}

#[test]
fn good_cloth_under_a_lamp_that_drifts_is_of_one_kind() {
    let Some(runtime) = onnx_runtime() else {
        return;
    };
    for (lamp_slope, lamp_drift) in [(0.0, 0.0), (0.15, 0.0), (-0.3, 0.1), (0.0, 0.4)] {
        let cloth = LoomSettings {
            lamp_slope,
            lamp_drift,
            ..wide_cloth(Weave::Plain, 1, 12)
        };
        taught_by_network(&runtime, &cloth);
    }
}

/// An article that the network was taught on, and the folder that it lies in.
fn taught_by_network(runtime: &Runtime, cloth: &LoomSettings) -> (Article, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    write(cloth, folder.path());
    let (taught, models) = taught_on(runtime, folder.path());
    (taught.unwrap().article, models)
}

/// What teaching on the pictures in `folder` gives, and where its model lies.
fn taught_on(
    runtime: &Runtime,
    folder: &Path,
) -> (anyhow::Result<TaughtArticle>, tempfile::TempDir) {
    let backbone = BackboneFile::installed(runtime, Mode::Standard).unwrap();
    let teaching = selvedge::teach::Teaching {
        article: "taught",
        sources: &[folder.to_str().unwrap().parse().unwrap()],
        station: &station(),
        asked: FalseAlarms { per_100_m2: 2.0 },
        backbone: &backbone,
        runtime,
        n_workers: 2,
        with_limits: false,
        stop: &AtomicBool::new(false),
    };
    let models = tempfile::tempdir().unwrap();
    let taught = selvedge::teach::teach(&teaching, models.path(), &mut |_, _| {});
    (taught, models)
}

fn inspect_by_network(runtime: &Runtime, article: &Article, cloth: LoomSettings) -> Told {
    let scorers = selvedge::fitting::scorers_of(article, runtime, 2).unwrap();
    let stop = AtomicBool::new(false);
    let told = inspected(article, &station(), scorers, loom(cloth), &stop);
    told.assert_adds_up();
    told
}

#[test]
fn other_rolls_of_the_article_and_another_lamp_are_never_wrong() {
    for weave in [Weave::Plain, Weave::Twill31] {
        let taught = TextureArticle::of(&cloth(weave, 1));
        let lamps = [(0.0, 0.0), (0.0, 0.0), (0.15, 0.0), (-0.3, 0.1), (0.0, 0.4)];
        for (seed, (lamp_slope, lamp_drift)) in (2..).zip(lamps) {
            let told = inspect(
                &taught,
                loom(LoomSettings {
                    lamp_slope,
                    lamp_drift,
                    ..cloth(weave, seed)
                }),
            );
            assert_eq!(wrong(&told), [] as [[i64; 2]; 0], "{weave:?}, seed {seed}");
        }
    }
}

#[test]
fn wrong_cloth_sewn_into_a_roll_is_a_gap_from_seam_to_seam() {
    let taught = TextureArticle::of(&cloth(Weave::Plain, 1));
    let long = |weave, seed| {
        loom(LoomSettings {
            n_frames: Some(48),
            ..cloth(weave, seed)
        })
    };
    let told = inspect(
        &taught,
        Box::new(Spliced {
            usual: long(Weave::Plain, 2),
            other: long(Weave::Twill31, 3),
            replaced: 14..30,
        }),
    );
    let wrong = wrong(&told);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    // What is strange is told of a few low frames together: a seam may be off by one.
    let off = |found: i64, seam: i64| (found - seam * FRAME_UM).abs();
    assert!(off(wrong[0][0], 14) <= FRAME_UM, "{wrong:?}");
    assert!(off(wrong[0][1], 30) <= FRAME_UM, "{wrong:?}");
    assert_eq!(n_events(&told), 2, "{:?}", told.events);
    assert!(told.events.iter().all(|event| event.0 != "unlike_taught"));
    // The seams themselves may be flaws; the cloth behind the second one is judged as ever.
    let unspliced = inspect(&taught, long(Weave::Plain, 2));
    let most = unspliced.flaws.len() + 4;
    assert!(told.flaws.len() <= most, "{:?}", told.boxes());
}

#[test]
fn the_same_weave_in_other_colours_is_wrong() {
    let Some(runtime) = onnx_runtime() else {
        return;
    };
    let dyed = |warp, weft, seed| LoomSettings {
        dyes: Some(Dyes { warp, weft }),
        ..cloth(Weave::Plain, seed)
    };
    let blue = |seed| dyed([0.35, 0.5, 1.0], [0.9, 0.95, 1.0], seed);
    let (article, _folder) = taught_by_network(&runtime, &blue(1));
    let told = |cloth| inspect_by_network(&runtime, &article, cloth);
    assert_eq!(wrong(&told(blue(2))), [] as [[i64; 2]; 0]);
    let red = dyed([1.0, 0.4, 0.3], [1.0, 0.95, 0.9], 2);
    assert_eq!(wrong(&told(red)), [[0, 12 * FRAME_UM]]);
}

/// Writes cloth as pictures.
pub(crate) fn write(cloth: &LoomSettings, folder: &std::path::Path) {
    let mut source = Loom::new(cloth.clone()).unwrap();
    let pool = Pool::new(1, source.description().shape.n_bytes());
    while let Some(Captured::Frame(frame)) = source.next(&pool).unwrap() {
        let name = folder.join(format!("{:03}.png", frame.sequence));
        let (width, height) = (frame.width(), frame.height());
        let colour = match frame.shape().channels {
            Channels::Grey => image::ExtendedColorType::L8,
            Channels::Rgb => image::ExtendedColorType::Rgb8,
        };
        image::save_buffer(name, frame.bytes(), width, height, colour).unwrap();
    }
}
