//! Whether memory is flat however long the roll is: 10,000 frames of 512 × 512 through the line.
//!
//! ```text
//! frames in memory, round after round ─▶ the line into a store on the disk
//!                                              └─▶ resident memory, every 10 frames
//! ```
//!
//! What a line needs it has taken after the first tenth of its frames; from then on memory may
//! not grow. What a tenth holds is the lower quartile of its looks: what a frame needs comes and
//! goes, by megabytes, what is kept stays. Growth is what the last tenth holds more than the
//! second. The limit is the same for every row, because those megabytes do not grow with the
//! roll: 260 bytes kept per frame show in 10,000 frames, ten times as much in 1,000; the column
//! `shows from` says it for each row.
//!
//! The classical scorer runs long, because the line is what is looked at; it was taught on another
//! width and calls some good cloth a flaw, which suits. Two lanes share a border, on which a flaw
//! begins and ends in every round: what waits there, and the coverage held back with it, must go
//! again too. With the network the run is shorter. Ends with an error where memory grew: that
//! promise does not depend on the machine.

#[allow(dead_code, reason = "a bench has a store for every roll")]
mod cloth;
#[allow(dead_code, reason = "counts no cores of others")]
mod machine;
mod memory;
mod roll;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the tests' article, as it is"
)]
#[path = "../tests/texture.rs"]
mod texture;

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, ensure};
use calibration::um_from_mm;
use camera::{FlawKind, Loom, LoomSettings, LoomWeb, Source, Woven};
use models::onnx::Runtime;
use selvedge::config::{Lane, Station};
use selvedge::fitting::scorers_of;

use crate::cloth::Cloth;
use crate::machine::{describe, n_cores};
use crate::memory::resident_kib;
use crate::roll::{Roll, inspect_roll};
use crate::texture::TextureArticle;

const SIDE_PX: u32 = 512;
/// Frames that are woven and then handed out again and again.
const N_WOVEN: u64 = 50;
/// Rounds of them: 10,000 frames, and what fits into half a minute for the others.
const N_ROUNDS: u64 = 200;
const N_ROUNDS_FLAWED: u64 = 40;
const N_ROUNDS_LANES: u64 = 20;
const N_ROUNDS_NETWORK: u64 = 20;
/// Frames from one look at the memory to the next.
const SAMPLE_FRAMES: u64 = 10;
/// Flaws of flawed cloth, per million pixels: some ten in a metre, each with its picture.
const FLAWS_PER_MEGAPIXEL: f64 = 2.0;
/// Columns that two lanes share; a flaw on their border runs through these lines of each round, which
/// has 25,600, and is not to be overlooked.
const SHARED_PX: u32 = 64;
const BORDER_FLAW_LINES: std::ops::Range<i64> = 2_000..12_000;
const BORDER_FLAW_CONTRAST: f32 = 3.0;
/// What is flat: less growth than this over eight tenths of a run, in KiB.
const MOST_GROWTH_KIB: f64 = 2048.0;

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", describe())?;
    writeln!(
        out,
        "{:<28}{:>8}{:>8}{:>12}{:>12}{:>12}{:>12}{:>12}{:>14}",
        "cloth",
        "frames",
        "flaws",
        "frames/s",
        "after 10 %",
        "at the end",
        "most MiB",
        "growth KiB",
        "shows from"
    )?;
    let good = LoomSettings {
        width: SIDE_PX,
        frame_height: SIDE_PX,
        n_frames: Some(N_WOVEN),
        ..LoomSettings::new(2)
    };
    let good = LoomSettings {
        left: camera::Beside::WhiteTable(48),
        right: camera::Beside::DarkTable(32),
        ..good
    };
    let flawed = LoomSettings {
        flaws_per_megapixel: FLAWS_PER_MEGAPIXEL,
        ..good.clone()
    };
    let taught = TextureArticle::taught();
    let mut grown = Vec::new();
    for (name, settings, n_rounds) in [
        ("texture, some flaws", good, N_ROUNDS),
        ("texture, many flaws", flawed, N_ROUNDS_FLAWED),
    ] {
        let woven = Woven::of(&mut Loom::new(settings)?, N_WOVEN as usize)?;
        let roll = Roll {
            name,
            article: &taught.article,
            station: &texture::station(),
            scorers: taught.scorers(n_cores()),
            sources: rounds([woven], n_rounds),
        };
        grown.push(run(roll, n_rounds, &mut out)?);
    }
    grown.push(run_lanes(&mut out)?);
    let folder = tempfile::tempdir()?;
    let runtime = Runtime::load()?;
    let shape = (SIDE_PX, SIDE_PX);
    let cloth = Cloth::woven(shape, (24, N_WOVEN), &runtime, folder.path())?;
    let woven = Woven::of(&mut *cloth.source(), N_WOVEN as usize)?;
    let roll = Roll {
        name: "network, some flaws",
        article: &cloth.article,
        station: &cloth.station,
        scorers: scorers_of(&cloth.article, &runtime, n_cores())?,
        sources: rounds([woven], N_ROUNDS_NETWORK),
    };
    grown.push(run(roll, N_ROUNDS_NETWORK, &mut out)?);

    let most = grown.into_iter().fold(f64::NEG_INFINITY, f64::max);
    writeln!(
        out,
        "\nGrowth from the second tenth to the last, by lower quartiles. Promised less than {MOST_GROWTH_KIB:.0} KiB: {}; most {most:.0}.",
        if most < MOST_GROWTH_KIB {
            "kept"
        } else {
            "missed"
        }
    )?;
    ensure!(
        most < MOST_GROWTH_KIB,
        "memory grew by {most:.0} KiB over a run, expected less than {MOST_GROWTH_KIB:.0}"
    );
    Ok(())
}

/// Two lanes side by side, with a flaw on their border in every round and others anywhere.
fn run_lanes(out: &mut impl Write) -> anyhow::Result<f64> {
    let border = SIDE_PX - SHARED_PX / 2;
    let settings = LoomSettings {
        width: 2 * SIDE_PX - SHARED_PX,
        frame_height: SIDE_PX,
        n_frames: Some(N_WOVEN),
        left: camera::Beside::WhiteTable(48),
        right: camera::Beside::DarkTable(32),
        flaws_per_megapixel: FLAWS_PER_MEGAPIXEL,
        ..LoomSettings::new(3)
    }
    .with_flaw(
        FlawKind::EndOut,
        BORDER_FLAW_LINES,
        border - 4..border + 4,
        BORDER_FLAW_CONTRAST,
    );
    let web = LoomWeb::side_by_side(settings, 2, SHARED_PX)?;
    let lanes = web.lanes.iter().map(|view| Lane {
        offset: um_from_mm(f64::from(view.first_column) * texture::MM_PER_PX),
        ..texture::station().lanes[0].clone()
    });
    let station = Station {
        lanes: lanes.collect(),
        ..texture::station()
    };
    let woven = (web.looms()?.iter_mut())
        .map(|loom| Woven::of(loom, N_WOVEN as usize))
        .collect::<Result<Vec<_>, _>>()?;
    let taught = TextureArticle::taught();
    let roll = Roll {
        name: "texture, two lanes",
        article: &taught.article,
        station: &station,
        scorers: taught.scorers(n_cores()),
        sources: rounds(woven, N_ROUNDS_LANES),
    };
    run(roll, N_ROUNDS_LANES, out)
}

/// Sources that hand the same frames out again and again.
fn rounds(woven: impl IntoIterator<Item = Woven>, n_rounds: u64) -> Vec<Box<dyn Source>> {
    let source = |woven: Woven| Box::new(woven.rounds(Some(n_rounds))) as Box<dyn Source>;
    woven.into_iter().map(source).collect()
}

/// One roll; gives by how much memory grew, in KiB.
fn run(roll: Roll<'_>, n_rounds: u64, out: &mut impl Write) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let name = roll.name.to_owned();
    let n_expected = roll.sources.len() as u64 * n_rounds * N_WOVEN;
    let mut resident = Vec::new();
    let mut n_frames = 0;
    let since = Instant::now();
    let (store, run) = inspect_roll(roll, folder.path(), &mut |_| {}, &mut || {
        n_frames += 1;
        if n_frames % SAMPLE_FRAMES == 0 {
            resident.push(resident_kib());
        }
    })?;
    let seconds = since.elapsed().as_secs_f64();
    ensure!(
        n_frames == n_expected,
        "{name}: {n_frames} frames came through, expected {n_expected}"
    );
    let tenth = resident.len() / 10;
    let end = resident.len().saturating_sub(tenth);
    let early = held(&resident[tenth..2 * tenth]).context("the system does not tell memory")?;
    let late = held(&resident[end..]).context("the system does not tell memory")?;
    let most = resident.iter().copied().flatten().fold(0.0, f64::max);
    writeln!(
        out,
        "{name:<28}{n_frames:>8}{:>8}{:>12.1}{:>12.1}{:>12.1}{:>12.1}{:>12.0}{:>14}",
        store.flaws(run)?.len(),
        n_frames as f64 / seconds,
        early / 1024.0,
        late / 1024.0,
        most / 1024.0,
        late - early,
        format!(
            "{:.0} B/frame",
            MOST_GROWTH_KIB * 1024.0 / (0.8 * n_frames as f64)
        )
    )?;
    out.flush()?;
    Ok(late - early)
}

/// What is held: the lower quartile.
fn held(values: &[Option<f64>]) -> Option<f64> {
    let mut values: Vec<f64> = values.iter().copied().collect::<Option<_>>()?;
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 4).copied()
}
