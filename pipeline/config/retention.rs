//! `[retention]` of the station file: what the store forgets, by age and by size.
//!
//! ```toml
//! [retention]                              # what is left out is kept for ever
//! candidates = { days = 90, gib = 2.0 }
//! crops = { days = 365, gib = 50.0 }       # pictures of flaws; the flaws stay
//! events = { days = 730 }
//! ```

use anyhow::bail;
use serde::Deserialize;
use store::{Keep, RetentionKind};

/// What is kept, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Of what stayed below the threshold.
    pub candidates: Keep,
    /// Of pictures of flaws.
    pub crops: Keep,
    /// Of events.
    pub events: Keep,
}

impl RetentionSettings {
    /// Whether nothing is ever to go.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// What the numbers may be: a day to a century, ten megabytes to a petabyte.
const DAYS: std::ops::RangeInclusive<u32> = 1..=36_500;
/// Events also say which rules were announced.
const FEWEST_EVENT_DAYS: u32 = 30;
const GIB: std::ops::RangeInclusive<f64> = 0.01..=1_000_000.0;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRetention {
    pub(crate) candidates: Option<RawKeep>,
    pub(crate) crops: Option<RawKeep>,
    pub(crate) events: Option<RawKeep>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawKeep {
    pub(crate) days: Option<u32>,
    pub(crate) gib: Option<f64>,
}

impl RawRetention {
    pub(crate) fn checked(self) -> anyhow::Result<RetentionSettings> {
        let keep = |kind: RetentionKind, raw: Option<RawKeep>| match raw {
            Some(raw) => raw.checked(kind),
            None => Ok(Keep::default()),
        };
        Ok(RetentionSettings {
            candidates: keep(RetentionKind::Candidates, self.candidates)?,
            crops: keep(RetentionKind::Crops, self.crops)?,
            events: keep(RetentionKind::Events, self.events)?,
        })
    }
}

impl RawKeep {
    fn checked(self, kind: RetentionKind) -> anyhow::Result<Keep> {
        let (least, most) = match kind {
            RetentionKind::Events => (FEWEST_EVENT_DAYS, *DAYS.end()),
            RetentionKind::Candidates | RetentionKind::Crops => (*DAYS.start(), *DAYS.end()),
        };
        let kind = kind.as_str();
        if self.days.is_none() && self.gib.is_none() {
            bail!("found retention.{kind} without a limit, expected days, gib or both");
        }
        if let Some(found) = self.days.filter(|found| !(least..=most).contains(found)) {
            bail!("found retention.{kind}.days = {found}, expected {least} to {most}");
        }
        if let Some(found) = self.gib.filter(|found| !GIB.contains(found)) {
            let (least, most) = (GIB.start(), GIB.end());
            bail!("found retention.{kind}.gib = {found}, expected {least} to {most}");
        }
        Ok(Keep {
            days: self.days,
            bytes: self.gib.map(|gib| (gib * f64::from(1 << 30)) as u64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<RetentionSettings> {
        toml::from_str::<RawRetention>(text)?.checked()
    }

    #[test]
    fn rules_are_read_and_what_is_left_out_is_kept() {
        assert!(parse("").unwrap().is_all());
        let text = "crops = { days = 365, gib = 0.5 }\nevents = { days = 730 }\n";
        let expected = RetentionSettings {
            candidates: Keep::default(),
            crops: Keep {
                days: Some(365),
                bytes: Some(1 << 29),
            },
            events: Keep {
                days: Some(730),
                bytes: None,
            },
        };
        assert_eq!(parse(text).unwrap(), expected);
        // Whole numbers are numbers too.
        assert_eq!(parse("crops.gib = 2").unwrap().crops.bytes, Some(2 << 30));
    }

    #[test]
    fn what_is_wrong_is_named_with_key_and_range() {
        for (text, said) in [
            ("crops = {}", "retention.crops without a limit"),
            (
                "crops = { days = 0 }",
                "retention.crops.days = 0, expected 1 to 36500",
            ),
            (
                "events = { days = 7 }",
                "retention.events.days = 7, expected 30 to 36500",
            ),
            (
                "events = { gib = 0.0 }",
                "retention.events.gib = 0, expected 0.01 to 1000000",
            ),
            ("events = { gib = nan }", "retention.events.gib = NaN"),
            ("crops = { days = -1 }", "days"),
            ("crops = { weeks = 5 }", "unknown field `weeks`"),
            ("flaws = { days = 5 }", "unknown field `flaws`"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
