//! The page's colours, and which one a gap's reason or a flaw's severity has.
//!
//! Gaps differ by colour and by hatching, severities by lightness and by the thickness of the
//! line, so that neither depends on seeing colours (the hues are those of Okabe and Ito, "Color
//! Universal Design", 2008). A known reason has the same look on every roll.

use std::collections::BTreeMap;

use image::Rgb;

use super::canvas::{WHITE, mixed};

pub(super) const INK: Rgb<u8> = Rgb([27, 31, 36]);
pub(super) const MUTED: Rgb<u8> = Rgb([98, 106, 117]);
pub(super) const RULE: Rgb<u8> = Rgb([215, 219, 224]);
pub(super) const PANEL: Rgb<u8> = Rgb([243, 245, 247]);
/// A figure that a person must not miss.
pub(super) const ALARM: Rgb<u8> = Rgb([178, 20, 44]);
/// Cloth that was looked at.
pub(super) const INSPECTED: Rgb<u8> = Rgb([225, 231, 235]);
/// What is no cloth.
const BESIDE: Rgb<u8> = Rgb([176, 182, 190]);
/// The edge of the map.
pub(super) const EDGE: Rgb<u8> = Rgb([120, 129, 141]);

const HUES: [Rgb<u8>; 7] = [
    Rgb([213, 94, 0]),
    Rgb([0, 114, 178]),
    Rgb([230, 159, 0]),
    Rgb([0, 140, 102]),
    Rgb([190, 95, 155]),
    Rgb([60, 160, 215]),
    Rgb([72, 74, 84]),
];
const N_HATCHES: usize = 4;
/// Looks that can be told apart; reasons beyond that share the last.
const N_LOOKS: usize = HUES.len() * N_HATCHES;

/// What marks a known reason, in the order of the looks: the first ones have a hue of their own.
const KNOWN_REASONS: [&str; 13] = [
    "frame",
    "unreadable",
    "camera",
    "overload",
    "dark",
    "worker",
    "saturated",
    "seam",
    "focus",
    "article",
    "many flaws",
    "power",
    "size",
];

/// What a pixel of the map shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// The ledger says nothing of it.
    NoRecord,
    Inspected,
    Beside,
    /// A gap with this look.
    Gap(u8),
}

impl Ground {
    /// Colour of the pixel at `x`, `y`; the pattern goes through all pixels of the same ground.
    pub(super) fn color_at(self, x: i64, y: i64) -> Rgb<u8> {
        let stripe = |at: i64, period: i64, thick: i64| at.rem_euclid(period) < thick;
        match self {
            Ground::NoRecord if stripe(x + y, 10, 1) => EDGE,
            Ground::NoRecord => WHITE,
            Ground::Inspected => INSPECTED,
            Ground::Beside if stripe(x, 4, 1) && stripe(y, 4, 1) => mixed(BESIDE, INK, 0.25),
            Ground::Beside => BESIDE,
            Ground::Gap(look) => {
                let is_line = match hatch(look) {
                    0 => stripe(x + y, 8, 3),
                    1 => stripe(x - y, 8, 3),
                    2 => stripe(x + y, 9, 2) || stripe(x - y, 9, 2),
                    _ => stripe(y, 6, 2),
                };
                if is_line {
                    self.line_color()
                } else {
                    mixed(WHITE, self.line_color(), 0.42)
                }
            }
        }
    }

    /// Colour of its border.
    pub(super) fn line_color(self) -> Rgb<u8> {
        match self {
            Ground::Gap(look) => HUES[usize::from(look) % HUES.len()],
            Ground::NoRecord | Ground::Inspected | Ground::Beside => EDGE,
        }
    }
}

/// Looks 0 to 27 have 28 different pairs of hue and hatch, and neighbours differ in both.
fn hatch(look: u8) -> usize {
    let look = usize::from(look);
    (look % HUES.len() + look / HUES.len()) % N_HATCHES
}

/// A look for each of `reasons`: known ones their own, others what is left.
pub(super) fn looks<'r>(reasons: impl Iterator<Item = &'r str>) -> BTreeMap<&'r str, u8> {
    let mut is_free = [true; N_LOOKS];
    let mut looks = BTreeMap::new();
    let mut unknown = Vec::new();
    for reason in reasons {
        let words = words(reason).to_lowercase();
        match KNOWN_REASONS.iter().position(|known| words.contains(known)) {
            Some(look) if is_free[look] => {
                is_free[look] = false;
                looks.insert(reason, look as u8);
            }
            Some(_) | None => unknown.push(reason),
        }
    }
    // From the back: the known looks stay free for as long as possible.
    let mut left = (0..N_LOOKS).rev().filter(|look| is_free[*look]);
    for reason in unknown {
        looks.insert(reason, left.next().unwrap_or(N_LOOKS - 1) as u8);
    }
    looks
}

/// A word of the pipeline's for people: `frame_lost` is `frame lost`.
pub(super) fn words(word: &str) -> String {
    word.chars()
        .take(80)
        .map(|c| if c == '_' || c == '-' { ' ' } else { c })
        .collect()
}

/// How a flaw of some severity is drawn, gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Any other word.
    Unknown,
    Minor,
    Moderate,
    Major,
    Severe,
}

impl Severity {
    pub(super) fn of(word: &str) -> Severity {
        match word {
            "minor" => Severity::Minor,
            "moderate" => Severity::Moderate,
            "major" => Severity::Major,
            "severe" => Severity::Severe,
            _ => Severity::Unknown,
        }
    }

    pub(super) fn color(self) -> Rgb<u8> {
        match self {
            Severity::Unknown => Rgb([64, 72, 84]),
            Severity::Minor => Rgb([176, 112, 0]),
            Severity::Moderate => Rgb([205, 70, 0]),
            Severity::Major => Rgb([178, 20, 44]),
            Severity::Severe => Rgb([92, 0, 62]),
        }
    }

    /// Thickness of its outline, pixels.
    pub(super) fn line_px(self) -> i64 {
        match self {
            Severity::Unknown | Severity::Minor | Severity::Moderate => 2,
            Severity::Major => 3,
            Severity::Severe => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_look_is_its_own_pair_of_hue_and_hatch() {
        let pairs: BTreeSet<_> = (0..N_LOOKS as u8)
            .map(|look| (Ground::Gap(look).line_color().0, hatch(look)))
            .collect();
        assert_eq!(pairs.len(), N_LOOKS);
    }

    #[test]
    fn a_known_reason_looks_the_same_on_every_roll() {
        let alone = looks(["too_dark"].into_iter());
        let among = looks(["camera lost", "camera moved", "mice", "too_dark"].into_iter());
        assert_eq!(alone["too_dark"], among["too_dark"]);
        assert_eq!(among.values().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn more_reasons_than_looks_are_still_drawn() {
        let names: Vec<String> = (0..100).map(|i| format!("reason {i}")).collect();
        assert_eq!(looks(names.iter().map(String::as_str)).len(), 100);
    }
}
