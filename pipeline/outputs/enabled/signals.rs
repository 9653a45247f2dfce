//! Which coil is on when: state, pulses, polarity and the heartbeat, without a network.

use std::time::{Duration, Instant};

use super::super::State;
use crate::config::{Marker, ModbusSettings, Signal};

/// Without anything to do the device is looked after so often.
const AT_LEAST: Duration = Duration::from_secs(1);

/// What the device is to hold now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Coils and their states.
    pub(super) coils: Vec<(u16, bool)>,
    /// Status bits and the number of alarms.
    pub(super) status: [u16; 2],
    /// Whether the heartbeat is to beat, and everything to be written anew.
    pub(super) beats: bool,
    /// When to ask again.
    pub(super) until: Instant,
}

/// Signals of a device that is there.
pub(super) struct Signals {
    stop: Option<Alert>,
    lamp: Option<Alert>,
    marker: Option<(Marker, Option<Instant>)>,
    every: Duration,
    line_within: Duration,
    beats_at: Option<Instant>,
}

/// A signal of alarms.
struct Alert {
    signal: Signal,
    /// Alarms that had their pulse.
    n_pulsed: u64,
    on_until: Option<Instant>,
}

/// What is so at a moment.
pub(super) struct Moment<'a> {
    pub(super) state: &'a State,
    pub(super) line_seen_at: Option<Instant>,
    pub(super) is_mark_due: bool,
    pub(super) next_mark: Option<Instant>,
    pub(super) now: Instant,
}

const STOP_BIT: u16 = 1;
const LAMP_BIT: u16 = 1 << 1;
const LINE_BIT: u16 = 1 << 2;

impl Signals {
    pub(super) fn new(settings: &ModbusSettings) -> Self {
        let alert = |signal: Signal| Alert {
            signal,
            n_pulsed: 0,
            on_until: None,
        };
        Self {
            stop: settings.stop.map(alert),
            lamp: settings.lamp.map(alert),
            marker: settings.marker.map(|marker| (marker, None)),
            every: settings.every,
            line_within: settings.line_within,
            beats_at: None,
        }
    }

    /// What the device is to hold at this moment.
    pub(super) fn wanted(&mut self, moment: &Moment<'_>) -> Wanted {
        let now = moment.now;
        let latched = &moment.state.latched;
        let mut untils = vec![now + AT_LEAST];
        let mut coils = Vec::new();
        let (stops, lights) = (latched.stops(), !latched.alarms.is_empty());
        let of_stop = (&mut self.stop, stops, latched.n_stops);
        let of_lamp = (&mut self.lamp, lights, latched.n_raised);
        for (alert, is_latched, n_raised) in [of_stop, of_lamp] {
            if let Some(alert) = alert {
                coils.push(alert.coil(is_latched, n_raised, now));
                untils.extend(alert.on_until);
            }
        }
        if let Some((marker, on_until)) = &mut self.marker {
            if moment.is_mark_due {
                *on_until = Some(now + marker.pulse);
            }
            *on_until = on_until.filter(|until| now < *until);
            coils.push((marker.coil, on_until.is_some() == marker.active));
            untils.extend(*on_until);
            untils.extend(moment.next_mark);
        }
        let silent_at = moment.line_seen_at.map(|seen| seen + self.line_within);
        let is_alive = silent_at.is_some_and(|silent_at| now < silent_at);
        let beats = is_alive && self.beats_at.is_none_or(|beats_at| beats_at <= now);
        if beats {
            self.beats_at = Some(now + self.every);
        }
        if is_alive {
            untils.extend(self.beats_at);
            untils.extend(silent_at);
        }
        let bits = [(stops, STOP_BIT), (lights, LAMP_BIT), (is_alive, LINE_BIT)];
        let status = bits
            .iter()
            .filter(|(is_on, _)| *is_on)
            .map(|(_, bit)| bit)
            .sum();
        let n_alarms = u16::try_from(latched.alarms.len()).unwrap_or(u16::MAX);
        Wanted {
            coils,
            status: [status, n_alarms],
            beats,
            until: untils.into_iter().min().unwrap_or(now),
        }
    }

    /// The marker at rest, for when nobody watches it any more.
    pub(super) fn marker_at_rest(&self) -> Option<(u16, bool)> {
        self.marker.map(|(marker, _)| (marker.coil, !marker.active))
    }
}

impl Alert {
    /// The coil's state; a pulse begins for an alarm that waits and had none yet.
    fn coil(&mut self, is_latched: bool, n_raised: u64, now: Instant) -> (u16, bool) {
        let asks = match self.signal.pulse {
            None => is_latched,
            Some(pulse) => {
                if is_latched && n_raised > self.n_pulsed {
                    self.on_until = Some(now + pulse);
                }
                self.on_until = self.on_until.filter(|until| now < *until);
                self.on_until.is_some()
            }
        };
        self.n_pulsed = n_raised;
        (self.signal.coil, asks == self.signal.active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarms::{Alarm, Latched};
    use crate::config::{AlarmCause, Beat};
    use calibration::Um;

    fn settings() -> ModbusSettings {
        ModbusSettings {
            address: "plc:502".to_owned(),
            unit: 255,
            heartbeat: Beat::Register(0),
            every: Duration::from_millis(500),
            line_within: Duration::from_millis(2000),
            status: None,
            stop: Some(Signal {
                coil: 0,
                active: false,
                pulse: None,
            }),
            lamp: Some(Signal {
                coil: 1,
                active: true,
                pulse: Some(Duration::from_millis(300)),
            }),
            marker: Some(Marker {
                coil: 2,
                active: true,
                pulse: Duration::from_millis(80),
                distance: Um(0),
            }),
        }
    }

    /// State with `n` alarms raised so far, of which the last waits and stops or does not.
    fn state(n: u64, is_latched: bool) -> State {
        let alarm = Alarm {
            id: n,
            cause: AlarmCause::Severe,
            along: Um(0),
            message: String::new(),
            raised_at_us: 0,
            n_times: 1,
            stops: true,
        };
        State {
            latched: Latched {
                alarms: is_latched.then_some(alarm).into_iter().collect(),
                n_raised: n,
                n_stops: n,
            },
            roll: None,
        }
    }

    struct Tried {
        start: Instant,
        signals: Signals,
    }

    impl Tried {
        fn new() -> Self {
            Self {
                start: Instant::now(),
                signals: Signals::new(&settings()),
            }
        }

        fn at(&mut self, ms: u64, state: &State, seen_ms: Option<u64>, mark: bool) -> Wanted {
            let at = |ms| self.start + Duration::from_millis(ms);
            self.signals.wanted(&Moment {
                state,
                line_seen_at: seen_ms.map(at),
                is_mark_due: mark,
                next_mark: None,
                now: at(ms),
            })
        }
    }

    #[test]
    fn a_stop_is_held_until_acknowledged_and_a_lamp_pulses_once_for_each_alarm() {
        let mut tried = Tried::new();
        let coils = |wanted: Wanted| [wanted.coils[0].1, wanted.coils[1].1];
        // The stop is asked for by a coil that is off, so that a cut wire asks too.
        assert_eq!(
            coils(tried.at(0, &state(0, false), None, false)),
            [true, false]
        );
        let first = tried.at(10, &state(1, true), None, false);
        assert_eq!(first.until - tried.start, Duration::from_millis(310));
        assert_eq!((first.status, coils(first)), ([3, 1], [false, true]));
        assert_eq!(
            coils(tried.at(310, &state(1, true), None, false)),
            [false, false]
        );
        assert_eq!(
            coils(tried.at(400, &state(2, true), None, false)),
            [false, true]
        );
        assert_eq!(
            coils(tried.at(450, &state(2, false), None, false)),
            [true, true]
        );
        assert_eq!(
            coils(tried.at(701, &state(2, false), None, false)),
            [true, false]
        );
    }

    #[test]
    fn an_alarm_that_was_acknowledged_while_the_device_was_away_has_no_pulse() {
        let mut tried = Tried::new();
        let wanted = tried.at(0, &state(4, false), None, false);
        assert_eq!(wanted.coils, [(0, true), (1, false), (2, false)]);
    }

    #[test]
    fn the_heartbeat_beats_in_time_while_the_line_is_seen_and_then_no_more() {
        let mut tried = Tried::new();
        let none = state(0, false);
        let mut beats = Vec::new();
        for ms in (0..6000).step_by(100) {
            // The line is seen until 1.5 s, and again from 5 s on.
            let seen = if (1500..5000).contains(&ms) { 1500 } else { ms };
            let wanted = tried.at(ms, &none, Some(seen), false);
            assert_eq!(
                wanted.status[0] & LINE_BIT != 0,
                !(3500..5000).contains(&ms)
            );
            if wanted.beats {
                beats.push(ms);
            }
        }
        assert_eq!(beats, [0, 500, 1000, 1500, 2000, 2500, 3000, 5000, 5500]);
        assert!(!Tried::new().at(0, &none, None, false).beats);
    }

    #[test]
    fn a_mark_is_a_pulse_that_a_second_mark_prolongs() {
        let mut tried = Tried::new();
        let none = state(0, false);
        let mut marker = |ms, due| tried.at(ms, &none, None, due).coils[2].1;
        assert!(!marker(0, false) && marker(10, true) && marker(50, true));
        assert!(marker(129, false) && !marker(130, false));
        assert_eq!(tried.signals.marker_at_rest(), Some((2, false)));
    }
}
