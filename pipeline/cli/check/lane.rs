//! One camera for a second: what comes, what is lost, the light, the focus.
//!
//! Frames are taken as inspection takes them, in calibrated light. Few of them are looked at, the
//! others are counted, so that a fast camera loses none for being looked at.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use calibration::{
    ClothSpan, DRIFT_LIMITS, LightFacts, LightFault, LightLimits, Watched, drifts, find_cloth,
};
use camera::{Captured, Channels, Description, Frame, Pool, Source, capture};
use models::Article;

use super::{Findings, Told};
use crate::config::Station;
use crate::fitting::{check_channels, check_light};
use crate::source::check_encoder;
use crate::station::within;

/// How long a camera is looked at, from its first frame on.
const TIME: Duration = Duration::from_secs(1);
/// How long a slow one is looked at, until it has shown [`FRAMES`].
const LONGEST: Duration = Duration::from_secs(6);
/// Frames that the light and the focus are told from.
const FRAMES: u32 = calibration::drift::FEWEST_FRAMES;
/// How long the first frame is waited for.
const FIRST: Duration = Duration::from_secs(5);
/// Time between two frames that are looked at.
const EVERY: Duration = Duration::from_millis(100);
/// Buffers that a camera is given.
const BUFFERS: usize = 16;

/// A lane to look at.
pub(super) struct Lane<'a> {
    pub(super) station: &'a Station,
    /// Counted from 0.
    pub(super) nth: usize,
    /// What its cloth is usually judged by.
    pub(super) model: Option<&'a Article>,
}

/// What a camera showed.
#[derive(Default)]
struct Shown {
    n_frames: u64,
    n_lost: u64,
    /// Why the last one was lost.
    lost: String,
    first: Option<Instant>,
    last_look: Option<Instant>,
    /// Of the frames looked at; mean level and saturated share are summed.
    n_looked: u32,
    n_without_cloth: u32,
    level: f64,
    saturated: f64,
    watched: Watched,
}

impl Lane<'_> {
    /// Looks at the lane through `source`, which ends when `look` is set; `stop` ends the look.
    pub(super) fn check(
        &self,
        mut source: Box<dyn Source>,
        look: &AtomicBool,
        stop: &AtomicBool,
        what: &str,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let description = source.description().clone();
        findings.tell(what, self.fits(&description))?;
        let shown = within(FIRST + LONGEST, stop, look, || show(&mut *source, look))?;
        drop(source);
        let shown = match shown {
            Ok(shown) => shown,
            Err(error) => return findings.tell(what, Err(error)),
        };
        if shown.n_frames + shown.n_lost == 0 {
            let told = format!(
                "opens, and nothing came within {} s: does the web stand, does its trigger or encoder work?",
                (FIRST + LONGEST).as_secs()
            );
            return findings.tell(what, Ok(Told::Note(told)));
        }
        findings.tell(what, shown.arrived())?;
        if shown.n_looked > 0 {
            findings.tell(what, shown.light(&self.station.light))?;
            if let Some(found) = self.drift(&shown) {
                findings.tell(what, found)?;
            }
        }
        Ok(())
    }

    /// Whether its frames are such as the model and the station file take.
    fn fits(&self, camera: &Description) -> anyhow::Result<Told> {
        let shape = camera.shape;
        let told = format!(
            "{}: {} x {} px, {}",
            camera.name,
            shape.width,
            shape.height,
            match shape.channels {
                Channels::Grey => "grey",
                Channels::Rgb => "colour",
            }
        );
        check_encoder(&self.station.lanes[self.nth], camera)?;
        let Some(model) = self.model else {
            return Ok(Told::Good(told));
        };
        check_channels(model, camera)?;
        check_light(model, self.station, self.nth)?;
        Ok(match model.passport().lanes.get(self.nth) {
            None => Told::Note(format!(
                "{told}; the model was taught with {} lanes: what single columns of this one usually show is not known",
                model.passport().lanes.len()
            )),
            Some(taught) if taught.frame_width != shape.width => Told::Note(format!(
                "{told}; taught {} px wide: what single columns usually show is not known, teach again with this camera",
                taught.frame_width
            )),
            Some(_) => Told::Good(told),
        })
    }

    /// How the lane differs from when it was calibrated, where that is known of the usual article.
    fn drift(&self, shown: &Shown) -> Option<anyhow::Result<Told>> {
        let article = self.station.standing.article.as_deref()?;
        let profile = &self.station.profile.as_ref()?.profile;
        let baseline = profile.lane(self.nth)?.baselines.get(article)?;
        let since = &baseline.measured_at;
        let Some(today) = shown.watched.sight() else {
            let told = format!(
                "found {} frames of cloth, expected {FRAMES} to compare with the baseline of {since}",
                shown.watched.n_frames()
            );
            return Some(Ok(Told::Note(told)));
        };
        let drifts = drifts(&baseline.found, &today, &DRIFT_LIMITS);
        let told: Vec<String> = drifts.iter().map(ToString::to_string).collect();
        Some(if told.is_empty() {
            Ok(Told::Good(format!(
                "light, focus and place as in the baseline of {since}"
            )))
        } else {
            Err(anyhow::anyhow!("{}", told.join("; ")))
        })
    }
}

fn show(source: &mut dyn Source, look: &AtomicBool) -> anyhow::Result<Shown> {
    let pool = Pool::new(BUFFERS, source.description().shape.n_bytes());
    let opened = Instant::now();
    let mut shown = Shown::default();
    let mut failed = None;
    capture(source, &pool, look, |captured| {
        if let Err(error) = shown.see(captured) {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        let since = shown.first.unwrap_or(opened).elapsed();
        if since >= LONGEST || (since >= TIME && shown.n_looked >= FRAMES) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
    .context("the camera failed while it was looked at")?;
    match failed {
        Some(error) => Err(error),
        None => Ok(shown),
    }
}

impl Shown {
    fn see(&mut self, captured: Captured) -> anyhow::Result<()> {
        self.first.get_or_insert_with(Instant::now);
        match captured {
            Captured::Lost(lost) => {
                self.n_lost += 1;
                self.lost = lost.detail;
            }
            Captured::Frame(frame) => {
                self.n_frames += 1;
                if self.last_look.is_none_or(|last| last.elapsed() >= EVERY) {
                    self.last_look = Some(Instant::now());
                    self.look(&frame)?;
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, frame: &Frame) -> anyhow::Result<()> {
        let cloth = find_cloth(frame);
        match cloth {
            Some(cloth) => self.watched.add(frame, cloth)?,
            None => self.n_without_cloth += 1,
        }
        let cloth = cloth.map_or_else(|| ClothSpan::whole(frame.width()), Ok)?;
        let facts = LightFacts::of(frame, cloth)?;
        self.n_looked += 1;
        self.level += f64::from(facts.mean_level);
        self.saturated += f64::from(facts.saturated_share);
        Ok(())
    }

    fn arrived(&self) -> anyhow::Result<Told> {
        let took = self
            .first
            .map_or(0.0, |first| first.elapsed().as_secs_f64());
        let (n, n_lost) = (self.n_frames, self.n_lost);
        ensure!(
            n_lost == 0,
            "found {n_lost} of {} exposures lost in {took:.1} s, expected none ({}): look at cable, network and packet size",
            n + n_lost,
            self.lost
        );
        Ok(Told::Good(format!("{n} frames in {took:.1} s, none lost")))
    }

    fn light(&self, limits: &LightLimits) -> anyhow::Result<Told> {
        let n = f64::from(self.n_looked);
        let (level, saturated) = (self.level / n, self.saturated / n);
        let facts = LightFacts {
            mean_level: level as f32,
            saturated_share: saturated as f32,
            dark_share: 0.0,
        };
        match limits.judge(&facts) {
            Some(LightFault::TooDark) => bail!(
                "found a mean level of {level:.1} of 255, expected {} or more (light.min_mean_level): look at lamp, lens cap, aperture and exposure",
                limits.min_mean_level
            ),
            Some(LightFault::Saturated) => bail!(
                "found {:.0} % in full white, expected {:.0} % at most (light.max_saturated_share): expose shorter or dim the lamp",
                saturated * 1e2,
                limits.max_saturated_share * 1e2
            ),
            None => {}
        }
        let told = format!(
            "light: mean level {level:.1} of 255, {:.1} % in full white",
            saturated * 1e2
        );
        Ok(if self.n_without_cloth > 0 {
            Told::Note(format!(
                "{told}; no cloth is seen in {} of {} frames",
                self.n_without_cloth, self.n_looked
            ))
        } else {
            Told::Good(told)
        })
    }
}
