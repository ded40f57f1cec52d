//! Matrix × vector, by rows either way.
//!
//! ```text
//! y[i] = activation(α·Σ_p M[i][p]·x[p] + β·y[i] + bias[i])    matrix_vector
//! y[j] = activation(α·Σ_p x[p]·M[p][j] + β·y[j] + bias[j])    vector_matrix
//! ```
//!
//! 1. In the first, lanes run over the depth. It takes as many rows at a time as there are
//!    lanes: their sums, one vector each, share every load of x and are enough to keep the
//!    multiply-adds busy. Then they are reduced crosswise into one vector, on which
//!    α, β, bias and activation act as in a tile. A row that is left over is reduced in the
//!    same order.
//! 2. In the second, lanes run over the columns. It takes [`BLOCK`] rows at a time, from
//!    their first column to the last, so the matrix is read in long runs; x is in
//!    registers, and y costs one load in `BLOCK + 1`.
//! 3. The end of a row is masked, so nothing is read beyond it.
//!
//! For [`super`], when C or op(A) is a single row or column, and for the last columns of a
//! tile.

use std::{array, mem::MaybeUninit};

use super::addresses::{Addresses, DEPTH, offset, opaque};
use super::epilogue::{Activation, Update, activate, finish};
use crate::{
    lanes::{LANES, Lanes, eights, load, store, tree_sum},
    matrix::MatRef,
    tail_mask::TailMask,
};

/// A vector whose values are `step` apart.
pub(super) struct Strided {
    pub(super) start: *mut f32,
    pub(super) step: usize,
}

/// Computes y, which has a value for each row of the matrix; `bias(first, count)` is added
/// to `count` of them from `first` on.
///
/// # Safety
/// `y` is valid for reading (unless β = 0) and writing one value a row of the
/// matrix, and nobody else uses them.
///
/// # Panics
/// If x is not as long as a row.
pub(super) unsafe fn matrix_vector(
    matrix: MatRef<'_>,
    x: &[f32],
    y: &Strided,
    bias: impl Fn(usize, usize) -> Option<Lanes>,
    update: &Update,
) {
    assert_eq!(matrix.columns(), x.len());
    let rows = matrix.rows();
    for first in (0..rows).step_by(LANES) {
        let count = LANES.min(rows - first);
        let sums = if count == LANES {
            across(dots::<LANES>(matrix, first, x))
        } else {
            let mut sums = [0.0; LANES];
            for (offset, sum) in sums[..count].iter_mut().enumerate() {
                let [dot] = dots::<1>(matrix, first + offset, x);
                *sum = total(dot);
            }
            Lanes::new(sums)
        };
        let at = |row: usize| y.start.wrapping_add((first + row) * y.step);
        let mut old = [0.0; LANES];
        if update.beta != 0.0 {
            for (row, old) in old[..count].iter_mut().enumerate() {
                // SAFETY: row `first + row` of the matrix exists, so y has a value for it; as β
                // is not 0, it is valid for reading.
                *old = unsafe { *at(row) };
            }
        }
        let new = finish(sums, Lanes::new(old), bias(first, count), update).to_array();
        for (row, &new) in new[..count].iter().enumerate() {
            // SAFETY: row `first + row` of the matrix exists, so y has a value for it, which
            // nobody else uses.
            unsafe { *at(row) = new };
        }
    }
}

/// The most columns that [`columns`] computes.
pub(super) const MAX_EDGE: usize = 8;

/// Computes the columns of a product from `first` on, for an A that is not transposed: in
/// blocks of C that have as many values as there are lanes. Each column of B is gathered
/// into vectors first.
///
/// # Safety
/// As for [`super::tile::sweep`]; row p of B from `first` on is at `b + p·step`, and there are
/// [`DEPTH`] rows and [`MAX_EDGE`] columns at most; the step suits [`TailMask::gather`].
#[inline(never)]
pub(super) unsafe fn columns(
    at: &Addresses,
    first: usize,
    b: *const f32,
    step: usize,
    update: &Update,
) {
    // Plain floats, because the compiler moves arrays of vectors in halves, and a load
    // cannot be forwarded from two stores.
    let mut gathered = MaybeUninit::<[f32; MAX_EDGE * DEPTH]>::uninit();
    let x: *mut f32 = gathered.as_mut_ptr().cast();
    let count = at.columns - first;
    for column in 0..count {
        for p in (0..at.depth).step_by(LANES) {
            let source = b.wrapping_add(column + p * step);
            // SAFETY: B has a row for each of the `depth - p` steps that are left, and the
            // gather takes no more than these; `x` has room for MAX_EDGE columns of DEPTH
            // values, a multiple of LANES.
            unsafe {
                let values = TailMask::new(at.depth - p).gather(source, step);
                store(x.wrapping_add(column * DEPTH + p), values);
            }
        }
    }
    let mut column = 0;
    while column < count {
        let (left, x) = (count - column, x.wrapping_add(column * DEPTH));
        let place = first + column;
        // SAFETY: each arm takes no more columns than are `left`; they have been gathered
        // above, in whole vectors.
        unsafe {
            column += match left {
                4.. => block_columns::<4, { LANES / 4 }>(at, place, x, update),
                2.. => block_columns::<2, { LANES / 2 }>(at, place, x, update),
                _ => block_columns::<1, LANES>(at, place, x, update),
            };
        }
    }
}

/// `COUNT` columns of [`columns`] from `column` on, `ROWS` rows at a time; returns `COUNT`.
///
/// # Safety
/// As for [`columns`]; the gathered columns of B begin at `x`, [`DEPTH`] apart, in whole vectors.
unsafe fn block_columns<const COUNT: usize, const ROWS: usize>(
    at: &Addresses,
    column: usize,
    x: *const f32,
    update: &Update,
) -> usize {
    let bias = offset(at.bias, column);
    let is_done = update.is_nothing() && bias.is_null();
    let (mut a, mut c) = (at.a, at.c.wrapping_add(column));
    let mut rows = at.rows;
    while rows >= ROWS {
        // SAFETY: at least ROWS rows of A and C begin here, and C has COUNT columns from this
        // one on, as has the bias.
        unsafe {
            let mut sums = across(block::<LANES, ROWS, COUNT>(a, at, x));
            if !is_done {
                sums = finish_block::<COUNT>(sums, ROWS, c, at.c_row, bias, update);
            }
            write_block::<COUNT, ROWS>(sums, c, at.c_row);
        }
        rows -= ROWS;
        a = a.wrapping_add(ROWS * at.a_row);
        c = c.wrapping_add(ROWS * at.c_row);
    }
    for _ in 0..rows {
        // SAFETY: a row of A and of C begins here, and C has COUNT columns from this one on, as
        // has the bias.
        unsafe {
            let sums = block::<COUNT, 1, COUNT>(a, at, x);
            let mut sums = Lanes::new(array::from_fn(|lane| total(sums[lane % COUNT])));
            if !is_done {
                sums = finish_block::<COUNT>(sums, 1, c, at.c_row, bias, update);
            }
            write_block::<COUNT, 1>(sums, c, at.c_row);
        }
        a = a.wrapping_add(at.a_row);
        c = c.wrapping_add(at.c_row);
    }
    COUNT
}

/// Writes the first rows of a block.
///
/// # Safety
/// They are valid for writing.
#[inline(always)]
unsafe fn write_block<const COUNT: usize, const ROWS: usize>(
    sums: Lanes,
    c: *mut f32,
    c_row: usize,
) {
    let mut block = [0.0; LANES];
    // SAFETY: the array holds LANES values, and ROWS rows of COUNT values at `c` are valid for
    // writing.
    unsafe {
        store(block.as_mut_ptr(), sums);
        for (i, values) in block.as_chunks::<COUNT>().0[..ROWS].iter().enumerate() {
            c.wrapping_add(i * c_row).cast::<[f32; COUNT]>().write_unaligned(*values);
        }
    }
}

/// [`finish`] for the sums of a block of C.
///
/// # Safety
/// The block is valid for reading, unless β = 0; the bias has a value for each column, or
/// is null.
#[inline(never)]
unsafe fn finish_block<const COUNT: usize>(
    sums: Lanes,
    rows: usize,
    c: *const f32,
    c_row: usize,
    bias: *const f32,
    update: &Update,
) -> Lanes {
    let mut old = [0.0; LANES];
    if update.beta != 0.0 {
        for (i, old) in old.as_chunks_mut::<COUNT>().0[..rows].iter_mut().enumerate() {
            // SAFETY: β is not 0, so each of the rows of the block is valid for reading COUNT
            // values.
            *old = unsafe { c.wrapping_add(i * c_row).cast::<[f32; COUNT]>().read_unaligned() };
        }
    }
    let bias = (!bias.is_null()).then(|| {
        // SAFETY: the bias is not null, so it has COUNT values.
        Lanes::new(array::from_fn(|lane| unsafe { *bias.wrapping_add(lane % COUNT) }))
    });
    finish(sums, Lanes::new(old), bias, update)
}

/// The products of `ROWS` rows of A and `COUNT` columns, not yet summed over the lanes.
///
/// # Safety
/// The rows from `a` on are rows of A; the rest as for [`block_columns`].
#[allow(clippy::needless_range_loop)] // the sums must stay in registers
#[inline(always)]
unsafe fn block<const SUMS: usize, const ROWS: usize, const COUNT: usize>(
    a: *const f32,
    at: &Addresses,
    x: *const f32,
) -> [Lanes; SUMS] {
    const { assert!(SUMS == ROWS * COUNT) };
    // As in a tile: one pointer for each four rows, and strides in bytes.
    let a_row = size_of::<f32>() * at.a_row;
    let mut a: [*const f32; LANES / 4] =
        array::from_fn(|four| opaque(a.wrapping_byte_add(4 * four * a_row)));
    let in_four = [0, a_row, 2 * a_row, 3 * a_row];
    let mut sum = [Lanes::ZERO; SUMS];
    let mut x = x;
    let mut add = |read: &dyn Fn(*const f32) -> Lanes| {
        // SAFETY: this runs once for each vector of the depth, and each of COUNT gathered
        // columns is that many whole vectors long, DEPTH apart.
        let columns: [Lanes; COUNT] =
            array::from_fn(|j| unsafe { load(x.wrapping_add(j * DEPTH)) });
        for i in 0..ROWS {
            let row = read(a[i / 4].wrapping_byte_add(in_four[i % 4]));
            for j in 0..COUNT {
                sum[i * COUNT + j] = row.mul_add(columns[j], sum[i * COUNT + j]);
            }
        }
        x = x.wrapping_add(LANES);
        a = a.map(|a| opaque(a.wrapping_add(LANES)));
    };
    for _ in 0..at.depth / LANES {
        // SAFETY: this runs once for each whole vector of the depth, which every row of A has.
        add(&|source| unsafe { load(source) });
    }
    if !at.depth.is_multiple_of(LANES) {
        let rest = TailMask::new(at.depth % LANES);
        // SAFETY: the mask selects the values of a row that are left behind its whole vectors.
        add(&|source| unsafe { rest.load(source) });
    }
    sum
}

/// Rows of the matrix that [`vector_matrix`] reads side by side: rows a power of two apart
/// share a set of L1, which holds this many lines.
const BLOCK: usize = 8;

/// Computes y, which has a value for each column of the matrix.
///
/// # Safety
/// `y` is valid for reading (unless β = 0) and writing one value a column of the
/// matrix, and nobody else uses them.
///
/// # Panics
/// If x does not have a value for each row, or the bias one for each column.
pub(super) unsafe fn vector_matrix(
    x: &[f32],
    matrix: MatRef<'_>,
    y: *mut f32,
    bias: Option<&[f32]>,
    update: &Update,
) {
    assert_eq!(matrix.rows(), x.len());
    let mut p = 0;
    while p < x.len() {
        let left = x.len() - p;
        let (kernel, count): (RowsKernel<'_>, _) = match left {
            BLOCK.. => (add_rows::<BLOCK>, BLOCK),
            4.. => (add_rows::<4>, 4),
            _ => (add_rows::<1>, 1),
        };
        let update = update.for_part(p == 0, count == left);
        let bias = bias.filter(|_| count == left);
        let rows = matrix.part(p, 0, count, matrix.columns());
        // SAFETY: y has a value a column, which nobody else uses; it is read where β is not 0,
        // when it was initialised, and after the first rows, which have written it.
        unsafe { kernel(&x[p..p + count], rows, y, bias, &update) };
        p += count;
    }
}

type RowsKernel<'a> = unsafe fn(&[f32], MatRef<'_>, *mut f32, Option<&[f32]>, &Update);

/// `y ← activation(α·x·M + β·y + bias)` for an M of `COUNT` rows.
///
/// # Safety
/// As for [`vector_matrix`].
#[allow(clippy::needless_range_loop)] // the factors must stay in registers
unsafe fn add_rows<const COUNT: usize>(
    x: &[f32],
    matrix: MatRef<'_>,
    y: *mut f32,
    bias: Option<&[f32]>,
    update: &Update,
) {
    assert!(x.len() == COUNT && matrix.rows() == COUNT);
    let columns = matrix.columns();
    assert!(bias.is_none_or(|bias| bias.len() == columns));
    let row = |p: usize| matrix.as_ptr().wrapping_add(p * matrix.stride());
    let x: [Lanes; COUNT] = array::from_fn(|p| Lanes::splat(x[p] * update.alpha));
    let beta = Lanes::splat(update.beta);
    // Whole vectors begin where M is aligned, and end before its last partial vector.
    let width = size_of::<Lanes>();
    let before = (width - matrix.as_ptr().addr() % width) % width / size_of::<f32>();
    let plain = bias.is_none() && update.activation == Activation::Identity;
    let (first, end) = if plain && before < columns {
        (before, before + (columns - before) / LANES * LANES)
    } else {
        (0, 0)
    };
    let scaled = |old: Lanes| if update.beta == 1.0 { old } else { old * beta };
    for column in (first..end).step_by(LANES) {
        let place = y.wrapping_add(column);
        // SAFETY: `column + LANES` is at most the columns of y and of the rows.
        unsafe {
            let mut sum = if update.beta == 0.0 { Lanes::ZERO } else { scaled(load(place)) };
            for p in 0..COUNT {
                sum = load(row(p).wrapping_add(column)).mul_add(x[p], sum);
            }
            store(place, sum);
        }
    }
    let partial = |column: usize, count: usize| {
        let place = y.wrapping_add(column);
        let lanes = TailMask::new(count);
        // SAFETY: the mask selects `count` columns from `column` on, which y, the rows of the
        // matrix, and the bias have.
        unsafe {
            let mut sum = if update.beta == 0.0 { Lanes::ZERO } else { scaled(lanes.load(place)) };
            for p in 0..COUNT {
                sum = lanes.load(row(p).wrapping_add(column)).mul_add(x[p], sum);
            }
            if let Some(bias) = bias {
                sum += lanes.load(bias.as_ptr().wrapping_add(column));
            }
            lanes.store(place, activate(sum, update.activation));
        }
    };
    if first > 0 {
        partial(0, first);
    }
    for column in (end..columns).step_by(LANES) {
        partial(column, columns - column);
    }
}

/// The products of `ROWS` rows of a matrix, from `first` on, with x, not yet summed over
/// the lanes.
#[allow(clippy::needless_range_loop)] // the rows must stay in registers
#[inline]
fn dots<const ROWS: usize>(matrix: MatRef<'_>, first: usize, x: &[f32]) -> [Lanes; ROWS] {
    assert!(first + ROWS <= matrix.rows() && x.len() == matrix.columns());
    let start = matrix.as_ptr().wrapping_add(first * matrix.stride());
    let row = |i: usize| start.wrapping_add(i * matrix.stride());
    let mut sum = [Lanes::ZERO; ROWS];
    let full = x.len() / LANES * LANES;
    for p in (0..full).step_by(LANES) {
        // SAFETY: `p + LANES` is at most the length of x and of the rows, and
        // the rows are in the matrix.
        unsafe {
            let x = load(x.as_ptr().add(p));
            for i in 0..ROWS {
                sum[i] = load(row(i).wrapping_add(p)).mul_add(x, sum[i]);
            }
        }
    }
    if full < x.len() {
        let rest = TailMask::new(x.len() - full);
        // SAFETY: the mask selects the values from `full` on to the end of x and of the rows,
        // which are in the matrix.
        unsafe {
            let x = rest.load(x.as_ptr().add(full));
            for i in 0..ROWS {
                sum[i] = rest.load(row(i).wrapping_add(full)).mul_add(x, sum[i]);
            }
        }
    }
    sum
}

/// The sum over the lanes of each vector: halves are added to halves, as in [`total`].
#[cfg(target_feature = "avx512f")]
#[inline(always)]
fn across(x: [Lanes; LANES]) -> Lanes {
    let eight: [Lanes; 8] = array::from_fn(|i| add_halves::<8>(x[i], x[i + 8]));
    let four: [Lanes; 4] = array::from_fn(|i| add_halves::<4>(eight[i], eight[i + 4]));
    let two: [Lanes; 2] = array::from_fn(|i| add_halves::<2>(four[i], four[i + 2]));
    add_halves::<1>(two[0], two[1])
}

/// In each group of `2·HALF` lanes, first the sums of the halves of `a`, then of `b`.
#[cfg(target_feature = "avx512f")]
#[inline(always)]
fn add_halves<const HALF: usize>(a: Lanes, b: Lanes) -> Lanes {
    use std::arch::x86_64::{__m512, __m512i, _mm512_mask_blend_ps, _mm512_permutex2var_ps};
    use std::mem::transmute;
    let is_upper = |lane: usize| lane & HALF != 0;
    let mask = (0..LANES).fold(0, |mask, lane| mask | u16::from(is_upper(lane)) << lane);
    // An index selects a lane of `a`, or of `b` if 16 is added.
    let others: [i32; LANES] = array::from_fn(|lane| {
        (if is_upper(lane) { LANES + lane - HALF } else { lane + HALF }) as i32
    });
    // SAFETY: the build has AVX-512F; the types are all 64 bytes without padding.
    unsafe {
        let a = transmute::<Lanes, __m512>(a);
        let b = transmute::<Lanes, __m512>(b);
        let others = transmute::<[i32; LANES], __m512i>(others);
        let own = transmute::<__m512, Lanes>(_mm512_mask_blend_ps(mask, a, b));
        let other = transmute::<__m512, Lanes>(_mm512_permutex2var_ps(a, others, b));
        own + other
    }
}

/// The sum over the lanes of each vector: halves are added to halves, as in [`total`].
#[cfg(not(target_feature = "avx512f"))]
#[inline(always)]
fn across(x: [Lanes; LANES]) -> Lanes {
    tree_sum(Lanes::transpose(x))
}

/// The sum over the lanes: halves are added to halves until one value is left.
#[inline(always)]
fn total(x: Lanes) -> f32 {
    let mut eight = eights(x)[0];
    for &more in &eights(x)[1..] {
        eight += more;
    }
    tree_sum(eight.to_array())
}
