//! The commands, end to end: what they print, what they leave behind, how they end.

use std::path::{Path, PathBuf};

use camera::{FlawKind, LoomSettings, Weave};
use serde_json::Value;

use crate::pictures::{images, mask, truth, write_frames};
use crate::program::{Mill, files_in, inspecting};

/// Keys of `inspect --json` and `roll --json` that DESIGN promises.
const ROLL_KEYS: [&str; 8] = [
    "roll",
    "article",
    "run",
    "length_mm",
    "width_mm",
    "inspected_mm2",
    "gaps",
    "flaws",
];
const FLAW_KEYS: [&str; 7] = [
    "id",
    "class",
    "along_mm",
    "across_mm",
    "length_mm",
    "score",
    "severity",
];
const EVALUATE_KEYS: [&str; 10] = [
    "article",
    "images",
    "image_auroc",
    "pixel_auroc",
    "au_pro",
    "threshold",
    "good_flagged",
    "defective_found",
    "mpx_per_second",
    "device",
];
const IMAGE_KEYS: [&str; 5] = ["file", "label", "score", "flagged", "flaws"];

/// Millimetres by which a found flaw may lie beside a planted one.
const NEAR_MM: f64 = 3.0;

/// Cloth of the taught article with flaws that nobody can overlook.
fn glaring() -> LoomSettings {
    let mut settings = LoomSettings::new(21)
        .with_flaw(FlawKind::Hole, 90..130, 500..540, 4.0)
        .with_flaw(FlawKind::Stain, 350..410, 800..860, 4.0)
        // Through four frames, where the column's past is known.
        .with_flaw(FlawKind::EndOut, 900..1600, 600..601, 1.0)
        .with_flaw(FlawKind::Hole, 1700..1740, 1500..1540, 4.0);
    settings.n_frames = Some(8);
    settings
}

fn assert_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(
            value.get(key).is_some(),
            "key {key:?} is missing in {value}"
        );
    }
}

fn span(flaw: &Value, key: &str) -> [f64; 2] {
    serde_json::from_value(flaw[key].clone()).unwrap()
}

fn inspect(mill: &Mill, roll: &str, from: &str, code: i32) -> Value {
    mill.run(&[&inspecting(roll, from)[..], &["--json"]].concat())
        .json(code)
}

#[test]
fn glaring_flaws_are_found_once_each_where_they_were_planted() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let settings = glaring();
    let planted = truth(&settings);
    write_frames(&mill.path().join("roll"), settings);
    let roll = inspect(&mill, "4711", "roll", 1);

    let flaws = roll["flaws"].as_array().unwrap();
    let places: Vec<[f64; 2]> = flaws
        .iter()
        .map(|flaw| [span(flaw, "along_mm")[0], span(flaw, "across_mm")[0]])
        .collect();
    assert!(places.is_sorted(), "not in cloth order: {places:?}");
    for flaw in &planted {
        let mm = |px: i64| px as f64 * 0.2;
        let along = [mm(flaw.ticks.start), mm(flaw.ticks.end)];
        let across = [mm(flaw.columns.start.into()), mm(flaw.columns.end.into())];
        let meets = |a: [f64; 2], b: [f64; 2]| a[0] < b[1] + NEAR_MM && b[0] < a[1] + NEAR_MM;
        let found: Vec<&Value> = flaws
            .iter()
            .filter(|found| {
                meets(span(found, "along_mm"), along) && meets(span(found, "across_mm"), across)
            })
            .collect();
        assert_eq!(
            found.len(),
            1,
            "{flaw:?} was found as {found:?} among {flaws:?}"
        );
        if flaw.class == "end_out" {
            assert_eq!(found[0]["class"], "end_out");
            let (found, length) = (span(found[0], "along_mm"), along[1] - along[0]);
            assert!(
                ((found[1] - found[0]) / length - 1.0).abs() < 0.06,
                "a broken end of {length} mm through four frames is at {found:?} mm"
            );
        }
    }
}

#[test]
fn a_roll_is_told_with_the_promised_keys_by_inspect_and_roll_alike() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    write_frames(&mill.path().join("roll"), glaring());
    std::fs::write(mill.path().join("roll/frame9.png"), b"no picture").unwrap();
    let inspected = inspect(&mill, "4711", "roll", 1);
    assert_keys(&inspected, &ROLL_KEYS);
    for flaw in inspected["flaws"].as_array().unwrap() {
        assert_keys(flaw, &FLAW_KEYS);
    }
    let gap = &inspected["gaps"][0];
    assert_keys(gap, &["along_mm", "across_mm", "area_mm2", "reason"]);
    assert_eq!(gap["reason"], "unreadable");

    let area = |key: &str| inspected[key].as_f64().unwrap();
    let gap_mm2 = gap["area_mm2"].as_f64().unwrap();
    let sum = area("inspected_mm2") + area("beside_mm2") + gap_mm2;
    let web = area("length_mm") * area("width_mm");
    assert!((sum - web).abs() < 1e-3, "{sum} mm² of {web} mm²");

    let looked = mill
        .run(&["roll", "4711", "--json", "--picture", "map.png"])
        .json(1);
    assert_eq!(looked, inspected);
    let map = image::open(mill.path().join("map.png")).unwrap();
    assert_eq!(map.width(), 1440);

    let rolls = mill.run(&["rolls", "--json"]).json(0);
    assert_eq!(rolls[0]["roll"], "4711");
    assert_eq!(
        rolls[0]["flaws"],
        inspected["flaws"].as_array().unwrap().len()
    );
    let table = mill.run(&["roll", "4711"]);
    assert_eq!(table.code, 1, "{table:?}");
    assert!(table.out.contains("unreadable"), "{}", table.out);
}

#[test]
fn exit_codes_tell_clean_found_and_could_not() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let inspect = |from: &'static str| {
        [
            "inspect",
            "--article",
            "plain",
            "--roll",
            "R",
            "--from",
            from,
        ]
    };
    write_frames(&mill.path().join("flawed"), glaring());
    let expected: [(&[&str], i32); 12] = [
        // The taught cloth itself: what a threshold from held-out cloth surely passes.
        (&inspect("loom:1"), 0),
        (&["roll", "R"], 0),
        (&inspect("flawed"), 1),
        (&["roll", "R"], 1),
        (&["rolls"], 0),
        (&["check"], 0),
        (&["--help"], 0),
        (&["--version"], 0),
        (&["roll", "S"], 2),
        (&inspect("nowhere"), 2),
        (&["inspect"], 2),
        (&[], 2),
    ];
    for (args, code) in expected {
        let ran = mill.run(args);
        assert_eq!(ran.code, code, "selvedge {args:?}: {ran:?}");
    }
}

#[test]
fn teaching_again_keeps_the_old_model_and_uses_the_new_one() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let plain = store::Name::new("plain").unwrap();
    let old = mill.store().active_model(&plain).unwrap().unwrap();
    let again = mill
        .run(&["teach", "--article", "plain", "--from", "loom:2", "--json"])
        .json(0);
    let store = mill.store();
    let new = store.active_model(&plain).unwrap().unwrap();
    assert_eq!(again["digest"], new.digest.as_str());
    assert_ne!(new.digest, old.digest);
    assert_eq!(
        store.model(&old.digest).unwrap(),
        Some(old.clone()),
        "its row is as it was"
    );
    let files = mill.models_of("plain");
    assert_eq!(files.len(), 2);
    for file in files {
        let shown = mill.run(&[Path::new("model"), Path::new("show"), &file]);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(shown.out.contains("plain"), "{}", shown.out);
        let json = [
            Path::new("model"),
            Path::new("show"),
            &file,
            Path::new("--json"),
        ];
        let passport = mill.run(&json).json(0);
        assert_keys(
            &passport,
            &["article", "taught", "mm_per_px", "judgement", "evidence"],
        );
    }
    let run = inspect(&mill, "R", "loom:2", 0);
    assert_eq!(run["model"], new.digest.as_str());
}

/// A labelled set in `folder`: three good frames, three with a flaw, masks from the truth.
fn labelled(folder: &Path, name: impl Fn(usize) -> String) {
    for part in ["good", "defective", "masks"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    let mut good = LoomSettings::new(31);
    good.n_frames = Some(3);
    for (nth, image) in images(good).into_iter().enumerate() {
        image.save(folder.join("good").join(name(nth))).unwrap();
    }
    let mut flawed = LoomSettings::new(32)
        .with_flaw(FlawKind::Hole, 100..140, 700..740, 4.0)
        .with_flaw(FlawKind::Stain, 360..420, 900..960, 4.0)
        .with_flaw(FlawKind::Hole, 620..660, 1400..1440, 4.0);
    flawed.n_frames = Some(3);
    let planted = truth(&flawed);
    for (nth, image) in images(flawed).into_iter().enumerate() {
        let file = name(nth);
        let mask = mask(&planted, nth as i64 * 256, image.width(), image.height());
        image.save(folder.join("defective").join(&file)).unwrap();
        let mask_file = file.replace(".png", "_mask.png");
        mask.save(folder.join("masks").join(mask_file)).unwrap();
    }
}

fn evaluate(mill: &Mill, set: &str, with_masks: bool) -> Value {
    let part = |part: &str| format!("{set}/{part}");
    let (good, defective, masks) = (part("good"), part("defective"), part("masks"));
    let mut args = vec!["evaluate", "--article", "plain", "--json"];
    args.extend(["--good", &good, "--defective", &defective]);
    if with_masks {
        args.extend(["--masks", &masks]);
    }
    let ran = mill.run(&args);
    assert!(ran.code == 0 || ran.code == 1, "{ran:?}");
    let report = ran.json(ran.code);
    let is_perfect = report["good_flagged"] == 0.0 && report["defective_found"] == 1.0;
    assert_eq!(ran.code, i32::from(!is_perfect));
    report
}

#[test]
fn evaluate_tells_good_from_defective_with_the_promised_keys() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    labelled(&mill.path().join("set"), |nth| format!("{nth}.png"));
    let report = evaluate(&mill, "set", true);
    assert_keys(&report, &EVALUATE_KEYS);
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 6);
    for image in images {
        assert_keys(image, &IMAGE_KEYS);
        assert!(
            image["label"] == "good" || image["label"] == "defective",
            "{image}"
        );
    }
    assert_eq!(report["image_auroc"], 1.0, "{report}");
    assert_eq!(report["defective_found"], 1.0, "{report}");
    assert!(report["pixel_auroc"].as_f64().unwrap() > 0.95, "{report}");
    assert!(report["au_pro"].as_f64().unwrap() > 0.8, "{report}");

    assert_eq!(report["flagged"]["images"], 3, "{report}");
    assert_eq!(report["flagged"]["on_their_flaw"], 3, "{report}");

    let without = evaluate(&mill, "set", false);
    for key in ["pixel_auroc", "au_pro", "flagged"] {
        assert!(without[key].is_null(), "{key}: {without}");
    }
}

#[test]
fn evaluate_tells_what_is_flagged_away_from_the_masks() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    labelled(&mill.path().join("set"), |nth| format!("{nth}.png"));
    // The first mask shows another place than the flaw's.
    let file = mill.path().join("set/masks/0_mask.png");
    let size = image::open(&file).unwrap();
    let elsewhere = image::GrayImage::from_fn(size.width(), size.height(), |x, y| {
        image::Luma([if x < 40 && y < 40 { 255 } else { 0 }])
    });
    elsewhere.save(&file).unwrap();
    let report = evaluate(&mill, "set", true);
    let flagged = &report["flagged"];
    assert_eq!(flagged["on_their_flaw"], 2, "{report}");
    let n_elsewhere = flagged["places_elsewhere"].as_u64().unwrap();
    assert!(n_elsewhere >= 1, "{report}");
    let args = ["evaluate", "--article", "plain", "--good", "set/good"];
    let more = ["--defective", "set/defective", "--masks", "set/masks"];
    let told = mill.run(&[&args[..], &more[..]].concat());
    let said = format!(
        "2 of 3 flagged defective images that have a mask; {n_elsewhere} places in them are flagged away"
    );
    assert!(told.out.contains(&said), "{said:?} in {told:?}");
}

#[test]
fn an_article_s_active_model_is_shown_as_its_file_is() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let file = mill.models_of("plain").remove(0);
    let show = |with: &[&str]| mill.run(&[&["model", "show"][..], with].concat());
    let by_file = show(&[file.to_str().unwrap()]);
    let by_article = show(&["--article", "plain"]);
    assert_eq!((by_file.code, &by_file.out), (0, &by_article.out));
    let moved = ["--store", "selvedge.db", "--models", "articles"];
    assert_eq!(
        show(&[&["--article", "plain"][..], &moved].concat()).out,
        by_file.out
    );
    show(&["--article", "nix"]).refuses(&["nothing was taught for article \"nix\""]);
    assert_eq!(show(&[]).code, 2);
}

#[test]
fn a_passport_s_many_numbers_are_told_in_short_where_that_is_asked_for() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let show = |with: &[&str]| {
        let args = ["model", "show", "--article", "plain", "--json"];
        mill.run(&[&args[..], with].concat()).json(0)
    };
    let (short, all) = (show(&["--short"]), show(&[]));
    let usual: Vec<f64> = serde_json::from_value(all["lanes"][0]["usual"].clone()).unwrap();
    assert!(usual.len() > 16);
    let extreme = |pick: fn(f64, f64) -> f64| usual.iter().copied().reduce(pick).unwrap();
    let told = &short["lanes"][0]["usual"];
    assert_eq!(told["n"], usual.len(), "{told}");
    assert_eq!(told["least"], extreme(f64::min), "{told}");
    assert_eq!(told["most"], extreme(f64::max), "{told}");
    assert_eq!(short["taught"], all["taught"]);
    assert_eq!(short["evidence"], all["evidence"]);
}

#[test]
fn another_article_is_told_once_as_one_gap() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let twill = LoomSettings {
        weave: Weave::Twill31,
        n_frames: Some(8),
        ..LoomSettings::new(5)
    };
    write_frames(&mill.path().join("roll"), twill);
    let ran = mill.run(&inspecting("R", "roll"));
    assert_eq!(ran.code, 1, "{ran:?}");
    // The log of a station that nobody sits beside has it too.
    assert_eq!(ran.err.matches("wrong article").count(), 1, "{}", ran.err);
    let rows = |what: &str| ran.out.lines().filter(|line| line.contains(what)).count();
    assert_eq!(
        rows("this is not the cloth that was taught"),
        1,
        "{}",
        ran.out
    );
    let told = mill.run(&["roll", "R", "--json"]).json(1);
    let gaps = told["gaps"].as_array().unwrap();
    let wrong = gaps.iter().filter(|gap| gap["reason"] == "wrong_article");
    assert_eq!(wrong.count(), 1, "{gaps:?}");
    assert_eq!(rows("wrong_article"), 1, "{}", ran.out);
    assert_eq!(span(&gaps[0], "along_mm"), [0.0, 8.0 * 256.0 * 0.2]);
    // The ledger keeps an entry for each frame.
    let store = mill.store();
    let run = store.latest_run(&store::Name::new("R").unwrap()).unwrap();
    assert!(store.coverage(run.unwrap().id).unwrap().len() >= 8);
}

#[test]
fn frames_that_do_not_continue_the_one_before_are_named() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let mut other = LoomSettings::new(22);
    other.n_frames = Some(6);
    let frames = write_frames(&mill.path().join("cut"), other);
    let folder = mill.path().join("roll");
    std::fs::create_dir(&folder).unwrap();
    // Every other frame: none goes on where the one before ended.
    for (file, name) in frames.iter().step_by(2).zip(["a.png", "b.png", "c.png"]) {
        std::fs::copy(file, folder.join(name)).unwrap();
    }
    let ran = mill.run(&inspecting("R", "roll"));
    let said = "2 of 3 frames do not continue the one before (b.png, c.png)";
    assert!(ran.out.contains(said), "{ran:?}");
}

#[test]
fn the_order_of_files_changes_nothing_in_evaluate() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    labelled(&mill.path().join("forth"), |nth| format!("{nth}.png"));
    labelled(&mill.path().join("back"), |nth| format!("{}.png", 9 - nth));
    let scores = |set: &str| {
        let report = evaluate(&mill, set, true);
        let mut scores: Vec<(String, f64)> = report["images"]
            .as_array()
            .unwrap()
            .iter()
            .map(|image| {
                let file = PathBuf::from(image["file"].as_str().unwrap());
                let nth: usize = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
                let nth = if set == "back" { 9 - nth } else { nth };
                let label = image["label"].as_str().unwrap();
                (format!("{label} {nth}"), image["score"].as_f64().unwrap())
            })
            .collect();
        scores.sort_by(|a, b| a.0.cmp(&b.0));
        let figures = ["image_auroc", "pixel_auroc", "au_pro"].map(|key| report[key].clone());
        (scores, figures)
    };
    assert_eq!(scores("forth"), scores("back"));
}

#[test]
fn a_station_file_gives_scale_and_place() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let station =
        "name = 'table 3'\n[[lane]]\nmm_per_px = 0.2\nmm_per_line = 0.203\noffset_mm = 100.0\n";
    std::fs::write(mill.path().join("station.toml"), station).unwrap();
    let more = ["--json", "--station", "station.toml"];
    let args = [&inspecting("R", "loom:3")[..], &more].concat();
    let ran = mill.run(&args);
    let roll = ran.json(ran.code);
    assert_eq!(roll["length_mm"], 16.0 * 256.0 * 0.203);
    assert_eq!(roll["width_mm"], 409.6);
    let run = mill
        .store()
        .latest_run(&store::Name::new("R").unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(
        run.station.map(|name| name.to_string()).as_deref(),
        Some("table 3")
    );
    let cells = mill.store().coverage(run.id).unwrap();
    assert!(
        cells.iter().all(|cell| cell.rect.across().start >= 100_000),
        "{cells:?}"
    );

    let station = station.replace("0.203", "0.4");
    std::fs::write(mill.path().join("station.toml"), station).unwrap();
    let ran = mill.run(&args);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("0.2 mm per pixel along, found 0.4"),
        "{}",
        ran.err
    );
}

#[test]
fn looking_changes_no_file() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    inspect(&mill, "R", "loom:1", 0);
    let files = || -> Vec<(PathBuf, Vec<u8>)> {
        files_in(mill.path())
            .into_iter()
            .filter(|file| file.extension().is_some_and(|extension| extension == "db"))
            .map(|file| (file.clone(), std::fs::read(file).unwrap()))
            .collect()
    };
    let before = files();
    for args in [&["rolls"][..], &["roll", "R"], &["check"]] {
        assert_eq!(mill.run(args).code, 0, "{args:?}");
    }
    assert_eq!(files(), before);
}

#[test]
fn a_reader_that_goes_away_stops_nothing_and_changes_no_exit_code() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let folder = mill.path().join("roll");
    write_frames(&folder, glaring());
    // A picture that cannot be read is told in the log.
    std::fs::write(folder.join("99.png"), "no picture").unwrap();
    let run = |args: &[&str]| {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_selvedge"))
            .args(args)
            .current_dir(mill.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        drop(child.stderr.take());
        child.wait().unwrap().code()
    };
    let inspect = inspecting("R", "roll");
    assert_eq!(run(&inspect), Some(1));
    assert_eq!(run(&["roll", "R"]), Some(1));
    assert_eq!(run(&["rolls"]), Some(0));
    let told = mill.run(&["roll", "R", "--json"]).json(1);
    assert_eq!(told["state"], "done");
    assert_eq!(told["gaps"][0]["reason"], "unreadable");
}
