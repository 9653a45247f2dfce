//! One image file becomes packed grey or RGB samples.
//!
//! ```text
//! file ──▶ format by content ──▶ header, within limits ──▶ samples
//! ```
//!
//! Content decides the format, not the extension. Grey and RGB decode straight into the
//! caller's bytes; alpha is dropped and a bitmap whose palette is all grey becomes grey,
//! both by way of a scratch buffer. Files are hostile until decoded: sizes have limits,
//! a decoder that panics has refused the file. JPEG and BMP have no checksum: damage that
//! still decodes, such as a few blocks gone from the middle of a JPEG, is not noticed.
//! Other sample types than 8 and 16 bit are refused.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::{Channels, Depth, FrameShape};

/// An image whose header has been read.
pub(super) struct Decoder {
    inner: Inner,
    shape: FrameShape,
    /// Samples per pixel that the decoder writes; the first ones of them are kept.
    n_decoded: usize,
}

enum Inner {
    /// `image` decodes JPEG leniently: damage becomes grey in silence, which would be
    /// cloth that nobody looked at. So the decoder below it is asked strictly.
    Jpeg(Box<JpegDecoder<ZCursor<Vec<u8>>>>),
    Other(Box<dyn ImageDecoder>),
}

/// Why a file is not taken; reads on after its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(String);

/// The widest line-scan camera has 16,384 pixels, four of them side by side this many.
const MAX_SIDE: u32 = 65_535;
/// Room for a block of 16,384 lines from such a camera in colour.
const MAX_BYTES: u64 = 1 << 30;
/// Enough of a JPEG file for its header, unless it carries profiles or thumbnails.
const JPEG_HEADER_BYTES: u64 = 64 << 10;
const EXPECTED: &str = "expected png, jpeg, tiff, bmp or webp";

impl Decoder {
    /// Reads the header, and no more of the file than that takes.
    pub(super) fn header(path: &Path) -> Result<FrameShape, Refusal> {
        guarded(|| {
            let (file, format) = open_file(path)?;
            if format == ImageFormat::Jpeg {
                let mut start = Vec::new();
                let read = file.take(JPEG_HEADER_BYTES).read_to_end(&mut start);
                read.map_err(|error| Refusal::cannot_read(&error))?;
                if let Ok(decoder) = Self::jpeg(start) {
                    return Ok(decoder.shape);
                }
            }
            Self::open_unguarded(path).map(|decoder| decoder.shape)
        })
    }

    /// Opens the file for decoding.
    pub(super) fn open(path: &Path) -> Result<Self, Refusal> {
        guarded(|| Self::open_unguarded(path))
    }

    /// What the samples will be like.
    pub(super) fn shape(&self) -> FrameShape {
        self.shape
    }

    /// Decodes into `out`, which has exactly `shape().n_bytes()` bytes. `scratch` is used
    /// where samples have to be dropped, and may be used again for the next file.
    pub(super) fn decode_into(self, out: &mut [u8], scratch: &mut Vec<u8>) -> Result<(), Refusal> {
        let Self {
            inner,
            shape,
            n_decoded,
        } = self;
        let n_kept = shape.channels.count();
        guarded(|| {
            let inner = match inner {
                Inner::Jpeg(mut decoder) => {
                    return decoder
                        .decode_into(out)
                        .map_err(|error| Refusal::bad_jpeg(&error));
                }
                Inner::Other(inner) => inner,
            };
            if n_decoded == n_kept {
                return inner
                    .read_image_boxed(out)
                    .map_err(|error| Refusal::undecodable(&error));
            }
            scratch.resize(out.len() / n_kept * n_decoded, 0);
            inner
                .read_image_boxed(scratch)
                .map_err(|error| Refusal::undecodable(&error))?;
            let n_bytes = shape.depth.n_bytes();
            keep_first(scratch, n_decoded * n_bytes, n_kept * n_bytes, out);
            Ok(())
        })
    }

    fn open_unguarded(path: &Path) -> Result<Self, Refusal> {
        let (mut file, format) = open_file(path)?;
        if format != ImageFormat::Jpeg {
            return Self::over(file, format);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| Refusal::cannot_read(&error))?;
        if !jpeg_is_whole(&bytes) {
            return Err(Refusal(
                "is a truncated jpeg: its end marker is missing".into(),
            ));
        }
        Self::jpeg(bytes)
    }

    /// Grey stays grey, everything else becomes RGB.
    fn jpeg(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let options = DecoderOptions::new_cmd()
            .set_strict_mode(true)
            .set_max_width(MAX_SIDE as usize)
            .set_max_height(MAX_SIDE as usize);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder
            .decode_headers()
            .map_err(|error| Refusal::bad_jpeg(&error))?;
        let (channels, space) = match decoder.input_colorspace() {
            Some(ColorSpace::Luma) => (Channels::Grey, ColorSpace::Luma),
            Some(_) | None => (Channels::Rgb, ColorSpace::RGB),
        };
        decoder.set_options(options.jpeg_set_out_colorspace(space));
        let (width, height) = decoder.dimensions().unwrap_or_default();
        let shape = FrameShape {
            // The format has 16 bits for a side.
            width: width as u32,
            height: height as u32,
            channels,
            depth: Depth::Eight,
        };
        Self {
            inner: Inner::Jpeg(Box::new(decoder)),
            shape,
            n_decoded: channels.count(),
        }
        .within_limits()
    }

    fn over<R: BufRead + Seek + 'static>(reader: R, format: ImageFormat) -> Result<Self, Refusal> {
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_BYTES);

        let mut grey_palette = false;
        let inner: Box<dyn ImageDecoder> = if format == ImageFormat::Bmp {
            let decoder = BmpDecoder::new(reader).map_err(|error| Refusal::undecodable(&error))?;
            grey_palette = decoder
                .get_palette()
                .is_some_and(|palette| palette.iter().all(|[r, g, b]| r == g && g == b));
            Box::new(decoder)
        } else {
            let mut reader = ImageReader::with_format(reader, format);
            reader.limits(limits);
            Box::new(
                reader
                    .into_decoder()
                    .map_err(|error| Refusal::undecodable(&error))?,
            )
        };

        let (channels, depth, n_decoded) = layout(inner.color_type())?;
        let channels = if grey_palette {
            Channels::Grey
        } else {
            channels
        };
        let (width, height) = inner.dimensions();
        let shape = FrameShape {
            width,
            height,
            channels,
            depth,
        };
        Self {
            inner: Inner::Other(inner),
            shape,
            n_decoded,
        }
        .within_limits()
    }

    fn within_limits(self) -> Result<Self, Refusal> {
        let FrameShape {
            width,
            height,
            depth,
            ..
        } = self.shape;
        if width == 0 || height == 0 {
            return Err(Refusal(format!(
                "is {width}x{height}, expected at least one pixel"
            )));
        }
        let n_samples = u64::from(width) * u64::from(height) * self.n_decoded as u64;
        if width > MAX_SIDE || height > MAX_SIDE || n_samples * depth.n_bytes() as u64 > MAX_BYTES {
            return Err(Refusal(format!(
                "says it is {width}x{height}, expected at most {MAX_SIDE} px a side and {} MiB",
                MAX_BYTES >> 20
            )));
        }
        Ok(self)
    }
}

impl Refusal {
    /// A readable image which is not like the others.
    pub(super) fn other_shape(found: FrameShape, expected: &str) -> Self {
        Self(format!("is {found}, expected {expected}"))
    }

    fn cannot_read(error: &std::io::Error) -> Self {
        Self(format!("cannot be read: {error}"))
    }

    fn bad_jpeg(error: &DecodeErrors) -> Self {
        Self(format!("cannot be decoded as jpeg: {error}"))
    }

    fn undecodable(error: &image::ImageError) -> Self {
        if let image::ImageError::Limits(limits) = error {
            let most = MAX_BYTES >> 20;
            return Self(format!(
                "is too large ({limits}), expected at most {MAX_SIDE} px a side and {most} MiB"
            ));
        }
        Self(format!("cannot be decoded: {error}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Opens a file at its start and tells its format from its first bytes.
fn open_file(path: &Path) -> Result<(BufReader<File>, ImageFormat), Refusal> {
    let cannot_read = |error| Refusal::cannot_read(&error);
    let file = File::open(path).map_err(cannot_read)?;
    let metadata = file.metadata().map_err(cannot_read)?;
    if !metadata.is_file() {
        return Err(Refusal(format!("is no regular file, {EXPECTED}")));
    }
    match metadata.len() {
        0 => return Err(Refusal(format!("is empty, {EXPECTED}"))),
        n if n > MAX_BYTES => {
            let limit = MAX_BYTES >> 20;
            return Err(Refusal(format!(
                "has {} MiB, expected at most {limit}",
                n >> 20
            )));
        }
        _ => {}
    }
    let reader = ImageReader::new(BufReader::new(file));
    let reader = reader.with_guessed_format().map_err(cannot_read)?;
    match reader.format() {
        Some(
            format @ (ImageFormat::Png
            | ImageFormat::Jpeg
            | ImageFormat::Tiff
            | ImageFormat::Bmp
            | ImageFormat::WebP),
        ) => {
            let mut file = reader.into_inner();
            file.rewind().map_err(cannot_read)?;
            Ok((file, format))
        }
        Some(other) => Err(Refusal(format!("is {other:?}, {EXPECTED}"))),
        None => Err(Refusal(format!("is no image, {EXPECTED}"))),
    }
}

/// What is kept of a decoder's samples, and how many samples a pixel has there.
fn layout(color: ColorType) -> Result<(Channels, Depth, usize), Refusal> {
    let n_decoded = usize::from(color.channel_count());
    let channels = if color.has_color() {
        Channels::Rgb
    } else {
        Channels::Grey
    };
    let depth = match color {
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => Depth::Eight,
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => Depth::Sixteen,
        other @ (ColorType::Rgb32F | ColorType::Rgba32F | _) => {
            return Err(Refusal(format!(
                "has {other:?} samples, expected 8 or 16 bit integers"
            )));
        }
    };
    Ok((channels, depth, n_decoded))
}

/// Even a strict decoder does not miss the last few blocks. An end marker cannot stand inside a scan, so a whole file has one
/// after its last start of scan.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    match (last(0xda), last(0xd9)) {
        (Some(scan), Some(end)) => scan < end,
        (None, _) | (_, None) => false,
    }
}

/// Copies the first `n_kept` of every `n_decoded` bytes.
fn keep_first(decoded: &[u8], n_decoded: usize, n_kept: usize, out: &mut [u8]) {
    for (kept, pixel) in out
        .chunks_exact_mut(n_kept)
        .zip(decoded.chunks_exact(n_decoded))
    {
        kept.copy_from_slice(&pixel[..n_kept]);
    }
}

/// Runs a decoder over bytes that nobody vouches for.
fn guarded<T>(decode: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    // Nothing outlives a panic here but the caller's pixels, which a refusal discards.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        Err(Refusal(
            "cannot be decoded: the decoder panicked on it".into(),
        ))
    })
}
