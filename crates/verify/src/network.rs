//! A network read from its file, and what a step of it makes of an abstract state.

use crate::abstract_state::{AbstractState, REACH, SLACK};
use crate::error::Error;
use crate::sigmoid::{SIGMOID_ERROR, linearisation_error, sigmoid};
use std::collections::HashMap;

/// The largest error of the f32 sigmoid in units in the last place, rounded up from 2.5.
const ULP: f64 = 3.0;

/// The weights as plain numbers, and what f32 may make of sums with them.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) hidden: usize,
    pub(crate) bias: bool,
    /// `[2][H]`
    w_in: Vec<Vec<f64>>,
    /// `[H][H]`, row: to unit
    w_rec: Vec<Vec<f64>>,
    /// `[H]`
    b: Vec<f64>,
    /// `[H]`
    w_out: Vec<f64>,
    b_out: f64,
    /// `[H]`, the sum of the absolute weights and biases of a unit.
    weight: Vec<f64>,
    /// `[H]`, how far the f32 sum before a hidden sigmoid, and ours, may be off.
    error: Vec<f64>,
    out_error: f64,
}

impl Network {
    /// Reads a network's file (safetensors, with PyTorch's names).
    ///
    /// # Errors
    /// [`Error::Network`], with what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse(bytes).map_err(Error::Network)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
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
        let hidden = tensors.get("head.weight").map_or(0, |(_, values)| values.len());
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
        let by_unit = rows(take("weight_ih_l0", &[hidden, 2])?, 2);
        let w_rec = rows(take("weight_hh_l0", &[hidden, hidden])?, hidden);
        let w_out = take("head.weight", &[1, hidden])?;
        let (mut b_in, mut b_rec, mut b_out) = (vec![0.0; hidden], vec![0.0; hidden], 0.0);
        if bias {
            b_in = take("bias_ih_l0", &[hidden])?;
            b_rec = take("bias_hh_l0", &[hidden])?;
            b_out = take("head.bias", &[1])?[0];
        }
        if let Some(name) = tensors.keys().next() {
            return Err(format!("has a `{name}`, of which nothing is known"));
        }
        // 2 inputs, H states, 2 biases, and some more roundings than there are terms.
        let unit = (hidden + 12) as f64 * (1.0 / 16_777_216.0);
        let gamma = unit / (1.0 - unit);
        let error = |magnitude: f64| (magnitude * (gamma + SLACK) + 2.0_f64.powi(-100)).next_up();
        let sum = |values: &[f64]| -> f64 { values.iter().map(|value| value.abs()).sum() };
        let weight: Vec<f64> = (0..hidden)
            .map(|j| sum(&by_unit[j]) + sum(&w_rec[j]) + b_in[j].abs() + b_rec[j].abs())
            .collect();
        Ok(Self {
            hidden,
            bias,
            error: weight.iter().map(|&weight| error(weight)).collect(),
            weight,
            out_error: error(sum(&w_out) + b_out.abs()),
            w_in: (0..2).map(|i| by_unit.iter().map(|row| row[i]).collect()).collect(),
            w_rec,
            b: b_in.iter().zip(&b_rec).map(|(a, b)| a + b).collect(),
            w_out,
            b_out,
        })
    }

    /// H
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Whether the network has biases.
    pub fn bias(&self) -> bool {
        self.bias
    }

    /// An enclosure of every state that the machine may compute from one of `state`, with the
    /// input digits a and b (`pair` is 2·a + b).
    ///
    /// # Panics
    /// If `state` is of another number of units.
    pub fn step(&self, state: &AbstractState, pair: usize) -> AbstractState {
        assert_eq!(state.low.len(), self.hidden, "units of the abstract state");
        self.activate(&self.sums(state), pair)
    }

    /// An enclosure of the sum before the output's sigmoid that the machine may compute from
    /// one of `state`.
    ///
    /// # Panics
    /// If `state` is of another number of units.
    pub fn output(&self, state: &AbstractState) -> (f64, f64) {
        assert_eq!(state.low.len(), self.hidden, "units of the abstract state");
        let (least, most) = state.range(&self.w_out);
        let (least, most) = (least + self.b_out, most + self.b_out);
        ((least - self.out_error).next_down(), (most + self.out_error).next_up())
    }

    /// The sums before the hidden sigmoids, without the inputs: an affine image of `state`.
    pub(crate) fn sums(&self, state: &AbstractState) -> Sums {
        let product =
            |v: &[f64], row: &[f64]| -> f64 { v.iter().zip(row).map(|(v, w)| v * w).sum() };
        let image = |v: &[f64]| self.w_rec.iter().map(|row| product(v, row)).collect::<Vec<f64>>();
        let mut center = image(&state.center);
        for (center, b) in center.iter_mut().zip(&self.b) {
            *center += b;
        }
        let mut generators: Vec<Vec<f64>> = state.generators.iter().map(|g| image(g)).collect();
        for (k, &own) in state.own.iter().enumerate().filter(|(_, own)| **own != 0.0) {
            generators.push(self.w_rec.iter().map(|row| own * row[k]).collect());
        }
        let ranges = self.w_rec.iter().map(|row| state.range(row)).collect();
        Sums { center, generators, ranges }
    }

    /// The states after those sums and one more pair of digits.
    pub(crate) fn activate(&self, sums: &Sums, pair: usize) -> AbstractState {
        let hidden = self.hidden;
        let mut state = AbstractState {
            center: vec![0.0; hidden],
            generators: vec![vec![0.0; hidden]; sums.generators.len()],
            own: vec![0.0; hidden],
            low: vec![0.0; hidden],
            high: vec![0.0; hidden],
        };
        for j in 0..hidden {
            let input = (pair / 2) as f64 * self.w_in[0][j] + (pair % 2) as f64 * self.w_in[1][j];
            let (least, most) = sums.ranges[j];
            let low = (least + (input + self.b[j]) - self.error[j]).next_down();
            let high = (most + (input + self.b[j]) + self.error[j]).next_up();
            // The f32 sigmoid of any sum in [low, high].
            let ulp = |value: f64| value * (ULP / 8_388_608.0) + 2.0_f64.powi(-126);
            let (bottom, top) = (sigmoid(low) - SIGMOID_ERROR, sigmoid(high) + SIGMOID_ERROR);
            state.low[j] = (bottom - ulp(bottom.max(0.0))).next_down().max(0.0);
            state.high[j] = (top + ulp(top)).next_up().min(1.0);
            // It is λ·z + offset within `own`, where z is within `error` of the affine image.
            let slope = if high - low > 1e-6 {
                ((sigmoid(high) - sigmoid(low)) / (high - low)).clamp(0.0, 0.25)
            } else {
                sigmoid(low) * (1.0 - sigmoid(low))
            };
            let (below, above) = linearisation_error(slope, low, high);
            let offset = 0.5 * (below + above);
            state.center[j] = slope * (sums.center[j] + input) + offset;
            for (target, generator) in state.generators.iter_mut().zip(&sums.generators) {
                target[j] = slope * generator[j];
            }
            // The last term is for the roundings of these three lines.
            let rounding = SLACK * (1.0 + slope * REACH * self.weight[j]);
            let spread = (0.5 * (above - below)).next_up();
            state.own[j] = (spread + slope * self.error[j] + ulp(top) + rounding).next_up();
        }
        state
    }
}

/// The affine image of an abstract state, and an enclosure of each unit's part of it without
/// biases.
pub(crate) struct Sums {
    center: Vec<f64>,
    generators: Vec<Vec<f64>>,
    ranges: Vec<(f64, f64)>,
}
