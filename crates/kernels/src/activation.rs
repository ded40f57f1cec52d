//! Activations over slices: `exp`, `sigmoid`, `tanh`, the backward passes of the latter two,
//! and the row reductions softmax and log-sum-exp.
//!
//! Three forms of each: `f_lanes` for one vector (which the fused recurrent steps
//! inline), `f` in place, `f_into` out of place. All three give the same bits for
//! the same value, at any length, offset or alignment. No branch depends on data.
//! Each function has its own file, and `map` the loops over slices. Not a maths library:
//! only what a recurrent network evaluates.
//!
//! | | of NaN | of −∞ | of ∞ | range | results below 2⁻¹²⁶ |
//! | --- | --- | --- | --- | --- | --- |
//! | `exp` | NaN | 0 | ∞ | [0, ∞] | gradual, as IEEE 754 rounds them |
//! | `sigmoid` | NaN | 0 | 1 | [0, 1] | gradual to x = −87.6, then 0 |
//! | `tanh` | NaN | −1 | 1 | [−1, 1], odd | gradual; tanh(−0) = −0 |
//!
//! `tests/table` has the error bound of each in ULP; `tests/exhaustive.rs` proves it on every
//! f32 there is, and `tests/precision.rs` checks it on a sample.

mod exp;
mod map;
mod sigmoid;
mod softmax;
mod tanh;

pub use exp::{exp, exp_into, exp_lanes};
pub use sigmoid::{sigmoid, sigmoid_backward, sigmoid_chain_lanes, sigmoid_into, sigmoid_lanes};
pub(crate) use softmax::softmax_row;
pub use softmax::{log_sum_exp_rows, softmax_rows, softmax_rows_into};
pub use tanh::{tanh, tanh_backward, tanh_into, tanh_lanes};
