//! What the store accepts as a name, a digest and a row id.
//!
//! Text from outside becomes one of these types or is refused; past this file every name is known
//! to be clean. Whether a name *exists* is the tables' business, not this file's.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::StoreError;

/// Longest name, in characters: fits a folder name on every common file system.
pub const NAME_MAX_CHARS: usize = 100;

/// A name of an article, a roll or a station: 1 to [`NAME_MAX_CHARS`] characters without control
/// or invisible direction characters, and without blanks at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Trims `text` and checks it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it is empty, too long, or holds characters that a person cannot see.
    pub fn new(text: &str) -> Result<Name, StoreError> {
        let text = text.trim();
        let refused = |why: &str| {
            // The text may be huge; its beginning is evidence enough.
            let shown: String = text.chars().take(NAME_MAX_CHARS + 1).collect();
            Err(StoreError::Invalid {
                what: "name",
                found: format!("{shown:?}"),
                expected: why.to_owned(),
            })
        };
        if text.is_empty() {
            return refused("at least one visible character");
        }
        if text.chars().count() > NAME_MAX_CHARS {
            return refused("at most 100 characters");
        }
        if text.chars().any(|c| c.is_control() || is_invisible(c)) {
            return refused("no control or invisible characters");
        }
        Ok(Name(text.to_owned()))
    }

    /// The same name, known to be usable as a folder's name; articles need this.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for `.`, `..` and names with `/` or `\`.
    pub fn as_folder(&self) -> Result<&str, StoreError> {
        if self.0 == "." || self.0 == ".." || self.0.contains(['/', '\\']) {
            return Err(StoreError::Invalid {
                what: "article name",
                found: format!("{:?}", self.0),
                expected: "a name that can be a folder's: no '/' or '\\', not '.' or '..'"
                    .to_owned(),
            });
        }
        Ok(&self.0)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Name, StoreError> {
        Name::new(text)
    }
}

/// Zero-width, line-separating and direction-changing characters: two names that look the same
/// must be the same.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// The SHA-256 of a model file, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// Checks `text`; upper-case digits are taken and made lower-case.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it is not 64 hexadecimal digits.
    pub fn new(text: &str) -> Result<Digest, StoreError> {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Digest(text.to_ascii_lowercase()));
        }
        let shown: String = text.chars().take(65).collect();
        Err(StoreError::Invalid {
            what: "model digest",
            found: format!("{shown:?}"),
            expected: "64 hexadecimal digits".to_owned(),
        })
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Digest, StoreError> {
        Digest::new(text)
    }
}

/// The id of a row that nothing outside the store refers to.
pub(crate) fn fresh_id() -> Uuid {
    Uuid::now_v7()
}

/// Makes the id type of one table: a UUIDv7, so ids made later sort later and two stations'
/// stores can be merged.
macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub(crate) fn fresh() -> $name {
                $name(fresh_id())
            }

            pub(crate) fn from_uuid(uuid: Uuid) -> $name {
                $name(uuid)
            }

            /// The 16 bytes that the tables keep.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = StoreError;

            fn from_str(text: &str) -> Result<$name, StoreError> {
                Uuid::parse_str(text).map($name).map_err(|error| StoreError::Invalid {
                    what: "id",
                    found: format!("{:?} ({error})", text.chars().take(64).collect::<String>()),
                    expected: "a UUID".to_owned(),
                })
            }
        }
    };
}

row_id! {
    /// Names one article row.
    ArticleId
}
row_id! {
    /// Names one roll: a piece of cloth, whatever number it bears.
    RollId
}
row_id! {
    /// Names one run.
    RunId
}
row_id! {
    /// Names one flaw, and its crop.
    FlawId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_kept_as_written() {
        assert_eq!(
            Name::new("  Köper 2/1 \"blau\"; DROP TABLE rolls;-- ")
                .unwrap()
                .as_str(),
            "Köper 2/1 \"blau\"; DROP TABLE rolls;--"
        );
        assert!(Name::new(&"ß".repeat(100)).is_ok());
    }

    #[test]
    fn names_nobody_can_read_are_refused() {
        for bad in [
            "",
            " \t ",
            "a\0b",
            "a\nb",
            "a\u{202E}b",
            "a\u{200B}",
            &"x".repeat(101),
        ] {
            assert!(
                matches!(Name::new(bad), Err(StoreError::Invalid { .. })),
                "{bad:?} was taken"
            );
        }
    }

    #[test]
    fn an_article_cannot_leave_its_folder() {
        for bad in [".", "..", "../etc", "a/b", "a\\b"] {
            assert!(
                Name::new(bad).unwrap().as_folder().is_err(),
                "{bad:?} was taken"
            );
        }
        assert_eq!(
            Name::new("4711 twill").unwrap().as_folder().unwrap(),
            "4711 twill"
        );
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        assert_eq!(
            Digest::new(&"AB".repeat(32)).unwrap().as_str(),
            "ab".repeat(32)
        );
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(65)] {
            assert!(Digest::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn ids_made_later_sort_later() {
        let ids: Vec<FlawId> = (0..1000).map(|_| FlawId::fresh()).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids[0].to_string().parse::<FlawId>().unwrap(), ids[0]);
    }
}
