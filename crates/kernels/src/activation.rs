//! Activations over slices, one polynomial and no branch on the data.
//!
//! The vector forms (`*_lanes`) are what the fused recurrent steps inline; the
//! slice forms are what everyone else calls. `tests/precision.rs` holds the
//! error bound of each in ULP.

use crate::lanes::{IntLanes, LANES, Lanes, load_partial, store_partial};

/// The logistic sigmoid `σ(x) = 1 / (1 + e^{−x})` of each lane.
///
/// With `e = e^{−|x|}` in (0, 1], `σ(|x|) = 1/(1+e)` and `σ(−|x|) = e/(1+e)`: nothing
/// overflows and small results keep their relative accuracy.
///
/// 1. `|x|` is clamped just beyond the point where `e` underflows to zero.
/// 2. `n = round(−|x|/ln 2)` falls out of adding a magic number, whose low bits
///    then are `n + 127`: shifted into place they are `2ⁿ`, off the critical path.
/// 3. `r = −|x| − n·ln 2` in two steps (Cody and Waite), |r| ≤ ln 2 / 2.
/// 4. `e^r − 1` by a minimax polynomial in Estrin's form: 12 cycles deep, not 24.
/// 5. `1 + e` and `e` are one multiply-add each from `e^r − 1`, so the scaling
///    by `2ⁿ` costs neither a rounding nor a step.
#[inline(always)]
pub fn sigmoid_lanes(x: Lanes) -> Lanes {
    // 1.5·2²³ + 127: the sum's unit in the last place is 1.
    const MAGIC: f32 = 12_583_039.0;
    const CLAMP: f32 = 88.0; // n = −127, so that 2ⁿ and e are zero
    // ln 2 = HI + LO; HI has 15 significant bits, so n·HI is exact for |n| ≤ 127.
    const LN2_HI: f32 = 0.693_145_75;
    const LN2_LO: f32 = 1.428_606_8e-6;
    // (e^r − 1 − r)/r² on |r| ≤ ln 2 / 2, minimax in the relative error of e^r
    // (Remez exchange, coefficients rounded to f32 one after another): 3.3e-9.
    const C0: f32 = 0.499_999_94;
    const C1: f32 = 0.166_665_17;
    const C2: f32 = 0.041_668_102;
    const C3: f32 = 0.008_369_165_5;
    const C4: f32 = 0.001_383_832_3;

    let splat = Lanes::splat;
    let bits = |x: Lanes| bytemuck::cast::<Lanes, IntLanes>(x);

    // The order of the operands lets NaN through.
    let z = splat(CLAMP).fast_min(x.abs());
    let shifted = z.mul_neg_add(splat(std::f32::consts::LOG2_E), splat(MAGIC));
    let n = shifted - splat(MAGIC);
    let power: Lanes = bytemuck::cast(bits(shifted) << 23);
    let r = n.mul_neg_sub(splat(LN2_HI), z);
    let r = n.mul_neg_add(splat(LN2_LO), r);

    let r2 = r * r;
    let low = r2.mul_add(r.mul_add(splat(C1), splat(C0)), r);
    let high = r2.mul_add(splat(C4), r.mul_add(splat(C3), splat(C2)));
    let expm1 = (r2 * r2).mul_add(high, low);

    let exp = power.mul_add(expm1, power);
    let denominator = power.mul_add(expm1, splat(1.0) + power);
    x.simd_lt(Lanes::ZERO).select(exp, splat(1.0)) / denominator
}

/// `x[i] ← σ(x[i])`, in place, at any length.
pub fn sigmoid(x: &mut [f32]) {
    let (full, tail) = x.as_chunks_mut::<LANES>();
    for chunk in full {
        *chunk = sigmoid_lanes(Lanes::new(*chunk)).to_array();
    }
    if !tail.is_empty() {
        let value = sigmoid_lanes(load_partial(tail));
        store_partial(tail, value);
    }
}
