//! GenICam cameras through Aravis: what there is, how it is set, what it sends.
//!
//! A camera and its stream belong to whoever holds the source and are used by one thread at a
//! time; Aravis' own threads receive packets and keep control of the camera. The library's list of
//! devices is shared by the whole process, so it is searched and opened from under one lock.

mod account;
mod discovery;
mod features;
mod knock;
mod link;
mod source;

pub use discovery::cameras;
pub use source::GenicamCamera;
