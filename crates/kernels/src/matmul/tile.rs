//! The tile: a block of C that is summed in registers, and the sweep over many.
//!
//! ```text
//! sum[i][v] = 0                                     i < ROWS, v < VECTORS
//! for p in 0..depth
//!     for v   b[v] = B[p][v·LANES ..]               one load each
//!     for i   for v   sum[i][v] += A[i][p] · b[v]   one broadcast for each i
//! C[i][v] = activation(α·sum + β·C + bias)
//! ```
//!
//! 1. A multiply-add waits four cycles for its sum and two can start in each,
//!    so at least eight sums must be under way; [`ACCUMULATORS`] fill the
//!    register file but for a row of B and one broadcast.
//! 2. Loads are the second limit, also two a cycle: `VECTORS + ROWS` of them feed
//!    `VECTORS·ROWS` multiply-adds. With 12 rows, two vectors need 14 for 24.
//! 3. Few rows leave registers free, and the tile becomes wider instead: one row
//!    of A takes eight vectors of B, so that its sums are still eight.
//! 4. Rows are shared out evenly (13 = 7 + 6, not 12 + 1) for the same reason.
//! 5. The last vector of a row is masked where the columns end ([`Prefix`]).
//! 6. A is read where it lies, by any two steps, so A and Aᵀ are one kernel; B is
//!    read by rows, from a plain matrix or from panels.
//!
//! What this file does not know: blocks, caches, threads, where panels come from.

use std::{array, ptr};

use super::{Activation, Update};
use crate::{
    activation::sigmoid_lanes,
    lanes::{LANES, Lanes, load, store},
    prefix::Prefix,
};

/// Vectors that the registers hold. Without AVX a vector takes two of them.
const REGISTERS: usize = if cfg!(target_feature = "avx512f") {
    32
} else if cfg!(target_feature = "avx") {
    16
} else {
    8
};

/// Vectors in a row of a tile when there are rows enough.
const WIDTH: usize = if cfg!(target_feature = "avx512f") {
    4
} else if cfg!(target_feature = "avx") {
    2
} else {
    1
};

/// The most vectors in a row of any tile.
const MAX_WIDTH: usize = if cfg!(target_feature = "avx") { 8 } else { 4 };

/// The most rows of any tile.
const MAX_HEIGHT: usize = 12;

/// The most rows of a tile so many vectors wide: its sums, a row of B and one
/// broadcast fit into the registers. A single row of A uses each vector of B but
/// once, from memory.
const fn max_height(vectors: usize) -> usize {
    let rows = (REGISTERS - 1).saturating_sub(vectors) / vectors;
    if rows > MAX_HEIGHT {
        MAX_HEIGHT
    } else if rows == 0 && vectors <= MAX_WIDTH {
        1
    } else {
        rows
    }
}

/// The width of the tiles of a product of so many rows: the fewer, the wider.
fn width(rows: usize) -> usize {
    let mut vectors = MAX_WIDTH;
    while vectors > WIDTH && max_height(vectors) < rows {
        vectors -= 1;
    }
    vectors
}

/// `C[m×n] ← activation(α·A[m×k]·B[k×n] + β·C + bias)` as addresses.
///
/// Element (i, p) of A lies at `a + i·a_row + p·a_step`; row p of B has its
/// panel q at `b + p·b_step + q·b_panel`, [`PANEL`] columns wide (a plain matrix
/// is panels side by side: `b_panel` = [`PANEL`]).
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub a: *const f32,
    pub a_row: usize,
    pub a_step: usize,
    pub b: *const f32,
    pub b_step: usize,
    pub b_panel: usize,
    pub c: *mut f32,
    pub c_row: usize,
    /// One value a column, or null.
    pub bias: *const f32,
}

/// The most of the depth that one sweep sums in registers: a strip of B so deep
/// stays close while the rows of A pass by. Every path cuts the depth here, which
/// is why they all come to the same bits.
pub(super) const DEPTH: usize = 256;

impl Addresses {
    /// The part from p on, [`DEPTH`] deep; the bias stays with the last.
    pub(super) fn depth_block(&self, p: usize) -> Self {
        Self {
            depth: DEPTH.min(self.depth - p),
            a: self.a.wrapping_add(p * self.a_step),
            b: self.b.wrapping_add(p * self.b_step),
            bias: if self.is_last(p) {
                self.bias
            } else {
                ptr::null()
            },
            ..*self
        }
    }

    /// Whether the block from p on is the last.
    pub(super) fn is_last(&self, p: usize) -> bool {
        self.depth - p <= DEPTH
    }
}

/// A pointer so many values on, or null where it was null.
pub(super) fn offset(start: *const f32, by: usize) -> *const f32 {
    if start.is_null() {
        start
    } else {
        start.wrapping_add(by)
    }
}

type Tile = unsafe fn(&Addresses, &Update);

/// Computes a whole product, tile by tile.
///
/// # Safety
/// Every element of A, B, C and the bias that the sizes name is valid at its
/// address (the rows of B up to the last column, or in whole panels), C for
/// writing and by nobody else; β = 0 allows C to be uninitialised.
pub(super) unsafe fn sweep(product: &Addresses, update: &Update) {
    let Addresses { rows, columns, .. } = *product;
    if rows == 0 || columns == 0 {
        return;
    }
    let all = columns.div_ceil(LANES);
    let across = all.div_ceil(width(rows));
    let mut column = 0;
    for index in 0..across {
        let vectors = all / across + usize::from(index < all % across);
        let left = columns - column;
        let partial = left < vectors * LANES;
        let tiles = rows.div_ceil(max_height(vectors));
        let (height, taller) = (rows / tiles, rows % tiles);
        let kernels = [
            kernel(height, vectors, partial),
            kernel(height + usize::from(taller > 0), vectors, partial),
        ];
        let mut tile = Addresses {
            columns: left.min(vectors * LANES),
            b: product.b.wrapping_add(column / LANES * product.b_panel),
            c: product.c.wrapping_add(column),
            bias: offset(product.bias, column),
            ..*product
        };
        for index in 0..tiles {
            let is_taller = index < taller;
            tile.rows = height + usize::from(is_taller);
            // SAFETY: the tile is a part of the product, whose addresses the
            // caller vouches for; the kernel is the one for its size.
            unsafe { kernels[usize::from(is_taller)](&tile, update) };
            tile.a = tile.a.wrapping_add(tile.rows * product.a_row);
            tile.c = tile.c.wrapping_add(tile.rows * product.c_row);
        }
        column += vectors * LANES;
    }
}

/// The instance of [`tile`] for so many rows and vectors.
fn kernel(rows: usize, vectors: usize, partial: bool) -> Tile {
    match (vectors, partial) {
        (8, false) => kernel_of_rows::<8, false>(rows),
        (8, true) => kernel_of_rows::<8, true>(rows),
        (7, false) => kernel_of_rows::<7, false>(rows),
        (7, true) => kernel_of_rows::<7, true>(rows),
        (6, false) => kernel_of_rows::<6, false>(rows),
        (6, true) => kernel_of_rows::<6, true>(rows),
        (5, false) => kernel_of_rows::<5, false>(rows),
        (5, true) => kernel_of_rows::<5, true>(rows),
        (4, false) => kernel_of_rows::<4, false>(rows),
        (4, true) => kernel_of_rows::<4, true>(rows),
        (3, false) => kernel_of_rows::<3, false>(rows),
        (3, true) => kernel_of_rows::<3, true>(rows),
        (2, false) => kernel_of_rows::<2, false>(rows),
        (2, true) => kernel_of_rows::<2, true>(rows),
        (1, false) => kernel_of_rows::<1, false>(rows),
        (1, true) => kernel_of_rows::<1, true>(rows),
        _ => unreachable!("no tile is {vectors} vectors wide"),
    }
}

fn kernel_of_rows<const VECTORS: usize, const PARTIAL: bool>(rows: usize) -> Tile {
    match rows {
        1 => tile::<1, VECTORS, PARTIAL>,
        2 => tile::<2, VECTORS, PARTIAL>,
        3 => tile::<3, VECTORS, PARTIAL>,
        4 => tile::<4, VECTORS, PARTIAL>,
        5 => tile::<5, VECTORS, PARTIAL>,
        6 => tile::<6, VECTORS, PARTIAL>,
        7 => tile::<7, VECTORS, PARTIAL>,
        8 => tile::<8, VECTORS, PARTIAL>,
        9 => tile::<9, VECTORS, PARTIAL>,
        10 => tile::<10, VECTORS, PARTIAL>,
        11 => tile::<11, VECTORS, PARTIAL>,
        12 => tile::<12, VECTORS, PARTIAL>,
        _ => unreachable!("no tile is {rows} rows tall"),
    }
}

/// One tile of `ROWS` rows and up to `VECTORS · LANES` columns; `PARTIAL` if the
/// last vector is not full.
///
/// # Safety
/// As for [`sweep`], for a product of exactly this size.
#[allow(clippy::needless_range_loop)]
unsafe fn tile<const ROWS: usize, const VECTORS: usize, const PARTIAL: bool>(
    at: &Addresses,
    update: &Update,
) {
    // `sweep` asks for none of these; said here, they take no code.
    if VECTORS > MAX_WIDTH || ROWS > max_height(VECTORS) {
        unreachable!();
    }
    let last = Prefix::new(at.columns - (VECTORS - 1) * LANES);
    let is_partial = |v: usize| PARTIAL && v == VECTORS - 1;
    let panel = |v: usize| v * at.b_panel;

    let mut sum = [[Lanes::ZERO; VECTORS]; ROWS];
    let mut a: [*const f32; MAX_HEIGHT.div_ceil(4)] =
        array::from_fn(|group| unrelated(at.a.wrapping_add(4 * group * at.a_row)));
    let a_row3 = unrelated_u(3 * at.a_row);
    let mut b = at.b;
    for _ in 0..at.depth {
        let row: [Lanes; VECTORS] = array::from_fn(|v| {
            let source = b.wrapping_add(panel(v));
            // SAFETY: row p of B, this tile's columns.
            unsafe {
                if is_partial(v) {
                    last.load(source)
                } else {
                    load(source)
                }
            }
        });
        for i in 0..ROWS {
            // SAFETY: element (i, p) of A.
            let factor = Lanes::splat(unsafe {
                *a[i / 4].wrapping_add(if i % 4 == 3 { a_row3 } else { i % 4 * at.a_row })
            });
            for v in 0..VECTORS {
                sum[i][v] = row[v].mul_add(factor, sum[i][v]);
            }
        }
        a = a.map(|a| a.wrapping_add(at.a_step));
        b = b.wrapping_add(at.b_step);
    }

    let target = |i: usize, v: usize| at.c.wrapping_add(i * at.c_row + v * LANES);
    if update.alpha != 1.0 {
        let alpha = Lanes::splat(update.alpha);
        for i in 0..ROWS {
            for v in 0..VECTORS {
                sum[i][v] *= alpha;
            }
        }
    }
    if update.beta != 0.0 {
        let beta = Lanes::splat(update.beta);
        for i in 0..ROWS {
            for v in 0..VECTORS {
                // SAFETY: C, this tile's rows and columns.
                let old = unsafe {
                    if is_partial(v) {
                        last.load(target(i, v))
                    } else {
                        load(target(i, v))
                    }
                };
                sum[i][v] = old.mul_add(beta, sum[i][v]);
            }
        }
    }
    if !at.bias.is_null() {
        let bias: [Lanes; VECTORS] = array::from_fn(|v| {
            let source = at.bias.wrapping_add(v * LANES);
            // SAFETY: the bias, this tile's columns.
            unsafe {
                if is_partial(v) {
                    last.load(source)
                } else {
                    load(source)
                }
            }
        });
        for i in 0..ROWS {
            for v in 0..VECTORS {
                sum[i][v] += bias[v];
            }
        }
    }
    let finished = match update.activation {
        Activation::Identity => sum,
        Activation::Sigmoid => apply(sum, sigmoid_lanes),
    };
    for i in 0..ROWS {
        for v in 0..VECTORS {
            // SAFETY: C, this tile's rows and columns.
            unsafe {
                if is_partial(v) {
                    last.store(target(i, v), finished[i][v]);
                } else {
                    store(target(i, v), finished[i][v]);
                }
            }
        }
    }
}

/// The tile after an activation. By value, so that the loop, which is too long to
/// be unrolled, does not force the sums out of their registers before.
#[inline(always)]
fn apply<const ROWS: usize, const VECTORS: usize>(
    sum: [[Lanes; VECTORS]; ROWS],
    activation: impl Fn(Lanes) -> Lanes,
) -> [[Lanes; VECTORS]; ROWS] {
    sum.map(|row| row.map(&activation))
}

#[inline(always)]
fn unrelated(mut pointer: *const f32) -> *const f32 {
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags))
    };
    pointer
}
#[inline(always)]
fn unrelated_u(mut pointer: usize) -> usize {
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags))
    };
    pointer
}
