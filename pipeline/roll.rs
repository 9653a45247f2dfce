//! The roll's ledger: every cell inspected, a gap with its reason, or beside the cloth.
//!
//! ```text
//! judged frames, missed frames ─▶ Ledger ─▶ Cover (rectangles in µm), running totals
//! ```
//!
//! It is evidence, not subtraction: a cell is inspected because its score has come, a gap comes
//! from the event that lost it. At the end the sum is checked against the measured length
//! times the lane's width, in integers. Frames must come in cloth order; encoder ticks that no
//! frame accounts for become a gap, ticks that were seen before count once.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::ensure;
use calibration::{LaneGeometry, Span, Um, WebRect};
use models::CELL_PX;

use crate::judging::SeenFrame;
use crate::tiles::{GapReason, Missed};

/// A rectangle of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Where.
    pub rect: WebRect,
    /// What became of it.
    pub state: CoverState,
}

/// What became of a piece of the web.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoverState {
    /// Its score has come.
    Inspected,
    /// It is table, beyond a selvedge.
    Beside,
    /// It was not looked at.
    Gap(GapReason),
}

/// The ledger of one lane of a roll.
pub struct Ledger {
    geometry: LaneGeometry,
    ticks: Option<Range<i64>>,
    totals: BTreeMap<CoverState, i128>,
}

impl Ledger {
    /// An empty ledger. The roll begins with the first tick that comes.
    pub fn new(geometry: LaneGeometry) -> Self {
        Self {
            geometry,
            ticks: None,
            totals: BTreeMap::new(),
        }
    }

    /// Enters a frame whose scores have come, as `state` where a tile's scores came and as failed
    /// where they did not.
    ///
    /// # Errors
    /// When a length is beyond what `i64` micrometres can count.
    pub fn frame(&mut self, seen: &SeenFrame, state: CoverState) -> anyhow::Result<Vec<Cover>> {
        let frame = &seen.head.frame;
        let width = self.geometry.width_px();
        let mut cover = Vec::new();
        let ticks = self.advance(frame.ticks.clone(), &mut cover)?;
        let n_failed: usize = seen
            .failed
            .iter()
            .map(|(place, _)| seen.n_judged(place))
            .sum();
        ensure!(
            seen.block.n_covered() + n_failed == seen.block.n_judged(),
            "frame {}: found scores of {} cells and {n_failed} failed ones, expected {}",
            frame.sequence,
            seen.block.n_covered(),
            seen.block.n_judged()
        );
        let cloth = seen.head.cloth;
        for (band, failed) in bands(seen, &ticks, cloth.columns()) {
            let mut from = cloth.left();
            self.enter(band.clone(), 0..from, CoverState::Beside, &mut cover)?;
            for columns in failed {
                self.enter(band.clone(), from..columns.start, state, &mut cover)?;
                from = columns.end;
                let gap = CoverState::Gap(GapReason::WorkerFailed);
                self.enter(band.clone(), columns, gap, &mut cover)?;
            }
            self.enter(band.clone(), from..cloth.right(), state, &mut cover)?;
            self.enter(band, cloth.right()..width, CoverState::Beside, &mut cover)?;
        }
        Ok(cover)
    }

    /// Enters cloth that could not be looked at. Where the cloth lay is not known then, so the
    /// gap is as wide as the lane.
    ///
    /// # Errors
    /// As for [`Ledger::frame`].
    pub fn missed(&mut self, missed: &Missed) -> anyhow::Result<Vec<Cover>> {
        let mut cover = Vec::new();
        let ticks = self.advance(missed.ticks.clone(), &mut cover)?;
        let state = CoverState::Gap(missed.reason);
        self.enter(ticks, 0..self.geometry.width_px(), state, &mut cover)?;
        Ok(cover)
    }

    /// Length of the web so far.
    ///
    /// # Errors
    /// As for [`Ledger::frame`].
    pub fn length(&self) -> anyhow::Result<Um> {
        let ticks = self.ticks.clone().unwrap_or(0..0);
        Ok(self.geometry.span_from_ticks(ticks)?.length())
    }

    /// Width of the web: of the lane.
    pub fn width(&self) -> Um {
        self.geometry.across().length()
    }

    /// Where the web lies along, µm from the datum.
    ///
    /// # Errors
    /// As for [`Ledger::frame`].
    pub fn along(&self) -> anyhow::Result<Span> {
        let ticks = self.ticks.clone().unwrap_or(0..0);
        Ok(self.geometry.span_from_ticks(ticks)?)
    }

    /// Area in one state, in µm².
    pub fn total(&self, state: CoverState) -> i128 {
        self.totals.get(&state).copied().unwrap_or(0)
    }

    /// Checks that what was entered is exactly the web's length times its width.
    ///
    /// # Errors
    /// With both areas when it is not: the ledger cannot be trusted then.
    pub fn check(&self) -> anyhow::Result<()> {
        let entered: i128 = self.totals.values().sum();
        let measured = i128::from(self.length()?.get()) * i128::from(self.width().get());
        ensure!(
            entered == measured,
            "the coverage ledger does not add up: found {entered} µm² entered, expected {measured} µm² measured"
        );
        Ok(())
    }

    /// Takes the roll on to the end of `ticks`: what no frame accounted for becomes a gap, what
    /// was seen before is cut away.
    fn advance(&mut self, ticks: Range<i64>, cover: &mut Vec<Cover>) -> anyhow::Result<Range<i64>> {
        let known = self.ticks.clone().unwrap_or(ticks.start..ticks.start);
        self.ticks = Some(known.start..known.end.max(ticks.end));
        if known.end < ticks.start {
            let width = self.geometry.width_px();
            let lost = CoverState::Gap(GapReason::FrameLost);
            self.enter(known.end..ticks.start, 0..width, lost, cover)?;
        }
        let start = ticks.start.max(known.end);
        Ok(start..ticks.end.max(start))
    }

    fn enter(
        &mut self,
        ticks: Range<i64>,
        columns: Range<u32>,
        state: CoverState,
        cover: &mut Vec<Cover>,
    ) -> anyhow::Result<()> {
        if ticks.is_empty() || columns.is_empty() {
            return Ok(());
        }
        let rect = self.geometry.rect(ticks, columns)?;
        if !rect.is_empty() {
            *self.totals.entry(state).or_insert(0) += rect.area_um2();
            cover.push(Cover { rect, state });
        }
        Ok(())
    }
}

/// The `ticks` of a frame cut where tiles failed: each band with the columns of cloth that
/// failed in it, from left to right.
fn bands(
    seen: &SeenFrame,
    ticks: &Range<i64>,
    cloth: Range<usize>,
) -> Vec<(Range<i64>, Vec<Range<u32>>)> {
    let at_row = |row: usize| {
        let tick = seen.head.tick_of_line(row * CELL_PX);
        tick.clamp(ticks.start, ticks.end)
    };
    let failed: Vec<(Range<i64>, Range<u32>)> = seen
        .failed
        .iter()
        .map(|(place, _)| {
            let end_row = place.row + place.kept.rows.len();
            let column = |col: usize| (col * CELL_PX).clamp(cloth.start, cloth.end) as u32;
            (
                at_row(place.row)..at_row(end_row),
                column(place.col)..column(place.col + place.kept.cols.len()),
            )
        })
        .collect();
    let mut cuts = vec![ticks.start, ticks.end];
    cuts.extend(
        failed
            .iter()
            .flat_map(|(ticks, _)| [ticks.start, ticks.end]),
    );
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2)
        .map(|cut| {
            let mut columns: Vec<Range<u32>> = failed
                .iter()
                .filter(|(ticks, _)| ticks.contains(&cut[0]))
                .map(|(_, columns)| columns.clone())
                .collect();
            columns.sort_by_key(|columns| columns.start);
            (cut[0]..cut[1], columns)
        })
        .collect()
}
