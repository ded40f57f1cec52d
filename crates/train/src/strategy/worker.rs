//! A worker: examples from its own generator, their gradient on the parameters it is given,
//! and its own optimizer. Every strategy is made of these; how they meet is the strategy.

use super::{Totals, WorkerState};
use crate::Error;
use crate::optimizer::{Optimizer, State as Memory};
use crate::run::{self, RunConfig};
use crate::shared::{Replica, Shared};
use crate::task::{Addition, Pair};
use kernels::buffer::Buffer;
use model::{Config, Network, Parameters, loss};
use rand_xoshiro::Xoshiro256PlusPlus;

/// What one thread needs to train.
///
/// Two workers never write to the same cache line: the struct is aligned to two lines,
/// which is what the prefetcher fetches together, and its buffers are whole lines.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Worker {
    pub task: Addition,
    /// With its state: each worker has its own, and nobody adds them up.
    pub optimizer: Optimizer,
    pub generator: Xoshiro256PlusPlus,
    /// Examples it has trained on, all batches together.
    pub examples: u64,
    /// The gradient of the last batch, summed over its examples.
    pub gradient: Parameters,
    network: Network,
    pairs: Vec<Pair>,
    /// `[T, B, 2]`
    x: Buffer,
    /// `[T, B, 1]`
    targets: Buffer,
    /// `[T, B, 1]`, the gradient before the output's sigmoid
    dy: Buffer,
}

impl Worker {
    /// A worker for networks of the sizes `model`, as `state` left it, one of `peers` that
    /// make steps at the same time.
    ///
    /// # Errors
    /// If `config` makes no sense, or `state` is of another optimizer; see [`Error`].
    pub fn new(
        config: &RunConfig,
        model: Config,
        state: WorkerState,
        peers: usize,
    ) -> Result<Self, Error> {
        if config.batch == 0 || config.batch > run::MOST_BATCH {
            return Err(Error::Batch(config.batch));
        }
        let mut optimizer = Optimizer::new(config.optimizer_config(), model)?.among(peers);
        if state.steps > 0 {
            let moments = state.moments.iter().map(|arena| arena_of(model, arena));
            let moments = moments.collect::<Result<_, _>>()?;
            optimizer.restore(Memory { steps: state.steps, moments })?;
        }
        Ok(Self {
            task: Addition::new(config.bits)?,
            optimizer,
            generator: state.generator,
            examples: state.examples,
            gradient: Parameters::zeros(model),
            network: Network::new(model),
            pairs: Vec::new(),
            x: Buffer::default(),
            targets: Buffer::default(),
            dy: Buffer::default(),
        })
    }

    /// Draws the next batch, of `count` examples.
    #[inline]
    pub fn draw(&mut self, count: usize) {
        let (task, generator) = (self.task, &mut self.generator);
        self.pairs.clear();
        self.pairs.extend((0..count).map(|_| task.sample(generator)));
        self.encode();
    }

    /// `count` examples that are dealt out to several workers.
    pub fn sample(&mut self, count: usize) -> Vec<Pair> {
        (0..count).map(|_| self.task.sample(&mut self.generator)).collect()
    }

    /// Takes `pairs` as the next batch.
    pub fn take(&mut self, pairs: &[Pair]) {
        self.pairs.clear();
        self.pairs.extend_from_slice(pairs);
        self.encode();
    }

    #[inline]
    fn encode(&mut self) {
        let rows = self.task.steps() * self.pairs.len();
        if self.targets.len() != rows {
            self.x.resize(rows * Addition::INPUTS);
            self.targets.resize(rows);
            self.dy.resize(rows);
        }
        self.task.encode(&self.pairs, &mut self.x, &mut self.targets);
    }

    /// Forward, loss, BPTT: the gradient of the batch that was drawn.
    #[inline]
    pub fn differentiate(&mut self, parameters: &Parameters) -> Totals {
        let (steps, batch) = (self.task.steps(), self.pairs.len());
        let outputs = self.network.forward(parameters, &self.x, steps, batch);
        let loss = loss::sigmoid_squared_error(outputs, &self.targets, &mut self.dy);
        let error = loss::absolute_error(outputs, &self.targets);
        self.network.backward(parameters, &self.x, &self.dy, &mut self.gradient);
        self.examples += batch as u64;
        Totals { examples: batch as u64, loss: f64::from(loss), error: f64::from(error) }
    }

    /// [`Worker::differentiate`], and a step of the optimizer.
    #[inline]
    pub fn update(&mut self, parameters: &mut Parameters) -> Totals {
        let totals = self.differentiate(parameters);
        self.optimizer.step(parameters, &self.gradient, self.pairs.len());
        totals
    }

    /// [`Worker::update`] of a replica of `shared`, of which `W_out` is exchanged twice: just
    /// before the outputs are made of it, and again right after its own step, before the way back
    /// through time. So nearly no step of another worker falls between the two.
    pub fn update_head_first(&mut self, replica: &mut Replica, shared: &Shared) -> Totals {
        let (steps, batch) = (self.task.steps(), self.pairs.len());
        replica.prepare_head(shared);
        self.network.states(&replica.parameters, &self.x, steps, batch);
        replica.exchange_head(shared);
        let outputs = self.network.head(&replica.parameters);
        let loss = loss::sigmoid_squared_error(outputs, &self.targets, &mut self.dy);
        let error = loss::absolute_error(outputs, &self.targets);
        self.network.head_gradient(&self.dy, &mut self.gradient);
        let head = replica.parameters.head_range();
        let body = 0..head.start;
        self.optimizer.step_part(head, &mut replica.parameters, &self.gradient, batch);
        replica.exchange_head(shared);
        let parameters = &mut replica.parameters;
        self.network.backward(parameters, &self.x, &self.dy, &mut self.gradient);
        self.optimizer.step_part(body, parameters, &self.gradient, batch);
        self.optimizer.end_step();
        self.examples += batch as u64;
        Totals { examples: batch as u64, loss: f64::from(loss), error: f64::from(error) }
    }

    /// The Euclidean norm of the last batch's gradient, a mean over its examples.
    pub fn gradient_norm(&self) -> f64 {
        let square = |g: &f32| f64::from(*g) * f64::from(*g);
        let sum: f64 = self.gradient.arena().iter().map(square).sum();
        sum.sqrt() / self.pairs.len().max(1) as f64
    }

    /// What it has of its own.
    pub fn state(&self) -> WorkerState {
        let Memory { steps, moments } = self.optimizer.state();
        // Before the first step there is nothing to remember.
        let moments = if *steps > 0 { &moments[..] } else { &[] };
        WorkerState {
            generator: self.generator.clone(),
            examples: self.examples,
            steps: *steps,
            moments: moments.iter().map(|moment| moment.arena().to_vec()).collect(),
        }
    }

    /// The inputs `[T, B, I]` of the batch that was drawn.
    pub fn x(&self) -> &[f32] {
        &self.x
    }

    /// See [`super::Trainer::last_example`].
    pub fn last_example(&self) -> Option<(Pair, u64, f32)> {
        let pair = *self.pairs.first()?;
        let batch = self.pairs.len();
        let outputs = self.network.outputs();
        let errors = outputs.iter().zip(&*self.targets).step_by(batch).map(|(o, y)| (y - o).abs());
        Some((pair, self.task.decode(outputs, batch, 0), errors.sum()))
    }
}

/// The arena `values` as one of networks of the sizes `model`.
fn arena_of(model: Config, values: &[f32]) -> Result<Parameters, Error> {
    let mut parameters = Parameters::zeros(model);
    let (expected, found) = (parameters.arena().len(), values.len());
    if found != expected {
        let reason = format!("a moment of {found} values where the network has {expected}");
        return Err(Error::OptimizerState(reason));
    }
    parameters.arena_mut().copy_from_slice(values);
    Ok(parameters)
}
