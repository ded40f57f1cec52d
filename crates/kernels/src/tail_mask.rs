//! Masked loads and stores: the first few lanes of a vector, for the tail of a row.
//!
//! The last columns of a row seldom fill a vector. A [`TailMask`] touches exactly the
//! lanes that it selects, so a kernel may run up to the edge of a buffer without reading
//! or writing beyond it. `wide` has no masked moves: this file, and no other, names
//! instruction sets for them.

use crate::lanes::{LANES, Lanes};

/// Selects the first `count` lanes of a vector, in the form of the build's masked moves.
#[derive(Clone, Copy)]
pub(crate) struct TailMask(platform::Mask);

impl TailMask {
    /// Selects the first `count` lanes, or all if `count` is at least [`LANES`].
    #[inline(always)]
    pub(crate) fn new(count: usize) -> Self {
        Self(platform::mask(count.min(LANES)))
    }

    /// Loads the lanes selected and fills the others with zero.
    ///
    /// # Safety
    /// `source` is valid for reading as many values as lanes are selected.
    #[inline(always)]
    pub(crate) unsafe fn load(self, source: *const f32) -> Lanes {
        // SAFETY: `source` is valid for reading the lanes selected, as asked above; no other is
        // read.
        unsafe { platform::load(self.0, source) }
    }

    /// Loads the lanes selected from values `step` apart and fills the others with zero.
    ///
    /// # Safety
    /// `source` is valid for reading a value at each multiple of `step`, for as many as
    /// lanes are selected; the step is [`MAX_GATHER_STEP`] at most.
    #[inline(always)]
    pub(crate) unsafe fn gather(self, source: *const f32, step: usize) -> Lanes {
        // SAFETY: `source` is valid for reading at the multiples of `step` of the lanes
        // selected, as asked above; the distances fit the instruction's i32.
        unsafe { platform::gather(self.0, source, step) }
    }

    /// Stores the lanes selected and leaves the memory of the others untouched.
    ///
    /// # Safety
    /// `target` is valid for writing as many values as lanes are selected.
    #[inline(always)]
    pub(crate) unsafe fn store(self, target: *mut f32, value: Lanes) {
        // SAFETY: `target` is valid for writing the lanes selected, as asked above; no other is
        // written.
        unsafe { platform::store(self.0, target, value) }
    }
}

/// Loads `values` (at most [`LANES`] of them) and fills the other lanes with zero.
#[inline(always)]
pub(crate) fn load_partial(values: &[f32]) -> Lanes {
    debug_assert!(values.len() <= LANES);
    // SAFETY: the mask selects no more lanes than the slice has values.
    unsafe { TailMask::new(values.len()).load(values.as_ptr()) }
}

/// Stores the first `target.len()` (at most [`LANES`]) lanes.
#[inline(always)]
pub(crate) fn store_partial(target: &mut [f32], value: Lanes) {
    debug_assert!(target.len() <= LANES);
    // SAFETY: the mask selects no more lanes than the slice has values.
    unsafe { TailMask::new(target.len()).store(target.as_mut_ptr(), value) }
}

/// 1.0 in the first `width` (at most [`LANES`]) lanes, 0.0 in the others.
#[inline]
pub(crate) fn leading_ones(width: usize) -> Lanes {
    static ONES_THEN_ZEROS: [f32; 2 * LANES] = {
        let mut values = [0.0; 2 * LANES];
        let mut k = 0;
        while k < LANES {
            values[k] = 1.0;
            k += 1;
        }
        values
    };
    let (window, _) = ONES_THEN_ZEROS[LANES - width..].split_first_chunk().expect("LANES values");
    Lanes::new(*window)
}

/// The first `width` (at most [`LANES`]) lanes of `value`, and zero in the others whatever they
/// hold, also NaN, which a product with zero would keep.
#[inline]
pub(crate) fn first_lanes(width: usize, value: Lanes) -> Lanes {
    leading_ones(width).simd_gt(Lanes::ZERO).select(value, Lanes::ZERO)
}

/// The largest step of a gather: its instruction takes offsets in bytes, as i32.
pub(crate) const MAX_GATHER_STEP: usize = i32::MAX as usize / (LANES * size_of::<f32>());

#[cfg(target_feature = "avx512f")]
mod platform {
    use super::{LANES, Lanes};
    use std::arch::x86_64::{
        __m512, __m512i, __mmask16, _mm512_mask_i32gather_ps, _mm512_mask_storeu_ps,
        _mm512_maskz_loadu_ps, _mm512_mullo_epi32, _mm512_set1_epi32, _mm512_setzero_ps,
    };
    use std::{array, mem::transmute};

    pub(super) type Mask = __mmask16;

    #[inline(always)]
    pub(super) fn mask(count: usize) -> Mask {
        ((1_u32 << count) - 1) as Mask
    }

    #[inline(always)]
    pub(super) unsafe fn load(mask: Mask, source: *const f32) -> Lanes {
        // SAFETY: `source` is valid for the lanes selected, and the instruction does not access
        // the others; both types are 16 floats.
        unsafe { transmute::<__m512, Lanes>(_mm512_maskz_loadu_ps(mask, source)) }
    }

    #[inline(always)]
    pub(super) unsafe fn gather(mask: Mask, source: *const f32, step: usize) -> Lanes {
        let lanes: [i32; LANES] = array::from_fn(|lane| lane as i32);
        // SAFETY: `source` is valid at the places of the lanes selected, and the instruction
        // does not access the others; up to MAX_GATHER_STEP no distance overflows. The types
        // are 64 bytes without padding.
        unsafe {
            let lanes = transmute::<[i32; LANES], __m512i>(lanes);
            let places = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(step as i32));
            let zero = _mm512_setzero_ps();
            let gathered = _mm512_mask_i32gather_ps::<4>(zero, mask, places, source.cast());
            transmute::<__m512, Lanes>(gathered)
        }
    }

    #[inline(always)]
    pub(super) unsafe fn store(mask: Mask, target: *mut f32, value: Lanes) {
        // SAFETY: `target` is valid for the lanes selected, and the instruction does not access
        // the others; both types are 16 floats.
        unsafe { _mm512_mask_storeu_ps(target, mask, transmute::<Lanes, __m512>(value)) }
    }
}

#[cfg(all(target_feature = "avx", not(target_feature = "avx512f")))]
mod platform {
    use super::{LANES, Lanes};
    use std::arch::x86_64::{
        __m256, __m256i, _mm256_castsi256_ps, _mm256_loadu_si256, _mm256_maskload_ps,
        _mm256_maskstore_ps, _mm256_movemask_ps,
    };
    use std::mem::transmute;

    pub(super) type Mask = __m256i;

    #[inline(always)]
    pub(super) fn mask(count: usize) -> Mask {
        const WINDOW: [i32; 2 * LANES] = {
            let mut window = [0; 2 * LANES];
            let mut lane = 0;
            while lane < LANES {
                window[lane] = -1;
                lane += 1;
            }
            window
        };
        let first = &WINDOW[LANES - count..][..LANES];
        // SAFETY: the slice holds LANES = 8 values of 32 bits.
        unsafe { _mm256_loadu_si256(first.as_ptr().cast()) }
    }

    #[inline(always)]
    pub(super) unsafe fn load(mask: Mask, source: *const f32) -> Lanes {
        // SAFETY: `source` is valid for the lanes selected, and the instruction does not access
        // the others; both types are 8 floats.
        unsafe { transmute::<__m256, Lanes>(_mm256_maskload_ps(source, mask)) }
    }

    #[inline(always)]
    pub(super) unsafe fn gather(mask: Mask, source: *const f32, step: usize) -> Lanes {
        // SAFETY: the build has AVX, and the instruction touches no memory.
        let count = unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(mask)) }.count_ones();
        let mut lanes = [0.0; LANES];
        for (lane, value) in lanes[..count as usize].iter_mut().enumerate() {
            // SAFETY: the lane is selected, so `source` is valid at its multiple of `step`.
            *value = unsafe { *source.wrapping_add(lane * step) };
        }
        Lanes::new(lanes)
    }

    #[inline(always)]
    pub(super) unsafe fn store(mask: Mask, target: *mut f32, value: Lanes) {
        // SAFETY: `target` is valid for the lanes selected, and the instruction does not access
        // the others; both types are 8 floats.
        unsafe { _mm256_maskstore_ps(target, mask, transmute::<Lanes, __m256>(value)) }
    }
}

#[cfg(not(target_feature = "avx"))]
mod platform {
    use super::{LANES, Lanes};
    use std::slice;

    pub(super) type Mask = usize;

    #[inline(always)]
    pub(super) fn mask(count: usize) -> Mask {
        count
    }

    #[inline(always)]
    pub(super) unsafe fn gather(mask: Mask, source: *const f32, step: usize) -> Lanes {
        let mut lanes = [0.0; LANES];
        for (lane, value) in lanes[..mask].iter_mut().enumerate() {
            // SAFETY: the lane is selected, so `source` is valid at its multiple of `step`.
            *value = unsafe { *source.wrapping_add(lane * step) };
        }
        Lanes::new(lanes)
    }

    #[inline(always)]
    pub(super) unsafe fn load(mask: Mask, source: *const f32) -> Lanes {
        let mut lanes = [0.0; LANES];
        // SAFETY: `source` is valid for reading `mask` values, the lanes selected.
        lanes[..mask].copy_from_slice(unsafe { slice::from_raw_parts(source, mask) });
        Lanes::new(lanes)
    }

    #[inline(always)]
    pub(super) unsafe fn store(mask: Mask, target: *mut f32, value: Lanes) {
        // SAFETY: `target` is valid for writing `mask` values, the lanes selected, and nobody
        // else uses them.
        let target = unsafe { slice::from_raw_parts_mut(target, mask) };
        target.copy_from_slice(&value.to_array()[..mask]);
    }
}
