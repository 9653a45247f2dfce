//! What goes out, as JSON. These keys are stable: add, don't rename.
//!
//! ```text
//! event  {"event": "flaw", "seq": 7, "at_us": …, "flaw": {…}}
//!        {"event": "alarm" | "alarm_again" | "alarm_acknowledged", …, "alarm": {…}, "by": …}
//! state  {"stop": true, "lamp": true, "alarms": [{…}], "roll": {…}}
//! ```
//!
//! `seq` counts all events of one start of the program; a hole in it is what `lost` told of. An
//! event may come twice where its receiver died while it answered: `seq` tells.

use calibration::{Span, mm_from_um};
use serde_json::{Value, json};

use super::super::{About, Event, RollAbout, State, Word};
use crate::alarms::{Alarm, Change, FoundFlaw};
use crate::running::Running;

/// Every kind of event.
pub(super) const KINDS: [&str; 7] = [
    "roll_began",
    "roll_ended",
    "flaw",
    "running",
    "alarm",
    "alarm_again",
    "alarm_acknowledged",
];

/// One event, ready to go.
#[derive(Debug, PartialEq)]
pub(super) struct Parcel {
    /// One word for it, also the last level of its topic.
    pub(super) kind: &'static str,
    pub(super) body: Value,
}

impl Parcel {
    pub(super) fn of(word: &Word<'_>) -> Self {
        let (kind, key, about) = match word.about {
            About::Event(Event::RollBegan(about)) => ("roll_began", "roll", roll_json(about)),
            About::Event(Event::RollEnded { state }) => ("roll_ended", "state", json!(state)),
            About::Event(Event::Flaw(flaw)) => ("flaw", "flaw", flaw_json(flaw)),
            About::Event(Event::Running(run)) => ("running", "running", running_json(run)),
            About::Change(Change::Raised(alarm)) => ("alarm", "alarm", alarm_json(alarm)),
            About::Change(Change::Again(alarm)) => ("alarm_again", "alarm", alarm_json(alarm)),
            About::Change(Change::Acknowledged { alarm, .. }) => {
                ("alarm_acknowledged", "alarm", alarm_json(alarm))
            }
        };
        let mut body = json!({"event": kind, "seq": word.seq, "at_us": word.at_us, key: about});
        if let About::Change(Change::Acknowledged { by, .. }) = word.about {
            body["by"] = json!(by);
        }
        Self { kind, body }
    }
}

pub(super) fn state_json(state: &State) -> Value {
    let alarms = &state.latched.alarms;
    json!({
        "stop": state.latched.stops(),
        "lamp": !alarms.is_empty(),
        "alarms": alarms.iter().map(alarm_json).collect::<Vec<_>>(),
        "roll": state.roll.as_ref().map(roll_json),
    })
}

fn roll_json(about: &RollAbout) -> Value {
    json!({"roll": about.roll, "article": about.article, "run": about.run})
}

/// The keys of a flaw in `roll --json`.
fn flaw_json(flaw: &FoundFlaw) -> Value {
    let length = flaw.rect.along.length().max(flaw.rect.across.length());
    json!({
        "id": flaw.id,
        "class": flaw.class,
        "along_mm": ends(flaw.rect.along),
        "across_mm": ends(flaw.rect.across),
        "length_mm": mm_from_um(length),
        "score": flaw.score,
        "severity": flaw.severity,
    })
}

fn running_json(running: &Running) -> Value {
    json!({
        "lane": running.lane + 1,
        "along_mm": ends(running.along),
        "across_mm": ends(running.across),
        "passed_mm": mm_from_um(running.length),
        "ended": running.has_ended,
    })
}

fn alarm_json(alarm: &Alarm) -> Value {
    json!({
        "id": alarm.id,
        "cause": alarm.cause.as_str(),
        "along_mm": mm_from_um(alarm.along),
        "message": alarm.message,
        "raised_at_us": alarm.raised_at_us,
        "times": alarm.n_times,
        "stop": alarm.stops,
    })
}

fn ends(span: Span) -> [f64; 2] {
    [span.start(), span.end()].map(mm_from_um)
}
