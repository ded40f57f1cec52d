//! Dyadic rationals: whole numbers of a unit, with every rounding in a named direction.
//!
//! Sums and products of whole numbers are exact. A product of x·2⁻ᵃ and y·2⁻ᵇ is one of
//! 2⁻⁽ᵃ⁺ᵇ⁾; [`shift`] and [`shift_up`] bring it back to a coarser unit, so that numbers
//! stay as long as they are.

use num_bigint::BigInt;

/// States, bounds and sums are whole numbers of 2⁻⁹⁶.
pub(super) const FINE: i64 = 96;

/// Weights, and rows of a node's matrix, are whole numbers of 2⁻¹⁴⁹, as every f32 is.
pub(super) const WEIGHT: i64 = 149;

/// `value` = n·2ᵉ, exactly, as (n, e).
///
/// # Panics
/// If it is infinite or not a number.
pub(super) fn exact(value: f64) -> (BigInt, i64) {
    assert!(value.is_finite(), "a finite number");
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52) as i64 & 0x7ff, bits & ((1 << 52) - 1));
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    let mantissa = BigInt::from(mantissa);
    (if value < 0.0 { -mantissa } else { mantissa }, exponent.max(1) - 1075)
}

/// n·2ᵇʸ, rounded down.
pub(super) fn shift(n: &BigInt, by: i64) -> BigInt {
    if by >= 0 { n << by } else { n >> -by }
}

/// n·2ᵇʸ, rounded up.
pub(super) fn shift_up(n: &BigInt, by: i64) -> BigInt {
    -shift(&-n, by)
}

/// `value` in whole numbers of 2⁻ᵇⁱᵗˢ, rounded down.
pub(super) fn read(value: f64, bits: i64) -> BigInt {
    let (n, exponent) = exact(value);
    shift(&n, exponent + bits)
}

/// `value` in whole numbers of 2⁻ᵇⁱᵗˢ, rounded up.
pub(super) fn read_up(value: f64, bits: i64) -> BigInt {
    -read(-value, bits)
}

/// n/d, rounded down, for d > 0.
pub(super) fn divide(n: &BigInt, d: &BigInt) -> BigInt {
    let (quotient, zero) = (n / d, BigInt::ZERO); // towards 0
    if n % d < zero { quotient - 1 } else { quotient }
}

/// n/d, rounded up, for d > 0.
pub(super) fn divide_up(n: &BigInt, d: &BigInt) -> BigInt {
    -divide(&-n, d)
}

/// n·2⁻⁹⁶ nearly, to show it or to choose by it, never to prove with it.
pub(super) fn approximate(n: &BigInt) -> f64 {
    // Beyond u128 lie sums of huge weights, of which the size is enough.
    let unit = 2.0_f64.powi(-(FINE as i32));
    let whole = |n: &BigInt| i128::try_from(n).ok().map(|n| n as f64);
    whole(n).map(|n| n * unit).or_else(|| whole(&shift(n, -FINE))).unwrap_or(f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_exactly() {
        for value in [0.0, 1.0, -1.5, 5e-324, -0.1, 1e300, f64::MIN_POSITIVE, f64::MAX] {
            let (n, exponent) = exact(value);
            let back = i64::try_from(&n).unwrap() as f64; // of 53 bits
            // in two halves: the power alone may be too small for f64
            let half = exponent as i32 / 2;
            assert_eq!(back * 2.0_f64.powi(half) * 2.0_f64.powi(exponent as i32 - half), value);
        }
        assert_eq!((read(-5e-324, 96), read_up(-5e-324, 96)), (BigInt::from(-1), BigInt::ZERO));
        assert_eq!((read(5e-324, 96), read_up(5e-324, 96)), (BigInt::ZERO, BigInt::from(1)));
        assert_eq!(read(-0.75, 2), BigInt::from(-3));
        assert_eq!(read_up(f64::from(f32::from_bits(1)), WEIGHT), BigInt::from(1));
    }

    proptest! {
        #[test]
        fn roundings_go_where_they_say(n in any::<i64>(), d in 1..1_000_000_i64, by in 1..40_i64) {
            let (n, d) = (i128::from(n), i128::from(d));
            let (big, divisor) = (BigInt::from(n), BigInt::from(d));
            prop_assert_eq!(divide(&big, &divisor), BigInt::from(n.div_euclid(d)));
            prop_assert_eq!(divide_up(&big, &divisor), BigInt::from(-(-n).div_euclid(d)));
            prop_assert_eq!(shift(&big, -by), BigInt::from(n.div_euclid(1 << by)));
            prop_assert_eq!(shift_up(&big, -by), BigInt::from(-(-n).div_euclid(1 << by)));
            prop_assert_eq!(shift_up(&big, by), BigInt::from(n << by));
        }
    }
}
