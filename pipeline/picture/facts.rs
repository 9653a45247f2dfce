//! The page's head: what roll this is, and what the ledger says of it in figures.
//!
//! The ledger is added up once, here; map, legend and album take the sums from it. Sums are exact
//! in `i128`. What the ledger does not mention of length × width is "no record" and counts as not
//! inspected.

use std::collections::BTreeMap;

use image::Rgb;
use store::CoverState;

use super::RollPicture;
use super::canvas::{Canvas, PxRect};
use super::styles::{self, ALARM, Ground, INK, MUTED, PANEL};
use super::text::{self, Face};
use super::units;

/// The ledger added up, square micrometres.
pub(super) struct Ledger<'p> {
    pub(super) inspected_um2: i128,
    pub(super) beside_um2: i128,
    /// Negative when the ledger holds more than the roll.
    pub(super) no_record_um2: i128,
    pub(super) gaps_um2: BTreeMap<&'p str, i128>,
    looks: BTreeMap<&'p str, u8>,
}

impl<'p> Ledger<'p> {
    pub(super) fn of(picture: &'p RollPicture) -> Ledger<'p> {
        let (mut inspected_um2, mut beside_um2) = (0, 0);
        let mut gaps_um2 = BTreeMap::<&str, i128>::new();
        for cell in &picture.coverage {
            let sum = match &cell.state {
                CoverState::Inspected => &mut inspected_um2,
                CoverState::Beside => &mut beside_um2,
                CoverState::Gap(reason) => gaps_um2.entry(reason).or_default(),
            };
            *sum += i128::from(cell.rect.area_um2());
        }
        let whole = i128::from(picture.length_um.max(0)) * i128::from(picture.width_um.max(0));
        let recorded = inspected_um2 + beside_um2 + gaps_um2.values().sum::<i128>();
        Ledger {
            inspected_um2,
            beside_um2,
            no_record_um2: whole - recorded,
            looks: styles::looks(gaps_um2.keys().copied()),
            gaps_um2,
        }
    }

    pub(super) fn gap_um2(&self) -> i128 {
        self.gaps_um2.values().sum()
    }

    pub(super) fn gap_ground(&self, reason: &str) -> Ground {
        Ground::Gap(self.looks.get(reason).copied().unwrap_or_default())
    }

    /// Share of the cloth that was looked at, in words.
    fn inspected_share(&self) -> Option<String> {
        let unseen = self.gap_um2() + self.no_record_um2.max(0);
        units::share(self.inspected_um2, self.inspected_um2 + unseen)
    }
}

const CARD_GAP_PX: i64 = 16;
const CARD_HEIGHT_PX: i64 = 88;
const CARD_PAD_PX: i64 = 16;
const TITLE_PX: i64 = 40;
const SUBTITLE_PX: i64 = 30;
const ABOVE_CARDS_PX: i64 = 18;

/// The head, ready to be drawn.
pub(super) struct Facts {
    title: String,
    subtitle: String,
    warning: String,
    /// Name, value and the value's colour.
    cards: Vec<(&'static str, String, Rgb<u8>)>,
    width_px: i64,
}

impl Facts {
    pub(super) fn new(picture: &RollPicture, ledger: &Ledger<'_>, width_px: i64) -> Facts {
        let none = || "none".to_owned();
        let unrecorded_um2 = ledger.no_record_um2.max(0);
        let (gaps, gaps_color) = match ledger.gap_um2() + unrecorded_um2 {
            0 => (none(), INK),
            gaps => (units::area(gaps), ALARM),
        };
        let gaps_name = if unrecorded_um2 > 0 {
            "gaps and no record"
        } else {
            "gaps"
        };
        let mut cards = vec![
            ("length", units::metres(picture.length_um.max(0)), INK),
            ("width", units::millimetres(picture.width_um.max(0)), INK),
            (
                "inspected",
                ledger.inspected_share().unwrap_or_else(none),
                INK,
            ),
            ("flaws", picture.flaws.len().to_string(), INK),
            (gaps_name, gaps, gaps_color),
        ];
        if let Some(cloth) = picture.cloth_width {
            let [min, mean, max] = [cloth.min_um, cloth.mean_um, cloth.max_um]
                .map(|um| units::bare_millimetres(um.max(0)));
            cards.insert(
                2,
                (
                    "cloth, least / mean / most",
                    format!("{min} / {mean} / {max} mm"),
                    INK,
                ),
            );
        }
        Facts {
            title: text::fitted(&picture.title, Face::Title, width_px),
            subtitle: text::fitted(&picture.subtitle, Face::Body, width_px),
            warning: text::fitted(&picture.warning, Face::Body, width_px),
            cards,
            width_px,
        }
    }

    pub(super) fn height_px(&self) -> i64 {
        TITLE_PX + self.subtitle_px() + ABOVE_CARDS_PX + CARD_HEIGHT_PX
    }

    /// Height of the lines below the title.
    fn subtitle_px(&self) -> i64 {
        let lines = [&self.subtitle, &self.warning];
        lines.iter().filter(|line| !line.is_empty()).count() as i64 * SUBTITLE_PX
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, x: i64, y: i64) {
        text::draw(canvas, x, y, &self.title, Face::Title, INK);
        let mut line_y = y + TITLE_PX;
        for (line, color) in [(&self.warning, ALARM), (&self.subtitle, MUTED)] {
            if !line.is_empty() {
                text::draw(canvas, x, line_y, line, Face::Body, color);
                line_y += SUBTITLE_PX;
            }
        }
        let top = y + TITLE_PX + self.subtitle_px() + ABOVE_CARDS_PX;
        let n_cards = self.cards.len() as i64;
        let card_px = (self.width_px - (n_cards - 1) * CARD_GAP_PX) / n_cards;
        for ((name, value, color), i) in self.cards.iter().zip(0..) {
            let left = x + i * (card_px + CARD_GAP_PX);
            canvas.rounded(PxRect::new(left, top, card_px, CARD_HEIGHT_PX), 8, PANEL);
            let left = left + CARD_PAD_PX;
            let room_px = card_px - 2 * CARD_PAD_PX;
            let is_short = text::width_px(value, Face::Title) <= room_px;
            let (face, dy) = if is_short {
                (Face::Title, 40)
            } else {
                (Face::Heading, 47)
            };
            let value = text::fitted(value, face, room_px);
            text::draw(canvas, left, top + 14, name, Face::Small, MUTED);
            text::draw(canvas, left, top + dy, &value, face, *color);
        }
    }
}
