//! The machine that a network is compared with: a table of transitions, as a certificate holds it.
//!
//! ```text
//! transitions[state][symbol]   [next state, output], or null where the symbol is not legal there
//! ```
//!
//! A Mealy machine: symbols, outputs and states are numbered from 0, and state 0 is the first.

use serde::{Deserialize, Serialize};

/// A Mealy machine, and how its symbols are shown to a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct Machine {
    title: String,
    /// `[symbols][I]`, what the network is shown.
    pub(crate) inputs: Vec<Vec<f64>>,
    /// The symbols' names, as they stand in keys.
    pub(crate) names: Vec<String>,
    /// `[states][symbols]`; none where a symbol is not legal.
    pub(crate) next: Vec<Vec<Option<usize>>>,
    /// `[states][symbols]`; 0 where a symbol is not legal.
    pub(crate) out: Vec<Vec<usize>>,
    /// How many outputs there are.
    pub(crate) outputs: usize,
    output_names: Vec<String>,
    state_names: Vec<String>,
}

/// A machine as a certificate writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// What it is called.
    pub name: String,
    /// The names of the symbols, without spaces.
    pub symbols: Vec<String>,
    /// `[symbols][I]`: what the network is shown, f32 from −1 to 1.
    pub shown: Vec<Vec<f64>>,
    /// The names of the outputs.
    pub outputs: Vec<String>,
    /// The names of the states; the first is that of the start.
    pub states: Vec<String>,
    /// `[states][symbols]`: the next state and the output; none where a symbol is not legal.
    pub transitions: Vec<Vec<Option<[usize; 2]>>>,
}

impl TryFrom<Table> for Machine {
    type Error = String;

    /// Refuses what is no machine, with the reason as the rest of a sentence.
    fn try_from(table: Table) -> Result<Self, String> {
        let Table { name, symbols, shown, outputs, states, transitions } = table;
        let is_word = |name: &String| !name.is_empty() && !name.contains(char::is_whitespace);
        let distinct = |names: &[String]| {
            let all: std::collections::HashSet<&String> = names.iter().collect();
            all.len() == names.len()
        };
        if symbols.is_empty() || !symbols.iter().all(is_word) || !distinct(&symbols) {
            return Err("its symbols are not different words".to_owned());
        }
        let width = shown.first().map_or(0, Vec::len);
        let is_shown = |value: &f64| value.abs() <= 1.0 && f64::from(*value as f32) == *value;
        if shown.len() != symbols.len()
            || width == 0
            || !shown.iter().all(|row| row.len() == width && row.iter().all(is_shown))
        {
            return Err("its symbols are not all shown as as many f32 from -1 to 1".to_owned());
        }
        if outputs.len() < 2 || !distinct(&outputs) {
            return Err("it has not two different outputs or more".to_owned());
        }
        if states.is_empty() || !distinct(&states) || transitions.len() != states.len() {
            return Err("it has not as many different states as rows of transitions".to_owned());
        }
        let exists = |to: &Option<[usize; 2]>| {
            to.is_none_or(|[state, output]| state < states.len() && output < outputs.len())
        };
        if !transitions.iter().all(|row| row.len() == symbols.len() && row.iter().all(exists)) {
            return Err("its transitions are not one for each symbol, to states and outputs that \
                        there are"
                .to_owned());
        }
        let table = |of: fn(&Option<[usize; 2]>) -> Option<usize>| -> Vec<Vec<Option<usize>>> {
            transitions.iter().map(|row| row.iter().map(of).collect()).collect()
        };
        let out = table(|to| to.map(|[_, output]| output));
        Ok(Self {
            title: name,
            inputs: shown,
            names: symbols,
            next: table(|to| to.map(|[state, _]| state)),
            out: out.iter().map(|row| row.iter().map(|out| out.unwrap_or(0)).collect()).collect(),
            outputs: outputs.len(),
            output_names: outputs,
            state_names: states,
        })
    }
}

impl From<Machine> for Table {
    fn from(machine: Machine) -> Self {
        let row = |(next, out): (&Vec<Option<usize>>, &Vec<usize>)| {
            next.iter().zip(out).map(|(next, &out)| next.map(|next| [next, out])).collect()
        };
        Self {
            transitions: machine.next.iter().zip(&machine.out).map(row).collect(),
            name: machine.title,
            symbols: machine.names,
            shown: machine.inputs,
            outputs: machine.output_names,
            states: machine.state_names,
        }
    }
}

impl Machine {
    /// Binary addition, lowest digit first: the symbols are pairs of digits, the outputs the
    /// digits of the sum, the states the carry.
    pub fn addition() -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let add = |carry: usize| (0..4).map(move |pair| Some(pair / 2 + pair % 2 + carry));
        let row = |carry| add(carry).map(|sum| sum.map(|sum| [sum / 2, sum % 2])).collect();
        let table = Table {
            name: "addition".to_owned(),
            symbols: names(&["00", "01", "10", "11"]),
            shown: [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]].map(Vec::from).to_vec(),
            outputs: names(&["0", "1"]),
            states: names(&["carry 0", "carry 1"]),
            transitions: vec![row(0), row(1)],
        };
        Self::try_from(table).expect("a machine")
    }

    /// Does it do the same as [`Machine::addition`], symbol by symbol, whatever its names?
    pub fn is_addition(&self) -> bool {
        self.does_as(&Self::addition())
    }

    /// Does it show, name and answer symbols as `other` does, state by state? The names of the
    /// machine and of its states do not matter.
    pub fn does_as(&self, other: &Self) -> bool {
        self.inputs == other.inputs
            && self.names == other.names
            && self.output_names == other.output_names
            && self.next == other.next
            && self.out == other.out
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.title
    }

    /// The names of its symbols.
    pub fn symbols(&self) -> &[String] {
        &self.names
    }

    /// The names of its outputs.
    pub fn outputs(&self) -> &[String] {
        &self.output_names
    }

    /// The names of its states.
    pub fn states(&self) -> &[String] {
        &self.state_names
    }

    /// What the network is shown of `symbol`, `[I]`.
    pub fn shown(&self, symbol: usize) -> &[f64] {
        &self.inputs[symbol]
    }

    /// I, the values that a symbol is shown as.
    pub fn width(&self) -> usize {
        self.inputs[0].len()
    }

    /// O, the outputs of the network's head: 1 (a sigmoid, above ½ for output 1) of two outputs,
    /// else as many (the largest is the answer).
    pub fn head_outputs(&self) -> usize {
        if self.outputs == 2 { 1 } else { self.outputs }
    }

    /// The next state and the output; none where `symbol` is not legal in `state`.
    pub fn step(&self, state: usize, symbol: usize) -> Option<(usize, usize)> {
        self.next[state][symbol].map(|next| (next, self.out[state][symbol]))
    }

    /// Is every symbol legal in every state?
    pub fn is_complete(&self) -> bool {
        self.next.iter().flatten().all(Option::is_some)
    }

    /// Symbols as they stand in keys.
    pub fn spell(&self, symbols: &[usize]) -> String {
        symbols.iter().map(|&symbol| &*self.names[symbol]).collect::<Vec<_>>().join(" ")
    }

    /// What the digest of a certificate takes of its machine: every name and list with its length
    /// before it, numbers in 64 bits, little-endian. A transition is the next state and the
    /// output, or 2⁶⁴ − 1 alone where there is none.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let whole = |bytes: &mut Vec<u8>, n: usize| bytes.extend((n as u64).to_le_bytes());
        let name = |bytes: &mut Vec<u8>, name: &str| {
            whole(bytes, name.len());
            bytes.extend(name.as_bytes());
        };
        name(&mut bytes, &self.title);
        for names in [&self.names, &self.output_names, &self.state_names] {
            whole(&mut bytes, names.len());
            names.iter().for_each(|text| name(&mut bytes, text));
        }
        for row in &self.inputs {
            whole(&mut bytes, row.len());
            row.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        }
        for (next, out) in self.next.iter().zip(&self.out) {
            for (next, &out) in next.iter().zip(out) {
                match *next {
                    Some(next) => [next, out].into_iter().for_each(|n| whole(&mut bytes, n)),
                    None => whole(&mut bytes, usize::MAX),
                }
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addition_carries() {
        let addition = Machine::addition();
        assert!(addition.is_addition() && addition.is_complete());
        assert_eq!((addition.width(), addition.head_outputs()), (2, 1));
        let mut carry = 0;
        let mut digits = Vec::new();
        // 3 + 1, lowest digit first
        for pair in [3, 2, 0] {
            let (next, digit) = addition.step(carry, pair).unwrap();
            digits.push(digit);
            carry = next;
        }
        assert_eq!((digits, carry), (vec![0, 0, 1], 0));
    }

    #[test]
    fn a_machine_is_read_as_it_is_written() {
        let text = serde_json::to_string(&Machine::addition()).unwrap();
        assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), Machine::addition());
    }

    #[test]
    fn what_is_no_machine_is_refused_with_a_reason() {
        let json = serde_json::to_value(Machine::addition()).unwrap();
        for (pointer, value, reason) in [
            ("/symbols/0", serde_json::json!("0 0"), "different words"),
            ("/symbols/0", serde_json::json!("01"), "different words"),
            ("/symbols", serde_json::json!([]), "different words"),
            ("/shown/0/0", serde_json::json!(1.5), "f32 from -1 to 1"),
            ("/shown/0/0", serde_json::json!(0.1), "f32 from -1 to 1"),
            ("/shown/0", serde_json::json!([]), "f32 from -1 to 1"),
            ("/outputs", serde_json::json!(["0"]), "two different outputs"),
            ("/states", serde_json::json!(["a"]), "different states"),
            ("/transitions/1/2/0", serde_json::json!(2), "that there are"),
            ("/transitions/1/2/1", serde_json::json!(2), "that there are"),
            ("/transitions/1", serde_json::json!([null]), "that there are"),
        ] {
            let mut json = json.clone();
            *json.pointer_mut(pointer).unwrap() = value;
            let error = serde_json::from_value::<Machine>(json).unwrap_err().to_string();
            assert!(error.contains(reason), "{pointer}: {error}");
        }
    }
}
