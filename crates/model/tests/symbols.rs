//! Symbols: what a network says of them is what it says of one-hot rows, forward and backward.

mod sample;

use model::reference::{self, Reference};
use model::{Architecture, Config, Head, Network, Parameters, Sequences, State};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sample::{
    Batch, CELLS, architectures, assert_close, is_near_a_kink, narrow, state_values, time_major,
    widen,
};

/// One comparison: a network, its sequences, what stands around them.
#[derive(Clone, Debug)]
struct Trial {
    config: Config,
    lengths: Vec<usize>,
    /// Steps behind the end of the longest sequence.
    padding: usize,
    /// From states of the caller's.
    starts: bool,
    seed: u64,
}

/// All that a pass gives.
#[derive(Debug)]
struct Given {
    y: Vec<f32>,
    state: State,
    gradient: Parameters,
    start: Option<State>,
}

impl Trial {
    fn new(config: Config, lengths: &[usize]) -> Self {
        Self { config, lengths: lengths.to_vec(), padding: 0, starts: false, seed: 1 }
    }

    fn steps(&self) -> usize {
        self.lengths.iter().max().unwrap() + self.padding
    }

    fn is_uneven(&self) -> bool {
        self.lengths.iter().any(|&length| length != self.steps())
    }

    /// Whether one-hot rows take the fused path of the lab, whose sums run in another order.
    fn is_fused(&self) -> bool {
        let lab = Config::lab(self.config.inputs(), self.config.hidden(), self.config.outputs());
        lab.is_ok_and(|lab| lab == self.config) && !self.is_uneven() && !self.starts
    }

    fn run<'a>(
        &'a self,
        network: &mut Network,
        parameters: &Parameters,
        mut sequences: Sequences<'a>,
        start: &'a State,
        mut gradient: Parameters,
    ) -> Given {
        if self.is_uneven() {
            sequences = sequences.with_lengths(&self.lengths).unwrap();
        }
        if self.starts {
            sequences = sequences.starting_from(start).unwrap();
        }
        let y = network.run(parameters, &sequences).to_vec();
        let state = network.state();
        assert_eq!(Network::new(self.config).infer(parameters, &sequences), y);
        network.run(parameters, &sequences);
        network.backward(parameters, sequences.inputs(), &y, &mut gradient); // of ½ Σ y²
        Given { y, state, gradient, start: network.start_gradient() }
    }

    fn check(&self) {
        let (config, batch, steps) = (self.config, self.lengths.len(), self.steps());
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let parameters = Parameters::initialised(config, &mut generator);
        let weights = Reference::from(&parameters);
        let random = Batch::random(config, &self.lengths, &mut generator);
        let (h, c) = state_values(config, &random.first);
        let start = State::new(config, batch, narrow(&h), narrow(&c)).unwrap();
        // of the many symbols, few occur, and some of them often
        let some: Vec<u32> =
            (0..5).map(|_| generator.random_range(0..config.symbols() as u32)).collect();
        let symbols: Vec<u32> =
            (0..steps * batch).map(|_| some[generator.random_range(0..5)]).collect();
        let rows = || (0..steps * batch).filter(|row| row / batch < self.lengths[row % batch]);

        let mut dirty = Parameters::zeros(config);
        dirty.arena_mut().fill(f32::NAN); // every value must be written
        let of_symbols = Sequences::of_symbols(config, &symbols, steps, batch).unwrap();
        let mut network = Network::new(config);
        let found = self.run(&mut network, &parameters, of_symbols, &start, dirty.clone());
        let mut used: Vec<u32> = rows().map(|row| symbols[row]).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(found.gradient.used_rows(), Some(&used[..]), "{self:?}");

        // computed again, and over the gradient of other symbols: the same bits
        let others: Vec<u32> = symbols.iter().map(|s| config.symbols() as u32 - 1 - s).collect();
        let of_others = Sequences::of_symbols(config, &others, steps, batch).unwrap();
        let before = self.run(&mut network, &parameters, of_others, &start, dirty.clone());
        let mut recomputing = Network::new(config).recompute();
        let again = self.run(&mut recomputing, &parameters, of_symbols, &start, before.gradient);
        assert!(again.y == found.y && again.state == found.state, "{self:?}");
        assert!(again.start == found.start, "{self:?}");
        assert_eq!(again.gradient.arena(), found.gradient.arena(), "{self:?}");

        // one-hot rows
        let inputs = config.inputs();
        if inputs <= 1_000 {
            let mut x = vec![0.0; steps * batch * inputs];
            for (row, &symbol) in x.chunks_exact_mut(inputs).zip(&symbols) {
                row[symbol as usize] = 1.0;
            }
            let of_values = Sequences::new(config, &x, steps, batch).unwrap();
            let mut network = Network::new(config);
            let expected = self.run(&mut network, &parameters, of_values, &start, dirty);
            if self.is_fused() {
                let name = |what: &str| format!("{self:?}: {what}");
                assert_close(&name("y"), &widen(&found.y), &widen(&expected.y), 1e-6);
            } else {
                assert!(found.y == expected.y, "{self:?}: y");
                assert!(found.state == expected.state, "{self:?}: the states");
            }
            self.assert_gradient(&found, &widen(expected.gradient.arena()), |g| {
                widen(g.gradient.arena())
            });
            if let (Some(found), Some(expected)) = (&found.start, &expected.start) {
                let name = format!("{self:?}: the start");
                assert_close(&name, &widen(found.h()), &widen(expected.h()), 1e-5);
                assert_close(&name, &widen(found.c()), &widen(expected.c()), 1e-5);
            }
        }

        // the reference
        let mut gradient = Reference::zeros(config);
        let mut y = vec![];
        for (b, &length) in self.lengths.iter().enumerate() {
            let of_b: Vec<u32> = (0..length).map(|t| symbols[t * batch + b]).collect();
            let mut first = reference::State::zeros(config);
            if self.starts {
                first.clone_from(&random.first[b]);
            }
            let pass = weights.forward_from(&of_b[..], &first, &[]);
            if is_near_a_kink(config, &pass, 1e-5) {
                return; // which side it is, is up to the rounding
            }
            weights.backward(&pass, &pass.y, &mut gradient);
            y.push(pass.y);
        }
        let output_rows = if found.y.len() == batch * config.outputs() { 1 } else { steps };
        let y = time_major(&y, config.outputs(), output_rows);
        assert_close(&format!("{self:?}: y"), &widen(&found.y), &y, 1e-5);
        let expected: Vec<f64> = gradient.values().collect();
        self.assert_gradient(&found, &expected, |found| {
            let tensors = found.gradient.tensors();
            let places = tensors.iter().flat_map(|tensor| tensor.indices());
            places.map(|place| f64::from(found.gradient.arena()[place])).collect()
        });
    }

    fn assert_gradient(
        &self,
        found: &Given,
        expected: &[f64],
        values: impl Fn(&Given) -> Vec<f64>,
    ) {
        // through a ReLU that is off everywhere nothing comes back
        if expected.iter().any(|&g| g != 0.0) {
            assert_close(&format!("{self:?}: the gradient"), &values(found), expected, 2e-5);
        }
    }
}

#[test]
fn symbols_are_one_hot_rows_for_every_cell_layer_and_direction() {
    for cell in CELLS {
        for (layers, bidirectional, hidden) in
            [(1, false, 16), (1, true, 5), (2, false, 33), (2, true, 16)]
        {
            let head = Some(Head::linear(3)).filter(|_| hidden != 16);
            let architecture =
                Architecture { layers, bidirectional, head, ..Architecture::new(cell, 9, hidden) };
            let config = Config::new(architecture).unwrap();
            for lengths in [&[7][..], &[4, 1, 4], &[3; 9], &[400, 3]] {
                let trial = Trial::new(config, lengths);
                trial.check();
                Trial { starts: true, padding: 2, ..trial }.check();
            }
        }
    }
}

#[test]
fn the_labs_network_takes_symbols() {
    for (steps, batch) in [(1, 1), (8, 1), (300, 1), (8, 7), (8, 64)] {
        Trial::new(Config::lab(6, 16, 2).unwrap(), &vec![steps; batch]).check();
    }
}

#[test]
fn there_may_be_as_many_symbols_as_sixteen_bits_say() {
    for cell in CELLS {
        let architecture =
            Architecture { head: Some(Head::linear(2)), ..Architecture::new(cell, 1 << 16, 4) };
        let trial = Trial::new(Config::new(architecture).unwrap(), &[5, 2, 3]);
        trial.check();
    }
}

#[test]
fn the_stretches_in_use_are_all_but_the_rows_that_no_symbol_selects() {
    let cells = CELLS.map(|cell| Architecture::new(cell, 6, 5));
    for architecture in cells.map(|a| Architecture { bidirectional: a.cell == CELLS[3], ..a }) {
        let config = Config::new(architecture).unwrap();
        let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(0));
        for symbols in [&[][..], &[0], &[5], &[2, 3], &[0, 2, 5, 2], &[5, 4, 3, 2, 1, 0]] {
            let mut gradient = Parameters::zeros(config);
            gradient.arena_mut().fill(1.0);
            let mut network = Network::new(config);
            let sequences = Sequences::of_symbols(config, symbols, symbols.len(), 1).unwrap();
            let y = network.run(&parameters, &sequences).to_vec();
            network.backward(&parameters, symbols, &y, &mut gradient);

            let mut is_used = vec![true; gradient.arena().len()];
            for weight in gradient.tensors().iter().filter(|t| t.name().starts_with("weight_ih")) {
                for column in (0..6).filter(|&column| !symbols.contains(&column)) {
                    let row = 16 * config.cell().gates();
                    is_used[weight.index(0, 0) + column as usize * row..][..row].fill(false);
                }
            }
            let (mut stretches, mut found) = (vec![], vec![false; is_used.len()]);
            gradient.for_each_used(|range| {
                found[range.clone()].fill(true);
                stretches.push(range);
            });
            assert_eq!(found, is_used, "{symbols:?}");
            assert!(stretches.windows(2).all(|pair| pair[0].end < pair[1].start));
            assert!(stretches.iter().all(|range| !range.is_empty()));
            let zeros = gradient.arena().iter().zip(&is_used).filter(|(_, used)| !**used);
            assert!(zeros.clone().all(|(&g, _)| g == 0.0));

            // scaled in place, it is still known
            let (mut again, doubled) = (vec![], gradient.arena().iter().map(|g| 2.0 * g));
            let doubled: Vec<f32> = doubled.collect();
            gradient.for_each_used_mut(|range, values| {
                values.iter_mut().for_each(|value| *value *= 2.0);
                again.push(range);
            });
            assert_eq!((again, gradient.arena()), (stretches, &doubled[..]));
            assert!(gradient.used_rows().is_some());
            gradient.arena_mut();
            assert_eq!(gradient.used_rows(), None);
            gradient.for_each_used(|range| assert_eq!(range, 0..is_used.len()));
        }
    }
}

#[test]
fn a_pass_over_values_may_leave_any_row() {
    let config = Config::new(Architecture::new(CELLS[4], 3, 4)).unwrap();
    for config in [config, Config::lab(3, 4, 1).unwrap()] {
        let parameters = Parameters::uniform(config, &mut Xoshiro256PlusPlus::seed_from_u64(0));
        let (mut network, mut gradient) = (Network::new(config), Parameters::zeros(config));
        let y = network.forward(&parameters, &[1.0; 3], 1, 1).to_vec();
        network.backward(&parameters, &[1.0; 3], &y, &mut gradient);
        assert_eq!(gradient.used_rows(), None);
        let sequences = Sequences::of_symbols(config, &[1], 1, 1).unwrap();
        let y = network.run(&parameters, &sequences).to_vec();
        network.backward(&parameters, sequences.inputs(), &y, &mut gradient);
        assert_eq!(gradient.used_rows(), Some(&[1][..]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn symbols_are_one_hot_rows_in_every_network(
        architecture in architectures(1..40, 1..40, 1..9),
        lengths in prop_oneof![
            prop::collection::vec(1_usize..9, 1..9),
            (1_usize..9, 1_usize..20).prop_map(|(steps, batch)| vec![steps; batch]),
        ],
        padding in prop_oneof![Just(0_usize), 0_usize..3],
        starts: bool,
        seed: u64,
    ) {
        let config = Config::new(architecture).unwrap();
        Trial { config, lengths, padding, starts, seed }.check();
    }
}
