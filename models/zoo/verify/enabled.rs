//! Run a network once in ONNX Runtime, on the CPU; the twin of `disabled.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array4, ArrayD};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;

use super::VerifyError;

/// ONNX Runtime, loaded. It allows one environment per process, so this is made once.
pub(crate) struct Runtime {
    environment: Environment,
}

impl Runtime {
    /// Loads the library at the absolute path `library`.
    pub(crate) fn load(library: &Path) -> Result<Self, VerifyError> {
        let environment = ort::init_from(library)
            .map_err(|source| VerifyError::Library {
                path: library.to_owned(),
                source,
            })?
            .with_telemetry(false)
            .build()?;
        Ok(Self { environment })
    }

    /// Runs the network in `model` on `input`; gives the outputs that `names` lists.
    pub(crate) fn run(
        &self,
        model: &[u8],
        input: Array4<f32>,
        names: &[String],
    ) -> Result<BTreeMap<String, ArrayD<f32>>, VerifyError> {
        let builder = Session::builder(&self.environment)?;
        let mut session = builder
            .with_intra_threads(1)
            .map_err(ort::Error::from)?
            .commit_from_memory(model)?;
        let outputs = session.run(ort::inputs!["input" => Tensor::from_array(input)?])?;
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(output) = outputs.get(name) {
                found.insert(name.clone(), output.try_extract_array::<f32>()?.to_owned());
            }
        }
        Ok(found)
    }
}
