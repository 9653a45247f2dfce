//! `selvedge check`: is everything there that an inspection needs?

use clap::Args;
use models::onnx::Runtime;
use models::{BackboneFile, Mode, ModelError};
use store::Store;

use super::{Outcome, Place, say};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let mut n_wrong = 0;
    let mut tell = |what: &str, found: anyhow::Result<String>| match found {
        Ok(found) => say(&format!("ok     {what:<12} {found}")),
        Err(error) => {
            n_wrong += 1;
            say(&format!("WRONG  {what:<12} {error:#}"))
        }
    };
    let runtime = Runtime::load();
    match runtime {
        Ok(runtime) => {
            tell(
                "runtime",
                Ok(format!(
                    "ONNX Runtime {} on {}",
                    runtime.version(),
                    runtime.device()
                )),
            )?;
            for mode in Mode::ALL {
                tell("backbone", backbone(&runtime, mode))?;
            }
            tell("models", models(args, &runtime))?;
        }
        Err(error) => tell("runtime", Err(error.into()))?,
    }
    tell("store", store(&args.place.store))?;
    anyhow::ensure!(n_wrong == 0, "{n_wrong} of the above must be mended first");
    Ok(Outcome::Clean)
}

/// What only one mode needs may be absent.
fn backbone(runtime: &Runtime, mode: Mode) -> anyhow::Result<String> {
    let backbone = match BackboneFile::installed(runtime, mode) {
        Err(ModelError::NoBackbone { command, .. }) if mode != Mode::default() => {
            return Ok(format!("mode {mode}: not installed, `{command}` would"));
        }
        found => found?,
    };
    backbone.raw_scorer(runtime, models::Channels::Grey, &[])?;
    Ok(format!("mode {mode}: {} runs", mode.backbone()))
}

/// Replays the golden tiles of every article's active model.
fn models(args: &CheckArgs, runtime: &Runtime) -> anyhow::Result<String> {
    let store = match Store::open_existing(&args.place.store) {
        Ok(store) => store,
        Err(store::StoreError::NotFound { .. }) => return Ok("none yet".to_owned()),
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
    Ok(format!("{n_models} active, golden tiles replayed"))
}

fn store(url: &str) -> anyhow::Result<String> {
    match Store::open_existing(url) {
        Ok(store) => Ok(format!("{url}: {} rolls", store.rolls()?.len())),
        Err(store::StoreError::NotFound { .. }) => {
            Ok(format!("{url}: not there yet; `selvedge teach` makes it"))
        }
        Err(error) => Err(error.into()),
    }
}
