//! Products of one to four rows with weights where they lie, added to what is there.
//!
//! ```text
//! C [rows, n] += A [rows, k] · W [k, n]          n a multiple of 16
//! for each group of columns, for each group of rows: a tile, whose sums stay in registers
//!   for each step of the depth: one row of weights, one value of each row of A
//! ```
//!
//! For steps in which a thread computes some units of a layer from some others
//! ([`crate::exchange`]): a fraction of a microsecond, of which the way to a kernel for any size
//! would be a large part.
//!
//! 1. All rows of a tile share each weight that is loaded.
//! 2. A tile has as many sums as fit into the registers: the fewer rows, the more columns, for long
//!    pieces of a row of weights are read from L2 faster than short ones. Where columns are few,
//!    the sum over the depth is split, to hide the latency of the multiply-add.
//!
//! Not for more rows: there [`crate::matmul`] packs the weights.

use super::{GROUP, check};
use crate::buffer::Buffer;
use crate::lanes::{LANES, Lanes, each, load, store, tree_sum};
use crate::matrix::{MatMut, MatRef};
use crate::rows::{Rows, RowsMut};
use crate::size;
use crate::transpose::transpose_view;

/// The most vectors of a tile: four rows of them, and a row of weights, fit into the registers.
const WIDTH: usize = if cfg!(target_feature = "avx512f") { 4 } else { 2 };

/// The most rows of a tile.
pub(super) const MOST: usize = 4;

/// `C ← C + A·W` for A `[rows, k]`, W `[k, n]`, C `[rows, n]`; n is a multiple of 16.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn add_product(a: MatRef<'_>, w: MatRef<'_>, mut c: MatMut<'_>) {
    let (rows, columns, depth) = (c.rows(), c.columns(), w.rows());
    check("a", a.rows(), a.columns(), rows, depth);
    check("w", depth, w.columns(), depth, columns);
    assert!(columns.is_multiple_of(GROUP), "{columns} columns are no whole groups");
    // SAFETY: by the checks above, A and C have `rows` rows of `depth` and of `columns` values, and
    // W `depth` rows of `columns`, whole groups. C is borrowed exclusively.
    unsafe {
        add(Rows::of_view(a), Rows::of_view(w), depth, RowsMut::of_view(&mut c), rows, columns);
    }
}

/// [`add_product`], for any number of rows, of which [`MOST`] are taken at a time.
///
/// # Safety
/// A has `rows` rows of `depth` values, W `depth` rows of `columns`, C `rows` rows of `columns`,
/// which nobody else uses; `columns` are whole vectors.
#[inline(always)]
pub(super) unsafe fn add(a: Rows, w: Rows, depth: usize, c: RowsMut, rows: usize, columns: usize) {
    let mut row = 0;
    while row < rows {
        let count = (rows - row).min(MOST);
        let mut column = 0;
        while column < columns {
            let at = Tile { a: a.from(row), w, c: c.from(row), column, depth };
            // SAFETY: A and C have `count` rows from `row` on, and as many vectors are left from
            // `column` on.
            column += LANES * unsafe { widest(count, (columns - column) / LANES, at) };
        }
        row += count;
    }
}

/// The widest tile of `rows` rows and at most `vectors` vectors whose sums fit into the registers;
/// how many vectors these are.
///
/// # Safety
/// As [`tile`], for so many rows and vectors.
#[inline(always)]
unsafe fn widest(rows: usize, vectors: usize, at: Tile) -> usize {
    // SAFETY: each arm computes as many rows, and no more vectors, than there are.
    unsafe {
        match (rows, vectors / WIDTH) {
            (1, 4..) => tile::<1, { 4 * WIDTH }, 1>(at),
            (1, 3..) => tile::<1, { 3 * WIDTH }, 1>(at),
            (1, 2..) => tile::<1, { 2 * WIDTH }, 2>(at),
            (1, 1..) => tile::<1, WIDTH, 4>(at),
            (1, _) => tile::<1, 1, 4>(at),
            (2, 2..) => tile::<2, { 2 * WIDTH }, 1>(at),
            (2, 1..) => tile::<2, WIDTH, 2>(at),
            (2, _) => tile::<2, 1, 4>(at),
            (3, 2..) if WIDTH == 4 => tile::<3, { 2 * WIDTH }, 1>(at),
            (3, 1..) => tile::<3, WIDTH, 1>(at),
            (3, _) => tile::<3, 1, 4>(at),
            (_, 1..) => tile::<4, WIDTH, 1>(at),
            _ => tile::<4, 1, 4>(at),
        }
    }
}

/// Writes the transpose of `matrix` `[m, n]` to `target` `[n, m rounded up to 16]`, the rest of
/// whose rows is zero; allocates only to grow.
pub fn transpose(matrix: MatRef<'_>, target: &mut Buffer) {
    let width = size::padded(matrix.rows(), GROUP);
    target.resize(size::padded_rows(matrix.columns(), matrix.rows(), GROUP));
    if !target.is_empty() {
        transpose_view(matrix, target, width, width);
    }
}

/// A tile of C: all addresses at its first row; `column` is where it begins in W and C.
#[derive(Clone, Copy)]
struct Tile {
    a: Rows,
    w: Rows,
    c: RowsMut,
    column: usize,
    depth: usize,
}

/// `R` rows and `V` vectors, which it returns, the depth split over `SPLIT` sums.
///
/// # Safety
/// A and C have R rows, of `depth` values and of V vectors from `column` on; W has `depth` rows of
/// as many vectors. Nobody else uses these values of C.
#[allow(clippy::needless_range_loop)] // plain indices keep the sums in registers
#[inline(never)]
unsafe fn tile<const R: usize, const V: usize, const SPLIT: usize>(at: Tile) -> usize {
    let Tile { a, w, c, column, depth } = at;
    let mut sums = [[[Lanes::ZERO; V]; R]; SPLIT];
    for (r, sums) in sums[0].iter_mut().enumerate() {
        // SAFETY: C has R rows with V vectors from `column` on.
        *sums = each(|v| unsafe { load(c.at(r).wrapping_add(column + v * LANES)) });
    }
    let add = |sums: &mut [[Lanes; V]; R], k: usize| {
        // SAFETY: k is below the depth, so W has this row, with V vectors from `column` on.
        let weights: [Lanes; V] =
            each(|v| unsafe { load(w.at(k).wrapping_add(column + v * LANES)) });
        for r in 0..R {
            // SAFETY: r is one of R rows of A, which have more than k values.
            let value = Lanes::splat(unsafe { *a.at(r).wrapping_add(k) });
            for v in 0..V {
                sums[r][v] = value.mul_add(weights[v], sums[r][v]);
            }
        }
    };
    let mut k = 0;
    while k + SPLIT <= depth {
        for s in 0..SPLIT {
            add(&mut sums[s], k + s);
        }
        k += SPLIT;
    }
    while k < depth {
        add(&mut sums[0], k);
        k += 1;
    }
    for r in 0..R {
        for v in 0..V {
            let sum = tree_sum(each::<SPLIT>(|s| sums[s][r][v]));
            // SAFETY: C has R rows with V vectors from `column` on, which nobody else uses.
            unsafe { store(c.at(r).wrapping_add(column + v * LANES), sum) };
        }
    }
    V
}
