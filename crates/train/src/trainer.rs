//! A network in training by any strategy: what a job, a study or a program of your own trains
//! with.

use crate::Error;
use crate::batch::Batch;
use crate::config::{MOST_THREADS, RunConfig, Strategy};
use crate::memory;
use crate::metrics::Totals;
use crate::parallel::pool;
use crate::pass::shares_units;
use crate::state::State;
use crate::strategy::averaging::Averaging;
use crate::strategy::hogwild::Hogwild;
use crate::strategy::{has_early_sync, serial, synchronous};
use crate::task::Task;
use crate::worker::Worker;
use model::Parameters;
use rayon::ThreadPool;
use std::sync::Arc;

/// A network in training, by any strategy.
#[derive(Debug)]
pub struct Trainer<T> {
    /// Between two calls, what all workers agree on.
    parameters: Parameters,
    workers: Vec<Worker<T>>,
    batch: usize,
    meeting: Meeting,
}

/// How the workers meet, and what that needs beside them.
#[derive(Debug)]
enum Meeting {
    Serial,
    /// With room for a batch that is dealt out.
    Synchronous(Arc<ThreadPool>, Batch),
    Hogwild(ThreadPool, Hogwild),
    Averaging(ThreadPool, Averaging),
}

impl<T: Task> Trainer<T> {
    /// A network with weights drawn from the seed, ready for its first example; the strategy,
    /// N and K are those of `config`.
    ///
    /// # Errors
    /// If `config` makes no sense, needs more memory than there is, or threads cannot be started.
    pub fn new(config: &RunConfig<T>) -> Result<Self, Error> {
        Self::on(config, config.strategy.threads)
    }

    /// [`Trainer::new`] with N workers that take turns on one thread. With the strategies
    /// `synchronous` and `averaging` the same bits as with a thread each, for
    /// [`crate::simulation`].
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn simulated(config: &RunConfig<T>) -> Result<Self, Error> {
        Self::on(config, 1)
    }

    /// Ready for its first example, on so many threads.
    fn on(config: &RunConfig<T>, threads: usize) -> Result<Self, Error> {
        let is_serial = config.strategy.name == Strategy::Serial;
        let workers = if is_serial { 1 } else { config.strategy.threads };
        if workers == 0 || workers > MOST_THREADS {
            return Err(Error::Threads(workers));
        }
        memory::check(memory::trainer_bytes(config)?)?;
        Self::from_state_on(config, State::new(config, workers)?, threads)
    }

    /// A network as [`Trainer::state`] left it: with as many workers as it had.
    ///
    /// # Errors
    /// If `config` makes no sense, needs more memory than there is, or threads cannot be started.
    ///
    /// # Panics
    /// If the state has no workers, or several for the serial strategy.
    pub fn from_state(config: &RunConfig<T>, state: State) -> Result<Self, Error> {
        let threads = state.workers.len();
        Self::from_state_on(config, state, threads)
    }

    /// [`Trainer::from_state`], on so many threads.
    fn from_state_on(config: &RunConfig<T>, state: State, on: usize) -> Result<Self, Error> {
        if config.strategy.push_every == 0 {
            return Err(Error::PushEvery);
        }
        let State { arena, learning_rate, workers } = state;
        let mut config = config.clone();
        config.strategy.threads = workers.len();
        memory::check(memory::trainer_bytes(&config)?)?;
        let model = config.network.config(&config.task)?;
        let mut parameters = Parameters::zeros(model);
        if arena.len() != parameters.arena().len() {
            let expected = parameters.arena().len();
            return Err(Error::State { expected, found: arena.len() });
        }
        parameters.arena_mut().copy_from_slice(&arena);
        config.optimizer.learning_rate = learning_rate;
        let threads = workers.len();
        assert!(threads > 0, "a training needs a worker");
        let peers = match config.strategy.name {
            Strategy::Serial | Strategy::Synchronous => 1,
            Strategy::Hogwild | Strategy::Averaging => threads,
        };
        config.task.check(peers, config.run.batch)?;
        // As many draw examples as make steps.
        let new = |(n, worker)| Worker::new(&config, model, worker, (n, peers, peers));
        let mut workers: Vec<_> =
            workers.into_iter().enumerate().map(new).collect::<Result<_, _>>()?;
        let batch = config.run.batch as u64;
        let push_every = config.strategy.push_every.checked_next_multiple_of(batch);
        let push_every = push_every.unwrap_or(u64::MAX / batch * batch);
        let meeting = match config.strategy.name {
            Strategy::Serial => {
                assert!(threads == 1, "{threads} workers of a serial training");
                Meeting::Serial
            }
            Strategy::Synchronous => {
                let deals = Arc::new(pool(on)?);
                if on == threads {
                    workers[0].share.pass.share_units(&deals, threads);
                } else if shares_units(model, threads, (usize::MAX, 1), true) {
                    // Simulated workers have to share as threads would, for the same bits.
                    workers[0].share.pass.share_units(&Arc::new(pool(threads)?), threads);
                }
                Meeting::Synchronous(deals, Batch::default())
            }
            Strategy::Hogwild => {
                let early = has_early_sync(&config, model);
                let hogwild = Hogwild::new(&parameters, threads, push_every, early);
                Meeting::Hogwild(pool(on)?, hogwild)
            }
            Strategy::Averaging => {
                Meeting::Averaging(pool(on)?, Averaging::new(&parameters, threads, push_every))
            }
        };
        Ok(Self { parameters, workers, batch: config.run.batch, meeting })
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
            Meeting::Synchronous(pool, whole) => {
                synchronous::train(pool, workers, whole, parameters, (*batch, examples), watch)
            }
            Meeting::Hogwild(pool, hogwild) => {
                hogwild.train(pool, workers, parameters, *batch, examples, watch)
            }
            Meeting::Averaging(pool, averaging) => {
                averaging.train(pool, workers, parameters, *batch, examples, watch)
            }
        }
    }

    /// The first worker's last batch, and the outputs to it before its update.
    pub fn last_batch(&self) -> (&Batch, &[f32]) {
        let share = &self.workers[0].share;
        (&share.batch, share.pass.outputs())
    }

    /// The weights as they are.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The task.
    pub fn task(&self) -> &T {
        &self.workers[0].task
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
        self.parameters.is_finite()
    }

    /// The Euclidean norm of the gradient of the first worker's last update.
    pub fn gradient_norm(&self) -> f64 {
        let first = &self.workers[0];
        let count = match &self.meeting {
            // The sum over all shares stands in the first.
            Meeting::Synchronous(..) => self.workers.iter().map(|w| w.share.batch.count).sum(),
            _ => first.share.batch.count,
        };
        first.gradient_norm(count)
    }

    /// The learning rate in use, before the schedule.
    pub fn learning_rate(&self) -> f32 {
        self.workers[0].optimizer.config().learning_rate
    }
}
