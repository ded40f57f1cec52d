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

/// `σ(x)` of each lane, for a chain of dependent steps: a latency some ten cycles shorter than
/// that of [`sigmoid_lanes`], for more operations.
///
/// ```text
/// σ(x) = 1 / (1 + e^{−x})     −x = n·ln 2 + r + lo     p = 2ⁿ     lo is what ln 2 has beyond f32
/// 1 + e^{−x} = (1 + p) + (q·(1 + C0·(r + lo)) + q·r²·(C1 + C2·r + r²(C3 + C4·r)))     q = p·(r + lo)
/// ```
///
/// 1. No clamp before the exponential and none after it: where it leaves the range, the last sum is
///    replaced by 1, ∞ or NaN, which are known long before that sum.
/// 2. Whatever can be had from `x` without `r` is: `p`, and `lo` from `x` instead of from n, which
///    changes it by 10⁻⁹ at the most. So four operations are between `r` and the sum, which is
///    rounded once: a shorter way, by two multiply-adds, rounds it twice and errs by 2.45 ULP.
/// 3. Where `1 + p` rounds the 1 away (n ≥ 24), q gets it: what q is multiplied by is 0.8 to 1.2.
///
/// What binds it is latency, by the numbers of Zen 3 (a multiply-add 4 cycles, an addition or product
/// 3): `r` comes after 11, the sum after 26, the selection takes 1 and the division 10.5. Of its 26
/// operations 14 are multiply-adds or products.
#[inline(always)]
pub fn sigmoid_chain_lanes(x: Lanes) -> Lanes {
    const LARGEST: f32 = 88.0; // |n| ≤ 127: 2ⁿ is 0 or normal
    const DROPS_ONE: f32 = BIASED_MAGIC + 24.0;
    // As in `sigmoid_lanes`: 3.3e-9.
    const C0: f32 = 0.499_999_94;
    const C1: f32 = 0.166_665_17;
    const C2: f32 = 0.041_668_102;
    const C3: f32 = 0.008_369_165_5;
    const C4: f32 = 0.001_383_832_3;
    /// (ln 2 − LN_2)·log2 e
    const LO: f32 = -2.747_837_5e-9;
    let splat = Lanes::splat;
    let bits = |x: Lanes| bytemuck::cast::<Lanes, IntLanes>(x);
    let floats = |x: IntLanes| bytemuck::cast::<IntLanes, Lanes>(x);

    let shifted = x.mul_neg_add(splat(std::f32::consts::LOG2_E), splat(BIASED_MAGIC));
    let n = shifted - splat(BIASED_MAGIC);
    // A product that is rounded has to be exact.
    let (r, lo) = if cfg!(target_feature = "fma") {
        (n.mul_neg_sub(splat(std::f32::consts::LN_2), x), x * splat(LO))
    } else {
        let r = n.mul_neg_sub(splat(LN2_HI), x);
        (n.mul_neg_add(splat(LN2_LO), r), Lanes::ZERO)
    };

    let power = floats(bits(shifted) << 23);
    let one = Lanes::ONE & shifted.simd_ge(splat(DROPS_ONE));
    let power_lo = power.mul_add(lo, one);
    let factor = lo.mul_add(splat(C0), Lanes::ONE);
    let one_and_power = Lanes::ONE + power;
    let in_range = x.abs().simd_lt(splat(LARGEST));
    // The order of the operands lets NaN through.
    let beyond = Lanes::ONE.fast_max(x * splat(-f32::MAX));

    let r2 = r * r;
    let factor = r.mul_add(splat(C0), factor);
    let high = r2.mul_add(r.mul_add(splat(C4), splat(C3)), r.mul_add(splat(C2), splat(C1)));
    let power_r = power.mul_add(r, power_lo);
    let small = (power_r * r2).mul_add(high, power_r * factor);
    Lanes::ONE / in_range.select(one_and_power + small, beyond)
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
