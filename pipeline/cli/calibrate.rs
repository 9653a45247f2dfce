//! `selvedge calibrate`: what a station's cameras see, measured once and kept in its profile.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use calibration::{
    BOARD_LIMITS, Board, BoardLimits, CAMERA_LIMITS, CameraLimits, Dated, ENCODER_LIMITS,
    EncoderLimits, LaneProfile, Profile, REFERENCE_LIMITS, ReferenceLimits, Residual,
    ScaleMeasured,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Outcome, name, say, say_json};
use crate::calibrating::{self, CameraKind, Reading, picture_paths};
use crate::source::SourceSpec;
use crate::teach::now;

#[derive(Debug, Subcommand)]
pub(super) enum CalibrateCommand {
    /// Columns made equally bright, from a dark and a white reference.
    Light(LightArgs),
    /// Millimetres per pixel and per line, from a chessboard that lies flat.
    Scale(ScaleArgs),
    /// How the lens bends columns, from chessboards.
    Lens(LensArgs),
    /// Where a lane lies, from a chessboard that it and its left neighbour see.
    Lanes(LanesArgs),
    /// How far a tick of the encoder goes, from marks a known length apart.
    Encoder(EncoderArgs),
    /// How an article looks now, to notice later what has drifted.
    Baseline(BaselineArgs),
}

/// What is measured, and where it is kept.
#[derive(Debug, Args)]
struct Target {
    /// The station's profile; made where it is not there yet.
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// The lane, from 1 at the left.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    lane: u16,
    /// Looks at so many frames of a source, at most; a live source needs it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    frames: Option<u32>,
    /// Prints what was measured as JSON.
    #[arg(long)]
    json: bool,
}

/// The board, and how well it must fit.
#[derive(Debug, Args)]
struct BoardArgs {
    /// Inner corners across and along, such as 9x6.
    #[arg(long, value_name = "COLSxROWS")]
    board: Corners,
    /// Side of a square, in mm.
    #[arg(long, value_name = "MM")]
    square_mm: f64,
    /// Refuses a larger root mean square of the residual, in mm.
    #[arg(long, value_name = "MM", default_value_t = BOARD_LIMITS.most_rms_mm)]
    max_rms_mm: f64,
    /// Refuses a larger residual of a single corner, in mm.
    #[arg(long, value_name = "MM", default_value_t = BOARD_LIMITS.most_mm)]
    max_mm: f64,
    /// Refuses a larger angle between lines and columns, off a right one, in degrees.
    #[arg(long, value_name = "DEGREES", default_value_t = BOARD_LIMITS.most_skew_degrees)]
    max_skew_degrees: f64,
}

#[derive(Clone, Copy, Debug)]
struct Corners(usize, usize);

#[derive(Debug, Args)]
pub(super) struct LightArgs {
    /// Frames with the cap on the lens.
    #[arg(long, value_name = "SOURCE")]
    dark: SourceSpec,
    /// Frames of an even white target; move it while they are taken.
    #[arg(long, value_name = "SOURCE")]
    white: SourceSpec,
    /// Refuses more unevenness that remains, rms in %.
    #[arg(long, value_name = "PERCENT", default_value_t = REFERENCE_LIMITS.most_left_percent)]
    max_left_percent: f32,
    /// Refuses a larger share of dead columns, in %.
    #[arg(long, value_name = "PERCENT", default_value_t = REFERENCE_LIMITS.most_dead_share * 100.0)]
    max_dead_percent: f32,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct ScaleArgs {
    /// Frames that show the whole board, flat on the web.
    #[arg(long, value_name = "SOURCE", required = true)]
    from: Vec<SourceSpec>,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct LensArgs {
    /// Frames that show the whole board.
    #[arg(long, value_name = "SOURCE", required = true)]
    from: Vec<SourceSpec>,
    /// The camera: a line-scan camera sees boards flat, over its width; an area camera sees them
    /// at various tilts.
    #[arg(long, value_name = "KIND")]
    camera: CameraKind,
    /// Refuses a larger reprojection error of an area camera, in pixels.
    #[arg(long, value_name = "PX", default_value_t = CAMERA_LIMITS.most_reprojection_px)]
    max_reprojection_px: f64,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct LanesArgs {
    /// Frames of the left neighbour of --lane that show the whole board.
    #[arg(long, value_name = "SOURCE")]
    left: SourceSpec,
    /// Frames of --lane itself, of the same board in the same places, in the same order.
    #[arg(long, value_name = "SOURCE")]
    right: SourceSpec,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct EncoderArgs {
    /// Length between neighbouring marks, in mm.
    #[arg(long, value_name = "MM")]
    length_mm: f64,
    /// Cloth with marks across it; may be given again for further passes.
    #[arg(long, value_name = "SOURCE", required = true)]
    from: Vec<SourceSpec>,
    /// Refuses fewer passes from mark to mark.
    #[arg(long, value_name = "N", default_value_t = ENCODER_LIMITS.fewest_passes)]
    min_passes: u32,
    /// Refuses passes that differ more from the length, in % of it.
    #[arg(long, value_name = "PERCENT", default_value_t = ENCODER_LIMITS.most_percent)]
    max_percent: f64,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(super) struct BaselineArgs {
    /// Name of the article.
    #[arg(long)]
    article: String,
    /// Good cloth of it.
    #[arg(long, value_name = "SOURCE")]
    from: SourceSpec,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(command: &CalibrateCommand, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    match command {
        CalibrateCommand::Light(args) => light(args, stop),
        CalibrateCommand::Scale(args) => scale(args, stop),
        CalibrateCommand::Lens(args) => lens(args, stop),
        CalibrateCommand::Lanes(args) => lanes(args, stop),
        CalibrateCommand::Encoder(args) => encoder(args, stop),
        CalibrateCommand::Baseline(args) => baseline(args, stop),
    }
}

fn light(args: &LightArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let mut profile = args.target.read()?;
    let limits = ReferenceLimits {
        most_left_percent: args.max_left_percent,
        most_dead_share: args.max_dead_percent / 100.0,
        ..REFERENCE_LIMITS
    };
    let reading = args.target.reading(stop);
    let (found, pictures) = calibrating::light(reading, &args.dark, &args.white, &limits)?;
    let paths = picture_paths(&args.target.profile, args.target.lane.into());
    let told = format!(
        "light of {} columns: dark {:.1}, white {:.1} of 255\n  uneven by {:.2} % ({:.2} % at most), corrected {:.2} % ({:.2} % at most)\n  dead columns: {}\n  pictures, drawn alike: {}, {}",
        found.columns.width(),
        found.dark_level,
        found.white_level,
        found.before.rms_percent,
        found.before.most_percent,
        found.after.rms_percent,
        found.after.most_percent,
        match found.columns.dead() {
            [] => "none".to_owned(),
            dead => format!("{}: {dead:?}", dead.len()),
        },
        paths[0].display(),
        paths[1].display(),
    );
    for (picture, path) in pictures.iter().zip(&paths) {
        let cannot = || format!("{path:?} cannot be written");
        picture.save(path).with_context(cannot)?;
    }
    args.target.lane_of(&mut profile)?.light = Some(dated(found.clone()));
    args.target.keep(profile, &told, &found)
}

fn scale(args: &ScaleArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let mut profile = args.target.read()?;
    let board = args.board.board()?;
    let lane = args.target.lane_of(&mut profile)?;
    let reading = args.target.reading(stop);
    let limits = args.board.limits();
    let (found, boards) = calibrating::scale(reading, &args.from, &board, Some(lane), &limits)?;
    lane.scale = Some(dated(found));
    let told = format!(
        "{}\n  {}",
        told_scale(&found),
        told_without(boards.n_without)
    );
    args.target.keep(profile, &told, &found)
}

fn lens(args: &LensArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let mut profile = args.target.read()?;
    let board = args.board.board()?;
    let camera_limits = CameraLimits {
        most_reprojection_px: args.max_reprojection_px,
        ..CAMERA_LIMITS
    };
    let (found, scale, boards) = calibrating::lens(
        args.target.reading(stop),
        &args.from,
        &board,
        args.camera,
        (&args.board.limits(), &camera_limits),
    )?;
    let mut told = format!(
        "lens: columns are moved by up to {:.2} px",
        found.lens.largest_bend_px()
    );
    if let Some(residual) = found.residual {
        told += &format!(", residual {}", told_residual(residual));
    }
    if let Some(camera) = found.camera {
        told += &format!(
            "\n  reprojection error {:.3} px rms over {} pictures, focal length {:.0} x {:.0} px\n  the columns' polynomial is off by {:.3} px in the middle row, other rows by up to {:.2} px",
            camera.reprojection_px,
            camera.n_views,
            camera.focal_px[0],
            camera.focal_px[1],
            camera.columns_off_px,
            camera.rows_off_px
        );
    }
    let lane = args.target.lane_of(&mut profile)?;
    lane.lens = Some(dated(found));
    // A scale that was measured behind another lens is none behind this one.
    let had_scale = lane.scale.take().is_some();
    lane.scale = scale.map(dated);
    told += &match scale {
        Some(scale) => format!("\n  {}", told_scale(&scale)),
        None if had_scale => {
            "\n  the scale that was kept is dropped: `selvedge calibrate scale` measures it behind this lens"
                .to_owned()
        }
        None => "\n  next: `selvedge calibrate scale`, behind this lens".to_owned(),
    };
    told += &format!("\n  {}", told_without(boards.n_without));
    args.target.keep(profile, &told, &found)
}

fn lanes(args: &LanesArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let mut profile = args.target.read()?;
    let lane = usize::from(args.target.lane) - 1;
    let found = calibrating::place(
        args.target.reading(stop),
        (&args.left, &args.right),
        &args.board.board()?,
        (&profile, lane),
        &args.board.limits(),
    )?;
    args.target.lane_of(&mut profile)?.place = Some(dated(found));
    let told = format!(
        "begins at {:.3} mm, residual {} over {} pictures",
        found.offset_mm,
        told_residual(found.residual),
        found.n_views
    );
    args.target.keep(profile, &told, &found)
}

fn encoder(args: &EncoderArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let mut profile = args.target.read()?;
    let limits = EncoderLimits {
        fewest_passes: args.min_passes,
        most_percent: args.max_percent,
    };
    let reading = args.target.reading(stop);
    let (found, is_counted) = calibrating::encoder(reading, &args.from, args.length_mm, &limits)?;
    args.target.lane_of(&mut profile)?.encoder = Some(dated(found));
    let mut told = format!(
        "encoder: {:.6} mm per tick over {} passes of {} mm, which differ by {:.3} mm rms, {:.3} mm at most",
        found.mm_per_tick, found.n_passes, found.length_mm, found.rms_mm, found.max_mm
    );
    if !is_counted {
        told += "\n  no encoder counted here: a tick is a line of these pictures";
    }
    args.target.keep(profile, &told, &found)
}

fn baseline(args: &BaselineArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let article = name(&args.article, "article")?;
    let mut profile = args.target.read()?;
    let lane = args.target.lane_of(&mut profile)?;
    let light = lane.light.as_ref().map(|light| &light.found.columns);
    let found = calibrating::baseline(args.target.reading(stop), &args.from, light)?;
    let told = format!(
        "article {:?} looks like this now: mean level {:.1} of 255, sharpness {:.3}, over {} frames",
        article.as_str(),
        found.mean_level,
        found.focus,
        found.n_frames
    );
    let kept = dated(found.clone());
    lane.baselines.insert(article.as_str().to_owned(), kept);
    args.target.keep(profile, &told, &found)
}

impl Target {
    fn reading<'a>(&self, stop: &'a Arc<AtomicBool>) -> Reading<'a> {
        Reading {
            most_frames: self.frames.map(|n| n as usize),
            stop,
        }
    }

    /// Looked at first: a damaged profile must not be found out after an hour of work.
    fn read(&self) -> anyhow::Result<Profile> {
        let kept = Profile::read(&self.profile)?;
        Ok(kept.map(|kept| kept.profile).unwrap_or_default())
    }

    fn lane_of<'a>(&self, profile: &'a mut Profile) -> anyhow::Result<&'a mut LaneProfile> {
        Ok(profile.lane_mut(usize::from(self.lane) - 1)?)
    }

    fn keep(
        &self,
        mut profile: Profile,
        told: &str,
        found: &impl Serialize,
    ) -> anyhow::Result<Outcome> {
        profile.written_at = now();
        let kept = profile.write(&self.profile)?;
        if self.json {
            say_json(&serde_json::json!({
                "lane": self.lane,
                "found": found,
                "profile": self.profile,
                "sha256": kept.digest,
            }))?;
        } else {
            say(&format!("lane {}: {told}", self.lane))?;
            say(&format!(
                "  accepted and kept in {}",
                self.profile.display()
            ))?;
        }
        Ok(Outcome::Clean)
    }
}

impl BoardArgs {
    fn board(&self) -> anyhow::Result<Board> {
        Ok(Board::new(self.board.0, self.board.1, self.square_mm)?)
    }

    fn limits(&self) -> BoardLimits {
        BoardLimits {
            most_rms_mm: self.max_rms_mm,
            most_mm: self.max_mm,
            most_skew_degrees: self.max_skew_degrees,
        }
    }
}

impl FromStr for Corners {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('x');
        let number = |text: &str| text.parse().ok();
        parts
            .and_then(|(columns, rows)| Some(Self(number(columns)?, number(rows)?)))
            .ok_or_else(|| format!("found {text:?}, expected inner corners such as 9x6"))
    }
}

fn dated<T>(found: T) -> Dated<T> {
    Dated {
        measured_at: now(),
        found,
    }
}

fn told_scale(scale: &ScaleMeasured) -> String {
    format!(
        "scale: {:.6} mm per pixel across, {:.6} mm per line along, residual {} over {} pictures, lines off square by {:.2} degrees",
        scale.mm_per_px,
        scale.mm_per_line,
        told_residual(scale.residual),
        scale.n_views,
        scale.skew_degrees.abs()
    )
}

fn told_residual(residual: Residual) -> String {
    format!(
        "{:.3} mm rms, {:.3} mm at most",
        residual.rms_mm, residual.max_mm
    )
}

fn told_without(n_without: usize) -> String {
    match n_without {
        0 => "every frame shows the whole board".to_owned(),
        n => format!("{n} frames do not show the whole board and were left out"),
    }
}
