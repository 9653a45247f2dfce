//! Whether what people did is still as it was written: chains, their heads, and the tables that agree with them.
//!
//! ```text
//! key ─┬─ head file ──┐
//!      └─ entries, in order ─▶ hashes, numbers ─▶ Break …
//!                          └─▶ verdicts, accounts, tokens: each row against its entry, each entry against its row
//! ```
//!
//! Only looks, beside whoever writes: heads are read before their chains, and a row together with its entry. What
//! cannot be looked at is an error; what was looked at and is not whole is a [`Break`]. A chain of another
//! key cannot be told from one that was forged: it is verified where its key is.

mod tables;

use std::collections::BTreeSet;
use std::fmt;

use crate::chain::{ChainKey, EntryHash, HEAD_OF_KEY, Head, Heads};
use crate::database::Value;
use crate::entries::Entry;
use crate::names::Name;
use crate::{Store, StoreError, rows};

use tables::Kept;

/// Entries that are read with one query.
const N_READ: i64 = 1000;
/// Breaks of one kind that are told one by one; entries that stand elsewhere are looked for among so many.
const N_TOLD: usize = 64;

/// Where something is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Break {
    /// An entry's hash is not that of what stands there.
    Edited {
        /// Its number.
        number: i64,
    },
    /// An entry does not follow the one before, which is broken itself: one of the two was edited.
    Unlinked {
        /// Its number.
        number: i64,
    },
    /// An entry stands elsewhere than it was written.
    OutOfOrder {
        /// Where it stands.
        number: i64,
        /// Where it was written.
        written: i64,
    },
    /// Entries are not there.
    Missing {
        /// The first of them.
        first: i64,
        /// The last of them.
        last: i64,
    },
    /// The chain ends before its head.
    CutTail {
        /// The number of the last entry that is there; 0 for none.
        last: i64,
        /// The number that was kept.
        kept: i64,
    },
    /// An entry is another than the one whose hash was kept or noted.
    OtherHash {
        /// Its number.
        number: i64,
        /// Where the hash was kept, in words.
        kept: &'static str,
    },
    /// No entry belongs to the key.
    OtherKey {
        /// How many there are.
        n_entries: i64,
    },
    /// The head file is not there, or is not what was written under the key.
    HeadFile {
        /// What was found.
        found: String,
    },
    /// A row of a table does not say what its entry does, or one of them is not there.
    Table {
        /// Which table.
        table: &'static str,
        /// Which row, and what is wrong.
        found: String,
    },
    /// As many more, like the one before.
    More {
        /// How many.
        n: i64,
    },
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Break::Edited { number } => write!(
                f,
                "entry {number} was edited: its hash is not that of what stands there"
            ),
            Break::Unlinked { number } => write!(
                f,
                "entry {number} does not follow entry {}: one of the two was edited",
                number - 1
            ),
            Break::OutOfOrder { number, written } => write!(
                f,
                "entry {number} is out of order: it was written as entry {written}"
            ),
            Break::Missing { first, last } if first == last => {
                write!(f, "entry {first} is missing")
            }
            Break::Missing { first, last } => write!(f, "entries {first} to {last} are missing"),
            Break::CutTail { last, kept } => write!(
                f,
                "the tail is cut: the last entry is {last}, and entry {kept} was written"
            ),
            Break::OtherHash { number, kept } => {
                write!(f, "entry {number} has another hash than {kept}")
            }
            Break::OtherKey { n_entries } => write!(
                f,
                "none of its {n_entries} entries belongs to this key: it was written under another key, or forged"
            ),
            Break::HeadFile { found } => {
                write!(f, "the head file: found {found}, expected {HEAD_OF_KEY}")
            }
            Break::Table { table, found } => {
                write!(f, "table {table} disagrees with the entries: {found}")
            }
            Break::More { n } => write!(f, "and {n} more of that kind"),
        }
    }
}

/// A chain that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// Its name.
    pub chain: String,
    /// How many entries there are.
    pub n_entries: i64,
    /// Number and hash of the last one, to be noted elsewhere.
    pub last: Option<(i64, EntryHash)>,
    /// Entries behind the head that is kept: of a call that was cut off by the power, or is under way. They are whole.
    pub n_behind_head: i64,
    /// What is not whole.
    pub breaks: Vec<Break>,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Each chain, by name.
    pub chains: Vec<ChainReport>,
    /// What is not whole beside the chains: the head file, rows without an entry.
    pub breaks: Vec<Break>,
}

impl Verified {
    /// Whether nothing was found.
    pub fn is_whole(&self) -> bool {
        self.breaks.is_empty() && self.chains.iter().all(|chain| chain.breaks.is_empty())
    }
}

impl Store {
    /// Looks whether all chains, or `only` one, are whole under `key`, and whether the tables agree with them.
    ///
    /// `noted` is number and hash of an entry that somebody wrote down: with it, an older copy of the store is found
    /// even when the head file of that time was put back too. It asks for `only`.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for a chain that neither the store nor the head file knows, [`StoreError::Invalid`] for
    /// `noted` without `only`, [`StoreError::Key`] for a head file that cannot be read, and the database's.
    pub fn verify_chains(
        &self,
        key: &ChainKey,
        only: Option<&Name>,
        noted: Option<(i64, EntryHash)>,
    ) -> Result<Verified, StoreError> {
        if noted.is_some() && only.is_none() {
            return Err(StoreError::Invalid {
                what: "head that was noted",
                found: "no chain".to_owned(),
                expected: "the chain that it is of".to_owned(),
            });
        }
        let mut breaks = Vec::new();
        let heads = match key.heads() {
            Ok(heads) => heads,
            Err(StoreError::Key {
                found, expected, ..
            }) if expected == HEAD_OF_KEY => {
                breaks.push(Break::HeadFile { found });
                Some(Heads::new())
            }
            Err(error) => return Err(error),
        };
        let names = self.chains(heads.as_ref(), only)?;
        if heads.is_none() && !names.is_empty() {
            let found = "no file".to_owned();
            breaks.push(Break::HeadFile { found });
        }
        let heads = heads.unwrap_or_default();
        let mut kept = Kept::default();
        let mut chains = Vec::new();
        for chain in names {
            let head = heads.get(&chain).copied();
            let mut walk = Walk::new(key, head, noted);
            self.walk(&chain, &mut walk, &mut kept)?;
            chains.push(walk.report(chain));
        }
        breaks.extend(self.rows_without_entries(only)?);
        breaks.extend(self.accounts_and_tokens(only, &kept)?);
        Ok(Verified { chains, breaks })
    }

    /// The chains to be looked at.
    fn chains(
        &self,
        heads: Option<&Heads>,
        only: Option<&Name>,
    ) -> Result<BTreeSet<String>, StoreError> {
        let found = self
            .database
            .query("SELECT DISTINCT chain FROM entries", &[])?;
        let stored = found.iter().map(|row| rows::text(row, 0));
        let mut names = stored.collect::<Result<BTreeSet<String>, StoreError>>()?;
        names.extend(heads.into_iter().flat_map(|heads| heads.keys().cloned()));
        if let Some(only) = only {
            names.retain(|name| name == only.as_str());
            if names.is_empty() {
                return Err(crate::articles::unknown(
                    &*self.database,
                    "chain",
                    only.as_str(),
                ));
            }
        }
        Ok(names)
    }

    fn walk(&self, chain: &str, walk: &mut Walk<'_>, kept: &mut Kept) -> Result<(), StoreError> {
        let mut behind = i64::MIN;
        loop {
            let values: [Value<'_>; 3] = [chain.into(), behind.into(), N_READ.into()];
            let found = self.database.query(tables::SELECT_WITH_ROWS, &values)?;
            let mut seen = None;
            for row in &found {
                let number = row.int(1)?;
                let entry = match rows::entry(row) {
                    Ok(entry) => entry,
                    Err(StoreError::Corrupt { .. }) => {
                        walk.unreadable(number);
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                // Two rows that one entry took back make it come twice.
                if seen == Some(number) || walk.step(&entry) {
                    walk.tables.extend(tables::compare(&entry, row, kept));
                }
                seen = Some(number);
            }
            let Some(last) = found.last() else {
                return Ok(());
            };
            behind = last.int(1)?;
        }
    }
}

/// A chain while it is walked along.
struct Walk<'a> {
    key: &'a ChainKey,
    head: Option<Head>,
    noted: Option<(i64, EntryHash)>,
    n_entries: i64,
    n_whole: i64,
    /// The last entry, as it stands.
    last: Option<Head>,
    /// Whether the entry before could not be read, so that nothing can be said of the next.
    is_blind: bool,
    missing: Vec<Break>,
    others: Vec<Break>,
    tables: Vec<Break>,
    /// Entries whose hash is another, with that of the entry before them; the first [`N_TOLD`].
    failed: Vec<(EntryHash, Entry)>,
    n_failed: i64,
}

impl<'a> Walk<'a> {
    fn new(key: &'a ChainKey, head: Option<Head>, noted: Option<(i64, EntryHash)>) -> Walk<'a> {
        Walk {
            key,
            head,
            noted,
            n_entries: 0,
            n_whole: 0,
            last: None,
            is_blind: false,
            missing: Vec::new(),
            others: Vec::new(),
            tables: Vec::new(),
            failed: Vec::new(),
            n_failed: 0,
        }
    }

    /// Takes the next entry; whether it is whole.
    fn step(&mut self, entry: &Entry) -> bool {
        self.n_entries += 1;
        let marks = [
            (
                self.head.map(|head| (head.number, head.hash)),
                "the head file keeps",
            ),
            (self.noted, "was noted"),
        ];
        for (mark, kept) in marks {
            if mark.is_some_and(|(number, hash)| number == entry.number && hash != entry.hash) {
                let number = entry.number;
                self.others.push(Break::OtherHash { number, kept });
            }
        }
        let before = self.last.map_or(0, |last| last.number);
        let after_gap = entry.number > before + 1;
        if after_gap {
            self.missing.push(Break::Missing {
                first: before + 1,
                last: entry.number - 1,
            });
        }
        let hash = self.last.map_or(EntryHash::NONE, |last| last.hash);
        self.last = Some(Head {
            number: entry.number,
            hash: entry.hash,
        });
        // What follows a hole hangs by a hash that is gone; the next entry hangs by this one's again.
        if after_gap || std::mem::take(&mut self.is_blind) {
            return true;
        }
        if entry.number == before + 1 && self.key.hash_of(hash, entry) == entry.hash {
            self.n_whole += 1;
            return true;
        }
        self.n_failed += 1;
        if self.failed.len() < N_TOLD {
            self.failed.push((hash, entry.clone()));
        }
        false
    }

    fn unreadable(&mut self, number: i64) {
        self.n_entries += 1;
        self.others.push(Break::Edited { number });
        self.last = Some(Head {
            number,
            hash: EntryHash::NONE,
        });
        self.is_blind = true;
    }

    fn report(mut self, chain: String) -> ChainReport {
        let last = self.last.map_or(0, |last| last.number);
        let kept = self.head.map_or(0, |head| head.number);
        let noted = self.noted.map_or(0, |(number, _)| number);
        let is_other = self.n_whole == 0
            && self.n_failed > 0
            && (self.n_failed > 1 || self.head.is_none() || !self.others.is_empty());
        let mut breaks = if is_other {
            vec![Break::OtherKey {
                n_entries: self.n_entries,
            }]
        } else {
            self.failures()
        };
        breaks.append(&mut self.missing);
        breaks.append(&mut self.others);
        if last < kept.max(noted) {
            breaks.push(Break::CutTail {
                last,
                kept: kept.max(noted),
            });
        }
        breaks.append(&mut self.tables);
        ChainReport {
            chain,
            n_entries: self.n_entries,
            last: self.last.map(|last| (last.number, last.hash)),
            n_behind_head: (last - kept).max(0),
            breaks,
        }
    }

    /// What became of entries that are not whole.
    fn failures(&self) -> Vec<Break> {
        let numbers: BTreeSet<i64> = (self.failed.iter())
            .flat_map(|(_, entry)| [entry.number - 1, entry.number, entry.number + 1])
            .chain(self.missing.iter().filter_map(|missing| {
                if let Break::Missing { first, last } = missing {
                    (first == last).then_some(*first)
                } else {
                    None
                }
            }))
            .collect();
        // An entry that was moved took its hash with it, and left its successor with another before it.
        let before: BTreeSet<[u8; 32]> = (self.failed.iter())
            .flat_map(|(before, entry)| [before.0, entry.hash.0])
            .chain([EntryHash::NONE.0])
            .collect();
        let written = |entry: &Entry| {
            numbers.iter().copied().find(|number| {
                let moved = Entry {
                    number: *number,
                    ..entry.clone()
                };
                let fits =
                    |hash: &[u8; 32]| self.key.hash_of(EntryHash(*hash), &moved) == entry.hash;
                before.iter().any(fits)
            })
        };
        let mut breaks = Vec::new();
        let mut broken = None;
        for (_, entry) in &self.failed {
            let number = entry.number;
            match written(entry) {
                // It is where it was, and what was before it is not.
                Some(written) if written == number => continue,
                Some(written) => breaks.push(Break::OutOfOrder { number, written }),
                None if broken == Some(number - 1) => breaks.push(Break::Unlinked { number }),
                None => breaks.push(Break::Edited { number }),
            }
            broken = Some(number);
        }
        let n = self.n_failed - self.failed.len() as i64;
        if n > 0 {
            breaks.push(Break::More { n });
        }
        breaks
    }
}
