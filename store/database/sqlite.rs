//! SQLite behind [`Database`]: one file, write-ahead log, every commit synced to the disk.
//!
//! Opening looks before it touches: a file that is not a store keeps every byte. Errors are told
//! apart by SQLite's result codes, never by their text. The connection closes when it is dropped.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, ffi};

use super::lock_file::LockFile;
use super::{Access, BUSY_WAIT_MILLIS, Database, Held, Row, Value};
use crate::{FileBytes, RunId, StoreError};

/// Statements kept compiled; more than the store has.
const STATEMENTS_KEPT: usize = 64;

pub(super) fn connect(path: &str, access: Access) -> Result<Box<dyn Database>, StoreError> {
    let file = Path::new(path);
    let is_memory = path == MEMORY;
    let cannot_open = |reason: String| StoreError::CannotOpen {
        store: path.to_owned(),
        reason,
    };
    if path.is_empty() {
        return Err(cannot_open("the path is empty".to_owned()));
    }
    if file.is_dir() {
        return Err(cannot_open("found a folder, expected a file".to_owned()));
    }
    if !is_memory && !file.exists() {
        if access != Access::Write {
            return Err(StoreError::NotFound {
                store: path.to_owned(),
            });
        }
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(cannot_open(format!("its folder {folder:?} does not exist")));
        }
    }
    let flags = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::WriteExisting => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let place: Arc<str> = path.into();
    // Without SQLITE_OPEN_URI a path that begins with "file:" is a path like any other.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| store_error(&place, error))?;
    let file = if is_memory {
        None
    } else {
        let found = file.canonicalize();
        Some(found.map_err(|error| file_error(file, &error))?)
    };
    let sqlite = Sqlite {
        connection,
        place,
        file,
        access,
        held: RefCell::default(),
    };
    if access == Access::Read {
        return sqlite
            .ready_to_look()
            .map(|sqlite| Box::new(sqlite) as Box<dyn Database>);
    }
    // SQLite falls back to reading in silence when the file refuses to be written.
    if sqlite
        .connection
        .is_readonly("main")
        .map_err(|e| sqlite.error(e))?
    {
        return Err(StoreError::ReadOnly {
            store: path.to_owned(),
        });
    }
    sqlite.prepare_connection()?;
    Ok(Box::new(sqlite))
}

/// One open file.
struct Sqlite {
    connection: Connection,
    place: Arc<str>,
    /// The file itself, whatever links lead to it: what lies beside it is found by this. None in
    /// memory.
    file: Option<PathBuf>,
    access: Access,
    /// Runs that are written here, with their lock; a store in memory needs none, because nobody
    /// else can reach it.
    held: RefCell<HashMap<RunId, Option<LockFile>>>,
}

/// The name of a store that is in memory only.
const MEMORY: &str = ":memory:";

impl Sqlite {
    /// Settings of the connection alone; they leave the file as it is.
    fn prepare_connection(&self) -> Result<(), StoreError> {
        let set = |name, value| {
            self.connection
                .pragma_update(None, name, value)
                .map_err(|e| self.error(e))
        };
        self.connection
            .busy_timeout(Duration::from_millis(BUSY_WAIT_MILLIS.into()))
            .map_err(|e| self.error(e))?;
        self.connection
            .set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        set("foreign_keys", "ON")?;
        set("synchronous", "FULL")?;
        // A schema from elsewhere must not be able to run functions of ours.
        set("trusted_schema", "OFF")
    }

    /// Sees to it that the file can be read; on a medium that takes no write at all SQLite cannot
    /// make the log's index, and the file is opened as one that nobody changes.
    ///
    /// Only when no log is left there: then the file alone is the whole store.
    fn ready_to_look(mut self) -> Result<Sqlite, StoreError> {
        let looked = self.prepare_connection().and_then(|()| self.tables());
        let Err(StoreError::CannotOpen { .. }) = &looked else {
            return looked.map(|_| self);
        };
        if self.has_log() {
            return looked.map(|_| self);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let path = self
            .place
            .replace('%', "%25")
            .replace('?', "%3f")
            .replace('#', "%23");
        let archive = Connection::open_with_flags(format!("file:{path}?immutable=1"), flags);
        self.connection = archive.map_err(|e| self.error(e))?;
        self.prepare_connection()?;
        Ok(self)
    }

    /// Whether a log lies beside the file.
    fn has_log(&self) -> bool {
        self.file.as_ref().is_some_and(|file| {
            let mut log = file.as_os_str().to_owned();
            log.push("-wal");
            Path::new(&log).exists()
        })
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.connection
            .execute_batch(sql)
            .map_err(|e| self.error(e))
    }

    fn error(&self, error: rusqlite::Error) -> StoreError {
        store_error(&self.place, error)
    }
}

impl Database for Sqlite {
    fn place(&self) -> &Arc<str> {
        &self.place
    }

    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let run = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            bind(&mut statement, values)?;
            statement.raw_execute()
        };
        run().map_err(|e| self.error(e))
    }

    fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let run = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            bind(&mut statement, values)?;
            let n_columns = statement.column_count();
            let mut answer = statement.raw_query();
            let mut rows = Vec::new();
            while let Some(row) = answer.next()? {
                let held = (0..n_columns).map(|column| Ok(held(row.get_ref(column)?)));
                rows.push(Row::new(
                    Arc::clone(&self.place),
                    held.collect::<rusqlite::Result<_>>()?,
                ));
            }
            Ok(rows)
        };
        run().map_err(|e| self.error(e))
    }

    fn migrate(&self, sql: &str) -> Result<(), StoreError> {
        self.run(sql)
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.query(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
            &[],
        )?;
        rows.iter()
            .map(|row| row.text(0).map(str::to_owned))
            .collect()
    }

    fn make_durable(&self) -> Result<(), StoreError> {
        // Kept in the file: readers then never wait for the line, nor the line for readers.
        let mode = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        let mode = self
            .connection
            .query_row("PRAGMA journal_mode = WAL", [], mode);
        match mode.map_err(|e| self.error(e))?.as_str() {
            "wal" | "memory" => Ok(()),
            other => Err(StoreError::CannotOpen {
                store: self.place.to_string(),
                reason: format!(
                    "journal mode is {other:?}, expected \"wal\"; is it on a network drive?"
                ),
            }),
        }
    }

    fn begin(&self) -> Result<(), StoreError> {
        // A deferred transaction that reads first is refused at once when another has written
        // meanwhile; this one waits its turn.
        self.execute("BEGIN IMMEDIATE", &[]).map(drop)
    }

    fn begin_alone(&self) -> Result<(), StoreError> {
        // SQLite has one writer anyway.
        self.begin()
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.execute("COMMIT", &[]).map(drop)
    }

    fn rollback(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.execute("ROLLBACK", &[]).map(drop)
    }

    fn hold(&self, run: RunId) -> Result<bool, StoreError> {
        if self.holds(run) {
            return Ok(true);
        }
        if self.access == Access::Read {
            return Err(StoreError::ReadOnly {
                store: self.place.to_string(),
            });
        }
        let lock = match &self.file {
            None => None,
            Some(file) => {
                let path = LockFile::path_of(file, run);
                match LockFile::take(&path) {
                    Ok(Some(lock)) => Some(lock),
                    Ok(None) => return Ok(false),
                    Err(error) => return Err(file_error(&path, &error)),
                }
            }
        };
        self.held.borrow_mut().insert(run, lock);
        Ok(true)
    }

    fn holds(&self, run: RunId) -> bool {
        self.held.borrow().contains_key(&run)
    }

    fn release(&self, run: RunId) {
        if let Some(Some(lock)) = self.held.borrow_mut().remove(&run)
            && let Err(error) = lock.release()
        {
            // The lock itself is free; an empty file more does no harm.
            tracing::debug!(%run, %error, "the lock file of a run stays");
        }
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let Some(path) = &self.file else {
            return Ok(None);
        };
        let space = rustix::fs::statvfs(path).map_err(|error| file_error(path, &error.into()))?;
        Ok(Some(space.f_bavail.saturating_mul(space.f_frsize)))
    }

    fn file_bytes(&self) -> Result<Option<FileBytes>, StoreError> {
        if self.file.is_none() {
            return Ok(None);
        }
        let setting = |name: &str| -> Result<u64, StoreError> {
            let found = self.query(&format!("PRAGMA {name}"), &[])?;
            let value = found.first().map_or(Ok(0), |row| row.int(0))?;
            Ok(value.unsigned_abs())
        };
        let page = setting("page_size")?;
        Ok(Some(FileBytes {
            all: page * setting("page_count")?,
            reusable: page * setting("freelist_count")?,
        }))
    }
}

/// What befell a file that SQLite does not know of.
fn file_error(path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let store = path.display().to_string();
    let kind = error.kind();
    if [StorageFull, QuotaExceeded].contains(&kind) {
        return StoreError::DiskFull { store };
    }
    if [ReadOnlyFilesystem, PermissionDenied].contains(&kind) {
        return StoreError::ReadOnly { store };
    }
    StoreError::Disk {
        store,
        found: error.to_string(),
    }
}

/// Binds `values` to `$1`, `$2`, …; SQLite takes these as names, so they are looked up by name.
fn bind(statement: &mut rusqlite::Statement<'_>, values: &[Value<'_>]) -> rusqlite::Result<()> {
    for (nth, value) in values.iter().enumerate() {
        let name = format!("${}", nth + 1);
        match statement.parameter_index(&name)? {
            Some(index) => statement.raw_bind_parameter(index, value)?,
            None => return Err(rusqlite::Error::InvalidParameterName(name)),
        }
    }
    Ok(())
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(value),
            Value::Real(value) => ValueRef::Real(value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

fn held(value: ValueRef<'_>) -> Held {
    match value {
        ValueRef::Null => Held::Null,
        ValueRef::Integer(value) => Held::Int(value),
        ValueRef::Real(value) => Held::Real(value),
        ValueRef::Text(value) => Held::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Held::Blob(value.to_owned()),
    }
}

fn store_error(place: &str, error: rusqlite::Error) -> StoreError {
    let store = place.to_owned();
    let found = error.to_string();
    // The low byte is the kind of failure; the rest says where it struck.
    match error
        .sqlite_error()
        .map(|failure| failure.extended_code & 0xFF)
    {
        Some(ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) => StoreError::Busy {
            store,
            waited_millis: BUSY_WAIT_MILLIS,
        },
        Some(ffi::SQLITE_READONLY | ffi::SQLITE_PERM) => StoreError::ReadOnly { store },
        Some(ffi::SQLITE_FULL) => StoreError::DiskFull { store },
        Some(ffi::SQLITE_CORRUPT) => StoreError::Corrupt { store, found },
        Some(ffi::SQLITE_NOTADB) => StoreError::NotAStore {
            store,
            found: "a file that is no SQLite database".to_owned(),
        },
        Some(ffi::SQLITE_CANTOPEN) => StoreError::CannotOpen {
            store,
            reason: found,
        },
        Some(ffi::SQLITE_IOERR) => StoreError::Disk { store, found },
        _ => StoreError::Database {
            store,
            source: Box::new(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_synced_and_references_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("selvedge.db");
        let sqlite = connect(path.to_str().unwrap(), Access::Write).unwrap();
        sqlite.make_durable().unwrap();
        let setting = |name: &str| {
            let rows = sqlite.query(&format!("PRAGMA {name}"), &[]).unwrap();
            rows[0]
                .int(0)
                .map_or_else(|_| rows[0].text(0).unwrap().to_owned(), |n| n.to_string())
        };
        assert_eq!(setting("synchronous"), "2", "2 is FULL");
        assert_eq!(setting("journal_mode"), "wal");
        assert_eq!(setting("foreign_keys"), "1");
        assert_eq!(setting("busy_timeout"), BUSY_WAIT_MILLIS.to_string());
    }

    #[test]
    fn a_lock_that_lasts_is_busy_and_not_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("selvedge.db");
        let first = connect(path.to_str().unwrap(), Access::Write).unwrap();
        first.make_durable().unwrap();
        let second = connect(path.to_str().unwrap(), Access::Write).unwrap();
        second.query("PRAGMA busy_timeout = 1", &[]).unwrap();
        first.begin().unwrap();
        let refused = second.begin();
        assert!(
            matches!(refused, Err(StoreError::Busy { .. })),
            "{refused:?}"
        );
        first.rollback().unwrap();
        second.begin().unwrap();
    }

    #[test]
    fn values_are_bound_by_their_number() {
        let sqlite = connect(":memory:", Access::Write).unwrap();
        let rows = sqlite
            .query("SELECT $2, $1, $2", &[7.into(), "x".into()])
            .unwrap();
        assert_eq!(
            (rows[0].text(0).unwrap(), rows[0].int(1).unwrap()),
            ("x", 7)
        );
        assert!(rows[0].real(0).is_err() && rows[0].blob(3).is_err());
    }
}
