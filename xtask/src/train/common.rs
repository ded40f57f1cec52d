//! What every task of `cargo xtask train` can be asked: the network, the optimizer, the strategy,
//! the run and what is shown of it.

use super::optimizer::OptimizerArgs;
use crate::numbers::{seed_range, whole};
use clap::ValueEnum;
use model::{Cell, Memory, Nonlinearity};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use train::config::{Compress, MOST_BATCH, MOST_THREADS, NetworkConfig, OuterRule, Strategy};
use train::job::{Every, OnDivergence, Options};
use train::snapshots::MOST_SNAPSHOTS;

/// The options; what is left out is the task's affair.
#[derive(clap::Args)]
pub struct Common {
    /// H, the hidden units of a layer, at least 1 [default: addition 16, text 256]
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    pub hidden: Option<usize>,

    /// Examples to train on, at least 1 [default: by the task; addition 10000]
    #[arg(long, value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    pub examples: Option<u64>,

    /// B, the examples whose gradients are averaged to one update [default: addition 1, text 32]
    #[arg(long, value_parser = batch, allow_negative_numbers = true)]
    pub batch: Option<usize>,

    /// Who computes which gradient: serial (one worker), synchronous (each batch shared out),
    /// hogwild (shared parameters, never the same bits twice), averaging (a replica each), or
    /// auto, what was measured to be the fastest for the sizes of the training [default:
    /// addition serial, text synchronous]
    #[arg(long, value_parser = strategy_or_auto, conflicts_with = "seeds")]
    pub strategy: Option<Choice>,

    /// N, the workers of a strategy that is not serial, on each rank [default: the cores there are;
    /// where several ranks train, 1]
    #[arg(long, value_parser = threads, conflicts_with = "seeds", allow_negative_numbers = true)]
    pub threads: Option<usize>,

    /// K, a worker's examples between two pushes (hogwild) or averages [default: by size, so
    /// that pushes take some 5 % of the time]
    #[arg(long, value_parser = whole::<u64>(1..=u64::MAX), conflicts_with = "seeds",
          allow_negative_numbers = true)]
    pub push_every: Option<u64>,

    /// What becomes of an average: sgd takes it, nesterov goes on from it with momentum (DiLoCo); for
    /// averaging
    #[arg(long, value_enum, default_value = "sgd", conflicts_with = "seeds")]
    pub outer: OuterName,

    /// How values travel between ranks: as they are, or as bf16, half of that, and what rounding
    /// takes away comes with the next
    #[arg(long, value_enum, default_value = "none", conflicts_with = "seeds")]
    pub compress: CompressName,

    /// How long other ranks are waited for before the job ends
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = stall,
          allow_hyphen_values = true)]
    pub stall: Duration,

    /// The number that all randomness comes from; the same seed gives the same bits, but for
    /// hogwild
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    pub seed: u64,

    /// The cell: sigmoid (the lab's), tanh or relu (Elman networks), gru, lstm [default: addition
    /// sigmoid, text lstm]
    #[arg(long, value_enum)]
    pub cell: Option<CellName>,

    /// Layers, each fed with the states of the one below
    #[arg(long, default_value_t = 1, value_parser = positive, allow_negative_numbers = true)]
    pub layers: usize,

    /// Let each layer run from the last step to the first, too
    #[arg(long)]
    pub bidirectional: bool,

    /// The share of the outputs between two layers that training drops, 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = dropout,
          allow_negative_numbers = true)]
    pub dropout: f32,

    /// What the network remembers: state (the hidden units), output (a Jordan network), or its last
    /// N inputs, a number (a feed-forward network)
    #[arg(long, value_name = "state|output|N", default_value = "state", value_parser = memory,
          allow_negative_numbers = true)]
    pub memory: Memory,

    /// Give the units biases [default: all have them, but for sigmoid, tanh and relu in addition]
    #[arg(long)]
    pub bias: bool,

    /// End after N validations in a row that were no better than one before; for tasks with data
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=u32::MAX.into()),
          allow_negative_numbers = true)]
    pub patience: Option<u32>,

    /// Start from the weights of the run in a folder, or of a .safetensors file
    #[arg(long, value_name = "RUN|FILE", conflicts_with = "seeds")]
    pub init: Option<PathBuf>,

    /// Train once for each seed FROM..TO (TO excluded), over all cores; keeps no run folder
    #[arg(long, value_name = "FROM..TO", value_parser = seed_range, allow_hyphen_values = true,
          conflicts_with_all = ["seed", "out", "force", "checkpoint_every", "on_divergence"])]
    pub seeds: Option<Range<u64>>,

    /// Append what became of each seed to this file, and go on from what is in it: the seeds in it
    /// are not trained again
    #[arg(long, value_name = "FILE", requires = "seeds")]
    pub trials: Option<PathBuf>,

    /// Folder for the run [default: the next number under runs/]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Write over the run in --out
    #[arg(long, requires = "out")]
    pub force: bool,

    /// Write a checkpoint every so many seconds (30s) or examples (1000000)
    #[arg(long, default_value = "30s", value_name = "TIME|EXAMPLES", value_parser = every,
          allow_hyphen_values = true)]
    pub checkpoint_every: Every,

    /// What to do when the weights or the loss leave all bounds
    #[arg(long, value_enum, default_value = "stop")]
    pub on_divergence: OnDivergenceName,

    /// Keep the parameters at N moments of the training, evenly spread, for `cargo xtask page`; 0 for
    /// none [default: 60 for small networks that add, else 0]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=MOST_SNAPSHOTS.into()),
          conflicts_with = "seeds", allow_negative_numbers = true)]
    pub snapshots: Option<u32>,

    /// Write a TensorBoard event file into the run's folder, too
    #[arg(long, conflicts_with = "seeds")]
    pub tensorboard: bool,

    /// Print a JSON object as the last line
    #[arg(long)]
    pub json: bool,

    /// Print nothing else
    #[arg(long)]
    pub quiet: bool,

    #[command(flatten)]
    pub optimizer: OptimizerArgs,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum OuterName {
    Sgd,
    Nesterov,
}

impl From<OuterName> for OuterRule {
    fn from(name: OuterName) -> Self {
        match name {
            OuterName::Sgd => Self::Sgd,
            OuterName::Nesterov => Self::Nesterov,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum CompressName {
    None,
    Bf16,
}

impl From<CompressName> for Compress {
    fn from(name: CompressName) -> Self {
        match name {
            CompressName::None => Self::None,
            CompressName::Bf16 => Self::Bf16,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum CellName {
    Sigmoid,
    Tanh,
    Relu,
    Gru,
    Lstm,
}

impl Common {
    /// The network that is asked for: `default`, but for what is said.
    pub fn network(&self, default: NetworkConfig) -> NetworkConfig {
        let &Self { layers, bidirectional, dropout, memory, .. } = self;
        let cell = self.cell.map_or(default.cell, Cell::from);
        let hidden = self.hidden.unwrap_or(default.hidden);
        let base = if cell == default.cell {
            NetworkConfig { hidden, ..default }
        } else {
            NetworkConfig { embedding: default.embedding, ..NetworkConfig::new(cell, hidden) }
        };
        let has_gates = matches!(cell, Cell::Gru | Cell::Lstm);
        let bias = self.bias || has_gates || default.bias;
        NetworkConfig { layers, bidirectional, dropout, memory, bias, ..base }
    }

    /// How the job is run, with so many snapshots, if it is not said how many.
    pub fn options(&self, snapshots: u32) -> Options {
        Options {
            checkpoint_every: self.checkpoint_every,
            on_divergence: match self.on_divergence {
                OnDivergenceName::Stop => OnDivergence::Stop,
                OnDivergenceName::HalveLr => OnDivergence::HalveLearningRate,
            },
            tensorboard: self.tensorboard,
            snapshots: self.snapshots.unwrap_or(snapshots),
        }
    }
}

impl From<CellName> for Cell {
    fn from(name: CellName) -> Self {
        match name {
            CellName::Sigmoid => Self::Elman(Nonlinearity::Sigmoid),
            CellName::Tanh => Self::Elman(Nonlinearity::Tanh),
            CellName::Relu => Self::Elman(Nonlinearity::Relu),
            CellName::Gru => Self::Gru,
            CellName::Lstm => Self::Lstm,
        }
    }
}

/// A strategy by name, or the fastest.
#[derive(Clone, Copy)]
pub enum Choice {
    Auto,
    Named(Strategy),
}

#[derive(Clone, Copy, ValueEnum)]
pub enum OnDivergenceName {
    /// End; the last good checkpoint is kept
    Stop,
    /// Go back to the last good checkpoint, with half the learning rate
    HalveLr,
}

fn every(text: &str) -> Result<Every, String> {
    let every = match text.strip_suffix('s') {
        Some(seconds) => seconds.parse().ok().map(Every::Seconds),
        None => text.parse().ok().map(Every::Examples),
    };
    let valid = |every: &Every| match *every {
        Every::Seconds(seconds) => seconds > 0.0 && seconds.is_finite(),
        Every::Examples(examples) => examples > 0,
    };
    every
        .filter(valid)
        .ok_or_else(|| "seconds such as 30s, or examples such as 5000, are needed".into())
}

fn stall(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
    let most = 1e6; // nobody waits for longer, and more is no time any more
    seconds
        .filter(|&seconds| (0.1..=most).contains(&seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| {
            format!("seconds such as 60s, at least 0.1s and at most {most}s, are needed")
        })
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}; a whole number, at least 1, is needed")),
    }
}

fn memory(text: &str) -> Result<Memory, String> {
    match text {
        "state" => Ok(Memory::State),
        "output" => Ok(Memory::Output),
        _ => positive(text)
            .map(Memory::Window)
            .map_err(|_| "state, output, or a number of inputs, at least 1, is needed".to_owned()),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    positive(text)
        .ok()
        .filter(|&threads| threads <= MOST_THREADS)
        .ok_or_else(|| format!("a whole number from 1 to {MOST_THREADS} is needed"))
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a whole number from 0 to {} is needed", u64::MAX))
}

fn batch(text: &str) -> Result<usize, String> {
    positive(text)
        .ok()
        .filter(|&batch| batch <= MOST_BATCH)
        .ok_or_else(|| format!("a whole number from 1 to {MOST_BATCH} is needed"))
}

pub fn strategy(text: &str) -> Result<Strategy, String> {
    let known = Strategy::ALL.into_iter().find(|strategy| strategy.name() == text);
    known
        .ok_or_else(|| format!("one of {} is needed", Strategy::ALL.map(Strategy::name).join(", ")))
}

fn strategy_or_auto(text: &str) -> Result<Choice, String> {
    match text {
        "auto" => Ok(Choice::Auto),
        _ => strategy(text).map(Choice::Named).map_err(|error| format!("auto, or {error}")),
    }
}

fn dropout(text: &str) -> Result<f32, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "a share from 0 to below 1 is needed".to_owned())
}
