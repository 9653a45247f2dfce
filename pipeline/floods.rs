//! When flaws are so many that they say nothing of single flaws.
//!
//! ```text
//! regions of a frame ─▶ Flood: flaws per square metre over the last stretch ─▶ a gap, or not
//! ```
//!
//! Bad light or the wrong cloth flags thousands of places in a metre. Telling each one would bury
//! the true ones, so such a frame is cloth that was not inspected. What is judged is the frame
//! together with the cloth just before it, so that low frames are held to the same measure as
//! high ones. A flood is not remembered: the first good frame after it counts again.

use std::collections::VecDeque;

use calibration::{Um, mm_from_um};
use models::ScoreMap;

use crate::flaws::Region;

/// Flaws in a square metre from which nobody looks at one flaw after the other. Cloth of which
/// buyers still take the worst has one in two square metres (28 points in 100 yd²).
const MOST_PER_M2: f64 = 1000.0;
/// Fewer flaws than this are told one by one however small the frame.
const LEAST_FLAWS: usize = 50;
/// Share of the cloth flagged over [`SHARE_STRETCH`] from which it says nothing of single flaws.
/// A missing pick alone fills a low frame, so that its frame alone would tell nothing.
const MOST_FLAGGED: f64 = 0.5;
const SHARE_STRETCH: Um = Um(50_000);
/// Cloth along that is taken together.
const STRETCH: Um = Um(250_000);

/// Counts the flaws of one lane.
#[derive(Clone, Default)]
pub struct Flood {
    /// The last frames that were no flood, the newest first.
    past: VecDeque<Passed>,
}

/// A frame that was no flood.
#[derive(Clone, Copy)]
struct Passed {
    length: Um,
    m2: f64,
    n_flaws: usize,
    n_flagged: usize,
    n_judged: usize,
}

impl Flood {
    /// Takes the next frame, `length` long and with `m2` of cloth, and says why its flaws are too
    /// many to be told one by one, if they are.
    pub fn check(
        &mut self,
        map: &ScoreMap,
        found: &[Region],
        length: Um,
        m2: f64,
    ) -> Option<String> {
        let scores = map.judged_scores();
        let this = Passed {
            length,
            m2,
            n_flaws: found.iter().filter(|region| region.highest > 1.0).count(),
            n_flagged: scores.iter().filter(|score| **score > 1.0).count(),
            n_judged: scores.len(),
        };
        let (mut n_all, mut m2_all) = (0, 0.0);
        let (mut n_flagged, mut n_judged) = (0, 0);
        let (mut reached, mut share_reached) = (Um::ZERO, Um::ZERO);
        for frame in std::iter::once(&this).chain(&self.past) {
            n_all += frame.n_flaws;
            m2_all += frame.m2;
            if reached < SHARE_STRETCH {
                n_flagged += frame.n_flagged;
                n_judged += frame.n_judged;
                share_reached += frame.length;
            }
            reached += frame.length;
        }
        let share = n_flagged as f64 / n_judged.max(1) as f64;
        let most = LEAST_FLAWS.max((MOST_PER_M2 * m2_all) as usize);
        let found = if n_all > most {
            let mm = mm_from_um(reached);
            format!("found {n_all} flaws in {mm:.0} mm of cloth, expected at most {most}")
        } else if share > MOST_FLAGGED {
            format!(
                "found {:.0} % of {:.0} mm of cloth flagged, expected at most {:.0} %",
                share * 100.0,
                mm_from_um(share_reached),
                MOST_FLAGGED * 100.0
            )
        } else {
            self.remember(this);
            return None;
        };
        Some(format!(
            "{found}; the frame is not inspected: check that it is this article and that light and focus are right"
        ))
    }

    /// Counts a frame that was no flood with those to come.
    fn remember(&mut self, this: Passed) {
        self.past.push_front(this);
        let mut reached = Um::ZERO;
        let within = self.past.iter().take_while(|frame| {
            let starts_within = reached < STRETCH;
            reached += frame.length;
            starts_within
        });
        let n_within = within.count();
        self.past.truncate(n_within);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flaws::{Sides, regions};
    use ndarray::Array2;

    /// A frame of 40 rows of 1 mm cells and 200 columns with `n` flaws, 5 mm apart.
    fn frame(n: usize) -> ScoreMap {
        let mut scores = Array2::zeros((40, 200));
        for nth in 0..n {
            scores[[5 * (nth / 40), 5 * (nth % 40)]] = 2.0;
        }
        ScoreMap {
            scores,
            judged: 0..200,
        }
    }

    fn check(flood: &mut Flood, n: usize) -> bool {
        let map = frame(n);
        let found = regions(&map, 1.0, &Sides::ALONE);
        assert_eq!(found.len(), n);
        flood.check(&map, &found, Um(40_000), 0.008).is_some()
    }

    #[test]
    fn a_frame_full_of_flaws_is_a_flood_and_the_next_good_one_is_not() {
        let mut flood = Flood::default();
        assert!(!check(&mut flood, 50));
        assert!(check(&mut flood, 51), "with the fifty before it");
        assert!(!check(&mut flood, 0), "a flood is not remembered");
        assert!(check(&mut Flood::default(), 51));
    }

    #[test]
    fn a_flood_is_told_in_one_sentence_with_what_was_found_where_and_what_to_do() {
        let said = |flood: &mut Flood, map: &ScoreMap| {
            let found = regions(map, 1.0, &Sides::ALONE);
            flood.check(map, &found, Um(40_000), 0.008)
        };
        let mut flood = Flood::default();
        assert_eq!(said(&mut flood, &frame(40)), None);
        assert_eq!(
            said(&mut flood, &frame(20)).unwrap(),
            "found 60 flaws in 80 mm of cloth, expected at most 50; the frame is not inspected: check that it is this article and that light and focus are right"
        );
        let all = ScoreMap {
            scores: Array2::from_elem((40, 200), 2.0),
            judged: 0..200,
        };
        let flagged = said(&mut Flood::default(), &all).unwrap();
        assert!(
            flagged.starts_with("found 100 % of 40 mm of cloth flagged, expected at most 50 %;"),
            "{flagged}"
        );
    }

    #[test]
    fn low_frames_add_up_and_are_forgotten_after_a_stretch() {
        let mut flood = Flood::default();
        let told = (0..5).map(|_| check(&mut flood, 12));
        assert_eq!(told.collect::<Vec<_>>(), [false, false, false, false, true]);
        // Six good frames and the last of the four make 250 mm and more.
        (0..7).for_each(|_| assert!(!check(&mut flood, 0)));
        assert!(!check(&mut flood, 50));
    }

    #[test]
    fn a_pick_that_fills_a_low_frame_is_a_flaw_and_no_flood() {
        let mut flood = Flood::default();
        let low = |value: f32| ScoreMap {
            scores: Array2::from_elem((4, 200), value),
            judged: 0..200,
        };
        let mut check = |value: f32| {
            let map = low(value);
            let found = regions(&map, 1.0, &Sides::ALONE);
            flood.check(&map, &found, Um(4_000), 0.0008).is_some()
        };
        (0..20).for_each(|_| assert!(!check(0.0)));
        assert!(!check(2.0) && !check(2.0), "a pick over two low frames");
        (0..3).for_each(|_| assert!(!check(0.0)));
        let told = (0..12).map(|_| check(2.0)).filter(|is_flood| *is_flood);
        assert!(told.count() >= 6, "half of the stretch flagged is a flood");
    }

    #[test]
    fn cloth_that_is_flagged_all_over_is_a_flood_of_one_flaw() {
        let map = ScoreMap {
            scores: Array2::from_elem((10, 10), 2.0),
            judged: 0..10,
        };
        let found = regions(&map, 1.0, &Sides::ALONE);
        assert_eq!(found.len(), 1);
        assert!(
            Flood::default()
                .check(&map, &found, Um(10_000), 1.0)
                .is_some()
        );
    }
}
