//! The products that no network of ours calls, for those who call them: Criterion group
//! `products`, matrix × vector, vector × matrix, the outer product, and the product that is
//! divided among the threads of the rayon pool.
//!
//! Throughput counts two floating-point operations a multiply-add. Each answer is compared
//! with the f64 reference before it is timed. Products on one thread, beside rivals, are in
//! `matmul.rs`.

mod beside;
mod build_check;
mod check;
mod moments;
mod uniform;

use beside::{Group, Reference};
use check::{assert_close, widened};
use criterion::{Criterion, Throughput, criterion_group};
use kernels::buffer::Buffer;
use kernels::matmul::{Epilogue, gemm_parallel, matrix_vector, rank_one, vector_matrix};
use kernels::matrix::{MatMut, MatRef};
use kernels::reference;
use std::hint::black_box;
use uniform::uniform;

/// Sides of the matrices: in L2, and beyond it.
const SIDES: [usize; 2] = [256, 1024];
/// The side of the product that is divided among threads.
const PARALLEL_SIDE: usize = 512;

fn products(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "products");
    for n in SIDES {
        time(&mut group, "matrix_vector", (n, n, 1), |a, x, y| {
            matrix_vector(1.0, MatRef::new(a, n, n), x, 0.0, y);
        });
        time(&mut group, "vector_matrix", (1, n, n), |x, b, y| {
            vector_matrix(1.0, x, MatRef::new(b, n, n), 0.0, y);
        });
        time(&mut group, "rank_one", (n, 1, n), |x, y, c| {
            rank_one(1.0, x, y, MatMut::new(c, n, n));
        });
    }
    let n = PARALLEL_SIDE;
    time(&mut group, "gemm_parallel", (n, n, n), |a, b, c| {
        let (a, b) = (MatRef::new(a, n, n), MatRef::new(b, n, n));
        gemm_parallel(1.0, a, b, 0.0, MatMut::new(c, n, n), Epilogue::default());
    });
    group.finish();
}

/// Compares what `run(a, b, c)` makes of a C of zeros with A `[m, k]` times B `[k, n]`, and
/// times it.
fn time(
    group: &mut Group<'_>,
    name: &str,
    (m, k, n): (usize, usize, usize),
    run: impl Fn(&[f32], &[f32], &mut [f32]),
) {
    let mut uniform = uniform();
    let mut values = |length: usize| {
        let mut values = Buffer::zeros(length);
        values.fill_with(&mut uniform);
        values
    };
    let (a, b, mut c) = (values(m * k), values(k * n), Buffer::zeros(m * n));
    run(&a, &b, &mut c);
    // The first rows are enough: the reference is slow.
    let rows = m.min(40);
    let left = MatRef::new(&a[..rows * k], rows, k);
    let zeros = vec![0.0; rows * n];
    let zeros = MatRef::new(&zeros, rows, n);
    let expected = reference::gemm(1.0, left.into(), MatRef::new(&b, k, n).into(), 0.0, zeros);
    assert_close(widened(&c[..rows * n]), expected);
    let flop = 2 * (m * k * n);
    group.throughput(Throughput::Elements(flop as u64));
    group.beside(Reference::Peak, Some(flop as f64));
    group.bench(name, &format!("{m}x{k}x{n}"), || {
        run(black_box(&a), black_box(&b), black_box(&mut c));
    });
}

criterion_group!(benches, products);

fn main() {
    build_check::refuse_slow_build();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
