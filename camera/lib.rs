//! Cameras: pixels and time.
//!
//! ```text
//! Source ──▶ capture ──▶ Captured (Frame | Lost)
//!    ▲                      │
//!    └──── Pool ◀── drop ───┘
//! ```
//!
//! A source hands out its exposures one after the other, each in a buffer from a
//! fixed pool, each with its sequence number and its encoder ticks. An exposure
//! that could not be had is handed out as [`Lost`], with its place: a frame never
//! disappears. A source ends with `None`. Nothing here knows a millimetre, makes a
//! thread or a channel.

pub mod capture;
pub mod faults;
pub mod frame;
pub mod genicam;
pub mod images;
#[cfg(any(feature = "genicam", feature = "video"))]
#[cfg_attr(
    not(feature = "video"),
    allow(dead_code, reason = "only a stream has a clock to tell losses by")
)]
mod live;
pub mod loom;
pub mod paced;
pub mod pool;
pub mod video;
pub mod woven;

use std::io;
use std::path::PathBuf;

pub use capture::{CaptureCounts, Ending, capture};
pub use faults::{Fault, Faulty};
pub use frame::{Captured, Channels, Depth, Frame, FrameShape, Lost, LostReason};
pub use genicam::{
    CameraInfo, FeatureValue, GenicamCamera, GenicamCounts, GenicamSettings, cameras,
};
pub use images::{ImageFolder, image_files, load_image};
pub use loom::{
    Beside, Dyes, FlawKind, FlawWish, LaneView, Loom, LoomSettings, LoomWeb, PlantedFlaw,
    SpeedStep, Weave,
};
pub use paced::{Clock, Paced, SystemClock};
pub use pool::{Buffer, Pool};
pub use video::{Stream, StreamAddress, StreamSettings, VideoFile, claims_to_be_video};
pub use woven::Woven;

/// Something that exposes frames: a folder of images, a simulated loom, a camera.
pub trait Source: Send {
    /// What the frames of this source are like; it does not change while the source lives.
    fn description(&self) -> &Description;

    /// The next exposure, or `None` at the end or when `pool` was closed.
    ///
    /// Blocks on the pool while all its buffers are out. An exposure that cannot be had
    /// is `Captured::Lost` and the source goes on.
    ///
    /// # Errors
    /// Only what ends the whole source, such as a pool whose buffers are too small.
    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn description(&self) -> &Description {
        (**self).description()
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        (**self).next(pool)
    }
}

/// What a source says of its frames before the first one comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Name for people: a path, `loom:7`, a camera's name.
    pub name: String,
    /// Shape of the frames. A frame may be lower (a last, shorter block), never higher
    /// and never of another width, channel count or depth.
    pub shape: FrameShape,
    /// Ticks from one line to the next.
    pub ticks_per_line: i64,
    /// What counts the ticks.
    pub ticks: TicksFrom,
    /// Number of exposures from first to last, lost ones included, where it is known.
    pub n_frames: Option<u64>,
    /// True where exposures come whether or not anyone is ready for them.
    pub live: bool,
    /// True where cloth goes on from one exposure to the next by construction, as from block to
    /// block of a line-scan camera, as long as sequence numbers and ticks do. False where
    /// pictures may have been taken anywhere.
    pub continuous: bool,
}

/// What a source's ticks were counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicksFrom {
    /// An encoder on the web: ticks say how far the cloth ran.
    Encoder,
    /// Nobody: lines are numbered on from exposure to exposure, as if the cloth ran on evenly.
    Nominal,
}

/// Why a source cannot be opened, or ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// The path does not exist or may not be read.
    #[error("cannot open {path:?}: {error}; expected an image file or a folder of images")]
    CannotOpen {
        /// What was to be opened.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The folder holds no file that claims to be an image.
    #[error(
        "no images in {path:?} (found {found}); expected png, jpeg, tiff, bmp or webp files directly in the folder, sub-folders are not searched"
    )]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// What lies there instead, in words.
        found: String,
    },
    /// There are image files, and not one can be read.
    #[error("none of the {n_files} image files of {path:?} can be read; the first: {first}")]
    NoReadableImage {
        /// The folder or the file.
        path: PathBuf,
        /// How many files were tried.
        n_files: usize,
        /// What is wrong with the first one.
        first: String,
    },
    /// One image that was asked for by name cannot be read.
    #[error("{path:?} is unreadable: {detail}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
    /// A frame does not fit into a buffer of the pool.
    #[error("a frame of {needed} bytes does not fit the pool's buffers of {size} bytes")]
    BufferTooSmall {
        /// Bytes of the frame.
        needed: usize,
        /// Bytes of a buffer.
        size: usize,
    },
    /// A camera does not answer any more and will not come back by itself.
    #[error("camera {name:?} is gone since tick {tick}; expected it to go on exposing")]
    CameraGone {
        /// Name of the source.
        name: String,
        /// Encoder tick from which on nothing came.
        tick: i64,
    },
    /// A source cannot be paced like this.
    #[error("line rate is {found} lines per second, expected 1 to 10000000")]
    LineRate {
        /// The value given.
        found: String,
    },
    /// There was nothing to keep in memory.
    #[error("{name:?} exposed nothing, expected at least one frame to keep")]
    NothingWoven {
        /// Name of the source.
        name: String,
    },
    /// A file that cannot be read as a video.
    #[error("cannot read {path:?} as video: {detail}")]
    NoVideo {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
    /// A stream that did not begin.
    #[error("no picture from {name}: {detail}")]
    NoStream {
        /// Its address, without user and password.
        name: String,
        /// What was found and what was expected.
        detail: String,
    },
    /// An address that is no stream's, or that could mean more than a stream.
    #[error("found address {found:?}, expected {expected}")]
    StreamAddress {
        /// The address, without user and password.
        found: String,
        /// How an address looks.
        expected: &'static str,
    },
    /// A GenICam camera that is not there, or does not do what was asked of it.
    #[error("camera {name:?}: {detail}")]
    NoCamera {
        /// How it was named.
        name: String,
        /// What was found and what was expected.
        detail: String,
    },
    /// A setting that a GenICam camera refuses, or takes as another value.
    #[error("camera {name:?}: found {key} = {found}, expected {expected}")]
    CameraSetting {
        /// How the camera was named.
        name: String,
        /// Name of the setting, or of the camera's own feature.
        key: String,
        /// The value asked for.
        found: String,
        /// What the camera takes.
        expected: String,
    },
    /// How far cloth moved could not be worked out, for a reason that lies in no picture.
    #[error("the movement between two pictures cannot be measured: {detail}")]
    Shift {
        /// What refused, and why.
        detail: String,
    },
    /// The program was built without what this needs.
    #[error("this build has no {feature}; expected one with the feature {feature:?}")]
    NotBuiltIn {
        /// Name of the feature.
        feature: &'static str,
    },
    /// A setting of the simulated loom is out of range.
    #[error("loom: {key} is {found}, expected {expected}")]
    LoomSetting {
        /// Name of the setting.
        key: &'static str,
        /// The value given.
        found: String,
        /// The range allowed.
        expected: &'static str,
    },
}
