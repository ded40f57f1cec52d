//! Products of the rows of a step with weights that do not fit into L2.
//!
//! ```text
//! C [rows, n] = initial sum + A [rows, k] · W [k, n]
//! for each panel of columns, as wide as a tile
//!   for each block of the depth              it stays in L1
//!     for each group of rows: a tile         and prefetches a share of the next block
//! ```
//!
//! Such weights are read from L3 at every step, for a few rows: B = 32 rows are 64
//! operations for each value read. L3 delivers just enough for that if it is busy all the
//! time. A product that waits for its first group of rows and then finds the rest in L1
//! leaves it idle between panels. Here the tiles of one block prefetch the next, a cache
//! line every step or two of the depth, so that it is in L2 when it is needed.
//!
//! 1. A block of C stays near while the depth advances: the loop over panels is the outer
//!    one. The last block of a panel prefetches the columns of C that come next.
//! 2. The sums start from zeros, a bias, or C itself ([`InitialSum`]).
//! 3. Each value is one chain of multiply-adds over the depth, whatever the rows beside
//!    it: the bits of a row do not depend on their number.
//!
//! Not for weights that fit into L2: there a [`crate::matmul::PackedMatrix`] is as fast. Nor
//! for `hᵀ·dz`, where C is the large matrix: there [`crate::matmul::gemm`] is faster.

use super::{GROUP, check};
use crate::buffer::{Buffer, LINE};
use crate::lanes::{LANES, Lanes, load, store};
use crate::matrix::{MatMut, MatRef, Operand};
use crate::prefetch;
use crate::size;
use crate::transpose::transpose_view;
use std::array;

/// Vectors in a row of a tile, and of a panel: the sums of [`HEIGHT`] rows, a row of weights
/// and one broadcast fit into the registers (without AVX a vector takes two).
const WIDTH: usize = if cfg!(target_feature = "avx512f") {
    4
} else if cfg!(target_feature = "avx") {
    2
} else {
    1
};
/// The most rows of a tile.
const HEIGHT: usize = 6;
/// The columns of a panel.
const PANEL: usize = WIDTH * LANES;
/// The rows of a block: 32 KiB with vectors of 16 lanes.
const DEPTH: usize = 128;
/// Values of the weights above which panels pay: half of a small L2.
const LARGE: usize = 1 << 18;

/// Weights `[k, n]` in the order in which they are read; n is rounded up to 16, with zeros.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    values: Buffer,
    depth: usize,
    columns: usize,
}

/// What the sums of a product start from.
#[derive(Clone, Copy, Debug)]
pub enum InitialSum<'a> {
    /// Zeros; C may hold anything.
    Zeros,
    /// `[n]`: the same for each row; C may hold anything.
    Row(&'a [f32]),
    /// What C holds.
    Old,
}

impl Panels {
    /// Whether weights `[depth, columns]` are so large that panels pay.
    pub fn pay(depth: usize, columns: usize) -> bool {
        depth.saturating_mul(columns) > LARGE
    }

    /// Packs other weights; allocates only if they are more than ever before.
    ///
    /// # Panics
    /// If they are, padded, more than a `usize` counts.
    #[track_caller]
    pub fn assign<'a>(&mut self, weights: impl Into<Operand<'a>>) {
        let weights = weights.into();
        self.values.resize(size::padded_rows(weights.rows(), weights.columns(), GROUP));
        self.depth = weights.rows();
        self.columns = size::padded(weights.columns(), GROUP);
        if self.values.is_empty() {
            return;
        }
        for (n, panel) in self.values.chunks_mut(self.depth * PANEL).enumerate() {
            let width = panel.len() / self.depth;
            let first = n * PANEL;
            // Zero in the padding, where a panel is narrower than a group.
            let columns = weights.columns().saturating_sub(first).min(width);
            if columns < width {
                panel.fill(0.0);
            }
            if columns == 0 {
                continue;
            }
            let matrix = weights.matrix();
            if weights.is_transposed() {
                let source = matrix.part(first, 0, columns, self.depth);
                transpose_view(source, panel, width, width);
            } else {
                let rows = matrix.part(0, first, self.depth, columns).iter_rows();
                for (target, row) in panel.chunks_exact_mut(width).zip(rows) {
                    target[..columns].copy_from_slice(row);
                }
            }
        }
    }

    /// n, rounded up.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

/// `C ← start + A·W` for A `[rows, k]` and C `[rows, n]`, n rounded up to 16.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn multiply(a: MatRef<'_>, weights: &Panels, start: InitialSum<'_>, mut c: MatMut<'_>) {
    let (rows, depth, columns) = (a.rows(), weights.depth, weights.columns);
    check("a", rows, a.columns(), rows, depth);
    check("c", c.rows(), c.columns(), rows, columns);
    if let InitialSum::Row(row) = start {
        check("the start", 1, row.len(), 1, columns);
    }
    if rows == 0 {
        return;
    }
    let zeros = [0.0; PANEL];
    let tiles = rows.div_ceil(HEIGHT);
    let (a_row, c_row, c) = (a.stride(), c.stride(), c.as_mut_ptr());
    let values = weights.values.as_ptr();
    for first in (0..columns).step_by(PANEL) {
        let width = PANEL.min(columns - first);
        let mut k = 0;
        loop {
            let block = DEPTH.min(depth - k);
            let panel = values.wrapping_add(first * depth + k * width);
            // After the last block of all comes the first, for the next step.
            let is_last = first + width == columns && k + block == depth;
            let next = if is_last { values } else { panel.wrapping_add(block * width) };
            // Each tile prefetches its share, but no more than two lines a step.
            let share = (block * width / LINE).div_ceil(tiles).min(2 * block);
            let mut row = 0;
            for tile in 0..tiles {
                let count = (rows - row).div_ceil(tiles - tile);
                let c = c.wrapping_add(row * c_row + first);
                let (start, start_row) = match start {
                    _ if k > 0 => (c.cast_const(), c_row),
                    InitialSum::Old => (c.cast_const(), c_row),
                    InitialSum::Row(row) => (row[first..].as_ptr(), 0),
                    InitialSum::Zeros => (zeros.as_ptr(), 0),
                };
                let at = Tile {
                    a: a.as_ptr().wrapping_add(row * a_row + k),
                    a_row,
                    depth: block,
                    panel,
                    start,
                    start_row,
                    c,
                    c_row,
                    next: next.wrapping_add(tile * share * LINE),
                    share,
                    is_last: k + block == depth,
                };
                // SAFETY: by the checks above, A has `count` rows from `row` on with `block`
                // values from k on, and C as many rows with `width` values from `first` on, as
                // has what the sums start with; the panel holds `block` rows of `width` values.
                // C is borrowed exclusively.
                unsafe { run(&at, count, width / LANES) };
                row += count;
            }
            k += block;
            if k >= depth {
                break;
            }
        }
    }
}

/// A tile of C as addresses.
#[derive(Clone, Copy)]
struct Tile {
    a: *const f32,
    a_row: usize,
    depth: usize,
    /// `[depth, vectors]`
    panel: *const f32,
    /// `[rows, vectors]`: what the sums start from.
    start: *const f32,
    start_row: usize,
    c: *mut f32,
    c_row: usize,
    /// What will be read next, and how many lines of it this tile prefetches.
    next: *const f32,
    share: usize,
    /// Whether the tile also prefetches the columns of C that follow.
    is_last: bool,
}

/// Computes a tile of `rows` rows and `vectors` vectors.
///
/// # Safety
/// Except for `next`, its addresses are valid for `rows` rows, `vectors` vectors and all
/// steps of the depth; C is valid for writing, and nobody else uses it.
unsafe fn run(at: &Tile, rows: usize, vectors: usize) {
    // SAFETY: the tile is valid for `rows` and `vectors`, and each arm computes as many
    // vectors: with a WIDTH below its number, an arm is never taken.
    unsafe {
        match vectors {
            4.. => of_width::<{ if WIDTH >= 4 { 4 } else { 1 } }>(at, rows),
            3 => of_width::<{ if WIDTH >= 3 { 3 } else { 1 } }>(at, rows),
            2 => of_width::<{ if WIDTH >= 2 { 2 } else { 1 } }>(at, rows),
            _ => of_width::<1>(at, rows),
        }
    }
}

/// [`run`] for a width known at compile time.
///
/// # Safety
/// As [`run`].
unsafe fn of_width<const VECTORS: usize>(at: &Tile, rows: usize) {
    // SAFETY: the tile is valid for `rows` rows of VECTORS vectors, and each arm computes as
    // many rows: `multiply` asks for 1 to HEIGHT.
    unsafe {
        match rows {
            6.. => tile::<6, VECTORS>(at),
            5 => tile::<5, VECTORS>(at),
            4 => tile::<4, VECTORS>(at),
            3 => tile::<3, VECTORS>(at),
            2 => tile::<2, VECTORS>(at),
            _ => tile::<1, VECTORS>(at),
        }
    }
}

/// [`run`] for a size known at compile time.
///
/// # Safety
/// As [`run`], for `ROWS` rows and `VECTORS` vectors.
#[allow(clippy::needless_range_loop)] // plain indices keep the sums in registers
unsafe fn tile<const ROWS: usize, const VECTORS: usize>(at: &Tile) {
    let mut sum: [[Lanes; VECTORS]; ROWS] = array::from_fn(|i| {
        let start = at.start.wrapping_add(i * at.start_row);
        // SAFETY: each of the ROWS rows that the sums start with is valid for VECTORS vectors.
        array::from_fn(|v| unsafe { load(start.wrapping_add(v * LANES)) })
    });
    if at.is_last {
        for i in 0..ROWS {
            let behind = at.c.wrapping_add(i * at.c_row + VECTORS * LANES).cast_const();
            (0..VECTORS * LANES).step_by(LINE).for_each(|line| {
                prefetch::for_reading_soon(behind.wrapping_add(line));
            });
        }
    }
    let (mut a, mut panel, mut next) = (at.a, at.panel, at.next);
    // Two pointers reach all rows, by multiples of the stride that an address can encode.
    let mut a_low = a.wrapping_add(3 * at.a_row);
    let mut step = |sum: &mut [[Lanes; VECTORS]; ROWS]| {
        // SAFETY: this runs `depth` times, so `panel` is at a row of VECTORS vectors of the
        // panel.
        let weights: [Lanes; VECTORS] =
            array::from_fn(|v| unsafe { load(panel.wrapping_add(v * LANES)) });
        for i in 0..ROWS {
            let place = if i < 3 {
                a.wrapping_add(i * at.a_row)
            } else {
                a_low.wrapping_add((i - 3) * at.a_row)
            };
            // SAFETY: `place` is in the column of A that belongs to this step, at one of ROWS
            // rows.
            let factor = Lanes::splat(unsafe { *place });
            for v in 0..VECTORS {
                sum[i][v] = weights[v].mul_add(factor, sum[i][v]);
            }
        }
        (a, a_low) = (a.wrapping_add(1), a_low.wrapping_add(1));
        panel = panel.wrapping_add(VECTORS * LANES);
    };
    // One line a step if that is enough, else two; then steps without prefetching.
    let lines = if at.share <= at.depth { 1 } else { 2 };
    let asking = at.share.div_ceil(lines).min(at.depth);
    for _ in 0..asking {
        prefetch::for_reading_soon(next);
        if lines == 2 {
            prefetch::for_reading_soon(next.wrapping_add(LINE));
        }
        next = next.wrapping_add(lines * LINE);
        step(&mut sum);
    }
    for _ in asking..at.depth {
        step(&mut sum);
    }
    for i in 0..ROWS {
        for v in 0..VECTORS {
            // SAFETY: each of the ROWS rows of C is valid for writing VECTORS vectors.
            unsafe { store(at.c.wrapping_add(i * at.c_row + v * LANES), sum[i][v]) };
        }
    }
}
