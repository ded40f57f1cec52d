//! The lab's network at work: the fused path of `kernels::recurrent`.
//!
//! One layer of sigmoid units and sigmoid outputs, without biases, from `h₀ = 0`, on
//! sequences of equal length. Everything else is `layers`'.

use crate::{Config, Parameters, size};
use kernels::buffer::Buffer;
use kernels::recurrent::{self, Scratch, Sizes};

/// The activations of one pass.
#[derive(Debug)]
pub(super) struct Lab {
    config: Config,
    sizes: Sizes,
    /// `[T, B, S]`
    h: Buffer,
    /// `[T, B, O]`
    y: Buffer,
    /// `[T, B, S]`
    dz: Buffer,
    /// `[H, S]`
    w_rec_t: Buffer,
    /// `[O, S]`: what [`Lab::head`] made the outputs with, if it made them.
    w_out: Buffer,
    is_head_kept: bool,
}

impl Lab {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sizes: config.sizes(0, 0),
            h: Buffer::default(),
            y: Buffer::default(),
            dz: Buffer::default(),
            w_rec_t: Buffer::zeros(config.hidden() * config.stride()),
            w_out: Buffer::zeros(config.outputs() * config.stride()),
            is_head_kept: false,
        }
    }

    /// Runs over `x` `[T, B, I]`.
    pub fn forward(&mut self, parameters: &Parameters, x: &[f32], steps: usize, batch: usize) {
        self.resize(x, steps, batch);
        self.is_head_kept = false;
        recurrent::forward(self.sizes, parameters.lab_weights(), x, &mut self.h, &mut self.y);
    }

    /// Runs over `x` `[T, B, I]`, for the states alone.
    pub fn states(&mut self, parameters: &Parameters, x: &[f32], steps: usize, batch: usize) {
        self.resize(x, steps, batch);
        recurrent::states(self.sizes, parameters.lab_weights(), x, &mut self.h);
    }

    /// The outputs of the states, by a `W_out` that is kept for the backward pass.
    pub fn head(&mut self, parameters: &Parameters) {
        self.w_out.copy_from_slice(parameters.lab_weights().w_out);
        self.is_head_kept = true;
        recurrent::head(self.sizes, &self.w_out, &self.h, &mut self.y);
    }

    /// The gradient of `W_out`, to its place in `gradient`.
    pub fn head_gradient(&self, dy: &[f32], gradient: &mut Parameters) {
        recurrent::head_gradient(self.sizes, &self.h, dy, gradient.lab_weights_mut().w_out);
    }

    #[inline]
    fn resize(&mut self, x: &[f32], steps: usize, batch: usize) {
        let sizes = self.config.sizes(steps, batch);
        if sizes != self.sizes {
            self.resize_to(x, sizes);
        }
    }

    /// Makes room for other sizes, whose products fit behind this.
    #[cold]
    fn resize_to(&mut self, x: &[f32], sizes: Sizes) {
        let Sizes { steps, batch, inputs, .. } = sizes;
        size::check_values(x, steps, batch, inputs);
        let h = size::room("the states", [steps, batch, sizes.stride()]);
        let y = size::room("the outputs", [steps, batch, sizes.outputs]);
        self.h.resize(h);
        self.y.resize(y);
        let steps = if batch == 0 { 0 } else { steps }; // of no sequences there is none
        self.sizes = Sizes { steps, ..sizes };
    }

    /// Back through the last pass, over `gradient`.
    pub fn backward(
        &mut self,
        parameters: &Parameters,
        x: &[f32],
        dy: &[f32],
        gradient: &mut Parameters,
    ) {
        self.dz.resize(self.h.len());
        let scratch = Scratch { dz: &mut self.dz, w_rec_t: &mut self.w_rec_t };
        let (mut weights, gradient) = (parameters.lab_weights(), gradient.lab_weights_mut());
        if self.is_head_kept {
            weights.w_out = &self.w_out;
        }
        recurrent::backward(self.sizes, weights, x, &self.h, dy, scratch, gradient);
    }

    /// `[T, B, S]`: the gradients before the hidden sigmoid of the last backward pass.
    pub fn dz(&self) -> &[f32] {
        &self.dz
    }

    /// `[T, B, O]`
    pub fn outputs(&self) -> &[f32] {
        &self.y
    }

    /// `[H]`, if there was such a step and sequence.
    pub fn hidden(&self, step: usize, sequence: usize) -> Option<&[f32]> {
        let is_there = step < self.sizes.steps && sequence < self.sizes.batch;
        let row = step * self.sizes.batch + sequence;
        is_there.then(|| &self.h[row * self.sizes.stride()..][..self.sizes.hidden])
    }

    /// Bytes kept for the backward pass: the states.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.h[..])
    }
}
