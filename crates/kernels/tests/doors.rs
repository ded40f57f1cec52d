//! Sizes whose products wrap: every public function that takes sizes refuses them by name, and
//! no view lends a row outside of its buffer.
//!
//! In a build with overflow checks most of these would panic anyway, so the messages are looked
//! at, and `.ci/run` runs this file in a release build, too.

use kernels::activation::{log_sum_exp_rows, softmax_rows, softmax_rows_into};
use kernels::buffer::Buffer;
use kernels::cell::panels::{self, Panels};
use kernels::cell::{Direction, Walk, elman, gru, lstm};
use kernels::loss::softmax_cross_entropy;
use kernels::matmul::{
    Epilogue, PackedMatrix, gemm, gemm_parallel, matrix_vector, rank_one, vector_matrix,
};
use kernels::matrix::{MatMut, MatRef};
use kernels::recurrent::{self, Scratch, Sizes, Weights, row_stride};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message of the panic that `door` ends with.
fn refusal<T>(door: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(door)) else { panic!("it was let in") };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    let text = text.expect("a panic with a message");
    assert!(!text.contains("overflow"), "only an overflow check found it: {text}");
    text
}

/// Steps and sequences whose product is beyond `usize`: it wraps to 0 or to a small number.
const WRAPPED: [(usize, usize); 5] =
    [(1 << 63, 2), (2, 1 << 63), (1 << 32, 1 << 32), (usize::MAX, usize::MAX), (3, usize::MAX)];

const NO_STEPS: Sizes = Sizes { steps: 0, batch: 1, inputs: 1, hidden: 1, outputs: 1 };

#[test]
fn steps_and_sequences_of_the_fused_network_whose_product_wraps_are_refused_by_their_sizes() {
    let w = [0.5; 16];
    let weights = Weights { w_in: &w[..], w_rec: &w[..], w_out: &w[..] };
    for (steps, batch) in WRAPPED {
        let sizes = Sizes { steps, batch, ..NO_STEPS };
        let none = || [0.0_f32; 0];
        let texts = [
            refusal(|| recurrent::forward(sizes, weights, &[], &mut none(), &mut none())),
            refusal(|| recurrent::states(sizes, weights, &[], &mut none())),
            refusal(|| recurrent::head(sizes, &w, &[], &mut none())),
            refusal(|| recurrent::head_gradient(sizes, &[], &[], &mut w.clone())),
            refusal(|| {
                let [mut w_in, mut w_rec, mut w_out, mut w_rec_t] = [w; 4];
                let gradients =
                    Weights { w_in: &mut w_in[..], w_rec: &mut w_rec, w_out: &mut w_out };
                let scratch = Scratch { dz: &mut [], w_rec_t: &mut w_rec_t };
                recurrent::backward(sizes, weights, &[], &[], &[], scratch, gradients);
            }),
            refusal(|| sizes.rows()),
        ];
        for text in texts {
            assert!(text.contains(&format!("{steps} steps of {batch} sequences")), "{text}");
        }
    }
}

#[test]
fn inputs_units_and_outputs_of_the_fused_network_whose_products_wrap_are_refused() {
    let w = [0.5; 16];
    for hidden in [usize::MAX, usize::MAX - 14, 1 << 60, 1 << 63] {
        let sizes = Sizes { hidden, ..NO_STEPS };
        let nothing = Weights { w_in: &[][..], w_rec: &[], w_out: &[] };
        for steps in [0, 1] {
            let sizes = Sizes { steps, ..sizes };
            let text = refusal(|| {
                recurrent::forward(sizes, nothing, &[0.0; 1][..steps], &mut [], &mut [0.0; 1]);
            });
            assert!(text.contains(&hidden.to_string()), "{text}");
            let text = refusal(|| recurrent::head(sizes, &[], &[], &mut [0.0; 1][..steps]));
            assert!(text.contains(&hidden.to_string()), "{text}");
            let text =
                refusal(|| recurrent::head_gradient(sizes, &[], &[0.0; 1][..steps], &mut []));
            assert!(text.contains(&hidden.to_string()), "{text}");
        }
    }
    assert!(refusal(|| row_stride(usize::MAX)).contains(&usize::MAX.to_string()));
    // 2⁶⁰ rows of 16 values: no values, as the product counts them
    let weights = Weights { w_in: &[][..], w_rec: &w[..], w_out: &w[..] };
    let sizes = Sizes { inputs: 1 << 60, ..NO_STEPS };
    assert!(refusal(|| recurrent::states(sizes, weights, &[], &mut [])).contains("w_in holds 0"));
    let weights = Weights { w_in: &w[..], w_rec: &w[..], w_out: &[] };
    let sizes = Sizes { outputs: 1 << 60, ..NO_STEPS };
    let text = refusal(|| recurrent::forward(sizes, weights, &[], &mut [], &mut []));
    assert!(text.contains("w_out holds 0"), "{text}");
    assert!(refusal(|| recurrent::head(sizes, &[], &[], &mut [])).contains("w_out holds 0"));
    let text = refusal(|| recurrent::head_gradient(sizes, &[], &[], &mut []));
    assert!(text.contains("dw_out holds 0"), "{text}");
    // rows, each of no units
    let sizes = Sizes { hidden: 0, ..NO_STEPS };
    assert!(refusal(|| recurrent::head(sizes, &[], &[], &mut [])).contains("hidden unit"));
}

#[test]
fn steps_without_sequences_are_none_however_many() {
    let w = [0.5; 48];
    let sizes = Sizes { steps: usize::MAX, batch: 0, ..NO_STEPS };
    let weights = Weights { w_in: &w[..16], w_rec: &w[..16], w_out: &w[..16] };
    recurrent::forward(sizes, weights, &[], &mut [], &mut []);
    let walk = Walk { steps: usize::MAX, batch: 0, direction: Direction::Reverse };
    let (w_rec, start) = (MatRef::new(&w[..16], 1, 16), MatRef::new(&[], 0, 16));
    let none = || MatMut::new(&mut [], 0, 16);
    elman::forward_steps(elman::Nonlinearity::Tanh, walk, w_rec, start, none());
    elman::backward_steps(elman::Nonlinearity::Tanh, walk, w_rec, start, none(), none());
    softmax_rows(&mut [], usize::MAX, 0, 0);
    softmax_rows_into(&[], &mut [], usize::MAX, 0, 0);
}

/// An array of no rows, as long as a wrapped product.
fn rows_of<'a>(columns: usize) -> MatMut<'a> {
    MatMut::new(&mut [], 0, columns)
}

#[test]
fn steps_and_sequences_of_a_cell_whose_product_wraps_are_refused_by_their_sizes() {
    let w = [0.5; 64];
    let [w1, w3, w4] = [16, 48, 64].map(|columns| MatRef::new(&w[..columns], 1, columns));
    let none = MatRef::new(&[], 0, 16);
    let tanh = elman::Nonlinearity::Tanh;
    for (steps, batch) in WRAPPED {
        let walk = Walk { steps, batch, direction: Direction::Forward };
        let gru_steps = || gru::Steps { zx: rows_of(48), zh: rows_of(48), h: rows_of(16) };
        let gru_back =
            || gru::StepsBackward { zx: rows_of(48), zh: rows_of(48), h: none, dh: rows_of(16) };
        let recurrent = gru::Recurrent { w_rec: w3, b_rec: None };
        let start = lstm::Start { h: none, c: none };
        let lstm_steps = || lstm::Steps { gates: rows_of(64), c: rows_of(16), h: rows_of(16) };
        let lstm_back =
            || lstm::StepsBackward { gates: rows_of(64), c: none, h: none, dh: rows_of(16) };
        let start_back = || lstm::StartBackward { dh: rows_of(16), dc: rows_of(16) };
        let texts = [
            refusal(|| elman::forward_steps(tanh, walk, w1, none, rows_of(16))),
            refusal(|| elman::backward_steps(tanh, walk, w1, none, rows_of(16), rows_of(16))),
            refusal(|| gru::forward_steps(walk, recurrent, none, gru_steps())),
            refusal(|| gru::backward_steps(walk, w3, none, gru_back(), rows_of(16))),
            refusal(|| lstm::forward_steps(walk, w4, start, lstm_steps())),
            refusal(|| lstm::backward_steps(walk, w4, none, lstm_back(), start_back())),
        ];
        for text in texts {
            assert!(text.contains(&format!("{steps} steps of {batch} sequences")), "{text}");
        }
    }
}

#[test]
fn units_of_a_cell_whose_padding_wraps_are_refused() {
    // Rows of no values, and as many as are padded to none.
    let w_rec = MatRef::new(&[], usize::MAX, 0);
    let state = || MatMut::new(&mut [], 2, 0);
    let rows = MatRef::new(&[], 2, 0);
    let walk = Walk { steps: 1, batch: 2, direction: Direction::Forward };
    let weights = kernels::cell::CellWeights { w_in: rows, w_rec, b_in: None, b_rec: None };
    let tanh = elman::Nonlinearity::Tanh;
    let gru_steps = gru::Steps { zx: state(), zh: state(), h: state() };
    let lstm_steps = lstm::Steps { gates: state(), c: state(), h: state() };
    let start = lstm::Start { h: rows, c: rows };
    let recurrent = gru::Recurrent { w_rec, b_rec: None };
    let texts = [
        refusal(|| elman::forward(tanh, usize::MAX, state())),
        refusal(|| elman::forward_steps(tanh, walk, w_rec, rows, state())),
        refusal(|| elman::step(tanh, weights, rows, rows, state())),
        refusal(|| gru::forward_steps(walk, recurrent, rows, gru_steps)),
        refusal(|| gru::step(weights, rows, rows, state())),
        refusal(|| lstm::forward_steps(walk, w_rec, start, lstm_steps)),
        refusal(|| lstm::step(weights, rows, rows, state(), state())),
    ];
    for text in texts {
        assert!(text.contains(&usize::MAX.to_string()), "{text}");
    }
}

#[test]
fn rows_of_a_view_begin_in_its_buffer_whatever_its_stride() {
    let mut buffer = [1.0_f32, 2.0, 3.0];
    let inside = buffer.as_ptr_range();
    let check = |row: &[f32]| {
        let place = row.as_ptr();
        assert!(!place.is_null() && (inside.contains(&place) || place == inside.end));
    };
    let far = (1 << 62) - 1;
    for (rows, columns, stride) in
        [(2, 0, far), (5, 0, usize::MAX), (1, 3, far), (1, 2, usize::MAX), (3, 1, 1), (2, 1, 2)]
    {
        let view = MatRef::with_stride(&buffer, rows, columns, stride);
        (0..rows).for_each(|row| check(view.row(row)));
        view.iter_rows().for_each(check);
        view.part(rows / 2, columns, rows - rows / 2, 0).iter_rows().for_each(check);
        view.part(0, columns / 2, rows, 0).iter_rows().for_each(check);
        let mut view = MatMut::with_stride(&mut buffer, rows, columns, stride);
        (0..rows).for_each(|row| check(view.row_mut(row)));
        view.reborrow().into_rows().for_each(|row| check(row));
        let (left, right) = view.split_at_column(columns);
        left.into_rows().chain(right.into_rows()).for_each(|row| check(row));
    }
    // of an empty buffer, too
    assert_eq!(MatRef::with_stride(&[], 2, 0, far).row(1), [0.0; 0]);
    assert_eq!(MatMut::with_stride(&mut [], 2, 0, far).row_mut(1), [0.0; 0]);
    // A stride that tells rows apart is the one that was given.
    assert_eq!(MatRef::with_stride(&buffer, 2, 1, 2).stride(), 2);
    let text = refusal(|| MatRef::with_stride(&buffer, 3, 1, 1 << 63));
    assert!(text.contains("do not fit into 3"), "{text}");
    let text = refusal(|| MatRef::new(&buffer, 1 << 63, 2));
    assert!(text.contains("9223372036854775808 x 2"), "{text}");
}

#[test]
fn products_take_views_of_any_stride_and_of_no_values() {
    let far = usize::MAX;
    let (a, b) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
    let one_row = MatRef::with_stride(&a, 1, 3, far);
    let mut c = [0.0];
    gemm(1.0, one_row, MatRef::with_stride(&b, 1, 3, far).t(), 0.0, MatMut::from_row(&mut c));
    assert_eq!(c, [32.0]);
    let mut c = [0.0; 9];
    gemm(1.0, one_row.t(), MatRef::with_stride(&b, 1, 3, far), 0.0, MatMut::new(&mut c, 3, 3));
    assert_eq!(c[3..6], [8.0, 10.0, 12.0]);
    // as deep or as wide as can be, of no values
    let (deep, wide) = (MatRef::new(&[], far, 0), MatRef::new(&[], 0, far));
    let mut y = [7.0; 2];
    gemm(1.0, wide, deep, 1.0, MatMut::new(&mut [], 0, 0));
    gemm(1.0, deep, MatRef::new(&[], 0, 0), 1.0, MatMut::new(&mut [], far, 0));
    gemm_parallel(1.0, MatRef::new(&[], 0, 0), wide, 1.0, rows_of(far), Epilogue::default());
    matrix_vector(1.0, MatRef::new(&[], 2, 0), &[], 2.0, &mut y);
    vector_matrix(1.0, &[], MatRef::new(&[], 0, 2), 2.0, &mut y);
    assert_eq!(y, [28.0; 2]);
    rank_one(1.0, &[], &y, rows_of(2));
}

#[test]
fn weights_whose_padding_wraps_are_not_packed() {
    let far = usize::MAX;
    let (deep, wide) = (MatRef::new(&[], far, 0), MatRef::new(&[], 0, far));
    for mut text in [
        refusal(|| PackedMatrix::new(wide)),
        refusal(|| PackedMatrix::new(deep.t())),
        refusal(|| Panels::default().assign(wide)),
        refusal(|| Panels::default().assign(deep.t())),
    ] {
        text.truncate(far.to_string().len());
        assert_eq!(text, far.to_string());
    }
    // Rows of no values are fine, and their number need not fit a panel's length.
    for rows in [far, 1 << 60] {
        let matrix = MatRef::new(&[], rows, 0);
        assert_eq!(PackedMatrix::new(matrix).rows(), rows);
        let mut panels = Panels::default();
        panels.assign(matrix);
        panels::multiply(wide.part(0, 0, 0, rows), &panels, panels::InitialSum::Zeros, rows_of(0));
    }
    assert!(Panels::pay(1 << 63, 2) && Panels::pay(far, far));
    // What could not be packed leaves what was there before.
    let (mut packed, mut panels) =
        (PackedMatrix::new(MatRef::new(&[2.0], 1, 1)), Panels::default());
    panels.assign(MatRef::new(&[2.0], 1, 1));
    refusal(|| packed.assign(wide));
    refusal(|| panels.assign(wide));
    let (mut y, mut row) = ([0.0], [0.0; 16]);
    vector_matrix(1.0, &[3.0], &packed, 0.0, &mut y);
    panels::multiply(
        MatRef::from_row(&[3.0]),
        &panels,
        panels::InitialSum::Zeros,
        MatMut::from_row(&mut row),
    );
    assert_eq!([y[0], row[0]], [6.0; 2]);
}

#[test]
fn rows_of_a_softmax_and_classes_whose_products_wrap_are_refused() {
    for (rows, columns, stride) in
        [(usize::MAX, 2, 2), (1 << 63, 2, 2), (2, 1, usize::MAX), (3, 1, 1 << 63)]
    {
        let mut y = [0.0; 4];
        let mut out = vec![0.0; rows.min(3)];
        let texts = [
            refusal(|| softmax_rows(&mut y, rows, columns, stride)),
            refusal(|| softmax_rows_into(&[0.0; 4], &mut [0.0; 4], rows, columns, stride)),
            refusal(|| log_sum_exp_rows(&[0.0; 4], rows, columns, stride, &mut out)),
        ];
        for text in texts {
            assert!(
                text.contains(&format!("[{rows}, {columns}] at a stride of {stride}")),
                "{text}"
            );
        }
    }
    let text = refusal(|| softmax_cross_entropy(1.0, &[], 1 << 63, &[0, 0], &mut []));
    assert!(text.contains("2 rows of 9223372036854775808 classes"), "{text}");
}

#[test]
fn a_buffer_that_cannot_be_grown_stays_as_it_was() {
    let mut buffer = Buffer::zeros(3);
    buffer[2] = 5.0;
    for len in [usize::MAX, usize::MAX - 14, isize::MAX as usize, 1 << 58] {
        let bytes = format!("{} bytes", 4 * len as u128);
        for text in [refusal(|| Buffer::zeros(len)), refusal(|| buffer.resize(len))] {
            assert!(text.contains(&bytes), "{text}");
        }
        assert_eq!(&*buffer, [0.0, 0.0, 5.0]);
    }
}
