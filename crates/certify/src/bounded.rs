//! Up to which length no word is answered wrongly, by abstract states.
//!
//! ```text
//! hull of (n, q)   a box that holds the states of all words of n symbols that lead the machine to q
//! for n = 1, 2, …  of all words of n symbols: the box after all but the last few symbols is led
//!                  through these. Is the last answer right for all of it? If it may be wrong: the
//!                  same for each symbol before, with that much less in the box, up to whole words
//!                  what comes out is within the hulls of n
//! ```
//!
//! A whole word that is left over begins at one state, and the network is asked. It is wrong there,
//! and so a shortest counterexample, or next to it, and no more is said.

use crate::abstract_state::{AbstractState, Sums};
use crate::counterexample::Counterexample;
use crate::refute::Search;

/// A box: the least and the largest of each number of a state.
type Hull = (Vec<f64>, Vec<f64>);

/// For each length of a word and each state of the machine after it, a box that holds the hidden
/// states; none where no word leads there.
#[derive(Clone, Debug)]
pub(crate) struct Hulls {
    /// N
    size: usize,
    of: Vec<Vec<Option<Hull>>>,
}

/// How far the state of a run in f32 may be from that in f64 after a few steps, and a little more.
const APART: f64 = 1e-4;

impl Hulls {
    /// Of the empty word alone.
    pub fn new(states: usize, size: usize) -> Self {
        let mut first = vec![None; states];
        first[0] = Some((vec![0.0; size], vec![0.0; size]));
        Self { size, of: vec![first] }
    }

    /// Begins the next length.
    pub fn begin(&mut self) {
        self.of.push(vec![None; self.of[0].len()]);
    }

    /// The longest words so far that lead to `state` may have ranges like these.
    fn hold(&mut self, state: usize, range: impl Fn(usize) -> (f64, f64)) {
        let last = self.of.last_mut().expect("the empty word is there");
        let none = || (vec![f64::MAX; self.size], vec![f64::MIN; self.size]);
        let (lows, highs) = last[state].get_or_insert_with(none);
        for (n, (least, most)) in lows.iter_mut().zip(highs).enumerate() {
            let (low, high) = range(n);
            (*least, *most) = (least.min(low), most.max(high));
        }
    }

    /// One of the longest words so far leads to `state` and, but for rounding, to `hidden`.
    pub fn hold_point(&mut self, state: usize, hidden: &[f64]) {
        self.hold(state, |n| (hidden[n] - APART, hidden[n] + APART));
    }

    fn of(&self, length: usize, state: usize) -> Option<&Hull> {
        self.of[length][state].as_ref()
    }

    /// The longest words that are held.
    fn longest(&self) -> usize {
        self.of.len() - 1
    }
}

/// No more steps of abstract states than this.
const STEPS: u64 = 100_000;
/// Words are no longer than this.
const LONGEST: usize = 48;
/// As many last symbols are followed from the first as lead to no more than so many words.
const WORDS: usize = 512;
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
    search: &'a Search<'a>,
    /// `[LONGEST + 1]`
    states: Vec<AbstractState>,
    sums: Sums,
    left: u64,
}

impl Steps<'_> {
    /// Leads the box through `word`: the margin of the last answer, and the machine's state then.
    /// What comes out is in the place of the word's length.
    fn along(&mut self, (low, high): &Hull, mut state: usize, word: &[u8]) -> (f64, usize) {
        let net = self.search.net;
        let first = &mut self.states[0];
        first.columns = 0;
        for n in 0..low.len() {
            let (least, most) = net.domain.of(n);
            let (low, high) = (low[n].max(least), high[n].min(most));
            (first.low[n], first.high[n]) = (low, high);
            (first.center[n], first.own[n]) = (0.5 * (low + high), 0.5 * (high - low));
        }
        let mut right = 0;
        for (n, &symbol) in word.iter().enumerate() {
            (state, right) = self.search.transitions.step(state, symbol).expect("it is legal");
            net.sums(&self.states[n], 0.0, &mut self.sums);
            net.activate(&self.sums, symbol, &mut self.states[n + 1]);
        }
        (net.margin(&self.states[word.len()], right), state)
    }

    /// Shows that all answers to words one symbol longer than those of `hulls` are right, and adds
    /// their hulls.
    fn show(&mut self, hulls: &mut Hulls) -> Result<(), Open> {
        let machine = self.search.transitions;
        hulls.begin();
        let length = hulls.longest();
        let mut open: Vec<(usize, Vec<u8>)> =
            machine.reachable().map(|state| (state, Vec::new())).collect();
        while let Some((state, word)) = open.pop() {
            let known = word.len();
            let is_short =
                known < length && machine.width().pow(known as u32 + 1) * machine.states <= WORDS;
            if known == 0 || is_short {
                open.extend(machine.earlier(state, &word));
                continue;
            }
            let Some(hull) = hulls.of(length - known, state) else { continue };
            let Some(left) = self.left.checked_sub(known as u64) else { return Err(Open::Steps) };
            self.left = left;
            let (margin, after) = self.along(hull, state, &word);
            if margin > LEAST {
                let out = &self.states[known];
                hulls.hold(after, |n| out.range_of_unit(n));
            } else if known == length {
                return Err(Open::Word(word));
            } else {
                open.extend(machine.earlier(state, &word));
            }
        }
        Ok(())
    }
}

/// Of a counterexample, a shortest one or the same, and up to which length there is none; `hulls` are
/// of words whose answers are all right.
pub(crate) fn shortest(
    search: &Search<'_>,
    mut hulls: Hulls,
    found: Counterexample,
) -> Counterexample {
    let mut steps = Steps {
        search,
        states: vec![AbstractState::new(search.net.hidden, LONGEST); LONGEST + 1],
        sums: Sums::new(search.net.rows(), search.net.hidden, LONGEST),
        left: STEPS,
    };
    let mut right_up_to = hulls.longest();
    while right_up_to + 1 < found.word.len().min(LONGEST) {
        match steps.show(&mut hulls) {
            Ok(()) => right_up_to += 1,
            Err(Open::Word(word)) => {
                // It is wrong at its last symbol, as no shorter word is wrong.
                return match search.confirmed(&word) {
                    Some(shorter) => Counterexample { right_up_to, ..shorter },
                    None => Counterexample { right_up_to, ..found },
                };
            }
            Err(Open::Steps) => break,
        }
    }
    Counterexample { right_up_to, ..found }
}
