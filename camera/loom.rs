//! Simulated cloth.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::{CameraError, Captured, Description, Pool, Source};

/// What lies beside the cloth, on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// The cloth goes on beyond the camera's sight.
    Cloth,
    /// An unlit table, this many pixels of it.
    DarkTable(u32),
    /// A table so bright that it saturates, this many pixels of it.
    WhiteTable(u32),
}

/// How warp and weft cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weave {
    /// One over, one under.
    Plain,
    /// Twill, two over, one under.
    Twill21,
    /// Twill, three over, one under.
    Twill31,
}

/// What can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlawKind {
    /// A broken end: one warp yarn missing.
    EndOut,
    /// A missing pick over the whole width.
    Mispick,
    /// A thick place in a weft yarn.
    Slub,
    /// A knot.
    Knot,
    /// A nep of a few pixels.
    Nep,
    /// A hole through which the ground shows.
    Hole,
    /// A dark stain.
    Stain,
    /// A foreign fibre.
    Contamination,
    /// A cut selvedge.
    Selvedge,
}

/// The truth about one planted flaw: every changed pixel lies in its box.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedFlaw {
    /// Id of the flaw's class.
    pub class: &'static str,
    /// Encoder ticks, half-open.
    pub ticks: Range<i64>,
    /// Pixel columns, half-open.
    pub columns: Range<u32>,
    /// Strength; 1 is clearly visible.
    pub contrast: f32,
}

/// Settings of a simulated loom.
#[derive(Clone, Debug, PartialEq)]
pub struct LoomSettings {
    /// The same seed weaves the same cloth.
    pub seed: u64,
    /// Index of the camera in its station.
    pub camera: u16,
    /// Pixels across.
    pub width: u32,
    /// Lines of a frame.
    pub frame_height: u32,
    /// Frames until the end; `None` weaves for ever.
    pub n_frames: Option<u64>,
    /// How the yarns cross.
    pub weave: Weave,
    /// Pixels from one end to the next, 3 to 6.
    pub warp_pitch_px: f32,
    /// Pixels from one pick to the next, 3 to 6.
    pub weft_pitch_px: f32,
    /// Random flaws per million pixels of frame.
    pub flaws_per_megapixel: f64,
    /// Multiplies the contrast of random flaws.
    pub contrast: f32,
    /// What lies left of the cloth.
    pub left: Beside,
    /// What lies right of the cloth.
    pub right: Beside,
    /// Sequence numbers of the frames to lose.
    pub lost: BTreeSet<u64>,
}

impl LoomSettings {
    /// Good cloth for trying things out: 2048 px, 256 lines a frame, plain weave, a
    /// white table on the left and a dark one on the right.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
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
        }
    }

    /// Plants one flaw that fills this box as far as its nature allows.
    #[must_use]
    pub fn with_flaw(
        self,
        _kind: FlawKind,
        _ticks: Range<i64>,
        _columns: Range<u32>,
        _contrast: f32,
    ) -> Self {
        self
    }
}

/// A source of simulated cloth.
#[derive(Debug)]
pub struct Loom {
    description: Description,
}

impl Loom {
    /// Sets up a loom.
    ///
    /// # Errors
    /// `LoomSetting` where a setting is out of range.
    pub fn new(settings: LoomSettings) -> Result<Self, CameraError> {
        let shape = crate::FrameShape {
            width: settings.width,
            height: settings.frame_height,
            channels: crate::Channels::Grey,
            depth: crate::Depth::Eight,
        };
        Ok(Self {
            description: Description {
                name: format!("loom:{}", settings.seed),
                shape,
                ticks_per_line: 1,
                n_frames: settings.n_frames,
                live: false,
            },
        })
    }

    /// Every planted flaw, in order of its first tick.
    pub fn truth(&self) -> Vec<PlantedFlaw> {
        Vec::new()
    }
}

impl Source for Loom {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, _pool: &Pool) -> Result<Option<Captured>, CameraError> {
        Ok(None)
    }
}
