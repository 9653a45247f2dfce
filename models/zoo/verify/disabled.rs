//! Say that networks cannot be run in this build; the twin of `enabled.rs`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use ndarray::{Array4, ArrayD};

use super::VerifyError;

/// ONNX Runtime, which this build never has.
pub(crate) struct Runtime(Infallible);

impl Runtime {
    /// Always [`VerifyError::NoRuntime`].
    pub(crate) fn load(_library: &Path) -> Result<Self, VerifyError> {
        Err(VerifyError::NoRuntime)
    }

    /// Cannot be called, because there is no value of this type.
    pub(crate) fn run(
        &self,
        _model: &[u8],
        _input: Array4<f32>,
        _names: &[String],
    ) -> Result<BTreeMap<String, ArrayD<f32>>, VerifyError> {
        match self.0 {}
    }
}
