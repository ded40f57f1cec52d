//! A Mealy machine as a TOML file, checked, and in the form that the file has.
//!
//! ```toml
//! name = "parity"
//! inputs = ["0", "1"]
//! outputs = ["0", "1"]
//! states = ["even", "odd"] # the first is the start
//! # from, input, to, output
//! transitions = [
//!     ["even", "0", "even", "0"],
//!     ["even", "1", "odd",  "1"],
//!     ["odd",  "0", "odd",  "1"],
//!     ["odd",  "1", "even", "0"],
//! ]
//! ```
//!
//! A table `[legal]` may name the inputs that can come in a state, `"depth 0" = ["("]`; in all other
//! states all can. `shown = "digits"` or `"one-hot"` says what a network sees of an input.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// At most so many states, inputs or outputs: what is larger is no machine that one writes down.
pub const MOST: usize = 1_024;

/// What is wrong with a machine, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// It is no TOML, or not with these keys.
    #[error("makes no sense: {0}")]
    Toml(String),

    /// A list is empty or too long.
    #[error("has {count} {list}; give 1 to {MOST}")]
    Size {
        /// `inputs`, `outputs` or `states`.
        list: &'static str,
        /// As many as it has.
        count: usize,
    },

    /// A name stands twice in a list.
    #[error("names \"{name}\" twice in `{list}`; give each a name of its own")]
    Twice {
        /// The list.
        list: &'static str,
        /// The name.
        name: String,
    },

    /// A name is none.
    #[error(
        "names {name:?} in `{list}`; a name is not empty, and inputs and outputs hold no comma"
    )]
    Name {
        /// The list.
        list: &'static str,
        /// The name.
        name: String,
    },

    /// A transition speaks of what there is not.
    #[error("speaks of \"{name}\" in {place}, which is not in `{list}`; add it there, or mend it")]
    Unknown {
        /// The list.
        list: &'static str,
        /// The name.
        name: String,
        /// Where.
        place: String,
    },

    /// Two transitions for one state and input.
    #[error(
        "is not deterministic: state \"{state}\" has two transitions for the input \"{input}\" \
         (the {first}th and the {second}th); leave one"
    )]
    Nondeterministic {
        /// The state.
        state: String,
        /// The input.
        input: String,
        /// The place of the one, counted from 1.
        first: usize,
        /// And of the other.
        second: usize,
    },

    /// A transition is missing.
    #[error(
        "is not complete: state \"{state}\" has no transition for the input \"{input}\"; add one, \
         or say in `[legal]` which inputs can come there"
    )]
    Incomplete {
        /// The state.
        state: String,
        /// The input.
        input: String,
    },

    /// A transition for an input that cannot come.
    #[error(
        "has a transition from state \"{state}\" for the input \"{input}\", which `[legal]` says \
         cannot come there; leave it out, or add the input to `[legal]`"
    )]
    Illegal {
        /// The state.
        state: String,
        /// The input.
        input: String,
    },

    /// Nothing can come in a state.
    #[error("lets no input come in state \"{0}\", where a word would end; name one in `[legal]`")]
    Dead(String),

    /// A state that no word leads to.
    #[error(
        "has states that no word leads to from the start \"{start}\": {}; leave them out, or add the \
         transition that is missing",
        names(states)
    )]
    Unreachable {
        /// The start.
        start: String,
        /// Those that are not reached.
        states: Vec<String>,
    },

    /// Inputs are to be shown by their digits, and have none.
    #[error(
        "has `shown = \"digits\"`, but its inputs are not all digits 0 and 1 of one length; give \
         `shown = \"one-hot\"`"
    )]
    Digits,

    /// An output that never comes teaches nothing.
    #[error("never has the output \"{0}\"; leave it out of `outputs`")]
    Unused(String),
}

fn names(states: &[String]) -> String {
    states.iter().map(|state| format!("\"{state}\"")).collect::<Vec<_>>().join(", ")
}

/// What a network sees of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// Its digits, a value each.
    Digits,
    /// 1 in its place, 0 in all others.
    OneHot,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Of the machine.
    pub name: String,
    /// What a network sees; digits, if all inputs are digits 0 and 1 of one length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
    /// Their names.
    pub inputs: Vec<String>,
    /// Their names.
    pub outputs: Vec<String>,
    /// Their names; the first is the start.
    pub states: Vec<String>,
    /// From, input, to, output.
    pub transitions: Vec<[String; 4]>,
    /// The inputs that can come in a state; all, in a state that is not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub legal: BTreeMap<String, Vec<String>>,
}

/// `[states][inputs]`: the next state and the output, none for what cannot come.
pub type Table = Vec<Vec<Option<(usize, usize)>>>;

impl Definition {
    /// The transitions by numbers.
    ///
    /// # Errors
    /// If a name is none, doubled or unknown; if the machine is not deterministic, not complete but
    /// for what is said to be illegal, or has states that are not reached or outputs that never come.
    pub fn table(&self) -> Result<Table, MachineError> {
        let Self { inputs, outputs, states, .. } = self;
        for (list, names) in [("inputs", inputs), ("outputs", outputs), ("states", states)] {
            if names.is_empty() || names.len() > MOST {
                return Err(MachineError::Size { list, count: names.len() });
            }
            for (n, name) in names.iter().enumerate() {
                let cuts = |c: char| c.is_control() || (c == ',' && list != "states");
                if name.trim() != name || name.is_empty() || name.contains(cuts) {
                    return Err(MachineError::Name { list, name: name.clone() });
                }
                if names[..n].contains(name) {
                    return Err(MachineError::Twice { list, name: name.clone() });
                }
            }
        }
        let legal = self.legal_inputs()?;
        let mut places = vec![vec![0; inputs.len()]; states.len()];
        let mut table: Table = vec![vec![None; inputs.len()]; states.len()];
        for (row, place) in self.transitions.iter().zip(1..) {
            let find = |list, names: &[String], name: &String| {
                let place = format!("the {place}th transition");
                number(list, names, name, place)
            };
            let [from, input, to, output] = row;
            let s = find("states", states, from)?;
            let i = find("inputs", inputs, input)?;
            let next = (find("states", states, to)?, find("outputs", outputs, output)?);
            if !legal[s][i] {
                return Err(MachineError::Illegal { state: from.clone(), input: input.clone() });
            }
            if places[s][i] > 0 {
                let (state, input) = (from.clone(), input.clone());
                let (first, second) = (places[s][i], place);
                return Err(MachineError::Nondeterministic { state, input, first, second });
            }
            places[s][i] = place;
            table[s][i] = Some(next);
        }
        for (s, state) in states.iter().enumerate() {
            if !legal[s].contains(&true) {
                return Err(MachineError::Dead(state.clone()));
            }
            if let Some(i) = (0..inputs.len()).find(|&i| legal[s][i] && table[s][i].is_none()) {
                let (state, input) = (state.clone(), inputs[i].clone());
                return Err(MachineError::Incomplete { state, input });
            }
        }
        let reached = reached(&table);
        if reached.contains(&false) {
            let missed = states.iter().zip(&reached).filter(|(_, reached)| !**reached);
            let states: Vec<_> = missed.map(|(state, _)| state.clone()).collect();
            return Err(MachineError::Unreachable { start: self.states[0].clone(), states });
        }
        let comes = |o: usize| table.iter().flatten().flatten().any(|&(_, output)| output == o);
        match (0..outputs.len()).find(|&o| !comes(o)) {
            Some(o) => Err(MachineError::Unused(outputs[o].clone())),
            None => Ok(table),
        }
    }

    /// `[states][inputs]`
    fn legal_inputs(&self) -> Result<Vec<Vec<bool>>, MachineError> {
        let mut legal = vec![vec![true; self.inputs.len()]; self.states.len()];
        for (state, allowed) in &self.legal {
            let place = || "`[legal]`".to_owned();
            let s = number("states", &self.states, state, place())?;
            legal[s].fill(false);
            for input in allowed {
                legal[s][number("inputs", &self.inputs, input, place())?] = true;
            }
        }
        Ok(legal)
    }

    /// What a network is shown of each input, `[inputs][I]`.
    ///
    /// # Errors
    /// If digits are asked for, and the inputs are none.
    pub fn values(&self) -> Result<Vec<Vec<f32>>, MachineError> {
        let length = self.inputs[0].len();
        let is_digits = |input: &String| {
            input.len() == length && input.bytes().all(|byte| matches!(byte, b'0' | b'1'))
        };
        let has_digits = self.inputs.iter().all(is_digits);
        let digits = |input: &String| input.bytes().map(|byte| f32::from(byte - b'0')).collect();
        match (self.shown, has_digits) {
            (Some(Shown::Digits), false) => Err(MachineError::Digits),
            (Some(Shown::Digits) | None, true) => Ok(self.inputs.iter().map(digits).collect()),
            (Some(Shown::OneHot), _) | (None, false) => {
                let count = self.inputs.len();
                let row = |n| (0..count).map(|m| f32::from(u8::from(n == m))).collect();
                Ok((0..count).map(row).collect())
            }
        }
    }
}

fn number(
    list: &'static str,
    names: &[String],
    name: &String,
    place: String,
) -> Result<usize, MachineError> {
    let found = names.iter().position(|known| known == name);
    found.ok_or_else(|| MachineError::Unknown { list, name: name.clone(), place })
}

/// `[states]`: which are reached from state 0.
pub fn reached(table: &Table) -> Vec<bool> {
    let mut reached = vec![false; table.len()];
    let mut open = vec![0];
    while let Some(state) = open.pop() {
        if !std::mem::replace(&mut reached[state], true) {
            open.extend(table[state].iter().flatten().map(|&(next, _)| next));
        }
    }
    reached
}

/// `[states]`: the class of each, in order of their first states. Two states are of one class if the
/// same inputs can come in both, and every word has the same outputs from both.
///
/// Moore's refinement: classes are split by the classes that their transitions lead to, until none is.
pub fn classes(table: &Table) -> Vec<usize> {
    let mut classes = vec![0; table.len()];
    loop {
        let seen = |state: usize| {
            let row = table[state].iter();
            let rows = row.map(|next| next.map(|(to, output)| (classes[to], output)));
            (classes[state], rows.collect::<Vec<_>>())
        };
        let mut kinds = BTreeMap::new();
        let mut refined = Vec::with_capacity(table.len());
        for state in 0..table.len() {
            let fresh = kinds.len();
            refined.push(*kinds.entry(seen(state)).or_insert(fresh));
        }
        if refined == classes {
            return classes;
        }
        classes = refined;
    }
}
