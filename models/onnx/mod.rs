//! ONNX files and sessions: reading, writing and, with feature `onnx`, running them.

pub mod graph;
pub mod proto;
pub mod read;

#[cfg(feature = "onnx")]
mod enabled;
#[cfg(feature = "onnx")]
pub use enabled::{Runtime, Session};

#[cfg(not(feature = "onnx"))]
mod disabled;
#[cfg(not(feature = "onnx"))]
pub use disabled::{Runtime, Session};
