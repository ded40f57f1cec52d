//! A training from its start, or from a checkpoint, to its end in a run folder: the
//! intervals and their metrics, checkpoints, and what happens when it diverges.
//!
//! ```text
//! start or resume ──► advance ──► … ──► advance ──► finish
//!                        │ now and then, and when told to stop
//!                        └──► checkpoint
//! ```
//!
//! A job shows nothing: each [`Job::advance`] trains for some milliseconds at most
//! and says what it came to. Stopped between two of them, resumed from its
//! checkpoint, it goes on with the same bits.

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::config::RunConfig;
use crate::memory;
use crate::metrics::{Metrics, MetricsFile, Totals};
use crate::run_folder::{RunFolder, RunLock};
use crate::snapshots::{MOST_SNAPSHOTS, Snapshots};
use crate::state::State;
use crate::task::Task;
use crate::tensorboard::EventFile;
use crate::trainer::Trainer;
use crate::transport::Transport;
use crate::validation::Validation;
use model::Parameters;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One [`Job::advance`] takes about so long, if an update does not take longer.
const CHUNK: Duration = Duration::from_millis(5);
/// On several ranks: each begins with a word of rank 0 and ends with one of each other rank, and no
/// rank goes on while these travel.
const CHUNK_OF_RANKS: Duration = Duration::from_millis(200);

/// A training whose mean loss grows beyond so many times its first one has diverged.
const LOSS_BOUND: f64 = 10.0;

/// Learning rates are halved so often at most.
const MOST_HALVINGS: u32 = 20;

/// When a checkpoint is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Every {
    /// After so many examples, rounded up to whole batches.
    Examples(u64),
    /// After so many seconds.
    Seconds(f64),
}

/// What to do when a training diverges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDivergence {
    /// End, and keep the last good checkpoint.
    #[default]
    Stop,
    /// Go back to the last good checkpoint, or to the start, with half the learning rate.
    HalveLearningRate,
}

/// How a job is run; nothing here changes what is computed, but for `on_divergence`. A job that is
/// resumed takes as many snapshots as it was asked when it began.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When a checkpoint is written.
    pub checkpoint_every: Every,
    /// What to do when the training diverges.
    pub on_divergence: OnDivergence,
    /// Whether to write a TensorBoard event file, too.
    pub tensorboard: bool,
    /// How many snapshots of the parameters are kept, at most [`MOST_SNAPSHOTS`]: see
    /// [`crate::snapshots`]. 0 for none.
    pub snapshots: u32,
}

/// What an [`Job::advance`] came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Advance {
    /// The first update of an interval; [`Job::trainer`] can show its example.
    First,
    /// More of an interval.
    More,
    /// The end of an interval.
    Interval(Metrics),
    /// The training diverged and starts again from the last good state, at half the
    /// learning rate.
    Halved {
        /// What went wrong.
        examples: u64,
        /// The learning rate from now on.
        learning_rate: f32,
    },
}

/// A training in a run folder.
#[derive(Debug)]
pub struct Job<T> {
    options: Options,
    config: RunConfig<T>,
    folder: RunFolder,
    trainer: Trainer<T>,
    /// Where it stands, but for `state`, which is as it was at the last checkpoint.
    at: Checkpoint,
    metrics: Vec<Metrics>,
    metrics_file: MetricsFile,
    events: Option<EventFile>,
    snapshots: Snapshots,
    /// Why those of before are not among them.
    lost_snapshots: Option<Error>,
    /// The ranks of before and those of now, where they matter to the bits.
    dealt_anew: Option<(usize, usize)>,
    /// Examples that take about [`CHUNK`], or [`CHUNK_OF_RANKS`].
    chunk: u64,
    /// The last state known to be good.
    good: Checkpoint,
    halvings: u32,
    saved_at: Instant,
    saved_examples: u64,
    // Last, so that the folder is free only when all files are closed.
    _lock: RunLock,
}

impl<T: Task> Job<T> {
    /// A training from the start, in a folder that no other process trains in.
    ///
    /// # Errors
    /// If `config` makes no sense or needs more memory than there is, or the folder cannot be
    /// written or is in use.
    pub fn start(config: RunConfig<T>, folder: RunFolder, options: Options) -> Result<Self, Error> {
        memory::check(memory::job_bytes(&config, options.snapshots)?)?;
        let trainer = Trainer::new(&config)?;
        Self::start_with(config, trainer, folder, options)
    }

    /// [`Job::start_from`], or [`Job::start`] where there are no weights to start from, with all
    /// ranks of `transport`: see [`Trainer::across`].
    ///
    /// # Errors
    /// As those, and as [`Trainer::across`].
    pub fn start_across(
        transport: Option<Arc<dyn Transport>>,
        config: RunConfig<T>,
        first: Option<&Parameters>,
        folder: RunFolder,
        options: Options,
    ) -> Result<Self, Error> {
        memory::check(memory::job_bytes(&config, options.snapshots)?)?;
        let mut state = State::new(&config, config.strategy.threads)?;
        if let Some(first) = first {
            state.arena = first.arena().to_vec();
        }
        let trainer = Trainer::across_from_state(transport, &config, state)?;
        Self::start_with(config, trainer, folder, options)
    }

    /// [`Job::start`] from the weights `first`, those of another run.
    ///
    /// # Errors
    /// As [`Job::start`], or if they are of another network.
    pub fn start_from(
        config: RunConfig<T>,
        first: &Parameters,
        folder: RunFolder,
        options: Options,
    ) -> Result<Self, Error> {
        let mut state = Trainer::new(&config)?.state();
        state.arena = first.arena().to_vec();
        let trainer = Trainer::from_state(&config, state)?;
        Self::start_with(config, trainer, folder, options)
    }

    fn start_with(
        config: RunConfig<T>,
        trainer: Trainer<T>,
        folder: RunFolder,
        options: Options,
    ) -> Result<Self, Error> {
        let lock = folder.lock()?;
        let at = Checkpoint {
            config: config.to_toml(),
            examples: 0,
            seconds: 0.0,
            interval: Totals::default(),
            metrics_bytes: 0,
            first_loss: None,
            validation: Validation::default(),
            snapshots: options.snapshots.min(MOST_SNAPSHOTS),
            state: trainer.state(),
        };
        folder.remove_checkpoint()?; // of a run that is written over
        folder.remove_snapshots()?;
        let mut snapshots = Snapshots::new(&config, at.snapshots);
        snapshots.take(0, trainer.parameters());
        Self::new(config, trainer, at, snapshots, folder, lock, options)
    }

    /// The training whose checkpoint lies in `folder`, from there on. Snapshots that were lost do
    /// not keep it from going on: see [`Job::lost_snapshots`].
    ///
    /// # Errors
    /// If there is none, it cannot be used or needs more memory than there is, or another process
    /// trains in the folder.
    pub fn resume(folder: RunFolder, options: Options) -> Result<Self, Error> {
        Self::resume_across(None, folder, options)
    }

    /// [`Job::resume`] with all ranks of `transport`, or with one where there is none. If these are
    /// not as many as before, it may go on with other bits: see [`Job::dealt_anew`].
    ///
    /// # Errors
    /// As [`Job::resume`] and [`Trainer::across`].
    pub fn resume_across(
        transport: Option<Arc<dyn Transport>>,
        folder: RunFolder,
        options: Options,
    ) -> Result<Self, Error> {
        let lock = folder.lock()?;
        let mut at = folder.checkpoint()?;
        let mut config: RunConfig<T> = at.config(&folder.checkpoint_path())?;
        config.task.prepare()?;
        at.check(&config, &folder.checkpoint_path())?;
        let asked = at.config.clone();
        let (before, workers) = (config.ranks.count, at.state.workers.len());
        let ranks = transport.as_ref().map_or(1, |transport| transport.ranks());
        if ranks != before {
            let workers = config.workers_on(ranks, workers)?;
            at.state = at.state.dealt_to(workers);
            (config.ranks.count, config.strategy.threads) = (ranks, workers);
            at.config = config.to_toml();
        }
        let by_workers = |ranks| config.meets_by_workers(ranks, workers);
        let has_same_bits = ranks == before
            || at.state.workers.len() == workers && by_workers(before) && by_workers(ranks);
        let mut needed = config.clone();
        needed.strategy.threads = at.state.workers.len();
        memory::check(memory::job_bytes(&needed, at.snapshots)?)?;
        let trainer = Trainer::across_from_state(transport, &config, at.state.clone())?;
        let mut snapshots = Snapshots::new(&config, at.snapshots);
        let mut lost = None;
        if at.snapshots > 0 {
            match folder.unfinished_snapshots(&asked, trainer.parameters().config()) {
                Ok(taken) => snapshots = snapshots.with_taken(taken),
                Err(error) => lost = Some(error),
            }
        }
        snapshots.go_back_to(at.examples);
        let mut job = Self::new(config, trainer, at, snapshots, folder, lock, options)?;
        job.lost_snapshots = lost;
        job.dealt_anew = (!has_same_bits).then_some((before, ranks));
        Ok(job)
    }

    fn new(
        config: RunConfig<T>,
        trainer: Trainer<T>,
        at: Checkpoint,
        snapshots: Snapshots,
        folder: RunFolder,
        lock: RunLock,
        options: Options,
    ) -> Result<Self, Error> {
        folder.remove_leftovers()?;
        let (metrics_file, metrics) = folder.metrics_up_to(at.metrics_bytes)?;
        let events = options.tensorboard.then(|| EventFile::create(folder.path())).transpose()?;
        Ok(Self {
            options,
            config,
            trainer,
            metrics,
            metrics_file,
            events,
            snapshots,
            lost_snapshots: None,
            dealt_anew: None,
            chunk: 1,
            good: at.clone(),
            halvings: 0,
            saved_at: Instant::now(),
            saved_examples: at.examples,
            at,
            folder,
            _lock: lock,
        })
    }

    /// Trains on some more examples, and writes a checkpoint where one is due.
    ///
    /// # Errors
    /// [`Error::Diverged`], or if a file cannot be written.
    pub fn advance(&mut self) -> Result<Advance, Error> {
        let config = &self.config;
        // Cut between rounds only: then it matters to no bit where.
        let round = config.round();
        let whole = |examples: u64| examples.checked_next_multiple_of(round).unwrap_or(u64::MAX);
        let first = self.at.interval.examples == 0;
        let mut examples = if first { round } else { whole(self.chunk.max(config.least())) };
        let due = match self.options.checkpoint_every {
            Every::Examples(every) => {
                self.saved_examples.saturating_add(every).saturating_sub(self.at.examples)
            }
            Every::Seconds(_) => u64::MAX,
        };
        let left = config.run.examples - self.at.examples;
        // Of one that was resumed with others ranks it may be over already.
        let in_interval = config.interval().saturating_sub(self.at.interval.examples);
        let in_interval = if in_interval == 0 { round } else { in_interval }.min(left);
        let due = due.min(self.snapshots.left(self.at.examples));
        examples = examples.min(whole(due.max(1))).min(in_interval);

        let start = Instant::now();
        let totals = self.trainer.train(examples);
        let elapsed = start.elapsed();
        self.at.seconds += elapsed.as_secs_f64();
        self.at.examples += totals.examples;
        self.at.interval += totals;
        self.snapshots.take(self.at.examples, self.trainer.parameters());
        let aim = if config.ranks.count > 1 { CHUNK_OF_RANKS } else { CHUNK };
        if elapsed < aim / 2 {
            self.chunk = self.chunk.saturating_mul(2).min(config.interval());
        } else if elapsed > aim * 2 {
            self.chunk = (self.chunk / 2).max(1);
        }

        let outcome = if examples == in_interval {
            let mut metrics = self.at.interval.mean(self.at.examples, self.at.seconds);
            if let Err(error) = self.check(metrics.loss) {
                return self.recover(error);
            }
            let (trainer, examples) = (&self.trainer, self.at.examples);
            let parameters = trainer.parameters();
            let validation = &mut self.at.validation;
            metrics.valid = validation.measure(&self.config, trainer.task(), parameters, examples);
            if let Err(error) = self.end_interval(metrics) {
                // All but a line of metrics is kept, if that can be; the first error is told.
                self.at.interval = Totals::default();
                let _ = self.checkpoint();
                return Err(error);
            }
            Advance::Interval(metrics)
        } else if first {
            Advance::First
        } else {
            Advance::More
        };
        let is_due = match self.options.checkpoint_every {
            Every::Examples(every) => self.at.examples - self.saved_examples >= every,
            Every::Seconds(every) => self.saved_at.elapsed().as_secs_f64() >= every,
        };
        if is_due && !self.is_done() {
            if let Err(error) = self.check(0.0) {
                return self.recover(error);
            }
            self.checkpoint()?;
        }
        Ok(outcome)
    }

    fn end_interval(&mut self, metrics: Metrics) -> Result<(), Error> {
        let before = self.metrics.last().copied();
        self.at.first_loss.get_or_insert(metrics.loss);
        self.at.metrics_bytes = self.metrics_file.push(&metrics)?;
        self.metrics.push(metrics);
        self.at.interval = Totals::default();
        if let Some(events) = &mut self.events {
            let (examples, seconds) = before.map_or((0, 0.0), |m| (m.examples, m.seconds));
            let rate = (metrics.examples - examples) as f64 / (metrics.seconds - seconds);
            events.push(&metrics, rate)?;
        }
        Ok(())
    }

    /// Are the weights still numbers, and is the loss of a training that learns?
    fn check(&self, loss: f64) -> Result<(), Error> {
        let bound = LOSS_BOUND * self.at.first_loss.unwrap_or(f64::INFINITY);
        if self.trainer.is_finite() && loss <= bound {
            return Ok(());
        }
        Err(Error::Diverged {
            examples: self.at.examples,
            loss: self.at.interval.loss / self.at.interval.examples.max(1) as f64,
            norm: self.trainer.gradient_norm(),
            learning_rate: self.trainer.learning_rate(),
            weight_decay: self.config.optimizer.rule.shrinking(),
            checkpoint: self.folder.has_checkpoint().then(|| self.folder.path().to_owned()),
        })
    }

    /// After a divergence: back to what was good with half the learning rate, or the error.
    fn recover(&mut self, error: Error) -> Result<Advance, Error> {
        let halve = self.options.on_divergence == OnDivergence::HalveLearningRate;
        if !halve || self.halvings == MOST_HALVINGS {
            return Err(error);
        }
        self.halvings += 1;
        let learning_rate = self.trainer.learning_rate() / 2.0;
        let examples = self.at.examples;
        self.good.state.learning_rate = learning_rate;
        self.at = self.good.clone();
        self.trainer = self.trainer.at(&self.config, self.at.state.clone())?;
        (self.metrics_file, self.metrics) = self.folder.metrics_up_to(self.at.metrics_bytes)?;
        self.saved_examples = self.at.examples;
        self.snapshots.go_back_to(self.at.examples);
        Ok(Advance::Halved { examples, learning_rate })
    }

    /// Writes a checkpoint of this moment.
    ///
    /// # Errors
    /// If it cannot be written; then the one before stays.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        self.metrics_file.sync()?;
        self.at.state = self.trainer.state();
        // Before the checkpoint, which drops those behind it; and it is written whatever becomes
        // of them, for it is worth more.
        let kept = self.snapshots.file().map(|bytes| self.folder.write_snapshots(&bytes));
        self.folder.write_checkpoint(&self.at)?;
        self.good = self.at.clone();
        self.saved_at = Instant::now();
        self.saved_examples = self.at.examples;
        kept.unwrap_or(Ok(()))
    }

    /// Ends a training that is done: the files of a finished run, its best parameters and its
    /// snapshots among them, with `curve` as its picture, and no checkpoint any more. The configuration says the learning rate in use at
    /// the end.
    ///
    /// # Errors
    /// If a file cannot be written. Then a checkpoint is, if it can be, so that nothing is lost.
    ///
    /// # Panics
    /// If it is not done.
    pub fn finish(&mut self, curve: &str) -> Result<(), Error> {
        assert!(self.is_done(), "{} examples are left", self.left());
        let parameters = &self.parameters();
        let mut config = self.config.clone();
        config.optimizer.learning_rate = self.trainer.learning_rate();
        self.snapshots.end(self.at.examples, parameters);
        let snapshots = self.snapshots.file();
        let snapshots = snapshots.as_deref();
        let finished =
            self.folder.finish(&config, &self.metrics_file, curve, parameters, snapshots);
        if let Err(error) = finished {
            // The first error is the one to tell of.
            let _ = self.checkpoint();
            return Err(error);
        }
        self.folder.remove_checkpoint()
    }

    /// Whether all examples were trained on, or more of them would not help.
    pub fn is_done(&self) -> bool {
        self.left() == 0 || self.at.validation.is_hopeless(self.config.run.patience)
    }

    /// The best parameters so far; the last, for a task without validation data.
    pub fn parameters(&self) -> Parameters {
        self.at.validation.best_or(self.trainer.parameters())
    }

    /// What the validations came to.
    pub fn validation(&self) -> &Validation {
        &self.at.validation
    }

    fn left(&self) -> u64 {
        self.config.run.examples - self.at.examples
    }

    /// What was asked.
    pub fn config(&self) -> &RunConfig<T> {
        &self.config
    }

    /// Examples trained on.
    pub fn examples(&self) -> u64 {
        self.at.examples
    }

    /// Seconds of training.
    pub fn seconds(&self) -> f64 {
        self.at.seconds
    }

    /// Why a job that was resumed has not the snapshots of before, told once: their file is gone or
    /// broken. It goes on with those from now on.
    pub fn lost_snapshots(&mut self) -> Option<Error> {
        self.lost_snapshots.take()
    }

    /// The ranks of before and those of now, of a job that was resumed with others and so goes on
    /// with other bits.
    pub fn dealt_anew(&self) -> Option<(usize, usize)> {
        self.dealt_anew
    }

    /// The metrics of all intervals so far.
    pub fn metrics(&self) -> &[Metrics] {
        &self.metrics
    }

    /// Who trains.
    pub fn trainer(&self) -> &Trainer<T> {
        &self.trainer
    }

    /// Where.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }
}
