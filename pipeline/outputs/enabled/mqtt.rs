//! Events and state to a broker, as JSON or Sparkplug B.
//!
//! ```text
//! JSON       TOPIC/state (kept), TOPIC/alive (kept; its will says false), TOPIC/flaw, TOPIC/alarm, …
//! Sparkplug  spBv1.0/GROUP/NBIRTH|NDATA|NDEATH/NODE, and NCMD/NODE to hear of a wished rebirth
//! ```
//!
//! JSON is published at QoS 1 and counts as told when the broker has confirmed it. Sparkplug
//! prescribes QoS 0: there an event that is under way when the broker dies is lost, and the birth
//! that follows tells the state. One connection is one client; what an old one had not sent is
//! sent from the outbox again.

use std::time::Duration;

use anyhow::{Context, anyhow};
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, LastWill, MqttOptions, Outgoing, QoS};
use serde_json::json;
use store::now_us;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::super::State;
use super::link::{Failed, Link};
use super::sparkplug::{Metric, Session, asks_for_birth};
use super::words::{KINDS, Parcel, state_json};
use crate::config::{MqttPayload, MqttSettings};

/// How long a broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// After one and a half times so long the broker tells the will.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A state with its alarms is far smaller; a command that is larger is none.
const MOST_BYTES: usize = 64 * 1024;
/// Packets between this thread and the client; one is under way at a time.
const DEPTH: usize = 8;

pub(super) struct MqttLink {
    options: MqttOptions,
    words: Words,
    station: String,
    runtime: Runtime,
    connection: Option<Connection>,
    /// State that were told last, for a rebirth.
    last: State,
}

enum Words {
    Json {
        topic: String,
    },
    Sparkplug {
        group: String,
        node: String,
        session: Session,
    },
}

struct Connection {
    client: AsyncClient,
    events: EventLoop,
    is_born: bool,
    is_rebirth_asked: bool,
}

impl MqttLink {
    /// # Errors
    /// When the password is not in its environment variable.
    pub(super) fn new(settings: &MqttSettings, station: &str) -> anyhow::Result<Self> {
        let mut options = MqttOptions::new(&settings.client, &settings.host, settings.port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_clean_session(true);
        options.set_max_packet_size(MOST_BYTES, MOST_BYTES);
        if let Some((user, env)) = &settings.login {
            let password = std::env::var(env).with_context(|| {
                format!("found no password of the MQTT broker in the environment variable {env}")
            })?;
            options.set_credentials(user, password);
        }
        let words = match settings.payload.clone() {
            MqttPayload::Json { topic } => Words::Json { topic },
            MqttPayload::Sparkplug { group, node } => Words::Sparkplug {
                group,
                node,
                session: Session::default(),
            },
        };
        Ok(Self {
            options,
            words,
            station: station.to_owned(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("the runtime of the MQTT client cannot be made")?,
            connection: None,
            last: State::default(),
        })
    }

    /// The connection, made anew where there is none.
    fn connect(&mut self) -> anyhow::Result<()> {
        if self.connection.is_some() {
            return Ok(());
        }
        let mut options = self.options.clone();
        let will = match &mut self.words {
            Words::Json { topic } => {
                LastWill::new(format!("{topic}/alive"), "false", QoS::AtLeastOnce, true)
            }
            Words::Sparkplug {
                group,
                node,
                session,
            } => LastWill::new(
                format!("spBv1.0/{group}/NDEATH/{node}"),
                session.connecting(now_ms()),
                QoS::AtLeastOnce,
                false,
            ),
        };
        options.set_last_will(will);
        let (client, mut events) = AsyncClient::new(options, DEPTH);
        events
            .network_options
            .set_connection_timeout(TIMEOUT.as_secs());
        let connected = self.runtime.block_on(events.poll());
        connected.context("the MQTT broker does not answer")?;
        self.connection = Some(Connection {
            client,
            events,
            is_born: false,
            is_rebirth_asked: false,
        });
        match &self.words {
            Words::Json { topic } => {
                let alive = format!("{topic}/alive");
                self.publish(alive, QoS::AtLeastOnce, true, b"true".to_vec())
            }
            Words::Sparkplug { group, node, .. } => {
                let commands = format!("spBv1.0/{group}/NCMD/{node}");
                let connection = self.connection.as_mut().context("it was just made")?;
                connection
                    .client
                    .try_subscribe(commands, QoS::AtLeastOnce)?;
                connection.wait(&self.runtime, |event| {
                    matches!(event, Event::Incoming(Incoming::SubAck(_)))
                })
            }
        }
    }

    /// Publishes and waits: at QoS 1 for the broker's word, else until it is written.
    fn publish(
        &mut self,
        topic: String,
        qos: QoS,
        is_kept: bool,
        payload: Vec<u8>,
    ) -> anyhow::Result<()> {
        let connection = self.connection.as_mut().context("there is no connection")?;
        connection
            .client
            .try_publish(topic, qos, is_kept, payload)?;
        connection.wait(&self.runtime, |event| match qos {
            QoS::AtMostOnce => matches!(event, Event::Outgoing(Outgoing::Publish(_))),
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                matches!(event, Event::Incoming(Incoming::PubAck(_)))
            }
        })
    }

    fn tell_state(&mut self, state: &State) -> anyhow::Result<()> {
        self.connect()?;
        self.last = state.clone();
        let is_born = self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.is_born);
        let (topic, qos, is_kept, payload) = match &mut self.words {
            Words::Json { topic } => {
                let mut body = state_json(state);
                body["station"] = json!(self.station);
                let payload = body.to_string().into_bytes();
                (format!("{topic}/state"), QoS::AtLeastOnce, true, payload)
            }
            Words::Sparkplug {
                group,
                node,
                session,
            } if is_born => {
                let payload = session.data(metrics(state), now_ms());
                let topic = format!("spBv1.0/{group}/NDATA/{node}");
                (topic, QoS::AtMostOnce, false, payload)
            }
            Words::Sparkplug {
                group,
                node,
                session,
            } => {
                let mut metrics = metrics(state);
                let events = KINDS
                    .iter()
                    .map(|kind| Metric::text(&format!("Event/{kind}"), None));
                metrics.extend(events);
                metrics.push(Metric::number("Event/Lost", 0));
                let payload = session.birth(metrics, now_ms());
                let topic = format!("spBv1.0/{group}/NBIRTH/{node}");
                (topic, QoS::AtMostOnce, false, payload)
            }
        };
        self.publish(topic, qos, is_kept, payload)?;
        if let Some(connection) = &mut self.connection {
            connection.is_born = true;
        }
        Ok(())
    }

    fn tell_parcel(&mut self, parcel: &Parcel, n_lost: u64) -> anyhow::Result<()> {
        let mut body = parcel.body.clone();
        body["lost"] = json!(n_lost);
        let (topic, qos, payload) = match &mut self.words {
            Words::Json { topic } => {
                body["station"] = json!(self.station);
                let topic = format!("{topic}/{}", parcel.kind);
                (topic, QoS::AtLeastOnce, body.to_string().into_bytes())
            }
            Words::Sparkplug {
                group,
                node,
                session,
            } => {
                let event = Metric::text(&format!("Event/{}", parcel.kind), Some(body.to_string()));
                let lost = Metric::number("Event/Lost", u32::try_from(n_lost).unwrap_or(u32::MAX));
                let payload = session.data(vec![event, lost], now_ms());
                (
                    format!("spBv1.0/{group}/NDATA/{node}"),
                    QoS::AtMostOnce,
                    payload,
                )
            }
        };
        self.publish(topic, qos, false, payload)
    }

    /// Keeps the connection alive and hears of its end; gives birth anew where that was asked.
    fn look_after(&mut self) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        connection.listen(&self.runtime)?;
        if std::mem::take(&mut connection.is_rebirth_asked) {
            connection.is_born = false;
            let last = self.last.clone();
            self.tell_state(&last)?;
        }
        Ok(())
    }

    /// The same outcome, with the connection given up where it is bad.
    fn outcome(&mut self, outcome: anyhow::Result<()>) -> Result<(), Failed> {
        outcome.map_err(|error| {
            self.connection = None;
            Failed::Gone(error)
        })
    }
}

impl Link for MqttLink {
    fn state(&mut self, state: &State) -> Result<(), Failed> {
        let told = self.tell_state(state);
        self.outcome(told)
    }

    fn parcel(&mut self, parcel: &Parcel, n_lost: u64) -> Result<(), Failed> {
        let told = self.tell_parcel(parcel, n_lost);
        self.outcome(told)
    }

    fn idle(&mut self) -> Result<(), Failed> {
        let looked_after = self.look_after();
        self.outcome(looked_after)
    }

    fn part(&mut self) {
        if self.connection.is_none() {
            return;
        }
        let (topic, is_kept, payload) = match &self.words {
            Words::Json { topic } => (format!("{topic}/alive"), true, b"false".to_vec()),
            Words::Sparkplug {
                group,
                node,
                session,
            } => {
                let topic = format!("spBv1.0/{group}/NDEATH/{node}");
                (topic, false, session.death(now_ms()))
            }
        };
        let left = self.publish(topic, QoS::AtLeastOnce, is_kept, payload);
        let left = left.and_then(|()| {
            let connection = self.connection.as_mut().context("there is no connection")?;
            connection.client.try_disconnect()?;
            connection.wait(&self.runtime, |event| {
                matches!(event, Event::Outgoing(Outgoing::Disconnect))
            })
        });
        if let Err(error) = left {
            // The broker then tells the will.
            tracing::warn!("leave of the MQTT broker could not be taken: {error:#}");
        }
        self.connection = None;
    }
}

impl Connection {
    /// Drives the client until an event is what is waited for.
    fn wait(&mut self, runtime: &Runtime, is_it: impl Fn(&Event) -> bool) -> anyhow::Result<()> {
        runtime.block_on(async {
            let waited = timeout(TIMEOUT, async {
                loop {
                    let event = self.events.poll().await?;
                    self.hear(&event);
                    if is_it(&event) {
                        return Ok::<_, anyhow::Error>(());
                    }
                }
            });
            waited
                .await
                .map_err(|_| anyhow!("the MQTT broker took longer than {TIMEOUT:?}"))?
        })
    }

    /// Drives the client for as long as there is something to do.
    fn listen(&mut self, runtime: &Runtime) -> anyhow::Result<()> {
        const AT_ONCE: Duration = Duration::from_millis(1);
        runtime.block_on(async {
            while let Ok(event) = timeout(AT_ONCE, self.events.poll()).await {
                self.hear(&event?);
            }
            Ok(())
        })
    }

    fn hear(&mut self, event: &Event) {
        // Only commands are subscribed to.
        if let Event::Incoming(Incoming::Publish(command)) = event {
            self.is_rebirth_asked |= asks_for_birth(&command.payload);
        }
    }
}

fn metrics(state: &State) -> Vec<Metric> {
    let alarms = &state.latched.alarms;
    let last = alarms.last().map(|alarm| alarm.message.clone());
    let roll = state.roll.as_ref().map(|about| about.roll.clone());
    vec![
        Metric::truth("Alarm/Stop", state.latched.stops()),
        Metric::truth("Alarm/Lamp", !alarms.is_empty()),
        Metric::number(
            "Alarm/Count",
            u32::try_from(alarms.len()).unwrap_or(u32::MAX),
        ),
        Metric::text("Alarm/Last", last),
        Metric::text("Roll", roll),
    ]
}

fn now_ms() -> u64 {
    u64::try_from(now_us() / 1000).unwrap_or(0)
}
