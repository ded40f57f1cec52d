//! Any machine, learned on intervals.

use super::{Ibp, epsilon_at, intervals};
use model::{Cell, Head, Nonlinearity, Parameters};
use serde::{Deserialize, Serialize};
use train::batch::Batch;
use train::config::{Extent, NetworkConfig, RanksConfig, RunConfig, StrategyConfig};
use train::metrics::Totals;
use train::optimizer::{OptimizerConfig, Rule};
use train::pass::Pass;
use train::task::machine::{Words, WordsRight};
use train::task::{Progress, Source, Task};

/// The words of a machine, learned on intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineIbp {
    /// ε at the end, reached between 20 % and 70 % of the examples.
    epsilon: f32,
    words: Words,
}

impl MachineIbp {
    /// T of a training, where nothing else is asked.
    pub const STEPS: usize = 16;

    /// These words.
    pub fn new(words: Words) -> Self {
        Self { epsilon: 0.05, words }
    }

    /// A whole certifiable training of `hidden` Elman units: as many updates of Adam as of
    /// [`Ibp::training`].
    pub fn training(
        words: Words,
        nonlinearity: Nonlinearity,
        hidden: usize,
        seed: u64,
    ) -> RunConfig<Self> {
        RunConfig {
            task: Self::new(words),
            network: NetworkConfig::new(Cell::Elman(nonlinearity), hidden),
            optimizer: OptimizerConfig::new(Ibp::LEARNING_RATE, Rule::ADAM),
            strategy: StrategyConfig::SERIAL,
            run: Extent::new(Ibp::EXAMPLES, Ibp::BATCH, seed),
            ranks: RanksConfig::ALONE,
        }
    }

    /// The words.
    pub fn words(&self) -> &Words {
        &self.words
    }
}

impl Task for MachineIbp {
    const NAME: &'static str = "machine-ibp";
    const IS_BPTT: bool = false;

    type Score = WordsRight;

    fn io(&self) -> (usize, Head) {
        self.words.io()
    }

    fn steps(&self) -> usize {
        self.words.steps()
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        self.words.draw(source, batch);
    }

    /// The loss of the outputs, of states and not of intervals: that of the words.
    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        self.words.loss(batch, y, dy)
    }

    fn differentiate(
        &self,
        pass: &mut Pass,
        parameters: &Parameters,
        batch: &Batch,
        progress: Progress,
        gradient: &mut Parameters,
    ) -> Totals {
        let epsilon = epsilon_at(self.epsilon, progress);
        intervals::differentiate(pass, parameters, batch, epsilon, gradient)
    }

    fn describe(&self) -> serde_json::Value {
        self.words.describe()
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> WordsRight {
        self.words.evaluate(parameters, seed)
    }

    fn aim(&self) -> String {
        format!("{}, for a proof", self.words.aim())
    }

    fn header(&self) -> String {
        "worst loss".to_owned()
    }
}
