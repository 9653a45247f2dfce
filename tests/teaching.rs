//! Teaching as a person does it: in several goes, and from cloth that is not all good.

use camera::{FlawKind, LoomSettings, Weave};
use serde_json::Value;

use crate::pictures::write_frames;
use crate::program::{Mill, files_in, onnx_runtime};

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
    let first = first.to_str().unwrap();
    let shown = mill.run(&["model", "show", first, "--json"]);
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

/// A mill whose article `plain` was taught on eight narrow frames in the folder `good`.
fn taught_on_pictures() -> Option<Mill> {
    onnx_runtime()?;
    let mill = Mill::empty();
    write_frames(&mill.path().join("good"), narrow(1, 8));
    teach(&mill, "good", &["--no-limits"]);
    Some(mill)
}

/// Narrow frames of another article.
fn twill(seed: u64, n_frames: u64) -> LoomSettings {
    LoomSettings {
        weave: Weave::Twill31,
        ..narrow(seed, n_frames)
    }
}

/// Copies the frames of a folder of the mill into another one, under names of their own.
fn copied(mill: &Mill, from: &str, to: &str) {
    let to = mill.path().join(to);
    std::fs::create_dir_all(&to).unwrap();
    for (nth, file) in files_in(&mill.path().join(from)).into_iter().enumerate() {
        std::fs::copy(file, to.join(format!("{from}-{nth}.png"))).unwrap();
    }
}

fn active(mill: &Mill) -> String {
    let plain = store::Name::new("plain").unwrap();
    let model = mill.store().active_model(&plain).unwrap().unwrap();
    model.digest.as_str().to_owned()
}

#[test]
fn more_cloth_of_another_article_is_refused_and_the_active_model_stays() {
    let Some(mill) = taught_on_pictures() else {
        return;
    };
    let before = active(&mill);
    write_frames(&mill.path().join("twill"), twill(5, 6));
    mill.run(&["teach", "--article", "plain", "--from", "twill", "--more"])
        .refuses(&[
            "6 of 6 new frames are not the cloth that was taught for article \"plain\"",
            "frame0.png, frame1.png",
            "expected at most 25 %",
            "under its own name",
        ]);
    assert_eq!(active(&mill), before);
    assert_eq!(mill.models_of("plain").len(), 1);
}

#[test]
fn single_frames_of_another_article_are_left_out_of_more_cloth_by_name() {
    let Some(mill) = taught_on_pictures() else {
        return;
    };
    write_frames(&mill.path().join("new"), narrow(6, 8));
    write_frames(&mill.path().join("twill"), twill(5, 2));
    copied(&mill, "new", "monday");
    copied(&mill, "twill", "monday");
    let taught = teach(&mill, "monday", &["--more", "--no-limits"]);
    let strange = taught["outliers"].as_array().unwrap();
    let names: Vec<_> = strange.iter().map(|frame| &frame["frame"]).collect();
    assert_eq!(names, ["twill-0.png", "twill-1.png"], "{strange:?}");
    for frame in strange {
        assert_eq!(frame["what"], "other_cloth");
        assert!(frame["times"].as_f64().unwrap() > 1.0, "{frame}");
    }
    assert_eq!(taught["passport"]["taught"]["n_frames"], 16);
    assert_eq!(taught["passport"]["taught"]["n_left_out"], 2);
}

#[test]
fn frames_that_were_taught_before_do_not_count_twice_whatever_they_are_called() {
    let Some(mill) = taught_on_pictures() else {
        return;
    };
    let before = active(&mill);
    copied(&mill, "good", "again");
    mill.run(&["teach", "--article", "plain", "--from", "again", "--more"])
        .refuses(&[
            "found 8 frames that were taught before",
            "expected cloth that is new",
        ]);
    assert_eq!(active(&mill), before);

    write_frames(&mill.path().join("new"), narrow(6, 8));
    copied(&mill, "new", "again");
    let more = ["teach", "--article", "plain", "--from", "again", "--more"];
    let ran = mill.run(&[&more[..], &["--no-limits"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out
            .contains("8 frames whose pixels were taught already"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("on 16 frames"), "{}", ran.out);

    // What was added is known as well.
    mill.run(&["teach", "--article", "plain", "--from", "new", "--more"])
        .refuses(&["found 8 frames that were taught before"]);
}

#[test]
fn a_picture_that_is_there_twice_counts_once() {
    let Some(mill) = taught_on_pictures() else {
        return;
    };
    let frames = |told: &Value| told["passport"]["taught"]["n_frames"].clone();
    let once = teach(&mill, "good", &[]);
    let file = files_in(&mill.path().join("good")).remove(0);
    std::fs::copy(&file, mill.path().join("good").join("zz.png")).unwrap();
    let twice = teach(&mill, "good", &[]);
    assert_eq!(frames(&twice), frames(&once));
    assert_eq!(twice["taught_before"], 1, "{twice}");
}

#[test]
fn what_cannot_be_continued_leaves_nothing_and_is_no_article() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let more = ["teach", "--article", "nix", "--from", "loom:1", "--more"];
    for _ in 0..2 {
        mill.run(&more)
            .refuses(&["nothing was taught for article \"nix\"; found [\"plain\"]"]);
    }
    assert!(!mill.path().join("articles/nix").exists());
    // Where nothing was ever taught not even a store is made.
    let empty = Mill::empty();
    empty.run(&more).refuses(&["selvedge.db"]);
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn an_article_whose_teaching_failed_is_not_told_as_taught() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    std::fs::create_dir(mill.path().join("none")).unwrap();
    let failed = mill.run(&["teach", "--article", "nix", "--from", "none"]);
    assert_eq!(failed.code, 2, "{failed:?}");
    mill.run(&[
        "inspect",
        "--article",
        "nix",
        "--roll",
        "R",
        "--from",
        "loom:1",
    ])
    .refuses(&["nothing was taught for article \"nix\"; found [\"plain\"]"]);
}
