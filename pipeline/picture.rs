//! The roll map as a picture: a person's first look at an inspected roll.
//!
//! ```text
//! RollPicture ──▶ facts ─ map with its legend ─ album of flaws ──▶ RgbImage
//! ```
//!
//! Every part says first how high it is and then draws itself, so the picture is allocated once.
//! Its size depends on what is shown, never on the roll's length: a piece of a metre is drawn
//! large, a roll of a kilometre is wrapped into rows. Whatever is left out (numbers where it is
//! crowded, flaws beyond the album) is counted in words. It reads no store, decodes no crop and
//! judges nothing: the ledger is drawn as it is, with what it does not mention as "no record".

mod canvas;

mod text;

mod styles;

mod units;

mod facts;

mod legend;

mod labels;

mod scale;

mod axes;

mod album;

mod map;

use std::ops::Range;

use image::{DynamicImage, RgbImage};
use store::{ClothWidth, CoverageCell, Rect};

use album::Album;
use canvas::Canvas;
use facts::Facts;
use legend::Legend;
use map::RollMap;

/// Width of every picture, pixels: a page on a common screen, and in a README.
const PAGE_WIDTH_PX: i64 = 1440;
/// White space around the page, pixels.
const MARGIN_PX: i64 = 48;
/// White space between two parts, pixels.
const PART_GAP_PX: i64 = 40;
/// Narrowest legend that may stand beside the map instead of below it, pixels.
const LEGEND_BESIDE_PX: i64 = 400;

/// What is drawn; all lengths in micrometres, as in the store.
#[derive(Debug, Clone, Default)]
pub struct RollPicture {
    /// The heading, such as `roll 4711 · article plain-grey`; any text, cut to the page.
    pub title: String,
    /// The line below it, such as station, time and model; any text, cut to the page.
    pub subtitle: String,
    /// A line in the colour of alarm, such as that the roll was not seen to its end; may be
    /// empty; any text, cut to the page.
    pub warning: String,
    /// Length of the cloth; below zero counts as zero.
    pub length_um: i64,
    /// Width of the web; below zero counts as zero.
    pub width_um: i64,
    /// Width of the cloth on it, where it was measured.
    pub cloth_width: Option<ClothWidth>,
    /// The ledger. Where it begins, along and across, the map begins; without one it begins at 0.
    pub coverage: Vec<CoverageCell>,
    /// The flaws, in any order; they are numbered from 1 in cloth order.
    pub flaws: Vec<PicturedFlaw>,
}

/// One flaw as it is drawn.
#[derive(Debug, Clone)]
pub struct PicturedFlaw {
    /// Its box on the web, micrometres.
    pub rect: Rect,
    /// Its class, by the pipeline's word.
    pub class: String,
    /// Its severity, by the pipeline's word; unknown words are drawn in a colour of their own.
    pub severity: String,
    /// Its score; 1.0 is the threshold.
    pub score: f64,
    /// Its picture, shown as given; only the flaws that [`album()`] names need one.
    pub crop: Option<DynamicImage>,
    /// Its columns and rows in that picture, half-open; a box is drawn around them. A side that is the
    /// picture's own is not drawn, because the flaw may go on beyond it.
    pub place_in_crop: Option<(Range<u32>, Option<Range<u32>>)>,
    /// Why it has no picture, where that is known.
    pub no_picture: Option<String>,
}

/// Which of `flaws` the album shows, as indices in cloth order: all of them up to 24, else 24, the
/// gravest by severity and then score.
///
/// Those that have a crop come first; as long as none has one these are the gravest of all, so a
/// caller asks first and then loads only the crops that will be seen.
pub fn album(flaws: &[PicturedFlaw]) -> Vec<usize> {
    album::shown(flaws)
}

/// Draws the picture: 1440 pixels wide and as high as it needs, at most about ten megapixels.
pub fn draw(picture: &RollPicture) -> RgbImage {
    let order = album::cloth_order(&picture.flaws);
    let ledger = facts::Ledger::of(picture);
    let inner_px = PAGE_WIDTH_PX - 2 * MARGIN_PX;

    let header = Facts::new(picture, &ledger, inner_px);
    let map = RollMap::new(picture, inner_px);
    let legend = Legend::new(&ledger, &picture.flaws);
    let album = Album::new(picture, &order, &ledger, inner_px);

    let beside_px = inner_px - map.width_px() - PART_GAP_PX;
    let is_beside = beside_px >= LEGEND_BESIDE_PX;
    let legend_px = if is_beside { beside_px } else { inner_px };
    let map_y = MARGIN_PX + header.height_px() + PART_GAP_PX;
    let (legend_x, legend_y, album_y) = if is_beside {
        let below_y = map_y + map.height_px().max(legend.height_px(legend_px));
        (MARGIN_PX + map.width_px() + PART_GAP_PX, map_y, below_y)
    } else {
        let legend_y = map_y + map.height_px() + PART_GAP_PX / 2;
        (MARGIN_PX, legend_y, legend_y + legend.height_px(legend_px))
    };
    let album_y = album_y + PART_GAP_PX;

    let mut canvas = Canvas::new(PAGE_WIDTH_PX, album_y + album.height_px() + MARGIN_PX);
    header.draw(&mut canvas, MARGIN_PX, MARGIN_PX);
    map.draw(&mut canvas, MARGIN_PX, map_y, &ledger, &order);
    legend.draw(&mut canvas, legend_x, legend_y, legend_px);
    album.draw(&mut canvas, MARGIN_PX, album_y);
    canvas.into_image()
}

#[cfg(test)]
mod tests;
