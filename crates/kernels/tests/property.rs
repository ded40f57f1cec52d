//! Every product against the f64 reference, at every edge there is.
//!
//! One runner, [`Case::check`], serves all: it puts the operands into larger buffers whose
//! other values are NaN, so that a value read from outside makes the result NaN, and then
//! compares what surrounds C bit by bit. The bound is the one that `kernels::matmul`
//! states, computed from the operands.
//!
//! `valgrind_*` is the reduced set that runs under memcheck in reasonable time.

use std::cell::Cell;

use kernels::{
    lanes::LANES,
    matmul::{
        Activation, Epilogue, PackedMatrix, gemm, gemm_fused, gemm_parallel, matrix_vector,
        rank_one, vector_matrix,
    },
    matrix::{MatMut, MatRef, Operand},
    reference::{self, gamma},
};
use proptest::prelude::*;

/// Values before and behind a matrix in its buffer.
const MARGIN: usize = 5;

thread_local! {
    /// Whether matrices stand alone in their buffers, so that memcheck sees the
    /// reads behind them. Only the `valgrind_*` tests ask for it.
    static EXACT: Cell<bool> = const { Cell::new(false) };
}

fn margin() -> usize {
    if EXACT.get() { 0 } else { MARGIN }
}

/// A NaN that no arithmetic makes.
fn guard() -> f32 {
    f32::from_bits(0x7fc0_beef)
}

/// Numbers in [−1, 1) that differ between places and between seeds.
fn value(seed: usize, index: usize) -> f32 {
    let mut x = (seed as u64) << 32 | index as u64;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// A matrix inside a larger buffer of guard values.
struct Island {
    data: Vec<f32>,
    rows: usize,
    columns: usize,
    stride: usize,
}

impl Island {
    fn new(rows: usize, columns: usize, gap: usize, fill: impl Fn(usize) -> f32) -> Self {
        let stride = columns + gap;
        // The last row ends without a gap: the margin follows at once.
        let length = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
        let mut data = vec![guard(); length + 2 * margin()];
        for row in 0..rows {
            for column in 0..columns {
                data[margin() + row * stride + column] = fill(row * columns + column);
            }
        }
        Self { data, rows, columns, stride }
    }

    /// `op(X)` of the given size, stored so that it is transposed or not.
    fn operand(rows: usize, columns: usize, transposed: bool, gap: usize, seed: usize) -> Self {
        let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
        Self::new(rows, columns, gap, |index| value(seed, index))
    }

    fn view(&self) -> MatRef<'_> {
        let end = self.data.len() - margin();
        MatRef::with_stride(&self.data[margin()..end], self.rows, self.columns, self.stride)
    }

    fn view_mut(&mut self) -> MatMut<'_> {
        let end = self.data.len() - margin();
        MatMut::with_stride(&mut self.data[margin()..end], self.rows, self.columns, self.stride)
    }

    fn assert_guards(&self, case: &Case) {
        let mut inside = vec![false; self.data.len()];
        for row in 0..self.rows {
            inside[margin() + row * self.stride..][..self.columns].fill(true);
        }
        for (index, (value, inside)) in self.data.iter().zip(inside).enumerate() {
            assert!(
                inside || value.to_bits() == guard().to_bits(),
                "{case:?} wrote {value} at {index} of the buffer around C"
            );
        }
    }
}

fn op(view: MatRef<'_>, transposed: bool) -> Operand<'_> {
    if transposed { view.t() } else { view.into() }
}

/// The function that computes a product.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    Plain,
    Packed,
    Parallel,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    m: usize,
    k: usize,
    n: usize,
    transposed: (bool, bool),
    gaps: (usize, usize, usize),
    alpha: f32,
    beta: f32,
    bias: bool,
    activation: Activation,
    door: Door,
}

impl Case {
    fn new(m: usize, k: usize, n: usize) -> Self {
        Self {
            m,
            k,
            n,
            transposed: (false, false),
            gaps: (0, 0, 0),
            alpha: 1.0,
            beta: 0.0,
            bias: false,
            activation: Activation::Identity,
            door: Door::Plain,
        }
    }

    fn check(&self) {
        let Self { m, k, n, alpha, beta, .. } = *self;
        let a = Island::operand(m, k, self.transposed.0, self.gaps.0, 1);
        let b = Island::operand(k, n, self.transposed.1, self.gaps.1, 2);
        // β = 0 must not read C.
        let mut c =
            Island::new(
                m,
                n,
                self.gaps.2,
                |index| {
                    if beta == 0.0 { f32::NAN } else { value(3, index) }
                },
            );
        let bias: Vec<f32> = (0..n).map(|index| value(4, index)).collect();

        let old = Island { data: c.data.clone(), ..c };
        let (alpha64, beta64) = (f64::from(alpha), f64::from(beta));
        let (op_a, op_b) = (op(a.view(), self.transposed.0), op(b.view(), self.transposed.1));
        let mut expected = reference::gemm(alpha64, op_a, op_b, beta64, old.view());
        let mut bound = reference::gemm_magnitude(alpha64, op_a, op_b, beta64, old.view());
        for (index, (expected, bound)) in expected.iter_mut().zip(&mut bound).enumerate() {
            if self.bias {
                let bias = f64::from(bias[index % n]);
                *expected += bias;
                *bound += bias.abs();
            }
            *bound *= gamma(k + 4);
            if self.activation == Activation::Sigmoid {
                // The slope is at most 1/4; the sigmoid itself is good to 2 ULP.
                *expected = 1.0 / (1.0 + (-*expected).exp());
                *bound = *bound / 4.0 + f64::from(f32::EPSILON);
            }
            if self.activation == Activation::Tanh {
                // The slope is at most 1; tanh itself is good to 2.5 ULP.
                *expected = expected.tanh();
                *bound += 1.5 * f64::from(f32::EPSILON);
            }
        }

        let epilogue =
            Epilogue { bias: self.bias.then_some(&bias[..]), activation: self.activation };
        match self.door {
            Door::Plain => gemm_fused(alpha, op_a, op_b, beta, c.view_mut(), epilogue),
            Door::Packed => {
                let packed = PackedMatrix::new(op_b);
                gemm_fused(alpha, op_a, &packed, beta, c.view_mut(), epilogue);
            }
            Door::Parallel => gemm_parallel(alpha, op_a, op_b, beta, c.view_mut(), epilogue),
        }

        for (row, values) in c.view().iter_rows().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                let (expected, bound) = (expected[row * n + column], bound[row * n + column]);
                let error = (f64::from(value) - expected).abs();
                assert!(
                    error <= bound,
                    "{self:?}: C[{row}][{column}] is {value}, not {expected}: \
                     the error {error:e} exceeds {bound:e}"
                );
            }
        }
        c.assert_guards(self);
    }

    /// This case with all four transpositions.
    fn check_transposed(self) {
        for transposed in [(false, false), (false, true), (true, false), (true, true)] {
            Self { transposed, ..self }.check();
        }
    }
}

/// The sizes around the edges of a tile's columns: vectors and groups of them.
fn column_edges() -> Vec<usize> {
    let vectors = (1..=9).map(|vectors| vectors * LANES);
    vectors.flat_map(|n| [n - 1, n, n + 1]).collect()
}

#[test]
fn every_size_to_70_along_each_side() {
    for size in 0..=70 {
        for (one, other) in [(1, 1), (3, 37), (14, 20)] {
            for (m, k, n) in [(size, one, other), (one, size, other), (one, other, size)] {
                let case = Case { gaps: (3, 0, 2), alpha: 0.75, beta: -0.5, ..Case::new(m, k, n) };
                case.check_transposed();
                Case { bias: true, beta: 0.0, alpha: 1.0, ..case }.check_transposed();
            }
        }
    }
}

#[test]
fn every_square_to_70() {
    for size in 0..=70 {
        Case::new(size, size, size).check_transposed();
        let case = Case { gaps: (0, 5, 1), door: Door::Packed, ..Case::new(size, size, size) };
        case.check_transposed();
    }
}

#[test]
fn every_tile() {
    for m in 1..=26 {
        for n in column_edges() {
            let case = Case { gaps: (1, 2, 3), ..Case::new(m, 9, n) };
            case.check();
            Case { door: Door::Packed, beta: 1.0, bias: true, ..case }.check();
            let activation = Activation::Sigmoid;
            Case { activation, transposed: (true, false), ..case }.check();
        }
    }
}

#[test]
fn edges_of_the_blocks() {
    for depth in [255, 256, 257, 513] {
        Case { beta: 0.5, ..Case::new(50, depth, 1025) }.check();
        Case { gaps: (1, 1, 1), bias: true, ..Case::new(20, depth, 70) }.check_transposed();
        let activation = Activation::Tanh;
        Case { bias: true, activation, ..Case::new(49, depth, 1040) }.check();
    }
    for rows in [191, 192, 193, 385] {
        Case { gaps: (7, 0, 0), ..Case::new(rows, 260, 1025) }.check();
        Case { transposed: (true, true), ..Case::new(rows, 300, 130) }.check();
        Case { door: Door::Packed, alpha: -2.0, ..Case::new(rows, 300, 130) }.check_transposed();
    }
    Case { gaps: (0, 3, 0), ..Case::new(5, 40, 2100) }.check_transposed();
    // More than one block of rows on every CPU: a small B in place, panels that are kept, and too
    // many to keep.
    for (depth, columns) in [(1, 3), (8, 9), (20, 70), (300, 5), (300, 24)] {
        Case { bias: true, ..Case::new(530, depth, columns) }.check_transposed();
        Case { door: Door::Packed, ..Case::new(530, depth, columns) }.check_transposed();
    }
    Case { beta: 1.0, ..Case::new(530, 257, 70) }.check_transposed();
    for transposed in [(false, false), (false, true)] {
        Case { transposed, ..Case::new(260, 256, 4110) }.check();
    }
}

#[test]
fn parallel_form() {
    for (m, k, n) in [(0, 5, 7), (33, 20, 45), (300, 129, 400), (200, 100, 1111), (97, 300, 513)] {
        let case = Case { door: Door::Parallel, bias: true, gaps: (1, 2, 3), ..Case::new(m, k, n) };
        case.check_transposed();
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (m, k, n) = (350, 300, 700);
    let a = Island::operand(m, k, false, 0, 1);
    let b = Island::operand(k, n, false, 0, 2);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut c = vec![0.0; m * n];
        let view = MatMut::new(&mut c, m, n);
        pool.install(|| gemm_parallel(1.0, a.view(), b.view(), 0.0, view, Epilogue::default()));
        c.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let one = with(1);
    for threads in [2, 3, 5] {
        assert!(one == with(threads), "{threads} threads");
    }
    let mut serial = vec![0.0; m * n];
    gemm(1.0, a.view(), b.view(), 0.0, MatMut::new(&mut serial, m, n));
    assert!(serial.iter().map(|value| value.to_bits()).eq(one));
}

#[test]
fn parts_are_summed_as_the_whole() {
    // Sizes that an even division would cut to a row or a column.
    for (m, k, n) in [(97, 300, 513), (257, 128, 257), (1025, 64, 130), (17, 300, 2049)] {
        let a = Island::operand(m, k, false, 0, 1);
        let b = Island::operand(k, n, false, 0, 2);
        let packed = PackedMatrix::new(b.view());
        let bits = |c: Vec<f32>| c.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let product = |rows: usize, run: &dyn Fn(MatRef<'_>, MatMut<'_>)| {
            let mut c = vec![0.0; rows * n];
            run(a.view().part(0, 0, rows, k), MatMut::new(&mut c, rows, n));
            bits(c)
        };
        let plain = |a: MatRef<'_>, c: MatMut<'_>| gemm(1.0, a, b.view(), 0.0, c);
        let parallel = |a: MatRef<'_>, c: MatMut<'_>| {
            gemm_parallel(1.0, a, b.view(), 0.0, c, Epilogue::default());
        };
        let from_packed = |a: MatRef<'_>, c: MatMut<'_>| gemm(1.0, a, &packed, 0.0, c);
        let whole = product(m, &plain);
        assert!(whole == product(m, &parallel), "{m} x {k} x {n} in parallel");
        let whole_packed = product(m, &from_packed);
        for rows in [8, 9, 13, 16] {
            assert!(whole[..rows * n] == product(rows, &plain), "{rows} of {m} x {k} x {n}");
            let some = product(rows, &from_packed);
            assert!(whole_packed[..rows * n] == some, "{rows} of {m} x {k} x {n}, packed");
        }
    }
}

#[test]
fn zero_factors_leave_nan_behind() {
    let nan = [f32::NAN; 12];
    for (k, alpha) in [(4, 0.0), (0, 1.0), (0, 0.0)] {
        let a = MatRef::new(&nan[..3 * k], 3, k);
        let b = MatRef::new(&nan[..k * 3], k, 3);
        let mut c = [f32::NAN; 9];
        gemm(alpha, a, b, 0.0, MatMut::new(&mut c, 3, 3));
        assert_eq!(c, [0.0; 9]);
        let mut c = [3.0; 9];
        gemm(alpha, a, b, 0.5, MatMut::new(&mut c, 3, 3));
        assert_eq!(c, [1.5; 9]);
        let bias = [1.0, 2.0, 3.0];
        let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
        gemm_fused(alpha, a, b, 0.0, MatMut::new(&mut c, 3, 3), epilogue);
        assert_eq!(c, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    }
}

#[test]
fn nan_in_a_factor_reaches_its_row_or_column_only() {
    for (m, k, n) in [(1, 40, 40), (40, 40, 1), (17, 33, 50), (70, 300, 1000)] {
        let mut a = Island::operand(m, k, false, 0, 1);
        a.data[margin() + (m / 2) * k + k - 1] = f32::NAN;
        let b = Island::operand(k, n, false, 0, 2);
        let mut c = vec![0.0; m * n];
        gemm(1.0, a.view(), b.view(), 0.0, MatMut::new(&mut c, m, n));
        for (index, value) in c.iter().enumerate() {
            assert_eq!(value.is_nan(), index / n == m / 2, "{m} x {k} x {n} at {index}");
        }
    }
}

#[test]
fn vectors_and_rank_one() {
    for m in [0, 1, 7, 8, 9, 16, 17, 40] {
        for n in [0, 1, 15, 16, 17, 33, 100, 129] {
            let a = Island::operand(m, n, false, 3, 1);
            let (rows, columns): (Vec<_>, Vec<_>) = (
                (0..m).map(|index| value(5, index)).collect(),
                (0..n).map(|index| value(6, index)).collect(),
            );
            let close = |got: &[f32], expected: &[f64], magnitude: &[f64], depth: usize| {
                for ((&got, expected), magnitude) in got.iter().zip(expected).zip(magnitude) {
                    let error = (f64::from(got) - expected).abs();
                    assert!(error <= gamma(depth + 4) * magnitude, "{m} x {n}: {got} {expected}");
                }
            };
            let check = |a: Operand<'_>, x: &[f32], old: &[f32], from_left: bool| {
                let (view, c) = if from_left {
                    (MatRef::from_row(x).into(), MatRef::from_row(old))
                } else {
                    (MatRef::from_column(x).into(), MatRef::from_column(old))
                };
                let (left, right) = if from_left { (view, a) } else { (a, view) };
                let expected = reference::gemm(0.5, left, right, -1.0, c);
                let magnitude = reference::gemm_magnitude(0.5, left, right, -1.0, c);
                let mut y = old.to_vec();
                if from_left {
                    vector_matrix(0.5, x, a, -1.0, &mut y);
                } else {
                    matrix_vector(0.5, a, x, -1.0, &mut y);
                }
                close(&y, &expected, &magnitude, x.len());
            };
            check(a.view().into(), &columns, &rows, false);
            check(a.view().t(), &rows, &columns, false);
            check(a.view().into(), &rows, &columns, true);
            check(a.view().t(), &columns, &rows, true);

            let mut c = Island::new(m, n, 2, |index| value(7, index));
            let old = Island { data: c.data.clone(), ..c };
            let (x, y) = (MatRef::from_column(&rows), MatRef::from_row(&columns));
            let expected = reference::gemm(0.3_f32.into(), x.into(), y.into(), 1.0, old.view());
            let magnitude =
                reference::gemm_magnitude(0.3_f32.into(), x.into(), y.into(), 1.0, old.view());
            rank_one(0.3, &rows, &columns, c.view_mut());
            let got: Vec<f32> = c.view().iter_rows().flatten().copied().collect();
            close(&got, &expected, &magnitude, 1);
            c.assert_guards(&Case::new(m, 1, n));
        }
    }
}

#[test]
fn parts_of_a_packed_matrix_are_reused() {
    let mut packed = PackedMatrix::default();
    for (k, n) in [(40, 50), (3, 200), (0, 4), (5, 0), (64, 64)] {
        let b = Island::operand(k, n, true, 1, k);
        packed.assign(b.view().t());
        assert_eq!((packed.rows(), packed.columns()), (k, n));
        let a = Island::operand(7, k, false, 0, 9);
        let (mut c, mut d) = (vec![0.0; 7 * n], vec![0.0; 7 * n]);
        gemm(1.0, a.view(), &packed, 0.0, MatMut::new(&mut c, 7, n));
        gemm(1.0, a.view(), &PackedMatrix::new(b.view().t()), 0.0, MatMut::new(&mut d, 7, n));
        assert_eq!(c, d);
    }
}

#[test]
fn views_are_checked() {
    let data = [0.0; 12];
    assert!(MatRef::try_with_stride(&data, 3, 4, 4).is_ok());
    assert!(MatRef::try_with_stride(&data, 3, 2, 5).is_ok(), "no gap behind the last row");
    assert!(MatRef::try_with_stride(&data, 0, 4, 4).is_ok());
    let error = MatRef::try_with_stride(&data, 3, 4, 3).unwrap_err();
    assert!(error.to_string().contains("stride of 3"), "{error}");
    let error = MatRef::try_with_stride(&data, 3, 3, 5).unwrap_err();
    assert!(error.to_string().contains("12"), "{error}");
    assert!(MatRef::try_with_stride(&data, usize::MAX, 2, usize::MAX).is_err());
}

#[test]
#[should_panic(expected = "A is 2 x 3, B 2 x 2, C 2 x 2")]
fn sizes_that_do_not_fit_are_named() {
    let (a, b, mut c) = ([0.0; 6], [0.0; 4], [0.0; 4]);
    gemm(1.0, MatRef::new(&a, 2, 3), MatRef::new(&b, 2, 2), 0.0, MatMut::new(&mut c, 2, 2));
}

#[test]
fn split_views_share_nothing() {
    let mut data: Vec<f32> = (0..20).map(|index| index as f32).collect();
    let view = MatMut::with_stride(&mut data, 4, 4, 5);
    let (above, below) = view.split_at_row(1);
    assert_eq!((above.rows(), below.rows()), (1, 3));
    let (mut left, right) = below.split_at_column(3);
    left.row_mut(2).fill(-1.0);
    let right: Vec<f32> = right.into_rows().map(|row| row[0]).collect();
    assert_eq!(right, [8.0, 13.0, 18.0]);
    assert_eq!(data[15..20], [-1.0, -1.0, -1.0, 18.0, 19.0]);
}

#[test]
fn valgrind_products() {
    EXACT.set(true);
    for (m, n) in [(1, 1), (1, 9), (2, 17), (5, 33), (7, 40), (13, 65), (26, 15)] {
        for k in [0, 1, 9, 18] {
            let case = Case { gaps: (1, 0, 2), ..Case::new(m, k, n) };
            case.check_transposed();
            Case { beta: 1.0, bias: true, door: Door::Packed, ..case }.check_transposed();
        }
    }
    Case { beta: 0.5, bias: true, ..Case::new(49, 257, 1041) }.check();
    Case { transposed: (true, true), gaps: (1, 1, 1), ..Case::new(20, 257, 19) }.check();
    for columns in [5, 40, 430] {
        for transposed in [(false, false), (false, true)] {
            Case { transposed, ..Case::new(260, 20, columns) }.check();
        }
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let sizes = (0..=70_usize, 0..=70_usize, 0..=70_usize);
    let gaps = (0..9_usize, 0..9_usize, 0..9_usize);
    let scale = || prop_oneof![Just(0.0), Just(1.0), Just(-1.0), -2.0..2.0_f32];
    let activation =
        prop_oneof![Just(Activation::Identity), Just(Activation::Sigmoid), Just(Activation::Tanh)];
    let door = prop_oneof![Just(Door::Plain), Just(Door::Packed), Just(Door::Parallel)];
    ((sizes, gaps, any::<(bool, bool)>()), (scale(), scale(), any::<bool>(), activation, door))
        .prop_map(|(((m, k, n), gaps, transposed), (alpha, beta, bias, activation, door))| Case {
            gaps,
            transposed,
            alpha,
            beta,
            bias,
            activation,
            door,
            ..Case::new(m, k, n)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_product(case in any_case()) {
        case.check();
    }
}
