//! Transposes in registers, in squares of 8 × 8 values.
//!
//! ```text
//! for each LANES rows of the source         they become LANES columns of the target
//!   for each 8 columns of the source        they become 8 rows of the target
//!     exchange one or two squares, write 8 rows of one vector
//! ```
//!
//! The target is written in whole vectors, because it is soon loaded in whole vectors: a
//! load that spans two stores would have to wait for both.

use crate::lanes::{LANES, from_eights, store};
use crate::matrix::MatRef;
use crate::rows::{Rows, RowsMut, ZEROS};
use std::array;
use wide::f32x8;

/// Rows and columns of a square.
pub(crate) const SIDE: usize = 8;

/// A matrix to transpose; some values beyond the end of each row may be readable as well.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) values: Rows,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Values of a row that may be read, at least `columns`: padding spares the masked
    /// reads at its end.
    pub(crate) readable: usize,
}

/// `to[j, i] = from[i, j]` for each column j of `from`; zero for i from its rows up to
/// `width`.
///
/// # Safety
/// `from` has its rows, each valid for reading `readable` values. `to` has a row for each
/// column of `from`, each valid for writing `width` values, a multiple of [`LANES`] that is
/// at least the rows of `from`; nobody else uses these.
#[inline(always)]
pub(crate) unsafe fn transpose(from: Source, to: RowsMut, width: usize) {
    for i in (0..width).step_by(LANES) {
        for j in (0..from.columns).step_by(SIDE) {
            let block = |first| {
                if j + SIDE <= from.readable {
                    // SAFETY: the rows below `from.rows` have a square's width from j on.
                    unsafe { transposed_block(from.values, first, from.rows, j) }
                } else {
                    // SAFETY: the rows below `from.rows` have the values from j on that
                    // are left of `readable`, fewer than a square's width.
                    unsafe { transposed_edge(from, first, j) }
                }
            };
            // With 8 lanes there is no second square.
            let low = block(i);
            let high = if LANES == 16 { block(i + SIDE) } else { [f32x8::ZERO; SIDE] };
            for k in 0..SIDE.min(from.columns - j) {
                // SAFETY: j + k is below the columns of `from`, and i + LANES ≤ `width`, so
                // row j + k of `to` has room for this vector.
                unsafe { store(to.at(j + k).wrapping_add(i), from_eights(low[k], high[k])) };
            }
        }
    }
}

/// [`transpose`] of a view `[n, k]` to the k rows of `target`, `stride` apart.
///
/// # Panics
/// If `width` is no multiple of [`LANES`], less than n or more than `stride`, or `target`
/// ends before the last row does.
#[track_caller]
pub(crate) fn transpose_view(source: MatRef<'_>, target: &mut [f32], stride: usize, width: usize) {
    let (rows, columns) = (source.rows(), source.columns());
    if columns == 0 {
        return;
    }
    let end = stride.checked_mul(columns - 1).and_then(|before| before.checked_add(width));
    assert!(
        width.is_multiple_of(LANES)
            && (rows..=stride).contains(&width)
            && end.is_some_and(|end| end <= target.len()),
        "{columns} rows of {width} values, {stride} apart, do not fit {rows} x {columns} \
         transposed, or {} values",
        target.len()
    );
    let from = Source { values: Rows::of_view(source), rows, columns, readable: columns };
    // SAFETY: the view vouches for its rows and columns; the assertion found `width` a
    // multiple of LANES and the rows of `target` within it, and it is borrowed exclusively.
    unsafe { transpose(from, RowsMut::of_slice(target, stride), width) };
}

/// Eight columns from `column` on, of eight rows from `first` on; rows from `count` on are
/// zeros.
///
/// # Safety
/// There are `count` rows, each valid for reading up to `column + 8` values.
#[inline(always)]
pub(crate) unsafe fn transposed_block(
    rows: Rows,
    first: usize,
    count: usize,
    column: usize,
) -> [f32x8; SIDE] {
    let mut block = [f32x8::ZERO; SIDE];
    for (k, target) in block.iter_mut().enumerate() {
        let row = if first + k < count {
            rows.at(first + k).wrapping_add(column)
        } else {
            ZEROS.as_ptr()
        };
        // SAFETY: `row` is either a row below `count`, which has 8 values from `column` on,
        // or ZEROS, which has 16.
        *target = unsafe { row.cast::<f32x8>().read_unaligned() };
    }
    f32x8::transpose(block)
}

/// As [`transposed_block`], where fewer than eight columns may be read.
///
/// # Safety
/// As [`transpose`] asks of `from`.
#[inline(never)]
unsafe fn transposed_edge(from: Source, first: usize, column: usize) -> [f32x8; SIDE] {
    let left = from.readable - column;
    let line = |k: usize| {
        if first + k >= from.rows {
            return f32x8::ZERO;
        }
        let row = from.values.at(first + k).wrapping_add(column);
        f32x8::new(array::from_fn(|n| {
            // SAFETY: a row below `from.rows`, and a place before the end of `readable`.
            if n < left { unsafe { *row.wrapping_add(n) } } else { 0.0 }
        }))
    };
    f32x8::transpose(array::from_fn(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sources with and without readable padding, into targets at a stride: every value, the
    /// zeros after the rows of the source, and nothing beyond `width`.
    #[test]
    fn agrees_with_the_obvious_loop_and_leaves_the_rest_alone() {
        for rows in [0_usize, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32] {
            for columns in [0, 1, 5, 7, 8, 9, 16, 17, 23] {
                for padding in [0, 1, 8] {
                    let stride = columns + padding;
                    // Exactly as long as may be read, so that a tool sees a read beyond.
                    let values: Vec<f32> = (0..rows * stride).map(|n| n as f32 + 1.0).collect();
                    let width = rows.next_multiple_of(LANES);
                    let to_stride = width + 3;
                    let mut target = vec![-1.0; columns * to_stride];
                    let from = Source {
                        values: Rows::of_slice(&values, stride),
                        rows,
                        columns,
                        readable: stride,
                    };
                    // SAFETY: `values` holds `rows` rows of `stride` values, `target`
                    // `columns` rows of more than `width`.
                    unsafe { transpose(from, RowsMut::of_slice(&mut target, to_stride), width) };
                    for (j, row) in target.chunks(to_stride).enumerate() {
                        for (i, &found) in row.iter().enumerate() {
                            let expected = match i {
                                _ if i < rows => values[i * stride + j],
                                _ if i < width => 0.0,
                                _ => -1.0,
                            };
                            assert_eq!(found, expected, "{rows} x {columns} + {padding}: {j} {i}");
                        }
                    }
                }
            }
        }
    }
}
