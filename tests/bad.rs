//! Bad input: refused with a message that names it, or a gap, while the rest goes on.
//!
//! `bad/` holds one tiny file of each kind, `bad/recipes.rs` says how each was made, and the
//! cases here say what must be told of it. Every file is used by exactly one case.

mod names;
mod recipes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use camera::{Beside, ImageFolder, LoomSettings};
use models::{Article, digest_of};
use selvedge::evaluate::{Evaluation, evaluate};
use store::{Name, NewModel, RunState, Store};

use self::recipes::{GOOD_HEIGHT, GOOD_WIDTH, RECIPES};
use crate::pictures::write_frames;
use crate::program::{Mill, files_in, inspecting, ran};
use crate::texture::{TextureArticle, model_bytes, small_passport, station};
use crate::told::inspected;
use crate::{is_refreshing, not_run, tree};

/// Images that become a gap among good ones: the file, and what is said of it.
const IMAGES: [(&str, &[&str]); 8] = [
    ("truncated.png", &["cannot be decoded"]),
    ("truncated.jpg", &["truncated jpeg", "end marker"]),
    (
        "text.png",
        &["is no image", "expected png, jpeg, tiff, bmp or webp"],
    ),
    (
        "empty.png",
        &["is empty", "expected png, jpeg, tiff, bmp or webp"],
    ),
    (
        "wider.png",
        &["104", "expected as most files here: 96 px wide"],
    ),
    ("colour.png", &["expected as most files here: 96 px wide"]),
    (
        "absurd.png",
        &["is too large", "expected at most 65535 px a side"],
    ),
    ("float.tiff", &["expected 8 or 16 bit"]),
];

/// Station files that are refused.
const STATIONS: [(&str, &[&str]); 6] = [
    ("station_unknown_key.toml", &["speed", "expected"]),
    (
        "station_wrong_range.toml",
        &["lane 1: mm_per_px = 40", "expected 0.001 to 10"],
    ),
    ("station_wrong_type.toml", &["mm_per_px", "expected f64"]),
    (
        "station_lanes_on_each_other.toml",
        &["lane 2 at 0", "expected lanes from left to right"],
    ),
    ("station_not_toml.toml", &["TOML parse error"]),
    (
        "station_newer_profile.toml",
        &["newer.profile", "found format 1000, expected 1"],
    ),
];

/// Model files that are refused as soon as they are read.
const MODELS: [(&str, &[&str]); 5] = [
    ("no_passport.onnx", &["has no passport", "selvedge teach"]),
    (
        "truncated.onnx",
        &["not a usable ONNX file", "cut off or damaged"],
    ),
    ("text.onnx", &["not a usable ONNX file"]),
    (
        "later_passport.onnx",
        &["found passport format 5, expected 4"],
    ),
    (
        "no_golden_tile.onnx",
        &["found no golden tile, expected at least one"],
    ),
];

/// Stores that are refused.
const STORES: [(&str, &[&str]); 3] = [
    ("newer.db", &["has version 1000", "expected at most"]),
    ("text.db", &["is not a QC store"]),
    ("foreign.db", &["is not a QC store", "orders"]),
];

/// Files with a case of their own.
const OTHERS: [&str; 3] = ["other_article.onnx", "mask_wrong_size.png", "newer.profile"];

/// Largest file that may lie in `bad/`, in bytes.
const MOST_BYTES: u64 = 4096;

fn bad(file: &str) -> PathBuf {
    let path = tree("tests/bad").join(file);
    assert!(path.is_file(), "{path:?} is missing");
    path
}

/// Good cloth that fills the frames among which bad ones lie.
fn good_frames(n_frames: u64) -> LoomSettings {
    LoomSettings {
        width: GOOD_WIDTH,
        frame_height: GOOD_HEIGHT,
        n_frames: Some(n_frames),
        left: Beside::Cloth,
        right: Beside::Cloth,
        ..LoomSettings::new(41)
    }
}

#[test]
fn every_bad_file_has_a_recipe_and_a_case_and_is_tiny() {
    let folder = tree("tests/bad");
    if is_refreshing() {
        for (name, make) in RECIPES {
            std::fs::write(folder.join(name), make()).unwrap();
        }
    }
    let found: BTreeSet<String> = files_in(&folder)
        .into_iter()
        .filter(|file| file.extension().is_none_or(|extension| extension != "rs"))
        .map(|file| {
            let n_bytes = file.metadata().unwrap().len();
            assert!(n_bytes <= MOST_BYTES, "{file:?} has {n_bytes} bytes");
            file.file_name().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    let made: BTreeSet<String> = RECIPES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let cases = [&IMAGES[..], &STATIONS, &MODELS, &STORES];
    let used: BTreeSet<String> = cases
        .iter()
        .flat_map(|cases| cases.iter().map(|(name, _)| *name))
        .chain(OTHERS)
        .map(str::to_owned)
        .collect();
    assert_eq!(found, made, "files and recipes");
    assert_eq!(found, used, "files and cases");
}

#[test]
fn an_image_that_cannot_be_used_is_a_gap_and_the_rest_goes_on() {
    let taught = TextureArticle::taught();
    let folder = tempfile::tempdir().unwrap();
    let n_good = IMAGES.len() as u64 + 3;
    write_frames(folder.path(), good_frames(n_good));
    for (nth, (file, _)) in IMAGES.iter().enumerate() {
        std::fs::copy(bad(file), folder.path().join(format!("frame{nth}-{file}"))).unwrap();
    }
    let source = Box::new(ImageFolder::open(folder.path(), 0).unwrap());
    let stop = AtomicBool::new(false);
    let told = inspected(
        &taught.article,
        &station(),
        taught.scorers(2),
        source,
        &stop,
    );
    told.assert_adds_up();
    assert_eq!(told.state, RunState::Done);
    let gaps = told.gaps();
    assert_eq!(gaps.len(), IMAGES.len(), "{gaps:?}");
    assert!(
        gaps.iter().all(|(_, _, reason)| *reason == "unreadable"),
        "{gaps:?}"
    );
    let good_um2 = i64::from(GOOD_WIDTH * GOOD_HEIGHT) * 200 * 200 * n_good as i64;
    let inspected_um2: i64 = told
        .coverage
        .iter()
        .filter(|cell| cell.state == store::CoverState::Inspected)
        .map(|cell| cell.rect.area_um2())
        .sum();
    assert_eq!(
        inspected_um2, good_um2,
        "every good image was inspected whole"
    );
    for (file, said) in IMAGES {
        let message = told
            .events
            .iter()
            .map(|(_, _, message)| message)
            .find(|message| message.contains(file))
            .unwrap_or_else(|| panic!("nothing is said of {file:?}: {:?}", told.events));
        for text in said {
            assert!(message.contains(text), "expected {text:?} in {message:?}");
        }
    }
}

#[test]
fn an_image_alone_that_is_none_is_refused_by_name() {
    let mill = with_model("plain");
    for file in ["text.png", "empty.png", "absurd.png", "float.tiff"] {
        let from = bad(file);
        inspect(&mill, "plain", &from).refuses(&[file, "expected"]);
    }
}

#[test]
fn a_folder_without_images_is_refused_by_name() {
    let mill = with_model("plain");
    std::fs::create_dir(mill.path().join("nothing")).unwrap();
    let said = [
        "nothing",
        "no images",
        "expected png, jpeg, tiff, bmp or webp",
    ];
    inspect(&mill, "plain", Path::new("nothing")).refuses(&said);
    std::fs::write(mill.path().join("nothing/notes.txt"), "no image").unwrap();
    inspect(&mill, "plain", Path::new("nothing")).refuses(&["notes.txt"]);
    inspect(&mill, "plain", Path::new("nowhere")).refuses(&["nowhere", "expected an image file"]);
}

#[test]
fn a_bad_station_file_is_refused_by_name_and_key() {
    let mill = with_model("plain");
    for (file, said) in STATIONS {
        let path = bad(file);
        let mut args = vec![
            "inspect",
            "--article",
            "plain",
            "--roll",
            "R",
            "--from",
            "loom:1",
        ];
        args.extend(["--station", path.to_str().unwrap()]);
        let refused = mill.run(&args);
        refused.refuses(&[file]);
        refused.refuses(said);
    }
}

#[test]
fn a_bad_model_file_is_refused_by_name() {
    let mill = Mill::empty();
    for (file, said) in MODELS {
        let path = bad(file);
        let refused = mill.run(&[Path::new("model"), Path::new("show"), &path]);
        refused.refuses(&[file]);
        refused.refuses(said);
    }
}

#[test]
fn a_model_is_refused_when_its_bytes_are_not_those_of_its_name() {
    let mill = Mill::empty();
    let named = mill.path().join(format!("{}.onnx", "a".repeat(64)));
    std::fs::copy(bad("other_article.onnx"), &named).unwrap();
    let found = digest_of(&std::fs::read(&named).unwrap());
    let args = [Path::new("model"), Path::new("show"), &named];
    mill.run(&args).refuses(&[&found, "expected aaaaaaaa"]);
}

#[test]
fn an_active_model_that_was_changed_on_disk_is_refused() {
    let mill = with_model("plain");
    let file = mill.models_of("plain").remove(0);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::copy(bad("other_article.onnx"), &file).unwrap();
    inspect(&mill, "plain", Path::new("loom:1")).refuses(&[&name, "has digest", "expected"]);
    std::fs::remove_file(&file).unwrap();
    inspect(&mill, "plain", Path::new("loom:1")).refuses(&[&name]);
}

#[test]
fn a_model_of_another_article_is_refused_with_both_names() {
    let mill = Mill::empty();
    let bytes = std::fs::read(bad("other_article.onnx")).unwrap();
    activate(&mill, "plain", &bytes);
    inspect(&mill, "plain", Path::new("loom:1")).refuses(&["\"denim\"", "expected \"plain\""]);
}

#[test]
fn an_article_that_was_never_taught_is_refused_with_those_that_were() {
    let mill = with_model("plain");
    inspect(&mill, "twill", Path::new("loom:1")).refuses(&["\"twill\"", "plain", "selvedge teach"]);
}

#[test]
fn a_scale_that_was_not_taught_is_refused_with_both_scales() {
    let mill = with_model("plain");
    let args = inspecting("R", "loom:1");
    let args = [&args[..], &["--mm-per-px", "0.5"]].concat();
    mill.run(&args)
        .refuses(&["taught at 0.2 mm per pixel", "found 0.5"]);
    assert_eq!(mill.store().rolls().unwrap(), [], "no run was begun");
}

#[test]
fn golden_tiles_that_score_differently_are_refused() {
    const GOLDEN: &str = "selvedge.golden";
    let Some(mill) = Mill::taught() else {
        return;
    };
    let file = mill.models_of("plain").remove(0);
    let mut model = models::onnx::read::read_model(&std::fs::read(file).unwrap()).unwrap();
    let mut golden: serde_json::Value =
        serde_json::from_str(model.metadata(GOLDEN).unwrap()).unwrap();
    let score = &mut golden[1]["scores"][7];
    *score = serde_json::json!(score.as_f64().unwrap() + 0.01);
    model.set_metadata(GOLDEN, &golden.to_string());
    activate(&mill, "plain", &model.to_bytes());

    let said = ["golden tile 1", "cell 7", "expected", "tolerance 0.001"];
    inspect(&mill, "plain", Path::new("loom:1")).refuses(&said);
    let checked = mill.run(&["check"]);
    assert_eq!(checked.code, 2, "{checked:?}");
    assert!(checked.out.contains("WRONG  models"), "{}", checked.out);
}

#[test]
fn a_bad_store_is_refused_by_name_and_left_as_it_was() {
    let mill = Mill::empty();
    for (file, said) in STORES {
        let copy = mill.path().join(file);
        std::fs::copy(bad(file), &copy).unwrap();
        let commands: [&[&str]; 3] = [
            &["rolls"],
            &["roll", "R"],
            &[
                "inspect",
                "--article",
                "plain",
                "--roll",
                "R",
                "--from",
                "loom:1",
            ],
        ];
        for args in commands {
            let refused = mill.run(&[args, &["--store", file]].concat());
            refused.refuses(&[file]);
            refused.refuses(said);
        }
        let checked = mill.run(&["check", "--store", file]);
        assert_eq!(checked.code, 2, "{checked:?}");
        assert_eq!(
            std::fs::read(&copy).unwrap(),
            std::fs::read(bad(file)).unwrap()
        );
    }
    mill.run(&["rolls", "--store", "none.db"])
        .refuses(&["none.db", "no store"]);
}

#[test]
fn a_read_only_store_is_looked_at_and_not_written() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        not_run("this process may not mount a disk of its own; run as root");
        return;
    }
    let mill = with_model("plain");
    drop(mill.store());
    let disk = tempfile::tempdir().unwrap();
    // The model is read from the mill, the store from a disk that refuses to be written.
    let script = r#"mount -t tmpfs none "$2" && cp "$1/selvedge.db" "$2" || exit 77
        mount -o remount,ro "$2" || exit 77
        program=$3; store=$2/selvedge.db; models=$1/articles; shift 3
        exec "$program" "$@" --store "$store" --models "$models""#;
    let on_disk = |args: &[&str]| {
        // Looking takes no model folder.
        let script = if args[0] == "inspect" {
            script.to_owned()
        } else {
            script.replace(r#" --models "$models""#, "")
        };
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]);
        command.arg(mill.path()).arg(disk.path());
        command.arg(env!("CARGO_BIN_EXE_selvedge")).args(args);
        ran(&mut command)
    };
    let looked = on_disk(&["rolls"]);
    if looked.code == 77 {
        not_run("this process may not mount a tmpfs");
        return;
    }
    assert_eq!(looked.code, 0, "{looked:?}");
    let inspect = inspecting("R", "loom:1");
    on_disk(&inspect).refuses(&["selvedge.db", "read-only", "expected to write"]);
}

#[test]
fn a_mask_of_another_size_is_refused_with_both_sizes() {
    let taught = TextureArticle::taught();
    let folder = tempfile::tempdir().unwrap();
    let part = |part: &str| folder.path().join(part);
    write_frames(&part("good"), good_frames(1));
    write_frames(&part("defective"), good_frames(1));
    std::fs::create_dir(part("masks")).unwrap();
    let mask = "frame0_mask_wrong_size.png";
    std::fs::copy(bad("mask_wrong_size.png"), part("masks").join(mask)).unwrap();
    let evaluation = Evaluation {
        model: &taught.article,
        station: &station(),
        good: &part("good"),
        defective: &part("defective"),
        masks: Some(&part("masks")),
        head: None,
        device: "test",
        stop: &AtomicBool::new(false),
    };
    let refused = evaluate(&evaluation, &|| Ok(taught.scorers(1)), &mut |_, _| {});
    let message = format!("{:#}", refused.unwrap_err());
    for said in [mask, "is 96 x 12", "expected 96 x 24"] {
        assert!(message.contains(said), "expected {said:?} in {message:?}");
    }
}

#[test]
fn images_that_cannot_be_judged_are_listed_and_the_others_are_judged() {
    let taught = TextureArticle::taught();
    let folder = tempfile::tempdir().unwrap();
    let (good, defective) = (folder.path().join("good"), folder.path().join("defective"));
    write_frames(&good, good_frames(2));
    write_frames(&defective, good_frames(2));
    // What has another size or colour stands alone here, and is no worse for it.
    let unreadable = [
        "truncated.png",
        "truncated.jpg",
        "text.png",
        "empty.png",
        "absurd.png",
    ];
    for file in unreadable {
        std::fs::copy(bad(file), defective.join(file)).unwrap();
    }
    let evaluation = Evaluation {
        model: &taught.article,
        station: &station(),
        good: &good,
        defective: &defective,
        masks: None,
        head: None,
        device: "test",
        stop: &AtomicBool::new(false),
    };
    let report = evaluate(&evaluation, &|| Ok(taught.scorers(2)), &mut |_, _| {}).unwrap();
    assert_eq!(report.images.len(), 4);
    for file in unreadable {
        let told = report.unreadable.iter().any(|told| told.contains(file));
        assert!(told, "{file:?} is missing in {:?}", report.unreadable);
    }
}

/// A mill whose article has a model that can be read, and that judges nothing.
fn with_model(article: &str) -> Mill {
    let mill = Mill::empty();
    activate(&mill, article, &model_bytes(&small_passport(article)));
    mill
}

/// Puts a model on the shelf and makes it the active one, whatever it is.
fn activate(mill: &Mill, article: &str, bytes: &[u8]) {
    let digest = digest_of(bytes);
    let folder = mill.path().join("articles").join(article);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{digest}.onnx"));
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(Article::read(&path).unwrap().digest(), digest);
    enter(&mut mill.store(), article, &digest);
}

/// Tells a store of an active model.
fn enter(store: &mut Store, article: &str, digest: &str) {
    let article = Name::new(article).unwrap();
    let digest = store::Digest::new(digest).unwrap();
    store.ensure_article(&article).unwrap();
    store
        .register_model(&NewModel {
            digest: digest.clone(),
            article: article.clone(),
            passport_json: "{}".to_owned(),
            file_name: format!("{digest}.onnx"),
            taught_at_us: 0,
        })
        .unwrap();
    store.activate_model(&article, &digest).unwrap();
}

fn inspect(mill: &Mill, article: &str, from: &Path) -> crate::program::Ran {
    let from = from.to_str().unwrap();
    mill.run(&[
        "inspect",
        "--article",
        article,
        "--roll",
        "R",
        "--from",
        from,
    ])
}
