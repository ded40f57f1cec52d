//! Binary addition, a digit at a time and the lowest digit first: the lab's task.
//!
//! A step shows one digit of each operand (I = 2) and asks for that digit of the sum
//! (O = 1), so what the network has to learn is to carry.

use crate::Error;
use model::{Architecture, Config, Head};
use rand::Rng;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    bits: u32,
}

impl Addition {
    /// I: one digit of each operand.
    pub const INPUTS: usize = 2;
    /// O: one digit of the sum.
    pub const OUTPUTS: usize = 1;

    /// The configuration of a network that adds: the lab's, or the same with biases.
    ///
    /// # Errors
    /// If it has no hidden units or too many.
    pub fn network(hidden: usize, bias: bool) -> Result<Config, model::Error> {
        let lab = Config::lab(Self::INPUTS, hidden, Self::OUTPUTS)?.architecture();
        let head = lab.head.map(|head| Head { bias, ..head });
        Config::new(Architecture { bias, head, ..lab })
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

    /// T, as a length.
    pub fn steps(&self) -> usize {
        self.bits as usize
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

    /// Writes the digits of the operands of `pairs` (B of them) to `x` `[T, B, 2]` and
    /// those of their sums to `targets` `[T, B, 1]`.
    ///
    /// # Panics
    /// If `x` or `targets` has another length.
    #[inline]
    pub fn encode(&self, pairs: &[Pair], x: &mut [f32], targets: &mut [f32]) {
        let rows = self.steps() * pairs.len();
        assert!(
            x.len() == rows * Self::INPUTS && targets.len() == rows,
            "{} inputs and {} targets for {} sequences of {} steps",
            x.len(),
            targets.len(),
            pairs.len(),
            self.bits
        );
        let digit = |number: u64, t: usize| ((number >> t) as i32 & 1) as f32;
        let (x, _) = x.as_chunks_mut::<{ Self::INPUTS }>();
        // The inner loop runs along the steps or along the pairs, whichever is long.
        if let [pair] = pairs {
            let sum = pair.sum();
            for (t, (x, target)) in x.iter_mut().zip(targets).enumerate() {
                *x = [digit(pair.a, t), digit(pair.b, t)];
                *target = digit(sum, t);
            }
            return;
        }
        for t in 0..self.steps() {
            let row = t * pairs.len()..(t + 1) * pairs.len();
            let rows = x[row.clone()].iter_mut().zip(&mut targets[row]);
            for (pair, (x, target)) in pairs.iter().zip(rows) {
                *x = [digit(pair.a, t), digit(pair.b, t)];
                *target = digit(pair.sum(), t);
            }
        }
    }

    /// The sum that the outputs `[T, B, 1]` of `batch` (B) sequences spell for sequence
    /// `n`: a digit is 1 where its output is above ½.
    pub fn decode(&self, outputs: &[f32], batch: usize, n: usize) -> u64 {
        let digits = outputs.iter().skip(n).step_by(batch).take(self.steps());
        digits.enumerate().map(|(t, &o)| u64::from(o > 0.5) << t).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

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
        let (mut x, mut targets) = ([0.0; 8], [0.0; 4]);
        task.encode(&[Pair { a: 5, b: 3 }], &mut x, &mut targets);
        assert_eq!(x, [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(targets, [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_is_encoded_is_decoded_at_every_number_of_bits() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        for bits in 1..=64 {
            let task = Addition::new(bits).unwrap();
            let pairs: Vec<_> = (0..5).map(|_| task.sample(&mut generator)).collect();
            let mut x = vec![0.0; task.steps() * pairs.len() * 2];
            let mut targets = vec![0.0; task.steps() * pairs.len()];
            task.encode(&pairs, &mut x, &mut targets);
            for (n, pair) in pairs.iter().enumerate() {
                assert!(pair.a < task.operands() && pair.b < task.operands());
                assert_eq!(task.decode(&targets, pairs.len(), n), pair.sum(), "{bits} bits");
            }
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
