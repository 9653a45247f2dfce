//! Profiles: what was written is read, and nothing else is.

use proptest::prelude::*;

use super::*;
use crate::column_light::{ColumnLight, Unevenness};

fn dated<T>(found: T) -> Dated<T> {
    Dated {
        measured_at: "2026-11-28T05:30:00Z".to_owned(),
        found,
    }
}

fn residual() -> Residual {
    Residual {
        rms_mm: 0.02,
        max_mm: 0.1,
    }
}

/// A profile in which everything stands, in its second lane.
fn whole() -> Profile {
    let light = r#"{"offset":[1.5,2.0],"gain":[0.97,1.04],"dead":[1]}"#;
    let even = Unevenness {
        rms_percent: 0.1,
        most_percent: 0.3,
    };
    let mut profile = Profile {
        written_at: "2026-11-28T05:30:00Z".to_owned(),
        lanes: Vec::new(),
    };
    let lane = profile.lane_mut(1).unwrap();
    lane.light = Some(dated(LightMeasured {
        columns: serde_json::from_str::<ColumnLight>(light).unwrap(),
        dark_level: 3.0,
        white_level: 180.0,
        before: even,
        after: even,
    }));
    lane.lens = Some(dated(LensMeasured {
        lens: Lens::new(2, [0.01, -0.1, 0.0, 0.0]).unwrap(),
        residual: Some(residual()),
        camera: None,
    }));
    lane.scale = Some(dated(ScaleMeasured {
        mm_per_px: 0.1537,
        mm_per_line: 0.15,
        skew_degrees: 0.1,
        residual: residual(),
        n_views: 3,
    }));
    lane.place = Some(dated(PlaceMeasured {
        offset_mm: 310.25,
        residual: residual(),
        n_views: 2,
    }));
    lane.encoder = Some(dated(EncoderMeasured {
        mm_per_tick: 0.05,
        length_mm: 1000.0,
        rms_mm: 0.3,
        max_mm: 0.6,
        n_passes: 5,
    }));
    let sight = Sight {
        mean_level: 120.0,
        focus: 0.6,
        shape: vec![Some(1.0); 32],
        left_px: Some(20.0),
        right_px: None,
        n_frames: 12,
    };
    lane.baselines.insert("4711".to_owned(), dated(sight));
    profile
}

#[test]
fn what_was_written_is_read_and_what_was_there_before_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table3.profile");
    assert_eq!(Profile::read(&path).unwrap(), None);
    for profile in [Profile::default(), whole()] {
        let kept = profile.write(&path).unwrap();
        assert_eq!(kept.profile, profile);
        assert_eq!(Profile::read(&path).unwrap().unwrap(), kept);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_with_any_bit_turned_or_any_end_missing_is_refused() {
    let text = whole().text().unwrap();
    assert!(Profile::of_bytes(text.as_bytes()).is_ok());
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        assert!(Profile::of_bytes(&bytes).is_err(), "byte {at}");
        assert!(
            Profile::of_bytes(&text.as_bytes()[..at]).is_err(),
            "{at} bytes"
        );
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused_with_both_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table3.profile");
    std::fs::write(&path, r#"{"format":2,"seal":"other","body":[1,2]}"#).unwrap();
    let error = Profile::read(&path).unwrap_err().to_string();
    assert!(error.contains("found format 2, expected 1"), "{error}");
    assert!(error.contains("table3.profile"), "{error}");
}

#[test]
fn what_no_station_can_have_is_neither_written_nor_read() {
    let changed = |change: fn(&mut LaneProfile)| {
        let mut profile = whole();
        change(&mut profile.lanes[1]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let error = profile.write(&path).unwrap_err().to_string();
        assert!(!path.exists());
        error
    };
    let error = changed(|lane| lane.scale.as_mut().unwrap().found.mm_per_px = -0.2);
    assert!(error.contains("lane 2: found mm_per_px = -0.2"), "{error}");
    changed(|lane| lane.encoder.as_mut().unwrap().found.mm_per_tick = f64::INFINITY);
    changed(|lane| lane.place.as_mut().unwrap().found.offset_mm = 1e9);
    changed(|lane| lane.place.as_mut().unwrap().measured_at = "x".repeat(99));
    changed(|lane| {
        lane.baselines
            .get_mut("4711")
            .unwrap()
            .found
            .shape
            .truncate(3)
    });
    assert!(Profile::default().lane_mut(64).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Profile::of_bytes(&bytes).is_err());
    }

    #[test]
    fn no_body_with_a_right_checksum_makes_reading_panic(
        at in 0usize..2000,
        with in "[0-9eE\\-\\.\\[\\]\\{\\}\":,a-z]{0,6}",
    ) {
        let mut body = serde_json::to_string(&whole()).unwrap();
        let at = at % body.len();
        body.replace_range(at..at + 1, &with);
        if let Ok(raw) = RawValue::from_string(body) {
            let layout = Layout { format: FORMAT, sha256: digest(&raw), profile: raw };
            let text = serde_json::to_string(&layout).unwrap();
            if let Ok(kept) = Profile::of_bytes(text.as_bytes()) {
                prop_assert!(kept.profile.check().is_ok());
            }
        }
    }
}
