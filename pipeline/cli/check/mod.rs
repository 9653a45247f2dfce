//! `selvedge check`: is everything there that an inspection needs?
//!
//! ```text
//! (nothing)      ─▶ runtime, backbones, models, store
//! station.toml   ─▶ the same, then station: article ─▶ place: disk, clock, page, outputs ─▶ lane: each camera
//! ```
//!
//! Each line says what was found and, where that is wrong, what was expected and what to do. Nothing is
//! inspected and no roll is begun; what is tried in the store is taken back.

mod lane;
mod place;
mod station;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use models::onnx::Runtime;
use models::{BackboneFile, Mode, ModelError};
use store::Store;

use super::{Outcome, Place, say};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A station file: its cameras, light, disk, clock and receivers are looked at too. The station
    /// must not stand meanwhile.
    #[arg(value_name = "FILE")]
    station: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// What came of looking at one thing.
enum Told {
    /// It is as it should be.
    Good(String),
    /// It need not be mended, and a person may want to know.
    Note(String),
}

/// Says line by line what was found, and counts what is wrong.
#[derive(Default)]
struct Findings {
    n_wrong: usize,
}

impl Findings {
    fn tell(&mut self, what: &str, found: anyhow::Result<Told>) -> anyhow::Result<()> {
        match found {
            Ok(Told::Good(found)) => say(&format!("ok     {what:<12} {found}")),
            Ok(Told::Note(found)) => say(&format!("note   {what:<12} {found}")),
            Err(error) => {
                self.n_wrong += 1;
                say(&format!("WRONG  {what:<12} {error:#}"))
            }
        }
    }
}

pub(super) fn run(args: &CheckArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let mut findings = Findings::default();
    let runtime = match Runtime::load() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            findings.tell("runtime", Err(error.into()))?;
            None
        }
    };
    if let Some(runtime) = &runtime {
        let found = format!("ONNX Runtime {} on {}", runtime.version(), runtime.device());
        findings.tell("runtime", Ok(Told::Good(found)))?;
        for mode in Mode::ALL {
            findings.tell("backbone", backbone(runtime, mode))?;
        }
        findings.tell("models", models(args, runtime))?;
    }
    findings.tell("store", store(&args.place.store))?;
    if let Some(file) = &args.station {
        station::check(file, &args.place, runtime.as_ref(), stop, &mut findings)?;
    }
    let n_wrong = findings.n_wrong;
    anyhow::ensure!(n_wrong == 0, "{n_wrong} of the above must be mended first");
    Ok(Outcome::Clean)
}

/// What only one mode needs may be absent.
fn backbone(runtime: &Runtime, mode: Mode) -> anyhow::Result<Told> {
    let backbone = match BackboneFile::installed(runtime, mode) {
        Err(ModelError::NoBackbone { command, .. }) if mode != Mode::default() => {
            let told = format!("mode {mode}: not installed, `{command}` would");
            return Ok(Told::Good(told));
        }
        found => found?,
    };
    backbone.raw_scorer(runtime, models::Channels::Grey, &[])?;
    Ok(Told::Good(format!("mode {mode}: {} runs", mode.backbone())))
}

/// Replays the golden tiles of every article's active model.
fn models(args: &CheckArgs, runtime: &Runtime) -> anyhow::Result<Told> {
    let store = match Store::open_existing(&args.place.store) {
        Ok(store) => store,
        Err(store::StoreError::NotFound { .. }) => return Ok(Told::Good("none yet".to_owned())),
        Err(error) => return Err(error.into()),
    };
    let shelf = args.place.shelf();
    let mut n_models = 0;
    for article in store.articles()? {
        if store.active_model(&article.name)?.is_some() {
            shelf.active(&store, &article.name)?.scorer(runtime)?;
            n_models += 1;
        }
    }
    let told = format!("{n_models} active, golden tiles replayed");
    Ok(Told::Good(told))
}

fn store(url: &str) -> anyhow::Result<Told> {
    let told = match Store::open_existing(url) {
        Ok(store) => format!("{url}: {} rolls", store.rolls()?.len()),
        Err(store::StoreError::NotFound { .. }) => {
            format!("{url}: not there yet; `selvedge teach` makes it")
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Told::Good(told))
}
