//! `selvedge demo`: everything at once on simulated cloth.
//!
//! Teaches an article from good cloth of one loom, inspects a roll of another loom with planted
//! flaws of every class and a lost frame, and holds what was found against what was planted: by
//! class, by size and by contrast, of which the weakest lies in the noise and is to be missed.
//! Leaves a store, a model and the roll map in one folder. Run again, it adds another run to the
//! same roll.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use camera::{FlawKind, Loom, LoomSettings, PlantedFlaw, Source};
use clap::Args;
use models::onnx::Runtime;

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
/// Frames of the roll, and the one that never arrives: lines 4352 to 4608.
const N_FRAMES: u64 = 39;
const LOST_FRAME: u64 = 17;
/// A flaw counts as found when a reported one comes within this of its box, in mm.
const NEAR_MM: f64 = 3.0;

/// Contrasts: seen at a glance, faint, and in the noise, where missing it is right.
const PLAIN: f32 = 1.0;
const FAINT: f32 = 0.5;
const NOISE: f32 = 0.1;
const CONTRASTS: [(&str, f32); 3] = [("plain", PLAIN), ("faint", FAINT), ("in noise", NOISE)];
/// Sizes by the longer side of the box, in mm, each up to here.
const SIZES: [(&str, f64); 4] = [
    ("to 5 mm", 5.0),
    ("to 20 mm", 20.0),
    ("to 100 mm", 100.0),
    ("longer", f64::INFINITY),
];

/// What is planted: kind, first line and lines, first column and columns, contrast. None lies in
/// the box of others that cross and are told as one flaw.
#[rustfmt::skip]
const PLANTED: [(FlawKind, i64, i64, u32, u32, f32); 40] = [
    (FlawKind::Stain,          500,  150,  700,  160, PLAIN),
    (FlawKind::Hole,           930,   40, 1500,   40, PLAIN),
    (FlawKind::DoubleEnd,     1200, 1200, 1700,    1, PLAIN),
    (FlawKind::EndOut,        1400, 1500,  420,    8, PLAIN),
    (FlawKind::EndOut,        1400, 1500,  434,    8, PLAIN),
    (FlawKind::Knot,          1750,   24, 1180,   24, PLAIN),
    (FlawKind::Mispick,       3080,    8,  120, 1800, PLAIN),
    (FlawKind::DoublePick,    3240,    1,  120, 1800, PLAIN),
    (FlawKind::Slub,          3400,   12, 1500,  160, PLAIN),
    (FlawKind::Float,         3520,    4,  700,   60, PLAIN),
    (FlawKind::Selvedge,      3700,   90,  120,   50, PLAIN),
    (FlawKind::Crease,        3880,  420,  900,   26, PLAIN),
    (FlawKind::StartMark,     4750,   50,  120, 1800, PLAIN),
    (FlawKind::Contamination, 5000,  100, 1000,  100, PLAIN),
    (FlawKind::WeftCrack,     5250,   10,  400,  500, PLAIN),
    (FlawKind::Nep,           5600,   10,  600,   10, PLAIN),
    (FlawKind::Stain,         5750,  100, 1400,  100, FAINT),
    (FlawKind::Hole,          5800,   20,  300,   20, FAINT),
    (FlawKind::Knot,          5950,   16,  900,   16, FAINT),
    (FlawKind::Mispick,       6250,    1,  120, 1800, FAINT),
    (FlawKind::Slub,          6450,   10,  600,  120, FAINT),
    (FlawKind::Float,         6580,    4, 1200,   40, FAINT),
    (FlawKind::DoublePick,    6720,    1,  120, 1800, FAINT),
    (FlawKind::Contamination, 6850,   60,  500,   60, FAINT),
    (FlawKind::Crease,        7020,  300,  900,   24, FAINT),
    (FlawKind::WeftCrack,     7430,    9,  300,  400, FAINT),
    (FlawKind::StartMark,     7560,   40,  120, 1800, FAINT),
    (FlawKind::Nep,           7720,    8, 1300,    8, FAINT),
    (FlawKind::DoubleEnd,     7800,  700,  700,    1, FAINT),
    (FlawKind::EndOut,        7820,  700, 1500,    1, FAINT),
    (FlawKind::Selvedge,      8000,   60, 1960,   28, FAINT),
    (FlawKind::Stain,         8700,   60,  500,   60, NOISE),
    (FlawKind::Knot,          8800,   12, 1100,   12, NOISE),
    (FlawKind::Mispick,       8900,    1,  120, 1800, NOISE),
    (FlawKind::Slub,          9020,    8,  600,  100, NOISE),
    (FlawKind::EndOut,        9100,  600, 1500,    1, NOISE),
    (FlawKind::StartMark,     9250,   40,  120, 1800, NOISE),
    (FlawKind::Contamination, 9400,   40,  800,   40, NOISE),
    (FlawKind::WeftCrack,     9550,    8,  300,  300, NOISE),
    (FlawKind::Nep,           9700,    7, 1000,    7, NOISE),
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
            from: vec![SourceSpec::Loom(GOOD_SEED)],
            fast: false,
            quality: false,
            more: false,
            outliers: None,
            false_alarms: 2.0,
            no_limits: false,
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
        order: None,
        model: &taught.article,
        station: &station,
        sources: vec![(Box::new(loom) as Box<dyn Source>).into()],
        scorers: scorers_of(&taught.article, &runtime, sight.n_workers()?)?,
        classes: None,
        runtime_version: runtime.version().to_owned(),
        device: runtime.device().to_owned(),
        begin: crate::resume::Begin::New,
        stop,
    };
    let mut progress = Progress::start("inspecting", "frames", Some(N_FRAMES));
    let (store, run) = inspect(inspection, store, &mut |written| written.log(), &mut || {
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
    let mut is_explained = vec![false; found.len()];
    let mut tried = Vec::new();
    for flaw in truth {
        let along = [flaw.ticks.start as f64, flaw.ticks.end as f64].map(|x| x * LOOM_MM_PER_PX);
        let across = [flaw.columns.start, flaw.columns.end].map(|x| f64::from(x) * LOOM_MM_PER_PX);
        let mut is_found = false;
        for (report, is_explained) in found.iter().zip(&mut is_explained) {
            if near(along, report.along_mm) && near(across, report.across_mm) {
                (*is_explained, is_found) = (true, true);
            }
        }
        if !is_found && flaw.contrast > NOISE {
            say(&format!(
                "missed      {} at {:.0} mm along, {:.0} across, contrast {}",
                flaw.class, along[0], across[0], flaw.contrast
            ))?;
        }
        tried.push(Tried {
            class: flaw.class,
            size_mm: (along[1] - along[0]).max(across[1] - across[0]),
            contrast: flaw.contrast,
            is_found,
        });
    }
    tell_shares("by class", &tried, |flaw| flaw.class)?;
    tell_shares("by size", &tried, |flaw| {
        let size = SIZES.iter().find(|(_, most)| flaw.size_mm <= *most);
        size.map_or("", |(name, _)| name)
    })?;
    tell_shares("all", &tried, |_| "")?;
    let n_false = is_explained.iter().filter(|is| !**is).count();
    say(&format!("  {n_false} reported where nothing was planted"))
}

/// One planted flaw, and whether anything was reported there.
struct Tried {
    class: &'static str,
    size_mm: f64,
    contrast: f32,
    is_found: bool,
}

/// One row per group, one column per contrast: found of planted.
fn tell_shares(
    title: &str,
    tried: &[Tried],
    group: impl Fn(&Tried) -> &'static str,
) -> anyhow::Result<()> {
    let mut groups: BTreeMap<usize, (&str, Vec<&Tried>)> = BTreeMap::new();
    for flaw in tried {
        let name = group(flaw);
        // Sizes in their order, all else in the order of planting.
        let place = SIZES.iter().position(|(size, _)| *size == name);
        let first = tried.iter().position(|other| group(other) == name);
        let key = place.or(first).unwrap_or(0);
        groups.entry(key).or_insert((name, Vec::new())).1.push(flaw);
    }
    let names = CONTRASTS.map(|(name, _)| format!("{name:>10}")).concat();
    say(&format!("{title:<15}{names}  found of planted"))?;
    for (name, flaws) in groups.values() {
        let share = |contrast: f32| {
            let of = flaws.iter().filter(|flaw| flaw.contrast == contrast);
            let (n, n_found) = of.fold((0, 0), |(n, found), flaw| {
                (n + 1, found + usize::from(flaw.is_found))
            });
            let share = if n == 0 {
                "-".to_owned()
            } else {
                format!("{n_found} of {n}")
            };
            format!("{share:>10}")
        };
        let shares = CONTRASTS.map(|(_, contrast)| share(contrast)).concat();
        say(&format!("  {name:<13}{shares}"))?;
    }
    Ok(())
}

fn near(a: [f64; 2], b: [f64; 2]) -> bool {
    a[0] - NEAR_MM <= b[1] && b[0] <= a[1] + NEAR_MM
}
