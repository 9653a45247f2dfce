//! What of the yarns is seen at a spot: which lies on top, how deep, and through which hole.
//!
//! ```text
//! Line (heights by column) ──▶ woven | mesh | knit ──▶ brightness, one plane or three
//! ```
//!
//! Warp and weft are two height fields; the higher one is seen, and what lies deep is dark. A
//! mesh's yarns fill only part of their pitch, and where neither lies the ground is seen. A knit's
//! wales are two legs each that meet at the bottom of every course. Nothing here is random.

use super::settings::DARK_TABLE;
use super::{Dyes, Weave};

/// What one line is made of, by column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Where the line lies in its pick, -1..1, and what a px is of that.
    pub(super) along: f32,
    pub(super) per_px: f32,
    /// Brightness of the pick, and how deep it lies where it is missing.
    pub(super) pick_gain: f32,
    pub(super) pick_sunk: f32,
    /// Height and brightness of the warp yarn, and the spot's place across it.
    pub(super) level: &'a [f32],
    pub(super) gain: &'a [f32],
    pub(super) across: &'a [f32],
    /// Height of the pick, how far off its centre it lies in px, and how thick it is.
    pub(super) crimp: &'a [f32],
    pub(super) offset: &'a [f32],
    pub(super) thickness: &'a [f32],
    /// Brightness of the selvedge over that of the cloth.
    pub(super) selvedge: &'a [f32],
}

/// One column of a line.
struct Spot {
    v: f32,
    level: f32,
    gain: f32,
    across: f32,
    crimp: f32,
    thickness: f32,
    sunk: f32,
}

struct Seen {
    /// 1 where the warp is seen, 0 where the weft is.
    on_top: f32,
    /// Brightness for its depth.
    shade: f32,
    /// How much of the ground is seen.
    open: f32,
}

/// How much higher a yarn rides over than under, and its roundness; 1 together.
pub(super) const CRIMP: f32 = 0.5;
const ROUND: f32 = 0.5;
/// Brightness of yarn of the warp, and how fast it gets dark with depth.
const WARP_COLOUR: f32 = 0.66;
const DEPTH_DARK: f32 = 0.34;
/// Steepness of the border between the yarn on top and the one below.
const SHARP: f32 = 2.2;
/// A mesh's yarns fall off this steeply, and below this height there is a hole.
const NARROW: f32 = 4.2;
const MESH_FLOOR: f32 = -0.45;
/// A knit's leg: distance from its wale's middle at the top and at the bottom of a course, and
/// half its width.
const LEG_TOP: f32 = 0.68;
const LEG_BOTTOM: f32 = 0.30;
const LEG_HALF: f32 = 0.36;

/// Draws one line into one plane, or three where there are dyes.
pub(super) fn paint(line: &Line, weave: Weave, dyes: Option<&Dyes>, planes: &mut [Vec<f32>]) {
    match weave {
        Weave::Plain | Weave::Twill21 | Weave::Twill31 | Weave::Satin5 => {
            paint_as::<false>(line, dyes, planes, woven);
        }
        Weave::Mesh => paint_as::<true>(line, dyes, planes, mesh),
        Weave::Knit => paint_as::<false>(line, dyes, planes, knit),
    }
}

#[inline(always)]
fn paint_as<const OPEN: bool>(
    line: &Line,
    dyes: Option<&Dyes>,
    planes: &mut [Vec<f32>],
    seen: impl Fn(&Spot) -> Seen,
) {
    match (planes, dyes) {
        ([red, green, blue], Some(dyes)) => {
            let n = line.level.len();
            let (red, green, blue) = (&mut red[..n], &mut green[..n], &mut blue[..n]);
            each(line, seen, |x, seen, gain, selvedge| {
                for (plane, row) in [&mut *red, &mut *green, &mut *blue].into_iter().enumerate() {
                    let weft = dyes.weft[plane] * line.pick_gain;
                    let warp = dyes.warp[plane] * WARP_COLOUR * gain;
                    let value = (weft + (warp - weft) * seen.on_top) * seen.shade * selvedge;
                    row[x] = opened::<OPEN>(value, &seen);
                }
            });
        }
        (planes, _) => {
            for plane in planes {
                let row = &mut plane[..line.level.len()];
                each(line, &seen, |x, seen, gain, selvedge| {
                    let weft = line.pick_gain;
                    let colour = weft + (WARP_COLOUR * gain - weft) * seen.on_top;
                    row[x] = opened::<OPEN>(colour * seen.shade * selvedge, &seen);
                });
            }
        }
    }
}

#[inline(always)]
fn opened<const OPEN: bool>(value: f32, seen: &Seen) -> f32 {
    if OPEN {
        value + (DARK_TABLE - value) * seen.open
    } else {
        value
    }
}

/// Looks at every column: its number, what is seen, brightness of the warp and of the selvedge.
#[inline(always)]
fn each(line: &Line, seen: impl Fn(&Spot) -> Seen, mut put: impl FnMut(usize, Seen, f32, f32)) {
    let n = line.level.len();
    let (level, gain, across) = (line.level, &line.gain[..n], &line.across[..n]);
    let (crimp, offset) = (&line.crimp[..n], &line.offset[..n]);
    let (thickness, selvedge) = (&line.thickness[..n], &line.selvedge[..n]);
    for x in 0..n {
        let spot = Spot {
            v: line.along - offset[x] * line.per_px,
            level: level[x],
            gain: gain[x],
            across: across[x],
            crimp: crimp[x],
            thickness: thickness[x],
            sunk: line.pick_sunk,
        };
        put(x, seen(&spot), gain[x], selvedge[x]);
    }
}

#[inline(always)]
fn woven(spot: &Spot) -> Seen {
    let warp = spot.level + ROUND * spot.across;
    let weft = spot.crimp + ROUND * (1.0 - spot.v * spot.v) + spot.thickness - spot.sunk;
    let on_top = (0.5 + (warp - weft) * SHARP).clamp(0.0, 1.0);
    Seen {
        on_top,
        shade: shade(weft + (warp - weft) * on_top),
        open: 0.0,
    }
}

#[inline(always)]
fn mesh(spot: &Spot) -> Seen {
    let warp = spot.level + ROUND - NARROW * (1.0 - spot.across);
    let weft = spot.crimp + ROUND - NARROW * spot.v * spot.v + spot.thickness - spot.sunk;
    let on_top = (0.5 + (warp - weft) * SHARP).clamp(0.0, 1.0);
    let height = weft + (warp - weft) * on_top;
    Seen {
        on_top,
        shade: shade(height + 0.25),
        open: ((MESH_FLOOR - height) * 2.0 + 0.5).clamp(0.0, 1.0),
    }
}

#[inline(always)]
fn knit(spot: &Spot) -> Seen {
    let t = ((spot.v + 1.0) * 0.5).clamp(0.0, 1.0);
    let off = (spot.across - (LEG_TOP + (LEG_BOTTOM - LEG_TOP) * t)) * (1.0 / LEG_HALF);
    let bulge = 2.0 * t - 1.1;
    let stitch = 0.66 * (1.0 - off * off) + 0.40 * (1.0 - bulge * bulge) + 0.3 * spot.level;
    // Where the stitches of a wale have dropped, the loose yarn lies across like rungs.
    let dropped = ((-spot.level - 0.3) * (1.0 / 1.3)).clamp(0.0, 1.0);
    let rung = 0.75 - 2.6 * spot.v * spot.v;
    let height = stitch + (rung - stitch) * dropped + 0.6 * spot.thickness - 0.7 * spot.sunk;
    Seen {
        on_top: 0.0,
        shade: shade(height) * (0.6 + 0.4 * spot.gain),
        open: 0.0,
    }
}

#[inline(always)]
fn shade(height: f32) -> f32 {
    (DEPTH_DARK + (1.0 - DEPTH_DARK) * height).clamp(0.16, 1.2)
}
