//! Sparkplug B's payload, as far as an edge node without devices needs it.
//!
//! The messages are those of the specification's `sparkplug_b.proto`, with its field numbers; what
//! is not used is left out, which protobuf allows.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Payload {
    /// Milliseconds since 1970 UTC.
    #[prost(uint64, optional, tag = "1")]
    pub(super) timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub(super) metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) seq: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metric {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub(super) datatype: Option<u32>,
    #[prost(bool, optional, tag = "7")]
    pub(super) is_null: Option<bool>,
    #[prost(oneof = "MetricValue", tags = "10, 11, 14, 15")]
    pub(super) value: Option<MetricValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum MetricValue {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    String(String),
}

/// The specification's numbers of types.
const INT64: u32 = 4;
const UINT32: u32 = 7;
const BOOLEAN: u32 = 11;
const STRING: u32 = 12;

/// A host asks for a new birth by this metric.
const REBIRTH: &str = "Node Control/Rebirth";

impl Metric {
    pub(super) fn number(name: &str, value: u32) -> Self {
        Self::new(name, UINT32, Some(MetricValue::Int(value)))
    }

    pub(super) fn truth(name: &str, value: bool) -> Self {
        Self::new(name, BOOLEAN, Some(MetricValue::Boolean(value)))
    }

    /// A text, or null.
    pub(super) fn text(name: &str, value: Option<String>) -> Self {
        Self::new(name, STRING, value.map(MetricValue::String))
    }

    fn new(name: &str, datatype: u32, value: Option<MetricValue>) -> Self {
        Self {
            name: Some(name.to_owned()),
            timestamp: None,
            datatype: Some(datatype),
            is_null: value.is_none().then_some(true),
            value,
        }
    }
}

/// The count of births and deaths, and of messages between them.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Of the next connection.
    next_bd_seq: u8,
    bd_seq: u8,
    seq: u8,
}

impl Session {
    /// A new connection: what its death will say.
    pub(super) fn connecting(&mut self, now_ms: u64) -> Vec<u8> {
        self.bd_seq = self.next_bd_seq;
        self.next_bd_seq = self.next_bd_seq.wrapping_add(1);
        self.death(now_ms)
    }

    /// The node has died, or is about to leave.
    pub(super) fn death(&self, now_ms: u64) -> Vec<u8> {
        let payload = Payload {
            timestamp: Some(now_ms),
            metrics: vec![self.bd_seq()],
            seq: None,
        };
        payload.encode_to_vec()
    }

    /// Every metric of the node, with its value.
    pub(super) fn birth(&mut self, mut metrics: Vec<Metric>, now_ms: u64) -> Vec<u8> {
        self.seq = 0;
        metrics.insert(0, self.bd_seq());
        metrics.insert(1, Metric::truth(REBIRTH, false));
        self.numbered(metrics, now_ms)
    }

    /// Metrics that have changed.
    pub(super) fn data(&mut self, metrics: Vec<Metric>, now_ms: u64) -> Vec<u8> {
        self.seq = self.seq.wrapping_add(1);
        self.numbered(metrics, now_ms)
    }

    fn numbered(&self, mut metrics: Vec<Metric>, now_ms: u64) -> Vec<u8> {
        for metric in &mut metrics {
            metric.timestamp = Some(now_ms);
        }
        let payload = Payload {
            timestamp: Some(now_ms),
            metrics,
            seq: Some(u64::from(self.seq)),
        };
        payload.encode_to_vec()
    }

    fn bd_seq(&self) -> Metric {
        let value = MetricValue::Long(u64::from(self.bd_seq));
        Metric::new("bdSeq", INT64, Some(value))
    }
}

/// Whether a command asks for a new birth. What cannot be read asks for nothing.
pub(super) fn asks_for_birth(command: &[u8]) -> bool {
    let Ok(payload) = Payload::decode(command) else {
        return false;
    };
    payload.metrics.iter().any(|metric| {
        metric.name.as_deref() == Some(REBIRTH) && metric.value == Some(MetricValue::Boolean(true))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Payload {
        Payload::decode(bytes).unwrap()
    }

    #[test]
    fn a_birth_and_the_death_of_its_connection_bear_one_number_and_data_counts_up() {
        let mut session = Session::default();
        for connection in [0, 1] {
            let death = decode(&session.connecting(5));
            assert_eq!(
                death.metrics,
                [Metric {
                    timestamp: None,
                    ..session.bd_seq()
                }]
            );
            assert_eq!(death.metrics[0].value, Some(MetricValue::Long(connection)));
            assert_eq!(death.seq, None);
            let birth = decode(&session.birth(vec![Metric::number("Alarm/Count", 2)], 6));
            assert_eq!((birth.seq, birth.timestamp), (Some(0), Some(6)));
            assert_eq!(birth.metrics[0].value, death.metrics[0].value);
            let names: Vec<_> = birth
                .metrics
                .iter()
                .flat_map(|metric| &metric.name)
                .collect();
            assert_eq!(names, ["bdSeq", REBIRTH, "Alarm/Count"]);
        }
        for expected in (1..=255).chain([0, 1]) {
            let data = decode(&session.data(Vec::new(), 7));
            assert_eq!(data.seq, Some(expected));
        }
    }

    /// The bytes of the specification's own encoding of one metric, by hand.
    #[test]
    fn fields_have_the_numbers_of_the_specification() {
        let payload = Payload {
            timestamp: Some(1),
            metrics: vec![Metric::text("a", None), Metric::truth("b", true)],
            seq: Some(3),
        };
        let expected = [
            0x08, 1, // timestamp
            0x12, 7, 0x0A, 1, b'a', 0x20, 12, 0x38, 1, // name, datatype, is_null
            0x12, 7, 0x0A, 1, b'b', 0x20, 11, 0x70, 1, // name, datatype, boolean_value
            0x18, 3, // seq
        ];
        assert_eq!(payload.encode_to_vec(), expected);
    }

    #[test]
    fn only_a_true_rebirth_asks_for_a_birth() {
        let command = |metric| Payload {
            timestamp: None,
            metrics: vec![metric],
            seq: None,
        };
        let asks = |metric| asks_for_birth(&command(metric).encode_to_vec());
        assert!(asks(Metric::truth(REBIRTH, true)));
        assert!(!asks(Metric::truth(REBIRTH, false)));
        assert!(!asks(Metric::truth("Node Control/Reboot", true)));
        assert!(!asks_for_birth(&[0xFF, 0xFF, 0xFF]));
    }
}
