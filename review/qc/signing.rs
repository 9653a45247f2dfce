//! Signing that a roll counts although not all of it was looked at.
//!
//! A grade of a roll with gaps is withheld until a person who may signs it, with a reason; the signature
//! holds for one run and one version of one set of rules, and can be taken back, which is written too.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use store::{Digest, Name, NewSignature, RunId};

use super::refusal::Refusal;
use super::{Asker, Id, Qc};
use crate::access::Act;

/// What was sent.
#[derive(Deserialize)]
pub(super) struct Sent {
    csrf: String,
    /// SHA-256 of the rules.
    rules: String,
    why: String,
    act: String,
}

/// From the form of a roll's page.
pub(super) async fn sign(
    State(qc): State<Qc>,
    asker: Asker,
    Id(run): Id<RunId>,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    asker.must_have_sent(&sent.csrf)?;
    let assessor = qc.assessor();
    let digest = Digest::new(&sent.rules)?;
    qc.write_as(&asker, Act::SignGrade, move |store, by| {
        match sent.act.as_str() {
            "withdraw" => {
                store.withdraw_signature(by, run, &digest, sent.why.trim())?;
                return Ok(());
            }
            "sign" => {}
            _ => return Err(Refusal::Wrong("expected sign or withdraw".to_owned())),
        }
        let grades = assessor.grades(store, run).map_err(Refusal::Wrong)?;
        let grade = grades.iter().find(|grade| grade.digest == digest);
        let grade = grade.filter(|grade| grade.withheld.is_some());
        let grade = grade.ok_or_else(|| {
            Refusal::Wrong("expected a grade of this roll that is withheld".to_owned())
        })?;
        let signature = NewSignature {
            run,
            rules: Name::new(&grade.rules)?,
            rules_digest: digest,
            why: sent.why.trim().to_owned(),
        };
        store.sign_first_quality(by, &signature)?;
        Ok(())
    })
    .await?;
    Ok(Redirect::to(&format!("/runs/{run}")).into_response())
}
