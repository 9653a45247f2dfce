//! One web under several cameras.
//!
//! Every lane is a [`Loom`] of its own over the same cloth with the same flaws; what differs is
//! where the camera looks and the camera itself. Neighbours may overlap, and a camera may hang a
//! little off from where it is thought to be. Truth is in columns of the web, alike for all.

use super::{Loom, LoomSettings, PlantedFlaw};
use crate::CameraError;

/// A web and the lanes that it is seen in.
#[derive(Clone, Debug, PartialEq)]
pub struct LoomWeb {
    /// The cloth; `width` is that of all lanes together, `camera` the first lane's index and
    /// `sensor_seed` unused.
    pub settings: LoomSettings,
    /// What each camera sees, from left to right.
    pub lanes: Vec<LaneView>,
}

/// What one camera sees of a web.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// First column of the web.
    pub first_column: u32,
    /// Columns, at least 64.
    pub width: u32,
    /// The camera itself: its columns, its lens and where its lamp hangs.
    pub sensor_seed: u64,
    /// Columns by which it looks further right than it is thought to, -8 to 8.
    pub off_columns: i32,
    /// Lines by which what it sees lies further along than its ticks say, -8 to 8.
    pub off_lines: i32,
}

impl LoomWeb {
    /// A web of `settings.width` columns in `n_lanes` equal lanes, neighbours of which share
    /// `overlap` columns; the rightmost lane takes what division leaves.
    ///
    /// # Errors
    /// `LoomSetting` where no lane would have 64 columns.
    pub fn side_by_side(
        settings: LoomSettings,
        n_lanes: u16,
        overlap: u32,
    ) -> Result<Self, CameraError> {
        let n = u64::from(n_lanes);
        let seen = u64::from(settings.width) + u64::from(overlap) * n.saturating_sub(1);
        let width = seen.checked_div(n).unwrap_or(0);
        if width < 64 || width <= u64::from(overlap) {
            return Err(CameraError::LoomSetting {
                key: "lanes",
                found: format!("{n_lanes} over {} px, {overlap} px shared", settings.width),
                expected: "lanes of 64 px or more, wider than what they share",
            });
        }
        let lane = |nth: u64| {
            let first_column = (width - u64::from(overlap)) * nth;
            let is_last = nth + 1 == n;
            LaneView {
                first_column: first_column as u32,
                width: if is_last {
                    settings.width - first_column as u32
                } else {
                    width as u32
                },
                sensor_seed: nth,
                off_columns: 0,
                off_lines: 0,
            }
        };
        Ok(Self {
            lanes: (0..n).map(lane).collect(),
            settings,
        })
    }

    /// One source for every lane; the camera's index counts on from `settings.camera`.
    ///
    /// # Errors
    /// `LoomSetting` where a setting is out of range or a lane does not lie in the web.
    pub fn looms(&self) -> Result<Vec<Loom>, CameraError> {
        let cameras = self.settings.camera..;
        let of = |(camera, lane): (u16, &LaneView)| {
            Loom::of_lane(
                LoomSettings {
                    camera,
                    ..self.settings.clone()
                },
                *lane,
            )
        };
        cameras.zip(&self.lanes).map(of).collect()
    }

    /// Every planted flaw, in columns of the web; see [`Loom::truth`].
    ///
    /// # Errors
    /// As [`LoomWeb::looms`].
    pub fn truth(&self) -> Result<Vec<PlantedFlaw>, CameraError> {
        Loom::new(self.settings.clone()).map(|loom| loom.truth())
    }
}

impl LaneView {
    /// The whole web, seen by one camera.
    pub(super) fn whole(settings: &LoomSettings) -> Self {
        Self {
            first_column: 0,
            width: settings.width,
            sensor_seed: settings.sensor_seed,
            off_columns: 0,
            off_lines: 0,
        }
    }

    pub(super) fn check(&self, settings: &LoomSettings) -> Result<(), CameraError> {
        let end = u64::from(self.first_column) + u64::from(self.width);
        let known = -8..=8;
        if end > u64::from(settings.width)
            || self.width < 64
            || !known.contains(&self.off_columns)
            || !known.contains(&self.off_lines)
        {
            return Err(CameraError::LoomSetting {
                key: "lane",
                found: format!("{self:?} of {} px", settings.width),
                expected: "64 px or more within the web, off by at most 8",
            });
        }
        Ok(())
    }
}
