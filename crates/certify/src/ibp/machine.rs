//! Any machine, learned on intervals.

use super::auxiliary::{Asked, Codes};
use super::{Ibp, epsilon_at, intervals};
use kernels::recurrent::ROW;
use model::{Cell, Head, Nonlinearity, Parameters};
use serde::{Deserialize, Serialize};
use train::batch::Batch;
use train::config::{Extent, NetworkConfig, RanksConfig, RunConfig, StrategyConfig};
use train::metrics::Totals;
use train::optimizer::{Clip, OptimizerConfig, Rule, Schedule};
use train::pass::Pass;
use train::task::machine::{Words, WordsRight};
use train::task::{Progress, Source, Task};

/// The words of a machine, learned on intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineIbp {
    /// ε at the end, reached between 20 % and 70 % of the examples.
    epsilon: f32,
    /// What it counts that the states tell the machine's state, beside the outputs; 0 in the
    /// configurations of before there was that.
    #[serde(default)]
    state_weight: f32,
    words: Words,
}

impl MachineIbp {
    /// T of a training, where nothing else is asked …
    pub const STEPS: usize = 12;
    /// … and of a network of ReLUs, which is wrong behind longer words more easily: nothing saturates.
    pub const STEPS_RELU: usize = 16;
    /// H, where nothing else is asked.
    pub const HIDDEN: usize = 32;
    /// The learning rate of Adam …
    pub const LEARNING_RATE: f32 = 0.02;
    /// … and of a network of ReLUs, whose gradient is clipped to a length of 1, too.
    pub const LEARNING_RATE_RELU: f32 = 0.005;

    /// These words.
    pub fn new(words: Words) -> Self {
        Self { epsilon: 0.02, state_weight: 1.0, words }
    }

    /// T of a training of networks of that cell.
    pub fn steps(cell: Cell) -> usize {
        match cell {
            Cell::Elman(Nonlinearity::Relu) => Self::STEPS_RELU,
            _ => Self::STEPS,
        }
    }

    /// A whole certifiable training of `hidden` units: as many updates of Adam as of
    /// [`Ibp::training`], with a cosine schedule.
    pub fn training(words: Words, cell: Cell, hidden: usize, seed: u64) -> RunConfig<Self> {
        let (learning_rate, clip) = match cell {
            // A ReLU that a large step makes negative for all words never comes back.
            Cell::Elman(Nonlinearity::Relu) => (Self::LEARNING_RATE_RELU, Clip::Norm(1.0)),
            _ => (Self::LEARNING_RATE, Clip::None),
        };
        RunConfig {
            task: Self::new(words),
            network: NetworkConfig::new(cell, hidden),
            optimizer: OptimizerConfig {
                clip,
                schedule: Schedule::Cosine { warmup: 0, steps: UPDATES, floor: 0.01 },
                ..OptimizerConfig::new(learning_rate, Rule::ADAM)
            },
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

/// Updates of a training.
const UPDATES: u64 = Ibp::EXAMPLES / Ibp::BATCH as u64;

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
        let config = parameters.config();
        if self.state_weight == 0.0 {
            return intervals::differentiate(pass, parameters, batch, epsilon, None, gradient);
        }
        let middle = match config.cell() {
            Cell::Elman(Nonlinearity::Sigmoid) => 0.5,
            _ => 0.0,
        };
        let states = self.words.machine().states().len();
        let sizes = (config.hidden(), config.hidden().next_multiple_of(ROW));
        let codes = Codes::new(states, sizes, middle);
        let states = self.words.states(batch);
        let asked = Asked { codes: &codes, states: &states, weight: self.state_weight };
        intervals::differentiate(pass, parameters, batch, epsilon, Some(&asked), gradient)
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
