//! Criterion group `cell`: the gates of a batch in units a second, the steps of a single
//! sequence in bytes of recurrent weights read a second, and one step of a stream.
//!
//! The floor of the gates is that of their activations (group `activation`): for 16
//! units, an LSTM has three sigmoids and two tanh, 111 operations on two ports. The floor
//! of the steps is reading `W_rec` from the cache where it fits: it is read once a step
//! forward and once backward. What is timed is compared with the f64 reference first.

mod beside;
mod build_check;
mod moments;
mod uniform;

use std::hint::black_box;
use std::mem::swap;
use std::time::{Duration, Instant};

use beside::{Group, Reference};
use criterion::{Criterion, Throughput, criterion_group};
use kernels::buffer::Buffer;
use kernels::cell::elman::{self, Nonlinearity};
use kernels::cell::{CellWeights, Direction, GROUP, Walk, column, gru, lstm};
use kernels::matrix::{MatMut, MatRef};
use kernels::reference;
use uniform::uniform;

/// Numbers in [−1, 1) times `scale`, the same in every run; zero in the padding of rows
/// that hold `gates` gates of `hidden` units.
fn grid(rows: usize, hidden: usize, gates: usize, scale: f32) -> Buffer {
    let columns = gates * hidden.next_multiple_of(GROUP);
    let mut buffer = Buffer::zeros(rows * columns);
    let mut uniform = uniform();
    for row in 0..rows {
        for gate in 0..gates {
            for unit in 0..hidden {
                buffer[row * columns + column(gates, gate, unit)] = scale * uniform();
            }
        }
    }
    buffer
}

fn view(buffer: &[f32], rows: usize) -> MatRef<'_> {
    MatRef::new(buffer, rows, buffer.len() / rows)
}

fn view_mut(buffer: &mut [f32], rows: usize) -> MatMut<'_> {
    let columns = buffer.len() / rows;
    MatMut::new(buffer, rows, columns)
}

#[track_caller]
fn assert_near(found: f32, truth: f64) {
    let error = (f64::from(found) - truth).abs();
    assert!(error < 1e-5, "{found} is not {truth}");
}

fn values<const G: usize>(buffer: &[f32], unit: usize) -> [f64; G] {
    std::array::from_fn(|gate| f64::from(buffer[column(G, gate, unit)]))
}

/// Times `f` on `buffer`, which it overwrites: before each time, outside of the measured
/// part, it becomes `original` again. (Gradients that are propagated back again and again
/// become subnormal, and operations on subnormals take microcode.)
fn time_on(
    group: &mut Group<'_>,
    (function, parameter): (&str, &str),
    original: &[f32],
    buffer: &mut [f32],
    mut f: impl FnMut(&mut [f32]),
) {
    group.bench_timed(function, parameter, |times| {
        let mut total = Duration::ZERO;
        for _ in 0..times {
            buffer.copy_from_slice(original);
            let start = Instant::now();
            f(black_box(&mut *buffer));
            total += start.elapsed();
        }
        total
    });
}

/// Forward and backward of `ROWS` rows of `HIDDEN` units: what a step of a batch does
/// apart from its products.
fn gates(criterion: &mut Criterion) {
    const ROWS: usize = 32;
    const HIDDEN: usize = 128;
    let mut group = Group::new(criterion, "cell/gates");
    group.throughput(Throughput::Elements((ROWS * HIDDEN) as u64));

    let z = grid(ROWS, HIDDEN, 1, 3.0);
    let (mut h, dh) = (z.clone(), grid(ROWS, HIDDEN, 1, 1.0));
    for (name, nonlinearity) in [("tanh", Nonlinearity::Tanh), ("sigmoid", Nonlinearity::Sigmoid)] {
        h.copy_from_slice(&z);
        elman::forward(nonlinearity, HIDDEN, view_mut(&mut h, ROWS));
        for unit in 0..HIDDEN {
            assert_near(h[unit], reference::elman(nonlinearity, f64::from(z[unit])));
        }
        // Applied again and again: no step depends on the data.
        group.bench(&format!("elman {name}/forward"), "", || {
            elman::forward(nonlinearity, HIDDEN, view_mut(black_box(&mut h), ROWS));
        });
        let mut dz = dh.clone();
        time_on(&mut group, (&format!("elman {name}/backward"), ""), &dh, &mut dz, |dz| {
            elman::backward(nonlinearity, view(&h, ROWS), view_mut(dz, ROWS));
        });
    }

    let zx = grid(ROWS, HIDDEN, 3, 3.0);
    let (zh, h_before) = (grid(ROWS, HIDDEN, 3, 1.0), grid(ROWS, HIDDEN, 1, 1.0));
    let mut all = zx.clone();
    let forward = |all: &mut [f32], h: &mut [f32]| {
        gru::forward(
            view_mut(all, ROWS),
            view(&zh, ROWS),
            view(&h_before, ROWS),
            view_mut(h, ROWS),
        );
    };
    forward(&mut all, &mut h);
    for unit in 0..HIDDEN {
        let truth = reference::gru(values(&zx, unit), values(&zh, unit), f64::from(h_before[unit]));
        assert_near(h[unit], truth.h);
    }
    group.bench("gru/forward", "", || forward(black_box(&mut all), black_box(&mut h)));
    let (kept, mut dzh, mut dh_before) = (all.clone(), zh.clone(), dh.clone());
    time_on(&mut group, ("gru/backward", ""), &kept, &mut all, |all| {
        gru::backward(
            view_mut(all, ROWS),
            view_mut(&mut dzh, ROWS),
            view(&h_before, ROWS),
            view(&dh, ROWS),
            view_mut(&mut dh_before, ROWS),
        );
    });

    let z = grid(ROWS, HIDDEN, 4, 3.0);
    let (mut all, mut c) = (z.clone(), dh.clone());
    let forward = |all: &mut [f32], c: &mut [f32], h: &mut [f32]| {
        lstm::forward(
            view_mut(all, ROWS),
            view(&h_before, ROWS),
            view_mut(c, ROWS),
            view_mut(h, ROWS),
        );
    };
    forward(&mut all, &mut c, &mut h);
    for unit in 0..HIDDEN {
        assert_near(h[unit], reference::lstm(values(&z, unit), f64::from(h_before[unit])).h);
    }
    group.bench("lstm/forward", "", || {
        forward(black_box(&mut all), black_box(&mut c), black_box(&mut h));
    });
    let (kept, mut dc) = (all.clone(), dh.clone());
    time_on(&mut group, ("lstm/backward", ""), &kept, &mut all, |all| {
        lstm::backward(
            view_mut(all, ROWS),
            view(&h_before, ROWS),
            view(&h, ROWS),
            view(&dh, ROWS),
            view_mut(&mut dc, ROWS),
        );
    });
    group.finish();
}

/// All steps of one sequence, forward and backward.
fn steps(criterion: &mut Criterion) {
    const STEPS: usize = 64;
    let walk = Walk { steps: STEPS, batch: 1, direction: Direction::Forward };
    let mut group = Group::new(criterion, "cell/steps");
    for hidden in [16, 64, 128] {
        let scale = 1.0 / (hidden as f32).sqrt();
        let start = grid(1, hidden, 1, 1.0);
        let zero = Buffer::zeros(start.len());
        let (mut h, mut dh) = (grid(STEPS, hidden, 1, 1.0), grid(STEPS, hidden, 1, 1.0));
        let (mut dh_start, mut dc) = (start.clone(), start.clone());
        let units = start.len();
        let count_weights = |group: &mut Group<'_>, gates| {
            let step = hidden * gates * units * size_of::<f32>();
            group.throughput(Throughput::Bytes((STEPS * step) as u64));
            group.beside(Reference::Loads(step), Some((STEPS * step) as f64));
        };

        let w_rec = grid(hidden, hidden, 1, scale);
        let w_rec = view(&w_rec, hidden);
        count_weights(&mut group, 1);
        group.bench("elman tanh/forward", &hidden.to_string(), || {
            let h = view_mut(black_box(&mut h), STEPS);
            elman::forward_steps(Nonlinearity::Tanh, walk, w_rec, view(&start, 1), h);
        });
        let kept = dh.clone();
        time_on(&mut group, ("elman tanh/backward", &hidden.to_string()), &kept, &mut dh, |dh| {
            elman::backward_steps(
                Nonlinearity::Tanh,
                walk,
                w_rec,
                view(&h, STEPS),
                view_mut(dh, STEPS),
                view_mut(&mut dh_start, 1),
            );
        });

        let w_rec = grid(hidden, hidden, 3, scale);
        let w_rec = view(&w_rec, hidden);
        let (mut zx, mut zh) = (grid(STEPS, hidden, 3, 1.0), grid(STEPS, hidden, 3, 1.0));
        count_weights(&mut group, 3);
        group.bench("gru/forward", &hidden.to_string(), || {
            gru::forward_steps(
                walk,
                gru::Recurrent { w_rec, b_rec: None },
                view(&start, 1),
                gru::Steps {
                    zx: view_mut(black_box(&mut zx), STEPS),
                    zh: view_mut(&mut zh, STEPS),
                    h: view_mut(&mut h, STEPS),
                },
            );
        });
        let kept = zx.clone();
        time_on(&mut group, ("gru/backward", &hidden.to_string()), &kept, &mut zx, |zx| {
            gru::backward_steps(
                walk,
                w_rec,
                view(&start, 1),
                gru::StepsBackward {
                    zx: view_mut(zx, STEPS),
                    zh: view_mut(&mut zh, STEPS),
                    h: view(&h, STEPS),
                    dh: view_mut(&mut dh, STEPS),
                },
                view_mut(&mut dh_start, 1),
            );
        });

        let w_rec = grid(hidden, hidden, 4, scale);
        let w_rec = view(&w_rec, hidden);
        let (mut z, mut c) = (grid(STEPS, hidden, 4, 1.0), grid(STEPS, hidden, 1, 1.0));
        count_weights(&mut group, 4);
        group.bench("lstm/forward", &hidden.to_string(), || {
            lstm::forward_steps(
                walk,
                w_rec,
                lstm::Start { h: view(&start, 1), c: view(&zero, 1) },
                lstm::Steps {
                    gates: view_mut(black_box(&mut z), STEPS),
                    c: view_mut(&mut c, STEPS),
                    h: view_mut(&mut h, STEPS),
                },
            );
        });
        let kept = z.clone();
        time_on(&mut group, ("lstm/backward", &hidden.to_string()), &kept, &mut z, |z| {
            dc.fill(0.0);
            lstm::backward_steps(
                walk,
                w_rec,
                view(&zero, 1),
                lstm::StepsBackward {
                    gates: view_mut(z, STEPS),
                    c: view(&c, STEPS),
                    h: view(&h, STEPS),
                    dh: view_mut(&mut dh, STEPS),
                },
                lstm::StartBackward { dh: view_mut(&mut dh_start, 1), dc: view_mut(&mut dc, 1) },
            );
        });
    }
    group.finish();
}

/// The state of the first unit after a step, by the reference.
fn unit_zero_after(weights: CellWeights<'_>, x: &[f32], before: &[f32], c_before: f32) -> f64 {
    let sum = |bias: Option<&[f32]>, matrix: MatRef<'_>, values: &[f32], gate: usize| -> f64 {
        let products = matrix.iter_rows().zip(values);
        let sum =
            products.map(|(row, &v)| f64::from(row[gate * GROUP]) * f64::from(v)).sum::<f64>();
        sum + bias.map_or(0.0, |bias| f64::from(bias[gate * GROUP]))
    };
    let zx = |gate| sum(weights.b_in, weights.w_in, x, gate);
    let zh = |gate| sum(weights.b_rec, weights.w_rec, before, gate);
    let units = before.len();
    match weights.w_rec.columns() / units {
        1 => reference::elman(Nonlinearity::Tanh, zx(0) + zh(0)),
        3 => {
            let (zx, zh) = ([0, 1, 2].map(zx), [0, 1, 2].map(zh));
            reference::gru(zx, zh, f64::from(before[0])).h
        }
        _ => reference::lstm([0, 1, 2, 3].map(|g| zx(g) + zh(g)), f64::from(c_before)).h,
    }
}

/// One step of a stream of one sequence: latency, as each step waits for the one before.
fn stream(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "cell/stream");
    for (inputs, hidden) in [(16, 16), (16, 64), (64, 64), (16, 128), (128, 128)] {
        let scale = 1.0 / (hidden as f32).sqrt();
        let size = format!("I={inputs}/H={hidden}");
        let x = grid(1, inputs, 1, 1.0);
        let x = MatRef::new(&x[..inputs], 1, inputs);
        let (mut a, mut b) = (grid(1, hidden, 1, 1.0), grid(1, hidden, 1, 1.0));
        let mut c = a.clone();
        for gates in [1, 3, 4] {
            let (w_in, w_rec) =
                (grid(inputs, hidden, gates, 1.0), grid(hidden, hidden, gates, scale));
            let bias = grid(1, hidden, gates, 0.1);
            let weights = CellWeights {
                w_in: view(&w_in, inputs),
                w_rec: view(&w_rec, hidden),
                b_in: Some(&bias),
                b_rec: Some(&bias),
            };
            let truth = unit_zero_after(weights, x.row(0), &a, c[0]);
            let mut step = |before: &[f32], after: &mut [f32]| {
                let (before, after) = (view(before, 1), view_mut(after, 1));
                match gates {
                    1 => elman::step(Nonlinearity::Tanh, weights, x, before, after),
                    3 => gru::step(weights, x, before, after),
                    _ => lstm::step(weights, x, before, view_mut(&mut c, 1), after),
                }
            };
            let name = ["", "elman tanh", "", "gru", "lstm"][gates];
            step(&a, &mut b);
            assert_near(b[0], truth);
            group.bench(name, &size, || {
                step(&a, &mut b);
                swap(&mut a, &mut b);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, gates, steps, stream);

fn main() {
    build_check::refuse_slow_build();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
