//! Quantiles of numbers in memory.

/// The `q`-quantile (0 to 1) of `values`, which are reordered; 0 when there are none.
pub(crate) fn quantile(values: &mut [f32], q: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let at = ((values.len() - 1) as f64 * q).round() as usize;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}
