//! A product as addresses: what its kernels are given in place of views.
//!
//! Views are checked once, at the public functions; below these, kernels take the parts of
//! a product by adding to pointers. The sizes here say how far the pointers reach.

use super::epilogue::Epilogue;
use crate::matrix::{MatMut, Operand};
use std::{arch::asm, ptr};

/// The most of the depth that one sweep sums in registers: the deeper, the fewer times C is
/// loaded and stored, while a strip of B still passes from L2 as fast as it is used. Intel's
/// cores with AVX-512, which start twice as many multiply-adds a cycle, are faster with a strip
/// that stays in L1; the feature tells them. Every path splits the depth at its multiples.
pub(super) const DEPTH: usize = if cfg!(target_feature = "avx512fp16") { 128 } else { 256 };

/// Bytes of a value.
pub(super) const BYTES: usize = size_of::<f32>();

/// `C[m×n] ← activation(α·A[m×k]·B[k×n] + β·C + bias)` as addresses, all but B's.
///
/// Element (i, p) of A is at `a + i·a_row + p·a_step`.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub a: *const f32,
    pub a_row: usize,
    pub a_step: usize,
    pub c: *mut f32,
    pub c_row: usize,
    /// One value a column, or null.
    pub bias: *const f32,
}

impl Addresses {
    /// Those of a product whose sizes fit together.
    #[inline(always)]
    pub fn new(a: Operand<'_>, c: &mut MatMut<'_>, epilogue: &Epilogue<'_>) -> Self {
        let (a_row, a_step) = a.steps();
        Self {
            rows: c.rows(),
            columns: c.columns(),
            depth: a.columns(),
            a: a.as_ptr(),
            a_row,
            a_step,
            c: c.as_mut_ptr(),
            c_row: c.stride(),
            bias: epilogue.bias.map_or(ptr::null(), <[f32]>::as_ptr),
        }
    }
}

/// A strip of B: its row p is at `b + p·step`. If `panel` is not null, the strip is copied
/// there, row after row in whole vectors, filled up with zeros. If `next` is not null, the
/// strip that will be read after this one is there, at the same step.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    pub b: *const f32,
    pub step: usize,
    pub panel: *mut f32,
    pub next: *const f32,
}

impl Strip {
    /// A strip to be read in place.
    pub fn new(b: *const f32, step: usize) -> Self {
        Self { b, step, panel: ptr::null_mut(), next: ptr::null() }
    }
}

/// The pointer advanced by `by` values, or null if it was null.
pub(super) fn offset(start: *const f32, by: usize) -> *const f32 {
    if start.is_null() { start } else { start.wrapping_add(by) }
}

/// The same pointer, its origin hidden from the compiler.
#[allow(clippy::pointers_in_nomem_asm_block)] // nothing is read or written
#[inline(always)]
pub(super) fn opaque(mut pointer: *const f32) -> *const f32 {
    // SAFETY: the assembly is empty: it reads and writes nothing.
    unsafe {
        asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}
