//! `[log]` of the station file: where the log goes, and in which words.
//!
//! ```toml
//! [log]
//! format = "json"            # or "text"
//! file = "selvedge.log"      # beside this file; one a day, as selvedge.log.2026-11-28
//! keep = 14                  # files at most, today's too
//! ```

use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde::Deserialize;

/// How a log is written; what is `None` was not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// In which words.
    pub format: Option<LogFormat>,
    /// The file, whose day is added to its name; without one the log goes to standard error.
    pub file: Option<PathBuf>,
    /// Files that are kept at most.
    pub keep: Option<usize>,
}

/// In which words a log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Files that are kept where nothing is said: two weeks.
pub const LOGS_KEPT: usize = 14;
/// What can be asked for: today's at least, ten years' at most.
const KEEP: std::ops::RangeInclusive<usize> = 1..=3660;

impl LogSettings {
    /// These, and what `other` says where these say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            format: self.format.or(other.format),
            file: self.file.or(other.file),
            keep: self.keep.or(other.keep),
        }
    }

    /// Refuses what cannot be done; `of` is put before a key's name.
    ///
    /// # Errors
    /// Naming key and range.
    pub fn check(&self, of: &str) -> anyhow::Result<()> {
        if let Some(keep) = self.keep {
            let (least, most) = (KEEP.start(), KEEP.end());
            ensure!(
                KEEP.contains(&keep),
                "found {of}keep = {keep}, expected {least} to {most}"
            );
        }
        let has_name =
            |file: &PathBuf| file.file_name().is_some_and(|name| name.to_str().is_some());
        ensure!(
            self.file.as_ref().is_none_or(has_name),
            "found {of}file = {:?}, expected the name of a file",
            self.file
        );
        Ok(())
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    format: Option<LogFormat>,
    file: Option<PathBuf>,
    keep: Option<usize>,
}

impl RawLog {
    /// The settings; a file lies in `folder` unless its path is whole.
    pub(super) fn checked(self, folder: &Path) -> anyhow::Result<LogSettings> {
        let settings = LogSettings {
            format: self.format,
            file: self.file.map(|file| folder.join(file)),
            keep: self.keep,
        };
        settings.check("log.")?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<LogSettings> {
        toml::from_str::<RawLog>(text)?.checked(Path::new("mill"))
    }

    #[test]
    fn a_log_is_read_and_what_was_said_first_holds() {
        assert_eq!(parse("").unwrap(), LogSettings::default());
        let file = parse("format = 'json'\nfile = 'line.log'\nkeep = 3\n").unwrap();
        assert_eq!(file.file, Some(PathBuf::from("mill/line.log")));
        let said = LogSettings {
            format: Some(LogFormat::Text),
            ..LogSettings::default()
        };
        let both = said.or(file.clone());
        assert_eq!(
            (both.format, both.file, both.keep),
            (Some(LogFormat::Text), file.file, Some(3))
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_key_and_range() {
        for (text, said) in [
            ("keep = 0", "log.keep = 0, expected 1 to 3660"),
            ("file = '/'", "log.file = Some(\"/\"), expected the name"),
            ("format = 'xml'", "unknown variant `xml`"),
            ("level = 'info'", "unknown field `level`"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
