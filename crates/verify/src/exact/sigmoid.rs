//! Enclosures of the exact sigmoid σ, and of its distance from a line, in whole numbers of 2⁻⁹⁶.
//!
//! ```text
//! e⁻ʸ = (e^{−y/256})²⁵⁶                by eight squarings, each rounded outwards
//! e^{−x} between 1 − x + x²/2! − …     and the same with one more term, as 0 ≤ x ≤ ¼: the
//!                                      terms alternate and shrink
//! σ(−y) = e⁻ʸ/(1 + e⁻ʸ)                which grows with e⁻ʸ
//! ```

use super::dyadic::{FINE, approximate, divide, divide_up, read, shift, shift_up};
use num_bigint::BigInt;

/// Within the exponential, whole numbers of 2⁻¹²⁸.
const INNER: i64 = 128;
/// 2⁸ is the power that the series is raised to.
const SQUARINGS: i64 = 8;
/// Beyond, e⁻ʸ is taken for anything from 0 to what it is here.
const FAR: i64 = 64;
/// Slopes are whole numbers of 2⁻⁶⁴.
pub(super) const SLOPE: i64 = 64;

/// A lower and an upper bound.
pub(super) type Bounds = (BigInt, BigInt);

/// 1
pub(super) fn one() -> BigInt {
    BigInt::from(1) << FINE
}

/// σ(z)
pub(super) fn sigmoid(z: &BigInt) -> Bounds {
    if *z > BigInt::ZERO {
        let (low, high) = sigmoid(&-z);
        return (one() - high, one() - low);
    }
    let far = BigInt::from(FAR) << FINE;
    let distance = -z;
    let (low, high) =
        if distance > far { (BigInt::ZERO, exponential(&far).1) } else { exponential(&distance) };
    let unit = BigInt::from(1) << INNER;
    (divide(&(&low << FINE), &(&unit + &low)), divide_up(&(&high << FINE), &(&unit + &high)))
}

/// e⁻ʸ in whole numbers of 2⁻¹²⁸, for 0 ≤ y ≤ 64.
fn exponential(y: &BigInt) -> Bounds {
    let x = shift(y, INNER - FINE - SQUARINGS); // exactly: it is a shift to the left
    let unit = BigInt::from(1) << INNER;
    let (mut low, mut high) = (unit.clone(), unit.clone());
    let (mut least, mut most) = (unit.clone(), unit); // of the term xⁿ/n!
    let enough = BigInt::from(1_u64 << 24);
    for n in 1_u32.. {
        least = shift(&(&least * &x), -INNER) / n;
        most = divide_up(&shift_up(&(&most * &x), -INNER), &n.into());
        if most <= enough {
            // All that is left out has the sign of this term, or is smaller than it.
            low -= &most;
            high += &most;
            break;
        }
        if n % 2 == 1 {
            low -= &most;
            high -= &least;
        } else {
            low += &least;
            high += &most;
        }
    }
    for _ in 0..SQUARINGS {
        low = shift(&(&low * &low), -INNER);
        high = shift_up(&(&high * &high), -INNER);
    }
    (low, high)
}

/// z, with σ(z) enclosed.
pub(super) struct Point {
    pub z: BigInt,
    pub value: Bounds,
}

impl Point {
    pub(super) fn new(z: BigInt) -> Self {
        let value = sigmoid(&z);
        Self { z, value }
    }

    /// The point at −z: σ(−z) = 1 − σ(z).
    fn mirrored(&self) -> Self {
        let (low, high) = &self.value;
        Self { z: -&self.z, value: (one() - high, one() - low) }
    }

    /// At least σ(z) − slope·z.
    fn above(&self, slope: &BigInt) -> BigInt {
        &self.value.1 - shift(&(slope * &self.z), -SLOPE)
    }
}

/// A slope between 0 and ¼ that suits σ on [low, high]: that of the chord. Any other would be
/// as sound.
pub(super) fn slope(low: &Point, high: &Point) -> BigInt {
    let width = &high.z - &low.z;
    let slope = if width > shift(&one(), -20) {
        divide(&((&high.value.0 - &low.value.0) << SLOPE), &width)
    } else {
        let value = &low.value.0;
        shift(&(value * (one() - value)), SLOPE - 2 * FINE)
    };
    slope.clamp(BigInt::ZERO, BigInt::from(1) << (SLOPE - 2))
}

/// At most the least, and at least the largest, `σ(z) − slope·z` on [low, high].
///
/// By σ(−z) = 1 − σ(z), the least is 1 less the largest on [−high, −low].
pub(super) fn linearisation_error(slope: &BigInt, low: &Point, high: &Point) -> Bounds {
    (one() - largest(slope, &high.mirrored(), &low.mirrored()), largest(slope, low, high))
}

/// At least the largest `f(z) = σ(z) − slope·z` on [low, high].
///
/// On z ≤ 0, σ is convex, so f is largest at an end. On z ≥ 0 it is concave, so f lies below
/// each of its tangents; such a line is largest at an end, and both parts meet at 0.
fn largest(slope: &BigInt, low: &Point, high: &Point) -> BigInt {
    let mut most = low.above(slope).max(high.above(slope));
    if high.z > BigInt::ZERO {
        let from = (&low.z).max(&BigInt::ZERO).clone();
        // Where σ′ = σ·(1 − σ) = slope, nearly.
        let root = (1.0 - 4.0 * approximate(&shift(slope, FINE - SLOPE))).max(0.0).sqrt();
        let touch = read(((1.0 + root) / (1.0 - root).max(1e-30)).ln(), FINE);
        let at = Point::new(touch.clamp(from.clone(), high.z.clone()));
        // σ·(1 − σ) falls as σ grows above ½.
        let derivative = |value: &BigInt| value * (one() - value);
        let slope_fine = slope << (2 * FINE - SLOPE);
        let steepest = derivative(&(&at.value.0).max(&shift(&one(), -1)).clone()) - &slope_fine;
        let flattest = derivative(&at.value.1) - slope_fine;
        let rise = (steepest * (&high.z - &at.z)).max(flattest * (from - &at.z));
        most = most.max(at.above(slope) + shift_up(&rise, -2 * FINE));
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reference(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn the_bounds_of_the_sigmoid_are_near_each_other_everywhere() {
        assert_eq!(sigmoid(&BigInt::ZERO).0, shift(&one(), -1));
        for n in -3_000..3_000 {
            let (low, high) = sigmoid(&read(f64::from(n) / 37.0, FINE));
            assert!(low <= high && high - low <= shift_up(&one(), -80), "{n}");
        }
    }

    #[test]
    fn the_bounds_of_the_sigmoid_hold_known_values() {
        // σ(1) and σ(−10), to 40 digits.
        let known = [
            (1, "7310585786300048792511592418218362743651"),
            (-10, "453978687024343945047762327634894550"),
        ];
        for (z, digits) in known {
            let digits: BigInt = digits.parse().unwrap();
            let power = BigInt::from(10).pow(40);
            let (low, high) = sigmoid(&(BigInt::from(z) << FINE));
            assert!(low <= divide_up(&((&digits + 1) << FINE), &power), "{z}");
            assert!(high >= divide(&((&digits - 1) << FINE), &power), "{z}");
        }
    }

    proptest! {
        #[test]
        fn the_bounds_of_the_sigmoid_hold_it(x in prop_oneof![-50.0..50.0_f64, -1e9..1e9_f64]) {
            let (low, high) = sigmoid(&read(x, FINE));
            let value = reference(x);
            // The reference is good to an ULP or so of f64.
            prop_assert!(approximate(&low) <= value + 1e-15 && value - 1e-15 <= approximate(&high));
        }

        #[test]
        fn a_line_follows_the_sigmoid_within_its_linearisation_error(
            slope in 0.0..=0.25_f64, chord in any::<bool>(),
            a in -30.0..30.0_f64, width in 0.0..20.0_f64, at in 0.0..=1.0_f64,
        ) {
            let (low, high) = (a, a + width);
            let ends = (Point::new(read(low, FINE)), Point::new(read(high, FINE)));
            let slope = if chord { super::slope(&ends.0, &ends.1) } else { read(slope, SLOPE) };
            let (below, above) = linearisation_error(&slope, &ends.0, &ends.1);
            let (below, above) = (approximate(&below), approximate(&above));
            let slope = approximate(&shift(&slope, FINE - SLOPE));
            let z = low + at * (high - low);
            let error = reference(z) - slope * z;
            prop_assert!(below - 1e-14 <= error && error <= above + 1e-14);
            // and not by a mile: no wider than what the ends and a step between them show
            let seen = (0..=2_000).map(|n| low + f64::from(n) / 2_000.0 * (high - low));
            let seen = seen.map(|z| reference(z) - slope * z);
            let (least, most) = seen.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
            prop_assert!(above - most < 1e-2 + 1e-3 * width && least - below < 1e-2 + 1e-3 * width);
        }
    }
}
