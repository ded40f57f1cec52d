//! Networks and sequences to test with, and how far two lists of numbers are apart.
//! Shared by the tests of this crate; it holds no test of its own.

#![allow(dead_code)] // each test uses its part

use model::reference::{Matrix, Pass, Reference, State};
use model::{Architecture, Cell, Config, Head, HeadActivation, HeadSteps, Memory, Nonlinearity};
use proptest::prelude::*;
use proptest::sample::select;
use rand::{Rng, RngExt};
use std::ops::Range;

pub const CELLS: [Cell; 5] = [
    Cell::Elman(Nonlinearity::Tanh),
    Cell::Elman(Nonlinearity::Relu),
    Cell::Elman(Nonlinearity::Sigmoid),
    Cell::Gru,
    Cell::Lstm,
];

/// Any network whose sizes are below the ends of `inputs`, `hidden` and `outputs`, of up
/// to three layers.
pub fn architectures(
    inputs: Range<usize>,
    hidden: Range<usize>,
    outputs: Range<usize>,
) -> impl Strategy<Value = Architecture> {
    let head = (
        outputs,
        any::<bool>(),
        select(vec![HeadSteps::Every, HeadSteps::Last]),
        select(vec![HeadActivation::Identity, HeadActivation::Sigmoid]),
    )
        .prop_map(|(outputs, bias, steps, activation)| Head {
            outputs,
            bias,
            steps,
            activation,
        });
    let sizes = (select(&CELLS[..]), inputs, hidden, 1_usize..4);
    (sizes, any::<bool>(), any::<bool>(), prop::option::weighted(0.8, head)).prop_map(
        |((cell, inputs, hidden, layers), bidirectional, bias, head)| Architecture {
            layers,
            bidirectional,
            bias,
            head,
            ..Architecture::new(cell, inputs, hidden)
        },
    )
}

/// Any network that remembers its outputs, or its last inputs.
pub fn small_architectures(
    inputs: Range<usize>,
    hidden: Range<usize>,
    outputs: Range<usize>,
) -> impl Strategy<Value = Architecture> {
    let memory = prop_oneof![Just(Memory::Output), (1_usize..5).prop_map(Memory::Window)];
    let activation = select(vec![HeadActivation::Identity, HeadActivation::Sigmoid]);
    (select(&CELLS[..3]), inputs, hidden, outputs, any::<(bool, bool)>(), memory, activation)
        .prop_map(|(cell, inputs, hidden, outputs, (bias, of_head), memory, activation)| {
            let head = Head { bias: of_head, activation, ..Head::linear(outputs) };
            let architecture = Architecture::new(cell, inputs, hidden);
            Architecture { bias, head: Some(head), memory, ..architecture }
        })
}

/// A batch of sequences, each of its own length, with all that a pass can be given. All
/// numbers are such as f32 holds, so that the fast path and the reference see the same.
pub struct Batch {
    /// `[B][T_b][I]`
    pub x: Vec<Matrix>,
    /// `[B]`, the states before the first steps.
    pub first: Vec<State>,
    /// `[B][T_b][O]`, or `[B][1][O]` for a head on the last step (none if T_b is 0).
    pub targets: Vec<Matrix>,
    /// `[B]`: what the last states count in the loss, `Σ last ⊙ this`.
    pub last_weights: Vec<State>,
    /// `[B][L − 1][T_b][D·H]`, of 0 and 2: dropout of one half; or `[B]` empty ones.
    pub masks: Vec<Vec<Matrix>>,
}

/// `[rows][columns]` in `low..high`, as f32 holds it.
pub fn matrix(
    rows: usize,
    columns: usize,
    low: f32,
    high: f32,
    generator: &mut impl Rng,
) -> Matrix {
    let mut row = || (0..columns).map(|_| f64::from(generator.random_range(low..high))).collect();
    (0..rows).map(|_| row()).collect()
}

impl Batch {
    /// Random sequences of these `lengths` for `config`.
    pub fn random(config: Config, lengths: &[usize], generator: &mut impl Rng) -> Self {
        let states = config.layers() * config.directions();
        let lstm = if config.cell() == Cell::Lstm { 1.0 } else { 0.0 };
        let mut batch =
            Self { x: vec![], first: vec![], targets: vec![], last_weights: vec![], masks: vec![] };
        for &length in lengths {
            let mut state = || {
                let h = matrix(states, config.state_width(), -1.0, 1.0, generator);
                let mut c = matrix(states, config.state_width(), -1.0, 1.0, generator);
                c.iter_mut().flatten().for_each(|c| *c *= lstm);
                State { h, c }
            };
            batch.first.push(state());
            batch.last_weights.push(state());
            batch.x.push(matrix(length, config.inputs(), -2.0, 2.0, generator));
            let rows = match config.head().map(|head| head.steps) {
                Some(HeadSteps::Last) => length.min(1),
                _ => length,
            };
            batch.targets.push(matrix(rows, config.outputs(), 0.0, 1.0, generator));
            batch.masks.push(vec![]);
        }
        batch
    }

    /// With a mask of 0 and 2 between any two layers.
    pub fn with_masks(mut self, config: Config, generator: &mut impl Rng) -> Self {
        let width = config.directions() * config.hidden();
        for (masks, x) in self.masks.iter_mut().zip(&self.x) {
            let mut mask = || {
                let mut mask = matrix(x.len(), width, -1.0, 1.0, generator);
                mask.iter_mut().flatten().for_each(|m| *m = if *m < 0.0 { 0.0 } else { 2.0 });
                mask
            };
            *masks = (1..config.layers()).map(|_| mask()).collect();
        }
        self
    }

    /// The steps of the longest sequence.
    pub fn steps(&self) -> usize {
        self.x.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// `½ Σ (y − target)² + Σ last ⊙ last_weights`, by the reference.
    pub fn loss(&self, weights: &Reference) -> f64 {
        let one = |b: usize| {
            let pass = weights.forward_from(&self.x[b], &self.first[b], &self.masks[b]);
            let last = dot(&pass.last.h, &self.last_weights[b].h)
                + dot(&pass.last.c, &self.last_weights[b].c);
            weights.squared_error(&pass, &self.targets[b]).0 + last
        };
        (0..self.x.len()).map(one).sum()
    }

    /// The gradient of [`Batch::loss`] for the weights, `dx` and that of the first states.
    pub fn gradient(&self, config: Config, weights: &Reference) -> BatchGradient {
        let mut dweights = Reference::zeros(config);
        let (mut dx, mut dfirst) = (vec![], vec![]);
        for b in 0..self.x.len() {
            let pass = weights.forward_from(&self.x[b], &self.first[b], &self.masks[b]);
            let (_, dy) = weights.squared_error(&pass, &self.targets[b]);
            let back = weights.backward_from(&pass, &dy, &self.last_weights[b], &mut dweights);
            dx.push(back.0);
            dfirst.push(back.1);
        }
        BatchGradient { dweights, dx, dfirst }
    }

    /// [`is_near_a_kink`] in any of the sequences.
    pub fn is_near_a_kink(&self, config: Config, weights: &Reference, margin: f64) -> bool {
        (0..self.x.len()).any(|b| {
            let pass = weights.forward_from(&self.x[b], &self.first[b], &self.masks[b]);
            is_near_a_kink(config, &pass, margin)
        })
    }
}

/// Is some sum of a ReLU closer to 0 than `margin`? There its slope jumps, and neither
/// differences nor roundings tell which side is meant.
pub fn is_near_a_kink(config: Config, pass: &Pass, margin: f64) -> bool {
    let steps = pass.steps.iter().flatten();
    let mut sums = steps.flat_map(|step| step.a.iter().zip(&step.r)).map(|(a, r)| a + r);
    config.cell() == Cell::Elman(Nonlinearity::Relu) && sums.any(|sum| sum.abs() < margin)
}

/// The gradients of a [`Batch`].
pub struct BatchGradient {
    pub dweights: Reference,
    /// `[B][T_b][I]`
    pub dx: Vec<Matrix>,
    /// `[B]`
    pub dfirst: Vec<State>,
}

fn dot(left: &Matrix, right: &Matrix) -> f64 {
    left.iter().flatten().zip(right.iter().flatten()).map(|(l, r)| l * r).sum()
}

/// `[B][T_b][F]` as `[T, B, F]`, zeros behind the end of a sequence.
pub fn time_major(sequences: &[Matrix], features: usize, steps: usize) -> Vec<f64> {
    let mut values = vec![0.0; steps * sequences.len() * features];
    for (b, sequence) in sequences.iter().enumerate() {
        for (t, row) in sequence.iter().enumerate() {
            values[(t * sequences.len() + b) * features..][..features].copy_from_slice(row);
        }
    }
    values
}

/// The states of B sequences as `[L·D, B, H]`, as PyTorch and the fast path have them: h,
/// and c, which is empty but for an LSTM.
pub fn state_values(config: Config, states: &[State]) -> (Vec<f64>, Vec<f64>) {
    let (rows, hidden) = (config.layers() * config.directions(), config.state_width());
    let h: Vec<_> = states.iter().map(|state| state.h.clone()).collect();
    let c: Vec<_> = states.iter().map(|state| state.c.clone()).collect();
    let c = if config.cell() == Cell::Lstm { time_major(&c, hidden, rows) } else { vec![] };
    (time_major(&h, hidden, rows), c)
}

/// As f32; exact for the numbers of a [`Batch`].
pub fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// As f64, exactly.
pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Sets all states to zero.
pub fn clear(states: &mut [State]) {
    let rows = states.iter_mut().flat_map(|state| state.h.iter_mut().chain(&mut state.c));
    rows.for_each(|row| row.fill(0.0));
}

/// √Σ v²
pub fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Fails unless `found` is `expected` but for `tolerance`, relative in the norm; and so
/// if any of it is NaN.
pub fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}: another number of values");
    let error = norm(found.iter().zip(expected).map(|(f, e)| f - e));
    let size = norm(expected.iter().copied());
    assert!(error <= tolerance * size, "{name}: off by {error:e} of {size:e}");
}
