//! Cloth, runs and flaws in a few words, and the check that every server must pass.

use store::{
    Batch, CoverState, CoverageCell, Crop, CropPlace, Digest, EndState, LengthKnown, Name, NewCrop,
    NewFlaw, NewModel, NewRun, Rect, RollChoice, RunEnd, RunId, Store,
};

/// Whole millimetres in micrometres.
pub(crate) fn mm(mm: i64) -> i64 {
    mm * 1000
}

/// A rectangle in millimetres: along from, to, across from, to.
pub(crate) fn rect(along0: i64, along1: i64, across0: i64, across1: i64) -> Rect {
    Rect::new(mm(along0)..mm(along1), mm(across0)..mm(across1)).unwrap()
}

pub(crate) fn inspected(rect: Rect) -> CoverageCell {
    CoverageCell {
        rect,
        state: CoverState::Inspected,
    }
}

pub(crate) fn beside(rect: Rect) -> CoverageCell {
    CoverageCell {
        rect,
        state: CoverState::Beside,
    }
}

pub(crate) fn gap(rect: Rect, reason: &str) -> CoverageCell {
    CoverageCell {
        rect,
        state: CoverState::Gap(reason.to_owned()),
    }
}

pub(crate) fn covers(coverage: Vec<CoverageCell>) -> Batch {
    Batch {
        coverage,
        ..Batch::default()
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn digest(digit: char) -> Digest {
    Digest::new(&digit.to_string().repeat(64)).unwrap()
}

pub(crate) fn model(article: &str, digit: char) -> NewModel {
    NewModel {
        digest: digest(digit),
        article: name(article),
        passport_json: format!(r#"{{"article":{article:?},"digit":"{digit}"}}"#),
        file_name: format!("{digit}.onnx"),
        taught_at_us: 1_700_000_000_000_000 + i64::from(digit as u32),
    }
}

pub(crate) fn new_run(article: &str, roll: &str) -> NewRun {
    NewRun {
        roll: name(roll),
        roll_choice: RollChoice::LatestOrNew,
        article: name(article),
        order: None,
        model: digest('a'),
        calibration_json: r#"{"lanes":1}"#.to_owned(),
        engine_version: "0.1.0".to_owned(),
        runtime_version: "1.28.0".to_owned(),
        device: "cpu".to_owned(),
        batch_shape: "4x3x256x256".to_owned(),
        mm_per_px: 0.1 + 0.2,
        station: Some(name("loom 7")),
        length_known: LengthKnown::Encoder,
    }
}

/// A run under way, of article "twill" and model `a`.
pub(crate) fn begun(store: &mut Store, roll: &str) -> RunId {
    store.register_model(&model("twill", 'a')).unwrap();
    store.begin_run(&new_run("twill", roll)).unwrap()
}

/// A hole of 4 mm with its picture.
pub(crate) fn hole(along_mm: i64, across_mm: i64) -> NewFlaw {
    NewFlaw {
        class: "hole".to_owned(),
        rect: rect(along_mm, along_mm + 4, across_mm, across_mm + 4),
        length_um: mm(4),
        area_um2: mm(4) * mm(4),
        score: 1.5,
        severity: "severe".to_owned(),
        found_at_us: 1_700_000_000_000_000,
        crop: Some(NewCrop::Kept(crop(along_mm))),
    }
}

pub(crate) fn crop(seed: i64) -> Crop {
    Crop {
        png: seed.to_le_bytes().repeat(32),
        place: CropPlace {
            lane: 1,
            frame: 70_000,
            x_px: 10,
            y_px: 20,
            width_px: 64,
            height_px: 48,
            margin_px: 16,
        },
    }
}

pub(crate) fn done(length_mm: i64, width_mm: i64) -> RunEnd {
    RunEnd {
        length_um: mm(length_mm),
        width_um: mm(width_mm),
        cloth_width: None,
        length_known: None,
        state: EndState::Done,
        message: None,
    }
}
