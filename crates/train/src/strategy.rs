//! Strategies: who computes which gradient on what parameters, and when they meet.
//!
//! ```text
//! serial        one worker                                       same bits for a seed
//! synchronous   the workers share each batch                     same bits for a seed and N
//! hogwild       shared parameters, pushed every K examples       never the same twice
//! averaging     a replica each, averaged every K examples        same bits for a seed and N
//! ```
//!
//! Worker n of N draws its examples from the run's generator after n `jump()`s, each 2^128
//! numbers long, so the workers never see the same stream; evaluation is a `long_jump()`
//! away from all of them. One worker is the serial strategy, bit for bit, whatever the
//! strategy and K (for `averaging` and `hogwild` if K is whole batches).
//!
//! A worker that makes updates has an optimizer with a memory of its own, velocity or
//! moments; `synchronous` has one for all. A schedule of the learning rate counts the updates
//! of all workers.
//!
//! Between two calls of [`Trainer::train`] nobody is in the middle of an example: the
//! parameters are one arena, and [`Trainer::state`] is all there is to keep.

mod averaging;
mod hogwild;
mod serial;
mod synchronous;
mod worker;

pub use serial::Serial;

use crate::Error;
use crate::run::{Metrics, RunConfig};
use crate::task::{Addition, Pair};
use averaging::Averaging;
use hogwild::Hogwild;
use model::{Config, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};
use worker::Worker;

/// The most workers: as many as the largest machines have threads.
pub const MOST_THREADS: usize = 1024;

/// The strategies there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// One worker, one update after the other.
    #[default]
    Serial,
    /// The workers share each batch, and add their gradients.
    Synchronous,
    /// The workers share the parameters, and push to them when they like.
    Hogwild,
    /// Each worker trains a replica, and now and then all become their average.
    Averaging,
}

impl Strategy {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Serial, Self::Synchronous, Self::Hogwild, Self::Averaging];

    /// As the command line and `config.toml` write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Synchronous => "synchronous",
            Self::Hogwild => "hogwild",
            Self::Averaging => "averaging",
        }
    }

    /// What `cargo xtask bench hogwild` found best for the sizes of `config`, with up to
    /// `threads` workers.
    ///
    /// Serial where the whole training takes less than `WORTH_SHARING`: starting and
    /// meeting would eat what a second worker gains, and the bits stay the same. Above,
    /// Hogwild! was the fastest to every loss that was tried.
    pub fn fastest(config: &RunConfig, threads: usize) -> Self {
        let work = example_work(config) * config.examples as f64;
        if threads > 1 && work >= WORTH_SHARING { Self::Hogwild } else { Self::Serial }
    }
}

/// K, the examples between two pushes that `cargo xtask bench hogwild` found best for the
/// sizes of `config`, in whole batches: 32 for the lab, 1 for 128 units and 64 bits.
///
/// Pushes take some 5 % of the time then. With a larger K they take less, but a worker
/// computes on older parameters, and the examples to a loss grow as the rate does.
pub fn best_push_every(config: &RunConfig) -> u64 {
    let is_large = is_head_first(config) && config.strategy != Strategy::Averaging;
    let cost = if is_large { PUSH_WORK_LARGE } else { PUSH_WORK };
    let examples = cost * values(config) / example_work(config);
    let examples = (examples.ceil().max(1.0) as u64).next_power_of_two();
    examples.next_multiple_of(config.batch.max(1) as u64)
}

/// Does Hogwild! exchange `W_out` in the middle of each batch? Where a batch is so long that two
/// exchanges of it take some 5 % of the time or less, if the optimizer can make its step by
/// itself, and the network is the fused one, without biases.
fn is_head_first(config: &RunConfig) -> bool {
    let head = (config.hidden * Addition::OUTPUTS) as f64;
    !config.bias
        && config.optimizer_config().has_parts()
        && example_work(config) * config.batch as f64 >= HEAD_WORK * head
}

/// The parameters.
fn values(config: &RunConfig) -> f64 {
    (config.hidden * (config.hidden + Addition::INPUTS + Addition::OUTPUTS)) as f64
}

/// Multiply-adds of an example, forward, back and for the gradient; and the latency of its T
/// steps, which is what a small example costs.
fn example_work(config: &RunConfig) -> f64 {
    f64::from(config.bits) * (3.0 * values(config) + STEP_WORK)
}

/// What a step of an example costs beside its multiply-adds, in these: 420 ns for the lab's 8
/// steps of 912.
const STEP_WORK: f64 = 700.0;
/// What the exchange of a value costs beside others who push, in multiply-adds, over the share
/// of 5 % that it may take.
const PUSH_WORK: f64 = 800.0;
/// The same, where a push is hundreds of lines, which travel side by side, and seldom meet others.
const PUSH_WORK_LARGE: f64 = 180.0;
/// What the two exchanges of a value of `W_out` in a batch cost beside others, in multiply-adds,
/// over the share of 5 %: at 16 units and 8 bits, 450 ns for a line, which is nearly an example.
const HEAD_WORK: f64 = 10_000.0;
/// The work of a training from which on a second worker pays: some 20 ms.
const WORTH_SHARING: f64 = 1e9;

/// What a stretch of training added up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// How many examples there were.
    pub examples: u64,
    /// Their losses, `½ Σ_t (y − o)²`, each before its update.
    pub loss: f64,
    /// Their errors as the lab prints them, `Σ_t |y − o|`.
    pub error: f64,
}

impl Totals {
    /// The metrics of the interval that added up to this, which ended after `examples`
    /// examples and `seconds` seconds.
    pub fn mean(&self, examples: u64, seconds: f64) -> Metrics {
        let count = self.examples as f64;
        Metrics { examples, loss: self.loss / count, error: self.error / count, seconds }
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        self.loss += other.loss;
        self.error += other.error;
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, totals| {
            sum += totals;
            sum
        })
    }
}

/// All that a training is at an example boundary; with the same [`RunConfig`] it goes on from
/// here as if it had never stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The arena of the parameters, on which all workers agree.
    pub arena: Vec<f32>,
    /// The learning rate in use, before the schedule.
    pub learning_rate: f32,
    /// What each worker has of its own.
    pub workers: Vec<WorkerState>,
}

/// What a worker has of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerState {
    /// Where its examples come from.
    pub generator: Xoshiro256PlusPlus,
    /// How many it has trained on.
    pub examples: u64,
    /// The steps that its optimizer has made: none, where another makes them.
    pub steps: u64,
    /// What its optimizer remembers, once it has made a step: as many arenas as its rule
    /// keeps, each as long as the parameters.
    pub moments: Vec<Vec<f32>>,
}

impl State {
    /// The beginning: weights drawn from the seed of `config`, and `workers` generators, each
    /// a `jump()` after the one before.
    ///
    /// # Errors
    /// If the sizes in `config` make no sense.
    pub fn new(config: &RunConfig, workers: usize) -> Result<Self, Error> {
        let model = network(config)?;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(config.seed);
        let parameters = Parameters::uniform(model, &mut generator);
        let worker = |_| {
            let own = generator.clone();
            generator.jump();
            WorkerState { generator: own, examples: 0, steps: 0, moments: Vec::new() }
        };
        Ok(Self {
            arena: parameters.arena().to_vec(),
            learning_rate: config.learning_rate,
            workers: (0..workers).map(worker).collect(),
        })
    }

    /// Examples that all workers together have trained on.
    pub fn examples(&self) -> u64 {
        self.workers.iter().map(|worker| worker.examples).sum()
    }
}

/// A network in training, by any strategy.
#[derive(Debug)]
pub struct Trainer {
    /// Between two calls, what all workers agree on.
    parameters: Parameters,
    workers: Vec<Worker>,
    batch: usize,
    meeting: Meeting,
}

/// How the workers meet, and what that needs beside them.
#[derive(Debug)]
enum Meeting {
    Serial,
    Synchronous(ThreadPool),
    Hogwild(ThreadPool, Hogwild),
    Averaging(ThreadPool, Averaging),
}

impl Trainer {
    /// A network with weights drawn from the seed, ready for its first example; the strategy,
    /// N and K are those of `config`.
    ///
    /// # Errors
    /// If `config` makes no sense, or threads cannot be started.
    pub fn new(config: &RunConfig) -> Result<Self, Error> {
        let workers = if config.strategy == Strategy::Serial { 1 } else { config.threads };
        if workers == 0 || workers > MOST_THREADS {
            return Err(Error::Threads(workers));
        }
        Self::from_state(config, State::new(config, workers)?)
    }

    /// A network as [`Trainer::state`] left it: with as many workers as it had.
    ///
    /// # Errors
    /// If `config` makes no sense, or threads cannot be started.
    ///
    /// # Panics
    /// If the state has no workers, or several for the serial strategy.
    pub fn from_state(config: &RunConfig, state: State) -> Result<Self, Error> {
        if config.push_every == 0 {
            return Err(Error::PushEvery);
        }
        let State { arena, learning_rate, workers } = state;
        let mut parameters = Parameters::zeros(network(config)?);
        if arena.len() != parameters.arena().len() {
            let expected = parameters.arena().len();
            return Err(Error::State { expected, found: arena.len() });
        }
        parameters.arena_mut().copy_from_slice(&arena);
        let config = &RunConfig { learning_rate, ..config.clone() };
        let threads = workers.len();
        assert!(threads > 0, "a training needs a worker");
        let peers = match config.strategy {
            Strategy::Serial | Strategy::Synchronous => 1,
            Strategy::Hogwild | Strategy::Averaging => threads,
        };
        let new = |worker| Worker::new(config, parameters.config(), worker, peers);
        let workers: Vec<Worker> = workers.into_iter().map(new).collect::<Result<_, _>>()?;
        let push_every = config.push_every.next_multiple_of(config.batch as u64);
        let meeting = match config.strategy {
            Strategy::Serial => {
                assert!(threads == 1, "{threads} workers of a serial training");
                Meeting::Serial
            }
            Strategy::Synchronous => Meeting::Synchronous(pool(threads)?),
            Strategy::Hogwild => {
                let is_head_first = is_head_first(config);
                let hogwild = Hogwild::new(&parameters, threads, push_every, is_head_first);
                Meeting::Hogwild(pool(threads)?, hogwild)
            }
            Strategy::Averaging => {
                Meeting::Averaging(pool(threads)?, Averaging::new(&parameters, threads, push_every))
            }
        };
        Ok(Self { parameters, workers, batch: config.batch, meeting })
    }

    /// Trains on `examples` more examples. When it returns, the workers have met.
    pub fn train(&mut self, examples: u64) -> Totals {
        self.train_watched(examples, |_, _| ())
    }

    /// [`Trainer::train`]; `watch` is called with the examples of this call so far and the
    /// parameters: after each update, average, or push of the first worker. For Hogwild! the
    /// examples include those that others have begun, and the parameters are what the first
    /// worker saw.
    pub fn train_watched(
        &mut self,
        examples: u64,
        watch: impl FnMut(u64, &Parameters) + Send,
    ) -> Totals {
        let Self { parameters, workers, batch, meeting } = self;
        match meeting {
            Meeting::Serial => serial::train(&mut workers[0], parameters, *batch, examples, watch),
            Meeting::Synchronous(pool) => {
                synchronous::train(pool, workers, parameters, *batch, examples, watch)
            }
            Meeting::Hogwild(pool, hogwild) => {
                hogwild.train(pool, workers, parameters, *batch, examples, watch)
            }
            Meeting::Averaging(pool, averaging) => {
                averaging.train(pool, workers, parameters, *batch, examples, watch)
            }
        }
    }

    /// The first example of the first worker's last update, as the lab prints it: its
    /// operands, the sum that the network spelled before the update, and `Σ_t |y − o|`.
    pub fn last_example(&self) -> Option<(Pair, u64, f32)> {
        self.workers[0].last_example()
    }

    /// The weights as they are.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The task.
    pub fn task(&self) -> Addition {
        self.workers[0].task
    }

    /// All that [`Trainer::from_state`] needs.
    pub fn state(&self) -> State {
        let workers = self.workers.iter().map(Worker::state).collect();
        State {
            arena: self.parameters.arena().to_vec(),
            learning_rate: self.learning_rate(),
            workers,
        }
    }

    /// Are the weights still numbers? Called now and then, not at each update.
    pub fn is_finite(&self) -> bool {
        is_finite(&self.parameters)
    }

    /// The Euclidean norm of the gradient of the first worker's last update.
    pub fn gradient_norm(&self) -> f64 {
        self.workers[0].gradient_norm()
    }

    /// The learning rate in use, before the schedule.
    pub fn learning_rate(&self) -> f32 {
        self.workers[0].optimizer.config().learning_rate
    }
}

fn is_finite(parameters: &Parameters) -> bool {
    parameters.arena().iter().all(|w| w.is_finite())
}

/// The sizes of the network that `config` asks for.
fn network(config: &RunConfig) -> Result<Config, Error> {
    Ok(Addition::network(config.hidden, config.bias)?)
}

/// N threads that wait for work.
fn pool(threads: usize) -> Result<ThreadPool, Error> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|n| format!("worker-{n}"))
        .build()
        .map_err(|source| Error::StartThreads { threads, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::Clip;

    #[test]
    fn the_head_goes_first_where_an_example_is_long() {
        let first = |hidden, bits, batch| {
            is_head_first(&RunConfig { hidden, bits, batch, ..RunConfig::default() })
        };
        assert_eq!([first(16, 8, 1), first(16, 64, 1), first(32, 32, 1)], [false; 3]);
        assert_eq!([first(128, 64, 1), first(64, 64, 1), first(16, 8, 64)], [true; 3]);
        let large = RunConfig { hidden: 128, bits: 64, ..RunConfig::default() };
        assert!(!is_head_first(&RunConfig { clip: Clip::Norm(1.0), ..large.clone() }));
        assert!(!is_head_first(&RunConfig { bias: true, ..large.clone() }));
        let averaging = RunConfig { strategy: Strategy::Averaging, ..large.clone() };
        assert_eq!([best_push_every(&averaging), best_push_every(&large)], [8, 1]);
    }
}
