//! What depends on the format of the certificate: the keys that name states of the machine and
//! histories. All else of the exact mode knows states and symbols as numbers.

use crate::machine::Machine;
use std::collections::HashMap;

/// The numbers of the machine's symbols.
pub(super) fn numbers(machine: &Machine) -> HashMap<&str, usize> {
    machine.symbols().iter().enumerate().map(|(n, name)| (&**name, n)).collect()
}

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
    /// symbols (numbered by `names`), oldest first. The error is the rest of a sentence.
    pub(super) fn read(
        machine: &Machine,
        names: &HashMap<&str, usize>,
        key: &str,
    ) -> Result<Self, String> {
        let states = machine.states().len();
        let mut words = key.split(' ');
        let first = words.next().unwrap_or_default();
        let whole = first == "start";
        // as it is looked up: 01 is no other way to say 1
        let number =
            || first.parse().ok().filter(|n: &usize| *n < states && n.to_string() == first);
        let before = if whole { Some(0) } else { number() };
        let before = before.ok_or_else(|| {
            format!("has a key that does not begin with start, or 0 to {}", states - 1)
        })?;
        let (mut now, mut history) = (before, Vec::new());
        for word in words {
            let &symbol = names
                .get(word)
                .ok_or_else(|| format!("has a key with {word:?}, which is no symbol"))?;
            let next = machine.step(now, symbol);
            let next =
                next.ok_or_else(|| format!("has a key with {word:?} where that is not legal"))?;
            now = next.0;
            history.push(symbol);
        }
        Ok(Self { whole, before, history, now })
    }
}
