//! Lamp and sensor: brightness becomes grey levels.
//!
//! The lamp is uneven across and may wander along the web; every column has its own gain, some
//! are nearly dead, and noise grows with light as photons' does. A colour camera's three channels
//! have the same gain and noise of their own.

use super::LoomSettings;
use super::lanes::LaneView;
use super::noise::{bell, hash, signed, smooth, unit};

/// A line camera under a lamp.
#[derive(Debug)]
pub(super) struct Sensor {
    /// Seed of the noise.
    seed: u64,
    lamp_seed: u64,
    lamp_drift: f32,
    noise: f32,
    /// Grey levels of white paper, by column.
    gain: Vec<f32>,
}

/// Grey levels of white paper in the middle of the sight.
const WHITE: f32 = 190.0;
/// Variance of the noise: at no light, and what one grey level of light adds.
const READ_VARIANCE: f32 = 0.8;
const SHOT_VARIANCE: f32 = 0.028;
/// What a nearly dead column still sees.
const DEAD_GAIN: f32 = 0.55;
/// Lines from one turn of the lamp's light to the next.
const LAMP_LINES: f64 = 5000.0;
/// Levels of 16 bits to one of 8.
const SIXTEEN: f32 = 257.0;

const STREAM_NOISE: i64 = 101;
const STREAM_COLUMN: i64 = 102;
const STREAM_DEAD: i64 = 103;
const STREAM_LAMP: i64 = 104;
const STREAM_LANE: i64 = 105;

impl Sensor {
    /// The camera of one lane; `is_lane` where others see the same web.
    pub(super) fn new(settings: &LoomSettings, lane: &LaneView, is_lane: bool) -> Self {
        let seed = lane.sensor_seed;
        let width = lane.width as usize;
        let tilt = 0.12 * signed(seed, STREAM_COLUMN, -1) + settings.lamp_slope;
        let mut gain: Vec<f32> = (0..width)
            .map(|x| {
                let across = 2.0 * x as f32 / width as f32 - 1.0;
                let vignette = 1.0 - 0.22 * across * across;
                let ripple = 0.02 * (across * 9.0).sin();
                let column = 0.008 * signed(seed, STREAM_COLUMN, x as i64);
                WHITE * (vignette + tilt * across + ripple + column)
            })
            .collect();
        for nth in 0..settings.n_dead_columns {
            let column = match nth {
                0 => dead_column(lane.width),
                nth => (unit(seed, STREAM_DEAD, i64::from(nth)) * width as f32) as usize,
            };
            if let Some(dead) = gain.get_mut(column) {
                *dead *= DEAD_GAIN;
            }
        }
        let noise_seed = if is_lane {
            hash(settings.seed, STREAM_LANE, i64::from(settings.camera)) ^ seed
        } else {
            settings.seed
        };
        Self {
            seed: noise_seed,
            lamp_seed: seed,
            lamp_drift: settings.lamp_drift,
            noise: settings.noise,
            gain,
        }
    }

    /// Grey levels of white paper, by column.
    #[cfg(test)]
    pub(super) fn gains(&self) -> Vec<f32> {
        self.gain.clone()
    }

    /// Exposes one line of brightness into 8 bit samples; `planes` are interleaved.
    pub(super) fn expose(&self, line: i64, planes: &[&[f32]], out: &mut [u8]) {
        self.each(line, planes, out, |level| {
            (level + 0.5).clamp(0.0, 255.0) as u8
        });
    }

    /// The same with 16 bits, full scale 65,535.
    pub(super) fn expose_deep(&self, line: i64, planes: &[&[f32]], out: &mut [u16]) {
        self.each(line, planes, out, |level| {
            (level * SIXTEEN + 0.5).clamp(0.0, 65_535.0) as u16
        });
    }

    /// Fills a row with what `sample` makes of grey levels, 255 full scale.
    #[inline(always)]
    fn each<S>(&self, line: i64, planes: &[&[f32]], out: &mut [S], sample: impl Fn(f32) -> S) {
        let wander = smooth(self.lamp_seed, STREAM_LAMP, line as f64 / LAMP_LINES);
        let lamp = 1.0 + self.lamp_drift * wander;
        let strength = self.noise;
        let seen = |line: u32, x: usize, light: f32, gain: f32| {
            let level = light * (gain * lamp);
            let noise = (READ_VARIANCE + SHOT_VARIANCE * level).sqrt() * bell(line, x as u32);
            sample(level + noise * strength)
        };
        // One plane alone is a loop that the compiler can do many columns at once of.
        if let [row] = planes {
            let line = hash(self.seed, STREAM_NOISE, line) as u32;
            for (x, ((out, &light), &gain)) in out.iter_mut().zip(*row).zip(&self.gain).enumerate()
            {
                *out = seen(line, x, light, gain);
            }
            return;
        }
        for (plane, row) in planes.iter().enumerate() {
            let line = hash(self.seed, STREAM_NOISE + 1000 * plane as i64, line) as u32;
            let samples = out.iter_mut().skip(plane).step_by(planes.len());
            for (x, ((out, &light), &gain)) in samples.zip(*row).zip(&self.gain).enumerate() {
                *out = seen(line, x, light, gain);
            }
        }
    }
}

/// The first nearly dead column stands right of the middle, as in many an old camera.
pub(super) fn dead_column(width: u32) -> usize {
    width as usize * 11 / 20
}
