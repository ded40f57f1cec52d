//! The same network as plain f64 loops that read like the formulas.
//!
//! Central differences prove this gradient, and this proves the fast path. It
//! allocates as it likes and is not fast.

use crate::{Config, Parameters};

/// Weights, or gradients, in f64, without padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// `[I][H]`
    pub w_in: Vec<Vec<f64>>,
    /// `[H][H]`, row: from unit.
    pub w_rec: Vec<Vec<f64>>,
    /// `[O][H]`, row: to output.
    pub w_out: Vec<Vec<f64>>,
}

/// The states `[T][H]` and outputs `[T][O]` of one sequence.
#[derive(Clone, Debug)]
pub struct Pass {
    /// `h[t]`
    pub h: Vec<Vec<f64>>,
    /// `y[t]`
    pub y: Vec<Vec<f64>>,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Reference {
    /// All zeros.
    pub fn zeros(config: Config) -> Self {
        let matrix = |rows| vec![vec![0.0; config.hidden()]; rows];
        Self {
            w_in: matrix(config.inputs()),
            w_rec: matrix(config.hidden()),
            w_out: matrix(config.outputs()),
        }
    }

    /// Every weight, in the order of [`Parameters`].
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.w_in.iter_mut().chain(&mut self.w_rec).chain(&mut self.w_out).flatten()
    }

    /// Every weight, in the order of [`Parameters`].
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.w_in.iter().chain(&self.w_rec).chain(&self.w_out).flatten().copied()
    }

    /// `h[t] = σ(x[t]·W_in + h[t−1]·W_rec)`, `y[t] = σ(W_out·h[t])`, `h[−1] = 0`, for one
    /// sequence `x` `[T][I]`.
    pub fn forward(&self, x: &[Vec<f64>]) -> Pass {
        let hidden = self.w_rec.len();
        let mut pass = Pass { h: Vec::new(), y: Vec::new() };
        let mut before = vec![0.0; hidden];
        for x in x {
            let h: Vec<f64> = (0..hidden)
                .map(|to| {
                    let from_x: f64 = x.iter().zip(&self.w_in).map(|(x, w)| x * w[to]).sum();
                    let from_h: f64 = before.iter().zip(&self.w_rec).map(|(h, w)| h * w[to]).sum();
                    sigmoid(from_x + from_h)
                })
                .collect();
            let y = self.w_out.iter().map(|w| sigmoid(h.iter().zip(w).map(|(h, w)| h * w).sum()));
            pass.y.push(y.collect());
            before.clone_from(&h);
            pass.h.push(h);
        }
        pass
    }

    /// `½ Σ (y − o)²` over a sequence, and its gradient before the output's sigmoid.
    pub fn squared_error(pass: &Pass, targets: &[Vec<f64>]) -> (f64, Vec<Vec<f64>>) {
        let mut loss = 0.0;
        let gradient = pass.y.iter().zip(targets).map(|(outputs, targets)| {
            let pairs = outputs.iter().zip(targets);
            loss += pairs.clone().map(|(o, y)| 0.5 * (y - o).powi(2)).sum::<f64>();
            pairs.map(|(o, y)| (o - y) * o * (1.0 - o)).collect()
        });
        let gradient = gradient.collect();
        (loss, gradient)
    }

    /// Adds the gradient of one sequence to `gradient`; `dy` `[T][O]` is the gradient
    /// before the output's sigmoid.
    pub fn backward(&self, x: &[Vec<f64>], pass: &Pass, dy: &[Vec<f64>], gradient: &mut Self) {
        let hidden = self.w_rec.len();
        let mut dz_after = vec![0.0; hidden];
        for t in (0..x.len()).rev() {
            let h = &pass.h[t];
            // dh[t] = dy[t]·W_out + dz[t+1]·W_recᵀ;  dz[t] = dh[t] ⊙ h[t] ⊙ (1 − h[t])
            let dz: Vec<f64> = (0..hidden)
                .map(|i| {
                    let from_y: f64 = dy[t].iter().zip(&self.w_out).map(|(d, w)| d * w[i]).sum();
                    let from_h: f64 = dz_after.iter().zip(&self.w_rec[i]).map(|(d, w)| d * w).sum();
                    (from_y + from_h) * h[i] * (1.0 - h[i])
                })
                .collect();
            add_outer(&mut gradient.w_in, &x[t], &dz);
            add_outer(&mut gradient.w_out, &dy[t], h);
            if t > 0 {
                add_outer(&mut gradient.w_rec, &pass.h[t - 1], &dz);
            }
            dz_after = dz;
        }
    }
}

/// `sums[i][j] += left[i]·right[j]`
fn add_outer(sums: &mut [Vec<f64>], left: &[f64], right: &[f64]) {
    for (row, left) in sums.iter_mut().zip(left) {
        for (sum, right) in row.iter_mut().zip(right) {
            *sum += left * right;
        }
    }
}

impl From<&Parameters> for Reference {
    fn from(parameters: &Parameters) -> Self {
        let widen = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect();
        Self {
            w_in: parameters.w_in().map(widen).collect(),
            w_rec: parameters.w_rec().map(widen).collect(),
            w_out: parameters.w_out().map(widen).collect(),
        }
    }
}
