//! Order statistics of a sample: the median and the quantiles, one definition for all reports.
//!
//! The quantile of q of n sorted values lies at the place `q·(n − 1)`, counted from 0; between two
//! places it lies on the straight line between their values. This is definition 7 of Hyndman and
//! Fan, *Sample Quantiles in Statistical Packages*, The American Statistician 50(4), 1996, and
//! NumPy's default. The median is the quantile of ½: of an even count, the mean of the middle two.

/// The median of `values`: half of them lie below it.
///
/// # Panics
/// If there are no values.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The quantile of `q` in [0, 1] of `values`: the share `q` of them lies below it.
///
/// Infinities are values as others are: a time that was never reached may be ∞. A NaN counts as
/// the largest value of all.
///
/// # Panics
/// If there are no values, or `q` is outside of [0, 1].
pub fn quantile(values: &[f64], q: f64) -> f64 {
    assert!(!values.is_empty(), "there is no quantile of no values");
    assert!((0.0..=1.0).contains(&q), "a quantile of {q}: a share in [0, 1] is needed");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    let share = place.fract();
    // Without this, ∞ − ∞ would be NaN.
    if share == 0.0 || low == high { low } else { low * (1.0 - share) + high * share }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFINITY: f64 = f64::INFINITY;

    #[test]
    fn the_median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 4.0]), 4.0);
        assert_eq!(median(&[8.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn quartiles_are_those_of_numpy() {
        let quartiles = |values: &[f64]| [0.25, 0.5, 0.75].map(|q| quantile(values, q));
        assert_eq!(quartiles(&[7.0]), [7.0; 3]);
        assert_eq!(quartiles(&[4.0, 1.0]), [1.75, 2.5, 3.25]);
        assert_eq!(quartiles(&[9.0, 1.0, 4.0, 2.0, 5.0]), [2.0, 4.0, 5.0]);
        assert_eq!(quartiles(&[1.0, 2.0, 3.0, 4.0]), [1.75, 2.5, 3.25]);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.0), 1.0);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 1.0), 3.0);
    }

    #[test]
    fn infinities_and_the_largest_numbers_are_values_as_others_are() {
        assert_eq!(median(&[1.0, INFINITY, 2.0]), 2.0);
        assert_eq!(median(&[1.0, INFINITY, INFINITY]), INFINITY);
        assert_eq!(median(&[1.0, INFINITY]), INFINITY);
        assert_eq!(median(&[INFINITY, INFINITY]), INFINITY);
        assert_eq!(median(&[-f64::MAX, f64::MAX]), 0.0);
        assert_eq!(median(&[f64::MAX, f64::MAX]), f64::MAX);
        assert!(quantile(&[1.0, f64::NAN, 2.0], 1.0).is_nan());
        assert_eq!(median(&[1.0, f64::NAN, 2.0]), 2.0);
    }

    #[test]
    #[should_panic(expected = "there is no quantile of no values")]
    fn no_values_have_no_median() {
        median(&[]);
    }

    #[test]
    #[should_panic(expected = "a quantile of 1.5: a share in [0, 1] is needed")]
    fn a_share_above_one_is_refused() {
        quantile(&[1.0], 1.5);
    }
}
