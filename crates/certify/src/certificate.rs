//! A certificate as it is written; the checker reads the file by types of its own.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use verify::{Cell, FORMAT, Machine};

/// A proof that one network does the same as a machine on every input of any length; see
/// [`verify::check`] for what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// [`verify::FORMAT`]
    pub format: String,
    /// The SHA-256 digest of the network's file, in hexadecimal digits.
    pub model: String,
    /// The network's cell; none in a file of the format before, which is about sigmoid units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<Cell>,
    /// The machine; none in a file of the format before, which is about addition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// Steps from node to node, at most.
    pub steps: usize,
    /// What tells a file that was damaged; see [`Certificate::update_digest`].
    #[serde(rename = "seal")]
    pub digest: String,
    /// The abstract states, each with its history.
    pub nodes: Vec<Node>,
}

/// An abstract state, and the history after which it holds the hidden state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// `start`, or the state of the machine before the history, then its symbols, oldest first:
    /// of addition `1 01 11`.
    pub key: String,
    /// The directions of the bounds, by rows; those of the units (a box) without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<Vec<Vec<f64>>>,
    /// The pieces of the abstract state, in their order along the first axis.
    #[serde(rename = "cells")]
    pub pieces: Vec<Piece>,
}

/// A convex piece of an abstract state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The least values along the axes.
    pub low: Vec<f64>,
    /// The largest values along the axes.
    pub high: Vec<f64>,
    /// How much of the value along the first axis is taken from that along each axis before
    /// it is bounded; 0 for the first, and for all without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slopes: Option<Vec<f64>>,
}

impl Certificate {
    /// A certificate of `nodes` for the network of `cell` in the file `model`, and for `machine`.
    pub(crate) fn new(
        model: &[u8],
        (cell, machine): (Cell, &Machine),
        steps: usize,
        nodes: Vec<Node>,
    ) -> Self {
        let mut new = Self {
            format: FORMAT.to_owned(),
            model: digest(model),
            cell: Some(cell),
            machine: Some(machine.clone()),
            steps,
            digest: String::new(),
            nodes,
        };
        new.update_digest();
        new
    }

    /// The machine that it is about.
    pub fn machine(&self) -> Machine {
        self.machine.clone().unwrap_or_else(Machine::addition)
    }

    /// The state of the machine after a node's history, if its key makes sense.
    pub(crate) fn state_after(machine: &Machine, node: &Node) -> Option<usize> {
        let mut words = node.key.split(' ');
        let first = match words.next()? {
            "start" => 0,
            state => state.parse().ok().filter(|&state| state < machine.states().len())?,
        };
        words.try_fold(first, |state, word| {
            let symbol = machine.symbols().iter().position(|symbol| symbol == word)?;
            machine.step(state, symbol).map(|(next, _)| next)
        })
    }

    /// Takes the digest of all as it is: SHA-256 over the cell and the machine, the steps, and
    /// every node's key, axes by rows, and pieces, each list with its length before it, all in 64
    /// bits.
    pub fn update_digest(&mut self) {
        let mut bytes = Vec::new();
        if let (Some(cell), Some(machine)) = (self.cell, &self.machine) {
            bytes.extend((cell.name().len() as u64).to_le_bytes());
            bytes.extend(cell.name().bytes());
            bytes.extend(machine.bytes());
        }
        bytes.extend((self.steps as u64).to_le_bytes());
        let list = |bytes: &mut Vec<u8>, values: &mut dyn ExactSizeIterator<Item = f64>| {
            bytes.extend((values.len() as u64).to_le_bytes());
            values.for_each(|value| bytes.extend(value.to_le_bytes()));
        };
        for node in &self.nodes {
            bytes.extend((node.key.len() as u64).to_le_bytes());
            bytes.extend(node.key.bytes());
            let axes = node.axes.iter().flatten();
            bytes.extend((node.axes.as_ref().map_or(0, Vec::len) as u64).to_le_bytes());
            axes.for_each(|row| list(&mut bytes, &mut row.iter().copied()));
            bytes.extend((node.pieces.len() as u64).to_le_bytes());
            for piece in &node.pieces {
                for values in
                    [&piece.low, &piece.high, piece.slopes.as_ref().unwrap_or(&Vec::new())]
                {
                    list(&mut bytes, &mut values.iter().copied());
                }
            }
        }
        self.digest = digest(&bytes);
    }

    /// As a file: JSON, a node a line.
    pub fn to_json(&self) -> String {
        fn json(value: &impl Serialize) -> String {
            serde_json::to_string(value).expect("finite numbers and names")
        }
        let mut head =
            format!("{{\"format\":{},\"model\":{}", json(&self.format), json(&self.model));
        if let Some(cell) = &self.cell {
            head += &format!(",\"cell\":{}", json(cell));
        }
        if let Some(machine) = &self.machine {
            head += &format!(",\n\"machine\":{}", json(machine));
        }
        let nodes: Vec<String> = self.nodes.iter().map(json).collect();
        format!(
            "{head},\"steps\":{},\"seal\":{},\"nodes\":[\n{}\n]}}\n",
            self.steps,
            json(&self.digest),
            nodes.join(",\n")
        )
    }
}

/// The SHA-256 digest in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
