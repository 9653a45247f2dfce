//! Grading: what a roll is worth under a buyer's rules.
//!
//! ```text
//! flaws, ledger ─▶ InspectedRoll ─┬▶ grade(rules A) ─▶ points of each flaw ─▶ of each metre, capped ─▶ quality
//!                                 └▶ grade(rules B) ─▶ …
//! ```
//!
//! Pure functions: nothing is read or written, and a roll is graded again under other rules without being
//! looked at again. Points and lengths are whole numbers (µm), and limits are compared without rounding. A
//! flaw that runs costs points for each unit of length begun, counted from where it begins; every other one
//! costs its points once, in the metre (or yard) in which it begins. So points depend on no order of
//! flaws, and one more flaw never makes them fewer.
//!
//! What was not looked at has no points. A roll with gaps, or one whose run did not come to its end, is
//! therefore never first quality by itself: its grade says [`Grade::withheld`], and only a person's signed
//! decision stands above that ([`Grade::signed`], which the caller finds in the store). Verdicts are heeded by whoever
//! makes an [`InspectedRoll`].
//! A sewn seam is a gap as well, but one of which is known what it costs: it is counted once, as a flaw of
//! class `seam` from edge to edge.

mod length;
mod raw;
mod rules;
mod width;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;

use std::ops::Range;

use anyhow::bail;
use store::{CoverState, CoverageCell, Rect};

use self::width::Widths;
use crate::classes::{Class, Severity};
use crate::repeats::{Repeats, Spot};
use crate::seams::APART;
use crate::tiles::GapReason;

pub use self::length::{INCH_UM, METRE_UM, YARD_UM};
pub use self::rules::{Limit, Narrow, Points, Quality, Rate, Rules, Steps, Unit, UpTo, Width};

/// Longest roll that is graded, in µm: 100 km. What is longer was not measured by a working encoder.
const MOST_LENGTH_UM: i64 = 100_000 * METRE_UM;
/// Nothing lies farther from a station's datum, in µm, so that sums stay far below `i64`.
const FARTHEST_UM: u64 = 1_000_000_000_000_000;
/// Share of the cloth's width from which a flaw reaches from edge to edge: the model does not flag
/// the last cells at a selvedge.
const FULL_WIDTH_PERCENT: i64 = 95;
/// Metres that are named as the worst.
const N_WORST: usize = 5;

/// What grading needs of one inspected roll.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectedRoll {
    /// Where it begins, in µm.
    start: i64,
    /// Its length, in µm.
    length: i64,
    /// Its flaws, sorted by place and then by all else, so that grading knows no other order.
    flaws: Vec<GradedFlaw>,
    widths: Widths,
    /// Mean width of the cloth in µm, and whether all of it is known.
    width: (i64, bool),
    missing: Missing,
}

/// A flaw as grading sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GradedFlaw {
    /// Its box on the web.
    pub rect: Rect,
    /// Its class.
    pub class: Class,
    /// Its severity.
    pub severity: Severity,
    /// Its id in the store.
    pub id: String,
}

/// What was not looked at of a roll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many gaps there are, as the roll's report counts them.
    pub n_gaps: usize,
    /// Their area, in µm².
    pub gap_um2: i64,
    /// Why the run did not come to the roll's end, where it did not.
    pub ended_early: Option<String>,
}

/// A roll's grade under one buyer's rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Grade {
    /// Points of the whole roll, each metre capped.
    pub points: u64,
    /// Length of the roll, in µm.
    pub length: i64,
    /// Width by which areas were counted, in µm.
    pub width: i64,
    /// The quality that points and rejections give.
    pub by_points: String,
    /// Whether that is the first quality of the rules.
    pub is_first_by_points: bool,
    /// Why first quality, which the points would give, is not given.
    pub withheld: Option<String>,
    /// The person's signature that gives it all the same, in words; [`grade`] knows of none.
    pub signed: Option<String>,
    /// What led to the quality, a sentence each.
    pub why: Vec<String>,
    /// The metres (or yards) with the most points, the worst first; none without points.
    pub worst: Vec<Stretch>,
    /// Every flaw with its points, in cloth order.
    pub flaws: Vec<FlawPoints>,
}

/// One metre or yard of a roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From and to along the roll, in µm from its start.
    pub along: Range<i64>,
    /// Its points, capped.
    pub points: u64,
    /// What they would be without a cap.
    pub uncapped: u64,
}

/// What a flaw costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlawPoints {
    /// The flaw.
    pub flaw: GradedFlaw,
    /// Its points over its whole length, before metres are capped.
    pub points: u64,
    /// What it was counted by, or why it was not.
    pub by: CountedBy,
}

/// What a flaw's points were counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountedBy {
    /// Its size.
    Size,
    /// Its severity.
    Severity,
    /// What its class costs.
    Class,
    /// That it reaches from edge to edge.
    FullWidth,
    /// The units of length that it runs.
    Running(u64),
    /// Not counted: it lies in the margin of a selvedge.
    EdgeMargin,
    /// Not counted: it lies at an end of the roll.
    EndMargin,
}

/// The grade of a roll under these rules.
pub fn grade(roll: &InspectedRoll, rules: &Rules) -> Grade {
    let width = match rules.width {
        Width::Actual => roll.width.0,
        Width::Standard(agreed) => agreed,
    };
    let unit = rules.per.um();
    let n_units = (roll.length + unit - 1) / unit;
    let mut of_units = vec![0u64; usize::try_from(n_units).unwrap_or(0)];
    let last = of_units.len().saturating_sub(1);
    let mut flaws = Vec::with_capacity(roll.flaws.len());
    for flaw in &roll.flaws {
        let (each, n, by) = cost(roll, rules, flaw);
        let first = (flaw.rect.along().start - roll.start).max(0) / unit;
        let first = usize::try_from(first).map_or(last, |first| first.min(last));
        // What runs beyond the last unit, by the rounding of frames, costs no unit that is not there.
        let ran = usize::try_from(n).map_or(of_units.len(), |n| (first + n).min(of_units.len()));
        for points in &mut of_units[first..ran] {
            *points += each;
        }
        flaws.push(FlawPoints {
            flaw: flaw.clone(),
            points: each * (ran - first) as u64,
            by,
        });
    }
    let mut n_narrow = 0;
    if let Some(narrow) = rules.narrow {
        for (from, points) in (roll.start..).step_by(unit as usize).zip(&mut of_units) {
            let to = (from + unit).min(roll.start + roll.length);
            if roll.widths.is_narrower(&(from..to), narrow.under_um) {
                *points += u64::from(narrow.points);
                n_narrow += 1;
            }
        }
    }
    let cap = cap(rules, width);
    let stretches = (of_units.iter().enumerate()).map(|(nth, uncapped)| {
        let from = nth as i64 * unit;
        Stretch {
            along: from..(from + unit).min(roll.length),
            points: cap.map_or(*uncapped, |cap| cap.min(*uncapped)),
            uncapped: *uncapped,
        }
    });
    let mut worst: Vec<Stretch> = stretches.filter(|stretch| stretch.points > 0).collect();
    let points = worst.iter().map(|stretch| stretch.points).sum();
    worst.sort_by_key(|stretch| std::cmp::Reverse((stretch.points, stretch.uncapped)));
    worst.truncate(N_WORST);

    let mut why = Vec::new();
    let (quality, name) = quality(rules, points, roll.length, width, &mut why);
    let rejections = rejections(rules, &flaws);
    let is_rejected = !rejections.is_empty();
    why.extend(rejections);
    why.extend(uncounted(rules, &flaws));
    if let (Some(narrow), 1..) = (rules.narrow, n_narrow) {
        let (unit, under) = (rules.per.as_str(), mm(narrow.under_um));
        why.push(format!("{n_narrow} {unit}s are narrower than {under} mm"));
    }
    if rules.width == Width::Actual && !roll.width.1 {
        why.push(
            "the width is that of the inspected part: there is a gap at every place".to_owned(),
        );
    }
    let is_first_by_points = quality == Some(0) && !is_rejected;
    Grade {
        points,
        length: roll.length,
        width,
        by_points: if is_rejected { REJECTED } else { name }.to_owned(),
        is_first_by_points,
        withheld: roll.missing.withholds().filter(|_| is_first_by_points),
        signed: None,
        why,
        worst,
        flaws,
    }
}

/// The quality of a roll that has what the rules take in no quality.
const REJECTED: &str = "rejected";

impl InspectedRoll {
    /// A roll of this length (µm) by its ledger and its flaws, in any order.
    ///
    /// # Errors
    /// When nothing was inspected, or no roll is as long.
    pub fn new(
        length: i64,
        coverage: &[CoverageCell],
        mut flaws: Vec<GradedFlaw>,
        missing: Missing,
    ) -> anyhow::Result<Self> {
        if !(1..=MOST_LENGTH_UM).contains(&length) {
            bail!(
                "found a roll of {} m, expected more than 0 and at most 100 km",
                mm(length) / 1e3
            );
        }
        let places =
            (coverage.iter().map(|cell| cell.rect)).chain(flaws.iter().map(|flaw| flaw.rect));
        let ends = |rect: Rect| {
            [
                rect.along().start,
                rect.along().end,
                rect.across().start,
                rect.across().end,
            ]
        };
        if let Some(place) = places
            .flat_map(ends)
            .find(|place| place.unsigned_abs() > FARTHEST_UM)
        {
            bail!(
                "found cloth at {} m, expected it within a million km of the datum",
                mm(place) / 1e3
            );
        }
        let widths = Widths::of(coverage);
        let Some(width) = widths.mean() else {
            bail!("found a roll of which nothing was inspected, expected some cloth to grade");
        };
        flaws.extend(seams(coverage));
        flaws.sort_unstable();
        Ok(Self {
            start: (coverage.iter().map(|cell| cell.rect.along().start))
                .min()
                .unwrap_or(0),
            length,
            flaws,
            widths,
            width,
            missing,
        })
    }
}

impl Missing {
    /// Why first quality cannot be given without a person, if it cannot.
    fn withholds(&self) -> Option<String> {
        let mut whys = Vec::new();
        if self.n_gaps > 0 {
            let gaps = if self.n_gaps == 1 { "gap" } else { "gaps" };
            let m2 = self.gap_um2 as f64 / 1e12;
            whys.push(format!("{} {gaps}, {m2:.4} m² not inspected", self.n_gaps));
        }
        whys.extend(self.ended_early.clone());
        (!whys.is_empty()).then(|| format!("first quality is withheld: {}", whys.join("; ")))
    }
}

impl Grade {
    /// The roll's quality; `None` while first quality is withheld.
    pub fn quality(&self) -> Option<&str> {
        self.is_given().then_some(self.by_points.as_str())
    }

    /// Whether it is first quality, and nothing withholds that or a person signed for it.
    pub fn is_first(&self) -> bool {
        self.is_first_by_points && self.is_given()
    }

    fn is_given(&self) -> bool {
        self.withheld.is_none() || self.signed.is_some()
    }

    /// Its points, counted in one way.
    pub fn rate(&self, rate: Rate) -> f64 {
        rate.of(self.points, self.length, self.width)
    }
}

impl CountedBy {
    /// In words.
    pub fn says(self, unit: Unit) -> String {
        match self {
            Self::Size => "size".to_owned(),
            Self::Severity => "severity".to_owned(),
            Self::Class => "class".to_owned(),
            Self::FullWidth => "full width".to_owned(),
            Self::Running(n) => format!("runs {n} {}s", unit.as_str()),
            Self::EdgeMargin => "not counted: edge margin".to_owned(),
            Self::EndMargin => "not counted: end of the roll".to_owned(),
        }
    }
}

/// The sewn seams of a ledger, a flaw each: gaps of that reason that lie near each other, over all lanes.
fn seams(coverage: &[CoverageCell]) -> Vec<GradedFlaw> {
    let is_seam = |cell: &&CoverageCell| match &cell.state {
        CoverState::Gap(reason) => reason.as_str() == GapReason::Seam.as_str(),
        CoverState::Inspected | CoverState::Beside => false,
    };
    let mut rects: Vec<Rect> = (coverage.iter().filter(is_seam))
        .map(|cell| cell.rect)
        .collect();
    rects.sort_unstable_by_key(|rect| rect.along().start);
    let mut seams: Vec<Rect> = Vec::new();
    for rect in rects {
        let last = seams.last().copied();
        let near = last.filter(|last| rect.along().start <= last.along().end + APART.get());
        match near.and_then(|last| hull(&last, &rect)) {
            Some(both) => {
                seams.pop();
                seams.push(both);
            }
            None => seams.push(rect),
        }
    }
    let flaws = seams.into_iter().map(|rect| GradedFlaw {
        rect,
        class: Class::Seam,
        severity: Severity::Severe,
        id: format!("seam-{}", rect.along().start),
    });
    flaws.collect()
}

/// The rectangle around both; `None` where it is too large to be one.
fn hull(one: &Rect, other: &Rect) -> Option<Rect> {
    let (along, across) = (one.along(), one.across());
    let (others, beside) = (other.along(), other.across());
    let along = along.start.min(others.start)..along.end.max(others.end);
    let across = across.start.min(beside.start)..across.end.max(beside.end);
    Rect::new(along, across).ok()
}

/// What a flaw costs in each of how many units of length.
fn cost(roll: &InspectedRoll, rules: &Rules, flaw: &GradedFlaw) -> (u64, u64, CountedBy) {
    let (along, across) = (flaw.rect.along(), flaw.rect.across());
    let margin = rules.end_margin_um;
    let end = roll.start + roll.length;
    if margin > 0 && (along.end <= roll.start + margin || along.start >= end - margin) {
        return (0, 1, CountedBy::EndMargin);
    }
    let margin = rules.edge_margin_um;
    if margin > 0 && roll.widths.is_near_edge(&along, &across, margin) {
        return (0, 1, CountedBy::EdgeMargin);
    }
    let (long, wide) = (along.end - along.start, across.end - across.start);
    let (points, mut by) = match (rules.classes.get(&flaw.class), &rules.points) {
        (Some(points), _) => (points, CountedBy::Class),
        (None, points @ Points::Size { .. }) => (points, CountedBy::Size),
        (None, points @ Points::Severity(_)) => (points, CountedBy::Severity),
    };
    let (width, _) = roll.width;
    let mut points = points.of(long, wide, flaw.severity, width);
    // A class that costs nothing costs nothing however far it reaches.
    if points == 0 {
        return (0, 1, by);
    }
    let is_full = i128::from(wide) * 100 >= i128::from(width) * i128::from(FULL_WIDTH_PERCENT);
    if let Some(full) = rules.full_width.filter(|full| is_full && *full > points) {
        (points, by) = (full, CountedBy::FullWidth);
    }
    let unit = rules.per.um();
    match rules.running {
        Some(running) if long > unit => {
            let n = (long as u64).div_ceil(unit as u64);
            (points.max(running).into(), n, CountedBy::Running(n))
        }
        Some(_) | None => (points.into(), 1, by),
    }
}

/// Most points of one unit of length on cloth of this width.
fn cap(rules: &Rules, width: i64) -> Option<u64> {
    let most = u64::from(rules.most_points?);
    match rules.cap_grows_from_um {
        Some(from) if width > from => Some(most * width as u64 / from as u64),
        Some(_) | None => Some(most),
    }
}

/// The best quality whose limits are all kept, with its name, and why it is no better one.
fn quality<'r>(
    rules: &'r Rules,
    points: u64,
    length: i64,
    width: i64,
    why: &mut Vec<String>,
) -> (Option<usize>, &'r str) {
    for (nth, quality) in rules.qualities.iter().enumerate() {
        let says = |limit: &Limit| {
            let (found, counted) = (limit.rate.of(points, length, width), limit.rate.as_str());
            (format!("{found:.2} points {counted}"), limit.most())
        };
        let missed = quality
            .limits
            .iter()
            .find(|limit| !limit.is_kept(points, length, width));
        let name = &quality.name;
        if let Some(missed) = missed {
            let (found, most) = says(missed);
            why.push(format!("not {name}: {found}, at most {most} are taken"));
            continue;
        }
        let kept = quality.limits.iter().map(|limit| {
            let (found, most) = says(limit);
            format!("{found}, up to {most} are taken")
        });
        why.push(format!("{name}: {}", kept.collect::<Vec<_>>().join("; ")));
        return (Some(nth), name);
    }
    (None, &rules.otherwise)
}

/// What rejects the roll whatever its points are.
fn rejections(rules: &Rules, flaws: &[FlawPoints]) -> Vec<String> {
    let mut why = Vec::new();
    let counted = || {
        flaws
            .iter()
            .filter(|flaw| flaw.points > 0)
            .map(|flaw| &flaw.flaw)
    };
    if let Some(most) = rules.reject_running_um {
        let length = |flaw: &GradedFlaw| flaw.rect.along().end - flaw.rect.along().start;
        let longest = counted().max_by_key(|flaw| length(flaw));
        if let Some(flaw) = longest.filter(|flaw| length(flaw) > most) {
            why.push(format!(
                "rejected: {} runs {:.2} m from {:.2} m on, more than {} m",
                flaw.class,
                mm(length(flaw)) / 1e3,
                mm(flaw.rect.along().start) / 1e3,
                mm(most) / 1e3
            ));
        }
    }
    if let Some(most) = rules.reject_repeating_um {
        let mut repeats = Repeats::default();
        for flaw in counted() {
            let (along, across) = (flaw.rect.along(), flaw.rect.across());
            repeats.see(&Spot::of_box(&along, &across, flaw.class.as_str()));
        }
        let found = repeats.found();
        let over = |repeat: &crate::repeats::Repeat| repeat.along[1].get() - repeat.along[0].get();
        let longest = found.iter().max_by_key(|repeat| over(repeat));
        if let Some(repeat) = longest.filter(|repeat| over(repeat) > most) {
            let most = mm(most) / 1e3;
            why.push(format!(
                "rejected: repeats {}, over more than {most} m",
                repeat.says()
            ));
        }
    }
    why
}

/// What was not counted, a sentence each.
fn uncounted(rules: &Rules, flaws: &[FlawPoints]) -> Vec<String> {
    let margins = [
        (CountedBy::EdgeMargin, rules.edge_margin_um, "of a selvedge"),
        (
            CountedBy::EndMargin,
            rules.end_margin_um,
            "of an end of the roll",
        ),
    ];
    let says = margins.into_iter().filter_map(|(by, margin, of)| {
        let n = flaws.iter().filter(|flaw| flaw.by == by).count();
        let (flaws, margin) = (if n == 1 { "flaw" } else { "flaws" }, mm(margin));
        (n > 0).then(|| format!("not counted: {n} {flaws} within {margin} mm {of}"))
    });
    says.collect()
}

fn mm(um: i64) -> f64 {
    um as f64 / 1e3
}
