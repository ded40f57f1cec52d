//! A Mealy machine: states, and for each input symbol the next state and an output symbol.
//!
//! G. H. Mealy, *A Method for Synthesizing Sequential Circuits*, 1955. As a task: a network reads a
//! word of input symbols and says the output symbol of each. See [`Definition`] for the file.

mod definition;
mod score;
mod words;

pub use definition::{Definition, MachineError, Shown};
pub use score::WordsRight;
pub use words::{LENGTH, Words};

use definition::{Table, classes, reached};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ops::RangeInclusive;

/// A Mealy machine, minimised. Symbols, outputs and states are numbered from 0.
#[derive(Clone, Debug)]
pub struct Machine {
    definition: Definition,
    /// `[states][inputs]`
    table: Table,
    /// `[inputs][I]`
    values: Vec<Vec<f32>>,
    /// States that did not differ, each list by the names of the file.
    merged: Vec<Vec<String>>,
}

impl PartialEq for Machine {
    /// All but the history: what was merged is gone.
    fn eq(&self, other: &Self) -> bool {
        self.definition == other.definition
    }
}

/// The built-in machines by name, each with its file.
const FILES: [(&str, &str); 22] = [
    ("addition", include_str!("machine/built_in/addition.toml")),
    ("subtraction", include_str!("machine/built_in/subtraction.toml")),
    ("comparison", include_str!("machine/built_in/comparison.toml")),
    ("times-3", include_str!("machine/built_in/times-3.toml")),
    ("times-5", include_str!("machine/built_in/times-5.toml")),
    ("division-by-3", include_str!("machine/built_in/division-by-3.toml")),
    ("gray-encode", include_str!("machine/built_in/gray-encode.toml")),
    ("gray-decode", include_str!("machine/built_in/gray-decode.toml")),
    ("parity", include_str!("machine/built_in/parity.toml")),
    ("counter-3", include_str!("machine/built_in/counter-3.toml")),
    ("counter-5", include_str!("machine/built_in/counter-5.toml")),
    ("tomita-1", include_str!("machine/built_in/tomita-1.toml")),
    ("tomita-2", include_str!("machine/built_in/tomita-2.toml")),
    ("tomita-3", include_str!("machine/built_in/tomita-3.toml")),
    ("tomita-4", include_str!("machine/built_in/tomita-4.toml")),
    ("tomita-5", include_str!("machine/built_in/tomita-5.toml")),
    ("tomita-6", include_str!("machine/built_in/tomita-6.toml")),
    ("tomita-7", include_str!("machine/built_in/tomita-7.toml")),
    ("brackets", include_str!("machine/built_in/brackets.toml")),
    ("lock", include_str!("machine/built_in/lock.toml")),
    ("edge-detector", include_str!("machine/built_in/edge-detector.toml")),
    ("debouncer", include_str!("machine/built_in/debouncer.toml")),
];

/// The machine of a name `random-7` is drawn from the seed 7; that of `random-7:20` has 20 states.
const RANDOM: &str = "random-";
/// The states of one whose name does not say how many.
const STATES: usize = 10;

impl Machine {
    /// The names of the built-in machines. `random-0` stands for all of `random-SEED`.
    pub const BUILT_IN: &[&str] = &{
        let mut names = ["random-0"; FILES.len() + 1];
        let mut n = 0;
        while n < FILES.len() {
            names[n] = FILES[n].0;
            n += 1;
        }
        names
    };

    /// The states of a machine that is drawn by its name. Most draws of many are thrown away: 64 take
    /// a second, and each more a fifth more.
    pub const DRAWN: RangeInclusive<usize> = 2..=64;

    /// The machine of that name; `random-SEED` is [`Machine::random`] of ten states,
    /// `random-SEED:STATES` of [`Machine::DRAWN`].
    pub fn built_in(name: &str) -> Option<Self> {
        if let Some(drawn) = name.strip_prefix(RANDOM) {
            let (seed, states) = match drawn.split_once(':') {
                Some((seed, states)) => (seed, states.parse().ok()?),
                None => (drawn, STATES),
            };
            let seed = seed.parse().ok()?;
            // Each has one name.
            let is_one = Self::DRAWN.contains(&states) && random_name(states, seed) == name;
            return is_one.then(|| Self::random(states, seed));
        }
        let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
        Some(Self::from_toml(text).expect("a test reads all of them"))
    }

    /// Reads a file, whose form [`Definition`] has.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence that begins with its name.
    pub fn from_toml(text: &str) -> Result<Self, MachineError> {
        let definition =
            toml::from_str(text).map_err(|error| MachineError::Toml(error.to_string()))?;
        Self::new(definition)
    }

    /// Checks and minimises a machine.
    ///
    /// # Errors
    /// If it is not deterministic, not complete (but for the inputs that it says cannot come), or has
    /// states that are not reached or outputs that never come.
    pub fn new(mut definition: Definition) -> Result<Self, MachineError> {
        let table = definition.table()?;
        let values = definition.values()?;
        let classes = classes(&table);
        let count = classes.iter().max().map_or(0, |most| most + 1);
        let members = |class: usize| {
            let all = definition.states.iter().zip(&classes);
            all.filter(|(_, of)| **of == class).map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let members: Vec<_> = (0..count).map(members).collect();
        let first = |class| classes.iter().position(|&of| of == class).expect("none is empty");
        let row = |class| {
            let row = table[first(class)].iter();
            row.map(|next| next.map(|(to, output)| (classes[to], output))).collect()
        };
        let table: Table = (0..count).map(row).collect();
        let merged: Vec<_> = members.iter().filter(|names| names.len() > 1).cloned().collect();
        if !merged.is_empty() {
            definition.states = members.into_iter().map(|mut names| names.swap_remove(0)).collect();
            definition = with_transitions(definition, &table);
        }
        Ok(Self { definition, table, values, merged })
    }

    /// A machine drawn from `seed`: so many states, two inputs, two outputs, each transition's next
    /// state and output uniform; drawn again until it is reachable and minimal.
    ///
    /// # Panics
    /// If there is to be no state, or more than a file may have.
    pub fn random(states: usize, seed: u64) -> Self {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let two = || vec!["0".to_owned(), "1".to_owned()];
        let definition = Definition {
            name: random_name(states, seed),
            shown: None,
            inputs: two(),
            outputs: two(),
            states: (0..states).map(|state| format!("state {state}")).collect(),
            transitions: Vec::new(),
            legal: Default::default(),
        };
        loop {
            let mut next = || {
                Some((
                    below(&mut generator, states as u64) as usize,
                    below(&mut generator, 2) as usize,
                ))
            };
            let table: Table = (0..states).map(|_| vec![next(), next()]).collect();
            let is_minimal = || classes(&table).into_iter().eq(0..states);
            if reached(&table).contains(&false) || !is_minimal() {
                continue;
            }
            // An output that never comes is drawn again, too.
            if let Ok(machine) = Self::new(with_transitions(definition.clone(), &table)) {
                return machine;
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// The names of the input symbols.
    pub fn inputs(&self) -> &[String] {
        &self.definition.inputs
    }

    /// The names of the output symbols.
    pub fn outputs(&self) -> &[String] {
        &self.definition.outputs
    }

    /// The names of the states; the start is state 0.
    pub fn states(&self) -> &[String] {
        &self.definition.states
    }

    /// The lists of states that did not differ: each is now one, of the first name.
    pub fn merged(&self) -> &[Vec<String>] {
        &self.merged
    }

    /// The next state and the output; none, if the input cannot come in that state.
    ///
    /// # Panics
    /// If there is no such state or input.
    pub fn step(&self, state: usize, input: usize) -> Option<(usize, usize)> {
        self.table[state][input]
    }

    /// What a network is shown of an input, `[I]`: its digits, or one-hot.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn values(&self, input: usize) -> &[f32] {
        &self.values[input]
    }

    /// O: 1 with two outputs (sigmoid: output 1 where it is above ½), else one for each.
    pub fn head_outputs(&self) -> usize {
        match self.outputs().len() {
            2 => 1,
            outputs => outputs,
        }
    }

    /// Its file, minimised.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }
}

fn random_name(states: usize, seed: u64) -> String {
    match states {
        STATES => format!("{RANDOM}{seed}"),
        _ => format!("{RANDOM}{seed}:{states}"),
    }
}

/// `definition` with the transitions of `table`, and what is legal by them.
fn with_transitions(definition: Definition, table: &Table) -> Definition {
    let Definition { inputs, outputs, states, .. } = &definition;
    let (mut transitions, mut legal) = (Vec::new(), std::collections::BTreeMap::new());
    for (row, state) in table.iter().zip(states) {
        if row.contains(&None) {
            let allowed = row.iter().zip(inputs).filter(|(next, _)| next.is_some());
            legal.insert(state.clone(), allowed.map(|(_, input)| input.clone()).collect());
        }
        for (next, input) in row.iter().zip(inputs) {
            if let &Some((to, output)) = next {
                let [to, output] = [&states[to], &outputs[output]];
                transitions.push([state, input, to, output].map(String::clone));
            }
        }
    }
    Definition { transitions, legal, ..definition }
}

/// A number below `bound`, uniform but for 2⁻⁶⁴ of it.
fn below(generator: &mut impl Rng, bound: u64) -> u64 {
    ((u128::from(generator.next_u64()) * u128::from(bound)) >> 64) as u64
}
