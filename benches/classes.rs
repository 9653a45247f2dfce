//! Which class each flaw is told to be, against what it is.
//!
//! ```text
//! loom, every kind, weaves × contrasts ─▶ the line ─▶ flaws ─┬▶ planted × told ─▶ matrix
//! strips of real cloth, class by name  ─▶ evaluate ──────────┘
//! ```
//!
//! A planted flaw counts as what the largest flaw reported at its place is told to be, as missed
//! where none is, and not at all where one flaw was reported over several. Rolls hold either what
//! runs along or what lies over the full width, because the two may cross. A strip counts as what the
//! highest flaw over its mask is told to be. The seeds are used by no test, and the rules were not
//! made on them.
//!
//! A head is taught per cloth on the first few flaws of each class and asked about the rest.
//!
//! `SELVEDGE_CLOTH`, when it names a folder with `aitex`, adds real strips. After `--`, `--seed N`
//! weaves other cloth and `--samples FILE` writes the figures of every flaw, as CSV.

mod machine;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use calibration::{LaneGeometry, Span, Um, WebRect};
use camera::{
    Beside, Captured, Channels, Dyes, FlawKind, Loom, LoomSettings, PlantedFlaw, Pool, Source,
    Weave, image_files,
};
use image::{ExtendedColorType, save_buffer};
use models::onnx::Runtime;
use models::{Article, BackboneFile, FalseAlarms, Mode};
use selvedge::channel::Depths;
use selvedge::classes::{Class, Descriptor, Head, Kind, class_of};
use selvedge::config::Station;
use selvedge::evaluate::{Evaluation, ImageFlaw, Label, evaluate};
use selvedge::fitting::{correction_for, scorers_of};
use selvedge::labels::MaskFolder;
use selvedge::line::{self, Feed, Line};
use selvedge::roll::LanePlace;
use selvedge::source::{LOOM_MM_PER_PX, SourceSpec};
use selvedge::stitch::Flaw;
use selvedge::teach::{Teaching, teach};
use selvedge::tiles::{Joints, Tiler};
use selvedge::web::{LaneStart, Web};
use selvedge::wrong_article::Watch;

use crate::machine::{describe, n_cores};

/// Cloth, what shows through its holes, and whether it is dyed.
const CLOTHS: [(&str, Weave, Beside, bool); 5] = [
    ("plain", Weave::Plain, Beside::WhiteTable(120), false),
    ("twill 2/1", Weave::Twill21, Beside::DarkTable(120), false),
    ("twill 3/1", Weave::Twill31, Beside::WhiteTable(120), false),
    ("satin", Weave::Satin5, Beside::DarkTable(120), false),
    ("plain, dyed", Weave::Plain, Beside::DarkTable(120), true),
];
const DYES: Dyes = Dyes {
    warp: [0.7, 0.8, 1.1],
    weft: [0.8, 0.85, 1.0],
};
/// From what a person only sees when looking for it to what glares.
const CONTRASTS: [f32; 4] = [0.4, 0.7, 1.0, 2.0];
const N_TAUGHT: u64 = 32;
const N_FRAMES: u64 = 32;
const FLAWS_PER_MEGAPIXEL: f64 = 4.0;
/// A flaw was found when one was reported within this of its box.
const NEAR_UM: i64 = 2000;
/// The kept matrix is of this seed and those after it.
const FIRST_SEED: u64 = 2000;
/// Good strips that are taught, in name order.
const N_TAUGHT_STRIPS: usize = 12;
/// Samples per class that a head is taught on.
const N_SAMPLES: [usize; 2] = [5, 10];

/// One planted flaw, or one strip, and what was reported there.
struct Sample {
    cloth: &'static str,
    contrast: f32,
    planted: &'static str,
    class: Class,
    told: Option<Descriptor>,
}

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let args: Vec<String> = std::env::args().collect();
    let value = |key: &str| {
        let at = args.iter().position(|arg| arg == key);
        at.and_then(|at| args.get(at + 1))
    };
    let first_seed: u64 = value("--seed").map_or(Ok(FIRST_SEED), |seed| seed.parse())?;
    let folder = tempfile::tempdir()?;
    let runtime = Runtime::load()?;
    writeln!(out, "{}\n", describe())?;
    let mut woven = Vec::new();
    for (nth, (name, weave, left, is_dyed)) in CLOTHS.into_iter().enumerate() {
        let seed = first_seed + 100 * nth as u64;
        let base = LoomSettings {
            weave,
            left,
            dyes: is_dyed.then_some(DYES),
            ..LoomSettings::new(seed)
        };
        let article = taught(name, &base, &runtime, &folder.path().join(format!("{nth}")))?;
        for (nth, contrast) in CONTRASTS.into_iter().enumerate() {
            for (other, along) in [(10, true), (20, false)] {
                let settings = LoomSettings {
                    seed: seed + 1 + nth as u64 + other,
                    n_frames: Some(N_FRAMES),
                    contrast,
                    flaws_per_megapixel: FLAWS_PER_MEGAPIXEL,
                    random_kinds: kinds(along, is_dyed),
                    ..base.clone()
                };
                inspected(name, settings, &article, &runtime, &mut woven)?;
            }
        }
    }
    tell_matrix(
        &mut out,
        "loom: planted (rows) and told (columns)",
        &woven,
        |sample| sample.told.as_ref().map(|told| class_of(told).0),
    )?;
    tell_shares(&mut out, &woven, "by contrast", |sample| {
        format!("{}", sample.contrast)
    })?;
    tell_shares(&mut out, &woven, "by cloth", |sample| {
        sample.cloth.to_owned()
    })?;
    tell_heads(&mut out, &woven)?;
    let mut real = Vec::new();
    if let Some(data) = std::env::var_os("SELVEDGE_CLOTH") {
        strips(
            &Path::new(&data).join("aitex"),
            folder.path(),
            &runtime,
            &mut real,
        )?;
        tell_matrix(
            &mut out,
            "strips: named (rows) and told (columns)",
            &real,
            |sample| sample.told.as_ref().map(|told| class_of(told).0),
        )?;
    }
    if let Some(file) = value("--samples") {
        write_samples(Path::new(file), woven.iter().chain(&real))?;
    }
    Ok(())
}

/// One row per class that there is, one column per class that was told.
fn tell_matrix(
    out: &mut dyn Write,
    title: &str,
    samples: &[Sample],
    tell: impl Fn(&Sample) -> Option<Class>,
) -> anyhow::Result<()> {
    let mut counts: BTreeMap<&str, BTreeMap<Class, usize>> = BTreeMap::new();
    let mut missed: BTreeMap<&str, usize> = BTreeMap::new();
    let rightly: BTreeMap<&str, Class> = (samples.iter())
        .map(|sample| (sample.planted, sample.class))
        .collect();
    for sample in samples {
        let row = counts.entry(sample.planted).or_default();
        match tell(sample) {
            Some(class) => *row.entry(class).or_default() += 1,
            None => *missed.entry(sample.planted).or_default() += 1,
        }
    }
    let is_told = |class: &Class| counts.values().any(|row| row.contains_key(class));
    let told: Vec<Class> = Class::ALL.into_iter().filter(is_told).collect();
    writeln!(out, "{title}")?;
    write!(out, "{:<15}", "")?;
    for class in &told {
        write!(
            out,
            "{:>7}",
            class.as_str().chars().take(6).collect::<String>()
        )?;
    }
    writeln!(out, "{:>8}{:>7}{:>7}", "missed", "named", "right")?;
    let (mut n_found, mut n_named, mut n_right) = (0, 0, 0);
    for (planted, row) in &counts {
        write!(out, "{planted:<15}")?;
        for class in &told {
            match row.get(class) {
                Some(n) => write!(out, "{n:>7}")?,
                None => write!(out, "{:>7}", ".")?,
            }
        }
        let found: usize = row.values().sum();
        let named = found - row.get(&Class::Unknown).unwrap_or(&0);
        let right = rightly.get(planted).and_then(|class| row.get(class));
        let right = right.copied().unwrap_or(0);
        (n_found, n_named, n_right) = (n_found + found, n_named + named, n_right + right);
        writeln!(
            out,
            "{:>8}{:>7}{:>7}",
            missed.get(planted).unwrap_or(&0),
            percent(named, found),
            percent(right, named)
        )?;
    }
    writeln!(
        out,
        "of {} flaws {n_found} were found; of these {} were named, and of those {} rightly\n",
        samples.len(),
        percent(n_named, n_found),
        percent(n_right, n_named)
    )?;
    Ok(())
}

fn percent(part: usize, of: usize) -> String {
    if of == 0 {
        "-".to_owned()
    } else {
        format!("{:.0} %", 100.0 * part as f64 / of as f64)
    }
}

fn tell_shares(
    out: &mut dyn Write,
    samples: &[Sample],
    title: &str,
    group: impl Fn(&Sample) -> String,
) -> anyhow::Result<()> {
    // Found, named, right.
    let mut counts: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    for sample in samples {
        let Some(told) = &sample.told else { continue };
        let class = class_of(told).0;
        let count = counts.entry(group(sample)).or_default();
        count.0 += 1;
        count.1 += usize::from(class != Class::Unknown);
        count.2 += usize::from(class == sample.class);
    }
    writeln!(out, "{title:<15}{:>8}{:>8}{:>8}", "found", "named", "right")?;
    for (name, (found, named, right)) in counts {
        let (named, right) = (percent(named, found), percent(right, named));
        writeln!(out, "  {name:<13}{found:>8}{named:>8}{right:>8}")?;
    }
    writeln!(out)?;
    Ok(())
}

/// Right answers of the rules alone and with a head, on flaws that it was not taught on.
fn tell_heads(out: &mut dyn Write, samples: &[Sample]) -> anyhow::Result<()> {
    writeln!(
        out,
        "rightly told of all found, of flaws that the head was not taught on"
    )?;
    writeln!(
        out,
        "{:<15}{:>10}{:>10}{:>10}",
        "cloth", "per class", "rules", "with head"
    )?;
    for n_samples in N_SAMPLES {
        for (cloth, ..) in CLOTHS {
            let mut taught: Vec<(Descriptor, Class)> = Vec::new();
            let mut rest = Vec::new();
            for sample in samples.iter().filter(|sample| sample.cloth == cloth) {
                let Some(told) = &sample.told else { continue };
                let class = sample.class;
                let so_far = taught.iter().filter(|(_, of)| *of == class).count();
                if so_far < n_samples {
                    taught.push((told.clone(), class));
                } else {
                    rest.push((told, class));
                }
            }
            let head = Head::taught(cloth, &taught)?;
            let share = |tell: &dyn Fn(&Descriptor) -> Class| {
                let right = rest.iter().filter(|(told, class)| tell(told) == *class);
                percent(right.count(), rest.len())
            };
            let rules = share(&|told| class_of(told).0);
            let with = share(&|told| head.class_of(told, class_of(told).0));
            writeln!(out, "{cloth:<15}{n_samples:>10}{rules:>10}{with:>10}")?;
        }
    }
    writeln!(out)?;
    Ok(())
}

/// Classes of the strips, by the middle number of a file's name, and what comes nearest of ours.
const STRIP_CLASSES: [(&str, &str, Class); 12] = [
    ("002", "broken end", Class::EndOut),
    ("006", "broken yarn", Class::Float),
    ("010", "broken pick", Class::Mispick),
    ("016", "weft curling", Class::Kink),
    ("019", "fuzzy ball", Class::FuzzyBall),
    ("022", "cut selvedge", Class::Selvedge),
    ("023", "crease", Class::Crease),
    ("025", "warp ball", Class::FuzzyBall),
    ("027", "knot", Class::Knot),
    ("029", "contamination", Class::Contamination),
    ("030", "nep", Class::Nep),
    ("036", "weft crack", Class::WeftCrack),
];
const FABRICS: [(&str, &str); 3] = [
    ("00", "strips 00"),
    ("02", "strips 02"),
    ("03", "strips 03"),
];

/// Real strips: each defective one counts as what its highest flaw over the mask is told to be.
fn strips(
    data: &Path,
    folder: &Path,
    runtime: &Runtime,
    samples: &mut Vec<Sample>,
) -> anyhow::Result<()> {
    for (fabric, name) in FABRICS {
        let data = data.join(fabric);
        let good = image_files(&data.join("good"))?;
        let (taught, rest) = (
            folder.join(name).join("taught"),
            folder.join(name).join("rest"),
        );
        for (nth, file) in good.iter().enumerate() {
            let to = if nth < N_TAUGHT_STRIPS {
                &taught
            } else {
                &rest
            };
            std::fs::create_dir_all(to)?;
            std::fs::copy(file, to.join(file.file_name().unwrap_or_default()))?;
        }
        let article = learn(name, &taught, runtime)?;
        let station = Station::at_scale(LOOM_MM_PER_PX)?;
        let masks = MaskFolder::open(&data.join("masks"))?;
        let report = evaluate(
            &Evaluation {
                model: &article,
                station: &station,
                good: &rest,
                defective: &data.join("defective"),
                masks: None,
                head: None,
                device: runtime.device(),
                stop: &AtomicBool::new(false),
            },
            &|| scorers_of(&article, runtime, n_cores()),
            &mut |_, _| (),
        )?;
        for image in report.images {
            if image.label == Label::Good {
                continue;
            }
            let file = Path::new(&image.file);
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let number = stem.split('_').nth(1).unwrap_or_default();
            let class = STRIP_CLASSES.iter().find(|(known, ..)| *known == number);
            let Some((_, planted, class)) = class else {
                anyhow::bail!("{file:?} is of no known class");
            };
            let (width, height) = image::image_dimensions(file)?;
            let mask = masks.find(file, width, height)?;
            let over = |flaw: &&ImageFlaw| {
                mask.as_ref()
                    .is_some_and(|mask| mask.touches(flaw.x_px, flaw.y_px))
            };
            let best = image
                .flaws
                .iter()
                .filter(over)
                .max_by(|a, b| a.score.total_cmp(&b.score));
            samples.push(Sample {
                cloth: name,
                contrast: 1.0,
                planted,
                class: *class,
                told: best.map(|flaw| flaw.descriptor.clone()),
            });
        }
    }
    Ok(())
}

fn kinds(along: bool, is_dyed: bool) -> Vec<FlawKind> {
    let across = [FlawKind::Mispick, FlawKind::DoublePick, FlawKind::StartMark];
    if !along {
        let others = [FlawKind::WeftCrack, FlawKind::Crease, FlawKind::Float];
        return across.into_iter().chain(others).collect();
    }
    FlawKind::ALL
        .into_iter()
        .filter(|kind| (is_dyed || *kind != FlawKind::DyeStain) && !across.contains(kind))
        .collect()
}

fn taught(
    name: &str,
    base: &LoomSettings,
    runtime: &Runtime,
    folder: &Path,
) -> anyhow::Result<Article> {
    std::fs::create_dir_all(folder)?;
    let settings = LoomSettings {
        n_frames: Some(N_TAUGHT),
        ..base.clone()
    };
    let (width, height) = (settings.width, settings.frame_height);
    let mut loom = Loom::new(settings)?;
    let pool = Pool::new(1, loom.description().shape.n_bytes());
    let mut nth = 0;
    while let Some(Captured::Frame(frame)) = loom.next(&pool)? {
        let file = folder.join(format!("{nth:04}.png"));
        let kind = match frame.shape().channels {
            Channels::Grey => ExtendedColorType::L8,
            Channels::Rgb => ExtendedColorType::Rgb8,
        };
        save_buffer(file, frame.bytes(), width, height, kind)?;
        nth += 1;
    }
    learn(name, folder, runtime)
}

fn learn(name: &str, folder: &Path, runtime: &Runtime) -> anyhow::Result<Article> {
    let models = folder.join("models");
    std::fs::create_dir_all(&models)?;
    let teaching = Teaching {
        article: name,
        sources: &[SourceSpec::Images(folder.to_owned())],
        station: &Station::at_scale(LOOM_MM_PER_PX)?,
        asked: FalseAlarms { per_100_m2: 2.0 },
        backbone: &BackboneFile::installed(runtime, Mode::default())?,
        runtime,
        n_workers: n_cores(),
        with_limits: false,
        stop: &AtomicBool::new(false),
    };
    Ok(teach(&teaching, &models, &mut |_, _| ())?.article)
}

fn inspected(
    cloth: &'static str,
    settings: LoomSettings,
    article: &Article,
    runtime: &Runtime,
    samples: &mut Vec<Sample>,
) -> anyhow::Result<()> {
    let contrast = settings.contrast;
    let width = settings.width;
    let station = Station::at_scale(LOOM_MM_PER_PX)?;
    let loom = Loom::new(settings)?;
    let truth = loom.truth();
    let geometry = LaneGeometry::new(LOOM_MM_PER_PX, LOOM_MM_PER_PX * 1e3, Um::ZERO, width)?;
    let place = LanePlace::of_lanes(&[geometry])?[0];
    let lane = &station.lanes[0];
    let mut web = Web::new(vec![LaneStart {
        place,
        mm_per_line: lane.mm_per_line,
        judge: article.judge(0, lane.mm_per_cell_row()),
        watch: Watch::new(article.passport().likeness.clone()),
        focus: selvedge::focus::FocusLimits::of(&article.passport().lanes[0].focus),
    }]);
    let joints = Joints::of(loom.description());
    let tiler = Tiler::new(0, correction_for(article, &station, 0, joints)?);
    let line = Line {
        feeds: vec![Feed::of(Box::new(loom), tiler)],
        scorers: scorers_of(article, runtime, n_cores())?,
        stop: &AtomicBool::new(false),
        depths: Depths::default(),
    };
    let mut found = Vec::new();
    for ending in line::run(line, &mut |lane, ordered| {
        found.extend(web.page(lane, ordered)?.flaws);
        Ok(())
    })? {
        ending?;
    }
    found.extend(web.last_page(|_| false)?.flaws);
    let found: Vec<(Flaw, Kind)> = found;
    let web_width = Um(i64::from(width) * 200);
    let boxes: Vec<WebRect> = truth
        .iter()
        .map(|flaw| grown(flaw, &geometry))
        .collect::<anyhow::Result<_>>()?;
    let at = |flaw: &Flaw| -> Vec<usize> {
        (0..boxes.len())
            .filter(|nth| flaw.rect.intersection(&boxes[*nth]).is_some())
            .collect()
    };
    let places: Vec<Vec<usize>> = found.iter().map(|(flaw, _)| at(flaw)).collect();
    for (nth, planted) in truth.iter().enumerate() {
        let here: Vec<usize> = (0..found.len())
            .filter(|found| places[*found].contains(&nth))
            .collect();
        if here.iter().any(|found| places[*found].len() > 1) {
            continue;
        }
        let largest = here.into_iter().max_by_key(|nth| found[*nth].0.area_um2);
        samples.push(Sample {
            cloth,
            contrast,
            planted: planted.class,
            class: Class::from_word(planted.class).unwrap_or(Class::Unknown),
            told: largest.map(|nth| found[nth].0.descriptor(web_width)),
        });
    }
    Ok(())
}

fn grown(flaw: &PlantedFlaw, geometry: &LaneGeometry) -> anyhow::Result<WebRect> {
    let rect = geometry.rect(flaw.ticks.clone(), flaw.columns.clone())?;
    let grown = |span: Span| Span::new(span.start() - Um(NEAR_UM), span.end() + Um(NEAR_UM));
    Ok(WebRect {
        along: grown(rect.along)?,
        across: grown(rect.across)?,
    })
}

/// The figures of every flaw that was found.
fn write_samples<'a>(file: &Path, samples: impl Iterator<Item = &'a Sample>) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    let mut is_first = true;
    for sample in samples {
        let Some(descriptor) = &sample.told else {
            continue;
        };
        let figures = descriptor.figures();
        if std::mem::take(&mut is_first) {
            write!(out, "cloth,contrast,planted")?;
            for name in Descriptor::FIGURES {
                write!(out, ",{name}")?;
            }
            writeln!(out)?;
        }
        write!(
            out,
            "{},{},{}",
            sample.cloth, sample.contrast, sample.planted
        )?;
        for figure in figures {
            write!(out, ",{figure:.4}")?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}
