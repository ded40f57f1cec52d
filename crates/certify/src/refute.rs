//! The search for two numbers that a network adds wrongly.
//!
//! ```text
//! all sequences of up to 10 pairs, the shortest first
//! long carry chains, of 01, of 10 and of both by turns; then mixes of pairs of all kinds
//! backwards from every last pairs, and from those where a proof failed: which pair before
//! them brings the output nearest to ½? The nearest few are kept, and made longer
//! ```
//!
//! A network that forgets makes the last search one for the worst output there is: what a
//! pair does to it shrinks with its distance, so that what is best near the end stays best.
//!
//! The search runs in f64; what it finds wrong, or nearly, is cut at the wrong digit, made
//! shorter as long as it stays wrong, and is a counterexample only if [`adder::add`], which
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
        if let Some(found) = search.all(&mut Vec::new(), false, length) {
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

/// The most ways on which a proof failed that are gone back.
const MOST_WAYS: usize = 256;

/// Tries sequences that end with one of `ways`, where a proof failed, and many more of those
/// that [`refute`] tries: the search for a proof took longer.
pub(crate) fn refute_near(
    parameters: &Parameters,
    net: &Net,
    ways: &[Vec<u8>],
    generator: &mut impl Rng,
) -> Option<Counterexample> {
    let search = Search { parameters, net, states: Vec::new() };
    let origin = Seen { state: vec![0.0; net.hidden], pairs: Vec::new() };
    let after_carry = search.follow(&origin, &[3]);
    let seen = [vec![origin], vec![after_carry]];
    let step = ways.len().div_ceil(MOST_WAYS).max(1);
    let ends =
        ways.iter().step_by(step).flat_map(|way| [(false, way.clone()), (true, way.clone())]);
    let found = search
        .longer(&seen, ends.collect(), 30, 24)
        .or_else(|| search.mixes(200_000, generator))
        .or_else(|| search.backwards(30, 100, generator))?;
    Some(Counterexample { right_up_to: EXHAUSTIVE, ..found })
}

/// A state and how it was come to.
struct Seen {
    state: Vec<f64>,
    pairs: Vec<u8>,
}

struct Search<'a> {
    parameters: &'a Parameters,
    net: &'a Net,
    /// By how many pairs led there.
    states: Vec<Vec<f64>>,
}

impl Search<'_> {
    /// All sequences of `length` pairs that begin with `pairs`; their last digit is looked at.
    fn all(&mut self, pairs: &mut Vec<u8>, carry: bool, length: usize) -> Option<Counterexample> {
        let depth = pairs.len();
        for pair in 0..4 {
            let (digit, next) = add(pair, carry);
            let (before, after) = self.states.split_at_mut(depth + 1);
            self.net.step(&before[depth], pair, &mut after[0]);
            pairs.push(pair);
            let found = if depth + 1 < length {
                self.all(pairs, next, length)
            } else if self.net.margin_of(&after[0], digit) < NEAR {
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

    /// The longest carries there are, after each pair and before each.
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
        sequences.into_iter().find_map(|sequence| self.look(&sequence))
    }

    /// Long sequences, each with mixes of pairs of its own.
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
            self.look(&(0..length).map(|_| random()).collect::<Vec<u8>>())
        });
        // the shortest of the first few
        found.take(8).min_by_key(Counterexample::bits)
    }

    /// From `count` states of each carry that mixes of pairs lead to, the last pairs that bring
    /// an output nearest to ½, of which `kept` are kept.
    fn backwards(
        &self,
        count: usize,
        kept: usize,
        generator: &mut impl Rng,
    ) -> Option<Counterexample> {
        let mut seen = [vec![Seen { state: vec![0.0; self.net.hidden], pairs: vec![] }], vec![]];
        while seen.iter().any(|seen| seen.len() < count) {
            let shares = mix(generator);
            let pairs: Vec<u8> = (0..generator.random_range(1..30_usize))
                .map(|_| draw(&shares, generator))
                .collect();
            let carry = pairs.iter().fold(false, |carry, &pair| add(pair, carry).1);
            let seen = &mut seen[usize::from(carry)];
            if seen.len() < count {
                seen.push(
                    self.follow(&Seen { state: vec![0.0; self.net.hidden], pairs: vec![] }, &pairs),
                );
            }
        }
        self.longer(&seen, vec![(false, vec![]), (true, vec![])], 40, kept)
    }

    /// Puts up to `pairs` pairs before `ends`, each after the carry it names; of each length
    /// `kept` are kept.
    fn longer(
        &self,
        seen: &[Vec<Seen>; 2],
        mut ends: Vec<(bool, Vec<u8>)>,
        pairs: usize,
        kept: usize,
    ) -> Option<Counterexample> {
        for _ in 0..pairs {
            let mut longer = Vec::new();
            for (before, end) in &ends {
                for (before, end) in earlier(*before, end) {
                    let mut nearest = (f64::MAX, 0);
                    for (n, seen) in seen[usize::from(before)].iter().enumerate() {
                        let margin = self.last_margin(&seen.state, before, &end);
                        if margin < nearest.0 {
                            nearest = (margin, n);
                        }
                    }
                    if nearest.0 < NEAR {
                        let first = &seen[usize::from(before)][nearest.1].pairs;
                        let found = self.look(&[first.as_slice(), &end].concat());
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

    fn follow(&self, seen: &Seen, pairs: &[u8]) -> Seen {
        let (mut state, mut next) = (seen.state.clone(), seen.state.clone());
        for &pair in pairs {
            self.net.step(&state, pair, &mut next);
            std::mem::swap(&mut state, &mut next);
        }
        Seen { state, pairs: [seen.pairs.as_slice(), pairs].concat() }
    }

    /// How far the sum before the last output of `pairs` is on its right side.
    fn last_margin(&self, state: &[f64], mut carry: bool, pairs: &[u8]) -> f64 {
        let (mut state, mut next, mut digit) = (state.to_vec(), state.to_vec(), false);
        for &pair in pairs {
            self.net.step(&state, pair, &mut next);
            std::mem::swap(&mut state, &mut next);
            (digit, carry) = add(pair, carry);
        }
        self.net.margin_of(&state, digit)
    }

    /// Runs a sequence up to its first wrong digit, if there is one, and makes it short.
    fn look(&self, pairs: &[u8]) -> Option<Counterexample> {
        let (mut state, mut carry) = (vec![0.0; self.net.hidden], false);
        let mut next = state.clone();
        for (n, &pair) in pairs.iter().enumerate() {
            self.net.step(&state, pair, &mut next);
            std::mem::swap(&mut state, &mut next);
            let (digit, after) = add(pair, carry);
            carry = after;
            if self.net.margin_of(&state, digit) < NEAR {
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
