//! `[alarms]` of the station file: what calls a person, and what also asks the machine to stop.

use anyhow::bail;
use calibration::{Um, um_from_mm};
use serde::{Deserialize, Serialize};

/// When to call a person. What is left out calls nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmSettings {
    /// Members of one repeat.
    pub repeats: Option<u32>,
    /// Length of one running flaw, and again every further such length.
    pub running: Option<Um>,
    /// Flaws that begin within one metre.
    pub per_metre: Option<u32>,
    /// Whether one severe flaw does.
    pub severe: bool,
    /// Which of them also ask the machine to stop.
    pub stop: Vec<AlarmCause>,
}

/// What an alarm is raised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmCause {
    /// Flaws that come again.
    Repeats,
    /// A flaw that runs on.
    Running,
    /// Too many flaws in a metre.
    PerMetre,
    /// A severe flaw.
    Severe,
}

/// What the numbers may be.
const REPEATS: std::ops::RangeInclusive<u32> = 2..=1000;
const RUNNING_M: std::ops::RangeInclusive<f64> = 0.1..=1000.0;
const PER_METRE: std::ops::RangeInclusive<u32> = 2..=10_000;

impl AlarmCause {
    /// The word for it, in the station file, in JSON and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repeats => "repeats",
            Self::Running => "running",
            Self::PerMetre => "per_metre",
            Self::Severe => "severe",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlarms {
    repeats: Option<u32>,
    running_m: Option<f64>,
    per_metre: Option<u32>,
    #[serde(default)]
    severe: bool,
    #[serde(default)]
    stop: Vec<AlarmCause>,
}

impl RawAlarms {
    pub(super) fn checked(self) -> anyhow::Result<AlarmSettings> {
        for (key, found, range) in [
            ("repeats", self.repeats, REPEATS),
            ("per_metre", self.per_metre, PER_METRE),
        ] {
            if let Some(found) = found.filter(|found| !range.contains(found)) {
                let (least, most) = (range.start(), range.end());
                bail!("found alarms.{key} = {found}, expected {least} to {most}");
            }
        }
        if let Some(found) = self.running_m.filter(|found| !RUNNING_M.contains(found)) {
            let (least, most) = (RUNNING_M.start(), RUNNING_M.end());
            bail!("found alarms.running_m = {found}, expected {least} to {most}");
        }
        let settings = AlarmSettings {
            repeats: self.repeats,
            running: self.running_m.map(|metres| um_from_mm(metres * 1e3)),
            per_metre: self.per_metre,
            severe: self.severe,
            stop: self.stop,
        };
        let silent = settings.stop.iter().find(|cause| !settings.raises(**cause));
        if let Some(silent) = silent {
            let cause = silent.as_str();
            bail!("found alarms.stop with {cause:?}, but no alarm for it, expected both or none");
        }
        Ok(settings)
    }
}

impl AlarmSettings {
    /// Whether anything raises an alarm for `cause`.
    pub fn raises(&self, cause: AlarmCause) -> bool {
        match cause {
            AlarmCause::Repeats => self.repeats.is_some(),
            AlarmCause::Running => self.running.is_some(),
            AlarmCause::PerMetre => self.per_metre.is_some(),
            AlarmCause::Severe => self.severe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<AlarmSettings> {
        toml::from_str::<RawAlarms>(text)?.checked()
    }

    #[test]
    fn alarms_are_read_and_none_is_there_unasked() {
        assert_eq!(parse("").unwrap(), AlarmSettings::default());
        let text = "repeats = 5\nrunning_m = 2.5\nsevere = true\nstop = ['running', 'severe']\n";
        let expected = AlarmSettings {
            repeats: Some(5),
            running: Some(Um(2_500_000)),
            per_metre: None,
            severe: true,
            stop: vec![AlarmCause::Running, AlarmCause::Severe],
        };
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_key_and_range() {
        for (text, said) in [
            ("repeats = 1", "alarms.repeats = 1, expected 2 to 1000"),
            ("per_metre = 1", "alarms.per_metre = 1, expected 2 to 10000"),
            (
                "running_m = 0.0",
                "alarms.running_m = 0, expected 0.1 to 1000",
            ),
            ("running_m = nan", "alarms.running_m = NaN"),
            (
                "stop = ['severe']",
                "alarms.stop with \"severe\", but no alarm for it",
            ),
            ("stop = ['often']", "unknown variant `often`"),
            ("lamp = true", "unknown field `lamp`"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
