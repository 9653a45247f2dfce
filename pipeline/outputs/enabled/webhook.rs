//! Events and state as HTTP POST, JSON.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::super::State;
use super::link::{Failed, Link};
use super::words::{Parcel, state_json};
use crate::config::WebhookSettings;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Answers outside 5xx after which the same request may do: timeout, too early, too many.
const LATER: [u16; 3] = [408, 425, 429];

pub(super) struct WebhookLink {
    agent: ureq::Agent,
    url: String,
    station: String,
}

impl WebhookLink {
    pub(super) fn new(settings: &WebhookSettings, station: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            url: settings.url.clone(),
            station: station.to_owned(),
        }
    }

    fn post(&self, body: &Value) -> Result<(), Failed> {
        let request = self.agent.post(&self.url);
        let answer = request
            .content_type("application/json")
            .send(body.to_string())
            .map_err(|error| Failed::Gone(anyhow!("{}: {error}", self.url)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let error = anyhow!("{} answered {status}, expected 2xx", self.url);
        if status.is_server_error() || LATER.contains(&status.as_u16()) {
            Err(Failed::Gone(error))
        } else {
            Err(Failed::Refused(error))
        }
    }
}

impl Link for WebhookLink {
    fn state(&mut self, state: &State) -> Result<(), Failed> {
        let state = state_json(state);
        self.post(&json!({"event": "state", "station": self.station, "state": state}))
    }

    fn parcel(&mut self, parcel: &Parcel, n_lost: u64) -> Result<(), Failed> {
        let mut body = parcel.body.clone();
        body["station"] = json!(self.station);
        body["lost"] = json!(n_lost);
        self.post(&body)
    }

    fn idle(&mut self) -> Result<(), Failed> {
        Ok(())
    }

    fn part(&mut self) {}
}
