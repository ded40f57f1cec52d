//! Additions as a feed-forward network sees them: all digits of both operands at once, all digits of
//! the sum at once.
//!
//! A recurrent network of one step remembers nothing: `h = σ(x·W_in + b)`, `y = σ(h·W_outᵀ + b)`, with
//! x `[2·WIDTH]` and y `[BITS]`. (`W_rec` is there, and multiplies a state of zeros.)

use crate::narrow::sample;
use crate::recipe::BITS;
use model::{Head, HeadActivation, HeadSteps, Network, Parameters, loss};
use serde::{Deserialize, Serialize};
use train::batch::{Batch, Inputs, Targets};
use train::metrics::Totals;
use train::task::{MeanLoss, Pair, Source, Task};

/// The digits of an operand that the network has inputs for; the sum has one more.
pub(crate) const WIDTH: u32 = BITS - 1;

/// Operands below 2^`digits`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FeedForward {
    /// At most [`WIDTH`].
    pub digits: u32,
}

const INPUTS: usize = 2 * WIDTH as usize;
const OUTPUTS: usize = BITS as usize;

/// Writes `pairs` (B) to `batch`: x `[1, B, 2·WIDTH]`, targets `[1, B, BITS]`.
fn encode(pairs: &[Pair], batch: &mut Batch) {
    let digit = |number: u64, t: usize| (number >> t & 1) as f32;
    let (x, targets) = batch.values((1, pairs.len()), INPUTS, OUTPUTS);
    let rows = x.chunks_exact_mut(INPUTS).zip(targets.chunks_exact_mut(OUTPUTS));
    for (pair, (x, targets)) in pairs.iter().zip(rows) {
        for (t, x) in x.chunks_exact_mut(2).enumerate() {
            x.copy_from_slice(&[digit(pair.a, t), digit(pair.b, t)]);
        }
        let sum = pair.sum();
        targets.iter_mut().enumerate().for_each(|(t, target)| *target = digit(sum, t));
    }
}

impl FeedForward {
    /// The sums that a network for this task says to `pairs`.
    ///
    /// # Panics
    /// If it is another network.
    pub fn sums(parameters: &Parameters, pairs: &[Pair]) -> Vec<u64> {
        let mut batch = Batch::default();
        encode(pairs, &mut batch);
        let Inputs::Values(x) = &batch.inputs else {
            unreachable!("digits are encoded as values");
        };
        let mut network = Network::new(parameters.config());
        let outputs = network.forward(parameters, x, 1, pairs.len());
        let sum = |y: &[f32]| y.iter().rev().fold(0, |sum, &o| 2 * sum + u64::from(o > 0.5));
        outputs.chunks_exact(OUTPUTS).map(sum).collect()
    }
}

impl Task for FeedForward {
    const NAME: &'static str = "addition-feed-forward";

    type Score = MeanLoss;

    fn io(&self) -> (usize, Head) {
        let (steps, activation) = (HeadSteps::Every, HeadActivation::Sigmoid);
        (INPUTS, Head { outputs: OUTPUTS, bias: false, steps, activation })
    }

    fn steps(&self) -> usize {
        1
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let Source { generator, count, .. } = source;
        let pairs: Vec<Pair> = (0..count).map(|_| sample(self.digits, generator)).collect();
        encode(&pairs, batch);
    }

    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        let Targets::Values(targets) = &batch.targets else {
            panic!("a batch of additions holds values");
        };
        let loss = f64::from(loss::sigmoid_squared_error(y, targets, dy));
        let error = f64::from(loss::absolute_error(y, targets));
        Totals { examples: batch.count as u64, loss, error }
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> MeanLoss {
        MeanLoss::of(self, parameters, seed, 1_000)
    }

    fn aim(&self) -> String {
        format!("add {BITS} bits at once")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back() {
        let pairs = [Pair { a: 5, b: 3 }, Pair { a: 127, b: 127 }, Pair { a: 64, b: 1 }];
        let mut batch = Batch::default();
        encode(&pairs, &mut batch);
        let (Inputs::Values(x), Targets::Values(y)) = (&batch.inputs, &batch.targets) else {
            panic!("values")
        };
        for (n, pair) in pairs.iter().enumerate() {
            let of = |operand: usize| -> u64 {
                (0..WIDTH as usize).map(|t| (x[n * INPUTS + 2 * t + operand] as u64) << t).sum()
            };
            assert_eq!([of(0), of(1)], [pair.a, pair.b]);
            let sum: u64 = (0..OUTPUTS).map(|t| (y[n * OUTPUTS + t] as u64) << t).sum();
            assert_eq!(sum, pair.sum());
        }
    }
}
