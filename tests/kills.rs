//! The whole line killed at random moments: the store tells the truth, and the roll goes on.
//!
//! ```text
//! child: loom ─▶ line ─▶ record ─▶ store, then announced ─▶ log       parent: waits ─▶ kill -9
//!                                                                             ─▶ log against store
//! ```
//!
//! The child is this program started again. What it announced stands in a log outside the store;
//! a run of the same cloth that nobody killed says which flaws there are. After each kill the run
//! is gone on with, and the roll must then be as if nothing had happened, to a cell of a flaw's
//! side. `SELVEDGE_TEST_SEED` draws the same moments again.

#[path = "../store/tests/moments.rs"]
mod moments;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use calibration::um_from_mm;
use camera::{FlawKind, LoomSettings};
use models::CELL_PX;
use selvedge::inspect::inspect;
use selvedge::record::Written;
use selvedge::resume::Begin;
use store::{CoverState, CoverageCell, FlawId, Name, Rect, RunState, Store};

pub(crate) use self::moments::Moments;
use crate::texture::{MM_PER_PX, TextureArticle, clean_cloth, loom, station};
use crate::told::{Told, ToldFlaw, inspected, inspection, overlap, store_at};

/// Name the store that the child writes, and the log of what it announced.
const STORE_OF_CHILD: &str = "SELVEDGE_TEST_KILLS_STORE";
const LOG_OF_CHILD: &str = "SELVEDGE_TEST_KILLS_LOG";
const N_KILLS: usize = 20;
const ROLL: &str = "4711";

/// Cloth with a flaw in most frames, two of them running over several.
fn cloth() -> LoomSettings {
    let mut settings = clean_cloth(7);
    settings.n_frames = Some(24);
    for nth in 0..12 {
        let first = nth * 256 + 40;
        settings = settings.with_flaw(FlawKind::Hole, first..first + 40, 200..240, 3.0);
    }
    settings
        .with_flaw(FlawKind::Stain, 700..1160, 380..400, 4.0)
        .with_flaw(FlawKind::Stain, 2000..2500, 500..520, 4.0)
}

#[test]
fn a_killed_line_leaves_a_true_store_and_its_roll_goes_on() {
    let taught = TextureArticle::clean();
    let whole = inspected(
        &taught.article,
        &station(),
        taught.scorers(1),
        loom(cloth()),
        &AtomicBool::new(false),
    );
    whole.assert_adds_up();
    assert!(whole.flaws.len() >= 12, "{:?}", whole.boxes());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.db");
    let url = path.to_str().unwrap();
    drop(store_at(url, &taught.article));
    let mut moments = Moments::drawn();
    let mut life = life_of_a_line(url, &folder.path().join("first"));
    resume(url, &whole);
    let (mut n_announced, mut n_half) = (0, 0);
    for nth in 0..N_KILLS {
        let log = folder.path().join(format!("log{nth}"));
        let mut child = line(url, &log);
        // Not to wait for anything: the length of this sleep is what is tried out.
        std::thread::sleep(moments.within(life));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "kill {nth} came too late");

        let announced = announced(&log);
        n_announced += announced.len();
        n_half += usize::from(check(url, &announced, &whole));
        resume(url, &whole);
        // The machine has become busier since a life was measured.
        if n_announced < 2 * nth {
            life = life.mul_f64(1.5);
        }
    }
    assert!(
        n_announced > N_KILLS / 2 && n_half > N_KILLS / 4,
        "{n_announced} flaws announced, {n_half} rolls cut off: the kills were no test"
    );
}

/// The flaws that were announced are in the store, and each is one that is there; no cloth is
/// called inspected whose flaw is missing. Whether the latest run is cut off.
fn check(url: &str, announced: &[FlawId], whole: &Told) -> bool {
    let store = Store::open_existing(url).unwrap();
    let runs = store.runs_of(&Name::new(ROLL).unwrap()).unwrap();
    let kept: Vec<FlawId> = runs
        .iter()
        .flat_map(|run| store.flaws(run.id).unwrap())
        .map(|flaw| flaw.id)
        .collect();
    for id in announced {
        assert!(kept.contains(id), "{id} was announced and is lost");
    }
    let told = Told::of(&store, runs[0].id);
    for flaw in &told.flaws {
        // A kill changes no flaw and doubles none.
        let n = [&told, whole].map(|among| n_same(among, flaw));
        assert_eq!(n, [1, 1], "{:?}", told.boxes());
    }
    let inspected: Vec<&CoverageCell> = told
        .coverage
        .iter()
        .filter(|cell| cell.state == CoverState::Inspected)
        .collect();
    for flaw in &whole.flaws {
        let is_covered = inspected.iter().any(|cell| overlap(&cell.rect, &flaw.rect));
        let is_kept = n_same(&told, flaw) > 0;
        assert!(
            is_kept || !is_covered,
            "inspected without its flaw at {:?}",
            flaw.rect
        );
    }
    told.state == RunState::Running
}

/// How many flaws of a run are `flaw`.
fn n_same(among: &Told, flaw: &ToldFlaw) -> usize {
    let flaws = among.flaws.iter();
    flaws.filter(|other| is_same(other, flaw)).count()
}

/// Whether two runs tell of the same flaw. Where the roll was gone on with, cloth is judged against
/// what was seen since then, and the last cell of a flaw may fall on the other side of the threshold.
fn is_same(one: &ToldFlaw, other: &ToldFlaw) -> bool {
    let cell_um = um_from_mm(CELL_PX as f64 * MM_PER_PX).0;
    let sides = |rect: &Rect| {
        let (along, across) = (rect.along(), rect.across());
        [along.start, along.end, across.start, across.end]
    };
    let mut pairs = sides(&one.rect).into_iter().zip(sides(&other.rect));
    one.class == other.class && pairs.all(|(one, other)| (one - other).abs() <= cell_um)
}

/// Goes on with the latest run if it was cut off: the roll is then as if nothing had happened.
fn resume(url: &str, whole: &Told) {
    let store = Store::open(url).unwrap();
    let Some(cut_off) = store.resumable(&Name::new(ROLL).unwrap()).unwrap() else {
        return;
    };
    let taught = TextureArticle::clean();
    let (station, stop) = (station(), AtomicBool::new(false));
    let sources = vec![loom(cloth())];
    let scorers = taught.scorers(2);
    let mut inspection = inspection(&taught.article, &station, scorers, sources, &stop);
    inspection.begin = Begin::Resume { passed: None };
    let (store, run) = inspect(inspection, store, &mut |_| {}, &mut || {}).unwrap();
    assert_eq!(run, cut_off.id);
    let told = Told::of(&store, run);
    told.assert_adds_up();
    assert_eq!(told.coverage, whole.coverage);
    assert_eq!(told.flaws.len(), whole.flaws.len(), "{:?}", told.boxes());
    for expected in &whole.flaws {
        // Flaws stand in the order of their first rows, which may be a cell away.
        let n = n_same(&told, expected);
        assert_eq!(n, 1, "{expected:?} among {:?}", told.boxes());
    }
    assert!(told.events.iter().any(|(kind, ..)| kind == store::RESUMED));
}

/// How long the line takes from its first frame to the end of its first roll.
fn life_of_a_line(url: &str, log: &Path) -> Duration {
    let mut child = line(url, log);
    let since = Instant::now();
    while !says(log, "ended") {
        assert!(child.try_wait().unwrap().is_none(), "the line ended");
        std::thread::yield_now();
    }
    let life = since.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    life
}

/// A line that is about to begin a roll.
fn line(url: &str, log: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::the_child_inspects_until_it_is_killed"])
        .env(STORE_OF_CHILD, url)
        .env(LOG_OF_CHILD, log)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !says(log, "begins") {
        assert!(child.try_wait().unwrap().is_none(), "the line ended");
        std::thread::yield_now();
    }
    child
}

#[test]
fn the_child_inspects_until_it_is_killed() {
    let Ok(url) = std::env::var(STORE_OF_CHILD) else {
        return;
    };
    let taught = TextureArticle::clean();
    let log = std::env::var_os(LOG_OF_CHILD).unwrap();
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap();
    // Each line is one call of the system, which a kill cannot take back.
    let mut say = move |line: String| log.write_all(format!("{line}\n").as_bytes()).unwrap();
    say("begins".to_owned());
    loop {
        let (station, stop) = (station(), AtomicBool::new(false));
        let sources = vec![loom(cloth())];
        let inspection = inspection(&taught.article, &station, taught.scorers(1), sources, &stop);
        let store = Store::open(&url).unwrap();
        let mut announce = |written: Written<'_>| match written {
            Written::Flaw(id, _) => say(format!("flaw {id}")),
            Written::Began(..) | Written::Running(_) => {}
            Written::Page { .. } => {}
        };
        inspect(inspection, store, &mut announce, &mut || {}).unwrap();
        say("ended".to_owned());
    }
}

fn announced(log: &Path) -> Vec<FlawId> {
    let text = std::fs::read_to_string(log).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("flaw "))
        .map(|id| id.parse().unwrap())
        .collect()
}

fn says(log: &Path, line: &str) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.lines().any(|said| said == line))
}
