//! Verdicts as they come in: from the form of a flaw's page, and from the review's script.
//!
//! A verdict is in the store before it is answered. Whoever gives it is asked for anew in the store: an
//! account that was changed since its login may do no more than it may now.

use std::str::FromStr;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json};
use serde::{Deserialize, Serialize};
use store::{By, Decision, FlawId, Name, NewVerdict, RunId, Store, Whose};
use utoipa::ToSchema;

use super::refusal::Refusal;
use super::review::Told;
use super::reviewed::reviewed;
use super::{Asker, Id, ProgramId, Qc, Script};
use crate::access::{Act, may};

/// Flaws of one decision, at most.
const MOST_FLAWS: usize = 1000;
/// Longest key of a decision.
const LONGEST_KEY: usize = 100;

/// What a person has decided.
pub(super) enum Decided {
    Verdict(NewVerdict),
    TakenBack(Whose),
}

/// What was sent.
#[derive(Deserialize, ToSchema)]
pub(super) struct Sent {
    /// `confirmed`, `rejected`, `reclassified`; `undo` takes one's own last verdict back, `undo_any`
    /// anybody's.
    decision: String,
    /// The class, where it is reclassified.
    #[serde(default)]
    class: Option<String>,
    /// Why, in words.
    #[serde(default)]
    note: String,
    /// What tells a decision that is sent again from another one; at most 100 characters.
    #[serde(default)]
    key: String,
    /// The word of a form; programs leave it out.
    #[serde(default)]
    #[schema(ignore)]
    csrf: String,
}

impl Sent {
    fn decided(&self, classes: &[String]) -> Result<Decided, Refusal> {
        let decision = match self.decision.as_str() {
            "confirmed" => Decision::Confirmed,
            "rejected" => Decision::Rejected,
            "undo" => return Ok(Decided::TakenBack(Whose::Own)),
            "undo_any" => return Ok(Decided::TakenBack(Whose::Anybody)),
            "reclassified" => {
                let class = self.class.as_deref().unwrap_or_default();
                if !classes.iter().any(|known| known == class) {
                    let expected = classes.join(", ");
                    return Err(Refusal::Wrong(format!(
                        "found a class that is not known, expected one of {expected}"
                    )));
                }
                Decision::Reclassified(Name::new(class)?)
            }
            _ => {
                return Err(Refusal::Wrong(
                    "expected confirmed, rejected, reclassified, undo or undo_any".to_owned(),
                ));
            }
        };
        let note = Some(self.note.trim()).filter(|note| !note.is_empty());
        Ok(Decided::Verdict(NewVerdict {
            decision,
            note: note.map(str::to_owned),
        }))
    }
}

/// From the form of a flaw's page.
pub(super) async fn by_form(
    State(qc): State<Qc>,
    asker: Asker,
    Id(flaw): Id<FlawId>,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    asker.must_have_sent(&sent.csrf)?;
    let decided = sent.decided(&qc.settings().classes)?;
    decide(&qc, &asker, (None, ""), vec![flaw], decided).await?;
    Ok(Redirect::to(&format!("/flaws/{flaw}")).into_response())
}

/// A decision on one flaw or on many.
#[derive(Deserialize, ToSchema)]
pub(super) struct SentForMany {
    /// Their ids, 1 to 1000.
    flaws: Vec<String>,
    #[serde(flatten)]
    sent: Sent,
}

#[derive(Serialize)]
struct Stored {
    flaws: Vec<Told>,
}

/// From the review's script: one decision, for one flaw or a group.
pub(super) async fn by_script(
    State(qc): State<Qc>,
    Script(asker): Script,
    ProgramId(run): ProgramId<RunId>,
    body: axum::body::Bytes,
) -> Response {
    match stored(&qc, &asker, run, &body).await {
        Ok(flaws) => Json(Stored { flaws }).into_response(),
        Err(refusal) => refusal.into_json(),
    }
}

impl SentForMany {
    /// What a body says.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body)
            .map_err(|error| Refusal::Wrong(format!("the decision cannot be read: {error}")))
    }

    /// The flaws, and what was decided on them.
    pub(super) fn checked(&self, classes: &[String]) -> Result<(Vec<FlawId>, Decided), Refusal> {
        let Self { flaws, sent } = self;
        if sent.key.len() > LONGEST_KEY {
            return Err(Refusal::Wrong(format!(
                "expected a key of at most {LONGEST_KEY} characters"
            )));
        }
        if flaws.is_empty() || flaws.len() > MOST_FLAWS {
            return Err(Refusal::Wrong(format!(
                "found a decision for {} flaws, expected 1 to {MOST_FLAWS}",
                flaws.len()
            )));
        }
        let flaws = flaws.iter().map(|flaw| FlawId::from_str(flaw));
        Ok((flaws.collect::<Result<_, _>>()?, sent.decided(classes)?))
    }
}

async fn stored(qc: &Qc, asker: &Asker, run: RunId, body: &[u8]) -> Result<Vec<Told>, Refusal> {
    asker.script_must_have_sent()?;
    let sent = SentForMany::read(body)?;
    let (flaws, decided) = sent.checked(&qc.settings().classes)?;
    decide(qc, asker, (Some(run), &sent.sent.key), flaws, decided).await
}

/// Writes what a person decided and gives back what is now so. What was written under the same key before is
/// not written again: the answer to it may have been lost.
async fn decide(
    qc: &Qc,
    asker: &Asker,
    (run, key): (Option<RunId>, &str),
    flaws: Vec<FlawId>,
    decided: Decided,
) -> Result<Vec<Told>, Refusal> {
    let (seen, key) = (qc.clone(), (asker.person.name.clone(), key.to_owned()));
    qc.write_as(asker, Act::Judge, move |store, by| {
        if !seen.has_written(&key) {
            decided_by(store, by, run, &flaws, decided)?;
            seen.was_written(key);
        }
        let now = flaws.into_iter().map(|flaw| {
            let (_, judged) = store.judged_flaw(flaw)?;
            Ok(Told::state_of(&reviewed(judged)))
        });
        now.collect()
    })
    .await
}

/// Writes what somebody who may judge decided on flaws, of `run` where one is named.
pub(super) fn decided_by(
    store: &mut Store,
    by: &By<'_>,
    run: Option<RunId>,
    flaws: &[FlawId],
    decided: Decided,
) -> Result<(), Refusal> {
    if let Some(run) = run {
        // What was sent for one roll changes no other.
        for flaw in flaws {
            if store.judged_flaw(*flaw)?.0 != run {
                return Err(Refusal::NotFound);
            }
        }
    }
    match decided {
        Decided::Verdict(verdict) => {
            for (flaws, verdict) in told_apart(store, flaws, verdict)? {
                store.give_verdicts(by, &flaws, &verdict)?;
            }
        }
        Decided::TakenBack(whose) => {
            if whose == Whose::Anybody && !may(by.role, Act::UndoOthers) {
                return Err(Refusal::Forbidden);
            }
            for flaw in flaws {
                store.undo_verdict(by, *flaw, whose)?;
            }
        }
    }
    Ok(())
}

/// Who gives a flaw the class in which it was found confirms it.
fn told_apart(
    store: &Store,
    flaws: &[FlawId],
    verdict: NewVerdict,
) -> Result<Vec<(Vec<FlawId>, NewVerdict)>, Refusal> {
    let Some(class) = verdict.decision.class() else {
        return Ok(vec![(flaws.to_vec(), verdict)]);
    };
    let (mut same, mut others) = (Vec::new(), Vec::new());
    for flaw in flaws {
        let (_, judged) = store.judged_flaw(*flaw)?;
        if judged.flaw.class == class.as_str() {
            same.push(*flaw);
        } else {
            others.push(*flaw);
        }
    }
    let confirmed = NewVerdict {
        decision: Decision::Confirmed,
        note: verdict.note.clone(),
    };
    let both = [(same, confirmed), (others, verdict)];
    Ok(both
        .into_iter()
        .filter(|(flaws, _)| !flaws.is_empty())
        .collect())
}
