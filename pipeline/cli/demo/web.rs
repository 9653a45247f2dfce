//! The demo's cameras: two over one web with planted flaws, of which the right one fails for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::ensure;
use calibration::mm_from_um;
use camera::{Fault, Faulty, FlawKind, Loom, LoomSettings, Paced, PlantedFlaw, Source};

use crate::config::Station;
use crate::source::loom_lane;

/// Loom of the roll.
const SEED: u64 = 2;
/// Frames until the end of the web.
pub(super) const N_FRAMES: u64 = 44;
/// Exposed lines per second: half of what a small machine keeps up with, so that nothing is lost but
/// what the demo loses.
const LINES_PER_S: f64 = 700.0;
/// The camera that fails, counted from the left, at which frame, and the first one that it exposes
/// again.
const FAILS: (usize, u64, u64) = (1, 20, 22);

/// Seen at a glance, faint, and in the noise, where missing it is right.
pub(super) const PLAIN: f32 = 1.0;
pub(super) const FAINT: f32 = 0.5;
pub(super) const NOISE: f32 = 0.1;

/// What is planted: kind, first line and lines, first column and columns, contrast. None lies in the box
/// of others that cross and are told as one flaw, nor where the right camera fails. Every other one is
/// moved over to the right camera's lane, and one over the full width goes over both.
#[rustfmt::skip]
const PLANTED: [(FlawKind, i64, i64, u32, u32, f32); 40] = [
    (FlawKind::Stain, 1268, 150, 700, 160, PLAIN),
    (FlawKind::Hole, 1698, 40, 1500, 40, PLAIN),
    (FlawKind::DoubleEnd, 1968, 1200, 1700, 1, PLAIN),
    (FlawKind::EndOut, 2168, 1500, 420, 8, PLAIN),
    (FlawKind::EndOut, 2168, 1500, 434, 8, PLAIN),
    (FlawKind::Knot, 2518, 24, 1180, 24, PLAIN),
    (FlawKind::Mispick, 3848, 8, 120, 1800, PLAIN),
    (FlawKind::DoublePick, 4008, 1, 120, 1800, PLAIN),
    (FlawKind::Slub, 4168, 12, 1500, 160, PLAIN),
    (FlawKind::Float, 4288, 4, 700, 60, PLAIN),
    (FlawKind::Selvedge, 4468, 90, 120, 50, PLAIN),
    (FlawKind::Crease, 4648, 420, 900, 26, PLAIN),
    (FlawKind::StartMark, 6030, 50, 120, 1800, PLAIN),
    (FlawKind::Contamination, 6280, 100, 1000, 100, PLAIN),
    (FlawKind::WeftCrack, 6530, 10, 400, 500, PLAIN),
    (FlawKind::Nep, 6880, 10, 600, 10, PLAIN),
    (FlawKind::Stain, 7030, 100, 1400, 100, FAINT),
    (FlawKind::Hole, 7080, 20, 300, 20, FAINT),
    (FlawKind::Knot, 7230, 16, 900, 16, FAINT),
    (FlawKind::Mispick, 7530, 1, 120, 1800, FAINT),
    (FlawKind::Slub, 7730, 10, 600, 120, FAINT),
    (FlawKind::Float, 7860, 4, 1200, 40, FAINT),
    (FlawKind::DoublePick, 8000, 1, 120, 1800, FAINT),
    (FlawKind::Contamination, 8130, 60, 500, 60, FAINT),
    (FlawKind::Crease, 8300, 300, 900, 24, FAINT),
    (FlawKind::WeftCrack, 8710, 9, 300, 400, FAINT),
    (FlawKind::StartMark, 8840, 40, 120, 1800, FAINT),
    (FlawKind::Nep, 9000, 8, 1300, 8, FAINT),
    (FlawKind::DoubleEnd, 9080, 700, 700, 1, FAINT),
    (FlawKind::EndOut, 9100, 700, 1500, 1, FAINT),
    (FlawKind::Selvedge, 9280, 60, 1960, 28, FAINT),
    (FlawKind::Stain, 9980, 60, 500, 60, NOISE),
    (FlawKind::Knot, 10080, 12, 1100, 12, NOISE),
    (FlawKind::Mispick, 10180, 1, 120, 1800, NOISE),
    (FlawKind::Slub, 10300, 8, 600, 100, NOISE),
    (FlawKind::EndOut, 10380, 600, 1500, 1, NOISE),
    (FlawKind::StartMark, 10530, 40, 120, 1800, NOISE),
    (FlawKind::Contamination, 10680, 40, 800, 40, NOISE),
    (FlawKind::WeftCrack, 10830, 8, 300, 300, NOISE),
    (FlawKind::Nep, 10980, 7, 1000, 7, NOISE),
];

/// A planted flaw, in the roll's mm.
pub(super) struct Planted {
    pub(super) class: &'static str,
    pub(super) along_mm: [f64; 2],
    pub(super) across_mm: [f64; 2],
    pub(super) contrast: f32,
}

/// The web, and what its cameras do.
pub(super) struct Web<'a> {
    station: &'a Station,
    settings: LoomSettings,
    truth: Vec<PlantedFlaw>,
    stop: &'a Arc<AtomicBool>,
    since: Instant,
    n_opened: AtomicU64,
}

impl<'a> Web<'a> {
    pub(super) fn new(station: &'a Station, stop: &'a Arc<AtomicBool>) -> anyhow::Result<Self> {
        let mut settings = LoomSettings::new(SEED);
        settings.n_frames = Some(N_FRAMES);
        let lane_px = settings.width;
        let [first, last] = [&station.lanes[0], &station.lanes[station.lanes.len() - 1]];
        let aside = (mm_from_um(last.offset - first.offset) / last.mm_per_px).round() as u32;
        let mut truth = settings.clone();
        truth.width = lane_px + aside;
        for (nth, (kind, line, lines, column, columns, contrast)) in PLANTED.into_iter().enumerate()
        {
            let is_wide =
                [FlawKind::Mispick, FlawKind::DoublePick, FlawKind::StartMark].contains(&kind);
            let (first, end) = if is_wide {
                (column, column + columns + aside)
            } else if kind == FlawKind::Selvedge && column < lane_px / 2 {
                // What lies at an edge stays there.
                (column, column + columns)
            } else {
                let moved = if nth % 2 == 1 || kind == FlawKind::Selvedge {
                    aside
                } else {
                    0
                };
                (column + moved, column + columns + moved)
            };
            let columns = first..end;
            let lines = line..line + lines;
            settings = settings.with_flaw(kind, lines.clone(), columns.clone(), contrast);
            truth = truth.with_flaw(kind, lines, columns, contrast);
        }
        let loom = Loom::new(truth)?;
        ensure!(
            loom.description().ticks_per_line == 1,
            "the loom's ticks are taken for lines"
        );
        Ok(Self {
            station,
            settings,
            truth: loom.truth(),
            stop,
            since: Instant::now(),
            n_opened: AtomicU64::new(0),
        })
    }

    /// The camera of a lane; the one that fails does not answer before its time.
    pub(super) fn open(&self, lane: usize) -> anyhow::Result<Box<dyn Source>> {
        let mut loom = loom_lane(self.settings.clone(), &self.station.lanes, lane)?;
        let (failing, fails_at, back_at) = FAILS;
        let frame_lines = f64::from(self.settings.frame_height);
        let is_first =
            self.n_opened.fetch_add(1, Ordering::Relaxed) < self.station.lanes.len() as u64;
        let plan = if is_first && lane == failing {
            [(fails_at, Fault::Dead)].into()
        } else {
            Default::default()
        };
        if !is_first {
            let passed = self.since.elapsed().as_secs_f64() * LINES_PER_S / frame_lines;
            ensure!(
                passed >= back_at as f64,
                "the demo's camera is unplugged, and does not answer"
            );
            // The web does not wait for a camera.
            loom.pass_to((passed.ceil() as u64).min(N_FRAMES));
        }
        let camera = Faulty::new(
            Paced::new(loom, LINES_PER_S)?.until(Arc::clone(self.stop)),
            plan,
        );
        Ok(Box::new(camera))
    }

    /// What is planted on the roll that begins at this tick.
    pub(super) fn truth(&self, origin: i64) -> Vec<Planted> {
        let lane = &self.station.lanes[0];
        let planted = |flaw: &PlantedFlaw| Planted {
            class: flaw.class,
            along_mm: [flaw.ticks.start, flaw.ticks.end]
                .map(|tick| (tick - origin) as f64 * lane.mm_per_line),
            across_mm: [flaw.columns.start, flaw.columns.end]
                .map(|x| f64::from(x) * lane.mm_per_px),
            contrast: flaw.contrast,
        };
        self.truth.iter().map(planted).collect()
    }
}
