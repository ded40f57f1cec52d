//! State or output fed back? Elman's networks, which remember their states, against Jordan's, which
//! remember their outputs: the same units, the same training, and sums in which a digit has to be
//! remembered for ever longer.

use crate::chain::Chains;
use crate::recipe::{Recipe, adds_all, trained};
use crate::settings::{Settings, Watch};
use crate::share::Share;
use crate::trials::{by_kind, each};
use model::Memory as Remembered;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use train::config::NetworkConfig;

/// Steps that a digit has to be remembered for.
pub const LENGTHS: [usize; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16];
/// Sums of each length that a network is asked.
pub const SUMS: usize = 64;
/// H
pub const HIDDEN: usize = 16;

/// What came of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Those that remember their states.
    pub elman: Kind,
    /// Those that remember their outputs.
    pub jordan: Kind,
}

/// Networks of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kind {
    /// How many add all numbers of the length that they are trained on.
    pub learned: Share,
    /// The mean share of sums that a network has right, for each of [`LENGTHS`].
    pub right: Vec<f64>,
}

fn seeds(settings: &Settings) -> usize {
    settings.count(200, 12)
}

/// How many networks the study trains.
pub(crate) fn networks(settings: &Settings) -> usize {
    2 * seeds(settings)
}

/// Makes the study.
pub fn memory(settings: &Settings, watch: Watch<'_>) -> Memory {
    let results = each(networks(settings), watch, |number| {
        let memory = [Remembered::State, Remembered::Output][number % 2];
        let network = NetworkConfig { memory, ..NetworkConfig::lab(HIDDEN) };
        let config = Recipe::Lab.config(network, settings.seed_of(number as u64 / 2));
        let parameters = trained(&config);
        let learned = parameters.as_ref().is_some_and(|network| adds_all(config.task, network));
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(settings.seed);
        let right = LENGTHS.map(|length| {
            let chains = Chains::new(length, SUMS, &mut generator);
            parameters.as_ref().map_or(0, |network| chains.right(network))
        });
        (learned, right)
    });
    let kind = |results: Vec<(bool, [usize; LENGTHS.len()])>| {
        let mean = |n: usize| {
            let right: usize = results.iter().map(|(_, right)| right[n]).sum();
            Share { count: right, of: SUMS * results.len() }.value()
        };
        Kind {
            learned: Share::of(results.iter().map(|(learned, _)| *learned)),
            right: (0..LENGTHS.len()).map(mean).collect(),
        }
    };
    let mut kinds = by_kind(2, results).into_iter().map(kind);
    let mut next = || kinds.next().expect("two kinds");
    Memory { elman: next(), jordan: next() }
}

impl Memory {
    /// What came out.
    pub fn sentence(&self) -> String {
        let percent = |kind: &Kind, length| {
            let place = LENGTHS.iter().position(|&l| l == length).expect("one of the lengths");
            100.0 * kind.right[place]
        };
        format!(
            "With the state fed back {} networks learn to add, with the output fed back {}: when a \
             digit has to be remembered for one step, {:.0} % of the sums are right with the state and \
             {:.0} % with the output, and for seven steps {:.0} % and {:.0} %.",
            self.elman.learned,
            self.jordan.learned,
            percent(&self.elman, 1),
            percent(&self.jordan, 1),
            percent(&self.elman, 7),
            percent(&self.jordan, 7)
        )
    }
}
