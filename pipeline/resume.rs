//! Going on with a roll that was cut off.
//!
//! ```text
//! coverage in the store ─▶ ledger so far ─▶ where each lane ended
//! a source that begins anew (files) ─▶ cloth that was told of is passed over
//! a live source                     ─▶ it shows other cloth by now, behind a gap
//! ```
//!
//! A folder still holds the cloth that the cut-off run did not reach, so nothing is missed; the
//! frames just before that place are looked at again, only to know what is usual there. A web
//! has moved on: what passed is a gap, of a length that somebody measured or that is said to be
//! unknown. A source's ticks begin at zero whenever it is opened, its encoder's too, so where a process
//! ended they say nothing of what passed. Nothing here writes to the store but that the run goes on.

use anyhow::{Context, bail, ensure};
use calibration::{LaneGeometry, Span, Um, WebRect, um_from_mm};
use camera::{CameraError, Captured, Description, Pool, Source};
use store::{CoverageCell, NewRun, Run, RunId, Store, StoreError};

use crate::record::Page;
use crate::roll::{Cover, CoverState};
use crate::tiles::GapReason;
use crate::web::Web;

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Begin {
    /// As a new run of its roll.
    New,
    /// As the rest of the roll's last run, which was cut off.
    Resume {
        /// Cloth that passed a live source in between; `None` where nobody knows.
        passed: Option<Um>,
    },
    /// As the rest of the roll's last run, where that was cut off lately and can be gone on with; else
    /// as a new run of its roll.
    GoOn {
        /// It has written since then, in microseconds since 1970 UTC.
        since_us: i64,
    },
}

/// What a run starts with.
pub struct Start {
    /// The lanes' sources, from the left, each with the tick before which nothing is looked at.
    pub sources: Vec<(Box<dyn Source>, i64)>,
    /// What is to be written before anything else.
    pub first_page: Page,
}

impl Start {
    /// Of a new run.
    pub fn of_new(sources: Vec<Box<dyn Source>>) -> Self {
        let all = |source| (source, i64::MIN);
        Self {
            sources: sources.into_iter().map(all).collect(),
            first_page: Page::default(),
        }
    }

    /// Of the rest of a run, which `web` then goes on with.
    ///
    /// # Errors
    /// What the store says, or that what it holds is not whole.
    pub fn of_rest(
        store: &Store,
        run: RunId,
        sources: Vec<Box<dyn Source>>,
        web: &mut Web,
        window_mm: f64,
        passed: Option<Um>,
    ) -> anyhow::Result<Self> {
        let flaws = store.flaws(run)?;
        let flaws = flaws.iter().map(|flaw| web_rect(&flaw.rect));
        let flaws = flaws.collect::<anyhow::Result<Vec<_>>>()?;
        let is_live = sources.iter().any(|source| source.description().live);
        // Of cloth that will not be seen again no flaw can be told twice.
        let written = if is_live { &[] } else { &flaws[..] };
        web.resume(&covers(&store.coverage(run)?)?, written)?;
        if is_live {
            return Self::behind_a_gap(sources, web, &flaws, passed);
        }
        let lanes = sources.into_iter().enumerate().map(|(lane, source)| {
            let end = web.ledger().known(lane).map(Span::end);
            let from = end.map(|end| tick_before(&web.place(lane).geometry, end, window_mm));
            (source, from.unwrap_or(i64::MIN))
        });
        Ok(Self {
            sources: lanes.collect(),
            first_page: Page::default(),
        })
    }

    /// Of a run whose cloth ran on: behind everything that was written of it, flaws too, whose
    /// coverage may have been held back.
    fn behind_a_gap(
        sources: Vec<Box<dyn Source>>,
        web: &mut Web,
        flaws: &[WebRect],
        passed: Option<Um>,
    ) -> anyhow::Result<Self> {
        let known = web.ledger().along();
        let flaws = flaws.iter().map(|flaw| flaw.along);
        let seen = flaws.chain(known).reduce(Span::hull);
        let seen = seen.unwrap_or(Span::new(Um::ZERO, Um::ZERO)?);
        let tick = |lane| first_tick_behind(&web.place(lane).geometry, seen.end(), passed);
        let ticks: Vec<i64> = (0..sources.len()).map(tick).collect();
        let ends = ticks.iter().enumerate();
        let ends = ends.map(|(lane, tick)| web.place(lane).geometry.um_from_tick(*tick));
        let until = ends.max().unwrap_or(seen.end());
        let reason = passed.map_or(GapReason::UnknownLength, |_| GapReason::PowerCut);
        let first_page = web.interrupted(seen, until, reason)?;
        let sources = sources.into_iter().zip(ticks);
        Ok(Self {
            sources: sources
                .map(|(source, tick)| (behind(source, tick), i64::MIN))
                .collect(),
            first_page,
        })
    }
}

/// The roll's last run, if it is one that can be gone on with as `new`, from these sources.
///
/// # Errors
/// When there is none, it was another model or calibration, or `passed` is said of cloth that is
/// all still there.
pub fn cut_off_run(
    store: &Store,
    new: &NewRun,
    sources: &[Box<dyn Source>],
    passed: Option<Um>,
) -> anyhow::Result<RunId> {
    let is_live = sources.iter().any(|source| source.description().live);
    ensure!(
        passed.is_none() || is_live,
        "found a length that passed meanwhile, expected none: {} still holds all of its cloth",
        sources
            .first()
            .map_or("the source", |source| &source.description().name)
    );
    let found = store.resumable(&new.roll)?;
    let run = found.with_context(|| {
        format!(
            "found no run of roll {:?} that was cut off, expected one to go on with; inspect it as a new run",
            new.roll.as_str()
        )
    })?;
    check_same(&run, new)?;
    Ok(run.id)
}

/// The roll's last run, if it was cut off, has written since `since_us` and can be gone on with as `new`; it
/// is then running, and ours. Why one that was cut off is not gone on with is told to the log.
///
/// # Errors
/// What the store says.
pub fn go_on(store: &mut Store, new: &NewRun, since_us: i64) -> anyhow::Result<Option<RunId>> {
    let Some(run) = store.resumable(&new.roll)? else {
        return Ok(None);
    };
    let is_late = run.written_at_us < since_us;
    let silent_s = (store::now_us() - run.written_at_us).max(0) / 1_000_000;
    let resumed = match check_same(&run, new) {
        _ if is_late => Err(anyhow::anyhow!("it last wrote {silent_s} s ago")),
        Err(error) => Err(error),
        Ok(()) => match store.resume_run(run.id) {
            Err(error @ StoreError::RunHeld { .. }) => Err(error.into()),
            resumed => Ok(resumed?),
        },
    };
    let roll = &new.roll;
    match resumed {
        Ok(_) => {
            tracing::warn!(%roll, run = %run.id, silent_s, "the roll was cut off and goes on");
            Ok(Some(run.id))
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(%roll, run = %run.id, error, "the roll was cut off and begins anew");
            Ok(None)
        }
    }
}

/// Refuses to go on with `run` as `new`: one run is one model and one calibration.
///
/// # Errors
/// With what it was and what it would be.
fn check_same(run: &Run, new: &NewRun) -> anyhow::Result<()> {
    let text = |word: Option<&store::Name>| word.map_or("none", |name| name.as_str()).to_owned();
    let order = new.order.as_ref();
    for (what, found, expected) in [
        (
            "order",
            // What is not said again stays as it was.
            text(order.or(run.order.as_ref())),
            text(run.order.as_ref()),
        ),
        (
            "article",
            new.article.as_str().to_owned(),
            run.article.as_str().to_owned(),
        ),
        (
            "model",
            new.model.as_str().to_owned(),
            run.model.as_str().to_owned(),
        ),
        (
            "station",
            text(new.station.as_ref()),
            text(run.station.as_ref()),
        ),
        (
            "calibration",
            new.calibration_json.clone(),
            run.calibration_json.clone(),
        ),
        (
            "runtime version",
            new.runtime_version.clone(),
            run.runtime_version.clone(),
        ),
        ("device", new.device.clone(), run.device.clone()),
        (
            "batch shape",
            new.batch_shape.clone(),
            run.batch_shape.clone(),
        ),
        (
            "engine version",
            new.engine_version.clone(),
            run.engine_version.clone(),
        ),
    ] {
        if found != expected {
            let (found, expected) = (apart(&found, &expected), apart(&expected, &found));
            bail!(
                "roll {:?} cannot be gone on with: found {what} {found}, expected {expected}; inspect it as a new run",
                run.roll_number.as_str()
            );
        }
    }
    Ok(())
}

/// What of `one` is not so in `other`: of a calibration the keys that differ, and not more of them than a
/// person reads.
fn apart(one: &str, other: &str) -> String {
    let object = |text: &str| match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(object)) => Some(object),
        Ok(_) | Err(_) => None,
    };
    let text = match (object(one), object(other)) {
        (Some(mut one), Some(other)) => {
            one.retain(|key, value| other.get(key) != Some(value));
            serde_json::Value::Object(one).to_string()
        }
        _ => one.to_owned(),
    };
    match text.char_indices().nth(MOST_TOLD) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Characters of a calibration that are told.
const MOST_TOLD: usize = 200;

/// The ledger of a run as its store tells it.
///
/// # Errors
/// When the store holds what this version does not know.
fn covers(cells: &[CoverageCell]) -> anyhow::Result<Vec<Cover>> {
    cells
        .iter()
        .map(|cell| {
            let rect = web_rect(&cell.rect)?;
            let state = match &cell.state {
                store::CoverState::Inspected => CoverState::Inspected,
                store::CoverState::Beside => CoverState::Beside,
                store::CoverState::Gap(word) => {
                    let reason = GapReason::from_word(word);
                    CoverState::Gap(reason.with_context(|| {
                        format!(
                            "found a gap with reason {word:?}, expected one that this version knows"
                        )
                    })?)
                }
            };
            Ok(Cover { rect, state })
        })
        .collect()
}

/// The store's rectangle as the line's.
///
/// # Errors
/// None that the store lets be: its rectangles are never reversed.
fn web_rect(rect: &store::Rect) -> anyhow::Result<WebRect> {
    let span = |range: std::ops::Range<i64>| Span::new(Um(range.start), Um(range.end));
    Ok(WebRect {
        along: span(rect.along())?,
        across: span(rect.across())?,
    })
}

/// Where cloth goes on behind `passed`, or behind the shortest gap there is: the first tick
/// whose cloth begins there.
fn first_tick_behind(geometry: &LaneGeometry, end: Um, passed: Option<Um>) -> i64 {
    let from = end.get() + passed.map_or(1, |passed| passed.get().max(0));
    let mut tick = (from as f64 / geometry.um_per_tick()).floor() as i64;
    while geometry.um_from_tick(tick).get() < from {
        tick += 1;
    }
    tick
}

/// Where a source that begins anew is to be looked at from: `window_mm` before `end`.
fn tick_before(geometry: &LaneGeometry, end: Um, window_mm: f64) -> i64 {
    let from = end.get() - um_from_mm(window_mm).get();
    (from as f64 / geometry.um_per_tick()).floor() as i64
}

/// A live source that begins anew: what it shows lies from `tick` on.
fn behind(source: Box<dyn Source>, tick: i64) -> Box<dyn Source> {
    Box::new(Shifted {
        source,
        tick,
        shift: None,
    })
}

struct Shifted {
    source: Box<dyn Source>,
    tick: i64,
    /// What is added to ticks, once the first one is known.
    shift: Option<i64>,
}

impl Source for Shifted {
    fn description(&self) -> &Description {
        self.source.description()
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let mut next = self.source.next(pool)?;
        if let Some(captured) = &mut next {
            let ticks = match captured {
                Captured::Frame(frame) => &mut frame.ticks,
                Captured::Lost(lost) => &mut lost.ticks,
            };
            let shift = *self.shift.get_or_insert(self.tick - ticks.start);
            *ticks = ticks.start + shift..ticks.end + shift;
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camera::{Loom, LoomSettings};

    fn loom() -> Box<dyn Source> {
        let mut settings = LoomSettings::new(1);
        (settings.width, settings.frame_height, settings.n_frames) = (256, 10, Some(5));
        settings.lost = [3].into();
        Box::new(Loom::new(settings).unwrap())
    }

    fn geometry() -> LaneGeometry {
        LaneGeometry::new(0.2, 300.0, Um(0), 256).unwrap()
    }

    fn ticks(mut source: Box<dyn Source>) -> Vec<std::ops::Range<i64>> {
        let pool = Pool::new(2, source.description().shape.n_bytes());
        let mut ticks = Vec::new();
        while let Some(captured) = source.next(&pool).unwrap() {
            ticks.push(captured.ticks());
        }
        ticks
    }

    #[test]
    fn a_folder_is_passed_over_up_to_the_window_before_its_end() {
        // The run ended at tick 30, 9 mm; 2 mm before it lie in the frame of ticks 20..30.
        assert_eq!(tick_before(&geometry(), Um(9000), 2.0), 23);
    }

    #[test]
    fn a_live_source_goes_on_behind_the_gap() {
        assert_eq!(first_tick_behind(&geometry(), Um(9000), Some(Um(3000))), 40);
        assert_eq!(first_tick_behind(&geometry(), Um(9000), Some(Um(3001))), 41);
        assert_eq!(first_tick_behind(&geometry(), Um(9000), None), 31);
        let all = [40..50, 50..60, 60..70, 70..80, 80..90];
        assert_eq!(ticks(behind(loom(), 40)), all);
    }

    #[test]
    fn of_two_calibrations_only_what_differs_is_told() {
        let one = r#"{"lanes":[1,2],"light":{"min":8.0},"profile":"a"}"#;
        let other = r#"{"lanes":[1,2],"light":{"min":9.0}}"#;
        assert_eq!(apart(one, other), r#"{"light":{"min":8.0},"profile":"a"}"#);
        assert_eq!(apart(other, one), r#"{"light":{"min":9.0}}"#);
        assert_eq!(apart("cpu", "cuda"), "cpu");
        let long = apart(&"ö".repeat(999), "");
        assert_eq!(long.chars().count(), MOST_TOLD + 1);
    }

    #[test]
    fn every_state_of_the_ledger_comes_back_from_the_store() {
        let rect = store::Rect::new(0..10, 5..20).unwrap();
        let gap = |word: &str| CoverageCell {
            rect,
            state: store::CoverState::Gap(word.to_owned()),
        };
        for reason in GapReason::ALL {
            let back = covers(&[gap(reason.as_str())]).unwrap();
            assert_eq!(back[0].state, CoverState::Gap(reason));
        }
        let error = covers(&[gap("moths")]).unwrap_err();
        assert!(error.to_string().contains("moths"), "{error}");
    }
}
