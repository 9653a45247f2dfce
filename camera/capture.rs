//! The body of a capture thread: from a source to whoever takes its exposures.
//!
//! ```text
//! source ──▶ capture ──▶ deliver
//! ```
//!
//! Ends when the source ends, when `stop` is set, or when `deliver` breaks because
//! nobody is left downstream. It makes no thread and no channel; whether a full channel
//! blocks or drops is decided inside `deliver`.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{CameraError, Captured, Pool, Source};

/// What one capture saw, and why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureCounts {
    /// Exposures with pixels.
    pub n_frames: u64,
    /// Exposures without.
    pub n_lost: u64,
    /// Encoder ticks of all of them.
    pub n_ticks: i64,
    /// Why it ended.
    pub ending: Ending,
}

/// Why a capture ended, other than by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The source had no more exposures, or its pool was closed.
    EndOfSource,
    /// The stop signal was set.
    Stopped,
    /// Downstream is gone and reports its own reason.
    Refused,
}

/// Hands every exposure of `source` to `deliver`, lost ones too, in order.
///
/// `stop` is looked at before each exposure. A capture that waits for a buffer ends only
/// when one comes home or the pool is closed.
///
/// # Errors
/// What ends the source before its time.
pub fn capture(
    source: &mut dyn Source,
    pool: &Pool,
    stop: &AtomicBool,
    mut deliver: impl FnMut(Captured) -> ControlFlow<()>,
) -> Result<CaptureCounts, CameraError> {
    let mut counts = CaptureCounts {
        n_frames: 0,
        n_lost: 0,
        n_ticks: 0,
        ending: Ending::EndOfSource,
    };
    loop {
        if stop.load(Ordering::Relaxed) {
            counts.ending = Ending::Stopped;
            break;
        }
        let Some(captured) = source.next(pool)? else {
            break;
        };
        let ticks = captured.ticks();
        counts.n_ticks += ticks.end - ticks.start;
        match &captured {
            Captured::Frame(_) => counts.n_frames += 1,
            Captured::Lost(_) => counts.n_lost += 1,
        }
        if deliver(captured).is_break() {
            counts.ending = Ending::Refused;
            break;
        }
    }
    Ok(counts)
}
