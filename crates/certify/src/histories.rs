//! A suffix tree of histories: from the last symbols of a word to the leaf that they belong to.

use crate::machine::Transitions;

/// Histories by their suffixes: the machine's state now, then the last symbol and the state before
/// it, then the symbol before that, …
#[derive(Clone)]
pub(crate) struct Histories<'a> {
    machine: &'a Transitions,
    /// For each suffix, by `states·symbol + state before`, the suffix one symbol longer.
    longer: Vec<u32>,
    /// The number of the history that is just this suffix.
    number: Vec<u32>,
}

/// No suffix, or no history.
const NONE: u32 = u32::MAX;
/// The most symbols of a history, or of one and the steps behind it.
const LONGEST: usize = 128;

impl<'a> Histories<'a> {
    /// None.
    pub fn new(machine: &'a Transitions) -> Self {
        // the empty suffix, for each state now
        let mut new = Self { machine, longer: Vec::new(), number: Vec::new() };
        (0..machine.states).for_each(|_| new.push());
        new
    }

    /// Branches of a suffix.
    fn branches(&self) -> usize {
        self.machine.states * self.machine.width()
    }

    fn push(&mut self) {
        self.longer.resize(self.longer.len() + self.branches(), NONE);
        self.number.push(NONE);
    }

    /// Adds a history under `number`.
    pub fn insert(&mut self, before: usize, word: &[u8], number: usize) {
        let states = self.states(before, word);
        let mut place = usize::from(states[word.len()]);
        for n in (0..word.len()).rev() {
            let branch = place * self.branches() + self.branch(word[n], states[n]);
            if self.longer[branch] == NONE {
                self.longer[branch] = self.number.len() as u32;
                self.push();
            }
            place = self.longer[branch] as usize;
        }
        self.number[place] = number as u32;
    }

    /// The number of the history that is a suffix of `word`, before which the machine was in
    /// `before`.
    pub fn find(&self, before: usize, word: &[u8]) -> Option<usize> {
        let states = self.states(before, word);
        let mut place = usize::from(states[word.len()]);
        let mut n = word.len();
        loop {
            if self.number[place] != NONE {
                return Some(self.number[place] as usize);
            }
            n = n.checked_sub(1)?;
            let branch = place * self.branches() + self.branch(word[n], states[n]);
            place = self.longer[branch] as usize;
            if place == NONE as usize {
                return None;
            }
        }
    }

    fn branch(&self, symbol: u8, before: u16) -> usize {
        self.machine.states * usize::from(symbol) + usize::from(before)
    }

    /// The states before each symbol and after all.
    fn states(&self, before: usize, word: &[u8]) -> [u16; LONGEST] {
        let mut states = [0; LONGEST];
        let mut state = before;
        states[0] = state as u16;
        for (to, &symbol) in states[1..=word.len()].iter_mut().zip(word) {
            state = self.machine.step(state, symbol).expect("histories are legal").0;
            *to = state as u16;
        }
        states
    }
}
