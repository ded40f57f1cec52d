//! Matrix × vector, by rows either way.
//!
//! ```text
//! y[i] = activation(α·Σ_p M[i][p]·x[p] + β·y[i] + bias[i])    matrix_vector
//! y[j] = activation(α·Σ_p x[p]·M[p][j] + β·y[j] + bias[j])    vector_matrix
//! ```
//!
//! 1. In the first, lanes run over the depth. [`ROWS`] rows at a time: their sums,
//!    one vector each, share every load of x and are enough to keep the
//!    multiply-adds busy; then they are added up crosswise into one vector, on which
//!    α, β, bias and activation act as in a tile.
//! 2. In the second, lanes run over the columns. [`BLOCK`] rows at a time, from
//!    their first column to the last, so that the matrix is read in long runs; x is
//!    in registers, and y costs one load in `BLOCK + 1`.
//! 3. A row's last part is masked, so nothing is read beyond it.
//!
//! For [`super`] when C or op(A) is a single row or column.

use super::{Activation, Update, activate, finish};
use crate::{
    lanes::{LANES, Lanes, load, store, store_partial},
    matrix::MatRef,
    prefix::Prefix,
};

/// Rows whose sums run at the same time.
const ROWS: usize = 8;

/// The vector y: `length` values, `step` apart.
pub(super) struct Strided {
    pub(super) start: *mut f32,
    pub(super) step: usize,
}

/// Computes y, of as many values as the matrix has rows; `bias(first, count)` is
/// what is added to so many of them.
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
        let mut sums = [0.0; LANES];
        for group in (0..count).step_by(ROWS) {
            let sums = &mut sums[group..count.min(group + ROWS)];
            match sums.len() {
                ROWS => sums.copy_from_slice(&dots::<ROWS>(matrix, first + group, x)),
                _ => {
                    for (offset, sum) in sums.iter_mut().enumerate() {
                        [*sum] = dots::<1>(matrix, first + group + offset, x);
                    }
                }
            }
        }
        let sums = Lanes::new(sums);
        let at = |row: usize| y.start.wrapping_add((first + row) * y.step);
        let mut old = [0.0; LANES];
        if update.beta != 0.0 {
            for (row, old) in old[..count].iter_mut().enumerate() {
                // SAFETY: one of the values of y.
                *old = unsafe { *at(row) };
            }
        }
        let mut new = [0.0; LANES];
        store_partial(&mut new, finish(sums, Lanes::new(old), bias(first, count), update));
        for (row, &new) in new[..count].iter().enumerate() {
            // SAFETY: one of the values of y.
            unsafe { *at(row) = new };
        }
    }
}

/// Rows of the matrix that [`vector_matrix`] reads side by side: as many as one set
/// of L1 holds, for rows a power of two apart.
const BLOCK: usize = 8;

/// Computes y, of as many values as the matrix has columns.
///
/// # Safety
/// `y` is valid for reading (unless β = 0) and writing one value a column of the
/// matrix, and nobody else uses them.
///
/// # Panics
/// If x has not a value for each row, or the bias one for each column.
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
        // SAFETY: the caller's promise; after the first rows y is initialised.
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
    let x: [Lanes; COUNT] = std::array::from_fn(|p| Lanes::splat(x[p] * update.alpha));
    let beta = Lanes::splat(update.beta);
    // Whole vectors begin where those of M are aligned, and end before the last.
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
        let lanes = Prefix::new(count);
        // SAFETY: the prefix leaves neither y, nor the rows, nor the bias.
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

/// The products of `ROWS` rows of a matrix, from `first` on, with x.
#[allow(clippy::needless_range_loop)] // the rows must stay in registers
#[inline]
fn dots<const ROWS: usize>(matrix: MatRef<'_>, first: usize, x: &[f32]) -> [f32; ROWS] {
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
        let rest = Prefix::new(x.len() - full);
        // SAFETY: as above, for the values that are left.
        unsafe {
            let x = rest.load(x.as_ptr().add(full));
            for i in 0..ROWS {
                sum[i] = rest.load(row(i).wrapping_add(full)).mul_add(x, sum[i]);
            }
        }
    }
    across(sum)
}

/// The sum over the lanes of each vector.
#[inline(always)]
fn across<const ROWS: usize>(sum: [Lanes; ROWS]) -> [f32; ROWS] {
    use wide::f32x8;
    if ROWS == 8 {
        let halves: [f32x8; 8] = std::array::from_fn(|i| half(sum[i]));
        let lines = f32x8::transpose(halves);
        let total = ((lines[0] + lines[1]) + (lines[2] + lines[3]))
            + ((lines[4] + lines[5]) + (lines[6] + lines[7]));
        let total = total.to_array();
        std::array::from_fn(|i| total[i])
    } else {
        std::array::from_fn(|i| sum[i].reduce_add())
    }
}

/// The upper lanes added to the lower, until eight are left.
#[cfg(target_feature = "avx512f")]
#[inline(always)]
fn half(x: Lanes) -> wide::f32x8 {
    let [low, high]: [wide::f32x8; 2] = bytemuck::cast(x);
    low + high
}

/// Eight lanes as they are.
#[cfg(not(target_feature = "avx512f"))]
#[inline(always)]
fn half(x: Lanes) -> wide::f32x8 {
    x
}
