//! Losses, each with its gradient derived in its comment.
//!
//! | loss | takes | targets |
//! | --- | --- | --- |
//! | [`sigmoid_squared_error`] | outputs of a sigmoid, all of them | any |
//! | [`sigmoid_squared_error_over`] | the same, of the steps that count | any |
//! | [`squared_error`] | linear outputs | any |
//! | [`binary_cross_entropy`] | logits | probabilities `[T, B, O]` |
//! | [`softmax_cross_entropy`] | logits | classes `[T, B]` |
//!
//! Each writes the gradient that [`crate::Network::backward`] takes. [`Terms`] say which
//! steps count (sequences of unequal length are padded to T steps) and whether the terms
//! are summed or averaged. The arithmetic is in [`kernels::loss`]; here is what knows
//! steps and sequences, and what a user's targets may get wrong.

mod cross_entropy;
mod squared;
mod terms;

pub use cross_entropy::{binary_cross_entropy, softmax_cross_entropy};
pub use squared::{
    absolute_error, sigmoid_squared_error, sigmoid_squared_error_over, squared_error,
};
pub use terms::{Mask, Reduction, Terms};
