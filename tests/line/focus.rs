//! Cloth that is out of focus: a gap from its first frame to its last, where it is blurred and nowhere
//! else.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use camera::{Buffer, Captured, FlawKind, Frame, LoomSettings, Source};
use models::Article;
use store::{CoverState, CoverageCell};

use super::Between;
use crate::texture::{TextureArticle, clean_cloth, loom, station};
use crate::told::{Told, inspected};

/// Length of a frame, µm, and of a line.
const FRAME_UM: i64 = 25_600;
const LINE_UM: i64 = 200;

fn cloth(seed: u64) -> LoomSettings {
    LoomSettings {
        n_frames: Some(36),
        ..clean_cloth(seed)
    }
}

/// The columns of a grey frame through a lens that blurs by a Gaussian of `sigma` px.
pub(super) fn blur(frame: &Frame, columns: &Range<usize>, sigma: f32) -> Frame {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let reach = (3.0 * sigma).ceil() as i64;
    let weights: Vec<f32> = (-reach..=reach)
        .map(|step| (-(step as f32).powi(2) / (2.0 * sigma * sigma)).exp())
        .collect();
    let all: f32 = weights.iter().sum();
    let sum = |level: &dyn Fn(i64) -> f32| -> f32 {
        let steps = (-reach..=reach).zip(&weights);
        steps
            .map(|(step, weight)| weight * level(step))
            .sum::<f32>()
            / all
    };
    let sharp: Vec<f32> = frame.bytes().iter().map(|byte| f32::from(*byte)).collect();
    let at = |place: i64, n: usize| place.clamp(0, n as i64 - 1) as usize;
    let mut half = sharp.clone();
    for row in 0..height {
        for column in columns.clone() {
            let level = |step| sharp[row * width + at(column as i64 + step, width)];
            half[row * width + column] = sum(&level);
        }
    }
    let mut soft = frame.bytes().to_vec();
    for row in 0..height {
        for column in columns.clone() {
            let level = |step| half[at(row as i64 + step, height) * width + column];
            soft[row * width + column] = sum(&level).round() as u8;
        }
    }
    with_bytes(frame, &soft)
}

/// The same exposure, of other pixels.
pub(super) fn with_bytes(frame: &Frame, bytes: &[u8]) -> Frame {
    let mut buffer = Buffer::alone(bytes.len());
    buffer.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    let (ticks, shape) = (frame.ticks.clone(), frame.shape());
    let mut other = Frame::new(frame.camera, frame.sequence, ticks, shape, buffer).unwrap();
    other.taken_at = frame.taken_at;
    other
}

/// A roll of which these frames are blurred over these columns.
fn blurred(cloth: LoomSettings, frames: Range<u64>, columns: Range<usize>) -> Box<dyn Source> {
    let each = move |captured: &mut Captured| {
        if let Captured::Frame(frame) = captured
            && frames.contains(&frame.sequence)
        {
            *frame = blur(frame, &columns, 2.0);
        }
    };
    Between::new(loom(cloth), each).boxed()
}

fn inspect(article: &Article, source: Box<dyn Source>) -> Told {
    let scorers = TextureArticle::clean().scorers(2);
    let told = inspected(
        article,
        &station(),
        scorers,
        source,
        &AtomicBool::new(false),
    );
    told.assert_adds_up();
    told
}

/// From where to where gaps reach along, µm, where they follow each other.
fn reach(told: &Told) -> Option<[i64; 2]> {
    let mut along: Vec<[i64; 2]> = told.gaps().into_iter().map(|gap| gap.0).collect();
    // One gap stands in pieces: per quarter, and where the cloth's edges wander.
    along.sort_unstable();
    along.into_iter().reduce(|all, along| {
        assert!(along[0] <= all[1], "cloth between two gaps");
        [all[0], all[1].max(along[1])]
    })
}

/// What was told of focus.
fn said(told: &Told) -> Vec<&str> {
    let events = told.events.iter();
    let of_focus = events.filter(|event| event.0.contains("focus"));
    of_focus.map(|event| event.2.as_str()).collect()
}

#[test]
fn blurred_cloth_is_a_gap_from_its_first_frame_to_its_last() {
    let taught = &TextureArticle::clean().article;
    let told = inspect(taught, blurred(cloth(4), 10..22, 0..640));
    let gaps = told.gaps();
    assert_eq!(
        reach(&told),
        Some([10 * FRAME_UM, 22 * FRAME_UM]),
        "{gaps:?}"
    );
    assert!(gaps.iter().all(|gap| gap.2 == "out_of_focus"), "{gaps:?}");
    let inspected = |cell: &&CoverageCell| cell.state == CoverState::Inspected;
    for cell in told.coverage.iter().filter(inspected) {
        let along = cell.rect.along();
        assert!(
            along.end <= 10 * FRAME_UM || 22 * FRAME_UM <= along.start,
            "{cell:?}"
        );
    }
    let said = said(&told);
    assert_eq!(said.len(), 2, "{:?}", told.events);
    assert!(
        said[0].starts_with("from 256 mm on cloth is out of focus"),
        "{said:?}"
    );
    // What is beside it is judged as ever, before and behind.
    let sharp = inspect(taught, loom(cloth(4)));
    assert_eq!(sharp.gaps(), []);
    let most = sharp.flaws.len() + 2;
    assert!(told.flaws.len() <= most, "{:?}", told.boxes());
}

#[test]
fn a_side_that_is_out_of_focus_is_a_gap_and_flaws_beside_it_are_found() {
    let taught = &TextureArticle::clean().article;
    // The third quarter, all along; a hole beside it and one in it.
    let holed = cloth(4)
        .with_flaw(FlawKind::Hole, 2000..2040, 200..240, 3.0)
        .with_flaw(FlawKind::Hole, 2000..2040, 380..420, 3.0);
    let told = inspect(taught, blurred(holed, 8..30, 320..480));
    let gaps = told.gaps();
    assert_eq!(
        reach(&told),
        Some([8 * FRAME_UM, 30 * FRAME_UM]),
        "{gaps:?}"
    );
    let columns = [320 * LINE_UM, 480 * LINE_UM];
    for (_, across, reason) in &gaps {
        assert_eq!((*reason, *across), ("out_of_focus", columns), "{gaps:?}");
    }
    let holes: Vec<_> = told
        .flaws
        .iter()
        .filter(|flaw| flaw.class == "hole")
        .collect();
    assert_eq!(holes.len(), 1, "{:?}", told.boxes());
    assert!(holes[0].rect.across().end < 320 * LINE_UM);
}

#[test]
fn a_blurred_frame_a_fold_and_flaws_are_no_cloth_out_of_focus() {
    let taught = &TextureArticle::clean().article;
    let flawed = cloth(5)
        .with_flaw(FlawKind::Crease, 300..1200, 200..226, 2.0)
        .with_flaw(FlawKind::Stain, 1500..1700, 300..480, 2.0)
        .with_flaw(FlawKind::StartMark, 2400..2450, 300..301, 2.0);
    let told = inspect(taught, blurred(flawed, 24..25, 0..640));
    let soft = told
        .gaps()
        .into_iter()
        .filter(|gap| gap.2 == "out_of_focus");
    assert_eq!(soft.count(), 0, "{:?}", told.gaps());
    assert!(said(&told).is_empty(), "{:?}", told.events);
}

#[test]
fn rolls_and_lamps_of_the_article_are_never_out_of_focus() {
    let taught = &TextureArticle::clean().article;
    for (seed, (lamp_slope, lamp_drift, noise)) in (20..).zip([
        (0.0, 0.0, 1.0),
        (0.2, 0.1, 1.0),
        (-0.3, 0.4, 0.5),
        (0.0, 0.2, 2.0),
    ]) {
        let other = LoomSettings {
            lamp_slope,
            lamp_drift,
            noise,
            ..cloth(seed)
        };
        let told = inspect(taught, loom(other));
        assert!(said(&told).is_empty(), "{seed}: {:?}", told.events);
    }
}

#[test]
fn a_model_that_was_not_taught_it_says_so_once_and_finds_no_cloth_out_of_focus() {
    let unknown = TextureArticle::clean().without_focus();
    let told = inspect(&unknown, blurred(cloth(4), 10..22, 0..640));
    assert!(told.gaps().iter().all(|gap| gap.2 != "out_of_focus"));
    let said = said(&told);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("was not taught"), "{said:?}");
}
