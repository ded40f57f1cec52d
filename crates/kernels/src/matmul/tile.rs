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
//! 1. A multiply-add waits four cycles for its sum and two can start in each, so
//!    at least eight sums must be under way, better twelve; a tile has up to as
//!    many as the registers hold beside a row of B and one broadcast.
//! 2. Loads are the second limit, also two a cycle: `VECTORS + ROWS` of them feed
//!    `VECTORS·ROWS` multiply-adds, so a tile is wide rather than tall: 6 × 4
//!    vectors need 10 loads for 24, 12 × 2 need 14.
//! 3. Few rows leave registers free, and the tile becomes wider instead: one row
//!    of A takes eight vectors of B. Where even that leaves few sums (a narrow C),
//!    they are doubled or quadrupled, by every other or fourth step of the depth.
//! 4. Rows and columns are shared out evenly (13 = 7 + 6, not 12 + 1).
//! 5. The last vector of a row is masked where the columns end ([`Prefix`]).
//! 6. A is read where it lies, by any two steps, so A and Aᵀ are one kernel; B is
//!    read in panels one vector wide, which a plain row-major matrix is as well.
//!
//! What this file does not know: caches, threads, where panels come from.

use std::{arch::asm, array, ptr};

use super::{Activation, Update};
use crate::{
    activation::{sigmoid_lanes, tanh_lanes},
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
const MAX_HEIGHT: usize = 16;

/// The most rows of a tile so many vectors wide: its sums, a row of B and one
/// broadcast fit into the registers. A single row of A uses each vector of B but
/// once, from memory.
const fn height(vectors: usize) -> usize {
    let rows = (REGISTERS - 1).saturating_sub(vectors) / vectors;
    if rows > MAX_HEIGHT {
        MAX_HEIGHT
    } else if rows == 0 && vectors <= MAX_WIDTH {
        1
    } else {
        rows
    }
}

/// [`height`] by vectors less one, which spares a small product the divisions.
const HEIGHTS: [usize; 8] = {
    let mut heights = [0; 8];
    let mut vectors = 1;
    while vectors <= heights.len() {
        heights[vectors - 1] = height(vectors);
        vectors += 1;
    }
    heights
};

/// The width of the tiles of a product of so many rows: the fewer, the wider.
fn width(rows: usize) -> usize {
    let mut vectors = MAX_WIDTH;
    while vectors > WIDTH && HEIGHTS[vectors - 1] < rows {
        vectors -= 1;
    }
    vectors
}

/// `C[m×n] ← activation(α·A[m×k]·B[k×n] + β·C + bias)` as addresses.
///
/// Element (i, p) of A lies at `a + i·a_row + p·a_step`; row p of B has its
/// vector q at `b + p·b_step + q·b_panel` (in a plain matrix `b_panel` is [`LANES`]:
/// the next vector follows at once).
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
/// stays close while the rows of A pass by. Every path cuts the depth here.
pub(super) const DEPTH: usize = 256;

impl Addresses {
    /// The part from p on, [`DEPTH`] deep; the bias stays with the last.
    pub(super) fn depth_block(&self, p: usize) -> Self {
        Self {
            depth: DEPTH.min(self.depth - p),
            a: self.a.wrapping_add(p * self.a_step),
            b: self.b.wrapping_add(p * self.b_step),
            bias: if self.is_last(p) { self.bias } else { ptr::null() },
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
    if start.is_null() { start } else { start.wrapping_add(by) }
}

type Tile = unsafe fn(&Addresses, &Update);

/// Computes a whole product, tile by tile.
///
/// # Safety
/// Every element of A, B, C and the bias that the sizes name is valid at its
/// address (the rows of B up to the last column, or in whole panels), C for
/// writing and by nobody else; β = 0 allows C to be uninitialised.
///
/// The addresses come by value and are moved along, so that a small product does
/// not wait for a copy of what was stored a moment ago.
pub(super) unsafe fn sweep(mut at: Addresses, update: &Update) {
    let Addresses { rows, columns, .. } = at;
    let (a, b, c, bias) = (at.a, at.b, at.c, at.bias);
    if rows == 0 || columns == 0 {
        return;
    }
    let all = columns.div_ceil(LANES);
    let across = Shares::new(all, width(rows));
    let mut column = 0;
    for index in 0..across.count {
        let vectors = across.size(index);
        let left = columns - column;
        let kernels = &TILES[vectors - 1][usize::from(left < vectors * LANES)];
        at.columns = left.min(vectors * LANES);
        at.b = b.wrapping_add(column / LANES * at.b_panel);
        at.bias = offset(bias, column);
        at.a = a;
        at.c = c.wrapping_add(column);

        let down = Shares::new(rows, HEIGHTS[vectors - 1]);
        for index in 0..down.count {
            at.rows = down.size(index);
            // SAFETY: the tile is a part of the product, whose addresses the
            // caller vouches for; the kernel is the one for its size.
            unsafe { kernels[at.rows - 1](&at, update) };
            at.a = at.a.wrapping_add(at.rows * at.a_row);
            at.c = at.c.wrapping_add(at.rows * at.c_row);
        }
        column += vectors * LANES;
    }
}

/// A whole in as few shares as a limit allows, which differ by one at most.
#[derive(Clone, Copy)]
struct Shares {
    count: usize,
    least: usize,
    larger: usize,
}

impl Shares {
    #[inline(always)]
    fn new(whole: usize, limit: usize) -> Self {
        if whole <= limit {
            // The common case of a small product is spared the divisions.
            return Self { count: 1, least: whole, larger: 0 };
        }
        let count = whole.div_ceil(limit);
        Self { count, least: whole / count, larger: whole % count }
    }

    #[inline(always)]
    fn size(&self, index: usize) -> usize {
        self.least + usize::from(index < self.larger)
    }
}

/// The instances of [`tile`], by vectors less one, partial or not, rows less one.
static TILES: [[[Tile; MAX_HEIGHT]; 2]; 8] = [
    of_width::<1>(),
    of_width::<2>(),
    of_width::<3>(),
    of_width::<4>(),
    of_width::<5>(),
    of_width::<6>(),
    of_width::<7>(),
    of_width::<8>(),
];

const fn of_width<const VECTORS: usize>() -> [[Tile; MAX_HEIGHT]; 2] {
    [of_heights::<VECTORS, false>(), of_heights::<VECTORS, true>()]
}

const fn of_heights<const VECTORS: usize, const PARTIAL: bool>() -> [Tile; MAX_HEIGHT] {
    [
        tile::<1, VECTORS, PARTIAL>,
        tile::<2, VECTORS, PARTIAL>,
        tile::<3, VECTORS, PARTIAL>,
        tile::<4, VECTORS, PARTIAL>,
        tile::<5, VECTORS, PARTIAL>,
        tile::<6, VECTORS, PARTIAL>,
        tile::<7, VECTORS, PARTIAL>,
        tile::<8, VECTORS, PARTIAL>,
        tile::<9, VECTORS, PARTIAL>,
        tile::<10, VECTORS, PARTIAL>,
        tile::<11, VECTORS, PARTIAL>,
        tile::<12, VECTORS, PARTIAL>,
        tile::<13, VECTORS, PARTIAL>,
        tile::<14, VECTORS, PARTIAL>,
        tile::<15, VECTORS, PARTIAL>,
        tile::<16, VECTORS, PARTIAL>,
    ]
}

/// One tile of `ROWS` rows and up to `VECTORS · LANES` columns; `PARTIAL` if the
/// last vector is not full.
///
/// # Safety
/// As for [`sweep`], for a product of exactly this size.
#[allow(clippy::needless_range_loop)] // plain indices keep the sums in registers
unsafe fn tile<const ROWS: usize, const VECTORS: usize, const PARTIAL: bool>(
    at: &Addresses,
    update: &Update,
) {
    // `sweep` asks for none of these; said here, they take no code.
    if VECTORS > MAX_WIDTH || ROWS > height(VECTORS) {
        unreachable!();
    }
    let last = Prefix::new(at.columns - (VECTORS - 1) * LANES);
    let is_partial = |v: usize| PARTIAL && v == VECTORS - 1;
    let panel = |v: usize| v * at.b_panel;

    let mut sum = [[Lanes::ZERO; VECTORS]; ROWS];
    // Rows of A go by fours, each with one pointer. Without `opaque` the compiler
    // derives each row's address from the one before, a chain as long as the tile.
    let mut a: [*const f32; MAX_HEIGHT / 4] =
        array::from_fn(|four| at.a.wrapping_add(4 * four * at.a_row));
    let in_four = [0, at.a_row, 2 * at.a_row, 3 * at.a_row];
    let mut b = at.b;
    let mut left = at.depth;
    // A few sums would wait for each other: every other step, or three in four,
    // goes to sums of its own.
    let phases = if ROWS * VECTORS > 6 {
        1
    } else if ROWS * VECTORS > 3 {
        2
    } else {
        4
    };
    let mut step = |sum: &mut [[Lanes; VECTORS]; ROWS]| {
        let row: [Lanes; VECTORS] = array::from_fn(|v| {
            let source = b.wrapping_add(panel(v));
            // SAFETY: row p of B, this tile's columns.
            unsafe { if is_partial(v) { last.load(source) } else { load(source) } }
        });
        for i in 0..ROWS {
            // SAFETY: element (i, p) of A.
            let factor = Lanes::splat(unsafe { *a[i / 4].wrapping_add(in_four[i % 4]) });
            for v in 0..VECTORS {
                sum[i][v] = row[v].mul_add(factor, sum[i][v]);
            }
        }
        a = a.map(|a| opaque(a.wrapping_add(at.a_step)));
        b = b.wrapping_add(at.b_step);
    };
    let mut others = [[[Lanes::ZERO; VECTORS]; ROWS]; 3];
    while left >= phases {
        step(&mut sum);
        for phase in 1..phases {
            step(&mut others[phase - 1]);
        }
        left -= phases;
    }
    for _ in 0..left {
        step(&mut sum);
    }
    for phase in 1..phases {
        for i in 0..ROWS {
            for v in 0..VECTORS {
                sum[i][v] += others[phase - 1][i][v];
            }
        }
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
                    if is_partial(v) { last.load(target(i, v)) } else { load(target(i, v)) }
                };
                sum[i][v] = old.mul_add(beta, sum[i][v]);
            }
        }
    }
    if !at.bias.is_null() {
        let bias: [Lanes; VECTORS] = array::from_fn(|v| {
            let source = at.bias.wrapping_add(v * LANES);
            // SAFETY: the bias, this tile's columns.
            unsafe { if is_partial(v) { last.load(source) } else { load(source) } }
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
        Activation::Tanh => apply(sum, tanh_lanes),
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

/// The same pointer, of which the compiler does not know where it came from.
#[allow(clippy::pointers_in_nomem_asm_block)] // nothing is read or written
#[inline(always)]
fn opaque(mut pointer: *const f32) -> *const f32 {
    // SAFETY: the assembly is empty.
    unsafe {
        asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}
