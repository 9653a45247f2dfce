//! Alarms: raised by what is found, latched until a person acknowledges them.
//!
//! ```text
//! flaws, running flaws ─▶ Alarms ─▶ Change (raised, acknowledged) ─▶ outputs
//!                           ▲ acknowledge(by whom)
//! ```
//!
//! A pure state machine: no clock, no thread, no store; times come with the calls. There is at
//! most one alarm for each cause, which counts how often it was called for again while it waits.
//! That the cause has gone clears nothing. What was acknowledged counts no more: five repeats
//! that a person has seen raise the next alarm with five further ones, a flaw that runs on with
//! its next metres, and flaws per metre are counted anew. A new roll begins its counts anew and
//! keeps what is latched.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context, ensure};
use calibration::{Um, WebRect, mm_from_um};

use crate::config::{AlarmCause, AlarmSettings};
use crate::repeats::{Repeat, Repeats, Spot};
use crate::running::Running;

/// One metre of cloth, in which flaws are counted.
const METRE: Um = Um(1_000_000);
/// The severity word that `severe = true` asks for.
const SEVERE: &str = "severe";

/// A flaw as alarms see it: whole, and in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundFlaw {
    /// Its id in the store.
    pub id: String,
    /// Its class.
    pub class: String,
    /// Its severity.
    pub severity: String,
    /// Its box.
    pub rect: WebRect,
    /// Its highest score, 1.0 = threshold.
    pub score: f64,
}

/// An alarm that was raised.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Its number, from 1, in the order of raising.
    pub id: u64,
    /// What for.
    pub cause: AlarmCause,
    /// Where along.
    pub along: Um,
    /// For people.
    pub message: String,
    /// When it was raised, microseconds since 1970 UTC.
    pub raised_at_us: i64,
    /// How often it was called for, this time included.
    pub n_times: u64,
    /// Whether it asks the machine to stop.
    pub stops: bool,
}

/// What became of an alarm.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is new.
    Raised(Alarm),
    /// It was called for once more, and still waits.
    Again(Alarm),
    /// A person has seen it.
    Acknowledged {
        /// As it was.
        alarm: Alarm,
        /// Who.
        by: String,
        /// When, microseconds since 1970 UTC.
        at_us: i64,
    },
}

/// What is latched, for whoever shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latched {
    /// Alarms that wait for a person, in order of raising.
    pub alarms: Vec<Alarm>,
    /// How many alarms were raised so far.
    pub n_raised: u64,
    /// How many of those asked for a stop.
    pub n_stops: u64,
}

/// All alarms of a station.
pub struct Alarms {
    settings: AlarmSettings,
    latched: BTreeMap<AlarmCause, Alarm>,
    n_raised: u64,
    n_stops: u64,
    repeats: Repeats,
    /// Members of each repeat that a person has seen.
    seen_repeats: BTreeMap<u32, u32>,
    /// Where the last flaws begin, in cloth order; as many as a metre may not hold.
    recent: VecDeque<Um>,
}

impl Alarms {
    /// No alarm yet.
    pub fn new(settings: AlarmSettings) -> Self {
        Self {
            settings,
            latched: BTreeMap::new(),
            n_raised: 0,
            n_stops: 0,
            repeats: Repeats::default(),
            seen_repeats: BTreeMap::new(),
            recent: VecDeque::new(),
        }
    }

    /// Takes over what raises alarms from now on; what is latched stays.
    pub fn take_settings(&mut self, settings: &AlarmSettings) {
        self.settings = settings.clone();
    }

    /// A new roll: its flaws are counted anew.
    pub fn begin_roll(&mut self) {
        self.repeats = Repeats::default();
        self.seen_repeats.clear();
        self.recent.clear();
    }

    /// Takes a flaw that is in the store.
    pub fn flaw(&mut self, flaw: &FoundFlaw, now_us: i64) -> Vec<Change> {
        let mut changes = Vec::new();
        let start = flaw.rect.along.start();
        if self.settings.severe && flaw.severity == SEVERE {
            let message = format!(
                "a severe flaw, {}, at {}, {} across",
                flaw.class,
                metres(start),
                millimetres(flaw.rect.across.start())
            );
            changes.push(self.raise(AlarmCause::Severe, start, message, now_us));
        }
        if let Some(most) = self.settings.per_metre
            && self.fills_a_metre(start, most)
        {
            let message = format!("{most} flaws within a metre, up to {}", metres(start));
            changes.push(self.raise(AlarmCause::PerMetre, start, message, now_us));
        }
        let repeat = self.repeats.see(&spot(flaw));
        if let Some(fewest) = self.settings.repeats
            && let Some(repeat) = repeat
            && repeat.count >= fewest + self.seen(&repeat)
        {
            let message = repeat.says();
            changes.push(self.raise(AlarmCause::Repeats, repeat.along[1], message, now_us));
        }
        changes
    }

    /// Takes what is told of a flaw that runs.
    pub fn running(&mut self, running: &Running, now_us: i64) -> Vec<Change> {
        let Some(least) = self.settings.running else {
            return Vec::new();
        };
        if running.has_ended || running.length < least {
            return Vec::new();
        }
        vec![self.raise(
            AlarmCause::Running,
            running.along.end(),
            running.to_string(),
            now_us,
        )]
    }

    /// Whether a flaw of this length was told of while it ran.
    pub fn is_told_running(&self, length: Um) -> bool {
        self.settings.running.is_some_and(|least| least <= length)
    }

    /// A person has seen alarm `id`.
    ///
    /// # Errors
    /// When no such alarm waits, or nobody is named.
    pub fn acknowledge(&mut self, id: u64, by: &str, now_us: i64) -> anyhow::Result<Change> {
        ensure!(
            !by.trim().is_empty(),
            "found no name, expected who acknowledges alarm {id}"
        );
        let waiting = self.latched.values().find(|alarm| alarm.id == id);
        let cause = waiting.map(|alarm| alarm.cause).with_context(|| {
            let waiting: Vec<u64> = self.latched.values().map(|alarm| alarm.id).collect();
            format!("found no alarm {id} that waits, expected one of {waiting:?}")
        })?;
        let alarm = self.latched.remove(&cause).context("it waits")?;
        match cause {
            AlarmCause::Repeats => {
                let seen = self.repeats.found().into_iter();
                self.seen_repeats = seen.map(|repeat| (repeat.id, repeat.count)).collect();
            }
            AlarmCause::PerMetre => self.recent.clear(),
            AlarmCause::Running | AlarmCause::Severe => {}
        }
        Ok(Change::Acknowledged {
            alarm,
            by: by.trim().to_owned(),
            at_us: now_us,
        })
    }

    /// What is latched now.
    pub fn latched(&self) -> Latched {
        let mut alarms: Vec<Alarm> = self.latched.values().cloned().collect();
        alarms.sort_by_key(|alarm| alarm.id);
        Latched {
            alarms,
            n_raised: self.n_raised,
            n_stops: self.n_stops,
        }
    }

    /// What repeats on this roll so far.
    pub fn repeats(&self) -> Vec<Repeat> {
        self.repeats.found()
    }

    fn raise(&mut self, cause: AlarmCause, along: Um, message: String, now_us: i64) -> Change {
        if let Some(known) = self.latched.get_mut(&cause) {
            known.n_times += 1;
            return Change::Again(known.clone());
        }
        let stops = self.settings.stop.contains(&cause);
        self.n_raised += 1;
        self.n_stops += u64::from(stops);
        let alarm = Alarm {
            id: self.n_raised,
            cause,
            along,
            message,
            raised_at_us: now_us,
            n_times: 1,
            stops,
        };
        self.latched.insert(cause, alarm.clone());
        Change::Raised(alarm)
    }

    /// Whether a flaw that begins at `start` is the last of `most` within a metre.
    fn fills_a_metre(&mut self, start: Um, most: u32) -> bool {
        // Flaws come nearly in cloth order: one that ran long comes late.
        let at = self.recent.partition_point(|known| *known <= start);
        self.recent.insert(at, start);
        if self.recent.len() > most as usize {
            self.recent.pop_front();
        }
        let ends = self.recent.front().zip(self.recent.back());
        self.recent.len() == most as usize && ends.is_some_and(|(a, b)| *b - *a < METRE)
    }

    fn seen(&self, repeat: &Repeat) -> u32 {
        self.seen_repeats.get(&repeat.id).copied().unwrap_or(0)
    }
}

impl Latched {
    /// Whether the machine is asked to stop.
    pub fn stops(&self) -> bool {
        self.alarms.iter().any(|alarm| alarm.stops)
    }
}

fn spot(flaw: &FoundFlaw) -> Spot {
    let ends = |span: calibration::Span| span.start().get()..span.end().get();
    Spot::of_box(&ends(flaw.rect.along), &ends(flaw.rect.across), &flaw.class)
}

fn metres(um: Um) -> String {
    format!("{:.2} m", mm_from_um(um) / 1e3)
}

fn millimetres(um: Um) -> String {
    format!("{:.0} mm", mm_from_um(um))
}

#[cfg(test)]
mod tests {
    use super::*;
    use calibration::Span;

    fn flaw(along_mm: i64, severity: &str) -> FoundFlaw {
        let span = |from: i64| Span::new(Um(from * 1000), Um(from * 1000 + 4000)).unwrap();
        FoundFlaw {
            id: format!("at {along_mm}"),
            class: "stain".to_owned(),
            severity: severity.to_owned(),
            rect: WebRect {
                along: span(along_mm),
                across: span(300),
            },
            score: 2.0,
        }
    }

    fn running(length_m: i64, has_ended: bool) -> Running {
        let span = |from: i64, to: i64| Span::new(Um(from), Um(to)).unwrap();
        Running {
            lane: 0,
            along: span(1_000_000, 1_000_000 * (length_m + 1) + 20),
            across: span(400_000, 402_000),
            length: Um(length_m * 1_000_000),
            has_ended,
        }
    }

    /// What became of alarms, in short.
    fn told(changes: &[Change]) -> Vec<String> {
        let one = |change: &Change| match change {
            Change::Raised(alarm) => format!("{} raised {}", alarm.id, alarm.cause.as_str()),
            Change::Again(alarm) => format!("{} again, {} times", alarm.id, alarm.n_times),
            Change::Acknowledged { alarm, by, at_us } => {
                format!("{} acknowledged by {by} at {at_us}", alarm.id)
            }
        };
        changes.iter().map(one).collect()
    }

    fn alarms(settings: AlarmSettings) -> Alarms {
        Alarms::new(settings)
    }

    #[test]
    fn an_alarm_is_latched_until_somebody_acknowledges_it() {
        let mut alarms = alarms(AlarmSettings {
            severe: true,
            stop: vec![AlarmCause::Severe],
            ..AlarmSettings::default()
        });
        assert_eq!(alarms.flaw(&flaw(10, "major"), 5), []);
        assert_eq!(
            told(&alarms.flaw(&flaw(20, "severe"), 6)),
            ["1 raised severe"]
        );
        assert_eq!(
            told(&alarms.flaw(&flaw(30, "severe"), 7)),
            ["1 again, 2 times"]
        );
        assert_eq!(alarms.flaw(&flaw(90, "minor"), 8), []);
        alarms.begin_roll();
        let latched = alarms.latched();
        assert!(latched.stops());
        assert_eq!(latched.alarms[0].raised_at_us, 6);

        let nobody = alarms.acknowledge(1, " ", 9).unwrap_err().to_string();
        assert!(
            nobody.contains("expected who acknowledges alarm 1"),
            "{nobody}"
        );
        let wrong = alarms.acknowledge(2, "Ayla", 9).unwrap_err().to_string();
        assert_eq!(wrong, "found no alarm 2 that waits, expected one of [1]");
        let seen = alarms.acknowledge(1, "Ayla", 9).unwrap();
        assert_eq!(told(&[seen]), ["1 acknowledged by Ayla at 9"]);
        assert!(!alarms.latched().stops() && alarms.latched().alarms.is_empty());
        assert!(alarms.acknowledge(1, "Ayla", 10).is_err());
        assert_eq!(
            told(&alarms.flaw(&flaw(99, "severe"), 11)),
            ["2 raised severe"]
        );
        assert_eq!(alarms.latched().n_stops, 2);
    }

    #[test]
    fn flaws_in_a_metre_are_counted_in_whatever_order_they_come() {
        let mut alarms = alarms(AlarmSettings {
            per_metre: Some(3),
            ..AlarmSettings::default()
        });
        let mut at = |along: i64| told(&alarms.flaw(&flaw(along, "minor"), 0));
        assert!(at(0).is_empty() && at(999).is_empty() && at(1500).is_empty());
        assert_eq!(at(1400), ["1 raised per_metre"]);
        assert_eq!(at(1600), ["1 again, 2 times"]);
        alarms.acknowledge(1, "Ayla", 1).unwrap();
        let mut at = |along: i64| told(&alarms.flaw(&flaw(along, "minor"), 0));
        assert!(at(1650).is_empty() && at(1660).is_empty());
        assert_eq!(at(1670), ["2 raised per_metre"]);
    }

    #[test]
    fn repeats_that_somebody_has_seen_raise_the_next_alarm_with_as_many_further_ones() {
        let mut alarms = alarms(AlarmSettings {
            repeats: Some(6),
            ..AlarmSettings::default()
        });
        let mut told_at = Vec::new();
        for turn in 1..=20 {
            for change in alarms.flaw(&flaw(turn * 628, "minor"), turn) {
                told_at.push((turn, told(&[change]).remove(0)));
                if turn == 7 {
                    alarms.acknowledge(1, "Ayla", turn).unwrap();
                }
            }
        }
        let said: Vec<String> = (told_at.iter().take(3))
            .map(|(turn, said)| format!("{turn}: {said}"))
            .collect();
        assert_eq!(
            said,
            [
                "6: 1 raised repeats",
                "7: 1 again, 2 times",
                "13: 2 raised repeats"
            ]
        );
        assert_eq!(alarms.repeats().len(), 1);
        alarms.begin_roll();
        assert!(alarms.repeats().is_empty());
    }

    #[test]
    fn a_flaw_that_runs_on_after_it_was_acknowledged_is_an_alarm_again() {
        let mut alarms = alarms(AlarmSettings {
            running: Some(Um(2_000_000)),
            ..AlarmSettings::default()
        });
        assert_eq!(
            told(&alarms.running(&running(2, false), 0)),
            ["1 raised running"]
        );
        alarms.acknowledge(1, "Ayla", 1).unwrap();
        assert_eq!(
            told(&alarms.running(&running(4, false), 2)),
            ["2 raised running"]
        );
        assert_eq!(alarms.running(&running(5, true), 3), []);
        assert_eq!(alarms.latched().alarms.len(), 1);
    }
}
