//! Where flaws are planted: a source of good cloth that hands out flawed frames.
//!
//! ```text
//! good cloth ─▶ frame ─▶ places far enough apart ─▶ drawn ─▶ the frame, flawed
//!                              └─▶ Plan: what was planted into which frame
//! ```
//!
//! Flaws of a frame lie apart from each other by more than the model sees, so that each is judged as
//! if it were alone, and away from the cloth's edges, but for those that belong there. Kinds take
//! turns, the one that was planted least often first; sizes are spread evenly over their logarithm.
//! Everything comes from a seeded generator: the same cloth gets the same flaws. The source ends
//! with the good cloth, or when enough was planted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use calibration::{ClothSpan, find_cloth};
use camera::{CameraError, Captured, Description, Frame, Pool, Source};
use models::CELL_PX;

use super::TOUCHES_CELLS;
use super::draw::{Canvas, KINDS, Kind, Mark, Place, Scale, Shape};

/// Pixels over which a score fades that is smoothed and then followed along its column: three
/// standard deviations of both together, 1.5 and 2 cells.
const FADES_PX: usize = 30;
/// Pixels that stay free beside the cloth's edges.
const FROM_EDGE_PX: usize = 32;
/// Pixels that stay free at a frame's first and last line.
const FROM_END_PX: usize = 4;
/// Frames after which a kind that found no room in any of them is given up.
const TRIED_FRAMES: usize = 8;
/// Places that are tried for one flaw.
const N_TRIES: usize = 24;

/// What is planted into which frame, shared between the source and whoever looks for it.
#[derive(Debug)]
pub(super) struct Plan {
    /// Flaws wanted of each kind.
    n_wanted: usize,
    /// Frames that were filled.
    n_frames: usize,
    /// Flaws of each kind so far.
    n_planted: Vec<usize>,
    /// What was planted, by number of the frame; taken out when it was looked for.
    frames: BTreeMap<u64, Vec<(usize, Mark)>>,
    apart_px: usize,
    lots: Lots,
}

impl Plan {
    /// An empty plan for so many flaws of each kind, for a model that sees no further than
    /// `halo_px` from a cell. The halo of every mode holds what its network and the filters for
    /// spots see.
    pub(super) fn new(n_wanted: usize, halo_px: usize, seed: u64) -> Self {
        Self {
            n_wanted,
            n_frames: 0,
            n_planted: vec![0; KINDS.len()],
            frames: BTreeMap::new(),
            apart_px: halo_px + FADES_PX + TOUCHES_CELLS * CELL_PX,
            lots: Lots(seed),
        }
    }

    /// Whether every kind that can be planted at all was planted as often as wanted.
    pub(super) fn is_done(&self) -> bool {
        let cannot = |n: usize| n == 0 && self.n_frames >= TRIED_FRAMES;
        let is_enough = |n: &usize| *n >= self.n_wanted || cannot(*n);
        self.n_planted.iter().all(is_enough)
    }

    /// What was planted into a frame: the index of its kind, and where.
    pub(super) fn take(&mut self, sequence: u64) -> Vec<(usize, Mark)> {
        self.frames.remove(&sequence).unwrap_or_default()
    }

    /// Finds places in a frame for as many flaws as it holds.
    fn fill(&mut self, room: &Room, scale: Scale) -> Vec<(usize, Mark)> {
        self.n_frames += 1;
        let mut marks: Vec<(usize, Mark)> = Vec::new();
        let mut is_full = vec![false; KINDS.len()];
        let next = |n_planted: &[usize], is_full: &[bool]| {
            let open = (0..KINDS.len()).filter(|nth| !is_full[*nth]);
            open.filter(|nth| n_planted[*nth] < self.n_wanted)
                .min_by_key(|nth| n_planted[*nth])
        };
        while let Some(nth) = next(&self.n_planted, &is_full) {
            let kind = KINDS[nth];
            let size_mm = self.lots.size(kind, self.n_planted[nth], scale);
            let place = (0..N_TRIES).find_map(|_| {
                let place = room.place(kind, size_mm, scale, &mut self.lots)?;
                let is_apart = |(_, other): &(_, Mark)| place.is_apart(&other.place, self.apart_px);
                let is_free = marks.iter().all(is_apart);
                is_free.then_some(place)
            });
            match place {
                Some(place) => {
                    let lot = self.lots.next();
                    marks.push((
                        nth,
                        Mark {
                            kind,
                            size_mm,
                            place,
                            lot,
                        },
                    ));
                    self.n_planted[nth] += 1;
                }
                None => is_full[nth] = true,
            }
        }
        marks
    }
}

/// Where in a frame there is room.
struct Room {
    height: usize,
    width: usize,
    cloth: ClothSpan,
}

impl Room {
    /// A place for a flaw, drawn by lot; `None` where the frame has no room for it.
    fn place(&self, kind: Kind, size_mm: f64, scale: Scale, lots: &mut Lots) -> Option<Place> {
        let (n_rows, n_cols) = Mark::size_px(kind, size_mm, scale);
        let rows = lots.within(FROM_END_PX..self.height.saturating_sub(FROM_END_PX), n_rows)?;
        let (left, right) = (self.cloth.left() as usize, self.cloth.right() as usize);
        let cols = if kind.shape == Shape::Cut {
            // What shows through is what lies beside the cloth, as deep as the cut.
            let sides = [left >= n_cols, self.width - right >= n_cols];
            let is_left = match sides {
                [true, true] => lots.next() < 0.5,
                [true, false] => true,
                [false, true] => false,
                [false, false] => return None,
            };
            if right - left <= 2 * n_cols {
                return None;
            }
            if is_left {
                left..left + n_cols
            } else {
                right - n_cols..right
            }
        } else {
            lots.within(
                left + FROM_EDGE_PX..right.saturating_sub(FROM_EDGE_PX),
                n_cols,
            )?
        };
        Some(Place { rows, cols })
    }
}

impl Place {
    /// Whether `px` or more lie between them.
    fn is_apart(&self, other: &Place, px: usize) -> bool {
        let clear =
            |a: &Range<usize>, b: &Range<usize>| a.start >= b.end + px || b.start >= a.end + px;
        clear(&self.rows, &other.rows) || clear(&self.cols, &other.cols)
    }
}

/// Numbers as if by chance, the same each time (splitmix64).
#[derive(Debug)]
struct Lots(u64);

impl Lots {
    /// 0 to 1, half-open.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `n` numbers in a row somewhere in `range`.
    fn within(&mut self, range: Range<usize>, n: usize) -> Option<Range<usize>> {
        let n_starts = range.end.checked_sub(range.start + n)? + 1;
        let start = range.start + (self.next() * n_starts as f64) as usize;
        Some(start..start + n)
    }

    /// The size of the `nth` flaw of a kind, mm: multiples of the golden ratio spread evenly.
    fn size(&mut self, kind: Kind, nth: usize, scale: Scale) -> f64 {
        const GOLDEN: f64 = 0.618_033_988_749_894_9;
        let (from, to) = kind.sizes_mm(scale);
        from * (to / from).powf(((nth + 1) as f64 * GOLDEN).fract())
    }
}

impl Kind {
    /// Smallest and largest size that is planted, mm.
    pub(super) fn sizes_mm(&self, scale: Scale) -> (f64, f64) {
        let px = scale.across.max(scale.along);
        (self.sizes_px.0 * px, self.sizes_px.1 * px)
    }
}

/// Good cloth with flaws in it.
pub(super) struct Planted {
    good: Box<dyn Source>,
    /// The good frame's memory, which goes home at once.
    own: Pool,
    scale: Scale,
    plan: Arc<Mutex<Plan>>,
}

impl Planted {
    /// Plants into `good` what `plan` still wants.
    pub(super) fn new(good: Box<dyn Source>, scale: Scale, plan: Arc<Mutex<Plan>>) -> Self {
        let own = Pool::new(1, good.description().shape.n_bytes());
        Self {
            good,
            own,
            scale,
            plan,
        }
    }

    fn flawed(&self, good: &Frame, pool: &Pool) -> Result<Option<Frame>, CameraError> {
        let Some(mut buffer) = pool.take() else {
            return Ok(None);
        };
        let bytes = &mut buffer.bytes_mut()[..good.bytes().len()];
        bytes.copy_from_slice(good.bytes());
        if let Some(cloth) = find_cloth(good) {
            let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
            let room = Room {
                height: good.height() as usize,
                width: good.width() as usize,
                cloth,
            };
            let marks = plan.fill(&room, self.scale);
            let mut canvas = Canvas::new(good.shape(), bytes, cloth.columns(), self.scale);
            marks.iter().for_each(|(_, mark)| canvas.draw(mark));
            plan.frames.insert(good.sequence, marks);
        }
        let ticks = good.ticks.clone();
        let mut frame = Frame::new(good.camera, good.sequence, ticks, good.shape(), buffer)?;
        frame.origin.clone_from(&good.origin);
        Ok(Some(frame))
    }
}

impl Source for Planted {
    fn description(&self) -> &Description {
        self.good.description()
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        let plan = || self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        if plan().is_done() {
            return Ok(None);
        }
        match self.good.next(&self.own)? {
            Some(Captured::Frame(good)) => Ok(self.flawed(&good, pool)?.map(Captured::Frame)),
            other => Ok(other),
        }
    }
}

#[cfg(test)]
mod tests;
