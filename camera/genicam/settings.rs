//! How a GenICam camera is to be set, before there is one to ask.

use std::fmt;
use std::time::Duration;

/// What a camera is set to when it is opened. What is left out stays as it is at the camera.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenicamSettings {
    /// Exposure time in microseconds; automatic exposure is turned off.
    pub exposure_us: Option<f64>,
    /// Gain in the camera's own unit, most often dB; automatic gain is turned off.
    pub gain: Option<f64>,
    /// Columns of a frame, pixels.
    pub width: Option<u32>,
    /// Lines of a frame.
    pub height: Option<u32>,
    /// First column of the sensor, pixels.
    pub offset_x: Option<u32>,
    /// First line of the sensor.
    pub offset_y: Option<u32>,
    /// Lines a second, of a line-scan camera that runs freely.
    pub line_rate_hz: Option<f64>,
    /// Frames a second, of an area camera that runs freely.
    pub frame_rate_hz: Option<f64>,
    /// What exposes a frame: an input of the camera, or `off` to run freely.
    pub trigger: Option<String>,
    /// Bytes of a packet, GigE Vision only; found out by trying when left out.
    pub packet_size: Option<u32>,
    /// Name of the pixel format.
    pub pixel_format: Option<String>,
    /// Encoder steps from line to line. The encoder's value then comes with each frame, in its
    /// chunk data.
    pub encoder_ticks_per_line: Option<u32>,
    /// More features, set after those above in this order.
    pub features: Vec<(String, FeatureValue)>,
}

/// What a feature of a camera is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureValue {
    /// For whole numbers, and for others too.
    Whole(i64),
    /// For numbers.
    Number(f64),
    /// For switches.
    Switch(bool),
    /// For texts, and for one of several by name.
    Text(String),
}

/// How long a camera may be silent, or not answer, before its cloth is lost.
pub(crate) const PATIENCE: Duration = Duration::from_millis(700);

/// The value of [`GenicamSettings::trigger`] that lets a camera run freely.
pub(crate) const NO_TRIGGER: &str = "off";

impl FeatureValue {
    /// As a number; `None` for what is none.
    pub(crate) fn number(&self) -> Option<f64> {
        match *self {
            Self::Number(value) => Some(value),
            Self::Whole(value) => Some(value as f64),
            Self::Switch(_) | Self::Text(_) => None,
        }
    }

    /// As a whole number; `None` for what is none.
    pub(crate) fn whole(&self) -> Option<i64> {
        match *self {
            Self::Whole(value) => Some(value),
            Self::Number(value) => (value.fract() == 0.0).then_some(value as i64),
            Self::Switch(_) | Self::Text(_) => None,
        }
    }
}

impl fmt::Display for FeatureValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Switch(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
        }
    }
}
