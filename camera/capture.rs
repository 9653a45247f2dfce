//! The body of a capture thread: from a source to whoever takes its exposures.
//!
//! ```text
//! source ──▶ capture ──▶ deliver
//! ```
//!
//! Ends when the source ends, when `stop` is set, or when `deliver` breaks because
//! nobody is left downstream. What comes late, after cloth that lies behind it, is not handed on
//! as a frame: its cloth is already missing from the ticks, and nothing is entered twice. It makes no thread and no channel; whether a full channel
//! blocks or drops is decided inside `deliver`.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{CameraError, Captured, Lost, LostReason, Pool, Source};

/// What one capture saw, and why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureCounts {
    /// Exposures with pixels.
    pub n_frames: u64,
    /// Exposures without.
    pub n_lost: u64,
    /// How many of those without came, but after cloth that lies behind them.
    pub n_late: u64,
    /// Encoder ticks of all of them, late ones without.
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
/// An exposure of which no tick lies beyond what was handed out before is late: it becomes a
/// [`Lost`] without ticks, at the end of what was handed out, or with those of its ticks that lie
/// before everything that was. One that reaches beyond it stays as it is, for area frames may
/// overlap.
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
        n_late: 0,
        n_ticks: 0,
        ending: Ending::EndOfSource,
    };
    // All ticks handed out, from the first to one past the last.
    let mut out: Option<Range<i64>> = None;
    loop {
        if stop.load(Ordering::Relaxed) {
            counts.ending = Ending::Stopped;
            break;
        }
        let Some(mut captured) = source.next(pool)? else {
            // A source that looks at the signal itself ends before this loop does.
            if stop.load(Ordering::Relaxed) {
                counts.ending = Ending::Stopped;
            }
            break;
        };
        if let Some(out) = out.as_ref().filter(|out| is_behind(&captured, out.end)) {
            captured = Captured::Lost(late(&captured, out));
            counts.n_late += 1;
        }
        let ticks = captured.ticks();
        out = Some(match out {
            Some(out) => out.start.min(ticks.start)..out.end.max(ticks.end),
            None => ticks.clone(),
        });
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

/// True where it has ticks and all of them lie before `end`.
fn is_behind(captured: &Captured, end: i64) -> bool {
    let ticks = captured.ticks();
    !ticks.is_empty() && ticks.end <= end
}

fn late(captured: &Captured, out: &Range<i64>) -> Lost {
    let (ticks, end) = (captured.ticks(), out.end);
    let (reason, why, origin) = match captured {
        Captured::Frame(frame) => (LostReason::FrameLost, "", frame.origin.clone()),
        Captured::Lost(lost) => (lost.reason, lost.detail.as_str(), lost.origin.clone()),
    };
    let colon = if why.is_empty() { "" } else { ": " };
    Lost {
        camera: captured.camera(),
        sequence: captured.sequence(),
        ticks: if ticks.start < out.start {
            ticks.start..ticks.end.min(out.start)
        } else {
            end..end
        },
        reason,
        detail: format!(
            "late: ticks {}..{} came after tick {end} had been handed out{colon}{why}",
            ticks.start, ticks.end
        ),
        origin,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::{
        Buffer, Channels, Depth, Description, Frame, FrameShape, Loom, LoomSettings, TicksFrom,
    };

    /// Hands out what it was given.
    struct Given(Description, VecDeque<Captured>);

    impl Source for Given {
        fn description(&self) -> &Description {
            &self.0
        }

        fn next(&mut self, _: &Pool) -> Result<Option<Captured>, CameraError> {
            Ok(self.1.pop_front())
        }
    }

    /// Captures small frames over these ticks, and says what was handed on.
    fn handed_on(ticks: &[(i64, i64)]) -> (Vec<String>, CaptureCounts) {
        let shape = FrameShape {
            width: 1,
            height: 1,
            channels: Channels::Grey,
            depth: Depth::Eight,
        };
        let frame = |(nth, &(from, to)): (u64, &(i64, i64))| {
            Captured::Frame(Frame::new(0, nth, from..to, shape, Buffer::alone(1)).unwrap())
        };
        let description = Description {
            name: "given".to_owned(),
            shape,
            ticks_per_line: 1,
            ticks: TicksFrom::Nominal,
            n_frames: None,
            live: true,
            continuous: false,
        };
        let mut source = Given(description, (0..).zip(ticks).map(frame).collect());
        let mut told = Vec::new();
        let stop = AtomicBool::new(false);
        let counts = capture(&mut source, &Pool::new(1, 1), &stop, |captured| {
            let letter = match &captured {
                Captured::Frame(_) => 'f',
                Captured::Lost(_) => 'L',
            };
            let ticks = captured.ticks();
            told.push(format!("{letter} {}..{}", ticks.start, ticks.end));
            ControlFlow::Continue(())
        });
        (told, counts.unwrap())
    }

    #[test]
    fn what_lies_wholly_behind_is_late_and_nothing_else_is() {
        let (told, counts) =
            handed_on(&[(0, 10), (20, 30), (10, 20), (25, 35), (35, 45), (31, 45)]);
        let expected = [
            "f 0..10", "f 20..30", "L 30..30", "f 25..35", "f 35..45", "L 45..45",
        ];
        assert_eq!(told, expected);
        assert_eq!((counts.n_frames, counts.n_lost, counts.n_late), (4, 2, 2));
        assert_eq!(counts.n_ticks, 40);
    }

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
            n_late: 0,
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
