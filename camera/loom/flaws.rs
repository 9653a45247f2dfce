//! Flaws: where they lie, and what each does to a line of cloth.
//!
//! ```text
//! wished box ──▶ place: snapped to yarn, pick or edge ──▶ box of truth
//! line of brightness ──▶ overlay ──▶ the same line with the flaw
//! ```
//!
//! A flaw never changes a pixel outside its box and reaches its box's sides. It knows
//! nothing of frames, so it goes on from one into the next. Lamp and sensor see it as
//! they see the cloth.

use std::f32::consts::PI;
use std::ops::Range;

use super::noise::{eased, hash, signed, smooth, smooth_2d, unit};
use super::weave::{BLUR_PX, Cloth, DRIFT_PX, Missing};

/// What can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlawKind {
    /// One warp yarn missing; runs along the web.
    EndOut,
    /// One pick missing, over the full width.
    Mispick,
    /// A thick place in a weft yarn.
    Slub,
    /// A knot.
    Knot,
    /// A tangle of fibres, a few pixels large.
    Nep,
    /// A hole through which the ground shows.
    Hole,
    /// A dark blotch.
    Stain,
    /// A foreign dark fibre.
    Contamination,
    /// A selvedge that was cut.
    Selvedge,
}

/// The truth about one planted flaw: every pixel that it changes lies in its box.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedFlaw {
    /// Id of the flaw's class: `end_out`, `mispick`, `slub`, `knot`, `nep`, `hole`,
    /// `stain`, `contamination` or `selvedge`.
    pub class: &'static str,
    /// Encoder ticks, half-open.
    pub ticks: Range<i64>,
    /// Pixel columns, half-open.
    pub columns: Range<u32>,
    /// Strength; at 1 a person sees it at a glance, at 0 there is nothing.
    pub contrast: f32,
}

/// A flaw in its place.
#[derive(Clone, Debug)]
pub(super) struct Flaw {
    pub(super) kind: FlawKind,
    pub(super) ticks: Range<i64>,
    pub(super) columns: Range<u32>,
    pub(super) contrast: f32,
    seed: u64,
    anchor: Anchor,
}

/// Where a shape's own coordinates lie; its visible part may be smaller.
#[derive(Clone, Debug)]
struct Field {
    ticks: Range<i64>,
    columns: Range<u32>,
}

#[derive(Clone, Debug)]
enum Anchor {
    Field(Field),
    /// A warp yarn, and the lines without it.
    Yarn(usize, Range<i64>),
    /// The lines of a pick.
    Pick(Range<i64>),
    /// A cut into the left (0) or right (1) selvedge, this many px deep.
    Edge(usize, f32),
}

/// Brightness of a bare yarn, of the rim of a hole, and of a stained or dark fibre.
const YARN: f32 = 0.95;
const FIBRE: f32 = 0.12;

impl FlawKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::EndOut,
        Self::Mispick,
        Self::Slub,
        Self::Knot,
        Self::Nep,
        Self::Hole,
        Self::Stain,
        Self::Contamination,
        Self::Selvedge,
    ];

    /// Id of the flaw's class.
    pub fn class(self) -> &'static str {
        match self {
            Self::EndOut => "end_out",
            Self::Mispick => "mispick",
            Self::Slub => "slub",
            Self::Knot => "knot",
            Self::Nep => "nep",
            Self::Hole => "hole",
            Self::Stain => "stain",
            Self::Contamination => "contamination",
            Self::Selvedge => "selvedge",
        }
    }
}

impl Flaw {
    /// Puts a flaw where it was wished, as far as its nature allows; `None` for a cut
    /// selvedge where the camera sees no edge.
    pub(super) fn place(
        cloth: &Cloth,
        kind: FlawKind,
        wished_ticks: Range<i64>,
        wished: Range<u32>,
        contrast: f32,
    ) -> Option<Self> {
        let middle = (wished.start + wished.end) as f32 / 2.0;
        let (mut ticks, mut columns) = (wished_ticks, wished.clone());
        let anchor = match kind {
            FlawKind::EndOut => {
                let yarn = cloth.yarn_at(middle - cloth.drift(ticks.start));
                let (left, right) = cloth.yarn_span(yarn);
                let blur = BLUR_PX as f32;
                columns = drifting(cloth, &ticks, left - blur, right + blur);
                let lines = ticks.clone();
                ticks = blurred(&lines);
                Anchor::Yarn(yarn, lines)
            }
            FlawKind::Mispick => {
                let lines = cloth.pick_lines((ticks.start + ticks.end - 1) / 2);
                ticks = blurred(&lines);
                let left =
                    cloth.edges[0].map_or(-DRIFT_PX, |edge| edge - longest_loop(cloth, 0, &ticks));
                let right = cloth.edges[1].map_or(cloth.width() as f32 + DRIFT_PX, |edge| {
                    edge + longest_loop(cloth, 1, &ticks)
                });
                columns = drifting(cloth, &ticks, left, right);
                Anchor::Pick(lines)
            }
            FlawKind::Selvedge => {
                let distance = |side: usize| cloth.edges[side].map(|edge| (edge - middle).abs());
                let side = match (distance(0), distance(1)) {
                    (None, None) => return None,
                    (Some(left), Some(right)) => usize::from(right < left),
                    (Some(_), None) => 0,
                    (None, Some(_)) => 1,
                };
                let (edge, depth) = (cloth.edges[side]?, wished.len() as f32);
                let loops = longest_loop(cloth, side, &ticks);
                columns = if side == 0 {
                    drifting(cloth, &ticks, edge - loops, edge + depth)
                } else {
                    drifting(cloth, &ticks, edge - depth, edge + loops)
                };
                Anchor::Edge(side, depth)
            }
            FlawKind::Slub
            | FlawKind::Knot
            | FlawKind::Nep
            | FlawKind::Hole
            | FlawKind::Stain
            | FlawKind::Contamination => Anchor::Field(Field {
                ticks: ticks.clone(),
                columns: columns.clone(),
            }),
        };
        let seed = hash(kind as u64, ticks.start, i64::from(columns.start));
        let flaw = Self {
            kind,
            ticks,
            columns,
            contrast,
            seed,
            anchor,
        };
        Some(match flaw.anchor {
            Anchor::Field(_) => flaw.trimmed(cloth.width()),
            Anchor::Yarn(..) | Anchor::Pick(_) | Anchor::Edge(..) => flaw,
        })
    }

    /// What it is to the world.
    pub(super) fn truth(&self) -> PlantedFlaw {
        PlantedFlaw {
            class: self.kind.class(),
            ticks: self.ticks.clone(),
            columns: self.columns.clone(),
            contrast: self.contrast,
        }
    }

    /// True where its own yarn or shape lies on this line.
    pub(super) fn holds(&self, tick: i64) -> bool {
        match &self.anchor {
            Anchor::Yarn(_, lines) | Anchor::Pick(lines) => lines.contains(&tick),
            Anchor::Field(_) | Anchor::Edge(..) => self.ticks.contains(&tick),
        }
    }

    /// The yarn that it takes out of the lines that it holds.
    pub(super) fn missing(&self) -> Option<Missing> {
        match self.anchor {
            Anchor::Yarn(yarn, _) => Some(Missing::End(yarn, self.contrast)),
            Anchor::Pick(_) => Some(Missing::Pick(self.contrast)),
            Anchor::Field(_) | Anchor::Edge(..) => None,
        }
    }

    /// How deep it cuts into this side's selvedge at this line, in px.
    pub(super) fn cut_px(&self, side: usize, tick: i64) -> f32 {
        match self.anchor {
            Anchor::Edge(cut, depth) if cut == side => {
                let length = (self.ticks.end - self.ticks.start) as f32;
                let along = (tick - self.ticks.start) as f32 + 0.5;
                // Steep where the blade enters and leaves, ragged in between.
                let ramp = (length * 0.12).clamp(1.0, 12.0);
                let share = (along.min(length - along) / ramp).min(1.0);
                let ragged = 0.2 * smooth(self.seed, 1, f64::from(along) / 9.0).abs()
                    + 0.1 * unit(self.seed, 2, tick / 3);
                (depth * self.contrast.min(1.0) * eased(share) * (1.0 - ragged)).min(depth)
            }
            Anchor::Edge(..) | Anchor::Field(_) | Anchor::Yarn(..) | Anchor::Pick(_) => 0.0,
        }
    }

    /// Draws it into one line of brightness. `ground` is what shows through a hole.
    pub(super) fn overlay(&self, tick: i64, ground: f32, row: &mut [f32]) {
        let Anchor::Field(field) = &self.anchor else {
            return;
        };
        let width = field.columns.len() as f32;
        let height = (field.ticks.end - field.ticks.start) as f32;
        let y = (tick - field.ticks.start) as f32 + 0.5;
        let q = 2.0 * y / height - 1.0;
        let share = self.contrast.min(1.0);
        for column in self.columns.clone() {
            let Some(value) = row.get_mut(column as usize) else {
                return;
            };
            let x = (column - field.columns.start) as f32 + 0.5;
            let p = 2.0 * x / width - 1.0;
            *value = match self.kind {
                FlawKind::Slub => self.slub(*value, p, q, x, y),
                FlawKind::Knot => self.knot(*value, p, q),
                FlawKind::Nep => {
                    let fibres = 0.75 + 0.25 * smooth_2d(self.seed, x * 0.7, y * 0.7);
                    *value + 0.55 * self.contrast * fades(p.hypot(q), 0.3, 1.1) * fibres
                }
                FlawKind::Hole => {
                    // Yarn ends hang into it: its border is ragged by the yarn.
                    let ends = 0.14 * smooth_2d(self.seed, x / 2.2, y / 2.2);
                    let r = self.ragged_radius(p, q, 0.35) + ends;
                    let frayed = 0.7 + 0.3 * smooth_2d(self.seed, x * 0.8, y * 0.8);
                    let rim = toward(*value, YARN * frayed, 0.8 * share * fades(r, 0.8, 1.0));
                    toward(rim, ground, share * fades(r, 0.66, 0.86))
                }
                FlawKind::Stain => {
                    let r = self.ragged_radius(p, q, 0.5);
                    let blotch = 0.75 + 0.25 * smooth_2d(self.seed, x / 9.0, y / 9.0);
                    // Dried dirt gathers at the border.
                    let rim = 0.12 * fades((r - 0.8).abs(), 0.0, 0.15);
                    let dark = 0.36 * fades(r, 0.6, 1.0) * blotch + rim * fades(r, 0.8, 1.0);
                    *value * (1.0 - dark * self.contrast).max(0.1)
                }
                FlawKind::Contamination => {
                    let off = self.off_fibre(x, y, width, height);
                    toward(*value, FIBRE, 0.85 * share * (1.7 - off).clamp(0.0, 1.0))
                }
                FlawKind::EndOut | FlawKind::Mispick | FlawKind::Selvedge => *value,
            };
        }
    }

    /// Cuts the box down to what the shape changes.
    fn trimmed(self, width: usize) -> Self {
        const PROBE: f32 = 0.5;
        let mut seen: Option<(Range<i64>, Range<u32>)> = None;
        let mut row = vec![PROBE; width];
        for tick in self.ticks.clone() {
            row.fill(PROBE);
            self.overlay(tick, 1.0, &mut row);
            for column in self.columns.clone() {
                if row
                    .get(column as usize)
                    .is_some_and(|&value| value != PROBE)
                {
                    let (ticks, columns) = seen.get_or_insert((tick..tick + 1, column..column + 1));
                    ticks.end = tick + 1;
                    columns.start = columns.start.min(column);
                    columns.end = columns.end.max(column + 1);
                }
            }
        }
        match seen {
            Some((ticks, columns)) => Self {
                ticks,
                columns,
                ..self
            },
            None => self,
        }
    }

    /// A thick yarn that lies over the weave, thickest in its middle.
    fn slub(&self, value: f32, p: f32, q: f32, x: f32, y: f32) -> f32 {
        let reach = (1.0 - p * p).max(0.0).powf(0.6);
        let off = q.abs() / reach.max(1e-3);
        let twist = 0.03 * ((x + 1.7 * y) * 0.8).sin() + 0.1 * smooth_2d(self.seed, x / 5.0, y);
        let yarn = YARN * (0.62 + 0.36 * (1.0 - off * off).max(0.0).sqrt() + twist);
        toward(
            value,
            yarn,
            0.85 * self.contrast.min(1.0) * fades(off, 0.4, 1.0),
        )
    }

    /// A bright lump that throws a shadow to the right.
    fn knot(&self, value: f32, p: f32, q: f32) -> f32 {
        let lump = self.ragged_radius((p + 0.2) / 0.8, (q + 0.1) / 0.9, 0.15);
        let shadow = fades(p.hypot(q), 0.55, 1.0);
        let shaded = value * (1.0 - (0.5 * shadow * self.contrast).min(0.8));
        toward(
            shaded,
            1.15,
            self.contrast.min(1.0) * fades(lump, 0.35, 0.95),
        )
    }

    /// Distance from the middle, 1 at a ragged border that stays within the field.
    fn ragged_radius(&self, p: f32, q: f32, ragged: f32) -> f32 {
        let r = p.hypot(q);
        let (sine, cosine) = if r > 0.0 { (q / r, p / r) } else { (0.0, 1.0) };
        let coarse = smooth_2d(self.seed, 1.2 * cosine, 1.2 * sine);
        let fine = smooth_2d(self.seed, 3.5 * cosine + 20.0, 3.5 * sine);
        r / (1.0 - ragged * (0.5 + 0.36 * coarse + 0.14 * fine))
    }

    /// Distance in px from a curved fibre that runs the box's long way.
    fn off_fibre(&self, x: f32, y: f32, width: f32, height: f32) -> f32 {
        let (along, across, length, reach) = if width >= height {
            (x, y, width, height)
        } else {
            (y, x, height, width)
        };
        // An odd number of half waves from side to side touches both sides.
        let n_waves = 1.0 + 2.0 * (unit(self.seed, 5, 0) * 2.0).floor();
        let flip = signed(self.seed, 5, 1).signum();
        let phase = n_waves * PI * (along / length - 0.5);
        let swing = (reach / 2.0 - 2.0).max(0.0);
        let centre = reach / 2.0 + flip * swing * phase.sin();
        let slope = swing * n_waves * PI / length * phase.cos();
        (across - centre).abs() / slope.hypot(1.0)
    }
}

/// The lines on which the lens shows something of these.
fn blurred(lines: &Range<i64>) -> Range<i64> {
    let blur = i64::from(BLUR_PX);
    (lines.start - blur).max(0)..lines.end + blur
}

/// How far the weft's loops stand out of a selvedge at most on these lines, in px.
fn longest_loop(cloth: &Cloth, side: usize, ticks: &Range<i64>) -> f32 {
    ticks
        .clone()
        .map(|tick| cloth.loop_px(side, tick))
        .fold(0.0, f32::max)
}

/// The columns that a strip of cloth touches while it drifts.
fn drifting(cloth: &Cloth, ticks: &Range<i64>, left: f32, right: f32) -> Range<u32> {
    let (low, high) = cloth.drift_over(ticks);
    // Negative places become 0.
    let start = (left + low).floor() as u32;
    let end = ((right + high).ceil() as u32).min(cloth.width() as u32);
    start.min(end)..end
}

fn toward(value: f32, other: f32, share: f32) -> f32 {
    value + (other - value) * share
}

/// 1 up to `from`, 0 from `to` on.
fn fades(r: f32, from: f32, to: f32) -> f32 {
    eased(((to - r) / (to - from)).clamp(0.0, 1.0))
}
