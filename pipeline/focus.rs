//! Whether cloth is in focus, decided over lengths of cloth.
//!
//! ```text
//! frame ─▶ sharpness of each quarter of its columns ─▶ held against what good cloth showed ─▶ Soft
//! ```
//!
//! What is sharp differs between articles, so a quarter is held against what the same article showed
//! there when it was taught. Where that was not measured nothing is known of focus, and no cloth is
//! out of it; a station's baseline is of another measure, which tells drift, but not frame by frame. A quarter is out of focus when
//! [`DECIDED`] of cloth in a row looks soft, and then from the first soft frame on; the first
//! frame that is sharp is in focus again. So no flaw and no fold is taken for it, for none of them
//! is that long over a quarter of the columns. Blurred cloth looks strange too: what is soft all over says
//! nothing of whether it is the article's. Nothing here depends on timing.

use std::ops::Range;

use calibration::{ClothSpan, Focus, N_FOCUS_PARTS, Sharpness, Um, focus_columns, sharpness};
use camera::Frame;

/// Soft cloth in a row after which it is believed.
pub const DECIDED: Um = Um(50_000);
/// Share of the least sharpness of taught cloth below which cloth is soft; see [`calibration::focus`] for
/// what it rests on.
const SOFT_OF_TAUGHT: f64 = 0.6;

/// What good cloth of the article looks like in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FocusLimits {
    /// What a quarter lies below in both when it is soft; `None` where it is not known.
    limits: [Option<Focus>; N_FOCUS_PARTS],
}

/// Watches one lane.
#[derive(Debug)]
pub struct FocusWatch {
    limits: FocusLimits,
    parts: [PartWatch; N_FOCUS_PARTS],
    /// Which quarters of the last frame looked soft; `None` where that cannot be told.
    last: [Option<bool>; N_FOCUS_PARTS],
}

/// What is known of a quarter.
#[derive(Debug, Default)]
struct PartWatch {
    /// Number of the stretch of soft cloth that is going on.
    run: Option<u64>,
    /// How long it is.
    length: Um,
    n_runs: u64,
    /// Stretches that are out of focus: the last ones.
    decided: Vec<u64>,
    /// Whether any cloth was sharp.
    has_been_sharp: bool,
}

/// Which quarters of a frame look soft, and to which stretch of soft cloth each belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Soft([Option<u64>; N_FOCUS_PARTS]);

impl FocusLimits {
    /// From the least sharpness of good cloth, as the article's model knows it of this lane.
    pub fn of(taught: &[Option<[f32; 2]>]) -> Self {
        let limit = |part: usize| {
            let least: [f32; 2] = (*taught.get(part)?)?;
            let [sharpness, contrast] = least.map(f64::from);
            Some(Focus {
                sharpness: sharpness * SOFT_OF_TAUGHT,
                contrast: contrast * SOFT_OF_TAUGHT,
            })
        };
        Self {
            limits: std::array::from_fn(limit),
        }
    }

    /// Whether anything is known.
    pub fn is_known(&self) -> bool {
        self.limits.iter().any(Option::is_some)
    }
}

impl Soft {
    /// True where nothing looks soft.
    pub fn is_none(self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Columns of the quarters that look soft, of a frame `width` px wide.
    pub fn columns(self, width: u32) -> impl Iterator<Item = Range<u32>> {
        let parts = self.0.into_iter().enumerate();
        let soft = parts.filter(|(_, run)| run.is_some());
        soft.map(move |(part, _)| focus_columns(part, width))
    }
}

impl FocusWatch {
    /// A watch at the start of a roll.
    pub fn new(limits: FocusLimits) -> Self {
        Self {
            limits,
            parts: std::array::from_fn(|_| PartWatch::default()),
            last: [None; N_FOCUS_PARTS],
        }
    }

    /// Whether it is known how sharp any cloth should look.
    pub fn is_known(&self) -> bool {
        self.limits.is_known()
    }

    /// Looks at the next frame, whose cloth is `length` long.
    ///
    /// # Errors
    /// When the cloth is not a part of the frame.
    pub fn see(&mut self, frame: &Frame, cloth: ClothSpan, length: Um) -> anyhow::Result<Soft> {
        if !self.limits.is_known() {
            return Ok(Soft::default());
        }
        Ok(self.decide(&sharpness(frame, cloth)?, length))
    }

    fn decide(&mut self, seen: &Sharpness, length: Um) -> Soft {
        let limits = self.limits.limits;
        Soft(std::array::from_fn(|part| {
            let both = seen[part].zip(limits[part]);
            // A strong flaw in blurred cloth has contrast.
            let is_out = self.parts[part].is_out();
            let is_soft = both.map(|(seen, limit)| {
                seen.sharpness < limit.sharpness && (is_out || seen.contrast < limit.contrast)
            });
            self.last[part] = is_soft;
            self.parts[part].decide(is_soft, length)
        }))
    }

    /// Whether the last cloth may be out of focus, and it is not known yet.
    pub fn is_in_doubt(&self) -> bool {
        self.parts.iter().any(PartWatch::is_in_doubt)
    }

    /// Whether a frame that looked so is out of focus somewhere. All that looks soft in it then counts
    /// as out of focus: it is told as one.
    pub fn is_out(&self, soft: Soft) -> bool {
        let parts = self.parts.iter().zip(soft.0);
        let mut out =
            parts.filter(|(part, run)| run.is_some_and(|run| part.decided.contains(&run)));
        out.next().is_some()
    }

    /// Whether all of the last frame of which anything can be told looked soft: then nothing in it says what
    /// cloth it is.
    pub fn is_all_soft(&self) -> bool {
        let mut known = self.last.iter().flatten().peekable();
        known.peek().is_some() && known.all(|is_soft| *is_soft)
    }

    /// Whether all that is known of the last cloth is that it is out of focus.
    pub fn is_all_out(&self) -> bool {
        let known = self.parts.iter().zip(&self.last);
        let mut known = known.filter(|(_, last)| last.is_some()).peekable();
        known.peek().is_some() && known.all(|(part, _)| part.is_out())
    }

    /// Ends the lane: what is in doubt is what the cloth before it was, and out of focus where there was
    /// none.
    pub fn finish(&mut self) {
        for part in &mut self.parts {
            if part.is_in_doubt() && !part.has_been_sharp {
                part.decided.extend(part.run);
            }
            part.run = None;
        }
    }
}

impl PartWatch {
    /// The stretch of soft cloth that `length` of cloth belongs to. Where nothing can be told it
    /// neither goes on nor ends.
    fn decide(&mut self, is_soft: Option<bool>, length: Um) -> Option<u64> {
        if !is_soft? {
            self.has_been_sharp = true;
            self.run = None;
            return None;
        }
        let run = match self.run {
            Some(run) => run,
            None => {
                self.n_runs += 1;
                self.length = Um::ZERO;
                self.n_runs
            }
        };
        self.run = Some(run);
        self.length += length;
        if self.length >= DECIDED && !self.decided.contains(&run) {
            // What waits may still belong to the one before.
            if self.decided.len() > MOST_DECIDED {
                self.decided.remove(0);
            }
            self.decided.push(run);
        }
        Some(run)
    }

    fn is_out(&self) -> bool {
        self.run.is_some_and(|run| self.decided.contains(&run))
    }

    fn is_in_doubt(&self) -> bool {
        self.run.is_some_and(|run| !self.decided.contains(&run))
    }
}

/// Stretches that are remembered: what waits is a quarter of a metre, and each is longer than
/// [`DECIDED`].
const MOST_DECIDED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// A quarter as blurred as that.
    fn looks(share: f64) -> Option<Focus> {
        Some(Focus {
            sharpness: share,
            contrast: share,
        })
    }

    /// What is told of frames of 20 mm, by their sharpness in the first quarter: `.` in focus, `o` out
    /// of it.
    fn told(seen: &[f64]) -> String {
        let mut watch = FocusWatch::new(FocusLimits::of(&[Some([1.0, 1.0])]));
        let soft: Vec<Soft> = (seen.iter())
            .map(|seen| watch.decide(&[looks(*seen), None, None, None], Um(20_000)))
            .collect();
        watch.finish();
        let word = |soft: &Soft| if watch.is_out(*soft) { 'o' } else { '.' };
        soft.iter().map(word).collect()
    }

    #[test]
    fn fifty_millimetres_of_soft_cloth_are_out_of_focus_from_the_first_on() {
        assert_eq!(told(&[1.0, 0.3, 0.3, 0.3, 0.3, 1.0]), ".oooo.");
        assert_eq!(told(&[1.0, 0.3, 0.3, 1.0, 0.3, 0.61]), "......");
        assert_eq!(told(&[0.3, 0.3]), "oo", "a short roll of nothing else");
        assert_eq!(told(&[1.0, 0.3, 0.3]), "...", "its end may be a fold");
    }

    #[test]
    fn what_has_long_floats_or_a_hole_in_it_is_not_soft() {
        let mut watch = FocusWatch::new(FocusLimits::of(&[Some([1.0, 1.0])]));
        let other = Some(Focus {
            sharpness: 0.2,
            contrast: 1.4,
        });
        let soft = watch.decide(&[other, None, None, None], Um(900_000));
        assert!(soft.is_none() && !watch.is_all_soft());
    }

    #[test]
    fn where_nothing_is_known_no_cloth_is_out_of_focus() {
        let limits = FocusLimits::of(&[]);
        assert!(!limits.is_known());
        let mut watch = FocusWatch::new(limits);
        let soft = watch.decide(&[looks(0.0); N_FOCUS_PARTS], Um(900_000));
        assert_eq!(soft, Soft::default());
        assert!(!watch.is_out(soft) && !watch.is_in_doubt());
    }

    #[test]
    fn a_quarter_that_shows_no_cloth_for_a_while_is_not_sharp_meanwhile() {
        let mut watch = FocusWatch::new(FocusLimits::of(&[Some([1.0, 1.0])]));
        let mut see = |seen| watch.decide(&[seen, None, None, None], Um(20_000));
        let first = see(looks(0.3));
        assert_eq!(see(None), Soft::default());
        see(looks(0.3));
        see(looks(0.3));
        assert!(watch.is_out(first));
    }
}
