//! Frames that were made beforehand, handed out again from memory.
//!
//! ```text
//! Source ──▶ Woven (all of it, once) ──▶ copies, round after round ──▶ Captured
//! ```
//!
//! So that what it costs to weave or decode a frame never counts where a line is measured: a frame
//! costs one copy. In every round sequence numbers and ticks go on where the last one ended; at
//! the joint the cloth itself does not continue. Clones share the memory. Ends after the rounds
//! asked for, or never.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use crate::{CameraError, Captured, Description, Frame, FrameShape, Lost, Pool, Source};

/// A source of frames in memory.
#[derive(Clone, Debug)]
pub struct Woven {
    description: Description,
    exposures: Arc<[Exposure]>,
    /// Sequence numbers and ticks of one round.
    sequences: u64,
    ticks: i64,
    /// Whether the cloth goes on within a round.
    is_continuous: bool,
    n_rounds: Option<u64>,
    round: u64,
    next: usize,
}

#[derive(Debug)]
enum Exposure {
    Seen(Seen),
    Lost(Lost),
}

#[derive(Debug)]
struct Seen {
    camera: u16,
    sequence: u64,
    ticks: Range<i64>,
    origin: Option<Arc<str>>,
    shape: FrameShape,
    bytes: Box<[u8]>,
}

impl Woven {
    /// Takes the first `n_exposures` of `source`, or all where it has fewer, and hands them out
    /// once. Memory for all of them is held.
    ///
    /// # Errors
    /// What ends the source before its time; `NothingWoven` where not one exposure came.
    pub fn of(source: &mut dyn Source, n_exposures: usize) -> Result<Self, CameraError> {
        let pool = Pool::new(1, source.description().shape.n_bytes());
        let mut exposures = Vec::new();
        while exposures.len() < n_exposures {
            match source.next(&pool)? {
                None => break,
                Some(Captured::Lost(lost)) => exposures.push(Exposure::Lost(lost)),
                Some(Captured::Frame(frame)) => exposures.push(Exposure::Seen(Seen {
                    camera: frame.camera,
                    sequence: frame.sequence,
                    ticks: frame.ticks.clone(),
                    origin: frame.origin.clone(),
                    shape: frame.shape(),
                    bytes: frame.bytes().into(),
                })),
            }
        }
        let span =
            |from: Range<i64>, to: Range<i64>| from.start.min(to.start)..from.end.max(to.end);
        let all = exposures.iter().map(Exposure::ticks).reduce(span);
        let name = source.description().name.clone();
        let (Some(first), Some(last), Some(ticks)) = (exposures.first(), exposures.last(), all)
        else {
            return Err(CameraError::NothingWoven { name });
        };
        let mut woven = Self {
            description: Description {
                name,
                live: false,
                ..source.description().clone()
            },
            sequences: last.sequence() + 1 - first.sequence(),
            ticks: ticks.end - ticks.start,
            exposures: exposures.into(),
            is_continuous: source.description().continuous,
            n_rounds: None,
            round: 0,
            next: 0,
        };
        woven.set_rounds(Some(1));
        Ok(woven)
    }

    /// From the beginning, this many rounds; `None` never ends.
    #[must_use]
    pub fn rounds(mut self, n_rounds: Option<u64>) -> Self {
        self.set_rounds(n_rounds);
        (self.round, self.next) = (0, 0);
        self
    }

    fn set_rounds(&mut self, n_rounds: Option<u64>) {
        self.n_rounds = n_rounds;
        let n = self.exposures.len() as u64;
        // Between two rounds the cloth does not go on.
        self.description.continuous = self.is_continuous && n_rounds == Some(1);
        self.description.n_frames = n_rounds.map(|rounds| rounds.saturating_mul(n));
    }
}

impl Source for Woven {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        if self.n_rounds.is_some_and(|n| self.round >= n) {
            return Ok(None);
        }
        let Some(exposure) = self.exposures.get(self.next) else {
            return Ok(None);
        };
        let (more, on) = (self.round * self.sequences, self.round as i64 * self.ticks);
        let moved = |ticks: &Range<i64>| ticks.start + on..ticks.end + on;
        let captured = match exposure {
            Exposure::Lost(lost) => Captured::Lost(Lost {
                sequence: lost.sequence + more,
                ticks: moved(&lost.ticks),
                ..lost.clone()
            }),
            Exposure::Seen(seen) => {
                let Some(buffer) = pool.take() else {
                    return Ok(None);
                };
                let (sequence, ticks) = (seen.sequence + more, moved(&seen.ticks));
                let mut frame = Frame::new(seen.camera, sequence, ticks, seen.shape, buffer)?;
                frame.bytes_mut().copy_from_slice(&seen.bytes);
                frame.origin.clone_from(&seen.origin);
                frame.taken_at = SystemTime::now();
                Captured::Frame(frame)
            }
        };
        self.next += 1;
        if self.next == self.exposures.len() {
            (self.round, self.next) = (self.round + 1, 0);
        }
        Ok(Some(captured))
    }
}

impl Exposure {
    fn ticks(&self) -> Range<i64> {
        match self {
            Self::Seen(seen) => seen.ticks.clone(),
            Self::Lost(lost) => lost.ticks.clone(),
        }
    }

    fn sequence(&self) -> u64 {
        match self {
            Self::Seen(seen) => seen.sequence,
            Self::Lost(lost) => lost.sequence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Loom, LoomSettings};

    fn loom(n_frames: u64) -> Loom {
        Loom::new(LoomSettings {
            width: 256,
            frame_height: 10,
            n_frames: Some(n_frames),
            lost: [1].into(),
            ..LoomSettings::new(1)
        })
        .unwrap()
    }

    /// Sequence, first tick and the pixels, if any.
    fn all(source: &mut dyn Source, most: usize) -> Vec<(u64, i64, Option<Vec<u8>>)> {
        let pool = Pool::new(1, source.description().shape.n_bytes());
        let mut all = Vec::new();
        while let Some(captured) = source.next(&pool).unwrap() {
            let pixels = match &captured {
                Captured::Frame(frame) => Some(frame.bytes().to_vec()),
                Captured::Lost(_) => None,
            };
            all.push((captured.sequence(), captured.ticks().start, pixels));
            if all.len() == most {
                break;
            }
        }
        all
    }

    #[test]
    fn one_round_is_what_the_source_would_have_exposed() {
        let mut woven = Woven::of(&mut loom(3), 99).unwrap();
        assert_eq!(woven.description().n_frames, Some(3));
        assert_eq!(all(&mut woven, 99), all(&mut loom(3), 99));
    }

    #[test]
    fn sequence_and_ticks_go_on_from_round_to_round() {
        let woven = Woven::of(&mut loom(9), 3).unwrap();
        let mut endless = woven.clone().rounds(None);
        let rounds = all(&mut endless, 8);
        let places: Vec<_> = rounds.iter().map(|(nth, tick, _)| (*nth, *tick)).collect();
        let expected: Vec<_> = (0..8).map(|nth| (nth, nth as i64 * 10)).collect();
        assert_eq!(places, expected);
        assert!(rounds[5].2 == rounds[2].2 && rounds[4].2.is_none());
        assert_eq!(all(&mut woven.rounds(Some(2)), 99).len(), 6);
    }

    #[test]
    fn nothing_to_hand_out_is_refused() {
        let error = Woven::of(&mut loom(3), 0).unwrap_err();
        assert!(matches!(error, CameraError::NothingWoven { .. }), "{error}");
    }
}
