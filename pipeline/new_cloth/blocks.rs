//! Lines of many pictures, gathered into blocks that are high enough to be judged.
//!
//! ```text
//! a picture's new lines | Lost ──▶ Blocks ──▶ blocks of BLOCK_LINES, what is left before a loss | Lost
//! ```
//!
//! A tile sees up to [`MAX_HALO_PX`] lines beyond its own, and those of one frame above and one below only.
//! So no frame that goes on in another one may be lower than that: a block goes out once enough
//! lies behind it, and what is left before a loss or at the end is never less, unless no more
//! came since the last loss. Lines wait in memory of their own, at most a picture and two blocks
//! of them, so that the buffers of the pool go home at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use camera::{CameraError, Captured, Frame, FrameShape, Lost, Pool};
use models::MAX_HALO_PX;

use super::Motion;

/// Lines of a block, or a multiple of it.
const BLOCK_LINES: usize = 128;
/// Lines that stay behind when a block goes out.
const REST_LINES: usize = 64;
const _: () = assert!(REST_LINES >= MAX_HALO_PX && BLOCK_LINES >= MAX_HALO_PX);
/// From so many lines on a block goes out.
const FULL_LINES: usize = BLOCK_LINES + REST_LINES;

/// Lines and losses in the order of the cloth, not yet handed out.
pub(super) struct Blocks {
    waiting: VecDeque<Piece>,
    /// Most lines that a frame may have.
    most_lines: usize,
    next_sequence: u64,
}

enum Piece {
    Lines(Lines),
    /// Its number is given when it goes out.
    Lost(Lost),
}

/// Lines that go on in one another.
struct Lines {
    camera: u16,
    shape: FrameShape,
    bytes: Vec<u8>,
    /// Where the first one begins.
    first_tick: i64,
    /// Of the picture that came last.
    taken_at: SystemTime,
    origin: Option<Arc<str>>,
}

impl Blocks {
    /// Blocks of pictures of this shape.
    pub(super) fn new(picture: FrameShape) -> Self {
        Self {
            waiting: VecDeque::new(),
            most_lines: highest(picture) as usize,
            next_sequence: 0,
        }
    }

    /// Adds the newest `n_new` lines of a picture, the first of which begins at `first_tick`.
    pub(super) fn add(&mut self, picture: &Frame, n_new: u32, motion: Motion, first_tick: i64) {
        if !matches!(self.waiting.back(), Some(Piece::Lines(_))) {
            self.waiting.push_back(Piece::Lines(Lines {
                camera: picture.camera,
                shape: picture.shape(),
                bytes: Vec::new(),
                first_tick,
                taken_at: picture.taken_at,
                origin: None,
            }));
        }
        let Some(Piece::Lines(lines)) = self.waiting.back_mut() else {
            return;
        };
        lines.taken_at = picture.taken_at;
        lines.origin.clone_from(&picture.origin);
        let rows = picture.bytes().chunks_exact(lines.line());
        let n_new = n_new as usize;
        match motion {
            Motion::Up => rows
                .skip((picture.height() as usize).saturating_sub(n_new))
                .for_each(|row| lines.bytes.extend_from_slice(row)),
            Motion::Down => rows
                .take(n_new)
                .rev()
                .for_each(|row| lines.bytes.extend_from_slice(row)),
        }
    }

    /// Adds cloth that was not seen, behind all that was added so far.
    pub(super) fn lose(&mut self, lost: Lost) {
        self.waiting.push_back(Piece::Lost(lost));
    }

    /// What is ready to go out; all of it, piece by piece, where nothing more `is_coming`.
    /// `None` as well when the pool was closed.
    ///
    /// # Errors
    /// `BufferTooSmall` for a pool whose buffers hold no block.
    pub(super) fn hand_out(
        &mut self,
        pool: &Pool,
        is_coming: bool,
        per_line: i64,
    ) -> Result<Option<Captured>, CameraError> {
        let is_last = self.waiting.len() == 1;
        let sequence = self.next_sequence;
        let handed_out = match self.waiting.pop_front() {
            None => None,
            Some(Piece::Lost(lost)) => Some(Captured::Lost(Lost { sequence, ..lost })),
            Some(Piece::Lines(mut lines)) => {
                let n_lines = lines.n_lines();
                let n = if n_lines >= FULL_LINES {
                    let whole = (n_lines - REST_LINES).min(self.most_lines);
                    whole - whole % BLOCK_LINES
                } else if is_last && is_coming {
                    0
                } else {
                    n_lines
                };
                let frame = match n {
                    0 => None,
                    n => lines.take(n, sequence, per_line, pool)?,
                };
                // Lines stay in front of what comes behind them, so that cloth never parts here.
                if lines.n_lines() > 0 {
                    self.waiting.push_front(Piece::Lines(lines));
                }
                frame.map(Captured::Frame)
            }
        };
        self.next_sequence += u64::from(handed_out.is_some());
        Ok(handed_out)
    }
}

/// Most lines of a frame that is made of pictures of this shape.
pub(super) fn highest(picture: FrameShape) -> u32 {
    picture.height.max(FULL_LINES as u32)
}

impl Lines {
    /// Bytes of one line.
    fn line(&self) -> usize {
        let one = FrameShape {
            height: 1,
            ..self.shape
        };
        one.n_bytes().max(1)
    }

    fn n_lines(&self) -> usize {
        self.bytes.len() / self.line()
    }

    /// The first `n` lines in a buffer of the pool; `None` once that is closed.
    fn take(
        &mut self,
        n: usize,
        sequence: u64,
        per_line: i64,
        pool: &Pool,
    ) -> Result<Option<Frame>, CameraError> {
        let needed = n * self.line();
        let size = pool.buffer_bytes();
        if needed > size {
            return Err(CameraError::BufferTooSmall { needed, size });
        }
        let Some(mut buffer) = pool.take() else {
            return Ok(None);
        };
        buffer.bytes_mut()[..needed].copy_from_slice(&self.bytes[..needed]);
        self.bytes.drain(..needed);
        let ticks = self.first_tick..self.first_tick + n as i64 * per_line;
        self.first_tick = ticks.end;
        let shape = FrameShape {
            height: n as u32,
            ..self.shape
        };
        let mut frame = Frame::new(self.camera, sequence, ticks, shape, buffer)?;
        frame.taken_at = self.taken_at;
        frame.origin.clone_from(&self.origin);
        Ok(Some(frame))
    }
}
