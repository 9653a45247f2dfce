//! Receivers of this build: each a thread over its outbox.

mod link;
mod marks;
mod modbus;
mod mqtt;
mod outbox;
mod signals;
mod sparkplug;
mod trouble;
mod webhook;
mod words;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use calibration::Um;

use self::link::post;
use self::modbus::signal;
use self::mqtt::MqttLink;
use self::outbox::{Outbox, Takes};
use self::webhook::WebhookLink;
use self::words::Parcel;
use super::{State, Undelivered, Word};
use crate::config::OutputSettings;

/// How long receivers may take for what still waits when the outputs end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Whether this build has receivers.
pub const ARE_BUILT_IN: bool = true;

/// All that hear of alarms. Their threads end when this is dropped.
pub(super) struct Receivers(Vec<Receiver>);

/// One receiver; its thread ends when its outbox is closed.
struct Receiver {
    name: &'static str,
    outbox: Arc<Outbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Receivers {
    /// # Errors
    /// When a password is not in its environment variable, or a thread cannot be started.
    pub(super) fn start(settings: &OutputSettings, station: &str) -> anyhow::Result<Self> {
        // Those that were started end with this where a later one fails.
        let mut receivers = Self(Vec::new());
        if let Some(modbus) = settings.modbus.clone() {
            let takes = Takes::Signals(modbus.marker.map(|marker| marker.distance));
            receivers.add("modbus", takes, move |outbox| signal(modbus, outbox))?;
        }
        if let Some(mqtt) = &settings.mqtt {
            let mut link = MqttLink::new(mqtt, station)?;
            let run = move |outbox: &Outbox| post("mqtt", outbox, &mut link);
            receivers.add("mqtt", Takes::Events, run)?;
        }
        if let Some(webhook) = &settings.webhook {
            let mut link = WebhookLink::new(webhook, station);
            let run = move |outbox: &Outbox| post("webhook", outbox, &mut link);
            receivers.add("webhook", Takes::Events, run)?;
        }
        Ok(receivers)
    }

    pub(super) fn tell(&self, state: State, words: &[Word<'_>]) {
        if self.0.is_empty() {
            return;
        }
        let state = Arc::new(state);
        let parcels: Vec<_> = words
            .iter()
            .map(|word| Arc::new(Parcel::of(word)))
            .collect();
        for receiver in &self.0 {
            receiver.outbox.put(&state, &parcels);
        }
    }

    /// A flaw begins at `along`.
    pub(super) fn mark(&self, along: Um, now: Instant) {
        for receiver in &self.0 {
            receiver.outbox.mark(along, now);
        }
    }

    pub(super) fn pulse(&self, now: Instant) {
        for receiver in &self.0 {
            receiver.outbox.pulse(now);
        }
    }

    pub(super) fn reached(&self, position: Um, now: Instant) {
        for receiver in &self.0 {
            receiver.outbox.reached(position, now);
        }
    }

    /// Gives them a moment for what waits, ends their threads, and says what each did not get.
    pub(super) fn finish(&self) -> Vec<Undelivered> {
        let until = Instant::now() + LAST_WORDS;
        for receiver in &self.0 {
            receiver.outbox.close(until);
        }
        for receiver in &self.0 {
            let mut thread = (receiver.thread.lock()).unwrap_or_else(PoisonError::into_inner);
            let ended = thread.take().map(JoinHandle::join);
            if let Some(Err(_)) = ended {
                tracing::error!(receiver = receiver.name, "the output's thread panicked");
            }
        }
        let undelivered = self.0.iter().map(|receiver| {
            let (n_events, n_marks, is_behind) = receiver.outbox.undelivered();
            Undelivered {
                receiver: receiver.name,
                n_events,
                n_marks,
                is_behind,
            }
        });
        let is_any = |lost: &Undelivered| lost.n_events > 0 || lost.n_marks > 0 || lost.is_behind;
        undelivered.filter(is_any).collect()
    }

    fn add(
        &mut self,
        name: &'static str,
        takes: Takes,
        run: impl FnOnce(&Outbox) + Send + 'static,
    ) -> anyhow::Result<()> {
        let outbox = Arc::new(Outbox::new(takes));
        let of_thread = Arc::clone(&outbox);
        let thread = std::thread::Builder::new()
            .name(format!("out-{name}"))
            .spawn(move || run(&of_thread))
            .with_context(|| format!("the thread of output {name} cannot be started"))?;
        self.0.push(Receiver {
            name,
            outbox,
            thread: Mutex::new(Some(thread)),
        });
        Ok(())
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.finish();
    }
}
