//! Marks at a fixed distance: how a series is proposed, believed and gone on with.

use std::collections::BTreeMap;

use calibration::um_from_mm;

use super::chance::binomial_tail;
use super::{ACROSS_MM, FEWEST_MEMBERS, MOST_CHANCE, Mark, Repeat, RepeatCause};

/// Periods that a roller or gear of a cloth machine can have: 20 mm to 1.1 m of diameter.
const PERIODS_MM: std::ops::RangeInclusive<f64> = 60.0..=3500.0;
/// Earlier marks that the newest one is tried with.
const MOST_TRIED: usize = 32;
/// A distance is also tried as this many periods.
const MOST_PARTS: u32 = 3;
/// Slots in a row that may be empty.
const MOST_MISSES: u32 = 2;
/// How far from its slot a mark may lie: what a box's middle wanders, or, of a long period, what
/// cloth slips and stretches.
const TOLERANCE_MM: f64 = 3.0;
const TOLERANCE_SHARE: f64 = 0.005;
/// Hits between those of a longer period that chance gives at least so often do not speak
/// against it.
const EXPLAINED: f64 = 1e-3;

/// Marks with their slots, from the newest backwards.
type Members<'a> = Vec<(f64, &'a Mark)>;

/// Marks at a fixed distance at one place across.
pub(super) struct Series {
    pub(super) id: u32,
    across_mm: f64,
    first_mm: f64,
    last_mm: f64,
    /// Slot of the last member, the first one's being 0.
    slot: f64,
    count: u32,
    /// Sums over members of slot, slot², place and slot × place, from the first member on; the
    /// period is the slope of the line through them.
    sums: [f64; 4],
    classes: BTreeMap<String, u32>,
    /// Members by their slot's remainder, by two and by three.
    by_two: [u32; 2],
    by_three: [u32; 3],
    /// Chance that a slot is hit by a mark that is none of the roller's.
    each: f64,
}

/// The most telling series that ends in the last of `marks`, all at one place across and in cloth
/// order, if one is believable. Its id is for the caller to give.
pub(super) fn propose(marks: &[&Mark]) -> Option<Series> {
    let (newest, earlier) = marks.split_last()?;
    if marks.len() < FEWEST_MEMBERS as usize {
        return None;
    }
    let tried = &earlier[earlier.len().saturating_sub(MOST_TRIED)..];
    let n_tried = f64::from(MOST_PARTS) * tried.len() as f64;
    let mut best: Option<(f64, f64, Members<'_>)> = None;
    for mark in tried {
        for parts in 1..=MOST_PARTS {
            let period = (newest.along_mm - mark.along_mm) / f64::from(parts);
            if !PERIODS_MM.contains(&period) {
                continue;
            }
            let members = members(newest, earlier, period, MOST_MISSES);
            let chance = n_tried * chance(&members, marks, period);
            let is_better = best.as_ref().is_none_or(|(least, ..)| chance < *least);
            if members.len() >= FEWEST_MEMBERS as usize && chance <= MOST_CHANCE && is_better {
                best = Some((chance, period, members));
            }
        }
    }
    let (_, period, best) = best?;
    // A pause of the finer series, which its double bears, does not double the period.
    let finer = (2..=MOST_PARTS).rev().map(|parts| {
        let step = period / f64::from(parts);
        Series::of(&members(newest, earlier, step, MOST_MISSES * parts), marks)
    });
    let is_true = |finer: &Series| {
        finer.fundamental().0 == 1
            && finer.count as usize > best.len()
            && PERIODS_MM.contains(&finer.step_mm())
    };
    Some(
        finer
            .into_iter()
            .find(is_true)
            .unwrap_or_else(|| Series::of(&best, marks)),
    )
}

/// Marks at multiples of `period` before `newest`, with their slots, from it backwards to where
/// more than `most_misses` slots in a row are empty.
fn members<'a>(
    newest: &'a Mark,
    earlier: &[&'a Mark],
    period: f64,
    most_misses: u32,
) -> Members<'a> {
    let mut members = vec![(0.0, newest)];
    let (mut slot, mut from, mut n_misses) = (0.0, newest.along_mm, 0);
    while n_misses <= most_misses {
        slot += 1.0;
        let place = from - period * f64::from(n_misses + 1);
        let after = earlier.partition_point(|mark| mark.along_mm < place);
        let around = earlier[after.saturating_sub(1)..(after + 1).min(earlier.len())].iter();
        let distance = |mark: &&&Mark| (mark.along_mm - place).abs();
        let nearest = around.min_by(|a, b| distance(a).total_cmp(&distance(b)));
        match nearest.filter(|mark| distance(mark) <= tolerance(period)) {
            Some(mark) => {
                members.push((slot, mark));
                (from, n_misses) = (mark.along_mm, 0);
            }
            None => n_misses += 1,
        }
    }
    members
}

/// Chance that marks at random, as dense as those along the series, make it.
fn chance(members: &[(f64, &Mark)], marks: &[&Mark], period: f64) -> f64 {
    let [_, .., (slots, _)] = members else {
        return 1.0;
    };
    // The newest is no hit, and one of the hits proposed the period.
    let (n_slots, n_hits) = (*slots as u32 - 1, members.len() as u32 - 2);
    binomial_tail(n_slots, n_hits, each(members, marks, period))
}

/// Chance that marks at random, as dense as those along the series, hit one slot.
fn each(members: &[(f64, &Mark)], marks: &[&Mark], period: f64) -> f64 {
    let [(_, newest), .., (_, oldest)] = members else {
        return 1.0;
    };
    let n_along = marks
        .iter()
        .filter(|mark| (oldest.along_mm..newest.along_mm).contains(&mark.along_mm))
        .count();
    let density = n_along as f64 / (newest.along_mm - oldest.along_mm);
    1.0 - (-density * 2.0 * tolerance(period)).exp()
}

fn tolerance(period: f64) -> f64 {
    TOLERANCE_MM.max(TOLERANCE_SHARE * period)
}

impl Series {
    /// From its members, the newest first, with their slots from there backwards.
    fn of(members: &[(f64, &Mark)], marks: &[&Mark]) -> Self {
        let (last_slot, first) = members[members.len() - 1];
        let mut series = Self {
            id: 0,
            across_mm: first.across_mm,
            first_mm: first.along_mm,
            last_mm: first.along_mm,
            slot: 0.0,
            count: 0,
            sums: [0.0; 4],
            classes: BTreeMap::new(),
            by_two: [0; 2],
            by_three: [0; 3],
            each: 0.0,
        };
        for (slot, mark) in members.iter().rev() {
            series.add(last_slot - slot, mark);
        }
        series.each = each(members, marks, series.step_mm());
        series
    }

    /// Takes `mark` if it lies in one of the next slots.
    pub(super) fn take(&mut self, mark: &Mark) -> bool {
        let step = self.step_mm();
        let distance = mark.along_mm - self.last_mm;
        let n_slots = (distance / step).round();
        let most = (MOST_MISSES + 1) * self.fundamental().0;
        let is_next = (1.0..=f64::from(most)).contains(&n_slots)
            && (distance - n_slots * step).abs() <= tolerance(step)
            && (mark.across_mm - self.across_mm).abs() <= ACROSS_MM;
        if is_next {
            self.add(self.slot + n_slots, mark);
        }
        is_next
    }

    /// Whether `known` is this series as it was taken for before: in step with it, at the same
    /// place across, of one to three times the period, or of its half or third.
    pub(super) fn replaces(&self, known: &Self) -> bool {
        let (own, other) = (self.step_mm(), known.step_mm());
        let (period, ratio) = (own.min(other), own.max(other) / own.min(other));
        let is_multiple = (ratio.round() - ratio).abs() < 0.015 * ratio
            && (1.0..=f64::from(MOST_PARTS)).contains(&ratio.round());
        let n_slots = (self.last_mm - known.last_mm) / period;
        let is_in_step = (n_slots.round() - n_slots).abs() * period <= 2.0 * tolerance(period);
        is_multiple
            && is_in_step
            && known.last_mm >= self.first_mm
            && (known.across_mm - self.across_mm).abs() <= ACROSS_MM
    }

    pub(super) fn last_mm(&self) -> f64 {
        self.last_mm
    }

    pub(super) fn repeat(&self) -> Repeat {
        let (parts, count) = self.fundamental();
        let most = self.classes.iter().max_by_key(|(_, n)| **n);
        Repeat {
            id: self.id,
            cause: RepeatCause::Period(um_from_mm(self.step_mm() * f64::from(parts))),
            across: um_from_mm(self.across_mm),
            along: [self.first_mm, self.last_mm].map(um_from_mm),
            count,
            class: most.map(|(class, _)| class.clone()).unwrap_or_default(),
        }
    }

    fn add(&mut self, slot: f64, mark: &Mark) {
        let place = mark.along_mm - self.first_mm;
        for (sum, more) in self
            .sums
            .iter_mut()
            .zip([slot, slot * slot, place, slot * place])
        {
            *sum += more;
        }
        self.count += 1;
        self.slot = slot;
        self.last_mm = mark.along_mm;
        // Cloth that wanders sideways is followed.
        self.across_mm += (mark.across_mm - self.across_mm) / f64::from(self.count.min(8));
        *self.classes.entry(mark.class.clone()).or_insert(0) += 1;
        self.by_two[slot as usize % 2] += 1;
        self.by_three[slot as usize % 3] += 1;
    }

    /// How many steps make the period, and its members. It is several where the members lie at
    /// every second or third slot, and those between are no more than chance puts there.
    fn fundamental(&self) -> (u32, u32) {
        let n_slots = self.slot as u32 + 1;
        for by in [&self.by_three[..], &self.by_two[..]] {
            let (parts, most) = (by.len() as u32, by.iter().max().copied().unwrap_or(0));
            let n_between = n_slots - n_slots.div_ceil(parts);
            let is_chance = binomial_tail(n_between, self.count - most, self.each) > EXPLAINED;
            if most >= FEWEST_MEMBERS && is_chance {
                return (parts, most);
            }
        }
        (1, self.count)
    }

    /// Distance between two slots.
    fn step_mm(&self) -> f64 {
        let n = f64::from(self.count);
        let [slots, slots2, places, both] = self.sums;
        (n * both - slots * places) / (n * slots2 - slots * slots)
    }
}
