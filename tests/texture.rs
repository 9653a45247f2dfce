//! An article that needs no network: the classical scorer, taught on simulated cloth.
//!
//! ```text
//! loom ─▶ line with raw Texture ─▶ Teacher, Rehearsal ─▶ passport in a tiny .onnx file
//!                                                    └─▶ whitened Texture scorers
//! ```
//!
//! The file is a true article file whose network does nothing, so that inspection, shelf and
//! store treat it as any other; its scorers are given to the line by the test. Everything about
//! it is fixed, so that it is the same on each machine.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use camera::{Beside, Loom, LoomSettings, Source};
use models::onnx::graph::{Dim, Graph};
use models::teach::{REFERENCE, Rehearsal, Teacher, Whitener};
use models::{
    Article, Backbone, CELL_PX, Channels, Evidence, FalseAlarms, Judgement, LaneColumns,
    PASSPORT_FORMAT, Passport, Scorer, Taught, Texture, digest_of,
};
use selvedge::config::Station;
use selvedge::judging::{Ordered, SeenFrame};
use selvedge::line::{self, Feed, Line};
use selvedge::tiles::{Correction, Joints, Tiler};

/// Scale of all cloth in these tests, mm per pixel.
pub(crate) const MM_PER_PX: f64 = 0.2;
/// Seed of the cloth that is taught; every other seed is cloth it has not seen.
const TAUGHT_SEED: u64 = 1;

/// The taught article.
pub(crate) struct TextureArticle {
    /// Its file, read back.
    pub(crate) article: Article,
    whitener: Whitener,
    _folder: tempfile::TempDir,
}

impl TextureArticle {
    /// The one article that all tests of this process share.
    pub(crate) fn taught() -> &'static Self {
        static TAUGHT: OnceLock<TextureArticle> = OnceLock::new();
        TAUGHT.get_or_init(teach)
    }

    /// The same article as if it had been taught at another scale along.
    pub(crate) fn at_mm_per_line(&self, mm_per_line: f64) -> Article {
        let folder = tempfile::tempdir().unwrap();
        let passport = Passport {
            mm_per_line,
            ..self.article.passport().clone()
        };
        Article::read(&write_model(folder.path(), &passport)).unwrap()
    }

    /// A scorer of it.
    pub(crate) fn scorer(&self) -> Box<dyn Scorer> {
        Box::new(Texture::whitened(self.whitener.clone()))
    }

    /// As many of them as there are workers.
    pub(crate) fn scorers(&self, n_workers: usize) -> Vec<Box<dyn Scorer>> {
        (0..n_workers).map(|_| self.scorer()).collect()
    }
}

/// Good cloth, 128 mm by 25.6 mm a frame, with a table on both sides.
pub(crate) fn good_cloth(seed: u64) -> LoomSettings {
    LoomSettings {
        width: 640,
        frame_height: 128,
        n_frames: Some(8),
        left: Beside::WhiteTable(48),
        right: Beside::DarkTable(32),
        ..LoomSettings::new(seed)
    }
}

/// A loom as a source.
pub(crate) fn loom(settings: LoomSettings) -> Box<dyn Source> {
    Box::new(Loom::new(settings).unwrap())
}

/// The station at which everything is seen.
pub(crate) fn station() -> Station {
    Station::at_scale(MM_PER_PX).unwrap()
}

/// Writes an article file that has a passport and no network; gives its path.
pub(crate) fn write_model(folder: &Path, passport: &Passport) -> std::path::PathBuf {
    let bytes = model_bytes(passport);
    let path = folder.join(format!("{}.onnx", digest_of(&bytes)));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The bytes of an article file that has a passport and no network.
pub(crate) fn model_bytes(passport: &Passport) -> Vec<u8> {
    let passport = serde_json::to_string(passport).unwrap();
    let golden = r#"[{"planes":1,"pixels":"","scores":[]}]"#;
    bare_model(&[
        ("selvedge.passport", &passport),
        ("selvedge.golden", golden),
    ])
}

/// A network that hands its input on, with this metadata.
pub(crate) fn bare_model(metadata: &[(&str, &str)]) -> Vec<u8> {
    let dims = [
        Dim::Named("n"),
        Dim::Fixed(1),
        Dim::Named("h"),
        Dim::Named("w"),
    ];
    let mut graph = Graph::new("nothing");
    let input = graph.input("pixels", &dims);
    graph.node("features", "Identity", &[&input], &["features"], Vec::new());
    graph.output("features", &dims);
    let mut model = graph.into_model().unwrap();
    for (key, value) in metadata {
        model.set_metadata(key, value);
    }
    model.to_bytes()
}

/// A passport for `article` that says as little as it may.
fn passport(article: &str, usual: Vec<f32>, judgement: Judgement, evidence: Evidence) -> Passport {
    Passport {
        format: PASSPORT_FORMAT,
        article: article.to_owned(),
        taught: Taught {
            at: "2026-01-01T00:00:00Z".to_owned(),
            source: format!("loom:{TAUGHT_SEED}"),
            n_frames: 8,
            n_left_out: 0,
            cloth_m2: 0.02,
            engine: "test".to_owned(),
            runtime: "none".to_owned(),
            device: "none".to_owned(),
        },
        backbone: Backbone {
            name: "texture".to_owned(),
            digest: "none".to_owned(),
            layers: Vec::new(),
            n_features: Texture::raw().n_features(),
        },
        channels: Channels::Grey,
        mm_per_px: MM_PER_PX,
        mm_per_line: MM_PER_PX,
        lanes: vec![LaneColumns {
            frame_width: 640,
            flat_field: None,
            usual,
        }],
        reference: REFERENCE,
        judgement,
        evidence,
    }
}

/// The passport of an article that will judge nothing: small enough to be committed.
pub(crate) fn small_passport(article: &str) -> Passport {
    let taught = TextureArticle::taught().article.passport().clone();
    passport(article, Vec::new(), taught.judgement, taught.evidence)
}

fn teach() -> TextureArticle {
    let mm_per_row = MM_PER_PX * CELL_PX as f64;
    let n_features = Texture::raw().n_features();
    let mut teacher = Teacher::new(n_features, REFERENCE, mm_per_row, 1);
    each_frame(|frame| teacher.learn(0, &frame.block));
    let mut rehearsal = Rehearsal::new(teacher.whitening().unwrap(), mm_per_row);
    each_frame(|frame| rehearsal.rehearse(0, &frame.block));
    let asked = FalseAlarms { per_100_m2: 2.0 };
    let mut lesson = rehearsal.finish(0.003, asked);

    let folder = tempfile::tempdir().unwrap();
    let usual = lesson.usual.remove(0);
    let passport = passport("texture", usual, lesson.judgement, lesson.evidence);
    let path = write_model(folder.path(), &passport);
    TextureArticle {
        article: Article::read(&path).unwrap(),
        whitener: lesson.whitener,
        _folder: folder,
    }
}

/// Raw features of the cloth to be taught, frame by frame.
fn each_frame(mut each: impl FnMut(&SeenFrame)) {
    let mut settings = good_cloth(TAUGHT_SEED);
    settings.n_frames = Some(16);
    let correction = Correction {
        channels: camera::Channels::Grey,
        flat_field: None,
        light: station().light,
        joints: Joints::Measured,
    };
    let line = Line {
        feeds: vec![Feed {
            source: loom(settings),
            tiler: Tiler::new(0, correction),
        }],
        scorers: vec![Box::new(Texture::raw())],
        stop: &AtomicBool::new(false),
    };
    line::run(line, &mut |_, ordered| {
        match ordered {
            Ordered::Frame(frame) => each(&frame),
            Ordered::Missed(missed) => panic!("good cloth was missed: {missed:?}"),
            Ordered::Ended => {}
        }
        Ok(())
    })
    .unwrap();
}
