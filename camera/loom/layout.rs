//! Where things lie on a web: yarns, picks, selvedges, and how the cloth drifts.
//!
//! Places are in columns of the web and in lines of cloth, whatever part of it a camera sees, so
//! that all lanes of a web agree. Everything follows from the seed and the place alone.

use std::ops::Range;

use super::noise::{signed, smooth, unit};
use super::{Beside, LoomSettings};

/// The places of one web.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) seed: u64,
    width: usize,
    pub(super) weft_pitch: f64,
    /// Left border of each warp yarn in cloth coordinates, and one past the last.
    borders: Vec<f32>,
    /// Cloth coordinates of the two selvedges, where a camera sees them.
    pub(super) edges: [Option<f32>; 2],
}

/// Fractions of a pixel that the drift is rounded to.
pub(super) const N_PHASES: usize = 8;
/// Largest drift in px to either side, and the lines from one turn of it to the next.
pub(super) const DRIFT_PX: f32 = 2.5;
const DRIFT_LINES: f64 = 900.0;
/// Columns beyond the sight that the yarns go on for the drift.
pub(super) const MARGIN: usize = 4;
/// A selvedge: yarns that lie closer, and by how much.
pub(super) const SELVEDGE_YARNS: usize = 11;
const SELVEDGE_PITCH: f32 = 0.72;
/// Weft loops stand out of a selvedge by up to this many px.
const LOOP_PX: f32 = 3.0;

const STREAM_DRIFT: i64 = 1;
pub(super) const STREAM_YARN: i64 = 2;
const STREAM_LOOP: i64 = 7;

impl Layout {
    pub(super) fn new(settings: &LoomSettings) -> Self {
        let width = settings.width as usize;
        let left = match settings.left {
            Beside::Cloth => None,
            Beside::DarkTable(px) | Beside::WhiteTable(px) => Some(px as f32),
        };
        let right = match settings.right {
            Beside::Cloth => None,
            Beside::DarkTable(px) | Beside::WhiteTable(px) => Some((width as f32) - px as f32),
        };
        Self {
            seed: settings.seed,
            width,
            weft_pitch: f64::from(settings.weft_pitch_px),
            borders: yarn_borders(settings, left, right),
            edges: [left, right],
        }
    }

    /// Columns of the web.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// How far the cloth lies to the right at this line, in px, rounded to a phase.
    pub(super) fn drift(&self, tick: i64) -> f32 {
        let drift = DRIFT_PX * smooth(self.seed, STREAM_DRIFT, tick as f64 / DRIFT_LINES);
        (drift * N_PHASES as f32).round() / N_PHASES as f32
    }

    /// Smallest and largest drift over some lines.
    pub(super) fn drift_over(&self, ticks: &Range<i64>) -> (f32, f32) {
        // The drift is slow: what happens within 8 lines is less than a phase.
        let steps = (ticks.start..ticks.end).step_by(8).chain([ticks.end - 1]);
        steps
            .map(|tick| self.drift(tick))
            .fold((f32::MAX, f32::MIN), |(low, high), drift| {
                (low.min(drift), high.max(drift))
            })
    }

    /// The warp yarn under a cloth coordinate.
    pub(super) fn yarn_at(&self, across: f32) -> usize {
        let after = self.borders.partition_point(|&border| border <= across);
        after.clamp(1, self.borders.len() - 1) - 1
    }

    /// Left and right border of a warp yarn in cloth coordinates.
    pub(super) fn yarn_span(&self, yarn: usize) -> (f32, f32) {
        (self.borders[yarn], self.borders[yarn + 1])
    }

    /// The pick that a line belongs to.
    pub(super) fn pick_at(&self, tick: i64) -> i64 {
        ((tick as f64 + 0.5) / self.weft_pitch).floor() as i64
    }

    /// The lines of the pick that this line belongs to.
    pub(super) fn pick_lines(&self, tick: i64) -> Range<i64> {
        let pick = self.pick_at(tick);
        let (mut start, mut end) = (tick, tick + 1);
        while self.pick_at(start - 1) == pick {
            start -= 1;
        }
        while self.pick_at(end) == pick {
            end += 1;
        }
        start..end
    }

    /// How far the present pick's loop stands out at the left (0) or right (1) selvedge.
    pub(super) fn loop_px(&self, side: usize, tick: i64) -> f32 {
        let chance = unit(self.seed, STREAM_LOOP + side as i64, self.pick_at(tick));
        // Most loops are tight, a few stand out.
        LOOP_PX * chance.powi(4)
    }
}

/// Borders of the warp yarns over the whole sight and the drift, denser at a selvedge.
fn yarn_borders(settings: &LoomSettings, left: Option<f32>, right: Option<f32>) -> Vec<f32> {
    let beyond = (2 * MARGIN) as f32;
    let end = settings.width as f32 + beyond;
    let pitch = settings.warp_pitch_px;
    let zone = SELVEDGE_YARNS as f32 * pitch * SELVEDGE_PITCH;
    let mut border = -beyond;
    let mut borders = vec![border];
    while border < end {
        let in_selvedge = left.is_some_and(|edge| border < edge + zone)
            || right.is_some_and(|edge| border > edge - zone);
        let jitter = 0.09 * signed(settings.seed, STREAM_YARN, borders.len() as i64);
        border += pitch * (1.0 + jitter) * if in_selvedge { SELVEDGE_PITCH } else { 1.0 };
        borders.push(border);
    }
    borders
}
