//! A network stream or a V4L2 device as a live source.
//!
//! ```text
//! address ──▶ knock ──▶ FFmpeg or V4L2 ──▶ picture ──▶ Frame
//!    ▲                        │ silent or broken
//!    └── back-off ◀───────────┴──▶ Lost, once for every `patience` that passes
//! ```
//!
//! Live and without an end: a camera that is gone is tried again for ever, ever more slowly, and
//! comes back by itself; meanwhile its cloth is lost in pieces, so that whoever listens also
//! learns of a stop. One line is one tick, nominally. What passes unseen is counted in time, by
//! the frame rate that the caller names, that was measured, or that the stream claims, in this
//! order; its length in cloth is a guess and says so. Pictures that the camera made and did not
//! send, or that were lost on their way, are told by a jump of the stream's own clock, if it has
//! one; no jump is believed that our own clock had no time for. RTSP goes over TCP wherever the camera offers it. Where it does not, FFmpeg falls back to
//! UDP; `OPENCV_FFMPEG_CAPTURE_OPTIONS=rtsp_transport;tcp` in the environment forbids that, which
//! OpenCV 4.6 offers no other way to do.
//!
//! Ends when its pool is closed or the stop signal is set, which is looked for between two reads
//! and so every `patience`, however seldom pictures come. It makes no thread, so a camera that has
//! accepted the connection and then dawdles holds it up for `open_wait` at most; a V4L2 device
//! that falls silent, for the 10 s of its backend.

use std::fmt;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use opencv::videoio::CAP_PROP_FPS;

use super::{Reader, misfit};
use crate::live::{BUFFER_WAIT, BackOff, NAP, Place, RATES, Rate, Unseen, nap_until};
use crate::video::{StreamAddress, StreamSettings};
use crate::{CameraError, Captured, Description, Frame, LostReason, Pool, Source, TicksFrom};

/// A live source over one stream.
pub struct Stream {
    address: StreamAddress,
    settings: StreamSettings,
    description: Description,
    link: Link,
    /// The reader holds a picture that was not handed out yet.
    has_waiting: bool,
    place: Place,
    rate: Rate,
    unseen: Unseen,
    /// Whether cloth is being lost now.
    is_out: bool,
    stop: Option<Arc<AtomicBool>>,
}

/// Whether there is anything to read from.
enum Link {
    Up {
        reader: Reader,
        /// Times that it let `patience` pass, in a row.
        n_silent: u32,
    },
    Down(BackOff),
}

/// Silences in a row after which a connection is given up.
const SILENCES_BORNE: u32 = 3;

impl Stream {
    /// Connects and waits for the first picture.
    ///
    /// # Errors
    /// `NoStream` where none comes within `open_wait`.
    pub fn open(address: &StreamAddress, settings: StreamSettings) -> Result<Self, CameraError> {
        let no_stream = |detail: String| CameraError::NoStream {
            name: address.to_string(),
            detail,
        };
        let by_opencv = |error: opencv::Error| no_stream(told(&error));
        let begun = Instant::now();
        let mut reader = connect(address, &settings).map_err(no_stream)?;
        // A picture of one level only says nothing of colour, so another one is waited for.
        while settings.channels.is_none()
            && reader.is_blank().map_err(by_opencv)?
            && begun.elapsed() < settings.open_wait
            && reader.read().map_err(by_opencv)?
        {}
        let channels = match settings.channels {
            Some(channels) => channels,
            None => reader.channels().map_err(by_opencv)?,
        };
        let claimed = reader.says(CAP_PROP_FPS).map_err(by_opencv)?;
        let claimed = claimed.filter(|rate| RATES.contains(rate));
        let shape = reader.size().shape(channels);
        Ok(Self {
            description: Description {
                name: address.to_string(),
                shape,
                ticks_per_line: 1,
                ticks: TicksFrom::Nominal,
                n_frames: None,
                live: true,
                continuous: false,
            },
            address: address.clone(),
            rate: Rate::new(settings.frames_per_second, claimed),
            place: Place::first(settings.camera, i64::from(shape.height)),
            settings,
            link: Link::Up {
                reader,
                n_silent: 0,
            },
            has_waiting: true,
            unseen: Unseen::from_now(),
            is_out: false,
            stop: None,
        })
    }

    /// Ends once `stop` is set, also while no picture comes.
    #[must_use]
    pub fn until(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = Some(stop);
        self
    }

    fn is_over(&self, pool: &Pool) -> bool {
        let stop = self.stop.as_ref();
        pool.is_closed() || stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// One step: a picture, a loss, or neither yet.
    fn step(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let asked = Instant::now();
        match &mut self.link {
            Link::Up { reader, n_silent } => {
                if std::mem::take(&mut self.has_waiting) {
                    return self.hand_out(pool);
                }
                // What OpenCV throws is a broken connection too.
                if reader.read().unwrap_or(false) {
                    *n_silent = 0;
                    return match self.lost_before()? {
                        None => self.hand_out(pool),
                        lost => {
                            self.has_waiting = true;
                            Ok(lost)
                        }
                    };
                }
                // An early answer is no answer: the connection broke.
                *n_silent += 1;
                let is_broken = asked.elapsed() * 4 < self.settings.patience * 3;
                if is_broken || *n_silent >= SILENCES_BORNE {
                    self.link = Link::Down(BackOff::from_now());
                }
                self.begin_outage();
                Ok(self.unseen(0.0))
            }
            &mut Link::Down(mut back_off) => {
                let tell_at = self.unseen.accounted_until() + self.settings.patience;
                nap_until(back_off.try_at().min(tell_at), || self.is_over(pool));
                if Instant::now() < back_off.try_at() || self.is_over(pool) {
                    return Ok(self.unseen(0.0));
                }
                match connect(&self.address, &self.settings) {
                    Ok(reader) => {
                        self.link = Link::Up {
                            reader,
                            n_silent: 0,
                        };
                        self.has_waiting = true;
                        self.lost_before()
                    }
                    Err(detail) => {
                        let (camera, address) = (self.settings.camera, &self.address);
                        tracing::debug!(camera, %address, detail, "the camera is still gone");
                        back_off.failed();
                        self.link = Link::Down(back_off);
                        Ok(self.unseen(0.0))
                    }
                }
            }
        }
    }

    /// What was lost before the picture that was just read, if anything.
    fn lost_before(&mut self) -> Result<Option<Captured>, CameraError> {
        let Link::Up { reader, .. } = &self.link else {
            return Ok(None);
        };
        let clock = reader.clock_millis().map_err(|error| self.fault(&error))?;
        if std::mem::take(&mut self.is_out) {
            tracing::warn!(camera = self.settings.camera, address = %self.address, "the camera is back");
            self.rate.begin_anew();
            self.rate.count(clock, Instant::now(), 1);
            // This picture stands for the last exposure of that time.
            let lost = self.unseen(1.0);
            self.unseen = Unseen::from_now();
            return Ok(lost);
        }
        let now = Instant::now();
        let n_skipped = self.rate.pass(clock, now);
        self.unseen.saw(now);
        if n_skipped == 0 {
            return Ok(None);
        }
        let detail = format!(
            "found {n_skipped} frames missing by the stream's own clock, expected {}; they were not sent or got lost on their way",
            self.rate
        );
        Ok(Some(self.lost(
            n_skipped.into(),
            LostReason::FrameLost,
            &detail,
        )))
    }

    /// The picture that the reader holds, in a buffer.
    fn hand_out(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let Link::Up { reader, .. } = &self.link else {
            return Ok(None);
        };
        let shape = self.description.shape;
        let is_forced = self.settings.channels.is_some();
        let misfit = misfit(reader, shape, is_forced).map_err(|error| self.fault(&error))?;
        if let Some(detail) = misfit {
            return Ok(Some(self.lost(1, LostReason::Unreadable, &detail)));
        }
        let Some(buffer) = pool.take_within(BUFFER_WAIT) else {
            if pool.is_closed() {
                return Ok(None);
            }
            let detail = "found no buffer free when the picture came, expected one";
            return Ok(Some(self.lost(1, LostReason::Overload, detail)));
        };
        let (sequence, ticks) = self.place.take(i64::from(shape.height));
        let mut frame = Frame::new(self.settings.camera, sequence, ticks, shape, buffer)?;
        reader
            .lay_out(shape.channels, frame.bytes_mut())
            .map_err(|error| self.fault(&error))?;
        Ok(Some(Captured::Frame(frame)))
    }

    fn begin_outage(&mut self) {
        if !std::mem::replace(&mut self.is_out, true) {
            let (camera, address) = (self.settings.camera, &self.address);
            tracing::warn!(camera, %address, "the camera is lost, trying to reach it again");
        }
    }

    /// The exposures from what is accounted for until now, but for the last `n_seen`; `None`
    /// while that is not one exposure.
    fn unseen(&mut self, n_seen: f64) -> Option<Captured> {
        let (rate, known) = match self.rate.best() {
            Some(rate) => (rate, format!("{}", self.rate)),
            None => (
                1.0 / self.settings.patience.as_secs_f64().max(1e-3),
                "an unknown frame rate, one exposure for every wait".to_owned(),
            ),
        };
        let (n, seconds) = self.unseen.take(rate, n_seen);
        (n >= 1).then(|| {
            let detail = format!(
                "found no picture for {seconds:.1} s, expected {known}; how much cloth passed is not known, this is its nominal length"
            );
            self.lost(n, LostReason::CameraLost, &detail)
        })
    }

    /// `n` exposures without pixels.
    fn lost(&mut self, n: u64, reason: LostReason, detail: &str) -> Captured {
        self.place.lost(n, reason, &self.address, detail)
    }

    fn fault(&self, error: &opencv::Error) -> CameraError {
        CameraError::NoStream {
            name: self.address.to_string(),
            detail: told(error),
        }
    }
}

impl Source for Stream {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let (needed, size) = (self.description.shape.n_bytes(), pool.buffer_bytes());
        if needed > size {
            return Err(CameraError::BufferTooSmall { needed, size });
        }
        while !self.is_over(pool) {
            if let Some(captured) = self.step(pool)? {
                return Ok(Some(captured));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("description", &self.description)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// A reader that holds its first picture, or what stood in the way.
fn connect(address: &StreamAddress, settings: &StreamSettings) -> Result<Reader, String> {
    let begun = Instant::now();
    let reader = match (address.secret_url(), address.host(), address.device()) {
        (Some(url), Some((host, port)), _) => {
            knock(host, port, settings.patience.min(settings.open_wait))?;
            Reader::ffmpeg(&url, settings.open_wait, settings.patience)
        }
        (_, _, Some(number)) => Reader::v4l2(number),
        _ => Ok(None),
    };
    let no_video = || {
        format!(
            "found nothing that can be decoded within {:.1} s, expected a video (wrong path, user or password?)",
            begun.elapsed().as_secs_f64()
        )
    };
    let mut reader = reader.map_err(|error| told(&error))?.ok_or_else(no_video)?;
    while !reader.read().map_err(|error| told(&error))? {
        if begun.elapsed() >= settings.open_wait {
            return Err(no_video());
        }
        // A connection that broke answers at once, again and again.
        std::thread::sleep(NAP);
    }
    Ok(reader)
}

/// Whether anybody answers at `host`, told sooner and better than FFmpeg does.
fn knock(host: &str, port: u16, wait: Duration) -> Result<(), String> {
    let told = |error: std::io::Error| format!("nobody answers at {host}:{port}: {error}");
    let mut last = None;
    for place in (host, port).to_socket_addrs().map_err(told)? {
        match TcpStream::connect_timeout(&place, wait) {
            Ok(_) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| format!("{host} has no address"), told))
}

/// OpenCV's own words, which hold no address.
fn told(error: &opencv::Error) -> String {
    format!("OpenCV refused with code {}", error.code)
}
