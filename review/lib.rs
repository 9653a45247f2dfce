//! What a station shows of itself: a live page, its health, figures for a monitor, and orders.
//!
//! ```text
//! browser, monitor, scanner ─▶ app ─▶ Live (a snapshot, a picture, an order) ─▶ answer
//! ```
//!
//! The station is behind [`Live`]: everything it gives is a copy, so a page that is slow, stuck or
//! flooded with requests never makes the line wait. Orders (to begin and to end a roll, to acknowledge
//! an alarm) need the station's token; whoever has none can look. No asset comes from another host. This crate knows no
//! model and makes no thread; [`serve`] runs on the caller's.

pub mod access;

mod metrics;
mod page;
mod ribbon;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

/// How often a server looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What stands behind the page. Every call must be quick: it is answered on the server's one thread.
pub trait Live: Send + Sync + 'static {
    /// What the station does now.
    fn snapshot(&self) -> Snapshot;

    /// The last picture of a camera, counted from 0, as a PNG file; `None` while it is not live.
    fn picture(&self, camera: usize) -> Option<Vec<u8>>;

    /// Begins a roll.
    ///
    /// # Errors
    /// Why not, in words for a person.
    fn begin(&self, order: &Order) -> Result<String, String>;

    /// Ends the roll that is on.
    ///
    /// # Errors
    /// Why not, in words for a person.
    fn end(&self) -> Result<String, String>;

    /// A person has seen an alarm.
    ///
    /// # Errors
    /// Why not, in words for a person.
    fn acknowledge(&self, seen: &Acknowledgement) -> Result<String, String>;

    /// Flaws and gaps of the roll that is on, or of the last one.
    fn ribbon(&self) -> Ribbon;
}

/// What begins a roll.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The roll's number.
    pub roll: String,
    /// Its article; the station's usual one when left out.
    pub article: Option<String>,
    /// The number of the order that it is made for, where there is one.
    pub order: Option<String>,
}

/// Who has seen which alarm.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The alarm's number.
    pub id: u64,
    /// The person.
    pub by: String,
}

/// A roll as a strip: what lies where, in mm.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ribbon {
    /// How far along it goes.
    pub length_mm: f64,
    /// From where to where across.
    pub across_mm: [f64; 2],
    /// Where along it is whole from: of very many flaws and gaps only the latest are shown.
    pub from_mm: f64,
    /// Cloth that was not looked at.
    pub gaps: Vec<Placed>,
    /// Flaws.
    pub flaws: Vec<Placed>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Placed {
    /// From where to where along.
    pub along_mm: [f64; 2],
    /// From where to where across.
    pub across_mm: [f64; 2],
    /// The reason of a gap, or the class of a flaw.
    pub what: String,
    /// The severity of a flaw.
    pub severity: Option<String>,
}

/// A station at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// Its name.
    pub station: String,
    /// Version of the program.
    pub version: String,
    /// Seconds since it stands.
    pub up_s: f64,
    /// The roll that is on.
    pub roll: Option<RollOn>,
    /// What became of the last one, in words.
    pub last_roll: Option<String>,
    /// One per camera, from the left.
    pub cameras: Vec<Camera>,
    /// Alarms that wait for a person, in the order of raising.
    pub alarms: Vec<Alarm>,
    /// What is wrong, in words; nothing when all is well.
    pub wrong: Vec<String>,
    /// Rolls that came to their end.
    pub n_rolls: u64,
    /// Rolls that were cut off.
    pub n_failed: u64,
    /// Flaws that were written.
    pub n_flaws: u64,
    /// Frames that were dealt with, lost ones too.
    pub n_frames: u64,
    /// Its settings.
    pub settings: Settings,
    /// Bytes that are free for the store; `None` where nobody can tell.
    pub free_bytes: Option<u64>,
    /// Whether the line deals with what comes.
    pub lives: bool,
    /// How many items lay in each of the line's queues when the last one came, by name.
    pub queues: Vec<(String, usize)>,
    /// From a frame's exposure until all of it is in the store.
    pub latency: Latency,
}

/// An alarm that waits for a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Alarm {
    /// Its number.
    pub id: u64,
    /// What for, in one word.
    pub cause: &'static str,
    /// For people.
    pub message: String,
    /// When it was raised, microseconds since 1970 UTC.
    pub raised_at_us: i64,
    /// How often it was called for.
    pub n_times: u64,
    /// Whether it asks the machine to stop.
    pub stops: bool,
}

/// How often times of which length came.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Upper ends of the bins, in milliseconds.
    pub bin_ends_ms: Vec<u64>,
    /// How many came of each; one more than ends, for what is longer.
    pub counts: Vec<u64>,
    /// All of them together, in seconds.
    pub sum_s: f64,
}

/// When the station's settings were read, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// When they were read last, in words.
    pub read_at: String,
    /// Why they were refused then, if so; those before hold.
    pub refused: Option<String>,
}

/// The roll that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RollOn {
    /// Its number.
    pub roll: String,
    /// Its article.
    pub article: String,
}

/// What a camera does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Camera {
    /// `exposing`, `waiting`, `gone` or `ended`.
    pub doing: &'static str,
    /// Why it is gone, while it is.
    pub why: Option<String>,
    /// Seconds since its last frame; `None` before the first.
    pub silent_s: Option<f64>,
    /// Frames that came.
    pub n_frames: u64,
    /// Exposures that are known to be lost.
    pub n_lost: u64,
    /// How often it failed.
    pub n_failures: u64,
    /// Mean level of the cloth, of 255; `None` before it is known.
    pub light: Option<f64>,
    /// Sharpness of the cloth, to be compared with itself; `None` before it is known.
    pub focus: Option<f64>,
    /// What its driver counts of its stream, by the driver's names.
    pub stream: BTreeMap<String, u64>,
}

/// What an order must bring along.
#[derive(Clone)]
pub struct Token(String);

/// Fewest characters of a token.
const SHORTEST_TOKEN: usize = 16;

impl Token {
    /// A token of at least 16 visible characters.
    ///
    /// # Errors
    /// What was found instead.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < SHORTEST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "found a token of {} characters, expected at least {SHORTEST_TOKEN}, letters, digits or signs without spaces",
                text.chars().count()
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether a request brings it as `Authorization: Bearer …`. Takes the same time for whatever is
    /// brought.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let brought = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default()
            .as_bytes();
        let own = self.0.as_bytes();
        let differ = own
            .iter()
            .enumerate()
            .fold(own.len() ^ brought.len(), |differ, (i, byte)| {
                differ | usize::from(byte ^ brought.get(i).copied().unwrap_or(0))
            });
        differ == 0
    }
}

#[derive(Clone)]
struct Shown {
    live: Arc<dyn Live>,
    token: Option<Token>,
}

/// The page of a station, for any server. Without a `token` orders are refused.
pub fn app(live: Arc<dyn Live>, token: Option<Token>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/page.js", get(script))
        .route("/page.css", get(style))
        .route("/live.json", get(live_json))
        .route("/ribbon.svg", get(ribbon_svg))
        .route("/cameras/{file}", get(picture))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/rolls/begin", post(begin))
        .route("/rolls/end", post(end))
        .route("/alarms/acknowledge", post(acknowledge))
        .layer(middleware::from_fn(with_headers))
        .with_state(Shown { live, token })
}

/// Serves `app` on this thread until `stop` is set; requests that are under way then are cut off.
///
/// # Errors
/// What the system says.
pub fn serve(listener: TcpListener, app: Router, stop: &AtomicBool) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let server = axum::serve(listener, app).into_future();
        tokio::pin!(server);
        loop {
            match tokio::time::timeout(LOOK, &mut server).await {
                Ok(served) => return served,
                Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
                Err(_) => {}
            }
        }
    })
}

async fn page(State(shown): State<Shown>) -> Html<String> {
    Html(page::of(&shown.live.snapshot(), &shown.live.ribbon()))
}

async fn ribbon_svg(State(shown): State<Shown>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "image/svg+xml")];
    (kind, ribbon::svg(&shown.live.ribbon()))
}

async fn script() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("assets/page.js"))
}

async fn style() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("assets/page.css"))
}

async fn live_json(State(shown): State<Shown>) -> Json<Snapshot> {
    Json(shown.live.snapshot())
}

async fn picture(State(shown): State<Shown>, Path(file): Path<String>) -> Response {
    let nth = file.strip_suffix(".png").and_then(|nth| nth.parse().ok());
    let picture = nth
        .and_then(|nth: usize| nth.checked_sub(1))
        .and_then(|camera| shown.live.picture(camera));
    match picture {
        Some(png) => ([(header::CONTENT_TYPE, "image/png")], png).into_response(),
        None => (StatusCode::NOT_FOUND, "no live picture\n").into_response(),
    }
}

/// 200 when all is well, 503 with what is wrong when it is not.
async fn health(State(shown): State<Shown>) -> impl IntoResponse {
    let snapshot = shown.live.snapshot();
    let status = if snapshot.wrong.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let told = serde_json::json!({
        "healthy": snapshot.wrong.is_empty(),
        "wrong": snapshot.wrong,
        "roll": snapshot.roll,
        "settings": snapshot.settings,
    });
    (status, Json(told))
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, metrics::text(&shown.live.snapshot()))
}

async fn begin(
    State(shown): State<Shown>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    shown.ordered(&headers, |live| {
        live.begin(&parsed(&body, r#"{"roll": …, "article": …, "order": …}"#)?)
    })
}

async fn acknowledge(
    State(shown): State<Shown>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    shown.ordered(&headers, |live| {
        live.acknowledge(&parsed(&body, r#"{"id": …, "by": …}"#)?)
    })
}

fn parsed<T: serde::de::DeserializeOwned>(body: &[u8], expected: &str) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        format!("found an order that cannot be read ({error}), expected {expected}")
    })
}

async fn end(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    shown.ordered(&headers, |live| live.end())
}

impl Shown {
    /// Does what was ordered, for who may order, and answers.
    fn ordered(
        &self,
        headers: &HeaderMap,
        order: impl FnOnce(&dyn Live) -> Result<String, String>,
    ) -> Response {
        match self.refusal(headers) {
            Some(refused) => refused,
            None => answer(order(&*self.live)),
        }
    }

    /// Why who sent this may not give orders, if so.
    fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        let why = match &self.token {
            Some(token) if token.is_in(headers) => return None,
            Some(_) => "the station's token is wanted, as Authorization: Bearer …",
            None => "this station takes no orders here: its file names no token_file",
        };
        let refused = Json(serde_json::json!({ "error": why }));
        Some((StatusCode::UNAUTHORIZED, refused).into_response())
    }
}

fn answer(told: Result<String, String>) -> Response {
    match told {
        Ok(told) => Json(serde_json::json!({ "told": told })).into_response(),
        Err(error) => {
            let refused = Json(serde_json::json!({ "error": error }));
            (StatusCode::CONFLICT, refused).into_response()
        }
    }
}

/// Nothing of the page is kept by a browser, framed, guessed at or fetched from elsewhere.
async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
