//! What `roll --json` and `inspect --json` print; keys are stable, and are added to, never renamed.

use models::Limits;
use serde::Serialize;

/// What `inspect --json` and `roll --json` print. These keys are stable.
#[derive(Clone, Debug, Serialize)]
pub struct RollReport {
    /// Roll number.
    pub roll: String,
    /// Article.
    pub article: String,
    /// Number of the order that it was inspected for; `null` where none was said.
    pub order: Option<String>,
    /// The run's id.
    pub run: String,
    /// `running` (also when it was killed), `done` or `aborted`.
    pub state: String,
    /// SHA-256 of the model.
    pub model: String,
    /// Length of the web.
    pub length_mm: f64,
    /// Width of the web, what lies beside the cloth included.
    pub width_mm: f64,
    /// Width of the cloth from selvedge to selvedge, where both were seen; `null` where they never
    /// were, and before the run's end.
    pub cloth_width_mm: Option<ClothWidthReport>,
    /// How the length is known: `encoder`, `measured` or `nominal`.
    pub length_known: String,
    /// Area whose scores have come.
    pub inspected_mm2: f64,
    /// Area beside the cloth.
    pub beside_mm2: f64,
    /// Cloth that was not looked at; what is not looked at for one reason is one gap, however many
    /// entries of the ledger it takes.
    pub gaps: Vec<GapReport>,
    /// Flaws in cloth order.
    pub flaws: Vec<FlawReport>,
    /// Why the run was aborted.
    pub message: Option<String>,
    /// What happened while it ran.
    pub events: Vec<EventReport>,
    /// Flaws whose pictures were left out because the disk was nearly full.
    pub crops_left_out: usize,
    /// Flaws whose pictures have been removed by rule.
    pub crops_removed: Vec<RemovedReport>,
    /// How small a flaw the model finds; `null` when that was not measured.
    pub limits: Option<Limits>,
    /// Flaws that come again at a fixed distance or at one place across.
    pub repeats: Vec<RepeatReport>,
}

/// Pictures that are not there any more.
#[derive(Clone, Debug, Serialize)]
pub struct RemovedReport {
    /// When they were removed and by which rule, in words.
    pub why: String,
    /// How many they were.
    pub count: usize,
}

/// How wide the cloth was.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ClothWidthReport {
    /// Where it was narrowest.
    pub min: f64,
    /// Over its length.
    pub mean: f64,
    /// Where it was widest.
    pub max: f64,
}

/// Flaws that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct RepeatReport {
    /// `period` or `fixed_across`.
    pub kind: String,
    /// Distance between two of them; `null` where it is not fixed.
    pub period_mm: Option<f64>,
    /// Diameter of a roller of that circumference.
    pub roller_diameter_mm: Option<f64>,
    /// Where across.
    pub across_mm: f64,
    /// The first and the last of them along the roll.
    pub along_mm: [f64; 2],
    /// How many there are.
    pub count: u32,
    /// The class of most of them.
    pub class: String,
}

/// Something that happened while a run went on.
#[derive(Clone, Debug, Serialize)]
pub struct EventReport {
    /// One word for it.
    pub kind: String,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// What was found and what was expected.
    pub message: String,
}

/// Cloth that was not looked at.
#[derive(Clone, Debug, Serialize)]
pub struct GapReport {
    /// From and to along the roll.
    pub along_mm: [f64; 2],
    /// From and to across; where the cloth's edge wandered, as far as it did.
    pub across_mm: [f64; 2],
    /// Its area, exactly as in the ledger.
    pub area_mm2: f64,
    /// Why.
    pub reason: String,
}

/// One flaw.
#[derive(Clone, Debug, Serialize)]
pub struct FlawReport {
    /// Its id in the store.
    pub id: String,
    /// Its class.
    pub class: String,
    /// From and to along the roll.
    pub along_mm: [f64; 2],
    /// From and to across.
    pub across_mm: [f64; 2],
    /// Longer side.
    pub length_mm: f64,
    /// Highest score, 1.0 = threshold.
    pub score: f64,
    /// By length.
    pub severity: String,
    /// Why its picture was left out, or when and by which rule it was removed; `null` where there is one,
    /// or never was.
    pub no_picture: Option<String>,
}
