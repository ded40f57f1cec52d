//! How many hidden units suffice? Networks of each size, with biases and without, by two recipes:
//! how many learn, how many of these are proved right, and what the three units of the smallest
//! proved network without biases do.

use crate::biased::Biased;
use crate::proof::{is_examined, proof};
use crate::recipe::{Recipe, adds_all, trained};
use crate::settings::{Settings, Watch};
use crate::share::Share;
use crate::trials::{by_kind, each};
use model::{Network, Parameters, weights};
use serde::Serialize;
use train::config::{NetworkConfig, RunConfig};

/// H
pub const SIZES: [usize; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// What became of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Units {
    /// One for each size, with biases or without, by each recipe.
    pub cells: Vec<Cell>,
    /// The smallest proved network without biases.
    pub three: Vec<Unit>,
}

/// Networks of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// H
    pub hidden: usize,
    /// Whether they have biases.
    pub bias: bool,
    /// How they are trained.
    pub recipe: Recipe,
    /// How many add all numbers of the length that they are trained on.
    pub learned: Share,
    /// How many of those examined are proved right at any length. The others have added a sum
    /// wrongly, or no proof was found.
    pub proved: Share,
}

/// A unit of the three.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unit {
    /// As the README of `certify` calls it.
    pub name: &'static str,
    /// What it computes.
    pub formula: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Its least and largest value after any three pairs, by the carry before the last of these (0, 1) and
    /// by the sum of the two digits of that (0, 1, 2).
    pub values: [[[f32; 2]; 3]; 2],
}

#[derive(Clone, Copy)]
struct Kind {
    hidden: usize,
    bias: bool,
    recipe: Recipe,
}

fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for hidden in SIZES {
        for bias in [false, true] {
            kinds.extend(Recipe::ALL.map(|recipe| Kind { hidden, bias, recipe }));
        }
    }
    kinds
}

/// Seeds of each kind, and how many of them are examined for a proof.
fn seeds(settings: &Settings) -> (usize, usize) {
    (settings.count(200, 10), settings.count(4, 1))
}

/// Sizes whose networks by the tuned recipe are examined.
const EXAMINED: [usize; 7] = [1, 2, 3, 4, 6, 8, 16];

/// How many networks the study trains.
pub(crate) fn networks(settings: &Settings) -> usize {
    kinds().len() * seeds(settings).0
}

/// Makes the study.
pub fn units(settings: &Settings, watch: Watch<'_>) -> Units {
    let (kinds, seeds) = (kinds(), seeds(settings));
    let results = each(networks(settings), watch, |number| {
        let Kind { hidden, bias, recipe } = kinds[number % kinds.len()];
        let seed = number / kinds.len();
        let network = NetworkConfig { bias, ..NetworkConfig::lab(hidden) };
        let config = recipe.config(network, settings.seed_of(seed as u64));
        let network = if bias {
            let RunConfig { task, network, optimizer, strategy, run, ranks } = config;
            let task = Biased { addition: task };
            trained(&RunConfig { task, network, optimizer, strategy, run, ranks })
        } else {
            trained(&config)
        };
        let learned = network.filter(|network| adds_all(config.task, network));
        let is_examined =
            recipe == Recipe::Tuned && EXAMINED.contains(&hidden) && is_examined(seed, seeds);
        let proved =
            is_examined.then(|| learned.as_ref().is_some_and(|network| proof(network).is_some()));
        (learned.is_some(), proved)
    });
    let cells = kinds.iter().zip(by_kind(kinds.len(), results)).map(|(kind, results)| {
        let &Kind { hidden, bias, recipe } = kind;
        let learned = Share::of(results.iter().map(|(learned, _)| *learned));
        let proved = Share::of(results.iter().filter_map(|(_, proved)| *proved));
        Cell { hidden, bias, recipe, learned, proved }
    });
    Units { cells: cells.collect(), three: three() }
}

impl Units {
    /// What came out.
    pub fn sentence(&self) -> String {
        let of = |bias, recipe| {
            self.cells.iter().filter(move |cell| cell.bias == bias && cell.recipe == recipe)
        };
        let fewest = |bias| of(bias, Recipe::Tuned).find(|cell| cell.learned.count > 0);
        let learns = |bias| {
            fewest(bias)
                .map_or("none".to_owned(), |cell| format!("{}, {}", cell.hidden, cell.learned))
        };
        let largest = |bias, recipe| of(bias, recipe).next_back().expect("there are sizes");
        let three = match fewest(false) {
            Some(cell) if cell.hidden <= 3 => "",
            _ => ", as three without biases can be, which no training here finds",
        };
        format!(
            "The fewest units that ever learn by the tuned recipe are, with biases, {}, and without, \
             {}; of networks of 16 units without biases learn {} by the lab's recipe; and of 16 units \
             by the tuned one are {} with biases and {} without proved right at any length{three}.",
            learns(true),
            learns(false),
            largest(false, Recipe::Lab).learned,
            largest(true, Recipe::Tuned).proved,
            largest(false, Recipe::Tuned).proved,
        )
    }
}

/// The three units without biases that are proved right, as `verify` tests them.
const THREE: &[u8] =
    include_bytes!("../../verify/tests/fixtures/certified/three-units-without-biases.safetensors");

/// What each of the three units is, from the README of `certify`.
const UNITS: [[&str; 3]; 3] = [
    ["C", "σ(50·u + 15·C − 22·K − 54·S)", "the carry: is u above it?"],
    ["K", "σ(1.4·u + 6·K)", "nearly a constant, in place of a bias"],
    ["S", "σ(1.2·u + 0.4·C − 1.3·S)", "u, and with a carry a little less"],
];

/// The network, and what its units do after any three pairs of digits.
fn three() -> Vec<Unit> {
    const STEPS: usize = 4;
    let network = NetworkConfig::lab(3);
    let config = network.config(&train::task::Addition::lab().task).expect("three units");
    let parameters: Parameters =
        weights::from_bytes(config, THREE).expect("a file of this repository");
    let mut values = [[[[f32::INFINITY, f32::NEG_INFINITY]; 3]; 2]; 3];
    let mut network = Network::new(config);
    for history in 0..4_usize.pow(STEPS as u32) {
        let pairs: Vec<usize> = (0..STEPS).map(|t| history >> (2 * t) & 3).collect();
        let x: Vec<f32> =
            pairs.iter().flat_map(|pair| [pair >> 1, pair & 1]).map(|d| d as f32).collect();
        network.forward(&parameters, &x, STEPS, 1);
        let mut sums = pairs.iter().map(|pair| (pair >> 1) + (pair & 1));
        let carry =
            sums.clone().take(STEPS - 1).fold(0, |carry, sum| usize::from(sum + carry >= 2));
        let sum = sums.next_back().expect("four pairs");
        for (values, &h) in values.iter_mut().zip(network.hidden(STEPS - 1, 0)) {
            let [low, high] = &mut values[carry][sum];
            (*low, *high) = (low.min(h), high.max(h));
        }
    }
    let units = UNITS.into_iter().zip(values);
    units
        .map(|([name, formula, purpose], values)| Unit { name, formula, purpose, values })
        .collect()
}
