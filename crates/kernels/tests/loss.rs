//! The losses against their f64 reference, value by value and in sum, at every length
//! across a vector's edge and a block of the sum.

use kernels::lanes::LANES;
use kernels::loss;
use kernels::reference::{self, gamma};
use proptest::prelude::*;

type Loss = fn(f32, &[f32], &[f32], &mut [f32]) -> f64;
type Reference = fn(f64, f64) -> (f64, f64);

fn sigmoid_squared_error(o: f64, y: f64) -> (f64, f64) {
    let (loss, by_o) = reference::squared_error(o, y);
    (loss, by_o * reference::sigmoid_derivative(o))
}

const LOSSES: [(&str, Loss, Reference); 3] = [
    ("squared", loss::squared_error, reference::squared_error),
    ("sigmoid squared", loss::sigmoid_squared_error, sigmoid_squared_error),
    ("binary cross-entropy", loss::binary_cross_entropy, reference::binary_cross_entropy),
];

/// More roundings than any term, or any vector's share of a block's sum, goes through.
const ROUNDINGS: usize = 40;
const GUARD: f32 = 77.0;

fn close(found: f64, expected: f64, magnitude: f64) -> bool {
    (found - expected).abs() <= gamma(ROUNDINGS) * magnitude + f64::from(f32::MIN_POSITIVE)
}

/// Compares one pass with the reference; the gradient must be right to a few roundings of
/// `1 + |a|` (an error is a difference of numbers of that size).
fn check(name: &str, f: Loss, truth: Reference, scale: f32, a: &[f32], y: &[f32]) {
    let mut buffer = vec![GUARD; a.len() + 2];
    let loss = f(scale, a, y, &mut buffer[1..][..a.len()]);
    assert!(buffer[0] == GUARD && buffer[a.len() + 1] == GUARD);
    let terms = || a.iter().zip(y).map(|(&a, &y)| truth(f64::from(a), f64::from(y)));
    let expected: f64 = terms().map(|(loss, _)| loss).sum();
    let magnitude = if name.contains("squared") {
        a.iter().zip(y).map(|(a, y)| f64::from(a.abs() + y.abs()).powi(2)).sum()
    } else {
        expected // without cancellation: relative to the loss itself
    };
    assert!(close(loss, expected, magnitude), "{name}, {}: {loss} for {expected}", a.len());
    for ((&found, (_, expected)), a) in buffer[1..].iter().zip(terms()).zip(a) {
        let expected = f64::from(scale) * expected;
        let magnitude = f64::from(scale) * (1.0 + f64::from(a.abs()));
        assert!(
            close(f64::from(found), expected, magnitude),
            "{name}({a}): {found} for {expected}"
        );
    }
}

#[test]
fn valgrind_every_length() {
    for length in (0..=9 * LANES).chain([1023, 1024, 1025, 1024 + LANES + 1, 5000]) {
        let y: Vec<f32> = (0..length).map(|n| (n % 5) as f32 / 4.0).collect();
        let o: Vec<f32> = (0..length).map(|n| (n * 37 % 101) as f32 / 101.0).collect();
        for (name, f, truth) in LOSSES {
            check(name, f, truth, 0.3, &o, &y);
        }
    }
}

#[test]
fn binary_cross_entropy_is_relatively_right_for_labels_at_every_size_of_logit() {
    let mut size = 1e-8_f32;
    while size < 87.0 {
        for (logit, label) in [(size, 0.0), (size, 1.0), (-size, 0.0), (-size, 1.0_f32)] {
            let mut gradient = [f32::NAN];
            let loss = loss::binary_cross_entropy(1.0, &[logit], &[label], &mut gradient);
            // ln(1 + e^x) and σ(x) without cancellation, x the logit away from the label
            let away = f64::from(if label == 1.0 { -logit } else { logit });
            let (expected, slope) = (away.exp().ln_1p(), reference::sigmoid(away));
            assert!((loss / expected - 1.0).abs() < 4e-7, "{logit} {label}: {loss} {expected}");
            let slope = if label == 1.0 { -slope } else { slope };
            let error = (f64::from(gradient[0]) / slope - 1.0).abs();
            assert!(error < 4e-7, "{logit} {label}: {} {slope}", gradient[0]);
        }
        size *= 1.07;
    }
    let mut gradient = [0.0; 2];
    let loss = loss::binary_cross_entropy(1.0, &[-1e30, 1e30], &[1.0, 0.0], &mut gradient);
    assert_eq!((loss, gradient), (2.0 * f64::from(1e30_f32), [-1.0, 1.0]));
    assert!(loss::binary_cross_entropy(1.0, &[f32::NAN], &[1.0], &mut [0.0]).is_nan());
}

fn check_softmax(scale: f32, logits: &[f32], classes: usize, targets: &[u32]) {
    let mut buffer = vec![GUARD; logits.len() + 2];
    let loss = loss::softmax_cross_entropy(
        scale,
        logits,
        classes,
        targets,
        &mut buffer[1..][..logits.len()],
    );
    assert!(buffer[0] == GUARD && buffer[logits.len() + 1] == GUARD);
    let (mut expected, mut magnitude) = (0.0, 0.0);
    for (row, (logits, &class)) in logits.chunks(classes).zip(targets).enumerate() {
        let logits: Vec<f64> = logits.iter().map(|&a| f64::from(a)).collect();
        let (loss, gradient) = reference::softmax_cross_entropy(&logits, class as usize);
        expected += loss;
        magnitude += loss.abs() + 1.0;
        for (found, expected) in buffer[1 + row * classes..].iter().zip(gradient) {
            let expected = f64::from(scale) * expected;
            assert!(close(f64::from(*found), expected, f64::from(scale)), "{found} {expected}");
        }
    }
    assert!(close(loss, expected, magnitude), "{loss} for {expected}");
}

#[test]
fn valgrind_softmax_of_every_number_of_classes_and_rows() {
    for classes in (1..=2 * LANES + 1).chain([100]) {
        for rows in [0, 1, 15, 16, 17, 33] {
            let logits: Vec<f32> =
                (0..rows * classes).map(|n| (n * 29 % 97) as f32 * 0.13 - 6.0).collect();
            let targets: Vec<u32> = (0..rows).map(|row| (row * 7 % classes) as u32).collect();
            check_softmax(0.25, &logits, classes, &targets);
        }
    }
}

#[test]
fn softmax_of_logits_far_apart_is_finite() {
    let mut gradient = [0.0; 3];
    let loss = loss::softmax_cross_entropy(1.0, &[1e4, -1e4, 0.0], 3, &[1], &mut gradient);
    assert_eq!((loss, gradient), (2e4, [1.0, -1.0, 0.0]));
    let rows = 100_000; // the product of the sums stays finite
    let mut gradient = vec![0.0; rows];
    let loss = loss::softmax_cross_entropy(1.0, &vec![3.0; rows], rows, &[5], &mut gradient);
    assert!((loss - (rows as f64).ln()).abs() < 1e-5);
}

#[test]
#[should_panic(expected = "2 outputs, 3 targets and room for 2 gradients")]
fn lengths_that_differ_are_named() {
    loss::squared_error(1.0, &[0.0; 2], &[0.0; 3], &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "5 logits, room for 5 gradients, 2 rows of 3 classes")]
fn logits_that_are_no_rows_are_named() {
    loss::softmax_cross_entropy(1.0, &[0.0; 5], 3, &[0; 2], &mut [0.0; 5]);
}

#[test]
#[should_panic(expected = "row 1 is of class 3, and there are 3")]
fn a_class_beyond_the_last_is_refused() {
    loss::softmax_cross_entropy(1.0, &[0.0; 6], 3, &[0, 3], &mut [0.0; 6]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_values(
        pairs in prop::collection::vec((-30.0..30.0_f32, 0.0..=1.0_f32), 0..80),
        scale in 1e-3..2.0_f32,
    ) {
        let (a, y): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        for (name, f, truth) in LOSSES {
            // The reference's σ(a) − y is exact enough in f64; outputs of a sigmoid lie in [0, 1].
            let a: Vec<f32> = a.iter().map(|a| if name.starts_with("sig") { a / 60.0 + 0.5 } else { *a }).collect();
            check(name, f, truth, scale, &a, &y);
        }
    }

    #[test]
    fn any_softmax(
        (classes, rows) in (1_usize..40, 0_usize..20),
        seed in prop::collection::vec((-20.0..20.0_f32, any::<u32>()), 800),
    ) {
        let logits: Vec<f32> = seed[..rows * classes].iter().map(|s| s.0).collect();
        let targets: Vec<u32> = seed[..rows].iter().map(|s| s.1 % classes as u32).collect();
        check_softmax(0.5, &logits, classes, &targets);
    }
}
