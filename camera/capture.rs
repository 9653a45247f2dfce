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
        tracing::trace!(
            camera = captured.camera(),
            sequence = captured.sequence(),
            "exposed"
        );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Loom, LoomSettings};

    fn loom(n_frames: Option<u64>) -> (Loom, Pool) {
        let mut settings = LoomSettings::new(1);
        (settings.width, settings.frame_height, settings.n_frames) = (256, 4, n_frames);
        settings.lost = [2].into();
        let loom = Loom::new(settings).unwrap();
        let pool = Pool::new(2, loom.description().shape.n_bytes());
        (loom, pool)
    }

    #[test]
    fn ends_with_its_source_and_counts_what_was_lost() {
        let (mut loom, pool) = loom(Some(5));
        let mut sequences = Vec::new();
        let counts = capture(&mut loom, &pool, &AtomicBool::new(false), |captured| {
            sequences.push(captured.sequence());
            ControlFlow::Continue(())
        });
        let expected = CaptureCounts {
            n_frames: 4,
            n_lost: 1,
            n_ticks: 20,
            ending: Ending::EndOfSource,
        };
        assert_eq!(counts.unwrap(), expected);
        assert_eq!(sequences, [0, 1, 2, 3, 4]);
        assert_eq!(pool.n_out(), 0);
    }

    #[test]
    fn ends_when_it_is_told_to_stop() {
        let (mut endless, pool) = loom(None);
        let stop = AtomicBool::new(false);
        let counts = capture(&mut endless, &pool, &stop, |captured| {
            stop.store(captured.sequence() == 6, Ordering::Relaxed);
            ControlFlow::Continue(())
        });
        let counts = counts.unwrap();
        assert_eq!((counts.n_ticks, counts.ending), (28, Ending::Stopped));
    }

    #[test]
    fn ends_when_nobody_is_left_downstream() {
        let (mut endless, pool) = loom(None);
        let counts = capture(&mut endless, &pool, &AtomicBool::new(false), |_| {
            ControlFlow::Break(())
        });
        assert_eq!(counts.unwrap().ending, Ending::Refused);
    }

    #[test]
    fn ends_when_its_pool_is_closed_while_it_waits() {
        let (mut endless, pool) = loom(None);
        let mut kept = Vec::new();
        let counts = std::thread::scope(|scope| {
            let (full_tx, full_rx) = std::sync::mpsc::sync_channel(2);
            let (endless, pool, kept) = (&mut endless, &pool, &mut kept);
            let capturing = scope.spawn(move || {
                capture(endless, pool, &AtomicBool::new(false), |captured| {
                    kept.push(captured);
                    if pool.n_out() == pool.n_buffers() {
                        full_tx.send(()).unwrap();
                    }
                    ControlFlow::Continue(())
                })
            });
            full_rx.recv().unwrap();
            pool.close();
            capturing.join().unwrap()
        });
        assert_eq!(counts.unwrap().ending, Ending::EndOfSource);
    }

    #[test]
    fn a_pool_too_small_for_the_source_is_an_error() {
        let (mut loom, _) = loom(None);
        let stop = AtomicBool::new(false);
        let result = capture(&mut loom, &Pool::new(1, 16), &stop, |_| {
            ControlFlow::Continue(())
        });
        assert!(matches!(
            result,
            Err(CameraError::BufferTooSmall { size: 16, .. })
        ));
    }
}
