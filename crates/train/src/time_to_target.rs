//! Time to target: the wall time until the loss on held-out examples first falls below a target.
//!
//! It is the one figure by which strategies can be compared. A strategy can be fast in two ways
//! that say nothing alone: more examples a second (hardware efficiency), and fewer examples to
//! the target (statistical efficiency). Their quotient is what the user waits for:
//!
//! ```text
//! train; from time to time copy the parameters, and note the examples and the time
//! afterwards, copy by copy: the loss on the held-out examples
//! the first copy below the target gives the seconds and the examples
//! ```
//!
//! 1. The loss is computed after the run, so that it is neither on the clock nor in the caches.
//! 2. All strategies are copied at the same intervals, as far as their synchronisation allows.
//! 3. Memory for the copies is allocated before the clock starts.
//!
//! As in DAWNBench: Coleman et al., *DAWNBench: An End-to-End Deep Learning Benchmark and
//! Competition*, 2017, whose metric is the time to accuracy.

use crate::Error;
use crate::batch::Batch;
use crate::config::RunConfig;
use crate::metrics::Totals;
use crate::pass::Pass;
use crate::task::{Progress, Source, Task};
use crate::trainer::Trainer;
use model::Parameters;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Examples that no training sees from its generator, the same for all that are compared.
#[derive(Debug)]
pub struct HeldOut<T> {
    task: T,
    batches: Vec<Batch>,
}

impl<T: Task> HeldOut<T> {
    /// `count` examples of `task`, drawn two `long_jump`s away from the numbers of any training
    /// with a seed of its own.
    pub fn new(task: T, count: usize) -> Self {
        const BATCH: usize = 64;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(u64::MAX);
        generator.long_jump();
        generator.long_jump();
        let draw = |first: usize| {
            let examples = first as u64;
            let progress =
                Progress { examples, of: count as u64, batch: count as u64, worker: 0, workers: 1 };
            let count = BATCH.min(count - first);
            let mut batch = Batch::default();
            task.draw(Source { generator: &mut generator, count, progress }, &mut batch);
            batch
        };
        let batches = (0..count).step_by(BATCH).map(draw).collect();
        Self { task, batches }
    }

    /// The mean loss of an example.
    ///
    /// # Panics
    /// If `parameters` are not of a network with the task's inputs and outputs.
    pub fn loss(&self, parameters: &Parameters) -> f64 {
        let mut pass = Pass::new(parameters.config(), Xoshiro256PlusPlus::seed_from_u64(0));
        let mut dy = Vec::new();
        let losses = self.batches.iter().map(|batch| {
            let outputs = pass.infer(parameters, batch).expect("drawn for such a network");
            dy.resize(outputs.len(), 0.0);
            self.task.loss(batch, outputs, &mut dy)
        });
        let totals: Totals = losses.sum();
        totals.loss / totals.examples as f64
    }
}

/// What a training is run for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// The held-out losses to fall below, each lower than the one before. Several, as a single one
    /// may flatter a strategy that is fast at the beginning, or at the end.
    pub targets: Vec<f64>,
    /// Examples between two copies.
    pub every: u64,
    /// Examples of one call to [`Trainer::train_watched`]. After each the copies are evaluated, so
    /// that a run can end early.
    pub stretch: u64,
}

/// How a training went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it first fell below each of the targets: seconds of training, and examples. None if it
    /// did not, in all examples of its configuration.
    pub reached: Vec<Option<(f64, u64)>>,
    /// Seconds of the whole training.
    pub seconds: f64,
    /// Examples of the whole training.
    pub examples: u64,
}

impl Outcome {
    /// Seconds to a target, counted from 0; ∞ if it was not reached.
    ///
    /// # Panics
    /// If there are no more than `target` targets.
    pub fn seconds_to(&self, target: usize) -> f64 {
        self.reached[target].map_or(f64::INFINITY, |(seconds, _)| seconds)
    }

    /// Examples to a target, counted from 0; ∞ if it was not reached.
    ///
    /// # Panics
    /// If there are no more than `target` targets.
    pub fn examples_to(&self, target: usize) -> f64 {
        self.reached[target].map_or(f64::INFINITY, |(_, examples)| examples as f64)
    }

    /// Examples a second of the whole training.
    pub fn rate(&self) -> f64 {
        self.examples as f64 / self.seconds
    }
}

/// Trains as `config` says until the last target of `goal` is reached or its examples are used up.
///
/// # Errors
/// If `config` makes no sense, or threads cannot be started.
///
/// # Panics
/// If the goal asks for a copy every 0 examples.
pub fn time_to_target<T: Task>(
    config: &RunConfig<T>,
    goal: &Goal,
    held_out: &HeldOut<T>,
) -> Result<Outcome, Error> {
    let mut trainer = Trainer::new(config)?;
    let room = (goal.stretch / goal.every) as usize + 2;
    let mut copies = vec![(0, 0.0, trainer.parameters().clone()); room];
    let reached = vec![None; goal.targets.len()];
    let mut outcome = Outcome { reached, seconds: 0.0, examples: 0 };
    while outcome.examples < config.run.examples && outcome.reached.contains(&None) {
        let stretch = goal.stretch.min(config.run.examples - outcome.examples);
        let (mut count, mut next) = (0, goal.every);
        let start = Instant::now();
        trainer.train_watched(stretch, |examples, parameters| {
            if examples >= next && count < room {
                let (at, seconds, copy) = &mut copies[count];
                (*at, *seconds) = (examples, start.elapsed().as_secs_f64());
                copy.arena_mut().copy_from_slice(parameters.arena());
                count += 1;
                next = examples + goal.every;
            }
        });
        let seconds = start.elapsed().as_secs_f64();
        for (at, seconds, copy) in &copies[..count] {
            if !outcome.reached.contains(&None) {
                break;
            }
            let loss = held_out.loss(copy);
            let at = (outcome.seconds + seconds, outcome.examples + at);
            for (reached, target) in outcome.reached.iter_mut().zip(&goal.targets) {
                if loss < *target {
                    reached.get_or_insert(at);
                }
            }
        }
        outcome.seconds += seconds;
        outcome.examples += stretch;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Strategy, StrategyConfig};
    use crate::strategy::Serial;
    use crate::task::TestTask;

    #[test]
    fn the_first_copy_below_the_target_counts_and_a_target_out_of_reach_is_not_reached() {
        let mut config = TestTask::lab();
        config.run.examples = 20_000;
        let held_out = HeldOut::new(TestTask::new(8).unwrap(), 200);
        let reached = |strategy, targets: &[f64]| {
            let goal = Goal { targets: targets.to_vec(), every: 100, stretch: 5_000 };
            let strategy = StrategyConfig { name: strategy, threads: 2, push_every: 16 };
            let config = RunConfig { strategy, ..config.clone() };
            time_to_target(&config, &goal, &held_out).unwrap()
        };
        for strategy in Strategy::ALL {
            let easy = reached(strategy, &[1e9]);
            let (seconds, examples) = easy.reached[0].unwrap();
            assert!((100..1_000).contains(&examples) && seconds > 0.0, "{strategy:?} {easy:?}");
            assert_eq!(easy.examples, 5_000);
            // A target that is reached does not end what the other ones need.
            let both = reached(strategy, &[1e9, 0.0]);
            assert!(both.reached[0].is_some() && both.reached[1].is_none(), "{both:?}");
            assert!(both.seconds_to(0) < both.seconds && both.seconds_to(1) == f64::INFINITY);
            assert!(both.examples_to(0) < 1_000.0 && both.examples_to(1) == f64::INFINITY);
            assert_eq!(both.examples, 20_000, "{strategy:?}");
        }
        let two = reached(Strategy::Serial, &[0.5, 0.3]).reached;
        assert!(two[0].unwrap() < two[1].unwrap(), "{two:?}");
        // What was measured is what a plain training does.
        let (seconds, examples) = two[1].unwrap();
        let mut serial = Serial::new(&config).unwrap();
        serial.train(examples - 100);
        assert!(held_out.loss(serial.parameters()) >= 0.3);
        serial.train(100);
        assert!(held_out.loss(serial.parameters()) < 0.3 && seconds > 0.0);
    }
}
