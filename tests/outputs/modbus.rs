//! Stop, lamp, marker and heartbeat at a real Modbus TCP device.

use std::time::{Duration, Instant};

use calibration::{Span, Um, WebRect};
use selvedge::alarms::FoundFlaw;
use selvedge::config::{Beat, Marker, ModbusSettings, OutputSettings, Signal};
use selvedge::outputs::{Event, Outputs};
use selvedge::running::Running;

use super::plc::{Plc, Write};
use super::{PATIENCE, flaw, free_port, outputs, raised, told_in_no_time};

const STOP: u16 = 0;
const LAMP: u16 = 1;
const MARKER: u16 = 2;
const BEAT: u16 = 10;
const STATUS: u16 = 20;
/// A short one, so that a test that watches the heartbeat stop need not wait long.
const LINE_WITHIN: Duration = Duration::from_millis(300);

/// Outputs to a device at `port`, whose marker stands half a metre behind the camera.
fn to_plc(port: u16) -> Outputs {
    outputs(OutputSettings {
        modbus: Some(ModbusSettings {
            address: format!("127.0.0.1:{port}"),
            unit: 1,
            heartbeat: Beat::Register(BEAT),
            every: Duration::from_millis(20),
            line_within: LINE_WITHIN,
            status: Some(STATUS),
            // A coil that is off asks for the stop, as a cut wire does.
            stop: Some(Signal {
                coil: STOP,
                active: false,
                pulse: None,
            }),
            lamp: Some(Signal {
                coil: LAMP,
                active: true,
                pulse: None,
            }),
            marker: Some(Marker {
                coil: MARKER,
                active: true,
                pulse: Duration::from_millis(50),
                distance: Um(500_000),
            }),
        }),
        ..OutputSettings::default()
    })
}

#[test]
fn a_stop_is_asked_of_the_plc_until_somebody_acknowledges_it() {
    let port = free_port();
    let plc = Plc::start(port);
    let outputs = to_plc(port);
    plc.wait_for(&Write::Coil(STOP, true));
    let id = raised(&outputs.tell(&flaw(10, "severe")));
    plc.wait_for(&Write::Coil(STOP, false));
    plc.wait_for(&Write::Coil(LAMP, true));
    plc.wait_for(&Write::Registers(STATUS, vec![3, 1]));
    // Further flaws, and a second call for the same alarm, change nothing.
    outputs.tell(&flaw(20, "minor"));
    outputs.tell(&flaw(30, "severe"));
    outputs.acknowledge(id, "Ayla").unwrap();
    plc.wait_for(&Write::Coil(STOP, true));
    plc.wait_for(&Write::Registers(STATUS, vec![0, 0]));
}

#[test]
fn the_heartbeat_stops_when_the_line_does_and_goes_on_with_it() {
    let port = free_port();
    let plc = Plc::start(port);
    let outputs = to_plc(port);
    // Nothing vouches for a line that has not been seen yet.
    plc.wait_for(&Write::Registers(STATUS, vec![0, 0]));
    let (mut beats, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    let mut last_pulse = Instant::now();
    while beats.len() < 5 {
        assert!(Instant::now() < deadline, "{beats:?}");
        last_pulse = Instant::now();
        outputs.pulse();
        let next = plc.next_to(BEAT, Duration::from_millis(50));
        beats.extend(next.map(|(_, write)| write));
    }
    let counted: Vec<_> = (1..=5).map(|n| Write::Registers(BEAT, vec![n])).collect();
    assert_eq!(beats, counted);
    // From here on the line hangs. Beats come for a while, then none for as long as I wait.
    let mut last_beat = last_pulse;
    while let Some((at, _)) = plc.next_to(BEAT, 3 * LINE_WITHIN) {
        last_beat = at;
    }
    let lasted = last_beat - last_pulse;
    assert!(
        lasted < 2 * LINE_WITHIN,
        "beats for {lasted:?} after the last sign of the line"
    );
    outputs.pulse();
    assert!(plc.next_to(BEAT, PATIENCE).is_some());
}

#[test]
fn a_plc_that_was_dead_cost_nothing_and_learns_the_state_when_it_comes() {
    let port = free_port();
    let outputs = to_plc(port);
    told_in_no_time(&outputs, 2000);
    outputs.tell(&flaw(10, "severe"));
    {
        let plc = Plc::start(port);
        plc.wait_for(&Write::Coil(STOP, false));
        plc.wait_for(&Write::Coil(LAMP, true));
    }
    // It dies with its connections, and what it held is lost with it.
    outputs.acknowledge(1, "Ayla").unwrap();
    outputs.pulse();
    let plc = Plc::start(port);
    plc.wait_for(&Write::Coil(STOP, true));
    plc.wait_for(&Write::Coil(LAMP, false));
}

#[test]
fn a_flaw_is_marked_when_it_has_come_to_the_marker_and_not_before() {
    let port = free_port();
    let plc = Plc::start(port);
    let outputs = to_plc(port);
    outputs.reached(Um(588_000));
    outputs.tell(&flaw(90, "minor"));
    // Not yet there; the lamp comes after everything that was told before.
    outputs.reached(Um(588_500));
    outputs.tell(&flaw(95, "severe"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (_, write) = plc.writes.recv_timeout(left).unwrap();
        assert_ne!(write, Write::Coil(MARKER, true), "marked too early");
        if write == Write::Coil(LAMP, true) {
            break;
        }
    }
    outputs.reached(Um(591_000));
    let on = plc.wait_for(&Write::Coil(MARKER, true));
    let off = plc.wait_for(&Write::Coil(MARKER, false));
    assert!(off - on >= Duration::from_millis(40), "{:?}", off - on);
    // One that runs is marked while it does, and not again when it is whole.
    let span = |from, to| Span::new(Um(from), Um(to)).unwrap();
    outputs.tell(&Event::Running(Running {
        lane: 0,
        along: span(-900_000, 100_000),
        across: span(0, 1000),
        length: Um(1_000_000),
        has_ended: false,
    }));
    outputs.tell(&Event::Flaw(FoundFlaw {
        id: "long".to_owned(),
        class: "end_out".to_owned(),
        severity: "severe".to_owned(),
        rect: WebRect {
            along: span(-900_000, 200_000),
            across: span(0, 1000),
        },
        score: 2.0,
    }));
    outputs.reached(Um(602_000));
    plc.wait_for(&Write::Coil(MARKER, true));
    // The next flaw never comes to the marker.
    outputs.tell(&flaw(590, "minor"));
    let undelivered = outputs.finish();
    assert_eq!(undelivered.len(), 1, "{undelivered:?}");
    assert_eq!(
        (undelivered[0].receiver, undelivered[0].n_marks),
        ("modbus", 1)
    );
}
