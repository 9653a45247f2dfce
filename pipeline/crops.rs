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
