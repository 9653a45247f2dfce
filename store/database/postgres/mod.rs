//! PostgreSQL, when built in.
//!
//! With the feature `postgres` this is a connection; without it, a clear refusal. Nothing else in
//! the store asks which one it is.

#[cfg(feature = "postgres")]
mod enabled;
#[cfg(feature = "postgres")]
pub(super) use enabled::connect;

#[cfg(not(feature = "postgres"))]
mod disabled;
#[cfg(not(feature = "postgres"))]
pub(super) use disabled::connect;
