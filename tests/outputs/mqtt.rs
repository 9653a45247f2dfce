//! Events and state at a real broker, which is killed and comes back.

use prost::Message;
use rumqttc::QoS;
use selvedge::config::{MqttPayload, MqttSettings, OutputSettings};
use selvedge::outputs::{Event, Outputs};
use serde_json::Value;

use super::broker::{Broker, Gate, Heard, Listener};
use super::{flaw, free_port, outputs, roll, told_in_no_time};

fn to_broker(port: u16, payload: MqttPayload) -> Outputs {
    outputs(OutputSettings {
        mqtt: Some(MqttSettings {
            host: "127.0.0.1".to_owned(),
            port,
            client: "table3".to_owned(),
            payload,
            login: None,
        }),
        ..OutputSettings::default()
    })
}

fn json() -> MqttPayload {
    MqttPayload::Json {
        topic: "mill/table3".to_owned(),
    }
}

fn value(heard: &Heard) -> Value {
    serde_json::from_slice(&heard.payload).unwrap()
}

#[test]
fn a_broker_that_is_killed_and_comes_back_has_the_state_and_every_event() {
    let folder = tempfile::tempdir().unwrap();
    let (port, gate_port) = (free_port(), free_port());
    let Some(broker) = Broker::start(folder.path(), port) else {
        return;
    };
    let listener = Listener::to(port, "mill/#");
    let gate = Gate::open(gate_port, port);
    let outputs = to_broker(gate_port, json());
    assert_eq!(listener.next("/alive").payload, b"true");
    outputs.tell(&roll());
    assert_eq!(value(&listener.next("/roll_began"))["roll"]["roll"], "R-7");
    let mut seqs = vec![1];
    for along in 0..20 {
        outputs.tell(&flaw(along, "minor"));
        seqs.push(value(&listener.next("/flaw"))["seq"].as_i64().unwrap());
    }
    drop(broker);
    for along in 20..40 {
        outputs.tell(&flaw(along, "minor"));
    }
    outputs.tell(&flaw(40, "severe"));
    drop(gate);
    // It has forgotten everything; only who listens comes before the outputs.
    let _broker = Broker::start(folder.path(), port).unwrap();
    let listener = Listener::to(port, "mill/#");
    let _gate = Gate::open(gate_port, port);
    let mut state = value(&listener.next("/state"));
    if state["stop"] == false {
        // It was under way when the alarm was raised.
        state = value(&listener.next("/state"));
    }
    assert_eq!(
        (&state["stop"], &state["station"]),
        (&true.into(), &"table 3".into())
    );
    while seqs.last() != Some(&42) {
        let event = value(&listener.next("/flaw"));
        assert_eq!(event["lost"], 0);
        seqs.push(event["seq"].as_i64().unwrap());
    }
    seqs.dedup();
    let all: Vec<i64> = (1..=42).collect();
    assert_eq!(seqs, all);
    assert_eq!(value(&listener.next("/alarm"))["seq"], 43);
    outputs.acknowledge(1, "Ayla").unwrap();
    assert_eq!(value(&listener.next("/alarm_acknowledged"))["by"], "Ayla");
    assert_eq!(outputs.finish(), []);
    assert_eq!(listener.next("/alive").payload, b"false");
    // Who comes later finds the state as it was left.
    let late = Listener::to(port, "mill/table3/state");
    assert_eq!(value(&late.next("/state"))["stop"], false);
}

#[test]
fn a_broker_that_is_away_costs_nothing() {
    let outputs = to_broker(free_port(), json());
    told_in_no_time(&outputs, 2000);
    let undelivered = outputs.finish();
    assert_eq!(undelivered.len(), 1, "{undelivered:?}");
    assert_eq!(
        (undelivered[0].n_events, undelivered[0].is_behind),
        (2000, true)
    );
}

#[test]
fn an_end_without_a_word_is_told_by_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let (port, gate_port) = (free_port(), free_port());
    let Some(_broker) = Broker::start(folder.path(), port) else {
        return;
    };
    let listener = Listener::to(port, "mill/#");
    let gate = Gate::open(gate_port, port);
    let _outputs = to_broker(gate_port, json());
    assert_eq!(listener.next("/alive").payload, b"true");
    drop(gate);
    assert_eq!(listener.next("/alive").payload, b"false");
}

/// What a host reads of a payload, by the numbers of the specification.
#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    seq: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(uint64, optional, tag = "11")]
    long: Option<u64>,
    #[prost(bool, optional, tag = "14")]
    truth: Option<bool>,
    #[prost(string, optional, tag = "15")]
    text: Option<String>,
}

impl Payload {
    fn of(heard: &Heard) -> Self {
        Self::decode(&heard.payload[..]).unwrap()
    }

    fn metric(&self, name: &str) -> &Metric {
        let named = |metric: &&Metric| metric.name.as_deref() == Some(name);
        self.metrics.iter().find(named).unwrap()
    }
}

#[test]
fn a_sparkplug_node_is_born_tells_and_dies_and_is_born_again_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (port, gate_port) = (free_port(), free_port());
    let Some(_broker) = Broker::start(folder.path(), port) else {
        return;
    };
    let listener = Listener::to(port, "spBv1.0/mill/#");
    let gate = Gate::open(gate_port, port);
    let sparkplug = MqttPayload::Sparkplug {
        group: "mill".to_owned(),
        node: "table3".to_owned(),
    };
    let outputs = to_broker(gate_port, sparkplug);
    let birth = Payload::of(&listener.next("/NBIRTH/table3"));
    assert_eq!((birth.seq, birth.metric("bdSeq").long), (Some(0), Some(0)));
    assert_eq!(birth.metric("Node Control/Rebirth").truth, Some(false));
    assert_eq!(birth.metric("Alarm/Stop").truth, Some(false));

    outputs.tell(&flaw(10, "severe"));
    let data = Payload::of(&listener.next("/NDATA/table3"));
    assert_eq!(
        (data.seq, data.metric("Alarm/Stop").truth),
        (Some(1), Some(true))
    );
    let data = Payload::of(&listener.next("/NDATA/table3"));
    let told = data.metric("Event/flaw");
    let event: Value = serde_json::from_str(told.text.as_deref().unwrap()).unwrap();
    assert_eq!(
        (data.seq, &event["flaw"]["class"]),
        (Some(2), &"hole".into())
    );
    // Every metric that is ever told was in the birth, with its type.
    let names = birth
        .metrics
        .iter()
        .map(|metric| (&metric.name, metric.datatype));
    assert!(
        names
            .into_iter()
            .any(|known| known == (&told.name, told.datatype))
    );

    let command = Payload {
        metrics: vec![Metric {
            name: Some("Node Control/Rebirth".to_owned()),
            datatype: Some(11),
            truth: Some(true),
            ..Metric::default()
        }],
        seq: None,
    };
    let topic = "spBv1.0/mill/NCMD/table3";
    let bytes = command.encode_to_vec();
    listener
        .client
        .publish(topic, QoS::AtLeastOnce, false, bytes)
        .unwrap();
    let again = Payload::of(&listener.next("/NBIRTH/table3"));
    assert_eq!((again.seq, again.metric("bdSeq").long), (Some(0), Some(0)));
    assert_eq!(again.metric("Alarm/Stop").truth, Some(true));

    drop(gate);
    let death = Payload::of(&listener.next("/NDEATH/table3"));
    assert_eq!((death.seq, death.metric("bdSeq").long), (None, Some(0)));
    let _gate = Gate::open(gate_port, port);
    let second = Payload::of(&listener.next("/NBIRTH/table3"));
    assert_eq!(
        (second.seq, second.metric("bdSeq").long),
        (Some(0), Some(1))
    );
    outputs.tell(&Event::RollEnded {
        state: "done".to_owned(),
    });
    assert_eq!(outputs.finish(), []);
    let left = Payload::of(&listener.next("/NDEATH/table3"));
    assert_eq!(left.metric("bdSeq").long, Some(1));
}
