//! `selvedge demo`: everything at once on simulated cloth.
//!
//! Teaches an article from good cloth of one loom; then a station of two cameras stands over the web of
//! another one, with planted flaws of every class, and inspects a roll. In its middle the right camera
//! fails and comes back, which is a gap. What was found is held against what was planted: by class, by
//! size and by contrast, of which the weakest lies in the noise and is to be missed. Leaves a station
//! file, a store, a model and the roll map in one folder. Run again, it adds another run to the same
//! roll.

mod web;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use models::onnx::Runtime;
use store::Store;

use self::web::{FAINT, NOISE, PLAIN, Planted, Web};
use super::teach::{TeachArgs, teach_and_keep};
use super::{Outcome, Place, Sight, look, name, say, teach};
use crate::config::{Reread, Station};
use crate::desk::Wish;
use crate::picture::draw;
use crate::roll_view::{FlawReport, RollView};
use crate::source::SourceSpec;
use crate::station::{Beside, Standings, run as stand};
use crate::watched::Watched;

const ARTICLE: &str = "demo-plain";
const ROLL: &str = "demo-1";
/// Loom of the good cloth.
const GOOD_SEED: u64 = 1;
/// How often it is looked whether the cameras expose.
const LOOK: Duration = Duration::from_millis(20);
/// A flaw counts as found when a reported one comes within this of its box, in mm.
const NEAR_MM: f64 = 3.0;

/// Contrasts by their names.
const CONTRASTS: [(&str, f32); 3] = [("plain", PLAIN), ("faint", FAINT), ("in noise", NOISE)];

/// The station that the demo stands up, ready to be run again.
const STATION: &str = r#"# Two simulated cameras over one web. `selvedge run station.toml`, in this folder, lets it stand;
# then type a roll number and Enter to begin a roll, END to end it.
name = "demo"
article = "demo-plain"
loom_m_per_min = 4.0
loom_flaws_per_mpx = 0.05

[[lane]]
from = "loom:1"
mm_per_px = 0.2
offset_mm = 0.0

[[lane]]
from = "loom:1"
mm_per_px = 0.2
offset_mm = 380.0

[page]
listen = "127.0.0.1:7400"
"#;

/// Sizes by the longer side of the box, in mm, each up to here.
const SIZES: [(&str, f64); 4] = [
    ("to 5 mm", 5.0),
    ("to 20 mm", 20.0),
    ("to 100 mm", 100.0),
    ("longer", f64::INFINITY),
];

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Folder for the demo's store, model and picture.
    #[arg(long, default_value = "demo", value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(args: &DemoArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let out = &args.out;
    std::fs::create_dir_all(out).with_context(|| format!("folder {out:?} cannot be made"))?;
    let place = Place {
        store: out.join("selvedge.db").display().to_string(),
        models: None,
    };
    let file = out.join("station.toml");
    std::fs::write(&file, STATION).with_context(|| format!("{file:?} cannot be written"))?;
    let sight = Sight {
        station: Some(file.clone()),
        mm_per_px: None,
        workers: None,
    };
    let taught = teach_and_keep(
        &TeachArgs {
            article: ARTICLE.to_owned(),
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

    let station = Station::read(&file)?;
    let settings = Reread::new(file.clone(), station.clone());
    let runtime = Runtime::load()?;
    let web = Web::new(&station, stop)?;
    say(&format!(
        "inspecting  {} frames of each of two simulated cameras, as fast as cloth runs",
        web::N_FRAMES
    ))?;
    let open = |lane: usize| web.open(lane);
    let standings = Standings {
        station: &station,
        settings: &settings,
        open: &open,
        store: &place.store,
        shelf: place.shelf(),
        runtime: &runtime,
        n_workers: sight.n_workers()?,
        usual_article: Some(name(ARTICLE, "article")?),
        stop,
    };
    let begun_at = Mutex::new(None);
    let orders: Beside<'_> = (
        "orders",
        Box::new(|watched| {
            let at = begin(watched, stop)?;
            *begun_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
            Ok(())
        }),
    );
    stand(&standings, vec![orders])?;
    let begun_at = begun_at
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let origin = begun_at.context("the demo was stopped before its roll began")?;

    let store = Store::open_existing(&place.store)?;
    let run = store.latest_run(&name(ROLL, "roll")?)?;
    let run = run
        .context("found no run of the demo's roll, expected the one that has just ended")?
        .id;
    let truth = web.truth(origin);
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

/// Begins the demo's roll as soon as both cameras expose, and says at which tick.
fn begin(watched: &Watched, stop: &AtomicBool) -> anyhow::Result<Option<i64>> {
    while !stop.load(Ordering::Relaxed) {
        if let Some(at) = watched.desk.began_at() {
            return Ok(at.first().copied());
        }
        if watched.desk.is_ready() && !watched.desk.is_busy() {
            let wish = Wish {
                roll: ROLL.to_owned(),
                ..Wish::default()
            };
            say(&watched.desk.begin(&wish)?)?;
        }
        std::thread::sleep(LOOK);
    }
    Ok(None)
}

/// Holds what was planted against what was found.
fn compare(truth: &[Planted], found: &[FlawReport]) -> anyhow::Result<()> {
    let mut is_explained = vec![false; found.len()];
    let mut tried = Vec::new();
    for flaw in truth {
        let (along, across) = (flaw.along_mm, flaw.across_mm);
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
