//! Lengths, places and times as people read them.

use time::OffsetDateTime;
use time::macros::format_description;

/// In what a person wants to read lengths; kept by their browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Units {
    /// Millimetres and metres.
    #[default]
    Metric,
    /// Inches and yards of 36 inches.
    Inch,
}

/// Micrometres of an inch (exact, by definition since 1959).
const UM_PER_INCH: f64 = 25_400.0;
/// Micrometres of a yard.
const UM_PER_YARD: f64 = 36.0 * UM_PER_INCH;

impl Units {
    /// By its word, `mm` or `in`.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        match word {
            "mm" => Some(Self::Metric),
            "in" => Some(Self::Inch),
            _ => None,
        }
    }

    /// Its word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Metric => "mm",
            Self::Inch => "in",
        }
    }

    /// A small length, such as a flaw's.
    pub(super) fn size(self, um: i64) -> String {
        match self {
            Self::Metric => format!("{:.1} mm", um as f64 / 1e3),
            Self::Inch => format!("{:.2} in", um as f64 / UM_PER_INCH),
        }
    }

    /// A length or a place along a roll.
    pub(super) fn along(self, um: i64) -> String {
        match self {
            Self::Metric => format!("{:.2} m", um as f64 / 1e6),
            Self::Inch => format!("{:.2} yd", um as f64 / UM_PER_YARD),
        }
    }

    /// A place across a roll.
    pub(super) fn across(self, um: i64) -> String {
        match self {
            Self::Metric => format!("{:.0} mm", um as f64 / 1e3),
            Self::Inch => format!("{:.1} in", um as f64 / UM_PER_INCH),
        }
    }

    /// An area.
    pub(super) fn area(self, um2: i64) -> String {
        match self {
            Self::Metric => format!("{:.2} m²", um2 as f64 / 1e12),
            Self::Inch => format!("{:.2} yd²", um2 as f64 / (UM_PER_YARD * UM_PER_YARD)),
        }
    }
}

/// Millimetres, for programs.
pub(super) fn mm(um: i64) -> f64 {
    um as f64 / 1e3
}

/// From where to where, in millimetres.
pub(super) fn span_mm(range: std::ops::Range<i64>) -> [f64; 2] {
    [mm(range.start), mm(range.end)]
}

/// A moment in UTC, to the second.
pub(super) fn moment(us: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    OffsetDateTime::from_unix_timestamp(us.div_euclid(1_000_000))
        .ok()
        .and_then(|moment| moment.format(&format).ok())
        .unwrap_or_else(|| "at an unknown time".to_owned())
}

/// The same for programs, by RFC 3339.
pub(super) fn rfc3339(us: i64) -> String {
    moment(us).replace(' ', "T") + "Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_what_a_person_reads() {
        let um = 914_400;
        assert_eq!(Units::Metric.along(um), "0.91 m");
        assert_eq!(Units::Inch.along(um), "1.00 yd");
        assert_eq!(Units::Inch.size(um), "36.00 in");
        assert_eq!(Units::Metric.size(1_250), "1.2 mm");
        assert_eq!(Units::Inch.area(836_127_360_000), "1.00 yd²");
        for units in [Units::Metric, Units::Inch] {
            assert_eq!(Units::from_word(units.word()), Some(units));
        }
    }

    #[test]
    fn a_moment_is_told_to_the_second_whatever_it_is() {
        assert_eq!(moment(1_795_867_200_500_000), "2026-11-28 12:00:00");
        assert_eq!(moment(-1), "1969-12-31 23:59:59");
        assert_eq!(moment(i64::MAX), "at an unknown time");
    }
}
