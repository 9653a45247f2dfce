//! Whether "good" cloth is of two kinds.
//!
//! ```text
//! Characters of all blocks ─▶ the two groups that differ most ─▶ is each strange to the other?
//! ```
//!
//! Where half of the blocks are of another cloth no block is unlike the others, and both would be
//! learned. So blocks are parted in two by what they look like as a whole, and each group is held
//! against the other by the measure that calls cloth in a roll another article's. Cloth of one kind
//! can be parted too, but then the groups differ little more than each does from itself: good strips of
//! three weaves of AITEX came to 0.03 and cloth of the loom to 0.004; two plain weaves of AITEX to 0.39,
//! plain weave and satin of the same yarns to 0.34, two twills to 0.23, which are not told apart.

use crate::likeness::{Character, Likeness};

/// Share of the blocks that each kind must have; fewer are outliers of the other.
const LEAST_SHARE: f64 = 0.25;
/// Fewest blocks of which a part can be of another kind.
const FEWEST: usize = 6;
/// How often the largest difference within a kind is borne. Cloth that changes evenly from its first
/// block to its last, however much, then comes to 0.18 at most.
const BORNE: f32 = 8.0;
/// Strangeness from which both kinds are other cloth to each other. The whitening is that of both
/// together, so that they differ less than in a roll.
const STRANGE: f32 = 0.3;
/// Most rounds of dealing blocks to the nearer group; it mostly ends after three.
const MOST_ROUNDS: usize = 30;

/// The two kinds of cloth that `blocks` show, as indices, that of the first block first; `None` where
/// they are of one.
pub(super) fn two_kinds(blocks: &[Character]) -> Option<[Vec<usize>; 2]> {
    if blocks.len() < FEWEST {
        return None;
    }
    let mut groups = parted(blocks)?;
    groups.sort();
    let least = LEAST_SHARE * blocks.len() as f64;
    if groups.iter().any(|group| (group.len() as f64) < least) {
        return None;
    }
    let [one, other] = [
        strangeness(blocks, &groups, 0)?,
        strangeness(blocks, &groups, 1)?,
    ];
    (one.min(other) > STRANGE).then_some(groups)
}

/// How strange the other group is, as a whole, to one who was taught the `taught` one alone.
fn strangeness(blocks: &[Character], groups: &[Vec<usize>; 2], taught: usize) -> Option<f32> {
    let of_group: Vec<Character> = groups[taught]
        .iter()
        .map(|block| blocks[*block].clone())
        .collect();
    let likeness = Likeness::bearing(BORNE, &of_group)?;
    Some(likeness.strangeness(&middle(blocks, &groups[1 - taught])?))
}

/// Blocks in two groups, each block with the group whose middle it is nearer to.
fn parted(blocks: &[Character]) -> Option<[Vec<usize>; 2]> {
    let all: Vec<usize> = (0..blocks.len()).collect();
    let farthest = |from: &Character| {
        let away = |block: &Character| block.away_from(from);
        let farthest = blocks.iter().max_by(|a, b| away(a).total_cmp(&away(b)));
        farthest.cloned()
    };
    let first = farthest(&middle(blocks, &all)?)?;
    let second = farthest(&first)?;
    let mut middles = [first, second];
    let mut groups = [Vec::new(), Vec::new()];
    for _ in 0..MOST_ROUNDS {
        let is_second = |block: &usize| {
            let [first, second] = &middles;
            blocks[*block].away_from(second) < blocks[*block].away_from(first)
        };
        let (second, first): (Vec<usize>, Vec<usize>) =
            all.iter().partition(|block| is_second(block));
        let dealt = [first, second];
        if dealt == groups {
            break;
        }
        middles = [middle(blocks, &dealt[0])?, middle(blocks, &dealt[1])?];
        groups = dealt;
    }
    Some(groups)
}

/// What the blocks of a group look like together; `None` of none.
fn middle(blocks: &[Character], group: &[usize]) -> Option<Character> {
    let mut of_group = group.iter().map(|block| &blocks[*block]);
    let first = of_group.next()?.clone();
    Some(of_group.fold(first, |so_far, block| so_far.with(block)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from -1 to 1, the same each time.
    fn noise(seed: usize) -> f32 {
        let mixed = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// Blocks of 8 features that lie `away` from usual ones, each by its own amount.
    fn blocks(away: &[f32]) -> Vec<Character> {
        let block = |(block, away): (usize, &f32)| {
            let values = (0..16).map(|k| away + 0.1 * noise(16 * block + k));
            let numbers: Vec<f32> = std::iter::once(64.0).chain(values).collect();
            Character::of_numbers(&numbers)
        };
        away.iter().enumerate().map(block).collect()
    }

    #[test]
    fn two_kinds_are_told_with_the_blocks_of_each_in_whatever_order() {
        let [here, there] = two_kinds(&blocks(&[0.0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0])).unwrap();
        assert_eq!((here, there), (vec![0, 2, 3, 6], vec![1, 4, 5]));
    }

    #[test]
    fn one_kind_is_no_two_however_many_blocks_there_are() {
        for n in [2, 6, 40, 300] {
            assert_eq!(two_kinds(&blocks(&vec![0.0; n])), None, "{n} blocks");
        }
    }

    #[test]
    fn cloth_that_changes_evenly_is_of_one_kind() {
        for (n, most) in [(12, 1.0), (12, 20.0), (200, 20.0)] {
            let away: Vec<f32> = (0..n).map(|i| most * i as f32 / n as f32).collect();
            assert_eq!(two_kinds(&blocks(&away)), None, "{n} blocks up to {most}");
        }
    }

    #[test]
    fn less_than_a_quarter_are_outliers_and_no_kind() {
        let mut away = vec![0.0; 12];
        away[3] = 3.0;
        away[4] = 3.0;
        assert_eq!(two_kinds(&blocks(&away)), None);
        away[5] = 3.0;
        assert!(two_kinds(&blocks(&away)).is_some());
    }
}
