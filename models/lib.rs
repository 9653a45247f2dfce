//! Placeholder.

pub mod onnx;
