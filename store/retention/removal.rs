//! The steps in which a plan is carried out: one short transaction each.
//!
//! ```text
//! portion ─▶ rows that go (read beforehand) ─▶ BEGIN … until BUDGET is used … COMMIT ─▶ next step
//! ```
//!
//! What goes is read before the transaction begins, so that a slow disk is waited for while no writer is
//! held up. A crop's row goes and its mark comes in one transaction.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Amount, Keep, RetentionKind, RetentionPlan, RetentionRules};
use crate::append::CropPlace;
use crate::database::{Database, transaction};
use crate::{Store, StoreError, rows};

/// How long a transaction takes rows out before it commits; the commit's sync comes on top.
const BUDGET: Duration = Duration::from_millis(10);
/// Crops that are read ahead.
const N_READ: i64 = 256;
/// Rows of other kinds in the first transaction, and the most and fewest in a later one.
const N_ROWS: u64 = 256;
const MOST_ROWS: u64 = 8192;
const FEWEST_ROWS: u64 = 16;

/// What stands at the beginning of the mark that a removed crop leaves.
const REMOVED: &str = "removed on ";
/// The same for SQL's LIKE.
pub(crate) const REMOVED_LIKE: &str = "removed on %";

/// Whether `why` a picture is not there is that a rule removed it; the words are for people.
pub fn is_removal(why: &str) -> bool {
    why.starts_with(REMOVED)
}

/// What one transaction removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// What it was.
    pub kind: RetentionKind,
    /// How much.
    pub amount: Amount,
    /// For how long other writers had to wait.
    pub held: Duration,
    /// How long the step took, reading included.
    pub took: Duration,
}

/// A part of what goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Portion {
    /// All rows with an id below this one.
    OlderThan {
        kind: RetentionKind,
        before: Vec<u8>,
    },
    /// So many rows, the oldest first.
    Oldest { kind: RetentionKind, n: u64 },
    /// Crops of a run's flaws of one severity, at least so many bytes.
    OfRun {
        run: Uuid,
        severity: String,
        bytes: u64,
    },
}

impl Portion {
    pub(super) fn kind(&self) -> RetentionKind {
        match self {
            Portion::OlderThan { kind, .. } | Portion::Oldest { kind, .. } => *kind,
            Portion::OfRun { .. } => RetentionKind::Crops,
        }
    }
}

/// What is carried from step to step.
#[derive(Debug)]
pub(super) struct Work {
    crops: Keep,
    /// The day of the plan, as marks tell it.
    day: String,
    /// Crops of the first portion that are to go.
    read: VecDeque<Going>,
    /// Rows of other kinds in one transaction.
    n_rows: u64,
}

#[derive(Debug)]
struct Going {
    flaw: Uuid,
    place: CropPlace,
    bytes: u64,
}

impl Work {
    pub(super) fn new(rules: &RetentionRules, at_us: i64) -> Work {
        let at = OffsetDateTime::from_unix_timestamp(at_us / 1_000_000);
        let day = at.unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
        Work {
            crops: rules.crops,
            day: day.to_string(),
            read: VecDeque::new(),
            n_rows: N_ROWS,
        }
    }

    /// What a crop of this portion leaves.
    fn mark(&self, portion: &Portion) -> String {
        let rule = match portion {
            Portion::OlderThan { .. } => match self.crops.days.unwrap_or_default() {
                1 => "for 1 day".to_owned(),
                days => format!("for {days} days"),
            },
            Portion::Oldest { .. } | Portion::OfRun { .. } => {
                let bytes = self.crops.bytes.unwrap_or_default();
                let gib = bytes as f64 / f64::from(1 << 30);
                format!("up to {} GiB", (gib * 1e3).round() / 1e3)
            }
        };
        format!(
            "{REMOVED}{} by retention: pictures are kept {rule}",
            self.day
        )
    }
}

pub(super) fn table_of(kind: RetentionKind) -> &'static str {
    match kind {
        RetentionKind::Candidates => "candidates",
        RetentionKind::Crops => "crops",
        RetentionKind::Events => "events",
    }
}

impl Store {
    /// Carries out a part of `plan` in one transaction, in which other writers wait for some tens of
    /// milliseconds at most on a disk that is well; `None` when all is done.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::Busy`], [`StoreError::DiskFull`] (to remove takes room for
    /// the log); nothing of the step is done then, and it can be tried again.
    pub fn retention_step(
        &mut self,
        plan: &mut RetentionPlan,
    ) -> Result<Option<Removed>, StoreError> {
        let database = &*self.database;
        let work = &mut plan.work;
        while let Some(portion) = plan.portions.front_mut() {
            let since = Instant::now();
            let removed = match portion.kind() {
                RetentionKind::Crops => remove_crops(database, portion, work)?,
                RetentionKind::Candidates | RetentionKind::Events => {
                    remove_rows(database, portion, work)?
                }
            };
            if let Some((kind, amount, held)) = removed {
                let took = since.elapsed();
                return Ok(Some(Removed {
                    kind,
                    amount,
                    held,
                    took,
                }));
            }
            work.read.clear();
            plan.portions.pop_front();
        }
        Ok(None)
    }
}

type Done = Option<(RetentionKind, Amount, Duration)>;

fn remove_crops(
    database: &dyn Database,
    portion: &mut Portion,
    work: &mut Work,
) -> Result<Done, StoreError> {
    if matches!(portion, Portion::OfRun { bytes: 0, .. }) {
        return Ok(None);
    }
    if work.read.is_empty() {
        work.read = crops_that_go(database, portion)?;
    }
    if work.read.is_empty() {
        return Ok(None);
    }
    let mark = work.mark(portion);
    let mut left = match portion {
        Portion::OfRun { bytes, .. } => *bytes,
        Portion::OlderThan { .. } | Portion::Oldest { .. } => u64::MAX,
    };
    let mut n_seen = 0;
    let mut amount = Amount::default();
    let mut began = Instant::now();
    transaction(database, |database| {
        // Others may have had to end first.
        began = Instant::now();
        for going in &work.read {
            if left == 0 || (n_seen > 0 && began.elapsed() >= BUDGET) {
                break;
            }
            n_seen += 1;
            // Another process may have been faster.
            if remove_crop(database, going, &mark)? {
                amount = amount.plus(Amount {
                    n: 1,
                    bytes: going.bytes,
                });
            }
            left = left.saturating_sub(going.bytes);
        }
        Ok(())
    })?;
    work.read.drain(..n_seen);
    if let Portion::OfRun { bytes, .. } = portion {
        *bytes = left;
    }
    Ok(Some((RetentionKind::Crops, amount, began.elapsed())))
}

/// The next crops of a portion, the oldest first. All that goes passes here: that a flaw with a verdict
/// keeps its picture for ever is to be said here and where crops are counted, once verdicts are kept.
fn crops_that_go(
    database: &dyn Database,
    portion: &Portion,
) -> Result<VecDeque<Going>, StoreError> {
    let columns = "lane, frame, x_px, y_px, width_px, height_px, margin_px, \
                   CAST(length(png) AS BIGINT), crops.flaw";
    let found = match portion {
        Portion::OlderThan { before, .. } => {
            let sql = format!(
                "SELECT {columns} FROM crops WHERE crops.flaw < $1 ORDER BY crops.flaw LIMIT $2"
            );
            database.query(&sql, &[before[..].into(), N_READ.into()])?
        }
        Portion::OfRun { run, severity, .. } => {
            let sql = format!(
                "SELECT {columns} FROM flaws CROSS JOIN crops WHERE crops.flaw = flaws.id \
                 AND flaws.run = $1 AND flaws.severity = $2 ORDER BY crops.flaw LIMIT $3"
            );
            let run = run.as_bytes();
            database.query(
                &sql,
                &[run[..].into(), severity.as_str().into(), N_READ.into()],
            )?
        }
        Portion::Oldest { .. } => Vec::new(),
    };
    let going = found.iter().map(|row| {
        Ok(Going {
            place: rows::crop_place(row)?,
            bytes: row.int(7)?.unsigned_abs(),
            flaw: row.uuid(8)?,
        })
    });
    going.collect()
}

/// Exchanges a crop for its mark; false when it was not there any more.
fn remove_crop(database: &dyn Database, going: &Going, mark: &str) -> Result<bool, StoreError> {
    let flaw = going.flaw.as_bytes();
    let n = database.execute("DELETE FROM crops WHERE flaw = $1", &[flaw[..].into()])?;
    if n == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO crops_left_out (flaw, lane, frame, x_px, y_px, width_px, height_px, \
               margin_px, why) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    crate::append::append_crop(
        database,
        sql,
        crate::FlawId::from_uuid(going.flaw),
        &going.place,
        mark.into(),
    )?;
    Ok(true)
}

fn remove_rows(
    database: &dyn Database,
    portion: &mut Portion,
    work: &mut Work,
) -> Result<Done, StoreError> {
    let kind = portion.kind();
    let table = table_of(kind);
    let (before, most) = match portion {
        Portion::OlderThan { before, .. } => (before.clone(), work.n_rows),
        // Behind every id there is.
        Portion::Oldest { n, .. } => (vec![0xFF; 17], work.n_rows.min(*n)),
        Portion::OfRun { .. } => return Ok(None),
    };
    if most == 0 {
        return Ok(None);
    }
    // The last of them; where there are fewer, all that there are.
    let sql = format!(
        "SELECT id FROM (SELECT id FROM {table} WHERE id < $1 ORDER BY id LIMIT $2) AS oldest \
         ORDER BY id DESC LIMIT 1"
    );
    let n_most = i64::try_from(most).unwrap_or(i64::MAX);
    let last = database.query(&sql, &[before[..].into(), n_most.into()])?;
    let Some(last) = last.first() else {
        return Ok(None);
    };
    let last = last.uuid(0)?;
    let mut began = Instant::now();
    let sql = format!("DELETE FROM {table} WHERE id <= $1");
    let n = transaction(database, |database| {
        began = Instant::now();
        database.execute(&sql, &[last.as_bytes()[..].into()])
    })?;
    let held = began.elapsed();
    if held > BUDGET {
        work.n_rows = (work.n_rows / 2).max(FEWEST_ROWS);
    } else if held < BUDGET / 2 {
        work.n_rows = (work.n_rows * 2).min(MOST_ROWS);
    }
    if let Portion::Oldest { n: left, .. } = portion {
        *left = left.saturating_sub(n as u64);
    }
    let bytes_each = match kind {
        RetentionKind::Candidates => super::CANDIDATE_BYTES,
        RetentionKind::Events | RetentionKind::Crops => super::EVENT_BYTES,
    };
    let amount = Amount {
        n: n as u64,
        bytes: n as u64 * bytes_each,
    };
    Ok(Some((kind, amount, held)))
}
