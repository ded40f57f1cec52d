//! The two small networks to compare with: one that remembers its last inputs (`window`) and
//! one that remembers its outputs (`jordan`). Here is what they have in common.
//!
//! They take all rows of `[T, B]` as they stand, those behind the end of a sequence, too, whose
//! inputs, outputs and gradients are zero; they keep all that a backward pass needs, and pack
//! nothing. Plain products are quick enough: these networks are here to be right.

use super::backward::add_rows;
use super::jordan::Steps;
use super::segment::{part, part_mut};
use super::window::Windows;
use super::{output, product};
use crate::sequences::Sequences;
use crate::{Cell, Config, Inputs, Memory, Parameters, State, size};
use kernels::buffer::Buffer;
use kernels::cell::elman;
use kernels::matmul::{Epilogue, gemm};
use kernels::matrix::{MatMut, MatRef};

/// The activations of one pass. K is what a row of W_in meets: n·I of a window, else I; W is
/// the width of what is remembered ([`Config::state_width`]).
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// T and B
    size: (usize, usize),
    /// `[B]`, T of each sequence.
    lengths: Vec<usize>,
    /// Whether the pass began from a state of the caller's.
    has_start: bool,
    /// Whether there is a pass to go back through.
    is_fresh: bool,
    /// Whether that has been done.
    is_back: bool,
    /// `[B, W]`: what was remembered before the first step.
    start: Buffer,
    /// `[B, W]`: ∂L/∂ the same.
    dstart: Buffer,
    /// `[T, B, K]`: what W_in meets.
    x: Buffer,
    /// `[T, B, S]`
    h: Buffer,
    /// `[T + 1, B, O]`: the outputs, before them those remembered of the step before (of a
    /// window, zeros).
    y: Buffer,
    /// `[T, B, O]`: ∂L/∂ the outputs before their activation.
    du: Buffer,
    /// `[T, B, S]`: ∂L/∂ the states, then before their nonlinearity.
    dz: Buffer,
    /// `[T, B, K]`: ∂L/∂ what W_in meets.
    dx: Buffer,
}

impl Plain {
    /// Runs over `sequences`; `keeps` if a backward pass may follow.
    ///
    /// # Panics
    /// If memory does not hold what the pass keeps.
    pub fn forward(&mut self, parameters: &Parameters, sequences: &Sequences<'_>, keeps: bool) {
        let config = parameters.config();
        let Sequences { steps, batch, .. } = *sequences;
        let steps = if batch == 0 { 0 } else { steps }; // of no sequences there is none
        let width = config.layer_inputs(0);
        self.size = (steps, batch);
        (self.has_start, self.is_fresh) = (sequences.start.is_some(), keeps);
        self.is_back = false;
        self.x.resize(size::room("the inputs", [steps, batch, width]));
        self.h.resize(size::room("the states", [steps, batch, config.stride()]));
        self.y.resize(size::room("the outputs", [steps + 1, batch, config.outputs()]));
        self.start.resize(size::room("the memory", [batch, config.state_width()]));
        self.lengths.clear();
        match sequences.lengths {
            Some(lengths) => self.lengths.extend_from_slice(lengths),
            None => self.lengths.resize(batch, steps),
        }
        match sequences.start {
            Some(start) => self.start.copy_from_slice(start.h()),
            None => self.start.fill(0.0),
        }
        self.x.fill(0.0);
        self.y.fill(0.0);
        self.take_inputs(parameters, sequences.inputs);
        let rows = steps * batch;
        if let Memory::Window(_) = config.memory() {
            let windows = windows(config, batch);
            self.rows().for_each(|row| windows.fill(row, &mut self.x, &self.start));
        }

        // z = x·W_in + b, then what is remembered and the nonlinearity
        let of_layer = parameters.layer(0, 0);
        let mut bias = of_layer.b_in.to_vec();
        bias.iter_mut().zip(of_layer.b_rec).for_each(|(sum, bias)| *sum += bias);
        let epilogue = Epilogue {
            bias: Some(&bias[..]).filter(|bias| !bias.is_empty()),
            ..Epilogue::default()
        };
        let x = part(&self.x, 0, rows, width);
        let w_in = MatRef::new(of_layer.w_in, width, config.stride());
        let h = MatMut::new(&mut self.h, rows, config.stride());
        product::of_parts(&[x], &[w_in.into()], epilogue, h);
        let y_start = batch * config.outputs();
        match config.memory() {
            Memory::Output => {
                self.y[..y_start].copy_from_slice(&self.start);
                Steps { parameters, nonlinearity: nonlinearity(config), size: self.size }
                    .forward(&mut self.h, &mut self.y);
            }
            _ => {
                let mut h = part_mut(&mut self.h, 0, rows, config.stride());
                elman::forward(nonlinearity(config), config.hidden(), h.reborrow());
                output::forward(parameters, &[h.as_ref()], &mut self.y[y_start..]);
            }
        }
        let outputs = config.outputs();
        for row in self.rows_behind_the_end() {
            self.y[(batch + row) * outputs..][..outputs].fill(0.0);
        }
    }

    /// Writes the values of each step, of whatever kind the inputs are, to the last I of its K
    /// values.
    fn take_inputs(&mut self, parameters: &Parameters, inputs: Inputs<'_>) {
        let config = parameters.config();
        let (width, own) = (config.layer_inputs(0), config.inputs());
        for row in self.rows() {
            let x = &mut self.x[(row + 1) * width - own..(row + 1) * width];
            match (inputs, parameters.embedding()) {
                (Inputs::Values(all), _) => x.copy_from_slice(&all[row * own..][..own]),
                (Inputs::Symbols(all), Some(embedding)) => {
                    x.copy_from_slice(embedding.row(all[row]));
                }
                (Inputs::Symbols(all), None) => x[all[row] as usize] = 1.0,
            }
        }
    }

    /// Carries `dy`, the gradient before the head's activation, back through the last pass, which
    /// had these `inputs`, and writes the sums over `gradient` and, if asked for, ∂L/∂x over `dx`
    /// `[T, B, I]`.
    pub fn backward(
        &mut self,
        parameters: &Parameters,
        inputs: Inputs<'_>,
        dy: &[f32],
        gradient: &mut Parameters,
        dx: Option<&mut [f32]>,
    ) {
        assert!(self.is_fresh, "no forward pass to go back through: it was for inference, or gone");
        (self.is_fresh, self.is_back) = (false, true);
        let config = parameters.config();
        let ((steps, batch), outputs) = (self.size, config.outputs());
        let (width, own, stride) = (config.layer_inputs(0), config.inputs(), config.stride());
        let rows = steps * batch;
        match (inputs, config.embedding()) {
            (Inputs::Symbols(all), Some(_)) => {
                let symbols: Vec<u32> = self.rows().map(|row| all[row]).collect();
                gradient.begin_gradient(Some(&symbols));
            }
            _ => gradient.begin_gradient(None),
        }
        self.du.resize(rows * outputs);
        self.du.copy_from_slice(dy);
        for row in self.rows_behind_the_end() {
            self.du[row * outputs..][..outputs].fill(0.0);
        }
        self.dz.resize(rows * stride);
        self.dx.resize(rows * width);
        self.dstart.resize(self.start.len());
        self.dstart.fill(0.0);
        let h = part(&self.h, 0, rows, stride);
        match config.memory() {
            Memory::Output => {
                Steps { parameters, nonlinearity: nonlinearity(config), size: self.size }.backward(
                    &self.h,
                    &self.y,
                    &mut self.du,
                    &mut self.dz,
                    &mut self.dstart,
                );
            }
            _ => {
                output::backward(parameters, part(&self.du, 0, rows, outputs), 0, &mut self.dz);
                let dz = part_mut(&mut self.dz, 0, rows, stride);
                elman::backward(nonlinearity(config), h, dz);
            }
        }

        // y = h·W_outᵀ + b_out    z = x·W_in + b_in + y_before·W_rec + b_rec
        let du = part(&self.du, 0, rows, outputs);
        let (x, dz) = (part(&self.x, 0, rows, width), part(&self.dz, 0, rows, stride));
        output::sum_gradient(gradient, &[h], du, true);
        let of_layer = gradient.layer_mut(0, 0);
        sum_products(x, dz, of_layer.w_in);
        if config.memory() == Memory::Output {
            sum_products(part(&self.y, 0, rows, outputs), dz, of_layer.w_rec);
        }
        for bias in [of_layer.b_in, of_layer.b_rec] {
            bias.fill(0.0);
            add_rows(dz, bias);
        }
        let w_in = MatRef::new(parameters.layer(0, 0).w_in, width, stride);
        if rows > 0 {
            gemm(1.0, dz, w_in.t(), 0.0, part_mut(&mut self.dx, 0, rows, width));
        }
        if let Memory::Window(_) = config.memory() {
            let windows = windows(config, batch);
            self.rows().for_each(|row| windows.fold(row, &mut self.dx, &mut self.dstart));
        }

        let of_step = |row: usize| (row + 1) * width - own..(row + 1) * width;
        if let (Inputs::Symbols(all), Some(mut embedding)) = (inputs, gradient.embedding_mut()) {
            for row in self.rows() {
                embedding.add(all[row], &self.dx[of_step(row)]);
            }
        }
        if let Some(dx) = dx {
            dx.fill(0.0);
            for row in self.rows() {
                dx[row * own..][..own].copy_from_slice(&self.dx[of_step(row)]);
            }
        }
    }

    /// The rows of `[T, B]` before the end of their sequence.
    fn rows(&self) -> impl Iterator<Item = usize> + use<> {
        let ((steps, batch), lengths) = (self.size, self.lengths.clone());
        (0..steps * batch).filter(move |row| row / batch < lengths[row % batch])
    }

    fn rows_behind_the_end(&self) -> impl Iterator<Item = usize> + use<> {
        let ((steps, batch), lengths) = (self.size, self.lengths.clone());
        (0..steps * batch).filter(move |row| row / batch >= lengths[row % batch])
    }

    /// `[T, B, O]`
    pub fn outputs(&self, config: Config) -> &[f32] {
        let before = self.size.1 * config.outputs();
        self.y.get(before..).unwrap_or(&[])
    }

    /// What is remembered behind the pass, of each sequence behind its own last step.
    pub fn state(&self, config: Config) -> State {
        let (_, batch) = self.size;
        let mut state = State::zeros(config, batch);
        for sequence in 0..batch {
            let (h, _) = state.row_mut(0, sequence);
            match config.memory() {
                Memory::Output => {
                    // behind the outputs remembered: row `length` is that of the last step
                    let row = self.lengths[sequence] * batch + sequence;
                    h.copy_from_slice(&self.y[row * h.len()..][..h.len()]);
                }
                _ => {
                    let end = (sequence, self.lengths[sequence]);
                    windows(config, batch).remember(end, &self.x, &self.start, h);
                }
            }
        }
        state
    }

    /// ∂L/∂ what was remembered before the pass, once it has been gone back through.
    pub fn start_gradient(&self, config: Config) -> Option<State> {
        (self.has_start && self.is_back).then(|| {
            let mut state = State::zeros(config, self.size.1);
            let width = config.state_width();
            for sequence in 0..self.size.1 {
                let dstart = &self.dstart[sequence * width..][..width];
                state.row_mut(0, sequence).0.copy_from_slice(dstart);
            }
            state
        })
    }

    /// The hidden units `[H]`, if there was such a step and sequence.
    pub fn hidden(&self, config: Config, step: usize, sequence: usize) -> Option<&[f32]> {
        let (steps, batch) = self.size;
        let is_there = sequence < batch && step < steps && step < self.lengths[sequence];
        let row = step * batch + sequence;
        is_there.then(|| &self.h[row * config.stride()..][..config.hidden()])
    }

    /// Bytes kept for the backward pass.
    pub fn bytes(&self) -> usize {
        [&self.x, &self.h, &self.y, &self.start].iter().map(|b| size_of_val(&b[..])).sum()
    }
}

fn windows(config: Config, batch: usize) -> Windows {
    let inputs = config.inputs();
    Windows { length: config.layer_inputs(0) / inputs, inputs, batch }
}

fn nonlinearity(config: Config) -> elman::Nonlinearity {
    match config.cell() {
        Cell::Elman(f) => f.into(),
        Cell::Gru | Cell::Lstm => unreachable!("checked with the Config"),
    }
}

/// `sums ← xᵀ·dz`: zeros, if there are no rows.
fn sum_products(x: MatRef<'_>, dz: MatRef<'_>, sums: &mut [f32]) {
    if x.rows() == 0 {
        return sums.fill(0.0);
    }
    gemm(1.0, x.t(), dz, 0.0, MatMut::new(sums, x.columns(), dz.columns()));
}
