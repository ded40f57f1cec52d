//! The reference proves the fast path: outputs, last states, and the gradients of every
//! weight, input and first state, for every network, over sizes on and off the lanes and
//! tiles. (`reference.rs` proves the reference.)

mod sample;

use model::reference::Reference;
use model::{
    Architecture, Cell, Config, Head, HeadSteps, Network, Nonlinearity, Parameters, Sequences,
    State,
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use sample::{
    Batch, CELLS, architectures, assert_close, narrow, norm, small_architectures, state_values,
    time_major, widen,
};

/// The bound of every relative error.
const TOLERANCE: f64 = 1e-5;

/// One batch for a network.
#[derive(Clone, Debug)]
struct Trial {
    config: Config,
    /// `[B]`
    lengths: Vec<usize>,
    /// Steps behind the end of the longest sequence.
    padding: usize,
    /// Whether there is a state to start from.
    starts: bool,
    seed: u64,
}

impl Trial {
    /// Sequences of one length, from zero states.
    fn even(config: Config, steps: usize, batch: usize) -> Self {
        Self { config, lengths: vec![steps; batch], padding: 0, starts: false, seed: steps as u64 }
    }
}

/// All that the fast path makes of a batch.
struct Found {
    y: Vec<f32>,
    last: State,
    dweights: Vec<f32>,
    dx: Vec<f32>,
    dfirst: Option<State>,
}

/// The weights of a network that is not chaotic: of one that is, no two roundings agree
/// for long. The lab's sigmoid bears wider ones than PyTorch's first weights. A few units have
/// narrower ones: near the ends of a sigmoid or a tanh f32 keeps few digits of its slope, and where
/// that is so of all units, of the gradient, too.
fn parameters(config: Config, generator: &mut Xoshiro256PlusPlus) -> Parameters {
    let (cell, few) = (config.cell(), config.hidden() <= 8);
    let (mut parameters, scale) =
        if cell == Cell::Elman(Nonlinearity::Sigmoid) && config.layers() == 1 {
            let scale = (4.0 / (config.hidden() as f32).sqrt()).min(1.0);
            (Parameters::uniform(config, generator), if few { 0.25 } else { scale })
        } else {
            let is_tanh = cell == Cell::Elman(Nonlinearity::Tanh);
            (Parameters::initialised(config, generator), if few && is_tanh { 0.25 } else { 1.5 })
        };
    parameters.arena_mut().iter_mut().for_each(|w| *w *= scale);
    parameters
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// `[T, B, F]` with `filler` behind the end of each sequence: nobody may look there.
fn padded(sequences: &[Vec<Vec<f64>>], features: usize, steps: usize, filler: f32) -> Vec<f32> {
    let mut values = narrow(&time_major(sequences, features, steps));
    for (b, sequence) in sequences.iter().enumerate() {
        for t in sequence.len()..steps {
            values[(t * sequences.len() + b) * features..][..features].fill(filler);
        }
    }
    values
}

/// Runs a trial on both paths and compares all they give; returns false, having compared
/// nothing, if it is a ReLU's whose sign is up to the rounding.
fn agrees(trial: &Trial, network: &mut Network, recomputing: &mut Network) -> bool {
    let Trial { config, lengths, padding, starts, seed } = trial;
    let (config, count) = (*config, lengths.len());
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(*seed);
    let parameters = parameters(config, &mut generator);
    let mut batch = Batch::random(config, lengths, &mut generator);
    sample::clear(&mut batch.last_weights);
    if !starts {
        sample::clear(&mut batch.first);
    }
    let steps = batch.steps() + padding;
    let weights = Reference::from(&parameters);
    let uneven = *padding > 0 || lengths.iter().any(|&length| length != steps);

    let x = padded(&batch.x, config.inputs(), steps, 9.0);
    let (h, c) = state_values(config, &batch.first);
    let start = State::new(config, count, narrow(&h), narrow(&c)).unwrap();
    let mut sequences = Sequences::new(config, &x, steps, count).unwrap();
    if uneven {
        sequences = sequences.with_lengths(lengths).unwrap();
    }
    if *starts {
        sequences = sequences.starting_from(&start).unwrap();
    }
    let mask_generator = generator.clone();
    let run = |network: &mut Network| {
        network.run_training(&parameters, &sequences, &mut mask_generator.clone()).to_vec()
    };
    let y = run(network);
    batch.masks = masks(config, lengths, network);
    if batch.is_near_a_kink(config, &weights, 5e-6) {
        return false;
    }

    // what the reference makes of it, and dy for both
    let mut expected_y = vec![];
    let mut dy = vec![];
    let mut last = vec![];
    for b in 0..count {
        let pass = weights.forward_from(&batch.x[b], &batch.first[b], &batch.masks[b]);
        dy.push(weights.squared_error(&pass, &batch.targets[b]).1);
        expected_y.push(pass.y);
        last.push(pass.last);
    }
    let rows = match config.head().map(|head| head.steps) {
        Some(HeadSteps::Last) => 1,
        _ => steps,
    };
    let dy = padded(&dy, config.outputs(), rows, f32::NAN);
    let back = |network: &mut Network, y: Vec<f32>| {
        let last = network.state();
        let mut gradient = Parameters::zeros(config);
        gradient.arena_mut().fill(f32::NAN); // every value, padding too, must be written
        let mut dx = vec![f32::NAN; x.len()];
        network.backward_to_inputs(&parameters, &x, &dy, &mut gradient, &mut dx);
        let dweights = gradient.arena().to_vec();
        Found { y, last, dweights, dx, dfirst: network.start_gradient() }
    };
    let found = back(network, y);

    // neither a backward pass without dx nor one that computes again changes a bit
    let y = run(recomputing);
    let again = back(recomputing, y);
    assert!(again.y == found.y && again.last == found.last, "{trial:?}: forward");
    assert!(bits(&again.dx) == bits(&found.dx), "{trial:?}: dx");
    assert!(bits(&again.dweights) == bits(&found.dweights), "{trial:?}: the gradient");
    assert!(again.dfirst == found.dfirst, "{trial:?}: of the first states");
    run(network);
    let mut gradient = Parameters::zeros(config);
    network.backward(&parameters, &x, &dy, &mut gradient);
    assert!(bits(gradient.arena()) == bits(&found.dweights), "{trial:?}: without dx");

    let expected = batch.gradient(config, &weights);
    let name = |part: &str| format!("{trial:?}: {part}");
    let ((h, c), (dh, dc)) = (state_values(config, &last), state_values(config, &expected.dfirst));
    let y = time_major(&expected_y, config.outputs(), rows);
    let forward = [
        ("y", widen(&found.y), y),
        ("h", widen(found.last.h()), h),
        ("c", widen(found.last.c()), c),
    ];
    assert_parts_close(&name, &forward);

    let mut down = vec![("dx", widen(&found.dx), time_major(&expected.dx, config.inputs(), steps))];
    assert_eq!(found.dfirst.is_some(), *starts, "{trial:?}");
    if let Some(dfirst) = &found.dfirst {
        down.push(("dh_0", widen(dfirst.h()), dh));
        down.push(("dc_0", widen(dfirst.c()), dc));
    }
    assert_parts_close(&name, &down);

    gradient.arena_mut().copy_from_slice(&found.dweights);
    let (dweights, truth) = (Reference::from(&gradient).tensors(), expected.dweights.tensors());
    let tensors = dweights.iter().zip(truth);
    let tensors: Vec<_> =
        tensors.map(|((name, found), (_, truth))| (name.as_str(), found.clone(), truth)).collect();
    assert_parts_close(&name, &tensors);
    for index in gradient.tensors().iter().flat_map(|tensor| tensor.indices()) {
        gradient.arena_mut()[index] = 0.0;
    }
    assert!(gradient.arena().iter().all(|&g| g == 0.0), "{trial:?}: padding must be zero");
    true
}

/// Fails unless all parts together, (name, found, expected), agree, and each for itself, but
/// for a tenth of the tolerance of the whole: no small part hides behind the others, and one
/// that is the difference of large numbers is not held to its own size.
fn assert_parts_close(name: &impl Fn(&str) -> String, parts: &[(&str, Vec<f64>, Vec<f64>)]) {
    let found: Vec<f64> = parts.iter().flat_map(|(_, found, _)| found).copied().collect();
    let expected: Vec<f64> = parts.iter().flat_map(|(_, _, expected)| expected).copied().collect();
    assert_close(&name("all parts"), &found, &expected, TOLERANCE);
    let floor = 0.1 * TOLERANCE * norm(expected);
    for (part, found, expected) in parts {
        let error = norm(found.iter().zip(expected).map(|(f, e)| f - e));
        let bound = TOLERANCE * norm(expected.iter().copied()) + floor;
        assert!(error <= bound, "{}: {error:e} off, not {bound:e}", name(part));
    }
}

/// What the last pass of a network multiplied the outputs between its layers with, as the
/// reference takes it.
fn masks(config: Config, lengths: &[usize], network: &Network) -> Vec<Vec<Vec<Vec<f64>>>> {
    if config.dropout() == 0.0 {
        return vec![vec![]; lengths.len()];
    }
    let factor = 1.0 / (1.0 - f64::from(config.dropout()));
    let units =
        || (0..config.directions()).flat_map(|d| (0..config.hidden()).map(move |unit| (d, unit)));
    let sequence = |b: usize| {
        let row = |layer, t| {
            let kept = units().map(|(d, unit)| network.dropout_keeps((layer, d), (t, b), unit));
            kept.map(|kept| if kept.expect("a mask") { factor } else { 0.0 }).collect()
        };
        let layer = |layer| (0..lengths[b]).map(|t| row(layer, t)).collect();
        (0..config.layers() - 1).map(layer).collect()
    };
    (0..lengths.len()).map(sequence).collect()
}

fn assert_fast_path(trial: &Trial) -> bool {
    // one network for two passes: nothing of the first may be seen in the second
    let config = trial.config;
    let (mut network, mut recomputing) = (Network::new(config), Network::new(config).recompute());
    let mut larger = trial.clone();
    larger.lengths.iter_mut().for_each(|length| *length += 1);
    larger.lengths.push(2);
    agrees(&larger, &mut network, &mut recomputing);
    agrees(trial, &mut network, &mut recomputing)
}

#[test]
fn the_lab_agrees_at_every_hidden_size_across_lanes_and_tiles() {
    for hidden in (1..=70).chain([96, 100, 127, 128, 129]) {
        for (batch, outputs) in [(1, 1), (5, 3)] {
            assert_fast_path(&Trial::even(Config::lab(2, hidden, outputs).unwrap(), 8, batch));
        }
    }
}

#[test]
fn the_lab_agrees_at_every_batch_across_tiles() {
    for batch in 1..=13 {
        for hidden in [3, 16, 17] {
            assert_fast_path(&Trial::even(Config::lab(3, hidden, 2).unwrap(), 3, batch));
        }
    }
}

#[test]
fn the_lab_agrees_over_long_sequences() {
    for steps in [1, 2, 3, 64, 300] {
        for hidden in [4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 65] {
            assert_fast_path(&Trial::even(Config::lab(2, hidden, 1).unwrap(), steps, 1));
        }
    }
}

#[test]
fn the_lab_agrees_off_its_fused_path() {
    let config = Config::lab(2, 17, 2).unwrap();
    let even = Trial::even(config, 5, 3);
    assert_fast_path(&Trial { lengths: vec![2, 5, 1], ..even.clone() });
    assert_fast_path(&Trial { starts: true, ..even });
}

#[test]
fn every_kind_of_network_agrees() {
    for (cell, layers) in CELLS.into_iter().flat_map(|cell| [1, 2].map(|layers| (cell, layers))) {
        for (bidirectional, bias) in [(false, true), (false, false), (true, true), (true, false)] {
            for steps in [Some(HeadSteps::Every), Some(HeadSteps::Last), None] {
                let head = steps.map(|steps| Head { bias, steps, ..Head::linear(3) });
                let architecture = Architecture::new(cell, 3, 18);
                let architecture =
                    Architecture { layers, bidirectional, bias, head, ..architecture };
                let even = Trial::even(Config::new(architecture).unwrap(), 4, 6);
                let uneven =
                    Trial { lengths: vec![3, 1, 4, 1, 5, 5], starts: true, ..even.clone() };
                let single = Trial { lengths: vec![5], ..uneven.clone() };
                let started = Trial { starts: true, ..even.clone() };
                for trial in [even, started, uneven, single] {
                    // of a ReLU, sequences that are clear of the kink
                    let clear =
                        (0..20).any(|seed| assert_fast_path(&Trial { seed, ..trial.clone() }));
                    assert!(clear, "{trial:?}: all seeds are near a kink");
                }
            }
        }
    }
}

#[test]
fn every_hidden_size_across_lanes_and_tiles_agrees() {
    for hidden in (1..=70).chain([96, 127, 128, 129]) {
        for cell in [Cell::Elman(Nonlinearity::Tanh), Cell::Gru, Cell::Lstm] {
            let head = Some(Head::linear(2));
            let architecture = Architecture { head, ..Architecture::new(cell, 3, hidden) };
            let config = Config::new(architecture).unwrap();
            for batch in [1, 2, 3, 5, 9] {
                assert_fast_path(&Trial::even(config, 3, batch));
            }
        }
    }
}

#[test]
fn outputs_that_are_the_states_agree() {
    // no head, one direction, H without padding: then the states are kept in the outputs
    for cell in [Cell::Elman(Nonlinearity::Tanh), Cell::Gru, Cell::Lstm] {
        for (layers, hidden, steps, batch) in
            [(1, 16, 9, 1), (1, 32, 70, 9), (2, 16, 300, 2), (2, 48, 3, 5)]
        {
            let architecture = Architecture { layers, ..Architecture::new(cell, 3, hidden) };
            let even = Trial::even(Config::new(architecture).unwrap(), steps, batch);
            assert_fast_path(&Trial { starts: true, padding: 2, ..even.clone() });
            assert_fast_path(&even);
        }
    }
}

#[test]
fn weights_that_l2_does_not_hold_agree() {
    // from 2^18 recurrent weights on they are streamed; H off the lanes and panels
    for (cell, hidden) in
        [(Cell::Elman(Nonlinearity::Tanh), 530), (Cell::Gru, 310), (Cell::Lstm, 263)]
    {
        let config = Config::new(Architecture::new(cell, 2, hidden)).unwrap();
        assert_fast_path(&Trial::even(config, 2, 7));
        let even = Trial::even(config, 4, 3);
        assert_fast_path(&Trial { lengths: vec![4, 1, 3, 3, 2], starts: true, ..even });
    }
}

#[test]
fn long_sequences_agree_across_segments() {
    for cell in [Cell::Elman(Nonlinearity::Tanh), Cell::Gru, Cell::Lstm] {
        for bidirectional in [false, true] {
            let architecture = Architecture::new(cell, 2, 20);
            let config =
                Config::new(Architecture { layers: 2, bidirectional, ..architecture }).unwrap();
            let even = Trial::even(config, 300, 1);
            assert_fast_path(&Trial { lengths: vec![700], ..even.clone() });
            let lengths = vec![250, 3, 100, 256, 257];
            assert_fast_path(&Trial { lengths, padding: 3, starts: true, ..even });
        }
    }
}

#[test]
fn no_steps_or_no_sequences_give_no_outputs_and_a_zero_gradient() {
    let lab = Config::lab(2, 5, 1).unwrap();
    let gru = Architecture { head: Some(Head::linear(1)), ..Architecture::new(Cell::Gru, 2, 5) };
    for config in [lab, Config::new(gru).unwrap()] {
        let parameters = Parameters::uniform(config, &mut Xoshiro256PlusPlus::seed_from_u64(0));
        for (steps, batch) in [(0, 1), (3, 0), (0, 0)] {
            let mut network = Network::new(config);
            assert!(network.forward(&parameters, &[], steps, batch).is_empty());
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
            let mut gradient = Parameters::uniform(config, &mut generator);
            network.backward(&parameters, &[], &[], &mut gradient);
            assert!(gradient.arena().iter().all(|&g| g == 0.0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_lab_agrees_at_every_size(
        inputs in 1_usize..20, hidden in 1_usize..101, outputs in 1_usize..20,
        steps in 1_usize..20, batch in 1_usize..9, seed: u64,
    ) {
        let config = Config::lab(inputs, hidden, outputs).unwrap();
        assert_fast_path(&Trial { seed, ..Trial::even(config, steps, batch) });
    }

    #[test]
    fn every_network_agrees_at_every_size(
        architecture in architectures(1..20, 1..71, 1..20),
        dropout in prop_oneof![Just(0.0_f32), Just(0.5), 0.0..0.9_f32],
        lengths in prop_oneof![
            prop::collection::vec(1_usize..12, 1..9),
            (1_usize..12, 1_usize..20).prop_map(|(steps, batch)| vec![steps; batch]),
        ],
        padding in prop_oneof![Just(0_usize), 0_usize..3],
        starts: bool,
        seed: u64,
    ) {
        let dropout = if architecture.layers > 1 { dropout } else { 0.0 };
        let config = Config::new(Architecture { dropout, ..architecture }).unwrap();
        prop_assume!(assert_fast_path(&Trial { config, lengths, padding, starts, seed }));
    }

    #[test]
    fn networks_that_remember_inputs_or_outputs_agree_at_every_size(
        architecture in small_architectures(1..20, 1..40, 1..20),
        lengths in prop_oneof![
            prop::collection::vec(1_usize..12, 1..9),
            (1_usize..12, 1_usize..20).prop_map(|(steps, batch)| vec![steps; batch]),
        ],
        padding in prop_oneof![Just(0_usize), 0_usize..3],
        starts: bool,
        seed: u64,
    ) {
        let config = Config::new(architecture).unwrap();
        prop_assume!(assert_fast_path(&Trial { config, lengths, padding, starts, seed }));
    }
}
