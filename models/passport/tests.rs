//! What a passport must say, and what none may.

use serde_json::{Value, json};

use super::*;

/// A passport as `teach` would write it, in JSON.
fn sound() -> Value {
    json!({
        "format": PASSPORT_FORMAT,
        "article": "denim 12 oz",
        "taught": {
            "at": "2026-01-01T00:00:00Z", "source": "loom:1", "n_frames": 8, "n_left_out": 0,
            "cloth_m2": 0.02, "engine": "0.1.0", "runtime": "none",
            "device": "cpu",
        },
        "backbone": {
            "mode": "standard", "name": "lite0", "digest": "none", "layers": [], "n_features": 96,
            "halo_px": 48,
        },
        "channels": "grey",
        "mm_per_px": 0.2,
        "mm_per_line": 0.25,
        "lanes": [
            {"frame_width": 8, "flat_field": null, "usual": [0.9, 1.0]},
            {"frame_width": 640, "flat_field": null, "usual": []},
        ],
        "reference": {"window_mm": 250.0, "smooth_cells": 2.0},
        "judgement": {
            "threshold": 1.5, "line_threshold": 0.8, "start": {"threshold": 0.5, "rows": 32},
            "smooth_cells": 1.0,
            "usual_elsewhere": 1.0, "left": [1.5, 1.0], "right": [1.0], "mirror": [],
            "taught_scale": 3.0,
            "spots": [
                {"sigma_px": 2.0, "threshold": 40.0, "left": [2.0], "right": [], "mirror": []},
            ],
        },
        "evidence": {
            "method": "peaks_over_threshold", "asked_per_100_m2": 2.0, "set_per_100_m2": 20.0,
            "interval_per_100_m2": [5.0, 90.0], "block_share": 0.05, "n_blocks": 12,
            "block_m2": 0.003, "n_peaks": 36, "from": 0.7, "shape": 0.1, "scale": 0.1,
            "spread": 1.2, "more_m2": 30.0,
        },
    })
}

/// The sound passport with the value at `pointer` replaced.
fn with(pointer: &str, value: Value) -> Result<Passport, String> {
    let mut passport = sound();
    *passport.pointer_mut(pointer).unwrap() = value;
    Passport::parse(&passport.to_string())
}

#[test]
fn a_sound_passport_is_read_and_written_without_loss() {
    let passport = Passport::parse(&sound().to_string()).unwrap();
    assert_eq!(passport.mm_per_line, 0.25);
    let again = Passport::parse(&serde_json::to_string(&passport).unwrap()).unwrap();
    assert_eq!(again, passport);
}

#[test]
fn a_number_that_would_mislead_the_judge_is_refused_by_name() {
    let lane = json!({"frame_width": 8, "flat_field": null, "usual": []});
    // 1e300 is no number in 32 bits.
    let cases = [
        ("/article", json!("  "), "an article without a name"),
        ("/mm_per_px", json!(0.0), "mm_per_px = 0"),
        ("/mm_per_line", json!(-0.2), "mm_per_line = -0.2"),
        ("/taught/cloth_m2", json!(-1.0), "taught.cloth_m2 = -1"),
        ("/backbone/n_features", json!(0), "expected 1 to 4096"),
        ("/backbone/n_features", json!(4097), "expected 1 to 4096"),
        ("/backbone/halo_px", json!(44), "a multiple of 8 up to 64"),
        ("/backbone/halo_px", json!(72), "a multiple of 8 up to 64"),
        ("/reference/window_mm", json!(-1.0), "expected 0 to 10000"),
        ("/reference/window_mm", json!(1e9), "expected 0 to 10000"),
        (
            "/reference/smooth_cells",
            json!(1e9),
            "reference.smooth_cells = 1000000000",
        ),
        ("/reference/smooth_cells", json!(-0.1), "expected 0 to 16"),
        (
            "/judgement/threshold",
            json!(0.0),
            "judgement.threshold = 0",
        ),
        (
            "/judgement/threshold",
            json!(1e300),
            "judgement.threshold = inf",
        ),
        (
            "/judgement/line_threshold",
            json!(0.0),
            "judgement.line_threshold = 0",
        ),
        (
            "/judgement/start/threshold",
            json!(-0.5),
            "judgement.start.threshold = -0.5",
        ),
        (
            "/judgement/start/rows",
            json!(0),
            "judgement.start.rows = 0, expected 1 to 16384",
        ),
        (
            "/judgement/smooth_cells",
            json!(16.5),
            "judgement.smooth_cells = 16.5",
        ),
        ("/lanes/0/usual/1", json!(1e300), "lanes[0].usual[1] = inf"),
        (
            "/lanes/1/usual",
            json!([1.0]),
            "1 numbers in lanes[1].usual, expected none or 160",
        ),
        (
            "/lanes/0/frame_width",
            json!(0),
            "lanes[0].frame_width = 0, expected 1 to 65536",
        ),
        (
            "/lanes/1/frame_width",
            json!(65_537),
            "lanes[1].frame_width = 65537",
        ),
        ("/lanes", json!([]), "found 0 lanes, expected 1 to 64"),
        ("/lanes", json!(vec![lane.clone(); 65]), "found 65 lanes"),
        (
            "/judgement/usual_elsewhere",
            json!(-1.0),
            "judgement.usual_elsewhere = -1",
        ),
        (
            "/judgement/usual_elsewhere",
            json!(-1e300),
            "usual_elsewhere = -inf",
        ),
        (
            "/judgement/left/0",
            json!(0.5),
            "left[0] = 0.5, expected a finite number of at least 1",
        ),
        ("/judgement/right/0", json!(0.0), "judgement.right[0] = 0"),
        (
            "/judgement/mirror",
            json!(vec![1.0; 65]),
            "expected at most 64",
        ),
        (
            "/judgement/spots/0/threshold",
            json!(0.0),
            "judgement.spots.threshold = 0",
        ),
        (
            "/judgement/spots/0/left/0",
            json!(0.5),
            "judgement.spots.left",
        ),
        (
            "/judgement/taught_scale",
            json!(-3.0),
            "judgement.taught_scale = -3",
        ),
        (
            "/evidence/block_share",
            json!(1.5),
            "evidence.block_share = 1.5",
        ),
        (
            "/evidence/interval_per_100_m2/1",
            json!(-1.0),
            "evidence.interval_per_100_m2 = -1",
        ),
        (
            "/evidence/method",
            json!("guessed"),
            "unknown variant `guessed`",
        ),
        ("/evidence/scale", json!(null), "expected f64"),
        ("/format", json!(3), "found passport format 3, expected 4"),
        ("/format", json!(5), "found passport format 5, expected 4"),
    ];
    for (pointer, value, said) in cases {
        let refused = with(pointer, value).expect_err(pointer);
        assert!(refused.contains(said), "{pointer}: {refused}");
    }
}

#[test]
fn a_passport_filled_in_by_a_program_is_checked_for_what_json_cannot_say() {
    let sound = Passport::parse(&sound().to_string()).unwrap();
    let mut passport = sound.clone();
    passport.evidence.more_m2 = f64::INFINITY;
    assert!(passport.check().unwrap_err().contains("evidence.more_m2"));
    let mut passport = sound;
    passport.mm_per_px = f64::NAN;
    assert!(passport.check().unwrap_err().contains("mm_per_px"));
}

#[test]
fn no_line_threshold_and_limits_themselves_are_allowed() {
    for (pointer, value) in [
        ("/judgement/line_threshold", json!(null)),
        ("/judgement/start", json!(null)),
        (
            "/lanes",
            json!(vec![
                json!({"frame_width": 65_536, "flat_field": {}, "usual": vec![0.0; 16_384]});
                64
            ]),
        ),
        ("/judgement/left", json!(vec![1.0; 64])),
        ("/reference/window_mm", json!(0.0)),
        ("/reference/smooth_cells", json!(16.0)),
        ("/backbone/n_features", json!(4096)),
        ("/backbone/halo_px", json!(64)),
    ] {
        assert_eq!(with(pointer, value).err(), None, "{pointer}");
    }
}
