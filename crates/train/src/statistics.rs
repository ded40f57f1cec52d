//! Medians and quantiles: one definition for every table and picture.
//!
//! A quantile lies on straight lines between neighbouring values (definition 7 of R. Hyndman
//! and Y. Fan, *Sample Quantiles in Statistical Packages*, 1996; the default of NumPy and R).

/// The value that half of `values` lie below: [`quantile`] at ½.
///
/// # Panics
/// If there are no values.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that the share `q` (0 to 1) of `values`, in any order, lies below; NaN if one of
/// them is. With the n values sorted, it is at the place q·(n − 1), counted from 0; between
/// two places, on the straight line.
///
/// ```
/// # use train::statistics::quantile;
/// assert_eq!(quantile(&[4.0, 1.0], 0.25), 1.75);
/// ```
///
/// # Panics
/// If there are no values, or `q` is not in 0 to 1.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    assert!(!values.is_empty(), "no values have no quantile");
    assert!((0.0..=1.0).contains(&q), "a quantile of {q} is none; give a share from 0 to 1");
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    if low == high { low } else { low + place.fract() * (high - low) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let quartiles = |values: &[f64]| [0.25, 0.5, 0.75].map(|q| quantile(values, q));
        assert_eq!(quartiles(&[7.0]), [7.0; 3]);
        assert_eq!(quartiles(&[4.0, 1.0]), [1.75, 2.5, 3.25]);
        assert_eq!(quartiles(&[9.0, 1.0, 4.0, 2.0, 5.0]), [2.0, 4.0, 5.0]);
        assert_eq!(quartiles(&[1.0, 2.0, 3.0, 4.0]), [1.75, 2.5, 3.25]);
    }

    #[test]
    fn the_median_is_the_middle_value_or_the_mean_of_the_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[f64::INFINITY, 1.0, f64::INFINITY]), f64::INFINITY);
    }

    #[test]
    fn a_nan_among_the_values_is_not_sorted_away() {
        assert!(median(&[1.0, f64::NAN, 2.0]).is_nan());
        assert!(quantile(&[-f64::NAN, 2.0], 1.0).is_nan());
    }

    #[test]
    #[should_panic(expected = "no values")]
    fn no_values_have_no_median() {
        median(&[]);
    }

    #[test]
    #[should_panic(expected = "a quantile of 25 is none")]
    fn a_percentage_is_no_share() {
        quantile(&[1.0], 25.0);
    }

    proptest! {
        #[test]
        fn a_quantile_has_its_share_of_the_values_on_either_side(
            values in prop::collection::vec(-1e3..1e3_f64, 1..50), q in 0.0..=1.0_f64,
        ) {
            let found = quantile(&values, q);
            let (least, most) = (quantile(&values, 0.0), quantile(&values, 1.0));
            prop_assert!(least <= found && found <= most);
            let last = (values.len() - 1) as f64;
            let below = values.iter().filter(|&&value| value < found).count() as f64;
            let above = values.iter().filter(|&&value| value > found).count() as f64;
            prop_assert!(below <= (q * last).ceil() && above <= ((1.0 - q) * last).ceil() + 1e-9);
            let mut reversed = values.clone();
            reversed.reverse();
            prop_assert_eq!(quantile(&reversed, q), found);
        }
    }
}
