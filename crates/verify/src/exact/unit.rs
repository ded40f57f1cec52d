//! What a unit makes of its sum, exactly and in f32, and a line near that; by its function.
//!
//! ```text
//! tanh z         = 2·σ(2z) − 1
//! tanh z − λ·z   = 2·(σ(2z) − λ/4·2z) − 1
//! max(z, 0) − λ·z   is convex: largest at an end, least at 0 or, where that is outside, at an end
//! ```

use super::dyadic::{divide, shift, shift_up};
use super::sigmoid::{Bounds, Point, SLOPE, linearisation_error, one, slope};
use crate::cell::Cell;
use num_bigint::BigInt;

/// What a unit may make of any sum in an interval, and a line near it.
pub(super) struct Activated {
    /// The f32 values lie between these.
    pub low: BigInt,
    pub high: BigInt,
    /// In 2⁻⁶⁴; `slope·z + offset` is within `spread` of the exact value for z in the interval …
    pub slope: BigInt,
    pub offset: BigInt,
    pub spread: BigInt,
    /// … and the f32 value within this of the exact one.
    pub ulps: BigInt,
}

/// D, of each of the numbers of a state (h, and of an LSTM then c) the least and the largest there
/// is, whole numbers. Of a ReLU, a GRU and the c of an LSTM no formula says so: a state that may be
/// beyond is refused.
pub(super) fn domain(cell: Cell, hidden: usize) -> Vec<(i32, i32)> {
    match cell {
        Cell::Sigmoid => vec![(0, 1); hidden],
        Cell::Tanh => vec![(-1, 1); hidden],
        Cell::Relu => vec![(0, 8); hidden],
        Cell::Gru => vec![(-2, 2); hidden],
        Cell::Lstm => [vec![(-1, 1); hidden], vec![(-8, 8); hidden]].concat(),
    }
}

/// What is made of a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    Sigmoid,
    Tanh,
    Relu,
}

impl Function {
    /// That of an Elman cell; none of a cell with gates, which has several.
    pub(super) fn of(cell: Cell) -> Option<Self> {
        match cell {
            Cell::Sigmoid => Some(Self::Sigmoid),
            Cell::Tanh => Some(Self::Tanh),
            Cell::Relu => Some(Self::Relu),
            Cell::Gru | Cell::Lstm => None,
        }
    }
}

/// Of a sum that lies between `low` and `high`.
pub(super) fn activate(function: Function, low: BigInt, high: BigInt) -> Activated {
    // An empty set has bounds that cross; then anything holds.
    let (low, high) = if low <= high { (low, high) } else { (high, low) };
    match function {
        Function::Sigmoid => sigmoid_unit(low, high),
        Function::Tanh => tanh_unit(&low, &high),
        Function::Relu => relu_unit(&low, &high),
    }
}

/// The middle of two bounds, and how far both are from it at most.
fn middle((below, above): Bounds) -> (BigInt, BigInt) {
    let offset: BigInt = (&below + &above) >> 1;
    let spread = (&above - &offset).max(&offset - &below);
    (offset, spread)
}

/// How far the f32 function may be from an exact `value`: 3 units of 2⁻²³ of it, or 2⁻¹²⁶, for
/// which stands 2⁻⁹⁶.
fn ulps(value: &BigInt) -> BigInt {
    shift_up(&(3 * BigInt::from(value.magnitude().clone())), -23) + 1
}

fn sigmoid_unit(low: BigInt, high: BigInt) -> Activated {
    let (low, high) = (Point::new(low), Point::new(high));
    let (bottom, top) = (&low.value.0, &high.value.1);
    let slope = slope(&low, &high);
    let (offset, spread) = middle(linearisation_error(&slope, &low, &high));
    Activated {
        low: (bottom - ulps(bottom)).max(BigInt::ZERO),
        high: (top + ulps(top)).min(one()),
        slope,
        offset,
        spread,
        ulps: ulps(top),
    }
}

fn tanh_unit(low: &BigInt, high: &BigInt) -> Activated {
    let (low, high) = (Point::new(low << 1), Point::new(high << 1));
    let (bottom, top) = ((&low.value.0 << 1) - one(), (&high.value.1 << 1) - one());
    let quarter = slope(&low, &high);
    let (below, above) = linearisation_error(&quarter, &low, &high);
    let (offset, spread) = middle(((below << 1) - one(), (above << 1) - one()));
    let most = ulps(&bottom).max(ulps(&top));
    Activated {
        low: (&bottom - ulps(&bottom)).max(-one()),
        high: (&top + ulps(&top)).min(one()),
        slope: quarter << 2,
        offset,
        spread,
        ulps: most,
    }
}

/// Exact in f32, but that a subnormal result may be 0.
fn relu_unit(low: &BigInt, high: &BigInt) -> Activated {
    let zero = BigInt::ZERO;
    let (bottom, top) = (low.max(&zero), high.max(&zero));
    let slope = if high > low {
        divide(&((top - bottom) << SLOPE), &(high - low))
    } else {
        BigInt::from(u8::from(*low > zero)) << SLOPE
    };
    // max(z, 0) − λ·z, in 2⁻⁽⁹⁶⁺⁶⁴⁾
    let (a, b) = ((bottom << SLOPE) - &slope * low, (top << SLOPE) - &slope * high);
    let least = if *low < zero && *high > zero { &zero } else { (&a).min(&b) };
    let bounds = (shift(least, -SLOPE), shift_up((&a).max(&b), -SLOPE));
    let (offset, spread) = middle(bounds);
    Activated {
        low: (bottom - 1_u32).max(BigInt::ZERO),
        high: top.clone(),
        slope,
        offset,
        spread,
        ulps: BigInt::from(1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::dyadic::{FINE, approximate, read};
    use super::*;
    use crate::cell;
    use proptest::prelude::*;

    fn reference(cell: Cell, z: f64) -> f64 {
        match cell {
            Cell::Sigmoid => 1.0 / (1.0 + (-z).exp()),
            Cell::Tanh => z.tanh(),
            Cell::Relu => z.max(0.0),
            Cell::Gru | Cell::Lstm => unreachable!("several sums"),
        }
    }

    #[test]
    fn the_bounds_of_tanh_hold_known_values() {
        // tanh 1 and tanh −1/8, to 40 digits.
        let known = [
            (BigInt::from(1) << FINE, "7615941559557648881194582826047935904128"),
            (BigInt::from(-1) << (FINE - 3), "-1243530017715962080546472758058927076759"),
        ];
        for (z, digits) in known {
            let digits: BigInt = digits.parse().unwrap();
            let power = BigInt::from(10).pow(40);
            let found = activate(Function::Tanh, z.clone(), z);
            let value = divide(&(digits << FINE), &power);
            // what f32 may err by is around the exact value, and the line goes through it
            assert!(found.low < value && value < found.high);
            let width = &found.high - &found.low - 2 * &found.ulps;
            assert!(width < BigInt::from(1) << 16, "{width}");
            assert!(found.spread < BigInt::from(1) << 40, "{}", found.spread);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_unit_is_between_its_bounds_and_near_its_line(
            which in 0..3_usize, a in -30.0..30.0_f64,
            width in prop_oneof![0.0..20.0_f64, 0.0..1e-5_f64, Just(0.0)], at in 0.0..=1.0_f64,
        ) {
            let (cell, low, high) = (Cell::ALL[which], a, a + width);
            let found = activate(Function::of(cell).unwrap(), read(low, FINE), read(high, FINE));
            let z = low + at * (high - low);
            let value = reference(cell, z);
            let (bottom, top) = (approximate(&found.low), approximate(&found.high));
            // the reference is good to an ULP or so of f64
            prop_assert!(bottom <= value + 1e-15 * value.abs() && value - 1e-15 * value.abs() <= top);
            let line = approximate(&shift(&(&found.slope * read(z, FINE)), -SLOPE)) + approximate(&found.offset);
            let spread = approximate(&found.spread);
            prop_assert!((value - line).abs() <= spread + 1e-14 * (1.0 + z.abs()), "{value} {line} {spread}");
        }

        /// Both modes see the same unit: nothing of one lies far outside of the other.
        #[test]
        fn a_unit_is_that_of_the_float_mode(
            which in 0..3_usize, a in -20.0..20.0_f64, width in prop_oneof![0.0..10.0_f64, Just(0.0)],
        ) {
            let (cell, low, high) = (Cell::ALL[which], a, a + width);
            let exact = activate(Function::of(cell).unwrap(), read(low, FINE), read(high, FINE));
            let float = cell.activate(low, high);
            let cell::Activated { low: bottom, high: top, slope, offset, spread, ulp } = float;
            for (exact, float, within) in [
                (&exact.low, bottom, 1e-10), (&exact.high, top, 1e-10), (&exact.ulps, ulp, 1e-10),
                (&shift(&exact.slope, FINE - SLOPE), slope, 1e-5),
                (&exact.offset, offset, 1e-3), (&exact.spread, spread, 1e-3),
            ] {
                prop_assert!((approximate(exact) - float).abs() <= within, "{} {float}", approximate(exact));
            }
            prop_assert!(bottom <= approximate(&exact.low) && approximate(&exact.high) <= top);
        }
    }

    #[test]
    fn a_relu_is_exact() {
        let unit = || BigInt::from(1) << FINE;
        let found = activate(Function::Relu, unit(), 3 * unit());
        assert_eq!((found.low, found.high), (unit() - 1, 3 * unit()));
        assert_eq!(
            (found.slope, found.offset, found.spread),
            (BigInt::from(1) << SLOPE, BigInt::ZERO, BigInt::ZERO)
        );
        // half of the way from −1 to 1: λ = ½, and max(z, 0) − z/2 in [0, ½]
        let found = activate(Function::Relu, -unit(), unit());
        assert_eq!((found.low, found.high), (BigInt::ZERO, unit()));
        assert_eq!((found.offset, found.spread), (unit() >> 2, unit() >> 2));
        let found = activate(Function::Relu, -unit(), -unit());
        assert_eq!(
            (found.low, found.high, found.spread),
            (BigInt::ZERO, BigInt::ZERO, BigInt::ZERO)
        );
    }
}
