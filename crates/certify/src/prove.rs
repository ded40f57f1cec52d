//! Prove or refute: what becomes of a network.

use crate::certificate::Certificate;
use crate::counterexample::Counterexample;
use crate::leaf::Leaf;
use crate::machine::{self, Transitions};
use crate::network::Net;
use crate::refute::Search;
use crate::sample::Sample;
use crate::search::{self, Plan, Question};
use model::{Cell as ModelCell, Config, HeadActivation, Memory, Nonlinearity, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use verify::{Cell, Machine, Verified, check};

/// What became of a network.
#[expect(clippy::large_enum_variant, reason = "there is one a search")]
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It does the same as the machine on every input of any length.
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

/// Abstract states that each plan of a search propagates a step before it is given up; some tens of
/// seconds at H = 16.
pub const BUDGET: u64 = 2_000_000;

/// The cell of a network of which a proof for `machine` can be looked for: one layer,
/// forward, with as many inputs and outputs as the machine has.
///
/// # Errors
/// What is in the way, as the rest of a sentence.
pub fn provable(config: Config, machine: &Machine) -> Result<Cell, String> {
    let cell = match config.cell() {
        ModelCell::Elman(Nonlinearity::Sigmoid) => Cell::Sigmoid,
        ModelCell::Elman(Nonlinearity::Tanh) => Cell::Tanh,
        ModelCell::Elman(Nonlinearity::Relu) => Cell::Relu,
        ModelCell::Gru => Cell::Gru,
        ModelCell::Lstm => Cell::Lstm,
    };
    let architecture = config.architecture();
    if architecture.layers != 1
        || architecture.bidirectional
        || architecture.embedding.is_some()
        || architecture.memory != Memory::State
    {
        return Err("is not of one layer, forward, that remembers its states".to_owned());
    }
    let (inputs, outputs) = (machine.width(), machine.head_outputs());
    let bias = architecture.head.map(|head| head.bias);
    if (config.inputs(), config.outputs()) != (inputs, outputs) || bias != Some(config.bias()) {
        return Err(format!(
            "has {} inputs and {} outputs, where {:?} asks for {inputs} and {outputs}",
            config.inputs(),
            config.outputs(),
            machine.name()
        ));
    }
    let activation = architecture.head.map(|head| head.activation);
    let of_one = if outputs == 1 { HeadActivation::Sigmoid } else { HeadActivation::Identity };
    if activation != Some(of_one) {
        return Err(format!("has a head that does not end in {of_one:?}"));
    }
    let (symbols, states) = (machine.symbols().len(), machine.states().len());
    if symbols > machine::MOST.0 || states > machine::MOST.1 {
        return Err(format!(
            "is for a machine of {symbols} symbols and {states} states, of which no proof is looked \
             for"
        ));
    }
    Ok(cell)
}

/// What a search for a proof of one network needs.
struct Asked<'a> {
    machine: &'a Machine,
    model: &'a [u8],
    transitions: Transitions,
    net: Net,
}

impl<'a> Asked<'a> {
    fn new(parameters: &Parameters, machine: &'a Machine, model: &'a [u8]) -> Self {
        let cell = match provable(parameters.config(), machine) {
            Ok(cell) => cell,
            Err(reason) => panic!("the network {reason}"),
        };
        let net = Net::new(parameters, cell, machine);
        Self { machine, model, transitions: Transitions::new(machine), net }
    }

    fn question<'b>(&'b self, sample: &'b Sample, plan: &'b Plan) -> Question<'b> {
        Question { net: &self.net, machine: &self.transitions, sample, plan }
    }

    /// The certificate of `leaves`; one that the checker refuses is none.
    fn checked(&self, steps: usize, leaves: &[Leaf]) -> Option<(Certificate, Verified)> {
        let nodes = leaves.iter().map(|leaf| leaf.node(self.machine.symbols())).collect();
        let about = (self.net.cell, self.machine);
        let certificate = Certificate::new(self.model, about, steps, nodes);
        let verified = check(self.model, certificate.to_json().as_bytes()).ok()?;
        Some((certificate, verified))
    }
}

/// Looks for a proof, and for a counterexample, until one is found, or all plans are done,
/// or each has spent its `budget` (such as [`BUDGET`]). `model` is the file that holds `parameters`,
/// which the certificate names by its digest.
///
/// # Panics
/// If the network is not [`provable`].
pub fn certify(parameters: &Parameters, machine: &Machine, model: &[u8], budget: u64) -> Outcome {
    let asked = Asked::new(parameters, machine, model);
    let Asked { net, transitions, .. } = &asked;
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let sample = Sample::new(net, transitions, search::SAMPLED, &mut generator);
    let refutation = Search { parameters, net, machine, transitions, sample: &sample };
    for (n, plan) in search::PLANS.iter().enumerate() {
        if n == search::CHEAP
            && let Some(found) = refutation.refute(&mut generator)
        {
            return Outcome::Refuted(found);
        }
        let question = asked.question(&sample, plan);
        let mut left = budget;
        match search::search(question, &mut left) {
            Ok(leaves) => {
                if let Some((certificate, verified)) = asked.checked(question.steps(), &leaves) {
                    return Outcome::Certified { certificate, verified };
                }
            }
            Err(failure) if n >= search::CHEAP => {
                if let Some(found) = refutation.refute_near(&failure.sequences, &mut generator) {
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
/// which a share is asked: those that answer wrongly should be sorted out first, as a search for
/// what there is not takes longest.
///
/// # Panics
/// If the network is not [`provable`].
pub fn prove(
    parameters: &Parameters,
    machine: &Machine,
    model: &[u8],
    budget: u64,
) -> Option<(Certificate, Verified)> {
    let asked = Asked::new(parameters, machine, model);
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let sample = Sample::new(&asked.net, &asked.transitions, search::SAMPLED, &mut generator);
    search::PLANS.iter().find_map(|plan| {
        let question = asked.question(&sample, plan);
        let mut left = budget;
        let leaves = search::search(question, &mut left).ok()?;
        asked.checked(question.steps(), &leaves)
    })
}
