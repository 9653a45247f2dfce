//! The store seen from outside: a whole life on every server, opening, kills, full and read-only
//! disks.
//!
//! A child process is this same program started again with an environment variable that names its
//! task; the test that is its entry does nothing otherwise.

mod cloth;
mod disks;
mod killed;
mod life;
mod opening;
mod postgres;
mod readers;
