//! The pages of the review, in a real browser and asked by hand, over a store that the tests fill.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use image::{GrayImage, ImageFormat, Luma};
use store::{
    Batch, CoverState, CoverageCell, Crop, CropPlace, Digest, EndState, LengthKnown, Name, NewCrop,
    NewFlaw, NewModel, NewRun, Rect, RollChoice, RunEnd, RunId, Store,
};

use crate::browser::Browser;
use crate::program::Mill;

/// How long 60 decisions may take.
const A_MINUTE: Duration = Duration::from_secs(60);
const N_DECISIONS: usize = 60;

/// `selvedge review` over the store of a mill, until dropped.
struct Reviewing {
    child: Child,
    /// Its first page.
    page: String,
    /// The password of `admin`, where it was told.
    password: Option<String>,
}

impl Reviewing {
    fn of(mill: &Mill) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_selvedge"))
            .current_dir(mill.path())
            .args(["review", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut password = None;
        for line in lines.map(Result::unwrap) {
            if let Some((_, told)) = line.split_once("password ") {
                password = told.split(' ').next().map(str::to_owned);
            }
            if let Some(page) = line.strip_prefix("page: ") {
                let page = page.trim_end_matches('/').to_owned();
                return Self {
                    child,
                    page,
                    password,
                };
            }
        }
        panic!("it ended before it told its page: {:?}", child.wait());
    }
}

impl Drop for Reviewing {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A picture of cloth with a dark spot.
fn picture(nth: u32) -> Vec<u8> {
    let picture = GrayImage::from_fn(96, 96, |x, y| {
        let weave = if (x / 3 + y / 3) % 2 == 0 { 150 } else { 118 };
        let off = i64::from(x).abs_diff(48) + i64::from(y).abs_diff(40 + i64::from(nth % 16));
        Luma([if off < 9 { 30 } else { weave }])
    });
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

/// A roll of 100 m with `n_flaws` flaws that are none alike, and a gap.
fn roll(store: &mut Store, number: &str, n_flaws: u32) -> RunId {
    let digest = Digest::new(&"ab".repeat(32)).unwrap();
    store
        .register_model(&NewModel {
            digest: digest.clone(),
            article: name("4711"),
            passport_json: "{}".to_owned(),
            file_name: "m.onnx".to_owned(),
            taught_at_us: 0,
        })
        .unwrap();
    let run = store
        .begin_run(&NewRun {
            roll: name(number),
            roll_choice: RollChoice::New,
            article: name("4711"),
            order: Some(name("A-17")),
            model: digest,
            calibration_json: "{}".to_owned(),
            engine_version: "0.1.0".to_owned(),
            runtime_version: "1.28.0".to_owned(),
            device: "CPU".to_owned(),
            batch_shape: "1 x 1".to_owned(),
            mm_per_px: 0.2,
            station: Some(name("table 3")),
            length_known: LengthKnown::Encoder,
        })
        .unwrap();
    let cell = |along: std::ops::Range<i64>, state: CoverState| CoverageCell {
        rect: Rect::new(along, 0..1_800_000).unwrap(),
        state,
    };
    let coverage = vec![
        cell(0..40_000_000, CoverState::Inspected),
        cell(
            40_000_000..43_000_000,
            CoverState::Gap("camera_lost".to_owned()),
        ),
        cell(43_000_000..100_000_000, CoverState::Inspected),
    ];
    let flaw = |nth: u32| {
        let at = i64::from(nth);
        // Some kinds, each flaw elsewhere and of another size.
        let class = ["hole", "stain", "slub", "bar", "knot"][nth as usize % 5];
        let severity = ["minor", "moderate", "major", "severe"][nth as usize % 4];
        let along = at * 1_370_000 + 500_000;
        let across = (at * 631_000) % 1_700_000;
        NewFlaw {
            class: class.to_owned(),
            rect: Rect::new(
                along..along + 3000 + at * 700,
                across..across + 2000 + at * 300,
            )
            .unwrap(),
            length_um: 3000 + at * 700,
            area_um2: 6_000_000,
            score: 1.1 + f64::from(nth) * 0.01,
            severity: severity.to_owned(),
            found_at_us: 0,
            crop: Some(NewCrop::Kept(Crop {
                png: picture(nth),
                place: CropPlace {
                    lane: 0,
                    frame: u64::from(nth),
                    x_px: 10,
                    y_px: 10,
                    width_px: 96,
                    height_px: 96,
                    margin_px: 32,
                },
            })),
        }
    };
    let batch = Batch {
        coverage,
        flaws: (0..n_flaws).map(flaw).collect(),
        ..Batch::default()
    };
    store.append(run, &batch).unwrap();
    store
        .finish_run(
            run,
            &RunEnd {
                length_um: 100_000_000,
                width_um: 1_800_000,
                cloth_width: None,
                length_known: None,
                state: EndState::Done,
                message: None,
            },
        )
        .unwrap();
    run
}

/// Keeps a picture of the window where `SELVEDGE_PICTURES` names a folder for them.
fn keep(browser: &mut Browser, file: &str) {
    if let Some(folder) = std::env::var_os("SELVEDGE_PICTURES") {
        browser.picture(&Path::new(&folder).join(file));
    }
}

fn log_in(browser: &mut Browser, reviewing: &Reviewing, name: &str, password: &str) {
    browser.open(&format!("{}/login", reviewing.page));
    browser.types(name);
    browser.press("Tab");
    browser.types(password);
    browser.press("Enter");
    browser.until("location.pathname === '/rolls'");
}

#[test]
fn sixty_decisions_by_keyboard_take_less_than_a_minute_and_every_one_is_stored() {
    let mill = Mill::empty();
    let run = roll(&mut mill.store(), "R-2041", 70);
    let reviewing = Reviewing::of(&mill);
    let password = reviewing.password.clone().unwrap();
    let Some(mut browser) = Browser::start(1280, 800) else {
        return;
    };
    log_in(&mut browser, &reviewing, "admin", &password);
    keep(&mut browser, "rolls.png");
    browser.until("[...document.links].some(a => a.textContent === 'R-2041')");
    browser.says("[...document.links].find(a => a.textContent === 'R-2041').click()");
    browser.until(&format!("location.pathname === '/runs/{run}' && document.querySelectorAll('.map .flaw').length === 70"));
    keep(&mut browser, "roll.png");
    browser.says("document.querySelector('.actions a').click()");
    browser.until("document.getElementById('review')?.dataset.ready === 'true'");
    keep(&mut browser, "review.png");
    let since = Instant::now();
    for nth in 0..N_DECISIONS {
        browser.press(if nth % 3 == 0 { "r" } else { "c" });
    }
    browser.until(&format!(
        "document.getElementById('review').dataset.decided === '{N_DECISIONS}' && document.getElementById('review').dataset.unsent === '0'"
    ));
    let took = since.elapsed();
    assert!(took < A_MINUTE, "{took:?}");
    let store = mill.store();
    let flaws = store.flaws(run).unwrap();
    let decided: Vec<_> = flaws
        .iter()
        .flat_map(|flaw| store.verdicts(flaw.id).unwrap())
        .collect();
    assert_eq!(decided.len(), N_DECISIONS);
    let n_rejected = decided
        .iter()
        .filter(|verdict| verdict.decision.as_str() == "rejected")
        .count();
    assert_eq!(n_rejected, N_DECISIONS / 3);
    assert!(
        decided
            .iter()
            .all(|verdict| verdict.account.as_str() == "admin")
    );
    // The last one is taken back, a class is given by its number, a note goes with the next.
    browser.press("u");
    browser.until("document.getElementById('review').dataset.unsent === '0' && document.getElementById('review').dataset.decided === '59'");
    browser.press("5");
    browser.until("document.getElementById('review').dataset.unsent === '0' && document.getElementById('review').dataset.decided === '60'");
    browser.press("n");
    browser.types("seen at the table");
    browser.press("Enter");
    browser.press("c");
    browser.until("document.getElementById('review').dataset.unsent === '0' && document.getElementById('review').dataset.decided === '61'");
    let all: Vec<_> = flaws
        .iter()
        .flat_map(|flaw| store.verdicts(flaw.id).unwrap())
        .collect();
    let undone = all.iter().filter(|verdict| verdict.undone.is_some());
    assert_eq!((all.len(), undone.count()), (N_DECISIONS + 2, 1));
    let noted = all
        .iter()
        .filter(|verdict| verdict.note.as_deref() == Some("seen at the table"));
    assert_eq!(noted.count(), 1);
    // The grade heeds them, and a person signs what is withheld for the gap.
    browser.open(&format!("{}/runs/{run}", reviewing.page));
    browser.until("document.querySelector('.grades').innerText.includes('four-point')");
    let told = |browser: &mut Browser| {
        let told = browser.says("document.querySelector('.grades tbody').innerText");
        told.as_str().unwrap().to_owned()
    };
    let graded = mill.run(&["grade", "R-2041", "--rules", "four-point", "--json"]);
    let graded: serde_json::Value = serde_json::from_str(&graded.out).unwrap();
    let points = graded["grades"][0]["points"].to_string();
    let told = told(&mut browser);
    assert!(told.contains(&points), "{points} points: {told}");
    let ids: Vec<&str> = (graded["grades"][0]["flaws"].as_array().unwrap().iter())
        .map(|flaw| flaw["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids.len(),
        flaws.len() - n_rejected,
        "rejected flaws are not graded"
    );
    keep(&mut browser, "graded.png");
    browser.says("[...document.links].find(a => a.textContent === 'report').click()");
    browser.until("document.body.innerText.includes('How it was inspected')");
    browser.until("[...document.images].every(image => image.complete && image.naturalWidth > 0)");
    keep(&mut browser, "report.png");
    let verified = mill.run(&["audit", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    for (form, said) in [
        ("--html", "How it was inspected"),
        ("--json", "audit_head"),
        ("--csv", "kind,id,what"),
    ] {
        let told = mill.run(&["report", "R-2041", form, "report"]);
        assert_eq!(told.code, 0, "{told:?}");
        let written = std::fs::read_to_string(mill.path().join("report")).unwrap();
        assert!(written.contains(said), "{form}");
    }
}

#[test]
fn the_pages_fit_a_screen_a_tablet_and_twice_the_size() {
    let mill = Mill::empty();
    let run = roll(&mut mill.store(), "R-2041", 24);
    let reviewing = Reviewing::of(&mill);
    let password = reviewing.password.clone().unwrap();
    let Some(mut browser) = Browser::start(1280, 800) else {
        return;
    };
    log_in(&mut browser, &reviewing, "admin", &password);
    let flaw = mill.store().flaws(run).unwrap()[3].id;
    for (screen, width, height, zoom) in [
        ("screen", 1280, 800, 1.0),
        ("tablet", 800, 1280, 1.0),
        ("twice", 1280, 800, 2.0),
    ] {
        browser.set_window(width, height, zoom);
        for (page, path) in [
            ("rolls", "/rolls".to_owned()),
            ("roll", format!("/runs/{run}")),
            ("review", format!("/runs/{run}/review")),
            ("flaw", format!("/flaws/{flaw}")),
            ("trends", "/trends".to_owned()),
            ("audit", "/audit".to_owned()),
        ] {
            browser.open(&format!("{}{path}", reviewing.page));
            // Nothing but the map and tables of their own scrolls sideways.
            browser.until("document.documentElement.scrollWidth <= window.innerWidth");
            let foreign = "performance.getEntriesByType('resource').filter(e => !e.name.startsWith(location.origin)).length";
            assert_eq!(browser.says(foreign), 0, "{page} fetches from elsewhere");
            keep(&mut browser, &format!("{page}-{screen}.png"));
        }
    }
}
