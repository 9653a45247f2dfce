//! Lamp and sensor: brightness becomes grey levels.
//!
//! The lamp is uneven across, every column has its own gain, one column is nearly dead,
//! and noise grows with light as photons' does. None of it changes along the web.

use super::LoomSettings;
use super::noise::{bell, hash, signed};

/// A line camera under a lamp.
#[derive(Debug)]
pub(super) struct Sensor {
    seed: u64,
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

const STREAM_NOISE: i64 = 101;
const STREAM_COLUMN: i64 = 102;

impl Sensor {
    pub(super) fn new(settings: &LoomSettings) -> Self {
        let seed = settings.sensor_seed;
        let width = settings.width as usize;
        let tilt = 0.12 * signed(seed, STREAM_COLUMN, -1);
        let mut gain: Vec<f32> = (0..width)
            .map(|x| {
                let across = 2.0 * x as f32 / width as f32 - 1.0;
                let vignette = 1.0 - 0.22 * across * across;
                let ripple = 0.02 * (across * 9.0).sin();
                let column = 0.008 * signed(seed, STREAM_COLUMN, x as i64);
                WHITE * (vignette + tilt * across + ripple + column)
            })
            .collect();
        if let Some(dead) = gain.get_mut(dead_column(settings.width)) {
            *dead *= DEAD_GAIN;
        }
        Self {
            seed: settings.seed,
            gain,
        }
    }

    /// Exposes one line of brightness into 8 bit grey.
    pub(super) fn expose(&self, tick: i64, row: &[f32], out: &mut [u8]) {
        let line = hash(self.seed, STREAM_NOISE, tick) as u32;
        for (x, ((grey, &light), &gain)) in out.iter_mut().zip(row).zip(&self.gain).enumerate() {
            let level = light * gain;
            let noise = (READ_VARIANCE + SHOT_VARIANCE * level).sqrt() * bell(line, x as u32);
            *grey = (level + noise + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
}

/// The nearly dead column stands right of the middle, as in many an old camera.
pub(super) fn dead_column(width: u32) -> usize {
    width as usize * 11 / 20
}
