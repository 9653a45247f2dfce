//! `selvedge store retention`, run as a person runs it: shown, then done, killed while it does it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use store::{
    Batch, Crop, CropPlace, Digest, EndState, LengthKnown, Name, NewCandidate, NewCrop, NewFlaw,
    NewModel, NewRun, Rect, RollChoice, RunEnd, RunId, Store, now_us,
};

use crate::kills::Moments;
use crate::program::Mill;

const N_KILLS: usize = 12;
/// Longest time that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A PNG of some kilobytes.
fn png(seed: usize) -> Vec<u8> {
    let level = |x: u32, y: u32| image::Luma([((x * 7) ^ (y * 13) ^ (x * y + seed as u32)) as u8]);
    let picture = image::GrayImage::from_fn(96, 96, level);
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

/// A roll with `n` flaws of which each has a picture, every third is severe, and as many candidates.
fn roll_of(store: &mut Store, number: &str, n: usize) -> RunId {
    let digest = Digest::new(&"a".repeat(64)).unwrap();
    let model = NewModel {
        digest: digest.clone(),
        article: name("denim"),
        passport_json: "{}".to_owned(),
        file_name: "a.onnx".to_owned(),
        taught_at_us: 1,
    };
    store.register_model(&model).unwrap();
    let run = store.begin_run(&NewRun {
        roll: name(number),
        order: None,
        roll_choice: RollChoice::LatestOrNew,
        article: name("denim"),
        model: digest,
        calibration_json: "{}".to_owned(),
        engine_version: "0".to_owned(),
        runtime_version: "0".to_owned(),
        device: "cpu".to_owned(),
        batch_shape: "1 x 1".to_owned(),
        mm_per_px: 0.2,
        station: None,
        length_known: LengthKnown::Nominal,
    });
    let run = run.unwrap();
    let rect = |nth: usize| {
        let at = nth as i64 * 1000;
        Rect::new(at..at + 800, 0..5000).unwrap()
    };
    let flaw = |nth: usize| NewFlaw {
        class: "slub".to_owned(),
        rect: rect(nth),
        length_um: 5000,
        area_um2: 800 * 5000,
        score: 1.5,
        severity: if nth.is_multiple_of(3) {
            "severe"
        } else {
            "minor"
        }
        .to_owned(),
        found_at_us: now_us(),
        crop: Some(NewCrop::Kept(Crop {
            png: png(nth),
            place: CropPlace {
                lane: 0,
                frame: nth as u64,
                x_px: 0,
                y_px: 0,
                width_px: 96,
                height_px: 96,
                margin_px: 32,
            },
        })),
    };
    for from in (0..n).step_by(50) {
        let these = from..(from + 50).min(n);
        let batch = Batch {
            flaws: these.clone().map(flaw).collect(),
            candidates: these
                .map(|nth| NewCandidate {
                    rect: rect(nth),
                    score: 0.7,
                })
                .collect(),
            ..Batch::default()
        };
        store.append(run, &batch).unwrap();
    }
    let end = RunEnd {
        length_um: n as i64 * 1000,
        width_um: 5000,
        cloth_width: None,
        length_known: None,
        state: EndState::Done,
        message: None,
    };
    store.finish_run(run, &end).unwrap();
    run
}

/// What is told of a kind.
fn kind<'a>(told: &'a Value, word: &str) -> &'a Value {
    let kinds = told["kinds"].as_array().unwrap();
    kinds.iter().find(|kind| kind["kind"] == word).unwrap()
}

#[test]
fn what_would_go_is_shown_and_goes_only_when_asked() {
    let mill = Mill::empty();
    let mut store = mill.store();
    roll_of(&mut store, "R-1", 40);
    let run = roll_of(&mut store, "R-2", 40);
    let bytes = |nth: usize| png(nth).len();
    let all: usize = 2 * (0..40).map(bytes).sum::<usize>();

    // Without a rule nothing goes.
    let told = mill.run(&["store", "retention", "--json"]).json(0);
    let crops = kind(&told, "crops");
    assert_eq!(
        (&crops["all"]["n"], &crops["all"]["bytes"]),
        (&80.into(), &all.into())
    );
    assert_eq!(
        (&crops["days"], &crops["removed"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(kind(&told, "candidates")["all"]["n"], 80);
    // A rule that is not due: nothing goes now.
    let told = mill.run(&["store", "retention", "--crops-days", "365"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.out.contains("kept for 365 days"), "{told:?}");
    assert!(
        told.out.contains("would go now       0 (0.0 KiB)"),
        "{told:?}"
    );

    // All but one picture's bytes: by the station file too, and the same.
    let gib = (all - 10) as f64 / (1_u64 << 30) as f64;
    let refused = mill.run(&["store", "retention", "--crops-gib", &gib.to_string()]);
    refused.refuses(&["retention.crops.gib", "expected 0.01 to"]);
    let file = "[[lane]]\nmm_per_px = 0.2\n[retention]\ncrops = { gib = 0.01 }\ncandidates = { days = 90 }\n";
    std::fs::write(mill.path().join("station.toml"), file).unwrap();
    let station = ["store", "retention", "--station", "station.toml", "--json"];
    assert_eq!(
        kind(&mill.run(&station).json(0), "crops")["most_bytes"],
        10_737_418
    );
    // As much again as the rule allows.
    let big = roll_of(&mut store, "R-3", 1500);
    let told = mill.run(&station).json(1);
    let n_now = kind(&told, "crops")["now"]["n"].as_u64().unwrap();
    assert!((20..1580).contains(&n_now), "{told}");
    assert!(store.crops_not_there(big).unwrap().is_empty(), "only shown");
    let applied = mill.run(&[&station[..], &["--apply"]].concat()).json(1);
    let n_gone = kind(&applied, "crops")["removed"]["n"].as_u64().unwrap();
    assert!(n_gone.abs_diff(n_now) <= 5, "{n_gone} of {n_now}");
    assert_eq!(kind(&mill.run(&station).json(0), "crops")["now"]["n"], 0);
    mill.run(&[&station[..], &["--apply"]].concat()).json(0);

    // The roll says so, in every form.
    let gone = store.crops_not_there(run).unwrap().len();
    assert!(gone > 10, "the oldest rolls first: {gone}");
    let why = format!("removed on {}", selvedge::retention::day(now_us()));
    let told = mill.run(&["roll", "R-2"]);
    let line = format!(
        "pictures of {gone} flaws were {why} by retention: pictures are kept up to 0.01 GiB"
    );
    assert!(told.out.contains(&line), "{line}: {told:?}");
    let told = mill.run(&["roll", "R-2", "--json"]).json(1);
    assert_eq!(told["crops_left_out"], 0);
    assert_eq!(told["crops_removed"][0]["count"], gone);
    let flaws = told["flaws"].as_array().unwrap();
    let marked = flaws.iter().filter(|flaw| {
        flaw["no_picture"]
            .as_str()
            .is_some_and(|said| said.starts_with(&why))
    });
    assert_eq!((flaws.len(), marked.count()), (40, gone));
    let pictured = mill.run(&["roll", "R-2", "--picture", "r.png"]);
    assert_eq!(pictured.code, 1, "{pictured:?}");
    let events = store.loose_events(10).unwrap();
    assert!(
        events[0].message.contains("pictures of flaws"),
        "{events:?}"
    );
}

#[test]
fn rules_that_are_none_are_refused_and_no_store_is_made() {
    let mill = Mill::empty();
    mill.run(&["store", "retention"]).refuses(&["no store at"]);
    assert_eq!(mill.path().read_dir().unwrap().count(), 0);
    drop(mill.store());
    for (args, said) in [
        (&["--apply"][..], "--apply without a rule"),
        (&["--crops-days", "0"], "retention.crops.days = 0"),
        (&["--events-days", "7"], "expected 30 to 36500"),
        (
            &["--station", "s.toml", "--crops-days", "9"],
            "cannot be used with",
        ),
    ] {
        let refused = mill.run(&[&["store", "retention"][..], args].concat());
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains(said), "{said}: {refused:?}");
    }
}

/// A station that stands: a new rule is announced and waits; one that was announced removes, slowly.
#[test]
fn a_standing_station_announces_its_rules_and_then_keeps_to_them() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let file = "article = \"plain\"\n[[lane]]\nfrom = \"loom:1\"\nmm_per_px = 0.2\n[retention]\ncrops = { gib = 0.01 }\n";
    std::fs::write(mill.path().join("station.toml"), file).unwrap();
    let mut store = mill.store();
    let run = roll_of(&mut store, "R-1", 2500);
    let stood = || Stood {
        station: Command::new(env!("CARGO_BIN_EXE_selvedge"))
            .args(["run", "station.toml"])
            .current_dir(mill.path())
            .env_remove("SELVEDGE_STORE")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    };
    let announced = |store: &Store| {
        let events = store.loose_events(100).unwrap();
        let mut told = events.into_iter();
        told.find(|event| event.kind == "retention_announced")
    };
    let station = stood();
    until("the rule is announced", || announced(&store).is_some());
    drop(station);
    assert_eq!(store.crops_not_there(run).unwrap(), []);
    let message = announced(&store).unwrap().message;
    assert_eq!(message, "pictures of flaws are kept up to 10.2 MiB");

    // Two days later.
    let beside = rusqlite::Connection::open(mill.path().join("selvedge.db")).unwrap();
    let days_us = 2 * 86_400_000_000_i64;
    beside
        .execute(
            "UPDATE events SET at = at - ?1 WHERE run IS NULL",
            [days_us],
        )
        .unwrap();
    let station = stood();
    until("pictures go", || {
        !store.crops_not_there(run).unwrap().is_empty()
    });
    let n_gone = store.crops_not_there(run).unwrap().len();
    assert!(
        n_gone < 500,
        "{n_gone} at once, expected a hundredth of the time"
    );
    drop(station);
}

struct Stood {
    station: Child,
}

impl Drop for Stood {
    fn drop(&mut self) {
        drop(self.station.kill());
        drop(self.station.wait());
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what} did not come to be");
        std::thread::yield_now();
    }
}

/// At whatever moment it is killed, each flaw has its picture or says that it was removed; the same
/// command then goes on.
#[test]
fn a_removal_that_is_killed_leaves_a_true_store_and_goes_on() {
    let mill = Mill::empty();
    let mut store = mill.store();
    // Enough that a kill finds it at work.
    let runs = ["R-1", "R-2", "R-3"].map(|roll| roll_of(&mut store, roll, 1500));
    let removing = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
        let limits = ["--crops-gib", "0.01", "--apply"];
        command.args(["store", "retention"]).args(limits);
        command
            .current_dir(mill.path())
            .env_remove("SELVEDGE_STORE");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let check = || -> usize {
        let gone = runs.iter().map(|run| {
            let marks = store.crops_not_there(*run).unwrap();
            for flaw in store.flaws(*run).unwrap() {
                let mark = marks.iter().any(|(id, _)| *id == flaw.id);
                assert_ne!(flaw.has_crop, mark, "{flaw:?}");
            }
            marks.len()
        });
        gone.sum()
    };
    // While it runs, two looks are two moments: only what has gone is counted then.
    let n_gone = || -> usize {
        let gone = runs.iter();
        gone.map(|run| store.crops_not_there(*run).unwrap().len())
            .sum()
    };
    let mut moments = Moments::drawn();
    let (mut n_half, mut before) = (0, 0);
    for _ in 0..N_KILLS {
        let mut child = removing().spawn().unwrap();
        let since = Instant::now();
        // From where it begins to remove; what then passes is tried out.
        while n_gone() == before && child.try_wait().unwrap().is_none() {
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "it removes nothing"
            );
        }
        std::thread::sleep(moments.within(Duration::from_millis(10)));
        child.kill().unwrap();
        child.wait().unwrap();
        let gone = check();
        assert!(gone >= before, "{before} pictures were gone, then {gone}");
        n_half += usize::from(gone > before);
        before = gone;
    }
    assert!(n_half >= 2, "the kills were no test: {n_half}");
    let ended = removing().status().unwrap();
    let again = removing().status().unwrap();
    assert!(matches!(ended.code(), Some(0 | 1)), "{ended:?}");
    assert_eq!(again.code(), Some(0), "{again:?}");
    assert!(check() < 4500, "up to its size pictures are kept");
    assert!(check() > before.min(1000));
}
