//! Carry chains: sums in which one digit decides about another, many steps later.
//!
//! ```text
//! step     0 1   2           3 … L + 1      L + 2
//! pairs    no    11 or 00    01 or 10       00 or 11       lowest digits first
//!          carry             as drawn
//! ```
//!
//! The pair at step 2 sets the carry, the next L − 1 pass it on, and the last shows it and ends it.
//! So the network has to remember one of two things for L steps. Both are asked for, as often.

use model::{Network, Parameters, Sequences};
use rand::{Rng, RngExt};

/// Steps before the chain begins.
const LEAD: usize = 2;

/// Sums side by side, each with a chain of one length.
#[derive(Clone, Debug)]
pub(crate) struct Chains {
    /// T
    steps: usize,
    /// B
    count: usize,
    /// `[T, B, 2]`
    x: Vec<f32>,
    /// `[T, B]`
    digits: Vec<bool>,
}

impl Chains {
    /// `count` (B) sums with chains of `length` (L ≥ 1), every second with a carry.
    pub fn new(length: usize, count: usize, generator: &mut impl Rng) -> Self {
        let steps = LEAD + 1 + length;
        let (mut x, mut digits) = (vec![0.0; steps * count * 2], vec![false; steps * count]);
        for n in 0..count {
            let mut carry = false;
            for t in 0..steps {
                let pair = match t {
                    0..LEAD => {
                        [[false, false], [false, true], [true, false]][generator.random_range(0..3)]
                    }
                    LEAD => [n % 2 == 1; 2],
                    _ if t + 1 < steps => {
                        let first: bool = generator.random();
                        [first, !first]
                    }
                    _ => [generator.random(); 2],
                };
                let sum = pair.into_iter().map(u8::from).sum::<u8>() + u8::from(carry);
                let row = t * count + n;
                digits[row] = sum & 1 == 1;
                carry = sum >= 2;
                for (x, digit) in x[2 * row..].iter_mut().zip(pair) {
                    *x = f32::from(u8::from(digit));
                }
            }
        }
        Self { steps, count, x, digits }
    }

    /// How many of the sums the network has right, in every digit.
    ///
    /// # Panics
    /// If it is not a network with two inputs and one output.
    pub fn right(&self, parameters: &Parameters) -> usize {
        let mut network = Network::new(parameters.config());
        let sequences = Sequences::new(parameters.config(), &self.x, self.steps, self.count)
            .expect("digits are finite");
        let outputs = network.infer(parameters, &sequences);
        let is_right = |n: &usize| {
            let of = |t: usize| t * self.count + n;
            (0..self.steps).all(|t| (outputs[of(t)] > 0.5) == self.digits[of(t)])
        };
        (0..self.count).filter(is_right).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use train::task::adder;

    /// The operands of sum `n`.
    fn operands(chains: &Chains, n: usize) -> [u64; 2] {
        [0, 1].map(|operand| {
            let bit = |t: usize| chains.x[2 * (t * chains.count + n) + operand] as u64;
            (0..chains.steps).map(|t| bit(t) << t).sum()
        })
    }

    #[test]
    fn the_digits_are_those_of_the_sum_and_the_carry_goes_as_far_as_it_should() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        for length in 1..40 {
            let chains = Chains::new(length, 10, &mut generator);
            let mut ends = [0; 2];
            for n in 0..10 {
                let [a, b] = operands(&chains, n);
                let digits = |t: usize| u64::from(chains.digits[t * 10 + n]) << t;
                let sum: u64 = (0..chains.steps).map(digits).sum();
                assert_eq!(sum, (a + b) & ((1 << chains.steps) - 1));
                let carries = a ^ b ^ (a + b); // bit t: the carry into digit t
                let chain = ((1_u64 << length) - 1) << (LEAD + 1);
                assert_eq!(carries & chain, if n % 2 == 1 { chain } else { 0 });
                assert_eq!(carries & ((2 << LEAD) - 1), 0);
                ends[(a >> (chains.steps - 1)) as usize] += 1;
            }
            assert!(length < 5 || ends.iter().sum::<i32>() == 10);
        }
    }

    #[test]
    fn a_right_sum_is_one_that_the_adder_spells() {
        use num_bigint::BigUint;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(2);
        let config = crate::recipe::Recipe::Lab.config(train::config::NetworkConfig::lab(8), 4);
        let parameters = crate::recipe::trained(&config).unwrap();
        let mut seen = [false; 2];
        for length in [1, 3, 9, 30] {
            let chains = Chains::new(length, 24, &mut generator);
            let is_right = |n: &usize| {
                let [a, b] = operands(&chains, *n).map(BigUint::from);
                // the adder goes on to the sum's last digit: only those of the chain count
                let digits = adder::add(&parameters, &a, &b).digits;
                digits.iter().take(chains.steps).all(adder::Digit::is_right)
            };
            let expected = (0..24).filter(is_right).count();
            assert_eq!(chains.right(&parameters), expected);
            seen[usize::from(expected == 24)] = true;
            seen[1] |= expected > 0;
        }
        assert_eq!(seen, [true; 2], "right and wrong ones have to be seen");
    }
}
