//! The cloth that is measured on: frames in memory, and the article taught for them.
//!
//! ```text
//! loom or strips ─▶ first part: taught through the library ─▶ Article
//!                └▶ second part: Woven ─▶ pool buffers
//! ```
//!
//! Nothing is woven or decoded while the clock runs; a frame costs one copy into a buffer of
//! the line's pool, as a camera's driver would. Each cloth has an article of its own: on cloth
//! that it was not taught, a model flags everything, and the bench would measure pictures of
//! flaws.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use camera::{
    Beside, Captured, FlawKind, FrameShape, ImageFolder, Loom, LoomSettings, Pool, Source, Woven,
    image_files,
};
use image::{ExtendedColorType, save_buffer};
use models::onnx::Runtime;
use models::{Article, BackboneFile, FalseAlarms, Mode};
use selvedge::config::Station;
use selvedge::fitting::correction_for;
use selvedge::source::{LOOM_MM_PER_PX, SourceSpec};
use selvedge::teach::{Teaching, teach};
use selvedge::tiles::{Joints, Tiler};

use crate::machine::n_cores;

/// Any seed weaves cloth like any other.
const SEED: u64 = 11;
/// Good frames that the protocol for real strips teaches on, in name order.
const N_TAUGHT_STRIPS: usize = 12;

/// Frames of one cloth, and its article.
pub(crate) struct Cloth {
    /// For the table.
    pub(crate) name: String,
    /// Taught on the same cloth.
    pub(crate) article: Article,
    /// Scale and light.
    pub(crate) station: Station,
    woven: Woven,
}

impl Cloth {
    /// Simulated cloth: one web, taught on its beginning, with a few flaws in the first
    /// thousand lines of the `n_frames` that follow.
    ///
    /// # Errors
    /// What loom or teaching say.
    pub(crate) fn woven(
        (width, height): (u32, u32),
        (n_taught, n_frames): (u64, u64),
        runtime: &Runtime,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let first = n_taught as i64 * i64::from(height);
        // Narrow cloth has the same flaws, closer together.
        let at = |column: u32, n: u32| {
            let start = column * width.min(2048) / 2048;
            start..start + n
        };
        let settings = LoomSettings {
            width,
            frame_height: height,
            n_frames: Some(n_taught + n_frames),
            left: Beside::WhiteTable(120),
            right: Beside::DarkTable(60),
            ..LoomSettings::new(SEED)
        }
        .with_flaw(FlawKind::EndOut, first + 100..first + 900, at(1500, 8), 1.0)
        .with_flaw(FlawKind::Hole, first + 150..first + 180, at(900, 30), 1.0)
        .with_flaw(FlawKind::Stain, first + 600..first + 660, at(1200, 80), 1.0)
        .with_flaw(FlawKind::Slub, first + 900..first + 908, at(400, 80), 1.0);
        let name = format!("loom {width} x {height}");
        let taught = folder.join(&name);
        std::fs::create_dir_all(&taught)?;
        let mut loom = Loom::new(settings)?;
        let pool = Pool::new(1, loom.description().shape.n_bytes());
        for nth in 0..n_taught {
            let Some(Captured::Frame(frame)) = loom.next(&pool)? else {
                anyhow::bail!("the loom gave {nth} frames, expected {n_taught} to teach on");
            };
            let file = taught.join(format!("{nth:04}.png"));
            save_buffer(file, frame.bytes(), width, height, ExtendedColorType::L8)?;
        }
        let woven = Woven::of(&mut loom, n_frames as usize)?;
        Self::taught(name, &taught, woven, runtime)
    }

    /// Strips of real cloth, `aitex/02/good` in the folder that `SELVEDGE_CLOTH` names: taught
    /// on the first twelve, measured on all. `None` where the variable is not set.
    ///
    /// # Errors
    /// What files or teaching say.
    pub(crate) fn strips(runtime: &Runtime, folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(data) = std::env::var_os("SELVEDGE_CLOTH") else {
            return Ok(None);
        };
        let good = Path::new(&data).join("aitex/02/good");
        let taught = folder.join("strips");
        std::fs::create_dir_all(&taught)?;
        for file in image_files(&good)?.iter().take(N_TAUGHT_STRIPS) {
            std::fs::copy(file, taught.join(file.file_name().unwrap_or_default()))?;
        }
        let mut strips = ImageFolder::open(&good, 0)?;
        let woven = Woven::of(&mut strips, usize::MAX)?;
        let shape = woven.description().shape;
        let name = format!("strips {} x {}", shape.width, shape.height);
        Self::taught(name, &taught, woven, runtime).map(Some)
    }

    fn taught(name: String, good: &Path, woven: Woven, runtime: &Runtime) -> anyhow::Result<Self> {
        let station = Station::at_scale(LOOM_MM_PER_PX)?;
        let teaching = Teaching {
            article: &name,
            sources: &[SourceSpec::Images(good.to_owned())],
            station: &station,
            asked: FalseAlarms { per_100_m2: 2.0 },
            backbone: &BackboneFile::installed(runtime, mode()?)?,
            runtime,
            n_workers: n_cores(),
            with_limits: false,
            stop: &AtomicBool::new(false),
        };
        let models = good.join("models");
        std::fs::create_dir_all(&models)?;
        let taught = teach(&teaching, &models, &mut |_, _| ())?;
        Ok(Self {
            name,
            article: taught.article,
            station,
            woven,
        })
    }

    /// The frames, from the first on.
    pub(crate) fn source(&self) -> Box<dyn Source> {
        Box::new(self.woven.clone())
    }

    /// A tiler as the line has one.
    ///
    /// # Errors
    /// When the passport's flat field is damaged.
    pub(crate) fn tiler(&self) -> anyhow::Result<Tiler> {
        let joints = Joints::of(self.woven.description());
        let correction = correction_for(&self.article, &self.station, 0, joints)?;
        Ok(Tiler::new(0, correction))
    }

    /// Shape of the frames.
    pub(crate) fn shape(&self) -> FrameShape {
        self.woven.description().shape
    }

    /// Number of frames.
    pub(crate) fn n_frames(&self) -> usize {
        // A round of frames in memory has as many as there are.
        self.woven.description().n_frames.unwrap_or(0) as usize
    }

    /// Pixels of all frames, in millions: table beside the cloth counts, because it passes the
    /// camera too.
    pub(crate) fn n_mpx(&self) -> f64 {
        let shape = self.shape();
        let per_frame = f64::from(shape.width) * f64::from(shape.height);
        per_frame * self.n_frames() as f64 / 1e6
    }
}

/// The mode that is measured: the one that `SELVEDGE_MODE` names, else what articles are taught
/// with.
///
/// # Errors
/// When there is no such mode.
pub(crate) fn mode() -> anyhow::Result<Mode> {
    let Some(wanted) = std::env::var_os("SELVEDGE_MODE") else {
        return Ok(Mode::default());
    };
    let found = Mode::ALL.into_iter().find(|mode| wanted == mode.as_str());
    found.with_context(|| format!("found SELVEDGE_MODE {wanted:?}, expected a mode"))
}
