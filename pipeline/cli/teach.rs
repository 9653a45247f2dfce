//! `selvedge teach`: good cloth in, one model out.

use std::sync::atomic::AtomicBool;

use clap::Args;
use models::onnx::Runtime;
use models::{BackboneFile, Evidence, FalseAlarms, Mode};

use super::progress::Progress;
use super::{Outcome, Place, Sight, name, say, say_json};
use crate::source::SourceSpec;
use crate::teach::{Pass, TaughtArticle, Teaching, teach};

/// Scale that is taken when none is given.
const USUAL_MM_PER_PX: f64 = 0.2;
/// Rates of false alarms that can be asked for, per 100 m².
const FALSE_ALARMS: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

#[derive(Debug, Args)]
pub(super) struct TeachArgs {
    /// Name of the article.
    #[arg(long)]
    pub(super) article: String,
    /// Good cloth: a folder or file of images, a video file, or loom:SEED. Once for each lane of the
    /// station, from the left.
    #[arg(long, value_name = "SOURCE", required = true)]
    pub(super) from: Vec<SourceSpec>,
    /// False alarms per 100 m² that are acceptable.
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    pub(super) false_alarms: f64,
    /// Looks at the first layers only: about three times as fast, weaker at large faint flaws.
    #[arg(long, conflicts_with = "quality")]
    pub(super) fast: bool,
    /// Looks with a stronger and slower network; needs `make quality`.
    #[arg(long)]
    pub(super) quality: bool,
    #[command(flatten)]
    pub(super) sight: Sight,
    #[command(flatten)]
    pub(super) place: Place,
    /// Prints the passport as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl TeachArgs {
    fn mode(&self) -> Mode {
        match (self.fast, self.quality) {
            (true, _) => Mode::Fast,
            (_, true) => Mode::Quality,
            _ => Mode::Standard,
        }
    }
}

pub(super) fn run(args: &TeachArgs, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    let taught = teach_and_keep(args, stop)?;
    let passport = taught.article.passport();
    if args.json {
        say_json(&serde_json::json!({
            "digest": taught.article.digest(),
            "file": taught.article.path(),
            "passport": passport,
            "left_out": taught.left_out,
            "highest": taught.highest,
        }))?;
        return Ok(Outcome::Clean);
    }
    for left_out in &taught.left_out {
        say(&format!("left out    {left_out}"))?;
    }
    say(&format!(
        "taught      {:?} on {} frames, {:.2} m² of good cloth",
        passport.article, passport.taught.n_frames, passport.taught.cloth_m2
    ))?;
    say(&format!(
        "scale       {} mm per pixel{}",
        passport.mm_per_px,
        if args.sight.is_given() {
            ""
        } else {
            ", assumed: none was given"
        }
    ))?;
    say(&evidence(&passport.evidence))?;
    say(&format!("model       {}", taught.article.path().display()))?;
    Ok(Outcome::Clean)
}

/// Teaches, keeps the model, makes it active.
pub(super) fn teach_and_keep(args: &TeachArgs, stop: &AtomicBool) -> anyhow::Result<TaughtArticle> {
    anyhow::ensure!(
        FALSE_ALARMS.contains(&args.false_alarms),
        "found --false-alarms {}, expected {} to {} per 100 m²",
        args.false_alarms,
        FALSE_ALARMS.start(),
        FALSE_ALARMS.end()
    );
    let article = name(&args.article, "article")?;
    let station = args.sight.station(USUAL_MM_PER_PX)?;
    let n_workers = args.sight.n_workers()?;
    let runtime = Runtime::load()?;
    let backbone = BackboneFile::installed(&runtime, args.mode())?;
    let shelf = args.place.shelf();
    let folder = shelf.folder_of(&article)?;
    // The store is opened before the work, not after it: a store that refuses should say so now.
    let mut store = args.place.open()?;
    store.ensure_article(&article)?;
    let teaching = Teaching {
        article: article.as_str(),
        sources: &args.from,
        station: &station,
        asked: FalseAlarms {
            per_100_m2: args.false_alarms,
        },
        backbone: &backbone,
        runtime: &runtime,
        n_workers,
        stop,
    };
    let mut bar: Option<(Pass, Progress)> = None;
    let taught = teach(&teaching, &folder, &mut |pass, n_frames| {
        if bar.as_ref().is_none_or(|(current, _)| *current != pass) {
            let what = match pass {
                Pass::Light => "light",
                Pass::Learn => "learning",
                Pass::Rehearse => "rehearsing",
            };
            bar = Some((pass, Progress::start(what, "frames", n_frames)));
        }
        if let Some((_, progress)) = &mut bar {
            progress.step();
        }
    })?;
    drop(bar);
    shelf.keep(&mut store, &article, &taught.article)?;
    Ok(taught)
}

/// What the threshold stands for, in the user's unit, and what is missing for more.
pub(super) fn evidence(evidence: &Evidence) -> String {
    let [low, high] = evidence.interval_per_100_m2;
    let stands_for = format!(
        "threshold   from {} held-out frames, {:.2} m²: {:.1} % of frames of good cloth flagged, {} false alarms per 100 m² (90 % interval {} to {})",
        evidence.n_blocks,
        evidence.n_blocks as f64 * evidence.block_m2,
        evidence.block_share * 100.0,
        rate(evidence.set_per_100_m2),
        rate(low),
        rate(high)
    );
    if evidence.more_m2 > 0.0 {
        format!(
            "{stands_for}\n            that is what so little cloth can vouch for; for {} per 100 m² as asked, teach {:.0} m² more",
            evidence.asked_per_100_m2, evidence.more_m2
        )
    } else {
        stands_for
    }
}

/// A rate with as many digits as it is worth.
fn rate(per_100_m2: f64) -> String {
    if per_100_m2 >= 9.95 {
        format!("{per_100_m2:.0}")
    } else {
        format!("{per_100_m2:.1}")
    }
}
