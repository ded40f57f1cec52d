//! One network of a study: what it is, and what became of it.

use crate::prove::Outcome;
use crate::study::studied::Studied;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use verify::{Cell, Machine};

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// 10,000 examples of plain SGD, as in the lab; of a machine that is named, as
    /// [`train::task::Words::training`] has it.
    Plain,
    /// Interval bound propagation; see [`crate::ibp`].
    Certifiable,
}

/// Networks of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kind {
    /// H
    pub hidden: usize,
    /// Whether they have biases.
    pub bias: bool,
    /// How they are trained.
    pub recipe: Recipe,
    /// Whether by [`WORKERS`] workers on shared parameters (Hogwild!) instead of one;
    /// in files, the number of workers.
    #[serde(rename = "workers", serialize_with = "to_workers", deserialize_with = "from_workers")]
    pub hogwild: bool,
    /// What they learn; without, to add, as in the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Studied>,
    /// Their cell.
    #[serde(default = "lab_cell", skip_serializing_if = "is_lab_cell")]
    pub cell: Cell,
}

fn lab_cell() -> Cell {
    Kind::LAB.cell
}

fn is_lab_cell(cell: &Cell) -> bool {
    *cell == lab_cell()
}

/// The workers of a Hogwild! training.
pub const WORKERS: usize = 2;

impl Kind {
    /// The lab's networks.
    pub const LAB: Self = Self {
        hidden: 16,
        bias: false,
        recipe: Recipe::Plain,
        hogwild: false,
        machine: None,
        cell: Cell::Sigmoid,
    };

    /// What a network of `seed` learns.
    pub fn machine(&self, seed: u64) -> Machine {
        self.machine.map_or_else(Machine::addition, |machine| machine.machine(seed))
    }

    /// How many workers train it.
    pub fn workers(&self) -> usize {
        if self.hogwild { WORKERS } else { 1 }
    }
}

fn to_workers<S: Serializer>(hogwild: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(if *hogwild { WORKERS as u64 } else { 1 })
}

fn from_workers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match usize::deserialize(deserializer)? {
        1 => Ok(false),
        WORKERS => Ok(true),
        other => Err(de::Error::custom(format!("workers is {other}, neither 1 nor {WORKERS}"))),
    }
}

/// What became of one network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// Its seed.
    pub seed: u64,
    /// The budget of its search; see [`crate::certify`].
    #[serde(rename = "effort")]
    pub budget: u64,
    /// Proof, counterexample or neither.
    #[serde(flatten)]
    pub ending: Ending,
    /// Seconds of training.
    pub training_seconds: f64,
    /// Seconds of the search.
    pub proof_seconds: f64,
}

/// What is kept of an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Ending {
    /// It does as its machine on every word of any length. The fields are those of [`Verified`].
    ///
    /// [`Verified`]: verify::Verified
    Certified {
        /// The least distance of an output's sum from 0.
        margin: f64,
        /// The symbols in the longest history of a node.
        k: usize,
        /// How many nodes the certificate has.
        nodes: usize,
        /// Steps from node to node, at most.
        steps: usize,
        /// Whether all abstract states are boxes.
        boxes: bool,
    },
    /// It does not.
    Counterexample {
        /// The binary digits of the longer of the two operands; of another machine than addition,
        /// the symbols of the word.
        bits: u64,
        /// All words of up to so many symbols have all answers right.
        right_up_to: usize,
    },
    /// Neither was found.
    Unknown,
}

impl Ending {
    /// What is kept of an outcome for `machine`.
    pub fn new(outcome: &Outcome, machine: &Machine) -> Self {
        match outcome {
            Outcome::Certified { verified, .. } => Self::Certified {
                margin: verified.margin,
                k: verified.history,
                nodes: verified.nodes,
                steps: verified.steps,
                boxes: verified.boxes,
            },
            Outcome::Refuted(found) => {
                Self::Counterexample { bits: found.length(machine), right_up_to: found.right_up_to }
            }
            Outcome::Unknown => Self::Unknown,
        }
    }
}
