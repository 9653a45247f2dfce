//! Natural order of names: img2 before img10.
//!
//! Runs of ASCII digits compare by value, everything else character by character
//! without regard to case. It knows no language's alphabet.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::Chars;

/// Orders two names. Names that differ only in case or in leading zeros fall back to
/// plain order, so that only equal names are equal.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let order = match (a_rest.peek().copied(), b_rest.peek().copied()) {
            (None, None) => return a.cmp(b),
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, y) = (number(&mut a_rest), number(&mut b_rest));
                // Without leading zeros the longer number is the larger one.
                x.len().cmp(&y.len()).then_with(|| x.cmp(&y))
            }
            (x, y) => {
                a_rest.next();
                b_rest.next();
                x.map(folded).cmp(&y.map(folded))
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Takes a run of digits; gives it without leading zeros.
fn number(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut digits = String::new();
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        if digit != '0' || !digits.is_empty() {
            digits.push(digit);
        }
    }
    digits
}

fn folded(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sorted: &[&str]) {
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn numbers_count_by_value() {
        check(&[
            "img1.png",
            "img2.png",
            "img10.png",
            "img10a.png",
            "img100.png",
        ]);
    }

    #[test]
    fn every_number_of_a_name_counts() {
        check(&["cam1_9", "cam1_10", "cam2_1", "cam10_1"]);
    }

    #[test]
    fn numbers_longer_than_a_machine_word_count_too() {
        check(&[
            "99999999999999999999998",
            "99999999999999999999999",
            "100000000000000000000000",
        ]);
    }

    #[test]
    fn leading_zeros_and_case_matter_only_between_equals() {
        check(&["a007", "a07", "a7", "a8", "B1", "b1", "C"]);
    }

    #[test]
    fn a_prefix_comes_first() {
        check(&["", "a", "a1", "ab"]);
    }
}
