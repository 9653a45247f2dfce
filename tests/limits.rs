//! The detection-limit card: what it says, and that it says the same each time.

use std::sync::atomic::AtomicBool;

use camera::{FlawKind, LoomSettings};
use models::{DetectionLimit, Limits};
use selvedge::limits::{Measuring, measure};
use selvedge::tiles::{Correction, Joints};

use crate::line::write;
use crate::program::{Mill, inspecting, onnx_runtime};
use crate::texture::{HALO_PX, TextureArticle, clean_cloth, loom, station};
use crate::told::inspected;

/// Good cloth with room for flaws.
fn cloth() -> LoomSettings {
    LoomSettings {
        width: 1024,
        frame_height: 256,
        n_frames: Some(8),
        ..clean_cloth(1)
    }
}

fn card(taught: &TextureArticle, n_workers: usize) -> Limits {
    measured(taught, n_workers, &AtomicBool::new(false)).unwrap()
}

fn measured(
    taught: &TextureArticle,
    n_workers: usize,
    stop: &AtomicBool,
) -> anyhow::Result<Limits> {
    let correction = Correction {
        channels: camera::Channels::Grey,
        flat_field: None,
        light: station().light,
        halo_px: HALO_PX,
        joints: Joints::Known,
    };
    let measuring = Measuring {
        article: &taught.article,
        lanes: &station().lanes,
        corrections: vec![correction],
        open: &|_| Ok(loom(cloth())),
        scorers: &|| Ok(taught.scorers(n_workers)),
        stop,
    };
    measure(&measuring, &mut || {})
}

/// Size found in nine cases of ten; beyond all where it was not reached.
fn size(limit: &DetectionLimit) -> f64 {
    limit.size_mm.unwrap_or(f64::INFINITY)
}

#[test]
fn what_is_clearer_is_found_smaller_whatever_the_number_of_workers() {
    let taught = TextureArticle::of(&cloth());
    let card = card(&taught, 1);
    assert_eq!(card, self::card(&taught, 3));
    assert!(card.kinds.len() >= 12, "{card:#?}");
    let mut n_pairs = 0;
    for pair in card.kinds.windows(2) {
        let [faint, clear] = pair else { continue };
        if faint.kind == clear.kind {
            n_pairs += 1;
            assert!(size(clear) <= 1.1 * size(faint), "{faint:?}\n{clear:?}");
            let share = |limit: &DetectionLimit| limit.n_found as f64 / limit.n_planted as f64;
            assert!(share(clear) >= share(faint) - 0.1, "{faint:?}\n{clear:?}");
        }
    }
    assert!(n_pairs >= 4, "{card:#?}");
    for limit in &card.kinds {
        assert!(limit.n_planted >= 20, "{limit:?}");
        assert!(limit.bound_mm.is_none_or(|bound| bound >= size(limit)));
    }
    let hole = card.kinds.iter().find(|limit| limit.kind == "hole");
    assert!(size(hole.unwrap()) < 4.0, "{hole:?}");
}

/// The card on cloth that the card did not see: holes of the loom's own shape.
#[test]
fn holes_of_the_size_on_the_card_are_found_in_other_cloth() {
    let taught = TextureArticle::of(&cloth());
    let card = card(&taught, 2);
    let hole = card.kinds.iter().find(|limit| limit.kind == "hole");
    let bound_mm = hole.and_then(|limit| limit.bound_mm).unwrap();
    // A hole of the loom is open over three quarters of its box.
    let side = (bound_mm / 0.2 / 0.75).ceil() as u32;
    let (mut settings, mut n_planted) = (cloth(), 0);
    settings.seed = 5;
    for frame in 1..8 {
        for nth in 0..6 {
            let (line, column) = (256 * frame + 100, 150 + 130 * nth);
            let lines = line..line + i64::from(side);
            settings = settings.with_flaw(FlawKind::Hole, lines, column..column + side, 1.0);
            n_planted += 1;
        }
    }
    let told = inspected(
        &taught.article,
        &station(),
        taught.scorers(2),
        loom(settings),
        &AtomicBool::new(false),
    );
    let is_hit = |nth: i64| {
        let (frame, nth) = (1 + nth / 6, nth % 6);
        let (along, across) = ((256 * frame + 100) * 200, (150 + 130 * nth) * 200);
        let side = i64::from(side) * 200;
        told.flaws.iter().any(|flaw| {
            let meets =
                |range: std::ops::Range<i64>, at: i64| range.start < at + side && at < range.end;
            meets(flaw.rect.along(), along) && meets(flaw.rect.across(), across)
        })
    };
    let n_found = (0..n_planted).filter(|nth| is_hit(*nth)).count();
    assert!(
        10 * n_found >= 9 * n_planted as usize,
        "{n_found} of {n_planted}, {bound_mm} mm"
    );
}

#[test]
fn measuring_that_is_stopped_gives_no_card() {
    let taught = TextureArticle::taught();
    let told = measured(taught, 1, &AtomicBool::new(true));
    let error = told.unwrap_err().to_string();
    assert!(error.contains("stopped"), "{error}");
}

#[test]
fn the_card_is_in_the_passport_on_show_and_in_a_roll_s_report() {
    if onnx_runtime().is_none() {
        return;
    }
    let mill = Mill::empty();
    let good = mill.path().join("good");
    std::fs::create_dir(&good).unwrap();
    write(&cloth(), &good);
    let teach = ["teach", "--article", "plain", "--from", "good"];
    let without = mill.run(&[&teach[..], &["--no-limits"]].concat());
    assert!(without.out.contains("not measured"), "{without:?}");
    let n_models = mill.models_of("plain").len();
    let taught = mill.run(&[&teach[..], &["--json"]].concat()).json(0);
    let kinds = taught["passport"]["limits"]["kinds"].as_array().unwrap();
    assert!(kinds.len() >= 12, "{kinds:?}");
    assert_eq!(mill.models_of("plain").len(), n_models + 1);
    let shown = mill.run(&["model", "show", taught["file"].as_str().unwrap()]);
    assert!(shown.out.contains("dot, dark"), "{shown:?}");
    let inspect = inspecting("R", "good");
    let ran = mill.run(&[&inspect[..], &["--json"]].concat());
    assert_eq!(
        ran.json(ran.code)["limits"]["kinds"].as_array(),
        Some(kinds)
    );
    let told = mill.run(&["roll", "R"]);
    // The strongest contrast of a kind is told, and which it is.
    let mut dots = kinds.iter().filter(|kind| kind["kind"] == "dot, dark");
    let strongest = dots.next_back().unwrap()["contrast"].as_f64().unwrap();
    let said = format!("finds 9 of 10 at the contrast in brackets: dot, dark ({strongest} x) ");
    assert!(told.out.contains(&said), "{said:?} in {told:?}");
}
