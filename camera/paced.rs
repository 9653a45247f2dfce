//! Any source as if it were live: exposures come at line speed, ready or not.
//!
//! ```text
//! Source ──▶ own buffer ──▶ wait until the web has passed ──▶ buffer of the pool ──▶ Captured
//! ```
//!
//! The web moves at a fixed rate from the first call of `next` on; an exposure is due when its
//! last tick has passed under the camera, reckoned from that first moment, so that the clock never
//! drifts. One that finds no free buffer when it is due, or that was due longer ago than the pool
//! has buffers, is told as [`LostReason::Overload`] with its ticks: no camera waits. Ends with its
//! source, and within a twentieth of a second when the pool is closed or the stop signal is set.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::{CameraError, Captured, Description, Frame, Lost, LostReason, Pool, Source};

/// Time, so that a test can have its own.
pub trait Clock: Send {
    /// Time since some fixed moment; never runs back.
    fn now(&self) -> Duration;

    /// Lets this much time pass.
    fn wait(&mut self, time: Duration);
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

/// A source whose exposures come at line speed.
pub struct Paced<S, C = SystemClock> {
    source: S,
    description: Description,
    clock: C,
    ticks_per_second: f64,
    stop: Option<Arc<AtomicBool>>,
    /// The source's own buffer; it never sees the line's.
    own: Pool,
    start: Option<Start>,
}

/// The first moment, and the first tick.
#[derive(Clone, Copy, Debug)]
struct Start {
    clock: Duration,
    tick: i64,
    wall: SystemTime,
}

/// Longest wait between two looks at the stop signal and the pool.
const LOOK: Duration = Duration::from_millis(50);

impl<S: Source> Paced<S> {
    /// Exposes what `source` exposes at `lines_per_second` (1 to 10,000,000).
    ///
    /// # Errors
    /// `LineRate` where the rate is out of range.
    pub fn new(source: S, lines_per_second: f64) -> Result<Self, CameraError> {
        let start = Instant::now();
        Self::with_clock(source, lines_per_second, SystemClock { start })
    }
}

impl<S: Source, C: Clock> Paced<S, C> {
    /// The same by another clock.
    ///
    /// # Errors
    /// `LineRate` where the rate is out of range.
    pub fn with_clock(source: S, lines_per_second: f64, clock: C) -> Result<Self, CameraError> {
        if !(1.0..=1e7).contains(&lines_per_second) {
            let found = lines_per_second.to_string();
            return Err(CameraError::LineRate { found });
        }
        let description = Description {
            live: true,
            ..source.description().clone()
        };
        Ok(Self {
            own: Pool::new(1, description.shape.n_bytes()),
            ticks_per_second: lines_per_second * description.ticks_per_line as f64,
            source,
            description,
            clock,
            stop: None,
            start: None,
        })
    }

    /// Ends while it waits for an exposure, too, once `stop` is set.
    #[must_use]
    pub fn until(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Waits until the clock shows `due`; false where it was told to end.
    fn wait_until(&mut self, due: Duration, pool: &Pool) -> bool {
        loop {
            let stopped = self.stop.as_ref();
            if pool.is_closed() || stopped.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return false;
            }
            let left = due.saturating_sub(self.clock.now());
            if left.is_zero() {
                return true;
            }
            self.clock.wait(left.min(LOOK));
        }
    }

    /// When the camera has seen this tick pass, since the start.
    fn due(&self, start: Start, tick: i64) -> Duration {
        Duration::from_secs_f64((tick - start.tick).max(0) as f64 / self.ticks_per_second)
    }
}

impl<S: Source, C: Clock> Source for Paced<S, C> {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let Some(captured) = self.source.next(&self.own)? else {
            return Ok(None);
        };
        let ticks = captured.ticks();
        let start = *self.start.get_or_insert_with(|| Start {
            clock: self.clock.now(),
            tick: ticks.start,
            wall: SystemTime::now(),
        });
        let due = self.due(start, ticks.end);
        if !self.wait_until(start.clock + due, pool) {
            return Ok(None);
        }
        let frame = match captured {
            Captured::Lost(lost) => return Ok(Some(Captured::Lost(lost))),
            Captured::Frame(frame) => frame,
        };
        // What came since then fills a buffer each; a camera keeps no more than there are.
        let kept = self.due(start, start.tick + (ticks.end - ticks.start)) * n_times(pool);
        let behind = self.clock.now().saturating_sub(start.clock + due);
        let buffer = if behind > kept { None } else { pool.try_take() };
        let Some(mut buffer) = buffer else {
            if pool.is_closed() {
                return Ok(None);
            }
            return Ok(Some(Captured::Lost(Lost {
                camera: frame.camera,
                sequence: frame.sequence,
                ticks,
                reason: LostReason::Overload,
                detail: format!(
                    "no buffer was free for frame {}: {} of {} out, {:.0} ms after it was due",
                    frame.sequence,
                    pool.n_out(),
                    pool.n_buffers(),
                    behind.as_secs_f64() * 1e3
                ),
                origin: frame.origin.clone(),
            })));
        };
        let size = buffer.bytes().len();
        let Some(room) = buffer.bytes_mut().get_mut(..frame.bytes().len()) else {
            let needed = frame.bytes().len();
            return Err(CameraError::BufferTooSmall { needed, size });
        };
        room.copy_from_slice(frame.bytes());
        let mut live = Frame::new(frame.camera, frame.sequence, ticks, frame.shape(), buffer)?;
        live.taken_at = start.wall + due;
        live.origin.clone_from(&frame.origin);
        Ok(Some(Captured::Frame(live)))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Paced<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced")
            .field("source", &self.source)
            .field("ticks_per_second", &self.ticks_per_second)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

fn n_times(pool: &Pool) -> u32 {
    u32::try_from(pool.n_buffers()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{Loom, LoomSettings};

    /// Time passes only when it is told to, or waited for.
    #[derive(Clone, Default)]
    struct Fake(Arc<Mutex<Times>>);

    #[derive(Default)]
    struct Times {
        now: Duration,
        waited: Vec<Duration>,
    }

    impl Fake {
        fn pass(&self, millis: u64) {
            self.0.lock().unwrap().now += Duration::from_millis(millis);
        }
    }

    impl Clock for Fake {
        fn now(&self) -> Duration {
            self.0.lock().unwrap().now
        }

        fn wait(&mut self, time: Duration) {
            let mut times = self.0.lock().unwrap();
            times.now += time;
            times.waited.push(time);
        }
    }

    /// Ten lines a frame at 100 lines a second: one frame every 100 ms.
    fn paced(n_buffers: usize) -> (Paced<Loom, Fake>, Fake, Pool) {
        let loom = Loom::new(LoomSettings {
            width: 256,
            frame_height: 10,
            lost: [3].into(),
            ..LoomSettings::new(1)
        })
        .unwrap();
        let clock = Fake::default();
        let paced = Paced::with_clock(loom, 100.0, clock.clone()).unwrap();
        let pool = Pool::new(n_buffers, paced.description().shape.n_bytes());
        (paced, clock, pool)
    }

    fn reason(captured: Option<Captured>) -> Option<LostReason> {
        match captured.unwrap() {
            Captured::Frame(_) => None,
            Captured::Lost(lost) => Some(lost.reason),
        }
    }

    #[test]
    fn exposures_come_when_the_web_has_passed_and_never_drift() {
        let (mut paced, clock, pool) = paced(2);
        assert!(paced.description().live);
        for nth in 1..=9 {
            // The line takes its time, in part longer than a frame.
            clock.pass([0, 30, 140][nth as usize % 3]);
            let captured = paced.next(&pool).unwrap().unwrap();
            assert_eq!(captured.sequence(), nth - 1);
            let now = clock.now().as_millis() as u64;
            let late = now - 100 * nth;
            // The web started at 30 ms; the line takes 40 ms more than a frame at most.
            assert!((30..=70).contains(&late), "exposure {nth} came at {now} ms");
        }
        assert_eq!(clock.now(), Duration::from_millis(930));
        let longest = clock.0.lock().unwrap().waited.iter().max().copied();
        assert!(longest.unwrap() <= LOOK);
    }

    #[test]
    fn no_free_buffer_is_overload_with_its_ticks() {
        let (mut paced, _, pool) = paced(1);
        let held = paced.next(&pool).unwrap();
        let Some(Captured::Lost(lost)) = paced.next(&pool).unwrap() else {
            panic!("not lost")
        };
        assert_eq!(
            (lost.sequence, lost.ticks, lost.reason),
            (1, 10..20, LostReason::Overload)
        );
        drop(held);
        assert_eq!(reason(paced.next(&pool).unwrap()), None);
        assert_eq!(
            reason(paced.next(&pool).unwrap()),
            Some(LostReason::FrameLost)
        );
    }

    #[test]
    fn a_line_that_stalls_loses_what_no_buffer_could_keep() {
        let (mut paced, clock, pool) = paced(2);
        assert_eq!(reason(paced.next(&pool).unwrap()), None);
        clock.pass(550);
        // Due at 200 to 600 ms, and it is 650 ms now.
        let reasons: Vec<_> = (0..5).map(|_| reason(paced.next(&pool).unwrap())).collect();
        let overload = Some(LostReason::Overload);
        let lost = Some(LostReason::FrameLost);
        assert_eq!(reasons, [overload, overload, lost, None, None]);
    }

    #[test]
    fn a_closed_pool_or_a_stop_ends_the_wait() {
        let (mut closed, _, pool) = paced(1);
        pool.close();
        assert!(closed.next(&pool).unwrap().is_none());
        let (paced, clock, pool) = paced(1);
        let mut stopped = paced.until(Arc::new(AtomicBool::new(true)));
        assert!(stopped.next(&pool).unwrap().is_none());
        assert_eq!(clock.now(), Duration::ZERO);
    }

    #[test]
    fn pixels_are_those_of_the_source() {
        let (mut paced, _, pool) = paced(1);
        let Some(Captured::Frame(live)) = paced.next(&pool).unwrap() else {
            panic!("lost")
        };
        let mut loom = paced.source;
        let other = Pool::new(1, pool.buffer_bytes());
        drop(loom.next(&other));
        let mut again = Loom::new(LoomSettings {
            width: 256,
            frame_height: 10,
            ..LoomSettings::new(1)
        })
        .unwrap();
        let Some(Captured::Frame(frame)) = again.next(&other).unwrap() else {
            panic!("lost")
        };
        assert!(live.bytes() == frame.bytes());
    }

    #[test]
    fn a_rate_out_of_range_is_refused() {
        let loom = Loom::new(LoomSettings::new(1)).unwrap();
        let error = Paced::new(loom, 0.0).unwrap_err();
        assert!(matches!(error, CameraError::LineRate { .. }), "{error}");
    }
}
