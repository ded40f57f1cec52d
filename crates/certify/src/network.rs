//! A network as plain numbers, and a step of it: of one hidden state, and of an abstract state.

use crate::abstract_state::{AbstractState, Domain, Sums};
use crate::gated::{Form, ROWS, Units};
use crate::lanes::{LANES, Line, fma, lanes, sigmoid};
use model::Parameters;
use verify::{Cell, Machine};

/// A network's weights as plain numbers.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    /// H
    units: usize,
    /// N, the numbers of a hidden state: H, of an LSTM 2·H, h and then c.
    pub hidden: usize,
    pub cell: Cell,
    /// The hidden states that there are.
    pub domain: Domain,
    /// `[symbols][G·H]`, what a symbol and the biases add to the sums, gate after gate.
    inputs: Vec<Vec<f64>>,
    /// `[H]`, of a GRU the biases that its gate r scales.
    inner: Vec<f64>,
    /// `[H, G·H]`, row: from unit
    w_rec: Vec<f64>,
    /// `[O]`
    head: Vec<Output>,
    /// `[O, O]`, of a softmax head: how an output's sum differs from another's.
    differences: Vec<Output>,
    /// `[G·H]`, the sums of the absolute weights of a sum.
    weight: Vec<f64>,
    /// `[G·H]`, a little more than the f32 sums may be off.
    slack: Vec<f64>,
    /// `[N]`, how far at most an error of a number moves all sums of the next step.
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
            Cell::Tanh | Cell::Lstm => (-1.0, 1.0),
            Cell::Relu => (0.0, 8.0),
            Cell::Gru => (-2.0, 2.0),
        };
        let domain = Domain { units: h, h: domain, c: (-8.0, 8.0) };
        let largest = f64::max(domain.h.1, -domain.h.0);
        let sums = cell.gates() * h;
        let mut inputs = vec![vec![0.0; sums]; machine.symbols().len()];
        let mut inner = vec![0.0; h];
        let (mut w_rec, mut weight) = (vec![0.0; h * sums], vec![0.0; sums]);
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
                        w_rec[n % h * sums + n / h] = value;
                        weight[n / h] += largest * value.abs();
                    }
                    "bias_hh_l0" if cell == Cell::Gru && n >= 2 * h => {
                        inner[n - 2 * h] = value;
                        weight[n] += value.abs();
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
        let influence = (0..cell.state_size(h)).map(|n| {
            let j = n % h;
            let out = head.iter().map(|output| output.w[j].abs()).fold(0.0, f64::max);
            steepest * absolute(&w_rec[j * sums..][..sums]) + out
        });
        Self {
            units: h,
            hidden: cell.state_size(h),
            cell,
            domain,
            slack: weight.iter().map(|&weight| slack(weight)).collect(),
            influence: influence.collect(),
            inputs,
            inner,
            differences: pairs.map(difference).collect(),
            w_rec,
            head,
            weight,
        }
    }

    /// The rows of [`Sums`].
    pub fn rows(&self) -> usize {
        self.weight.len() + if self.cell.gates() > 1 { self.units } else { 0 }
    }

    /// A step of one state.
    pub fn step(&self, state: &[f64], symbol: u8, next: &mut [f64]) {
        if self.cell.gates() > 1 {
            return self.step_of_gates(state, symbol, next);
        }
        self.recur(state, next);
        for (next, input) in next.iter_mut().zip(&self.inputs[usize::from(symbol)]) {
            *next += input;
        }
        match self.cell {
            Cell::Tanh => next.iter_mut().for_each(|z| *z = z.tanh()),
            Cell::Relu => next.iter_mut().for_each(|z| *z = z.max(0.0)),
            _ => sigmoids(next),
        }
    }

    /// [`Net::step`] of a cell with gates.
    fn step_of_gates(&self, state: &[f64], symbol: u8, next: &mut [f64]) {
        let (h, inputs) = (self.units, &self.inputs[usize::from(symbol)]);
        let mut sums = vec![0.0; self.weight.len()];
        self.recur(state, &mut sums);
        if self.cell == Cell::Gru {
            let (gates, n) = sums.split_at_mut(2 * h);
            gates.iter_mut().zip(inputs).for_each(|(z, input)| *z += input);
            sigmoids(gates);
            for j in 0..h {
                let (r, z) = (gates[j], gates[h + j]);
                let n = (inputs[2 * h + j] + r * (n[j] + self.inner[j])).tanh();
                next[j] = n + z * (state[j] - n);
            }
            return;
        }
        sums.iter_mut().zip(inputs).for_each(|(z, input)| *z += input);
        let (i_and_f, rest) = sums.split_at_mut(2 * h);
        let (g, o) = rest.split_at_mut(h);
        sigmoids(i_and_f);
        sigmoids(o);
        for j in 0..h {
            let c = i_and_f[h + j] * state[h + j] + i_and_f[j] * g[j].tanh();
            (next[j], next[h + j]) = (o[j] * c.tanh(), c);
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
        for (value, row) in state.iter().zip(self.w_rec.chunks_exact(self.weight.len())) {
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
        if self.cell.gates() > 1 {
            let of = |inputs: &Vec<f64>| {
                let mut total = 0.0;
                self.for_each_form(sums, inputs, |n, l, form, _| {
                    total += form.noise[l] * self.influence[n];
                });
                total
            };
            return self.inputs.iter().map(of).fold(0.0, f64::max);
        }
        let of = |inputs: &Vec<f64>| {
            let mut total = 0.0;
            for first in (0..self.units).step_by(LANES) {
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

    /// The sums of `state`, each of whose numbers may be off by `error` more than it says.
    pub fn sums(&self, state: &AbstractState, error: f64, sums: &mut Sums) {
        let (h, rows) = (self.units, self.weight.len());
        let columns = (state.columns + self.hidden).next_multiple_of(LANES);
        sums.columns = columns;
        self.recur(&state.center[..h], &mut sums.center[..rows]);
        for j in 0..rows {
            let row = &mut sums.generators[j * state.stride..][..columns];
            let mut radius = [0.0; LANES];
            for first in (0..state.columns).step_by(LANES) {
                let mut sum = [0.0; LANES];
                for k in 0..h {
                    let w = self.w_rec[k * rows + j];
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
                let w = self.w_rec[k * rows + j];
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
        // behind them, of a cell with gates, the numbers that these scale
        for (j, n) in (rows..self.rows()).zip(self.hidden - h..) {
            let row = &mut sums.generators[j * state.stride..][..columns];
            let from = &state.generators[n * state.stride..][..state.columns];
            row[..state.columns].copy_from_slice(from);
            row[state.columns..].fill(0.0);
            row[state.columns + n] = state.own[n];
            sums.center[j] = state.center[n];
            sums.error[j] = error;
            let (low, high) = state.range_of_unit(n);
            (sums.low[j], sums.high[j]) = (low - error, high + error);
        }
    }

    /// Calls `of` with each number of the state after `sums` and a symbol that adds `inputs`: its
    /// place, and where its form is.
    fn for_each_form(
        &self,
        sums: &Sums,
        inputs: &[f64],
        mut of: impl FnMut(usize, usize, &Form, &Units<'_>),
    ) {
        let (h, gates) = (self.units, self.cell.gates());
        for first in (0..h).step_by(LANES) {
            let count = (h - first).min(LANES);
            let at = |values: &[f64], gate: usize| match gate < gates {
                true => lanes(&values[gate * h + first..][..count]),
                false => [0.0; LANES],
            };
            let units = Units {
                sums,
                places: std::array::from_fn(|row| row.min(gates) * h + first),
                count,
                size: std::array::from_fn(|row| match row < gates {
                    true => at(&self.weight, row).map(|weight| 8.0 * weight),
                    false => [8.0; LANES],
                }),
                inputs: std::array::from_fn::<_, ROWS, _>(|row| at(inputs, row)),
                inner: lanes(&self.inner[first..][..count]),
            };
            for (block, form) in units.step(self.cell).into_iter().flatten().enumerate() {
                for l in 0..count {
                    of(block * h + first + l, l, &form, &units);
                }
            }
        }
    }

    /// [`Net::activate`] of a cell with gates.
    fn apply_gates(&self, sums: &Sums, symbol: u8, state: &mut AbstractState) {
        state.columns = sums.columns;
        let (columns, stride) = (sums.columns, state.stride);
        self.for_each_form(sums, &self.inputs[usize::from(symbol)], |n, l, form, units| {
            (state.low[n], state.high[n]) = (form.low[l], form.high[l]);
            state.center[n] = units.center(form, l);
            state.own[n] = units.own(form, l);
            for first in (0..columns).step_by(LANES) {
                let along = units.along(form, l, first);
                state.generators[n * stride + first..][..LANES].copy_from_slice(&along);
            }
        });
    }

    /// The states after `sums` and one more symbol.
    pub fn activate(&self, sums: &Sums, symbol: u8, state: &mut AbstractState) {
        if self.cell.gates() > 1 {
            return self.apply_gates(sums, symbol, state);
        }
        let (h, (least, most)) = (self.units, self.domain.h);
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

/// σ of each.
fn sigmoids(values: &mut [f64]) {
    for values in values.chunks_mut(LANES) {
        let mut z = [0.0; LANES];
        z[..values.len()].copy_from_slice(values);
        values.copy_from_slice(&sigmoid(z)[..values.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Architecture, Config, Head, HeadActivation, HeadSteps, Nonlinearity, Stream};
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    const CELLS: [(Cell, model::Cell); 5] = [
        (Cell::Sigmoid, model::Cell::Elman(Nonlinearity::Sigmoid)),
        (Cell::Tanh, model::Cell::Elman(Nonlinearity::Tanh)),
        (Cell::Relu, model::Cell::Elman(Nonlinearity::Relu)),
        (Cell::Gru, model::Cell::Gru),
        (Cell::Lstm, model::Cell::Lstm),
    ];

    fn network(
        cell: model::Cell,
        hidden: usize,
        bias: bool,
        scale: f32,
        generator: &mut Xoshiro256PlusPlus,
    ) -> Parameters {
        let activation = HeadActivation::Sigmoid;
        let head = Head { outputs: 1, bias, steps: HeadSteps::Every, activation };
        let layer = Architecture::new(cell, 2, hidden);
        let config = Config::new(Architecture { bias, head: Some(head), ..layer }).unwrap();
        let mut parameters = Parameters::uniform(config, generator);
        parameters.for_each_row_mut(|row| row.iter_mut().for_each(|w| *w *= scale));
        parameters
    }

    #[test]
    fn a_step_is_that_of_the_model() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        for (cell, of_model) in CELLS {
            for (hidden, bias) in [(1, true), (5, false), (9, true), (16, true)] {
                let parameters = network(of_model, hidden, bias, 0.7, &mut generator);
                let net = Net::new(&parameters, cell, &Machine::addition());
                let mut stream = Stream::new(parameters).unwrap();
                let (mut state, mut next) = (vec![0.0; net.hidden], vec![0.0; net.hidden]);
                for _ in 0..6 {
                    let symbol = generator.random_range(0..4_u8);
                    let x = [f32::from(symbol >> 1), f32::from(symbol & 1)];
                    stream.step(&x, &mut [0.0]).unwrap();
                    net.step(&state, symbol, &mut next);
                    std::mem::swap(&mut state, &mut next);
                    let found = stream.snapshot();
                    for (found, &number) in found.h().iter().chain(found.c()).zip(&state) {
                        let off = (f64::from(*found) - number).abs();
                        assert!(off < 1e-5 * (1.0 + number.abs()), "{cell:?} {found} {number}");
                    }
                }
            }
        }
    }

    /// A step of each point of a box or zonotope, at the same places of its generators, is in the
    /// step of the whole, up to the own noise of each number.
    #[test]
    fn a_step_of_every_point_lies_in_the_step_of_the_abstract_state() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(2);
        for case in 0..400 {
            let (cell, of_model) = CELLS[case % CELLS.len()];
            let hidden = generator.random_range(1..18);
            let scale = generator.random_range(0.1..4.0);
            let parameters = network(of_model, hidden, case % 2 == 0, scale, &mut generator);
            let net = Net::new(&parameters, cell, &Machine::addition());
            let width = if case % 3 == 0 { 0.4 } else { 0.02 };
            let n = net.hidden;
            let mut state = AbstractState::new(n, 2);
            state.columns = if case % 4 == 0 { 0 } else { LANES };
            for j in 0..n {
                let (least, most) = net.domain.of(j);
                let (least, most) = (least.max(-1.5), most.min(1.5));
                state.center[j] = generator.random_range(least..most);
                state.own[j] = width * generator.random_range(0.0..1.0);
                state.low[j] = (state.center[j] - width).max(least);
                state.high[j] = (state.center[j] + width).min(most);
                for column in 0..state.columns {
                    state.generators[j * state.stride + column] =
                        0.3 * width * generator.random_range(-1.0..1.0);
                }
            }
            let (mut sums, mut next) = (Sums::new(net.rows(), n, 2), state.clone());
            net.sums(&state, 0.0, &mut sums);
            let symbol = generator.random_range(0..4_u8);
            net.activate(&sums, symbol, &mut next);
            let mut after = vec![0.0; n];
            for _ in 0..200 {
                let mut share = || match generator.random_range(0..3) {
                    0 => 1.0,
                    1 => -1.0,
                    _ => generator.random_range(-1.0..1.0),
                };
                let mut shares: Vec<f64> = (0..state.columns + n).map(|_| share()).collect();
                shares.resize(next.columns, 0.0);
                let point: Vec<f64> = (0..n)
                    .map(|j| {
                        let row = &state.generators[j * state.stride..][..state.columns];
                        let along: f64 = row.iter().zip(&shares).map(|(g, e)| g * e).sum();
                        state.center[j] + along + state.own[j] * shares[state.columns + j]
                    })
                    .collect();
                if (0..n).any(|j| point[j] < state.low[j] || point[j] > state.high[j]) {
                    continue;
                }
                net.step(&point, symbol, &mut after);
                if cell == Cell::Relu && after.iter().any(|&h| h > net.domain.h.1) {
                    continue; // the checker refuses what reaches there
                }
                for (j, &after) in after.iter().enumerate() {
                    let name = format!("{cell:?}, {hidden} units, {j}");
                    assert!(next.low[j] <= after && after <= next.high[j], "{name}");
                    let row = &next.generators[j * next.stride..][..next.columns];
                    let along: f64 = row.iter().zip(&shares).map(|(g, e)| g * e).sum();
                    let off = (after - next.center[j] - along).abs();
                    assert!(off <= next.own[j], "{name}: {off} {}", next.own[j]);
                }
            }
        }
    }
}
