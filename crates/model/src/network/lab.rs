//! The lab's network at work: the fused path of `kernels::recurrent`.
//!
//! One layer of sigmoid units and sigmoid outputs, without biases, from `h₀ = 0`, on
//! sequences of equal length. Everything else is `layers`'.

use crate::{Config, Parameters};
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
        }
    }

    /// Runs over `x` `[T, B, I]`.
    pub fn forward(&mut self, parameters: &Parameters, x: &[f32], steps: usize, batch: usize) {
        let sizes = self.config.sizes(steps, batch);
        if sizes != self.sizes {
            self.h.resize(sizes.rows() * sizes.stride());
            self.y.resize(sizes.rows() * sizes.outputs);
            self.sizes = sizes;
        }
        recurrent::forward(sizes, parameters.lab_weights(), x, &mut self.h, &mut self.y);
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
        let (weights, gradient) = (parameters.lab_weights(), gradient.lab_weights_mut());
        recurrent::backward(self.sizes, weights, x, &self.h, dy, scratch, gradient);
    }

    /// `[T, B, S]`: the gradients before the hidden sigmoid of the last way back.
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

    /// Bytes kept for the way back: the states.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.h[..])
    }
}
