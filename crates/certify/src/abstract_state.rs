//! Abstract states, for the search: sets that hold hidden states, and their sums.
//!
//! ```text
//! state     c + Σ_g e_g·G[·, g] + Σ_j e_j·own_j·u_j, all e in [−1, 1], cut with a box:
//!           a zonotope; u_j the unit vectors
//! sums      W_recᵀ·state: a matrix product, in which the own_j become columns of G
//! activate  σ(sums + W_in·pair + b): on [low, high] a line of the chord's slope λ stands
//!           for σ, and its linearisation error becomes the new own_j
//! ```
//!
//! Nothing here is trusted: it computes in rounded f64, with some slack.
//!
//! 1. Generators lie along the lanes, `[H, G]`: products, sums of absolute values and
//!    scaling are then whole vectors for every H.
//! 2. σ and the logarithm that finds the tangents are polynomials over eight units at once.
//! 3. States are overwritten in place; propagation allocates nothing.

use crate::lanes::{LANES, fma};

/// The points of a zonotope that are also in a box.
#[derive(Clone, Debug)]
pub(crate) struct AbstractState {
    /// `[N]`
    pub center: Vec<f64>,
    /// `[N, stride]`, of which `columns`, whole lanes, are used.
    pub generators: Vec<f64>,
    pub columns: usize,
    pub stride: usize,
    /// `[N]`, the generators along the unit vectors.
    pub own: Vec<f64>,
    /// `[N]`, of the box.
    pub low: Vec<f64>,
    /// `[N]`, of the box.
    pub high: Vec<f64>,
}

/// Of each of the N numbers of a state, h and of an LSTM then c, the least and the largest that
/// there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Domain {
    /// H
    pub units: usize,
    pub h: (f64, f64),
    pub c: (f64, f64),
}

impl Domain {
    /// All numbers.
    pub const ALL: Self =
        Self { units: usize::MAX, h: (f64::MIN, f64::MAX), c: (f64::MIN, f64::MAX) };

    /// Of number `n` of a state.
    pub fn of(&self, n: usize) -> (f64, f64) {
        if n < self.units { self.h } else { self.c }
    }
}

/// The sums before the activations, without inputs and biases: an affine image of a state. Of a
/// cell with gates they are G·H, gate after gate, and behind them come the H numbers of the state
/// that the gates scale.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    /// `[R]`, R sums
    pub center: Vec<f64>,
    /// `[R, stride]`
    pub generators: Vec<f64>,
    pub columns: usize,
    pub stride: usize,
    /// `[R]`, how far the f32 sums may be off.
    pub error: Vec<f64>,
    /// `[R]`, with the error.
    pub low: Vec<f64>,
    /// `[R]`, with the error.
    pub high: Vec<f64>,
}

/// The columns that `steps` steps of states of `size` (N) numbers may lead to.
fn stride(size: usize, steps: usize) -> usize {
    (0..=steps).fold(0, |columns, _| (columns + size).next_multiple_of(LANES))
}

impl Sums {
    /// Room for `sums` (R) sums of states of `size` (N) numbers.
    pub fn new(sums: usize, size: usize, steps: usize) -> Self {
        let row = || vec![0.0; sums];
        let stride = stride(size, steps);
        let generators = vec![0.0; sums * stride];
        Self {
            center: row(),
            generators,
            columns: 0,
            stride,
            error: row(),
            low: row(),
            high: row(),
        }
    }
}

impl AbstractState {
    /// The origin, with room for `steps` steps.
    pub fn new(size: usize, steps: usize) -> Self {
        let row = || vec![0.0; size];
        let stride = stride(size, steps);
        let generators = vec![0.0; size * stride];
        Self { center: row(), generators, columns: 0, stride, own: row(), low: row(), high: row() }
    }

    /// The range of `w·h`; of a `w` that is shorter than a state, of the numbers that it has.
    pub fn range(&self, w: &[f64]) -> (f64, f64) {
        let mut radius = [0.0; LANES];
        for first in (0..self.columns).step_by(LANES) {
            let mut sum = [0.0; LANES];
            for (j, &w) in w.iter().enumerate() {
                let from = &self.generators[j * self.stride + first..][..LANES];
                for l in 0..LANES {
                    sum[l] = fma(w, from[l], sum[l]);
                }
            }
            for l in 0..LANES {
                radius[l] += sum[l].abs();
            }
        }
        let mut radius: f64 = radius.iter().sum();
        let (mut low, mut high, mut center, mut slack) = (0.0, 0.0, 0.0, 0.0);
        for (j, &w) in w.iter().enumerate() {
            slack += 3e-9 * w.abs();
            radius += (self.own[j] * w).abs();
            center += self.center[j] * w;
            low += (w * self.low[j]).min(w * self.high[j]);
            high += (w * self.low[j]).max(w * self.high[j]);
        }
        radius += slack;
        ((low - slack).max(center - radius), (high + slack).min(center + radius))
    }

    /// The range of number `j`.
    pub fn range_of_unit(&self, j: usize) -> (f64, f64) {
        let row = &self.generators[j * self.stride..][..self.columns];
        let radius = row.iter().map(|value| value.abs()).sum::<f64>() + self.own[j] + 3e-9;
        let (low, high) = (self.center[j] - radius, self.center[j] + radius);
        (low.max(self.low[j]), high.min(self.high[j]))
    }
}
