//! The map: the roll's ledger and flaws in place, along to the right and across downwards.
//!
//! ```text
//! web (um) ──▶ row and pixel ──▶ grounds, gaps on top ──▶ flaw boxes ──▶ numbers
//! ```
//!
//! One [`Scale`] says where everything lies. However small, a gap and a flaw are drawn large enough
//! to be seen, and no number hides a small gap where there is another place for it. What it
//! stretches or leaves out it says below.

use store::CoverState;

use super::RollPicture;
use super::axes;
use super::canvas::{Canvas, PxRect};
use super::facts::Ledger;
use super::labels::Labels;
use super::legend::draw_flaw_box;
use super::scale::{AXIS_PX, Scale};
use super::styles::{EDGE, Ground, MUTED, Severity};
use super::text::{self, Face};

const NOTE_PX: i64 = 20;
const FLAW_LEAST_PX: i64 = 9;
const GAP_LEAST_PX: i64 = 3;
/// A gap below this could lie whole under a number, pixels.
const SMALL_GAP_PX: i64 = 24;
/// Boxes beyond these would only cover each other.
const N_BOXES_MOST: usize = 5000;

/// The map, ready to be drawn.
pub(super) struct RollMap<'p> {
    picture: &'p RollPicture,
    /// None when there is no cloth.
    scale: Option<Scale>,
}

impl<'p> RollMap<'p> {
    pub(super) fn new(picture: &'p RollPicture, room_px: i64) -> RollMap<'p> {
        let has_cloth = picture.length_um > 0 && picture.width_um > 0;
        let scale = has_cloth.then(|| Scale::new(picture, room_px - AXIS_PX));
        RollMap { picture, scale }
    }

    pub(super) fn width_px(&self) -> i64 {
        AXIS_PX + self.scale.as_ref().map_or(0, |scale| scale.row_px().0)
    }

    pub(super) fn height_px(&self) -> i64 {
        NOTE_PX
            + self
                .scale
                .as_ref()
                .map_or(0, |scale| scale.n_rows * scale.row_pitch_px())
    }

    #[cfg(test)]
    pub(super) fn scale(&self) -> Option<&Scale> {
        self.scale.as_ref()
    }

    /// Draws it; `order` numbers the flaws.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        x: i64,
        y: i64,
        ledger: &Ledger<'_>,
        order: &[usize],
    ) {
        let Some(scale) = &self.scale else {
            text::draw(canvas, x, y, "No cloth is on record.", Face::Body, MUTED);
            return;
        };
        let grounds = self.grounds(scale, ledger);
        let (row_px, height_px) = scale.row_px();
        let mut labels = Labels::new(PxRect::new(x, y, self.width_px(), self.height_px()));
        for row in 0..scale.n_rows {
            let (left, top) = scale.row_corner(x, y, row);
            let ribbon = PxRect::new(left, top, scale.row_width_px(row), height_px);
            let row_grounds = &grounds[(row * height_px * row_px) as usize..];
            draw_ribbon(canvas, ribbon, |x, y| {
                let is_inside = x >= left && y >= top && x < ribbon.right() && y < ribbon.bottom();
                is_inside.then(|| row_grounds[((y - top) * row_px + x - left) as usize])
            });
            axes::draw_along(canvas, ribbon, scale, row, &mut labels);
            axes::draw_across(canvas, ribbon, scale);
        }
        self.keep_small_gaps_clear(scale, (x, y), &mut labels);
        let notes = self.draw_flaws(canvas, (x, y), scale, order, &mut labels);
        let note_y = y + scale.n_rows * scale.row_pitch_px();
        let note = text::fitted(
            &notes.join(" · "),
            Face::Small,
            super::PAGE_WIDTH_PX - 2 * x,
        );
        text::draw(canvas, x, note_y, &note, Face::Small, MUTED);
    }

    /// What each pixel of each row shows; gaps lie on top, so that no rounding hides one.
    fn grounds(&self, scale: &Scale, ledger: &Ledger<'_>) -> Vec<Ground> {
        let (row_px, height_px) = scale.row_px();
        let mut grounds = vec![Ground::NoRecord; (row_px * height_px * scale.n_rows) as usize];
        let of_cell = |state: &CoverState| match state {
            CoverState::Inspected => Ground::Inspected,
            CoverState::Beside => Ground::Beside,
            CoverState::Gap(reason) => ledger.gap_ground(reason),
        };
        for paints_gaps in [false, true] {
            let least_px = if paints_gaps { GAP_LEAST_PX } else { 0 };
            for cell in self
                .picture
                .coverage
                .iter()
                .filter(|cell| is_gap(&cell.state) == paints_gaps)
            {
                for (row, part) in scale.parts(&cell.rect, least_px) {
                    for y in part.y..part.bottom() {
                        let start = ((row * height_px + y) * row_px + part.x) as usize;
                        grounds[start..start + part.width as usize].fill(of_cell(&cell.state));
                    }
                }
            }
        }
        grounds
    }

    /// Keeps numbers off gaps that a number would hide.
    fn keep_small_gaps_clear(&self, scale: &Scale, corner: (i64, i64), labels: &mut Labels) {
        let gaps = self
            .picture
            .coverage
            .iter()
            .filter(|cell| is_gap(&cell.state));
        for (row, part) in gaps.flat_map(|gap| scale.parts(&gap.rect, GAP_LEAST_PX)) {
            if part.width < SMALL_GAP_PX || part.height < SMALL_GAP_PX {
                let (left, top) = scale.row_corner(corner.0, corner.1, row);
                labels.avoid_if_possible(PxRect {
                    x: left + part.x,
                    y: top + part.y,
                    ..part
                });
            }
        }
    }

    /// Draws boxes and numbers and returns what there is to say about them.
    fn draw_flaws(
        &self,
        canvas: &mut Canvas,
        corner: (i64, i64),
        scale: &Scale,
        order: &[usize],
        labels: &mut Labels,
    ) -> Vec<String> {
        let mut numbered: Vec<(usize, &super::PicturedFlaw)> = order
            .iter()
            .map(|i| &self.picture.flaws[*i])
            .enumerate()
            .collect();
        // The gravest get box and number first; sorting is stable, so else in cloth order.
        numbered.sort_by(|a, b| super::album::gravest_first(a.1, b.1));
        let n_left_out = numbered.len().saturating_sub(N_BOXES_MOST);
        numbered.truncate(N_BOXES_MOST);

        let boxes: Vec<(usize, Severity, Vec<PxRect>)> = numbered
            .iter()
            .map(|(idx, flaw)| {
                let parts = scale.parts(&flaw.rect, FLAW_LEAST_PX);
                let placed = parts.into_iter().map(|(row, part)| {
                    let (left, top) = scale.row_corner(corner.0, corner.1, row);
                    PxRect {
                        x: left + part.x,
                        y: top + part.y,
                        ..part
                    }
                });
                (*idx, Severity::of(&flaw.severity), placed.collect())
            })
            .collect();
        for (_, severity, parts) in boxes.iter().rev() {
            for part in parts {
                draw_flaw_box(canvas, *part, *severity);
                labels.avoid_if_possible(*part);
            }
        }
        let mut n_unnumbered = 0;
        for (idx, severity, parts) in &boxes {
            let first = parts.first();
            let is_placed =
                first.is_some_and(|part| labels.place(canvas, *part, idx + 1, *severity));
            n_unnumbered += usize::from(!is_placed);
        }

        let mut notes = Vec::new();
        let stretch = scale.stretch();
        if stretch > 1.05 {
            notes.push(format!(
                "the web is drawn {stretch:.1} times wider than it is"
            ));
        } else if stretch < 0.95 {
            notes.push(format!(
                "the web is drawn {:.1} times longer than it is",
                1.0 / stretch
            ));
        }
        if n_left_out > 0 {
            notes.push(format!("{n_left_out} flaws not drawn"));
        }
        if n_unnumbered > 0 {
            notes.push(format!(
                "{n_unnumbered} flaws without a number, where it is crowded"
            ));
        }
        notes
    }
}

fn is_gap(state: &CoverState) -> bool {
    matches!(state, CoverState::Gap(_))
}

fn draw_ribbon(
    canvas: &mut Canvas,
    ribbon: PxRect,
    ground_at: impl Fn(i64, i64) -> Option<Ground>,
) {
    canvas.outline(ribbon.grown(1), 1, EDGE);
    canvas.paint(ribbon, |x, y| {
        let ground = ground_at(x, y)?;
        let differs = |dx: i64, dy: i64| ground_at(x + dx, y + dy) != Some(ground);
        let is_border = differs(1, 0) || differs(-1, 0) || differs(0, 1) || differs(0, -1);
        let is_gap = matches!(ground, Ground::Gap(_));
        Some(if is_gap && is_border {
            ground.line_color()
        } else {
            ground.color_at(x, y)
        })
    });
}
