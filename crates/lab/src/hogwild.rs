//! Does Hogwild! cost accuracy? The lab's recipe by one worker, and by two that meet in three ways:
//! the loss at the end, and the examples until it is low.
//!
//! Two workers of Hogwild! never do the same twice: its numbers, alone of all, differ from run to
//! run. Each of its trainings has the machine to itself; the others run side by side.

use crate::recipe::{BITS, Recipe, adds_all};
use crate::settings::{Settings, Watch};
use crate::share::Share;
use crate::trials::each;
use serde::{Deserialize, Serialize};
use train::config::{NetworkConfig, RunConfig, Strategy, StrategyConfig};
use train::statistics::{median, quantile};
use train::task::Addition;
use train::time_to_target::HeldOut;
use train::trainer::Trainer;

/// H
pub const HIDDEN: usize = 16;
/// The loss of an example, `½ Σ (y − o)²`, that a training is timed to.
pub const TARGET: f64 = 0.1;
/// Examples between two looks at the loss.
pub const EVERY: u64 = 250;
/// Held-out examples by which the loss is measured.
const HELD_OUT: usize = 256;

/// What came of the strategies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strategies {
    /// In the order of [`Strategy::ALL`].
    pub strategies: Vec<Outcomes>,
}

/// The trainings by one strategy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcomes {
    /// Which.
    pub strategy: Strategy,
    /// In a sentence.
    pub setting: &'static str,
    /// The held-out loss at the end, of each network.
    pub losses: Vec<f64>,
    /// Examples until the loss was below [`TARGET`], of each network; none if it never was.
    pub examples: Vec<Option<u64>>,
    /// How many add all numbers of the length that they are trained on.
    pub learned: Share,
}

/// What is left of one training.
#[derive(Serialize, Deserialize)]
struct Outcome {
    loss: f64,
    examples: Option<u64>,
    learned: bool,
}

fn seeds(settings: &Settings) -> usize {
    settings.count(200, 12)
}

/// How many networks the study trains.
pub(crate) fn networks(settings: &Settings) -> usize {
    Strategy::ALL.len() * seeds(settings)
}

/// Two workers; their gradients, or their networks, are averaged by all but Hogwild!. The rate
/// makes up for that.
fn config(strategy: Strategy, seed: u64) -> RunConfig<Addition> {
    let mut config = Recipe::Lab.config(NetworkConfig::lab(HIDDEN), seed);
    let (threads, push_every, batch, factor) = match strategy {
        Strategy::Serial => (1, 1, 1, 1.0),
        Strategy::Synchronous => (2, 1, 2, 2.0),
        Strategy::Hogwild => (2, 16, 1, 1.0),
        Strategy::Averaging => (2, 16, 1, 2.0),
    };
    config.strategy = StrategyConfig { name: strategy, threads, push_every };
    config.run.batch = batch;
    config.optimizer.learning_rate *= factor;
    config
}

fn setting(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Serial => "one worker, rate 0.1",
        Strategy::Synchronous => "two workers, an example each, rate 0.2",
        Strategy::Hogwild => "two workers, shared parameters, a push every 16 examples, rate 0.1",
        Strategy::Averaging => "two workers, an average every 16 examples, rate 0.2",
    }
}

fn train(config: &RunConfig<Addition>, held_out: &HeldOut<Addition>) -> Outcome {
    let mut trainer = Trainer::new(config).expect("a study's configuration makes sense");
    let (mut done, mut reached) = (0, None);
    let mut loss = f64::INFINITY;
    while done < config.run.examples {
        done += trainer.train(EVERY.min(config.run.examples - done)).examples;
        loss = held_out.loss(trainer.parameters());
        if loss < TARGET {
            reached.get_or_insert(done);
        }
    }
    let learned = trainer.is_finite() && adds_all(config.task, trainer.parameters());
    Outcome { loss, examples: reached, learned }
}

/// Makes the study.
pub fn hogwild(settings: &Settings, watch: Watch<'_>) -> Strategies {
    let held_out = HeldOut::new(Addition::new(BITS).expect("1 to 64 bits"), HELD_OUT);
    let seeds = seeds(settings);
    let strategies = Strategy::ALL.map(|strategy| {
        let one = |n: usize| train(&config(strategy, settings.seed_of(n as u64)), &held_out);
        let outcomes: Vec<Outcome> = if strategy == Strategy::Serial {
            each(seeds, watch, one).into_iter().flatten().collect()
        } else {
            // Their workers have threads of their own.
            let count = if watch.is_helper() { 0 } else { seeds };
            let alone = (0..count).take_while(|_| !(watch.is_stopped)());
            alone.map(one).inspect(|_| (watch.done)()).collect()
        };
        Outcomes {
            strategy,
            setting: setting(strategy),
            losses: outcomes.iter().map(|outcome| outcome.loss).collect(),
            examples: outcomes.iter().map(|outcome| outcome.examples).collect(),
            learned: Share::of(outcomes.iter().map(|outcome| outcome.learned)),
        }
    });
    Strategies { strategies: strategies.into() }
}

impl Outcomes {
    /// The median of the losses, and their quartiles; none of no network.
    pub fn loss(&self) -> Option<[f64; 3]> {
        quartiles(&self.losses)
    }

    /// The same of the examples to the target; ∞ where so many never reached it.
    pub fn examples_to_target(&self) -> Option<[f64; 3]> {
        let examples = |reached: &Option<u64>| reached.map_or(f64::INFINITY, |n| n as f64);
        quartiles(&self.examples.iter().map(examples).collect::<Vec<_>>())
    }
}

/// The first, the median, the third.
fn quartiles(values: &[f64]) -> Option<[f64; 3]> {
    (!values.is_empty()).then(|| [quantile(values, 0.25), median(values), quantile(values, 0.75)])
}

impl Strategies {
    /// What came out.
    pub fn sentence(&self) -> String {
        let of = |outcomes: &Outcomes| {
            let [_, loss, _] = outcomes.loss()?;
            Some(format!("{} {loss:.4} ({} learn)", outcomes.strategy.name(), outcomes.learned))
        };
        let all: Vec<String> = self.strategies.iter().filter_map(of).collect();
        format!("The median loss after 10,000 examples: {}.", all.join(", "))
    }
}
