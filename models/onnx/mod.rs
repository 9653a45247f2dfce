//! ONNX files and sessions: reading, writing and, with feature `onnx`, running them.

pub mod graph;
pub mod proto;
pub mod read;
