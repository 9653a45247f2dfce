//! A model fitted to a station: what must agree, and how frames are corrected for it.
//!
//! Inspection, evaluation and teaching all begin here, so that they cannot differ in it.

use anyhow::{Context, ensure};
use calibration::FlatField;
use camera::{Description, TicksFrom};
use models::onnx::Runtime;
use models::{Article, LaneColumns, Scorer};

use crate::config::{Lane, Station};
use crate::tiles::{Correction, Joints};

/// Difference between taught and given scale that a model bears.
const SCALE_TOLERANCE: f64 = 0.02;

/// One session per worker on `model`, each checked against the golden tiles.
///
/// # Errors
/// What the model or the runtime says.
pub fn scorers_of(
    model: &Article,
    runtime: &Runtime,
    n_workers: usize,
) -> anyhow::Result<Vec<Box<dyn Scorer>>> {
    (0..n_workers)
        .map(|_| Ok(Box::new(model.scorer(runtime)?) as Box<dyn Scorer>))
        .collect()
}

/// How the frames of `lane`, counted from 0, are corrected for a model. Of a lane that was not
/// taught no fixed pattern is known.
///
/// # Errors
/// When the passport's flat field is damaged, or as for [`check_light`].
pub fn correction_for(
    model: &Article,
    station: &Station,
    lane: usize,
    joints: Joints,
) -> anyhow::Result<Correction> {
    let passport = model.passport();
    let flat_field = passport.lanes.get(lane).map(flat_field_of).transpose();
    let flat_field = flat_field.context("the passport's flat field cannot be read")?;
    check_light(model, station, lane)?;
    Ok(Correction {
        channels: camera_channels(passport.channels),
        flat_field: flat_field.flatten(),
        light: station.light,
        halo_px: passport.backbone.halo_px,
        joints,
    })
}

/// Refuses a light calibration where `lane`, counted from 0, was taught without one, and the other
/// way round: the model knows its columns as it saw them.
///
/// # Errors
/// Naming the lane.
pub fn check_light(model: &Article, station: &Station, lane: usize) -> anyhow::Result<()> {
    let passport = model.passport();
    let Some(taught) = passport.lanes.get(lane) else {
        return Ok(());
    };
    let told = |evened: bool| if evened { "with" } else { "without" };
    let is_evened = station.light_of(lane).is_some();
    ensure!(
        taught.evened == is_evened,
        "lane {}: article {:?} was taught {} a light calibration, found a station {} one: teach the article again on this station",
        lane + 1,
        passport.article,
        told(taught.evened),
        told(is_evened)
    );
    Ok(())
}

/// The fixed pattern that a lane was taught with.
///
/// # Errors
/// When it is damaged.
pub fn flat_field_of(columns: &LaneColumns) -> serde_json::Result<Option<FlatField>> {
    let field = columns.flat_field.clone().map(serde_json::from_value);
    field.transpose()
}

/// The camera's word for a passport's channels.
pub fn camera_channels(channels: models::Channels) -> camera::Channels {
    match channels {
        models::Channels::Grey => camera::Channels::Grey,
        models::Channels::Rgb => camera::Channels::Rgb,
    }
}

/// Warns where nothing is known of the single columns of `lane`: the model was taught with fewer
/// lanes, or this one's frames had another width than `frame_width`, in pixels.
pub fn tell_unknown_columns(model: &Article, lane: usize, frame_width: u32) {
    match model.passport().lanes.get(lane) {
        None => tracing::warn!(
            lane,
            taught = model.passport().lanes.len(),
            "the model was taught with fewer lanes: what single columns of this one usually show is not known"
        ),
        Some(taught) if taught.frame_width != frame_width => tracing::warn!(
            lane,
            found = frame_width,
            taught = taught.frame_width,
            "frames are not as wide as taught: what single columns usually show is not known"
        ),
        Some(_) => {}
    }
}

/// Whether one model fits cloth at both scales, mm per pixel across and per line along.
pub fn scales_agree(one: [f64; 2], other: [f64; 2]) -> bool {
    one.into_iter()
        .zip(other)
        .all(|(one, other)| (one / other - 1.0).abs() <= SCALE_TOLERANCE)
}

/// Cloth per tick: of the encoder, where one counts and was measured, else of a line. Recorded
/// pictures have none: their lines are numbered anew.
///
/// # Errors
/// When a line of the encoder's measure is not one of the lane's.
pub fn um_per_tick(lane: &Lane, description: &Description) -> anyhow::Result<f64> {
    let nominal = lane.mm_per_line * 1e3 / description.ticks_per_line as f64;
    let is_counted = description.ticks == TicksFrom::Encoder;
    let Some(mm_per_tick) = lane.mm_per_tick.filter(|_| is_counted) else {
        return Ok(nominal);
    };
    let measured = mm_per_tick * 1e3;
    ensure!(
        scales_agree([measured, 1.0], [nominal, 1.0]),
        "found {} mm per line of {}, expected {} as the encoder was measured: calibrate scale or encoder again",
        lane.mm_per_line,
        description.name,
        mm_per_tick * description.ticks_per_line as f64
    );
    Ok(measured)
}

/// Refuses a scale that is not the taught one.
///
/// # Errors
/// With both scales.
pub fn check_scale(model: &Article, station: &Station) -> anyhow::Result<()> {
    let passport = model.passport();
    let scales = station.lanes.iter().flat_map(|lane| {
        [
            ("across", passport.mm_per_px, lane.mm_per_px),
            ("along", passport.mm_per_line, lane.mm_per_line),
        ]
    });
    for (direction, taught, given) in scales {
        ensure!(
            (given / taught - 1.0).abs() <= SCALE_TOLERANCE,
            "the model of article {:?} was taught at {taught} mm per pixel {direction}, found {given}: teach the article at this scale, or set the camera to the taught one",
            passport.article
        );
    }
    Ok(())
}

/// Refuses a camera that gives grey frames to a model that was taught on colour.
///
/// # Errors
/// With the camera and the article.
pub fn check_channels(model: &Article, camera: &Description) -> anyhow::Result<()> {
    let passport = model.passport();
    let wanted = camera_channels(passport.channels);
    ensure!(
        wanted == camera::Channels::Grey || camera.shape.channels == wanted,
        "{} gives grey frames, expected colour: article {:?} was taught on colour",
        camera.name,
        passport.article
    );
    Ok(())
}

/// The passport's word for a camera's channels.
pub fn model_channels(channels: camera::Channels) -> models::Channels {
    match channels {
        camera::Channels::Grey => models::Channels::Grey,
        camera::Channels::Rgb => models::Channels::Rgb,
    }
}
