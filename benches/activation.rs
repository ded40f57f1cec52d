//! Criterion group `activation`: exp, sigmoid, tanh and their backward passes, softmax
//! and log-sum-exp by rows, and the vector helpers, over slices, in values a second.
//!
//! Beside us, in the same group and on the same values: `std`, a plain loop over the
//! standard library's `f32` functions; `wide`, a loop over that crate's own vector
//! functions; `loop`, the formula as one writes it down, where it needs no function.
//! Each is compared with the f64 reference before it is timed, at a tolerance of its
//! own; only ours promises more (`crates/kernels/tests/precision.rs`).
//!
//! exp, sigmoid and tanh are out of place unless the name says `in_place`; the values
//! are spread over [−8, 8].
//!
//! The functions run beside the peak, and what is bound by its traffic beside loads from the cache
//! that holds it.

mod beside;
mod build_check;
mod moments;

use std::hint::black_box;

use beside::{Group, Reference};
use criterion::{Criterion, Throughput, criterion_group};
use kernels::buffer::Buffer;
use kernels::lanes::{LANES, Lanes};
use kernels::{activation, reference, vector};

/// 4,096 is the study's size (L1); the others show call cost, a ragged tail, and L2.
const SIZES: [usize; 4] = [64, 1000, 4096, 65536];

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % len) as f32 / len as f32 * 16.0 - 8.0).collect()
}

/// A source and a target of `len` values: on cache lines, as the arenas lay them out,
/// and half a page apart modulo the page, so that no load waits for a store that
/// merely shares its low 12 address bits.
fn with_buffers(len: usize, f: impl FnOnce(&mut [f32], &mut [f32])) {
    const PAGE: usize = 1024;
    let distance = len.next_multiple_of(PAGE) + PAGE / 2;
    let mut buffer = Buffer::zeros(distance + len);
    let (x, y) = buffer.split_at_mut(distance);
    x[..len].copy_from_slice(&values(len));
    f(&mut x[..len], y);
}

/// Panics if `name` is further from the truth than the tolerance, relatively.
fn assert_close(name: &str, values: &[f32], truth: impl IntoIterator<Item = f64>, tolerance: f64) {
    let mut count = 0;
    for (i, (&value, truth)) in values.iter().zip(truth).enumerate() {
        let error = (f64::from(value) - truth).abs();
        assert!(error <= tolerance * truth.abs(), "{name}: [{i}] is {value}, not {truth}");
        count += 1;
    }
    assert_eq!(count, values.len(), "{name}: a truth for every value");
}

fn widened(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn time(
    group: &mut Group<'_>,
    name: &str,
    size: impl std::fmt::Display,
    values: usize,
    mut f: impl FnMut(),
) {
    group.throughput(Throughput::Elements(values as u64));
    group.bench(name, &size.to_string(), &mut f);
}

fn bench_into(
    group: &mut Group<'_>,
    name: &str,
    truth: fn(f64) -> f64,
    tolerance: f64,
    f: impl Fn(&[f32], &mut [f32]),
) {
    for len in SIZES {
        with_buffers(len, |x, y| {
            f(x, y);
            assert_close(name, y, widened(x).into_iter().map(truth), tolerance);
            time(group, name, len, len, || f(black_box(x), black_box(y)));
        });
    }
}

/// In place, the values are applied again and again; sigmoid and tanh stay in their
/// range, exp ends at ∞, and no step depends on the data.
fn bench_in_place(
    group: &mut Group<'_>,
    name: &str,
    truth: fn(f64) -> f64,
    tolerance: f64,
    f: impl Fn(&mut [f32]),
) {
    for len in SIZES {
        with_buffers(len, |x, _| {
            let truth: Vec<f64> = widened(x).into_iter().map(truth).collect();
            f(x);
            assert_close(name, x, truth, tolerance);
            time(group, name, len, len, || f(black_box(x)));
        });
    }
}

/// Rows × columns of softmax and log-sum-exp: in L1, ragged, and in L2.
const ROWS: [(usize, usize); 3] = [(64, 64), (4, 1000), (16, 4096)];

/// `f(x, y, rows, columns)` makes softmax, one value a value, or log-sum-exp, one a row.
fn bench_rows(
    group: &mut Group<'_>,
    name: &str,
    truth: fn(&[f64]) -> Vec<f64>,
    f: impl Fn(&[f32], &mut [f32], usize, usize),
) {
    for (rows, columns) in ROWS {
        with_buffers(rows * columns, |x, y| {
            let truth: Vec<f64> = widened(x).chunks(columns).flat_map(truth).collect();
            let y = &mut y[..truth.len()];
            f(x, y, rows, columns);
            assert_close(name, y, truth, 1e-5);
            let size = format!("{rows}x{columns}");
            time(group, name, size, rows * columns, || {
                f(black_box(x), black_box(y), rows, columns);
            });
        });
    }
}

/// In L1 and in L2, which bound these.
const VECTOR_SIZES: [usize; 2] = [4096, 65536];

/// Beside loads of a buffer of `len` values, of which an iteration moves `moved` for each: half of what
/// it touches, for what fills L1 to the last line is not read at one speed.
fn beside_loads(group: &mut Group<'_>, len: usize, moved: usize) {
    let bytes = len * size_of::<f32>();
    group.beside(Reference::Loads(bytes), Some((moved * bytes) as f64));
}

/// `f(x, y)` may change y. `moved` values are read and written for each of y. `truth(x, y)` of the values before is its y afterwards.
/// `rest` is what x is filled with to be timed: a value that keeps y normal however
/// often `f` is applied.
fn bench_update(
    group: &mut Group<'_>,
    name: &str,
    truth: fn(f64, f64) -> f64,
    rest: f32,
    moved: usize,
    f: impl Fn(&[f32], &mut [f32]),
) {
    for len in VECTOR_SIZES {
        beside_loads(group, len, moved);
        with_buffers(len, |x, y| {
            for (i, y) in y.iter_mut().enumerate() {
                *y = (i % 13) as f32 + 0.5;
            }
            let truth = widened(x).into_iter().zip(widened(y)).map(|(x, y)| truth(x, y));
            let truth: Vec<f64> = truth.collect();
            f(x, y);
            assert_close(name, y, truth, 2e-5);
            x.fill(rest);
            y.fill(1.0);
            time(group, name, len, len, || f(black_box(x), black_box(y)));
        });
    }
}

/// `f(x, y)` is the sum of `truth(x[i], y[i])`, and reads `moved` values for each.
fn bench_sum(
    group: &mut Group<'_>,
    name: &str,
    truth: fn(f64, f64) -> f64,
    moved: usize,
    f: impl Fn(&[f32], &[f32]) -> f32,
) {
    for len in VECTOR_SIZES {
        beside_loads(group, len, moved);
        with_buffers(len, |x, y| {
            y.fill(0.5);
            x.iter_mut().for_each(|x| *x = x.abs());
            let truth: f64 = x.iter().zip(&*y).map(|(&x, &y)| truth(x.into(), y.into())).sum();
            assert_close(name, &[f(x, y)], [truth], 1e-4);
            time(group, name, len, len, || {
                black_box(f(black_box(x), black_box(y)));
            });
        });
    }
}

fn scalar_loop(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    for (x, y) in x.iter().zip(y) {
        *y = f(*x);
    }
}

fn wide_loop(x: &[f32], y: &mut [f32], f: impl Fn(Lanes) -> Lanes) {
    let (full_x, tail_x) = x.as_chunks::<LANES>();
    let (full_y, tail_y) = y.as_chunks_mut::<LANES>();
    for (x, y) in full_x.iter().zip(full_y) {
        *y = f(Lanes::new(*x)).to_array();
    }
    let mut padded = [0.0; LANES];
    padded[..tail_x.len()].copy_from_slice(tail_x);
    let value = f(Lanes::new(padded)).to_array();
    tail_y.copy_from_slice(&value[..tail_y.len()]);
}

fn activations(criterion: &mut Criterion) {
    let group = &mut Group::new(criterion, "activation");
    let ours = 2.4e-7; // 2 ULP
    let rivals = 1e-6;

    bench_into(group, "exp/carry", f64::exp, ours, activation::exp_into);
    bench_in_place(group, "exp/carry_in_place", f64::exp, ours, activation::exp);
    bench_into(group, "exp/std", f64::exp, rivals, |x, y| {
        scalar_loop(x, y, f32::exp);
    });
    bench_into(group, "exp/wide", f64::exp, rivals, |x, y| {
        wide_loop(x, y, Lanes::exp);
    });

    let sigmoid = reference::sigmoid;
    bench_into(group, "sigmoid/carry", sigmoid, ours, activation::sigmoid_into);
    bench_in_place(group, "sigmoid/carry_in_place", sigmoid, ours, activation::sigmoid);
    bench_into(group, "sigmoid/std", sigmoid, rivals, |x, y| {
        scalar_loop(x, y, |x| 1.0 / (1.0 + (-x).exp()));
    });
    bench_into(group, "sigmoid/wide", sigmoid, rivals, |x, y| {
        wide_loop(x, y, |x| Lanes::ONE / (Lanes::ONE + (-x).exp()));
    });

    bench_into(group, "tanh/carry", f64::tanh, ours, activation::tanh_into);
    bench_in_place(group, "tanh/carry_in_place", f64::tanh, ours, activation::tanh);
    bench_into(group, "tanh/std", f64::tanh, rivals, |x, y| {
        scalar_loop(x, y, f32::tanh);
    });
    bench_into(group, "tanh/wide", f64::tanh, rivals, |x, y| {
        wide_loop(x, y, Lanes::tanh);
    });

    rows(group);
    backward(group);
    vectors(group);
}

fn backward(group: &mut Group<'_>) {
    let truth = |y: f64, dy: f64| dy * reference::sigmoid_derivative(y);
    bench_update(group, "sigmoid_backward/carry", truth, 0.5, 3, activation::sigmoid_backward);
    bench_update(group, "sigmoid_backward/loop", truth, 0.5, 3, |y, dy| {
        for (y, dy) in y.iter().zip(dy) {
            *dy *= y * (1.0 - y);
        }
    });
    let truth = |y: f64, dy: f64| dy * reference::tanh_derivative(y);
    bench_update(group, "tanh_backward/carry", truth, 0.0, 3, activation::tanh_backward);
    bench_update(group, "tanh_backward/loop", truth, 0.0, 3, |y, dy| {
        for (y, dy) in y.iter().zip(dy) {
            *dy *= (1.0 - y) * (1.0 + y);
        }
    });
}

fn rows(group: &mut Group<'_>) {
    bench_rows(group, "softmax/carry", reference::softmax, |x, y, rows, columns| {
        activation::softmax_rows_into(x, y, rows, columns, columns);
    });
    bench_rows(group, "softmax/std", reference::softmax, |x, y, _, columns| {
        for (x, y) in x.chunks(columns).zip(y.chunks_mut(columns)) {
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for (x, y) in x.iter().zip(&mut *y) {
                *y = (x - max).exp();
                sum += *y;
            }
            for y in y {
                *y /= sum;
            }
        }
    });
    let truth = |x: &[f64]| vec![reference::log_sum_exp(x)];
    bench_rows(group, "log_sum_exp/carry", truth, |x, y, rows, columns| {
        activation::log_sum_exp_rows(x, rows, columns, columns, y);
    });
    bench_rows(group, "log_sum_exp/std", truth, |x, y, _, columns| {
        for (x, y) in x.chunks(columns).zip(y) {
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            *y = max + x.iter().map(|x| (x - max).exp()).sum::<f32>().ln();
        }
    });
}

fn vectors(group: &mut Group<'_>) {
    // So small a factor that y is still near 1 after all iterations.
    const ALPHA: f32 = 1e-12;
    let truth = |x, y| f64::from(ALPHA) * x + y;
    bench_update(group, "axpy/carry", truth, 1.0, 3, |x, y| vector::axpy(ALPHA, x, y));
    bench_update(group, "axpy/loop", truth, 1.0, 3, |x, y| {
        for (x, y) in x.iter().zip(y) {
            *y += ALPHA * x;
        }
    });
    bench_update(group, "scale/carry", |_, y| -y, 1.0, 2, |_, y| vector::scale(-1.0, y));
    bench_update(
        group,
        "scale/loop",
        |_, y| -y,
        1.0,
        2,
        |_, y| {
            let factor = black_box(-1.0);
            for y in y {
                *y *= factor;
            }
        },
    );
    let truth = |_, y: f64| y.clamp(-5.0, 5.0);
    bench_update(group, "clip/carry", truth, 1.0, 2, |_, y| vector::clip(5.0, y));
    bench_update(group, "clip/loop", truth, 1.0, 2, |_, y| {
        for y in y {
            *y = y.clamp(-5.0, 5.0);
        }
    });
    bench_sum(group, "dot/carry", |x, y| x * y, 2, vector::dot);
    bench_sum(group, "dot/loop", |x, y| x * y, 2, |x, y| x.iter().zip(y).map(|(x, y)| x * y).sum());
    bench_sum(group, "squared_norm/carry", |x, _| x * x, 1, |x, _| vector::squared_norm(x));
    bench_sum(group, "squared_norm/loop", |x, _| x * x, 1, |x, _| x.iter().map(|x| x * x).sum());
}

criterion_group!(benches, activations);

fn main() {
    build_check::refuse_slow_build();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
