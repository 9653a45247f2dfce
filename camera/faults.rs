//! Faults on demand: a source that loses, delays and spoils what another one exposes.
//!
//! ```text
//! Source ──▶ Faulty (plan by sequence number) ──▶ Captured
//! ```
//!
//! For trying out what a line does when things go wrong. Every exposure of the wrapped source is
//! handed out, told as lost with its ticks, or left out so that the ticks jump; where nothing
//! comes after such a jump, the ticks are told as lost at the end. Ends with its source, or by an
//! error where the camera is gone for good. Makes no timing of its own, and invents no pixels
//! other than darker and brighter ones.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::{CameraError, Captured, Depth, Description, Frame, Lost, LostReason, Pool, Source};

/// What happens to one exposure, or from one exposure on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The frame never arrives.
    Lost,
    /// The frame arrives after its successor. At most one frame is held back: where that
    /// successor is to be late as well, it comes at once. Needs a second buffer.
    Late,
    /// Only the first lines came: a lower frame, then the rest as lost, both with the sequence
    /// number of the whole. None at all is a lost frame; all of them is no fault.
    Torn {
        /// How many lines came.
        n_lines: u32,
    },
    /// The camera is gone for this many exposures, this one the first; each is told as lost.
    Gone {
        /// How many exposures.
        n_frames: u64,
    },
    /// The camera is gone for this many exposures and nothing at all is handed out: sequence
    /// numbers and ticks jump.
    Silent {
        /// How many exposures.
        n_frames: u64,
    },
    /// The camera is gone for good: the source ends with an error.
    Dead,
    /// The lamp is all but out.
    Dark,
    /// So much light that nearly everything saturates.
    Glare,
}

/// A source with faults.
#[derive(Debug)]
pub struct Faulty<S> {
    source: S,
    plan: BTreeMap<u64, Fault>,
    /// Handed out before the source is asked again.
    ready: VecDeque<Captured>,
    /// Waits for its successor.
    late: Option<Captured>,
    absence: Option<Absence>,
    /// What was left out, until something that lies behind it is handed out.
    silence: Option<Lost>,
    /// Set once the camera is gone for good: since which tick.
    dead: Option<i64>,
}

/// The camera is gone for a while.
#[derive(Clone, Copy, Debug)]
struct Absence {
    /// First sequence number at which it is back.
    until: u64,
    is_silent: bool,
}

/// Light that is left when the lamp is all but out, in 256ths.
const DARK_256THS: u32 = 8;
/// How much more light glare is.
const GLARE: u32 = 12;

impl<S: Source> Faulty<S> {
    /// Wraps `source`; `plan` says what happens, by the sequence number of the exposure at which
    /// it begins. What falls on an exposure that the source itself lost, or into a time in which
    /// the camera is gone, changes nothing.
    pub fn new(source: S, plan: BTreeMap<u64, Fault>) -> Self {
        Self {
            source,
            plan,
            ready: VecDeque::new(),
            late: None,
            absence: None,
            silence: None,
            dead: None,
        }
    }

    /// The wrapped source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Puts what comes of one exposure into `ready`.
    fn expose(&mut self, captured: Captured) {
        let sequence = captured.sequence();
        if self
            .absence
            .is_some_and(|absence| sequence >= absence.until)
        {
            self.absence = None;
        }
        let planned = self.plan.remove(&sequence);
        if self.absence.is_none() {
            self.absence = match planned {
                Some(Fault::Gone { n_frames }) => Some(Absence {
                    until: sequence.saturating_add(n_frames),
                    is_silent: false,
                }),
                Some(Fault::Silent { n_frames }) => Some(Absence {
                    until: sequence.saturating_add(n_frames),
                    is_silent: true,
                }),
                Some(
                    Fault::Lost
                    | Fault::Late
                    | Fault::Torn { .. }
                    | Fault::Dead
                    | Fault::Dark
                    | Fault::Glare,
                )
                | None => None,
            }
            .filter(|absence| absence.until > sequence);
        }
        if planned == Some(Fault::Dead) {
            self.dead = Some(captured.ticks().start);
            self.ready.extend(self.late.take());
            self.ready.extend(self.silence.take().map(Captured::Lost));
            return;
        }
        if let Some(absence) = self.absence {
            let lost = lost(
                &captured,
                captured.ticks(),
                LostReason::CameraLost,
                format!(
                    "the camera is gone, back at exposure {} (told to)",
                    absence.until
                ),
            );
            if !absence.is_silent {
                self.hand_out(Captured::Lost(lost));
            } else if let Some(silence) = &mut self.silence {
                silence.ticks.end = silence.ticks.end.max(lost.ticks.end);
            } else {
                self.silence = Some(lost);
            }
            return;
        }
        match (captured, planned) {
            (captured @ Captured::Frame(_), Some(Fault::Lost)) => {
                let detail = format!("frame {sequence} was lost (told to)");
                let lost = lost(&captured, captured.ticks(), LostReason::FrameLost, detail);
                self.hand_out(Captured::Lost(lost));
            }
            (captured @ Captured::Frame(_), Some(Fault::Late)) if self.late.is_none() => {
                self.late = Some(captured);
            }
            (Captured::Frame(frame), Some(Fault::Torn { n_lines })) => self.tear(frame, n_lines),
            (Captured::Frame(mut frame), Some(Fault::Dark)) => {
                relight(&mut frame, |sample| sample * DARK_256THS / 256);
                self.hand_out(Captured::Frame(frame));
            }
            (Captured::Frame(mut frame), Some(Fault::Glare)) => {
                relight(&mut frame, |sample| sample * GLARE);
                self.hand_out(Captured::Frame(frame));
            }
            (captured, _) => self.hand_out(captured),
        }
    }

    fn tear(&mut self, frame: Frame, n_lines: u32) {
        let height = frame.height();
        if n_lines >= height {
            return self.hand_out(Captured::Frame(frame));
        }
        let Range { start, end } = frame.ticks.clone();
        let torn_at = start + (end - start) * i64::from(n_lines) / i64::from(height);
        let whole = Captured::Frame(frame);
        let rest = lost(
            &whole,
            torn_at..end,
            LostReason::FrameLost,
            format!("torn: {n_lines} lines came, expected {height} (told to)"),
        );
        if let (Captured::Frame(mut frame), true) = (whole, n_lines > 0) {
            frame.ticks.end = torn_at;
            frame.keep_lines(n_lines);
            self.hand_out(Captured::Frame(frame));
        }
        self.ready.push_back(Captured::Lost(rest));
    }

    /// What lies behind a silence shows that the ticks jumped; a late frame follows its successor.
    fn hand_out(&mut self, captured: Captured) {
        self.silence = None;
        self.ready.push_back(captured);
        self.ready.extend(self.late.take());
    }
}

impl<S: Source> Source for Faulty<S> {
    fn description(&self) -> &Description {
        self.source.description()
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        loop {
            if let Some(captured) = self.ready.pop_front() {
                return Ok(Some(captured));
            }
            if let Some(tick) = self.dead {
                return Err(CameraError::CameraGone {
                    name: self.description().name.clone(),
                    tick,
                });
            }
            match self.source.next(pool)? {
                Some(captured) => self.expose(captured),
                None => {
                    // A late frame that nothing followed, then what was left out behind it.
                    self.ready.extend(self.late.take());
                    self.ready.extend(self.silence.take().map(Captured::Lost));
                    if self.ready.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

fn lost(of: &Captured, ticks: Range<i64>, reason: LostReason, detail: String) -> Lost {
    Lost {
        camera: of.camera(),
        sequence: of.sequence(),
        ticks,
        reason,
        detail,
        origin: match of {
            Captured::Frame(frame) => frame.origin.clone(),
            Captured::Lost(lost) => lost.origin.clone(),
        },
    }
}

/// Changes every sample; what exceeds the depth saturates.
fn relight(frame: &mut Frame, light: impl Fn(u32) -> u32) {
    match frame.shape().depth {
        Depth::Eight => {
            for sample in frame.bytes_mut() {
                *sample = light(u32::from(*sample)).min(255) as u8;
            }
        }
        Depth::Sixteen => {
            for sample in frame.samples_mut() {
                *sample = light(u32::from(*sample)).min(65_535) as u16;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::ControlFlow;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;
    use crate::{CaptureCounts, Loom, LoomSettings, capture};

    const HEIGHT: i64 = 6;

    fn loom(n_frames: u64) -> Loom {
        Loom::new(LoomSettings {
            width: 256,
            frame_height: HEIGHT as u32,
            n_frames: Some(n_frames),
            ..LoomSettings::new(1)
        })
        .unwrap()
    }

    /// Captures to the end, or to the error.
    fn captured(
        n_frames: u64,
        plan: impl IntoIterator<Item = (u64, Fault)>,
    ) -> (Vec<Captured>, Result<CaptureCounts, CameraError>) {
        let mut faulty = Faulty::new(loom(n_frames), plan.into_iter().collect());
        let size = faulty.description().shape.n_bytes();
        let pool = Pool::new(n_frames as usize + 2, size);
        let mut all = Vec::new();
        let counts = capture(&mut faulty, &pool, &AtomicBool::new(false), |captured| {
            all.push(captured);
            ControlFlow::Continue(())
        });
        (all, counts)
    }

    /// One word each: `f3 18..24` for a frame, the reason's first letter for what was lost.
    fn told(captured: &[Captured]) -> String {
        let word = |one: &Captured| {
            let letter = match one {
                Captured::Frame(_) => 'f',
                Captured::Lost(lost) if lost.reason == LostReason::FrameLost => 'L',
                Captured::Lost(_) => 'C',
            };
            let ticks = one.ticks();
            format!("{letter}{} {}..{}", one.sequence(), ticks.start, ticks.end)
        };
        let words: Vec<_> = captured.iter().map(word).collect();
        words.join(", ")
    }

    fn check(plan: impl IntoIterator<Item = (u64, Fault)>, expected: &str) {
        let (all, counts) = captured(4, plan);
        assert_eq!(told(&all), expected);
        counts.unwrap();
    }

    #[test]
    fn a_lost_frame_keeps_its_place() {
        check(
            [(1, Fault::Lost)],
            "f0 0..6, L1 6..12, f2 12..18, f3 18..24",
        );
    }

    #[test]
    fn a_torn_frame_is_what_came_and_what_did_not() {
        let torn = Fault::Torn { n_lines: 4 };
        check(
            [(1, torn)],
            "f0 0..6, f1 6..10, L1 10..12, f2 12..18, f3 18..24",
        );
        check(
            [(1, Fault::Torn { n_lines: 0 })],
            "f0 0..6, L1 6..12, f2 12..18, f3 18..24",
        );
        let (all, _) = captured(4, [(1, torn)]);
        let (whole, _) = captured(4, []);
        let (Captured::Frame(top), Captured::Frame(whole)) = (&all[1], &whole[1]) else {
            panic!("lost")
        };
        assert_eq!(top.height(), 4);
        assert!(whole.bytes().starts_with(top.bytes()));
        let Captured::Lost(rest) = &all[2] else {
            panic!("not lost")
        };
        assert!(rest.detail.starts_with("torn"), "{}", rest.detail);
    }

    #[test]
    fn a_late_frame_is_told_as_late_and_its_cloth_as_missing() {
        check(
            [(1, Fault::Late)],
            "f0 0..6, f2 12..18, L1 18..18, f3 18..24",
        );
        // Nothing follows it: it is not late after all.
        check(
            [(3, Fault::Late)],
            "f0 0..6, f1 6..12, f2 12..18, f3 18..24",
        );
        let (_, counts) = captured(4, [(1, Fault::Late)]);
        assert_eq!(counts.unwrap().n_late, 1);
    }

    #[test]
    fn a_camera_that_comes_back_is_told_while_it_is_gone() {
        check(
            [(1, Fault::Gone { n_frames: 2 })],
            "f0 0..6, C1 6..12, C2 12..18, f3 18..24",
        );
    }

    #[test]
    fn a_silent_camera_shows_in_the_ticks_or_at_the_end() {
        check([(1, Fault::Silent { n_frames: 2 })], "f0 0..6, f3 18..24");
        check(
            [(2, Fault::Silent { n_frames: 9 })],
            "f0 0..6, f1 6..12, C2 12..24",
        );
    }

    #[test]
    fn a_camera_gone_for_good_ends_the_source_with_an_error() {
        let (all, counts) = captured(4, [(1, Fault::Silent { n_frames: 1 }), (2, Fault::Dead)]);
        assert_eq!(told(&all), "f0 0..6, C1 6..12");
        let error = counts.unwrap_err();
        assert!(
            matches!(error, CameraError::CameraGone { tick: 12, .. }),
            "{error}"
        );
    }

    #[test]
    fn bad_light_is_dark_or_saturated() {
        let (all, _) = captured(4, [(1, Fault::Dark), (2, Fault::Glare)]);
        let mean = |one: &Captured| {
            let Captured::Frame(frame) = one else {
                panic!("lost")
            };
            let cloth = frame.row_u8(3).unwrap()[140..180].iter();
            cloth.map(|&grey| u32::from(grey)).sum::<u32>() / 40
        };
        assert!(mean(&all[1]) < 8 && mean(&all[0]) > 40 && mean(&all[2]) == 255);
    }

    fn fault() -> impl Strategy<Value = Fault> {
        prop_oneof![
            Just(Fault::Lost),
            Just(Fault::Late),
            (0..8_u32).prop_map(|n_lines| Fault::Torn { n_lines }),
            (0..4_u64).prop_map(|n_frames| Fault::Gone { n_frames }),
            (0..4_u64).prop_map(|n_frames| Fault::Silent { n_frames }),
            Just(Fault::Dark),
            Just(Fault::Glare),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_tick_is_seen_told_as_lost_or_jumped_over_and_none_twice(
            plan in proptest::collection::btree_map(0..20_u64, fault(), 0..14),
        ) {
            let n_frames = 20;
            let (all, counts) = captured(n_frames, plan.clone());
            counts.unwrap();
            let (mut seen, mut lost) = (BTreeSet::new(), BTreeSet::new());
            let (mut first, mut end) = (i64::MAX, 0);
            for one in &all {
                let ticks = one.ticks();
                // Only what was late before everything else is told behind it.
                prop_assert!(ticks.start >= end || ticks.end <= first, "{}", told(&all));
                (first, end) = (first.min(ticks.start), end.max(ticks.end));
                match one {
                    Captured::Frame(frame) => {
                        prop_assert_eq!(i64::from(frame.height()), ticks.end - ticks.start);
                        seen.extend(ticks);
                    }
                    Captured::Lost(_) => lost.extend(ticks),
                }
            }
            prop_assert_eq!(end, n_frames as i64 * HEIGHT);
            prop_assert!(seen.is_disjoint(&lost));
            if plan.is_empty() {
                prop_assert_eq!(seen.len() as i64, end);
            }
        }
    }
}
