//! Rows become the store's types, here and nowhere else.
//!
//! Each function reads the columns of one `SELECT` by position; the longer lists of columns stand
//! beside their reader. A row that does not hold what the schema promises is
//! [`StoreError::Corrupt`]; nothing is guessed.

use crate::StoreError;
use crate::accounts::{Account, Role, Token};
use crate::append::{Crop, CropPlace, EventSeverity};
use crate::articles::{Article, Model};
use crate::chain::EntryHash;
use crate::coverage::{CoverState, CoverageCell};
use crate::database::Row;
use crate::entries::Entry;
use crate::look::{Candidate, CropLeftOut, Event, Flaw, RollSummary};
use crate::names::{ArticleId, Digest, FlawId, Name, RollId, RunId};
use crate::rect::Rect;
use crate::runs::{ClothWidth, LengthKnown, Run, RunState};

pub(crate) fn article(row: &Row) -> Result<Article, StoreError> {
    Ok(Article {
        id: ArticleId::from_uuid(row.uuid(0)?),
        name: name(row, 1)?,
        made_at_us: row.int(2)?,
    })
}

pub(crate) const SELECT_MODEL: &str = "SELECT models.digest, articles.name, models.passport, \
    models.file_name, models.taught_at FROM models JOIN articles ON articles.id = models.article";

pub(crate) fn model(row: &Row) -> Result<Model, StoreError> {
    Ok(Model {
        digest: digest(row, 0)?,
        article: name(row, 1)?,
        passport_json: text(row, 2)?,
        file_name: text(row, 3)?,
        taught_at_us: row.int(4)?,
    })
}

pub(crate) const SELECT_RUN: &str = "SELECT runs.id, runs.roll, rolls.number, articles.name, \
    runs.model, stations.name, runs.calibration, runs.engine_version, runs.runtime_version, \
    runs.device, runs.batch_shape, runs.mm_per_px, runs.length_known, runs.started_at, \
    runs.written_at, runs.ended_at, runs.state, runs.length_um, runs.width_um, runs.message, \
    runs.order_number, runs.cloth_min_um, runs.cloth_mean_um, runs.cloth_max_um \
    FROM runs JOIN rolls ON rolls.id = runs.roll JOIN articles ON articles.id = rolls.article \
    LEFT JOIN stations ON stations.id = runs.station";

pub(crate) fn run(row: &Row) -> Result<Run, StoreError> {
    Ok(Run {
        id: RunId::from_uuid(row.uuid(0)?),
        roll: RollId::from_uuid(row.uuid(1)?),
        roll_number: name(row, 2)?,
        article: name(row, 3)?,
        model: digest(row, 4)?,
        station: row.optional(5, name)?,
        calibration_json: text(row, 6)?,
        engine_version: text(row, 7)?,
        runtime_version: text(row, 8)?,
        device: text(row, 9)?,
        batch_shape: text(row, 10)?,
        mm_per_px: row.real(11)?,
        length_known: length_known(row, 12)?,
        started_at_us: row.int(13)?,
        written_at_us: row.int(14)?,
        ended_at_us: row.optional(15, int)?,
        state: run_state(row, 16)?,
        length_um: row.optional(17, int)?,
        width_um: row.optional(18, int)?,
        message: row.optional(19, text)?,
        order: row.optional(20, name)?,
        cloth_width: cloth_width(row, 21)?,
    })
}

/// Three columns from `first` on, which are NULL together.
fn cloth_width(row: &Row, first: usize) -> Result<Option<ClothWidth>, StoreError> {
    row.optional(first, |row, min| {
        Ok(ClothWidth {
            min_um: row.int(min)?,
            mean_um: row.int(min + 1)?,
            max_um: row.int(min + 2)?,
        })
    })
}

pub(crate) fn roll_summary(row: &Row) -> Result<RollSummary, StoreError> {
    Ok(RollSummary {
        roll: RollId::from_uuid(row.uuid(0)?),
        number: name(row, 1)?,
        article: name(row, 2)?,
        n_runs: row.int(3)?,
        latest_run: RunId::from_uuid(row.uuid(4)?),
        state: run_state(row, 5)?,
        started_at_us: row.int(6)?,
        length_um: row.optional(7, int)?,
        n_flaws: row.int(8)?,
        gap_um2: row.int(9)?,
    })
}

pub(crate) fn coverage_cell(row: &Row) -> Result<CoverageCell, StoreError> {
    let state = match row.text(4)? {
        "inspected" => CoverState::Inspected,
        "beside" => CoverState::Beside,
        "gap" => CoverState::Gap(text(row, 5)?),
        _ => return Err(row.unlike(4, "a state of coverage")),
    };
    Ok(CoverageCell {
        rect: rect(row)?,
        state,
    })
}

pub(crate) fn flaw(row: &Row) -> Result<Flaw, StoreError> {
    Ok(Flaw {
        rect: rect(row)?,
        id: FlawId::from_uuid(row.uuid(4)?),
        class: text(row, 5)?,
        length_um: row.int(6)?,
        area_um2: row.int(7)?,
        score: row.real(8)?,
        severity: text(row, 9)?,
        found_at_us: row.int(10)?,
        has_crop: !row.is_null(11),
    })
}

pub(crate) fn crop(row: &Row) -> Result<Crop, StoreError> {
    Ok(Crop {
        place: crop_place(row)?,
        png: row.blob(7)?.to_vec(),
    })
}

pub(crate) fn crop_left_out(row: &Row) -> Result<CropLeftOut, StoreError> {
    Ok(CropLeftOut {
        place: crop_place(row)?,
        why: text(row, 7)?,
    })
}

/// The first seven columns: lane, frame, x, y, width, height, margin.
pub(crate) fn crop_place(row: &Row) -> Result<CropPlace, StoreError> {
    let pixels = |column| {
        let held = row.int(column)?;
        u32::try_from(held).map_err(|_| row.unlike(column, "a number of pixels"))
    };
    let frame = row.int(1)?;
    Ok(CropPlace {
        lane: pixels(0)?,
        frame: u64::try_from(frame).map_err(|_| row.unlike(1, "a frame number"))?,
        x_px: pixels(2)?,
        y_px: pixels(3)?,
        width_px: pixels(4)?,
        height_px: pixels(5)?,
        margin_px: pixels(6)?,
    })
}

pub(crate) fn candidate(row: &Row) -> Result<Candidate, StoreError> {
    Ok(Candidate {
        rect: rect(row)?,
        score: row.real(4)?,
    })
}

pub(crate) fn event(row: &Row) -> Result<Event, StoreError> {
    let severity = match row.text(2)? {
        "info" => EventSeverity::Info,
        "warning" => EventSeverity::Warning,
        "error" => EventSeverity::Error,
        _ => return Err(row.unlike(2, "a severity")),
    };
    Ok(Event {
        at_us: row.int(0)?,
        kind: text(row, 1)?,
        severity,
        message: text(row, 3)?,
    })
}

pub(crate) const SELECT_ENTRY: &str = "SELECT entries.chain, entries.number, entries.at, \
    entries.account, entries.role, entries.kind, entries.subject, entries.run, entries.body, \
    entries.hash FROM entries";

/// The first ten columns.
pub(crate) fn entry(row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        chain: text(row, 0)?,
        number: row.int(1)?,
        at_us: row.int(2)?,
        account: text(row, 3)?,
        role: text(row, 4)?,
        kind: text(row, 5)?,
        subject: text(row, 6)?,
        run: row.optional(7, Row::uuid)?.map(RunId::from_uuid),
        body_json: text(row, 8)?,
        hash: entry_hash(row, 9)?,
    })
}

pub(crate) fn entry_hash(row: &Row, column: usize) -> Result<EntryHash, StoreError> {
    let bytes = row.blob(column)?.try_into();
    bytes
        .map(EntryHash)
        .map_err(|_| row.unlike(column, "a hash of 32 bytes"))
}

pub(crate) const SELECT_ACCOUNT: &str = "SELECT accounts.name, accounts.role, accounts.password, \
    accounts.disabled, accounts.made_at, accounts.revision FROM accounts";

pub(crate) fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        name: name(row, 0)?,
        role: role(row, 1)?,
        password: text(row, 2)?,
        is_disabled: row.int(3)? != 0,
        made_at_us: row.int(4)?,
        revision: row.int(5)?,
    })
}

pub(crate) const SELECT_TOKEN: &str = "SELECT tokens.name, tokens.role, tokens.secret, \
    tokens.made_at, tokens.revoked_at, tokens.revision FROM tokens";

pub(crate) fn token(row: &Row) -> Result<Token, StoreError> {
    Ok(Token {
        name: name(row, 0)?,
        role: role(row, 1)?,
        secret: entry_hash(row, 2)?.0,
        made_at_us: row.int(3)?,
        revoked_at_us: row.optional(4, int)?,
        revision: row.int(5)?,
    })
}

fn role(row: &Row, column: usize) -> Result<Role, StoreError> {
    let role = row.text(column)?.parse();
    role.map_err(|_| row.unlike(column, "a role"))
}

pub(crate) fn int(row: &Row, column: usize) -> Result<i64, StoreError> {
    row.int(column)
}

pub(crate) fn text(row: &Row, column: usize) -> Result<String, StoreError> {
    row.text(column).map(str::to_owned)
}

pub(crate) fn name(row: &Row, column: usize) -> Result<Name, StoreError> {
    Name::new(row.text(column)?).map_err(|_| row.unlike(column, "a name"))
}

fn digest(row: &Row, column: usize) -> Result<Digest, StoreError> {
    Digest::new(row.text(column)?).map_err(|_| row.unlike(column, "a digest"))
}

/// The first four columns: along0, along1, across0, across1.
fn rect(row: &Row) -> Result<Rect, StoreError> {
    let (along, across) = (row.int(0)?..row.int(1)?, row.int(2)?..row.int(3)?);
    Rect::new(along, across).map_err(|_| row.unlike(1, "a rectangle with an area"))
}

pub(crate) fn run_state(row: &Row, column: usize) -> Result<RunState, StoreError> {
    match row.text(column)? {
        "running" => Ok(RunState::Running),
        "done" => Ok(RunState::Done),
        "aborted" => Ok(RunState::Aborted),
        _ => Err(row.unlike(column, "a run's state")),
    }
}

fn length_known(row: &Row, column: usize) -> Result<LengthKnown, StoreError> {
    match row.text(column)? {
        "encoder" => Ok(LengthKnown::Encoder),
        "measured" => Ok(LengthKnown::Measured),
        "nominal" => Ok(LengthKnown::Nominal),
        _ => Err(row.unlike(column, "how a length was known")),
    }
}
