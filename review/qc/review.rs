//! The review by keyboard: the page, and the flaws for its script.

use std::collections::HashMap;

use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use store::{FlawId, RunId};

use super::alike::groups;
use super::refusal::Refusal;
use super::reviewed::{Order, Reviewed, flaws_of, worst_first};
use super::units::Units;
use super::words::{plain, said_of};
use super::{Asker, Frame, Id, ProgramId, Qc, Script, html};
use crate::access::{Act, may};

#[derive(Template)]
#[template(path = "review.html")]
struct Page {
    frame: Frame,
    run: RunId,
    roll: String,
    article: String,
    order: &'static str,
    other_order: &'static str,
    other_order_said: &'static str,
    may_review: bool,
    classes: Vec<String>,
}

/// What is asked of the flaws.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    order: Order,
    #[serde(default)]
    what: What,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    /// Flaws with everything that is shown of them, in groups.
    #[default]
    All,
    /// Only what was decided.
    States,
}

/// A flaw as the script shows it.
#[derive(Serialize)]
pub(super) struct Told {
    id: String,
    class: String,
    state: &'static str,
    verdict: String,
    #[serde(flatten)]
    looks: Option<Looks>,
}

#[derive(Serialize)]
struct Looks {
    severity: String,
    place: String,
    size: String,
    score: String,
    has_crop: bool,
}

#[derive(Serialize)]
struct All {
    /// Whose session it is, and its word: a page that was open before goes on with it.
    account: String,
    csrf: String,
    flaws: Vec<Told>,
    groups: Vec<Vec<String>>,
}

impl Told {
    /// What was decided on a flaw.
    pub(super) fn state_of(reviewed: &Reviewed) -> Self {
        Self {
            id: reviewed.id().to_string(),
            class: plain(&reviewed.class),
            state: reviewed.state,
            verdict: reviewed.verdict.clone(),
            looks: None,
        }
    }

    fn all_of(reviewed: &Reviewed, units: Units) -> Self {
        let flaw = &reviewed.flaw;
        Self {
            looks: Some(Looks {
                severity: flaw.severity.clone(),
                place: said_of(&flaw.rect, units),
                size: units.size(flaw.length_um),
                score: format!("{:.2} times the threshold", flaw.score),
                has_crop: flaw.has_crop,
            }),
            ..Self::state_of(reviewed)
        }
    }
}

/// The page; its script does the rest.
pub(super) async fn page(
    State(qc): State<Qc>,
    asker: Asker,
    Id(run): Id<RunId>,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, Refusal> {
    let (about, flaws) = qc
        .stores()
        .look(move |store| Ok((store.run(run)?, store.flaws(run)?)))
        .await?;
    let (other_order, other_order_said) = match asked.order {
        Order::Worst => ("along", "along the roll instead"),
        Order::Along => ("worst", "worst first instead"),
    };
    html(&Page {
        frame: asker.frame(&qc),
        run,
        roll: about.roll_number.to_string(),
        article: about.article.to_string(),
        order: asked.order.word(),
        other_order,
        other_order_said,
        may_review: may(asker.person.role, Act::Judge),
        classes: by_use(
            &qc.settings().classes,
            flaws.iter().map(|flaw| flaw.class.as_str()),
        ),
    })
}

/// Classes, those first that this roll has most of: they have the keys of one digit.
fn by_use<'a>(classes: &[String], used: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for class in used {
        *counts.entry(class).or_default() += 1;
    }
    let mut classes = classes.to_vec();
    // Stable: those that are used as often stay in their usual order.
    classes.sort_by_key(|class| std::cmp::Reverse(counts.get(class.as_str()).copied()));
    classes
}

/// The flaws.
pub(super) async fn flaws(
    State(qc): State<Qc>,
    Script(asker): Script,
    ProgramId(run): ProgramId<RunId>,
    Query(asked): Query<Asked>,
) -> Response {
    let units = asker.units;
    let (account, csrf) = (asker.person.name, asker.person.csrf);
    let found = qc
        .stores()
        .look(move |store| {
            store.run(run)?;
            let mut flaws = flaws_of(store, run)?;
            if asked.what == What::States {
                return Ok(All {
                    account,
                    csrf,
                    flaws: flaws.iter().map(Told::state_of).collect(),
                    groups: Vec::new(),
                });
            }
            if asked.order == Order::Worst {
                flaws.sort_by(worst_first);
            }
            let text = |ids: Vec<FlawId>| ids.iter().map(ToString::to_string).collect();
            Ok(All {
                account,
                csrf,
                groups: groups(&flaws).into_iter().map(text).collect(),
                flaws: flaws.iter().map(|each| Told::all_of(each, units)).collect(),
            })
        })
        .await;
    match found {
        Ok(all) => Json(all).into_response(),
        Err(refusal) => refusal.into_json(),
    }
}
