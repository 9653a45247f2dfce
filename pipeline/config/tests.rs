//! What is read of a station file, and what is refused.

use super::*;

fn parse(text: &str) -> anyhow::Result<Station> {
    Station::parse(text, Path::new(""))
}

#[test]
fn a_station_is_read_with_its_defaults() {
    let station = parse("[[lane]]\nmm_per_px = 0.25\noffset_mm = 10\n").unwrap();
    assert_eq!(station.lanes[0].mm_per_line, 0.25);
    assert_eq!(station.lanes[0].offset, um_from_mm(10.0));
    assert_eq!(station.light, LIGHT_LIMITS);
}

#[test]
fn alarms_and_outputs_are_part_of_a_station() {
    let lane = "[[lane]]\nmm_per_px = 0.25\n";
    let plain = Station::parse(lane, Path::new("")).unwrap();
    assert_eq!(plain.alarms, AlarmSettings::default());
    assert_eq!(plain.outputs, OutputSettings::default());
    let more = "[alarms]\nrepeats = 5\n[outputs.webhook]\nurl = 'http://mill/hook'\n";
    let station = Station::parse(&format!("{lane}{more}"), Path::new("")).unwrap();
    assert_eq!(station.alarms.repeats, Some(5));
    assert_eq!(station.outputs.webhook.unwrap().url, "http://mill/hook");
    for wrong in ["[alarms]\nrepeat = 5\n", "[outputs.siren]\nloud = true\n"] {
        let error = Station::parse(&format!("{lane}{wrong}"), Path::new("")).unwrap_err();
        assert!(format!("{error:#}").contains("unknown field"), "{error:#}");
    }
}

#[test]
fn overlapping_frames_are_measured_unless_an_encoder_is_named() {
    let lane = |more: &str| {
        let text = format!("[[lane]]\nmm_per_px = 0.2\n{more}");
        parse(&text).map(|station| station.lanes[0].overlapping)
    };
    let settings = |motion, length| Some(NewClothSettings { motion, length });
    assert_eq!(lane("").unwrap(), None);
    assert_eq!(
        lane("overlapping = \"down\"\n").unwrap(),
        settings(Motion::Down, LengthFrom::Pictures)
    );
    assert_eq!(
        lane("overlapping = \"up\"\nlength = \"encoder\"\n").unwrap(),
        settings(Motion::Up, LengthFrom::Encoder)
    );
    let error = format!("{:#}", lane("length = \"encoder\"\n").unwrap_err());
    assert!(error.contains("length without overlapping"), "{error}");
    assert!(lane("overlapping = \"left\"\n").is_err());
}

#[test]
fn a_seam_ends_a_roll_only_where_that_is_said_and_can_be() {
    let lane =
        |more: &str, rolls: &str| parse(&format!("[[lane]]\nmm_per_px = 0.2\n{more}{rolls}"));
    let ends = |rolls: &str| lane("", rolls).map(|station| station.standing.seam_ends);
    assert!(!ends("").unwrap() && !ends("[rolls]\n").unwrap());
    assert!(ends("[rolls]\nseam = \"ends\"\n").unwrap());
    for (more, rolls, said) in [
        ("", "seam = 'end'", "unknown variant `end`, expected `ends`"),
        ("", "seems = 'ends'", "unknown field `seems`"),
        (
            "overlapping = 'up'\n",
            "seam = 'ends'",
            "lane 1 with overlapping frames",
        ),
    ] {
        let error = lane(more, &format!("[rolls]\n{rolls}\n")).unwrap_err();
        assert!(format!("{error:#}").contains(said), "{error:#}");
    }
}

#[test]
fn what_is_wrong_is_named_with_key_and_range() {
    for (text, said) in [
        (
            "[[lane]]\nmm_per_px = 0\n",
            "lane 1: mm_per_px = 0, expected 0.001 to 10",
        ),
        (
            "[[lane]]\nmm_per_px = 0.2\nwidth = 3\n",
            "unknown field `width`",
        ),
        ("nam = 'x'\n", "unknown field `nam`"),
        ("name = 'x'\n", "found 0 [[lane]] sections"),
        (
            "[[lane]]\nmm_per_px = 0.2\noffset_mm = 9\n[[lane]]\nmm_per_px = 0.2\n",
            "lane 1 at offset_mm = 9 and lane 2 at 0, expected lanes from left to right",
        ),
        ("[[lane]]\nmm_per_px = nan\n", "lane 1: mm_per_px = NaN"),
        (
            "loom_seam_every_m = 0\n[[lane]]\nmm_per_px = 0.2\n",
            "found loom_seam_every_m = 0, expected 0.2 to 1000",
        ),
    ] {
        let error = format!("{:#}", parse(text).unwrap_err());
        assert!(error.contains(said), "{error}");
    }
}

/// The station file that explains every key, with what is commented out brought in where `take` says so.
fn explained(take: impl Fn(&str) -> bool) -> String {
    let line = |line: &str| {
        let bare = line.strip_prefix('#').filter(|bare| take(bare));
        // What was measured of a station that is not here.
        match bare.unwrap_or(line) {
            profile if profile.starts_with("profile") => String::new(),
            kept => format!("{kept}\n"),
        }
    };
    include_str!("../../docs/station.toml")
        .lines()
        .map(line)
        .collect()
}

#[test]
fn the_station_file_that_is_explained_line_by_line_is_one() {
    parse(&explained(|_| false)).unwrap();
    // Keys that go together, in place of those that they exclude.
    let all = |line: &str| {
        let first = line.split(' ').next().unwrap_or_default();
        let excluded = ["frame_rate_hz", "payload", "group", "node", "seam"];
        line.contains(" = ") && !excluded.contains(&first)
    };
    let station = parse(&explained(all)).unwrap();
    assert_eq!(station.standing.loom_flaws_per_mpx, 0.1);
    assert!(station.lanes[0].overlapping.is_some());
}

#[test]
fn the_station_file_that_is_explained_line_by_line_has_every_key() {
    let text = include_str!("../../docs/station.toml");
    for table in [
        "",
        "[[lane]]\n",
        "[[lane]]\n[lane.camera]\n",
        "[light]\n",
        "[page]\n",
        "[rolls]\n",
        "[log]\n",
        "[retention]\n",
        "[alarms]\n",
        "[outputs]\n",
        "[outputs.modbus]\n",
        "[outputs.mqtt]\n",
        "[outputs.webhook]\n",
    ] {
        let error = format!(
            "{:#}",
            parse(&format!("{table}no_such_key = 1\n")).unwrap_err()
        );
        let (_, keys) = error.split_once("expected").unwrap();
        for key in keys.split('`').skip(1).step_by(2) {
            let is_there = text.lines().any(|line| {
                let line = line.trim_start_matches('#').trim_start();
                line.starts_with(&format!("{key} = "))
                    || line.trim_start_matches('[').starts_with(key)
                    || line.contains(&format!(".{key}]"))
            });
            assert!(is_there, "{table}: {key} is not explained");
        }
    }
}
