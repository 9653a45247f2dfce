//! Windows of evened frames: what a tile sees.
//!
//! ```text
//! frame before │ frame │ frame after ─▶ Rows ─▶ window (kept part and what surrounds it)
//! ```
//!
//! Where nothing joins, and beyond both sides, a window holds the mirror image. A window is
//! copied, into the memory of an earlier one where it has come home, and the frames stay. What
//! joins is decided elsewhere.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use calibration::EvenFrame;
use models::TILE_STEP_PX;
use ndarray::Array3;

/// Pixels of a tile. Their memory goes home to the tiler that cut them and is used again: a
/// tile is some megabytes, and clearing new pages for each would cost as much as cutting it.
pub struct Pixels {
    values: Array3<f32>,
    home: Weak<Home>,
}

/// Where the memory of tiles waits to be used again.
#[derive(Default)]
pub(super) struct Home {
    idle: Mutex<Vec<Vec<f32>>>,
}

/// Tiles whose memory is kept while nobody needs it: more than workers let go of while one tile
/// is cut.
const MOST_IDLE: usize = 8;

impl Deref for Pixels {
    type Target = Array3<f32>;

    fn deref(&self) -> &Array3<f32> {
        &self.values
    }
}

impl From<Array3<f32>> for Pixels {
    /// Pixels that belong to no tiler.
    fn from(values: Array3<f32>) -> Self {
        Self {
            values,
            home: Weak::new(),
        }
    }
}

impl Drop for Pixels {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.keep(std::mem::take(&mut self.values));
        }
    }
}

impl Home {
    /// Empty memory, of an earlier tile where one has come home.
    fn memory(&self) -> Vec<f32> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = idle.pop().unwrap_or_default();
        memory.clear();
        memory
    }

    fn keep(&self, values: Array3<f32>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(values.into_raw_vec_and_offset().0);
        }
    }
}

/// A frame's rows with those of its joined neighbours.
pub(super) struct Rows<'a> {
    pub(super) before: Option<&'a EvenFrame>,
    pub(super) frame: &'a EvenFrame,
    pub(super) next: Option<&'a EvenFrame>,
    /// Pixels around a window.
    pub(super) halo_px: usize,
}

impl Rows<'_> {
    /// `height` × `width` pixels from `(top, left)`, with the halo around them.
    pub(super) fn window(
        &self,
        top: usize,
        left: usize,
        height: usize,
        width: usize,
        home: &Arc<Home>,
    ) -> Pixels {
        let halo_px = self.halo_px;
        let planes = self.frame.planes.len_of(ndarray::Axis(0));
        let (full_height, full_width) = (height + 2 * halo_px, width + 2 * halo_px);
        let mut pixels = home.memory();
        pixels.reserve_exact(planes * full_height * full_width);
        let frame_width = self.frame.width();
        let inside = left.saturating_sub(halo_px)..(left + width + halo_px).min(frame_width);
        let first = left as isize - halo_px as isize;
        let n_before = (inside.start as isize - first) as usize;
        let n_behind = full_width - n_before - inside.len();
        for plane in 0..planes {
            for row in 0..full_height {
                let at = (top + row) as isize - halo_px as isize;
                let from = self.row(plane, at);
                let mirrored = |col: isize| from[mirror(col, frame_width)];
                pixels.extend((0..n_before).map(|i| mirrored(first + i as isize)));
                pixels.extend_from_slice(&from[inside.clone()]);
                pixels.extend((0..n_behind).map(|i| mirrored((inside.end + i) as isize)));
            }
        }
        let values = Array3::from_shape_vec((planes, full_height, full_width), pixels)
            .expect("every row was pushed in full");
        let home = Arc::downgrade(home);
        Pixels { values, home }
    }

    /// A row by its place relative to the frame's first one.
    fn row(&self, plane: usize, at: isize) -> &[f32] {
        let height = self.frame.height();
        let (frame, row) = match (usize::try_from(at), self.before, self.next) {
            (Err(_), Some(before), _) => {
                let from_end = before.height() as isize + at;
                (before, mirror(from_end, before.height()))
            }
            (Ok(row), _, Some(next)) if row >= height => {
                (next, mirror((row - height) as isize, next.height()))
            }
            _ => (self.frame, mirror(at, height)),
        };
        let width = frame.width();
        let planes = frame
            .planes
            .as_slice()
            .expect("evened planes are in standard layout");
        &planes[(plane * frame.height() + row) * width..][..width]
    }
}

/// Index `at` into `n` things that are mirrored at both ends, over and over; the end itself
/// is not repeated.
pub(super) fn mirror(at: isize, n: usize) -> usize {
    if n <= 1 {
        return 0;
    }
    let period = 2 * (n as isize - 1);
    let at = at.rem_euclid(period);
    at.min(period - at) as usize
}

/// Cuts `length` into equal parts of at most `most`, each a multiple of the tile step; the
/// last one may reach beyond the end.
pub(super) fn spans(length: usize, most: usize) -> Vec<(usize, usize)> {
    let n_parts = length.div_ceil(most).max(1);
    let part = length
        .div_ceil(n_parts)
        .next_multiple_of(TILE_STEP_PX)
        .max(TILE_STEP_PX);
    (0..length)
        .step_by(part)
        .map(|start| {
            (
                start,
                part.min((length - start).next_multiple_of(TILE_STEP_PX)),
            )
        })
        .collect()
}
