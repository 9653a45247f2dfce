//! PostgreSQL behind [`Database`].
//!
//! The same statements as SQLite; only the type words of a migration are exchanged. The server
//! does the syncing (`synchronous_commit` is turned on, whatever its configuration says). The
//! connection is plain: reach a server on another machine through a tunnel until TLS is added.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use postgres::error::SqlState;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config, NoTls, Statement};

use crate::database::{Access, BUSY_WAIT_MILLIS, Database, Held, Row, Value};
use crate::{FileBytes, RunId, StoreError};

/// SQLite's words of a migration and PostgreSQL's.
const TYPE_WORDS: [(&str, &str); 4] = [
    (" BLOB", " BYTEA"),
    (" INTEGER", " BIGINT"),
    (" REAL", " DOUBLE PRECISION"),
    (") STRICT;", ");"),
];

/// A station that lost its power says no farewell: the server frees its runs after half a minute of
/// silence. Connections on one machine, through a socket, take no such setting and need none.
const NOTICE_THE_DEAD: &str =
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// The same seen from here: a server that lost its power says no farewell either, and a line that
/// waits for it looks at no cloth. What was sent must be taken within ten seconds, a silent
/// connection is asked after as many, and so is an address that nobody answers at. What the
/// store's address says itself goes before.
const SERVER_PATIENCE: Duration = Duration::from_secs(10);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(3);
const N_KEEPALIVES: u32 = 3;

/// The advisory lock of whoever looks before it writes. Pairs and single numbers are two spaces, so
/// it never meets a run's lock.
const ALONE: &str = "SELECT pg_advisory_xact_lock(1398099030, 1)";

pub(in crate::database) fn connect(
    url: &str,
    access: Access,
) -> Result<Box<dyn Database>, StoreError> {
    let place = without_password(url);
    let cannot_open = |reason: String| StoreError::CannotOpen {
        store: place.clone(),
        reason,
    };
    let config = config_of(url).map_err(|error| cannot_open(chain(&error)))?;
    let client = config
        .connect(NoTls)
        .map_err(|error| cannot_open(chain(&error)))?;
    let server = Postgres {
        client: RefCell::new(client),
        prepared: RefCell::new(HashMap::new()),
        held: RefCell::default(),
        place: place.as_str().into(),
    };
    server.run(&format!("SET lock_timeout = {BUSY_WAIT_MILLIS}"))?;
    server.run(NOTICE_THE_DEAD)?;
    if access == Access::Read {
        server.run("SET default_transaction_read_only = on")?;
    }
    Ok(Box::new(server))
}

/// What the address says, and for how long a dead server is waited for.
fn config_of(url: &str) -> Result<Config, postgres::Error> {
    let mut config: Config = url.parse()?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(SERVER_PATIENCE);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SERVER_PATIENCE);
    }
    if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        config
            .keepalives_idle(SERVER_PATIENCE)
            .keepalives_interval(KEEPALIVES_INTERVAL)
            .keepalives_retries(N_KEEPALIVES);
    }
    Ok(config)
}

/// One connection to a server.
struct Postgres {
    client: RefCell<Client>,
    /// Statements the server has compiled, by their text; they end with the connection.
    prepared: RefCell<HashMap<String, Statement>>,
    /// Runs whose advisory lock is held here; the server frees them with the connection.
    held: RefCell<HashSet<RunId>>,
    place: Arc<str>,
}

impl Postgres {
    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.client
            .borrow_mut()
            .batch_execute(sql)
            .map_err(|e| self.error(e))
    }

    fn prepare(&self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.prepared.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self
            .client
            .borrow_mut()
            .prepare(sql)
            .map_err(|e| self.error(e))?;
        self.prepared
            .borrow_mut()
            .insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn error(&self, error: postgres::Error) -> StoreError {
        let store = self.place.to_string();
        let Some(code) = error.code().cloned() else {
            let is_lost = error.is_closed()
                || std::error::Error::source(&error)
                    .is_some_and(|cause| cause.is::<std::io::Error>());
            if is_lost {
                let found = chain(&error);
                return StoreError::ConnectionLost { store, found };
            }
            return StoreError::Database {
                store,
                source: Box::new(error),
            };
        };
        let any_of = |codes: &[SqlState]| codes.contains(&code);
        if any_of(&[
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]) {
            return StoreError::Busy {
                store,
                waited_millis: BUSY_WAIT_MILLIS,
            };
        }
        if any_of(&[
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::INSUFFICIENT_PRIVILEGE,
        ]) {
            return StoreError::ReadOnly { store };
        }
        if any_of(&[
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::CONNECTION_FAILURE,
            SqlState::CONNECTION_DOES_NOT_EXIST,
        ]) {
            let found = chain(&error);
            return StoreError::ConnectionLost { store, found };
        }
        if code == SqlState::DISK_FULL {
            return StoreError::DiskFull { store };
        }
        if any_of(&[SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED]) {
            return StoreError::Corrupt {
                store,
                found: chain(&error),
            };
        }
        if code == SqlState::IO_ERROR {
            return StoreError::Disk {
                store,
                found: chain(&error),
            };
        }
        StoreError::Database {
            store,
            source: Box::new(error),
        }
    }
}

impl Database for Postgres {
    fn place(&self) -> &Arc<str> {
        &self.place
    }

    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let statement = self.prepare(sql)?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| v as _).collect();
        let changed = self.client.borrow_mut().execute(&statement, &values);
        // A table has fewer rows than memory has bytes.
        Ok(changed.map_err(|e| self.error(e))? as usize)
    }

    fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql)?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| v as _).collect();
        let rows = self
            .client
            .borrow_mut()
            .query(&statement, &values)
            .map_err(|e| self.error(e))?;
        let row = |row: &postgres::Row| {
            let held = (0..row.len())
                .map(|column| held(row, column))
                .collect::<Result<_, _>>()?;
            Ok(Row::new(Arc::clone(&self.place), held))
        };
        rows.iter()
            .map(row)
            .collect::<Result<_, postgres::Error>>()
            .map_err(|e| self.error(e))
    }

    fn migrate(&self, sql: &str) -> Result<(), StoreError> {
        let translated = |sql: String, (from, to): (&str, &str)| sql.replace(from, to);
        self.run(&TYPE_WORDS.into_iter().fold(sql.to_owned(), translated))
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT CAST(table_name AS TEXT) FROM information_schema.tables \
                   WHERE table_schema = current_schema() ORDER BY table_name";
        self.query(sql, &[])?
            .iter()
            .map(|row| row.text(0).map(str::to_owned))
            .collect()
    }

    fn make_durable(&self) -> Result<(), StoreError> {
        self.run("SET synchronous_commit = on")
    }

    fn begin(&self) -> Result<(), StoreError> {
        self.run("BEGIN")
    }

    fn begin_alone(&self) -> Result<(), StoreError> {
        self.run("BEGIN")?;
        self.run(ALONE).inspect_err(|_| {
            if let Err(error) = self.rollback() {
                tracing::debug!(%error, "rolling back a transaction failed");
            }
        })
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.run("COMMIT")
    }

    fn rollback(&self) -> Result<(), StoreError> {
        self.run("ROLLBACK")
    }

    fn hold(&self, run: RunId) -> Result<bool, StoreError> {
        if self.holds(run) {
            return Ok(true);
        }
        // Like SQLite: who may only look holds nothing.
        let sql = "SELECT CAST(pg_try_advisory_lock($1) AS INT)::BIGINT, \
                   CAST(current_setting('transaction_read_only') = 'on' AS INT)::BIGINT";
        let rows = self.query(sql, &[lock_number(run).into()])?;
        let answer = |column| rows.first().map_or(Ok(0), |row| row.int(column));
        let (is_mine, is_read_only) = (answer(0)? == 1, answer(1)? == 1);
        if is_mine {
            self.held.borrow_mut().insert(run);
        }
        if is_read_only {
            self.release(run);
            return Err(StoreError::ReadOnly {
                store: self.place.to_string(),
            });
        }
        Ok(is_mine)
    }

    fn holds(&self, run: RunId) -> bool {
        self.held.borrow().contains(&run)
    }

    fn release(&self, run: RunId) {
        if !self.held.borrow_mut().remove(&run) {
            return;
        }
        let sql = "SELECT CAST(pg_advisory_unlock($1) AS INT)::BIGINT";
        if let Err(error) = self.query(sql, &[lock_number(run).into()]) {
            // A connection that cannot say this is gone, and its locks with it.
            tracing::debug!(%run, %error, "freeing a run's lock failed");
        }
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn file_bytes(&self) -> Result<Option<FileBytes>, StoreError> {
        Ok(None)
    }
}

/// The number of a run's advisory lock: the random half of its id.
fn lock_number(run: RunId) -> i64 {
    let mut half = [0; 8];
    half.copy_from_slice(&run.as_bytes()[8..]);
    i64::from_le_bytes(half)
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match *self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(value) => value.to_sql_checked(ty, out),
            Value::Real(value) => value.to_sql_checked(ty, out),
            Value::Text(value) => value.to_sql_checked(ty, out),
            Value::Blob(value) => value.to_sql_checked(ty, out),
        }
    }

    fn accepts(_ty: &Type) -> bool {
        // Each kind of value checks the column's type itself, above.
        true
    }

    to_sql_checked!();
}

fn held(row: &postgres::Row, column: usize) -> Result<Held, postgres::Error> {
    let ty = row.columns()[column].type_();
    let held = if *ty == Type::INT8 {
        row.try_get::<_, Option<i64>>(column)?.map(Held::Int)
    } else if *ty == Type::FLOAT8 {
        row.try_get::<_, Option<f64>>(column)?.map(Held::Real)
    } else if *ty == Type::BYTEA {
        row.try_get::<_, Option<Vec<u8>>>(column)?.map(Held::Blob)
    } else {
        row.try_get::<_, Option<String>>(column)?.map(Held::Text)
    };
    Ok(held.unwrap_or(Held::Null))
}

/// An error with its causes: the outer text alone says only "db error".
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// `postgres://user:secret@host/name?password=secret` as `postgres://user@host/name`.
fn without_password(url: &str) -> String {
    let url = url.split('?').next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else {
        return "postgres".to_owned();
    };
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}")
        }
        // Without a user; a password that holds the '?' cut off above ends here too.
        None => format!("{scheme}://{}", rest.split(':').next().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_gone_is_noticed_from_here() {
        let config = config_of("postgres://mill@db.mill/qc").unwrap();
        assert_eq!(config.get_connect_timeout(), Some(&SERVER_PATIENCE));
        assert_eq!(config.get_tcp_user_timeout(), Some(&SERVER_PATIENCE));
        assert!(config.get_keepalives());
        assert_eq!(config.get_keepalives_idle(), SERVER_PATIENCE);
        assert_eq!(config.get_keepalives_interval(), Some(KEEPALIVES_INTERVAL));
        assert_eq!(config.get_keepalives_retries(), Some(N_KEEPALIVES));

        let url =
            "postgres://mill@db.mill/qc?connect_timeout=3&tcp_user_timeout=4&keepalives_idle=5";
        let config = config_of(url).unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(config.get_connect_timeout(), Some(&seconds(3)));
        assert_eq!(config.get_tcp_user_timeout(), Some(&seconds(4)));
        assert_eq!(config.get_keepalives_idle(), seconds(5));
    }

    #[test]
    fn no_message_shows_a_password() {
        let url = "postgres://mill:se@cret@db.mill/qc?password=secret";
        assert_eq!(without_password(url), "postgres://mill@db.mill/qc");
        assert_eq!(
            without_password("postgres://mill:sec?ret@db.mill/qc"),
            "postgres://mill"
        );
    }
}
