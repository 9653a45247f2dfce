//! One roll: what it is, where its flaws and gaps lie, and its album.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use store::{CoverState, CoverageCell, FlawId, LengthKnown, Rect, Run, RunId, RunState, Store};

use super::map::{self, Mark, Strip};
use super::refusal::Refusal;
use super::reviewed::{Order, Reviewed, flaws_of, worst_first};
use super::units::{Units, moment};
use super::words::{plain, said_of};
use super::{Asker, Frame, Id, Qc, html};
use crate::access::{Act, may};
use crate::assessor::{Assessor, RollGrade};

/// Flaws of one page of the album.
const ALBUM: usize = 60;
/// Flaws and gaps that are drawn: what a browser draws at once.
const MOST_DRAWN: usize = 3000;
/// Length in which a whole roll is shown, a screen's.
const WHOLE_PX: f64 = 1180.0;

#[derive(Template)]
#[template(path = "roll.html")]
struct Page {
    frame: Frame,
    run: RunId,
    roll: About,
    warnings: Vec<String>,
    facts: Vec<(&'static str, String)>,
    n_flaws: usize,
    n_not_drawn: usize,
    scale: String,
    zooms: Vec<(&'static str, String)>,
    map: String,
    is_live: bool,
    gaps: Vec<GapRow>,
    flaws: Vec<FlawRow>,
    next: Option<String>,
    events: Vec<EventRow>,
    grades: Vec<GradeRow>,
    grade_trouble: Option<String>,
    may_sign: bool,
}

struct GradeRow {
    grade: RollGrade,
    signature: Option<String>,
}

struct About {
    number: String,
    article: String,
}

struct GapRow {
    reason: String,
    area: String,
    count: usize,
    first: String,
}

/// A flaw in an album.
pub(super) struct FlawRow {
    pub(super) id: FlawId,
    pub(super) class: String,
    pub(super) severity: String,
    pub(super) place: String,
    pub(super) size: String,
    pub(super) has_crop: bool,
    pub(super) verdict: String,
    pub(super) state: &'static str,
}

struct EventRow {
    at: String,
    kind: String,
    severity: &'static str,
    message: String,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    /// Pixels of a metre.
    scale: Option<f64>,
    #[serde(default)]
    order: Order,
    /// Flaws of the album that come before the page.
    #[serde(default)]
    after: usize,
}

/// The page of a run.
pub(super) async fn page(
    State(qc): State<Qc>,
    asker: Asker,
    Id(run): Id<RunId>,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, Refusal> {
    let frame = asker.frame(&qc);
    let assessor = qc.assessor();
    let page = qc
        .stores()
        .look(move |store| page_of(store, &*assessor, run, &asked, &asker, frame))
        .await?;
    html(&page)
}

fn page_of(
    store: &Store,
    assessor: &dyn Assessor,
    run: RunId,
    asked: &Asked,
    asker: &Asker,
    frame: Frame,
) -> Result<Page, Refusal> {
    let units = asker.units;
    let about = store.run(run)?;
    let coverage = store.coverage(run)?;
    let flaws = flaws_of(store, run)?;
    let events = store.events(run)?;
    let place = place_of(&about, &coverage)?;
    let gaps = gaps_of(&coverage);
    let length_um = place.along().end - place.along().start;
    let px_per_m = map::px_per_m(asked.scale, length_um);
    let mut drawn: Vec<&Reviewed> = flaws.iter().collect();
    drawn.sort_by(|a, b| worst_first(a, b));
    let n_not_drawn = drawn.len().saturating_sub(MOST_DRAWN);
    drawn.truncate(MOST_DRAWN);
    let marks: Vec<Mark> = drawn.into_iter().map(Reviewed::mark).collect();
    let strip = Strip {
        place,
        roll: place.along(),
        gaps: &gaps[..gaps.len().min(MOST_DRAWN)],
        flaws: &marks,
        units,
        chosen: None,
    };
    let link = |scale: f64| format!("/runs/{run}?scale={scale:.3}&order={}", asked.order.word());
    let next = asked.after + ALBUM;
    let n_flaws = flaws.len();
    let mut listed = flaws;
    if asked.order == Order::Worst {
        listed.sort_by(worst_first);
    }
    let facts = facts_of(store, &about, &coverage, &listed, units)?;
    let album = listed.iter().skip(asked.after).take(ALBUM);
    let (grades, grade_trouble) = grades_of(store, assessor, run)?;
    Ok(Page {
        run,
        roll: About {
            number: about.roll_number.to_string(),
            article: about.article.to_string(),
        },
        warnings: warnings_of(&about, &gaps),
        facts,
        n_flaws,
        n_not_drawn,
        scale: format!("{px_per_m:.0} px a metre, as wide as it is long"),
        zooms: vec![
            (
                "nearer",
                link(map::px_per_m(Some(px_per_m * 2.0), length_um)),
            ),
            (
                "farther",
                link(map::px_per_m(Some(px_per_m / 2.0), length_um)),
            ),
            ("whole roll", link(map::whole_in(WHOLE_PX, length_um))),
        ],
        map: map::svg(&strip, px_per_m),
        is_live: about.state == RunState::Running,
        gaps: gap_rows(&gaps, units),
        flaws: album.map(|flaw| flaw.row(units)).collect(),
        next: (next < n_flaws).then(|| {
            format!(
                "/runs/{run}?order={}&after={next}#flaws",
                asked.order.word()
            )
        }),
        events: events
            .into_iter()
            .map(|event| EventRow {
                at: moment(event.at_us),
                kind: plain(&event.kind),
                severity: event.severity.as_str(),
                message: event.message,
            })
            .collect(),
        grades,
        grade_trouble,
        may_sign: may(asker.person.role, Act::SignGrade),
        frame,
    })
}

/// The roll under the place's rules, and who signed what was withheld; else why it cannot be graded.
fn grades_of(
    store: &Store,
    assessor: &dyn Assessor,
    run: RunId,
) -> Result<(Vec<GradeRow>, Option<String>), Refusal> {
    let grades = match assessor.grades(store, run) {
        Ok(grades) => grades,
        Err(why) => return Ok((Vec::new(), Some(why))),
    };
    let row = |grade: RollGrade| {
        let signature = store.signature(run, &grade.digest)?;
        let signature = signature.map(|signed| {
            format!(
                "signed by {} ({}) at {}: {}",
                signed.account,
                signed.role,
                moment(signed.at_us),
                signed.why
            )
        });
        Ok(GradeRow { grade, signature })
    };
    Ok((
        grades
            .into_iter()
            .map(row)
            .collect::<Result<_, Refusal>>()?,
        None,
    ))
}

/// The roll from its beginning on, as far as it is known.
pub(super) fn place_of(run: &Run, coverage: &[CoverageCell]) -> Result<Rect, Refusal> {
    let reach = |range: fn(&Rect) -> std::ops::Range<i64>| {
        let start = coverage.iter().map(|cell| range(&cell.rect).start).min();
        let end = coverage.iter().map(|cell| range(&cell.rect).end).max();
        start.unwrap_or(0)..end.unwrap_or(1)
    };
    let (mut along, across) = (reach(Rect::along), reach(Rect::across));
    if let Some(length_um) = run.length_um {
        along.end = along.end.max(along.start.saturating_add(length_um));
    }
    Ok(Rect::new(along, across)?)
}

/// Cloth that was not looked at, and why.
pub(super) fn gaps_of(coverage: &[CoverageCell]) -> Vec<(Rect, String)> {
    let gap = |cell: &CoverageCell| match &cell.state {
        CoverState::Gap(reason) => Some((cell.rect, reason.clone())),
        CoverState::Inspected | CoverState::Beside => None,
    };
    coverage.iter().filter_map(gap).collect()
}

fn gap_rows(gaps: &[(Rect, String)], units: Units) -> Vec<GapRow> {
    let mut by_reason: BTreeMap<&str, (i64, usize, &Rect)> = BTreeMap::new();
    for (rect, reason) in gaps {
        let (area, count, _) = by_reason.entry(reason).or_insert((0, 0, rect));
        *area = area.saturating_add(rect.area_um2());
        *count += 1;
    }
    let rows = by_reason
        .into_iter()
        .map(|(reason, (area, count, first))| GapRow {
            reason: plain(reason),
            area: units.area(area),
            count,
            first: said_of(first, units),
        });
    rows.collect()
}

/// What a person must know before anything else.
fn warnings_of(run: &Run, gaps: &[(Rect, String)]) -> Vec<String> {
    let mut warnings = Vec::new();
    let why = run.message.as_deref().unwrap_or("it was ended early");
    match run.state {
        RunState::Done => {}
        RunState::Running => warnings.push(
            "Not ended: it is running, or was killed. What follows was not looked at.".to_owned(),
        ),
        RunState::Aborted => {
            warnings.push(format!("Cut off: {why}. What follows was not looked at."));
        }
    }
    if !gaps.is_empty() {
        warnings.push(
            "Some of this roll was not looked at, so it is not first quality without a person's signature."
                .to_owned(),
        );
    }
    warnings
}

/// How a length is known, in words.
fn known_by(known: LengthKnown) -> &'static str {
    match known {
        LengthKnown::Encoder => "by encoder",
        LengthKnown::Measured => "by pictures",
        LengthKnown::Nominal => "by lines, nominal",
    }
}

fn facts_of(
    store: &Store,
    run: &Run,
    coverage: &[CoverageCell],
    flaws: &[Reviewed],
    units: Units,
) -> Result<Vec<(&'static str, String)>, Refusal> {
    let totals = store.coverage_totals(run.id)?;
    let gap_um2: i64 = totals.gaps_um2.values().sum();
    let place = place_of(run, coverage)?;
    let length = run
        .length_um
        .unwrap_or(place.along().end - place.along().start);
    let decided = flaws.iter().filter(|flaw| flaw.state != "open").count();
    let mut facts = vec![
        ("inspected (UTC)", moment(run.started_at_us)),
        ("state", run.state.to_string()),
        (
            "length",
            format!("{} {}", units.along(length), known_by(run.length_known)),
        ),
        ("looked at", units.area(totals.inspected_um2)),
        ("not looked at", units.area(gap_um2)),
        ("flaws", flaws.len().to_string()),
        ("reviewed", format!("{decided} of {}", flaws.len())),
    ];
    if let Some(width) = run.cloth_width {
        let told = format!(
            "{} (least {}, most {})",
            units.across(width.mean_um),
            units.across(width.min_um),
            units.across(width.max_um)
        );
        facts.push(("width", told));
    }
    let named = |name: &Option<store::Name>| name.as_ref().map(ToString::to_string);
    facts.extend(named(&run.order).map(|order| ("order", order)));
    facts.extend(named(&run.station).map(|station| ("station", station)));
    let model: String = run.model.as_str().chars().take(12).collect();
    facts.push(("model", model));
    facts.push(("engine", run.engine_version.clone()));
    Ok(facts)
}
