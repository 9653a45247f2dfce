//! The list of rolls: what needs a person first.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use store::{Name, RollRow, RollsFilter, RollsOrder, RollsPlace, RunId, RunState};
use time::macros::format_description;
use time::{Date, Time};

use super::refusal::Refusal;
use super::units::{Units, moment};
use super::{Asker, Frame, Qc, html, in_query};

/// Rolls of one page.
const ROLLS: u32 = 50;
/// Longest part of a number that is looked for.
const LONGEST_PART: usize = 100;

#[derive(Template)]
#[template(path = "rolls.html")]
struct Page {
    frame: Frame,
    asked: Asked,
    articles: Vec<String>,
    rolls: Vec<Row>,
    next: Option<String>,
}

struct Row {
    run: RunId,
    number: String,
    article: String,
    started: String,
    state: &'static str,
    length: String,
    n_flaws: i64,
    n_severe: i64,
    n_unreviewed: i64,
    has_gap: bool,
    gap: String,
    needs_person: bool,
}

/// What is asked for; a field that is empty asks for nothing.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) roll: String,
    #[serde(default)]
    pub(super) article: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) from: String,
    #[serde(default)]
    pub(super) to: String,
    #[serde(default)]
    pub(super) order: String,
    #[serde(default)]
    pub(super) after: String,
}

impl Asked {
    pub(super) fn filter(&self) -> Result<RollsFilter, Refusal> {
        let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let number_part = said(&self.roll);
        if number_part
            .as_ref()
            .is_some_and(|part| part.chars().count() > LONGEST_PART)
        {
            return Err(Refusal::Wrong(format!(
                "expected at most {LONGEST_PART} characters of a roll's number"
            )));
        }
        let state = match self.state.as_str() {
            "" => None,
            "running" => Some(RunState::Running),
            "done" => Some(RunState::Done),
            "aborted" => Some(RunState::Aborted),
            _ => {
                return Err(Refusal::Wrong(
                    "expected running, done or aborted".to_owned(),
                ));
            }
        };
        let (from_us, to_us) = days_us(&self.from, &self.to)?;
        Ok(RollsFilter {
            number_part,
            article: said(&self.article)
                .map(|name| Name::new(&name))
                .transpose()?,
            state,
            from_us,
            to_us,
        })
    }

    fn order(&self) -> RollsOrder {
        match self.order.as_str() {
            "latest" => RollsOrder::Latest,
            _ => RollsOrder::NeedsFirst,
        }
    }

    fn link_after(&self, place: &RollsPlace) -> String {
        let Self {
            roll,
            article,
            state,
            from,
            to,
            order,
            ..
        } = self;
        let after = place.to_string();
        let pairs = [
            ("roll", roll),
            ("article", article),
            ("state", state),
            ("from", from),
            ("to", to),
            ("order", order),
            ("after", &after),
        ];
        let said = pairs.iter().filter(|(_, value)| !value.is_empty());
        let said: Vec<String> = said
            .map(|(name, value)| format!("{name}={}", in_query(value)))
            .collect();
        format!("/rolls?{}", said.join("&"))
    }
}

/// The page.
pub(super) async fn page(
    State(qc): State<Qc>,
    asker: Asker,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, Refusal> {
    let frame = asker.frame(&qc);
    let filter = asked.filter()?;
    let order = asked.order();
    let after = Some(asked.after.as_str()).filter(|after| !after.is_empty());
    let after: Option<RollsPlace> = after.map(str::parse).transpose()?;
    let (found, articles) = qc
        .stores()
        .look(move |store| {
            let found = store.rolls_page(&filter, order, after.as_ref(), ROLLS)?;
            let articles = store.articles()?;
            Ok((found, articles))
        })
        .await?;
    let articles = articles.iter().map(|article| article.name.to_string());
    html(&Page {
        frame,
        articles: articles.collect(),
        rolls: found
            .rows
            .iter()
            .map(|row| Row::of(row, asker.units))
            .collect(),
        next: found.next.map(|place| asked.link_after(&place)),
        asked,
    })
}

impl Row {
    fn of(roll: &RollRow, units: Units) -> Self {
        let gap_um2 = roll
            .gaps_um2
            .values()
            .fold(0_i64, |sum, gap| sum.saturating_add(*gap));
        let length = roll.length_um.map(|length| units.along(length));
        Self {
            run: roll.run,
            number: roll.number.to_string(),
            article: roll.article.to_string(),
            started: moment(roll.started_at_us),
            state: roll.state.as_str(),
            length: length.unwrap_or_else(|| "…".to_owned()),
            n_flaws: roll.counts.n_flaws,
            n_severe: roll.counts.by_severity.get("severe").copied().unwrap_or(0),
            n_unreviewed: roll.counts.n_unreviewed,
            has_gap: gap_um2 > 0,
            gap: units.area(gap_um2),
            needs_person: roll.counts.n_unreviewed > 0,
        }
    }
}

/// Length of a day.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// From when until when, for two days as browsers write them; the last one is asked for whole, and one that is empty
/// asks for nothing.
pub(super) fn days_us(from: &str, to: &str) -> Result<(Option<i64>, Option<i64>), Refusal> {
    let day = |text: &str| {
        let said = Some(text.trim()).filter(|text| !text.is_empty());
        said.map(day_us).transpose()
    };
    Ok((day(from)?, day(to)?.map(|us| us.saturating_add(DAY_US))))
}

/// The first moment of a day in UTC, as browsers write it.
fn day_us(day: &str) -> Result<i64, Refusal> {
    let format = format_description!("[year]-[month]-[day]");
    let date = Date::parse(day, &format)
        .map_err(|_| Refusal::Wrong("expected a day such as 2026-11-28".to_owned()))?;
    let seconds = date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp();
    Ok(seconds.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_asked_for_whole() {
        let asked = Asked {
            from: "2026-11-28".to_owned(),
            to: "2026-11-28".to_owned(),
            ..Asked::default()
        };
        let filter = asked.filter().unwrap();
        assert_eq!(moment(filter.from_us.unwrap()), "2026-11-28 00:00:00");
        assert_eq!(moment(filter.to_us.unwrap()), "2026-11-29 00:00:00");
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        let long = "9".repeat(101);
        for (field, value) in [
            ("from", "yesterday"),
            ("to", "2026-13-01"),
            ("state", "<script>"),
            ("roll", long.as_str()),
            ("article", long.as_str()),
        ] {
            let mut asked = Asked::default();
            let place = match field {
                "from" => &mut asked.from,
                "to" => &mut asked.to,
                "state" => &mut asked.state,
                "roll" => &mut asked.roll,
                _ => &mut asked.article,
            };
            value.clone_into(place);
            assert!(matches!(asked.filter(), Err(Refusal::Wrong(_))), "{field}");
        }
    }
}
