//! What STYLE and DESIGN say of the tree, as far as a test can see it.
//!
//! Words are looked for in code, not in comments: a header may say what its file never does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::tree;

/// Code folders, the root package's first.
const CODE: [&str; 8] = [
    "pipeline",
    "calibration",
    "camera",
    "models",
    "store",
    "review",
    "tests",
    "benches",
];
/// A file is split before it is longer.
const MOST_LINES: usize = 600;
/// Fewer files than this mean that the walk went wrong.
const FEWEST_FILES: usize = 60;

/// Every `.rs` file, with its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in CODE {
        walk(&tree(folder), &mut files);
    }
    let files: Vec<(String, String)> = files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            (from_root(&file), text)
        })
        .collect();
    assert!(files.len() >= FEWEST_FILES, "found {} files", files.len());
    files
}

fn from_root(file: &Path) -> String {
    let root = tree("");
    file.strip_prefix(&root)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The lines of code of a file, numbered from 1: without comments, and without what stands
/// behind `#[cfg(test)] mod tests {`.
fn code(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut is_test = false;
    for (nth, line) in (1..).zip(text.lines()) {
        is_test |= line.starts_with("mod tests {");
        let code = line.split("//").next().unwrap_or_default();
        if !is_test && !code.trim().is_empty() {
            lines.push((nth, code));
        }
    }
    lines
}

/// Files of a crate that are part of what it ships.
fn is_shipped(file: &str) -> bool {
    !file.contains("/tests")
        && !file.ends_with("tests.rs")
        && !file.starts_with("tests/")
        && !file.starts_with("benches/")
}

#[test]
fn every_file_says_first_what_it_is() {
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "{file} does not open with `//!`");
    }
}

#[test]
fn no_file_is_too_long() {
    for (file, text) in sources() {
        let n = text.lines().count();
        assert!(
            n <= MOST_LINES,
            "{file} has {n} lines, expected at most {MOST_LINES}"
        );
    }
}

#[test]
fn threads_and_channels_are_made_where_they_can_be_seen() {
    let banned = ["unbounded(", "thread::spawn(", "mpsc::"];
    let only_line = [
        "thread::scope(",
        "Builder::new()",
        "channel(\"",
        "bounded(",
        "bounded::<",
    ];
    let makers = [
        "pipeline/line.rs",
        "pipeline/channel.rs",
        "pipeline/station.rs",
        // Receivers of alarms are no part of the line: each is a thread over its own outbox.
        "pipeline/outputs/enabled.rs",
    ];
    for (file, text) in sources() {
        if !is_shipped(&file) {
            continue;
        }
        for (line, code) in code(&text) {
            for word in banned {
                assert!(!code.contains(word), "{file}:{line} has {word}");
            }
            for word in only_line {
                let is_free = makers.contains(&file.as_str());
                assert!(is_free || !code.contains(word), "{file}:{line} has {word}");
            }
        }
    }
}

#[test]
fn a_to_do_names_who_will_do_it() {
    let words = ["TO", "DO"].concat();
    for (file, text) in sources() {
        for (nth, line) in (1..).zip(text.lines()) {
            let is_named = line.contains(&format!("{words}("));
            assert!(!line.contains(&words) || is_named, "{file}:{nth}: {line}");
        }
        let unfinished = ["todo", "!("].concat();
        assert!(!text.contains(&unfinished), "{file} is unfinished");
    }
}

#[test]
fn cameras_know_no_millimetre() {
    no_identifier_with("camera/", &["mm", "millimet", "um"], &[]);
}

#[test]
fn models_know_no_cloth() {
    // Millimetres enter by the passport, by the window in it, and by the caller's row length;
    // square metres by the unit in which false alarms are asked for; the detection limits are told in millimetres. A `lane` may be a row of
    // numbers here, so the word is free.
    let allowed = [
        "cloth_m2",
        "mm_per_px",
        "mm_per_line",
        "mm_per_row",
        "window_mm",
        "per_100_m2",
        "per_100_m2_of",
        "asked_per_100_m2",
        "set_per_100_m2",
        "interval_per_100_m2",
        "MOST_PER_100_M2",
        "more_m2",
        "block_m2",
        "from_mm",
        "to_mm",
        "size_mm",
        "bound_mm",
        "TooLittleCloth",
        "NotGoodCloth",
    ];
    let words = [
        "mm", "um", "m2", "cloth", "roll", "web", "selvedge", "fabric",
    ];
    no_identifier_with("models/", &words, &allowed);
}

/// No identifier in the code of `folder` has one of `words` as a part of its own.
fn no_identifier_with(folder: &str, words: &[&str], allowed: &[&str]) {
    for (file, text) in sources() {
        if !file.starts_with(folder) || !is_shipped(&file) {
            continue;
        }
        for (line, code) in code(&text) {
            for identifier in identifiers(code) {
                let has = parts(&identifier)
                    .iter()
                    .any(|part| words.contains(&part.as_str()));
                let is_allowed = allowed.contains(&identifier.as_str());
                assert!(!has || is_allowed, "{file}:{line} has {identifier:?}");
            }
        }
    }
}

/// Identifiers of a line of code, text in quotes left out.
fn identifiers(code: &str) -> Vec<String> {
    let unquoted: String = code.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    unquoted
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with(|c: char| c.is_alphabetic()))
        .map(str::to_owned)
        .collect()
}

/// `mm_per_px` as mm, per, px; `TooLittleCloth` as too, little, cloth.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before_is_lower = false;
    for c in identifier.chars() {
        if c == '_' || (c.is_uppercase() && before_is_lower) {
            parts.push(String::new());
        }
        before_is_lower = c.is_lowercase();
        if c != '_' {
            parts.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    parts
}

#[test]
fn every_test_that_the_fault_table_names_is_there() {
    let text = std::fs::read_to_string(tree("ARCHITECTURE.md")).unwrap();
    let sources = sources();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let named: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(3))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| !name.contains([':', '/', '.']))
        .collect();
    assert!(named.len() > 12, "found {named:?}");
    for name in named {
        let is_there = |(_, source): &(String, String)| source.contains(&format!("fn {name}("));
        assert!(sources.iter().any(is_there), "no test is called {name}");
    }
}

#[test]
fn crates_point_only_where_the_design_says() {
    let ours = [
        "camera",
        "calibration",
        "models",
        "store",
        "review",
        "selvedge",
    ];
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("camera", &[][..]),
        ("models", &[]),
        ("store", &[]),
        ("calibration", &["camera"]),
        ("review", &["store"]),
    ]);
    for (name, may) in allowed {
        let manifest = tree(name).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let mut points_to = BTreeSet::new();
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(toml::Value::Table(table)) = manifest.get(kind) else {
                continue;
            };
            points_to.extend(
                table
                    .keys()
                    .map(String::as_str)
                    .filter(|key| ours.contains(key)),
            );
        }
        let may: BTreeSet<&str> = may.iter().copied().collect();
        assert!(
            points_to.is_subset(&may),
            "{name} depends on {points_to:?} of ours, expected {may:?}"
        );
    }
}

#[test]
fn a_module_imports_only_what_is_declared_above_it() {
    let (_, lib) = sources()
        .into_iter()
        .find(|(file, _)| file == "pipeline/lib.rs")
        .unwrap();
    let order: Vec<String> = lib
        .lines()
        .filter_map(|line| {
            let name = line.trim_start_matches("pub ").strip_prefix("mod ")?;
            Some(name.trim_end_matches(';').to_owned())
        })
        .collect();
    assert!(order.len() > 10, "{order:?}");
    let place = |module: &str| order.iter().position(|known| known == module);
    for (file, text) in sources() {
        let Some(own) = file.strip_prefix("pipeline/") else {
            continue;
        };
        let module = own.split(['/', '.']).next().unwrap();
        let Some(own_place) = place(module) else {
            continue;
        };
        for (line, code) in code(&text) {
            for imported in code.split("crate::").skip(1) {
                let imported = imported
                    .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .next();
                let imported = imported.unwrap_or_default();
                let is_above = place(imported).is_none_or(|place| place <= own_place);
                assert!(
                    is_above,
                    "{file}:{line} imports {imported}, which stands below it"
                );
            }
        }
    }
}

#[test]
fn no_path_of_anybody_s_machine_is_in_the_tree() {
    let homes = [
        ["/ho", "me/"].concat(),
        ["/Us", "ers/"].concat(),
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
    ];
    let mut files = vec![tree("Cargo.toml"), tree("Makefile"), tree("README.md")];
    for folder in CODE.into_iter().chain(["setup", ".ci", ".cargo"]) {
        walk(&tree(folder), &mut files);
    }
    let mut n_read = 0;
    for file in files {
        if from_root(&file).starts_with("setup/installed") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        n_read += 1;
        for home in &homes {
            assert!(!text.contains(home), "{} has {home}", from_root(&file));
        }
    }
    assert!(n_read >= FEWEST_FILES, "read {n_read} files");
}
