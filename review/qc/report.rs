//! The report of a roll: what a buyer gets with it.
//!
//! ```text
//! store, Assessor ─▶ Report ─▶ a page in one file · JSON by `report.schema.json` · CSV of flaws and gaps
//! ```
//!
//! It says what was looked at, what was not, what was found, what people decided and who they are; and the head of the
//! audit log, so that a log that is changed later no longer fits it. The page holds its pictures and fetches
//! nothing.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use store::{CoverState, CoverageCell, Name, Run, RunId, Store, StoreError};

use super::map::{self, Strip};
use super::refusal::Refusal;
use super::reviewed::{Reviewed, flaws_of, worst_first};
use super::roll::{gaps_of, place_of};
use super::units::{Units, mm, rfc3339, span_mm};
use super::words::{plain, said_of};
use super::{Asker, Id, Qc};
use crate::assessor::{Assessor, RollGrade};

/// Version of the JSON; within one, keys are added and none is renamed.
pub const REPORT_VERSION: u32 = 1;
/// The schema that the JSON keeps to.
pub const REPORT_SCHEMA: &str = include_str!("../report.schema.json");
/// Flaws with pictures in the page: the gravest. Its table has all.
const MOST_PICTURES: usize = 120;
/// Length of its map, pixels.
const MAP_PX: f64 = 1000.0;

/// A roll as it is reported. Its JSON is this, by these names.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    version: u32,
    made_at: String,
    roll: RollFacts,
    size: Size,
    inspected_mm2: f64,
    beside_mm2: f64,
    gaps: Vec<GapFacts>,
    flaws: Vec<FlawFacts>,
    grades: Vec<RollGrade>,
    limits: Vec<String>,
    model: ModelFacts,
    reviewers: Vec<Reviewer>,
    audit_head: Option<Head>,
    /// For the page only.
    #[serde(skip)]
    drawn: Drawn,
}

#[derive(Clone, Debug, Serialize)]
struct RollFacts {
    number: String,
    article: String,
    order: Option<String>,
    station: Option<String>,
    run: String,
    state: String,
    message: Option<String>,
    begun_at: String,
    ended_at: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Size {
    length_mm: f64,
    length_known: String,
    width_mm: f64,
    cloth_width_mm: Option<[f64; 3]>,
}

#[derive(Clone, Debug, Serialize)]
struct GapFacts {
    reason: String,
    along_mm: [f64; 2],
    across_mm: [f64; 2],
}

#[derive(Clone, Debug, Serialize)]
struct FlawFacts {
    id: String,
    class: String,
    class_found: String,
    severity: String,
    along_mm: [f64; 2],
    across_mm: [f64; 2],
    length_mm: f64,
    score: f64,
    verdict: Option<VerdictFacts>,
}

#[derive(Clone, Debug, Serialize)]
struct VerdictFacts {
    decision: String,
    by: String,
    at: String,
    note: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ModelFacts {
    digest: String,
    engine: String,
    runtime: String,
    device: String,
    mm_per_px: f64,
    calibration: serde_json::Value,
}

#[derive(Clone, Debug, Serialize)]
struct Reviewer {
    account: String,
    n_flaws: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Head {
    chain: String,
    number: i64,
    hash: String,
}

/// What only the page shows.
#[derive(Clone, Debug, Default)]
struct Drawn {
    map: String,
    pictures: Vec<Picture>,
    gaps: Vec<String>,
}

#[derive(Clone, Debug)]
struct Picture {
    said: String,
    verdict: String,
    png: String,
}

impl Report {
    /// Of a run, by what `assessor` says of it, with the head of the audit log of `place`.
    ///
    /// # Errors
    /// What the store says, [`StoreError::Unknown`] for a run that is not there, or why it cannot be graded.
    pub fn of(
        store: &Store,
        run: RunId,
        assessor: &dyn Assessor,
        place: &Name,
    ) -> Result<Self, ReportError> {
        let about = store.run(run)?;
        let coverage = store.coverage(run)?;
        let totals = store.coverage_totals(run)?;
        let mut flaws = flaws_of(store, run)?;
        let (told, reviewers) = flaw_facts(store, &flaws)?;
        let drawn = drawn(store, &about, &coverage, &mut flaws)?;
        let head = store.last_entry(place)?;
        Ok(Self {
            version: REPORT_VERSION,
            made_at: rfc3339(store::now_us()),
            roll: RollFacts {
                number: about.roll_number.to_string(),
                article: about.article.to_string(),
                order: about.order.as_ref().map(ToString::to_string),
                station: about.station.as_ref().map(ToString::to_string),
                run: run.to_string(),
                state: about.state.to_string(),
                message: about.message.clone(),
                begun_at: rfc3339(about.started_at_us),
                ended_at: about.ended_at_us.map(rfc3339),
            },
            size: size_of(&about, &coverage)?,
            inspected_mm2: totals.inspected_um2 as f64 / 1e6,
            beside_mm2: totals.beside_um2 as f64 / 1e6,
            gaps: gap_facts(&coverage),
            flaws: told,
            grades: assessor.grades(store, run).map_err(ReportError::Said)?,
            limits: assessor.limits(store, run).map_err(ReportError::Said)?,
            model: ModelFacts {
                digest: about.model.to_string(),
                engine: about.engine_version.clone(),
                runtime: about.runtime_version.clone(),
                device: about.device.clone(),
                mm_per_px: about.mm_per_px,
                calibration: serde_json::from_str(&about.calibration_json).unwrap_or_default(),
            },
            reviewers,
            audit_head: head.map(|head| Head {
                chain: head.chain.to_string(),
                number: head.number,
                hash: head.hash.to_string(),
            }),
            drawn,
        })
    }

    /// As one JSON object by [`REPORT_SCHEMA`].
    ///
    /// # Errors
    /// None that is known: every value has a form in JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// Flaws and gaps as a table, with a line of names first; text in quotes, as RFC 4180 has it.
    pub fn csv(&self) -> String {
        let mut out = "kind,id,what,severity,from_mm,to_mm,left_mm,right_mm,length_mm,score,verdict,by,at,note".to_owned();
        for grade in &self.grades {
            write!(out, ",{}", quoted(&format!("points {}", grade.rules))).expect(TAKES_ALL);
        }
        out.push_str("\r\n");
        let points: Vec<HashMap<&str, u64>> = (self.grades.iter())
            .map(|grade| {
                let points = grade.points_of.iter();
                points.map(|(id, points)| (id.as_str(), *points)).collect()
            })
            .collect();
        for flaw in &self.flaws {
            let verdict = flaw.verdict.as_ref();
            let said = |field: fn(&VerdictFacts) -> &str| verdict.map(field).unwrap_or_default();
            write!(
                out,
                "flaw,{},{},{},{:.3},{:.3},{:.3},{:.3},{:.3},{:.4},{},{},{},{}",
                flaw.id,
                quoted(&flaw.class),
                quoted(&flaw.severity),
                flaw.along_mm[0],
                flaw.along_mm[1],
                flaw.across_mm[0],
                flaw.across_mm[1],
                flaw.length_mm,
                flaw.score,
                said(|verdict| &verdict.decision),
                quoted(said(|verdict| &verdict.by)),
                said(|verdict| &verdict.at),
                quoted(said(|verdict| verdict.note.as_deref().unwrap_or_default())),
            )
            .expect(TAKES_ALL);
            for points in &points {
                let points = points.get(flaw.id.as_str()).copied().unwrap_or(0);
                write!(out, ",{points}").expect(TAKES_ALL);
            }
            out.push_str("\r\n");
        }
        for gap in &self.gaps {
            write!(
                out,
                "gap,,{},,{:.3},{:.3},{:.3},{:.3},,,,,,",
                quoted(&gap.reason),
                gap.along_mm[0],
                gap.along_mm[1],
                gap.across_mm[0],
                gap.across_mm[1],
            )
            .expect(TAKES_ALL);
            out.extend(self.grades.iter().map(|_| ','));
            out.push_str("\r\n");
        }
        out
    }

    /// As a page in one file.
    ///
    /// # Errors
    /// None that is known.
    pub fn html(&self, units: Units) -> Result<String, askama::Error> {
        Page {
            report: self,
            units,
            style: include_str!("../assets/report.css"),
        }
        .render()
    }
}

const TAKES_ALL: &str = "a string takes everything";

/// A field of a table. What a spreadsheet would take for a formula is kept from being one.
fn quoted(text: &str) -> String {
    let armed = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = text.replace('"', "\"\"");
    if armed {
        format!("\"'{text}\"")
    } else if text.contains([',', '"', '\n', '\r']) {
        format!("\"{text}\"")
    } else {
        text
    }
}

/// Why a roll could not be reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be graded, and why.
    #[error("{0}")]
    Said(String),
}

impl From<Refusal> for ReportError {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Inner(error) = refusal {
            Self::Store(error)
        } else {
            Self::Said(format!("{refusal:?}"))
        }
    }
}

impl From<ReportError> for Refusal {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Store(error) => error.into(),
            ReportError::Said(why) => Self::Wrong(why),
        }
    }
}

fn size_of(run: &Run, coverage: &[CoverageCell]) -> Result<Size, ReportError> {
    let place = place_of(run, coverage)?;
    let side = |range: std::ops::Range<i64>| (range.end - range.start) as f64 / 1e3;
    let width = run.cloth_width;
    Ok(Size {
        length_mm: run
            .length_um
            .map_or_else(|| side(place.along()), |um| um as f64 / 1e3),
        length_known: run.length_known.as_str().to_owned(),
        width_mm: run
            .width_um
            .map_or_else(|| side(place.across()), |um| um as f64 / 1e3),
        cloth_width_mm: width
            .map(|width| [width.min_um, width.mean_um, width.max_um].map(|um| um as f64 / 1e3)),
    })
}

fn gap_facts(coverage: &[CoverageCell]) -> Vec<GapFacts> {
    let gaps = coverage.iter().filter_map(|cell| match &cell.state {
        CoverState::Gap(reason) => Some(GapFacts {
            reason: reason.clone(),
            along_mm: span_mm(cell.rect.along()),
            across_mm: span_mm(cell.rect.across()),
        }),
        CoverState::Inspected | CoverState::Beside => None,
    });
    gaps.collect()
}

/// The flaws with the verdicts that count, and who gave them.
fn flaw_facts(
    store: &Store,
    flaws: &[Reviewed],
) -> Result<(Vec<FlawFacts>, Vec<Reviewer>), StoreError> {
    let mut by_account: BTreeMap<String, usize> = BTreeMap::new();
    let mut told = Vec::new();
    for reviewed in flaws {
        let flaw = &reviewed.flaw;
        let standing = if reviewed.state == "open" {
            None
        } else {
            let given = store.verdicts(flaw.id)?;
            given.into_iter().find(|verdict| verdict.is_standing)
        };
        if let Some(verdict) = &standing {
            *by_account.entry(verdict.account.clone()).or_default() += 1;
        }
        told.push(FlawFacts {
            id: flaw.id.to_string(),
            class: reviewed.class.clone(),
            class_found: flaw.class.clone(),
            severity: flaw.severity.clone(),
            along_mm: span_mm(flaw.rect.along()),
            across_mm: span_mm(flaw.rect.across()),
            length_mm: mm(flaw.length_um),
            score: flaw.score,
            verdict: standing.map(|verdict| VerdictFacts {
                decision: verdict.decision.as_str().to_owned(),
                by: verdict.account,
                at: rfc3339(verdict.at_us),
                note: verdict.note,
            }),
        });
    }
    let reviewers = by_account.into_iter();
    let reviewers = reviewers.map(|(account, n_flaws)| Reviewer { account, n_flaws });
    Ok((told, reviewers.collect()))
}

fn drawn(
    store: &Store,
    run: &Run,
    coverage: &[CoverageCell],
    flaws: &mut [Reviewed],
) -> Result<Drawn, ReportError> {
    flaws.sort_by(worst_first);
    let place = place_of(run, coverage)?;
    let gaps = gaps_of(coverage);
    let marks: Vec<_> = flaws.iter().map(Reviewed::mark).collect();
    let length_um = place.along().end - place.along().start;
    let strip = Strip {
        place,
        roll: place.along(),
        gaps: &gaps,
        flaws: &marks,
        units: Units::Metric,
        chosen: None,
    };
    let kept = flaws.iter().filter(|flaw| flaw.state != "rejected");
    let with_crop = kept.filter(|flaw| flaw.flaw.has_crop).take(MOST_PICTURES);
    let picture = |reviewed: &Reviewed| -> Result<Option<Picture>, StoreError> {
        let crop = store.crop(reviewed.id())?;
        Ok(crop.map(|crop| Picture {
            said: format!(
                "{} {}, {}",
                reviewed.flaw.severity,
                plain(&reviewed.class),
                said_of(&reviewed.flaw.rect, Units::Metric)
            ),
            verdict: reviewed.verdict.clone(),
            png: STANDARD.encode(crop.png),
        }))
    };
    let pictures = with_crop.filter_map(|flaw| picture(flaw).transpose());
    Ok(Drawn {
        map: map::svg(&strip, map::whole_in(MAP_PX, length_um)),
        pictures: pictures.collect::<Result<_, _>>()?,
        gaps: gaps
            .iter()
            .take(MOST_PICTURES)
            .map(|(rect, reason)| format!("{}: {}", plain(reason), said_of(rect, Units::Metric)))
            .collect(),
    })
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    units: Units,
    style: &'static str,
}

impl Page<'_> {
    fn along(&self, mm: &f64) -> String {
        self.units.along((mm * 1e3).round() as i64)
    }

    fn size(&self, mm: &f64) -> String {
        self.units.size((mm * 1e3).round() as i64)
    }

    fn across(&self, mm: &f64) -> String {
        self.units.across((mm * 1e3).round() as i64)
    }

    fn area(&self, mm2: &f64) -> String {
        self.units.area((mm2 * 1e6).round() as i64)
    }

    fn plain(&self, word: &str) -> String {
        plain(word)
    }
}

/// In which form a report is asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    #[default]
    Html,
    Json,
    Csv,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    form: Form,
}

/// The report of a run.
pub(super) async fn page(
    State(qc): State<Qc>,
    asker: Asker,
    Id(run): Id<RunId>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let (assessor, place) = (qc.assessor(), qc.settings().place.clone());
    let (form, units) = (asked.form, asker.units);
    // Made where it may take its time: the pages of others do not wait for it.
    let text = qc
        .stores()
        .look(move |store| {
            let report = Report::of(store, run, &*assessor, &place)?;
            let made = match form {
                Form::Html => report.html(units).map_err(|error| error.to_string()),
                Form::Json => report.json().map_err(|error| error.to_string()),
                Form::Csv => Ok(report.csv()),
            };
            made.map_err(|error| {
                tracing::error!(error, "a report could not be made");
                Refusal::Failed
            })
        })
        .await?;
    let as_file = |kind: &str, extension: &str| {
        let disposition = format!("attachment; filename=\"roll-{run}.{extension}\"");
        [
            (header::CONTENT_TYPE, kind.to_owned()),
            (header::CONTENT_DISPOSITION, disposition),
        ]
    };
    Ok(match form {
        Form::Html => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                // It holds its own style and pictures, and may fetch nothing.
                (
                    header::CONTENT_SECURITY_POLICY,
                    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
                ),
            ];
            (headers, text).into_response()
        }
        Form::Json => (as_file("application/json", "json"), text).into_response(),
        Form::Csv => (as_file("text/csv; charset=utf-8", "csv"), text).into_response(),
    })
}
