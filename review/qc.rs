//! The pages on which people review rolls.
//!
//! ```text
//! request ─▶ Person (whose session is it?) ─▶ may they? is it their own form? ─▶ Stores ─▶ page or JSON
//! ```
//!
//! Whoever is not logged in sees nothing but the login. Every change needs a role, the form's own word
//! that no other site knows, and is a row of the audit log. Pages are made whole on the server and work
//! without scripts, but for the review by keyboard.

mod accounts;
mod alike;
mod api;
mod audit;
mod flaw;
mod login;
mod map;
mod refusal;
mod report;
mod review;
mod reviewed;
mod roll;
mod rolls;
mod sessions;
mod signing;
mod stores;
mod trends;
mod units;
mod verdicts;
mod words;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use store::{By, Chain, ChainKey, Name, Store};

use self::refusal::Refusal;
pub use self::report::{REPORT_SCHEMA, REPORT_VERSION, Report, ReportError};
use self::sessions::{Person, Sessions};
use self::stores::Stores;
pub use self::units::Units;
use crate::access::{Act, may};
use crate::assessor::Assessor;

/// Largest form that is read.
const LARGEST_FORM: usize = 64 * 1024;
/// The cookies.
const SESSION: &str = "selvedge_session";
const UNITS: &str = "selvedge_units";

/// How rolls are reviewed here.
#[derive(Clone, Debug)]
pub struct QcSettings {
    /// The store's address.
    pub store: String,
    /// Words for classes of flaws, the commonest first.
    pub classes: Vec<String>,
    /// Name of the place: its chain of the audit log.
    pub place: store::Name,
    /// File of the audit log's key.
    pub key_file: std::path::PathBuf,
    /// Whether browsers come by https only.
    pub is_encrypted: bool,
    /// Whether a station's live page stands on the same address.
    pub has_station: bool,
}

/// What stands behind the pages.
#[derive(Clone)]
pub struct Qc(Arc<Inner>);

struct Inner {
    settings: QcSettings,
    stores: Stores,
    sessions: Sessions,
    chain: Mutex<Option<Chain>>,
    assessor: Arc<dyn Assessor>,
    /// Decisions that were written last, by account and key.
    written: Mutex<VecDeque<(String, String)>>,
}

/// Decisions that are remembered, so that none is written twice.
const MOST_WRITTEN: usize = 10_000;

impl Qc {
    /// Pages over a store, whose rolls `assessor` grades.
    pub fn new(settings: QcSettings, assessor: Arc<dyn Assessor>) -> Self {
        Self(Arc::new(Inner {
            assessor,
            written: Mutex::default(),
            stores: Stores::new(settings.store.clone()),
            sessions: Sessions::default(),
            chain: Mutex::default(),
            settings,
        }))
    }

    /// `routes`, which from another machine only who is logged in may see; a monitor may always ask, and orders bring
    /// the token of their own.
    pub fn guarding(&self, routes: Router) -> Router {
        let qc = self.clone();
        routes.layer(middleware::from_fn(move |request, next| {
            let qc = qc.clone();
            async move { qc.let_in(request, next).await }
        }))
    }

    async fn let_in(&self, request: Request, next: Next) -> Response {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let proxied = ["forwarded", "x-forwarded-for"];
        let headers = request.headers();
        let is_near = peer.is_some_and(|ConnectInfo(peer)| peer.ip().is_loopback())
            && !proxied.iter().any(|name| headers.contains_key(*name));
        let is_open = ["/health", "/metrics"].contains(&request.uri().path())
            || request.method() == Method::POST;
        if is_near || is_open || self.person(request.headers()).await.is_ok() {
            next.run(request).await
        } else {
            Refusal::Unknown.into_response()
        }
    }

    /// Who sends that, if their account still allows it.
    async fn person(&self, headers: &HeaderMap) -> Result<Person, Refusal> {
        let secret = cookie(headers, SESSION).ok_or(Refusal::Unknown)?;
        let person = self.sessions().whose(secret).ok_or(Refusal::Unknown)?;
        if self.sessions().is_due(secret) {
            let name = Name::new(&person.name)?;
            let now = self.stores().look(move |store| Ok(store.account(&name)?));
            let now = now.await?.filter(|account| !account.is_disabled);
            if now.is_none_or(|account| account.role != person.role) {
                self.sessions().end_all_of(&person.name, None);
                return Err(Refusal::Unknown);
            }
        }
        Ok(person)
    }

    fn stores(&self) -> &Stores {
        &self.0.stores
    }

    fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Whether a decision was written under that account and key; none is without a key.
    fn has_written(&self, key: &(String, String)) -> bool {
        let written = self
            .0
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        !key.1.is_empty() && written.contains(key)
    }

    fn was_written(&self, key: (String, String)) {
        let mut written = self
            .0
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !key.1.is_empty() {
            if written.len() >= MOST_WRITTEN {
                written.pop_front();
            }
            written.push_back(key);
        }
    }

    /// Does something in the store as who asks, if they may do it now: an account that was changed since its
    /// login may do no more than it may by then.
    async fn write_as<T: Send + 'static>(
        &self,
        asker: &Asker,
        act: Act,
        work: impl FnOnce(&mut Store, &By<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let account = Name::new(&asker.person.name)?;
        let chain = self.chain()?;
        self.stores()
            .write(move |store| {
                let now = store.account(&account)?;
                let now = now.filter(|account| !account.is_disabled);
                let role = now.ok_or(Refusal::Unknown)?.role;
                if !may(role, act) {
                    return Err(Refusal::Forbidden);
                }
                let by = By {
                    chain: &chain,
                    account: &account,
                    role,
                };
                work(store, &by)
            })
            .await
    }

    fn assessor(&self) -> Arc<dyn Assessor> {
        Arc::clone(&self.0.assessor)
    }

    /// Where what people do is chained, opened when the first does something.
    fn chain(&self) -> Result<Chain, Refusal> {
        let mut chain = self.0.chain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = &*chain {
            return Ok(chain.clone());
        }
        let QcSettings {
            key_file, place, ..
        } = self.settings();
        let opened = Chain::new(place.clone(), ChainKey::open(key_file)?);
        Ok(chain.insert(opened).clone())
    }

    fn settings(&self) -> &QcSettings {
        &self.0.settings
    }
}

/// The pages.
pub fn qc(qc: Qc) -> Router {
    let first = if qc.settings().has_station {
        Router::new()
    } else {
        Router::new().route("/", get(async || Redirect::to("/rolls")))
    };
    let routes = Router::new()
        .route("/login", get(login::page).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/units", get(units_of))
        .route("/rolls", get(rolls::page))
        .route("/runs/{run}", get(roll::page))
        .route("/runs/{run}/review", get(review::page))
        .route("/runs/{run}/review.json", get(review::flaws))
        .route("/runs/{run}/report", get(report::page))
        .route("/runs/{run}/sign", post(signing::sign))
        .route("/runs/{run}/verdicts", post(verdicts::by_script))
        .route("/flaws/{flaw}", get(flaw::page))
        .route("/flaws/{flaw}/crop.png", get(flaw::crop))
        .route("/flaws/{flaw}/verdict", post(verdicts::by_form))
        .route("/accounts", get(accounts::page).post(accounts::change))
        .route("/accounts/password", post(accounts::own_password))
        .route("/trends", get(trends::page))
        .route("/audit", get(audit::page))
        .route("/qc.css", get(style))
        .route("/review.js", get(review_script))
        .route("/roll.js", get(roll_script));
    first
        .merge(routes)
        .merge(api::routes())
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .with_state(qc)
}

/// What every page says around its own.
struct Frame {
    name: String,
    role: &'static str,
    csrf: String,
    units: &'static str,
    other_units: &'static str,
    /// The page's own address.
    here: String,
    may_audit: bool,
    has_station: bool,
}

/// Who asks, from where, and how they want to read it.
struct Asker {
    person: Person,
    units: Units,
    here: String,
    /// The word of its forms, as a script says it; empty where none does.
    said_by_script: String,
}

impl Asker {
    fn frame(&self, qc: &Qc) -> Frame {
        let other = match self.units {
            Units::Metric => Units::Inch,
            Units::Inch => Units::Metric,
        };
        Frame {
            name: self.person.name.clone(),
            role: self.person.role.as_str(),
            csrf: self.person.csrf.clone(),
            units: self.units.word(),
            other_units: other.word(),
            here: self.here.clone(),
            may_audit: may(self.person.role, Act::Audit),
            has_station: qc.settings().has_station,
        }
    }

    /// Refuses who may not do that.
    fn must_be_let(&self, act: Act) -> Result<(), Refusal> {
        if may(self.person.role, act) {
            Ok(())
        } else {
            Err(Refusal::Forbidden)
        }
    }

    /// Refuses what was sent from a page that is not this person's own.
    fn must_have_sent(&self, csrf: &str) -> Result<(), Refusal> {
        if csrf == self.person.csrf {
            Ok(())
        } else {
            Err(Refusal::Forbidden)
        }
    }

    /// The same for a script, which says it in a header.
    fn script_must_have_sent(&self) -> Result<(), Refusal> {
        self.must_have_sent(&self.said_by_script)
    }
}

impl FromRequestParts<Qc> for Asker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, qc: &Qc) -> Result<Self, Refusal> {
        let person = qc.person(&parts.headers).await?;
        let units = cookie(&parts.headers, UNITS).and_then(Units::from_word);
        let here = parts.uri.path_and_query();
        let said = parts
            .headers
            .get("x-csrf")
            .and_then(|said| said.to_str().ok());
        Ok(Self {
            person,
            units: units.unwrap_or_default(),
            here: here.map_or_else(|| "/rolls".to_owned(), ToString::to_string),
            said_by_script: said.unwrap_or_default().to_owned(),
        })
    }
}

/// The same for a script: who is not logged in is told so, and not sent to the login.
struct Script(Asker);

impl FromRequestParts<Qc> for Script {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, qc: &Qc) -> Result<Self, Response> {
        let asker = Asker::from_request_parts(parts, qc).await;
        asker.map(Self).map_err(Refusal::into_json)
    }
}

/// The id that a path names; whatever is none is not found.
struct Id<T>(T);

impl<T: FromStr> FromRequestParts<Qc> for Id<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, qc: &Qc) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, qc).await;
        let Path(text) = path.map_err(|_| Refusal::NotFound)?;
        text.parse().map(Self).map_err(|_| Refusal::NotFound)
    }
}

/// The same for a program.
struct ProgramId<T>(T);

impl<T: FromStr> FromRequestParts<Qc> for ProgramId<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, qc: &Qc) -> Result<Self, Response> {
        let id = Id::from_request_parts(parts, qc).await;
        id.map(|Id(id)| Self(id)).map_err(Refusal::into_json)
    }
}

/// Where a request comes from, where the server knows it.
struct From(Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map(|ConnectInfo(peer)| peer.ip())))
    }
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(found, _)| *found == name);
    ours.next().map(|(_, value)| value)
}

fn html(page: &impl Template) -> Result<Html<String>, Refusal> {
    page.render().map(Html).map_err(|error| {
        tracing::error!(%error, "a page could not be made");
        Refusal::Failed
    })
}

#[derive(Deserialize)]
struct UnitsAsked {
    to: String,
    back: String,
}

/// Keeps in what units a person reads; their own wish, so it needs no form.
async fn units_of(Query(asked): Query<UnitsAsked>) -> Result<Response, Refusal> {
    let units = Units::from_word(&asked.to);
    let units = units.ok_or_else(|| Refusal::Wrong("expected mm or in".to_owned()))?;
    let cookie = format!(
        "{UNITS}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict",
        units.word()
    );
    let back = own_path(&asked.back);
    Ok((
        StatusCode::SEE_OTHER,
        [(header::SET_COOKIE, cookie), (header::LOCATION, back)],
    )
        .into_response())
}

/// `path` when it is one of this server's, else the rolls: nobody is sent elsewhere.
fn own_path(path: &str) -> String {
    let is_own = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
    let parsed = path.parse::<Uri>().ok().filter(|_| is_own);
    parsed.map_or_else(|| "/rolls".to_owned(), |uri| uri.to_string())
}

/// Text as a value of an address.
fn in_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

async fn style() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("assets/qc.css"))
}

async fn review_script() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("assets/review.js"))
}

async fn roll_script() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("assets/roll.js"))
}

#[cfg(test)]
mod tests;
