//! One roll of frames from memory through the whole line into a store on the disk.
//!
//! What benches that ask for more than speed have in common; the folder holds the store and is
//! the caller's.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use camera::Source;
use models::{Article, Scorer};
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
}

/// Inspects all of `source` into a new store in `folder`.
///
/// # Errors
/// What the line or the store say.
pub(crate) fn inspect_roll(
    roll: Roll<'_>,
    source: Box<dyn Source>,
    folder: &Path,
    announce: &mut (dyn FnMut(Written<'_>) + Send),
    progress: &mut dyn FnMut(),
) -> anyhow::Result<(Store, RunId)> {
    let url = folder.join("selvedge.db");
    let mut store = Store::open(&url.to_string_lossy())?;
    let article = Name::new(roll.name)?;
    store.ensure_article(&article)?;
    Shelf::new(None, &url.to_string_lossy()).keep(&mut store, &article, roll.article)?;
    let inspection = Inspection {
        roll: article.clone(),
        article,
        model: roll.article,
        station: roll.station,
        sources: vec![source.into()],
        scorers: roll.scorers,
        runtime_version: String::new(),
        device: String::new(),
        begin: selvedge::resume::Begin::New,
        stop: &AtomicBool::new(false),
    };
    inspect(inspection, store, announce, progress)
}
