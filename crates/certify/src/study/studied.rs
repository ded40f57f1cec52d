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
    /// `random-SEED`.
    Drawn(u64),
    /// `random`: drawn anew for each seed of the study, from that.
    Random,
}

const RANDOM: &str = "random";

impl Studied {
    /// All built-in machines, and `random`.
    pub fn all() -> impl Iterator<Item = Self> {
        let is_drawn = |name: &&&str| name.starts_with(RANDOM);
        let named = Task::BUILT_IN.iter().filter(move |name| !is_drawn(name));
        named.map(|name| Self::BuiltIn(name)).chain([Self::Random])
    }

    /// The machine that a network of `seed` learns.
    pub fn task(self, seed: u64) -> Task {
        let name = match self {
            Self::BuiltIn(name) => name.to_owned(),
            Self::Drawn(seed) => format!("{RANDOM}-{seed}"),
            Self::Random => format!("{RANDOM}-{seed}"),
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
            Self::Drawn(seed) => f.pad(&format!("{RANDOM}-{seed}")),
            Self::Random => f.pad(RANDOM),
        }
    }
}

impl FromStr for Studied {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(found) = Self::all().find(|known| known.to_string() == text) {
            return Ok(found);
        }
        let drawn = Task::built_in(text).is_some();
        let seed = text.strip_prefix(RANDOM).and_then(|rest| rest.strip_prefix('-'));
        match seed.filter(|_| drawn).and_then(|seed| seed.parse().ok()) {
            Some(seed) => Ok(Self::Drawn(seed)),
            None => {
                let known: Vec<String> = Self::all().map(|known| known.to_string()).collect();
                let known = known.join(", ");
                Err(format!("no machine is named {text:?}; give one of {known} (or random-SEED)"))
            }
        }
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
        for studied in Studied::all().chain([Studied::Drawn(7)]) {
            let name = studied.to_string();
            assert_eq!(name.parse(), Ok(studied));
            let machine = studied.machine(3);
            let expected = if studied == Studied::Random { "random-3" } else { &name };
            assert_eq!(machine.name(), expected);
        }
        assert_eq!(Studied::all().count(), Task::BUILT_IN.len());
        for name in ["", "tomita-8", "random-", "random-07", "random-x"] {
            let error = name.parse::<Studied>().unwrap_err();
            assert!(error.contains("give one of addition, "), "{error}");
        }
    }
}
