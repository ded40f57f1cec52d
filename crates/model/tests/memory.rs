//! Networks that remember their outputs (Jordan) or their last inputs (a window): what only they
//! have. (How they agree with the reference is `gradient.rs`'s, and the reference with central
//! differences `reference.rs`'s.)

mod sample;

use model::loss::{self, Terms};
use model::{
    Architecture, Cell, Config, Head, HeadActivation, HeadSteps, Memory, Network, Nonlinearity,
    Parameters, Sequences, State, Stream, weights,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sample::small_architectures;

fn generator(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

fn small(memory: Memory) -> Architecture {
    let cell = Cell::Elman(Nonlinearity::Tanh);
    Architecture { memory, head: Some(Head::linear(1)), ..Architecture::new(cell, 1, 1) }
}

/// Parameters by PyTorch's names, all of one value.
fn with(config: Config, values: &[(&str, &[f32])]) -> Parameters {
    let mut parameters = Parameters::zeros(config);
    let tensors = parameters.tensors();
    assert_eq!(tensors.len(), values.len());
    for (tensor, (name, values)) in tensors.iter().zip(values) {
        assert_eq!(tensor.name(), *name);
        let places: Vec<_> = tensor.indices().collect();
        assert_eq!(places.len(), values.len());
        places.iter().zip(*values).for_each(|(&at, &value)| parameters.arena_mut()[at] = value);
    }
    parameters
}

#[test]
fn a_window_sees_its_last_inputs_in_the_order_of_time_and_zeros_before() {
    let relu = Cell::Elman(Nonlinearity::Relu);
    let architecture = Architecture { cell: relu, ..small(Memory::Window(3)) };
    let config = Config::new(architecture).unwrap();
    let parameters = with(
        config,
        &[
            ("weight_ih_l0", &[100.0, 10.0, 1.0]),
            ("bias_ih_l0", &[0.5]),
            ("head.weight", &[2.0]),
            ("head.bias", &[0.25]),
        ],
    );
    assert_eq!(parameters.tensors()[0].shape(), [1, 3]);
    let mut network = Network::new(config);
    let x = [1.0, 2.0, 3.0, 4.0];
    let y = [3.25, 25.25, 247.25, 469.25]; // 2·(1 + ½) + ¼, 2·(12 + ½) + ¼, 2·(123 + ½) + ¼, …
    assert_eq!(network.forward(&parameters, &x, 4, 1), y);
    assert_eq!(network.state().h(), [3.0, 4.0]);
    assert_eq!(network.hidden(2, 0), [123.5]);
}

#[test]
fn a_jordan_network_sees_its_output_of_the_step_before() {
    let relu = Cell::Elman(Nonlinearity::Relu);
    let config = Config::new(Architecture { cell: relu, ..small(Memory::Output) }).unwrap();
    let parameters = with(
        config,
        &[
            ("weight_ih_l0", &[1.0]),
            ("weight_hh_l0", &[10.0]),
            ("bias_ih_l0", &[0.25]),
            ("bias_hh_l0", &[0.25]),
            ("head.weight", &[2.0]),
            ("head.bias", &[0.0]),
        ],
    );
    let mut network = Network::new(config);
    let y = [3.0, 65.0, 1307.0]; // 2·(1 + ½), 2·(2 + 30 + ½), 2·(3 + 650 + ½)
    assert_eq!(network.forward(&parameters, &[1.0, 2.0, 3.0], 3, 1), y);
    assert_eq!(network.state().h(), [1307.0]);
    // and what it remembers is behind the head's activation
    let sigmoid = Head { activation: HeadActivation::Sigmoid, ..Head::linear(1) };
    let architecture = Architecture { head: Some(sigmoid), ..small(Memory::Output) };
    let config = Config::new(architecture).unwrap();
    let parameters = Parameters::zeros(config);
    let mut network = Network::new(config);
    assert_eq!(network.forward(&parameters, &[1.0], 1, 1), [0.5]);
    assert_eq!(network.state().h(), [0.5]);
}

fn is_near(found: &[f32], expected: &[f32]) -> bool {
    let near = |(f, e): (&f32, &f32)| (f - e).abs() <= 2e-6 * (1.0 + e.abs());
    found.len() == expected.len() && found.iter().zip(expected).all(near)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chunks_streams_and_inference_say_what_the_whole_says(
        architecture in small_architectures(1..9, 1..40, 1..9),
        (steps, batch, chunk) in (1_usize..20, 1_usize..6, 1_usize..8),
        embedding in prop::option::of(1_usize..9),
        symbols: bool,
        seed: u64,
    ) {
        let config = Config::new(Architecture { embedding, ..architecture }).unwrap();
        let mut generator = generator(seed);
        let parameters = Parameters::initialised(config, &mut generator);
        let picked: Vec<u32> = (0..steps * batch)
            .map(|_| generator.random_range(0..config.symbols() as u32))
            .collect();
        let x: Vec<f32> = (0..steps * batch * config.inputs())
            .map(|_| generator.random_range(-1.0..1.0))
            .collect();
        let is_symbols = symbols || embedding.is_some();
        let sequences = |range: std::ops::Range<usize>| {
            let (steps, width) = (range.len(), config.inputs());
            if is_symbols {
                let part = &picked[range.start * batch..range.end * batch];
                Sequences::of_symbols(config, part, steps, batch).unwrap()
            } else {
                let part = &x[range.start * batch * width..range.end * batch * width];
                Sequences::new(config, part, steps, batch).unwrap()
            }
        };
        let mut network = Network::new(config);
        let whole = network.run(&parameters, &sequences(0..steps)).to_vec();
        let end = network.state();
        prop_assert_eq!(&whole, network.infer(&parameters, &sequences(0..steps)));

        let (mut state, mut y) = (State::zeros(config, batch), vec![]);
        for start in (0..steps).step_by(chunk) {
            let part = sequences(start..steps.min(start + chunk)).starting_from(&state).unwrap();
            y.extend_from_slice(network.run(&parameters, &part));
            state = network.state();
        }
        prop_assert_eq!(&y, &whole);
        prop_assert_eq!(&state, &end);

        let outputs = config.outputs();
        for b in 0..batch {
            let mut stream = Stream::new(parameters.clone()).unwrap();
            let mut found = vec![0.0; steps * outputs];
            let mut before = stream.snapshot();
            for (t, y) in found.chunks_exact_mut(outputs).enumerate() {
                let row = t * batch + b;
                if t == steps / 2 {
                    stream.snapshot_into(&mut before).unwrap();
                    stream.reset();
                    stream.restore(&before).unwrap();
                }
                let used = allocation_counter::measure(|| {
                    if is_symbols {
                        stream.step_symbol(picked[row], y).unwrap();
                    } else {
                        let width = config.inputs();
                        stream.step(&x[row * width..][..width], y).unwrap();
                    }
                });
                assert_eq!(used.count_total, 0);
            }
            let expected: Vec<f32> = (0..steps)
                .flat_map(|t| whole[(t * batch + b) * outputs..][..outputs].to_vec())
                .collect();
            prop_assert!(is_near(&found, &expected), "{found:?}, not {expected:?}");
            prop_assert!(is_near(stream.snapshot().h(), end.columns(b..b + 1).h()));
        }
    }

    #[test]
    fn symbols_are_one_hot_rows_and_rows_of_an_embedding(
        architecture in small_architectures(1..9, 1..20, 1..5),
        lengths in prop::collection::vec(1_usize..8, 1..5),
        seed: u64,
    ) {
        let plain = Config::new(architecture).unwrap();
        let with_table = Architecture { embedding: Some(plain.inputs()), ..architecture };
        let with_table = Config::new(with_table).unwrap();
        let (batch, inputs) = (lengths.len(), plain.inputs());
        let steps = *lengths.iter().max().unwrap();
        let mut generator = generator(seed);
        let parameters = Parameters::initialised(plain, &mut generator);
        let symbols: Vec<u32> =
            (0..steps * batch).map(|_| generator.random_range(0..inputs as u32)).collect();
        let mut x = vec![0.0; symbols.len() * inputs];
        x.chunks_exact_mut(inputs).zip(&symbols).for_each(|(x, &s)| x[s as usize] = 1.0);
        // the embedding of one-hot rows: the identity
        let mut of_table = Parameters::zeros(with_table);
        for tensor in of_table.tensors() {
            let from = parameters.tensors().into_iter().find(|from| from.name() == tensor.name());
            for (place, to) in tensor.indices().enumerate() {
                of_table.arena_mut()[to] = match &from {
                    Some(from) => parameters.arena()[from.indices().nth(place).unwrap()],
                    None => f32::from(u8::from(place / inputs == place % inputs)),
                };
            }
        }

        let pass = |config, parameters: &Parameters, sequences: Sequences<'_>| {
            let mut network = Network::new(config);
            let y = network.run(parameters, &sequences).to_vec();
            let mut gradient = Parameters::zeros(config);
            gradient.arena_mut().fill(f32::NAN);
            network.backward(parameters, sequences.inputs(), &y, &mut gradient);
            assert!(gradient.arena().iter().all(|g| g.is_finite()));
            (y, gradient)
        };
        let of_values = Sequences::new(plain, &x, steps, batch).unwrap();
        let (y, gradient) = pass(plain, &parameters, of_values.with_lengths(&lengths).unwrap());
        let of_symbols = Sequences::padded(plain, &symbols, steps, batch, &lengths).unwrap();
        let (found, found_gradient) = pass(plain, &parameters, of_symbols);
        prop_assert!(found == y && found_gradient.arena() == gradient.arena());
        let of_rows = Sequences::padded(with_table, &symbols, steps, batch, &lengths).unwrap();
        let (found, found_gradient) = pass(with_table, &of_table, of_rows);
        prop_assert!(found == y);
        let behind = found_gradient.input_rows().all().end;
        prop_assert!(&found_gradient.arena()[behind..] == gradient.arena());

        // the rows of the table: what the inputs get
        let mut network = Network::new(plain);
        let of_values = of_values.with_lengths(&lengths).unwrap();
        let y = network.run(&parameters, &of_values).to_vec();
        let (mut dx, mut gradient) = (vec![0.0; x.len()], Parameters::zeros(plain));
        network.backward_to_inputs(&parameters, &x, &y, &mut gradient, &mut dx);
        let mut rows = vec![0.0; inputs * inputs];
        for (dx, &symbol) in dx.chunks_exact(inputs).zip(&symbols) {
            for (n, &dx) in dx.iter().enumerate() {
                rows[symbol as usize * inputs + n] += f64::from(dx);
            }
        }
        let table = &found_gradient.tensors()[0];
        let found: Vec<f64> =
            table.indices().map(|place| f64::from(found_gradient.arena()[place])).collect();
        let near = |(f, r): (&f64, &f64)| (f - r).abs() <= 1e-5 * (1.0 + r.abs());
        prop_assert!(found.iter().zip(&rows).all(near));
    }
}

#[test]
fn no_steps_or_no_sequences_give_a_zero_gradient_and_leave_the_state() {
    for memory in [Memory::Output, Memory::Window(1), Memory::Window(4)] {
        let config = Config::new(small(memory)).unwrap();
        let parameters = Parameters::initialised(config, &mut generator(0));
        for (steps, batch) in [(0, 2), (3, 0), (0, 0), (1 << 40, 0)] {
            let mut network = Network::new(config);
            let width = config.state_width();
            let h: Vec<f32> = (0..batch * width).map(|n| n as f32).collect();
            let state = State::new(config, batch, h, vec![]).unwrap();
            assert!(network.forward(&parameters, &[], steps, batch).is_empty());
            let sequences = Sequences::new(config, &[], steps.min(9), batch).unwrap();
            let sequences = sequences.starting_from(&state).unwrap();
            assert!(network.run(&parameters, &sequences).is_empty());
            assert_eq!(network.state(), state);
            let mut gradient = Parameters::uniform(config, &mut generator(1));
            network.backward(&parameters, &[], &[], &mut gradient);
            assert!(gradient.arena().iter().all(|&g| g == 0.0), "{memory:?}");
            assert_eq!(network.start_gradient(), Some(State::zeros(config, batch)));
        }
    }
}

/// The mean squared error of a network of this memory, trained to say which input was there two
/// steps ago (`delay`), or to alternate, 1, 0, 1, …, from no input at all.
fn trained(architecture: Architecture, delays: bool) -> f64 {
    let config = Config::new(architecture).unwrap();
    let (steps, batch) = (12, 8);
    let mut generator = generator(1);
    let mut parameters = Parameters::initialised(config, &mut generator);
    let (mut network, mut gradient) = (Network::new(config), Parameters::zeros(config));
    let (mut loss, mut moments) = (0.0, vec![0.0; parameters.arena().len()]);
    for _ in 0..2_000 {
        let random = |_| f32::from(u8::from(generator.random_bool(0.5)));
        let (x, target): (Vec<f32>, Vec<f32>) = if delays {
            let x: Vec<f32> = (0..steps * batch).map(random).collect();
            let before = vec![0.0; 2 * batch];
            (x.clone(), [&before, &x[..(steps - 2) * batch]].concat())
        } else {
            let t = (0..steps * batch).map(|row| ((row / batch + 1) % 2) as f32);
            (vec![0.0; steps * batch], t.collect())
        };
        let y = network.forward(&parameters, &x, steps, batch).to_vec();
        let mut dy = vec![0.0; y.len()];
        let terms = Terms { reduction: loss::Reduction::Mean, ..Terms::all(steps, batch, 1) };
        loss = f64::from(loss::squared_error(&terms, &y, &target, &mut dy).unwrap());
        network.backward(&parameters, &x, &dy, &mut gradient);
        let weights = parameters.arena_mut().iter_mut().zip(gradient.arena());
        for ((w, g), m) in weights.zip(&mut moments) {
            *m = 0.9 * *m + g;
            *w -= 0.1 * *m;
        }
    }
    loss
}

#[test]
fn a_window_learns_what_it_sees_and_a_jordan_network_what_it_can_feed_back() {
    let of = |memory| Architecture { hidden: 8, ..small(memory) };
    assert!(trained(of(Memory::Window(3)), true) < 1e-3);
    assert!(trained(of(Memory::Window(2)), true) > 0.05); // what it does not see
    assert!(trained(of(Memory::Output), false) < 1e-2);
    assert!(trained(of(Memory::Window(3)), false) > 0.02); // from no input
}

#[test]
fn weights_go_to_a_file_and_come_back() {
    for memory in [Memory::Output, Memory::Window(4)] {
        let architecture = Architecture { inputs: 3, hidden: 18, ..small(memory) };
        let config = Config::new(architecture).unwrap();
        let parameters = Parameters::initialised(config, &mut generator(0));
        let again = weights::from_bytes(config, &weights::to_bytes(&parameters)).unwrap();
        assert_eq!(again.arena(), parameters.arena());
        // the shapes of another memory do not fit
        let other = Config::new(Architecture { memory: Memory::State, ..architecture }).unwrap();
        assert!(weights::from_bytes(other, &weights::to_bytes(&parameters)).is_err());
    }
}

#[test]
fn only_one_small_layer_remembers_something_else_than_its_states() {
    for memory in [Memory::Output, Memory::Window(2)] {
        let small = small(memory);
        assert!(Config::new(small).is_ok());
        let last = Head { steps: HeadSteps::Last, ..Head::linear(1) };
        for (architecture, found) in [
            (Architecture { cell: Cell::Gru, ..small }, "3 gates"),
            (Architecture { cell: Cell::Lstm, ..small }, "4 gates"),
            (Architecture { layers: 2, ..small }, "2 layers"),
            (Architecture { bidirectional: true, ..small }, "two directions"),
            (Architecture { layers: 2, dropout: 0.5, ..small }, "2 layers"),
            (Architecture { head: None, ..small }, "no head"),
            (Architecture { head: Some(last), ..small }, "last step"),
        ] {
            let text = Config::new(architecture).unwrap_err().to_string();
            assert!(text.contains(found) && text.contains("one layer"), "{text}");
        }
    }
    let text = Config::new(small(Memory::Window(0))).unwrap_err().to_string();
    assert!(text.contains("window"), "{text}");
    for length in [usize::MAX, 1 << 40] {
        assert!(Config::new(small(Memory::Window(length))).is_err());
    }
    // a state of another memory is refused, though it is as wide
    let (one, other) = (Memory::Output, Memory::Window(2));
    let state = State::zeros(Config::new(small(one)).unwrap(), 1);
    let sequences = Sequences::new(Config::new(small(other)).unwrap(), &[0.0], 1, 1).unwrap();
    assert!(sequences.starting_from(&state).is_err());
}
