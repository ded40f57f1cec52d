//! Up to which length no word is answered wrongly, by abstract states.
//!
//! ```text
//! reach (n, q, w)  an abstract state that holds the states after all words of n symbols that end
//!                  in w, one or two symbols, before which the machine was in q
//! for n = 1, 2, …  of all words of n symbols: what is reached before the last few is led through
//!                  these. Is the last answer right for all of it? Where it may be wrong: the same
//!                  for each symbol before, from what is reached before that, up to whole words.
//!                  What comes out is what is reached by n
//! ```
//!
//! A whole word that is left over begins at one state, and the network is asked. It is wrong there,
//! and so a shortest counterexample, or next to it, and no more is said.

use crate::abstract_state::{AbstractState, Sums};
use crate::counterexample::Counterexample;
use crate::leaf::{Leaf, Ranges, Widening};
use crate::machine::Transitions;
use crate::memory::axes;
use crate::network::Net;
use crate::sample::Sample;
use std::collections::BTreeMap;

/// The machine's state, and the last symbols since.
type Key = (usize, Vec<u8>);

/// For each length of a word and each end of one, what holds the hidden states.
#[derive(Clone)]
pub(crate) struct Reach {
    /// How many symbols of an end are told apart.
    known: usize,
    /// Of each end, a leaf that holds nothing.
    empty: BTreeMap<Key, Leaf>,
    of: Vec<BTreeMap<Key, Leaf>>,
}

/// More segments than this hold no curve.
const MOST_SEGMENTS: usize = 400;
/// A point is that of a run in f64: one in f32 is this near to it, too.
const WIDENING: Widening = (0.002, 1e-5);
/// The most ends that are told apart.
const ENDS: usize = 64;

impl Reach {
    /// Of no word but the empty one, which ends in nothing.
    pub fn new(net: &Net, machine: &Transitions, sample: &Sample) -> Self {
        let mut ends: Vec<Key> = machine.reachable().map(|state| (state, Vec::new())).collect();
        let mut known = 0;
        while known < 2 && ends.len() * machine.width() <= ENDS {
            known += 1;
            ends = ends.iter().flat_map(|(state, word)| machine.earlier(*state, word)).collect();
        }
        let around = |(before, word): Key| {
            let states = sample.after(net, before, &word);
            let state = machine.follow(before, &word).expect("ends are legal");
            let axes = Some(axes(net, machine, state, &states));
            let about = (machine, net.domain, WIDENING);
            let leaf = Leaf::around(about, (before, &word), axes, None, &states).emptied();
            ((before, word), leaf)
        };
        let mut new = Self { known, of: Vec::new(), empty: ends.into_iter().map(around).collect() };
        new.begin();
        if known == 0 {
            new.hold_point(machine, &[], &vec![0.0; net.hidden]);
        }
        new
    }

    /// Begins the next length.
    pub fn begin(&mut self) {
        self.of.push(self.empty.clone());
    }

    /// The longest words so far have `word` among them, which leads, but for rounding, to `hidden`.
    pub fn hold_point(&mut self, machine: &Transitions, word: &[u8], hidden: &[f64]) {
        let Some(first) = word.len().checked_sub(self.known) else { return };
        let before = machine.follow(0, &word[..first]).expect("words are legal");
        let key = (before, word[first..].to_vec());
        self.last().get_mut(&key).expect("all ends are there").hold_point(hidden);
    }

    /// The longest words so far may have this end, and lead to what `reached` holds. Is that few
    /// enough?
    fn hold(&mut self, end: &Key, reached: &AbstractState) -> bool {
        let leaf = self.last().get_mut(end).expect("all ends are there");
        let mut missed: Vec<(i64, Ranges)> = Vec::new();
        let mut ranges = vec![(0.0, 0.0); reached.center.len()];
        let mut keep = |number, ranges: &Ranges| missed.push((number, ranges.clone()));
        leaf.holds(reached, &mut ranges, Some(&mut keep));
        missed.iter().for_each(|(number, ranges)| leaf.widen(*number, ranges, 0));
        leaf.segments.len() <= MOST_SEGMENTS
    }

    fn last(&mut self) -> &mut BTreeMap<Key, Leaf> {
        self.of.last_mut().expect("the empty word is there")
    }

    /// The longest words that are held.
    fn longest(&self) -> usize {
        self.of.len() - 1
    }
}

/// No more steps of abstract states than this.
const STEPS: u64 = 150_000;
/// Words are no longer than this.
const LONGEST: usize = 64;
/// As many last symbols are followed from the first as there are no more words of than so many.
const WORDS: usize = 1 << 10;
/// The margin that is enough, as the certificates have it.
const LEAST: f64 = 2e-5;

/// Why a length is not shown to be right.
enum Open {
    /// This word may be answered wrongly.
    Word(Vec<u8>),
    /// It would take too long.
    Steps,
}

/// The steps of abstract states along a word, in place.
struct Steps<'a> {
    net: &'a Net,
    machine: &'a Transitions,
    /// Of each depth.
    states: Vec<AbstractState>,
    sums: Sums,
    left: u64,
}

impl<'a> Steps<'a> {
    /// Along words of up to `longest` symbols.
    fn new((net, machine): (&'a Net, &'a Transitions), longest: usize) -> Self {
        let states = vec![AbstractState::new(net.hidden, longest); longest + 1];
        let sums = Sums::new(net.rows(), net.hidden, longest);
        Self { net, machine, states, sums, left: STEPS }
    }

    /// Leads a segment of `leaf`, which is in the first place, through `word`: the margin of the
    /// last answer. What comes out is in the place of the word's length.
    fn along(&mut self, leaf: &Leaf, word: &[u8]) -> f64 {
        let (mut state, mut right, mut error) = (leaf.after, 0, leaf.axes_error);
        for (n, &symbol) in word.iter().enumerate() {
            (state, right) = self.machine.step(state, symbol).expect("it is legal");
            self.net.sums(&self.states[n], error, &mut self.sums);
            self.net.activate(&self.sums, symbol, &mut self.states[n + 1]);
            error = 0.0;
        }
        self.net.margin(&self.states[word.len()], right)
    }

    /// Shows that all answers to words one symbol longer than those of `reach` are right, and adds
    /// what these reach.
    fn show(&mut self, reach: &mut Reach) -> Result<(), Open> {
        let (machine, end) = (self.machine, reach.known);
        reach.begin();
        let length = reach.longest();
        let mut open: Vec<Key> = machine.reachable().map(|state| (state, Vec::new())).collect();
        while let Some((before, word)) = open.pop() {
            let is_few = machine.width().saturating_pow(word.len() as u32 + 1) <= WORDS;
            if word.len() <= end || word.len() < length && is_few {
                open.extend(machine.earlier(before, &word));
                continue;
            }
            let (from, rest) = word.split_at(end);
            let reached = &reach.of[length - rest.len()][&(before, from.to_vec())];
            let leaf = reached.clone();
            let last = machine.follow(before, &word[..rest.len()]).expect("words are legal");
            let to = (last, word[rest.len()..].to_vec());
            let mut is_right = true;
            for segment in leaf.segments.values() {
                self.left = self.left.checked_sub(rest.len() as u64).ok_or(Open::Steps)?;
                leaf.write_state(segment, self.net.domain, &mut self.states[0]);
                let margin = self.along(&leaf, rest);
                // NaN is not above it either.
                if margin > LEAST {
                    if !reach.hold(&to, &self.states[rest.len()]) {
                        return Err(Open::Steps);
                    }
                } else if word.len() == length {
                    return Err(Open::Word(word));
                } else {
                    is_right = false;
                    break;
                }
            }
            if !is_right {
                open.extend(machine.earlier(before, &word));
            }
        }
        Ok(())
    }
}

/// Of a counterexample, a shortest one or the same, and up to which length there is none. The answers
/// to all words of `reach` are right; `confirmed` asks the network about a word.
pub(crate) fn shortest(
    (net, machine): (&Net, &Transitions),
    mut reach: Reach,
    found: Counterexample,
    confirmed: impl Fn(&[u8]) -> Option<Counterexample>,
) -> Counterexample {
    let longest = found.word.len().min(LONGEST);
    let mut steps = Steps::new((net, machine), longest);
    let mut right_up_to = reach.longest();
    while right_up_to + 1 < longest {
        match steps.show(&mut reach) {
            Ok(()) => right_up_to += 1,
            Err(Open::Word(word)) => {
                // It is wrong at its last symbol, as no shorter word is wrong.
                return Counterexample { right_up_to, ..confirmed(&word).unwrap_or(found) };
            }
            Err(Open::Steps) => break,
        }
    }
    Counterexample { right_up_to, ..found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use model::{Architecture, Config, Head, HeadActivation, HeadSteps, Nonlinearity, weights};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use verify::{Cell, Machine};

    #[test]
    fn what_is_reached_holds_the_states_of_words_of_each_length() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../verify/tests/fixtures/certified/two-units-with-biases.safetensors"
        );
        let architecture = Architecture {
            head: Some(Head {
                outputs: 1,
                bias: true,
                activation: HeadActivation::Sigmoid,
                steps: HeadSteps::Every,
            }),
            ..Architecture::new(model::Cell::Elman(Nonlinearity::Sigmoid), 2, 2)
        };
        let config = Config::new(architecture).unwrap();
        let parameters = weights::from_bytes(config, &std::fs::read(file).unwrap()).unwrap();
        let machine = Transitions::new(&Machine::addition());
        let net = Net::new(&parameters, Cell::Sigmoid, &Machine::addition());
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
        let sample = Sample::new(&net, &machine, 100, &mut generator);
        let mut reach = Reach::new(&net, &machine, &sample);
        let start = vec![0.0; net.hidden];
        for length in 1..=3_u32 {
            reach.begin();
            for n in 0..4_usize.pow(length) {
                let word: Vec<u8> = (0..length).map(|at| (n >> (2 * at) & 3) as u8).collect();
                reach.hold_point(&machine, &word, &net.follow(&start, &word));
            }
        }
        let mut steps = Steps::new((&net, &machine), 16);
        for length in 4..=16 {
            assert!(steps.show(&mut reach).is_ok(), "{length}");
            let mix = machine.mix(&mut generator);
            for _ in 0..100 {
                let (word, _) = machine.random_word(length, &mix, &mut generator);
                let held = reach.clone();
                reach.hold_point(&machine, &word, &net.follow(&start, &word));
                let same = held.of[length].iter().zip(&reach.of[length]).all(|(a, b)| a.1 == b.1);
                assert!(same, "{word:?}");
            }
        }
    }
}
