//! The checker's enclosures hold what the kernels compute.

use kernels::reference::sigmoid;
use model::{Network, Parameters, weights};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use train::config::NetworkConfig;
use train::task::Addition;
use verify::{AbstractState, Cell, Machine};

/// What the machine computes lies in what the checker encloses, at every step of any
/// sequence, for random weights of several magnitudes.
#[test]
fn the_f32_network_stays_in_the_enclosure() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(5);
    for hidden in [1, 2, 3, 8, 9, 16, 17, 33] {
        for (bias, scale) in [(false, 1.0), (true, 1.0), (false, 10.0), (true, 0.01)] {
            let network = NetworkConfig { bias, ..NetworkConfig::lab(hidden) };
            let config = network.config(&Addition::lab().task).unwrap();
            let mut parameters = Parameters::uniform(config, &mut generator);
            parameters.for_each_row_mut(|row| row.iter_mut().for_each(|w| *w *= scale));
            let enclosure = verify::Network::read(
                &weights::to_bytes(&parameters),
                Cell::Sigmoid,
                &Machine::addition(),
            )
            .unwrap();
            assert_eq!((enclosure.hidden(), enclosure.bias()), (hidden, bias));
            let pairs: Vec<usize> = (0..8).map(|_| generator.random_range(0..4)).collect();
            let digit = |bit: usize| if bit == 0 { 0.0 } else { 1.0_f32 };
            let x: Vec<f32> =
                pairs.iter().flat_map(|&pair| [digit(pair / 2), digit(pair % 2)]).collect();
            let mut network = Network::new(config);
            let outputs = network.forward(&parameters, &x, pairs.len(), 1).to_vec();
            let mut state = AbstractState::origin(hidden);
            for (t, &pair) in pairs.iter().enumerate() {
                state = enclosure.step(&state, pair);
                for (j, &h) in network.hidden(t, 0).iter().enumerate() {
                    let h = f64::from(h);
                    assert!(
                        state.low()[j] <= h && h <= state.high()[j],
                        "{hidden} units, step {t}"
                    );
                    let unit: Vec<f64> =
                        (0..hidden).map(|k| if k == j { 1.0 } else { 0.0 }).collect();
                    let (low, high) = state.range(&unit);
                    assert!(low <= h && h <= high);
                }
                let (low, high) = enclosure.output(&state, 0);
                let output = f64::from(outputs[t]);
                assert!(sigmoid(low) - 1e-6 <= output && output <= sigmoid(high) + 1e-6);
            }
        }
    }
}
