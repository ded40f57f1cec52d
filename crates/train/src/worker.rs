//! A worker: examples from its own generator, their gradient on the parameters it is given,
//! and its own optimizer. Every strategy is made of these; how they meet is the strategy.

use crate::Error;
use crate::batch::Batch;
use crate::config::{MOST_BATCH, RunConfig};
use crate::metrics::Totals;
use crate::optimizer::{Optimizer, State as Memory};
use crate::parallel::Share;
use crate::shared::{Replica, Shared};
use crate::state::WorkerState;
use crate::task::{Progress, Source, Task};
use model::{Config, Parameters};
use rand_xoshiro::Xoshiro256PlusPlus;

/// What one thread needs to train.
///
/// Two workers never write to the same cache line: the struct is aligned to two lines,
/// which is what the prefetcher fetches together, and its buffers are whole lines.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Worker<T> {
    pub task: T,
    /// With its state: each worker has its own, and nobody adds them up.
    pub optimizer: Optimizer,
    pub generator: Xoshiro256PlusPlus,
    pub progress: Progress,
    /// Its batch, its pass, and the gradient of the last batch.
    pub share: Share,
}

impl<T: Task> Worker<T> {
    /// Worker `number` of `workers`, for networks of the sizes `model`, as `state` left it, one
    /// of `peers` that make steps at the same time.
    ///
    /// # Errors
    /// If `config` makes no sense, or `state` is of another optimizer or network; see [`Error`].
    pub fn new(
        config: &RunConfig<T>,
        model: Config,
        state: WorkerState,
        (number, workers, peers): (usize, usize, usize),
    ) -> Result<Self, Error> {
        let batch = config.run.batch;
        if batch == 0 || batch > MOST_BATCH {
            return Err(Error::Batch(batch));
        }
        let WorkerState { generator, examples, steps, moments, pass } = state;
        let mut optimizer = Optimizer::new(config.optimizer, model)?.among(peers);
        if steps > 0 {
            let moments = moments.iter().map(|arena| arena_of(model, arena));
            let moments = moments.collect::<Result<_, _>>()?;
            optimizer.restore(Memory { steps, moments })?;
        }
        let mut share = Share::new(model, generator.clone());
        share.pass.restore(pass)?;
        let (of, batch) = (config.run.examples, batch as u64);
        let progress = Progress { examples, of, batch, worker: number, workers };
        Ok(Self { task: config.task.clone(), optimizer, generator, progress, share })
    }

    /// Draws the next batch, of `count` examples.
    #[inline]
    pub fn draw(&mut self, count: usize) {
        let Self { task, generator, progress, share, .. } = self;
        task.draw(Source { generator, count, progress: *progress }, &mut share.batch);
    }

    /// `count` examples that are dealt out to several workers, which have come as far as
    /// `progress` says, into `batch`.
    pub fn draw_into(&mut self, batch: &mut Batch, count: usize, progress: Progress) {
        let Self { task, generator, .. } = self;
        task.draw(Source { generator, count, progress }, batch);
    }

    /// The gradient of the batch that was drawn.
    #[inline]
    pub fn differentiate(&mut self, parameters: &Parameters) -> Totals {
        let Share { pass, gradient, batch } = &mut self.share;
        let totals = self.task.differentiate(pass, parameters, batch, self.progress, gradient);
        self.progress.examples += batch.count as u64;
        totals
    }

    /// [`Worker::differentiate`], and a step of the optimizer.
    #[inline]
    pub fn update(&mut self, parameters: &mut Parameters) -> Totals {
        let totals = self.differentiate(parameters);
        self.optimizer.step(parameters, &self.share.gradient, self.share.batch.count);
        totals
    }

    /// [`Worker::update`] of a replica of `shared`, a lab's network, whose `W_out` is
    /// synchronised early: just before the outputs are made of it, and again right after its own
    /// step, before the backward pass. So nearly no step of another worker falls between the two.
    pub fn update_with_early_sync(&mut self, replica: &mut Replica, shared: &Shared) -> Totals {
        let Share { pass, gradient, batch } = &mut self.share;
        let (steps, count) = (batch.steps, batch.count);
        let x = match batch.inputs.view() {
            model::Inputs::Values(x) => x,
            model::Inputs::Symbols(_) => unreachable!("a lab's network is shown values"),
        };
        let (network, dy) = pass.parts(steps * count * replica.parameters.config().outputs());
        replica.prepare_head(shared);
        network.states(&replica.parameters, x, steps, count);
        replica.exchange_head(shared);
        let outputs = network.head(&replica.parameters);
        let totals = self.task.loss(batch, outputs, dy);
        network.head_gradient(dy, gradient);
        let head = replica.parameters.head_range();
        let body = 0..head.start;
        self.optimizer.step_part(head, &mut replica.parameters, gradient, count);
        replica.exchange_head(shared);
        let parameters = &mut replica.parameters;
        network.backward(parameters, x, dy, gradient);
        self.optimizer.step_part(body, parameters, gradient, count);
        self.optimizer.end_step();
        self.progress.examples += count as u64;
        totals
    }

    /// The Euclidean norm of its gradient, a mean over the `count` examples of a batch.
    pub fn gradient_norm(&self, count: usize) -> f64 {
        let square = |g: &f32| f64::from(*g) * f64::from(*g);
        let sum: f64 = self.share.gradient.arena().iter().map(square).sum();
        sum.sqrt() / count.max(1) as f64
    }

    /// What it has of its own.
    pub fn state(&self) -> WorkerState {
        let Memory { steps, moments } = self.optimizer.state();
        // Before the first step there is nothing to remember.
        let moments = if *steps > 0 { &moments[..] } else { &[] };
        WorkerState {
            generator: self.generator.clone(),
            examples: self.progress.examples,
            steps: *steps,
            moments: moments.iter().map(|moment| moment.arena().to_vec()).collect(),
            pass: self.share.pass.state(),
        }
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
