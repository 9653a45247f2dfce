//! Expected rolls, committed: what changes in them is reviewed as a diff.
//!
//! `SELVEDGE_REFRESH=1` writes them anew. The scorer is the classical one, so a golden roll
//! needs no network; scores are rounded, ids and the model's digest are left out.

use std::sync::atomic::AtomicBool;

use camera::{FlawKind, LoomSettings};
use selvedge::picture::draw;
use selvedge::roll_view::RollView;
use serde_json::{Value, json};

use crate::texture::{TextureArticle, good_cloth, loom, station};
use crate::told::{inspected_into, store_with};
use crate::{is_refreshing, tree};

/// A roll with a flaw of each sort, a lost frame and tables on both sides.
fn one_of_each() -> LoomSettings {
    let mut settings = good_cloth(12);
    settings.n_frames = Some(8);
    settings.lost = [6].into();
    settings
        .with_flaw(FlawKind::Hole, 60..100, 200..240, 4.0)
        .with_flaw(FlawKind::Stain, 200..600, 380..400, 4.0)
        .with_flaw(FlawKind::Stain, 650..700, 480..540, 4.0)
}

#[test]
fn a_small_roll_is_told_as_it_was_before() {
    check("small_roll", one_of_each());
}

fn check(name: &str, settings: LoomSettings) {
    let taught = TextureArticle::taught();
    let (store, run) = inspected_into(
        store_with(&taught.article),
        &taught.article,
        &station(),
        taught.scorers(2),
        loom(settings),
        &AtomicBool::new(false),
    );
    let view = RollView::of(&store, run).unwrap();
    let mut told = serde_json::to_value(view.report()).unwrap();
    without_chance(&mut told);
    let picture = draw(&view.picture(&store).unwrap());
    told["picture_px"] = json!([picture.width(), picture.height()]);
    let told = serde_json::to_string_pretty(&told).unwrap() + "\n";

    let file = tree("tests/golden").join(format!("{name}.json"));
    if is_refreshing() {
        std::fs::write(&file, &told).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        told, expected,
        "{file:?} tells another roll; SELVEDGE_REFRESH=1 writes it anew"
    );
}

/// Leaves out ids, rounds what another processor may compute a little differently.
fn without_chance(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for key in ["id", "run", "model"] {
                fields.remove(key);
            }
            fields.values_mut().for_each(without_chance);
        }
        Value::Array(items) => items.iter_mut().for_each(without_chance),
        Value::Number(number) => {
            let rounded = number
                .as_f64()
                .map(|number| (number * 100.0).round() / 100.0);
            if let Some(rounded) = rounded {
                *value = json!(rounded);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
