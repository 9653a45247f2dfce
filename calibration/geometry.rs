//! Where a lane's pixels lie on the web.
//!
//! A column gives a position across, an encoder tick a position along. Every position is
//! rounded from the datum, never from its neighbour: rectangles that share a column or a tick
//! border share it to the micrometre, and no scale and no lens lets them drift apart. A lens
//! moves columns within the lane and leaves its sides where they are. It knows no cloth edge.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::CalibrationError;
use crate::lens::Lens;
use crate::units::{Span, Um, WebRect, mm_from_um};

/// The strip of the web that one camera sees, and its scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct LaneGeometry {
    mm_per_px: f64,
    um_per_tick: f64,
    offset: Um,
    width_px: u32,
    lens: Option<Lens>,
}

impl LaneGeometry {
    /// A lane whose first column begins at `offset` across the web: `mm_per_px` across,
    /// `um_per_tick` along, `width_px` columns.
    ///
    /// # Errors
    /// `OutOfRange` unless both scales are above 0 and at most 10 mm, the lane has a column
    /// and its offset is within 1 km of the datum.
    pub fn new(
        mm_per_px: f64,
        um_per_tick: f64,
        offset: Um,
        width_px: u32,
    ) -> Result<Self, CalibrationError> {
        check_scale("mm_per_px", mm_per_px, COARSEST_MM, "mm")?;
        check_scale("um_per_tick", um_per_tick, COARSEST_MM * 1e3, "um")?;
        if width_px == 0 {
            return Err(CalibrationError::OutOfRange {
                what: "width_px",
                found: "0".to_owned(),
                expected: "at least 1".to_owned(),
            });
        }
        if offset.0.unsigned_abs() > FARTHEST_OFFSET.0.unsigned_abs() {
            return Err(CalibrationError::OutOfRange {
                what: "offset",
                found: offset.to_string(),
                expected: format!("within {FARTHEST_OFFSET} of the datum"),
            });
        }
        Ok(Self {
            mm_per_px,
            um_per_tick,
            offset,
            width_px,
            lens: None,
        })
    }

    /// The same lane seen through a lens.
    ///
    /// # Errors
    /// `OtherWidth` where the lens was measured on frames of another width.
    pub fn with_lens(mut self, lens: Option<Lens>) -> Result<Self, CalibrationError> {
        if let Some(lens) = lens
            && lens.width_px() != self.width_px
        {
            return Err(CalibrationError::OtherWidth {
                found: self.width_px,
                expected: lens.width_px(),
            });
        }
        self.lens = lens;
        Ok(self)
    }

    /// Width of a column across, millimetres; of the mean one where a lens bends them.
    pub fn mm_per_px(&self) -> f64 {
        self.mm_per_px
    }

    /// Cloth per encoder tick, micrometres.
    pub fn um_per_tick(&self) -> f64 {
        self.um_per_tick
    }

    /// Where the first column begins, across.
    pub fn offset(&self) -> Um {
        self.offset
    }

    /// How its lens bends columns, where that is known.
    pub fn lens(&self) -> Option<Lens> {
        self.lens
    }

    /// Columns of the lane.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Where `column` begins, across; one past the last column is where the lane ends.
    pub fn um_from_column(&self, column: u32) -> Um {
        let um = self.straight(f64::from(column)) * self.mm_per_px * 1e3;
        self.offset + Um(um.round() as i64)
    }

    /// The place across of a part of a column, mm from the datum.
    pub fn mm_from_column(&self, column: f64) -> f64 {
        mm_from_um(self.offset) + self.straight(column) * self.mm_per_px
    }

    /// The column, and what part of it, that lies at `place` across; negative left of the lane.
    pub fn column_from_um(&self, place: Um) -> f64 {
        let straight = (place - self.offset).0 as f64 / (self.mm_per_px * 1e3);
        self.lens.map_or(straight, |lens| lens.column(straight))
    }

    /// Where `tick` begins, along. Saturates at the ends of `i64`.
    pub fn um_from_tick(&self, tick: i64) -> Um {
        Um((tick as f64 * self.um_per_tick).round() as i64)
    }

    /// All that the lane sees, across.
    pub fn across(&self) -> Span {
        self.span_from_columns(0..self.width_px)
    }

    /// Columns as cloth across; a reversed range is empty.
    pub fn span_from_columns(&self, columns: Range<u32>) -> Span {
        let start = self.um_from_column(columns.start);
        let end = self.um_from_column(columns.end.max(columns.start));
        Span::new(start, end).expect("a later column never begins earlier")
    }

    /// Ticks as cloth along; a reversed range is empty.
    ///
    /// # Errors
    /// `ReversedSpan` where the length is beyond `i64`.
    pub fn span_from_ticks(&self, ticks: Range<i64>) -> Result<Span, CalibrationError> {
        let start = self.um_from_tick(ticks.start);
        Span::new(start, self.um_from_tick(ticks.end.max(ticks.start)))
    }

    /// Ticks × columns as a rectangle on the web.
    ///
    /// # Errors
    /// As for `span_from_ticks`.
    pub fn rect(
        &self,
        ticks: Range<i64>,
        columns: Range<u32>,
    ) -> Result<WebRect, CalibrationError> {
        Ok(WebRect {
            along: self.span_from_ticks(ticks)?,
            across: self.span_from_columns(columns),
        })
    }

    fn straight(&self, column: f64) -> f64 {
        self.lens.map_or(column, |lens| lens.straight(column))
    }
}

/// No camera that sees a yarn is coarser than this, along or across.
const COARSEST_MM: f64 = 10.0;
/// No web is wider than this; it keeps every sum far from the end of `i64`.
const FARTHEST_OFFSET: Um = Um(1_000_000_000);

/// The same before it is checked: what a file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    mm_per_px: f64,
    um_per_tick: f64,
    offset: Um,
    width_px: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lens: Option<Lens>,
}

impl TryFrom<Unchecked> for LaneGeometry {
    type Error = CalibrationError;
    fn try_from(raw: Unchecked) -> Result<Self, CalibrationError> {
        Self::new(raw.mm_per_px, raw.um_per_tick, raw.offset, raw.width_px)?.with_lens(raw.lens)
    }
}

impl From<LaneGeometry> for Unchecked {
    fn from(lane: LaneGeometry) -> Self {
        Self {
            mm_per_px: lane.mm_per_px,
            um_per_tick: lane.um_per_tick,
            offset: lane.offset,
            width_px: lane.width_px,
            lens: lane.lens,
        }
    }
}

fn check_scale(
    what: &'static str,
    found: f64,
    coarsest: f64,
    unit: &str,
) -> Result<(), CalibrationError> {
    if found.is_finite() && found > 0.0 && found <= coarsest {
        return Ok(());
    }
    Err(CalibrationError::OutOfRange {
        what,
        found: found.to_string(),
        expected: format!("above 0 and at most {coarsest} {unit}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lane(mm_per_px: f64, um_per_tick: f64) -> LaneGeometry {
        LaneGeometry::new(mm_per_px, um_per_tick, Um(0), 4096).unwrap()
    }

    #[test]
    fn a_scale_that_cannot_be_meant_is_refused_with_its_range() {
        for scale in [0.0, -0.2, 10.1, f64::NAN, f64::INFINITY] {
            let error = LaneGeometry::new(scale, 200.0, Um(0), 4096).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("mm_per_px is {scale}, expected above 0 and at most 10 mm")
            );
            assert!(LaneGeometry::new(0.2, scale * 1e3, Um(0), 4096).is_err());
        }
        assert!(LaneGeometry::new(10.0, 10_000.0, Um(0), 1).is_ok());
        assert!(LaneGeometry::new(0.2, 200.0, Um(0), 0).is_err());
        assert!(LaneGeometry::new(0.2, 200.0, Um(i64::MIN), 1).is_err());
    }

    #[test]
    fn a_lane_begins_at_its_offset_and_ends_after_its_last_column() {
        let lane = LaneGeometry::new(0.25, 250.0, Um(1_800_000), 7200).unwrap();
        assert_eq!(lane.across().start(), Um(1_800_000));
        assert_eq!(lane.across().end(), Um(3_600_000));
    }

    #[test]
    fn a_kilometre_of_odd_ticks_does_not_drift() {
        let lane = lane(0.2, 333.333_333);
        assert_eq!(lane.um_from_tick(3_000_000), Um(999_999_999));
    }

    #[test]
    fn ticks_before_the_datum_are_negative() {
        assert_eq!(lane(0.2, 200.0).um_from_tick(-5), Um(-1000));
    }

    #[test]
    fn a_column_and_its_place_are_found_from_each_other_behind_a_lens() {
        let lens = Lens::new(4096, [0.0, -30.0, 0.0, 0.0]).unwrap();
        let bent = lane(0.2, 200.0).with_lens(Some(lens)).unwrap();
        let place = bent.um_from_column(1024);
        // u is −½ there: ¾ · 15 px to the right.
        assert_eq!(place, Um(((1024.0 + 11.25) * 200.0_f64).round() as i64));
        assert!((bent.column_from_um(place) - 1024.0).abs() < 0.01);
        assert!((bent.mm_from_column(1024.0) - mm_from_um(place)).abs() < 1e-3);
        assert_eq!(lane(0.2, 200.0).column_from_um(Um(-400)), -2.0);
        let other = LaneGeometry::new(0.2, 200.0, Um(0), 2048).unwrap();
        assert!(other.with_lens(Some(lens)).is_err());
    }

    proptest! {
        #[test]
        fn neighbouring_rectangles_meet_exactly_whatever_the_scale_and_the_lens(
            mm_per_px in 1e-3f64..10.0,
            um_per_tick in 1e-3f64..10_000.0,
            offset in -5_000_000i64..5_000_000,
            mut columns in proptest::collection::vec(0u32..=4096, 2..20),
            mut ticks in proptest::collection::vec(-1_000_000_000i64..1_000_000_000, 2..20),
            bend in proptest::option::of(proptest::array::uniform4(-100.0f64..100.0)),
        ) {
            columns.sort_unstable();
            ticks.sort_unstable();
            let lens = bend.map(|bend| Lens::new(4096, bend).unwrap());
            let lane = LaneGeometry::new(mm_per_px, um_per_tick, Um(offset), 4096).unwrap();
            let sides = lane.across();
            let lane = lane.with_lens(lens).unwrap();
            prop_assert_eq!(lane.across(), sides);
            let mut area = 0;
            for rows in ticks.windows(2) {
                for part in columns.windows(2) {
                    area += lane.rect(rows[0]..rows[1], part[0]..part[1]).unwrap().area_um2();
                }
            }
            let whole = lane.rect(
                ticks[0]..*ticks.last().unwrap(),
                columns[0]..*columns.last().unwrap(),
            ).unwrap();
            prop_assert_eq!(area, whole.area_um2());
        }
    }
}
