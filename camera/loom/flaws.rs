//! Flaws: where they lie, and what each does to a line of cloth.
//!
//! ```text
//! wished box ──▶ place: snapped to yarn, pick or edge ──▶ box of truth
//! line of brightness ──▶ overlay ──▶ the same line with the flaw
//! ```
//!
//! A flaw never changes a pixel outside its box and reaches its box's sides. It knows
//! nothing of frames and lanes, so it goes on from one into the next. Lamp and sensor see it
//! as they see the cloth. What a knit calls an end is a wale, and a pick a course; what has no
//! meaning on a cloth is refused. The shapes themselves are in `shapes`.

use std::ops::Range;

use super::layout::{DRIFT_PX, Layout};
use super::noise::{eased, hash, smooth, unit};
use super::weave::{BLUR_PX, Change};
use super::{Dyes, LoomSettings, Weave};

/// What can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlawKind {
    /// One warp yarn missing; runs along the web. On a knit a ladder: the stitches of one wale
    /// have dropped.
    EndOut,
    /// One pick missing, over the full width. On a knit one course that lies deep.
    Mispick,
    /// A thick place in a weft yarn.
    Slub,
    /// A knot.
    Knot,
    /// A tangle of fibres, a few pixels large.
    Nep,
    /// A hole through which the ground shows.
    Hole,
    /// A dark blotch, as of oil.
    Stain,
    /// A foreign dark fibre.
    Contamination,
    /// A selvedge that was cut.
    Selvedge,
    /// Two warp yarns where one should be; runs along the web. A knit has none.
    DoubleEnd,
    /// Two picks in one shed, over the full width. On a knit a course of double yarn.
    DoublePick,
    /// A yarn that is not tied in: of the weft where the box is wider than high, else of the
    /// warp. A knit has none along.
    Float,
    /// A fold that was pressed in.
    Crease,
    /// Where the loom stood: a bar over the full width with one clear edge that fades out.
    StartMark,
    /// A place where the picks stand apart.
    WeftCrack,
    /// A stain of dye that changes the colour and not the grey. Needs dyed cloth.
    DyeStain,
    /// Two pieces of cloth sewn together: a band of folded cloth over the full width, a little askew
    /// and bent, with a furrow of stitches along its middle.
    Seam,
}

/// The truth about one planted flaw: every pixel that it changes lies in its box.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedFlaw {
    /// Id of the flaw's class; see [`FlawKind::class`].
    pub class: &'static str,
    /// Encoder ticks, half-open.
    pub ticks: Range<i64>,
    /// Pixel columns of the web, half-open.
    pub columns: Range<u32>,
    /// Strength; at 1 a person sees it at a glance, at 0 there is nothing.
    pub contrast: f32,
}

/// A flaw in its place.
#[derive(Clone, Debug)]
pub(super) struct Flaw {
    pub(super) kind: FlawKind,
    /// Lines of cloth.
    pub(super) lines: Range<i64>,
    /// Columns of the web.
    pub(super) columns: Range<u32>,
    pub(super) contrast: f32,
    pub(super) seed: u64,
    pub(super) anchor: Anchor,
}

/// Where a shape's own coordinates lie; its visible part may be smaller.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) lines: Range<i64>,
    pub(super) columns: Range<u32>,
}

#[derive(Clone, Debug)]
pub(super) enum Anchor {
    Field(Field),
    /// A warp yarn, and the lines on which it is changed.
    Yarn(usize, Range<i64>),
    /// The lines of a pick, and the columns over which it is changed.
    Pick(Range<i64>, Range<i64>),
    /// A cut into the left (0) or right (1) selvedge, this many px deep.
    Edge(usize, f32),
}

/// How much deeper a missing yarn lies, how much higher a double end and a float ride.
const MISSING_DEPTH: f32 = 1.6;
const DOUBLE_LIFT: f32 = 0.95;
const FLOAT_LIFT: f32 = 1.1;

impl FlawKind {
    /// Every kind but [`FlawKind::Seam`], which is sewn and not woven, and never comes at random.
    pub const ALL: [Self; 16] = [
        Self::EndOut,
        Self::Mispick,
        Self::Slub,
        Self::Knot,
        Self::Nep,
        Self::Hole,
        Self::Stain,
        Self::Contamination,
        Self::Selvedge,
        Self::DoubleEnd,
        Self::DoublePick,
        Self::Float,
        Self::Crease,
        Self::StartMark,
        Self::WeftCrack,
        Self::DyeStain,
    ];

    /// What random flaws are unless more is asked for.
    pub const BASIC: [Self; 9] = [
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
            Self::Stain | Self::DyeStain => "stain",
            Self::Contamination => "contamination",
            Self::Selvedge => "selvedge",
            Self::DoubleEnd => "double_end",
            Self::DoublePick => "double_pick",
            Self::Float => "float",
            Self::Crease => "crease",
            Self::StartMark => "start_mark",
            Self::WeftCrack => "weft_crack",
            Self::Seam => "seam",
        }
    }

    /// True for what runs along one warp yarn.
    pub(super) fn is_along(self) -> bool {
        matches!(self, Self::EndOut | Self::DoubleEnd)
    }

    /// True for what lies across the full width.
    pub(super) fn is_across(self) -> bool {
        matches!(
            self,
            Self::Mispick | Self::DoublePick | Self::StartMark | Self::Seam
        )
    }
}

impl Flaw {
    /// Puts a flaw where it was wished, as far as its nature allows.
    ///
    /// # Errors
    /// In words, what this cloth would have to be for such a flaw to be on it.
    pub(super) fn place(
        settings: &LoomSettings,
        layout: &Layout,
        kind: FlawKind,
        wished_lines: Range<i64>,
        wished: Range<u32>,
        contrast: f32,
    ) -> Result<Self, &'static str> {
        let is_knit = settings.weave == Weave::Knit;
        let middle = (wished.start + wished.end) as f32 / 2.0;
        let (mut lines, mut columns) = (wished_lines, wished.clone());
        let is_wide = wished.len() as i64 >= lines.end - lines.start;
        let anchor = match kind {
            FlawKind::DoubleEnd if is_knit => return Err("woven cloth, for a knit has no ends"),
            FlawKind::Float if is_knit && !is_wide => {
                return Err("woven cloth or a box that is wider than high, for a knit has no ends");
            }
            FlawKind::DyeStain if settings.dyes.is_none() => {
                return Err("dyes, for undyed cloth shows no colour");
            }
            FlawKind::EndOut | FlawKind::DoubleEnd => {
                yarn_anchor(layout, middle, &mut lines, &mut columns)
            }
            FlawKind::Float if !is_wide => yarn_anchor(layout, middle, &mut lines, &mut columns),
            FlawKind::Float => {
                let pick = layout.pick_lines((lines.start + lines.end - 1) / 2);
                lines = blurred(&pick);
                let raised = i64::from(wished.start)..i64::from(wished.end);
                let end = wished
                    .end
                    .saturating_add(BLUR_PX)
                    .min(layout.width() as u32);
                columns = wished.start.saturating_sub(BLUR_PX)..end;
                Anchor::Pick(pick, raised)
            }
            FlawKind::Mispick | FlawKind::DoublePick => {
                let pick = layout.pick_lines((lines.start + lines.end - 1) / 2);
                lines = blurred(&pick);
                columns = full_width(layout, &lines);
                Anchor::Pick(pick, i64::MIN..i64::MAX)
            }
            FlawKind::StartMark | FlawKind::Seam => {
                columns = full_width(layout, &lines);
                Anchor::Field(Field {
                    lines: lines.clone(),
                    columns: columns.clone(),
                })
            }
            FlawKind::Selvedge => {
                let distance = |side: usize| layout.edges[side].map(|edge| (edge - middle).abs());
                let side = match (distance(0), distance(1)) {
                    (Some(left), Some(right)) => usize::from(right < left),
                    (None, Some(_)) => 1,
                    (Some(_) | None, None) => 0,
                };
                let Some(edge) = layout.edges[side] else {
                    return Err("a table beside the cloth, for a selvedge to be in sight");
                };
                let depth = wished.len() as f32;
                let loops = longest_loop(layout, side, &lines);
                columns = if side == 0 {
                    drifting(layout, &lines, edge - loops, edge + depth)
                } else {
                    drifting(layout, &lines, edge - depth, edge + loops)
                };
                Anchor::Edge(side, depth)
            }
            FlawKind::Slub
            | FlawKind::Knot
            | FlawKind::Nep
            | FlawKind::Hole
            | FlawKind::Stain
            | FlawKind::Contamination
            | FlawKind::Crease
            | FlawKind::WeftCrack
            | FlawKind::DyeStain => Anchor::Field(Field {
                lines: lines.clone(),
                columns: columns.clone(),
            }),
        };
        let seed = hash(kind as u64, lines.start, i64::from(columns.start));
        let flaw = Self {
            kind,
            lines,
            columns,
            contrast,
            seed,
            anchor,
        };
        Ok(match flaw.anchor {
            Anchor::Field(_) if kind != FlawKind::StartMark => flaw.trimmed(),
            Anchor::Field(_) | Anchor::Yarn(..) | Anchor::Pick(..) | Anchor::Edge(..) => flaw,
        })
    }

    /// What it is to the world, where a line of cloth has this many ticks.
    pub(super) fn truth(&self, ticks_per_line: i64) -> PlantedFlaw {
        PlantedFlaw {
            class: self.kind.class(),
            ticks: self.lines.start * ticks_per_line..self.lines.end.saturating_mul(ticks_per_line),
            columns: self.columns.clone(),
            contrast: self.contrast,
        }
    }

    /// True where its own yarn or shape lies on this line.
    pub(super) fn holds(&self, line: i64) -> bool {
        match &self.anchor {
            Anchor::Yarn(_, lines) | Anchor::Pick(lines, _) => lines.contains(&line),
            Anchor::Field(_) | Anchor::Edge(..) => self.lines.contains(&line),
        }
    }

    /// What it does to the yarns of the lines that it holds.
    pub(super) fn change(&self) -> Option<Change> {
        let share = self.contrast;
        match &self.anchor {
            Anchor::Yarn(yarn, _) => {
                let lift = if self.kind == FlawKind::DoubleEnd {
                    DOUBLE_LIFT * share
                } else if self.kind == FlawKind::Float {
                    FLOAT_LIFT * share
                } else {
                    -(MISSING_DEPTH * share)
                };
                Some(Change::End(*yarn, lift))
            }
            Anchor::Pick(_, columns) => Some(if self.kind == FlawKind::DoublePick {
                Change::Shed(share)
            } else if self.kind == FlawKind::Float {
                Change::Raised(FLOAT_LIFT * share, columns.clone())
            } else {
                Change::Sunk(MISSING_DEPTH * share)
            }),
            Anchor::Field(_) | Anchor::Edge(..) => None,
        }
    }

    /// How deep it cuts into this side's selvedge at this line, in px.
    pub(super) fn cut_px(&self, side: usize, line: i64) -> f32 {
        match self.anchor {
            Anchor::Edge(cut, depth) if cut == side => {
                let length = (self.lines.end - self.lines.start) as f32;
                let along = (line - self.lines.start) as f32 + 0.5;
                // Steep where the blade enters and leaves, ragged in between.
                let ramp = (length * 0.12).clamp(1.0, 12.0);
                let share = (along.min(length - along) / ramp).min(1.0);
                let ragged = 0.2 * smooth(self.seed, 1, f64::from(along) / 9.0).abs()
                    + 0.1 * unit(self.seed, 2, line / 3);
                (depth * self.contrast.min(1.0) * eased(share) * (1.0 - ragged)).min(depth)
            }
            Anchor::Edge(..) | Anchor::Field(_) | Anchor::Yarn(..) | Anchor::Pick(..) => 0.0,
        }
    }

    /// Cuts the box down to what the shape changes.
    fn trimmed(self) -> Self {
        const PROBE: f32 = 0.5;
        let mut seen: Option<(Range<i64>, Range<u32>)> = None;
        let first = i64::from(self.columns.start);
        let mut planes = vec![vec![PROBE; self.columns.len()]; 3];
        for line in self.lines.clone() {
            planes.iter_mut().for_each(|plane| plane.fill(PROBE));
            self.overlay(line, 1.0, &Dyes::UNDYED, first, &mut planes);
            for (nth, column) in self.columns.clone().enumerate() {
                if planes.iter().any(|plane| plane[nth] != PROBE) {
                    let (lines, columns) = seen.get_or_insert((line..line + 1, column..column + 1));
                    lines.end = line + 1;
                    columns.start = columns.start.min(column);
                    columns.end = columns.end.max(column + 1);
                }
            }
        }
        match seen {
            Some((lines, columns)) => Self {
                lines,
                columns,
                ..self
            },
            None => self,
        }
    }
}

/// The yarn in the middle of a box; the box becomes what it touches.
fn yarn_anchor(
    layout: &Layout,
    middle: f32,
    lines: &mut Range<i64>,
    columns: &mut Range<u32>,
) -> Anchor {
    let yarn = layout.yarn_at(middle - layout.drift(lines.start));
    let (left, right) = layout.yarn_span(yarn);
    let blur = BLUR_PX as f32;
    *columns = drifting(layout, lines, left - blur, right + blur);
    let held = lines.clone();
    *lines = blurred(&held);
    Anchor::Yarn(yarn, held)
}

/// From selvedge to selvedge, loops included.
fn full_width(layout: &Layout, lines: &Range<i64>) -> Range<u32> {
    let left = layout.edges[0].map_or(-DRIFT_PX, |edge| edge - longest_loop(layout, 0, lines));
    let right = layout.edges[1].map_or(layout.width() as f32 + DRIFT_PX, |edge| {
        edge + longest_loop(layout, 1, lines)
    });
    drifting(layout, lines, left, right)
}

/// The lines on which the lens shows something of these.
fn blurred(lines: &Range<i64>) -> Range<i64> {
    let blur = i64::from(BLUR_PX);
    (lines.start - blur).max(0)..lines.end + blur
}

/// How far the weft's loops stand out of a selvedge at most on these lines, in px.
fn longest_loop(layout: &Layout, side: usize, lines: &Range<i64>) -> f32 {
    lines
        .clone()
        .map(|line| layout.loop_px(side, line))
        .fold(0.0, f32::max)
}

/// The columns that a strip of cloth touches while it drifts.
fn drifting(layout: &Layout, lines: &Range<i64>, left: f32, right: f32) -> Range<u32> {
    let (low, high) = layout.drift_over(lines);
    // Negative places become 0.
    let start = (left + low).floor() as u32;
    let end = ((right + high).ceil() as u32).min(layout.width() as u32);
    start.min(end)..end
}
