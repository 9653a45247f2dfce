//! Which flaws are so alike that one decision can be for all of them.
//!
//! A bar breaks up into two hundred marks, a damaged roller leaves one each turn, a reed dent one behind
//! the other: nobody decides on each. Flaws go together when a person has said nothing that sets them
//! apart, class and severity are the same, both sides are within a factor of two, and they lie where one cause
//! would put them: at the same place along, as a bar, or at the same place across. What goes together can always
//! be opened, and is decided on as it lies open.

use std::collections::HashMap;

use store::FlawId;

use super::reviewed::Reviewed;

/// How far along a mark of a bar may lie from those before it, µm.
const NEAR_ALONG_UM: i64 = 50_000;
/// How far beside the first of a repeating flaw the next ones may lie, µm: yarns wander by so much.
const NEAR_ACROSS_UM: i64 = 15_000;
/// By how much sides may differ.
const FACTOR: i64 = 2;

struct Group<'a> {
    first: &'a Reviewed,
    /// One past the last place along of any of its flaws.
    end_um: i64,
    ids: Vec<FlawId>,
    /// Where in the given order its first flaw stands.
    rank: usize,
}

/// `flaws`, which are in the order of the walk, in groups; each group stands where its first flaw does, and
/// lists its flaws in that order.
pub(super) fn groups(flaws: &[Reviewed]) -> Vec<Vec<FlawId>> {
    let mut along: Vec<(usize, &Reviewed)> = flaws.iter().enumerate().collect();
    along.sort_by_key(|(_, reviewed)| reviewed.flaw.rect.along().start);
    let mut found: Vec<Group<'_>> = Vec::new();
    // Only flaws of one key can be alike.
    let mut by_key: HashMap<(&str, &str, &str), Vec<usize>> = HashMap::new();
    let mut ranks: HashMap<FlawId, usize> = HashMap::new();
    for (rank, reviewed) in along {
        ranks.insert(reviewed.id(), rank);
        let key = (
            reviewed.state,
            reviewed.class.as_str(),
            reviewed.flaw.severity.as_str(),
        );
        let of_key = by_key.entry(key).or_default();
        let its = of_key.iter().find(|nth| is_of(&found[**nth], reviewed));
        match its {
            Some(nth) => {
                let group = &mut found[*nth];
                group.ids.push(reviewed.id());
                group.end_um = group.end_um.max(reviewed.flaw.rect.along().end);
                group.rank = group.rank.min(rank);
            }
            None => {
                of_key.push(found.len());
                found.push(Group {
                    first: reviewed,
                    end_um: reviewed.flaw.rect.along().end,
                    ids: vec![reviewed.id()],
                    rank,
                });
            }
        }
    }
    found.sort_by_key(|group| group.rank);
    let mut groups: Vec<Vec<FlawId>> = found.into_iter().map(|group| group.ids).collect();
    for group in &mut groups {
        group.sort_by_key(|id| ranks.get(id).copied());
    }
    groups
}

fn is_of(group: &Group<'_>, reviewed: &Reviewed) -> bool {
    let (first, other) = (&group.first.flaw.rect, &reviewed.flaw.rect);
    let middle = |range: std::ops::Range<i64>| range.start.midpoint(range.end);
    let is_near = other.along().start - group.end_um <= NEAR_ALONG_UM;
    let beside = middle(first.across()) - middle(other.across());
    let side = |range: std::ops::Range<i64>| range.end - range.start;
    is_alike(side(first.along()), side(other.along()))
        && is_alike(side(first.across()), side(other.across()))
        && (is_near || beside.abs() <= NEAR_ACROSS_UM)
}

fn is_alike(a: i64, b: i64) -> bool {
    a <= b.saturating_mul(FACTOR) && b <= a.saturating_mul(FACTOR)
}

#[cfg(test)]
mod tests {
    use super::super::reviewed::tests::flaw;
    use super::*;

    fn sizes(flaws: &[Reviewed]) -> Vec<usize> {
        groups(flaws).iter().map(Vec::len).collect()
    }

    #[test]
    fn two_hundred_marks_of_a_bar_are_one_decision() {
        let marks = (0..200).map(|nth| flaw("bar", [1000 + nth % 4 * 6, 5], [nth * 8, 7]));
        let mut all: Vec<Reviewed> = marks.collect();
        all.push(flaw("hole", [1010, 5], [400, 7]));
        all.push(flaw("bar", [90_000, 5], [400, 700]));
        assert_eq!(sizes(&all), [200, 1, 1]);
    }

    #[test]
    fn what_a_roller_leaves_each_turn_is_one_decision_and_what_lies_elsewhere_is_none() {
        let turns = (0..30).map(|nth| flaw("stain", [nth * 628, 9], [700 + nth % 3 * 4, 11]));
        let mut all: Vec<Reviewed> = turns.collect();
        all.push(flaw("stain", [15_333, 9], [1200, 11]));
        all.push(flaw("stain", [16_333, 90], [700, 11]));
        assert_eq!(sizes(&all), [30, 1, 1]);
    }

    #[test]
    fn a_group_stands_where_its_first_flaw_stands_and_every_flaw_is_in_one() {
        let late = flaw("bar", [5000, 5], [10, 7]);
        let early = flaw("bar", [4990, 5], [30, 7]);
        let hole = flaw("hole", [100, 5], [10, 7]);
        let walk = [late.clone(), hole.clone(), early.clone()];
        let found = groups(&walk);
        assert_eq!(found, [vec![late.id(), early.id()], vec![hole.id()]]);
    }
}
