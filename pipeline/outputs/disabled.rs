//! No receivers: this build has none.

use std::time::Instant;

use anyhow::ensure;
use calibration::Um;

use super::{State, Undelivered, Word};
use crate::config::OutputSettings;

/// Whether this build has receivers.
pub const ARE_BUILT_IN: bool = false;

/// Nobody.
pub(super) struct Receivers;

impl Receivers {
    /// # Errors
    /// When a receiver is named.
    pub(super) fn start(settings: &OutputSettings, _station: &str) -> anyhow::Result<Self> {
        ensure!(
            *settings == OutputSettings::default(),
            "found [outputs] in the station file, but this build has none, expected one with the Cargo feature `outputs`"
        );
        Ok(Self)
    }

    pub(super) fn tell(&self, _state: State, _words: &[Word<'_>]) {}

    pub(super) fn mark(&self, _along: Um, _now: Instant) {}

    pub(super) fn pulse(&self, _now: Instant) {}

    pub(super) fn reached(&self, _position: Um, _now: Instant) {}

    pub(super) fn finish(&self) -> Vec<Undelivered> {
        Vec::new()
    }
}
