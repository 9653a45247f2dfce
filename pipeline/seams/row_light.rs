//! How bright each row of a frame is, chunk of columns by chunk.
//!
//! Chunks are equal parts of the frame's width, so that a chunk sees the same columns in every
//! frame of its camera, wherever the cloth's edges wander; only chunks of nothing but cloth count.
//! Levels are as the camera gave them: light is even enough along a chunk's own columns, and to even it
//! frame by frame would hide a seam that fills a low frame.

use calibration::ClothSpan;
use camera::Frame;

/// Most chunks of a frame: a bit each of a `u32`.
pub(super) const MOST_CHUNKS: usize = 32;
/// Least width of a chunk, in pixels: a few yarns.
const LEAST_WIDTH_PX: usize = 16;
/// Pixels at a selvedge that count for no chunk: it may be ragged.
const BESIDE_SELVEDGE_PX: usize = 4;

/// Mean grey levels of the chunks of each row of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct RowLight {
    n_chunks: usize,
    width_px: usize,
    /// A bit for each chunk of nothing but cloth.
    cloth: u32,
    /// Row by row, chunk by chunk.
    levels: Vec<f32>,
}

impl RowLight {
    /// Of a frame whose cloth lies here.
    pub fn of(frame: &Frame, cloth: ClothSpan) -> Self {
        let width = frame.width() as usize;
        let n_chunks = (width / LEAST_WIDTH_PX).clamp(1, MOST_CHUNKS);
        let columns = |chunk: usize| chunk * width / n_chunks..(chunk + 1) * width / n_chunks;
        let inset = |at: u32, is_selvedge: bool| (at as usize, usize::from(is_selvedge));
        let (left, has_left) = inset(cloth.left(), cloth.left() > 0);
        let (right, has_right) = inset(cloth.right(), cloth.right() < frame.width());
        let first = left + has_left * BESIDE_SELVEDGE_PX;
        let end = right.saturating_sub(has_right * BESIDE_SELVEDGE_PX);
        let is_cloth = |chunk: &usize| first <= columns(*chunk).start && columns(*chunk).end <= end;
        let cloth = (0..n_chunks).filter(is_cloth).map(|chunk| 1u32 << chunk);
        let mut levels = Vec::with_capacity(frame.height() as usize * n_chunks);
        let mut grey = Vec::new();
        for row in 0..frame.height() {
            let n = |chunk: usize| columns(chunk).len() as f32;
            if let Some(bytes) = frame.row_u8(row) {
                let sum = |chunk| bytes[columns(chunk)].iter().map(|&b| u32::from(b)).sum();
                let sums = (0..n_chunks).map(|chunk| (chunk, sum(chunk)));
                levels.extend(sums.map(|(chunk, sum): (usize, u32)| sum as f32 / n(chunk)));
            } else {
                grey.resize(width, 0.0);
                frame.grey_row_into(row, &mut grey);
                let sum = |chunk: usize| grey[columns(chunk)].iter().sum::<f32>();
                levels.extend((0..n_chunks).map(|chunk| sum(chunk) / n(chunk)));
            }
        }
        Self {
            n_chunks,
            width_px: width,
            cloth: cloth.fold(0, |all, bit| all | bit),
            levels,
        }
    }

    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.levels.len() / self.n_chunks
    }

    /// Width of a chunk, in pixels.
    pub(super) fn chunk_px(&self) -> f64 {
        self.width_px as f64 / self.n_chunks as f64
    }

    pub(super) fn n_chunks(&self) -> usize {
        self.n_chunks
    }

    /// A bit for each chunk of nothing but cloth.
    pub(super) fn cloth(&self) -> u32 {
        self.cloth
    }

    /// The levels of each row.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.levels.chunks_exact(self.n_chunks)
    }

    /// Levels as they are; all of it cloth.
    #[cfg(test)]
    pub(super) fn given(n_chunks: usize, width_px: usize, levels: Vec<f32>) -> Self {
        Self {
            n_chunks,
            width_px,
            cloth: u32::MAX >> (MOST_CHUNKS - n_chunks),
            levels,
        }
    }
}
