//! Why not feed-forward? A network that is shown all digits at once, and one that is shown the last
//! few, against the recurrent one, with digits that were never anything but 0 in training, and with
//! numbers longer than those of training.

use crate::feed_forward::{FeedForward, WIDTH};
use crate::narrow::Narrow;
use crate::recipe::{BITS, Judge, trained};
use crate::settings::{Settings, Watch};
use crate::share::Share;
use crate::trials::{by_kind, each};
use model::{Memory, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use train::config::{Extent, NetworkConfig, RanksConfig, RunConfig, StrategyConfig};
use train::optimizer::{OptimizerConfig, Rule};
use train::task::{Addition, Pair};

/// The digits of operands in the first half of the study: the higher ones are 0 in training.
pub const LOW: u32 = 4;
/// The digits of a sum that the networks are asked for in the second half.
pub const LENGTHS: [u32; 9] = [8, 9, 10, 12, 16, 24, 32, 48, 64];
/// Sums of each length that a network is asked.
pub const SUMS: usize = 200;
/// The digits that a window network sees.
pub const WINDOW: usize = 4;
/// H of the network that sees all digits, which needs more than the others.
pub const WIDE: usize = 64;
/// H of the others.
pub const HIDDEN: usize = 16;

/// What came of the networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    /// One for each kind.
    pub kinds: Vec<Kind>,
}

/// Networks of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kind {
    /// What it sees.
    pub sees: Sees,
    /// `[BITS]`: trained on operands below 2^[`LOW`], and asked for all: the mean share of networks' sums
    /// in which the digit at each position is right.
    pub positions: Vec<f64>,
    /// So trained: how many networks have at least 99 % of all sums right.
    pub transferred: Share,
    /// For each of [`LENGTHS`], trained on sums of [`BITS`] digits: the mean share of sums that are
    /// right; none where a network has no inputs for them.
    pub lengths: Vec<Option<f64>>,
    /// So trained: how many have at least 99 % of the longest sums right.
    pub longest: Share,
}

/// What a network sees when it says a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sees {
    /// All digits at once; it says all digits of the sum.
    AllDigits,
    /// The last [`WINDOW`] digits.
    LastDigits,
    /// One digit, and its own state.
    OneDigitAndState,
}

impl Sees {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::AllDigits, Self::LastDigits, Self::OneDigitAndState];

    /// In a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllDigits => "feed-forward, all digits",
            Self::LastDigits => "feed-forward, the last 4 digits",
            Self::OneDigitAndState => "recurrent",
        }
    }
}

/// What is kept of one network.
#[derive(Serialize, Deserialize)]
enum Found {
    /// Right digits at each position, and right sums, of all sums of [`BITS`] digits.
    Positions([u64; BITS as usize], u64),
    /// Right sums of each length.
    Lengths([Option<usize>; LENGTHS.len()]),
}

/// Those that are always asked: what stands in a quick study, too.
fn seeds(settings: &Settings) -> usize {
    settings.count(50, 5)
}

/// How many networks the study trains.
pub(crate) fn networks(settings: &Settings) -> usize {
    2 * Sees::ALL.len() * seeds(settings)
}

/// Trains a network on sums of operands of `digits` digits.
fn train(sees: Sees, digits: u32, seed: u64) -> Option<Parameters> {
    let strategy = StrategyConfig::SERIAL;
    match sees {
        Sees::AllDigits => trained(&RunConfig {
            task: FeedForward { digits },
            network: NetworkConfig { bias: true, ..NetworkConfig::lab(WIDE) },
            optimizer: OptimizerConfig::new(0.01, Rule::ADAM),
            strategy,
            run: Extent::new(200_000, 32, seed),
            ranks: RanksConfig::ALONE,
        }),
        Sees::LastDigits | Sees::OneDigitAndState => {
            let memory =
                if sees == Sees::LastDigits { Memory::Window(WINDOW) } else { Memory::State };
            trained(&RunConfig {
                task: Narrow { digits },
                network: NetworkConfig { memory, ..NetworkConfig::lab(HIDDEN) },
                optimizer: OptimizerConfig::new(0.03, Rule::ADAM),
                strategy,
                run: Extent::new(64_000, 32, seed),
                ranks: RanksConfig::ALONE,
            })
        }
    }
}

/// The sums that a network says to `pairs`.
fn sums(sees: Sees, bits: u32, parameters: &Parameters, pairs: &[Pair]) -> Vec<u64> {
    if sees == Sees::AllDigits {
        return FeedForward::sums(parameters, pairs);
    }
    let task = Addition::new(bits).expect("1 to 64 bits");
    Judge::new(task, parameters).sums(pairs).collect()
}

fn find(sees: Sees, asks_length: bool, seed: u64) -> Found {
    let task = Addition::new(BITS).expect("1 to 64 bits");
    if asks_length {
        let network = train(sees, WIDTH, seed);
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        generator.long_jump();
        return Found::Lengths(LENGTHS.map(|bits| {
            let task = Addition::new(bits).expect("1 to 64 bits");
            let pairs: Vec<Pair> = (0..SUMS).map(|_| task.sample(&mut generator)).collect();
            let has_inputs = sees != Sees::AllDigits || bits == BITS;
            has_inputs.then(|| {
                network.as_ref().map_or(0, |network| {
                    let sums = sums(sees, bits, network, &pairs);
                    sums.iter().zip(&pairs).filter(|(sum, pair)| **sum == pair.sum()).count()
                })
            })
        }));
    }
    let (mut digits, mut right) = ([0; BITS as usize], 0);
    if let Some(network) = train(sees, LOW, seed) {
        for a in 0..task.operands() {
            let pairs: Vec<Pair> = (0..task.operands()).map(|b| Pair { a, b }).collect();
            for (sum, pair) in sums(sees, BITS, &network, &pairs).into_iter().zip(&pairs) {
                let wrong = sum ^ pair.sum();
                right += u64::from(wrong == 0);
                for (t, digits) in digits.iter_mut().enumerate() {
                    *digits += 1 - (wrong >> t & 1);
                }
            }
        }
    }
    Found::Positions(digits, right)
}

/// Makes the study.
pub fn window(settings: &Settings, watch: Watch<'_>) -> Window {
    let kinds = 2 * Sees::ALL.len();
    let results = each(networks(settings), watch, |number| {
        let (seed, kind) = (number / kinds, number % kinds);
        find(Sees::ALL[kind / 2], kind % 2 == 1, settings.seed_of(seed as u64))
    });
    let mut results = by_kind(kinds, results).into_iter();
    let kinds = Sees::ALL.map(|sees| {
        let mut next = || results.next().expect("two halves of each kind");
        let (low, long) = (next(), next());
        kind(sees, low, long)
    });
    Window { kinds: kinds.into() }
}

fn kind(sees: Sees, low: Vec<Found>, long: Vec<Found>) -> Kind {
    let all = (1_u64 << (BITS - 1)).pow(2);
    let (mut digits, mut transferred) = ([0; BITS as usize], Vec::new());
    let (mut lengths, mut longest) = ([None; LENGTHS.len()], Vec::new());
    let (of_digits, of_lengths) = (low.len() as f64 * all as f64, (long.len() * SUMS) as f64);
    for found in low.into_iter().chain(long) {
        match found {
            Found::Positions(right, sums) => {
                digits.iter_mut().zip(right).for_each(|(sum, right)| *sum += right);
                transferred.push(sums as f64 >= 0.99 * all as f64);
            }
            Found::Lengths(right) => {
                for (sum, right) in lengths.iter_mut().zip(right) {
                    *sum = right.map(|right| sum.unwrap_or(0) + right);
                }
                let right = right[LENGTHS.len() - 1].unwrap_or(0);
                longest.push(right as f64 >= 0.99 * SUMS as f64);
            }
        }
    }
    let share = |right: f64, of: f64| if of > 0.0 { right / of } else { 0.0 };
    Kind {
        sees,
        positions: digits.iter().map(|&right| share(right as f64, of_digits)).collect(),
        transferred: Share::of(transferred),
        lengths: lengths.map(|right| right.map(|n| share(n as f64, of_lengths))).to_vec(),
        longest: Share::of(longest),
    }
}

impl Window {
    /// What came out.
    pub fn sentence(&self) -> String {
        let [all, last, recurrent] = &self.kinds[..] else { unreachable!("three kinds") };
        format!(
            "Trained where the high digits are always 0, {} recurrent networks add numbers that use \
             them, of feed-forward networks over all digits {}; trained on sums of 8 digits, {} \
             recurrent networks add 64, of those that see the last {WINDOW} digits {}, and those \
             over all digits have no inputs for them.",
            recurrent.transferred, all.transferred, recurrent.longest, last.longest
        )
    }
}
