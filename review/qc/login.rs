//! Logging in and out.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::refusal::Refusal;
use super::sessions::said_wait;
use super::{Asker, From, Qc, SESSION, cookie, html};
use crate::access::verify_password;

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    refused: Option<String>,
    name: String,
}

/// The form.
pub(super) async fn page() -> Result<impl IntoResponse, Refusal> {
    html(&Page {
        refused: None,
        name: String::new(),
    })
}

#[derive(Deserialize)]
pub(super) struct Tried {
    name: String,
    password: String,
}

/// Begins a session, or says why not; never whether it was the name or the password.
pub(super) async fn log_in(
    State(qc): State<Qc>,
    From(address): From,
    Form(Tried { name, password }): Form<Tried>,
) -> Result<Response, Refusal> {
    let refuse = |status: StatusCode, why: String| {
        let page = Page {
            refused: Some(why),
            name: name.chars().take(100).collect(),
        };
        Ok((status, html(&page)?).into_response())
    };
    if let Some(wait) = qc.sessions().must_wait(&name, address) {
        return refuse(StatusCode::TOO_MANY_REQUESTS, said_wait(wait));
    }
    let asked = name.clone();
    let account = qc
        .stores()
        .look(move |store| {
            let account = match store::Name::new(&asked) {
                Ok(name) => store.account(&name)?,
                Err(_) => None,
            };
            let account = account.filter(|account| !account.is_disabled);
            // As long as it takes for one that is there, so that time tells nothing.
            let hash = account.as_ref().map(|account| account.password.as_str());
            let is_right = verify_password(hash, &password);
            Ok(account.filter(|_| is_right))
        })
        .await?;
    let Some(account) = account else {
        qc.sessions().has_failed(&name, address);
        tracing::warn!(account = ?name.chars().take(100).collect::<String>(), ?address, "a login failed");
        let why = "name or password is wrong".to_owned();
        return refuse(StatusCode::UNAUTHORIZED, why);
    };
    let secret = qc
        .sessions()
        .begin(account.name.to_string(), account.role)
        .map_err(|error| {
            tracing::error!(%error, "the system has no random bytes");
            Refusal::Failed
        })?;
    let secure = if qc.settings().is_encrypted {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!("{SESSION}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}");
    Ok((
        StatusCode::SEE_OTHER,
        [
            (header::SET_COOKIE, cookie),
            (header::LOCATION, "/rolls".to_owned()),
        ],
    )
        .into_response())
}

#[derive(Deserialize)]
pub(super) struct Left {
    csrf: String,
}

/// Ends the session.
pub(super) async fn log_out(
    State(qc): State<Qc>,
    asker: Asker,
    headers: HeaderMap,
    Form(left): Form<Left>,
) -> Result<Response, Refusal> {
    asker.must_have_sent(&left.csrf)?;
    if let Some(secret) = cookie(&headers, SESSION) {
        qc.sessions().end(secret);
    }
    let gone = format!("{SESSION}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    Ok((
        StatusCode::SEE_OTHER,
        [
            (header::SET_COOKIE, gone),
            (header::LOCATION, "/login".to_owned()),
        ],
    )
        .into_response())
}
