//! A network whose units several threads share, beside the reference and beside one thread:
//! outputs, last states and gradients, for every number of threads; and the same bits every time.

mod sample;

use model::reference::Reference;
use model::{
    Architecture, Cell, Config, Head, HeadSteps, Inputs, Network, Parameters, Sequences, State,
    Units,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sample::{Batch, CELLS, architectures, assert_close, narrow, state_values, time_major, widen};
use std::thread;

/// The bound of every relative error, against the reference and against one thread.
const TOLERANCE: f64 = 1e-5;

/// One batch for a network, and the threads that share its units.
#[derive(Clone, Debug)]
struct Trial {
    config: Config,
    threads: usize,
    steps: usize,
    batch: usize,
    /// Whether there is a state to start from.
    starts: bool,
    seed: u64,
}

/// All that a pass gives.
#[derive(Debug)]
struct Found {
    y: Vec<f32>,
    last: State,
    gradient: Parameters,
}

/// Runs each of `jobs` on a thread of its own.
fn together(jobs: Vec<impl FnOnce() + Send>) {
    thread::scope(|scope| jobs.into_iter().for_each(|job| drop(scope.spawn(job))));
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// What the threads make of `sequences` and of the gradient `dy(y)`.
fn by_threads(
    units: &mut Units,
    parameters: &Parameters,
    sequences: &Sequences<'_>,
    dy: impl FnOnce(&[f32]) -> Vec<f32>,
) -> Found {
    together(units.forward(parameters, sequences));
    let (y, last) = (units.outputs().to_vec(), units.state());
    let mut gradient = Parameters::zeros(parameters.config());
    gradient.arena_mut().fill(f32::NAN); // every value, padding too, must be written
    together(units.backward(parameters, sequences.inputs(), &dy(&y), &mut gradient));
    Found { y, last, gradient }
}

fn by_one(
    parameters: &Parameters,
    sequences: &Sequences<'_>,
    dy: impl FnOnce(&[f32]) -> Vec<f32>,
) -> Found {
    let mut network = Network::new(parameters.config());
    let y = network.run(parameters, sequences).to_vec();
    let last = network.state();
    let mut gradient = Parameters::zeros(parameters.config());
    network.backward(parameters, sequences.inputs(), &dy(&y), &mut gradient);
    Found { y, last, gradient }
}

fn assert_same_bits(trial: &Trial, one: &Found, other: &Found) {
    assert_eq!(bits(&one.y), bits(&other.y), "{trial:?}: y");
    assert!(one.last == other.last, "{trial:?}: the last states");
    assert_eq!(bits(one.gradient.arena()), bits(other.gradient.arena()), "{trial:?}: the gradient");
}

fn assert_close_to(trial: &Trial, found: &Found, expected: &Found) {
    let parts = [
        ("y", &found.y[..], &expected.y[..]),
        ("h", found.last.h(), expected.last.h()),
        ("c", found.last.c(), expected.last.c()),
        ("gradient", found.gradient.arena(), expected.gradient.arena()),
    ];
    for (name, found, expected) in parts {
        assert_close(&format!("{trial:?}: {name}"), &widen(found), &widen(expected), TOLERANCE);
    }
    let mut gradient = found.gradient.clone();
    for index in gradient.tensors().iter().flat_map(|tensor| tensor.indices()) {
        gradient.arena_mut()[index] = 0.0;
    }
    assert!(gradient.arena().iter().all(|&g| g == 0.0), "{trial:?}: padding must be zero");
}

/// Runs a trial of values on the threads, on one, and by the reference. Nothing is compared of a
/// ReLU whose sign is up to the rounding.
fn agrees(trial: &Trial, units: &mut Units) {
    let &Trial { config, steps, batch: count, starts, seed, .. } = trial;
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let parameters = Parameters::initialised(config, &mut generator);
    let mut batch = Batch::random(config, &vec![steps; count], &mut generator);
    sample::clear(&mut batch.last_weights);
    if !starts {
        sample::clear(&mut batch.first);
    }
    let weights = Reference::from(&parameters);
    if batch.is_near_a_kink(config, &weights, 5e-6) {
        return;
    }
    let x = narrow(&time_major(&batch.x, config.inputs(), steps));
    let (h, c) = state_values(config, &batch.first);
    let start = State::new(config, count, narrow(&h), narrow(&c)).unwrap();
    let mut sequences = Sequences::new(config, &x, steps, count).unwrap();
    if starts {
        sequences = sequences.starting_from(&start).unwrap();
    }

    let (mut expected_y, mut dy) = (vec![], vec![]);
    for b in 0..count {
        let pass = weights.forward_from(&batch.x[b], &batch.first[b], &batch.masks[b]);
        dy.push(weights.squared_error(&pass, &batch.targets[b]).1);
        expected_y.push(pass.y);
    }
    let at_last = config.head().is_some_and(|head| head.steps == HeadSteps::Last);
    let rows = if at_last { 1 } else { steps };
    let dy = narrow(&time_major(&dy, config.outputs(), rows));
    let found = by_threads(units, &parameters, &sequences, |_| dy.clone());

    let expected = time_major(&expected_y, config.outputs(), rows);
    assert_close(&format!("{trial:?}: y"), &widen(&found.y), &expected, TOLERANCE);
    let expected = batch.gradient(config, &weights).dweights.tensors();
    for ((name, found), (_, expected)) in
        Reference::from(&found.gradient).tensors().iter().zip(&expected)
    {
        let all: f64 = sample::norm(expected.iter().copied());
        let error = sample::norm(found.iter().zip(expected).map(|(f, e)| f - e));
        assert!(
            error <= TOLERANCE * all + 1e-6,
            "{trial:?}: {name} is off by {error:e} of {all:e}"
        );
    }
    assert_close_to(trial, &found, &by_one(&parameters, &sequences, |_| dy.clone()));
    let again = by_threads(units, &parameters, &sequences, |_| dy.clone());
    assert_same_bits(trial, &found, &again);
}

/// One set of threads for two passes: nothing of the first may be seen in the second.
fn assert_shared(trial: &Trial) {
    let mut units = Units::new(trial.config, trial.threads);
    let larger = Trial { steps: trial.steps + 1, batch: trial.batch + 2, ..trial.clone() };
    agrees(&larger, &mut units);
    agrees(trial, &mut units);
}

fn config(cell: Cell, hidden: usize) -> Config {
    Config::new(Architecture { head: Some(Head::linear(3)), ..Architecture::new(cell, 5, hidden) })
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn threads_that_share_the_units_find_what_one_thread_and_the_reference_find(
        architecture in architectures(1..40, 1..150, 1..9),
        threads in 1_usize..5,
        steps in 1_usize..41,
        batch in 1_usize..18,
        starts in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let layers = architecture.layers.min(2);
        let config = Config::new(Architecture { bidirectional: false, layers, ..architecture });
        assert_shared(&Trial { config: config.unwrap(), threads, steps, batch, starts, seed });
    }

    #[test]
    fn symbols_are_shared_as_values_are(
        architecture in architectures(1..40, 1..80, 1..9),
        threads in 1_usize..5,
        (steps, batch) in (1_usize..30, 1_usize..10),
        seed in any::<u64>(),
    ) {
        let config = Config::new(Architecture { bidirectional: false, ..architecture }).unwrap();
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let parameters = Parameters::initialised(config, &mut generator);
        let most = config.symbols() as u32;
        let symbols: Vec<u32> =
            (0..steps * batch).map(|_| generator.random_range(0..most)).collect();
        let sequences = Sequences::of_symbols(config, &symbols, steps, batch).unwrap();
        let trial = Trial { config, threads, steps, batch, starts: false, seed };
        let mut units = Units::new(config, threads);
        let found = by_threads(&mut units, &parameters, &sequences, <[f32]>::to_vec);
        assert_close_to(&trial, &found, &by_one(&parameters, &sequences, <[f32]>::to_vec));

        // written over the gradient of other symbols
        let other: Vec<u32> = symbols.iter().map(|symbol| most - 1 - symbol).collect();
        let mut gradient = found.gradient;
        let sequences = Sequences::of_symbols(config, &other, steps, batch).unwrap();
        together(units.forward(&parameters, &sequences));
        let dy = units.outputs().to_vec();
        together(units.backward(&parameters, Inputs::Symbols(&other), &dy, &mut gradient));
        let expected = by_one(&parameters, &sequences, <[f32]>::to_vec);
        let (found, expected) = (gradient.arena(), expected.gradient);
        assert_close("others", &widen(found), &widen(expected.arena()), TOLERANCE);
        prop_assert_eq!(gradient.used_rows(), expected.used_rows());
    }
}

#[test]
fn every_cell_is_shared_at_sizes_on_and_off_the_groups_of_units() {
    for cell in CELLS {
        for hidden in [1, 15, 16, 17, 33, 64, 100] {
            for (threads, steps, batch) in [(1, 3, 2), (2, 1, 1), (2, 9, 1), (3, 5, 4), (4, 2, 5)] {
                let config = config(cell, hidden);
                assert_shared(&Trial { config, threads, steps, batch, starts: false, seed: 1 });
            }
        }
    }
}

#[test]
fn no_more_threads_are_asked_for_than_there_are_groups_of_16_units() {
    for (hidden, threads, expected) in [(16, 4, 1), (17, 4, 2), (33, 4, 3), (64, 4, 4), (128, 3, 3)]
    {
        assert_eq!(Units::new(config(Cell::Gru, hidden), threads).jobs(), expected);
    }
}

#[test]
fn networks_that_remember_otherwise_or_drop_or_go_both_ways_are_not_served() {
    let plain = Architecture { layers: 2, ..Architecture::new(Cell::Gru, 5, 20) };
    let serves = |architecture| Units::serves(Config::new(architecture).unwrap());
    assert!(serves(plain));
    assert!(!serves(Architecture { bidirectional: true, ..plain }));
    assert!(!serves(Architecture { dropout: 0.5, ..plain }));
    assert!(!serves(Architecture { embedding: Some(7), ..plain }));
    let elman = Architecture::new(Cell::Elman(model::Nonlinearity::Tanh), 5, 20);
    let memory = model::Memory::Window(3);
    assert!(!serves(Architecture { memory, head: Some(Head::linear(2)), ..elman }));
}

#[test]
fn a_pass_is_gone_back_through_once() {
    let config = config(Cell::Lstm, 20);
    let parameters = Parameters::zeros(config);
    let (mut units, mut gradient) = (Units::new(config, 2), Parameters::zeros(config));
    let x = [0.5; 5];
    let sequences = Sequences::new(config, &x, 1, 1).unwrap();
    together(units.forward(&parameters, &sequences));
    let inputs = sequences.inputs();
    together(units.backward(&parameters, inputs, &[1.0; 3], &mut gradient));
    let again = std::panic::AssertUnwindSafe(|| {
        drop(units.backward(&parameters, inputs, &[1.0; 3], &mut gradient));
    });
    assert!(std::panic::catch_unwind(again).is_err());
}
