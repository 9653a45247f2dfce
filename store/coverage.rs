//! The ledger of one run: every cell is inspected, a gap with its reason, or beside the cloth.
//!
//! ```text
//! cells, as they leave the line ──▶ joined ──▶ rows, each as long as nothing changed
//! ```
//!
//! A roll of a thousand metres without a gap is a few rows. Sums are exact in `i64` or an error.
//! Whether the sum is the whole roll, and whether cells overlap, is the pipeline's to check: only
//! it knows the measured length.

use std::collections::{BTreeMap, HashMap};

use crate::StoreError;
use crate::database::Database;
use crate::names::{RunId, fresh_id};
use crate::rect::Rect;

/// What became of a piece of cloth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CoverState {
    /// It was looked at and its score was used.
    Inspected,
    /// It was no cloth: table, or beyond the selvedge.
    Beside,
    /// It was not looked at, for this reason; the pipeline's word, never empty.
    Gap(String),
}

/// One rectangle of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CoverageCell {
    /// Where.
    pub rect: Rect,
    /// What became of it.
    pub state: CoverState,
}

/// A ledger added up, square micrometres.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoverageTotals {
    /// Looked at.
    pub inspected_um2: i64,
    /// Beside the cloth.
    pub beside_um2: i64,
    /// Not looked at, by reason.
    pub gaps_um2: BTreeMap<String, i64>,
}

impl CoverageTotals {
    /// Adds the cells up.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a sum is beyond `i64` (more than nine million square metres).
    pub fn of<'c>(
        cells: impl IntoIterator<Item = &'c CoverageCell>,
    ) -> Result<CoverageTotals, StoreError> {
        let mut totals = CoverageTotals::default();
        for cell in cells {
            let sum = match &cell.state {
                CoverState::Inspected => &mut totals.inspected_um2,
                CoverState::Beside => &mut totals.beside_um2,
                CoverState::Gap(reason) => totals.gaps_um2.entry(reason.clone()).or_default(),
            };
            *sum = sum
                .checked_add(cell.rect.area_um2())
                .ok_or_else(too_large)?;
        }
        Ok(totals)
    }

    /// All gaps together.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the sum is beyond `i64`.
    pub fn gap_um2(&self) -> Result<i64, StoreError> {
        self.gaps_um2
            .values()
            .try_fold(0i64, |sum, gap| sum.checked_add(*gap))
            .ok_or_else(too_large)
    }

    /// Everything: inspected, beside and gaps.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the sum is beyond `i64`.
    pub fn sum_um2(&self) -> Result<i64, StoreError> {
        let parts = self.inspected_um2.checked_add(self.beside_um2);
        let gaps = self.gap_um2()?;
        parts
            .and_then(|sum| sum.checked_add(gaps))
            .ok_or_else(too_large)
    }
}

/// Writes `cells` into the ledger of `run`: a cell that goes on where a row of the same state and
/// width ended makes that row longer.
pub(crate) fn append(
    database: &dyn Database,
    run: RunId,
    cells: &[CoverageCell],
) -> Result<(), StoreError> {
    for Joined { rect, state } in joined(cells) {
        let (state, reason) = words(state)?;
        let longer = "UPDATE coverage SET along1 = $1 WHERE run = $2 AND across0 = $3 AND across1 = $4 \
                      AND along1 = $5 AND state = $6 AND reason = $7";
        let (along, across) = (rect.along(), rect.across());
        let changed = database.execute(
            longer,
            &[
                along.end.into(),
                run.as_bytes()[..].into(),
                across.start.into(),
                across.end.into(),
                along.start.into(),
                state.into(),
                reason.into(),
            ],
        )?;
        if changed > 0 {
            continue;
        }
        let sql = "INSERT INTO coverage (id, run, along0, along1, across0, across1, state, reason) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        database.execute(
            sql,
            &[
                fresh_id().as_bytes()[..].into(),
                run.as_bytes()[..].into(),
                along.start.into(),
                along.end.into(),
                across.start.into(),
                across.end.into(),
                state.into(),
                reason.into(),
            ],
        )?;
    }
    Ok(())
}

/// The state's word in the tables, and the reason's.
fn words(state: &CoverState) -> Result<(&'static str, &str), StoreError> {
    match state {
        CoverState::Inspected => Ok(("inspected", "")),
        CoverState::Beside => Ok(("beside", "")),
        CoverState::Gap(reason) if reason.is_empty() => Err(StoreError::Invalid {
            what: "gap",
            found: "no reason".to_owned(),
            expected: "a reason".to_owned(),
        }),
        CoverState::Gap(reason) => Ok(("gap", reason)),
    }
}

/// A cell, or several that go on from each other.
struct Joined<'c> {
    rect: Rect,
    state: &'c CoverState,
}

/// Joins what goes on within one batch, in the order of the cells.
fn joined(cells: &[CoverageCell]) -> Vec<Joined<'_>> {
    let mut rows: Vec<Joined<'_>> = Vec::new();
    let mut latest = HashMap::new();
    for cell in cells {
        let row = latest
            .entry((cell.rect.across(), &cell.state))
            .or_insert(rows.len());
        match rows
            .get(*row)
            .and_then(|joined| joined.rect.continued_by(&cell.rect))
        {
            Some(longer) => rows[*row].rect = longer,
            None => {
                *row = rows.len();
                rows.push(Joined {
                    rect: cell.rect,
                    state: &cell.state,
                });
            }
        }
    }
    rows
}

fn too_large() -> StoreError {
    StoreError::Invalid {
        what: "coverage",
        found: "an area beyond 2^63 um2".to_owned(),
        expected: "one roll's area".to_owned(),
    }
}
