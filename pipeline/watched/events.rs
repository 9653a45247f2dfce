//! Events that wait for the store, because whoever tells of them must not.

use std::collections::VecDeque;
use std::sync::Mutex;

use store::{EventSeverity, NewEvent, Store, StoreError};

use super::lock;
use crate::alarms::Change;

/// Events that may wait; a station that cannot write tells the log too.
const MOST: usize = 1000;

/// What is still to be written, in order.
#[derive(Default)]
pub(super) struct Unwritten(Mutex<VecDeque<NewEvent>>);

impl Unwritten {
    /// Takes one; the log has it already.
    pub(super) fn push(&self, event: NewEvent) {
        let mut waiting = lock(&self.0);
        if waiting.len() >= MOST {
            tracing::error!(
                message = event.message,
                "an event found no room and is only in the log"
            );
            return;
        }
        waiting.push_back(event);
    }

    /// Writes all that waits; what the store refuses waits on.
    pub(super) fn write(&self, store: &mut Store) -> Result<(), StoreError> {
        loop {
            let Some(event) = lock(&self.0).front().cloned() else {
                return Ok(());
            };
            store.record_event(&event)?;
            lock(&self.0).pop_front();
        }
    }

    /// Says what will never be written.
    pub(super) fn give_up(&self) {
        for event in lock(&self.0).drain(..) {
            tracing::error!(message = event.message, "an event is only in the log");
        }
    }
}

/// What became of an alarm, in the words of the store, and told to the log; `None` where nothing is new.
pub(super) fn event_of(change: &Change, roll: Option<&str>) -> Option<NewEvent> {
    let (kind, severity, at_us, message) = match change {
        Change::Raised(alarm) => {
            let cause = alarm.cause.as_str();
            tracing::warn!(alarm = alarm.id, cause, "{}", alarm.message);
            let stop = if alarm.stops {
                ", the machine is asked to stop"
            } else {
                ""
            };
            let message = format!("alarm {}{stop}: {}", alarm.id, alarm.message);
            (
                "alarm_raised",
                EventSeverity::Error,
                alarm.raised_at_us,
                message,
            )
        }
        Change::Acknowledged { alarm, by, at_us } => {
            tracing::info!(alarm = alarm.id, by, "the alarm is acknowledged");
            let message = format!(
                "alarm {} is acknowledged by {by}; called for {} times: {}",
                alarm.id, alarm.n_times, alarm.message
            );
            ("alarm_acknowledged", EventSeverity::Info, *at_us, message)
        }
        Change::Again(_) => return None,
    };
    let roll = roll
        .map(|roll| format!("roll {roll}: "))
        .unwrap_or_default();
    Some(NewEvent {
        at_us,
        kind: kind.to_owned(),
        severity,
        message: format!("{roll}{message}"),
    })
}
