//! How long does it remember? The lab's networks on carry chains far longer than the sums that they
//! were trained on, beside how many are proved right at any length.

use crate::chain::Chains;
use crate::proof::{is_examined, proof};
use crate::recipe::{Recipe, trained};
use crate::settings::{Settings, Watch};
use crate::share::Share;
use crate::trials::{by_kind, each};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use train::config::NetworkConfig;

/// Steps that a digit has to be remembered for.
pub const LENGTHS: [usize; 12] = [1, 2, 4, 6, 8, 16, 32, 64, 128, 256, 512, 1_024];
/// Sums of each length that a network is asked.
pub const SUMS: usize = 32;
/// H
pub const HIDDEN: usize = 16;
/// Examples: the lab's, and ten times as many.
pub const EXAMPLES: [u64; 2] = [10_000, 100_000];

/// What became of the networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LongChains {
    /// One for each of [`EXAMPLES`].
    pub trainings: Vec<Training>,
}

/// Networks that were trained equally long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    /// Examples that they were trained on.
    pub examples: u64,
    /// For each of [`LENGTHS`]: how many networks have all sums right that were tried.
    pub right: Vec<Share>,
    /// How many of those examined are proved right at any length.
    pub proved: Share,
}

/// Of one network: whether all sums of each length are right, and whether it is proved right, if it
/// was examined.
type Found = ([bool; LENGTHS.len()], Option<bool>);

/// Seeds of each training, and how many of them are examined for a proof.
fn seeds(settings: &Settings) -> (usize, usize) {
    (settings.count(100, 12), settings.count(7, 1))
}

/// How many networks the study trains.
pub(crate) fn networks(settings: &Settings) -> usize {
    EXAMPLES.len() * seeds(settings).0
}

/// Makes the study.
pub fn chains(settings: &Settings, watch: Watch<'_>) -> LongChains {
    let results = each(networks(settings), watch, |number| {
        let (seed, training) = (number / EXAMPLES.len(), number % EXAMPLES.len());
        let mut config =
            Recipe::Lab.config(NetworkConfig::lab(HIDDEN), settings.seed_of(seed as u64));
        config.run.examples = EXAMPLES[training];
        let parameters = trained(&config);
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(settings.seed);
        let right = LENGTHS.map(|length| {
            let chains = Chains::new(length, SUMS, &mut generator);
            parameters.as_ref().is_some_and(|network| chains.right(network) == SUMS)
        });
        let proved = is_examined(seed, seeds(settings))
            .then(|| parameters.is_some_and(|network| proof(&network).is_some()));
        (right, proved)
    });
    let trainings = by_kind(EXAMPLES.len(), results).into_iter().zip(EXAMPLES);
    let training = |(results, examples): (Vec<Found>, u64)| {
        let right = |n: usize| Share::of(results.iter().map(|(right, _)| right[n]));
        Training {
            examples,
            right: (0..LENGTHS.len()).map(right).collect(),
            proved: Share::of(results.iter().filter_map(|(_, proved)| *proved)),
        }
    };
    LongChains { trainings: trainings.map(training).collect() }
}

impl LongChains {
    /// What came out.
    pub fn sentence(&self) -> String {
        let [lab, long] = &self.trainings[..] else { unreachable!("two trainings") };
        let last = LENGTHS.len() - 1;
        let six = LENGTHS.iter().position(|&length| length == 6).expect("one of the lengths");
        format!(
            "Trained on sums of 8 digits, {} networks remember a carry for 6 steps and {} for {} \
             steps, after ten times the examples {}; of those examined are proved right at any length \
             {}, and after ten times the examples {}.",
            lab.right[six],
            lab.right[last],
            train::text::thousands(LENGTHS[last] as u64),
            long.right[last],
            lab.proved,
            long.proved
        )
    }
}
