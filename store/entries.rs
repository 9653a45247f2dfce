//! What people did: entries that are only ever appended, each chained to the one before.
//!
//! ```text
//! By (who, on which chain) ─▶ one transaction: entry + the row it changes ─▶ head file ─▶ EntryRef
//! ```
//!
//! Verdicts, accounts, tokens and signatures write their entries here, in the transaction that changes what
//! stands; [`Store::record`] keeps what has no table. A transaction that appends is alone in the store, so numbers
//! have no holes and none is given twice, whoever writes at the same time. Nothing updates or deletes an
//! entry, and retention cannot name one. Whether a role may do what it does is the caller's to know.

use std::fmt;
use std::str::FromStr;

use crate::accounts::Role;
use crate::chain::{Chain, ChainKey, EntryHash, Head};
use crate::database::{Conditions, Database, Value, insert, transaction_alone};
use crate::names::{Name, RunId};
use crate::page::{Page, page_length};
use crate::{Store, StoreError, now_us, rows};

/// Longest body of an entry, in bytes.
pub const BODY_MAX_BYTES: usize = 65_536;

/// Who does something, and where that is kept.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The chain of the place where it is done.
    pub chain: &'a Chain,
    /// Who: an account, a token, or the user of the machine.
    pub account: &'a Name,
    /// The role in which it is done.
    pub role: Role,
}

/// Makes an enum of words that stand in the tables.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$of:meta])* $word:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$of])* $word),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$word),+];

            /// The word in the tables.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$word => $text),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::StoreError;

            fn from_str(text: &str) -> Result<$name, $crate::StoreError> {
                let known = $name::ALL.iter().find(|known| known.as_str() == text);
                known.copied().ok_or_else(|| $crate::StoreError::Invalid {
                    what: $what,
                    found: format!("{:?}", text.chars().take(40).collect::<String>()),
                    expected: [$($text),+].join(", "),
                })
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What kind of thing was done.
    EntryKind, "kind of entry" {
        /// A verdict was given on a flaw.
        Verdict = "verdict",
        /// A verdict was taken back.
        Undo = "undo",
        /// A roll with gaps was signed to be gradable as first quality, or that was withdrawn.
        Grade = "grade",
        /// An account was made or changed.
        Account = "account",
        /// A token was made or revoked.
        Token = "token",
        /// A setting was changed.
        Setting = "setting",
        /// Somebody came in, or was refused.
        Login = "login",
        /// A roll was begun or ended by a person.
        Order = "order",
        /// An alarm was acknowledged.
        Alarm = "alarm",
    }
}

impl EntryKind {
    /// Whether a table says where these stand; then only what writes the table writes these.
    fn has_table(self) -> bool {
        match self {
            EntryKind::Verdict
            | EntryKind::Undo
            | EntryKind::Grade
            | EntryKind::Account
            | EntryKind::Token => true,
            EntryKind::Setting | EntryKind::Login | EntryKind::Order | EntryKind::Alarm => false,
        }
    }
}

/// Something done that has no table of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What kind of thing; one of setting, login, order, alarm.
    pub kind: EntryKind,
    /// What it was done to: a setting, an account, a roll, an alarm.
    pub subject: Name,
    /// The run it belongs to, if it does to one.
    pub run: Option<RunId>,
    /// What was before and what is now: one JSON object.
    pub body_json: String,
}

/// Where an entry is, and its hash; with these two noted elsewhere nobody can change what is before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRef {
    /// Its chain.
    pub chain: Name,
    /// Its number there.
    pub number: i64,
    /// Its hash.
    pub hash: EntryHash,
}

/// An entry as it stands in the store. Text is as it was found: only [`Store::verify_chains`] says whether it is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its chain.
    pub chain: String,
    /// Its number there, from 1.
    pub number: i64,
    /// When, microseconds since 1970 UTC.
    pub at_us: i64,
    /// Who.
    pub account: String,
    /// In which role.
    pub role: String,
    /// What kind of thing; [`EntryKind`] knows the words of this version.
    pub kind: String,
    /// What it was done to.
    pub subject: String,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// What was before and what is now.
    pub body_json: String,
    /// Its hash.
    pub hash: EntryHash,
}

impl Entry {
    /// Where it stands among all, newest first.
    pub fn place(&self) -> EntryPlace {
        EntryPlace {
            at_us: self.at_us,
            number: self.number,
            chain: self.chain.clone(),
        }
    }
}

/// Where a page of entries ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPlace {
    at_us: i64,
    number: i64,
    chain: String,
}

impl fmt::Display for EntryPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.at_us, self.number, self.chain)
    }
}

impl FromStr for EntryPlace {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<EntryPlace, StoreError> {
        let read = || {
            let (at, rest) = text.split_once('.')?;
            let (number, chain) = rest.split_once('.')?;
            Some(EntryPlace {
                at_us: at.parse().ok()?,
                number: number.parse().ok()?,
                chain: Name::new(chain).ok()?.as_str().to_owned(),
            })
        };
        read().ok_or_else(|| StoreError::Invalid {
            what: "place among entries",
            found: format!("{:?}", text.chars().take(64).collect::<String>()),
            expected: "what a page before said".to_owned(),
        })
    }
}

/// Which entries; what is left out is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntriesFilter {
    /// Of this chain.
    pub chain: Option<Name>,
    /// By this account.
    pub account: Option<Name>,
    /// Of this kind.
    pub kind: Option<EntryKind>,
    /// On this subject.
    pub subject: Option<Name>,
    /// Of this run.
    pub run: Option<RunId>,
    /// From this time on, microseconds since 1970 UTC.
    pub from_us: Option<i64>,
    /// Before this time.
    pub to_us: Option<i64>,
}

impl Store {
    /// Keeps that something was done which no table shows.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a kind that has a table, a body that is no JSON object or longer than
    /// [`BODY_MAX_BYTES`], [`StoreError::Unknown`] for a run that is not there, [`StoreError::Chain`] when the
    /// chain is not whole at its end, and the database's.
    pub fn record(&mut self, by: &By<'_>, entry: &NewEntry) -> Result<EntryRef, StoreError> {
        if entry.kind.has_table() {
            return Err(StoreError::Invalid {
                what: "kind of entry",
                found: format!("{:?}", entry.kind.as_str()),
                expected: "setting, login, order or alarm".to_owned(),
            });
        }
        let body: Result<serde_json::Map<_, _>, _> = serde_json::from_str(&entry.body_json);
        if let Err(error) = body {
            return Err(StoreError::Invalid {
                what: "body of an entry",
                found: error.to_string(),
                expected: "one JSON object".to_owned(),
            });
        }
        written(&*self.database, by, |database, tail| {
            if let Some(run) = entry.run {
                crate::runs::known_run(database, run)?;
            }
            let draft = Draft {
                kind: entry.kind,
                subject: entry.subject.as_str().to_owned(),
                run: entry.run,
                body_json: entry.body_json.clone(),
            };
            tail.append_one(database, draft)
        })
    }

    /// Entries that `filter` takes, the newest first.
    ///
    /// # Errors
    /// The database's only.
    pub fn entries(
        &self,
        filter: &EntriesFilter,
        after: Option<&EntryPlace>,
        n_most: u32,
    ) -> Result<Page<Entry, EntryPlace>, StoreError> {
        let n_most = page_length(n_most);
        let mut such = Conditions::new(rows::SELECT_ENTRY);
        if let Some(chain) = &filter.chain {
            such.and("chain = ", chain.as_str().into());
        }
        if let Some(account) = &filter.account {
            such.and("account = ", account.as_str().into());
        }
        if let Some(kind) = filter.kind {
            such.and("kind = ", kind.as_str().into());
        }
        if let Some(subject) = &filter.subject {
            such.and("subject = ", subject.as_str().into());
        }
        if let Some(run) = &filter.run {
            such.and("run = ", run.as_bytes()[..].into());
        }
        if let Some(from) = filter.from_us {
            such.and("at >= ", from.into());
        }
        if let Some(to) = filter.to_us {
            such.and("at < ", to.into());
        }
        if let Some(place) = after {
            let values = [
                place.at_us.into(),
                place.chain.as_str().into(),
                place.number.into(),
            ];
            such.and_below("(at, chain, number)", &values);
        }
        such.end(
            " ORDER BY at DESC, chain DESC, number DESC LIMIT ",
            (n_most + 1).into(),
        );
        let found = self.database.query(such.sql(), such.values())?;
        let found = found.iter().map(rows::entry).collect::<Result<_, _>>()?;
        Ok(Page::of(found, n_most as usize, Entry::place))
    }

    /// The last entry of a chain, to be noted elsewhere; none when the chain has none.
    ///
    /// # Errors
    /// The database's only.
    pub fn last_entry(&self, chain: &Name) -> Result<Option<EntryRef>, StoreError> {
        let head = head_of(&*self.database, chain)?;
        Ok(head.map(|head| EntryRef {
            chain: chain.clone(),
            number: head.number,
            hash: head.hash,
        }))
    }
}

/// An entry that is about to be appended.
pub(crate) struct Draft {
    pub(crate) kind: EntryKind,
    pub(crate) subject: String,
    pub(crate) run: Option<RunId>,
    pub(crate) body_json: String,
}

/// Runs `work` in a transaction of its own, which appends to the chain of `by`; then moves the head on.
pub(crate) fn written<T>(
    database: &dyn Database,
    by: &By<'_>,
    work: impl FnOnce(&dyn Database, &mut Tail<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let (done, head) = transaction_alone(database, |database| {
        let mut tail = Tail::of(database, by)?;
        let done = work(database, &mut tail)?;
        Ok((done, tail.head))
    })?;
    if let Some(head) = head
        && let Err(error) = by.chain.key().keep_head(by.chain.name(), head)
    {
        // The entry is on the disk, so it was done; a cut tail could not be told until this is mended.
        tracing::error!(chain = %by.chain.name(), %error, "the head of a chain could not be kept");
    }
    Ok(done)
}

/// The end of a chain, while its transaction is under way.
pub(crate) struct Tail<'a> {
    by: &'a By<'a>,
    at_us: i64,
    head: Option<Head>,
}

impl<'a> Tail<'a> {
    /// Reads the end and holds it against the head file. Both are read behind the lock of the transaction, and a
    /// head is only ever kept after its entry: it is never ahead of what is read here.
    fn of(database: &dyn Database, by: &'a By<'a>) -> Result<Tail<'a>, StoreError> {
        let (chain, key) = (by.chain.name(), by.chain.key());
        let broken = |found: String, expected: String| StoreError::Chain {
            chain: chain.as_str().to_owned(),
            found,
            expected,
        };
        let head = head_of(database, chain)?;
        let Some(heads) = key.heads()? else {
            if database
                .query("SELECT chain FROM entries LIMIT 1", &[])?
                .is_empty()
            {
                return Ok(Tail {
                    by,
                    at_us: now_us(),
                    head,
                });
            }
            let path = key.head_path();
            let found = format!("no head file {:?}", path.display().to_string());
            return Err(broken(
                found,
                "the one that was made with the key".to_owned(),
            ));
        };
        let kept = heads.get(chain.as_str()).copied();
        let kept = kept.unwrap_or(Head {
            number: 0,
            hash: EntryHash::NONE,
        });
        let last = head.unwrap_or(Head {
            number: 0,
            hash: EntryHash::NONE,
        });
        if last.number < kept.number {
            return Err(broken(
                format!("its last entry is {}", last.number),
                format!("{}, which its head file tells", kept.number),
            ));
        }
        if last != kept {
            check_since(database, key, chain, kept)?;
        }
        Ok(Tail {
            by,
            at_us: now_us(),
            head,
        })
    }

    /// Appends entries and says where they are.
    pub(crate) fn append(
        &mut self,
        database: &dyn Database,
        drafts: Vec<Draft>,
    ) -> Result<Vec<EntryRef>, StoreError> {
        let (chain, key) = (self.by.chain.name(), self.by.chain.key());
        let mut new = Vec::with_capacity(drafts.len());
        for draft in drafts {
            if draft.body_json.len() > BODY_MAX_BYTES {
                return Err(StoreError::Invalid {
                    what: "body of an entry",
                    found: format!("{} bytes", draft.body_json.len()),
                    expected: format!("at most {BODY_MAX_BYTES}"),
                });
            }
            let before = self.head.map_or(EntryHash::NONE, |head| head.hash);
            let mut row = Entry {
                chain: chain.as_str().to_owned(),
                number: self.head.map_or(0, |head| head.number) + 1,
                at_us: self.at_us,
                account: self.by.account.as_str().to_owned(),
                role: self.by.role.as_str().to_owned(),
                kind: draft.kind.as_str().to_owned(),
                subject: draft.subject,
                run: draft.run,
                body_json: draft.body_json,
                hash: before,
            };
            row.hash = key.hash_of(before, &row);
            self.head = Some(Head {
                number: row.number,
                hash: row.hash,
            });
            new.push(row);
        }
        let into = "INSERT INTO entries (chain, number, at, account, role, kind, subject, run, body, hash)";
        let values: Vec<[Value<'_>; 10]> = new.iter().map(columns).collect();
        insert(database, into, &values)?;
        let entry = |row: Entry| EntryRef {
            chain: chain.clone(),
            number: row.number,
            hash: row.hash,
        };
        Ok(new.into_iter().map(entry).collect())
    }

    /// Appends one entry.
    pub(crate) fn append_one(
        &mut self,
        database: &dyn Database,
        draft: Draft,
    ) -> Result<EntryRef, StoreError> {
        let appended = self.append(database, vec![draft])?;
        // One draft, one entry.
        appended
            .into_iter()
            .next()
            .ok_or_else(|| StoreError::Corrupt {
                store: database.place().to_string(),
                found: "no entry after one was appended".to_owned(),
            })
    }

    /// When this transaction's entries are.
    pub(crate) fn at_us(&self) -> i64 {
        self.at_us
    }
}

fn columns(row: &Entry) -> [Value<'_>; 10] {
    [
        row.chain.as_str().into(),
        row.number.into(),
        row.at_us.into(),
        row.account.as_str().into(),
        row.role.as_str().into(),
        row.kind.as_str().into(),
        row.subject.as_str().into(),
        row.run.as_ref().map(|run| &run.as_bytes()[..]).into(),
        row.body_json.as_str().into(),
        row.hash.0[..].into(),
    ]
}

fn head_of(database: &dyn Database, chain: &Name) -> Result<Option<Head>, StoreError> {
    let sql = "SELECT number, hash FROM entries WHERE chain = $1 ORDER BY number DESC LIMIT 1";
    let found = database.query(sql, &[chain.as_str().into()])?;
    let head = |row: &crate::database::Row| {
        Ok(Head {
            number: row.int(0)?,
            hash: rows::entry_hash(row, 1)?,
        })
    };
    found.first().map(head).transpose()
}

/// Checks what the head file does not know yet: what one call wrote before the power went, or what another
/// process is about to tell.
fn check_since(
    database: &dyn Database,
    key: &ChainKey,
    chain: &Name,
    kept: Head,
) -> Result<(), StoreError> {
    let broken = |found: String| {
        Err(StoreError::Chain {
            chain: chain.as_str().to_owned(),
            found,
            expected: "entries that follow each other under this key".to_owned(),
        })
    };
    let sql = format!(
        "{} WHERE chain = $1 AND number >= $2 ORDER BY number",
        rows::SELECT_ENTRY
    );
    let found = database.query(&sql, &[chain.as_str().into(), kept.number.into()])?;
    let mut last = kept;
    for row in &found {
        let row = rows::entry(row)?;
        if row.number == kept.number {
            if row.hash != kept.hash {
                return broken(format!(
                    "another entry {} than its head file tells",
                    row.number
                ));
            }
            continue;
        }
        if row.number != last.number + 1 {
            return broken(format!("entry {} after {}", row.number, last.number));
        }
        if key.hash_of(last.hash, &row) != row.hash {
            return broken(format!(
                "an entry {} that was changed or has another key",
                row.number
            ));
        }
        last = Head {
            number: row.number,
            hash: row.hash,
        };
    }
    Ok(())
}
