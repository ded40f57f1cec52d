//! Proofs that a trained network adds numbers of any length.
//!
//! The search proposes a certificate, [`check`] decides, and the refutation looks for sums
//! that come out wrong. Nothing is ever guessed: an answer is a checked proof, two operands
//! that anyone can try, or `unknown`.

mod check;
mod leaf;
mod picture;
mod refute;
mod search;
mod sets;
pub mod study;
pub mod training;

pub use check::{Verified, check};
pub use picture::{Picture, picture};
pub use refute::Counterexample;

use model::Parameters;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use search::Pool;
use serde::{Deserialize, Serialize};
use sets::Net;
use sha2::{Digest, Sha256};

/// The format of the certificates written here.
pub const FORMAT: &str = "carry-certificate-3";

/// A proof that one network adds numbers of any length; see [`check`] for what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// [`FORMAT`]
    pub format: String,
    /// SHA-256 of the network's file, in hexadecimal digits.
    pub model: String,
    /// Steps from node to node, at most.
    pub steps: usize,
    /// What tells a file that was changed; see [`Certificate::seal`].
    pub seal: String,
    /// The sets, each with the histories it is for.
    pub nodes: Vec<Node>,
}

/// A set of hidden states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// `start`, or the carry (0 or 1) before the history, then its pairs of digits, oldest
    /// first: `1 01 11`.
    pub key: String,
    /// The directions of the bounds, by rows; those of the units (a box) without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<Vec<Vec<f64>>>,
    /// The pieces of the set, in their order along the first axis.
    pub cells: Vec<Cell>,
}

/// A piece of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The least values along the axes.
    pub low: Vec<f64>,
    /// The largest values along the axes.
    pub high: Vec<f64>,
    /// How much of the value along the first axis is taken from that along each axis before
    /// it is bounded; 0 for the first, and for all without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slopes: Option<Vec<f64>>,
}

impl Node {
    /// The carry after the node's history.
    fn carry(&self) -> bool {
        let (first, pairs) = self.key.split_once(' ').unwrap_or((&self.key, ""));
        pairs.split(' ').fold(first == "1", |carry, pair| match pair {
            "00" => false,
            "11" => true,
            _ => carry,
        })
    }
}

/// What became of a network.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It adds any two numbers of any length.
    Certified {
        /// The proof.
        certificate: Certificate,
        /// What the checker said to it.
        verified: Verified,
    },
    /// It does not.
    Refuted(Counterexample),
    /// Neither was found.
    Unknown,
}

/// Sets taken a step further before a search is given up; some tens of seconds at H = 16.
pub const EFFORT: u64 = 2_000_000;

/// Looks for a proof, and for a counterexample, until one is found, or all plans are done,
/// or `effort` (such as [`EFFORT`]) is spent. `model` is the file that holds `parameters`,
/// which the certificate names by its hash.
pub fn certify(parameters: &Parameters, model: &[u8], effort: u64) -> Outcome {
    let net = Net::new(parameters);
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let pool = Pool::new(&net, search::STATES, &mut generator);
    let mut left = effort;
    for (n, plan) in search::PLANS.iter().enumerate() {
        if n == search::CHEAP
            && let Some(found) = refute::refute(parameters, &net, &mut generator)
        {
            return Outcome::Refuted(found);
        }
        match search::search(&net, &pool, plan, &mut left) {
            Ok(nodes) => {
                let certificate = Certificate::new(model, plan.steps, nodes);
                // A certificate that the checker refuses is none.
                if let Ok(verified) = check(model, certificate.to_json().as_bytes()) {
                    return Outcome::Certified { certificate, verified };
                }
            }
            Err(failure) if n >= search::CHEAP => {
                if let Some(found) =
                    refute::refute_near(parameters, &net, &failure.ways, &mut generator)
                {
                    return Outcome::Refuted(found);
                }
            }
            Err(_) => {}
        }
    }
    Outcome::Unknown
}

impl Certificate {
    /// A certificate of `nodes` for the network in the file `model`, sealed.
    fn new(model: &[u8], steps: usize, nodes: Vec<Node>) -> Self {
        let format = FORMAT.to_owned();
        let mut new = Self { format, model: hash(model), steps, seal: String::new(), nodes };
        new.seal();
        new
    }

    /// Seals the nodes as they are: SHA-256 over the steps and every node's key, axes by
    /// rows, and cells, each list with its length before it, all in 64 bits.
    pub fn seal(&mut self) {
        let mut bytes = (self.steps as u64).to_le_bytes().to_vec();
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
            bytes.extend((node.cells.len() as u64).to_le_bytes());
            for cell in &node.cells {
                for values in [&cell.low, &cell.high, cell.slopes.as_ref().unwrap_or(&Vec::new())] {
                    list(&mut bytes, &mut values.iter().copied());
                }
            }
        }
        self.seal = hash(&bytes);
    }

    /// As a file: JSON, a node a line.
    pub fn to_json(&self) -> String {
        let node = |node| serde_json::to_string(node).expect("finite numbers and a name");
        let nodes: Vec<String> = self.nodes.iter().map(node).collect();
        format!(
            "{{\"format\":{:?},\"model\":{:?},\"steps\":{},\"seal\":{:?},\"nodes\":[\n{}\n]}}\n",
            self.format,
            self.model,
            self.steps,
            self.seal,
            nodes.join(",\n")
        )
    }
}

/// SHA-256 in hexadecimal digits.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
