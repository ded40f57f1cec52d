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
//! 4. Next to the multiply-adds of a step there is little else: addresses go on by bytes,
//!    an addition each. As values, each was a `lea` with a factor, which takes turns with
//!    multiply-adds on one of their two ports: 171 cycles instead of 166 for 16 × 16 × 16.
//! 5. The last vector of a row is masked where the columns end ([`TailMask`]). A few columns
//!    in it are better summed along the depth ([`without_edge`]): 100 × 100 × 100, with 4,
//!    went from 82 % of peak to 89 %, 33 × 33 × 33 from 61 % to 78 %.
//! 6. A is read where it lies, by any two steps, so A and Aᵀ are one kernel.
//! 7. The first tile of a strip may write the rows of B that it reads to a panel,
//!    from which the tiles below it read: packing hides behind the multiply-adds.
//! 8. An activation runs over the tile once it is written and still in L1: the sums
//!    leave it no registers.
//!
//! What this file does not know: threads, blocks, whose panels they are.

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

/// What a tile needs to know beside A and B, which it is given in registers: they are
/// asked for at once, and all this later.
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
    /// The tile fetches C, and a cache line in each row from here on if it is not null, at
    /// the steps of the depth that have none of these bits.
    next: *const f32,
    unless: usize,
}

/// A, the distances of its rows and columns; B, the distance of its rows; the rest. The
/// distances are in bytes: to go on by a number of values costs an instruction on a port
/// that is wanted for multiply-adds.
type Tile = unsafe fn(*const f32, usize, usize, *const f32, usize, &Place<'_>);

/// Computes a product that is one tile, if it is, with nothing in between.
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

/// How a [`sweep`] goes about it.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// Vectors of a strip at most.
    pub width: usize,
    /// Whether the last few columns may be summed along the depth, see [`without_edge`].
    pub edge: bool,
    /// Whether C and the next strip of B are far enough away to be asked for early.
    pub fetch: bool,
}

/// Computes the columns behind the last whole vector of C, if they are so few that most of
/// a vector would be empty, and answers how many are left. As a tile, they would cost
/// `depth` multiply-adds a row; as products of a row of A and a column of B, they cost the
/// depth by vectors and adding up, about as much as 48 values more.
///
/// What is done depends on no rows, and on the columns only by what is left of a vector:
/// a part of a product is computed in the same way as the whole.
///
/// # Safety
/// As for [`sweep`]; `strip` says where B begins.
#[inline(always)]
pub(super) unsafe fn without_edge(
    at: &Addresses,
    update: &Update,
    strip: impl FnOnce() -> Strip,
) -> usize {
    let (edge, depth) = (at.columns % LANES, at.depth);
    let is_few = edge <= dot::MAX_EDGE && 4 * edge * (depth + 48) < 3 * LANES * depth;
    if edge == 0 || !is_few || at.a_step != 1 {
        return at.columns;
    }
    let Strip { b, step, .. } = strip();
    if step > MAX_GATHER_STEP {
        return at.columns;
    }
    let columns = at.columns - edge;
    // SAFETY: the columns from `columns` on are part of a product whose addresses are valid, as
    // asked above; they are MAX_EDGE at most, the step is no more than MAX_GATHER_STEP, and A
    // is not transposed.
    unsafe { dot::columns(at, columns, b, step, update) };
    columns
}

/// Computes a whole product, tile by tile, in strips of so many vectors;
/// `strip(column, vectors)` says where B is from that column on.
///
/// # Safety
/// Every element of A, B, C and the bias that the sizes name is valid at its
/// address, C for writing and by nobody else; β = 0 allows C to be uninitialised.
/// A panel has room for its vectors, and the width is [`WIDTH`] at most if there are
/// any.
#[inline(always)]
pub(super) unsafe fn sweep(
    at: &Addresses,
    update: &Update,
    manner: Manner,
    mut strip: impl FnMut(usize, usize) -> Strip,
) {
    let &Addresses { rows, columns: _, depth, a, a_row, a_step, c, c_row, bias } = at;
    if rows == 0 {
        return;
    }
    let mut columns = at.columns;
    if manner.edge {
        // SAFETY: the addresses are valid for the product, as asked above, and the strip from
        // column 0 on begins where B does.
        columns = unsafe { without_edge(at, update, || strip(0, 1)) };
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
            // Each tile fetches its share of the next strip: a line in each row, and the
            // hardware brings its neighbour. A single one waits for the loads that it has.
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
    // `sweep` asks for none of these; said here, they take no code.
    if ROWS > height(VECTORS) || PACKING && VECTORS > WIDTH {
        unreachable!();
    }
    let last = TailMask::new(at.columns - (VECTORS - 1) * LANES);
    let is_partial = |v: usize| PARTIAL && v == VECTORS - 1;

    let mut sum = [[Lanes::ZERO; VECTORS]; ROWS];
    // Rows of A go by fours, each with one pointer. Without `opaque` the compiler
    // derives each row's address from the one before, a chain as long as the tile.
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

    // As for A, so that each address is not computed for itself.
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

/// Steps of the depth after which the next row of C, and as many rows of the next strip
/// of B, are fetched.
const FETCH: usize = 8;
/// How many rows ahead a packing tile fetches B. Rows a power of two apart share a set of
/// L1, which holds no more than 8 or 12.
const AHEAD: usize = 4;
/// Asks for the cache line at an address, which need not be valid.
#[inline(always)]
fn fetch(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, wherever it points; SSE is a part of x86-64.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
}

/// As [`fetch`], but no nearer than L2.
#[inline(always)]
fn fetch_to_l2(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, wherever it points; SSE is a part of x86-64.
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(place.cast());
    }
}
