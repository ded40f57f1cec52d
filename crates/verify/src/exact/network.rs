//! The network of a file, weight by weight exactly, and what a step of it makes of a set.

use super::dyadic::{FINE, WEIGHT, divide_up, read, shift, shift_up};
use super::gated::{Form, gru, lstm};
use super::set::{Set, dot, magnitude};
use super::sigmoid::{Bounds, SLOPE};
use super::unit::{Activated, Function, activate, domain};
use crate::cell::Cell;
use crate::machine::Machine;
use num_bigint::BigInt;
use safetensors::{Dtype, SafeTensors};

/// More hidden units than this are not checked.
const MOST_UNITS: usize = 1 << 12;

/// The weights in whole numbers of 2⁻¹⁴⁹, and what f32 may make of sums with them.
pub(super) struct Network {
    pub hidden: usize,
    pub bias: bool,
    cell: Cell,
    /// `[N]`, the least and the largest of each number of a state.
    pub domain: Vec<(i32, i32)>,
    /// `[symbols][I]`, in 2⁻¹⁴⁹.
    shown: Vec<Vec<BigInt>>,
    /// `[G·H][I]`, gate after gate.
    w_in: Vec<Vec<BigInt>>,
    /// `[G·H]`
    b_in: Vec<BigInt>,
    /// `[G·H][H]`, row: to a sum
    w_rec: Vec<Vec<BigInt>>,
    /// `[G·H]`
    b_rec: Vec<BigInt>,
    /// `[O][H]`
    w_out: Vec<Vec<BigInt>>,
    /// `[O]`
    b_out: Vec<BigInt>,
    /// `[G·H]`, how far the f32 sum before an activation may be off, in 2⁻⁹⁶.
    error: Vec<BigInt>,
    /// `[O]`, and of the sums of the outputs.
    out_error: Vec<BigInt>,
}

impl Network {
    /// Reads a network of `cell` for `machine`. The error is the rest of a sentence.
    pub(super) fn read(bytes: &[u8], cell: Cell, machine: &Machine) -> Result<Self, String> {
        let file =
            SafeTensors::deserialize(bytes).map_err(|error| format!("cannot be read: {error}"))?;
        let (inputs, outputs) = (machine.width(), machine.head_outputs());
        let values = file.tensor("head.weight").map_or(0, |head| head.shape().iter().product());
        let hidden: usize = values / outputs;
        if !(1..=MOST_UNITS).contains(&hidden) {
            return Err(format!("of {hidden} hidden units cannot be checked"));
        }
        let tensor = |name: &str, shape: &[usize]| -> Result<Vec<Vec<BigInt>>, String> {
            let tensor = file.tensor(name).map_err(|_| format!("has no `{name}`"))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
                return Err(format!("has a `{name}` that is not F32 of {shape:?}"));
            }
            let (values, _) = tensor.data().as_chunks::<4>();
            let exactly = |bytes: &[u8; 4]| {
                let value = f64::from(f32::from_le_bytes(*bytes));
                (value.abs() <= 2.0_f64.powi(100)).then(|| read(value, WEIGHT))
            };
            let values: Option<Vec<BigInt>> = values.iter().map(exactly).collect();
            let values =
                values.ok_or_else(|| format!("has a `{name}` with a value above 2^100"))?;
            Ok(values.chunks(shape[shape.len() - 1]).map(<[BigInt]>::to_vec).collect())
        };
        let sums = cell.gates() * hidden;
        let w_in = tensor("weight_ih_l0", &[sums, inputs])?;
        let w_rec = tensor("weight_hh_l0", &[sums, hidden])?;
        let w_out = tensor("head.weight", &[outputs, hidden])?;
        let bias = file.len() > 3;
        let vector = |name: &str, length: usize| {
            if bias {
                tensor(name, &[length]).map(|mut rows| rows.remove(0))
            } else {
                Ok(vec![BigInt::ZERO; length])
            }
        };
        let (b_in, b_rec) = (vector("bias_ih_l0", sums)?, vector("bias_hh_l0", sums)?);
        let b_out = vector("head.bias", outputs)?;
        if file.len() > 6 {
            return Err("has more tensors than are known".to_owned());
        }
        // Of n terms, in any order, f32 makes a sum within n·u/(1 − n·u)·Σ|term|, u = 2⁻²⁴.
        // There are I + H + 2 terms or fewer; what subnormal products lose is below 2⁻⁹⁶. (A GRU's
        // sum of states is multiplied by a gate, at most 1, before it is added to that of inputs.)
        let n = BigInt::from(hidden + inputs + 10);
        let error = |sum: BigInt| {
            let rest = (BigInt::from(1) << 24) - &n;
            shift_up(&divide_up(&(sum * &n), &rest), FINE - WEIGHT) + 1
        };
        // Symbols are shown as values of at most 1, and no state is larger than this.
        let domain = domain(cell, hidden);
        let (least, most) = domain[0];
        let largest = most.max(-least);
        let weight = |j: usize| {
            magnitude(&w_in[j])
                + largest * magnitude(&w_rec[j])
                + magnitude(&[b_in[j].clone(), b_rec[j].clone()])
        };
        Ok(Self {
            hidden,
            bias,
            cell,
            domain,
            error: (0..sums).map(|j| error(weight(j))).collect(),
            out_error: w_out
                .iter()
                .zip(&b_out)
                .map(|(w, b)| error(largest * magnitude(w) + magnitude(std::slice::from_ref(b))))
                .collect(),
            shown: (0..machine.symbols().len())
                .map(|symbol| machine.shown(symbol).iter().map(|&x| read(x, WEIGHT)).collect())
                .collect(),
            w_in,
            b_in,
            w_rec,
            b_rec,
            w_out,
            b_out,
        })
    }

    /// G, the sums of a unit.
    pub(super) fn gates(&self) -> usize {
        self.cell.gates()
    }

    /// The numbers of a state that gates scale: h of a GRU, c of an LSTM.
    fn kept(&self) -> std::ops::Range<usize> {
        match self.cell {
            Cell::Gru => 0..self.hidden,
            Cell::Lstm => self.hidden..2 * self.hidden,
            Cell::Sigmoid | Cell::Tanh | Cell::Relu => 0..0,
        }
    }

    /// The sums before the activations, without inputs, of all states in `set`; and the numbers of a
    /// state that gates scale.
    pub(super) fn sums(&self, set: &Set) -> Sums {
        let image = |v: &[BigInt]| self.w_rec.iter().map(|row| dot(row, v)).collect::<Vec<_>>();
        let coarse = |v: Vec<BigInt>| v.iter().map(|v| shift(v, -WEIGHT)).collect::<Vec<_>>();
        let mut generators: Vec<_> = set.generators.iter().map(|g| coarse(image(g))).collect();
        let kept = self.kept();
        let mut kept_generators: Vec<_> =
            set.generators.iter().map(|g| g[kept.clone()].to_vec()).collect();
        for (k, own) in set.own.iter().enumerate().filter(|(_, own)| **own != BigInt::ZERO) {
            let along = |row: &Vec<BigInt>| row.get(k).map_or(BigInt::ZERO, |w| own * w);
            generators.push(coarse(self.w_rec.iter().map(along).collect()));
            let alone = |n: usize| if n == k { own.clone() } else { BigInt::ZERO };
            kept_generators.push(kept.clone().map(alone).collect());
        }
        let biases = self.b_rec.iter().map(|b| b << FINE);
        let range = |(row, b): (&Vec<BigInt>, BigInt)| {
            let (least, most) = set.range(row);
            (least + &b, most + b)
        };
        Sums {
            center: image(&set.center)
                .into_iter()
                .zip(biases.clone())
                .map(|(z, b)| z + b)
                .collect(),
            generators,
            ranges: self.w_rec.iter().zip(biases).map(range).collect(),
            kept_center: set.center[kept.clone()].to_vec(),
            kept_generators,
            kept_ranges: kept.map(|n| set.unit(n)).collect(),
        }
    }

    /// What a symbol adds to sum j, in 2⁻⁽⁹⁶⁺¹⁴⁹⁾: a lower and an upper bound.
    fn input(&self, symbol: usize, j: usize) -> Bounds {
        let sum = dot(&self.w_in[j], &self.shown[symbol]) + (&self.b_in[j] << WEIGHT);
        (shift(&sum, FINE - WEIGHT), shift_up(&sum, FINE - WEIGHT))
    }

    /// A set that holds all that f32 may make of the states with these sums and one more symbol.
    pub(super) fn activate(&self, sums: &Sums, symbol: usize) -> Set {
        let zeros = vec![BigInt::ZERO; self.domain.len()];
        let mut set = Set {
            center: zeros.clone(),
            generators: vec![zeros.clone(); sums.generators.len()],
            own: zeros.clone(),
            low: zeros.clone(),
            high: zeros,
        };
        let Some(function) = Function::of(self.cell) else {
            self.apply_gates(sums, symbol, &mut set);
            return set;
        };
        // Each image of the center or a generator was rounded by less than one unit, the products
        // with the slope below are again, and the input by less than another.
        let rounded = BigInt::from(2 * (sums.generators.len() + 2));
        for j in 0..self.hidden {
            let (input, input_most) = &self.input(symbol, j);
            let (least, most) = &sums.ranges[j];
            let (error, unit) = (&self.error[j], -WEIGHT);
            let low = shift(&(least + input), unit) - error;
            let high = shift_up(&(most + input_most), unit) + error;
            // h = slope·z + offset, within spread, of the sum z that the machine makes, which
            // is within error of the exact one.
            let Activated { low, high, slope, offset, spread, ulps } =
                activate(function, low, high);
            (set.low[j], set.high[j]) = (low, high);
            let center = shift(&(&sums.center[j] + input), unit);
            set.center[j] = shift(&(&slope * center), -SLOPE) + offset;
            for (target, generator) in set.generators.iter_mut().zip(&sums.generators) {
                target[j] = shift(&(&slope * &generator[j]), -SLOPE);
            }
            set.own[j] = spread + shift_up(&(&slope * error), -SLOPE) + ulps + &rounded;
        }
        set
    }

    /// [`Network::activate`] for a cell with gates.
    fn apply_gates(&self, sums: &Sums, symbol: usize, set: &mut Set) {
        let hidden = self.hidden;
        for j in 0..hidden {
            let row = |gate: usize| {
                let index = gate * hidden + j;
                let (least, most) = &sums.ranges[index];
                Form {
                    center: shift(&sums.center[index], -WEIGHT),
                    generators: sums.generators.iter().map(|g| g[index].clone()).collect(),
                    // The center and the generators are each rounded by less than one.
                    noise: BigInt::from(sums.generators.len() + 1),
                    low: shift(least, -WEIGHT),
                    high: shift_up(most, -WEIGHT),
                }
            };
            let (low, high) = sums.kept_ranges[j].clone();
            let state = Form {
                center: sums.kept_center[j].clone(),
                generators: sums.kept_generators.iter().map(|g| g[j].clone()).collect(),
                noise: BigInt::ZERO,
                low,
                high,
            };
            let indices = (0..self.cell.gates()).map(|gate| gate * hidden + j);
            let coarse = |(least, most): Bounds| (shift(&least, -WEIGHT), shift_up(&most, -WEIGHT));
            let inputs: Vec<_> =
                indices.clone().map(|index| coarse(self.input(symbol, index))).collect();
            let errors: Vec<_> = indices.map(|index| self.error[index].clone()).collect();
            let after = match self.cell {
                Cell::Gru => vec![gru([row(0), row(1), row(2), state], &inputs, &errors)],
                _ => lstm([row(0), row(1), row(2), row(3), state], &inputs, &errors).into(),
            };
            for (block, form) in after.into_iter().enumerate() {
                let n = block * hidden + j;
                for (target, generator) in set.generators.iter_mut().zip(form.generators) {
                    target[n] = generator;
                }
                (set.center[n], set.own[n]) = (form.center, form.noise);
                (set.low[n], set.high[n]) = (form.low, form.high);
            }
        }
    }

    /// Is `set` within the states that there are, and for which the errors of sums are computed?
    pub(super) fn is_bounded(&self, set: &Set) -> bool {
        let bounds = set.low.iter().zip(&set.high).zip(&self.domain);
        let whole = |n: i32| BigInt::from(n) << FINE;
        bounds
            .into_iter()
            .all(|((low, high), &(least, most))| whole(least) <= *low && *high <= whole(most))
    }

    /// The largest number of a state that there is.
    pub(super) fn reach(&self) -> i32 {
        self.domain.iter().map(|&(_, most)| most).max().expect("a unit")
    }

    /// By how much the f32 sum that decides for the output `right` is on its right side, at
    /// least, at any state in `set`: above 0 or below of a single one, or above every other one.
    pub(super) fn margin(&self, set: &Set, right: usize) -> BigInt {
        let least = |w: &[BigInt], b: &BigInt, error: &BigInt| {
            shift(&(set.range(w).0 + (b << FINE)), -WEIGHT) - error
        };
        let less = |a: &[BigInt], b: &[BigInt]| -> Vec<BigInt> {
            a.iter().zip(b).map(|(a, b)| a - b).collect()
        };
        let (w, b, error) = (&self.w_out, &self.b_out, &self.out_error);
        if w.len() == 1 {
            let (w, b) = if right == 1 {
                (w[0].clone(), b[0].clone())
            } else {
                (less(&vec![BigInt::ZERO; self.hidden], &w[0]), -&b[0])
            };
            return least(&w, &b, &error[0]);
        }
        let others = (0..w.len()).filter(|&other| other != right);
        let above = others.map(|other| {
            let difference = less(&w[right], &w[other]);
            least(&difference, &(&b[right] - &b[other]), &(&error[right] + &error[other]))
        });
        above.min().expect("two outputs or more")
    }
}

/// The sums of a set of states.
pub(super) struct Sums {
    /// `[G·H]`, in 2⁻⁽⁹⁶⁺¹⁴⁹⁾.
    center: Vec<BigInt>,
    /// Rows of `[G·H]`, in 2⁻⁹⁶, rounded down.
    generators: Vec<Vec<BigInt>>,
    /// `[G·H]`, in 2⁻⁽⁹⁶⁺¹⁴⁹⁾.
    ranges: Vec<Bounds>,
    /// `[H]` of a cell with gates, in 2⁻⁹⁶: the numbers of the state that gates scale.
    kept_center: Vec<BigInt>,
    /// Rows of `[H]`.
    kept_generators: Vec<Vec<BigInt>>,
    /// `[H]`
    kept_ranges: Vec<Bounds>,
}

impl Sums {
    /// How many generators the states with these sums have.
    pub(super) fn generators(&self) -> usize {
        self.generators.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::dyadic::{approximate, read_up};
    use super::*;
    use crate::abstract_state::AbstractState;
    use crate::network;
    use proptest::prelude::*;
    use safetensors::tensor::TensorView;

    /// The weights of two units of `gates` (G) sums, with biases and `outputs` (O) outputs, one
    /// after the other.
    struct Weights<'a> {
        values: &'a [f32],
        gates: usize,
        outputs: usize,
    }

    impl Weights<'_> {
        /// The names of the tensors, where each begins, and its shape.
        fn tensors(&self) -> Vec<(&'static str, usize, Vec<usize>)> {
            let (sums, outputs) = (2 * self.gates, self.outputs);
            let shapes = [
                ("weight_ih_l0", vec![sums, 2]),
                ("weight_hh_l0", vec![sums, 2]),
                ("bias_ih_l0", vec![sums]),
                ("bias_hh_l0", vec![sums]),
                ("head.weight", vec![outputs, 2]),
                ("head.bias", vec![outputs]),
            ];
            let mut from = 0;
            let with_place = |(name, shape): (&'static str, Vec<usize>)| {
                let begin = from;
                from += shape.iter().product::<usize>();
                (name, begin, shape)
            };
            shapes.into_iter().map(with_place).collect()
        }

        fn file(&self) -> Vec<u8> {
            let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let views = self.tensors().into_iter().map(|(name, begin, shape)| {
                let length: usize = shape.iter().product();
                let data = &bytes[4 * begin..4 * (begin + length)];
                (name, TensorView::new(Dtype::F32, shape, data).unwrap())
            });
            safetensors::serialize(views, None).unwrap()
        }

        /// Row `row` of a tensor times x, and x is two numbers; or number `row` of a vector.
        fn times(&self, tensor: usize, row: usize, x: [f32; 2]) -> f32 {
            let w = &self.values[self.tensors()[tensor].1 + 2 * row..];
            x[0] * w[0] + x[1] * w[1]
        }

        fn bias(&self, tensor: usize, row: usize) -> f32 {
            self.values[self.tensors()[tensor].1 + row]
        }

        /// A step in f32 in plain code, as PyTorch defines it: h, and of an LSTM c.
        fn step(&self, cell: Cell, h: [f32; 2], c: [f32; 2], x: [f32; 2]) -> [[f32; 2]; 2] {
            let of_x =
                |gate: usize, j: usize| self.times(0, 2 * gate + j, x) + self.bias(2, 2 * gate + j);
            let of_h =
                |gate: usize, j: usize| self.times(1, 2 * gate + j, h) + self.bias(3, 2 * gate + j);
            let sigmoid = |z: f32| (1.0 / (1.0 + (-f64::from(z)).exp())) as f32;
            let tanh = |z: f32| f64::from(z).tanh() as f32;
            let after = [0, 1].map(|j| {
                let sum = |gate: usize| of_x(gate, j) + of_h(gate, j);
                match cell {
                    Cell::Sigmoid => [sigmoid(sum(0)), 0.0],
                    Cell::Tanh => [tanh(sum(0)), 0.0],
                    Cell::Relu => [sum(0).max(0.0), 0.0],
                    Cell::Gru => {
                        let (r, z) = (sigmoid(sum(0)), sigmoid(sum(1)));
                        let n = tanh(of_x(2, j) + r * of_h(2, j));
                        [(1.0 - z) * n + z * h[j], 0.0]
                    }
                    Cell::Lstm => {
                        let (i, f, g, o) =
                            (sigmoid(sum(0)), sigmoid(sum(1)), tanh(sum(2)), sigmoid(sum(3)));
                        let c = f * c[j] + i * g;
                        [o * tanh(c), c]
                    }
                }
            });
            [0, 1].map(|n| after.map(|of_unit| of_unit[n]))
        }
    }

    /// The symbols of addition, with 2 outputs (a sigmoid) or 3 (a softmax).
    fn machine(outputs: usize) -> Machine {
        let mut table = crate::machine::Table::from(Machine::addition());
        table.outputs = (0..outputs).map(|n| n.to_string()).collect();
        Machine::try_from(table).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// What f32 makes of any state of a set, in plain code, is in the set after it.
        #[test]
        fn steps_in_f32_stay_in_the_sets(
            weights in prop::collection::vec(-20.0..20.0_f32, 57),
            cell in prop::sample::select(Cell::ALL.to_vec()),
            small in 0.02..1.0_f32,
            low in prop::array::uniform4(0.0..0.9_f32),
            width in prop_oneof![Just(0.0_f32), 0.0..0.1_f32],
            shares in prop::array::uniform4(0.0..=1.0_f32),
            pairs in prop::collection::vec(0_u32..4, 1..5),
            outputs in prop::sample::select(vec![1_usize, 3]),
        ) {
            let values: Vec<f32> = weights.iter().map(|w| w * small).collect();
            let weights = Weights { values: &values, gates: cell.gates(), outputs };
            let machine = machine(if outputs == 1 { 2 } else { outputs });
            let network = Network::read(&weights.file(), cell, &machine).unwrap();
            let size = network.domain.len();
            let state: Vec<f32> = (0..size).map(|n| low[n] + shares[n] * width).collect();
            let (mut h, mut c) = ([state[0], state[1]], [0.0; 2]);
            if size == 4 {
                c = [state[2], state[3]];
            }
            let bounds: Vec<_> = (0..size).map(|j| (read(f64::from(low[j]), FINE), read_up(f64::from(low[j] + width), FINE))).collect();
            let mut set = Set {
                center: bounds.iter().map(|(low, _)| low.clone()).collect(),
                generators: Vec::new(),
                own: bounds.iter().map(|(low, high)| high - low).collect(),
                low: bounds.iter().map(|(low, _)| low.clone()).collect(),
                high: bounds.iter().map(|(_, high)| high.clone()).collect(),
            };
            for pair in pairs {
                [h, c] = weights.step(cell, h, c, [(pair / 2) as f32, (pair % 2) as f32]);
                set = network.activate(&network.sums(&set), pair as usize);
                if !network.is_bounded(&set) {
                    break;
                }
                let state: Vec<BigInt> = h.iter().chain(&c).take(size).map(|&x| read(f64::from(x), FINE)).collect();
                for (j, x) in state.iter().enumerate() {
                    prop_assert!(set.low[j] <= *x && *x <= set.high[j], "{j} {:?}", x);
                }
                // and along other directions, where units move together
                for w in [[1, -1, 0, 0], [1, 1, 0, 0], [2, 1, -1, 1], [1, 0, -1, 0]] {
                    let w: Vec<BigInt> = w[..size].iter().map(|&w| BigInt::from(w)).collect();
                    let (least, most) = set.range(&w);
                    let value = dot(&w, &state);
                    prop_assert!(least <= value && value <= most, "{w:?}");
                }
                let sums: Vec<f32> = (0..outputs).map(|n| weights.times(4, n, h) + weights.bias(5, n)).collect();
                let margin = |right: usize| approximate(&network.margin(&set, right));
                if let [output] = sums[..] {
                    prop_assert!(margin(1) <= f64::from(output) && margin(0) <= f64::from(-output));
                } else {
                    for right in 0..outputs {
                        let others = (0..outputs).filter(|&n| n != right);
                        let above = others.map(|n| f64::from(sums[right]) - f64::from(sums[n]));
                        prop_assert!(margin(right) <= above.fold(f64::MAX, f64::min));
                    }
                }
            }
        }

        /// Both modes see the same step of a point: nothing but what f32 may make of it.
        #[test]
        fn a_step_is_that_of_the_float_mode(
            weights in prop::collection::vec(-6.0..6.0_f32, 57),
            cell in prop::sample::select(Cell::ALL.to_vec()),
            symbol in 0..4_usize,
        ) {
            let weights = Weights { values: &weights, gates: cell.gates(), outputs: 1 };
            let file = weights.file();
            let exact = Network::read(&file, cell, &machine(2)).unwrap();
            let float = network::Network::read(&file, cell, &machine(2)).unwrap();
            let zeros = vec![BigInt::ZERO; exact.domain.len()];
            let mut set = Set {
                center: zeros.clone(), generators: Vec::new(), own: zeros.clone(), low: zeros.clone(), high: zeros,
            };
            let mut state = AbstractState::origin(exact.domain.len());
            for _ in 0..2 {
                set = exact.activate(&exact.sums(&set), symbol);
                state = float.step(&state, symbol);
                for n in 0..exact.domain.len() {
                    for (exact, float) in [(&set.low[n], state.low[n]), (&set.high[n], state.high[n]), (&set.own[n], state.own[n])] {
                        let exact = approximate(exact);
                        prop_assert!((exact - float).abs() < 1e-4 * (1.0 + float.abs()), "{cell:?} {n} {exact} {float}");
                    }
                }
            }
        }
    }
}
