//! Prefetching a cache line.
//!
//! Before a write, it saves half of the wait: a load fetches a line that another core has
//! written as a shared copy, and the store that follows waits again, to own it. Prefetched
//! for writing, the line arrives once, owned, and many lines are in flight at a time.

/// Prefetches the cache line at which `place` begins, to be written by this core.
///
/// A hint: nothing is read or written, and on other architectures than x86-64 nothing
/// happens.
#[inline(always)]
pub fn for_writing<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a prefetch touches no memory and never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(std::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Prefetches the cache line at `place` into L1, to be read within some hundreds of cycles.
///
/// A hint as well; `place` need not be valid.
#[inline(always)]
pub(crate) fn for_reading<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch touches no memory and never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Prefetches the cache line at `place` into L2, to be read some hundreds of cycles later.
///
/// A hint as well; `place` need not be valid.
#[inline(always)]
pub(crate) fn for_reading_soon(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch touches no memory and never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
