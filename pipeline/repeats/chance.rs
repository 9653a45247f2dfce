//! How likely chance alone gives so many hits.

/// Chance that at least `hits` of `slots` are hit, each with the chance `each`.
pub(super) fn binomial_tail(slots: u32, hits: u32, each: f64) -> f64 {
    if hits == 0 {
        return 1.0;
    }
    if hits > slots || each <= 0.0 {
        return 0.0;
    }
    if each >= 1.0 {
        return 1.0;
    }
    // The first term, then each from the one before; in logarithms, as they are tiny.
    let ln_first = (0..hits).fold(f64::from(slots - hits) * (1.0 - each).ln(), |sum, i| {
        sum + (f64::from(slots - i) / f64::from(hits - i)).ln() + each.ln()
    });
    let odds = each / (1.0 - each);
    let mut term = ln_first.exp();
    let mut tail = term;
    for k in hits..slots {
        term *= f64::from(slots - k) / f64::from(k + 1) * odds;
        tail += term;
    }
    tail.min(1.0)
}

/// Chance that a count whose mean is `mean` reaches `at_least`.
pub(super) fn poisson_tail(at_least: u32, mean: f64) -> f64 {
    if at_least == 0 {
        return 1.0;
    }
    if mean <= 0.0 {
        return 0.0;
    }
    let ln_first = (1..=at_least).fold(-mean, |sum, k| sum + mean.ln() - f64::from(k).ln());
    let mut term = ln_first.exp();
    let mut tail = term;
    let mut k = f64::from(at_least);
    // Terms rise up to the mean and then fall faster than a geometric row.
    while k < mean || term > tail * 1e-12 {
        k += 1.0;
        term *= mean / k;
        tail += term;
        if term == 0.0 {
            break;
        }
    }
    tail.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        // A fair coin: at least 8 of 10, 56 of 1024.
        assert!((binomial_tail(10, 8, 0.5) - 56.0 / 1024.0).abs() < 1e-12);
        assert!((binomial_tail(4, 3, 0.1) - (4.0 * 0.001 * 0.9 + 0.0001)).abs() < 1e-12);
        assert_eq!(binomial_tail(3, 0, 0.1), 1.0);
        assert_eq!(binomial_tail(3, 4, 0.1), 0.0);
        // At least two of a mean of one: 1 - 2/e.
        let two = 1.0 - 2.0 * (-1.0_f64).exp();
        assert!((poisson_tail(2, 1.0) - two).abs() < 1e-12);
        assert!((poisson_tail(1, 50.0) - 1.0).abs() < 1e-9);
    }
}
