//! The search for a word that a network answers otherwise than a machine: of addition, two numbers
//! that it adds wrongly.
//!
//! ```text
//! all words of up to 10 symbols (of four symbols), the shortest first
//! long chains of symbols that forget nothing, alone and by turns; then mixes of all symbols
//! backwards from the empty word, and from those where a proof failed: which symbol before
//! brings the last output nearest to the edge? A beam search: the nearest few are extended again
//! at last: chains behind every short word
//! ```
//!
//! In a network that forgets, the effect of a symbol on an output shrinks with its distance, so
//! that the best last symbols stay the best, and the beam ends at the worst output there is.
//!
//! The search runs in f64; what it finds wrong, or nearly, is cut at the wrong output, shortened
//! as long as it stays wrong, and is a counterexample only if the network itself, run as users run
//! it, answers it wrongly: of addition [`adder::add`], else [`answers_wrongly`].

use crate::machine::Transitions;
use crate::network::Net;
use model::{Parameters, Stream};
use num_bigint::BigUint;
use rand::{Rng, RngExt};
use train::task::adder;
use verify::Machine;

/// A word that a network answers otherwise than the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The symbols, by number; the answer to the last of them is wrong, or, of an addition, a digit
    /// of the sum of the two numbers that they spell.
    pub word: Vec<usize>,
    /// To all words of up to so many symbols all answers are right.
    pub right_up_to: usize,
}

impl Counterexample {
    /// Of an addition: the two numbers, whose pairs of digits the symbols are, lowest first.
    pub fn operands(&self) -> [BigUint; 2] {
        let number = |bit: usize| {
            let mut number = BigUint::ZERO;
            for (n, pair) in (0..).zip(&self.word) {
                number.set_bit(n, pair >> bit & 1 == 1);
            }
            number
        };
        [number(1), number(0)]
    }

    /// How long it is: of an addition the binary digits of the longer operand, else the symbols.
    pub fn length(&self, machine: &Machine) -> u64 {
        if machine.is_addition() {
            let [a, b] = self.operands();
            return a.bits().max(b.bits());
        }
        self.word.len() as u64
    }

    /// Its symbols by their names, parted by spaces.
    pub fn spell(&self, machine: &Machine) -> String {
        machine.spell(&self.word)
    }
}

/// Does the network, run symbol by symbol, answer the last symbol of `word` otherwise than the
/// machine does? Not where a symbol is not legal.
///
/// # Panics
/// If the network is not one for the machine, or a weight is not finite.
pub fn answers_wrongly(parameters: &Parameters, machine: &Machine, word: &[usize]) -> bool {
    let mut stream = Stream::new(parameters.clone()).expect("a network of finite weights");
    let mut y = vec![0.0; machine.head_outputs()];
    let (mut state, mut right) = (0, 0);
    for &symbol in word {
        let Some((next, output)) = machine.step(state, symbol) else { return false };
        let x: Vec<f32> = machine.shown(symbol).iter().map(|&value| value as f32).collect();
        stream.step(&x, &mut y).expect("as many inputs and outputs as the machine has");
        (state, right) = (next, output);
    }
    let is_right = match &y[..] {
        [y] => (*y > 0.5) == (right == 1),
        _ => y.iter().enumerate().all(|(n, other)| n == right || *other < y[right]),
    };
    !word.is_empty() && !is_right
}

/// All words up to a length are tried, of which there are no more than this.
const EXHAUSTIVE: usize = 1 << 20;
/// An output whose sum is nearer to the edge is tried in f32.
const NEAR: f64 = 1e-3;
/// The most sequences on which a proof failed that are extended.
const MOST_ENDS: usize = 256;
/// The most symbols that are taken into chains.
const MOST_CHAINED: usize = 6;

/// A state of the network, and the word that leads to it.
#[derive(Clone)]
struct Reached {
    hidden: Vec<f64>,
    word: Vec<u8>,
}

/// What is searched.
pub(crate) struct Search<'a> {
    pub parameters: &'a Parameters,
    pub net: &'a Net,
    pub machine: &'a Machine,
    pub transitions: &'a Transitions,
}

impl Search<'_> {
    /// Tries all short words and many long ones.
    pub fn refute(&self, generator: &mut impl Rng) -> Option<Counterexample> {
        let mut states = vec![vec![0.0; self.net.hidden]; self.exhaustive() + 1];
        let mut right_up_to = 0;
        for length in 1..=self.exhaustive() {
            if let Some(found) = self.all_words(&mut states, &mut Vec::new(), 0, length) {
                return Some(Counterexample { right_up_to, ..found });
            }
            right_up_to = length;
        }
        let found = self
            .chains()
            .or_else(|| self.mixes(1_500, generator))
            .or_else(|| self.backwards(12, 24, generator));
        found.map(|found| Counterexample { right_up_to, ..found })
    }

    /// Tries words that end with one of `failed`, on which a proof failed, and many more of
    /// the kinds that [`Search::refute`] tries: the search for a proof took longer anyhow.
    pub fn refute_near(
        &self,
        failed: &[Vec<u8>],
        generator: &mut impl Rng,
    ) -> Option<Counterexample> {
        let states = 0..self.transitions.states;
        let reached: Vec<Vec<Reached>> = states
            .clone()
            .map(|state| {
                let word = self.transitions.word_to(state);
                word.map(|word| self.reach(word.to_vec())).into_iter().collect()
            })
            .collect();
        let step = failed.len().div_ceil(MOST_ENDS).max(1);
        let ends = failed.iter().step_by(step).flat_map(|end| {
            let legal = |&state: &usize| self.transitions.follow(state, end).is_some();
            states.clone().filter(legal).map(|state| (state, end.clone()))
        });
        let found = self
            .extend(&reached, ends.collect(), 30, 24)
            .or_else(|| self.mixes(200_000, generator))
            .or_else(|| self.backwards(30, 100, generator))?;
        Some(Counterexample { right_up_to: self.exhaustive(), ..found })
    }

    /// Tries a chain of each symbol behind every short word: the last that is tried.
    pub fn refute_by_chains(&self) -> Option<Counterexample> {
        const PREFIXES: usize = 1 << 12;
        const CHAIN: usize = 100;
        let (mut found, mut left) = (None, 12);
        let mut words: Vec<Vec<u8>> = vec![Vec::new()];
        while found.is_none() && left > 0 && words.len() * self.transitions.width() <= PREFIXES {
            left -= 1;
            let longer = words.iter().flat_map(|word| {
                self.transitions.all().map(move |symbol| [&**word, &[symbol]].concat())
            });
            words = longer.filter(|word| self.transitions.follow(0, word).is_some()).collect();
            found = words.iter().find_map(|word| {
                self.transitions
                    .all()
                    .find_map(|symbol| self.try_word(&[&**word, &[symbol; CHAIN]].concat()))
            });
        }
        found.map(|found| Counterexample { right_up_to: self.exhaustive(), ..found })
    }

    /// All words of up to so many symbols are tried.
    fn exhaustive(&self) -> usize {
        let symbols = self.transitions.width();
        (1..=20).take_while(|&n| symbols.checked_pow(n).is_some_and(|n| n <= EXHAUSTIVE)).count()
    }

    /// The counterexample that `word` is, if it is one: of an addition, if the network adds the
    /// two numbers wrongly, with one more digit on top where leading zeros would be lost.
    fn confirmed(&self, word: &[u8]) -> Option<Counterexample> {
        let word: Vec<usize> = word.iter().map(|&symbol| usize::from(symbol)).collect();
        if !self.machine.is_addition() {
            return answers_wrongly(self.parameters, self.machine, &word)
                .then_some(Counterexample { word, right_up_to: 0 });
        }
        [&[][..], &[2]].into_iter().find_map(|top| {
            let found = Counterexample { word: [&*word, top].concat(), right_up_to: 0 };
            let [a, b] = found.operands();
            (adder::add(self.parameters, &a, &b).wrong_bits() > 0).then_some(found)
        })
    }

    /// Tries the last output of all words of `length` symbols that begin with `word`.
    fn all_words(
        &self,
        states: &mut [Vec<f64>],
        word: &mut Vec<u8>,
        state: usize,
        length: usize,
    ) -> Option<Counterexample> {
        let depth = word.len();
        for symbol in self.transitions.all() {
            let Some((next, output)) = self.transitions.step(state, symbol) else { continue };
            let (before, after) = states.split_at_mut(depth + 1);
            self.net.step(&before[depth], symbol, &mut after[0]);
            word.push(symbol);
            let found = if depth + 1 < length {
                self.all_words(states, word, next, length)
            } else if self.net.margin_at(&after[0], output) < NEAR {
                self.confirmed(word)
            } else {
                None
            };
            if found.is_some() {
                return found;
            }
            word.pop();
        }
        None
    }

    /// Long chains of symbols that forget nothing, after each symbol and before each.
    fn chains(&self) -> Option<Counterexample> {
        let mut chained = self.transitions.remembering();
        chained.truncate(MOST_CHAINED);
        let mut turns: Vec<Vec<u8>> = chained.iter().map(|&symbol| vec![symbol]).collect();
        for (n, &a) in chained.iter().enumerate() {
            for &b in &chained[n + 1..] {
                turns.extend([vec![a, b], vec![a, a, b], vec![b, b, a], vec![a, a, b, b]]);
            }
        }
        let all = || self.transitions.all();
        let words = turns.iter().flat_map(|turn| {
            all().flat_map(move |first| {
                all().map(move |last| {
                    let chain = turn.iter().copied().cycle().take(300);
                    [first].into_iter().chain(chain).chain([last, last]).collect::<Vec<u8>>()
                })
            })
        });
        words.into_iter().find_map(|word| self.try_word(&word))
    }

    /// Long words, each with probabilities of the symbols of its own.
    fn mixes(&self, count: usize, generator: &mut impl Rng) -> Option<Counterexample> {
        let found = (0..count).filter_map(|n| {
            let mut shares = self.transitions.mix(generator);
            let length = if n % 10 == 0 { 300 } else { 50 };
            let (mut word, mut state) = (Vec::with_capacity(length), 0);
            for _ in 0..length {
                if generator.random_range(0..20) == 0 {
                    shares = self.transitions.mix(generator);
                }
                let Some(symbol) = self.transitions.draw(state, &shares, generator) else { break };
                state = self.transitions.step(state, symbol).expect("a legal symbol was drawn").0;
                word.push(symbol);
            }
            self.try_word(&word)
        });
        // the shortest of the first few
        found.take(8).min_by_key(|found| found.length(self.machine))
    }

    /// From `count` random states of each state of the machine: the last symbols that bring an
    /// output nearest to the edge, by a beam of `kept`.
    fn backwards(
        &self,
        count: usize,
        kept: usize,
        generator: &mut impl Rng,
    ) -> Option<Counterexample> {
        let mut reached = vec![Vec::new(); self.transitions.states];
        reached[0].push(self.reach(Vec::new()));
        // Some states are seldom reached, or a few times only in all words.
        let mut left = 100 * count * self.transitions.states;
        while reached.iter().any(|reached| reached.len() < count) && left > 0 {
            left -= 1;
            let shares = self.transitions.mix(generator);
            let length = generator.random_range(1..30_usize);
            let (word, state) = self.transitions.random_word(length, &shares, generator);
            if reached[state].len() < count {
                let new = self.reach(word);
                reached[state].push(new);
            }
        }
        let ends = self.transitions.reachable().map(|state| (state, vec![])).collect();
        self.extend(&reached, ends, 40, kept)
    }

    /// Extends `ends`, each after the state it names, backwards by up to `symbols` symbols; of each
    /// length `kept` are kept.
    fn extend(
        &self,
        reached: &[Vec<Reached>],
        mut ends: Vec<(usize, Vec<u8>)>,
        symbols: usize,
        kept: usize,
    ) -> Option<Counterexample> {
        for _ in 0..symbols {
            let mut longer = Vec::new();
            for (before, end) in &ends {
                for (before, end) in self.transitions.earlier(*before, end) {
                    let mut nearest = (f64::MAX, 0);
                    for (n, reached) in reached[before].iter().enumerate() {
                        let margin = self.last_margin(&reached.hidden, before, &end);
                        if margin < nearest.0 {
                            nearest = (margin, n);
                        }
                    }
                    if nearest.0 < NEAR {
                        let first = &reached[before][nearest.1].word;
                        let found = self.try_word(&[first.as_slice(), &end].concat());
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

    fn reach(&self, word: Vec<u8>) -> Reached {
        Reached { hidden: self.net.follow(&vec![0.0; self.net.hidden], &word), word }
    }

    /// How far the sum that decides the last output of `word` is on its right side.
    fn last_margin(&self, hidden: &[f64], mut state: usize, word: &[u8]) -> f64 {
        let mut right = 0;
        for &symbol in word {
            (state, right) = self.transitions.step(state, symbol).expect("ends are legal");
        }
        self.net.margin_at(&self.net.follow(hidden, word), right)
    }

    /// Runs a word up to its first wrong output, if there is one, or to where it is not legal, and
    /// shortens it.
    fn try_word(&self, word: &[u8]) -> Option<Counterexample> {
        let (mut hidden, mut state) = (vec![0.0; self.net.hidden], 0);
        let mut next = hidden.clone();
        for (n, &symbol) in word.iter().enumerate() {
            let (after, output) = self.transitions.step(state, symbol)?;
            self.net.step(&hidden, symbol, &mut next);
            std::mem::swap(&mut hidden, &mut next);
            state = after;
            if self.net.margin_at(&hidden, output) < NEAR {
                let wrong = &word[..=n];
                if let Some(found) = self.confirmed(wrong) {
                    return Some(self.shorten(wrong.to_vec(), found));
                }
            }
        }
        None
    }

    /// Leaves out stretches of symbols, long ones first, as long as the answer stays wrong.
    fn shorten(&self, mut word: Vec<u8>, mut found: Counterexample) -> Counterexample {
        let mut length = word.len() / 2;
        while length > 0 {
            let mut first = 0;
            while first + length <= word.len() {
                let shorter = [&word[..first], &word[first + length..]].concat();
                match self.confirmed(&shorter) {
                    Some(shorter_found) => (word, found) = (shorter, shorter_found),
                    None => first += 1,
                }
            }
            length /= 2;
        }
        found
    }
}
