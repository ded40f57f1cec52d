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
//!    many as the registers hold beside a row of B and one broadcast. Few rows have
//!    too few sums: they are doubled or quadrupled, by every other or fourth step
//!    of the depth.
//! 2. Loads are the second limit, also two a cycle, and they cost power, which is
//!    clock: `VECTORS + ROWS` of them feed `VECTORS·ROWS` multiply-adds, so a tile is
//!    wide rather than tall. 6 × 4 vectors need 10 for 24 and ran at 96 % of peak
//!    where 14 × 2 ran at 92 % (128 × 128 × 128, packed).
//! 3. Rows are shared out evenly (16 = 6 + 5 + 5, not 6 + 6 + 4).
//! 4. The last vector of a row is masked where the columns end ([`Prefix`]).
//! 5. A is read where it lies, by any two steps, so A and Aᵀ are one kernel.
//! 6. The first tile of a strip may write the rows of B that it reads to a panel,
//!    from which the tiles below it read: packing hides behind the multiply-adds.
//! 7. An activation runs over the tile once it is written and still in L1: the sums
//!    leave it no registers.
//!
//! What this file does not know: threads, blocks, whose panels they are.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::{arch::asm, array, ptr};

use super::{Activation, Update, activate};
use crate::{
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

/// Vectors in a row of a tile when there are rows enough, and in a panel of B.
pub(super) const WIDTH: usize = if cfg!(target_feature = "avx512f") {
    4
} else if cfg!(target_feature = "avx") {
    2
} else {
    1
};

/// The most vectors in a row of any tile.
const MAX_WIDTH: usize = 4;

/// The most rows of any tile.
const MAX_HEIGHT: usize = 16;

/// The most of the depth that one sweep sums in registers: a strip of B so deep
/// stays in L1 while the rows of A pass by. Every path cuts the depth here.
pub(super) const DEPTH: usize = 128;

/// The most rows of a tile so many vectors wide: its sums, a row of B and one
/// broadcast fit into the registers. A single row of A uses each vector of B but
/// once, from memory.
const fn height(vectors: usize) -> usize {
    let rows = (REGISTERS - 1).saturating_sub(vectors) / vectors;
    if rows > MAX_HEIGHT {
        MAX_HEIGHT
    } else if rows == 0 {
        1
    } else {
        rows
    }
}

/// [`height`] by vectors less one, which spares a small product the divisions.
const HEIGHTS: [usize; MAX_WIDTH] = [height(1), height(2), height(3), height(4)];

/// How many sums of its own each value of a tile of so many vectors is split into. One
/// from 7 sums on, which the shares of 8 rows and more always have: so the bits of a row
/// do not depend on how many rows there are beside it, once there are 8.
const fn phases(sums: usize, vectors: usize) -> usize {
    if sums < 5 && 4 * sums + vectors < REGISTERS {
        4
    } else if sums < 7 && 2 * sums + vectors < REGISTERS {
        2
    } else {
        1
    }
}

/// The width of the tiles of a product of so many rows of a B that is not packed:
/// the fewer, the wider.
pub(super) fn width(rows: usize) -> usize {
    let mut vectors = MAX_WIDTH;
    while vectors > WIDTH && HEIGHTS[vectors - 1] < rows {
        vectors -= 1;
    }
    vectors
}

/// The most rows of C that are one tile of [`WIDTH`].
pub(super) const TILE_ROWS: usize = height(WIDTH);

/// `C[m×n] ← activation(α·A[m×k]·B[k×n] + β·C + bias)` as addresses, all but B's.
///
/// Element (i, p) of A lies at `a + i·a_row + p·a_step`.
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

/// A strip of B: row p of it lies at `b + p·step`. A `panel` that is not null gets
/// a copy, row after row in whole vectors with zeros behind.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    pub b: *const f32,
    pub step: usize,
    pub panel: *mut f32,
}

/// A pointer so many values on, or null where it was null.
pub(super) fn offset(start: *const f32, by: usize) -> *const f32 {
    if start.is_null() { start } else { start.wrapping_add(by) }
}

type Tile = unsafe fn(&Addresses, Strip, &Update);

/// Computes a whole product, tile by tile, in strips of so many vectors;
/// `strip(column, vectors)` says where B is from that column on.
///
/// # Safety
/// Every element of A, B, C and the bias that the sizes name is valid at its
/// address, C for writing and by nobody else; β = 0 allows C to be uninitialised.
/// A panel has room for its vectors, and `width` is [`WIDTH`] at most if there are
/// any.
///
/// The addresses come by value and are moved along, so that a small product does
/// not wait for a copy of what was stored a moment ago.
#[inline(always)]
pub(super) unsafe fn sweep(
    mut at: Addresses,
    update: &Update,
    width: usize,
    mut strip: impl FnMut(usize, usize) -> Strip,
) {
    let Addresses { rows, columns, a, c, bias, .. } = at;
    if rows == 0 {
        return;
    }
    let mut column = 0;
    while column < columns {
        let left = columns - column;
        let vectors = left.div_ceil(LANES).min(width);
        let partial = usize::from(left < vectors * LANES);
        let mut b = strip(column, vectors);
        at.columns = left.min(vectors * LANES);
        at.bias = offset(bias, column);
        at.a = a;
        at.c = c.wrapping_add(column);
        let down = Shares::new(rows, HEIGHTS[vectors - 1]);
        for index in 0..down.count {
            at.rows = down.size(index);
            let kernels = if b.panel.is_null() { &TILES } else { &PACKING_TILES };
            // SAFETY: the tile is a part of the product, whose addresses the
            // caller vouches for; the kernel is the one for its size.
            unsafe { kernels[vectors - 1][partial][at.rows - 1](&at, b, update) };
            if !b.panel.is_null() {
                b = Strip { b: b.panel, step: vectors * LANES, panel: ptr::null_mut() };
            }
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
        let (whole, limit) = (whole as u32, limit as u32);
        let count = whole.div_ceil(limit);
        Self {
            count: count as usize,
            least: (whole / count) as usize,
            larger: (whole % count) as usize,
        }
    }

    #[inline(always)]
    fn size(&self, index: usize) -> usize {
        self.least + usize::from(index < self.larger)
    }
}

/// The instances of [`tile`], by vectors less one, partial or not, rows less one.
type Tiles<const WIDTHS: usize> = [[[Tile; MAX_HEIGHT]; 2]; WIDTHS];

static TILES: Tiles<MAX_WIDTH> = [
    of_width::<1, false>(),
    of_width::<2, false>(),
    of_width::<3, false>(),
    of_width::<4, false>(),
];

static PACKING_TILES: Tiles<MAX_WIDTH> =
    [of_width::<1, true>(), of_width::<2, true>(), of_width::<3, true>(), of_width::<4, true>()];

const fn of_width<const VECTORS: usize, const PACKING: bool>() -> [[Tile; MAX_HEIGHT]; 2] {
    [of_heights::<VECTORS, false, PACKING>(), of_heights::<VECTORS, true, PACKING>()]
}

const fn of_heights<const VECTORS: usize, const PARTIAL: bool, const PACKING: bool>()
-> [Tile; MAX_HEIGHT] {
    [
        tile::<1, VECTORS, PARTIAL, PACKING>,
        tile::<2, VECTORS, PARTIAL, PACKING>,
        tile::<3, VECTORS, PARTIAL, PACKING>,
        tile::<4, VECTORS, PARTIAL, PACKING>,
        tile::<5, VECTORS, PARTIAL, PACKING>,
        tile::<6, VECTORS, PARTIAL, PACKING>,
        tile::<7, VECTORS, PARTIAL, PACKING>,
        tile::<8, VECTORS, PARTIAL, PACKING>,
        tile::<9, VECTORS, PARTIAL, PACKING>,
        tile::<10, VECTORS, PARTIAL, PACKING>,
        tile::<11, VECTORS, PARTIAL, PACKING>,
        tile::<12, VECTORS, PARTIAL, PACKING>,
        tile::<13, VECTORS, PARTIAL, PACKING>,
        tile::<14, VECTORS, PARTIAL, PACKING>,
        tile::<15, VECTORS, PARTIAL, PACKING>,
        tile::<16, VECTORS, PARTIAL, PACKING>,
    ]
}

/// One tile of `ROWS` rows and up to `VECTORS · LANES` columns; `PARTIAL` if the
/// last vector is not full, `PACKING` if the strip has a panel to be written.
///
/// # Safety
/// As for [`sweep`], for a product of exactly this size.
#[allow(clippy::needless_range_loop)] // plain indices keep the sums in registers
unsafe fn tile<
    const ROWS: usize,
    const VECTORS: usize,
    const PARTIAL: bool,
    const PACKING: bool,
>(
    at: &Addresses,
    strip: Strip,
    update: &Update,
) {
    // `sweep` asks for none of these; said here, they take no code.
    if ROWS > height(VECTORS) || PACKING && VECTORS > WIDTH {
        unreachable!();
    }
    let last = Prefix::new(at.columns - (VECTORS - 1) * LANES);
    let is_partial = |v: usize| PARTIAL && v == VECTORS - 1;
    let target = |i: usize, v: usize| at.c.wrapping_add(i * at.c_row + v * LANES);

    let mut sum = [[Lanes::ZERO; VECTORS]; ROWS];
    // Rows of A go by fours, each with one pointer. Without `opaque` the compiler
    // derives each row's address from the one before, a chain as long as the tile.
    let mut a: [*const f32; MAX_HEIGHT / 4] =
        array::from_fn(|four| at.a.wrapping_add(4 * four * at.a_row));
    let in_four = [0, at.a_row, 2 * at.a_row, 3 * at.a_row];
    let Strip { mut b, step: b_step, mut panel } = strip;
    let mut left = at.depth;
    let phases = const { phases(ROWS * VECTORS, VECTORS) };
    let mut step = |sum: &mut [[Lanes; VECTORS]; ROWS]| {
        let row: [Lanes; VECTORS] = array::from_fn(|v| {
            let source = b.wrapping_add(v * LANES);
            // SAFETY: row p of B, this tile's columns.
            unsafe { if is_partial(v) { last.load(source) } else { load(source) } }
        });
        if PACKING {
            for v in 0..VECTORS {
                prefetch(b.wrapping_add(AHEAD * b_step + v * LANES));
                // SAFETY: row p of the panel, which has room for whole vectors.
                unsafe { store(panel.wrapping_add(v * LANES), row[v]) };
            }
            panel = panel.wrapping_add(VECTORS * LANES);
        }
        for i in 0..ROWS {
            // SAFETY: element (i, p) of A.
            let factor = Lanes::splat(unsafe { *a[i / 4].wrapping_add(in_four[i % 4]) });
            for v in 0..VECTORS {
                sum[i][v] = row[v].mul_add(factor, sum[i][v]);
            }
        }
        a = a.map(|a| opaque(a.wrapping_add(at.a_step)));
        b = b.wrapping_add(b_step);
    };
    let mut others = [[[Lanes::ZERO; VECTORS]; ROWS]; 3];
    let mut soon = at.c;
    while left >= phases {
        if left.is_multiple_of(FETCH) {
            for v in 0..VECTORS {
                prefetch(soon.wrapping_add(v * LANES + LANES - 1));
            }
            soon = soon.wrapping_add(at.c_row);
        }
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
    for i in 0..ROWS {
        for v in 0..VECTORS {
            // SAFETY: C, this tile's rows and columns.
            unsafe {
                if is_partial(v) {
                    last.store(target(i, v), sum[i][v]);
                } else {
                    store(target(i, v), sum[i][v]);
                }
            }
        }
    }
    if update.activation != Activation::Identity {
        // SAFETY: as above; the values have just been written.
        unsafe { apply(at, update.activation) };
    }
}

/// Applies an activation to the values of C.
///
/// # Safety
/// C is initialised and otherwise as for [`sweep`].
#[inline(never)]
unsafe fn apply(at: &Addresses, activation: Activation) {
    for i in 0..at.rows {
        for column in (0..at.columns).step_by(LANES) {
            let place = at.c.wrapping_add(i * at.c_row + column);
            let lanes = Prefix::new(at.columns - column);
            // SAFETY: the caller vouches for the columns of C, which the prefix
            // does not leave.
            unsafe { lanes.store(place, activate(lanes.load(place), activation)) };
        }
    }
}

/// Steps of the depth after which the next row of C is fetched.
const FETCH: usize = 8;
/// How many rows ahead a packing tile fetches B, which may lie far away.
const AHEAD: usize = 16;

/// Asks for the cache line at an address, which need not be valid.
#[inline(always)]
fn prefetch(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults; SSE is a part of x86-64.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
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
