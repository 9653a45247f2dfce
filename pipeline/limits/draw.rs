//! Flaws drawn into a camera's frame: what is planted, and how it looks.
//!
//! ```text
//! samples of a frame, a Mark ─▶ brightness around it ─▶ the same samples with the flaw
//! ```
//!
//! A flaw is drawn before anything is corrected, as the camera would have seen it: its strength is
//! counted in standard deviations of the cloth's own brightness around it, so that a bold weave
//! asks for a bolder flaw. Edges are soft, as a lens gives them, and a size is measured between the
//! places where the flaw has half of its strength. A mark changes nothing outside its box. It is
//! no picture of any one fault: it grades size and contrast, which pictures of faults do not.

use std::ops::Range;

use camera::{Depth, FrameShape};

/// What can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A round place.
    Dot,
    /// A yarn along the lane.
    WarpLine,
    /// A yarn across it.
    WeftLine,
    /// A round place with a clear edge, through which something dark shows.
    Hole,
    /// A blotch with a ragged border.
    Stain,
    /// A bite out of the left or right edge of the cloth, through which shows what lies beside.
    Cut,
}

/// One line of the card.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// What a person calls it.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// Strength in standard deviations, negative where it is darker; `None` where the cloth is gone.
    pub(super) contrast: Option<f32>,
    /// Sizes, in pixels of the coarser direction.
    pub(super) sizes_px: (f64, f64),
}

/// Sizes of dots and holes, lines, stains and cuts: from what no network of this kind can see to what it
/// cannot miss, as far as frames go.
const DOTS_PX: (f64, f64) = (2.0, 24.0);
const LINES_PX: (f64, f64) = (8.0, 200.0);
const STAINS_PX: (f64, f64) = (8.0, 64.0);
const CUTS_PX: (f64, f64) = (2.0, 32.0);

/// What is planted: places and yarns faint and clear, a stain, and what takes the cloth away.
pub(super) const KINDS: [Kind; 14] = [
    kind("dot, dark", Shape::Dot, Some(-2.0), DOTS_PX),
    kind("dot, dark", Shape::Dot, Some(-4.0), DOTS_PX),
    kind("dot, bright", Shape::Dot, Some(2.0), DOTS_PX),
    kind("dot, bright", Shape::Dot, Some(4.0), DOTS_PX),
    kind("warp line, dark", Shape::WarpLine, Some(-1.0), LINES_PX),
    kind("warp line, dark", Shape::WarpLine, Some(-2.0), LINES_PX),
    kind("warp line, bright", Shape::WarpLine, Some(2.0), LINES_PX),
    kind("weft line, dark", Shape::WeftLine, Some(-1.0), LINES_PX),
    kind("weft line, dark", Shape::WeftLine, Some(-2.0), LINES_PX),
    kind("weft line, bright", Shape::WeftLine, Some(2.0), LINES_PX),
    kind("stain", Shape::Stain, Some(-1.0), STAINS_PX),
    kind("stain", Shape::Stain, Some(-2.0), STAINS_PX),
    kind("hole", Shape::Hole, None, DOTS_PX),
    kind("cut selvedge", Shape::Cut, None, CUTS_PX),
];

const fn kind(
    name: &'static str,
    shape: Shape,
    contrast: Option<f32>,
    sizes_px: (f64, f64),
) -> Kind {
    Kind {
        name,
        shape,
        contrast,
        sizes_px,
    }
}

impl Kind {
    /// What its size is.
    pub(super) fn size_is(&self) -> &'static str {
        match self.shape {
            Shape::Dot | Shape::Hole | Shape::Stain => "diameter",
            Shape::WarpLine | Shape::WeftLine => "length",
            Shape::Cut => "depth",
        }
    }
}

/// Width of a line, mm: one yarn of a cloth of middling fineness.
const LINE_MM: f64 = 0.6;
/// Length of a cut along the lane, mm.
const CUT_MM: f64 = 8.0;
/// Brightness of what shows through a hole, as a share of the cloth's.
const GROUND: f32 = 0.2;
/// A soft edge begins and ends at these shares of the half size; at 1 it is half way.
const SOFT: (f64, f64) = (0.7, 1.3);
const CLEAR: (f64, f64) = (0.85, 1.15);
const RAGGED: (f64, f64) = (0.55, 1.45);
/// How far a stain's border goes in and out, as a share of its radius.
const RAGGEDNESS: f64 = 0.25;
/// Pixels around a mark by which the cloth's brightness is told.
const AROUND_PX: usize = 16;

/// Size of a pixel, mm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) across: f64,
    pub(super) along: f64,
}

/// A place in a frame, in pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) rows: Range<usize>,
    pub(super) cols: Range<usize>,
}

/// A flaw in its place.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) kind: Kind,
    pub(super) size_mm: f64,
    pub(super) place: Place,
    /// 0 to 1, for what is drawn by chance.
    pub(super) lot: f64,
}

impl Mark {
    /// Rows and columns that a flaw of this size takes up.
    pub(super) fn size_px(kind: Kind, size_mm: f64, scale: Scale) -> (usize, usize) {
        let reach = |mm: f64, edge: (f64, f64), per_px: f64| (mm * edge.1 / per_px).ceil();
        let (rows, cols) = match kind.shape {
            Shape::Dot => (size_mm, size_mm),
            Shape::Hole | Shape::Stain => (size_mm, size_mm),
            Shape::WarpLine => (size_mm / SOFT.1 + LINE_MM, LINE_MM),
            Shape::WeftLine => (LINE_MM, size_mm / SOFT.1 + LINE_MM),
            Shape::Cut => (CUT_MM / SOFT.1, size_mm / SOFT.1),
        };
        let edge = match kind.shape {
            Shape::Stain => (RAGGED.0, RAGGED.1 * (1.0 + RAGGEDNESS)),
            Shape::Hole => CLEAR,
            Shape::Dot | Shape::WarpLine | Shape::WeftLine | Shape::Cut => SOFT,
        };
        (
            reach(rows, edge, scale.along) as usize,
            reach(cols, edge, scale.across) as usize,
        )
    }

    /// How much of the flaw is at this distance from its middle, mm across and along: 0 to 1.
    fn share(&self, across: f64, along: f64) -> f32 {
        let half = self.size_mm / 2.0;
        let share = match self.kind.shape {
            Shape::Dot => fades(across.hypot(along) / half, SOFT),
            Shape::Hole => fades(across.hypot(along) / half, CLEAR),
            Shape::Stain => {
                let turned = along.atan2(across) + self.lot * std::f64::consts::TAU;
                let ragged = 0.6 * (3.0 * turned).sin() + 0.4 * (5.0 * turned + 1.0).sin();
                let radius = half * (1.0 + RAGGEDNESS * ragged);
                fades(across.hypot(along) / radius, RAGGED)
            }
            Shape::WarpLine => line(across, along, half),
            Shape::WeftLine => line(along, across, half),
            Shape::Cut => fades(2.0 * along.abs() / CUT_MM, CLEAR),
        };
        share as f32
    }
}

/// A yarn of a given half length, at `off` beside its middle and `on` along it.
fn line(off: f64, on: f64, half: f64) -> f64 {
    let beyond = (on.abs() - half) / (LINE_MM / 2.0) + 1.0;
    fades(2.0 * off.abs() / LINE_MM, SOFT) * fades(beyond, SOFT)
}

/// 1 up to `edge.0`, 0 from `edge.1` on, smooth between.
fn fades(r: f64, edge: (f64, f64)) -> f64 {
    let part = ((edge.1 - r) / (edge.1 - edge.0)).clamp(0.0, 1.0);
    part * part * (3.0 - 2.0 * part)
}

/// The samples of a frame, to be drawn upon.
pub(super) struct Canvas<'a> {
    shape: FrameShape,
    bytes: &'a mut [u8],
    /// Columns of cloth.
    cloth: Range<usize>,
    scale: Scale,
}

impl<'a> Canvas<'a> {
    /// `bytes` are all samples of a frame of this `shape`.
    pub(super) fn new(
        shape: FrameShape,
        bytes: &'a mut [u8],
        cloth: Range<usize>,
        scale: Scale,
    ) -> Self {
        Self {
            shape,
            bytes,
            cloth,
            scale,
        }
    }

    /// Draws a flaw.
    pub(super) fn draw(&mut self, mark: &Mark) {
        for channel in 0..self.shape.channels.count() {
            if mark.kind.shape == Shape::Cut {
                self.cut(mark, channel);
            } else {
                self.paint(mark, channel);
            }
        }
    }

    fn paint(&mut self, mark: &Mark, channel: usize) {
        let Place { rows, cols } = mark.place.clone();
        let (mean, spread) = self.around(&mark.place, channel);
        let middle = |range: &Range<usize>| (range.start + range.end) as f64 / 2.0;
        let (middle_row, middle_col) = (middle(&rows), middle(&cols));
        for row in rows {
            let along = (row as f64 + 0.5 - middle_row) * self.scale.along;
            for col in cols.clone() {
                let across = (col as f64 + 0.5 - middle_col) * self.scale.across;
                let share = mark.share(across, along);
                if share > 0.0 {
                    let value = self.sample(row, col, channel);
                    let flawed = match mark.kind.contrast {
                        Some(contrast) => value + contrast * spread * share,
                        None => value + (GROUND * mean - value) * share,
                    };
                    self.set(row, col, channel, flawed);
                }
            }
        }
    }

    /// Replaces cloth by what lies beyond its edge, mirrored at the edge.
    fn cut(&mut self, mark: &Mark, channel: usize) {
        let Place { rows, cols } = mark.place.clone();
        let middle_row = (rows.start + rows.end) as f64 / 2.0;
        for row in rows {
            let along = (row as f64 + 0.5 - middle_row) * self.scale.along;
            let depth = (cols.len() as f32 * mark.share(0.0, along)).round() as usize;
            for nth in 0..depth {
                let (col, from) = if cols.start == self.cloth.start {
                    (cols.start + nth, (cols.start - 1).saturating_sub(nth))
                } else {
                    let from = cols.end + nth;
                    (cols.end - 1 - nth, from.min(self.shape.width as usize - 1))
                };
                let beside = self.sample(row, from, channel);
                self.set(row, col, channel, beside);
            }
        }
    }

    /// Mean and standard deviation of the cloth around a place.
    fn around(&self, place: &Place, channel: usize) -> (f32, f32) {
        let grown = |range: &Range<usize>, within: Range<usize>| {
            range.start.saturating_sub(AROUND_PX).max(within.start)
                ..(range.end + AROUND_PX).min(within.end)
        };
        let rows = grown(&place.rows, 0..self.shape.height as usize);
        let cols = grown(&place.cols, self.cloth.clone());
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for row in rows {
            for col in cols.clone() {
                let value = f64::from(self.sample(row, col, channel));
                n += 1.0;
                sum += value;
                squares += value * value;
            }
        }
        let mean = sum / f64::max(n, 1.0);
        let variance = (squares / f64::max(n, 1.0) - mean * mean).max(0.0);
        (mean as f32, variance.sqrt() as f32)
    }

    fn at(&self, row: usize, col: usize, channel: usize) -> usize {
        (row * self.shape.width as usize + col) * self.shape.channels.count() + channel
    }

    fn sample(&self, row: usize, col: usize, channel: usize) -> f32 {
        let at = self.at(row, col, channel);
        match self.shape.depth {
            Depth::Eight => f32::from(self.bytes[at]),
            Depth::Sixteen => f32::from(u16::from_ne_bytes([
                self.bytes[2 * at],
                self.bytes[2 * at + 1],
            ])),
        }
    }

    fn set(&mut self, row: usize, col: usize, channel: usize, value: f32) {
        let at = self.at(row, col, channel);
        match self.shape.depth {
            Depth::Eight => self.bytes[at] = value.round().clamp(0.0, 255.0) as u8,
            Depth::Sixteen => {
                let value = value.round().clamp(0.0, 65_535.0) as u16;
                self.bytes[2 * at..2 * at + 2].copy_from_slice(&value.to_ne_bytes());
            }
        }
    }
}
