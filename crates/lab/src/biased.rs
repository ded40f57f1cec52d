//! Additions for a network with biases, by the fused kernels of the lab's network, which have none:
//! at batch 1 several times as fast as the general way.
//!
//! ```text
//! forward   h[t] = σ([x[t], 1]·[W_in; b_in + b_rec] + h[t−1]·W_rec)
//!           y[t] = σ(h[t]·w_out + b_out)
//! backward  that of the kernels, for three inputs; db_in = db_rec: the third row of dW_in
//!           db_out = Σ dy[t]
//! ```

use kernels::activation::sigmoid;
use kernels::recurrent::{self, Scratch, Sizes, Weights, row_stride};
use kernels::vector::dot;
use model::{Head, Parameters};
use serde::{Deserialize, Serialize};
use train::batch::{Batch, Inputs};
use train::metrics::Totals;
use train::pass::Pass;
use train::task::{Addition, Progress, Source, Sums, Task};

/// The additions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Biased {
    pub addition: Addition,
}

/// The inputs of the kernels: a digit of each operand, and 1.
const INPUTS: usize = 3;

/// The parts of an arena of a lab's network with biases, in rows of S values.
struct Parts<T> {
    /// `[2, S]`
    w_in: T,
    /// `[H, S]`
    w_rec: T,
    /// `[2, S]`: b_in and b_rec.
    biases: T,
    /// `[1, S]`
    w_out: T,
    /// The first value is b_out, the others are padding.
    b_out: T,
}

impl<'a> Parts<&'a [f32]> {
    fn of(parameters: &'a Parameters) -> Self {
        let (hidden, stride) =
            (parameters.config().hidden(), row_stride(parameters.config().hidden()));
        let (w_in, rest) = parameters.arena().split_at(2 * stride);
        let (w_rec, rest) = rest.split_at(hidden * stride);
        let (biases, rest) = rest.split_at(2 * stride);
        let (w_out, b_out) = rest.split_at(stride);
        Self { w_in, w_rec, biases, w_out, b_out }
    }
}

impl<'a> Parts<&'a mut [f32]> {
    fn of_mut(parameters: &'a mut Parameters) -> Self {
        let (hidden, stride) =
            (parameters.config().hidden(), row_stride(parameters.config().hidden()));
        let (w_in, rest) = parameters.arena_mut().split_at_mut(2 * stride);
        let (w_rec, rest) = rest.split_at_mut(hidden * stride);
        let (biases, rest) = rest.split_at_mut(2 * stride);
        let (w_out, b_out) = rest.split_at_mut(stride);
        Self { w_in, w_rec, biases, w_out, b_out }
    }
}

impl Task for Biased {
    const NAME: &'static str = "addition-biased";
    const IS_BPTT: bool = false;

    type Score = Sums;

    fn io(&self) -> (usize, Head) {
        self.addition.io()
    }

    fn steps(&self) -> usize {
        self.addition.steps()
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        self.addition.draw(source, batch);
    }

    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        self.addition.loss(batch, y, dy)
    }

    /// # Panics
    /// If the network is not the lab's with biases.
    fn differentiate(
        &self,
        pass: &mut Pass,
        parameters: &Parameters,
        batch: &Batch,
        _progress: Progress,
        gradient: &mut Parameters,
    ) -> Totals {
        let config = parameters.config();
        assert!(config.bias() && config.inputs() == 2, "a lab's network with biases");
        let Inputs::Values(digits) = &batch.inputs else {
            unreachable!("digits are encoded as values");
        };
        let (steps, hidden, stride) = (batch.steps, config.hidden(), row_stride(config.hidden()));
        let sizes = Sizes { steps, batch: batch.count, inputs: INPUTS, hidden, outputs: 1 };
        let rows = sizes.rows();
        let parts = [
            INPUTS * stride,
            INPUTS * stride,
            rows * stride,
            rows * stride,
            hidden * stride,
            rows * INPUTS,
            rows,
            rows,
        ];
        let mut rest = pass.workspace(parts.iter().sum());
        let [w_in, dw_in, h, dz, w_rec_t, x, y, dy] = parts.map(|len| {
            let (part, others) = std::mem::take(&mut rest).split_at_mut(len);
            rest = others;
            part
        });

        let weights = Parts::of(parameters);
        w_in[..2 * stride].copy_from_slice(weights.w_in);
        let (b_in, b_rec) = weights.biases.split_at(stride);
        for ((sum, b_in), b_rec) in w_in[2 * stride..].iter_mut().zip(b_in).zip(b_rec) {
            *sum = b_in + b_rec;
        }
        for (x, digits) in x.as_chunks_mut::<INPUTS>().0.iter_mut().zip(digits.as_chunks::<2>().0) {
            *x = [digits[0], digits[1], 1.0];
        }
        let fused = Weights { w_in: &*w_in, w_rec: weights.w_rec, w_out: weights.w_out };
        recurrent::states(sizes, fused, x, h);
        for (y, h) in y.iter_mut().zip(h.chunks_exact(stride)) {
            *y = dot(&h[..hidden], &weights.w_out[..hidden]) + weights.b_out[0];
        }
        sigmoid(y);
        let totals = self.loss(batch, y, dy);

        let sums = Parts::of_mut(gradient);
        let gradients = Weights { w_in: &mut *dw_in, w_rec: sums.w_rec, w_out: sums.w_out };
        recurrent::backward(sizes, fused, x, h, dy, Scratch { dz, w_rec_t }, gradients);
        sums.w_in.copy_from_slice(&dw_in[..2 * stride]);
        for bias in sums.biases.chunks_exact_mut(stride) {
            bias.copy_from_slice(&dw_in[2 * stride..]);
        }
        sums.b_out.fill(0.0);
        sums.b_out[0] = dy.iter().sum();
        totals
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> Sums {
        self.addition.evaluate(parameters, seed)
    }

    fn aim(&self) -> String {
        self.addition.aim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use train::config::NetworkConfig;

    proptest! {
        #[test]
        fn loss_and_gradient_are_those_of_the_general_way(
            bits in 1_u32..=12, hidden in 1_usize..=33, count in 1_usize..=17, seed: u64,
        ) {
            let addition = Addition::new(bits).unwrap();
            let network = NetworkConfig { bias: true, ..NetworkConfig::lab(hidden) };
            let config = network.config(&addition).unwrap();
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
            let parameters = Parameters::uniform(config, &mut generator);
            let pairs: Vec<_> = (0..count).map(|_| addition.sample(&mut generator)).collect();
            let mut batch = Batch::default();
            addition.encode(&pairs, &mut batch);
            let progress = Progress { examples: 0, of: 1, batch: 1, worker: 0, workers: 1 };
            let mut pass = Pass::new(config, generator);
            let [mut found, mut expected] = [(); 2].map(|()| Parameters::zeros(config));
            found.arena_mut().fill(f32::NAN); // written over, whatever was there
            let task = Biased { addition };
            let totals = task.differentiate(&mut pass, &parameters, &batch, progress, &mut found);
            let general =
                addition.differentiate(&mut pass, &parameters, &batch, progress, &mut expected);
            // outputs are rounded at 6e-8
            let rows = f64::from(bits) * count as f64;
            let is_near = |a: f64, b: f64| (a - b).abs() <= 1e-5 * b + 1e-7 * rows;
            prop_assert!(is_near(totals.loss, general.loss));
            prop_assert!(is_near(totals.error, general.error));
            let largest = expected.arena().iter().fold(0.0_f32, |most, g| most.max(g.abs()));
            for (found, expected) in found.arena().iter().zip(expected.arena()) {
                let off = (found - expected).abs();
                prop_assert!(off <= 1e-5 * largest + 1e-6, "{found} {expected}");
            }
        }
    }

    /// Where the general passes have the parameters, by PyTorch's names.
    #[test]
    fn the_parts_are_those_of_the_layout() {
        for hidden in [1, 15, 16, 17, 40] {
            let network = NetworkConfig { bias: true, ..NetworkConfig::lab(hidden) };
            let config = network.config(&Addition::lab().task).unwrap();
            let mut parameters = Parameters::zeros(config);
            for (n, tensor) in config.tensors().iter().enumerate() {
                tensor.indices().for_each(|index| parameters.arena_mut()[index] = n as f32 + 1.0);
            }
            let Parts { w_in, w_rec, biases, w_out, b_out } = Parts::of(&parameters);
            let number = |name: &str| {
                let tensors = config.tensors();
                1.0 + tensors.iter().position(|tensor| tensor.name() == name).unwrap() as f32
            };
            let stride = row_stride(config.hidden());
            for (part, names) in [
                (w_in, &["weight_ih_l0"; 2][..]),
                (w_rec, &vec!["weight_hh_l0"; hidden]),
                (biases, &["bias_ih_l0", "bias_hh_l0"]),
                (w_out, &["head.weight"]),
            ] {
                assert_eq!(part.len(), names.len() * stride);
                for (row, name) in part.chunks_exact(stride).zip(names) {
                    assert!(row[..hidden].iter().all(|&value| value == number(name)), "{name}");
                    assert!(row[hidden..].iter().all(|&value| value == 0.0), "{name}");
                }
            }
            assert_eq!(b_out[0], number("head.bias"));
        }
    }
}
