//! The picture of a flaw, as the camera gave it.
//!
//! Lossless, uncorrected and with a margin, so that a person sees what the camera saw and a
//! verdict can teach. It is cut from the frame while that is at hand, and encoded only when its flaw
//! is written: one that runs over many frames keeps the picture of its highest score alone.

use std::ops::Range;
use std::sync::Arc;

use camera::{Channels, Depth};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError};
use models::CELL_PX;
use store::{CropPlace, Rect};

use crate::flaws::Region;
use crate::judging::SeenFrame;
use crate::stitch::Cutout;

/// Pixels around a flaw in its crop.
const CROP_MARGIN_PX: u32 = 48;
/// Largest side of a crop, in pixels.
const CROP_MOST_PX: u32 = 512;

/// The picture of a region of `lane`.
pub fn cut(lane: usize, seen: &SeenFrame, region: &Region) -> Arc<Cutout> {
    let frame = &seen.head.frame;
    let side = |cells: &Range<usize>, peak: usize, most: u32| {
        let start = (cells.start * CELL_PX) as u32;
        let end = ((cells.end * CELL_PX) as u32).min(most);
        let start = start.saturating_sub(CROP_MARGIN_PX);
        let end = (end + CROP_MARGIN_PX).min(most);
        if end - start <= CROP_MOST_PX {
            return start..end;
        }
        let centre = (peak * CELL_PX) as u32;
        let from = centre
            .saturating_sub(CROP_MOST_PX / 2)
            .clamp(start, end - CROP_MOST_PX);
        from..from + CROP_MOST_PX
    };
    let x = side(&region.cols, region.peak.1, frame.width());
    let y = side(&region.rows, region.peak.0, frame.height());
    let shape = frame.shape();
    let sample = shape.channels.count() * shape.depth.n_bytes();
    let stride = frame.width() as usize * sample;
    let mut samples = Vec::with_capacity(x.len() * y.len() * sample);
    for row in y.clone() {
        let line = &frame.bytes()[row as usize * stride..][..stride];
        samples.extend_from_slice(&line[x.start as usize * sample..x.end as usize * sample]);
    }
    Arc::new(Cutout {
        samples,
        samples_of: (shape.channels, shape.depth),
        lane: lane as u16,
        frame: frame.sequence,
        x: x.start,
        y: y.start,
        width: x.len() as u32,
        height: y.len() as u32,
        margin: CROP_MARGIN_PX,
    })
}

/// How pixels of a lane lie on the web, in micrometres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PxScale {
    /// Of a pixel, across.
    pub across_um: f64,
    /// Of a line, along.
    pub along_um: f64,
    /// Where the first column lies.
    pub offset_um: i64,
}

/// Where in its crop a flaw lies whose box on the web is `flaw`: columns and rows from the crop's top
/// left, half-open. `frames` are the ranges along that frames took up where the flaw lies; rows are
/// `None` where no one of them is the crop's.
///
/// A side that is the crop's own says nothing: the flaw may go on beyond it.
pub fn place_in_crop(
    crop: &CropPlace,
    flaw: &Rect,
    frames: impl IntoIterator<Item = Range<i64>>,
    scale: &PxScale,
) -> (Range<u32>, Option<Range<u32>>) {
    let px = |um: i64, um_per_px: f64| (um as f64 / um_per_px).round() as i64;
    let within = |from: i64, to: i64, size: u32| {
        let size = i64::from(size);
        from.clamp(0, size) as u32..to.clamp(0, size) as u32
    };
    let column = |um: i64| px(um - scale.offset_um, scale.across_um) - i64::from(crop.x_px);
    let across = flaw.across();
    let columns = within(column(across.start), column(across.end), crop.width_px);

    let margin = i64::from(crop.margin_px);
    // Which frame a crop was cut from is not kept: rows are told where all that can be agree.
    let mut rows = frames.into_iter().filter_map(|frame| {
        let height = px(frame.end - frame.start, scale.along_um);
        let line = |um: i64| px(um - frame.start, scale.along_um).clamp(0, height);
        let [start, end] = [flaw.along().start, flaw.along().end].map(line);
        let top = i64::from(crop.y_px);
        let bottom = top + i64::from(crop.height_px);
        // What would have been cut from this frame is what was.
        let is_near = |one: i64, other: i64| (one - other).abs() <= CELL_PX as i64;
        let is_cut_here =
            is_near(top, (start - margin).max(0)) && is_near(bottom, (end + margin).min(height));
        (start < end && is_cut_here).then(|| within(start - top, end - top, crop.height_px))
    });
    // More than a crop may hold was cut around its peak, wherever that is.
    let first = rows.next().filter(|_| crop.height_px < CROP_MOST_PX);
    let rows = first.filter(|first| rows.all(|other| other == *first));
    (columns, rows)
}

/// A cutout as a PNG file.
///
/// # Errors
/// What the encoder says.
pub fn png(cutout: &Cutout) -> Result<Vec<u8>, ImageError> {
    let kind = match cutout.samples_of {
        (Channels::Grey, Depth::Eight) => ExtendedColorType::L8,
        (Channels::Grey, Depth::Sixteen) => ExtendedColorType::L16,
        (Channels::Rgb, Depth::Eight) => ExtendedColorType::Rgb8,
        (Channels::Rgb, Depth::Sixteen) => ExtendedColorType::Rgb16,
    };
    let mut png = Vec::new();
    // Trying every filter on every row costs four times as much and saves little of a texture.
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Up).write_image(
        &cutout.samples,
        cutout.width,
        cutout.height,
        kind,
    )?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: PxScale = PxScale {
        across_um: 200.0,
        along_um: 100.0,
        offset_um: 40_000,
    };

    /// Where a flaw lies of which these columns and lines of the second frame of 256 lines and 1024
    /// columns are flagged.
    fn place(columns: Range<u32>, lines: Range<u32>) -> (Range<u32>, Option<Range<u32>>) {
        let cut = |px: &Range<u32>, most: u32| {
            px.start.saturating_sub(CROP_MARGIN_PX)..(px.end + CROP_MARGIN_PX).min(most)
        };
        let (x, y) = (cut(&columns, 1024), cut(&lines, 256));
        let crop = CropPlace {
            lane: 0,
            frame: 1,
            x_px: x.start,
            y_px: y.start,
            width_px: x.len() as u32,
            height_px: y.len() as u32,
            margin_px: CROP_MARGIN_PX,
        };
        let um = |px: u32, um_per_px: i64, from: i64| i64::from(px) * um_per_px + from;
        let across = um(columns.start, 200, 40_000)..um(columns.end, 200, 40_000);
        let along = um(lines.start, 100, 25_600)..um(lines.end, 100, 25_600);
        let flaw = Rect::new(along, across).unwrap();
        place_in_crop(&crop, &flaw, [0..25_600, 25_600..51_200], &SCALE)
    }

    #[test]
    fn a_flaw_is_found_again_in_its_crop_wherever_its_frame_ends() {
        assert_eq!(place(200..240, 100..120), (48..88, Some(48..68)));
        // At the left and the top; at the right and the bottom; in all of the frame's height.
        assert_eq!(place(8..16, 4..40), (8..16, Some(4..40)));
        assert_eq!(place(1000..1020, 240..252), (48..68, Some(48..60)));
        assert_eq!(place(100..104, 40..216), (48..52, Some(40..216)));
    }

    #[test]
    fn rows_of_a_frame_that_is_not_the_crop_s_are_not_told() {
        let crop = CropPlace {
            lane: 0,
            frame: 5,
            x_px: 0,
            y_px: 30,
            width_px: 100,
            height_px: 100,
            margin_px: CROP_MARGIN_PX,
        };
        let flaw = Rect::new(10_000..11_000, 40_000..42_000).unwrap();
        let (columns, rows) = place_in_crop(&crop, &flaw, [0..25_600, 25_600..51_200], &SCALE);
        assert_eq!((columns, rows), (0..10, None));
    }
}
