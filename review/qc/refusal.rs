//! Why a request is not answered as it was asked.
//!
//! Who asks hears a short word of it and what to do; what went wrong within goes to the log.

use askama::Template;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use store::StoreError;

/// Why not.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nobody is logged in, or no longer.
    Unknown,
    /// Who is logged in may not do that.
    Forbidden,
    /// What was sent cannot be used, and why.
    Wrong(String),
    /// There is no such thing.
    NotFound,
    /// Too many ask at once.
    Busy,
    /// The store failed.
    Inner(StoreError),
    /// A thread failed, which it has told.
    Failed,
}

impl From<StoreError> for Refusal {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "what a person can do something about is named; all else is the store's own trouble"
    )]
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unknown { .. } => Self::NotFound,
            StoreError::Invalid { .. } | StoreError::Taken { .. } => Self::Wrong(error.to_string()),
            StoreError::Busy { .. } => Self::Busy,
            error => Self::Inner(error),
        }
    }
}

/// A page that only says something.
#[derive(Template)]
#[template(path = "refused.html")]
struct Page<'a> {
    title: &'static str,
    said: &'a str,
}

impl Refusal {
    fn told(&self) -> (StatusCode, &'static str, String) {
        let said = |text: &str| text.to_owned();
        match self {
            Self::Unknown => (
                StatusCode::UNAUTHORIZED,
                "not logged in",
                said("log in first"),
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "not allowed",
                said("your role does not allow this, or the page is an old one: open it again"),
            ),
            Self::Wrong(why) => (StatusCode::BAD_REQUEST, "not understood", why.clone()),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not found",
                said("there is no such page, roll or flaw; it may have been removed by rule"),
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                said("too much is asked at once, or the store is locked; try again"),
            ),
            Self::Inner(_) | Self::Failed => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "failed",
                said("the store could not be asked; the log says why"),
            ),
        }
    }

    /// The same for a program.
    pub(super) fn into_json(self) -> Response {
        self.log();
        let (status, _, said) = self.told();
        (status, Json(serde_json::json!({ "error": said }))).into_response()
    }

    fn log(&self) {
        if let Self::Inner(error) = self {
            tracing::error!(%error, "the store failed a page");
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if matches!(self, Self::Unknown) {
            return (StatusCode::SEE_OTHER, [(header::LOCATION, "/login")]).into_response();
        }
        self.log();
        let (status, title, said) = self.told();
        let page = Page { title, said: &said };
        match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (status, said).into_response(),
        }
    }
}
