//! A video file as a source.
//!
//! ```text
//! file ──▶ first bytes ──▶ FFmpeg over the open file ──▶ picture ──▶ Frame | Lost
//! ```
//!
//! Not live: it goes as slow as the line. One line is one tick, nominally, running on from
//! picture to picture: a video says nothing of how far the cloth moved. Ends with the file.
//! Where the header announced more pictures than came, the missing ones are the last thing
//! handed out, as [`Lost`]. A picture that cannot be decoded is lost in its place. The file is
//! handed to FFmpeg by its descriptor, never by its name, which could mean something to it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opencv::videoio::{CAP_PROP_FOURCC, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT};

use super::{Reader, misfit};
use crate::video::container::{Container, beginning};
use crate::{
    CameraError, Captured, Channels, Description, Frame, Lost, LostReason, Pool, Source, TicksFrom,
};

/// A source over one video file.
pub struct VideoFile {
    camera: u16,
    description: Description,
    path: PathBuf,
    origin: Arc<str>,
    written_at: SystemTime,
    reader: Reader,
    /// Whether the caller said which channels there are.
    is_forced: bool,
    /// Pictures that the header announces.
    announced: Option<u64>,
    /// Pictures a second, where their clock tells which one is missing.
    steady_rate: Option<f64>,
    next_sequence: u64,
    n_came: u64,
    /// A picture waits in the reader behind one that was lost.
    has_waiting: bool,
    has_ended: bool,
}

/// Pictures looked at before a video is called grey.
const N_PREVIEWED: usize = 8;
/// A file answers at once or not at all.
const FILE_WAIT: Duration = Duration::from_secs(30);
/// Pictures in a row that cannot be decoded, after which the file is taken to have ended.
const MOST_REFUSED: u64 = 64;
/// More pictures than any roll has: a header that says so is damaged.
const MOST_FRAMES: f64 = 1e9;

impl VideoFile {
    /// Opens a video file for the camera with this index. `channels` of `None` takes grey where
    /// the three planes of the first pictures are equal.
    ///
    /// # Errors
    /// `NoVideo` with what was found in the file.
    pub fn open(path: &Path, camera: u16, channels: Option<Channels>) -> Result<Self, CameraError> {
        let no_video = |detail: String| CameraError::NoVideo {
            path: path.into(),
            detail,
        };
        let by_opencv = |error: opencv::Error| no_video(format!("OpenCV: {}", error.message));
        if path.exists() && !path.is_file() {
            return Err(no_video("found no regular file, expected one".to_owned()));
        }
        let (file, container) = opened(path).map_err(no_video)?;
        // The name of an open descriptor is no pattern, no scheme and no play list.
        let place = format!("/proc/self/fd/{}", file.as_raw_fd());
        let open = || {
            Reader::ffmpeg(&place, FILE_WAIT, FILE_WAIT)
                .map_err(by_opencv)?
                .ok_or_else(|| {
                    no_video(format!(
                        "found {container:?} without a video that can be decoded, expected one (it may be cut off or damaged)"
                    ))
                })
        };
        let mut preview = open()?;
        let announced = announced(&preview, container).map_err(by_opencv)?;
        if !preview.read().map_err(by_opencv)? {
            return Err(no_video(format!(
                "found no picture that can be decoded, expected {}; codec {}",
                announced.map_or("at least one".to_owned(), |n| format!("{n} as announced")),
                codec(&preview).map_err(by_opencv)?,
            )));
        }
        let size = preview.size();
        let shape = match channels {
            Some(channels) => size.shape(channels),
            None => size.shape(usual_channels(&mut preview).map_err(by_opencv)?),
        };
        drop(preview);
        let reader = open()?;
        let rate = reader.says(CAP_PROP_FPS).map_err(by_opencv)?;
        let written = file.metadata().and_then(|metadata| metadata.modified());
        Ok(Self {
            camera,
            description: Description {
                name: path.display().to_string(),
                shape,
                ticks_per_line: 1,
                ticks: TicksFrom::Nominal,
                n_frames: announced,
                live: false,
                continuous: false,
            },
            path: path.into(),
            origin: path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into(),
            written_at: written.unwrap_or(SystemTime::UNIX_EPOCH),
            reader,
            is_forced: channels.is_some(),
            announced,
            steady_rate: rate.filter(|_| container == Container::Avi),
            next_sequence: 0,
            n_came: 0,
            has_waiting: false,
            has_ended: false,
        })
    }

    /// The next picture into the reader; what is missing before it or instead of it.
    fn advance(&mut self) -> opencv::Result<Option<(u64, String)>> {
        if std::mem::take(&mut self.has_waiting) {
            return Ok(None);
        }
        // One refusal is one picture that cannot be decoded; at the end they never stop.
        let mut n_refused = 0;
        while !self.reader.read()? {
            n_refused += 1;
            if n_refused == MOST_REFUSED {
                self.has_ended = true;
                return Ok(self.missing_at_end());
            }
        }
        self.n_came += 1;
        let by_clock = self.missing_by_clock()?;
        let missing = by_clock.max(n_refused);
        if missing == 0 {
            return Ok(None);
        }
        self.has_waiting = true;
        let place = self.next_sequence + missing;
        let detail = format!(
            "found picture {place}, expected {}; what lies between cannot be decoded",
            self.next_sequence
        );
        Ok(Some((missing, detail)))
    }

    /// What the header announced beyond what came.
    fn missing_at_end(&self) -> Option<(u64, String)> {
        let announced = self.announced?;
        let missing = announced.saturating_sub(self.next_sequence);
        let detail = format!(
            "found {} pictures, expected {announced} as its header announces; the file is cut off or damaged",
            self.n_came
        );
        (missing > 0).then_some((missing, detail))
    }

    /// Pictures between the last one and this one, where the rate is steady.
    fn missing_by_clock(&self) -> opencv::Result<u64> {
        let Some(rate) = self.steady_rate else {
            return Ok(0);
        };
        let place = (self.reader.clock_millis()? * rate / 1e3).round();
        // A clock beyond the announced end tells nothing.
        let is_inside = place >= 0.0 && place < self.announced.unwrap_or(0) as f64;
        Ok(if is_inside {
            (place as u64).saturating_sub(self.next_sequence)
        } else {
            0
        })
    }

    /// `n` pictures that are not there.
    fn lost(&mut self, n: u64, detail: &str) -> Captured {
        let height = i64::from(self.description.shape.height);
        let start = self.next_sequence as i64 * height;
        let lost = Lost {
            camera: self.camera,
            sequence: self.next_sequence,
            ticks: start..start + n as i64 * height,
            reason: LostReason::Unreadable,
            detail: format!("{:?}: {detail}", self.origin),
            origin: Some(Arc::clone(&self.origin)),
        };
        self.next_sequence += n;
        Captured::Lost(lost)
    }
}

impl Source for VideoFile {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let path = self.path.clone();
        let by_opencv = |error: opencv::Error| CameraError::NoVideo {
            path: path.clone(),
            detail: format!("OpenCV: {}", error.message),
        };
        if self.has_ended {
            return Ok(None);
        }
        let shape = self.description.shape;
        let (needed, size) = (shape.n_bytes(), pool.buffer_bytes());
        if needed > size {
            return Err(CameraError::BufferTooSmall { needed, size });
        }
        if let Some((n, detail)) = self.advance().map_err(by_opencv)? {
            return Ok(Some(self.lost(n, &detail)));
        }
        if self.has_ended {
            return Ok(None);
        }
        if let Some(detail) = misfit(&self.reader, shape, self.is_forced).map_err(by_opencv)? {
            return Ok(Some(self.lost(1, &detail)));
        }
        let Some(buffer) = pool.take() else {
            return Ok(None);
        };
        let height = i64::from(shape.height);
        let start = self.next_sequence as i64 * height;
        let ticks = start..start + height;
        let mut frame = Frame::new(self.camera, self.next_sequence, ticks, shape, buffer)?;
        self.reader
            .lay_out(shape.channels, frame.bytes_mut())
            .map_err(by_opencv)?;
        frame.taken_at = self.written_at;
        frame.origin = Some(Arc::clone(&self.origin));
        self.next_sequence += 1;
        Ok(Some(Captured::Frame(frame)))
    }
}

impl fmt::Debug for VideoFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VideoFile")
            .field("description", &self.description)
            .field("next_sequence", &self.next_sequence)
            .finish_non_exhaustive()
    }
}

/// The file and what it is packed in, or why it is no video.
fn opened(path: &Path) -> Result<(File, Container), String> {
    let told = |error: std::io::Error| format!("{error}; expected a video file");
    let mut file = File::open(path).map_err(told)?;
    if let Some(container) = Container::of(&mut file).map_err(told)? {
        return Ok((file, container));
    }
    let mut head = Vec::new();
    let again = File::open(path).and_then(|file| file.take(16).read_to_end(&mut head));
    again.map_err(told)?;
    Err(format!(
        "it begins with {}, expected AVI, MP4, Matroska, MPEG, Ogg, FLV or ASF",
        beginning(&head)
    ))
}

fn announced(reader: &Reader, container: Container) -> opencv::Result<Option<u64>> {
    if !container.announces_frames() {
        return Ok(None);
    }
    let n = reader.says(CAP_PROP_FRAME_COUNT)?;
    Ok(n.filter(|&n| n < MOST_FRAMES).map(|n| n.round() as u64))
}

fn codec(reader: &Reader) -> opencv::Result<String> {
    let code = reader.says(CAP_PROP_FOURCC)?.unwrap_or(0.0) as u32;
    let text = code.to_le_bytes();
    Ok(if text.iter().all(u8::is_ascii_graphic) {
        format!("{:?}", String::from_utf8_lossy(&text))
    } else {
        "unknown".to_owned()
    })
}

/// Colour where any of the first pictures shows it. A video may begin black, so pictures of one
/// level only are no evidence, but there may be nothing else.
fn usual_channels(preview: &mut Reader) -> opencv::Result<Channels> {
    let mut n_seen = 0;
    for _ in 0..16 * N_PREVIEWED {
        if preview.channels()? == Channels::Rgb {
            return Ok(Channels::Rgb);
        }
        n_seen += usize::from(!preview.is_blank()?);
        if n_seen == N_PREVIEWED || !preview.read()? {
            break;
        }
    }
    Ok(Channels::Grey)
}
