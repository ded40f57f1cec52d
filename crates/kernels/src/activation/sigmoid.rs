//! The logistic sigmoid `σ(x) = 1 / (1 + e^{−x})` and its backward pass.
//!
//! ```text
//! −x = n·ln 2 + r, |r| ≤ ln 2 / 2     w = K·2^−n     σ(x) = w / (w + K·e^r)
//! ```
//!
//! 1. Multiplied through by `w`, nothing overflows on either side: towards ∞ both
//!    sides of the fraction become `w`. No absolute value, no selection by sign.
//! 2. `x` is clamped above, with the operands ordered so that NaN passes. Below, where `w`
//!    would leave the normal range, the quotient is masked to 0 instead: a comparison
//!    uses one port, and the other is needed for the division.
//! 3. `−n` comes from adding a magic number; the low bits of the sum are the exponent field
//!    of `w`. One shift moves them into place and shifts in the mantissa of `K`.
//! 4. `r` in two steps (Cody and Waite), the first exact.
//! 5. The denominator is `(w + K) + r·g` with `K·e^r = K + r·g`, by Horner's scheme
//!    without the square of `r`: enough vectors are in flight to hide its latency.
//! 6. `w + K` is exact for 2⁻²¹ ≤ w/K ≤ 2²². K = 1 would lose the whole of `w = 2⁻²⁴` at
//!    the tie with 1, where a unit in the last place of the result is smallest (2.45 ULP).
//!    At K = 7/4 that loss and the rounding of the sum matter less: 1.83 ULP.
//!    (5/4: 2.07, 11/8: 2.02, 3/2: 1.82 but 2.00 without FMA.)
//!
//! Lower bound: the division, 10 cycles for 16 values if 512 bits wide, and beside it 17
//! operations on two ports (the division counts three).

#![expect(
    clippy::redundant_closure,
    reason = "a call through a function's own `Fn` is not inlined"
)]

use super::exp::{BIASED_MAGIC, LN2_HI, LN2_LO};
use super::map::{map, map_into, zip_map};
use crate::lanes::{IntLanes, Lanes, each, in_step, with_exponent, zero_below};

/// `σ(x)` of each lane.
#[inline(always)]
pub fn sigmoid_lanes(x: Lanes) -> Lanes {
    let [y] = sigmoid_vectors([x]);
    y
}

/// [`sigmoid_lanes`] of each of N vectors, operation by operation.
#[inline(always)]
fn sigmoid_vectors<const N: usize>(x: [Lanes; N]) -> [Lanes; N] {
    const HIGHEST: f32 = 70.0; // σ is 1 from 17.4 on; w stays finite
    const LOWEST: f32 = -87.68; // −126.5·ln 2: w stays normal
    const K: f32 = 1.75;
    // (e^r − 1 − r)/r² on |r| ≤ ln 2 / 2, minimax in the relative error of e^r
    // (Lawson's iteration, coefficients rounded to f32 one after another): 3.1e-9.
    const C0: f32 = 0.499_999_94;
    const C1: f32 = 0.166_665_21;
    const C2: f32 = 0.041_668_262;
    const C3: f32 = 0.008_368_675;
    const C4: f32 = 0.001_382_105_6;
    let splat = Lanes::splat;

    // The order of the operands lets NaN through.
    let clamped: [Lanes; N] = each(|v| splat(HIGHEST).fast_min(x[v]));
    let shifted: [Lanes; N] =
        each(|v| clamped[v].mul_add(splat(std::f32::consts::LOG2_E), splat(BIASED_MAGIC)));
    let minus_n: [Lanes; N] = each(|v| shifted[v] - splat(BIASED_MAGIC));
    let w: [Lanes; N] = each(|v| with_exponent::<{ K.to_bits() }>(shifted[v]));
    let r: [Lanes; N] = each(|v| minus_n[v].mul_sub(splat(LN2_HI), clamped[v]));
    let r: [Lanes; N] = each(|v| minus_n[v].mul_add(splat(LN2_LO), r[v]));

    let r = in_step(r);
    let mut c: [Lanes; N] = each(|v| r[v].mul_add(splat(K * C4), splat(K * C3)));
    for coefficient in [K * C2, K * C1, K * C0, K] {
        c = each(|v| r[v].mul_add(c[v], splat(coefficient)));
    }
    let c = in_step(c);
    let denominator = in_step::<N>(each(|v| r[v].mul_add(c[v], w[v] + splat(K))));
    let quotient: [Lanes; N] = each(|v| w[v] / denominator[v]);
    each(|v| zero_below(LOWEST, x[v], quotient[v]))
}

/// `σ(x)` of each lane, for a chain of dependent steps: a latency six cycles shorter than
/// that of [`sigmoid_lanes`], for more operations.
///
/// `σ(x) = 1 / (1 + e^{−x})`, with no clamp before the exponential and none after it:
///
/// 1. Where `e^{−x}` leaves the range, its power of two is replaced by 0 or ∞ (or NaN), and
///    a mask keeps the polynomial out of the last multiply-add. The mask is known long
///    before that multiply-add.
/// 2. The polynomial is all Estrin: a latency of 12 cycles.
/// 3. `1 + 2ⁿ·e^r` is one multiply-add, `2ⁿ·(e^r − 1) + (1 + 2ⁿ)`. Where `1 + 2ⁿ` rounds the
///    1 away (n ≥ 24), adding `2⁻ⁿ` to `e^r − 1` restores it.
#[inline(always)]
pub fn sigmoid_chain_lanes(x: Lanes) -> Lanes {
    const LARGEST: f32 = 88.0; // |n| ≤ 127: 2ⁿ is 0 or normal
    const DROPS_ONE: f32 = 23.5;
    // As in `sigmoid_lanes`: 3.3e-9.
    const C0: f32 = 0.499_999_94;
    const C1: f32 = 0.166_665_17;
    const C2: f32 = 0.041_668_102;
    const C3: f32 = 0.008_369_165_5;
    const C4: f32 = 0.001_383_832_3;
    const BIAS_TWICE: i32 = 2 * 127;
    let splat = Lanes::splat;
    let bits = |x: Lanes| bytemuck::cast::<Lanes, IntLanes>(x);
    let floats = |x: IntLanes| bytemuck::cast::<IntLanes, Lanes>(x);

    let shifted = x.mul_neg_add(splat(std::f32::consts::LOG2_E), splat(BIASED_MAGIC));
    let n = shifted - splat(BIASED_MAGIC);
    let r = n.mul_neg_sub(splat(LN2_HI), x);
    let r = n.mul_neg_add(splat(LN2_LO), r);

    let in_range = x.abs().simd_lt(splat(LARGEST));
    // The order of the operands lets NaN through.
    let beyond = Lanes::ZERO.fast_max(x * splat(-f32::MAX));
    let exponent = bits(shifted) << 23;
    let power = in_range.select(floats(exponent), beyond);
    let inverse = floats(IntLanes::splat(BIAS_TWICE << 23) - exponent);
    let linear = n.simd_gt(splat(DROPS_ONE)).select(r + inverse, r);

    let r2 = r * r;
    let low = r2.mul_add(r.mul_add(splat(C1), splat(C0)), linear);
    let high = r2.mul_add(splat(C4), r.mul_add(splat(C3), splat(C2)));
    let expm1 = (r2 * r2).mul_add(high, low);
    let one_and_power = Lanes::ONE + power;
    Lanes::ONE / in_range.select(power.mul_add(expm1, one_and_power), one_and_power)
}

/// `x[i] ← σ(x[i])`, in place, at any length.
pub fn sigmoid(x: &mut [f32]) {
    map(x, |x| sigmoid_vectors(x), sigmoid_lanes);
}

/// `y[i] ← σ(x[i])`, at any length.
///
/// # Panics
/// If `x` and `y` differ in length.
#[track_caller]
pub fn sigmoid_into(x: &[f32], y: &mut [f32]) {
    map_into(x, y, |x| sigmoid_vectors(x), sigmoid_lanes);
}

/// `dy[i] ← dy[i] · y[i]·(1 − y[i])`: from the gradient of the output `y = σ(x)` to
/// that of the input, since `σ′ = σ·(1 − σ)`.
///
/// # Panics
/// If `y` and `dy` differ in length.
#[track_caller]
pub fn sigmoid_backward(y: &[f32], dy: &mut [f32]) {
    zip_map(y, dy, |y, dy| dy * (y * (Lanes::ONE - y)));
}
