//! Rolls in pages, for people who look for one: the newest first, or those first that need a person.
//!
//! A roll is shown by its latest run. It needs a person while that run has flaws without a verdict that
//! stands; that is counted for no more runs than a page takes. Counts are made when they are asked for, from indices alone: there is no tally that could be wrong.
//! A page is a few queries; a roll that is inspected meanwhile stands on the next first page.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use crate::database::{Conditions, Row, Value, placeholders};
use crate::names::{Name, RollId, RunId};
use crate::page::{Page, is_nobody_s, page_length};
use crate::runs::{RunState, known_run};
use crate::{Store, StoreError, rows};

/// Runs whose counts are asked for together.
const N_COUNTED: usize = 50;

/// Which rolls; what is left out is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollsFilter {
    /// Whose number has this in it, in whatever case.
    pub number_part: Option<String>,
    /// Of this article.
    pub article: Option<Name>,
    /// Whose latest run stands so.
    pub state: Option<RunState>,
    /// Whose latest run was begun at this time or later, microseconds since 1970 UTC.
    pub from_us: Option<i64>,
    /// Whose latest run was begun before this time.
    pub to_us: Option<i64>,
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollsOrder {
    /// The latest run first.
    Latest,
    /// Those that need a person first, each part by the latest run.
    NeedsFirst,
}

/// Where a page of rolls ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollsPlace {
    /// Whether it was still among those that need a person.
    is_in_need: bool,
    run: RunId,
}

impl fmt::Display for RollsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.is_in_need { "needs" } else { "rest" };
        write!(f, "{part}.{}", self.run)
    }
}

impl FromStr for RollsPlace {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<RollsPlace, StoreError> {
        let place = match text.split_once('.') {
            Some(("needs", run)) => run.parse().ok().map(|run| (true, run)),
            Some(("rest", run)) => run.parse().ok().map(|run| (false, run)),
            Some(_) | None => None,
        };
        let Some((is_in_need, run)) = place else {
            return Err(StoreError::Invalid {
                what: "place among rolls",
                found: format!("{:?}", text.chars().take(64).collect::<String>()),
                expected: "what a page before said".to_owned(),
            });
        };
        Ok(RollsPlace { is_in_need, run })
    }
}

/// One roll in the list, as its latest run left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollRow {
    /// The piece of cloth.
    pub roll: RollId,
    /// Its number.
    pub number: Name,
    /// Its style.
    pub article: Name,
    /// Where it was inspected, if that has a name.
    pub station: Option<Name>,
    /// The order that it was inspected for, where one was said.
    pub order: Option<Name>,
    /// The run that is shown: its latest.
    pub run: RunId,
    /// How often it was inspected.
    pub n_runs: i64,
    /// Where the run stands; [`RunState::Running`] also when its process was killed.
    pub state: RunState,
    /// When it was begun, microseconds since 1970 UTC.
    pub started_at_us: i64,
    /// When it ended.
    pub ended_at_us: Option<i64>,
    /// Its length, micrometres; none before its end.
    pub length_um: Option<i64>,
    /// Width of the web, micrometres; none before its end.
    pub width_um: Option<i64>,
    /// Its flaws, counted.
    pub counts: FlawCounts,
    /// Cloth that was looked at, square micrometres.
    pub inspected_um2: i64,
    /// Cloth that was not, by reason, square micrometres.
    pub gaps_um2: BTreeMap<String, i64>,
}

/// Flaws of a run, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlawCounts {
    /// By severity, as the line said it.
    pub by_severity: BTreeMap<String, i64>,
    /// All.
    pub n_flaws: i64,
    /// Those without a verdict that stands.
    pub n_unreviewed: i64,
    /// Those that were confirmed.
    pub n_confirmed: i64,
    /// Those that are none.
    pub n_rejected: i64,
    /// Those of another class.
    pub n_reclassified: i64,
}

impl FlawCounts {
    /// Counts flaws with the same verdict; none is without.
    pub(crate) fn judge(&mut self, decision: &str, n: i64) {
        match decision {
            "confirmed" => self.n_confirmed += n,
            "rejected" => self.n_rejected += n,
            _ => self.n_reclassified += n,
        }
        self.n_unreviewed -= n;
    }

    /// Counts flaws of a severity, none of them judged yet.
    pub(crate) fn find(&mut self, severity: &str, n: i64) {
        *self.by_severity.entry(severity.to_owned()).or_default() += n;
        self.n_flaws += n;
        self.n_unreviewed += n;
    }
}

const SELECT_ROLL: &str = "SELECT rolls.id, rolls.number, articles.name, stations.name, \
    runs.order_number, runs.id, \
    (SELECT COUNT(*) FROM runs AS every WHERE every.roll = rolls.id), runs.state, \
    runs.started_at, runs.ended_at, runs.length_um, runs.width_um \
    FROM runs JOIN rolls ON rolls.id = runs.roll JOIN articles ON articles.id = rolls.article \
    LEFT JOIN stations ON stations.id = runs.station";

/// That a run is its roll's latest.
pub(crate) const IS_LATEST: &str = "NOT EXISTS (SELECT 1 FROM runs AS later \
    WHERE later.roll = runs.roll AND (later.started_at, later.id) > (runs.started_at, runs.id))";

impl Store {
    /// Rolls that `filter` takes, in pages.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when `after` names a run that is not there, and the database's.
    pub fn rolls_page(
        &self,
        filter: &RollsFilter,
        order: RollsOrder,
        after: Option<&RollsPlace>,
        n_most: u32,
    ) -> Result<Page<RollRow, RollsPlace>, StoreError> {
        let n_most = page_length(n_most) as usize;
        if filter.number_part.as_deref().is_some_and(is_nobody_s) {
            return Ok(Page {
                rows: Vec::new(),
                next: None,
            });
        }
        let after = match after {
            None => None,
            Some(place) => {
                let run = known_run(&*self.database, place.run)?;
                Some((place.is_in_need, (run.started_at_us, place.run)))
            }
        };
        let mut found: Vec<RollsPlace> = Vec::new();
        let places = |runs: Vec<RunId>, is_in_need| {
            let place = move |run| RollsPlace { is_in_need, run };
            runs.into_iter().map(place)
        };
        match (order, after) {
            (RollsOrder::Latest, after) => {
                let behind = after.map(|(_, place)| place);
                let runs = self.such_runs(filter, behind, Some(n_most + 1))?;
                found.extend(places(runs, false));
            }
            (RollsOrder::NeedsFirst, Some((false, place))) => {
                let runs = self.such_runs(filter, Some(place), None)?;
                let runs = self.in_need(&runs, false, n_most + 1)?;
                found.extend(places(runs, false));
            }
            (RollsOrder::NeedsFirst, after) => {
                let behind = after.map(|(_, place)| place);
                let runs = self.such_runs(filter, behind, None)?;
                found.extend(places(self.in_need(&runs, true, n_most + 1)?, true));
                let n_left = (n_most + 1).saturating_sub(found.len());
                if n_left > 0 {
                    // Those that need nobody begin with the newest again.
                    let runs = self.such_runs(filter, None, None)?;
                    found.extend(places(self.in_need(&runs, false, n_left)?, false));
                }
            }
        }
        let page = Page::of(found, n_most, |place| *place);
        let runs: Vec<RunId> = page.rows.iter().map(|place| place.run).collect();
        Ok(Page {
            rows: self.roll_rows(&runs)?,
            next: page.next,
        })
    }

    /// One run in the same words, whether it is its roll's latest or not.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when there is none.
    pub fn roll_row(&self, run: RunId) -> Result<RollRow, StoreError> {
        let mut rows = self.roll_rows(&[run])?;
        rows.pop()
            .ok_or_else(|| crate::articles::unknown(&*self.database, "run", &run.to_string()))
    }

    /// These runs in this order, with everything counted.
    fn roll_rows(&self, runs: &[RunId]) -> Result<Vec<RollRow>, StoreError> {
        let mut rows = Vec::with_capacity(runs.len());
        for some in runs.chunks(N_COUNTED) {
            let sql = format!(
                "{SELECT_ROLL} WHERE runs.id IN ({})",
                placeholders(1, N_COUNTED)
            );
            let found = self.database.query(&sql, &padded(some))?;
            let found = found.iter().map(uncounted).collect::<Result<Vec<_>, _>>()?;
            let mut found: HashMap<RunId, RollRow> =
                found.into_iter().map(|row| (row.run, row)).collect();
            let mut counted: Vec<RollRow> =
                some.iter().filter_map(|run| found.remove(run)).collect();
            self.count(some, &mut counted)?;
            rows.append(&mut counted);
        }
        Ok(rows)
    }

    /// The first `n_most` of these runs that need a person, or that need nobody. Both counts are read off
    /// indices, for no more runs than it takes.
    fn in_need(
        &self,
        runs: &[RunId],
        is_in_need: bool,
        n_most: usize,
    ) -> Result<Vec<RunId>, StoreError> {
        let sql = format!(
            "SELECT runs.id, (SELECT COUNT(*) FROM flaws WHERE flaws.run = runs.id), \
             (SELECT COUNT(*) FROM verdicts WHERE verdicts.run = runs.id AND verdicts.standing = 1) \
             FROM runs WHERE runs.id IN ({})",
            placeholders(1, N_COUNTED)
        );
        let mut found = Vec::new();
        for some in runs.chunks(N_COUNTED) {
            let mut needing = HashSet::new();
            for row in self.database.query(&sql, &padded(some))? {
                if row.int(1)? > row.int(2)? {
                    needing.insert(RunId::from_uuid(row.uuid(0)?));
                }
            }
            found.extend(
                some.iter()
                    .filter(|run| needing.contains(*run) == is_in_need),
            );
            if found.len() >= n_most {
                break;
            }
        }
        found.truncate(n_most);
        Ok(found)
    }

    /// The latest runs of rolls that `filter` takes, the newest first, from behind a place on.
    fn such_runs(
        &self,
        filter: &RollsFilter,
        behind: Option<(i64, RunId)>,
        n_most: Option<usize>,
    ) -> Result<Vec<RunId>, StoreError> {
        let part = filter.number_part.as_deref().map(like);
        let mut such = Conditions::new(
            "SELECT runs.id FROM runs JOIN rolls ON rolls.id = runs.roll \
             JOIN articles ON articles.id = rolls.article",
        );
        such.and_plain(IS_LATEST);
        if let Some(part) = &part {
            let bound = such.bind(part.as_str().into());
            such.and_plain(&format!(
                "lower(rolls.number) LIKE lower({bound}) ESCAPE '!'"
            ));
        }
        if let Some(article) = &filter.article {
            such.and("articles.name = ", article.as_str().into());
        }
        if let Some(state) = filter.state {
            such.and("runs.state = ", state.as_str().into());
        }
        if let Some(from) = filter.from_us {
            such.and("runs.started_at >= ", from.into());
        }
        if let Some(to) = filter.to_us {
            such.and("runs.started_at < ", to.into());
        }
        if let Some((started_at, run)) = &behind {
            let values = [(*started_at).into(), run.as_bytes()[..].into()];
            such.and_below("(runs.started_at, runs.id)", &values);
        }
        // No store has so many rolls.
        let n_most = n_most.map_or(i64::MAX, |n| n as i64);
        such.end(
            " ORDER BY runs.started_at DESC, runs.id DESC LIMIT ",
            n_most.into(),
        );
        let found = self.database.query(such.sql(), such.values())?;
        found
            .iter()
            .map(|row| row.uuid(0).map(RunId::from_uuid))
            .collect()
    }

    /// Counts flaws, verdicts and cloth of these runs.
    fn count(&self, runs: &[RunId], rows: &mut [RollRow]) -> Result<(), StoreError> {
        let ids = padded(runs);
        let among = placeholders(1, N_COUNTED);
        let mut of_run: HashMap<RunId, &mut RollRow> =
            rows.iter_mut().map(|row| (row.run, row)).collect();
        let mut each = |sql: String, add: Add| -> Result<(), StoreError> {
            for row in self.database.query(&sql, &ids)? {
                if let Some(of) = of_run.get_mut(&RunId::from_uuid(row.uuid(0)?)) {
                    add(of, &row)?;
                }
            }
            Ok(())
        };
        // Grouped as their indices are ordered, so that nothing is sorted.
        each(
            format!(
                "SELECT run, severity, COUNT(*) FROM flaws WHERE run IN ({among}) \
                 GROUP BY run, class, severity"
            ),
            |of, row| {
                of.counts.find(row.text(1)?, row.int(2)?);
                Ok(())
            },
        )?;
        each(
            format!(
                "SELECT run, decision, COUNT(*) FROM verdicts \
                 WHERE standing = 1 AND run IN ({among}) GROUP BY run, found_class, decision"
            ),
            |of, row| {
                of.counts.judge(row.text(1)?, row.int(2)?);
                Ok(())
            },
        )?;
        each(
            format!(
                "SELECT run, state, reason, \
                 CAST(SUM((along1 - along0) * (across1 - across0)) AS BIGINT) FROM coverage \
                 WHERE run IN ({among}) AND state <> 'beside' GROUP BY run, state, reason"
            ),
            |of, row| {
                let um2 = row.int(3)?;
                match row.text(1)? {
                    "gap" => drop(of.gaps_um2.insert(rows::text(row, 2)?, um2)),
                    _ => of.inspected_um2 = um2,
                }
                Ok(())
            },
        )
    }
}

/// Adds what a row of an answer says to a roll.
type Add = fn(&mut RollRow, &Row) -> Result<(), StoreError>;

/// The ids of these runs, always [`N_COUNTED`]: one statement, however many there are.
fn padded(runs: &[RunId]) -> Vec<Value<'_>> {
    let ids = runs.iter().cycle().take(N_COUNTED);
    ids.map(|run| run.as_bytes()[..].into()).collect()
}

/// What has `part` in it, for LIKE.
fn like(part: &str) -> String {
    let mut like = String::with_capacity(part.len() + 2);
    like.push('%');
    for c in part.chars() {
        if matches!(c, '%' | '_' | '!') {
            like.push('!');
        }
        like.push(c);
    }
    like.push('%');
    like
}

fn uncounted(row: &Row) -> Result<RollRow, StoreError> {
    Ok(RollRow {
        roll: RollId::from_uuid(row.uuid(0)?),
        number: rows::name(row, 1)?,
        article: rows::name(row, 2)?,
        station: row.optional(3, rows::name)?,
        order: row.optional(4, rows::name)?,
        run: RunId::from_uuid(row.uuid(5)?),
        n_runs: row.int(6)?,
        state: rows::run_state(row, 7)?,
        started_at_us: row.int(8)?,
        ended_at_us: row.optional(9, rows::int)?,
        length_um: row.optional(10, rows::int)?,
        width_um: row.optional(11, rows::int)?,
        counts: FlawCounts::default(),
        inspected_um2: 0,
        gaps_um2: BTreeMap::new(),
    })
}
