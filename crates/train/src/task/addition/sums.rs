//! Judging frozen parameters: how many sums are right in every digit.

use super::{Addition, Pair};
use crate::batch::{Batch, Inputs};
use crate::task::{Score, Task};
use crate::text::thousands;
use model::{Network, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt::{Display, Formatter};

/// Up to this many bits all pairs of operands are tried (262,144 of them at 10).
pub const EXHAUSTIVE_BITS: u32 = 10;
/// Above, this many sampled pairs.
pub const SAMPLES: u64 = 10_000;

/// How many sums a network spelled right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Sums right in every digit.
    pub correct: u64,
    /// Sums tried.
    pub total: u64,
    /// Whether those were all there are.
    pub exhaustive: bool,
}

impl Display for Sums {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (correct, total) = (thousands(self.correct), thousands(self.total));
        let percent = 100.0 * self.correct as f64 / self.total as f64;
        match (self.is_perfect(), self.exhaustive) {
            (true, true) => write!(f, "All {total} possible sums are right."),
            (false, true) => {
                write!(f, "{correct} of all {total} possible sums are right ({percent:.2} %).")
            }
            (_, false) => write!(
                f,
                "{correct} of {total} sampled sums are right ({percent:.2} %); too many bits to \
                 try all."
            ),
        }
    }
}

impl Score for Sums {
    /// Whether every sum tried was right.
    fn is_perfect(&self) -> bool {
        self.correct == self.total
    }

    fn brief(&self) -> String {
        format!("{} of {}", thousands(self.correct), thousands(self.total))
    }

    fn heading() -> &'static str {
        "sums right"
    }

    fn figure(&self) -> (&'static str, f64) {
        ("sums_wrong", (self.total - self.correct) as f64)
    }

    fn summary(&self, perfect: usize, count: usize) -> String {
        let tried = if self.exhaustive { "possible" } else { "sampled" };
        format!("{perfect} of {count} seeds add every {tried} sum rightly")
    }

    fn describe(&self) -> serde_json::Value {
        json!({ "sums_correct": self.correct, "sums_total": self.total })
    }
}

/// Tries all pairs of operands up to [`EXHAUSTIVE_BITS`] bits, else [`SAMPLES`] pairs
/// drawn from `seed`, far from the numbers that training draws from the same seed.
///
/// # Panics
/// If `parameters` are not of a network with the task's inputs and outputs.
pub(super) fn evaluate(task: &Addition, parameters: &Parameters, seed: u64) -> Sums {
    let exhaustive = task.bits() <= EXHAUSTIVE_BITS;
    let mut judge = Judge::new(*task, parameters);
    if exhaustive {
        for a in 0..task.operands() {
            for b in 0..task.operands() {
                judge.add(Pair { a, b });
            }
        }
    } else {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        generator.long_jump();
        for _ in 0..SAMPLES {
            judge.add(task.sample(&mut generator));
        }
    }
    judge.finish(exhaustive)
}

/// Gathers pairs to batches and counts.
struct Judge<'a> {
    task: Addition,
    parameters: &'a Parameters,
    network: Network,
    pairs: Vec<Pair>,
    batch: Batch,
    correct: u64,
    total: u64,
}

impl<'a> Judge<'a> {
    const BATCH: usize = 64;

    fn new(task: Addition, parameters: &'a Parameters) -> Self {
        let network = Network::new(parameters.config());
        let (pairs, batch) = (Vec::new(), Batch::default());
        Self { task, parameters, network, pairs, batch, correct: 0, total: 0 }
    }

    fn add(&mut self, pair: Pair) {
        self.pairs.push(pair);
        if self.pairs.len() == Self::BATCH {
            self.run();
        }
    }

    fn run(&mut self) {
        let (steps, batch) = (self.task.steps(), self.pairs.len());
        self.task.encode(&self.pairs, &mut self.batch);
        let Inputs::Values(x) = &self.batch.inputs else {
            unreachable!("digits are encoded as values");
        };
        let outputs = self.network.forward(self.parameters, x, steps, batch);
        let right = |&(n, pair): &(usize, &Pair)| self.task.decode(outputs, batch, n) == pair.sum();
        self.correct += self.pairs.iter().enumerate().filter(right).count() as u64;
        self.total += batch as u64;
        self.pairs.clear();
    }

    fn finish(mut self, exhaustive: bool) -> Sums {
        self.run();
        Sums { correct: self.correct, total: self.total, exhaustive }
    }
}
