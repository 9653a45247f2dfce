//! Going on with a run that a power cut, a kill or a failure ended before its cloth did.
//!
//! ```text
//! resumable(roll) ──▶ a run that is not done ──▶ resume_run ──▶ running again, written by us
//! ```
//!
//! A run has one writer. From [`Store::begin_run`] or [`Store::resume_run`] until its end it is
//! held by that [`Store`]; the kernel or the server takes the hold away when the process dies, so
//! a dead writer is told from a slow one without asking any clock. The event `resumed` keeps what
//! the run was before. What the cloth did meanwhile is not known here: the gap is the pipeline's.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::append::{EventSeverity, NewEvent, append_event};
use crate::database::{Database, transaction};
use crate::names::{Name, RunId};
use crate::runs::{Run, RunState, known_run};
use crate::{Store, StoreError, now_us, rows};

/// The kind of the event that tells of a resumed run.
pub const RESUMED: &str = "resumed";

/// How long a server may take to notice that a process on its own machine is dead, and how long
/// between two tries.
const NOTICE_PATIENCE: Duration = Duration::from_secs(1);
const NOTICE_PAUSE: Duration = Duration::from_millis(20);

/// A run that goes on, and how far it had come.
#[derive(Debug, Clone, PartialEq)]
pub struct Resumed {
    /// The run as it was left: its state, when it last wrote, why it was aborted.
    pub run: Run,
    /// Along the web, micrometres: from the first to the last cloth that its ledger accounts for;
    /// none when it has no row yet. Single lanes, and cloth under a flaw that was running when the
    /// run was cut off, may end before that: [`Store::coverage`] says where.
    pub covered_um: Option<Range<i64>>,
}

impl Store {
    /// The latest run of the rolls that bear this number, if it has not come to the end of its
    /// cloth. Whether its writer still lives, [`Store::resume_run`] says.
    ///
    /// # Errors
    /// The database's only.
    pub fn resumable(&self, roll: &Name) -> Result<Option<Run>, StoreError> {
        let latest = self.latest_run(roll)?;
        Ok(latest.filter(|run| run.state != RunState::Done))
    }

    /// The latest run of a station, or of none, if it has not come to the end of its cloth.
    ///
    /// # Errors
    /// The database's only.
    pub fn cut_off_at(&self, station: Option<&Name>) -> Result<Option<Run>, StoreError> {
        let select = rows::SELECT_RUN;
        let order = "ORDER BY runs.started_at DESC, runs.id DESC LIMIT 1";
        let found = match station {
            Some(name) => self.database.query(
                &format!("{select} WHERE stations.name = $1 {order}"),
                &[name.as_str().into()],
            )?,
            None => {
                let sql = format!("{select} WHERE runs.station IS NULL {order}");
                self.database.query(&sql, &[])?
            }
        };
        let latest = found.first().map(rows::run).transpose()?;
        Ok(latest.filter(|run| run.state != RunState::Done))
    }

    /// Goes on with a run that was left running or was aborted; it is then running, and appends
    /// and its end are this store's.
    ///
    /// # Errors
    /// [`StoreError::RunEnded`] when it is done, [`StoreError::RunHeld`] when a living process
    /// writes it, [`StoreError::Unknown`] when there is none, [`StoreError::ReadOnly`].
    pub fn resume_run(&mut self, run: RunId) -> Result<Resumed, StoreError> {
        let database = &*self.database;
        // What is not there, or is done, is not held first.
        refuse_done(&known_run(database, run)?)?;
        let since = Instant::now();
        while !database.hold(run)? {
            if since.elapsed() >= NOTICE_PATIENCE {
                return Err(StoreError::RunHeld { run });
            }
            std::thread::sleep(NOTICE_PAUSE);
        }
        let resumed = transaction(database, |database| resume(database, run));
        if resumed.is_err() {
            database.release(run);
        }
        resumed
    }
}

fn resume(database: &dyn Database, run: RunId) -> Result<Resumed, StoreError> {
    let before = known_run(database, run)?;
    refuse_done(&before)?;
    let now = now_us();
    let sql = "UPDATE runs SET state = 'running', written_at = $1, ended_at = NULL, \
               length_um = NULL, width_um = NULL, cloth_min_um = NULL, cloth_mean_um = NULL, \
               cloth_max_um = NULL, message = NULL WHERE id = $2";
    database.execute(sql, &[now.into(), run.as_bytes()[..].into()])?;
    let sql = "SELECT MIN(along0), MAX(along1) FROM coverage WHERE run = $1";
    let reach = database.query(sql, &[run.as_bytes()[..].into()])?;
    let covered_um = match reach.first() {
        Some(row) if !row.is_null(0) => Some(row.int(0)?..row.int(1)?),
        _ => None,
    };
    let event = NewEvent {
        at_us: now,
        kind: RESUMED.to_owned(),
        severity: EventSeverity::Warning,
        message: said(&before, now),
    };
    append_event(database, Some(run), &event)?;
    Ok(Resumed {
        run: before,
        covered_um,
    })
}

/// What the row no longer tells, for people.
fn said(before: &Run, now_us: i64) -> String {
    let seconds = |since_us: i64| (now_us - since_us).max(0) / 1_000_000;
    let why = before.message.as_deref().unwrap_or("no reason is known");
    match before.ended_at_us {
        Some(ended_us) => format!(
            "goes on {} s after it was aborted: {why}",
            seconds(ended_us)
        ),
        None => format!(
            "goes on; it was cut off and last wrote {} s ago",
            seconds(before.written_at_us)
        ),
    }
}

fn refuse_done(run: &Run) -> Result<(), StoreError> {
    match run.state {
        RunState::Running | RunState::Aborted => Ok(()),
        RunState::Done => Err(StoreError::RunEnded {
            run: run.id,
            state: run.state,
        }),
    }
}
