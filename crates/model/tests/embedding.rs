//! An embedding before the first layer: the network says of symbols what it says of the rows
//! that they select, and the gradient of a row is the sum of what those rows get.

mod sample;

use model::reference::{self, Reference};
use model::{Architecture, Config, Head, Network, Parameters, Sequences, State, Stream, weights};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sample::{
    Batch, CELLS, architectures, assert_close, is_near_a_kink, narrow, norm, state_values, widen,
};

/// The same network without its embedding.
fn without_embedding(parameters: &Parameters) -> Parameters {
    let architecture = parameters.config().architecture();
    let config = Config::new(Architecture { embedding: None, ..architecture }).unwrap();
    let mut plain = Parameters::zeros(config);
    let tensors = parameters.tensors();
    for to in plain.tensors() {
        let from = tensors.iter().find(|from| from.name() == to.name()).unwrap();
        for (to, from) in to.indices().zip(from.indices()) {
            plain.arena_mut()[to] = parameters.arena()[from];
        }
    }
    plain
}

/// The values of `tensor`, row by row.
fn values(parameters: &Parameters, tensor: &str) -> Vec<f32> {
    let tensors = parameters.tensors();
    let tensor = tensors.iter().find(|other| other.name() == tensor).unwrap();
    tensor.indices().map(|index| parameters.arena()[index]).collect()
}

fn check(config: Config, lengths: &[usize], padding: usize, starts: bool, seed: u64) {
    let (batch, width) = (lengths.len(), config.inputs());
    let steps = lengths.iter().max().unwrap() + padding;
    let name = |what: &str| format!("{config:?}, {lengths:?} + {padding}, {starts}: {what}");
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let parameters = Parameters::initialised(config, &mut generator);
    let plain = without_embedding(&parameters);
    let first = Batch::random(plain.config(), lengths, &mut generator).first;
    let (h, c) = state_values(config, &first);
    let symbols: Vec<u32> =
        (0..steps * batch).map(|_| generator.random_range(0..config.symbols() as u32)).collect();
    let table = values(&parameters, "embedding.weight");
    let rows = symbols.iter().map(|&symbol| &table[symbol as usize * width..][..width]);
    let x: Vec<f32> = rows.flatten().copied().collect();

    let of_symbols = Sequences::of_symbols(config, &symbols, steps, batch).unwrap();
    let of_values = Sequences::new(plain.config(), &x, steps, batch).unwrap();
    let start = |config| State::new(config, batch, narrow(&h), narrow(&c)).unwrap();
    let (of_symbols_start, of_values_start) = (start(config), start(plain.config()));
    // with lengths, even if all are equal: then the lab's network does not run fused
    let mut of_symbols = of_symbols.with_lengths(lengths).unwrap();
    let mut of_values = of_values.with_lengths(lengths).unwrap();
    if starts {
        of_symbols = of_symbols.starting_from(&of_symbols_start).unwrap();
        of_values = of_values.starting_from(&of_values_start).unwrap();
    }

    let (mut network, mut other) = (Network::new(config), Network::new(plain.config()));
    let y = network.run(&parameters, &of_symbols).to_vec();
    assert!(y == other.run(&plain, &of_values), "{}", name("y"));
    assert!(network.state().h() == other.state().h(), "{}", name("h"));
    assert!(network.state().c() == other.state().c(), "{}", name("c"));
    let (mut gradient, mut expected) = (Parameters::zeros(config), plain.clone());
    gradient.arena_mut().fill(f32::NAN);
    network.backward(&parameters, &symbols, &y, &mut gradient);
    let mut dx = vec![0.0; x.len()];
    other.backward_to_inputs(&plain, &x, &y, &mut expected, &mut dx);
    for tensor in expected.tensors() {
        let (found, expected) =
            (values(&gradient, tensor.name()), values(&expected, tensor.name()));
        assert!(found == expected, "{}", name(tensor.name()));
    }
    let mut drows = vec![0.0; table.len()];
    let mut used: Vec<u32> = vec![];
    for (row, &symbol) in
        symbols.iter().enumerate().filter(|(row, _)| row / batch < lengths[row % batch])
    {
        used.push(symbol);
        for i in 0..width {
            drows[symbol as usize * width + i] += f64::from(dx[row * width + i]);
        }
    }
    let found = widen(&values(&gradient, "embedding.weight"));
    if norm(drows.iter().copied()) > 0.0 {
        assert_close(&name("the embedding"), &found, &drows, 2e-5);
    }
    used.sort_unstable();
    used.dedup();
    assert_eq!(gradient.used_rows(), Some(&used[..]));

    // computed again, over a gradient of other symbols
    let mut again = Network::new(config).recompute();
    let others = vec![0; symbols.len()];
    let mut over = Parameters::zeros(config);
    let y_of_others =
        again.run(&parameters, &Sequences::of_symbols(config, &others, steps, batch).unwrap());
    let y_of_others = y_of_others.to_vec();
    again.backward(&parameters, &others, &y_of_others, &mut over);
    assert!(y == again.run(&parameters, &of_symbols), "{}", name("y again"));
    again.backward(&parameters, &symbols, &y, &mut over);
    assert!(over.arena() == gradient.arena(), "{}", name("the gradient again"));
    assert!(y == again.infer(&parameters, &of_symbols), "{}", name("y alone"));

    // the reference
    let weights = Reference::from(&parameters);
    let mut gradient_of_reference = Reference::zeros(config);
    for (b, &length) in lengths.iter().enumerate() {
        let of_b: Vec<u32> = (0..length).map(|t| symbols[t * batch + b]).collect();
        let zeros = reference::State::zeros(config);
        let first = if starts { &first[b] } else { &zeros };
        let pass = weights.forward_from(&of_b[..], first, &[]);
        if is_near_a_kink(config, &pass, 1e-5) {
            return; // which side it is, is up to the rounding
        }
        weights.backward(&pass, &pass.y, &mut gradient_of_reference);
    }
    let expected: Vec<f64> = gradient_of_reference.values().collect();
    let tensors = gradient.tensors();
    let places = tensors.iter().flat_map(|tensor| tensor.indices());
    let found: Vec<f64> = places.map(|place| f64::from(gradient.arena()[place])).collect();
    if norm(expected.iter().copied()) > 0.0 {
        assert_close(&name("the gradient"), &found, &expected, 5e-5);
    }
}

#[test]
fn symbols_are_the_rows_that_they_select_for_every_cell_layer_and_direction() {
    for cell in CELLS {
        for (layers, bidirectional, hidden) in
            [(1, false, 16), (1, true, 5), (2, false, 33), (2, true, 16)]
        {
            let architecture = Architecture {
                layers,
                bidirectional,
                head: Some(Head::linear(3)).filter(|_| hidden != 16),
                embedding: Some(6),
                ..Architecture::new(cell, 20, hidden)
            };
            let config = Config::new(architecture).unwrap();
            for lengths in [&[7][..], &[4, 1, 4], &[3; 9], &[300, 3]] {
                check(config, lengths, 0, false, 1);
                check(config, lengths, 2, true, 2);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn symbols_are_the_rows_that_they_select_in_every_network(
        architecture in architectures(1..40, 1..40, 1..9),
        symbols in 1_usize..30,
        lengths in prop_oneof![
            prop::collection::vec(1_usize..9, 1..9),
            (1_usize..9, 1_usize..20).prop_map(|(steps, batch)| vec![steps; batch]),
        ],
        padding in prop_oneof![Just(0_usize), 0_usize..3],
        starts: bool,
        seed: u64,
    ) {
        let embedding = Some(symbols);
        let config = Config::new(Architecture { embedding, ..architecture }).unwrap();
        check(config, &lengths, padding, starts, seed);
    }
}

#[test]
fn central_differences_prove_the_gradient_of_the_reference() {
    for cell in CELLS {
        for bidirectional in [false, true] {
            let architecture = Architecture {
                layers: 2,
                bidirectional,
                head: Some(Head::linear(2)),
                embedding: Some(4),
                ..Architecture::new(cell, 3, 3)
            };
            let config = Config::new(architecture).unwrap();
            let symbols = [2, 0, 2, 1]; // and never 3
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(3);
            let mut weights = Reference::from(&Parameters::uniform(config, &mut generator));
            let loss = |weights: &Reference| {
                let pass = weights.forward(&symbols[..]);
                0.5 * pass.y.iter().flatten().map(|y| y * y).sum::<f64>()
            };
            let mut gradient = Reference::zeros(config);
            let pass = weights.forward(&symbols[..]);
            weights.backward(&pass, &pass.y, &mut gradient);
            let mut differences = vec![];
            let all: Vec<f64> = weights.values().collect();
            for (index, &value) in all.iter().enumerate() {
                let mut loss_at = |value| {
                    *weights.values_mut().nth(index).unwrap() = value;
                    loss(&weights)
                };
                differences.push((loss_at(value + 1e-5) - loss_at(value - 1e-5)) / 2e-5);
                loss_at(value);
            }
            let found: Vec<f64> = gradient.values().collect();
            assert_close(&format!("{config:?}"), &found, &differences, 1e-6);
            // the first tensor is the embedding's, whose last row nobody looked at
            assert!(found[9..12].iter().all(|&g| g == 0.0));
            assert!(cell == CELLS[1] || found[..9].iter().all(|&g| g != 0.0), "{config:?}");
        }
    }
}

#[test]
fn an_embedding_goes_to_a_file_and_comes_back() {
    let architecture = Architecture { embedding: Some(11), ..Architecture::new(CELLS[4], 5, 7) };
    let config = Config::new(architecture).unwrap();
    let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(0));
    let bytes = weights::to_bytes(&parameters);
    let again = weights::from_bytes(config, &bytes).unwrap();
    assert_eq!(again.arena(), parameters.arena());
    let tensor = &parameters.tensors()[0];
    assert_eq!((tensor.name(), tensor.shape()), ("embedding.weight", vec![11, 5]));
    let rows = parameters.input_rows();
    assert_eq!((rows.start, rows.stride, rows.rows), (0, 16, 11));
    assert_eq!(tensor.index(3, 2), rows.range(3).start + 2);
    // the network without one does not read it
    let other = Config::new(Architecture { embedding: None, ..architecture }).unwrap();
    let text = weights::from_bytes(other, &bytes).unwrap_err().to_string();
    assert!(text.contains("embedding.weight"), "{text}");
}

#[test]
fn first_embeddings_are_normal_as_pytorch_s_are() {
    let architecture =
        Architecture { embedding: Some(2_000), ..Architecture::new(CELLS[3], 33, 4) };
    let config = Config::new(architecture).unwrap();
    let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(5));
    let values = widen(&values(&parameters, "embedding.weight"));
    let count = values.len() as f64; // 66,000: σ of the moments is 0.004, 0.0055, 0.0095, 0.038
    let moment = |power| values.iter().map(|v| v.powi(power)).sum::<f64>() / count;
    assert!(moment(1).abs() < 0.02, "{}", moment(1));
    assert!((moment(2) - 1.0).abs() < 0.025, "{}", moment(2));
    assert!(moment(3).abs() < 0.05, "{}", moment(3));
    assert!((moment(4) - 3.0).abs() < 0.16, "{}", moment(4));
    assert!(values.iter().all(|v| v.is_finite()));
}

#[test]
fn a_stream_of_symbols_says_what_the_pass_says() {
    for cell in CELLS {
        let architecture = Architecture {
            layers: 2,
            head: Some(Head::linear(3)),
            embedding: Some(9),
            ..Architecture::new(cell, 6, 20)
        };
        let config = Config::new(architecture).unwrap();
        let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(1));
        let symbols: Vec<u32> = (0..40).map(|n| n * n % 9).collect();
        let mut network = Network::new(config);
        let sequences = Sequences::of_symbols(config, &symbols, 40, 1).unwrap();
        let expected = widen(network.run(&parameters, &sequences));
        let mut stream = Stream::new(parameters).unwrap();
        let mut found = vec![0.0; expected.len()];
        let used = allocation_counter::measure(|| {
            for (&symbol, y) in symbols.iter().zip(found.chunks_exact_mut(3)) {
                stream.step_symbol(symbol, y).unwrap();
            }
        });
        assert_eq!(used.count_total, 0);
        assert_close(&format!("{config:?}"), &widen(&found), &expected, 1e-6);
    }
}

#[test]
fn a_network_with_an_embedding_takes_symbols_alone() {
    let architecture = Architecture { embedding: Some(5), ..Architecture::new(CELLS[0], 2, 3) };
    let config = Config::new(architecture).unwrap();
    assert_eq!((config.symbols(), config.inputs(), config.embedding()), (5, 2, Some(5)));
    let text = Sequences::new(config, &[0.0; 2], 1, 1).unwrap_err().to_string();
    assert!(text.contains("symbols") && text.contains("below 5"), "{text}");
    assert!(Sequences::padded(config, &[0.0; 2], 1, 1, &[1]).is_err());
    assert!(Sequences::of_symbols(config, &[4], 1, 1).is_ok());
    assert!(Sequences::of_symbols(config, &[5], 1, 1).is_err());
    let mut stream = Stream::new(Parameters::zeros(config)).unwrap();
    let text = stream.step(&[0.0; 2], &mut [0.0; 3]).unwrap_err().to_string();
    assert!(text.contains("step_symbol"), "{text}");
    assert!(stream.step_symbol(5, &mut [0.0; 3]).is_err());

    let none = Architecture { embedding: Some(0), ..architecture };
    assert!(Config::new(none).unwrap_err().to_string().contains("one symbol"));
    let many = Architecture { embedding: Some(1 << 40), ..architecture };
    assert!(Config::new(many).unwrap_err().to_string().contains("1099511627776 symbols"));
}

#[test]
#[should_panic(expected = "takes symbols")]
fn values_for_an_embedding_are_refused_by_the_forward_pass() {
    let architecture = Architecture { embedding: Some(5), ..Architecture::new(CELLS[0], 2, 3) };
    let config = Config::new(architecture).unwrap();
    Network::new(config).forward(&Parameters::zeros(config), &[0.0; 2], 1, 1);
}
