//! A half-open rectangle on the web, in whole micrometres.
//!
//! `[along0, along1) x [across0, across1)` from the station's datum, so neighbours share a border
//! and no cloth. A rectangle always has an area, and that area fits an `i64`: adding up a roll is
//! exact or an error, never a rounding. It knows nothing of lanes, frames or pixels.

use std::ops::Range;

use crate::StoreError;

/// A rectangle on the web, micrometres; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rect {
    along0: i64,
    along1: i64,
    across0: i64,
    across1: i64,
}

impl Rect {
    /// `along` and `across` in micrometres, each end exclusive.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a range is empty or reversed, or the area is beyond `i64`.
    pub fn new(along: Range<i64>, across: Range<i64>) -> Result<Rect, StoreError> {
        let area = || {
            let length = along.end.checked_sub(along.start)?;
            let width = across.end.checked_sub(across.start)?;
            length
                .checked_mul(width)
                .filter(|_| length > 0 && width > 0)
        };
        if area().is_none() {
            return Err(StoreError::Invalid {
                what: "rectangle",
                found: format!("along {along:?} um, across {across:?} um"),
                expected: "ranges that are not empty and an area below 2^63 um2".to_owned(),
            });
        }
        Ok(Rect {
            along0: along.start,
            along1: along.end,
            across0: across.start,
            across1: across.end,
        })
    }

    /// From where to where in the machine direction, micrometres.
    pub fn along(&self) -> Range<i64> {
        self.along0..self.along1
    }

    /// From where to where across the web, micrometres.
    pub fn across(&self) -> Range<i64> {
        self.across0..self.across1
    }

    /// Area in square micrometres.
    pub fn area_um2(&self) -> i64 {
        (self.along1 - self.along0) * (self.across1 - self.across0)
    }

    /// This rectangle and `next` as one, when `next` goes on exactly where this one ends along the
    /// web, over the same width.
    pub(crate) fn continued_by(&self, next: &Rect) -> Option<Rect> {
        let fits = self.along1 == next.along0 && self.across() == next.across();
        fits.then(|| Rect::new(self.along0..next.along1, self.across()).ok())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_reversed_or_immense_rectangle_cannot_be_made() {
        assert!(Rect::new(0..0, 0..1).is_err());
        assert!(Rect::new(Range { start: 1, end: 0 }, 0..1).is_err());
        assert!(Rect::new(Range { start: 1, end: 0 }, Range { start: 1, end: 0 }).is_err());
        assert!(Rect::new(i64::MIN..i64::MAX, 0..1).is_err());
        assert!(Rect::new(0..i64::MAX, 0..2).is_err());
        assert_eq!(Rect::new(-5..5, 0..3).unwrap().area_um2(), 30);
    }

    #[test]
    fn only_an_exact_continuation_is_joined() {
        let first = Rect::new(0..10, 0..5).unwrap();
        let joined = |along, across| first.continued_by(&Rect::new(along, across).unwrap());
        assert_eq!(joined(10..12, 0..5).unwrap().along(), 0..12);
        assert_eq!(joined(11..12, 0..5), None);
        assert_eq!(joined(9..12, 0..5), None);
        assert_eq!(joined(10..12, 0..4), None);
    }
}
