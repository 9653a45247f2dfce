//! Score tiles with one model.
//!
//! ```text
//! work ──▶ score_tiles ──▶ scored
//! ```
//!
//! Several threads may run this over clones of the same two channels; results then leave in
//! any order and `reorder` restores it. Ends when every sender of work is gone. A tile that
//! fails, by an error or a panic, is sent on as failed: cloth that was not looked at becomes a
//! gap, never good cloth. What is not a tile passes through.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam::channel::Receiver;
use models::{Features, Patch, Scorer};
use ndarray::Axis;

use crate::channel::Tx;
use crate::tiles::{FrameHead, Missed, Numbered, Tile, TilePlace, Work};

/// What becomes of [`Work`].
pub enum Scored {
    /// Features of a tile.
    Patch(Patch),
    /// A tile that could not be scored.
    Failed(TilePlace, String),
    /// All tiles of this frame were sent.
    Frame(FrameHead),
    /// Nothing could be looked at.
    Missed(Missed),
    /// The lane has ended.
    Ended,
}

/// Scores tiles until there are no more.
pub fn score_tiles(
    scorer: &mut dyn Scorer,
    work: &Receiver<Numbered<Work>>,
    scored: &Tx<Numbered<Scored>>,
) {
    for numbered in work {
        let Numbered {
            lane,
            ordinal,
            item,
        } = numbered;
        let item = match item {
            Work::Tile(tile) => score(scorer, &tile),
            Work::Frame(head) => Scored::Frame(head),
            Work::Missed(missed) => Scored::Missed(missed),
            Work::Ended => Scored::Ended,
        };
        let numbered = Numbered {
            lane,
            ordinal,
            item,
        };
        if scored.send(numbered).is_err() {
            // Downstream is gone and reports its own reason.
            break;
        }
    }
}

fn score(scorer: &mut dyn Scorer, tile: &Tile) -> Scored {
    let TilePlace { kept, row, col } = tile.place.clone();
    // A scorer holds no state from tile to tile that a panic could leave half changed.
    let patch = catch_unwind(AssertUnwindSafe(|| {
        let features = usable_features(scorer, tile)?;
        Ok(Patch::new(features, kept, row, col))
    }));
    let problem = match patch {
        Ok(Ok(patch)) => return Scored::Patch(patch),
        Ok(Err(problem)) => problem,
        Err(panic) => format!("the worker panicked: {}", message_of(&*panic)),
    };
    Scored::Failed(tile.place.clone(), problem)
}

/// Features that are what a tile's must be: of its size, of the scorer's kinds, and numbers.
fn usable_features(scorer: &mut dyn Scorer, tile: &Tile) -> Result<Features, String> {
    let features = scorer
        .features(tile.pixels.view())
        .map_err(|error| error.to_string())?;
    let (_, height, width) = tile.pixels.dim();
    let expected = [
        scorer.n_features(),
        height / models::CELL_PX,
        width / models::CELL_PX,
    ];
    if features.shape() != expected {
        let found = features.shape();
        return Err(format!(
            "found features of shape {found:?}, expected {expected:?}"
        ));
    }
    // Whitening is a triangle, so every layer of the network enters the last feature: what is no
    // number anywhere is none there. A sum is finite when all its terms are, but for overflow,
    // which is as bad. Summing all features would cost a hundredth of the network's time.
    let last = features.view();
    let last = last.index_axis(Axis(0), expected[0].saturating_sub(1));
    if !last.sum().is_finite() {
        return Err("found features that are not numbers".to_owned());
    }
    Ok(features)
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Policy, channel};
    use models::{Kept, ModelError};
    use ndarray::{Array3, ArrayView3};

    /// Fails on the second tile, panics on the third.
    #[derive(Default)]
    struct Flaky {
        n_tiles: usize,
    }

    impl Scorer for Flaky {
        fn n_planes(&self) -> usize {
            1
        }

        fn n_features(&self) -> usize {
            1
        }

        fn features(&mut self, tile: ArrayView3<'_, f32>) -> Result<Features, ModelError> {
            self.n_tiles += 1;
            match self.n_tiles {
                2 => Err(ModelError::Inference {
                    doing: "could not run the model",
                    reason: "out of luck".to_owned(),
                }),
                3 => panic!("a bug"),
                _ => {
                    let (_, height, width) = tile.dim();
                    Ok(Features::from_array(Array3::zeros((
                        1,
                        height / 4,
                        width / 4,
                    ))))
                }
            }
        }
    }

    fn tile() -> Work {
        Work::Tile(Tile {
            pixels: Array3::zeros((1, 16, 16)).into(),
            place: TilePlace {
                kept: Kept {
                    rows: 0..4,
                    cols: 0..4,
                },
                row: 0,
                col: 0,
            },
        })
    }

    #[test]
    fn a_failing_and_a_panicking_tile_are_told_and_the_worker_goes_on() {
        let (work_tx, work_rx) = channel("work", 4, Policy::Block);
        let (scored_tx, scored_rx) = channel("scored", 4, Policy::Block);
        for ordinal in 0..4 {
            let item = tile();
            let lane = 0;
            let numbered = Numbered {
                lane,
                ordinal,
                item,
            };
            work_tx.send(numbered).unwrap();
        }
        drop(work_tx);

        score_tiles(&mut Flaky::default(), &work_rx, &scored_tx);
        drop(scored_tx);

        let told: Vec<String> = scored_rx
            .iter()
            .map(|numbered| match numbered.item {
                Scored::Patch(_) => "scored".to_owned(),
                Scored::Failed(_, problem) => problem,
                Scored::Frame(_) | Scored::Missed(_) | Scored::Ended => "passed".to_owned(),
            })
            .collect();
        assert_eq!(
            told,
            [
                "scored",
                "ONNX Runtime could not run the model: out of luck",
                "the worker panicked: a bug",
                "scored"
            ]
        );
    }
}
