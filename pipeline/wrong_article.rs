//! Whether the cloth is the article's at all, decided over lengths of cloth.
//!
//! ```text
//! block ─▶ Character, with those just before it ─▶ strangeness ─▶ right, wrong, or in doubt
//! ```
//!
//! A verdict changes only when [`DECIDED`] of cloth in a row says otherwise, and the cloth that
//! said so then belongs to what it said: wrong cloth is wrong from its first frame on, and a single
//! strange frame is none. What once was strange stays so until it is clearly less. A lane whose
//! cloth was strange from its beginning to its end is wrong however short it is. Cloth that is merely
//! unlike what was taught, as another lot or a near relation is, stays right and is told. A model that was
//! taught without a likeness finds all cloth right. Nothing here depends on timing.

use std::collections::VecDeque;

use calibration::Um;
use models::{Block, Character, Likeness};

/// Cloth in a row after which it is believed. Wrong cloth must be told within a metre, and frames may
/// be as long as half of one.
pub const DECIDED: Um = Um(250_000);
/// Strangeness from which cloth is strange, and below which it no longer is.
pub const STRANGE: f32 = 1.0;
const NO_LONGER: f32 = 0.85;
/// Strangeness from which cloth is inspected, but a person should know.
const UNLIKE: f32 = 0.45;

/// Watches one lane.
pub struct Watch {
    likeness: Option<Likeness>,
    is_wrong: bool,
    /// Whether the last cloth looked strange.
    is_strange: bool,
    /// Whether any cloth has agreed with the verdict.
    has_agreed: bool,
    /// Cloth in a row that says otherwise.
    contrary: Um,
    /// Cloth in a row that is not much like what was taught, and whether any was.
    unlike: Um,
    has_liked: bool,
    is_unlike: bool,
    /// How strange the last cloth was.
    last: f32,
    /// What was seen last, the newest first: together at least as many rows as taught blocks had.
    recent: VecDeque<Character>,
}

/// What is known after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All cloth until here is right, or all is wrong, as [`Watch::is_wrong`] says.
    Known,
    /// It may be either; the cloth that is in doubt waits.
    InDoubt,
}

impl Watch {
    /// A watch at the start of a roll, for the likeness in a model's passport.
    pub fn new(likeness: Option<Likeness>) -> Self {
        Self {
            likeness,
            is_wrong: false,
            is_strange: false,
            has_agreed: false,
            contrary: Um::ZERO,
            unlike: Um::ZERO,
            has_liked: false,
            is_unlike: false,
            last: 0.0,
            recent: VecDeque::new(),
        }
    }

    /// Looks at the next block, `length` long. Where it is too narrow or low to tell, it agrees
    /// with what is known.
    pub fn see(&mut self, block: &Block, length: Um) -> Verdict {
        let character = self.likeness.as_ref().and_then(|_| Character::of(block));
        let strangeness = character.and_then(|character| self.strangeness(character));
        self.decide(strangeness, length)
    }

    fn decide(&mut self, strangeness: Option<f32>, length: Um) -> Verdict {
        let Some(strangeness) = strangeness else {
            self.contrary = Um::ZERO;
            return Verdict::Known;
        };
        self.last = strangeness;
        if strangeness > UNLIKE {
            self.unlike += length;
            self.is_unlike |= self.unlike >= DECIDED;
        } else {
            self.unlike = Um::ZERO;
            self.has_liked = true;
        }
        let limit = if self.is_strange { NO_LONGER } else { STRANGE };
        self.is_strange = strangeness > limit;
        if self.is_strange == self.is_wrong {
            self.has_agreed = true;
            self.contrary = Um::ZERO;
            return Verdict::Known;
        }
        self.contrary += length;
        if self.contrary < DECIDED {
            return Verdict::InDoubt;
        }
        self.turn();
        Verdict::Known
    }

    /// Ends the lane: what was in doubt is what the cloth before it was, and wrong where there was
    /// none.
    pub fn finish(&mut self) {
        if self.contrary > Um::ZERO && !self.has_agreed {
            self.turn();
        }
        self.contrary = Um::ZERO;
        self.is_unlike |= self.unlike > Um::ZERO && !self.has_liked;
    }

    /// Whether some of the cloth so far is not much like what was taught, strange or not.
    pub fn is_unlike(&self) -> bool {
        self.is_unlike
    }

    /// Whether the cloth is another article's.
    pub fn is_wrong(&self) -> bool {
        self.is_wrong
    }

    /// Whether the last cloth said otherwise.
    pub fn is_in_doubt(&self) -> bool {
        self.contrary > Um::ZERO
    }

    /// How strange the last cloth was: above 1, it was.
    pub fn last_strangeness(&self) -> f32 {
        self.last
    }

    fn turn(&mut self) {
        self.is_wrong = !self.is_wrong;
        self.has_agreed = true;
        self.contrary = Um::ZERO;
    }

    /// How strange a block is together with those just before it: low blocks tell little alone.
    fn strangeness(&mut self, character: Character) -> Option<f32> {
        let likeness = self.likeness.as_ref()?;
        let mut whole = character.clone();
        let mut n_needed = 0;
        for earlier in &self.recent {
            if whole.rows() >= likeness.rows() {
                break;
            }
            whole = whole.with(earlier);
            n_needed += 1;
        }
        self.recent.truncate(n_needed);
        self.recent.push_front(character);
        Some(likeness.strangeness(&whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a watch says of frames of 50 mm: `.` right, `#` wrong, `?` in doubt.
    fn said(strangeness: &[f32]) -> (String, Watch) {
        let mut watch = Watch::new(None);
        let said = strangeness.iter().map(|strangeness| {
            match watch.decide(Some(*strangeness), Um(50_000)) {
                Verdict::InDoubt => '?',
                Verdict::Known if watch.is_wrong() => '#',
                Verdict::Known => '.',
            }
        });
        (said.collect(), watch)
    }

    #[test]
    fn a_quarter_of_a_metre_decides_both_ways() {
        let cloth = [[0.1; 5], [3.0; 5], [3.0; 5], [0.1; 5], [0.1; 5]].concat();
        assert_eq!(said(&cloth).0, ".....????######????......");
    }

    #[test]
    fn one_strange_frame_is_nothing_and_one_usual_one_neither() {
        let mut cloth = vec![0.1; 3];
        cloth.extend([2.0, 2.0, 0.1, 0.1]);
        cloth.extend([2.0; 6]);
        cloth.extend([0.1, 2.0]);
        assert_eq!(said(&cloth).0, "...??..????##?#");
    }

    #[test]
    fn what_was_strange_is_so_until_it_is_clearly_less() {
        assert_eq!(said(&[1.1, 0.9, 0.88, 0.9, 0.88, 0.9]).0, "????##");
        assert_eq!(said(&[0.9; 8]).0, "........");
    }

    #[test]
    fn a_short_roll_of_nothing_else_is_wrong_and_a_strange_end_is_not() {
        let (told, mut watch) = said(&[2.0]);
        assert_eq!(told, "?");
        watch.finish();
        assert!(watch.is_wrong());
        let (_, mut watch) = said(&[0.1, 2.0]);
        watch.finish();
        assert!(!watch.is_wrong());
    }

    #[test]
    fn cloth_that_is_a_little_strange_is_inspected_and_said_to_be() {
        let (told, watch) = said(&[0.1, 0.6, 0.6, 0.1, 0.6, 0.6, 0.6, 0.6]);
        assert_eq!(told, "........");
        assert!(!watch.is_unlike());
        let (told, watch) = said(&[0.1, 0.6, 0.6, 0.6, 0.6, 0.6, 0.1]);
        assert_eq!(told, ".......");
        assert!(watch.is_unlike());
        let (_, mut watch) = said(&[0.6]);
        watch.finish();
        assert!(watch.is_unlike() && !watch.is_wrong());
    }

    #[test]
    fn without_a_likeness_all_cloth_is_right() {
        let mut watch = Watch::new(None);
        assert_eq!(watch.decide(None, Um(900_000)), Verdict::Known);
        assert!(!watch.is_wrong() && !watch.is_in_doubt());
    }
}
