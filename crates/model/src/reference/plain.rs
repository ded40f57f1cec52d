//! The networks that remember their last inputs or their outputs, in f64: forward, and back
//! beside it.
//!
//! ```text
//! window     a[t] = W_ih [x[t−n+1], …, x[t]] + b_ih    h[t] = f(a[t])
//! Jordan     a[t] = W_ih x[t] + b_ih                   h[t] = f(a[t] + r[t])
//!            r[t] = W_hh y[t−1] + b_hh
//! both       u[t] = W h[t] + b                         y[t] = g(u[t])
//! ```

use super::cell::{self, Step};
use super::weights::{Layer, Linear, Matrix, add, add_outer, add_transposed, affine};
use crate::{Cell, HeadActivation, Memory};
use kernels::reference::{sigmoid, sigmoid_derivative};

/// One such network.
pub(super) struct Plain<'a> {
    pub cell: Cell,
    pub memory: Memory,
    pub activation: HeadActivation,
    /// I
    pub inputs: usize,
    pub layer: &'a Layer,
    pub linear: &'a Linear,
}

/// What a sequence made of it.
pub(super) struct Given {
    /// `[T][O]`
    pub y: Matrix,
    pub steps: Vec<Step>,
    /// What is remembered behind the last step.
    pub last: Vec<f64>,
}

/// What a backward pass looks at.
pub(super) struct Seen<'a> {
    /// `[T][I]`
    pub x: &'a Matrix,
    /// What was remembered before the first step.
    pub first: &'a [f64],
    /// `[T][O]`
    pub y: &'a Matrix,
    pub steps: &'a [Step],
}

impl Plain<'_> {
    /// One sequence `x` `[T][I]` from what `first` remembers.
    pub fn forward(&self, x: &Matrix, first: &[f64]) -> Given {
        let zeros = vec![0.0; self.layer.w_ih.len()];
        let before = self.rows_of(first);
        let (mut y, mut steps, mut last) = (Matrix::new(), vec![], first.to_vec());
        for seen in windows(&before, x) {
            let a = affine(&self.layer.w_ih, &self.layer.b_ih, &seen);
            let r = match self.memory {
                Memory::Output => affine(&self.layer.w_hh, &self.layer.b_hh, &last),
                Memory::State | Memory::Window(_) => zeros.clone(),
            };
            let step = cell::forward(self.cell, a, r, zeros.clone(), zeros.clone());
            let mut outputs = affine(&self.linear.weight, &self.linear.bias, &step.h);
            if self.activation == HeadActivation::Sigmoid {
                outputs.iter_mut().for_each(|u| *u = sigmoid(*u));
            }
            steps.push(step);
            last.clone_from(&outputs);
            y.push(outputs);
        }
        if let Memory::Window(_) = self.memory {
            let all = [&before[..], x].concat();
            last = all[x.len()..].concat();
        }
        Given { y, steps, last }
    }

    /// Adds the gradient of one sequence to `dlayer` and `dlinear`; returns `dx` `[T][I]` and the
    /// gradient of what was remembered before it. `dlast` is that of what is remembered behind.
    pub fn backward(
        &self,
        seen: &Seen<'_>,
        dy: &[Vec<f64>],
        dlast: &[f64],
        (dlayer, dlinear): (&mut Layer, &mut Linear),
    ) -> (Matrix, Vec<f64>) {
        let before = self.rows_of(seen.first);
        let windows = windows(&before, seen.x);
        // of all inputs, those remembered before the first step among them
        let mut dall = vec![vec![0.0; self.inputs]; before.len() + seen.x.len()];
        let behind = dall[seen.x.len()..].iter_mut();
        behind.zip(self.rows_of(dlast)).for_each(|(dx, dlast)| add(dx, &dlast));
        // of y[t], by what is remembered
        let mut dremembered = dlast.to_vec();
        for t in (0..seen.x.len()).rev() {
            let mut du = dy[t].clone();
            if self.memory == Memory::Output {
                // y = g(u)
                let slope = |y: f64| match self.activation {
                    HeadActivation::Identity => 1.0,
                    HeadActivation::Sigmoid => sigmoid_derivative(y),
                };
                let pairs = seen.y[t].iter().zip(&dremembered);
                add(&mut du, &pairs.map(|(&y, dy)| dy * slope(y)).collect::<Vec<_>>());
            }
            // u = W h + b
            let step = &seen.steps[t];
            add_outer(&mut dlinear.weight, &du, &step.h);
            add(&mut dlinear.bias, &du);
            let mut dh = vec![0.0; step.h.len()];
            add_transposed(&mut dh, &self.linear.weight, &du);
            // h = f(a + r)
            let back = cell::backward(self.cell, step, &dh, &vec![0.0; dh.len()]);
            // a = W_ih window + b_ih
            add_outer(&mut dlayer.w_ih, &back.da, &windows[t]);
            add(&mut dlayer.b_ih, &back.da);
            let mut dwindow = vec![0.0; windows[t].len()];
            add_transposed(&mut dwindow, &self.layer.w_ih, &back.da);
            let parts = dwindow.chunks(self.inputs);
            dall[t..].iter_mut().zip(parts).for_each(|(dx, part)| add(dx, part));
            // r = W_hh y_before + b_hh
            if self.memory == Memory::Output {
                let y_before = if t == 0 { seen.first } else { &seen.y[t - 1] };
                add_outer(&mut dlayer.w_hh, &back.dr, y_before);
                add(&mut dlayer.b_hh, &back.dr);
                dremembered.fill(0.0);
                add_transposed(&mut dremembered, &self.layer.w_hh, &back.dr);
            }
        }
        let dx = dall.split_off(before.len());
        match self.memory {
            Memory::Window(_) => (dx, dall.concat()),
            Memory::State | Memory::Output => (dx, dremembered),
        }
    }

    /// Of a window: what is remembered, as rows `[n − 1][I]`.
    fn rows_of(&self, remembered: &[f64]) -> Matrix {
        match self.memory {
            Memory::Window(_) => remembered.chunks(self.inputs).map(<[f64]>::to_vec).collect(),
            Memory::State | Memory::Output => vec![],
        }
    }
}

/// `[T][n·I]`: the inputs of each step behind those of the n − 1 before it; `before` are n − 1.
fn windows(before: &[Vec<f64>], x: &[Vec<f64>]) -> Matrix {
    let all = [before, x].concat();
    all.windows(before.len() + 1).map(<[Vec<f64>]>::concat).collect()
}
