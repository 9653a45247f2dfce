//! From frames to tiles: even light, cloth told from table, windows that overlap.
//!
//! ```text
//! Captured ─▶ Tiler ─▶ Work::Tile …, Work::Frame      one Frame behind its tiles, or
//!                      Work::Missed                    where there was nothing to look at
//!                      Work::Ended                     once, behind everything
//! ```
//!
//! A frame waits for the next one, because its last rows are seen together with what follows
//! when the two continue each other; where they do not, or nothing follows, the network sees
//! the mirror image. Everything is a function of the frames and their order. The tiler ends
//! with [`Tiler::finish`]. It judges no texture and knows no millimetre.

mod window;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use calibration::{
    ClothSpan, EvenFrame, Evener, FlatField, JointRows, LightFacts, LightFault, LightLimits,
    continues, find_cloth,
};
use camera::{Captured, Description, Frame, LostReason};
use models::{CELL_PX, Kept, Rim, TILE_STEP_PX};

pub use self::window::Pixels;
use self::window::{Home, Rows, spans};
use crate::seams::RowLight;

/// Largest kept part of a tile across, in pixels. Wider tiles waste less on overlap, but leave the
/// processor's cache: of strips of 256 lines, 1024 px are slower by a twentieth.
const KEPT_WIDTH_PX: usize = 512;
/// Largest kept part of a tile along, in pixels.
const KEPT_HEIGHT_PX: usize = 512;
/// The same where the halo is narrow, in halos: so much overlap costs an eighth. Lower tiles stay
/// in the cache: of the fast mode's, 512 lines are slower than 256 by a seventh.
const KEPT_HEIGHT_HALOS: usize = 16;
/// Kept parts begin and end at multiples of this beside the cloth; a multiple of the tile step,
/// so that the network's cells lie where they lie in any frame.
const EDGE_STEP_PX: usize = 4 * TILE_STEP_PX;

/// Why cloth was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GapReason {
    /// The frame never arrived.
    FrameLost,
    /// The camera is gone.
    CameraLost,
    /// The line did not keep up with the camera.
    Overload,
    /// A file that cannot be decoded, or is not like the rest of its roll.
    Unreadable,
    /// Too much light to see texture.
    Saturated,
    /// Too little light to see texture.
    TooDark,
    /// The frame shows nothing that looks like cloth.
    NoCloth,
    /// Too blurred to see what the article was taught with.
    OutOfFocus,
    /// Two pieces of cloth are sewn together.
    Seam,
    /// It is not the cloth that the model was taught on.
    WrongArticle,
    /// So much was flagged that it says nothing of single flaws: bad light, or cloth in shreds.
    TooManyFlaws,
    /// An inference worker failed on it.
    WorkerFailed,
    /// It passed after the inspection was cut off and before it was gone on with.
    PowerCut,
    /// Cloth passed unseen for a length that nobody measured; the gap only marks the place.
    UnknownLength,
}

impl GapReason {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::FrameLost,
        Self::CameraLost,
        Self::Overload,
        Self::Unreadable,
        Self::Saturated,
        Self::TooDark,
        Self::NoCloth,
        Self::OutOfFocus,
        Self::Seam,
        Self::WrongArticle,
        Self::TooManyFlaws,
        Self::WorkerFailed,
        Self::PowerCut,
        Self::UnknownLength,
    ];

    /// The reason that [`GapReason::as_str`] calls `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The word for it in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::FrameLost => "frame_lost",
            GapReason::CameraLost => "camera_lost",
            GapReason::Overload => "overload",
            GapReason::Unreadable => "unreadable",
            GapReason::Saturated => "saturated",
            GapReason::TooDark => "too_dark",
            GapReason::NoCloth => "no_cloth",
            GapReason::OutOfFocus => "out_of_focus",
            GapReason::Seam => "seam",
            GapReason::WrongArticle => "wrong_article",
            GapReason::TooManyFlaws => "too_many_flaws",
            GapReason::WorkerFailed => "worker_failed",
            GapReason::PowerCut => "power_cut",
            GapReason::UnknownLength => "unknown_length",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One item of work, numbered in cloth order.
#[derive(Debug)]
pub struct Numbered<T> {
    /// Index of the lane, from the left.
    pub lane: usize,
    /// Counts all items of the lane from 0.
    pub ordinal: u64,
    /// The item.
    pub item: T,
}

/// What the tiler makes.
#[derive(Debug)]
pub enum Work {
    /// A window to be scored.
    Tile(Tile),
    /// All tiles of this frame have been sent.
    Frame(FrameHead),
    /// Nothing could be looked at here.
    Missed(Missed),
    /// The lane has ended.
    Ended,
}

/// A window of evened pixels.
pub struct Tile {
    /// `[planes, height, width]`, 1.0 = usual brightness.
    pub pixels: Pixels,
    /// Where the tile's scores count.
    pub place: TilePlace,
}

impl fmt::Debug for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tile({:?}, {:?})", self.pixels.dim(), self.place)
    }
}

/// Where a tile's scores go, in cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TilePlace {
    /// The part of the tile that counts.
    pub kept: Kept,
    /// Row of the frame where the first kept row goes.
    pub row: usize,
    /// Column of the frame where the first kept column goes.
    pub col: usize,
}

/// A frame, for everything that comes after scoring.
#[derive(Debug)]
pub struct FrameHead {
    /// The pixels as the camera gave them; they go home to their pool with this.
    pub frame: Frame,
    /// Where the cloth is.
    pub cloth: ClothSpan,
    /// What the light was like.
    pub light: LightFacts,
    /// What lies above the first row.
    pub above: Rim,
    /// What lies below the last row.
    pub below: Rim,
    /// Whether the cloth before it says what is usual here.
    pub continues: bool,
    /// How bright its rows are.
    pub row_light: Arc<RowLight>,
    /// The same of the frame that follows and continues it.
    pub ahead: Option<Arc<RowLight>>,
}

impl FrameHead {
    /// Rows and columns of cells.
    pub fn cells(&self) -> (usize, usize) {
        (
            (self.frame.height() as usize).div_ceil(CELL_PX),
            (self.frame.width() as usize).div_ceil(CELL_PX),
        )
    }

    /// Encoder position where a line begins; one past the last line is where the frame ends.
    pub fn tick_of_line(&self, line: usize) -> i64 {
        tick_of_line(&self.frame.ticks, self.frame.height() as usize, line)
    }

    /// Columns of cells that hold cloth.
    pub fn judged(&self) -> Range<usize> {
        let columns = self.cloth.columns();
        columns.start / CELL_PX..columns.end.div_ceil(CELL_PX)
    }
}

/// Largest kept part of a tile along, in pixels, for a halo.
fn kept_height_px(halo_px: usize) -> usize {
    (KEPT_HEIGHT_HALOS * halo_px).clamp(KEPT_HEIGHT_PX / 2, KEPT_HEIGHT_PX)
}

/// Where line `line` of `height` begins in `ticks`; exact at both ends, whatever the division.
pub fn tick_of_line(ticks: &Range<i64>, height: usize, line: usize) -> i64 {
    let length = i128::from(ticks.end) - i128::from(ticks.start);
    let along = length * line.min(height) as i128 / height.max(1) as i128;
    // Not longer than the frame, so it fits.
    ticks.start + along as i64
}

/// Cloth that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The lane.
    pub camera: u16,
    /// Number of the frame.
    pub sequence: u64,
    /// Encoder positions, half-open.
    pub ticks: Range<i64>,
    /// For the ledger.
    pub reason: GapReason,
    /// For a person.
    pub detail: String,
    /// File name, if it was one.
    pub origin: Option<Arc<str>>,
}

/// Whether a lane's frames may continue each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joints {
    /// They do, wherever numbers and ticks go on.
    Known,
    /// The rows on both sides of each joint tell.
    Measured,
    /// Never: every frame is a picture of its own.
    Loose,
}

impl Joints {
    /// Of the frames of one roll from a source that says this of itself.
    pub fn of(source: &Description) -> Self {
        if source.continuous {
            Joints::Known
        } else {
            Joints::Measured
        }
    }
}

/// How a lane's frames are corrected.
#[derive(Clone, Debug)]
pub struct Correction {
    /// Planes of a tile.
    pub channels: camera::Channels,
    /// Fixed pattern of the camera, if one was found when teaching.
    pub flat_field: Option<FlatField>,
    /// Light by which cloth can be judged.
    pub light: LightLimits,
    /// Pixels that the model sees around a tile's kept part; a multiple of the tile step.
    pub halo_px: usize,
    /// Whether frames may continue each other.
    pub joints: Joints,
}

impl Correction {
    /// The fixed pattern, where `frame` is as wide as the frames it was found on.
    pub fn flat_field_for(&self, frame: &Frame) -> Option<&FlatField> {
        let field = self.flat_field.as_ref();
        field.filter(|field| field.width() == frame.width())
    }
}

/// Cuts the frames of one lane into tiles.
pub struct Tiler {
    lane: usize,
    correction: Correction,
    evener: Evener,
    /// The frame before the waiting one, for the rows above it.
    before: Option<EvenFrame>,
    waiting: Option<Waiting>,
    spare: Vec<EvenFrame>,
    home: Arc<Home>,
    next_ordinal: u64,
}

/// A frame that waits for the one after it.
struct Waiting {
    frame: Frame,
    /// What is to be told behind it, though it takes no place there.
    late: Vec<Missed>,
    even: EvenFrame,
    row_light: Arc<RowLight>,
    above: Rim,
    continues: bool,
}

/// What one captured item turned out to be.
enum Corrected {
    Cloth(Frame, EvenFrame, Arc<RowLight>),
    Missed(Missed),
}

impl Tiler {
    /// A tiler at the start of lane `lane`, counted from the left.
    pub fn new(lane: usize, correction: Correction) -> Self {
        Self {
            lane,
            correction,
            evener: Evener::new(),
            before: None,
            waiting: None,
            spare: Vec::new(),
            home: Arc::default(),
            next_ordinal: 0,
        }
    }

    /// Takes the next exposure and sends what is now complete to `out`.
    ///
    /// # Errors
    /// What the correction refuses, or what `out` returns.
    pub fn push(
        &mut self,
        captured: Captured,
        out: &mut impl FnMut(Numbered<Work>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self.correct(captured)? {
            Corrected::Cloth(frame, even, row_light) => {
                let joined = self.joins(&frame, &even);
                let had_neighbour = self.waiting.is_some();
                self.release(joined.then_some((&even, &row_light)), out)?;
                let loose = self.correction.joints == Joints::Loose;
                self.waiting = Some(Waiting {
                    frame,
                    late: Vec::new(),
                    even,
                    row_light,
                    above: if joined { Rim::Joined } else { Rim::Mirrored },
                    continues: !loose && (joined || !had_neighbour),
                });
                if !joined && let Some(before) = self.before.take() {
                    self.spare.push(before);
                }
                Ok(())
            }
            Corrected::Missed(missed) => {
                if let Some(waiting) = &mut self.waiting
                    && (missed.ticks.is_empty() || missed.ticks.end <= waiting.frame.ticks.start)
                {
                    // What only came late does not part the frames around it.
                    waiting.late.push(missed);
                    return Ok(());
                }
                self.forget_neighbour(out)?;
                out(self.number(Work::Missed(missed)))
            }
        }
    }

    /// Sends the last frame, and that the lane has ended.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn finish(
        mut self,
        out: &mut impl FnMut(Numbered<Work>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.release(None, out)?;
        out(self.number(Work::Ended))
    }

    fn correct(&mut self, captured: Captured) -> anyhow::Result<Corrected> {
        let frame = match captured {
            Captured::Frame(frame) => frame,
            Captured::Lost(lost) => {
                return Ok(Corrected::Missed(Missed {
                    camera: lost.camera,
                    sequence: lost.sequence,
                    ticks: lost.ticks,
                    reason: match lost.reason {
                        LostReason::Unreadable => GapReason::Unreadable,
                        LostReason::FrameLost => GapReason::FrameLost,
                        LostReason::CameraLost => GapReason::CameraLost,
                        LostReason::Overload => GapReason::Overload,
                        LostReason::UnknownLength => GapReason::UnknownLength,
                    },
                    detail: lost.detail,
                    origin: lost.origin,
                }));
            }
        };
        let wanted = self.correction.channels;
        if wanted == camera::Channels::Rgb && frame.shape().channels == camera::Channels::Grey {
            let detail = "found a grey frame, expected colour: the model was taught on colour";
            return Ok(missed(frame, GapReason::Unreadable, detail.to_owned()));
        }
        let Some(cloth) = find_cloth(&frame) else {
            let facts = LightFacts::of(&frame, ClothSpan::whole(frame.width())?)?;
            let fault = self.correction.light.judge(&facts);
            let reason = fault.map_or(GapReason::NoCloth, reason_of);
            return Ok(missed(frame, reason, describe(&facts)));
        };
        let mut even = self.spare.pop().unwrap_or_else(EvenFrame::empty);
        let flat_field = self.correction.flat_field_for(&frame);
        self.evener
            .even_into(&frame, cloth, flat_field, wanted, &mut even)?;
        if let Some(fault) = self.correction.light.judge(&even.facts) {
            let detail = describe(&even.facts);
            self.spare.push(even);
            return Ok(missed(frame, reason_of(fault), detail));
        }
        let row_light = Arc::new(RowLight::of(&frame, cloth));
        Ok(Corrected::Cloth(frame, even, row_light))
    }

    /// Whether `frame` continues the waiting one.
    fn joins(&self, frame: &Frame, even: &EvenFrame) -> bool {
        let Some(waiting) = &self.waiting else {
            return false;
        };
        if waiting.frame.sequence + 1 != frame.sequence
            || waiting.frame.ticks.end != frame.ticks.start
            || waiting.frame.width() != frame.width()
        {
            return false;
        }
        match self.correction.joints {
            Joints::Loose => false,
            Joints::Known => true,
            Joints::Measured => {
                let above = JointRows::last_of(&waiting.even);
                continues(&above, &JointRows::first_of(even))
            }
        }
    }

    fn forget_neighbour(
        &mut self,
        out: &mut impl FnMut(Numbered<Work>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.release(None, out)?;
        if let Some(before) = self.before.take() {
            self.spare.push(before);
        }
        Ok(())
    }

    /// Cuts the waiting frame, with `next` below it when the two are joined.
    fn release(
        &mut self,
        next: Option<(&EvenFrame, &Arc<RowLight>)>,
        out: &mut impl FnMut(Numbered<Work>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(waiting) = self.waiting.take() else {
            return Ok(());
        };
        let head = FrameHead {
            cloth: waiting.even.cloth,
            light: waiting.even.facts,
            above: waiting.above,
            below: if next.is_some() {
                Rim::Joined
            } else {
                Rim::Mirrored
            },
            continues: waiting.continues,
            row_light: waiting.row_light,
            ahead: next.map(|(_, row_light)| Arc::clone(row_light)),
            frame: waiting.frame,
        };
        let halo_px = self.correction.halo_px;
        let halo = halo_px / CELL_PX;
        let before = self.before.take();
        let rows = Rows {
            before: before.as_ref().filter(|_| head.above == Rim::Joined),
            frame: &waiting.even,
            next: next.map(|(even, _)| even),
            halo_px,
        };
        let columns = columns_to_see(head.cloth, head.frame.width() as usize);
        let (n_rows, n_cols) = head.cells();
        for (top, height) in spans(head.frame.height() as usize, kept_height_px(halo_px)) {
            for (left, width) in spans(columns.len(), KEPT_WIDTH_PX) {
                let left = columns.start + left;
                let (row, col) = (top / CELL_PX, left / CELL_PX);
                let kept = Kept {
                    rows: halo..halo + (height / CELL_PX).min(n_rows - row),
                    cols: halo..halo + (width / CELL_PX).min(n_cols - col),
                };
                let tile = Tile {
                    pixels: rows.window(top, left, height, width, &self.home),
                    place: TilePlace { kept, row, col },
                };
                out(self.number(Work::Tile(tile)))?;
            }
        }
        self.spare.extend(before);
        self.before = Some(waiting.even);
        out(self.number(Work::Frame(head)))?;
        for missed in waiting.late {
            out(self.number(Work::Missed(missed)))?;
        }
        Ok(())
    }

    fn number<T>(&mut self, item: T) -> Numbered<T> {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        Numbered {
            lane: self.lane,
            ordinal,
            item,
        }
    }
}

/// The columns that tiles must keep: the cloth's, and a little beside it, so that an edge that
/// wanders makes no tiles of ever other sizes.
fn columns_to_see(cloth: ClothSpan, width: usize) -> Range<usize> {
    let Range { start, end } = cloth.columns();
    start - start % EDGE_STEP_PX..end.next_multiple_of(EDGE_STEP_PX).min(width)
}

fn missed(frame: Frame, reason: GapReason, detail: String) -> Corrected {
    Corrected::Missed(Missed {
        camera: frame.camera,
        sequence: frame.sequence,
        ticks: frame.ticks.clone(),
        reason,
        detail,
        origin: frame.origin.clone(),
    })
}

fn describe(facts: &LightFacts) -> String {
    format!(
        "found mean level {:.0} of 255 and {:.0} % saturated, expected cloth in usable light",
        facts.mean_level,
        facts.saturated_share * 100.0
    )
}

fn reason_of(fault: LightFault) -> GapReason {
    match fault {
        LightFault::TooDark => GapReason::TooDark,
        LightFault::Saturated => GapReason::Saturated,
    }
}

#[cfg(test)]
mod tests;
