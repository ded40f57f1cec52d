//! The losses over `[T, B, O]` with every mask and reduction: an f64 loss whose gradient
//! central differences prove, and the fast ones against it.

use kernels::reference;
use model::Error;
use model::loss::{
    Mask, Reduction, Terms, binary_cross_entropy, sigmoid_squared_error,
    sigmoid_squared_error_over, softmax_cross_entropy, squared_error,
};
use proptest::prelude::*;

/// The losses that are proven here.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Squared,
    /// Of the values before the sigmoid.
    SigmoidSquared,
    Binary,
    Softmax,
}

/// A loss over `[T, B, O]` and its targets: `y` by value, or `classes` by row.
struct Case<'a> {
    kind: Kind,
    terms: Terms<'a>,
    y: Vec<f32>,
    classes: Vec<u32>,
}

impl Case<'_> {
    fn counts(&self, row: usize) -> bool {
        match self.terms.mask {
            Mask::All => true,
            Mask::Lengths(lengths) => row / self.terms.batch < lengths[row % self.terms.batch],
            Mask::Steps(marks) => marks[row],
        }
    }

    /// The loss of `a` `[T, B, O]` and its gradient, in f64, as the formulas read.
    fn reference(&self, a: &[f64]) -> (f64, Vec<f64>) {
        let width = self.terms.outputs;
        let mut loss = 0.0;
        let mut gradient = vec![0.0; a.len()];
        let mut count = 0;
        for row in (0..self.terms.steps * self.terms.batch).filter(|&row| self.counts(row)) {
            let values = row * width..(row + 1) * width;
            count += if self.kind == Kind::Softmax { 1 } else { width };
            if self.kind == Kind::Softmax {
                let class = self.classes[row] as usize;
                let (term, by_a) = reference::softmax_cross_entropy(&a[values.clone()], class);
                loss += term;
                gradient[values].copy_from_slice(&by_a);
                continue;
            }
            for k in values {
                let y = f64::from(self.y[k]);
                let (term, by_a) = match self.kind {
                    Kind::Binary => reference::binary_cross_entropy(a[k], y),
                    Kind::SigmoidSquared => {
                        let o = reference::sigmoid(a[k]);
                        let (term, by_o) = reference::squared_error(o, y);
                        (term, by_o * reference::sigmoid_derivative(o))
                    }
                    _ => reference::squared_error(a[k], y),
                };
                loss += term;
                gradient[k] = by_a;
            }
        }
        if self.terms.reduction == Reduction::Mean && count > 0 {
            loss /= count as f64;
            gradient.iter_mut().for_each(|g| *g /= count as f64);
        }
        (loss, gradient)
    }

    /// The fast loss of `a` `[T, B, O]` and its gradient, over what was there before.
    fn fast(&self, a: &[f32]) -> Result<(f32, Vec<f32>), Error> {
        let mut gradient = vec![f32::NAN; a.len()];
        let (terms, y, g) = (&self.terms, &self.y, &mut gradient);
        let loss = match self.kind {
            Kind::Squared => squared_error(terms, a, y, g),
            Kind::SigmoidSquared => {
                let o: Vec<f32> =
                    a.iter().map(|&a| reference::sigmoid(f64::from(a)) as f32).collect();
                sigmoid_squared_error_over(terms, &o, y, g)
            }
            Kind::Binary => binary_cross_entropy(terms, a, y, g),
            Kind::Softmax => softmax_cross_entropy(terms, a, &self.classes, g),
        }?;
        Ok((loss, gradient))
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// All kinds of loss, masks and reductions over logits `[T, B, O]`.
fn every_case(
    (steps, batch, outputs): (usize, usize, usize),
    a: &[f32],
    check: impl Fn(&Case<'_>, &[f32]),
) {
    let values = steps * batch * outputs;
    let lengths: Vec<usize> = (0..batch).map(|b| (b * 5 + steps / 2) % (steps + 1)).collect();
    let marks: Vec<bool> = (0..steps * batch).map(|row| row * row % 7 % 3 != 1).collect();
    for kind in [Kind::Squared, Kind::SigmoidSquared, Kind::Binary, Kind::Softmax] {
        for mask in [Mask::All, Mask::Lengths(&lengths), Mask::Steps(&marks)] {
            for reduction in [Reduction::Sum, Reduction::Mean] {
                let terms = Terms { steps, batch, outputs, mask, reduction };
                let y = (0..values).map(|k| (k % 5) as f32 / 4.0).collect();
                let classes = (0..steps * batch).map(|row| (row * 3 % outputs) as u32).collect();
                let case = Case { kind, terms, y, classes };
                check(&case, &a[..values]);
            }
        }
    }
}

fn logits(count: usize) -> Vec<f32> {
    (0..count).map(|k| (k * 37 % 101) as f32 * 0.08 - 4.0).collect()
}

#[test]
fn the_reference_gradient_is_that_of_central_differences() {
    every_case((4, 3, 5), &logits(60), |case, a| {
        let mut a: Vec<f64> = a.iter().map(|&a| f64::from(a)).collect();
        let (_, gradient) = case.reference(&a);
        let step = 1e-5;
        let differences: Vec<f64> = (0..a.len())
            .map(|k| {
                let at = |value: f64, a: &mut Vec<f64>| {
                    let old = std::mem::replace(&mut a[k], value);
                    let loss = case.reference(a).0;
                    a[k] = old;
                    loss
                };
                let (up, down) = (a[k] + step, a[k] - step);
                (at(up, &mut a) - at(down, &mut a)) / (2.0 * step)
            })
            .collect();
        let error = norm(gradient.iter().zip(&differences).map(|(g, d)| g - d));
        let size = norm(differences.into_iter());
        assert!(error <= 1e-6 * size, "{:?} {:?}: {error:e} of {size}", case.kind, case.terms);
    });
}

/// Compares within a relative 1e-6, and within what rounding makes of each term by itself:
/// probabilities, and differences of numbers, near 1 are right to a few times 2⁻²⁴.
fn check_fast(case: &Case<'_>, a: &[f32]) {
    let wide: Vec<f64> = a.iter().map(|&a| f64::from(a)).collect();
    let (expected, expected_gradient) = case.reference(&wide);
    let (loss, gradient) = case.fast(a).unwrap();
    let context = || format!("{:?} {:?}", case.kind, case.terms);
    let rows = (0..case.terms.steps * case.terms.batch).filter(|&row| case.counts(row)).count();
    let values = (rows * case.terms.outputs).max(1) as f64;
    let count = if case.kind == Kind::Softmax { rows.max(1) as f64 } else { values };
    let mean = case.terms.reduction == Reduction::Mean;
    let of_term = 4.0 * f64::from(f32::EPSILON) / if mean { count } else { 1.0 };
    let error = (f64::from(loss) - expected).abs();
    assert!(
        error <= 1e-6 * expected + count.sqrt() * of_term,
        "{}: {loss} for {expected}",
        context()
    );
    for (k, (&found, expected)) in gradient.iter().zip(&expected_gradient).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= 1e-6 * expected.abs() + of_term, "{}: {error:e}", context());
        assert!(case.counts(k / case.terms.outputs) || found == 0.0, "{}", context());
    }
}

#[test]
fn every_loss_is_that_of_the_reference_over_many_steps() {
    every_case((61, 7, 19), &logits(61 * 7 * 19), check_fast);
}

#[test]
fn all_steps_summed_is_the_labs_loss() {
    let o: Vec<f32> = logits(24).iter().map(|a| a * 0.1 + 0.5).collect();
    let y: Vec<f32> = (0..24).map(|k| (k % 3 % 2) as f32).collect();
    let (mut labs, mut general) = ([f32::NAN; 24], [f32::NAN; 24]);
    let lab = sigmoid_squared_error(&o, &y, &mut labs);
    let loss = sigmoid_squared_error_over(&Terms::all(8, 3, 1), &o, &y, &mut general).unwrap();
    assert!((lab - loss).abs() <= 1e-6 * lab);
    assert!(labs.iter().zip(general).all(|(a, b)| (a - b).abs() <= 1e-6));
}

#[test]
fn nothing_that_counts_has_no_loss_and_no_gradient() {
    for reduction in [Reduction::Sum, Reduction::Mean] {
        let terms = Terms { mask: Mask::Lengths(&[0, 0]), reduction, ..Terms::all(3, 2, 1) };
        let mut gradient = [f32::NAN; 6];
        assert_eq!(squared_error(&terms, &[1.0; 6], &[0.0; 6], &mut gradient).unwrap(), 0.0);
        assert_eq!(gradient, [0.0; 6]);
    }
    assert_eq!(squared_error(&Terms::all(0, 2, 1), &[], &[], &mut []).unwrap(), 0.0);
}

/// The text of the error that two sequences of three steps, two outputs, give.
fn refused(mask: Mask<'_>, y: f32, class: u32) -> String {
    let terms = Terms { mask, ..Terms::all(3, 2, 2) };
    let (logits, mut gradient) = ([0.5; 12], [0.0; 12]);
    let (mut targets, mut classes) = ([1.0; 12], [0; 6]);
    targets[7] = y;
    classes[3] = class;
    let binary = binary_cross_entropy(&terms, &logits, &targets, &mut gradient);
    let softmax = softmax_cross_entropy(&terms, &logits, &classes, &mut gradient);
    binary.and(softmax).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
}

#[test]
fn bad_targets_are_refused_where_they_count() {
    for (mask, y, class, text) in [
        (Mask::All, 1.5, 0, "output 1 at step 1 of sequence 1 is 1.5; a binary cross-entropy"),
        (Mask::All, f32::NAN, 0, "output 1 at step 1 of sequence 1 is NaN"),
        (Mask::All, 1.0, 2, "step 1 of sequence 1 is class 2, and there are 2, counted from 0"),
        (Mask::Lengths(&[3]), 1.0, 0, "1 lengths were given for 2 sequences"),
        (Mask::Lengths(&[3, 4]), 1.0, 0, "sequence 1 has a length of 4; give one of 1 to 3"),
        (Mask::Steps(&[true; 5]), 1.0, 0, "5 marks were given for 6 steps"),
    ] {
        let found = refused(mask, y, class);
        assert!(found.contains(text), "{found}");
    }
    // The second sequence has one step: what its padding holds does not matter.
    assert_eq!(refused(Mask::Lengths(&[3, 1]), f32::NAN, 9), "");
}

#[test]
#[should_panic(
    expected = "5 outputs, 6 targets and room for 6 gradients; T·B·O = 3·2·1 asks for 6"
)]
fn outputs_of_another_size_are_named() {
    let _ = squared_error(&Terms::all(3, 2, 1), &[0.0; 5], &[0.0; 6], &mut [0.0; 6]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_shape(
        sizes in (1_usize..6, 1_usize..6, 1_usize..20),
        a in prop::collection::vec(-8.0..8.0_f32, 5 * 5 * 19),
    ) {
        every_case(sizes, &a, check_fast);
    }
}
