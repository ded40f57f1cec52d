//! Criterion group `model`: recurrent layers as PyTorch has them, forward and training.
//!
//! | name | what is timed |
//! | --- | --- |
//! | `training/CELL/…` | a training step: forward from zero states, loss Σy² over the states of all steps, BPTT (which writes over the gradient), SGD |
//! | `inference/CELL/…` | a forward pass for its outputs alone |
//! | `step/CELL/carry` | a step of a stream, one sequence, parameter `IxH`; each step waits for the one before |
//!
//! CELL is `rnn`, `gru` or `lstm`, with `_bidirectional` for two directions. The last
//! part of the name is `carry` on one thread, `carry_2_threads` with the batch split over two;
//! the parameter is `IxHxTxB`. One layer with biases, no head. Throughput is in FLOP as
//! `model::flops` counts them.
//!
//! Each is measured beside the peak of one core: the clock varies, so only shares of the peak can be
//! compared; two threads may have more than all of it. For a case of one sequence its floor is
//! printed: see [`floor`].
//!
//! Before it is timed a network of that size is compared with the f64 reference: the
//! outputs and the gradient of whole batches at a small size, the outputs of one sequence
//! at the large, the gradient of two threads with that of one, a stream with a pass.
//!
//! What this is not: a comparison with other programs, which `peers/` holds.

mod beside;
mod build_check;
mod check;
mod moments;
mod roofline;
mod sum_of_squares;

use std::hint::black_box;
use std::time::Duration;

use beside::Group;
use check::{assert_close, widened};
use criterion::{Criterion, Throughput, criterion_group};
use model::reference::Reference;
use model::{
    Architecture, Cell, Config, Network, Nonlinearity, Parameters, Sequences, Stream, flops,
};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use roofline::Roofline;
use sum_of_squares::sum_of_squares;
use train::batch::Batch;
use train::optimizer::Sgd;
use train::parallel::Parallel;

const CELLS: [(&str, Cell); 3] =
    [("rnn", Cell::Elman(Nonlinearity::Tanh)), ("gru", Cell::Gru), ("lstm", Cell::Lstm)];

/// I, H, T, B
type Sizes = [usize; 4];

const SIZES: [Sizes; 4] =
    [[64, 128, 64, 32], [128, 512, 64, 32], [64, 256, 128, 16], [64, 128, 64, 1]];

/// The layers of a network that halves its steps from layer to layer; these are bidirectional.
const BIDIRECTIONAL: [Sizes; 3] = [[24, 32, 63, 1], [48, 32, 31, 1], [96, 32, 15, 1]];

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
    /// `[T, B, D·H]`
    dy: Vec<f32>,
}

/// One layer with biases, no head.
fn layer(cell: Cell, bidirectional: bool, [inputs, hidden, ..]: Sizes) -> Config {
    let architecture = Architecture::new(cell, inputs, hidden);
    Config::new(Architecture { bidirectional, ..architecture }).expect("a network")
}

impl Case {
    fn new(config: Config, [inputs, _, steps, batch]: Sizes) -> Self {
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
            dy: vec![0.0; steps * batch * config.outputs()],
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
        let step = |step: &[f32]| widened(&step[sequence * width..][..width]).collect();
        values.chunks(self.batch * width).map(step).collect()
    }

    /// The outputs of `sequences` sequences are the reference's.
    fn check_outputs(&mut self, sequences: usize) {
        let (inputs, outputs) = (self.config.inputs(), self.config.outputs());
        let reference = Reference::from(&self.parameters);
        for training in [true, false] {
            let y = if training {
                self.network.forward(&self.parameters, &self.x, self.steps, self.batch).to_vec()
            } else {
                self.infer().to_vec()
            };
            for sequence in 0..sequences {
                let expected = reference.forward(&self.rows(&self.x, inputs, sequence)).y;
                let found = self.rows(&y, outputs, sequence);
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

/// Seconds that a pass of one sequence takes at least, if it does its products as they are
/// counted: every step reads `W_rec`, of 4·G·H² bytes in each direction, for a single row, and the
/// backward pass reads it once more; they come from L1 or L2, whichever holds them. All other
/// products (`x·W_in`, and the gradients of the weights, of T rows each) run at peak.
fn floor(config: Config, steps: usize, training: bool, machine: Roofline) -> f64 {
    let (hidden, directions) = (config.hidden(), config.directions());
    let sums = config.cell().gates() * hidden;
    let w_rec = 4 * sums * hidden;
    let bandwidth = if w_rec <= 32 << 10 { machine.l1 } else { machine.l2 };
    let bytes = (directions * steps * w_rec) as f64;
    let x_w_in = flops::product(directions * steps, config.inputs(), sums);
    let gradients = flops::product(directions * steps, config.inputs() + hidden, sums);
    let (bytes, flop) = if training { (2.0 * bytes, x_w_in + gradients) } else { (bytes, x_w_in) };
    (bytes / bandwidth + flop / machine.peak) / 1e9
}

/// Prints the floor of a case, if it is of one sequence, by what the machine can do now.
fn print_ceilings(case: &str, config: Config, steps: usize, batch: usize) {
    if batch > 1 {
        return;
    }
    let machine = Roofline::measure();
    for (mode, training, flop) in [
        ("inference", false, flops::forward(config, steps, 1)),
        ("training", true, flops::training_step(config, steps, 1)),
    ] {
        let seconds = floor(config, steps, training, machine);
        println!(
            "floor of {mode}/{case}, one sequence: {:.0} µs, {:.0} GFLOP/s (L2 {:.0} GB/s, peak {:.0} GFLOP/s)",
            1e6 * seconds,
            flop / seconds / 1e9,
            machine.l2,
            machine.peak,
        );
    }
}

/// What the next benchmarks do in an iteration.
fn count_flop(group: &mut Group<'_>, flop: f64) {
    group.throughput(Throughput::Elements(flop as u64));
    group.beside(beside::Reference::Peak, Some(flop));
}

fn bench_case(group: &mut Group<'_>, name: &str, config: Config, sizes: Sizes) {
    let [inputs, hidden, steps, batch] = sizes;
    let size = format!("{inputs}x{hidden}x{steps}x{batch}");
    print_ceilings(&format!("{name}/{size}"), config, steps, batch);
    let mut case = Case::new(config, sizes);
    case.check_outputs(1);
    let loss = case.differentiate();
    let id = |mode: &str, by: &str| format!("{mode}/{name}/{by}");
    let sgd = Sgd::new(LEARNING_RATE).expect("a learning rate");

    // One sequence cannot be split.
    let mut parallel = (batch > 1).then(|| Parallel::new(case.config, 2).expect("two threads"));
    if let Some(parallel) = &mut parallel {
        let batch = Batch::of_values(&case.x, steps, batch);
        let found = parallel
            .differentiate(&case.parameters, &batch, |_, y, dy| sum_of_squares(y, dy))
            .expect("a batch that fits");
        assert!((found - loss).abs() <= 1e-6 * loss, "{found} for {loss}");
        assert_close(widened(parallel.gradient().arena()), widened(case.gradient.arena()));
    }

    count_flop(group, flops::forward(config, steps, batch));
    group.bench(&id("inference", "carry"), &size, || {
        black_box(case.infer());
    });
    if let Some(parallel) = &mut parallel {
        let batch = Batch::of_values(&case.x, steps, batch);
        group.bench(&id("inference", "carry_2_threads"), &size, || {
            parallel.infer(&case.parameters, &batch).expect("a batch that fits");
        });
    }
    count_flop(group, flops::training_step(config, steps, batch));
    group.bench(&id("training", "carry"), &size, || {
        black_box(case.differentiate());
        sgd.step(&mut case.parameters, &case.gradient, 1);
    });
    if let Some(parallel) = &mut parallel {
        let batch = Batch::of_values(&case.x, steps, batch);
        let parameters = &mut case.parameters;
        group.bench(&id("training", "carry_2_threads"), &size, || {
            let loss = parallel
                .differentiate(parameters, &batch, |_, y, dy| sum_of_squares(y, dy))
                .expect("a batch that fits");
            sgd.step(parameters, parallel.gradient(), 1);
            black_box(loss);
        });
    }
}

fn bench_stream(group: &mut Group<'_>, name: &str, cell: Cell, [inputs, hidden]: [usize; 2]) {
    let sizes = [inputs, hidden, 50, 1];
    let config = layer(cell, false, sizes);
    let mut case = Case::new(config, sizes);
    let expected = case.infer().to_vec();
    let mut stream = Stream::new(case.parameters.clone()).expect("finite weights");
    let mut y = vec![0.0; hidden];
    for (x, expected) in case.x.chunks(inputs).zip(expected.chunks(hidden)) {
        stream.step(x, &mut y).expect("finite inputs");
        assert_close(widened(&y), widened(expected));
    }
    let x = &case.x[..inputs];
    count_flop(group, flops::forward(config, 1, 1));
    group.bench(&format!("step/{name}/carry"), &format!("{inputs}x{hidden}"), || {
        stream.step(black_box(x), black_box(&mut y)).expect("finite inputs");
    });
}

fn models(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "model");
    for (name, cell) in CELLS {
        for bidirectional in [false, true] {
            for batch in [1, SMALL[3]] {
                let sizes = [SMALL[0], SMALL[1], SMALL[2], batch];
                let mut small = Case::new(layer(cell, bidirectional, sizes), sizes);
                small.check_outputs(batch);
                small.check_gradient();
            }
        }
        for sizes in STREAMS {
            bench_stream(&mut group, name, cell, sizes);
        }
        for sizes in SIZES {
            bench_case(&mut group, name, layer(cell, false, sizes), sizes);
        }
        for sizes in BIDIRECTIONAL {
            let name = format!("{name}_bidirectional");
            bench_case(&mut group, &name, layer(cell, true, sizes), sizes);
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // Criterion's default of 8 s a benchmark is no more precise here.
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1000));
    targets = models
}

fn main() {
    build_check::refuse_slow_build();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
