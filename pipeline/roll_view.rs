//! A roll as the store remembers it, for machines and for the picture.

mod report;

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, bail};
use calibration::mm_from_um;
use models::{Limits, Passport};
use store::{
    CoverState, CoverageCell, CoverageTotals, CropPlace, Decision, Event, Flaw, FlawId,
    FlawsFilter, FlawsOrder, Name, Rect, Run, RunId, RunState, Store, VerdictFilter, is_removal,
};

use crate::classes::{Class, Severity};
use crate::crops::{PxScale, place_in_crop};
use crate::grading::{GradedFlaw, InspectedRoll, Missing};
use crate::picture::{PicturedFlaw, RollPicture, album};
use crate::repeats::{Repeat, RepeatCause, Repeats, Spot};

pub use self::report::{
    ClothWidthReport, EventReport, FlawReport, GapReport, RemovedReport, RepeatReport, RollReport,
};

/// Flaws that are read at once.
const AT_ONCE: u32 = 1000;
/// How far the cloth's edge may wander within one gap that is told as one row.
const WANDERS_UM: i64 = 5000;

/// One run of a roll, read whole but for its crops.
pub struct RollView {
    /// The run.
    pub run: Run,
    /// Its ledger.
    pub coverage: Vec<CoverageCell>,
    /// Its flaws, in cloth order.
    pub flaws: Vec<Flaw>,
    /// What people decided on them, where anybody has.
    pub decisions: BTreeMap<FlawId, Decision>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Flaws whose pictures were left out because the disk was nearly full, or have been removed by rule:
    /// why, in words.
    pub crops_not_there: BTreeMap<FlawId, String>,
    /// How small a flaw its model finds, if that was measured.
    pub limits: Option<Limits>,
}

impl RollView {
    /// The latest run of a roll.
    ///
    /// # Errors
    /// When there is no such roll, naming some that there are.
    pub fn latest(store: &Store, roll: &Name) -> anyhow::Result<Self> {
        let Some(run) = store.latest_run(roll)? else {
            let known: Vec<String> = store
                .rolls()?
                .iter()
                .take(5)
                .map(|roll| roll.number.to_string())
                .collect();
            bail!(
                "found no roll {:?} in the store, expected one of those that `selvedge rolls` lists, such as {known:?}",
                roll.as_str()
            );
        };
        Self::of(store, run.id)
    }

    /// One run.
    ///
    /// # Errors
    /// What the store says.
    pub fn of(store: &Store, run: RunId) -> anyhow::Result<Self> {
        let about = store.run(run)?;
        Ok(Self {
            limits: limits_of(store, &about)?,
            run: about,
            coverage: store.coverage(run)?,
            flaws: store.flaws(run)?,
            decisions: decisions_of(store, run)?,
            events: store.events(run)?,
            crops_not_there: store.crops_not_there(run)?.into_iter().collect(),
        })
    }

    /// Length and width of the web in µm; of a run that has not ended, as far as its ledger goes.
    pub fn size_um(&self) -> (i64, i64) {
        let reach = |range: fn(&Rect) -> std::ops::Range<i64>| {
            let start = self
                .coverage
                .iter()
                .map(|cell| range(&cell.rect).start)
                .min();
            let end = self.coverage.iter().map(|cell| range(&cell.rect).end).max();
            end.unwrap_or(0) - start.unwrap_or(0)
        };
        (
            self.run.length_um.unwrap_or_else(|| reach(Rect::along)),
            self.run.width_um.unwrap_or_else(|| reach(Rect::across)),
        )
    }

    /// What a person must know before anything else: that this is not the whole roll.
    pub fn warning(&self) -> Option<String> {
        let why = self.run.message.as_deref().unwrap_or("it was ended early");
        match self.run.state {
            RunState::Done => None,
            RunState::Running => Some(
                "not ended: it is running, or was killed; what follows was not looked at"
                    .to_owned(),
            ),
            RunState::Aborted => Some(format!("aborted: {why}; what follows was not looked at")),
        }
    }

    /// True when nothing is to be told: no flaw, no gap, and the run came to its end.
    pub fn is_clean(&self) -> bool {
        let has_gap = |cell: &CoverageCell| matches!(cell.state, CoverState::Gap(_));
        self.flaws.is_empty()
            && !self.coverage.iter().any(has_gap)
            && self.run.state == RunState::Done
    }

    /// What repeats among its flaws.
    pub fn repeats(&self) -> Vec<Repeat> {
        let mut repeats = Repeats::default();
        for flaw in &self.flaws {
            repeats.see(&Spot::of_box(
                &flaw.rect.along(),
                &flaw.rect.across(),
                &flaw.class,
            ));
        }
        repeats.found()
    }

    /// What grading needs of it: flaws that a person rejected are none, and those of another class are of that. A word for a severity that is not known here counts as the gravest.
    ///
    /// # Errors
    /// When nothing of it was inspected, or no roll is as long.
    pub fn to_grade(&self) -> anyhow::Result<InspectedRoll> {
        let (length_um, _) = self.size_um();
        let severity = |word: &str| {
            let mut known = Severity::ALL.into_iter();
            let found = known.find(|severity| severity.as_str() == word);
            found.unwrap_or(Severity::Severe)
        };
        let is_rejected = |flaw: &&Flaw| self.decisions.get(&flaw.id) == Some(&Decision::Rejected);
        let class = |flaw: &Flaw| {
            let given = self.decisions.get(&flaw.id).and_then(Decision::class);
            let word = given.map_or(flaw.class.as_str(), Name::as_str);
            Class::from_word(word).unwrap_or(Class::Unknown)
        };
        let counted = self.flaws.iter().filter(|flaw| !is_rejected(flaw));
        let flaws = counted.map(|flaw| GradedFlaw {
            rect: flaw.rect,
            class: class(flaw),
            severity: severity(&flaw.severity),
            id: flaw.id.to_string(),
        });
        let missing = Missing {
            n_gaps: gap_rows(&self.coverage).len(),
            gap_um2: CoverageTotals::of(&self.coverage)?.gap_um2()?,
            ended_early: self.warning(),
        };
        InspectedRoll::new(length_um, &self.coverage, flaws.collect(), missing)
    }

    /// For machines.
    pub fn report(&self) -> RollReport {
        let (length_um, width_um) = self.size_um();
        let area = |wanted: &CoverState| {
            self.coverage
                .iter()
                .filter(|cell| cell.state == *wanted)
                .map(|cell| mm2(cell.rect.area_um2()))
                // The sum of nothing would be -0.0.
                .fold(0.0, |sum, area| sum + area)
        };
        RollReport {
            roll: self.run.roll_number.to_string(),
            article: self.run.article.to_string(),
            order: self.run.order.as_ref().map(ToString::to_string),
            run: self.run.id.to_string(),
            state: self.run.state.as_str().to_owned(),
            model: self.run.model.to_string(),
            length_mm: mm(length_um),
            width_mm: mm(width_um),
            cloth_width_mm: self.run.cloth_width.map(|width| ClothWidthReport {
                min: mm(width.min_um),
                mean: mm(width.mean_um),
                max: mm(width.max_um),
            }),
            length_known: self.run.length_known.as_str().to_owned(),
            inspected_mm2: area(&CoverState::Inspected),
            beside_mm2: area(&CoverState::Beside),
            gaps: gap_rows(&self.coverage),
            flaws: self
                .flaws
                .iter()
                .map(|flaw| FlawReport {
                    id: flaw.id.to_string(),
                    class: flaw.class.clone(),
                    along_mm: span(flaw.rect.along()),
                    across_mm: span(flaw.rect.across()),
                    length_mm: mm(flaw.length_um),
                    score: flaw.score,
                    severity: flaw.severity.clone(),
                    no_picture: self.crops_not_there.get(&flaw.id).cloned(),
                })
                .collect(),
            message: self.run.message.clone(),
            crops_left_out: self.n_crops_left_out(),
            crops_removed: self.crops_removed(),
            limits: self.limits.clone(),
            repeats: self.repeats().iter().map(RepeatReport::of).collect(),
            events: self
                .events
                .iter()
                .map(|event| EventReport {
                    kind: event.kind.clone(),
                    severity: event.severity.as_str().to_owned(),
                    message: event.message.clone(),
                })
                .collect(),
        }
    }

    fn n_crops_left_out(&self) -> usize {
        let whys = self.crops_not_there.values();
        whys.filter(|why| !is_removal(why)).count()
    }

    /// One entry for each day and rule.
    fn crops_removed(&self) -> Vec<RemovedReport> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for why in self.crops_not_there.values().filter(|why| is_removal(why)) {
            *counts.entry(why).or_default() += 1;
        }
        let removed = counts.into_iter().map(|(why, count)| RemovedReport {
            why: why.to_owned(),
            count,
        });
        removed.collect()
    }

    /// For people; reads the crops that the picture will show.
    ///
    /// # Errors
    /// When a crop in the store is damaged.
    pub fn picture(&self, store: &Store) -> anyhow::Result<RollPicture> {
        let (length_um, width_um) = self.size_um();
        let mut flaws: Vec<PicturedFlaw> = self
            .flaws
            .iter()
            .map(|flaw| PicturedFlaw {
                rect: flaw.rect,
                class: flaw.class.clone(),
                severity: flaw.severity.clone(),
                score: flaw.score,
                crop: None,
                place_in_crop: None,
                no_picture: self.crops_not_there.get(&flaw.id).cloned(),
            })
            .collect();
        for index in album(&flaws) {
            let id = self.flaws[index].id;
            let Some(crop) = store.crop(id)? else {
                continue;
            };
            let picture = image::load_from_memory(&crop.png)
                .with_context(|| format!("the crop of flaw {id} is damaged"))?;
            flaws[index].crop = Some(picture);
            flaws[index].place_in_crop = self.place_in_crop(&crop.place, &self.flaws[index].rect);
        }
        Ok(RollPicture {
            title: format!(
                "roll {}, article {}{}",
                self.run.roll_number,
                self.run.article,
                (self.run.order.as_ref()).map_or(String::new(), |order| format!(", order {order}"))
            ),
            subtitle: format!(
                "run {}, {}, model {}",
                self.run.id,
                self.run.state.as_str(),
                self.run.model.as_str().get(..12).unwrap_or_default()
            ),
            warning: self.warning().unwrap_or_default(),
            length_um,
            width_um,
            cloth_width: self.run.cloth_width,
            coverage: self.coverage.clone(),
            flaws,
        })
    }
}

impl RollView {
    /// Columns and rows of a flaw in its crop; `None` where they are not certain: a box beside the flaw
    /// is worse than none. Behind a measured lens columns are no straight function of pixels.
    fn place_in_crop(
        &self,
        crop: &CropPlace,
        flaw: &Rect,
    ) -> Option<(Range<u32>, Option<Range<u32>>)> {
        // The ledger has an entry for each frame at least.
        let meets = |a: Range<i64>, b: Range<i64>| a.start < b.end && b.start < a.end;
        let holds_flaw = |cell: &&CoverageCell| {
            meets(cell.rect.along(), flaw.along()) && meets(cell.rect.across(), flaw.across())
        };
        let cells = self.coverage.iter().filter(holds_flaw);
        let calibration: serde_json::Value =
            serde_json::from_str(&self.run.calibration_json).ok()?;
        if !calibration["profile"].is_null() {
            return None;
        }
        let lane = &calibration["lanes"][crop.lane as usize];
        let um_of = |key: &str| Some(1e3 * lane[key].as_f64()?);
        let scale = PxScale {
            across_um: um_of("mm_per_px")?,
            along_um: um_of("mm_per_line")?,
            offset_um: lane["offset_um"].as_i64()?,
        };
        let place = place_in_crop(crop, flaw, cells.map(|cell| cell.rect.along()), &scale);
        Some(place).filter(|(_, rows)| rows.is_some())
    }
}

/// The gaps of a ledger in its order, joined where they follow each other along for one reason and in
/// the first one's width, give or take [`WANDERS_UM`] at each side.
fn gap_rows(coverage: &[CoverageCell]) -> Vec<GapReport> {
    struct Row<'a> {
        along: Range<i64>,
        across: Range<i64>,
        /// Of its first gap: an edge may wander around that, and not away from it.
        first_across: Range<i64>,
        reason: &'a str,
        um2: i64,
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    // Those that more may follow.
    let mut open: Vec<usize> = Vec::new();
    let is_near = |one: i64, other: i64| (one - other).abs() <= WANDERS_UM;
    for cell in coverage {
        let CoverState::Gap(reason) = &cell.state else {
            continue;
        };
        let (along, across) = (cell.rect.along(), cell.rect.across());
        open.retain(|row| rows[*row].along.end >= along.start);
        let before = open.iter().copied().find(|row| {
            let row = &rows[*row];
            row.reason == reason
                && row.along.end == along.start
                && is_near(row.first_across.start, across.start)
                && is_near(row.first_across.end, across.end)
        });
        if let Some(row) = before.map(|row| &mut rows[row]) {
            row.along.end = along.end;
            row.across.start = row.across.start.min(across.start);
            row.across.end = row.across.end.max(across.end);
            row.um2 += cell.rect.area_um2();
        } else {
            open.push(rows.len());
            rows.push(Row {
                along,
                first_across: across.clone(),
                across,
                reason,
                um2: cell.rect.area_um2(),
            });
        }
    }
    rows.into_iter()
        .map(|row| GapReport {
            along_mm: span(row.along),
            across_mm: span(row.across),
            area_mm2: mm2(row.um2),
            reason: row.reason.to_owned(),
        })
        .collect()
}

impl RepeatReport {
    fn of(repeat: &Repeat) -> Self {
        let (kind, period) = match repeat.cause {
            RepeatCause::Period(period) => ("period", Some(period)),
            RepeatCause::FixedAcross => ("fixed_across", None),
        };
        Self {
            kind: kind.to_owned(),
            period_mm: period.map(mm_from_um),
            roller_diameter_mm: repeat.roller_diameter().map(mm_from_um),
            across_mm: mm_from_um(repeat.across),
            along_mm: repeat.along.map(mm_from_um),
            count: repeat.count,
            class: repeat.class.clone(),
        }
    }
}

/// What people decided on the flaws of a run and did not take back.
fn decisions_of(store: &Store, run: RunId) -> anyhow::Result<BTreeMap<FlawId, Decision>> {
    let given = FlawsFilter {
        verdict: Some(VerdictFilter::Given),
        ..FlawsFilter::default()
    };
    let (mut decisions, mut after) = (BTreeMap::new(), None);
    loop {
        let page = store.flaws_page(run, &given, &FlawsOrder::Along, after, AT_ONCE)?;
        let decided = page.rows.into_iter();
        decisions.extend(decided.filter_map(|judged| Some((judged.flaw.id, judged.decision?))));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(decisions),
        }
    }
}

/// The detection limits in the passport of the model that a run used, as the store keeps it. Of a
/// passport of another version nothing is known.
fn limits_of(store: &Store, run: &Run) -> anyhow::Result<Option<Limits>> {
    let model = store.model(&run.model)?;
    let passport =
        model.and_then(|model| serde_json::from_str::<Passport>(&model.passport_json).ok());
    Ok(passport.and_then(|passport| passport.limits))
}

fn mm(um: i64) -> f64 {
    um as f64 / 1e3
}

fn mm2(um2: i64) -> f64 {
    um2 as f64 / 1e6
}

fn span(range: std::ops::Range<i64>) -> [f64; 2] {
    [mm(range.start), mm(range.end)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(cells: &[([i64; 2], [i64; 2], &str)]) -> Vec<String> {
        let cells = cells.iter().map(|([from, to], [left, right], reason)| {
            let state = match *reason {
                "" => CoverState::Inspected,
                reason => CoverState::Gap(reason.to_owned()),
            };
            let mm = |from: i64, to: i64| from * 1000..to * 1000;
            CoverageCell {
                rect: Rect::new(mm(*from, *to), mm(*left, *right)).unwrap(),
                state,
            }
        });
        let rows = gap_rows(&cells.collect::<Vec<_>>());
        let said = |row: &GapReport| {
            let GapReport {
                along_mm,
                across_mm,
                area_mm2,
                reason,
            } = row;
            format!("{along_mm:?} {across_mm:?} {reason}, {area_mm2} mm²")
        };
        rows.iter().map(said).collect()
    }

    #[test]
    fn touching_gaps_of_one_reason_and_width_are_told_as_one() {
        let lanes = [
            ([0, 25], [0, 100], "frame_lost"),
            ([0, 25], [100, 200], "overload"),
            ([25, 50], [0, 100], "frame_lost"),
            ([25, 50], [100, 200], "overload"),
            ([50, 75], [0, 100], ""),
        ];
        assert_eq!(
            told(&lanes),
            [
                "[0.0, 50.0] [0.0, 100.0] frame_lost, 5000 mm²",
                "[0.0, 50.0] [100.0, 200.0] overload, 5000 mm²"
            ]
        );
    }

    #[test]
    fn an_edge_that_wanders_makes_no_new_gap_and_the_area_stays_exact() {
        let wandering = [([0, 10], [0, 100], "no"), ([10, 20], [2, 98], "no")];
        assert_eq!(told(&wandering), ["[0.0, 20.0] [0.0, 100.0] no, 1960 mm²"]);
    }

    #[test]
    fn gaps_that_are_apart_of_other_width_or_other_reason_are_told_each() {
        let apart = [
            ([0, 25], [0, 100], "too_dark"),
            ([26, 50], [0, 100], "too_dark"),
            ([50, 75], [0, 94], "too_dark"),
            ([75, 99], [0, 94], "saturated"),
        ];
        assert_eq!(told(&apart).len(), 4);
    }
}
