//! The table `[lane.camera]` of a station file: what a GenICam camera is set to.
//!
//! ```toml
//! [lane.camera]
//! pixel_format = "Mono8"     # Mono8, Mono10, Mono12, Mono16, their p and Packed forms, RGB8, BGR8
//! width = 2048               # pixels; with offset_x where on the sensor
//! height = 1024              # lines; with offset_y
//! exposure_us = 40.0         # turns automatic exposure off
//! gain = 3.0                 # in the camera's own unit; turns automatic gain off
//! line_rate_hz = 10000.0     # a line-scan camera that runs freely …
//! frame_rate_hz = 20.0       # … or an area camera
//! trigger = "Line1"          # the input that exposes, or "off"
//! packet_size = 8000         # bytes, GigE Vision
//! encoder_ticks_per_line = 4 # the camera sends its encoder's value in chunk data
//! [lane.camera.features]     # whatever else it has, set last and in this order
//! GammaEnable = false
//! ```
//!
//! Every key may be left out; the camera then stays as it is. Here only is looked at what needs no
//! camera; what the camera takes it says itself, when it is opened.

use std::ops::RangeInclusive;

use anyhow::{bail, ensure};
use camera::{FeatureValue, GenicamSettings};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCamera {
    exposure_us: Option<f64>,
    gain: Option<f64>,
    width: Option<u32>,
    height: Option<u32>,
    offset_x: Option<u32>,
    offset_y: Option<u32>,
    line_rate_hz: Option<f64>,
    frame_rate_hz: Option<f64>,
    trigger: Option<String>,
    packet_size: Option<u32>,
    pixel_format: Option<String>,
    encoder_ticks_per_line: Option<u32>,
    #[serde(default)]
    features: toml::Table,
}

/// From a tenth of a microsecond to a minute.
const EXPOSURES_US: RangeInclusive<f64> = 0.1..=6e7;
/// No camera has a gain beyond, in whatever unit.
const GAINS: RangeInclusive<f64> = -1e6..=1e6;
/// From a line in 100 s to more than any sensor reads out.
const RATES_HZ: RangeInclusive<f64> = 0.01..=1e7;
/// A sensor's sides.
const SIDES: RangeInclusive<u32> = 1..=65_536;
/// Encoder steps of a line.
const TICKS: RangeInclusive<u32> = 1..=1_000_000;

impl RawCamera {
    /// The settings; `key` is the table's name.
    pub(super) fn checked(&self, key: &str) -> anyhow::Result<GenicamSettings> {
        within(key, "exposure_us", self.exposure_us, EXPOSURES_US)?;
        within(key, "gain", self.gain, GAINS)?;
        within(key, "line_rate_hz", self.line_rate_hz, RATES_HZ)?;
        within(key, "frame_rate_hz", self.frame_rate_hz, RATES_HZ)?;
        within(key, "width", self.width, SIDES)?;
        within(key, "height", self.height, SIDES)?;
        within(
            key,
            "encoder_ticks_per_line",
            self.encoder_ticks_per_line,
            TICKS,
        )?;
        ensure!(
            self.line_rate_hz.is_none() || self.frame_rate_hz.is_none(),
            "found both {key}.line_rate_hz and {key}.frame_rate_hz, expected the one that the camera has"
        );
        let features = self.features.iter();
        let features = features.map(|(name, value)| Ok((name.clone(), feature(key, name, value)?)));
        Ok(GenicamSettings {
            exposure_us: self.exposure_us,
            gain: self.gain,
            width: self.width,
            height: self.height,
            offset_x: self.offset_x,
            offset_y: self.offset_y,
            line_rate_hz: self.line_rate_hz,
            frame_rate_hz: self.frame_rate_hz,
            trigger: self.trigger.clone(),
            packet_size: self.packet_size,
            pixel_format: self.pixel_format.clone(),
            encoder_ticks_per_line: self.encoder_ticks_per_line,
            features: features.collect::<anyhow::Result<_>>()?,
        })
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    table: &str,
    key: &str,
    value: Option<T>,
    range: RangeInclusive<T>,
) -> anyhow::Result<()> {
    if let Some(value) = value.filter(|value| !range.contains(value)) {
        bail!(
            "found {table}.{key} = {value}, expected {} to {}",
            range.start(),
            range.end()
        );
    }
    Ok(())
}

fn feature(table: &str, name: &str, value: &toml::Value) -> anyhow::Result<FeatureValue> {
    Ok(match value {
        toml::Value::Integer(value) => FeatureValue::Whole(*value),
        toml::Value::Float(value) if value.is_finite() => FeatureValue::Number(*value),
        toml::Value::Boolean(value) => FeatureValue::Switch(*value),
        toml::Value::String(value) => FeatureValue::Text(value.clone()),
        toml::Value::Float(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => bail!(
            "found {table}.features.{name} as {}, expected a finite number, a text, true or false",
            value.type_str()
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Station;

    fn camera(table: &str) -> anyhow::Result<GenicamSettings> {
        let text = format!("[[lane]]\nmm_per_px = 0.2\n[lane.camera]\n{table}");
        Station::parse(&text, Path::new("")).map(|mut station| station.lanes.remove(0).camera)
    }

    #[test]
    fn what_is_not_named_stays_as_it_is_at_the_camera() {
        assert_eq!(camera("").unwrap(), GenicamSettings::default());
        let station = Station::parse("[[lane]]\nmm_per_px = 0.2\n", Path::new("")).unwrap();
        assert_eq!(station.lanes[0].camera, GenicamSettings::default());
    }

    #[test]
    fn features_keep_their_order_and_their_kinds() {
        let settings = camera(
            "exposure_us = 40\n[lane.camera.features]\nZeta = 1\nGainSelector = 'All'\nAlpha = 2.5\nGammaEnable = false\n",
        )
        .unwrap();
        assert_eq!(settings.exposure_us, Some(40.0));
        let text = FeatureValue::Text("All".to_owned());
        let expected = [
            ("Zeta", FeatureValue::Whole(1)),
            ("GainSelector", text),
            ("Alpha", FeatureValue::Number(2.5)),
            ("GammaEnable", FeatureValue::Switch(false)),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(settings.features, expected);
    }

    #[test]
    fn what_no_camera_can_be_set_to_is_refused_with_key_and_range() {
        for (table, said) in [
            (
                "exposure = 3\n",
                "unknown field `exposure`, expected one of `exposure_us`, `gain`",
            ),
            (
                "exposure_us = 0\n",
                "lane 1: camera.exposure_us = 0, expected 0.1 to 60000000",
            ),
            ("gain = nan\n", "camera.gain = NaN, expected"),
            ("width = 0\n", "camera.width = 0, expected 1 to 65536"),
            ("width = -1\n", "width"),
            ("line_rate_hz = 5\nframe_rate_hz = 5\n", "found both"),
            (
                "features = { A = [1] }\n",
                "features.A as array, expected a finite number",
            ),
        ] {
            let error = format!("{:#}", camera(table).unwrap_err());
            assert!(error.contains(said), "{table}: {error}");
        }
    }
}
