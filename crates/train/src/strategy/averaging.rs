//! Local SGD: each worker trains a replica of its own, and after K examples all become
//! their average.
//!
//! ```text
//! until all examples are used:
//!     worker n of N: wₙ ← w; K examples on wₙ                           in parallel
//!     w ← Σₙ (kₙ / Σ k) · wₙ, in this order, for kₙ examples of worker n
//! ```
//!
//! Rounds are dealt out evenly and not claimed, so the same seed, N, K and sequence of calls
//! give the same bits. A round in which a worker had no example does not count its replica.
//! Optimizer state belongs to a worker and is not averaged.
//!
//! The average may be the direction of a second optimizer instead: see [`super::outer`].
//!
//! An average of N replicas has made the way of one: per example it learns up to N times
//! more slowly than updates that add up, unless the learning rate makes up for it.
//!
//! Source: Stich, *Local SGD Converges Fast and Communicates Little*, 2019.

use super::outer::Outer;
use super::serial;
use crate::metrics::Totals;
use crate::task::Task;
use crate::worker::Worker;
use kernels::vector::{axpy, scale};
use model::Parameters;
use rayon::ThreadPool;
use rayon::prelude::*;

/// The replicas, and when they are averaged.
#[derive(Debug)]
pub(crate) struct Averaging {
    replicas: Vec<Parameters>,
    /// K, whole batches.
    every: u64,
    pub outer: Option<Outer>,
}

impl Averaging {
    pub fn new(parameters: &Parameters, workers: usize, every: u64, outer: Option<Outer>) -> Self {
        Self { replicas: vec![parameters.clone(); workers], every, outer }
    }

    /// `examples` examples by all workers together; ends with an average, in `parameters`.
    pub fn train<T: Task>(
        &mut self,
        pool: &ThreadPool,
        workers: &mut [Worker<T>],
        parameters: &mut Parameters,
        batch: usize,
        examples: u64,
        mut watch: impl FnMut(u64, &Parameters) + Send,
    ) -> Totals {
        pool.install(|| {
            let mut totals = Totals::default();
            let mut parts = vec![Totals::default(); workers.len()];
            while totals.examples < examples {
                let left = examples - totals.examples;
                let shares = shares(left, self.every, batch as u64, workers.len());
                let all = workers.par_iter_mut().zip(&mut self.replicas).zip(&mut parts);
                all.zip(&shares).with_max_len(1).for_each(|(((worker, replica), part), &share)| {
                    replica.arena_mut().copy_from_slice(parameters.arena());
                    *part = serial::train(worker, replica, batch, share, |_, _| ());
                });
                if let Some(outer) = &mut self.outer {
                    outer.keep(parameters.arena());
                }
                average(&self.replicas, &shares, parameters);
                if let Some(outer) = &mut self.outer {
                    outer.step(parameters.arena_mut());
                }
                totals += parts.iter().copied().sum();
                watch(totals.examples, parameters);
            }
            totals
        })
    }
}

/// How many examples each worker has in a round with `left` to go: whole batches, as evenly
/// as they can be dealt, at most `every`; the last batch holds what is left.
pub(crate) fn shares(left: u64, every: u64, batch: u64, workers: usize) -> Vec<u64> {
    let workers = workers as u64;
    let round = left.min(every.saturating_mul(workers));
    let batches = round.div_ceil(batch);
    let mut dealt = 0;
    (0..workers)
        .map(|n| {
            let mine = batches / workers + u64::from(n < batches % workers);
            let share = (mine * batch).min(round - dealt);
            dealt += share;
            share
        })
        .collect()
}

/// What a replica counts that was trained on `share` of `total` examples.
pub(crate) fn weight(share: u64, total: u64) -> f32 {
    (share as f64 / total as f64) as f32
}

/// The average of `replicas`, weighted by `shares`. Of one alone it is a copy.
fn average(replicas: &[Parameters], shares: &[u64], average: &mut Parameters) {
    let total: u64 = shares.iter().sum();
    average.arena_mut().copy_from_slice(replicas[0].arena());
    scale(weight(shares[0], total), average.arena_mut());
    for (replica, &share) in replicas.iter().zip(shares).skip(1).filter(|(_, share)| **share > 0) {
        axpy(weight(share, total), replica.arena(), average.arena_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_dealt_in_whole_batches_and_holds_no_more_than_k_for_each() {
        for (left, every, batch, workers, expected) in [
            (1_000, 16, 1, 3, &[16, 16, 16][..]),
            (7, 16, 1, 3, &[3, 2, 2]),
            (1, 16, 1, 2, &[1, 0]),
            (100, 32, 8, 2, &[32, 32]),
            (30, 32, 8, 2, &[16, 14]),
            (13, 8, 8, 2, &[8, 5]),
            (5, 8, 8, 2, &[5, 0]),
        ] {
            assert_eq!(shares(left, every, batch, workers), expected, "{left} {every} {batch}");
        }
    }
}
