//! A camera's own count of its frames, as exposures that went by.
//!
//! GigE Vision counts in 16 bits and leaves 0 out, so that 1 follows 65535; newer cameras and USB3
//! Vision count in 64 bits from 0 and never begin anew. Which of them it is shows only when the
//! count goes beyond 16 bits; until then a count that falls back by more than half of the 65535
//! has gone round. A frame that lies behind what was handed out is told as such; where several do, one
//! after the other, the camera has begun to count anew.

/// The count so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FrameCount {
    last: Option<u64>,
    /// How many frames lay behind, in a row, and the number of the last of them.
    behind: (u32, u64),
}

/// Where a frame stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many exposures are missing before it; none where it follows at once.
    On(u64),
    /// It came before, or its successor did.
    Behind,
    /// The camera counts anew; how many exposures are missing cannot be told.
    Anew,
}

/// Frames in a row, each with the number after the last, that are no latecomers any more.
const BEHIND_BORNE: u32 = 3;
/// Numbers of a 16 bit count: 1 to 65535.
const ROUND: i64 = 65_535;

impl FrameCount {
    /// The place of a frame with the camera's number `id`. A first one has nothing before it.
    pub(crate) fn step(&mut self, id: u64) -> Step {
        let Some(last) = self.last else {
            self.last = Some(id);
            return Step::On(0);
        };
        let mut on = id.wrapping_sub(last).cast_signed();
        if id <= ROUND as u64 && last <= ROUND as u64 {
            on = on.rem_euclid(ROUND);
            if on > ROUND / 2 {
                on -= ROUND;
            }
        }
        if on < 1 {
            let (n, before) = self.behind;
            let n = if n > 0 && id == before + 1 { n + 1 } else { 1 };
            self.behind = (n, id);
            if n < BEHIND_BORNE {
                return Step::Behind;
            }
            (self.last, self.behind) = (Some(id), (0, 0));
            return Step::Anew;
        }
        (self.last, self.behind) = (Some(id), (0, 0));
        Step::On(on as u64 - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steps(ids: &[u64]) -> Vec<Step> {
        let mut count = FrameCount::default();
        ids.iter().map(|&id| count.step(id)).collect()
    }

    #[test]
    fn one_follows_65535_and_nothing_is_lost() {
        assert_eq!(
            steps(&[65_534, 65_535, 1, 2, 5]),
            [
                Step::On(0),
                Step::On(0),
                Step::On(0),
                Step::On(0),
                Step::On(2)
            ]
        );
        assert_eq!(steps(&[65_530, 4]), [Step::On(0), Step::On(8)]);
    }

    #[test]
    fn a_long_count_goes_beyond_16_bits() {
        assert_eq!(
            steps(&[0, 1, 65_535, 65_536, 65_540]),
            [
                Step::On(0),
                Step::On(0),
                Step::Behind,
                Step::On(65_534),
                Step::On(3)
            ]
        );
        assert_eq!(
            steps(&[70_000, 69_999, 70_001]),
            [Step::On(0), Step::Behind, Step::On(0)]
        );
    }

    #[test]
    fn a_frame_that_comes_again_or_too_late_is_behind() {
        assert_eq!(
            steps(&[10, 12, 12, 11, 13]),
            [
                Step::On(0),
                Step::On(1),
                Step::Behind,
                Step::Behind,
                Step::On(0)
            ]
        );
        assert_eq!(steps(&[2, 65_535]), [Step::On(0), Step::Behind]);
    }

    #[test]
    fn a_count_that_begins_anew_is_followed() {
        let expected = [
            Step::On(0),
            Step::Behind,
            Step::Behind,
            Step::Anew,
            Step::On(0),
        ];
        assert_eq!(steps(&[5_000, 1, 2, 3, 4]), expected);
        // Late ones that do not follow each other are late.
        assert_eq!(steps(&[5_000, 9, 8, 7])[3], Step::Behind);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_exposure_is_counted_once(
            first in 1_u64..=65_535,
            gaps in proptest::collection::vec(0_u64..32_000, 1..50),
        ) {
            let mut count = FrameCount::default();
            let mut id = first;
            prop_assert_eq!(count.step(id), Step::On(0));
            for gap in gaps {
                for _ in 0..=gap {
                    id = if id == 65_535 { 1 } else { id + 1 };
                }
                prop_assert_eq!(count.step(id), Step::On(gap));
            }
        }
    }
}
