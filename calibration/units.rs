//! Lengths on the web: whole micrometres, half-open spans and rectangles.
//!
//! Lengths inside are integers, so that inspected cloth and gaps add up to the measured
//! length exactly; millimetres and metres are for people and for configuration. Conversions
//! read target first. Positions are counted from the station's datum and may be negative.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use serde::{Deserialize, Serialize};

use crate::CalibrationError;

/// A length or a position in micrometres.
///
/// Arithmetic is that of `i64`: 9.2 million kilometres, which no station reaches.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Um(pub i64);

/// From where to where, half-open; may be empty, never reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Um, Um)", into = "(Um, Um)")]
pub struct Span {
    start: Um,
    end: Um,
}

/// A rectangle on the web.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WebRect {
    /// In the machine direction.
    pub along: Span,
    /// Across the web.
    pub across: Span,
}

/// Micrometres of `mm`, to the nearest; saturates at the ends of `i64`, not a number is 0.
pub fn um_from_mm(mm: f64) -> Um {
    Um((mm * UM_PER_MM).round() as i64)
}

/// Micrometres of `m` metres, to the nearest; saturates at the ends of `i64`, not a number is 0.
pub fn um_from_m(m: f64) -> Um {
    Um((m * UM_PER_M).round() as i64)
}

/// Millimetres of `um`; exact up to 9 million km.
pub fn mm_from_um(um: Um) -> f64 {
    um.0 as f64 / UM_PER_MM
}

/// Metres of `um`.
pub fn m_from_um(um: Um) -> f64 {
    um.0 as f64 / UM_PER_M
}

impl Um {
    /// No length; the datum.
    pub const ZERO: Self = Self(0);

    /// Whole micrometres.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl Span {
    /// From `start` to one past the last micrometre.
    ///
    /// # Errors
    /// `ReversedSpan` where `end` is before `start` or the length is beyond `i64`.
    pub fn new(start: Um, end: Um) -> Result<Self, CalibrationError> {
        match end.0.checked_sub(start.0) {
            Some(0..) => Ok(Self { start, end }),
            _ => Err(CalibrationError::ReversedSpan {
                start: start.0,
                end: end.0,
            }),
        }
    }

    /// First micrometre.
    pub const fn start(self) -> Um {
        self.start
    }

    /// One past the last micrometre.
    pub const fn end(self) -> Um {
        self.end
    }

    /// Length; zero where it is empty.
    pub fn length(self) -> Um {
        self.end - self.start
    }

    /// True where it holds nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// True where `position` lies inside.
    pub fn contains(self, position: Um) -> bool {
        self.start <= position && position < self.end
    }

    /// What both hold; `None` where that is nothing.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start < end).then_some(Self { start, end })
    }

    /// The shortest span that holds both.
    pub fn hull(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

impl WebRect {
    /// Exact area in square micrometres. 1000 m × 10 m is 10¹⁶, and the two longest spans
    /// there are still fit.
    pub fn area_um2(&self) -> i128 {
        i128::from(self.along.length().0) * i128::from(self.across.length().0)
    }

    /// True where it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.along.is_empty() || self.across.is_empty()
    }

    /// What both hold; `None` where that is nothing.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Some(Self {
            along: self.along.intersection(other.along)?,
            across: self.across.intersection(other.across)?,
        })
    }

    /// The smallest rectangle that holds both.
    pub fn hull(&self, other: &Self) -> Self {
        Self {
            along: self.along.hull(other.along),
            across: self.across.hull(other.across),
        }
    }
}

impl Add for Um {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Um {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Um {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl SubAssign for Um {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Neg for Um {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Um {
    fn sum<I: Iterator<Item = Self>>(lengths: I) -> Self {
        Self(lengths.map(|length| length.0).sum())
    }
}

impl fmt::Display for Um {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mm", mm_from_um(*self))
    }
}

impl TryFrom<(Um, Um)> for Span {
    type Error = CalibrationError;
    fn try_from((start, end): (Um, Um)) -> Result<Self, CalibrationError> {
        Self::new(start, end)
    }
}

impl From<Span> for (Um, Um) {
    fn from(span: Span) -> Self {
        (span.start, span.end)
    }
}

const UM_PER_MM: f64 = 1e3;
const UM_PER_M: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(start: i64, end: i64) -> Span {
        Span::new(Um(start), Um(end)).unwrap()
    }

    #[test]
    fn a_kilometre_of_the_widest_web_has_an_exact_area() {
        let rect = WebRect {
            along: Span::new(Um::ZERO, um_from_m(1000.0) + Um(1)).unwrap(),
            across: Span::new(Um::ZERO, um_from_m(10.0)).unwrap(),
        };
        assert_eq!(rect.area_um2(), 10_000_000_000_000_000 + 10_000_000);
    }

    #[test]
    fn the_longest_spans_still_have_an_area() {
        let longest = span(0, i64::MAX);
        let rect = WebRect {
            along: longest,
            across: longest,
        };
        assert_eq!(rect.area_um2(), i128::from(i64::MAX).pow(2));
    }

    #[test]
    fn a_reversed_or_uncountable_span_cannot_be_made() {
        assert!(Span::new(Um(1), Um(0)).is_err());
        assert!(Span::new(Um(i64::MIN), Um(1)).is_err());
        assert!(span(5, 5).is_empty());
    }

    #[test]
    fn neighbours_share_a_border_and_no_cloth() {
        let (first, next) = (span(0, 10), span(10, 20));
        assert_eq!(first.intersection(next), None);
        assert!(next.contains(first.end()) && !first.contains(first.end()));
        assert_eq!(first.hull(next), span(0, 20));
    }

    #[test]
    fn a_length_reads_as_millimetres() {
        assert_eq!(Um(1250).to_string(), "1.25 mm");
    }

    proptest! {
        #[test]
        fn whole_micrometres_survive_millimetres_and_metres(um in -1_000_000_000_000i64..1_000_000_000_000) {
            prop_assert_eq!(um_from_mm(mm_from_um(Um(um))), Um(um));
            prop_assert_eq!(um_from_m(m_from_um(Um(um))), Um(um));
        }

        #[test]
        fn an_intersection_is_inside_both_and_a_hull_around_both(a in -50i64..50, b in 0i64..50, c in -50i64..50, d in 0i64..50) {
            let (first, other) = (span(a, a + b), span(c, c + d));
            for x in (-110..110).map(Um) {
                let both = first.contains(x) && other.contains(x);
                prop_assert_eq!(first.intersection(other).is_some_and(|part| part.contains(x)), both);
                if first.contains(x) || other.contains(x) {
                    prop_assert!(first.hull(other).contains(x));
                }
            }
        }
    }
}
