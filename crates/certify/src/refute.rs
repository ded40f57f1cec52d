//! The search for two numbers that a network adds wrongly.
//!
//! ```text
//! all sequences of up to 10 pairs, the shortest first
//! long carry chains, of 01, of 10 and of both by turns; then mixes of pairs of all kinds
//! backwards from the empty sequence, and from those where a proof failed: which pair before
//! brings the last output nearest to ½? A beam search: the nearest few are extended again
//! ```
//!
//! In a network that forgets, the effect of a pair on an output shrinks with its distance, so
//! that the best last pairs stay the best, and the beam ends at the worst output there is.
//!
//! The search runs in f64; what it finds wrong, or nearly, is cut at the wrong digit, shortened
//! as long as it stays wrong, and is a counterexample only if [`adder::add`], which
//! users meet, adds the two numbers wrongly.

use crate::network::Net;
use crate::pairs::{add, draw, earlier, mix};
use model::Parameters;
use num_bigint::BigUint;
use rand::{Rng, RngExt};
use train::task::adder;

/// Two numbers that a network adds wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The first operand.
    pub a: BigUint,
    /// The second operand.
    pub b: BigUint,
    /// All sums of operands of up to so many digits have all these digits right.
    pub right_up_to: usize,
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
            let found = Self { a: number(1, top), b: number(0, false), right_up_to: 0 };
            (adder::add(parameters, &found.a, &found.b).wrong_bits() > 0).then_some(found)
        })
    }
}

/// All sequences up to this length are tried.
const EXHAUSTIVE: usize = 10;
/// An output whose sum is nearer to 0 is tried in f32.
const NEAR: f64 = 1e-3;

/// Tries all short sums and many long ones.
pub(crate) fn refute(
    parameters: &Parameters,
    net: &Net,
    generator: &mut impl Rng,
) -> Option<Counterexample> {
    let mut search = Search { parameters, net, states: vec![vec![0.0; net.hidden]; 2] };
    let mut right_up_to = 0;
    search.states.resize(EXHAUSTIVE + 1, vec![0.0; net.hidden]);
    for length in 1..=EXHAUSTIVE {
        if let Some(found) = search.exhaustive(&mut Vec::new(), false, length) {
            return Some(Counterexample { right_up_to, ..found });
        }
        right_up_to = length;
    }
    let found = search
        .chains()
        .or_else(|| search.mixes(1_500, generator))
        .or_else(|| search.backwards(12, 24, generator));
    found.map(|found| Counterexample { right_up_to, ..found })
}

/// The most sequences on which a proof failed that are extended.
const MOST_ENDS: usize = 256;

/// Tries sequences that end with one of `failed`, on which a proof failed, and many more of
/// the kinds that [`refute`] tries: the search for a proof took longer anyhow.
pub(crate) fn refute_near(
    parameters: &Parameters,
    net: &Net,
    failed: &[Vec<u8>],
    generator: &mut impl Rng,
) -> Option<Counterexample> {
    let search = Search { parameters, net, states: Vec::new() };
    let origin = Reached { state: vec![0.0; net.hidden], pairs: Vec::new() };
    let after_carry = search.follow(&origin, &[3]);
    let reached = [vec![origin], vec![after_carry]];
    let step = failed.len().div_ceil(MOST_ENDS).max(1);
    let ends =
        failed.iter().step_by(step).flat_map(|end| [(false, end.clone()), (true, end.clone())]);
    let found = search
        .extend(&reached, ends.collect(), 30, 24)
        .or_else(|| search.mixes(200_000, generator))
        .or_else(|| search.backwards(30, 100, generator))?;
    Some(Counterexample { right_up_to: EXHAUSTIVE, ..found })
}

/// A state, and the pairs that lead to it.
struct Reached {
    state: Vec<f64>,
    pairs: Vec<u8>,
}

struct Search<'a> {
    parameters: &'a Parameters,
    net: &'a Net,
    /// The states after each number of pairs.
    states: Vec<Vec<f64>>,
}

impl Search<'_> {
    /// Tries the last digit of all sequences of `length` pairs that begin with `pairs`.
    fn exhaustive(
        &mut self,
        pairs: &mut Vec<u8>,
        carry: bool,
        length: usize,
    ) -> Option<Counterexample> {
        let depth = pairs.len();
        for pair in 0..4 {
            let (digit, next) = add(pair, carry);
            let (before, after) = self.states.split_at_mut(depth + 1);
            self.net.step(&before[depth], pair, &mut after[0]);
            pairs.push(pair);
            let found = if depth + 1 < length {
                self.exhaustive(pairs, next, length)
            } else if self.net.margin_at(&after[0], digit) < NEAR {
                Counterexample::of(self.parameters, pairs)
            } else {
                None
            };
            if found.is_some() {
                return found;
            }
            pairs.pop();
        }
        None
    }

    /// Long carry chains, after each pair and before each.
    fn chains(&self) -> Option<Counterexample> {
        let turns: [&[u8]; 6] = [&[1], &[2], &[1, 2], &[1, 1, 2], &[2, 2, 1], &[1, 1, 2, 2]];
        let sequences = turns.iter().flat_map(|turn| {
            (0..4).flat_map(move |first| {
                (0..4).map(move |last| {
                    let chain = turn.iter().copied().cycle().take(300);
                    [first].into_iter().chain(chain).chain([last, last]).collect::<Vec<u8>>()
                })
            })
        });
        sequences.into_iter().find_map(|sequence| self.try_sequence(&sequence))
    }

    /// Long sequences, each with probabilities of the pairs of its own.
    fn mixes(&self, count: usize, generator: &mut impl Rng) -> Option<Counterexample> {
        let found = (0..count).filter_map(|n| {
            let mut shares = mix(generator);
            let length = if n % 10 == 0 { 300 } else { 50 };
            let mut random = || {
                if generator.random_range(0..20) == 0 {
                    shares = mix(generator);
                }
                draw(&shares, generator)
            };
            self.try_sequence(&(0..length).map(|_| random()).collect::<Vec<u8>>())
        });
        // the shortest of the first few
        found.take(8).min_by_key(Counterexample::bits)
    }

    /// From `count` random states of each carry: the last pairs that bring an output nearest to
    /// ½, by a beam of `kept`.
    fn backwards(
        &self,
        count: usize,
        kept: usize,
        generator: &mut impl Rng,
    ) -> Option<Counterexample> {
        let mut reached =
            [vec![Reached { state: vec![0.0; self.net.hidden], pairs: vec![] }], vec![]];
        while reached.iter().any(|reached| reached.len() < count) {
            let shares = mix(generator);
            let pairs: Vec<u8> = (0..generator.random_range(1..30_usize))
                .map(|_| draw(&shares, generator))
                .collect();
            let carry = pairs.iter().fold(false, |carry, &pair| add(pair, carry).1);
            let reached = &mut reached[usize::from(carry)];
            if reached.len() < count {
                reached.push(
                    self.follow(
                        &Reached { state: vec![0.0; self.net.hidden], pairs: vec![] },
                        &pairs,
                    ),
                );
            }
        }
        self.extend(&reached, vec![(false, vec![]), (true, vec![])], 40, kept)
    }

    /// Extends `ends`, each after the carry it names, backwards by up to `pairs` pairs; of each
    /// length `kept` are kept.
    fn extend(
        &self,
        reached: &[Vec<Reached>; 2],
        mut ends: Vec<(bool, Vec<u8>)>,
        pairs: usize,
        kept: usize,
    ) -> Option<Counterexample> {
        for _ in 0..pairs {
            let mut longer = Vec::new();
            for (before, end) in &ends {
                for (before, end) in earlier(*before, end) {
                    let mut nearest = (f64::MAX, 0);
                    for (n, reached) in reached[usize::from(before)].iter().enumerate() {
                        let margin = self.last_margin(&reached.state, before, &end);
                        if margin < nearest.0 {
                            nearest = (margin, n);
                        }
                    }
                    if nearest.0 < NEAR {
                        let first = &reached[usize::from(before)][nearest.1].pairs;
                        let found = self.try_sequence(&[first.as_slice(), &end].concat());
                        if found.is_some() {
                            return found;
                        }
                    }
                    longer.push((nearest.0, before, end));
                }
            }
            longer.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.2.cmp(&b.2)));
            longer.truncate(kept);
            ends = longer.into_iter().map(|(_, before, end)| (before, end)).collect();
        }
        None
    }

    fn follow(&self, reached: &Reached, pairs: &[u8]) -> Reached {
        let (mut state, mut next) = (reached.state.clone(), reached.state.clone());
        for &pair in pairs {
            self.net.step(&state, pair, &mut next);
            std::mem::swap(&mut state, &mut next);
        }
        Reached { state, pairs: [reached.pairs.as_slice(), pairs].concat() }
    }

    /// How far the sum before the last output of `pairs` is on its right side.
    fn last_margin(&self, state: &[f64], mut carry: bool, pairs: &[u8]) -> f64 {
        let (mut state, mut next, mut digit) = (state.to_vec(), state.to_vec(), false);
        for &pair in pairs {
            self.net.step(&state, pair, &mut next);
            std::mem::swap(&mut state, &mut next);
            (digit, carry) = add(pair, carry);
        }
        self.net.margin_at(&state, digit)
    }

    /// Runs a sequence up to its first wrong digit, if there is one, and shortens it.
    fn try_sequence(&self, pairs: &[u8]) -> Option<Counterexample> {
        let (mut state, mut carry) = (vec![0.0; self.net.hidden], false);
        let mut next = state.clone();
        for (n, &pair) in pairs.iter().enumerate() {
            self.net.step(&state, pair, &mut next);
            std::mem::swap(&mut state, &mut next);
            let (digit, after) = add(pair, carry);
            carry = after;
            if self.net.margin_at(&state, digit) < NEAR {
                let wrong = &pairs[..=n];
                if let Some(found) = Counterexample::of(self.parameters, wrong) {
                    return Some(shorten(self.parameters, wrong.to_vec(), found));
                }
            }
        }
        None
    }
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
