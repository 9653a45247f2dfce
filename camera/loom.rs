//! Simulated cloth with planted flaws and their truth.
//!
//! ```text
//! settings ──▶ yarns ──▶ flaws ──▶ table, edges ──▶ speed ──▶ lamp, sensor ──▶ Frame
//!                          └─────▶ truth in ticks and columns
//! ```
//!
//! A [`Loom`] weaves one endless web line by line, each from its number and the seed alone:
//! the next frame continues the last one, and the same cloth comes out whatever the frame
//! height and whichever part of the web a camera sees. Ends after `n_frames`, or never. It is
//! not a model of any one fabric.

mod flaws;
mod lanes;
mod layout;
mod noise;
mod planting;
mod sensor;
mod settings;
mod shapes;
mod speed;
mod surface;
#[cfg(test)]
mod tests;
mod weave;

use std::ops::Range;

use self::flaws::Flaw;
pub use self::flaws::{FlawKind, PlantedFlaw};
pub use self::lanes::{LaneView, LoomWeb};
use self::layout::Layout;
use self::planting::Planting;
use self::sensor::Sensor;
pub use self::settings::{Beside, Dyes, FlawWish, LoomSettings, SpeedStep, Weave};
use self::settings::{DARK_TABLE, WHITE_TABLE};
use self::speed::Course;
use self::weave::Cloth;
use crate::{
    CameraError, Captured, Channels, Depth, Description, Frame, FrameShape, Lost, LostReason, Pool,
    Source, TicksFrom,
};

/// A source of simulated cloth.
#[derive(Debug)]
pub struct Loom {
    settings: LoomSettings,
    description: Description,
    lane: LaneView,
    course: Course,
    cloth: Cloth,
    sensor: Sensor,
    planting: Planting,
    flaws: Vec<Flaw>,
    next_sequence: u64,
    /// First column of `here`, in columns of the web, and where in it the lane begins.
    first_column: i64,
    margin: usize,
    /// One line of cloth, ready for the sensor but for the lamp, and its number.
    here: (i64, Vec<Vec<f32>>),
    /// Several lines of cloth in one exposed line.
    mixed: Vec<Vec<f32>>,
}

/// Columns that a lane knows of beyond its own sides: as far as the lens carries light.
const LANE_MARGIN: usize = 1;

impl Loom {
    /// Sets up a loom whose whole web is seen by one camera.
    ///
    /// # Errors
    /// `LoomSetting` where a setting is out of range, or a planted flaw does not lie in the web
    /// or cannot be on such cloth.
    pub fn new(settings: LoomSettings) -> Result<Self, CameraError> {
        let whole = LaneView::whole(&settings);
        Self::over(settings, whole, 0)
    }

    /// One lane of a web; what lies beside the cloth lies at the web's sides.
    fn of_lane(settings: LoomSettings, lane: LaneView) -> Result<Self, CameraError> {
        Self::over(settings, lane, LANE_MARGIN)
    }

    fn over(settings: LoomSettings, lane: LaneView, margin: usize) -> Result<Self, CameraError> {
        settings.check()?;
        lane.check(&settings)?;
        let first_column =
            i64::from(lane.first_column) + i64::from(lane.off_columns) - margin as i64;
        let width = lane.width as usize + 2 * margin;
        let cloth = Cloth::new(&settings, first_column, width);
        let course = Course::new(&settings);
        let mut flaws = Vec::new();
        for wish in &settings.planted {
            flaws.push(plant(wish, &settings, &course, &cloth.layout)?);
        }
        let mut planting = Planting::new();
        if let Some(n_lines) = settings.n_lines() {
            let end = course.cloth_lines(&(0..course.tick(n_lines).max(1))).end;
            planting.plan_until(end, &settings, &cloth.layout, &mut flaws);
            flaws.retain(|flaw| flaw.lines.start < end);
        }
        let shape = FrameShape {
            width: lane.width,
            height: settings.frame_height,
            channels: match settings.dyes {
                None => Channels::Grey,
                Some(_) => Channels::Rgb,
            },
            depth: settings.depth,
        };
        let description = Description {
            name: format!("loom:{}", settings.seed),
            shape,
            ticks_per_line: course.ticks_per_line(),
            ticks: TicksFrom::Encoder,
            n_frames: settings.n_frames,
            live: false,
            continuous: true,
        };
        let planes = vec![vec![0.0; width]; shape.channels.count()];
        Ok(Self {
            sensor: Sensor::new(&settings, &lane, margin > 0),
            here: (i64::MIN, planes.clone()),
            mixed: planes,
            settings,
            description,
            lane,
            course,
            cloth,
            planting,
            flaws,
            next_sequence: 0,
            first_column,
            margin,
        })
    }

    /// Lets cloth pass unseen: the next frame is the one with this sequence number, unless it has passed
    /// already.
    pub fn pass_to(&mut self, sequence: u64) {
        self.next_sequence = self.next_sequence.max(sequence);
    }

    /// Every planted flaw, in order of its first tick, cut off at the end of the web. On
    /// an endless web, those planned so far: at least all that begin in frames that were
    /// handed out.
    pub fn truth(&self) -> Vec<PlantedFlaw> {
        let end = self.settings.n_lines().map(|n| self.course.tick(n));
        let of = |flaw: &Flaw| flaw.truth(self.course.ticks_per_line());
        let mut truth: Vec<_> = self.flaws.iter().map(of).collect();
        for flaw in &mut truth {
            flaw.ticks.end = flaw.ticks.end.min(end.unwrap_or(i64::MAX));
        }
        truth.retain(|flaw| !flaw.ticks.is_empty());
        truth.sort_by_key(|flaw| (flaw.ticks.start, flaw.columns.start));
        truth
    }

    /// Exposes as many lines as the frame has, the first of them the `first` of the web.
    fn expose(&mut self, first: i64, frame: &mut Frame) {
        let shape = frame.shape();
        let last = first + i64::from(shape.height) - 1;
        let ticks = self.course.tick(first)..self.course.seen(last).end;
        let mut lines = self.course.cloth_lines(&ticks);
        let off = i64::from(self.lane.off_lines);
        // The lens shows a little of the lines before and after.
        lines = lines.start + off - 1..lines.end + off + 1;
        let flaws = std::mem::take(&mut self.flaws);
        let active: Vec<&Flaw> = flaws
            .iter()
            .filter(|flaw| overlap(&flaw.lines, &lines))
            .collect();
        let n = shape.width as usize * shape.channels.count();
        match shape.depth {
            Depth::Eight => {
                for (line, row) in (first..).zip(frame.bytes_mut().chunks_exact_mut(n)) {
                    self.light(line, &active);
                    self.sensor.expose(line, &self.seen(), row);
                }
            }
            Depth::Sixteen => {
                for (line, row) in (first..).zip(frame.samples_mut().chunks_exact_mut(n)) {
                    self.light(line, &active);
                    self.sensor.expose_deep(line, &self.seen(), row);
                }
            }
        }
        self.flaws = flaws;
    }

    /// What the sensor sees of `mixed`: all but the margin.
    fn seen(&self) -> Vec<&[f32]> {
        let width = self.lane.width as usize;
        let rows = self.mixed.iter();
        rows.map(|row| &row[self.margin..][..width]).collect()
    }

    /// Fills `mixed` with the light of one exposed line: that of all cloth that passes meanwhile.
    fn light(&mut self, line: i64, active: &[&Flaw]) {
        let per_line = self.course.ticks_per_line();
        let ticks = self.course.seen(line);
        let lines = self.course.cloth_lines(&ticks);
        let (first, n_ticks) = (lines.start, (ticks.end - ticks.start) as f32);
        let off = i64::from(self.lane.off_lines);
        if lines.end == first + 1 {
            self.draw(first + off, active);
            std::mem::swap(&mut self.here.1, &mut self.mixed);
            // What is drawn is gone from `here`; a line that is seen twice is drawn again.
            self.here.0 = i64::MIN;
            return;
        }
        for line in lines {
            self.draw(line + off, active);
            let seen = ticks.end.min((line + 1) * per_line) - ticks.start.max(line * per_line);
            let share = seen as f32 / n_ticks;
            for (mixed, here) in self.mixed.iter_mut().zip(&self.here.1) {
                for (mixed, here) in mixed.iter_mut().zip(here) {
                    *mixed = here * share + if line == first { 0.0 } else { *mixed };
                }
            }
        }
    }

    /// Draws one line of cloth into `here`: yarns, flaws, tables.
    fn draw(&mut self, line: i64, active: &[&Flaw]) {
        if self.here.0 == line {
            return;
        }
        let planes = &mut self.here.1;
        let ground = self.settings.ground();
        let dyes = self.settings.dyes.as_ref().unwrap_or(&Dyes::UNDYED);
        self.cloth.draw(line, active, planes);
        let here = || active.iter().filter(|flaw| flaw.lines.contains(&line));
        for flaw in here() {
            flaw.overlay(line, ground, dyes, self.first_column, planes);
        }
        for (side, beside) in [self.settings.left, self.settings.right]
            .into_iter()
            .enumerate()
        {
            let cut = here()
                .map(|flaw| flaw.cut_px(side, line))
                .fold(0.0, f32::max);
            for row in &mut *planes {
                let table = Table { side, beside, cut };
                table.lay(line, &self.cloth.layout, self.first_column, row);
            }
        }
        self.here.0 = line;
    }
}

impl LoomSettings {
    /// What shows through a hole.
    fn ground(&self) -> f32 {
        let is_white = |beside| matches!(beside, Beside::WhiteTable(_));
        // A mesh over a lit table would be blinding; it runs over a dark roller.
        if self.weave != Weave::Mesh && (is_white(self.left) || is_white(self.right)) {
            WHITE_TABLE
        } else {
            DARK_TABLE
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
        let first = sequence as i64 * height;
        let ticks = self.course.tick(first)..self.course.tick(first + height);
        let camera = self.settings.camera;
        let planned = self.course.cloth_lines(&(0..ticks.end.max(1))).end
            + i64::from(self.lane.off_lines.max(0));
        self.planting
            .plan_until(planned, &self.settings, &self.cloth.layout, &mut self.flaws);
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
        let mut frame = Frame::new(camera, sequence, ticks, self.description.shape, buffer)?;
        self.expose(first, &mut frame);
        self.next_sequence += 1;
        Ok(Some(Captured::Frame(frame)))
    }
}

fn plant(
    wish: &FlawWish,
    settings: &LoomSettings,
    course: &Course,
    layout: &Layout,
) -> Result<Flaw, CameraError> {
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
        CameraError::LoomSetting {
            key: "planted flaw",
            found,
            expected,
        }
    };
    let end = settings.n_lines().map_or(i64::MAX, |n| course.tick(n));
    if ticks.is_empty() || ticks.start < 0 || ticks.start >= end {
        return Err(refuse("ticks that begin on the web"));
    }
    if columns.is_empty() || columns.end > settings.width {
        return Err(refuse("columns within the frame"));
    }
    if !(0.0..=4.0).contains(&contrast) {
        return Err(refuse("contrast from 0 to 4"));
    }
    let lines = course.cloth_lines(&ticks);
    Flaw::place(settings, layout, kind, lines, columns.clone(), contrast).map_err(refuse)
}

/// What covers one side of a line.
struct Table {
    side: usize,
    beside: Beside,
    /// How many px further in than usual.
    cut: f32,
}

impl Table {
    /// Covers what lies beyond the edge in a row that begins at column `first` of the web.
    fn lay(&self, line: i64, layout: &Layout, first: i64, row: &mut [f32]) {
        let light = match self.beside {
            Beside::Cloth => return,
            Beside::DarkTable(_) => DARK_TABLE,
            Beside::WhiteTable(_) => WHITE_TABLE,
        };
        let Some(edge) = layout.edges[self.side] else {
            return;
        };
        let is_left = self.side == 0;
        let out = layout.loop_px(self.side, line) * (1.0 - self.cut.min(1.0)) - self.cut;
        let border = edge + layout.drift(line) + if is_left { -out } else { out };
        // The border's own pixel shows both.
        let last = (border.max(0.0) as usize).min(layout.width().saturating_sub(1));
        let part = (border - last as f32).clamp(0.0, 1.0);
        let local = last as i64 - first;
        let n = row.len() as i64;
        let (table, of_table) = if is_left {
            (0..local.clamp(0, n), part)
        } else {
            ((local + 1).clamp(0, n)..n, 1.0 - part)
        };
        row[table.start as usize..table.end as usize].fill(light);
        if let Some(value) = usize::try_from(local).ok().and_then(|at| row.get_mut(at)) {
            *value += (light - *value) * of_table;
        }
    }
}

fn overlap(a: &Range<i64>, b: &Range<i64>) -> bool {
    a.start < b.end && b.start < a.end
}
