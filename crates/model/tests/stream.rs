//! Streams: the same outputs as a pass over whole sequences, and no allocation on the way.

use model::{
    Architecture, Cell, Config, Head, HeadActivation, Network, Nonlinearity, Parameters, State,
    Stream,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const CELLS: [Cell; 5] = [
    Cell::Elman(Nonlinearity::Tanh),
    Cell::Elman(Nonlinearity::Relu),
    Cell::Elman(Nonlinearity::Sigmoid),
    Cell::Gru,
    Cell::Lstm,
];

/// Networks of each cell, one layer and three, with all kinds of heads.
fn networks() -> impl Iterator<Item = Parameters> {
    CELLS.into_iter().flat_map(|cell| {
        [(1, 16, None), (3, 5, Some(3)), (2, 33, Some(17))].map(|(layers, hidden, outputs)| {
            let head = outputs.map(|outputs| Head {
                activation: HeadActivation::Sigmoid,
                bias: outputs == 3,
                ..Head::linear(outputs)
            });
            let bias = hidden != 33;
            let architecture = Architecture::new(cell, 7, hidden);
            let architecture = Architecture { layers, head, bias, ..architecture };
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(hidden as u64);
            Parameters::initialised(Config::new(architecture).unwrap(), &mut generator)
        })
    })
}

fn inputs(steps: usize) -> Vec<f32> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
    (0..steps * 7).map(|_| generator.random_range(-1.0..1.0)).collect()
}

/// All steps of `x`, one after the other.
fn outputs(stream: &mut Stream, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; stream.config().outputs()];
    let step = |x| {
        stream.step(x, &mut y).unwrap();
        y.clone()
    };
    x.chunks(7).flat_map(step).collect()
}

#[test]
fn a_stream_says_what_a_pass_over_the_sequence_says() {
    for parameters in networks() {
        let config = parameters.config();
        let x = inputs(50);
        let mut network = Network::new(config);
        let expected = network.forward(&parameters, &x, 50, 1);
        let mut stream = Stream::new(parameters.clone()).unwrap();
        let found = outputs(&mut stream, &x);
        let norm = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt()
        };
        let error = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
        let error = error / norm(&mut expected.iter().copied());
        assert!(error <= 1e-6, "{config:?}: off by {error:e}");
        let state = network.state();
        let snapshot = stream.snapshot();
        let states = snapshot.h().iter().zip(state.h()).chain(snapshot.c().iter().zip(state.c()));
        assert!(states.clone().all(|(a, b)| (a - b).abs() <= 1e-5), "{config:?}");
        assert!(states.count() > 0);
    }
}

#[test]
fn a_symbol_is_a_step_of_its_one_hot_row() {
    for parameters in networks() {
        let config = parameters.config();
        let mut one = Stream::new(parameters.clone()).unwrap();
        let mut other = one.clone();
        let (mut y, mut expected) = (vec![0.0; config.outputs()], vec![0.0; config.outputs()]);
        for symbol in [0, 6, 3, 3, 5, 1] {
            let mut x = [0.0; 7];
            x[symbol as usize] = 1.0;
            one.step_symbol(symbol, &mut y).unwrap();
            other.step(&x, &mut expected).unwrap();
            let near = |(y, e): (&f32, &f32)| (y - e).abs() <= 1e-6 * (1.0 + e.abs());
            assert!(y.iter().zip(&expected).all(near), "{config:?}: {y:?}, not {expected:?}");
        }
    }
}

#[test]
fn nothing_is_allocated_after_construction() {
    for parameters in networks() {
        let config = parameters.config();
        let x = inputs(3);
        let mut y = vec![0.0; config.outputs()];
        let mut stream = Stream::new(parameters).unwrap();
        let (mut state, mut again) = (State::zeros(config, 1), y.clone());
        let used = allocation_counter::measure(|| {
            stream.step(&x[..7], &mut y).unwrap();
            stream.reset();
            stream.step(&x[7..14], &mut y).unwrap();
            stream.snapshot_into(&mut state).unwrap();
            stream.step(&x[14..], &mut y).unwrap();
            stream.step_symbol(3, &mut again).unwrap();
            stream.restore(&state).unwrap();
            stream.step(&x[14..], &mut again).unwrap();
        });
        assert_eq!(used.count_total, 0, "{config:?}");
        assert_eq!(y, again, "{config:?}");
        assert_ne!(stream.snapshot(), state);
    }
    // and the counter counts
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1; 9]))).count_total > 0);
}

#[test]
fn reset_and_restore_bring_a_state_back() {
    for parameters in networks() {
        let x = inputs(9);
        let mut stream = Stream::new(parameters).unwrap();
        let first = outputs(&mut stream, &x);
        assert_ne!(first, outputs(&mut stream, &x));
        stream.reset();
        assert_eq!(first, outputs(&mut stream, &x));
        let snapshot = stream.snapshot();
        let second = outputs(&mut stream, &x);
        stream.restore(&snapshot).unwrap();
        assert_eq!(stream.snapshot(), snapshot);
        assert_eq!(second, outputs(&mut stream, &x));
    }
}

#[test]
fn what_a_stream_cannot_do_is_refused() {
    let architecture = Architecture::new(Cell::Lstm, 7, 4);
    let both = Config::new(Architecture { bidirectional: true, ..architecture }).unwrap();
    let text = Stream::new(Parameters::zeros(both)).unwrap_err().to_string();
    assert!(text.contains("bidirectional"), "{text}");

    let config = Config::new(architecture).unwrap();
    let mut weights = Parameters::zeros(config);
    weights.arena_mut()[0] = f32::NAN;
    let text = Stream::new(weights).unwrap_err().to_string();
    assert!(text.contains("`weight_ih_l0`") && text.contains("NaN"), "{text}");

    let mut stream = Stream::new(Parameters::zeros(config)).unwrap();
    let before = stream.snapshot();
    let mut y = [0.0; 4];
    let text = stream.step(&[0.0; 6], &mut y).unwrap_err().to_string();
    assert!(text.contains("6 inputs") && text.contains('7'), "{text}");
    assert!(stream.step(&[0.0; 7], &mut y[..3]).unwrap_err().to_string().contains("3 outputs"));
    let text = stream.step(&[f32::INFINITY; 7], &mut y).unwrap_err().to_string();
    assert!(text.contains("inf") && text.contains("index 0"), "{text}");
    let text = stream.step_symbol(7, &mut y).unwrap_err().to_string();
    assert!(text.contains("symbol 7") && text.contains("below 7"), "{text}");
    assert!(stream.step_symbol(6, &mut y[..3]).unwrap_err().to_string().contains("3 outputs"));
    assert_eq!(stream.snapshot(), before);
    assert!(stream.restore(&State::zeros(config, 2)).is_err());
    let text = stream.snapshot_into(&mut State::zeros(config, 2)).unwrap_err().to_string();
    assert!(text.contains("states"), "{text}");
}
