//! The logistic sigmoid `σ(x) = 1 / (1 + e^{−x})` and its way back.
//!
//! ```text
//! −x = n·ln 2 + r, |r| ≤ ln 2 / 2     w = 2^−n     σ(x) = w / (w + e^r)
//! ```
//!
//! 1. Multiplied through by `w`, nothing overflows on either side: towards ∞ both
//!    sides of the fraction become `w`, towards −∞ its numerator becomes 0 exactly.
//!    No absolute value, no selection by sign.
//! 2. `−n` falls out of adding a magic number, whose low bits then are the exponent
//!    field of `w`: one shift, off the critical path.
//! 3. `r` in two steps (Cody and Waite), the first exact.
//! 4. `e^r − 1` by a minimax polynomial, half Estrin, half Horner: as many
//!    operations as Horner, 16 cycles deep, not 24.
//! 5. The denominator is `(w + 3/4) + (1/4 + (e^r − 1))`. The first bracket is exact
//!    for 2⁻²⁴ ≤ w ≤ 2²¹, where `w + 1` would lose the tie at 2⁻²⁴ (2.4 ULP). A
//!    quarter, for less moves that loss to the other end and more adds roundings of
//!    its own: 1/8 and 1/16 reach 2.08 ULP, 1/2 reaches 2.4.
//!
//! Floor: the division, 10 cycles for 16 values where 512 bits wide, beside it 19
//! operations on two ports (the division counts three): 0.18 ns a value at 3.5 GHz.
//! A reciprocal estimate with its refinement costs what it saves in division.

use super::exp::{BIASED_MAGIC, LN2_HI, LN2_LO};
use super::{map, map_into, zip_map};
use crate::lanes::{IntLanes, Lanes};

/// `σ(x)` of each lane.
#[inline(always)]
pub fn sigmoid_lanes(x: Lanes) -> Lanes {
    const HIGHEST: f32 = 70.0; // σ is 1 from 17.4 on; w stays finite
    const LOWEST: f32 = -88.0; // n = 127: the exponent field is 0, and so is w
    // (e^r − 1 − r)/r² on |r| ≤ ln 2 / 2, minimax in the relative error of e^r
    // (Lawson's iteration, coefficients rounded to f32 one after another): 3.1e-9.
    const C0: f32 = 0.499_999_94;
    const C1: f32 = 0.166_665_21;
    const C2: f32 = 0.041_668_262;
    const C3: f32 = 0.008_368_675;
    const C4: f32 = 0.001_382_105_6;
    const QUARTER: f32 = 0.25;
    let splat = Lanes::splat;

    // The order of the operands lets NaN through.
    let x = splat(LOWEST).fast_max(splat(HIGHEST).fast_min(x));
    let shifted = x.mul_add(splat(std::f32::consts::LOG2_E), splat(BIASED_MAGIC));
    let minus_n = shifted - splat(BIASED_MAGIC);
    let w: Lanes = bytemuck::cast(bytemuck::cast::<Lanes, IntLanes>(shifted) << 23);
    let r = minus_n.mul_sub(splat(LN2_HI), x);
    let r = minus_n.mul_add(splat(LN2_LO), r);

    let r2 = r * r;
    let c01 = r.mul_add(splat(C1), splat(C0));
    let c23 = r.mul_add(splat(C3), splat(C2));
    let c = r2.mul_add(r2.mul_add(splat(C4), c23), c01);
    let exp_minus_three_quarters = c.mul_add(r2, r + splat(QUARTER));
    w / ((w + splat(1.0 - QUARTER)) + exp_minus_three_quarters)
}

/// `σ(x)` of each lane, for a chain of dependent steps: the result is there six cycles
/// sooner than that of [`sigmoid_lanes`], and costs more operations.
///
/// `σ(x) = 1 / (1 + e^{−x})`, with no clamp before the exponential and none behind:
///
/// 1. Where `e^{−x}` leaves the range, its power of two is replaced by 0 or ∞ (or NaN),
///    and the last multiply-add, masked, leaves the polynomial's nonsense out. All of
///    this is known long before that multiply-add.
/// 2. The polynomial is all Estrin: 12 cycles deep.
/// 3. `1 + 2ⁿ·e^r` is one multiply-add, `2ⁿ·(e^r − 1) + (1 + 2ⁿ)`. Where `1 + 2ⁿ` drops the
///    1 (n ≥ 24), `2⁻ⁿ` added to `e^r − 1` puts it back.
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
    map(x, sigmoid_lanes);
}

/// `y[i] ← σ(x[i])`, at any length.
///
/// # Panics
/// If `x` and `y` differ in length.
pub fn sigmoid_into(x: &[f32], y: &mut [f32]) {
    map_into(x, y, sigmoid_lanes);
}

/// `dy[i] ← dy[i] · y[i]·(1 − y[i])`: from the gradient of the output `y = σ(x)` to
/// that of the input, since `σ′ = σ·(1 − σ)`.
///
/// # Panics
/// If `y` and `dy` differ in length.
pub fn sigmoid_backward(y: &[f32], dy: &mut [f32]) {
    zip_map(y, dy, |y, dy| dy * (y * (Lanes::ONE - y)));
}
