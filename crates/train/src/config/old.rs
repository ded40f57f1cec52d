//! `config.toml` as it was before it had tables: one flat list, of the one task and network that
//! there were then.

use crate::config::{Extent, NetworkConfig, RanksConfig, RunConfig, Strategy, StrategyConfig};
use crate::optimizer::{Clip, OptimizerConfig, Rule, Schedule};
use crate::task::Task;
use serde::Deserialize;

/// What a training was asked then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OldConfig {
    task: String,
    bits: u32,
    hidden: usize,
    #[serde(default)]
    bias: bool,
    #[serde(default)]
    certifiable: bool,
    examples: u64,
    learning_rate: f32,
    batch: usize,
    seed: u64,
    #[serde(default)]
    strategy: Strategy,
    #[serde(default = "super::one")]
    threads: usize,
    #[serde(default = "super::one")]
    push_every: u64,
    #[serde(default)]
    optimizer: Rule,
    #[serde(default)]
    clip: Clip,
    #[serde(default)]
    schedule: Schedule,
}

impl OldConfig {
    /// The name of the task today: what was trained for a proof has one of its own.
    pub fn task_name(&self) -> String {
        if self.certifiable { format!("{}-ibp", self.task) } else { self.task.clone() }
    }

    /// The same in tables.
    ///
    /// # Errors
    /// If it is of another task.
    pub fn in_tables<T: Task>(self) -> Result<RunConfig<T>, String> {
        let name = self.task_name();
        if name != T::NAME {
            return Err(format!("is of the task \"{name}\", and not \"{}\"", T::NAME));
        }
        let fields = serde_json::json!({ "bits": self.bits });
        let task = serde_json::from_value(fields).map_err(|error| super::makes_no_sense(&error))?;
        // What was trained for a proof was trained by Adam, which the file did not say.
        let rule = if self.certifiable { Rule::ADAM } else { self.optimizer };
        let Self { learning_rate, clip, schedule, threads, push_every, .. } = self;
        let Self { strategy: name, examples, batch, seed, .. } = self;
        Ok(RunConfig {
            task,
            network: NetworkConfig { bias: self.bias, ..NetworkConfig::lab(self.hidden) },
            optimizer: OptimizerConfig { learning_rate, rule, clip, schedule },
            strategy: StrategyConfig { name, threads, push_every },
            run: Extent::new(examples, batch, seed),
            ranks: RanksConfig::ALONE,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{RunConfig, Strategy, StrategyConfig, task_name};
    use crate::optimizer::{Descent, Rule};
    use crate::task::TestTask;

    const FIRST: &str = "task = \"addition\"\nbits = 8\nhidden = 16\nexamples = 10000\n\
                         learning_rate = 0.1\nbatch = 1\nseed = 0\n";

    #[test]
    fn a_file_from_before_there_were_strategies_is_the_lab() {
        assert_eq!(RunConfig::from_toml(FIRST), Ok(TestTask::lab()));
    }

    #[test]
    fn every_setting_of_before_finds_its_table() {
        let text = format!(
            "{FIRST}bias = true\nstrategy = \"hogwild\"\nthreads = 3\npush_every = 32\n\
             [optimizer]\nname = \"sgd\"\nmomentum = 0.9\nnesterov = false\nweight_decay = 0.0\n"
        );
        let found = RunConfig::<TestTask>::from_toml(&text).unwrap();
        let name = Strategy::Hogwild;
        assert_eq!(found.strategy, StrategyConfig { name, threads: 3, push_every: 32 });
        let descent = Descent { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        assert!(found.network.bias && found.optimizer.rule == Rule::Sgd(descent));
        assert_eq!(RunConfig::from_toml(&found.to_toml()), Ok(found));
    }

    #[test]
    fn a_network_trained_for_a_proof_was_one_by_adam() {
        let text = format!("certifiable = true\n{FIRST}");
        assert_eq!(task_name(&text).unwrap(), "addition-ibp");
        let error = RunConfig::<TestTask>::from_toml(&text).unwrap_err();
        assert!(error.contains("addition-ibp"), "{error}");
    }

    #[test]
    fn what_never_was_is_named() {
        let refused = |text: &str| RunConfig::<TestTask>::from_toml(text).unwrap_err();
        assert!(refused(&format!("{FIRST}hiden = 3\n")).contains("`hiden`"));
        assert!(refused(&FIRST.replace("bits = 8", "bits = 65")).contains("65"));
    }

    #[test]
    fn the_largest_seed_is_read_from_both_kinds_of_files() {
        let seed = u64::MAX.to_string();
        let old = FIRST.replace("seed = 0", &format!("seed = {seed}"));
        let found = RunConfig::<TestTask>::from_toml(&old).unwrap();
        assert_eq!(found.run.seed, u64::MAX);
        assert_eq!(RunConfig::from_toml(&found.to_toml()), Ok(found));
    }
}
