//! Pictures of cloth for this crate's tests: frames from a function of row and column.
//!
//! Everything is computed from the place alone, so that a test shows the same cloth each time.

use camera::{Buffer, Channels, Depth, Frame, FrameShape};

/// A grey 8 bit frame with `level(row, column)`, rounded and cut to 0..=255.
pub(crate) fn picture(width: u32, height: u32, level: impl Fn(u32, u32) -> f32) -> Frame {
    let samples = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
    let bytes: Vec<u8> = samples
        .map(|(row, column)| level(row, column) as u8)
        .collect();
    frame(width, height, Channels::Grey, &bytes)
}

/// An 8 bit frame of these samples.
pub(crate) fn frame(width: u32, height: u32, channels: Channels, samples: &[u8]) -> Frame {
    let shape = FrameShape {
        width,
        height,
        channels,
        depth: Depth::Eight,
    };
    let mut pixels = Buffer::alone(samples.len());
    pixels.bytes_mut().copy_from_slice(samples);
    Frame::new(0, 0, 0..i64::from(height), shape, pixels).unwrap()
}

/// A plain weave of mean 100 with uneven yarns and noise; `place` moves it to other cloth.
pub(crate) fn weave(place: u32, row: u32, column: u32) -> f32 {
    let (x, y) = ((column + 37 * place) as f32, (row + 53 * place) as f32);
    let yarns = (x * 1.37).sin() * (y * 1.49).sin();
    let warp = uneven(place, (x / 4.6) as u32);
    let weft = uneven(place + 1000, (y / 4.2) as u32);
    100.0 + 18.0 * yarns + 6.0 * warp + 6.0 * weft + 4.0 * noise(place, row, column)
}

/// A table of this level with a camera's noise.
pub(crate) fn table(level: f32, row: u32, column: u32) -> f32 {
    level + 2.0 * noise(7, row, column)
}

/// -1..1, the same for the same yarn.
fn uneven(place: u32, yarn: u32) -> f32 {
    noise(place, yarn, 0)
}

/// -1..1, without any pattern.
pub(crate) fn noise(seed: u32, row: u32, column: u32) -> f32 {
    let mut x = u64::from(seed) << 40 ^ u64::from(row) << 20 ^ u64::from(column);
    for _ in 0..2 {
        x = (x ^ x >> 31)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(0x5851_F42D);
    }
    (x >> 40) as f32 / (1 << 23) as f32 - 1.0
}
