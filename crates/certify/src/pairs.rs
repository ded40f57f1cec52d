//! Binary addition as the search sees it: a pair of digits a step, and the carry.
//!
//! A pair is a number from 0 to 3: twice the digit of the first operand, plus that of the second.

use rand::{Rng, RngExt};

/// The sum digit and the next carry.
pub(crate) fn add(pair: u8, carry: bool) -> (bool, bool) {
    let sum = (pair >> 1) + (pair & 1) + u8::from(carry);
    (sum & 1 == 1, sum >= 2)
}

/// Random probabilities of the four pairs, from nearly equal ones to nearly one pair alone.
pub(crate) fn mix(generator: &mut impl Rng) -> [f64; 4] {
    let mut mix = [0.0; 4];
    let power = generator.random_range(0.0..6.0);
    for share in &mut mix {
        *share = generator.random_range(0.0..1.0_f64).powf(power) + 1e-3;
    }
    let sum: f64 = mix.iter().sum();
    mix.map(|share| share / sum)
}

/// A pair drawn with the probabilities `mix`.
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

/// The histories one pair longer than that of `pairs` with the carry `before`: each the carry
/// before it, and its pairs.
pub(crate) fn earlier(before: bool, pairs: &[u8]) -> impl Iterator<Item = (bool, Vec<u8>)> {
    (0..4)
        .flat_map(|pair| [(pair, false), (pair, true)])
        .filter(move |&(pair, earlier)| add(pair, earlier).1 == before)
        .map(move |(pair, earlier)| (earlier, [&[pair], pairs].concat()))
}
