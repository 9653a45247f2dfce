//! A run's flaws in pages, each with the verdict that stands.
//!
//! Pages go on after a flaw, not after a number: what is judged meanwhile moves no flaw from one page to the
//! next. In cloth order a page is read off an index; the worst first, the flaws of the one run are sorted.

use crate::database::{Conditions, Row};
use crate::look::Flaw;
use crate::names::{FlawId, RunId};
use crate::page::{Page, is_nobody_s, page_length};
use crate::verdicts::{Decision, decision};
use crate::{Store, StoreError, rows};

/// Which flaws; what is left out is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlawsFilter {
    /// Of this class, as it stands after verdicts.
    pub class: Option<String>,
    /// Of this severity.
    pub severity: Option<String>,
    /// With such a verdict.
    pub verdict: Option<VerdictFilter>,
}

/// With which verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictFilter {
    /// With none that stands.
    Missing,
    /// With any.
    Given,
    /// Confirmed.
    Confirmed,
    /// Rejected.
    Rejected,
    /// Of another class than it was found in.
    Reclassified,
}

impl VerdictFilter {
    fn condition(self) -> &'static str {
        match self {
            VerdictFilter::Missing => "verdicts.flaw IS NULL",
            VerdictFilter::Given => "verdicts.flaw IS NOT NULL",
            VerdictFilter::Confirmed => "verdicts.decision = 'confirmed'",
            VerdictFilter::Rejected => "verdicts.decision = 'rejected'",
            VerdictFilter::Reclassified => "verdicts.decision = 'reclassified'",
        }
    }
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawsOrder<'a> {
    /// As the cloth runs: by where they begin, then from the left.
    Along,
    /// The gravest first, and of one severity the largest score.
    WorstFirst {
        /// The pipeline's words of severity, the mildest first; other words count as graver.
        mildest_first: &'a [String],
    },
}

/// A flaw with the verdict that stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedFlaw {
    /// The flaw, as the line wrote it.
    pub flaw: Flaw,
    /// What a person decided; none yet, or none that was not taken back.
    pub decision: Option<Decision>,
}

impl JudgedFlaw {
    /// Its class as it stands: what a person said, else what the line did.
    pub fn class(&self) -> &str {
        let told = self.decision.as_ref().and_then(Decision::class);
        told.map_or(&self.flaw.class, |class| class.as_str())
    }
}

const SELECT_JUDGED: &str = "SELECT flaws.along0, flaws.along1, flaws.across0, flaws.across1, \
    flaws.id, flaws.class, flaws.length_um, flaws.area_um2, flaws.score, flaws.severity, \
    flaws.found_at, crops.flaw, verdicts.decision, verdicts.class, flaws.run \
    FROM flaws LEFT JOIN crops ON crops.flaw = flaws.id \
    LEFT JOIN verdicts ON verdicts.flaw = flaws.id AND verdicts.standing = 1";

impl Store {
    /// Flaws of a run that `filter` takes, in pages; `after` is the last flaw of the page before.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when `after` is not there, and the database's; an unknown run has none.
    pub fn flaws_page(
        &self,
        run: RunId,
        filter: &FlawsFilter,
        order: &FlawsOrder<'_>,
        after: Option<FlawId>,
        n_most: u32,
    ) -> Result<Page<JudgedFlaw, FlawId>, StoreError> {
        let n_most = page_length(n_most);
        if [&filter.class, &filter.severity]
            .into_iter()
            .flatten()
            .any(|word| is_nobody_s(word))
        {
            return Ok(Page {
                rows: Vec::new(),
                next: None,
            });
        }
        let behind = after.map(|flaw| self.judged_flaw(flaw)).transpose()?;
        let behind = behind.as_ref().map(|(_, judged)| &judged.flaw);
        let mut such = Conditions::new(SELECT_JUDGED);
        such.and("flaws.run = ", run.as_bytes()[..].into());
        if let Some(class) = &filter.class {
            such.and(
                "COALESCE(verdicts.class, flaws.class) = ",
                class.as_str().into(),
            );
        }
        if let Some(severity) = &filter.severity {
            such.and("flaws.severity = ", severity.as_str().into());
        }
        if let Some(verdict) = filter.verdict {
            such.and_plain(verdict.condition());
        }
        let by = match order {
            FlawsOrder::Along => {
                if let Some(flaw) = behind {
                    let (along, across) = (flaw.rect.along(), flaw.rect.across());
                    // The first two alone are what the index can begin with.
                    such.and("flaws.along0 >= ", along.start.into());
                    such.and_above(
                        "(flaws.along0, flaws.across0, flaws.along1, flaws.across1, flaws.id)",
                        &[
                            along.start.into(),
                            across.start.into(),
                            along.end.into(),
                            across.end.into(),
                            flaw.id.as_bytes()[..].into(),
                        ],
                    );
                }
                "flaws.along0, flaws.across0, flaws.along1, flaws.across1, flaws.id".to_owned()
            }
            FlawsOrder::WorstFirst { mildest_first } => {
                let mut rank = "CASE flaws.severity".to_owned();
                for (nth, word) in mildest_first.iter().enumerate() {
                    let bound = such.bind(word.as_str().into());
                    rank.push_str(&format!(" WHEN {bound} THEN {nth}"));
                }
                rank = match mildest_first.len() {
                    0 => "CAST(0 AS BIGINT)".to_owned(),
                    n => format!("{rank} ELSE {n} END"),
                };
                if let Some(flaw) = behind {
                    let known = mildest_first.iter().position(|word| *word == flaw.severity);
                    let at = known.unwrap_or(mildest_first.len());
                    let score = such.bind(flaw.score.into());
                    let id = such.bind(flaw.id.as_bytes()[..].into());
                    such.and_plain(&format!(
                        "({rank} < {at} OR ({rank} = {at} AND (flaws.score < {score} \
                         OR (flaws.score = {score} AND flaws.id > {id}))))"
                    ));
                }
                format!("{rank} DESC, flaws.score DESC, flaws.id")
            }
        };
        such.end(&format!(" ORDER BY {by} LIMIT "), (n_most + 1).into());
        let found = self.database.query(such.sql(), such.values())?;
        let found = found.iter().map(judged).collect::<Result<_, _>>()?;
        Ok(Page::of(found, n_most as usize, |judged: &JudgedFlaw| {
            judged.flaw.id
        }))
    }

    /// One flaw with the verdict that stands, and the run that found it; [`Store::verdicts`] has its history.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when there is none.
    pub fn judged_flaw(&self, flaw: FlawId) -> Result<(RunId, JudgedFlaw), StoreError> {
        let sql = format!("{SELECT_JUDGED} WHERE flaws.id = $1");
        let found = self.database.query(&sql, &[flaw.as_bytes()[..].into()])?;
        let Some(row) = found.first() else {
            let key = flaw.to_string();
            return Err(crate::articles::unknown(&*self.database, "flaw", &key));
        };
        Ok((RunId::from_uuid(row.uuid(14)?), judged(row)?))
    }
}

fn judged(row: &Row) -> Result<JudgedFlaw, StoreError> {
    Ok(JudgedFlaw {
        flaw: rows::flaw(row)?,
        decision: row.optional(12, decision)?,
    })
}
