//! One article model: one `.onnx` file.
//!
//! ```text
//! pixels [n, c, h, w] ─▶ backbone ─▶ layers, whitened ─▶ features [n, k, h/4, w/4]
//!        │                                                   └─▶ mean square ─▶ score [n, h/4, w/4]
//!        └─▶ spots ─▶ fine [n, kinds, h/4, w/4] ──────────────────────────────┘ the larger
//! metadata: selvedge.passport, selvedge.columns, selvedge.golden (all JSON)
//! ```
//!
//! `pixels` are evened: 1.0 is the cloth's usual brightness. The backbone's own normalisation
//! is folded into its first convolution, the whitening into one behind each layer. `score` is against the
//! taught reference alone, for whoever runs the file without Selvedge; the line takes
//! `features` and judges them in order. A file is named by the SHA-256 of its bytes.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3, Array4, Axis};

use crate::backbone::BackboneFile;
use crate::file::{digest_of, is_digest, read_file, write_durably};
use crate::golden::{GOLDEN_CELLS, GOLDEN_KEY, GoldenTile};
use crate::onnx::graph::{Dim, Graph, int, ints};
use crate::onnx::proto::ModelProto;
use crate::onnx::read::{GraphError, read_model};
use crate::onnx::{Runtime, Session};
use crate::passport::{Channels, Judgement, PASSPORT_KEY, Passport};
use crate::pattern::{PATTERN_KEY, Pattern, read_patterns, stored_patterns};
use crate::teach::Whitener;
use crate::{Judge, ModelError, Scorer, spots};

/// A taught model, checked and ready to be put to work.
#[derive(Clone, Debug)]
pub struct Article {
    path: PathBuf,
    digest: String,
    passport: Passport,
    /// The network with the output `features` alone.
    working: Vec<u8>,
    golden: Vec<GoldenTile>,
    /// One per lane whose columns were taught.
    patterns: Vec<Pattern>,
}

impl Article {
    /// Reads a model file. A file that is named by a digest must have it.
    ///
    /// # Errors
    /// Any of [`ModelError`]'s variants about files, passports and digests.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let bytes = read_file(path)?;
        let digest = digest_of(&bytes);
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if is_digest(name) && name != digest {
            return Err(ModelError::WrongDigest {
                path: path.to_owned(),
                found: digest,
                expected: name.to_owned(),
            });
        }
        let model = read_model(&bytes).map_err(|source| ModelError::NotOnnx {
            path: path.to_owned(),
            source,
        })?;
        let passport = model.metadata(PASSPORT_KEY).ok_or(ModelError::NoPassport {
            path: path.to_owned(),
        })?;
        let passport = Passport::parse(passport).map_err(|reason| ModelError::BadPassport {
            path: path.to_owned(),
            reason,
        })?;
        let golden = model.metadata(GOLDEN_KEY).unwrap_or("[]");
        let golden: Vec<GoldenTile> =
            serde_json::from_str(golden).map_err(|error| ModelError::BadPassport {
                path: path.to_owned(),
                reason: format!("golden tiles: {error}"),
            })?;
        if golden.is_empty() {
            return Err(ModelError::BadPassport {
                path: path.to_owned(),
                reason: "found no golden tile, expected at least one".to_owned(),
            });
        }
        let patterns = model.metadata(PATTERN_KEY).unwrap_or("[]");
        let patterns =
            read_patterns(patterns, &passport).map_err(|reason| ModelError::BadPassport {
                path: path.to_owned(),
                reason: format!("taught columns: {reason}"),
            })?;
        let working = working_part(model).map_err(|source| ModelError::NotOnnx {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            digest,
            passport,
            working,
            golden,
            patterns,
        })
    }

    /// SHA-256 of the file, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Where the file was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says of itself.
    pub fn passport(&self) -> &Passport {
        &self.passport
    }

    /// A judge of `lane`, counted from 0, at the start of a roll; `mm_per_row` as for
    /// [`Judge::new`]. Of a lane that was not taught no column is known.
    pub fn judge(&self, lane: usize, mm_per_row: f64) -> Judge {
        let judge = self.judge_alone(lane, mm_per_row);
        match self.patterns.get(lane) {
            Some(pattern) => judge.starting_from(pattern.clone()),
            None => judge,
        }
    }

    /// The same for pictures that stand alone: each is its own reference from its first row on.
    pub fn judge_alone(&self, lane: usize, mm_per_row: f64) -> Judge {
        let columns = self.passport.lanes.get(lane);
        Judge::new(
            self.passport.judgement.clone(),
            columns.map_or_else(Vec::new, |columns| columns.usual.clone()),
            self.passport.reference,
            mm_per_row,
        )
    }

    /// Opens a session of its own, without the output that only others need, and replays the
    /// golden tiles on it.
    ///
    /// # Errors
    /// [`ModelError::GoldenDrift`] when this runtime computes something else than what was
    /// taught, [`ModelError::BadPassport`] when golden tiles or network are not what the
    /// passport says; otherwise what ONNX Runtime said.
    pub fn scorer(&self, runtime: &Runtime) -> Result<ArticleScorer, ModelError> {
        let n_planes = self.passport.channels.n_planes();
        let n_features = self.passport.backbone.n_features;
        let bad = |reason| ModelError::BadPassport {
            path: self.path.clone(),
            reason,
        };
        for (index, golden) in self.golden.iter().enumerate() {
            golden
                .check(n_planes)
                .map_err(|reason| bad(format!("golden tile {index}: {reason}")))?;
        }
        let mut session = Session::new(runtime, &self.working)?;
        for (index, golden) in self.golden.iter().enumerate() {
            let tile = golden
                .tile()
                .ok_or_else(|| bad(format!("golden tile {index} is damaged")))?;
            let features = session.features(tile.view())?;
            let expected = [n_features, GOLDEN_CELLS, GOLDEN_CELLS];
            if features.shape() != expected {
                return Err(bad(format!(
                    "golden tile {index}: found features of shape {:?} from the network, expected {expected:?}",
                    features.shape()
                )));
            }
            let judgement = &self.passport.judgement;
            if features.n_fine() != judgement.spots.len() {
                return Err(bad(format!(
                    "found {} kinds of spots from the network, expected {}",
                    features.n_fine(),
                    judgement.spots.len()
                )));
            }
            let score = taught_score(&features, judgement);
            golden.compare(index, score.view(), judgement)?;
        }
        Ok(ArticleScorer::of(session, n_planes, n_features))
    }
}

/// A session that gives an article's whitened features.
pub struct ArticleScorer {
    session: Session,
    n_planes: usize,
    n_features: usize,
}

impl ArticleScorer {
    /// A session whose output `features` has `n_features` of them.
    pub(crate) fn of(session: Session, n_planes: usize, n_features: usize) -> Self {
        Self {
            session,
            n_planes,
            n_features,
        }
    }
}

impl Scorer for ArticleScorer {
    fn n_planes(&self) -> usize {
        self.n_planes
    }

    fn n_features(&self) -> usize {
        self.n_features
    }

    fn features(
        &mut self,
        tile: ndarray::ArrayView3<'_, f32>,
    ) -> Result<crate::Features, ModelError> {
        self.session.features(tile)
    }
}

/// Puts a taught article together, lets `runtime` score the golden tiles cut from `tiles`
/// (evened, `[planes, h, w]`), and writes the file into `folder` under its digest.
///
/// Tiles may be of any size; the part that becomes golden is mirrored where they are small.
///
/// # Errors
/// [`ModelError::TooLittleCloth`] without a tile, [`ModelError::WrongTile`] when one is empty or
/// has other planes than the passport says, [`ModelError::BadPassport`] when the passport would
/// not be read back; otherwise what the network, ONNX Runtime or the disk refused.
pub fn write_article(
    folder: &Path,
    backbone: &BackboneFile,
    (whitener, filters): (&Whitener, &[Array2<f32>]),
    passport: &Passport,
    patterns: &[Pattern],
    tiles: &[Array3<f32>],
    runtime: &Runtime,
) -> Result<Article, ModelError> {
    passport.check().map_err(|reason| ModelError::BadPassport {
        path: folder.to_owned(),
        reason,
    })?;
    let mut golden = golden_tiles(tiles, passport.channels)?;
    let mut model = compose(backbone, (whitener, filters), passport)?;
    let mut session = Session::new(runtime, &model.to_bytes())?;
    for tile in &mut golden {
        if let Some(pixels) = tile.tile() {
            tile.scores = session.score(pixels.view())?.iter().copied().collect();
        }
    }
    let json = |what: serde_json::Result<String>| {
        what.map_err(|error| ModelError::BadPassport {
            path: folder.to_owned(),
            reason: error.to_string(),
        })
    };
    model.set_metadata(PASSPORT_KEY, &json(serde_json::to_string(passport))?);
    model.set_metadata(PATTERN_KEY, &json(stored_patterns(patterns))?);
    model.set_metadata(GOLDEN_KEY, &json(serde_json::to_string(&golden))?);
    keep(folder, &model)
}

/// Writes a model under its digest and reads it back.
pub(crate) fn keep(folder: &Path, model: &ModelProto) -> Result<Article, ModelError> {
    let bytes = model.to_bytes();
    let path = folder.join(format!("{}.onnx", digest_of(&bytes)));
    write_durably(&path, &bytes).map_err(|source| ModelError::File {
        path: path.clone(),
        source,
    })?;
    Article::read(&path)
}

/// Golden tiles, without scores yet.
fn golden_tiles(tiles: &[Array3<f32>], channels: Channels) -> Result<Vec<GoldenTile>, ModelError> {
    if tiles.is_empty() {
        return Err(ModelError::TooLittleCloth {
            found: 0,
            expected: 1,
        });
    }
    let planes = channels.n_planes();
    tiles
        .iter()
        .map(|tile| {
            GoldenTile::cut(tile)
                .filter(|_| tile.len_of(Axis(0)) == planes)
                .ok_or_else(|| ModelError::WrongTile {
                    found: tile.shape().to_vec(),
                    expected: format!("[{planes}, h, w] with h and w at least 1"),
                })
        })
        .collect()
}

fn compose(
    backbone: &BackboneFile,
    (whitener, filters): (&Whitener, &[Array2<f32>]),
    passport: &Passport,
) -> Result<ModelProto, ModelError> {
    let mut graph = backbone.whitened(passport.channels, whitener)?;
    let scale = graph.scalar("score.scale", 1.0 / passport.judgement.taught_scale);
    graph.node(
        "score.squares",
        "Mul",
        &["features", "features"],
        &["score.squares"],
        Vec::new(),
    );
    let over_planes = |keep| vec![ints("axes", &[1]), int("keepdims", keep)];
    graph.node(
        "score.mean",
        "ReduceMean",
        &["score.squares"],
        &["score.mean"],
        over_planes(1),
    );
    graph.node(
        "score.features",
        "Mul",
        &["score.mean", &scale],
        &["score.features"],
        Vec::new(),
    );
    let mut parts = vec!["score.features"];
    if !filters.is_empty() {
        spots::put(&mut graph, "pixels", passport.channels.n_planes(), filters);
        let scales: Vec<f32> = spot_scales(&passport.judgement).collect();
        let scales = Array4::from_shape_vec((1, scales.len(), 1, 1), scales)
            .map_err(|error| backbone.bad(&error))?;
        let scales = graph.constant("score.spots.scales", scales.view());
        let inputs = [spots::FINE, &scales];
        graph.node("score.spots", "Mul", &inputs, &["score.spots"], Vec::new());
        parts.push("score.spots");
    }
    let by_planes = vec![int("axis", 1)];
    graph.node("score.parts", "Concat", &parts, &["score.parts"], by_planes);
    graph.node(
        "score",
        "ReduceMax",
        &["score.parts"],
        &["score"],
        over_planes(0),
    );
    graph.output(
        "score",
        &[Dim::Named("n"), Dim::Named("h/4"), Dim::Named("w/4")],
    );
    graph.prune();
    graph.into_model().map_err(|error| backbone.bad(&error))
}

/// What brings each kind of spot to the unit of the file's output `score`.
fn spot_scales(judgement: &Judgement) -> impl Iterator<Item = f32> {
    let threshold = judgement.threshold / judgement.taught_scale;
    judgement
        .spots
        .iter()
        .map(move |spot| threshold / spot.threshold)
}

/// What the file's output `score` is: mean square of whitened features over the taught scale, or
/// more where a spot is nearer to its threshold.
fn taught_score(features: &crate::Features, judgement: &Judgement) -> Array2<f32> {
    let values = features.view();
    let n_features = values.len_of(Axis(0)) as f32;
    let sums = values.map_axis(Axis(0), |cell| {
        cell.iter().map(|value| value * value).sum::<f32>()
    });
    let mut score = sums / n_features / judgement.taught_scale;
    for (n, scale) in spot_scales(judgement).enumerate() {
        score.zip_mut_with(&features.fine(n), |score, spot| {
            *score = score.max(spot * scale);
        });
    }
    score
}

/// The network of `model` with the outputs that the line takes alone.
fn working_part(model: ModelProto) -> Result<Vec<u8>, GraphError> {
    let outputs = model.graph.iter().flat_map(|graph| &graph.output);
    let has_fine = outputs
        .filter_map(|output| output.name.as_deref())
        .any(|name| name == spots::FINE);
    let mut graph = Graph::of(model)?;
    graph.clear_outputs();
    let named = |kinds| ["n", kinds, "h/4", "w/4"].map(Dim::Named);
    graph.output("features", &named("k"));
    if has_fine {
        graph.output(spots::FINE, &named("kinds"));
    }
    graph.prune();
    Ok(graph.into_model()?.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_tiles_are_made_of_pictures_of_any_size_and_never_of_nothing() {
        let tiles = |height, planes| [Array3::from_elem((planes, height, 200), 1.0)];
        assert_eq!(
            golden_tiles(&tiles(96, 1), Channels::Grey).unwrap().len(),
            1
        );
        let refused = |found: Result<Vec<GoldenTile>, ModelError>| found.unwrap_err().to_string();
        let empty = refused(golden_tiles(&tiles(0, 1), Channels::Grey));
        assert!(
            empty.contains("[1, 0, 200]") && empty.contains("at least 1"),
            "{empty}"
        );
        let grey = refused(golden_tiles(&tiles(96, 1), Channels::Rgb));
        assert!(grey.contains("expected [3, h, w]"), "{grey}");
        let none = refused(golden_tiles(&[], Channels::Grey));
        assert!(none.contains("expected at least 1"), "{none}");
    }
}
