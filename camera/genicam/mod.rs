//! GigE Vision and USB3 Vision cameras, through Aravis.
//!
//! ```text
//! cameras() ──▶ id, serial or address ──▶ GenicamCamera: settings ──▶ buffers ──▶ Frame | Lost
//! ```
//!
//! [`cameras`] lists what answers; a [`GenicamCamera`] is one of them as a live source. Its
//! settings are checked against what the camera says of itself: what it refuses, or takes
//! differently than asked, is told with both. Without the feature `genicam` the same names exist
//! and say that they are not built in.
//!
//! What was run, and on what: GigE Vision against Aravis' own `arv-fake-gv-camera`, over the loopback
//! interface: discovery, settings, Mono8, Mono16 and RGB8, lost packets, a count that goes round,
//! a camera that dies and comes back. What never was run on hardware, and is tested as far as
//! bytes and numbers go: Mono10, Mono12 and their packed forms, BGR8, encoder values in chunk data,
//! resent packets (the fake camera resends none), hardware triggers, line-scan cameras, USB3 Vision.

#[cfg_attr(not(feature = "genicam"), allow(dead_code, reason = "nobody asks"))]
mod count;
#[cfg_attr(not(feature = "genicam"), allow(dead_code, reason = "nobody asks"))]
mod encoder;
#[cfg_attr(not(feature = "genicam"), allow(dead_code, reason = "nobody asks"))]
mod pixels;
#[cfg_attr(not(feature = "genicam"), allow(dead_code, reason = "nobody asks"))]
mod settings;

#[cfg(feature = "genicam")]
mod enabled;
#[cfg(feature = "genicam")]
pub use enabled::{GenicamCamera, cameras};

#[cfg(not(feature = "genicam"))]
mod disabled;
#[cfg(not(feature = "genicam"))]
pub use disabled::{GenicamCamera, cameras};

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use settings::{FeatureValue, GenicamSettings};

/// A camera that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraInfo {
    /// By which it can be named always: vendor, model and serial number.
    pub id: String,
    /// Who made it.
    pub vendor: String,
    /// What it is.
    pub model: String,
    /// Its serial number, or its hardware address where it has none.
    pub serial: String,
    /// Where it is now: an IP address, or a place on the USB.
    pub address: String,
    /// `GigEVision` or `USB3Vision`.
    pub protocol: String,
}

/// What Aravis counts of a camera's stream, over all connections since it was opened.
///
/// The names are Aravis' own; what there is depends on the camera's protocol. Among a GigE Vision
/// camera's are `n_completed_buffers`, `n_failures` (buffers that came incomplete), `n_underruns`
/// (frames for which no buffer was free), `n_missing_packets`, `n_resend_requests` and
/// `n_resent_packets`. Written by the source, readable at any time from anywhere.
#[derive(Debug, Default)]
pub struct GenicamCounts {
    /// Of connections that ended, and of the present one.
    counts: Mutex<(BTreeMap<String, u64>, BTreeMap<String, u64>)>,
}

impl GenicamCounts {
    /// Every count, by name.
    pub fn all(&self) -> BTreeMap<String, u64> {
        let counts = self.lock();
        let mut all = counts.0.clone();
        for (name, n) in &counts.1 {
            *all.entry(name.clone()).or_default() += n;
        }
        all
    }

    /// One of them; 0 where it is not counted.
    pub fn of(&self, name: &str) -> u64 {
        let counts = self.lock();
        let of = |counts: &BTreeMap<String, u64>| counts.get(name).copied().unwrap_or(0);
        of(&counts.0) + of(&counts.1)
    }

    /// What the present connection has counted until now.
    #[cfg_attr(not(feature = "genicam"), allow(dead_code, reason = "nobody counts"))]
    fn set(&self, present: BTreeMap<String, u64>) {
        self.lock().1 = present;
    }

    /// The present connection ended.
    #[cfg_attr(not(feature = "genicam"), allow(dead_code, reason = "nobody counts"))]
    fn end_connection(&self) {
        let mut counts = self.lock();
        for (name, n) in std::mem::take(&mut counts.1) {
            *counts.0.entry(name).or_default() += n;
        }
    }

    fn lock(&self) -> MutexGuard<'_, (BTreeMap<String, u64>, BTreeMap<String, u64>)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_connections_are_added() {
        let counts = GenicamCounts::default();
        let so_many = |n| BTreeMap::from([("n_failures".to_owned(), n)]);
        counts.set(so_many(2));
        counts.set(so_many(3));
        counts.end_connection();
        assert_eq!(counts.of("n_failures"), 3);
        counts.set(so_many(4));
        assert_eq!(counts.all(), so_many(7));
        assert_eq!(counts.of("n_underruns"), 0);
    }
}
