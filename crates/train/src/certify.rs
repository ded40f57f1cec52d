//! Proofs that a trained network adds numbers of any length.
//!
//! The search proposes a certificate, [`check`] decides, and the refutation looks for sums
//! that come out wrong. Nothing is ever guessed: an answer is a checked proof, two operands
//! that anyone can try, or `unknown`.

mod check;
mod picture;
mod refute;
mod search;
pub mod study;
pub mod training;

pub use check::{Verified, check};
pub use picture::{Picture, picture};
pub use refute::Counterexample;

use model::Parameters;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The format of the certificates written here.
pub const FORMAT: &str = "carry-certificate-1";

/// A proof that one network adds numbers of any length; see [`check`] for what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// [`FORMAT`]
    pub format: String,
    /// SHA-256 of the network's file, in hexadecimal digits.
    pub model: String,
    /// Steps from node to node.
    pub steps: usize,
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
    /// The least values along the axes.
    pub low: Vec<f64>,
    /// The largest values along the axes.
    pub high: Vec<f64>,
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

/// A network's weights as plain numbers, for the search.
#[derive(Clone, Debug)]
struct Net {
    hidden: usize,
    /// `[2, H]`
    w_in: Vec<f64>,
    /// `[H, H]`, row: from unit
    w_rec: Vec<f64>,
    /// `[H]`
    b: Vec<f64>,
    /// `[H]`
    w_out: Vec<f64>,
    b_out: f64,
    /// `[H]`, the sums of the absolute weights of a unit.
    weight: Vec<f64>,
    /// `[H]`, a little more than the f32 sums may be off.
    slack: Vec<f64>,
    out_slack: f64,
}

impl Net {
    fn new(parameters: &Parameters) -> Self {
        let config = parameters.config();
        let h = config.hidden();
        let (mut w_in, mut w_rec) = (vec![0.0; 2 * h], vec![0.0; h * h]);
        let (mut b, mut w_out, mut b_out) = (vec![0.0; h], vec![0.0; h], 0.0);
        let mut weight = vec![0.0; h];
        let mut out = 0.0;
        for tensor in parameters.tensors() {
            for (n, index) in tensor.indices().enumerate() {
                let value = f64::from(parameters.arena()[index]);
                match tensor.name() {
                    "weight_ih_l0" => w_in[n % 2 * h + n / 2] = value,
                    "weight_hh_l0" => w_rec[n % h * h + n / h] = value,
                    "bias_ih_l0" | "bias_hh_l0" => b[n] += value,
                    "head.weight" => w_out[n] = value,
                    _ => b_out = value,
                }
                match tensor.name() {
                    "weight_ih_l0" => weight[n / 2] += value.abs(),
                    "weight_hh_l0" => weight[n / h] += value.abs(),
                    "bias_ih_l0" | "bias_hh_l0" => weight[n] += value.abs(),
                    _ => out += value.abs(),
                }
            }
        }
        let slack = |weight: f64| weight * ((h + 13) as f64 / 16_777_216.0 * 1.01 + 3e-9) + 1e-25;
        Self {
            hidden: h,
            w_in,
            w_rec,
            b,
            w_out,
            b_out,
            slack: weight.iter().map(|&weight| slack(weight)).collect(),
            out_slack: slack(out),
            weight,
        }
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

/// Looks for a proof, and for a counterexample, until one is found or all plans are done.
/// `model` is the file that holds `parameters`, which the certificate names by its hash.
pub fn certify(parameters: &Parameters, model: &[u8]) -> Outcome {
    let net = Net::new(parameters);
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut pool = None;
    for (n, plan) in search::PLANS.iter().enumerate() {
        if n == search::CHEAP
            && let Some(found) = refute::refute(parameters, &mut generator)
        {
            return Outcome::Refuted(found);
        }
        let pool = pool.get_or_insert_with(|| search::Pool::new(&net, &mut generator));
        match search::search(&net, pool, plan) {
            Ok(nodes) => {
                let format = FORMAT.to_owned();
                let hash = hash(model);
                let certificate = Certificate { format, model: hash, steps: plan.steps, nodes };
                // A certificate that the checker refuses is none.
                if let Ok(verified) = check(model, certificate.to_json().as_bytes()) {
                    return Outcome::Certified { certificate, verified };
                }
            }
            Err(failure) if n >= search::CHEAP => {
                let found = refute::refute_near(parameters, &failure.way, &mut generator);
                if let Some(found) = found {
                    return Outcome::Refuted(found);
                }
            }
            Err(_) => {}
        }
    }
    Outcome::Unknown
}

impl Certificate {
    /// As a file: JSON, a node a line.
    pub fn to_json(&self) -> String {
        let node = |node| serde_json::to_string(node).expect("finite numbers and a name");
        let nodes: Vec<String> = self.nodes.iter().map(node).collect();
        format!(
            "{{\"format\":{:?},\"model\":{:?},\"steps\":{},\"nodes\":[\n{}\n]}}\n",
            self.format,
            self.model,
            self.steps,
            nodes.join(",\n")
        )
    }
}

/// SHA-256 in hexadecimal digits.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
