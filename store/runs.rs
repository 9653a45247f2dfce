//! A run: one inspection of a roll, from its beginning to its end.
//!
//! [`Store::begin_run`] writes everything that a result depends on before the first frame, so that
//! a run cut off by a power failure still says what it was. [`Store::finish_run`] closes it once.
//! A run that nobody closed stays running, with the time of its last write; `resume` tells a dead
//! writer from a slow one and goes on.

use std::fmt;

use crate::articles::{ensure_article, known_model, unknown};
use crate::database::{Database, transaction, transaction_alone};
use crate::names::{Digest, Name, RollId, RunId, fresh_id};
use crate::{Store, StoreError, now_us, rows};

/// Which roll a run belongs to, when several may bear its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollChoice {
    /// The latest roll of this number and article; a new one if there is none.
    LatestOrNew,
    /// Always a new roll.
    New,
}

/// How a run's length was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthKnown {
    /// From the encoder's ticks.
    Encoder,
    /// From the shift between frames.
    Measured,
    /// From the number of lines and a nominal scale.
    Nominal,
}

impl LengthKnown {
    /// The word in the tables.
    pub fn as_str(self) -> &'static str {
        match self {
            LengthKnown::Encoder => "encoder",
            LengthKnown::Measured => "measured",
            LengthKnown::Nominal => "nominal",
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Not ended: under way, or its process was killed.
    Running,
    /// Ended at the end of its cloth.
    Done,
    /// Ended before that.
    Aborted,
}

impl RunState {
    /// The word in the tables.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Done => "done",
            RunState::Aborted => "aborted",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndState {
    /// At the end of its cloth.
    Done,
    /// Before that.
    Aborted,
}

/// How wide the cloth was from selvedge to selvedge, over the places where both were in view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClothWidth {
    /// Where it was narrowest, micrometres.
    pub min_um: i64,
    /// Over its length, micrometres.
    pub mean_um: i64,
    /// Where it was widest, micrometres.
    pub max_um: i64,
}

/// What a run needs to be begun; all of it is kept with the run.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// The roll's number.
    pub roll: Name,
    /// Which roll of that number.
    pub roll_choice: RollChoice,
    /// The style of cloth; made if new.
    pub article: Name,
    /// The order that it is inspected for, where one was said.
    pub order: Option<Name>,
    /// The model that judges; registered for this article.
    pub model: Digest,
    /// The calibration in use, as JSON.
    pub calibration_json: String,
    /// Selvedge's version.
    pub engine_version: String,
    /// The inference runtime's version.
    pub runtime_version: String,
    /// What the model runs on.
    pub device: String,
    /// The shape of a batch of tiles, as text.
    pub batch_shape: String,
    /// Scale of the corrected frames, millimetres per pixel.
    pub mm_per_px: f64,
    /// The station, made if new; none for loose images.
    pub station: Option<Name>,
    /// How the length is expected to be known; [`RunEnd`] says how it was.
    pub length_known: LengthKnown,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// Length of the cloth, micrometres.
    pub length_um: i64,
    /// Width of the web, micrometres.
    pub width_um: i64,
    /// Width of the cloth on it; none where its selvedges were never in view together.
    pub cloth_width: Option<ClothWidth>,
    /// How the length was known, where only the end tells: an encoder may be silent, two frames may
    /// share too little cloth to be measured. None leaves what the run was begun with.
    pub length_known: Option<LengthKnown>,
    /// Whether it came to the end of its cloth.
    pub state: EndState,
    /// For people: why it was aborted, what was odd.
    pub message: Option<String>,
}

/// A run as the store holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its row.
    pub id: RunId,
    /// The piece of cloth.
    pub roll: RollId,
    /// The roll's number.
    pub roll_number: Name,
    /// The style of cloth.
    pub article: Name,
    /// The order that it was inspected for, where one was said.
    pub order: Option<Name>,
    /// The model that judged.
    pub model: Digest,
    /// The station, if there was one.
    pub station: Option<Name>,
    /// The calibration in use, as JSON.
    pub calibration_json: String,
    /// Selvedge's version.
    pub engine_version: String,
    /// The inference runtime's version.
    pub runtime_version: String,
    /// What the model ran on.
    pub device: String,
    /// The shape of a batch of tiles, as text.
    pub batch_shape: String,
    /// Scale of the corrected frames, millimetres per pixel.
    pub mm_per_px: f64,
    /// How the length is known; before the end, how it is expected to be.
    pub length_known: LengthKnown,
    /// When it was begun, microseconds since 1970 UTC.
    pub started_at_us: i64,
    /// When it last wrote, microseconds since 1970 UTC.
    pub written_at_us: i64,
    /// When it ended; none while it is running or was killed.
    pub ended_at_us: Option<i64>,
    /// Where it stands.
    pub state: RunState,
    /// Length of the cloth, micrometres; none before the end.
    pub length_um: Option<i64>,
    /// Width of the web, micrometres; none before the end.
    pub width_um: Option<i64>,
    /// Width of the cloth on it; none before the end, and where its selvedges were never in view
    /// together.
    pub cloth_width: Option<ClothWidth>,
    /// For people.
    pub message: Option<String>,
}

impl Store {
    /// Begins a run, on a roll as `new.roll_choice` says.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when the model is not registered, [`StoreError::Invalid`] when it
    /// was taught for another article or the scale is not a positive number,
    /// [`StoreError::ReadOnly`], [`StoreError::DiskFull`].
    pub fn begin_run(&mut self, new: &NewRun) -> Result<RunId, StoreError> {
        if !(new.mm_per_px.is_finite() && new.mm_per_px > 0.0) {
            return Err(StoreError::Invalid {
                what: "scale",
                found: format!("{} mm/px", new.mm_per_px),
                expected: "a positive number".to_owned(),
            });
        }
        let run = RunId::fresh();
        // A number made just now is nobody else's.
        if !self.database.hold(run)? {
            return Err(StoreError::RunHeld { run });
        }
        let begun = transaction_alone(&*self.database, |database| {
            let model = known_model(database, &new.model)?;
            if model.article != new.article {
                return Err(StoreError::Invalid {
                    what: "model",
                    found: format!("one taught for article {:?}", model.article.as_str()),
                    expected: format!("one for article {:?}", new.article.as_str()),
                });
            }
            let roll = roll_of(database, new)?;
            let station = match &new.station {
                Some(name) => Some(station_of(database, name)?),
                None => None,
            };
            let station = station.as_deref();
            let now = now_us();
            let sql = "INSERT INTO runs (id, roll, model, station, calibration, engine_version, \
                       runtime_version, device, batch_shape, mm_per_px, length_known, started_at, \
                       written_at, state, order_number) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
            database.execute(
                sql,
                &[
                    run.as_bytes()[..].into(),
                    roll.as_bytes()[..].into(),
                    new.model.as_str().into(),
                    station.into(),
                    new.calibration_json.as_str().into(),
                    new.engine_version.as_str().into(),
                    new.runtime_version.as_str().into(),
                    new.device.as_str().into(),
                    new.batch_shape.as_str().into(),
                    new.mm_per_px.into(),
                    new.length_known.as_str().into(),
                    now.into(),
                    now.into(),
                    RunState::Running.as_str().into(),
                    new.order.as_ref().map(Name::as_str).into(),
                ],
            )?;
            Ok(run)
        });
        if begun.is_err() {
            self.database.release(run);
        }
        begun
    }

    /// Ends a run that is running.
    ///
    /// # Errors
    /// [`StoreError::RunEnded`] when it has ended before, [`StoreError::RunHeld`] when another
    /// process writes it, [`StoreError::Unknown`] when there is none, [`StoreError::Invalid`] for
    /// a negative length or width, or a cloth that is wider than it is at most.
    pub fn finish_run(&mut self, run: RunId, end: &RunEnd) -> Result<(), StoreError> {
        if end.length_um < 0 || end.width_um < 0 {
            return Err(StoreError::Invalid {
                what: "size of a roll",
                found: format!("{} um x {} um", end.length_um, end.width_um),
                expected: "no negative length".to_owned(),
            });
        }
        if let Some(width) = end.cloth_width
            && !(0 <= width.min_um
                && width.min_um <= width.mean_um
                && width.mean_um <= width.max_um)
        {
            return Err(StoreError::Invalid {
                what: "width of the cloth",
                found: format!("{} / {} / {} um", width.min_um, width.mean_um, width.max_um),
                expected: "a least, a mean and a largest width, in that order".to_owned(),
            });
        }
        let state = match end.state {
            EndState::Done => RunState::Done,
            EndState::Aborted => RunState::Aborted,
        };
        hold(&*self.database, run)?;
        transaction(&*self.database, |database| {
            touch(database, run)?;
            let sql = "UPDATE runs SET state = $1, ended_at = $2, length_um = $3, width_um = $4, \
                       message = $5, length_known = COALESCE($6, length_known), \
                       cloth_min_um = $7, cloth_mean_um = $8, cloth_max_um = $9 WHERE id = $10";
            database.execute(
                sql,
                &[
                    state.as_str().into(),
                    now_us().into(),
                    end.length_um.into(),
                    end.width_um.into(),
                    end.message.as_deref().into(),
                    end.length_known.map(LengthKnown::as_str).into(),
                    end.cloth_width.map(|width| width.min_um).into(),
                    end.cloth_width.map(|width| width.mean_um).into(),
                    end.cloth_width.map(|width| width.max_um).into(),
                    run.as_bytes()[..].into(),
                ],
            )?;
            Ok(())
        })?;
        self.database.release(run);
        Ok(())
    }
}

/// Makes sure that this store writes the run and nobody else does.
pub(crate) fn hold(database: &dyn Database, run: RunId) -> Result<(), StoreError> {
    if database.holds(run) {
        return Ok(());
    }
    let state = known_run(database, run)?.state;
    if state != RunState::Running {
        return Err(StoreError::RunEnded { run, state });
    }
    if database.hold(run)? {
        return Ok(());
    }
    Err(StoreError::RunHeld { run })
}

/// Notes that the run writes now; an error when it takes no more.
pub(crate) fn touch(database: &dyn Database, run: RunId) -> Result<(), StoreError> {
    let sql = "UPDATE runs SET written_at = $1 WHERE id = $2 AND state = 'running'";
    let changed = database.execute(sql, &[now_us().into(), run.as_bytes()[..].into()])?;
    if changed == 1 {
        return Ok(());
    }
    let state = known_run(database, run)?.state;
    Err(StoreError::RunEnded { run, state })
}

/// The run, or the error that there is none.
pub(crate) fn known_run(database: &dyn Database, run: RunId) -> Result<Run, StoreError> {
    let sql = format!("{} WHERE runs.id = $1", rows::SELECT_RUN);
    let found = database.query(&sql, &[run.as_bytes()[..].into()])?;
    match found.first() {
        Some(row) => rows::run(row),
        None => Err(unknown(database, "run", &run.to_string())),
    }
}

fn roll_of(database: &dyn Database, new: &NewRun) -> Result<RollId, StoreError> {
    let article = ensure_article(database, &new.article)?;
    if new.roll_choice == RollChoice::LatestOrNew {
        let sql = "SELECT id FROM rolls WHERE number = $1 AND article = $2 \
                   ORDER BY made_at DESC, id DESC LIMIT 1";
        let known = [new.roll.as_str().into(), article.id.as_bytes()[..].into()];
        if let Some(row) = database.query(sql, &known)?.first() {
            return row.uuid(0).map(RollId::from_uuid);
        }
    }
    let roll = RollId::fresh();
    let sql = "INSERT INTO rolls (id, number, article, made_at) VALUES ($1, $2, $3, $4)";
    database.execute(
        sql,
        &[
            roll.as_bytes()[..].into(),
            new.roll.as_str().into(),
            article.id.as_bytes()[..].into(),
            now_us().into(),
        ],
    )?;
    Ok(roll)
}

/// Enters a station that nobody has.
pub(crate) fn try_station(database: &dyn Database) -> Result<(), StoreError> {
    let id = fresh_id();
    let sql = "INSERT INTO stations (id, name, made_at) VALUES ($1, $2, $3)";
    database.execute(
        sql,
        &[
            id.as_bytes()[..].into(),
            id.to_string().as_str().into(),
            now_us().into(),
        ],
    )?;
    Ok(())
}

fn station_of(database: &dyn Database, name: &Name) -> Result<Vec<u8>, StoreError> {
    let sql = "INSERT INTO stations (id, name, made_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    database.execute(
        sql,
        &[
            fresh_id().as_bytes()[..].into(),
            name.as_str().into(),
            now_us().into(),
        ],
    )?;
    let found = database.query(
        "SELECT id FROM stations WHERE name = $1",
        &[name.as_str().into()],
    )?;
    match found.first() {
        Some(row) => row.blob(0).map(<[u8]>::to_vec),
        None => Err(unknown(database, "station", name.as_str())),
    }
}
