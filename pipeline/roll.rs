//! The roll's ledger: every cell inspected, a gap with its reason, or beside the cloth.
//!
//! ```text
//! judged frames, missed frames ─▶ Ledger ─▶ Cover (rectangles in µm), running totals
//! ```
//!
//! It is evidence, not subtraction: a cell is inspected because its score has come, a gap comes
//! from the event that lost it. At the end the sum is checked against the measured length
//! times the web's width, in integers. A lane's frames must come in cloth order; encoder ticks that
//! no frame accounts for become a gap, ticks that were seen before count once, and what two lanes
//! see counts for the one that owns it.
//!
//! A place has one reason, the first of these that holds: it never came (`frame_lost`, `camera_lost`,
//! `overload`, `unreadable`, `power_cut`, `unknown_length`); its light is no light to judge by
//! (`saturated`, `too_dark`), or it shows no cloth (`no_cloth`); a worker failed on it
//! (`worker_failed`); it is blurred (`out_of_focus`), so that nobody can tell what cloth it is; it is a
//! sewn seam (`seam`); it is other cloth (`wrong_article`); its flaws are too many (`too_many_flaws`).

mod width;

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::ensure;
use calibration::{LaneGeometry, Span, Um, WebRect, owned_spans};
use models::CELL_PX;

use crate::judging::SeenFrame;
use crate::tiles::{GapReason, Missed};

pub use self::width::ClothWidth;
use self::width::Widths;

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

/// Where a lane lies on the web, and which part of it the lane owns.
#[derive(Clone, Copy, Debug)]
pub struct LanePlace {
    /// From columns and ticks to the web.
    pub geometry: LaneGeometry,
    /// The strip across that is this lane's alone to tell of.
    pub owned: Span,
}

impl LanePlace {
    /// The places of lanes that stand side by side, from left to right.
    ///
    /// # Errors
    /// When they do not, or leave a strip unseen.
    pub fn of_lanes(geometries: &[LaneGeometry]) -> anyhow::Result<Vec<Self>> {
        let owned = owned_spans(geometries)?;
        let places = geometries.iter().zip(owned);
        Ok(places
            .map(|(geometry, owned)| Self {
                geometry: *geometry,
                owned,
            })
            .collect())
    }
}

/// The ledger of a roll, over all its lanes.
pub struct Ledger {
    lanes: Vec<LaneLedger>,
    totals: BTreeMap<CoverState, i128>,
    widths: Widths,
}

/// What is known of one lane.
struct LaneLedger {
    place: LanePlace,
    /// Cloth along that has been told of.
    known: Option<Span>,
}

impl Ledger {
    /// An empty ledger over these lanes. The roll begins with the first tick that comes.
    pub fn new(places: &[LanePlace]) -> Self {
        let lane = |place: &LanePlace| LaneLedger {
            place: *place,
            known: None,
        };
        Self {
            lanes: places.iter().map(lane).collect(),
            totals: BTreeMap::new(),
            widths: Widths::default(),
        }
    }

    /// Enters a frame of `lane` whose scores have come, as `state` where a tile's scores came and
    /// as failed where they did not.
    ///
    /// # Errors
    /// When a length is beyond what `i64` micrometres can count.
    pub fn frame(
        &mut self,
        lane: usize,
        seen: &SeenFrame,
        state: CoverState,
    ) -> anyhow::Result<Vec<Cover>> {
        let frame = &seen.head.frame;
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
        let mut cover = Vec::new();
        let geometry = self.lanes[lane].place.geometry;
        let fresh = self.advance(
            lane,
            geometry.span_from_ticks(frame.ticks.clone())?,
            &mut cover,
        )?;
        let cloth = seen.head.cloth;
        let width = geometry.width_px();
        let edge = |columns: Range<u32>| geometry.span_from_columns(columns);
        let left = (cloth.left() > 0).then(|| edge(0..cloth.left()).end());
        let right = (cloth.right() < width).then(|| edge(cloth.right()..width).start());
        self.selvedges(lane, fresh, left, right);
        for (ticks, failed) in bands(seen, cloth.columns()) {
            let Some(band) = geometry.span_from_ticks(ticks)?.intersection(fresh) else {
                continue;
            };
            let mut enter = |columns: Range<u32>, state| {
                self.enter(
                    lane,
                    band,
                    geometry.span_from_columns(columns),
                    state,
                    &mut cover,
                );
            };
            let mut from = cloth.left();
            enter(0..from, CoverState::Beside);
            for columns in failed {
                enter(from..columns.start, state);
                from = columns.end;
                enter(columns, CoverState::Gap(GapReason::WorkerFailed));
            }
            enter(from..cloth.right(), state);
            enter(cloth.right()..width, CoverState::Beside);
        }
        Ok(cover)
    }

    /// Takes back that cloth was inspected, for `reason`: what was found in it does not count.
    /// `covers` are what the ledger gave for it, and none of them is written yet.
    pub fn revoke(&mut self, covers: &mut [Cover], reason: GapReason) {
        let gap = CoverState::Gap(reason);
        for cover in covers {
            if cover.state == CoverState::Inspected {
                *self.totals.entry(CoverState::Inspected).or_insert(0) -= cover.rect.area_um2();
                *self.totals.entry(gap).or_insert(0) += cover.rect.area_um2();
                cover.state = gap;
            }
        }
    }

    /// The same of what lies `within` a rectangle; `covers` are cut at its sides.
    pub fn revoke_within(&mut self, covers: &mut Vec<Cover>, within: &WebRect, reason: GapReason) {
        let gap = CoverState::Gap(reason);
        for cover in std::mem::take(covers) {
            let inside = cover
                .rect
                .intersection(within)
                .filter(|both| !both.is_empty());
            let Some(inside) = inside.filter(|_| cover.state == CoverState::Inspected) else {
                covers.push(cover);
                continue;
            };
            *self.totals.entry(CoverState::Inspected).or_insert(0) -= inside.area_um2();
            *self.totals.entry(gap).or_insert(0) += inside.area_um2();
            for rect in around(&cover.rect, &inside) {
                let state = cover.state;
                covers.push(Cover { rect, state });
            }
            covers.push(Cover {
                rect: inside,
                state: gap,
            });
        }
    }

    /// Enters cloth of `lane` that could not be looked at. Where the cloth lay is not known then,
    /// so the gap is as wide as the lane.
    ///
    /// # Errors
    /// As for [`Ledger::frame`].
    pub fn missed(&mut self, lane: usize, missed: &Missed) -> anyhow::Result<Vec<Cover>> {
        let mut cover = Vec::new();
        let place = self.lanes[lane].place;
        let along = place.geometry.span_from_ticks(missed.ticks.clone())?;
        let fresh = self.advance(lane, along, &mut cover)?;
        let state = CoverState::Gap(missed.reason);
        self.enter(lane, fresh, place.owned, state, &mut cover);
        Ok(cover)
    }

    /// Makes all lanes equally long, now that they have ended: what one did not see while another
    /// did is a gap, for the reason that `reason` gives for the lane.
    ///
    /// # Errors
    /// As for [`Ledger::frame`].
    pub fn close(&mut self, reason: impl Fn(usize) -> GapReason) -> anyhow::Result<Vec<Cover>> {
        let mut cover = Vec::new();
        let Some(web) = self.along() else {
            return Ok(cover);
        };
        for lane in 0..self.lanes.len() {
            let LaneLedger { place, known } = &mut self.lanes[lane];
            let owned = place.owned;
            let seen = known
                .replace(web)
                .unwrap_or(Span::new(web.start(), web.start())?);
            let state = CoverState::Gap(reason(lane));
            for (from, to) in [(web.start(), seen.start()), (seen.end(), web.end())] {
                self.enter(lane, Span::new(from, to)?, owned, state, &mut cover);
            }
        }
        Ok(cover)
    }

    /// Takes over what an earlier part of the same run has entered.
    ///
    /// # Errors
    /// When a lane's part is not one stretch of cloth from the roll's beginning on.
    pub fn resume(&mut self, earlier: &[Cover]) -> anyhow::Result<()> {
        for lane in &mut self.lanes {
            let owned = lane.place.owned;
            let mut area = 0;
            for cover in earlier {
                if let Some(across) = cover.rect.across.intersection(owned) {
                    ensure!(
                        across == cover.rect.across,
                        "found coverage from {} to {} across, expected it within one lane: were the lanes moved since?",
                        cover.rect.across.start(),
                        cover.rect.across.end()
                    );
                    let along = cover.rect.along;
                    lane.known = Some(lane.known.map_or(along, |known| known.hull(along)));
                    area += cover.rect.area_um2();
                }
            }
            let known = lane.known.map_or(0, |known| known.length().get());
            ensure!(
                area == i128::from(known) * i128::from(owned.length().get()),
                "found {area} µm² covered in a lane of {} and {} of cloth: the run's coverage has holes and cannot be gone on with",
                owned.length(),
                Um(known)
            );
        }
        for cover in earlier {
            *self.totals.entry(cover.state).or_insert(0) += cover.rect.area_um2();
        }
        self.resume_widths(earlier);
        Ok(())
    }

    /// How wide the cloth is, where both of its selvedges were seen.
    pub fn cloth_width(&self) -> Option<ClothWidth> {
        self.widths.found()
    }

    /// Enters cloth that passed while nobody looked, behind everything known and up to `until`. Where
    /// nothing is known the roll begins at `start`.
    ///
    /// # Errors
    /// As for [`Ledger::frame`].
    pub fn interrupted(
        &mut self,
        start: Um,
        until: Um,
        reason: GapReason,
    ) -> anyhow::Result<Vec<Cover>> {
        let mut cover = Vec::new();
        let web = self.along().unwrap_or(Span::new(start, start)?);
        let web = Span::new(web.start(), until.max(web.end()))?;
        for lane in 0..self.lanes.len() {
            let LaneLedger { place, known } = &mut self.lanes[lane];
            let owned = place.owned;
            let none = Span::new(web.start(), web.start())?;
            let seen = known.replace(web).unwrap_or(none);
            let late = CoverState::Gap(GapReason::FrameLost);
            let before = Span::new(web.start(), seen.start())?;
            self.enter(lane, before, owned, late, &mut cover);
            let unseen = Span::new(seen.end(), web.end())?;
            self.enter(lane, unseen, owned, CoverState::Gap(reason), &mut cover);
        }
        Ok(cover)
    }

    /// Cloth along of which a lane has told.
    pub fn known(&self, lane: usize) -> Option<Span> {
        self.lanes[lane].known
    }

    /// Length of the web so far.
    pub fn length(&self) -> Um {
        self.along().map_or(Um::ZERO, Span::length)
    }

    /// Width of the web: of all lanes together.
    pub fn width(&self) -> Um {
        self.lanes
            .iter()
            .map(|lane| lane.place.owned.length())
            .sum()
    }

    /// Where the web lies along, µm from the datum; `None` before anything has come.
    pub fn along(&self) -> Option<Span> {
        let known = self.lanes.iter().filter_map(|lane| lane.known);
        known.reduce(Span::hull)
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
        let measured = i128::from(self.length().get()) * i128::from(self.width().get());
        ensure!(
            entered == measured,
            "the coverage ledger does not add up: found {entered} µm² entered, expected {measured} µm² measured"
        );
        Ok(())
    }

    /// Takes the cloth's edges as a frame of `lane` shows them; only the outer lanes' outer edges are
    /// selvedges of the web.
    fn selvedges(&mut self, lane: usize, along: Span, left: Option<Um>, right: Option<Um>) {
        if along.length() == Um::ZERO {
            return;
        }
        if lane == 0
            && let Some(at) = left
        {
            self.widths.left(along, at);
        }
        if lane + 1 == self.lanes.len()
            && let Some(at) = right
        {
            self.widths.right(along, at);
        }
    }

    /// The same from what an earlier part of the run has entered: what lies beside the cloth ends at
    /// its selvedges.
    fn resume_widths(&mut self, earlier: &[Cover]) {
        let Some((first, last)) = self.lanes.first().zip(self.lanes.last()) else {
            return;
        };
        let (start, end) = (first.place.owned.start(), last.place.owned.end());
        let mut beside: Vec<&WebRect> = (earlier.iter())
            .filter(|cover| cover.state == CoverState::Beside)
            .map(|cover| &cover.rect)
            .collect();
        beside.sort_by_key(|rect| rect.along.start());
        for rect in beside {
            if rect.across.start() == start {
                self.widths.left(rect.along, rect.across.end());
            }
            if rect.across.end() == end {
                self.widths.right(rect.along, rect.across.start());
            }
        }
    }

    /// Takes a lane on to the end of `along`: what no frame accounted for becomes a gap, what was
    /// seen before is cut away.
    fn advance(
        &mut self,
        lane: usize,
        along: Span,
        cover: &mut Vec<Cover>,
    ) -> anyhow::Result<Span> {
        let LaneLedger { place, known } = &mut self.lanes[lane];
        let owned = place.owned;
        let lost = CoverState::Gap(GapReason::FrameLost);
        let before = known.map_or(along.start(), Span::end);
        let first = known.map_or(along.start(), Span::start);
        *known = Some(known.map_or(along, |known| known.hull(along)));
        // What a camera saw before the roll's first cloth came too late to be looked at.
        for (from, to) in [(along.start(), first), (before, along.start())] {
            if from < to {
                self.enter(lane, Span::new(from, to)?, owned, lost, cover);
            }
        }
        let start = along.start().max(before);
        Ok(Span::new(start, along.end().max(start))?)
    }

    /// Enters the part of a rectangle that the lane owns.
    fn enter(
        &mut self,
        lane: usize,
        along: Span,
        across: Span,
        state: CoverState,
        cover: &mut Vec<Cover>,
    ) {
        let owned = self.lanes[lane].place.owned;
        let Some(across) = across.intersection(owned) else {
            return;
        };
        let rect = WebRect { along, across };
        if !rect.is_empty() {
            *self.totals.entry(state).or_insert(0) += rect.area_um2();
            cover.push(Cover { rect, state });
        }
    }
}

/// What is left of `whole` around a part of it, without what is empty.
fn around(whole: &WebRect, part: &WebRect) -> Vec<WebRect> {
    let span = |from, to| Span::new(from, to).ok();
    let (along, across) = (whole.along, whole.across);
    let sides = [
        (span(along.start(), part.along.start()), Some(across)),
        (span(part.along.end(), along.end()), Some(across)),
        (Some(part.along), span(across.start(), part.across.start())),
        (Some(part.along), span(part.across.end(), across.end())),
    ];
    let rects = sides.into_iter().filter_map(|(along, across)| {
        Some(WebRect {
            along: along?,
            across: across?,
        })
    });
    rects.filter(|rect| !rect.is_empty()).collect()
}

/// The ticks of a frame cut where tiles failed: each band with the columns of cloth that
/// failed in it, from left to right.
fn bands(seen: &SeenFrame, cloth: Range<usize>) -> Vec<(Range<i64>, Vec<Range<u32>>)> {
    let ticks = &seen.head.frame.ticks;
    let at_row = |row: usize| seen.head.tick_of_line(row * CELL_PX);
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

#[cfg(test)]
mod tests;
