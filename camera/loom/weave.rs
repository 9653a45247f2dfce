//! The yarns: where they lie, which is on top, and how bright a line of them is.
//!
//! ```text
//! settings ──▶ tables (once) ──▶ line y: yarns, pick ──▶ heights ──▶ brightness per column
//! ```
//!
//! Warp and weft are two height fields; the higher one is seen, and what lies deep is
//! dark. A yarn's thickness wanders along it, picks lie a little crooked, and the whole
//! cloth drifts sideways under the camera. The lens blurs it a little. Brightness is a share of white paper; lamp and
//! sensor come later. Each line depends on its tick alone.

use super::flaws::Flaw;
use super::noise::{eased, hash, signed, smooth, unit};
use super::{Beside, LoomSettings, Weave};

/// The yarns of one web and the scratch to draw a line of them.
#[derive(Debug)]
pub(super) struct Cloth {
    seed: u64,
    weave: Weave,
    width: usize,
    weft_pitch: f64,
    /// Left border of each warp yarn in cloth coordinates, and one past the last.
    borders: Vec<f32>,
    /// Brightness of each warp yarn.
    yarn_gain: Vec<f32>,
    /// Cloth coordinates of the two selvedges, where the camera sees them.
    pub(super) edges: [Option<f32>; 2],
    tables: Vec<Table>,
    pick: Pick,
    thickness: Thickness,
    level: Vec<f32>,
    warp_level: Vec<f32>,
    warp_gain: Vec<f32>,
    /// The last three lines as they are without the lens, each with its tick.
    sharp: [(i64, Vec<f32>); 3],
    blurred: Vec<f32>,
}

/// What a column shows of the yarns while the cloth's drift has one fraction of a pixel.
#[derive(Debug)]
struct Table {
    yarn: Vec<u32>,
    /// 1 on a warp yarn's ridge, 0 at its borders.
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

/// What flaws do to the yarns of one line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missing {
    /// A warp yarn, gone by this share.
    End(usize, f32),
    /// The line's weft yarn, gone by this share.
    Pick(f32),
}

/// How far the lens carries light beyond its pixel, in px and lines.
pub(super) const BLUR_PX: u32 = 1;
/// Fractions of a pixel that the drift is rounded to.
const N_PHASES: usize = 8;
/// Largest drift in px to either side, and the lines from one turn of it to the next.
pub(super) const DRIFT_PX: f32 = 2.5;
const DRIFT_LINES: f64 = 900.0;
/// Columns beyond the frame that the tables hold for the drift.
const MARGIN: usize = 4;

/// How much higher a yarn rides over than under, and its roundness; 1 together.
const CRIMP: f32 = 0.5;
const ROUND: f32 = 0.5;
/// Brightness of yarn of the warp against weft, and how fast it gets dark with depth.
const WARP_COLOUR: f32 = 0.66;
const WEFT_COLOUR: f32 = 0.92;
const DEPTH_DARK: f32 = 0.34;
/// Steepness of the border between the yarn on top and the one below.
const SHARP: f32 = 2.2;
/// Thickness: length in px along a yarn over which it wanders, and by how much.
const THICK_LINES: f64 = 26.0;
const THICK_COLUMNS: f64 = 34.0;
const THICK: f32 = 0.2;
/// A selvedge: yarns that lie closer, and by how much.
const SELVEDGE_YARNS: usize = 11;
const SELVEDGE_PITCH: f32 = 0.72;
/// Brightness of a selvedge and of the cloth right beside it.
const SELVEDGE_GAIN: f32 = 1.07;
const BESIDE_SELVEDGE: f32 = 0.93;
/// Weft loops stand out of a selvedge by up to this many px.
const LOOP_PX: f32 = 3.0;

const STREAM_DRIFT: i64 = 1;
const STREAM_YARN: i64 = 2;
const STREAM_GAIN: i64 = 3;
const STREAM_PICK: i64 = 4;
const STREAM_PICK_GAIN: i64 = 5;
const STREAM_SHADE: i64 = 6;
const STREAM_LOOP: i64 = 7;

impl Cloth {
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
        let borders = yarn_borders(settings, left, right);
        let n_yarns = borders.len() - 1;
        let yarn_gain = (0..n_yarns as i64)
            .map(|i| 1.0 + 0.07 * signed(settings.seed, STREAM_GAIN, i))
            .collect();
        let mut cloth = Self {
            seed: settings.seed,
            weave: settings.weave,
            width,
            weft_pitch: f64::from(settings.weft_pitch_px),
            borders,
            yarn_gain,
            edges: [left, right],
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
            sharp: [(); 3].map(|()| (i64::MIN, vec![0.0; width])),
            blurred: vec![0.0; width],
        };
        cloth.tables = (0..N_PHASES).map(|phase| cloth.table(phase)).collect();
        cloth
    }

    /// Columns of the frame.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// How far the cloth lies to the right at this line, in px, rounded to a phase.
    pub(super) fn drift(&self, tick: i64) -> f32 {
        let drift = DRIFT_PX * smooth(self.seed, STREAM_DRIFT, tick as f64 / DRIFT_LINES);
        (drift * N_PHASES as f32).round() / N_PHASES as f32
    }

    /// Smallest and largest drift over some lines.
    pub(super) fn drift_over(&self, ticks: &std::ops::Range<i64>) -> (f32, f32) {
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
    pub(super) fn pick_lines(&self, tick: i64) -> std::ops::Range<i64> {
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

    /// One line of yarns as the lens shows it, into `row`, `width` long. `flaws` holds at
    /// least those that touch this line or a neighbouring one, and is the same in every
    /// call for the same line.
    pub(super) fn draw(&mut self, tick: i64, flaws: &[&Flaw], row: &mut [f32]) {
        for line in tick - 1..=tick + 1 {
            let slot = line.rem_euclid(3) as usize;
            if self.sharp[slot].0 != line {
                let mut sharp = std::mem::take(&mut self.sharp[slot].1);
                self.draw_sharp(line, flaws, &mut sharp);
                self.sharp[slot] = (line, sharp);
            }
        }
        let [above, here, below] =
            [tick - 1, tick, tick + 1].map(|line| &self.sharp[line.rem_euclid(3) as usize].1[..]);
        let n = self.width;
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

    /// Draws the yarns of one line without the lens.
    fn draw_sharp(&mut self, tick: i64, flaws: &[&Flaw], row: &mut [f32]) {
        self.set_pick(tick);
        self.set_thickness(tick);
        let class_count = self.weave.repeat();
        let half_pitch = (self.weft_pitch / 2.0) as f32;
        let along = (tick as f64 + 0.5 - self.pick.centre) as f32 / half_pitch;

        let mut ride = [0.0; 4];
        for (class, ride) in ride.iter_mut().enumerate().take(class_count) {
            *ride = CRIMP * self.warp_ride(class as i64, self.pick.idx, along / 2.0);
        }
        let part = (tick as f64 / THICK_LINES).fract() as f32;
        let thickness = self.thickness.here.iter().zip(&self.thickness.next);
        for (i, (level, (here, next))) in self.level.iter_mut().zip(thickness).enumerate() {
            *level = ride[i % class_count] + here + (next - here) * part;
        }
        let mut pick_sunk = 0.0;
        for flaw in flaws.iter().filter(|flaw| flaw.holds(tick)) {
            match flaw.missing() {
                Some(Missing::End(yarn, share)) => self.level[yarn] -= 1.6 * share,
                Some(Missing::Pick(share)) => pick_sunk = 1.6 * share,
                None => {}
            }
        }

        let drift = self.drift(tick);
        let whole = drift.floor();
        let phase = ((drift - whole) * N_PHASES as f32) as usize;
        let table = &self.tables[phase];
        let seen = (MARGIN as f32 - whole) as usize..;
        let yarns = &table.yarn[seen.clone()][..self.width];
        for ((level, gain), &yarn) in self
            .warp_level
            .iter_mut()
            .zip(&mut self.warp_gain)
            .zip(yarns)
        {
            *level = self.level[yarn as usize];
            *gain = self.yarn_gain[yarn as usize];
        }

        let n = self.width;
        let class = self.pick.idx.rem_euclid(class_count as i64) as usize;
        let across = &table.across[seen.clone()][..n];
        let crimp = &table.weft_crimp[class][seen.clone()][..n];
        let selvedge = &table.selvedge[seen][..n];
        let (level, gain) = (&self.warp_level[..n], &self.warp_gain[..n]);
        let (offset, thickness) = (&self.pick.offset[..n], &self.pick.thickness[..n]);
        let pick_gain = WEFT_COLOUR * self.pick.gain;
        let per_px = 1.0 / half_pitch;
        for (x, value) in row[..n].iter_mut().enumerate() {
            let v = along - offset[x] * per_px;
            let warp = level[x] + ROUND * across[x];
            let weft = crimp[x] + ROUND * (1.0 - v * v) + thickness[x] - pick_sunk;
            let on_top = (0.5 + (warp - weft) * SHARP).clamp(0.0, 1.0);
            let height = weft + (warp - weft) * on_top;
            let colour = pick_gain + (WARP_COLOUR * gain[x] - pick_gain) * on_top;
            let shade = (DEPTH_DARK + (1.0 - DEPTH_DARK) * height).clamp(0.16, 1.2);
            *value = colour * shade * selvedge[x];
        }
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

    fn set_pick(&mut self, tick: i64) {
        let idx = self.pick_at(tick);
        if self.pick.idx == idx {
            return;
        }
        let seed = hash(self.seed, STREAM_PICK, idx);
        let jitter = f64::from(signed(seed, 0, 0)) * 0.07;
        self.pick.idx = idx;
        self.pick.centre = (idx as f64 + 0.5 + jitter) * self.weft_pitch;
        let shade = 0.025 * smooth(self.seed, STREAM_SHADE, idx as f64 / 60.0);
        self.pick.gain = 1.0 + 0.05 * signed(self.seed, STREAM_PICK_GAIN, idx) + shade;
        fill_smooth(hash(seed, 1, 0), 70.0, 0.35, &mut self.pick.offset);
        fill_smooth(
            hash(seed, 2, 0),
            THICK_COLUMNS,
            THICK,
            &mut self.pick.thickness,
        );
    }

    fn set_thickness(&mut self, tick: i64) {
        let knot = (tick as f64 / THICK_LINES).floor() as i64;
        if self.thickness.knot == knot {
            return;
        }
        self.thickness.knot = knot;
        let seed = hash(self.seed, STREAM_YARN, 0);
        for (values, knot) in [
            (&mut self.thickness.here, knot),
            (&mut self.thickness.next, knot + 1),
        ] {
            for (i, value) in values.iter_mut().enumerate() {
                *value = THICK * signed(seed, i as i64, knot);
            }
        }
    }

    fn table(&self, phase: usize) -> Table {
        let columns = self.width + 2 * MARGIN;
        let place = |i: usize| i as f32 + 0.5 - MARGIN as f32 - phase as f32 / N_PHASES as f32;
        let spans: Vec<(usize, f32)> = (0..columns)
            .map(|i| {
                let yarn = self.yarn_at(place(i));
                let (left, right) = self.yarn_span(yarn);
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
        Table {
            yarn: spans.iter().map(|&(yarn, _)| yarn as u32).collect(),
            across: spans
                .iter()
                .map(|&(_, part)| 1.0 - (2.0 * part - 1.0).powi(2))
                .collect(),
            weft_crimp,
            selvedge: (0..columns).map(|i| self.selvedge_gain(place(i))).collect(),
        }
    }

    /// A selvedge is bright where it is dense, and dark where the cloth begins.
    fn selvedge_gain(&self, across: f32) -> f32 {
        let zone = SELVEDGE_YARNS as f32 * 4.0;
        let mut gain = 1.0;
        for inwards in [
            self.edges[0].map(|edge| across - edge),
            self.edges[1].map(|edge| edge - across),
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

impl Weave {
    /// Yarns until the pattern repeats, in both directions; at most 4.
    fn repeat(self) -> usize {
        match self {
            Self::Plain => 2,
            Self::Twill21 => 3,
            Self::Twill31 => 4,
        }
    }

    /// True where the warp is seen. The twills float the weft, as the face of a lining
    /// does, and climb to the right.
    fn warp_is_up(self, yarn: i64, pick: i64) -> bool {
        (yarn + pick).rem_euclid(self.repeat() as i64) == 0
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

/// Smooth noise along a row: a knot every `spacing` columns, in `-size..size`.
fn fill_smooth(seed: u64, spacing: f64, size: f32, row: &mut [f32]) {
    let n_knots = (row.len() as f64 / spacing) as usize + 2;
    let mut here = size * signed(seed, 0, 0);
    for knot in 0..n_knots {
        let next = size * signed(seed, 0, knot as i64 + 1);
        let start = (knot as f64 * spacing).ceil() as usize;
        let end = (((knot + 1) as f64 * spacing).ceil() as usize).min(row.len());
        let slope = (next - here) / spacing as f32;
        let first = here + slope * (start as f64 - knot as f64 * spacing) as f32;
        if start < end {
            for (i, value) in row[start..end].iter_mut().enumerate() {
                *value = first + slope * i as f32;
            }
        }
        here = next;
    }
}
