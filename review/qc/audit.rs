//! The audit log: who did what, the latest first.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use store::{EntriesFilter, Entry, EntryKind, EntryPlace, Name};

use super::refusal::Refusal;
use super::units::moment;
use super::words::plain;
use super::{Asker, Frame, Qc, html, in_query};
use crate::access::Act;

/// Entries of one page.
const ENTRIES: u32 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    asked: Asked,
    kinds: Vec<&'static str>,
    entries: Vec<Row>,
    next: Option<String>,
}

struct Row {
    at: String,
    chain: String,
    number: i64,
    account: String,
    role: String,
    kind: String,
    subject: String,
    link: Option<String>,
    body: String,
    hash: String,
}

/// Which entries; a field that is empty asks for nothing.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    account: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    after: String,
}

/// The page.
pub(super) async fn page(
    State(qc): State<Qc>,
    asker: Asker,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, Refusal> {
    asker.must_be_let(Act::Audit)?;
    let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let name = |text: &str| said(text).map(|text| Name::new(&text)).transpose();
    let kind: Option<EntryKind> = said(&asked.kind).map(|kind| kind.parse()).transpose()?;
    let filter = EntriesFilter {
        account: name(&asked.account)?,
        subject: name(&asked.subject)?,
        kind,
        ..EntriesFilter::default()
    };
    let after: Option<EntryPlace> = said(&asked.after).map(|after| after.parse()).transpose()?;
    let found = qc
        .stores()
        .look(move |store| Ok(store.entries(&filter, after.as_ref(), ENTRIES)?))
        .await?;
    let next = found.next.map(|place| {
        format!(
            "/audit?account={}&kind={}&subject={}&after={}",
            in_query(&asked.account),
            in_query(&asked.kind),
            in_query(&asked.subject),
            in_query(&place.to_string())
        )
    });
    html(&Page {
        frame: asker.frame(&qc),
        kinds: EntryKind::ALL.iter().map(|kind| kind.as_str()).collect(),
        entries: found.rows.iter().map(Row::of).collect(),
        next,
        asked,
    })
}

impl Row {
    fn of(entry: &Entry) -> Self {
        let link = match entry.kind.as_str() {
            "verdict" | "undo" => Some(format!("/flaws/{}", entry.subject)),
            _ => entry.run.map(|run| format!("/runs/{run}")),
        };
        let hash = entry.hash.to_string();
        Self {
            at: moment(entry.at_us),
            chain: entry.chain.to_string(),
            number: entry.number,
            account: entry.account.to_string(),
            role: entry.role.to_string(),
            kind: plain(entry.kind.as_str()),
            subject: entry.subject.to_string(),
            link,
            body: entry.body_json.clone(),
            hash: hash.chars().take(12).collect(),
        }
    }
}
