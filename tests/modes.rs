//! Modes as a person meets them: asked for when teaching, shown by the model.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use models::Mode;

use crate::program::{Mill, onnx_runtime, ran, selvedge};
use crate::texture::{small_passport, write_model};

#[test]
fn a_model_shows_its_mode_its_layers_its_lanes_and_what_it_flags() {
    let folder = tempfile::tempdir().unwrap();
    let mut passport = small_passport("plain");
    passport.backbone.mode = Mode::Fast;
    passport.backbone.layers = vec!["stride2".to_owned(), "stride4_early".to_owned()];
    passport.lanes.push(passport.lanes[0].clone());
    let file = write_model(folder.path(), &passport);

    let args = [Path::new("model"), Path::new("show"), &file];
    let shown = selvedge(folder.path(), &args);

    assert_eq!(shown.code, 0, "{shown:?}");
    let lines: Vec<&str> = shown.out.lines().collect();
    for (nth, expected) in [
        "article     plain",
        "digest      ",
        "taught      2026-01-01T00:00:00Z on 8 frames of \"loom:1\"",
        "by          Selvedge test",
        "mode        fast: texture (stride2, stride4_early), ",
        "sees        grey at 0.2 mm per pixel across and 0.2 mm per line along",
        "lane 1      frames ",
        "lane 2      frames ",
        "reference   each column's last 250 mm",
        "threshold   from ",
    ]
    .iter()
    .enumerate()
    {
        assert!(lines[nth].starts_with(expected), "{expected:?}: {shown:?}");
    }
    let flags = lines.iter().filter(|line| line.starts_with("flags "));
    assert_eq!(flags.count(), 1, "{shown:?}");
}

#[test]
fn a_mode_whose_network_is_not_installed_is_refused_with_the_command_that_installs_it() {
    let Some(runtime) = onnx_runtime() else {
        return;
    };
    let backbone = runtime.backbone(Mode::Standard.backbone());
    let home = backbone.ancestors().nth(2).unwrap();
    let bare = tempfile::tempdir().unwrap();
    symlink(home.join("lib"), bare.path().join("lib")).unwrap();
    let mill = Mill::empty();
    let teach = [
        "teach",
        "--article",
        "plain",
        "--from",
        "loom:1",
        "--quality",
    ];

    let refused = ran(Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(teach)
        .current_dir(mill.path())
        .env("SELVEDGE_HOME", bare.path()));

    refused.refuses(&[
        "mode quality needs a network",
        "resnet18.onnx",
        "`make quality`",
    ]);
    assert!(!mill.path().join("selvedge.db").exists());
    mill.run(&[&teach[..], &["--fast"]].concat())
        .refuses(&["--quality", "--fast"]);
}
