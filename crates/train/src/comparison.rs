//! Strategies beside each other: the time to target of each, with its best learning rate.
//!
//! ```text
//! each contestant (strategy, N, K, B): its learning rate is chosen by trials
//! seed by seed, each contestant in turn: time to target
//! each contestant: medians and quartiles over the seeds, and the gain over the serial strategy
//! ```
//!
//! The contestants take turns within a seed, so that a machine that slows down slows all of them.

use crate::Error;
use crate::config::{Extent, RunConfig, Strategy, StrategyConfig};
use crate::rates::{choose, trials};
use crate::statistics::{median, quantile};
use crate::task::Task;
use crate::time_to_target::{Goal, HeldOut, Outcome, time_to_target};
use serde::Serialize;

/// A way to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Contestant {
    /// Who computes which gradient, and when the workers meet.
    pub strategy: Strategy,
    /// N
    pub threads: usize,
    /// K
    pub push_every: u64,
    /// B
    pub batch: usize,
}

impl Contestant {
    /// One worker, one example an update: what all others are compared with.
    pub const SERIAL: Self =
        Self { strategy: Strategy::Serial, threads: 1, push_every: 1, batch: 1 };

    /// The serial one, and each of `strategies` at each number of `threads`: Hogwild! and averaging
    /// at each K of `push_every`, synchronous training at each B of `batches`.
    pub fn all(
        strategies: &[Strategy],
        threads: &[usize],
        push_every: &[u64],
        batches: &[usize],
    ) -> Vec<Self> {
        let mut all = vec![Self::SERIAL];
        for &threads in threads {
            for &strategy in strategies {
                match strategy {
                    Strategy::Serial => {}
                    Strategy::Synchronous => all.extend(batches.iter().map(|&batch| Self {
                        strategy,
                        threads,
                        push_every: batch as u64,
                        batch,
                    })),
                    Strategy::Hogwild | Strategy::Averaging => {
                        let new = |&push_every| Self { strategy, threads, push_every, batch: 1 };
                        all.extend(push_every.iter().map(new));
                    }
                }
            }
        }
        all
    }

    /// `config`, trained in this way.
    fn configure<T: Task>(self, config: &RunConfig<T>) -> RunConfig<T> {
        let Self { strategy: name, threads, push_every, batch } = self;
        let strategy = StrategyConfig { name, threads, push_every };
        RunConfig { strategy, run: Extent { batch, ..config.run }, ..config.clone() }
    }

    fn name(self) -> String {
        format!("{}, N = {}, K = {}", self.strategy.name(), self.threads, self.push_every)
    }
}

/// What is compared.
#[derive(Clone, Debug)]
pub struct Comparison<'a, T> {
    /// The training, but for what the contestants and seeds differ in.
    pub config: &'a RunConfig<T>,
    /// Who takes part, the serial one first.
    pub contestants: &'a [Contestant],
    /// The learning rates to choose from: those of a serial training at batch 1.
    pub rates: &'a [f32],
    /// The targets. Rates are chosen by the last one.
    pub goal: &'a Goal,
    /// Seeds 0 to this are measured.
    pub seeds: u64,
    /// Where the loss is computed.
    pub held_out: &'a HeldOut<T>,
}

/// How a contestant did.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who it is.
    #[serde(flatten)]
    pub contestant: Contestant,
    /// The one that was chosen.
    pub learning_rate: f32,
    /// Of each seed.
    pub outcomes: Vec<Outcome>,
    /// The median over the seeds.
    pub examples_per_second: f64,
    /// One for each target, the last one last.
    pub targets: Vec<Target>,
}

/// When a contestant reached a target; times in seconds. A median or quartile is none where too
/// many seeds did not reach it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// The held-out loss to fall below.
    pub loss: f64,
    /// Seeds that did.
    pub reached: usize,
    /// Half of the seeds were there by then.
    pub median: Option<f64>,
    /// A quarter of the seeds were.
    pub low: Option<f64>,
    /// Three quarters of the seeds were.
    pub high: Option<f64>,
    /// The median of the serial strategy over this one.
    pub gain: Option<f64>,
    /// Half of the seeds needed no more examples.
    pub median_examples: Option<f64>,
}

impl<T: Task> Comparison<'_, T> {
    /// The number of trainings that [`Comparison::run`] makes.
    pub fn trainings(&self) -> u64 {
        self.contestants.len() as u64 * (trials(self.rates.len()) + self.seeds)
    }

    /// Chooses the rates, trains all, and returns a row for each contestant, in their order.
    /// `trained` is called after each training, with what it belonged to, and says whether to go on.
    ///
    /// Where it does not, there are rows of those contestants whose rate is chosen, with the seeds
    /// that all have trained on. Where these are none, a row has no targets and no examples.
    ///
    /// # Errors
    /// If the configuration makes no sense, or threads cannot be started.
    ///
    /// # Panics
    /// If there are no contestants, rates, targets or seeds.
    pub fn run(&self, mut trained: impl FnMut(&str) -> bool) -> Result<Vec<Row>, Error> {
        let mut configs = Vec::new();
        for &contestant in self.contestants {
            let mut config = contestant.configure(self.config);
            let what = format!("tuning {}", contestant.name());
            let tried = || trained(&what);
            let rate = choose(&config, self.rates, self.goal, self.held_out, tried)?;
            let Some(rate) = rate else { return Ok(self.rows(configs, &[])) };
            config.optimizer.learning_rate = rate;
            configs.push(config);
        }
        // Of each seed, those of all contestants.
        let mut outcomes = Vec::new();
        for seed in 0..self.seeds {
            let what = format!("seed {seed}");
            let mut of_seed = Vec::new();
            let mut goes_on = true;
            for config in &configs {
                if !goes_on {
                    break;
                }
                let run = Extent { seed, ..config.run };
                let config = RunConfig { run, ..config.clone() };
                of_seed.push(time_to_target(&config, self.goal, self.held_out)?);
                goes_on = trained(&what);
            }
            if of_seed.len() == configs.len() {
                outcomes.push(of_seed);
            }
            if !goes_on {
                break;
            }
        }
        Ok(self.rows(configs, &outcomes))
    }

    /// The contestants of `configs`, with the outcomes of each seed.
    fn rows(&self, configs: Vec<RunConfig<T>>, outcomes: &[Vec<Outcome>]) -> Vec<Row> {
        let of = |n: usize| outcomes.iter().map(|seed| seed[n].clone()).collect::<Vec<_>>();
        let row = |(n, (&contestant, config)): (usize, (_, RunConfig<T>))| Row {
            contestant,
            learning_rate: config.optimizer.learning_rate,
            examples_per_second: match of_each(&of(n), Outcome::rate) {
                rates if rates.is_empty() => 0.0,
                rates => median(&rates),
            },
            targets: if outcomes.is_empty() { Vec::new() } else { self.targets(&of(n), &of(0)) },
            outcomes: of(n),
        };
        self.contestants.iter().zip(configs).enumerate().map(row).collect()
    }

    fn targets(&self, outcomes: &[Outcome], serial: &[Outcome]) -> Vec<Target> {
        let target = |(n, &loss)| Target::new(n, loss, outcomes, serial);
        self.goal.targets.iter().enumerate().map(target).collect()
    }
}

impl Row {
    /// The target that rates are chosen by.
    ///
    /// # Panics
    /// If there were no targets.
    pub fn last(&self) -> &Target {
        self.targets.last().expect("a goal has a target")
    }
}

impl Target {
    /// Target `n`, a held-out loss of `loss`.
    fn new(n: usize, loss: f64, outcomes: &[Outcome], serial: &[Outcome]) -> Self {
        let finite = |value: f64| value.is_finite().then_some(value);
        let seconds = |outcomes| of_each(outcomes, |outcome| outcome.seconds_to(n));
        let at = |q| finite(quantile(&seconds(outcomes), q));
        let median_seconds = at(0.5);
        let gain = median_seconds.map(|seconds_here| median(&seconds(serial)) / seconds_here);
        Self {
            loss,
            reached: outcomes.iter().filter(|outcome| outcome.reached[n].is_some()).count(),
            median: median_seconds,
            low: at(0.25),
            high: at(0.75),
            gain: gain.and_then(finite),
            median_examples: finite(median(&of_each(outcomes, |o| o.examples_to(n)))),
        }
    }
}

fn of_each(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> Vec<f64> {
    outcomes.iter().map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TestTask;

    #[test]
    fn the_serial_one_is_first_and_each_strategy_varies_what_it_has() {
        let all = Contestant::all(&Strategy::ALL, &[1, 2], &[1, 8], &[4, 16]);
        assert_eq!(all[0], Contestant::SERIAL);
        assert_eq!(all.len(), 1 + 2 * (2 + 2 + 2));
        let synchronous = all.iter().filter(|c| c.strategy == Strategy::Synchronous);
        assert!(synchronous.clone().all(|c| c.push_every == c.batch as u64));
        assert_eq!(synchronous.map(|c| c.batch).collect::<Vec<_>>(), [4, 16, 4, 16]);
        assert!(all.iter().all(|c| c.strategy == Strategy::Synchronous || c.batch == 1));
        assert_eq!(Contestant::all(&[Strategy::Serial], &[1, 2], &[1], &[4]).len(), 1);
    }

    #[test]
    fn a_target_is_summed_up_over_the_seeds_and_those_that_never_arrive() {
        let outcome = |times: &[Option<f64>]| Outcome {
            reached: times.iter().map(|time| time.map(|s| (s, (100.0 * s) as u64))).collect(),
            seconds: 10.0,
            examples: 1_000,
        };
        let serial: Vec<_> = [2.0, 4.0, 6.0].map(|s| outcome(&[Some(s), None])).to_vec();
        let others: Vec<_> = [Some(1.0), Some(2.0), None].map(|s| outcome(&[s, s])).to_vec();
        let early = Target::new(0, 0.5, &others, &serial);
        let expected = Target {
            loss: 0.5,
            reached: 2,
            median: Some(2.0),
            low: Some(1.5),
            high: None,
            gain: Some(2.0),
            median_examples: Some(200.0),
        };
        assert_eq!(early, expected);
        // Nothing can be said of a gain over a serial training that never arrives.
        let late = Target::new(1, 0.1, &others, &serial);
        assert_eq!((late.median, late.gain), (Some(2.0), None));
        let never = Target::new(1, 0.1, &serial, &serial);
        assert_eq!((never.reached, never.median, never.gain), (0, None, None));
    }

    #[test]
    fn all_are_tuned_and_trained_in_turn_as_often_as_was_said() {
        let mut config = TestTask::lab();
        config.run.examples = 4_000;
        let contestants = Contestant::all(&[Strategy::Hogwild], &[2], &[16], &[]);
        let comparison = Comparison {
            config: &config,
            contestants: &contestants,
            rates: &[0.5, 1e-6],
            goal: &Goal { targets: vec![0.9, 0.5], every: 100, stretch: 2_000 },
            seeds: 2,
            held_out: &HeldOut::new(TestTask::new(8).unwrap(), 100),
        };
        let mut said = Vec::new();
        let run_until = |said: &mut Vec<String>, count: usize| {
            let trained = |what: &str| {
                said.push(what.to_owned());
                said.len() < count
            };
            comparison.run(trained).unwrap()
        };
        let rows = run_until(&mut said, usize::MAX);
        assert_eq!(said.len() as u64, comparison.trainings());
        assert_eq!(said[0], "tuning serial, N = 1, K = 1");
        assert_eq!(said[said.len() - 4..], ["seed 0", "seed 0", "seed 1", "seed 1"]);
        assert_eq!(rows.len(), 2);
        for row in &rows {
            assert_eq!(row.learning_rate, 0.5, "{row:?}");
            assert_eq!((row.outcomes.len(), row.targets.len()), (2, 2));
            assert!(row.last().reached == 2 && row.examples_per_second > 0.0, "{row:?}");
            assert!(row.targets[0].median <= row.last().median, "{row:?}");
        }
        assert_eq!(rows[0].last().gain, Some(1.0));

        // Stopped before both rates are chosen; in a seed; after the last training of one.
        for (count, [contestants, seeds]) in [(9, [1, 0]), (17, [2, 0]), (19, [2, 1]), (18, [2, 1])]
        {
            let mut said = Vec::new();
            let rows = run_until(&mut said, count);
            assert_eq!((said.len(), rows.len()), (count, contestants));
            for row in &rows {
                let targets = if seeds == 0 { 0 } else { 2 };
                assert_eq!((row.outcomes.len(), row.targets.len()), (seeds, targets), "{count}");
                assert_eq!(row.learning_rate, 0.5, "{row:?}");
            }
        }
    }
}
