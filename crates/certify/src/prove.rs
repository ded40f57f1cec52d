//! Prove or refute: what becomes of a network.

use crate::certificate::{Certificate, Node};
use crate::network::Net;
use crate::refute::{self, Counterexample};
use crate::sample::Sample;
use crate::search;
use model::Parameters;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use verify::{Cell, Machine, Verified, check};

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

/// Abstract states propagated a step before a search is given up; some tens of seconds at
/// H = 16.
pub const BUDGET: u64 = 2_000_000;

/// Looks for a proof, and for a counterexample, until one is found, or all plans are done,
/// or `budget` (such as [`BUDGET`]) is spent. `model` is the file that holds `parameters`,
/// which the certificate names by its digest.
pub fn certify(parameters: &Parameters, model: &[u8], budget: u64) -> Outcome {
    let net = Net::new(parameters);
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let sample = Sample::new(&net, search::SAMPLED, &mut generator);
    let mut left = budget;
    for (n, plan) in search::PLANS.iter().enumerate() {
        if n == search::CHEAP
            && let Some(found) = refute::refute(parameters, &net, &mut generator)
        {
            return Outcome::Refuted(found);
        }
        match search::search(&net, &sample, plan, &mut left) {
            Ok(nodes) => {
                if let Some((certificate, verified)) = checked(model, plan.steps, nodes) {
                    return Outcome::Certified { certificate, verified };
                }
            }
            Err(failure) if n >= search::CHEAP => {
                if let Some(found) =
                    refute::refute_near(parameters, &net, &failure.sequences, &mut generator)
                {
                    return Outcome::Refuted(found);
                }
            }
            Err(_) => {}
        }
    }
    Outcome::Unknown
}

/// The proof that [`certify`] would find, and what the checker says to it, without looking for a
/// counterexample meanwhile; none of a network that needs more than `budget`. For many networks, of
/// which a share is asked: those that add wrongly should be sorted out first, as a search for what
/// there is not takes longest.
pub fn prove(
    parameters: &Parameters,
    model: &[u8],
    budget: u64,
) -> Option<(Certificate, Verified)> {
    let net = Net::new(parameters);
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let sample = Sample::new(&net, search::SAMPLED, &mut generator);
    let mut left = budget;
    search::PLANS.iter().find_map(|plan| {
        let nodes = search::search(&net, &sample, plan, &mut left).ok()?;
        checked(model, plan.steps, nodes)
    })
}

/// The certificate of `nodes`; one that the checker refuses is none.
fn checked(model: &[u8], steps: usize, nodes: Vec<Node>) -> Option<(Certificate, Verified)> {
    let certificate = Certificate::new(model, (Cell::Sigmoid, &Machine::addition()), steps, nodes);
    let verified = check(model, certificate.to_json().as_bytes()).ok()?;
    Some((certificate, verified))
}
