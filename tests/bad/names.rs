//! Names that are no names: of rolls and of articles.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use store::Name;

use super::{enter, good_frames, inspect, with_model};
use crate::program::{Mill, files_in, inspecting};
use crate::texture::{TextureArticle, station};
use selvedge::channel::Depths;

#[test]
fn names_that_nobody_can_see_are_refused() {
    let mill = with_model("plain");
    for roll in ["", "  ", "R\n1", "R\u{7}", "R\u{202E}1", "R\u{200B}"] {
        let args = inspecting(roll, "loom:1");
        mill.run(&args).refuses(&["roll", "expected"]);
        mill.run(&["roll", roll]).refuses(&["expected"]);
    }
    let long = "R".repeat(101);
    let args = inspecting(&long, "loom:1");
    mill.run(&args).refuses(&["at most 100 characters"]);
}

#[test]
fn a_roll_number_is_a_name_and_never_a_path() {
    let taught = TextureArticle::taught();
    let mill = Mill::empty();
    let tricks = [
        "../../escaped",
        "/tmp/escaped",
        "..",
        "a/b",
        "C:\\roll",
        "'; DROP TABLE runs; --",
    ];
    for trick in tricks {
        let mut store = mill.store();
        enter(&mut store, "texture", taught.article.digest());
        let inspection = selvedge::inspect::Inspection {
            roll: Name::new(trick).unwrap(),
            article: Name::new("texture").unwrap(),
            order: None,
            model: &taught.article,
            station: &station(),
            sources: vec![crate::texture::loom(good_frames(2)).into()],
            scorers: taught.scorers(1),
            classes: None,
            runtime_version: "test".to_owned(),
            device: "test".to_owned(),
            begin: selvedge::resume::Begin::New,
            stop: &AtomicBool::new(false),
            depths: Depths::default(),
        };
        selvedge::inspect::inspect(inspection, store, &mut |_| {}, &mut || {}).unwrap();
        let told = mill.run(&["roll", trick, "--json"]);
        assert_eq!(told.json(told.code)["roll"], trick);
    }
    let rolls = mill.run(&["rolls", "--json"]).json(0);
    assert_eq!(rolls.as_array().unwrap().len(), tricks.len());
    let made = std::fs::read_dir(mill.path()).unwrap().count();
    let store_files = files_in(mill.path()).len();
    assert_eq!(made, store_files, "only the store's own files were made");
    assert!(
        files_in(mill.path())
            .iter()
            .all(|file| file.to_str().unwrap().contains("selvedge.db"))
    );
}

#[test]
fn an_article_name_that_is_a_path_is_refused_before_anything_is_made() {
    for article in ["../escaped", "a/b", "..", ".", "a\\b", "/tmp/escaped"] {
        let mill = Mill::empty();
        let args = ["teach", "--article", article, "--from", "loom:1"];
        let refused = mill.run(&args);
        assert_eq!(refused.code, 2, "{refused:?}");
        // Without ONNX Runtime teaching ends before it.
        if !refused.err.to_lowercase().contains("onnx") {
            refused.refuses(&["article name", "expected a name that can be a folder's"]);
        }
        assert_eq!(
            std::fs::read_dir(mill.path()).unwrap().count(),
            0,
            "{article:?}"
        );
        inspect(&mill, article, Path::new("loom:1")).refuses(&["expected"]);
        assert!(!mill.path().join("articles").exists());
    }
}
