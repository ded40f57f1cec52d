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
//! 1. A multiply-add has a latency of four cycles and two can start in each, so at least
//!    eight sums must be in flight, better twelve. A tile has up to as many as the registers
//!    hold beside a row of B and one broadcast. Few rows have too few sums: each is split in
//!    two or four, over every second or fourth step of the depth.
//! 2. Loads are the second limit, also two a cycle, and they cost power, hence clock.
//!    `VECTORS + ROWS` of them feed `VECTORS·ROWS` multiply-adds, so a tile is wide rather
//!    than tall: 6 × 4 vectors need 10 loads for 24 multiply-adds, 14 × 2 need 16 for 28.
//! 3. Rows are divided evenly (16 = 6 + 5 + 5, not 6 + 6 + 4).
//! 4. A step does little beside its multiply-adds: addresses advance by bytes, with an
//!    addition each. To advance by values is a `lea` with a factor, which competes with
//!    multiply-adds for one of their two ports.
//! 5. The last vector of a row is masked at the end of the columns ([`TailMask`]). If only a
//!    few columns are left for it, they are summed along the depth ([`without_edge`]).
//! 6. A is read in place, with any two strides, so A and Aᵀ share one kernel.
//! 7. The first tile of a strip may write the rows of B that it reads to a panel, from which
//!    the tiles below it read: packing is hidden behind the multiply-adds.
//! 8. An activation runs over the tile once it is written and still in L1: the sums leave
//!    it no registers.
//!
//! This file knows nothing of threads, blocks, or who owns the panels.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
use std::{array, ptr};

use super::addresses::{Addresses, BYTES, Strip, offset, opaque};
use super::dot;
use super::epilogue::{Activation, Update, activate};
use crate::{
    buffer::LINE,
    lanes::{LANES, Lanes, load, store},
    tail_mask::{MAX_GATHER_STEP, TailMask},
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
const MAX_HEIGHT: usize = 20;

/// The most rows of a tile of this width: its sums, a row of B and one broadcast fit into
/// the registers. A tile of one row uses each vector of B once, straight from memory.
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

/// [`height`] by vectors less one: a table spares small products the divisions.
const HEIGHTS: [usize; MAX_WIDTH] = [height(1), height(2), height(3), height(4)];

/// How many partial sums each value of a tile is split into: one from 7 sums on. A product
/// of 8 rows or more has only such tiles, so beyond 8 rows the bits of a row do not depend
/// on how many rows there are beside it.
const fn phases(sums: usize, vectors: usize) -> usize {
    if sums < 5 && 4 * sums + vectors < REGISTERS {
        4
    } else if sums < 7 && 2 * sums + vectors < REGISTERS {
        2
    } else {
        1
    }
}

/// The width of the tiles of a product with this many rows, if B is not packed: the fewer
/// rows, the wider.
pub(super) fn width(rows: usize) -> usize {
    let mut vectors = MAX_WIDTH;
    while vectors > WIDTH && HEIGHTS[vectors - 1] < rows {
        vectors -= 1;
    }
    vectors
}

/// The most rows of C that are one tile of [`WIDTH`].
pub(super) const TILE_ROWS: usize = height(WIDTH);

/// The arguments of a tile beside A and B. Those are passed in registers, since they are
/// needed first; these are read from memory, later.
struct Place<'a> {
    depth: usize,
    columns: usize,
    c: *mut f32,
    c_row: usize,
    bias: *const f32,
    update: &'a Update,
    /// Whether the sums are the result.
    is_done: bool,
    panel: *mut f32,
    /// If not null, where the next strip begins. The tile prefetches C, and a cache line of
    /// each row of the next strip, at the steps that have none of the bits of `unless`.
    next: *const f32,
    unless: usize,
}

/// A, the strides of its rows and columns; B, the stride of its rows; the rest. Strides are
/// in bytes: advancing by values would cost an instruction on a port that multiply-adds use.
type Tile = unsafe fn(*const f32, usize, usize, *const f32, usize, &Place<'_>);

/// Computes a product directly if it is a single tile; returns whether it was.
///
/// # Safety
/// As for [`sweep`].
#[inline(always)]
pub(super) unsafe fn try_single(at: &Addresses, update: &Update, strip: Strip) -> bool {
    let Strip { b, step, .. } = strip;
    let vectors = at.columns.div_ceil(LANES);
    if vectors > MAX_WIDTH || at.rows > HEIGHTS[vectors - 1] {
        return false;
    }
    let place = Place {
        depth: at.depth,
        columns: at.columns,
        c: at.c,
        c_row: at.c_row,
        bias: at.bias,
        update,
        is_done: update.is_nothing() && at.bias.is_null(),
        panel: ptr::null_mut(),
        next: ptr::null(),
        unless: usize::MAX,
    };
    let partial = usize::from(!at.columns.is_multiple_of(LANES));
    // SAFETY: the addresses are valid for the product, as asked above, and it is one tile of
    // just this size.
    unsafe {
        let tile = TILES[vectors - 1][partial][at.rows - 1];
        tile(at.a, BYTES * at.a_row, BYTES * at.a_step, b, BYTES * step, &place);
    }
    true
}

/// How a [`sweep`] divides its product.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// The most vectors of a strip.
    pub width: usize,
    /// Whether C and the next strip of B are far enough away for prefetching to pay.
    pub fetch: bool,
}

/// Computes the columns after the last whole vector of C if they are few, and returns how
/// many columns are left for tiles. In a tile they would fill a small part of a vector, and
/// cost `depth` multiply-adds a row. As dot products of rows of A and columns of B, each
/// costs `depth / LANES` multiply-adds and a reduction, which is worth about 48 values.
///
/// The choice depends on the columns beyond whole vectors and the depth, not on the rows:
/// a part of a product is computed in the same way as the whole.
///
/// # Safety
/// As for [`sweep`]; `strip` says where the rows of B begin from a column on.
#[inline(always)]
pub(super) unsafe fn without_edge(
    at: &Addresses,
    update: &Update,
    strip: impl FnOnce(usize) -> Strip,
) -> usize {
    let (edge, depth) = (at.columns % LANES, at.depth);
    let is_few = edge <= dot::MAX_EDGE && 4 * edge * (depth + 48) < 3 * LANES * depth;
    if edge == 0 || !is_few || at.a_step != 1 {
        return at.columns;
    }
    let columns = at.columns - edge;
    let Strip { b, step, .. } = strip(columns);
    if step > MAX_GATHER_STEP {
        return at.columns;
    }
    // SAFETY: the columns from `columns` on are part of a product whose addresses are valid, as
    // asked above; they are MAX_EDGE at most, the step is no more than MAX_GATHER_STEP, and A
    // is not transposed.
    unsafe { dot::columns(at, columns, b, step, update) };
    columns
}

/// Computes a whole product, tile by tile, strip by strip; `strip(column, vectors)` says
/// where the strip of B is that begins at this column.
///
/// # Safety
/// Every element of A, B, C and the bias that the sizes name is valid at its
/// address, C for writing, and nobody else uses C; with β = 0, C may be uninitialised.
/// A panel has room for its vectors, and the width is [`WIDTH`] at most if there are
/// any.
#[inline(always)]
pub(super) unsafe fn sweep(
    at: &Addresses,
    update: &Update,
    manner: Manner,
    mut strip: impl FnMut(usize, usize) -> Strip,
) {
    let &Addresses { rows, columns, depth, a, a_row, a_step, c, c_row, bias } = at;
    if rows == 0 {
        return;
    }
    let mut place = Place {
        depth,
        columns: 0,
        c,
        c_row,
        bias,
        update,
        is_done: update.is_nothing() && bias.is_null(),
        panel: ptr::null_mut(),
        next: ptr::null(),
        unless: if manner.fetch { FETCH - 1 } else { usize::MAX },
    };
    let mut column = 0;
    while column < columns {
        let left = columns - column;
        let vectors = left.div_ceil(LANES).min(manner.width);
        let partial = usize::from(left < vectors * LANES);
        let Strip { mut b, mut step, panel, next } = strip(column, vectors);
        place.columns = left.min(vectors * LANES);
        place.bias = offset(bias, column);
        place.panel = panel;
        let (mut a, mut c) = (a, c.wrapping_add(column));
        let down = Shares::new(rows, HEIGHTS[vectors - 1]);
        let lines = (vectors * LANES).div_ceil(LINE);
        let mut kernels = if panel.is_null() { &TILES } else { &PACKING_TILES };
        for index in 0..down.count {
            let rows = down.size(index);
            place.c = c;
            // Each tile prefetches its share of the next strip: a line of each row, to which
            // the hardware adds a neighbour. A single tile is bound by its own loads.
            let line = if down.count < lines { index * lines / down.count } else { index };
            let fetches = down.count > 1 && line < lines;
            place.next = if fetches { offset(next, line * LINE) } else { ptr::null() };
            // SAFETY: the addresses are valid for the product, as asked above: `rows` rows from
            // `a` and `c` on and the columns of this strip are a part of it, and the kernel is
            // the one for this size.
            unsafe {
                let tile = kernels[vectors - 1][partial][rows - 1];
                tile(a, BYTES * a_row, BYTES * a_step, b, BYTES * step, &place);
            }
            if !panel.is_null() {
                (b, step, kernels) = (panel, vectors * LANES, &TILES);
            }
            a = a.wrapping_add(rows * a_row);
            c = c.wrapping_add(rows * c_row);
        }
        column += vectors * LANES;
    }
}

/// A number divided into the fewest shares below a limit; they differ by one at most.
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
            // The common case of a small product needs no division.
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
        tile::<17, VECTORS, PARTIAL, PACKING>,
        tile::<18, VECTORS, PARTIAL, PACKING>,
        tile::<19, VECTORS, PARTIAL, PACKING>,
        tile::<20, VECTORS, PARTIAL, PACKING>,
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
    a: *const f32,
    a_row: usize,
    a_step: usize,
    mut b: *const f32,
    b_step: usize,
    at: &Place<'_>,
) {
    // `sweep` never calls these instances; this way they take no code.
    if ROWS > height(VECTORS) || PACKING && VECTORS > WIDTH {
        unreachable!();
    }
    let last = TailMask::new(at.columns - (VECTORS - 1) * LANES);
    let is_partial = |v: usize| PARTIAL && v == VECTORS - 1;

    let mut sum = [[Lanes::ZERO; VECTORS]; ROWS];
    // One pointer for each four rows of A. Without `opaque` the compiler derives each row's
    // address from the one before, in a chain as long as the tile.
    let mut a: [*const f32; MAX_HEIGHT / 4] =
        array::from_fn(|four| a.wrapping_byte_add(4 * four * a_row));
    let in_four = [0, a_row, 2 * a_row, 3 * a_row];
    let (mut panel, mut left) = (at.panel, at.depth);
    let phases = const { phases(ROWS * VECTORS, VECTORS) };
    let mut step = |sum: &mut [[Lanes; VECTORS]; ROWS]| {
        let row: [Lanes; VECTORS] = array::from_fn(|v| {
            let source = b.wrapping_add(v * LANES);
            // SAFETY: this runs once for each step of the depth, so `b` is at a row of B; it
            // has these columns.
            unsafe { if is_partial(v) { last.load(source) } else { load(source) } }
        });
        if PACKING {
            for v in 0..VECTORS {
                fetch(b.wrapping_add(v * LANES).wrapping_byte_add(AHEAD * b_step));
                // SAFETY: a panel has room for a row of VECTORS vectors for each step of the
                // depth.
                unsafe { store(panel.wrapping_add(v * LANES), row[v]) };
            }
            panel = panel.wrapping_add(VECTORS * LANES);
        }
        // What binds these: the ports that multiply, ROWS·VECTORS / 2 cycles, beside
        // (ROWS + VECTORS) / 2 of loads: 6 and 4 of 6 × 2. The models of Zen 2 and Skylake in
        // `llvm-mca` say so; that of Zen 3 says 12, as it takes a multiply-add for two cycles.
        for i in 0..ROWS {
            // SAFETY: row i is below ROWS and the step below the depth, so this is an element
            // of A.
            let factor = Lanes::splat(unsafe { *a[i / 4].wrapping_byte_add(in_four[i % 4]) });
            for v in 0..VECTORS {
                sum[i][v] = row[v].mul_add(factor, sum[i][v]);
            }
        }
        a = a.map(|a| opaque(a.wrapping_byte_add(a_step)));
        b = b.wrapping_byte_add(b_step);
    };
    let mut others = [[[Lanes::ZERO; VECTORS]; ROWS]; 3];
    let (mut soon, mut next) = (at.c.cast_const(), at.next);
    while left >= phases {
        if left & at.unless == 0 {
            for v in 0..VECTORS {
                fetch(soon.wrapping_add(v * LANES + LANES - 1));
            }
            soon = soon.wrapping_add(at.c_row);
            if !next.is_null() {
                for _ in 0..FETCH {
                    fetch_to_l2(next);
                    next = next.wrapping_byte_add(b_step);
                }
            }
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

    // As for A, so that not every address is computed separately.
    let c_row = BYTES * at.c_row;
    let c: [*const f32; MAX_HEIGHT / 4] =
        array::from_fn(|four| opaque(at.c.wrapping_byte_add(4 * four * c_row)));
    let in_four = [0, c_row, 2 * c_row, 3 * c_row];
    let target = |i: usize, v: usize| {
        c[i / 4].cast_mut().wrapping_byte_add(in_four[i % 4]).wrapping_add(v * LANES)
    };
    if !at.is_done {
        let update = at.update;
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
                    // SAFETY: β is not 0, so C is initialised in the rows and columns of this
                    // tile, and the mask selects the columns that the last vector has.
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
                // SAFETY: the bias is not null, so it has a value for each column of this tile;
                // the mask selects those that the last vector has.
                unsafe { if is_partial(v) { last.load(source) } else { load(source) } }
            });
            for i in 0..ROWS {
                for v in 0..VECTORS {
                    sum[i][v] += bias[v];
                }
            }
        }
    }
    for i in 0..ROWS {
        for v in 0..VECTORS {
            // SAFETY: C is valid for writing in the rows and columns of this tile, and the mask
            // selects the columns that the last vector has.
            unsafe {
                if is_partial(v) {
                    last.store(target(i, v), sum[i][v]);
                } else {
                    store(target(i, v), sum[i][v]);
                }
            }
        }
    }
    if !at.is_done && at.update.activation != Activation::Identity {
        // SAFETY: the values of this tile of C have just been written.
        unsafe { apply(at, ROWS, at.update.activation) };
    }
}

/// Applies an activation to the values of C.
///
/// # Safety
/// C is initialised and otherwise as for [`sweep`].
#[inline(never)]
unsafe fn apply(at: &Place<'_>, rows: usize, activation: Activation) {
    for i in 0..rows {
        for column in (0..at.columns).step_by(LANES) {
            let place = at.c.wrapping_add(i * at.c_row + column);
            let lanes = TailMask::new(at.columns - column);
            // SAFETY: C has `columns` columns in each of these rows, and the mask selects none
            // behind them.
            unsafe { lanes.store(place, activate(lanes.load(place), activation)) };
        }
    }
}

/// Steps of the depth between prefetches: of the next row of C, and of as many rows of the
/// next strip of B.
const FETCH: usize = 8;
/// How many rows ahead a packing tile prefetches B. Rows a power of two apart share a set of
/// L1, which holds 8 or 12 lines.
const AHEAD: usize = 4;
/// Prefetches the cache line at an address, which need not be valid, into L1.
#[inline(always)]
fn fetch(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, wherever it points; SSE is a part of x86-64.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
}

/// As [`fetch`], into L2.
#[inline(always)]
fn fetch_to_l2(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, wherever it points; SSE is a part of x86-64.
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(place.cast());
    }
}
