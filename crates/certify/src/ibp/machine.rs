//! Any machine, learned on intervals.

use super::{Ibp, epsilon_at, intervals};
use crate::machine::Transitions;
use model::{Cell, Head, HeadActivation, HeadSteps, Network, Nonlinearity, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use std::fmt;
use train::batch::{Batch, Targets};
use train::config::{Extent, NetworkConfig, RunConfig, StrategyConfig};
use train::metrics::Totals;
use train::optimizer::{OptimizerConfig, Rule};
use train::pass::Pass;
use train::task::{Progress, Score, Source, Task};
use verify::Machine;

/// The answers of a machine to random words, learned on intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineIbp {
    /// In TOML a machine whose symbols are not legal everywhere has no table: it is JSON there.
    #[serde(with = "as_json")]
    machine: Machine,
    /// T
    steps: usize,
    /// ε at the end, reached between 20 % and 70 % of the examples.
    epsilon: f32,
}

mod as_json {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use verify::Machine;

    pub fn serialize<S: Serializer>(machine: &Machine, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(machine).expect("numbers and names"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Machine, D::Error> {
        serde_json::from_str(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl MachineIbp {
    /// T of a training.
    pub const STEPS: usize = 16;

    /// Words of `steps` symbols.
    ///
    /// # Panics
    /// If `steps` is 0.
    pub fn new(machine: Machine, steps: usize) -> Self {
        assert!(steps > 0, "words of no symbol");
        Self { machine, steps, epsilon: 0.05 }
    }

    /// A whole certifiable training of `hidden` Elman units: as many updates of Adam as of
    /// [`Ibp::training`].
    pub fn training(
        machine: Machine,
        nonlinearity: Nonlinearity,
        hidden: usize,
        seed: u64,
    ) -> RunConfig<Self> {
        let network = NetworkConfig::new(Cell::Elman(nonlinearity), hidden);
        RunConfig {
            task: Self::new(machine, Self::STEPS),
            network,
            optimizer: OptimizerConfig::new(Ibp::LEARNING_RATE, Rule::ADAM),
            strategy: StrategyConfig::SERIAL,
            run: Extent::new(Ibp::EXAMPLES, Ibp::BATCH, seed),
        }
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Random legal words, each with a mix of symbols of its own, so that each state is reached;
    /// behind one that cannot go on nothing is asked.
    fn fill(&self, generator: &mut Xoshiro256PlusPlus, count: usize, batch: &mut Batch) {
        let transitions = Transitions::new(&self.machine);
        let width = self.machine.width();
        let (x, targets) = batch.values((self.steps, count), width, 1);
        x.fill(0.0);
        targets.fill(intervals::NONE);
        for n in 0..count {
            let mix = transitions.mix(generator);
            let mut state = 0;
            for t in 0..self.steps {
                let Some(symbol) = transitions.draw(state, &mix, generator) else { break };
                let (next, output) = transitions.step(state, symbol).expect("it is legal");
                let row = t * count + n;
                let shown = self.machine.shown(usize::from(symbol));
                for (x, &value) in x[row * width..][..width].iter_mut().zip(shown) {
                    *x = value as f32;
                }
                targets[row] = output as f32;
                state = next;
            }
        }
    }
}

impl Task for MachineIbp {
    const NAME: &'static str = "machine-ibp";
    const IS_BPTT: bool = false;

    type Score = Answers;

    fn io(&self) -> (usize, Head) {
        let outputs = self.machine.head_outputs();
        let activation =
            if outputs == 1 { HeadActivation::Sigmoid } else { HeadActivation::Identity };
        let head = Head { outputs, bias: false, steps: HeadSteps::Every, activation };
        (self.machine.width(), head)
    }

    fn steps(&self) -> usize {
        self.steps
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        self.fill(source.generator, source.count, batch);
    }

    /// The cross-entropy of the outputs, of states and not of intervals, over T.
    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        let Targets::Values(targets) = &batch.targets else {
            panic!("a batch of words holds values");
        };
        let outputs = self.machine.head_outputs();
        let share = 1.0 / batch.steps as f32;
        let mut totals = Totals { examples: batch.count as u64, ..Totals::default() };
        dy.fill(0.0);
        let rows = y.chunks_exact(outputs).zip(dy.chunks_exact_mut(outputs));
        for ((y, dy), &target) in rows.zip(&targets[..]).filter(|(_, t)| **t != intervals::NONE) {
            let right = target as usize;
            let wrong = if let ([y], [dy]) = (y, &mut *dy) {
                *dy = share * (y - target);
                (y - target).abs()
            } else {
                let most = y.iter().fold(f32::MIN, |most, y| most.max(*y));
                let sum: f32 = y.iter().map(|y| (y - most).exp()).sum();
                for (dy, y) in dy.iter_mut().zip(y) {
                    *dy = share * (y - most).exp() / sum;
                }
                let wrong = 1.0 - dy[right] / share;
                dy[right] -= share;
                wrong
            };
            totals.error += f64::from(wrong);
            totals.loss -= f64::from(share * (1.0 - wrong).max(f32::MIN_POSITIVE).ln());
        }
        totals
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

    /// The answers to 1,000 words four times as long as those that are trained on.
    fn evaluate(&self, parameters: &Parameters, seed: u64) -> Answers {
        let longer = Self { steps: 4 * self.steps, ..self.clone() };
        // of numbers that no training draws
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x5eed_0f7e_57ed);
        let mut batch = Batch::default();
        longer.fill(&mut generator, 1_000, &mut batch);
        let (train::batch::Inputs::Values(x), Targets::Values(targets)) =
            (&batch.inputs, &batch.targets)
        else {
            panic!("a batch of words holds values");
        };
        let mut network = Network::new(parameters.config());
        let y = network.forward(parameters, x, batch.steps, batch.count);
        let mut answers = Answers { right: 0, of: 0 };
        for (y, &target) in y.chunks_exact(self.machine.head_outputs()).zip(&targets[..]) {
            if target == intervals::NONE {
                continue;
            }
            let right = target as usize;
            let is_right = match y {
                [y] => (*y > 0.5) == (right == 1),
                _ => y.iter().enumerate().all(|(n, other)| n == right || *other < y[right]),
            };
            answers.right += usize::from(is_right);
            answers.of += 1;
        }
        answers
    }

    fn aim(&self) -> String {
        format!("answer as the machine {:?}, for a proof", self.machine.name())
    }

    fn header(&self) -> String {
        "worst loss".to_owned()
    }
}

/// How many answers were right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// So many …
    pub right: usize,
    /// … of so many.
    pub of: usize,
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} answers are right", self.right, self.of)
    }
}

impl Score for Answers {
    fn is_perfect(&self) -> bool {
        self.right == self.of
    }

    fn brief(&self) -> String {
        (self.of - self.right).to_string()
    }

    fn heading() -> &'static str {
        "wrong answers"
    }

    fn figure(&self) -> (&'static str, f64) {
        let wrong = (self.of - self.right) as f64;
        ("share of wrong answers", wrong / self.of.max(1) as f64)
    }

    fn summary(&self, perfect: usize, count: usize) -> String {
        format!("{perfect} of {count} networks gave every answer right")
    }
}
