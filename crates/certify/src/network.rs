//! A network as plain numbers, and a step of it: of one hidden state, and of an abstract state.

use crate::abstract_state::{AbstractState, Sums};
use crate::lanes::{LANES, Line, fma, lanes, sigmoid};
use model::Parameters;
use verify::{Cell, Machine};

/// A network's weights as plain numbers.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub hidden: usize,
    pub cell: Cell,
    /// The least and the largest hidden state that there is.
    pub domain: (f64, f64),
    /// `[symbols][H]`, what a symbol and the biases add to the sums.
    inputs: Vec<Vec<f64>>,
    /// `[H, H]`, row: from unit
    w_rec: Vec<f64>,
    /// `[O]`
    head: Vec<Output>,
    /// `[O, O]`, of a softmax head: how an output's sum differs from another's.
    differences: Vec<Output>,
    /// `[H]`, the sums of the absolute weights of a unit.
    weight: Vec<f64>,
    /// `[H]`, a little more than the f32 sums may be off.
    slack: Vec<f64>,
    /// `[H]`, how far at most an error of a unit moves all sums of the next step.
    influence: Vec<f64>,
}

/// An output's sum.
#[derive(Clone, Debug)]
struct Output {
    /// `[H]`
    w: Vec<f64>,
    b: f64,
    slack: f64,
}

impl Net {
    /// # Panics
    /// If the network has another shape than one for the machine.
    pub fn new(parameters: &Parameters, cell: Cell, machine: &Machine) -> Self {
        let config = parameters.config();
        let (h, width, outputs) = (config.hidden(), machine.width(), machine.head_outputs());
        assert_eq!((config.inputs(), config.outputs()), (width, outputs), "inputs and outputs");
        let domain = match cell {
            Cell::Sigmoid => (0.0, 1.0),
            Cell::Tanh => (-1.0, 1.0),
            Cell::Relu => (0.0, 8.0),
        };
        let largest = f64::max(domain.1, -domain.0);
        let mut inputs = vec![vec![0.0; h]; machine.symbols().len()];
        let (mut w_rec, mut weight) = (vec![0.0; h * h], vec![0.0; h]);
        let mut head = vec![Output { w: vec![0.0; h], b: 0.0, slack: 0.0 }; outputs];
        for tensor in parameters.tensors() {
            for (n, index) in tensor.indices().enumerate() {
                let value = f64::from(parameters.arena()[index]);
                match tensor.name() {
                    "weight_ih_l0" => {
                        for (symbol, inputs) in inputs.iter_mut().enumerate() {
                            inputs[n / width] += value * machine.shown(symbol)[n % width];
                        }
                        weight[n / width] += value.abs();
                    }
                    "weight_hh_l0" => {
                        w_rec[n % h * h + n / h] = value;
                        weight[n / h] += largest * value.abs();
                    }
                    "bias_ih_l0" | "bias_hh_l0" => {
                        inputs.iter_mut().for_each(|inputs| inputs[n] += value);
                        weight[n] += value.abs();
                    }
                    "head.weight" => head[n / h].w[n % h] = value,
                    _ => head[n].b = value,
                }
            }
        }
        let terms = (h + width + 11) as f64;
        let slack = |weight: f64| weight * (terms / 16_777_216.0 * 1.01 + 3e-9) + 1e-25;
        let absolute = |values: &[f64]| values.iter().map(|value| value.abs()).sum::<f64>();
        for output in &mut head {
            output.slack = slack(largest * absolute(&output.w) + output.b.abs());
        }
        let difference = |(a, b): (&Output, &Output)| Output {
            w: a.w.iter().zip(&b.w).map(|(a, b)| a - b).collect(),
            b: a.b - b.b,
            slack: 1.001 * (a.slack + b.slack),
        };
        let pairs = head.iter().flat_map(|a| head.iter().map(move |b| (a, b)));
        let steepest = if cell == Cell::Sigmoid { 0.25 } else { 1.0 };
        let influence = w_rec.chunks_exact(h).enumerate().map(|(j, row)| {
            let out = head.iter().map(|output| output.w[j].abs()).fold(0.0, f64::max);
            steepest * absolute(row) + out
        });
        Self {
            hidden: h,
            cell,
            domain,
            slack: weight.iter().map(|&weight| slack(weight)).collect(),
            influence: influence.collect(),
            inputs,
            differences: pairs.map(difference).collect(),
            w_rec,
            head,
            weight,
        }
    }

    /// A step of one state.
    pub fn step(&self, state: &[f64], symbol: u8, next: &mut [f64]) {
        self.recur(state, next);
        for (next, input) in next.iter_mut().zip(&self.inputs[usize::from(symbol)]) {
            *next += input;
        }
        match self.cell {
            Cell::Sigmoid => {}
            Cell::Tanh => return next.iter_mut().for_each(|z| *z = z.tanh()),
            Cell::Relu => return next.iter_mut().for_each(|z| *z = z.max(0.0)),
        }
        for next in next.chunks_mut(LANES) {
            let mut z = [0.0; LANES];
            z[..next.len()].copy_from_slice(next);
            next.copy_from_slice(&sigmoid(z)[..next.len()]);
        }
    }

    /// The state after `word`.
    pub fn follow(&self, state: &[f64], word: &[u8]) -> Vec<f64> {
        let (mut state, mut next) = (state.to_vec(), state.to_vec());
        for &symbol in word {
            self.step(&state, symbol, &mut next);
            std::mem::swap(&mut state, &mut next);
        }
        state
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

    /// How far the sum that decides for `right` is on its right side, at one state.
    pub fn margin_at(&self, state: &[f64], right: usize) -> f64 {
        let sum = |output: &Output| {
            output.b + state.iter().zip(&output.w).map(|(h, w)| h * w).sum::<f64>()
        };
        if let [output] = &self.head[..] {
            let z = sum(output);
            return if right == 1 { z } else { -z };
        }
        self.others(right).map(sum).fold(f64::MAX, f64::min)
    }

    /// How the sum of `right` differs from each other one.
    fn others(&self, right: usize) -> impl Iterator<Item = &Output> {
        let outputs = self.head.len();
        let row = self.differences[right * outputs..][..outputs].iter().enumerate();
        row.filter(move |&(other, _)| other != right).map(|(_, difference)| difference)
    }

    /// The linearisation error of the next step, for the worst symbol: what it adds to all sums
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
                let line = Line::of(self.cell, low, high);
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

    /// The states after `sums` and one more symbol.
    pub fn activate(&self, sums: &Sums, symbol: u8, state: &mut AbstractState) {
        let (h, (least, most)) = (self.hidden, self.domain);
        state.columns = sums.columns;
        for first in (0..h).step_by(LANES) {
            let at = |values: &[f64]| lanes(&values[first..]);
            let input = at(&self.inputs[usize::from(symbol)]);
            let (mut low, mut high) = (at(&sums.low), at(&sums.high));
            for l in 0..LANES {
                (low[l], high[l]) = (low[l] + input[l], high[l] + input[l]);
            }
            let line = Line::of(self.cell, low, high);
            let count = (h - first).min(LANES);
            for l in 0..count {
                let j = first + l;
                let (bottom, top, slope) = (line.bottom[l], line.top[l], line.slope[l]);
                let ulp = 4.0e-7 * top.max(-bottom) + 3e-11;
                (state.low[j], state.high[j]) = ((bottom - ulp).max(least), (top + ulp).min(most));
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

    /// How far the sum that decides for `right` is on its right side, at least, at any state of
    /// `state`.
    pub fn margin(&self, state: &AbstractState, right: usize) -> f64 {
        if let [output] = &self.head[..] {
            let (low, high) = state.range(&output.w);
            return (if right == 1 { low + output.b } else { -high - output.b }) - output.slack;
        }
        let least = |output: &Output| state.range(&output.w).0 + output.b - output.slack;
        self.others(right).map(least).fold(f64::MAX, f64::min)
    }
}
