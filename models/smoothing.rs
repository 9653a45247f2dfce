//! Rows of numbers under a symmetric kernel.
//!
//! A kernel is given by its half, the centre first. Whoever calls hands in the memory, because
//! this runs for every row of every block. What lies beyond a row's end is the caller's to say.

/// What a smoothing finds beyond the end of its row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// Zeros: for sums, whose counts are smoothed alike.
    Nothing,
    /// The last value again.
    Nearest,
}

/// One half of a Gaussian kernel, its centre first, normalised to a sum of one over both
/// halves; cut at three standard deviations.
pub(crate) fn half_kernel(sigma: f32) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil() as usize;
    let mut half: Vec<f32> = (0..=radius)
        .map(|distance| (-0.5 * (distance as f32 / sigma.max(1e-3)).powi(2)).exp())
        .collect();
    let sum = 2.0 * half.iter().sum::<f32>() - half[0];
    for weight in &mut half {
        *weight /= sum;
    }
    half
}

/// Puts `values` under a kernel into `to`, which is as long. `padded` is memory to be used again.
pub(crate) fn smooth_into(
    to: &mut [f32],
    values: &[f32],
    half: &[f32],
    beyond: Beyond,
    padded: &mut Vec<f32>,
) {
    let radius = half.len() - 1;
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return;
    };
    let (first, last) = match beyond {
        Beyond::Nothing => (0.0, 0.0),
        Beyond::Nearest => (*first, *last),
    };
    padded.clear();
    padded.extend(std::iter::repeat_n(first, radius));
    padded.extend_from_slice(values);
    padded.extend(std::iter::repeat_n(last, radius));
    let n = values.len();
    to.fill(0.0);
    add_pairs(to, half, |distance| {
        let before = &padded[radius - distance..][..n];
        (before, &padded[radius + distance..][..n])
    });
}

/// Distances that are taken in one go, so that `to` is fetched and stored less often.
const PAIRS_AT_ONCE: usize = 4;

/// Adds what lies before and behind each place, weighted by its distance. `pair` gives both for
/// a distance, each as long as `to`; for distance 0 the first of them is the place itself.
pub(crate) fn add_pairs<'a>(
    to: &mut [f32],
    half: &[f32],
    pair: impl Fn(usize) -> (&'a [f32], &'a [f32]),
) {
    let n = to.len();
    let Some((centre, weights)) = half.split_first() else {
        return;
    };
    for (to, value) in to.iter_mut().zip(pair(0).0) {
        *to += centre * value;
    }
    let pair = |distance| {
        let (before, behind) = pair(distance);
        (&before[..n], &behind[..n])
    };
    let mut distance = 1;
    let (whole, rest) = weights.as_chunks::<PAIRS_AT_ONCE>();
    for weights in whole {
        let pairs: [_; PAIRS_AT_ONCE] = std::array::from_fn(|i| pair(distance + i));
        for (i, to) in to.iter_mut().enumerate() {
            let mut sum = *to;
            for ((before, behind), weight) in pairs.iter().zip(weights) {
                sum += weight * (before[i] + behind[i]);
            }
            *to = sum;
        }
        distance += PAIRS_AT_ONCE;
    }
    for weight in rest {
        let (before, behind) = pair(distance);
        for ((to, before), behind) in to.iter_mut().zip(before).zip(behind) {
            *to += weight * (before + behind);
        }
        distance += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by definition, place by place.
    fn slowly(values: &[f32], half: &[f32], beyond: Beyond) -> Vec<f32> {
        let last = values.len() as isize - 1;
        let radius = half.len() as isize - 1;
        let value = |at: isize| match beyond {
            Beyond::Nothing if at < 0 || at > last => 0.0,
            Beyond::Nothing | Beyond::Nearest => values[at.clamp(0, last) as usize],
        };
        let weighted = |at: isize, by: isize| half[by.unsigned_abs()] * value(at + by);
        (0..=last)
            .map(|at| (-radius..=radius).map(|by| weighted(at, by)).sum())
            .collect()
    }

    #[test]
    fn a_row_of_any_length_is_smoothed_under_a_kernel_of_any_length() {
        let mut padded = Vec::new();
        for n in [1, 2, 5, 40] {
            let values: Vec<f32> = (0..n).map(|i| ((i * 7) % 11) as f32 - 4.0).collect();
            for sigma in [0.0, 0.3, 0.7, 1.0, 1.4, 2.0, 8.0] {
                let half = half_kernel(sigma);
                for beyond in [Beyond::Nothing, Beyond::Nearest] {
                    let mut smooth = vec![7.0; n];
                    smooth_into(&mut smooth, &values, &half, beyond, &mut padded);
                    let expected = slowly(&values, &half, beyond);
                    for (found, expected) in smooth.iter().zip(&expected) {
                        assert!(
                            (found - expected).abs() < 1e-5,
                            "{n} values, sigma {sigma}: {found} {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_of_nothing_stays_nothing() {
        smooth_into(
            &mut [],
            &[],
            &half_kernel(1.0),
            Beyond::Nearest,
            &mut Vec::new(),
        );
    }
}
