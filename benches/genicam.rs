//! Whether a GigE Vision camera is accounted for: 2048 × 1024 at 30 frames/s from Aravis' fake camera.
//!
//! ```text
//! arv-fake-gv-camera ── 63 MB/s over loopback ──▶ GenicamCamera ─┬─▶ counted, and each frame looked at
//!                                                                └─▶ the line into a store on the disk
//! ```
//!
//! Every pixel of the fake camera's picture is the sum of its column, its line and the number of the
//! exposure modulo 255, so that a frame tells which one it is: it must be the one that its sequence
//! number says. At first frames are only looked at; then a roll goes through the line, with the
//! classical scorer, and its ledger must add up over every line that the camera exposed, whether or not
//! the line kept up. Ends with an error where an exposure is unaccounted for.
//!
//! `SELVEDGE_GENICAM_S` says how many seconds for each part; 20 when left out. Nothing else may listen at
//! the camera's address, 127.0.0.1.

#[allow(dead_code, reason = "counts no cores of others")]
mod machine;
mod roll;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the tests' article, as it is"
)]
#[path = "../tests/texture.rs"]
mod texture;

use std::io::Write;
use std::net::UdpSocket;
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use camera::{Captured, GenicamCamera, GenicamSettings, Pool, Source, capture};

use crate::machine::{describe, n_cores};
use crate::roll::{Roll, inspect_roll};
use crate::texture::TextureArticle;

const PROGRAM: &str = "arv-fake-gv-camera-0.8";
const ADDRESS: &str = "127.0.0.1";
/// GigE Vision's control port.
const PORT: u16 = 3956;
const SHAPE: (u32, u32) = (2048, 1024);
const RATE_HZ: f64 = 30.0;
/// Buffers of the camera while frames are only looked at.
const N_BUFFERS: usize = 16;

/// The fake camera, which ends with the bench.
struct Fake(Child);

impl Fake {
    fn start() -> anyhow::Result<Self> {
        let is_free = || UdpSocket::bind((ADDRESS, PORT)).is_ok();
        ensure!(
            is_free(),
            "found something at {ADDRESS}:{PORT}, expected nobody there"
        );
        let mut command = Command::new(PROGRAM);
        command.args(["-i", ADDRESS, "-s", "BENCH"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.with_context(|| {
            format!("{PROGRAM} cannot be started: Debian has it in aravis-tools")
        })?;
        let fake = Self(child);
        let since = Instant::now();
        while is_free() {
            ensure!(
                since.elapsed() < Duration::from_secs(10),
                "no camera at {ADDRESS}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(fake)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn main() -> anyhow::Result<()> {
    let seconds = match std::env::var("SELVEDGE_GENICAM_S") {
        Ok(given) => given
            .parse()
            .with_context(|| format!("found SELVEDGE_GENICAM_S = {given:?}, expected seconds"))?,
        Err(_) => 20,
    };
    let time = Duration::from_secs(seconds);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", describe())?;
    let _fake = Fake::start()?;
    looked_at(time, &mut out)?;
    inspected(time, &mut out)
}

fn open() -> anyhow::Result<GenicamCamera> {
    let settings = GenicamSettings {
        width: Some(SHAPE.0),
        height: Some(SHAPE.1),
        frame_rate_hz: Some(RATE_HZ),
        ..GenicamSettings::default()
    };
    Ok(GenicamCamera::open(ADDRESS, 0, &settings)?)
}

/// Ends what runs after a while.
fn end_after(time: Duration) -> anyhow::Result<(Arc<AtomicBool>, std::thread::JoinHandle<()>)> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name("clock".to_owned());
    let thread = thread.spawn(move || {
        std::thread::sleep(time);
        told.store(true, Ordering::Relaxed);
    })?;
    Ok((stop, thread))
}

/// Frames as they come from the camera.
fn looked_at(time: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let (stop, clock) = end_after(time)?;
    let camera = open()?;
    let counts = camera.counts();
    let mut source = camera.until(Arc::clone(&stop));
    let height = i64::from(SHAPE.1);
    let pool = Pool::new(N_BUFFERS, source.description().shape.n_bytes());
    let (mut n_frames, mut n_lost, mut n_wrong, mut end) = (0_u64, 0_i64, 0_u64, 0_i64);
    let mut first: Option<(u64, u8)> = None;
    capture(&mut source, &pool, &stop, |captured| {
        let ticks = captured.ticks();
        n_wrong += u64::from(ticks.start != end);
        end = ticks.end;
        match captured {
            Captured::Frame(frame) => {
                n_frames += 1;
                let shown = frame.bytes()[0];
                let (sequence, pixel) = *first.get_or_insert((frame.sequence, shown));
                let expected = (u64::from(pixel) + frame.sequence - sequence) % 255;
                n_wrong += u64::from(u64::from(shown) != expected);
            }
            Captured::Lost(_) => n_lost += (ticks.end - ticks.start) / height,
        }
        ControlFlow::Continue(())
    })?;
    clock
        .join()
        .map_err(|_| anyhow::anyhow!("the clock panicked"))?;
    let n_exposed = end / height;
    let unaccounted = n_exposed - n_frames as i64 - n_lost;
    writeln!(
        out,
        "looked at  {} s: {n_exposed} exposures, {n_frames} frames, {n_lost} told as lost, {unaccounted} unaccounted, {n_wrong} not in their place",
        time.as_secs()
    )?;
    writeln!(out, "           {:?}", counts.all())?;
    ensure!(
        unaccounted == 0 && n_wrong == 0,
        "an exposure is unaccounted for"
    );
    let expected = time.as_secs_f64() * RATE_HZ;
    ensure!(
        n_exposed as f64 > 0.8 * expected,
        "found {n_exposed} exposures, expected about {expected:.0}: the machine is too busy to say anything"
    );
    Ok(())
}

/// A roll of the same camera through the line.
fn inspected(time: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (stop, clock) = end_after(time)?;
    let taught = TextureArticle::taught();
    let source = open()?.until(Arc::clone(&stop));
    let roll = Roll {
        name: "fake camera",
        article: &taught.article,
        station: &texture::station(),
        scorers: taught.scorers(n_cores()),
        sources: vec![Box::new(source)],
    };
    let mut n_dealt = 0;
    let (store, run) = inspect_roll(roll, folder.path(), &mut |_| {}, &mut || n_dealt += 1)?;
    clock
        .join()
        .map_err(|_| anyhow::anyhow!("the clock panicked"))?;
    let run = store.run(run)?;
    let length = run.length_um.context("a run that ended has a length")?;
    let width = run.width_um.context("a run that ended has a width")?;
    let totals = store.coverage_totals(run.id)?;
    let gap = totals.gap_um2()?;
    let unaccounted = length * width - totals.sum_um2()?;
    let lines = length as f64 / 1e3 / texture::MM_PER_PX;
    writeln!(
        out,
        "inspected  {} s: {:.1} exposures long, {n_dealt} dealt with; inspected {:.1} %, gaps {:.1} % {:?}, {unaccounted} µm² unaccounted",
        time.as_secs(),
        lines / f64::from(SHAPE.1),
        100.0 * totals.inspected_um2 as f64 / (length * width) as f64,
        100.0 * gap as f64 / (length * width) as f64,
        totals.gaps_um2.keys().collect::<Vec<_>>()
    )?;
    ensure!(unaccounted == 0, "{unaccounted} µm² are unaccounted for");
    Ok(())
}
