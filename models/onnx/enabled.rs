//! ONNX Runtime, loaded from where set-up put it, and sessions on it.
//!
//! One runtime per process; one session per inference worker, with one thread of its own: a
//! station's parallelism is its workers. Nothing is downloaded and nothing is reported to
//! anyone: telemetry is off. The device is the CPU; nothing else is asked for, so nothing
//! can be fallen back from.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array2, ArrayView3, ArrayView4, Axis};
use ort::environment::Environment;
use ort::session::SessionOutputs;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynValue, Tensor, TensorRef};

use crate::spots::FINE;
use crate::{Features, ModelError, TILE_STEP_PX};

/// The version that set-up installs.
const VERSION: &str = "1.28.0";

/// ONNX Runtime, ready for sessions.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    home: Arc<Path>,
}

impl Runtime {
    /// Loads ONNX Runtime from `SELVEDGE_HOME`, else from `lib/selvedge` beside the program's
    /// folder, else from `setup/installed` in any folder above the program.
    ///
    /// # Errors
    /// [`ModelError::NoRuntime`] naming every place that was looked at, or what the library
    /// said when it was loaded.
    pub fn load() -> Result<Self, ModelError> {
        let homes = homes();
        let library = |home: &Path| {
            home.join("lib")
                .join(format!("libonnxruntime.so.{VERSION}"))
        };
        let Some(home) = homes.iter().find(|home| library(home).is_file()) else {
            return Err(ModelError::NoRuntime {
                looked_for: homes.iter().map(|home| library(home)).collect(),
            });
        };
        let library = library(home);
        let library = library.canonicalize().unwrap_or(library);
        // ONNX Runtime allows one environment per process.
        static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return Ok(runtime.clone());
        }
        let environment = ort::init_from(&library)
            .map_err(|error| refused("could not be loaded", &error))?
            .with_telemetry(false)
            .build()
            .map_err(|error| refused("could not be started", &error))?;
        let runtime = Self {
            environment,
            home: home.as_path().into(),
        };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// Version of ONNX Runtime.
    pub fn version(&self) -> &str {
        VERSION
    }

    /// Name of the device that sessions run on.
    pub fn device(&self) -> &'static str {
        "cpu"
    }

    /// The installed backbone called `name`.
    pub fn backbone(&self, name: &str) -> PathBuf {
        self.home.join("zoo").join(format!("{name}.onnx"))
    }
}

/// Folders that may hold `lib/` and `zoo/`, best first.
fn homes() -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> = std::env::var_os("SELVEDGE_HOME")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    if let Ok(program) = std::env::current_exe() {
        for (height, folder) in program.ancestors().skip(1).enumerate() {
            if height == 1 {
                homes.push(folder.join("lib").join("selvedge"));
            }
            homes.push(folder.join("setup").join("installed"));
        }
    }
    homes
}

/// One network, loaded, with one thread.
pub struct Session {
    session: ort::session::Session,
}

impl Session {
    /// Loads the ONNX file in `model`.
    ///
    /// # Errors
    /// [`ModelError::Inference`] with ONNX Runtime's message.
    pub fn new(runtime: &Runtime, model: &[u8]) -> Result<Self, ModelError> {
        let session =
            build(runtime, model).map_err(|error| refused("refused the model", &error))?;
        Ok(Self { session })
    }

    /// The output `features` of one tile, and `fine` where the model has it, left in ONNX Runtime's
    /// own memory.
    ///
    /// # Errors
    /// [`ModelError::WrongTile`] when sides are no multiples of [`TILE_STEP_PX`];
    /// [`ModelError::Inference`] with ONNX Runtime's message.
    pub fn features(&mut self, tile: ArrayView3<'_, f32>) -> Result<Features, ModelError> {
        let mut outputs = self.run(tile)?;
        let features = held(take(&mut outputs, "features")?, "features")?;
        let Some(fine) = outputs.remove(FINE) else {
            return Ok(features);
        };
        let fine = held(fine, FINE)?;
        let shape = fine.shape().map(|side| side as i64);
        features
            .with_fine(fine)
            .ok_or_else(|| unexpected(FINE, &shape))
    }

    /// The output `score` of one tile.
    ///
    /// # Errors
    /// As for [`Session::features`].
    pub fn score(&mut self, tile: ArrayView3<'_, f32>) -> Result<Array2<f32>, ModelError> {
        let value = take(&mut self.run(tile)?, "score")?;
        let score = value
            .try_extract_array::<f32>()
            .map_err(|error| refused("gave a score of another type", &error))?;
        let shape: Vec<i64> = score.shape().iter().map(|side| *side as i64).collect();
        score
            .index_axis(Axis(0), 0)
            .into_dimensionality()
            .map(|score| score.to_owned())
            .map_err(|_| unexpected("score", &shape))
    }

    fn run(&mut self, tile: ArrayView3<'_, f32>) -> Result<SessionOutputs<'_>, ModelError> {
        let (_, height, width) = tile.dim();
        if height % TILE_STEP_PX != 0 || width % TILE_STEP_PX != 0 || height * width == 0 {
            return Err(ModelError::WrongTile {
                found: tile.shape().to_vec(),
                expected: format!("[planes, h, w] with h and w multiples of {TILE_STEP_PX}"),
            });
        }
        let batch: ArrayView4<'_, f32> = tile.insert_axis(Axis(0));
        let input = TensorRef::from_array_view(batch)
            .map_err(|error| refused("refused the tile", &error))?;
        self.session
            .run(ort::inputs!["pixels" => input])
            .map_err(|error| refused("could not run the model", &error))
    }
}

fn take(outputs: &mut SessionOutputs<'_>, name: &str) -> Result<DynValue, ModelError> {
    outputs.remove(name).ok_or_else(|| ModelError::Inference {
        doing: "ran the model",
        reason: format!("found no output {name:?}"),
    })
}

/// Planes of one tile, where ONNX Runtime put them.
fn held(value: DynValue, name: &str) -> Result<Features, ModelError> {
    let values: Tensor<f32> = value
        .downcast()
        .map_err(|error| refused("gave an output of another type", &error))?;
    let shape = values.shape().to_vec();
    let [1, k, rows, cols] = shape[..] else {
        return Err(unexpected(name, &shape));
    };
    let shape = [k as usize, rows as usize, cols as usize];
    Features::new(shape, Box::new(Held(values)))
        .ok_or_else(|| unexpected(name, &shape.map(|side| side as i64)))
}

fn build(runtime: &Runtime, model: &[u8]) -> ort::Result<ort::session::Session> {
    let builder = ort::session::Session::builder(&runtime.environment)?;
    let mut builder = builder
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?;
    builder.commit_from_memory(model)
}

/// A tensor that stays where ONNX Runtime put it.
struct Held(Tensor<f32>);

impl AsRef<[f32]> for Held {
    fn as_ref(&self) -> &[f32] {
        self.0.extract_tensor().1
    }
}

fn refused(doing: &'static str, reason: &dyn std::fmt::Display) -> ModelError {
    ModelError::Inference {
        doing,
        reason: reason.to_string(),
    }
}

fn unexpected(output: &str, shape: &[i64]) -> ModelError {
    ModelError::Inference {
        doing: "ran the model",
        reason: format!("found output {output:?} of shape {shape:?}"),
    }
}
