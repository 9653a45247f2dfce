//! The roll so far, as a strip for people: where flaws and gaps lie.
//!
//! Made from what is in the store, and small however long the roll: gaps that touch become one, and of
//! very many only the latest are kept here. [`Ribbon::from`] says from where on it is whole; what lies
//! before is in the store.

use std::collections::VecDeque;

use calibration::Um;
use store::{CoverState, CoverageCell, NewFlaw, Rect};

/// Gaps, and flaws, that are kept.
const MOST: usize = 2000;

/// A roll's flaws and gaps so far.
#[derive(Clone, Debug, Default)]
pub struct Ribbon {
    /// How far along the ledger goes, micrometres.
    pub length_um: i64,
    /// From where to where across it goes, micrometres.
    pub across_um: Option<[i64; 2]>,
    /// Where it is whole from, micrometres along.
    pub from: i64,
    /// Gaps in the order in which they were told.
    pub gaps: VecDeque<Gap>,
    /// Flaws in the order in which they were told.
    pub flaws: VecDeque<FlawMark>,
}

/// Cloth that was not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where.
    pub rect: Rect,
    /// Why.
    pub reason: String,
}

/// A flaw on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlawMark {
    /// Where.
    pub rect: Rect,
    /// Its class.
    pub class: String,
    /// Its severity.
    pub severity: String,
}

impl Ribbon {
    /// Of a roll that goes on behind this place.
    pub fn behind(from: Um) -> Self {
        Self {
            from: from.get(),
            ..Self::default()
        }
    }

    /// Adds what a page has added to the ledger.
    pub fn cover(&mut self, coverage: &[CoverageCell]) {
        for cell in coverage {
            self.length_um = self.length_um.max(cell.rect.along().end);
            let across = cell.rect.across();
            let known = self.across_um.get_or_insert([across.start, across.end]);
            *known = [known[0].min(across.start), known[1].max(across.end)];
            if let CoverState::Gap(reason) = &cell.state {
                self.add_gap(cell.rect, reason);
            }
        }
    }

    /// Adds a flaw.
    pub fn mark(&mut self, flaw: &NewFlaw) {
        self.flaws.push_back(FlawMark {
            rect: flaw.rect,
            class: flaw.class.clone(),
            severity: flaw.severity.clone(),
        });
        if self.flaws.len() > MOST {
            let gone = self.flaws.pop_front();
            self.forget(gone.map(|mark| mark.rect));
        }
    }

    fn add_gap(&mut self, rect: Rect, reason: &str) {
        // A gap goes on as further cells of the same columns, perhaps with other lanes' in between.
        let mut latest = self.gaps.iter_mut().rev().take(8);
        let before = latest.find(|gap| {
            gap.reason == reason
                && gap.rect.across() == rect.across()
                && gap.rect.along().end == rect.along().start
        });
        let joined = before.and_then(|gap| {
            let along = gap.rect.along().start..rect.along().end;
            Some((Rect::new(along, rect.across()).ok()?, gap))
        });
        if let Some((both, gap)) = joined {
            gap.rect = both;
            return;
        }
        self.gaps.push_back(Gap {
            rect,
            reason: reason.to_owned(),
        });
        if self.gaps.len() > MOST {
            let gone = self.gaps.pop_front();
            self.forget(gone.map(|gap| gap.rect));
        }
    }

    fn forget(&mut self, gone: Option<Rect>) {
        if let Some(gone) = gone {
            self.from = self.from.max(gone.along().end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(along: std::ops::Range<i64>, across: std::ops::Range<i64>, gap: bool) -> CoverageCell {
        CoverageCell {
            rect: Rect::new(along, across).unwrap(),
            state: if gap {
                CoverState::Gap("overload".to_owned())
            } else {
                CoverState::Inspected
            },
        }
    }

    #[test]
    fn gaps_that_touch_are_one_and_lanes_do_not_disturb() {
        let mut ribbon = Ribbon::default();
        for row in 0..5 {
            let along = row * 10..row * 10 + 10;
            ribbon.cover(&[
                cell(along.clone(), 0..100, row > 0 && row < 4),
                cell(along, 100..220, row == 2),
            ]);
        }
        let rects: Vec<Rect> = ribbon.gaps.iter().map(|gap| gap.rect).collect();
        let rect = |along, across| Rect::new(along, across).unwrap();
        assert_eq!(rects, [rect(10..40, 0..100), rect(20..30, 100..220)]);
        assert_eq!((ribbon.length_um, ribbon.across_um), (50, Some([0, 220])));
    }

    #[test]
    fn of_very_many_the_latest_are_kept_and_it_says_so() {
        let mut ribbon = Ribbon::default();
        for row in 0..MOST as i64 + 3 {
            ribbon.cover(&[cell(row * 10..row * 10 + 5, 0..100, true)]);
        }
        assert_eq!((ribbon.gaps.len(), ribbon.from), (MOST, 25));
        assert_eq!(ribbon.gaps.front().unwrap().rect.along().start, 30);
    }
}
