//! The machines that a study takes: the built-in ones, and those that are drawn.

use crate::machine::machine_of;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use train::task::machine::Machine as Task;
use verify::Machine;

/// A machine of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Studied {
    /// A built-in one, by its name.
    BuiltIn(&'static str),
    /// `random-SEED`, of so many states `random-SEED:STATES`.
    Drawn(u64, usize),
    /// `random`, `random:STATES`: drawn anew for each seed of the study, from that.
    Random(usize),
}

const RANDOM: &str = "random";
/// Where a name does not say how many.
const STATES: usize = 10;

/// A name that ends with the number of states, where that is another.
fn with_states(name: String, states: usize) -> String {
    if states == STATES { name } else { format!("{name}:{states}") }
}

impl Studied {
    /// All built-in machines, and `random`.
    pub fn all() -> impl Iterator<Item = Self> {
        let is_drawn = |name: &&&str| name.starts_with(RANDOM);
        let named = Task::BUILT_IN.iter().filter(move |name| !is_drawn(name));
        named.map(|name| Self::BuiltIn(name)).chain([Self::Random(STATES)])
    }

    /// The machine that a network of `seed` learns.
    pub fn task(self, seed: u64) -> Task {
        let name = match self {
            Self::Random(states) => Self::Drawn(seed, states).to_string(),
            _ => self.to_string(),
        };
        Task::built_in(&name).expect("its name is one of a machine")
    }

    /// The same, as a proof speaks of it.
    pub fn machine(self, seed: u64) -> Machine {
        machine_of(&self.task(seed)).expect("a test makes all of them")
    }
}

impl fmt::Display for Studied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(name) => f.pad(name),
            Self::Drawn(seed, states) => f.pad(&with_states(format!("{RANDOM}-{seed}"), *states)),
            Self::Random(states) => f.pad(&with_states(RANDOM.to_owned(), *states)),
        }
    }
}

impl FromStr for Studied {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(found) = Self::all().find(|known| known.to_string() == text) {
            return Ok(found);
        }
        let (name, states) = match text.split_once(':') {
            Some((name, states)) => (name, states.parse().ok()),
            None => (text, Some(STATES)),
        };
        let drawn = states.filter(|states| Task::DRAWN.contains(states)).and_then(|states| {
            let seed = name.strip_prefix(RANDOM)?.strip_prefix('-');
            Some(match seed {
                Some(seed) => Self::Drawn(seed.parse().ok()?, states),
                None => Self::Random(states),
            })
        });
        // Each has one name.
        drawn.filter(|drawn| drawn.to_string() == text).ok_or_else(|| {
            let known: Vec<String> = Self::all().map(|known| known.to_string()).collect();
            let (known, most) = (known.join(", "), Task::DRAWN.end());
            format!(
                "no machine is named {text:?}; give one of {known} (or random-SEED, or up to {most} \
                 states: random:STATES, random-SEED:STATES)"
            )
        })
    }
}

impl Serialize for Studied {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// By hand: what is derived would borrow the name from its source.
impl<'de> Deserialize<'de> for Studied {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_is_known_by_its_name_and_can_be_proved() {
        for studied in
            Studied::all().chain([Studied::Drawn(7, 10), Studied::Drawn(7, 20), Studied::Random(3)])
        {
            let name = studied.to_string();
            assert_eq!(name.parse(), Ok(studied));
            let machine = studied.machine(3);
            let expected = match studied {
                Studied::Random(10) => "random-3",
                Studied::Random(_) => "random-3:3",
                _ => &name,
            };
            assert_eq!(machine.name(), expected);
        }
        assert_eq!(Studied::all().count(), Task::BUILT_IN.len());
        for name in [
            "",
            "tomita-8",
            "random-",
            "random-07",
            "random-x",
            "random:10",
            "random:1",
            "random:65",
            "random-7:",
            "parity:3",
            "random7",
        ] {
            let error = name.parse::<Studied>().unwrap_err();
            assert!(error.contains("give one of addition, "), "{error}");
        }
    }
}
