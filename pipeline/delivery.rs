//! What a camera exposes on its way into a channel that may be full.
//!
//! ```text
//! Captured ─▶ Delivery ─▶ frames
//!                 └── found no room: told as one loss, with the next exposure that does
//! ```
//!
//! Nothing is dropped in silence: exposures in a row that found the channel full become one [`Lost`]
//! over all of their cloth.

use std::ops::ControlFlow;

use camera::{CameraError, Captured, Lost, LostReason};

use crate::channel::{Refused, Tx};

/// Hands exposures to the line and accounts for those that it had no room for.
pub(crate) struct Delivery {
    frames: Tx<Captured>,
    /// Exposures in a row that found the line full.
    dropped: Option<Lost>,
    /// Where the next exposure is expected: its number, and its first tick.
    next: (u64, i64),
}

impl Delivery {
    /// Of a camera whose exposures go into `frames`.
    pub(crate) fn new(frames: Tx<Captured>) -> Self {
        Self {
            frames,
            dropped: None,
            next: (0, 0),
        }
    }

    /// Sends one on, or notes that there was no room for it; breaks when nobody listens.
    pub(crate) fn deliver(&mut self, captured: Captured) -> ControlFlow<()> {
        self.next = (captured.sequence() + 1, captured.ticks().end);
        if let Some(dropped) = self.dropped.take()
            && let Err(refused) = self.frames.send(Captured::Lost(dropped))
        {
            match refused {
                Refused::Gone(_) => return ControlFlow::Break(()),
                Refused::Full(earlier) => {
                    self.dropped = Some(overload(earlier.ticks().start, &captured));
                    return ControlFlow::Continue(());
                }
            }
        }
        match self.frames.send(captured) {
            Ok(()) => ControlFlow::Continue(()),
            Err(Refused::Gone(_)) => ControlFlow::Break(()),
            Err(Refused::Full(captured)) => {
                self.dropped = Some(overload(captured.ticks().start, &captured));
                ControlFlow::Continue(())
            }
        }
    }

    /// Tells of what was dropped last and of what ended the source before its time, even if the
    /// line is still full.
    pub(crate) fn finish(self, lane: usize, failed: Option<&CameraError>) {
        let (sequence, tick) = self.next;
        let failed = failed.map(|error| Lost {
            camera: lane as u16,
            sequence,
            // How much cloth it will not see is told by the other lanes, if there are any.
            ticks: tick..tick,
            reason: LostReason::CameraLost,
            detail: error.to_string(),
            origin: None,
        });
        for lost in self.dropped.into_iter().chain(failed) {
            if self.frames.send_waiting(Captured::Lost(lost)).is_err() {
                // Downstream is gone and reports its own reason.
                tracing::debug!("the end of the stream found nobody");
            }
        }
    }
}

/// The cloth from `start` to the end of `last`, dropped.
fn overload(start: i64, last: &Captured) -> Lost {
    Lost {
        camera: last.camera(),
        sequence: last.sequence(),
        ticks: start..last.ticks().end,
        reason: LostReason::Overload,
        detail: "the line did not keep up with the camera".to_owned(),
        origin: None,
    }
}
