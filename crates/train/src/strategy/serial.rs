//! The serial strategy, the yardstick: one worker, one update after the other,
//! the same bits for the same seed.

use crate::optimizer::Sgd;
use crate::run::RunConfig;
use crate::task::{Addition, Pair};
use crate::{Error, run};
use model::{Config, Network, Parameters, loss};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// What a stretch of training added up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// How many examples there were.
    pub examples: u64,
    /// Their losses, `½ Σ_t (y − o)²`, each before its update.
    pub loss: f64,
    /// Their errors as the lab prints them, `Σ_t |y − o|`.
    pub error: f64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        self.loss += other.loss;
        self.error += other.error;
    }
}

/// A network in training on additions.
#[derive(Debug)]
pub struct Serial {
    task: Addition,
    optimizer: Sgd,
    batch: usize,
    generator: Xoshiro256PlusPlus,
    parameters: Parameters,
    gradient: Parameters,
    network: Network,
    pairs: Vec<Pair>,
    /// `[T, B, 2]`
    x: Vec<f32>,
    /// `[T, B, 1]`
    targets: Vec<f32>,
    /// `[T, B, 1]`, the gradient before the output's sigmoid
    dy: Vec<f32>,
}

impl Serial {
    /// A network with weights drawn from the seed, ready for its first example.
    ///
    /// # Errors
    /// If `config` makes no sense; see [`Error`].
    pub fn new(config: &RunConfig) -> Result<Self, Error> {
        let model = Config::lab(Addition::INPUTS, config.hidden, Addition::OUTPUTS)?;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(config.seed);
        let parameters = Parameters::uniform(model, &mut generator);
        Self::resume(config, parameters, generator)
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
        if config.batch == 0 || config.batch > run::MOST_BATCH {
            return Err(Error::Batch(config.batch));
        }
        Ok(Self {
            task: Addition::new(config.bits)?,
            optimizer: Sgd::new(config.learning_rate)?,
            batch: config.batch,
            generator,
            gradient: Parameters::zeros(parameters.config()),
            network: Network::new(parameters.config()),
            parameters,
            pairs: Vec::new(),
            x: Vec::new(),
            targets: Vec::new(),
            dy: Vec::new(),
        })
    }

    /// Trains on `examples` more examples, a batch an update; the last batch holds
    /// what is left.
    pub fn train(&mut self, examples: u64) -> Totals {
        let mut totals = Totals::default();
        while totals.examples < examples {
            let batch = (examples - totals.examples).min(self.batch as u64) as usize;
            let (task, generator) = (self.task, &mut self.generator);
            self.pairs.clear();
            self.pairs.extend((0..batch).map(|_| task.sample(generator)));
            totals += self.update();
        }
        totals
    }

    /// One update on just these pairs, whose gradients are averaged.
    ///
    /// # Panics
    /// If there is no pair, or an operand has `bits` bits or more.
    pub fn train_on(&mut self, pairs: &[Pair]) -> Totals {
        assert!(!pairs.is_empty(), "an update needs at least one pair");
        let operands = self.task.operands();
        assert!(
            pairs.iter().all(|pair| pair.a < operands && pair.b < operands),
            "operands must be below {operands}"
        );
        self.pairs.clear();
        self.pairs.extend_from_slice(pairs);
        self.update()
    }

    /// Forward, loss, BPTT, step.
    #[inline]
    fn update(&mut self) -> Totals {
        let (steps, batch) = (self.task.steps(), self.pairs.len());
        let rows = steps * batch;
        if self.targets.len() != rows {
            self.x.resize(rows * Addition::INPUTS, 0.0);
            self.targets.resize(rows, 0.0);
            self.dy.resize(rows, 0.0);
        }
        self.task.encode(&self.pairs, &mut self.x, &mut self.targets);
        let outputs = self.network.forward(&self.parameters, &self.x, steps, batch);
        let loss = loss::sigmoid_squared_error(outputs, &self.targets, &mut self.dy);
        let error = loss::absolute_error(outputs, &self.targets);
        self.network.backward(&self.parameters, &self.x, &self.dy, &mut self.gradient);
        self.optimizer.step(&mut self.parameters, &self.gradient, batch);
        Totals { examples: batch as u64, loss: f64::from(loss), error: f64::from(error) }
    }

    /// The first example of the last update, as the lab prints it: its operands, the
    /// sum that the network spelled before the update, and `Σ_t |y − o|`.
    pub fn last_example(&self) -> Option<(Pair, u64, f32)> {
        let pair = *self.pairs.first()?;
        let batch = self.pairs.len();
        let outputs = self.network.outputs();
        let errors = outputs.iter().zip(&self.targets).step_by(batch).map(|(o, y)| (y - o).abs());
        Some((pair, self.task.decode(outputs, batch, 0), errors.sum()))
    }

    /// The weights as they are.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The task.
    pub fn task(&self) -> Addition {
        self.task
    }

    /// Are the weights still numbers? Called now and then, not at each update.
    ///
    /// # Errors
    /// [`Error::Diverged`] after `examples` examples, if they are not.
    pub fn check_finite(&self, examples: u64) -> Result<(), Error> {
        if self.parameters.arena().iter().all(|w| w.is_finite()) {
            return Ok(());
        }
        Err(Error::Diverged { examples, learning_rate: self.optimizer.learning_rate() })
    }
}
