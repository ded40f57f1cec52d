//! What happens to the sums of a product on their way to C.
//!
//! ```text
//! C ← activation(α·sum + β·C + bias)
//! ```
//!
//! [`Epilogue`] is the part that callers choose beside α and β, [`Update`] all of it but
//! the bias, as the kernels take it. Every kernel of a product ends with [`finish`], or
//! with the same operations in the same order on more registers.

use crate::activation::{sigmoid_lanes, tanh_lanes};
use crate::lanes::Lanes;

/// What is done to a value of C before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `σ(x) = 1 / (1 + e^{−x})`, as [`crate::activation::sigmoid`].
    Sigmoid,
    /// As [`crate::activation::tanh`].
    Tanh,
}

/// What is done to the tiles of a product while they are in registers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// `[n]`: added to every row.
    pub bias: Option<&'a [f32]>,
    /// Applied last.
    pub activation: Activation,
}

/// What happens to the sums of a tile.
#[derive(Clone, Copy)]
pub(super) struct Update {
    pub(super) alpha: f32,
    pub(super) beta: f32,
    pub(super) activation: Activation,
}

impl Update {
    /// Whether the sums are the result, but for a bias.
    #[inline(always)]
    pub(super) fn is_nothing(&self) -> bool {
        self.alpha == 1.0 && self.beta == 0.0 && self.activation == Activation::Identity
    }

    /// What happens to the sums over a part of the depth: the first part scales C,
    /// the last applies the activation.
    pub(super) fn for_part(self, is_first: bool, is_last: bool) -> Self {
        Self {
            beta: if is_first { self.beta } else { 1.0 },
            activation: if is_last { self.activation } else { Activation::Identity },
            ..self
        }
    }
}

/// `activation(α·sum + β·old + bias)` of one vector.
#[inline(always)]
pub(super) fn finish(sum: Lanes, old: Lanes, bias: Option<Lanes>, update: &Update) -> Lanes {
    let mut value = sum * Lanes::splat(update.alpha);
    if update.beta != 0.0 {
        value = old.mul_add(Lanes::splat(update.beta), value);
    }
    if let Some(bias) = bias {
        value += bias;
    }
    activate(value, update.activation)
}

/// `activation(x)`.
#[inline(always)]
pub(super) fn activate(x: Lanes, activation: Activation) -> Lanes {
    match activation {
        Activation::Identity => x,
        Activation::Sigmoid => sigmoid_lanes(x),
        Activation::Tanh => tanh_lanes(x),
    }
}
