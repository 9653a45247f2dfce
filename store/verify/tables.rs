//! Tables against entries: what stands must be what the last entry on it said.
//!
//! A row is read together with its entry in one query, so a verdict that is given meanwhile is no disagreement.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Break, N_TOLD};
use crate::database::Row;
use crate::entries::{Entry, EntryKind};
use crate::names::{FlawId, Name, RunId};
use crate::{Store, StoreError, rows};

/// What a row says, and the number of the entry that says the same.
type Told<'a> = &'a dyn Fn(&Row) -> Result<(Json, i64), StoreError>;

/// Entries of a chain in order, each with the verdict that it made and the verdict that it took back.
pub(super) const SELECT_WITH_ROWS: &str = "SELECT entries.chain, entries.number, entries.at, \
    entries.account, entries.role, entries.kind, entries.subject, entries.run, entries.body, \
    entries.hash, made.flaw, made.nth, made.run, made.found_class, made.decision, made.class, \
    undone.flaw, undone.nth FROM entries \
    LEFT JOIN verdicts AS made ON made.chain = entries.chain AND made.number = entries.number \
    LEFT JOIN verdicts AS undone ON undone.undone_chain = entries.chain \
    AND undone.undone_number = entries.number \
    WHERE entries.chain = $1 AND entries.number > $2 ORDER BY entries.number LIMIT $3";

/// The highest revision of each account and each token that an entry tells.
#[derive(Default)]
pub(super) struct Kept {
    accounts: BTreeMap<String, i64>,
    tokens: BTreeMap<String, i64>,
}

/// Compares an entry that is whole with the rows that name it.
pub(super) fn compare(entry: &Entry, row: &Row, kept: &mut Kept) -> Option<Break> {
    let body: Json = serde_json::from_str(&entry.body_json).unwrap_or_default();
    let kind: Option<EntryKind> = entry.kind.parse().ok();
    let made = row.optional(10, made).ok()?;
    let undone = row.optional(16, flaw_and_nth).ok()?;
    let disagree = |found: String| Some(verdicts(found));
    let number = entry.number;
    match kind {
        Some(EntryKind::Verdict) => {
            let after = &body["after"];
            let told = Made {
                of: (entry.subject.clone(), body["nth"].as_i64().unwrap_or(0)),
                run: entry.run,
                found_class: text(&body["found_class"]),
                decision: text(&after["decision"]),
                class: after["class"].as_str().map(str::to_owned),
            };
            match made {
                None => {
                    return disagree(format!("entry {number} gave a verdict that is not there"));
                }
                Some(made) if made != told => {
                    return disagree(format!(
                        "the verdict of entry {number} says {}, the entry {}",
                        made.says(),
                        told.says()
                    ));
                }
                Some(_) => {}
            }
        }
        Some(EntryKind::Undo) => {
            let told = (entry.subject.clone(), body["undoes"].as_i64().unwrap_or(0));
            if undone.as_ref() != Some(&told) {
                return disagree(format!(
                    "entry {number} took back verdict {} on flaw {}, which does not say so",
                    told.1, told.0
                ));
            }
        }
        Some(EntryKind::Account | EntryKind::Token) => {
            let revision = body["revision"].as_i64().unwrap_or(0);
            let of = if kind == Some(EntryKind::Account) {
                &mut kept.accounts
            } else {
                &mut kept.tokens
            };
            let known = of.entry(entry.subject.clone()).or_default();
            *known = revision.max(*known);
        }
        // Words of a later version have no rows here.
        Some(EntryKind::Grade | EntryKind::Setting | EntryKind::Login) => {}
        Some(EntryKind::Order | EntryKind::Alarm) | None => {}
    }
    let may_make = kind == Some(EntryKind::Verdict);
    let may_undo = kind == Some(EntryKind::Undo);
    if (!may_make && !row.is_null(10)) || (!may_undo && !row.is_null(16)) {
        return disagree(format!(
            "a verdict names entry {number}, which is no such entry"
        ));
    }
    None
}

/// A verdict, as its row or its entry tells it.
#[derive(PartialEq)]
struct Made {
    of: (String, i64),
    run: Option<RunId>,
    found_class: String,
    decision: String,
    class: Option<String>,
}

impl Made {
    fn says(&self) -> String {
        let class = self.class.as_deref().unwrap_or("");
        let (flaw, nth) = &self.of;
        let run = self.run.map_or("none".to_owned(), |run| run.to_string());
        format!(
            "{:?} {class:?} (verdict {nth} on flaw {flaw}, found as {:?} in run {run})",
            self.decision, self.found_class
        )
    }
}

fn made(row: &Row, first: usize) -> Result<Made, StoreError> {
    Ok(Made {
        of: flaw_and_nth(row, first)?,
        run: Some(RunId::from_uuid(row.uuid(first + 2)?)),
        found_class: rows::text(row, first + 3)?,
        decision: rows::text(row, first + 4)?,
        class: row.optional(first + 5, rows::text)?,
    })
}

fn flaw_and_nth(row: &Row, first: usize) -> Result<(String, i64), StoreError> {
    let flaw = FlawId::from_uuid(row.uuid(first)?);
    Ok((flaw.to_string(), row.int(first + 1)?))
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn verdicts(found: String) -> Break {
    Break::Table {
        table: "verdicts",
        found,
    }
}

impl Store {
    /// Verdicts that no entry gave or took back, and flaws whose standing verdict is not their latest.
    pub(super) fn rows_without_entries(
        &self,
        only: Option<&Name>,
    ) -> Result<Vec<Break>, StoreError> {
        let mut breaks = Vec::new();
        let mut values = vec![(N_TOLD as i64).into()];
        let mut of_chain = |column: &str| match only {
            None => String::new(),
            Some(chain) => {
                values.truncate(1);
                values.push(chain.as_str().into());
                format!("AND verdicts.{column} = $2 ")
            }
        };
        let orphans = |chain: &str, number: &str, kind: EntryKind, of_chain: &str| {
            format!(
                "SELECT verdicts.flaw, verdicts.nth FROM verdicts \
                 WHERE verdicts.{chain} IS NOT NULL {of_chain}AND NOT EXISTS \
                 (SELECT 1 FROM entries WHERE entries.chain = verdicts.{chain} \
                 AND entries.number = verdicts.{number} AND entries.kind = '{kind}') LIMIT $1"
            )
        };
        let given = orphans("chain", "number", EntryKind::Verdict, &of_chain("chain"));
        let taken_back = ("undone_chain", "undone_number");
        let filter = of_chain(taken_back.0);
        let undone = orphans(taken_back.0, taken_back.1, EntryKind::Undo, &filter);
        for (sql, what) in [(given, "given"), (undone, "taken back")] {
            for row in self.database.query(&sql, &values)? {
                let (flaw, nth) = flaw_and_nth(&row, 0)?;
                let found = format!("no entry for verdict {nth} on flaw {flaw} being {what}");
                breaks.push(verdicts(found));
            }
        }
        let latest = "MAX(CASE WHEN undone_number IS NULL THEN nth ELSE 0 END)";
        let sql = format!(
            "SELECT flaw, {latest} FROM verdicts GROUP BY flaw \
             HAVING MAX(CASE WHEN standing = 1 THEN nth ELSE 0 END) <> {latest} \
             OR SUM(standing) > 1 LIMIT $1"
        );
        for row in self.database.query(&sql, &values[..1])? {
            let (flaw, nth) = flaw_and_nth(&row, 0)?;
            let found = match nth {
                0 => format!("a verdict stands on flaw {flaw}, of which all were taken back"),
                nth => format!("another verdict stands on flaw {flaw} than {nth}, its latest"),
            };
            breaks.push(verdicts(found));
        }
        Ok(breaks)
    }

    /// Accounts and tokens that are not as their last entry says.
    pub(super) fn accounts_and_tokens(
        &self,
        only: Option<&Name>,
        kept: &Kept,
    ) -> Result<Vec<Break>, StoreError> {
        let mut breaks = Vec::new();
        let account = |row: &Row| {
            let account = rows::account(row)?;
            Ok((account.told(), account.revision))
        };
        let columns = "name, role, password, disabled, made_at, revision";
        breaks.extend(self.held_against(
            "accounts",
            columns,
            EntryKind::Account,
            only,
            &kept.accounts,
            &account,
        )?);
        let token = |row: &Row| {
            let token = rows::token(row)?;
            Ok((token.told(), token.revision))
        };
        let columns = "name, role, secret, made_at, revoked_at, revision";
        breaks.extend(self.held_against(
            "tokens",
            columns,
            EntryKind::Token,
            only,
            &kept.tokens,
            &token,
        )?);
        Ok(breaks)
    }

    fn held_against(
        &self,
        table: &'static str,
        columns: &str,
        kind: EntryKind,
        only: Option<&Name>,
        kept: &BTreeMap<String, i64>,
        told: Told<'_>,
    ) -> Result<Vec<Break>, StoreError> {
        let disagree = |found: String| Break::Table { table, found };
        let columns: Vec<String> = columns
            .split(", ")
            .map(|column| format!("{table}.{column}"))
            .collect();
        let sql = format!(
            "SELECT {}, {table}.chain, entries.body, entries.kind, entries.subject FROM {table} \
             LEFT JOIN entries ON entries.chain = {table}.chain AND entries.number = {table}.number \
             ORDER BY {table}.name",
            columns.join(", ")
        );
        let mut breaks = Vec::new();
        let mut left = kept.clone();
        for row in self.database.query(&sql, &[])? {
            let name = rows::text(&row, 0)?;
            let latest = left.remove(&name);
            if only.is_some_and(|only| row.text(6).is_ok_and(|chain| chain != only.as_str())) {
                continue;
            }
            let Ok((stands, revision)) = told(&row) else {
                breaks.push(disagree(format!("{name:?} cannot be read")));
                continue;
            };
            let body: Json = row.text(7).map_or(Json::Null, |text| {
                serde_json::from_str(text).unwrap_or_default()
            });
            let is_of_entry = row.text(8).is_ok_and(|found| found == kind.as_str())
                && row.text(9).is_ok_and(|subject| subject == name);
            if !is_of_entry {
                breaks.push(disagree(format!("no entry made {name:?} what it is")));
            } else if body["after"] != stands || body["revision"] != revision {
                breaks.push(disagree(format!(
                    "{name:?} is another than its last entry says"
                )));
            } else if latest.is_some_and(|latest| latest > revision) {
                breaks.push(disagree(format!(
                    "{name:?} is as it was before its last entry"
                )));
            }
        }
        for name in left.into_keys() {
            breaks.push(disagree(format!(
                "{name:?} is in the entries and not in the table"
            )));
        }
        Ok(breaks)
    }
}
