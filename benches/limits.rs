//! How far every kernel is from what bounds it on this machine: for `cargo xtask bench --floor`.
//!
//! ```text
//! limit   the largest of a kernel's counts, each over what this machine does of it:
//!           multiply-adds, divisions, all operations    in registers
//!           bytes loaded from L1, L2 or memory, stored to L1
//!           the latencies of its longest chain of dependent values
//! ratio   measured / limit
//! ```
//!
//! Counts are those of the algorithm in `crates/kernels` (see [`Count`]), and hold what no program
//! of that algorithm can leave out: a limit may be too low, and is never too high. A multiplication
//! counts as a multiply-add, a square root as a division. What only L3 holds is bounded by L2's
//! bandwidth. The chains are derived in `floor.rs`; the constants are measured in `machine.rs`.
//!
//! Each kernel is timed beside the peak, and what was measured at another clock is converted to that
//! of the constants, but for what waits for memory. Before it is timed its
//! answer is held against the f64 reference. The last line of standard output is the whole as a
//! JSON object; standard error says which kernel runs. `--quick` takes a quarter of the time,
//! `--test` checks the answers and measures nothing.

mod beside;
mod build_check;
mod check;
mod floor;
mod machine;
mod moments;
mod uniform;

use std::hint::black_box;
use std::time::{Duration, Instant};

use beside::{Beside, Reference, time};
use check::{assert_close, widened};
use kernels::buffer::Buffer;
use kernels::lanes::LANES;
use kernels::matmul::{PackedMatrix, gemm};
use kernels::matrix::{MatMut, MatRef};
use kernels::optimizer::{Adam, Change, Momentum, adam_step, momentum_step, sgd_step};
use kernels::{activation, loss, reference, vector};
use machine::{BEYOND_CACHES, Machine};
use model::{Architecture, Cell, Config, Network, Nonlinearity, Parameters, Sequences, Stream};
use moments::Summary;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Value, json};
use train::strategy::Serial;
use train::task::Addition;
use uniform::uniform;

/// What is counted in a kernel for each vector.
#[derive(Clone, Copy, Default)]
struct Count {
    /// Multiply-adds and multiplications.
    fma: usize,
    /// Additions and subtractions.
    add: usize,
    /// Divisions and square roots.
    div: usize,
    /// Minima, comparisons, shifts and what else is no arithmetic: the least that a build has.
    other: usize,
}

const fn count(fma: usize, add: usize, div: usize, other: usize) -> Count {
    Count { fma, add, div, other }
}

const EXP: Count = count(10, 2, 0, 3);
const SIGMOID: Count = count(9, 2, 1, 3);
const TANH: Count = count(14, 6, 0, 6);

/// One thing that bounds a kernel.
struct Limit {
    what: &'static str,
    count: String,
    ns: f64,
}

fn limit(what: &'static str, count: usize, of: &str, rate: f64) -> Limit {
    Limit { what, count: format!("{} {of}", thousands(count)), ns: count as f64 / rate }
}

/// The time of a chain, and what it is made of.
fn chain(of: impl Into<String>, ns: f64) -> Limit {
    Limit { what: "latency", count: of.into(), ns }
}

/// As `1,234,567`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let lead = digits.len() % 3;
    let groups = digits.as_bytes()[lead..].chunks(3).map(|group| String::from_utf8_lossy(group));
    let groups = (lead > 0).then(|| digits[..lead].into()).into_iter().chain(groups);
    groups.collect::<Vec<_>>().join(",")
}

impl Machine {
    fn fma_limit(&self, vectors: usize) -> Limit {
        limit("FMA ports", vectors, "FMAs", self.multiply_adds())
    }

    /// Of so many vectors with `count` operations each.
    fn port_limits(&self, count: Count, vectors: usize) -> Vec<Limit> {
        let Count { fma, add, div, other } = count;
        let all = fma + add + div + other;
        vec![
            self.fma_limit(fma * vectors),
            limit("additions", add * vectors, "additions", self.additions),
            limit("division", div * vectors, "divisions", self.divisions),
            limit("all ports", all * vectors, "operations", self.operations),
        ]
    }

    /// Of `bytes` read where `footprint` bytes are touched again and again.
    fn load_limit(&self, footprint: usize, bytes: usize) -> Limit {
        let (what, from, rate) = match footprint {
            size if size <= self.l1_size => ("L1 loads", "bytes from L1", self.l1),
            size if size <= self.caches_size => ("L2 loads", "bytes from L2", self.l2),
            _ => ("memory", "bytes from memory", self.memory),
        };
        limit(what, bytes, from, rate)
    }

    fn store_limit(&self, bytes: usize) -> Limit {
        limit("L1 stores", bytes, "bytes to L1", self.stores)
    }
}

/// So many iterations, and how long they took.
type Run = Box<dyn FnMut(u64) -> Duration>;

/// A kernel that was checked, and what bounds it.
struct Ready {
    limits: Vec<Limit>,
    run: Run,
}

/// A kernel that is set up and checked when its turn comes.
struct Kernel {
    name: String,
    size: String,
    prepare: Box<dyn FnOnce(&Machine) -> Ready>,
}

fn kernel(
    name: impl Into<String>,
    size: impl ToString,
    prepare: impl FnOnce(&Machine) -> Ready + 'static,
) -> Kernel {
    Kernel { name: name.into(), size: size.to_string(), prepare: Box::new(prepare) }
}

fn ready(limits: Vec<Limit>, mut run: impl FnMut() + 'static) -> Ready {
    Ready { limits, run: Box::new(move |count| time(count, &mut run)) }
}

/// `count` buffers of numbers in [−scale, scale).
fn random<const COUNT: usize>(lengths: [usize; COUNT], scale: f32) -> [Buffer; COUNT] {
    let mut uniform = uniform();
    lengths.map(|length| {
        let mut buffer = Buffer::zeros(length);
        buffer.fill_with(|| scale * uniform());
        buffer
    })
}

const F32: usize = size_of::<f32>();

/// The lab's training, T = 8, O = 1: an example, the passes alone, mini-batches.
fn lab(kernels: &mut Vec<Kernel>) {
    let config = |hidden, batch| {
        let mut config = Addition::recipe(floor::STEPS as u32, hidden).expect("1 to 64 bits");
        config.run.batch = batch;
        config
    };
    for hidden in [3, 5, 16, 17, 32, 64] {
        let passes = move |is_whole: bool, machine: &Machine| {
            let chain_of = if is_whole { floor::pass_chain } else { floor::forward_chain };
            let parameters = Serial::new(&config(hidden, 1)).expect("the lab").parameters().clone();
            let (mut network, model) = (Network::new(parameters.config()), parameters.config());
            let mut gradient = Parameters::zeros(model);
            let mut x: Vec<f32> = (0..2 * floor::STEPS).map(|k| (k % 3 % 2) as f32).collect();
            check_lab(&mut network, &parameters, &x, &mut gradient);
            let [fmas, loads] = floor::counts(hidden);
            // Of two products and a gradient, the forward pass has a product.
            let share = if is_whole { 1 } else { 3 };
            let limits = vec![
                chain(
                    if is_whole { "16 steps" } else { "8 steps" },
                    chain_of(&machine.links, floor::product(&machine.links, hidden)),
                ),
                machine.fma_limit(fmas / share),
                limit("L1 loads", loads / share * LANES * F32, "bytes from L1", machine.l1),
            ];
            let mut dy = [0.0; floor::STEPS];
            ready(limits, move || {
                // Each pass waits for the one before.
                let y = network.forward(&parameters, &x, floor::STEPS, 1);
                x[0] += 0.0 * y[floor::STEPS - 1];
                if is_whole {
                    dy.copy_from_slice(y);
                    network.backward(&parameters, &x[..], &dy, &mut gradient);
                    x[0] += 0.0 * gradient.arena()[0];
                }
            })
        };
        kernels.push(kernel("lab forward", format!("H={hidden}"), move |m| passes(false, m)));
        kernels
            .push(kernel("lab forward, backward", format!("H={hidden}"), move |m| passes(true, m)));
        kernels.push(kernel("lab example", format!("H={hidden}"), move |machine| {
            let mut serial = Serial::new(&config(hidden, 1)).expect("the lab's configuration");
            check_learns(&mut serial);
            let [fmas, loads] = floor::counts(hidden);
            let product = floor::product(&machine.links, hidden);
            let limits = vec![
                chain("16 steps, update", floor::chain(&machine.links, product)),
                machine.fma_limit(fmas),
                limit("L1 loads", loads * LANES * F32, "bytes from L1", machine.l1),
            ];
            Ready { limits, run: examples(serial) }
        }));
    }
    for batch in [16, 64, 256] {
        kernels.push(kernel("lab example of a batch", format!("H=16 B={batch}"), move |machine| {
            const HIDDEN: usize = 16;
            let mut serial = Serial::new(&config(HIDDEN, batch)).expect("the lab");
            check_learns(&mut serial);
            let [fmas, _] = floor::counts(HIDDEN);
            let sigmoids = floor::STEPS * HIDDEN.div_ceil(LANES);
            let mut limits = machine.port_limits(SIGMOID, sigmoids);
            limits.retain(|limit| limit.what == "division");
            limits.push(machine.fma_limit(fmas + SIGMOID.fma * sigmoids));
            Ready { limits, run: whole_batches(serial, batch) }
        }));
    }
}

/// Trains on so many examples.
fn examples(mut serial: Serial<Addition>) -> Run {
    Box::new(move |count| {
        let start = Instant::now();
        black_box(serial.train(count));
        start.elapsed()
    })
}

/// Trains on so many examples or a few more, in whole batches, and scales the time.
fn whole_batches(mut serial: Serial<Addition>, batch: usize) -> Run {
    Box::new(move |count| {
        let whole = count.next_multiple_of(batch as u64);
        let start = Instant::now();
        black_box(serial.train(whole));
        start.elapsed().mul_f64(count as f64 / whole as f64)
    })
}

/// The outputs and the gradient of the lab's network are those of the f64 reference.
fn check_lab(network: &mut Network, parameters: &Parameters, x: &[f32], gradient: &mut Parameters) {
    use model::reference::Reference;
    let rows: Vec<Vec<f64>> = x.chunks(2).map(|row| widened(row).collect()).collect();
    let truth = Reference::from(parameters);
    let pass = truth.forward(&rows);
    let y = network.forward(parameters, x, floor::STEPS, 1).to_vec();
    assert_close(widened(&y), pass.y.iter().flatten().copied());
    let mut expected = Reference::zeros(parameters.config());
    let dy: Vec<Vec<f64>> = y.iter().map(|&y| vec![f64::from(y)]).collect();
    truth.backward(&pass, &dy, &mut expected);
    network.backward(parameters, x, &y, gradient);
    assert_close(Reference::from(&*gradient).values(), expected.values());
}

/// A training that goes on beyond this has begun to learn: the bench `lab` compares updates with
/// the reference.
fn check_learns(serial: &mut Serial<Addition>) {
    let before = serial.parameters().arena().to_vec();
    serial.train(2_560);
    let after = serial.parameters().arena();
    assert!(after.iter().all(|w| w.is_finite()) && after != &before[..], "the weights move");
}

/// `C ← A·B`, plain and with B packed.
fn products(kernels: &mut Vec<Kernel>) {
    const SHAPES: [[usize; 3]; 14] = [
        [16, 16, 16],
        [32, 32, 32],
        [64, 64, 64],
        [128, 128, 128],
        [256, 256, 256],
        [512, 512, 512],
        [17, 17, 17],
        [33, 33, 33],
        [100, 100, 100],
        [127, 127, 127],
        [1, 128, 512],
        [4, 128, 512],
        [16, 128, 512],
        [32, 512, 2048],
    ];
    for [m, k, n] in SHAPES {
        for is_packed in [false, true] {
            let name = if is_packed { "product, packed" } else { "product, plain" };
            kernels.push(kernel(name, format!("{m}x{k}x{n}"), move |machine| {
                let [a, b, mut c] = random([m * k, k * n, m * n], 1.0);
                let packed = is_packed.then(|| PackedMatrix::new(MatRef::new(&b, k, n)));
                let footprint = F32 * (m * k + k * n + m * n);
                let limits = vec![
                    // Whole vectors or not: so many multiply-adds.
                    machine.fma_limit((m * k * n).div_ceil(LANES)),
                    machine.load_limit(footprint, footprint),
                ];
                let rows = m.min(8);
                let zeros = vec![0.0; rows * n];
                let expected = reference::gemm(
                    1.0,
                    MatRef::new(&a[..rows * k], rows, k).into(),
                    MatRef::new(&b, k, n).into(),
                    0.0,
                    MatRef::new(&zeros, rows, n),
                );
                let multiply = move |c: &mut [f32]| {
                    let a = MatRef::new(black_box(&a), m, k);
                    match &packed {
                        Some(b) => gemm(1.0, a, b, 0.0, MatMut::new(c, m, n)),
                        None => gemm(1.0, a, MatRef::new(&b, k, n), 0.0, MatMut::new(c, m, n)),
                    }
                };
                multiply(&mut c);
                assert_close(widened(&c[..rows * n]), expected);
                ready(limits, move || multiply(black_box(&mut c)))
            }));
        }
    }
}

/// Functions of slices in L1, and of rows.
fn activations(kernels: &mut Vec<Kernel>) {
    const LENGTH: usize = 2_048;
    type Map = fn(&[f32], &mut [f32]);
    type Truth = fn(f64) -> f64;
    let maps: [(&str, Count, Truth, Map); 3] = [
        ("exp", EXP, f64::exp, activation::exp_into),
        ("sigmoid", SIGMOID, reference::sigmoid, activation::sigmoid_into),
        ("tanh", TANH, f64::tanh, activation::tanh_into),
    ];
    for (name, count, truth, map) in maps {
        kernels.push(kernel(name, LENGTH, move |machine| {
            let [x, mut y] = random([LENGTH, LENGTH + 512], 8.0);
            map(&x, &mut y[512..]);
            assert_close(widened(&y[512..]), widened(&x).map(truth));
            let mut limits = machine.port_limits(count, LENGTH / LANES);
            limits.push(machine.load_limit(2 * F32 * LENGTH, F32 * LENGTH));
            limits.push(machine.store_limit(F32 * LENGTH));
            ready(limits, move || map(black_box(&x), black_box(&mut y[512..])))
        }));
    }
    for (rows, columns) in [(32, 64), (2, 1000)] {
        let values = rows * columns;
        let size = format!("{rows}x{columns}");
        kernels.push(kernel("softmax", &size, move |machine| {
            let [x, mut y] = random([values, values], 8.0);
            activation::softmax_rows_into(&x, &mut y, rows, columns, columns);
            let wide: Vec<f64> = widened(&x).collect();
            assert_close(widened(&y), wide.chunks(columns).flat_map(reference::softmax));
            let limits = machine.port_limits(count(11, 4, 0, 4), values.div_ceil(LANES));
            ready(limits, move || {
                activation::softmax_rows_into(
                    black_box(&x),
                    black_box(&mut y),
                    rows,
                    columns,
                    columns,
                );
            })
        }));
        kernels.push(kernel("log-sum-exp", &size, move |machine| {
            let [x, mut y] = random([values, rows], 8.0);
            activation::log_sum_exp_rows(&x, rows, columns, columns, &mut y);
            let wide: Vec<f64> = widened(&x).collect();
            assert_close(widened(&y), wide.chunks(columns).map(reference::log_sum_exp));
            let limits = machine.port_limits(count(10, 4, 0, 4), values.div_ceil(LANES));
            ready(limits, move || {
                activation::log_sum_exp_rows(
                    black_box(&x),
                    rows,
                    columns,
                    columns,
                    black_box(&mut y),
                );
            })
        }));
    }
}

/// A kernel that updates y by x, or sums: its name, what it counts, and the buffers that it reads
/// and writes for each value.
struct Pass {
    name: &'static str,
    count: Count,
    read: usize,
    written: usize,
    /// `run(x, y)`; what it returns is compared as well.
    run: fn(&[f32], &mut [f32]) -> f32,
    /// y of x and y, or a term of the sum.
    truth: fn(f64, f64) -> f64,
    is_sum: bool,
}

/// Vector helpers in L1, L2 and memory.
fn vectors(kernels: &mut Vec<Kernel>) {
    /// So small that y stays where it is however often it is applied.
    const ALPHA: f32 = 1e-12;
    fn passes() -> [Pass; 7] {
        fn pass(
            name: &'static str,
            (count, read, written): (Count, usize, usize),
            run: fn(&[f32], &mut [f32]) -> f32,
            truth: fn(f64, f64) -> f64,
        ) -> Pass {
            Pass { name, count, read, written, run, truth, is_sum: written == 0 }
        }
        fn none(f: impl FnOnce()) -> f32 {
            f();
            0.0
        }
        [
            pass(
                "scale",
                (count(1, 0, 0, 0), 1, 1),
                |_, y| none(|| vector::scale(-1.0, y)),
                |_, y| -y,
            ),
            pass(
                "clip",
                (count(0, 0, 0, 2), 1, 1),
                |_, y| none(|| vector::clip(0.5, y)),
                |_, y| y.clamp(-0.5, 0.5),
            ),
            pass(
                "axpy",
                (count(1, 0, 0, 0), 2, 1),
                |x, y| none(|| vector::axpy(ALPHA, x, y)),
                |x, y| f64::from(ALPHA) * x + y,
            ),
            pass("dot", (count(1, 0, 0, 0), 2, 0), |x, y| vector::dot(x, y), |x, y| x * y),
            pass(
                "squared norm",
                (count(1, 0, 0, 0), 1, 0),
                |x, _| vector::squared_norm(x),
                |x, _| x * x,
            ),
            pass(
                "sigmoid backward",
                (count(2, 1, 0, 0), 2, 1),
                |x, y| none(|| activation::sigmoid_backward(x, y)),
                |x, y| y * x * (1.0 - x),
            ),
            pass(
                "tanh backward",
                (count(2, 2, 0, 0), 2, 1),
                |x, y| none(|| activation::tanh_backward(x, y)),
                |x, y| y * (1.0 - x) * (1.0 + x),
            ),
        ]
    }
    for length in [2_048, 16_384, BEYOND_CACHES / F32 / 4] {
        for pass in passes() {
            if length > 1 << 20 && !["scale", "axpy", "dot"].contains(&pass.name) {
                continue;
            }
            kernels.push(kernel(pass.name, thousands(length), move |machine| {
                let Pass { count, read, written, run, truth, is_sum, .. } = pass;
                let [mut x, mut y] = random([length, length + 512], 1.0);
                let y_at = 512; // half a page from x, modulo a page
                let expected: Vec<f64> =
                    widened(&x).zip(widened(&y[y_at..])).map(|(x, y)| truth(x, y)).collect();
                let sum = run(&x, &mut y[y_at..]);
                if is_sum {
                    let magnitude: f64 = expected.iter().map(|v| v.abs()).sum();
                    let error = (f64::from(sum) - expected.iter().sum::<f64>()).abs();
                    assert!(error <= 1e-5 * magnitude, "{error:e} of {magnitude:e}");
                } else {
                    assert_close(widened(&y[y_at..]), expected);
                }
                // Values that the backward passes leave where they are, or nearly.
                x.fill(if pass.name == "tanh backward" { 0.0 } else { 1.0 });
                if pass.name == "sigmoid backward" {
                    y.fill(0.0);
                }
                let (footprint, bytes) = (read.max(written) * F32 * length, F32 * length);
                let mut limits = machine.port_limits(count, length / LANES);
                limits.push(machine.load_limit(footprint, read * bytes));
                if written > 0 {
                    limits.push(machine.store_limit(written * bytes));
                }
                ready(limits, move || {
                    black_box(run(black_box(&x), black_box(&mut y[y_at..])));
                })
            }));
        }
    }
}

/// Losses and their gradients.
fn losses(kernels: &mut Vec<Kernel>) {
    const LENGTH: usize = 2_048;
    type Loss = fn(f32, &[f32], &[f32], &mut [f32]) -> f64;
    type Truth = fn(f64, f64) -> (f64, f64);
    let sigmoid_squared = |o: f64, y: f64| {
        let (loss, error) = reference::squared_error(o, y);
        (loss, error * reference::sigmoid_derivative(o))
    };
    let losses: [(&str, Count, Truth, Loss); 3] = [
        ("squared error", count(2, 1, 0, 0), reference::squared_error, loss::squared_error),
        ("squared error, sigmoid", count(4, 2, 0, 0), sigmoid_squared, loss::sigmoid_squared_error),
        (
            "binary cross-entropy",
            count(22, 7, 2, 8),
            reference::binary_cross_entropy,
            loss::binary_cross_entropy,
        ),
    ];
    for (name, count, truth, run) in losses {
        kernels.push(kernel(name, LENGTH, move |machine| {
            let [o, mut y, mut gradient] = random([LENGTH, LENGTH, LENGTH], 1.0);
            y.iter_mut().for_each(|y| *y = y.abs());
            let found = run(1.0, &o, &y, &mut gradient);
            let (terms, expected): (Vec<f64>, Vec<f64>) =
                widened(&o).zip(widened(&y)).map(|(o, y)| truth(o, y)).unzip();
            assert_close([found], [terms.iter().sum()]);
            assert_close(widened(&gradient), expected);
            let mut limits = machine.port_limits(count, LENGTH / LANES);
            limits.push(machine.load_limit(3 * F32 * LENGTH, 2 * F32 * LENGTH));
            limits.push(machine.store_limit(F32 * LENGTH));
            ready(limits, move || {
                black_box(run(1.0, black_box(&o), black_box(&y), black_box(&mut gradient)));
            })
        }));
    }
    for (rows, classes) in [(32, 64), (2, 1000)] {
        kernels.push(kernel(
            "softmax cross-entropy",
            format!("{rows}x{classes}"),
            move |machine| {
                let values = rows * classes;
                let [logits, mut gradient] = random([values, values], 3.0);
                let targets: Vec<u32> = (0..rows).map(|row| (row * 7 % classes) as u32).collect();
                let found =
                    loss::softmax_cross_entropy(1.0, &logits, classes, &targets, &mut gradient);
                let wide: Vec<f64> = widened(&logits).collect();
                let rows = wide.chunks(classes).zip(&targets);
                let truth =
                    rows.map(|(row, &class)| reference::softmax_cross_entropy(row, class as usize));
                let (terms, expected): (Vec<f64>, Vec<Vec<f64>>) = truth.unzip();
                assert_close([found], [terms.iter().sum()]);
                assert_close(widened(&gradient), expected.into_iter().flatten());
                let limits = machine.port_limits(count(11, 4, 0, 4), values.div_ceil(LANES));
                ready(limits, move || {
                    let gradient = black_box(&mut gradient);
                    black_box(loss::softmax_cross_entropy(
                        1.0, &logits, classes, &targets, gradient,
                    ));
                })
            },
        ));
    }
}

/// Passes of the optimizers in L1, L2 and memory.
fn optimizers(kernels: &mut Vec<Kernel>) {
    /// So small a rate that the parameters stay where they are.
    const RATE: f32 = 1e-12;
    const CHANGE: Change = Change { scale: 1.0, limit: f32::INFINITY, decay: 0.0 };
    const MOMENTUM: Momentum =
        Momentum { rate: RATE, momentum: 0.9, nesterov: false, change: CHANGE };
    const ADAM: Adam = Adam {
        rate: RATE,
        blend1: 0.1,
        blend2: 0.001,
        root_scale: 1.0,
        epsilon: 1e-8,
        keep: 1.0,
        change: CHANGE,
    };
    type Step = fn([&mut [f32]; 4]);
    type Truth = fn([f64; 4]) -> f64;
    // [gradient, parameters, state, state]; the parameter that follows; the buffers.
    let steps: [(&str, Count, usize, Truth, Step); 3] = [
        (
            "SGD",
            count(3, 0, 0, 2),
            2,
            |[g, p, ..]| p - f64::from(RATE) * g,
            |[g, p, ..]| {
                sgd_step(RATE, CHANGE, g, p);
            },
        ),
        (
            "momentum",
            count(4, 0, 0, 2),
            3,
            |[g, p, v, _]| reference::momentum_step(MOMENTUM, g, v, p).0,
            |[g, p, v, _]| momentum_step(MOMENTUM, g, v, p),
        ),
        (
            "Adam",
            count(8, 1, 2, 2),
            4,
            |[g, p, m, v]| reference::adam_step(ADAM, g, [m, v], p).0,
            |[g, p, m, v]| adam_step(ADAM, g, [m, v], p),
        ),
    ];
    for length in [1_024, 16_384, BEYOND_CACHES / F32 / 8] {
        for (name, count, buffers, truth, step) in steps {
            kernels.push(kernel(name, thousands(length), move |machine| {
                let unused = |buffer| if buffer < buffers { length } else { 0 };
                let mut data = random([length, length, unused(2), unused(3)], 1.0);
                data[3].iter_mut().for_each(|v| *v = v.abs()); // a second moment
                let wide = |buffer: usize, n: usize| {
                    data[buffer].get(n).map_or(0.0, |&value| f64::from(value))
                };
                let expected: Vec<f64> = (0..length)
                    .map(|n| truth([0, 1, 2, 3].map(|buffer| wide(buffer, n))))
                    .collect();
                step(data.each_mut().map(|buffer| &mut buffer[..]));
                assert_close(widened(&data[1]), expected);
                let bytes = F32 * length;
                let limits = [
                    machine.load_limit(buffers * bytes, buffers * bytes),
                    machine.store_limit((buffers - 1) * bytes),
                ];
                let ports = machine.port_limits(count, length / LANES);
                ready(limits.into_iter().chain(ports).collect(), move || {
                    step(black_box(data.each_mut().map(|buffer| &mut buffer[..])));
                })
            }));
        }
    }
}

/// The cells, and how a layer of them is named.
const CELLS: [(&str, Cell); 3] =
    [("Elman", Cell::Elman(Nonlinearity::Tanh)), ("GRU", Cell::Gru), ("LSTM", Cell::Lstm)];

/// The chain of a step of one sequence, beside its product: its activations and what is between.
fn activation_chain(cell: Cell, machine: &Machine) -> f64 {
    let Machine { links, sigmoid_latency, tanh_latency, .. } = machine;
    match cell {
        Cell::Gru => sigmoid_latency + links.fma + tanh_latency + links.fma,
        Cell::Lstm => {
            sigmoid_latency.min(*tanh_latency) + links.fma + tanh_latency + links.multiply
        }
        _ => *tanh_latency,
    }
}

/// The activations of a unit for a step.
fn gates(cell: Cell) -> Count {
    let [sigmoids, tanhs] = match cell {
        Cell::Gru => [2, 1],
        Cell::Lstm => [3, 2],
        _ => [0, 1],
    };
    count(
        sigmoids * SIGMOID.fma + tanhs * TANH.fma,
        sigmoids * SIGMOID.add + tanhs * TANH.add,
        sigmoids * SIGMOID.div,
        sigmoids * SIGMOID.other + tanhs * TANH.other,
    )
}

/// Steps of a stream, and whole passes of a batch, by a layer without a head.
fn cells(kernels: &mut Vec<Kernel>) {
    for (name, cell) in CELLS {
        for hidden in [16, 64, 256] {
            kernels.push(kernel(
                format!("{name}, a step of a stream"),
                format!("H={hidden}"),
                move |m| stream(cell, hidden, m),
            ));
        }
        for [inputs, hidden, steps, batch] in
            [[16, 64, 32, 1], [64, 128, 32, 32], [64, 256, 16, 16]]
        {
            let size = format!("H={hidden} B={batch}");
            kernels.push(kernel(format!("{name}, a step forward"), &size, move |machine| {
                layer(cell, [inputs, hidden, steps, batch], false, machine)
            }));
            kernels.push(kernel(format!("{name}, a step of training"), size, move |machine| {
                layer(cell, [inputs, hidden, steps, batch], true, machine)
            }));
        }
    }
}

/// A layer, its first weights, and inputs `[T, B, I]`.
fn network(
    cell: Cell,
    [inputs, hidden, steps, batch]: [usize; 4],
) -> (Config, Parameters, Vec<f32>) {
    let config = Config::new(Architecture::new(cell, inputs, hidden)).expect("a network");
    let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(0));
    let x = (0..steps * batch * inputs).map(|k| (k as f32 * 0.7).sin()).collect();
    (config, parameters, x)
}

fn stream(cell: Cell, hidden: usize, machine: &Machine) -> Ready {
    const INPUTS: usize = 16;
    const STEPS: usize = 8;
    let (config, parameters, x) = network(cell, [INPUTS, hidden, STEPS, 1]);
    let truth = model::reference::Reference::from(&parameters);
    let rows: Vec<Vec<f64>> = x.chunks(INPUTS).map(|row| widened(row).collect()).collect();
    let mut stream = Stream::new(parameters).expect("finite weights");
    let mut y = vec![0.0; hidden];
    for (x, expected) in x.chunks(INPUTS).zip(truth.forward(&rows).y) {
        stream.step(x, &mut y).expect("finite inputs");
        assert_close(widened(&y), expected);
    }
    let weights = config.cell().gates() * hidden * (hidden + INPUTS);
    let product = floor::product(&machine.links, hidden);
    let limits = vec![
        chain("product, activations", product + activation_chain(cell, machine)),
        machine.fma_limit(weights.div_ceil(LANES) + gates(cell).fma * hidden.div_ceil(LANES)),
        machine.load_limit(F32 * weights, F32 * weights),
    ];
    ready(limits, move || stream.step(black_box(&x[..INPUTS]), black_box(&mut y)).expect("finite"))
}

/// A pass, counted by its steps.
fn layer(cell: Cell, sizes: [usize; 4], is_training: bool, machine: &Machine) -> Ready {
    let [inputs, hidden, steps, batch] = sizes;
    let (config, parameters, x) = network(cell, sizes);
    let mut network = Network::new(config);
    check_layer(&mut network, &parameters, &x, sizes);
    let sums = config.cell().gates() * hidden;
    let passes = if is_training { 2 } else { 1 };
    // Forward a product with all weights; backward another for the gradient of the weights, and
    // one with W_rec for that of the states.
    let weights = sums * (hidden + inputs);
    let products = if is_training { 2 * weights + sums * hidden } else { weights };
    let activations = gates(cell).fma * (batch * hidden).div_ceil(LANES);
    let footprint = F32 * weights;
    let mut limits = vec![
        machine.fma_limit((batch * products).div_ceil(LANES) + activations),
        machine.load_limit(footprint, passes * F32 * sums * hidden),
    ];
    let division = gates(cell).div * (batch * hidden).div_ceil(LANES);
    limits.push(limit("division", division, "divisions", machine.divisions));
    let product = floor::product(&machine.links, hidden);
    let forward = product + activation_chain(cell, machine);
    let back = if is_training { product + machine.links.multiply } else { 0.0 };
    limits.push(chain("product, activations", forward + back));
    let mut gradient = Parameters::zeros(config);
    let mut dy = vec![0.0; steps * batch * config.outputs()];
    let mut pass = move || {
        if is_training {
            dy.copy_from_slice(network.forward(&parameters, black_box(&x), steps, batch));
            network.backward(&parameters, &x[..], &dy, &mut gradient);
        } else {
            let sequences = Sequences::new(config, &x, steps, batch).expect("finite inputs");
            black_box(network.infer(&parameters, &sequences));
        }
    };
    let run = move |count: u64| {
        let passes = count.div_ceil(steps as u64);
        time(passes, &mut pass).mul_f64(count as f64 / (passes * steps as u64) as f64)
    };
    Ready { limits, run: Box::new(run) }
}

/// The outputs of the first sequence are the reference's, and its gradient where it is alone.
fn check_layer(
    network: &mut Network,
    parameters: &Parameters,
    x: &[f32],
    [inputs, hidden, steps, batch]: [usize; 4],
) {
    use model::reference::Reference;
    let truth = Reference::from(parameters);
    let rows: Vec<Vec<f64>> =
        x.chunks(batch * inputs).map(|step| widened(&step[..inputs]).collect()).collect();
    let pass = truth.forward(&rows);
    let y = network.forward(parameters, x, steps, batch).to_vec();
    let first = y.chunks(batch * hidden).flat_map(|step| widened(&step[..hidden]));
    assert_close(first, pass.y.iter().flatten().copied());
    if batch == 1 {
        let mut gradient = Parameters::zeros(parameters.config());
        network.backward(parameters, x, &y, &mut gradient);
        let mut expected = Reference::zeros(parameters.config());
        truth.backward(&pass, &pass.y, &mut expected);
        assert_close(Reference::from(&gradient).values(), expected.values());
    }
}

/// What a kernel came to, as JSON; times are ns at the clock of the constants.
fn measure(kernel: Kernel, machine: &Machine, beside: &mut Beside, budget: Duration) -> Value {
    let Ready { limits, mut run } = (kernel.prepare)(machine);
    let binding = limits.iter().max_by(|a, b| a.ns.total_cmp(&b.ns)).expect("a limit");
    // Caches and the guess at an iteration.
    let (first, _) = beside.sample(1, &mut run);
    let first = beside.sample(1, &mut run).0.min(first);
    let rounds = budget.as_nanos() / 10 / first.as_nanos().max(1);
    let rounds = u64::try_from(rounds).unwrap_or(u64::MAX).clamp(1, 1_000_000);
    let (start, mut moments) = (Instant::now(), Vec::new());
    while moments.len() < 3 || start.elapsed() < budget {
        moments.extend(beside.sample(rounds, &mut run).1);
    }
    let summary = Summary::of(&moments).expect("samples");
    // What waits for memory does not follow the clock of the core.
    let is_memory = binding.what == "memory";
    let bounds = limits.iter().filter(|limit| limit.ns > 0.0);
    let bounds =
        bounds.map(|Limit { what, count, ns }| json!({"what": what, "count": count, "ns": ns}));
    json!({
        "kernel": kernel.name,
        "size": kernel.size,
        "limits": bounds.collect::<Vec<_>>(),
        "limit": binding.what,
        "limit_ns": binding.ns,
        "best_ns": if is_memory { summary.best_ns } else { summary.least_cost / machine.peak },
        "median_ns": if is_memory { summary.median_ns } else { summary.median_cost / machine.peak },
        "samples": summary.samples,
        "thrown_away": summary.thrown_away,
        "reference": "peak",
        "reference_best": summary.reference_best,
        "reference_median": summary.reference_median,
    })
}

fn main() {
    build_check::refuse_slow_build();
    let has = |option: &str| std::env::args().any(|argument| argument == option);
    let mut kernels = Vec::new();
    lab(&mut kernels);
    products(&mut kernels);
    activations(&mut kernels);
    vectors(&mut kernels);
    losses(&mut kernels);
    optimizers(&mut kernels);
    cells(&mut kernels);
    let machine = Machine::measure();
    if has("--test") {
        for kernel in kernels {
            (kernel.prepare)(&machine);
        }
        return;
    }
    let budget = Duration::from_millis(if has("--quick") { 60 } else { 300 });
    let mut beside = Beside::new(Reference::Peak);
    let all = kernels.len();
    let mut rows = Vec::new();
    for (number, kernel) in kernels.into_iter().enumerate() {
        eprintln!("{} of {all}: {} {}", number + 1, kernel.name, kernel.size);
        rows.push(measure(kernel, &machine, &mut beside, budget));
    }
    let Machine { links, .. } = machine;
    println!(
        "{}",
        json!({
            "build_features": kernels::cpu::build_features(),
            "lanes": LANES,
            "machine": {
                "peak_gflops": machine.peak,
                "multiply_adds_per_ns": machine.multiply_adds(),
                "additions_per_ns": machine.additions,
                "divisions_per_ns": machine.divisions,
                "operations_per_ns": machine.operations,
                "l1_gb_per_s": machine.l1,
                "l2_gb_per_s": machine.l2,
                "memory_gb_per_s": machine.memory,
                "stores_gb_per_s": machine.stores,
                "multiply_add_latency_ns": links.fma,
                "addition_latency_ns": links.add,
                "division_latency_ns": machine.division_latency,
                "sigmoid_latency_ns": machine.sigmoid_latency,
                "tanh_latency_ns": machine.tanh_latency,
            },
            "kernels": rows,
        })
    );
}
