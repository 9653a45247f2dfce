//! One image from one camera, with its place in time and along the web.
//!
//! A line-scan camera's frame is a block of lines, an area camera's frame a picture;
//! both say which encoder ticks they cover. Pixels live in a pool's buffer and go home
//! when the frame is dropped. Samples are interleaved and rows are packed without
//! padding. Nothing here is calibrated: that is the next stage's work.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use crate::CameraError;
use crate::pool::Buffer;

/// What comes of one exposure.
#[derive(Debug)]
pub enum Captured {
    /// Pixels.
    Frame(Frame),
    /// No pixels, and why.
    Lost(Lost),
}

/// One image with its place.
#[derive(Debug)]
pub struct Frame {
    /// Index of the camera in its station.
    pub camera: u16,
    /// Counts every exposure of the source from 0, lost ones included.
    pub sequence: u64,
    /// Encoder positions, first line .. one past the last line.
    pub ticks: Range<i64>,
    /// When it was exposed; for a file, when the file was last written.
    pub taken_at: SystemTime,
    /// File name, for messages.
    pub origin: Option<Arc<str>>,
    shape: FrameShape,
    pixels: Buffer,
}

/// An exposure without pixels: the cloth of `ticks` was not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Index of the camera in its station.
    pub camera: u16,
    /// Counts every exposure of the source from 0, lost ones included.
    pub sequence: u64,
    /// Encoder positions of the cloth that was not seen, half-open.
    pub ticks: Range<i64>,
    /// Why, for the ledger.
    pub reason: LostReason,
    /// Why, for a person: what was found and what was expected.
    pub detail: String,
    /// File name, for messages.
    pub origin: Option<Arc<str>>,
}

/// Why an exposure has no pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LostReason {
    /// A file that cannot be decoded, or is not like the rest of its roll.
    Unreadable,
    /// The camera exposed and the frame never arrived.
    FrameLost,
    /// The camera itself is gone.
    CameraLost,
    /// The frame came, and nobody was ready for it.
    Overload,
    /// How far the cloth ran here cannot be told; its ticks only mark the place.
    UnknownLength,
}

/// Samples per pixel. Alpha never gets here: it is dropped on decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// One sample.
    Grey,
    /// Red, green, blue, interleaved.
    Rgb,
}

/// Bits per sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    /// One byte.
    Eight,
    /// A native-endian `u16`, full scale 65535.
    Sixteen,
}

/// Size and sample layout of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameShape {
    /// Pixels across.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Samples per pixel.
    pub channels: Channels,
    /// Bits per sample.
    pub depth: Depth,
}

impl Frame {
    /// A frame over the first `shape.n_bytes()` bytes of `pixels`; `ticks` runs from its
    /// first line to one past its last.
    ///
    /// # Errors
    /// `BufferTooSmall` where the pixels do not fit.
    pub fn new(
        camera: u16,
        sequence: u64,
        ticks: Range<i64>,
        shape: FrameShape,
        pixels: Buffer,
    ) -> Result<Self, CameraError> {
        let (needed, size) = (shape.n_bytes(), pixels.bytes().len());
        if needed > size {
            return Err(CameraError::BufferTooSmall { needed, size });
        }
        Ok(Self {
            camera,
            sequence,
            ticks,
            taken_at: SystemTime::now(),
            origin: None,
            shape,
            pixels,
        })
    }

    /// Only these rows of it, in the same buffer, as the cloth of `ticks`. Rows past the end
    /// are left out.
    #[must_use]
    pub fn cut(mut self, rows: Range<u32>, ticks: Range<i64>) -> Self {
        let end = rows.end.min(self.shape.height);
        let start = rows.start.min(end);
        let line =
            self.shape.width as usize * self.shape.channels.count() * self.shape.depth.n_bytes();
        let bytes = start as usize * line..end as usize * line;
        self.pixels.bytes_mut().copy_within(bytes, 0);
        self.shape.height = end - start;
        self.ticks = ticks;
        self
    }

    /// The same frame with its last row first.
    #[must_use]
    pub fn upside_down(mut self) -> Self {
        let height = self.shape.height as usize;
        let line = self.shape.n_bytes() / height.max(1);
        let bytes = self.bytes_mut();
        for row in 0..height / 2 {
            let (upper, lower) = bytes.split_at_mut((height - 1 - row) * line);
            upper[row * line..(row + 1) * line].swap_with_slice(&mut lower[..line]);
        }
        self
    }

    /// Size and sample layout.
    pub fn shape(&self) -> FrameShape {
        self.shape
    }

    /// Pixels across.
    pub fn width(&self) -> u32 {
        self.shape.width
    }

    /// Lines.
    pub fn height(&self) -> u32 {
        self.shape.height
    }

    /// All samples, row after row without padding; 16 bit samples native-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.pixels.bytes()[..self.shape.n_bytes()]
    }

    /// The same bytes for a source to fill.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.pixels.bytes_mut()[..self.shape.n_bytes()]
    }

    /// All samples of a 16 bit frame for a source to fill; of an 8 bit frame two each.
    pub(crate) fn samples_mut(&mut self) -> &mut [u16] {
        let n = self.shape.n_bytes() / 2;
        &mut self.pixels.samples_mut()[..n]
    }

    /// Rewrites every row in its place: `eight` is given the samples of each row of an 8 bit
    /// frame, `sixteen` those of a 16 bit frame, `width × channels`.
    pub fn rewrite_rows(
        &mut self,
        mut eight: impl FnMut(&mut [u8]),
        mut sixteen: impl FnMut(&mut [u16]),
    ) {
        let line = (self.shape.width as usize * self.shape.channels.count()).max(1);
        match self.shape.depth {
            Depth::Eight => self.bytes_mut().chunks_exact_mut(line).for_each(&mut eight),
            Depth::Sixteen => {
                (self.samples_mut().chunks_exact_mut(line)).for_each(&mut sixteen);
            }
        }
    }

    /// Lets go of the lines from `n_lines` on; the ticks stay what they are.
    pub(crate) fn keep_lines(&mut self, n_lines: u32) {
        self.shape.height = self.shape.height.min(n_lines);
    }

    /// The samples of one row, `width × channels`; `None` for a 16 bit frame or a row
    /// past the end.
    pub fn row_u8(&self, row: u32) -> Option<&[u8]> {
        match self.shape.depth {
            Depth::Eight => self.pixels.bytes().get(self.row_range(row)?),
            Depth::Sixteen => None,
        }
    }

    /// The samples of one row, `width × channels`; `None` for an 8 bit frame or a row
    /// past the end.
    pub fn row_u16(&self, row: u32) -> Option<&[u16]> {
        match self.shape.depth {
            Depth::Eight => None,
            Depth::Sixteen => self.pixels.samples().get(self.row_range(row)?),
        }
    }

    /// One row as grey, 0..=255 for both depths (16 bit divided by 257); colour becomes
    /// grey by Rec. 601 luma.
    ///
    /// # Panics
    /// If `row` is past the end or `out` is not `width` long.
    pub fn grey_row_into(&self, row: u32, out: &mut [f32]) {
        self.assert_row(row, &[out.len()]);
        if let Some(samples) = self.row_u8(row) {
            grey_into(self.shape.channels, samples, 1.0, out);
        } else if let Some(samples) = self.row_u16(row) {
            grey_into(self.shape.channels, samples, EIGHT_PER_SIXTEEN, out);
        }
    }

    /// One row as red, green and blue planes, 0..=255 for both depths (16 bit divided by
    /// 257); grey is repeated.
    ///
    /// # Panics
    /// If `row` is past the end or one of the planes is not `width` long.
    pub fn rgb_row_into(&self, row: u32, red: &mut [f32], green: &mut [f32], blue: &mut [f32]) {
        self.assert_row(row, &[red.len(), green.len(), blue.len()]);
        let planes = [red, green, blue];
        if let Some(samples) = self.row_u8(row) {
            rgb_into(self.shape.channels, samples, 1.0, planes);
        } else if let Some(samples) = self.row_u16(row) {
            rgb_into(self.shape.channels, samples, EIGHT_PER_SIXTEEN, planes);
        }
    }

    fn row_range(&self, row: u32) -> Option<Range<usize>> {
        let n = self.shape.width as usize * self.shape.channels.count();
        let start = row as usize * n;
        (row < self.shape.height).then_some(start..start + n)
    }

    fn assert_row(&self, row: u32, lengths: &[usize]) {
        assert!(
            row < self.shape.height,
            "row {row} of a frame of {}",
            self.shape
        );
        for &n in lengths {
            assert_eq!(
                n, self.shape.width as usize,
                "length of a row of a frame of {}",
                self.shape
            );
        }
    }
}

impl Captured {
    /// Index of the camera in its station.
    pub fn camera(&self) -> u16 {
        match self {
            Self::Frame(frame) => frame.camera,
            Self::Lost(lost) => lost.camera,
        }
    }

    /// Counts every exposure of the source from 0.
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Frame(frame) => frame.sequence,
            Self::Lost(lost) => lost.sequence,
        }
    }

    /// Encoder positions, half-open.
    pub fn ticks(&self) -> Range<i64> {
        match self {
            Self::Frame(frame) => frame.ticks.clone(),
            Self::Lost(lost) => lost.ticks.clone(),
        }
    }
}

impl Channels {
    /// Samples per pixel.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

impl Depth {
    /// Bytes per sample.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::Eight => 1,
            Self::Sixteen => 2,
        }
    }
}

impl FrameShape {
    /// Bytes of a frame of this shape; saturates where it would not fit a machine.
    pub fn n_bytes(self) -> usize {
        (self.width as usize)
            .saturating_mul(self.height as usize)
            .saturating_mul(self.channels.count() * self.depth.n_bytes())
    }

    /// True where only the number of lines may differ.
    pub fn fits_roll_of(self, other: Self) -> bool {
        Self {
            height: other.height,
            ..self
        } == other
    }
}

impl fmt::Display for FrameShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = match self.channels {
            Channels::Grey => "grey",
            Channels::Rgb => "colour",
        };
        let bits = 8 * self.depth.n_bytes();
        write!(f, "{}x{} {bits} bit {channels}", self.width, self.height)
    }
}

/// 65535 becomes exactly 255.
const EIGHT_PER_SIXTEEN: f32 = 1.0 / 257.0;
/// Rec. 601 luma of red, green, blue.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

fn grey_into<S: Copy + Into<f32>>(channels: Channels, samples: &[S], scale: f32, out: &mut [f32]) {
    match channels {
        Channels::Grey => {
            for (grey, &sample) in out.iter_mut().zip(samples) {
                *grey = sample.into() * scale;
            }
        }
        Channels::Rgb => {
            let [red, green, blue] = LUMA.map(|share| share * scale);
            for (grey, pixel) in out.iter_mut().zip(samples.chunks_exact(3)) {
                *grey = pixel[0].into() * red + pixel[1].into() * green + pixel[2].into() * blue;
            }
        }
    }
}

fn rgb_into<S: Copy + Into<f32>>(
    channels: Channels,
    samples: &[S],
    scale: f32,
    planes: [&mut [f32]; 3],
) {
    match channels {
        Channels::Grey => {
            let [red, green, blue] = planes;
            grey_into(channels, samples, scale, red);
            green.copy_from_slice(red);
            blue.copy_from_slice(red);
        }
        Channels::Rgb => {
            for (offset, plane) in planes.into_iter().enumerate() {
                for (value, pixel) in plane.iter_mut().zip(samples.chunks_exact(3)) {
                    *value = pixel[offset].into() * scale;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(channels: Channels, depth: Depth, bytes: &[u8]) -> Frame {
        let height = 2;
        let width = (bytes.len() / (height * channels.count() * depth.n_bytes())) as u32;
        let shape = FrameShape {
            width,
            height: height as u32,
            channels,
            depth,
        };
        let mut buffer = Buffer::alone(bytes.len() + 3);
        buffer.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        Frame::new(0, 0, 0..2, shape, buffer).unwrap()
    }

    #[test]
    fn both_depths_end_at_255() {
        let eight = frame(Channels::Grey, Depth::Eight, &[0, 0, 255, 128]);
        let sixteen: Vec<u8> = [0, 0, 65535, 128 * 257]
            .into_iter()
            .flat_map(u16::to_ne_bytes)
            .collect();
        let sixteen = frame(Channels::Grey, Depth::Sixteen, &sixteen);
        for frame in [eight, sixteen] {
            let mut row = [0.0; 2];
            frame.grey_row_into(1, &mut row);
            assert!(
                (row[0] - 255.0).abs() < 1e-3 && (row[1] - 128.0).abs() < 1e-3,
                "{row:?}"
            );
        }
    }

    #[test]
    fn colour_becomes_grey_by_luma_and_planes_keep_their_order() {
        let frame = frame(
            Channels::Rgb,
            Depth::Eight,
            &[10, 20, 30, 0, 0, 0, 1, 2, 3, 255, 255, 255],
        );
        let (mut grey, mut red, mut green, mut blue) = ([0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2]);
        frame.grey_row_into(0, &mut grey);
        assert!((grey[0] - 18.15).abs() < 1e-3);
        frame.rgb_row_into(1, &mut red, &mut green, &mut blue);
        assert_eq!([red[0], green[0], blue[0], red[1]], [1.0, 2.0, 3.0, 255.0]);
    }

    #[test]
    fn grey_fills_all_three_planes() {
        let frame = frame(Channels::Grey, Depth::Eight, &[7, 9]);
        let (mut red, mut green, mut blue) = ([0.0], [0.0], [0.0]);
        frame.rgb_row_into(1, &mut red, &mut green, &mut blue);
        assert_eq!([red, green, blue], [[9.0]; 3]);
    }

    #[test]
    fn rows_are_had_only_in_their_own_depth() {
        let frame = frame(Channels::Grey, Depth::Eight, &[1, 2, 3, 4]);
        assert_eq!(frame.row_u8(1), Some(&[3, 4][..]));
        assert_eq!(frame.row_u8(2), None);
        assert_eq!(frame.row_u16(0), None);
        assert_eq!(frame.bytes(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_cut_frame_has_the_rows_asked_for_and_turns_over() {
        let turned = frame(Channels::Grey, Depth::Eight, &[1, 2, 3, 4]).upside_down();
        assert_eq!(turned.bytes(), [3, 4, 1, 2]);
        let cut = turned.cut(1..5, 7..8);
        assert_eq!((cut.bytes(), cut.height()), (&[1, 2][..], 1));
        assert_eq!((cut.ticks.clone(), cut.row_u8(1)), (7..8, None));
    }

    #[test]
    fn a_frame_larger_than_its_buffer_is_refused() {
        let shape = FrameShape {
            width: 4,
            height: 4,
            channels: Channels::Rgb,
            depth: Depth::Sixteen,
        };
        let error = Frame::new(0, 0, 0..4, shape, Buffer::alone(95)).unwrap_err();
        assert!(matches!(
            error,
            CameraError::BufferTooSmall {
                needed: 96,
                size: 95
            }
        ));
    }
}
