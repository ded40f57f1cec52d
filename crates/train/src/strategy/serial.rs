//! The serial strategy, the yardstick: one worker, one update after the other,
//! the same bits for the same seed.

use super::worker::Worker;
use super::{State, Totals, WorkerState};
use crate::Error;
use crate::run::RunConfig;
use crate::task::{Addition, Pair};
use model::Parameters;
use rand_xoshiro::Xoshiro256PlusPlus;

/// `examples` examples, a batch an update; the last batch holds what is left.
pub(super) fn train(
    worker: &mut Worker,
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

/// A network in training on additions, by one worker that can also be handed its examples.
#[derive(Debug)]
pub struct Serial {
    worker: Worker,
    batch: usize,
    parameters: Parameters,
}

impl Serial {
    /// A network with weights drawn from the seed, ready for its first example.
    ///
    /// # Errors
    /// If `config` makes no sense; see [`Error`].
    pub fn new(config: &RunConfig) -> Result<Self, Error> {
        let State { arena, mut workers, .. } = State::new(config, 1)?;
        let mut parameters = Parameters::zeros(super::network(config)?);
        parameters.arena_mut().copy_from_slice(&arena);
        Self::resume(config, parameters, workers.remove(0).generator)
    }

    /// A network with the given weights, whose examples come from `generator`.
    ///
    /// # Errors
    /// If `config` makes no sense; see [`Error`].
    pub fn resume(
        config: &RunConfig,
        parameters: Parameters,
        generator: Xoshiro256PlusPlus,
    ) -> Result<Self, Error> {
        let state = WorkerState { generator, examples: 0, steps: 0, moments: Vec::new() };
        let worker = Worker::new(config, parameters.config(), state, 1)?;
        Ok(Self { worker, batch: config.batch, parameters })
    }

    /// Trains on `examples` more examples, a batch an update; the last batch holds
    /// what is left.
    pub fn train(&mut self, examples: u64) -> Totals {
        train(&mut self.worker, &mut self.parameters, self.batch, examples, |_, _| ())
    }

    /// One update on just these pairs, whose gradients are averaged.
    ///
    /// # Panics
    /// If there is no pair, or an operand has `bits` bits or more.
    pub fn train_on(&mut self, pairs: &[Pair]) -> Totals {
        assert!(!pairs.is_empty(), "an update needs at least one pair");
        let operands = self.task().operands();
        assert!(
            pairs.iter().all(|pair| pair.a < operands && pair.b < operands),
            "operands must be below {operands}"
        );
        self.worker.take(pairs);
        self.worker.update(&mut self.parameters)
    }

    /// The first example of the last update, as the lab prints it: its operands, the
    /// sum that the network spelled before the update, and `Σ_t |y − o|`.
    pub fn last_example(&self) -> Option<(Pair, u64, f32)> {
        self.worker.last_example()
    }

    /// The weights as they are.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The task.
    pub fn task(&self) -> Addition {
        self.worker.task
    }

    /// Are the weights still numbers? `totals` are the last examples of `examples` in all.
    ///
    /// # Errors
    /// [`Error::Diverged`] if they are not.
    pub fn check_finite(&self, examples: u64, totals: &Totals) -> Result<(), Error> {
        if super::is_finite(&self.parameters) {
            return Ok(());
        }
        Err(Error::Diverged {
            examples,
            loss: totals.loss / totals.examples as f64,
            norm: self.worker.gradient_norm(),
            learning_rate: self.worker.optimizer.config().learning_rate,
            checkpoint: None,
        })
    }
}
