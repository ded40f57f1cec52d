//! The slice forms at every length and offset, the backward passes, and the row reductions.
//!
//! `precision.rs` checks the accuracy of exp, sigmoid and tanh. This file checks that every
//! form gives the same bits and writes nothing else, and compares what is built on them
//! with the reference.

use kernels::{activation, lanes::LANES, lanes::Lanes, reference};
use proptest::prelude::*;

const GUARD: f32 = 1234.5;
const EPSILON: f64 = f32::EPSILON as f64 / 2.0;

type InPlace = fn(&mut [f32]);
type Into = fn(&[f32], &mut [f32]);
type OneVector = fn(Lanes) -> Lanes;

const FORMS: [(&str, InPlace, Into, OneVector); 3] = [
    ("exp", activation::exp, activation::exp_into, activation::exp_lanes),
    ("sigmoid", activation::sigmoid, activation::sigmoid_into, activation::sigmoid_lanes),
    ("tanh", activation::tanh, activation::tanh_into, activation::tanh_lanes),
];

/// Values over several binades, all different, of both signs.
fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + 11) % 101) as f32 * 0.17 - 8.3 + i as f32 * 1e-3).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_form_gives_the_same_bits_and_writes_nothing_else() {
    for (name, in_place, into, one_vector) in FORMS {
        for len in 0..=70 {
            for offset in [0, 1, 3, LANES - 1] {
                let x = values(offset + len + LANES);
                let x = &x[offset..][..len];
                let expected: Vec<u32> = x
                    .iter()
                    .map(|&x| one_vector(Lanes::splat(x)).to_array()[0].to_bits())
                    .collect();

                let mut y = vec![GUARD; offset + len + LANES];
                into(x, &mut y[offset..][..len]);
                assert_eq!(bits(&y[offset..][..len]), expected, "{name}_into, {len} at {offset}");
                assert!(y[..offset].iter().chain(&y[offset + len..]).all(|&y| y == GUARD));

                let mut y = vec![GUARD; offset + len + LANES];
                y[offset..][..len].copy_from_slice(x);
                in_place(&mut y[offset..][..len]);
                assert_eq!(bits(&y[offset..][..len]), expected, "{name}, {len} at {offset}");
                assert!(y[..offset].iter().chain(&y[offset + len..]).all(|&y| y == GUARD));
            }
        }
    }
}

#[test]
fn the_way_back_is_the_derivative_at_every_length() {
    for len in 0..=70 {
        let gradient = values(len);
        for (backward, derivative, low, steps) in [
            (
                activation::sigmoid_backward as fn(&[f32], &mut [f32]),
                reference::sigmoid_derivative as fn(f64) -> f64,
                0.0,
                3.0, // 1 − y, and two products
            ),
            (activation::tanh_backward, reference::tanh_derivative, -1.0, 4.0),
        ] {
            let y: Vec<f32> =
                (0..len).map(|i| low + (1.0 - low) * (i as f32 / len as f32).sqrt()).collect();
            let mut dy = vec![GUARD; len + LANES];
            dy[..len].copy_from_slice(&gradient);
            backward(&y, &mut dy[..len]);
            for i in 0..len {
                let truth = f64::from(gradient[i]) * derivative(f64::from(y[i]));
                let error = (f64::from(dy[i]) - truth).abs();
                assert!(error <= 1.01 * steps * EPSILON * truth.abs(), "{len} [{i}]: {error:e}");
            }
            assert!(dy[len..].iter().all(|&dy| dy == GUARD));
        }
    }
}

/// What rounding may do to `e^{x−m}` and to a sum of `columns` such, relatively:
/// the difference is rounded (|x − m|·ε), exp to 1 ULP (2 ε), the sum once a column.
fn row_bound(x: &[f32]) -> f64 {
    let finite = || x.iter().copied().filter(|x| x.is_finite()).map(f64::from);
    let spread = finite().fold(f64::MIN, f64::max) - finite().fold(f64::MAX, f64::min);
    (2.0 * (spread + 2.0) + x.len() as f64 + 4.0) * EPSILON
}

#[test]
fn rows_keep_to_the_reference_at_every_width_and_stride() {
    // Beyond 70: more than one block of the maximum, with and without a rest.
    let block = 8 * LANES;
    for columns in (1..=70).chain([block - 1, block, block + 1, 2 * block + 3]) {
        for (rows, gap) in [(1, 0), (3, 0), (3, 1), (2, 5)] {
            let stride = columns + gap;
            let len = (rows - 1) * stride + columns;
            let x = values(len + LANES);
            let mut in_place = x.clone();
            activation::softmax_rows(&mut in_place[..len], rows, columns, stride);
            let mut out_of_place = vec![GUARD; len + LANES];
            activation::softmax_rows_into(
                &x[..len],
                &mut out_of_place[..len],
                rows,
                columns,
                stride,
            );
            let mut sums = vec![0.0; rows];
            activation::log_sum_exp_rows(&x[..len], rows, columns, stride, &mut sums);

            for i in 0..len + LANES {
                let (row, column) = (i / stride, i % stride);
                if row >= rows || column >= columns {
                    assert_eq!(in_place[i], x[i], "outside of the rows");
                    assert_eq!(out_of_place[i], GUARD, "outside of the rows");
                }
            }
            for (row, &sum) in sums.iter().enumerate() {
                let span = row * stride..row * stride + columns;
                let wide: Vec<f64> = x[span.clone()].iter().map(|&x| x.into()).collect();
                let bound = row_bound(&x[span.clone()]);
                assert_eq!(bits(&in_place[span.clone()]), bits(&out_of_place[span.clone()]));
                for (y, truth) in in_place[span].iter().zip(reference::softmax(&wide)) {
                    let error = (f64::from(*y) - truth).abs();
                    assert!(error <= bound * truth, "{columns}: {y} {truth}");
                }
                let truth = reference::log_sum_exp(&wide);
                let error = (f64::from(sum) - truth).abs();
                assert!(error <= bound + EPSILON * truth.abs(), "{columns}: {error:e}");
            }
        }
    }
}

#[test]
fn rows_stay_finite_where_the_formula_would_not() {
    let softmax = |x: &[f32]| {
        let mut y = x.to_vec();
        activation::softmax_rows(&mut y, 1, x.len(), x.len());
        y
    };
    let log_sum_exp = |x: &[f32]| {
        let mut y = [0.0];
        activation::log_sum_exp_rows(x, 1, x.len(), x.len(), &mut y);
        y[0]
    };
    let inf = f32::INFINITY;
    for padding in [0, LANES - 3, 2 * LANES] {
        let row = |x: &[f32]| [x, &vec![-inf; padding]].concat();
        assert_eq!(softmax(&row(&[1000.0, 1000.0, -1000.0]))[..3], [0.5, 0.5, 0.0]);
        assert_eq!(softmax(&row(&[-inf, -3e38, -inf]))[..3], [0.0, 1.0, 0.0]);
        for no_softmax in [[-inf, -inf], [inf, 0.0], [f32::NAN, 0.0], [inf, -inf]] {
            let y = softmax(&row(&no_softmax));
            assert!(y.iter().all(|y| y.is_nan()), "{no_softmax:?}: {y:?}");
        }
        assert_eq!(log_sum_exp(&row(&[1000.0, -1000.0])), 1000.0);
        assert_eq!(log_sum_exp(&row(&[-3e38, -3e38])), -3e38);
        assert_eq!(log_sum_exp(&row(&[-inf, -inf])), -inf);
        assert_eq!(log_sum_exp(&row(&[inf, 0.0])), inf);
        assert_eq!(log_sum_exp(&row(&[inf, -inf])), inf);
        assert!(log_sum_exp(&row(&[f32::NAN, 0.0])).is_nan());
        assert!(log_sum_exp(&row(&[f32::NAN, inf])).is_nan());
    }
    assert_eq!(log_sum_exp(&[]), -inf);
    activation::softmax_rows(&mut [], 0, 3, 3);
    activation::softmax_rows(&mut [], 3, 0, 0);
}

proptest! {
    #[test]
    fn softmax_is_a_distribution_and_knows_no_shift(
        // No further apart than e^−80: a relative bound needs normal results.
        x in prop::collection::vec(-40.0f32..40.0, 1..100),
        shift in -8i8..8,
    ) {
        // A shift by a multiple of eight leaves few bits to round.
        let columns = x.len();
        let mut y = x.clone();
        activation::softmax_rows(&mut y, 1, columns, columns);
        let bound = row_bound(&x) + columns as f64 * EPSILON;
        let sum: f64 = y.iter().map(|&y| f64::from(y)).sum();
        prop_assert!((sum - 1.0).abs() <= bound, "the sum is {sum}");
        prop_assert!(y.iter().all(|y| (0.0..=1.0 + 2.0 * bound as f32).contains(y)));

        let shift = f32::from(shift) * 8.0;
        let mut shifted: Vec<f32> = x.iter().map(|x| x + shift).collect();
        activation::softmax_rows(&mut shifted, 1, columns, columns);
        // x + shift is rounded once, at |x + shift| < 128.
        let bound = 2.0 * bound + 2.0 * 128.0 * EPSILON;
        for (y, shifted) in y.iter().zip(&shifted) {
            prop_assert!(f64::from((y - shifted).abs()) <= bound * f64::from(*y));
        }
    }
}

proptest! {
    #[test]
    fn finite_rows_never_make_nan(
        bits in prop::collection::vec(any::<u32>(), 1..300),
        columns in 1usize..70,
    ) {
        let finite = |bits| Some(f32::from_bits(bits)).filter(|x| x.is_finite());
        let x: Vec<f32> = bits.into_iter().filter_map(finite).collect();
        let columns = columns.min(x.len()).max(1);
        let rows = x.len() / columns;
        let mut y = x.clone();
        activation::softmax_rows(&mut y, rows, columns, columns);
        prop_assert!(y[..rows * columns].iter().all(|y| (0.0..=1.0 + 1e-5).contains(y)));
        let mut sums = vec![0.0; rows];
        activation::log_sum_exp_rows(&x, rows, columns, columns, &mut sums);
        for (x, sum) in x.chunks_exact(columns).zip(sums) {
            let max = x.iter().copied().fold(f32::MIN, f32::max);
            prop_assert!(sum >= max, "{sum:e} below {max:e}");
        }
    }
}

#[test]
#[should_panic(expected = "input and output differ in length: 3 values and 4")]
fn lengths_must_agree() {
    activation::tanh_into(&[0.0; 3], &mut [0.0; 4]);
}

#[test]
#[should_panic(expected = "[2, 3] at a stride of 4 needs 7 values, the buffer has 6")]
fn rows_must_fit() {
    activation::softmax_rows(&mut [0.0; 6], 2, 3, 4);
}

#[test]
#[should_panic(expected = "output and gradient differ in length: 4 values and 3")]
fn gradients_must_agree() {
    activation::sigmoid_backward(&[0.0; 4], &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "one log-sum-exp a row: 2 rows, room for 3")]
fn every_row_needs_one_place() {
    activation::log_sum_exp_rows(&[0.0; 6], 2, 3, 3, &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "rows of 3 columns overlap at a stride of 2")]
fn rows_must_not_overlap() {
    activation::softmax_rows_into(&[0.0; 6], &mut [0.0; 6], 2, 3, 2);
}

#[test]
#[should_panic(expected = "the buffer has 6")]
fn rows_beyond_all_memory_are_refused() {
    activation::softmax_rows(&mut [0.0; 6], usize::MAX, 3, 3);
}

#[test]
fn empty_rows_have_the_sum_of_nothing() {
    let mut sums = [0.0; 3];
    activation::log_sum_exp_rows(&[], 3, 0, 0, &mut sums);
    assert_eq!(sums, [f32::NEG_INFINITY; 3]);
    activation::log_sum_exp_rows(&[], 0, 5, 5, &mut []);
    activation::softmax_rows_into(&[], &mut [], 0, 3, 3);
}

/// Subnormal values, forward and backward, and as the difference of two logits.
#[test]
fn subnormal_values_are_neither_flushed_nor_special() {
    let tiny: Vec<f32> =
        (0..70).map(|i| f32::from_bits(1 << (i % 23)) * [1.0, -1.0][i % 2]).collect();
    let mut y = vec![GUARD; tiny.len()];
    activation::exp_into(&tiny, &mut y);
    assert!(y.iter().all(|&y| y == 1.0));
    activation::sigmoid_into(&tiny, &mut y);
    assert!(y.iter().all(|&y| y == 0.5));
    activation::tanh_into(&tiny, &mut y);
    assert_eq!(bits(&y), bits(&tiny));

    let mut dy = tiny.clone();
    activation::tanh_backward(&vec![0.0; tiny.len()], &mut dy);
    assert_eq!(bits(&dy), bits(&tiny));
    let mut row = tiny.clone();
    activation::softmax_rows(&mut row, 1, 70, 70);
    assert!(row.iter().all(|&weight| (weight * 70.0 - 1.0).abs() <= 1e-6));
    // e^−100 is subnormal: gradual, and not zero.
    let mut row = [0.0, -100.0];
    activation::softmax_rows(&mut row, 1, 2, 2);
    assert_eq!(row[0], 1.0);
    let ulp = f64::from(f32::from_bits(1));
    assert!((f64::from(row[1]) - (-100.0f64).exp()).abs() <= ulp, "{:e}", row[1]);
}
