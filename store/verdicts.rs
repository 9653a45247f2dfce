//! Verdicts: what people decided on flaws. Never overwritten; taken back by another entry.
//!
//! ```text
//! give_verdicts (one flaw or many that look alike) ─▶ an entry and a row for each, in one transaction
//! undo_verdict ─▶ an entry; the row says which one took it back; the verdict before it stands again
//! ```
//!
//! What counts for a flaw is its latest verdict that was not taken back. Each flaw has an entry of its own, even
//! where many were judged at once: an auditor finds all of a flaw's history under the flaw's id, and one of many
//! can be taken back alone. The flaw itself stays as the line wrote it: a reclassified one keeps the class in
//! which it was found, and has the other beside it.

use serde_json::{Value as Json, json};

use crate::database::{Database, Row, Value, insert, placeholders};
use crate::entries::{By, Draft, EntryKind, EntryRef, written};
use crate::names::{FlawId, Name, RunId};
use crate::{Store, StoreError, rows};

/// Longest note on a verdict, and longest reason of a signature, in characters.
pub const NOTE_MAX_CHARS: usize = 1000;
/// Most flaws that are judged at once.
const FLAWS_MOST: usize = 1000;
/// Flaws that are read with one query.
const N_READ: usize = 100;

/// What a person decided on a flaw.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It is one, of the class that was said.
    Confirmed,
    /// It is none.
    Rejected,
    /// It is one, of this class.
    Reclassified(Name),
}

impl Decision {
    /// The word in the tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Decision::Confirmed => "confirmed",
            Decision::Rejected => "rejected",
            Decision::Reclassified(_) => "reclassified",
        }
    }

    /// The class that it gives, if it gives another.
    pub fn class(&self) -> Option<&Name> {
        match self {
            Decision::Reclassified(class) => Some(class),
            Decision::Confirmed | Decision::Rejected => None,
        }
    }

    fn told(&self) -> Json {
        json!({"decision": self.as_str(), "class": self.class().map(Name::as_str)})
    }
}

/// A verdict to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVerdict {
    /// What was decided.
    pub decision: Decision,
    /// Why, in the person's words; at most [`NOTE_MAX_CHARS`] characters.
    pub note: Option<String>,
}

/// Whose verdict is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The last that the same account gave.
    Own,
    /// The last, whoever gave it; that its role may do so is the caller's to know.
    Anybody,
}

/// A verdict that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which of the flaw's it is, from 1.
    pub nth: i64,
    /// What was decided.
    pub decision: Decision,
    /// Why.
    pub note: Option<String>,
    /// By whom.
    pub account: String,
    /// In which role.
    pub role: String,
    /// When, microseconds since 1970 UTC.
    pub at_us: i64,
    /// The chain of its entry.
    pub chain: String,
    /// The number of its entry there.
    pub number: i64,
    /// Whether it is the one that counts.
    pub is_standing: bool,
    /// Who took it back, if somebody did.
    pub undone: Option<Undone>,
}

/// That a verdict was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// By whom.
    pub account: String,
    /// In which role.
    pub role: String,
    /// When, microseconds since 1970 UTC.
    pub at_us: i64,
}

impl Store {
    /// Gives the same verdict on one flaw or on many, all or none. A flaw that is named twice is judged once.
    ///
    /// Returns the entries, in the order of `flaws`.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when a flaw is not there, [`StoreError::Invalid`] for no flaw or more than 1000, for
    /// a note that is too long or holds control characters, and for the class that a flaw was found in;
    /// [`StoreError::Chain`], and the database's.
    pub fn give_verdicts(
        &mut self,
        by: &By<'_>,
        flaws: &[FlawId],
        verdict: &NewVerdict,
    ) -> Result<Vec<EntryRef>, StoreError> {
        let mut once: Vec<FlawId> = Vec::with_capacity(flaws.len().min(FLAWS_MOST + 1));
        let mut seen = std::collections::HashSet::new();
        once.extend(flaws.iter().filter(|flaw| seen.insert(**flaw)));
        if !(1..=FLAWS_MOST).contains(&once.len()) {
            return Err(StoreError::Invalid {
                what: "number of flaws",
                found: once.len().to_string(),
                expected: format!("1 to {FLAWS_MOST} at once"),
            });
        }
        let note = verdict.note.as_deref().map(checked_note).transpose()?;
        let note = note.filter(|note| !note.is_empty());
        let class = verdict.decision.class().map(Name::as_str);
        written(&*self.database, by, |database, tail| {
            let judged = judged(database, &once)?;
            let mut drafts = Vec::with_capacity(judged.len());
            for flaw in &judged {
                if class == Some(flaw.found_class.as_str()) {
                    return Err(StoreError::Invalid {
                        what: "class",
                        found: format!(
                            "{:?}, in which flaw {} was found",
                            flaw.found_class, flaw.id
                        ),
                        expected: "another class, or a confirmation".to_owned(),
                    });
                }
                let mut after = verdict.decision.told();
                after["note"] = note.into();
                let body = json!({
                    "nth": flaw.n_verdicts + 1,
                    "found_class": flaw.found_class,
                    "before": flaw.standing.as_ref().map(Decision::told),
                    "after": after,
                });
                drafts.push(Draft {
                    kind: EntryKind::Verdict,
                    subject: flaw.id.to_string(),
                    run: Some(flaw.run),
                    body_json: body.to_string(),
                });
            }
            let entries = tail.append(database, drafts)?;
            let stood: Vec<FlawId> = (judged.iter().filter(|flaw| flaw.standing.is_some()))
                .map(|flaw| flaw.id)
                .collect();
            for some in stood.chunks(N_READ) {
                let sql = format!(
                    "UPDATE verdicts SET standing = 0 WHERE standing = 1 AND flaw IN ({})",
                    placeholders(1, some.len())
                );
                database.execute(&sql, &ids(some))?;
            }
            let into = "INSERT INTO verdicts (flaw, nth, run, found_class, decision, class, chain, \
                        number, standing)";
            let rows = judged.iter().zip(&entries).map(|(flaw, entry)| {
                [
                    flaw.id.as_bytes()[..].into(),
                    (flaw.n_verdicts + 1).into(),
                    flaw.run.as_bytes()[..].into(),
                    flaw.found_class.as_str().into(),
                    verdict.decision.as_str().into(),
                    class.into(),
                    entry.chain.as_str().into(),
                    entry.number.into(),
                    1.into(),
                ]
            });
            insert(database, into, &rows.collect::<Vec<[Value<'_>; 9]>>())?;
            Ok(entries)
        })
    }

    /// Takes back the last verdict on a flaw that was not taken back yet: one's own, or anybody's.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when there is none to take back, [`StoreError::Chain`], and the database's.
    pub fn undo_verdict(
        &mut self,
        by: &By<'_>,
        flaw: FlawId,
        whose: Whose,
    ) -> Result<EntryRef, StoreError> {
        written(&*self.database, by, |database, tail| {
            let given = verdicts(database, flaw)?;
            let holds = |verdict: &&Verdict| verdict.undone.is_none();
            let is_meant = |verdict: &&Verdict| {
                whose == Whose::Anybody || verdict.account == by.account.as_str()
            };
            let Some(back) = given.iter().rev().filter(holds).find(is_meant) else {
                let what = match whose {
                    Whose::Own => "verdict of one's own to take back on flaw",
                    Whose::Anybody => "verdict to take back on flaw",
                };
                return Err(crate::articles::unknown(database, what, &flaw.to_string()));
            };
            let before = given.iter().rev().find(holds);
            let after = given
                .iter()
                .rev()
                .filter(holds)
                .find(|verdict| verdict.nth != back.nth);
            let told = |verdict: Option<&Verdict>| verdict.map(|verdict| verdict.decision.told());
            let sql = "SELECT run FROM flaws WHERE id = $1";
            let found = database.query(sql, &[flaw.as_bytes()[..].into()])?;
            let run = found.first().map(|row| row.uuid(0)).transpose()?;
            let body = json!({
                "undoes": back.nth,
                "given_by": back.account,
                "before": told(before),
                "after": told(after),
            });
            let draft = Draft {
                kind: EntryKind::Undo,
                subject: flaw.to_string(),
                run: run.map(RunId::from_uuid),
                body_json: body.to_string(),
            };
            let entry = tail.append_one(database, draft)?;
            let id = flaw.as_bytes()[..].into();
            let sql = "UPDATE verdicts SET standing = 0, undone_chain = $1, undone_number = $2 \
                       WHERE flaw = $3 AND nth = $4";
            let undone = [
                entry.chain.as_str().into(),
                entry.number.into(),
                id,
                back.nth.into(),
            ];
            database.execute(sql, &undone)?;
            if let Some(after) = after {
                let sql = "UPDATE verdicts SET standing = 1 WHERE flaw = $1 AND nth = $2";
                database.execute(sql, &[id, after.nth.into()])?;
            }
            Ok(entry)
        })
    }

    /// All verdicts that were given on a flaw, the oldest first.
    ///
    /// # Errors
    /// The database's only; a flaw that is not there has none.
    pub fn verdicts(&self, flaw: FlawId) -> Result<Vec<Verdict>, StoreError> {
        verdicts(&*self.database, flaw)
    }
}

/// A flaw that is being judged.
struct Judged {
    id: FlawId,
    run: RunId,
    found_class: String,
    n_verdicts: i64,
    standing: Option<Decision>,
}

/// These flaws in this order, all of them.
fn judged(database: &dyn Database, flaws: &[FlawId]) -> Result<Vec<Judged>, StoreError> {
    let mut judged = Vec::with_capacity(flaws.len());
    for some in flaws.chunks(N_READ) {
        let sql = format!(
            "SELECT flaws.id, flaws.run, flaws.class, \
             (SELECT COALESCE(MAX(every.nth), 0) FROM verdicts AS every WHERE every.flaw = flaws.id), \
             verdicts.decision, verdicts.class FROM flaws \
             LEFT JOIN verdicts ON verdicts.flaw = flaws.id AND verdicts.standing = 1 \
             WHERE flaws.id IN ({})",
            placeholders(1, some.len())
        );
        let mut found = std::collections::HashMap::new();
        for row in database.query(&sql, &ids(some))? {
            let flaw = Judged {
                id: FlawId::from_uuid(row.uuid(0)?),
                run: RunId::from_uuid(row.uuid(1)?),
                found_class: rows::text(&row, 2)?,
                n_verdicts: row.int(3)?,
                standing: row.optional(4, decision)?,
            };
            found.insert(flaw.id, flaw);
        }
        for flaw in some {
            let known = found.remove(flaw);
            judged
                .push(known.ok_or_else(|| {
                    crate::articles::unknown(database, "flaw", &flaw.to_string())
                })?);
        }
    }
    Ok(judged)
}

fn ids(flaws: &[FlawId]) -> Vec<Value<'_>> {
    flaws
        .iter()
        .map(|flaw| flaw.as_bytes()[..].into())
        .collect()
}

/// A decision in column `word`, its class in the next.
pub(crate) fn decision(row: &Row, word: usize) -> Result<Decision, StoreError> {
    match row.text(word)? {
        "confirmed" => Ok(Decision::Confirmed),
        "rejected" => Ok(Decision::Rejected),
        "reclassified" => Ok(Decision::Reclassified(rows::name(row, word + 1)?)),
        _ => Err(row.unlike(word, "a decision")),
    }
}

fn verdicts(database: &dyn Database, flaw: FlawId) -> Result<Vec<Verdict>, StoreError> {
    let sql = "SELECT verdicts.nth, verdicts.decision, verdicts.class, given.account, given.role, \
               given.at, given.chain, given.number, verdicts.standing, given.body, undo.account, \
               undo.role, undo.at FROM verdicts \
               JOIN entries AS given ON given.chain = verdicts.chain AND given.number = verdicts.number \
               LEFT JOIN entries AS undo ON undo.chain = verdicts.undone_chain \
               AND undo.number = verdicts.undone_number \
               WHERE verdicts.flaw = $1 ORDER BY verdicts.nth";
    let found = database.query(sql, &[flaw.as_bytes()[..].into()])?;
    let verdict = |row: &Row| {
        // A body that was changed has no note to show; `verify_chains` tells that it was.
        let body: Json = serde_json::from_str(row.text(9)?).unwrap_or_default();
        Ok(Verdict {
            nth: row.int(0)?,
            decision: decision(row, 1)?,
            note: body["after"]["note"].as_str().map(str::to_owned),
            account: rows::text(row, 3)?,
            role: rows::text(row, 4)?,
            at_us: row.int(5)?,
            chain: rows::text(row, 6)?,
            number: row.int(7)?,
            is_standing: row.int(8)? == 1,
            undone: row.optional(10, |row, _| {
                Ok(Undone {
                    account: rows::text(row, 10)?,
                    role: rows::text(row, 11)?,
                    at_us: row.int(12)?,
                })
            })?,
        })
    };
    found.iter().map(verdict).collect()
}

/// A person's words, trimmed: not too long, and nothing in them that cannot be seen but the ends of lines.
pub(crate) fn checked_note(note: &str) -> Result<&str, StoreError> {
    let note = note.trim();
    let refused = |found: String| {
        Err(StoreError::Invalid {
            what: "note",
            found,
            expected: format!("at most {NOTE_MAX_CHARS} visible characters and ends of lines"),
        })
    };
    let n = note.chars().count();
    if n > NOTE_MAX_CHARS {
        return refused(format!("{n} characters"));
    }
    let unseen = |c: &char| *c != '\n' && (c.is_control() || crate::names::is_invisible(*c));
    if let Some(unseen) = note.chars().find(unseen) {
        return refused(format!("{unseen:?}"));
    }
    Ok(note)
}
