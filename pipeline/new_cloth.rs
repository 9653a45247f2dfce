//! Overlapping pictures of an area camera, reduced to the cloth that each one shows first.
//!
//! ```text
//! inner source ──▶ Frame ──▶ how far did the cloth move? ──▶ its new lines ──▶ blocks | Lost
//!                              encoder, else measured, else nominal
//! ```
//!
//! A [`NewCloth`] is a source around a source. Its lines run on without a joint: where the cloth
//! came to lie is kept with its parts of a line, and each frame is cut from the last line that
//! was taken, so that rounding never adds up. Cloth that stands or goes back gives nothing
//! until it has come on. Cloth that moved farther than a picture is high is lost between two
//! frames. Without an encoder lengths are measured. Where that is impossible the cloth does not go
//! on: a line that is [`LostReason::UnknownLength`] marks the place, behind it as much of the
//! picture is new as at the last measured speed, and [`LengthFacts`] counts it as nominal. An
//! exposure that is missing loses no cloth as long as the next one still shows where the last one
//! ended.
//!
//! Lines are handed out in blocks, at most some two hundred of them late. Ends with its inner
//! source, or when `stop` is set while nothing new comes. It corrects no
//! perspective and no movement across. With [`Motion::Down`] pictures are turned upside down, so
//! that lines stand in the order in which the cloth came.

mod blocks;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use calibration::{Doubt, Shift, Texture, shift};
use camera::{
    CameraError, Captured, Description, Frame, FrameShape, Lost, LostReason, Pool, Source,
    TicksFrom,
};
use store::LengthKnown;

use self::blocks::{Blocks, highest};

/// Which way the cloth runs through the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// Towards the last row: new cloth appears at the top.
    Down,
    /// Towards the first row: new cloth appears at the bottom.
    Up,
}

/// Where the length of cloth between two pictures is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthFrom {
    /// The end of each frame's ticks is where an encoder stood when it was exposed.
    Encoder,
    /// The pictures themselves; ticks of the inner source are nominal and are not used.
    Pictures,
}

/// What a [`NewCloth`] must be told of its camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewClothSettings {
    /// Which way the cloth runs.
    pub motion: Motion,
    /// What tells its length.
    pub length: LengthFrom,
}

/// How the lengths of a run were known, exposure by exposure; grows while it runs.
#[derive(Debug)]
pub struct LengthFacts {
    from: LengthFrom,
    n_measured: AtomicU64,
    n_nominal: AtomicU64,
}

impl LengthFacts {
    /// How the length of all cloth so far is known: by its weakest part.
    pub fn length_known(&self) -> LengthKnown {
        match self.from {
            LengthFrom::Encoder => LengthKnown::Encoder,
            LengthFrom::Pictures if self.n_nominal() == 0 => LengthKnown::Measured,
            LengthFrom::Pictures => LengthKnown::Nominal,
        }
    }

    /// Movements that were measured.
    pub fn n_measured(&self) -> u64 {
        self.n_measured.load(Ordering::Relaxed)
    }

    /// Movements that could not be measured and are taken to be nominal, lost exposures included.
    pub fn n_nominal(&self) -> u64 {
        self.n_nominal.load(Ordering::Relaxed)
    }
}

/// A source that hands out only new cloth.
pub struct NewCloth {
    inner: Box<dyn Source>,
    settings: NewClothSettings,
    stop: Arc<AtomicBool>,
    facts: Arc<LengthFacts>,
    description: Description,
    /// Lines and losses that wait to be handed out.
    blocks: Blocks,
    /// Index of the camera, by the first exposure.
    camera: u16,
    /// Whether `out` is known: anything that has ticks has come.
    has_begun: bool,
    /// Lines taken, as pixels or as lost: where the next one begins, in ticks.
    out: i64,
    /// Where the newest line of the last frame lies, in ticks with their parts.
    edge: f64,
    /// The last frame, to be compared with the next one.
    last: Option<Texture>,
    /// Ticks from frame to frame, as last measured.
    pace: Option<f64>,
    /// Exposures lost since the last frame; the cloth of some of them may still be seen.
    missing: Option<Lost>,
    /// Lines were taken since the last loss, and the next ones go on from them.
    is_joined: bool,
    n_missing: u64,
    has_ended: bool,
}

impl NewCloth {
    /// Reduces `inner`, whose frames show cloth again. `stop` ends it even while the cloth stands.
    pub fn new(inner: Box<dyn Source>, settings: NewClothSettings, stop: Arc<AtomicBool>) -> Self {
        let picture = inner.description().shape;
        let description = Description {
            shape: FrameShape {
                height: highest(picture),
                ..picture
            },
            ticks: match settings.length {
                LengthFrom::Encoder => inner.description().ticks,
                LengthFrom::Pictures => TicksFrom::Nominal,
            },
            // How many frames show new cloth is not known before they have come.
            n_frames: None,
            continuous: true,
            ..inner.description().clone()
        };
        Self {
            facts: Arc::new(LengthFacts {
                from: settings.length,
                n_measured: AtomicU64::new(0),
                n_nominal: AtomicU64::new(0),
            }),
            inner,
            settings,
            stop,
            description,
            blocks: Blocks::new(picture),
            camera: 0,
            has_begun: false,
            out: 0,
            edge: 0.0,
            last: None,
            pace: None,
            missing: None,
            is_joined: false,
            n_missing: 0,
            has_ended: false,
        }
    }

    /// How lengths were known; to be asked while and after the source runs.
    pub fn facts(&self) -> Arc<LengthFacts> {
        Arc::clone(&self.facts)
    }

    fn per_line(&self) -> i64 {
        self.description.ticks_per_line.max(1)
    }

    /// Ticks that a whole picture covers.
    fn reach(&self) -> i64 {
        i64::from(self.inner.description().shape.height) * self.per_line()
    }

    /// Ticks from one exposure to the next, where nothing tells.
    fn nominal(&self) -> f64 {
        self.pace.unwrap_or(self.reach() as f64)
    }

    fn take_frame(&mut self, frame: &Frame) -> Result<(), CameraError> {
        self.camera = frame.camera;
        let height = i64::from(frame.height());
        let doubt = match self.settings.length {
            LengthFrom::Encoder => {
                self.begin_at(frame.ticks.end - height * self.per_line());
                self.edge = frame.ticks.end as f64;
                None
            }
            LengthFrom::Pictures => self.measure(frame)?,
        };
        let missing = self.missing.take();
        self.n_missing = 0;

        // The newest line ends here; lines are whole, the rest stays for the next frame.
        let end = self.out + whole_lines(self.edge - self.out as f64, self.per_line());
        let begin = end - height * self.per_line();
        if begin > self.out {
            self.lose(begin, missing);
        }
        let n_new = u32::try_from((end - self.out) / self.per_line()).unwrap_or(0);
        if let Some(doubt) = doubt.filter(|_| self.is_joined) {
            self.part(doubt);
        }
        if n_new > 0 {
            let motion = self.settings.motion;
            self.blocks.add(frame, n_new, motion, self.out);
            self.out += i64::from(n_new) * self.per_line();
            self.is_joined = true;
        }
        Ok(())
    }

    /// Cloth begins at `tick`, unless it has begun.
    fn begin_at(&mut self, tick: i64) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.out = tick;
        }
    }

    /// Marks that nobody knows how much cloth lies between what came and what comes, by a line
    /// that is none.
    fn part(&mut self, doubt: Doubt) {
        let until = self.out + self.per_line();
        self.edge += self.per_line() as f64;
        let found = match doubt {
            Doubt::NoTexture => "nothing in common".to_owned(),
            Doubt::Ambiguous { best, other } => {
                format!("{best:.1} and {other:.1} lines of movement equally likely")
            }
            Doubt::OtherSize => "pictures of two sizes".to_owned(),
        };
        self.hand_on_lost(
            until,
            LostReason::UnknownLength,
            format!(
                "found {found} in two successive pictures, expected to see how far the cloth moved; cloth may be missing here"
            ),
            None,
        );
    }

    /// Moves `edge` to where the newest line of `frame` lies; says why, where that is a guess.
    fn measure(&mut self, frame: &Frame) -> Result<Option<Doubt>, CameraError> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let texture = Texture::of(frame).map_err(|error| by_opencv(&error))?;
        let Some(before) = self.last.replace(texture) else {
            // Nothing to compare with: all of it is new, after what was lost before it.
            let unseen = self.n_missing as f64 * self.nominal();
            self.edge += unseen + self.reach() as f64;
            if !is_first {
                self.facts.n_nominal.fetch_add(1, Ordering::Relaxed);
            }
            return Ok(None);
        };
        let after = self.last.as_ref().unwrap_or(&before);
        let found = shift(&before, after, None).map_err(|error| by_opencv(&error))?;
        let n_exposures = (self.n_missing + 1) as f64;
        // What repeats may still be told by how fast the cloth ran. Pictures with nothing in common
        // may not: a weave looks like itself at any speed, also beyond a jump.
        let found = match (found, self.pace) {
            (Shift::Unknown(Doubt::Ambiguous { .. }), Some(pace)) => {
                let expected = self.rows_from(pace * n_exposures);
                let reach = (SEARCH_SHARE * expected.abs()).max(LEAST_SEARCH_ROWS);
                shift(&before, after, Some(expected - reach..=expected + reach))
                    .map_err(|error| by_opencv(&error))?
            }
            (found, _) => found,
        };
        match found {
            Shift::Moved { rows, .. } => {
                let moved = match self.settings.motion {
                    Motion::Down => rows,
                    Motion::Up => -rows,
                } * self.per_line() as f64;
                self.edge += moved;
                self.pace = Some((moved / n_exposures).max(0.0));
                self.facts.n_measured.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
            Shift::Unknown(doubt) => {
                let moved = self.nominal() * n_exposures;
                if self.facts.n_nominal.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        frame = frame.sequence,
                        ?doubt,
                        ticks = moved,
                        "how far the cloth moved cannot be measured, so cloth of unknown length is told there and its nominal length is taken; further ones are counted"
                    );
                } else {
                    tracing::debug!(
                        frame = frame.sequence,
                        ?doubt,
                        ticks = moved,
                        "nominal length taken"
                    );
                }
                self.edge += moved;
                Ok(Some(doubt))
            }
        }
    }

    /// Rows in the picture for ticks of the cloth.
    fn rows_from(&self, ticks: f64) -> f64 {
        let rows = ticks / self.per_line() as f64;
        match self.settings.motion {
            Motion::Down => rows,
            Motion::Up => -rows,
        }
    }

    /// Keeps in mind what was lost; hands out what no later frame can show any more.
    fn take_lost(&mut self, lost: Lost) {
        self.camera = lost.camera;
        match self.settings.length {
            // One without ticks says nothing of where the cloth begins.
            LengthFrom::Encoder if lost.ticks.is_empty() => {}
            LengthFrom::Encoder => self.begin_at(lost.ticks.start),
            LengthFrom::Pictures => self.has_begun = true,
        }
        let n = (lost.ticks.end - lost.ticks.start).max(1).cast_unsigned();
        let n = n.div_ceil(self.reach().max(1).cast_unsigned());
        self.n_missing = self.n_missing.saturating_add(n);
        let until = match self.settings.length {
            // The next exposure shows at least what this one began with.
            LengthFrom::Encoder => lost.ticks.start,
            LengthFrom::Pictures => {
                let next = self.edge + (self.n_missing + 1) as f64 * self.nominal();
                next as i64 - self.reach()
            }
        };
        let until = self.out + whole_lines((until - self.out) as f64, self.per_line());
        let (lost, until) = match self.missing.take() {
            // The first reason stands for all, unless cloth was handed out in between.
            Some(first) => (
                Lost {
                    ticks: first.ticks.start..lost.ticks.end,
                    ..first
                },
                until,
            ),
            None => (lost, until),
        };
        if until > self.out {
            self.lose(until, Some(lost.clone()));
            if self.settings.length == LengthFrom::Pictures {
                self.facts.n_nominal.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.missing = Some(lost);
    }

    /// The cloth from `out` to `until` was not seen.
    fn lose(&mut self, until: i64, missing: Option<Lost>) {
        let known = match self.settings.length {
            LengthFrom::Encoder => "its length is known by the encoder",
            LengthFrom::Pictures => "how long it is is not known, this is its nominal length",
        };
        let detail = match &missing {
            Some(lost) => format!("{}; {known}", lost.detail),
            None => format!(
                "found the cloth farther on than a picture is high, expected pictures that overlap; {known}"
            ),
        };
        let reason = missing
            .as_ref()
            .map_or(LostReason::FrameLost, |lost| lost.reason);
        let origin = missing.and_then(|lost| lost.origin);
        self.hand_on_lost(until, reason, detail, origin);
    }

    fn hand_on_lost(
        &mut self,
        until: i64,
        reason: LostReason,
        detail: String,
        origin: Option<Arc<str>>,
    ) {
        self.blocks.lose(Lost {
            camera: self.camera,
            sequence: 0,
            ticks: self.out..until,
            reason,
            detail,
            origin,
        });
        self.out = until;
        self.is_joined = false;
    }

    /// What was lost last and no frame came after.
    fn finish(&mut self) {
        self.has_ended = true;
        let Some(lost) = self.missing.take() else {
            return;
        };
        let end = match self.settings.length {
            LengthFrom::Encoder => lost.ticks.end as f64,
            LengthFrom::Pictures => {
                self.facts.n_nominal.fetch_add(1, Ordering::Relaxed);
                self.edge + self.n_missing as f64 * self.nominal()
            }
        };
        let until = self.out + whole_lines(end - self.out as f64, self.per_line());
        if until > self.out {
            self.lose(until, Some(lost));
        }
    }
}

/// Rows around the expected shift that are searched where the whole picture is ambiguous: this
/// share of it, and at least so many.
const SEARCH_SHARE: f64 = 0.1;
const LEAST_SEARCH_ROWS: f64 = 2.0;

impl Source for NewCloth {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self, pool: &Pool) -> Result<Option<Captured>, CameraError> {
        loop {
            let is_coming = !self.has_ended && !self.stop.load(Ordering::Relaxed);
            let ready = self.blocks.hand_out(pool, is_coming, self.per_line())?;
            if ready.is_some() || !is_coming || pool.is_closed() {
                return Ok(ready);
            }
            match self.inner.next(pool)? {
                Some(Captured::Frame(frame)) => self.take_frame(&frame)?,
                Some(Captured::Lost(lost)) => self.take_lost(lost),
                None => self.finish(),
            }
        }
    }
}

/// The largest whole number of lines in `ticks`, in ticks; half a line counts as one.
fn whole_lines(ticks: f64, per_line: i64) -> i64 {
    (ticks / per_line as f64).round() as i64 * per_line
}

fn by_opencv(error: &calibration::CalibrationError) -> CameraError {
    CameraError::Shift {
        detail: error.to_string(),
    }
}
