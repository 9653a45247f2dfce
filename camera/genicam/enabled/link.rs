//! One connection to a camera: control of it, its settings, its stream of buffers.
//!
//! Ends when it is dropped: the camera stops, and control of it is given back. Where the camera
//! does not answer any more, giving back takes Aravis some seconds; so a link that broke is better
//! kept until somebody answers again.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aravis::glib::Type;
use aravis::prelude::*;
use aravis::{
    AcquisitionMode, Buffer, BufferPayloadType, Camera, ChunkParser, Device,
    PixelFormat as PixelCode, Stream,
};

use super::discovery::{Named, open};
use super::features::Setter;
use super::knock::{Answer, knock};
use crate::genicam::pixels::PixelFormat;
use crate::genicam::settings::{GenicamSettings, NO_TRIGGER};
use crate::{CameraError, FrameShape};

/// A camera under control.
pub(super) struct Link {
    /// Where it is, for GigE Vision.
    pub(super) host: Option<Ipv4Addr>,
    pub(super) looks: Looks,
    /// Frames a second as the camera says, if it does.
    pub(super) claimed_rate: Option<f64>,
    /// The pixel format, as buffers tell it.
    code: PixelCode,
    control_lost: Arc<AtomicBool>,
    is_acquiring: bool,
    /// Reads encoder values.
    chunks: Option<ChunkParser>,
    /// Before the device and the camera, which must outlive it.
    stream: Stream,
    device: Device,
    camera: Camera,
}

/// What its frames are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Looks {
    pub(super) format: PixelFormat,
    pub(super) shape: FrameShape,
    /// Its frames are blocks of lines that follow each other.
    pub(super) is_line_scan: bool,
    /// It exposes when it is told to, and may be silent as long as nobody tells it.
    pub(super) is_triggered: bool,
}

/// The lines of a frame that came, as the camera laid them.
pub(super) struct Lines {
    /// Lines that the camera says the frame has.
    pub(super) height: u32,
    /// Bytes of a line, and from line to line.
    pub(super) line: usize,
    pub(super) stride: usize,
    /// All bytes that came.
    pub(super) bytes: Vec<u8>,
}

/// Memory for frames that are on their way, and how many there are at least and at most.
const BUFFER_BYTES: usize = 128 << 20;
const BUFFERS: (usize, usize) = (4, 32);
/// Frames of more bytes are no camera's.
const MOST_BYTES: usize = 1 << 30;

impl Link {
    /// Takes control of the camera that is called `name`, and sets it up; it does not send yet.
    ///
    /// # Errors
    /// `NoCamera` and `CameraSetting`.
    pub(super) fn open(
        name: &str,
        named: &Named,
        settings: &GenicamSettings,
    ) -> Result<Self, CameraError> {
        let fault = |detail: String| CameraError::NoCamera {
            name: name.to_owned(),
            detail,
        };
        let by_camera = |error: aravis::glib::Error| fault(error.message().to_owned());
        if named.host.map(knock) == Some(Answer::Controlled) {
            return Err(fault(
                "found it controlled by somebody else, or by a program that ended just now; expected it free".to_owned(),
            ));
        }
        let camera = open(named).map_err(by_camera)?;
        let device = camera.device();
        let device = device.ok_or_else(|| fault("found no device behind it".to_owned()))?;
        let control_lost = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&control_lost);
        device.connect_control_lost(move |_| flag.store(true, Ordering::Relaxed));
        // Left on by whoever had it before: its features are locked while it runs.
        camera.stop_acquisition().map_err(by_camera)?;
        let setter = Setter {
            camera: &camera,
            name,
        };
        setter.set_all(settings)?;
        camera
            .set_acquisition_mode(AcquisitionMode::Continuous)
            .map_err(by_camera)?;
        let looks = looks(&camera, settings).map_err(fault)?;
        let payload = camera.payload().map_err(by_camera)? as usize;
        if payload == 0 || payload > MOST_BYTES {
            return Err(fault(format!(
                "found frames of {payload} bytes, expected 1 to {MOST_BYTES}"
            )));
        }
        let stream = camera.create_stream().map_err(by_camera)?;
        for _ in 0..(BUFFER_BYTES / payload).clamp(BUFFERS.0, BUFFERS.1) {
            stream.push_buffer(Buffer::new_allocate(payload));
        }
        let chunks = match settings.encoder_ticks_per_line {
            None => None,
            Some(_) => Some(camera.create_chunk_parser().ok_or_else(|| {
                fault("found no description of its chunk data, expected one".to_owned())
            })?),
        };
        Ok(Self {
            host: named.host,
            looks,
            claimed_rate: claimed_rate(&camera, settings, looks.shape),
            code: camera.pixel_format().map_err(by_camera)?,
            control_lost,
            is_acquiring: false,
            chunks,
            stream,
            device,
            camera,
        })
    }

    /// The next buffer, if one comes within `wait`. The camera is started where it was not yet.
    ///
    /// # Errors
    /// What the camera says when it is started.
    pub(super) fn take(&mut self, wait: Duration) -> Result<Option<Buffer>, String> {
        if !self.is_acquiring {
            let started = self.camera.start_acquisition();
            started.map_err(|error| error.message().to_owned())?;
            self.is_acquiring = true;
        }
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Ok(self.stream.timeout_pop_buffer(wait))
    }

    /// Gives a buffer back to be filled again.
    pub(super) fn give_back(&self, buffer: Buffer) {
        self.stream.push_buffer(buffer);
    }

    /// Whether the camera is there, and still ours.
    pub(super) fn is_present(&self) -> bool {
        if self.control_lost.load(Ordering::Relaxed) {
            return false;
        }
        match self.host {
            Some(host) => knock(host) == Answer::Controlled,
            // The first register of any USB3 Vision camera; one that was pulled out answers at once.
            None => self.device.read_register(0).is_ok(),
        }
    }

    /// The lines of a buffer that came complete, or why they do not belong to these frames.
    pub(super) fn lines(&self, buffer: &Buffer) -> Result<Lines, String> {
        let payload = buffer.payload_type();
        let is_image = matches!(
            payload,
            BufferPayloadType::Image
                | BufferPayloadType::ExtendedChunkData
                | BufferPayloadType::ChunkData
        );
        if !is_image || buffer.n_parts() != 1 {
            return Err(format!(
                "found {} parts of kind {payload:?}, expected one image",
                buffer.n_parts()
            ));
        }
        let Looks { format, shape, .. } = self.looks;
        let (width, height) = (buffer.image_width(), buffer.image_height());
        let code = buffer.image_pixel_format();
        let is_misfit = i64::from(width) != i64::from(shape.width)
            || !self.looks.takes_height(height)
            || code != self.code;
        if is_misfit {
            return Err(format!(
                "found a picture of {width}x{height} and pixel format {:#010x}, expected {}x{} {format} as at the beginning",
                code.raw(),
                shape.width,
                shape.height
            ));
        }
        let (padding, _) = buffer.image_padding();
        let line = format.line_bytes(shape.width).unwrap_or(usize::MAX);
        Ok(Lines {
            height: height.unsigned_abs(),
            line,
            stride: line.saturating_add(padding.unsigned_abs() as usize).max(1),
            bytes: buffer.image_data(),
        })
    }

    /// The encoder's value that came with a complete buffer.
    pub(super) fn encoder(&self, buffer: &Buffer) -> Option<Result<i64, String>> {
        let chunks = self.chunks.as_ref()?;
        if !buffer.has_chunks() {
            return Some(Err(
                "found no chunk data, expected the encoder's value".to_owned()
            ));
        }
        let value = chunks.integer_value(buffer, "ChunkEncoderValue");
        Some(value.map_err(|error| error.message().to_owned()))
    }

    /// Everything that Aravis counts of this stream.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        let ids = 0..self.stream.n_infos();
        let count = |id| {
            let is_count = self.stream.info_type(id) == Type::U64;
            let name = self.stream.info_name(id).filter(|_| is_count)?;
            Some((name.to_string(), self.stream.info_uint64(id)))
        };
        ids.filter_map(count).collect()
    }
}

impl Lines {
    /// How many of them came whole; the last one may lack its padding.
    pub(super) fn n_whole(&self) -> u32 {
        let n = (self.bytes.len() + self.stride).saturating_sub(self.line) / self.stride;
        u32::try_from(n).unwrap_or(u32::MAX).min(self.height)
    }
}

impl Looks {
    /// A block of lines may be shorter, a picture may not.
    fn takes_height(&self, height: i32) -> bool {
        let whole = i64::from(self.shape.height);
        let height = i64::from(height);
        height == whole || self.is_line_scan && (1..whole).contains(&height)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // One that is gone would only be waited for.
        if self.is_acquiring
            && self.is_present()
            && let Err(error) = self.camera.stop_acquisition()
        {
            tracing::debug!(error = error.message(), "the camera was not stopped");
        }
    }
}

/// What the camera says of its frames.
fn looks(camera: &Camera, settings: &GenicamSettings) -> Result<Looks, String> {
    let told = |error: aravis::glib::Error| error.message().to_owned();
    let name = camera.pixel_format_as_string().map_err(told)?;
    let format = PixelFormat::named(&name).ok_or_else(|| {
        format!(
            "found pixel format {name:?}, expected one of {}; pixel_format in the station file chooses one",
            PixelFormat::names()
        )
    })?;
    let (_, _, width, height) = camera.region().map_err(told)?;
    let shape = match (u32::try_from(width), u32::try_from(height)) {
        (Ok(width @ 1..), Ok(height @ 1..)) => format.shape(width, height),
        _ => {
            return Err(format!(
                "found a picture of {width}x{height}, expected pixels"
            ));
        }
    };
    if format.line_bytes(shape.width).is_none() {
        return Err(format!(
            "found lines of {width} pixels in {format}, expected a multiple of {}: a line must not end within a byte",
            format.group().0
        ));
    }
    let says = |feature: &str| {
        let is_there = camera.is_feature_available(feature).unwrap_or(false);
        is_there.then(|| camera.string(feature).ok()).flatten()
    };
    let is_line_scan = settings.line_rate_hz.is_some()
        || says("DeviceScanType").is_some_and(|kind| kind.eq_ignore_ascii_case("linescan"));
    let is_triggered = match &settings.trigger {
        Some(trigger) => trigger != NO_TRIGGER,
        None => says("TriggerMode").is_some_and(|mode| mode == "On"),
    };
    Ok(Looks {
        format,
        shape,
        is_line_scan,
        is_triggered,
    })
}

/// Frames a second by the camera's own word.
fn claimed_rate(camera: &Camera, settings: &GenicamSettings, shape: FrameShape) -> Option<f64> {
    let rate = match settings.line_rate_hz {
        Some(lines) => lines / f64::from(shape.height),
        None if camera.is_frame_rate_available().unwrap_or(false) => camera.frame_rate().ok()?,
        None => return None,
    };
    crate::live::RATES.contains(&rate).then_some(rate)
}
