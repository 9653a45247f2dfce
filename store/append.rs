//! What a run finds and covers, written batch by batch while the cloth moves.
//!
//! ```text
//! Batch ──▶ one transaction ──▶ synced to the disk ──▶ ids, which may now be announced
//! ```
//!
//! A batch is wholly in the store or not at all, a flaw never without its crop. Nothing is ever
//! taken out or changed here (`retention` does that); verdicts are other rows.

use crate::coverage::{self, CoverageCell};
use crate::database::{Database, Value, transaction};
use crate::names::{FlawId, RunId, fresh_id};
use crate::rect::Rect;
use crate::{Store, StoreError, runs};

/// What became known of a run since the last batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Pieces of the ledger, in the order they left the line.
    pub coverage: Vec<CoverageCell>,
    /// Flaws that are whole.
    pub flaws: Vec<NewFlaw>,
    /// What stayed below the threshold.
    pub candidates: Vec<NewCandidate>,
    /// What happened.
    pub events: Vec<NewEvent>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.coverage.is_empty()
            && self.flaws.is_empty()
            && self.candidates.is_empty()
            && self.events.is_empty()
    }
}

/// A flaw to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFlaw {
    /// Its class, by the pipeline's word.
    pub class: String,
    /// Its box on the web.
    pub rect: Rect,
    /// Its length, micrometres; not always the box's.
    pub length_um: i64,
    /// Its area, square micrometres.
    pub area_um2: i64,
    /// Its largest score; 1.0 is the threshold.
    pub score: f64,
    /// Its severity, by the pipeline's word.
    pub severity: String,
    /// When it was found, microseconds since 1970 UTC.
    pub found_at_us: i64,
    /// Its picture, if one was cut out.
    pub crop: Option<NewCrop>,
}

/// The picture of a flaw to be written, or what is kept instead when there is no room for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewCrop {
    /// The picture.
    Kept(Crop),
    /// Only where it would have been cut out.
    LeftOut {
        /// Where.
        place: CropPlace,
        /// Why, for people.
        why: String,
    },
}

/// The picture of a flaw: lossless and uncorrected, with a margin around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    /// A PNG file.
    pub png: Vec<u8>,
    /// Where it was cut out.
    pub place: CropPlace,
}

/// Where a crop was cut out, in pixels of the raw frame, margin included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropPlace {
    /// The lane, from 0 at the left.
    pub lane: u32,
    /// The frame's sequence number.
    pub frame: u64,
    /// Left column.
    pub x_px: u32,
    /// Top line.
    pub y_px: u32,
    /// Width.
    pub width_px: u32,
    /// Height.
    pub height_px: u32,
    /// How much of it, on each side, is not the flaw.
    pub margin_px: u32,
}

/// A region below the threshold, to be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewCandidate {
    /// Its box on the web.
    pub rect: Rect,
    /// Its largest score; below 1.0.
    pub score: f64,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventSeverity {
    /// For the record.
    Info,
    /// Something recovered.
    Warning,
    /// Cloth was lost, or a person must act.
    Error,
}

impl EventSeverity {
    /// The word in the tables.
    pub fn as_str(self) -> &'static str {
        match self {
            EventSeverity::Info => "info",
            EventSeverity::Warning => "warning",
            EventSeverity::Error => "error",
        }
    }
}

/// Something that happened, to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
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
    /// Writes a batch of a running run and returns the ids of its flaws, in the batch's order.
    ///
    /// When this returns `Ok`, all of it survives a power cut; after an error none of it is there.
    ///
    /// # Errors
    /// [`StoreError::RunEnded`], [`StoreError::RunHeld`] when another process writes it,
    /// [`StoreError::Unknown`] for a run that is not there, [`StoreError::Invalid`] for a score
    /// that is no number or a gap without a reason, and the disk's: [`StoreError::DiskFull`],
    /// [`StoreError::ReadOnly`], [`StoreError::Busy`].
    pub fn append(&mut self, run: RunId, batch: &Batch) -> Result<Vec<FlawId>, StoreError> {
        runs::hold(&*self.database, run)?;
        transaction(&*self.database, |database| {
            runs::touch(database, run)?;
            coverage::append(database, run, &batch.coverage)?;
            let flaws = batch
                .flaws
                .iter()
                .map(|flaw| append_flaw(database, run, flaw));
            let ids = flaws.collect::<Result<Vec<FlawId>, StoreError>>()?;
            for candidate in &batch.candidates {
                append_candidate(database, run, candidate)?;
            }
            for event in &batch.events {
                append_event(database, Some(run), event)?;
            }
            Ok(ids)
        })
    }

    /// Writes an event that belongs to no run.
    ///
    /// # Errors
    /// The database's only.
    pub fn record_event(&mut self, event: &NewEvent) -> Result<(), StoreError> {
        transaction(&*self.database, |database| {
            append_event(database, None, event)
        })
    }
}

fn append_flaw(database: &dyn Database, run: RunId, flaw: &NewFlaw) -> Result<FlawId, StoreError> {
    let id = FlawId::fresh();
    let (along, across) = (flaw.rect.along(), flaw.rect.across());
    let sql = "INSERT INTO flaws (id, run, class, along0, along1, across0, across1, length_um, \
               area_um2, score, severity, found_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    database.execute(
        sql,
        &[
            id.as_bytes()[..].into(),
            run.as_bytes()[..].into(),
            flaw.class.as_str().into(),
            along.start.into(),
            along.end.into(),
            across.start.into(),
            across.end.into(),
            flaw.length_um.into(),
            flaw.area_um2.into(),
            finite(flaw.score)?.into(),
            flaw.severity.as_str().into(),
            flaw.found_at_us.into(),
        ],
    )?;
    match &flaw.crop {
        Some(NewCrop::Kept(crop)) => {
            let sql = "INSERT INTO crops (flaw, lane, frame, x_px, y_px, width_px, height_px, \
                       margin_px, png) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
            append_crop(database, sql, id, &crop.place, crop.png[..].into())?;
        }
        Some(NewCrop::LeftOut { place, why }) => {
            let sql = "INSERT INTO crops_left_out (flaw, lane, frame, x_px, y_px, width_px, \
                       height_px, margin_px, why) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
            append_crop(database, sql, id, place, why.as_str().into())?;
        }
        None => {}
    }
    Ok(id)
}

pub(crate) fn append_crop(
    database: &dyn Database,
    sql: &str,
    flaw: FlawId,
    place: &CropPlace,
    last: Value<'_>,
) -> Result<(), StoreError> {
    let frame = i64::try_from(place.frame).map_err(|_| StoreError::Invalid {
        what: "frame number",
        found: place.frame.to_string(),
        expected: "a number below 2^63".to_owned(),
    })?;
    database.execute(
        sql,
        &[
            flaw.as_bytes()[..].into(),
            i64::from(place.lane).into(),
            frame.into(),
            i64::from(place.x_px).into(),
            i64::from(place.y_px).into(),
            i64::from(place.width_px).into(),
            i64::from(place.height_px).into(),
            i64::from(place.margin_px).into(),
            last,
        ],
    )?;
    Ok(())
}

fn append_candidate(
    database: &dyn Database,
    run: RunId,
    candidate: &NewCandidate,
) -> Result<(), StoreError> {
    let (along, across) = (candidate.rect.along(), candidate.rect.across());
    let sql = "INSERT INTO candidates (id, run, along0, along1, across0, across1, score) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    database.execute(
        sql,
        &[
            fresh_id().as_bytes()[..].into(),
            run.as_bytes()[..].into(),
            along.start.into(),
            along.end.into(),
            across.start.into(),
            across.end.into(),
            finite(candidate.score)?.into(),
        ],
    )?;
    Ok(())
}

pub(crate) fn append_event(
    database: &dyn Database,
    run: Option<RunId>,
    event: &NewEvent,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO events (id, run, at, kind, severity, message) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    database.execute(
        sql,
        &[
            fresh_id().as_bytes()[..].into(),
            run.as_ref().map(|run| &run.as_bytes()[..]).into(),
            event.at_us.into(),
            event.kind.as_str().into(),
            event.severity.as_str().into(),
            event.message.as_str().into(),
        ],
    )?;
    Ok(())
}

/// SQLite would keep "not a number" as NULL.
fn finite(score: f64) -> Result<f64, StoreError> {
    if score.is_finite() {
        return Ok(score);
    }
    Err(StoreError::Invalid {
        what: "score",
        found: score.to_string(),
        expected: "a finite number".to_owned(),
    })
}
