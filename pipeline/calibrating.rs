//! Measuring a station: from sources to what its profile keeps.
//!
//! ```text
//! references, boards, marks, cloth ─▶ one function each ─▶ calibration::measure_… ─▶ LaneProfile
//! ```
//!
//! What a measurement refuses is an error with its reason, and then the profile stays as it was.
//! Frames are taken as the camera gives them, save for a baseline, which is how inspection sees
//! cloth: in calibrated light.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use calibration::{
    Board, BoardLimits, CameraLimits, ColumnLight, EncoderLimits, EncoderMeasured, LaneProfile,
    LaneScale, LensMeasured, LightMeasured, LineLevels, PlaceMeasured, Profile, Reference,
    ReferenceLimits, ScaleMeasured, Sight, View, Watched, find_board, find_cloth, measure_camera,
    measure_encoder, measure_lens, measure_light, measure_place, measure_scale,
};
use camera::{Captured, Frame, GenicamSettings, Pool, TicksFrom};
use image::{GrayImage, Luma};

use crate::source::SourceSpec;

/// How sources are read.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Frames of a source that are looked at, at most.
    pub most_frames: Option<usize>,
    /// Ends reading when set.
    pub stop: &'a Arc<AtomicBool>,
}

/// Boards that were looked for in a source.
pub struct Boards {
    /// Where they were seen.
    pub views: Vec<View>,
    /// Frames that do not show the whole board.
    pub n_without: usize,
}

/// The kind of a camera, which says what its lens can bend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CameraKind {
    /// A line-scan camera: boards lie flat on the web and cover its width.
    Line,
    /// An area camera: boards are held at various tilts.
    Area,
}

/// The light of a lane, and its first white frame as it was and corrected.
///
/// # Errors
/// When a source cannot be read or the references are refused.
pub fn light(
    reading: Reading<'_>,
    dark: &SourceSpec,
    white: &SourceSpec,
    limits: &ReferenceLimits,
) -> anyhow::Result<(LightMeasured, [GrayImage; 2])> {
    let mut references = [Reference::default(), Reference::default()];
    let mut shown: Option<Frame> = None;
    for (nth, spec) in [dark, white].into_iter().enumerate() {
        each_frame(reading, spec, |frame| {
            references[nth].add(&frame)?;
            if nth == 1 && shown.is_none() {
                shown = Some(frame);
            }
            Ok(())
        })?;
    }
    let measured = measure_light(&references[0], &references[1], limits)?;
    let mut frame = shown.context("found no white frame, expected at least one")?;
    let range = levels_of(&frame);
    let before = picture(&frame, range);
    measured.columns.correct(&mut frame)?;
    Ok((measured, [before, picture(&frame, range)]))
}

/// The scale of a lane, whose lens is the one that `known` has.
///
/// # Errors
/// When a source cannot be read or the boards are refused.
pub fn scale(
    reading: Reading<'_>,
    sources: &[SourceSpec],
    board: &Board,
    known: Option<&LaneProfile>,
    limits: &BoardLimits,
) -> anyhow::Result<(ScaleMeasured, Boards)> {
    let boards = boards_in(reading, sources, board)?;
    let lens = known.and_then(|lane| lane.lens.as_ref());
    let lens = lens.map(|lens| &lens.found.lens);
    let scale = measure_scale(board, &boards.views, lens, limits);
    Ok((scale.with_context(|| boards.told())?, boards))
}

/// The lens of a lane; of a line-scan camera, which sees boards flat, the scale too.
///
/// # Errors
/// When a source cannot be read or the boards are refused.
pub fn lens(
    reading: Reading<'_>,
    sources: &[SourceSpec],
    board: &Board,
    kind: CameraKind,
    (limits, camera_limits): (&BoardLimits, &CameraLimits),
) -> anyhow::Result<(LensMeasured, Option<ScaleMeasured>, Boards)> {
    let boards = boards_in(reading, sources, board)?;
    let views = &boards.views;
    let measured = match kind {
        CameraKind::Line => measure_lens(board, views, limits).and_then(|(lens, _, residual)| {
            let scale = measure_scale(board, views, Some(&lens), limits)?;
            let measured = LensMeasured {
                lens,
                residual: Some(residual),
                camera: None,
            };
            Ok((measured, Some(scale)))
        }),
        CameraKind::Area => measure_camera(board, views, camera_limits).map(|(lens, camera)| {
            let measured = LensMeasured {
                lens,
                residual: None,
                camera: Some(camera),
            };
            (measured, None)
        }),
    };
    let (measured, scale) = measured.with_context(|| boards.told())?;
    Ok((measured, scale, boards))
}

/// The place of the lane with this index, from what it and its left neighbour see of one board; the
/// frames of `left` and `right` belong together in their order.
///
/// # Errors
/// When scales are not known yet, a source cannot be read or the boards are refused.
pub fn place(
    reading: Reading<'_>,
    (left, right): (&SourceSpec, &SourceSpec),
    board: &Board,
    (profile, lane): (&Profile, usize),
    limits: &BoardLimits,
) -> anyhow::Result<PlaceMeasured> {
    ensure!(
        lane > 0,
        "found lane 1, expected 2 or more: lane 1 lies where the station file says, others are placed by their left neighbour"
    );
    let scale_of = |lane: usize| {
        let known = profile.lane(lane);
        let scale = known.and_then(|known| known.scale.as_ref());
        let scale = scale.with_context(|| {
            format!(
                "found no scale of lane {0}, expected `selvedge calibrate scale --lane {0}` first",
                lane + 1
            )
        })?;
        let lens = known.and_then(|known| known.lens.as_ref());
        anyhow::Ok(LaneScale {
            mm_per_px: scale.found.mm_per_px,
            lens: lens.map(|lens| lens.found.lens),
        })
    };
    let (of_left, of_right) = (scale_of(lane - 1)?, scale_of(lane)?);
    let left_place = profile
        .lane(lane - 1)
        .and_then(|known| known.place.as_ref());
    let left_offset_mm = match left_place {
        Some(place) => place.found.offset_mm,
        None => {
            ensure!(
                lane == 1,
                "found no place of lane {lane}, expected `selvedge calibrate lanes --lane {lane}` first"
            );
            0.0
        }
    };
    let [seen_left, seen_right] = [left, right].map(|spec| views_in(reading, spec, board));
    let (seen_left, seen_right) = (seen_left?, seen_right?);
    let n_frames = seen_left.len();
    ensure!(
        n_frames == seen_right.len(),
        "found {n_frames} frames of the left lane and {} of the right one, expected as many, in pairs",
        seen_right.len()
    );
    let both = seen_left.into_iter().zip(seen_right);
    let pairs: Vec<(View, View)> = both.filter_map(|(left, right)| left.zip(right)).collect();
    let of_left = (&of_left, left_offset_mm);
    measure_place(&pairs, of_left, &of_right, limits).with_context(|| {
        let n = pairs.len();
        format!("{n} of {n_frames} pairs of frames show the whole board in both lanes")
    })
}

/// How far a tick of a lane's encoder goes, and whether an encoder counted at all.
///
/// # Errors
/// When a source cannot be read or the passes are refused.
pub fn encoder(
    reading: Reading<'_>,
    sources: &[SourceSpec],
    length_mm: f64,
    limits: &EncoderLimits,
) -> anyhow::Result<(EncoderMeasured, bool)> {
    let mut marks = Vec::new();
    let mut is_counted = true;
    for spec in sources {
        let mut levels = LineLevels::default();
        let ticks = each_frame(reading, spec, |frame| Ok(levels.add(&frame)?))?;
        is_counted &= ticks == TicksFrom::Encoder;
        marks.push(levels.marks());
    }
    Ok((measure_encoder(&marks, length_mm, limits)?, is_counted))
}

/// How cloth looks in a lane, in the light that was calibrated.
///
/// # Errors
/// When a source cannot be read or shows too little cloth.
pub fn baseline(
    reading: Reading<'_>,
    spec: &SourceSpec,
    light: Option<&ColumnLight>,
) -> anyhow::Result<Sight> {
    let mut watched = Watched::default();
    each_frame(reading, spec, |mut frame| {
        if let Some(light) = light {
            light.correct(&mut frame)?;
        }
        match find_cloth(&frame) {
            Some(cloth) => Ok(watched.add(&frame, cloth)?),
            None => Ok(()),
        }
    })?;
    let n = watched.n_frames();
    watched.sight().with_context(|| {
        format!(
            "found {n} frames of cloth, expected at least {}",
            calibration::drift::FEWEST_FRAMES
        )
    })
}

/// Where pictures of a lane's white reference lie, before and after correction.
pub fn picture_paths(profile: &Path, nth: usize) -> [PathBuf; 2] {
    ["before", "after"].map(|when| profile.with_extension(format!("lane{nth}-white-{when}.png")))
}

impl Boards {
    fn told(&self) -> String {
        let n = self.views.len();
        format!("{n} of {} frames show the whole board", n + self.n_without)
    }
}

fn boards_in(
    reading: Reading<'_>,
    sources: &[SourceSpec],
    board: &Board,
) -> anyhow::Result<Boards> {
    let mut boards = Boards {
        views: Vec::new(),
        n_without: 0,
    };
    for spec in sources {
        for view in views_in(reading, spec, board)? {
            boards.n_without += usize::from(view.is_none());
            boards.views.extend(view);
        }
    }
    Ok(boards)
}

/// The board in each frame of a source.
fn views_in(
    reading: Reading<'_>,
    spec: &SourceSpec,
    board: &Board,
) -> anyhow::Result<Vec<Option<View>>> {
    let mut views = Vec::new();
    each_frame(reading, spec, |frame| {
        views.push(find_board(board, &frame)?);
        Ok(())
    })?;
    Ok(views)
}

/// Hands the frames of a source to `see`; says what counts its ticks.
fn each_frame(
    reading: Reading<'_>,
    spec: &SourceSpec,
    mut see: impl FnMut(Frame) -> anyhow::Result<()>,
) -> anyhow::Result<TicksFrom> {
    // What a camera is set to is the camera's here: a profile belongs to it as it stands.
    let mut source = spec
        .open(0, &GenicamSettings::default(), reading.stop)?
        .source;
    let description = source.description().clone();
    ensure!(
        !description.live || reading.most_frames.is_some(),
        "found a live source, {}, expected --frames to say how much of it is looked at",
        description.name
    );
    // One frame may be kept while the next one is read.
    let pool = Pool::new(2, description.shape.n_bytes());
    let mut n_frames = 0;
    while reading.most_frames.is_none_or(|most| n_frames < most) {
        match source.next(&pool)? {
            Some(Captured::Frame(frame)) => {
                n_frames += 1;
                see(frame).with_context(|| format!("{}, frame {n_frames}", description.name))?;
            }
            Some(Captured::Lost(lost)) => {
                tracing::warn!(
                    source = description.name,
                    detail = lost.detail,
                    "a frame could not be had"
                );
            }
            None => break,
        }
    }
    ensure!(
        n_frames > 0,
        "found no frame in {}, expected at least one",
        description.name
    );
    Ok(description.ticks)
}

/// Rows of a frame that are drawn, at most.
const MOST_ROWS: u32 = 512;

/// Levels from the darkest to the brightest column, with a tenth to each side: what is drawn from
/// black to white, so that small differences show.
fn levels_of(frame: &Frame) -> [f32; 2] {
    let mut sums = vec![0.0f32; frame.width() as usize];
    let mut row = sums.clone();
    let n_rows = frame.height().min(MOST_ROWS);
    for row_idx in 0..n_rows {
        frame.grey_row_into(row_idx, &mut row);
        sums.iter_mut()
            .zip(&row)
            .for_each(|(sum, level)| *sum += level);
    }
    let means = sums.iter().map(|sum| sum / n_rows.max(1) as f32);
    let low = means.clone().fold(255.0, f32::min);
    let high = means.fold(0.0, f32::max);
    let margin = ((high - low) / 10.0).max(1.0);
    [low - margin, high + margin]
}

fn picture(frame: &Frame, [low, high]: [f32; 2]) -> GrayImage {
    let mut row = vec![0.0; frame.width() as usize];
    let mut picture = GrayImage::new(frame.width(), frame.height().min(MOST_ROWS));
    for row_idx in 0..picture.height() {
        frame.grey_row_into(row_idx, &mut row);
        for (column, level) in (0..).zip(&row) {
            let shown = ((level - low) / (high - low) * 255.0).round();
            picture.put_pixel(column, row_idx, Luma([shown as u8]));
        }
    }
    picture
}
