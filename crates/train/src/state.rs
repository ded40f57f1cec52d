//! All that a training is between two examples: what a checkpoint holds.

use crate::Error;
use crate::config::{FirstWeights, RunConfig};
pub use crate::exchange::Residuals;
use crate::pass::PassState;
use crate::task::Task;
use model::Parameters;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

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
    /// The velocity of the optimizer of averages, if it has one.
    pub outer: Vec<f32>,
    /// What rounding took away on each rank, if it did.
    pub residuals: Vec<Residuals>,
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
    /// Dropout masks to come, and the states that the next batch starts from.
    pub pass: PassState,
}

impl WorkerState {
    /// A worker that has not begun, with examples from `generator`. Its dropout masks come from
    /// two `long_jump()`s behind: evaluation is at one.
    pub fn new(generator: Xoshiro256PlusPlus) -> Self {
        let mut masks = generator.clone();
        masks.long_jump();
        masks.long_jump();
        let pass = PassState { masks: Some(masks), carried: None };
        Self { generator, examples: 0, steps: 0, moments: Vec::new(), pass }
    }
}

impl State {
    /// The beginning: weights drawn from the seed of `config`, and `workers` generators, each
    /// a `jump()` after the one before.
    ///
    /// # Errors
    /// If the sizes in `config` make no sense.
    pub fn new<T: Task>(config: &RunConfig<T>, workers: usize) -> Result<Self, Error> {
        let model = config.network.config(&config.task)?;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(config.run.seed);
        let parameters = match config.network.start {
            FirstWeights::Uniform => Parameters::uniform(model, &mut generator),
            // Those that are given stand in the place of any others.
            FirstWeights::PyTorch | FirstWeights::Given => {
                Parameters::initialised(model, &mut generator)
            }
        };
        let worker = |_| {
            let own = generator.clone();
            generator.jump();
            WorkerState::new(own)
        };
        Ok(Self {
            arena: parameters.arena().to_vec(),
            learning_rate: config.optimizer.learning_rate,
            workers: (0..workers).map(worker).collect(),
            outer: Vec::new(),
            residuals: Vec::new(),
        })
    }

    /// The same for another number of workers, 1 at least. Those that are new draw examples that
    /// nobody has drawn: from the generator of another, as many `jump()`s further as there were
    /// workers. They all count the same examples, or one more.
    pub fn dealt_to(mut self, workers: usize) -> Self {
        let (before, examples) = (self.workers.len(), self.examples());
        if workers == before {
            return self;
        }
        self.residuals.clear();
        for n in before..workers {
            let mut new = self.workers[n - before].clone();
            (0..before).for_each(|_| new.generator.jump());
            if let Some(masks) = &mut new.pass.masks {
                (0..before).for_each(|_| masks.jump());
            }
            self.workers.push(new);
        }
        self.workers.truncate(workers);
        let count = workers as u64;
        for (n, worker) in (0..).zip(&mut self.workers) {
            worker.examples = examples / count + u64::from(n < examples % count);
        }
        self
    }

    /// Examples that all workers together have trained on.
    pub fn examples(&self) -> u64 {
        self.workers.iter().map(|worker| worker.examples).sum()
    }
}
