//! The lab with some of its settings changed, in one flat list.

use train::config::{Extent, NetworkConfig, RanksConfig, RunConfig, Strategy, StrategyConfig};
use train::optimizer::{Clip, OptimizerConfig, Rule, Schedule};
use train::task::Addition;

/// As [`Addition::lab`] by default.
#[derive(Clone, Debug)]
pub struct Lab {
    pub bits: u32,
    pub hidden: usize,
    pub bias: bool,
    pub examples: u64,
    pub batch: usize,
    pub seed: u64,
    pub learning_rate: f32,
    pub optimizer: Rule,
    pub clip: Clip,
    pub schedule: Schedule,
    pub strategy: Strategy,
    pub threads: usize,
    pub push_every: u64,
    pub ranks: RanksConfig,
}

impl Default for Lab {
    fn default() -> Self {
        Self {
            bits: 8,
            hidden: 16,
            bias: false,
            examples: 10_000,
            batch: 1,
            seed: 0,
            learning_rate: 0.1,
            optimizer: Rule::SGD,
            clip: Clip::None,
            schedule: Schedule::Constant,
            strategy: Strategy::Serial,
            threads: 1,
            push_every: 1,
            ranks: RanksConfig::ALONE,
        }
    }
}

impl Lab {
    /// As the library takes it.
    pub fn config(&self) -> RunConfig<Addition> {
        let &Self { learning_rate, optimizer: rule, clip, schedule, .. } = self;
        let &Self { strategy: name, threads, push_every, examples, batch, seed, .. } = self;
        RunConfig {
            task: Addition::new(self.bits).expect("1 to 64 bits"),
            network: NetworkConfig { bias: self.bias, ..NetworkConfig::lab(self.hidden) },
            optimizer: OptimizerConfig { learning_rate, rule, clip, schedule },
            strategy: StrategyConfig { name, threads, push_every },
            run: Extent::new(examples, batch, seed),
            ranks: self.ranks,
        }
    }
}
