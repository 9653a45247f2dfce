//! The whole line against the bare ONNX session, on the same tiles, batch and threads.
//!
//! ```text
//! frames in memory ─▶ the line into a store on the disk     ┐ alternately, round by round
//! their tiles      ─▶ one session per thread, nothing else  ┘ ─▶ ratio of each round ─▶ median
//! ```
//!
//! The line is `selvedge::inspect`: capture, light, edges, tiles, workers, order, judgement,
//! regions, stitching, ledger, pictures of flaws, SQLite. It shares the cores with its workers:
//! with one worker per core everything that is not the network costs throughput, and the ratio
//! says how much. What either side needs once (sessions, golden tiles, store) is made before
//! its clock starts. Frames are not decoded here; files are a bench of their own.
//!
//! The ratio is of wall clocks and only means something on a machine that does nothing else.
//! Column `others` says how many cores other programs used meanwhile, `?` where the system does not
//! tell; then the promise cannot be told either. Pixels per core-second
//! count this program's processor time alone and bear some company; where the two disagree on
//! a quiet machine, threads were waiting for each other.
//!
//! `SELVEDGE_CLOTH`, when it names a folder with `aitex/02/good`, adds real strips.

mod cloth;
mod machine;
#[allow(dead_code, reason = "the clock starts when all is ready")]
mod roll;

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use models::Scorer;
use models::onnx::Runtime;
use ndarray::Array3;
use selvedge::fitting::scorers_of;
use selvedge::inspect::inspect;
use selvedge::tiles::Work;

use crate::cloth::Cloth;
use crate::machine::{describe, n_cores};
use crate::roll::{Roll, ready};

/// Odd, so that there is a middle one. A single worker leaves the other cores to the line and
/// spreads less.
const N_ROUNDS: usize = 5;
const N_ROUNDS_OF_ONE: usize = 3;
/// A lane of the size that the trade asks for: 1.8 m at 0.25 mm.
const LANE_PX: f64 = 7200.0;
const LANE_MM_PER_PX: f64 = 0.25;
/// What the line promises to reach.
const PROMISED_RATIO: f64 = 0.95;
/// Cores that others may use before a wall clock's ratio means nothing.
const MOST_OTHERS: f64 = 0.05;
/// The kernel counts processor time in hundredths of a second.
const TICKS_PER_S: f64 = 100.0;

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", describe())?;
    let folder = tempfile::tempdir()?;
    let runtime = Runtime::load()?;
    let mut cloths = vec![
        Cloth::woven((4096, 256), (12, 96), &runtime, folder.path())?,
        Cloth::woven((2048, 1024), (8, 48), &runtime, folder.path())?,
    ];
    cloths.extend(Cloth::strips(&runtime, folder.path())?);
    let mut workers = vec![1, n_cores()];
    workers.dedup();

    writeln!(
        out,
        "{:<20}{:>8}{:>20}{:>16}{:>20}{:>13}{:>8}{:>7}",
        "", "", "line / bare", "Mpx/s", "Mpx per core-s", "m/min", "cores", ""
    )?;
    writeln!(
        out,
        "{:<20}{:>8}{:>20}{:>16}{:>20}{:>13}{:>8}{:>7}",
        "cloth",
        "workers",
        "median (least-most)",
        "line  bare",
        "line  bare",
        "at 1.8 m",
        "others",
        "flaws"
    )?;
    let (mut least, mut others) = (f64::INFINITY, Some(0.0_f64));
    for cloth in &cloths {
        let tiles = tiles_of(cloth)?;
        for &n_workers in &workers {
            let measured = measure(cloth, &tiles, n_workers, &runtime, folder.path())?;
            least = least.min(measured.ratio.median);
            others = (others.zip(measured.n_others)).map(|(most, now)| most.max(now));
            writeln!(out, "{}", measured.row(cloth, n_workers))?;
            out.flush()?;
        }
    }
    let verdict = if others.is_none() {
        "cannot be told, the system does not tell what others used"
    } else if others > Some(MOST_OTHERS) {
        "cannot be told, others used the machine"
    } else if least >= PROMISED_RATIO {
        "kept"
    } else {
        "missed"
    };
    writeln!(
        out,
        "\nMedians of {N_ROUNDS} rounds ({N_ROUNDS_OF_ONE} with one worker), pixels of whole frames. Promised ratio {PROMISED_RATIO:.2}: {verdict}; least {least:.3}."
    )?;
    Ok(())
}

/// The very tiles that the line makes of a cloth.
fn tiles_of(cloth: &Cloth) -> anyhow::Result<Vec<Array3<f32>>> {
    let shape = cloth.shape();
    let pool = camera::Pool::new(4, shape.n_bytes());
    let (mut source, mut tiler) = (cloth.source(), cloth.tiler()?);
    let mut tiles = Vec::new();
    let mut keep = |numbered: selvedge::tiles::Numbered<Work>| {
        if let Work::Tile(tile) = numbered.item {
            tiles.push(Array3::clone(&tile.pixels));
        }
        Ok(())
    };
    while let Some(captured) = source.next(&pool)? {
        tiler.push(captured, &mut keep)?;
    }
    tiler.finish(&mut keep)?;
    Ok(tiles)
}

/// What all rounds of one line of the table gave.
struct Measured {
    ratio: Spread,
    line: Cost,
    bare: Cost,
    /// Cores that other programs used meanwhile; `None` where the system does not tell.
    n_others: Option<f64>,
    n_flaws: usize,
}

fn measure(
    cloth: &Cloth,
    tiles: &[Array3<f32>],
    n_workers: usize,
    runtime: &Runtime,
    folder: &Path,
) -> anyhow::Result<Measured> {
    let (mut lines, mut bares) = (Vec::new(), Vec::new());
    let mut n_flaws = 0;
    let n_rounds = if n_workers == 1 {
        N_ROUNDS_OF_ONE
    } else {
        N_ROUNDS
    };
    for round in 0..n_rounds {
        // Whoever comes second finds the caches and the clock as the first left them.
        let mut run_line = || -> anyhow::Result<()> {
            let (cost, found) = line_pass(cloth, n_workers, runtime, folder)?;
            lines.push(cost);
            n_flaws = found;
            Ok(())
        };
        if round % 2 == 0 {
            run_line()?;
            bares.push(bare_pass(cloth, tiles, n_workers, runtime)?);
        } else {
            bares.push(bare_pass(cloth, tiles, n_workers, runtime)?);
            run_line()?;
        }
    }
    let all = || lines.iter().chain(&bares);
    let others_s: Option<f64> = all().map(|cost| cost.others_s).sum();
    let wall_s: f64 = all().map(|cost| cost.wall_s).sum();
    let ratios = lines.iter().zip(&bares);
    Ok(Measured {
        ratio: Spread::of(ratios.map(|(line, bare)| bare.wall_s / line.wall_s)),
        line: Cost::median(&lines),
        bare: Cost::median(&bares),
        n_others: others_s.map(|others_s| others_s / wall_s),
        n_flaws,
    })
}

impl Measured {
    fn row(&self, cloth: &Cloth, n_workers: usize) -> String {
        let n_mpx = cloth.n_mpx();
        let (line, bare) = (n_mpx / self.line.wall_s, n_mpx / self.bare.wall_s);
        let m_per_min = line * 1e6 / LANE_PX * LANE_MM_PER_PX / 1e3 * 60.0;
        let Spread {
            least,
            median,
            most,
        } = self.ratio;
        let others = self.n_others.map_or("?".to_owned(), |n| format!("{n:.2}"));
        format!(
            "{:<20}{n_workers:>8}{:>20}{:>16}{:>20}{m_per_min:>13.1}{others:>8}{:>7}",
            cloth.name,
            format!("{median:.3} ({least:.3}-{most:.3})"),
            format!("{line:.2} {bare:.2}"),
            format!(
                "{:.2} {:.2}",
                n_mpx / self.line.cpu_s,
                n_mpx / self.bare.cpu_s
            ),
            self.n_flaws
        )
    }
}

/// One roll through the whole line, and how many flaws it found.
fn line_pass(
    cloth: &Cloth,
    n_workers: usize,
    runtime: &Runtime,
    folder: &Path,
) -> anyhow::Result<(Cost, usize)> {
    let folder = tempfile::tempdir_in(folder)?;
    let roll = Roll {
        name: &cloth.name,
        article: &cloth.article,
        station: &cloth.station,
        scorers: scorers_of(&cloth.article, runtime, n_workers)?,
        sources: vec![cloth.source()],
    };
    let (inspection, store) = ready(roll, folder.path())?;
    let clock = Clock::start();
    let (store, run) = inspect(inspection, store, &mut |_| {}, &mut || {})?;
    let cost = clock.stop();
    let totals = store.coverage_totals(run)?;
    ensure!(
        totals.gap_um2()? == 0,
        "{}: the line left gaps, expected every frame to be inspected",
        cloth.name
    );
    Ok((cost, store.flaws(run)?.len()))
}

/// All tiles through the sessions, and nothing else.
fn bare_pass(
    cloth: &Cloth,
    tiles: &[Array3<f32>],
    n_workers: usize,
    runtime: &Runtime,
) -> anyhow::Result<Cost> {
    let scorers = scorers_of(&cloth.article, runtime, n_workers)?;
    let next = AtomicUsize::new(0);
    let clock = Clock::start();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, mut scorer) in scorers.into_iter().enumerate() {
            let next = &next;
            let score_all = move || score_all(&mut *scorer, tiles, next);
            threads.push(
                Builder::new()
                    .name(format!("bare {index}"))
                    .spawn_scoped(scope, score_all)
                    .context("a thread could not be started")?,
            );
        }
        for thread in threads {
            thread
                .join()
                .map_err(|_| anyhow!("a bare session panicked"))??;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    Ok(clock.stop())
}

fn score_all(
    scorer: &mut dyn Scorer,
    tiles: &[Array3<f32>],
    next: &AtomicUsize,
) -> anyhow::Result<()> {
    while let Some(tile) = tiles.get(next.fetch_add(1, Ordering::Relaxed)) {
        scorer.features(tile.view())?;
    }
    Ok(())
}

/// What a pass took.
#[derive(Clone, Copy)]
struct Cost {
    wall_s: f64,
    /// Processor time of all threads.
    cpu_s: f64,
    /// Processor time of other programs; `None` where the system does not tell.
    others_s: Option<f64>,
}

impl Cost {
    fn median(costs: &[Self]) -> Self {
        Self {
            wall_s: Spread::of(costs.iter().map(|cost| cost.wall_s)).median,
            cpu_s: Spread::of(costs.iter().map(|cost| cost.cpu_s)).median,
            others_s: (costs.iter().map(|cost| cost.others_s))
                .collect::<Option<Vec<_>>>()
                .map(|others| Spread::of(others.into_iter()).median),
        }
    }
}

struct Clock {
    since: Instant,
    cpu_s: f64,
    machine_s: f64,
}

impl Clock {
    fn start() -> Self {
        Self {
            machine_s: machine_s(),
            cpu_s: cpu_s(),
            since: Instant::now(),
        }
    }

    fn stop(self) -> Cost {
        let wall_s = self.since.elapsed().as_secs_f64();
        let cpu_s = cpu_s() - self.cpu_s;
        let others_s = machine_s() - self.machine_s - cpu_s;
        Cost {
            wall_s,
            cpu_s,
            others_s: (!others_s.is_nan()).then(|| others_s.max(0.0)),
        }
    }
}

/// Processor time of this process until now, in seconds; NaN where the system does not tell.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name may hold spaces; user and system time are the 12th and 13th behind it.
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let times: Vec<f64> = behind_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    match times[..] {
        [user, system] => (user + system) / TICKS_PER_S,
        _ => f64::NAN,
    }
}

/// Processor time of all programs and the kernel until now, in seconds, stolen time included;
/// NaN where the system does not tell.
fn machine_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let times: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    match times[..] {
        [user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] => {
            (user + nice + system + irq + softirq + stolen) / TICKS_PER_S
        }
        _ => f64::NAN,
    }
}

/// Middle and ends of some figures.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(figures.len() / 2),
            most: at(figures.len().saturating_sub(1)),
        }
    }
}
