//! The functions of the fused network: the sizes that they refuse, and that they stay inside
//! their slices. Their results are compared with the f64 reference of the network where
//! that is, in `model`.

use kernels::recurrent::{
    Scratch, Sizes, Weights, backward, forward, head, head_gradient, row_stride, states,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

const GUARD: f32 = 12_345.0;
const MARGIN: usize = 32;

/// A slice of `len` values between two margins of guards.
struct Guarded(Vec<f32>);

impl Guarded {
    fn new(len: usize, value: f32) -> Self {
        let mut values = vec![GUARD; len + 2 * MARGIN];
        values[MARGIN..MARGIN + len].fill(value);
        Self(values)
    }

    fn slice(&mut self) -> &mut [f32] {
        let end = self.0.len() - MARGIN;
        &mut self.0[MARGIN..end]
    }

    fn assert_untouched(&self, name: &str) {
        let inner = MARGIN..self.0.len() - MARGIN;
        let outside = self.0[..inner.start].iter().chain(&self.0[inner.end..]);
        assert!(outside.copied().all(|v| v == GUARD), "{name}: written outside");
    }
}

/// Both passes over guarded slices, of which the one named `wrong` is a value too long.
fn run(sizes: Sizes, wrong: Option<&str>) {
    let stride = sizes.stride();
    let lengths = [
        ("w_in", sizes.inputs * stride),
        ("w_rec", sizes.hidden * stride),
        ("w_out", sizes.outputs * stride),
        ("x", sizes.rows() * sizes.inputs),
        ("h", sizes.rows() * stride),
        ("y", sizes.rows() * sizes.outputs),
        ("dy", sizes.rows() * sizes.outputs),
        ("dz", sizes.rows() * stride),
        ("w_rec_t", sizes.hidden * stride),
        ("dw_in", sizes.inputs * stride),
        ("dw_rec", sizes.hidden * stride),
        ("dw_out", sizes.outputs * stride),
    ];
    let mut buffers =
        lengths.map(|(name, len)| Guarded::new(len + usize::from(wrong == Some(name)), 0.25));
    {
        let [w_in, w_rec, w_out, x, h, y, dy, dz, w_rec_t, dw_in, dw_rec, dw_out] =
            buffers.each_mut().map(Guarded::slice);
        let weights = Weights { w_in: &*w_in, w_rec: &*w_rec, w_out: &*w_out };
        forward(sizes, weights, x, h, y);
        let gradients = Weights { w_in: dw_in, w_rec: dw_rec, w_out: dw_out };
        backward(sizes, weights, x, h, dy, Scratch { dz, w_rec_t }, gradients);
    }
    {
        // The parts write the same bits, and not outside either. Nothing of theirs may be left.
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let [w_in, w_rec, w_out, x, h, y, dy, _, _, _, _, dw_out] =
            buffers.each_mut().map(Guarded::slice);
        let weights = Weights { w_in: &*w_in, w_rec: &*w_rec, w_out: &*w_out };
        let whole = [bits(h), bits(y), bits(dw_out)];
        // Narrow vectors leave those of a row alone that are padding alone.
        h.chunks_exact_mut(stride).for_each(|row| row[..sizes.hidden].fill(f32::NAN));
        y.fill(f32::NAN);
        dw_out.fill(f32::NAN);
        states(sizes, weights, x, h);
        head(sizes, w_out, h, y);
        head_gradient(sizes, h, dy, dw_out);
        assert!([bits(h), bits(y), bits(dw_out)] == whole, "{sizes:?}");
    }
    for (buffer, (name, _)) in buffers.iter().zip(lengths) {
        buffer.assert_untouched(name);
    }
}

#[test]
fn nothing_outside_of_the_slices_is_written_at_any_size_across_lanes_and_tiles() {
    let edges = [1, 3, 4, 5, 7, 8, 9, 12, 13, 15, 16, 17, 20, 21, 24, 25, 28, 29, 31, 32, 33];
    for hidden in edges.into_iter().chain([40, 41, 47, 48, 49, 56, 57, 63, 64, 65, 100]) {
        for batch in [1, 2, 4, 5, 8, 9, 13] {
            for (steps, inputs, outputs) in [(1, 1, 1), (3, 2, 1), (9, 5, 3), (70, 17, 2)] {
                run(Sizes { steps, batch, inputs, hidden, outputs }, None);
            }
        }
    }
}

#[test]
fn a_slice_of_another_length_is_refused_by_name_and_both_lengths() {
    let sizes = Sizes { steps: 3, batch: 2, inputs: 2, hidden: 5, outputs: 1 };
    let names = [
        "w_in", "w_rec", "w_out", "x", "h", "y", "dy", "dz", "w_rec_t", "dw_in", "dw_rec", "dw_out",
    ];
    for name in names {
        let panic = catch_unwind(AssertUnwindSafe(|| run(sizes, Some(name)))).unwrap_err();
        let message = panic.downcast_ref::<String>().expect("a formatted message");
        assert!(message.starts_with(&format!("{name} holds ")), "{name}: {message}");
    }
}

#[test]
fn the_parts_refuse_a_slice_of_another_length_by_name() {
    let sizes = Sizes { steps: 3, batch: 2, inputs: 2, hidden: 5, outputs: 1 };
    let zeros = |name: &str, of: &str, len: usize| vec![0.0; len + usize::from(name == of)];
    for wrong in ["x", "h", "y", "dy", "w_out", "dw_out"] {
        let mut h = zeros("h", wrong, 96);
        let [w_in, w_rec, w_out] = [vec![0.0; 32], vec![0.0; 80], zeros("w_out", wrong, 16)];
        let run = || match wrong {
            "x" => {
                let weights = Weights { w_in: &w_in[..], w_rec: &w_rec[..], w_out: &w_out[..] };
                states(sizes, weights, &zeros("x", wrong, 12), &mut h);
            }
            "w_out" | "y" => head(sizes, &w_out, &h, &mut zeros("y", wrong, 6)),
            _ => {
                let dy = zeros("dy", wrong, 6);
                head_gradient(sizes, &h, &dy, &mut zeros("dw_out", wrong, 16));
            }
        };
        let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        let message = panic.downcast_ref::<String>().expect("a formatted message");
        assert!(message.starts_with(&format!("{wrong} holds ")), "{wrong}: {message}");
    }
}

#[test]
fn the_padding_of_gradients_is_zero_even_of_a_gradient_that_is_nan() {
    for hidden in [1, 3, 7, 9, 12, 17, 20, 25, 33, 41, 50, 57] {
        for (steps, batch) in [(1, 1), (4, 1), (3, 2), (2, 9), (70, 1)] {
            let sizes = Sizes { steps, batch, inputs: 2, hidden, outputs: 2 };
            let (stride, rows) = (sizes.stride(), sizes.rows());
            let row = |n: usize| if n % stride < hidden { 0.25 } else { 0.0 };
            let weights: Vec<f32> = (0..hidden.max(2) * stride).map(row).collect();
            let of = |rows: usize| &weights[..rows * stride];
            let weights = Weights { w_in: of(2), w_rec: of(hidden), w_out: of(2) };
            let (x, mut h, mut y) =
                (vec![0.5; 2 * rows], vec![0.0; rows * stride], vec![0.0; 2 * rows]);
            forward(sizes, weights, &x, &mut h, &mut y);
            y[2 * rows - 1] = f32::NAN; // as a gradient
            let (mut dz, mut w_rec_t) = (vec![0.0; rows * stride], vec![0.0; hidden * stride]);
            let mut gradients = [2, hidden, 2].map(|rows| vec![9.0; rows * stride]);
            let [w_in, w_rec, w_out] = gradients.each_mut().map(|values| &mut values[..]);
            let scratch = Scratch { dz: &mut dz, w_rec_t: &mut w_rec_t };
            backward(sizes, weights, &x, &h, &y, scratch, Weights { w_in, w_rec, w_out });
            assert!(gradients[0][0].is_nan() && gradients[2][stride].is_nan());
            for row in gradients.iter().flat_map(|values| values.chunks_exact(stride)) {
                assert!(row[hidden..].iter().all(|v| v.to_bits() == 0), "{sizes:?}: {row:?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "at least one hidden unit")]
fn a_network_without_hidden_units_is_refused() {
    run(Sizes { steps: 1, batch: 1, inputs: 1, hidden: 0, outputs: 1 }, None);
}

#[test]
fn rows_are_whole_cache_lines() {
    assert_eq!([1, 16, 17, 64, 65].map(row_stride), [16, 16, 32, 64, 80]);
}
