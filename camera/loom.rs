//! Simulated cloth with planted flaws and their truth.
//!
//! ```text
//! settings ──▶ yarns ──▶ flaws ──▶ table, edges ──▶ lamp, sensor ──▶ Frame
//!                          └─────▶ truth in ticks and columns
//! ```
//!
//! A [`Loom`] weaves one endless web line by line, each from its tick and the seed alone:
//! the next frame continues the last one, and the same cloth comes out whatever the frame
//! height. Ends after `n_frames`, or never. Eight bit grey; one line is one tick. It is
//! not a model of any one fabric.

mod flaws;
mod noise;
mod planting;
mod sensor;
#[cfg(test)]
mod tests;
mod weave;

use std::collections::BTreeSet;
use std::ops::Range;

use self::flaws::Flaw;
pub use self::flaws::{FlawKind, PlantedFlaw};
use self::planting::Planting;
use self::sensor::Sensor;
use self::weave::Cloth;
use crate::{
    CameraError, Captured, Channels, Depth, Description, Frame, FrameShape, Lost, LostReason, Pool,
    Source,
};

/// A source of simulated cloth.
#[derive(Debug)]
pub struct Loom {
    settings: LoomSettings,
    description: Description,
    cloth: Cloth,
    sensor: Sensor,
    planting: Planting,
    flaws: Vec<Flaw>,
    next_sequence: u64,
    row: Vec<f32>,
}

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
    /// Pixels across, 64 to 65,535.
    pub width: u32,
    /// Lines of a frame, 1 to 65,535.
    pub frame_height: u32,
    /// Frames until the end; `None` weaves for ever.
    pub n_frames: Option<u64>,
    /// How the yarns cross.
    pub weave: Weave,
    /// Pixels from one end to the next, 2 to 16.
    pub warp_pitch_px: f32,
    /// Pixels from one pick to the next, 2 to 16.
    pub weft_pitch_px: f32,
    /// Random flaws per million pixels of frame, 0 to 100.
    pub flaws_per_megapixel: f64,
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
}

/// A flaw to be planted once the yarns are known.
#[derive(Clone, Debug, PartialEq)]
pub struct FlawWish {
    /// What to plant.
    pub kind: FlawKind,
    /// Encoder ticks, half-open; must begin on the web.
    pub ticks: Range<i64>,
    /// Pixel columns, half-open; must lie within the frame.
    pub columns: Range<u32>,
    /// Strength, 0 to 4; at 1 a person sees it at a glance.
    pub contrast: f32,
}

/// Pixels of cloth that must be left between two tables.
const LEAST_CLOTH_PX: u32 = 64;
/// Brightness of the tables, as a share of white paper; the white one saturates even
/// where the lamp is weakest.
const DARK_TABLE: f32 = 0.05;
const WHITE_TABLE: f32 = 4.0;

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
        }
    }

    /// Plants one flaw that fills this box as far as its nature allows: a missing end is
    /// the one yarn in the middle of `columns`, a missing pick the one in the middle of
    /// `ticks` over the full width, a cut selvedge goes as deep as `columns` is wide into
    /// the nearer edge. [`Loom::truth`] says what became of it.
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

    /// Lines until the end.
    fn n_lines(&self) -> Option<i64> {
        let lines = |n| {
            i64::try_from(n)
                .ok()?
                .checked_mul(i64::from(self.frame_height))
        };
        self.n_frames.map(|n| lines(n).unwrap_or(i64::MAX))
    }

    fn check(&self) -> Result<(), CameraError> {
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
        if tables + u64::from(LEAST_CLOTH_PX) > u64::from(self.width) {
            let found = format!("{tables} px of {} px", self.width);
            return refuse("left and right", found, "tables that leave 64 px of cloth");
        }
        Ok(())
    }
}

impl Loom {
    /// Sets up a loom.
    ///
    /// # Errors
    /// `LoomSetting` where a setting is out of range or a planted flaw does not lie in
    /// the web.
    pub fn new(settings: LoomSettings) -> Result<Self, CameraError> {
        settings.check()?;
        let cloth = Cloth::new(&settings);
        let mut flaws = Vec::new();
        for wish in &settings.planted {
            flaws.push(plant(wish, &settings, &cloth)?);
        }
        let mut planting = Planting::new();
        if let Some(n_lines) = settings.n_lines() {
            planting.plan_until(n_lines, &settings, &cloth, &mut flaws);
            flaws.retain(|flaw| flaw.ticks.start < n_lines);
        }
        let shape = FrameShape {
            width: settings.width,
            height: settings.frame_height,
            channels: Channels::Grey,
            depth: Depth::Eight,
        };
        let description = Description {
            name: format!("loom:{}", settings.seed),
            shape,
            ticks_per_line: 1,
            n_frames: settings.n_frames,
            live: false,
        };
        Ok(Self {
            sensor: Sensor::new(&settings),
            row: vec![0.0; settings.width as usize],
            settings,
            description,
            cloth,
            planting,
            flaws,
            next_sequence: 0,
        })
    }

    /// Every planted flaw, in order of its first tick, cut off at the end of the web. On
    /// an endless web, those planned so far: at least all that begin in frames that were
    /// handed out.
    pub fn truth(&self) -> Vec<PlantedFlaw> {
        let end = self.settings.n_lines().unwrap_or(i64::MAX);
        let mut truth: Vec<_> = self.flaws.iter().map(Flaw::truth).collect();
        for flaw in &mut truth {
            flaw.ticks.end = flaw.ticks.end.min(end);
        }
        truth.sort_by_key(|flaw| (flaw.ticks.start, flaw.columns.start));
        truth
    }

    /// Weaves the lines of `ticks` into `out`, row after row.
    fn weave(&mut self, ticks: Range<i64>, out: &mut [u8]) {
        let width = self.settings.width as usize;
        // The lens shows a little of the lines before and after.
        let seen = ticks.start - 1..ticks.end + 1;
        let active: Vec<&Flaw> = self
            .flaws
            .iter()
            .filter(|flaw| overlap(&flaw.ticks, &seen))
            .collect();
        let ground = match (self.settings.left, self.settings.right) {
            (Beside::WhiteTable(_), _) | (_, Beside::WhiteTable(_)) => WHITE_TABLE,
            (Beside::Cloth | Beside::DarkTable(_), Beside::Cloth | Beside::DarkTable(_)) => {
                DARK_TABLE
            }
        };
        let mut here: Vec<&Flaw> = Vec::new();
        for (tick, line) in ticks.zip(out.chunks_exact_mut(width)) {
            here.clear();
            here.extend(active.iter().filter(|flaw| flaw.ticks.contains(&tick)));
            self.cloth.draw(tick, &active, &mut self.row);
            for flaw in &here {
                flaw.overlay(tick, ground, &mut self.row);
            }
            for (side, beside) in [self.settings.left, self.settings.right]
                .into_iter()
                .enumerate()
            {
                let cut = here
                    .iter()
                    .map(|flaw| flaw.cut_px(side, tick))
                    .fold(0.0, f32::max);
                lay_table(side, beside, tick, cut, &self.cloth, &mut self.row);
            }
            self.sensor.expose(tick, &self.row, line);
        }
    }
}

impl Source for Loom {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let sequence = self.next_sequence;
        if self.settings.n_frames.is_some_and(|n| sequence >= n) {
            return Ok(None);
        }
        let height = i64::from(self.settings.frame_height);
        let start = sequence as i64 * height;
        let ticks = start..start + height;
        let camera = self.settings.camera;
        self.planting
            .plan_until(ticks.end, &self.settings, &self.cloth, &mut self.flaws);
        if self.settings.lost.contains(&sequence) {
            self.next_sequence += 1;
            return Ok(Some(Captured::Lost(Lost {
                camera,
                sequence,
                ticks,
                reason: LostReason::FrameLost,
                detail: format!(
                    "frame {sequence} was lost, as {} was told to",
                    self.description.name
                ),
                origin: None,
            })));
        }
        let Some(buffer) = pool.take() else {
            return Ok(None);
        };
        let mut frame = Frame::new(
            camera,
            sequence,
            ticks.clone(),
            self.description.shape,
            buffer,
        )?;
        self.weave(ticks, frame.bytes_mut());
        self.next_sequence += 1;
        Ok(Some(Captured::Frame(frame)))
    }
}

fn plant(wish: &FlawWish, settings: &LoomSettings, cloth: &Cloth) -> Result<Flaw, CameraError> {
    let FlawWish {
        kind,
        ticks,
        columns,
        contrast,
    } = wish.clone();
    let refuse = |expected| {
        let found = format!(
            "{} at ticks {}..{}, columns {}..{}, contrast {contrast}",
            kind.class(),
            ticks.start,
            ticks.end,
            columns.start,
            columns.end
        );
        Err(CameraError::LoomSetting {
            key: "planted flaw",
            found,
            expected,
        })
    };
    if ticks.is_empty() || ticks.start < 0 || ticks.start >= settings.n_lines().unwrap_or(i64::MAX)
    {
        return refuse("ticks that begin on the web");
    }
    if columns.is_empty() || columns.end > settings.width {
        return refuse("columns within the frame");
    }
    if !(0.0..=4.0).contains(&contrast) {
        return refuse("contrast from 0 to 4");
    }
    match Flaw::place(cloth, kind, ticks.clone(), columns.clone(), contrast) {
        Some(flaw) => Ok(flaw),
        None => refuse("a table beside the cloth, for a selvedge to be in sight"),
    }
}

/// Covers what lies beyond the edge with table, `cut` px further in than usual.
fn lay_table(side: usize, beside: Beside, tick: i64, cut: f32, cloth: &Cloth, row: &mut [f32]) {
    let light = match beside {
        Beside::Cloth => return,
        Beside::DarkTable(_) => DARK_TABLE,
        Beside::WhiteTable(_) => WHITE_TABLE,
    };
    let Some(edge) = cloth.edges[side] else {
        return;
    };
    let out = cloth.loop_px(side, tick) * (1.0 - cut.min(1.0)) - cut;
    let border = edge + cloth.drift(tick) + if side == 0 { -out } else { out };
    // The border's own pixel shows both.
    let last = (border.max(0.0) as usize).min(row.len().saturating_sub(1));
    let part = (border - last as f32).clamp(0.0, 1.0);
    let (table, of_table) = if side == 0 {
        (0..last, part)
    } else {
        (last + 1..row.len(), 1.0 - part)
    };
    row[table].fill(light);
    row[last] += (light - row[last]) * of_table;
}

fn overlap(a: &Range<i64>, b: &Range<i64>) -> bool {
    a.start < b.end && b.start < a.end
}
