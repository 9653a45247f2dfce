//! One roll of frames from memory through the whole line into a store on the disk.
//!
//! What the benches of the whole line have in common; the folder holds the store and is
//! the caller's.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use camera::Source;
use models::{Article, Scorer};
use selvedge::channel::Depths;
use selvedge::config::Station;
use selvedge::inspect::{Inspection, inspect};
use selvedge::record::Written;
use selvedge::shelf::Shelf;
use store::{Name, RunId, Store};

/// What a roll is inspected with.
pub(crate) struct Roll<'a> {
    /// The roll's and the article's name in the store.
    pub(crate) name: &'a str,
    /// What was taught.
    pub(crate) article: &'a Article,
    /// Scale and light.
    pub(crate) station: &'a Station,
    /// One per worker.
    pub(crate) scorers: Vec<Box<dyn Scorer>>,
    /// The lanes, from the left.
    pub(crate) sources: Vec<Box<dyn Source>>,
}

/// Nobody stops a bench.
static STOP: AtomicBool = AtomicBool::new(false);

/// A new store in `folder`, and all that its one roll is inspected with: what is needed once,
/// however long the roll.
///
/// # Errors
/// What the store or the shelf say.
pub(crate) fn ready<'a>(roll: Roll<'a>, folder: &Path) -> anyhow::Result<(Inspection<'a>, Store)> {
    let url = folder.join("selvedge.db");
    let mut store = Store::open(&url.to_string_lossy())?;
    let article = Name::new(roll.name)?;
    store.ensure_article(&article)?;
    Shelf::new(None, &url.to_string_lossy()).keep(&mut store, &article, roll.article)?;
    let inspection = Inspection {
        roll: article.clone(),
        article,
        order: None,
        model: roll.article,
        station: roll.station,
        sources: roll.sources.into_iter().map(Into::into).collect(),
        scorers: roll.scorers,
        classes: None,
        runtime_version: String::new(),
        device: String::new(),
        begin: selvedge::resume::Begin::New,
        stop: &STOP,
        depths: Depths::default(),
    };
    Ok((inspection, store))
}

/// Inspects the roll into a new store in `folder`.
///
/// # Errors
/// What the line or the store say.
pub(crate) fn inspect_roll(
    roll: Roll<'_>,
    folder: &Path,
    announce: &mut (dyn FnMut(Written<'_>) + Send),
    progress: &mut dyn FnMut(),
) -> anyhow::Result<(Store, RunId)> {
    let (inspection, store) = ready(roll, folder)?;
    inspect(inspection, store, announce, progress)
}
