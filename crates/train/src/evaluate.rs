//! Judging frozen parameters: how many sums are right in every digit.

use crate::task::{Addition, Pair};
use model::{Network, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Up to this many bits all pairs of operands are tried (262,144 of them at 10).
pub const EXHAUSTIVE_BITS: u32 = 10;
/// Above, this many sampled pairs.
pub const SAMPLES: u64 = 10_000;

/// How many sums a network spelled right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// Sums right in every digit.
    pub correct: u64,
    /// Sums tried.
    pub total: u64,
    /// Whether those were all there are.
    pub exhaustive: bool,
}

impl Score {
    /// Whether every sum tried was right.
    pub fn is_perfect(&self) -> bool {
        self.correct == self.total
    }
}

/// Tries all pairs of operands up to [`EXHAUSTIVE_BITS`] bits, else [`SAMPLES`] pairs
/// drawn from `seed`, far from the numbers that training draws from the same seed.
///
/// # Panics
/// If `parameters` are not of a network with the task's inputs and outputs.
pub fn evaluate(task: &Addition, parameters: &Parameters, seed: u64) -> Score {
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
    correct: u64,
    total: u64,
}

impl<'a> Judge<'a> {
    const BATCH: usize = 64;

    fn new(task: Addition, parameters: &'a Parameters) -> Self {
        let network = Network::new(parameters.config());
        Self { task, parameters, network, pairs: Vec::new(), correct: 0, total: 0 }
    }

    fn add(&mut self, pair: Pair) {
        self.pairs.push(pair);
        if self.pairs.len() == Self::BATCH {
            self.run();
        }
    }

    fn run(&mut self) {
        let (steps, batch) = (self.task.steps(), self.pairs.len());
        let mut x = vec![0.0; steps * batch * Addition::INPUTS];
        let mut targets = vec![0.0; steps * batch * Addition::OUTPUTS];
        self.task.encode(&self.pairs, &mut x, &mut targets);
        let outputs = self.network.forward(self.parameters, &x, steps, batch);
        let right = |&(n, pair): &(usize, &Pair)| self.task.decode(outputs, batch, n) == pair.sum();
        self.correct += self.pairs.iter().enumerate().filter(right).count() as u64;
        self.total += batch as u64;
        self.pairs.clear();
    }

    fn finish(mut self, exhaustive: bool) -> Score {
        self.run();
        Score { correct: self.correct, total: self.total, exhaustive }
    }
}
