//! GenICam cameras where they are not built in: everything is refused by name.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{CameraInfo, GenicamCounts, GenicamSettings};
use crate::{CameraError, Captured, Description, Pool, Source};

/// Refuses.
///
/// # Errors
/// Always `NotBuiltIn`.
pub fn cameras() -> Result<Vec<CameraInfo>, CameraError> {
    Err(CameraError::NotBuiltIn { feature: "genicam" })
}

/// A camera; cannot be had in this build.
#[derive(Debug)]
pub struct GenicamCamera(Infallible);

impl GenicamCamera {
    /// Refuses.
    ///
    /// # Errors
    /// Always `NotBuiltIn`.
    pub fn open(
        _name: &str,
        _camera: u16,
        _settings: &GenicamSettings,
    ) -> Result<Self, CameraError> {
        Err(CameraError::NotBuiltIn { feature: "genicam" })
    }

    /// Ends once `stop` is set.
    #[must_use]
    pub fn until(self, _stop: Arc<AtomicBool>) -> Self {
        self
    }

    /// What is counted of its stream.
    pub fn counts(&self) -> Arc<GenicamCounts> {
        match self.0 {}
    }
}

impl Source for GenicamCamera {
    fn description(&self) -> &Description {
        match self.0 {}
    }

    fn next(&mut self, _pool: &Pool) -> Result<Option<Captured>, CameraError> {
        match self.0 {}
    }
}
