//! The vector type of every kernel, chosen at build time.
//!
//! Each loop is written once: `Lanes` is `wide::f32x16` where the build has AVX-512F, else
//! `wide::f32x8`. There is no run-time dispatch; [`crate::cpu`] refuses a CPU that lacks
//! features of the build. Here are also the few operations that `wide` does not have.

#[cfg(target_feature = "avx")]
use std::arch::asm;
#[cfg(target_feature = "avx")]
use std::arch::x86_64;
#[cfg(target_feature = "avx")]
use std::mem;
use std::ops::AddAssign;
use wide::f32x8;

#[cfg(not(target_feature = "avx512f"))]
pub use wide::{f32x8 as Lanes, i32x8 as IntLanes};
#[cfg(target_feature = "avx512f")]
pub use wide::{f32x16 as Lanes, i32x16 as IntLanes};

/// How many `f32` one [`Lanes`] holds: 16 with AVX-512F, else 8.
pub const LANES: usize = size_of::<Lanes>() / size_of::<f32>();

/// Loads [`LANES`] values from `source`, at any alignment.
///
/// # Safety
/// `source` is valid for reading [`LANES`] values.
#[inline(always)]
pub(crate) unsafe fn load(source: *const f32) -> Lanes {
    // SAFETY: `source` is valid for LANES values, as asked above; `Lanes` is plain floats, for
    // which any bytes will do, and the read asks for no alignment.
    unsafe { source.cast::<Lanes>().read_unaligned() }
}

/// Stores all lanes at `target`, at any alignment.
///
/// # Safety
/// `target` is valid for writing [`LANES`] values.
#[inline(always)]
pub(crate) unsafe fn store(target: *mut f32, value: Lanes) {
    // SAFETY: `target` is valid for LANES values, as asked above; the write asks for no
    // alignment.
    unsafe { target.cast::<Lanes>().write_unaligned(value) }
}

/// `x · 2ⁿ` for integral n in [−150, 128] and |x| in [0.5, 2]: one rounding where the
/// result is subnormal, ∞ where it is too large. `shifted` is `n + 1.5·2²³`, whose low bits
/// are n.
#[inline(always)]
pub(crate) fn scale_by_power_of_two(x: Lanes, shifted: Lanes) -> Lanes {
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the build has AVX-512F; `Lanes` and `__m512` are the same bytes.
    unsafe {
        let n = shifted - Lanes::splat(12_582_912.0);
        mem::transmute(x86_64::_mm512_scalef_ps(
            mem::transmute::<Lanes, x86_64::__m512>(x),
            mem::transmute::<Lanes, x86_64::__m512>(n),
        ))
    }
    // n does not fit one exponent field, but its halves fit two. The first is added to the
    // field of x, the second multiplies: integers have ports of their own.
    #[cfg(not(target_feature = "avx512f"))]
    {
        let bits = bytemuck::cast::<Lanes, IntLanes>;
        let floats = bytemuck::cast::<IntLanes, Lanes>;
        let half = (bits(shifted) >> 1) << 23;
        let rest = (bits(shifted) << 23) - half + IntLanes::splat(127 << 23);
        // NaN plus an integer may be anything: the last addition, of zero, brings NaN back.
        #[expect(clippy::eq_op)]
        let zero = shifted - shifted;
        floats(bits(x) + half).mul_add(floats(rest), zero)
    }
}

/// The number with the mantissa of the f32 that has the bits `OF`, and the exponent
/// field (and sign) that the low 9 bits of each lane of `x` hold.
#[inline(always)]
pub(crate) fn with_exponent<const OF: u32>(x: Lanes) -> Lanes {
    let mantissa = (OF & 0x7f_ffff) as i32;
    #[cfg(target_feature = "avx512vbmi2")]
    // SAFETY: the build has AVX-512 VBMI2; `Lanes` and `__m512i` are the same bytes.
    unsafe {
        // This shift moves in the upper bits of its second operand.
        mem::transmute(x86_64::_mm512_shldi_epi32::<23>(
            mem::transmute::<Lanes, x86_64::__m512i>(x),
            x86_64::_mm512_set1_epi32(mantissa << 9),
        ))
    }
    #[cfg(not(target_feature = "avx512vbmi2"))]
    bytemuck::cast((bytemuck::cast::<Lanes, IntLanes>(x) << 23) | IntLanes::splat(mantissa))
}

/// `y` where `x` is at least `limit` or NaN, else zero.
#[inline(always)]
pub(crate) fn zero_below(limit: f32, x: Lanes, y: Lanes) -> Lanes {
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the build has AVX-512F; `Lanes` and `__m512` are the same bytes.
    unsafe {
        // "Not less than" is a comparison of its own; inverting a mask would use the port
        // that divides.
        let kept = x86_64::_mm512_cmp_ps_mask::<{ x86_64::_CMP_NLT_UQ }>(
            mem::transmute::<Lanes, x86_64::__m512>(x),
            x86_64::_mm512_set1_ps(limit),
        );
        mem::transmute(x86_64::_mm512_maskz_mov_ps(
            kept,
            mem::transmute::<Lanes, x86_64::__m512>(y),
        ))
    }
    #[cfg(not(target_feature = "avx512f"))]
    {
        !x.simd_lt(Lanes::splat(limit)) & y
    }
}

/// `y` where `x` is neither zero nor subnormal, else zero with the sign of `y`: with
/// `x = y`, subnormal numbers become zero and all others keep their bits.
///
/// Not by the processor's own mode (FTZ and DAZ in MXCSR): to change it is undefined behaviour in
/// Rust, also where it is restored at once (`core::arch::x86_64::_mm_setcsr`). Not in the fused
/// pass of [`crate::recurrent`] either: its sigmoids are flushed as they are, and in its way back
/// the two operations would lie in the chain that each step waits for.
#[inline(always)]
pub(crate) fn zero_where_subnormal(x: Lanes, y: Lanes) -> Lanes {
    const EXPONENT: i32 = 0x7f80_0000;
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the build has AVX-512F; `Lanes` and `__m512i` are the same bytes.
    unsafe {
        let y = mem::transmute::<Lanes, x86_64::__m512i>(y);
        let tiny = x86_64::_mm512_testn_epi32_mask(
            mem::transmute::<Lanes, x86_64::__m512i>(x),
            x86_64::_mm512_set1_epi32(EXPONENT),
        );
        let sign = x86_64::_mm512_set1_epi32(i32::MIN);
        mem::transmute(x86_64::_mm512_mask_and_epi32(y, tiny, y, sign))
    }
    #[cfg(not(target_feature = "avx512f"))]
    {
        let [x, y] = [x, y].map(bytemuck::cast::<Lanes, IntLanes>);
        let tiny = (x & IntLanes::splat(EXPONENT)).simd_eq(IntLanes::ZERO);
        bytemuck::cast(y & (!tiny | IntLanes::splat(i32::MIN)))
    }
}

/// `1 / x` to a relative error of 2⁻¹⁴ or better, for normal x and 1/x; callers refine it.
#[inline(always)]
pub(crate) fn reciprocal_estimate(x: Lanes) -> Lanes {
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the build has AVX-512F; `Lanes` and `__m512` are the same bytes.
    unsafe {
        mem::transmute(x86_64::_mm512_rcp14_ps(mem::transmute::<Lanes, x86_64::__m512>(x)))
    }
    // The estimate of narrower vectors has 12 bits, too few for one refinement.
    #[cfg(not(target_feature = "avx512f"))]
    {
        Lanes::ONE / x
    }
}

/// N vectors, `f(0)` to `f(N − 1)`. Always inlined, where `array::from_fn` and `map` may become
/// calls that pass all vectors through memory.
#[inline(always)]
pub(crate) fn each<const N: usize>(mut f: impl FnMut(usize) -> Lanes) -> [Lanes; N] {
    let mut vectors = [Lanes::ZERO; N];
    for (n, vector) in vectors.iter_mut().enumerate() {
        *vector = f(n);
    }
    vectors
}

/// The vectors as they are, held where they stand in step: the compiler finishes none before all
/// have come so far. To need few registers it would else compute one after the other, and most of
/// what the processor has looked ahead would wait for the operation before.
#[inline(always)]
pub(crate) fn in_step<const N: usize>(vectors: [Lanes; N]) -> [Lanes; N] {
    if N > 1 { each(|n| in_register(vectors[n])) } else { vectors }
}

/// The same vector in a register, its origin hidden from the compiler: what is computed from it is
/// not merged with what it was computed by.
#[inline(always)]
pub(crate) fn in_register(vector: Lanes) -> Lanes {
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the assembly is a comment. It claims to change a register that holds floats, for
    // which any bits will do; `Lanes` and `__m512` are the same bytes.
    unsafe {
        let mut held = mem::transmute::<Lanes, x86_64::__m512>(vector);
        asm!("/* {0} */", inout(zmm_reg) held, options(nomem, nostack, preserves_flags));
        mem::transmute(held)
    }
    #[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
    // SAFETY: as above, with `__m256`.
    unsafe {
        let mut held = mem::transmute::<Lanes, x86_64::__m256>(vector);
        asm!("/* {0} */", inout(ymm_reg) held, options(nomem, nostack, preserves_flags));
        mem::transmute(held)
    }
    #[cfg(not(target_feature = "avx"))]
    vector
}

/// The vector's groups of eight lanes: one, or two where [`LANES`] is 16.
#[inline(always)]
pub(crate) fn eights(value: Lanes) -> [f32x8; LANES / 8] {
    bytemuck::cast(value)
}

/// The vector made of these groups of eight lanes; with 8 lanes, of `low` alone.
#[inline(always)]
pub(crate) fn from_eights(low: f32x8, high: f32x8) -> Lanes {
    #[cfg(target_feature = "avx512f")]
    {
        bytemuck::cast([low, high])
    }
    #[cfg(not(target_feature = "avx512f"))]
    {
        let _ = high;
        low
    }
}

/// The sum of a power of two of vectors (or values), halves added to halves: rounding errors
/// grow with the logarithm of their number, and the additions of a level run side by side.
#[inline(always)]
pub(crate) fn tree_sum<T: Copy + AddAssign, const COUNT: usize>(mut values: [T; COUNT]) -> T {
    let mut width = COUNT / 2;
    while width > 0 {
        for k in 0..width {
            let upper = values[k + width];
            values[k] += upper;
        }
        width /= 2;
    }
    values[0]
}
