//! The station file: scale and place of each lane, light limits.
//!
//! Read loosely as TOML, converted once into checked types. Unknown keys are refused.
//!
//! ```toml
//! name = "table 3"
//! profile = "table3.profile"  # what `selvedge calibrate` measured; beside this file
//!
//! [[lane]]                 # one per camera, from left to right
//! mm_per_px = 0.2          # across; may be left out where the profile has it
//! mm_per_line = 0.2        # along; as across when left out
//! offset_mm = 0.0          # where the lane's first column lies
//! overlapping = "up"       # an area camera whose frames show cloth again, which runs up or down
//! length = "pictures"      # how far it moved in between: "pictures" or "encoder"
//!
//! [lane.camera]            # that lane's camera, where its source is genicam:…; see `camera`
//! exposure_us = 40.0
//! trigger = "Line1"
//! features = { GammaEnable = false }
//!
//! [light]
//! max_saturated_share = 0.5
//! min_mean_level = 8.0
//! ```
//!
//! What only a station that stands by itself needs is read too: `from` of each lane, and
//!
//! ```toml
//! article = "4711"         # of rolls for which none is said
//! loom_m_per_min = 20.0    # how fast simulated cloth runs, where a lane is from = "loom:SEED"
//! loom_flaws_per_mpx = 0.1 # random flaws on it, per million pixels; none when left out
//! loom_seam_every_m = 5.0  # a sewn seam in it every so many metres; none when left out
//!
//! [rolls]
//! seam = "ends"            # a sewn seam ends the roll that is on; it ends nothing when left out
//!
//! [page]
//! listen = "127.0.0.1:7400"
//! token_file = "token"     # what orders by HTTP must bring; without it there are none
//! certificate = "mill.pem" # with its key the page comes by https, and may listen to a network
//! certificate_key = "mill-key.pem"
//! rules = ["four-point"]   # under which the page grades rolls, built-in or files
//! ```
//!
//! A profile fills in what the file leaves out. What both say and say differently is refused: neither
//! overrides the other in silence.
//!
//! `[alarms]`, `[outputs.…]`, `[log]` and `[retention]` have files of their own beside this one.

mod alarms;

mod outputs;

mod retention;

mod calibrated;

mod camera_table;

mod log;

mod reread;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use calibration::{
    ColumnLight, KeptProfile, LaneProfile, Lens, LightLimits, Um, mm_from_um, um_from_mm,
};
use camera::GenicamSettings;
use models::CELL_PX;
use serde::Deserialize;

use self::alarms::RawAlarms;
use self::camera_table::RawCamera;
use self::log::RawLog;
use self::outputs::RawOutputs;
pub(crate) use self::retention::{RawKeep, RawRetention};
use crate::new_cloth::{LengthFrom, Motion, NewClothSettings};

pub use self::alarms::{AlarmCause, AlarmSettings};
pub use self::log::{LOGS_KEPT, LogFormat, LogSettings};
pub use self::outputs::{
    Beat, Marker, ModbusSettings, MqttPayload, MqttSettings, OutputSettings, Signal,
    WebhookSettings,
};
pub use self::reread::{Reading, Reread};
pub use self::retention::RetentionSettings;

/// A checked station file.
#[derive(Clone, Debug, PartialEq)]
pub struct Station {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its lanes, from left to right; at least one.
    pub lanes: Vec<Lane>,
    /// Light by which cloth can be judged.
    pub light: LightLimits,
    /// What it needs to stand by itself.
    pub standing: StandingSettings,
    /// What was measured of it, if anything was.
    pub profile: Option<KeptProfile>,
    /// What calls a person.
    pub alarms: AlarmSettings,
    /// Whom alarms go to.
    pub outputs: OutputSettings,
    /// Where its log goes.
    pub log: LogSettings,
    /// What its store forgets.
    pub retention: RetentionSettings,
}

/// Rules under which rolls are graded where none are named.
pub const USUAL_RULES: &str = "four-point";

/// What a station needs to stand by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandingSettings {
    /// Where each lane's frames come from, as `--from` has it; `None` where it does not say.
    pub from: Vec<Option<String>>,
    /// Article of rolls for which none is said.
    pub article: Option<String>,
    /// How fast simulated cloth runs, in m/min.
    pub loom_m_per_min: Option<f64>,
    /// Random flaws on simulated cloth, per million pixels.
    pub loom_flaws_per_mpx: f64,
    /// A sewn seam in simulated cloth every so many metres, ten times.
    pub loom_seam_every_m: Option<f64>,
    /// Where the page is served; `None` for no page.
    pub listen: Option<SocketAddr>,
    /// File with what orders by HTTP must bring.
    pub token_file: Option<PathBuf>,
    /// Certificates and private key, in PEM, with which the page comes by https.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Names or files of the rules under which the page grades rolls.
    pub rules: Vec<String>,
    /// Whether a sewn seam ends the roll that is on.
    pub seam_ends: bool,
}

/// Where a camera looks, and how finely.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// Scale across, in mm per pixel.
    pub mm_per_px: f64,
    /// Scale along, in mm per line.
    pub mm_per_line: f64,
    /// Where the first column begins, across.
    pub offset: Um,
    /// How frames that show cloth again are reduced to what is new, where they do.
    pub overlapping: Option<NewClothSettings>,
    /// What its camera is set to, where its source is a GenICam camera.
    pub camera: GenicamSettings,
    /// How its lens bends columns, where that was measured.
    pub lens: Option<Lens>,
    /// How far a tick of its encoder goes, in mm, where that was measured.
    pub mm_per_tick: Option<f64>,
}

impl Lane {
    /// Length along the lane of one row of score cells, in mm.
    pub fn mm_per_cell_row(&self) -> f64 {
        self.mm_per_line * CELL_PX as f64
    }
}

/// Half of the cloth in full white, or a mean level of which one step of an 8-bit camera is an
/// eighth: there is no texture left to judge.
pub const LIGHT_LIMITS: LightLimits = LightLimits {
    max_saturated_share: 0.5,
    min_mean_level: 8.0,
};

/// Cameras beside each other that one machine can be asked to serve.
const MOST_LANES: usize = 64;
/// Scales that a camera looking at cloth can have, in mm per pixel.
const SCALES: std::ops::RangeInclusive<f64> = 0.001..=10.0;

/// Speeds of simulated cloth, in m/min: a standstill is no speed, and no machine weaves faster.
const LOOM_SPEEDS: std::ops::RangeInclusive<f64> = 0.1..=200.0;

/// Metres from seam to seam of simulated cloth.
const LOOM_SEAMS: std::ops::RangeInclusive<f64> = 0.2..=1000.0;

/// Random flaws that simulated cloth can have, per million pixels.
const LOOM_FLAWS: std::ops::RangeInclusive<f64> = 0.0..=100.0;

impl Station {
    /// A station of one lane at `mm_per_px`, both ways, from the datum on.
    ///
    /// # Errors
    /// When the scale is not one that a camera can have.
    pub fn at_scale(mm_per_px: f64) -> anyhow::Result<Self> {
        Self::at_scales(mm_per_px, mm_per_px)
    }

    /// A station of one lane at `mm_per_px` across and `mm_per_line` along, from the datum on.
    ///
    /// # Errors
    /// When a scale is not one that a camera can have.
    pub fn at_scales(mm_per_px: f64, mm_per_line: f64) -> anyhow::Result<Self> {
        check_scale("mm_per_px", mm_per_px)?;
        check_scale("mm_per_line", mm_per_line)?;
        Ok(Self {
            name: None,
            lanes: vec![Lane {
                mm_per_px,
                mm_per_line,
                offset: Um::ZERO,
                overlapping: None,
                lens: None,
                mm_per_tick: None,
                camera: GenicamSettings::default(),
            }],
            light: LIGHT_LIMITS,
            standing: StandingSettings::default(),
            profile: None,
            alarms: AlarmSettings::default(),
            outputs: OutputSettings::default(),
            log: LogSettings::default(),
            retention: RetentionSettings::default(),
        })
    }

    /// Reads a station file.
    ///
    /// # Errors
    /// Naming the file and the key, with what was found and expected.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("station file {path:?} cannot be read"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let parsed = Self::parse(&text, folder);
        let mut station = parsed.with_context(|| format!("station file {path:?}"))?;
        // A file that is named lies beside the one that names it.
        let standing = &mut station.standing;
        let pair = standing.certificate.iter_mut();
        let files = pair.flat_map(|(certificate, key)| [certificate, key]);
        for file in files.chain(&mut standing.token_file) {
            *file = folder.join(&*file);
        }
        Ok(station)
    }

    /// How the columns of `lane`, counted from 0, are lit, where that was measured.
    pub fn light_of(&self, lane: usize) -> Option<&ColumnLight> {
        let lane = self.profile.as_ref()?.profile.lane(lane)?;
        lane.light.as_ref().map(|light| &light.found.columns)
    }

    /// The station of this text, whose profile lies in `folder`.
    fn parse(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let raw: RawStation = toml::from_str(text)?;
        if raw.lane.is_empty() || raw.lane.len() > MOST_LANES {
            bail!(
                "found {} [[lane]] sections, expected 1 to {MOST_LANES}",
                raw.lane.len()
            );
        }
        let profile = match &raw.profile {
            Some(file) => Some(calibrated::read(&folder.join(file), raw.lane.len())?),
            None => None,
        };
        let measured = |index| profile.as_ref().and_then(|kept| kept.profile.lane(index));
        let lanes = (raw.lane.iter().enumerate())
            .map(|(index, lane)| lane.checked(index + 1, measured(index)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if let Some(index) = lanes
            .windows(2)
            .position(|two| two[0].offset >= two[1].offset)
        {
            bail!(
                "found lane {} at offset_mm = {} and lane {} at {}, expected lanes from left to right",
                index + 1,
                mm_from_um(lanes[index].offset),
                index + 2,
                mm_from_um(lanes[index + 1].offset)
            );
        }
        let raw_light = raw.light.unwrap_or_default();
        let light = LightLimits {
            max_saturated_share: raw_light
                .max_saturated_share
                .unwrap_or(LIGHT_LIMITS.max_saturated_share),
            min_mean_level: raw_light
                .min_mean_level
                .unwrap_or(LIGHT_LIMITS.min_mean_level),
        };
        if !(0.0..=1.0).contains(&light.max_saturated_share) {
            bail!(
                "found light.max_saturated_share = {}, expected 0 to 1",
                light.max_saturated_share
            );
        }
        if !(0.0..=255.0).contains(&light.min_mean_level) {
            bail!(
                "found light.min_mean_level = {}, expected 0 to 255",
                light.min_mean_level
            );
        }
        let seam_ends = raw.rolls.seam.is_some();
        if seam_ends && let Some(index) = lanes.iter().position(|lane| lane.overlapping.is_some()) {
            bail!(
                "found rolls.seam = \"ends\" and lane {} with overlapping frames, which cannot be cut at a seam; expected one or the other",
                index + 1
            );
        }
        let from = raw.lane.into_iter().map(|lane| lane.from).collect();
        let page = raw.page.unwrap_or_default();
        if let Some(speed) = raw.loom_m_per_min
            && !LOOM_SPEEDS.contains(&speed)
        {
            bail!(
                "found loom_m_per_min = {speed}, expected {} to {}",
                LOOM_SPEEDS.start(),
                LOOM_SPEEDS.end()
            );
        }
        let loom_flaws_per_mpx = raw.loom_flaws_per_mpx.unwrap_or(0.0);
        if !LOOM_FLAWS.contains(&loom_flaws_per_mpx) {
            bail!(
                "found loom_flaws_per_mpx = {loom_flaws_per_mpx}, expected {} to {}",
                LOOM_FLAWS.start(),
                LOOM_FLAWS.end()
            );
        }
        let certificate = match (page.certificate, page.certificate_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => bail!(
                "found one of page.certificate and page.certificate_key, expected both or none"
            ),
        };
        if let Some(every) = raw.loom_seam_every_m
            && !LOOM_SEAMS.contains(&every)
        {
            bail!(
                "found loom_seam_every_m = {every}, expected {} to {}",
                LOOM_SEAMS.start(),
                LOOM_SEAMS.end()
            );
        }
        if let Some(listen) = page.listen
            && !listen.ip().is_loopback()
            && certificate.is_none()
        {
            bail!(
                "found page.listen = \"{listen}\", expected an address of this machine alone, such as 127.0.0.1:7400, or page.certificate and page.certificate_key: passwords do not go over a network in the clear"
            );
        }
        Ok(Self {
            name: raw.name,
            lanes,
            light,
            standing: StandingSettings {
                from,
                article: raw.article,
                loom_m_per_min: raw.loom_m_per_min,
                loom_flaws_per_mpx,
                loom_seam_every_m: raw.loom_seam_every_m,
                listen: page.listen,
                token_file: page.token_file,
                certificate,
                rules: page.rules.unwrap_or_else(|| vec![USUAL_RULES.to_owned()]),
                seam_ends,
            },
            profile,
            alarms: raw.alarms.checked()?,
            outputs: raw.outputs.checked()?,
            log: raw.log.checked(folder)?,
            retention: raw.retention.checked()?,
        })
    }
}

fn check_scale(key: &str, scale: f64) -> anyhow::Result<()> {
    if !SCALES.contains(&scale) {
        bail!(
            "found {key} = {scale}, expected {} to {}",
            SCALES.start(),
            SCALES.end()
        );
    }
    Ok(())
}

impl RawLane {
    /// The lane, which is the station's `nth` from 1, with what was measured of it.
    fn checked(&self, nth: usize, measured: Option<&LaneProfile>) -> anyhow::Result<Lane> {
        let key = |name: &str| format!("lane {nth}: {name}");
        let place = calibrated::place(self, nth, measured)?;
        let mm_per_px = place.mm_per_px.with_context(|| {
            format!(
                "found no {}, expected it here or in the station's profile",
                key("mm_per_px")
            )
        })?;
        check_scale(&key("mm_per_px"), mm_per_px)?;
        let mm_per_line = place.mm_per_line.unwrap_or(mm_per_px);
        check_scale(&key("mm_per_line"), mm_per_line)?;
        let offset_mm = place.offset_mm.unwrap_or(0.0);
        if !offset_mm.is_finite() || offset_mm.abs() > 100_000.0 {
            bail!(
                "found {} = {offset_mm}, expected -100000 to 100000",
                key("offset_mm"),
            );
        }
        let overlapping = match (self.overlapping, self.length) {
            (Some(motion), length) => Some(NewClothSettings {
                motion: motion.into(),
                length: length.unwrap_or(RawLength::Pictures).into(),
            }),
            (None, None) => None,
            (None, Some(_)) => bail!(
                "found {} without overlapping, expected it for frames that overlap only",
                key("length")
            ),
        };
        let camera = self.camera.as_ref();
        let camera = camera.map_or(Ok(GenicamSettings::default()), |raw| {
            raw.checked(&key("camera"))
        })?;
        Ok(Lane {
            overlapping,
            camera,
            mm_per_px,
            mm_per_line,
            offset: um_from_mm(offset_mm),
            lens: place.lens,
            mm_per_tick: place.mm_per_tick,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStation {
    name: Option<String>,
    profile: Option<PathBuf>,
    #[serde(default)]
    lane: Vec<RawLane>,
    light: Option<RawLight>,
    article: Option<String>,
    loom_m_per_min: Option<f64>,
    loom_flaws_per_mpx: Option<f64>,
    loom_seam_every_m: Option<f64>,
    page: Option<RawPage>,
    #[serde(default)]
    rolls: RawRolls,
    #[serde(default)]
    alarms: RawAlarms,
    #[serde(default)]
    outputs: RawOutputs,
    #[serde(default)]
    log: RawLog,
    #[serde(default)]
    retention: RawRetention,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRolls {
    seam: Option<RawSeam>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawSeam {
    Ends,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPage {
    listen: Option<SocketAddr>,
    token_file: Option<PathBuf>,
    certificate: Option<PathBuf>,
    certificate_key: Option<PathBuf>,
    rules: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLight {
    max_saturated_share: Option<f32>,
    min_mean_level: Option<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLane {
    from: Option<String>,
    mm_per_px: Option<f64>,
    mm_per_line: Option<f64>,
    offset_mm: Option<f64>,
    overlapping: Option<RawMotion>,
    length: Option<RawLength>,
    camera: Option<RawCamera>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawMotion {
    Up,
    Down,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawLength {
    Pictures,
    Encoder,
}

impl From<RawMotion> for Motion {
    fn from(raw: RawMotion) -> Self {
        match raw {
            RawMotion::Up => Motion::Up,
            RawMotion::Down => Motion::Down,
        }
    }
}

impl From<RawLength> for LengthFrom {
    fn from(raw: RawLength) -> Self {
        match raw {
            RawLength::Pictures => LengthFrom::Pictures,
            RawLength::Encoder => LengthFrom::Encoder,
        }
    }
}

#[cfg(test)]
mod tests;
