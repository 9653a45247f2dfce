//! Whether a station stands: two simulated cameras, roll after roll, with random faults all the while.
//!
//! ```text
//! loom ─▶ line speed ─▶ faults by chance ─▶ camera ┐
//! loom ─▶ line speed ─▶ faults by chance ─▶ camera ┴─▶ station ─▶ store ─▶ summed up again
//! ```
//!
//! Faults are of every kind: frames lost, late and torn, a camera away for some frames, in silence or
//! with an error, darkness, glare. Rolls follow each other without cloth in between. Afterwards the store
//! is asked: every roll's inspected cloth, gaps and cloth's surroundings must add up to its length times
//! its width, to the square micrometre, and the rolls' lengths to the cloth that passed. Ends with an
//! error where a square micrometre is unaccounted for, or memory grew over five minutes or more.
//!
//! `SELVEDGE_SOAK_S` says how many seconds; 60 when left out. The seed of the faults is fixed.

mod machine;
mod memory;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use calibration::um_from_mm;
use camera::{Fault, Faulty, LoomSettings, Paced, Source};
use models::onnx::Runtime;
use models::{BackboneFile, FalseAlarms, Mode};
use selvedge::config::{Lane, Reread, Station};
use selvedge::desk::Wish;
use selvedge::meters::BIN_ENDS_MS;
use selvedge::shelf::Shelf;
use selvedge::source::{LOOM_MM_PER_PX, SourceSpec, loom_lane};
use selvedge::station::{Beside, Standings, run as stand};
use selvedge::teach::{Teaching, teach};
use selvedge::watched::Watched;
use store::{Name, RunState, Store};

use crate::machine::{describe, n_cores};
use crate::memory::resident_kib;

const ARTICLE: &str = "soak";
/// Where the right camera's lane begins, in mm: some columns are seen by both.
const RIGHT_MM: f64 = 380.0;
/// Exposed lines per second: cloth of 0.79 m at 8 m/min.
const LINES_PER_S: f64 = 666.0;
const FLAWS_PER_MEGAPIXEL: f64 = 0.3;
/// One exposure in so many begins a fault.
const ONE_IN: u64 = 12;
/// Length of a roll, in time.
const ROLL: Duration = Duration::from_secs(20);
/// From one look at memory to the next.
const LOOK: Duration = Duration::from_millis(250);
/// Growth of memory that is none, in KiB per hour over the last half of the time.
const MOST_GROWTH_KIB_PER_H: f64 = 20.0 * 1024.0;

/// In a shorter time a roll's own coming and going is most of what is seen.
const LEAST_TO_JUDGE: Duration = Duration::from_secs(300);

/// Two cameras over one web that goes on whether they look or not.
struct Web {
    station: Station,
    stop: Arc<AtomicBool>,
    since: Instant,
    n_opened: AtomicU64,
}

impl Web {
    fn open(&self, lane: usize) -> anyhow::Result<Box<dyn Source>> {
        let mut settings = LoomSettings::new(2);
        settings.n_frames = None;
        settings.flaws_per_megapixel = FLAWS_PER_MEGAPIXEL;
        let frame_lines = f64::from(settings.frame_height);
        let mut loom = loom_lane(settings, &self.station.lanes, lane)?;
        let passed = self.since.elapsed().as_secs_f64() * LINES_PER_S / frame_lines;
        loom.pass_to(passed.ceil() as u64);
        let first = passed.ceil() as u64;
        let nth = self.n_opened.fetch_add(1, Ordering::Relaxed);
        let plan = faults(mixed(nth * 7919 + lane as u64), first);
        let paced = Paced::new(loom, LINES_PER_S)?.until(Arc::clone(&self.stop));
        Ok(Box::new(Faulty::new(paced, plan)))
    }
}

/// What happens to a camera that was opened at exposure `first`, for a day.
fn faults(seed: u64, first: u64) -> BTreeMap<u64, Fault> {
    let mut plan = BTreeMap::new();
    for nth in first + 2..first + 250_000 {
        let lot = mixed(seed ^ nth);
        if !lot.is_multiple_of(ONE_IN) {
            continue;
        }
        let n_frames = 1 + (lot >> 16) % 4;
        let fault = match (lot >> 8) % 8 {
            0 => Fault::Lost,
            1 => Fault::Late,
            2 => Fault::Torn {
                n_lines: 1 + ((lot >> 16) % 255) as u32,
            },
            3 => Fault::Gone { n_frames },
            4 => Fault::Silent { n_frames },
            5 => Fault::Dark,
            6 => Fault::Glare,
            _ => Fault::Dead,
        };
        plan.insert(nth, fault);
        if fault == Fault::Dead {
            break;
        }
    }
    plan
}

/// SplitMix64's last step: bits that look random.
fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What is known when the station has ended.
#[derive(Default)]
struct Seen {
    /// Where the first roll began and the last one ended, in ticks of the encoder.
    ticks: Option<[i64; 2]>,
    n_frames: u64,
    n_lost: u64,
    n_failures: u64,
    n_rolls: u64,
    resident_kib: Vec<f64>,
    latency: Vec<u64>,
}

fn main() -> anyhow::Result<()> {
    let seconds = match std::env::var("SELVEDGE_SOAK_S") {
        Ok(given) => given
            .parse()
            .with_context(|| format!("found SELVEDGE_SOAK_S = {given:?}, expected seconds"))?,
        Err(_) => 60,
    };
    let time = Duration::from_secs(seconds);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", describe())?;
    let folder = tempfile::tempdir()?;
    let url = folder.path().join("selvedge.db").display().to_string();
    let runtime = Runtime::load()?;
    let station = station()?;
    teach_article(&station, &url, &runtime)?;

    let stop = Arc::new(AtomicBool::new(false));
    let web = Web {
        station: station.clone(),
        stop: Arc::clone(&stop),
        since: Instant::now(),
        n_opened: AtomicU64::new(0),
    };
    let seen = Mutex::new(Seen::default());
    let orders: Beside<'_> = (
        "orders",
        Box::new(|watched| {
            let told = order(watched, time, &stop);
            // Whatever came of it, the bench ends.
            stop.store(true, Ordering::Relaxed);
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = told?;
            Ok(())
        }),
    );
    let standings = Standings {
        station: &station,
        settings: &Reread::new(folder.path().join("station.toml"), station.clone()),
        open: &|lane| web.open(lane),
        store: &url,
        shelf: Shelf::new(None, &url),
        runtime: &runtime,
        n_workers: n_cores(),
        usual_article: Some(Name::new(ARTICLE)?),
        stop: &stop,
    };
    stand(&standings, vec![orders])?;
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    tell(&seen, &Store::open_existing(&url)?, time, &mut out)
}

fn station() -> anyhow::Result<Station> {
    let mut station = Station::at_scale(LOOM_MM_PER_PX)?;
    station.name = Some("soak".to_owned());
    let right = Lane {
        offset: um_from_mm(RIGHT_MM),
        ..station.lanes[0].clone()
    };
    station.lanes.push(right);
    Ok(station)
}

fn teach_article(station: &Station, url: &str, runtime: &Runtime) -> anyhow::Result<()> {
    let teaching = Teaching {
        article: ARTICLE,
        sources: &[SourceSpec::Loom(1)],
        station,
        asked: FalseAlarms { per_100_m2: 2.0 },
        backbone: &BackboneFile::installed(runtime, Mode::Fast)?,
        runtime,
        n_workers: n_cores(),
        with_limits: false,
        stop: &AtomicBool::new(false),
    };
    let (shelf, article) = (Shelf::new(None, url), Name::new(ARTICLE)?);
    let models = shelf.folder_of(&article)?;
    std::fs::create_dir_all(&models)?;
    let taught = teach(&teaching, &models, &mut |_, _| ())?;
    let mut store = Store::open(url)?;
    store.ensure_article(&article)?;
    shelf.keep(&mut store, &article, &taught.article)?;
    Ok(())
}

/// Roll after roll until the time is over; looks at memory all the while.
fn order(watched: &Watched, time: Duration, stop: &AtomicBool) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let since = Instant::now();
    let mut last = None;
    while since.elapsed() < time && !stop.load(Ordering::Relaxed) {
        // The last roll is not cut short right after it has begun.
        let has_time = time.saturating_sub(since.elapsed()) > ROLL / 2;
        let is_due = last.is_none_or(|begun: Instant| begun.elapsed() >= ROLL && has_time);
        if is_due && watched.desk.is_ready() {
            watched.desk.begin(&Wish {
                roll: format!("soak-{}", seen.n_rolls + 1),
                ..Wish::default()
            })?;
            last = Some(Instant::now());
            seen.n_rolls += 1;
        }
        if seen.ticks.is_none() {
            let at = watched.desk.began_at();
            seen.ticks = at.and_then(|at| Some([*at.first()?; 2]));
        }
        seen.resident_kib.extend(resident_kib());
        std::thread::sleep(LOOK);
    }
    watched.desk.end()?;
    while watched.desk.is_busy() && !stop.load(Ordering::Relaxed) {
        if let (Some(ticks), Some(ends)) = (&mut seen.ticks, watched.desk.ends_at()) {
            ticks[1] = ends.first().copied().unwrap_or(ticks[1]);
        }
        std::thread::sleep(LOOK);
    }
    seen.n_frames = watched.cameras.iter().map(|camera| camera.n_frames()).sum();
    seen.n_lost = watched.cameras.iter().map(|camera| camera.n_lost()).sum();
    seen.n_failures = watched
        .cameras
        .iter()
        .map(|camera| camera.n_failures())
        .sum();
    seen.latency = watched.latency.counts().to_vec();
    Ok(seen)
}

/// Adds up what the store holds, and tells.
fn tell(seen: &Seen, store: &Store, time: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let (mut n_flaws, mut length_um, mut unaccounted) = (0, 0, 0);
    let (mut inspected, mut beside) = (0, 0);
    let mut gaps: BTreeMap<String, i64> = BTreeMap::new();
    for nth in 1..=seen.n_rolls {
        let roll = Name::new(&format!("soak-{nth}"))?;
        let run = store
            .latest_run(&roll)?
            .with_context(|| format!("found no run of {roll}"))?;
        ensure!(
            run.state == RunState::Done,
            "roll {roll} is {:?}, expected it to be done",
            run.state
        );
        let length = run.length_um.context("a run that is done has a length")?;
        let width = run.width_um.context("a run that is done has a width")?;
        let totals = store.coverage_totals(run.id)?;
        let gap = totals.gap_um2()?;
        unaccounted += length * width - totals.inspected_um2 - totals.beside_um2 - gap;
        inspected += totals.inspected_um2;
        beside += totals.beside_um2;
        for (reason, um2) in &totals.gaps_um2 {
            *gaps.entry(reason.clone()).or_default() += um2;
        }
        length_um += length;
        n_flaws += store.flaws(run.id)?.len();
    }
    let [first, end] = seen
        .ticks
        .context("no roll was begun: some camera never exposed")?;
    let passed_um = um_from_mm((end - first) as f64 * LOOM_MM_PER_PX).get();
    let m2 = |um2: i64| um2 as f64 / 1e12;
    let growth = growth_kib_per_h(&seen.resident_kib);
    writeln!(
        out,
        "time       {} s, {} rolls, {n_flaws} flaws",
        time.as_secs(),
        seen.n_rolls
    )?;
    writeln!(
        out,
        "exposures  {} came, {} were told as lost, {} times a camera failed and came back",
        seen.n_frames, seen.n_lost, seen.n_failures
    )?;
    writeln!(
        out,
        "cloth      {:.2} m passed; inspected {:.3} m², beside {:.3} m²",
        passed_um as f64 / 1e6,
        m2(inspected),
        m2(beside)
    )?;
    for (reason, um2) in &gaps {
        writeln!(out, "gap        {reason:<16} {:.4} m²", m2(*um2))?;
    }
    writeln!(
        out,
        "unaccounted {unaccounted} µm²; rolls are {} µm shorter than the cloth that passed",
        passed_um - length_um
    )?;
    let n: u64 = seen.latency.iter().sum();
    writeln!(
        out,
        "latency    p50 ≤ {}, p99 ≤ {}, of {n} frames",
        quantile(&seen.latency, 0.5),
        quantile(&seen.latency, 0.99)
    )?;
    writeln!(
        out,
        "memory     {growth:+.0} KiB per hour over the last half"
    )?;
    ensure!(unaccounted == 0, "{unaccounted} µm² are unaccounted for");
    ensure!(
        passed_um == length_um,
        "{passed_um} µm passed, rolls have {length_um}"
    );
    ensure!(
        growth < MOST_GROWTH_KIB_PER_H || time < LEAST_TO_JUDGE,
        "memory grew by {growth:.0} KiB per hour, expected less than {MOST_GROWTH_KIB_PER_H:.0}"
    );
    Ok(())
}

/// The end of the bin in which this share of all times is reached.
fn quantile(counts: &[u64], share: f64) -> String {
    let n: u64 = counts.iter().sum();
    let mut sum = 0;
    for (count, end) in counts.iter().zip(BIN_ENDS_MS) {
        sum += count;
        if sum as f64 >= share * n as f64 {
            return format!("{end} ms");
        }
    }
    "more than 10 s".to_owned()
}

/// Slope of a straight line through the last half, by least squares.
fn growth_kib_per_h(resident_kib: &[f64]) -> f64 {
    let half = &resident_kib[resident_kib.len() / 2..];
    let n = half.len() as f64;
    let (mean_x, mean_y) = ((n - 1.0) / 2.0, half.iter().sum::<f64>() / n);
    let (mut xy, mut xx) = (0.0, 0.0);
    for (x, y) in half.iter().enumerate() {
        let x = x as f64 - mean_x;
        xy += x * (y - mean_y);
        xx += x * x;
    }
    xy / xx * 3600.0 / LOOK.as_secs_f64()
}
