//! Asking for a cache line before it is needed.
//!
//! In order to write to it: a load brings a line that another core has written as a shared copy, and the store that
//! follows waits for it once more, to own it. Told that it will be written, the line comes
//! once, and many at a time.

/// Begins to bring the cache line on which `place` begins to this core, to be written.
///
/// It is a hint: nothing is read or written, and on other architectures nothing happens.
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

/// Begins to bring the cache line at `place` to L2, to be read some hundreds of cycles later.
///
/// A hint as well; the place need not be one that may be read.
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
