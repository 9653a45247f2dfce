//! A station is calibrated by the program, on pictures of known light, scale, lens and place, and
//! what was measured is used.

use std::path::Path;

use calibration::{
    Dated, EncoderMeasured, KeptProfile, Lens, LensMeasured, LightMeasured, Profile, Residual,
    ScaleMeasured, Unevenness,
};
use camera::{FlawKind, LoomSettings};
use image::{GrayImage, Luma};
use serde_json::Value;

use crate::not_run;
use crate::pictures::write_frames;
use crate::program::{Mill, Ran, inspecting};

/// The station's profile, in each mill's folder.
const PROFILE: &str = "table3.profile";

/// Runs `selvedge calibrate` with `args`, which are parted by spaces.
fn calibrate(mill: &Mill, args: &str) -> Ran {
    let args = format!("calibrate {args} --profile {PROFILE} --json");
    mill.run(&args.split(' ').collect::<Vec<_>>())
}

fn kept(mill: &Mill) -> KeptProfile {
    let path = mill.path().join(PROFILE);
    Profile::read(&path).unwrap().expect("the profile was kept")
}

/// Writes one picture, `level(column, row)` of 255, as the only one of a folder.
fn picture(folder: &Path, (width, height): (u32, u32), level: impl Fn(u32, u32) -> f64) {
    std::fs::create_dir_all(folder).unwrap();
    let picture = GrayImage::from_fn(width, height, |x, y| {
        Luma([(level(x, y) + 0.5).clamp(0.0, 255.0) as u8])
    });
    picture.save(folder.join("1.png")).unwrap();
}

/// -1..1, the same for the same place.
fn noise(seed: u32, x: u32, y: u32) -> f64 {
    let mut bits = seed ^ x.wrapping_mul(0x9E37_79B9) ^ y.wrapping_mul(0x85EB_CA6B);
    for _ in 0..3 {
        bits = (bits ^ bits >> 15).wrapping_mul(0x2C1B_3C6D);
    }
    f64::from(bits >> 8) / f64::from(1 << 23) - 1.0
}

/// A level of a board of squares of 10 mm, `n_columns` by `n_rows` inner corners, at `x`, `y` mm from
/// its first one.
fn board((n_columns, n_rows): (i64, i64), x: f64, y: f64) -> f64 {
    let (column, row) = ((x / 10.0).floor() as i64, (y / 10.0).floor() as i64);
    let is_on = (-1..n_columns).contains(&column) && (-1..n_rows).contains(&row);
    if is_on && (column + row).rem_euclid(2) == 0 {
        40.0
    } else {
        200.0
    }
}

/// A picture of that board, whose first corner lies at `start` mm, by a camera of this scale.
fn board_picture(
    folder: &Path,
    size: (u32, u32),
    corners: (i64, i64),
    (scale, start): (f64, [f64; 2]),
    straight: impl Fn(f64) -> f64,
) {
    picture(folder, size, |x, y| {
        let mut sum = 0.0;
        // Points of which no two share a column or a line of the pixel.
        for nth in 0..16 {
            let at = |pixel: u32, nth: u32| f64::from(pixel) + (f64::from(nth % 16) + 0.5) / 16.0;
            let across = straight(at(x, nth)) * scale - start[0];
            sum += board(corners, across, at(y, nth * 7) * scale - start[1]);
        }
        sum / 16.0 + 4.0 * noise(1, x, y)
    });
}

/// Whether boards can be found; says so where they cannot.
fn has_chessboard() -> bool {
    let has = cfg!(feature = "chessboard");
    if !has {
        not_run("this build has no feature chessboard");
    }
    has
}

fn number(value: &Value, key: &str) -> f64 {
    value["found"][key].as_f64().unwrap()
}

#[test]
fn light_is_measured_drawn_and_kept_and_a_capped_lens_is_refused() {
    let mill = Mill::empty();
    let lamp = |x: u32| 1.0 - 0.3 * (f64::from(x) / 512.0 - 0.5).powi(2) * 4.0;
    let size = (512, 200);
    picture(&mill.path().join("dark"), size, |x, y| {
        5.0 + 2.0 * noise(1, x, y)
    });
    picture(&mill.path().join("white"), size, |x, y| {
        5.0 + 190.0 * lamp(x) * (1.0 + 0.03 * noise(7, x, 0)) + 3.0 * noise(2, x, y)
    });
    let told = calibrate(&mill, "light --dark dark --white white").json(0);
    let uneven = |when: &str| told["found"][when]["rms_percent"].as_f64().unwrap();
    assert!(uneven("before") > 7.0, "{}", uneven("before"));
    assert!(uneven("after") < 0.5, "{}", uneven("after"));
    let drawn = ["before", "after"].map(|when| {
        let path = mill.path().join(format!("table3.lane1-white-{when}.png"));
        image::open(path).unwrap().into_luma8()
    });
    let spread = |picture: &GrayImage| {
        let means = (0..picture.width()).map(|x| {
            (0..200)
                .map(|y| f64::from(picture.get_pixel(x, y).0[0]))
                .sum::<f64>()
                / 200.0
        });
        let (low, high) = means.fold((255.0, 0.0), |(low, high): (f64, f64), mean| {
            (low.min(mean), high.max(mean))
        });
        high - low
    };
    assert!(
        spread(&drawn[0]) > 8.0 * spread(&drawn[1]),
        "{:?}",
        drawn.each_ref().map(spread)
    );
    let before = kept(&mill);
    assert_eq!(told["sha256"], before.digest);
    calibrate(&mill, "light --dark dark --white dark").refuses(&["or the lamp off?"]);
    calibrate(&mill, "light --dark white --white white").refuses(&["is the cap on the lens?"]);
    assert_eq!(kept(&mill), before, "a refusal changes nothing");
}

#[test]
fn scale_is_measured_from_a_board_and_a_picture_without_one_is_refused() {
    let mill = Mill::empty();
    let camera = (0.1537, [20.0, 20.0]);
    board_picture(&mill.path().join("flat"), (800, 560), (9, 6), camera, |x| x);
    picture(&mill.path().join("bare"), (200, 200), |x, y| {
        120.0 + 9.0 * noise(1, x, y)
    });
    let args = "scale --board 9x6 --square-mm 10 --from";
    if !has_chessboard() {
        calibrate(&mill, &format!("{args} flat")).refuses(&["this build has no chessboard"]);
        return;
    }
    let told = calibrate(&mill, &format!("{args} flat --from bare")).json(0);
    for key in ["mm_per_px", "mm_per_line"] {
        let found = number(&told, key);
        assert!((found / 0.1537 - 1.0).abs() < 1e-3, "{key}: {found}");
    }
    let refused = calibrate(&mill, &format!("{args} bare"));
    refused.refuses(&["0 of 1 frames show the whole board"]);
    let strict = calibrate(&mill, &format!("{args} flat --max-mm 0.0001"));
    strict.refuses(&["the residual of the board's corners", "0.0001 mm at most"]);
    assert_eq!(kept(&mill).profile.lanes.len(), 1);
}

#[test]
fn a_line_scan_lens_is_measured_with_the_scale_behind_it() {
    if !has_chessboard() {
        return;
    }
    let mill = Mill::empty();
    let lens = Lens::new(1000, [0.0, -8.0, 0.0, 0.0]).unwrap();
    let camera = (0.16, [9.0, 14.0]);
    let folder = mill.path().join("flat");
    board_picture(&folder, (1000, 360), (15, 4), camera, |x| lens.straight(x));
    let args = "lens --camera line --board 15x4 --square-mm 10 --from flat --lane 2";
    calibrate(&mill, args).json(0);
    let profile = kept(&mill).profile;
    let lane = profile.lane(1).unwrap();
    let scale = lane.scale.as_ref().unwrap().found;
    assert!((scale.mm_per_px / 0.16 - 1.0).abs() < 1e-3, "{scale:?}");
    let found = lane.lens.as_ref().unwrap().found.lens;
    for column in [100.0, 250.0, 500.0, 750.0, 900.0] {
        let off = found.straight(column) - lens.straight(column);
        assert!(off.abs() < 0.3, "{off} px at {column}");
    }
    let area = args.replace("line", "area");
    calibrate(&mill, &area).refuses(&["is 1, expected at least 5, at various tilts"]);
}

#[test]
fn a_lane_is_placed_by_a_board_in_the_overlap_with_its_left_neighbour() {
    if !has_chessboard() {
        return;
    }
    let mill = Mill::empty();
    // The right lane begins at 37.3 mm; the board at 52 mm.
    for (name, start) in [("left", 52.0), ("right", 52.0 - 37.3)] {
        let folder = mill.path().join(name);
        board_picture(&folder, (800, 420), (6, 4), (0.15, [start, 15.0]), |x| x);
    }
    let board = "--board 6x4 --square-mm 10";
    let args = format!("lanes {board} --left left --right right --lane");
    calibrate(&mill, &format!("{args} 2")).refuses(&["no scale of lane 1"]);
    for (lane, name) in [(1, "left"), (2, "right")] {
        let args = format!("scale {board} --from {name} --lane {lane}");
        calibrate(&mill, &args).json(0);
    }
    let told = calibrate(&mill, &format!("{args} 2")).json(0);
    let offset = number(&told, "offset_mm");
    assert!((offset - 37.3).abs() < 0.05, "{offset}");
    calibrate(&mill, &format!("{args} 1")).refuses(&["found lane 1, expected 2 or more"]);
}

#[test]
fn an_encoder_s_tick_is_measured_from_marks_and_a_missing_mark_is_refused() {
    let mill = Mill::empty();
    let cloth = |x, y| 120.0 + 12.0 * noise(3, x, y);
    let bars = |middles: &'static [f64]| {
        move |x, y: u32| {
            let is_on = middles
                .iter()
                .any(|middle| (f64::from(y) + 0.5 - middle).abs() < 10.0);
            if is_on { 20.0 } else { cloth(x, y) }
        }
    };
    let size = (64, 3000);
    picture(
        &mill.path().join("one"),
        size,
        bars(&[100.0, 900.0, 1700.0, 2500.0]),
    );
    picture(
        &mill.path().join("gap"),
        size,
        bars(&[100.0, 900.0, 2500.0, 2800.0]),
    );
    let args = "encoder --length-mm 160 --from";
    let told = calibrate(&mill, &format!("{args} one")).json(0);
    let found = number(&told, "mm_per_tick");
    assert!((found / 0.2 - 1.0).abs() < 1e-4, "{found}");
    assert_eq!(told["found"]["n_passes"], 3);
    calibrate(&mill, &format!("{args} gap")).refuses(&["is a mark missing?"]);
    let more = calibrate(&mill, &format!("{args} one --min-passes 4"));
    more.refuses(&["is 3 (marks found: [4]), expected at least 4"]);
}

fn dated<T>(found: T) -> Option<Dated<T>> {
    Some(Dated {
        measured_at: "2026-11-28T00:00:00Z".to_owned(),
        found,
    })
}

/// A station whose profile holds what `change` puts into its lane, at 0.2 mm.
fn write_station(mill: &Mill, change: impl FnOnce(&mut calibration::LaneProfile)) {
    let path = mill.path().join(PROFILE);
    let mut profile = Profile::read(&path)
        .unwrap()
        .map_or_else(Profile::default, |kept| kept.profile);
    let lane = profile.lane_mut(0).unwrap();
    lane.scale = dated(ScaleMeasured {
        mm_per_px: 0.2,
        mm_per_line: 0.2,
        skew_degrees: 0.0,
        residual: Residual {
            rms_mm: 0.01,
            max_mm: 0.02,
        },
        n_views: 1,
    });
    change(lane);
    profile.write(&path).unwrap();
    let station = format!("profile = \"{PROFILE}\"\n[[lane]]\n");
    std::fs::write(mill.path().join("station.toml"), station).unwrap();
}

#[test]
fn a_roll_is_as_long_as_the_measured_encoder_says_and_a_contradiction_is_refused() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let with_tick = |mm_per_tick| {
        write_station(&mill, |lane| {
            lane.encoder = dated(EncoderMeasured {
                mm_per_tick,
                length_mm: 1000.0,
                rms_mm: 0.1,
                max_mm: 0.2,
                n_passes: 3,
            });
        });
        inspect(&mill, "R", "loom:3")
    };
    // A tick of the loom's encoder is a line.
    let ran = with_tick(0.2011);
    let length = ran.json(ran.code)["length_mm"].as_f64().unwrap();
    assert!((length - 16.0 * 256.0 * 0.2011).abs() < 2e-3, "{length}");
    with_tick(0.25).refuses(&["0.2 mm per line of loom:3, expected 0.25 as the encoder"]);
}

fn inspect(mill: &Mill, roll: &str, from: &str) -> Ran {
    let more = ["--json", "--station", "station.toml"];
    mill.run(&[&inspecting(roll, from)[..], &more].concat())
}

#[test]
fn a_flaw_lies_where_the_lens_says_and_the_ledger_still_adds_up() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let mut settings = LoomSettings::new(21).with_flaw(FlawKind::Hole, 90..130, 500..540, 4.0);
    settings.n_frames = Some(4);
    write_frames(&mill.path().join("roll"), settings);
    std::fs::write(mill.path().join("roll/frame9.png"), b"no picture").unwrap();
    let lens = Lens::new(2048, [0.0, -60.0, 0.0, 0.0]).unwrap();
    let places = [None, Some(lens)].map(|lens| {
        write_station(&mill, |lane| {
            lane.lens = lens.and_then(|lens| {
                dated(LensMeasured {
                    lens,
                    residual: None,
                    camera: None,
                })
            });
        });
        let roll = inspect(&mill, "R", "roll").json(1);
        let area = |key: &str| roll[key].as_f64().unwrap();
        let gaps = roll["gaps"].as_array().unwrap();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        let span = |key: &str| serde_json::from_value::<[f64; 2]>(gaps[0][key].clone()).unwrap();
        let (along, across) = (span("along_mm"), span("across_mm"));
        let gap_mm2 = (along[1] - along[0]) * (across[1] - across[0]);
        let sum = area("inspected_mm2") + area("beside_mm2") + gap_mm2;
        assert!(
            (sum - area("length_mm") * area("width_mm")).abs() < 1e-3,
            "{sum}"
        );
        assert_eq!(area("width_mm"), 409.6);
        let flaws = roll["flaws"].as_array().unwrap();
        let middle = |flaw: &Value| {
            let across: [f64; 2] = serde_json::from_value(flaw["across_mm"].clone()).unwrap();
            f64::midpoint(across[0], across[1])
        };
        let mut near = flaws
            .iter()
            .map(middle)
            .filter(|middle| (90.0..120.0).contains(middle));
        near.next().expect("the hole is found")
    });
    // u is about −½ at column 520: ¾ · 30 px to the right.
    let moved = places[1] - places[0];
    let expected = (lens.straight(520.0) - 520.0) * 0.2;
    assert!(
        (moved - expected).abs() < 0.3,
        "{moved} mm, expected {expected}"
    );
}

#[test]
fn a_station_with_calibrated_light_refuses_a_model_that_was_taught_without() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let even = Unevenness {
        rms_percent: 0.1,
        most_percent: 0.2,
    };
    let columns = serde_json::json!({
        "offset": vec![2.0; 2048], "gain": vec![1.02; 2048], "dead": [],
    });
    write_station(&mill, |lane| {
        lane.light = dated(LightMeasured {
            columns: serde_json::from_value(columns).unwrap(),
            dark_level: 2.0,
            white_level: 180.0,
            before: even,
            after: even,
        });
    });
    let refused = inspect(&mill, "R", "loom:3");
    refused.refuses(&[
        "was taught without a light calibration",
        "teach the article again",
    ]);
    let args = "teach --article plain --from loom:1 --no-limits --station station.toml";
    let taught = mill.run(&args.split(' ').collect::<Vec<_>>());
    assert_eq!(taught.code, 0, "{taught:?}");
    let inspected = inspect(&mill, "R", "loom:3");
    assert!(inspected.code < 2, "{inspected:?}");
    std::fs::write(
        mill.path().join("station.toml"),
        "[[lane]]\nmm_per_px = 0.2\n",
    )
    .unwrap();
    inspect(&mill, "R", "loom:3")
        .refuses(&["taught with a light calibration, found a station without"]);
}

#[test]
fn a_lamp_that_ages_is_told_in_the_roll_once_and_a_fresh_one_is_not() {
    let Some(mill) = Mill::taught() else {
        return;
    };
    let told = calibrate(&mill, "baseline --article plain --from loom:1").json(0);
    assert!(number(&told, "mean_level") > 20.0, "{told}");
    write_station(&mill, |_| {});
    let drifts = |roll: &str, from: &str| -> Vec<String> {
        let ran = inspect(&mill, roll, from);
        let told = ran.json(ran.code);
        let events = told["events"].as_array().unwrap().iter();
        let drifts = events.filter(|event| event["kind"] == "drift");
        drifts
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(drifts("fresh", "loom:3"), Vec::<String>::new());
    let folder = mill.path().join("dim");
    let mut settings = LoomSettings::new(3);
    settings.n_frames = Some(40);
    for file in write_frames(&folder, settings) {
        let mut picture = image::open(&file).unwrap().into_luma8();
        picture
            .iter_mut()
            .for_each(|level| *level = (f32::from(*level) * 0.7) as u8);
        picture.save(&file).unwrap();
    }
    let told = drifts("dim", "dim");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("lane 1: cloth is 30 % darker"),
        "{told:?}"
    );
}
