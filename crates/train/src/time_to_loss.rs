//! How long until it has learned: the one figure by which strategies can be compared.
//!
//! A strategy can be fast in two ways that say nothing alone: more examples a second (the
//! hardware's share), and fewer examples to a loss (the statistics' share). Their quotient,
//! the wall time until the loss on held-out examples first falls below a target, is what the
//! user waits for:
//!
//! ```text
//! run the strategy; from time to time copy the parameters, and note examples and time
//! afterwards, copy by copy: the loss on the held-out examples
//! the first copy below the target says: so many seconds, so many examples
//! ```
//!
//! 1. Judging comes after the run, so that it is neither on the clock nor in the caches.
//! 2. All strategies are copied at the same distance, as far as their meetings allow.
//! 3. Memory for the copies is there before the clock starts.
//!
//! [`CostModel`] tells from such runs what more cores would do.

use crate::Error;
use crate::batch::Batch;
use crate::config::{RunConfig, StrategyConfig};
use crate::metrics::Totals;
use crate::pass::Pass;
use crate::shared::{Replica, Shared};
use crate::task::{Progress, Source, Task};
use crate::trainer::Trainer;
use model::{Config, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

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
            let progress = Progress { examples: first as u64, of: count as u64, worker: 0, workers: 1 };
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

/// What is asked of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// The held-out losses to fall below, each lower than the one before: several, as one alone
    /// may flatter a strategy that is quick at the beginning, or at the end.
    pub losses: Vec<f64>,
    /// Examples between two copies.
    pub every: u64,
    /// Examples of one call to [`Trainer::train_watched`]; after each the copies are judged, so
    /// that a run can end early.
    pub stretch: u64,
}

/// How a training went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it first fell below each of the losses: seconds of training, and examples. None if it
    /// did not, in all examples of its configuration.
    pub reached: Vec<Option<(f64, u64)>>,
    /// All of it, for the rate.
    pub seconds: f64,
    /// All of it.
    pub examples: u64,
}

/// Trains as `config` says until the last loss of `goal` is reached or its examples are used up.
///
/// # Errors
/// If `config` makes no sense, or threads cannot be started.
pub fn time_to_loss<T: Task>(
    config: &RunConfig<T>,
    goal: &Goal,
    held_out: &HeldOut<T>,
) -> Result<Outcome, Error> {
    let mut trainer = Trainer::new(config)?;
    let room = (goal.stretch / goal.every) as usize + 2;
    let mut copies = vec![(0, 0.0, trainer.parameters().clone()); room];
    let reached = vec![None; goal.losses.len()];
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
            for (reached, target) in outcome.reached.iter_mut().zip(&goal.losses) {
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

/// Examples a second of `threads` serial trainings beside each other, which share nothing but
/// the machine: what no strategy can surpass. Each trains on `examples`.
///
/// # Errors
/// If `config` makes no sense.
pub fn rate_apart<T: Task>(config: &RunConfig<T>, threads: usize, examples: u64) -> Result<f64, Error> {
    let new = |seed| {
        let mut config = RunConfig { strategy: StrategyConfig::SERIAL, ..config.clone() };
        config.run.seed = seed;
        Trainer::new(&config)
    };
    let trainers = (0..threads as u64).map(new).collect::<Result<Vec<_>, _>>()?;
    let begin = Barrier::new(threads);
    let seconds = thread::scope(|scope| {
        let train = |mut trainer: Trainer<T>| {
            let begin = &begin;
            scope.spawn(move || {
                trainer.train(examples.div_ceil(10)); // the caches, and the other's start
                begin.wait();
                let start = Instant::now();
                trainer.train(examples);
                start.elapsed().as_secs_f64()
            })
        };
        let all: Vec<_> = trainers.into_iter().map(train).collect();
        all.into_iter()
            .map(|one| one.join().expect("a training does not panic"))
            .collect::<Vec<_>>()
    });
    Ok(seconds.iter().map(|seconds| examples as f64 / seconds).sum())
}

/// Seconds of a push of a worker beside another, in a network of `inputs` one-hot inputs and 16
/// hidden units: with the rows of `W_in` that were used, and with all of them.
///
/// # Errors
/// If there are no inputs, or too many.
pub fn one_hot_push(inputs: usize) -> Result<[f64; 2], Error> {
    const PUSHES: usize = 500;
    let zeros = Parameters::zeros(Config::lab(inputs, 16, 1)?);
    let time = |all: bool| {
        let shared = Shared::new(zeros.arena());
        let begin = Barrier::new(2);
        let run = |number: usize| {
            let mut replica = Replica::new(zeros.clone(), number, 2);
            let mut x = vec![0.0; inputs];
            begin.wait();
            let start = Instant::now();
            for push in 0..PUSHES {
                let input = (push * 7 + number) % inputs;
                x[input] = 1.0;
                replica.use_inputs(model::Inputs::Values(&x), &shared);
                x[input] = 0.0;
                replica.parameters.arena_mut()[input * 16] += 1.0;
                if all {
                    replica.push_all(&shared);
                } else {
                    replica.push(1, &shared);
                }
            }
            start.elapsed().as_secs_f64() / PUSHES as f64
        };
        thread::scope(|scope| {
            let other = scope.spawn(|| run(1));
            (run(0) + other.join().expect("a push does not panic")) / 2.0
        })
    };
    Ok([time(false), time(true)])
}

/// Seconds that a cache line needs from one core to another: two threads count in turns, and
/// each count has to come to the other. Where two threads do not run at the same time it
/// looks for a fifth of a second, and no longer.
pub fn line_transfer() -> f64 {
    const TURNS: u32 = 20_000;
    const PATIENCE: Duration = Duration::from_millis(200);
    let count = AtomicU32::new(0);
    let begin = Instant::now();
    // Nothing but the count itself is read: relaxed.
    let play = |parity: u32| {
        for tries in 1_u64.. {
            let now = count.load(Relaxed);
            if now >= TURNS || (tries.is_multiple_of(1_000) && begin.elapsed() > PATIENCE) {
                break;
            }
            if now % 2 == parity {
                count.store(now + 1, Relaxed);
            }
        }
    };
    let start = thread::scope(|scope| {
        scope.spawn(|| play(1));
        // The other is awake when it has answered this.
        count.store(1, Relaxed);
        while count.load(Relaxed) == 1 && begin.elapsed() < PATIENCE {}
        let start = Instant::now();
        play(0);
        start
    });
    start.elapsed().as_secs_f64() / f64::from(count.into_inner().max(1))
}

/// What an example and a push cost a worker of Hogwild!, and so what more of them would do.
///
/// ```text
/// seconds an example of one worker     a + b/K
/// a line of W_in or W_out              is wanted P = min(K, 4) times in K examples, for t each
/// rate of N workers                    min( N / (a + b/K),  K / (P·t) )
/// ```
///
/// The second is a wall: a line can be in one place at a time, so no more than 1/t parts of
/// pushes a second pass through it, by however many workers. (Where the head goes first, examples
/// are so long that the wall of `W_out`, wanted twice an example, is far away.)
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostModel {
    /// a, seconds an example.
    pub example: f64,
    /// b, seconds a push, with others at it.
    pub push: f64,
    /// t, seconds a line from core to core.
    pub transfer: f64,
}

impl CostModel {
    /// Fits a and b to measured `(K, seconds an example of one worker)` by least squares of
    /// the relative error; `None` from fewer than two K.
    pub fn fit(points: &[(u64, f64)], transfer: f64) -> Option<Self> {
        // Minimise Σ (a·u + b·v − 1)² with u = 1/s, v = 1/(K·s).
        let (mut uu, mut uv, mut vv, mut u1, mut v1) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(k, seconds) in points {
            let (u, v) = (1.0 / seconds, 1.0 / (seconds * k as f64));
            uu += u * u;
            uv += u * v;
            vv += v * v;
            u1 += u;
            v1 += v;
        }
        let determinant = uu * vv - uv * uv;
        (determinant > 1e-9 * uu * vv).then(|| Self {
            example: (u1 * vv - v1 * uv) / determinant,
            push: (v1 * uu - u1 * uv) / determinant,
            transfer,
        })
    }

    /// Examples a second of `workers` (N) that push every `push_every` (K).
    pub fn rate(&self, workers: usize, push_every: u64) -> f64 {
        let k = push_every as f64;
        (workers as f64 / (self.example + self.push / k)).min(k / (k.min(PARTS) * self.transfer))
    }

    /// The least K at which pushes take below `share` of a worker's time, and each line is
    /// wanted below `share` of the time, so that nobody queues for it.
    pub fn least_push_every(&self, workers: usize, share: f64) -> u64 {
        let own = self.push / (share * self.example);
        let queue = PARTS * self.transfer * workers as f64 / (share * self.example);
        own.max(queue).ceil().max(1.0) as u64
    }
}

/// The parts of a push, as [`crate::shared`] makes it.
const PARTS: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Strategy;
    use crate::task::Addition;

    #[test]
    fn the_model_is_found_again_in_the_times_it_predicts() {
        let model = CostModel { example: 4e-7, push: 1.5e-6, transfer: 1e-7 };
        let times = [1, 4, 16, 64].map(|k| (k, model.example + model.push / k as f64));
        let found = CostModel::fit(&times, 1e-7).unwrap();
        assert!((found.example / model.example - 1.0).abs() < 1e-9, "{found:?}");
        assert!((found.push / model.push - 1.0).abs() < 1e-9, "{found:?}");
        assert_eq!(CostModel::fit(&times[..1], 1e-7), None);
        assert_eq!(CostModel::fit(&[], 1e-7), None);

        // one worker's pushes take 5 % at K = 75; eight make a line wanted 5 % of it at 160
        assert_eq!(model.least_push_every(1, 0.05), 75);
        assert_eq!(model.least_push_every(8, 0.05), 160);
        assert!((model.rate(2, 75) * (4e-7 + 2e-8) / 2.0 - 1.0).abs() < 1e-9);
        assert_eq!(model.rate(64, 1), 1.0 / 1e-7);
        assert_eq!(model.rate(1_000, 8), 2.0 / 1e-7);
    }

    #[test]
    fn what_bounds_a_strategy_is_measured_in_positive_times() {
        let rate = rate_apart(&Addition::lab(), 2, 2_000).unwrap();
        assert!(rate.is_finite() && rate > 0.0, "{rate}");
        let [used, all] = one_hot_push(64).unwrap();
        assert!(used > 0.0 && all > 0.0, "{used} {all}");
        let transfer = line_transfer();
        assert!(transfer > 0.0 && transfer.is_finite(), "{transfer}");
    }

    #[test]
    fn the_first_copy_below_the_target_counts_and_a_target_out_of_reach_is_not_reached() {
        let mut config = Addition::lab();
        config.run.examples = 20_000;
        let held_out = HeldOut::new(Addition::new(8).unwrap(), 200);
        let reached = |strategy, losses: &[f64]| {
            let goal = Goal { losses: losses.to_vec(), every: 100, stretch: 5_000 };
            let strategy = StrategyConfig { name: strategy, threads: 2, push_every: 16 };
            let config = RunConfig { strategy, ..config.clone() };
            time_to_loss(&config, &goal, &held_out).unwrap()
        };
        for strategy in Strategy::ALL {
            let easy = reached(strategy, &[1e9]);
            let (seconds, examples) = easy.reached[0].unwrap();
            assert!((100..1_000).contains(&examples) && seconds > 0.0, "{strategy:?} {easy:?}");
            assert_eq!(easy.examples, 5_000);
            // A loss that is reached does not end what the other ones need.
            let both = reached(strategy, &[1e9, 0.0]);
            assert!(both.reached[0].is_some() && both.reached[1].is_none(), "{both:?}");
            assert_eq!(both.examples, 20_000, "{strategy:?}");
        }
        let two = reached(Strategy::Serial, &[0.5, 0.3]).reached;
        assert!(two[0].unwrap() < two[1].unwrap(), "{two:?}");
        // What was measured is what a plain training does.
        let (seconds, examples) = two[1].unwrap();
        let mut serial = crate::strategy::Serial::new(&config).unwrap();
        serial.train(examples - 100);
        assert!(held_out.loss(serial.parameters()) >= 0.3);
        serial.train(100);
        assert!(held_out.loss(serial.parameters()) < 0.3 && seconds > 0.0);
    }
}
