//! The vector type that every kernel is written over, chosen at build time.
//!
//! One loop, one source: `Lanes` is `wide::f32x16` where the build has
//! AVX-512F, else `wide::f32x8`. There is no run-time dispatch here; see
//! [`crate::cpu`] for what happens on a CPU that lacks the build's features.

use std::array;
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
    // SAFETY: the caller vouches for the bytes; `Lanes` is plain floats and
    // the read asks for no alignment.
    unsafe { source.cast::<Lanes>().read_unaligned() }
}

/// Stores all lanes at `target`, at any alignment.
///
/// # Safety
/// `target` is valid for writing [`LANES`] values.
#[inline(always)]
pub(crate) unsafe fn store(target: *mut f32, value: Lanes) {
    // SAFETY: the caller vouches for the bytes; the write asks for no alignment.
    unsafe { target.cast::<Lanes>().write_unaligned(value) }
}

/// Loads `values` (at most [`LANES`] of them) and fills the other lanes with zero.
#[inline]
pub(crate) fn load_partial(values: &[f32]) -> Lanes {
    let mut lanes = [0.0; LANES];
    lanes[..values.len()].copy_from_slice(values);
    Lanes::new(lanes)
}

/// Stores the first `target.len()` (at most [`LANES`]) lanes.
#[inline]
pub(crate) fn store_partial(target: &mut [f32], value: Lanes) {
    target.copy_from_slice(&value.to_array()[..target.len()]);
}

/// The vector's groups of eight lanes: one, or two where [`LANES`] is 16.
#[inline(always)]
pub(crate) fn eights(value: Lanes) -> [f32x8; LANES / 8] {
    bytemuck::cast(value)
}

/// The vector made of these groups of eight lanes; what does not fit is left out.
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

/// 1.0 in the first `width` lanes of `BLOCKS` consecutive vectors, 0.0 behind.
pub(crate) fn prefix_mask<const BLOCKS: usize>(width: usize) -> [Lanes; BLOCKS] {
    array::from_fn(|block| {
        Lanes::new(array::from_fn(|lane| if block * LANES + lane < width { 1.0 } else { 0.0 }))
    })
}
