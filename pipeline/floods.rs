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

use calibration::Um;
use models::ScoreMap;

use crate::flaws::Region;

/// Flaws in a square metre from which nobody looks at one flaw after the other. Cloth of which
/// buyers still take the worst has one in two square metres (28 points in 100 yd²).
const MOST_PER_M2: f64 = 1000.0;
/// Fewer flaws than this are told one by one however small the frame.
const LEAST_FLAWS: usize = 50;
/// Share of a frame's cloth flagged from which it says nothing of single flaws.
const MOST_FLAGGED: f64 = 0.5;
/// Cloth along that is taken together.
const STRETCH: Um = Um(250_000);

/// Counts the flaws of one lane.
#[derive(Default)]
pub struct Flood {
    /// Length, area in m² and flaws of the last frames that were no flood.
    past: VecDeque<(Um, f64, usize)>,
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
        let n_flaws = found.iter().filter(|region| region.highest > 1.0).count();
        let scores = map.judged_scores();
        let n_flagged = scores.iter().filter(|score| **score > 1.0).count();
        let share = n_flagged as f64 / scores.len().max(1) as f64;
        let (mut n_all, mut m2_all) = (n_flaws, m2);
        for (_, area, n) in &self.past {
            n_all += n;
            m2_all += area;
        }
        let most = LEAST_FLAWS.max((MOST_PER_M2 * m2_all) as usize);
        if n_all > most || share > MOST_FLAGGED {
            return Some(format!(
                "found {n_flaws} flaws and {:.0} % of the cloth flagged, {n_all} flaws with the {:.0} mm before, expected at most {most} and {:.0} %: is it this article, and is the light right?",
                share * 100.0,
                STRETCH.get() as f64 / 1e3,
                MOST_FLAGGED * 100.0
            ));
        }
        self.past.push_front((length, m2, n_flaws));
        let mut reached = Um::ZERO;
        let within = self.past.iter().take_while(|(length, _, _)| {
            let starts_within = reached < STRETCH;
            reached += *length;
            starts_within
        });
        let n_within = within.count();
        self.past.truncate(n_within);
        None
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
    fn low_frames_add_up_and_are_forgotten_after_a_stretch() {
        let mut flood = Flood::default();
        let told = (0..5).map(|_| check(&mut flood, 12));
        assert_eq!(told.collect::<Vec<_>>(), [false, false, false, false, true]);
        // Six good frames and the last of the four make 250 mm and more.
        (0..7).for_each(|_| assert!(!check(&mut flood, 0)));
        assert!(!check(&mut flood, 50));
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
