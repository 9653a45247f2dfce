//! `selvedge demo`: everything at once on simulated cloth.
//!
//! Teaches an article from good cloth of one loom, inspects a roll of another loom with planted
//! flaws and a lost frame, and holds what was found against what was planted. Leaves a store,
//! a model and the roll map in one folder. Run again, it adds another run to the same roll.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use camera::{FlawKind, Loom, LoomSettings, PlantedFlaw, Source};
use clap::Args;
use models::onnx::Runtime;

use super::inspect::announce;
use super::progress::Progress;
use super::teach::{TeachArgs, teach_and_keep};
use super::{Outcome, Place, Sight, look, name, say, teach};
use crate::fitting::scorers_of;
use crate::inspect::{Inspection, inspect};
use crate::picture::draw;
use crate::roll_view::{FlawReport, RollView};
use crate::source::{LOOM_MM_PER_PX, SourceSpec};

/// Loom of the good cloth, and loom of the roll.
const GOOD_SEED: u64 = 1;
const ROLL_SEED: u64 = 2;
/// Frames of the roll, and the one that never arrives.
const N_FRAMES: u64 = 28;
const LOST_FRAME: u64 = 17;
/// A flaw counts as found when a reported one comes within this of its box, in mm.
const NEAR_MM: f64 = 3.0;

/// What is planted: kind, first line and lines, first column and columns, contrast.
#[rustfmt::skip]
const PLANTED: [(FlawKind, i64, i64, u32, u32, f32); 11] = [
    (FlawKind::Stain,          500,  150,  700, 160, 1.5),
    (FlawKind::Hole,           930,   40, 1500,  40, 1.0),
    (FlawKind::EndOut,        1400, 1500,  420,   8, 1.0),
    (FlawKind::EndOut,        1400, 1500,  434,   8, 1.0),
    (FlawKind::Knot,          1750,   24, 1180,  24, 1.0),
    (FlawKind::Mispick,       3080,    8,  120, 1800, 1.0),
    (FlawKind::Slub,          3300,  120, 1650,  14, 1.0),
    (FlawKind::Selvedge,      3700,   90,  120,  50, 1.0),
    (FlawKind::Contamination, 5000,  100, 1000, 100, 0.9),
    (FlawKind::Nep,           5600,   10,  600,  10, 1.0),
    (FlawKind::Mispick,       6600,    8,  120, 1800, 0.15),
];

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Folder for the demo's store, model and picture.
    #[arg(long, default_value = "demo", value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(args: &DemoArgs, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    let out = &args.out;
    std::fs::create_dir_all(out).with_context(|| format!("folder {out:?} cannot be made"))?;
    let place = Place {
        store: out.join("selvedge.db").display().to_string(),
        models: None,
    };
    let sight = Sight {
        station: None,
        mm_per_px: Some(LOOM_MM_PER_PX),
        workers: None,
    };
    let taught = teach_and_keep(
        &TeachArgs {
            article: "demo-plain".to_owned(),
            from: SourceSpec::Loom(GOOD_SEED),
            false_alarms: 2.0,
            sight: sight.clone(),
            place: place.clone(),
            json: false,
        },
        stop,
    )?;
    let passport = taught.article.passport();
    say(&format!(
        "taught      {:?} on {} frames of simulated good cloth, {:.2} m²",
        passport.article, passport.taught.n_frames, passport.taught.cloth_m2
    ))?;
    say(&teach::evidence(&passport.evidence))?;

    let (loom, truth) = planted_loom()?;
    let store = place.open()?;
    let runtime = Runtime::load()?;
    let station = sight.station(LOOM_MM_PER_PX)?;
    let inspection = Inspection {
        roll: name("demo-1", "roll")?,
        article: name("demo-plain", "article")?,
        model: &taught.article,
        station: &station,
        sources: vec![Box::new(loom)],
        scorers: scorers_of(&taught.article, &runtime, sight.n_workers()?)?,
        runtime_version: runtime.version().to_owned(),
        device: runtime.device().to_owned(),
        stop,
    };
    let mut progress = Progress::start("inspecting", "frames", Some(N_FRAMES));
    let (store, run) = inspect(inspection, store, &mut announce, &mut || {
        progress.step();
    })?;
    drop(progress);

    let view = RollView::of(&store, run)?;
    look::tell(&view)?;
    compare(&truth, &view.report().flaws)?;
    let picture = out.join("roll.png");
    draw(&view.picture(&store)?)
        .save_with_format(&picture, image::ImageFormat::Png)
        .with_context(|| format!("picture {picture:?} cannot be written"))?;
    say(&format!("roll map    {}", picture.display()))?;
    Ok(if view.is_clean() {
        Outcome::Clean
    } else {
        Outcome::Found
    })
}

fn planted_loom() -> anyhow::Result<(Loom, Vec<PlantedFlaw>)> {
    let mut settings = LoomSettings::new(ROLL_SEED);
    settings.n_frames = Some(N_FRAMES);
    settings.lost = [LOST_FRAME].into();
    for (kind, line, lines, column, columns, contrast) in PLANTED {
        settings = settings.with_flaw(kind, line..line + lines, column..column + columns, contrast);
    }
    let loom = Loom::new(settings)?;
    let truth = loom.truth();
    anyhow::ensure!(
        loom.description().ticks_per_line == 1,
        "the loom's ticks are taken for lines"
    );
    Ok((loom, truth))
}

/// Holds what was planted against what was found.
fn compare(truth: &[PlantedFlaw], found: &[FlawReport]) -> anyhow::Result<()> {
    say("planted     where                                         contrast  found")?;
    let mut is_explained = vec![false; found.len()];
    for flaw in truth {
        let along = [flaw.ticks.start as f64, flaw.ticks.end as f64].map(|x| x * LOOM_MM_PER_PX);
        let across = [flaw.columns.start, flaw.columns.end].map(|x| f64::from(x) * LOOM_MM_PER_PX);
        let mut marks = Vec::new();
        for (index, report) in found.iter().enumerate() {
            if near(along, report.along_mm) && near(across, report.across_mm) {
                is_explained[index] = true;
                marks.push((index + 1).to_string());
            }
        }
        let marks = if marks.is_empty() {
            "missed".to_owned()
        } else {
            format!("as {}", marks.join(", "))
        };
        say(&format!(
            "  {:<13} {:>7.1} ..{:>7.1} mm along, {:>6.1} ..{:>6.1} across  {:>5.2}  {marks}",
            flaw.class, along[0], along[1], across[0], across[1], flaw.contrast
        ))?;
    }
    let n_false = is_explained.iter().filter(|is| !**is).count();
    say(&format!("  {n_false} reported where nothing was planted"))
}

fn near(a: [f64; 2], b: [f64; 2]) -> bool {
    a[0] - NEAR_MM <= b[1] && b[0] <= a[1] + NEAR_MM
}
