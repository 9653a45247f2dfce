//! A flaw's pixels held against the cloth around it.
//!
//! ```text
//! frame, score map, region ─▶ window around it ─▶ usual brightness from what is not flagged
//!                                             └▶ pixels that differ ─▶ Looks
//! ```
//!
//! Pixels are smoothed over about one yarn, so that the weave itself does not count, and divided
//! by the mean of the unflagged cloth near by: lamp and shade drop out. One that differs by more
//! than the cloth's own unrest is marked. Only what is flagged is measured, so good cloth costs
//! nothing. It keeps nothing, and knows no class.

use std::ops::Range;

use calibration::{ClothSpan, Lens};
use camera::{Channels, Frame};
use models::{CELL_PX, ScoreMap, UNUSUAL};

use super::{Looks, Marks, Mean, Moments};
use crate::flaws::Region;

/// Pixels around a region's box that its surroundings are taken from.
const AROUND_PX: usize = 64;
/// Half of the square over which the usual brightness is a mean, in pixels.
const USUAL_PX: usize = 32;
/// Half of the square of the smoothing, done twice: 5 px is about one yarn at 0.2 mm.
const SMOOTH_PX: usize = 2;
/// Half of the square of the finer smoothing, done once, for what is smaller than a yarn.
const SHARP_PX: usize = 1;
/// A pixel is marked where it differs by this many times the unrest of the cloth around …
const UNRESTS: f32 = 2.5;
/// … and by at least this share of its brightness.
const LEAST_DIFFERENCE: f32 = 0.03;
/// The same for a change of colour.
const LEAST_TINT: f32 = 0.04;
/// Share of a window that must be unflagged for it to say what is usual.
const LEAST_USUAL: f32 = 0.02;
/// Distance from the cloth's edge that still is at it: the selvedge's own zone, mm.
const EDGE_MM: f64 = 6.0;

/// Where a frame's pixels lie on the web.
#[derive(Clone, Debug)]
pub struct PixelPlace {
    /// Left side of the frame, across, mm.
    pub x_mm: f64,
    /// First line of the frame, along, mm.
    pub y_mm: f64,
    /// Width of a pixel, mm; of the mean one behind a lens.
    pub mm_per_px: f64,
    /// How the lens bends columns, where that was measured.
    pub lens: Option<Lens>,
    /// Height of a line, mm.
    pub mm_per_line: f64,
    /// Columns of cells that are this lane's own; others count where there are none of these.
    pub owned: Range<usize>,
}

/// What `region` of `map`, the scores of `frame`, looks like.
pub fn measure(
    frame: &Frame,
    cloth: ClothSpan,
    map: &ScoreMap,
    region: &Region,
    place: &PixelPlace,
) -> Looks {
    let cloth = cloth.columns();
    let window = Window::around(region, frame, &cloth);
    let edge_px = (EDGE_MM / place.mm_per_px) as usize;
    let mut looks = Looks {
        at_left_edge: cloth.start > 0 && region.cols.start * CELL_PX <= cloth.start + edge_px,
        at_right_edge: cloth.end < frame.width() as usize
            && region.cols.end * CELL_PX + edge_px >= cloth.end,
        ..Looks::default()
    };
    let is_usual = window.usual_pixels(map);
    let cells = own_cells(map, region, place);
    for &(row, col) in &cells {
        looks.scores.add(f64::from(map.scores[[row, col]]));
    }
    let planes = window.planes(frame);
    let grey = &planes[0];
    let smooth = window.smoothed(grey);
    let usual = window.usual(grey, &is_usual);
    // How far each pixel is off, and how much texture it has.
    let off: Vec<f32> = (smooth.iter().zip(&usual))
        .map(|(smooth, usual)| smooth / usual.max(1.0) - 1.0)
        .collect();
    let sharp = box_mean(grey, window.columns.len(), SHARP_PX);
    let texture = |at: usize| f64::from(((grey[at] - smooth[at]) / smooth[at].max(4.0)).powi(2));
    let spot = |at: usize| f64::from(sharp[at] / usual[at].max(1.0) - 1.0);
    for at in (0..off.len()).filter(|at| is_usual[*at]) {
        looks.cloth_texture.add(texture(at));
        looks.cloth_spots.add(spot(at).powi(2));
    }
    let tint = match planes.as_slice() {
        [_, red, blue] => Some(window.tint(&smooth, [red, blue], &is_usual)),
        _ => None,
    };
    let limit = limit(&off, &is_usual, LEAST_DIFFERENCE);
    let tint_limit = tint
        .as_ref()
        .map(|tint| self::limit(tint, &is_usual, LEAST_TINT));
    let (mut dark, mut bright, mut tinted) =
        (Gather::default(), Gather::default(), Gather::default());
    for (row, col) in cells {
        for (line, column, at) in window.pixels_of(row, col) {
            let middle = column as f64 + 0.5;
            let x = place.lens.map_or(middle, |lens| lens.straight(middle)) * place.mm_per_px;
            let y = (line as f64 + 0.5) * place.mm_per_line;
            let area = place.mm_per_px * place.mm_per_line;
            looks.looked_mm2 += area;
            looks.net_mm2 += area * f64::from(off[at]);
            looks.sharpest_bright = looks.sharpest_bright.max(spot(at));
            looks.sharpest_dark = looks.sharpest_dark.max(-spot(at));
            let marks = if off[at] <= -limit {
                Some(&mut dark)
            } else if off[at] >= limit {
                Some(&mut bright)
            } else {
                None
            };
            if let Some(marks) = marks {
                marks.add(f64::from(off[at].abs()), x, y, texture(at));
            }
            if let (Some(tint), Some(limit)) = (&tint, tint_limit)
                && tint[at] >= limit
            {
                tinted.add(f64::from(tint[at]), x, y, texture(at));
            }
        }
    }
    looks.dark = dark.marks(place);
    looks.bright = bright.marks(place);
    looks.tinted = tinted.marks(place);
    looks
}

/// How far a pixel must be off, given how far usual ones are.
fn limit(off: &[f32], is_usual: &[bool], least: f32) -> f32 {
    let usual = off.iter().zip(is_usual).filter(|(_, is_usual)| **is_usual);
    let (n, sum) = usual.fold((0.0_f64, 0.0_f64), |(n, sum), (off, _)| {
        (n + 1.0, sum + f64::from(off * off))
    });
    let unrest = (sum / n.max(1.0)).sqrt() as f32;
    (UNRESTS * unrest).max(least)
}

/// The flagged cells of a region's box, the lane's own where there are any.
fn own_cells(map: &ScoreMap, region: &Region, place: &PixelPlace) -> Vec<(usize, usize)> {
    let flagged = |cols: Range<usize>| {
        let rows = region.rows.clone();
        let cells = rows.flat_map(move |row| cols.clone().map(move |col| (row, col)));
        cells.filter(|(row, col)| map.judged.contains(col) && map.scores[[*row, *col]] >= UNUSUAL)
    };
    let (first, end) = (place.owned.start, place.owned.end);
    let own: Vec<_> = flagged(region.cols.start.max(first)..region.cols.end.min(end)).collect();
    if own.is_empty() {
        flagged(region.cols.clone()).collect()
    } else {
        own
    }
}

/// Lines and columns of a frame around a region.
struct Window {
    lines: Range<usize>,
    columns: Range<usize>,
}

impl Window {
    fn around(region: &Region, frame: &Frame, cloth: &Range<usize>) -> Self {
        let side = |cells: &Range<usize>, from: usize, to: usize| {
            let start = (cells.start * CELL_PX).saturating_sub(AROUND_PX).max(from);
            let end = (cells.end * CELL_PX + AROUND_PX).min(to);
            start..end.max(start)
        };
        Self {
            lines: side(&region.rows, 0, frame.height() as usize),
            columns: side(&region.cols, cloth.start, cloth.end),
        }
    }

    fn len(&self) -> usize {
        self.lines.len() * self.columns.len()
    }

    /// Pixels whose cell and those beside it are not flagged.
    fn usual_pixels(&self, map: &ScoreMap) -> Vec<bool> {
        let (n_rows, n_cols) = map.scores.dim();
        let mut is_usual = vec![true; self.len()];
        let rows = self.lines.start / CELL_PX..self.lines.end.div_ceil(CELL_PX);
        let cols = self.columns.start / CELL_PX..self.columns.end.div_ceil(CELL_PX);
        for row in rows.start.saturating_sub(1)..(rows.end + 1).min(n_rows) {
            for col in cols.start.saturating_sub(1)..(cols.end + 1).min(n_cols) {
                if map.scores[[row, col]] < UNUSUAL {
                    continue;
                }
                for row in row.saturating_sub(1)..(row + 2).min(n_rows) {
                    for col in col.saturating_sub(1)..(col + 2).min(n_cols) {
                        for (_, _, at) in self.pixels_of(row, col) {
                            is_usual[at] = false;
                        }
                    }
                }
            }
        }
        let n_usual = is_usual.iter().filter(|is| **is).count();
        if (n_usual as f32) < LEAST_USUAL * self.len() as f32 {
            // All around is flagged too: then the mean of all is the best there is.
            is_usual.fill(true);
        }
        is_usual
    }

    /// Line, column and index here of each pixel of a cell, as far as it lies in the window.
    fn pixels_of(&self, row: usize, col: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let within = |cell: usize, side: &Range<usize>| {
            (cell * CELL_PX).clamp(side.start, side.end)
                ..((cell + 1) * CELL_PX).clamp(side.start, side.end)
        };
        let columns = within(col, &self.columns);
        let (first_line, first_column, width) =
            (self.lines.start, self.columns.start, self.columns.len());
        within(row, &self.lines).flat_map(move |line| {
            columns.clone().map(move |column| {
                let at = (line - first_line) * width + column - first_column;
                (line, column, at)
            })
        })
    }

    /// Grey, and of a colour frame red and blue.
    fn planes(&self, frame: &Frame) -> Vec<Vec<f32>> {
        let width = frame.width() as usize;
        let is_colour = frame.shape().channels == Channels::Rgb;
        let mut planes = vec![Vec::with_capacity(self.len()); if is_colour { 3 } else { 1 }];
        let mut row = vec![0.0; width];
        let mut rgb = vec![vec![0.0; if is_colour { width } else { 0 }]; 3];
        for line in self.lines.clone() {
            frame.grey_row_into(line as u32, &mut row);
            planes[0].extend_from_slice(&row[self.columns.clone()]);
            if let ([_, reds, blues], [red, green, blue]) = (&mut *planes, &mut *rgb) {
                frame.rgb_row_into(line as u32, red, green, blue);
                reds.extend_from_slice(&red[self.columns.clone()]);
                blues.extend_from_slice(&blue[self.columns.clone()]);
            }
        }
        planes
    }

    /// A plane smoothed over about one yarn.
    fn smoothed(&self, plane: &[f32]) -> Vec<f32> {
        let width = self.columns.len();
        let once = box_mean(plane, width, SMOOTH_PX);
        box_mean(&once, width, SMOOTH_PX)
    }

    /// The mean of the usual pixels around each one.
    fn usual(&self, plane: &[f32], is_usual: &[bool]) -> Vec<f32> {
        let width = self.columns.len();
        let weights: Vec<f32> = is_usual.iter().map(|is| f32::from(u8::from(*is))).collect();
        let held: Vec<f32> = plane.iter().zip(&weights).map(|(v, w)| v * w).collect();
        let all = sum(&held) / sum(&weights).max(1.0);
        let mean = box_mean(&held, width, USUAL_PX);
        let share = box_mean(&weights, width, USUAL_PX);
        let near = mean.iter().zip(&share);
        near.map(|(mean, share)| {
            if *share > LEAST_USUAL {
                mean / share
            } else {
                all
            }
        })
        .collect()
    }

    /// How far each pixel's colour is from that of the usual ones near it: the distance of red
    /// and blue, each as a share of grey.
    fn tint(&self, grey: &[f32], planes: [&Vec<f32>; 2], is_usual: &[bool]) -> Vec<f32> {
        let mut tint = vec![0.0_f32; self.len()];
        for plane in planes {
            let shares: Vec<f32> = (self.smoothed(plane).iter().zip(grey))
                .map(|(plane, grey)| plane / grey.max(4.0))
                .collect();
            let usual = self.usual(&shares, is_usual);
            for ((tint, share), usual) in tint.iter_mut().zip(&shares).zip(&usual) {
                *tint = tint.hypot(share - usual);
            }
        }
        tint
    }
}

/// Marked pixels of one piece, around the frame's first pixel.
#[derive(Default)]
struct Gather {
    n: f64,
    weight: f64,
    sums: [f64; 5],
    strongest: f64,
    texture: f64,
}

impl Gather {
    fn add(&mut self, weight: f64, x: f64, y: f64, texture: f64) {
        self.n += 1.0;
        self.weight += weight;
        let products = [x, y, x * x, y * y, x * y];
        for (sum, product) in self.sums.iter_mut().zip(products) {
            *sum += weight * product;
        }
        self.strongest = self.strongest.max(weight);
        self.texture += texture;
    }

    fn marks(&self, place: &PixelPlace) -> Marks {
        let [x, y, xx, yy, xy] = self
            .sums
            .map(|sum| sum / self.weight.max(f64::MIN_POSITIVE));
        let area = place.mm_per_px * place.mm_per_line;
        let weight = self.weight * area;
        Marks {
            mm2: self.n * area,
            places: Moments {
                weight,
                x: place.x_mm + x,
                y: place.y_mm + y,
                xx: weight * (xx - x * x),
                yy: weight * (yy - y * y),
                xy: weight * (xy - x * y),
            },
            strongest: self.strongest,
            texture: Mean {
                sum: self.texture,
                n: self.n,
            },
        }
    }
}

/// The mean over a square of `2 × half + 1` pixels around each, as much of it as there is.
fn box_mean(plane: &[f32], width: usize, half: usize) -> Vec<f32> {
    let height = plane.len() / width.max(1);
    let mut rows = vec![0.0; plane.len()];
    for (row, out) in plane
        .chunks_exact(width.max(1))
        .zip(rows.chunks_exact_mut(width.max(1)))
    {
        let mut sum: f64 = row[..half.min(width)].iter().map(|v| f64::from(*v)).sum();
        for (at, out) in out.iter_mut().enumerate() {
            if at + half < width {
                sum += f64::from(row[at + half]);
            }
            if let Some(gone) = at.checked_sub(half + 1) {
                sum -= f64::from(row[gone]);
            }
            let n = (at + half + 1).min(width) - at.saturating_sub(half);
            *out = (sum / n as f64) as f32;
        }
    }
    let mut sums = vec![0.0_f64; width];
    let add = |sums: &mut Vec<f64>, row: usize, sign: f64| {
        for (sum, value) in sums.iter_mut().zip(&rows[row * width..][..width]) {
            *sum += sign * f64::from(*value);
        }
    };
    for row in 0..half.min(height) {
        add(&mut sums, row, 1.0);
    }
    let mut out = Vec::with_capacity(plane.len());
    for row in 0..height {
        if row + half < height {
            add(&mut sums, row + half, 1.0);
        }
        if let Some(gone) = row.checked_sub(half + 1) {
            add(&mut sums, gone, -1.0);
        }
        let n = (row + half + 1).min(height) - row.saturating_sub(half);
        out.extend(sums.iter().map(|sum| (sum / n as f64) as f32));
    }
    out
}

fn sum(values: &[f32]) -> f32 {
    values.iter().map(|value| f64::from(*value)).sum::<f64>() as f32
}
