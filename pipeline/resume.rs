//! Going on with a roll that was cut off.
//!
//! ```text
//! coverage in the store ─▶ ledger so far ─▶ where each lane ended
//! a source that begins anew (files) ─▶ FromTick: cloth that was told of is passed over
//! a live source                     ─▶ Shifted:  it shows other cloth by now, behind a gap
//! ```
//!
//! A folder still holds the cloth that the cut-off run did not reach, so nothing is missed; the
//! frames just before that place are looked at again, only to know what is usual there. A web
//! has moved on: what passed is a gap, of a length that somebody measured or that is said to be
//! unknown. Nothing here writes to the store.

use anyhow::{Context, ensure};
use calibration::{LaneGeometry, Span, Um, WebRect, um_from_mm};
use camera::{CameraError, Captured, Description, Pool, Source};
use store::{CoverageCell, NewRun, Run};

use crate::roll::{Cover, CoverState};
use crate::tiles::GapReason;

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
}

/// Refuses to go on with `run` as `new`: one run is one model and one calibration.
///
/// # Errors
/// With what it was and what it would be.
pub fn check_same(run: &Run, new: &NewRun) -> anyhow::Result<()> {
    let text = |word: Option<&store::Name>| word.map_or("none", |name| name.as_str()).to_owned();
    for (what, found, expected) in [
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
            "engine version",
            new.engine_version.clone(),
            run.engine_version.clone(),
        ),
    ] {
        ensure!(
            found == expected,
            "roll {:?} cannot be gone on with: found {what} {found}, expected {expected}; inspect it as a new run",
            run.roll_number.as_str()
        );
    }
    Ok(())
}

/// The ledger of a run as its store tells it.
///
/// # Errors
/// When the store holds what this version does not know.
pub fn covers(cells: &[CoverageCell]) -> anyhow::Result<Vec<Cover>> {
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
pub fn web_rect(rect: &store::Rect) -> anyhow::Result<WebRect> {
    let span = |range: std::ops::Range<i64>| Span::new(Um(range.start), Um(range.end));
    Ok(WebRect {
        along: span(rect.along())?,
        across: span(rect.across())?,
    })
}

/// Where cloth goes on behind `passed`, or behind the shortest gap there is: the first tick
/// whose cloth begins there.
pub fn first_tick_behind(geometry: &LaneGeometry, end: Um, passed: Option<Um>) -> i64 {
    let from = end.get() + passed.map_or(1, |passed| passed.get().max(0));
    let mut tick = (from as f64 / geometry.um_per_tick()).floor() as i64;
    while geometry.um_from_tick(tick).get() < from {
        tick += 1;
    }
    tick
}

/// A source that begins anew, without the cloth of which the ledger was told; what lies within
/// `window_mm` before `end` still comes.
pub fn from_end(
    source: Box<dyn Source>,
    geometry: &LaneGeometry,
    end: Um,
    window_mm: f64,
) -> Box<dyn Source> {
    let from = end.get() - um_from_mm(window_mm).get();
    Box::new(FromTick {
        source,
        tick: (from as f64 / geometry.um_per_tick()).floor() as i64,
    })
}

/// A live source that begins anew: what it shows lies from `tick` on.
pub fn behind(source: Box<dyn Source>, tick: i64) -> Box<dyn Source> {
    Box::new(Shifted {
        source,
        tick,
        shift: None,
    })
}

struct FromTick {
    source: Box<dyn Source>,
    tick: i64,
}

impl Source for FromTick {
    fn description(&self) -> &Description {
        self.source.description()
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        loop {
            match self.source.next(pool)? {
                Some(captured) if captured.ticks().end <= self.tick => {}
                next => return Ok(next),
            }
        }
    }
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
        let rest = from_end(loom(), &geometry(), Um(9000), 2.0);
        assert_eq!(ticks(rest), [20..30, 30..40, 40..50]);
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
