//! What was found over time: how many flaws an area, and how many of them were none.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use store::{Trend, TrendBy};

use super::refusal::Refusal;
use super::rolls::days_us;
use super::units::Units;
use super::{Asker, Frame, Qc, html};

/// Area to which flaws are counted, µm².
const PER_UM2: f64 = 100e12;
/// The same in inches and yards: 100 square yards.
const PER_YD2_UM2: f64 = 100.0 * 914_400.0 * 914_400.0;

#[derive(Template)]
#[template(path = "trends.html")]
struct Page {
    frame: Frame,
    asked: Asked,
    per: &'static str,
    rows: Vec<Row>,
}

struct Row {
    key: String,
    n_rolls: i64,
    area: String,
    n_flaws: i64,
    rate: String,
    /// Length of its bar, of 100.
    bar: u32,
    reviewed: String,
    false_alarms: String,
}

/// By what, and from when to when.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    by: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

impl Asked {
    fn by(&self) -> Result<TrendBy, Refusal> {
        match self.by.as_str() {
            "" | "week" => Ok(TrendBy::Week),
            "article" => Ok(TrendBy::Article),
            "class" => Ok(TrendBy::Class),
            "station" => Ok(TrendBy::Station),
            _ => Err(Refusal::Wrong(
                "expected week, article, class or station".to_owned(),
            )),
        }
    }
}

/// The page.
pub(super) async fn page(
    State(qc): State<Qc>,
    asker: Asker,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, Refusal> {
    let by = asked.by()?;
    let (from, to) = days_us(&asked.from, &asked.to)?;
    let found = qc
        .stores()
        .look(move |store| Ok(store.trends(by, from, to)?))
        .await?;
    html(&Page {
        frame: asker.frame(&qc),
        per: match asker.units {
            Units::Metric => "per 100 m²",
            Units::Inch => "per 100 yd²",
        },
        rows: rows(&found, asker.units),
        asked,
    })
}

fn rows(found: &[Trend], units: Units) -> Vec<Row> {
    let per = match units {
        Units::Metric => PER_UM2,
        Units::Inch => PER_YD2_UM2,
    };
    let rate = |trend: &Trend| {
        let area = trend.inspected_um2 as f64;
        (area > 0.0).then(|| trend.n_flaws as f64 * per / area)
    };
    let most = found.iter().filter_map(rate).fold(0.0, f64::max);
    let row = |trend: &Trend| Row {
        key: trend.key.replace('_', " "),
        n_rolls: trend.n_rolls,
        area: units.area(trend.inspected_um2),
        n_flaws: trend.n_flaws,
        rate: rate(trend).map_or_else(|| "–".to_owned(), |rate| format!("{rate:.2}")),
        bar: rate(trend).map_or(0, |rate| (rate / most.max(1e-9) * 100.0).round() as u32),
        reviewed: share(trend.n_reviewed, trend.n_flaws),
        false_alarms: share(trend.n_rejected, trend.n_reviewed),
    };
    found.iter().map(row).collect()
}

/// A share with what it is a share of: one of three flaws says little.
fn share(part: i64, of: i64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    format!("{:.0} % of {of}", part as f64 / of as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaws_are_counted_to_an_area_and_nothing_is_said_of_none() {
        let of = |key: &str, inspected_um2, n_flaws| Trend {
            key: key.to_owned(),
            n_rolls: 3,
            inspected_um2,
            n_flaws,
            n_reviewed: 4,
            n_rejected: 1,
        };
        let found = [of("2026-W48", 50_000_000_000_000, 4), of("2026-W49", 0, 0)];
        let told = rows(&found, Units::Metric);
        assert_eq!((told[0].rate.as_str(), told[0].bar), ("8.00", 100));
        assert_eq!(told[0].false_alarms, "25 % of 4");
        assert_eq!((told[1].rate.as_str(), told[1].bar), ("–", 0));
        assert_eq!(told[1].reviewed, "–");
        assert_eq!(rows(&found, Units::Inch)[0].rate, "6.69");
    }
}
