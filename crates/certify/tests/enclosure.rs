//! The checker's enclosures hold what the kernels compute.

use kernels::reference::sigmoid;
use model::{
    Architecture, Config, Head, HeadActivation, HeadSteps, Network, Nonlinearity, Parameters,
    Stream, weights,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use verify::{AbstractState, Cell, Machine, Table};

/// Three symbols of `inputs` (I) random values, and as many outputs.
fn machine(inputs: usize, outputs: usize, generator: &mut Xoshiro256PlusPlus) -> Machine {
    let names = |count: usize| (0..count).map(|n| n.to_string()).collect();
    let mut value = || f64::from(generator.random_range(-1.0..=1.0_f32));
    let shown = (0..3).map(|_| (0..inputs).map(|_| value()).collect()).collect();
    let transitions = vec![(0..3).map(|n| Some([0, n % outputs])).collect()];
    let table = Table {
        name: "random".to_owned(),
        symbols: names(3),
        shown,
        outputs: names(outputs),
        states: names(1),
        transitions,
    };
    table.try_into().unwrap()
}

/// What f32 computes lies in what the checker encloses, at every step of any word, for random
/// weights of several magnitudes: the pass over whole words and the stream, which users meet.
#[test]
fn the_f32_network_stays_in_the_enclosure() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(5);
    let cells = [
        (Cell::Sigmoid, model::Cell::Elman(Nonlinearity::Sigmoid)),
        (Cell::Tanh, model::Cell::Elman(Nonlinearity::Tanh)),
        (Cell::Relu, model::Cell::Elman(Nonlinearity::Relu)),
        (Cell::Gru, model::Cell::Gru),
        (Cell::Lstm, model::Cell::Lstm),
    ];
    for (cell, of_model) in cells {
        let mut steps = 0;
        for hidden in [1, 2, 3, 8, 9, 16, 17, 33] {
            for (bias, scale, inputs, outputs) in [
                (false, 1.0, 2, 2),
                (true, 1.0, 1, 3),
                (false, 10.0, 3, 2),
                (true, 0.01, 5, 17),
                (true, 0.3, 17, 4),
            ] {
                let machine = machine(inputs, outputs, &mut generator);
                let activation = match machine.head_outputs() {
                    1 => HeadActivation::Sigmoid,
                    _ => HeadActivation::Identity,
                };
                let outputs = machine.head_outputs();
                let head = Head { outputs, bias, steps: HeadSteps::Every, activation };
                let layer = Architecture::new(of_model, inputs, hidden);
                let config = Config::new(Architecture { bias, head: Some(head), ..layer }).unwrap();
                let mut parameters = Parameters::uniform(config, &mut generator);
                parameters.for_each_row_mut(|row| row.iter_mut().for_each(|w| *w *= scale));
                let file = weights::to_bytes(&parameters);
                let enclosure = verify::Network::read(&file, cell, &machine).unwrap();
                assert_eq!((enclosure.hidden(), enclosure.bias()), (hidden, bias));
                let word: Vec<usize> = (0..8).map(|_| generator.random_range(0..3)).collect();
                let shown = |&symbol: &usize| machine.shown(symbol).iter().map(|&x| x as f32);
                let x: Vec<f32> = word.iter().flat_map(shown).collect();
                let mut network = Network::new(config);
                let y = network.forward(&parameters, &x, word.len(), 1).to_vec();
                let mut stream = Stream::new(parameters.clone()).unwrap();
                let mut answer = vec![0.0; outputs];
                let mut state = AbstractState::origin(enclosure.state_size());
                for (t, &symbol) in word.iter().enumerate() {
                    state = enclosure.step(&state, symbol);
                    if state.high().iter().any(|&high| high > 8.0) {
                        break; // beyond what is enclosed of a ReLU: a certificate is refused there
                    }
                    steps += 1;
                    stream.step(&x[t * inputs..][..inputs], &mut answer).unwrap();
                    let streamed = stream.snapshot();
                    let whole = network.hidden(t, 0).iter().enumerate();
                    let numbers = streamed.h().iter().chain(streamed.c()).enumerate();
                    assert_eq!(streamed.h().len() + streamed.c().len(), enclosure.state_size());
                    for (n, &number) in whole.chain(numbers) {
                        let number = f64::from(number);
                        let name = format!("{cell:?}, {hidden} units, step {t}");
                        assert!(state.low()[n] <= number && number <= state.high()[n], "{name}");
                        let unit: Vec<f64> =
                            (0..=n).map(|k| if k == n { 1.0 } else { 0.0 }).collect();
                        let (low, high) = state.range(&unit);
                        assert!(low <= number && number <= high, "{name}");
                    }
                    for n in 0..outputs {
                        let (low, high) = enclosure.output(&state, n);
                        for y in [y[t * outputs + n], answer[n]] {
                            let y = f64::from(y);
                            match activation {
                                HeadActivation::Sigmoid => {
                                    assert!(sigmoid(low) - 1e-6 <= y && y <= sigmoid(high) + 1e-6);
                                }
                                HeadActivation::Identity => assert!(low <= y && y <= high),
                            }
                        }
                    }
                }
            }
        }
        assert!(steps >= 200, "{cell:?}: {steps}");
    }
}
