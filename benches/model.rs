//! Criterion group `model`: recurrent layers, forward and training, at PyTorch's door.
//!
//! | name | what is timed |
//! | --- | --- |
//! | `training/CELL/…` | a training step: forward from zero states, loss Σy² over the states of all steps, BPTT (which writes over the gradient), SGD |
//! | `inference/CELL/…` | a forward pass for its outputs alone |
//! | `step/CELL/carry` | a step of a stream, one sequence, parameter `IxH`; each step waits for the one before |
//!
//! The last part of the name is `carry` on one thread, `carry_2_threads` with the batch
//! split over two; the parameter is `IxHxTxB`. One layer with biases, no head. Throughput
//! is in FLOP: 2·T·B·G·H·(H + I) forward, G the gates, and three times that for training;
//! what the gates' own arithmetic, biases, loss and SGD take is not counted.
//!
//! Before each case the peak of this core is measured and printed: the clock wanders, and
//! only shares of it can be compared. Beside a case of one sequence stands its floor: see
//! [`floor`].
//!
//! Before it is timed a network of that size is compared with the f64 reference: the
//! outputs and the gradient of whole batches at a small size, the outputs of one sequence
//! at the large, the gradient of two threads with that of one, a stream with a pass.
//!
//! What this is not: a comparison with other programs, which `peers/` holds.

#[path = "roofline.rs"]
mod roofline;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use criterion::{criterion_group, criterion_main};
use model::reference::Reference;
use model::{Architecture, Cell, Config, Network, Nonlinearity, Parameters, Sequences, Stream};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use roofline::Roofline;
use train::batch::Batch;
use train::optimizer::Sgd;
use train::parallel::Parallel;

const CELLS: [(&str, Cell); 3] =
    [("rnn", Cell::Elman(Nonlinearity::Tanh)), ("gru", Cell::Gru), ("lstm", Cell::Lstm)];

/// I, H, T, B
type Sizes = [usize; 4];

const SIZES: [Sizes; 4] =
    [[64, 128, 64, 32], [128, 512, 64, 32], [64, 256, 128, 16], [64, 128, 64, 1]];

/// I, H of the streams.
const STREAMS: [[usize; 2]; 3] = [[16, 16], [16, 64], [64, 64]];

/// Off the lanes and tiles, and small enough to compare all of it with the reference.
const SMALL: Sizes = [5, 35, 9, 3];

/// So small that a timed training stays where it began.
const LEARNING_RATE: f32 = 1e-7;

struct Case {
    config: Config,
    steps: usize,
    batch: usize,
    parameters: Parameters,
    /// `[T, B, I]`
    x: Vec<f32>,
    network: Network,
    gradient: Parameters,
    /// `[T, B, H]`
    dy: Vec<f32>,
}

impl Case {
    fn new(cell: Cell, [inputs, hidden, steps, batch]: Sizes) -> Self {
        let config = Config::new(Architecture::new(cell, inputs, hidden)).expect("a network");
        let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(0));
        let x = (0..steps * batch * inputs).map(|k| (k as f32 * 0.7).sin()).collect();
        Self {
            config,
            steps,
            batch,
            parameters,
            x,
            network: Network::new(config),
            gradient: Parameters::zeros(config),
            dy: vec![0.0; steps * batch * hidden],
        }
    }

    /// Zero gradients, forward, loss, BPTT: the loss.
    fn differentiate(&mut self) -> f64 {
        let y = self.network.forward(&self.parameters, &self.x, self.steps, self.batch);
        let loss = sum_of_squares(y, &mut self.dy);
        self.network.backward(&self.parameters, &self.x, &self.dy, &mut self.gradient);
        loss
    }

    fn infer(&mut self) -> &[f32] {
        let sequences = Sequences::new(self.config, &self.x, self.steps, self.batch);
        self.network.infer(&self.parameters, &sequences.expect("finite inputs"))
    }

    /// One sequence as the reference takes it, `[T][width]`.
    fn rows(&self, values: &[f32], width: usize, sequence: usize) -> Vec<Vec<f64>> {
        let step = |step: &[f32]| {
            step[sequence * width..][..width].iter().map(|&v| f64::from(v)).collect()
        };
        values.chunks(self.batch * width).map(step).collect()
    }

    /// The outputs of `sequences` sequences are the reference's.
    fn check_outputs(&mut self, sequences: usize) {
        let (inputs, hidden) = (self.config.inputs(), self.config.hidden());
        let reference = Reference::from(&self.parameters);
        for training in [true, false] {
            let y = if training {
                self.network.forward(&self.parameters, &self.x, self.steps, self.batch).to_vec()
            } else {
                self.infer().to_vec()
            };
            for sequence in 0..sequences {
                let expected = reference.forward(&self.rows(&self.x, inputs, sequence)).y;
                let found = self.rows(&y, hidden, sequence);
                assert_close(found.iter().flatten().copied(), expected.iter().flatten().copied());
            }
        }
    }

    /// The gradient of the whole batch is the reference's.
    fn check_gradient(&mut self) {
        let inputs = self.config.inputs();
        let reference = Reference::from(&self.parameters);
        let mut expected = Reference::zeros(self.config);
        for sequence in 0..self.batch {
            let pass = reference.forward(&self.rows(&self.x, inputs, sequence));
            let twice = |row: &Vec<f64>| row.iter().map(|y| 2.0 * y).collect();
            let dy: Vec<Vec<f64>> = pass.y.iter().map(twice).collect();
            reference.backward(&pass, &dy, &mut expected);
        }
        self.differentiate();
        assert_close(Reference::from(&self.gradient).values(), expected.values());
    }
}

/// `Σ y²`, and its gradient `dy ← 2·y`.
fn sum_of_squares(y: &[f32], dy: &mut [f32]) -> f64 {
    const LANES: usize = 64;
    let mut total = 0.0;
    for (y, dy) in y.chunks(1024).zip(dy.chunks_mut(1024)) {
        let mut sums = [0.0_f32; LANES];
        let (y, y_rest) = y.as_chunks::<LANES>();
        let (dy, dy_rest) = dy.as_chunks_mut::<LANES>();
        for (y, dy) in y.iter().zip(dy) {
            for k in 0..LANES {
                sums[k] += y[k] * y[k];
                dy[k] = 2.0 * y[k];
            }
        }
        for ((y, dy), sum) in y_rest.iter().zip(dy_rest).zip(&mut sums) {
            *sum += y * y;
            *dy = 2.0 * y;
        }
        total += f64::from(sums.iter().sum::<f32>());
    }
    total
}

/// Panics unless `found` is within 1e-5 of `expected`, as vectors.
fn assert_close(found: impl Iterator<Item = f64>, expected: impl Iterator<Item = f64>) {
    let (mut error, mut size) = (0.0, 0.0);
    for (found, expected) in found.zip(expected) {
        error += (found - expected).powi(2);
        size += expected.powi(2);
    }
    assert!(error.sqrt() <= 1e-5 * size.sqrt(), "{:e} off {:e}", error.sqrt(), size.sqrt());
}

fn wide(values: &[f32]) -> impl Iterator<Item = f64> {
    values.iter().map(|&v| f64::from(v))
}

/// FLOP of a forward pass.
fn flop(cell: Cell, [inputs, hidden, steps, batch]: Sizes) -> u64 {
    (2 * steps * batch * cell.gates() * hidden * (hidden + inputs)) as u64
}

/// Seconds that a pass of one sequence takes at least, if it does its products as they are
/// counted: every step reads `W_rec`, of 4·G·H² bytes, for a single row, and the way back
/// reads it once more; they come from L1 or L2, whichever holds them. All other products
/// (`x·W_in`, and the gradients of the weights, of T rows each) run at peak.
fn floor(cell: Cell, [inputs, hidden, steps, _]: Sizes, training: bool, machine: Roofline) -> f64 {
    let weights = steps * 4 * cell.gates() * hidden * hidden;
    let bandwidth = if weights / steps <= 32 << 10 { machine.l1 } else { machine.l2 };
    let other = 2 * steps * cell.gates() * hidden * inputs;
    let gradients = 2 * steps * cell.gates() * hidden * (hidden + inputs);
    let (bytes, flop) = if training { (2 * weights, other + gradients) } else { (weights, other) };
    (bytes as f64 / bandwidth + flop as f64 / machine.peak) / 1e9
}

/// Prints what the machine can do now, and the floor of a case of one sequence.
fn print_ceilings(name: &str, cell: Cell, sizes: Sizes) {
    if sizes[3] > 1 {
        return println!("peak of one core: {:.0} GFLOP/s", roofline::peak());
    }
    let machine = Roofline::measure();
    for (mode, training, passes) in [("inference", false, 1), ("training", true, 3)] {
        let seconds = floor(cell, sizes, training, machine);
        println!(
            "floor of {mode}/{name}, one sequence: {:.0} µs, {:.0} GFLOP/s (L2 {:.0} GB/s, peak {:.0} GFLOP/s)",
            1e6 * seconds,
            (passes * flop(cell, sizes)) as f64 / seconds / 1e9,
            machine.l2,
            machine.peak,
        );
    }
}

/// Criterion's default of 8 s a benchmark tells no more of these.
fn settle(group: &mut BenchmarkGroup<WallTime>) {
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(1000));
}

fn bench_case(group: &mut BenchmarkGroup<WallTime>, name: &str, cell: Cell, sizes: Sizes) {
    print_ceilings(name, cell, sizes);
    let mut case = Case::new(cell, sizes);
    case.check_outputs(1);
    let loss = case.differentiate();
    let [inputs, hidden, steps, batch] = sizes;
    let size = format!("{inputs}x{hidden}x{steps}x{batch}");
    let id = |mode: &str, by: &str| BenchmarkId::new(format!("{mode}/{name}/{by}"), &size);
    let sgd = Sgd::new(LEARNING_RATE).expect("a learning rate");

    // One sequence cannot be split.
    let mut parallel = (batch > 1).then(|| Parallel::new(case.config, 2).expect("two threads"));
    if let Some(parallel) = &mut parallel {
        let batch = Batch::of_values(&case.x, steps, batch);
        let found = parallel
            .differentiate(&case.parameters, &batch, |_, y, dy| sum_of_squares(y, dy))
            .expect("a batch that fits");
        assert!((found - loss).abs() <= 1e-6 * loss, "{found} for {loss}");
        assert_close(wide(parallel.gradient().arena()), wide(case.gradient.arena()));
    }

    group.throughput(Throughput::Elements(flop(cell, sizes)));
    group.bench_function(id("inference", "carry"), |b| b.iter(|| black_box(case.infer()).len()));
    if let Some(parallel) = &mut parallel {
        let batch = Batch::of_values(&case.x, steps, batch);
        group.bench_function(id("inference", "carry_2_threads"), |b| {
            b.iter(|| parallel.infer(&case.parameters, &batch).expect("a batch that fits"));
        });
    }
    group.throughput(Throughput::Elements(3 * flop(cell, sizes)));
    group.bench_function(id("training", "carry"), |b| {
        b.iter(|| {
            black_box(case.differentiate());
            sgd.step(&mut case.parameters, &case.gradient, 1);
        });
    });
    if let Some(parallel) = &mut parallel {
        let batch = Batch::of_values(&case.x, steps, batch);
        let parameters = &mut case.parameters;
        group.bench_function(id("training", "carry_2_threads"), |b| {
            b.iter(|| {
                let loss = parallel
                    .differentiate(parameters, &batch, |_, y, dy| sum_of_squares(y, dy))
                    .expect("a batch that fits");
                sgd.step(parameters, parallel.gradient(), 1);
                black_box(loss)
            });
        });
    }
}

fn bench_stream(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    cell: Cell,
    [inputs, hidden]: [usize; 2],
) {
    let mut case = Case::new(cell, [inputs, hidden, 50, 1]);
    let expected = case.infer().to_vec();
    let mut stream = Stream::new(case.parameters.clone()).expect("finite weights");
    let mut y = vec![0.0; hidden];
    for (x, expected) in case.x.chunks(inputs).zip(expected.chunks(hidden)) {
        stream.step(x, &mut y).expect("finite inputs");
        assert_close(wide(&y), wide(expected));
    }
    let x = &case.x[..inputs];
    group.throughput(Throughput::Elements(flop(cell, [inputs, hidden, 1, 1])));
    group.bench_function(
        BenchmarkId::new(format!("step/{name}/carry"), format!("{inputs}x{hidden}")),
        |b| {
            b.iter(|| stream.step(black_box(x), black_box(&mut y)).expect("finite inputs"));
        },
    );
}

fn models(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("model");
    settle(&mut group);
    for (name, cell) in CELLS {
        for batch in [1, SMALL[3]] {
            let mut small = Case::new(cell, [SMALL[0], SMALL[1], SMALL[2], batch]);
            small.check_outputs(batch);
            small.check_gradient();
        }
        for sizes in STREAMS {
            bench_stream(&mut group, name, cell, sizes);
        }
        for sizes in SIZES {
            bench_case(&mut group, name, cell, sizes);
        }
    }
    group.finish();
}

criterion_group!(benches, models);
criterion_main!(benches);
