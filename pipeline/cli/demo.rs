//! `selvedge demo`: everything at once on simulated cloth.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::Outcome;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Folder for the demo's store, model and picture.
    #[arg(long, default_value = "demo", value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(_args: &DemoArgs, _stop: &AtomicBool) -> anyhow::Result<Outcome> {
    Ok(Outcome::Clean)
}
