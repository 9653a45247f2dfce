//! How wide the cloth is, and where its edges lie, from place to place along a roll.
//!
//! ```text
//! cells of the ledger ─▶ slices along, in each of which nothing changes ─▶ width, edges
//! ```
//!
//! Where a slice has a gap nobody knows how far the cloth reached in it: it tells no edge, and counts
//! for the width only on a roll that has a gap everywhere.

use std::ops::Range;

use store::{CoverState, CoverageCell};

/// The cloth's width along a roll, in µm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Widths {
    /// In order along, without overlap.
    slices: Vec<Slice>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slice {
    along: Range<i64>,
    /// From the cloth's left edge to its right one, as far as it was inspected.
    across: Range<i64>,
    /// Width that was inspected, holes in it left out.
    inspected: i64,
    has_gap: bool,
}

impl Widths {
    /// By the cells of a ledger, in any order.
    pub(super) fn of(coverage: &[CoverageCell]) -> Self {
        let mut cells: Vec<&CoverageCell> = coverage.iter().collect();
        cells.sort_unstable_by_key(|cell| cell.rect.along().start);
        let ends = |cell: &CoverageCell| [cell.rect.along().start, cell.rect.along().end];
        let mut borders: Vec<i64> = coverage.iter().flat_map(ends).collect();
        borders.sort_unstable();
        borders.dedup();
        let mut to_come = cells.into_iter().peekable();
        let mut here: Vec<&CoverageCell> = Vec::new();
        let mut slices = Vec::new();
        for two in borders.windows(2) {
            here.retain(|cell| cell.rect.along().end > two[0]);
            while let Some(cell) = to_come.next_if(|cell| cell.rect.along().start <= two[0]) {
                here.push(cell);
            }
            slices.extend(Slice::of(two[0]..two[1], &here));
        }
        Self { slices }
    }

    /// Mean width of the cloth; `None` where none was inspected. Whether it is the whole width that
    /// is known, or only that of what was inspected.
    pub(super) fn mean(&self) -> Option<(i64, bool)> {
        let whole = mean(self.slices.iter().filter(|slice| !slice.has_gap));
        let part = || mean(self.slices.iter());
        whole
            .map(|width| (width, true))
            .or_else(|| part().map(|width| (width, false)))
    }

    /// Whether the cloth is narrower than `least` in the mean over `along`; not where nothing is known.
    pub(super) fn is_narrower(&self, along: &Range<i64>, least: i64) -> bool {
        let known = self.over(along).iter().filter(|slice| !slice.has_gap);
        let lacks = known.map(|slice| {
            let length = slice.along.end.min(along.end) - slice.along.start.max(along.start);
            i128::from(least - slice.inspected) * i128::from(length)
        });
        lacks.sum::<i128>() > 0
    }

    /// Whether what lies at `across` all along `along` is known to lie within `margin` of one edge.
    pub(super) fn is_near_edge(
        &self,
        along: &Range<i64>,
        across: &Range<i64>,
        margin: i64,
    ) -> bool {
        let slices = self.over(along);
        let all = |is_near: fn(&Slice, &Range<i64>, i64) -> bool| {
            slices
                .iter()
                .all(|slice| !slice.has_gap && is_near(slice, across, margin))
        };
        !slices.is_empty()
            && (all(|slice, across, margin| across.end <= slice.across.start + margin)
                || all(|slice, across, margin| across.start >= slice.across.end - margin))
    }

    /// Slices that meet `along`.
    fn over(&self, along: &Range<i64>) -> &[Slice] {
        let from = self
            .slices
            .partition_point(|slice| slice.along.end <= along.start);
        let to = self
            .slices
            .partition_point(|slice| slice.along.start < along.end);
        self.slices.get(from..to).unwrap_or_default()
    }
}

impl Slice {
    /// The slice `along` with these cells; `None` where nothing was inspected.
    fn of(along: Range<i64>, cells: &[&CoverageCell]) -> Option<Self> {
        let inspected = || {
            cells
                .iter()
                .filter(|cell| cell.state == CoverState::Inspected)
        };
        let across = || inspected().map(|cell| cell.rect.across());
        Some(Self {
            along,
            across: across().map(|range| range.start).min()?
                ..across().map(|range| range.end).max()?,
            inspected: across().map(|range| range.end - range.start).sum(),
            has_gap: cells
                .iter()
                .any(|cell| matches!(cell.state, CoverState::Gap(_))),
        })
    }
}

/// Mean width over the length of these slices.
fn mean<'s>(slices: impl Iterator<Item = &'s Slice>) -> Option<i64> {
    let (area, length) = slices.fold((0i128, 0i128), |(area, length), slice| {
        let along = i128::from(slice.along.end - slice.along.start);
        (area + along * i128::from(slice.inspected), length + along)
    });
    let mean = area.checked_div(length)?;
    i64::try_from(mean).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Rect;

    fn cell(along: Range<i64>, across: Range<i64>, word: &str) -> CoverageCell {
        CoverageCell {
            rect: Rect::new(along, across).unwrap(),
            state: match word {
                "" => CoverState::Inspected,
                "beside" => CoverState::Beside,
                reason => CoverState::Gap(reason.to_owned()),
            },
        }
    }

    #[test]
    fn width_is_what_lies_between_the_edges_where_no_gap_is() {
        let widths = Widths::of(&[
            cell(0..100, 0..10, "beside"),
            cell(0..100, 10..110, ""),
            cell(100..200, 0..10, "beside"),
            cell(100..200, 10..90, ""),
            cell(200..300, 0..200, "frame_lost"),
        ]);
        assert_eq!(widths.mean(), Some((90, true)));
        assert!(!widths.is_narrower(&(0..100), 100));
        assert!(widths.is_narrower(&(0..100), 101));
        assert!(widths.is_narrower(&(50..150), 91));
        assert!(!widths.is_narrower(&(50..150), 90));
        assert!(
            !widths.is_narrower(&(200..300), 1000),
            "nothing is known of it"
        );
    }

    #[test]
    fn lanes_are_one_cloth_and_one_that_is_lost_tells_no_edge() {
        let widths = Widths::of(&[
            cell(0..100, 0..50, ""),
            cell(0..50, 50..100, ""),
            cell(50..100, 50..100, "camera_lost"),
        ]);
        assert_eq!(widths.mean(), Some((100, true)));
        assert!(widths.is_near_edge(&(0..20), &(95..100), 5));
        assert!(!widths.is_near_edge(&(0..20), &(94..100), 5));
        assert!(widths.is_near_edge(&(10..50), &(0..5), 5));
        assert!(
            !widths.is_near_edge(&(40..60), &(0..5), 5),
            "it runs into a gap"
        );
        assert!(!widths.is_near_edge(&(0..20), &(40..52), 5));
        let lost = Widths::of(&[cell(0..9, 0..50, ""), cell(0..9, 50..100, "camera_lost")]);
        assert_eq!(lost.mean(), Some((50, false)));
        assert_eq!(Widths::of(&[cell(0..9, 0..9, "too_dark")]).mean(), None);
    }
}
