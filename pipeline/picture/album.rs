//! The album: a picture of each flaw, numbered as on the map.
//!
//! At most 24: where there are more it shows the gravest and says how many it leaves out. A tiny
//! crop is enlarged pixel by pixel, so that a person sees what the camera saw and nothing invented.

use std::cmp::Ordering;
use std::ops::Range;

use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};

use super::canvas::{Canvas, PxRect};
use super::facts::Ledger;
use super::labels::{chip_at, draw_chip};
use super::styles::{self, INK, MUTED, PANEL, RULE, Severity};
use super::text::{self, Face};
use super::units;
use super::{PicturedFlaw, RollPicture};

const N_SHOWN_MOST: usize = 24;
const N_COLUMNS: i64 = 5;
const COLUMN_GAP_PX: i64 = 24;
const HEADING_PX: i64 = 48;
const CAPTION_LINE_PX: i64 = 21;
const N_CAPTION_LINES: i64 = 4;
const ABOVE_CAPTION_PX: i64 = 10;
const ROW_GAP_PX: i64 = 30;
/// Lines of why a flaw has no picture.
const N_REASON_LINES: usize = 6;
/// Between a tile's edge and its crop.
const CROP_PAD_PX: i64 = 10;
/// Thickness of the box around a flaw, and how far it stands off.
const BOX_PX: i64 = 1;
const BOX_AWAY_PX: i64 = 2;
/// From this enlargement on a pixel is shown as a square; below, squares would be uneven.
const SQUARES_FROM: u32 = 3;

/// The indices of `flaws` in cloth order: by where they begin, then from the left.
pub(super) fn cloth_order(flaws: &[PicturedFlaw]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..flaws.len()).collect();
    order.sort_by_key(|i| {
        let rect = &flaws[*i].rect;
        (
            rect.along().start,
            rect.across().start,
            rect.along().end,
            rect.across().end,
        )
    });
    order
}

/// The graver flaw first: by severity, then by score.
pub(super) fn gravest_first(a: &PicturedFlaw, b: &PicturedFlaw) -> Ordering {
    let severity = |flaw: &PicturedFlaw| Severity::of(&flaw.severity);
    severity(b)
        .cmp(&severity(a))
        .then(b.score.total_cmp(&a.score))
}

/// The indices of the flaws that the album shows, in cloth order.
pub(super) fn shown(flaws: &[PicturedFlaw]) -> Vec<usize> {
    let order = cloth_order(flaws);
    places_shown(flaws, &order)
        .into_iter()
        .map(|place| order[place])
        .collect()
}

/// The places in `order` of the flaws that are shown: the gravest, but rather one with a crop
/// than one without.
fn places_shown(flaws: &[PicturedFlaw], order: &[usize]) -> Vec<usize> {
    let mut places = gravest_places(flaws, order);
    places.sort_by_key(|place| flaws[order[*place]].crop.is_none());
    places.truncate(N_SHOWN_MOST);
    places.sort_unstable();
    places
}

/// All places in `order`, the gravest flaw's first.
fn gravest_places(flaws: &[PicturedFlaw], order: &[usize]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..order.len()).collect();
    places.sort_by(|a, b| gravest_first(&flaws[order[*a]], &flaws[order[*b]]));
    places
}

/// The album, ready to be drawn.
pub(super) struct Album<'p> {
    /// Number on the map and flaw.
    tiles: Vec<(usize, &'p PicturedFlaw)>,
    n_flaws: usize,
    heading: String,
    width_px: i64,
}

impl<'p> Album<'p> {
    pub(super) fn new(
        picture: &'p RollPicture,
        order: &[usize],
        ledger: &Ledger<'_>,
        width_px: i64,
    ) -> Album<'p> {
        let places = places_shown(&picture.flaws, order);
        let gravest = gravest_places(&picture.flaws, order);
        let are_gravest = gravest
            .iter()
            .take(places.len())
            .all(|place| places.contains(place));
        let tiles: Vec<(usize, &PicturedFlaw)> = places
            .into_iter()
            .map(|place| (place + 1, &picture.flaws[order[place]]))
            .collect();
        let n_flaws = picture.flaws.len();
        let heading = match (n_flaws, tiles.len()) {
            (0, _) if ledger.inspected_um2 == 0 => "Nothing was inspected.".to_owned(),
            (0, _) => "No flaw was found in what was inspected.".to_owned(),
            (all, shown) if all > shown && are_gravest => {
                format!("The {shown} gravest of {all} flaws")
            }
            (all, shown) if all > shown => format!("{shown} of {all} flaws"),
            _ => "Flaws".to_owned(),
        };
        Album {
            tiles,
            n_flaws,
            heading,
            width_px,
        }
    }

    pub(super) fn height_px(&self) -> i64 {
        let n_rows = (self.n_places() + N_COLUMNS - 1) / N_COLUMNS;
        let rows_px = n_rows * self.pitch_px() - if n_rows > 0 { ROW_GAP_PX } else { 0 };
        HEADING_PX + rows_px
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, x: i64, y: i64) {
        canvas.fill(PxRect::new(x, y - 16, self.width_px, 1), RULE);
        text::draw(canvas, x, y + 8, &self.heading, Face::Heading, INK);
        let tile_px = self.tile_px();
        let corner = |i: i64| {
            let left = x + i % N_COLUMNS * (tile_px + COLUMN_GAP_PX);
            (left, y + HEADING_PX + i / N_COLUMNS * self.pitch_px())
        };
        for ((number, flaw), i) in self.tiles.iter().zip(0..) {
            let (left, top) = corner(i);
            let tile = PxRect::new(left, top, tile_px, tile_px);
            canvas.rounded(tile, 6, PANEL);
            draw_crop(canvas, tile, flaw);
            draw_caption(
                canvas,
                left,
                tile.bottom() + ABOVE_CAPTION_PX,
                tile_px,
                *number,
                flaw,
            );
        }
        if self.n_left_out() > 0 {
            let (left, top) = corner(self.tiles.len() as i64);
            let tile = PxRect::new(left, top, tile_px, tile_px);
            canvas.rounded(tile, 6, PANEL);
            let more = match self.n_left_out() {
                1 => "1 more flaw".to_owned(),
                n_more => format!("{n_more} more flaws"),
            };
            let lines = [(more, -22), ("not shown".to_owned(), 2)];
            for (line, dy) in lines {
                let middle = tile.y + tile_px / 2;
                draw_centred(canvas, tile, middle + dy, &line, Face::Body);
            }
        }
    }

    fn n_left_out(&self) -> usize {
        self.n_flaws - self.tiles.len()
    }

    fn n_places(&self) -> i64 {
        self.tiles.len() as i64 + i64::from(self.n_left_out() > 0)
    }

    fn tile_px(&self) -> i64 {
        (self.width_px - (N_COLUMNS - 1) * COLUMN_GAP_PX) / N_COLUMNS
    }

    fn pitch_px(&self) -> i64 {
        self.tile_px() + ABOVE_CAPTION_PX + N_CAPTION_LINES * CAPTION_LINE_PX + ROW_GAP_PX
    }
}

fn draw_crop(canvas: &mut Canvas, tile: PxRect, flaw: &PicturedFlaw) {
    let crop = flaw
        .crop
        .as_ref()
        .filter(|crop| crop.width() > 0 && crop.height() > 0);
    let Some(crop) = crop else {
        let middle = tile.y + (tile.height - Face::Small.height_px()) / 2;
        match &flaw.no_picture {
            None => draw_centred(canvas, tile, middle, "no picture", Face::Small),
            Some(why) => {
                let lines = text::wrapped(why, Face::Small, tile.width - 16, N_REASON_LINES);
                let height = Face::Small.height_px() + 2;
                let top = middle - height * (lines.len() as i64 - 1) / 2;
                for (line, nth) in lines.iter().zip(0..) {
                    draw_centred(canvas, tile, top + nth * height, line, Face::Small);
                }
            }
        }
        return;
    };
    let scaled = scaled(crop, (tile.width - 2 * CROP_PAD_PX) as u32);
    let left = tile.x + (tile.width - i64::from(scaled.width())) / 2;
    let top = tile.y + (tile.height - i64::from(scaled.height())) / 2;
    canvas.paste(&scaled, left, top);
    if let Some((columns, rows)) = &flaw.place_in_crop {
        let shown = PxRect::new(left, top, scaled.width().into(), scaled.height().into());
        let size = [crop.width(), crop.height()];
        draw_box(
            canvas,
            shown,
            size,
            (columns, rows.as_ref()),
            Severity::of(&flaw.severity),
        );
    }
}

/// Draws a thin box around `columns` and `rows` of a crop of `size` pixels that is `shown` on the page;
/// beside them, so that it hides nothing of the flaw.
fn draw_box(
    canvas: &mut Canvas,
    shown: PxRect,
    size: [u32; 2],
    (columns, rows): (&Range<u32>, Option<&Range<u32>>),
    severity: Severity,
) {
    // First and last pixel on the page that the flaw is seen on.
    let on_page = |px: &Range<u32>, size: u32, from: i64, length: i64| {
        let (start, end, size) = (
            i64::from(px.start),
            i64::from(px.end),
            i64::from(size.max(1)),
        );
        [
            from + start * length / size,
            from + (end * length + size - 1) / size,
        ]
    };
    let [left, right] = on_page(columns, size[0], shown.x, shown.width);
    let whole = 0..size[1];
    let [top, bottom] = on_page(rows.unwrap_or(&whole), size[1], shown.y, shown.height);
    // The box, as far as it lies on the crop.
    let around = PxRect::new(left, top, right - left, bottom - top).grown(BOX_AWAY_PX + BOX_PX);
    let within = PxRect::between(
        (around.x.max(shown.x), around.y.max(shown.y)),
        (
            around.right().min(shown.right()),
            around.bottom().min(shown.bottom()),
        ),
    );
    let color = severity.color();
    let vertical = |x: i64| PxRect::new(x, within.y, BOX_PX, within.height);
    let horizontal = |y: i64| PxRect::new(within.x, y, within.width, BOX_PX);
    let sides = [
        (left - within.x >= BOX_PX, vertical(within.x)),
        (
            within.right() - right >= BOX_PX,
            vertical(within.right() - BOX_PX),
        ),
        (top - within.y >= BOX_PX, horizontal(within.y)),
        (
            within.bottom() - bottom >= BOX_PX,
            horizontal(within.bottom() - BOX_PX),
        ),
    ];
    for (_, side) in sides.into_iter().filter(|(has_room, _)| *has_room) {
        canvas.fill(side, color);
    }
}

/// `crop`, as large as fits a square of `side_px`.
fn scaled(crop: &DynamicImage, side_px: u32) -> RgbImage {
    let longest = crop.width().max(crop.height());
    let times = side_px / longest;
    if times >= SQUARES_FROM {
        let (width, height) = (crop.width() * times, crop.height() * times);
        return crop
            .resize_exact(width, height, FilterType::Nearest)
            .to_rgb8();
    }
    let fit = |px: u32| (u64::from(px) * u64::from(side_px) / u64::from(longest)).max(1) as u32;
    let (width, height) = (fit(crop.width()), fit(crop.height()));
    // Scaled before it becomes RGB: a crop may be large, and 16 bits deep.
    if longest > side_px {
        crop.thumbnail_exact(width, height).to_rgb8()
    } else {
        crop.resize_exact(width, height, FilterType::CatmullRom)
            .to_rgb8()
    }
}

fn draw_caption(
    canvas: &mut Canvas,
    x: i64,
    y: i64,
    room_px: i64,
    number: usize,
    flaw: &PicturedFlaw,
) {
    let severity = Severity::of(&flaw.severity);
    let (chip, text) = chip_at(x, y, number);
    draw_chip(canvas, chip, &text, severity);
    let left = chip.right() + 8;
    let class = text::fitted(
        &styles::words(&flaw.class),
        Face::SmallBold,
        x + room_px - left,
    );
    text::draw(canvas, left, y + 1, &class, Face::SmallBold, INK);

    let (along, across) = (flaw.rect.along(), flaw.rect.across());
    let size = |range: std::ops::Range<i64>| units::bare_millimetres(range.end - range.start);
    let lines = [
        format!(
            "at {}, {}",
            units::metres(along.start),
            units::millimetres(across.start)
        ),
        format!("{} × {} mm", size(along), size(across)),
        format!(
            "score {} · {}",
            units::score(flaw.score),
            styles::words(&flaw.severity)
        ),
    ];
    for (line, i) in lines.iter().zip(1..) {
        let line = text::fitted(line, Face::Small, room_px);
        text::draw(
            canvas,
            x,
            y + 2 + i * CAPTION_LINE_PX,
            &line,
            Face::Small,
            MUTED,
        );
    }
}

fn draw_centred(canvas: &mut Canvas, tile: PxRect, y: i64, line: &str, face: Face) {
    let line = text::fitted(line, face, tile.width - 16);
    let left = tile.x + (tile.width - text::width_px(&line, face)) / 2;
    text::draw(canvas, left, y, &line, face, MUTED);
}
