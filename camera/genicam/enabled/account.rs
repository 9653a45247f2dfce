//! What a live camera's exposures come to: each is a frame, or lost at its place.
//!
//! ```text
//! number of a complete picture ──▶ missing before it ──▶ Lost      ─┐
//! encoder's value, or line after line ──▶ its ticks                 ├──▶ ready, in order
//! time without a picture ──▶ exposures by the frame rate ──▶ Lost  ─┘
//! ```
//!
//! Pictures that came incomplete have no number that could be relied on; they are told when the
//! next complete one shows by its own number how many are missing. What passes while the camera is
//! gone is told in time, by the frame rate that was set, measured or claimed, in this order. With
//! an encoder such a loss marks the place only: the encoder says how far the cloth ran when the
//! camera is back. Knows no camera; its source tells it what happened.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use crate::genicam::count::{FrameCount, Step};
use crate::genicam::encoder::{Encoder, Tick};
use crate::genicam::settings::PATIENCE;
use crate::live::{Place, Rate, Unseen};
use crate::{Captured, Frame, Lost, LostReason};

/// The exposures of one camera.
pub(super) struct Account {
    name: String,
    /// Where the next exposure belongs.
    place: Place,
    ticks_per_line: i64,
    count: FrameCount,
    encoder: Option<Encoder>,
    rate: Rate,
    unseen: Unseen,
    /// Why pictures came incomplete since the last complete one.
    incomplete: Vec<String>,
    /// Whether cloth is being lost now.
    is_out: bool,
    /// Whether it was before the picture that came last.
    was_out: bool,
    /// Handed out before anything else happens.
    ready: VecDeque<Captured>,
}

impl Account {
    /// For the camera with this index, whose whole frames have so many lines; with an encoder where
    /// it has so many ticks per line.
    pub(super) fn new(
        name: String,
        camera: u16,
        height: u32,
        encoder_ticks_per_line: Option<u32>,
        rate: Rate,
    ) -> Self {
        let ticks_per_line = encoder_ticks_per_line.map_or(1, i64::from);
        Self {
            name,
            place: Place::first(camera, ticks_per_line * i64::from(height)),
            ticks_per_line,
            count: FrameCount::default(),
            encoder: encoder_ticks_per_line.map(|_| Encoder::default()),
            rate,
            unseen: Unseen::from_now(),
            incomplete: Vec::new(),
            is_out: false,
            was_out: false,
            ready: VecDeque::new(),
        }
    }

    /// What is to be handed out next.
    pub(super) fn next(&mut self) -> Option<Captured> {
        self.ready.pop_front()
    }

    pub(super) fn is_out(&self) -> bool {
        self.is_out
    }

    /// Frames a second, as far as known.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate.best()
    }

    /// All time before this has been handed out, as frames or as lost.
    pub(super) fn accounted_until(&self) -> Instant {
        self.unseen.accounted_until()
    }

    /// Nothing was exposed until now, and nothing should have been.
    pub(super) fn rest(&mut self) {
        self.unseen.saw(Instant::now());
    }

    /// A picture came, but not all of it.
    pub(super) fn incomplete(&mut self, why: String) {
        tracing::debug!(name = self.name, why, "a picture came incomplete");
        self.incomplete.push(why);
    }

    /// A complete picture came, with this number of the camera and at this time of its clock. What
    /// is missing before it is told. False for one whose place is behind already.
    pub(super) fn saw(&mut self, id: u64, clock_millis: f64) -> bool {
        let now = Instant::now();
        let step = self.count.step(id);
        self.was_out = self.is_out;
        let n_missing = match step {
            Step::On(_) | Step::Behind | Step::Anew if self.is_out => {
                self.back(1.0);
                0
            }
            Step::On(n_missing) => n_missing,
            Step::Anew => {
                tracing::warn!(name = self.name, "the camera counts its frames anew");
                self.tell_unseen(1.0);
                self.incomplete.clear();
                0
            }
            Step::Behind => return false,
        };
        self.rate.count(
            clock_millis,
            now,
            u32::try_from(n_missing + 1).unwrap_or(u32::MAX),
        );
        self.unseen.saw(now);
        if n_missing > 0 {
            let detail = self.why_missing(n_missing);
            self.lose_frames(n_missing, LostReason::FrameLost, &detail);
        }
        true
    }

    /// The encoder's value of the picture that was just seen.
    pub(super) fn encoder_at(&mut self, value: i64) {
        let from = self.place.next_tick;
        let Some(encoder) = &mut self.encoder else {
            return;
        };
        match encoder.tick(value, from, self.was_out) {
            Tick::At(tick) => {
                // Where single frames were lost the jump of ticks tells it.
                if self.was_out && tick > from {
                    let detail = "the cloth that passed while the camera was gone, by its encoder";
                    self.mark(from..tick, LostReason::CameraLost, detail);
                }
                self.place.next_tick = tick;
            }
            Tick::Unknown => {
                encoder.put_off(self.ticks_per_line);
                self.mark_unknown("found the encoder set back, expected it to go on");
            }
        }
    }

    /// The place of the picture that was just seen, of which so many lines came.
    pub(super) fn take(&mut self, n_lines: u32) -> (u64, Range<i64>) {
        self.place.take(self.ticks_per_line * i64::from(n_lines))
    }

    /// The picture itself, at its place.
    pub(super) fn hand_out(&mut self, frame: Frame) {
        self.ready.push_back(Captured::Frame(frame));
    }

    /// The picture that was just seen cannot be handed out.
    pub(super) fn refuse(&mut self, reason: LostReason, detail: &str) {
        self.lose_frames(1, reason, detail);
    }

    /// Of the picture that was just handed out, `n_lines` are missing at its end.
    pub(super) fn tear(&mut self, n_came: u32, n_lines: u32) {
        let from = self.place.next_tick;
        let ticks = from..from + self.ticks_per_line * i64::from(n_lines);
        self.place.next_tick = ticks.end;
        let detail = format!("torn: {n_came} lines came, expected {}", n_came + n_lines);
        let sequence = self.place.next_sequence;
        self.place.next_sequence = sequence.saturating_sub(1);
        self.mark(ticks, LostReason::FrameLost, &detail);
        self.place.next_sequence = sequence;
    }

    /// The camera is gone: from now on time is lost.
    pub(super) fn lose(&mut self, detail: &str) {
        if !std::mem::replace(&mut self.is_out, true) {
            let (camera, name) = (self.place.camera, &self.name);
            tracing::warn!(
                camera,
                name,
                detail,
                "the camera is lost, trying to reach it again"
            );
        }
        self.tell_unseen(0.0);
    }

    /// There is a new connection, with a count of its own.
    pub(super) fn reconnected(&mut self) {
        self.count = FrameCount::default();
        self.incomplete.clear();
        self.rate.begin_anew();
    }

    /// The camera is back; its last `n_seen` exposures are at hand.
    pub(super) fn back(&mut self, n_seen: f64) {
        self.is_out = false;
        self.incomplete.clear();
        tracing::warn!(
            camera = self.place.camera,
            name = self.name,
            "the camera is back"
        );
        self.tell_unseen(n_seen);
        self.unseen = Unseen::from_now();
    }

    /// It ends. What came incomplete last has no successor to tell of it, nor has an encoder that
    /// did not come back.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.is_out) && self.encoder.is_some() {
            self.mark_unknown("found the camera gone at the end, expected its encoder");
        }
        let n = std::mem::take(&mut self.incomplete).len() as u64;
        if n > 0 {
            let detail = "found the last frames incomplete, expected all of their packets";
            self.lose_frames(n, LostReason::FrameLost, detail);
        }
    }

    /// Tells the exposures from what is accounted for until now, but for the last `n_seen`; nothing
    /// while that is not one exposure.
    pub(super) fn tell_unseen(&mut self, n_seen: f64) {
        let (rate, known) = match self.rate.best() {
            Some(rate) => (rate, format!("{}", self.rate)),
            None => (
                1.0 / PATIENCE.as_secs_f64(),
                "an unknown frame rate, one exposure for every wait".to_owned(),
            ),
        };
        let (n, seconds) = self.unseen.take(rate, n_seen);
        if n > 0 {
            let length = match self.encoder {
                None => "how much cloth passed is not known, this is its nominal length",
                Some(_) => "the encoder will say how much cloth passed",
            };
            let detail = format!("found no picture for {seconds:.1} s, expected {known}; {length}");
            self.lose_frames(n, LostReason::CameraLost, &detail);
        }
    }

    fn why_missing(&mut self, n_missing: u64) -> String {
        let incomplete = std::mem::take(&mut self.incomplete);
        let why = incomplete.first().map(|why| format!(" ({why})"));
        format!(
            "found {n_missing} frames missing by the camera's own count, expected none: {} came incomplete{}, the others not at all",
            incomplete.len(),
            why.unwrap_or_default()
        )
    }

    /// `n` exposures without pixels. With an encoder only what comes next says how long they are.
    fn lose_frames(&mut self, n: u64, reason: LostReason, detail: &str) {
        let tick = self.place.next_tick;
        let mut lost = self.place.lost(n, reason, &self.name, detail);
        if let (Captured::Lost(lost), true) = (&mut lost, self.encoder.is_some()) {
            lost.ticks = tick..tick;
            self.place.next_tick = tick;
        }
        self.ready.push_back(lost);
    }

    /// How much cloth passed here nobody knows: a line that is none marks the place.
    fn mark_unknown(&mut self, detail: &str) {
        let from = self.place.next_tick;
        let ticks = from..from + self.ticks_per_line;
        self.place.next_tick = ticks.end;
        let detail = format!("{detail}; how much cloth passed is unknown");
        self.mark(ticks, LostReason::UnknownLength, &detail);
    }

    /// Cloth that no exposure of its own stands for.
    fn mark(&mut self, ticks: Range<i64>, reason: LostReason, detail: &str) {
        self.ready.push_back(Captured::Lost(Lost {
            camera: self.place.camera,
            sequence: self.place.next_sequence,
            ticks,
            reason,
            detail: format!("{}: {detail}", self.name),
            origin: None,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Buffer, Channels, Depth, FrameShape};

    const HEIGHT: u32 = 10;

    fn account(encoder_ticks_per_line: Option<u32>) -> Account {
        let rate = Rate::new(Some(20.0), None);
        Account::new("one".to_owned(), 0, HEIGHT, encoder_ticks_per_line, rate)
    }

    impl Account {
        /// A picture with this number, and with the encoder there.
        fn picture(&mut self, id: u64, encoder: Option<i64>) {
            if self.saw(id, 0.0) {
                encoder.into_iter().for_each(|value| self.encoder_at(value));
                let (sequence, ticks) = self.take(HEIGHT);
                let shape = FrameShape {
                    width: 1,
                    height: HEIGHT,
                    channels: Channels::Grey,
                    depth: Depth::Eight,
                };
                let buffer = Buffer::alone(shape.n_bytes());
                self.hand_out(Frame::new(0, sequence, ticks, shape, buffer).unwrap());
            }
        }

        /// One word each: `f3 30..40` for a frame, the reason's first letter for what was lost.
        fn told(&mut self) -> String {
            let word = |one: &Captured| {
                let letter = match one {
                    Captured::Frame(_) => 'f',
                    Captured::Lost(lost) => format!("{:?}", lost.reason).remove(0),
                };
                let ticks = one.ticks();
                format!("{letter}{} {}..{}", one.sequence(), ticks.start, ticks.end)
            };
            let words: Vec<_> = self.ready.iter().map(word).collect();
            self.ready.clear();
            words.join(", ")
        }
    }

    #[test]
    fn what_the_count_leaves_out_is_lost_at_its_place() {
        let mut account = account(None);
        account.picture(65_534, None);
        account.picture(65_535, None);
        account.incomplete("MissingPackets".to_owned());
        account.picture(4, None);
        account.picture(4, None);
        let Some(Captured::Lost(lost)) = account.ready.get(2) else {
            panic!("not lost")
        };
        assert!(lost.detail.contains("3 frames missing"), "{}", lost.detail);
        assert!(lost.detail.contains("1 came incomplete (MissingPackets)"));
        assert_eq!(account.told(), "f0 0..10, f1 10..20, F2 20..50, f5 50..60");
    }

    #[test]
    fn what_came_incomplete_at_the_very_end_is_told() {
        let mut account = account(None);
        account.picture(1, None);
        account.incomplete("Timeout".to_owned());
        account.end();
        assert_eq!(account.told(), "f0 0..10, F1 10..20");
    }

    #[test]
    fn a_torn_picture_is_what_came_and_what_did_not() {
        let mut account = account(None);
        assert!(account.saw(1, 0.0));
        assert_eq!(account.take(6), (0, 0..6));
        account.tear(6, 4);
        account.picture(2, None);
        assert_eq!(account.told(), "F0 6..10, f1 10..20");
    }

    #[test]
    fn the_encoder_says_how_long_a_camera_was_gone() {
        let mut account = account(Some(2));
        account.picture(7, Some(500));
        account.lose("told to");
        account.lose_frames(3, LostReason::CameraLost, "a while");
        account.reconnected();
        account.picture(1, Some(1_000));
        account.picture(3, Some(1_040));
        assert_eq!(
            account.told(),
            "f0 0..20, C1 20..20, C4 20..500, f4 500..520, F5 520..520, f6 540..560"
        );
    }

    #[test]
    fn an_encoder_that_was_set_back_does_not_say_it() {
        let mut account = account(Some(2));
        account.picture(7, Some(500));
        account.lose("told to");
        account.reconnected();
        account.picture(1, Some(3));
        account.picture(2, Some(23));
        account.lose("told to");
        account.end();
        account.end();
        assert_eq!(
            account.told(),
            "f0 0..20, U1 20..22, f1 22..42, f2 42..62, U3 62..64"
        );
    }
}
