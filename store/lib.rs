//! The QC store: what was taught, what was inspected, what was found, what was not looked at.
//!
//! ```text
//! Store ──▶ articles   articles, models under their digest, which one is active
//!       ──▶ runs       stations, rolls, the beginning and end of a run
//!       ──▶ append     coverage, flaws with crops, candidates, events: one transaction a batch
//!       ──▶ resume     going on with a run that was cut off
//!       ──▶ retention  what is forgotten by rule, and the mark that it leaves
//!       ──▶ look       everything back, for people and for the review
//!       ──▶ entries    what people did, appended only; chain: why nobody changes it unseen
//!       ──▶ verdicts, accounts, signatures   what stands, each written together with its entry
//!       ──▶ rolls, flaws, trends             pages of it, quick however much there is
//!       ──▶ verify     whether all that is whole and agrees
//! rows (the one place where rows become these types) ──▶ schema ──▶ database
//! ```
//!
//! A call that writes returns when what it wrote is on the disk: a flaw is durable before anyone
//! hears of it. A [`Store`] is one connection for one thread; readers open their own and never
//! make a writer wait. A run whose process was killed stays [`RunState::Running`] with the time of
//! its last write, and can be resumed. Lengths are `i64` micrometres, areas square micrometres, times microseconds
//! since 1970 UTC. Class, severity and reason are text of the pipeline's; the store does not judge
//! them; nor does it judge who may do what. It imports no other crate of Selvedge and keeps no raw frames.

mod accounts;
mod append;
mod articles;
mod chain;
mod coverage;
mod database;
mod entries;
mod flaws;
mod look;
mod names;
mod page;
mod rect;
mod resume;
mod retention;
mod rolls;
mod rows;
mod runs;
mod schema;
mod signatures;
mod trends;
mod verdicts;
mod verify;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use accounts::{Account, Role, Token};
pub use append::{Batch, Crop, CropPlace, EventSeverity, NewCandidate, NewCrop, NewEvent, NewFlaw};
pub use articles::{Article, Model, NewModel};
pub use chain::{Chain, ChainKey, EntryHash};
pub use coverage::{CoverState, CoverageCell, CoverageTotals};
pub use entries::{
    BODY_MAX_BYTES, By, EntriesFilter, Entry, EntryKind, EntryPlace, EntryRef, NewEntry,
};
pub use flaws::{FlawsFilter, FlawsOrder, JudgedFlaw, VerdictFilter};
pub use look::{Candidate, CropLeftOut, Event, Flaw, RollSummary};
pub use names::{ArticleId, Digest, FlawId, NAME_MAX_CHARS, Name, RollId, RunId};
pub use page::Page;
pub use rect::Rect;
pub use resume::{RESUMED, Resumed};
pub use retention::{
    Amount, FileBytes, Keep, KindPlan, Removed, RetentionKind, RetentionPlan, RetentionRules,
    is_removal,
};
pub use rolls::{FlawCounts, RollRow, RollsFilter, RollsOrder, RollsPlace};
pub use runs::{ClothWidth, EndState, LengthKnown, NewRun, RollChoice, Run, RunEnd, RunState};
pub use schema::SCHEMA_VERSION;
pub use signatures::{NewSignature, Signature};
pub use trends::{Trend, TrendBy};
pub use verdicts::{Decision, NOTE_MAX_CHARS, NewVerdict, Undone, Verdict, Whose};
pub use verify::{Break, ChainReport, Verified};

use database::{Access, Database};
use schema::Found;

/// One connection to a QC store. Closes when dropped; a transaction under way is taken back.
pub struct Store {
    database: Box<dyn Database>,
}

impl Store {
    /// Opens the store for writing, makes it if it is not there, and brings it to this version.
    ///
    /// `url` is a file's path, `sqlite:PATH`, `:memory:` (gone when dropped), or
    /// `postgres://user@host/database` where the feature `postgres` is built in.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::NotAStore`], [`StoreError::ReadOnly`],
    /// [`StoreError::CannotOpen`], [`StoreError::NotBuiltIn`], [`StoreError::Busy`]; the file is
    /// then as it was.
    pub fn open(url: &str) -> Result<Store, StoreError> {
        Store::open_with(url, Access::Write)
    }

    /// Opens a store that is there, to look only: every writing call is [`StoreError::ReadOnly`].
    ///
    /// A store of an older version is brought to this one first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none, otherwise as [`Store::open`].
    pub fn open_existing(url: &str) -> Result<Store, StoreError> {
        let looked = match Store::look_at(url) {
            // A power cut while the file was made leaves a change half done, which only a writer
            // can take back; whatever refuses a writer is told by that one.
            Err(StoreError::ReadOnly { .. }) => {
                database::connect(url, Access::WriteExisting)?.tables()?;
                Store::look_at(url)
            }
            looked => looked,
        };
        let (database, found) = looked?;
        match found {
            Found::Version(SCHEMA_VERSION) => Ok(Store { database }),
            Found::Version(_) => {
                drop(database);
                Store::open_with(url, Access::WriteExisting)?;
                Ok(Store {
                    database: database::connect(url, Access::Read)?,
                })
            }
            Found::Empty => Err(StoreError::NotAStore {
                store: database.place().to_string(),
                found: "an empty database".to_owned(),
            }),
        }
    }

    /// Tries whether the store that is there takes a row, and takes it back: it is as it was then.
    ///
    /// # Errors
    /// What a writer would be told, such as [`StoreError::ReadOnly`] or [`StoreError::Busy`];
    /// [`StoreError::NotFound`] when there is none.
    pub fn try_writing(url: &str) -> Result<(), StoreError> {
        let store = Store::open_with(url, Access::WriteExisting)?;
        database::taken_back(&*store.database, runs::try_station)
    }

    fn look_at(url: &str) -> Result<(Box<dyn Database>, Found), StoreError> {
        let database = database::connect(url, Access::Read)?;
        let found = schema::look(&*database)?;
        Ok((database, found))
    }

    /// Bytes that may still be written where the store is; none when that is not known here: a
    /// server's disk is its own, and a store in memory has none.
    ///
    /// # Errors
    /// [`StoreError::Disk`] when the file system does not say.
    pub fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        self.database.free_bytes()
    }

    fn open_with(url: &str, access: Access) -> Result<Store, StoreError> {
        let database = database::connect(url, access)?;
        let since = Instant::now();
        loop {
            // SQLite refuses at once, without its usual patience, whoever comes while another
            // process makes the same file durable. Each step may be done again.
            match Store::prepare(&*database) {
                Err(StoreError::Busy { .. }) if since.elapsed() < OPENING_PATIENCE => {
                    std::thread::sleep(OPENING_PAUSE);
                }
                prepared => return prepared.map(|()| Store { database }),
            }
        }
    }

    fn prepare(database: &dyn Database) -> Result<(), StoreError> {
        schema::look(database)?;
        database.make_durable()?;
        schema::migrate(database)
    }
}

/// How long opening waits for others that open the same store, and how long between two tries.
const OPENING_PATIENCE: Duration = Duration::from_secs(5);
const OPENING_PAUSE: Duration = Duration::from_millis(10);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("place", self.database.place())
            .finish()
    }
}

/// Microseconds since 1970 UTC, as the store keeps times.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 or after the year 290 000 is a clock that was never set.
    since
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store to look into.
    #[error(
        "no store at {store:?}; expected a file that `selvedge teach` or `selvedge inspect` has made, or another one named with --store"
    )]
    NotFound {
        /// The path that was looked at.
        store: String,
    },
    /// A newer program has written here; this one would damage it.
    #[error(
        "store {store:?} has version {found}, expected at most {expected}; use the newer program"
    )]
    Newer {
        /// Where the store is.
        store: String,
        /// The version of the store.
        found: i64,
        /// The newest version that this program knows.
        expected: i64,
    },
    /// Something is there, but not a store.
    #[error("{store:?} is not a QC store: found {found}, expected a store or nothing")]
    NotAStore {
        /// Where it is.
        store: String,
        /// What was found instead.
        found: String,
    },
    /// The store can be read but not written.
    #[error(
        "store {store:?} is read-only, expected to write; check the file's and its folder's permissions and where it is mounted"
    )]
    ReadOnly {
        /// Where the store is.
        store: String,
    },
    /// The file or the server cannot be opened at all.
    #[error(
        "store {store:?} cannot be opened: {reason}; expected a file in a folder that is there and can be written, or a server that answers"
    )]
    CannotOpen {
        /// Where it should be.
        store: String,
        /// What stood in the way.
        reason: String,
    },
    /// PostgreSQL was asked for and this program has none.
    #[error(
        "found a postgres:// address, but this program was built without PostgreSQL; expected a file's path, or a build with the feature \"postgres\""
    )]
    NotBuiltIn,
    /// Another process kept a transaction open for too long.
    #[error("store {store:?} was locked by another program for {waited_millis} ms")]
    Busy {
        /// Where the store is.
        store: String,
        /// How long this call waited.
        waited_millis: u32,
    },
    /// Nothing more fits on the disk; what was written before is safe.
    #[error(
        "the disk of store {store:?} is full; make room there, what was written before is safe"
    )]
    DiskFull {
        /// Where the store is.
        store: String,
    },
    /// The server is gone or has thrown this connection out. Whether a commit that was under way
    /// was still done is not known; what was announced before is safe.
    #[error(
        "the connection to store {store:?} was lost: {found}; expected a server that stays, what was announced before is safe"
    )]
    ConnectionLost {
        /// Where the store is.
        store: String,
        /// What was said last.
        found: String,
    },
    /// The disk refused to read or write.
    #[error(
        "the disk of store {store:?} failed: {found}; look at the disk and its cable before writing on, what was announced before is safe"
    )]
    Disk {
        /// Where the store is.
        store: String,
        /// What the disk said.
        found: String,
    },
    /// The file holds what the store never wrote.
    #[error("store {store:?} is damaged: found {found}")]
    Corrupt {
        /// Where the store is.
        store: String,
        /// What was found and expected.
        found: String,
    },
    /// A value that must not reach the tables.
    #[error("{what} cannot be used: found {found}, expected {expected}")]
    Invalid {
        /// What kind of value.
        what: &'static str,
        /// The value, shortened.
        found: String,
        /// What would do.
        expected: String,
    },
    /// Something was named that the store does not hold.
    #[error("store {store:?} holds no {what} {key:?}")]
    Unknown {
        /// Where the store is.
        store: String,
        /// What kind of thing.
        what: &'static str,
        /// Its name or id.
        key: String,
    },
    /// The digest is known under another passport or article: one of the two is not what it says.
    #[error(
        "model {digest} is already in the store with another {what}; a model is never overwritten"
    )]
    ModelDiffers {
        /// The digest of both.
        digest: Digest,
        /// In what they differ.
        what: &'static str,
    },
    /// Rows were offered to a run that takes no more.
    #[error("run {run} has ended ({state}), expected a run that is running")]
    RunEnded {
        /// The run.
        run: RunId,
        /// How it had ended.
        state: RunState,
    },
    /// A living process writes this run.
    #[error("run {run} is being written by another process, expected one whose process has ended")]
    RunHeld {
        /// The run.
        run: RunId,
    },
    /// The name is another's.
    #[error("{what} {name:?} is there already, expected a name that nobody has")]
    Taken {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A chain of entries is not whole at its end; what is there stays as it is.
    #[error(
        "chain {chain:?} takes no more entries: found {found}, expected {expected}; look with `selvedge audit verify`, keep the store as it is, and go on under another chain's name"
    )]
    Chain {
        /// Its name.
        chain: String,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// The key of the chains or its head file cannot be used; what it holds is never told.
    #[error("{path:?} cannot be used: found {found}, expected {expected}")]
    Key {
        /// The file.
        path: String,
        /// What stood in the way.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// The database failed in a way that has no name here.
    #[error("store {store:?} failed")]
    Database {
        /// Where the store is.
        store: String,
        /// What the database says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
