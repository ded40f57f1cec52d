//! What a training is asked, as `config.toml` says it: a table each for the task, the network,
//! the optimizer, the strategy and the run.
//!
//! ```toml
//! [task]
//! name = "addition"
//! bits = 8
//!
//! [network]
//! cell = { elman = "sigmoid" }
//! hidden = 16
//! # …
//! ```
//!
//! Plain values: what makes no sense is refused where it is used. Files of before there were
//! tables are still read: see `old`.

mod old;

use crate::Error;
use crate::optimizer::OptimizerConfig;
use crate::task::Task;
use model::{Architecture, Cell, Config, Head, Memory, Nonlinearity};
use serde::{Deserialize, Serialize};

/// The most workers: as many as the largest machines have threads.
pub const MOST_THREADS: usize = 1024;

/// The largest batch: its activations at 64 steps still fit in memory.
pub const MOST_BATCH: usize = 1 << 16;

/// Examples between two lines of metrics, and two lines on the screen, at batch 1 …
pub const INTERVAL: u64 = 500;
/// … unless that would be more lines than this.
pub const MOST_INTERVALS: u64 = 2_000;

/// What a training was asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "T: Task")]
pub struct RunConfig<T> {
    /// What to learn.
    #[serde(with = "named")]
    pub task: T,
    /// By which network.
    pub network: NetworkConfig,
    /// How parameters follow gradients.
    pub optimizer: OptimizerConfig,
    /// Who computes which gradient, and when they meet.
    pub strategy: StrategyConfig,
    /// On how many examples, from which seed.
    pub run: Extent,
    /// On how many ranks, and what they send to each other.
    #[serde(default, skip_serializing_if = "RanksConfig::is_alone")]
    pub ranks: RanksConfig,
}

/// A network for a task, which knows the inputs and the outputs itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The cell of all layers.
    pub cell: Cell,
    /// H, the hidden units of a layer and direction.
    pub hidden: usize,
    /// Layers, each fed with the states of the one below.
    #[serde(default = "one")]
    pub layers: usize,
    /// Whether each layer also runs from the last step to the first.
    #[serde(default)]
    pub bidirectional: bool,
    /// Whether the cells and the head have biases.
    #[serde(default)]
    pub bias: bool,
    /// The share of each layer's outputs, but the last's, that a training pass drops.
    #[serde(default)]
    pub dropout: f32,
    /// E, the width of an embedding before the first layer, for a task of symbols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// What the network remembers from step to step, if not its states.
    #[serde(default, skip_serializing_if = "is_state")]
    pub memory: Memory,
    /// Where the weights start.
    #[serde(default)]
    pub start: FirstWeights,
}

fn is_state(memory: &Memory) -> bool {
    *memory == Memory::State
}

/// Where weights start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstWeights {
    /// Uniform in [−1, 1), as the lab's do.
    #[default]
    Uniform,
    /// As PyTorch's do: see [`model::Parameters::initialised`].
    PyTorch,
    /// Where somebody put them: those of another run or file.
    Given,
}

impl NetworkConfig {
    /// The lab's: `hidden` sigmoid units without biases, weights uniform in [−1, 1).
    pub const fn lab(hidden: usize) -> Self {
        Self {
            start: FirstWeights::Uniform,
            bias: false,
            ..Self::new(Cell::Elman(Nonlinearity::Sigmoid), hidden)
        }
    }

    /// One layer with biases, forward only, without dropout, with PyTorch's first weights.
    pub const fn new(cell: Cell, hidden: usize) -> Self {
        Self {
            cell,
            hidden,
            layers: 1,
            bidirectional: false,
            bias: true,
            dropout: 0.0,
            embedding: None,
            memory: Memory::State,
            start: FirstWeights::PyTorch,
        }
    }

    /// The configuration of this network for `task`.
    ///
    /// # Errors
    /// If a size is 0, or the parameters would not fit in memory; see [`Config::new`].
    pub fn config<T: Task>(&self, task: &T) -> Result<Config, Error> {
        let &Self { cell, hidden, layers, bidirectional, bias, dropout, memory, .. } = self;
        let (inputs, head) = task.io();
        let (width, embedding) = match self.embedding {
            Some(width) => (width, Some(inputs)),
            None => (inputs, None),
        };
        Ok(Config::new(Architecture {
            layers,
            bidirectional,
            bias,
            dropout,
            head: Some(Head { bias, ..head }),
            embedding,
            memory,
            ..Architecture::new(cell, width, hidden)
        })?)
    }
}

/// The strategies there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// One worker, one update after the other.
    #[default]
    Serial,
    /// The workers share each batch, and add their gradients.
    Synchronous,
    /// The workers share the parameters, and push to them when they like.
    Hogwild,
    /// Each worker trains a replica, and now and then all become their average.
    Averaging,
}

impl Strategy {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Serial, Self::Synchronous, Self::Hogwild, Self::Averaging];

    /// As the command line and `config.toml` write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Synchronous => "synchronous",
            Self::Hogwild => "hogwild",
            Self::Averaging => "averaging",
        }
    }
}

/// A strategy and its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategyConfig {
    /// Which.
    pub name: Strategy,
    /// N, the workers; 1 for the serial strategy.
    #[serde(default = "one")]
    pub threads: usize,
    /// K, the examples of a worker between two pushes (or averages), rounded up to whole
    /// batches. Serial and synchronous training has none, and does not look at it.
    #[serde(default = "one")]
    pub push_every: u64,
}

impl StrategyConfig {
    /// One worker.
    pub const SERIAL: Self = Self { name: Strategy::Serial, threads: 1, push_every: 1 };
}

/// The ranks of a training: the table `[ranks]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RanksConfig {
    /// R, the processes; the workers of [`StrategyConfig`] are those of all of them.
    #[serde(default = "one")]
    pub count: usize,
    /// What becomes of an average.
    #[serde(default)]
    pub outer: OuterRule,
    /// How values travel between ranks.
    #[serde(default)]
    pub compress: Compress,
}

impl RanksConfig {
    /// One process.
    pub const ALONE: Self = Self { count: 1, outer: OuterRule::Sgd, compress: Compress::None };

    fn is_alone(&self) -> bool {
        *self == Self::ALONE
    }
}

impl Default for RanksConfig {
    fn default() -> Self {
        Self::ALONE
    }
}

/// What becomes of an average, by the strategy `averaging`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OuterRule {
    /// It is taken: local SGD.
    #[default]
    Sgd,
    /// It is the direction of a step with Nesterov's momentum: DiLoCo.
    Nesterov,
}

/// How values travel between ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// As they are.
    #[default]
    None,
    /// As bf16, half of that; what rounding takes away comes with the next.
    Bf16,
}

/// The extent of a training: the table `[run]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// Examples to train on.
    pub examples: u64,
    /// B, the examples averaged to one update.
    pub batch: usize,
    /// What all randomness comes from.
    pub seed: u64,
    /// End after so many validations in a row that were no better than one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
}

impl Extent {
    /// `examples` examples in batches of `batch` (B), to the end.
    pub const fn new(examples: u64, batch: usize, seed: u64) -> Self {
        Self { examples, batch, seed, patience: None }
    }
}

/// What a file that leaves a number out means.
fn one<N: From<u8>>() -> N {
    1.into()
}

impl<T: Task> RunConfig<T> {
    /// Reads the text of a `config.toml`.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence that begins with its name.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        match kind(text)? {
            Kind::Old(old) => old.in_tables(),
            Kind::InTables(_) => toml::from_str(text).map_err(|error| makes_no_sense(&error)),
        }
    }

    /// The text of a `config.toml`.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("tables of numbers and names")
    }

    /// Examples between two lines of metrics: [`INTERVAL`], or more in a run of more than
    /// [`MOST_INTERVALS`] of these (a tenth of that where workers have to meet for a line);
    /// rounded up to whole batches or rounds, so that only the last of a run can be smaller
    /// than the others.
    pub fn interval(&self) -> u64 {
        let most = match self.strategy.name {
            Strategy::Serial | Strategy::Synchronous => MOST_INTERVALS,
            Strategy::Hogwild | Strategy::Averaging => MOST_INTERVALS / 10,
        };
        let least = INTERVAL.max(self.run.examples.div_ceil(most));
        least.checked_next_multiple_of(self.round()).unwrap_or(least)
    }

    /// How many workers a training of so many goes on with on so many `ranks`: if that can be, as
    /// many, which keeps the bits of synchronous training; else as many on each rank as before.
    ///
    /// # Errors
    /// If ranks cannot train by its strategy.
    pub(crate) fn workers_on(&self, ranks: usize, workers: usize) -> Result<usize, Error> {
        let of_rank = (workers / self.ranks.count.max(1)).max(1);
        let stays = match self.strategy.name {
            Strategy::Synchronous => workers.is_multiple_of(ranks),
            // One process averages its workers; of several, each has one replica.
            Strategy::Averaging => of_rank == 1 && ranks == 1 || workers == ranks,
            Strategy::Serial | Strategy::Hogwild => ranks == 1,
        };
        let workers = if stays { workers } else { of_rank.saturating_mul(ranks) };
        if workers > MOST_THREADS { Err(Error::Threads(workers)) } else { Ok(workers) }
    }

    /// With as many workers on `ranks` ranks: are these all that meet, each by itself?
    pub(crate) fn meets_by_workers(&self, ranks: usize, workers: usize) -> bool {
        match self.strategy.name {
            Strategy::Averaging => ranks == 1 || workers == ranks,
            _ => true,
        }
    }

    /// Examples that are worth a call of a training: enough that every worker of Hogwild! has some,
    /// and pushes a few times.
    pub(crate) fn least(&self) -> u64 {
        let StrategyConfig { name, threads, push_every } = self.strategy;
        match name {
            Strategy::Hogwild => {
                let batch = self.run.batch.max(1) as u64;
                let every = push_every.max(1).checked_next_multiple_of(batch).unwrap_or(u64::MAX);
                every.saturating_mul(threads.max(1) as u64).saturating_mul(PUSHES)
            }
            Strategy::Serial | Strategy::Synchronous | Strategy::Averaging => 1,
        }
    }

    /// Examples that belong together: a batch, or what lies between two averages. A training
    /// that is cut elsewhere ends in other bits.
    pub fn round(&self) -> u64 {
        let batch = self.run.batch.max(1) as u64;
        let StrategyConfig { name, threads, push_every } = self.strategy;
        match name {
            Strategy::Averaging => {
                let every = push_every.max(1).checked_next_multiple_of(batch);
                every.unwrap_or(u64::MAX).saturating_mul(threads.max(1) as u64)
            }
            Strategy::Serial | Strategy::Synchronous | Strategy::Hogwild => batch,
        }
    }
}

/// Pushes of each worker of Hogwild! that are worth a meeting of all.
const PUSHES: u64 = 4;

fn makes_no_sense(error: &dyn std::error::Error) -> String {
    format!("makes no sense: {error}")
}

/// The two kinds of files.
enum Kind {
    Old(Box<old::OldConfig>),
    /// With the name of the task.
    InTables(String),
}

/// Only before there were tables was the task a name by itself.
fn kind(text: &str) -> Result<Kind, String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Named {
        Name(#[expect(dead_code, reason = "it is read with the rest")] String),
        Table { name: Option<String> },
    }
    #[derive(Deserialize)]
    struct Probe {
        task: Option<Named>,
    }
    let probe: Probe = toml::from_str(text).map_err(|error| makes_no_sense(&error))?;
    match probe.task {
        None => Err("names no task: the table `[task]` is missing".to_owned()),
        Some(Named::Table { name: None }) => {
            Err("names no task: `name` in the table `[task]` is missing".to_owned())
        }
        Some(Named::Table { name: Some(name) }) => Ok(Kind::InTables(name)),
        Some(Named::Name(_)) => {
            toml::from_str(text).map(Kind::Old).map_err(|error| makes_no_sense(&error))
        }
    }
}

/// The name of the task in the text of a `config.toml`.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence that begins with its name.
pub fn task_name(text: &str) -> Result<String, String> {
    Ok(match kind(text)? {
        Kind::Old(old) => old.task_name(),
        Kind::InTables(name) => name,
    })
}

/// A task as a table: its fields, and its name.
mod named {
    use crate::task::Task;
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::{Map, Value};

    pub fn serialize<T: Task, S: Serializer>(task: &T, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = Map::new();
        table.insert("name".to_owned(), T::NAME.into());
        match serde_json::to_value(task).map_err(S::Error::custom)? {
            Value::Object(fields) => table.extend(fields),
            Value::Null => {}
            other => return Err(S::Error::custom(format!("a task is a table, and not {other}"))),
        }
        table.serialize(serializer)
    }

    pub fn deserialize<'de, T: Task, D: Deserializer<'de>>(source: D) -> Result<T, D::Error> {
        let mut table = Map::deserialize(source)?;
        let name = table.remove("name").ok_or_else(|| D::Error::missing_field("name"))?;
        if name != T::NAME {
            let expected = T::NAME;
            return Err(D::Error::custom(format!("the task is {name}, and not \"{expected}\"")));
        }
        serde_json::from_value(Value::Object(table)).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::{Clip, Descent, Rule, Schedule};
    use crate::task::TestTask;

    #[test]
    fn a_configuration_survives_the_way_to_toml_and_back() {
        let mut config = TestTask::lab();
        config.run.seed = 1 << 40;
        config.optimizer.learning_rate = 0.123_456_79;
        for rule in [
            Rule::SGD,
            Rule::Sgd(Descent { momentum: 0.9, nesterov: true, weight_decay: 1e-4 }),
            Rule::ADAM,
            Rule::ADAM_W,
        ] {
            for clip in [Clip::None, Clip::Norm(0.1), Clip::Value(1e-3)] {
                for schedule in [
                    Schedule::Constant,
                    Schedule::Step { every: 3, factor: 0.1 },
                    Schedule::Cosine { warmup: 10, steps: 1_000, floor: 0.01 },
                ] {
                    let optimizer = OptimizerConfig { rule, clip, schedule, ..config.optimizer };
                    let config = RunConfig { optimizer, ..config.clone() };
                    let text = config.to_toml();
                    assert_eq!(RunConfig::from_toml(&text).as_ref(), Ok(&config), "{text}");
                    assert_eq!(task_name(&text).unwrap(), "addition");
                    for table in ["task", "network", "optimizer", "strategy", "run"] {
                        assert!(text.contains(&format!("[{table}]\n")), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_readmes_file_is_the_labs() {
        let readme = include_str!("../README.md");
        let (_, rest) = readme.split_once("```toml\n").unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        assert_eq!(RunConfig::from_toml(text), Ok(TestTask::lab()));
    }

    #[test]
    fn what_a_file_does_not_say_is_what_the_networks_of_before_were() {
        let text = "[task]\nname = \"addition\"\nbits = 8\n[network]\ncell = { elman = \"sigmoid\" }\n\
                    hidden = 16\n[optimizer]\nlearning_rate = 0.1\nrule = { name = \"sgd\" }\n\
                    [strategy]\nname = \"serial\"\n[run]\nexamples = 10000\nbatch = 1\nseed = 0\n";
        assert_eq!(RunConfig::from_toml(text), Ok(TestTask::lab()));
    }

    #[test]
    fn what_is_misspelt_or_of_another_task_is_named() {
        let text = TestTask::lab().to_toml();
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from), "{text}");
            RunConfig::<TestTask>::from_toml(&text.replace(from, to)).unwrap_err()
        };
        assert!(refused("bits", "bit").contains("bit"));
        assert!(refused("bits = 8", "bits = 65").contains("65"));
        assert!(refused("hidden", "hiden").contains("hiden"));
        assert!(refused("\"addition\"", "\"song\"").contains("song"));
        assert!(refused("[run]", "[ran]").contains("ran"));
        assert!(task_name("bits = 3\n").unwrap_err().contains("[task]"));
        assert!(task_name("[task]\nbits = 3\n").unwrap_err().contains("`name`"));
    }
}
