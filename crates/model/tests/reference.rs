//! Central differences prove the gradient of the f64 reference: of every weight, input
//! and first state, for every cell, number of layers, directions, head and length.

mod sample;

use model::reference::{Matrix, Reference, State};
use model::{Architecture, Config, Head, HeadActivation, HeadSteps, Parameters};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use sample::{Batch, CELLS, architectures, norm, small_architectures};

/// The step of the differences.
const STEP: f64 = 1e-5;

/// `(loss(v + STEP) − loss(v − STEP)) / 2 STEP`, where `loss_at` sets a value.
fn difference(value: f64, mut loss_at: impl FnMut(f64) -> f64) -> f64 {
    let difference = (loss_at(value + STEP) - loss_at(value - STEP)) / (2.0 * STEP);
    loss_at(value);
    difference
}

/// Error of the reference's gradient against central differences, relative in the norm:
/// of the weights, of the inputs, of the first states.
fn central_difference_errors(config: Config, mut weights: Reference, mut batch: Batch) -> [f64; 3] {
    let gradient = batch.gradient(config, &weights);
    // A loss is rounded by some ULP, and a difference divides that by its step: gradients
    // that vanish on their way through sigmoids may be smaller than what is left of it.
    let rounding = 64.0 * f64::EPSILON * (1.0 + batch.loss(&weights).abs()) / STEP;
    let relative = |found: Vec<f64>, expected: Vec<f64>| {
        let size = norm(expected.iter().copied());
        let error = norm(found.iter().zip(&expected).map(|(f, e)| f - e));
        assert_eq!(found.len(), expected.len());
        let error = error - (expected.len() as f64).sqrt() * rounding;
        if error <= 0.0 { 0.0 } else { error / size }
    };

    let values: Vec<f64> = weights.values().collect();
    let of_weights = values.iter().enumerate().map(|(index, &value)| {
        difference(value, |value| {
            *weights.values_mut().nth(index).unwrap() = value;
            batch.loss(&weights)
        })
    });
    let of_weights = relative(gradient.dweights.values().collect(), of_weights.collect());

    let mut differences = vec![];
    let mut expected = vec![];
    for b in 0..batch.x.len() {
        for (t, i) in (0..batch.x[b].len()).flat_map(|t| (0..config.inputs()).map(move |i| (t, i)))
        {
            differences.push(difference(batch.x[b][t][i], |value| {
                batch.x[b][t][i] = value;
                batch.loss(&weights)
            }));
            expected.push(gradient.dx[b][t][i]);
        }
    }
    let of_x = relative(expected, differences);

    let mut differences = vec![];
    let mut expected = vec![];
    let (states, hidden) = (config.layers() * config.directions(), config.state_width());
    let parts: [fn(&mut State) -> &mut Matrix; 2] = [|s| &mut s.h, |s| &mut s.c];
    let mut dfirst = gradient.dfirst;
    for part in &parts[..if config.cell() == model::Cell::Lstm { 2 } else { 1 }] {
        for (b, dfirst) in dfirst.iter_mut().enumerate() {
            for (s, k) in (0..states).flat_map(|s| (0..hidden).map(move |k| (s, k))) {
                let value = part(&mut batch.first[b])[s][k];
                differences.push(difference(value, |value| {
                    part(&mut batch.first[b])[s][k] = value;
                    batch.loss(&weights)
                }));
                expected.push(part(dfirst)[s][k]);
            }
        }
    }
    [of_weights, of_x, relative(expected, differences)]
}

/// Random weights and sequences whose ReLUs are all clear of their kink.
fn sample(config: Config, lengths: &[usize], dropout: bool, seed: u64) -> (Reference, Batch) {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    loop {
        let weights = Reference::from(&Parameters::uniform(config, &mut generator));
        let mut batch = Batch::random(config, lengths, &mut generator);
        if dropout {
            batch = batch.with_masks(config, &mut generator);
        }
        if !batch.is_near_a_kink(config, &weights, 100.0 * STEP) {
            return (weights, batch);
        }
    }
}

#[test]
fn central_differences_prove_the_reference_for_every_kind_of_network() {
    let heads = [HeadSteps::Every, HeadSteps::Last]
        .map(|steps| Some(Head { steps, ..Head::linear(2) }))
        .into_iter()
        .chain([None]);
    let mut seed = 0;
    for head in heads {
        for (cell, layers) in CELLS.into_iter().flat_map(|cell| [1, 2].map(|layers| (cell, layers)))
        {
            for (bidirectional, bias) in
                [(false, true), (false, false), (true, true), (true, false)]
            {
                let head = head.map(|head| Head { bias, ..head });
                let architecture = Architecture::new(cell, 2, 3);
                let architecture =
                    Architecture { layers, bidirectional, bias, head, ..architecture };
                let config = Config::new(architecture).unwrap();
                for lengths in [&[3][..], &[2, 4, 0, 1]] {
                    seed += 1;
                    let (weights, batch) = sample(config, lengths, seed % 3 == 0, seed);
                    let errors = central_difference_errors(config, weights, batch);
                    assert!(
                        errors.iter().all(|&error| error <= 1e-6),
                        "{architecture:?}, lengths {lengths:?}: off by {errors:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_chain_of_chunks_has_the_gradient_of_the_whole() {
    for cell in CELLS {
        let config =
            Config::new(Architecture { layers: 2, ..Architecture::new(cell, 2, 4) }).unwrap();
        let (weights, batch) = sample(config, &[7], false, 1);
        let (x, first, dlast) = (&batch.x[0], &batch.first[0], &batch.last_weights[0]);
        let whole = weights.forward_from(x, first, &[]);
        let dy = weights.squared_error(&whole, &batch.targets[0]).1;
        let mut expected = Reference::zeros(config);
        let (dx, dfirst) = weights.backward_from(&whole, &dy, dlast, &mut expected);

        let head = weights.forward_from(&x[..3], first, &[]);
        let tail = weights.forward_from(&x[3..], &head.last, &[]);
        assert_eq!(tail.last, whole.last, "{cell:?}");
        let mut found = Reference::zeros(config);
        let (dx_tail, dbetween) = weights.backward_from(&tail, &dy[3..], dlast, &mut found);
        let (dx_head, dfirst_found) = weights.backward_from(&head, &dy[..3], &dbetween, &mut found);
        assert_eq!([dx_head, dx_tail].concat(), dx, "{cell:?}");
        assert_eq!(dfirst_found, dfirst, "{cell:?}");
        let (found, expected): (Vec<_>, Vec<_>) =
            (found.values().collect(), expected.values().collect());
        sample::assert_close("the gradient", &found, &expected, 1e-14);
    }
}

#[test]
fn the_lab_s_formula_is_one_configuration() {
    let config = Config::lab(2, 5, 1).unwrap();
    let (weights, batch) = sample(config, &[6], false, 3);
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let sum = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let (layer, head) = (&weights.layers[0], weights.head.as_ref().unwrap());
    let mut h = vec![0.0; 5];
    for (x, y) in batch.x[0].iter().zip(&weights.forward(&batch.x[0]).y) {
        let to = |k: usize| sigmoid(sum(&layer.w_ih[k], x) + sum(&layer.w_hh[k], &h));
        h = (0..5).map(to).collect();
        assert_eq!(*y, [sigmoid(sum(&head.weight[0], &h))]);
    }
    assert_eq!(head.weight[0].len() + layer.w_ih.len() + layer.w_hh.len(), 15);
    assert!(layer.b_ih.is_empty() && layer.b_hh.is_empty() && head.bias.is_empty());
    assert_eq!(config.head().unwrap().activation, HeadActivation::Sigmoid);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn central_differences_prove_the_reference_at_every_size(
        architecture in architectures(1..4, 1..6, 1..4),
        lengths in prop::collection::vec(0_usize..7, 1..3),
        dropout: bool,
        seed: u64,
    ) {
        let config = Config::new(architecture).unwrap();
        let (weights, batch) = sample(config, &lengths, dropout, seed);
        let errors = central_difference_errors(config, weights, batch);
        prop_assert!(errors.iter().all(|&error| error <= 1e-6), "off by {errors:?}");
    }

    #[test]
    fn central_differences_prove_networks_that_remember_inputs_or_outputs(
        architecture in small_architectures(1..4, 1..6, 1..4),
        lengths in prop::collection::vec(0_usize..7, 1..3),
        seed: u64,
    ) {
        let config = Config::new(architecture).unwrap();
        let (weights, batch) = sample(config, &lengths, false, seed);
        let errors = central_difference_errors(config, weights, batch);
        prop_assert!(errors.iter().all(|&error| error <= 1e-6), "off by {errors:?}");
    }
}
