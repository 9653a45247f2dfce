//! Flaws together with what people have said of them.

use std::cmp::Ordering;

use serde::Deserialize;
use store::{Decision, Flaw, FlawId, FlawsFilter, FlawsOrder, JudgedFlaw, RunId, Store};

use super::map::Mark;
use super::refusal::Refusal;
use super::roll::FlawRow;
use super::units::Units;
use super::words::{plain, said_of};

/// Flaws that are asked for at once.
const PAGE: u32 = 5000;

/// In which order flaws are walked through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    /// The gravest first.
    #[default]
    Worst,
    /// From the roll's beginning on.
    Along,
}

impl Order {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Worst => "worst",
            Self::Along => "along",
        }
    }
}

/// A flaw and what counts of the verdicts on it.
#[derive(Clone, Debug)]
pub(super) struct Reviewed {
    pub(super) flaw: Flaw,
    /// `open`, or what was decided last and not taken back.
    pub(super) state: &'static str,
    /// Its class, by a person where one has said so.
    pub(super) class: String,
    /// What was decided, for people; empty while nobody has.
    pub(super) verdict: String,
}

impl Reviewed {
    pub(super) fn id(&self) -> FlawId {
        self.flaw.id
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            id: self.flaw.id,
            rect: self.flaw.rect,
            class: plain(&self.class),
            severity: self.flaw.severity.clone(),
            verdict: Some(self.verdict.clone()).filter(|verdict| !verdict.is_empty()),
        }
    }

    pub(super) fn row(&self, units: Units) -> FlawRow {
        FlawRow {
            id: self.flaw.id,
            class: plain(&self.class),
            severity: self.flaw.severity.clone(),
            place: said_of(&self.flaw.rect, units),
            size: units.size(self.flaw.length_um),
            has_crop: self.flaw.has_crop,
            verdict: self.verdict.clone(),
            state: self.state,
        }
    }
}

/// Severities, the mildest first.
pub(super) const MILDEST_FIRST: [&str; 4] = ["minor", "moderate", "major", "severe"];

/// How bad a severity is; a word that is not known here counts as the gravest.
fn weight(severity: &str) -> usize {
    let known = MILDEST_FIRST.iter().position(|word| *word == severity);
    known.unwrap_or(MILDEST_FIRST.len() - 1)
}

/// The gravest first, of those the highest score.
pub(super) fn worst_first(a: &Reviewed, b: &Reviewed) -> Ordering {
    let grave = weight(&b.flaw.severity).cmp(&weight(&a.flaw.severity));
    grave.then(b.flaw.score.total_cmp(&a.flaw.score))
}

/// The flaws of a run along the roll, with what was decided on them.
pub(super) fn flaws_of(store: &Store, run: RunId) -> Result<Vec<Reviewed>, Refusal> {
    let (filter, mut after) = (FlawsFilter::default(), None);
    let mut flaws = Vec::new();
    loop {
        let page = store.flaws_page(run, &filter, &FlawsOrder::Along, after, PAGE)?;
        flaws.extend(page.rows.into_iter().map(reviewed));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(flaws),
        }
    }
}

/// A flaw as it is shown.
pub(super) fn reviewed(judged: JudgedFlaw) -> Reviewed {
    let JudgedFlaw { flaw, decision } = judged;
    let (class, verdict) = match &decision {
        Some(Decision::Reclassified(class)) => (
            class.to_string(),
            format!("reclassified as {}", plain(class.as_str())),
        ),
        Some(decision) => (flaw.class.clone(), decision.as_str().to_owned()),
        None => (flaw.class.clone(), String::new()),
    };
    Reviewed {
        state: decision.as_ref().map_or("open", Decision::as_str),
        class,
        verdict,
        flaw,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use store::Rect;

    use super::*;

    /// A flaw of a class that begins at the first of `along` mm and is the second long; the same across.
    pub(in super::super) fn flaw(class: &str, along: [i64; 2], across: [i64; 2]) -> Reviewed {
        let um = |[start, length]: [i64; 2]| start * 1000..(start + length) * 1000;
        let id = format!(
            "01890a5d-ac96-774b-{:04x}-{:012x}",
            across[0] % 65_536,
            along[0]
        );
        let rect = Rect::new(um(along), um(across)).unwrap();
        reviewed(JudgedFlaw {
            flaw: Flaw {
                id: id.parse().unwrap(),
                class: class.to_owned(),
                length_um: along[1] * 1000,
                area_um2: rect.area_um2(),
                rect,
                score: 2.0,
                severity: "major".to_owned(),
                found_at_us: 0,
                has_crop: true,
            },
            decision: None,
        })
    }

    #[test]
    fn the_gravest_is_first_and_a_word_that_is_not_known_is_grave() {
        let of = |severity: &str, score: f64| {
            let mut reviewed = flaw("hole", [0, 1], [0, 1]);
            severity.clone_into(&mut reviewed.flaw.severity);
            reviewed.flaw.score = score;
            reviewed
        };
        let mut flaws = [
            of("minor", 9.0),
            of("major", 2.0),
            of("dire", 1.5),
            of("severe", 3.0),
        ];
        flaws.sort_by(worst_first);
        let words: Vec<&str> = flaws
            .iter()
            .map(|each| each.flaw.severity.as_str())
            .collect();
        assert_eq!(words, ["severe", "dire", "major", "minor"]);
    }
}
