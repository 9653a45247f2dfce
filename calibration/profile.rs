//! The profile of a station: everything that was measured of it, in one file.
//!
//! ```text
//! {"format":1,"sha256":"<of the profile's text>","profile":{"written_at":…,"lanes":[…]}}
//! ```
//!
//! Each lane holds light, lens, scale, place and encoder, each as it was measured, with its date and
//! what was left over; and how the cloth of articles looked then. The checksum is of the profile's
//! text as it stands in the file, so a reader needs no rule of how numbers are written. The file is
//! replaced by write, sync and rename: there is the old one or the new one. Reading returns an error
//! on any bytes, and what it returns can be used. It measures nothing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use crate::CalibrationError;
use crate::board::{PlaceMeasured, Residual, ScaleMeasured};
use crate::chessboard::CameraMeasured;
use crate::column_light::LightMeasured;
use crate::drift::Sight;
use crate::lens::Lens;
use crate::marks::EncoderMeasured;

/// What was measured of a station.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// When it was last written.
    pub written_at: String,
    /// Its lanes, from the left; a lane of which nothing was measured is empty.
    pub lanes: Vec<LaneProfile>,
}

/// What was measured of a lane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneProfile {
    /// Offset and gain of its columns.
    pub light: Option<Dated<LightMeasured>>,
    /// How its lens bends columns.
    pub lens: Option<Dated<LensMeasured>>,
    /// Its scale, behind that lens.
    pub scale: Option<Dated<ScaleMeasured>>,
    /// Where it lies.
    pub place: Option<Dated<PlaceMeasured>>,
    /// How far a tick goes.
    pub encoder: Option<Dated<EncoderMeasured>>,
    /// How the cloth of articles looked, by the article's name.
    pub baselines: BTreeMap<String, Dated<Sight>>,
}

/// A lens as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LensMeasured {
    /// What is applied.
    pub lens: Lens,
    /// What was left over, of a line-scan camera.
    pub residual: Option<Residual>,
    /// The whole camera, of an area camera.
    pub camera: Option<CameraMeasured>,
}

/// Something that was measured at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dated<T> {
    /// When: RFC 3339.
    pub measured_at: String,
    /// What.
    pub found: T,
}

/// A profile, and the checksum that a run's record keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptProfile {
    /// The profile.
    pub profile: Profile,
    /// SHA-256 of its text, in hex.
    pub digest: String,
}

/// Version of the layout that this program writes and reads.
pub const FORMAT: u32 = 1;
/// No profile is larger: 64 lanes of 16,384 columns.
const MOST_BYTES: u64 = 64 << 20;
/// Cameras beside each other.
const MOST_LANES: usize = 64;
/// Scales of a camera that looks at cloth, mm per pixel, line or tick.
const SCALES_MM: std::ops::RangeInclusive<f64> = 1e-6..=10.0;
/// Places of a lane, mm.
const OFFSETS_MM: std::ops::RangeInclusive<f64> = -100_000.0..=100_000.0;
/// A date as text.
const LONGEST_DATE: usize = 40;

impl Profile {
    /// Reads the profile at `path`; `None` where there is no such file.
    ///
    /// # Errors
    /// `Profile` where it cannot be read, is damaged or of another version.
    pub fn read(path: &Path) -> Result<Option<KeptProfile>, CalibrationError> {
        let size = match std::fs::metadata(path) {
            Ok(facts) => facts.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(path, error.to_string())),
        };
        if size > MOST_BYTES {
            let detail = format!("found {size} bytes, expected at most {MOST_BYTES}");
            return Err(wrong(path, detail));
        }
        let bytes = std::fs::read(path).map_err(|error| wrong(path, error.to_string()))?;
        let kept = Self::of_bytes(&bytes).map_err(|detail| wrong(path, detail))?;
        Ok(Some(kept))
    }

    /// Writes the profile to `path`, in place of the one that was there.
    ///
    /// # Errors
    /// `Profile` with what the disk says, or where it could not be read again.
    pub fn write(&self, path: &Path) -> Result<KeptProfile, CalibrationError> {
        let text = self.text().map_err(|detail| wrong(path, detail))?;
        // What is written can be read: a reader must never be the first to find out.
        let kept = Self::of_bytes(text.as_bytes()).map_err(|detail| wrong(path, detail))?;
        let replace = || {
            let beside = PathBuf::from(format!("{}.new", path.display()));
            std::fs::write(&beside, &text)?;
            OpenOptions::new().write(true).open(&beside)?.sync_all()?;
            std::fs::rename(&beside, path)?;
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        let written: std::io::Result<()> = replace();
        written.map_err(|error| wrong(path, error.to_string()))?;
        Ok(kept)
    }

    /// What is known of a lane, counted from 0.
    pub fn lane(&self, lane: usize) -> Option<&LaneProfile> {
        self.lanes.get(lane)
    }

    /// The same to be written; lanes up to it are made.
    ///
    /// # Errors
    /// `OutOfRange` where a station cannot have so many.
    pub fn lane_mut(&mut self, lane: usize) -> Result<&mut LaneProfile, CalibrationError> {
        if lane >= MOST_LANES {
            return Err(CalibrationError::OutOfRange {
                what: "lane",
                found: format!("number {} from the left", lane + 1),
                expected: format!("at most {MOST_LANES}"),
            });
        }
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, LaneProfile::default);
        }
        Ok(&mut self.lanes[lane])
    }

    fn text(&self) -> Result<String, String> {
        let raw = to_raw_value(self).map_err(|error| error.to_string())?;
        let layout = Layout {
            format: FORMAT,
            sha256: digest(&raw),
            profile: raw,
        };
        serde_json::to_string(&layout).map_err(|error| error.to_string())
    }

    fn of_bytes(bytes: &[u8]) -> Result<KeptProfile, String> {
        let told = |error: serde_json::Error| format!("found no profile: {error}");
        // Looked at first: a later layout may hold anything else.
        let Version { format } = serde_json::from_slice(bytes).map_err(told)?;
        if format != FORMAT {
            return Err(format!(
                "found format {format}, expected {FORMAT}: it was written by another version"
            ));
        }
        let layout: Layout = serde_json::from_slice(bytes).map_err(told)?;
        let digest = digest(&layout.profile);
        if digest != layout.sha256 {
            return Err(format!(
                "found checksum {digest}, expected {} as the file says: it is damaged",
                layout.sha256
            ));
        }
        let profile: Self = serde_json::from_str(layout.profile.get()).map_err(told)?;
        profile.check()?;
        Ok(KeptProfile { profile, digest })
    }

    fn check(&self) -> Result<(), String> {
        if self.lanes.len() > MOST_LANES {
            let n = self.lanes.len();
            return Err(format!("found {n} lanes, expected at most {MOST_LANES}"));
        }
        for (nth, lane) in (1..).zip(&self.lanes) {
            lane.check().map_err(|what| format!("lane {nth}: {what}"))?;
        }
        Ok(())
    }
}

impl LaneProfile {
    fn check(&self) -> Result<(), String> {
        let dates = [
            self.light.as_ref().map(|of| &of.measured_at),
            self.lens.as_ref().map(|of| &of.measured_at),
            self.scale.as_ref().map(|of| &of.measured_at),
            self.place.as_ref().map(|of| &of.measured_at),
            self.encoder.as_ref().map(|of| &of.measured_at),
        ];
        let baselines = self.baselines.values().map(|of| &of.measured_at);
        if let Some(date) = dates
            .into_iter()
            .flatten()
            .chain(baselines)
            .find(|date| date.len() > LONGEST_DATE)
        {
            return Err(format!("found a date of {} bytes", date.len()));
        }
        let scale = self.scale.as_ref().map(|of| of.found);
        let encoder = self.encoder.as_ref().map(|of| of.found);
        let place = self.place.as_ref().map(|of| of.found);
        let scales = [
            ("mm_per_px", scale.map(|scale| scale.mm_per_px), SCALES_MM),
            (
                "mm_per_line",
                scale.map(|scale| scale.mm_per_line),
                SCALES_MM,
            ),
            (
                "mm_per_tick",
                encoder.map(|encoder| encoder.mm_per_tick),
                SCALES_MM,
            ),
            ("offset_mm", place.map(|place| place.offset_mm), OFFSETS_MM),
        ];
        for (what, found, range) in scales {
            if let Some(found) = found.filter(|found| !range.contains(found)) {
                return Err(format!("found {what} = {found}, expected {range:?}"));
            }
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layout {
    format: u32,
    sha256: String,
    profile: Box<RawValue>,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

fn wrong(path: &Path, detail: String) -> CalibrationError {
    CalibrationError::Profile {
        path: path.to_owned(),
        detail,
    }
}

fn digest(raw: &RawValue) -> String {
    let sum = Sha256::digest(raw.get().as_bytes());
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
