//! A unit of a cell with gates, on an abstract state: affine forms of what it computes.
//!
//! ```text
//! form   every value that f32 may make is within `noise` of Σ_k coefficient_k·row_k + offset,
//!        and between `low` and `high`; row_k is a sum of the unit (one for each gate) over the
//!        real state, or the number of the state that its gates scale
//! GRU    r = σ(r)   z = σ(z)   n = tanh(x_n + r·n)   h = n + z·(h − n)
//! LSTM   i = σ(i)   f = σ(f)   g = tanh(g)   o = σ(o)   c = f·c + i·g   h = o·tanh(c)
//! ```
//!
//! With x₀ and y₀ the middles of two intervals and r, s how far they reach,
//! `x·y = y₀·x + x₀·y − x₀·y₀ + (x − x₀)(y − y₀)`, whose last term is within r·s of 0.
//!
//! Each operation adds [`SLACK`] times all that is in it, for the rounding of these very lines:
//! it takes some ten operations in f64, each off by 2⁻⁵³ of that.

use crate::abstract_state::SLACK;
use crate::cell::{Activated, Cell, sigmoid_unit, tanh_unit};
use std::array;

/// The most rows of a unit: four sums, and a number of the state.
const ROWS: usize = 5;
/// u, half a unit in the last place of 1, in f32.
const HALF_ULP: f64 = 1.0 / 16_777_216.0;
/// More than underflow and the flush of subnormal numbers to 0 take from a value.
const TINY: f64 = 1e-37;

/// What is known of the rows of a unit.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    /// The middle of the row's affine form.
    pub center: f64,
    /// Where the row is; the generators are elsewhere, as rows of all units.
    pub index: usize,
    /// The row is between these …
    pub range: (f64, f64),
    /// … and no value of its form is larger than this.
    pub size: f64,
    /// How far f32 sums, and ours, may be off.
    pub error: f64,
    /// `[generators][rows]`
    pub generators: &'a [Vec<f64>],
}

/// A value of a unit.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Of the unit's rows.
    pub coefficients: [f64; ROWS],
    pub offset: f64,
    pub noise: f64,
    pub low: f64,
    pub high: f64,
}

impl Form {
    fn middle(&self) -> f64 {
        0.5 * (self.low + self.high)
    }

    /// How far the value may be from the middle.
    fn radius(&self) -> f64 {
        let middle = self.middle();
        (self.high - middle).next_up().max((middle - self.low).next_up())
    }

    fn largest(&self) -> f64 {
        self.high.abs().max(self.low.abs())
    }

    /// The value rounded, where that may move it by `error`.
    fn rounded(mut self, error: f64) -> Self {
        self.noise += error;
        self.low = (self.low - error).next_down();
        self.high = (self.high + error).next_up();
        self
    }
}

/// A unit: its rows, of which a form is made.
pub(crate) struct Unit<'a> {
    rows: Vec<Row<'a>>,
}

impl<'a> Unit<'a> {
    pub fn new(rows: Vec<Row<'a>>) -> Self {
        assert!(rows.len() <= ROWS, "rows of a unit");
        Self { rows }
    }

    /// The states after the step: of a GRU h, of an LSTM h and c. `inputs` are what the symbol
    /// adds to the sums.
    pub fn step(&self, cell: Cell, inputs: &[f64]) -> Vec<Form> {
        match cell {
            Cell::Gru => vec![self.gru(inputs)],
            Cell::Lstm => self.lstm(inputs).into(),
            _ => panic!("{} units have no gates", cell.units()),
        }
    }

    /// The biases inside `r·n` are in the row, those outside in the input.
    fn gru(&self, inputs: &[f64]) -> Form {
        let r = self.activate(sigmoid_unit, &self.sum(0, inputs[0]));
        let z = self.activate(sigmoid_unit, &self.sum(1, inputs[1]));
        // The whole of the sum's error is in the argument of tanh: |r| ≤ 1.
        let inside = self.times(&r, &self.exact(2));
        let argument = self.plus_number(inside, inputs[2]).rounded(self.rows[2].error);
        let n = self.activate(tanh_unit, &self.tightened(argument));
        let h = self.mix(&z, &n, &self.exact(3));
        // h − n, its product with z and the sum with n are each rounded.
        let difference = self.exact(3).largest() + n.largest();
        let error = HALF_ULP * (2.0 * difference + h.largest());
        h.rounded(error * 1.01 + TINY)
    }

    fn lstm(&self, inputs: &[f64]) -> [Form; 2] {
        let gate = |n: usize| self.activate(sigmoid_unit, &self.sum(n, inputs[n]));
        let (i, f, o) = (gate(0), gate(1), gate(3));
        let g = self.activate(tanh_unit, &self.sum(2, inputs[2]));
        let (kept, new) = (self.times(&f, &self.exact(4)), self.times(&i, &g));
        // Both products and their sum are rounded.
        let error = HALF_ULP * 2.0 * (kept.largest() + new.largest());
        let c = self.tightened(self.plus(&kept, &new).rounded(error * 1.01 + TINY));
        let h = self.times(&o, &self.activate(tanh_unit, &c));
        // |o| and |tanh c| are at most 1 in f32, and so is their product.
        let mut h = h.rounded(HALF_ULP * 1.01 + TINY);
        (h.low, h.high) = (h.low.max(-1.0), h.high.min(1.0));
        [h, c]
    }

    /// The real value of a row.
    fn exact(&self, row: usize) -> Form {
        let Row { range: (low, high), size, .. } = self.rows[row];
        let slack = SLACK * size;
        let coefficients = array::from_fn(|n| if n == row { 1.0 } else { 0.0 });
        // Of an empty abstract state, as only a forged one is, the bounds may be exchanged: any
        // interval encloses nothing.
        let (low, high) = (low.min(high) - slack, low.max(high) + slack);
        Form { coefficients, offset: 0.0, noise: slack, low, high }
    }

    /// The f32 value of a row with an input.
    fn sum(&self, row: usize, input: f64) -> Form {
        self.plus_number(self.exact(row), input).rounded(self.rows[row].error)
    }

    /// All that is in a form.
    pub fn size(&self, form: &Form) -> f64 {
        let rows = form.coefficients.iter().zip(&self.rows);
        rows.map(|(a, row)| a.abs() * row.size).sum::<f64>() + form.offset.abs() + form.noise
    }

    fn plus_number(&self, mut form: Form, number: f64) -> Form {
        form.offset += number;
        form.low += number;
        form.high += number;
        let slack = SLACK * (self.size(&form) + number.abs());
        form.rounded(slack)
    }

    fn plus(&self, a: &Form, b: &Form) -> Form {
        let sum = Form {
            coefficients: array::from_fn(|k| a.coefficients[k] + b.coefficients[k]),
            offset: a.offset + b.offset,
            noise: a.noise + b.noise,
            low: a.low + b.low,
            high: a.high + b.high,
        };
        sum.rounded(SLACK * (self.size(a) + self.size(b)))
    }

    fn times(&self, a: &Form, b: &Form) -> Form {
        let (x, y) = (a.middle(), b.middle());
        let ends = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
        let low = ends.into_iter().fold(f64::MAX, f64::min);
        let high = ends.into_iter().fold(f64::MIN, f64::max);
        let product = Form {
            coefficients: array::from_fn(|k| y * a.coefficients[k] + x * b.coefficients[k]),
            offset: y * a.offset + x * b.offset - x * y,
            noise: y.abs() * a.noise + x.abs() * b.noise + a.radius() * b.radius(),
            low,
            high,
        };
        let all = y.abs() * self.size(a) + x.abs() * self.size(b) + (x * y).abs();
        product.rounded(SLACK * (all + a.radius() * b.radius()))
    }

    /// `n + z·(h − n)`, a mean of n and h for z in [0, 1].
    fn mix(&self, z: &Form, n: &Form, h: &Form) -> Form {
        let difference = Form {
            coefficients: array::from_fn(|k| h.coefficients[k] - n.coefficients[k]),
            offset: h.offset - n.offset,
            noise: h.noise + n.noise,
            low: h.low - n.high,
            high: h.high - n.low,
        };
        let all = self.size(h) + self.size(n);
        let difference = self.tightened(difference.rounded(SLACK * all));
        let (x, y) = (z.middle(), difference.middle());
        let share = 1.0 - x;
        // It grows with n and h, and is linear in z.
        let at = |z: f64, n: f64, h: f64| (1.0 - z) * n + z * h;
        let low = at(z.low, n.low, h.low).min(at(z.high, n.low, h.low));
        let high = at(z.low, n.high, h.high).max(at(z.high, n.high, h.high));
        let products = z.radius() * difference.radius();
        let mixed = Form {
            coefficients: array::from_fn(|k| {
                share * n.coefficients[k] + x * h.coefficients[k] + y * z.coefficients[k]
            }),
            offset: share * n.offset + x * h.offset + y * z.offset - x * y,
            noise: share.abs() * n.noise + x.abs() * h.noise + y.abs() * z.noise + products,
            low,
            high,
        };
        let all = all + y.abs() * self.size(z) + (x * y).abs() + products;
        mixed.rounded(SLACK * all)
    }

    fn activate(&self, unit: impl Fn(f64, f64) -> Activated, sum: &Form) -> Form {
        let Activated { low, high, slope, offset, spread, ulp } = unit(sum.low, sum.high);
        let slack = SLACK * (slope * self.size(sum) + offset.abs() + 1.0);
        Form {
            coefficients: sum.coefficients.map(|a| slope * a),
            offset: slope * sum.offset + offset,
            noise: slope * sum.noise + spread + ulp + slack,
            low,
            high,
        }
    }

    /// Its affine form may say more than the bounds say.
    fn tightened(&self, mut form: Form) -> Form {
        let (mut center, mut radius) = (form.offset, form.noise + SLACK * self.size(&form));
        for (a, row) in form.coefficients.iter().zip(&self.rows) {
            center += a * row.center;
        }
        for n in 0..self.rows.first().map_or(0, |row| row.generators.len()) {
            let terms = form.coefficients.iter().zip(&self.rows);
            radius += terms.map(|(a, row)| a * row.generators[n][row.index]).sum::<f64>().abs();
        }
        let (low, high) = (
            form.low.max((center - radius).next_down()),
            form.high.min((center + radius).next_up()),
        );
        (form.low, form.high) = (low.min(high), low.max(high));
        form
    }
}

#[cfg(test)]
mod tests {
    use crate::abstract_state::AbstractState;
    use crate::cell::Cell;
    use crate::machine::Machine;
    use crate::network::Network;
    use proptest::prelude::*;

    /// A network of `hidden` units for addition, its weights taken from `draw`, as a file.
    fn file(cell: Cell, hidden: usize, bias: bool, draw: &mut impl FnMut() -> f32) -> Vec<u8> {
        let sums = cell.gates() * hidden;
        let mut shapes = vec![
            ("weight_ih_l0", vec![sums, 2]),
            ("weight_hh_l0", vec![sums, hidden]),
            ("head.weight", vec![1, hidden]),
        ];
        if bias {
            shapes.extend([
                ("bias_ih_l0", vec![sums]),
                ("bias_hh_l0", vec![sums]),
                ("head.bias", vec![1]),
            ]);
        }
        let tensors: Vec<(&str, Vec<usize>, Vec<u8>)> = shapes
            .into_iter()
            .map(|(name, shape)| {
                let count = shape.iter().product();
                let bytes = (0..count).flat_map(|_| draw().to_le_bytes()).collect();
                (name, shape, bytes)
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let f32s = safetensors::Dtype::F32;
            (*name, safetensors::tensor::TensorView::new(f32s, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    /// The step in f64, from the definition of PyTorch, with plain loops: h, and of an LSTM then c.
    fn step(cell: Cell, bytes: &[u8], state: &[f64], x: [f64; 2]) -> Vec<f64> {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let values = |name: &str| -> Vec<f64> {
            let Ok(tensor) = file.tensor(name) else { return Vec::new() };
            let (values, _) = tensor.data().as_chunks::<4>();
            values.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
        };
        let hidden = state.len() / if cell == Cell::Lstm { 2 } else { 1 };
        let (w_ih, w_hh) = (values("weight_ih_l0"), values("weight_hh_l0"));
        let (b_ih, b_hh) = (values("bias_ih_l0"), values("bias_hh_l0"));
        let bias = |b: &[f64], row: usize| b.get(row).copied().unwrap_or(0.0);
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let mut next = vec![0.0; state.len()];
        for j in 0..hidden {
            let of_x = |gate: usize| {
                let row = gate * hidden + j;
                w_ih[2 * row] * x[0] + w_ih[2 * row + 1] * x[1] + bias(&b_ih, row)
            };
            let of_h = |gate: usize| {
                let row = gate * hidden + j;
                let products = (0..hidden).map(|k| w_hh[row * hidden + k] * state[k]);
                products.sum::<f64>() + bias(&b_hh, row)
            };
            if cell == Cell::Gru {
                let (r, z) = (sigmoid(of_x(0) + of_h(0)), sigmoid(of_x(1) + of_h(1)));
                let n = (of_x(2) + r * of_h(2)).tanh();
                next[j] = (1.0 - z) * n + z * state[j];
            } else {
                let sum = |gate: usize| of_x(gate) + of_h(gate);
                let (i, f, o) = (sigmoid(sum(0)), sigmoid(sum(1)), sigmoid(sum(3)));
                let c = f * state[hidden + j] + i * sum(2).tanh();
                (next[j], next[hidden + j]) = (o * c.tanh(), c);
            }
        }
        next
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Every point of an abstract state goes to one that the next has at the same places of its
        /// generators, up to what is its own; and into its box.
        #[test]
        fn a_step_of_every_point_lies_in_the_step_of_the_abstract_state(
            gru in any::<bool>(), hidden in 1..6_usize, bias in any::<bool>(), symbol in 0..4_usize,
            scale in prop_oneof![0.1..1.0_f64, 1.0..6.0_f64], width in prop_oneof![0.0..0.01_f64, 0.0..0.6_f64],
            seed in any::<u64>(), columns in 0..4_usize,
        ) {
            let cell = if gru { Cell::Gru } else { Cell::Lstm };
            let mut state = seed | 1;
            let mut uniform = move || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 11) as f64 / 2.0_f64.powi(52) - 1.0
            };
            let bytes = file(cell, hidden, bias, &mut || (scale * uniform()) as f32);
            let machine = Machine::addition();
            let network = Network::read(&bytes, cell, &machine).unwrap();
            let size = cell.state_size(hidden);
            let reach = |n: usize| if n < hidden { 1.0 } else { 2.0 };
            // a box around the zonotope, which cuts some of it off
            let center: Vec<f64> = (0..size).map(|n| 0.6 * reach(n) * uniform()).collect();
            let own: Vec<f64> = (0..size).map(|_| width * uniform().abs()).collect();
            let mut vector = || (0..size).map(|_| width * uniform()).collect::<Vec<f64>>();
            let generators: Vec<Vec<f64>> = (0..columns).map(|_| vector()).collect();
            let low = (0..size).map(|n| (center[n] - width).max(-reach(n))).collect();
            let high = (0..size).map(|n| (center[n] + width).min(reach(n))).collect();
            let state = AbstractState { center, generators, own, low, high };
            let next = network.step(&state, symbol);
            let x = [(symbol >> 1) as f64, (symbol & 1) as f64];
            let mut inside = 0;
            for _ in 0..60 {
                let mut shares = || if uniform() > 0.5 { uniform() } else { uniform().signum() };
                let along: Vec<f64> = (0..columns).map(|_| shares()).collect();
                let alone: Vec<f64> = (0..size).map(|_| shares()).collect();
                let point: Vec<f64> = (0..size).map(|n| {
                    let sum = |(g, e): (&Vec<f64>, &f64)| g[n] * e;
                    let all: f64 = state.generators.iter().zip(&along).map(sum).sum();
                    state.center[n] + all + state.own[n] * alone[n]
                }).collect();
                if (0..size).any(|n| point[n] < state.low[n] || point[n] > state.high[n]) {
                    continue;
                }
                inside += 1;
                let after = step(cell, &bytes, &point, x);
                // Of the next state the first generators go on, and then come those that were alone.
                let alone = alone.iter().zip(&state.own).filter(|(_, own)| **own != 0.0);
                let shares: Vec<f64> = along.into_iter().chain(alone.map(|(e, _)| *e)).collect();
                prop_assert_eq!(shares.len(), next.generators.len());
                for n in 0..size {
                    prop_assert!(next.low[n] <= after[n] && after[n] <= next.high[n]);
                    let sum = |(g, e): (&Vec<f64>, &f64)| g[n] * e;
                    let all: f64 = next.generators.iter().zip(&shares).map(sum).sum();
                    let off = (after[n] - next.center[n] - all).abs();
                    prop_assert!(off <= next.own[n], "{:?} {} {} {}", cell, n, off, next.own[n]);
                }
            }
            prop_assert!(inside > 0 || columns > 0);
        }
    }

    /// Of a point nothing is left but what f32 may make of it.
    #[test]
    fn a_step_of_a_point_is_as_narrow_as_f32() {
        for cell in [Cell::Gru, Cell::Lstm] {
            let mut n = 0;
            let mut draw = || {
                n += 1;
                ((n * 37 % 101) as f32 - 50.0) / 40.0
            };
            let bytes = file(cell, 7, true, &mut draw);
            let network = Network::read(&bytes, cell, &Machine::addition()).unwrap();
            let next = network.step(&AbstractState::origin(network.state_size()), 3);
            let after = step(cell, &bytes, &vec![0.0; network.state_size()], [1.0, 1.0]);
            for (n, &after) in after.iter().enumerate() {
                let (low, high, own) = (next.low[n], next.high[n], next.own[n]);
                assert!(low <= after && after <= high && high - low < 2e-5, "{cell:?} {n}");
                assert!((next.center[n] - after).abs() <= own && own < 2e-5, "{cell:?} {n}");
            }
        }
    }
}
