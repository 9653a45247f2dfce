//! Video through OpenCV: opening with one named backend, and pictures as frames.
//!
//! The backend is always named (FFmpeg for files and RTSP, V4L2 for devices), so that a path or
//! an address is never taken for a numbered sequence or for a pipeline to be built. Pictures
//! come as 8 bit BGR whatever was recorded: deeper samples lose their low bits here, which
//! OpenCV 4.6 leaves no way around. Damage that a decoder conceals is not seen.

mod file;
mod stream;

pub use file::VideoFile;
pub use stream::Stream;

use opencv::core::{LogLevel, Mat, Vector, set_log_level};
use opencv::prelude::*;
use opencv::videoio::{
    CAP_FFMPEG, CAP_PROP_OPEN_TIMEOUT_MSEC, CAP_PROP_POS_MSEC, CAP_PROP_READ_TIMEOUT_MSEC,
    CAP_V4L2, VideoCapture,
};
use std::time::Duration;

use crate::{Channels, Depth, FrameShape};

/// An opened video and the picture that was read last.
struct Reader {
    capture: VideoCapture,
    /// OpenCV's own memory for one picture, used again and again.
    picture: Mat,
}

/// What a picture is before it becomes a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    width: u32,
    height: u32,
}

/// Levels by which the planes of a grey picture differ after MPEG-4; a colour camera has no
/// picture all of whose pixels are as close.
const GREY_TOLERANCE: u8 = 3;

impl Reader {
    /// Opens a file or an address with FFmpeg; `None` where it finds no video there.
    fn ffmpeg(
        place: &str,
        open_wait: Duration,
        read_wait: Duration,
    ) -> opencv::Result<Option<Self>> {
        let millis = |wait: Duration| i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let params = Vector::from_slice(&[
            CAP_PROP_OPEN_TIMEOUT_MSEC,
            millis(open_wait),
            CAP_PROP_READ_TIMEOUT_MSEC,
            millis(read_wait),
        ]);
        silence()?;
        Self::opened(VideoCapture::from_file_with_params(
            place, CAP_FFMPEG, &params,
        )?)
    }

    /// Opens a V4L2 device by number. This backend knows no timeouts but its own of 10 s.
    fn v4l2(number: u16) -> opencv::Result<Option<Self>> {
        silence()?;
        Self::opened(VideoCapture::new(i32::from(number), CAP_V4L2)?)
    }

    fn opened(capture: VideoCapture) -> opencv::Result<Option<Self>> {
        let is_open = capture.is_opened()?;
        Ok(is_open.then_some(Self {
            capture,
            picture: Mat::default(),
        }))
    }

    /// Decodes the next picture; false at the end, when it broke, or when it took too long.
    fn read(&mut self) -> opencv::Result<bool> {
        self.capture.read(&mut self.picture)
    }

    /// When the last picture stands in the video, milliseconds by the video's own clock.
    fn clock_millis(&self) -> opencv::Result<f64> {
        self.capture.get(CAP_PROP_POS_MSEC)
    }

    /// A number that the video says of itself; `None` where it is none.
    fn says(&self, property: i32) -> opencv::Result<Option<f64>> {
        let value = self.capture.get(property)?;
        Ok((value.is_finite() && value > 0.0).then_some(value))
    }

    fn size(&self) -> Size {
        let side = |n| u32::try_from(n).unwrap_or(0);
        Size {
            width: side(self.picture.cols()),
            height: side(self.picture.rows()),
        }
    }

    /// Grey where the three planes of the last picture are equal, but for what a lossy codec
    /// makes of them.
    fn channels(&self) -> opencv::Result<Channels> {
        if self.picture.channels() == 1 {
            return Ok(Channels::Grey);
        }
        let is_grey = |pixel: &[u8]| {
            let (blue, green, red) = (pixel[0], pixel[1], pixel[2]);
            let (low, high) = (blue.min(green).min(red), blue.max(green).max(red));
            high - low <= GREY_TOLERANCE
        };
        Ok(if self.bytes()?.chunks_exact(3).all(is_grey) {
            Channels::Grey
        } else {
            Channels::Rgb
        })
    }

    /// Whether every sample of the last picture is the same, so that it says nothing of colour.
    fn is_blank(&self) -> opencv::Result<bool> {
        let bytes = self.bytes()?;
        Ok(bytes.iter().all(|&sample| Some(&sample) == bytes.first()))
    }

    fn bytes(&self) -> opencv::Result<&[u8]> {
        self.picture.data_bytes()
    }

    /// Lays the last picture out as `channels` in `out`.
    fn lay_out(&self, channels: Channels, out: &mut [u8]) -> opencv::Result<()> {
        let bytes = self.bytes()?;
        match (self.picture.channels(), channels) {
            (1, Channels::Grey) => out.copy_from_slice(bytes),
            (1, Channels::Rgb) => {
                for (pixel, &grey) in out.chunks_exact_mut(3).zip(bytes) {
                    pixel.fill(grey);
                }
            }
            (_, Channels::Grey) => {
                for (grey, pixel) in out.iter_mut().zip(bytes.chunks_exact(3)) {
                    *grey = luma(pixel);
                }
            }
            (_, Channels::Rgb) => {
                for (to, pixel) in out.chunks_exact_mut(3).zip(bytes.chunks_exact(3)) {
                    to.copy_from_slice(&[pixel[2], pixel[1], pixel[0]]);
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Size {
    fn shape(self, channels: Channels) -> FrameShape {
        FrameShape {
            width: self.width,
            height: self.height,
            channels,
            depth: Depth::Eight,
        }
    }
}

/// Why a picture does not belong to its roll; `None` where it does.
fn misfit(
    reader: &Reader,
    expected: FrameShape,
    is_forced: bool,
) -> opencv::Result<Option<String>> {
    let size = reader.size();
    if size
        != (Size {
            width: expected.width,
            height: expected.height,
        })
    {
        return Ok(Some(format!(
            "found a picture of {}x{}, expected {}x{} as at the beginning",
            size.width, size.height, expected.width, expected.height
        )));
    }
    let is_foreign =
        !is_forced && expected.channels == Channels::Grey && reader.channels()? == Channels::Rgb;
    Ok(is_foreign
        .then(|| "found a picture in colour, expected grey as at the beginning".to_owned()))
}

/// Rec. 601 luma of blue, green, red, in 1/65536. The shares sum to 1, so grey stays itself.
fn luma(bgr: &[u8]) -> u8 {
    let [blue, green, red] = [bgr[0], bgr[1], bgr[2]].map(u32::from);
    ((7_471 * blue + 38_470 * green + 19_595 * red + 32_768) >> 16) as u8
}

/// OpenCV writes to standard error past our log, and what it writes could hold an address.
/// Whatever goes wrong is told by us.
fn silence() -> opencv::Result<()> {
    set_log_level(LogLevel::LOG_LEVEL_SILENT).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_is_its_own_luma() {
        for grey in 0..=255 {
            assert_eq!(luma(&[grey; 3]), grey);
        }
        assert_eq!(luma(&[255, 0, 0]), 29);
        assert_eq!(luma(&[0, 0, 255]), 76);
    }
}
