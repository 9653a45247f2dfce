//! `selvedge check`: is everything there that an inspection needs?

use clap::Args;
use models::BackboneFile;
use models::onnx::Runtime;
use store::Store;

use super::{Outcome, Place, say, teach::BACKBONE};

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
            tell("backbone", backbone(&runtime))?;
            tell("models", models(args, &runtime))?;
        }
        Err(error) => tell("runtime", Err(error.into()))?,
    }
    tell("store", store(&args.place.store))?;
    anyhow::ensure!(n_wrong == 0, "{n_wrong} of the above must be mended first");
    Ok(Outcome::Clean)
}

fn backbone(runtime: &Runtime) -> anyhow::Result<String> {
    let path = runtime.backbone(BACKBONE);
    let backbone = BackboneFile::read(&path)?;
    backbone.raw_scorer(runtime, models::Channels::Grey)?;
    Ok(format!("{BACKBONE} runs ({})", path.display()))
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
