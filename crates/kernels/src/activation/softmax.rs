//! Softmax and log-sum-exp over the rows of a row-major `[rows, columns]`.
//!
//! ```text
//! m = max x     softmax(x)_j = e^{x_j − m} / Σ e^{x_k − m}     lse(x) = m + ln Σ e^{x_k − m}
//! ```
//!
//! 1. The largest exponent is 0: nothing overflows, and the sum is at least 1.
//! 2. The lanes beyond the end of a row hold −∞: they are never the maximum and add
//!    e^{−∞} = 0 to the sum.
//! 3. The maximum runs in [`MAXIMA`] vectors: the operation has a latency of four cycles,
//!    and two can start in each. The sum needs only one, since the exponential takes longer
//!    than the addition.
//!
//! The rows may be `stride` apart in a larger buffer; the values between them are neither
//! read nor written.

use super::exp::exp_lanes;
use crate::lanes::{LANES, Lanes, eights};
use crate::tail_mask::{load_partial, store_partial};
use crate::vector;
use wide::{f32x4, f32x8};

/// Softmax of each row, in place: `x[i, ·] ← e^{x[i, ·]} / Σ_j e^{x[i, j]}`.
///
/// An entry −∞ has weight 0 exactly. A row that holds NaN or ∞, or nothing but −∞,
/// has no softmax: all its values become NaN. A row of finite values never does.
///
/// # Panics
/// If `stride < columns`, or the last row ends beyond `x`.
#[track_caller]
pub fn softmax_rows(x: &mut [f32], rows: usize, columns: usize, stride: usize) {
    check(x.len(), rows, columns, stride);
    if columns == 0 {
        return; // of however many rows
    }
    for row in 0..rows {
        softmax_row(1.0, &mut x[row * stride..][..columns]);
    }
}

/// Softmax of each row of `x` into the same place of `y`, of the same shape and stride.
///
/// Values as [`softmax_rows`]; of `y`, only the rows are written.
///
/// # Panics
/// If `stride < columns`, or the last row ends beyond `x` or `y`.
#[track_caller]
pub fn softmax_rows_into(x: &[f32], y: &mut [f32], rows: usize, columns: usize, stride: usize) {
    check(x.len(), rows, columns, stride);
    check(y.len(), rows, columns, stride);
    if columns == 0 {
        return; // of however many rows
    }
    for row in 0..rows {
        let y = &mut y[row * stride..][..columns];
        y.copy_from_slice(&x[row * stride..][..columns]); // into L1, where the passes are
        softmax_row(1.0, y);
    }
}

/// `out[i] ← ln Σ_j e^{x[i, j]}` of each row.
///
/// −∞ for a row of nothing but −∞ and for an empty row, ∞ for a row that holds ∞, NaN
/// for a row that holds NaN.
///
/// # Panics
/// If `out` is not `rows` long, `stride < columns`, or the last row ends beyond `x`.
#[track_caller]
pub fn log_sum_exp_rows(x: &[f32], rows: usize, columns: usize, stride: usize, out: &mut [f32]) {
    check(x.len(), rows, columns, stride);
    assert!(out.len() == rows, "one log-sum-exp a row: {rows} rows, room for {}", out.len());
    for (row, out) in out.iter_mut().enumerate() {
        let x = &x[row * stride..][..columns];
        let max = row_max(x);
        // Where the maximum is infinite, it already is the answer and comes back as
        // ln ∞ or ln 0; subtracting it would make NaN.
        let shift = if max.is_finite() { max } else { 0.0 };
        let mut sum = Lanes::ZERO;
        for_each_padded(x, |x| sum += exp_lanes(x - Lanes::splat(shift)));
        *out = (f64::from(shift) + f64::from(sum.reduce_add()).ln()) as f32;
    }
}

/// `x ← scale·softmax(x)`; returns m and `Σ e^{x_k − m}`.
pub(crate) fn softmax_row(scale: f32, x: &mut [f32]) -> (f32, f32) {
    let largest = row_max(x);
    let max = Lanes::splat(largest);
    let mut sum = Lanes::ZERO;
    let (full, tail) = x.as_chunks_mut::<LANES>();
    for chunk in full {
        let value = exp_lanes(Lanes::new(*chunk) - max);
        sum += value;
        *chunk = value.to_array();
    }
    if !tail.is_empty() {
        let value = exp_lanes(load_padded(tail) - max);
        sum += value;
        store_partial(tail, value);
    }
    let sum = sum.reduce_add();
    vector::scale(scale / sum, x);
    (largest, sum)
}

/// Vectors in which a maximum is accumulated.
const MAXIMA: usize = 8;

/// The largest value of `x`, −∞ if there is none; NaN is ignored.
fn row_max(x: &[f32]) -> f32 {
    let mut max = Lanes::splat(f32::NEG_INFINITY);
    let (blocks, rest) = x.as_chunks::<{ MAXIMA * LANES }>();
    // On x86-64, `max` returns the second operand where one is NaN.
    if !blocks.is_empty() {
        let mut maxima = [max; MAXIMA];
        for block in blocks {
            for (max, chunk) in maxima.iter_mut().zip(block.as_chunks::<LANES>().0) {
                *max = Lanes::new(*chunk).fast_max(*max);
            }
        }
        max = maxima.into_iter().fold(max, Lanes::fast_max);
    }
    for_each_padded(rest, |x| max = x.fast_max(max));
    // By halves, down to 4 lanes: one lane after another would take 4 cycles each.
    let [eight, others @ ..] = eights(max);
    let eight = others.into_iter().fold(eight, f32x8::fast_max);
    let [low, high]: [f32x4; 2] = bytemuck::cast(eight);
    let [a, b, c, d] = low.fast_max(high).to_array();
    a.max(b).max(c.max(d))
}

/// Calls `f` on the vectors of `x`, the last one filled up with −∞.
#[inline(always)]
fn for_each_padded(x: &[f32], mut f: impl FnMut(Lanes)) {
    let (full, tail) = x.as_chunks::<LANES>();
    for chunk in full {
        f(Lanes::new(*chunk));
    }
    if !tail.is_empty() {
        f(load_padded(tail));
    }
}

/// Loads fewer than [`LANES`] values and fills the other lanes with −∞.
#[inline(always)]
fn load_padded(values: &[f32]) -> Lanes {
    /// LANES zeros, then LANES times −∞: a window of it pads a tail of any length.
    static PADDING: [f32; 2 * LANES] = {
        let mut padding = [0.0; 2 * LANES];
        let mut lane = LANES;
        while lane < 2 * LANES {
            padding[lane] = f32::NEG_INFINITY;
            lane += 1;
        }
        padding
    };
    let mut window = [0.0; LANES];
    window.copy_from_slice(&PADDING[LANES - values.len()..][..LANES]);
    load_partial(values) + Lanes::new(window)
}

#[track_caller]
fn check(len: usize, rows: usize, columns: usize, stride: usize) {
    assert!(stride >= columns, "rows of {columns} columns overlap at a stride of {stride}");
    let end =
        rows.checked_sub(1).map_or(0, |last| last.saturating_mul(stride).saturating_add(columns));
    assert!(
        len >= end,
        "[{rows}, {columns}] at a stride of {stride} needs {end} values, the buffer has {len}"
    );
}
