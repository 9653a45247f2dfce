//! How things go: flaws, cloth that was looked at, and how many flaws were false alarms, by article, class,
//! station or week.
//!
//! Each roll counts by its latest run, as in the list of rolls, so that cloth that was inspected twice counts once. The
//! class is the one in which the line found a flaw: the rate says how often the line was wrong, not what
//! people made of it. Weeks are ISO weeks in UTC, by when a run was begun.

use std::collections::{BTreeMap, HashMap};

use time::OffsetDateTime;

use crate::database::Conditions;
use crate::names::RunId;
use crate::rolls::IS_LATEST;
use crate::{Store, StoreError, rows};

/// By what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrendBy {
    /// By article.
    Article,
    /// By the class in which flaws were found; each has all cloth that was inspected.
    Class,
    /// By station; "" where none was named.
    Station,
    /// By ISO week, such as `2026-W48`.
    Week,
}

/// How it went with one article, class, station or in one week.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trend {
    /// Which.
    pub key: String,
    /// Rolls.
    pub n_rolls: i64,
    /// Cloth that was looked at, square micrometres.
    pub inspected_um2: i64,
    /// Flaws that the line found.
    pub n_flaws: i64,
    /// Those of them with a verdict that stands.
    pub n_reviewed: i64,
    /// Those of them that are none.
    pub n_rejected: i64,
}

impl Trend {
    /// Share of the flaws with a verdict that were rejected; none before there is a verdict.
    pub fn false_alarm_rate(&self) -> Option<f64> {
        (self.n_reviewed > 0).then(|| self.n_rejected as f64 / self.n_reviewed as f64)
    }

    fn add(&mut self, other: &Trend) {
        self.n_rolls += other.n_rolls;
        self.inspected_um2 = self.inspected_um2.saturating_add(other.inspected_um2);
        self.n_flaws += other.n_flaws;
        self.n_reviewed += other.n_reviewed;
        self.n_rejected += other.n_rejected;
    }
}

impl Store {
    /// How it went with rolls whose latest run was begun from `from_us` on and before `to_us`, microseconds since 1970
    /// UTC; in order of the key.
    ///
    /// # Errors
    /// The database's only.
    pub fn trends(
        &self,
        by: TrendBy,
        from_us: Option<i64>,
        to_us: Option<i64>,
    ) -> Result<Vec<Trend>, StoreError> {
        let within = |select: &str| {
            let mut such = Conditions::new(select);
            such.and_plain(IS_LATEST);
            if let Some(from) = from_us {
                such.and("runs.started_at >= ", from.into());
            }
            if let Some(to) = to_us {
                such.and("runs.started_at < ", to.into());
            }
            such
        };
        let ask = |such: &Conditions<'_>, tail: &str| {
            self.database
                .query(&format!("{}{tail}", such.sql()), such.values())
        };
        let mut keys: HashMap<RunId, String> = HashMap::new();
        let mut found: BTreeMap<String, Trend> = BTreeMap::new();
        let mut cloth = Trend::default();
        let mut add = |key: &str, more: &Trend| found.entry(key.to_owned()).or_default().add(more);

        let select = "SELECT runs.id, articles.name, stations.name, runs.started_at, \
            (SELECT CAST(COALESCE(SUM((along1 - along0) * (across1 - across0)), 0) AS BIGINT) \
             FROM coverage WHERE coverage.run = runs.id AND coverage.state = 'inspected') \
            FROM runs JOIN rolls ON rolls.id = runs.roll JOIN articles ON articles.id = rolls.article \
            LEFT JOIN stations ON stations.id = runs.station";
        for row in ask(&within(select), "")? {
            let roll = Trend {
                n_rolls: 1,
                inspected_um2: row.int(4)?,
                ..Trend::default()
            };
            let key = match by {
                TrendBy::Article => rows::text(&row, 1)?,
                TrendBy::Station => row.optional(2, rows::text)?.unwrap_or_default(),
                TrendBy::Week => week(row.int(3)?),
                TrendBy::Class => {
                    cloth.add(&roll);
                    continue;
                }
            };
            add(&key, &roll);
            keys.insert(RunId::from_uuid(row.uuid(0)?), key);
        }
        let select =
            "SELECT runs.id, flaws.class, COUNT(*) FROM runs JOIN flaws ON flaws.run = runs.id";
        for row in ask(&within(select), " GROUP BY runs.id, flaws.class")? {
            let flaws = Trend {
                n_flaws: row.int(2)?,
                ..Trend::default()
            };
            let run = RunId::from_uuid(row.uuid(0)?);
            match keys.get(&run) {
                Some(key) => add(key, &flaws),
                // A run that was begun between two queries is told the next time.
                None if by == TrendBy::Class => add(row.text(1)?, &flaws),
                None => {}
            }
        }
        let select = "SELECT runs.id, verdicts.found_class, verdicts.decision, COUNT(*) FROM runs \
            JOIN verdicts ON verdicts.run = runs.id AND verdicts.standing = 1";
        let tail = " GROUP BY runs.id, verdicts.found_class, verdicts.decision";
        for row in ask(&within(select), tail)? {
            let n = row.int(3)?;
            let reviewed = Trend {
                n_reviewed: n,
                n_rejected: if row.text(2)? == "rejected" { n } else { 0 },
                ..Trend::default()
            };
            let run = RunId::from_uuid(row.uuid(0)?);
            match keys.get(&run) {
                Some(key) => add(key, &reviewed),
                None if by == TrendBy::Class => add(row.text(1)?, &reviewed),
                None => {}
            }
        }
        let told = found.into_iter().map(|(key, mut trend)| {
            trend.add(&cloth);
            Trend { key, ..trend }
        });
        Ok(told.collect())
    }
}

/// The ISO week of a time in UTC.
fn week(at_us: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at_us.div_euclid(1_000_000));
    let (year, week, _) = at.unwrap_or(OffsetDateTime::UNIX_EPOCH).to_iso_week_date();
    format!("{year}-W{week:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_belongs_to_the_year_of_its_thursday() {
        let day = 86_400_000_000;
        assert_eq!(week(0), "1970-W01");
        assert_eq!(week(3 * day), "1970-W01");
        assert_eq!(week(4 * day), "1970-W02");
        assert_eq!(week(-4 * day), "1969-W52");
        assert_eq!(week(-1), "1970-W01");
    }
}
