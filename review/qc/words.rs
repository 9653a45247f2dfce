//! Words of the store as people read them.

use store::Rect;

use super::units::Units;

/// Where a box lies.
pub(super) fn said_of(rect: &Rect, units: Units) -> String {
    let (along, across) = (rect.along(), rect.across());
    let start = units.along(along.start);
    let start = start.split(' ').next().unwrap_or_default();
    format!(
        "{start} to {}, {} to {} across",
        units.along(along.end),
        units.across(across.start),
        units.across(across.end)
    )
}

/// A word of the store without its underscores.
pub(super) fn plain(word: &str) -> String {
    word.replace('_', " ")
}
