//! What depends on the task and on the format of the certificate: the machine, and the keys
//! that name its states and histories.
//!
//! Format 3 knows one machine, binary addition with its lowest digit first. A format with a
//! table of the machine changes this file alone: [`Machine::of`] reads the table, and
//! [`Machine::key`] the keys. All else of the exact mode knows states and symbols as numbers.

use crate::certificate::Certificate;

/// The longest history that a key may have; so a walk looks up few keys, and short ones.
const MOST_HISTORY: usize = 256;

/// A Mealy machine: state 0 is the start.
pub(super) struct Machine {
    /// `[symbols][I]`, what the network is shown; 0 or 1.
    pub inputs: Vec<Vec<u32>>,
    /// The symbols as they stand in keys.
    pub names: Vec<&'static str>,
    /// `[states][symbols]`
    next: Vec<Vec<usize>>,
    /// `[states][symbols]`
    output: Vec<Vec<bool>>,
}

/// What a key says: the state before the history, and the symbols of the history.
pub(super) struct Key {
    /// The history is all that there was.
    pub whole: bool,
    pub before: usize,
    pub history: Vec<usize>,
}

impl Machine {
    /// The machine that `certificate` is about: addition, as its format says.
    pub(super) fn of(_certificate: &Certificate) -> Self {
        let digit = |carry: usize, a: usize, b: usize| (carry + a + b) % 2 == 1;
        let carry = |carry: usize, a: usize, b: usize| usize::from(carry + a + b >= 2);
        let pairs = [(0, 0), (0, 1), (1, 0), (1, 1)];
        Self {
            inputs: pairs.iter().map(|&(a, b)| vec![a as u32, b as u32]).collect(),
            names: vec!["00", "01", "10", "11"],
            next: [0, 1].map(|state| pairs.map(|(a, b)| carry(state, a, b)).to_vec()).to_vec(),
            output: [0, 1].map(|state| pairs.map(|(a, b)| digit(state, a, b)).to_vec()).to_vec(),
        }
    }

    /// The state after `symbol`, and the output: above ½, or not.
    pub(super) fn step(&self, state: usize, symbol: usize) -> (usize, bool) {
        (self.next[state][symbol], self.output[state][symbol])
    }

    /// The state after `history`.
    pub(super) fn after(&self, before: usize, history: &[usize]) -> usize {
        history.iter().fold(before, |state, &symbol| self.step(state, symbol).0)
    }

    /// Reads a key: `start`, or the carry before the history, then its pairs, oldest first.
    pub(super) fn key(&self, key: &str) -> Result<Key, String> {
        let mut words = key.split(' ');
        let (whole, before) = match words.next() {
            Some("start") => (true, 0),
            Some("0") => (false, 0),
            Some("1") => (false, 1),
            _ => return Err("has a key that does not begin with start, 0 or 1".to_owned()),
        };
        let symbol = |word: &str| self.names.iter().position(|&name| name == word);
        let history: Option<Vec<usize>> = words.map(symbol).collect();
        let history =
            history.ok_or_else(|| "has a key with something else than pairs".to_owned())?;
        if history.len() > MOST_HISTORY {
            return Err(format!("has a key of more than {MOST_HISTORY} pairs"));
        }
        Ok(Key { whole, before, history })
    }

    /// Symbols as they stand in keys.
    pub(super) fn spell(&self, symbols: &[usize]) -> String {
        symbols.iter().map(|&symbol| self.names[symbol]).collect::<Vec<_>>().join(" ")
    }
}
