//! Looking into the store: rolls, runs, the ledger, flaws in cloth order, crops.
//!
//! Every call is one short query; nothing here holds a transaction, so a page that is slow never
//! makes the line wait. Pictures are read one by one. Grading is not done here.

use crate::append::{Crop, CropPlace, EventSeverity};
use crate::coverage::{CoverageCell, CoverageTotals};
use crate::names::{FlawId, Name, RollId, RunId};
use crate::rect::Rect;
use crate::retention::REMOVED_LIKE;
use crate::runs::{Run, RunState, known_run};
use crate::{Store, StoreError, rows};

/// One roll in the list, as its latest run left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollSummary {
    /// The piece of cloth.
    pub roll: RollId,
    /// Its number.
    pub number: Name,
    /// Its style.
    pub article: Name,
    /// How often it was inspected.
    pub n_runs: i64,
    /// The latest run.
    pub latest_run: RunId,
    /// Where the latest run stands; [`RunState::Running`] also when its process was killed.
    pub state: RunState,
    /// When the latest run was begun, microseconds since 1970 UTC.
    pub started_at_us: i64,
    /// The latest run's length, micrometres; none before its end.
    pub length_um: Option<i64>,
    /// Flaws of the latest run.
    pub n_flaws: i64,
    /// Cloth that the latest run did not look at, square micrometres.
    pub gap_um2: i64,
}

/// A flaw as the store holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Flaw {
    /// Its row.
    pub id: FlawId,
    /// Its class, by the pipeline's word.
    pub class: String,
    /// Its box on the web.
    pub rect: Rect,
    /// Its length, micrometres.
    pub length_um: i64,
    /// Its area, square micrometres.
    pub area_um2: i64,
    /// Its largest score; 1.0 is the threshold.
    pub score: f64,
    /// Its severity, by the pipeline's word.
    pub severity: String,
    /// When it was found, microseconds since 1970 UTC.
    pub found_at_us: i64,
    /// Whether it has a picture.
    pub has_crop: bool,
}

/// What is kept of a picture that there was no room for, or that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CropLeftOut {
    /// Where it would have been cut out.
    pub place: CropPlace,
    /// Why it was left out.
    pub why: String,
}

/// A region below the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its box on the web.
    pub rect: Rect,
    /// Its largest score.
    pub score: f64,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, microseconds since 1970 UTC.
    pub at_us: i64,
    /// What kind, by the pipeline's word.
    pub kind: String,
    /// How much it matters.
    pub severity: EventSeverity,
    /// For people.
    pub message: String,
}

impl Store {
    /// All rolls, the latest inspected first.
    ///
    /// # Errors
    /// The database's only, here and below unless said.
    pub fn rolls(&self) -> Result<Vec<RollSummary>, StoreError> {
        let sql = "SELECT rolls.id, rolls.number, articles.name, \
             (SELECT COUNT(*) FROM runs AS every WHERE every.roll = rolls.id), \
             runs.id, runs.state, runs.started_at, runs.length_um, \
             (SELECT COUNT(*) FROM flaws WHERE flaws.run = runs.id), \
             (SELECT CAST(COALESCE(SUM((along1 - along0) * (across1 - across0)), 0) AS BIGINT) \
              FROM coverage WHERE coverage.run = runs.id AND coverage.state = 'gap') \
             FROM rolls JOIN articles ON articles.id = rolls.article \
             JOIN runs ON runs.id = (SELECT latest.id FROM runs AS latest \
              WHERE latest.roll = rolls.id ORDER BY latest.started_at DESC, latest.id DESC LIMIT 1) \
             ORDER BY runs.started_at DESC, runs.id DESC";
        self.database
            .query(sql, &[])?
            .iter()
            .map(rows::roll_summary)
            .collect()
    }

    /// Every run of every roll that bears this number, the latest first.
    ///
    /// # Errors
    /// The database's only; an unknown number has none.
    pub fn runs_of(&self, roll: &Name) -> Result<Vec<Run>, StoreError> {
        let sql = format!(
            "{} WHERE rolls.number = $1 ORDER BY runs.started_at DESC, runs.id DESC",
            rows::SELECT_RUN
        );
        self.database
            .query(&sql, &[roll.as_str().into()])?
            .iter()
            .map(rows::run)
            .collect()
    }

    /// The latest run of the rolls that bear this number.
    ///
    /// # Errors
    /// The database's only.
    pub fn latest_run(&self, roll: &Name) -> Result<Option<Run>, StoreError> {
        let sql = format!(
            "{} WHERE rolls.number = $1 ORDER BY runs.started_at DESC, runs.id DESC LIMIT 1",
            rows::SELECT_RUN
        );
        let found = self.database.query(&sql, &[roll.as_str().into()])?;
        found.first().map(rows::run).transpose()
    }

    /// One run.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when there is none.
    pub fn run(&self, run: RunId) -> Result<Run, StoreError> {
        known_run(&*self.database, run)
    }

    /// The ledger of a run, in cloth order.
    ///
    /// # Errors
    /// The database's only.
    pub fn coverage(&self, run: RunId) -> Result<Vec<CoverageCell>, StoreError> {
        let sql = "SELECT along0, along1, across0, across1, state, reason FROM coverage \
                   WHERE run = $1 ORDER BY along0, across0, along1, across1, id";
        self.of_run(sql, run)?
            .iter()
            .map(rows::coverage_cell)
            .collect()
    }

    /// The ledger of a run, added up.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a sum is beyond `i64`.
    pub fn coverage_totals(&self, run: RunId) -> Result<CoverageTotals, StoreError> {
        CoverageTotals::of(&self.coverage(run)?)
    }

    /// The flaws of a run, in cloth order: by where they begin, then from the left.
    ///
    /// # Errors
    /// The database's only.
    pub fn flaws(&self, run: RunId) -> Result<Vec<Flaw>, StoreError> {
        let sql = "SELECT flaws.along0, flaws.along1, flaws.across0, flaws.across1, flaws.id, class, \
                   length_um, area_um2, score, severity, found_at, crops.flaw \
                   FROM flaws LEFT JOIN crops ON crops.flaw = flaws.id WHERE run = $1 \
                   ORDER BY along0, across0, along1, across1, flaws.id";
        self.of_run(sql, run)?.iter().map(rows::flaw).collect()
    }

    /// The picture of a flaw, if it has one.
    ///
    /// # Errors
    /// The database's only.
    pub fn crop(&self, flaw: FlawId) -> Result<Option<Crop>, StoreError> {
        let sql = "SELECT lane, frame, x_px, y_px, width_px, height_px, margin_px, png \
                   FROM crops WHERE flaw = $1";
        let found = self.database.query(sql, &[flaw.as_bytes()[..].into()])?;
        found.first().map(rows::crop).transpose()
    }

    /// What is kept of a flaw's picture when it was left out for want of room, or was removed.
    ///
    /// # Errors
    /// The database's only.
    pub fn crop_left_out(&self, flaw: FlawId) -> Result<Option<CropLeftOut>, StoreError> {
        let sql = "SELECT lane, frame, x_px, y_px, width_px, height_px, margin_px, why \
                   FROM crops_left_out WHERE flaw = $1";
        let found = self.database.query(sql, &[flaw.as_bytes()[..].into()])?;
        found.first().map(rows::crop_left_out).transpose()
    }

    /// How many of a run's flaws have no picture because there was no room for it.
    ///
    /// # Errors
    /// The database's only.
    pub fn crops_left_out(&self, run: RunId) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM crops_left_out JOIN flaws ON flaws.id = crops_left_out.flaw \
                   WHERE flaws.run = $1 AND NOT why LIKE $2";
        let values = [run.as_bytes()[..].into(), REMOVED_LIKE.into()];
        self.database
            .query(sql, &values)?
            .first()
            .map_or(Ok(0), |row| row.int(0))
    }

    /// Those of a run's flaws that have lost their picture, or never had it for want of room, and why;
    /// [`crate::is_removal`] tells the two.
    ///
    /// # Errors
    /// The database's only.
    pub fn crops_not_there(&self, run: RunId) -> Result<Vec<(FlawId, String)>, StoreError> {
        let sql = "SELECT flaws.id, why FROM crops_left_out \
                   JOIN flaws ON flaws.id = crops_left_out.flaw WHERE flaws.run = $1 \
                   ORDER BY flaws.id";
        let found = self.of_run(sql, run)?;
        found
            .iter()
            .map(|row| Ok((FlawId::from_uuid(row.uuid(0)?), row.text(1)?.to_owned())))
            .collect()
    }

    /// What stayed below the threshold, in cloth order.
    ///
    /// # Errors
    /// The database's only.
    pub fn candidates(&self, run: RunId) -> Result<Vec<Candidate>, StoreError> {
        let sql = "SELECT along0, along1, across0, across1, score FROM candidates \
                   WHERE run = $1 ORDER BY along0, across0, along1, across1, id";
        self.of_run(sql, run)?.iter().map(rows::candidate).collect()
    }

    /// What happened during a run, in order of time.
    ///
    /// # Errors
    /// The database's only.
    pub fn events(&self, run: RunId) -> Result<Vec<Event>, StoreError> {
        let sql = "SELECT at, kind, severity, message FROM events WHERE run = $1 ORDER BY at, id";
        self.of_run(sql, run)?.iter().map(rows::event).collect()
    }

    /// The latest `n_most` events that belong to no run, the latest first.
    ///
    /// # Errors
    /// The database's only.
    pub fn loose_events(&self, n_most: u32) -> Result<Vec<Event>, StoreError> {
        let sql = "SELECT at, kind, severity, message FROM events WHERE run IS NULL \
                   ORDER BY at DESC, id DESC LIMIT $1";
        self.database
            .query(sql, &[i64::from(n_most).into()])?
            .iter()
            .map(rows::event)
            .collect()
    }

    fn of_run(&self, sql: &str, run: RunId) -> Result<Vec<crate::database::Row>, StoreError> {
        self.database.query(sql, &[run.as_bytes()[..].into()])
    }
}
