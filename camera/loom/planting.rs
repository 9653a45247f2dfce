//! Where random flaws fall.
//!
//! The web is planned in blocks of lines, each from the seed and its own number; flaws
//! begin in their block and may run on for many. Two flaws never touch, except that a
//! flaw over the full width may cross one that runs along a yarn, so that the truth stays plain.

use std::ops::Range;

use super::LoomSettings;
use super::flaws::{Flaw, FlawKind};
use super::layout::Layout;
use super::noise::{hash, unit};

/// Lines planned at once.
const BLOCK_LINES: i64 = 2048;
/// Distance in px and lines that two flaws keep.
const APART: i64 = 24;
/// Distance that a flaw keeps from the cloth's edge, in px: the selvedge's width.
const FROM_EDGE: u32 = 56;
/// Tries at a free place before a flaw is given up.
const N_TRIES: i64 = 8;

const STREAM_PLANTING: i64 = 201;

/// The kinds with their share of all flaws, the basic ones together 1, and their lines and columns, least and most.
/// Sizes are what they are at about 0.2 mm to the pixel.
const KINDS: [(FlawKind, f32, [i64; 2], [u32; 2]); 16] = [
    (FlawKind::EndOut, 0.10, [300, 5000], [1, 1]),
    (FlawKind::Mispick, 0.10, [1, 1], [1, 1]),
    (FlawKind::Slub, 0.16, [8, 13], [60, 200]),
    (FlawKind::Knot, 0.14, [8, 14], [9, 16]),
    (FlawKind::Nep, 0.14, [5, 8], [5, 8]),
    (FlawKind::Hole, 0.08, [12, 50], [12, 40]),
    (FlawKind::Stain, 0.10, [24, 110], [24, 110]),
    (FlawKind::Contamination, 0.12, [10, 60], [20, 110]),
    (FlawKind::Selvedge, 0.06, [50, 280], [12, 26]),
    (FlawKind::DoubleEnd, 0.08, [300, 5000], [1, 1]),
    (FlawKind::DoublePick, 0.08, [1, 1], [1, 1]),
    (FlawKind::Float, 0.10, [4, 30], [4, 60]),
    (FlawKind::Crease, 0.08, [150, 900], [16, 30]),
    (FlawKind::StartMark, 0.06, [14, 50], [1, 1]),
    (FlawKind::WeftCrack, 0.08, [5, 11], [80, 500]),
    (FlawKind::DyeStain, 0.08, [24, 110], [24, 110]),
];

/// Plans the web block by block.
#[derive(Debug)]
pub(super) struct Planting {
    next_block: i64,
}

impl Planting {
    pub(super) fn new() -> Self {
        Self { next_block: 0 }
    }

    /// Adds the flaws that begin before `line` to `flaws`, where they are not yet there.
    pub(super) fn plan_until(
        &mut self,
        line: i64,
        settings: &LoomSettings,
        layout: &Layout,
        flaws: &mut Vec<Flaw>,
    ) {
        while self.next_block * BLOCK_LINES < line {
            plan_block(self.next_block, settings, layout, flaws);
            self.next_block += 1;
        }
    }
}

fn plan_block(block: i64, settings: &LoomSettings, layout: &Layout, flaws: &mut Vec<Flaw>) {
    let seed = hash(settings.seed, STREAM_PLANTING, block);
    let megapixels = f64::from(settings.width) * BLOCK_LINES as f64 / 1e6;
    let wished = settings.flaws_per_megapixel * megapixels;
    let one_more = f64::from(unit(seed, 0, 0)) < wished.fract();
    for number in 1..=wished as i64 + i64::from(one_more) {
        let placed = (0..N_TRIES)
            .filter_map(|attempt| draw_lot(hash(seed, number, attempt), block, settings, layout))
            .find(|flaw| flaws.iter().all(|other| apart(flaw, other)));
        flaws.extend(placed);
    }
}

/// One flaw of a random kind, size and place; `None` where it finds no room at all.
fn draw_lot(seed: u64, block: i64, settings: &LoomSettings, layout: &Layout) -> Option<Flaw> {
    let mut kinds = KINDS
        .iter()
        .filter(|(kind, ..)| settings.random_kinds.contains(kind));
    let total: f32 = kinds.clone().map(|(_, share, ..)| share).sum();
    // The basic kinds alone are drawn by their shares as they stand, whatever these sum to.
    let is_basic = settings.random_kinds == FlawKind::BASIC;
    let mut lot = unit(seed, 1, 0) * if is_basic { 1.0 } else { total };
    let (kind, _, lines, columns) = kinds.find(|(_, share, ..)| {
        lot -= share;
        lot < 0.0
    })?;
    let within = |stream, least: i64, most: i64| {
        least + (f64::from(unit(seed, stream, 0)) * (most - least + 1) as f64) as i64
    };
    let start = block * BLOCK_LINES + within(2, 0, BLOCK_LINES - 1);
    let n_lines = within(3, lines[0], lines[1]);
    let n_columns = within(4, i64::from(columns[0]), i64::from(columns[1]));

    let from = layout.edges[0].map_or(0, |edge| edge as i64 + i64::from(FROM_EDGE));
    let to = layout.edges[1].map_or(i64::from(settings.width), |edge| {
        edge as i64 - i64::from(FROM_EDGE)
    });
    let left = if *kind == FlawKind::Selvedge {
        // Its side is drawn, not its place.
        within(5, 0, 1) * (i64::from(settings.width) - n_columns)
    } else if to - from < n_columns {
        return None;
    } else {
        within(5, from, to - n_columns)
    };
    let contrast = settings.contrast * (0.8 + 0.4 * unit(seed, 6, 0));
    let columns = left as u32..(left + n_columns) as u32;
    let lines = start..start + n_lines;
    Flaw::place(settings, layout, *kind, lines, columns, contrast).ok()
}

fn apart(a: &Flaw, b: &Flaw) -> bool {
    if a.kind.is_along() && b.kind.is_across() || a.kind.is_across() && b.kind.is_along() {
        return true;
    }
    let columns = |flaw: &Flaw| i64::from(flaw.columns.start)..i64::from(flaw.columns.end);
    clear(&a.lines, &b.lines) || clear(&columns(a), &columns(b))
}

fn clear(a: &Range<i64>, b: &Range<i64>) -> bool {
    a.start >= b.end + APART || b.start >= a.end + APART
}
