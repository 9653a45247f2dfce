//! `[outputs.…]` of the station file: whom alarms go to, and how.
//!
//! ```toml
//! [outputs.modbus]                   # a PLC or remote I/O
//! address = "192.168.10.20:502"
//! unit = 1                           # 255 when left out: the device itself
//! heartbeat = { register = 0, every_ms = 500 }   # or { coil = 3, … }
//! line_within_ms = 3000              # without a sign of the line for so long the heartbeat stops
//! status_register = 1                # bit 0 stop, bit 1 lamp, bit 2 the line runs; next one: alarms
//! stop = { coil = 0, active = "off" }            # held until the alarm is acknowledged
//! lamp = { coil = 1, pulse_ms = 2000 }           # or a pulse for each alarm
//! marker = { coil = 2, pulse_ms = 80, distance_mm = 850 }  # from the camera to the marker
//!
//! [outputs.mqtt]
//! address = "192.168.10.5:1883"
//! topic = "mill/table3"
//! payload = "json"                   # or "sparkplug", with group = "…" and node = "…"
//! user = "table3"
//! password_env = "SELVEDGE_MQTT_PASSWORD"
//!
//! [outputs.webhook]
//! url = "http://192.168.10.6:8080/selvedge"
//! ```

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{bail, ensure};
use calibration::{Um, um_from_mm};
use serde::Deserialize;

/// Whom alarms go to; each may be left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputSettings {
    /// A PLC or remote I/O.
    pub modbus: Option<ModbusSettings>,
    /// A broker.
    pub mqtt: Option<MqttSettings>,
    /// A web server.
    pub webhook: Option<WebhookSettings>,
}

/// A Modbus TCP device and what is wired to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModbusSettings {
    /// Host and port.
    pub address: String,
    /// The unit behind it.
    pub unit: u8,
    /// What changes as long as all is well.
    pub heartbeat: Beat,
    /// How often it does.
    pub every: Duration,
    /// Without a sign of the line for so long the heartbeat stops.
    pub line_within: Duration,
    /// Holding register of the status bits; the number of alarms stands in the next.
    pub status: Option<u16>,
    /// Asks the machine to stop.
    pub stop: Option<Signal>,
    /// Calls a person.
    pub lamp: Option<Signal>,
    /// Marks flaws on the cloth.
    pub marker: Option<Marker>,
}

/// Where the heartbeat is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// A holding register that counts up.
    Register(u16),
    /// A coil that goes on and off.
    Coil(u16),
}

/// A coil and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its address, from 0.
    pub coil: u16,
    /// Its state when it asks for something; the other one is rest.
    pub active: bool,
    /// How long it asks; without, until the alarm is acknowledged.
    pub pulse: Option<Duration>,
}

/// A marker that sprays or labels the cloth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Its coil.
    pub coil: u16,
    /// The coil's state that marks.
    pub active: bool,
    /// How long it marks.
    pub pulse: Duration,
    /// From the camera's line to the marker, along.
    pub distance: Um,
}

/// A broker and what it is told.
#[derive(Clone, PartialEq, Eq)]
pub struct MqttSettings {
    /// Host of the broker.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The client's name there.
    pub client: String,
    /// In which words.
    pub payload: MqttPayload,
    /// User, and the environment variable that holds the password.
    pub login: Option<(String, String)>,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttPayload {
    /// JSON below this topic.
    Json {
        /// Without a slash at its end.
        topic: String,
    },
    /// Sparkplug B.
    Sparkplug {
        /// Group id.
        group: String,
        /// Edge node id.
        node: String,
    },
}

/// A web server that events are posted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `http://…`
    pub url: String,
}

const PULSE_MS: RangeInclusive<u64> = 10..=60_000;
const EVERY_MS: RangeInclusive<u64> = 10..=10_000;
const LINE_WITHIN_MS: RangeInclusive<u64> = 20..=60_000;
const DISTANCE_MM: RangeInclusive<f64> = 0.0..=100_000.0;
/// The device itself, when no unit behind a gateway is meant.
const DEVICE_ITSELF: u8 = 255;
/// A line gives several frames in so long even when it creeps.
const LINE_WITHIN_DEFAULT_MS: u64 = 3000;
const CLIENT_DEFAULT: &str = "selvedge";

// A user's name is not for the log.
impl std::fmt::Debug for MqttSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("client", &self.client)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOutputs {
    modbus: Option<RawModbus>,
    mqtt: Option<RawMqtt>,
    webhook: Option<RawWebhook>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModbus {
    address: String,
    unit: Option<u8>,
    heartbeat: RawHeartbeat,
    line_within_ms: Option<u64>,
    status_register: Option<u16>,
    stop: Option<RawSignal>,
    lamp: Option<RawSignal>,
    marker: Option<RawMarker>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeartbeat {
    register: Option<u16>,
    coil: Option<u16>,
    every_ms: u64,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawActive {
    #[default]
    On,
    Off,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignal {
    coil: u16,
    #[serde(default)]
    active: RawActive,
    pulse_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMarker {
    coil: u16,
    #[serde(default)]
    active: RawActive,
    pulse_ms: u64,
    distance_mm: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMqtt {
    address: String,
    client: Option<String>,
    #[serde(default)]
    payload: RawPayload,
    topic: Option<String>,
    group: Option<String>,
    node: Option<String>,
    user: Option<String>,
    password_env: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawPayload {
    #[default]
    Json,
    Sparkplug,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    url: String,
}

impl RawOutputs {
    pub(super) fn checked(self) -> anyhow::Result<OutputSettings> {
        Ok(OutputSettings {
            modbus: self.modbus.map(RawModbus::checked).transpose()?,
            mqtt: self.mqtt.map(RawMqtt::checked).transpose()?,
            webhook: self.webhook.map(RawWebhook::checked).transpose()?,
        })
    }
}

impl RawModbus {
    fn checked(self) -> anyhow::Result<ModbusSettings> {
        let key = |name: &str| format!("outputs.modbus.{name}");
        host_and_port(&key("address"), &self.address)?;
        let heartbeat = match (self.heartbeat.register, self.heartbeat.coil) {
            (Some(register), None) => Beat::Register(register),
            (None, Some(coil)) => Beat::Coil(coil),
            (register, coil) => bail!(
                "found {} with register {register:?} and coil {coil:?}, expected one of them",
                key("heartbeat")
            ),
        };
        let within = self.line_within_ms.unwrap_or(LINE_WITHIN_DEFAULT_MS);
        let signal = |name: &str, raw: Option<RawSignal>| {
            let pulse = |ms| millis(&key(&format!("{name}.pulse_ms")), ms, PULSE_MS);
            raw.map(|raw| {
                Ok::<_, anyhow::Error>(Signal {
                    coil: raw.coil,
                    active: raw.active.is_on(),
                    pulse: raw.pulse_ms.map(pulse).transpose()?,
                })
            })
            .transpose()
        };
        let marker = self.marker.map(|raw| {
            ensure!(
                DISTANCE_MM.contains(&raw.distance_mm),
                "found {} = {}, expected {} to {}",
                key("marker.distance_mm"),
                raw.distance_mm,
                DISTANCE_MM.start(),
                DISTANCE_MM.end()
            );
            Ok(Marker {
                coil: raw.coil,
                active: raw.active.is_on(),
                pulse: millis(&key("marker.pulse_ms"), raw.pulse_ms, PULSE_MS)?,
                distance: um_from_mm(raw.distance_mm),
            })
        });
        let settings = ModbusSettings {
            address: self.address,
            unit: self.unit.unwrap_or(DEVICE_ITSELF),
            heartbeat,
            every: millis(
                &key("heartbeat.every_ms"),
                self.heartbeat.every_ms,
                EVERY_MS,
            )?,
            line_within: millis(&key("line_within_ms"), within, LINE_WITHIN_MS)?,
            status: self.status_register,
            stop: signal("stop", self.stop)?,
            lamp: signal("lamp", self.lamp)?,
            marker: marker.transpose()?,
        };
        settings.check_places()?;
        Ok(settings)
    }
}

impl ModbusSettings {
    /// Refuses a coil or register with two meanings.
    fn check_places(&self) -> anyhow::Result<()> {
        let signals = [self.stop, self.lamp].into_iter().flatten();
        let beat = match self.heartbeat {
            Beat::Coil(coil) => Some(coil),
            Beat::Register(_) => None,
        };
        let coils = signals.map(|signal| signal.coil);
        let coils = coils
            .chain(self.marker.map(|marker| marker.coil))
            .chain(beat);
        let mut taken = BTreeSet::new();
        for coil in coils {
            ensure!(
                taken.insert(coil),
                "found coil {coil} twice in outputs.modbus, expected one meaning for each"
            );
        }
        if let Some(status) = self.status {
            ensure!(
                status < u16::MAX,
                "found outputs.modbus.status_register = {status}, expected 0 to 65534"
            );
            let is_shared =
                matches!(self.heartbeat, Beat::Register(at) if at == status || at == status + 1);
            ensure!(
                !is_shared,
                "found outputs.modbus.heartbeat in one of the status registers {status} and {}, expected another",
                status + 1
            );
        }
        Ok(())
    }
}

impl RawActive {
    fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

impl RawMqtt {
    fn checked(self) -> anyhow::Result<MqttSettings> {
        let key = |name: &str| format!("outputs.mqtt.{name}");
        let (host, port) = host_and_port(&key("address"), &self.address)?;
        let payload = match (self.payload, self.topic, self.group, self.node) {
            (RawPayload::Json, Some(topic), None, None) => {
                topic_part(&key("topic"), &topic, true)?;
                MqttPayload::Json { topic }
            }
            (RawPayload::Sparkplug, None, Some(group), Some(node)) => {
                topic_part(&key("group"), &group, false)?;
                topic_part(&key("node"), &node, false)?;
                MqttPayload::Sparkplug { group, node }
            }
            (RawPayload::Json, ..) => bail!(
                "found {} = \"json\" without a topic or with a group or node, expected a topic alone",
                key("payload")
            ),
            (RawPayload::Sparkplug, ..) => bail!(
                "found {} = \"sparkplug\" without a group and node or with a topic, expected group and node",
                key("payload")
            ),
        };
        let login = match (self.user, self.password_env) {
            (Some(user), Some(env)) => Some((user, env)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => bail!(
                "found one of {} and {}, expected both or none",
                key("user"),
                key("password_env")
            ),
        };
        let client = self.client.unwrap_or_else(|| CLIENT_DEFAULT.to_owned());
        ensure!(
            !client.trim().is_empty(),
            "found {} = {client:?}, expected a name",
            key("client")
        );
        Ok(MqttSettings {
            host,
            port,
            client,
            payload,
            login,
        })
    }
}

impl RawWebhook {
    fn checked(self) -> anyhow::Result<WebhookSettings> {
        let authority = self.url.split("://").nth(1).unwrap_or(&self.url);
        ensure!(
            !authority
                .split('/')
                .next()
                .unwrap_or_default()
                .contains('@'),
            "found a user in outputs.webhook.url, expected none: it would stand in the log"
        );
        let host = self.url.strip_prefix("http://").unwrap_or_default();
        // Encryption is a proxy's work on a mill's own network; an address that asks for it must
        // not be answered in the clear.
        ensure!(
            !host.is_empty() && !host.starts_with(['/', ':']),
            "found outputs.webhook.url = {:?}, expected http://host/…",
            self.url
        );
        Ok(WebhookSettings { url: self.url })
    }
}

fn millis(key: &str, found: u64, range: RangeInclusive<u64>) -> anyhow::Result<Duration> {
    let (least, most) = (range.start(), range.end());
    ensure!(
        range.contains(&found),
        "found {key} = {found}, expected {least} to {most}"
    );
    Ok(Duration::from_millis(found))
}

fn host_and_port(key: &str, address: &str) -> anyhow::Result<(String, u16)> {
    let parts = address.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() && port > 0 => {
            // Brackets hold an IPv6 address apart from its port.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok((host.to_owned(), port))
        }
        Some(_) | None => bail!("found {key} = {address:?}, expected host:port"),
    }
}

/// A topic, or one part of it, that can be published to.
fn topic_part(key: &str, found: &str, may_have_slash: bool) -> anyhow::Result<()> {
    let is_wild = found.contains(['+', '#']) || found.starts_with('$');
    let has_slash = found.contains('/') && !may_have_slash;
    ensure!(
        !found.is_empty() && !is_wild && !has_slash && !found.ends_with('/'),
        "found {key} = {found:?}, expected letters without + and #{}",
        if may_have_slash {
            ", no slash at the end"
        } else {
            " or a slash"
        }
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODBUS: &str = "[modbus]\naddress = 'plc:502'\n";
    const BEAT: &str = "heartbeat = { register = 0, every_ms = 500 }\n";

    fn parse(text: &str) -> anyhow::Result<OutputSettings> {
        toml::from_str::<RawOutputs>(text)?.checked()
    }

    #[test]
    fn a_plc_is_read_with_its_defaults() {
        assert_eq!(parse("").unwrap(), OutputSettings::default());
        let more = "stop = { coil = 0, active = 'off' }\nlamp = { coil = 1, pulse_ms = 2000 }\n\
                    marker = { coil = 2, pulse_ms = 80, distance_mm = 850 }\n";
        let expected = ModbusSettings {
            address: "plc:502".to_owned(),
            unit: 255,
            heartbeat: Beat::Register(0),
            every: Duration::from_millis(500),
            line_within: Duration::from_secs(3),
            status: None,
            stop: Some(Signal {
                coil: 0,
                active: false,
                pulse: None,
            }),
            lamp: Some(Signal {
                coil: 1,
                active: true,
                pulse: Some(Duration::from_secs(2)),
            }),
            marker: Some(Marker {
                coil: 2,
                active: true,
                pulse: Duration::from_millis(80),
                distance: Um(850_000),
            }),
        };
        let read = parse(&format!("{MODBUS}{BEAT}{more}")).unwrap();
        assert_eq!(read.modbus, Some(expected));
    }

    #[test]
    fn a_broker_is_told_json_or_sparkplug() {
        let payload = |more: &str| {
            let text = format!("[mqtt]\naddress = '[::1]:1883'\n{more}");
            parse(&text).map(|read| read.mqtt.unwrap())
        };
        let json = payload("topic = 'mill/table3'\n").unwrap();
        assert_eq!((json.host.as_str(), json.port), ("::1", 1883));
        let sparkplug = payload("payload = 'sparkplug'\ngroup = 'mill'\nnode = 'table3'\n");
        assert_eq!(
            sparkplug.unwrap().payload,
            MqttPayload::Sparkplug {
                group: "mill".to_owned(),
                node: "table3".to_owned()
            }
        );
        assert!(payload("").is_err() && payload("payload = 'sparkplug'\ntopic = 't'\n").is_err());
    }

    #[test]
    fn what_is_wrong_is_named_with_key_and_range() {
        let modbus = |more: &str| format!("{MODBUS}{BEAT}{more}\n");
        for (text, said) in [
            (MODBUS.to_owned(), "missing field `heartbeat`"),
            (modbus("buzzer = 3"), "unknown field `buzzer`"),
            (
                modbus("lamp = { coil = 1, pulse = 3 }"),
                "unknown field `pulse`",
            ),
            (modbus("lamp = { coil = 70000 }"), "70000"),
            (
                modbus("lamp = { coil = 1, active = 'low' }"),
                "unknown variant `low`",
            ),
            (
                modbus("lamp = { coil = 1, pulse_ms = 1 }"),
                "outputs.modbus.lamp.pulse_ms = 1, expected 10 to 60000",
            ),
            (
                modbus("marker = { coil = 1, pulse_ms = 50, distance_mm = -1 }"),
                "outputs.modbus.marker.distance_mm = -1, expected 0 to 100000",
            ),
            (
                modbus("stop = { coil = 1 }\nlamp = { coil = 1 }"),
                "found coil 1 twice",
            ),
            (
                modbus("status_register = 0"),
                "one of the status registers 0 and 1",
            ),
            (
                modbus("line_within_ms = 5"),
                "line_within_ms = 5, expected 20 to 60000",
            ),
            (
                format!("{MODBUS}heartbeat = {{ every_ms = 500 }}\n"),
                "with register None and coil None, expected one of them",
            ),
            (
                "[modbus]\naddress = 'plc'\nheartbeat = { coil = 0, every_ms = 500 }\n".to_owned(),
                "outputs.modbus.address = \"plc\", expected host:port",
            ),
            (
                "[mqtt]\naddress = 'b:1883'\ntopic = 'mill/#'\n".to_owned(),
                "outputs.mqtt.topic = \"mill/#\"",
            ),
            (
                "[mqtt]\naddress = 'b:1883'\ntopic = 'mill'\nuser = 'x'\n".to_owned(),
                "expected both or none",
            ),
            (
                "[webhook]\nurl = 'https://mill/hook'\n".to_owned(),
                "url = \"https://mill/hook\", expected http://host/…",
            ),
            (
                "[webhook]\nurl = 'https://me:secret@mill/hook'\n".to_owned(),
                "found a user in outputs.webhook.url",
            ),
            ("[lamp]\n".to_owned(), "unknown field `lamp`"),
        ] {
            let error = format!("{:#}", parse(&text).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
