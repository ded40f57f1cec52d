//! How the networks of the studies are trained, and whether one has learned: the lab's recipe and a
//! tuned one.

use model::{Network, Parameters};
use serde::Serialize;
use train::batch::{Batch, Inputs};
use train::config::{Extent, NetworkConfig, RanksConfig, RunConfig, StrategyConfig};
use train::optimizer::{OptimizerConfig, Rule};
use train::strategy::Serial;
use train::task::{Addition, Pair, Task};

/// The digits of the sums that networks are trained on (T), if nothing else is said.
pub const BITS: u32 = 8;

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// The lab's: 10,000 examples of plain SGD, one at a time, at a learning rate of 0.1.
    Lab,
    /// 32,000 examples by Adam in batches of 16, at a learning rate of 0.03.
    Tuned,
}

impl Recipe {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Lab, Self::Tuned];

    /// In a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lab => "the lab's recipe",
            Self::Tuned => "the tuned recipe",
        }
    }

    /// A whole training of `network` on sums of [`BITS`] digits.
    pub fn config(self, network: NetworkConfig, seed: u64) -> RunConfig<Addition> {
        let task = Addition::new(BITS).expect("1 to 64 bits");
        let (optimizer, run) = self.schedule(seed);
        let (strategy, ranks) = (StrategyConfig::SERIAL, RanksConfig::ALONE);
        RunConfig { task, network, optimizer, strategy, run, ranks }
    }

    /// How parameters follow gradients, on how many examples.
    pub(crate) fn schedule(self, seed: u64) -> (OptimizerConfig, Extent) {
        match self {
            Self::Lab => (OptimizerConfig::new(0.1, Rule::SGD), Extent::new(10_000, 1, seed)),
            Self::Tuned => (OptimizerConfig::new(0.03, Rule::ADAM), Extent::new(32_000, 16, seed)),
        }
    }
}

/// What comes of a whole training by one worker; none if the weights are no numbers at its end.
///
/// # Panics
/// If `config` makes no sense.
pub(crate) fn trained<T: Task>(config: &RunConfig<T>) -> Option<Parameters> {
    let mut serial = Serial::new(config).expect("a study's configuration makes sense");
    serial.train(config.run.examples);
    serial.parameters().is_finite().then(|| serial.parameters().clone())
}

/// Does the network add all numbers of `task`, every digit right? Ends with the first sum that is
/// wrong.
///
/// # Panics
/// If it is not a network for the task.
pub(crate) fn adds_all(task: Addition, parameters: &Parameters) -> bool {
    let mut judge = Judge::new(task, parameters);
    let all = |a| (0..task.operands()).map(move |b| Pair { a, b });
    (0..task.operands()).all(|a| {
        let pairs: Vec<Pair> = all(a).collect();
        judge.sums(&pairs).zip(&pairs).all(|(sum, pair)| sum == pair.sum())
    })
}

/// Reads the sums that a network spells.
pub(crate) struct Judge<'a> {
    task: Addition,
    parameters: &'a Parameters,
    network: Network,
    batch: Batch,
}

impl<'a> Judge<'a> {
    pub fn new(task: Addition, parameters: &'a Parameters) -> Self {
        let network = Network::new(parameters.config());
        Self { task, parameters, network, batch: Batch::default() }
    }

    /// The sum of each of `pairs`.
    pub fn sums(&mut self, pairs: &[Pair]) -> impl Iterator<Item = u64> {
        self.task.encode(pairs, &mut self.batch);
        let Inputs::Values(x) = &self.batch.inputs else {
            unreachable!("digits are encoded as values");
        };
        let (task, count) = (self.task, pairs.len());
        let outputs = self.network.forward(self.parameters, x, task.steps(), count);
        (0..count).map(move |n| task.decode(outputs, count, n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use train::task::Score;

    #[test]
    fn a_training_is_that_of_a_plain_loop_and_judged_as_the_task_judges() {
        let mut learned = 0;
        for seed in 0..6 {
            let config = Recipe::Tuned.config(NetworkConfig::lab(6), seed);
            let mut serial = Serial::new(&config).unwrap();
            for _ in 0..2_000 {
                serial.train(16);
            }
            let parameters = trained(&config).unwrap();
            assert_eq!(parameters.arena(), serial.parameters().arena());
            let expected = config.task.evaluate(&parameters, 0).is_perfect();
            assert_eq!(adds_all(config.task, &parameters), expected);
            learned += usize::from(expected);
        }
        assert!((1..6).contains(&learned), "{learned} of 6: both answers have to be seen");
    }

    #[test]
    fn the_labs_recipe_is_the_labs() {
        let config = Recipe::Lab.config(NetworkConfig::lab(16), 0);
        assert_eq!(config, Addition::lab());
    }
}
