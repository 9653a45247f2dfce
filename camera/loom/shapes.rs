//! The shapes of flaws that lie on the cloth: what each does to a line of brightness.
//!
//! ```text
//! line of brightness, one plane or three ──▶ overlay ──▶ the same line with the flaw
//! ```
//!
//! A shape is a function of the place in its field, from -1 to 1 both ways, and of the flaw's own
//! seed. It touches nothing outside its flaw's box.

use std::f32::consts::PI;

use super::Dyes;
use super::flaws::{Anchor, Flaw, FlawKind};
use super::noise::{eased, signed, smooth, smooth_2d, unit};

/// Brightness of a bare yarn, of the rim of a hole, and of a stained or dark fibre.
const YARN: f32 = 0.95;
const FIBRE: f32 = 0.12;
/// An oil stain takes more of blue than of red.
const OIL: [f32; 3] = [0.8, 1.0, 1.25];
/// What a stain of dye adds to red, green and blue, as a share of the light: together nothing, in
/// grey by Rec. 601 luma.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];
const ROSE: [f32; 3] = [0.36, -0.222_2, 0.2];
/// Where one channel would become black, the grey would change.
const STRONGEST_DYE: f32 = 1.5;

impl Flaw {
    /// Draws it into one line of brightness that begins at column `first` of the web. `ground`
    /// is what shows through a hole.
    pub(super) fn overlay(
        &self,
        line: i64,
        ground: f32,
        dyes: &Dyes,
        first: i64,
        planes: &mut [Vec<f32>],
    ) {
        let Anchor::Field(field) = &self.anchor else {
            return;
        };
        let seen = first..first + planes.first().map_or(0, Vec::len) as i64;
        let width = field.columns.len() as f32;
        let height = (field.lines.end - field.lines.start) as f32;
        let y = (line - field.lines.start) as f32 + 0.5;
        let q = 2.0 * y / height - 1.0;
        let is_colour = planes.len() == 3;
        let columns = i64::from(self.columns.start).max(seen.start)
            ..i64::from(self.columns.end).min(seen.end);
        for column in columns {
            let x = (column - i64::from(field.columns.start)) as f32 + 0.5;
            let p = 2.0 * x / width - 1.0;
            let nth = (column - first) as usize;
            if self.kind == FlawKind::DyeStain {
                self.dye(p, q, nth, planes);
                continue;
            }
            for (plane, row) in planes.iter_mut().enumerate() {
                let (yarn, oil) = if is_colour {
                    (dyes.weft[plane], OIL[plane])
                } else {
                    (1.0, 1.0)
                };
                row[nth] = self.shape(
                    row[nth],
                    ground,
                    [yarn, oil],
                    [p, q],
                    [x, y],
                    [width, height],
                );
            }
        }
    }

    /// The value of one pixel with the flaw.
    fn shape(
        &self,
        value: f32,
        ground: f32,
        [yarn, oil]: [f32; 2],
        [p, q]: [f32; 2],
        [x, y]: [f32; 2],
        [width, height]: [f32; 2],
    ) -> f32 {
        let share = self.contrast.min(1.0);
        match self.kind {
            FlawKind::Slub => self.slub(value, yarn, p, q, x, y),
            FlawKind::Knot => self.knot(value, yarn, p, q),
            FlawKind::Nep => {
                let fibres = 0.75 + 0.25 * smooth_2d(self.seed, x * 0.7, y * 0.7);
                value + 0.55 * self.contrast * fades(p.hypot(q), 0.3, 1.1) * fibres * yarn
            }
            FlawKind::Hole => {
                // Yarn ends hang into it: its border is ragged by the yarn.
                let ends = 0.14 * smooth_2d(self.seed, x / 2.2, y / 2.2);
                let r = self.ragged_radius(p, q, 0.35) + ends;
                let frayed = 0.7 + 0.3 * smooth_2d(self.seed, x * 0.8, y * 0.8);
                let rim = toward(
                    value,
                    YARN * frayed * yarn,
                    0.8 * share * fades(r, 0.8, 1.0),
                );
                toward(rim, ground, share * fades(r, 0.66, 0.86))
            }
            FlawKind::Stain => {
                let r = self.ragged_radius(p, q, 0.5);
                let blotch = 0.75 + 0.25 * smooth_2d(self.seed, x / 9.0, y / 9.0);
                // Dried dirt gathers at the border.
                let rim = 0.12 * fades((r - 0.8).abs(), 0.0, 0.15);
                let dark = 0.36 * fades(r, 0.6, 1.0) * blotch + rim * fades(r, 0.8, 1.0);
                value * (1.0 - dark * oil * self.contrast).max(0.1)
            }
            FlawKind::Contamination => {
                let off = self.off_fibre(x, y, width, height);
                toward(value, FIBRE, 0.85 * share * (1.7 - off).clamp(0.0, 1.0))
            }
            FlawKind::Crease => {
                value * (1.0 + self.contrast * self.fold(p, q, x, y, width, height)).max(0.1)
            }
            FlawKind::StartMark => {
                // Clear where the loom started again, and less pick by pick.
                let left = (0.5 - 0.5 * q).max(0.0);
                let uneven = 0.85 + 0.15 * smooth(self.seed, 3, f64::from(x) / 60.0);
                let change = if self.seed & 1 == 0 { -0.22 } else { 0.16 };
                value * (1.0 + change * self.contrast * left * left.sqrt() * uneven).max(0.1)
            }
            FlawKind::WeftCrack => {
                let bent = q + 0.3 * smooth(self.seed, 4, f64::from(x) / 40.0) * (1.0 - q * q);
                let gap = fades(bent.abs(), 0.15, 0.95) * fades(p.abs(), 0.5, 1.0);
                let yarns = 0.7 + 0.3 * smooth_2d(self.seed, x / 2.5, y / 30.0);
                value * (1.0 - 0.5 * self.contrast * gap * yarns).max(0.1)
            }
            FlawKind::Seam => self.seam(value, yarn, p, q, x, y, height),
            FlawKind::EndOut
            | FlawKind::Mispick
            | FlawKind::Selvedge
            | FlawKind::DoubleEnd
            | FlawKind::DoublePick
            | FlawKind::Float
            | FlawKind::DyeStain => value,
        }
    }

    /// Moves colour between the channels; the grey stays.
    fn dye(&self, p: f32, q: f32, nth: usize, planes: &mut [Vec<f32>]) {
        let [red, green, blue] = planes else { return };
        let grey = LUMA[0] * red[nth] + LUMA[1] * green[nth] + LUMA[2] * blue[nth];
        let share = fades(self.ragged_radius(p, q, 0.45), 0.55, 1.0);
        let part = self.contrast.min(STRONGEST_DYE) * share * grey;
        for (row, change) in [red, green, blue].into_iter().zip(ROSE) {
            row[nth] += change * part;
        }
    }

    /// A bright ridge along the box with a shadow beside it, as a share of the light.
    fn fold(&self, p: f32, q: f32, x: f32, y: f32, width: f32, height: f32) -> f32 {
        let (end, off, along) = if width >= height {
            (p, q, x)
        } else {
            (q, p, y)
        };
        let off = off + 0.22 * smooth(self.seed, 6, f64::from(along) / 45.0);
        let ridge = 0.26 * fades((off + 0.2).abs(), 0.0, 0.42);
        let shadow = 0.34 * fades((off - 0.25).abs(), 0.05, 0.45);
        (ridge - shadow) * fades(end.abs(), 0.8, 1.0)
    }

    /// Folded cloth that is raised at both sides of a furrow, in which stitches lie.
    #[allow(clippy::too_many_arguments)]
    fn seam(&self, value: f32, yarn: f32, p: f32, q: f32, x: f32, y: f32, height: f32) -> f32 {
        // Askew and bent, by a quarter of its box together, so that it stays within.
        let askew = 0.14 * signed(self.seed, 7, 0);
        let bent = 0.1 * signed(self.seed, 7, 1);
        let off = (q - askew * p - bent * (1.0 - 2.0 * p * p)) / 0.74;
        let within = fades(off.abs(), 0.86, 1.0);
        let ridge = 0.5 * fades((off.abs() - 0.55).abs(), 0.05, 0.35);
        let furrow = 0.55 * fades(off.abs(), 0.06, 0.3);
        let shadow = 0.4 * fades((off - 0.85).abs(), 0.0, 0.15);
        let frayed = 0.3 * smooth_2d(self.seed, x / 1.7, y / 3.0);
        let folded =
            value * (1.0 + self.contrast * within * (ridge - furrow - shadow + frayed)).max(0.1);
        // A stitch of 9 px, and 4 px of cloth.
        let is_stitch = x.rem_euclid(13.0) < 9.0;
        let thread = if is_stitch {
            fades((off * height).abs(), 1.5, 3.5)
        } else {
            0.0
        };
        toward(
            folded,
            1.1 * YARN * yarn,
            0.9 * self.contrast.min(1.0) * thread,
        )
    }

    /// A thick yarn that lies over the weave, thickest in its middle.
    fn slub(&self, value: f32, dye: f32, p: f32, q: f32, x: f32, y: f32) -> f32 {
        let reach = (1.0 - p * p).max(0.0).powf(0.6);
        let off = q.abs() / reach.max(1e-3);
        let twist = 0.03 * ((x + 1.7 * y) * 0.8).sin() + 0.1 * smooth_2d(self.seed, x / 5.0, y);
        let yarn = dye * YARN * (0.62 + 0.36 * (1.0 - off * off).max(0.0).sqrt() + twist);
        toward(
            value,
            yarn,
            0.85 * self.contrast.min(1.0) * fades(off, 0.4, 1.0),
        )
    }

    /// A bright lump that throws a shadow to the right.
    fn knot(&self, value: f32, yarn: f32, p: f32, q: f32) -> f32 {
        let lump = self.ragged_radius((p + 0.2) / 0.8, (q + 0.1) / 0.9, 0.15);
        let shadow = fades(p.hypot(q), 0.55, 1.0);
        let shaded = value * (1.0 - (0.5 * shadow * self.contrast).min(0.8));
        toward(
            shaded,
            1.15 * yarn,
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

fn toward(value: f32, other: f32, share: f32) -> f32 {
    value + (other - value) * share
}

/// 1 up to `from`, 0 from `to` on.
fn fades(r: f32, from: f32, to: f32) -> f32 {
    eased(((to - r) / (to - from)).clamp(0.0, 1.0))
}
