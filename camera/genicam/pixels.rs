//! Pixel formats of GenICam cameras, from the bytes on the wire to samples in a frame.
//!
//! ```text
//! Mono10p       LSB first, without a gap    p0[7:0] | p1[5:0] p0[9:8] | p2[3:0] p1[9:6] | …
//! Mono12p       the same                    p0[7:0] | p1[3:0] p0[11:8] | p1[11:4]
//! Mono10Packed  two pixels in three bytes   p0[9:2] | 00 p1[1:0] 00 p0[1:0] | p1[9:2]
//! Mono12Packed  two pixels in three bytes   p0[11:4] | p1[3:0] p0[3:0] | p1[11:4]
//! Mono10, 12, 16   one pixel in two bytes, little-endian, high bits zero
//! ```
//!
//! The `p` formats are PFNC's, the `Packed` ones GigE Vision's own (bits are drawn high to low).
//! Deep samples are spread over all of 16 bits by repeating their high bits, so that full scale
//! stays full scale. What is not listed here is refused by name: a Bayer pattern, for one, is no
//! grey picture, and to lay it out as one would show weave that is not there.

use std::fmt;

use crate::{Channels, Depth, FrameShape};

/// A pixel format that can be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PixelFormat {
    /// Grey, so many significant bits, packed like this.
    Mono(Packing),
    /// Red, green, blue, a byte each.
    Rgb8,
    /// Blue, green, red, a byte each.
    Bgr8,
}

/// How grey pixels lie in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// A byte each.
    Eight,
    /// Two bytes each, little-endian, with so many significant bits.
    Sixteen(u32),
    /// Ten bits each without a gap, least significant first.
    TenP,
    /// Twelve bits each without a gap, least significant first.
    TwelveP,
    /// Two pixels of ten bits in three bytes.
    TenPacked,
    /// Two pixels of twelve bits in three bytes.
    TwelvePacked,
}

/// Names as cameras say them, old and new.
const NAMES: [(&str, PixelFormat); 12] = [
    ("Mono8", PixelFormat::Mono(Packing::Eight)),
    ("Mono10", PixelFormat::Mono(Packing::Sixteen(10))),
    ("Mono10p", PixelFormat::Mono(Packing::TenP)),
    ("Mono10Packed", PixelFormat::Mono(Packing::TenPacked)),
    ("Mono12", PixelFormat::Mono(Packing::Sixteen(12))),
    ("Mono12p", PixelFormat::Mono(Packing::TwelveP)),
    ("Mono12Packed", PixelFormat::Mono(Packing::TwelvePacked)),
    ("Mono16", PixelFormat::Mono(Packing::Sixteen(16))),
    ("RGB8", PixelFormat::Rgb8),
    ("RGB8Packed", PixelFormat::Rgb8),
    ("BGR8", PixelFormat::Bgr8),
    ("BGR8Packed", PixelFormat::Bgr8),
];

impl PixelFormat {
    /// The format that a camera calls `name`; `None` where it cannot be laid out.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, format)| *format)
    }

    /// All names that are known, for messages.
    pub(crate) fn names() -> String {
        NAMES.map(|(name, _)| name).join(", ")
    }

    /// The shape of frames of this format.
    pub(crate) fn shape(self, width: u32, height: u32) -> FrameShape {
        let (channels, depth) = match self {
            Self::Mono(Packing::Eight) => (Channels::Grey, Depth::Eight),
            Self::Mono(_) => (Channels::Grey, Depth::Sixteen),
            Self::Rgb8 | Self::Bgr8 => (Channels::Rgb, Depth::Eight),
        };
        FrameShape {
            width,
            height,
            channels,
            depth,
        }
    }

    /// Bytes of a line of `width` pixels; `None` where a line would end within a byte, after
    /// which the next one could begin anywhere.
    pub(crate) fn line_bytes(self, width: u32) -> Option<usize> {
        let width = width as usize;
        let (pixels, bytes) = self.group();
        width
            .is_multiple_of(pixels)
            .then_some(width / pixels * bytes)
    }

    /// So many pixels take so many bytes, and no fewer can be told apart.
    pub(crate) fn group(self) -> (usize, usize) {
        match self {
            Self::Mono(Packing::Eight) => (1, 1),
            Self::Mono(Packing::Sixteen(_)) => (1, 2),
            Self::Mono(Packing::TenP) => (4, 5),
            Self::Mono(Packing::TwelveP | Packing::TenPacked | Packing::TwelvePacked) => (2, 3),
            Self::Rgb8 | Self::Bgr8 => (1, 3),
        }
    }

    /// Lays one line out as the samples of a frame, native-endian where they are deep. What does
    /// not fit on either side is left alone.
    pub(crate) fn lay_out(self, line: &[u8], out: &mut [u8]) {
        match self {
            Self::Mono(Packing::Eight) | Self::Rgb8 => {
                let n = line.len().min(out.len());
                out[..n].copy_from_slice(&line[..n]);
            }
            Self::Bgr8 => {
                for (to, pixel) in out.chunks_exact_mut(3).zip(line.chunks_exact(3)) {
                    to.copy_from_slice(&[pixel[2], pixel[1], pixel[0]]);
                }
            }
            Self::Mono(Packing::Sixteen(bits)) => {
                groups(line, out, bits, |bytes: &[u8; 2]| {
                    // A camera that leaves rubbish in the high bits must not overflow.
                    [u16::from_le_bytes(*bytes) & most(bits)]
                });
            }
            Self::Mono(Packing::TenP) => groups(line, out, 10, ten_p),
            Self::Mono(Packing::TwelveP) => groups(line, out, 12, twelve_p),
            Self::Mono(Packing::TenPacked) => groups(line, out, 10, ten_packed),
            Self::Mono(Packing::TwelvePacked) => groups(line, out, 12, twelve_packed),
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = NAMES.iter().find(|(_, format)| format == self);
        f.write_str(known.map_or("?", |(name, _)| name))
    }
}

fn ten_p(bytes: &[u8; 5]) -> [u16; 4] {
    let [a, b, c, d, e] = bytes.map(u16::from);
    [
        a | (b & 0x03) << 8,
        b >> 2 | (c & 0x0F) << 6,
        c >> 4 | (d & 0x3F) << 4,
        d >> 6 | e << 2,
    ]
}

fn twelve_p(bytes: &[u8; 3]) -> [u16; 2] {
    let [a, b, c] = bytes.map(u16::from);
    [a | (b & 0x0F) << 8, b >> 4 | c << 4]
}

fn ten_packed(bytes: &[u8; 3]) -> [u16; 2] {
    let [a, b, c] = bytes.map(u16::from);
    [a << 2 | (b & 0x03), c << 2 | (b >> 4 & 0x03)]
}

fn twelve_packed(bytes: &[u8; 3]) -> [u16; 2] {
    let [a, b, c] = bytes.map(u16::from);
    [a << 4 | (b & 0x0F), c << 4 | b >> 4]
}

/// Unpacks group after group of `BYTES` bytes into `PIXELS` samples of `bits` significant bits.
fn groups<const BYTES: usize, const PIXELS: usize>(
    line: &[u8],
    out: &mut [u8],
    bits: u32,
    unpack: impl Fn(&[u8; BYTES]) -> [u16; PIXELS],
) {
    let samples = out.chunks_exact_mut(2 * PIXELS);
    for (to, bytes) in samples.zip(line.as_chunks::<BYTES>().0) {
        let pixels = unpack(bytes);
        for (to, pixel) in to.chunks_exact_mut(2).zip(pixels) {
            to.copy_from_slice(&spread(pixel, bits).to_ne_bytes());
        }
    }
}

/// `sample` of `bits` bits over all of 16: 0 stays 0 and full scale full scale.
fn spread(sample: u16, bits: u32) -> u16 {
    if bits >= 16 {
        return sample;
    }
    sample << (16 - bits) | sample >> (2 * bits - 16)
}

/// The largest sample of so many bits.
fn most(bits: u32) -> u16 {
    u16::MAX >> (16 - bits.min(16))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn laid_out(format: &str, line: &[u8], n_pixels: usize) -> Vec<u16> {
        let format = PixelFormat::named(format).unwrap();
        let mut out = vec![0xAA; 2 * n_pixels];
        assert_eq!(format.line_bytes(n_pixels as u32), Some(line.len()));
        format.lay_out(line, &mut out);
        let samples = out.chunks_exact(2);
        samples
            .map(|two| u16::from_ne_bytes([two[0], two[1]]))
            .collect()
    }

    /// Without the repeated high bits.
    fn unspread(samples: &[u16], bits: u32) -> Vec<u16> {
        samples.iter().map(|sample| sample >> (16 - bits)).collect()
    }

    #[test]
    fn each_format_lies_as_its_standard_draws_it() {
        for (format, bits, line, expected) in [
            // One set bit at a time, at the borders between pixels.
            (
                "Mono10p",
                10,
                &[0xFF, 0x03, 0, 0, 0][..],
                &[0x3FF, 0, 0, 0][..],
            ),
            ("Mono10p", 10, &[0, 0x04, 0, 0, 0], &[0, 1, 0, 0]),
            ("Mono10p", 10, &[0, 0, 0x10, 0, 0], &[0, 0, 1, 0]),
            ("Mono10p", 10, &[0, 0, 0, 0x40, 0x80], &[0, 0, 0, 0x201]),
            ("Mono12p", 12, &[0x23, 0x61, 0x45], &[0x123, 0x456]),
            ("Mono12Packed", 12, &[0x12, 0x63, 0x45], &[0x123, 0x456]),
            ("Mono10Packed", 10, &[0xFF, 0x01, 0x80], &[0x3FD, 0x200]),
            ("Mono10Packed", 10, &[0, 0x20, 0], &[0, 2]),
            ("Mono10", 10, &[0xFF, 0x03, 1, 0], &[0x3FF, 1]),
            ("Mono12", 12, &[0xFF, 0xFF], &[0xFFF]),
            ("Mono16", 16, &[0x34, 0x12], &[0x1234]),
        ] {
            let samples = laid_out(format, line, expected.len());
            assert_eq!(unspread(&samples, bits), expected, "{format} {line:02x?}");
        }
    }

    #[test]
    fn full_scale_stays_full_scale_and_black_black() {
        for bits in [10, 12, 16] {
            assert_eq!(spread(most(bits), bits), u16::MAX);
            assert_eq!(spread(0, bits), 0);
        }
        assert!((1..1024).all(|sample| spread(sample, 10) > spread(sample - 1, 10)));
    }

    #[test]
    fn colours_come_out_as_red_green_blue() {
        let mut out = [0; 6];
        let rgb = PixelFormat::named("RGB8Packed").unwrap();
        rgb.lay_out(&[1, 2, 3, 4, 5, 6], &mut out);
        assert_eq!(out, [1, 2, 3, 4, 5, 6]);
        let bgr = PixelFormat::named("BGR8").unwrap();
        bgr.lay_out(&[1, 2, 3, 4, 5, 6], &mut out);
        assert_eq!(out, [3, 2, 1, 6, 5, 4]);
    }

    #[test]
    fn a_line_that_would_end_within_a_byte_is_refused() {
        let format = |name| PixelFormat::named(name).unwrap();
        assert_eq!(format("Mono10p").line_bytes(8), Some(10));
        assert_eq!(format("Mono10p").line_bytes(6), None);
        assert_eq!(format("Mono12Packed").line_bytes(7), None);
        assert_eq!(format("Mono8").line_bytes(7), Some(7));
    }

    #[test]
    fn a_bayer_pattern_is_no_grey_picture() {
        assert_eq!(PixelFormat::named("BayerRG8"), None);
    }

    /// The bits of `samples`, each from its lowest on, one after the other.
    fn packed_lsb_first(samples: &[u16], bits: u32) -> Vec<u8> {
        let all = samples
            .iter()
            .flat_map(|&sample| (0..bits).map(move |bit| sample >> bit & 1 == 1));
        let all: Vec<bool> = all.collect();
        let byte = |eight: &[bool]| {
            let bits = eight.iter().enumerate();
            bits.fold(0, |byte, (nth, &is_set)| byte | u8::from(is_set) << nth)
        };
        all.chunks(8).map(byte).collect()
    }

    /// High bits of each pixel in a byte of its own, low bits of both in the one between.
    fn packed_in_threes(samples: &[u16], bits: u32) -> Vec<u8> {
        let low = bits - 8;
        let rest = |sample: u16| (sample & ((1 << low) - 1)) as u8;
        let three = |two: &[u16]| {
            let between = rest(two[0]) | rest(two[1]) << 4;
            [(two[0] >> low) as u8, between, (two[1] >> low) as u8]
        };
        samples.chunks_exact(2).flat_map(three).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_packed_is_unpacked(
            mut samples in proptest::collection::vec(0_u16..1 << 12, 4..200),
        ) {
            samples.truncate(samples.len() / 4 * 4);
            let n = samples.len();
            let tens: Vec<u16> = samples.iter().map(|sample| sample >> 2).collect();
            for (format, bits, expected, packed) in [
                ("Mono12p", 12, &samples, packed_lsb_first(&samples, 12)),
                ("Mono10p", 10, &tens, packed_lsb_first(&tens, 10)),
                ("Mono12Packed", 12, &samples, packed_in_threes(&samples, 12)),
                ("Mono10Packed", 10, &tens, packed_in_threes(&tens, 10)),
            ] {
                let found = laid_out(format, &packed, n);
                prop_assert_eq!(&unspread(&found, bits), expected, "{}", format);
            }
        }

        #[test]
        fn no_bytes_whatever_make_it_panic(
            line in proptest::collection::vec(any::<u8>(), 0..64),
            n_out in 0_usize..64,
        ) {
            for (_, format) in NAMES {
                format.lay_out(&line, &mut vec![0; n_out]);
            }
        }
    }
}
