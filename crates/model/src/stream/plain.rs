//! A step of the networks that remember their last inputs or their outputs.

use crate::{Cell, Config, Inputs, Memory, Parameters};
use kernels::buffer::Buffer;
use kernels::cell::elman;
use kernels::matrix::MatMut;
use kernels::vector::axpy;

/// What such a network holds between two steps, and room for one.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    /// `[W]` ([`Config::state_width`]): the outputs of the step before, or the last inputs.
    pub memory: Buffer,
    /// `[K]`: what W_in meets, the last inputs and those of the step.
    seen: Buffer,
}

impl Plain {
    /// One that has seen nothing yet.
    pub fn new(config: Config) -> Self {
        let memory = Buffer::zeros(config.state_width());
        Self { memory, seen: Buffer::zeros(config.layer_inputs(0)) }
    }

    /// The states `h` `[S]` of a step with these inputs: values `[I]`, or one symbol.
    pub fn step(&mut self, parameters: &Parameters, inputs: Inputs<'_>, h: &mut [f32]) {
        let (config, of_layer) = (parameters.config(), parameters.layer(0, 0));
        let before = self.seen.len() - config.inputs();
        self.seen[..before].copy_from_slice(&self.memory[..before]); // of a window
        let x = &mut self.seen[before..];
        match inputs {
            Inputs::Values(values) => x.copy_from_slice(values),
            Inputs::Symbols(symbols) => match parameters.embedding() {
                Some(embedding) => x.copy_from_slice(embedding.row(symbols[0])),
                None => {
                    x.fill(0.0);
                    x[symbols[0] as usize] = 1.0;
                }
            },
        }
        h.fill(0.0);
        for bias in [of_layer.b_in, of_layer.b_rec] {
            h.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
        }
        add_product(&self.seen, of_layer.w_in, h);
        match config.memory() {
            Memory::Output => add_product(&self.memory, of_layer.w_rec, h),
            _ => self.memory.copy_from_slice(&self.seen[config.inputs()..]),
        }
        let Cell::Elman(f) = config.cell() else { unreachable!("checked with the Config") };
        let stride = h.len();
        elman::forward(f.into(), config.hidden(), MatMut::new(h, 1, stride));
    }

    /// Takes the outputs of a step.
    pub fn remember(&mut self, config: Config, y: &[f32]) {
        if config.memory() == Memory::Output {
            self.memory.copy_from_slice(y);
        }
    }
}

/// `sums += x·W`, for x `[n]` and W `[n, S]`.
fn add_product(x: &[f32], w: &[f32], sums: &mut [f32]) {
    for (&x, w) in x.iter().zip(w.chunks_exact(sums.len())) {
        if x != 0.0 {
            axpy(x, w, sums);
        }
    }
}
