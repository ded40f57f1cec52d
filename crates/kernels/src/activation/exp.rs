//! `e^x`, and the reduction and polynomial that `tanh` shares with it.
//!
//! ```text
//! n = round(x / ln 2)     r = x − n·ln 2, |r| ≤ ln 2 / 2     e^x = 2ⁿ · (1 + expm1(r))
//! ```
//!
//! 1. `x` is clamped just beyond overflow and underflow, with the operands ordered so that
//!    NaN passes; after that there are no special cases.
//! 2. `n` comes from adding a magic number so large that its unit in the last place is 1: a
//!    fused multiply-add and a subtraction instead of a rounding and a conversion.
//! 3. `r` in two steps (Cody and Waite), the first exact.
//! 4. `expm1(r)` by a minimax polynomial, half Estrin, half Horner: a latency of 16 cycles
//!    instead of Horner's 28, for one multiplication more. The 1 is added last, so the sum
//!    has one full rounding.
//! 5. The scaling by `2ⁿ` rounds only a subnormal result, and overflows by itself.
//!
//! Lower bound: 16 operations of 512 bits (the scaling counts two) on two ports, 8 cycles
//! for 16 values.

#![expect(
    clippy::redundant_closure,
    reason = "a call through a function's own `Fn` is not inlined"
)]

use super::map::{map, map_into};
use crate::lanes::{Lanes, each, in_step, scale_by_power_of_two};

/// 1.5·2²³: the unit in the last place of a sum with it is 1.
const MAGIC: f32 = 12_582_912.0;
/// [`MAGIC`] + 127: the low bits of a sum `n + BIASED_MAGIC` are the exponent
/// field of `2ⁿ`, one shift away from its place.
pub(super) const BIASED_MAGIC: f32 = 12_583_039.0;
/// ln 2 = `LN2_HI` + `LN2_LO`; the first has 15 significant bits, so that a product
/// with an integer below 2⁹ is exact with or without fused multiply-add.
pub(super) const LN2_HI: f32 = 0.693_145_75;
pub(super) const LN2_LO: f32 = 1.428_606_8e-6;

/// `e^x` of each lane.
#[inline(always)]
pub fn exp_lanes(x: Lanes) -> Lanes {
    let [y] = exp_vectors([x]);
    y
}

/// [`exp_lanes`] of each of N vectors, operation by operation.
#[inline(always)]
fn exp_vectors<const N: usize>(x: [Lanes; N]) -> [Lanes; N] {
    const HIGHEST: f32 = 89.0; // e^88.73 is the first beyond f32
    const LOWEST: f32 = -104.0; // e^−103.98 rounds to zero
    let splat = Lanes::splat;

    let x: [Lanes; N] = each(|v| splat(LOWEST).fast_max(splat(HIGHEST).fast_min(x[v])));
    let shifted: [Lanes; N] = each(|v| x[v].mul_add(splat(std::f32::consts::LOG2_E), splat(MAGIC)));
    let n: [Lanes; N] = each(|v| shifted[v] - splat(MAGIC));
    let r: [Lanes; N] = each(|v| n[v].mul_neg_add(splat(LN2_HI), x[v]));
    let r: [Lanes; N] = each(|v| n[v].mul_neg_add(splat(LN2_LO), r[v]));
    let expm1 = expm1_reduced(r);
    let y: [Lanes; N] = each(|v| expm1[v] + splat(1.0));
    each(|v| scale_by_power_of_two(y[v], shifted[v]))
}

/// `e^r − 1` for |r| ≤ ln 2 / 2.
///
/// `r + r²·(C0 + … + C5·r⁵)`, minimax in the error relative to r (Lawson's
/// iteration, coefficients rounded to f32 one after another): 4.3e-10.
#[inline(always)]
pub(super) fn expm1_reduced<const N: usize>(r: [Lanes; N]) -> [Lanes; N] {
    const C0: f32 = 0.5;
    const C1: f32 = 0.166_666_67;
    const C2: f32 = 0.041_666_49;
    const C3: f32 = 0.008_333_207;
    const C4: f32 = 0.001_393_266_6;
    const C5: f32 = 0.000_199_451_07;
    let splat = Lanes::splat;

    let r = in_step(r);
    let r2: [Lanes; N] = each(|v| r[v] * r[v]);
    let c45: [Lanes; N] = each(|v| r[v].mul_add(splat(C5), splat(C4)));
    let c23: [Lanes; N] = each(|v| r[v].mul_add(splat(C3), splat(C2)));
    let c25: [Lanes; N] = each(|v| r2[v].mul_add(c45[v], c23[v]));
    let c01: [Lanes; N] = each(|v| r[v].mul_add(splat(C1), splat(C0)));
    let c: [Lanes; N] = each(|v| r2[v].mul_add(c25[v], c01[v]));
    let c = in_step(c);
    each(|v| c[v].mul_add(r2[v], r[v]))
}

/// `x[i] ← e^{x[i]}`, in place, at any length.
pub fn exp(x: &mut [f32]) {
    map(x, |x| exp_vectors(x), exp_lanes);
}

/// `y[i] ← e^{x[i]}`, at any length.
///
/// # Panics
/// If `x` and `y` differ in length.
#[track_caller]
pub fn exp_into(x: &[f32], y: &mut [f32]) {
    map_into(x, y, |x| exp_vectors(x), exp_lanes);
}
