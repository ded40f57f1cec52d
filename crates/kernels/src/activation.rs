//! Activations over slices: `exp`, `sigmoid`, `tanh`, their way back, and the row
//! reductions softmax and log-sum-exp.
//!
//! Three forms of each: `f_lanes` for one vector (what the fused recurrent steps
//! inline), `f` in place, `f_into` out of place. All three give the same bits for
//! the same value, at any length, offset or alignment. No branch depends on data.
//! This file holds the two loops that walk a slice; each function has its own file.
//! It refuses to be a maths library: only what a recurrent network evaluates.
//!
//! | | of NaN | of −∞ | of ∞ | range | results below 2⁻¹²⁶ |
//! | --- | --- | --- | --- | --- | --- |
//! | `exp` | NaN | 0 | ∞ | [0, ∞] | gradual, as IEEE 754 rounds them |
//! | `sigmoid` | NaN | 0 | 1 | [0, 1] | gradual to x = −87.6, then 0 |
//! | `tanh` | NaN | −1 | 1 | [−1, 1], odd | gradual; tanh(−0) = −0 |
//!
//! `tests/precision.rs` holds the error bound of each in ULP, `tests/exhaustive.rs`
//! proves it on every f32 there is.

mod exp;
mod sigmoid;
mod softmax;
mod tanh;

pub use exp::{exp, exp_into, exp_lanes};
pub use sigmoid::{sigmoid, sigmoid_backward, sigmoid_chain_lanes, sigmoid_into, sigmoid_lanes};
pub(crate) use softmax::softmax_row;
pub use softmax::{log_sum_exp_rows, softmax_rows, softmax_rows_into};
pub use tanh::{tanh, tanh_backward, tanh_into, tanh_lanes};

use crate::lanes::{LANES, Lanes, load_partial, store_partial};

/// `x[i] ← f(x[i])`.
///
/// A length that is no multiple of [`LANES`] costs one vector more: the last
/// vector is read before the loop overwrites part of it, and written over the
/// loop's results, which it equals where they overlap.
#[inline(always)]
fn map(x: &mut [f32], f: impl Fn(Lanes) -> Lanes) {
    let Some(&last) = x.last_chunk::<LANES>() else {
        let value = f(load_partial(x));
        return store_partial(x, value);
    };
    let (full, tail) = x.as_chunks_mut::<LANES>();
    let ragged = !tail.is_empty();
    for chunk in full {
        *chunk = f(Lanes::new(*chunk)).to_array();
    }
    if ragged && let Some(end) = x.last_chunk_mut::<LANES>() {
        *end = f(Lanes::new(last)).to_array();
    }
}

/// `y[i] ← f(x[i])`.
#[inline(always)]
fn map_into(x: &[f32], y: &mut [f32], f: impl Fn(Lanes) -> Lanes) {
    assert_eq!(x.len(), y.len(), "input and output differ in length");
    let Some(last) = x.last_chunk::<LANES>() else {
        return store_partial(y, f(load_partial(x)));
    };
    let (full_x, tail) = x.as_chunks::<LANES>();
    let (full_y, _) = y.as_chunks_mut::<LANES>();
    for (chunk_x, chunk_y) in full_x.iter().zip(full_y) {
        *chunk_y = f(Lanes::new(*chunk_x)).to_array();
    }
    if !tail.is_empty()
        && let Some(end) = y.last_chunk_mut::<LANES>()
    {
        *end = f(Lanes::new(*last)).to_array();
    }
}

/// `dy[i] ← f(y[i], dy[i])`, the tail as in [`map`].
#[inline(always)]
fn zip_map(y: &[f32], dy: &mut [f32], f: impl Fn(Lanes, Lanes) -> Lanes) {
    assert_eq!(y.len(), dy.len(), "output and gradient differ in length");
    let (Some(last_y), Some(&last_dy)) = (y.last_chunk::<LANES>(), dy.last_chunk::<LANES>()) else {
        let value = f(load_partial(y), load_partial(dy));
        return store_partial(dy, value);
    };
    let (full_y, tail) = y.as_chunks::<LANES>();
    let (full_dy, _) = dy.as_chunks_mut::<LANES>();
    for (chunk_y, chunk_dy) in full_y.iter().zip(full_dy) {
        *chunk_dy = f(Lanes::new(*chunk_y), Lanes::new(*chunk_dy)).to_array();
    }
    if !tail.is_empty()
        && let Some(end) = dy.last_chunk_mut::<LANES>()
    {
        *end = f(Lanes::new(*last_y), Lanes::new(last_dy)).to_array();
    }
}
