//! Words of a machine as a task: the output of each symbol, from all symbols up to it.
//!
//! ```text
//! inputs    [T, B, I]   what is shown of each symbol; only words that can come
//! targets   [T, B, 1]   the number of the output
//! loss      −(1/T) Σ_t ln P(output): nats a symbol
//! ```
//!
//! One word in two is drawn uniformly, step by step, from what can come. The other wanders: it goes
//! from one transition, drawn uniformly from all that can still be reached, to the next, mostly on a
//! shortest way. So transitions that chance rarely finds (a lock that opens) are trained on, too.

use super::score::{WordsRight, evaluate};
use super::{Definition, Machine, below};
use crate::Error;
use crate::batch::{Batch, Inputs, Targets};
use crate::config::{Extent, NetworkConfig, RanksConfig, RunConfig, StrategyConfig};
use crate::metrics::Totals;
use crate::optimizer::{Moments, OptimizerConfig, Rule, Schedule};
use crate::task::{Source, Task};
use model::loss::{Terms, softmax_cross_entropy};
use model::{Cell, Head, HeadActivation, HeadSteps, Parameters};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// The words of a machine, of T symbols each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Words {
    machine: Arc<Machine>,
    steps: usize,
    ways: Arc<Ways>,
}

/// As the table `[task]` says it: the machine whole, so that a run needs no file beside it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    length: usize,
    machine: Definition,
}

impl TryFrom<Fields> for Words {
    type Error = Error;

    fn try_from(Fields { length, machine }: Fields) -> Result<Self, Error> {
        let machine = Machine::new(machine);
        let machine = machine.map_err(|error| Error::Task(format!("the machine {error}")))?;
        Self::new(machine, length)
    }
}

impl From<Words> for Fields {
    fn from(Words { machine, steps, .. }: Words) -> Self {
        Self { length: steps, machine: machine.definition().clone() }
    }
}

impl PartialEq for Words {
    /// All else follows from the machine.
    fn eq(&self, other: &Self) -> bool {
        (&self.machine, self.steps) == (&other.machine, other.steps)
    }
}

/// T, if nobody says another.
pub const LENGTH: usize = 24;
const MOST_LENGTH: usize = 65_536;

impl Words {
    /// Words of `steps` (T) symbols.
    ///
    /// # Errors
    /// If `steps` is not 1 to 65,536.
    pub fn new(machine: Machine, steps: usize) -> Result<Self, Error> {
        if !(1..=MOST_LENGTH).contains(&steps) {
            return Err(Error::Task(format!(
                "words of {steps} symbols cannot be trained on; give a length of 1 to {MOST_LENGTH}"
            )));
        }
        let ways = Arc::new(Ways::of(&machine));
        Ok(Self { machine: Arc::new(machine), steps, ways })
    }

    /// A training that is likely to go well: a GRU of 16 units, Adam with a cosine schedule, 3,000
    /// updates of 32 words.
    pub fn training(self) -> RunConfig<Self> {
        RunConfig {
            task: self,
            network: NetworkConfig::new(Cell::Gru, 16),
            optimizer: OptimizerConfig {
                schedule: Schedule::Cosine { warmup: 0, steps: UPDATES, floor: 0.01 },
                ..OptimizerConfig::new(0.01, Rule::Adam(ADAM))
            },
            strategy: StrategyConfig::SERIAL,
            run: Extent::new(UPDATES * BATCH as u64, BATCH, 0),
            ranks: RanksConfig::ALONE,
        }
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// A word of `length` symbols as [`Words::sample`] draws them, from a seed of its own.
    pub fn drawn(&self, length: usize, seed: u64) -> Vec<usize> {
        let mut word = vec![0; length];
        self.sample(&mut Xoshiro256PlusPlus::seed_from_u64(seed), &mut word);
        word
    }

    /// Writes to `word` inputs that can come one behind the other, from the start on. All
    /// transitions that are reached are visited by and by: see the head of this file.
    pub fn sample(&self, generator: &mut impl Rng, word: &mut [usize]) {
        let machine = &*self.machine;
        let mut goal: Option<(usize, usize)> = None;
        let wanders = generator.next_u64().is_multiple_of(2);
        let mut state = 0;
        for symbol in word {
            if wanders && goal.is_none() {
                goal = self.ways.goal(state, generator);
            }
            let strays = goal.is_some() && generator.next_u64().is_multiple_of(STRAY);
            *symbol = match goal {
                Some((from, input)) if from == state => {
                    goal = None;
                    input
                }
                Some((from, _)) if !strays => self.ways.towards(machine, state, from),
                _ => {
                    let inputs = &self.ways.legal[state];
                    inputs[below(generator, inputs.len() as u64) as usize]
                }
            };
            state = machine.step(state, *symbol).expect("it can come").0;
            // Who strays may come to where there is no way back from.
            goal = goal.filter(|&(from, _)| self.ways.distances[from][state].is_some());
        }
    }

    /// Writes `words`, each of as many symbols, to `batch`.
    ///
    /// # Panics
    /// If a symbol cannot come where it stands, or the words differ in length.
    pub fn encode(&self, words: &[Vec<usize>], batch: &mut Batch) {
        let machine = &*self.machine;
        let steps = words.first().map_or(0, Vec::len);
        assert!(words.iter().all(|word| word.len() == steps), "words of one length");
        let inputs = machine.values(0).len();
        let (x, targets) = batch.values((steps, words.len()), inputs, 1);
        for (n, word) in words.iter().enumerate() {
            let mut state = 0;
            for (t, &symbol) in word.iter().enumerate() {
                let row = t * words.len() + n;
                let next = machine.step(state, symbol);
                let (to, output) = next.expect("a word holds what can come alone");
                x[row * inputs..][..inputs].copy_from_slice(machine.values(symbol));
                targets[row] = output as f32;
                state = to;
            }
        }
    }

    /// The machine's states after each symbol of `batch`, `[T, B]`.
    ///
    /// # Panics
    /// If it holds other words than [`Words::encode`] writes.
    pub fn states(&self, batch: &Batch) -> Vec<u32> {
        let machine = &*self.machine;
        let Inputs::Values(x) = &batch.inputs else {
            panic!("a batch of words holds values");
        };
        let shown: Vec<&[f32]> = (0..machine.inputs().len()).map(|n| machine.values(n)).collect();
        let mut states = vec![0_u32; batch.steps * batch.count];
        for (row, x) in x.chunks_exact(shown[0].len()).enumerate() {
            let symbol = shown.iter().position(|values| *values == x).expect("a symbol");
            let before = row.checked_sub(batch.count).map_or(0, |before| states[before] as usize);
            states[row] = machine.step(before, symbol).expect("it can come").0 as u32;
        }
        states
    }

    /// The output that a row of the network's outputs `[O]` says.
    pub fn said(&self, y: &[f32]) -> usize {
        match y {
            [o] => usize::from(*o > 0.5),
            _ => {
                let mut best = 0;
                for (n, o) in y.iter().enumerate() {
                    if *o > y[best] {
                        best = n;
                    }
                }
                best
            }
        }
    }
}

const UPDATES: u64 = 3_000;
const BATCH: usize = 32;
const ADAM: Moments = Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
/// Who wanders leaves the way at one step in so many.
const STRAY: u64 = 8;

/// What leads where in a machine.
#[derive(Debug)]
struct Ways {
    /// `[states]`: the inputs that can come.
    legal: Vec<Vec<usize>>,
    /// `[to][from]`: steps of the shortest way, none if there is no way.
    distances: Vec<Vec<Option<u32>>>,
    /// All transitions: state and input.
    transitions: Vec<(usize, usize)>,
}

/// So often a transition is drawn again that cannot be reached any more.
const TRIES: usize = 64;

impl Ways {
    fn of(machine: &Machine) -> Self {
        let (states, inputs) = (machine.states().len(), machine.inputs().len());
        let can = |state| (0..inputs).filter(move |&i| machine.step(state, i).is_some()).collect();
        let legal: Vec<Vec<usize>> = (0..states).map(can).collect();
        let mut before = vec![Vec::new(); states];
        for (state, inputs) in legal.iter().enumerate() {
            for &input in inputs {
                let (next, _) = machine.step(state, input).expect("it can come");
                before[next].push(state);
            }
        }
        let distances: Vec<_> = (0..states).map(|to| distances(&before, to)).collect();
        let of = |state: usize| legal[state].iter().map(move |&input| (state, input));
        let transitions = (0..states).flat_map(of).collect();
        Self { legal, distances, transitions }
    }

    /// A transition, uniform out of those that can be reached; none, if too few can.
    fn goal(&self, state: usize, generator: &mut impl Rng) -> Option<(usize, usize)> {
        let all = &self.transitions;
        let mut draw = || all[below(generator, all.len() as u64) as usize];
        let can = |&(from, _): &(usize, usize)| self.distances[from][state].is_some();
        (0..TRIES).map(|_| draw()).find(can)
    }

    /// The first input of a shortest way.
    fn towards(&self, machine: &Machine, state: usize, to: usize) -> usize {
        let distance = |input: &usize| {
            let (next, _) = machine.step(state, *input).expect("it can come");
            self.distances[to][next].unwrap_or(u32::MAX)
        };
        let best = self.legal[state].iter().copied().min_by_key(distance);
        best.expect("something can come in every state")
    }
}

/// `[states]`: the steps to the state `to`; `before` are the states one step before each.
fn distances(before: &[Vec<usize>], to: usize) -> Vec<Option<u32>> {
    let mut distances = vec![None; before.len()];
    distances[to] = Some(0);
    let (mut ring, mut steps) = (vec![to], 0);
    while !ring.is_empty() {
        steps += 1;
        let mut next = Vec::new();
        for state in ring.iter().flat_map(|&state| &before[state]) {
            if distances[*state].is_none() {
                distances[*state] = Some(steps);
                next.push(*state);
            }
        }
        ring = next;
    }
    distances
}

impl Task for Words {
    const NAME: &'static str = "machine";

    type Score = WordsRight;

    fn io(&self) -> (usize, Head) {
        let outputs = self.machine.head_outputs();
        let activation =
            if outputs == 1 { HeadActivation::Sigmoid } else { HeadActivation::Identity };
        let head = Head { outputs, bias: false, steps: HeadSteps::Every, activation };
        (self.machine.values(0).len(), head)
    }

    fn steps(&self) -> usize {
        self.steps
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let mut words = vec![vec![0; self.steps]; source.count];
        words.iter_mut().for_each(|word| self.sample(source.generator, word));
        self.encode(&words, batch);
    }

    /// The mean over the T symbols of a word; the error is the share of symbols said wrongly.
    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        let Targets::Values(targets) = &batch.targets else {
            panic!("a batch of words holds values");
        };
        let outputs = self.machine.head_outputs();
        let sum = if outputs == 1 {
            // The gradient before σ is o − y: see `model::loss::binary_cross_entropy`.
            let rows = y.iter().zip(&**targets).zip(&mut *dy);
            let loss = rows.map(|((&o, &target), dy)| {
                *dy = o - target;
                let p = if target == 1.0 { o } else { 1.0 - o };
                -f64::from(p.max(f32::MIN_POSITIVE)).ln()
            });
            loss.sum()
        } else {
            let classes: Vec<u32> = targets.iter().map(|&target| target as u32).collect();
            let terms = Terms::all(batch.steps, batch.count, outputs);
            let sum = softmax_cross_entropy(&terms, y, &classes, dy);
            f64::from(sum.expect("the numbers of outputs"))
        };
        let mean = 1.0 / batch.steps as f32;
        dy.iter_mut().for_each(|dy| *dy *= mean);
        let rows = y.chunks_exact(outputs).zip(&**targets);
        let wrong = rows.filter(|(y, target)| self.said(y) != **target as usize).count();
        let steps = batch.steps as f64;
        Totals { examples: batch.count as u64, loss: sum / steps, error: wrong as f64 / steps }
    }

    fn describe(&self) -> serde_json::Value {
        let machine = &*self.machine;
        json!({
            "machine": machine.name(),
            "inputs": machine.inputs(),
            "outputs": machine.outputs(),
            "states": machine.states(),
            "length": self.steps,
        })
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> WordsRight {
        evaluate(self, parameters, seed)
    }

    fn in_words(&self, loss: f64) -> String {
        format!("{loss:.4} nats")
    }

    fn aim(&self) -> String {
        format!("do as the machine {} on words of {}", self.machine.name(), self.steps)
    }
}
