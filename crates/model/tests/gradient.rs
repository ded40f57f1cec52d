//! The chain of proof: central differences prove the f64 reference's gradient, and
//! the reference proves the fast path, over sizes on and off the lanes and tiles.

use model::reference::Reference;
use model::{Config, Network, Parameters, loss};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Sequences `x` `[B][T][I]` and targets `[B][T][O]`.
struct Batch {
    x: Vec<Vec<Vec<f64>>>,
    targets: Vec<Vec<Vec<f64>>>,
}

impl Batch {
    fn random(config: Config, steps: usize, batch: usize, generator: &mut impl Rng) -> Self {
        // f32 values, so that the fast path and the reference see the same numbers
        let mut draw = |low: f32, high: f32| f64::from(generator.random_range(low..high));
        let mut sequences = |features: usize, low: f32, high: f32| {
            (0..batch)
                .map(|_| {
                    (0..steps).map(|_| (0..features).map(|_| draw(low, high)).collect()).collect()
                })
                .collect()
        };
        Self {
            x: sequences(config.inputs(), -2.0, 2.0),
            targets: sequences(config.outputs(), 0.0, 1.0),
        }
    }
}

/// `[B][T][F]` as the flat `[T, B, F]` of the fast path.
fn time_major(sequences: &[Vec<Vec<f64>>]) -> Vec<f32> {
    let steps = sequences[0].len();
    let row = |t: usize| sequences.iter().flat_map(move |s| s[t].iter().map(|&v| v as f32));
    (0..steps).flat_map(row).collect()
}

fn reference_loss(weights: &Reference, batch: &Batch) -> f64 {
    let sequences = batch.x.iter().zip(&batch.targets);
    sequences.map(|(x, y)| weights.squared_error(&weights.forward(x), y).0).sum()
}

fn reference_gradient(config: Config, weights: &Reference, batch: &Batch) -> Reference {
    let mut gradient = Reference::zeros(config);
    for (x, targets) in batch.x.iter().zip(&batch.targets) {
        let pass = weights.forward(x);
        let (_, dy) = weights.squared_error(&pass, targets);
        weights.backward(&pass, &dy, &mut gradient);
    }
    gradient
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Relative error of the reference's gradient against central differences.
fn central_difference_error(config: Config, weights: &mut Reference, batch: &Batch) -> f64 {
    const STEP: f64 = 1e-5;
    let gradient = reference_gradient(config, weights, batch);
    let count = weights.values().count();
    let mut differences = Vec::with_capacity(count);
    for index in 0..count {
        let original = weights.values().nth(index).unwrap();
        let mut loss_at = |value: f64| {
            *weights.values_mut().nth(index).unwrap() = value;
            reference_loss(weights, batch)
        };
        let difference = (loss_at(original + STEP) - loss_at(original - STEP)) / (2.0 * STEP);
        loss_at(original);
        differences.push(difference);
    }
    norm(gradient.values().zip(&differences).map(|(g, d)| g - d)) / norm(gradient.values())
}

/// Relative errors (in the norm) of the fast path's outputs and of its gradient.
fn fast_path_errors(
    config: Config,
    steps: usize,
    batch: usize,
    network: &mut Network,
    generator: &mut Xoshiro256PlusPlus,
) -> (f64, f64) {
    // As the lab starts up to 16 units; above, as wide as keeps a unit's argument as large
    // there, or the network is chaotic and no two roundings of it agree for long.
    let scale = (4.0 / (config.hidden() as f32).sqrt()).min(1.0);
    let mut parameters = Parameters::uniform(config, generator);
    parameters.arena_mut().iter_mut().for_each(|w| *w *= scale);
    let data = Batch::random(config, steps, batch, generator);
    let (x, targets) = (time_major(&data.x), time_major(&data.targets));

    let y = network.forward(&parameters, &x, steps, batch).to_vec();
    let mut dy = vec![0.0; y.len()];
    loss::sigmoid_squared_error(&y, &targets, &mut dy);
    let mut gradient = Parameters::zeros(config);
    gradient.arena_mut().fill(f32::NAN); // every value, padding too, must be written
    network.backward(&parameters, &x, &dy, &mut gradient);

    let weights = Reference::from(&parameters);
    let expected = reference_gradient(config, &weights, &data);
    let found = Reference::from(&gradient);
    let expected_y: Vec<_> = data.x.iter().map(|x| weights.forward(x).y).collect();
    let expected_y = time_major(&expected_y);
    let padding = gradient.arena().len() - found.values().count();
    let zeros = gradient.arena().iter().filter(|&&g| g == 0.0).count();
    assert!(zeros >= padding, "{config:?}: padding of the gradient must be zero");

    let widen = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let (y, expected_y) = (widen(&y), widen(&expected_y));
    (
        norm(y.iter().zip(&expected_y).map(|(a, b)| a - b)) / norm(expected_y.iter().copied()),
        norm(found.values().zip(expected.values()).map(|(a, b)| a - b)) / norm(expected.values()),
    )
}

fn assert_fast_path(config: Config, steps: usize, batch: usize, seed: u64) {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    // one network for two passes: nothing of the first may be seen in the second
    let mut network = Network::new(config);
    fast_path_errors(config, steps + 1, batch + 1, &mut network, &mut generator);
    let (outputs, gradient) = fast_path_errors(config, steps, batch, &mut network, &mut generator);
    assert!(outputs <= 1e-5, "{config:?}, T {steps}, B {batch}: outputs off by {outputs:e}");
    assert!(gradient <= 1e-5, "{config:?}, T {steps}, B {batch}: gradient off by {gradient:e}");
}

#[test]
fn fast_path_equals_the_reference_at_every_hidden_size_across_lanes_and_tiles() {
    for hidden in (1..=70).chain([96, 100, 127, 128, 129]) {
        for (batch, outputs) in [(1, 1), (5, 3)] {
            let config = Config::lab(2, hidden, outputs).unwrap();
            assert_fast_path(config, 8, batch, hidden as u64);
        }
    }
}

#[test]
fn fast_path_equals_the_reference_at_every_batch_across_tiles() {
    for batch in 1..=13 {
        for hidden in [3, 16, 17] {
            assert_fast_path(Config::lab(3, hidden, 2).unwrap(), 3, batch, batch as u64);
        }
    }
}

#[test]
fn fast_path_equals_the_reference_over_long_sequences() {
    for steps in [1, 2, 64, 300] {
        assert_fast_path(Config::lab(2, 16, 1).unwrap(), steps, 1, steps as u64);
    }
}

#[test]
fn no_steps_or_no_sequences_give_no_outputs_and_a_zero_gradient() {
    let config = Config::lab(2, 5, 1).unwrap();
    let parameters = Parameters::uniform(config, &mut Xoshiro256PlusPlus::seed_from_u64(0));
    for (steps, batch) in [(0, 1), (3, 0), (0, 0)] {
        let mut network = Network::new(config);
        assert!(network.forward(&parameters, &[], steps, batch).is_empty());
        let mut gradient = Parameters::uniform(config, &mut Xoshiro256PlusPlus::seed_from_u64(1));
        network.backward(&parameters, &[], &[], &mut gradient);
        assert!(gradient.arena().iter().all(|&g| g == 0.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn central_differences_prove_the_reference(
        inputs in 1_usize..4, hidden in 1_usize..7, outputs in 1_usize..4,
        steps in 1_usize..7, batch in 1_usize..3, seed: u64,
    ) {
        let config = Config::lab(inputs, hidden, outputs).unwrap();
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut weights = Reference::from(&Parameters::uniform(config, &mut generator));
        let batch = Batch::random(config, steps, batch, &mut generator);
        let error = central_difference_error(config, &mut weights, &batch);
        prop_assert!(error <= 1e-6, "off by {error:e}");
    }

    #[test]
    fn the_reference_proves_the_fast_path(
        inputs in 1_usize..20, hidden in 1_usize..101, outputs in 1_usize..20,
        steps in 1_usize..20, batch in 1_usize..9, seed: u64,
    ) {
        assert_fast_path(Config::lab(inputs, hidden, outputs).unwrap(), steps, batch, seed);
    }
}
