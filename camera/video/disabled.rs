//! Video where it is not built in: everything is refused by name.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{StreamAddress, StreamSettings};
use crate::{CameraError, Captured, Channels, Description, Pool, Source};

/// A video file; cannot be had in this build.
#[derive(Debug)]
pub struct VideoFile(Infallible);

/// A stream; cannot be had in this build.
#[derive(Debug)]
pub struct Stream(Infallible);

impl VideoFile {
    /// Refuses.
    ///
    /// # Errors
    /// Always `NotBuiltIn`.
    pub fn open(
        _path: &Path,
        _camera: u16,
        _channels: Option<Channels>,
    ) -> Result<Self, CameraError> {
        Err(CameraError::NotBuiltIn { feature: "video" })
    }
}

impl Stream {
    /// Refuses.
    ///
    /// # Errors
    /// Always `NotBuiltIn`.
    pub fn open(_address: &StreamAddress, _settings: StreamSettings) -> Result<Self, CameraError> {
        Err(CameraError::NotBuiltIn { feature: "video" })
    }

    /// Ends once `stop` is set.
    #[must_use]
    pub fn until(self, _stop: Arc<AtomicBool>) -> Self {
        self
    }
}

impl Source for VideoFile {
    fn description(&self) -> &Description {
        match self.0 {}
    }

    fn next(&mut self, _pool: &Pool) -> Result<Option<Captured>, CameraError> {
        match self.0 {}
    }
}

impl Source for Stream {
    fn description(&self) -> &Description {
        match self.0 {}
    }

    fn next(&mut self, _pool: &Pool) -> Result<Option<Captured>, CameraError> {
        match self.0 {}
    }
}
