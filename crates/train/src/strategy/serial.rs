//! The serial strategy, the yardstick: one worker, one update after the other,
//! the same bits for the same seed.

use crate::Error;
use crate::batch::Batch;
use crate::config::RunConfig;
use crate::metrics::Totals;
use crate::state::{State, WorkerState};
use crate::task::Task;
use crate::worker::Worker;
use model::Parameters;
use rand_xoshiro::Xoshiro256PlusPlus;

/// `examples` examples, a batch an update; the last batch holds what is left.
pub(crate) fn train<T: Task>(
    worker: &mut Worker<T>,
    parameters: &mut Parameters,
    batch: usize,
    examples: u64,
    mut watch: impl FnMut(u64, &Parameters),
) -> Totals {
    let mut totals = Totals::default();
    while totals.examples < examples {
        worker.draw((examples - totals.examples).min(batch as u64) as usize);
        totals += worker.update(parameters);
        watch(totals.examples, parameters);
    }
    totals
}

/// A network in training by one worker that can also be handed its examples.
#[derive(Debug)]
pub struct Serial<T> {
    worker: Worker<T>,
    batch: usize,
    parameters: Parameters,
}

impl<T: Task> Serial<T> {
    /// A network with weights drawn from the seed, ready for its first example.
    ///
    /// # Errors
    /// If `config` makes no sense; see [`Error`].
    pub fn new(config: &RunConfig<T>) -> Result<Self, Error> {
        let State { arena, mut workers, .. } = State::new(config, 1)?;
        let mut parameters = Parameters::zeros(config.network.config(&config.task)?);
        parameters.arena_mut().copy_from_slice(&arena);
        Self::resume(config, parameters, workers.remove(0).generator)
    }

    /// A network with the given weights, whose examples come from `generator`.
    ///
    /// # Errors
    /// If `config` makes no sense; see [`Error`].
    pub fn resume(
        config: &RunConfig<T>,
        parameters: Parameters,
        generator: Xoshiro256PlusPlus,
    ) -> Result<Self, Error> {
        let state = WorkerState::new(generator);
        let worker = Worker::new(config, parameters.config(), state, (0, 1, 1))?;
        Ok(Self { worker, batch: config.run.batch, parameters })
    }

    /// Trains on `examples` more examples, a batch an update; the last batch holds
    /// what is left.
    pub fn train(&mut self, examples: u64) -> Totals {
        train(&mut self.worker, &mut self.parameters, self.batch, examples, |_, _| ())
    }

    /// One update on just the batch that `fill` writes, whose gradients are averaged.
    ///
    /// # Panics
    /// If it is empty, or not one of this task.
    pub fn train_on(&mut self, fill: impl FnOnce(&mut Batch)) -> Totals {
        fill(&mut self.worker.share.batch);
        assert!(self.worker.share.batch.count > 0, "an update needs at least one example");
        self.worker.update(&mut self.parameters)
    }

    /// The last batch, and the outputs to it before its update.
    pub fn last_batch(&self) -> (&Batch, &[f32]) {
        (&self.worker.share.batch, self.worker.share.pass.outputs())
    }

    /// The weights as they are.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The task.
    pub fn task(&self) -> &T {
        &self.worker.task
    }

    /// Are the weights still numbers? `totals` are the last examples of `examples` in all.
    ///
    /// # Errors
    /// [`Error::Diverged`] if they are not.
    pub fn check_finite(&self, examples: u64, totals: &Totals) -> Result<(), Error> {
        if self.parameters.is_finite() {
            return Ok(());
        }
        Err(Error::Diverged {
            examples,
            loss: totals.loss / totals.examples as f64,
            norm: self.worker.gradient_norm(self.worker.share.batch.count),
            learning_rate: self.worker.optimizer.config().learning_rate,
            weight_decay: self.worker.optimizer.config().rule.shrinking(),
            checkpoint: None,
        })
    }
}
