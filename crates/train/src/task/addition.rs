//! Binary addition, a digit at a time and the lowest digit first: the lab's task.
//!
//! A step shows one digit of each operand (I = 2) and asks for that digit of the sum
//! (O = 1), so what the network has to learn is to carry.

pub mod adder;
mod sums;
pub mod trace;

pub use sums::Sums;

use super::{Source, Task};
use crate::Error;
use crate::batch::{Batch, Inputs, Targets};
use crate::config::{Extent, NetworkConfig, RanksConfig, RunConfig, StrategyConfig};
use crate::metrics::Totals;
use crate::optimizer::{OptimizerConfig, Rule};
use model::{Head, HeadActivation, HeadSteps, Parameters, loss};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Two operands, each below 2^(bits − 1), so that their sum has `bits` digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The first operand.
    pub a: u64,
    /// The second operand.
    pub b: u64,
}

impl Pair {
    /// `a + b`; at most 64 bits, as each operand has at most 63.
    pub fn sum(self) -> u64 {
        self.a + self.b
    }
}

/// The addition of two numbers over `bits` steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Addition {
    bits: u32,
}

/// As the table `[task]` says it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    bits: u32,
}

impl TryFrom<Fields> for Addition {
    type Error = Error;

    fn try_from(Fields { bits }: Fields) -> Result<Self, Error> {
        Self::new(bits)
    }
}

impl From<Addition> for Fields {
    fn from(Addition { bits }: Addition) -> Self {
        Self { bits }
    }
}

impl Addition {
    /// I: one digit of each operand.
    pub const INPUTS: usize = 2;
    /// O: one digit of the sum.
    pub const OUTPUTS: usize = 1;

    /// The lab, whole: 8 bits, 16 sigmoid units without biases, 10,000 examples of plain SGD at a
    /// learning rate of 0.1, seed 0.
    pub fn lab() -> RunConfig<Self> {
        Self::recipe(8, 16).expect("a sum of 8 bits")
    }

    /// The lab's recipe for sums of other lengths (T, `bits`) and other numbers of hidden units (H).
    ///
    /// # Errors
    /// If `bits` is not 1 to 64.
    pub fn recipe(bits: u32, hidden: usize) -> Result<RunConfig<Self>, Error> {
        Ok(RunConfig {
            task: Self::new(bits)?,
            network: NetworkConfig::lab(hidden),
            optimizer: OptimizerConfig::new(0.1, Rule::SGD),
            strategy: StrategyConfig::SERIAL,
            run: Extent::new(10_000, 1, 0),
            ranks: RanksConfig::ALONE,
        })
    }

    /// Additions whose sums have `bits` digits, 1 to 64.
    ///
    /// # Errors
    /// If `bits` is out of that range.
    pub fn new(bits: u32) -> Result<Self, Error> {
        if (1..=64).contains(&bits) { Ok(Self { bits }) } else { Err(Error::Bits(bits)) }
    }

    /// T, the digits of a sum.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// How many operands there are: 2^(bits − 1).
    pub fn operands(&self) -> u64 {
        1 << (self.bits - 1)
    }

    /// Two operands, uniform and independent in [0, 2^(bits − 1)): the two halves of one
    /// random word where they fit, else two words.
    #[inline]
    pub fn sample(&self, generator: &mut impl Rng) -> Pair {
        let mask = self.operands() - 1;
        let word = generator.next_u64();
        let other = if self.bits <= 33 { word >> 32 } else { generator.next_u64() };
        Pair { a: word & mask, b: other & mask }
    }

    /// Writes the digits of the operands of `pairs` and those of their sums to `batch`: inputs
    /// `[T, B, 2]`, targets `[T, B, 1]`.
    ///
    /// # Panics
    /// If an operand has as many digits as a sum.
    #[inline]
    pub fn encode(&self, pairs: &[Pair], batch: &mut Batch) {
        let operands = self.operands();
        assert!(
            pairs.iter().all(|pair| pair.a < operands && pair.b < operands),
            "operands must be below {operands}"
        );
        let size = (self.steps(), pairs.len());
        let (x, targets) = batch.values(size, Self::INPUTS, Self::OUTPUTS);
        self.write(pairs, 0, x, targets);
    }

    /// Writes `pairs` to the places from `first` on of `x` `[T, B, 2]` and `targets` `[T, B, 1]`.
    #[inline]
    fn write(&self, pairs: &[Pair], first: usize, x: &mut [f32], targets: &mut [f32]) {
        let digit = |number: u64, t: usize| ((number >> t) as i32 & 1) as f32;
        let (x, _) = x.as_chunks_mut::<{ Self::INPUTS }>();
        // The inner loop runs along the steps or along the pairs, whichever is long.
        if let ([pair], true) = (pairs, targets.len() == self.steps()) {
            let sum = pair.sum();
            for (t, (x, target)) in x.iter_mut().zip(targets).enumerate() {
                *x = [digit(pair.a, t), digit(pair.b, t)];
                *target = digit(sum, t);
            }
            return;
        }
        let batch = targets.len() / self.steps();
        for t in 0..self.steps() {
            let row = t * batch + first..t * batch + first + pairs.len();
            let rows = x[row.clone()].iter_mut().zip(&mut targets[row]);
            for (pair, (x, target)) in pairs.iter().zip(rows) {
                *x = [digit(pair.a, t), digit(pair.b, t)];
                *target = digit(pair.sum(), t);
            }
        }
    }

    /// The first example of `batch`, the sum that the outputs `y` spell for it, and its error
    /// `Σ_t |y − o|`: what the lab prints.
    ///
    /// # Panics
    /// If the batch is not one of additions.
    pub fn first_example(&self, batch: &Batch, y: &[f32]) -> (Pair, u64, f32) {
        let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets) else {
            panic!("a batch of additions holds values");
        };
        let number = |operand: usize| {
            let digits = x.iter().skip(operand).step_by(batch.count * Self::INPUTS);
            digits.enumerate().map(|(t, &digit)| (digit as u64) << t).sum()
        };
        let errors = y.iter().zip(&**targets).step_by(batch.count).map(|(o, y)| (y - o).abs());
        let pair = Pair { a: number(0), b: number(1) };
        (pair, self.decode(y, batch.count, 0), errors.sum())
    }

    /// The sum that the outputs `[T, B, 1]` of `batch` (B) sequences spell for sequence
    /// `n`: a digit is 1 where its output is above ½.
    pub fn decode(&self, outputs: &[f32], batch: usize, n: usize) -> u64 {
        let digits = outputs.iter().skip(n).step_by(batch).take(self.steps());
        digits.enumerate().map(|(t, &o)| u64::from(o > 0.5) << t).sum()
    }
}

/// Pairs that are drawn before they are written: some cache lines of them.
const CHUNK: usize = 64;

impl Task for Addition {
    const NAME: &'static str = "addition";

    type Score = Sums;

    fn io(&self) -> (usize, Head) {
        let (steps, activation) = (HeadSteps::Every, HeadActivation::Sigmoid);
        (Self::INPUTS, Head { outputs: Self::OUTPUTS, bias: false, steps, activation })
    }

    fn steps(&self) -> usize {
        self.bits as usize
    }

    #[inline]
    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let Source { generator, count, .. } = source;
        let (x, targets) = batch.values((self.steps(), count), Self::INPUTS, Self::OUTPUTS);
        if count == 1 {
            return self.write(&[self.sample(generator)], 0, x, targets);
        }
        let mut pairs = [Pair::default(); CHUNK];
        for first in (0..count).step_by(CHUNK) {
            let pairs = &mut pairs[..CHUNK.min(count - first)];
            pairs.fill_with(|| self.sample(generator));
            self.write(pairs, first, x, targets);
        }
    }

    /// `½ Σ_t (y − o)²`; the error is `Σ_t |y − o|`.
    #[inline]
    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        let Targets::Values(targets) = &batch.targets else {
            panic!("a batch of additions holds values");
        };
        let loss = loss::sigmoid_squared_error(y, targets, dy);
        let error = loss::absolute_error(y, targets);
        let examples = batch.count as u64;
        Totals { examples, loss: f64::from(loss), error: f64::from(error) }
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> Sums {
        sums::evaluate(self, parameters, seed)
    }

    fn aim(&self) -> String {
        format!("add {} bits", self.bits)
    }

    fn header(&self) -> String {
        let width = self.width();
        format!("{:>8}  {:<width$}  {:<width$}  a + b = sum", "error", "prediction", "truth")
    }

    /// As the lab prints it.
    fn show(&self, batch: &Batch, y: &[f32]) -> Option<String> {
        let (pair, sum, error) = self.first_example(batch, y);
        let (width, bits) = (self.width(), self.steps());
        let digits = |number: u64| format!("{number:0bits$b}");
        let right = if sum == pair.sum() { "TRUE" } else { "FALSE" };
        Some(format!(
            "{error:>8.4}  {:<width$}  {:<width$}  {} + {} = {sum} {right}",
            digits(sum),
            digits(pair.sum()),
            pair.a,
            pair.b
        ))
    }
}

impl Addition {
    /// Of the columns of digits.
    fn width(&self) -> usize {
        self.steps().max("prediction".len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Progress;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn values(batch: &Batch) -> (&[f32], &[f32]) {
        match (&batch.inputs, &batch.targets) {
            (Inputs::Values(x), Targets::Values(targets)) => (x, targets),
            _ => panic!("not values"),
        }
    }

    #[test]
    fn a_batch_is_what_its_examples_are_one_by_one() {
        let task = Addition::new(11).unwrap();
        for count in [1, 2, 63, 64, 65, 130] {
            let [mut generator, mut same] = [(); 2].map(|()| Xoshiro256PlusPlus::seed_from_u64(3));
            let progress = Progress {
                examples: 0,
                of: count as u64,
                batch: count as u64,
                worker: 0,
                workers: 1,
            };
            let (mut drawn, mut encoded) = (Batch::default(), Batch::default());
            task.draw(Source { generator: &mut generator, count, progress }, &mut drawn);
            let pairs: Vec<_> = (0..count).map(|_| task.sample(&mut same)).collect();
            task.encode(&pairs, &mut encoded);
            assert_eq!(values(&drawn), values(&encoded), "{count}");
            assert_eq!(generator, same);
        }
    }

    #[test]
    fn bits_out_of_range_are_refused() {
        for bits in [0, 65, u32::MAX] {
            let text = Addition::new(bits).unwrap_err().to_string();
            assert!(text.contains(&bits.to_string()) && text.contains("1 to 64"), "{text}");
        }
    }

    #[test]
    fn a_sum_is_spelled_lowest_digit_first() {
        let task = Addition::new(4).unwrap();
        let mut batch = Batch::default();
        task.encode(&[Pair { a: 5, b: 3 }], &mut batch);
        let (x, targets) = values(&batch);
        assert_eq!(x, [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(targets, [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_is_encoded_is_decoded_at_every_number_of_bits() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        for bits in 1..=64 {
            let task = Addition::new(bits).unwrap();
            let pairs: Vec<_> = (0..5).map(|_| task.sample(&mut generator)).collect();
            let mut batch = Batch::default();
            task.encode(&pairs, &mut batch);
            let (_, targets) = values(&batch);
            for (n, pair) in pairs.iter().enumerate() {
                assert!(pair.a < task.operands() && pair.b < task.operands());
                assert_eq!(task.decode(targets, pairs.len(), n), pair.sum(), "{bits} bits");
            }
            let shown = (pairs[0], pairs[0].sum(), 0.0);
            assert_eq!(task.first_example(&batch, targets), shown, "{bits} bits");
        }
    }

    #[test]
    fn every_operand_is_drawn_about_as_often() {
        let task = Addition::new(4).unwrap();
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(2);
        let mut counts = [0_u32; 8];
        for _ in 0..8_000 {
            let pair = task.sample(&mut generator);
            counts[pair.a as usize] += 1;
            counts[pair.b as usize] += 1;
        }
        // 2,000 expected, standard deviation 42
        assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
    }
}
