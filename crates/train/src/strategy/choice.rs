//! What measurement found best: which strategy, which K, and what is synchronised early.
//!
//! `cargo xtask bench hogwild` measures it, and the constants here are what it found.

use crate::config::{RunConfig, Strategy};
use crate::task::Task;
use model::{Config, Role};

/// What `cargo xtask bench hogwild` found best for the sizes of `config`, a network `model`, with
/// up to `threads` workers.
///
/// Serial where the whole training takes less than `WORTH_SHARING`: starting and
/// meeting would eat what a second worker gains, and the bits stay the same. Above,
/// Hogwild! was the fastest to every loss that was tried.
pub fn fastest<T: Task>(config: &RunConfig<T>, model: Config, threads: usize) -> Strategy {
    let work = example_work(config, model) * config.run.examples as f64;
    if threads > 1 && work >= WORTH_SHARING { Strategy::Hogwild } else { Strategy::Serial }
}

/// K, the examples between two pushes that `cargo xtask bench hogwild` found best for the
/// sizes of `config`, a network `model`, in whole batches: 32 for the lab, 1 for 128 units and
/// 64 bits.
///
/// Pushes take some 5 % of the time then. With a larger K they take less, but a worker
/// computes on older parameters, and the examples to a loss grow as the rate does.
pub fn best_push_every<T: Task>(config: &RunConfig<T>, model: Config) -> u64 {
    let is_large = has_early_sync(config, model) && config.strategy.name != Strategy::Averaging;
    let cost = if is_large { PUSH_WORK_LARGE } else { PUSH_WORK };
    let examples = cost * values(model) / example_work(config, model);
    let examples = (examples.ceil().max(1.0) as u64).next_power_of_two();
    examples.next_multiple_of(config.run.batch.max(1) as u64)
}

/// Does Hogwild! exchange `W_out` in the middle of each batch? Where a batch is so long that two
/// exchanges of it take some 5 % of the time or less, if the optimizer can make its step by
/// itself, and the network is the fused one, without biases.
pub(crate) fn has_early_sync<T: Task>(config: &RunConfig<T>, model: Config) -> bool {
    let head = (model.hidden() * model.outputs()) as f64;
    let lab = Config::lab(model.inputs(), model.hidden(), model.outputs());
    T::IS_BPTT
        && lab.is_ok_and(|lab| lab == model)
        && config.optimizer.has_parts()
        && example_work(config, model) * config.run.batch as f64 >= HEAD_WORK * head
}

/// The weights.
fn values(model: Config) -> f64 {
    let is_weight = |role| matches!(role, Role::Input | Role::Recurrent | Role::Head);
    let tensors = model.tensors();
    let weights = tensors.iter().filter(|tensor| is_weight(tensor.role()));
    weights.map(|tensor| (tensor.rows() * tensor.columns()) as f64).sum()
}

/// Multiply-adds of an example, forward, back and for the gradient; and the latency of its T
/// steps, which is what a small example costs.
fn example_work<T: Task>(config: &RunConfig<T>, model: Config) -> f64 {
    config.task.steps() as f64 * (3.0 * values(model) + STEP_WORK)
}

/// What a step of an example costs beside its multiply-adds, in these: 420 ns for the lab's 8
/// steps of 912.
const STEP_WORK: f64 = 700.0;
/// What the exchange of a value costs beside others who push, in multiply-adds, over the share
/// of 5 % that it may take.
const PUSH_WORK: f64 = 800.0;
/// The same, where a push is hundreds of lines, which travel side by side, and seldom meet others.
const PUSH_WORK_LARGE: f64 = 180.0;
/// What the two exchanges of a value of `W_out` in a batch cost beside others, in multiply-adds,
/// over the share of 5 %: at 16 units and 8 bits, 450 ns for a line, which is nearly an example.
const HEAD_WORK: f64 = 10_000.0;
/// The work of a training from which on a second worker pays: some 20 ms.
const WORTH_SHARING: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Extent, NetworkConfig};
    use crate::optimizer::Clip;
    use crate::task::TestTask;

    fn lab(hidden: usize, bits: u32, batch: usize) -> RunConfig<TestTask> {
        let lab = TestTask::lab();
        let run = Extent { batch, ..lab.run };
        let task = TestTask::new(bits).unwrap();
        RunConfig { task, network: NetworkConfig::lab(hidden), run, ..lab }
    }

    fn model(config: &RunConfig<TestTask>) -> Config {
        config.network.config(&config.task).unwrap()
    }

    #[test]
    fn the_output_layer_is_synchronised_early_where_an_example_is_long() {
        let early = |config: &RunConfig<TestTask>| has_early_sync(config, model(config));
        let short = [(16, 8, 1), (16, 64, 1), (32, 32, 1)];
        assert_eq!(short.map(|(hidden, bits, batch)| early(&lab(hidden, bits, batch))), [false; 3]);
        let long = [(128, 64, 1), (64, 64, 1), (16, 8, 64)];
        assert_eq!(long.map(|(hidden, bits, batch)| early(&lab(hidden, bits, batch))), [true; 3]);
        let large = lab(128, 64, 1);
        let mut clipped = large.clone();
        clipped.optimizer.clip = Clip::Norm(1.0);
        let mut biased = large.clone();
        biased.network.bias = true;
        assert!(!early(&clipped) && !early(&biased));
        let mut averaging = large.clone();
        averaging.strategy.name = Strategy::Averaging;
        assert_eq!(
            [averaging, large].map(|config| best_push_every(&config, model(&config))),
            [8, 1]
        );
    }

    #[test]
    fn small_work_is_serial_and_large_work_is_shared() {
        let small = lab(16, 8, 1);
        let long = RunConfig { run: Extent { examples: 10_000_000, ..small.run }, ..small.clone() };
        let large = lab(128, 64, 1);
        let chosen =
            |config: &RunConfig<TestTask>, threads| fastest(config, model(config), threads);
        assert_eq!(chosen(&small, 2), Strategy::Serial);
        assert_eq!(chosen(&long, 2), Strategy::Hogwild);
        assert_eq!(chosen(&large, 2), Strategy::Hogwild);
        assert_eq!(chosen(&large, 1), Strategy::Serial);
    }
}
