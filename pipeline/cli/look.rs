//! `selvedge rolls`, `roll` and `model show`: looking, changing nothing.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use models::{Article, Channels};
use serde_json::Value;

use super::{Outcome, Place, name, say, say_json, teach};
use crate::picture::draw;
use crate::roll_view::RollView;

/// Numbers in a row that are told one by one.
const MOST_NUMBERS: usize = 16;

#[derive(Debug, Args)]
pub(super) struct RollsArgs {
    #[command(flatten)]
    place: Place,
    /// Prints a JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RollArgs {
    /// Number of the roll; its latest run is shown.
    roll: String,
    /// Draws map, flaws, gaps and crops into this PNG file.
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// Prints the passport of a model file, or of an article's active model.
    Show(ShowModelArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowModelArgs {
    /// The `.onnx` file.
    #[arg(required_unless_present = "article", conflicts_with = "article")]
    file: Option<PathBuf>,
    /// Name of an article whose active model is shown.
    #[arg(long)]
    article: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Prints the passport as JSON.
    #[arg(long)]
    json: bool,
    /// With --json, tells long lists of numbers by how many they are, the least and the most.
    #[arg(long, requires = "json")]
    short: bool,
}

impl ShowModelArgs {
    fn article(&self) -> anyhow::Result<Article> {
        if let Some(file) = &self.file {
            return Ok(Article::read(file)?);
        }
        let article = name(self.article.as_deref().unwrap_or_default(), "article")?;
        self.place.shelf().active(&self.place.look()?, &article)
    }
}

pub(super) fn rolls(args: &RollsArgs) -> anyhow::Result<Outcome> {
    let store = args.place.look()?;
    let rolls = store.rolls()?;
    if args.json {
        let rolls: Vec<_> = rolls
            .iter()
            .map(|roll| {
                serde_json::json!({
                    "roll": roll.number.as_str(),
                    "article": roll.article.as_str(),
                    "run": roll.latest_run.to_string(),
                    "state": roll.state.as_str(),
                    "runs": roll.n_runs,
                    "length_mm": roll.length_um.map(|um| um as f64 / 1e3),
                    "flaws": roll.n_flaws,
                    "gap_mm2": roll.gap_um2 as f64 / 1e6,
                })
            })
            .collect();
        say_json(&rolls)?;
        return Ok(Outcome::Clean);
    }
    if rolls.is_empty() {
        say("no rolls yet; `selvedge inspect` makes the first")?;
        return Ok(Outcome::Clean);
    }
    say(&format!(
        "{:<20} {:<20} {:>9} {:>7} {:>10}  {}",
        "roll", "article", "length m", "flaws", "gaps m²", "state"
    ))?;
    for roll in rolls {
        let length = roll
            .length_um
            .map_or("-".to_owned(), |um| format!("{:.2}", um as f64 / 1e6));
        say(&format!(
            "{:<20} {:<20} {length:>9} {:>7} {:>10.4}  {}",
            roll.number.as_str(),
            roll.article.as_str(),
            roll.n_flaws,
            roll.gap_um2 as f64 / 1e12,
            roll.state.as_str()
        ))?;
    }
    Ok(Outcome::Clean)
}

pub(super) fn roll(args: &RollArgs) -> anyhow::Result<Outcome> {
    let roll = name(&args.roll, "roll")?;
    let store = args.place.look()?;
    let view = RollView::latest(&store, &roll)?;
    if let Some(file) = &args.picture {
        let is_png = file
            .extension()
            .is_some_and(|ext| ext.eq_ignore_ascii_case("png"));
        anyhow::ensure!(
            is_png,
            "found --picture {file:?}, expected a name ending in .png"
        );
        draw(&view.picture(&store)?)
            .save_with_format(file, image::ImageFormat::Png)
            .with_context(|| format!("picture {file:?} cannot be written"))?;
        if !args.json {
            say(&format!("picture {}", file.display()))?;
        }
    }
    if args.json {
        say_json(&view.report())?;
    } else {
        tell(&view)?;
    }
    Ok(if view.is_clean() {
        Outcome::Clean
    } else {
        Outcome::Found
    })
}

/// The table of one roll.
pub(super) fn tell(view: &RollView) -> anyhow::Result<()> {
    let report = view.report();
    let gap_mm2: f64 = report
        .gaps
        .iter()
        .map(|gap| gap.area_mm2)
        // The sum of nothing is -0.0, which would be printed so.
        .fold(0.0, |sum, area| sum + area);
    say(&format!(
        "roll {}, article {}: {:.3} m ({} length) x {:.0} mm, {}",
        report.roll,
        report.article,
        report.length_mm / 1e3,
        report.length_known,
        report.width_mm,
        view.warning().unwrap_or_else(|| report.state.clone())
    ))?;
    if let Some(order) = &report.order {
        say(&format!("  order {order}"))?;
    }
    if let Some(width) = report.cloth_width_mm {
        say(&format!(
            "  cloth {:.1} mm wide on average, {:.1} to {:.1} mm",
            width.mean, width.min, width.max
        ))?;
    }
    say(&format!(
        "  inspected {:.4} m², not looked at {:.4} m², beside the cloth {:.4} m²",
        report.inspected_mm2 / 1e6,
        gap_mm2 / 1e6,
        report.beside_mm2 / 1e6
    ))?;
    for gap in &report.gaps {
        say(&format!(
            "  gap   {:>10.1} ..{:>10.1} mm along, {:>7.1} ..{:>7.1} mm across  {}",
            gap.along_mm[0], gap.along_mm[1], gap.across_mm[0], gap.across_mm[1], gap.reason
        ))?;
    }
    for (index, flaw) in report.flaws.iter().enumerate() {
        say(&format!(
            "  {:>4}  {:>10.1} ..{:>10.1} mm along, {:>7.1} ..{:>7.1} mm across  {:<8} {:>7.1} mm  score {:>6.2}  {}",
            index + 1,
            flaw.along_mm[0],
            flaw.along_mm[1],
            flaw.across_mm[0],
            flaw.across_mm[1],
            flaw.class,
            flaw.length_mm,
            flaw.score,
            flaw.severity
        ))?;
    }
    for repeat in view.repeats() {
        say(&format!("  repeats {}", repeat.says()))?;
    }
    for event in &report.events {
        say(&format!("  {:<8}{}", event.severity, event.message))?;
    }
    if report.crops_left_out > 0 {
        say(&format!(
            "  pictures of {} flaws were left out: the disk was nearly full",
            report.crops_left_out
        ))?;
    }
    for removed in &report.crops_removed {
        let n = removed.count;
        say(&match n {
            1 => format!("  the picture of 1 flaw was {}", removed.why),
            _ => format!("  pictures of {n} flaws were {}", removed.why),
        })?;
    }
    if let Some(limits) = &report.limits {
        say(&format!(
            "  finds 9 of 10 at the contrast in brackets: {}",
            teach::limits_in_short(limits)
        ))?;
    }
    let n = report.flaws.len();
    say(&format!("  {n} flaw{}", if n == 1 { "" } else { "s" }))
}

pub(super) fn model(command: &ModelCommand) -> anyhow::Result<Outcome> {
    let ModelCommand::Show(args) = command;
    show(args)
}

fn show(args: &ShowModelArgs) -> anyhow::Result<Outcome> {
    let article = args.article()?;
    let passport = article.passport();
    if args.json {
        let mut passport = serde_json::to_value(passport)?;
        if args.short {
            shorten(&mut passport);
        }
        say_json(&passport)?;
        return Ok(Outcome::Clean);
    }
    let taught = &passport.taught;
    say(&format!("article     {}", passport.article))?;
    say(&format!("digest      {}", article.digest()))?;
    say(&format!(
        "taught      {} on {} frames of {:?}, {:.2} m² of good cloth, {} left out",
        taught.at, taught.n_frames, taught.source, taught.cloth_m2, taught.n_left_out
    ))?;
    say(&format!(
        "by          Selvedge {}, ONNX Runtime {}, {}",
        taught.engine, taught.runtime, taught.device
    ))?;
    let backbone = &passport.backbone;
    say(&format!(
        "mode        {}: {} ({}), {} features per cell of {} px, {} px seen around each tile",
        backbone.mode,
        backbone.name,
        backbone.layers.join(", "),
        backbone.n_features,
        models::CELL_PX,
        backbone.halo_px
    ))?;
    let channels = match passport.channels {
        Channels::Grey => "grey",
        Channels::Rgb => "colour",
    };
    say(&format!(
        "sees        {channels} at {} mm per pixel across and {} mm per line along",
        passport.mm_per_px, passport.mm_per_line
    ))?;
    for (index, lane) in passport.lanes.iter().enumerate() {
        say(&format!(
            "lane {:<7}frames {} px wide; the camera's fixed pattern is {}known, and so is the usual distance of {} columns",
            index + 1,
            lane.frame_width,
            if lane.flat_field.is_some() {
                ""
            } else {
                "not "
            },
            lane.usual.len()
        ))?;
    }
    say(&format!(
        "reference   each column's last {} mm, {} cells wide",
        passport.reference.window_mm, passport.reference.smooth_cells
    ))?;
    say(&teach::evidence(&passport.evidence))?;
    let judgement = &passport.judgement;
    let lines = match judgement.line_threshold {
        Some(share) => format!("; a line from {share:.2} of that on, in its mean"),
        None => "; lines only where they stand out by themselves".to_owned(),
    };
    say(&format!(
        "flags       a place from a distance of {:.2} on, smoothed over {} cells{lines}",
        judgement.threshold, judgement.smooth_cells
    ))?;
    say(&teach::limits(passport.limits.as_ref()))?;
    Ok(Outcome::Clean)
}

/// Tells arrays of more than [`MOST_NUMBERS`] numbers by how many they are, the least and the most.
fn shorten(value: &mut Value) {
    match value {
        Value::Array(items) => match extremes(items) {
            Some([least, most]) if items.len() > MOST_NUMBERS => {
                *value = serde_json::json!({"n": items.len(), "least": least, "most": most});
            }
            Some(_) | None => items.iter_mut().for_each(shorten),
        },
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Least and most of `items`; `None` where one is no number, or there is none.
fn extremes(items: &[Value]) -> Option<[f64; 2]> {
    let numbers: Option<Vec<f64>> = items.iter().map(Value::as_f64).collect();
    let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
    Some([
        numbers.iter().copied().fold(f64::INFINITY, f64::min),
        numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    ])
}
