//! Vectors: the loops of an optimizer over its parameters.
//!
//! ```text
//! scale         x[i] ← α·x[i]
//! axpy          y[i] ← y[i] + α·x[i]
//! clip          x[i] ← min(max(x[i], −limit), limit)
//! dot           Σ x[i]·y[i]
//! squared_norm  Σ x[i]²
//! ```
//!
//! 1. The maps are whole vectors and a masked tail; they are bound by memory.
//! 2. The sums run in [`SUMS`] vectors, since a multiply-add has a latency of four cycles
//!    and two can start in each. That also keeps the error small: a value takes part in
//!    `n/(SUMS·LANES)` roundings, not n.
//!
//! Any length, any alignment; nothing here allocates.

use crate::lanes::{LANES, Lanes, tree_sum};
use crate::tail_mask::{load_partial, store_partial};

/// Vectors in which a sum is accumulated.
pub const SUMS: usize = 8;

/// `x ← α·x`.
pub fn scale(alpha: f32, x: &mut [f32]) {
    let factor = Lanes::splat(alpha);
    map(x, |x| x * factor);
}

/// `y ← y + α·x`.
///
/// # Panics
/// If x and y differ in length.
#[track_caller]
pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    same_length(x, y);
    let factor = Lanes::splat(alpha);
    let (x_full, x_rest) = x.as_chunks::<LANES>();
    let (y_full, y_rest) = y.as_chunks_mut::<LANES>();
    for (x, y) in x_full.iter().zip(y_full) {
        *y = Lanes::new(*x).mul_add(factor, Lanes::new(*y)).to_array();
    }
    if !y_rest.is_empty() {
        let sum = load_partial(x_rest).mul_add(factor, load_partial(y_rest));
        store_partial(y_rest, sum);
    }
}

/// `x ← min(max(x, −limit), limit)`, value by value. NaN stays NaN.
///
/// # Panics
/// If the limit is negative or NaN.
#[track_caller]
pub fn clip(limit: f32, x: &mut [f32]) {
    assert!(limit >= 0.0, "a limit of {limit} leaves no values");
    let (low, high) = (Lanes::splat(-limit), Lanes::splat(limit));
    // The order of the operands lets NaN through.
    map(x, |x| high.fast_min(low.fast_max(x)));
}

/// `Σ x[i]·y[i]`, within `γ_r·Σ |x[i]·y[i]|` of the exact sum for
/// `r =` [`roundings`]`(n)`.
///
/// # Panics
/// If x and y differ in length.
#[track_caller]
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    same_length(x, y);
    sum_of_products(x, y)
}

/// `Σ x[i]²`, within a relative `γ_r` of the exact sum for `r =` [`roundings`]`(n)`.
///
/// The square of a value beyond 1.8e19 is infinite, of one below 2.6e-23 is zero:
/// scale such vectors first.
pub fn squared_norm(x: &[f32]) -> f32 {
    sum_of_products(x, x)
}

/// The most roundings that a product takes part in, in a sum over `length` values: those of
/// its lane, one for the product itself where there is no FMA, and those of the reduction
/// of vectors and lanes.
pub fn roundings(length: usize) -> usize {
    length.div_ceil(SUMS * LANES) + 2 + SUMS.ilog2() as usize + LANES.ilog2() as usize
}

/// Inlined, so that the values of a slice that is passed twice are loaded once.
#[inline(always)]
fn sum_of_products(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [Lanes::ZERO; SUMS];
    let (x_blocks, x_rest) = x.as_chunks::<{ SUMS * LANES }>();
    let (y_blocks, y_rest) = y.as_chunks::<{ SUMS * LANES }>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        let (x, y) = (x.as_chunks::<LANES>().0, y.as_chunks::<LANES>().0);
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum = Lanes::new(*x).mul_add(Lanes::new(*y), *sum);
        }
    }
    // Each vector that is left is added to another sum.
    let rest = x_rest.chunks(LANES).zip(y_rest.chunks(LANES));
    for (sum, (x, y)) in sums.iter_mut().zip(rest) {
        *sum = load_partial(x).mul_add(load_partial(y), *sum);
    }
    tree_sum(sums).reduce_add()
}

#[inline(always)]
fn map(x: &mut [f32], change: impl Fn(Lanes) -> Lanes) {
    let (full, rest) = x.as_chunks_mut::<LANES>();
    for chunk in full {
        *chunk = change(Lanes::new(*chunk)).to_array();
    }
    if !rest.is_empty() {
        let changed = change(load_partial(rest));
        store_partial(rest, changed);
    }
}

#[track_caller]
fn same_length(x: &[f32], y: &[f32]) {
    assert!(x.len() == y.len(), "x holds {} values, y {}", x.len(), y.len());
}
