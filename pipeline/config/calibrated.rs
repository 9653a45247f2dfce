//! A lane's place and scale, from the station file and from the station's profile.

use std::path::Path;

use anyhow::{Context, ensure};
use calibration::{KeptProfile, LaneProfile, Lens, Profile};

use super::RawLane;

/// What both together say of a lane; `None` where neither does.
pub(super) struct LaneFacts {
    pub(super) mm_per_px: Option<f64>,
    pub(super) mm_per_line: Option<f64>,
    pub(super) offset_mm: Option<f64>,
    pub(super) lens: Option<Lens>,
    pub(super) mm_per_tick: Option<f64>,
}

/// Scales that differ by less are the same one, written with fewer digits: 0.2 mm on a web of 2 m.
const SAME_SCALE: f64 = 1e-4;
/// The same of places, mm.
const SAME_PLACE_MM: f64 = 0.01;

/// The profile of a station of `n_lanes`.
///
/// # Errors
/// When it is not there, cannot be used, or is of more lanes.
pub(super) fn read(path: &Path, n_lanes: usize) -> anyhow::Result<KeptProfile> {
    let kept = Profile::read(path)?;
    let kept = kept.with_context(|| {
        format!("found no profile {path:?}, expected what `selvedge calibrate --profile` writes")
    })?;
    let found = kept.profile.lanes.len();
    ensure!(
        found <= n_lanes,
        "found {found} lanes in the profile {path:?}, expected at most {n_lanes} as there are [[lane]] sections"
    );
    Ok(kept)
}

/// The facts of the station's `nth` lane, from 1.
///
/// # Errors
/// Where file and profile differ, with both.
pub(super) fn place(
    raw: &RawLane,
    nth: usize,
    measured: Option<&LaneProfile>,
) -> anyhow::Result<LaneFacts> {
    let scale = measured.and_then(|lane| lane.scale.as_ref());
    let place = measured.and_then(|lane| lane.place.as_ref());
    let scale_of = |which: fn(&calibration::ScaleMeasured) -> f64| {
        scale.map(|of| (which(&of.found), of.measured_at.as_str()))
    };
    let is_same = |one: f64, other: f64| (one / other - 1.0).abs() <= SAME_SCALE;
    let agreed = |name, given, measured, is_same| agreed((nth, name), given, measured, is_same);
    Ok(LaneFacts {
        mm_per_px: agreed(
            "mm_per_px",
            raw.mm_per_px,
            scale_of(|scale| scale.mm_per_px),
            is_same,
        )?,
        mm_per_line: agreed(
            "mm_per_line",
            raw.mm_per_line,
            scale_of(|scale| scale.mm_per_line),
            is_same,
        )?,
        offset_mm: agreed(
            "offset_mm",
            raw.offset_mm,
            place.map(|of| (of.found.offset_mm, of.measured_at.as_str())),
            |one, other| (one - other).abs() <= SAME_PLACE_MM,
        )?,
        lens: (measured.and_then(|lane| lane.lens.as_ref())).map(|lens| lens.found.lens),
        mm_per_tick: (measured.and_then(|lane| lane.encoder.as_ref()))
            .map(|encoder| encoder.found.mm_per_tick),
    })
}

/// The measured value where there is one, else the given one.
fn agreed(
    (nth, name): (usize, &str),
    given: Option<f64>,
    measured: Option<(f64, &str)>,
    is_same: fn(f64, f64) -> bool,
) -> anyhow::Result<Option<f64>> {
    if let (Some(given), Some((measured, at))) = (given, measured) {
        ensure!(
            is_same(given, measured),
            "found lane {nth}: {name} = {given} in the station file and {measured} in its profile, measured {at}; expected one value: leave it out of the station file, or calibrate again"
        );
    }
    Ok(measured.map(|(measured, _)| measured).or(given))
}

#[cfg(test)]
mod tests {
    use calibration::{Dated, PlaceMeasured, Residual, ScaleMeasured};

    use super::*;
    use crate::config::Station;

    /// A station beside a profile of a lane at 0.15 × 0.16 mm from 310 mm on.
    fn station(lane: &str) -> anyhow::Result<Station> {
        let folder = tempfile::tempdir()?;
        let residual = Residual {
            rms_mm: 0.01,
            max_mm: 0.02,
        };
        let mut profile = Profile::default();
        let of_lane = profile.lane_mut(0)?;
        of_lane.scale = Some(dated(ScaleMeasured {
            mm_per_px: 0.15,
            mm_per_line: 0.16,
            skew_degrees: 0.0,
            residual,
            n_views: 1,
        }));
        of_lane.place = Some(dated(PlaceMeasured {
            offset_mm: 310.0,
            residual,
            n_views: 1,
        }));
        profile.write(&folder.path().join("table3.profile"))?;
        let file = folder.path().join("station.toml");
        let text = format!("profile = \"table3.profile\"\n[[lane]]\n{lane}");
        std::fs::write(&file, text)?;
        Station::read(&file)
    }

    fn dated<T>(found: T) -> Dated<T> {
        Dated {
            measured_at: "2026-11-28".to_owned(),
            found,
        }
    }

    #[test]
    fn a_profile_fills_in_what_the_file_leaves_out() {
        let lane = station("").unwrap().lanes.remove(0);
        assert_eq!((lane.mm_per_px, lane.mm_per_line), (0.15, 0.16));
        assert_eq!(lane.offset, calibration::um_from_mm(310.0));
        let rounded = station("mm_per_px = 0.150001\noffset_mm = 310").unwrap();
        assert_eq!(rounded.lanes[0].mm_per_px, 0.15);
    }

    #[test]
    fn a_file_that_says_otherwise_than_its_profile_is_refused_with_both() {
        for (text, said) in [
            (
                "mm_per_px = 0.2",
                "mm_per_px = 0.2 in the station file and 0.15 in",
            ),
            (
                "mm_per_line = 0.15",
                "mm_per_line = 0.15 in the station file and 0.16 in",
            ),
            (
                "offset_mm = 0",
                "offset_mm = 0 in the station file and 310 in",
            ),
        ] {
            let error = format!("{:#}", station(text).unwrap_err());
            assert!(error.contains(said), "{error}");
            assert!(error.contains("measured 2026-11-28"), "{error}");
        }
    }

    #[test]
    fn a_profile_that_is_missing_or_of_more_lanes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.profile");
        let error = read(&path, 1).unwrap_err().to_string();
        assert!(error.contains("found no profile"), "{error}");
        let mut profile = Profile::default();
        profile.lane_mut(1).unwrap();
        profile.write(&path).unwrap();
        let error = read(&path, 1).unwrap_err().to_string();
        assert!(error.contains("found 2 lanes"), "{error}");
        assert!(read(&path, 2).is_ok());
    }
}
