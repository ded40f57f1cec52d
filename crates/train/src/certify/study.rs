//! How often networks can be proved right, by size, biases and training.

use super::training::{BATCH, Certifiable, Training};
use super::{Outcome, certify};
use crate::Error;
use crate::run::RunConfig;
use crate::strategy::{Strategy, Trainer};
use model::{Parameters, weights};
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
    /// Whether by [`WORKERS`] workers on shared parameters (Hogwild!) instead of one.
    pub hogwild: bool,
}

/// The workers of a Hogwild! training.
pub const WORKERS: usize = 2;

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

/// The kinds of the study: every H of [`SIZES`], with biases or without, by both recipes,
/// serial or Hogwild!.
pub fn kinds() -> Vec<Kind> {
    let both = [false, true];
    let mut kinds = Vec::new();
    for hidden in SIZES {
        for bias in both {
            for recipe in [Recipe::Plain, Recipe::Certifiable] {
                kinds.extend(both.map(|hogwild| Kind { hidden, bias, recipe, hogwild }));
            }
        }
    }
    kinds
}

/// Trains a network of `kind` from `seed`.
///
/// # Errors
/// If the kind makes no sense, or the training diverges.
pub fn train(kind: Kind, seed: u64) -> Result<Parameters, Error> {
    let Kind { hidden, bias, recipe, hogwild } = kind;
    let threads = if hogwild { WORKERS } else { 1 };
    match recipe {
        Recipe::Plain => {
            let strategy = if hogwild { Strategy::Hogwild } else { Strategy::Serial };
            let asked = RunConfig { hidden, bias, seed, strategy, threads, ..RunConfig::default() };
            let mut trainer = Trainer::new(&asked)?;
            let totals = trainer.train(asked.examples);
            let parameters = trainer.parameters().clone();
            if !parameters.is_finite() {
                return Err(Error::Diverged {
                    examples: asked.examples,
                    loss: totals.loss / asked.examples as f64,
                    norm: trainer.gradient_norm(),
                    learning_rate: asked.learning_rate,
                    checkpoint: None,
                });
            }
            Ok(parameters)
        }
        Recipe::Certifiable => {
            let asked = Certifiable { hidden, bias, seed, ..Certifiable::default() };
            let mut training = Training::new(asked)?;
            let loss = match hogwild {
                true => training.train_hogwild(threads),
                false => training.train(asked.updates),
            };
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
/// in the order of the seeds. `effort` is that of [`certify`]. `finished` is called as each ends, in any order.
///
/// # Errors
/// As [`train`].
pub fn study(
    kind: Kind,
    seeds: Range<u64>,
    effort: u64,
    finished: impl Fn() + Sync,
) -> Result<Vec<Trial>, Error> {
    let trial = |seed| {
        let start = Instant::now();
        let parameters = train(kind, seed)?;
        let training = start.elapsed().as_secs_f64();
        let outcome = match certify(&parameters, &weights::to_bytes(&parameters), effort) {
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
