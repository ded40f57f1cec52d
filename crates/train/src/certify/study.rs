//! How often networks can be proved right, by size, biases and training.

use super::training::{BATCH, Certifiable, Training, network_config};
use super::{Outcome, certify};
use crate::Error;
use crate::run::RunConfig;
use crate::strategy::Serial;
use model::{Parameters, weights};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use std::ops::Range;
use std::time::Instant;

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// 10,000 examples of plain SGD, as in the lab.
    Plain,
    /// [`Training`], on intervals.
    Certifiable,
}

/// Networks of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// H
    pub hidden: usize,
    /// Whether they have biases.
    pub bias: bool,
    /// How they are trained.
    pub recipe: Recipe,
}

/// What became of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its seed.
    pub seed: u64,
    /// Proof, counterexample or neither.
    pub outcome: Outcome,
    /// Seconds of training.
    pub training: f64,
    /// Seconds of the search.
    pub proof: f64,
}

/// H of the study.
pub const SIZES: [usize; 5] = [2, 3, 4, 8, 16];

/// The kinds of the study: every H of [`SIZES`], with biases or without, by both recipes.
pub fn kinds() -> Vec<Kind> {
    SIZES
        .into_iter()
        .flat_map(|hidden| [false, true].map(|bias| (hidden, bias)))
        .flat_map(|(hidden, bias)| {
            [Recipe::Plain, Recipe::Certifiable].map(|recipe| Kind { hidden, bias, recipe })
        })
        .collect()
}

/// Trains a network of `kind` from `seed`.
///
/// # Errors
/// If the kind makes no sense, or the training diverges.
pub fn train(kind: Kind, seed: u64) -> Result<Parameters, Error> {
    match kind.recipe {
        Recipe::Plain => {
            let asked =
                RunConfig { hidden: kind.hidden, bias: kind.bias, seed, ..RunConfig::default() };
            let config = network_config(kind.hidden, kind.bias)?;
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
            let parameters = Parameters::uniform(config, &mut generator);
            let mut serial = Serial::resume(&asked, parameters, generator)?;
            let totals = serial.train(asked.examples);
            serial.check_finite(asked.examples, &totals)?;
            Ok(serial.parameters().clone())
        }
        Recipe::Certifiable => {
            let asked = Certifiable {
                hidden: kind.hidden,
                bias: kind.bias,
                seed,
                ..Certifiable::default()
            };
            let mut training = Training::new(asked)?;
            let loss = training.train(asked.updates);
            let parameters = training.parameters();
            if !parameters.is_finite() {
                let examples = asked.updates * BATCH as u64;
                return Err(Error::Diverged {
                    examples,
                    loss,
                    norm: training.gradient_norm(),
                    learning_rate: super::training::LEARNING_RATE,
                    checkpoint: None,
                });
            }
            Ok(parameters)
        }
    }
}

/// Trains and examines a network of `kind` for every seed, over all cores; the trials stand
/// in the order of the seeds. `finished` is called as each ends, in any order.
///
/// # Errors
/// As [`train`].
pub fn study(
    kind: Kind,
    seeds: Range<u64>,
    finished: impl Fn() + Sync,
) -> Result<Vec<Trial>, Error> {
    let trial = |seed| {
        let start = Instant::now();
        let parameters = train(kind, seed)?;
        let training = start.elapsed().as_secs_f64();
        let outcome = match certify(&parameters, &weights::to_bytes(&parameters)) {
            // What is kept of hundreds of proofs.
            Outcome::Certified { mut certificate, verified } => {
                certificate.nodes.clear();
                Outcome::Certified { certificate, verified }
            }
            other => other,
        };
        finished();
        Ok(Trial { seed, outcome, training, proof: start.elapsed().as_secs_f64() - training })
    };
    seeds.into_par_iter().map(trial).collect()
}
