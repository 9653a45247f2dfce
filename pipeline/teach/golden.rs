//! The tiles of good cloth by which a model is checked whenever it is opened.

use anyhow::Context;
use calibration::Evener;
use ndarray::Array3;

use crate::judging::SeenFrame;
use crate::tiles::Correction;

/// Golden tiles of a model: from the first, the middle and the last frame.
const N_GOLDEN: u64 = 3;

/// Collects the golden tiles.
pub(super) struct Golden {
    evener: Evener,
    wanted: Vec<u64>,
    n_seen: u64,
    pub(super) tiles: Vec<Array3<f32>>,
}

impl Golden {
    pub(super) fn new(n_frames: u64) -> Self {
        let last = n_frames.saturating_sub(1);
        let mut wanted: Vec<u64> = (0..N_GOLDEN).map(|i| i * last / (N_GOLDEN - 1)).collect();
        wanted.dedup();
        Self {
            evener: Evener::new(),
            wanted,
            n_seen: 0,
            tiles: Vec::new(),
        }
    }

    pub(super) fn see(&mut self, seen: &SeenFrame, correction: &Correction) -> anyhow::Result<()> {
        let index = self.n_seen;
        self.n_seen += 1;
        let (frame, cloth) = (&seen.head.frame, seen.head.cloth);
        if !self.wanted.contains(&index) {
            return Ok(());
        }
        let even = self
            .evener
            .even(
                frame,
                cloth,
                correction.flat_field_for(frame),
                correction.channels,
            )
            .context("a golden tile could not be cut")?;
        self.tiles.push(even.planes);
        Ok(())
    }
}
