//! The one interface to a database server: text of a statement and values in, rows out.
//!
//! ```text
//! articles, runs, append, look ──▶ Database ──▶ sqlite    (rusqlite, bundled)
//!                                          └──▶ postgres  (only with the feature `postgres`)
//! ```
//!
//! Statements are written once, in the words both servers share: `$1` placeholders,
//! `ON CONFLICT DO NOTHING`, `CAST(SUM(..) AS BIGINT)`; values are `i64`, `f64`, text and bytes.
//! Values are always bound, never written into a statement.
//!
//! Why not diesel's `MultiConnection`: with diesel 2.3 against SQLite and PostgreSQL 15, plain
//! inserts, updates, joins and embedded migrations worked, but `on_conflict`, `returning` and
//! inserts of several rows do not compile on the common connection; `BEGIN IMMEDIATE` and open
//! flags exist on SQLite's own only; and a full disk, a read-only file, a corrupt file and a busy
//! one all arrive as `Unknown`, where an operator must be told which it is. So the parts that
//! matter most would have been written twice all the same. `tests/postgres.rs` holds the proof
//! that this interface carries the whole store on both.
//!
//! No pool and no threads here: one connection, used by one thread at a time.

mod lock_file;
mod postgres;
mod sqlite;
mod statement;

use std::sync::Arc;

use uuid::Uuid;

use crate::{FileBytes, RunId, StoreError};

pub(crate) use statement::{Conditions, insert, placeholders};

/// How long a statement waits for another process's transaction before [`StoreError::Busy`].
pub(crate) const BUSY_WAIT_MILLIS: u32 = 5_000;

/// What the connection will be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read and write; a store that is not there is made.
    Write,
    /// Read and write, but only a store that is there.
    WriteExisting,
    /// Look only: nothing is made or changed.
    Read,
}

/// One connection to one server.
pub(crate) trait Database: Send {
    /// The store's name for messages; never holds a password.
    fn place(&self) -> &Arc<str>;
    /// Runs one statement; returns how many rows it changed.
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError>;
    /// Runs one query and returns all its rows.
    fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError>;
    /// Runs the statements of a migration, written for SQLite.
    fn migrate(&self, sql: &str) -> Result<(), StoreError>;
    /// The names of the tables there are.
    fn tables(&self) -> Result<Vec<String>, StoreError>;
    /// Turns on what makes a commit durable; called once the store is known to be ours.
    fn make_durable(&self) -> Result<(), StoreError>;
    /// Begins a transaction that may write; waits for another writer to end.
    fn begin(&self) -> Result<(), StoreError>;
    /// Begins a transaction that looks before it writes: one at a time in the whole store.
    fn begin_alone(&self) -> Result<(), StoreError>;
    /// Ends the transaction; when this returns, it survives a power cut.
    fn commit(&self) -> Result<(), StoreError>;
    /// Takes the transaction back.
    fn rollback(&self) -> Result<(), StoreError>;
    /// Makes this connection the writer of `run`, until it is released, dropped or its process
    /// dies; false when another connection is. Again is no harm.
    fn hold(&self, run: RunId) -> Result<bool, StoreError>;
    /// Whether this connection is the writer of `run`.
    fn holds(&self, run: RunId) -> bool;
    /// Ends what [`Database::hold`] began.
    fn release(&self, run: RunId);
    /// Bytes that an ordinary user may still write where the store is; none when that is not for
    /// this machine to know.
    fn free_bytes(&self) -> Result<Option<u64>, StoreError>;
    /// Size of the file and of what is free in it; none where the store is no file.
    fn file_bytes(&self) -> Result<Option<FileBytes>, StoreError>;
}

/// Connects to what `url` names: a path, `sqlite:PATH`, `postgres://…`.
pub(crate) fn connect(url: &str, access: Access) -> Result<Box<dyn Database>, StoreError> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        return sqlite::connect(path, access);
    }
    match url.split_once("://") {
        Some(("postgres" | "postgresql", _)) => postgres::connect(url, access),
        Some((scheme, _)) => Err(StoreError::Invalid {
            what: "store",
            found: format!("a {scheme:?} address"),
            expected: "a file's path, sqlite:PATH or postgres://…".to_owned(),
        }),
        None => sqlite::connect(url, access),
    }
}

/// Runs `work` in one transaction: all of it is durable when this returns `Ok`, none of it after
/// an error or a panic.
pub(crate) fn transaction<T>(
    database: &dyn Database,
    work: impl FnOnce(&dyn Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    database.begin()?;
    finish(database, work)
}

/// The same, while no other such transaction is under way in the store: what `work` finds missing
/// is still missing when it writes.
pub(crate) fn transaction_alone<T>(
    database: &dyn Database,
    work: impl FnOnce(&dyn Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    database.begin_alone()?;
    finish(database, work)
}

/// Runs `work` in a transaction that is taken back whatever becomes of it.
pub(crate) fn taken_back<T>(
    database: &dyn Database,
    work: impl FnOnce(&dyn Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    database.begin()?;
    let _open = Open { database };
    work(database)
}

fn finish<T>(
    database: &dyn Database,
    work: impl FnOnce(&dyn Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let open = Open { database };
    let done = work(database)?;
    database.commit()?;
    std::mem::forget(open);
    Ok(done)
}

/// A transaction that is taken back unless it was committed.
struct Open<'a> {
    database: &'a dyn Database,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.database.rollback() {
            // Some errors (a full disk) end the transaction on their own; the first error is the
            // one that is returned.
            tracing::debug!(%error, "rolling back a transaction failed");
        }
    }
}

/// A value bound to a placeholder.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// SQL's NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// A finite number; the store's own types see to that.
    Real(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl<'a> From<i64> for Value<'a> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl<'a> From<f64> for Value<'a> {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Value::Blob(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// What a column of a row held.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Held {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// One row of an answer, columns by position.
#[derive(Debug)]
pub(crate) struct Row {
    place: Arc<str>,
    held: Vec<Held>,
}

impl Row {
    pub(crate) fn new(place: Arc<str>, held: Vec<Held>) -> Row {
        Row { place, held }
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        if let Some(Held::Int(value)) = self.held.get(column) {
            return Ok(*value);
        }
        Err(self.unlike(column, "a whole number"))
    }

    pub(crate) fn real(&self, column: usize) -> Result<f64, StoreError> {
        if let Some(Held::Real(value)) = self.held.get(column) {
            return Ok(*value);
        }
        Err(self.unlike(column, "a number"))
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str, StoreError> {
        if let Some(Held::Text(value)) = self.held.get(column) {
            return Ok(value);
        }
        Err(self.unlike(column, "text"))
    }

    pub(crate) fn blob(&self, column: usize) -> Result<&[u8], StoreError> {
        if let Some(Held::Blob(value)) = self.held.get(column) {
            return Ok(value);
        }
        Err(self.unlike(column, "bytes"))
    }

    pub(crate) fn uuid(&self, column: usize) -> Result<Uuid, StoreError> {
        Uuid::from_slice(self.blob(column)?).map_err(|_| self.unlike(column, "an id of 16 bytes"))
    }

    pub(crate) fn is_null(&self, column: usize) -> bool {
        self.held.get(column) == Some(&Held::Null)
    }

    /// NULL as `None`, anything else as `read` reads it.
    pub(crate) fn optional<'r, T>(
        &'r self,
        column: usize,
        read: impl FnOnce(&'r Row, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if self.is_null(column) {
            Ok(None)
        } else {
            read(self, column).map(Some)
        }
    }

    /// The error for a column that does not hold what the schema promises.
    pub(crate) fn unlike(&self, column: usize, expected: &str) -> StoreError {
        StoreError::Corrupt {
            store: self.place.to_string(),
            found: format!(
                "{:?} in column {column} of an answer, expected {expected}",
                self.held.get(column)
            ),
        }
    }
}
