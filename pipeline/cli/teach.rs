//! `selvedge teach`: good cloth in, one model out.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::Args;
use models::onnx::Runtime;
use models::teach::Strange;
use models::{Article, BackboneFile, DetectionLimit, Evidence, FalseAlarms, Limits, Mode};

use super::progress::Progress;
use super::{Outcome, Place, Sight, name, say, say_json};
use crate::source::SourceSpec;
use crate::teach::{Pass, StrangeFrame, TaughtArticle, Teaching, teach, teach_more};

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
    /// Adds the cloth to what the article was taught before, instead of teaching it anew.
    #[arg(long)]
    pub(super) more: bool,
    /// Folder for pictures of frames that are left out because they are not like the others; beside
    /// the model when left out.
    #[arg(long, value_name = "DIR")]
    pub(super) outliers: Option<PathBuf>,
    /// False alarms per 100 m² that are acceptable.
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    pub(super) false_alarms: f64,
    /// Looks at the first layer only: about four times as fast, weaker at large faint flaws.
    #[arg(long, conflicts_with = "quality")]
    pub(super) fast: bool,
    /// Looks with a stronger and slower network; needs `make quality`.
    #[arg(long)]
    pub(super) quality: bool,
    /// Leaves out how small a flaw the model finds, and says so in its passport.
    #[arg(long)]
    pub(super) no_limits: bool,
    #[command(flatten)]
    pub(super) sight: Sight,
    #[command(flatten)]
    pub(super) place: Place,
    /// Prints the passport as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl TeachArgs {
    /// The mode that is asked for, if one is.
    fn mode(&self) -> Option<Mode> {
        match (self.fast, self.quality) {
            (true, _) => Some(Mode::Fast),
            (_, true) => Some(Mode::Quality),
            _ => None,
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
            "outliers": outliers_json(&taught.strange),
            "taught_before": taught.n_known,
            "forgotten": taught.n_forgotten,
            "highest": taught.highest,
        }))?;
        return Ok(Outcome::Clean);
    }
    for left_out in &taught.left_out {
        say(&format!("left out    {left_out}"))?;
    }
    for strange in &taught.strange {
        say(&format!("left out    {strange}"))?;
    }
    if !taught.strange.is_empty() {
        say(&format!(
            "            look at them in {}; what is good after all is learned with more cloth like it",
            pictures_folder(args, &taught).display()
        ))?;
    }
    if taught.n_known > 0 {
        say(&format!(
            "left out    {} frame{} whose pixels were taught already",
            taught.n_known,
            if taught.n_known == 1 { "" } else { "s" }
        ))?;
    }
    if taught.n_forgotten > 0 {
        say(&format!(
            "            {} frames were taught so long ago that they cannot be told any more: given again, they count twice",
            taught.n_forgotten
        ))?;
    }
    say(&format!(
        "taught      {:?} on {} frames, {:.2} m² of good cloth",
        passport.article, passport.taught.n_frames, passport.taught.cloth_m2
    ))?;
    say(&format!(
        "scale       {} mm per pixel{}",
        passport.mm_per_px,
        if args.sight.is_given() || args.more {
            ""
        } else {
            ", assumed: none was given"
        }
    ))?;
    say(&evidence(&passport.evidence))?;
    say(&limits(passport.limits.as_ref()))?;
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
    let n_workers = args.sight.n_workers()?;
    let runtime = Runtime::load()?;
    // What is continued is seen as it was, unless another way is asked for, which is then refused.
    // Only then must the store say which network is wanted; else a missing one is told before a
    // store is made.
    let asked = match args.mode() {
        None if args.more => None,
        mode => Some(BackboneFile::installed(&runtime, mode.unwrap_or_default())?),
    };
    let shelf = args.place.shelf();
    let folder = shelf.folder_of(&article)?;
    // Looked at first: what cannot be continued must leave nothing behind.
    let earlier = if args.more {
        Some(shelf.active(&args.place.look()?, &article)?)
    } else {
        None
    };
    // The store is opened before the work, not after it: a store that refuses should say so now.
    let mut store = args.place.open()?;
    store.ensure_article(&article)?;
    let station = match &earlier {
        Some(earlier) => args.sight.station_for(earlier)?,
        None => args.sight.station(USUAL_MM_PER_PX)?,
    };
    let as_before = |earlier: &Article| earlier.passport().backbone.mode;
    let backbone = match asked {
        Some(asked) => asked,
        None => {
            let mode = earlier.as_ref().map_or(Mode::default(), as_before);
            BackboneFile::installed(&runtime, mode)?
        }
    };
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
        with_limits: !args.no_limits,
        stop,
    };
    let mut bar: Option<(Pass, Progress)> = None;
    let mut progress = |pass, n_frames| {
        if bar.as_ref().is_none_or(|(current, _)| *current != pass) {
            let what = match pass {
                Pass::Light => "light",
                Pass::Learn => "learning",
                Pass::Rehearse => "rehearsing",
                Pass::Measure => "measuring",
                Pass::Limits => "limits",
            };
            bar = Some((pass, Progress::start(what, "frames", n_frames)));
        }
        if let Some((_, progress)) = &mut bar {
            progress.step();
        }
    };
    let taught = match &earlier {
        Some(earlier) => teach_more(&teaching, earlier, &folder, &mut progress)?,
        None => teach(&teaching, &folder, &mut progress)?,
    };
    drop(bar);
    write_pictures(&taught.strange, &pictures_folder(args, &taught))?;
    shelf.keep(&mut store, &article, &taught.article)?;
    Ok(taught)
}

/// Where pictures of strange frames go.
fn pictures_folder(args: &TeachArgs, taught: &TaughtArticle) -> PathBuf {
    let beside = || taught.article.path().with_extension("left-out");
    args.outliers.clone().unwrap_or_else(beside)
}

/// Name of the picture of the strange frame `index`.
fn picture_name(index: usize, strange: &StrangeFrame) -> String {
    let stem = Path::new(&strange.frame).file_stem().unwrap_or_default();
    format!("{:02}-{}.png", index + 1, stem.to_string_lossy())
}

fn write_pictures(strange: &[StrangeFrame], folder: &Path) -> anyhow::Result<()> {
    if strange.is_empty() {
        return Ok(());
    }
    let refused = || format!("pictures of strange frames cannot be written into {folder:?}");
    std::fs::create_dir_all(folder).with_context(refused)?;
    for (index, frame) in strange.iter().enumerate() {
        let path = folder.join(picture_name(index, frame));
        std::fs::write(path, &frame.picture).with_context(refused)?;
    }
    Ok(())
}

fn outliers_json(strange: &[StrangeFrame]) -> Vec<serde_json::Value> {
    let of = |(index, strange): (usize, &StrangeFrame)| {
        serde_json::json!({
            "lane": strange.lane,
            "frame": strange.frame,
            "x_px": strange.place_px[0],
            "y_px": strange.place_px[1],
            "times": strange.times,
            "what": match strange.strange {
                Strange::Place => "place",
                Strange::Whole => "whole",
                Strange::Other => "other_cloth",
            },
            "picture": picture_name(index, strange),
        })
    };
    strange.iter().enumerate().map(of).collect()
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

/// How small a flaw is found, one line per kind and contrast.
pub(super) fn limits(limits: Option<&Limits>) -> String {
    let Some(limits) = limits else {
        return "limits      not measured".to_owned();
    };
    let mut lines = vec![format!(
        "limits      size found in 9 of 10 cases (with 95 % confidence), planted into {:.2} m² of good cloth",
        limits.cloth_m2
    )];
    lines.extend(limits.kinds.iter().map(|kind| {
        let mm = |size: Option<f64>| size.map(|mm| format!("{mm:.1} mm"));
        let contrast = kind
            .contrast
            .map_or_else(String::new, |times| format!("{times} x"));
        let reached = match mm(kind.size_mm) {
            None => format!("not reached at {:.1} mm", kind.to_mm),
            Some(_) if kind.n_found == kind.n_planted => {
                format!("all from {:.1} mm on", kind.from_mm)
            }
            Some(size) => {
                let bound = mm(kind.bound_mm);
                let bound = bound.unwrap_or_else(|| format!("not reached at {:.1} mm", kind.to_mm));
                format!("{size} ({bound})")
            }
        };
        format!(
            "  {:<18} {contrast:>4}  {:<8} {reached}; {} of {} found",
            kind.kind, kind.size_is, kind.n_found, kind.n_planted
        )
    }));
    lines.join("\n")
}

/// The same in one line, each kind at its strongest contrast, which stands in brackets.
pub(super) fn limits_in_short(limits: &Limits) -> String {
    let mut kinds: Vec<&DetectionLimit> = Vec::new();
    for kind in &limits.kinds {
        match kinds.last_mut() {
            Some(last) if last.kind == kind.kind => *last = kind,
            Some(_) | None => kinds.push(kind),
        }
    }
    let each = kinds.iter().map(|kind| {
        let contrast = kind
            .contrast
            .map_or_else(String::new, |times| format!(" ({times} x)"));
        match kind.size_mm {
            Some(size) => format!("{}{contrast} from {size:.1} mm", kind.kind),
            None => format!("{}{contrast} not at {:.1} mm", kind.kind, kind.to_mm),
        }
    });
    each.collect::<Vec<_>>().join("; ")
}
