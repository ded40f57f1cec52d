//! Criterion group `lab`: learning to add, T = 8, from one example to the whole run.
//!
//! | name | what is timed |
//! | --- | --- |
//! | `example/H` | one example of a running training, batch 1: sample, encode, forward, loss, BPTT, update |
//! | `batch/B` | one update on B examples, H = 16; the throughput is in examples |
//! | `run` | 10,000 examples from fresh weights, H = 16, batch 1 |
//! | `inference` | a forward pass, H = 16, batch 1; passes do not wait for each other |
//!
//! The training that is timed is first checked against the f64 reference, and the run
//! against what it must have learned. A table printed first compares the time of an example
//! with its floor, measured in the same process: see the module `floor`.
//!
//! What this is not: a comparison with other programs, which `peers/` holds.

mod beside;
mod build_check;
mod check;
mod floor;
mod moments;

use std::hint::black_box;
use std::time::{Duration, Instant};

use beside::Group;
use check::{assert_close, widened};
use criterion::{Criterion, Throughput, criterion_group};
use model::reference::Reference;
use model::{Network, Parameters};
use train::batch::{Batch, Inputs, Targets};
use train::config::{Extent, RunConfig};
use train::strategy::Serial;
use train::task::{Addition, Pair, Task};

/// Below, at and above the lanes of one vector; 64 no longer fits the registers.
const HIDDEN: [usize; 6] = [3, 5, 16, 17, 32, 64];
const BATCHES: [usize; 4] = [4, 16, 64, 256];

fn config(hidden: usize, batch: usize) -> RunConfig<Addition> {
    let recipe = Addition::recipe(8, hidden).expect("1 to 64 bits");
    RunConfig { run: Extent { batch, ..recipe.run }, ..recipe }
}

fn serial(hidden: usize, batch: usize) -> Serial<Addition> {
    Serial::new(&config(hidden, batch)).expect("the lab's configuration")
}

/// `count` pairs that are no pattern to the network, others for another `seed`.
fn pairs(task: Addition, count: usize, seed: usize) -> Vec<Pair> {
    let operand = |n: usize| n as u64 % task.operands();
    (seed * count..)
        .take(count)
        .map(|n| Pair { a: operand(n * 37 + 11), b: operand(n * n + 5) })
        .collect()
}

/// `x` `[T][I]` and `targets` `[T][O]` of one pair, as the reference takes them.
fn encode(task: Addition, pair: Pair) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let mut batch = Batch::default();
    task.encode(&[pair], &mut batch);
    let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets) else {
        panic!("a batch of additions holds values")
    };
    let rows = |values: &[f32], width| -> Vec<Vec<f64>> {
        values.chunks(width).map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect()
    };
    (rows(x, Addition::INPUTS), rows(targets, Addition::OUTPUTS))
}

/// Four updates change the weights as they change the f64 reference's. The learning rate is 1, so
/// that the change is large compared with the rounding of the weights.
fn check_updates(hidden: usize, batch: usize) {
    let mut config = config(hidden, batch);
    config.optimizer.learning_rate = 1.0;
    let mut serial = Serial::new(&config).expect("the lab's configuration");
    let (task, model) = (*serial.task(), serial.parameters().config());
    let first = Reference::from(serial.parameters());
    let mut expected = first.clone();
    for update in 0..4 {
        let pairs = pairs(task, batch, update);
        serial.train_on(|batch| task.encode(&pairs, batch));
        let mut gradient = Reference::zeros(model);
        for &pair in &pairs {
            let (x, targets) = encode(task, pair);
            let pass = expected.forward(&x);
            let (_, dy) = expected.squared_error(&pass, &targets);
            expected.backward(&pass, &dy, &mut gradient);
        }
        for (w, g) in expected.values_mut().zip(gradient.values()) {
            *w -= g / batch as f64;
        }
    }
    let found = Reference::from(serial.parameters());
    let change = |weights: &Reference| -> Vec<f64> {
        weights.values().zip(first.values()).map(|(w, first)| w - first).collect()
    };
    assert_close(change(&found), change(&expected));
}

/// The outputs of a pass over one pair are those of the f64 reference.
fn check_outputs(network: &mut Network, parameters: &Parameters, task: Addition, pair: Pair) {
    let (x, _) = encode(task, pair);
    let flat: Vec<f32> = x.iter().flatten().map(|&v| v as f32).collect();
    let found = network.forward(parameters, &flat, task.steps(), 1);
    let expected = Reference::from(parameters).forward(&x).y;
    assert_close(widened(found), expected.into_iter().flatten());
}

/// How long `examples` more examples take.
fn time(serial: &mut Serial<Addition>, examples: u64) -> Duration {
    let start = Instant::now();
    black_box(serial.train(examples));
    start.elapsed()
}

fn lab(criterion: &mut Criterion) {
    for hidden in HIDDEN {
        check_updates(hidden, 1);
    }
    floor::print_table(HIDDEN.map(|hidden| (hidden, serial(hidden, 1))), time);

    let mut group = Group::new(criterion, "lab");
    for hidden in HIDDEN {
        let mut serial = serial(hidden, 1);
        let run = |examples| time(&mut serial, examples);
        group.bench_timed("example", &hidden.to_string(), run);
    }

    for batch in BATCHES {
        check_updates(16, batch);
        let mut serial = serial(16, batch);
        group.throughput(Throughput::Elements(batch as u64));
        let run = |updates| time(&mut serial, updates * batch as u64);
        group.bench_timed("batch", &batch.to_string(), run);
    }

    let run = || {
        let mut serial = serial(16, 1);
        serial.train(10_000);
        serial
    };
    let trained = run();
    let score = trained.task().evaluate(trained.parameters(), 0);
    assert!(score.total == 16_384 && score.correct > 16_000, "seed 0 learns to add: {score:?}");
    group.throughput(Throughput::Elements(10_000));
    group.bench("run", "", || {
        black_box(run());
    });

    let (task, parameters) = (*trained.task(), trained.parameters());
    let mut network = Network::new(parameters.config());
    for pair in pairs(task, 16, 0) {
        check_outputs(&mut network, parameters, task, pair);
    }
    let mut batch = Batch::default();
    task.encode(&pairs(task, 1, 0), &mut batch);
    let Inputs::Values(x) = &batch.inputs else { panic!("a batch of additions holds values") };
    group.throughput(Throughput::Elements(1));
    group.bench("inference", "", || {
        black_box(network.forward(parameters, black_box(x), 8, 1));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    // Criterion's default of 8 s a benchmark is no more precise here.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200));
    targets = lab
}

fn main() {
    build_check::refuse_slow_build();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
