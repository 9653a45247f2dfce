//! Cloth order restored after parallel work.
//!
//! Items of one lane come in any order and leave by their ordinals, without a hole. How many wait here is
//! bounded by the tickets that `line` gives out: one per item between tiler and judging.

use std::collections::BTreeMap;

use crate::tiles::Numbered;

/// Holds back what came too early.
pub struct Reorder<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self {
            next: 0,
            early: BTreeMap::new(),
        }
    }
}

impl<T> Reorder<T> {
    /// Takes an item; what is now in order is then given by [`Reorder::next_in_order`].
    pub fn push(&mut self, numbered: Numbered<T>) {
        self.early.insert(numbered.ordinal, numbered.item);
    }

    /// The next item in cloth order, if it has come.
    pub fn next_in_order(&mut self) -> Option<T> {
        let item = self.early.remove(&self.next)?;
        self.next += 1;
        Some(item)
    }

    /// Items that wait for one that has not come.
    pub fn n_waiting(&self) -> usize {
        self.early.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_survives_any_arrival(order in Just((0..60_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut reorder = Reorder::default();
            let mut left = Vec::new();
            for ordinal in order {
                reorder.push(Numbered { lane: 0, ordinal, item: ordinal });
                while let Some(item) = reorder.next_in_order() {
                    left.push(item);
                }
            }
            prop_assert_eq!(left, (0..60).collect::<Vec<_>>());
            prop_assert_eq!(reorder.n_waiting(), 0);
        }
    }
}
