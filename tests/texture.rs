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

use calibration::{FlatField, FlatFieldEstimator, find_cloth, sharpness};
use camera::{Beside, Captured, Loom, LoomSettings, Pool, Source};
use models::onnx::graph::{Dim, Graph};
use models::teach::{REFERENCE, Rehearsal, Teacher, Whitener};
use models::{
    Article, Backbone, CELL_PX, Channels, Evidence, FalseAlarms, Judgement, LaneColumns, Mode,
    PASSPORT_FORMAT, Passport, Pattern, Scorer, Taught, Texture, digest_of, stored_patterns,
};
use selvedge::channel::Depths;
use selvedge::config::Station;
use selvedge::judging::{Ordered, SeenFrame};
use selvedge::line::{self, Feed, Line};
use selvedge::teach::LeastSharpness;
use selvedge::tiles::{Correction, Joints, Tiler};

/// Scale of all cloth in these tests, mm per pixel.
pub(crate) const MM_PER_PX: f64 = 0.2;
/// Pixels around a tile's kept part.
pub(crate) const HALO_PX: usize = 48;
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
        TAUGHT.get_or_init(|| {
            let cloth = LoomSettings {
                n_frames: Some(16),
                ..good_cloth(TAUGHT_SEED)
            };
            teach(&cloth, None)
        })
    }

    /// An article for [`clean_cloth`], where what a dead column leaves must not blur what is told.
    pub(crate) fn clean() -> &'static Self {
        static TAUGHT: OnceLock<TextureArticle> = OnceLock::new();
        TAUGHT.get_or_init(|| {
            let cloth = LoomSettings {
                n_frames: Some(16),
                ..clean_cloth(TAUGHT_SEED)
            };
            teach(&cloth, None)
        })
    }

    /// An article for [`narrow_cloth`], for rolls of many metres.
    pub(crate) fn narrow() -> &'static Self {
        static TAUGHT: OnceLock<TextureArticle> = OnceLock::new();
        TAUGHT.get_or_init(|| {
            let cloth = narrow_cloth(TAUGHT_SEED, 40);
            teach(&cloth, Some(&flat_field(&cloth)))
        })
    }

    /// An article taught on this cloth.
    pub(crate) fn of(cloth: &LoomSettings) -> Self {
        teach(cloth, None)
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

    /// The same article as if nobody had looked how sharp it is.
    pub(crate) fn without_focus(&self) -> Article {
        let folder = tempfile::tempdir().unwrap();
        let mut passport = self.article.passport().clone();
        passport
            .lanes
            .iter_mut()
            .for_each(|lane| lane.focus.clear());
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

/// The same under a camera without a dead column.
pub(crate) fn clean_cloth(seed: u64) -> LoomSettings {
    LoomSettings {
        n_dead_columns: 0,
        ..good_cloth(seed)
    }
}

/// Good cloth, 51 mm by 205 mm a frame; the camera's dead column sees the table beside it.
pub(crate) fn narrow_cloth(seed: u64, n_frames: u64) -> LoomSettings {
    LoomSettings {
        width: 448,
        frame_height: 1024,
        n_frames: Some(n_frames),
        left: Beside::Cloth,
        right: Beside::DarkTable(208),
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
    write_bytes(folder, model_bytes(passport))
}

fn write_bytes(folder: &Path, bytes: Vec<u8>) -> std::path::PathBuf {
    let path = folder.join(format!("{}.onnx", digest_of(&bytes)));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The bytes of an article file that has a passport and no network.
pub(crate) fn model_bytes(passport: &Passport) -> Vec<u8> {
    model_bytes_with(passport, &[])
}

/// The same with the patterns of its lanes.
fn model_bytes_with(passport: &Passport, patterns: &[Pattern]) -> Vec<u8> {
    let patterns = stored_patterns(patterns).unwrap();
    let passport = serde_json::to_string(passport).unwrap();
    let golden = r#"[{"planes":1,"pixels":"","scores":[]}]"#;
    bare_model(&[
        ("selvedge.passport", &passport),
        ("selvedge.columns", &patterns),
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
fn passport(
    article: &str,
    columns: LaneColumns,
    judgement: Judgement,
    evidence: Evidence,
) -> Passport {
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
            mode: Mode::Standard,
            name: "texture".to_owned(),
            digest: "none".to_owned(),
            layers: Vec::new(),
            n_features: Texture::raw().n_features(),
            halo_px: HALO_PX,
        },
        channels: Channels::Grey,
        mm_per_px: MM_PER_PX,
        mm_per_line: MM_PER_PX,
        lanes: vec![columns],
        reference: REFERENCE,
        judgement,
        evidence,
        likeness: None,
        limits: None,
    }
}

/// The passport of an article that will judge nothing: small enough to be committed.
pub(crate) fn small_passport(article: &str) -> Passport {
    let taught = TextureArticle::taught().article.passport().clone();
    let columns = LaneColumns {
        usual: Vec::new(),
        ..taught.lanes[0].clone()
    };
    passport(article, columns, taught.judgement, taught.evidence)
}

/// The fixed pattern of the camera that sees this cloth.
fn flat_field(cloth: &LoomSettings) -> FlatField {
    let mut source = loom(cloth.clone());
    let pool = Pool::new(2, source.description().shape.n_bytes());
    let mut estimator = FlatFieldEstimator::new(cloth.width);
    while let Some(Captured::Frame(frame)) = source.next(&pool).unwrap() {
        estimator.add(&frame, find_cloth(&frame).unwrap()).unwrap();
    }
    estimator.finish().unwrap()
}

fn teach(cloth: &LoomSettings, field: Option<&FlatField>) -> TextureArticle {
    let mm_per_row = MM_PER_PX * CELL_PX as f64;
    let n_features = Texture::raw().n_features();
    let mut teacher = Teacher::new(n_features, REFERENCE, mm_per_row, 1);
    let mut focus = LeastSharpness::default();
    each_frame(cloth, field, |frame| {
        focus.add(&sharpness(&frame.head.frame, frame.head.cloth).unwrap());
        teacher.learn(0, &frame.block);
    });
    let mut rehearsal = Rehearsal::new(teacher.whitening().unwrap(), mm_per_row);
    each_frame(cloth, field, |frame| rehearsal.rehearse(0, &frame.block));
    let asked = FalseAlarms { per_100_m2: 2.0 };
    let mut lesson = rehearsal.finish(0.003, asked);

    let folder = tempfile::tempdir().unwrap();
    let columns = LaneColumns {
        frame_width: cloth.width,
        flat_field: field.map(|field| serde_json::to_value(field).unwrap()),
        usual: lesson.usual.remove(0),
        evened: false,
        focus: focus.found(),
    };
    let passport = Passport {
        likeness: lesson.likeness,
        ..passport("texture", columns, lesson.judgement, lesson.evidence)
    };
    let bytes = model_bytes_with(&passport, &lesson.patterns);
    let path = write_bytes(folder.path(), bytes);
    TextureArticle {
        article: Article::read(&path).unwrap(),
        whitener: lesson.whitener,
        _folder: folder,
    }
}

/// Raw features of the cloth to be taught, frame by frame.
fn each_frame(cloth: &LoomSettings, field: Option<&FlatField>, mut each: impl FnMut(&SeenFrame)) {
    let correction = Correction {
        channels: camera::Channels::Grey,
        flat_field: field.cloned(),
        light: station().light,
        halo_px: HALO_PX,
        joints: Joints::Known,
    };
    let line = Line {
        feeds: vec![Feed::of(loom(cloth.clone()), Tiler::new(0, correction))],
        scorers: vec![Box::new(Texture::raw())],
        stop: &AtomicBool::new(false),
        depths: Depths::default(),
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
