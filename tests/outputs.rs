//! Alarms on their way out, to receivers that run here: a Modbus device, a broker, a web server.
//!
//! Each receiver is real, on the loopback interface, started and killed by its test. Where no
//! broker is installed its tests say `NOT RUN` aloud.

#![cfg(feature = "outputs")]

mod broker;

mod mqtt;

pub(crate) mod plc;

mod modbus;

mod webhook;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use calibration::{Span, Um, WebRect};
use selvedge::alarms::{Change, FoundFlaw};
use selvedge::config::{AlarmCause, AlarmSettings, OutputSettings, Station};
use selvedge::outputs::{Event, Outputs, RollAbout};

/// How long a receiver may take to hear of something.
const PATIENCE: Duration = Duration::from_secs(20);

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Outputs of a station where a severe flaw is an alarm that stops the machine, and one that runs for
/// a metre an alarm that does not.
fn outputs(outputs: OutputSettings) -> Outputs {
    let mut station = Station::at_scale(0.2).unwrap();
    station.name = Some("table 3".to_owned());
    station.alarms = AlarmSettings {
        severe: true,
        running: Some(Um(1_000_000)),
        stop: vec![AlarmCause::Severe],
        ..AlarmSettings::default()
    };
    station.outputs = outputs;
    Outputs::start(&station).unwrap()
}

/// A flaw that begins `along_mm` along.
fn flaw(along_mm: i64, severity: &str) -> Event {
    let span = |from: i64| Span::new(Um(from * 1000), Um(from * 1000 + 4000)).unwrap();
    Event::Flaw(FoundFlaw {
        id: format!("at {along_mm}"),
        class: "hole".to_owned(),
        severity: severity.to_owned(),
        rect: WebRect {
            along: span(along_mm),
            across: span(300),
        },
        score: 2.0,
    })
}

fn roll() -> Event {
    Event::RollBegan(RollAbout {
        roll: "R-7".to_owned(),
        article: "plain".to_owned(),
        run: "run".to_owned(),
        origin: Um::ZERO,
    })
}

/// Number of the alarm that an event raised.
fn raised(changes: &[Change]) -> u64 {
    let [Change::Raised(alarm)] = changes else {
        panic!("expected one alarm, found {changes:?}");
    };
    alarm.id
}

/// Tells `n` flaws and checks that it costs the caller less than a millisecond each: of a hundred
/// the slowest may have waited for the processor, not for a receiver.
fn told_in_no_time(outputs: &Outputs, n: usize) {
    let mut costs: Vec<Duration> = (0..n)
        .map(|nth| {
            let event = flaw(nth as i64, "minor");
            let since = Instant::now();
            outputs.tell(&event);
            since.elapsed()
        })
        .collect();
    costs.sort_unstable();
    let p99 = costs[n * 99 / 100];
    assert!(p99 < Duration::from_millis(1), "{p99:?}");
}
