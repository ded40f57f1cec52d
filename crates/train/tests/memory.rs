//! The estimate of memory beside what is allocated.

use model::Cell;
use train::config::{NetworkConfig, RunConfig};
use train::memory;
use train::optimizer::Rule;
use train::task::Addition;
use train::trainer::Trainer;

/// The bytes that a serial training has at most at a time, and the estimate of them.
fn both(config: &RunConfig<Addition>) -> (f64, f64) {
    let found = allocation_counter::measure(|| {
        let mut trainer = Trainer::new(config).unwrap();
        trainer.train(config.run.examples);
    });
    (found.bytes_max as f64, memory::serial_bytes(config, 1).unwrap() as f64)
}

fn config(cell: Option<Cell>, hidden: usize, bits: u32, batch: usize) -> RunConfig<Addition> {
    let mut config = Addition::recipe(bits, hidden).unwrap();
    if let Some(cell) = cell {
        config.network = NetworkConfig::new(cell, hidden);
    }
    config.run.batch = batch;
    config.run.examples = 2 * batch as u64;
    config
}

#[test]
fn the_estimate_is_near_what_a_training_allocates_where_that_is_much() {
    let mut adam = config(None, 1_000, 1, 1);
    adam.optimizer.rule = Rule::ADAM;
    let mut deep = config(Some(Cell::Lstm), 64, 16, 256);
    (deep.network.layers, deep.network.bidirectional) = (3, true);
    for (name, config) in [
        ("wide", config(None, 1_000, 1, 1)),
        ("wide, with Adam", adam),
        ("a large batch", config(None, 64, 32, 2_048)),
        ("a large batch of a GRU", config(Some(Cell::Gru), 64, 32, 512)),
        ("a large batch of an LSTM", config(Some(Cell::Lstm), 64, 32, 512)),
        ("a wide GRU", config(Some(Cell::Gru), 400, 2, 4)),
        ("three layers, both ways", deep),
    ] {
        let (found, estimate) = both(&config);
        let ratio = estimate / found;
        assert!((0.6..1.3).contains(&ratio), "{name}: {estimate} for {found}, {ratio:.2} times");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_both_figures_and_what_fits_is_not() {
    let least = memory::serial_bytes(&Addition::lab(), 1).unwrap();
    assert!(least < 1 << 20 && memory::check(least).is_ok(), "{least}");
    let large = config(None, 512, 64, 65_536);
    let needed = memory::job_bytes(&large).unwrap();
    // h and dz: 64 steps of 65,536 sequences of 512 units, 8.6 GB each
    assert!((17_000_000_000..20_000_000_000).contains(&needed), "{needed}");
    if cfg!(target_os = "linux") {
        let text = memory::check(u64::MAX).unwrap_err().to_string();
        assert!(text.contains("needs 18.4 EB") && text.contains("are available"), "{text}");
    }
}
