//! What does backpropagation through time add? Gradients that go back from each output no more
//! than k steps, and the examples that a network needs then until it adds everything right.

use crate::recipe::{Recipe, adds_all};
use crate::settings::{Settings, Watch};
use crate::share::Share;
use crate::trials::{by_kind, each};
use crate::truncated::Truncated;
use serde::Serialize;
use train::config::{NetworkConfig, RunConfig};
use train::statistics::{median, quantile};
use train::strategy::Serial;

/// k, the steps that a gradient goes back, the output's own among them; the last is all of them.
pub const STEPS: [usize; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
/// H
pub const HIDDEN: usize = 16;
/// Examples after which a network that has not learned is given up.
pub const MOST: u64 = 20_000;
/// Examples between two looks.
pub const EVERY: u64 = 500;

/// What became of the networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bptt {
    /// One for each of [`STEPS`].
    pub cuts: Vec<Cut>,
}

/// The trainings with gradients cut after k steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cut {
    /// k
    pub steps: usize,
    /// Examples until all sums were right, of each network; none if that took more than [`MOST`].
    pub examples: Vec<Option<u64>>,
    /// How many came that far.
    pub learned: Share,
}

impl Cut {
    /// The first quartile of the examples, the median, the third; ∞ where so many never learned.
    /// None of no network.
    pub fn quartiles(&self) -> Option<[f64; 3]> {
        let examples = |n: &Option<u64>| n.map_or(f64::INFINITY, |n| n as f64);
        let examples: Vec<f64> = self.examples.iter().map(examples).collect();
        let quartiles = |all: &[f64]| [quantile(all, 0.25), median(all), quantile(all, 0.75)];
        (!examples.is_empty()).then(|| quartiles(&examples))
    }
}

/// How many networks the study trains.
pub(crate) fn networks(settings: &Settings) -> usize {
    STEPS.len() * settings.count(100, 10)
}

/// Examples until all sums are right.
fn examples_until_right(steps: usize, seed: u64) -> Option<u64> {
    let RunConfig { task, network, optimizer, strategy, run, ranks } =
        Recipe::Lab.config(NetworkConfig::lab(HIDDEN), seed);
    let config =
        RunConfig { task: Truncated::new(task, steps), network, optimizer, strategy, run, ranks };
    let mut serial = Serial::new(&config).expect("a study's configuration makes sense");
    (EVERY..=MOST).step_by(EVERY as usize).find(|_| {
        serial.train(EVERY);
        adds_all(task, serial.parameters())
    })
}

/// Makes the study.
pub fn bptt(settings: &Settings, watch: Watch<'_>) -> Bptt {
    let results = each(networks(settings), watch, |number| {
        let (seed, cut) = (number / STEPS.len(), number % STEPS.len());
        examples_until_right(STEPS[cut], settings.seed_of(seed as u64))
    });
    let cuts = by_kind(STEPS.len(), results).into_iter().zip(STEPS);
    let cut = |(examples, steps): (Vec<Option<u64>>, usize)| {
        let learned = Share::of(examples.iter().map(Option::is_some));
        Cut { steps, examples, learned }
    };
    Bptt { cuts: cuts.map(cut).collect() }
}

impl Bptt {
    /// What came out.
    pub fn sentence(&self) -> String {
        let of = |steps: usize| {
            let cut = &self.cuts[steps - 1];
            let examples = match cut.quartiles() {
                Some([_, median, _]) if median.is_finite() => {
                    format!("a median of {} examples", train::text::thousands(median as u64))
                }
                _ => "half of them or more do not".to_owned(),
            };
            format!("{} ({examples})", cut.learned)
        };
        format!(
            "Within {} examples learn, with gradients that see the output's own step alone, {}; with \
             two steps {}; with all eight, which is BPTT, {}.",
            train::text::thousands(MOST),
            of(1),
            of(2),
            of(8)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use train::task::{Addition, Task};

    #[test]
    fn with_all_steps_it_is_the_labs_training() {
        let found = examples_until_right(8, 3).unwrap();
        let mut serial = Serial::new(&Recipe::Lab.config(NetworkConfig::lab(HIDDEN), 3)).unwrap();
        let task = Addition::new(8).unwrap();
        for examples in (EVERY..=found).step_by(EVERY as usize) {
            serial.train(EVERY);
            let right = task.evaluate(serial.parameters(), 0);
            assert_eq!(right.correct == right.total, examples == found);
        }
    }
}
