//! Which learning rate? The lab's recipe at other rates and sizes: how many networks learn.

use crate::recipe::{Recipe, adds_all, trained};
use crate::settings::{Settings, Watch};
use crate::share::Share;
use crate::trials::{by_kind, each};
use serde::Serialize;
use train::config::NetworkConfig;

/// The learning rates.
pub const RATES: [f32; 9] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
/// H
pub const SIZES: [usize; 7] = [2, 3, 4, 6, 8, 12, 16];

/// What became of the networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// For each of [`SIZES`], for each of [`RATES`]: how many add all numbers of the length that they
    /// are trained on.
    pub learned: Vec<Vec<Share>>,
}

/// How many networks the study trains.
pub(crate) fn networks(settings: &Settings) -> usize {
    RATES.len() * SIZES.len() * settings.count(50, 5)
}

/// Makes the study.
pub fn rates(settings: &Settings, watch: Watch<'_>) -> Rates {
    let cells = RATES.len() * SIZES.len();
    let results = each(networks(settings), watch, |number| {
        let (seed, cell) = (number / cells, number % cells);
        let network = NetworkConfig::lab(SIZES[cell / RATES.len()]);
        let mut config = Recipe::Lab.config(network, settings.seed_of(seed as u64));
        config.optimizer.learning_rate = RATES[cell % RATES.len()];
        trained(&config).is_some_and(|network| adds_all(config.task, &network))
    });
    let shares: Vec<Share> = by_kind(cells, results).into_iter().map(Share::of).collect();
    Rates { learned: shares.chunks(RATES.len()).map(<[Share]>::to_vec).collect() }
}

impl Rates {
    /// What came out.
    pub fn sentence(&self) -> String {
        let size = SIZES.iter().position(|&size| size == 16).expect("the lab's size");
        let row = &self.learned[size];
        let lab = RATES.iter().position(|&rate| rate == 0.1).expect("the lab's rate");
        // the first of those with the largest share
        let best =
            (0..RATES.len()).rev().max_by(|&a, &b| row[a].value().total_cmp(&row[b].value()));
        let best = best.expect("there are rates");
        let best = if best == lab {
            "which is the best".to_owned()
        } else {
            format!("{} at {}, the best", row[best], RATES[best])
        };
        let last = RATES.len() - 1;
        format!(
            "Of networks of 16 units {} learn at the lab's rate of 0.1, {best}, and {} at {}: at too \
             slow a rate 10,000 examples do not suffice, and too fast a one jumps over the goal.",
            row[lab], row[last], RATES[last]
        )
    }
}
