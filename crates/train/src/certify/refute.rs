//! The search for two numbers that a network adds wrongly.
//!
//! ```text
//! all sequences of up to 7 pairs
//! long sequences, each with a mix of pairs of its own: chains of carries among them
//! sequences around the histories where a proof failed
//! ```
//!
//! The f32 network itself runs, in batches; what it gets wrong is cut at the wrong digit,
//! made shorter as long as it stays wrong, and is a counterexample only if [`adder::add`],
//! which users meet, adds the two numbers wrongly too.

use super::search::{add, draw, mix};
use crate::adder;
use model::{Network, Parameters};
use num_bigint::BigUint;
use rand::{Rng, RngExt};

/// Two numbers that a network adds wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The first operand.
    pub a: BigUint,
    /// The second operand.
    pub b: BigUint,
}

impl Counterexample {
    /// The binary digits of the longer operand.
    pub fn bits(&self) -> u64 {
        self.a.bits().max(self.b.bits())
    }

    /// The numbers whose pairs of digits are `pairs`, lowest first, if `parameters` add them
    /// wrongly; with one more digit on top where leading zeros would be lost.
    fn of(parameters: &Parameters, pairs: &[u8]) -> Option<Self> {
        let number = |bit: u8, top: bool| {
            let mut number = BigUint::ZERO;
            for (n, pair) in (0..).zip(pairs) {
                number.set_bit(n, pair >> bit & 1 == 1);
            }
            number.set_bit(pairs.len() as u64, top);
            number
        };
        [false, true].into_iter().find_map(|top| {
            let found = Self { a: number(1, top), b: number(0, false) };
            (adder::add(parameters, &found.a, &found.b).wrong_bits() > 0).then_some(found)
        })
    }
}

/// Sequences tried at once.
const BATCH: usize = 512;
/// All sequences up to this length are tried.
const EXHAUSTIVE: usize = 7;

/// Tries all short sums and many long ones.
pub(super) fn refute(parameters: &Parameters, generator: &mut impl Rng) -> Option<Counterexample> {
    let all: Vec<Vec<u8>> = (0..1_u32 << (2 * EXHAUSTIVE))
        .map(|n| (0..EXHAUSTIVE).map(|t| (n >> (2 * t) & 3) as u8).collect())
        .collect();
    let found = try_all(parameters, &all);
    if found.is_some() {
        return found;
    }
    for (steps, batches) in [(24, 16), (60, 8), (500, 2)] {
        let sequences: Vec<Vec<u8>> =
            (0..batches * BATCH).map(|_| random(steps, generator)).collect();
        let found = try_all(parameters, &sequences);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Tries sequences that pass through `way`, where a proof failed.
pub(super) fn refute_near(
    parameters: &Parameters,
    way: &[u8],
    generator: &mut impl Rng,
) -> Option<Counterexample> {
    let sequences: Vec<Vec<u8>> = (0..8 * BATCH)
        .map(|n| {
            let (before, after) = (random(n % 40, generator), random(12, generator));
            let repeats = 1 + n / 512 % 3;
            let mut sequence = before;
            (0..repeats).for_each(|_| sequence.extend(way));
            sequence.extend(after);
            sequence.resize(40 + 3 * way.len() + 12, 0);
            sequence
        })
        .collect();
    try_all(parameters, &sequences)
}

fn random(steps: usize, generator: &mut impl Rng) -> Vec<u8> {
    let mut shares = mix(generator);
    (0..steps)
        .map(|_| {
            if generator.random_range(0..20) == 0 {
                shares = mix(generator);
            }
            draw(&shares, generator)
        })
        .collect()
}

/// The shortest counterexample among `sequences`, all of one length.
fn try_all(parameters: &Parameters, sequences: &[Vec<u8>]) -> Option<Counterexample> {
    let mut network = Network::new(parameters.config());
    let mut wrong: Option<&[u8]> = None;
    for sequences in sequences.chunks(BATCH) {
        let (steps, batch) = (sequences[0].len(), sequences.len());
        let mut x = Vec::with_capacity(steps * batch * 2);
        for t in 0..steps {
            for sequence in sequences {
                x.extend([f32::from(sequence[t] >> 1), f32::from(sequence[t] & 1)]);
            }
        }
        let outputs = network.forward(parameters, &x, steps, batch);
        for (n, sequence) in sequences.iter().enumerate() {
            let mut carry = false;
            for (t, &pair) in sequence.iter().enumerate() {
                if wrong.is_some_and(|wrong| wrong.len() <= t + 1) {
                    break;
                }
                let (digit, next) = add(pair, carry);
                carry = next;
                if (outputs[t * batch + n] > 0.5) != digit {
                    wrong = Some(&sequence[..=t]);
                }
            }
        }
    }
    let wrong = wrong?;
    let first = Counterexample::of(parameters, wrong)?;
    Some(shorten(parameters, wrong.to_vec(), first))
}

/// Leaves out stretches of pairs, long ones first, as long as the sum stays wrong.
fn shorten(
    parameters: &Parameters,
    mut pairs: Vec<u8>,
    mut found: Counterexample,
) -> Counterexample {
    let mut length = pairs.len() / 2;
    while length > 0 {
        let mut first = 0;
        while first + length <= pairs.len() {
            let shorter = [&pairs[..first], &pairs[first + length..]].concat();
            match Counterexample::of(parameters, &shorter) {
                Some(shorter_found) => (pairs, found) = (shorter, shorter_found),
                None => first += 1,
            }
        }
        length /= 2;
    }
    found
}
