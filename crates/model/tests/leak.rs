//! A process that runs for months: a million passes of random length leave its memory as it was.

use model::{Architecture, Cell, Config, Head, Network, Parameters, Stream};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::fs;

/// The passes of each half.
const PASSES: usize = 500_000;

/// The longest sequence, and the largest batch.
const LONGEST: usize = 12;

/// What may come between two looks: the allocator's and the test harness's affairs.
const SLACK: u64 = 256 * 1024;

/// The bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(4096 * pages)
}

#[test]
fn a_million_forward_passes_of_random_length_leave_memory_as_it_was() {
    if resident().is_none() {
        eprintln!("not tested: no /proc/self/statm here");
        return;
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let small = Architecture { head: Some(Head::linear(1)), ..Architecture::new(Cell::Gru, 2, 3) };
    let configs = [
        Config::lab(2, 4, 1).unwrap(),
        Config::new(small).unwrap(),
        Config::new(Architecture { bidirectional: true, layers: 2, ..small }).unwrap(),
        Config::new(Architecture { cell: Cell::Lstm, ..small }).unwrap(),
    ];
    let mut networks: Vec<_> = configs
        .map(|config| (Network::new(config), Parameters::initialised(config, &mut random)))
        .into_iter()
        .collect();
    let gru = Parameters::initialised(configs[1], &mut random);
    let x = vec![0.5; LONGEST * LONGEST * 2];
    let mut sum = 0.0;
    let mut half = || {
        for n in 0..PASSES {
            let [steps, batch] = [(); 2].map(|()| random.random_range(1..=LONGEST));
            // Mostly one sequence: a large batch takes as much time as many.
            let batch = if n.is_multiple_of(16) { batch } else { 1 };
            let (network, parameters) = &mut networks[random.random_range(0..4)];
            sum += network.forward(parameters, &x[..2 * steps * batch], steps, batch)[0];
            if n.is_multiple_of(1024) {
                // What is made and dropped in between is given back.
                let mut stream = Stream::new(gru.clone()).unwrap();
                stream.step(&x[..2], &mut [0.0]).unwrap();
            }
        }
        resident().unwrap()
    };
    let before = half(); // in which every buffer meets its largest size
    let after = half();
    assert!(sum.is_finite());
    assert!(after <= before + SLACK, "{before} bytes after the first half, {after} at the end");
}
