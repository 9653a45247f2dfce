//! What a person sees: the station as it stands, and the rolls that it has inspected.
//!
//! ```text
//! browser, monitor, scanner ─▶ live ─▶ Live (a snapshot, a picture, an order) ─▶ the station
//! browser, program ──────────▶ qc ───▶ who is it? may they? ─▶ store
//! ```
//!
//! Either part stands alone or both stand on one address. No asset comes from another host. This crate knows no
//! model and cannot stop a line: of the station it has copies, and of the store a few connections of its
//! own that wait for the line's writer and never the other way round. It makes no thread but those on
//! which its server asks the store; [`serve`] runs on the caller's.

pub mod access;
mod assessor;
mod words;

mod live;
mod qc;
mod serve;

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

pub use self::assessor::{Assessor, RollGrade};
pub use self::live::{
    Acknowledgement, Alarm, Camera, Latency, Live, Order, Placed, Ribbon, RollOn, Settings,
    Snapshot, Token, live,
};
pub use self::qc::{Qc, QcSettings, REPORT_SCHEMA, REPORT_VERSION, Report, ReportError, Units, qc};
pub use self::serve::{Tls, serve};

/// How long an answer may take, a slow body included.
const LONGEST: Duration = Duration::from_secs(60);

/// `routes` as they are served, each with what keeps a browser safe.
pub fn app(routes: Router) -> Router {
    routes
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn(with_headers))
}

async fn in_time(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(LONGEST, next.run(request)).await;
    answered.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

/// Nothing of a page is kept by a browser unless it says so itself, framed, guessed at or fetched from
/// elsewhere; forms are sent nowhere else.
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
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}
