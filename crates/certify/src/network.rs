//! A network as plain numbers, and a step of it: of one hidden state, and of an abstract state.

use crate::abstract_state::{AbstractState, Sums};
use crate::lanes::{LANES, Line, fma, lanes, sigmoid};
use model::Parameters;

/// A network's weights as plain numbers.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub hidden: usize,
    /// `[4][H]`, what a pair and the biases add to the sums.
    inputs: [Vec<f64>; 4],
    /// `[H, H]`, row: from unit
    w_rec: Vec<f64>,
    /// `[H]`
    w_out: Vec<f64>,
    b_out: f64,
    /// `[H]`, the sums of the absolute weights of a unit.
    weight: Vec<f64>,
    /// `[H]`, a little more than the f32 sums may be off.
    slack: Vec<f64>,
    out_slack: f64,
    /// `[H]`, how far at most an error of a unit moves all sums of the next step.
    influence: Vec<f64>,
}

impl Net {
    pub fn new(parameters: &Parameters) -> Self {
        let config = parameters.config();
        let h = config.hidden();
        let mut inputs = [(); 4].map(|()| vec![0.0; h]);
        let (mut w_rec, mut w_out, mut b_out) = (vec![0.0; h * h], vec![0.0; h], 0.0);
        let mut weight = vec![0.0; h];
        for tensor in parameters.tensors() {
            for (n, index) in tensor.indices().enumerate() {
                let value = f64::from(parameters.arena()[index]);
                match tensor.name() {
                    "weight_ih_l0" => {
                        let pairs = if n % 2 == 0 { [2, 3] } else { [1, 3] };
                        pairs.into_iter().for_each(|pair: usize| inputs[pair][n / 2] += value);
                        weight[n / 2] += value.abs();
                    }
                    "weight_hh_l0" => {
                        w_rec[n % h * h + n / h] = value;
                        weight[n / h] += value.abs();
                    }
                    "bias_ih_l0" | "bias_hh_l0" => {
                        inputs.iter_mut().for_each(|inputs| inputs[n] += value);
                        weight[n] += value.abs();
                    }
                    "head.weight" => w_out[n] = value,
                    _ => b_out = value,
                }
            }
        }
        let slack = |weight: f64| weight * ((h + 13) as f64 / 16_777_216.0 * 1.01 + 3e-9) + 1e-25;
        let absolute = |values: &[f64]| values.iter().map(|value| value.abs()).sum::<f64>();
        let rows = w_rec.chunks_exact(h).zip(&w_out);
        Self {
            hidden: h,
            slack: weight.iter().map(|&weight| slack(weight)).collect(),
            out_slack: slack(absolute(&w_out) + b_out.abs()),
            influence: rows.map(|(row, out)| 0.25 * absolute(row) + out.abs()).collect(),
            inputs,
            w_rec,
            w_out,
            b_out,
            weight,
        }
    }

    /// A step of one state.
    pub fn step(&self, state: &[f64], pair: u8, next: &mut [f64]) {
        self.recur(state, next);
        for (next, input) in next.iter_mut().zip(&self.inputs[usize::from(pair)]) {
            *next += input;
        }
        for next in next.chunks_mut(LANES) {
            let mut z = [0.0; LANES];
            z[..next.len()].copy_from_slice(next);
            next.copy_from_slice(&sigmoid(z)[..next.len()]);
        }
    }

    /// `z = h·W_rec`
    fn recur(&self, state: &[f64], z: &mut [f64]) {
        z.fill(0.0);
        for (value, row) in state.iter().zip(self.w_rec.chunks_exact(self.hidden)) {
            for (z, w) in z.iter_mut().zip(row) {
                *z = fma(*value, *w, *z);
            }
        }
    }

    /// How far the sum before the output is on its right side, at one state.
    pub fn margin_at(&self, state: &[f64], digit: bool) -> f64 {
        let z = self.b_out + state.iter().zip(&self.w_out).map(|(h, w)| h * w).sum::<f64>();
        if digit { z } else { -z }
    }

    /// The linearisation error of the next step, for the worst pair: what it adds to all sums
    /// of the step after.
    pub fn linearisation_error(&self, sums: &Sums) -> f64 {
        let of = |inputs: &Vec<f64>| {
            let mut total = 0.0;
            for first in (0..self.hidden).step_by(LANES) {
                let at = |values: &[f64]| lanes(&values[first..]);
                let (input, influence) = (at(inputs), at(&self.influence));
                let (mut low, mut high) = (at(&sums.low), at(&sums.high));
                for l in 0..LANES {
                    (low[l], high[l]) = (low[l] + input[l], high[l] + input[l]);
                }
                let line = Line::chord(low, high);
                for (l, influence) in influence.into_iter().enumerate() {
                    total += 0.5 * (line.above[l] - line.below[l]) * influence;
                }
            }
            total
        };
        self.inputs.iter().map(of).fold(0.0, f64::max)
    }

    /// The sums of `state`, each of whose units may be off by `error` more than it says.
    pub fn sums(&self, state: &AbstractState, error: f64, sums: &mut Sums) {
        let h = self.hidden;
        let columns = (state.columns + h).next_multiple_of(LANES);
        sums.columns = columns;
        self.recur(&state.center, &mut sums.center);
        for j in 0..h {
            let row = &mut sums.generators[j * state.stride..][..columns];
            let mut radius = [0.0; LANES];
            for first in (0..state.columns).step_by(LANES) {
                let mut sum = [0.0; LANES];
                for k in 0..h {
                    let w = self.w_rec[k * h + j];
                    let from = &state.generators[k * state.stride + first..][..LANES];
                    for l in 0..LANES {
                        sum[l] = fma(w, from[l], sum[l]);
                    }
                }
                row[first..][..LANES].copy_from_slice(&sum);
                for l in 0..LANES {
                    radius[l] += sum[l].abs();
                }
            }
            let mut radius: f64 = radius.iter().sum();
            row[state.columns..].fill(0.0);
            let (mut low, mut high) = (0.0, 0.0);
            for k in 0..h {
                let w = self.w_rec[k * h + j];
                let own = state.own[k] * w;
                row[state.columns + k] = own;
                radius += own.abs();
                low += (w * state.low[k]).min(w * state.high[k]);
                high += (w * state.low[k]).max(w * state.high[k]);
            }
            let error = self.slack[j] + error * self.weight[j];
            sums.error[j] = error;
            sums.low[j] = low.max(sums.center[j] - radius) - error;
            sums.high[j] = high.min(sums.center[j] + radius) + error;
        }
    }

    /// The states after `sums` and one more pair.
    pub fn activate(&self, sums: &Sums, pair: u8, state: &mut AbstractState) {
        let h = self.hidden;
        state.columns = sums.columns;
        for first in (0..h).step_by(LANES) {
            let at = |values: &[f64]| lanes(&values[first..]);
            let input = at(&self.inputs[usize::from(pair)]);
            let (mut low, mut high) = (at(&sums.low), at(&sums.high));
            for l in 0..LANES {
                (low[l], high[l]) = (low[l] + input[l], high[l] + input[l]);
            }
            let line = Line::chord(low, high);
            let count = (h - first).min(LANES);
            for l in 0..count {
                let j = first + l;
                let (bottom, top, slope) = (line.bottom[l], line.top[l], line.slope[l]);
                let ulp = 4.0e-7 * top + 3e-11;
                (state.low[j], state.high[j]) = ((bottom - ulp).max(0.0), (top + ulp).min(1.0));
                state.center[j] =
                    slope * (sums.center[j] + input[l]) + 0.5 * (line.below[l] + line.above[l]);
                state.own[j] = 0.5 * (line.above[l] - line.below[l])
                    + slope * sums.error[j]
                    + ulp
                    + 3e-9 * (1.0 + slope * self.weight[j] * 8.0)
                    + 3e-10 * (1.0 + high[l].abs().max(low[l].abs()));
                let range = j * state.stride..j * state.stride + sums.columns;
                let (to, from) = (&mut state.generators[range.clone()], &sums.generators[range]);
                for (to, from) in to.iter_mut().zip(from) {
                    *to = from * slope;
                }
            }
        }
    }

    /// How far the sum before the output is on its right side, at least, at any state of
    /// `state`.
    pub fn margin(&self, state: &AbstractState, digit: bool) -> f64 {
        let (low, high) = state.range(&self.w_out);
        (if digit { low + self.b_out } else { -high - self.b_out }) - self.out_slack
    }
}
