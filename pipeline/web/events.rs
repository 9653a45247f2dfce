//! What a person is told of a roll while it grows.
//!
//! Each says what was found and, where there is something to do, what. It goes into the run's record
//! and is told from there; what a person must act on is in the log as well, for who watches a line.

use calibration::{Span, Um};
use camera::Frame;
use models::CELL_PX;
use store::EventSeverity;

use super::{LaneSoFar, Web};
use crate::judging::SeenFrame;
use crate::record::Event;
use crate::seams::APART;
use crate::tiles::{GapReason, TilePlace};

/// Frames that a message names; of more it says how many.
pub(super) const N_NAMED: usize = 5;

impl Web {
    /// Says, once, that another article's cloth begins or ends at `at`.
    pub(super) fn article_event(&mut self, lane: usize, is_wrong: bool, at: Um) -> Option<Event> {
        let of_lane = &mut self.lanes[lane];
        if std::mem::replace(&mut of_lane.is_told_wrong, is_wrong) == is_wrong {
            return None;
        }
        let strangeness = of_lane.watch.last_strangeness();
        let (severity, message) = if is_wrong {
            // That is said with it.
            of_lane.is_told_unlike = true;
            let message = format!(
                "from {at} on this is not the cloth that was taught (found {strangeness:.1} times as strange as good cloth may be); it is not inspected: is it this article, the right side up, and at the taught scale?"
            );
            tracing::error!(lane, "wrong article: {message}");
            (EventSeverity::Error, message)
        } else {
            let message = format!("from {at} on this is the cloth that was taught again");
            tracing::warn!(lane, "{message}");
            (EventSeverity::Warning, message)
        };
        Some(Event {
            kind: GapReason::WrongArticle.as_str(),
            severity,
            message: self.said(lane, message),
        })
    }

    /// Says, once, that cloth is out of focus from `at` on, or no longer is.
    pub(super) fn focus_event(&mut self, lane: usize, is_soft: bool, at: Um) -> Option<Event> {
        let of_lane = &mut self.lanes[lane];
        if std::mem::replace(&mut of_lane.is_told_soft, is_soft) == is_soft {
            return None;
        }
        let (severity, message) = if is_soft {
            let message = format!(
                "from {at} on cloth is out of focus; it is not inspected there: clean the lens, look at its focus and at how flat the cloth lies; is it this article?"
            );
            tracing::error!(lane, "out of focus: {message}");
            (EventSeverity::Error, message)
        } else {
            let message = format!("from {at} on cloth is in focus again");
            tracing::warn!(lane, "{message}");
            (EventSeverity::Warning, message)
        };
        Some(Event {
            kind: GapReason::OutOfFocus.as_str(),
            severity,
            message: self.said(lane, message),
        })
    }

    /// Says, once for all lanes, that there is a seam.
    pub(super) fn seam_event(&mut self, along: Span) -> Option<Event> {
        let is_near = |told: &&mut Span| {
            along.start() <= told.end() + APART && told.start() <= along.end() + APART
        };
        if let Some(told) = self.sewn.iter_mut().find(is_near) {
            *told = told.hull(along);
            return None;
        }
        self.sewn.push(along);
        let at_m = along.start().get() as f64 / 1e6;
        tracing::info!(at_m, "a sewn seam");
        Some(Event {
            kind: GapReason::Seam.as_str(),
            severity: EventSeverity::Warning,
            message: format!("a sewn seam at {at_m:.2} m; it is a gap, and no flaw is told of it"),
        })
    }

    /// Says that nothing is known of focus, where that is so.
    pub fn focus_unknown_event(&self) -> Option<Event> {
        let is_unknown = |of_lane: &LaneSoFar| !of_lane.focus.is_known();
        self.lanes.iter().any(is_unknown).then(|| Event {
            kind: "focus_unknown",
            severity: EventSeverity::Info,
            message: "how sharp this article should look was not taught, so no cloth is found to be out of focus; teach it again to have that".to_owned(),
        })
    }

    /// Says, once, that cloth may be another article's, though it is inspected.
    pub(super) fn unlike_event(&mut self, lane: usize) -> Option<Event> {
        let of_lane = &mut self.lanes[lane];
        if !of_lane.watch.is_unlike() || of_lane.is_told_wrong || of_lane.is_told_unlike {
            return None;
        }
        of_lane.is_told_unlike = true;
        let message = "the cloth is inspected, but is not much like what was taught: is it this article? If it is, teach it too (`teach --more`)";
        tracing::warn!(lane, "{message}");
        Some(Event {
            kind: "unlike_taught",
            severity: EventSeverity::Warning,
            message: self.said(lane, message.to_owned()),
        })
    }

    /// How many flaws did not wait for a lane that lagged, if any.
    pub(super) fn lag_event(&self) -> Option<Event> {
        let n_forced = self.borders.n_forced();
        (n_forced > 0).then(|| Event {
            kind: "lane_lagged",
            severity: EventSeverity::Warning,
            message: format!(
                "a lane lagged far behind the one beside it; {n_forced} flaws on their border did not wait for it and may be told in two parts"
            ),
        })
    }

    /// How many frames do not continue the one before, and the first of them, if any.
    pub(super) fn joints_event(&self) -> Option<Event> {
        let n_loose: u64 = self.lanes.iter().map(|lane| lane.n_loose).sum();
        let n_frames: u64 = self.lanes.iter().map(|lane| lane.n_frames).sum();
        let names = self.lanes.iter().enumerate().flat_map(|(lane, of_lane)| {
            let said = move |name: &String| self.said(lane, name.clone());
            of_lane.loose.iter().map(said)
        });
        let named: Vec<String> = names.take(N_NAMED).collect();
        let more = if n_loose > named.len() as u64 {
            ", …"
        } else {
            ""
        };
        (n_loose > 0).then(|| Event {
            kind: "loose_joints",
            severity: EventSeverity::Info,
            message: format!(
                "{n_loose} of {n_frames} frames do not continue the one before ({}{more}); nothing is stitched across there",
                named.join(", ")
            ),
        })
    }
}

/// File name of a frame, or its number.
pub(super) fn name_of(frame: &Frame) -> String {
    let name = frame.origin.as_deref().map(str::to_owned);
    name.unwrap_or_else(|| format!("frame {}", frame.sequence))
}

pub(super) fn failed_event(seen: &SeenFrame, place: &TilePlace, problem: &str) -> Event {
    let (row, column) = (place.row * CELL_PX, place.col * CELL_PX);
    let frame = seen.head.frame.sequence;
    tracing::error!(frame, row, column, problem, "a tile could not be scored");
    Event {
        kind: GapReason::WorkerFailed.as_str(),
        severity: EventSeverity::Error,
        message: format!("frame {frame}, tile at row {row}, column {column}: {problem}"),
    }
}
