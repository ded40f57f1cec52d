//! All parameters of a network in one flat, aligned arena with named views.
//!
//! Gradients and optimizer state have the same type, so that an optimizer, a
//! checkpoint or a copy is one loop over [`Parameters::arena`].

use crate::Config;
use kernels::buffer::Buffer;
use kernels::recurrent::Weights;
use rand::{Rng, RngExt};

/// The weights (or their gradients) of one network, in rows padded with zeros to S
/// values: `W_in` `[I, S]`, `W_rec` `[H, S]` (row: from), `W_out` `[O, S]`.
#[derive(Clone, Debug)]
pub struct Parameters {
    config: Config,
    arena: Buffer,
}

impl Parameters {
    /// All zeros.
    pub fn zeros(config: Config) -> Self {
        let rows = config.inputs() + config.hidden() + config.outputs();
        Self { config, arena: Buffer::zeros(rows * config.stride()) }
    }

    /// Uniform in [−1, 1), as the lab starts: `W_in`, `W_rec`, `W_out`, row by row.
    pub fn uniform(config: Config, generator: &mut impl Rng) -> Self {
        let mut parameters = Self::zeros(config);
        parameters.for_each_row_mut(|row| row.fill_with(|| generator.random_range(-1.0..1.0)));
        parameters
    }

    /// The sizes of the network.
    pub fn config(&self) -> Config {
        self.config
    }

    /// Everything, padding included, in the order `W_in`, `W_rec`, `W_out`.
    pub fn arena(&self) -> &[f32] {
        &self.arena
    }

    /// Everything, padding included. What is written to the padding must be zero.
    pub fn arena_mut(&mut self) -> &mut [f32] {
        &mut self.arena
    }

    /// The rows of `W_in` `[I, H]`, without padding.
    pub fn w_in(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.rows_of(self.weights().w_in)
    }

    /// The rows of `W_rec` `[H, H]` (row: from unit), without padding.
    pub fn w_rec(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.rows_of(self.weights().w_rec)
    }

    /// The rows of `W_out` `[O, H]` (row: to output), without padding.
    pub fn w_out(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.rows_of(self.weights().w_out)
    }

    /// Calls `visit` with each row, without padding: those of `W_in`, `W_rec`, `W_out`.
    pub fn for_each_row_mut(&mut self, visit: impl FnMut(&mut [f32])) {
        let (hidden, stride) = (self.config.hidden(), self.config.stride());
        self.arena.chunks_exact_mut(stride).map(|row| &mut row[..hidden]).for_each(visit);
    }

    /// The padded views that the kernels take.
    pub(crate) fn weights(&self) -> Weights<&[f32]> {
        let (w_in, rest) = self.arena.split_at(self.config.inputs() * self.config.stride());
        let (w_rec, w_out) = rest.split_at(self.config.hidden() * self.config.stride());
        Weights { w_in, w_rec, w_out }
    }

    /// The padded views that the kernels write.
    pub(crate) fn weights_mut(&mut self) -> Weights<&mut [f32]> {
        let (inputs, hidden) = (self.config.inputs(), self.config.hidden());
        let stride = self.config.stride();
        let (w_in, rest) = self.arena.split_at_mut(inputs * stride);
        let (w_rec, w_out) = rest.split_at_mut(hidden * stride);
        Weights { w_in, w_rec, w_out }
    }

    fn rows_of<'a>(&self, view: &'a [f32]) -> impl ExactSizeIterator<Item = &'a [f32]> + use<'a> {
        let hidden = self.config.hidden();
        view.chunks_exact(self.config.stride()).map(move |row| &row[..hidden])
    }
}
