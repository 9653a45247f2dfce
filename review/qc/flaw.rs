//! One flaw: its picture, what is known of it, what people have said.

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use store::{FlawId, RunId, Store, Verdict};

use super::map::{self, Strip};
use super::refusal::Refusal;
use super::reviewed::{Reviewed, flaws_of};
use super::roll::{gaps_of, place_of};
use super::units::{Units, moment};
use super::words::{plain, said_of};
use super::{Asker, Frame, Id, Qc, html};
use crate::access::{Act, may};

/// Cloth before and behind a flaw that its map shows, µm.
const AROUND_UM: i64 = 1_500_000;
/// Scale of that map.
const PX_PER_M: f64 = 240.0;

#[derive(Template)]
#[template(path = "flaw.html")]
struct Page {
    frame: Frame,
    run: RunId,
    roll: String,
    flaw: About,
    no_crop: String,
    facts: Vec<(&'static str, String)>,
    may_review: bool,
    may_undo: bool,
    /// Whose verdict that takes back.
    undo: &'static str,
    classes: Vec<String>,
    history: Vec<Said>,
    map: String,
}

struct About {
    id: FlawId,
    class: String,
    class_word: String,
    severity: String,
    place: String,
    has_crop: bool,
}

/// What a person said of it.
struct Said {
    at: String,
    by: String,
    what: String,
    note: String,
}

impl Said {
    fn of(verdict: &Verdict) -> Self {
        let what = match verdict.decision.class() {
            Some(class) => format!("reclassified as {}", plain(class.as_str())),
            None => verdict.decision.as_str().to_owned(),
        };
        let undone = verdict.undone.as_ref().map(|undone| {
            let at = moment(undone.at_us);
            format!(" (taken back by {} at {at})", undone.account)
        });
        Self {
            at: moment(verdict.at_us),
            by: format!("{} ({})", verdict.account, verdict.role),
            what: what + &undone.unwrap_or_default(),
            note: verdict.note.clone().unwrap_or_default(),
        }
    }
}

/// The page.
pub(super) async fn page(
    State(qc): State<Qc>,
    asker: Asker,
    Id(flaw): Id<FlawId>,
) -> Result<impl IntoResponse, Refusal> {
    let classes = qc.settings().classes.clone();
    let frame = asker.frame(&qc);
    let page = qc
        .stores()
        .look(move |store| page_of(store, flaw, &asker, frame, classes))
        .await?;
    html(&page)
}

fn page_of(
    store: &Store,
    id: FlawId,
    asker: &Asker,
    frame: Frame,
    classes: Vec<String>,
) -> Result<Page, Refusal> {
    let units = asker.units;
    let (run, _) = store.judged_flaw(id)?;
    let about = store.run(run)?;
    let flaws = flaws_of(store, run)?;
    let chosen = flaws.iter().find(|flaw| flaw.id() == id);
    let reviewed = chosen.ok_or(Refusal::NotFound)?;
    let flaw = &reviewed.flaw;
    let history = store.verdicts(id)?;
    let left_out = match flaw.has_crop {
        true => None,
        false => store.crop_left_out(id)?,
    };
    let may_review = may(asker.person.role, Act::Judge);
    Ok(Page {
        run,
        roll: about.roll_number.to_string(),
        flaw: About {
            id,
            class: plain(&reviewed.class),
            class_word: reviewed.class.clone(),
            severity: flaw.severity.clone(),
            place: said_of(&flaw.rect, units),
            has_crop: flaw.has_crop,
        },
        no_crop: left_out.map_or_else(|| "no picture was kept".to_owned(), |left| left.why),
        facts: facts_of(reviewed, units),
        may_review,
        may_undo: may_review && reviewed.state != "open",
        undo: if may(asker.person.role, Act::UndoOthers) {
            "undo_any"
        } else {
            "undo"
        },
        classes,
        history: history.iter().map(Said::of).collect(),
        map: map_around(store, &about, &flaws, reviewed, units)?,
        frame,
    })
}

fn facts_of(reviewed: &Reviewed, units: Units) -> Vec<(&'static str, String)> {
    let flaw = &reviewed.flaw;
    let side = |range: std::ops::Range<i64>| units.size(range.end - range.start);
    let mut facts = vec![
        ("length", units.size(flaw.length_um)),
        (
            "box",
            format!(
                "{} along, {} across",
                side(flaw.rect.along()),
                side(flaw.rect.across())
            ),
        ),
        ("score", format!("{:.2} times the threshold", flaw.score)),
        ("found (UTC)", moment(flaw.found_at_us)),
        (
            "verdict",
            match reviewed.state {
                "open" => "nobody has decided".to_owned(),
                _ => reviewed.verdict.clone(),
            },
        ),
    ];
    if reviewed.class != flaw.class {
        facts.push(("class when found", plain(&flaw.class)));
    }
    facts
}

/// The cloth around a flaw, with what else was found there.
fn map_around(
    store: &Store,
    run: &store::Run,
    flaws: &[Reviewed],
    reviewed: &Reviewed,
    units: Units,
) -> Result<String, Refusal> {
    let coverage = store.coverage(run.id)?;
    let roll = place_of(run, &coverage)?;
    let along = reviewed.flaw.rect.along();
    let start = (along.start - AROUND_UM).max(roll.along().start);
    let end = (along.end + AROUND_UM).min(roll.along().end.max(along.end));
    let place = store::Rect::new(start..end, roll.across())?;
    let is_in = |rect: &store::Rect| rect.along().start < end && rect.along().end > start;
    let gaps: Vec<_> = gaps_of(&coverage)
        .into_iter()
        .filter(|(rect, _)| is_in(rect))
        .collect();
    let marks: Vec<_> = flaws
        .iter()
        .filter(|flaw| is_in(&flaw.flaw.rect))
        .map(Reviewed::mark)
        .collect();
    let strip = Strip {
        place,
        roll: roll.along(),
        gaps: &gaps,
        flaws: &marks,
        units,
        chosen: Some(reviewed.id()),
    };
    // A flaw that runs for long is shown whole, smaller.
    let scale = PX_PER_M.min(1180.0 / ((end - start) as f64 / 1e6));
    Ok(map::svg(&strip, map::px_per_m(Some(scale), end - start)))
}

/// The picture of a flaw as it was kept.
pub(super) async fn crop(
    State(qc): State<Qc>,
    _asker: Asker,
    Id(flaw): Id<FlawId>,
) -> Result<Response, Refusal> {
    let crop = qc.stores().look(move |store| Ok(store.crop(flaw)?)).await?;
    let crop = crop.ok_or(Refusal::NotFound)?;
    Ok((
        [
            (header::CONTENT_TYPE, "image/png"),
            // It never changes; a browser keeps it for the one who was let in.
            (header::CACHE_CONTROL, "private, max-age=3600"),
        ],
        crop.png,
    )
        .into_response())
}
