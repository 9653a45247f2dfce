//! What to weave, and what is refused.
//!
//! Settings are plain values, checked once when a loom is set up. What came later than the first
//! looms is off by default, so that old settings weave their old cloth.

use std::collections::BTreeSet;
use std::ops::Range;

use super::flaws::FlawKind;
use crate::{CameraError, Depth};

/// What to weave.
#[derive(Clone, Debug, PartialEq)]
pub struct LoomSettings {
    /// The same settings weave the same cloth.
    pub seed: u64,
    /// The camera itself: its columns, its lens and where its lamp hangs. Cloth of any seed is
    /// seen by the same camera unless this differs.
    pub sensor_seed: u64,
    /// Index of the camera in its station.
    pub camera: u16,
    /// Pixels across the whole sight, all lanes together, 64 to 65,535.
    pub width: u32,
    /// Lines of a frame, 1 to 65,535.
    pub frame_height: u32,
    /// Frames until the end; `None` weaves for ever.
    pub n_frames: Option<u64>,
    /// How the yarns cross.
    pub weave: Weave,
    /// Pixels from one end, or wale, to the next, 2 to 16.
    pub warp_pitch_px: f32,
    /// Pixels from one pick, or course, to the next, 2 to 16.
    pub weft_pitch_px: f32,
    /// Random flaws per million pixels of frame, 0 to 100.
    pub flaws_per_megapixel: f64,
    /// What the random flaws are; those that the weave cannot have do not come.
    pub random_kinds: Vec<FlawKind>,
    /// Contrast of the random flaws, 0 to 4; at 1 a person sees them at a glance.
    pub contrast: f32,
    /// What lies left of the cloth.
    pub left: Beside,
    /// What lies right of the cloth.
    pub right: Beside,
    /// Sequence numbers of the frames to lose.
    pub lost: BTreeSet<u64>,
    /// Flaws to plant besides the random ones; see [`LoomSettings::with_flaw`].
    pub planted: Vec<FlawWish>,
    /// Encoder ticks to a line of cloth, 1 to 1000.
    pub ticks_per_line: u32,
    /// How fast the web runs under a camera that the encoder does not trigger. Empty: every
    /// exposed line is one line of cloth.
    pub speed: Vec<SpeedStep>,
    /// How much brighter the lamp is at the right side of the sight than in its middle, and
    /// darker at the left, -0.3 to 0.3 of its light.
    pub lamp_slope: f32,
    /// How much the lamp wanders along the web, to either side, 0 to 0.5 of its light.
    pub lamp_drift: f32,
    /// The sensor's noise against that of a usual one, 0 to 8.
    pub noise: f32,
    /// Columns of the sensor that are nearly dead, 0 to 64.
    pub n_dead_columns: u32,
    /// Colours of the yarns; `None` weaves undyed cloth for a grey camera.
    pub dyes: Option<Dyes>,
    /// Bits per sample.
    pub depth: Depth,
}

/// Red, green and blue of the yarns, each against undyed yarn, 0 to 2. A knit shows the weft's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dyes {
    /// Colour of the warp.
    pub warp: [f32; 3],
    /// Colour of the weft.
    pub weft: [f32; 3],
}

impl Dyes {
    /// Yarn as it is spun.
    pub const UNDYED: Self = Self {
        warp: [1.0; 3],
        weft: [1.0; 3],
    };
}

/// A point of the course of the web's speed, which is straight from one to the next, and steady
/// before the first and after the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpeedStep {
    /// Exposed lines until here, rising from step to step.
    pub line: u64,
    /// Lines of cloth that pass while one line is exposed, 0.1 to 8.
    pub speed: f64,
}

/// What lies beside the cloth, on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// The cloth goes on beyond the camera's sight.
    Cloth,
    /// A table that is nearly black, this many pixels of it.
    DarkTable(u32),
    /// A table so bright that it saturates, this many pixels of it.
    WhiteTable(u32),
}

/// How warp and weft cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weave {
    /// One over, one under.
    Plain,
    /// Twill, repeats after three yarns.
    Twill21,
    /// Twill, repeats after four yarns.
    Twill31,
    /// Warp satin, repeats after five yarns: nearly all of what is seen is warp.
    Satin5,
    /// A jersey knit, seen from its face: wales for ends, courses for picks.
    Knit,
    /// Thin yarns in plain weave with holes between them, through which a dark ground shows.
    Mesh,
}

impl Weave {
    /// Every weave.
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::Twill21,
        Self::Twill31,
        Self::Satin5,
        Self::Knit,
        Self::Mesh,
    ];
}

/// A flaw to be planted once the yarns are known.
#[derive(Clone, Debug, PartialEq)]
pub struct FlawWish {
    /// What to plant.
    pub kind: FlawKind,
    /// Encoder ticks, half-open; must begin on the web.
    pub ticks: Range<i64>,
    /// Pixel columns of the web, half-open; must lie within it.
    pub columns: Range<u32>,
    /// Strength, 0 to 4; at 1 a person sees it at a glance.
    pub contrast: f32,
}

/// No web is longer.
const FARTHEST_LINE: i64 = 1 << 48;
/// Pixels of cloth that must be left between two tables.
const LEAST_CLOTH_PX: u32 = 64;
/// Brightness of the tables, as a share of white paper; the white one saturates even
/// where the lamp is weakest.
pub(super) const DARK_TABLE: f32 = 0.05;
pub(super) const WHITE_TABLE: f32 = 4.0;

impl LoomSettings {
    /// Good plain cloth for trying things out: 16 frames of 2048 px by 256 lines, a white
    /// table on the left and a dark one on the right.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            sensor_seed: 0,
            camera: 0,
            width: 2048,
            frame_height: 256,
            n_frames: Some(16),
            weave: Weave::Plain,
            warp_pitch_px: 4.6,
            weft_pitch_px: 4.2,
            flaws_per_megapixel: 0.0,
            contrast: 1.0,
            left: Beside::WhiteTable(120),
            right: Beside::DarkTable(60),
            lost: BTreeSet::new(),
            planted: Vec::new(),
            random_kinds: FlawKind::BASIC.to_vec(),
            ticks_per_line: 1,
            speed: Vec::new(),
            lamp_slope: 0.0,
            lamp_drift: 0.0,
            noise: 1.0,
            n_dead_columns: 1,
            dyes: None,
            depth: Depth::Eight,
        }
    }

    /// Plants one flaw that fills this box as far as its nature allows: a missing end is
    /// the one yarn in the middle of `columns`, a missing pick the one in the middle of
    /// `ticks` over the full width, a cut selvedge goes as deep as `columns` is wide into
    /// the nearer edge. [`Loom::truth`](super::Loom::truth) says what became of it.
    #[must_use]
    pub fn with_flaw(
        mut self,
        kind: FlawKind,
        ticks: Range<i64>,
        columns: Range<u32>,
        contrast: f32,
    ) -> Self {
        self.planted.push(FlawWish {
            kind,
            ticks,
            columns,
            contrast,
        });
        self
    }

    /// Exposed lines until the end.
    pub(super) fn n_lines(&self) -> Option<i64> {
        let lines = |n| {
            i64::try_from(n)
                .ok()?
                .checked_mul(i64::from(self.frame_height))
        };
        // So far that ticks and their speed stay within range.
        self.n_frames
            .map(|n| lines(n).unwrap_or(i64::MAX).min(FARTHEST_LINE))
    }

    pub(super) fn check(&self) -> Result<(), CameraError> {
        const SIDE: &str = "1 to 65535";
        let table = |beside| match beside {
            Beside::Cloth => 0,
            Beside::DarkTable(px) | Beside::WhiteTable(px) => u64::from(px),
        };
        let tables = table(self.left) + table(self.right);
        let pitches = "2 to 16 px";
        let known = 2.0..=16.0;
        let refuse = |key, found: String, expected| {
            Err(CameraError::LoomSetting {
                key,
                found,
                expected,
            })
        };
        if !(LEAST_CLOTH_PX..=65_535).contains(&self.width) {
            return refuse("width", self.width.to_string(), "64 to 65535 px");
        }
        if !(1..=65_535).contains(&self.frame_height) {
            return refuse("frame_height", self.frame_height.to_string(), SIDE);
        }
        if !known.contains(&self.warp_pitch_px) {
            return refuse("warp_pitch_px", self.warp_pitch_px.to_string(), pitches);
        }
        if !known.contains(&self.weft_pitch_px) {
            return refuse("weft_pitch_px", self.weft_pitch_px.to_string(), pitches);
        }
        if !(0.0..=100.0).contains(&self.flaws_per_megapixel) {
            return refuse(
                "flaws_per_megapixel",
                self.flaws_per_megapixel.to_string(),
                "0 to 100",
            );
        }
        if !(0.0..=4.0).contains(&self.contrast) {
            return refuse("contrast", self.contrast.to_string(), "0 to 4");
        }
        let share = |key, found: f32, expected, known: std::ops::RangeInclusive<f32>| {
            if known.contains(&found) {
                Ok(())
            } else {
                refuse(key, found.to_string(), expected)
            }
        };
        share("lamp_slope", self.lamp_slope, "-0.3 to 0.3", -0.3..=0.3)?;
        share("lamp_drift", self.lamp_drift, "0 to 0.5", 0.0..=0.5)?;
        share("noise", self.noise, "0 to 8", 0.0..=8.0)?;
        for dye in self.dyes.iter().flat_map(|dyes| [dyes.warp, dyes.weft]) {
            for part in dye {
                share("dyes", part, "0 to 2", 0.0..=2.0)?;
            }
        }
        if !(1..=1000).contains(&self.ticks_per_line) {
            return refuse(
                "ticks_per_line",
                self.ticks_per_line.to_string(),
                "1 to 1000",
            );
        }
        if self.n_dead_columns > 64 {
            return refuse("n_dead_columns", self.n_dead_columns.to_string(), "0 to 64");
        }
        let rising = self.speed.windows(2).all(|two| two[0].line < two[1].line);
        let steady = self
            .speed
            .iter()
            .all(|step| (0.1..=8.0).contains(&step.speed));
        if !rising || !steady {
            let found = format!("{:?}", self.speed);
            return refuse("speed", found, "rising lines, 0.1 to 8 lines of cloth each");
        }
        if tables + u64::from(LEAST_CLOTH_PX) > u64::from(self.width) {
            let found = format!("{tables} px of {} px", self.width);
            return refuse("left and right", found, "tables that leave 64 px of cloth");
        }
        Ok(())
    }
}
