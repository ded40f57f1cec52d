//! The learning rate of a strategy, chosen by trials: the one that reaches the target soonest.
//!
//! ```text
//! for each rate r, scaled to the strategy:  mean time to the last target, over the seeds
//! the rate with the least mean
//! ```
//!
//! A comparison of strategies is fair if each has its rate tuned with the same effort: as many
//! rates, on the same seeds, which are none of those that are measured afterwards.

use crate::Error;
use crate::config::{RunConfig, Strategy};
use crate::task::Task;
use crate::time_to_target::{Goal, HeldOut, time_to_target};
use std::ops::Range;

/// The seeds of the trials: far from those that anybody measures.
pub const TRIAL_SEEDS: Range<u64> = 1_000_000..1_000_004;

/// How much larger than that of a serial training at batch 1 the learning rate of `config` should
/// be for steps of the same length: B, as its gradient is a mean over the batch, or N, as its
/// update is a mean over the replicas. (The linear scaling rule: Goyal et al., *Accurate, Large
/// Minibatch SGD: Training ImageNet in 1 Hour*, 2017.)
pub fn linear_scale<T>(config: &RunConfig<T>) -> f32 {
    match config.strategy.name {
        Strategy::Averaging => config.strategy.threads as f32,
        Strategy::Serial | Strategy::Synchronous | Strategy::Hogwild => config.run.batch as f32,
    }
}

/// The number of trainings that [`choose`] makes for so many `rates`.
pub fn trials(rates: usize) -> u64 {
    if rates > 1 { rates as u64 * (TRIAL_SEEDS.end - TRIAL_SEEDS.start) } else { 0 }
}

/// Of `rates`, which are those of a serial training at batch 1, the one at which a training as
/// `config` says reaches the last target of `goal` soonest, times [`linear_scale`].
///
/// The mean counts, in which a single seed that never arrives is ∞; where that is so for all
/// rates it is the first. One rate alone is taken without a trial. `tried` is called after each, and
/// says whether to go on; where it does not, there is none.
///
/// # Errors
/// If `config` makes no sense, or threads cannot be started.
///
/// # Panics
/// If there are no rates, or the goal has no target.
pub fn choose<T: Task>(
    config: &RunConfig<T>,
    rates: &[f32],
    goal: &Goal,
    held_out: &HeldOut<T>,
    mut tried: impl FnMut() -> bool,
) -> Result<Option<f32>, Error> {
    let scale = linear_scale(config);
    let last = goal.targets.len() - 1;
    let (mut best, mut least) = (rates[0] * scale, f64::INFINITY);
    if rates.len() == 1 {
        return Ok(Some(best));
    }
    for learning_rate in rates.iter().map(|rate| rate * scale) {
        let mut sum = 0.0;
        for seed in TRIAL_SEEDS {
            let mut config = config.clone();
            config.run.seed = seed;
            config.optimizer.learning_rate = learning_rate;
            sum += time_to_target(&config, goal, held_out)?.seconds_to(last);
            if !tried() {
                return Ok(None);
            }
        }
        if sum < least {
            (best, least) = (learning_rate, sum);
        }
    }
    Ok(Some(best))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Extent, StrategyConfig};
    use crate::task::TestTask;

    #[test]
    fn the_rate_that_arrives_is_chosen_and_scaled_to_the_strategy() {
        let goal = Goal { targets: vec![0.3], every: 200, stretch: 2_000 };
        let held_out = HeldOut::new(TestTask::new(8).unwrap(), 100);
        for (strategy, batch, scale) in [
            (Strategy::Serial, 1, 1.0),
            (Strategy::Synchronous, 4, 4.0),
            (Strategy::Averaging, 1, 2.0),
        ] {
            let threads = if strategy == Strategy::Serial { 1 } else { 2 };
            let strategy_config = StrategyConfig { name: strategy, threads, push_every: 8 };
            let run = Extent::new(8_000, batch, 0);
            let config = RunConfig { strategy: strategy_config, run, ..TestTask::lab() };
            assert_eq!(linear_scale(&config), scale);
            let mut count = 0;
            let rate = choose(&config, &[1e-6, 0.5, 1e-5], &goal, &held_out, || {
                count += 1;
                true
            });
            assert_eq!(rate.unwrap(), Some(0.5 * scale), "{strategy:?}");
            assert_eq!(count, trials(3));
        }
    }

    #[test]
    fn one_rate_is_taken_without_a_trial_and_the_first_where_none_arrives() {
        let held_out = HeldOut::new(TestTask::new(8).unwrap(), 10);
        let goal = Goal { targets: vec![0.0], every: 100, stretch: 100 };
        let mut config = TestTask::lab();
        config.run.examples = 100;
        let choose = |rates: &[f32]| {
            let mut count = 0;
            let tried = || {
                count += 1;
                true
            };
            let rate = choose(&config, rates, &goal, &held_out, tried).unwrap();
            assert_eq!(count, trials(rates.len()));
            rate
        };
        assert_eq!(choose(&[0.3]), Some(0.3));
        assert_eq!(choose(&[0.2, 0.1]), Some(0.2));
    }

    #[test]
    fn there_is_no_rate_where_the_trials_are_not_gone_on_with() {
        let held_out = HeldOut::new(TestTask::new(8).unwrap(), 10);
        let goal = Goal { targets: vec![0.0], every: 100, stretch: 100 };
        let mut config = TestTask::lab();
        config.run.examples = 100;
        let mut count = 0;
        let tried = || {
            count += 1;
            count < 3
        };
        assert_eq!(choose(&config, &[0.2, 0.1], &goal, &held_out, tried).unwrap(), None);
        assert_eq!(count, 3);
    }
}
