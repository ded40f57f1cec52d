//! Memory stays flat over many passes of any length: a network keeps its largest buffers, and
//! nothing else.

use model::{Architecture, Cell, Config, Head, Network, Parameters, Sequences};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// The bytes that `passes` forward passes of random length leave, beyond those of the longest.
fn bytes_left(config: Config, passes: usize) -> i64 {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
    let parameters = Parameters::initialised(config, &mut generator);
    let (steps, batch) = (12, 3);
    let x = vec![0.5; steps * batch * config.inputs()];
    let symbols = vec![0; steps * batch];
    let mut network = Network::new(config);
    network.forward(&parameters, &x, steps, batch);
    let longest = Sequences::of_symbols(config, &symbols, steps, batch).unwrap();
    network.run(&parameters, &longest.with_lengths(&[12, 11, 10]).unwrap());
    let uneven = Sequences::new(config, &x, steps, batch).unwrap();
    network.run(&parameters, &uneven.with_lengths(&[12, 11, 10]).unwrap());
    let used = allocation_counter::measure(|| {
        for pass in 0..passes {
            let (steps, batch) =
                (generator.random_range(0..=steps), generator.random_range(0..=batch));
            let rows = steps * batch;
            match pass % 4 {
                0 if batch > 0 && steps > 0 => {
                    let lengths = [steps, 1, steps.div_ceil(2)];
                    let x = &x[..rows * config.inputs()];
                    let sequences = Sequences::new(config, x, steps, batch).unwrap();
                    network.run(&parameters, &sequences.with_lengths(&lengths[..batch]).unwrap());
                }
                1 => {
                    let symbols = &symbols[..rows];
                    let sequences = Sequences::of_symbols(config, symbols, steps, batch).unwrap();
                    network.run(&parameters, &sequences);
                }
                _ => {
                    network.forward(&parameters, &x[..rows * config.inputs()], steps, batch);
                }
            }
        }
    });
    used.bytes_current
}

#[test]
fn a_million_passes_of_random_length_leave_memory_flat() {
    let lab = Config::lab(2, 16, 1).unwrap();
    assert!(bytes_left(lab, 1_000_000) <= 4_096);
}

#[test]
fn many_passes_of_layers_leave_memory_flat() {
    for cell in [Cell::Gru, Cell::Lstm] {
        let architecture = Architecture {
            layers: 2,
            bidirectional: true,
            head: Some(Head::linear(3)),
            ..Architecture::new(cell, 2, 5)
        };
        let config = Config::new(architecture).unwrap();
        assert!(bytes_left(config, 20_000) <= 4_096, "{}", bytes_left(config, 20_000));
    }
}
