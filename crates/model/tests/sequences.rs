//! Sequences at the door: both kinds of inputs, what stands behind the end.

mod sample;

use model::{Architecture, Cell, Config, Head, HeadSteps, Network, Parameters, Sequences, State};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sample::architectures;
use std::ops::Range;

fn text<T: std::fmt::Debug>(result: Result<T, model::Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn symbols_that_make_no_sense_are_refused_by_place_and_value() {
    let config = Config::new(Architecture::new(Cell::Gru, 5, 3)).unwrap();
    let symbols = [0, 1, 4, 3, 2, 0];
    assert!(Sequences::of_symbols(config, &symbols, 3, 2).is_ok());
    assert!(text(Sequences::of_symbols(config, &symbols, 3, 3)).contains("6 symbols"));
    for wrong in [5, 6, u32::MAX] {
        let mut symbols = symbols;
        symbols[3] = wrong;
        let text = text(Sequences::of_symbols(config, &symbols, 3, 2));
        assert!(text.contains("step 1 of sequence 1") && text.contains("below 5"), "{text}");
        assert!(text.contains(&wrong.to_string()), "{text}");
    }
}

#[test]
fn what_stands_behind_the_end_of_a_padded_sequence_may_be_anything() {
    let config = Config::new(Architecture::new(Cell::Lstm, 1, 3)).unwrap();
    let (steps, batch, lengths) = (3, 2, [1, 3]);
    let x = [0.1, 0.2, f32::NAN, 0.4, f32::INFINITY, 0.6];
    assert!(text(Sequences::new(config, &x, steps, batch)).contains("index 2"));
    let sequences = Sequences::padded(config, &x, steps, batch, &lengths).unwrap();
    let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(0));
    let mut network = Network::new(config);
    let y = network.run(&parameters, &sequences).to_vec();
    let (mut gradient, mut dx) = (Parameters::zeros(config), [f32::NAN; 6]);
    network.backward_to_inputs(&parameters, &x, &y, &mut gradient, &mut dx);
    assert!(gradient.is_finite() && dx.iter().all(|dx| dx.is_finite()));
    // as with any other padding
    let plain = x.map(|x| if x.is_finite() { x } else { 9.0 });
    let sequences = Sequences::new(config, &plain, steps, batch).unwrap();
    let sequences = sequences.with_lengths(&lengths).unwrap();
    assert_eq!(y, network.run(&parameters, &sequences));

    // before the end it is refused, by its place
    let text_of =
        |x: &[f32], lengths: &[usize]| text(Sequences::padded(config, x, steps, batch, lengths));
    assert!(text_of(&x, &[2, 3]).contains("NaN at index 2"));
    assert!(
        text_of(&[0.0, 0.0, 0.0, 0.0, 0.0, f32::INFINITY], &lengths).contains("inf at index 5")
    );
    assert!(text_of(&x, &[1, 4]).contains("a length of 4"));
    assert!(text_of(&x, &[1]).contains("1 lengths"));
    assert!(text_of(&x[1..], &lengths).contains("5 values"));

    // and so with symbols
    let config = Config::new(Architecture::new(Cell::Lstm, 4, 3)).unwrap();
    let symbols = vec![0, 1, 77, 2, u32::MAX, 3];
    assert!(Sequences::padded(config, &symbols, steps, batch, &lengths).is_ok());
    let text = text(
        Sequences::padded(config, &symbols, steps, batch, &[1, 2])
            .and_then(|_| Sequences::padded(config, &symbols, steps, batch, &[3, 2])),
    );
    assert!(text.contains("step 1 of sequence 0 is 77"), "{text}");
}

/// The columns `range` of `[rows, batch, width]`.
fn columns<T: Copy>(all: &[T], batch: usize, width: usize, range: Range<usize>) -> Vec<T> {
    let rows = all.chunks_exact(batch * width);
    rows.flat_map(|row| row[range.start * width..range.end * width].to_vec()).collect()
}

fn close(found: &[f32], expected: &[f32]) -> bool {
    let near = |(f, e): (&f32, &f32)| (f - e).abs() <= 1e-5 * (1.0 + e.abs());
    found.len() == expected.len() && found.iter().zip(expected).all(near)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shares_give_the_outputs_states_and_gradients_of_the_whole(
        architecture in architectures(1..6, 1..20, 1..5),
        lengths in prop::collection::vec(1_usize..7, 1..9),
        (has_lengths, starts, symbols) in any::<(bool, bool, bool)>(),
        cut in any::<prop::sample::Index>(),
        seed: u64,
    ) {
        let config = Config::new(architecture).unwrap();
        let (batch, inputs, outputs) = (lengths.len(), config.inputs(), config.outputs());
        let steps = *lengths.iter().max().unwrap();
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let parameters = Parameters::initialised(config, &mut generator);
        let mut random = |count: usize| -> Vec<f32> {
            (0..count).map(|_| generator.random_range(-1.0..1.0)).collect()
        };
        let x = random(steps * batch * inputs);
        let zeros = State::zeros(config, batch);
        let (h, c) = (random(zeros.h().len()), random(zeros.c().len()));
        let state = State::new(config, batch, h, c).unwrap();
        let picked: Vec<u32> =
            (0..steps * batch).map(|_| generator.random_range(0..inputs as u32)).collect();

        let mut all = if symbols {
            Sequences::of_symbols(config, &picked, steps, batch).unwrap()
        } else {
            Sequences::new(config, &x, steps, batch).unwrap()
        };
        if has_lengths {
            all = all.with_lengths(&lengths).unwrap();
        }
        if starts {
            all = all.starting_from(&state).unwrap();
        }
        let mut network = Network::new(config);
        let y = network.run(&parameters, &all).to_vec();
        let end = network.state();
        let mut gradient = Parameters::zeros(config);
        network.backward(&parameters, all.inputs(), &y, &mut gradient);

        let cut = cut.index(batch + 1);
        let mut sum = vec![0.0; gradient.arena().len()];
        let mut joined = State::zeros(config, batch);
        for range in [0..cut, cut..batch, 0..0] {
            let own_x = columns(&x, batch, inputs, range.clone());
            let own_symbols = columns(&picked, batch, 1, range.clone());
            let (own_lengths, own_state) = (&lengths[range.clone()], state.columns(range.clone()));
            let mut share = if symbols {
                Sequences::of_symbols(config, &own_symbols, steps, range.len()).unwrap()
            } else {
                Sequences::new(config, &own_x, steps, range.len()).unwrap()
            };
            if has_lengths {
                share = share.with_lengths(own_lengths).unwrap();
            }
            if starts {
                share = share.starting_from(&own_state).unwrap();
            }
            let of_share = network.run(&parameters, &share).to_vec();
            let expected = columns(&y, batch, outputs, range.clone());
            prop_assert!(close(&of_share, &expected), "{range:?}");
            joined.set_columns(range.start, &network.state());
            let mut gradient = Parameters::zeros(config);
            network.backward(&parameters, share.inputs(), &of_share, &mut gradient);
            sum.iter_mut().zip(gradient.arena()).for_each(|(sum, g)| *sum += g);
        }
        prop_assert!(close(joined.h(), end.h()) && close(joined.c(), end.c()));
        let largest = gradient.arena().iter().fold(0.0_f32, |most, g| most.max(g.abs()));
        let near = |(f, e): (&f32, &f32)| (f - e).abs() <= 1e-4 * (1.0 + largest);
        prop_assert!(sum.iter().zip(gradient.arena()).all(near));
    }
}

#[test]
fn states_are_split_and_joined_by_sequence() {
    let architecture = Architecture { layers: 2, ..Architecture::new(Cell::Lstm, 1, 2) };
    let config = Config::new(architecture).unwrap();
    let h: Vec<f32> = (0..12).map(|n| n as f32).collect(); // [2, 3, 2]
    let c = h.iter().map(|h| 100.0 + h).collect();
    let state = State::new(config, 3, h, c).unwrap();
    let part = state.columns(1..3);
    assert_eq!(part.batch(), 2);
    assert_eq!(part.h(), [2.0, 3.0, 4.0, 5.0, 8.0, 9.0, 10.0, 11.0]);
    assert_eq!(part.c()[0], 102.0);
    let mut joined = State::zeros(config, 3);
    joined.set_columns(1, &part);
    joined.set_columns(0, &state.columns(0..1));
    assert_eq!(joined, state);
    joined.set_columns(3, &state.columns(3..3));
    assert_eq!(joined, state);
}

#[test]
#[should_panic(expected = "no sequences 2..4 among 3")]
fn columns_that_are_not_there_are_refused() {
    let config = Config::new(Architecture::new(Cell::Gru, 1, 2)).unwrap();
    let _ = State::zeros(config, 3).columns(2..4);
}

#[test]
#[should_panic(expected = "2 sequences")]
fn columns_of_another_network_are_refused() {
    let config = |hidden| Config::new(Architecture::new(Cell::Gru, 1, hidden)).unwrap();
    State::zeros(config(2), 3).set_columns(0, &State::zeros(config(3), 2));
}

#[test]
fn the_input_rows_are_those_of_the_first_weights() {
    for architecture in [
        Config::lab(3, 20, 1).unwrap().architecture(),
        Architecture { bidirectional: true, ..Architecture::new(Cell::Lstm, 3, 5) },
    ] {
        let config = Config::new(architecture).unwrap();
        let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(0));
        let rows = parameters.input_rows();
        assert_eq!((rows.rows, rows.rows), (config.symbols(), config.inputs()));
        let weight = &parameters.tensors()[0];
        for row in 0..rows.rows {
            let from = rows.start + row * rows.stride;
            let places: Vec<_> = (0..weight.rows()).map(|unit| weight.index(unit, row)).collect();
            assert!(places.iter().all(|place| (from..from + rows.stride).contains(place)));
        }
    }
}

#[test]
#[should_panic(expected = "symbols have no gradient")]
fn symbols_have_no_gradient() {
    let config = Config::lab(2, 4, 1).unwrap();
    let parameters = Parameters::zeros(config);
    let symbols = [1, 0];
    let sequences = Sequences::of_symbols(config, &symbols, 2, 1).unwrap();
    let mut network = Network::new(config);
    network.run(&parameters, &sequences);
    let mut gradient = Parameters::zeros(config);
    let inputs = sequences.inputs();
    network.backward_to_inputs(&parameters, inputs, &[0.0; 2], &mut gradient, &mut [0.0; 4]);
}

#[test]
#[should_panic(expected = "the backward pass is given symbols")]
fn the_backward_pass_takes_the_kind_of_inputs_that_the_forward_pass_had() {
    let gru = Architecture::new(Cell::Gru, 2, 4);
    let last = Some(Head { steps: HeadSteps::Last, ..Head::linear(1) });
    let config = Config::new(Architecture { head: last, ..gru }).unwrap();
    let parameters = Parameters::zeros(config);
    let mut network = Network::new(config);
    network.forward(&parameters, &[0.0, 1.0], 1, 1);
    let symbols = vec![1];
    network.backward(&parameters, &symbols, &[0.0], &mut Parameters::zeros(config));
}
