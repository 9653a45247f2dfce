//! A model's file gives in plain Python what it gives in Selvedge.
//!
//! ```text
//! teach ─▶ file ─┬─▶ parity/score.py (ONNX Runtime's own wheel) ─▶ features, score ─┐
//!                └─▶ Article::scorer ─────────────────────────────▶ features ───────┴─▶ compared
//! ```
//!
//! Whoever takes the `.onnx` file elsewhere must find there what was taught here. Runs for every
//! mode that is installed. Where `SELVEDGE_PYTHON`, else `python3`, has no `onnxruntime`, or ONNX
//! Runtime is not installed here, it says `NOT RUN` aloud.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use camera::{Captured, Loom, LoomSettings, Pool, Source};
use image::{ExtendedColorType, save_buffer};
use models::onnx::Runtime;
use models::{Article, BackboneFile, FalseAlarms, Mode, ModelError, Scorer};
use ndarray::{Array4, Axis};
use selvedge::config::Station;
use selvedge::teach::{Teaching, teach};

use crate::program::onnx_runtime;
use crate::{not_run, tree};

/// Largest difference of a feature, which has a standard deviation of 1 on good cloth, or of a score
/// in units of the taught scale. Other versions and threads add in another order.
const TOLERANCE: f32 = 1e-3;

/// What `score.py` prints.
#[derive(serde::Deserialize)]
struct Told {
    mode: String,
    pixels: [usize; 4],
    features: [usize; 4],
    score: [usize; 3],
    largest_difference: f32,
    outputs: Vec<String>,
}

/// A Python that has what the script needs.
fn python() -> Option<OsString> {
    let python = std::env::var_os("SELVEDGE_PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python)
        .args(["-c", "import numpy, onnxruntime"])
        .output();
    match found {
        Ok(output) if output.status.success() => Some(python),
        _ => {
            not_run(&format!(
                "{python:?} has no numpy and onnxruntime; SELVEDGE_PYTHON names another one"
            ));
            None
        }
    }
}

/// Four small pictures of good cloth.
fn good_cloth(folder: &Path) {
    let settings = LoomSettings {
        width: 320,
        frame_height: 192,
        n_frames: Some(4),
        ..LoomSettings::new(3)
    };
    let (width, height) = (settings.width, settings.frame_height);
    let mut loom = Loom::new(settings).unwrap();
    let pool = Pool::new(1, loom.description().shape.n_bytes());
    let mut nth = 0;
    while let Some(captured) = loom.next(&pool).unwrap() {
        let Captured::Frame(frame) = captured else {
            panic!("the loom lost a frame");
        };
        let file = folder.join(format!("{nth}.png"));
        save_buffer(file, frame.bytes(), width, height, ExtendedColorType::L8).unwrap();
        nth += 1;
    }
}

fn taught(runtime: &Runtime, mode: Mode, folder: &Path) -> Option<Article> {
    let backbone = match BackboneFile::installed(runtime, mode) {
        Err(error @ ModelError::NoBackbone { .. }) => {
            not_run(&error.to_string());
            return None;
        }
        found => found.unwrap(),
    };
    let good = folder.join("good");
    std::fs::create_dir(&good).unwrap();
    good_cloth(&good);
    let teaching = Teaching {
        article: "plain",
        sources: &[good.to_str().unwrap().parse().unwrap()],
        station: &Station::at_scale(0.2).unwrap(),
        asked: FalseAlarms { per_100_m2: 2.0 },
        backbone: &backbone,
        runtime,
        n_workers: 1,
        with_limits: false,
        stop: &AtomicBool::new(false),
    };
    Some(teach(&teaching, folder, &mut |_, _| {}).unwrap().article)
}

fn floats(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap();
    let items = bytes.as_chunks().0.iter();
    items.map(|item| f32::from_le_bytes(*item)).collect()
}

fn same_in_python_as_here(mode: Mode) {
    let Some(python) = python() else { return };
    let Some(runtime) = onnx_runtime() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(article) = taught(&runtime, mode, folder.path()) else {
        return;
    };

    let output = Command::new(python)
        .arg(tree("tests/parity/score.py"))
        .args([article.path(), folder.path()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let told: Told = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!(told.mode, mode.as_str());
    assert_eq!(told.outputs, ["features", "score"]);
    assert!(
        told.largest_difference < TOLERANCE,
        "golden scores differ by {}",
        told.largest_difference
    );
    let pixels = floats(&folder.path().join("pixels.f32"));
    let pixels = Array4::from_shape_vec(told.pixels, pixels).unwrap();
    let features = floats(&folder.path().join("features.f32"));
    let features = Array4::from_shape_vec(told.features, features).unwrap();
    let score = floats(&folder.path().join("score.f32"));
    assert_eq!(told.score[0], pixels.len_of(Axis(0)));
    let taught_scale = article.passport().judgement.taught_scale;
    let mut scorer = article.scorer(&runtime).unwrap();
    let mut scores = score.chunks(told.score[1] * told.score[2]);
    for (tile, expected) in pixels.outer_iter().zip(features.outer_iter()) {
        let found = scorer.features(tile).unwrap();
        let found = found.view();
        assert_eq!(found.shape(), expected.shape());
        let largest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let largest = largest.fold(0.0, f32::max);
        assert!(largest < TOLERANCE, "features differ by {largest}");
        // The score is the mean square of the features in units of the taught scale.
        let squares = found.map_axis(Axis(0), |cell| cell.dot(&cell) / cell.len() as f32);
        let largest = squares
            .iter()
            .zip(scores.next().unwrap())
            .map(|(square, score)| (square / taught_scale - score).abs())
            .fold(0.0, f32::max);
        assert!(largest < TOLERANCE, "scores differ by {largest}");
    }
}

#[test]
fn a_fast_model_scores_in_plain_python_as_here() {
    same_in_python_as_here(Mode::Fast);
}

#[test]
fn a_standard_model_scores_in_plain_python_as_here() {
    same_in_python_as_here(Mode::Standard);
}

#[test]
fn a_quality_model_scores_in_plain_python_as_here() {
    same_in_python_as_here(Mode::Quality);
}
