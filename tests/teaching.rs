//! Teaching as a person does it: in several goes, and from cloth that is not all good.

use camera::{FlawKind, LoomSettings};
use serde_json::Value;

use crate::pictures::write_frames;
use crate::program::{Mill, onnx_runtime};

fn teach(mill: &Mill, from: &str, more: &[&str]) -> Value {
    let mut args = vec!["teach", "--article", "plain", "--from", from, "--json"];
    args.extend(more);
    mill.run(&args).json(0)
}

/// Frames of narrow cloth.
fn narrow(seed: u64, n_frames: u64) -> LoomSettings {
    let mut settings = LoomSettings::new(seed);
    settings.width = 512;
    settings.frame_height = 256;
    settings.n_frames = Some(n_frames);
    settings
}

#[test]
fn teaching_goes_on_with_more_cloth_and_is_refused_where_it_would_not_add_up() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let first = mill.models_of("plain").remove(0);
    let more = teach(&mill, "loom:2", &["--more"]);
    let taught = &more["passport"]["taught"];
    let evidence = &more["passport"]["evidence"];
    assert_eq!(taught["source"], "loom:1, loom:2");
    assert_eq!(taught["n_frames"], evidence["n_blocks"]);
    let shown = mill.run(&["model", "show", first.to_str().unwrap(), "--json"]);
    let before = shown.json(0);
    let n = |passport: &Value| passport["taught"]["n_frames"].as_u64().unwrap();
    assert_eq!(n(&more["passport"]), 2 * n(&before));
    let more_m2 = |passport: &Value| passport["evidence"]["more_m2"].as_f64().unwrap();
    assert!(more_m2(&more["passport"]) < more_m2(&before));
    assert_eq!(
        more["passport"]["lanes"][0]["flat_field"],
        before["lanes"][0]["flat_field"]
    );

    let go_on = |with: &[&str]| {
        let mut args = vec!["teach", "--article", "plain", "--from", "loom:3", "--more"];
        args.extend(with);
        mill.run(&args)
    };
    go_on(&["--fast"]).refuses(&["it was taught in another way"]);
    go_on(&["--mm-per-px", "0.3"]).refuses(&["cloth at 0.3 x 0.3 mm", "expected 0.2 x 0.2"]);
    let memory = mill
        .path()
        .join(more["file"].as_str().unwrap())
        .with_extension("memory");
    let mut bytes = std::fs::read(&memory).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&memory, bytes).unwrap();
    go_on(&[]).refuses(&["cannot be continued", "found another digest"]);
    std::fs::remove_file(&memory).unwrap();
    go_on(&[]).refuses(&["cannot be continued", "teach the article again"]);
}

#[test]
fn a_flaw_in_good_cloth_is_left_out_and_shown() {
    if onnx_runtime().is_none() {
        return;
    }
    let mill = Mill::empty();
    let flawed = narrow(1, 12).with_flaw(FlawKind::Hole, 1360..1400, 200..240, 4.0);
    write_frames(&mill.path().join("good"), flawed);
    let taught = teach(&mill, "good", &["--outliers", "strange"]);
    let strange = taught["outliers"].as_array().unwrap();
    let [strange] = &strange[..] else {
        panic!("expected one strange frame, found {strange:?}");
    };
    assert_eq!(strange["frame"], "frame5.png");
    assert_eq!(strange["what"], "place");
    let within = |key: &str, from: u64, to: u64| {
        let px = strange[key].as_u64().unwrap();
        assert!((from..to).contains(&px), "{strange}");
    };
    within("x_px", 190, 250);
    within("y_px", 70, 130);
    let picture = strange["picture"].as_str().unwrap();
    let picture = image::open(mill.path().join("strange").join(picture)).unwrap();
    assert!(picture.width() >= 96 && picture.height() >= 96);
    assert_eq!(taught["passport"]["taught"]["n_frames"], 11);
    assert_eq!(taught["passport"]["taught"]["n_left_out"], 1);
}

#[test]
fn cloth_that_is_of_two_kinds_is_not_good_cloth() {
    if onnx_runtime().is_none() {
        return;
    }
    let mill = Mill::empty();
    let flaws = [3, 5, 8, 10];
    let settings = flaws.iter().fold(narrow(1, 12), |settings, frame| {
        let from = frame * 256 + 80;
        settings.with_flaw(FlawKind::Hole, from..from + 40, 200..240, 4.0)
    });
    write_frames(&mill.path().join("good"), settings);
    mill.run(&["teach", "--article", "plain", "--from", "good"])
        .refuses(&["are not like the others", "this is not good cloth"]);
    assert!(
        mill.store()
            .articles()
            .unwrap()
            .iter()
            .all(|article| { mill.store().active_model(&article.name).unwrap().is_none() })
    );
}
