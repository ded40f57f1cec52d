//! Prove or refute: what becomes of a network.

use crate::certificate::Certificate;
use crate::network::Net;
use crate::pool::Pool;
use crate::refute::{self, Counterexample};
use crate::search;
use model::Parameters;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use verify::{Verified, check};

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
