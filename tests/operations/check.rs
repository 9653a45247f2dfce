//! `selvedge check station.toml`.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use calibration::{Dated, Profile, Sight};
use selvedge::calibrating::{Reading, baseline};

use super::{free_address, loom_lane, write_station};
use crate::program::{Mill, Ran};

/// Lines about `what`.
fn lines<'a>(ran: &'a Ran, what: &str) -> Vec<&'a str> {
    let lines = ran.out.lines();
    lines
        .filter(|line| line.get(7..).is_some_and(|line| line.starts_with(what)))
        .collect()
}

/// What is wrong; whether this machine's clock is kept right is not the station's doing.
fn wrong(ran: &Ran) -> Vec<&str> {
    let lines = ran.out.lines();
    lines
        .filter(|line| line.starts_with("WRONG") && !line.contains("not synchronised"))
        .collect()
}

/// The look of `plain` as it is, in a profile beside the station file, changed by `change`.
fn write_baseline(mill: &Mill, change: impl FnOnce(&mut Sight)) {
    let reading = Reading {
        most_frames: Some(8),
        stop: &std::sync::Arc::default(),
    };
    let mut found = baseline(reading, &"loom:1".parse().unwrap(), None).unwrap();
    change(&mut found);
    let mut profile = Profile::default();
    let measured_at = "2026-11-28".to_owned();
    let baselines = &mut profile.lane_mut(0).unwrap().baselines;
    baselines.insert("plain".to_owned(), Dated { measured_at, found });
    profile.write(&mill.path().join("table3.profile")).unwrap();
}

#[test]
fn a_station_that_is_well_is_told_line_by_line_and_nothing_is_left_behind() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    write_baseline(&mill, |_| {});
    let page = free_address();
    write_station(&mill, page, &loom_lane(0.0), "");
    let file = mill.path().join("station.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("profile = \"table3.profile\"\n{text}")).unwrap();
    let ran = mill.run(&["check", "station.toml"]);
    assert_eq!(wrong(&ran), [""; 0], "{ran:?}");
    for (what, said) in [
        ("station ", "table 3: 1 lanes"),
        ("article ", "golden tiles replayed"),
        ("disk ", "GiB free"),
        ("token ", "its owner's alone"),
        ("page ", "is free"),
        ("clock ", "UTC"),
        ("lane 1 ", "loom:1"),
        ("lane 1 ", "none lost"),
        ("lane 1 ", "light: mean level"),
        ("lane 1 ", "as in the baseline of 2026-11-28"),
        ("lanes ", "1 beside each other"),
    ] {
        let lines = lines(&ran, what);
        assert!(
            lines.iter().any(|line| line.contains(said)),
            "{what}: {lines:?} of {ran:?}"
        );
    }
    assert!(mill.store().rolls().unwrap().is_empty());
    let database = rusqlite::Connection::open(mill.path().join("selvedge.db")).unwrap();
    for table in ["stations", "runs", "rolls"] {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let n: i64 = database.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(n, 0, "{table}");
    }
}

#[test]
fn each_thing_that_is_wrong_is_told_with_what_to_do() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    write_baseline(&mill, |sight| {
        sight.mean_level *= 1.5;
        sight.focus *= 1.5;
    });
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free_address();
    let dead =
        format!("[[lane]]\nfrom = \"rtsp://{nobody}/cloth\"\nmm_per_px = 0.2\noffset_mm = 380.0\n");
    let more = format!(
        "[light]\nmin_mean_level = 250.0\n[outputs.webhook]\nurl = \"http://{nobody}/hook\"\n"
    );
    let page = taken.local_addr().unwrap();
    write_station(&mill, page, &(loom_lane(0.0) + &dead), &more);
    let file = mill.path().join("station.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("profile = \"table3.profile\"\n{text}")).unwrap();
    let set_mode = |path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    set_mode(mill.path().join("token"), 0o644);
    set_mode(mill.path().to_owned(), 0o777);
    let ran = mill.run(&["check", "station.toml"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let hears = if cfg!(feature = "outputs") {
        ("webhook ", "cannot be reached, expected a receiver there")
    } else {
        ("outputs ", "this build has none")
    };
    let expected = [
        ("folder ", "writable by everybody (mode 777)"),
        (
            "token ",
            "readable by others than its owner (mode 644), expected 600",
        ),
        ("page ", "does a station stand already?"),
        hears,
        ("lane 1 ", "expected 250 or more (light.min_mean_level)"),
        ("lane 1 ", "% darker than when the station was calibrated"),
        ("lane 1 ", "less sharp than"),
        ("lane 2 ", "its camera does not open"),
    ];
    for (what, said) in expected {
        let lines = lines(&ran, what);
        let is_told = |line: &&str| line.starts_with("WRONG") && line.contains(said);
        assert!(lines.iter().any(is_told), "{what} {said}: {ran:?}");
    }
    // Darker and less sharp are one line.
    assert_eq!(wrong(&ran).len(), expected.len() - 1, "{ran:?}");
    assert!(ran.err.contains("must be mended first"), "{ran:?}");
}

#[test]
fn a_model_of_another_scale_and_a_file_that_is_wrong_are_told() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let lane = loom_lane(0.0).replace("0.2", "0.3");
    write_station(&mill, free_address(), &lane, "");
    let ran = mill.run(&["check", "station.toml"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let article = lines(&ran, "article ");
    assert!(
        article[0].starts_with("WRONG")
            && article[0].contains("0.2 mm per pixel across, found 0.3"),
        "{ran:?}"
    );
    std::fs::write(mill.path().join("station.toml"), "lanes = 1\n").unwrap();
    let ran = mill.run(&["check", "station.toml"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(lines(&ran, "station ")[0].starts_with("WRONG"), "{ran:?}");
    assert!(ran.out.contains("unknown field `lanes`"), "{ran:?}");
}
