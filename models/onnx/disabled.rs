//! ONNX Runtime's place in a program that was built without it: every call says so.

use std::convert::Infallible;
use std::path::PathBuf;

use ndarray::{Array2, ArrayView3};

use crate::{Features, ModelError};

/// No runtime.
#[derive(Clone, Debug)]
pub struct Runtime {
    never: Infallible,
}

impl Runtime {
    /// Says that there is none.
    ///
    /// # Errors
    /// Always [`ModelError::WithoutOnnx`].
    pub fn load() -> Result<Self, ModelError> {
        Err(ModelError::WithoutOnnx { what: "a model" })
    }

    /// Version of ONNX Runtime.
    pub fn version(&self) -> &str {
        match self.never {}
    }

    /// Name of the device that sessions run on.
    pub fn device(&self) -> &'static str {
        match self.never {}
    }

    /// The installed backbone called `name`.
    pub fn backbone(&self, _name: &str) -> PathBuf {
        match self.never {}
    }
}

/// No session.
#[derive(Debug)]
pub struct Session {
    never: Infallible,
}

impl Session {
    /// Cannot happen: there is no runtime to give.
    ///
    /// # Errors
    /// None.
    pub fn new(runtime: &Runtime, _model: &[u8]) -> Result<Self, ModelError> {
        match runtime.never {}
    }

    /// Cannot happen.
    ///
    /// # Errors
    /// None.
    pub fn features(&mut self, _tile: ArrayView3<'_, f32>) -> Result<Features, ModelError> {
        match self.never {}
    }

    /// Cannot happen.
    ///
    /// # Errors
    /// None.
    pub fn score(&mut self, _tile: ArrayView3<'_, f32>) -> Result<Array2<f32>, ModelError> {
        match self.never {}
    }
}
