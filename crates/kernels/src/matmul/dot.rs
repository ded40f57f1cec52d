//! Matrix × vector along the rows: the products whose lanes run over the depth.
//!
//! ```text
//! y[i] = activation(α·Σ_p M[i][p]·x[p] + β·y[i] + bias[i])
//! ```
//!
//! 1. [`LANES`] rows at a time: their sums, one vector each, share every load of x
//!    and are enough to keep the multiply-adds busy.
//! 2. A row's last part is masked, as is x, so nothing is read beyond them.
//! 3. The sums of all rows are added up crosswise into one vector, on which α, β,
//!    bias and activation act as in a tile.
//!
//! For [`super`] when C is a column, and when it is a row and B is transposed.

use super::{Update, finish};
use crate::{
    lanes::{LANES, Lanes, load, store_partial},
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
