//! What pages and reports say of a roll and cannot know themselves.
//!
//! Grading and what a model can find are the line's business; whoever makes the pages brings them along.

use serde::Serialize;
use store::{Digest, RunId, Store};

/// Grades rolls, and says what their model can find. Asked on a thread that may wait.
pub trait Assessor: Send + Sync {
    /// A run under each of the place's rules.
    ///
    /// # Errors
    /// Why it cannot be graded, in words for a person.
    fn grades(&self, store: &Store, run: RunId) -> Result<Vec<RollGrade>, String>;

    /// How small a flaw the run's model finds, line by line; nothing where that was not measured.
    ///
    /// # Errors
    /// Why it cannot be told, in words for a person.
    fn limits(&self, store: &Store, run: RunId) -> Result<Vec<String>, String>;
}

/// A roll under one set of rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RollGrade {
    /// Name of the rules.
    pub rules: String,
    /// Their version.
    pub version: String,
    /// The standard that they follow, or whose they are.
    pub standard: String,
    /// SHA-256 of their file.
    #[serde(serialize_with = "as_text")]
    pub digest: Digest,
    /// All points.
    pub points: u64,
    /// Points to an area or a length, with what to.
    pub rates: Vec<(f64, String)>,
    /// The quality; `None` while it is withheld.
    pub quality: Option<String>,
    /// What it would be by points alone.
    pub quality_by_points: String,
    /// Whether it is the first quality.
    pub is_first: bool,
    /// Why it is withheld, and needs a person's signature.
    pub withheld: Option<String>,
    /// Whether it was withheld and a person has signed that it counts as it is by points.
    pub is_signed: bool,
    /// Why it is no better.
    pub why: Vec<String>,
    /// Points of each flaw, by its id.
    pub points_of: Vec<(String, u64)>,
}

fn as_text<S: serde::Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(digest.as_str())
}
