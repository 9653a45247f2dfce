//! Lengths as rules have them, `"75 mm"` or `"3 in"`, in whole micrometres.
//!
//! An inch is 25.4 mm and a yard 914.4 mm, exactly, so that a rule in inches is no rounded rule
//! in mm. What is no whole micrometre is refused.

use anyhow::{Context, bail};

/// An inch, in µm.
pub const INCH_UM: i64 = 25_400;
/// A yard, in µm.
pub const YARD_UM: i64 = 36 * INCH_UM;
/// A metre, in µm.
pub const METRE_UM: i64 = 1_000_000;

/// Units with their length in µm.
const UNITS: [(&str, i64); 5] = [
    ("mm", 1000),
    ("cm", 10_000),
    ("m", METRE_UM),
    ("in", INCH_UM),
    ("yd", YARD_UM),
];
/// No rule speaks of more: 10 km.
const MOST_UM: i64 = 10_000 * METRE_UM;
/// Digits that a length may have before and behind its point: enough for [`MOST_UM`] in mm.
const MOST_DIGITS: usize = 8;

/// The length that `text` says, in µm.
///
/// # Errors
/// When it says none, or none that a rule can have.
pub(super) fn um_of(text: &str) -> anyhow::Result<i64> {
    let expected = || {
        // The text may be anything; its beginning is evidence enough.
        let shown: String = text.chars().take(40).collect();
        format!("found {shown:?}, expected a length such as \"75 mm\" or \"3 in\"")
    };
    let text = text.trim();
    let ends = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(ends.unwrap_or(text.len()));
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
    let (_, unit_um) = unit.with_context(|| format!("{} in mm, cm, m, in or yd", expected()))?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > MOST_DIGITS || part.len() > MOST_DIGITS {
        bail!(expected());
    }
    let digits: i64 = format!("{whole}{part}").parse().with_context(expected)?;
    let scale = (0..part.len()).fold(1i128, |scale, _| scale * 10);
    let um = i128::from(digits) * i128::from(*unit_um);
    if um % scale != 0 {
        bail!("{} of whole micrometres", expected());
    }
    match i64::try_from(um / scale) {
        Ok(um) if (1..=MOST_UM).contains(&um) => Ok(um),
        Ok(_) | Err(_) => bail!("{}, more than 0 and at most 10 km", expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inches_and_yards_are_exact() {
        for (text, um) in [
            ("75 mm", 75_000),
            ("3 in", 76_200),
            ("9in", 228_600),
            (" 1.5 in ", 38_100),
            ("0.001 mm", 1),
            ("1 yd", 914_400),
            ("1.65 m", 1_650_000),
            ("2.5 cm", 25_000),
            ("10000 m", 10_000_000_000),
        ] {
            assert_eq!(um_of(text).unwrap(), um, "{text}");
        }
    }

    #[test]
    fn what_is_no_length_is_refused_with_what_was_found() {
        for text in [
            "",
            "mm",
            "75",
            "75 feet",
            "-1 mm",
            "1e3 mm",
            "1.2.3 mm",
            ".5 mm",
            "0 mm",
            "0.0001 mm",
            "10001 m",
            "999999999 mm",
            "１ mm",
            "1 mm mm",
        ] {
            let error = format!("{:#}", um_of(text).unwrap_err());
            assert!(
                error.contains(&format!("found {text:?}, expected")),
                "{error}"
            );
        }
    }
}
