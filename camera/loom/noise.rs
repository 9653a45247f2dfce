//! Randomness that depends on a place and on nothing else.
//!
//! Every number is a hash of the seed and of where it is used, never the next one of a
//! sequence. So any line of cloth can be woven alone and comes out the same, whatever
//! frame it falls into. Not for secrets.

/// A hash of a seed and two coordinates.
pub(super) fn hash(seed: u64, a: i64, b: i64) -> u64 {
    // SplitMix64's finaliser, once per coordinate.
    mixed(mixed(seed ^ (a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ b as u64)
}

/// Uniform in 0..1.
pub(super) fn unit(seed: u64, a: i64, b: i64) -> f32 {
    (hash(seed, a, b) >> 40) as f32 / (1 << 24) as f32
}

/// Uniform in -1..1.
pub(super) fn signed(seed: u64, a: i64, b: i64) -> f32 {
    unit(seed, a, b).mul_add(2.0, -1.0)
}

/// Smooth noise in -1..1 along `at`, with a knot at every integer; `row` picks the curve.
pub(super) fn smooth(seed: u64, row: i64, at: f64) -> f32 {
    let knot = at.floor();
    let part = eased((at - knot) as f32);
    let (here, next) = (
        signed(seed, row, knot as i64),
        signed(seed, row, knot as i64 + 1),
    );
    here + (next - here) * part
}

/// Smooth noise over a plane.
pub(super) fn smooth_2d(seed: u64, x: f32, y: f32) -> f32 {
    let row = y.floor();
    let part = eased(y - row);
    let here = smooth(seed, row as i64, f64::from(x));
    let next = smooth(seed, row as i64 + 1, f64::from(x));
    here + (next - here) * part
}

/// Smooth noise along a row that begins at `first_column`: a knot every `spacing` columns, in
/// `-size..size`.
pub(super) fn fill_smooth(seed: u64, spacing: f64, size: f32, first_column: i64, row: &mut [f32]) {
    let end_column = first_column + row.len() as i64;
    let mut knot = (first_column as f64 / spacing).floor() as i64 - 1;
    let mut here = size * signed(seed, 0, knot);
    while knot as f64 * spacing < end_column as f64 {
        let next = size * signed(seed, 0, knot + 1);
        let start = (knot as f64 * spacing).ceil() as i64;
        let end = (((knot + 1) as f64 * spacing).ceil() as i64).min(end_column);
        let slope = (next - here) / spacing as f32;
        let first = here + slope * (start as f64 - knot as f64 * spacing) as f32;
        let begin = start.max(first_column);
        if begin < end {
            let part = (begin - first_column) as usize..(end - first_column) as usize;
            let off = (begin - start) as usize;
            for (i, value) in row[part].iter_mut().enumerate() {
                *value = first + slope * (off + i) as f32;
            }
        }
        (here, knot) = (next, knot + 1);
    }
}

/// Four bytes of a 32 bit hash, summed: a bell of mean 0 and deviation 1. `line` is the
/// line's own hash. Written for loops over whole rows.
#[inline]
pub(super) fn bell(line: u32, column: u32) -> f32 {
    let mut h = line ^ column.wrapping_mul(0x9e37_79b9);
    h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
    h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
    h ^= h >> 16;
    let sum = (h & 0xff) + (h >> 8 & 0xff) + (h >> 16 & 0xff) + (h >> 24);
    // Four uniform bytes have mean 510 and deviation sqrt(4 * (256² - 1) / 12).
    (sum as i32 - 510) as f32 * (1.0 / 147.8)
}

/// 0 to 1 with flat ends.
#[inline]
pub(super) fn eased(part: f32) -> f32 {
    part * part * (3.0 - 2.0 * part)
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bell_has_mean_0_and_deviation_1() {
        let n = 100_000;
        let values: Vec<f64> = (0..n).map(|x| f64::from(bell(77, x))).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let square = values.iter().map(|value| value * value).sum::<f64>() / f64::from(n);
        assert!(
            mean.abs() < 0.02 && (square - 1.0).abs() < 0.02,
            "{mean} {square}"
        );
    }

    #[test]
    fn smooth_noise_has_no_steps() {
        let step = |at: f64| (smooth(3, 0, at) - smooth(3, 0, at + 0.001)).abs();
        assert!((0..5000).all(|i| step(f64::from(i) * 0.01) < 0.01));
    }
}
