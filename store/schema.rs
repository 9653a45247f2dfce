//! Which tables a store has, by version, and how an older one becomes a newer one.
//!
//! The migrations are part of the program and run in one transaction when a store is opened for
//! writing: it is then wholly at [`SCHEMA_VERSION`] or untouched. A newer version's store is
//! refused before a byte of it changes. Nothing here runs backwards.

use crate::database::{Database, transaction_alone};
use crate::{StoreError, now_us};

/// The version this program reads and writes.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// The nth entry (from 1) leads to version n.
const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_crops_left_out.sql"),
    include_str!("migrations/0003_roll_facts.sql"),
    include_str!("migrations/0004_verdicts.sql"),
];

/// The table that makes a database a store.
const VERSION_TABLE: &str = "selvedge_schema";

/// What a database turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// No tables at all: a store may be made here.
    Empty,
    /// A store of this version, not newer than [`SCHEMA_VERSION`].
    Version(i64),
}

/// Looks without changing anything.
///
/// # Errors
/// [`StoreError::Newer`] and [`StoreError::NotAStore`] for what must be left alone.
pub(crate) fn look(database: &dyn Database) -> Result<Found, StoreError> {
    let tables = database.tables()?;
    let store = || database.place().to_string();
    if tables.is_empty() {
        return Ok(Found::Empty);
    }
    if !tables.iter().any(|table| table == VERSION_TABLE) {
        let found = format!(
            "a database with the table {:?} and no {VERSION_TABLE:?}",
            tables[0]
        );
        return Err(StoreError::NotAStore {
            store: store(),
            found,
        });
    }
    let rows = database.query("SELECT MAX(version) FROM selvedge_schema", &[])?;
    let found = match rows.first() {
        Some(row) => row.int(0)?,
        None => 0,
    };
    if found > SCHEMA_VERSION {
        return Err(StoreError::Newer {
            store: store(),
            found,
            expected: SCHEMA_VERSION,
        });
    }
    Ok(Found::Version(found))
}

/// Brings the store to [`SCHEMA_VERSION`], all at once.
pub(crate) fn migrate(database: &dyn Database) -> Result<(), StoreError> {
    if look(database)? == Found::Version(SCHEMA_VERSION) {
        return Ok(());
    }
    transaction_alone(database, |database| {
        // Looked at again: another process may have been first while this one waited.
        let from = match look(database)? {
            Found::Empty => 0,
            Found::Version(version) => version,
        };
        for (to, migration) in (1..).zip(MIGRATIONS).filter(|(to, _)| *to > from) {
            database.migrate(migration)?;
            let sql = "INSERT INTO selvedge_schema (version, migrated_at) VALUES ($1, $2)";
            database.execute(sql, &[to.into(), now_us().into()])?;
            tracing::info!(store = %database.place(), version = to, "the store has a new version");
        }
        Ok(())
    })
}
