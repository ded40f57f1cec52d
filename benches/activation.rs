//! Criterion group `activation`: exp, sigmoid and tanh over slices, in values a second.
//!
//! Beside us, in the same group and on the same values: `std`, a plain loop over the
//! standard library's `f32` functions, and `wide`, a loop over that crate's own vector
//! functions. Each is compared with the f64 reference before it is timed, at a
//! tolerance of its own; only ours promises more (`crates/kernels/tests/precision.rs`).
//!
//! Out of place unless the name says `in_place`; the values are spread over [−8, 8].

use std::hint::black_box;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use criterion::{criterion_group, criterion_main};
use kernels::lanes::{LANES, Lanes};
use kernels::{activation, reference};

/// 4,096 is the study's size (L1); the others show call cost, a ragged tail, and L2.
const SIZES: [usize; 4] = [64, 1000, 4096, 65536];

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % len) as f32 / len as f32 * 16.0 - 8.0).collect()
}

/// A source and a target of `len` values: on cache lines, as the arenas lay them out,
/// and half a page apart modulo the page, so that no load waits for a store that
/// merely shares its low 12 address bits.
fn with_buffers(len: usize, f: impl FnOnce(&mut [f32], &mut [f32])) {
    const LINE: usize = 16;
    const PAGE: usize = 1024;
    let distance = len.next_multiple_of(PAGE) + PAGE / 2;
    let mut buffer = vec![0.0f32; LINE + distance + len];
    let start = buffer.as_ptr().align_offset(LINE * size_of::<f32>());
    let (x, y) = buffer[start..].split_at_mut(distance);
    x[..len].copy_from_slice(&values(len));
    f(&mut x[..len], &mut y[..len]);
}

fn bench_into(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    truth: fn(f64) -> f64,
    tolerance: f64,
    f: impl Fn(&[f32], &mut [f32]),
) {
    for len in SIZES {
        with_buffers(len, |x, y| {
            f(x, y);
            for (&x, &y) in x.iter().zip(&*y) {
                let truth = truth(f64::from(x));
                let error = (f64::from(y) - truth).abs();
                assert!(error <= tolerance * truth.abs(), "{name}({x}) is {y}");
            }
            group.throughput(Throughput::Elements(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter(|| f(black_box(x), black_box(y)));
            });
        });
    }
}

/// In place, the values are applied again and again; sigmoid and tanh stay in their
/// range, and no step depends on the data.
fn bench_in_place(group: &mut BenchmarkGroup<WallTime>, name: &str, f: impl Fn(&mut [f32])) {
    for len in SIZES {
        with_buffers(len, |x, _| {
            group.throughput(Throughput::Elements(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter(|| f(black_box(x)));
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
    let mut group = criterion.benchmark_group("activation");
    let group = &mut group;
    let ours = 2.4e-7; // 2 ULP
    let rivals = 1e-6;

    bench_into(group, "exp/carry", f64::exp, ours, activation::exp_into);
    bench_into(group, "exp/std", f64::exp, rivals, |x, y| {
        scalar_loop(x, y, f32::exp);
    });
    bench_into(group, "exp/wide", f64::exp, rivals, |x, y| {
        wide_loop(x, y, Lanes::exp);
    });

    let sigmoid = reference::sigmoid;
    bench_into(group, "sigmoid/carry", sigmoid, ours, activation::sigmoid_into);
    bench_in_place(group, "sigmoid/carry_in_place", activation::sigmoid);
    bench_into(group, "sigmoid/std", sigmoid, rivals, |x, y| {
        scalar_loop(x, y, |x| 1.0 / (1.0 + (-x).exp()));
    });
    bench_into(group, "sigmoid/wide", sigmoid, rivals, |x, y| {
        wide_loop(x, y, |x| Lanes::ONE / (Lanes::ONE + (-x).exp()));
    });

    bench_into(group, "tanh/carry", f64::tanh, ours, activation::tanh_into);
    bench_in_place(group, "tanh/carry_in_place", activation::tanh);
    bench_into(group, "tanh/std", f64::tanh, rivals, |x, y| {
        scalar_loop(x, y, f32::tanh);
    });
    bench_into(group, "tanh/wide", f64::tanh, rivals, |x, y| {
        wide_loop(x, y, Lanes::tanh);
    });
}

criterion_group!(benches, activations);
criterion_main!(benches);
