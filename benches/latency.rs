//! How long from the moment a frame was exposed until what was found on it is on the disk.
//!
//! ```text
//! frames in memory ─▶ Paced (a live camera at line speed) ─▶ the line ─▶ store on the disk
//!        exposed_at ─────────────────────────────────────────────────────────▶ durable
//! ```
//!
//! A frame is exposed when its last line is. It waits for the next frame, whose first rows its
//! last cells see, so no latency is shorter than the time that one frame takes to pass: the
//! column `frame` says it. Where the machine is too slow for the web, frames are dropped and
//! become gaps: the table says how many, and the latencies are those of the frames that were
//! looked at. Pages that are held back with a flaw that is still running are not timed.

#[allow(dead_code, reason = "strips and tilers are other benches'")]
mod cloth;
#[allow(dead_code, reason = "counts no cores of others")]
mod machine;
mod roll;

use std::io::Write;
use std::time::SystemTime;

use camera::{Paced, Woven};
use models::onnx::Runtime;
use selvedge::fitting::scorers_of;
use selvedge::record::Written;

use crate::cloth::Cloth;
use crate::machine::{describe, n_cores};
use crate::roll::{Roll, inspect_roll};

/// Width and height of frames: one camera, two, and 1.8 m at 0.25 mm in blocks of three heights.
const SHAPES: [(u32, u32); 5] = [
    (2048, 256),
    (4096, 256),
    (7200, 256),
    (7200, 128),
    (7200, 64),
];
/// Scale along.
const MM_PER_LINE: f64 = 0.25;
/// Cloth that passes, per pass.
const PASS_S: f64 = 20.0;
const M_PER_MIN: [f64; 2] = [30.0, 60.0];
/// Frames that are woven and then handed out again and again.
const N_WOVEN: u64 = 16;

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", describe())?;
    let folder = tempfile::tempdir()?;
    let runtime = Runtime::load()?;
    writeln!(
        out,
        "{:<20}{:>7}{:>7}{:>10}{:>8}{:>8}{:>10}{:>10}{:>10}{:>8}",
        "", "", "", "frame", "", "", "", "latency ms", "", "gaps"
    )?;
    writeln!(
        out,
        "{:<20}{:>7}{:>7}{:>10}{:>8}{:>8}{:>10}{:>10}{:>10}{:>8}",
        "cloth", "m/min", "Mpx/s", "ms", "frames", "timed", "p50", "p99", "most", "%"
    )?;
    for shape in SHAPES {
        let cloth = Cloth::woven(shape, (12, N_WOVEN), &runtime, folder.path())?;
        for m_per_min in M_PER_MIN {
            writeln!(out, "{}", pass(&cloth, m_per_min, &runtime)?)?;
            out.flush()?;
        }
    }
    writeln!(
        out,
        "\n{} workers; {MM_PER_LINE} mm a line; {PASS_S:.0} s of cloth a row. A latency holds the time of one frame.",
        n_cores()
    )?;
    Ok(())
}

fn pass(cloth: &Cloth, m_per_min: f64, runtime: &Runtime) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let lines_per_s = m_per_min * 1e3 / 60.0 / MM_PER_LINE;
    let shape = cloth.shape();
    let frame_s = f64::from(shape.height) / lines_per_s;
    let n_rounds = (PASS_S / frame_s / N_WOVEN as f64).ceil() as u64;
    let woven = Woven::of(&mut *cloth.source(), N_WOVEN as usize)?.rounds(Some(n_rounds));
    let roll = Roll {
        name: &cloth.name,
        article: &cloth.article,
        station: &cloth.station,
        scorers: scorers_of(&cloth.article, runtime, n_cores())?,
        sources: vec![Box::new(Paced::new(woven, lines_per_s)?)],
    };
    let mut latencies_ms = Vec::new();
    let mut announce = |written: Written<'_>| {
        if let Written::Page {
            exposed_at: Some(exposed_at),
            is_empty: false,
            ..
        } = written
            && let Ok(latency) = SystemTime::now().duration_since(exposed_at)
        {
            latencies_ms.push(latency.as_secs_f64() * 1e3);
        }
    };
    let (store, run) = inspect_roll(roll, folder.path(), &mut announce, &mut || {})?;
    let totals = store.coverage_totals(run)?;
    let seen = totals.inspected_um2 as f64;
    let missed = totals.gap_um2()? as f64;
    latencies_ms.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = latencies_ms.len().saturating_sub(1);
        let index = (share * last as f64).ceil() as usize;
        latencies_ms.get(index).copied().unwrap_or(f64::NAN)
    };
    Ok(format!(
        "{:<20}{m_per_min:>7.0}{:>7.1}{:>10.0}{:>8}{:>8}{:>10.0}{:>10.0}{:>10.0}{:>8.1}",
        cloth.name,
        lines_per_s * f64::from(shape.width) / 1e6,
        frame_s * 1e3,
        n_rounds * N_WOVEN,
        latencies_ms.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        100.0 * missed / (seen + missed).max(1.0)
    ))
}
