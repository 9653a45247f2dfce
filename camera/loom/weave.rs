//! The yarns: where they lie, which is on top, and how bright a line of them is.
//!
//! ```text
//! settings ──▶ tables (once) ──▶ line y: yarns, pick ──▶ heights ──▶ brightness per column
//! ```
//!
//! A yarn's thickness wanders along it, picks lie a little crooked, and the whole cloth drifts
//! sideways under the camera; `surface` says which yarn is on top. The lens blurs it a little.
//! Brightness is a share of white paper; lamp and sensor come later. A line of cloth depends on
//! its number alone, and looks the same in every view of the web.

use std::ops::Range;

use super::flaws::Flaw;
use super::layout::{Layout, MARGIN, N_PHASES, SELVEDGE_YARNS, STREAM_YARN};
use super::noise::{eased, fill_smooth, hash, signed, smooth};
use super::surface::{self, CRIMP, Line};
use super::{Dyes, LoomSettings, Weave};

/// The yarns of one view of a web and the scratch to draw a line of them.
#[derive(Debug)]
pub(super) struct Cloth {
    pub(super) layout: Layout,
    weave: Weave,
    dyes: Option<Dyes>,
    /// First column of the view, in columns of the web, and how many there are.
    first_column: i64,
    width: usize,
    /// The first warp yarn that the view can show; what follows is kept from it on.
    first_yarn: usize,
    /// Brightness of each warp yarn.
    yarn_gain: Vec<f32>,
    tables: Vec<Table>,
    pick: Pick,
    thickness: Thickness,
    level: Vec<f32>,
    warp_level: Vec<f32>,
    warp_gain: Vec<f32>,
    /// The pick's own rows where a flaw changes them.
    changed_crimp: Vec<f32>,
    changed_thickness: Vec<f32>,
    /// The last three lines as they are without the lens, each with its number.
    sharp: [(i64, Vec<Vec<f32>>); 3],
    blurred: Vec<f32>,
}

/// What a column shows of the yarns while the cloth's drift has one fraction of a pixel.
#[derive(Debug)]
struct Table {
    yarn: Vec<u32>,
    /// 1 on a warp yarn's ridge, 0 at its borders; for a knit the distance from the wale's
    /// middle, 1 at its borders.
    across: Vec<f32>,
    /// How high the weft rides here, by class of pick.
    weft_crimp: Vec<Vec<f32>>,
    /// Brightness of the selvedge over that of the cloth.
    selvedge: Vec<f32>,
}

/// The weft yarn of the present line.
#[derive(Debug)]
struct Pick {
    idx: i64,
    centre: f64,
    gain: f32,
    /// By column: how far it lies off its centre in px, and how thick it is.
    offset: Vec<f32>,
    thickness: Vec<f32>,
}

/// Thickness of the warp yarns at the two knots around the present line.
#[derive(Debug)]
struct Thickness {
    knot: i64,
    here: Vec<f32>,
    next: Vec<f32>,
}

/// What a flaw does to the yarns of one line.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A warp yarn rides this much higher, lower where negative.
    End(usize, f32),
    /// The pick lies this much deeper.
    Sunk(f32),
    /// The pick rides this much higher over these columns of the web.
    Raised(f32, Range<i64>),
    /// The pick lies in the shed of the one before it, by this share.
    Shed(f32),
}

/// How far the lens carries light beyond its pixel, in px and lines.
pub(super) const BLUR_PX: u32 = 1;

/// Brightness of yarn of the weft.
const WEFT_COLOUR: f32 = 0.92;
/// Thickness: length in px along a yarn over which it wanders, and by how much.
const THICK_LINES: f64 = 26.0;
const THICK_COLUMNS: f64 = 34.0;
const THICK: f32 = 0.2;
/// Brightness of a selvedge and of the cloth right beside it.
const SELVEDGE_GAIN: f32 = 1.07;
const BESIDE_SELVEDGE: f32 = 0.93;

/// How much higher two picks in one shed ride.
const DOUBLE_PICK_LIFT: f32 = 0.45;

const STREAM_GAIN: i64 = 3;
const STREAM_PICK: i64 = 4;
const STREAM_PICK_GAIN: i64 = 5;
const STREAM_SHADE: i64 = 6;

impl Cloth {
    /// The yarns of `width` columns of the web from `first_column` on.
    pub(super) fn new(settings: &LoomSettings, first_column: i64, width: usize) -> Self {
        let layout = Layout::new(settings);
        let margin = (MARGIN + 1) as f32;
        let first_yarn = layout.yarn_at(first_column as f32 - margin);
        let last_yarn = layout.yarn_at((first_column + width as i64) as f32 + margin);
        let n_yarns = last_yarn + 1 - first_yarn;
        let yarn_gain = (first_yarn as i64..)
            .take(n_yarns)
            .map(|i| 1.0 + 0.07 * signed(settings.seed, STREAM_GAIN, i))
            .collect();
        let n_planes = if settings.dyes.is_some() { 3 } else { 1 };
        let mut cloth = Self {
            layout,
            weave: settings.weave,
            dyes: settings.dyes,
            first_column,
            width,
            first_yarn,
            yarn_gain,
            tables: Vec::new(),
            pick: Pick {
                idx: i64::MIN,
                centre: 0.0,
                gain: 1.0,
                offset: vec![0.0; width],
                thickness: vec![0.0; width],
            },
            thickness: Thickness {
                knot: i64::MIN,
                here: vec![0.0; n_yarns],
                next: vec![0.0; n_yarns],
            },
            level: vec![0.0; n_yarns],
            warp_level: vec![0.0; width],
            warp_gain: vec![0.0; width],
            changed_crimp: vec![0.0; width],
            changed_thickness: vec![0.0; width],
            sharp: [(); 3].map(|()| (i64::MIN, vec![vec![0.0; width]; n_planes])),
            blurred: vec![0.0; width],
        };
        cloth.tables = (0..N_PHASES).map(|phase| cloth.table(phase)).collect();
        cloth
    }

    /// One line of yarns as the lens shows it, into `planes`, one for grey or three for
    /// colours. `flaws` holds at least those that touch this line or a neighbouring one, and is
    /// the same in every call for the same line.
    pub(super) fn draw(&mut self, line: i64, flaws: &[&Flaw], planes: &mut [Vec<f32>]) {
        for line in line - 1..=line + 1 {
            let slot = line.rem_euclid(3) as usize;
            if self.sharp[slot].0 != line {
                let mut sharp = std::mem::take(&mut self.sharp[slot].1);
                self.draw_sharp(line, flaws, &mut sharp);
                self.sharp[slot] = (line, sharp);
            }
        }
        let n = self.width;
        for (plane, row) in planes.iter_mut().enumerate() {
            let [above, here, below] = [line - 1, line, line + 1]
                .map(|line| &self.sharp[line.rem_euclid(3) as usize].1[plane][..]);
            let lines = above[..n].iter().zip(&here[..n]).zip(&below[..n]);
            for (sum, ((above, here), below)) in self.blurred[..n].iter_mut().zip(lines) {
                *sum = 0.25 * (above + below) + 0.5 * here;
            }
            let (first, last) = (self.blurred[0], self.blurred[n - 1]);
            for (value, three) in row[1..].iter_mut().zip(self.blurred.windows(3)) {
                *value = 0.25 * (three[0] + three[2]) + 0.5 * three[1];
            }
            row[0] = 0.75 * first + 0.25 * self.blurred[1];
            row[n - 1] = 0.75 * last + 0.25 * self.blurred[n - 2];
        }
    }

    /// Draws the yarns of one line without the lens.
    fn draw_sharp(&mut self, line: i64, flaws: &[&Flaw], planes: &mut [Vec<f32>]) {
        self.set_pick(line);
        self.set_thickness(line);
        let half_pitch = (self.layout.weft_pitch / 2.0) as f32;
        let along = (line as f64 + 0.5 - self.pick.centre) as f32 / half_pitch;
        let n = self.width;
        let drift = self.layout.drift(line);
        let whole = drift.floor();
        let phase = ((drift - whole) * N_PHASES as f32) as usize;
        let seen = (MARGIN as f32 - whole) as usize..;
        let class_count = self.weave.repeat();
        let class_of = |pick: i64| pick.rem_euclid(class_count as i64) as usize;

        let table = &self.tables[phase];
        let usual = &table.weft_crimp[class_of(self.pick.idx)][seen.clone()][..n];
        let mut crimp = usual;
        let mut thickness = &self.pick.thickness[..n];
        let (mut pick_sunk, mut ends) = (0.0, Vec::new());
        let mut ride = [0.0; MOST_CLASSES];
        for (class, ride) in ride.iter_mut().enumerate().take(class_count) {
            *ride = CRIMP * self.warp_ride(class as i64, self.pick.idx, along / 2.0);
        }
        for change in flaws
            .iter()
            .filter(|flaw| flaw.holds(line))
            .filter_map(|flaw| flaw.change())
        {
            match change {
                Change::End(yarn, lift) => ends.push((yarn, lift)),
                Change::Sunk(depth) => pick_sunk = depth,
                Change::Raised(lift, columns) => {
                    let rows = self.changed_thickness.iter_mut().zip(&self.pick.thickness);
                    for (column, (changed, &usual)) in (self.first_column..).zip(rows) {
                        *changed = usual + if columns.contains(&column) { lift } else { 0.0 };
                    }
                    thickness = &self.changed_thickness[..n];
                }
                // One yarn more in the same shed also stands out, and a knit has no shed.
                Change::Shed(share) => {
                    for (changed, &usual) in
                        self.changed_thickness.iter_mut().zip(&self.pick.thickness)
                    {
                        *changed = usual + DOUBLE_PICK_LIFT * share;
                    }
                    thickness = &self.changed_thickness[..n];
                    let share = share.min(1.0);
                    let before = self.pick.idx - 1;
                    let other = &table.weft_crimp[class_of(before)][seen.clone()][..n];
                    for (changed, (a, b)) in
                        self.changed_crimp.iter_mut().zip(usual.iter().zip(other))
                    {
                        *changed = a + (b - a) * share;
                    }
                    for (class, ride) in ride.iter_mut().enumerate().take(class_count) {
                        let other = CRIMP * self.warp_ride(class as i64, before, along / 2.0);
                        *ride += (other - *ride) * share;
                    }
                    crimp = &self.changed_crimp[..n];
                }
            }
        }

        let part = (line as f64 / THICK_LINES).fract() as f32;
        let yarns = self.thickness.here.iter().zip(&self.thickness.next);
        for (yarn, (level, (here, next))) in
            (self.first_yarn..).zip(self.level.iter_mut().zip(yarns))
        {
            *level = ride[yarn % class_count] + here + (next - here) * part;
        }
        for (yarn, lift) in ends {
            let local = yarn.checked_sub(self.first_yarn);
            if let Some(level) = local.and_then(|local| self.level.get_mut(local)) {
                *level += lift;
            }
        }
        let yarns = &table.yarn[seen.clone()][..n];
        for ((level, gain), &yarn) in self
            .warp_level
            .iter_mut()
            .zip(&mut self.warp_gain)
            .zip(yarns)
        {
            *level = self.level[yarn as usize];
            *gain = self.yarn_gain[yarn as usize];
        }
        let line = Line {
            along,
            per_px: 1.0 / half_pitch,
            pick_gain: WEFT_COLOUR * self.pick.gain,
            pick_sunk,
            level: &self.warp_level[..n],
            gain: &self.warp_gain[..n],
            across: &table.across[seen.clone()][..n],
            crimp,
            offset: &self.pick.offset[..n],
            thickness,
            selvedge: &table.selvedge[seen][..n],
        };
        surface::paint(&line, self.weave, self.dyes.as_ref(), planes);
    }

    /// How high a warp yarn rides at `part` (-0.5..0.5) of a pick, -1..1.
    fn warp_ride(&self, yarn: i64, pick: i64, part: f32) -> f32 {
        let ride = |pick| {
            if self.weave.warp_is_up(yarn, pick) {
                1.0
            } else {
                -1.0
            }
        };
        let (here, next) = (
            ride(pick),
            ride(if part < 0.0 { pick - 1 } else { pick + 1 }),
        );
        here + (next - here) * eased(part.abs().min(1.0))
    }

    fn set_pick(&mut self, line: i64) {
        let idx = self.layout.pick_at(line);
        if self.pick.idx == idx {
            return;
        }
        let seed = hash(self.layout.seed, STREAM_PICK, idx);
        let jitter = f64::from(signed(seed, 0, 0)) * 0.07;
        self.pick.idx = idx;
        self.pick.centre = (idx as f64 + 0.5 + jitter) * self.layout.weft_pitch;
        let shade = 0.025 * smooth(self.layout.seed, STREAM_SHADE, idx as f64 / 60.0);
        self.pick.gain = 1.0 + 0.05 * signed(self.layout.seed, STREAM_PICK_GAIN, idx) + shade;
        let first = self.first_column;
        fill_smooth(hash(seed, 1, 0), 70.0, 0.35, first, &mut self.pick.offset);
        fill_smooth(
            hash(seed, 2, 0),
            THICK_COLUMNS,
            THICK,
            first,
            &mut self.pick.thickness,
        );
    }

    fn set_thickness(&mut self, line: i64) {
        let knot = (line as f64 / THICK_LINES).floor() as i64;
        if self.thickness.knot == knot {
            return;
        }
        self.thickness.knot = knot;
        let seed = hash(self.layout.seed, STREAM_YARN, 0);
        for (values, knot) in [
            (&mut self.thickness.here, knot),
            (&mut self.thickness.next, knot + 1),
        ] {
            for (yarn, value) in (self.first_yarn as i64..).zip(values) {
                *value = THICK * signed(seed, yarn, knot);
            }
        }
    }

    fn table(&self, phase: usize) -> Table {
        let columns = self.width + 2 * MARGIN;
        let place = |i: usize| {
            (self.first_column + i as i64) as f32 + 0.5
                - MARGIN as f32
                - phase as f32 / N_PHASES as f32
        };
        let spans: Vec<(usize, f32)> = (0..columns)
            .map(|i| {
                let yarn = self.layout.yarn_at(place(i));
                let (left, right) = self.layout.yarn_span(yarn);
                (yarn, (place(i) - left) / (right - left))
            })
            .collect();
        let weft_crimp = (0..self.weave.repeat() as i64)
            .map(|pick| {
                let ride = |yarn: i64| {
                    if self.weave.warp_is_up(yarn, pick) {
                        -CRIMP
                    } else {
                        CRIMP
                    }
                };
                let crimp = |&(yarn, part): &(usize, f32)| {
                    let yarn = yarn as i64;
                    let beside = if part < 0.5 { yarn - 1 } else { yarn + 1 };
                    ride(yarn) + (ride(beside) - ride(yarn)) * eased((part - 0.5).abs())
                };
                spans.iter().map(crimp).collect()
            })
            .collect();
        let local = |yarn: usize| (yarn - self.first_yarn).min(self.level.len() - 1) as u32;
        let is_knit = self.weave == Weave::Knit;
        let across = |&(_, part): &(usize, f32)| {
            if is_knit {
                (2.0 * part - 1.0).abs()
            } else {
                1.0 - (2.0 * part - 1.0).powi(2)
            }
        };
        Table {
            yarn: spans.iter().map(|&(yarn, _)| local(yarn)).collect(),
            across: spans.iter().map(across).collect(),
            weft_crimp,
            selvedge: (0..columns).map(|i| self.selvedge_gain(place(i))).collect(),
        }
    }

    /// A selvedge is bright where it is dense, and dark where the cloth begins.
    fn selvedge_gain(&self, across: f32) -> f32 {
        let zone = SELVEDGE_YARNS as f32 * 4.0;
        let mut gain = 1.0;
        for inwards in [
            self.layout.edges[0].map(|edge| across - edge),
            self.layout.edges[1].map(|edge| edge - across),
        ]
        .into_iter()
        .flatten()
        {
            // Down to the dark line beside the selvedge, and up again to the cloth.
            let down = eased(((inwards / zone - 0.7) * 4.0).clamp(0.0, 1.0));
            let up = eased(((inwards / zone - 0.95) * 3.0).clamp(0.0, 1.0));
            gain *= SELVEDGE_GAIN
                + (BESIDE_SELVEDGE - SELVEDGE_GAIN) * down
                + (1.0 - BESIDE_SELVEDGE) * up;
        }
        gain
    }
}

/// Most classes of yarn that any weave has.
const MOST_CLASSES: usize = 5;

impl Weave {
    /// Yarns until the pattern repeats, in both directions.
    fn repeat(self) -> usize {
        match self {
            Self::Knit => 1,
            Self::Plain | Self::Mesh => 2,
            Self::Twill21 => 3,
            Self::Twill31 => 4,
            Self::Satin5 => MOST_CLASSES,
        }
    }

    /// True where the warp is seen. The twills float the weft, as the face of a lining
    /// does, and climb to the right; the satin floats the warp.
    fn warp_is_up(self, yarn: i64, pick: i64) -> bool {
        let repeat = self.repeat() as i64;
        match self {
            Self::Plain | Self::Mesh | Self::Twill21 | Self::Twill31 => {
                (yarn + pick).rem_euclid(repeat) == 0
            }
            Self::Satin5 => (yarn + 2 * pick).rem_euclid(repeat) != 0,
            Self::Knit => false,
        }
    }
}
