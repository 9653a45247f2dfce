//! What the map's colours mean: only what occurs on this roll, each with its area or count.
//!
//! It stands beside a small map or below a wide one; the room that it is given decides how many
//! columns it has.

use std::collections::BTreeMap;

use image::Rgb;

use super::PicturedFlaw;
use super::canvas::{Canvas, PxRect, WHITE};
use super::facts::Ledger;
use super::styles::{self, Ground, INK, MUTED, Severity};
use super::text::{self, Face};
use super::units;

/// Reasons and severities named one by one; those beyond share a line.
const N_NAMED: usize = 24;
const LINE_PX: i64 = 32;
const HEADING_PX: i64 = 36;
const BLOCK_GAP_PX: i64 = 20;
const SWATCH: (i64, i64) = (34, 20);
const SWATCH_GAP_PX: i64 = 12;
const COLUMN_GAP_PX: i64 = 36;
/// From this width on it has columns, pixels.
const WIDE_PX: i64 = 1000;
/// Longest text of an entry, pixels: two columns fit the page.
const TEXT_MOST_PX: i64 = 560;

/// One line of the legend.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    swatch: Swatch,
    name: String,
    amount: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swatch {
    Ground(Ground),
    Flaw(Severity),
    None,
}

/// The legend, ready to be drawn.
pub(super) struct Legend {
    blocks: Vec<(&'static str, Vec<Entry>)>,
}

impl Legend {
    pub(super) fn new(ledger: &Ledger<'_>, flaws: &[PicturedFlaw]) -> Legend {
        let blocks = vec![
            ("Cloth", grounds(ledger)),
            ("Gaps, by reason", gaps(ledger)),
            ("Flaws, by severity", severities(flaws)),
        ];
        Legend {
            blocks: blocks
                .into_iter()
                .filter(|block| !block.1.is_empty())
                .collect(),
        }
    }

    pub(super) fn height_px(&self, room_px: i64) -> i64 {
        let n_columns = self.n_columns(room_px);
        let blocks = self.blocks.iter();
        let height: i64 = blocks
            .map(|block| block_px(&block.1, n_columns) + BLOCK_GAP_PX)
            .sum();
        (height - BLOCK_GAP_PX).max(0)
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, x: i64, y: i64, room_px: i64) {
        let n_columns = self.n_columns(room_px);
        let mut top = y;
        for (heading, entries) in &self.blocks {
            text::draw(canvas, x, top, heading, Face::Heading, INK);
            for (entry, i) in entries.iter().zip(0..) {
                let left = x + (i % n_columns) * (self.column_px() + COLUMN_GAP_PX);
                let entry_y = top + HEADING_PX + i / n_columns * LINE_PX;
                draw_entry(canvas, left, entry_y, entry);
            }
            top += block_px(entries, n_columns) + BLOCK_GAP_PX;
        }
    }

    /// As many columns of the widest entry as fit; beside the map one reads better.
    fn n_columns(&self, room_px: i64) -> i64 {
        if room_px < WIDE_PX {
            return 1;
        }
        ((room_px + COLUMN_GAP_PX) / (self.column_px() + COLUMN_GAP_PX)).clamp(1, 5)
    }

    fn column_px(&self) -> i64 {
        let entries = self.blocks.iter().flat_map(|block| &block.1);
        let texts = entries.map(|entry| {
            text::width_px(&entry.name, Face::Body)
                + Face::Body.char_px()
                + text::width_px(&entry.amount, Face::Body)
        });
        SWATCH.0 + SWATCH_GAP_PX + texts.max().unwrap_or(0).min(TEXT_MOST_PX)
    }

    /// The reasons that it names.
    #[cfg(test)]
    pub(super) fn reasons(&self) -> Vec<&str> {
        let gaps = self
            .blocks
            .iter()
            .filter(|block| block.0.starts_with("Gaps"));
        gaps.flat_map(|block| &block.1)
            .map(|entry| entry.name.as_str())
            .collect()
    }
}

fn grounds(ledger: &Ledger<'_>) -> Vec<Entry> {
    let entry = |ground, name: &str, um2: i128| Entry {
        swatch: Swatch::Ground(ground),
        name: name.to_owned(),
        amount: units::area(um2),
    };
    let mut entries = vec![
        entry(Ground::Inspected, "inspected", ledger.inspected_um2),
        entry(Ground::Beside, "beside the cloth", ledger.beside_um2),
        entry(Ground::NoRecord, "no record", ledger.no_record_um2.max(0)),
    ];
    let areas = [
        ledger.inspected_um2,
        ledger.beside_um2,
        ledger.no_record_um2.max(0),
    ];
    let mut is_there = areas.into_iter().map(|um2| um2 > 0);
    entries.retain(|_| is_there.next().unwrap_or(false));
    if ledger.no_record_um2 < 0 {
        entries.push(Entry {
            swatch: Swatch::None,
            name: "the ledger holds more than the roll, by".to_owned(),
            amount: units::area(-ledger.no_record_um2),
        });
    }
    entries
}

fn gaps(ledger: &Ledger<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = ledger
        .gaps_um2
        .iter()
        .take(N_NAMED)
        .map(|(reason, um2)| Entry {
            swatch: Swatch::Ground(ledger.gap_ground(reason)),
            name: styles::words(reason),
            amount: units::area(*um2),
        })
        .collect();
    let n_unnamed = ledger.gaps_um2.len().saturating_sub(N_NAMED);
    if n_unnamed > 0 {
        entries.push(Entry {
            swatch: Swatch::None,
            name: format!("{n_unnamed} more reasons"),
            amount: units::area(ledger.gaps_um2.values().skip(N_NAMED).sum()),
        });
    }
    entries
}

fn severities(flaws: &[PicturedFlaw]) -> Vec<Entry> {
    let mut counts = BTreeMap::<(Severity, &str), usize>::new();
    for flaw in flaws {
        *counts
            .entry((Severity::of(&flaw.severity), &flaw.severity))
            .or_default() += 1;
    }
    let mut entries: Vec<Entry> = counts
        .iter()
        .rev()
        .take(N_NAMED)
        .map(|((severity, word), count)| Entry {
            swatch: Swatch::Flaw(*severity),
            name: if word.is_empty() {
                "not judged".to_owned()
            } else {
                styles::words(word)
            },
            amount: count.to_string(),
        })
        .collect();
    let n_unnamed: usize = counts.values().rev().skip(N_NAMED).sum();
    if n_unnamed > 0 {
        entries.push(Entry {
            swatch: Swatch::None,
            name: "of other severities".to_owned(),
            amount: n_unnamed.to_string(),
        });
    }
    entries
}

fn block_px(entries: &[Entry], n_columns: i64) -> i64 {
    HEADING_PX + (entries.len() as i64 + n_columns - 1) / n_columns * LINE_PX
}

fn draw_entry(canvas: &mut Canvas, x: i64, y: i64, entry: &Entry) {
    let swatch = PxRect::new(x, y, SWATCH.0, SWATCH.1);
    match entry.swatch {
        Swatch::Ground(ground) => {
            canvas.paint(swatch, |x, y| Some(ground.color_at(x, y)));
            canvas.outline(swatch, 1, ground.line_color());
        }
        Swatch::Flaw(severity) => draw_flaw_box(canvas, swatch, severity),
        Swatch::None => {}
    }
    let left = x + SWATCH.0 + SWATCH_GAP_PX;
    let amount_px = text::width_px(&entry.amount, Face::Body) + Face::Body.char_px();
    let name = text::fitted(&entry.name, Face::Body, TEXT_MOST_PX - amount_px);
    let amount_x = left + text::width_px(&name, Face::Body) + Face::Body.char_px();
    text::draw(canvas, left, y, &name, Face::Body, INK);
    text::draw(canvas, amount_x, y, &entry.amount, Face::Body, MUTED);
}

/// The outline of a flaw around `rect`, with a white rim on both sides so that it stands out from
/// any ground.
pub(super) fn draw_flaw_box(canvas: &mut Canvas, rect: PxRect, severity: Severity) {
    let color: Rgb<u8> = severity.color();
    let thick_px = severity.line_px();
    canvas.outline(rect.grown(1), thick_px + 2, WHITE);
    canvas.outline(rect, thick_px, color);
}
