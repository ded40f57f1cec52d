//! The hyperbolic tangent and its backward pass.
//!
//! ```text
//! 2|x| = n·ln 2 + r, |r| ≤ ln 2 / 2     v = 2^−n     q = e^r − 1
//! tanh |x| = (e^{2|x|} − 1) / (e^{2|x|} + 1) = (q + (1 − v)) / (q + (1 + v))
//! ```
//!
//! 1. The sign is taken off and put back, so the result is exactly odd. |x| is clamped where
//!    the result is 1, with the operands ordered so that NaN passes.
//! 2. Both sides of the fraction are divided by `2ⁿ`: for small x (n = 0) the numerator is
//!    `q` itself, and its relative accuracy is that of the result. `1 ± v` are exact, or so
//!    near 1 that the error does not matter.
//! 3. `n`, `r` and `q` as in `exp`.
//! 4. The quotient is estimated and corrected once by its remainder
//!    `numerator − y·(q + (1 + v))`, in two fused steps, so that the denominator is never
//!    rounded. That brings 2.8 ULP down to 2.0.
//!
//! Lower bound: 27 operations of 512 bits (the estimate counts three) on two ports, 13.5
//! cycles for 16 values.
//!
//! There is no second tier, faster and less accurate: it saved too little
//! (`benches/README.md`).

#![expect(
    clippy::redundant_closure,
    reason = "a call through a function's own `Fn` is not inlined"
)]

use super::exp::{BIASED_MAGIC, LN2_HI, LN2_LO, expm1_reduced};
use super::map::{map, map_into, zip_map};
use crate::lanes::{IntLanes, Lanes, each, in_step, reciprocal_estimate};

/// `tanh(x)` of each lane.
#[inline(always)]
pub fn tanh_lanes(x: Lanes) -> Lanes {
    let [y] = tanh_vectors([x]);
    y
}

/// [`tanh_lanes`] of each of N vectors, operation by operation.
#[inline(always)]
fn tanh_vectors<const N: usize>(x: [Lanes; N]) -> [Lanes; N] {
    const HIGHEST: f32 = 9.1; // tanh rounds to 1 from 9.02 on
    let splat = Lanes::splat;
    let power = |shifted: Lanes| -> Lanes {
        bytemuck::cast(bytemuck::cast::<Lanes, IntLanes>(shifted) << 23)
    };

    let a: [Lanes; N] = each(|k| splat(HIGHEST).fast_min(x[k].abs()));
    let shifted: [Lanes; N] =
        each(|k| a[k].mul_neg_add(splat(2.0 * std::f32::consts::LOG2_E), splat(BIASED_MAGIC)));
    let minus_n: [Lanes; N] = each(|k| shifted[k] - splat(BIASED_MAGIC));
    let v: [Lanes; N] = each(|k| power(shifted[k]));
    let r: [Lanes; N] = each(|k| minus_n[k].mul_add(splat(LN2_HI), a[k] + a[k]));
    let r: [Lanes; N] = each(|k| minus_n[k].mul_add(splat(LN2_LO), r[k]));
    let q = expm1_reduced(r);

    let numerator: [Lanes; N] = each(|k| q[k] + (splat(1.0) - v[k]));
    let one_plus_v: [Lanes; N] = each(|k| splat(1.0) + v[k]);
    let reciprocal: [Lanes; N] = each(|k| reciprocal_estimate(q[k] + one_plus_v[k]));
    let reciprocal = in_step(reciprocal);
    let estimate: [Lanes; N] = each(|k| numerator[k] * reciprocal[k]);
    let remainder: [Lanes; N] = each(|k| estimate[k].mul_neg_add(one_plus_v[k], numerator[k]));
    let remainder: [Lanes; N] = each(|k| estimate[k].mul_neg_add(q[k], remainder[k]));
    let magnitude: [Lanes; N] = each(|k| remainder[k].mul_add(reciprocal[k], estimate[k]));
    each(|k| magnitude[k] | (x[k] & splat(-0.0)))
}

/// `x[i] ← tanh(x[i])`, in place, at any length.
pub fn tanh(x: &mut [f32]) {
    map(x, |x| tanh_vectors(x), tanh_lanes);
}

/// `y[i] ← tanh(x[i])`, at any length.
///
/// # Panics
/// If `x` and `y` differ in length.
#[track_caller]
pub fn tanh_into(x: &[f32], y: &mut [f32]) {
    map_into(x, y, |x| tanh_vectors(x), tanh_lanes);
}

/// `dy[i] ← dy[i] · (1 − y[i]²)`: from the gradient of the output `y = tanh(x)` to
/// that of the input, since `tanh′ = 1 − tanh²`.
///
/// Evaluated as `(1 − y)·(1 + y)`, which keeps its relative accuracy where y is near 1.
///
/// # Panics
/// If `y` and `dy` differ in length.
#[track_caller]
pub fn tanh_backward(y: &[f32], dy: &mut [f32]) {
    zip_map(y, dy, |y, dy| dy * ((Lanes::ONE - y) * (Lanes::ONE + y)));
}
