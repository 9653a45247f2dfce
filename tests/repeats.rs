//! What repeats on a roll, as `selvedge roll` tells it.

use store::{Batch, LengthKnown, Name, NewFlaw, NewRun, Rect, RollChoice};

use crate::program::Mill;
use crate::texture::TextureArticle;
use crate::told::store_at;

/// A mill whose store has one roll with these flaws, by where they begin along and across.
fn mill_with(flaws: &[(i64, i64)]) -> Mill {
    let mill = Mill::empty();
    let article = &TextureArticle::taught().article;
    let mut store = store_at(mill.path().join("selvedge.db").to_str().unwrap(), article);
    let run = store
        .begin_run(&NewRun {
            roll: Name::new("R").unwrap(),
            roll_choice: RollChoice::LatestOrNew,
            article: Name::new(&article.passport().article).unwrap(),
            order: None,
            model: store::Digest::new(article.digest()).unwrap(),
            calibration_json: "{}".to_owned(),
            engine_version: "test".to_owned(),
            runtime_version: "test".to_owned(),
            device: "test".to_owned(),
            batch_shape: "1 x 1".to_owned(),
            mm_per_px: 0.2,
            station: None,
            length_known: LengthKnown::Nominal,
        })
        .unwrap();
    let flaw = |(along, across): &(i64, i64)| NewFlaw {
        class: "stain".to_owned(),
        rect: Rect::new(*along..along + 4000, *across..across + 4000).unwrap(),
        length_um: 4000,
        area_um2: 16_000_000,
        score: 2.0,
        severity: "minor".to_owned(),
        found_at_us: 0,
        crop: None,
    };
    let batch = Batch {
        flaws: flaws.iter().map(flaw).collect(),
        ..Batch::default()
    };
    store.append(run, &batch).unwrap();
    mill
}

#[test]
fn a_roll_tells_of_the_roller_that_marks_it() {
    let marks: Vec<_> = (0..9)
        .map(|turn| (500_000 + 628_000 * turn, 300_000))
        .collect();
    let mill = mill_with(&marks);
    let told = mill.run(&["roll", "R", "--json"]).json(1);
    let expected = serde_json::json!([{
        "kind": "period",
        "period_mm": 628.0,
        "roller_diameter_mm": 199.899,
        "across_mm": 302.0,
        "along_mm": [502.0, 5526.0],
        "count": 9,
        "class": "stain",
    }]);
    assert_eq!(told["repeats"], expected);
    let ran = mill.run(&["roll", "R"]);
    let line = "repeats every 628.0 mm: a roller of 200 mm diameter, 9 times from 0.50 to 5.53 m, 302 mm across, stain";
    assert!(ran.out.contains(line), "{ran:?}");
}

#[test]
fn a_roll_on_which_nothing_repeats_says_nothing_of_it() {
    let mill = mill_with(&[(0, 0), (400_000, 10_000), (1_700_000, 500_000)]);
    let told = mill.run(&["roll", "R", "--json"]).json(1);
    assert_eq!(told["repeats"], serde_json::json!([]));
    assert!(!mill.run(&["roll", "R"]).out.contains("repeats"));
}
