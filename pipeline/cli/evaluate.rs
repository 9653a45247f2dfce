//! `selvedge evaluate`: a taught article measured on labelled images.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use models::onnx::Runtime;

use super::progress::Progress;
use super::{Outcome, Place, Sight, name, say, say_json};
use crate::evaluate::{Evaluation, Flagged, Label, evaluate};
use crate::fitting::{check_scale, scorers_of};

#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// Name of the article.
    #[arg(long)]
    article: String,
    /// Folder of images of good cloth.
    #[arg(long, value_name = "DIR")]
    good: PathBuf,
    /// Folder of images with defects.
    #[arg(long, value_name = "DIR")]
    defective: PathBuf,
    /// Folder of their masks: NAME_mask*.png or NAME.png, above 127 = defect.
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    #[command(flatten)]
    sight: Sight,
    #[command(flatten)]
    place: Place,
    /// Prints one JSON object. Scores in it are in thresholds (1.0 = the threshold, flagged above);
    /// `threshold` is the passport's, the distance from usual cloth that scores 1.0.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EvaluateArgs, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    let article = name(&args.article, "article")?;
    let store = args.place.look()?;
    let shelf = args.place.shelf();
    let model = shelf.active(&store, &article)?;
    let classes = shelf.head(&article)?;
    let station = args.sight.station_for(&model)?;
    check_scale(&model, &station)?;
    let n_workers = args.sight.n_workers()?;
    let runtime = Runtime::load()?;
    let evaluation = Evaluation {
        model: &model,
        station: &station,
        good: &args.good,
        defective: &args.defective,
        masks: args.masks.as_deref(),
        head: classes.as_ref().map(|kept| &kept.head),
        device: runtime.device(),
        stop,
    };
    let mut bar: Option<(Label, Progress)> = None;
    let report = evaluate(
        &evaluation,
        &|| scorers_of(&model, &runtime, n_workers),
        &mut |label, n_files| {
            if bar.as_ref().is_none_or(|(current, _)| *current != label) {
                let what = match label {
                    Label::Good => "good",
                    Label::Defective => "defective",
                };
                bar = Some((label, Progress::start(what, "images", Some(n_files))));
            }
            if let Some((_, progress)) = &mut bar {
                progress.step();
            }
        },
    )?;
    drop(bar);
    let is_perfect = report.good_flagged == Some(0.0)
        && report.defective_found == Some(1.0)
        && report.unreadable.is_empty();
    if args.json {
        say_json(&report)?;
    } else {
        let figure =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let percent = |value: Option<f64>| {
            value.map_or("-".to_owned(), |value| format!("{:.0} %", value * 100.0))
        };
        say(&format!(
            "article           {}\nimages            {}\nimage AUROC       {}\npixel AUROC       {}\nAU-PRO            {}\ngood flagged      {}\ndefective found   {}\nspeed             {:.1} Mpx/s on {}",
            report.article,
            report.images.len(),
            figure(report.image_auroc),
            figure(report.pixel_auroc),
            figure(report.au_pro),
            percent(report.good_flagged),
            percent(report.defective_found),
            report.mpx_per_second,
            report.device
        ))?;
        if let Some(flagged) = &report.flagged {
            say(&on_their_flaw(flagged))?;
        }
        for unreadable in &report.unreadable {
            say(&format!("not judged        {unreadable}"))?;
        }
    }
    Ok(if is_perfect {
        Outcome::Clean
    } else {
        Outcome::Found
    })
}

/// How much of what was flagged the masks bear out.
fn on_their_flaw(flagged: &Flagged) -> String {
    let Flagged {
        images,
        on_their_flaw,
        places_elsewhere,
    } = flagged;
    format!(
        "on their flaw     {on_their_flaw} of {images} flagged defective images that have a mask; {places_elsewhere} places in them are flagged away from any mask"
    )
}
