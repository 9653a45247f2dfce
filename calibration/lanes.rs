//! Who owns which part of the web, where cameras stand side by side.
//!
//! ```text
//! lane 1  ├───────────────┤
//! lane 2            ├───────────────┤        what two see belongs to each up to the middle
//! owned   ├────────────┼────────────┤
//! ```
//!
//! Every position across is owned by exactly one lane, so overlaps count once. A strip that no
//! lane sees is refused: cloth would pass there and nobody could tell.

use crate::CalibrationError;
use crate::geometry::LaneGeometry;
use crate::units::{Span, Um};

/// The part of the web that each of `lanes` owns, in their order.
///
/// # Errors
/// `OutOfRange` unless the lanes stand from left to right, each beginning and ending right of
/// the one before, with nothing unseen between them.
pub fn owned_spans(lanes: &[LaneGeometry]) -> Result<Vec<Span>, CalibrationError> {
    let mut borders = Vec::new();
    for (index, two) in lanes.windows(2).enumerate() {
        let (left, right) = (two[0].across(), two[1].across());
        let (nth, next) = (index + 1, index + 2);
        if right.start() <= left.start() || right.end() <= left.end() {
            return Err(CalibrationError::OutOfRange {
                what: "place of a lane",
                found: format!(
                    "lane {next} from {} to {} and lane {nth} from {} to {}",
                    right.start(),
                    right.end(),
                    left.start(),
                    left.end()
                ),
                expected: "lanes from left to right, none inside another".to_owned(),
            });
        }
        if left.end() < right.start() {
            return Err(CalibrationError::OutOfRange {
                what: "place of a lane",
                found: format!(
                    "a strip of {} between lanes {nth} and {next} that no camera sees",
                    right.start() - left.end()
                ),
                expected: "lanes that meet or overlap".to_owned(),
            });
        }
        borders.push(Um(right.start().0 + (left.end() - right.start()).0 / 2));
    }
    let (Some(first), Some(last)) = (lanes.first(), lanes.last()) else {
        return Ok(Vec::new());
    };
    let starts = std::iter::once(first.across().start()).chain(borders.iter().copied());
    let ends = (borders.iter().copied()).chain([last.across().end()]);
    starts
        .zip(ends)
        .map(|(start, end)| Span::new(start, end))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A lane from `offset`, `width` columns of 1 mm.
    fn lane(offset: i64, width: u32) -> LaneGeometry {
        LaneGeometry::new(1.0, 1000.0, Um(offset * 1000), width).unwrap()
    }

    fn owned_mm(lanes: &[LaneGeometry]) -> Vec<(f64, f64)> {
        let mm = crate::mm_from_um;
        let spans = owned_spans(lanes).unwrap();
        spans
            .iter()
            .map(|span| (mm(span.start()), mm(span.end())))
            .collect()
    }

    #[test]
    fn an_overlap_is_shared_in_its_middle() {
        assert_eq!(owned_mm(&[lane(5, 100)]), [(5.0, 105.0)]);
        let three = [lane(0, 100), lane(90, 100), lane(190, 100)];
        assert_eq!(
            owned_mm(&three),
            [(0.0, 95.0), (95.0, 190.0), (190.0, 290.0)]
        );
    }

    #[test]
    fn what_no_camera_sees_is_refused_with_its_width() {
        let error = owned_spans(&[lane(0, 100), lane(103, 100)]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("a strip of 3 mm between lanes 1 and 2"),
            "{error}"
        );
    }

    #[test]
    fn lanes_out_of_order_are_refused() {
        for lanes in [[lane(50, 100), lane(0, 100)], [lane(0, 100), lane(10, 20)]] {
            let error = owned_spans(&lanes).unwrap_err();
            assert!(error.to_string().contains("from left to right"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_position_is_owned_once(
            steps in proptest::collection::vec((1..100_i64, 0..50_u32), 0..5),
            width in 150..300_u32,
        ) {
            let mut lanes = vec![lane(-40, width)];
            let mut offset = -40;
            for (step, wider) in steps {
                offset += step;
                lanes.push(lane(offset, width + wider + 50 * lanes.len() as u32));
            }
            let owned = owned_spans(&lanes).unwrap();
            for (lane, owned) in lanes.iter().zip(&owned) {
                prop_assert_eq!(lane.across().intersection(*owned), Some(*owned));
            }
            for two in owned.windows(2) {
                prop_assert_eq!(two[0].end(), two[1].start());
            }
            prop_assert_eq!(owned[0].start(), lanes[0].across().start());
            prop_assert_eq!(owned.last().unwrap().end(), lanes.last().unwrap().across().end());
        }
    }
}
