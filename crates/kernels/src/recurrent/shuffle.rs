//! Shuffles of the lanes of vectors, in registers, which `wide` does not have.
//!
//! The lanes of a vector are quads of four, 128 bits each. A shuffle within the quads takes a cycle,
//! one that crosses them several.

#[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
use crate::lanes::in_register;
use crate::lanes::{LANES, Lanes, each};
#[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
use std::arch::asm;
#[cfg(target_feature = "avx")]
use std::arch::x86_64;
#[cfg(not(target_feature = "avx"))]
use std::array;
#[cfg(target_feature = "avx")]
use std::mem::transmute;

/// Lanes in a quad.
pub(super) const QUAD: usize = 4;

/// Quads in a vector.
pub(super) const QUADS: usize = LANES / QUAD;

#[cfg(target_feature = "avx512f")]
type Register = x86_64::__m512;
#[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
type Register = x86_64::__m256;

#[cfg(target_feature = "avx")]
#[inline(always)]
fn register(x: Lanes) -> Register {
    // SAFETY: both are the same bytes, floats.
    unsafe { transmute::<Lanes, Register>(x) }
}

#[cfg(target_feature = "avx")]
#[inline(always)]
fn lanes(x: Register) -> Lanes {
    // SAFETY: both are the same bytes, floats.
    unsafe { transmute::<Register, Lanes>(x) }
}

/// `vperm2f128`: two of the four halves of `a` and `b`. As an intrinsic with both the same, the
/// compiler makes `vpermpd` of it, which is twice as long on its way on AMD's cores.
///
/// # Safety
/// The build has AVX.
#[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
#[inline(always)]
unsafe fn halves_of<const ORDER: i32>(a: Register, b: Register) -> Register {
    let halves;
    // SAFETY: the instruction is one of AVX, and changes nothing but its target.
    unsafe {
        asm!("vperm2f128 {0}, {1}, {2}, {3}", lateout(ymm_reg) halves, in(ymm_reg) a,
            in(ymm_reg) b, const ORDER, options(pure, nomem, nostack, preserves_flags));
    }
    halves
}

/// Lane j of `b` where `j & BIT` is set, else of `a`.
#[inline(always)]
pub(super) fn choose<const BIT: usize>(a: Lanes, b: Lanes) -> Lanes {
    const fn mask(bit: usize) -> i32 {
        let (mut mask, mut lane) = (0, 0);
        while lane < LANES {
            if lane & bit != 0 {
                mask |= 1 << lane;
            }
            lane += 1;
        }
        mask
    }
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the build has AVX-512F.
    unsafe {
        let mask = const { mask(BIT) as u16 };
        lanes(x86_64::_mm512_mask_blend_ps(mask, register(a), register(b)))
    }
    #[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
    // SAFETY: the build has AVX.
    unsafe {
        let (a, b) = (register(a), register(b));
        lanes(match BIT {
            1 => x86_64::_mm256_blend_ps::<{ mask(1) }>(a, b),
            2 => x86_64::_mm256_blend_ps::<{ mask(2) }>(a, b),
            _ => x86_64::_mm256_blend_ps::<{ mask(4) }>(a, b),
        })
    }
    #[cfg(not(target_feature = "avx"))]
    {
        let (a, b) = (a.to_array(), b.to_array());
        let of = |lane: usize| if const { mask(BIT) } >> lane & 1 == 0 { a[lane] } else { b[lane] };
        Lanes::new(array::from_fn(of))
    }
}

/// The order of a shuffle of four that takes place i + BY to place i.
#[cfg(target_feature = "avx")]
const fn order(by: usize) -> i32 {
    ((by % 4) | (((by + 1) % 4) << 2) | (((by + 2) % 4) << 4) | (((by + 3) % 4) << 6)) as i32
}

/// Lane r + B of each quad in the place of lane r.
#[inline(always)]
pub(super) fn turn<const B: usize>(x: Lanes) -> Lanes {
    if B == 0 {
        return x;
    }
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the build has AVX-512F.
    unsafe {
        let x = register(x);
        lanes(match B {
            1 => x86_64::_mm512_permute_ps::<{ order(1) }>(x),
            2 => x86_64::_mm512_permute_ps::<{ order(2) }>(x),
            _ => x86_64::_mm512_permute_ps::<{ order(3) }>(x),
        })
    }
    #[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
    // SAFETY: the build has AVX.
    unsafe {
        let x = register(x);
        lanes(match B {
            1 => x86_64::_mm256_permute_ps::<{ order(1) }>(x),
            2 => x86_64::_mm256_permute_ps::<{ order(2) }>(x),
            _ => x86_64::_mm256_permute_ps::<{ order(3) }>(x),
        })
    }
    #[cfg(not(target_feature = "avx"))]
    {
        let x = x.to_array();
        Lanes::new(array::from_fn(|lane| x[lane / QUAD * QUAD + (lane + B) % QUAD]))
    }
}

/// Quad q + S of the `Q` in each vector, and of the next vector behind them, in the place of
/// quad q.
#[inline(always)]
pub(super) fn shift<const N: usize, const Q: usize, const S: usize>(x: [Lanes; N]) -> [Lanes; N] {
    if S == 0 {
        return x;
    }
    each(|n| {
        let (own, next) = (x[n], x[(n + 1) % N]);
        #[cfg(target_feature = "avx512f")]
        // SAFETY: the build has AVX-512F.
        unsafe {
            if Q == 2 {
                let own = register(own);
                return lanes(x86_64::_mm512_shuffle_f32x4::<0b11_10_00_01>(own, own));
            }
            if N == 1 {
                let own = register(own);
                return lanes(match S {
                    1 => x86_64::_mm512_shuffle_f32x4::<{ order(1) }>(own, own),
                    2 => x86_64::_mm512_shuffle_f32x4::<{ order(2) }>(own, own),
                    _ => x86_64::_mm512_shuffle_f32x4::<{ order(3) }>(own, own),
                });
            }
            let integers = |x: Lanes| x86_64::_mm512_castps_si512(register(x));
            let (own, next) = (integers(own), integers(next));
            let turned = match S {
                1 => x86_64::_mm512_alignr_epi32::<4>(next, own),
                2 => x86_64::_mm512_alignr_epi32::<8>(next, own),
                _ => x86_64::_mm512_alignr_epi32::<12>(next, own),
            };
            lanes(x86_64::_mm512_castsi512_ps(turned))
        }
        #[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
        // SAFETY: the build has AVX.
        unsafe {
            lanes(halves_of::<0x21>(register(own), register(next)))
        }
        #[cfg(not(target_feature = "avx"))]
        {
            let (own, next) = (own.to_array(), next.to_array());
            Lanes::new(array::from_fn(|lane| {
                let from = lane + S * QUAD;
                if from < Q * QUAD { own[from] } else { next[(from - Q * QUAD) % LANES] }
            }))
        }
    })
}

/// Quad `Q` in the place of each quad.
#[inline(always)]
pub(super) fn spread_quad<const Q: usize>(x: Lanes) -> Lanes {
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the build has AVX-512F.
    unsafe {
        let x = register(x);
        lanes(match Q {
            0 => x86_64::_mm512_shuffle_f32x4::<0b00_00_00_00>(x, x),
            1 => x86_64::_mm512_shuffle_f32x4::<0b01_01_01_01>(x, x),
            2 => x86_64::_mm512_shuffle_f32x4::<0b10_10_10_10>(x, x),
            _ => x86_64::_mm512_shuffle_f32x4::<0b11_11_11_11>(x, x),
        })
    }
    #[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
    // SAFETY: the build has AVX.
    unsafe {
        let x = register(x);
        lanes(match Q {
            0 => halves_of::<0x00>(x, x),
            _ => halves_of::<0x11>(x, x),
        })
    }
    #[cfg(not(target_feature = "avx"))]
    {
        let x = x.to_array();
        Lanes::new(array::from_fn(|lane| x[Q * QUAD + lane % QUAD]))
    }
}

/// Lane `R` of each quad in the place of all its lanes.
#[inline(always)]
pub(super) fn spread_lane<const R: usize>(x: Lanes) -> Lanes {
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the build has AVX-512F.
    unsafe {
        let x = register(x);
        lanes(match R {
            0 => x86_64::_mm512_permute_ps::<0b00_00_00_00>(x),
            1 => x86_64::_mm512_permute_ps::<0b01_01_01_01>(x),
            2 => x86_64::_mm512_permute_ps::<0b10_10_10_10>(x),
            _ => x86_64::_mm512_permute_ps::<0b11_11_11_11>(x),
        })
    }
    #[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
    // SAFETY: the build has AVX.
    unsafe {
        let x = register(x);
        lanes(match R {
            0 => x86_64::_mm256_permute_ps::<0b00_00_00_00>(x),
            1 => x86_64::_mm256_permute_ps::<0b01_01_01_01>(x),
            2 => x86_64::_mm256_permute_ps::<0b10_10_10_10>(x),
            _ => x86_64::_mm256_permute_ps::<0b11_11_11_11>(x),
        })
    }
    #[cfg(not(target_feature = "avx"))]
    {
        let x = x.to_array();
        Lanes::new(array::from_fn(|lane| x[lane / QUAD * QUAD + R]))
    }
}

/// Lanes j and j ^ `BIT` of `low` added where `j & BIT` is clear, else those of `high`.
#[inline(always)]
pub(super) fn halves<const BIT: usize>(low: Lanes, high: Lanes) -> Lanes {
    choose::<BIT>(low, high) + crossed::<BIT>(low, high)
}

/// Lane j ^ `BIT` of `low` where `j & BIT` is clear, else of `high`.
#[inline(always)]
fn crossed<const BIT: usize>(low: Lanes, high: Lanes) -> Lanes {
    #[cfg(target_feature = "avx512f")]
    // SAFETY: the build has AVX-512F.
    unsafe {
        if BIT == 2 {
            let (low, high) = (register(low), register(high));
            let (low, high) = (x86_64::_mm512_castps_pd(low), x86_64::_mm512_castps_pd(high));
            let crossed = x86_64::_mm512_shuffle_pd::<0b0101_0101>(low, high);
            return lanes(x86_64::_mm512_castpd_ps(crossed));
        }
        let x = register(choose::<BIT>(high, low));
        lanes(match BIT {
            1 => x86_64::_mm512_permute_ps::<0b10_11_00_01>(x),
            4 => x86_64::_mm512_shuffle_f32x4::<0b10_11_00_01>(x, x),
            _ => x86_64::_mm512_shuffle_f32x4::<0b01_00_11_10>(x, x),
        })
    }
    #[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
    // SAFETY: the build has AVX.
    unsafe {
        match BIT {
            1 => {
                let x = register(choose::<1>(high, low));
                // Held, or the compiler would make a horizontal addition of it, which takes longer.
                in_register(lanes(x86_64::_mm256_permute_ps::<0b10_11_00_01>(x)))
            }
            2 => {
                let (low, high) = (register(low), register(high));
                let (low, high) = (x86_64::_mm256_castps_pd(low), x86_64::_mm256_castps_pd(high));
                lanes(x86_64::_mm256_castpd_ps(x86_64::_mm256_shuffle_pd::<0b0101>(low, high)))
            }
            _ => lanes(x86_64::_mm256_permute2f128_ps::<0x21>(register(low), register(high))),
        }
    }
    #[cfg(not(target_feature = "avx"))]
    {
        let (low, high) = (low.to_array(), high.to_array());
        let of = |lane: usize| if lane & BIT == 0 { low[lane ^ BIT] } else { high[lane ^ BIT] };
        Lanes::new(array::from_fn(of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::array;

    fn numbered(vector: usize) -> Lanes {
        Lanes::new(array::from_fn(|lane| (vector * LANES + lane) as f32))
    }

    #[test]
    fn the_sums_of_halves_stand_where_their_vectors_say() {
        let found = |bit: usize| match bit {
            1 => halves::<1>(numbered(0), numbered(1)),
            2 => halves::<2>(numbered(0), numbered(1)),
            4 => halves::<4>(numbered(0), numbered(1)),
            _ => halves::<8>(numbered(0), numbered(1)),
        };
        for bit in [1, 2, 4, 8].into_iter().filter(|&bit| bit < LANES) {
            let of = |j: usize| {
                let vector = numbered(usize::from(j & bit > 0)).to_array();
                vector[j] + vector[j ^ bit]
            };
            assert_eq!(found(bit).to_array(), array::from_fn(of), "{bit}");
        }
    }

    #[test]
    fn a_quad_is_spread_over_the_vector_and_a_lane_over_its_quad() {
        let quad = |q: usize| array::from_fn(|lane| (q * QUAD + lane % QUAD) as f32);
        assert_eq!(spread_quad::<0>(numbered(0)).to_array(), quad(0));
        assert_eq!(spread_quad::<1>(numbered(0)).to_array(), quad(1));
        assert_eq!(spread_quad::<{ QUADS - 1 }>(numbered(0)).to_array(), quad(QUADS - 1));
        let lane = |r: usize| array::from_fn(|lane| (lane / QUAD * QUAD + r) as f32);
        assert_eq!(spread_lane::<0>(numbered(0)).to_array(), lane(0));
        assert_eq!(spread_lane::<1>(numbered(0)).to_array(), lane(1));
        assert_eq!(spread_lane::<2>(numbered(0)).to_array(), lane(2));
        assert_eq!(spread_lane::<3>(numbered(0)).to_array(), lane(3));
    }
}
