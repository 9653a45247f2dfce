//! A station that is killed in the middle of a roll, as by a power cut, and what becomes of the roll.
//!
//! The real program on simulated cloth; its store is looked at from beside.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use store::{CoverState, CoverageCell, Name, RESUMED, Run, RunState, Store};

use crate::program::Mill;

/// Longest time that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A station of one simulated camera, of article `plain`.
struct Stood {
    station: Child,
}

impl Stood {
    fn up(mill: &Mill, more: &[&str]) -> Self {
        let station = Command::new(env!("CARGO_BIN_EXE_selvedge"))
            .current_dir(mill.path())
            .args(["run", "station.toml"])
            .args(more)
            .env_remove("SELVEDGE_STORE")
            .env("SELVEDGE_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { station }
    }

    fn scan(&mut self, line: &str) {
        writeln!(self.station.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Orders a roll again and again, until the cameras have shown where they are and it is on: its `n_runs`th
    /// run, gone on with so many times.
    fn order(&mut self, mill: &Mill, roll: &str, n_runs: usize, n_resumed: usize) -> Run {
        let mut asked = Instant::now();
        self.scan(roll);
        until("the roll is on", || {
            if asked.elapsed() > Duration::from_secs(2) {
                self.scan(roll);
                asked = Instant::now();
            }
            let runs = runs(mill, roll);
            runs.len() == n_runs && is_on(mill, &runs[0], n_resumed)
        });
        runs(mill, roll).remove(0)
    }

    fn kill(mut self) {
        self.station.kill().unwrap();
        self.station.wait().unwrap();
    }
}

impl Drop for Stood {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.station.kill());
        drop(self.station.wait());
    }
}

fn write_station(folder: &Path, name: &str, light: &str) {
    let file = format!(
        "name = \"{name}\"\narticle = \"plain\"\nloom_m_per_min = 4.0\n{light}[[lane]]\nfrom = \"loom:1\"\nmm_per_px = 0.2\n"
    );
    std::fs::write(folder.join("station.toml"), file).unwrap();
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what} did not come to be");
        std::thread::yield_now();
    }
}

fn look(mill: &Mill) -> Store {
    Store::open_existing(mill.path().join("selvedge.db").to_str().unwrap()).unwrap()
}

fn runs(mill: &Mill, roll: &str) -> Vec<Run> {
    look(mill).runs_of(&Name::new(roll).unwrap()).unwrap()
}

/// Whether the run was gone on with so many times, each behind a gap, and frames were written since.
fn is_on(mill: &Mill, run: &Run, n_resumed: usize) -> bool {
    let store = look(mill);
    let events = store.events(run.id).unwrap();
    let n_found = events.iter().filter(|event| event.kind == RESUMED).count();
    let covered = store.coverage(run.id).unwrap();
    let is_gap = |cell: &&CoverageCell| matches!(cell.state, CoverState::Gap(_));
    let n_gaps = covered.iter().filter(is_gap).count();
    let behind = covered
        .iter()
        .rev()
        .take_while(|cell| !is_gap(cell))
        .count();
    (n_found, n_gaps) == (n_resumed, n_resumed) && behind > 2
}

/// Ends the roll and checks that every millimetre of it is accounted for; its gaps' reasons.
fn ended(mill: &Mill, stood: &mut Stood, roll: &str) -> Vec<String> {
    stood.scan("END");
    until("the roll is done", || {
        runs(mill, roll)[0].state == RunState::Done
    });
    let told = mill.run(&["roll", roll, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    let of = |key: &str| told[key].as_f64().unwrap();
    let gaps = told["gaps"].as_array().unwrap();
    let lost: f64 = gaps
        .iter()
        .map(|gap| gap["area_mm2"].as_f64().unwrap())
        .sum();
    let sum = of("inspected_mm2") + of("beside_mm2") + lost;
    let whole = of("length_mm") * of("width_mm");
    assert!(
        (sum - whole).abs() < 1e-6 * whole,
        "{sum} of {whole}: {told}"
    );
    let reasons = gaps
        .iter()
        .map(|gap| gap["reason"].as_str().unwrap().to_owned());
    reasons.collect()
}

#[test]
fn a_roll_that_lost_its_power_goes_on_when_it_is_ordered_again() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    write_station(mill.path(), "table 3", "");
    let mut stood = Stood::up(&mill, &[]);
    let first = stood.order(&mill, "R-1", 1, 0);
    stood.kill();
    let cut = runs(&mill, "R-1").remove(0);
    assert_eq!(cut.state, RunState::Running, "nobody could end it");
    let seen = look(&mill).coverage(first.id).unwrap();

    // The same roll: one run, behind a gap that marks the place.
    let mut stood = Stood::up(&mill, &[]);
    let again = stood.order(&mill, "R-1", 1, 1);
    assert_eq!(again.id, first.id);
    assert_eq!(ended(&mill, &mut stood, "R-1"), ["unknown_length"]);
    let kinds = look(&mill).events(first.id).unwrap();
    let n_of = |kind: &str| kinds.iter().filter(|event| event.kind == kind).count();
    assert_eq!((n_of(RESUMED), n_of("power_cut")), (1, 1), "{kinds:?}");
    let kept = look(&mill).coverage(first.id).unwrap();
    assert!(
        seen.len() < kept.len(),
        "{} rows became {}",
        seen.len(),
        kept.len()
    );

    // A roll that came to its end is inspected anew.
    let anew = stood.order(&mill, "R-1", 2, 0);
    assert_ne!(anew.id, first.id);
    assert_eq!(ended(&mill, &mut stood, "R-1"), [""; 0]);
}

#[test]
fn a_station_that_resumes_needs_no_order() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    write_station(mill.path(), "table 3", "");
    // Nothing to go on with: it waits for orders.
    let mut stood = Stood::up(&mill, &["--resume"]);
    stood.order(&mill, "R-1", 1, 0);
    for nth in 1..=2 {
        stood.kill();
        stood = Stood::up(&mill, &["--resume"]);
        until("the roll goes on by itself", || {
            is_on(&mill, &runs(&mill, "R-1")[0], nth)
        });
    }
    assert_eq!(runs(&mill, "R-1").len(), 1);
    assert_eq!(ended(&mill, &mut stood, "R-1"), ["unknown_length"; 2]);
}

#[test]
fn another_station_or_another_light_begins_a_run_of_its_own() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    write_station(mill.path(), "table 3", "");
    let mut stood = Stood::up(&mill, &[]);
    let first = stood.order(&mill, "R-1", 1, 0);
    stood.kill();
    write_station(mill.path(), "table 4", "");
    let mut stood = Stood::up(&mill, &["--resume"]);
    let second = stood.order(&mill, "R-1", 2, 0);
    assert_ne!(first.id, second.id);
    stood.kill();
    write_station(mill.path(), "table 4", "light = { min_mean_level = 9.0 }\n");
    let mut stood = Stood::up(&mill, &["--resume"]);
    let third = stood.order(&mill, "R-1", 3, 0);
    assert_ne!(second.id, third.id);
    assert_eq!(ended(&mill, &mut stood, "R-1"), [""; 0]);
}
