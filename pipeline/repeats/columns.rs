//! Many flaws at one place across: more than chance puts there.
//!
//! The web is counted in columns; flaws that follow each other closely along count once, since a
//! torn place is no fixed place. Three columns side by side hold more than chance allows when a
//! Poisson count of their share of all flaws would hardly ever reach it.

use std::collections::BTreeMap;

use calibration::um_from_mm;

use super::chance::poisson_tail;
use super::{Mark, Repeat, RepeatCause};

/// Width of a column.
const COLUMN_MM: f64 = 5.0;
/// Columns that are counted: a web of 20 m.
const MOST_COLUMNS: usize = 4096;
/// Flaws closer to each other along are one.
const APART_MM: f64 = 100.0;
/// Flaws without which no place stands out.
const FEWEST: u32 = 8;
/// Chance, per flaw, of taking a place for fixed, over all columns.
const MOST_CHANCE: f64 = 1e-6;

/// Counts of one roll.
#[derive(Default)]
pub(super) struct Columns {
    counts: BTreeMap<i64, Column>,
    n_flaws: u32,
    found: Vec<Repeat>,
}

#[derive(Clone, Copy)]
struct Column {
    n: u32,
    first_mm: f64,
    last_mm: f64,
}

impl Columns {
    /// Takes a flaw that goes on no series, and gives the fixed place that it lies at, if it is
    /// one; `new_id` gives an id to one that was not known.
    pub(super) fn take(&mut self, mark: &Mark, new_id: impl FnOnce() -> u32) -> Option<Repeat> {
        let at = (mark.across_mm / COLUMN_MM).floor() as i64;
        if !self.counts.contains_key(&at) && self.counts.len() >= MOST_COLUMNS {
            return None;
        }
        let column = self.counts.entry(at).or_insert(Column {
            n: 0,
            first_mm: mark.along_mm,
            last_mm: f64::NEG_INFINITY,
        });
        if mark.along_mm - column.last_mm < APART_MM {
            return None;
        }
        column.n += 1;
        column.last_mm = mark.along_mm;
        self.n_flaws += 1;
        let is_here = |found: &&mut Repeat| {
            (found.across.get() as f64 / 1e3 - mark.across_mm).abs() <= 1.5 * COLUMN_MM
        };
        if let Some(known) = self.found.iter_mut().find(is_here) {
            known.count += 1;
            known.along[1] = known.along[1].max(um_from_mm(mark.along_mm));
            return Some(known.clone());
        }
        let (count, first_mm) = self.stands_out(at)?;
        let repeat = Repeat {
            id: new_id(),
            cause: RepeatCause::FixedAcross,
            across: um_from_mm((at as f64 + 0.5) * COLUMN_MM),
            along: [um_from_mm(first_mm), um_from_mm(mark.along_mm)],
            count,
            class: mark.class.clone(),
        };
        self.found.push(repeat.clone());
        Some(repeat)
    }

    pub(super) fn found(&self) -> impl Iterator<Item = Repeat> {
        self.found.iter().cloned()
    }

    /// Flaws in and beside a column and where they begin, if they are more than chance puts there.
    fn stands_out(&self, at: i64) -> Option<(u32, f64)> {
        let here = self.counts.range(at - 1..=at + 1).map(|(_, column)| column);
        let count: u32 = here.clone().map(|column| column.n).sum();
        if count < FEWEST {
            return None;
        }
        let first = here
            .map(|column| column.first_mm)
            .fold(f64::INFINITY, f64::min);
        let (left, right) = (self.counts.keys().next()?, self.counts.keys().next_back()?);
        let n_columns = (right - left + 1) as f64;
        let mean = f64::from(self.n_flaws) * (3.0 / n_columns).min(1.0);
        (n_columns * poisson_tail(count, mean) <= MOST_CHANCE).then_some((count, first))
    }
}
