//! A cache line of 16 `f32` that threads change concurrently: relaxed atomics, moved four at a
//! time.
//!
//! Compilers move atomics one by one: 16 loads, 16 inserts into a vector, and 16 stores a line,
//! of which a push of Hogwild! has many. A processor with AVX moves 16 aligned bytes
//! atomically, so a line is four loads and four stores. Intel's and AMD's manuals both
//! guarantee it (Intel SDM volume 3, 9.1.1; AMD APM volume 2, 7.3.2).
//!
//! To Rust each such move is equivalent to four relaxed loads or stores of 32 bits, in any
//! order: it is written as inline assembly, which may do what atomics may do, and is relied on
//! for no more. On other processors, and under `--cfg plain_atomics`, which lets tools see
//! every access, it is those four.

pub use crate::buffer::LINE;
use crate::lanes::{self, IntLanes, LANES, Lanes};
use bytemuck::cast;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// [`LINE`] `f32`, as bits in relaxed atomics, on a cache line of their own.
#[repr(align(64))]
#[derive(Debug)]
pub struct Line([AtomicU32; LINE]);

impl Line {
    /// A line that holds `values`.
    pub fn new(values: [f32; LINE]) -> Self {
        Self(values.map(|value| AtomicU32::new(value.to_bits())))
    }

    /// The values, each loaded by itself: they need never have been in the line together.
    #[inline]
    pub fn load(&self) -> [f32; LINE] {
        self.0.each_ref().map(|value| f32::from_bits(value.load(Relaxed)))
    }

    /// Writes the values to `target`, each loaded by itself.
    #[inline]
    pub fn copy_to(&self, target: &mut [f32; LINE]) {
        for at in (0..LINE).step_by(LANES) {
            // SAFETY: the target holds LINE values, of which `at` is one of the whole LANES, and
            // it is borrowed exclusively.
            unsafe { lanes::store(target[at..].as_mut_ptr(), self.load_lanes(at)) };
        }
    }

    /// Stores `values`, each by itself.
    #[inline]
    pub fn store(&self, values: &[f32; LINE]) {
        self.store_all(cast(*values));
    }

    /// Merges a thread's changes to its copy into the line, and the changes of others into the
    /// copy. `own` is the copy, `seen` what the thread last saw in the line; value by value,
    ///
    /// ```text
    /// s ← load
    /// w ← w                 if s = w₀     nobody else wrote: my value stands
    ///     s                 if w = w₀     I changed nothing: I take the line's value
    ///     s + (w − w₀)      otherwise     my change is added to theirs
    /// store w, if I had changed it;  w₀ ← w
    /// ```
    ///
    /// where equal means the same bits. What another thread stores between the load and the
    /// store is lost.
    #[inline]
    pub fn exchange(&self, own: &mut [f32; LINE], seen: &mut [f32; LINE]) {
        let mut stored = 0_u32;
        let mut values = [Lanes::ZERO; LINE / LANES];
        for (part, value) in values.iter_mut().enumerate() {
            let at = part * LANES;
            let shared = self.load_lanes(at);
            // SAFETY: both arrays hold LINE values, and `at` is one of their whole LANES.
            let [w, w0] =
                unsafe { [lanes::load(own[at..].as_ptr()), lanes::load(seen[at..].as_ptr())] };
            let [s, w_bits, w0_bits] = [shared, w, w0].map(cast::<Lanes, IntLanes>);
            let mine = !w_bits.simd_eq(w0_bits);
            let sum: IntLanes = cast(shared + (w - w0));
            let sum = s.simd_eq(w0_bits).bitselect(w_bits, sum);
            *value = cast(mine.bitselect(sum, s));
            stored |= mine.to_bitmask() << at;
            // SAFETY: both arrays hold LINE values, `at` is one of their whole LANES, and they
            // are borrowed exclusively.
            unsafe {
                lanes::store(own[at..].as_mut_ptr(), *value);
                lanes::store(seen[at..].as_mut_ptr(), *value);
            }
        }
        if stored == (1 << LINE) - 1 {
            self.store_all(values);
        } else {
            for (n, value) in self.0.iter().enumerate() {
                if stored >> n & 1 == 1 {
                    value.store(own[n].to_bits(), Relaxed);
                }
            }
        }
    }

    /// The values from `at` on, a whole number of LANES.
    #[cfg(all(target_arch = "x86_64", target_feature = "avx", not(plain_atomics)))]
    #[inline(always)]
    fn load_lanes(&self, at: usize) -> Lanes {
        use std::arch::x86_64::__m128;
        let quarters: [__m128; LANES / 4] = std::array::from_fn(|n| {
            let place = self.0[at + 4 * n..][..4].as_ptr();
            let quarter;
            // SAFETY: `place` is four atomics of this line at an address divisible by 16. The
            // assembly reads them as four relaxed loads would, and does nothing else.
            unsafe {
                std::arch::asm!(
                    "vmovaps {quarter}, xmmword ptr [{place}]",
                    quarter = out(xmm_reg) quarter,
                    place = in(reg) place,
                    options(nostack, preserves_flags, readonly),
                );
            }
            quarter
        });
        cast(quarters)
    }

    /// The values from `at` on, a whole number of LANES.
    #[cfg(not(all(target_arch = "x86_64", target_feature = "avx", not(plain_atomics))))]
    #[inline(always)]
    fn load_lanes(&self, at: usize) -> Lanes {
        Lanes::new(std::array::from_fn(|n| f32::from_bits(self.0[at + n].load(Relaxed))))
    }

    #[cfg(all(target_arch = "x86_64", target_feature = "avx", not(plain_atomics)))]
    #[inline(always)]
    fn store_all(&self, values: [Lanes; LINE / LANES]) {
        use std::arch::x86_64::__m128;
        let quarters: [__m128; LINE / 4] = cast(values);
        for (place, quarter) in self.0.as_chunks::<4>().0.iter().zip(quarters) {
            // SAFETY: `place` is four atomics of this line at an address divisible by 16. The
            // assembly writes them as four relaxed stores would, and does nothing else.
            unsafe {
                std::arch::asm!(
                    "vmovaps xmmword ptr [{place}], {quarter}",
                    quarter = in(xmm_reg) quarter,
                    place = in(reg) place.as_ptr(),
                    options(nostack, preserves_flags),
                );
            }
        }
    }

    #[cfg(not(all(target_arch = "x86_64", target_feature = "avx", not(plain_atomics))))]
    #[inline(always)]
    fn store_all(&self, values: [Lanes; LINE / LANES]) {
        let values: [f32; LINE] = cast(values);
        for (place, value) in self.0.iter().zip(values) {
            place.store(value.to_bits(), Relaxed);
        }
    }
}
