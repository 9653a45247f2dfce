//! The same for programs: `/api/v1`, with a token of its own role.
//!
//! ```text
//! Authorization: Bearer SECRET ─▶ whose token? may it? ─▶ Stores ─▶ JSON
//! ```
//!
//! What it answers and takes is described at `/api/v1/openapi.json`, made from the types below. Within
//! version 1 keys are added and none is renamed. Lengths are millimetres, times UTC in RFC 3339.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use store::{
    CoverState, FlawId, FlawsFilter, FlawsOrder, JudgedFlaw, Name, Role, RollRow, RollsPlace,
    RunId, VerdictFilter,
};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::refusal::Refusal;
use super::rolls::Asked as RollsAsked;
use super::units::{mm, rfc3339, span_mm};
use super::verdicts::{SentForMany, decided_by};
use super::{ProgramId, Qc};
use crate::access::{Act, may, secret_sha256};
use crate::assessor::RollGrade;

/// Rows of one answer, when nothing else was asked, and at most.
const ROWS: u32 = 100;
const MOST_ROWS: u32 = 1000;

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(title = "Selvedge", description = "Rolls, flaws, verdicts and coverage of a QC store.", version = "1"),
    paths(rolls, run, coverage, flaws, grades, flaw, crop, give_verdicts),
    components(schemas(RollTold, FlawTold)),
    modifiers(&Secured),
    security(("token" = []))
)]
struct Description;

struct Secured;

impl utoipa::Modify for Secured {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let bearer = Http::new(HttpAuthScheme::Bearer);
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// The routes.
pub(super) fn routes() -> Router<Qc> {
    Router::new()
        .route(
            "/api/v1/openapi.json",
            get(async || Json(Description::openapi())),
        )
        .route("/api/v1/rolls", get(rolls))
        .route("/api/v1/runs/{run}", get(run))
        .route("/api/v1/runs/{run}/coverage", get(coverage))
        .route("/api/v1/runs/{run}/flaws", get(flaws))
        .route("/api/v1/runs/{run}/grades", get(grades))
        .route("/api/v1/flaws/{flaw}", get(flaw))
        .route("/api/v1/flaws/{flaw}/crop.png", get(crop))
        .route("/api/v1/verdicts", post(give_verdicts))
}

/// A program that asks, by its token.
struct Program {
    name: Name,
    role: Role,
}

impl FromRequestParts<Qc> for Program {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, qc: &Qc) -> Result<Self, Response> {
        let brought = parts.headers.get(header::AUTHORIZATION);
        let secret = brought
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let digest = secret.map(secret_sha256);
        let Some(digest) = digest else {
            return Err(Refusal::Unknown.into_json());
        };
        let token = qc
            .stores()
            .look(move |store| Ok(store.token_of(&digest)?))
            .await
            .map_err(Refusal::into_json)?;
        match token {
            Some(token) => Ok(Self {
                name: token.name,
                role: token.role,
            }),
            None => Err(Refusal::Unknown.into_json()),
        }
    }
}

/// A roll, as its latest run left it.
#[derive(Serialize, ToSchema)]
struct RollTold {
    number: String,
    article: String,
    order: Option<String>,
    station: Option<String>,
    /// Id of the latest run.
    run: String,
    n_runs: i64,
    /// `running`, `done` or `aborted`.
    state: String,
    started_at: String,
    ended_at: Option<String>,
    length_mm: Option<f64>,
    width_mm: Option<f64>,
    inspected_mm2: f64,
    /// Area that was not looked at, by reason.
    gaps_mm2: std::collections::BTreeMap<String, f64>,
    n_flaws: i64,
    n_unreviewed: i64,
    n_confirmed: i64,
    n_rejected: i64,
    n_reclassified: i64,
}

impl RollTold {
    fn of(row: &RollRow) -> Self {
        let text = |name: &Option<Name>| name.as_ref().map(ToString::to_string);
        Self {
            number: row.number.to_string(),
            article: row.article.to_string(),
            order: text(&row.order),
            station: text(&row.station),
            run: row.run.to_string(),
            n_runs: row.n_runs,
            state: row.state.to_string(),
            started_at: rfc3339(row.started_at_us),
            ended_at: row.ended_at_us.map(rfc3339),
            length_mm: row.length_um.map(mm),
            width_mm: row.width_um.map(mm),
            inspected_mm2: row.inspected_um2 as f64 / 1e6,
            gaps_mm2: (row.gaps_um2.iter())
                .map(|(reason, area)| (reason.clone(), *area as f64 / 1e6))
                .collect(),
            n_flaws: row.counts.n_flaws,
            n_unreviewed: row.counts.n_unreviewed,
            n_confirmed: row.counts.n_confirmed,
            n_rejected: row.counts.n_rejected,
            n_reclassified: row.counts.n_reclassified,
        }
    }
}

/// Rolls, and where the next ones begin.
#[derive(Serialize, ToSchema)]
struct Rolls {
    rolls: Vec<RollTold>,
    /// What to ask as `after` for the next ones; null when there are none.
    next: Option<String>,
}

/// Which rolls.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RollsQuery {
    /// Part of the number.
    #[serde(default)]
    roll: String,
    #[serde(default)]
    article: String,
    /// `running`, `done` or `aborted`.
    #[serde(default)]
    state: String,
    /// First day, such as 2026-11-28, UTC.
    #[serde(default)]
    from: String,
    /// Last day.
    #[serde(default)]
    to: String,
    /// Where to go on: `next` of the answer before.
    #[serde(default)]
    after: String,
    /// Rows of the answer, 1 to 1000.
    limit: Option<u32>,
}

/// Rolls, the latest first.
#[utoipa::path(get, path = "/api/v1/rolls", params(RollsQuery), responses((status = 200, body = Rolls)))]
async fn rolls(
    State(qc): State<Qc>,
    _program: Program,
    Query(asked): Query<RollsQuery>,
) -> Response {
    let found = async {
        let filter = RollsAsked {
            roll: asked.roll,
            article: asked.article,
            state: asked.state,
            from: asked.from,
            to: asked.to,
            ..RollsAsked::default()
        }
        .filter()?;
        let after = Some(asked.after).filter(|after| !after.is_empty());
        let after: Option<RollsPlace> = after.map(|after| after.parse()).transpose()?;
        let n_most = rows(asked.limit)?;
        qc.stores()
            .look(move |store| {
                let order = store::RollsOrder::Latest;
                let page = store.rolls_page(&filter, order, after.as_ref(), n_most)?;
                Ok(Rolls {
                    rolls: page.rows.iter().map(RollTold::of).collect(),
                    next: page.next.map(|place| place.to_string()),
                })
            })
            .await
    };
    told(found.await)
}

/// One run of a roll.
#[utoipa::path(get, path = "/api/v1/runs/{run}", params(("run" = String, Path, description = "id of a run")), responses((status = 200, body = RollTold)))]
async fn run(
    State(qc): State<Qc>,
    _program: Program,
    ProgramId(run): ProgramId<RunId>,
) -> Response {
    let found = qc
        .stores()
        .look(move |store| Ok(RollTold::of(&store.roll_row(run)?)))
        .await;
    told(found)
}

/// The ledger of a run.
#[derive(Serialize, ToSchema)]
struct Coverage {
    inspected_mm2: f64,
    beside_mm2: f64,
    gaps_mm2: std::collections::BTreeMap<String, f64>,
    cells: Vec<Cell>,
}

/// A piece of cloth and what became of it.
#[derive(Serialize, ToSchema)]
struct Cell {
    along_mm: [f64; 2],
    across_mm: [f64; 2],
    /// `inspected`, `beside` or `gap`.
    state: &'static str,
    /// Why it was not looked at.
    reason: Option<String>,
}

/// What was looked at, and what was not.
#[utoipa::path(get, path = "/api/v1/runs/{run}/coverage", params(("run" = String, Path, description = "id of a run")), responses((status = 200, body = Coverage)))]
async fn coverage(
    State(qc): State<Qc>,
    _program: Program,
    ProgramId(run): ProgramId<RunId>,
) -> Response {
    let found = qc
        .stores()
        .look(move |store| {
            store.run(run)?;
            let totals = store.coverage_totals(run)?;
            let cells = store.coverage(run)?.into_iter().map(|cell| {
                let (state, reason) = match cell.state {
                    CoverState::Inspected => ("inspected", None),
                    CoverState::Beside => ("beside", None),
                    CoverState::Gap(reason) => ("gap", Some(reason)),
                };
                Cell {
                    along_mm: span_mm(cell.rect.along()),
                    across_mm: span_mm(cell.rect.across()),
                    state,
                    reason,
                }
            });
            Ok(Coverage {
                inspected_mm2: totals.inspected_um2 as f64 / 1e6,
                beside_mm2: totals.beside_um2 as f64 / 1e6,
                gaps_mm2: (totals.gaps_um2.into_iter())
                    .map(|(reason, area)| (reason, area as f64 / 1e6))
                    .collect(),
                cells: cells.collect(),
            })
        })
        .await;
    told(found)
}

/// A flaw.
#[derive(Serialize, ToSchema)]
struct FlawTold {
    id: String,
    /// Its class, by a person where one has said so.
    class: String,
    class_found: String,
    severity: String,
    along_mm: [f64; 2],
    across_mm: [f64; 2],
    length_mm: f64,
    /// 1 is the threshold.
    score: f64,
    found_at: String,
    has_crop: bool,
    /// `confirmed`, `rejected` or `reclassified`; null while nobody has decided.
    verdict: Option<&'static str>,
}

impl FlawTold {
    fn of(judged: &JudgedFlaw) -> Self {
        let flaw = &judged.flaw;
        Self {
            id: flaw.id.to_string(),
            class: judged.class().to_owned(),
            class_found: flaw.class.clone(),
            severity: flaw.severity.clone(),
            along_mm: span_mm(flaw.rect.along()),
            across_mm: span_mm(flaw.rect.across()),
            length_mm: mm(flaw.length_um),
            score: flaw.score,
            found_at: rfc3339(flaw.found_at_us),
            has_crop: flaw.has_crop,
            verdict: judged.decision.as_ref().map(store::Decision::as_str),
        }
    }
}

/// Flaws, and where the next ones begin.
#[derive(Serialize, ToSchema)]
struct Flaws {
    flaws: Vec<FlawTold>,
    next: Option<String>,
}

/// Which flaws.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FlawsQuery {
    class: Option<String>,
    severity: Option<String>,
    /// `none`, `any`, `confirmed`, `rejected` or `reclassified`.
    verdict: Option<String>,
    /// `along` (the usual) or `worst`.
    order: Option<String>,
    /// Where to go on: `next` of the answer before.
    after: Option<String>,
    /// Rows of the answer, 1 to 1000.
    limit: Option<u32>,
}

/// The flaws of a run.
#[utoipa::path(get, path = "/api/v1/runs/{run}/flaws", params(("run" = String, Path, description = "id of a run"), FlawsQuery), responses((status = 200, body = Flaws)))]
async fn flaws(
    State(qc): State<Qc>,
    _program: Program,
    ProgramId(run): ProgramId<RunId>,
    Query(asked): Query<FlawsQuery>,
) -> Response {
    let found = async {
        let verdict = match asked.verdict.as_deref() {
            None => None,
            Some("none") => Some(VerdictFilter::Missing),
            Some("any") => Some(VerdictFilter::Given),
            Some("confirmed") => Some(VerdictFilter::Confirmed),
            Some("rejected") => Some(VerdictFilter::Rejected),
            Some("reclassified") => Some(VerdictFilter::Reclassified),
            Some(_) => return Err(Refusal::Wrong("verdict is none of those".to_owned())),
        };
        let worst_first = match asked.order.as_deref() {
            None | Some("along") => false,
            Some("worst") => true,
            Some(_) => return Err(Refusal::Wrong("order is along or worst".to_owned())),
        };
        let filter = FlawsFilter {
            class: asked.class,
            severity: asked.severity,
            verdict,
        };
        let after: Option<FlawId> = asked.after.map(|after| after.parse()).transpose()?;
        let n_most = rows(asked.limit)?;
        qc.stores()
            .look(move |store| {
                store.run(run)?;
                let mildest_first = super::reviewed::MILDEST_FIRST.map(str::to_owned);
                let order = if worst_first {
                    FlawsOrder::WorstFirst {
                        mildest_first: &mildest_first,
                    }
                } else {
                    FlawsOrder::Along
                };
                let page = store.flaws_page(run, &filter, &order, after, n_most)?;
                Ok(Flaws {
                    flaws: page.rows.iter().map(FlawTold::of).collect(),
                    next: page.next.map(|next| next.to_string()),
                })
            })
            .await
    };
    told(found.await)
}

/// A run under the place's rules.
#[derive(Serialize, ToSchema)]
struct Grades {
    #[schema(value_type = Vec<Object>)]
    grades: Vec<RollGrade>,
}

/// Points and quality.
#[utoipa::path(get, path = "/api/v1/runs/{run}/grades", params(("run" = String, Path, description = "id of a run")), responses((status = 200, body = Grades)))]
async fn grades(
    State(qc): State<Qc>,
    _program: Program,
    ProgramId(run): ProgramId<RunId>,
) -> Response {
    let assessor = qc.assessor();
    let found = qc
        .stores()
        .look(move |store| {
            store.run(run)?;
            let grades = assessor.grades(store, run).map_err(Refusal::Wrong)?;
            Ok(Grades { grades })
        })
        .await;
    told(found)
}

/// A flaw with what people said of it.
#[derive(Serialize, ToSchema)]
struct WholeFlaw {
    run: String,
    flaw: FlawTold,
    verdicts: Vec<VerdictTold>,
}

/// What a person said of a flaw.
#[derive(Serialize, ToSchema)]
struct VerdictTold {
    decision: &'static str,
    class: Option<String>,
    note: Option<String>,
    account: String,
    role: String,
    at: String,
    /// Whether it is the one that counts.
    is_standing: bool,
    /// Who took it back.
    taken_back_by: Option<String>,
}

/// One flaw.
#[utoipa::path(get, path = "/api/v1/flaws/{flaw}", params(("flaw" = String, Path, description = "id of a flaw")), responses((status = 200, body = WholeFlaw)))]
async fn flaw(
    State(qc): State<Qc>,
    _program: Program,
    ProgramId(flaw): ProgramId<FlawId>,
) -> Response {
    let found = qc
        .stores()
        .look(move |store| {
            let (run, judged) = store.judged_flaw(flaw)?;
            let verdicts = store
                .verdicts(flaw)?
                .into_iter()
                .map(|verdict| VerdictTold {
                    decision: verdict.decision.as_str(),
                    class: verdict.decision.class().map(ToString::to_string),
                    note: verdict.note,
                    account: verdict.account,
                    role: verdict.role,
                    at: rfc3339(verdict.at_us),
                    is_standing: verdict.is_standing,
                    taken_back_by: verdict.undone.map(|undone| undone.account),
                });
            Ok(WholeFlaw {
                run: run.to_string(),
                flaw: FlawTold::of(&judged),
                verdicts: verdicts.collect(),
            })
        })
        .await;
    told(found)
}

/// The picture of a flaw, as it was kept.
#[utoipa::path(get, path = "/api/v1/flaws/{flaw}/crop.png", params(("flaw" = String, Path, description = "id of a flaw")), responses((status = 200, content_type = "image/png", body = Vec<u8>)))]
async fn crop(
    State(qc): State<Qc>,
    _program: Program,
    ProgramId(flaw): ProgramId<FlawId>,
) -> Response {
    let crop = qc.stores().look(move |store| Ok(store.crop(flaw)?)).await;
    match crop.and_then(|crop| crop.ok_or(Refusal::NotFound)) {
        Ok(crop) => ([(header::CONTENT_TYPE, "image/png")], crop.png).into_response(),
        Err(refusal) => refusal.into_json(),
    }
}

/// Decides on one flaw or on many: all or none.
#[utoipa::path(post, path = "/api/v1/verdicts", request_body = SentForMany, responses((status = 200, body = Flaws)))]
async fn give_verdicts(State(qc): State<Qc>, program: Program, body: Bytes) -> Response {
    let done = async {
        if !may(program.role, Act::Judge) {
            return Err(Refusal::Forbidden);
        }
        let sent = SentForMany::read(&body)?;
        let (flaws, decided) = sent.checked(&qc.settings().classes)?;
        let chain = qc.chain()?;
        let account = Name::new(&format!("token {}", program.name))?;
        qc.stores()
            .write(move |store| {
                let by = store::By {
                    chain: &chain,
                    account: &account,
                    role: program.role,
                };
                decided_by(store, &by, None, &flaws, decided)?;
                let now = flaws.iter().map(|flaw| {
                    let (_, judged) = store.judged_flaw(*flaw)?;
                    Ok(FlawTold::of(&judged))
                });
                Ok(Flaws {
                    flaws: now.collect::<Result<_, Refusal>>()?,
                    next: None,
                })
            })
            .await
    };
    told(done.await)
}

fn rows(limit: Option<u32>) -> Result<u32, Refusal> {
    let limit = limit.unwrap_or(ROWS);
    if (1..=MOST_ROWS).contains(&limit) {
        Ok(limit)
    } else {
        Err(Refusal::Wrong(format!(
            "found limit = {limit}, expected 1 to {MOST_ROWS}"
        )))
    }
}

fn told<T: Serialize>(found: Result<T, Refusal>) -> Response {
    match found {
        Ok(found) => Json(found).into_response(),
        Err(refusal) => refusal.into_json(),
    }
}
