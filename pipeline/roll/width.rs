//! How wide the cloth is, from selvedge to selvedge.
//!
//! ```text
//! left lane: where its left selvedge lies  ┐
//! right lane: where its right one lies     ┴─▶ Widths: both of one place along ─▶ least, mean, most
//! ```
//!
//! Where an edge is out of the picture, or its frame was not seen, the width there is not known and
//! counts for nothing; where it is known nowhere there is none, and no guess. The mean is over
//! length, whatever the height of frames. Lanes may come one ahead of the other; of one that is very
//! far ahead the oldest edges are forgotten, so that what is held is bounded.

use std::collections::VecDeque;

use calibration::{Span, Um};

/// Edges of a lane that may wait for the lane at the other side.
const MOST_WAITING: usize = 8192;

/// How wide cloth was, over the places where both of its selvedges were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClothWidth {
    /// Where it was narrowest.
    pub min: Um,
    /// Over its length.
    pub mean: Um,
    /// Where it was widest.
    pub max: Um,
}

/// Finds the widths of a roll.
#[derive(Debug, Default)]
pub(super) struct Widths {
    lefts: VecDeque<(Span, Um)>,
    rights: VecDeque<(Span, Um)>,
    extremes: Option<(Um, Um)>,
    /// Sum of width times length, µm².
    area: i128,
    /// Length over which it is known, µm.
    length: i128,
}

impl Widths {
    /// The left selvedge over a stretch of cloth, behind those that were told before.
    pub(super) fn left(&mut self, along: Span, at: Um) {
        push(&mut self.lefts, along, at);
        self.pair();
    }

    /// The right selvedge, likewise.
    pub(super) fn right(&mut self, along: Span, at: Um) {
        push(&mut self.rights, along, at);
        self.pair();
    }

    /// What was found so far.
    pub(super) fn found(&self) -> Option<ClothWidth> {
        let (min, max) = self.extremes?;
        // A mean lies between its extremes, and they fit.
        let mean = Um((self.area / self.length.max(1)) as i64);
        Some(ClothWidth { min, mean, max })
    }

    /// Takes what lies at the same place along of both.
    fn pair(&mut self) {
        while let (Some((left_along, left)), Some((right_along, right))) =
            (self.lefts.front(), self.rights.front())
        {
            if let Some(both) = left_along.intersection(*right_along)
                && both.length() > Um::ZERO
                && right > left
            {
                let width = *right - *left;
                let (min, max) = self.extremes.unwrap_or((width, width));
                self.extremes = Some((min.min(width), max.max(width)));
                let length = i128::from(both.length().get());
                self.area += i128::from(width.get()) * length;
                self.length += length;
            }
            let (left_end, right_end) = (left_along.end(), right_along.end());
            if left_end <= right_end {
                self.lefts.pop_front();
            }
            if right_end <= left_end {
                self.rights.pop_front();
            }
        }
    }
}

fn push(edges: &mut VecDeque<(Span, Um)>, along: Span, at: Um) {
    if edges.len() == MOST_WAITING {
        edges.pop_front();
    }
    edges.push_back((along, at));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mm(from: i64, to: i64) -> Span {
        Span::new(Um(from * 1000), Um(to * 1000)).unwrap()
    }

    #[test]
    fn the_mean_is_over_length_and_edges_are_of_the_same_place() {
        let mut widths = Widths::default();
        assert_eq!(widths.found(), None);
        widths.left(mm(0, 100), Um(10));
        widths.left(mm(100, 400), Um(20));
        assert_eq!(widths.found(), None, "one edge is no width");
        widths.right(mm(50, 200), Um(1020));
        widths.right(mm(200, 300), Um(1320));
        // 50 mm of 1010, 100 mm of 1000, 100 mm of 1300; the rest was seen at one side alone.
        let found = ClothWidth {
            min: Um(1000),
            mean: Um(1122),
            max: Um(1300),
        };
        assert_eq!(widths.found(), Some(found));
    }

    #[test]
    fn a_lane_that_is_far_ahead_holds_no_more_than_is_bounded() {
        let mut widths = Widths::default();
        let n = MOST_WAITING as i64 + 10;
        (0..n).for_each(|nth| widths.left(mm(nth, nth + 1), Um(0)));
        assert_eq!(widths.lefts.len(), MOST_WAITING);
        widths.right(mm(0, n), Um(500));
        assert_eq!(widths.length, MOST_WAITING as i128 * 1000);
        assert!(widths.lefts.is_empty());
    }
}
