//! The text of rules: read loosely as TOML, converted once into checked [`Rules`].
//!
//! Unknown keys are refused, and so is what would make a longer or graver flaw cost less. A file is
//! taken whole or not at all. `rules/` of the source tree shows every key.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use serde::Deserialize;
use store::Name;
use toml::Value;

use super::length::um_of;
use super::rules::{Limit, Narrow, Points, Quality, Rate, Rules, Steps, Unit, UpTo, Width};
use crate::classes::{Class, Severity};

/// No system has more points for one flaw or one metre.
const MOST_POINTS: i64 = 1000;
/// Steps of size, and qualities, that rules may have.
const MOST_STEPS: usize = 20;
const MOST_QUALITIES: usize = 5;
/// Points that a limit may allow.
const LIMITS: std::ops::RangeInclusive<f64> = 0.0..=1_000_000.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    name: String,
    version: String,
    standard: String,
    per: RawUnit,
    most_points: Option<i64>,
    most_points_grow_from: Option<String>,
    width: String,
    edge_margin: Option<String>,
    end_margin: Option<String>,
    otherwise: String,
    points: RawPoints,
    quality: Vec<RawQuality>,
    #[serde(default)]
    reject: RawReject,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawUnit {
    Metre,
    Yard,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoints {
    along: Option<Vec<RawStep>>,
    across: Option<Vec<RawStep>>,
    severity: Option<RawSeverity>,
    running: Option<i64>,
    full_width: Option<i64>,
    narrow: Option<RawNarrow>,
    /// A number, steps, or points by severity.
    #[serde(default)]
    classes: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    up_to: Option<String>,
    points: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSeverity {
    minor: i64,
    moderate: i64,
    major: i64,
    severe: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNarrow {
    under: String,
    points: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuality {
    name: String,
    per_100_m2: Option<f64>,
    per_100_yd2: Option<f64>,
    per_100_m: Option<f64>,
    per_100_yd: Option<f64>,
    roll: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReject {
    running_over: Option<String>,
    repeating_over: Option<String>,
}

/// The rules of this text, without their digest.
pub(super) fn parse(text: &str) -> anyhow::Result<Rules> {
    let raw: RawRules = toml::from_str(text)?;
    let cap_grows_from_um = length(
        "most_points_grow_from",
        raw.most_points_grow_from.as_deref(),
    )?;
    if cap_grows_from_um.is_some() && raw.most_points.is_none() {
        bail!("found most_points_grow_from without most_points, expected both");
    }
    let most_points = optional("most_points", raw.most_points)?;
    if most_points == Some(0) {
        bail!("found most_points = 0, expected 1 to {MOST_POINTS}, or no cap");
    }
    let width = match raw.width.as_str() {
        "actual" => Width::Actual,
        agreed => Width::Standard(um_of(agreed).context("width, which may also be \"actual\"")?),
    };
    let otherwise = word("otherwise", &raw.otherwise)?;
    let qualities = qualities(&raw.quality, &otherwise)?;
    let narrow = match &raw.points.narrow {
        Some(narrow) => Some(Narrow {
            under_um: um_of(&narrow.under).context("points.narrow.under")?,
            points: points("points.narrow.points", narrow.points)?,
        }),
        None => None,
    };
    Ok(Rules {
        name: word("name", &raw.name)?,
        version: word("version", &raw.version)?,
        standard: word("standard", &raw.standard)?,
        digest: String::new(),
        per: match raw.per {
            RawUnit::Metre => Unit::Metre,
            RawUnit::Yard => Unit::Yard,
        },
        most_points,
        cap_grows_from_um,
        width,
        edge_margin_um: length("edge_margin", raw.edge_margin.as_deref())?.unwrap_or(0),
        end_margin_um: length("end_margin", raw.end_margin.as_deref())?.unwrap_or(0),
        running: optional("points.running", raw.points.running)?,
        full_width: optional("points.full_width", raw.points.full_width)?,
        narrow,
        classes: classes(&raw.points.classes)?,
        points: base(&raw.points)?,
        reject_running_um: length("reject.running_over", raw.reject.running_over.as_deref())?,
        reject_repeating_um: length(
            "reject.repeating_over",
            raw.reject.repeating_over.as_deref(),
        )?,
        qualities,
        otherwise,
    })
}

/// What a flaw of any class costs: by size or by severity.
fn base(raw: &RawPoints) -> anyhow::Result<Points> {
    match (&raw.along, &raw.across, &raw.severity) {
        (Some(along), Some(across), None) => Ok(Points::Size {
            along: steps("points.along", along)?,
            across: steps("points.across", across)?,
        }),
        (None, None, Some(severity)) => by_severity("points.severity", severity),
        _ => bail!(
            "found points by {}, expected either points.along and points.across, or points.severity",
            given(raw)
        ),
    }
}

/// Which ways of counting a flaw were given.
fn given(raw: &RawPoints) -> String {
    let ways = [
        ("along", raw.along.is_some()),
        ("across", raw.across.is_some()),
        ("severity", raw.severity.is_some()),
    ];
    let given: Vec<&str> = (ways.iter().filter(|way| way.1)).map(|way| way.0).collect();
    if given.is_empty() {
        "nothing".to_owned()
    } else {
        given.join(" and ")
    }
}

fn classes(raw: &BTreeMap<String, Value>) -> anyhow::Result<BTreeMap<Class, Points>> {
    let checked = raw.iter().map(|(word, value)| {
        let class = Class::from_word(word).with_context(|| {
            let known = Class::ALL.map(Class::as_str).join(", ");
            format!("found points.classes.{word:?}, expected one of {known}")
        })?;
        let points = of_class(value).with_context(|| format!("points.classes.{class}"))?;
        Ok((class, points))
    });
    checked.collect()
}

/// What a flaw of one class costs.
fn of_class(value: &Value) -> anyhow::Result<Points> {
    let by_size = |steps: Steps| Points::Size {
        along: steps.clone(),
        across: steps,
    };
    match value {
        Value::Integer(all) => {
            let all = points("points", *all)?;
            Ok(by_size(Steps(vec![(UpTo::Any, all)])))
        }
        Value::Array(_) => {
            let raw: Vec<RawStep> = value.clone().try_into()?;
            Ok(by_size(steps("steps", &raw)?))
        }
        Value::Table(_) => by_severity("severity", &value.clone().try_into()?),
        Value::String(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => bail!(
            "found {}, expected points, steps such as [{{ up_to = \"25 mm\", points = 2 }}, {{ points = 4 }}], or {{ minor = 1, moderate = 2, major = 3, severe = 4 }}",
            value.type_str()
        ),
    }
}

fn steps(key: &str, raw: &[RawStep]) -> anyhow::Result<Steps> {
    let n = raw.len();
    if !(1..=MOST_STEPS).contains(&n) {
        bail!("found {n} steps in {key}, expected 1 to {MOST_STEPS}");
    }
    let mut steps: Vec<(UpTo, u32)> = Vec::new();
    for (nth, step) in (1..).zip(raw) {
        let key = format!("{key}, step {nth}");
        let up_to = match step.up_to.as_deref() {
            None => UpTo::Any,
            Some("half width") => UpTo::HalfWidth,
            Some("full width") => UpTo::FullWidth,
            Some(text) => UpTo::Length(um_of(text).with_context(|| {
                format!("{key}: up_to, which may also be \"half width\" or \"full width\"")
            })?),
        };
        if (up_to == UpTo::Any) != (nth == n) {
            bail!(
                "found {key} {}, expected it in all steps but the last, which has none",
                if nth == n {
                    "with up_to"
                } else {
                    "without up_to"
                }
            );
        }
        let points = points(&key, step.points)?;
        if let Some((before, fewer)) = steps.last() {
            if *before >= up_to {
                bail!("found {key} no longer than the one before, expected them to grow");
            }
            if *fewer > points {
                bail!("found {key} with {points} points after {fewer}, expected no fewer");
            }
        }
        steps.push((up_to, points));
    }
    Ok(Steps(steps))
}

fn by_severity(key: &str, raw: &RawSeverity) -> anyhow::Result<Points> {
    let all = [raw.minor, raw.moderate, raw.major, raw.severe];
    if !all.is_sorted() {
        bail!("found {key} = {all:?} from minor to severe, expected no fewer for a graver flaw");
    }
    let mut by = [0; Severity::ALL.len()];
    for (points_of, (raw, severity)) in by.iter_mut().zip(all.iter().zip(Severity::ALL)) {
        *points_of = points(&format!("{key}.{severity}"), *raw)?;
    }
    Ok(Points::Severity(by))
}

fn qualities(raw: &[RawQuality], otherwise: &str) -> anyhow::Result<Vec<Quality>> {
    let n = raw.len();
    if !(1..=MOST_QUALITIES).contains(&n) {
        bail!("found {n} [[quality]] sections, expected 1 to {MOST_QUALITIES}");
    }
    let mut names = BTreeSet::from([otherwise.to_owned()]);
    let mut qualities: Vec<Quality> = Vec::new();
    for (nth, raw) in (1..).zip(raw) {
        let key = format!("quality {nth}");
        let name = word(&format!("{key}: name"), &raw.name)?;
        if !names.insert(name.clone()) {
            bail!("found {key}: name = {name:?} twice, \"otherwise\" counted, expected each once");
        }
        let limits = limits(&key, raw)?;
        for limit in &limits {
            let better = qualities.iter().flat_map(|quality| &quality.limits);
            let stricter = better.filter(|better| better.rate == limit.rate);
            if let Some(better) = stricter.max_by_key(|better| better.most_milli)
                && better.most_milli > limit.most_milli
            {
                bail!(
                    "found {key} with at most {} points {}, and a better one with {}, expected the best first",
                    limit.most(),
                    limit.rate.as_str(),
                    better.most()
                );
            }
        }
        qualities.push(Quality { name, limits });
    }
    Ok(qualities)
}

fn limits(key: &str, raw: &RawQuality) -> anyhow::Result<Vec<Limit>> {
    let given = [
        ("per_100_m2", Rate::Per100M2, raw.per_100_m2),
        ("per_100_yd2", Rate::Per100Yd2, raw.per_100_yd2),
        ("per_100_m", Rate::Per100M, raw.per_100_m),
        ("per_100_yd", Rate::Per100Yd, raw.per_100_yd),
        ("roll", Rate::Roll, raw.roll),
    ];
    let mut limits = Vec::new();
    for (name, rate, most) in given {
        let Some(most) = most else { continue };
        let milli = (most * 1e3).round();
        let is_exact = (most * 1e3 - milli).abs() < 1e-6;
        if !LIMITS.contains(&most) || !is_exact {
            bail!(
                "found {key}: {name} = {most}, expected {} to {} points, in thousandths at the finest",
                LIMITS.start(),
                LIMITS.end()
            );
        }
        limits.push(Limit {
            rate,
            most_milli: milli as i64,
        });
    }
    if limits.is_empty() {
        let names = given.map(|(name, ..)| name).join(", ");
        bail!("found {key} without a limit, expected at least one of {names}");
    }
    Ok(limits)
}

fn length(key: &str, text: Option<&str>) -> anyhow::Result<Option<i64>> {
    text.map(|text| um_of(text).with_context(|| key.to_owned()))
        .transpose()
}

fn optional(key: &str, found: Option<i64>) -> anyhow::Result<Option<u32>> {
    found.map(|found| points(key, found)).transpose()
}

fn points(key: &str, found: i64) -> anyhow::Result<u32> {
    match u32::try_from(found) {
        Ok(points) if found <= MOST_POINTS => Ok(points),
        Ok(_) | Err(_) => bail!("found {key} = {found}, expected 0 to {MOST_POINTS} points"),
    }
}

/// Text that people will read in a table.
fn word(key: &str, text: &str) -> anyhow::Result<String> {
    let name = Name::new(text).with_context(|| key.to_owned())?;
    Ok(name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_are_not_whole_are_refused_with_key_and_expectation() {
        let text = include_str!("../../rules/four-point.toml");
        for (from, to, said) in [
            (
                "width = ",
                "widht = ",
                "unknown field `widht`, expected one of",
            ),
            (
                "running = 4",
                "runing = 4",
                "unknown field `runing`, expected one of",
            ),
            (
                "per_100_m2 = 24",
                "per_100_m3 = 24",
                "unknown field `per_100_m3`",
            ),
            (
                "points = 1 }",
                "points = 1, to = 3 }",
                "unknown field `to`, expected `up_to` or `points`",
            ),
            ("version = \"1\"", "version = 1", "expected a string"),
            (
                "per = \"metre\"",
                "per = \"foot\"",
                "expected `metre` or `yard`",
            ),
            (
                "per_100_m2 = 24",
                "",
                "found quality 1 without a limit, expected at least one of per_100_m2",
            ),
            (
                "per_100_m2 = 24",
                "per_100_m2 = nan",
                "found quality 1: per_100_m2 = NaN, expected 0 to 1000000",
            ),
            (
                "per_100_m2 = 24",
                "per_100_m2 = -1",
                "per_100_m2 = -1, expected 0",
            ),
            ("per_100_m2 = 24", "per_100_m2 = 0.0001", "thousandths"),
            ("\"75 mm\"", "\"75\"", "points.along, step 1: up_to"),
            (
                "\"75 mm\"",
                "\"75 feet\"",
                "expected a length such as \"75 mm\"",
            ),
            (
                "\"75 mm\"",
                "\"-75 mm\"",
                "expected a length such as \"75 mm\"",
            ),
            (
                "\"75 mm\"",
                "\"150 mm\"",
                "found points.along, step 2 no longer than the one before",
            ),
            ("    { up_to = \"75 mm\", points = 1 },", "", "found 0"),
            (
                "points = 1 }",
                "points = 3 }",
                "found points.along, step 2 with 2 points after 3, expected no fewer",
            ),
            (
                "    { points = 4 },",
                "",
                "found points.along, step 3 with up_to, expected it in all steps but the last",
            ),
            (
                "hole = 4",
                "hole = -4",
                "points.classes.hole: found points = -4, expected 0 to 1000 points",
            ),
            (
                "hole = 4",
                "hole = 1001",
                "found points = 1001, expected 0 to 1000",
            ),
            (
                "hole = 4",
                "hole = \"4\"",
                "points.classes.hole: found string, expected points, steps such as",
            ),
            ("hole = 4", "hole = 4.5", "points.classes.hole: found float"),
            ("hole = 4", "hole = { minor = 1 }", "missing field"),
            (
                "hole = 4",
                "hole = { minor = 2, moderate = 1, major = 3, severe = 4 }",
                "expected no fewer for a graver flaw",
            ),
            (
                "hole = 4",
                "hoel = 4",
                "found points.classes.\"hoel\", expected one of end_out, ",
            ),
            (
                "running = 4",
                "severity = { minor = 1, moderate = 2, major = 3, severe = 4 }",
                "found points by along and across and severity",
            ),
            (
                "most_points = 4 ",
                "most_points = 0 ",
                "found most_points = 0, expected 1 to 1000, or no cap",
            ),
            (
                "most_points = 4 ",
                "most_points = 99999999999 ",
                "found most_points = 99999999999",
            ),
            (
                "most_points = 4 ",
                "most_points_grow_from = \"2 m\" ",
                "most_points_grow_from without most_points",
            ),
            (
                "width = \"actual\"",
                "width = \"broad\"",
                "width, which may also be \"actual\"",
            ),
            (
                "otherwise = \"second\"",
                "otherwise = \"first\"",
                "expected each once",
            ),
            (
                "name = \"four-point\"",
                "name = \"a\\u001b[2J\"",
                "no control or invisible characters",
            ),
            ("name = \"four-point\"", "", "missing field `name`"),
            ("name = \"four-point\"", "name = ", "TOML parse error"),
            (
                "per_100_m2 = 24",
                "per_100_m2 = 24\n[[quality]]\nname = \"x\"\nper_100_m2 = 20",
                "found quality 2 with at most 20 points per 100 m², and a better one with 24, expected the best first",
            ),
        ] {
            assert!(text.contains(from), "{from:?}");
            let refused = match said {
                "found 0" => {
                    let lines = text.lines().filter(|line| !line.starts_with("    {"));
                    format!(
                        "{:#}",
                        Rules::parse(&lines.collect::<Vec<_>>().join("\n")).unwrap_err()
                    )
                }
                _ => match Rules::parse(&text.replacen(from, to, 1)) {
                    Ok(_) => panic!("{to:?} was taken"),
                    Err(error) => format!("{error:#}"),
                },
            };
            assert!(refused.contains(said), "{to:?}: {refused}");
        }
    }
}
