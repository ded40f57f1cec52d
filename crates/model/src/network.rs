//! A network at work: forward, and backward through time, over buffers it keeps.

use crate::{Config, Parameters};
use kernels::buffer::Buffer;
use kernels::recurrent::{self, Scratch, Sizes};

/// The activations of one network. The parameters are passed in, so that many
/// workers can run their own `Network` on shared or copied parameters.
///
/// Memory: `4·T·B·(S + O) + 4·H·S` bytes for the longest pass so far, and `4·T·B·S`
/// more once it has run backward; nothing is allocated until a longer pass.
#[derive(Debug)]
pub struct Network {
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

impl Network {
    /// A network that has seen nothing yet.
    ///
    /// # Panics
    /// If it is not [`Config::lab`]; no other runs yet.
    pub fn new(config: Config) -> Self {
        assert!(config.is_lab(), "only the lab's network runs, not yet {config:?}");
        Self {
            config,
            sizes: config.sizes(0, 0),
            h: Buffer::default(),
            y: Buffer::default(),
            dz: Buffer::default(),
            w_rec_t: Buffer::zeros(config.hidden() * config.stride()),
        }
    }

    /// Runs the network from `h₀ = 0` over `x` `[T, B, I]`, for `steps` (T) steps of
    /// `batch` (B) sequences; returns the outputs `[T, B, O]`.
    ///
    /// # Panics
    /// If `x` does not hold T·B·I values, or `parameters` are of another size.
    pub fn forward(
        &mut self,
        parameters: &Parameters,
        x: &[f32],
        steps: usize,
        batch: usize,
    ) -> &[f32] {
        self.check(parameters, "parameters");
        let sizes = self.config.sizes(steps, batch);
        if sizes != self.sizes {
            self.h.resize(sizes.rows() * sizes.stride());
            self.y.resize(sizes.rows() * sizes.outputs);
            self.sizes = sizes;
        }
        recurrent::forward(sizes, parameters.lab_weights(), x, &mut self.h, &mut self.y);
        &self.y
    }

    /// Carries `dy` `[T, B, O]`, the gradient before the output's sigmoid, back
    /// through the pass that [`Network::forward`] ran last on the same `parameters`
    /// and `x`, and writes the gradient, summed over T and B, over `gradient`.
    ///
    /// # Panics
    /// If a slice or the parameters do not have the sizes of that pass.
    pub fn backward(
        &mut self,
        parameters: &Parameters,
        x: &[f32],
        dy: &[f32],
        gradient: &mut Parameters,
    ) {
        self.check(parameters, "parameters");
        self.check(gradient, "gradient");
        self.dz.resize(self.h.len());
        let scratch = Scratch { dz: &mut self.dz, w_rec_t: &mut self.w_rec_t };
        let weights = parameters.lab_weights();
        recurrent::backward(
            self.sizes,
            weights,
            x,
            &self.h,
            dy,
            scratch,
            gradient.lab_weights_mut(),
        );
    }

    /// The outputs `[T, B, O]` of the last forward pass.
    pub fn outputs(&self) -> &[f32] {
        &self.y
    }

    /// The hidden units `[H]` of sequence `sequence` at step `step` in the last
    /// forward pass.
    ///
    /// # Panics
    /// If there was no such step or sequence.
    pub fn hidden(&self, step: usize, sequence: usize) -> &[f32] {
        assert!(
            step < self.sizes.steps && sequence < self.sizes.batch,
            "step {step} of sequence {sequence}, in a pass of {} steps and {} sequences",
            self.sizes.steps,
            self.sizes.batch
        );
        let row = step * self.sizes.batch + sequence;
        &self.h[row * self.sizes.stride()..][..self.sizes.hidden]
    }

    fn check(&self, parameters: &Parameters, name: &str) {
        assert!(
            parameters.config() == self.config,
            "the {name} are of {:?}, the network is of {:?}",
            parameters.config(),
            self.config
        );
    }
}
