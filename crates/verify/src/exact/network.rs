//! The network of a file, weight by weight exactly, and what a step of it makes of a set.

use super::dyadic::{FINE, WEIGHT, divide_up, read, shift, shift_up};
use super::set::{Set, dot, magnitude};
use super::sigmoid::SLOPE;
use super::unit::{Activated, activate, domain};
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
    /// `[symbols][I]`, in 2⁻¹⁴⁹.
    shown: Vec<Vec<BigInt>>,
    /// `[H][I]`
    w_in: Vec<Vec<BigInt>>,
    /// `[H]`, the sum of both.
    b: Vec<BigInt>,
    /// `[H][H]`, row: to unit
    w_rec: Vec<Vec<BigInt>>,
    /// `[O][H]`
    w_out: Vec<Vec<BigInt>>,
    /// `[O]`
    b_out: Vec<BigInt>,
    /// `[H]`, how far the f32 sum before an activation may be off, in 2⁻⁹⁶.
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
        let w_in = tensor("weight_ih_l0", &[hidden, inputs])?;
        let w_rec = tensor("weight_hh_l0", &[hidden, hidden])?;
        let w_out = tensor("head.weight", &[outputs, hidden])?;
        let bias = file.len() > 3;
        let vector = |name: &str, length: usize| {
            if bias {
                tensor(name, &[length]).map(|mut rows| rows.remove(0))
            } else {
                Ok(vec![BigInt::ZERO; length])
            }
        };
        let (b_in, b_rec) = (vector("bias_ih_l0", hidden)?, vector("bias_hh_l0", hidden)?);
        let b_out = vector("head.bias", outputs)?;
        if file.len() > 6 {
            return Err("has more tensors than are known".to_owned());
        }
        // Of n terms, in any order, f32 makes a sum within n·u/(1 − n·u)·Σ|term|, u = 2⁻²⁴.
        // There are I + H + 2 terms or fewer; what subnormal products lose is below 2⁻⁹⁶.
        let n = BigInt::from(hidden + inputs + 10);
        let error = |sum: BigInt| {
            let rest = (BigInt::from(1) << 24) - &n;
            shift_up(&divide_up(&(sum * &n), &rest), FINE - WEIGHT) + 1
        };
        // Symbols are shown as values of at most 1, and no state is larger than this.
        let (least, most) = domain(cell);
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
            error: (0..hidden).map(|j| error(weight(j))).collect(),
            out_error: w_out
                .iter()
                .zip(&b_out)
                .map(|(w, b)| error(largest * magnitude(w) + magnitude(std::slice::from_ref(b))))
                .collect(),
            shown: (0..machine.symbols().len())
                .map(|symbol| machine.shown(symbol).iter().map(|&x| read(x, WEIGHT)).collect())
                .collect(),
            b: b_in.iter().zip(&b_rec).map(|(a, b)| a + b).collect(),
            w_in,
            w_rec,
            w_out,
            b_out,
        })
    }

    /// The sums before the activations, without inputs, of all states in `set`.
    pub(super) fn sums(&self, set: &Set) -> Sums {
        let image = |v: &[BigInt]| self.w_rec.iter().map(|row| dot(row, v)).collect::<Vec<_>>();
        let coarse = |v: Vec<BigInt>| v.iter().map(|v| shift(v, -WEIGHT)).collect::<Vec<_>>();
        let mut generators: Vec<_> = set.generators.iter().map(|g| coarse(image(g))).collect();
        for (k, own) in set.own.iter().enumerate().filter(|(_, own)| **own != BigInt::ZERO) {
            generators.push(coarse(self.w_rec.iter().map(|row| own * &row[k]).collect()));
        }
        let ranges = self.w_rec.iter().map(|row| set.range(row)).collect();
        Sums { center: image(&set.center), generators, ranges }
    }

    /// What a symbol adds to the sum of unit j, with both biases, in 2⁻⁽⁹⁶⁺¹⁴⁹⁾: a lower and an
    /// upper bound.
    fn input(&self, symbol: usize, j: usize) -> (BigInt, BigInt) {
        let sum = dot(&self.w_in[j], &self.shown[symbol]) + (&self.b[j] << WEIGHT);
        (shift(&sum, FINE - WEIGHT), shift_up(&sum, FINE - WEIGHT))
    }

    /// A set that holds all that f32 may make of the states with these sums and one more symbol.
    pub(super) fn activate(&self, sums: &Sums, symbol: usize) -> Set {
        let zeros = vec![BigInt::ZERO; self.hidden];
        let mut set = Set {
            center: zeros.clone(),
            generators: vec![zeros.clone(); sums.generators.len()],
            own: zeros.clone(),
            low: zeros.clone(),
            high: zeros,
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
            let unit_of = activate(self.cell, low, high);
            let Activated { low, high, slope, offset, spread, ulps } = unit_of;
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

    /// Is `set` within the states for which the errors of sums are computed? Of a ReLU a state
    /// may be too large.
    pub(super) fn is_bounded(&self, set: &Set) -> bool {
        let most = BigInt::from(domain(self.cell).1) << FINE;
        set.high.iter().all(|high| *high <= most)
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
    /// `[H]`, in 2⁻⁽⁹⁶⁺¹⁴⁹⁾.
    center: Vec<BigInt>,
    /// Rows of `[H]`, in 2⁻⁹⁶, rounded down.
    generators: Vec<Vec<BigInt>>,
    /// `[H]`, in 2⁻⁽⁹⁶⁺¹⁴⁹⁾.
    ranges: Vec<(BigInt, BigInt)>,
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
    use proptest::prelude::*;
    use safetensors::tensor::TensorView;

    /// Two units with biases and `outputs` outputs, as a file.
    fn file(weights: &[f32; 21], outputs: usize) -> Vec<u8> {
        let bytes: Vec<u8> = weights.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensors = [
            ("weight_ih_l0", 0..4, vec![2, 2]),
            ("weight_hh_l0", 4..8, vec![2, 2]),
            ("bias_ih_l0", 8..10, vec![2]),
            ("bias_hh_l0", 10..12, vec![2]),
            ("head.weight", 12..12 + 2 * outputs, vec![outputs, 2]),
            ("head.bias", 18..18 + outputs, vec![outputs]),
        ];
        let views = tensors.into_iter().map(|(name, range, shape)| {
            let data = &bytes[4 * range.start..4 * range.end];
            (name, TensorView::new(Dtype::F32, shape, data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    /// The symbols of addition, with 2 outputs (a sigmoid) or 3 (a softmax).
    fn machine(outputs: usize) -> Machine {
        let mut table = crate::machine::Table::from(Machine::addition());
        table.outputs = (0..outputs).map(|n| n.to_string()).collect();
        Machine::try_from(table).unwrap()
    }

    /// What f32 makes of a sum, in plain code.
    fn unit(cell: Cell, z: f32) -> f32 {
        match cell {
            Cell::Sigmoid => (1.0 / (1.0 + (-f64::from(z)).exp())) as f32,
            Cell::Tanh => f64::from(z).tanh() as f32,
            Cell::Relu => z.max(0.0),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// What f32 makes of any state of a set, in plain code, is in the set after it.
        #[test]
        fn steps_in_f32_stay_in_the_sets(
            weights in prop::array::UniformArrayStrategy::new(-20.0..20.0_f32),
            cell in prop::sample::select(Cell::ALL.to_vec()),
            low in prop::array::uniform2(0.0..0.9_f32),
            width in prop_oneof![Just(0.0_f32), 0.0..0.1_f32],
            shares in prop::array::uniform2(0.0..=1.0_f32),
            pairs in prop::collection::vec(0_u32..4, 1..5),
            outputs in prop::sample::select(vec![1_usize, 3]),
        ) {
            // of a ReLU the states stay small, now and then
            let weights: [f32; 21] = if cell == Cell::Relu { weights.map(|w| w / 16.0) } else { weights };
            let machine = machine(if outputs == 1 { 2 } else { outputs });
            let network = Network::read(&file(&weights, outputs), cell, &machine).unwrap();
            let w = |n: usize| weights[n];
            let mut h = [0, 1].map(|j| low[j] + shares[j] * width);
            let bounds: Vec<_> = (0..2).map(|j| (read(f64::from(low[j]), FINE), read_up(f64::from(low[j] + width), FINE))).collect();
            let mut set = Set {
                center: bounds.iter().map(|(low, _)| low.clone()).collect(),
                generators: Vec::new(),
                own: bounds.iter().map(|(low, high)| high - low).collect(),
                low: bounds.iter().map(|(low, _)| low.clone()).collect(),
                high: bounds.iter().map(|(_, high)| high.clone()).collect(),
            };
            for pair in pairs {
                let x = [pair / 2, pair % 2];
                let (a, b) = (x[0] as f32, x[1] as f32);
                h = [0, 1].map(|j| {
                    unit(cell, a * w(2 * j) + b * w(2 * j + 1) + (h[0] * w(4 + 2 * j) + h[1] * w(5 + 2 * j)) + (w(8 + j) + w(10 + j)))
                });
                set = network.activate(&network.sums(&set), pair as usize);
                if !network.is_bounded(&set) {
                    break;
                }
                for (j, h) in h.iter().enumerate() {
                    let h = read(f64::from(*h), FINE);
                    prop_assert!(set.low[j] <= h && h <= set.high[j], "{j} {:?}", h);
                }
                let difference = read(f64::from(h[0]), FINE) - read(f64::from(h[1]), FINE);
                let (least, most) = set.range(&[BigInt::from(1), BigInt::from(-1)]);
                prop_assert!(least <= difference && difference <= most);
                let sums: Vec<f32> = (0..outputs).map(|n| h[0] * w(12 + 2 * n) + h[1] * w(13 + 2 * n) + w(18 + n)).collect();
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
    }
}
