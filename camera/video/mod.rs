//! Video files, network streams and V4L2 devices as sources.
//!
//! ```text
//! file, RTSP, V4L2 ──▶ OpenCV, one named backend ──▶ BGR ──▶ grey or RGB ──▶ Frame | Lost
//! ```
//!
//! A [`VideoFile`] is no live source and ends with its file; a [`Stream`] is live and ends only
//! with its pool or its stop signal. Without the feature `video` the same names exist and say that they are not
//! built in. Frames that show the same cloth twice are not told apart here.

mod address;
mod container;
mod devices;

#[cfg(feature = "video")]
mod enabled;
#[cfg(feature = "video")]
pub use enabled::{Stream, VideoFile};

#[cfg(not(feature = "video"))]
mod disabled;
#[cfg(not(feature = "video"))]
pub use disabled::{Stream, VideoFile};

use std::time::Duration;

pub use address::StreamAddress;
pub use container::{Container, claims_to_be_video};
pub use devices::{DEVICES, VideoDevice, video_devices};

use crate::Channels;

/// How a stream is read. There is no right value for every camera, but these serve most.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSettings {
    /// Index of the camera in its station.
    pub camera: u16,
    /// Channels to hand out; `None` takes what the first frame shows, grey where its three
    /// planes are equal.
    pub channels: Option<Channels>,
    /// Frames a second, for what passes while the camera is gone; `None` takes what the stream
    /// says.
    pub frames_per_second: Option<f64>,
    /// How long a camera may take to answer, at first and whenever it is tried again.
    pub open_wait: Duration,
    /// How long a camera may be silent before its cloth is lost. It is also how soon a stop is
    /// noticed, at any frame rate; save while a camera that was gone is being reached, which
    /// takes `open_wait` at most, and for a V4L2 device that is silent, 10 s.
    pub patience: Duration,
}

impl StreamSettings {
    /// Five seconds to answer, a second of patience.
    pub fn new(camera: u16) -> Self {
        Self {
            camera,
            channels: None,
            frames_per_second: None,
            open_wait: Duration::from_secs(5),
            patience: Duration::from_secs(1),
        }
    }
}
