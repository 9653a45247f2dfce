//! The map's axes: metres below each row, millimetres to its left.
//!
//! Marks stand at round positions on the web, counted from the station's datum and not from the
//! edge of the map; a mark that would touch its neighbour has no figure.

use image::Rgb;

use super::canvas::{Canvas, PxRect};
use super::labels::Labels;
use super::scale::{AXIS_PX, Scale};
use super::styles::{EDGE, INK, MUTED};
use super::text::{self, Face};
use super::units::{self, TickUnit};

const TICK_PX: i64 = 6;

/// Marks row `row` of the map, whose cloth is `ribbon`, in metres, and keeps numbers off them.
pub(super) fn draw_along(
    canvas: &mut Canvas,
    ribbon: PxRect,
    scale: &Scale,
    row: i64,
    labels: &mut Labels,
) {
    let (from, to) = scale.row_along(row);
    let spacing_px = 84.0 + 6.0 * (scale.length_um / 1e9).max(1.0).log10().ceil();
    let start = scale.along0_um + from;
    let ticks = units::ticks(
        start,
        scale.along0_um + to,
        spacing_px / scale.px_per_um_along,
        TickUnit::Metre,
    );
    let mut free_x = i64::MIN;
    for (um, label) in ticks {
        let x = ribbon.x + ((um - start) * scale.px_per_um_along).round() as i64;
        canvas.fill(
            PxRect::new(x.min(ribbon.right()), ribbon.bottom() + 1, 1, TICK_PX),
            EDGE,
        );
        let width = text::width_px(&label, Face::Small);
        let left = (x - width / 2).min(super::PAGE_WIDTH_PX - 8 - width);
        if left >= free_x {
            let top = ribbon.bottom() + TICK_PX + 3;
            labels.block(PxRect::new(left, top, width, Face::Small.height_px()));
            text::draw(canvas, left, top, &label, Face::Small, tick_ink(um));
            free_x = left + width + 12;
        }
    }
}

/// The start of the roll stands out.
fn tick_ink(um: f64) -> Rgb<u8> {
    if um == 0.0 { INK } else { MUTED }
}

/// Marks `ribbon` in millimetres, to its left.
pub(super) fn draw_across(canvas: &mut Canvas, ribbon: PxRect, scale: &Scale) {
    let ticks = units::ticks(
        scale.across0_um,
        scale.across0_um + scale.width_um,
        (scale.row_px().1 as f64 / 8.0).clamp(28.0, 60.0) / scale.px_per_um_across,
        TickUnit::Millimetre,
    );
    for (um, label) in ticks {
        let y = ribbon.y + ((um - scale.across0_um) * scale.px_per_um_across).round() as i64;
        canvas.fill(PxRect::new(ribbon.x - 1 - TICK_PX, y, TICK_PX, 1), EDGE);
        let label = text::fitted(&label, Face::Small, AXIS_PX - TICK_PX - 8);
        let left = ribbon.x - TICK_PX - 6 - text::width_px(&label, Face::Small);
        text::draw(
            canvas,
            left,
            y - Face::Small.height_px() / 2,
            &label,
            Face::Small,
            MUTED,
        );
    }
}
