//! What a run left in its store, without times and ids: what two runs must have in common.

use std::sync::atomic::AtomicBool;

use camera::Source;
use models::{Article, Scorer};
use selvedge::channel::Depths;
use selvedge::config::Station;
use selvedge::inspect::{Inspection, inspect};
use store::{
    CoverState, CoverageCell, Crop, EventSeverity, Name, NewModel, Rect, Run, RunId, RunState,
    Store,
};

use crate::texture::{TextureArticle, station};

/// A run as its store tells it.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    /// Everything that the run says of itself, in words.
    pub(crate) facts: Vec<String>,
    pub(crate) state: RunState,
    pub(crate) message: Option<String>,
    pub(crate) length_um: i64,
    pub(crate) width_um: i64,
    pub(crate) coverage: Vec<CoverageCell>,
    pub(crate) flaws: Vec<ToldFlaw>,
    /// Box and bits of the score.
    pub(crate) candidates: Vec<(Rect, u64)>,
    pub(crate) events: Vec<(String, EventSeverity, String)>,
}

/// A flaw with its picture.
#[derive(Debug, PartialEq)]
pub(crate) struct ToldFlaw {
    pub(crate) rect: Rect,
    pub(crate) class: String,
    pub(crate) length_um: i64,
    area_um2: i64,
    /// Bits, because scores must be the same to the last one.
    score: u64,
    severity: String,
    crop: Option<Crop>,
}

impl Told {
    /// Reads a run.
    pub(crate) fn of(store: &Store, run: RunId) -> Self {
        let about = store.run(run).unwrap();
        let mut candidates: Vec<(Rect, u64)> = store
            .candidates(run)
            .unwrap()
            .into_iter()
            .map(|candidate| (candidate.rect, candidate.score.to_bits()))
            .collect();
        candidates.sort_unstable();
        Self {
            facts: facts(&about),
            state: about.state,
            message: about.message,
            length_um: about.length_um.unwrap_or(-1),
            width_um: about.width_um.unwrap_or(-1),
            coverage: store.coverage(run).unwrap(),
            flaws: store
                .flaws(run)
                .unwrap()
                .into_iter()
                .map(|flaw| ToldFlaw {
                    crop: store.crop(flaw.id).unwrap(),
                    rect: flaw.rect,
                    class: flaw.class,
                    length_um: flaw.length_um,
                    area_um2: flaw.area_um2,
                    score: flaw.score.to_bits(),
                    severity: flaw.severity,
                })
                .collect(),
            candidates,
            events: store
                .events(run)
                .unwrap()
                .into_iter()
                .map(|event| (event.kind, event.severity, event.message))
                .collect(),
        }
    }

    /// Checks that inspected, gaps and beside are the web exactly, each place once.
    pub(crate) fn assert_adds_up(&self) {
        let sum: i128 = self
            .coverage
            .iter()
            .map(|cell| i128::from(cell.rect.area_um2()))
            .sum();
        let web = i128::from(self.length_um) * i128::from(self.width_um);
        assert_eq!(sum, web, "the ledger does not add up: {:?}", self.coverage);
        for (nth, one) in self.coverage.iter().enumerate() {
            for other in &self.coverage[nth + 1..] {
                assert!(
                    !overlap(&one.rect, &other.rect),
                    "{one:?} and {other:?} share cloth"
                );
            }
        }
    }

    /// The gaps as `(along, across, reason)` in µm.
    pub(crate) fn gaps(&self) -> Vec<([i64; 2], [i64; 2], &str)> {
        self.coverage
            .iter()
            .filter_map(|cell| match &cell.state {
                CoverState::Gap(reason) => Some((
                    [cell.rect.along().start, cell.rect.along().end],
                    [cell.rect.across().start, cell.rect.across().end],
                    reason.as_str(),
                )),
                CoverState::Inspected | CoverState::Beside => None,
            })
            .collect()
    }

    /// The flaws in words, without their pictures.
    pub(crate) fn boxes(&self) -> Vec<String> {
        let say = |flaw: &ToldFlaw| {
            let score = f64::from_bits(flaw.score);
            format!("{} {:?}, score {score:.2}", flaw.class, flaw.rect)
        };
        self.flaws.iter().map(say).collect()
    }

    /// Whether any cloth was inspected.
    pub(crate) fn has_inspected(&self) -> bool {
        self.coverage
            .iter()
            .any(|cell| cell.state == CoverState::Inspected)
    }
}

/// Whether two rectangles share cloth.
pub(crate) fn overlap(one: &Rect, other: &Rect) -> bool {
    let meets =
        |a: std::ops::Range<i64>, b: std::ops::Range<i64>| a.start < b.end && b.start < a.end;
    meets(one.along(), other.along()) && meets(one.across(), other.across())
}

/// A fresh store, in memory, that knows `article` and its model.
pub(crate) fn store_with(article: &Article) -> Store {
    store_at(":memory:", article)
}

/// A store at `url` that has this article, with its model active.
pub(crate) fn store_at(url: &str, article: &Article) -> Store {
    let mut store = Store::open(url).unwrap();
    let name = Name::new(&article.passport().article).unwrap();
    let digest = store::Digest::new(article.digest()).unwrap();
    store.ensure_article(&name).unwrap();
    store
        .register_model(&NewModel {
            digest: digest.clone(),
            article: name.clone(),
            passport_json: serde_json::to_string(article.passport()).unwrap(),
            file_name: format!("{digest}.onnx"),
            taught_at_us: 0,
        })
        .unwrap();
    store.activate_model(&name, &digest).unwrap();
    store
}

/// Inspects one roll into a store of its own.
pub(crate) fn inspected(
    article: &Article,
    station: &Station,
    scorers: Vec<Box<dyn Scorer>>,
    source: Box<dyn Source>,
    stop: &AtomicBool,
) -> Told {
    let (store, run) = inspected_into(store_with(article), article, station, scorers, source, stop);
    Told::of(&store, run)
}

/// Inspects one roll into `store`.
pub(crate) fn inspected_into(
    store: Store,
    article: &Article,
    station: &Station,
    scorers: Vec<Box<dyn Scorer>>,
    source: Box<dyn Source>,
    stop: &AtomicBool,
) -> (Store, RunId) {
    inspected_lanes_into(store, article, station, scorers, vec![source], stop)
}

/// Inspects a roll whose only source fails: what is in the store, and what was said.
pub(crate) fn inspected_until_it_fails(
    taught: &TextureArticle,
    source: Box<dyn Source>,
    stop: &AtomicBool,
) -> (Told, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.db");
    let url = path.to_str().unwrap();
    let (article, station) = (&taught.article, station());
    let store = store_at(url, article);
    let inspection = inspection(article, &station, taught.scorers(2), vec![source], stop);
    let Err(error) = inspect(inspection, store, &mut |_| {}, &mut || {}) else {
        panic!("the source failed and the inspection did not");
    };
    let store = Store::open_existing(url).unwrap();
    let run = store.latest_run(&Name::new("4711").unwrap()).unwrap();
    (Told::of(&store, run.unwrap().id), format!("{error:#}"))
}

/// Inspects one roll over all lanes of `station` into `store`.
pub(crate) fn inspected_lanes_into(
    store: Store,
    article: &Article,
    station: &Station,
    scorers: Vec<Box<dyn Scorer>>,
    sources: Vec<Box<dyn Source>>,
    stop: &AtomicBool,
) -> (Store, RunId) {
    let inspection = inspection(article, station, scorers, sources, stop);
    inspect(inspection, store, &mut |_| {}, &mut || {}).unwrap()
}

/// An inspection of roll 4711.
pub(crate) fn inspection<'a>(
    article: &'a Article,
    station: &'a Station,
    scorers: Vec<Box<dyn Scorer>>,
    sources: Vec<Box<dyn Source>>,
    stop: &'a AtomicBool,
) -> Inspection<'a> {
    Inspection {
        roll: Name::new("4711").unwrap(),
        article: Name::new(&article.passport().article).unwrap(),
        order: None,
        model: article,
        station,
        sources: sources.into_iter().map(Into::into).collect(),
        scorers,
        classes: None,
        runtime_version: "test".to_owned(),
        device: "test".to_owned(),
        begin: selvedge::resume::Begin::New,
        stop,
        depths: Depths::default(),
    }
}

fn facts(run: &Run) -> Vec<String> {
    vec![
        format!("roll {}", run.roll_number),
        format!("article {}", run.article),
        format!("model {}", run.model),
        format!("station {:?}", run.station),
        format!("calibration {}", run.calibration_json),
        format!("engine {}", run.engine_version),
        format!("runtime {} on {}", run.runtime_version, run.device),
        format!("batches {}", run.batch_shape),
        format!("scale {}", run.mm_per_px),
        format!("length known {:?}", run.length_known),
    ]
}
