//! `selvedge inspect`: one roll through the line into the store.

use std::sync::atomic::AtomicBool;

use clap::Args;
use models::onnx::Runtime;

use super::progress::Progress;
use super::{Outcome, Place, Sight, look, name, say_json};
use crate::fitting::{check_scale, scorers_of};
use crate::inspect::{Inspection, inspect};
use crate::record::Written;
use crate::roll_view::RollView;
use crate::source::SourceSpec;

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Name of the article.
    #[arg(long)]
    article: String,
    /// Number of the roll.
    #[arg(long)]
    roll: String,
    /// The roll: a folder or file of images, or loom:SEED. Once for each lane of the station, from
    /// the left.
    #[arg(long, value_name = "SOURCE", required = true)]
    from: Vec<SourceSpec>,
    #[command(flatten)]
    sight: Sight,
    #[command(flatten)]
    place: Place,
    /// Prints the roll as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &InspectArgs, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    let article = name(&args.article, "article")?;
    let roll = name(&args.roll, "roll")?;
    // Looked at first: a mistyped store must not be made.
    let model = args.place.shelf().active(&args.place.look()?, &article)?;
    let store = args.place.open()?;
    let station = args.sight.station_for(&model)?;
    check_scale(&model, &station)?;
    let sources = (args.from.iter().map(SourceSpec::open)).collect::<anyhow::Result<Vec<_>>>()?;
    let n_frames = sources
        .iter()
        .map(|source| source.description().n_frames)
        .sum();
    let runtime = Runtime::load()?;
    let scorers = scorers_of(&model, &runtime, args.sight.n_workers()?)?;
    let inspection = Inspection {
        roll,
        article,
        model: &model,
        station: &station,
        sources,
        scorers,
        runtime_version: runtime.version().to_owned(),
        device: runtime.device().to_owned(),
        stop,
    };
    let mut progress = Progress::start("inspecting", "frames", n_frames);
    let (store, run) = inspect(inspection, store, &mut announce, &mut || {
        progress.step();
    })?;
    drop(progress);
    let view = RollView::of(&store, run)?;
    if args.json {
        say_json(&view.report())?;
    } else {
        look::tell(&view)?;
    }
    if let Some(warning) = view.warning() {
        anyhow::bail!("roll {:?}: {warning}", args.roll);
    }
    Ok(if view.is_clean() {
        Outcome::Clean
    } else {
        Outcome::Found
    })
}

/// Tells the log of a flaw that is in the store.
pub(super) fn announce(written: Written<'_>) {
    match written {
        Written::Flaw(id, flaw) => tracing::info!(
            %id,
            class = flaw.class,
            along_mm = flaw.rect.along().start / 1000,
            across_mm = flaw.rect.across().start / 1000,
            "flaw"
        ),
        Written::Page { .. } => {}
    }
}
