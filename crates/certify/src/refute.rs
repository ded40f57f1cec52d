//! The search for a word that a network answers otherwise than a machine.
//!
//! ```text
//! all words of up to 10 symbols (of four symbols), the shortest first
//! long chains of symbols that forget nothing, alone and by turns; then mixes of all symbols
//! backwards from the empty word, and from those where a proof failed: which symbol before
//! brings the last output nearest to the edge? A beam search: the nearest few are extended again
//! chains behind all words, one of those that lead to the same place
//! at last: backwards from the ends of long chains of one symbol: what before them leaves the
//! network longest between two answers?
//! ```
//!
//! In a network that forgets, the effect of a symbol on an output shrinks with its distance, so
//! that the best last symbols stay the best, and the beam ends at the worst output there is.
//!
//! The search runs in f64; what it finds wrong, or nearly, is cut at the wrong output, shortened
//! as long as it stays wrong, and is a counterexample only if the network itself, run as users run
//! it, answers it wrongly.

use crate::bounded::{Reach, shortest};
use crate::counterexample::{Counterexample, first_wrong};
use crate::machine::Transitions;
use crate::network::Net;
use crate::sample::Sample;
use model::Parameters;
use rand::{Rng, RngExt};
use std::collections::{HashSet, VecDeque};
use verify::Machine;

/// All words up to a length are tried, of which there are no more than this.
const EXHAUSTIVE: usize = 1 << 20;
/// An output whose sum is nearer to the edge is tried in f32.
const NEAR: f64 = 1e-3;
/// The most sequences on which a proof failed that are extended.
const MOST_ENDS: usize = 256;
/// The most symbols that are taken into chains.
const MOST_CHAINED: usize = 6;
/// A chain by whose end words before it are judged: long enough to leave a saddle visibly, and not
/// so long that all words but a few look the same.
const CHAIN: usize = 24;
/// How many times as long the chain is that is tried behind the best of them.
const CHAINS: usize = 12;
/// The most symbols and states of the machine from which chains are asked.
const MOST_CHAIN_ENDS: usize = 24;

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
    pub sample: &'a Sample,
}

impl Search<'_> {
    /// Tries all short words and many long ones. What it finds is as short as it can be shown.
    pub fn refute(&self, generator: &mut impl Rng) -> Option<Counterexample> {
        let reach = match self.short_words() {
            Ok(reach) => reach,
            Err(found) => return Some(found),
        };
        let found = self
            .chains()
            .or_else(|| self.mixes(1_500, generator))
            .or_else(|| self.backwards(12, 24, generator))
            .or_else(|| self.chains_behind_places())
            .or_else(|| self.before_chains(generator))?;
        Some(self.shortest(reach, found))
    }

    /// Tries all short words, the shortest first.
    fn short_words(&self) -> Result<Reach, Counterexample> {
        let mut states = vec![vec![0.0; self.net.hidden]; self.exhaustive() + 1];
        let mut reach = Reach::new(self.net, self.transitions, self.sample);
        for length in 1..=self.exhaustive() {
            reach.begin();
            let found = self.all_words(&mut states, &mut Vec::new(), 0, length, &mut reach);
            if let Some(found) = found {
                return Err(Counterexample { right_up_to: length - 1, ..found });
            }
        }
        Ok(reach)
    }

    /// A shorter one, if abstract states lead to one, and up to which length there is none.
    fn shortest(&self, reach: Reach, found: Counterexample) -> Counterexample {
        shortest((self.net, self.transitions), reach, found, |word| self.confirmed(word))
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
            .extend(&reached, ends.collect(), &[], 30, 24)
            .or_else(|| self.mixes(200_000, generator))
            .or_else(|| self.backwards(30, 100, generator))?;
        Some(self.short_words().map_or_else(|found| found, |reach| self.shortest(reach, found)))
    }

    /// Chains of each symbol behind words, of which those that lead to the same place count once: the
    /// machine's state, and a cell of a grid. A network that stands between two answers leaves that
    /// place after many steps only.
    fn chains_behind_places(&self) -> Option<Counterexample> {
        const CELLS: f64 = 64.0;
        const PLACES: usize = 1 << 13;
        const CHAIN: usize = 200;
        const STILL: f64 = 1e-6;
        let place = |hidden: &[f64], state: usize| {
            let cells = hidden.iter().map(|value| (value * CELLS).round() as i16);
            (state, cells.collect::<Vec<i16>>())
        };
        let start = vec![0.0; self.net.hidden];
        let (mut next, mut further) = (start.clone(), start.clone());
        let mut seen = HashSet::from([place(&start, 0)]);
        let mut open = VecDeque::from([(start, 0, Vec::new())]);
        let mut shortest: Option<Counterexample> = None;
        while let Some((hidden, state, word)) = open.pop_front() {
            for symbol in self.transitions.all() {
                let Some((after, _)) = self.transitions.step(state, symbol) else { continue };
                self.net.step(&hidden, symbol, &mut next);
                if seen.len() < PLACES && seen.insert(place(&next, after)) {
                    open.push_back((next.clone(), after, [&*word, &[symbol]].concat()));
                }
                let mut now = state;
                next.copy_from_slice(&hidden);
                let longest = shortest.as_ref().map_or(usize::MAX, |found| found.word.len() - 1);
                for n in 1..=CHAIN.min(longest.saturating_sub(word.len())) {
                    let Some((after, output)) = self.transitions.step(now, symbol) else { break };
                    self.net.step(&next, symbol, &mut further);
                    if self.net.margin_at(&further, output) < NEAR {
                        let found = self.try_word(&[&*word, &vec![symbol; n]].concat());
                        if found.is_some() {
                            shortest = found;
                            break;
                        }
                    }
                    let moved = next.iter().zip(&further).map(|(a, b)| (a - b).abs());
                    let is_still = now == after && moved.fold(0.0, f64::max) < STILL;
                    std::mem::swap(&mut next, &mut further);
                    now = after;
                    if is_still {
                        break;
                    }
                }
            }
        }
        shortest
    }

    /// All words of up to so many symbols are tried.
    fn exhaustive(&self) -> usize {
        let symbols = self.transitions.width();
        (1..=20).take_while(|&n| symbols.checked_pow(n).is_some_and(|n| n <= EXHAUSTIVE)).count()
    }

    /// The counterexample that `word` begins with, up to the first wrong answer.
    fn confirmed(&self, word: &[u8]) -> Option<Counterexample> {
        let mut word: Vec<usize> = word.iter().map(|&symbol| usize::from(symbol)).collect();
        let wrong = first_wrong(self.parameters, self.machine, &word)?;
        word.truncate(wrong + 1);
        Some(Counterexample { word, right_up_to: 0 })
    }

    /// Tries the last output of all words of `length` symbols that begin with `word`.
    fn all_words(
        &self,
        states: &mut [Vec<f64>],
        word: &mut Vec<u8>,
        state: usize,
        length: usize,
        reach: &mut Reach,
    ) -> Option<Counterexample> {
        let depth = word.len();
        for symbol in self.transitions.all() {
            let Some((next, output)) = self.transitions.step(state, symbol) else { continue };
            let (before, after) = states.split_at_mut(depth + 1);
            self.net.step(&before[depth], symbol, &mut after[0]);
            word.push(symbol);
            if depth + 1 == length {
                reach.hold_point(self.transitions, word, &after[0]);
            }
            let found = if depth + 1 < length {
                self.all_words(states, word, next, length, reach)
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
        let reached = self.reach_randomly(count, generator);
        let ends = self.transitions.reachable().map(|state| (state, vec![])).collect();
        self.extend(&reached, ends, &[], 40, kept)
    }

    /// [`Search::backwards`] from the ends of long chains of each symbol that forgets nothing.
    ///
    /// Between the two places that a chain may lead to lies a saddle, which it leaves slowly. Words
    /// that end beyond it by a hair's breadth are wrong only after a chain that is longer still, which
    /// is tried behind the best.
    fn before_chains(&self, generator: &mut impl Rng) -> Option<Counterexample> {
        let reached = self.reach_randomly(12, generator);
        let symbols = self.transitions.remembering().into_iter().take(MOST_CHAINED);
        let ends =
            symbols.flat_map(|symbol| self.transitions.reachable().map(move |end| (symbol, end)));
        ends.take(MOST_CHAIN_ENDS).find_map(|(symbol, state)| {
            let chain = [symbol; CHAIN];
            self.transitions.follow(state, &chain)?;
            self.extend(&reached, vec![(state, vec![])], &chain, 16, 24)
        })
    }

    /// `count` random states of each state of the machine, and the start.
    fn reach_randomly(&self, count: usize, generator: &mut impl Rng) -> Vec<Vec<Reached>> {
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
        reached
    }

    /// Extends `ends`, each after the state it names, backwards by up to `symbols` symbols; of each
    /// length `kept` are kept, those that bring the output after `chain` behind them nearest to the
    /// edge. Behind the best of them a chain of many times its length is tried.
    fn extend(
        &self,
        reached: &[Vec<Reached>],
        mut ends: Vec<(usize, Vec<u8>)>,
        chain: &[u8],
        symbols: usize,
        kept: usize,
    ) -> Option<Counterexample> {
        for _ in 0..symbols {
            let mut longer = Vec::new();
            for (before, end) in &ends {
                for (before, end) in self.transitions.earlier(*before, end) {
                    let word = [&*end, chain].concat();
                    let mut nearest = (f64::MAX, 0);
                    for (n, reached) in reached[before].iter().enumerate() {
                        let margin = self.last_margin(&reached.hidden, before, &word);
                        if margin < nearest.0 {
                            nearest = (margin, n);
                        }
                    }
                    if nearest.0 < NEAR {
                        let first = &reached[before][nearest.1].word;
                        let found = self.try_word(&[first, &*word].concat());
                        if found.is_some() {
                            return found;
                        }
                    }
                    longer.push((nearest.0, before, end, nearest.1));
                }
            }
            longer.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.2.cmp(&b.2)));
            longer.truncate(kept);
            if let Some((margin, before, end, n)) = longer.first()
                && !chain.is_empty()
                && *margin < f64::MAX
            {
                let first = &reached[*before][*n].word;
                let found = self.try_word(&[first, &**end, &chain.repeat(CHAINS)].concat());
                if found.is_some() {
                    return found;
                }
            }
            ends = longer.into_iter().map(|(_, before, end, _)| (before, end)).collect();
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
            length = length.min(word.len());
            let mut first = 0;
            while first + length <= word.len() {
                let shorter = [&word[..first], &word[first + length..]].concat();
                match self.confirmed(&shorter) {
                    Some(shorter) => {
                        word = shorter.word.iter().map(|&symbol| symbol as u8).collect();
                        found = shorter;
                    }
                    None => first += 1,
                }
            }
            length /= 2;
        }
        found
    }
}
