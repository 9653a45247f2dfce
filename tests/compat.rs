//! Stores of every released schema still open.
//!
//! `compat/` lists them; the schema of version 1 is the one that the store's own tests hold
//! committed, so it is not kept twice.

use std::path::PathBuf;

use rusqlite::Connection;
use store::{SCHEMA_VERSION, Store};

use crate::program::Mill;
use crate::tree;

/// The schema that each released version made, from version 1 on.
fn schemas() -> Vec<PathBuf> {
    let list = std::fs::read_to_string(tree("tests/compat/schemas.txt")).unwrap();
    list.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(tree)
        .collect()
}

/// One row of each table that a list of rolls is made of.
const LIFE: &str = "
INSERT INTO articles (id, name, made_at) VALUES (x'00000000000000000000000000000001', 'denim', 1);
INSERT INTO models (digest, article, passport, file_name, taught_at) VALUES
    ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
     x'00000000000000000000000000000001', '{}', 'a.onnx', 1);
INSERT INTO rolls (id, number, article, made_at) VALUES
    (x'00000000000000000000000000000002', '4711', x'00000000000000000000000000000001', 1);
INSERT INTO runs (id, roll, model, calibration, engine_version, runtime_version, device,
    batch_shape, mm_per_px, length_known, started_at, written_at, ended_at, state, length_um,
    width_um) VALUES
    (x'00000000000000000000000000000003', x'00000000000000000000000000000002',
     'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '{}', '0', '0', 'cpu',
     '1 x 1', 0.2, 'nominal', 1, 1, 2, 'done', 1000000, 500000);
INSERT INTO coverage (id, run, along0, along1, across0, across1, state, reason) VALUES
    (x'00000000000000000000000000000004', x'00000000000000000000000000000003',
     0, 1000000, 0, 500000, 'gap', 'frame_lost');
";

#[test]
fn every_released_schema_is_listed() {
    assert_eq!(schemas().len() as i64, SCHEMA_VERSION);
}

#[test]
fn a_store_of_every_released_schema_opens_and_lists() {
    for (version, schema) in (1..).zip(schemas()) {
        let mill = Mill::empty();
        let path = mill.path().join("selvedge.db");
        let sql =
            std::fs::read_to_string(&schema).unwrap_or_else(|error| panic!("{schema:?}: {error}"));
        let old = Connection::open(&path).unwrap();
        old.execute_batch(&sql).unwrap();
        old.execute_batch(LIFE).unwrap();
        drop(old);

        let listed = mill.run(&["rolls", "--json"]).json(0);
        assert_eq!(listed[0]["roll"], "4711", "version {version}: {listed}");
        assert_eq!(
            listed[0]["gap_mm2"], 500_000.0,
            "version {version}: {listed}"
        );
        let told = mill.run(&["roll", "4711", "--json"]).json(1);
        assert_eq!(
            told["gaps"][0]["reason"], "frame_lost",
            "version {version}: {told}"
        );
        let store = Store::open(path.to_str().unwrap()).unwrap();
        let names: Vec<String> = store
            .articles()
            .unwrap()
            .iter()
            .map(|article| article.name.to_string())
            .collect();
        assert_eq!(names, ["denim"], "version {version}");
    }
}
