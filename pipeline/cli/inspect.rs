//! `selvedge inspect`: one roll through the line into the store.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use calibration::um_from_mm;
use clap::Args;
use models::onnx::Runtime;

use super::progress::Progress;
use super::{Outcome, Place, Sight, look, name, say_json};
use crate::channel::Depths;
use crate::fitting::{check_scale, scorers_of};
use crate::inspect::{Inspection, inspect};
use crate::resume::Begin;
use crate::roll_view::RollView;
use crate::source::{SourceSpec, open_lanes};

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Name of the article.
    #[arg(long)]
    article: String,
    /// Number of the roll.
    #[arg(long)]
    roll: String,
    /// Number of the order that the roll belongs to.
    #[arg(long)]
    order: Option<String>,
    /// The roll: a folder or file of images, a video file, rtsp://…, v4l2:/dev/videoN,
    /// genicam:CAMERA (see `selvedge cameras`), or loom:SEED. Once for each lane of the station, from the left.
    #[arg(long, value_name = "SOURCE", required = true)]
    from: Vec<SourceSpec>,
    /// Goes on with the roll's last run, which was cut off: with the rest of its folder, or, where
    /// the source is live, behind a gap.
    #[arg(long)]
    resume: bool,
    /// Cloth that passed a live source since then, in mm; unknown when left out.
    #[arg(long, value_name = "MM", requires = "resume", value_parser = passed)]
    passed_mm: Option<f64>,
    #[command(flatten)]
    sight: Sight,
    #[command(flatten)]
    place: Place,
    /// Prints the roll as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &InspectArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let article = name(&args.article, "article")?;
    let roll = name(&args.roll, "roll")?;
    let order = args.order.as_deref();
    let order = order.map(|order| name(order, "order")).transpose()?;
    // Looked at first: a mistyped store must not be made.
    let shelf = args.place.shelf();
    let model = shelf.active(&args.place.look()?, &article)?;
    let classes = shelf.head(&article)?;
    let store = args.place.open()?;
    let station = args.sight.station_for(&model)?;
    check_scale(&model, &station)?;
    let sources = open_lanes(&args.from, &station, stop)?;
    let n_frames = sources
        .iter()
        .map(|lane| lane.source.description().n_frames)
        .sum();
    let runtime = Runtime::load()?;
    let scorers = scorers_of(&model, &runtime, args.sight.n_workers()?)?;
    let inspection = Inspection {
        roll,
        article,
        order,
        model: &model,
        station: &station,
        sources,
        classes,
        scorers,
        runtime_version: runtime.version().to_owned(),
        device: runtime.device().to_owned(),
        begin: if args.resume {
            Begin::Resume {
                passed: args.passed_mm.map(um_from_mm),
            }
        } else {
            Begin::New
        },
        stop,
        depths: Depths::default(),
    };
    let mut progress = Progress::start("inspecting", "frames", n_frames);
    let (store, run) = inspect(inspection, store, &mut |written| written.log(), &mut || {
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

/// A length of cloth that can have passed.
fn passed(text: &str) -> Result<f64, String> {
    let known = 0.0..=1e9;
    match text.parse() {
        Ok(mm) if known.contains(&mm) => Ok(mm),
        Ok(_) | Err(_) => Err(format!("found {text:?}, expected 0 to 1000000000 mm")),
    }
}
