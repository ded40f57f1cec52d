//! How often networks can be proved right, by size, biases and training.

mod summary;
mod trials;

pub use summary::{Quartiles, Summary};
pub use trials::{TrialsFile, TrialsFound};

use super::training::{BATCH, Certifiable, Training};
use super::{Outcome, certify};
use crate::Error;
use crate::run::RunConfig;
use crate::strategy::{Strategy, Trainer};
use model::{Parameters, weights};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// 10,000 examples of plain SGD, as in the lab.
    Plain,
    /// [`Training`], on intervals.
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
}

/// The workers of a Hogwild! training.
pub const WORKERS: usize = 2;

impl Kind {
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
    /// As much as was given to [`certify`].
    pub effort: u64,
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
    /// It adds any two numbers of any length. The fields are those of [`Verified`].
    ///
    /// [`Verified`]: super::Verified
    Certified {
        /// The least distance of an output's sum from 0.
        margin: f64,
        /// The pairs of digits in the longest history of a node.
        k: usize,
        /// How many nodes the certificate has.
        nodes: usize,
        /// Steps from node to node, at most.
        steps: usize,
        /// Whether all sets are boxes.
        boxes: bool,
    },
    /// It does not.
    Counterexample {
        /// The binary digits of the longer of the two operands.
        bits: u64,
        /// All sums of operands of up to so many digits have all these digits right.
        right_up_to: usize,
    },
    /// Neither was found.
    Unknown,
}

impl From<&Outcome> for Ending {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Certified { verified, .. } => Self::Certified {
                margin: verified.margin,
                k: verified.history,
                nodes: verified.nodes,
                steps: verified.steps,
                boxes: verified.boxes,
            },
            Outcome::Refuted(found) => {
                Self::Counterexample { bits: found.bits(), right_up_to: found.right_up_to }
            }
            Outcome::Unknown => Self::Unknown,
        }
    }
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
    let threads = kind.workers();
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

/// Trains and examines a network of each kind and seed of `jobs`, one a core, taken in their
/// order. `effort` is that of [`certify`]. `ended` gets each trial as it ends, in any order,
/// from any thread. After an error no job is begun, and those that were are ended.
///
/// # Errors
/// As [`train`], and those of `ended`.
pub fn study(
    jobs: &[(Kind, u64)],
    effort: u64,
    ended: impl Fn(Trial) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    // Threads of their own: one of rayon's that waits for the pool of a Hogwild! training
    // would begin another job meanwhile, and its seconds would count for both.
    let work = || {
        while let Some(&(kind, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            trial(kind, seed, effort).and_then(&ended).inspect_err(|_| {
                next.store(jobs.len(), Ordering::Relaxed);
            })?;
        }
        Ok(())
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.fold(Ok(()), Result::and)
    })
}

fn trial(kind: Kind, seed: u64, effort: u64) -> Result<Trial, Error> {
    let start = Instant::now();
    let parameters = train(kind, seed)?;
    let training_seconds = start.elapsed().as_secs_f64();
    let outcome = certify(&parameters, &weights::to_bytes(&parameters), effort);
    let proof_seconds = start.elapsed().as_secs_f64() - training_seconds;
    let ending = Ending::from(&outcome);
    Ok(Trial { kind, seed, effort, ending, training_seconds, proof_seconds })
}
