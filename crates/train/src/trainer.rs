//! A network in training by any strategy: what a job, a study or a program of your own trains
//! with.

use crate::Error;
use crate::batch::Batch;
use crate::config::{Compress, MOST_THREADS, RunConfig, Strategy, StrategyConfig};
use crate::exchange::{Exchange, Residuals};
use crate::memory;
use crate::messages::{self, Part};
use crate::metrics::Totals;
use crate::parallel::pool;
use crate::state::{State, WorkerState};
use crate::strategy::averaging::Averaging;
use crate::strategy::hogwild::Hogwild;
use crate::strategy::outer::Outer;
use crate::strategy::ranks::{Kind, Ranks};
use crate::strategy::{best_push_every, has_early_sync, serial, synchronous};
use crate::task::Task;
use crate::transport::Transport;
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
    meeting: Meeting<T>,
}

/// How the workers meet, and what that needs beside them.
#[derive(Debug)]
enum Meeting<T> {
    Serial,
    /// With room for a batch that is dealt out.
    Synchronous(ThreadPool, Batch),
    Hogwild(ThreadPool, Hogwild),
    Averaging(ThreadPool, Averaging),
    /// With other ranks.
    Ranks(Box<Ranks<T>>),
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
        let State { arena, learning_rate, workers, outer, .. } = state;
        let mut config = config.clone();
        config.strategy.threads = workers.len();
        config.optimizer.learning_rate = learning_rate;
        memory::check(memory::trainer_bytes(&config)?)?;
        let parameters = parameters(&config, &arena)?;
        let model = parameters.config();
        let threads = workers.len();
        assert!(threads > 0, "a training needs a worker");
        let peers = match config.strategy.name {
            Strategy::Serial | Strategy::Synchronous => 1,
            Strategy::Hogwild | Strategy::Averaging => threads,
        };
        config.task.check(peers, config.run.batch)?;
        // As many draw examples as make steps.
        let new = |(n, worker)| Worker::new(&config, model, worker, (n, peers, peers));
        let workers: Vec<_> = workers.into_iter().enumerate().map(new).collect::<Result<_, _>>()?;
        let push_every = whole_batches(config.strategy.push_every, config.run.batch);
        let meeting = match config.strategy.name {
            Strategy::Serial => {
                assert!(threads == 1, "{threads} workers of a serial training");
                Meeting::Serial
            }
            Strategy::Synchronous => Meeting::Synchronous(pool(on)?, Batch::default()),
            Strategy::Hogwild => {
                let early = has_early_sync(&config, model);
                let hogwild = Hogwild::new(&parameters, threads, push_every, early);
                Meeting::Hogwild(pool(on)?, hogwild)
            }
            Strategy::Averaging => {
                let outer = Outer::new(config.ranks.outer, outer, arena.len());
                let averaging = Averaging::new(&parameters, threads, push_every, outer);
                Meeting::Averaging(pool(on)?, averaging)
            }
        };
        Ok(Self { parameters, workers, batch: config.run.batch, meeting })
    }

    /// [`Trainer::new`] with all ranks of `transport`, on each as many of the workers of `config`:
    /// this is rank 0, and the others [follow](crate::followers::follow). On one rank alone it is
    /// [`Trainer::new`].
    ///
    /// # Errors
    /// As [`Trainer::new`]; if ranks cannot train by the strategy, or another rank cannot begin.
    pub fn across(
        transport: Option<Arc<dyn Transport>>,
        config: &RunConfig<T>,
    ) -> Result<Self, Error> {
        match transport {
            Some(transport) if transport.ranks() > 1 => {
                let workers = config.strategy.threads;
                if workers == 0 || workers > MOST_THREADS {
                    return Err(Error::Threads(workers));
                }
                memory::check(memory::trainer_bytes(config)?)?;
                Self::lead(transport, config, State::new(config, workers)?)
            }
            _ => Self::new(config),
        }
    }

    /// [`Trainer::from_state`], as [`Trainer::across`].
    ///
    /// # Errors
    /// As [`Trainer::across`].
    ///
    /// # Panics
    /// As [`Trainer::from_state`].
    pub fn across_from_state(
        transport: Option<Arc<dyn Transport>>,
        config: &RunConfig<T>,
        state: State,
    ) -> Result<Self, Error> {
        match transport {
            Some(transport) if transport.ranks() > 1 => Self::lead(transport, config, state),
            _ => Self::from_state(config, state),
        }
    }

    /// As rank 0.
    fn lead(
        transport: Arc<dyn Transport>,
        config: &RunConfig<T>,
        state: State,
    ) -> Result<Self, Error> {
        let ranks = transport.ranks();
        if !state.workers.len().is_multiple_of(ranks) {
            return Err(Error::Ranks(format!(
                "{} workers cannot be dealt to {ranks} ranks; give as many to each",
                state.workers.len()
            )));
        }
        let mut config = config.clone();
        config.strategy.threads = state.workers.len();
        config.ranks.count = ranks;
        // Before anything is sent: what is wrong here is wrong everywhere.
        let own = Self::member(&config, Part::of(&state, 0, ranks), Arc::clone(&transport))?;
        messages::begin(&*transport, &config, &state)?;
        Ok(own)
    }

    /// A rank's part of a training of [`RunConfig::ranks`].
    pub(crate) fn member(
        config: &RunConfig<T>,
        part: Part,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, Error> {
        if config.strategy.push_every == 0 {
            return Err(Error::PushEvery);
        }
        memory::check(memory::trainer_bytes(config)?)?;
        let Part { arena, learning_rate, workers, first, done, outer, residuals } = part;
        let mut config = config.clone();
        config.optimizer.learning_rate = learning_rate;
        let parameters = parameters(&config, &arena)?;
        let model = parameters.config();
        let (threads, all) = (workers.len(), config.strategy.threads);
        assert!(threads > 0 && threads * transport.ranks() == all, "as many workers on each rank");
        let is_synchronous = match config.strategy.name {
            Strategy::Synchronous => true,
            Strategy::Averaging => false,
            Strategy::Serial | Strategy::Hogwild => {
                return Err(Error::Ranks(format!(
                    "several ranks cannot train by the strategy {}, which needs one memory; give \
                     --strategy averaging (with hogwild within a rank) or synchronous",
                    config.strategy.name.name()
                )));
            }
        };
        let peers = if is_synchronous { 1 } else { all };
        config.task.check(peers, config.run.batch)?;
        let offset = threads * transport.rank();
        let new = |(n, worker)| Worker::new(&config, model, worker, (n, peers, peers));
        let workers: Vec<_> = (offset..).zip(workers).map(new).collect::<Result<_, _>>()?;
        let kind = if is_synchronous {
            let first = first.map(|first| new((0, first))).transpose()?.map(Box::new);
            Kind::Synchronous { first, whole: Batch::default(), gradient: Parameters::zeros(model) }
        } else {
            let hogwild = |threads| {
                let mut within = config.clone();
                within.strategy =
                    StrategyConfig { name: Strategy::Hogwild, threads, push_every: 1 };
                let push_every = whole_batches(best_push_every(&within, model), config.run.batch);
                Hogwild::new(&parameters, threads, push_every, has_early_sync(&within, model))
            };
            Kind::Averaging {
                replica: parameters.clone(),
                hogwild: (threads > 1).then(|| hogwild(threads)),
                every: whole_batches(config.strategy.push_every, config.run.batch),
                outer: Outer::new(config.ranks.outer, outer, arena.len()),
            }
        };
        let is_compressed = config.ranks.compress == Compress::Bf16;
        let arenas = if is_synchronous { threads } else { 1 };
        let exchange = Exchange::new(arena.len(), arenas, is_compressed, residuals);
        let ranks = Ranks { transport, pool: pool(threads)?, exchange, done, kind };
        let meeting = Meeting::Ranks(Box::new(ranks));
        Ok(Self { parameters, workers, batch: config.run.batch, meeting })
    }

    /// The training of `config` at `state`, with the ranks of this one.
    ///
    /// # Errors
    /// As [`Trainer::across_from_state`].
    pub(crate) fn at(&self, config: &RunConfig<T>, state: State) -> Result<Self, Error> {
        let transport = match &self.meeting {
            Meeting::Ranks(ranks) => Some(Arc::clone(&ranks.transport)),
            _ => None,
        };
        Self::across_from_state(transport, config, state)
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
        if let Meeting::Ranks(ranks) = &self.meeting {
            messages::train(&*ranks.transport, examples);
        }
        self.train_as_told(examples, watch)
    }

    /// [`Trainer::train_watched`] on one of several ranks, which all do it.
    pub(crate) fn train_as_told(
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
            Meeting::Ranks(ranks) => ranks.train(workers, parameters, *batch, examples, watch),
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
        let (mut workers, own) = self.own_state();
        let mut residuals = Vec::new();
        let mut outer = None;
        match &self.meeting {
            Meeting::Ranks(ranks) => {
                let is_compressed = ranks.exchange.is_compressed();
                residuals.extend(is_compressed.then_some(own));
                for (others, theirs) in messages::states(&*ranks.transport) {
                    workers.extend(others);
                    residuals.extend(is_compressed.then_some(theirs));
                }
                if let Kind::Averaging { outer: of_ranks, .. } = &ranks.kind {
                    outer = of_ranks.as_ref();
                }
            }
            Meeting::Averaging(_, averaging) => outer = averaging.outer.as_ref(),
            Meeting::Serial | Meeting::Synchronous(..) | Meeting::Hogwild(..) => {}
        }
        State {
            arena: self.parameters.arena().to_vec(),
            learning_rate: self.learning_rate(),
            workers,
            outer: outer.map_or(Vec::new(), |outer| outer.velocity.clone()),
            residuals,
        }
    }

    /// Of this rank: what its workers have, and what rounding took away.
    pub(crate) fn own_state(&self) -> (Vec<WorkerState>, Residuals) {
        let residuals = match &self.meeting {
            Meeting::Ranks(ranks) => ranks.exchange.residuals.clone(),
            _ => Residuals::default(),
        };
        (self.workers.iter().map(Worker::state).collect(), residuals)
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
            // Its own share's mean is near enough to that of all.
            _ => first.share.batch.count,
        };
        first.gradient_norm(count)
    }

    /// The learning rate in use, before the schedule.
    pub fn learning_rate(&self) -> f32 {
        self.workers[0].optimizer.config().learning_rate
    }
}

/// The arena `values` as parameters of the network of `config`.
fn parameters<T: Task>(config: &RunConfig<T>, values: &[f32]) -> Result<Parameters, Error> {
    let mut parameters = Parameters::zeros(config.network.config(&config.task)?);
    let expected = parameters.arena().len();
    if values.len() != expected {
        return Err(Error::State { expected, found: values.len() });
    }
    parameters.arena_mut().copy_from_slice(values);
    Ok(parameters)
}

/// K, in whole batches.
fn whole_batches(push_every: u64, batch: usize) -> u64 {
    let batch = batch as u64;
    push_every.checked_next_multiple_of(batch).unwrap_or(u64::MAX / batch * batch)
}
