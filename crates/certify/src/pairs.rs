//! Binary addition as the proofs see it: a pair of digits a step, and the carry.
//!
//! A pair is a number from 0 to 3, the digit of the first operand above that of the second.

use rand::{Rng, RngExt};

/// The sum digit and the next carry.
pub(crate) fn add(pair: u8, carry: bool) -> (bool, bool) {
    let sum = (pair >> 1) + (pair & 1) + u8::from(carry);
    (sum & 1 == 1, sum >= 2)
}

/// How often each pair comes up: now even, now long chains of few kinds.
pub(crate) fn mix(generator: &mut impl Rng) -> [f64; 4] {
    let mut mix = [0.0; 4];
    let power = generator.random_range(0.0..6.0);
    for share in &mut mix {
        *share = generator.random_range(0.0..1.0_f64).powf(power) + 1e-3;
    }
    let sum: f64 = mix.iter().sum();
    mix.map(|share| share / sum)
}

pub(crate) fn draw(mix: &[f64; 4], generator: &mut impl Rng) -> u8 {
    let mut rest = generator.random_range(0.0..1.0_f64);
    for (pair, share) in (0..4).zip(mix) {
        rest -= share;
        if rest < 0.0 {
            return pair;
        }
    }
    3
}

/// Histories one pair longer that end with it.
pub(crate) fn earlier(before: bool, pairs: &[u8]) -> impl Iterator<Item = (bool, Vec<u8>)> {
    (0..4)
        .flat_map(|pair| [(pair, false), (pair, true)])
        .filter(move |&(pair, earlier)| add(pair, earlier).1 == before)
        .map(move |(pair, earlier)| (earlier, [&[pair], pairs].concat()))
}
