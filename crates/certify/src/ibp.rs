//! Training for a proof by interval bound propagation (IBP): on intervals of states instead of
//! states.
//!
//! A state is known up to a radius; after each step the radius grows by ε; the loss is that
//! of the worst output the interval allows. So the network learns to add and to contract:
//! what is left of the radius after a few steps is what boxes can prove.
//!
//! ```text
//! forward   zc[t] = x[t]·W_in + b + c[t−1]·W_rec     zr[t] = r[t−1]·|W_rec|    c[−1] = r[−1] = 0
//!           lo[t] = σ(zc − zr)   hi[t] = σ(zc + zr)
//!           c[t] = (hi + lo)/2   r[t] = (hi − lo)/2 + ε
//!           worst[t] = c[t]·w_out + b_out − s·r[t]·|w_out|      s = 1 where y is 1, else −1
//!           loss = mean over T of −ln σ(s·worst)
//! backward  d = σ(worst) − y, over T; from loss and next step, dc and dr:
//!           dc += d·w_out   dr −= s·d·|w_out|   dw_out = Σ d·c − s·d·r·sign w_out   db_out = Σ d
//!           dlo = (dc − dr)/2 · lo(1 − lo)      dhi = (dc + dr)/2 · hi(1 − hi)
//!           dzc = dhi + dlo   dzr = dhi − dlo   since zc enters both, and zr with ±
//!           dc[t−1] = dzc·W_recᵀ   dr[t−1] = dzr·|W_rec|ᵀ
//!           dW_rec = Σ c[t−1]ᵀ dzc + (Σ r[t−1]ᵀ dzr) ⊙ sign W_rec      dW_in, db likewise
//! ```
//!
//! It is a task like any other, but for its backward pass: [`Ibp`] is trained by every strategy
//! and optimizer, in jobs and run folders, with checkpoints.
//!
//! Source of the bounds: S. Gowal et al., On the Effectiveness of Interval Bound
//! Propagation for Training Verifiably Robust Models, 2018.

mod auxiliary;
mod gated;
mod intervals;
mod machine;
mod weights;

pub use machine::MachineIbp;

use crate::machine::Transitions;
use model::{Head, Parameters};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use train::batch::Batch;
use train::config::{Extent, NetworkConfig, RanksConfig, RunConfig, StrategyConfig};
use train::metrics::Totals;
use train::optimizer::{OptimizerConfig, Rule};
use train::pass::Pass;
use train::task::{Addition, Progress, Source, Sums, Task};
use verify::Machine;

static ADDITION: LazyLock<Transitions> = LazyLock::new(|| Transitions::new(&Machine::addition()));

/// Addition, learned on intervals: each state is as wide as a proof has to be able to take it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ibp {
    bits: Bits,
    /// ε at the end, reached between 20 % and 70 % of the examples.
    #[serde(default = "Ibp::epsilon")]
    epsilon: f32,
}

/// T, checked as that of additions is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Bits(Addition);

impl TryFrom<u32> for Bits {
    type Error = train::Error;

    fn try_from(bits: u32) -> Result<Self, train::Error> {
        Addition::new(bits).map(Self)
    }
}

impl From<Bits> for u32 {
    fn from(Bits(addition): Bits) -> Self {
        addition.bits()
    }
}

impl Ibp {
    /// T, the digits of a sequence, where nothing else is asked.
    pub const BITS: u32 = 12;
    /// Examples: 6,000 updates.
    pub const EXAMPLES: u64 = 6_000 * Self::BATCH as u64;
    /// B, the sequences of an update.
    pub const BATCH: usize = 64;
    /// The learning rate of Adam.
    pub const LEARNING_RATE: f32 = 0.01;

    /// Additions of `bits` digits, 1 to 64.
    ///
    /// # Errors
    /// If `bits` is out of that range.
    pub fn new(bits: u32) -> Result<Self, train::Error> {
        Ok(Self { bits: bits.try_into()?, epsilon: Self::epsilon() })
    }

    /// A whole certifiable training of a lab's network of `hidden` units: 12 digits, 6,000
    /// updates of Adam on 64 sequences each.
    pub fn training(hidden: usize, bias: bool, seed: u64) -> RunConfig<Self> {
        RunConfig {
            task: Self::new(Self::BITS).expect("1 to 64 bits"),
            network: NetworkConfig { bias, ..NetworkConfig::lab(hidden) },
            optimizer: OptimizerConfig::new(Self::LEARNING_RATE, Rule::ADAM),
            strategy: StrategyConfig::SERIAL,
            run: Extent::new(Self::EXAMPLES, Self::BATCH, seed),
            ranks: RanksConfig::ALONE,
        }
    }

    fn epsilon() -> f32 {
        0.05
    }

    /// The additions.
    pub fn addition(&self) -> Addition {
        self.bits.0
    }

    /// ε now.
    fn epsilon_at(&self, progress: Progress) -> f32 {
        epsilon_at(self.epsilon, progress)
    }
}

/// ε so far into a training: 0 for a fifth of the examples, then growing, all of it from seven
/// tenths on.
fn epsilon_at(epsilon: f32, progress: Progress) -> f32 {
    let Progress { examples, workers, of, .. } = progress;
    let share = (examples * workers as u64) as f32 / of.max(1) as f32;
    epsilon * ((share - 0.2) / 0.5).clamp(0.0, 1.0)
}

impl Task for Ibp {
    const NAME: &'static str = "addition-ibp";
    const IS_BPTT: bool = false;

    type Score = Sums;

    fn io(&self) -> (usize, Head) {
        self.addition().io()
    }

    fn steps(&self) -> usize {
        self.addition().steps()
    }

    /// New sequences, each with a mix of pairs of its own, so that long carries occur.
    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let Source { generator, count, .. } = source;
        let (x, targets) = batch.values((self.steps(), count), 2, 1);
        for n in 0..count {
            let mix = ADDITION.mix(generator);
            let mut carry = 0;
            for t in 0..self.steps() {
                let pair = ADDITION.draw(carry, &mix, generator).expect("every pair is legal");
                let (next, digit) = ADDITION.step(carry, pair).expect("every pair is legal");
                carry = next;
                let row = t * count + n;
                x[2 * row] = f32::from(pair >> 1);
                x[2 * row + 1] = f32::from(pair & 1);
                targets[row] = digit as f32;
            }
        }
    }

    /// The loss of the outputs, of states and not of intervals: that of additions.
    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        self.addition().loss(batch, y, dy)
    }

    /// The gradient of the worst output's loss; the error is `Σ_t |y − σ(worst)|`.
    fn differentiate(
        &self,
        pass: &mut Pass,
        parameters: &Parameters,
        batch: &Batch,
        progress: Progress,
        gradient: &mut Parameters,
    ) -> Totals {
        let epsilon = self.epsilon_at(progress);
        intervals::differentiate(pass, parameters, batch, epsilon, None, gradient)
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> Sums {
        // All sums of 8 digits, as the lab has them.
        Addition::new(8).expect("1 to 64 bits").evaluate(parameters, seed)
    }

    fn aim(&self) -> String {
        "add, for a proof".to_owned()
    }

    fn header(&self) -> String {
        "worst loss".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Network;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use train::batch::{Inputs, Targets};
    use train::config::Strategy;
    use train::trainer::Trainer;

    /// Without a radius IBP is the backpropagation of the binary cross-entropy.
    #[test]
    fn at_epsilon_0_the_gradient_is_that_of_the_model() {
        for (hidden, bias, seed) in [(1, false, 5), (5, true, 6), (16, false, 7), (17, true, 8)] {
            let task = Ibp::new(6).unwrap();
            let model = Ibp::training(hidden, bias, seed).network.config(&task).unwrap();
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
            let parameters = Parameters::uniform(model, &mut generator);
            let (mut found, mut expected) = (Parameters::zeros(model), Parameters::zeros(model));
            let mut pass = Pass::new(model, generator.clone());
            let mut batch = Batch::default();
            let progress = Progress { examples: 0, of: 100, batch: 1, worker: 0, workers: 1 };
            task.draw(Source { generator: &mut generator, count: 3, progress }, &mut batch);
            task.differentiate(&mut pass, &parameters, &batch, progress, &mut found);

            let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets)
            else {
                panic!("values")
            };
            let mut network = Network::new(model);
            let outputs = network.forward(&parameters, x, 6, 3);
            let dy: Vec<f32> =
                outputs.iter().zip(&targets[..]).map(|(o, y)| (o - y) / 6.0).collect();
            network.backward(&parameters, x, &dy, &mut expected);
            let largest = expected.arena().iter().fold(0.0_f32, |most, g| most.max(g.abs()));
            for (n, (found, expected)) in found.arena().iter().zip(expected.arena()).enumerate() {
                let off = (found - expected).abs();
                assert!(off < 1e-5 * largest, "{hidden} units, {n}: {found} {expected}");
            }
        }
    }

    #[test]
    fn epsilon_grows_between_a_fifth_and_seven_tenths_of_the_examples() {
        let ibp = Ibp::new(12).unwrap();
        let at = |examples, workers| {
            ibp.epsilon_at(Progress { examples, of: 1_000, batch: 1, worker: 0, workers })
        };
        assert_eq!([at(0, 1), at(200, 1), at(700, 1), at(1_000, 1)], [0.0, 0.0, 0.05, 0.05]);
        assert!((at(450, 1) - 0.025).abs() < 1e-6 && (at(225, 2) - 0.025).abs() < 1e-6);
    }

    #[test]
    fn one_worker_of_any_strategy_is_the_serial_one_and_a_state_is_gone_on_from() {
        let short = |name| {
            let mut config = Ibp::training(5, true, 1);
            config.run.examples = 30 * 64;
            config.strategy = StrategyConfig { name, threads: 1, push_every: 1 };
            config
        };
        let mut serial = Trainer::new(&short(Strategy::Serial)).unwrap();
        serial.train(30 * 64);
        for name in Strategy::ALL {
            let config = short(name);
            let mut first = Trainer::new(&config).unwrap();
            first.train(10 * 64);
            let mut second = Trainer::from_state(&config, first.state()).unwrap();
            second.train(20 * 64);
            assert_eq!(second.parameters().arena(), serial.parameters().arena(), "{name:?}");
        }
        let mut two = short(Strategy::Hogwild);
        two.strategy.threads = 2;
        let mut two = Trainer::new(&two).unwrap();
        two.train(30 * 64);
        assert_ne!(two.parameters().arena(), serial.parameters().arena());
        assert!(two.is_finite());
    }
}
