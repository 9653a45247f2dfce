//! Flaws of lanes become flaws of the web.
//!
//! ```text
//! pieces of lane 1 ─┐
//! pieces of lane 2 ─┴▶ those that reach a border wait for the lane beside ─▶ Flaw, once
//! ```
//!
//! Lanes that overlap see the same flaw twice, and a flaw that crosses a border is seen in parts.
//! Pieces of lanes side by side whose shared parts touch are one flaw. A piece waits until the
//! lane beside it has come so far that nothing there can touch it any more; how lanes take turns
//! changes when a flaw leaves, never what it is. Where two lanes see the same cloth its owner
//! decides: what the other lane alone flags there is no flaw. Cameras are aligned to within a
//! millimetre or so, so a flaw on the very border may lie in each lane's view on the other's side;
//! if both flag it, it is one. Lengths are µm on the web.

use std::collections::BTreeMap;

use calibration::{Span, Um, WebRect};

use crate::classes::Looks;
use crate::flaws::Groups;
use crate::stitch::{Flaw, Piece};

/// Pieces that wait at lane borders.
pub struct Borders {
    /// Cloth along up to which each lane's pieces have all come.
    settled: Vec<Um>,
    /// Cloth along that each lane has told of, whatever is still open there.
    reached: Vec<Option<Um>>,
    /// Where the first lane that told of anything had come to then.
    start: Option<Um>,
    /// Flaws that did not wait for the lane beside any longer.
    n_forced: u64,
    /// Distance over which parts touch.
    reach: Um,
    waiting: Vec<Waiting>,
}

/// How far a lane may lag behind the one beside it until that one stops waiting: what is held for it
/// must stay small. Files never lag so far, see `line`; a live camera that is gone for good does.
const MOST_LAG: Um = Um(20_000_000);

struct Waiting {
    lane: usize,
    piece: Piece,
}

impl Borders {
    /// Borders between `n_lanes` lanes, where parts that are no further apart than `reach` touch.
    pub fn new(n_lanes: usize, reach: Um) -> Self {
        Self {
            settled: vec![Um(i64::MIN); n_lanes],
            reached: vec![None; n_lanes],
            start: None,
            n_forced: 0,
            reach,
            waiting: Vec::new(),
        }
    }

    /// Takes pieces of `lane`, which has come to `reached` (`None`: no further) and all of whose pieces
    /// that begin before `settled` have now come, and gives the flaws that are whole, in cloth order.
    pub fn push(
        &mut self,
        lane: usize,
        pieces: Vec<Piece>,
        reached: Option<Um>,
        settled: Um,
    ) -> Vec<Flaw> {
        self.settled[lane] = self.settled[lane].max(settled);
        self.reached[lane] = self.reached[lane].max(reached);
        self.start = self.start.or(reached);
        let mut whole = Vec::new();
        for piece in pieces {
            if piece.left.is_empty() && piece.right.is_empty() {
                whole.push(piece.flaw);
            } else {
                self.waiting.push(Waiting { lane, piece });
            }
        }
        whole.extend(self.release());
        whole.sort_by_key(|flaw| (flaw.rect.along.start(), flaw.rect.across.start()));
        whole
    }

    /// Flaws that did not wait any longer, because the lane beside lagged too far behind: some may
    /// have been told in two parts.
    pub fn n_forced(&self) -> u64 {
        self.n_forced
    }

    /// Whether a flaw of `lane` waits for the lane beside it.
    pub fn is_flaw_waiting(&self, lane: usize) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|waiting| waiting.lane == lane && waiting.piece.flaw.score > 1.0)
    }

    /// The flaws to which nothing can be added any more.
    fn release(&mut self) -> Vec<Flaw> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        // Ties go to the lane on the left, whoever came first.
        let key = |waiting: &Waiting| {
            let rect = waiting.piece.flaw.rect;
            (rect.along.start(), waiting.lane, rect.across.start())
        };
        self.waiting.sort_by_key(key);
        let mut groups = Groups::new(self.waiting.len());
        for (index, one) in self.waiting.iter().enumerate() {
            for (offset, other) in self.waiting[index + 1..].iter().enumerate() {
                if self.is_beyond(one, other) {
                    break;
                }
                if self.touch(one, other) {
                    groups.join(index, index + 1 + offset);
                }
            }
        }
        let roots: Vec<usize> = (0..self.waiting.len()).map(|at| groups.root(at)).collect();
        let mut is_whole = vec![true; roots.len()];
        let mut is_forced = vec![false; roots.len()];
        for (waiting, root) in self.waiting.iter().zip(&roots) {
            if self.is_settled(waiting) {
                continue;
            }
            if self.is_left_behind(waiting.lane) {
                is_forced[*root] = true;
            } else {
                is_whole[*root] = false;
            }
        }
        let forced = is_whole.iter().zip(&is_forced);
        self.n_forced += forced.filter(|(whole, forced)| **whole && **forced).count() as u64;
        let mut whole: BTreeMap<usize, Vec<Waiting>> = BTreeMap::new();
        for (waiting, root) in std::mem::take(&mut self.waiting).into_iter().zip(roots) {
            if is_whole[root] {
                whole.entry(root).or_default().push(waiting);
            } else {
                self.waiting.push(waiting);
            }
        }
        whole.into_values().filter_map(one_flaw).collect()
    }

    /// Whether the lanes beside it have come so far that nothing of theirs can touch this piece.
    fn is_settled(&self, waiting: &Waiting) -> bool {
        let Waiting { lane, piece } = waiting;
        let beyond = |boxes: &[WebRect], neighbour: Option<&Um>| {
            let end = boxes.iter().map(|part| part.along.end()).max();
            match (end, neighbour) {
                (Some(end), Some(settled)) => {
                    Um(end.get().saturating_add(self.reach.get())) < *settled
                }
                (None, _) | (_, None) => true,
            }
        };
        let left = lane.checked_sub(1).and_then(|left| self.settled.get(left));
        beyond(&piece.left, left) && beyond(&piece.right, self.settled.get(lane + 1))
    }

    /// Whether a lane beside `lane` lags so far behind that nothing waits for it any longer.
    fn is_left_behind(&self, lane: usize) -> bool {
        let beside = [lane.checked_sub(1), Some(lane + 1)].into_iter().flatten();
        let beside = beside.filter_map(|lane| self.reached.get(lane));
        let slowest = beside.map(|reached| reached.or(self.start)).min().flatten();
        let (Some(slowest), Some(reached)) = (slowest, self.reached[lane]) else {
            return false;
        };
        slowest.get().saturating_add(MOST_LAG.get()) < reached.get()
    }

    /// Whether `other`, and all that is sorted behind it, begins too far along to touch `one`.
    fn is_beyond(&self, one: &Waiting, other: &Waiting) -> bool {
        let end = one.piece.flaw.rect.along.end();
        end.get().saturating_add(self.reach.get()) < other.piece.flaw.rect.along.start().get()
    }

    /// Whether the two are parts of one flaw.
    fn touch(&self, one: &Waiting, other: &Waiting) -> bool {
        let (left, right) = if one.lane < other.lane {
            (one, other)
        } else {
            (other, one)
        };
        if left.lane + 1 != right.lane {
            return false;
        }
        let apart = |a: Span, b: Span| Um(0).max(b.start() - a.end()).max(a.start() - b.end());
        left.piece.right.iter().any(|a| {
            (right.piece.left.iter()).any(|b| {
                apart(a.along, b.along) <= self.reach && apart(a.across, b.across) <= self.reach
            })
        })
    }
}

/// What the pieces of one flaw are together; `None` where no lane flags cloth of its own, and
/// the owner of that cloth flags nothing.
fn one_flaw(parts: Vec<Waiting>) -> Option<Flaw> {
    let owned_um2: i64 = parts.iter().map(|part| part.piece.owned_um2).sum();
    let is_shared = parts.iter().any(|part| part.lane != parts[0].lane);
    if owned_um2 == 0 && !is_shared {
        return None;
    }
    let largest_um2 = parts.iter().map(|part| part.piece.flaw.area_um2).max();
    let mut flaws = parts.into_iter().map(|part| {
        let mut flaw = part.piece.flaw;
        if owned_um2 > 0 && part.piece.owned_um2 == 0 {
            // Its owner looks at the same cloth.
            flaw.looks = Looks::default();
        }
        flaw
    });
    let mut flaw = flaws.next()?;
    flaws.for_each(|part| flaw.absorb(part));
    // Cells that two lanes see count once.
    flaw.area_um2 = if owned_um2 > 0 {
        owned_um2
    } else {
        largest_um2.unwrap_or(0)
    };
    Some(flaw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rect(along: (i64, i64), across: (i64, i64)) -> WebRect {
        let span = |(start, end): (i64, i64)| Span::new(Um(start), Um(end)).unwrap();
        WebRect {
            along: span(along),
            across: span(across),
        }
    }

    /// A piece of a lane that owns `owned` across and shares 10 µm on both sides of its borders.
    fn piece(owned: (i64, i64), along: (i64, i64), across: (i64, i64)) -> Piece {
        let whole = rect(along, across);
        let part = |from: i64, to: i64| {
            let shared = rect((i64::MIN / 4, i64::MAX / 4), (from, to));
            whole.intersection(&shared).into_iter().collect()
        };
        let own = whole.intersection(&rect((i64::MIN / 4, i64::MAX / 4), owned));
        Piece {
            flaw: Flaw {
                rect: whole,
                area_um2: whole.area_um2() as i64,
                score: 2.0,
                crop: None,
                looks: Looks::default(),
            },
            owned_um2: own.map_or(0, |own| own.area_um2() as i64),
            left: part(-1_000_000, owned.0 + 10),
            right: part(owned.1 - 10, 1_000_000),
            n_passed: 0,
        }
    }

    const LEFT: (i64, i64) = (0, 100);
    const RIGHT: (i64, i64) = (100, 200);

    fn boxes(flaws: &[Flaw]) -> Vec<(i64, i64, i64, i64)> {
        let ends = |span: Span| (span.start().get(), span.end().get());
        let each = flaws.iter().map(|flaw| {
            let (along, across) = (ends(flaw.rect.along), ends(flaw.rect.across));
            (along.0, along.1, across.0, across.1)
        });
        each.collect()
    }

    /// Pieces of a lane in which nothing is open behind `settled`.
    fn push(borders: &mut Borders, lane: usize, pieces: Vec<Piece>, settled: Um) -> Vec<Flaw> {
        borders.push(lane, pieces, Some(settled), settled)
    }

    #[test]
    fn what_reaches_no_border_leaves_at_once() {
        let mut borders = Borders::new(2, Um(3));
        let whole = push(&mut borders, 0, vec![piece(LEFT, (0, 5), (40, 50))], Um(10));
        assert_eq!(boxes(&whole), [(0, 5, 40, 50)]);
    }

    #[test]
    fn parts_on_both_sides_of_a_border_are_one_flaw_with_its_own_area() {
        let mut borders = Borders::new(2, Um(3));
        let waits = push(
            &mut borders,
            0,
            vec![piece(LEFT, (0, 5), (90, 105))],
            Um(100),
        );
        assert!(waits.is_empty() && borders.is_flaw_waiting(0));
        let whole = push(
            &mut borders,
            1,
            vec![piece(RIGHT, (1, 6), (96, 120))],
            Um(100),
        );
        assert_eq!(boxes(&whole), [(0, 6, 90, 120)]);
        assert_eq!(whole[0].area_um2, 5 * 10 + 5 * 20);
        assert!(!borders.is_flaw_waiting(0) && !borders.is_flaw_waiting(1));
    }

    #[test]
    fn the_owner_decides_what_two_lanes_see() {
        let mut borders = Borders::new(2, Um(3));
        let only_the_neighbour = piece(LEFT, (0, 5), (101, 106));
        assert!(push(&mut borders, 0, vec![only_the_neighbour], Um(100)).is_empty());
        assert!(push(&mut borders, 1, Vec::new(), Um(100)).is_empty());
        assert!(borders.waiting.is_empty());
    }

    #[test]
    fn a_flaw_that_each_lane_sees_on_the_others_side_is_one() {
        let mut borders = Borders::new(2, Um(3));
        push(
            &mut borders,
            0,
            vec![piece(LEFT, (0, 5), (101, 106))],
            Um(100),
        );
        let whole = push(
            &mut borders,
            1,
            vec![piece(RIGHT, (0, 5), (94, 99))],
            Um(100),
        );
        assert_eq!(boxes(&whole), [(0, 5, 94, 106)]);
        assert_eq!(whole[0].area_um2, 25);
    }

    #[test]
    fn a_piece_waits_for_what_still_runs_beside_it() {
        let mut borders = Borders::new(2, Um(3));
        push(
            &mut borders,
            0,
            vec![piece(LEFT, (50, 60), (95, 105))],
            Um(500),
        );
        // A flaw that began at 20 still runs in the right lane.
        assert!(push(&mut borders, 1, Vec::new(), Um(20)).is_empty());
        let whole = push(
            &mut borders,
            1,
            vec![piece(RIGHT, (20, 400), (98, 103))],
            Um(500),
        );
        assert_eq!(boxes(&whole), [(20, 400, 95, 105)]);
    }

    #[test]
    fn a_lane_that_stays_far_behind_holds_nobody_up_for_ever() {
        let mut borders = Borders::new(2, Um(3));
        push(&mut borders, 1, Vec::new(), Um(0));
        let piece = piece(LEFT, (0, 5), (95, 105));
        assert!(push(&mut borders, 0, vec![piece], MOST_LAG).is_empty());
        assert_eq!(borders.n_forced(), 0);
        let far = Um(MOST_LAG.get() + 1);
        assert_eq!(push(&mut borders, 0, Vec::new(), far).len(), 1);
        assert_eq!(borders.n_forced(), 1);
    }

    /// A flaw over any part of three lanes, cut into what each sees, in frames of any height.
    fn seen_by(lane: usize, along: (i64, i64), across: (i64, i64), overlap: i64) -> Option<Piece> {
        let owned = (lane as i64 * 100, lane as i64 * 100 + 100);
        let sight = (owned.0 - overlap, owned.1 + overlap);
        let (from, to) = (across.0.max(sight.0), across.1.min(sight.1));
        (from < to).then(|| piece(owned, along, (from, to)))
    }

    proptest! {
        #[test]
        fn a_flaw_anywhere_on_three_lanes_is_one_flaw_whatever_the_turns(
            start in 0..1000_i64,
            length in 1..500_i64,
            left in 0..299_i64,
            width in 1..300_i64,
            overlap in 0..10_i64,
            turns in proptest::collection::vec(0..3_usize, 0..12),
            order in Just([0_usize, 1, 2]).prop_shuffle(),
        ) {
            let across = (left, (left + width).min(300));
            let along = (start, start + length);
            let mut borders = Borders::new(3, Um(3));
            let mut found = Vec::new();
            // Lanes go on in turns before the flaw has ended in any of them.
            for lane in turns {
                found.extend(push(&mut borders, lane, Vec::new(), Um(start)));
            }
            for lane in order {
                let pieces = seen_by(lane, along, across, overlap).into_iter().collect();
                found.extend(push(&mut borders, lane, pieces, Um(2000)));
            }
            prop_assert!(borders.waiting.is_empty());
            let expected = (along.0, along.1, across.0, across.1);
            prop_assert_eq!(boxes(&found), vec![expected]);
            prop_assert_eq!(found[0].area_um2, length * (across.1 - across.0));
        }
    }
}
