//! Setting a camera's features, and looking at what it made of them.
//!
//! ```text
//! setting ──▶ feature of that name ──▶ kind, range ──▶ set ──▶ read back
//!                  none: refused      outside: refused          other: refused, or told
//! ```
//!
//! A number that a camera rounds by a hundredth at most is taken, and told; everything else that
//! comes out differently than it was asked for is refused, because cloth would be seen otherwise
//! than the operator believes.

use aravis::glib;
use aravis::glib::object::ObjectExt;
use aravis::prelude::*;
use aravis::{Camera, GcBoolean, GcCommand, GcEnumeration, GcFloat, GcInteger, GcString};

use crate::CameraError;
use crate::genicam::pixels::PixelFormat;
use crate::genicam::settings::{FeatureValue, GenicamSettings, NO_TRIGGER};

/// Part of a number by which a camera may round it.
const ROUNDED: f64 = 0.01;
/// Packets that GigE Vision knows, bytes.
const PACKET_SIZES: std::ops::RangeInclusive<u32> = 576..=16_110;

/// A camera to be set, under the name by which it is known to people.
pub(super) struct Setter<'a> {
    pub(super) camera: &'a Camera,
    pub(super) name: &'a str,
}

impl Setter<'_> {
    /// Sets everything that `settings` names.
    ///
    /// # Errors
    /// `CameraSetting` with what was asked for and what the camera takes.
    pub(super) fn set_all(&self, settings: &GenicamSettings) -> Result<(), CameraError> {
        if let Some(format) = &settings.pixel_format {
            self.must_have_format(format)?;
            self.set("pixel_format", &["PixelFormat"], &text(format))?;
        }
        self.set_side(
            "width",
            "Width",
            settings.width,
            "offset_x",
            "OffsetX",
            settings.offset_x,
        )?;
        self.set_side(
            "height",
            "Height",
            settings.height,
            "offset_y",
            "OffsetY",
            settings.offset_y,
        )?;
        if let Some(exposure_us) = settings.exposure_us {
            self.turn("exposure_us", &["ExposureAuto"], &text("Off"))?;
            let names = ["ExposureTime", "ExposureTimeAbs"];
            self.set("exposure_us", &names, &FeatureValue::Number(exposure_us))?;
        }
        if let Some(gain) = settings.gain {
            self.turn("gain", &["GainAuto"], &text("Off"))?;
            let names = ["Gain", "GainAbs", "GainRaw"];
            self.set("gain", &names, &FeatureValue::Number(gain))?;
        }
        let on = FeatureValue::Switch(true);
        if let Some(rate) = settings.frame_rate_hz {
            let switches = ["AcquisitionFrameRateEnable", "AcquisitionFrameRateEnabled"];
            self.turn("frame_rate_hz", &switches, &on)?;
            let names = ["AcquisitionFrameRate", "AcquisitionFrameRateAbs"];
            self.set("frame_rate_hz", &names, &FeatureValue::Number(rate))?;
        }
        if let Some(rate) = settings.line_rate_hz {
            self.turn("line_rate_hz", &["AcquisitionLineRateEnable"], &on)?;
            let names = ["AcquisitionLineRate", "AcquisitionLineRateAbs"];
            self.set("line_rate_hz", &names, &FeatureValue::Number(rate))?;
        }
        if let Some(trigger) = &settings.trigger {
            self.set_trigger(trigger)?;
        }
        if let Some(packet_size) = settings.packet_size {
            self.set_packet_size(packet_size)?;
        }
        if settings.encoder_ticks_per_line.is_some() {
            self.camera.set_chunks("EncoderValue").map_err(|error| {
                self.refuse(
                    "encoder_ticks_per_line",
                    "a camera without it",
                    &format!(
                        "a camera that sends its encoder's value in chunk data ({})",
                        error.message()
                    ),
                )
            })?;
        }
        for (feature, value) in &settings.features {
            self.set(feature, &[feature], value)?;
        }
        Ok(())
    }

    /// Only what the camera has and what can be laid out, before the camera is touched.
    fn must_have_format(&self, format: &str) -> Result<(), CameraError> {
        let all = self.camera.dup_available_pixel_formats_as_strings();
        let mut all = all.map_err(|error| self.fault(&error))?;
        all.retain(|name| PixelFormat::named(name).is_some());
        if !all.iter().any(|name| name == format) {
            let expected = format!("one of {}", all.join(", "));
            return Err(self.refuse("pixel_format", &format!("{format:?}"), &expected));
        }
        Ok(())
    }

    /// A side of the picture and where it begins. The offset is taken back first, so that the side
    /// may be as long as the sensor.
    fn set_side(
        &self,
        key: &str,
        feature: &str,
        side: Option<u32>,
        offset_key: &str,
        offset_feature: &str,
        offset: Option<u32>,
    ) -> Result<(), CameraError> {
        let mut offset = offset.map(i64::from);
        if let Some(side) = side {
            if self.has(offset_feature) {
                let kept = self.camera.integer(offset_feature);
                offset = Some(match offset {
                    Some(offset) => offset,
                    None => kept.map_err(|error| self.fault(&error))?,
                });
                self.set(offset_key, &[offset_feature], &FeatureValue::Whole(0))?;
            }
            self.set(key, &[feature], &FeatureValue::Whole(side.into()))?;
        }
        match offset {
            Some(offset) => self.set(offset_key, &[offset_feature], &FeatureValue::Whole(offset)),
            None => Ok(()),
        }
    }

    /// An input is looked for before the camera is touched: half set, it would wait for ever.
    fn set_trigger(&self, trigger: &str) -> Result<(), CameraError> {
        let refuse = |expected: &str| self.refuse("trigger", &format!("{trigger:?}"), expected);
        let by_camera =
            |error: glib::Error| refuse(&format!("what the camera takes: {}", error.message()));
        if trigger == NO_TRIGGER {
            return self.camera.clear_triggers().map_err(by_camera);
        }
        let all = self.camera.dup_available_trigger_sources();
        let all = all.map_err(by_camera)?;
        if !all.iter().any(|known| known == trigger) {
            let all = all.join(", ");
            return Err(refuse(&format!("{NO_TRIGGER:?} or one of {all}")));
        }
        self.camera.set_trigger(trigger).map_err(by_camera)?;
        let found = self.camera.trigger_source().map_err(by_camera)?;
        if found != trigger {
            let said = format!("a source that the camera takes; it made {found:?} of it");
            return Err(refuse(&said));
        }
        Ok(())
    }

    fn set_packet_size(&self, packet_size: u32) -> Result<(), CameraError> {
        let refused =
            |expected: &str| self.refuse("packet_size", &packet_size.to_string(), expected);
        if !self.camera.is_gv_device() {
            return Err(refused("a GigE Vision camera, whose packets have a size"));
        }
        if !PACKET_SIZES.contains(&packet_size) {
            let (least, most) = (PACKET_SIZES.start(), PACKET_SIZES.end());
            return Err(refused(&format!("{least} to {most} bytes")));
        }
        let told = |error: glib::Error| refused(error.message());
        self.camera
            .gv_set_packet_size(packet_size as i32)
            .map_err(told)?;
        let found = self.camera.gv_get_packet_size().map_err(told)?;
        if found != packet_size {
            return Err(refused(&format!(
                "a size that the camera takes; it says {found}"
            )));
        }
        Ok(())
    }

    /// Sets the first of `features` that the camera has, if it has one.
    fn turn(&self, key: &str, features: &[&str], value: &FeatureValue) -> Result<(), CameraError> {
        if features.iter().any(|feature| self.has(feature)) {
            self.set(key, features, value)?;
        }
        Ok(())
    }

    /// Sets the first of `features` that the camera has.
    fn set(&self, key: &str, features: &[&str], value: &FeatureValue) -> Result<(), CameraError> {
        let refuse = |expected: &str| self.refuse(key, &value.to_string(), expected);
        let Some(feature) = features.iter().find(|feature| self.has(feature)) else {
            let names = features.join(" or ");
            return Err(refuse(&format!("a camera that has the feature {names}")));
        };
        let device = self.camera.device();
        let node = device.and_then(|device| device.feature(feature));
        let node = node.ok_or_else(|| refuse("a feature that can be looked at"))?;
        let refused_by_camera =
            |error: glib::Error| refuse(&format!("what the camera takes: {}", error.message()));
        // Most particular first: a choice is a whole number and a text to Aravis, too.
        let found = if node.is::<GcCommand>() {
            return Err(refuse("a feature with a value, this one is a command"));
        } else if node.is::<GcEnumeration>() {
            let FeatureValue::Text(wish) = value else {
                return Err(refuse("one of its names, in quotes"));
            };
            let all = self.camera.dup_available_enumerations_as_strings(feature);
            let all = all.map_err(refused_by_camera)?;
            if !all.iter().any(|known| known == wish) {
                return Err(refuse(&format!("one of {}", all.join(", "))));
            }
            self.set_text(feature, wish)
        } else if node.is::<GcBoolean>() {
            let FeatureValue::Switch(wish) = *value else {
                return Err(refuse("true or false"));
            };
            self.set_switch(feature, wish)
        } else if node.is::<GcFloat>() {
            let wish = value.number().ok_or_else(|| refuse("a number"))?;
            let bounds = self.camera.float_bounds(feature);
            let (least, most) = bounds.map_err(refused_by_camera)?;
            if !(least..=most).contains(&wish) {
                return Err(refuse(&format!("{least} to {most}")));
            }
            self.set_number(key, feature, wish)
        } else if node.is::<GcInteger>() {
            let wish = value.whole().ok_or_else(|| refuse("a whole number"))?;
            let (least, most, step) = self.steps(feature).map_err(refused_by_camera)?;
            if !(least..=most).contains(&wish) || wish.saturating_sub(least) % step != 0 {
                return Err(refuse(&format!("{least} to {most} in steps of {step}")));
            }
            self.set_whole(feature, wish)
        } else if node.is::<GcString>() {
            let FeatureValue::Text(wish) = value else {
                return Err(refuse("a text"));
            };
            self.set_text(feature, wish)
        } else {
            return Err(refuse("a feature that has a value"));
        };
        match found.map_err(refused_by_camera)? {
            None => Ok(()),
            Some(found) => Err(refuse(&format!(
                "a value that the camera takes as it is; it made {found} of it"
            ))),
        }
    }

    /// Sets it, and gives what the camera made of it where that is another value.
    fn set_text(&self, feature: &str, wish: &str) -> Result<Option<String>, glib::Error> {
        self.camera.set_string(feature, wish)?;
        let found = self.camera.string(feature)?;
        Ok((found != wish).then(|| format!("{found:?}")))
    }

    fn set_switch(&self, feature: &str, wish: bool) -> Result<Option<String>, glib::Error> {
        self.camera.set_boolean(feature, wish)?;
        let found = self.camera.boolean(feature)?;
        Ok((found != wish).then(|| found.to_string()))
    }

    fn set_whole(&self, feature: &str, wish: i64) -> Result<Option<String>, glib::Error> {
        self.camera.set_integer(feature, wish)?;
        let found = self.camera.integer(feature)?;
        Ok((found != wish).then(|| found.to_string()))
    }

    /// A number that is rounded a little is told in the log.
    fn set_number(
        &self,
        key: &str,
        feature: &str,
        wish: f64,
    ) -> Result<Option<String>, glib::Error> {
        self.camera.set_float(feature, wish)?;
        let found = self.camera.float(feature)?;
        let is_close = (found - wish).abs() <= ROUNDED * wish.abs();
        if is_close && found != wish {
            let name = self.name;
            tracing::warn!(name, key, wish, found, "the camera rounds a setting");
        }
        Ok((!is_close).then(|| found.to_string()))
    }

    /// The least and the largest value of a feature, and the step between two.
    fn steps(&self, feature: &str) -> Result<(i64, i64, i64), glib::Error> {
        let (least, most) = self.camera.integer_bounds(feature)?;
        let step = self.camera.integer_increment(feature)?;
        Ok((least, most, step.max(1)))
    }

    fn has(&self, feature: &str) -> bool {
        self.camera.is_feature_available(feature).unwrap_or(false)
    }

    fn refuse(&self, key: &str, found: &str, expected: &str) -> CameraError {
        CameraError::CameraSetting {
            name: self.name.to_owned(),
            key: key.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }

    fn fault(&self, error: &glib::Error) -> CameraError {
        CameraError::NoCamera {
            name: self.name.to_owned(),
            detail: error.message().to_owned(),
        }
    }
}

fn text(text: &str) -> FeatureValue {
    FeatureValue::Text(text.to_owned())
}
