//! A network read from its file, and what a step of it makes of an abstract state.

use crate::abstract_state::{AbstractState, REACH, SLACK};
use crate::cell::{Activated, Cell};
use crate::error::Error;
use crate::gated::{Row, Unit};
use crate::machine::Machine;
use std::collections::HashMap;

/// The weights as plain numbers, and what f32 may make of sums with them.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) hidden: usize,
    pub(crate) bias: bool,
    pub(crate) cell: Cell,
    /// `[symbols][I]`
    shown: Vec<Vec<f64>>,
    /// `[G·H][I]`, gate after gate.
    w_in: Vec<Vec<f64>>,
    /// `[G·H]`, the biases beside the symbol.
    b_in: Vec<f64>,
    /// `[G·H][H]`, row: to a sum
    w_rec: Vec<Vec<f64>>,
    /// `[G·H]`, the biases beside the state.
    b: Vec<f64>,
    /// `[O]`
    head: Vec<Output>,
    /// `[G·H]`, the most that the terms of a sum may add up to.
    weight: Vec<f64>,
    /// `[G·H]`, how far the f32 sum before an activation, and ours, may be off.
    error: Vec<f64>,
}

/// An output's sum.
#[derive(Clone, Debug)]
struct Output {
    /// `[H]`
    w: Vec<f64>,
    b: f64,
    /// How far the f32 sum, and ours, may be off.
    error: f64,
}

impl Network {
    /// Reads a network of `cell` for `machine` from its file (safetensors, with PyTorch's names).
    ///
    /// # Errors
    /// [`Error::Network`], with what is wrong with it.
    pub fn read(bytes: &[u8], cell: Cell, machine: &Machine) -> Result<Self, Error> {
        Self::parse(bytes, cell, machine).map_err(Error::Network)
    }

    fn parse(bytes: &[u8], cell: Cell, machine: &Machine) -> Result<Self, String> {
        let file = safetensors::SafeTensors::deserialize(bytes)
            .map_err(|error| format!("cannot be read: {error}"))?;
        let mut tensors = HashMap::new();
        for (name, tensor) in file.tensors() {
            if tensor.dtype() != safetensors::Dtype::F32 {
                return Err(format!("has a `{name}` that is not F32"));
            }
            let (values, _) = tensor.data().as_chunks::<4>();
            let values: Vec<f64> =
                values.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect();
            // With up to 2²⁰ terms below 2¹⁰⁰ no order of summation overflows.
            if !values.iter().all(|value| value.abs() <= 2.0_f64.powi(100)) {
                return Err(format!("has a `{name}` with a value above 2^100"));
            }
            tensors.insert(name, (tensor.shape().to_vec(), values));
        }
        let (inputs, outputs) = (machine.width(), machine.head_outputs());
        let hidden = tensors.get("head.weight").map_or(0, |(_, values)| values.len() / outputs);
        if hidden == 0 || hidden > 1 << 12 {
            return Err(format!("of {hidden} hidden units cannot be checked"));
        }
        let bias = tensors.len() > 3;
        let mut take = |name: &str, shape: &[usize]| match tensors.remove(name) {
            Some((found, values)) if found == shape => Ok(values),
            Some((found, _)) => Err(format!("has a `{name}` of {found:?}, not {shape:?}")),
            None => Err(format!("has no `{name}`")),
        };
        let rows = |values: Vec<f64>, width: usize| -> Vec<Vec<f64>> {
            values.chunks_exact(width).map(<[f64]>::to_vec).collect()
        };
        let sums = cell.gates() * hidden;
        let by_sum = rows(take("weight_ih_l0", &[sums, inputs])?, inputs);
        let w_rec = rows(take("weight_hh_l0", &[sums, hidden])?, hidden);
        let w_out = rows(take("head.weight", &[outputs, hidden])?, hidden);
        let (mut b_in, mut b_rec) = (vec![0.0; sums], vec![0.0; sums]);
        let mut b_out = vec![0.0; outputs];
        if bias {
            b_in = take("bias_ih_l0", &[sums])?;
            b_rec = take("bias_hh_l0", &[sums])?;
            b_out = take("head.bias", &[outputs])?;
        }
        if let Some(name) = tensors.keys().next() {
            return Err(format!("has a `{name}`, of which nothing is known"));
        }
        // I inputs, H states, 2 biases, and some more roundings than there are terms. (A GRU's sum
        // of states is multiplied by a gate, at most 1, before it is added to that of inputs.)
        let unit = (hidden + inputs + 10) as f64 * (1.0 / 16_777_216.0);
        let gamma = unit / (1.0 - unit);
        let error = |magnitude: f64| (magnitude * (gamma + SLACK) + 2.0_f64.powi(-100)).next_up();
        let sum = |values: &[f64]| -> f64 { values.iter().map(|value| value.abs()).sum() };
        // Symbols are shown as values of at most 1, and no state is larger than this.
        let largest = cell.largest();
        let weight: Vec<f64> = (0..sums)
            .map(|j| sum(&by_sum[j]) + largest * sum(&w_rec[j]) + b_in[j].abs() + b_rec[j].abs())
            .collect();
        let head = w_out.into_iter().zip(b_out).map(|(w, b)| Output {
            error: error(largest * sum(&w) + b.abs()),
            w,
            b,
        });
        Ok(Self {
            hidden,
            bias,
            cell,
            error: weight.iter().map(|&weight| error(weight)).collect(),
            weight,
            shown: machine.inputs.clone(),
            w_in: by_sum,
            b_in,
            w_rec,
            b: b_rec,
            head: head.collect(),
        })
    }

    /// H
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// N, the numbers of a state: h, and of an LSTM then c.
    pub fn state_size(&self) -> usize {
        self.cell.state_size(self.hidden)
    }

    /// The products of a step of an abstract state of so many generators.
    pub(crate) fn work(&self) -> usize {
        self.cell.gates() * self.hidden * self.hidden
    }

    /// The largest number of a state that there is.
    pub(crate) fn reach(&self) -> f64 {
        self.cell.domain(1).into_iter().map(|(_, most)| most).fold(0.0, f64::max)
    }

    /// Is all of `state` within the domain, and [`REACH`]?
    pub(crate) fn is_bounded(&self, state: &AbstractState) -> bool {
        let bounds = state.low.iter().zip(&state.high).zip(self.cell.domain(self.hidden));
        let mut within = bounds.map(|((&low, &high), (least, most))| least <= low && high <= most);
        state.is_bounded() && within.all(|within| within)
    }

    /// Whether the network has biases.
    pub fn bias(&self) -> bool {
        self.bias
    }

    /// An enclosure of every state that f32 may make from one of `state`, with one more symbol.
    ///
    /// # Panics
    /// If `state` is of another network.
    pub fn step(&self, state: &AbstractState, symbol: usize) -> AbstractState {
        assert_eq!(state.low.len(), self.state_size(), "numbers of the abstract state");
        self.activate(&self.sums(state), symbol)
    }

    /// An enclosure of the sum of output `n` that f32 may make from one of `state`.
    ///
    /// # Panics
    /// If `state` is of another network, or there is no such output.
    pub fn output(&self, state: &AbstractState, n: usize) -> (f64, f64) {
        assert_eq!(state.low.len(), self.state_size(), "numbers of the abstract state");
        let Output { w, b, error } = &self.head[n];
        let (least, most) = state.range(w);
        let (least, most) = (least + b, most + b);
        ((least - error).next_down(), (most + error).next_up())
    }

    /// By how much the f32 sum that decides for the output `right` is on its right side, at
    /// least, at any of `state`: above 0 or below of a single one (a sigmoid), or above every
    /// other one (softmax).
    pub(crate) fn margin(&self, state: &AbstractState, right: usize) -> f64 {
        if let [_] = self.head[..] {
            let (least, most) = self.output(state, 0);
            return if right == 1 { least } else { -most };
        }
        let ours = &self.head[right];
        let above = |other: &Output| {
            let difference: Vec<f64> = ours.w.iter().zip(&other.w).map(|(a, b)| a - b).collect();
            // The difference is rounded: SLACK times all that is in it.
            let all = ours.w.iter().zip(&other.w).map(|(a, b)| a.abs() + b.abs()).sum::<f64>();
            let slack = SLACK * (all * REACH + ours.b.abs() + other.b.abs());
            let (least, _) = state.range(&difference);
            (least + (ours.b - other.b) - (ours.error + other.error) - slack).next_down()
        };
        let others = self.head.iter().enumerate().filter(|&(n, _)| n != right);
        // f64::min would pass over NaN.
        others.map(|(_, other)| above(other)).fold(f64::MAX, |least, margin| {
            if margin < least || margin.is_nan() { margin } else { least }
        })
    }

    /// The sums before the activations, without the inputs: an affine image of `state`. Behind them,
    /// of a cell with gates, the H numbers of the state that the gates scale: h of a GRU, c of an
    /// LSTM.
    pub(crate) fn sums(&self, state: &AbstractState) -> Sums {
        let kept = match self.cell {
            Cell::Gru => 0..self.hidden,
            Cell::Lstm => self.hidden..2 * self.hidden,
            _ => 0..0,
        };
        let product =
            |v: &[f64], row: &[f64]| -> f64 { v.iter().zip(row).map(|(v, w)| v * w).sum() };
        let image = |v: &[f64]| -> Vec<f64> {
            let sums = self.w_rec.iter().map(|row| product(v, row));
            sums.chain(v[kept.clone()].iter().copied()).collect()
        };
        let mut center = image(&state.center);
        for (center, b) in center.iter_mut().zip(&self.b) {
            *center += b;
        }
        let mut generators: Vec<Vec<f64>> = state.generators.iter().map(|g| image(g)).collect();
        for (k, &own) in state.own.iter().enumerate().filter(|(_, own)| **own != 0.0) {
            let sums = self.w_rec.iter().map(|row| row.get(k).map_or(0.0, |w| own * w));
            let kept = kept.clone().map(|n| if n == k { own } else { 0.0 });
            generators.push(sums.chain(kept).collect());
        }
        let unit =
            |n: usize| -> Vec<f64> { (0..=n).map(|k| if k == n { 1.0 } else { 0.0 }).collect() };
        let sums = self.w_rec.iter().map(|row| state.range(row));
        let ranges = sums.chain(kept.clone().map(|n| state.range(&unit(n)))).collect();
        Sums { center, generators, ranges }
    }

    /// What a symbol, and the bias beside it, add to sum j.
    fn input(&self, symbol: usize, j: usize) -> f64 {
        let product = self.w_in[j].iter().zip(&self.shown[symbol]).map(|(w, x)| w * x);
        product.sum::<f64>() + self.b_in[j]
    }

    /// The states after those sums and one more symbol.
    pub(crate) fn activate(&self, sums: &Sums, symbol: usize) -> AbstractState {
        if self.cell.gates() > 1 {
            return self.apply_gates(sums, symbol);
        }
        let hidden = self.hidden;
        let mut state = AbstractState {
            center: vec![0.0; hidden],
            generators: vec![vec![0.0; hidden]; sums.generators.len()],
            own: vec![0.0; hidden],
            low: vec![0.0; hidden],
            high: vec![0.0; hidden],
        };
        for j in 0..hidden {
            let input = self.input(symbol, j);
            let (least, most) = sums.ranges[j];
            let low = (least + (input + self.b[j]) - self.error[j]).next_down();
            let high = (most + (input + self.b[j]) + self.error[j]).next_up();
            // What f32 may make of any sum in [low, high]: λ·z + offset within `own`, where z is
            // within `error` of the affine image.
            let Activated { low, high, slope, offset, spread, ulp } = self.cell.activate(low, high);
            (state.low[j], state.high[j]) = (low, high);
            state.center[j] = slope * (sums.center[j] + input) + offset;
            for (target, generator) in state.generators.iter_mut().zip(&sums.generators) {
                target[j] = slope * generator[j];
            }
            // The last term is for the roundings of these three lines.
            let rounding = SLACK * (1.0 + slope * REACH * self.weight[j]);
            state.own[j] = (spread + slope * self.error[j] + ulp + rounding).next_up();
        }
        state
    }

    /// [`Network::activate`] for a cell with gates.
    fn apply_gates(&self, sums: &Sums, symbol: usize) -> AbstractState {
        let (hidden, gates, size) = (self.hidden, self.cell.gates(), self.state_size());
        let mut state = AbstractState {
            center: vec![0.0; size],
            generators: vec![vec![0.0; size]; sums.generators.len()],
            own: vec![0.0; size],
            low: vec![0.0; size],
            high: vec![0.0; size],
        };
        for j in 0..hidden {
            let row = |gate: usize| {
                let index = gate * hidden + j;
                let (least, most) = sums.ranges[index];
                let (b, size, error) = match gate < gates {
                    true => (self.b[index], REACH * self.weight[index], self.error[index]),
                    false => (0.0, REACH, 0.0),
                };
                let range = ((least + b).next_down(), (most + b).next_up());
                let (center, generators) = (sums.center[index], &*sums.generators);
                Row { center, index, range, size, error, generators }
            };
            let unit = Unit::new((0..=gates).map(row).collect());
            let inputs: Vec<f64> =
                (0..gates).map(|gate| self.input(symbol, gate * hidden + j)).collect();
            for (block, form) in unit.step(self.cell, &inputs).into_iter().enumerate() {
                let n = block * hidden + j;
                (state.low[n], state.high[n]) = (form.low, form.high);
                let along = |values: &[f64]| -> f64 {
                    let rows = values[j..].iter().step_by(hidden);
                    form.coefficients.iter().zip(rows).map(|(a, value)| a * value).sum()
                };
                state.center[n] = along(&sums.center) + form.offset;
                for (target, generator) in state.generators.iter_mut().zip(&sums.generators) {
                    target[n] = along(generator);
                }
                // The last term is for the roundings of these lines.
                state.own[n] = (form.noise + SLACK * (1.0 + unit.size(&form))).next_up();
            }
        }
        state
    }
}

/// The affine image of an abstract state, and an enclosure of each sum's part of it without
/// biases.
pub(crate) struct Sums {
    center: Vec<f64>,
    generators: Vec<Vec<f64>>,
    ranges: Vec<(f64, f64)>,
}

impl Sums {
    /// How many generators the states with these sums have.
    pub(crate) fn generators(&self) -> usize {
        self.generators.len()
    }
}
