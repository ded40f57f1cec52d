// What the Rust peers share, by `#[path]`: the cases, the weights, the clock, the answer's
// form. `models_torch.py` says the same in Python, and `xtask` asks both.
//
//     peer --threads N --repeat R [--cell rnn|gru|lstm]
//
// prints one line of JSON. A training step is: zero gradients, forward from zero states,
// loss Σy² over the states of all steps, backward, SGD; inference is the forward pass.
// Every value is `uniform` of its place, so that all peers start from the same weights
// and must find the same loss.

use std::time::Instant;

#[derive(Clone, Copy, PartialEq)]
pub enum Cell {
    Rnn,
    Gru,
    Lstm,
}

pub const CELLS: [(&str, Cell); 3] = [("rnn", Cell::Rnn), ("gru", Cell::Gru), ("lstm", Cell::Lstm)];

/// I, H, T, B
#[derive(Clone, Copy)]
pub struct Sizes {
    pub inputs: usize,
    pub hidden: usize,
    pub steps: usize,
    pub batch: usize,
}

pub const SIZES: [Sizes; 4] = [
    Sizes { inputs: 64, hidden: 128, steps: 64, batch: 32 },
    Sizes { inputs: 128, hidden: 512, steps: 64, batch: 32 },
    Sizes { inputs: 64, hidden: 256, steps: 128, batch: 16 },
    Sizes { inputs: 64, hidden: 128, steps: 64, batch: 1 },
];

#[allow(dead_code)] // one peer takes f64
pub const LEARNING_RATE: f64 = 1e-6;

/// The seeds of `W_ih`, `W_hh`, `b_ih`, `b_hh` (in PyTorch's layout) and x `[T, B, I]`.
pub const SEEDS: [u32; 5] = [1, 2, 3, 4, 5];

/// `count` numbers in [−bound, bound).
pub fn uniform(seed: u32, count: usize, bound: f32) -> Vec<f32> {
    let value = |index: usize| {
        let mut bits =
            (index as u32).wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503));
        bits ^= bits >> 15;
        bits = bits.wrapping_mul(2_246_822_519);
        bits ^= bits >> 13;
        ((bits >> 8) as f32 / 8_388_608.0 - 1.0) * bound
    };
    (0..count).map(value).collect()
}

pub struct Arguments {
    pub threads: usize,
    pub repeat: usize,
    cell: Option<String>,
}

pub fn arguments() -> Arguments {
    let mut found = Arguments { threads: 1, repeat: 5, cell: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        let number =
            || value.parse().unwrap_or_else(|_| panic!("{word} takes a number, not {value}"));
        match word.as_str() {
            "--threads" => found.threads = number(),
            "--repeat" => found.repeat = number(),
            "--cell" => found.cell = Some(value),
            _ => panic!("no such option: {word}"),
        }
    }
    // The peers take their threads from rayon, and rayon takes them from here.
    let setting = std::env::var("RAYON_NUM_THREADS").unwrap_or_default();
    assert!(setting == found.threads.to_string(), "set RAYON_NUM_THREADS={}", found.threads);
    found
}

/// The first result of `step`, and the milliseconds of `repeat` more after two to warm up.
fn time<Y>(repeat: usize, mut step: impl FnMut() -> Y) -> (Y, Vec<f64>) {
    let first = step();
    (0..2).for_each(|_| drop(step()));
    let one = |_| {
        let start = Instant::now();
        let result = step();
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        drop(result);
        milliseconds
    };
    (first, (0..repeat).map(one).collect())
}

/// Times all cases that `prepare` has a network for. `train` makes one training step and
/// returns its loss; `infer` makes one forward pass, and `loss`, outside the clock, judges
/// the outputs.
pub fn compete<N, Y>(
    peer: &str,
    version: &str,
    arguments: &Arguments,
    prepare: impl Fn(Cell, Sizes) -> Option<N>,
    train: impl Fn(&mut N) -> f64,
    infer: impl Fn(&mut N) -> Y,
    loss: impl Fn(&mut N, Y) -> f64,
) {
    let mut results = Vec::new();
    for (name, cell) in CELLS {
        if arguments.cell.as_ref().is_some_and(|asked| asked != name) {
            continue;
        }
        for sizes in SIZES {
            let Sizes { inputs, hidden, steps, batch } = sizes;
            let mut push = |mode: &str, loss: f64, milliseconds: Vec<f64>| {
                assert!(loss.is_finite(), "{name}, {mode}: the loss is {loss}");
                results.push(format!(
                    r#"{{"cell":"{name}","sizes":[{inputs},{hidden},{steps},{batch}],"mode":"{mode}","loss":{loss},"milliseconds":{milliseconds:?}}}"#
                ));
            };
            let Some(mut network) = prepare(cell, sizes) else { continue };
            let (y, milliseconds) = time(arguments.repeat, || infer(&mut network));
            push("inference", loss(&mut network, y), milliseconds);
            let (first, milliseconds) = time(arguments.repeat, || train(&mut network));
            push("training", first, milliseconds);
            let last = train(&mut network);
            assert!(last < first, "{name}: from {first} to {last}, nothing was learned");
        }
    }
    println!(
        r#"{{"peer":"{peer}","version":"{version}","threads":{},"results":[{}]}}"#,
        arguments.threads,
        results.join(",")
    );
}
