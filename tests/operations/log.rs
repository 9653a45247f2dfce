//! Where the log goes.

use std::path::PathBuf;
use std::process::Command;

use camera::LoomSettings;
use serde_json::Value;

use crate::pictures::write_frames;
use crate::program::{Mill, Ran, files_in, inspecting, ran};

/// Files of the log `line.log` in the mill's folder.
fn logs(mill: &Mill) -> Vec<PathBuf> {
    let mut files = files_in(mill.path());
    files.retain(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        name.starts_with("line.log.")
    });
    files
}

/// Inspects a roll of which one picture cannot be read; the log tells of it.
fn inspect(mill: &Mill, more: &[&str]) -> Ran {
    let folder = mill.path().join("roll");
    write_frames(
        &folder,
        LoomSettings {
            n_frames: Some(4),
            ..LoomSettings::new(1)
        },
    );
    std::fs::write(folder.join("99.png"), "no picture").unwrap();
    ran(Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(inspecting("R", "roll"))
        .args(more)
        .current_dir(mill.path())
        .env_remove("SELVEDGE_STORE")
        .env("SELVEDGE_LOG", "debug"))
}

#[test]
fn a_log_in_json_is_whole_when_the_program_has_ended() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let to_file = ["--log-format", "json", "--log-file", "line.log"];
    let ran = inspect(&mill, &to_file);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
    let [file] = &logs(&mill)[..] else {
        panic!("{:?}", logs(&mill));
    };
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(!lines.is_empty());
    for line in &lines {
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "{line}");
        }
    }
    // The same again says the same on standard error: nothing was lost in the file.
    let again = inspect(&mill, &["--log-format", "json"]);
    assert_eq!(again.err.lines().count(), lines.len(), "{again:?} {text}");
    // What ends a command stands in the log too.
    let failed = mill.run(&["roll", "S", "--log-file", "line.log"]);
    assert!(failed.err.contains("\"S\""), "{failed:?}");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.lines().last().unwrap().contains("the command failed"));
}

#[test]
fn the_oldest_files_of_a_log_go_and_others_stay() {
    let mill = Mill::empty();
    let write = |name: &str| std::fs::write(mill.path().join(name), "old").unwrap();
    for day in 1..=5 {
        write(&format!("line.log.2026-01-0{day}"));
    }
    write("other.log.2026-01-01");
    mill.run(&["rolls", "--log-file", "line.log", "--log-keep", "3"]);
    let kept = logs(&mill);
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(!kept.last().unwrap().ends_with("line.log.2026-01-05"));
    assert!(mill.path().join("other.log.2026-01-01").exists());
    let refused = mill.run(&["rolls", "--log-keep", "0"]);
    refused.refuses(&["--log-keep = 0, expected 1 to 3660"]);
}

#[test]
fn a_disk_that_is_full_loses_the_log_and_nothing_else() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    // Today's file is the device that is always full.
    mill.run(&["rolls", "--log-file", "line.log"]);
    let today = logs(&mill).remove(0);
    std::fs::remove_file(&today).unwrap();
    std::os::unix::fs::symlink("/dev/full", &today).unwrap();
    let ran = inspect(&mill, &["--log-file", "line.log"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = mill.run(&["roll", "R"]);
    assert!(told.out.contains("done"), "{told:?}");
}

#[test]
fn a_log_whose_folder_is_missing_goes_to_standard_error_and_says_so() {
    let mill = Mill::empty();
    let ran = mill.run(&["rolls", "--log-file", "none/line.log"]);
    assert!(
        ran.err.contains("the log goes to standard error"),
        "{ran:?}"
    );
    assert!(!mill.path().join("none").exists());
}
