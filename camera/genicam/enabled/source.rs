//! A GenICam camera as a live source.
//!
//! ```text
//! buffer complete ──▶ Account ──▶ laid out in a buffer of the pool ──▶ Frame
//! silence ──▶ knock ──▶ nobody there, not ours, or should have sent ──▶ Lost, again and again
//!                              ▲                                            │
//!                              └────────────── back-off ◀───────────────────┘
//! ```
//!
//! Live and without an end. The camera is started by the first call of `next`, so that nothing it
//! saw before waits in a queue. An incomplete buffer is never looked into: where packets are
//! missing, it still holds an older picture. Nor is its number, which may be an older one's, too.
//!
//! A camera that exposes by trigger may be silent; it is asked every quarter of a second whether
//! it is there. One that runs freely must also send.
//!
//! Ends when its pool is closed or the stop signal is set. It makes no thread: searching for a
//! camera that came back under another address takes a second or two, and giving up one that does
//! not answer, some seconds.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aravis::{Buffer, BufferStatus};

use super::account::Account;
use super::discovery::{Named, find};
use super::knock::{Answer, knock};
use super::link::{Link, Looks};
use crate::genicam::settings::PATIENCE;
use crate::genicam::{GenicamCounts, GenicamSettings};
use crate::live::{BUFFER_WAIT, BackOff, Rate, nap_until};
use crate::{CameraError, Captured, Description, Frame, LostReason, Pool, Source, TicksFrom};

/// A live source over one GenICam camera.
pub struct GenicamCamera {
    /// Index of the camera in its station.
    camera: u16,
    named: Named,
    settings: GenicamSettings,
    looks: Looks,
    description: Description,
    link: State,
    account: Account,
    /// When a buffer came last, or the camera was reached.
    heard_at: Instant,
    counts: Arc<GenicamCounts>,
    counted_at: Instant,
    stop: Option<Arc<AtomicBool>>,
}

/// Whether there is a camera to take buffers from.
enum State {
    Up(Link),
    Down {
        /// The broken link, until somebody answers.
        old: Option<Link>,
        back_off: BackOff,
        n_failed: u32,
    },
}

/// How long a buffer is waited for before the camera is asked whether it is there.
const GLANCE: Duration = Duration::from_millis(250);
/// Exposures after which a camera that runs freely must have sent something.
const SILENT_FRAMES: f64 = 4.0;
/// Attempts at the old address between two searches for a new one.
const SEARCH_EVERY: u32 = 4;
/// Time between two readings of the counts.
const COUNT_EVERY: Duration = Duration::from_secs(1);

impl GenicamCamera {
    /// Finds the camera by id, serial number or address, takes control of it and sets it up.
    ///
    /// # Errors
    /// `NoCamera` where none is meant, it is taken, or its pictures cannot be had; `CameraSetting`
    /// for what it refuses.
    pub fn open(name: &str, camera: u16, settings: &GenicamSettings) -> Result<Self, CameraError> {
        let named = find(name)?;
        let link = Link::open(name, &named, settings)?;
        let looks = link.looks;
        let height = looks.shape.height;
        let by_lines = settings.line_rate_hz.map(|rate| rate / f64::from(height));
        let rate = Rate::new(settings.frame_rate_hz.or(by_lines), link.claimed_rate);
        let per_line = settings.encoder_ticks_per_line;
        let name = format!("genicam:{name}");
        Ok(Self {
            account: Account::new(name.clone(), camera, height, per_line, rate),
            description: Description {
                name,
                shape: looks.shape,
                ticks_per_line: per_line.map_or(1, i64::from),
                ticks: match per_line {
                    Some(_) => TicksFrom::Encoder,
                    None => TicksFrom::Nominal,
                },
                n_frames: None,
                live: true,
                continuous: looks.is_line_scan,
            },
            camera,
            named,
            settings: settings.clone(),
            looks,
            link: State::Up(link),
            heard_at: Instant::now(),
            counts: Arc::default(),
            counted_at: Instant::now(),
            stop: None,
        })
    }

    /// Ends once `stop` is set, also while no picture comes.
    #[must_use]
    pub fn until(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = Some(stop);
        self
    }

    /// What Aravis counts of its stream; goes on while the source lives, and stays.
    pub fn counts(&self) -> Arc<GenicamCounts> {
        Arc::clone(&self.counts)
    }

    fn is_over(&self, pool: &Pool) -> bool {
        let stop = self.stop.as_ref();
        pool.is_closed() || stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// One look at the camera; most often one picture comes of it.
    fn step(&mut self, pool: &Pool) -> Result<(), CameraError> {
        match &mut self.link {
            State::Up(link) => {
                let taken = link.take(GLANCE);
                if self.counted_at.elapsed() >= COUNT_EVERY {
                    self.counts.set(link.counts());
                    self.counted_at = Instant::now();
                }
                match taken {
                    Ok(Some(buffer)) => self.receive(buffer, pool)?,
                    Ok(None) => self.listen(),
                    Err(detail) => self.lose(&detail),
                }
            }
            State::Down { back_off, .. } => {
                let (try_at, tell_at) =
                    (back_off.try_at(), self.account.accounted_until() + PATIENCE);
                nap_until(try_at.min(tell_at), || self.is_over(pool));
                if Instant::now() >= try_at && !self.is_over(pool) {
                    self.reach();
                }
                if self.account.is_out() {
                    self.account.tell_unseen(0.0);
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: Buffer, pool: &Pool) -> Result<(), CameraError> {
        self.heard_at = Instant::now();
        let status = buffer.status();
        if status == BufferStatus::Success {
            self.hand_out(&buffer, pool)?;
        } else {
            self.account.incomplete(format!("{status:?}"));
        }
        if let State::Up(link) = &self.link {
            link.give_back(buffer);
        }
        Ok(())
    }

    /// The lines of a complete picture, in a buffer of the pool.
    fn hand_out(&mut self, buffer: &Buffer, pool: &Pool) -> Result<(), CameraError> {
        let State::Up(link) = &self.link else {
            return Ok(());
        };
        let account = &mut self.account;
        if !account.saw(buffer.frame_id(), buffer.timestamp() as f64 / 1e6) {
            return Ok(());
        }
        let lines = match link.lines(buffer) {
            Ok(lines) => lines,
            Err(detail) => {
                account.refuse(LostReason::Unreadable, &detail);
                return Ok(());
            }
        };
        match link.encoder(buffer) {
            None => {}
            Some(Ok(value)) => account.encoder_at(value),
            Some(Err(detail)) => {
                account.refuse(LostReason::Unreadable, &detail);
                return Ok(());
            }
        }
        let Some(into) = pool.take_within(BUFFER_WAIT) else {
            if !pool.is_closed() {
                let detail = "found no buffer free when the picture came, expected one";
                account.refuse(LostReason::Overload, detail);
            }
            return Ok(());
        };
        let (format, width) = (self.looks.format, self.looks.shape.width);
        let n_lines = lines.n_whole();
        if n_lines == 0 {
            let detail = format!("found no whole line of {}, expected all", lines.height);
            account.refuse(LostReason::FrameLost, &detail);
            return Ok(());
        }
        let (sequence, ticks) = account.take(n_lines);
        let shape = format.shape(width, n_lines);
        let mut frame = Frame::new(self.camera, sequence, ticks, shape, into)?;
        frame.taken_at = taken_at(buffer).unwrap_or(frame.taken_at);
        let row = shape.n_bytes() / n_lines as usize;
        let rows = frame.bytes_mut().chunks_exact_mut(row);
        for (to, from) in rows.zip(lines.bytes.chunks(lines.stride)) {
            format.lay_out(&from[..lines.line.min(from.len())], to);
        }
        account.hand_out(frame);
        if n_lines < lines.height {
            account.tear(n_lines, lines.height - n_lines);
        }
        Ok(())
    }

    /// Nothing came for a while: is it there, and should it have sent?
    fn listen(&mut self) {
        let State::Up(link) = &self.link else {
            return;
        };
        let due = match self.account.rate() {
            Some(rate) => Duration::from_secs_f64(SILENT_FRAMES / rate).max(PATIENCE),
            None => PATIENCE,
        };
        if !link.is_present() {
            self.lose("it does not answer, or is not ours any more");
        } else if self.looks.is_triggered {
            // Nobody told it to expose, so no cloth was missed.
            self.account.rest();
        } else if self.heard_at.elapsed() > due {
            self.lose("it answers and sends nothing");
        } else if self.account.is_out() {
            self.account.tell_unseen(0.0);
        }
    }

    /// The link is broken; it is kept until somebody answers.
    fn lose(&mut self, detail: &str) {
        self.account.lose(detail);
        let down = State::Down {
            old: None,
            back_off: BackOff::from_now(),
            n_failed: 0,
        };
        if let State::Up(link) = std::mem::replace(&mut self.link, down) {
            self.counts.set(link.counts());
            self.counts.end_connection();
            if let State::Down { old, .. } = &mut self.link {
                *old = Some(link);
            }
        }
    }

    /// Tries to reach the camera that was lost.
    fn reach(&mut self) {
        let State::Down {
            old,
            back_off,
            n_failed,
        } = &mut self.link
        else {
            return;
        };
        let name = &self.description.name;
        let found = match self.named.host {
            Some(host) if knock(host) != Answer::Silence => Ok(self.named.clone()),
            // Looking where it was is cheap, a search is not.
            Some(host) if !(*n_failed + 1).is_multiple_of(SEARCH_EVERY) => {
                Err(CameraError::NoCamera {
                    name: name.clone(),
                    detail: format!("nobody answers at {host}"),
                })
            }
            Some(_) | None => find(&self.named.key),
        };
        let has_answered = found.is_ok();
        let reached = found.and_then(|named| {
            // Control of the camera must be given back before it is taken anew.
            drop(old.take());
            self.named = named;
            Link::open(name, &self.named, &self.settings)
        });
        match reached {
            Ok(link) if link.looks == self.looks => {
                self.account.reconnected();
                if self.looks.is_triggered {
                    self.account.back(0.0);
                }
                self.heard_at = Instant::now();
                self.link = State::Up(link);
                return;
            }
            Ok(link) => {
                let (found, expected) = (link.looks, self.looks);
                tracing::warn!(
                    name,
                    ?found,
                    ?expected,
                    "the camera is back with other pictures, which do not belong to this roll"
                );
            }
            Err(error) if has_answered => {
                tracing::warn!(name, %error, "the camera answers and cannot be used");
            }
            Err(error) => tracing::debug!(name, %error, "the camera is still gone"),
        }
        *n_failed += 1;
        back_off.failed();
    }
}

impl Source for GenicamCamera {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let (needed, size) = (self.description.shape.n_bytes(), pool.buffer_bytes());
        if needed > size {
            return Err(CameraError::BufferTooSmall { needed, size });
        }
        loop {
            if let Some(captured) = self.account.next() {
                return Ok(Some(captured));
            }
            if self.is_over(pool) {
                self.account.end();
                return Ok(self.account.next());
            }
            self.step(pool)?;
        }
    }
}

impl Drop for GenicamCamera {
    fn drop(&mut self) {
        if let State::Up(link) = &self.link {
            self.counts.set(link.counts());
        }
        tracing::info!(
            name = self.description.name,
            counts = ?self.counts.all(),
            "the camera's stream, as Aravis counted it"
        );
    }
}

impl fmt::Debug for GenicamCamera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenicamCamera")
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// When a buffer's first packet came; a camera's own clock has no known zero.
fn taken_at(buffer: &Buffer) -> Option<SystemTime> {
    let since = Duration::from_nanos(buffer.system_timestamp());
    (!since.is_zero()).then(|| SystemTime::UNIX_EPOCH.checked_add(since))?
}
