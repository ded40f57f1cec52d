//! What depends on the format of the certificate: the keys that name states of the machine and
//! histories. All else of the exact mode knows states and symbols as numbers.

use crate::machine::Machine;

/// What a key says: the machine's state before the history, and the symbols of the history.
pub(super) struct Key {
    /// The history is all that there was.
    pub whole: bool,
    pub before: usize,
    pub history: Vec<usize>,
    /// The machine's state now.
    pub now: usize,
}

impl Key {
    /// Reads a key: `start`, or the number of the state before the history, then the names of its
    /// symbols, oldest first. The error is the rest of a sentence.
    pub(super) fn read(machine: &Machine, key: &str) -> Result<Self, String> {
        let states = machine.states().len();
        let mut words = key.split(' ');
        let first = words.next().unwrap_or_default();
        let whole = first == "start";
        let before = if whole { Some(0) } else { (0..states).find(|n| n.to_string() == first) };
        let before = before.ok_or_else(|| {
            format!("has a key that does not begin with start, or 0 to {}", states - 1)
        })?;
        let (mut now, mut history) = (before, Vec::new());
        for word in words {
            let symbol = machine.symbols().iter().position(|name| name == word);
            let symbol =
                symbol.ok_or_else(|| format!("has a key with {word:?}, which is no symbol"))?;
            let next = machine.step(now, symbol);
            let next =
                next.ok_or_else(|| format!("has a key with {word:?} where that is not legal"))?;
            now = next.0;
            history.push(symbol);
        }
        Ok(Self { whole, before, history, now })
    }
}
