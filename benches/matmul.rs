//! Products of matrices: Criterion group `matmul`, against `gemm` and
//! `matrixmultiply`, all on one thread.
//!
//! Throughput counts two floating-point operations a multiply-add. Each shape is
//! `m x k x n`; the answer of each runner is held against the f64 reference before
//! it is timed. The ceilings of the machine are printed first.
//!
//! The matrices begin at cache lines, as the parameters and states of a network do. From
//! where an allocator puts a `Vec`, 16 bytes behind one, every load of B and store of C
//! touches two: products of 64 to 512 rows were 3 % slower.

mod beside;
mod build_check;
mod moments;
mod roofline;
mod uniform;

use std::hint::black_box;

use beside::{Group, Reference};
use criterion::{Criterion, Throughput, criterion_group};
use kernels::{
    buffer::Buffer,
    matmul::{PackedMatrix, gemm},
    matrix::{MatMut, MatRef},
    reference,
};
use model::flops;
use uniform::uniform;

/// Square, odd, and those of recurrent networks (rows × inputs × gates).
const SHAPES: [(usize, usize, usize); 28] = [
    (16, 16, 16),
    (32, 32, 32),
    (64, 64, 64),
    (128, 128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (17, 17, 17),
    (33, 33, 33),
    (100, 100, 100),
    (127, 127, 127),
    (1, 64, 64),
    (1, 64, 256),
    (1, 128, 512),
    (1, 256, 1024),
    (4, 128, 512),
    (4, 256, 1024),
    (16, 64, 256),
    (16, 128, 512),
    (16, 64, 2048),
    (16, 128, 2048),
    (16, 256, 2048),
    (16, 512, 2048),
    (32, 64, 2048),
    (32, 128, 2048),
    (32, 256, 2048),
    (32, 512, 2048),
    (256, 64, 2048),
];

/// A name and a way to compute `C ← A·B`.
type Runner<'a> = (&'a str, &'a mut dyn FnMut(&mut Problem));

/// One product, as everyone is asked for it.
struct Problem {
    m: usize,
    k: usize,
    n: usize,
    a: Buffer,
    b: Buffer,
    c: Buffer,
}

impl Problem {
    fn new((m, k, n): (usize, usize, usize)) -> Self {
        let mut uniform = uniform();
        let mut values = |length: usize| {
            let mut values = Buffer::zeros(length);
            values.fill_with(&mut uniform);
            values
        };
        Self { m, k, n, a: values(m * k), b: values(k * n), c: Buffer::zeros(m * n) }
    }

    /// Panics if C is not the product, for up to 40 of its rows.
    fn assert_answer(&self) {
        let rows = self.m.min(40);
        let a = MatRef::new(&self.a[..rows * self.k], rows, self.k);
        let b = MatRef::new(&self.b, self.k, self.n);
        let c = MatRef::new(&self.c[..rows * self.n], rows, self.n);
        let expected = reference::gemm(1.0, a.into(), b.into(), 0.0, c);
        let magnitude = reference::gemm_magnitude(1.0, a.into(), b.into(), 0.0, c);
        for ((value, expected), magnitude) in self.c.iter().zip(expected).zip(magnitude) {
            let error = (f64::from(*value) - expected).abs();
            assert!(error <= reference::gamma(self.k + 4) * magnitude);
        }
    }
}

/// `C ← A·B`, by us.
fn ours(problem: &mut Problem) {
    let Problem { m, k, n, a, b, c } = problem;
    let (a, b) = (MatRef::new(a, *m, *k), MatRef::new(b, *k, *n));
    gemm(1.0, a, b, 0.0, MatMut::new(c, *m, *n));
}

/// `C ← A·B` for a B that was packed before.
fn ours_packed(problem: &mut Problem, b: &PackedMatrix) {
    let Problem { m, k, n, a, c, .. } = problem;
    gemm(1.0, MatRef::new(a, *m, *k), b, 0.0, MatMut::new(c, *m, *n));
}

/// `C ← A·B`, by the crate `gemm`.
fn rival_gemm(problem: &mut Problem) {
    let Problem { m, k, n, a, b, c } = problem;
    let (row_a, row_b) = (*k as isize, *n as isize);
    // SAFETY: the three matrices are dense, of the sizes given, and C is ours.
    unsafe {
        ::gemm::gemm(
            *m,
            *n,
            *k,
            c.as_mut_ptr(),
            1,
            row_b,
            false,
            a.as_ptr(),
            1,
            row_a,
            b.as_ptr(),
            1,
            row_b,
            0.0,
            1.0,
            false,
            false,
            false,
            ::gemm::Parallelism::None,
        );
    }
}

/// `C ← A·B`, by the crate `matrixmultiply`.
fn rival_matrixmultiply(problem: &mut Problem) {
    let Problem { m, k, n, a, b, c } = problem;
    let (row_a, row_b) = (*k as isize, *n as isize);
    // SAFETY: the three matrices are dense, of the sizes given, and C is ours.
    unsafe {
        matrixmultiply::sgemm(
            *m,
            *k,
            *n,
            1.0,
            a.as_ptr(),
            row_a,
            1,
            b.as_ptr(),
            row_b,
            1,
            0.0,
            c.as_mut_ptr(),
            row_b,
            1,
        );
    }
}

fn matmul(criterion: &mut Criterion) {
    println!("{:?}", roofline::Roofline::measure());
    let mut group = Group::new(criterion, "matmul");
    for shape in SHAPES {
        let mut problem = Problem::new(shape);
        let packed = PackedMatrix::new(MatRef::new(&problem.b, shape.1, shape.2));
        let mut ours_packed = |problem: &mut Problem| ours_packed(problem, &packed);
        let runners: [Runner<'_>; 4] = [
            ("carry", &mut ours),
            ("carry packed", &mut ours_packed),
            ("gemm", &mut rival_gemm),
            ("matrixmultiply", &mut rival_matrixmultiply),
        ];
        let (m, k, n) = shape;
        let flop = flops::product(m, k, n);
        group.throughput(Throughput::Elements(flop as u64));
        group.beside(Reference::Peak, Some(flop));
        for (name, run) in runners {
            problem.c.fill(f32::NAN);
            run(&mut problem);
            problem.assert_answer();
            let size = format!("{m}x{k}x{n}");
            group.bench(name, &size, || run(black_box(&mut problem)));
        }
    }
    group.finish();
}

criterion_group!(benches, matmul);

fn main() {
    build_check::refuse_slow_build();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
