//! Signatures: a person's word that a roll with gaps may be graded first quality under a buyer's rules.
//!
//! A signature is an entry and nothing else: there is no table that could say otherwise. It is of one run and of one
//! text of rules, by its digest; rules that were changed ask for a new one. The latest entry counts, and may
//! withdraw what an earlier one signed.

use serde_json::{Value as Json, json};

use crate::database::Database;
use crate::entries::{By, Draft, Entry, EntryKind, EntryRef, written};
use crate::names::{Digest, Name, RunId};
use crate::runs::{RunState, known_run};
use crate::verdicts::checked_note;
use crate::{Store, StoreError, rows};

/// What a person is about to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSignature {
    /// The run, which must have ended: nothing is signed that is not known yet.
    pub run: RunId,
    /// The name of the rules.
    pub rules: Name,
    /// SHA-256 of their file.
    pub rules_digest: Digest,
    /// Why, in the person's words; not empty.
    pub why: String,
}

/// What a person signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The run.
    pub run: RunId,
    /// The name of the rules.
    pub rules: String,
    /// SHA-256 of their file.
    pub rules_digest: Digest,
    /// Why, in the person's words.
    pub why: String,
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
}

impl Store {
    /// Signs that a run may be graded first quality under these rules although it has gaps.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for a run that is not there, [`StoreError::Invalid`] for one that has not ended and for
    /// a reason that is empty, too long or holds control characters; [`StoreError::Chain`], and the database's.
    pub fn sign_first_quality(
        &mut self,
        by: &By<'_>,
        new: &NewSignature,
    ) -> Result<EntryRef, StoreError> {
        self.write_signature(by, new, true)
    }

    /// Withdraws what was signed for a run under the rules of this digest.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when nothing is signed; otherwise as [`Store::sign_first_quality`].
    pub fn withdraw_signature(
        &mut self,
        by: &By<'_>,
        run: RunId,
        rules_digest: &Digest,
        why: &str,
    ) -> Result<EntryRef, StoreError> {
        let Some(signed) = self.signature(run, rules_digest)? else {
            let what = "signature under these rules for run";
            return Err(crate::articles::unknown(
                &*self.database,
                what,
                &run.to_string(),
            ));
        };
        let new = NewSignature {
            run,
            rules: Name::new(&signed.rules)?,
            rules_digest: rules_digest.clone(),
            why: why.to_owned(),
        };
        self.write_signature(by, &new, false)
    }

    fn write_signature(
        &mut self,
        by: &By<'_>,
        new: &NewSignature,
        is_signed: bool,
    ) -> Result<EntryRef, StoreError> {
        let why = checked_note(&new.why)?;
        if why.is_empty() {
            return Err(StoreError::Invalid {
                what: "signature",
                found: "no reason".to_owned(),
                expected: "why the roll may be first quality, in words".to_owned(),
            });
        }
        written(&*self.database, by, |database, tail| {
            let run = known_run(database, new.run)?;
            if run.state == RunState::Running {
                return Err(StoreError::Invalid {
                    what: "run",
                    found: format!("{}, which has not ended", new.run),
                    expected: "one that has ended".to_owned(),
                });
            }
            let signed = |signature: Option<Signature>| signature.is_some();
            let body = json!({
                "rules": new.rules.as_str(),
                "rules_sha256": new.rules_digest.as_str(),
                "before": signed(signature(database, new.run, &new.rules_digest)?),
                "after": is_signed,
                "why": why,
            });
            let draft = Draft {
                kind: EntryKind::Grade,
                subject: new.run.to_string(),
                run: Some(new.run),
                body_json: body.to_string(),
            };
            tail.append_one(database, draft)
        })
    }

    /// The signature that holds for a run under the rules of this digest.
    ///
    /// # Errors
    /// The database's only.
    pub fn signature(
        &self,
        run: RunId,
        rules_digest: &Digest,
    ) -> Result<Option<Signature>, StoreError> {
        signature(&*self.database, run, rules_digest)
    }
}

fn signature(
    database: &dyn Database,
    run: RunId,
    rules_digest: &Digest,
) -> Result<Option<Signature>, StoreError> {
    let sql = format!(
        "{} WHERE run = $1 AND kind = $2 ORDER BY at DESC, chain DESC, number DESC",
        rows::SELECT_ENTRY
    );
    let values = [run.as_bytes()[..].into(), EntryKind::Grade.as_str().into()];
    for row in database.query(&sql, &values)? {
        let entry = rows::entry(&row)?;
        // A body that was changed is no signature.
        let body: Json = serde_json::from_str(&entry.body_json).unwrap_or_default();
        if body["rules_sha256"].as_str() == Some(rules_digest.as_str()) {
            let is_signed = body["after"] == Json::Bool(true);
            return Ok(is_signed.then(|| of_entry(run, rules_digest, entry, &body)));
        }
    }
    Ok(None)
}

fn of_entry(run: RunId, rules_digest: &Digest, entry: Entry, body: &Json) -> Signature {
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    Signature {
        run,
        rules: text("rules"),
        rules_digest: rules_digest.clone(),
        why: text("why"),
        account: entry.account,
        role: entry.role,
        at_us: entry.at_us,
        chain: entry.chain,
        number: entry.number,
    }
}
